// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory that cannot be had, at every place where the plugin asks for some, and where SQLite does. What fails must say
// so and leak nothing; what SQLite can do without must still be right.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "torture.h"

static int fresh(void **state) {
  (void)state;
  torture_arm(0);
  bench_fresh();
  bench_sql(bench_path("a.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, d DECIMAL_TEXT(10,2), j JSON_TEXT, n);"
                                "INSERT INTO t VALUES (1, 'one', '1.00', '{\"a\": 1}', 5), (2, 'two', 'bad', NULL, 6), "
                                "(3, NULL, '3.00', '[]', NULL)");
  return 0;
}

static char config[700];
static struct dray_error failure;

static int32_t read_stream(struct dray_stream *stream, int64_t *rows) {
  struct ArrowSchema schema;
  struct dray_str state;
  DRAY_TRY(stream->schema(stream, &schema, &failure));
  schema.release(&schema);
  for (;;) {
    struct ArrowArray array;
    DRAY_TRY(stream->next(stream, &array, &failure));
    if (array.release == NULL) break;
    *rows += array.length;
    array.release(&array);
  }
  return stream->state != NULL ? stream->state(stream, &state, &failure) : DRAY_OK;
}

static int32_t use_source(void *ctx) {
  struct dray_source *source = NULL;
  struct dray_str json;
  struct dray_stream stream = {.struct_size = sizeof stream};
  const struct dray_read_request request = {
      .struct_size = sizeof request,
      .mode = DRAY_READ_INCREMENTAL,
      .stream = dray_str_of("t"),
      .cursor = dray_str_of("n"),
      .state = dray_str_of("{\"stream\":\"t\",\"column\":\"n\",\"type\":\"int64\",\"cursor\":5}"),
      .batch_bytes_max = 1000,
      .batch_rows_max = 2};
  int64_t *rows = ctx;
  *rows = 0;
  dray_error_init(&failure);
  DRAY_TRY(sqlite_source.create(bench_host(), dray_str_of(config), &source, &failure));
  int32_t code = sqlite_source.discover(source, &json, &failure);
  if (code == DRAY_OK) code = sqlite_source.open(source, &request, &stream, &failure);
  if (code == DRAY_OK) {
    code = read_stream(&stream, rows);
    stream.close(&stream);
  }
  sqlite_source.destroy(source);
  return code;
}

static int32_t write_rows(struct dray_warehouse *warehouse, const struct ArrowSchema *schema,
                          const struct ArrowArray *batch, int64_t *rows) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct ArrowSchema described;
  uint32_t found = 0;
  int64_t changed = 0;
  DRAY_TRY(sqlite_warehouse.describe(warehouse, dray_str_of(NULL), dray_str_of("t"), &described, &found, &failure));
  described.release(&described);
  DRAY_TRY(sqlite_warehouse.begin(warehouse, &failure));
  DRAY_TRY(
      sqlite_warehouse.execute(warehouse, dray_str_of("DELETE FROM t WHERE s = ?"), schema, batch, &changed, &failure));
  DRAY_TRY(sqlite_warehouse.load(warehouse, dray_str_of(NULL), dray_str_of("t"), schema, batch, &failure));
  DRAY_TRY(sqlite_warehouse.query(warehouse, dray_str_of("SELECT id + 0 AS i, s FROM t"), 1000, 2, &stream, &failure));
  const int32_t code = read_stream(&stream, rows);
  stream.close(&stream);
  return code;
}

struct writing {
  struct ArrowSchema schema;
  struct ArrowArray batch;
  int64_t rows;
};

static int32_t use_warehouse(void *ctx) {
  struct writing *writing = ctx;
  struct dray_warehouse *warehouse = NULL;
  struct dray_str json;
  writing->rows = 0;
  dray_error_init(&failure);
  DRAY_TRY(sqlite_warehouse.create(bench_host(), dray_str_of(config), &warehouse, &failure));
  int32_t code = sqlite_warehouse.open(warehouse, &failure);
  if (code == DRAY_OK) code = sqlite_warehouse.check(warehouse, &json, &failure);
  if (code == DRAY_OK && strstr(json.data, "\"ok\":false") != NULL) code = DRAY_E_OUT_OF_MEMORY;
  if (code == DRAY_OK) code = write_rows(warehouse, &writing->schema, &writing->batch, &writing->rows);
  sqlite_warehouse.rollback(warehouse);
  sqlite_warehouse.destroy(warehouse);
  return code;
}

static void make_batch(struct writing *writing) {
  const struct dray_column_def def = {"s", {DRAY_TYPE_STRING, 0, 0}, 1};
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  assert_ok(dray_schema_make(&def, 1, &writing->schema, &bench_error));
  assert_ok(dray_builder_new(&writing->schema, 1, 1000, &builder, &bench_error));
  assert_ok(dray_builder_bytes(builder, 0, dray_str_of("new"), &bench_error));
  assert_ok(dray_builder_end_row(builder, &full, &bench_error));
  assert_ok(dray_builder_finish(builder, &writing->batch, &bench_error));
  dray_builder_free(builder);
}

static void free_batch(struct writing *writing) {
  writing->batch.release(&writing->batch);
  writing->schema.release(&writing->schema);
}

static void test_every_allocation_of_the_plugin_may_fail(void **state) {
  (void)state;
  struct writing writing;
  int64_t rows = 0;
  (void)snprintf(config, sizeof config, "{\"path\":\"%s\"}", bench_path("a.db"));
  assert_true(torture_every(use_source, &rows) > 50);
  assert_int_equal(rows, 3);
  make_batch(&writing);
  assert_true(torture_every(use_warehouse, &writing) > 30);
  assert_int_equal(writing.rows, 4);
  free_batch(&writing);
}

// SQLite's memory from this file, so that its allocations are counted and fail as well. Each block knows its size.
static void *take(int size) {
  int64_t *block = malloc((size_t)size + sizeof *block);
  if (block == NULL) return NULL;
  *block = size;
  return block + 1;
}
static void give(void *memory) {
  free((int64_t *)memory - 1);
}
static void *take_again(void *memory, int size) {
  int64_t *block = realloc((int64_t *)memory - 1, (size_t)size + sizeof *block);
  if (block == NULL) return NULL;
  *block = size;
  return block + 1;
}
static int size_of(void *memory) {
  return (int)((int64_t *)memory)[-1];
}
static int round_up(int size) {
  return (size + 7) & ~7;
}
static int begin(void *ctx) {
  (void)ctx;
  return SQLITE_OK;
}
static void end(void *ctx) {
  (void)ctx;
}

// Fails the n-th allocation for every n until none is left.
static void starve(int32_t (*attempt)(void *ctx), void *ctx, const int64_t *rows, int64_t expected) {
  uint64_t failures = 0;
  for (uint64_t n = 1;; n++) {
    torture_arm(n);
    const int32_t code = attempt(ctx);
    const int failed = torture_arm(0);
    if (code == DRAY_OK) assert_int_equal(*rows, expected);
    if (code != DRAY_OK && code != DRAY_E_OUT_OF_MEMORY)
      fail_msg("allocation %llu: %d %s", (unsigned long long)n, code, failure.text);
    failures += code != DRAY_OK;
    if (!failed) break;
  }
  assert_true(failures > 200);
}

static void test_every_allocation_of_sqlite_may_fail(void **state) {
  (void)state;
  static const sqlite3_mem_methods methods = {take, give, take_again, size_of, round_up, begin, end, NULL};
  struct writing writing;
  int64_t rows = 0;
  (void)snprintf(config, sizeof config, "{\"path\":\"%s\"}", bench_path("a.db"));
  make_batch(&writing);
  assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); // every small block as well
  assert_int_equal(sqlite3_initialize(), SQLITE_OK);
  starve(use_source, &rows, &rows, 3);
  starve(use_warehouse, &writing, &writing.rows, 4);
  free_batch(&writing);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_every_allocation_of_the_plugin_may_fail, fresh),
      cmocka_unit_test_setup(test_every_allocation_of_sqlite_may_fail, fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
