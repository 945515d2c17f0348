// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A file as a source: what discover says, what rows come out, what is refused, and where a read goes on.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int fresh(void **state) {
  (void)state;
  bench_fresh();
  return 0;
}

static struct dray_stream open_stream(struct dray_source *source, const char *name, int mode, const char *cursor,
                                      const char *resume) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  const struct dray_read_request request = {.struct_size = sizeof request,
                                            .mode = (uint32_t)mode,
                                            .stream = dray_str_of(name),
                                            .cursor = dray_str_of(cursor),
                                            .state = dray_str_of(resume),
                                            .batch_bytes_max = 1 << 20,
                                            .batch_rows_max = 1000};
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  return stream;
}

// Everything a full read of a table gives.
static const char *read_all(struct dray_source *source, const char *name) {
  struct dray_stream stream = open_stream(source, name, DRAY_READ_FULL, NULL, NULL);
  const char *rows = bench_rows(&stream);
  stream.close(&stream);
  return rows;
}

static const char *state_of(struct dray_stream *stream) {
  static char text[4096];
  struct dray_str state = {NULL, 0};
  assert_ok(stream->state(stream, &state, &bench_error));
  (void)snprintf(text, sizeof text, "%.*s", DRAY_STR_ARG(state));
  return text;
}

// ---- discover ----

static void test_discover_lists_tables_and_views_with_keys_and_types(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path,
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, \"Näme \"\"x\"\"\" VARCHAR(20) NOT NULL, price NUMERIC(10,2),"
            " at DATETIME, on_day DATE, ok BOOLEAN, doc JSON, raw BLOB, w DOUBLE, any NUMERIC);"
            "CREATE TABLE lines (o INT NOT NULL, n INT NOT NULL, t TEXT, UNIQUE (o, n));"
            "CREATE TABLE nullable_unique (a INT UNIQUE, b INT);"
            "CREATE VIEW totals AS SELECT o, count(*) AS n, sum(n) * 1.5 AS s, max(t) AS t FROM lines GROUP BY o;"
            "CREATE VIEW broken AS SELECT gone FROM lines;"
            "CREATE TABLE _dray_state (a); INSERT INTO lines VALUES (1, 2, 'x')");
  struct dray_source *source = bench_source(path);
  struct dray_str json;
  assert_ok(sqlite_source.discover(source, &json, &bench_error));
  char *first = dray_str_dup(json);
  assert_string_equal(
      first,
      "{\"streams\":["
      "{\"name\":\"lines\",\"columns\":[{\"name\":\"o\",\"type\":\"int64\",\"nullable\":false},"
      "{\"name\":\"n\",\"type\":\"int64\",\"nullable\":false},{\"name\":\"t\",\"type\":\"string\",\"nullable\":true}],"
      "\"primary_key\":[\"o\",\"n\"],\"cursor\":null,\"modes\":[\"full\"],\"description\":\"table\"},"
      "{\"name\":\"nullable_unique\",\"columns\":[{\"name\":\"a\",\"type\":\"int64\",\"nullable\":true},"
      "{\"name\":\"b\",\"type\":\"int64\",\"nullable\":true}],\"primary_key\":[],\"cursor\":null,"
      "\"modes\":[\"full\"],\"description\":\"table\"},"
      "{\"name\":\"orders\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\",\"nullable\":true},"
      "{\"name\":\"Näme \\\"x\\\"\",\"type\":\"string\",\"nullable\":false},"
      "{\"name\":\"price\",\"type\":\"decimal(10,2)\",\"nullable\":true},"
      "{\"name\":\"at\",\"type\":\"timestamp\",\"nullable\":true},{\"name\":\"on_day\",\"type\":\"date\",\"nullable\":"
      "true},"
      "{\"name\":\"ok\",\"type\":\"bool\",\"nullable\":true},{\"name\":\"doc\",\"type\":\"json\",\"nullable\":true},"
      "{\"name\":\"raw\",\"type\":\"bytes\",\"nullable\":true},{\"name\":\"w\",\"type\":\"float64\",\"nullable\":true},"
      "{\"name\":\"any\",\"type\":\"float64\",\"nullable\":true}],\"primary_key\":[\"id\"],\"cursor\":null,"
      "\"modes\":[\"full\"],\"description\":\"table\"},"
      "{\"name\":\"totals\",\"columns\":[{\"name\":\"o\",\"type\":\"int64\",\"nullable\":true},"
      "{\"name\":\"n\",\"type\":\"int64\",\"nullable\":true},{\"name\":\"s\",\"type\":\"float64\",\"nullable\":true},"
      "{\"name\":\"t\",\"type\":\"string\",\"nullable\":true}],\"primary_key\":[],\"cursor\":null,"
      "\"modes\":[\"full\"],\"description\":\"view\"}]}");
  assert_ok(sqlite_source.discover(source, &json, &bench_error));
  assert_true(dray_str_is(json, first)); // stable
  free(first);
  sqlite_source.destroy(source);
}

static void test_chinook_reads_as_it_is(void **state) {
  (void)state;
  const char *path = bench_shared("data/chinook/chinook.sqlite");
  if (path == NULL) return;
  struct dray_source *source = bench_source(path);
  struct dray_str json;
  assert_ok(sqlite_source.discover(source, &json, &bench_error));
  char *catalogue = dray_str_dup(json);
  assert_non_null(strstr(catalogue,
                         "{\"name\":\"PlaylistTrack\",\"columns\":[{\"name\":\"PlaylistId\",\"type\":\"int64\","
                         "\"nullable\":false},{\"name\":\"TrackId\",\"type\":\"int64\",\"nullable\":false}],"
                         "\"primary_key\":[\"PlaylistId\",\"TrackId\"]"));
  free(catalogue);
  struct dray_stream stream = open_stream(source, "Invoice", DRAY_READ_FULL, NULL, NULL);
  assert_string_equal(bench_schema(&stream),
                      "InvoiceId int64, CustomerId int64, InvoiceDate timestamp, BillingAddress string, "
                      "BillingCity string, BillingState string, BillingCountry string, "
                      "BillingPostalCode string, Total decimal(10,2)");
  const char *rows = bench_rows(&stream);
  stream.close(&stream);
  assert_non_null(strstr(rows, "1|2|2021-01-01T00:00:00Z|Theodor-Heuss-Straße 34|Stuttgart|~|Germany|70174|1.98\n"));
  assert_null(strchr(rows, '!'));
  size_t lines = 0;
  for (const char *at = rows; *at != '\0'; at++) lines += *at == '\n';
  assert_int_equal(lines, 412);
  assert_non_null(strstr(read_all(source, "Customer"), "1|Luís|Gonçalves|Embraer"));
  sqlite_source.destroy(source);
}

// ---- values ----

// What becomes of the rows of the next test, one by one.
static const char *const odd_rows[] = {
    "1|5|~|~|~|~|~|~|~|~",
    "!data_type: column 'i': TEXT 'five' is not a value of type int64",
    "!data_type: column 'i': REAL '2.5' is not a value of type int64",
    "4|~|0.99|~|~|~|~|~|~|~",
    "5|~|1234.50|~|~|~|~|~|~|~",
    "!data_precision: column 'd': ", // 0.999
    "!data_type: column 'd': ",      // abc
    "!data_overflow: column 'd': ",  // 123456
    "!data_type: column 'd': a BLOB of 1 bytes is not a value of type decimal(6,2)",
    "10|~|~|true|",
    "11|~|~|false|",
    "!data_type: column 'b': INTEGER '2' is not a value of type bool",
    "13|~|~|true|",
    "!data_type: column 'b': TEXT 'maybe' is not a value of type bool",
    "15|~|~|~|2009-01-01T00:00:00Z|",
    "16|~|~|~|2009-01-01T08:00:00.500Z|",
    "!data_type: column 'at': INTEGER '1230768000' is not a value of type timestamp",
    "!data_date: column 'at': '2009-02-30' is not a timestamp",
    "19|~|~|~|~|2024-02-29|",
    "20|~|~|~|~|2024-02-29|",
    "!data_type: column 'day': TEXT '2024-02-29 00:00:01' is not a value of type date",
    "22|~|~|~|~|~|3|",
    "!data_type: column 'r': TEXT 'x' is not a value of type float64",
    "24|~|~|~|~|~|Infinity|",
    "25|~|~|~|~|~|NaN|",
    "26|~|~|~|~|~|~|{\"a\":[1,2]}|~|~",
    "!data_json: column 'j': ",
    "28|~|~|~|~|~|~|5|~|~",
    "29|~|~|~|~|~|~|~|dGV4dA==|~",
    "!data_type: column 'x': INTEGER '7' is not a value of type bytes",
    "31|~|~|~|~|~|~|~|~|",
    "!data_utf8: column 's': ",
    "!data_type: column 's': a BLOB of 1 bytes is not a value of type string",
};

static void test_values_that_do_not_fit_reject_their_row_only(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(
      path,
      "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, d NUMERIC(6,2), b BOOLEAN, at DATETIME, day DATE, r REAL, j "
      "JSON, x BLOB, s TEXT);"
      "INSERT INTO t (id, i) VALUES (1, 5), (2, 'five'), (3, 2.5);"
      "INSERT INTO t (id, d) VALUES (4, 0.99), (5, '1234.5'), (6, 0.999), (7, 'abc'), (8, 123456), (9, x'00');"
      "INSERT INTO t (id, b) VALUES (10, 1), (11, 0), (12, 2), (13, 'true'), (14, 'maybe');"
      "INSERT INTO t (id, at) VALUES (15, '2009-01-01 00:00:00'), (16, '2009-01-01T10:00:00.5+02:00'), (17, "
      "1230768000), (18, '2009-02-30');"
      "INSERT INTO t (id, day) VALUES (19, '2024-02-29'), (20, '2024-02-29 00:00:00'), (21, '2024-02-29 00:00:01');"
      "INSERT INTO t (id, r) VALUES (22, 3), (23, 'x'), (24, 9e999), (25, 'NaN');"
      "INSERT INTO t (id, j) VALUES (26, '{\"a\": [1, 2]}'), (27, '{'), (28, '5');"
      "INSERT INTO t (id, x) VALUES (29, 'text'), (30, 7);"
      "INSERT INTO t (id, s) VALUES (31, ''), (32, CAST(x'ff' AS TEXT)), (33, x'41')");
  struct dray_source *source = bench_source(path);
  const char *at = read_all(source, "t");
  for (size_t i = 0; i < sizeof odd_rows / sizeof odd_rows[0]; i++) {
    const char *end = strchr(at, '\n');
    assert_non_null(end);
    if (strncmp(at, odd_rows[i], strlen(odd_rows[i])) != 0)
      fail_msg("row %zu: '%.*s' instead of '%s'", i + 1, (int)(end - at), at, odd_rows[i]);
    at = end + 1;
  }
  assert_string_equal(at, "");
  sqlite_source.destroy(source);
}

static void test_undeclared_columns_take_their_type_from_the_first_rows(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (a, b, c, d, e); INSERT INTO t VALUES (NULL, 1, 1, 'x', x'00'), (5, 2, 2.5, 7, "
                  "NULL), (NULL, 3, 1, 2.5, x'01')");
  struct dray_source *source = bench_source(path);
  struct dray_stream stream = open_stream(source, "t", DRAY_READ_FULL, NULL, NULL);
  assert_string_equal(bench_schema(&stream), "a int64, b int64, c float64, d string, e bytes");
  assert_string_equal(bench_rows(&stream), "~|1|1|x|AA==\n5|2|2.5|7|~\n~|3|1|2.5|AQ==\n");
  stream.close(&stream);
  sqlite_source.destroy(source);
}

static void test_a_late_value_of_another_class_is_an_error_of_its_row(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
                  "INSERT INTO t SELECT i FROM n;"
                  "INSERT INTO t VALUES ('late')");
  struct dray_source *source = bench_source(path);
  const char *rows = read_all(source, "t");
  const char *bad = strchr(rows, '!');
  assert_non_null(bad);
  assert_string_equal(bad, "!data_type: column 'a': TEXT 'late' is not a value of type int64\n");
  assert_non_null(strstr(rows, "\n3000\n"));
  sqlite_source.destroy(source);
}

// ---- choosing ----

static void test_columns_come_in_the_order_asked_for(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE \"select\" (\"from\" INTEGER, \"a\"\"b\" TEXT, _dray_synced_at TEXT); INSERT INTO "
                  "\"select\" VALUES (1, 'x', 'hidden')");
  struct dray_source *source = bench_source(path);
  const struct dray_str columns[] = {dray_str_of("a\"b"), dray_str_of("from")};
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct dray_read_request request = {.struct_size = sizeof request,
                                      .mode = DRAY_READ_FULL,
                                      .stream = dray_str_of("select"),
                                      .columns = columns,
                                      .column_count = 2,
                                      .batch_bytes_max = 1000,
                                      .batch_rows_max = 10};
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  assert_string_equal(bench_rows(&stream), "x|1\n");
  stream.close(&stream);
  assert_string_equal(read_all(source, "select"), "1|x\n"); // dray's own columns stay out

  const struct dray_str wrong = dray_str_of("fron");
  request.columns = &wrong;
  request.column_count = 1;
  assert_int_equal(sqlite_source.open(source, &request, &stream, &bench_error), DRAY_E_SCHEMA_COLUMN);
  assert_non_null(strstr(bench_error.text, "did you mean \"from\"?"));
  request.stream = dray_str_of("nowhere");
  assert_int_equal(sqlite_source.open(source, &request, &stream, &bench_error), DRAY_E_SCHEMA_STREAM);
  request.stream = dray_str_of("SELECT"); // names are exact
  assert_int_equal(sqlite_source.open(source, &request, &stream, &bench_error), DRAY_E_SCHEMA_STREAM);
  sqlite_source.destroy(source);
}

static void test_batches_keep_within_their_bounds(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (i INTEGER, s TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                  "WHERE i < 1000)"
                  " INSERT INTO t SELECT i, printf('%0100d', i) FROM n");
  struct dray_source *source = bench_source(path);
  struct dray_stream stream = {.struct_size = sizeof stream};
  const struct dray_read_request request = {.struct_size = sizeof request,
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("t"),
                                            .batch_bytes_max = 5000,
                                            .batch_rows_max = 64};
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  int64_t rows = 0;
  for (;;) {
    struct ArrowArray array;
    assert_ok(stream.next(&stream, &array, &bench_error));
    if (array.release == NULL) break;
    assert_in_range(array.length, 1, 50); // about 112 bytes a row
    rows += array.length;
    array.release(&array);
  }
  assert_int_equal(rows, 1000);
  struct dray_progress progress = {.struct_size = sizeof progress};
  stream.progress(&stream, &progress);
  assert_int_equal(progress.rows, 1000);
  stream.close(&stream);
  sqlite_source.destroy(source);
}

// ---- incremental ----

// One incremental read: the rows, and the state after it in `resume`.
static const char *read_new(struct dray_source *source, const char *table, const char *cursor, char resume[256]) {
  struct dray_stream stream = open_stream(source, table, DRAY_READ_INCREMENTAL, cursor, resume);
  const char *rows = bench_rows(&stream);
  (void)snprintf(resume, 256, "%s", state_of(&stream));
  stream.close(&stream);
  return rows;
}

static void test_incremental_read_goes_on_where_it_ended_and_overlaps(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  char resume[256] = "";
  bench_sql(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 10), (2, 30), (3, 20)");
  struct dray_source *source = bench_source(path);
  assert_string_equal(read_new(source, "t", "n", resume), "1|10\n2|30\n3|20\n");
  assert_string_equal(resume, "{\"stream\":\"t\",\"column\":\"n\",\"type\":\"int64\",\"cursor\":30}");
  assert_string_equal(read_new(source, "t", "n", resume), "2|30\n");
  bench_sql(path, "INSERT INTO t VALUES (4, 5), (5, 30), (6, 31), (7, NULL)");
  assert_string_equal(read_new(source, "t", "n", resume), "2|30\n5|30\n6|31\n7|~\n"); // no cursor: never held back
  assert_string_equal(resume, "{\"stream\":\"t\",\"column\":\"n\",\"type\":\"int64\",\"cursor\":31}");
  bench_sql(path, "DELETE FROM t");
  assert_string_equal(read_new(source, "t", "n", resume), "");
  assert_string_equal(resume,
                      "{\"stream\":\"t\",\"column\":\"n\",\"type\":\"int64\",\"cursor\":31}"); // it does not fall back
  sqlite_source.destroy(source);
}

static void test_time_cursor_compares_times_however_they_are_spelt(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  char resume[256] = "";
  bench_sql(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME);"
                  "INSERT INTO t VALUES (1, '2024-05-01T10:00:00.123456Z'), (2, '2024-05-01 09:00:00')");
  struct dray_source *source = bench_source(path);
  assert_non_null(strstr(read_new(source, "t", "at", resume), "2|2024-05-01T09:00:00Z"));
  assert_string_equal(
      resume, "{\"stream\":\"t\",\"column\":\"at\",\"type\":\"timestamp\",\"cursor\":\"2024-05-01T10:00:00.123456Z\"}");
  // Each is later than the cursor, and most are less than it as text.
  bench_sql(path,
            "INSERT INTO t VALUES (3, '2024-05-01 10:00:00.123457'), (4, '2024-05-01 12:00:00'), (5, "
            "'2024-05-01T13:00:00+02:00'),"
            " (6, '2024-05-01T13:00:00+0200'), (7, '2024-05-01 08:00:00'), (8, 'soon'), (9, 2460432.5), (10, NULL)");
  assert_string_equal(
      read_new(source, "t", "at", resume),
      "1|2024-05-01T10:00:00.123456Z\n3|2024-05-01T10:00:00.123457Z\n4|2024-05-01T12:00:00Z\n"
      "5|2024-05-01T11:00:00Z\n6|2024-05-01T11:00:00Z\n!data_date: column 'at': 'soon' is not a timestamp: "
      "expected "
      "YYYY-MM-DDTHH:MM:SS with an offset\n!data_type: column 'at': REAL '2460432.5' is not a value of type "
      "timestamp\n10|~\n");
  assert_string_equal(
      resume, "{\"stream\":\"t\",\"column\":\"at\",\"type\":\"timestamp\",\"cursor\":\"2024-05-01T12:00:00Z\"}");
  sqlite_source.destroy(source);
}

static void test_text_and_real_cursors(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  char resume[256] = "", again[256] = "";
  bench_sql(
      path,
      "CREATE TABLE t (s TEXT COLLATE NOCASE, r REAL); INSERT INTO t VALUES ('b', 1.5), ('C', 0.1), ('a', 1e300)");
  struct dray_source *source = bench_source(path);
  (void)read_new(source, "t", "s", resume);
  assert_string_equal(resume, "{\"stream\":\"t\",\"column\":\"s\",\"type\":\"string\",\"cursor\":\"b\"}");
  bench_sql(path, "INSERT INTO t VALUES ('B', 2), ('ba', 3), (NULL, 4)");
  assert_string_equal(read_new(source, "t", "s", resume), "b|1.5\nba|3\n~|4\n");
  (void)read_new(source, "t", "r", again);
  assert_string_equal(again, "{\"stream\":\"t\",\"column\":\"r\",\"type\":\"float64\",\"cursor\":1e+300}");
  assert_string_equal(read_new(source, "t", "r", again), "a|1e+300\n");
  sqlite_source.destroy(source);
}

static void test_indexed_integer_cursor_has_safe_places_on_the_way(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, n INT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                  "SELECT i + 1 FROM n WHERE i < 300)"
                  " INSERT INTO t SELECT i, 'x', -i FROM n");
  struct dray_source *source = bench_source(path);
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct dray_read_request request = {.struct_size = sizeof request,
                                      .mode = DRAY_READ_INCREMENTAL,
                                      .stream = dray_str_of("t"),
                                      .cursor = dray_str_of("id"),
                                      .batch_bytes_max = 1 << 20,
                                      .batch_rows_max = 100};
  struct ArrowArray array;
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  assert_ok(stream.next(&stream, &array, &bench_error));
  array.release(&array);
  char resume[256];
  (void)snprintf(resume, sizeof resume, "%s", state_of(&stream));
  assert_string_equal(resume, "{\"stream\":\"t\",\"column\":\"id\",\"type\":\"int64\",\"cursor\":100}");
  stream.close(&stream); // killed here
  request.state = dray_str_of(resume);
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  const char *rows = bench_rows(&stream);
  assert_true(strncmp(rows, "100|x|-100\n101|", 15) == 0);
  assert_non_null(strstr(rows, "\n300|x|-300\n"));
  stream.close(&stream);

  request.cursor = dray_str_of("n"); // no index: only the end is safe
  request.state = dray_str_make(NULL, 0);
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error));
  assert_ok(stream.next(&stream, &array, &bench_error));
  array.release(&array);
  assert_string_equal(state_of(&stream), "");
  (void)bench_rows(&stream);
  assert_string_equal(state_of(&stream), "{\"stream\":\"t\",\"column\":\"n\",\"type\":\"int64\",\"cursor\":-1}");
  stream.close(&stream);
  sqlite_source.destroy(source);
}

static void test_incremental_read_of_expressions_is_not_safe_before_its_end(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
                  "INSERT INTO t SELECT 51 - i FROM n");
  struct dray_source *source = bench_source(path);
  struct dray_stream stream = {.struct_size = sizeof stream};
  const struct dray_read_request request = {.struct_size = sizeof request,
                                            .mode = DRAY_READ_INCREMENTAL,
                                            .stream = dray_str_of("t"),
                                            .cursor = dray_str_of("a"),
                                            .batch_bytes_max = 1 << 20,
                                            .batch_rows_max = 10};
  struct ArrowArray array;
  assert_ok(sqlite_source.open(source, &request, &stream, &bench_error)); // has stepped to the end to learn the type
  for (int i = 0; i < 4; i++) {
    assert_ok(stream.next(&stream, &array, &bench_error));
    array.release(&array);
    assert_string_equal(state_of(&stream), "");
  }
  assert_ok(stream.next(&stream, &array, &bench_error));
  array.release(&array);
  assert_string_equal(state_of(&stream), "{\"stream\":\"t\",\"column\":\"a\",\"type\":\"int64\",\"cursor\":50}");
  stream.close(&stream);
  sqlite_source.destroy(source);
}

static void test_wrong_cursors_and_states_are_refused(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, d NUMERIC(5,2), b BLOB); CREATE TABLE u (id INTEGER)");
  struct dray_source *source = bench_source(path);
  static const struct {
    const char *table, *cursor, *state;
    int32_t code;
  } cases[] = {
      {"t", "", "", DRAY_E_CONFIG_MISSING},
      {"t", "d", "", DRAY_E_SCHEMA_COLUMN},
      {"t", "b", "", DRAY_E_SCHEMA_COLUMN},
      {"t", "nix", "", DRAY_E_SCHEMA_COLUMN},
      {"t", "id", "not json", DRAY_E_STATE_CHECKPOINT},
      {"t", "id", "{\"stream\":\"u\",\"column\":\"id\",\"type\":\"int64\",\"cursor\":1}", DRAY_E_STATE_CHECKPOINT},
      {"t", "id", "{\"stream\":\"t\",\"column\":\"id\",\"type\":\"int64\",\"cursor\":\"1\"}", DRAY_E_STATE_CHECKPOINT},
      {"t", "id", "{\"stream\":\"t\",\"column\":\"id\",\"type\":\"string\",\"cursor\":1}", DRAY_E_STATE_CHECKPOINT},
      {"t", "id", "{\"stream\":\"t\",\"column\":\"id\",\"type\":\"int64\"}", DRAY_E_STATE_CHECKPOINT},
      {"t", "id", "[]", DRAY_E_STATE_CHECKPOINT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dray_stream stream = {.struct_size = sizeof stream};
    const struct dray_read_request request = {.struct_size = sizeof request,
                                              .mode = DRAY_READ_INCREMENTAL,
                                              .stream = dray_str_of(cases[i].table),
                                              .cursor = dray_str_of(cases[i].cursor),
                                              .state = dray_str_of(cases[i].state),
                                              .batch_bytes_max = 1000,
                                              .batch_rows_max = 10};
    const int32_t code = sqlite_source.open(source, &request, &stream, &bench_error);
    if (code != cases[i].code) fail_msg("case %zu: %d (%s)", i, code, bench_error.text);
  }
  sqlite_source.destroy(source);
}

// ---- files ----

static void test_files_that_are_no_databases_are_refused_by_name(void **state) {
  (void)state;
  struct dray_str json;
  struct dray_source *source = bench_source(bench_path("missing.db"));
  assert_int_equal(sqlite_source.discover(source, &json, &bench_error), DRAY_E_CONFIG_VALUE);
  assert_string_equal(bench_error.field, "path");
  assert_non_null(strstr(bench_error.text, "No such file or directory"));
  assert_int_equal(access(bench_path("missing.db"), F_OK), -1); // a source makes no file
  sqlite_source.destroy(source);

  FILE *file = fopen(bench_path("text.db"), "w");
  assert_non_null(file);
  for (int i = 0; i < 100; i++) fputs("this is not a database file\n", file);
  fclose(file);
  source = bench_source(bench_path("text.db"));
  assert_int_equal(sqlite_source.discover(source, &json, &bench_error), DRAY_E_CONFIG_VALUE);
  assert_non_null(strstr(bench_error.text, "not a database"));
  assert_ok(sqlite_source.check(source, &json, &bench_error));
  assert_non_null(strstr(json.data, "\"name\":\"reach\",\"ok\":false"));
  assert_non_null(strstr(json.data, "\"fix\":"));
  sqlite_source.destroy(source);

  source = bench_source(bench_folder());
  assert_int_equal(sqlite_source.discover(source, &json, &bench_error), DRAY_E_CONFIG_VALUE);
  sqlite_source.destroy(source);

  static const char empty[] = "{\"path\":\"\"}";
  assert_int_equal(sqlite_source.create(bench_host(), dray_str_of(empty), &source, &bench_error), DRAY_E_CONFIG_VALUE);
}

static void test_names_that_mean_something_to_sqlite_are_file_names_here(void **state) {
  (void)state;
  char cwd[1024];
  assert_non_null(getcwd(cwd, sizeof cwd));
  assert_int_equal(chdir(bench_folder()), 0);
  static const char *const names[] = {":memory:", "file:x?mode=memory", "a%20b?c#d.db"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", names[i]);
    bench_sql("plain.db", "CREATE TABLE IF NOT EXISTS t (a INTEGER); DELETE FROM t; INSERT INTO t VALUES (7)");
    assert_int_equal(rename("plain.db", copy), 0);
    struct dray_source *source = bench_source(copy);
    assert_string_equal(read_all(source, "t"), "7\n");
    sqlite_source.destroy(source);
  }
  assert_int_equal(chdir(cwd), 0);
}

// In a child without any right to write: root would be let through.
static int read_as_nobody(const char *path, const char *expected) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(90);
    struct dray_source *source = bench_source(path);
    struct dray_stream stream = {.struct_size = sizeof stream};
    const struct dray_read_request request = {.struct_size = sizeof request,
                                              .mode = DRAY_READ_FULL,
                                              .stream = dray_str_of("t"),
                                              .batch_bytes_max = 1000,
                                              .batch_rows_max = 10};
    const int32_t code = sqlite_source.open(source, &request, &stream, &bench_error);
    if (code != DRAY_OK) _exit(expected == NULL ? 0 : 91);
    _exit(expected != NULL && strcmp(bench_rows(&stream), expected) == 0 ? 0 : 92);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void test_a_file_in_a_read_only_folder_can_be_read(void **state) {
  (void)state;
  char folder[512], path[600], wal[600];
  (void)snprintf(folder, sizeof folder, "%s", bench_path("locked"));
  (void)snprintf(path, sizeof path, "%s/a.db", folder);
  (void)snprintf(wal, sizeof wal, "%s/a.db-wal", folder);
  assert_int_equal(chmod(bench_folder(), 0755), 0);
  assert_int_equal(mkdir(folder, 0755), 0);
  bench_sql(path, "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)");
  assert_int_equal(chmod(path, 0444), 0);
  assert_int_equal(chmod(folder, 0555), 0);
  assert_int_equal(read_as_nobody(path, "7\n"), 0);
  // A file in WAL mode wants a file beside it: without one, and without a right to make one, it is read as
  // unchangeable.
  assert_int_equal(chmod(folder, 0755), 0);
  assert_int_equal(chmod(path, 0644), 0);
  bench_sql(path, "PRAGMA journal_mode = WAL; INSERT INTO t VALUES (8)");
  assert_int_equal(chmod(path, 0444), 0);
  assert_int_equal(chmod(folder, 0555), 0);
  assert_int_equal(read_as_nobody(path, "7\n8\n"), 0);
  // What a writer or a crash left beside it may be newer than the file: then it must not be read without it.
  assert_int_equal(chmod(folder, 0755), 0);
  FILE *file = fopen(wal, "w");
  assert_non_null(file);
  fputs("x", file);
  fclose(file);
  assert_int_equal(chmod(wal, 0000), 0);
  assert_int_equal(chmod(folder, 0555), 0);
  assert_int_equal(read_as_nobody(path, NULL), 0);
  assert_int_equal(chmod(folder, 0755), 0);
}

// A writer that dies after its pages have begun to reach the file, and before its commit.
static void die_in_a_write(const char *path) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK) _exit(1);
    (void)sqlite3_exec(
        db,
        "PRAGMA cache_size = 5; BEGIN IMMEDIATE; UPDATE t SET a = a + 1;"
        "CREATE TABLE u AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " SELECT i, hex(randomblob(200)) AS r FROM n",
        NULL, NULL, NULL);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_a_file_left_in_the_middle_of_a_write_is_not_believed(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct dray_str json;
  bench_sql(path, "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)");
  die_in_a_write(path);
  assert_int_equal(access(bench_path("a.db-journal"), F_OK), 0);
  struct dray_source *source = bench_source(path);
  assert_int_equal(sqlite_source.discover(source, &json, &bench_error), DRAY_E_IO);
  assert_non_null(strstr(bench_error.text, "in the middle of a write"));
  struct dray_warehouse *warehouse = bench_warehouse(path); // may write, so it takes the rest back
  assert_string_equal(bench_query(warehouse, "SELECT a FROM t"), "7\n");
  sqlite_warehouse.destroy(warehouse);
  assert_string_equal(read_all(source, "t"), "7\n");
  sqlite_source.destroy(source);
}

static void test_a_source_changes_nothing(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  struct stat before, after;
  bench_sql(path, "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)");
  assert_int_equal(stat(path, &before), 0);
  struct dray_source *source = bench_source(path);
  struct dray_str json;
  assert_ok(sqlite_source.check(source, &json, &bench_error));
  assert_true(dray_str_is(json, "[{\"name\":\"reach\",\"ok\":true,\"text\":\"the file is a SQLite database\"},"
                                "{\"name\":\"read\",\"ok\":true,\"text\":\"its tables can be listed\"}]"));
  (void)read_all(source, "t");
  sqlite_source.destroy(source);
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  assert_int_equal(before.st_size, after.st_size);
}

static void test_a_cancelled_read_ends(void **state) {
  (void)state;
  const char *path = bench_path("a.db");
  bench_sql(path, "CREATE TABLE t (a INTEGER); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
                  "< 100000) INSERT INTO t SELECT i FROM n;"
                  "CREATE VIEW slow AS SELECT count(*) AS c FROM t AS x, t AS y WHERE x.a + y.a = 3");
  struct dray_source *source = bench_source(path);
  struct dray_stream stream = {.struct_size = sizeof stream};
  const struct dray_read_request request = {.struct_size = sizeof request,
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("slow"),
                                            .batch_bytes_max = 1000,
                                            .batch_rows_max = 10};
  bench_cancel(1); // seen inside the engine, in the middle of the first step
  assert_int_equal(sqlite_source.open(source, &request, &stream, &bench_error), DRAY_E_CANCELLED);
  bench_cancel(0);
  stream = open_stream(source, "t", DRAY_READ_FULL, NULL, NULL);
  struct ArrowArray array;
  assert_ok(stream.next(&stream, &array, &bench_error));
  array.release(&array);
  bench_cancel(1);
  assert_int_equal(stream.next(&stream, &array, &bench_error), DRAY_E_CANCELLED);
  bench_cancel(0);
  stream.close(&stream);
  sqlite_source.destroy(source);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_discover_lists_tables_and_views_with_keys_and_types, fresh),
      cmocka_unit_test_setup(test_chinook_reads_as_it_is, fresh),
      cmocka_unit_test_setup(test_values_that_do_not_fit_reject_their_row_only, fresh),
      cmocka_unit_test_setup(test_undeclared_columns_take_their_type_from_the_first_rows, fresh),
      cmocka_unit_test_setup(test_a_late_value_of_another_class_is_an_error_of_its_row, fresh),
      cmocka_unit_test_setup(test_columns_come_in_the_order_asked_for, fresh),
      cmocka_unit_test_setup(test_batches_keep_within_their_bounds, fresh),
      cmocka_unit_test_setup(test_incremental_read_goes_on_where_it_ended_and_overlaps, fresh),
      cmocka_unit_test_setup(test_time_cursor_compares_times_however_they_are_spelt, fresh),
      cmocka_unit_test_setup(test_text_and_real_cursors, fresh),
      cmocka_unit_test_setup(test_indexed_integer_cursor_has_safe_places_on_the_way, fresh),
      cmocka_unit_test_setup(test_incremental_read_of_expressions_is_not_safe_before_its_end, fresh),
      cmocka_unit_test_setup(test_wrong_cursors_and_states_are_refused, fresh),
      cmocka_unit_test_setup(test_files_that_are_no_databases_are_refused_by_name, fresh),
      cmocka_unit_test_setup(test_names_that_mean_something_to_sqlite_are_file_names_here, fresh),
      cmocka_unit_test_setup(test_a_file_in_a_read_only_folder_can_be_read, fresh),
      cmocka_unit_test_setup(test_a_file_left_in_the_middle_of_a_write_is_not_believed, fresh),
      cmocka_unit_test_setup(test_a_source_changes_nothing, fresh),
      cmocka_unit_test_setup(test_a_cancelled_read_ends, fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
