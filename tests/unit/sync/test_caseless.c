// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Activations whose destination does not look at the case of letters in the key, with the probe.
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

#define OFF "    guard: {deletes: off, changes: off}\n"
#define MIRROR "    to: {connection: dst, object: things}\n    mode: mirror\n    key: email\n" OFF
#define OBJECT(compare)                                                                                                \
  "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"email\",\"type\":\"string\",\"match_key\":true" compare  \
  "},{\"name\":\"name\",\"type\":\"string\"}]}]}"
#define CASELESS OBJECT(",\"compare\":\"caseless\"")
#define TWO "[[\"Anna@x.org\",\"a\"],[\"b@x.org\",\"b\"]]"

static void rows(struct scene *scene, const char *text) {
  scene_script(scene, "[[\"email\",\"string\"],[\"name\",\"string\"]]", text, "");
}

static void begin(struct scene *scene, const char *objects, const char *sync) {
  scene_activate(scene, "");
  scene_config(scene, sync);
  scene_write(scene, "p/objects.json", objects);
  rows(scene, TWO);
  assert_int_equal(scene_run(scene, 0), DRAY_OK);
  assert_int_equal(scene_count(scene, "GOT Anna@x.org insert {\"email\":\"Anna@x.org\",\"name\":\"a\"}"), 1);
  scene_forget(scene);
}

static void expect_sent(struct scene *scene, const char *line) {
  if (scene_count(scene, line) != 1) fail_msg("%zu times: %s", scene_count(scene, line), line);
}

// Without a word on it, letters count: what follows is the fault that the word is there for.
static void test_without_the_word_another_spelling_is_another_row(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, OBJECT(""), MIRROR);
  rows(&scene, "[[\"anna@x.org\",\"a\"],[\"b@x.org\",\"b\"]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  expect_sent(&scene, "GOT anna@x.org insert");
  expect_sent(&scene, "GOT Anna@x.org delete");
  scene_end(&scene);
}

static void test_another_spelling_is_an_update_and_nothing_is_removed(void **state) {
  (void)state;
  static const char *const keeps[] = {"row", "columns", "key"};
  for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
    struct scene scene;
    char sync[400];
    (void)snprintf(sync, sizeof(sync), MIRROR "    keep: %s\n", keeps[i]);
    begin(&scene, CASELESS, sync);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    rows(&scene, "[[\"ANNA@X.org\",\"a\"],[\"b@x.org\",\"B\"]]");
    assert_int_equal(scene_run(&scene, DR_RUN_PLAN), DRAY_OK);
    assert_int_equal(scene.report.updates, 2);
    assert_string_equal(scene.report.samples[0].key, "email=ANNA@X.org");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 2);
    expect_sent(&scene, "GOT ANNA@X.org update {\"email\":\"ANNA@X.org\",\"name\":\"a\"}");
    expect_sent(&scene, "GOT b@x.org update {\"email\":\"b@x.org\",\"name\":\"B\"}");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    // Who is really gone is removed by an address that the destination knows.
    rows(&scene, "[[\"B@x.org\",\"B\"]]");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    expect_sent(&scene, i == 0 ? "GOT ANNA@X.org delete {\"email\":\"ANNA@X.org\"" : "GOT anna@x.org delete");
    expect_sent(&scene, "GOT B@x.org update");
    assert_int_equal(scene_count(&scene, "GOT"), 4);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    scene_end(&scene);
  }
}

static void test_a_plan_shows_rows_by_what_was_written(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, CASELESS, MIRROR);
  rows(&scene, "[[\"anna@x.org\",\"a\"],[\"New@x.org\",\"n\"]]");
  assert_int_equal(scene_run(&scene, DR_RUN_PLAN), DRAY_OK);
  assert_int_equal(scene.report.sample_count, 3);
  static const char *const wanted[][2] = {{"email=anna@x.org", "email: Anna@x.org -> anna@x.org"},
                                          {"email=New@x.org", "name: n"},
                                          {"email=b@x.org", "name: b"}};
  for (size_t i = 0; i < 3; i++) {
    assert_string_equal(scene.report.samples[i].key, wanted[i][0]);
    assert_string_equal(scene.report.samples[i].text, wanted[i][1]);
  }
  for (size_t i = 0; i < scene.report.column_count; i++) { // the spelling changed, the key did not
    assert_int_equal(scene.report.columns[i].count, strcmp(scene.report.columns[i].name, "email") == 0);
  }
  scene_end(&scene);
}

static void test_rows_that_differ_by_case_alone_are_withheld_and_told(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, CASELESS, MIRROR);
  rows(&scene, "[[\"Anna@x.org\",\"a\"],[\"anna@x.org \",\"other\"],[\"b@x.org\",\"b\"]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(scene.report.duplicate_rows, 2);
  assert_int_equal(scene_count(&scene, "GOT"), 0); // nobody is removed either
  struct dr_store *store = scene_store(&scene);
  struct dr_row_record *records = NULL;
  size_t count = 0;
  struct dray_error error;
  assert_int_equal(dr_store_rows(store, "s", 0, 10, &records, &count, &error), DRAY_OK);
  assert_int_equal(count, 2);
  for (size_t i = 0; i < count; i++) {
    assert_non_null(strstr(records[i].text, "case"));
    assert_int_equal(strncasecmp(records[i].key, "email=anna@x.org", 16), 0);
  }
  assert_string_not_equal(records[0].key, records[1].key); // each as it was written
  free(records);
  dr_store_close(store);
  scene_config(&scene, MIRROR "    duplicates: last\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  expect_sent(&scene, "GOT anna@x.org  update {\"email\":\"anna@x.org \",\"name\":\"other\"}");
  assert_int_equal(scene_count(&scene, "GOT"), 1);
  scene_end(&scene);
}

static void test_a_key_of_two_columns_is_folded_where_it_is_said(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene,
        "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"email\",\"type\":\"string\",\"match_key\":true,"
        "\"required\":true,\"compare\":\"caseless\"},{\"name\":\"name\",\"type\":\"string\",\"match_key\":true,"
        "\"required\":true}]}]}",
        "    to: {connection: dst, object: things}\n    mode: mirror\n    key: [email, name]\n" OFF);
  rows(&scene, "[[\"ANNA@x.org\",\"a\"],[\"b@x.org\",\"B\"]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  expect_sent(&scene, "GOT ANNA@x.org update");
  expect_sent(&scene, "GOT b@x.org insert {\"email\":\"b@x.org\",\"name\":\"B\"}"); // of names letters count
  expect_sent(&scene, "GOT b@x.org delete {\"email\":\"b@x.org\",\"name\":\"b\"}");
  assert_int_equal(scene_count(&scene, "GOT"), 3);
  scene_end(&scene);
}

// The key's column may feed more than the field that rows are found by, and that field under another name.
static void test_the_field_that_rows_are_found_by_decides(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "");
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: mirror\n    key: address\n" OFF
                       "    map: {address: email, other: name}\n");
  scene_write(&scene, "p/objects.json", CASELESS);
  scene_script(&scene, "[[\"address\",\"string\"],[\"other\",\"string\"]]", "[[\"A@x\",\"1\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, "[[\"address\",\"string\"],[\"other\",\"string\"]]", "[[\"a@x\",\"1\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  expect_sent(&scene, "GOT a@x update {\"email\":\"a@x\",\"name\":\"1\"}");
  assert_int_equal(scene_count(&scene, "GOT"), 2);
  scene_end(&scene);
}

// What was kept when letters counted is not read as if they did not.
static void test_a_mirror_from_before_is_refused_and_made_anew_without_removals(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, OBJECT(""), MIRROR);
  scene_write(&scene, "p/objects.json", CASELESS);
  rows(&scene, "[[\"anna@x.org\",\"a\"],[\"b@x.org\",\"b\"]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_MIRROR_SCHEMA);
  assert_non_null(strstr(scene.report.error.text, "case of letters"));
  assert_int_equal(scene_run(&scene, DR_RUN_PLAN), DRAY_E_MIRROR_SCHEMA);
  assert_int_equal(scene_count(&scene, ""), 0);
  assert_int_equal(scene_run(&scene, DR_RUN_BASELINE), DRAY_OK);
  assert_int_equal(scene.report.mirror_rows, 2);
  assert_int_equal(scene_count(&scene, "GOT"), 0);
  rows(&scene, "[[\"Anna@x.org\",\"A\"]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  expect_sent(&scene, "GOT Anna@x.org update");
  expect_sent(&scene, "GOT b@x.org delete");
  assert_int_equal(scene_count(&scene, "GOT"), 2);
  scene_write(&scene, "p/objects.json", OBJECT("")); // nor the other way round
  assert_int_equal(scene_run(&scene, 0), DRAY_E_MIRROR_SCHEMA);
  scene_end(&scene);
}

#define STEP 61 // of some thousand allocations

static void test_failing_allocation_makes_no_row_two(void **state) {
  (void)state;
  int had = 1;
  for (uint64_t n = 1; had; n += STEP) {
    struct scene scene;
    begin(&scene, CASELESS, MIRROR);
    rows(&scene, "[[\"anna@x.org\",\"a\"],[\"b@x.org\",\"B\"]]");
    scene.arm = n;
    const int32_t rc = scene_run(&scene, 0);
    had = scene.starved;
    if (!had) assert_int_equal(rc, DRAY_OK);
    scene.arm = 0;
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.mirror_rows, 2);
    assert_true(scene_count(&scene, "GOT anna@x.org update") >= 1);
    assert_int_equal(scene_count(&scene, "GOT Anna@x.org"), 0);
    scene_end(&scene);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_without_the_word_another_spelling_is_another_row),
      cmocka_unit_test(test_another_spelling_is_an_update_and_nothing_is_removed),
      cmocka_unit_test(test_a_plan_shows_rows_by_what_was_written),
      cmocka_unit_test(test_rows_that_differ_by_case_alone_are_withheld_and_told),
      cmocka_unit_test(test_a_key_of_two_columns_is_folded_where_it_is_said),
      cmocka_unit_test(test_the_field_that_rows_are_found_by_decides),
      cmocka_unit_test(test_a_mirror_from_before_is_refused_and_made_anew_without_removals),
      cmocka_unit_test(test_failing_allocation_makes_no_row_two),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
