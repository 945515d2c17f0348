// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of which something arrived although they were refused or put off: whatever the source says next is sent whole,
// also what the mirror had before.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
//
#include <cmocka.h>

#include "dray/destination.h"
#include "scene.h"
#include "store/store.h"

#define OLD "[[1,\"a\"],[2,\"b\"]]"
#define NEW "[[1,\"x\"],[2,\"b\"]]"
#define WITHOUT "[[2,\"b\"]]"
#define REFUSED ", \"receipts\": {\"1\": [\"partly\"]}"
#define MIRROR "    mode: mirror\n    guard: off\n"

static void begin(struct scene *scene, const char *sync) {
  scene_activate(scene, sync);
  scene_rows(scene, OLD, "");
  assert_int_equal(scene_run(scene, 0), DRAY_OK);
  scene_forget(scene);
}

static void run_with(struct scene *scene, const char *rows, const char *more) {
  scene_rows(scene, rows, more);
  if (scene_run(scene, 0) != DRAY_OK) fail_msg("%s", scene->report.error.text);
}

// The row goes there once more, whole, and then no more.
static void old_row_is_sent_again(struct scene *scene) {
  scene_forget(scene);
  run_with(scene, OLD, "");
  assert_int_equal(scene_count(scene, "GOT 1 update {\"id\":1,\"name\":\"a\"}"), 1);
  assert_int_equal(scene_count(scene, "GOT 2"), 0);
  scene_forget(scene);
  run_with(scene, OLD, "");
  assert_int_equal(scene_count(scene, "TRY"), 0);
  assert_int_equal(scene->report.mirror_rows, 2);
}

static void test_a_refused_update_is_not_taken_for_undone(void **state) {
  static const char *const keeps[] = {"row", "columns", "key"};
  (void)state;
  for (size_t i = 0; i < 3; i++) {
    struct scene scene;
    char sync[128];
    (void)snprintf(sync, sizeof(sync), MIRROR "    keep: %s\n", keeps[i]);
    begin(&scene, sync);
    run_with(&scene, NEW, REFUSED);
    assert_int_equal(scene.report.refused, 1);
    old_row_is_sent_again(&scene);
    scene_end(&scene);
  }
}

static void test_what_was_refused_whole_is_not_sent_again(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, MIRROR);
  run_with(&scene, NEW, ", \"receipts\": {\"1\": [\"rejected\"]}");
  scene_forget(&scene);
  run_with(&scene, OLD, "");
  assert_int_equal(scene_count(&scene, "TRY"), 0);
  scene_end(&scene);
}

static void test_a_refused_removal_is_not_taken_for_undone(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, MIRROR);
  run_with(&scene, WITHOUT, REFUSED);
  assert_int_equal(scene.report.refused, 1);
  old_row_is_sent_again(&scene);
  scene_end(&scene);
}

static void test_a_run_that_ends_while_a_row_is_put_off(void **state) {
  static const char *const ends[] = {"\"auth\"",
                                     "\"transient\", \"transient\", \"transient\", \"transient\", \"transient\""};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    char more[256];
    begin(&scene, MIRROR);
    (void)snprintf(more, sizeof(more), ", \"receipts\": {\"1\": [\"retry_partly\"]}, \"calls\": [null, %s]", ends[i]);
    scene_rows(&scene, NEW, more);
    assert_int_not_equal(scene_run(&scene, 0), DRAY_OK);
    old_row_is_sent_again(&scene);
    scene_end(&scene);
  }
}

static void test_a_row_that_is_put_off_and_taken_is_believed(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, MIRROR);
  run_with(&scene, NEW, ", \"receipts\": {\"1\": [\"retry_partly\", \"applied\"]}");
  assert_int_equal(scene_count(&scene, "GOT 1 update"), 1);
  scene_forget(&scene);
  run_with(&scene, NEW, "");
  assert_int_equal(scene_count(&scene, "TRY"), 0);
  scene_end(&scene);
}

static void test_killed_anywhere(void **state) {
  static const char *const steps[] = {"delivery.sending", "delivery.written",  "delivery.answered",
                                      "delivery.claimed", "delivery.mirrored", "delivery.settled",
                                      "sync.activated",   "mirror.commit.sync"};
  static const char *const lanes[] = {"", ", \"caps\": {\"parallel\": 3, \"rows_max\": 1}"};
  (void)state;
  for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(steps[0]); i++) {
    struct scene scene;
    char fault[64], more[256];
    begin(&scene, MIRROR);
    (void)snprintf(more, sizeof(more), REFUSED "%s", lanes[i % 2]);
    scene_rows(&scene, NEW, more);
    (void)snprintf(fault, sizeof(fault), "kill:%s:1", steps[i / 2]);
    (void)scene_run_killed(&scene, fault);
    run_with(&scene, OLD, REFUSED); // what is in doubt is resolved, and refused again
    if (scene_count(&scene, "TRY 1") == 0) fail_msg("killed at %s: nothing was sent", fault);
    old_row_is_sent_again(&scene);
    scene_end(&scene);
  }
}

static void test_a_row_in_doubt_that_is_refused_may_be_there(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, MIRROR);
  run_with(&scene, NEW, ", \"receipts\": {\"1\": [\"unknown\", \"rejected\"]}");
  assert_int_equal(scene.report.refused, 1);
  old_row_is_sent_again(&scene);
  scene_end(&scene);
}

static void test_it_is_known_what_stood_there_before(void **state) {
  char caps[128];
  (void)state;
  struct scene scene;
  begin(&scene, MIRROR);
  (void)snprintf(caps, sizeof(caps), ", \"caps\": {\"flags\": %d}%s", DRAY_CAPS_PARTIAL | DRAY_CAPS_UPDATE_NEEDS_BEFORE,
                 REFUSED);
  run_with(&scene, NEW, caps);
  *strstr(caps, ", \"receipts\"") = '\0';
  run_with(&scene, "[[1,\"y\"],[2,\"b\"]]", caps);
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"y\",\"_dray_before\":"), 1);
  char path[128], line[512];
  int told = 0;
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene.folder);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof(line), file) != NULL)
    told |= strncmp(line, "GOT 1", 5) == 0 && strstr(line, "\"a\"") != NULL;
  (void)fclose(file);
  assert_true(told);
  scene_end(&scene);
}

// A column that is gone makes no row differ; the mirror is put together anew all the same.
static void test_another_schema_changes_nothing_of_it(void **state) {
  static const char wide[] = "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"points\",\"string\"]]";
  static const char *const keeps[] = {"row", "columns"};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    char sync[128];
    (void)snprintf(sync, sizeof(sync), MIRROR "    keep: %s\n", keeps[i]);
    scene_activate(&scene, sync);
    scene_script(&scene, wide, "[[1,\"a\",\"p\"],[2,\"b\",\"p\"]]", "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    scene_script(&scene, wide, "[[1,\"x\",\"p\"],[2,\"b\",\"p\"]]", REFUSED);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    run_with(&scene, OLD, REFUSED); // puts it together
    assert_int_equal(scene.report.refused, 1);
    old_row_is_sent_again(&scene);
    scene_end(&scene);
  }
}

// It would pass for one that was there already.
static void test_a_new_row_that_can_only_be_made_waits_for_somebody(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: create\n");
  scene_rows(&scene, OLD, REFUSED);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.refused, 1);
  run_with(&scene, OLD, "");
  assert_int_equal(scene_count(&scene, "TRY 1"), 1);
  assert_int_equal(scene.report.parked, 1);
  scene_end(&scene);
}

static void test_a_new_row_comes_again(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: upsert\n");
  run_with(&scene, OLD, REFUSED);
  run_with(&scene, OLD, "");
  assert_int_equal(scene_count(&scene, "GOT 1 insert"), 1);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_refused_update_is_not_taken_for_undone),
      cmocka_unit_test(test_what_was_refused_whole_is_not_sent_again),
      cmocka_unit_test(test_a_refused_removal_is_not_taken_for_undone),
      cmocka_unit_test(test_a_run_that_ends_while_a_row_is_put_off),
      cmocka_unit_test(test_a_row_that_is_put_off_and_taken_is_believed),
      cmocka_unit_test(test_killed_anywhere),
      cmocka_unit_test(test_a_row_in_doubt_that_is_refused_may_be_there),
      cmocka_unit_test(test_it_is_known_what_stood_there_before),
      cmocka_unit_test(test_another_schema_changes_nothing_of_it),
      cmocka_unit_test(test_a_new_row_that_can_only_be_made_waits_for_somebody),
      cmocka_unit_test(test_a_new_row_comes_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
