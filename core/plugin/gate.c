// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Gates: so many in flight, so many points a second, and none before the time that an answer asked to wait. What is
// known of a gate stands here, or in a file that other processes share (gate_file.c) and is then only borrowed for a
// moment.
#include "plugin/gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"

#define GATES_MAX 4096     // more keys than that at once are a plugin's mistake
#define GATES_KEPT 64      // idle ones up to here stay, with what they know
#define SLICE_MS 50        // how soon a cancel is noticed
#define FILE_SLICE_MS 10   // how soon what another process did is noticed
#define SHOWN_FROM_MS 500  // shorter waits are not worth telling
#define UNDER_WAY_MS 60000 // what is not settled is forgotten after once to twice this time

struct dr_gate {
  struct dr_gate *next;
  char *key, *folder; // folder: NULL for a gate of this process alone
  uint32_t users;
  uint32_t in_flight;         // of this process
  struct dr_gate_state state; // without a file: all there is; with one: as it was last seen
  struct dr_gate_file *file;
  double per_second, capacity; // of the last terms that had points
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct dr_gate *gates;
static uint32_t gate_count;

// ---- the gates of this process ----

// Whether a new gate of this key would let through no more than this one.
static int is_as_new(const struct dr_gate *gate, int64_t now) {
  if (gate->users != 0) return 0;
  if (gate->file != NULL) return 1; // the file remembers
  if (gate->state.held_until_ms > now) return 0;
  return gate->state.points + (double)(now - gate->state.filled_ms) * gate->per_second / 1000.0 >= gate->capacity;
}

static void free_gate(struct dr_gate *gate) {
  dr_gate_file_close(gate->file);
  free(gate->key);
  free(gate->folder);
  free(gate);
}

static void forget_idle(int64_t now) {
  struct dr_gate **at = &gates;
  while (*at != NULL) {
    struct dr_gate *gate = *at;
    if (is_as_new(gate, now)) {
      *at = gate->next;
      free_gate(gate);
      gate_count--;
    } else {
      at = &gate->next;
    }
  }
}

static int is_gate_of(const struct dr_gate *gate, const struct dr_gate_terms *terms) {
  if (!dray_str_is(terms->key, gate->key)) return 0;
  if (terms->folder == NULL || gate->folder == NULL) return terms->folder == NULL && gate->folder == NULL;
  return strcmp(terms->folder, gate->folder) == 0;
}

static int32_t new_gate(const struct dr_gate_terms *terms, struct dr_gate **out, struct dray_error *error) {
  if (gate_count >= GATES_KEPT) forget_idle(dr_monotonic_ms());
  if (gate_count >= GATES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "more than %d rate keys are in use at once", GATES_MAX);
  }
  struct dr_gate *gate = calloc(1, sizeof *gate);
  if (gate != NULL) gate->key = dray_str_dup(terms->key);
  if (gate != NULL && terms->folder != NULL) gate->folder = dray_str_dup(dray_str_of(terms->folder));
  if (gate == NULL || gate->key == NULL || (terms->folder != NULL && gate->folder == NULL)) {
    if (gate != NULL) free_gate(gate);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a rate key");
  }
  const int32_t code =
      terms->folder != NULL ? dr_gate_file_open(terms->folder, terms->key, &gate->file, error) : DRAY_OK;
  if (code != DRAY_OK) {
    free_gate(gate);
    return code;
  }
  gate->next = gates;
  gates = gate;
  gate_count++;
  *out = gate;
  return DRAY_OK;
}

int32_t dr_gate_get(const struct dr_gate_terms *terms, struct dr_gate **out, struct dray_error *error) {
  int32_t code = DRAY_OK;
  pthread_mutex_lock(&lock);
  struct dr_gate *gate = gates;
  while (gate != NULL && !is_gate_of(gate, terms)) gate = gate->next;
  if (gate == NULL) code = new_gate(terms, &gate, error);
  if (code == DRAY_OK) {
    gate->users++;
    *out = gate;
  }
  pthread_mutex_unlock(&lock);
  return code;
}

void dr_gate_put(struct dr_gate *gate) {
  pthread_mutex_lock(&lock);
  gate->users--;
  pthread_mutex_unlock(&lock);
}

// ---- what is known of one ----

static int32_t begin(struct dr_gate *gate, struct dray_error *error) {
  return gate->file != NULL ? dr_gate_file_begin(gate->file, &gate->state, error) : DRAY_OK;
}

static int32_t end(struct dr_gate *gate, struct dray_error *error) {
  return gate->file != NULL ? dr_gate_file_end(gate->file, &gate->state, error) : DRAY_OK;
}

static void refill(struct dr_gate *gate, const struct dr_gate_terms *terms, int64_t now) {
  struct dr_gate_state *state = &gate->state;
  if (state->filled_ms == 0) {
    state->points = terms->capacity;
  } else if (now > state->filled_ms) {
    state->points += (double)(now - state->filled_ms) * terms->per_second / 1000.0;
    if (state->points > terms->capacity) state->points = terms->capacity;
  }
  state->filled_ms = now;
  gate->per_second = terms->per_second;
  gate->capacity = terms->capacity;
}

// However busy the gate is: what others take keeps nothing alive.
static void forget_lost(struct dr_gate_state *state, int64_t now) {
  const int64_t age_ms = now - state->turned_ms;
  if (age_ms <= UNDER_WAY_MS) return;
  state->under_way_before = age_ms <= 2 * UNDER_WAY_MS ? state->under_way : 0;
  state->under_way = 0;
  state->turned_ms = now;
}

static void take_points(struct dr_gate_state *state, double amount, int64_t now) {
  forget_lost(state, now);
  state->points -= amount;
  state->under_way += amount;
}

// The newest first, so that what is never settled grows old.
static void settle_points(struct dr_gate_state *state, double amount) {
  const double recent = amount < state->under_way ? amount : state->under_way;
  const double rest = amount - recent;
  state->under_way -= recent;
  state->under_way_before -= rest < state->under_way_before ? rest : state->under_way_before;
}

// More than there can ever be counts as all there can be.
static double payable(const struct dr_gate_terms *terms, double amount) {
  return amount < terms->capacity ? amount : terms->capacity;
}

// Takes the points, if need be of the future, so that those who wait go in order. *out_at: when they are there.
static int32_t reserve(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount, int64_t now,
                       int64_t *out_at, struct dray_error *error) {
  *out_at = now;
  if (!(terms->per_second > 0)) return DRAY_OK;
  DRAY_TRY(begin(gate, error));
  refill(gate, terms, now);
  take_points(&gate->state, amount, now);
  const double wait_ms = gate->state.points < 0 ? -gate->state.points * 1000.0 / terms->per_second : 0;
  if (wait_ms > 0) *out_at = wait_ms < 1e15 ? now + (int64_t)wait_ms + 1 : INT64_MAX;
  return end(gate, error);
}

static void give_back(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount) {
  if (!(terms->per_second > 0) || begin(gate, NULL) != DRAY_OK) return;
  gate->state.points += amount;
  settle_points(&gate->state, amount);
  (void)end(gate, NULL);
}

// Others may have been asked to wait since.
static int64_t held_until(struct dr_gate *gate) {
  if (gate->file != NULL && begin(gate, NULL) == DRAY_OK) (void)end(gate, NULL);
  return gate->state.held_until_ms;
}

// ---- places ----

// *out_in = 0: none is free.
static int32_t take_place(struct dr_gate *gate, const struct dr_gate_terms *terms, int nested, int *out_in,
                          int *out_place, struct dray_error *error) {
  int place = -1, is_free = 0;
  if (terms->places_max > 0) {
    if (gate->file != NULL && terms->places_max <= DR_GATE_PLACES_MAX) {
      DRAY_TRY(dr_gate_file_place(gate->file, terms->places_max, &place, error));
      is_free = place >= 0;
    } else {
      is_free = gate->in_flight < terms->places_max;
    }
    *out_in = is_free || nested;
    if (!*out_in) return DRAY_OK;
    if (place < 0) place = DR_GATE_PLACES_MAX; // counted, not named
    gate->in_flight++;
  }
  *out_in = 1;
  *out_place = place;
  return DRAY_OK;
}

void dr_gate_leave(struct dr_gate *gate, int place) {
  if (place < 0) return;
  pthread_mutex_lock(&lock);
  gate->in_flight--;
  if (place < DR_GATE_PLACES_MAX) dr_gate_file_leave(gate->file, place);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

// ---- waiting ----

static void wait_slice(const struct dr_gate *gate, int64_t duration_ms) {
  struct timespec until;
  const int64_t most = gate->file != NULL ? FILE_SLICE_MS : SLICE_MS;
  const int64_t slice = duration_ms >= 0 && duration_ms < most ? duration_ms : most;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += slice * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &until);
}

static void show_wait(const struct dr_gate *gate, const struct dr_gate_terms *terms, int64_t wait_ms) {
  char why[128];
  if (wait_ms < 0) {
    snprintf(why, sizeof why, "a free place: %u requests to %s are under way", terms->places_max, gate->key);
    dr_board_wait(1000, why);
  } else if (wait_ms >= SHOWN_FROM_MS) {
    snprintf(why, sizeof why, "the rate limit of %s", gate->key);
    dr_board_wait(wait_ms, why);
  }
}

// Until the points are there, the hold is over and a place is free.
static int32_t wait_for_all(struct dr_gate *gate, const struct dr_gate_terms *terms, int nested, int64_t points_at,
                            int *out_place, struct dray_error *error) {
  int32_t code = DRAY_OK;
  int64_t shown_ms = 0;
  for (;;) {
    const int64_t now = dr_monotonic_ms();
    const int64_t held = held_until(gate);
    const int64_t from = held > points_at ? held : points_at;
    int in = 0;
    if (now >= from) code = take_place(gate, terms, nested, &in, out_place, error);
    if (code == DRAY_OK && !in) code = dr_cancel_check(error);
    if (code != DRAY_OK || in) break;
    const int64_t wait_ms = now < from ? from - now : -1;
    if (now - shown_ms >= 1000) {
      show_wait(gate, terms, wait_ms);
      shown_ms = now;
    }
    wait_slice(gate, wait_ms);
  }
  if (shown_ms != 0) dr_board_wait(0, NULL);
  return code;
}

int32_t dr_gate_enter(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount, int nested,
                      int *out_place, struct dray_error *error) {
  int64_t points_at = 0;
  const double points = payable(terms, amount);
  pthread_mutex_lock(&lock);
  int32_t code = reserve(gate, terms, points, dr_monotonic_ms(), &points_at, error);
  if (code == DRAY_OK) {
    code = wait_for_all(gate, terms, nested, points_at, out_place, error);
    if (code != DRAY_OK) give_back(gate, terms, points); // it was not used
  }
  pthread_mutex_unlock(&lock);
  return code;
}

int dr_gate_try(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount, int *out_place) {
  int in = 0;
  const double points = payable(terms, amount);
  pthread_mutex_lock(&lock);
  if (begin(gate, NULL) == DRAY_OK) {
    const int64_t now = dr_monotonic_ms();
    if (terms->per_second > 0) refill(gate, terms, now);
    const int may = gate->state.held_until_ms <= now && (!(terms->per_second > 0) || gate->state.points >= points);
    if (may && take_place(gate, terms, 0, &in, out_place, NULL) != DRAY_OK) in = 0;
    if (in && terms->per_second > 0) take_points(&gate->state, points, now);
    (void)end(gate, NULL);
  }
  pthread_mutex_unlock(&lock);
  return in;
}

void dr_gate_hold(struct dr_gate *gate, int64_t duration_ms) {
  const int64_t until = dr_monotonic_ms() + (duration_ms < DR_GATE_HOLD_MS_MAX ? duration_ms : DR_GATE_HOLD_MS_MAX);
  pthread_mutex_lock(&lock);
  const int open = begin(gate, NULL) == DRAY_OK;
  if (until > gate->state.held_until_ms) gate->state.held_until_ms = until;
  if (open) (void)end(gate, NULL);
  pthread_mutex_unlock(&lock);
}

int32_t dr_gate_tell(struct dr_gate *gate, const struct dr_gate_terms *terms, double available, double settled,
                     struct dray_error *error) {
  const int64_t now = dr_monotonic_ms();
  pthread_mutex_lock(&lock);
  int32_t code = begin(gate, error);
  if (code == DRAY_OK) {
    struct dr_gate_state *state = &gate->state;
    settle_points(state, settled);
    forget_lost(state, now);
    state->points = payable(terms, available) - state->under_way - state->under_way_before;
    state->filled_ms = now;
    gate->per_second = terms->per_second;
    gate->capacity = terms->capacity;
    code = end(gate, error);
  }
  pthread_mutex_unlock(&lock);
  return code;
}
