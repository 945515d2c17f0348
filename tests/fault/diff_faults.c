// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One life, again and again: with the disk full at its n-th write, the n-th fsync failing, the process dead at its n-th
// call, for every n until none is left. Each time the failure has its name, no descriptor is synced again after a sync
// of it has failed, a new process finds what was committed and goes on to the end; and at points all along the way the
// power is cut as well.
//
//   DRAY_FAULTS_SEEDS=20 DRAY_FAULTS_FROM=0 DRAY_FAULTS_STEP=1 fault_diff_faults
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "stage.h"

#define RUNS 6

// Returns whether the failure struck.
static int once(uint64_t seed, enum disk_failure kind, uint64_t nth, const char *where) {
  struct life *life = calloc(1, sizeof *life);
  struct stage_cuts cuts = {.count = 3, .seed = disk_mix(seed, nth * 4 + kind), .where = where};
  struct dray_error error;
  char folder[128];
  int struck = 0;
  assert_non_null(life);
  dray_error_init(&error);
  stage_path(folder, sizeof folder, "life");
  assert_int_equal(mkdir(folder, 0700), 0);
  life_init(life, seed, folder);
  disk_record(folder);
  int good = stage_runs(life, RUNS, kind, nth, where, &struck);
  if (good && life_converge(life, &error) != DRAY_OK) {
    good = 0;
    stage_wrong(life, where, error.text);
  }
  if (good && life->wrong[0] != '\0') stage_wrong(life, where, life->wrong);
  struct disk_log *log = disk_stop();
  stage_tally.lives++;
  stage_tally.operations += log->count;
  if (good && stage_recorded_all(life, log)) {
    (void)stage_cut(life, log, &cuts);
  } else if (good) {
    stage_wrong(life, where, "the recorder missed something");
  }
  disk_log_free(log);
  disk_remove(folder);
  life_free(life);
  free(life);
  return struck;
}

static void every_n(enum disk_failure kind, const char *name) {
  const uint64_t from = stage_setting("DRAY_FAULTS_FROM", 0), count = stage_setting("DRAY_FAULTS_SEEDS", 2);
  const uint64_t step = stage_setting("DRAY_FAULTS_STEP", 1);
  const struct stage_tally before = stage_tally;
  for (uint64_t seed = from; seed < from + count; seed++) {
    for (uint64_t nth = 1;; nth += step) {
      char where[96];
      (void)snprintf(where, sizeof where, "seed %llu, %s at %llu", (unsigned long long)seed, name,
                     (unsigned long long)nth);
      if (!once(seed, kind, nth, where)) break;
    }
  }
  print_message("%s: %zu times, %zu states after a cut\n", name, stage_tally.stops - before.stops,
                stage_tally.cuts - before.cuts);
  assert_int_equal(stage_tally.failures, before.failures);
  assert_true(stage_tally.stops - before.stops > 10 * count / step);
}

static void test_full_disk_at_every_write_is_named_and_loses_nothing(void **state) {
  (void)state;
  every_n(DISK_FULL_AT, "disk full");
}

static void test_every_failed_sync_is_named_never_repeated_and_loses_nothing(void **state) {
  (void)state;
  every_n(DISK_SYNC_FAILS_AT, "failed sync");
}

static void test_death_at_every_call_loses_nothing(void **state) {
  (void)state;
  every_n(DISK_DEAD_AT, "death");
}

int main(void) {
  if (!stage_open()) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_full_disk_at_every_write_is_named_and_loses_nothing),
      cmocka_unit_test(test_every_failed_sync_is_named_never_repeated_and_loses_nothing),
      cmocka_unit_test(test_death_at_every_call_loses_nothing),
  };
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  stage_close();
  return failed;
}
