// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Cutting recorded lives, and counting what came of it.
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/log.h"

#define FAILURES_SHOWN 20

struct stage_tally stage_tally;

static char scratch[64];

int stage_open(void) {
  const struct dr_log_options quiet = {.level = DRAY_LOG_ERROR};
  dr_log_setup(&quiet);
  (void)snprintf(scratch, sizeof scratch, "%s/dray-power-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  return mkdtemp(scratch) != NULL;
}

void stage_close(void) {
  if (getenv("DRAY_POWER_LEAVE") == NULL) disk_remove(scratch);
}

void stage_path(char *out, size_t bytes, const char *name) {
  static size_t number;
  (void)snprintf(out, bytes, "%s/%s-%zu", scratch, name, number++);
}

uint64_t stage_setting(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text != NULL ? strtoull(text, NULL, 10) : standard;
}

void stage_wrong(const struct life *life, const char *where, const char *what) {
  if (++stage_tally.failures > FAILURES_SHOWN) return;
  (void)printf("%s (%s, keep %d, threads %u): %s\n", where, life->shape->name, life->keep, life->threads, what);
  (void)fflush(stdout);
}

static void show_recording(const struct life *life, const struct disk_log *log) {
  static const char *const kinds[] = {"name", "unname", "rename", "write", "size", "sync", "failed sync"};
  for (size_t i = 0; i < log->count; i++) {
    const struct disk_op *op = &log->ops[i];
    (void)printf("%4zu %s file %d %s %s at %llu, %llu bytes\n", i, kinds[op->kind], op->file, op->name, op->new_name,
                 (unsigned long long)op->offset, (unsigned long long)op->len);
  }
  for (size_t i = 0; i < life->state_count; i++) {
    const struct life_state *state = &life->states[i];
    size_t rows = 0;
    for (size_t key = 0; key < life->shape->keys; key++) rows += state->held[key] != 0;
    (void)printf("possible from %zd to %zd, certain from %zd: %s, generation %llu, %zu rows\n", (ssize_t)state->begin,
                 (ssize_t)state->void_from, (ssize_t)state->done, state->missing ? "no mirror" : "a mirror",
                 (unsigned long long)state->generation, rows);
  }
}

// ---- living ----

// Whether a failure of this kind may come back as this code. A stop is no error that anyone hears of.
static int named(enum disk_failure kind, int32_t rc) {
  return rc == DRAY_OK || (kind == DISK_FULL_AT ? rc == DRAY_E_DISK_FULL : rc == DRAY_E_IO);
}

int stage_runs(struct life *life, size_t runs, enum disk_failure kind, uint64_t nth, const char *where,
               int *out_struck) {
  struct dray_error error;
  dray_error_init(&error);
  disk_fail(kind, nth);
  int32_t rc = life_go(life, runs, &error);
  *out_struck = disk_failed();
  disk_fail(DISK_WELL, 0);
  if (life->wrong[0] == '\0' && *out_struck && named(kind, rc)) {
    stage_tally.stops++;
    rc = life_recover(life, &error);
  }
  if (rc != DRAY_OK || life->wrong[0] != '\0') {
    stage_wrong(life, where, life->wrong[0] != '\0' ? life->wrong : error.text);
    return 0;
  }
  if (disk_retried_syncs() == 0) return 1;
  stage_wrong(life, where, "a descriptor was synced again after a sync of it had failed");
  return 0;
}

int stage_recorded_all(const struct life *life, const struct disk_log *log) {
  char copy[128];
  stage_path(copy, sizeof copy, "copy");
  disk_rebuild(log, log->count, DISK_EVERYTHING, 0, copy);
  const int same = disk_same(copy, life->folder);
  disk_remove(copy);
  return same;
}

// ---- cutting ----

// Half of the cuts go where names or syncs are, since that is where a state ends.
static size_t choose_position(const struct disk_log *log, uint64_t chance) {
  const size_t position = (size_t)(disk_mix(chance, 1) % (log->count + 1));
  if (disk_mix(chance, 2) % 2 == 0) return position;
  for (size_t i = 0; i < log->count; i++) {
    const size_t at = (position + i) % log->count;
    const enum disk_kind kind = log->ops[at].kind;
    if (kind != DISK_WRITE && kind != DISK_SIZE) return at + disk_mix(chance, 3) % 2;
  }
  return position;
}

int stage_cut(struct life *life, const struct disk_log *log, struct stage_cuts *cuts) {
  const char *said = NULL;
  for (uint64_t i = 0; i < cuts->count; i++) {
    const uint64_t chance = disk_mix(cuts->seed, i + 1);
    const enum disk_model model = disk_mix(chance, 9) % 2 == 0 ? DISK_PREFIX : DISK_SUBSET;
    size_t position = choose_position(log, chance);
    if (position < cuts->from) position = cuts->from + disk_mix(chance, 4) % (log->count - cuts->from + 1);
    char folder[128], where[200];
    stage_path(folder, sizeof folder, "cut");
    disk_rebuild(log, position, model, chance, folder);
    said = life_check_set(life, folder, position);
    if (said == NULL) said = life_check(life, folder, position, &cuts->found);
    stage_tally.cuts++;
    if (said != NULL) {
      (void)snprintf(where, sizeof where, "%s, cut %zu of %zu, %s of the names, left in %s", cuts->where, position,
                     log->count, model == DISK_PREFIX ? "prefix" : "subset", folder);
      stage_wrong(life, where, said);
      if (getenv("DRAY_POWER_LEAVE") != NULL) show_recording(life, log);
    }
    if (said == NULL || getenv("DRAY_POWER_LEAVE") == NULL) disk_remove(folder);
    if (said == NULL && i + 1 == cuts->count && cuts->next != NULL) {
      disk_rebuild(log, position, model, chance, cuts->next);
    }
  }
  return said == NULL;
}
