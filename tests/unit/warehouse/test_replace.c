// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables that are to hold the rows read and no others: by key, as bags, and when there is nothing to do.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "torture.h"
#include "world.h"

#define ROWS_MAX 12

static const struct dray_column_def bag[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"doc", {DRAY_TYPE_JSON, 0, 0}, 1},
};
static const char *const id_key[] = {"id"};
static const char bag_sql[] = "SELECT id, name, doc FROM t ORDER BY id, name, doc";

static uint32_t random_state;

static uint32_t pick(uint32_t below) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

// Rows of few values, so that they meet again; `distinct`: each with a key of its own.
static size_t random_rows(const char *(*cells)[3], int distinct) {
  static const char *const ids[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"};
  static const char *const names[] = {"a", "A", "", "a ", NULL};
  static const char *const docs[] = {"{}", "[1]", NULL};
  size_t count = 0;
  for (size_t i = 0; i < ROWS_MAX; i++) {
    if (pick(3) == 0) continue;
    cells[count][0] = distinct ? ids[i] : pick(4) == 0 ? NULL : ids[pick(3)];
    cells[count][1] = names[pick(5)];
    cells[count++][2] = docs[pick(3)];
  }
  return count;
}

// The same rows by plain SQL, row by row.
static void insert_plainly(struct world *plain, const char *const (*cells)[3], size_t count) {
  char sql[400];
  world_execute(plain, "DELETE FROM t");
  for (size_t i = 0; i < count; i++) {
    const char *const *row = cells[i];
    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%s, %s%s%s, %s%s%s)", row[0] != NULL ? row[0] : "NULL",
                   row[1] != NULL ? "'" : "", row[1] != NULL ? row[1] : "NULL", row[1] != NULL ? "'" : "",
                   row[2] != NULL ? "'" : "", row[2] != NULL ? row[2] : "NULL", row[2] != NULL ? "'" : "");
    world_execute(plain, sql);
  }
}

static void compare_with_plain_sql(int variant, int keyed, uint32_t seed) {
  struct world world, plain;
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, id_key, keyed ? 1 : 0);
  random_state = seed;
  world_fresh(NULL);
  world_open(&world, "w.db", variant);
  world_open(&plain, "plain.db", WORLD_PLAIN);
  world_execute(&plain, "CREATE TABLE t (id INTEGER, name TEXT, doc JSON_TEXT)");
  for (uint64_t generation = 0; generation < 8; generation++) {
    const char *cells[ROWS_MAX][3];
    uint64_t written = 0;
    const size_t count = random_rows(cells, keyed && generation % 4 != 3); // now and then the key is none
    insert_plainly(&plain, (const char *const(*)[3])cells, count);
    assert_ok(world_write_rows(&world, &options, 2 * generation, world_batch(schema, cells[0], count), NULL));
    assert_string_equal(world_query(&world, bag_sql), world_query(&plain, bag_sql));
    assert_ok(world_write_rows(&world, &options, 2 * generation + 1, world_batch(schema, cells[0], count), &written));
    assert_int_equal(written, 0);
    assert_string_equal(world_query(&world, bag_sql), world_query(&plain, bag_sql));
  }
  world_close(&world);
  world_close(&plain);
  dr_schema_unref(schema);
}

static void test_any_rows_leave_what_plain_sql_leaves(void **state) {
  (void)state;
  static const int variants[] = {WORLD_PLAIN,          WORLD_NO_UPDATE_FROM,       WORLD_NO_NULL_SAFE_IS,
                                 WORLD_NO_TEMP_TABLES, WORLD_NO_TRANSACTIONAL_DDL, WORLD_DOLLAR,
                                 WORLD_EVERY};
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    for (uint32_t seed = 0; seed < 3; seed++) {
      compare_with_plain_sql(variants[i], 0, 10 * (uint32_t)i + seed);
      compare_with_plain_sql(variants[i], 1, 10 * (uint32_t)i + seed);
    }
  }
}

static int32_t write_idly(struct world *world, const struct dr_table_options *options, const struct dr_batch *rows,
                          uint64_t expected, int *out_idle) {
  struct dr_table_plan plan = {.ddl = NULL};
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  DRAY_TRY(dr_table_plan(&world->warehouse, options, &plan, &world_error));
  int32_t code = dr_table_writer_begin(&world->warehouse, options, &plan, expected, &writer, &world_error);
  if (code == DRAY_OK) code = dr_table_writer_rows(writer, rows, &world_error);
  if (code == DRAY_OK) dr_table_writer_may_idle(writer);
  if (code == DRAY_OK) {
    code = dr_table_writer_merge(writer, expected + 1, dray_str_of("checkpoint"), &written, &world_error);
  }
  if (code == DRAY_OK) *out_idle = dr_table_writer_idle(writer);
  if (code == DRAY_OK) code = dr_table_writer_commit(writer, &world_error);
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
  return code;
}

static void test_a_write_of_nothing_leaves_the_state_row_too(void **state) {
  (void)state;
  struct world world;
  int idle = 0;
  const char *const cells[] = {"1", "a", NULL, "2", NULL, "[]"}, *const others[] = {"1", "a", NULL, "2", "b", "[]"};
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, id_key, 1);
  struct dr_batch *rows = world_batch(schema, cells, 2), *changed = world_batch(schema, others, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_idly(&world, &options, rows, 0, &idle));
  assert_false(idle); // it made the table
  const char *before = world_query(&world, "SELECT generation, updated_at FROM _dray_state");
  assert_ok(write_idly(&world, &options, rows, 1, &idle));
  assert_true(idle);
  assert_string_equal(world_query(&world, "SELECT generation, updated_at FROM _dray_state"), before);
  assert_int_equal(write_idly(&world, &options, rows, 2, &idle), DRAY_E_STATE_GENERATION);
  assert_ok(write_idly(&world, &options, changed, 1, &idle));
  assert_false(idle);
  assert_string_equal(world_query(&world, "SELECT generation FROM _dray_state"), "2\n");
  world_execute(&world, "ALTER TABLE t ADD COLUMN _dray_deleted_at TIMESTAMP_TEXT");
  world_execute(&world, "UPDATE t SET _dray_deleted_at = '2024-01-01 00:00:00' WHERE id = 1");
  assert_ok(write_idly(&world, &options, changed, 2, &idle)); // a row that is marked as deleted is none
  assert_false(idle);
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM t WHERE _dray_deleted_at IS NULL"), "2\n");
  dr_batch_free(rows);
  dr_batch_free(changed);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_write_that_only_empties_the_table_is_one(void **state) {
  (void)state;
  struct world world;
  int idle = 0;
  const char *const cells[] = {"1", "a", NULL, "2", NULL, "[]"};
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, NULL, 0);
  struct dr_batch *rows = world_batch(schema, cells, 2), *none = world_batch(schema, cells, 0);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_idly(&world, &options, rows, 0, &idle));
  assert_ok(write_idly(&world, &options, none, 1, &idle));
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM t"), "0\n");
  assert_false(idle); // the state row moves with the rows
  assert_string_equal(world_query(&world, "SELECT generation FROM _dray_state"), "2\n");
  assert_ok(write_idly(&world, &options, none, 2, &idle));
  assert_true(idle);
  dr_batch_free(rows);
  dr_batch_free(none);
  world_close(&world);
  dr_schema_unref(schema);
}

// What is gone is told by the bytes of its key, whatever a column takes to be equal.
static void test_a_row_whose_key_another_one_resembles_stays(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 0;
  const char *const cells[] = {"1", "a", NULL, "2", "A", NULL};
  static const char *const name_key[] = {"name"};
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, name_key, 1);
  world_open(&world, "w.db", WORLD_EXACT_TEXT);
  world_execute(&world, "CREATE TABLE t (id INTEGER, name TEXT COLLATE NOCASE, doc JSON_TEXT, note TEXT)");
  assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, cells, 2), NULL));
  world_execute(&world, "UPDATE t SET note = 'by hand'");
  assert_ok(world_write_rows(&world, &options, 1, world_batch(schema, cells, 1), &written));
  assert_string_equal(world_query(&world, "SELECT id, name, note FROM t"), "1|a|by hand\n");
  assert_int_equal(written, 1);
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- no memory ----

struct attempt {
  struct world world;
  struct dr_table_options options;
  struct dr_batch *rows;
};

static int32_t tally(struct world *world, const struct dr_table_options *options, const struct dr_batch *rows,
                     uint64_t generation, int *out_same) {
  struct dr_table_tally *made = NULL;
  DRAY_TRY(dr_table_tally_new(&world->warehouse, options, 7, &made, &world_error));
  int32_t code = dr_table_tally_rows(made, rows, &world_error);
  if (code == DRAY_OK) code = dr_table_tally_same(made, generation, out_same, &world_error);
  dr_table_tally_free(made);
  return code;
}

static void check_tally(struct world *world, const struct dr_table_options *options, const struct dr_batch *rows,
                        uint64_t generation, int same) {
  int found = !same;
  assert_ok(tally(world, options, rows, generation, &found));
  assert_int_equal(found, same);
}

// What a tally takes for the same, a writer finds nothing to do about, and the other way round.
static void test_a_tally_says_what_a_writer_finds(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, NULL, 0);
  uint64_t generation = 1, same_count = 0;
  const char *cells[ROWS_MAX][3] = {{"1", "a", NULL}};
  random_state = 5;
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, cells[0], 1), NULL));
  for (int turn = 0; turn < 60; turn++) {
    const size_t count = pick(8) != 0 ? 1 + pick(2) : random_rows(cells, 0);
    for (size_t i = 0; i < count && count <= 2; i++) { // a few small ones, so that they meet again
      cells[i][0] = "1";
      cells[i][1] = pick(2) == 0 ? "a" : "A";
      cells[i][2] = NULL;
    }
    struct dr_batch *rows = world_batch(schema, cells[0], count);
    uint64_t written = 0;
    int same = 0;
    assert_ok(tally(&world, &options, rows, generation, &same));
    assert_ok(world_write_rows(&world, &options, generation++, rows, &written));
    assert_int_equal(same, written == 0);
    same_count += same != 0;
  }
  assert_true(same_count > 3 && same_count < 50);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_tally_believes_only_what_it_has_read(void **state) {
  (void)state;
  struct world world;
  const char *const cells[] = {"1", "a", NULL, "2", NULL, "[]"};
  struct dr_schema *schema = world_schema(bag, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, id_key, 1);
  struct dr_batch *rows = world_batch(schema, cells, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  check_tally(&world, &options, rows, 0, 0); // no table
  assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, cells, 2), NULL));
  check_tally(&world, &options, rows, 1, 1);
  check_tally(&world, &options, rows, 2, 0); // somebody else wrote
  world_execute(&world, "CREATE TABLE o AS SELECT * FROM t");
  static const char *const edits[][2] = {
      {"UPDATE t SET name = 'A' WHERE id = 1", "UPDATE t SET name = 'a' WHERE id = 1"},
      {"UPDATE t SET name = '' WHERE id = 2", "UPDATE t SET name = NULL WHERE id = 2"},
      {"UPDATE t SET id = 1 WHERE id = 2", "UPDATE t SET id = 2 WHERE name IS NULL"},
      {"UPDATE t SET id = 'two' WHERE id = 2", "UPDATE t SET id = 2 WHERE id = 'two'"}, // reads as none of its type
      {"INSERT INTO t (id, _dray_synced_at) VALUES (3, '')", "DELETE FROM t WHERE id = 3"},
      {"DELETE FROM t", "INSERT INTO t SELECT * FROM o"},
  };
  for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
    world_execute(&world, edits[i][0]);
    check_tally(&world, &options, rows, 1, 0);
    world_execute(&world, edits[i][1]);
    check_tally(&world, &options, rows, 1, 1);
  }
  world_execute(&world, "ALTER TABLE t ADD COLUMN note TEXT DEFAULT 'by hand'"); // none of ours
  check_tally(&world, &options, rows, 1, 1);
  world_execute(&world, "ALTER TABLE t ADD COLUMN _dray_deleted_at TIMESTAMP_TEXT");
  check_tally(&world, &options, rows, 1, 0); // a row may be marked
  world_execute(&world, "DROP TABLE t");
  world_execute(&world, "CREATE TABLE t (id TEXT, name TEXT, doc JSON_TEXT, _dray_synced_at TIMESTAMP_TEXT)");
  world_execute(&world, "INSERT INTO t SELECT * FROM o");
  check_tally(&world, &options, rows, 1, 0); // '1' and '01' read as one number there
  dr_batch_free(rows);
  world_close(&world);
  dr_schema_unref(schema);
}

static int32_t write_once(void *ctx) {
  struct attempt *attempt = ctx;
  struct dr_warehouse *warehouse = &attempt->world.warehouse;
  struct dr_table_plan plan = {.ddl = NULL};
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  DRAY_TRY(dr_table_plan(warehouse, &attempt->options, &plan, &world_error));
  int32_t code = dr_table_writer_begin(warehouse, &attempt->options, &plan, 1, &writer, &world_error);
  if (code == DRAY_OK) code = dr_table_writer_rows(writer, attempt->rows, &world_error);
  if (code == DRAY_OK) code = dr_table_writer_merge(writer, 2, dray_str_of("x"), &written, &world_error);
  dr_table_writer_free(writer); // never committed: every attempt finds the same table
  dr_table_plan_free(&plan);
  return code;
}

static int32_t tally_once(void *ctx) {
  struct attempt *attempt = ctx;
  int same = 0;
  DRAY_TRY(tally(&attempt->world, &attempt->options, attempt->rows, 1, &same));
  assert_true(same);
  return DRAY_OK;
}

static void test_every_allocation_of_a_tally_may_fail(void **state) {
  (void)state;
  struct attempt attempt;
  struct dr_schema *schema = world_schema(bag, 3);
  const char *const cells[] = {"1", "a", NULL, "2", NULL, "[]"};
  attempt.options = world_options(schema, "t", DR_WRITE_REPLACE, NULL, 0);
  attempt.rows = world_batch(schema, cells, 2);
  world_open(&attempt.world, "w.db", WORLD_PLAIN);
  assert_ok(world_write_rows(&attempt.world, &attempt.options, 0, world_batch(schema, cells, 2), NULL));
  assert_true(torture_every(tally_once, &attempt) > 30);
  dr_batch_free(attempt.rows);
  world_close(&attempt.world);
  dr_schema_unref(schema);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  const struct dray_column_def timed[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 1}, {"since", {DRAY_TYPE_DATE, 0, 0}, 1}};
  const char *const cells[] = {"1", "2024-01-01", "2", NULL, "1", "2023-01-01"};
  for (int mode = DR_WRITE_REPLACE; mode <= DR_WRITE_HISTORY; mode++) {
    struct attempt attempt;
    struct dr_schema *schema = world_schema(timed, 2);
    world_fresh(NULL);
    attempt.options = world_options(schema, "t", mode, id_key, 1);
    if (mode == DR_WRITE_HISTORY) attempt.options.valid_from = "since";
    attempt.rows = world_batch(schema, cells, mode == DR_WRITE_HISTORY ? 3 : 2);
    attempt.rows->deleted = calloc(1, 1);
    assert_non_null(attempt.rows->deleted);
    attempt.rows->deleted[0] = mode == DR_WRITE_HISTORY ? 2 : 0;
    world_open(&attempt.world, "w.db", WORLD_PLAIN);
    const char *const other[] = {"1", "2024-05-05"};
    assert_ok(world_write_rows(&attempt.world, &attempt.options, 0, world_batch(schema, other, 1), NULL));
    assert_true(torture_every(write_once, &attempt) > 50);
    assert_string_equal(world_query(&attempt.world, "SELECT id, since FROM t"), "1|2024-05-05\n");
    dr_batch_free(attempt.rows);
    world_close(&attempt.world);
    dr_schema_unref(schema);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_any_rows_leave_what_plain_sql_leaves, world_fresh),
      cmocka_unit_test_setup(test_a_write_of_nothing_leaves_the_state_row_too, world_fresh),
      cmocka_unit_test_setup(test_a_write_that_only_empties_the_table_is_one, world_fresh),
      cmocka_unit_test_setup(test_a_row_whose_key_another_one_resembles_stays, world_fresh),
      cmocka_unit_test_setup(test_a_tally_says_what_a_writer_finds, world_fresh),
      cmocka_unit_test_setup(test_a_tally_believes_only_what_it_has_read, world_fresh),
      cmocka_unit_test_setup(test_every_allocation_may_fail, world_fresh),
      cmocka_unit_test_setup(test_every_allocation_of_a_tally_may_fail, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
