// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Power cuts. Each seed is a life of a mirror, recorded, in which processes also die, disks fill up and syncs fail. It
// is cut at many points, and from what each cut leaves the mirror must come up as what was committed, its change set
// whole. From one of the cuts the life goes on, recorded again, through further cuts, to its end.
//
//   DRAY_POWER_SEEDS=1000 DRAY_POWER_FROM=0 DRAY_POWER_CUTS=12 fault_diff_power
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "stage.h"

#define DEPTH_MAX 3

// One recording: a few processes, one after the other, of which some are stopped.
static int live(struct life *life, uint64_t seed, size_t depth, const char *where) {
  const uint64_t processes = 1 + disk_mix(seed, depth + 20) % 3;
  for (uint64_t i = 0; i < processes; i++) {
    const uint64_t chance = disk_mix(disk_mix(seed, depth), 100 + i);
    const enum disk_failure kind = chance % 2 == 0 ? DISK_WELL : (enum disk_failure)(chance / 2 % 4);
    const uint64_t nth = 1 + chance / 8 % (kind == DISK_SYNC_FAILS_AT ? 20 : 120);
    int struck = 0;
    if (!stage_runs(life, 1 + chance / 1024 % 8, kind, nth, where, &struck)) return 0;
  }
  if (depth < DEPTH_MAX) return 1;
  struct dray_error error;
  dray_error_init(&error);
  const int32_t rc = life_converge(life, &error);
  if (rc == DRAY_OK && life->wrong[0] == '\0') return 1;
  stage_wrong(life, where, rc != DRAY_OK ? error.text : life->wrong);
  return 0;
}

static int record_and_cut(struct life *life, uint64_t seed, size_t depth, struct stage_cuts *cuts) {
  disk_record(life->folder);
  const int lived = live(life, seed, depth, cuts->where);
  struct disk_log *log = disk_stop();
  stage_tally.lives++;
  stage_tally.operations += log->count;
  const int whole = stage_recorded_all(life, log);
  if (!whole) stage_wrong(life, cuts->where, "the recorder missed something");
  const int good = lived && whole && stage_cut(life, log, cuts);
  disk_log_free(log);
  return good;
}

static void run_seed(uint64_t seed) {
  struct life *life = calloc(1, sizeof *life), *after = calloc(1, sizeof *after);
  char folder[128], next[128], where[64];
  assert_non_null(life);
  assert_non_null(after);
  stage_path(folder, sizeof folder, "life");
  assert_int_equal(mkdir(folder, 0700), 0);
  life_init(life, seed, folder);
  for (size_t depth = 0; depth <= DEPTH_MAX; depth++) {
    stage_path(next, sizeof next, "life");
    (void)snprintf(where, sizeof where, "seed %llu, life %zu", (unsigned long long)seed, depth);
    struct stage_cuts cuts = {.count = stage_setting("DRAY_POWER_CUTS", 8),
                              .seed = disk_mix(seed, depth),
                              .where = where,
                              .next = depth < DEPTH_MAX ? next : NULL};
    const int good = record_and_cut(life, seed, depth, &cuts);
    disk_remove(folder);
    if (!good || depth == DEPTH_MAX) break;
    stage_tally.refollowed++;
    life_follow(after, life, cuts.found.pre, cuts.found.post, cuts.found.other, disk_mix(seed, depth + 1), next);
    life_free(life);
    *life = *after;
    memcpy(folder, next, sizeof folder);
  }
  life_free(life);
  free(life);
  free(after);
}

static void test_power_cuts_leave_what_was_committed(void **state) {
  (void)state;
  const uint64_t from = stage_setting("DRAY_POWER_FROM", 0), count = stage_setting("DRAY_POWER_SEEDS", 40);
  for (uint64_t seed = from; seed < from + count; seed++) run_seed(seed);
  print_message("%llu seeds: %zu lives of %zu operations, %zu stops and failures, %zu states after a cut, %zu lives "
                "went on from one\n",
                (unsigned long long)count, stage_tally.lives, stage_tally.operations, stage_tally.stops,
                stage_tally.cuts, stage_tally.refollowed);
  assert_int_equal(stage_tally.failures, 0);
}

// A seed of a life of rows of one length, so many to a frame that it spans sectors.
static uint64_t seed_of_long_frames(void) {
  struct life life;
  for (uint64_t seed = 48;; seed += 2) {
    life_init(&life, seed, "/nowhere");
    const int fits = strcmp(life.shape->name, "fixed") == 0 && life.keep == DR_KEEP_ROW && seed % 59 >= 40;
    life_free(&life);
    if (fits) return seed;
  }
}

// What was taken back lies where new frames are written. Were the cut not durable before those, sectors of the one and
// the other would make a whole that nobody committed.
static void test_frames_that_were_taken_back_do_not_come_back_among_new_ones(void **state) {
  (void)state;
  static struct life life;
  struct dray_error error;
  char folder[128];
  dray_error_init(&error);
  const size_t failures = stage_tally.failures;
  stage_path(folder, sizeof folder, "life");
  assert_int_equal(mkdir(folder, 0700), 0);
  life_init(&life, seed_of_long_frames(), folder);
  disk_record(folder);
  const int32_t rc = life_refused(&life, &error);
  struct disk_log *log = disk_stop();
  if (rc != DRAY_OK) fail_msg("%d %s", rc, error.text);
  assert_true(stage_recorded_all(&life, log));
  struct stage_cuts cuts = {.count = 600, .seed = life.seed, .where = "refused and repeated", .from = log->count - 4};
  (void)stage_cut(&life, log, &cuts);
  disk_log_free(log);
  disk_remove(folder);
  life_free(&life);
  assert_int_equal(stage_tally.failures, failures);
}

int main(void) {
  if (!stage_open()) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frames_that_were_taken_back_do_not_come_back_among_new_ones),
      cmocka_unit_test(test_power_cuts_leave_what_was_committed),
  };
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  stage_close();
  return failed;
}
