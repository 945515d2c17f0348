// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Looking at what is left after a stop, and comparing it with what may be and what must be.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "life.h"
#include "life_rows.h"

static const char *wrong(struct life *life, const char *format, ...) DRAY_PRINTF(2, 3);
static const char *wrong(struct life *life, const char *format, ...) {
  va_list list;
  va_start(list, format);
  (void)vsnprintf(life->wrong, sizeof life->wrong, format, list);
  va_end(list);
  return life->wrong;
}

// ---- the truth at a position ----

static size_t last_certain(const struct life *life, size_t position) {
  size_t certain = 0;
  for (size_t i = 0; i < life->state_count; i++) {
    if (life->states[i].done <= position) certain = i;
  }
  return certain;
}

// The state that may be there at `position` and is of this generation; `missing`: one in which there is no mirror.
static const struct life_state *possible(const struct life *life, size_t position, int missing, uint64_t generation) {
  for (size_t i = life->state_count; i-- > last_certain(life, position);) {
    const struct life_state *state = &life->states[i];
    if (state->begin > position || state->void_from <= position || state->missing != missing) continue;
    if (missing || state->generation == generation) return state;
  }
  return NULL;
}

static uint64_t other_at(const struct life *life, size_t position) {
  uint64_t generation = 0;
  for (size_t i = 0; i < life->other_count && life->others[i].position <= position; i++) {
    generation = life->others[i].generation;
  }
  return generation;
}

// ---- the mirror ----

// A pass over exactly the rows that should be held finds nothing to do.
static const char *check_rows(struct life *life, struct dr_mirror *mirror, const char *folder,
                              const struct life_state *state) {
  char set_path[256];
  struct dr_diff_counts counts = {.deferred = 1};
  struct dr_mirror_info info;
  struct dray_error error;
  uint64_t rows = 0;
  dray_error_init(&error);
  (void)snprintf(set_path, sizeof set_path, "%s/looked-at", folder);
  for (size_t i = 0; i < life->shape->keys; i++) rows += state->held[i] != 0;
  for (int tries = 0; counts.deferred != 0 && tries < 4; tries++) {
    const struct life_pass pass = {.flags = DR_DIFF_FULL, .rows = state->held, .batch_rows = 500};
    const int32_t rc = life_pass(life, mirror, set_path, &pass, &counts, &error);
    if (rc != DRAY_OK) return wrong(life, "a pass fails with %d: %s", rc, error.text);
  }
  dr_mirror_info(mirror, &info);
  if (counts.unchanged == rows && counts.deletes == 0 && info.rows == rows) return NULL;
  return wrong(life,
               "generation %" PRIu64 " is not what was committed: %" PRIu64 " of %" PRIu64 " rows are equal, %" PRIu64
               " too many, it says %" PRIu64,
               state->generation, counts.unchanged, rows, counts.deletes, info.rows);
}

static const char *check_open(struct life *life, struct dr_mirror *mirror, const char *folder, size_t position,
                              struct life_found *out) {
  struct dr_mirror_info info;
  struct dray_error error;
  dray_error_init(&error);
  dr_mirror_info(mirror, &info);
  const struct life_state *certain = &life->states[last_certain(life, position)];
  out->pre = out->post = possible(life, position, 0, info.generation);
  if (out->pre == NULL) {
    return wrong(life, "generation %" PRIu64 " was found, and %" PRIu64 " is certain", info.generation,
                 certain->generation);
  }
  if (info.prepared_generation != 0) {
    const int agreed = info.prepared_generation == out->other;
    const int32_t rc =
        agreed ? dr_mirror_commit(mirror, info.prepared_generation, &error) : dr_mirror_rollback(mirror, &error);
    if (rc != DRAY_OK) return wrong(life, "what was prepared cannot be settled: %d %s", rc, error.text);
    dr_mirror_info(mirror, &info);
    out->post = possible(life, position, 0, info.generation);
    if (out->post == NULL) return wrong(life, "generation %" PRIu64 " was settled", info.generation);
  }
  if (out->other > out->post->generation) {
    return wrong(life, "the other side has generation %" PRIu64 ", and the mirror %" PRIu64, out->other,
                 out->post->generation);
  }
  return check_rows(life, mirror, folder, out->post);
}

const char *life_check(struct life *life, const char *folder, size_t position, struct life_found *out) {
  char path[256];
  struct dr_mirror *mirror = NULL;
  struct dr_mirror_info info;
  struct dray_error error;
  dray_error_init(&error);
  (void)snprintf(path, sizeof path, "%s/mirror", folder);
  *out = (struct life_found){.other = other_at(life, position)};
  // One whose making was cut short is made anew; else it must be there.
  const int may_miss = possible(life, position, 1, 0) != NULL;
  const int missing = !dr_mirror_exists(path);
  if (missing && !may_miss) return wrong(life, "the mirror is gone");
  const struct dr_mirror_options options = life_options(life, path, missing);
  int32_t rc = dr_mirror_open(&options, &mirror, &error);
  if (rc != DRAY_OK) return wrong(life, "it is refused: %d %s", rc, error.text);
  const char *said = NULL;
  if (missing) {
    const struct life_state empty = {.held = calloc(life->shape->keys, sizeof(uint32_t))};
    if (empty.held == NULL) abort();
    out->pre = out->post = possible(life, position, 1, 0);
    said = check_rows(life, mirror, folder, &empty);
    free(empty.held);
  } else {
    said = check_open(life, mirror, folder, position, out);
  }
  dr_mirror_close(mirror);
  if (said != NULL) return said;
  rc = dr_mirror_verify(path, &info, &error);
  return rc == DRAY_OK ? NULL : wrong(life, "it does not verify: %d %s", rc, error.text);
}

// ---- the change set ----

const char *life_check_set(struct life *life, const char *folder, size_t position) {
  char path[256];
  struct dray_error error;
  uint64_t digest = 0, count = 0;
  const struct life_set *promised = NULL;
  int loose = 0; // the name may mean something else by now, or nothing
  for (size_t i = 0; i < life->set_count && life->sets[i].begin <= position; i++) {
    const struct life_set *set = &life->sets[i];
    if (set->done <= position && set->count > 0) {
      promised = set;
      loose = 0;
    }
    // An empty set is not synced: there is nothing in it that could be lost.
    if (set->count == 0 || set->done == SIZE_MAX || set->removed <= position) loose = 1;
  }
  dray_error_init(&error);
  (void)snprintf(path, sizeof path, "%s/changes", folder);
  const int32_t rc = life_digest(path, &digest, &count, &error);
  if (rc != DRAY_OK) {
    if (promised == NULL || loose) return NULL;
    return wrong(life, "a change set that was durable cannot be read: %d %s", rc, error.text);
  }
  for (size_t i = 0; i < life->set_count && life->sets[i].begin <= position; i++) {
    const struct life_set *set = &life->sets[i];
    // One that failed, perhaps behind its last write: its content is not known here.
    if (set->done == SIZE_MAX && (promised == NULL || set > promised)) return NULL;
    const int older = promised != NULL && !loose && set < promised;
    if (!older && set->digest == digest && set->count == count) return NULL;
  }
  return wrong(life, "the change set of %" PRIu64 " changes is none that was made, or an old one", count);
}
