// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that a limit of the destination keeps back (429): waited for, left to the next run, never refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "scene.h"
#include "store/store.h"

#define EIGHT "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"g\"],[8,\"h\"]]"
#define ROWS 8
#define THROTTLED                                                                                                      \
  "\"throttled\", \"throttled\", \"throttled\", \"throttled\", \"throttled\", \"throttled\", \"throttled\", "          \
  "\"throttled\", \"throttled\", \"throttled\""
#define SYNC "    mode: mirror\n    guard: off\n"

// How long the runs that follow wait while no row is taken; the probe asks for 1 ms each time.
static void patience(const char *ms) {
  (void)(ms != NULL ? setenv("DRAY_LIMIT_MS", ms, 1) : unsetenv("DRAY_LIMIT_MS"));
}

static void expect_records(struct scene *scene, uint64_t wanted) {
  struct dr_store *store = scene_store(scene);
  struct dray_error error;
  uint64_t rejected = 0, parked = 0;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(rejected + parked, wanted);
}

static void expect_each_once(const struct scene *scene) {
  for (int id = 1; id <= ROWS; id++) {
    char line[32];
    (void)snprintf(line, sizeof(line), "GOT %d ", id);
    assert_int_equal(scene_count(scene, line), 1);
  }
}

// One row is taken each time, and the limit keeps all others back.
static void test_limit_is_waited_for_while_rows_are_taken(void **state) {
  (void)state;
  struct scene scene;
  char script[2048] = ", \"receipts\": {";
  for (int id = 1; id <= ROWS; id++) {
    size_t at = strlen(script);
    (void)snprintf(script + at, sizeof(script) - at, "%s\"%d\": [", id > 1 ? ", " : "", id);
    for (int times = 1; times < id; times++) {
      at = strlen(script);
      (void)snprintf(script + at, sizeof(script) - at, "\"limited\", ");
    }
    at = strlen(script);
    (void)snprintf(script + at, sizeof(script) - at, "\"applied\"]");
  }
  (void)strncat(script, "}", sizeof(script) - strlen(script) - 1);
  patience("2"); // for one more than that without a row it would not wait
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT, script);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.refused, 0);
  assert_int_equal(scene.report.kept_back, 0);
  assert_int_equal(scene.report.sent, ROWS);
  assert_int_equal(scene.report.applied, ROWS);
  assert_int_equal(scene.report.exit_code, 0);
  expect_each_once(&scene);
  expect_records(&scene, 0);
  patience(NULL);
  scene_end(&scene);
}

static void test_rows_kept_back_for_too_long_are_the_next_runs(void **state) {
  (void)state;
  struct scene scene;
  patience("20");
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT, ", \"receipts\": {\"2\": [\"limited\"], \"3\": [\"limited\"], \"6\": [\"rejected\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.kept_back, 2);
  assert_int_equal(scene.report.refused, 1);
  assert_int_equal(scene.report.applied, ROWS - 3);
  assert_int_equal(scene.report.exit_code, 3);
  assert_true(scene_count(&scene, "TRY 2") > 5);
  expect_records(&scene, 1); // of the refused row
  // What was refused before and is kept back now stays on record.
  scene_rows(&scene, EIGHT, ", \"receipts\": {\"2\": [\"limited\"], \"6\": [\"limited\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.kept_back, 2);
  assert_int_equal(scene.report.applied, 1);
  expect_records(&scene, 1);
  scene_rows(&scene, EIGHT, "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 0);
  assert_int_equal(scene.report.applied, 2);
  expect_each_once(&scene);
  expect_records(&scene, 0);
  patience(NULL);
  scene_end(&scene);
}

// The rows of one batch may be limited alone; when none of the next is taken either, the run ends.
static void test_run_ends_when_nothing_is_taken_any_more(void **state) {
  (void)state;
  static const char *const ways[] = {
      "\"receipts\": {\"1\": [\"limited\"], \"2\": [\"limited\"], \"3\": [\"limited\"], \"4\": [\"limited\"],"
      " \"5\": [\"limited\"], \"6\": [\"limited\"], \"7\": [\"limited\"], \"8\": [\"limited\"]}",
      "\"calls\": [\"throttled\", \"throttled\", \"throttled\", \"throttled\"]"};
  for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
    struct scene scene;
    char script[512];
    patience("20");
    scene_activate(&scene, SYNC);
    (void)snprintf(script, sizeof(script), ", \"caps\": {\"doubt\": 4, \"rows_max\": 2}, %s", ways[i]);
    scene_rows(&scene, EIGHT, script);
    assert_int_equal(scene_run(&scene, 0), DRAY_E_THROTTLED);
    assert_int_equal(scene.report.exit_code, 1);
    assert_int_equal(scene.report.refused, 0);
    assert_int_equal(scene.report.unsent + scene.report.kept_back, ROWS);
    assert_non_null(strstr(scene.report.error.text, "the destination has taken no row for"));
    assert_non_null(strstr(scene.report.error.text, "the probe"));
    expect_records(&scene, 0);
    scene_rows(&scene, EIGHT, ", \"caps\": {\"doubt\": 4, \"rows_max\": 2}");
    patience(NULL);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.exit_code, 0);
    expect_each_once(&scene);
    scene_end(&scene);
  }
}

// The limit is of single rows, and the destination stops at each: by receipts or by an error of the call. What is
// behind them is sent, in the same batch and in others, and by the next run too.
static void test_a_row_that_is_limited_for_ever_holds_up_no_other(void **state) {
  (void)state;
  static const struct {
    const char *stop;
    int rows_max;
    uint64_t kept_back; // as few as these
  } cases[] = {{"1", 4, 1}, {"1", 1, 1}, {"1, 2, 3", 8, 3}, {"5", 8, 1}, {"1, 6", 4, 2}};
  for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char script[512];
    patience("20");
    scene_activate(&scene, SYNC);
    (void)snprintf(script, sizeof(script),
                   ", \"caps\": {\"doubt\": 4, \"rows_max\": %d}, \"stop\": [%s], \"stop_calls\": %zu",
                   cases[i / 2].rows_max, cases[i / 2].stop, i % 2);
    scene_rows(&scene, EIGHT, script);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.kept_back, cases[i / 2].kept_back);
    assert_int_equal(scene.report.applied, ROWS - cases[i / 2].kept_back);
    assert_int_equal(scene.report.unsent + scene.report.refused, 0);
    assert_int_equal(scene.report.exit_code, 3);
    expect_records(&scene, 0);
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"G\"],[8,\"h\"]]", script);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 1);
    assert_int_equal(scene_count(&scene, "GOT 7 update"), 1);
    patience(NULL);
    scene_rows(&scene, EIGHT, "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.exit_code, 0);
    for (int id = 1; id <= ROWS; id++) {
      char line[32];
      (void)snprintf(line, sizeof(line), "GOT %d insert", id);
      assert_int_equal(scene_count(&scene, line), 1);
    }
    scene_end(&scene);
  }
}

// So does a batch in doubt that would be sent again.
static void test_doubt_that_is_limited_for_ever_holds_up_no_other_row(void **state) {
  (void)state;
  static const char stop[] = ", \"caps\": {\"doubt\": 1, \"rows_max\": 1}, \"stop\": [1], \"stop_calls\": 1";
  struct scene scene;
  patience("20");
  scene_activate(&scene, SYNC);
  scene_rows(&scene, "[[1,\"a\"]]", ", \"caps\": {\"doubt\": 1, \"rows_max\": 1}, \"receipts\": {\"1\": [\"lost\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.in_doubt, 1);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", stop);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 1);
  assert_int_equal(scene.report.in_doubt, 1);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(scene_count(&scene, "GOT 2 "), 1);
  const size_t calls = scene_count(&scene, "CALL");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]",
             ", \"caps\": {\"doubt\": 1, \"rows_max\": 1}, \"stop\": [1, 3], \"stop_calls\": 1");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_THROTTLED); // of nothing else either
  assert_int_equal(scene.report.in_doubt, 1);
  assert_in_range(scene_count(&scene, "CALL") - calls, 2, 30); // one patience for both
  patience(NULL);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]", ", \"caps\": {\"doubt\": 1, \"rows_max\": 1}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 0);
  assert_int_equal(scene.report.mirror_rows, 3);
  scene_end(&scene);
}

// A job that ends with rows that a limit kept back: they are sent again in the same run.
static void test_rows_of_a_job_are_sent_again_after_the_limit(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT,
             ", \"caps\": {\"doubt\": 4, \"rows_max\": 8, \"jobs\": 1}, \"poll\": \"limited\", "
             "\"receipts\": {\"1\": [\"in_job\", \"applied\"], \"2\": [\"in_job\", \"applied\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.refused, 0);
  assert_int_equal(scene.report.pending, 0);
  assert_int_equal(scene.report.exit_code, 0);
  assert_int_equal(scene.report.mirror_rows, ROWS);
  expect_each_once(&scene);
  expect_records(&scene, 0);
  scene_end(&scene);
}

// A job that takes rows has not taken them: where each ends with what the limit kept back, patience ends as well.
static void test_jobs_that_always_end_at_the_limit_are_the_next_runs(void **state) {
  (void)state;
  struct scene scene;
  patience("20");
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT,
             ", \"caps\": {\"doubt\": 4, \"rows_max\": 8, \"jobs\": 1}, \"poll\": \"limited\", "
             "\"receipts\": {\"1\": [\"in_job\"], \"2\": [\"in_job\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, ROWS - 2);
  assert_int_equal(scene.report.kept_back, 2);
  assert_int_equal(scene.report.unsent, 0);
  assert_int_equal(scene.report.pending, 0);
  assert_int_equal(scene.report.exit_code, 3);
  expect_records(&scene, 0);
  patience(NULL);
  scene_end(&scene);
}

// What cannot be sent again after a job is no failure of asking for the job.
static void test_failure_after_a_job_is_told(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT,
             ", \"caps\": {\"doubt\": 4, \"rows_max\": 8, \"jobs\": 1}, \"poll\": \"retry\", "
             "\"receipts\": {\"1\": [\"in_job\", \"applied\"], \"2\": [\"in_job\", \"applied\"]}, "
             "\"calls\": [null, \"transient\", \"transient\", \"transient\", \"transient\", \"transient\"]");
  assert_int_not_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 1);
  assert_int_equal(scene.report.applied, ROWS - 2);
  assert_true(scene.report.error.text[0] != '\0');
  scene_end(&scene);
}

// Halves, runs of rows and ranges that a limit stops in the middle: each row is somewhere in the counts, once.
static void test_every_row_is_counted_where_the_limit_stops_a_part(void **state) {
  (void)state;
  static const struct {
    const char *script;
    uint64_t applied;
  } cases[] = {
      {", \"calls\": [\"data\", null, " THROTTLED "]", ROWS / 2},
      {", \"calls\": [\"data\", " THROTTLED "]", 0},
      {", \"receipts\": {\"1\": [\"limited\"], \"2\": [\"limited\"], \"5\": [\"retry\"]}, "
       "\"calls\": [null, " THROTTLED "]",
       ROWS - 3},
      {", \"receipts\": {\"3\": [\"retry\"], \"5\": [\"retry\"], \"7\": [\"retry\"]}, "
       "\"calls\": [null, null, " THROTTLED "]",
       ROWS - 3},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    patience("2");
    scene_activate(&scene, SYNC);
    scene_rows(&scene, EIGHT, cases[i].script);
    assert_int_equal(scene_run(&scene, 0), DRAY_E_THROTTLED);
    assert_int_equal(scene.report.applied, cases[i].applied);
    assert_int_equal(scene.report.applied + scene.report.kept_back + scene.report.unsent, ROWS);
    assert_int_equal(scene.report.refused, 0);
    expect_records(&scene, 0);
    scene_rows(&scene, EIGHT, "");
    patience(NULL);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.exit_code, 0);
    expect_each_once(&scene);
    scene_end(&scene);
  }
}

// How many calls came without a poll between them, at most, behind the first call.
static size_t calls_between_polls(const struct scene *scene) {
  char path[200], line[4096];
  size_t calls = 0, now = 0, most = 0;
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene->folder);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, "POLL", 4) == 0) now = 0;
    if (strncmp(line, "CALL", 4) == 0 && calls++ > 0 && ++now > most) most = now;
  }
  (void)fclose(file);
  return most;
}

// Rows that stand apart are jobs of their own, and no more of those are open than the destination takes.
static void test_rows_kept_back_take_no_more_jobs_than_there_are(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT,
             ", \"caps\": {\"doubt\": 4, \"rows_max\": 8, \"jobs\": 1}, \"poll\": \"applied\", "
             "\"receipts\": {\"1\": [\"limited\", \"in_job\"], \"3\": [\"limited\", \"in_job\"], "
             "\"5\": [\"limited\", \"in_job\"], \"7\": [\"limited\", \"in_job\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.kept_back + scene.report.unsent + scene.report.pending, 0);
  assert_int_equal(scene.report.mirror_rows, ROWS);
  assert_int_equal(calls_between_polls(&scene), 1);
  expect_records(&scene, 0);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_limit_is_waited_for_while_rows_are_taken),
      cmocka_unit_test(test_rows_kept_back_for_too_long_are_the_next_runs),
      cmocka_unit_test(test_run_ends_when_nothing_is_taken_any_more),
      cmocka_unit_test(test_a_row_that_is_limited_for_ever_holds_up_no_other),
      cmocka_unit_test(test_doubt_that_is_limited_for_ever_holds_up_no_other_row),
      cmocka_unit_test(test_rows_of_a_job_are_sent_again_after_the_limit),
      cmocka_unit_test(test_jobs_that_always_end_at_the_limit_are_the_next_runs),
      cmocka_unit_test(test_failure_after_a_job_is_told),
      cmocka_unit_test(test_every_row_is_counted_where_the_limit_stops_a_part),
      cmocka_unit_test(test_rows_kept_back_take_no_more_jobs_than_there_are),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
