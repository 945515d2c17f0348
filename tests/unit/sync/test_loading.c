// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// First loads into a SQLite file that begin while rows are still read (sync/loading.h): with whatever comes, the table
// and what is recorded are those of a load that begins afterwards.
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
#include "sync/state.h"

#define TABLE "SELECT id, name FROM rows ORDER BY id"
#define TABLES "SELECT count(*) FROM sqlite_master WHERE name = 'rows'"
#define SEVEN "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"g\"]]"
#define ALL_SEVEN "1|a;2|b;3|c;4|d;5|e;6|f;7|g"
#define WITH_ERROR "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_error\",\"string\"]]"
#define WITH_DELETED "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_deleted\",\"bool\"]]"

// A load beside the reading begins with the first row, or never.
static void load_beside(int beside) {
  assert_int_equal(setenv("DRAY_LOAD_ROWS", beside ? "1" : "0", 1), 0);
}

static int set_up(void **state) {
  (void)state;
  return setenv("DRAY_TEST", "1", 1);
}

// What a run leaves: the table, and what is said of the rows that are not in it.
struct outcome {
  int32_t code;
  char table[2000];
  uint64_t read, inserts, applied, null_keys, duplicate_keys, rejected, unreadable, recorded, known;
};

static struct outcome outcome_of(struct scene *scene) {
  struct outcome outcome;
  memset(&outcome, 0, sizeof(outcome)); // padding is compared as well
  uint64_t parked = 0;
  struct dray_error error;
  outcome.code = scene_run(scene, 0);
  const struct dr_run_report *report = &scene->report;
  (void)snprintf(outcome.table, sizeof(outcome.table), "%s", scene_query(scene, TABLE));
  outcome.read = report->rows_read;
  outcome.inserts = report->inserts;
  outcome.applied = report->applied;
  outcome.null_keys = report->null_keys;
  outcome.duplicate_keys = report->duplicate_keys;
  outcome.rejected = report->rejected_rows;
  outcome.unreadable = report->unreadable_rows;
  outcome.known = report->mirror_rows;
  struct dr_store *store = scene_store(scene);
  assert_int_equal(dr_store_rows_count(store, "s", &outcome.recorded, &parked, &error), DRAY_OK);
  dr_store_close(store);
  return outcome;
}

static void test_it_begins_while_rows_are_read(void **state) {
  (void)state;
  for (int beside = 0; beside <= 1; beside++) {
    struct scene scene;
    load_beside(beside);
    scene_ingest(&scene, "    mode: mirror\n");
    scene_rows(&scene, SEVEN, ", \"batch\": 2");
    assert_int_equal(scene_run_killed(&scene, "kill:sync.loading:2"), beside);
    assert_string_equal(scene_query(&scene, beside ? TABLES : TABLE), beside ? "0" : ALL_SEVEN);
    scene_end(&scene);
  }
}

static void test_killed_anywhere_it_leaves_nothing_or_all(void **state) {
  (void)state;
  static const struct {
    const char *fault;
    int whole; // the transaction was committed
  } kills[] = {{"kill:warehouse.begin:1", 0},  {"kill:sync.loading:1", 0},
               {"kill:sync.loading:4", 0},     {"kill:warehouse.loaded:1", 0},
               {"kill:warehouse.merged:1", 0}, {"kill:sync.merged:1", 0},
               {"kill:mirror.prepare:1", 0},   {"kill:sync.warehouse_committed:1", 1},
               {"kill:mirror.commit:1", 1},    {"kill:sync.mirror_committed:1", 1}};
  static const char *const modes[] = {"    mode: mirror\n", "    mode: upsert\n"};
  load_beside(1);
  for (size_t i = 0; i < sizeof(kills) / sizeof(kills[0]); i++) {
    struct scene scene;
    scene_ingest(&scene, modes[i % 2]);
    scene_rows(&scene, SEVEN, ", \"batch\": 2");
    assert_true(scene_run_killed(&scene, kills[i].fault));
    assert_string_equal(scene_query(&scene, kills[i].whole ? TABLE : TABLES), kills[i].whole ? ALL_SEVEN : "0");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_string_equal(scene_query(&scene, TABLE), ALL_SEVEN);
    assert_int_equal(scene.report.mirror_rows, 7);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 0);
    scene_end(&scene);
  }
}

// Rows that are not simply inserts: keys that come twice, none, tombstones, rows that cannot be read.
static void test_rows_of_every_kind_end_as_in_a_load_afterwards(void **state) {
  (void)state;
  static const struct {
    const char *sync, *columns, *rows, *table;
  } cases[] = {
      {"    mode: mirror\n    duplicates: reject\n", WITH_ERROR,
       "[[1,\"a\",null],[2,\"b\",null],[1,\"A\",null],[3,\"c\",null]]", "2|b;3|c"},
      {"    mode: mirror\n    duplicates: first\n", WITH_ERROR,
       "[[1,\"a\",null],[2,\"b\",null],[1,\"A\",null],[3,\"c\",null]]", "1|a;2|b;3|c"},
      {"    mode: mirror\n    duplicates: last\n", WITH_ERROR,
       "[[1,\"a\",null],[2,\"b\",null],[1,\"A\",null],[3,\"c\",null]]", "1|A;2|b;3|c"},
      {"    mode: upsert\n    duplicates: last\n", WITH_ERROR,
       "[[1,\"a\",null],[2,\"b\",null],[1,\"A\",null],[1,\"x\",null]]", "1|x;2|b"},
      {"    mode: mirror\n", WITH_ERROR, "[[null,\"a\",null],[2,\"b\",null],[null,\"c\",null],[3,\"c\",null]]",
       "2|b;3|c"},
      {"    mode: mirror\n", WITH_ERROR, "[[null,\"a\",null],[null,\"c\",null]]", ""},
      {"    mode: mirror\n", WITH_ERROR, "[[1,\"a\",\"data_type: broken\"],[2,\"b\",null],[3,\"c\",null]]", "2|b;3|c"},
      {"    mode: upsert\n    guard: off\n", WITH_DELETED,
       "[[1,\"a\",null],[9,null,true],[2,\"b\",false],[8,null,true],[null,null,true],[3,\"c\",null]]", "1|a;2|b;3|c"},
      {"    mode: upsert\n    guard: off\n", WITH_DELETED,
       "[[1,\"a\",null],[1,null,true],[2,\"b\",false],[3,null,true],[3,\"c\",null],[4,\"d\",null]]", "2|b;3|c;4|d"},
      {"    mode: history\n", WITH_ERROR, "[[1,\"a\",null],[2,\"b\",null],[3,\"c\",null]]", "1|a;2|b;3|c"},
      {"    mode: mirror\n    delete: soft\n", WITH_ERROR, "[[1,\"a\",null],[2,\"b\",null]]", "1|a;2|b"},
      {"    mode: mirror\n", WITH_ERROR, "[]", ""}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct outcome outcomes[2];
    for (int beside = 0; beside <= 1; beside++) {
      struct scene scene;
      load_beside(beside);
      scene_ingest(&scene, cases[i].sync);
      scene_script(&scene, cases[i].columns, cases[i].rows, ", \"batch\": 1");
      outcomes[beside] = outcome_of(&scene);
      assert_string_equal(outcomes[beside].table, cases[i].table);
      assert_int_equal(scene_run(&scene, 0), DRAY_OK);
      assert_int_equal(scene.report.applied, 0);
      assert_string_equal(scene_query(&scene, TABLE), cases[i].table);
      scene_end(&scene);
    }
    assert_memory_equal(&outcomes[0], &outcomes[1], sizeof(outcomes[0]));
  }
}

static void test_reading_that_breaks_off_keeps_what_a_window_may(void **state) {
  (void)state;
  static const struct {
    const char *sync;
    const char *table, *query;
  } cases[] = {{"    mode: upsert\n", "1|a;2|b;3|c;4|d;5|e", TABLE}, {"    mode: mirror\n", "0", TABLES}};
  load_beside(1);
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    scene_ingest(&scene, cases[i].sync);
    scene_rows(&scene, SEVEN, ", \"batch\": 1, \"fail_at\": 5");
    assert_int_equal(scene_run(&scene, 0), DRAY_E_NET_CLOSED);
    assert_non_null(strstr(scene.report.error.text, "the reading broke off"));
    assert_string_equal(scene_query(&scene, cases[i].query), cases[i].table);
    scene_rows(&scene, SEVEN, ", \"batch\": 1");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.rows_read, i == 0 ? 2 : 7);
    assert_string_equal(scene_query(&scene, TABLE), ALL_SEVEN);
    scene_end(&scene);
  }
}

static void test_a_first_window_ends_as_the_sync_says(void **state) {
  (void)state;
  struct scene scene;
  load_beside(1);
  scene_ingest(&scene, "    mode: upsert\n    commit_rows: 2\n");
  scene_rows(&scene, SEVEN, ", \"batch\": 1");
  assert_true(scene_run_killed(&scene, "kill:sync.warehouse_committed:1"));
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b");
  assert_false(scene_run_killed(&scene, "kill:sync.loading:1")); // the table has rows
  assert_string_equal(scene_query(&scene, TABLE), ALL_SEVEN);
  scene_end(&scene);
}

static void test_a_load_that_fails_is_done_again_from_the_changes(void **state) {
  (void)state;
  static const char *const faults[] = {"eio:sync.loading:1", "enospc:sync.loading:4", "eio:warehouse.begin:1"};
  load_beside(1);
  for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
    struct scene scene;
    scene_ingest(&scene, "    mode: mirror\n");
    scene_rows(&scene, SEVEN, ", \"batch\": 1");
    assert_false(scene_run_killed(&scene, faults[i]));
    assert_string_equal(scene_query(&scene, TABLE), ALL_SEVEN);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 0);
    assert_int_equal(scene.report.mirror_rows, 7);
    scene_end(&scene);
  }
}

// Whichever of the two threads loses its patience first, and wherever.
static void test_a_load_that_waits_too_long_is_done_again_from_the_changes(void **state) {
  (void)state;
  char rows[8000] = "[[0,\"name 0\"]";
  for (int i = 1; i < 200; i++) {
    const size_t to = strlen(rows);
    (void)snprintf(rows + to, sizeof(rows) - to, ",[%d,\"name %d\"]", i, i);
  }
  (void)strncat(rows, "]", 2);
  load_beside(1);
  assert_int_equal(setenv("DRAY_LOAD_PAUSE_MS", "1", 1), 0);
  for (int i = 0; i < 5; i++) {
    struct scene scene;
    scene_ingest(&scene, "    mode: mirror\n");
    scene_rows(&scene, rows, ", \"batch\": 1");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 200);
    assert_string_equal(scene_query(&scene, "SELECT count(*), sum(id), max(name) FROM rows"), "200|19900|name 99");
    scene_end(&scene);
  }
  assert_int_equal(unsetenv("DRAY_LOAD_PAUSE_MS"), 0);
}

static void test_a_table_with_rows_is_left_to_the_comparison(void **state) {
  (void)state;
  struct scene scene;
  load_beside(1);
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, SEVEN, "");
  assert_false(scene_run_killed(&scene, "kill:sync.loading:1"));
  assert_string_equal(scene_query(&scene, TABLE), ALL_SEVEN);
  scene_end(&scene);
}

static void test_a_plan_and_a_baseline_load_nothing(void **state) {
  (void)state;
  static const uint32_t flags[] = {DR_RUN_PLAN, DR_RUN_BASELINE};
  load_beside(1);
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    scene_ingest(&scene, "    mode: mirror\n");
    scene_rows(&scene, SEVEN, ", \"batch\": 1");
    assert_int_equal(scene_run(&scene, flags[i]), DRAY_OK);
    assert_int_equal(scene.report.inserts, 7);
    assert_string_equal(i == 0 ? scene_query(&scene, TABLES) : scene_query(&scene, "SELECT count(*) FROM rows"), "0");
    scene_end(&scene);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_begins_while_rows_are_read),
      cmocka_unit_test(test_killed_anywhere_it_leaves_nothing_or_all),
      cmocka_unit_test(test_rows_of_every_kind_end_as_in_a_load_afterwards),
      cmocka_unit_test(test_reading_that_breaks_off_keeps_what_a_window_may),
      cmocka_unit_test(test_a_first_window_ends_as_the_sync_says),
      cmocka_unit_test(test_a_load_that_fails_is_done_again_from_the_changes),
      cmocka_unit_test(test_a_load_that_waits_too_long_is_done_again_from_the_changes),
      cmocka_unit_test(test_a_table_with_rows_is_left_to_the_comparison),
      cmocka_unit_test(test_a_plan_and_a_baseline_load_nothing),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
