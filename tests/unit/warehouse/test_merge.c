// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a write leaves in the table, by mode: compared with what plain SQL, row by row, leaves in a table of its own.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "world.h"

#define INSERT DRAY_OP_INSERT
#define UPDATE DRAY_OP_UPDATE
#define DELETE DRAY_OP_DELETE

static const struct dray_column_def customer[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0},
    {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"limit", {DRAY_TYPE_DECIMAL, 10, 2}, 1},
};
static const char *const id_key[] = {"id"};

#define ROWS(...) ((const char *const[]){__VA_ARGS__})
#define OPS(...) ((const uint8_t[]){__VA_ARGS__})

static const char all_sql[] = "SELECT id, name, \"limit\" FROM t ORDER BY id";

// ---- upsert ----

static void test_upsert_inserts_updates_and_deletes(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(
      world_write(&world, &options, 0,
                  world_changes(world_batch(schema, ROWS("1", "ann", "1.50", "2", NULL, NULL, "3", "", "0.00"), 3),
                                OPS(INSERT, INSERT, INSERT)),
                  &written));
  assert_int_equal(written, 3);
  assert_string_equal(world_query(&world, all_sql), "1|ann|1.50\n2|~|~\n3||0.00\n");
  assert_ok(
      world_write(&world, &options, 1,
                  world_changes(world_batch(schema, ROWS("4", "dora", "4.00", "1", NULL, "1.50", "3", "gone", NULL), 3),
                                OPS(INSERT, UPDATE, DELETE)),
                  &written));
  assert_int_equal(written, 3);
  assert_string_equal(world_query(&world, all_sql), "1|~|1.50\n2|~|~\n4|dora|4.00\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_rows_that_do_not_differ_are_not_touched(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 7;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  const char *const *rows = ROWS("1", "a", "1.00", "2", NULL, NULL);
  assert_ok(world_write(&world, &options, 0, world_changes(world_batch(schema, rows, 2), OPS(INSERT, INSERT)), NULL));
  const char *before = world_query(&world, "SELECT id, _dray_synced_at FROM t ORDER BY id");
  assert_ok(world_write(&world, &options, 1, world_changes(world_batch(schema, rows, 2), OPS(UPDATE, INSERT)),
                        &written)); // a resync
  assert_int_equal(written, 0);
  assert_string_equal(world_query(&world, "SELECT id, _dray_synced_at FROM t ORDER BY id"), before);
  assert_ok(world_write(&world, &options, 2, world_changes(world_batch(schema, ROWS("2", "x", NULL), 1), OPS(UPDATE)),
                        &written));
  assert_int_equal(written, 1);
  assert_string_equal(world_query(&world, "SELECT count(DISTINCT _dray_synced_at) AS n FROM t"), "2\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_insert_of_a_key_that_is_there_makes_no_second_row(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  // A table that somebody made, without an index over the key.
  world_execute(&world, "CREATE TABLE t (id INTEGER, name TEXT, \"limit\" DECIMAL_TEXT(10,2), note TEXT)");
  world_execute(&world, "INSERT INTO t VALUES (1, 'old', '1.00', 'by hand'), (5, 'five', '5.00', 'mine')");
  assert_ok(
      world_write(&world, &options, 0,
                  world_changes(world_batch(schema, ROWS("1", "new", ABSENT, "2", "b", "2.00", "9", "u", "9.00"), 3),
                                OPS(INSERT, INSERT, UPDATE)),
                  NULL));
  assert_string_equal(world_query(&world, "SELECT id, name, \"limit\", note FROM t ORDER BY id"),
                      "1|new|1.00|by hand\n2|b|2.00|~\n5|five|5.00|mine\n9|u|9.00|~\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static const struct dray_column_def words[] = {{"name", {DRAY_TYPE_STRING, 0, 0}, 0},
                                               {"v", {DRAY_TYPE_STRING, 0, 0}, 1}};
static const char *const name_key[] = {"name"};

static void tell_apart(int variant) {
  static const char by_bytes[] = "SELECT name, v, note FROM t ORDER BY name COLLATE BINARY";
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(words, 2);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, name_key, 1);
  world_open(&world, "w.db", variant);
  world_execute(&world, "CREATE TABLE t (name TEXT COLLATE NOCASE, v VARCHAR(9) COLLATE RTRIM, note TEXT)");
  world_execute(&world, "INSERT INTO t VALUES ('a', 'x', 'mine')");
  assert_ok(world_write(&world, &options, 0,
                        world_changes(world_batch(schema, ROWS("A", "y", "a", "x "), 2), OPS(INSERT, UPDATE)),
                        &written));
  assert_string_equal(world_query(&world, by_bytes), "A|y|~\na|x |mine\n");
  assert_int_equal(written, 2);
  assert_ok(world_write(&world, &options, 1,
                        world_changes(world_batch(schema, ROWS("A", ABSENT, "a", ABSENT), 2), OPS(UPDATE, UPDATE)),
                        &written));
  assert_string_equal(world_query(&world, by_bytes), "A|y|~\na|x |mine\n");
  assert_int_equal(written, 0);
  assert_ok(
      world_write(&world, &options, 2, world_changes(world_batch(schema, ROWS("A", NULL), 1), OPS(DELETE)), NULL));
  assert_string_equal(world_query(&world, by_bytes), "a|x |mine\n");
  world_execute(&world, "CREATE UNIQUE INDEX u ON t (name)");
  assert_int_equal(
      world_write(&world, &options, 3, world_changes(world_batch(schema, ROWS("A", "z"), 1), OPS(INSERT)), NULL),
      DRAY_E_DATA_KEY_DUPLICATE);
  assert_non_null(strstr(world_error.text, "the column 'name' takes texts for equal"));
  assert_string_equal(world_query(&world, by_bytes), "a|x |mine\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_texts_that_a_column_takes_for_equal_are_told_apart(void **state) {
  static const int variants[] = {WORLD_PLAIN, WORLD_NO_UPDATE_FROM, WORLD_EXACT_TEXT,
                                 WORLD_NO_UPDATE_FROM | WORLD_EXACT_TEXT | WORLD_NO_NULL_SAFE_IS};
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    world_fresh(state);
    tell_apart(variants[i]);
  }
}

static void test_absent_values_keep_what_is_there(void **state) {
  (void)state;
  for (int variant = 0; variant <= WORLD_NO_UPDATE_FROM; variant++) {
    struct world world;
    struct dr_schema *schema = world_schema(customer, 3);
    const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
    world_fresh(NULL);
    world_open(&world, "w.db", variant);
    assert_ok(
        world_write(&world, &options, 0,
                    world_changes(world_batch(schema, ROWS("1", "a", "1.00", "2", "b", "2.00", "3", "c", ABSENT), 3),
                                  OPS(INSERT, INSERT, INSERT)),
                    NULL));
    assert_ok(world_write(
        &world, &options, 1,
        world_changes(
            world_batch(schema, ROWS("1", ABSENT, "9.00", "2", NULL, ABSENT, "4", ABSENT, "4.00", "3", ABSENT, ABSENT),
                        4),
            OPS(UPDATE, UPDATE, INSERT, UPDATE)),
        NULL));
    assert_string_equal(world_query(&world, all_sql), "1|a|9.00\n2|~|2.00\n3|c|~\n4|~|4.00\n");
    world_close(&world);
    dr_schema_unref(schema);
  }
}

static void test_absent_values_beyond_the_first_mask(void **state) {
  (void)state;
  struct world world;
  enum { COLUMNS = 200 };
  static char names[COLUMNS][16];
  struct dray_column_def defs[COLUMNS];
  const char *first[COLUMNS], *second[COLUMNS];
  for (size_t i = 0; i < COLUMNS; i++) {
    (void)snprintf(names[i], sizeof names[i], "c%zu", i);
    defs[i] = (struct dray_column_def){names[i], {DRAY_TYPE_INT64, 0, 0}, 1};
    first[i] = "1";
    second[i] = i == 0 ? "1" : i % 3 == 0 ? "2" : ABSENT;
  }
  const char *const key[] = {"c0"};
  struct dr_schema *schema = world_schema(defs, COLUMNS);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0, world_changes(world_batch(schema, first, 1), OPS(INSERT)), NULL));
  assert_ok(world_write(&world, &options, 1, world_changes(world_batch(schema, second, 1), OPS(UPDATE)), NULL));
  const char *row = world_query(&world, "SELECT * FROM t");
  for (size_t i = 0; i < COLUMNS; i++, row += 2) assert_int_equal(row[0], i > 0 && i % 3 == 0 ? '2' : '1');
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_soft_deletes_stay_and_a_returning_key_clears_them(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(customer, 3);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  static const char sql[] = "SELECT id, name, _dray_deleted_at IS NOT NULL AS gone FROM t ORDER BY id";
  options.soft_delete = 1;
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(
      world_write(&world, &options, 0,
                  world_changes(world_batch(schema, ROWS("1", "a", "1.00", "2", "b", "2.00", "3", "c", "3.00"), 3),
                                OPS(INSERT, INSERT, INSERT)),
                  NULL));
  assert_ok(world_write(
      &world, &options, 1,
      world_changes(world_batch(schema, ROWS("1", NULL, NULL, "2", NULL, NULL), 2), OPS(DELETE, DELETE)), &written));
  assert_int_equal(written, 2);
  assert_string_equal(world_query(&world, sql), "1|a|1\n2|b|1\n3|c|0\n"); // the row keeps its last values
  const char *before = world_query(&world, "SELECT _dray_deleted_at FROM t WHERE id = 1");
  // Deleted again: the first time stands. Returned unchanged: there again.
  assert_ok(world_write(
      &world, &options, 2,
      world_changes(world_batch(schema, ROWS("1", NULL, NULL, "2", "b", "2.00"), 2), OPS(DELETE, INSERT)), &written));
  assert_int_equal(written, 1);
  assert_string_equal(world_query(&world, sql), "1|a|1\n2|b|0\n3|c|0\n");
  assert_string_equal(world_query(&world, "SELECT _dray_deleted_at FROM t WHERE id = 1"), before);
  // Mode changed to hard deletes: the column stays, and still must not lie.
  options.soft_delete = 0;
  assert_ok(world_write(
      &world, &options, 3,
      world_changes(world_batch(schema, ROWS("1", "a", "1.00", "3", NULL, NULL), 2), OPS(INSERT, DELETE)), NULL));
  assert_string_equal(world_query(&world, sql), "1|a|0\n2|b|0\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_batch_of_mixed_operations_is_taken_apart(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  const char *const *rows =
      ROWS("1", "a", "1.00", "2", "x", NULL, "3", "c", ABSENT, "4", "reject", NULL, "5", "e", "5.00");
  // Into the new table directly, then once more through staging.
  for (uint64_t generation = 0; generation < 2; generation++) {
    assert_ok(world_write(
        &world, &options, generation,
        world_changes(world_batch(schema, rows, 5), OPS(INSERT, DELETE, UPDATE, DR_OP_REJECT, INSERT)), NULL));
    assert_string_equal(world_query(&world, all_sql), "1|a|1.00\n3|c|~\n5|e|5.00\n");
    if (generation == 0) world_execute(&world, "DELETE FROM t WHERE id = 5");
    if (generation == 0) world_execute(&world, "INSERT INTO t (id, name) VALUES (2, 'to be deleted')");
  }
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_table_of_nothing_but_its_key(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(customer, 1);
  for (int mode = DR_WRITE_UPSERT; mode <= DR_WRITE_HISTORY; mode++) {
    const struct dr_table_options options = world_options(schema, "t", mode, id_key, 1);
    if (mode == DR_WRITE_REPLACE) continue;
    world_fresh(NULL);
    world_open(&world, "w.db", WORLD_PLAIN);
    assert_ok(world_write(&world, &options, 0,
                          world_changes(world_batch(schema, ROWS("1", "2"), 2), OPS(INSERT, INSERT)), NULL));
    assert_ok(world_write(&world, &options, 1,
                          world_changes(world_batch(schema, ROWS("1", "3", "2"), 3), OPS(UPDATE, INSERT, DELETE)),
                          NULL));
    assert_string_equal(world_query(&world, mode == DR_WRITE_HISTORY
                                                ? "SELECT id FROM t WHERE _dray_current ORDER BY id"
                                                : "SELECT id FROM t ORDER BY id"),
                        "1\n3\n");
    world_close(&world);
  }
  dr_schema_unref(schema);
}

// ---- append and replace ----

static void test_append_adds_every_row(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_APPEND, NULL, 0);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, ROWS("1", "a", "1.00", "1", "a", "1.00"), 2),
                             &written));
  assert_int_equal(written, 2);
  assert_ok(world_write_rows(&world, &options, 1, world_batch(schema, ROWS("1", "a", ABSENT), 1), &written));
  assert_string_equal(world_query(&world, "SELECT id, name, \"limit\", _dray_synced_at IS NULL AS unsynced FROM t"),
                      "1|a|1.00|0\n1|a|1.00|0\n1|a|~|0\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_replace_swaps_everything_and_keeps_what_hangs_on_the_table(void **state) {
  (void)state;
  for (int variant = 0; variant <= WORLD_NO_TEMP_TABLES; variant += WORLD_NO_TEMP_TABLES) {
    struct world world, reader;
    uint64_t written = 0;
    struct dr_schema *schema = world_schema(customer, 3);
    const struct dr_table_options options = world_options(schema, "t", DR_WRITE_REPLACE, NULL, 0);
    world_fresh(NULL);
    world_open(&world, "w.db", variant);
    assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, ROWS("1", "a", "1.00", "2", "b", "2.00"), 2),
                               &written));
    world_execute(&world, "CREATE VIEW v AS SELECT name FROM t ORDER BY id");
    world_execute(&world, "ALTER TABLE t ADD COLUMN note TEXT DEFAULT 'by hand'");
    world_open(&reader, "w.db", variant);
    // Until the commit, others see the old rows, all of them.
    struct dr_table_plan plan = {.ddl = NULL};
    struct dr_table_writer *writer = NULL;
    struct dr_batch *rows = world_batch(schema, ROWS("3", "c", "3.00"), 1);
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 1, &writer, &world_error));
    assert_ok(dr_table_writer_rows(writer, rows, &world_error));
    assert_string_equal(world_query(&reader, "SELECT * FROM v"), "a\nb\n");
    assert_ok(dr_table_writer_merge(writer, 2, dray_str_of(""), &written, &world_error));
    assert_string_equal(world_query(&reader, "SELECT * FROM v"), "a\nb\n");
    assert_ok(dr_table_writer_commit(writer, &world_error));
    assert_int_equal(written, 1);
    assert_string_equal(world_query(&reader, "SELECT * FROM v"), "c\n");
    assert_string_equal(world_query(&reader, "SELECT id, note FROM t"), "3|by hand\n");
    dr_table_writer_free(writer);
    dr_table_plan_free(&plan);
    dr_batch_free(rows);
    world_close(&reader);
    // To nothing at all.
    assert_ok(world_write_rows(&world, &options, 2, world_batch(schema, NULL, 0), &written));
    assert_int_equal(written, 1); // the row that went
    assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM t"), "0\n");
    assert_string_equal(
        world_query(&world, "SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE '\\_dray\\_staging%' ESCAPE '\\'"),
        "0\n");
    world_close(&world);
    dr_schema_unref(schema);
  }
}

// ---- history ----

static void test_history_closes_versions_and_opens_new_ones(void **state) {
  (void)state;
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_HISTORY, id_key, 1);
  static const char sql[] =
      "SELECT id, name, _dray_current AS c, _dray_valid_to IS NULL AS open FROM t ORDER BY id, _dray_valid_from";
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(
      &world, &options, 0,
      world_changes(world_batch(schema, ROWS("1", "a", "1.00", "2", "b", "2.00"), 2), OPS(INSERT, INSERT)), &written));
  assert_int_equal(written, 2);
  assert_ok(world_write(&world, &options, 1,
                        world_changes(world_batch(schema, ROWS("1", "A", ABSENT, "2", NULL, NULL, "3", "c", "3.00"), 3),
                                      OPS(UPDATE, DELETE, INSERT)),
                        &written));
  assert_int_equal(written, 4); // two closed, two made
  assert_string_equal(world_query(&world, sql), "1|a|false|0\n1|A|true|1\n2|b|false|0\n3|c|true|1\n");
  assert_string_equal(world_query(&world, "SELECT \"limit\" FROM t WHERE id = 1 AND _dray_current"),
                      "1.00\n"); // absent: as it was
  // A row that is as it is makes no version; a key that returns makes one.
  assert_ok(
      world_write(&world, &options, 2,
                  world_changes(world_batch(schema, ROWS("1", "A", "1.00", "2", "b", "2.00", "3", ABSENT, ABSENT), 3),
                                OPS(INSERT, INSERT, UPDATE)),
                  &written));
  assert_int_equal(written, 1);
  assert_string_equal(world_query(&world, sql), "1|a|false|0\n1|A|true|1\n2|b|false|0\n2|b|true|1\n3|c|true|1\n");
  // Versions of one key meet where one ends and the next begins.
  assert_string_equal(
      world_query(&world,
                  "SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.id AND a._dray_valid_to = b._dray_valid_from"),
      "1\n");
  // The live rows are what a mirror is rebuilt from.
  struct dray_buffer select;
  dray_buffer_init(&select, 1 << 16);
  assert_ok(dr_sql_select(&world.warehouse.dialect, &options, &select, &world_error));
  assert_ok(dray_buffer_append_str(&select, " ORDER BY id", &world_error));
  assert_string_equal(world_query(&world, select.data), "1|A|1.00\n2|b|2.00\n3|c|3.00\n");
  dray_buffer_free(&select);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_history_goes_on_when_the_clock_went_back(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(customer, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_HISTORY, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(
      world_write(&world, &options, 0, world_changes(world_batch(schema, ROWS("1", "a", NULL), 1), OPS(INSERT)), NULL));
  // As if the first version had been written by a machine whose clock is far ahead.
  world_execute(&world, "UPDATE t SET _dray_valid_from = '2999-01-01 00:00:00'");
  world_execute(&world, "UPDATE _dray_state SET updated_at = '2999-01-01 00:00:00'");
  assert_ok(
      world_write(&world, &options, 1, world_changes(world_batch(schema, ROWS("1", "b", NULL), 1), OPS(UPDATE)), NULL));
  assert_string_equal(
      world_query(&world, "SELECT name, _dray_valid_from, _dray_valid_to FROM t ORDER BY _dray_valid_from"),
      "a|2999-01-01T00:00:00Z|2999-01-01T00:00:00.000001Z\nb|2999-01-01T00:00:00.000001Z|~\n");
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- any changes, in every variant, against plain SQL ----

static uint32_t random_state;
static uint32_t draw(uint32_t below) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

static const struct dray_column_def order_line[] = {
    {"order", {DRAY_TYPE_STRING, 0, 0}, 0},   {"n", {DRAY_TYPE_INT64, 0, 0}, 0},  {"a\"b", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"price", {DRAY_TYPE_DECIMAL, 12, 3}, 1}, {"day", {DRAY_TYPE_DATE, 0, 0}, 1},
};
enum { LINE_COLUMNS = 5, KEYS = 40, PER_ROUND = 25, ROUNDS = 12 };
static const char *const line_key[] = {"order", "n"};
static const char *const pool[LINE_COLUMNS][4] = {
    {"A", "a", "Ä'", "\"; --"},
    {"1", "2", "3", "4"},
    {"", "x", "O'Brien", NULL},
    {"0.000", "-1.500", NULL, "999999999.999"},
    {"2024-01-01", NULL, "1999-12-31", "2024-02-29"},
};

struct change {
  uint8_t op;
  const char *cells[LINE_COLUMNS];
};

static size_t draw_changes(struct change *changes) {
  size_t count = 0;
  const uint32_t first = draw(16);
  for (uint32_t k = 0; k < 16; k++) {
    const uint32_t key = (first + k) % 16;
    if (draw(3) == 0) continue;
    struct change *change = &changes[count++];
    const uint8_t ops[] = {INSERT, UPDATE, UPDATE, DELETE};
    change->op = ops[draw(4)];
    change->cells[0] = pool[0][key % 4];
    change->cells[1] = pool[1][key / 4];
    for (size_t i = 2; i < LINE_COLUMNS; i++) change->cells[i] = draw(4) == 0 ? ABSENT : pool[i][draw(4)];
  }
  return count;
}

static void put_value(struct dray_buffer *sql, const char *value) {
  if (value == NULL || value == ABSENT) {
    assert_ok(dray_buffer_append_str(sql, "NULL", &world_error));
    return;
  }
  assert_ok(dray_buffer_append_char(sql, '\'', &world_error));
  for (; *value != '\0'; value++) {
    if (*value == '\'') assert_ok(dray_buffer_append_char(sql, '\'', &world_error));
    assert_ok(dray_buffer_append_char(sql, *value, &world_error));
  }
  assert_ok(dray_buffer_append_char(sql, '\'', &world_error));
}

static const char *const line_names[LINE_COLUMNS] = {"\"order\"", "n", "\"a\"\"b\"", "price", "day"};

static void put_where(struct dray_buffer *sql, const struct change *change) {
  assert_ok(dray_buffer_append_str(sql, " WHERE live AND \"order\" = ", &world_error));
  put_value(sql, change->cells[0]);
  assert_ok(dray_buffer_append_str(sql, " AND n = ", &world_error));
  put_value(sql, change->cells[1]);
}

static void run_plain(struct world *plain, struct dray_buffer *sql) {
  world_execute(plain, sql->data);
  dray_buffer_clear(sql);
}

static int exists_plain(struct world *plain, const struct change *change) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, 1 << 16);
  assert_ok(dray_buffer_append_str(&sql, "SELECT 1 AS one FROM m", &world_error));
  put_where(&sql, change);
  const int found = strcmp(world_query(plain, sql.data), "1\n") == 0;
  dray_buffer_free(&sql);
  return found;
}

// One change, the way a person would do it by hand. `live` marks rows that count: not deleted softly, not superseded.
static void apply_plain(struct world *plain, const struct change *change, int mode, int soft, int round) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, 1 << 16);
  const int found = exists_plain(plain, change);
  const int history = mode == DR_WRITE_HISTORY;
  if (change->op == DELETE) {
    assert_ok(dray_buffer_append_str(&sql, soft || history ? "UPDATE m SET live = 0" : "DELETE FROM m", &world_error));
    put_where(&sql, change);
    if (found) run_plain(plain, &sql);
    dray_buffer_free(&sql);
    return;
  }
  // The row as it will be: a copy of the one there, with what was said changed.
  assert_ok(dray_buffer_printf(&sql, &world_error, "CREATE TEMP TABLE next AS SELECT * FROM m"));
  put_where(&sql, change);
  if (soft && !found) { // a row that was deleted softly still has its values
    dray_buffer_clear(&sql);
    assert_ok(dray_buffer_append_str(&sql, "UPDATE m SET live = 1 WHERE \"order\" = ", &world_error));
    put_value(&sql, change->cells[0]);
    assert_ok(dray_buffer_append_str(&sql, " AND n = ", &world_error));
    put_value(&sql, change->cells[1]);
    run_plain(plain, &sql);
    assert_ok(dray_buffer_append_str(&sql, "CREATE TEMP TABLE next AS SELECT * FROM m", &world_error));
    put_where(&sql, change);
  }
  run_plain(plain, &sql);
  if (strcmp(world_query(plain, "SELECT count(*) AS n FROM next"), "0\n") == 0) {
    assert_ok(dray_buffer_append_str(&sql, "INSERT INTO next (\"order\", n, live) VALUES (", &world_error));
    put_value(&sql, change->cells[0]);
    assert_ok(dray_buffer_append_char(&sql, ',', &world_error));
    put_value(&sql, change->cells[1]);
    assert_ok(dray_buffer_append_str(&sql, ", 1)", &world_error));
    run_plain(plain, &sql);
  }
  for (size_t i = 2; i < LINE_COLUMNS; i++) {
    if (change->cells[i] == ABSENT) continue;
    assert_ok(dray_buffer_printf(&sql, &world_error, "UPDATE next SET %s = ", line_names[i]));
    put_value(&sql, change->cells[i]);
    run_plain(plain, &sql);
  }
  static const char same[] =
      "SELECT count(*) AS n FROM (SELECT \"order\", n, \"a\"\"b\", price, day FROM m WHERE live INTERSECT "
      "SELECT \"order\", n, \"a\"\"b\", price, day FROM next)";
  const int unchanged = strcmp(world_query(plain, same), "1\n") == 0;
  if (!unchanged) {
    assert_ok(dray_buffer_append_str(&sql, history ? "UPDATE m SET live = 0" : "DELETE FROM m", &world_error));
    put_where(&sql, change);
    run_plain(plain, &sql);
    assert_ok(dray_buffer_printf(&sql, &world_error, "UPDATE next SET round = %d", round));
    run_plain(plain, &sql);
    world_execute(plain, "INSERT INTO m SELECT * FROM next");
  }
  world_execute(plain, "DROP TABLE next");
  dray_buffer_free(&sql);
}

static void compare_with_plain_sql(int variant, int mode, int soft, uint32_t seed) {
  struct world world, plain;
  struct change changes[KEYS];
  struct dr_schema *schema = world_schema(order_line, LINE_COLUMNS);
  struct dr_table_options options = world_options(schema, "t", mode, line_key, 2);
  static const char theirs[] = "SELECT \"order\", n, \"a\"\"b\", price, day, live FROM m ORDER BY \"order\", n, round";
  const char *ours =
      mode == DR_WRITE_HISTORY ? "SELECT \"order\", n, \"a\"\"b\", price, day, _dray_current + 0 AS live FROM t ORDER "
                                 "BY \"order\", n, _dray_valid_from"
      : soft
          ? "SELECT \"order\", n, \"a\"\"b\", price, day, _dray_deleted_at IS NULL AS live FROM t ORDER BY \"order\", n"
          : "SELECT \"order\", n, \"a\"\"b\", price, day, 1 AS live FROM t ORDER BY \"order\", n";
  random_state = seed;
  options.soft_delete = soft;
  if (variant & WORLD_SCHEMAS) options.name.schema = "main";
  world_fresh(NULL);
  world_open(&world, "w.db", variant);
  world_open(&plain, "plain.db", WORLD_PLAIN);
  world_execute(&plain, "CREATE TABLE m (\"order\" TEXT, n INTEGER, \"a\"\"b\" TEXT, price DECIMAL_TEXT(12,3), day "
                        "DATE_TEXT, live INTEGER, round INTEGER)");
  for (int round = 0; round < ROUNDS; round++) {
    const size_t count = draw_changes(changes);
    const char *cells[KEYS * LINE_COLUMNS];
    uint8_t ops[KEYS];
    for (size_t i = 0; i < count; i++) {
      ops[i] = changes[i].op;
      for (size_t c = 0; c < LINE_COLUMNS; c++) cells[i * LINE_COLUMNS + c] = changes[i].cells[c];
      apply_plain(&plain, &changes[i], mode, soft, round);
    }
    assert_ok(
        world_write(&world, &options, (uint64_t)round, world_changes(world_batch(schema, cells, count), ops), NULL));
    const char *expected = world_query(&plain, theirs), *actual = world_query(&world, ours);
    if (strcmp(expected, actual) != 0)
      fail_msg("variant %d mode %d soft %d round %d\nplain:\n%s\ndray:\n%s", variant, mode, soft, round, expected,
               actual);
  }
  world_close(&world);
  world_close(&plain);
  dr_schema_unref(schema);
}

static void test_any_changes_leave_what_plain_sql_leaves(void **state) {
  (void)state;
  static const int variants[] = {WORLD_PLAIN,
                                 WORLD_NO_UPDATE_FROM,
                                 WORLD_NO_NULL_SAFE_IS,
                                 WORLD_NO_TEMP_TABLES,
                                 WORLD_NO_TRANSACTIONAL_DDL,
                                 WORLD_NO_TRANSACTIONAL_DDL | WORLD_NO_TEMP_TABLES,
                                 WORLD_SCHEMAS,
                                 WORLD_DOLLAR,
                                 WORLD_EXACT_TEXT,
                                 WORLD_EVERY};
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    compare_with_plain_sql(variants[i], DR_WRITE_UPSERT, 0, 11 + (uint32_t)i);
    compare_with_plain_sql(variants[i], DR_WRITE_UPSERT, 1, 22 + (uint32_t)i);
    compare_with_plain_sql(variants[i], DR_WRITE_HISTORY, 0, 33 + (uint32_t)i);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_upsert_inserts_updates_and_deletes, world_fresh),
      cmocka_unit_test_setup(test_rows_that_do_not_differ_are_not_touched, world_fresh),
      cmocka_unit_test_setup(test_insert_of_a_key_that_is_there_makes_no_second_row, world_fresh),
      cmocka_unit_test_setup(test_texts_that_a_column_takes_for_equal_are_told_apart, world_fresh),
      cmocka_unit_test_setup(test_absent_values_keep_what_is_there, world_fresh),
      cmocka_unit_test_setup(test_absent_values_beyond_the_first_mask, world_fresh),
      cmocka_unit_test_setup(test_soft_deletes_stay_and_a_returning_key_clears_them, world_fresh),
      cmocka_unit_test_setup(test_a_batch_of_mixed_operations_is_taken_apart, world_fresh),
      cmocka_unit_test_setup(test_a_table_of_nothing_but_its_key, world_fresh),
      cmocka_unit_test_setup(test_append_adds_every_row, world_fresh),
      cmocka_unit_test_setup(test_replace_swaps_everything_and_keeps_what_hangs_on_the_table, world_fresh),
      cmocka_unit_test_setup(test_history_closes_versions_and_opens_new_ones, world_fresh),
      cmocka_unit_test_setup(test_history_goes_on_when_the_clock_went_back, world_fresh),
      cmocka_unit_test_setup(test_any_changes_leave_what_plain_sql_leaves, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
