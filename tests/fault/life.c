// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Living: what a process does with a mirror, chosen by the seed.
#include "life.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "dray/destination.h"
#include "life_rows.h"

static const struct life_shape shapes[] = {
    {"fixed", 40, LIFE_KEY_INTEGER, 0, 0},    {"text", 60, LIFE_KEY_INTEGER, 300, 1},
    {"large", 50, LIFE_KEY_TEXT, 9000, 1},    {"many", 700, LIFE_KEY_INTEGER, 0, 1},
    {"composite", 50, LIFE_KEY_BOTH, 60, 0},  {"large mixed", 50, LIFE_KEY_INTEGER, 9000, 1},
    {"fixed text", 300, LIFE_KEY_TEXT, 0, 1},
};

static uint64_t draw(struct life *life, uint64_t below) {
  return disk_mix(life->seed, life->drawn++) % below;
}

// ---- the truth ----

static void add_state(struct life *life, size_t begin, int missing, uint64_t generation, const uint32_t *held) {
  if (life->state_count == LIFE_STATES_MAX) abort();
  struct life_state *state = &life->states[life->state_count++];
  *state = (struct life_state){
      .begin = begin, .done = SIZE_MAX, .void_from = SIZE_MAX, .missing = missing, .generation = generation};
  state->held = calloc(life->shape->keys, sizeof *state->held);
  if (state->held == NULL) abort();
  if (held != NULL) memcpy(state->held, held, life->shape->keys * sizeof *held);
}

static void note_other(struct life *life, uint64_t generation) {
  if (life->other_count == LIFE_STATES_MAX) abort();
  life->other = generation;
  life->others[life->other_count++] = (struct life_note){disk_position(), generation};
}

// A state is now certain, and what this process goes on from.
static void settle_on(struct life *life, struct life_state *state) {
  state->done = disk_position();
  life->generation = state->generation;
  memcpy(life->held, state->held, life->shape->keys * sizeof *life->held);
  memcpy(life->taken, state->held, life->shape->keys * sizeof *life->taken);
}

static void settle(struct life *life) {
  settle_on(life, &life->states[life->state_count - 1]);
}

static void say_wrong(struct life *life, const char *what) {
  if (life->wrong[0] == '\0') (void)snprintf(life->wrong, sizeof life->wrong, "%s", what);
}

static void prepare_life(struct life *life, const char *folder) {
  const size_t keys = life->shape->keys;
  (void)snprintf(life->folder, sizeof life->folder, "%s", folder);
  (void)snprintf(life->mirror_path, sizeof life->mirror_path, "%s/mirror", folder);
  (void)snprintf(life->set_path, sizeof life->set_path, "%s/changes", folder);
  life->wanted = calloc(keys, sizeof *life->wanted);
  life->taken = calloc(keys, sizeof *life->taken);
  life->held = calloc(keys, sizeof *life->held);
  life->schema = life_schema(life->shape);
  if (life->wanted == NULL || life->taken == NULL || life->held == NULL || life->schema == NULL) abort();
}

void life_init(struct life *life, uint64_t seed, const char *folder) {
  memset(life, 0, sizeof *life);
  life->seed = seed;
  life->shape = &shapes[draw(life, sizeof shapes / sizeof shapes[0])];
  life->keep = (int)draw(life, 3);
  life->threads = (unsigned)draw(life, 3);
  prepare_life(life, folder);
  add_state(life, 0, 1, 0, NULL);
  life->states[0].done = 0;
}

static void inherit_set(struct life *life);

void life_follow(struct life *life, const struct life *from, const struct life_state *pre,
                 const struct life_state *post, uint64_t other, uint64_t seed, const char *folder) {
  memset(life, 0, sizeof *life);
  life->seed = seed;
  life->shape = from->shape;
  life->keep = from->keep;
  life->threads = (unsigned)draw(life, 3);
  life->version = from->version;
  prepare_life(life, folder);
  add_state(life, 0, pre->missing, pre->generation, pre->held);
  settle(life);
  life->states[0].done = 0;
  if (post != NULL && post != pre) add_state(life, 0, 0, post->generation, post->held);
  memcpy(life->wanted, from->wanted, life->shape->keys * sizeof *life->wanted);
  life->other = pre->missing ? 0 : other; // a reset that was cut short is for both
  life->others[life->other_count++] = (struct life_note){0, life->other};
  inherit_set(life);
}

// The set that was there at the start, if it can be read.
static void inherit_set(struct life *life) {
  struct life_set *set = &life->sets[0];
  if (life_digest(life->set_path, &set->digest, &set->count, NULL) != DRAY_OK) return;
  set->removed = SIZE_MAX;
  life->set_count = 1;
}

void life_free(struct life *life) {
  dr_mirror_close(life->mirror);
  dr_schema_unref(life->schema);
  for (size_t i = 0; i < life->state_count; i++) free(life->states[i].held);
  free(life->wanted);
  free(life->taken);
  free(life->held);
  memset(life, 0, sizeof *life);
}

// ---- opening ----

// A prepare that was found: the other side knows how it ended.
static int32_t resolve(struct life *life, struct dray_error *error) {
  struct dr_mirror_info info;
  dr_mirror_info(life->mirror, &info);
  if (info.prepared_generation == 0) return DRAY_OK;
  if (info.prepared_generation != life->other) return dr_mirror_rollback(life->mirror, error);
  DRAY_TRY(dr_mirror_commit(life->mirror, info.prepared_generation, error));
  settle(life);
  return DRAY_OK;
}

// Whether there is a mirror as far as is known: by the last certain state.
static int life_exists(const struct life *life) {
  for (size_t i = life->state_count; i-- > 0;) {
    if (life->states[i].done != SIZE_MAX) return !life->states[i].missing;
  }
  return 0;
}

static int32_t open_life(struct life *life, struct dray_error *error) {
  const int made = !life_exists(life);
  if (made) add_state(life, disk_position(), 0, 0, NULL);
  const struct dr_mirror_options options = life_options(life, life->mirror_path, 1);
  DRAY_TRY(dr_mirror_open(&options, &life->mirror, error));
  if (made) settle(life);
  return resolve(life, error);
}

static void close_life(struct life *life) {
  dr_mirror_close(life->mirror);
  life->mirror = NULL;
  memcpy(life->taken, life->held, life->shape->keys * sizeof *life->taken);
}

// ---- a run ----

// Those that were not taken change again, all or one, so that almost the same frames follow upon frames that were cut
// away.
static void change_again(struct life *life) {
  const int one = draw(life, 2) == 0;
  for (size_t key = 0; key < life->shape->keys; key++) {
    if (life->wanted[key] == life->held[key] || life->wanted[key] == 0) continue;
    life->wanted[key] = ++life->version;
    if (one) break;
  }
}

static void change_rows(struct life *life) {
  const size_t keys = life->shape->keys;
  if (draw(life, 3) == 0) {
    change_again(life);
    return;
  }
  const uint64_t kind = draw(life, 8);
  const uint64_t share = kind == 0 ? keys : kind < 3 ? keys / 2 : 1 + draw(life, keys / 4); // of so many
  for (size_t i = 0; i < share; i++) {
    const size_t key = (size_t)draw(life, keys);
    life->wanted[key] = draw(life, 4) == 0 ? 0 : ++life->version;
  }
}

static int32_t do_pass(struct life *life, const struct life_pass *pass, struct dr_diff_counts *out,
                       struct dray_error *error) {
  if (life->set_count == LIFE_SETS_MAX) abort();
  struct life_set *set = &life->sets[life->set_count++];
  *set = (struct life_set){.begin = disk_position(), .done = SIZE_MAX, .removed = SIZE_MAX};
  DRAY_TRY(life_pass(life, life->mirror, life->set_path, pass, out, error));
  const size_t done = disk_position();
  DRAY_TRY(life_digest(life->set_path, &set->digest, &set->count, error));
  set->done = done;
  return DRAY_OK;
}

static int32_t random_pass(struct life *life, struct dray_error *error) {
  const int full = draw(life, 5) != 0;
  const uint32_t resync = draw(life, 12) == 0 ? DR_DIFF_RESYNC : 0;
  const struct life_pass pass = {.flags = (full ? DR_DIFF_FULL : 0u) | resync,
                                 .rows = life->wanted,
                                 .skip_salt = full ? 0 : 1 + draw(life, UINT32_MAX),
                                 .batch_rows = 1 + draw(life, life->shape->keys)};
  struct dr_diff_counts counts;
  return do_pass(life, &pass, &counts, error);
}

// How a batch is settled with the other side. Returns 0 when the run should stop taking.
static int32_t commit_taken(struct life *life, struct dray_error *error) {
  const uint64_t generation = life->generation + 1;
  if (draw(life, 2) == 0) dr_mirror_write_ahead(life->mirror, NULL);
  add_state(life, disk_position(), 0, generation, life->taken);
  DRAY_TRY(dr_mirror_commit(life->mirror, generation, error));
  settle(life);
  return DRAY_OK;
}

// Together with the other side, which may refuse; perhaps the process ends between the two.
static int32_t prepare_taken(struct life *life, struct dray_error *error) {
  const uint64_t generation = life->generation + 1;
  const int agrees = draw(life, 3) != 0, ends = draw(life, 4) == 0;
  if (draw(life, 2) == 0) dr_mirror_write_ahead(life->mirror, NULL);
  DRAY_TRY(dr_mirror_prepare(life->mirror, generation, error));
  if (agrees) {
    add_state(life, disk_position(), 0, generation, life->taken);
    note_other(life, generation);
  }
  if (ends) {
    close_life(life);
    return open_life(life, error);
  }
  if (agrees) {
    DRAY_TRY(dr_mirror_commit(life->mirror, generation, error));
    settle(life);
    return DRAY_OK;
  }
  memcpy(life->taken, life->held, life->shape->keys * sizeof *life->taken);
  return dr_mirror_rollback(life->mirror, error);
}

static int32_t take_changes(struct life *life, int all, int commit_each, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  const uint64_t drawn = 1 + draw(life, 60), portion = life->seed % 2 == 0 ? 1 + life->seed % 59 : drawn;
  const uint64_t likely = all ? 8 : draw(life, 9);
  uint64_t seq = 0;
  DRAY_TRY(dr_changeset_open(life->set_path, &set, error));
  if (draw(life, 2) == 0) dr_mirror_gather(life->mirror);
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    uint8_t acked[64];
    rc = dr_changeset_next(set, seq, portion, 1u << 20, (int)draw(life, 2), &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    for (size_t i = 0; i < changes->count; i++) {
      acked[i] = draw(life, 8) < likely;
      const size_t key = life_key_of(life->shape, changes, i);
      if (acked[i]) life->taken[key] = changes->op[i] == DRAY_OP_DELETE ? 0 : life->wanted[key];
    }
    rc = dr_mirror_ack(life->mirror, changes, acked, error);
    seq += changes->count;
    dr_changes_free(changes);
    if (rc == DRAY_OK && commit_each && life->state_count < LIFE_STATES_MAX / 2) rc = commit_taken(life, error);
  }
  dr_changeset_close(set);
  return rc;
}

static int32_t end_run(struct life *life, struct dray_error *error) {
  const uint64_t end = draw(life, 10);
  if (end < 4) return commit_taken(life, error);
  if (end < 7) return prepare_taken(life, error);
  if (end < 9) {
    memcpy(life->taken, life->held, life->shape->keys * sizeof *life->taken);
    return dr_mirror_rollback(life->mirror, error);
  }
  close_life(life);
  return open_life(life, error);
}

static int32_t do_run(struct life *life, struct dray_error *error) {
  if (draw(life, 8) != 0) change_rows(life);
  DRAY_TRY(random_pass(life, error));
  if (draw(life, 8) != 0) {
    DRAY_TRY(take_changes(life, draw(life, 2) == 0, draw(life, 4) == 0, error));
    DRAY_TRY(end_run(life, error));
  }
  if (draw(life, 4) == 0) {
    life->sets[life->set_count - 1].removed = disk_position();
    (void)unlink(life->set_path);
  }
  if (draw(life, 3) != 0) DRAY_TRY(dr_mirror_compact(life->mirror, error));
  return DRAY_OK;
}

static int32_t do_reset(struct life *life, struct dray_error *error) {
  close_life(life);
  add_state(life, disk_position(), 1, 0, NULL);
  DRAY_TRY(dr_mirror_reset(life->mirror_path, error));
  settle(life);
  note_other(life, 0);
  return open_life(life, error);
}

int32_t life_go(struct life *life, size_t runs, struct dray_error *error) {
  int32_t rc = open_life(life, error);
  for (size_t i = 0; rc == DRAY_OK && i < runs && life->wrong[0] == '\0'; i++) {
    const uint64_t chance = draw(life, 20);
    if (chance == 0) {
      rc = do_reset(life, error);
    } else if (chance < 4) {
      close_life(life);
      rc = open_life(life, error);
    } else {
      rc = do_run(life, error);
    }
  }
  close_life(life);
  return rc;
}

// The state of this generation among those that the stop left possible; the others are void from now on.
static struct life_state *choose_state(struct life *life, int missing, uint64_t generation) {
  struct life_state *chosen = NULL;
  size_t certain = 0;
  for (size_t i = 0; i < life->state_count; i++) {
    if (life->states[i].done != SIZE_MAX) certain = i;
  }
  for (size_t i = life->state_count; i-- > certain;) {
    struct life_state *state = &life->states[i];
    if (state->void_from != SIZE_MAX) continue;
    const int fits = state->missing == missing && (missing || state->generation == generation);
    if (fits && chosen == NULL) {
      chosen = state;
    } else if (i > certain) {
      state->void_from = disk_position();
    }
  }
  return chosen;
}

static int32_t recover(struct life *life, struct dray_error *error) {
  struct dr_mirror_info info;
  const int missing = !dr_mirror_exists(life->mirror_path);
  const size_t begin = disk_position();
  struct life_state *found = NULL;
  if (missing) note_other(life, 0);
  const struct dr_mirror_options options = life_options(life, life->mirror_path, missing);
  DRAY_TRY(dr_mirror_open(&options, &life->mirror, error));
  if (missing) { // and was made anew: that it was gone is certain only now
    if ((found = choose_state(life, 1, 0)) == NULL) {
      say_wrong(life, "the mirror is gone after a stop");
      return DRAY_OK;
    }
    settle_on(life, found);
    add_state(life, begin, 0, 0, NULL);
  }
  dr_mirror_info(life->mirror, &info);
  // What is prepared and was agreed upon is about to become true; else what is there now stays.
  if (info.prepared_generation != 0 && info.prepared_generation == life->other) {
    DRAY_TRY(dr_mirror_commit(life->mirror, info.prepared_generation, error));
    dr_mirror_info(life->mirror, &info);
  }
  if ((found = choose_state(life, 0, info.generation)) == NULL) {
    say_wrong(life, "what was found after a stop was never committed");
    return DRAY_OK;
  }
  settle_on(life, found);
  return info.prepared_generation != 0 ? dr_mirror_rollback(life->mirror, error) : DRAY_OK;
}

int32_t life_recover(struct life *life, struct dray_error *error) {
  const int32_t rc = recover(life, error);
  close_life(life);
  return rc;
}

// Every row (`first`: only the first one) has a new version, and all that is not held is acknowledged.
static int32_t take_new(struct life *life, int first, struct dray_error *error) {
  const struct life_pass pass = {.flags = DR_DIFF_FULL, .rows = life->wanted, .batch_rows = 1000};
  struct dr_diff_counts counts;
  for (size_t key = 0; key < (first ? 1 : life->shape->keys); key++) life->wanted[key] = ++life->version;
  DRAY_TRY(do_pass(life, &pass, &counts, error));
  return take_changes(life, 1, 0, error);
}

static int32_t refuse_and_repeat(struct life *life, struct dray_error *error) {
  DRAY_TRY(take_new(life, 0, error));
  DRAY_TRY(commit_taken(life, error));
  DRAY_TRY(take_new(life, 0, error));
  DRAY_TRY(dr_mirror_prepare(life->mirror, life->generation + 1, error));
  memcpy(life->taken, life->held, life->shape->keys * sizeof *life->taken);
  DRAY_TRY(dr_mirror_rollback(life->mirror, error));
  DRAY_TRY(take_new(life, 1, error));
  return commit_taken(life, error);
}

int32_t life_refused(struct life *life, struct dray_error *error) {
  int32_t rc = open_life(life, error);
  if (rc == DRAY_OK) rc = refuse_and_repeat(life, error);
  close_life(life);
  return rc;
}

int32_t life_converge(struct life *life, struct dray_error *error) {
  int32_t rc = open_life(life, error);
  for (size_t tries = 0; rc == DRAY_OK; tries++) {
    struct life_pass pass = {.flags = DR_DIFF_FULL, .rows = life->wanted, .batch_rows = 1000};
    struct dr_diff_counts counts;
    rc = do_pass(life, &pass, &counts, error);
    if (rc != DRAY_OK) break;
    if (counts.inserts + counts.updates + counts.deletes + counts.deferred == 0) {
      if (tries == 0 || memcmp(life->held, life->wanted, life->shape->keys * sizeof *life->held) == 0) break;
      say_wrong(life, "a pass finds nothing to do, and not all was taken");
      break;
    }
    if (tries > 3) {
      say_wrong(life, "the work does not come to its end");
      break;
    }
    rc = take_changes(life, 1, 0, error);
    if (rc == DRAY_OK) rc = commit_taken(life, error);
    if (rc == DRAY_OK) rc = dr_mirror_compact(life->mirror, error);
  }
  close_life(life);
  return rc;
}
