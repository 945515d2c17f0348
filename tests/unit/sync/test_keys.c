// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Batches in doubt whose idempotency key the destination may have forgotten by now: they are not sent again under it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "dray/destination.h"
#include "scene.h"
#include "store/store.h"

#define FOUR "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]"
#define LIFE 7200
// Of the first batch nobody knows what became of the second row, and asking again does not come through.
#define LOST                                                                                                           \
  ", \"receipts\": {\"2\": [\"unknown\"]}, \"calls\": [null, \"transient\", \"transient\", \"transient\", "            \
  "\"transient\"]"
#define NOT_REACHED ", \"calls\": [\"transient\", \"transient\", \"transient\", \"transient\", \"transient\"]"
#define IT_IS_KNOWN ""

static void rows(struct scene *scene, int life, const char *more) {
  char text[512];
  (void)snprintf(text, sizeof(text), ", \"caps\": {\"doubt\": %d, \"rows_max\": 2, \"key_life\": %d}%s",
                 DRAY_DOUBT_IDEMPOTENCY_KEY, life, more);
  scene_rows(scene, FOUR, text);
}

// The host's clock is so far ahead from now on; negative: it was set back.
static void at(long long seconds) {
  char text[32];
  (void)snprintf(text, sizeof(text), "%lld000", seconds);
  assert_int_equal(setenv("DRAY_CLOCK_AHEAD_MS", text, 1), 0);
}

static int present(void **state) {
  (void)state;
  return unsetenv("DRAY_CLOCK_AHEAD_MS");
}

// A first run, after which the batch of rows 1 and 2 is in doubt, and 1 applied.
static void leave_doubt(struct scene *scene, int life) {
  scene_activate(scene, "    mode: create\n");
  rows(scene, life, LOST);
  assert_int_equal(scene_run(scene, 0), DRAY_OK);
  assert_int_equal(scene->report.applied, 3);
  assert_int_equal(scene->report.in_doubt, 1);
  assert_int_equal(scene->report.doubt_waits, 0);
  scene_forget(scene);
}

static void first_record(struct scene *scene, struct dr_row_record *out, size_t wanted) {
  struct dr_store *store = scene_store(scene);
  struct dr_row_record *records = NULL;
  struct dray_error error;
  size_t count = 0;
  assert_int_equal(dr_store_rows(store, "s", 0, 10, &records, &count, &error), DRAY_OK);
  assert_int_equal(count, wanted);
  if (count > 0) *out = records[0];
  free(records);
  dr_store_close(store);
}

static void resolve(struct scene *scene, int applied) {
  struct dr_store *store = scene_store(scene);
  struct dray_error error;
  uint64_t count = 0;
  assert_int_equal(dr_store_rows_resolve(store, "s", applied, &count, &error), DRAY_OK);
  assert_int_equal(count, 1);
  dr_store_close(store);
}

static void test_a_young_key_is_used_again(void **state) {
  (void)state;
  static const struct {
    int life;
    long long later;
  } cases[] = {{LIFE, 0}, {LIFE, LIFE / 8 * 7 - 300}, {0, 1000LL * LIFE}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    struct dr_row_record record;
    leave_doubt(&scene, cases[i].life);
    at(cases[i].later);
    rows(&scene, cases[i].life, IT_IS_KNOWN);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene_count(&scene, "CALL"), 1);
    assert_int_equal(scene.report.recovered, 1);
    assert_int_equal(scene.report.mirror_rows, 4);
    first_record(&scene, &record, 0);
    scene_end(&scene);
    (void)present(NULL);
  }
}

// Too old, or from a time that has not come yet: nothing is sent, the row waits with the reason, and what was known of
// its batch stays known.
static void test_an_old_key_is_not_used_again(void **state) {
  (void)state;
  static const long long laters[] = {LIFE / 8 * 7 + 1, LIFE, 100LL * LIFE, -LIFE};
  for (size_t i = 0; i < sizeof(laters) / sizeof(laters[0]); i++) {
    struct scene scene;
    struct dr_row_record record;
    leave_doubt(&scene, LIFE);
    at(laters[i]);
    for (int again = 0; again < 2; again++) {
      rows(&scene, LIFE, IT_IS_KNOWN);
      assert_int_equal(scene_run(&scene, 0), DRAY_OK);
      assert_int_equal(scene_count(&scene, "CALL"), 0);
      assert_int_equal(scene.report.mirror_rows, 3);
      assert_int_equal(again ? scene.report.parked : scene.report.doubt_waits, 1);
      first_record(&scene, &record, 1);
      assert_int_equal(record.code, DRAY_E_STATE_IN_DOUBT);
      assert_non_null(strstr(record.key, "2"));
      assert_non_null(strstr(record.text, "may have forgotten"));
      assert_non_null(strstr(record.text, "dray rows resolve"));
    }
    scene_end(&scene);
    (void)present(NULL);
  }
}

static void test_an_operator_settles_what_is_left(void **state) {
  (void)state;
  for (int applied = 0; applied < 2; applied++) {
    struct scene scene;
    struct dr_row_record record;
    leave_doubt(&scene, LIFE);
    at(LIFE);
    rows(&scene, LIFE, IT_IS_KNOWN);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    resolve(&scene, applied);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene_count(&scene, "CALL"), applied ? 0 : 1);
    assert_int_equal(scene_count(&scene, "GOT 2 "), applied ? 0 : 1);
    assert_int_equal(scene_count(&scene, "GOT"), applied ? 0 : 1);
    assert_int_equal(scene.report.mirror_rows, 4);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    first_record(&scene, &record, 0);
    scene_end(&scene);
    (void)present(NULL);
  }
}

// A batch that is split, or resolved in vain, is as old as it was when it was sent first.
static void test_asking_in_vain_does_not_make_it_younger(void **state) {
  (void)state;
  struct scene scene;
  leave_doubt(&scene, LIFE);
  at(LIFE / 2);
  rows(&scene, LIFE, NOT_REACHED);
  assert_int_equal(scene_run(&scene, 0), DRAY_E_NET_CONNECT);
  assert_true(scene_count(&scene, "CALL") > 0);
  scene_forget(&scene);
  at(LIFE);
  rows(&scene, LIFE, IT_IS_KNOWN);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "CALL"), 0);
  assert_int_equal(scene.report.doubt_waits, 1);
  scene_end(&scene);
}

// Killed before it is known whether the first byte left.
static void test_a_run_that_died_long_ago(void **state) {
  (void)state;
  static const char *const faults[] = {"kill:delivery.sending:1", "kill:delivery.written:1"};
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    scene_activate(&scene, "    mode: create\n");
    rows(&scene, LIFE, "");
    assert_true(scene_run_killed(&scene, faults[i]));
    scene_forget(&scene);
    at(2LL * LIFE);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.doubt_waits, 2);
    assert_int_equal(scene_count(&scene, "GOT 1 ") + scene_count(&scene, "GOT 2 "), 0);
    assert_int_equal(scene_count(&scene, "GOT"), 2); // the others have not been sent yet
    assert_int_equal(scene.report.mirror_rows, 2);
    scene_end(&scene);
    (void)present(NULL);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_a_young_key_is_used_again, present),
      cmocka_unit_test_teardown(test_an_old_key_is_not_used_again, present),
      cmocka_unit_test_teardown(test_an_operator_settles_what_is_left, present),
      cmocka_unit_test_teardown(test_asking_in_vain_does_not_make_it_younger, present),
      cmocka_unit_test_teardown(test_a_run_that_died_long_ago, present),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
