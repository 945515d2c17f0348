// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The warehouse role through its vtable: what is stored for each type, what comes back, and what is refused.
#include "bench.h"
#include "connection.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define W sqlite_warehouse

static int fresh(void **state) {
  (void)state;
  bench_fresh();
  return 0;
}

static void execute(struct dray_warehouse *warehouse, const char *sql) {
  int64_t rows = 0;
  assert_ok(W.execute(warehouse, dray_str_of(sql), NULL, NULL, &rows, &bench_error));
}

// ---- every type ----

static const struct dray_column_def all_types[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0},  {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},     {"i", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1}, {"d", {DRAY_TYPE_DECIMAL, 38, 9}, 1}, {"s", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"x", {DRAY_TYPE_BYTES, 0, 0}, 1},   {"day", {DRAY_TYPE_DATE, 0, 0}, 1},   {"at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    {"j", {DRAY_TYPE_JSON, 0, 0}, 1},
};
#define ALL_TYPES_COUNT (sizeof all_types / sizeof all_types[0])

// Values as text, in the order of all_types without id; NULL: null.
static const char *const edge_values[][9] = {
    {"false", "-9223372036854775808", "-1.7976931348623157e308", "-99999999999999999999999999999.999999999", "", "",
     "0001-01-01", "0001-01-01T00:00:00Z", "{}"},
    {"true", "9223372036854775807", "4.9406564584124654e-324", "0.000000001", "'; DROP TABLE t; --\"`\\\n\t", "AP8A",
     "9999-12-31", "9999-12-31T23:59:59.999999Z", "{\"a\":[1,2.50,null,\"ü\"]}"},
    {"true", "9007199254740993", "0.1", "99999999999999999999999999999.999999999", "Grüße 🦊 \xe2\x80\x8b\xcc\x81",
     "AAECAwQF", "1970-01-01", "1969-12-31T23:59:59.999999Z", "5"},
    {"false", "0", "NaN", "12.300000000", "123", "MTIz", "2024-02-29", "2024-02-29T12:00:00.500Z", "\"123\""},
    {"false", "-1", "Infinity", "-0.500000000", "1e3", "/w==", "1582-10-10", "2038-01-19T03:14:08Z", "1.0"},
    {"true", "1", "-Infinity", "0.000000000", "NaN", "Tm9O", "1899-12-31", "1900-02-28T23:59:59Z", "null"},
    {"true", "10000000000", "123456789012345678", "100000000000000000.000000000", "2024-01-01", "AA==", "2000-01-01",
     "2000-01-01T00:00:00.123Z", "[]"},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};
#define EDGE_COUNT (sizeof edge_values / sizeof edge_values[0])

static void make_edges(struct ArrowSchema *schema, struct ArrowArray *batch) {
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  assert_ok(dray_schema_make(all_types, ALL_TYPES_COUNT, schema, &bench_error));
  assert_ok(dray_builder_new(schema, 100, 1 << 20, &builder, &bench_error));
  for (size_t row = 0; row < EDGE_COUNT; row++) {
    assert_ok(dray_builder_int64(builder, 0, (int64_t)row, &bench_error));
    for (size_t i = 1; i < ALL_TYPES_COUNT; i++) {
      const char *text = edge_values[row][i - 1];
      if (text == NULL) {
        assert_ok(dray_builder_null(builder, i, &bench_error));
      } else {
        assert_ok(dray_builder_text(builder, i, dray_str_of(text), &bench_error));
      }
    }
    assert_ok(dray_builder_end_row(builder, &full, &bench_error));
  }
  assert_ok(dray_builder_finish(builder, batch, &bench_error));
  dray_builder_free(builder);
}

static void create_all_types(struct dray_warehouse *warehouse, const char *table) {
  struct dray_dialect dialect = {.struct_size = sizeof dialect};
  struct dray_buffer sql;
  assert_ok(W.dialect(warehouse, &dialect, &bench_error));
  dray_buffer_init(&sql, 1 << 16);
  assert_ok(dray_buffer_printf(&sql, &bench_error, "CREATE TABLE \"%s\" (", table));
  for (size_t i = 0; i < ALL_TYPES_COUNT; i++) {
    const struct dray_str type = dialect.types[all_types[i].type.id];
    const char *decimal = all_types[i].type.id == DRAY_TYPE_DECIMAL ? "DECIMAL_TEXT(38,9)" : NULL;
    assert_ok(dray_buffer_printf(&sql, &bench_error, "%s%s %.*s", i > 0 ? ", " : "", all_types[i].name,
                                 decimal != NULL ? (int)strlen(decimal) : (int)type.len,
                                 decimal != NULL ? decimal : type.data));
  }
  assert_ok(dray_buffer_append_char(&sql, ')', &bench_error));
  execute(warehouse, sql.data);
  dray_buffer_free(&sql);
}

// Bit for bit: columns of the batch that was loaded against the batch that came back.
static void assert_same_rows(const struct dray_view *a, const struct dray_view *b) {
  assert_int_equal(a->row_count, b->row_count);
  for (size_t i = 0; i < a->column_count; i++) {
    const ptrdiff_t at = dray_view_find(b, dray_str_of(a->columns[i].name));
    assert_true(at >= 0);
    const struct dray_column_view *x = &a->columns[i], *y = &b->columns[at];
    assert_memory_equal(&x->type, &y->type, sizeof x->type);
    for (uint64_t row = 0; row < a->row_count; row++) {
      struct dray_buffer left, right;
      assert_int_equal(dray_column_is_null(x, row), dray_column_is_null(y, row));
      if (dray_column_is_null(x, row)) continue;
      dray_buffer_init(&left, 1 << 16);
      dray_buffer_init(&right, 1 << 16);
      assert_ok(dray_column_text(x, row, &left, &bench_error));
      assert_ok(dray_column_text(y, row, &right, &bench_error));
      if (!dray_str_equal(dray_buffer_view(&left), dray_buffer_view(&right))) {
        fail_msg("column %s row %llu: '%s' became '%s'", x->name, (unsigned long long)row, left.data, right.data);
      }
      if (x->type.id == DRAY_TYPE_FLOAT64 && !isnan(dray_column_float64(x, row))) {
        const double before = dray_column_float64(x, row), after = dray_column_float64(y, row);
        assert_memory_equal(&before, &after, sizeof before);
      }
      dray_buffer_free(&left);
      dray_buffer_free(&right);
    }
  }
}

static void test_every_type_comes_back_exactly(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct ArrowSchema schema, back_schema, described;
  struct ArrowArray batch, back;
  struct dray_view view, back_view;
  struct dray_stream stream = {.struct_size = sizeof stream};
  uint32_t found = 0;
  make_edges(&schema, &batch);
  create_all_types(warehouse, "t");
  assert_ok(W.begin(warehouse, &bench_error));
  assert_ok(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error));
  assert_ok(W.commit(warehouse, &bench_error));
  assert_ok(W.query(warehouse, dray_str_of("SELECT * FROM t ORDER BY id"), 1 << 20, 1000, &stream, &bench_error));
  assert_ok(stream.schema(&stream, &back_schema, &bench_error));
  assert_ok(stream.next(&stream, &back, &bench_error));
  assert_non_null(back.release);
  assert_ok(dray_view_init(&view, &schema, &batch, &bench_error));
  assert_ok(dray_view_init(&back_view, &back_schema, &back, &bench_error));
  assert_same_rows(&view, &back_view);
  // describe gives the same types back: what was made is what is found
  assert_ok(W.describe(warehouse, dray_str_of(NULL), dray_str_of("t"), &described, &found, &bench_error));
  assert_int_equal(found, 1);
  assert_int_equal(described.n_children, ALL_TYPES_COUNT);
  for (size_t i = 0; i < ALL_TYPES_COUNT; i++) {
    struct dray_type type;
    assert_ok(dray_schema_type(described.children[i], &type, &bench_error));
    assert_memory_equal(&type, &all_types[i].type, sizeof type);
  }
  dray_view_free(&view);
  dray_view_free(&back_view);
  described.release(&described);
  back_schema.release(&back_schema);
  back.release(&back);
  stream.close(&stream);
  schema.release(&schema);
  batch.release(&batch);
  W.destroy(warehouse);
}

static void test_stored_forms_are_those_of_the_readme(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  struct ArrowSchema schema;
  struct ArrowArray batch;
  make_edges(&schema, &batch);
  create_all_types(warehouse, "t");
  assert_ok(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error));
  schema.release(&schema);
  batch.release(&batch);
  W.destroy(warehouse);
  assert_string_equal(
      bench_value(path, "SELECT group_concat(DISTINCT typeof(b) || typeof(i) || typeof(f) || typeof(d) || typeof(s) || "
                        "typeof(x) || typeof(day) || typeof(at) || typeof(j)) FROM t WHERE id IN (0, 1, 2, 4, 5, 6)"),
      "integerintegerrealtexttextblobtexttexttext");
  assert_string_equal(bench_value(path, "SELECT f FROM t WHERE id = 3"), "NaN");
  assert_string_equal(bench_value(path, "SELECT d FROM t WHERE id = 3"), "12.300000000");
  assert_string_equal(bench_value(path, "SELECT at FROM t WHERE id = 3"), "2024-02-29 12:00:00.500");
  assert_string_equal(bench_value(path, "SELECT datetime(at, '+1 day') FROM t WHERE id = 3"), "2024-03-01 12:00:00");
  assert_string_equal(bench_value(path, "SELECT count(*) FROM t WHERE b"), "4");
  assert_string_equal(bench_value(path, "SELECT json_extract(j, '$.a[0]') FROM t WHERE id = 1"), "1");
}

// What the README's table says is stored, and a query over the edge values that is 1 where it is so.
static const struct {
  const char *type, *stored, *proof;
} readme_rows[] = {
    [DRAY_TYPE_BOOL] = {"bool", "0 or 1", "min(typeof(b) = 'integer' AND b IN (0, 1))"},
    [DRAY_TYPE_INT64] = {"int64", "integer", "min(typeof(i) = 'integer')"},
    [DRAY_TYPE_FLOAT64] = {"float64", "real; NaN as the text `NaN`",
                           "min(typeof(f) = CASE id WHEN 3 THEN 'text' ELSE 'real' END)"},
    [DRAY_TYPE_DECIMAL] = {"decimal(p,s)", "text with all digits", "min(typeof(d) = 'text' AND d LIKE '%._________')"},
    [DRAY_TYPE_STRING] = {"string", "text", "min(typeof(s) = 'text')"},
    [DRAY_TYPE_BYTES] = {"bytes", "blob", "min(typeof(x) = 'blob')"},
    [DRAY_TYPE_DATE] = {"date", "`2024-02-29`", "min(typeof(day) = 'text') AND sum(day = '2024-02-29') = 1"},
    [DRAY_TYPE_TIMESTAMP] = {"timestamp", "UTC as SQLite's date functions write it: `2024-02-29 12:00:00[.500]`",
                             "min(typeof(at) = 'text') AND sum(at = '2024-02-29 12:00:00.500') = 1"},
    [DRAY_TYPE_JSON] = {"json", "text", "min(typeof(j) = 'text')"},
};

static void test_the_table_of_types_is_the_codes(void **state) {
  (void)state;
  static char readme[1 << 16];
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  struct ArrowSchema schema;
  struct ArrowArray batch;
  FILE *file = fopen(DRAY_SOURCE_DIR "/plugins/sqlite/README.md", "r");
  assert_non_null(file);
  readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
  (void)fclose(file);
  make_edges(&schema, &batch);
  create_all_types(warehouse, "t");
  assert_ok(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error));
  schema.release(&schema);
  batch.release(&batch);
  W.destroy(warehouse);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    const char *declared = type == DRAY_TYPE_DECIMAL ? "DECIMAL_TEXT(p,s)" : sqlite_dialect_types[type].data;
    char line[256], query[256];
    (void)snprintf(line, sizeof line, "\n| %s | `%s` | %s", readme_rows[type].type, declared, readme_rows[type].stored);
    if (strstr(readme, line) == NULL) fail_msg("the table of types in README.md lacks:%s", line);
    (void)snprintf(query, sizeof query, "SELECT %s FROM t WHERE b IS NOT NULL", readme_rows[type].proof);
    if (strcmp(bench_value(path, query), "1") != 0) fail_msg("not so: %s", query);
  }
  assert_true(dray_str_is(sqlite_dialect_types[DRAY_TYPE_DECIMAL], "DECIMAL_TEXT({p},{s})"));
}

static void test_long_values_pass(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  const struct dray_column_def defs[] = {{"s", {DRAY_TYPE_STRING, 0, 0}, 1}};
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  const size_t len = 12u << 20;
  char *text = malloc(len);
  assert_non_null(text);
  memset(text, 'x', len);
  assert_ok(dray_schema_make(defs, 1, &schema, &bench_error));
  assert_ok(dray_builder_new(&schema, 10, 0, &builder, &bench_error));
  assert_ok(dray_builder_bytes(builder, 0, dray_str_make(text, len), &bench_error));
  assert_ok(dray_builder_end_row(builder, &full, &bench_error));
  assert_ok(dray_builder_finish(builder, &batch, &bench_error));
  execute(warehouse, "CREATE TABLE t (s TEXT)");
  assert_ok(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error));
  assert_string_equal(bench_query(warehouse, "SELECT length(s) FROM t"), "12582912\n");
  free(text);
  batch.release(&batch);
  schema.release(&schema);
  dray_builder_free(builder);
  W.destroy(warehouse);
}

// ---- queries ----

static void test_query_types_come_from_columns_through_expressions(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct dray_stream stream = {.struct_size = sizeof stream};
  execute(warehouse, "CREATE TABLE t (a INTEGER, d DECIMAL_TEXT(10,2), at TIMESTAMP_TEXT, b BOOLEAN)");
  execute(warehouse,
          "INSERT INTO t VALUES (1, '1.50', '2024-01-01 00:00:00', 1), (2, '2.25', '2024-01-02 00:00:00', 0)");
  const char *sql = "WITH x AS (SELECT a, d AS amount, at, b FROM t) SELECT a, amount, at, b, a + 1 AS n, a / 2.0 AS "
                    "h, 'x' || a AS s, NULL AS nix, "
                    "count(*) OVER () AS c FROM x ORDER BY a -- a comment at the end";
  assert_ok(W.query(warehouse, dray_str_of(sql), 1 << 20, 1000, &stream, &bench_error));
  assert_string_equal(
      bench_schema(&stream),
      "a int64, amount decimal(10,2), at timestamp, b bool, n int64, h float64, s string, nix string, c int64");
  assert_string_equal(bench_rows(&stream),
                      "1|1.50|2024-01-01T00:00:00Z|true|2|0.5|x1|~|2\n2|2.25|2024-01-02T00:00:00Z|false|3|1|x2|~|2\n");
  assert_null(stream.state); // a query has no safe places
  stream.close(&stream);
  assert_string_equal(bench_query(warehouse, "SELECT a + 1 AS n FROM t WHERE a > 10"), ""); // no rows: no types to see
  W.destroy(warehouse);
}

static void test_only_one_select_is_a_query(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  execute(warehouse, "CREATE TABLE t (a INTEGER)");
  static const char *const refused[] = {"DELETE FROM t",
                                        "SELECT 1; SELECT 2",
                                        "SELECT 1; DROP TABLE t",
                                        "",
                                        "  ; ",
                                        "-- nothing",
                                        "SELEC 1",
                                        "SELECT nope FROM t",
                                        "BEGIN",
                                        "INSERT INTO t VALUES (1) RETURNING a",
                                        "PRAGMA journal_mode = WAL",
                                        "SELECT a, a FROM t",
                                        "SELECT a AS _dray_error FROM t",
                                        "SELECT \"text\" FROM t",
                                        "ATTACH 'x.db' AS y",
                                        "VACUUM"};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    struct dray_stream stream = {.struct_size = sizeof stream};
    const int32_t code = W.query(warehouse, dray_str_of(refused[i]), 1000, 10, &stream, &bench_error);
    if (code != DRAY_E_CONFIG_SQL && code != DRAY_E_SCHEMA_NAME)
      fail_msg("'%s' gave %d %s", refused[i], code, bench_error.text);
  }
  struct dray_stream stream = {.struct_size = sizeof stream};
  assert_int_equal(W.query(warehouse, dray_str_of("SELECT nope FROM t"), 1000, 10, &stream, &bench_error),
                   DRAY_E_CONFIG_SQL);
  assert_non_null(strstr(bench_error.text, "no such column: nope")); // the engine's own words
  assert_string_equal(bench_query(warehouse, "SELECT 1 AS one ; -- and a comment\n /* another */ "), "1\n");
  assert_string_equal(bench_value(bench_path("a.db"), "PRAGMA journal_mode"), "delete");
  W.destroy(warehouse);
}

static void test_memory_does_not_grow_with_the_result(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct dray_stream stream = {.struct_size = sizeof stream};
  const char *sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i, "
                    "printf('%0200d', i) AS s FROM n";
  assert_ok(W.query(warehouse, dray_str_of(sql), 256 << 10, 1000, &stream, &bench_error));
  int64_t rows = 0;
  int settled = 0;
  for (;;) {
    struct ArrowArray array;
    assert_ok(stream.next(&stream, &array, &bench_error));
    if (array.release == NULL) break;
    rows += array.length;
    array.release(&array);
    if (rows > 5000 && !settled) {
      (void)sqlite3_memory_highwater(1);
      settled = 1;
    }
  }
  assert_int_equal(rows, 300000);
  assert_true(sqlite3_memory_highwater(0) < 4 << 20); // 60 MB went through
  stream.close(&stream);
  W.destroy(warehouse);
}

// ---- execute and describe ----

static void test_execute_binds_parameters_and_counts_rows(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  const struct dray_column_def defs[] = {{"p", {DRAY_TYPE_STRING, 0, 0}, 1}, {"q", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1}};
  struct ArrowSchema schema;
  struct ArrowArray params;
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  int64_t rows = -5;
  assert_ok(dray_schema_make(defs, 2, &schema, &bench_error));
  assert_ok(dray_builder_new(&schema, 1, 1000, &builder, &bench_error));
  assert_ok(dray_builder_bytes(builder, 0, dray_str_of("it's"), &bench_error));
  assert_ok(dray_builder_timestamp(builder, 1, 1500000, &bench_error));
  assert_ok(dray_builder_end_row(builder, &full, &bench_error));
  assert_ok(dray_builder_finish(builder, &params, &bench_error));
  execute(warehouse, "CREATE TABLE t (s TEXT, at TIMESTAMP_TEXT)");
  assert_ok(W.execute(warehouse, dray_str_of("INSERT INTO t VALUES (?, ?), ('b', NULL)"), &schema, &params, &rows,
                      &bench_error));
  assert_int_equal(rows, 2);
  assert_string_equal(bench_query(warehouse, "SELECT * FROM t"), "it's|1970-01-01T00:00:01.500Z\nb|~\n");
  assert_ok(W.execute(warehouse, dray_str_of("ALTER TABLE t ADD COLUMN n INTEGER"), NULL, NULL, &rows, &bench_error));
  assert_int_equal(rows, 0); // DDL does not repeat the count before it
  assert_ok(
      W.execute(warehouse, dray_str_of("UPDATE t SET n = 1 WHERE s = 'nobody'"), NULL, NULL, &rows, &bench_error));
  assert_int_equal(rows, 0);
  assert_int_equal(
      W.execute(warehouse, dray_str_of("DELETE FROM t WHERE s = ?"), &schema, &params, &rows, &bench_error),
      DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(W.execute(warehouse, dray_str_of("DELETE FROM t; DELETE FROM t"), NULL, NULL, &rows, &bench_error),
                   DRAY_E_CONFIG_SQL);
  assert_string_equal(bench_query(warehouse, "SELECT count(*) FROM t"), "2\n");
  params.release(&params);
  schema.release(&schema);
  dray_builder_free(builder);
  W.destroy(warehouse);
}

static int is_key(const struct ArrowSchema *column) {
  static const char pair[] = {15, 0, 0, 0, 'd', 'r', 'a', 'y', ':', 'p', 'r', 'i', 'm', 'a', 'r', 'y'};
  if (column->metadata == NULL) return 0;
  return memcmp(column->metadata + 4, (const char[]){16, 0, 0, 0}, 4) == 0 &&
         memcmp(column->metadata + 8, pair + 4, 12) == 0;
}

static void test_describe_marks_keys_and_says_what_would_be_stored(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct ArrowSchema schema;
  uint32_t found = 7;
  assert_ok(W.describe(warehouse, dray_str_of(NULL), dray_str_of("nothing"), &schema, &found, &bench_error));
  assert_int_equal(found, 0);
  execute(warehouse,
          "CREATE TABLE t (j JSON_TEXT, a TEXT, m NUMERIC(20,2), n NUMERIC(10,2), u UUID, raw, PRIMARY KEY (a, j))");
  assert_ok(W.describe(warehouse, dray_str_of("main"), dray_str_of("t"), &schema, &found, &bench_error));
  assert_int_equal(found, 1);
  static const char *const expected[] = {"json", "string", "float64", "decimal(10,2)", "float64", "string"};
  for (int64_t i = 0; i < schema.n_children; i++) {
    struct dray_type type;
    char name[24];
    assert_ok(dray_schema_type(schema.children[i], &type, &bench_error));
    assert_string_equal(dray_type_format(type, name, sizeof name), expected[i]);
    assert_int_equal(is_key(schema.children[i]), i < 2);
  }
  schema.release(&schema);
  W.destroy(warehouse);
}

static void test_double_quotes_name_columns_and_nothing_else(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  int64_t rows = 0;
  execute(warehouse, "CREATE TABLE t (a TEXT)");
  execute(warehouse, "INSERT INTO t VALUES ('x')");
  assert_int_equal(W.execute(warehouse, dray_str_of("UPDATE t SET a = \"gone\""), NULL, NULL, &rows, &bench_error),
                   DRAY_E_CONFIG_SQL);
  assert_string_equal(bench_query(warehouse, "SELECT a FROM t"), "x\n");
  W.destroy(warehouse);
}

// ---- transactions, locks, limits ----

static void test_rollback_takes_tables_and_rows_back(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  execute(warehouse, "CREATE TABLE t (a INTEGER)");
  W.rollback(warehouse); // nothing open: nothing happens
  assert_ok(W.begin(warehouse, &bench_error));
  execute(warehouse, "INSERT INTO t VALUES (1)");
  execute(warehouse, "CREATE TABLE u (a INTEGER)");
  W.rollback(warehouse);
  assert_string_equal(
      bench_query(warehouse, "SELECT (SELECT count(*) FROM t) AS t, (SELECT count(*) FROM sqlite_schema) AS n"),
      "0|1\n");
  assert_ok(W.begin(warehouse, &bench_error));
  execute(warehouse, "INSERT INTO t VALUES (1)");
  W.destroy(warehouse); // as if the process ended
  assert_string_equal(bench_value(path, "SELECT count(*) FROM t"), "0");
}

static void test_a_locked_file_is_busy_after_the_timeout(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *one = bench_warehouse(path), *two = bench_warehouse(path);
  execute(one, "CREATE TABLE t (a INTEGER)");
  assert_ok(W.begin(one, &bench_error));
  execute(one, "INSERT INTO t VALUES (1)");
  assert_int_equal(W.begin(two, &bench_error), DRAY_E_BUSY);
  assert_int_equal(bench_error.error_class, DRAY_CLASS_TRANSIENT);
  assert_string_equal(bench_query(two, "SELECT count(*) FROM t"), "0\n"); // readers go on
  bench_cancel_after_sleeps = 1;
  assert_int_equal(W.begin(two, &bench_error), DRAY_E_CANCELLED); // long before the timeout
  bench_cancel(0);
  assert_ok(W.commit(one, &bench_error));
  assert_ok(W.begin(two, &bench_error));
  W.rollback(two);
  W.destroy(one);
  W.destroy(two);
}

static void test_a_reader_in_the_way_of_a_commit_is_busy_and_loses_nothing(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *one = bench_warehouse(path), *two = bench_warehouse(path);
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct ArrowArray array;
  execute(one, "CREATE TABLE t (a INTEGER)");
  execute(
      one,
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n");
  assert_ok(W.query(two, dray_str_of("SELECT a FROM t"), 1000, 10, &stream, &bench_error));
  assert_ok(stream.next(&stream, &array, &bench_error));
  array.release(&array);
  assert_ok(W.begin(one, &bench_error));
  execute(one, "INSERT INTO t VALUES (101)");
  assert_int_equal(W.commit(one, &bench_error), DRAY_E_BUSY);
  (void)bench_rows(&stream); // read to its end: the lock is gone with the last row, before the stream is closed
  assert_ok(W.commit(one, &bench_error));
  stream.close(&stream);
  assert_string_equal(bench_query(two, "SELECT count(*) FROM t"), "101\n");
  W.destroy(one);
  W.destroy(two);
}

static _Atomic int interrupted;

// Again and again: what comes before the statement runs has no effect.
static void *interrupt_soon(void *ctx) {
  while (!interrupted) {
    usleep(100000);
    W.interrupt(ctx);
  }
  return NULL;
}

static void test_interrupt_ends_a_long_statement(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct dray_stream stream = {.struct_size = sizeof stream};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, warehouse), 0);
  const int32_t code = W.query(
      warehouse,
      dray_str_of("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"), 1000,
      10, &stream, &bench_error);
  interrupted = 1;
  pthread_join(thread, NULL);
  assert_int_equal(code, DRAY_E_CANCELLED);
  assert_string_equal(bench_query(warehouse, "SELECT 1 AS one"), "1\n"); // the connection is as good as before
  W.destroy(warehouse);
}

static void test_a_full_disk_is_said_and_the_file_stays_whole(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  int64_t rows = 0;
  execute(warehouse, "CREATE TABLE t (s TEXT)");
  execute(warehouse, "INSERT INTO t VALUES ('kept')");
  assert_string_equal(bench_query(warehouse, "PRAGMA max_page_count = 100"),
                      "100\n"); // SQLite's own way to a full disk
  assert_ok(W.begin(warehouse, &bench_error));
  const char *sql = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
                    "SELECT printf('%0500d', i) FROM n";
  assert_int_equal(W.execute(warehouse, dray_str_of(sql), NULL, NULL, &rows, &bench_error), DRAY_E_DISK_FULL);
  W.rollback(warehouse);
  assert_string_equal(bench_query(warehouse, "SELECT s FROM t"), "kept\n");
  W.destroy(warehouse);
  assert_string_equal(bench_value(path, "PRAGMA integrity_check"), "ok");
}

static void test_a_file_size_limit_is_an_error_and_the_file_stays_whole(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  struct rlimit before, small;
  int64_t rows = 0;
  execute(warehouse, "CREATE TABLE t (s TEXT)");
  execute(warehouse, "INSERT INTO t VALUES ('kept')");
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = (struct rlimit){256 << 10, before.rlim_max};
  void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  int32_t code = W.begin(warehouse, &bench_error);
  const char *sql = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
                    "SELECT printf('%0500d', i) FROM n";
  if (code == DRAY_OK) code = W.execute(warehouse, dray_str_of(sql), NULL, NULL, &rows, &bench_error);
  if (code == DRAY_OK) code = W.commit(warehouse, &bench_error);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, old);
  assert_true(code == DRAY_E_IO || code == DRAY_E_DISK_FULL);
  W.rollback(warehouse);
  assert_string_equal(bench_query(warehouse, "SELECT s FROM t"), "kept\n");
  W.destroy(warehouse);
  assert_string_equal(bench_value(path, "PRAGMA integrity_check"), "ok");
}

static void test_a_double_key_is_a_data_error(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = bench_warehouse(bench_path("a.db"));
  struct ArrowSchema schema;
  struct ArrowArray batch;
  make_edges(&schema, &batch);
  create_all_types(warehouse, "t");
  execute(warehouse, "CREATE UNIQUE INDEX k ON t (id)");
  assert_ok(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error));
  assert_int_equal(W.load(warehouse, dray_str_of(NULL), dray_str_of("t"), &schema, &batch, &bench_error),
                   DRAY_E_DATA_KEY_DUPLICATE);
  assert_int_equal(W.load(warehouse, dray_str_of(NULL), dray_str_of("gone"), &schema, &batch, &bench_error),
                   DRAY_E_CONFIG_SQL);
  schema.release(&schema);
  batch.release(&batch);
  W.destroy(warehouse);
}

// ---- settings ----

static void test_read_only_warehouse_makes_no_file_and_writes_nothing(void **state) {
  (void)state;
  struct dray_warehouse *warehouse = NULL;
  char json[700];
  int64_t rows = 0;
  (void)snprintf(json, sizeof json, "{\"path\":\"%s\",\"read_only\":true}", bench_path("a.db"));
  assert_ok(W.create(bench_host(), dray_str_of(json), &warehouse, &bench_error));
  assert_int_equal(W.open(warehouse, &bench_error), DRAY_E_CONFIG_VALUE);
  assert_int_equal(access(bench_path("a.db"), F_OK), -1);
  bench_sql(bench_path("a.db"), "CREATE TABLE t (a INTEGER)");
  assert_ok(W.open(warehouse, &bench_error)); // opening may be tried again
  assert_int_equal(W.execute(warehouse, dray_str_of("INSERT INTO t VALUES (1)"), NULL, NULL, &rows, &bench_error),
                   DRAY_E_AUTH_FORBIDDEN);
  assert_string_equal(bench_query(warehouse, "SELECT count(*) FROM t"), "0\n");
  W.destroy(warehouse);
}

static void test_check_tries_everything_and_leaves_nothing(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  struct dray_str json;
  execute(warehouse, "CREATE TABLE t (a INTEGER)");
  assert_ok(W.check(warehouse, &json, &bench_error));
  for (const char *const *name = (const char *const[]){"reach", "login", "read", "create", "write", NULL};
       *name != NULL; name++) {
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "{\"name\":\"%s\",\"ok\":true", *name);
    assert_non_null(strstr(json.data, wanted));
  }
  assert_string_equal(bench_value(path, "SELECT group_concat(name) FROM sqlite_schema"), "t");
  struct dray_warehouse *other = bench_warehouse(path);
  assert_ok(W.begin(other, &bench_error));
  assert_ok(W.check(warehouse, &json, &bench_error));
  assert_non_null(strstr(json.data, "{\"name\":\"create\",\"ok\":false"));
  assert_null(strstr(json.data, "\"write\""));
  W.destroy(other);
  W.destroy(warehouse);
}

static void test_spec_lists_the_settings_and_unknown_ones_are_refused(void **state) {
  (void)state;
  struct dray_str json;
  struct dray_warehouse *warehouse = NULL;
  assert_ok(W.spec(&json, &bench_error));
  char *text = dray_str_dup(json);
  assert_non_null(strstr(text, "\"path\""));
  assert_non_null(strstr(text, "\"busy_timeout_ms\""));
  assert_non_null(strstr(text, "\"read_only\""));
  free(text);
  assert_ok(sqlite_source.spec(&json, &bench_error));
  text = dray_str_dup(json);
  assert_null(strstr(text, "\"read_only\""));
  free(text);
  assert_int_equal(W.create(bench_host(), dray_str_of("{\"path\":\"x\",\"paht\":1}"), &warehouse, &bench_error),
                   DRAY_E_CONFIG_UNKNOWN_KEY);
  assert_int_equal(W.create(bench_host(), dray_str_of("{}"), &warehouse, &bench_error), DRAY_E_CONFIG_MISSING);
}

// ---- columns of another type ----

// What a library that was built with SQLITE_DEFAULT_FOREIGN_KEYS=1 does to every connection.
static int enforce_foreign_keys(sqlite3 *db, char **message, const struct sqlite3_api_routines *api) {
  (void)message;
  (void)api;
  return sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
}

static void retype(struct dray_warehouse *warehouse, const char *table, const char *column) {
  const struct dray_str name = dray_str_of(column), type = dray_str_of("TEXT");
  struct dray_str json;
  struct dray_json *root = NULL;
  assert_ok(W.begin(warehouse, &bench_error));
  assert_ok(W.retype(warehouse, dray_str_of(""), dray_str_of(table), &name, &type, 1, &json, &bench_error));
  assert_ok(dray_json_parse(json, 1 << 20, &root, &bench_error));
  for (const struct dray_json *statement = root->child; statement != NULL; statement = statement->next) {
    int64_t rows = 0;
    assert_ok(W.execute(warehouse, statement->text, NULL, NULL, &rows, &bench_error));
  }
  dray_json_free(root);
  assert_ok(W.commit(warehouse, &bench_error));
}

static void test_other_tables_keep_their_rows_where_foreign_keys_are_on_by_default(void **state) {
  (void)state;
  const char *path = bench_path("wh.db");
  bench_sql(path,
            "CREATE TABLE People (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO People VALUES (1, 10), (2, 20);"
            "CREATE TABLE child (p INTEGER REFERENCES people ON DELETE CASCADE); INSERT INTO child VALUES (1), (2)");
  assert_int_equal(sqlite3_auto_extension((void (*)(void))enforce_foreign_keys), SQLITE_OK);
  assert_string_equal(bench_value(path, "PRAGMA foreign_keys"), "1");
  struct dray_warehouse *warehouse = bench_warehouse(path);
  retype(warehouse, "people", "v");
  W.destroy(warehouse);
  sqlite3_reset_auto_extension();
  assert_string_equal(bench_value(path, "SELECT group_concat(id || typeof(v) || v) FROM People"), "1text10,2text20");
  assert_string_equal(bench_value(path, "SELECT count(*) FROM child"), "2");
  assert_string_equal(bench_value(path, "SELECT name FROM sqlite_master WHERE name = 'people' COLLATE NOCASE"),
                      "People");
  assert_string_equal(bench_value(path, "SELECT count(*) FROM pragma_foreign_key_check"), "0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_every_type_comes_back_exactly, fresh),
      cmocka_unit_test_setup(test_stored_forms_are_those_of_the_readme, fresh),
      cmocka_unit_test_setup(test_the_table_of_types_is_the_codes, fresh),
      cmocka_unit_test_setup(test_long_values_pass, fresh),
      cmocka_unit_test_setup(test_query_types_come_from_columns_through_expressions, fresh),
      cmocka_unit_test_setup(test_only_one_select_is_a_query, fresh),
      cmocka_unit_test_setup(test_memory_does_not_grow_with_the_result, fresh),
      cmocka_unit_test_setup(test_execute_binds_parameters_and_counts_rows, fresh),
      cmocka_unit_test_setup(test_describe_marks_keys_and_says_what_would_be_stored, fresh),
      cmocka_unit_test_setup(test_double_quotes_name_columns_and_nothing_else, fresh),
      cmocka_unit_test_setup(test_rollback_takes_tables_and_rows_back, fresh),
      cmocka_unit_test_setup(test_a_locked_file_is_busy_after_the_timeout, fresh),
      cmocka_unit_test_setup(test_a_reader_in_the_way_of_a_commit_is_busy_and_loses_nothing, fresh),
      cmocka_unit_test_setup(test_interrupt_ends_a_long_statement, fresh),
      cmocka_unit_test_setup(test_a_full_disk_is_said_and_the_file_stays_whole, fresh),
      cmocka_unit_test_setup(test_a_file_size_limit_is_an_error_and_the_file_stays_whole, fresh),
      cmocka_unit_test_setup(test_a_double_key_is_a_data_error, fresh),
      cmocka_unit_test_setup(test_read_only_warehouse_makes_no_file_and_writes_nothing, fresh),
      cmocka_unit_test_setup(test_check_tries_everything_and_leaves_nothing, fresh),
      cmocka_unit_test_setup(test_spec_lists_the_settings_and_unknown_ones_are_refused, fresh),
      cmocka_unit_test_setup(test_other_tables_keep_their_rows_where_foreign_keys_are_on_by_default, fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
