// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// When the data's shape and the table's differ: what each policy does, and which names and keys are refused.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "world.h"

enum { EVOLVE = 1, FREEZE, DISCARD_ROW, DISCARD_VALUE };

#define ROWS(...) ((const char *const[]){__VA_ARGS__})
#define INT64                                                                                                          \
  { DRAY_TYPE_INT64, 0, 0 }
#define STRING                                                                                                         \
  { DRAY_TYPE_STRING, 0, 0 }

static const char *const id_key[] = {"id"};

static struct dr_changes *upserts(struct dr_schema *schema, const char *const *cells, size_t count) {
  uint8_t ops[64];
  assert_true(count <= sizeof ops);
  memset(ops, DRAY_OP_INSERT, sizeof ops);
  return world_changes(world_batch(schema, cells, count), ops);
}

// Plans only.
static int32_t plan_for(struct world *world, struct dr_schema *schema, struct dr_drift_policy drift,
                        struct dr_table_plan *plan) {
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  options.drift = drift;
  return dr_table_plan(&world->warehouse, &options, plan, &world_error);
}

static int32_t write_with(struct world *world, struct dr_schema *schema, struct dr_drift_policy drift,
                          uint64_t generation, const char *const *cells, size_t count) {
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  options.drift = drift;
  return world_write(world, &options, generation, upserts(schema, cells, count), NULL);
}

// ---- tables ----

static void test_new_table_is_made_only_when_the_policy_lets_it(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  for (int policy = FREEZE; policy <= DISCARD_VALUE; policy++) {
    assert_int_equal(plan_for(&world, schema, (struct dr_drift_policy){policy, EVOLVE, EVOLVE}, &plan),
                     DRAY_E_SCHEMA_DRIFT);
    assert_non_null(strstr(world_error.text, "table t does not exist"));
  }
  assert_ok(plan_for(&world, schema, (struct dr_drift_policy){EVOLVE, FREEZE, FREEZE}, &plan));
  assert_int_equal(plan.table_exists, 0);
  assert_int_equal(plan.ddl_count, 1); // an int64 key is inside the table
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM sqlite_schema"), "0\n"); // planning runs nothing
  dr_table_plan_free(&plan);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_schema_that_is_not_there_is_made_with_its_first_table(void **state) {
  (void)state;
  struct world world;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  const char *const names[] = {NULL, "main", "elsewhere"};
  world_open(&world, "w.db", WORLD_SCHEMAS);
  for (size_t i = 0; i < 3; i++) {
    struct dr_table_plan plan;
    options.name.schema = names[i];
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_int_equal(plan.ddl_count, i == 2 ? 2 : 1);
    assert_int_equal(strstr(plan.ddl[0], "CREATE SCHEMA IF NOT EXISTS \"elsewhere\"") != NULL, i == 2);
    dr_table_plan_free(&plan);
  }
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_the_key_of_a_new_table_is_unique(void **state) {
  (void)state;
  struct world world;
  const struct dray_column_def defs[] = {{"a", STRING, 0}, {"id", INT64, 0}};
  struct dr_schema *schema = world_schema(defs, 2);
  const char *const key[] = {"a", "id"};
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0, upserts(schema, ROWS("x", "1", "x", "2"), 2), NULL));
  int64_t rows = 0;
  assert_int_equal(world_vtable()->execute(world.warehouse.self, dray_str_of("INSERT INTO t (a, id) VALUES ('x', 1)"),
                                           NULL, NULL, &rows, &world_error),
                   DRAY_E_DATA_KEY_DUPLICATE);
  assert_int_equal(world_vtable()->execute(world.warehouse.self, dray_str_of("INSERT INTO t (a) VALUES ('x')"), NULL,
                                           NULL, &rows, &world_error),
                   DRAY_E_DATA_KEY_NULL);
  // Twice the same key in one write is refused as a whole, and the table stays what it was.
  assert_int_equal(world_write(&world, &options, 1, upserts(schema, ROWS("y", "1", "y", "1"), 2), NULL),
                   DRAY_E_DATA_KEY_DUPLICATE);
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM t"), "2\n");
  options.name.table = "u"; // and on the way straight into a new table
  assert_int_equal(world_write(&world, &options, 0, upserts(schema, ROWS("y", "1", "y", "1"), 2), NULL),
                   DRAY_E_DATA_KEY_DUPLICATE);
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'u'"), "0\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_history_and_plain_tables_are_not_mixed(void **state) {
  (void)state;
  struct world world;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2);
  struct dr_table_options options = world_options(schema, "h", DR_WRITE_HISTORY, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0, upserts(schema, ROWS("1", "x"), 1), NULL));
  options.mode = DR_WRITE_UPSERT;
  assert_int_equal(world_write(&world, &options, 1, upserts(schema, ROWS("1", "y"), 1), NULL), DRAY_E_SCHEMA_DRIFT);
  options.name.table = "p";
  assert_ok(world_write(&world, &options, 0, upserts(schema, ROWS("1", "x"), 1), NULL));
  options.mode = DR_WRITE_HISTORY;
  assert_int_equal(world_write(&world, &options, 1, upserts(schema, ROWS("1", "y"), 1), NULL), DRAY_E_SCHEMA_DRIFT);
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- columns ----

static void test_new_column_by_policy(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}, {"extra", {DRAY_TYPE_DECIMAL, 6, 2}, 1}};
  struct dr_schema *before = world_schema(defs, 2), *after = world_schema(defs, 3);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_with(&world, before, (struct dr_drift_policy){EVOLVE, EVOLVE, EVOLVE}, 0, ROWS("1", "x"), 1));

  assert_int_equal(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, FREEZE, EVOLVE}, &plan),
                   DRAY_E_SCHEMA_DRIFT);
  assert_non_null(strstr(world_error.text, "column 'extra' (decimal(6,2)) is new"));
  assert_string_equal(world_error.field, "extra");

  assert_ok(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, DISCARD_ROW, EVOLVE}, &plan));
  assert_int_equal(plan.ddl_count, 0);
  assert_int_equal(plan.discard_rows, 1);
  assert_int_equal(plan.drop_column[2], 1);
  dr_table_plan_free(&plan);

  const struct dr_drift_policy leave_out = {EVOLVE, DISCARD_VALUE, EVOLVE};
  assert_ok(plan_for(&world, after, leave_out, &plan));
  assert_int_equal(plan.discard_rows, 0);
  assert_memory_equal(plan.drop_column, ((const uint8_t[]){0, 0, 1}), 3);
  dr_table_plan_free(&plan);
  assert_ok(write_with(&world, after, leave_out, 1, ROWS("1", "y", "1.00", "2", "z", "2.00"), 2));
  assert_string_equal(world_query(&world, "SELECT id, a FROM t ORDER BY id"), "1|y\n2|z\n");
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM pragma_table_info('t') WHERE name = 'extra'"),
                      "0\n");

  assert_ok(write_with(&world, after, (struct dr_drift_policy){FREEZE, EVOLVE, FREEZE}, 2, ROWS("2", "z", "2.50"), 1));
  assert_string_equal(world_query(&world, "SELECT id, a, extra FROM t ORDER BY id"), "1|y|~\n2|z|2.50\n");
  world_close(&world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

static void test_columns_of_the_operator_and_of_old_sources_stay(void **state) {
  (void)state;
  struct world world;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}, {"b", STRING, 1}};
  struct dr_schema *both = world_schema(defs, 3), *less = world_schema(defs, 2);
  const struct dr_drift_policy freeze = {FREEZE, FREEZE, FREEZE};
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_with(&world, both, (struct dr_drift_policy){EVOLVE, EVOLVE, EVOLVE}, 0, ROWS("1", "x", "old"), 1));
  world_execute(&world, "ALTER TABLE t ADD COLUMN note TEXT");
  world_execute(&world, "UPDATE t SET note = 'mine'");
  assert_ok(write_with(&world, less, freeze, 1, ROWS("1", "y", "2", "z"), 2));
  assert_string_equal(world_query(&world, "SELECT id, a, b, note FROM t ORDER BY id"), "1|y|old|mine\n2|z|~|~\n");
  world_close(&world);
  dr_schema_unref(both);
  dr_schema_unref(less);
}

static void test_a_missing_key_column_is_no_drift_but_an_error(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"a", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  world_execute(&world, "CREATE TABLE t (a TEXT)");
  for (int policy = EVOLVE; policy <= DISCARD_VALUE; policy++) {
    assert_int_equal(plan_for(&world, schema, (struct dr_drift_policy){policy, policy, policy}, &plan),
                     DRAY_E_SCHEMA_KEY);
  }
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- types ----

struct type_change {
  struct dray_type from, to;
  const char *old_value, *as_new, *new_value; // as_new NULL: it cannot be
};
static const struct type_change type_changes[] = {
    {INT64, {DRAY_TYPE_DECIMAL, 38, 2}, "-42", "-42.00", "0.50"},
    {INT64, STRING, "-42", "-42", "text"},
    {{DRAY_TYPE_DECIMAL, 6, 2}, {DRAY_TYPE_DECIMAL, 10, 4}, "12.30", "12.3000", "99999.1234"},
    {{DRAY_TYPE_DECIMAL, 6, 2}, STRING, "12.30", "12.30", "x"},
    // Neither holds the other: a number with the digits of both, and where no number has so many, text.
    {INT64, {DRAY_TYPE_DECIMAL, 10, 2}, "9223372036854775807", "9223372036854775807.00", "0.50"},
    {{DRAY_TYPE_DECIMAL, 10, 2}, {DRAY_TYPE_DECIMAL, 5, 4}, "12345678.90", "12345678.9000", "1.2345"},
    {{DRAY_TYPE_DECIMAL, 38, 4}, {DRAY_TYPE_DECIMAL, 38, 8}, "12.3000", "12.3000", "0.12345678"},
    {{DRAY_TYPE_BOOL, 0, 0}, STRING, "true", "true", "maybe"},
    {{DRAY_TYPE_DATE, 0, 0}, STRING, "2024-02-29", "2024-02-29", "soon"},
    {{DRAY_TYPE_JSON, 0, 0}, STRING, "{\"a\":1}", "{\"a\":1}", "x"},
    {INT64, {DRAY_TYPE_FLOAT64, 0, 0}, "1", NULL, NULL},    // not exact beyond 2^53
    {{DRAY_TYPE_FLOAT64, 0, 0}, STRING, "0.1", NULL, NULL}, // the engine's digits are not ours
    {{DRAY_TYPE_BYTES, 0, 0}, STRING, "AAE=", NULL, NULL},
    {{DRAY_TYPE_JSON, 0, 0}, INT64, "5", NULL, NULL},
    {{DRAY_TYPE_TIMESTAMP, 0, 0}, {DRAY_TYPE_DATE, 0, 0}, "2024-01-01T00:00:00Z", NULL, NULL},
};

static void change_type(const struct type_change *change) {
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def old_defs[] = {{"id", INT64, 0}, {"v", change->from, 1}, {"w", STRING, 1}};
  const struct dray_column_def new_defs[] = {{"id", INT64, 0}, {"v", change->to, 1}, {"w", STRING, 1}};
  struct dr_schema *before = world_schema(old_defs, 3), *after = world_schema(new_defs, 3);
  const struct dr_drift_policy evolve = {EVOLVE, EVOLVE, EVOLVE};
  char expected[128], from[32], to[32];
  (void)dray_type_format(change->from, from, sizeof from);
  (void)dray_type_format(change->to, to, sizeof to);
  world_fresh(NULL);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_with(&world, before, evolve, 0, ROWS("1", change->old_value, "a", "2", NULL, "b"), 2));
  assert_int_equal(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, EVOLVE, FREEZE}, &plan),
                   DRAY_E_SCHEMA_DRIFT);
  assert_non_null(strstr(world_error.text, from)); // both types and the policy are named
  assert_non_null(strstr(world_error.text, to));
  assert_non_null(strstr(world_error.text, "freeze"));
  if (change->as_new == NULL) {
    if (plan_for(&world, after, evolve, &plan) != DRAY_E_SCHEMA_DRIFT) fail_msg("%s -> %s", from, to);
    assert_ok(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, EVOLVE, DISCARD_VALUE}, &plan));
    assert_int_equal(plan.drop_column[1], 1);
    dr_table_plan_free(&plan);
  } else {
    const int32_t code = write_with(&world, after, evolve, 1, ROWS("3", change->new_value, "c"), 1);
    if (code != DRAY_OK) fail_msg("%s -> %s: %s", from, to, world_error.text);
    (void)snprintf(expected, sizeof expected, "1|%s|a\n2|~|b\n3|%s|c\n", change->as_new, change->new_value);
    assert_string_equal(world_query(&world, "SELECT id, v, w FROM t ORDER BY id"), expected);
    assert_ok(plan_for(&world, after, (struct dr_drift_policy){FREEZE, FREEZE, FREEZE}, &plan)); // now they agree
    assert_int_equal(plan.ddl_count, 0);
    dr_table_plan_free(&plan);
    // The old source goes on writing into the wider column, even under freeze.
    assert_ok(write_with(&world, before, (struct dr_drift_policy){FREEZE, FREEZE, FREEZE}, 2,
                         ROWS("3", change->old_value, "d", "4", change->old_value, ABSENT), 2));
    (void)snprintf(expected, sizeof expected, "1|%s|a\n2|~|b\n3|%s|d\n4|%s|~\n", change->as_new, change->as_new,
                   change->as_new);
    assert_string_equal(world_query(&world, "SELECT id, v, w FROM t ORDER BY id"), expected);
  }
  world_close(&world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

static void test_type_changes_widen_exactly_or_not_at_all(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof type_changes / sizeof type_changes[0]; i++) change_type(&type_changes[i]);
}

static void test_a_type_change_to_discard_leaves_the_column_as_it_is(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def old_defs[] = {{"id", INT64, 0}, {"v", INT64, 1}};
  const struct dray_column_def new_defs[] = {{"id", INT64, 0}, {"v", STRING, 1}};
  struct dr_schema *before = world_schema(old_defs, 2), *after = world_schema(new_defs, 2);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_with(&world, before, (struct dr_drift_policy){EVOLVE, EVOLVE, EVOLVE}, 0, ROWS("1", "7"), 1));
  assert_ok(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, EVOLVE, DISCARD_ROW}, &plan));
  assert_int_equal(plan.discard_rows, 1);
  dr_table_plan_free(&plan);
  assert_ok(write_with(&world, after, (struct dr_drift_policy){EVOLVE, EVOLVE, DISCARD_VALUE}, 1,
                       ROWS("1", "x", "2", "y"), 2));
  assert_string_equal(world_query(&world, "SELECT id, v FROM t ORDER BY id"), "1|7\n2|~\n");
  world_close(&world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

static void test_the_type_of_a_key_stays(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def old_defs[] = {{"id", INT64, 0}};
  const struct dray_column_def new_defs[] = {{"id", STRING, 0}};
  struct dr_schema *before = world_schema(old_defs, 1), *after = world_schema(new_defs, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(write_with(&world, before, (struct dr_drift_policy){EVOLVE, EVOLVE, EVOLVE}, 0, ROWS("1"), 1));
  for (int policy = EVOLVE; policy <= DISCARD_VALUE; policy++) {
    assert_int_equal(plan_for(&world, after, (struct dr_drift_policy){EVOLVE, EVOLVE, policy}, &plan),
                     DRAY_E_SCHEMA_DRIFT);
  }
  world_close(&world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

// What names a column keeps SQLite from dropping it, and so an engine that is only known by its dialect from widening
// it. `undo` is what the message asks for.
static const struct {
  const char *made, *named, *undo;
} held_columns[] = {
    {"CREATE INDEX by_hand ON t (v)", "index by_hand", "DROP INDEX by_hand"},
    {"CREATE VIEW by_hand AS SELECT v FROM t", "view by_hand", "DROP VIEW by_hand"},
    {"ALTER TABLE t ADD COLUMN more INTEGER CHECK (more > v)", "table t", "ALTER TABLE t DROP COLUMN more"},
};

static void widen_held(size_t index, int variant) {
  struct world world;
  char name[32];
  const struct dray_column_def old_defs[] = {{"id", INT64, 0}, {"v", INT64, 1}};
  const struct dray_column_def new_defs[] = {{"id", INT64, 0}, {"v", STRING, 1}};
  struct dr_schema *before = world_schema(old_defs, 2), *after = world_schema(new_defs, 2);
  const struct dr_drift_policy evolve = {EVOLVE, EVOLVE, EVOLVE};
  (void)snprintf(name, sizeof name, "held%zu_%d.db", index, variant);
  world_open(&world, name, variant);
  assert_ok(write_with(&world, before, evolve, 0, ROWS("1", "7"), 1));
  world_execute(&world, held_columns[index].made);
  if (variant == WORLD_NO_RETYPE) {
    assert_int_equal(write_with(&world, after, evolve, 1, ROWS("1", "x"), 1), DRAY_E_SCHEMA_DRIFT);
    assert_non_null(strstr(world_error.text, "table t cannot be changed"));
    assert_non_null(strstr(world_error.text, held_columns[index].named)); // the engine's reason
    assert_string_equal(world_query(&world, "SELECT id, v + 0 AS v FROM t"), "1|7\n");
    assert_string_equal(world_query(&world, "SELECT group_concat(name) AS n FROM pragma_table_info('t') WHERE name <> "
                                            "'more'"),
                        "id,v,_dray_synced_at\n");
    world_execute(&world, held_columns[index].undo);
  }
  assert_ok(write_with(&world, after, evolve, 1, ROWS("1", "x"), 1));
  assert_string_equal(world_query(&world, "SELECT id, v FROM t"), "1|x\n");
  world_execute(&world, variant == WORLD_NO_RETYPE ? "SELECT 1" : held_columns[index].undo); // it is there still
  world_close(&world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

static void test_what_hangs_on_a_column_stays_when_it_is_widened(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof held_columns / sizeof held_columns[0]; i++) widen_held(i, WORLD_PLAIN);
}

static void test_a_widening_that_the_engine_refuses_changes_nothing(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof held_columns / sizeof held_columns[0]; i++) widen_held(i, WORLD_NO_RETYPE);
}

static void test_tables_of_others_are_written_only_where_values_survive(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  const struct dray_column_def defs[] = {{"id", INT64, 0}, {"v", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2);
  const struct dr_drift_policy freeze = {FREEZE, FREEZE, FREEZE};
  static const struct {
    const char *declared;
    int fits;
  } cases[] = {{"VARCHAR(5)", 1}, {"CLOB", 1},    {"", 1},         {"STRING", 0},
               {"UUID", 0},       {"INTEGER", 0}, {"DATETIME", 0}, {"BLOB", 0}};
  world_open(&world, "w.db", WORLD_PLAIN);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t (id INTEGER PRIMARY KEY, v %s)", cases[i].declared);
    world_execute(&world, sql);
    const int32_t code = plan_for(&world, schema, freeze, &plan);
    if ((code == DRAY_OK) != cases[i].fits) fail_msg("%s: %d", cases[i].declared, code);
    if (code == DRAY_OK) dr_table_plan_free(&plan);
    world_execute(&world, "DROP TABLE t");
  }
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- names ----

static void test_names_that_cannot_be_used_are_refused(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  static char long_name[300];
  static const struct {
    const char *first, *second;
  } columns[] = {{"a", "A"}, {"a", "_dray_synced_at"}, {"a", "_dray_x"}};
  world_open(&world, "w.db", WORLD_PLAIN);
  for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
    const struct dray_column_def defs[] = {
        {"id", INT64, 0}, {columns[i].first, STRING, 1}, {columns[i].second, STRING, 1}};
    struct dr_schema *schema = world_schema(defs, 3);
    assert_int_equal(plan_for(&world, schema, (struct dr_drift_policy){EVOLVE, EVOLVE, EVOLVE}, &plan),
                     DRAY_E_SCHEMA_NAME);
    assert_string_equal(world_error.field, columns[i].second);
    dr_schema_unref(schema);
  }
  const struct dray_column_def defs[] = {{"id", INT64, 0}};
  struct dr_schema *schema = world_schema(defs, 1);
  memset(long_name, 'x', sizeof long_name - 1);
  const char *const tables[] = {"", NULL, long_name, "\xff\xfe"};
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    const struct dr_table_options options = world_options(schema, tables[i], DR_WRITE_UPSERT, id_key, 1);
    assert_int_equal(dr_table_plan(&world.warehouse, &options, &plan, &world_error), DRAY_E_SCHEMA_NAME);
  }
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 0);
  assert_int_equal(dr_table_plan(&world.warehouse, &options, &plan, &world_error), DRAY_E_SCHEMA_KEY);
  const char *const no_key[] = {"nix"};
  options = world_options(schema, "t", DR_WRITE_HISTORY, no_key, 1);
  assert_int_equal(dr_table_plan(&world.warehouse, &options, &plan, &world_error), DRAY_E_SCHEMA_KEY);
  world.warehouse.dialect.columns_max = 4;
  options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  assert_int_equal(dr_table_plan(&world.warehouse, &options, &plan, &world_error), DRAY_E_LIMIT);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_names_are_counted_as_the_engine_counts_them(void **state) {
  (void)state;
  struct dray_dialect dialect = {.name = dray_str_of("engine"), .quote = '`', .identifier_bytes_max = 12};
  struct dray_buffer out;
  static const char four[] = "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", face[] = "a\xf0\x9f\x98\x80";
  dray_buffer_init(&out, 64);
  assert_ok(dr_sql_identifier(&dialect, dray_str_of(four), &out, &world_error));
  assert_ok(dr_sql_identifier(&dialect, dray_str_of(face), &out, &world_error));
  dialect.identifier_chars_max = 4;
  assert_ok(dr_sql_identifier(&dialect, dray_str_of(four), &out, &world_error));
  assert_int_equal(dr_sql_identifier(&dialect, dray_str_of("abcde"), &out, &world_error), DRAY_E_SCHEMA_NAME);
  assert_non_null(strstr(world_error.text, "5 characters; engine takes at most 4"));
  dialect.flags = DRAY_DIALECT_NAMES_BMP;
  assert_ok(dr_sql_identifier(&dialect, dray_str_of("a\xef\xbf\xbd"), &out, &world_error));
  assert_int_equal(dr_sql_identifier(&dialect, dray_str_of(face), &out, &world_error), DRAY_E_SCHEMA_NAME);
  assert_non_null(strstr(world_error.text, "U+FFFF"));
  dray_buffer_free(&out);
}

static void test_a_column_spelt_in_another_case_is_the_same_column(void **state) {
  (void)state;
  struct world world;
  int found = 0;
  struct dray_buffer select;
  const struct dray_column_def defs[] = {{"ID", INT64, 0}, {"eMail", STRING, 1}, {"later", STRING, 1}};
  struct dr_schema *schema = world_schema(defs, 2), *more = world_schema(defs, 3);
  const char *const key[] = {"ID"};
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 1);
  options.drift = (struct dr_drift_policy){FREEZE, FREEZE, FREEZE};
  world_open(&world, "w.db", WORLD_PLAIN);
  world_execute(&world, "CREATE TABLE t (id INTEGER PRIMARY KEY, Email TEXT, _dray_synced_at TIMESTAMP_TEXT)");
  assert_ok(
      world_write(&world, &options, 0, upserts(schema, ROWS("1", "x"), 1), NULL)); // straight into the empty table
  assert_ok(world_write(&world, &options, 1, upserts(schema, ROWS("1", "y", "2", "z"), 2), NULL));
  assert_string_equal(world_query(&world, "SELECT id, Email FROM t ORDER BY id"), "1|y\n2|z\n");
  // Read back under the names of the data, with nulls for what the table does not have yet.
  options.schema = more;
  dray_buffer_init(&select, 1 << 16);
  assert_ok(dr_table_select(&world.warehouse, &options, &select, &found, &world_error));
  assert_int_equal(found, 1);
  assert_string_equal(world_query(&world, select.data), "1|y|~\n2|z|~\n");
  assert_non_null(strstr(select.data, "\"eMail\""));
  options.name.table = "nowhere";
  assert_ok(dr_table_select(&world.warehouse, &options, &select, &found, &world_error));
  assert_int_equal(found, 0);
  dray_buffer_free(&select);
  world_close(&world);
  dr_schema_unref(schema);
  dr_schema_unref(more);
}

static void test_a_schema_becomes_a_prefix_where_there_are_none(void **state) {
  (void)state;
  struct world world;
  struct ArrowSchema described;
  uint32_t found = 0;
  const struct dray_column_def defs[] = {{"id", INT64, 0}};
  struct dr_schema *schema = world_schema(defs, 1);
  struct dr_table_options options = world_options(schema, "customers", DR_WRITE_UPSERT, id_key, 1);
  options.name.schema = "shop";
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0, upserts(schema, ROWS("1"), 1), NULL));
  assert_string_equal(world_query(&world, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"),
                      "_dray_state\nshop__customers\n");
  assert_ok(dr_table_describe(&world.warehouse, &options.name, &described, &found, &world_error));
  assert_int_equal(found, 1);
  described.release(&described);
  world_close(&world);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_new_table_is_made_only_when_the_policy_lets_it, world_fresh),
      cmocka_unit_test_setup(test_a_schema_that_is_not_there_is_made_with_its_first_table, world_fresh),
      cmocka_unit_test_setup(test_the_key_of_a_new_table_is_unique, world_fresh),
      cmocka_unit_test_setup(test_history_and_plain_tables_are_not_mixed, world_fresh),
      cmocka_unit_test_setup(test_new_column_by_policy, world_fresh),
      cmocka_unit_test_setup(test_columns_of_the_operator_and_of_old_sources_stay, world_fresh),
      cmocka_unit_test_setup(test_a_missing_key_column_is_no_drift_but_an_error, world_fresh),
      cmocka_unit_test_setup(test_type_changes_widen_exactly_or_not_at_all, world_fresh),
      cmocka_unit_test_setup(test_a_type_change_to_discard_leaves_the_column_as_it_is, world_fresh),
      cmocka_unit_test_setup(test_the_type_of_a_key_stays, world_fresh),
      cmocka_unit_test_setup(test_what_hangs_on_a_column_stays_when_it_is_widened, world_fresh),
      cmocka_unit_test_setup(test_a_widening_that_the_engine_refuses_changes_nothing, world_fresh),
      cmocka_unit_test_setup(test_tables_of_others_are_written_only_where_values_survive, world_fresh),
      cmocka_unit_test_setup(test_names_that_cannot_be_used_are_refused, world_fresh),
      cmocka_unit_test(test_names_are_counted_as_the_engine_counts_them),
      cmocka_unit_test_setup(test_a_column_spelt_in_another_case_is_the_same_column, world_fresh),
      cmocka_unit_test_setup(test_a_schema_becomes_a_prefix_where_there_are_none, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
