// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole runs into a SQLite file: windows, kills, deletes, drift, rows that cannot be taken.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "diff/diff.h"
#include "scene.h"
#include "store/store.h"

#define TABLE "SELECT id, name FROM rows ORDER BY id"
#define BARE "[[\"id\",\"int64\"],[\"name\",\"string\"]]"
#define WIDE "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"extra\",\"string\"]]"
#define WITH_ERROR "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_error\",\"string\"]]"
#define WITH_DELETED "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_deleted\",\"bool\"]]"

static void test_killed_between_windows_goes_on_from_the_last_checkpoint(void **state) {
  (void)state;
  static const char *const faults[] = {"kill:sync.merged:2", "kill:sync.warehouse_committed:1",
                                       "kill:sync.warehouse_committed:2", "kill:sync.mirror_committed:1",
                                       "kill:sync.mirror_committed:3"};
  for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
    struct scene scene;
    scene_ingest(&scene, "    mode: upsert\n    commit_rows: 2\n");
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[1,\"A\"],[5,\"e\"],[6,\"f\"]]", ", \"batch\": 2");
    assert_true(scene_run_killed(&scene, faults[i]));
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_string_equal(scene_query(&scene, TABLE), "1|A;2|b;3|c;4|d;5|e;6|f");
    assert_int_equal(scene.report.mirror_rows, 6);
    assert_true(scene.report.rows_read < 7);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.rows_read, 0);
    scene_end(&scene);
  }
}

static void test_reading_that_breaks_off_keeps_what_came_before(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    commit_rows: 2\n");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]", ", \"batch\": 1, \"fail_at\": 3");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_NET_CLOSED);
  assert_non_null(strstr(scene.report.error.text, "the reading broke off"));
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b;3|c"); // one window, and the part of another
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]", ", \"batch\": 1");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.rows_read, 1);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b;3|c;4|d");
  scene_end(&scene);
}

static void test_append_that_breaks_off_keeps_what_came_before_and_repeats_nothing(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: append\n");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]", ", \"batch\": 1, \"fail_at\": 3");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_NET_CLOSED);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b;3|c");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]", ", \"batch\": 1");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b;3|c;4|d");
  scene_end(&scene);
}

// 0s: every safe place is committed, whatever the rows.
static void test_windows_end_with_time_as_well(void **state) {
  (void)state;
  static const char *const modes[] = {"    mode: upsert\n    commit_after: 0s\n",
                                      "    mode: append\n    commit_after: 0s\n"};
  for (size_t i = 0; i < 2; i++) {
    struct scene scene;
    scene_ingest(&scene, modes[i]);
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]", ", \"batch\": 1");
    assert_true(scene_run_killed(&scene, "kill:sync.warehouse_committed:2"));
    assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b");
    scene_end(&scene);
  }
}

static void test_tombstones_delete(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    guard: off\n");
  scene_script(&scene, WITH_DELETED, "[[1,\"a\",false],[2,\"b\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_DELETED, "[[1,\"a\",false],[2,\"b\",null],[1,null,true],[3,\"c\",false],[9,null,true]]",
               "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "2|b;3|c");
  assert_int_equal(scene.report.deletes, 1);
  scene_end(&scene);
}

// Ten rows are known. Two tombstones are 20 %, in a window or in many; the third is too much for the run.
static void test_guard_counts_over_the_windows_of_a_run(void **state) {
  (void)state;
#define TEN                                                                                                            \
  "[0,\"a\",null],[1,\"a\",null],[2,\"a\",null],[3,\"a\",null],[4,\"a\",null],[5,\"a\",null],[6,\"a\",null],[7,\"a\"," \
  "null],"                                                                                                             \
  "[8,\"a\",null],[9,\"a\",null]"
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    commit_rows: 1\n    guard: {deletes: 20%, min: 1}\n");
  scene_script(&scene, WITH_DELETED, "[" TEN "]", ", \"batch\": 1");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_DELETED, "[" TEN ",[0,null,true],[1,null,true],[2,null,true],[3,null,true]]",
               ", \"batch\": 1");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_GUARD);
  assert_non_null(strstr(scene.report.error.text, "3 of 10 rows would be deleted (30.0 %"));
  assert_null(strstr(scene.report.error.text, "nothing was sent"));
  assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows"), "8");
  scene_end(&scene);
}

// What a first read brings is no change to what was there, however many windows it takes.
static void test_guard_lets_a_first_read_pass_in_windows(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    commit_rows: 2\n    guard: {changes: 50%, min: 1}\n");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"]]", ", \"batch\": 2");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows"), "6");
  scene_end(&scene);
}

static void test_unreadable_row_withholds_deletes_alone(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n");
  scene_script(&scene, WITH_ERROR, "[[1,\"a\",null],[2,\"b\",null],[3,\"c\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_ERROR, "[[1,\"A\",null],[2,\"b\",\"data_type: broken\"],[4,\"d\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|A;2|b;3|c;4|d");
  assert_int_equal(scene.report.deletes_withheld, 2);
  assert_int_equal(scene.report.deletes, 0); // nothing was
  assert_int_equal(scene.report.unreadable_rows, 1);
  assert_int_equal(scene.report.exit_code, 3);
  scene_script(&scene, WITH_ERROR, "[[1,\"A\",null],[2,\"b\",null],[4,\"d\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|A;2|b;4|d");
  assert_int_equal(scene.report.exit_code, 0);
  scene_end(&scene);
}

static void test_replace_does_not_empty_the_table_for_rows_it_cannot_write(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: replace\n");
  scene_script(&scene, WITH_ERROR, "[[1,\"a\",null],[2,\"b\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_ERROR, "[[1,null,\"data_type: broken\"],[2,null,\"data_type: broken\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_GUARD);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|b");
  assert_int_equal(scene_run(&scene, DR_RUN_ALLOW_GUARD), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "");
  scene_end(&scene);
}

#define BROKEN(id) "[" #id ",null,\"data_type: broken\"]"

static void test_replace_by_key_takes_no_row_away_beside_a_rejected_one(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: replace\n    guard: off\n");
  scene_script(&scene, WITH_ERROR, "[[1,\"a\",null],[2,\"b\",null],[3,\"c\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_ERROR, "[[1,\"A\",null]," BROKEN(2) ",[4,\"d\",null]]", "");
  for (int again = 0; again <= 1; again++) {
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_string_equal(scene_query(&scene, TABLE), "1|A;2|b;3|c;4|d");
    assert_int_equal(scene.report.deletes_withheld, 2);
    assert_int_equal(scene.report.rejected_rows, 1);
    assert_int_equal(scene.report.applied, again ? 0 : 2);
    assert_int_equal(scene.report.exit_code, 3);
  }
  assert_int_equal(scene_run(&scene, DR_RUN_ALLOW_GUARD), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|A;4|d");
  scene_script(&scene, WITH_ERROR, "[[4,\"d\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "4|d");
  assert_int_equal(scene.report.exit_code, 0);
  scene_end(&scene);
}

// The key tells nothing here: it comes twice.
static void test_replace_of_rows_that_nothing_tells_apart_ends_before_one_is_lost(void **state) {
  (void)state;
#define PAIR "[1,\"a\",null],[1,\"b\",null]"
  struct scene scene;
  scene_ingest(&scene, "    mode: replace\n    guard: off\n");
  scene_script(&scene, WITH_ERROR, "[" PAIR ",[2,\"c\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WITH_ERROR, "[" PAIR "," BROKEN(2) ",[3,\"d\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_GUARD);
  assert_non_null(strstr(scene.report.error.text, "1 rows were rejected"));
  assert_string_equal(scene_query(&scene, TABLE), "1|a;1|b;2|c");
  scene_script(&scene, WITH_ERROR, "[" PAIR ",[2,\"c\",null]," BROKEN(3) ",[4,\"d\",null]]", ""); // all are there
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 3);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;1|b;2|c;4|d");
  scene_script(&scene, WITH_ERROR, "[" PAIR "," BROKEN(2) "]", "");
  assert_int_equal(scene_run(&scene, DR_RUN_ALLOW_GUARD), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;1|b");
  scene_end(&scene);
}

static void test_replace_by_nothing_is_guarded_as_the_sync_says(void **state) {
  (void)state;
  for (int allowed = 0; allowed <= 1; allowed++) {
    struct scene scene;
    scene_ingest(&scene, allowed ? "    mode: replace\n    guard: {empty: allow}\n" : "    mode: replace\n");
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    scene_rows(&scene, "[]", "");
    assert_int_equal(scene_run(&scene, 0), allowed ? DRAY_OK : DRAY_E_GUARD);
    assert_string_equal(scene_query(&scene, TABLE), allowed ? "" : "1|a;2|b");
    scene_end(&scene);
  }
}

static void test_tombstone_is_believed_beside_an_unreadable_row(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    guard: off\n");
  const char *columns =
      "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_deleted\",\"bool\"],[\"_dray_error\",\"string\"]]";
  scene_script(&scene, columns, "[[1,\"a\",null,null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, columns, "[[1,\"a\",null,null],[1,null,true,null],[2,\"b\",null,\"data_type: broken\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "");
  assert_int_equal(scene.report.deletes_withheld, 0);
  scene_end(&scene);
}

static uint64_t recorded(struct scene *scene) {
  struct dr_store *store = scene_store(scene);
  struct dray_error error;
  uint64_t rejected = 0, parked = 0;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  return rejected;
}

static void test_discard_row_keeps_rows_with_a_new_column_out(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n    drift: {column: discard_row}\n");
  scene_script(&scene, BARE, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WIDE, "[[1,\"A\",null],[2,\"B\",\"x\"],[3,\"c\",null],[4,\"d\",\"y\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|A;2|b;3|c");
  assert_int_equal(scene.report.unreadable_rows, 2);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(recorded(&scene), 2);
  struct dr_store *store = scene_store(&scene);
  struct dr_row_record *rows = NULL;
  size_t count = 0;
  struct dray_error error;
  assert_int_equal(dr_store_rows(store, "s", 0, 10, &rows, &count, &error), DRAY_OK);
  assert_string_equal(rows[0].column, "extra");
  assert_string_equal(rows[0].key, "row 2");
  assert_string_equal(rows[1].key, "row 4");
  free(rows);
  dr_store_close(store);
  // Accepted: what was kept out comes.
  scene_config(&scene, "    to: {connection: wh, table: rows}\n    mode: mirror\n    guard: off\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, "SELECT id, name, extra FROM rows ORDER BY id"),
                      "1|A|null;2|B|x;3|c|null;4|d|y");
  assert_int_equal(recorded(&scene), 0);
  scene_end(&scene);
}

static void test_discard_value_leaves_the_column_out_until_it_is_accepted(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n    drift: {column: discard_value}\n");
  scene_script(&scene, BARE, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WIDE, "[[1,\"a\",\"x\"],[2,\"B\",\"y\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;2|B");
  assert_int_equal(scene.report.updates, 1); // a column that nobody keeps is no change
  scene_config(&scene, "    to: {connection: wh, table: rows}\n    mode: mirror\n    guard: off\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, "SELECT id, name, extra FROM rows ORDER BY id"), "1|a|x;2|B|y");
  scene_end(&scene);
}

static void test_frozen_columns_stop_the_run(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n    drift: {column: freeze}\n");
  scene_script(&scene, BARE, "[[1,\"a\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, WIDE, "[[1,\"b\",\"x\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_SCHEMA_DRIFT);
  assert_string_equal(scene_query(&scene, TABLE), "1|a");
  scene_end(&scene);
}

static void test_changed_type_is_refused_by_row(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n    drift: {type: discard_row}\n");
  scene_script(&scene, "[[\"id\",\"int64\"],[\"name\",\"int64\"]]", "[[1,10],[2,20]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, BARE, "[[1,\"ten\"],[2,null],[3,null]]", "");
  const int32_t rc = scene_run(&scene, 0);
  if (rc != DRAY_OK) fail_msg("%s", scene.report.error.text);
  assert_int_equal(scene.report.unreadable_rows, 1);
  assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows WHERE id = 1 AND name = 10"), "1");
  assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows"), "3");
  scene_end(&scene);
}

static void test_changed_type_is_left_out_by_value(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n    drift: {type: discard_value}\n");
  scene_script(&scene, "[[\"id\",\"int64\"],[\"name\",\"int64\"]]", "[[1,10],[2,20]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, BARE, "[[1,\"ten\"],[2,null],[3,\"x\"]]", "");
  const int32_t rc = scene_run(&scene, 0);
  if (rc != DRAY_OK) fail_msg("%s", scene.report.error.text);
  assert_int_equal(scene.report.unreadable_rows, 0);
  assert_string_equal(scene_query(&scene, TABLE), "1|10;2|20;3|null");
  scene_end(&scene);
}

static void test_last_of_duplicates_goes_by_the_cursor(void **state) {
  (void)state;
  struct scene scene;
  scene_ingest(&scene, "    mode: upsert\n    duplicates: last\n");
  scene_config(&scene, "");
  scene_write(&scene, "dray.yaml",
              "version: 1\nconnections:\n  src: {plugin: probe, path: p}\n  wh: {plugin: sqlite, path: wh.db}\n"
              "syncs:\n  s:\n    from: {connection: src, streams: [rows], cursor: at}\n"
              "    to: {connection: wh, table: rows}\n    mode: upsert\n    duplicates: last\n");
  scene_script(&scene, "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"at\",\"int64\"]]",
               "[[1,\"new\",9],[1,\"old\",3],[2,\"b\",1]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_string_equal(scene_query(&scene, TABLE), "1|new;2|b");
  scene_end(&scene);
}

static void test_lost_mirror_is_rebuilt_from_the_table(void **state) {
  (void)state;
  struct scene scene;
  char command[200];
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  (void)snprintf(command, sizeof(command), "%s/.dray/syncs/s/mirror", scene.folder);
  struct dray_error error;
  assert_int_equal(dr_mirror_reset(command, &error), DRAY_OK);
  scene_rows(&scene, "[[1,\"a\"],[3,\"c\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.rebuilt, 1);
  assert_int_equal(scene.report.unchanged, 1);
  assert_string_equal(scene_query(&scene, TABLE), "1|a;3|c");
  scene_end(&scene);
}

// The script: every row once as 'a...', then, with `changed`, every one as `changed`...
static void write_versions(struct scene *scene, char changed) {
  enum { ROWS = 2500 };
  static char text[2 * ROWS * 128 + 512];
  size_t len = (size_t)snprintf(text, sizeof(text), "{\"columns\":%s,\"batch\":100,\"rows\":[", BARE);
  for (int i = 0; i < (changed != 0 ? 2 : 1) * ROWS; i++) {
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s[%d,\"%c%090d\"]", i > 0 ? "," : "", i % ROWS,
                            i < ROWS ? 'a' : changed, i);
  }
  (void)snprintf(text + len, sizeof(text) - len, "]}");
  scene_write(scene, "p/script.json", text);
}

static void test_rows_deferred_in_one_of_several_windows_are_read_again(void **state) {
  (void)state;
  uint64_t deferred = 0;
  assert_int_equal(setenv("DRAY_TEST", "1", 1), 0);
  for (int i = 0; i < 10 && deferred == 0; i++) {
    struct scene scene;
    scene_ingest(&scene, "    mode: upsert\n    guard: off\n    commit_rows: 600\n");
    write_versions(&scene, 0);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(setenv("DRAY_FILTER_BYTES", "1", 1), 0); // prints that lie
    write_versions(&scene, 'b');
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(unsetenv("DRAY_FILTER_BYTES"), 0);
    assert_int_equal(scene.report.rows_read, 2500);
    deferred = scene.report.deferred;
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_true(deferred == 0 || scene.report.rows_read >= deferred);
    assert_string_equal(scene_query(&scene, "SELECT count(*) FROM rows WHERE name LIKE 'b%'"), "2500");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.rows_read, 0);
    scene_end(&scene);
  }
  assert_true(deferred > 0);
}

// Rows that a pass cannot tell apart are no proof that table and mirror agree.
static void test_rows_that_are_deferred_count_as_different(void **state) {
  (void)state;
  enum { ROWS = 2500 };
  static char text[ROWS * 128 + 512];
  struct scene scene;
  struct dr_state_comparison found;
  size_t len =
      (size_t)snprintf(text, sizeof(text), "{\"columns\":[[\"id\",\"int64\"],[\"name\",\"string\"]],\"rows\":[");
  for (int i = 0; i < ROWS; i++) {
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s[%d,\"%090d\"]", i > 0 ? "," : "", i, i);
  }
  (void)snprintf(text + len, sizeof(text) - len, "]}");
  scene_ingest(&scene, "    mode: mirror\n    guard: off\n");
  scene_write(&scene, "p/script.json", text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  (void)scene_query(&scene, "UPDATE rows SET name = 'x' || name");
  assert_int_equal(setenv("DRAY_TEST", "1", 1), 0);
  assert_int_equal(setenv("DRAY_FILTER_BYTES", "1", 1), 0); // prints that lie
  for (int i = 0; i < 8; i++) {
    scene_verify(&scene, &found);
    assert_int_equal(found.different, ROWS);
    assert_int_equal(found.table_only + found.mirror_only, 0);
    dr_state_comparison_free(&found);
  }
  assert_int_equal(unsetenv("DRAY_FILTER_BYTES"), 0);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed_between_windows_goes_on_from_the_last_checkpoint),
      cmocka_unit_test(test_reading_that_breaks_off_keeps_what_came_before),
      cmocka_unit_test(test_append_that_breaks_off_keeps_what_came_before_and_repeats_nothing),
      cmocka_unit_test(test_windows_end_with_time_as_well),
      cmocka_unit_test(test_tombstones_delete),
      cmocka_unit_test(test_guard_counts_over_the_windows_of_a_run),
      cmocka_unit_test(test_guard_lets_a_first_read_pass_in_windows),
      cmocka_unit_test(test_unreadable_row_withholds_deletes_alone),
      cmocka_unit_test(test_replace_does_not_empty_the_table_for_rows_it_cannot_write),
      cmocka_unit_test(test_replace_by_key_takes_no_row_away_beside_a_rejected_one),
      cmocka_unit_test(test_replace_of_rows_that_nothing_tells_apart_ends_before_one_is_lost),
      cmocka_unit_test(test_replace_by_nothing_is_guarded_as_the_sync_says),
      cmocka_unit_test(test_tombstone_is_believed_beside_an_unreadable_row),
      cmocka_unit_test(test_discard_row_keeps_rows_with_a_new_column_out),
      cmocka_unit_test(test_discard_value_leaves_the_column_out_until_it_is_accepted),
      cmocka_unit_test(test_frozen_columns_stop_the_run),
      cmocka_unit_test(test_changed_type_is_refused_by_row),
      cmocka_unit_test(test_changed_type_is_left_out_by_value),
      cmocka_unit_test(test_last_of_duplicates_goes_by_the_cursor),
      cmocka_unit_test(test_lost_mirror_is_rebuilt_from_the_table),
      cmocka_unit_test(test_rows_deferred_in_one_of_several_windows_are_read_again),
      cmocka_unit_test(test_rows_that_are_deferred_count_as_different),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
