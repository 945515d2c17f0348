// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rate keys. All requests of the process that name one key pass one gate: so many in flight, so many a second, and none
// before the time that an answer asked to wait. Called by http.c from any thread.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define GATES_MAX 4096    // more keys than that at once are a plugin's mistake
#define GATES_KEPT 64     // idle ones up to here stay, with what they know
#define SLICE_MS 50       // how soon a cancel is noticed
#define SHOWN_FROM_MS 500 // shorter waits are not worth telling

struct dr_http_gate {
  struct dr_http_gate *next;
  char *key;
  uint32_t users;
  uint32_t in_flight;
  double tokens;                 // may be negative: taken in advance by those who wait for their time
  int64_t filled_ms;             // when `tokens` was right; 0: never used
  double rate_per_second, burst; // of the last request that had a rate
  int64_t held_until_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct dr_http_gate *gates;
static uint32_t gate_count;

// Whether a new gate of this key would let through no more than this one.
static int is_as_new(const struct dr_http_gate *gate, int64_t now) {
  if (gate->users != 0 || gate->held_until_ms > now) return 0;
  return gate->tokens + (double)(now - gate->filled_ms) * gate->rate_per_second / 1000.0 >= gate->burst;
}

static void forget_idle(int64_t now) {
  struct dr_http_gate **at = &gates;
  while (*at != NULL) {
    struct dr_http_gate *gate = *at;
    if (is_as_new(gate, now)) {
      *at = gate->next;
      free(gate->key);
      free(gate);
      gate_count--;
    } else {
      at = &gate->next;
    }
  }
}

static struct dr_http_gate *new_gate(struct dray_str key) {
  struct dr_http_gate *gate = calloc(1, sizeof *gate);
  if (gate == NULL) return NULL;
  gate->key = dray_str_dup(key);
  if (gate->key == NULL) {
    free(gate);
    return NULL;
  }
  gate->next = gates;
  gates = gate;
  gate_count++;
  return gate;
}

int32_t dr_http_gate_get(struct dray_str key, struct dr_http_gate **out, struct dray_error *error) {
  int32_t code = DRAY_OK;
  pthread_mutex_lock(&lock);
  struct dr_http_gate *gate = gates;
  while (gate != NULL && !dray_str_is(key, gate->key)) gate = gate->next;
  if (gate == NULL) {
    if (gate_count >= GATES_KEPT) forget_idle(dr_monotonic_ms());
    if (gate_count >= GATES_MAX) {
      code = dray_fail(error, DRAY_E_LIMIT, "more than %d rate keys are in use at once", GATES_MAX);
    } else {
      gate = new_gate(key);
      if (gate == NULL) code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a rate key");
    }
  }
  if (gate != NULL) {
    gate->users++;
    *out = gate;
  }
  pthread_mutex_unlock(&lock);
  return code;
}

void dr_http_gate_put(struct dr_http_gate *gate) {
  pthread_mutex_lock(&lock);
  gate->users--;
  pthread_mutex_unlock(&lock);
}

static void refill(struct dr_http_gate *gate, const struct dr_http_gate_terms *terms, int64_t now) {
  const double full = terms->burst;
  if (gate->filled_ms == 0) {
    gate->tokens = full;
  } else {
    gate->tokens += (double)(now - gate->filled_ms) * terms->rate_per_second / 1000.0;
    if (gate->tokens > full) gate->tokens = full;
  }
  gate->filled_ms = now;
  gate->rate_per_second = terms->rate_per_second;
  gate->burst = full;
}

// Takes a token, if need be one of the future, so that those who wait go in order. Returns when it is there.
static int64_t reserve(struct dr_http_gate *gate, const struct dr_http_gate_terms *terms, int64_t now) {
  if (!(terms->rate_per_second > 0)) return now;
  refill(gate, terms, now);
  gate->tokens -= 1;
  if (gate->tokens >= 0) return now;
  const double wait_ms = -gate->tokens * 1000.0 / terms->rate_per_second;
  return wait_ms < 1e15 ? now + (int64_t)wait_ms + 1 : INT64_MAX;
}

static void wait_slice(int64_t duration_ms) {
  struct timespec until;
  const int64_t slice = duration_ms < SLICE_MS ? duration_ms : SLICE_MS;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += slice * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &until);
}

// How long the caller must wait still; 0: it may go. -1: until somebody leaves.
static int64_t must_wait(const struct dr_http_gate *gate, const struct dr_http_gate_terms *terms, int nested,
                         int64_t token_at, int64_t now) {
  const int64_t from = gate->held_until_ms > token_at ? gate->held_until_ms : token_at;
  if (now < from) return from - now;
  return !nested && gate->in_flight >= terms->concurrency_max ? -1 : 0;
}

static void show_wait(const struct dr_http_gate *gate, const struct dr_http_gate_terms *terms, int64_t wait_ms) {
  char why[128];
  if (wait_ms < 0) {
    snprintf(why, sizeof why, "a free place: %u requests to %s are under way", terms->concurrency_max, gate->key);
    dr_board_wait(1000, why);
  } else if (wait_ms >= SHOWN_FROM_MS) {
    snprintf(why, sizeof why, "the rate limit of %s", gate->key);
    dr_board_wait(wait_ms, why);
  }
}

int32_t dr_http_gate_enter(struct dr_http_gate *gate, const struct dr_http_gate_terms *terms, int nested,
                           struct dray_error *error) {
  int32_t code = DRAY_OK;
  int64_t shown_ms = 0;
  pthread_mutex_lock(&lock);
  const int64_t token_at = reserve(gate, terms, dr_monotonic_ms());
  for (;;) {
    const int64_t now = dr_monotonic_ms();
    const int64_t wait_ms = must_wait(gate, terms, nested, token_at, now);
    if (wait_ms == 0) break;
    code = dr_cancel_check(error);
    if (code != DRAY_OK) break;
    if (now - shown_ms >= 1000) {
      show_wait(gate, terms, wait_ms);
      shown_ms = now;
    }
    wait_slice(wait_ms < 0 ? SLICE_MS : wait_ms);
  }
  if (code == DRAY_OK) {
    gate->in_flight++;
  } else if (terms->rate_per_second > 0) {
    gate->tokens += 1; // it was not used
  }
  pthread_mutex_unlock(&lock);
  if (shown_ms != 0) dr_board_wait(0, NULL);
  return code;
}

void dr_http_gate_leave(struct dr_http_gate *gate) {
  pthread_mutex_lock(&lock);
  gate->in_flight--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

void dr_http_gate_hold(struct dr_http_gate *gate, int64_t duration_ms) {
  const int64_t until = dr_monotonic_ms() + duration_ms;
  pthread_mutex_lock(&lock);
  if (until > gate->held_until_ms) gate->held_until_ms = until;
  pthread_mutex_unlock(&lock);
}
