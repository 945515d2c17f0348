// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables beside the table, as a plan tells them: they are the statements that the write runs, one for one.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "torture.h"
#include "world.h"

#define HEARD_BYTES 16384

static const struct dray_column_def narrow[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0}, {"v", {DRAY_TYPE_INT64, 0, 0}, 1}, {"since", {DRAY_TYPE_DATE, 0, 0}, 1}};
// One column is wider, one is new.
static const struct dray_column_def wide[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                              {"v", {DRAY_TYPE_STRING, 0, 0}, 1},
                                              {"since", {DRAY_TYPE_DATE, 0, 0}, 1},
                                              {"price", {DRAY_TYPE_DECIMAL, 12, 4}, 1}};
static const char *const id_key[] = {"id"};
static const char *const cells[] = {"1", "1", "2024-01-01", "2", NULL, "2024-01-02"};
static const char *const wide_cells[] = {"1", "x", "2024-02-01", "0.5", "3", NULL, "2024-02-02", NULL};

// What the engine was told about such tables, line by line.
static char heard[HEARD_BYTES];
static int32_t (*execute)(struct dray_warehouse *self, struct dray_str sql, const struct ArrowSchema *schema,
                          const struct ArrowArray *params, int64_t *out_rows, struct dray_error *error);

static void hear(struct dray_str sql) {
  const size_t len = strlen(heard);
  assert_true(len + sql.len + 2 < sizeof heard);
  memcpy(heard + len, sql.data, (size_t)sql.len);
  memcpy(heard + len + sql.len, "\n", 2);
}

static int32_t execute_heard(struct dray_warehouse *self, struct dray_str sql, const struct ArrowSchema *schema,
                             const struct ArrowArray *params, int64_t *out_rows, struct dray_error *error) {
  char text[4096];
  (void)snprintf(text, sizeof text, "%.*s", DRAY_STR_ARG(sql));
  const int shapes = strncmp(text, "CREATE", 6) == 0 || strncmp(text, "DROP", 4) == 0;
  const int beside = strstr(text, "_dray_staging_") != NULL || strstr(text, "_dray_moments_") != NULL ||
                     strstr(text, "_dray_events_") != NULL;
  if (shapes && beside) hear(sql);
  return execute(self, sql, schema, params, out_rows, error);
}

static void open_heard(struct world *world, int variant) {
  world_fresh(NULL);
  world_open(world, "w.db", variant);
  execute = world->warehouse.vtable->execute;
  world->vtable = *world->warehouse.vtable;
  world->vtable.execute = execute_heard;
  world->warehouse.vtable = &world->vtable;
}

// What the plan tells, and what the write that follows is heard to do. Returns how many statements.
static size_t write_as_told(struct world *world, const struct dr_table_options *options, uint64_t generation,
                            const char *const *rows, size_t count) {
  static char told[HEARD_BYTES];
  const uint8_t ops[8] = {DRAY_OP_INSERT, DRAY_OP_INSERT};
  struct dr_batch *batch = world_batch(options->schema, rows, count);
  struct dr_statements staging = {NULL, 0};
  struct dr_table_plan plan;
  heard[0] = '\0';
  assert_ok(dr_table_plan(&world->warehouse, options, &plan, &world_error));
  assert_ok(dr_table_staging(&world->warehouse, options, &plan, &staging, &world_error));
  dr_table_plan_free(&plan);
  assert_string_equal(heard, ""); // told, not done
  for (size_t i = 0; i < staging.count; i++) hear(dray_str_of(staging.sql[i]));
  memcpy(told, heard, sizeof told);
  heard[0] = '\0';
  const int by_rows =
      options->mode == DR_WRITE_APPEND || options->mode == DR_WRITE_REPLACE || options->valid_from != NULL;
  assert_ok(by_rows ? world_write_rows(world, options, generation, batch, NULL)
                    : world_write(world, options, generation, world_changes(batch, ops), NULL));
  assert_string_equal(told, heard);
  const size_t found = staging.count;
  dr_statements_free(&staging);
  return found;
}

static void test_a_plan_tells_what_the_write_does(void **state) {
  (void)state;
  static const struct {
    int mode;
    const char *valid_from;
    size_t first, later; // statements of a first write, of one into a table with rows
  } modes[] = {{DR_WRITE_APPEND, NULL, 0, 0},
               {DR_WRITE_UPSERT, NULL, 0, 3},
               {DR_WRITE_REPLACE, NULL, 0, 3},
               {DR_WRITE_HISTORY, NULL, 0, 3},
               {DR_WRITE_HISTORY, "since", 9, 9}}; // put in order first, also where nothing is there yet
  static const int variants[] = {WORLD_PLAIN, WORLD_NO_TEMP_TABLES, WORLD_NO_TRANSACTIONAL_DDL, WORLD_EXACT_TEXT,
                                 WORLD_EVERY};
  for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
      struct world world;
      struct dr_schema *before = world_schema(narrow, 3), *after = world_schema(wide, 4);
      struct dr_table_options options = world_options(before, "t", modes[m].mode, id_key, 1);
      options.valid_from = modes[m].valid_from;
      open_heard(&world, variants[v]);
      assert_int_equal(write_as_told(&world, &options, 0, cells, 2), modes[m].first);
      assert_int_equal(write_as_told(&world, &options, 1, cells, 2), modes[m].later);
      options.schema = after;
      assert_int_equal(write_as_told(&world, &options, 2, wide_cells, 2), modes[m].later); // with DDL before it
      assert_int_equal(write_as_told(&world, &options, 3, wide_cells, 2), modes[m].later);
      world_close(&world);
      dr_schema_unref(before);
      dr_schema_unref(after);
    }
  }
}

static void test_a_table_without_rows_needs_none(void **state) {
  (void)state;
  struct world world;
  struct dr_schema *schema = world_schema(narrow, 3);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  open_heard(&world, WORLD_PLAIN);
  assert_int_equal(write_as_told(&world, &options, 0, cells, 2), 0);
  world_execute(&world, "DELETE FROM t");
  assert_int_equal(write_as_told(&world, &options, 1, cells, 2), 0);
  assert_int_equal(write_as_told(&world, &options, 2, cells, 2), 3);
  world_close(&world);
  dr_schema_unref(schema);
}

struct attempt {
  struct world world;
  struct dr_table_options options;
};

static int32_t tell_once(void *ctx) {
  struct attempt *attempt = ctx;
  struct dr_statements staging = {NULL, 0};
  struct dr_table_plan plan = {.ddl = NULL};
  DRAY_TRY(dr_table_plan(&attempt->world.warehouse, &attempt->options, &plan, &world_error));
  const int32_t code = dr_table_staging(&attempt->world.warehouse, &attempt->options, &plan, &staging, &world_error);
  dr_table_plan_free(&plan);
  dr_statements_free(&staging);
  return code;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  struct attempt attempt;
  struct dr_schema *before = world_schema(narrow, 3), *after = world_schema(wide, 4);
  attempt.options = world_options(before, "t", DR_WRITE_HISTORY, id_key, 1);
  attempt.options.valid_from = "since";
  open_heard(&attempt.world, WORLD_PLAIN);
  assert_int_equal(write_as_told(&attempt.world, &attempt.options, 0, cells, 2), 9);
  attempt.options.schema = after;
  assert_true(torture_every(tell_once, &attempt) > 50);
  world_close(&attempt.world);
  dr_schema_unref(before);
  dr_schema_unref(after);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_plan_tells_what_the_write_does, world_fresh),
      cmocka_unit_test_setup(test_a_table_without_rows_needs_none, world_fresh),
      cmocka_unit_test_setup(test_every_allocation_may_fail, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
