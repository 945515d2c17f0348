// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A destination that works in jobs is never given more of them at once than it takes, by whatever way rows come there:
// lanes, halves, rows that are sent again, rows in doubt. What has to wait for a job is sent in the same run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "scene.h"

#define EIGHT "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"g\"],[8,\"h\"]]"
#define ROWS 8
#define SYNC "    mode: mirror\n    guard: off\n"

// How many jobs the probe had at once, at most.
static size_t jobs_at_once(const struct scene *scene) {
  char path[200], line[4096];
  size_t now = 0, most = 0;
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene->folder);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof(line), file) != NULL) {
    if (strcmp(line, "JOB\n") == 0 && ++now > most) most = now;
    if (strcmp(line, "ENDED\n") == 0) now--;
  }
  (void)fclose(file);
  return most;
}

static void expect_all_settled(const struct scene *scene, uint64_t mirror_rows) {
  const struct dr_run_report *report = &scene->report;
  assert_int_equal(report->error.code, DRAY_OK);
  assert_int_equal(report->pending + report->unsent + report->kept_back + report->in_doubt, 0);
  assert_int_equal(report->mirror_rows, mirror_rows);
}

// Whatever makes several batches of one: each waits for a job to end.
static void test_parts_of_a_batch_take_no_more_jobs_than_there_are(void **state) {
  (void)state;
  static const struct {
    const char *script;
    uint64_t refused;
  } cases[] = {
      // rows that stand apart and were put off
      {"\"poll\": \"applied\", \"receipts\": {\"1\": [\"retry\", \"in_job\"], \"3\": [\"retry\", \"in_job\"], "
       "\"5\": [\"retry\", \"in_job\"], \"7\": [\"retry\", \"in_job\"]}",
       0},
      // halves of a batch that was refused as a whole
      {"\"refuse\": [8], \"poll\": \"applied\", \"receipts\": {\"1\": [\"in_job\"], \"2\": [\"in_job\"], "
       "\"3\": [\"in_job\"], \"4\": [\"in_job\"], \"5\": [\"in_job\"], \"6\": [\"in_job\"], \"7\": [\"in_job\"]}",
       1},
      // what a job puts off
      {"\"polls\": [[\"retry\", \"applied\", \"retry\", \"applied\", \"retry\", \"applied\"], [\"applied\"]], "
       "\"receipts\": {\"1\": [\"in_job\"], \"2\": [\"in_job\"], \"3\": [\"in_job\"], \"4\": [\"in_job\"], "
       "\"5\": [\"in_job\"], \"6\": [\"in_job\"], \"7\": [\"in_job\"], \"8\": [\"in_job\"]}",
       0},
      // a range that a limit stopped, and that is several batches
      {"\"refuse\": [4], \"poll\": \"applied\", \"calls\": [null, \"throttled\"], \"receipts\": {\"1\": [\"in_job\"], "
       "\"2\": [\"in_job\"], \"3\": [\"in_job\"], \"5\": [\"in_job\"], \"6\": [\"in_job\"], \"7\": [\"in_job\"], "
       "\"8\": [\"in_job\"]}",
       1},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char text[1024];
    scene_activate(&scene, SYNC);
    (void)snprintf(text, sizeof(text), ", \"caps\": {\"doubt\": 4, \"rows_max\": 8, \"jobs\": 1}, %s", cases[i].script);
    scene_rows(&scene, EIGHT, text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(jobs_at_once(&scene), 1);
    assert_int_equal(scene.report.refused, cases[i].refused);
    assert_int_equal(scene.report.sent, ROWS);
    expect_all_settled(&scene, ROWS - cases[i].refused);
    scene_end(&scene);
  }
}

// Several lanes, each with rows that are put off for one reason or another.
static void test_lanes_together_take_no_more_jobs_than_there_are(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, SYNC);
  scene_rows(&scene, EIGHT,
             ", \"caps\": {\"doubt\": 4, \"rows_max\": 2, \"jobs\": 2, \"parallel\": 3}, \"poll\": \"applied\", "
             "\"pause_ms\": 5, \"receipts\": {\"1\": [\"limited\", \"in_job\"], \"2\": [\"retry\", \"in_job\"], "
             "\"3\": [\"retry\", \"in_job\"], \"4\": [\"limited\", \"in_job\"], \"5\": [\"limited\", \"in_job\"], "
             "\"6\": [\"retry\", \"in_job\"], \"7\": [\"in_job\"], \"8\": [\"in_job\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_in_range(jobs_at_once(&scene), 1, 2);
  expect_all_settled(&scene, ROWS);
  scene_end(&scene);
}

// The jobs of an earlier run are all that are taken: what waits for one is the next run's, and is counted.
static void test_what_waits_for_a_job_is_counted(void **state) {
  (void)state;
  struct scene scene;
  (void)setenv("DRAY_POLL_MS", "1", 1);
  for (uint32_t parallel = 1; parallel <= 3; parallel += 2) {
    char text[512];
    scene_activate(&scene, SYNC);
    (void)snprintf(text, sizeof(text),
                   ", \"caps\": {\"doubt\": 4, \"rows_max\": 4, \"jobs\": 1, \"parallel\": %u}, \"poll\": \"pending\", "
                   "\"receipts\": {\"1\": [\"retry\", \"in_job\"], \"3\": [\"retry\", \"in_job\"], "
                   "\"4\": [\"retry\", \"in_job\"], \"6\": [\"retry\", \"in_job\"], \"8\": [\"retry\", \"in_job\"]}",
                   parallel);
    scene_rows(&scene, EIGHT, text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(jobs_at_once(&scene), 1);
    assert_true(scene.report.unsent > 0);
    assert_int_equal(scene.report.kept_back, 0);
    assert_int_equal(scene.report.applied + scene.report.pending + scene.report.unsent, ROWS);
    assert_int_equal(scene.report.exit_code, 3);
    (void)snprintf(text, sizeof(text),
                   ", \"caps\": {\"doubt\": 4, \"rows_max\": 4, \"jobs\": 1, \"parallel\": %u}, \"poll\": \"applied\"",
                   parallel);
    scene_rows(&scene, EIGHT, text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    expect_all_settled(&scene, ROWS);
    assert_int_equal(jobs_at_once(&scene), 1);
    scene_end(&scene);
  }
  (void)unsetenv("DRAY_POLL_MS");
}

// A job that ends with rows that are put off into another one: that one is waited for, or told.
static void test_a_job_that_follows_a_job_is_told(void **state) {
  (void)state;
  static const struct {
    const char *polls, *wait_ms;
    uint64_t pending;
  } cases[] = {{"[[\"retry\"], [\"applied\"]]", NULL, 0}, {"[[\"retry\"], [\"pending\"]]", "1", 2}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char text[512];
    if (cases[i].wait_ms != NULL) (void)setenv("DRAY_POLL_MS", cases[i].wait_ms, 1);
    scene_activate(&scene, SYNC);
    (void)snprintf(text, sizeof(text),
                   ", \"caps\": {\"doubt\": 4, \"jobs\": 1}, \"polls\": %s, \"receipts\": {\"1\": [\"in_job\"], "
                   "\"2\": [\"in_job\"]}",
                   cases[i].polls);
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.pending, cases[i].pending);
    assert_int_equal(scene.report.mirror_rows, 2 - cases[i].pending);
    (void)unsetenv("DRAY_POLL_MS");
    scene_end(&scene);
  }
}

// A batch in doubt that would be sent again into a job waits as well: it stays in doubt.
static void test_doubt_waits_for_a_job(void **state) {
  (void)state;
  static const char rows[] = "[[1,\"a\"],[2,\"b\"]]";
  struct scene scene;
  (void)setenv("DRAY_POLL_MS", "1", 1);
  scene_activate(&scene, SYNC);
  scene_rows(&scene, rows,
             ", \"caps\": {\"doubt\": 1, \"rows_max\": 1, \"jobs\": 2}, \"poll\": \"pending\", "
             "\"receipts\": {\"1\": [\"in_job\"], \"2\": [\"lost\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.pending, 1);
  assert_int_equal(scene.report.in_doubt, 1);
  const size_t tries = scene_count(&scene, "TRY 2");
  static const char one[] = ", \"caps\": {\"doubt\": 1, \"rows_max\": 1, \"jobs\": 1}, \"poll\": \"%s\", "
                            "\"receipts\": {\"2\": [\"in_job\"]}";
  char text[512];
  (void)snprintf(text, sizeof(text), one, "pending");
  scene_rows(&scene, rows, text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "TRY 2"), tries);
  assert_int_equal(scene.report.pending, 1);
  assert_int_equal(scene.report.in_doubt, 1);
  assert_int_equal(scene.report.exit_code, 3);
  (void)unsetenv("DRAY_POLL_MS");
  (void)snprintf(text, sizeof(text), one, "applied");
  scene_rows(&scene, rows, text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(jobs_at_once(&scene), 1);
  expect_all_settled(&scene, 2);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts_of_a_batch_take_no_more_jobs_than_there_are),
      cmocka_unit_test(test_lanes_together_take_no_more_jobs_than_there_are),
      cmocka_unit_test(test_what_waits_for_a_job_is_counted),
      cmocka_unit_test(test_a_job_that_follows_a_job_is_told),
      cmocka_unit_test(test_doubt_waits_for_a_job),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
