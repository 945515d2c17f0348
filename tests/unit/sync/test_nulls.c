// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a null says of a field: with `nulls: keep` nothing, so that what the other side has stays.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "scene.h"

#define COLUMNS "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"phone\",\"string\"]]"
#define OBJECT(more)                                                                                                   \
  "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"id\",\"type\":\"int64\",\"match_key\":true},"            \
  "{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"phone\",\"type\":\"string\"" more "}]}]}"
#define TO "    to: {connection: dst, object: things}\n    guard: off\n"
#define TABLE "    to: {connection: wh, table: rows}\n    guard: off\n"
#define KEPT "    map: {id: , name: , phone: {nulls: keep}}\n"
#define SENT "    map: {id: , name: , phone: {nulls: send}}\n"
#define ROWS "SELECT id, name, phone FROM rows ORDER BY id"

static void rows(struct scene *scene, const char *text) {
  scene_script(scene, COLUMNS, text, "");
}

// A run that sends exactly this many rows; the ledger begins with it.
static void expect_run(struct scene *scene, const char *text, uint64_t sent) {
  if (text != NULL) rows(scene, text);
  scene_forget(scene);
  if (scene_run(scene, 0) != DRAY_OK) fail_msg("%s", scene->report.error.text);
  assert_int_equal(scene->report.sent, sent);
  assert_int_equal(scene_count(scene, "GOT"), sent);
}

static void expect_got(struct scene *scene, const char *line) {
  if (scene_count(scene, line) != 1) fail_msg("%zu times: %s", scene_count(scene, line), line);
}

static void begin(struct scene *scene, const char *sync) {
  scene_activate(scene, "");
  scene_config(scene, sync);
  scene_write(scene, "p/objects.json", OBJECT(""));
}

static void test_a_null_that_keeps_is_not_sent_and_is_no_change(void **state) {
  (void)state;
  static const char *const keeps[] = {"row", "columns"};
  for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
    struct scene scene;
    char sync[400];
    (void)snprintf(sync, sizeof(sync), TO KEPT "    keep: %s\n", keeps[i]);
    begin(&scene, sync);
    expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 2);
    expect_got(&scene, "GOT 1 insert {\"id\":1,\"name\":\"a\",\"phone\":\"11\"}");
    expect_got(&scene, "GOT 2 insert {\"id\":2,\"name\":\"b\"}");
    // The value goes: nothing is left to be said. It comes again: the other side has it all the time.
    expect_run(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 0);
    assert_int_equal(scene.report.unchanged, 2);
    expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 0);
    // Beside another change it is not said either, and the mirror goes on knowing it.
    expect_run(&scene, "[[1,\"A\",null],[2,\"b\",null]]", 1);
    expect_got(&scene, "GOT 1 update {\"id\":1,\"name\":\"A\"}");
    expect_run(&scene, "[[1,\"A\",\"11\"],[2,\"b\",null]]", 0);
    expect_run(&scene, "[[1,\"A\",null],[2,\"b\",\"22\"]]", 1);
    expect_got(&scene, "GOT 2 update {\"id\":2,\"name\":\"b\",\"phone\":\"22\"}");
    expect_run(&scene, NULL, 0);
    scene_end(&scene);
  }
}

// A mirror of keys alone does not know what was said: a row that came otherwise is sent, without the field.
static void test_with_keys_alone_the_row_is_sent_without_the_field(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO KEPT "    keep: key\n");
  expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 2);
  expect_run(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 1);
  expect_got(&scene, "GOT 1 update {\"id\":1,\"name\":\"a\"}");
  expect_run(&scene, NULL, 0);
  scene_end(&scene);
}

static void test_without_a_word_a_null_is_sent(void **state) {
  (void)state;
  static const char *const maps[] = {"", SENT};
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    char sync[400];
    (void)snprintf(sync, sizeof(sync), TO "%s", maps[i]);
    begin(&scene, sync);
    expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 2);
    expect_got(&scene, "GOT 2 insert {\"id\":2,\"name\":\"b\",\"phone\":null}");
    expect_run(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 1);
    expect_got(&scene, "GOT 1 update {\"id\":1,\"name\":\"a\",\"phone\":null}");
    scene_end(&scene);
  }
}

// Only rows that are another thing under the new word are sent again: 3 and 4 say the same under both.
static void test_an_edit_sends_the_rows_whose_result_differs(void **state) {
  (void)state;
  static const char *const keeps[] = {"    keep: row\n", "    keep: columns\n"};
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    char kept[400], sent[400];
    (void)snprintf(kept, sizeof(kept), TO KEPT "%s", keeps[i]);
    (void)snprintf(sent, sizeof(sent), TO SENT "%s", keeps[i]);
    begin(&scene, kept);
    expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null],[3,\"c\",\"33\"],[4,\"d\",\"44\"]]", 4);
    expect_run(&scene, "[[1,\"a\",null],[2,\"b\",null],[3,\"c\",\"33\"],[4,\"d\",\"44\"]]", 0);
    scene_config(&scene, sent);
    expect_run(&scene, NULL, 2); // of the second row nobody has said what it has there
    expect_got(&scene, "GOT 1 update {\"id\":1,\"name\":\"a\",\"phone\":null}");
    expect_got(&scene, "GOT 2 update {\"id\":2,\"name\":\"b\",\"phone\":null}");
    scene_config(&scene, kept);
    expect_run(&scene, NULL, 0);
    expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null],[3,\"c\",null],[4,\"d\",\"44\"]]", 1);
    scene_end(&scene);
  }
}

static void test_a_full_refresh_says_no_null_that_keeps(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO KEPT);
  expect_run(&scene, "[[1,\"a\",\"11\"]]", 1);
  rows(&scene, "[[1,\"a\",null]]");
  scene_forget(&scene);
  assert_int_equal(scene_run(&scene, DR_RUN_FULL), DRAY_OK);
  expect_got(&scene, "GOT 1 update {\"id\":1,\"name\":\"a\"}");
  expect_run(&scene, "[[1,\"a\",\"11\"]]", 0);
  scene_end(&scene);
}

static void test_a_list_of_fields_has_one_word_for_all(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO "    map: {id: , phone: {to: [name, phone], nulls: keep}}\n");
  expect_run(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 2);
  expect_got(&scene, "GOT 1 insert {\"id\":1,\"name\":\"11\",\"phone\":\"11\"}");
  expect_got(&scene, "GOT 2 insert {\"id\":2}");
  scene_end(&scene);
}

static void test_a_plan_tells_which_fields_keep(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO KEPT);
  rows(&scene, "[[1,\"a\",null]]");
  assert_int_equal(scene_run(&scene, DR_RUN_PLAN), DRAY_OK);
  assert_int_equal(scene.report.column_count, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(scene.report.columns[i].keeps_nulls, strcmp(scene.report.columns[i].name, "phone") == 0);
  }
  scene_end(&scene);
}

// What rows are known by has to be said: the key, and what the destination finds them by.
static void test_what_rows_are_known_by_is_not_kept(void **state) {
  (void)state;
  static const struct {
    const char *sync, *object, *field, *more;
  } cases[] = {
      {TO "    map: {id: {nulls: keep}, name: }\n", OBJECT(""), "\"id\"", ""},
      {TO "    key: phone\n    mode: mirror\n    map: {phone: {to: name, nulls: keep}}\n", OBJECT(""), "\"name\"", ""},
      {TO "    mode: create\n    map: {id: , name: , phone: {nulls: keep}}\n", OBJECT(",\"match_key\":true"),
       "\"phone\"", ", \"caps\": {\"operations\": 1}"},
      {TABLE "    key: [id, phone]\n    map: {id: , phone: {to: tel, nulls: keep}}\n", OBJECT(""), "\"tel\"", ""},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    begin(&scene, cases[i].sync);
    scene_write(&scene, "p/objects.json", cases[i].object);
    scene_script(&scene, COLUMNS, "[[1,\"a\",\"11\"]]", cases[i].more);
    assert_int_equal(scene_run(&scene, 0), DRAY_E_CONFIG_VALUE);
    assert_non_null(strstr(scene.report.error.text, "nulls: keep"));
    assert_non_null(strstr(scene.report.error.text, cases[i].field));
    assert_int_equal(scene_count(&scene, "GOT"), 0);
    scene_end(&scene);
  }
}

// A match key that is not the one this sync's rows are found by is a field like others.
static void test_another_match_key_may_keep(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO KEPT);
  scene_write(&scene, "p/objects.json", OBJECT(",\"match_key\":true"));
  expect_run(&scene, "[[1,\"a\",\"11\"]]", 1);
  expect_run(&scene, "[[1,\"a\",null]]", 0);
  scene_end(&scene);
}

// A folded key beside it: the fields are moved to a batch with one column more.
static void test_beside_a_key_without_case(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TO "    key: name\n    map: {name: , phone: {nulls: keep}, source: {value: x}}\n");
  scene_write(
      &scene, "p/objects.json",
      "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"name\",\"type\":\"string\",\"match_key\":true,"
      "\"compare\":\"caseless\"},{\"name\":\"phone\",\"type\":\"string\"},{\"name\":\"source\"}]}]}");
  expect_run(&scene, "[[1,\"Ann\",\"11\"],[2,\"Bob\",null]]", 2);
  expect_got(&scene, "GOT Bob insert {\"name\":\"Bob\",\"source\":\"x\"}");
  expect_run(&scene, "[[1,\"ANN\",null],[2,\"Bob\",null]]", 1);
  expect_got(&scene, "GOT ANN update {\"name\":\"ANN\",\"source\":\"x\"}");
  expect_run(&scene, "[[1,\"ANN\",\"11\"],[2,\"Bob\",null]]", 0);
  scene_end(&scene);
}

// ---- into a table ----

static void write_rows(struct scene *scene, const char *text, uint64_t updates, const char *table) {
  if (text != NULL) rows(scene, text);
  if (scene_run(scene, 0) != DRAY_OK) fail_msg("%s", scene->report.error.text);
  assert_int_equal(scene->report.updates, updates);
  assert_string_equal(scene_query(scene, ROWS), table);
  struct dr_state_comparison found;
  scene_verify(scene, &found);
  assert_int_equal(found.different + found.table_only + found.mirror_only, 0);
  dr_state_comparison_free(&found);
}

static void test_a_table_keeps_its_values(void **state) {
  (void)state;
  static const char *const modes[] = {"    mode: mirror\n", "    mode: mirror\n    delete: soft\n",
                                      "    mode: mirror\n    keep: columns\n"};
  for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
    struct scene scene;
    char sync[400];
    (void)snprintf(sync, sizeof(sync), TABLE KEPT "%s", modes[i]);
    begin(&scene, sync);
    write_rows(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 0, "1|a|11;2|b|null");
    write_rows(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 0, "1|a|11;2|b|null");
    write_rows(&scene, "[[1,\"A\",null],[2,\"b\",\"22\"]]", 2, "1|A|11;2|b|22");
    write_rows(&scene, "[[1,\"A\",\"11\"],[2,\"b\",null]]", 0, "1|A|11;2|b|22");
    (void)snprintf(sync, sizeof(sync), TABLE SENT "%s", modes[i]);
    scene_config(&scene, sync);
    write_rows(&scene, NULL, 1, "1|A|11;2|b|null");
    scene_end(&scene);
  }
}

// Read on from where it ended: each of these is the next version of a row.
static void test_rows_that_are_read_on_keep_their_values(void **state) {
  (void)state;
#define FIRST "[1,\"a\",\"11\"],[2,\"b\",null]"
#define THEN FIRST ",[1,\"a\",null],[2,\"b\",null]"
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: upsert\n");
  write_rows(&scene, "[" FIRST "]", 0, "1|a|11;2|b|null");
  write_rows(&scene, "[" THEN "]", 0, "1|a|11;2|b|null");
  assert_int_equal(scene.report.unchanged, 2);
  write_rows(&scene, "[" THEN ",[1,\"A\",null],[2,\"b\",\"22\"]]", 2, "1|A|11;2|b|22");
  scene_end(&scene);
}

// A mirror of keys alone writes such rows again, and does not take a value that it never knew for damage.
static void test_a_table_keeps_its_values_beside_a_mirror_of_keys(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: mirror\n    keep: key\n");
  write_rows(&scene, "[[1,\"a\",\"11\"],[2,\"b\",null]]", 0, "1|a|11;2|b|null");
  write_rows(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 1, "1|a|11;2|b|null");
  write_rows(&scene, NULL, 0, "1|a|11;2|b|null");
  scene_end(&scene);
}

static void test_history_goes_on_with_the_value_of_the_version_before(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: history\n");
  write_rows(&scene, "[" FIRST "]", 0, "1|a|11;2|b|null");
  write_rows(&scene, "[" THEN "]", 0, "1|a|11;2|b|null");
  rows(&scene, "[" THEN ",[1,\"A\",null]]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, "SELECT name, phone FROM rows WHERE id = 1 ORDER BY _dray_valid_from"),
                      "a|11;A|11");
  scene_end(&scene);
}

// What cannot be read becomes a null where drift says so, and a null keeps.
static void test_a_value_that_cannot_be_read_keeps_what_is_there(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: mirror\n    types: {phone: int64}\n    drift: {type: discard_value}\n");
  write_rows(&scene, "[[1,\"a\",\"11\"],[2,\"b\",\"x\"]]", 0, "1|a|11;2|b|null");
  write_rows(&scene, "[[1,\"A\",\"x\"],[2,\"b\",\"22\"]]", 2, "1|A|11;2|b|22");
  scene_end(&scene);
}

static void test_appended_rows_have_null(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: append\n");
  write_rows(&scene, "[" FIRST "]", 0, "1|a|11;2|b|null");
  scene_end(&scene);
}

// A row that was marked as gone comes again without its value: the table has it all the time, and the mirror says
// nothing of it.
static void test_a_row_that_comes_again_has_what_the_table_kept(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, TABLE KEPT "    mode: mirror\n    delete: soft\n");
  write_rows(&scene, "[[1,\"a\",\"11\"],[2,\"b\",\"22\"]]", 0, "1|a|11;2|b|22");
  write_rows(&scene, "[[2,\"b\",null]]", 0, "1|a|11;2|b|22");
  assert_string_equal(scene_query(&scene, "SELECT id FROM rows WHERE _dray_deleted_at IS NOT NULL"), "1");
  write_rows(&scene, "[[1,\"a\",null],[2,\"b\",null]]", 0, "1|a|11;2|b|22");
  assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows WHERE _dray_deleted_at IS NOT NULL"), "0");
  scene_end(&scene);
}

#define STEP 61 // of some thousand allocations

static void test_failing_allocation_empties_nothing(void **state) {
  (void)state;
  int had = 1;
  for (uint64_t n = 1; had; n += STEP) {
    struct scene scene;
    begin(&scene, TO KEPT);
    expect_run(&scene, "[[1,\"a\",\"11\"]]", 1);
    rows(&scene, "[[1,\"A\",null]]");
    scene_forget(&scene);
    scene.arm = n;
    const int32_t rc = scene_run(&scene, 0);
    had = scene.starved;
    if (!had) assert_int_equal(rc, DRAY_OK);
    scene.arm = 0;
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_true(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"A\"}") >= 1);
    assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"A\",\"phone\""), 0);
    scene_end(&scene);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_null_that_keeps_is_not_sent_and_is_no_change),
      cmocka_unit_test(test_with_keys_alone_the_row_is_sent_without_the_field),
      cmocka_unit_test(test_without_a_word_a_null_is_sent),
      cmocka_unit_test(test_an_edit_sends_the_rows_whose_result_differs),
      cmocka_unit_test(test_a_full_refresh_says_no_null_that_keeps),
      cmocka_unit_test(test_a_list_of_fields_has_one_word_for_all),
      cmocka_unit_test(test_a_plan_tells_which_fields_keep),
      cmocka_unit_test(test_what_rows_are_known_by_is_not_kept),
      cmocka_unit_test(test_another_match_key_may_keep),
      cmocka_unit_test(test_beside_a_key_without_case),
      cmocka_unit_test(test_a_table_keeps_its_values),
      cmocka_unit_test(test_rows_that_are_read_on_keep_their_values),
      cmocka_unit_test(test_a_table_keeps_its_values_beside_a_mirror_of_keys),
      cmocka_unit_test(test_history_goes_on_with_the_value_of_the_version_before),
      cmocka_unit_test(test_a_row_that_comes_again_has_what_the_table_kept),
      cmocka_unit_test(test_a_value_that_cannot_be_read_keeps_what_is_there),
      cmocka_unit_test(test_appended_rows_have_null),
      cmocka_unit_test(test_failing_allocation_empties_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
