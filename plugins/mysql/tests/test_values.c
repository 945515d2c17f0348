// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be known without a server: lines as LOAD DATA takes them, parameters, values out of a result, what a
// result's columns are read and written as, the settings, and that the README's table of types is the code's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "torture.h"
#include "warehouse.h"

static struct dray_error error = {.struct_size = sizeof error};

#define assert_ok(expression)                                                                                          \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK) fail_msg("%s: %d %s", #expression, code_, error.text);                                       \
  } while (0)

// ---- going out ----

struct batch {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder;
  struct dray_view view;
};

static void make_batch(struct batch *batch) {
  static const struct dray_column_def defs[] = {
      {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},    {"i", {DRAY_TYPE_INT64, 0, 0}, 1},  {"d", {DRAY_TYPE_DECIMAL, 9, 2}, 1},
      {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1}, {"s", {DRAY_TYPE_STRING, 0, 0}, 1}, {"y", {DRAY_TYPE_BYTES, 0, 0}, 1},
      {"j", {DRAY_TYPE_JSON, 0, 0}, 1},    {"a", {DRAY_TYPE_DATE, 0, 0}, 1},   {"t", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
  };
  int32_t full = 0;
  assert_ok(dray_schema_make(defs, 9, &batch->schema, &error));
  assert_ok(dray_builder_new(&batch->schema, 0, 0, &batch->builder, &error));
  assert_ok(dray_builder_bool(batch->builder, 0, 1, &error));
  assert_ok(dray_builder_int64(batch->builder, 1, INT64_MIN, &error));
  assert_ok(dray_builder_decimal(batch->builder, 2, dray_decimal_of_int64(-150), &error));
  assert_ok(dray_builder_float64(batch->builder, 3, 0.1, &error));
  assert_ok(dray_builder_bytes(batch->builder, 4, dray_str_of("a\tb\\N\nc\r'\""), &error));
  assert_ok(dray_builder_bytes(batch->builder, 5, dray_str_make("\0\xff\t", 3), &error));
  assert_ok(dray_builder_bytes(batch->builder, 6, dray_str_of("{\"a\":\"\\n\"}"), &error));
  assert_ok(dray_builder_date(batch->builder, 7, DRAY_DATE_MIN, &error));
  assert_ok(dray_builder_timestamp(batch->builder, 8, DRAY_TIMESTAMP_MAX, &error));
  assert_ok(dray_builder_end_row(batch->builder, &full, &error));
  for (size_t i = 0; i < 9; i++) assert_ok(dray_builder_null(batch->builder, i, &error));
  assert_ok(dray_builder_end_row(batch->builder, &full, &error));
  for (size_t i = 0; i < 9; i++) {
    if (i != 3) assert_ok(dray_builder_null(batch->builder, i, &error));
  }
  assert_ok(dray_builder_float64(batch->builder, 3, (double)NAN, &error));
  assert_ok(dray_builder_end_row(batch->builder, &full, &error));
  assert_ok(dray_builder_finish(batch->builder, &batch->array, &error));
  assert_ok(dray_view_init(&batch->view, &batch->schema, &batch->array, &error));
}

static void free_batch(struct batch *batch) {
  dray_view_free(&batch->view);
  dray_array_release(&batch->array);
  dray_builder_free(batch->builder);
  dray_schema_release(&batch->schema);
}

static void test_rows_lie_as_load_data_takes_them(void **state) {
  (void)state;
  struct batch batch;
  struct dray_buffer out;
  make_batch(&batch);
  dray_buffer_init(&out, 4096);
  assert_ok(my_encode_row(&batch.view, 0, &out, &error));
  assert_ok(my_encode_row(&batch.view, 1, &out, &error));
  assert_string_equal(out.data, "1\t-9223372036854775808\t-1.50\t0.1\ta\\tb\\\\N\\nc\r'\"\t00ff09\t{\"a\":\"\\\\n\"}\t"
                                "0001-01-01\t9999-12-31 23:59:59.999999\n"
                                "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n");
  assert_int_equal(my_encode_row(&batch.view, 2, &out, &error), DRAY_E_DATA_TYPE);
  assert_string_equal(error.field, "f");
  dray_buffer_free(&out);
  free_batch(&batch);
}

static int32_t encode_once(void *ctx) {
  const struct batch *batch = ctx;
  struct dray_buffer out;
  dray_buffer_init(&out, 4096);
  const int32_t code = my_encode_row(&batch->view, 0, &out, &error);
  dray_buffer_free(&out);
  return code;
}

static void test_a_line_that_finds_no_memory_says_so(void **state) {
  (void)state;
  struct batch batch;
  make_batch(&batch);
  assert_true(torture_every(encode_once, &batch) > 0);
  free_batch(&batch);
}

static void test_parameters_are_the_values(void **state) {
  (void)state;
  struct batch batch;
  MYSQL_BIND binds[9];
  struct my_param params[9];
  make_batch(&batch);
  for (size_t i = 0; i < 9; i++) assert_ok(my_bind(&batch.view.columns[i], 0, &binds[i], &params[i], &error));
  assert_int_equal(binds[1].buffer_type, MYSQL_TYPE_LONGLONG);
  assert_true(*(int64_t *)binds[1].buffer == INT64_MIN);
  assert_int_equal(binds[2].buffer_type, MYSQL_TYPE_NEWDECIMAL);
  assert_memory_equal(binds[2].buffer, "-1.50", *binds[2].length);
  assert_int_equal(binds[5].buffer_type, MYSQL_TYPE_LONG_BLOB);
  assert_int_equal(*binds[5].length, 3);
  assert_memory_equal(binds[8].buffer, "9999-12-31 23:59:59.999999", *binds[8].length);
  for (size_t i = 0; i < 9; i++) {
    assert_ok(my_bind(&batch.view.columns[i], 1, &binds[i], &params[i], &error));
    assert_int_equal(binds[i].buffer_type, MYSQL_TYPE_NULL);
  }
  assert_int_equal(my_bind(&batch.view.columns[3], 2, &binds[3], &params[3], &error), DRAY_E_DATA_TYPE);
  free_batch(&batch);
}

// ---- coming in ----

#define CHARSET_UTF8MB4 45
#define CHARSET_BINARY 63

static struct my_column decide(enum enum_field_types type, unsigned long length, unsigned int decimals,
                               unsigned int flags, unsigned int charset) {
  const MYSQL_FIELD field = {
      .type = type, .length = length, .decimals = decimals, .flags = flags, .charsetnr = charset};
  struct my_column column = {.name = NULL};
  my_column_decide(&field, &column);
  return column;
}

static void test_columns_are_read_and_written_as_what_they_are(void **state) {
  (void)state;
  static const struct {
    enum enum_field_types type;
    unsigned long length;
    unsigned int decimals, flags, charset;
    const char *reads, *writes;
  } cases[] = {
      {MYSQL_TYPE_TINY, 1, 0, 0, CHARSET_BINARY, "bool", "bool"},
      {MYSQL_TYPE_TINY, 1, 0, UNSIGNED_FLAG, CHARSET_BINARY, "int64", "int64"},
      {MYSQL_TYPE_TINY, 4, 0, 0, CHARSET_BINARY, "int64", "int64"},
      {MYSQL_TYPE_LONGLONG, 20, 0, 0, CHARSET_BINARY, "int64", "int64"},
      {MYSQL_TYPE_LONGLONG, 20, 0, UNSIGNED_FLAG, CHARSET_BINARY, "decimal(20,0)", "decimal(20,0)"},
      {MYSQL_TYPE_NEWDECIMAL, 12, 2, 0, CHARSET_BINARY, "decimal(10,2)", "decimal(10,2)"},
      {MYSQL_TYPE_NEWDECIMAL, 11, 2, UNSIGNED_FLAG, CHARSET_BINARY, "decimal(10,2)", "decimal(10,2)"},
      {MYSQL_TYPE_NEWDECIMAL, 40, 9, 0, CHARSET_BINARY, "decimal(38,9)", "decimal(38,9)"},
      {MYSQL_TYPE_NEWDECIMAL, 42, 0, 0, CHARSET_BINARY, "decimal(38,0)", ""},
      {MYSQL_TYPE_NEWDECIMAL, 67, 30, 0, CHARSET_BINARY, "string", ""},
      {MYSQL_TYPE_DOUBLE, 22, 31, 0, CHARSET_BINARY, "float64", "float64"},
      {MYSQL_TYPE_DOUBLE, 10, 2, 0, CHARSET_BINARY, "float64", ""},
      {MYSQL_TYPE_FLOAT, 12, 31, 0, CHARSET_BINARY, "float64", ""},
      {MYSQL_TYPE_BIT, 1, 0, UNSIGNED_FLAG, CHARSET_BINARY, "bool", ""},
      {MYSQL_TYPE_BIT, 63, 0, UNSIGNED_FLAG, CHARSET_BINARY, "int64", ""},
      {MYSQL_TYPE_BIT, 64, 0, UNSIGNED_FLAG, CHARSET_BINARY, "decimal(20,0)", ""},
      {MYSQL_TYPE_DATETIME, 26, 6, 0, CHARSET_BINARY, "timestamp", "timestamp"},
      {MYSQL_TYPE_DATETIME, 19, 0, 0, CHARSET_BINARY, "timestamp", ""},
      {MYSQL_TYPE_STRING, 4, 0, ENUM_FLAG, CHARSET_UTF8MB4, "string", ""},
      {MYSQL_TYPE_STRING, 4, 0, 0, CHARSET_BINARY, "bytes", ""},
      {MYSQL_TYPE_STRING, 4, 0, 0, CHARSET_UTF8MB4, "string", ""},
      {MYSQL_TYPE_VAR_STRING, 4, 0, 0, CHARSET_UTF8MB4, "string", "string"},
      {MYSQL_TYPE_VAR_STRING, 4, 0, 0, CHARSET_BINARY, "bytes", "bytes"},
      {MYSQL_TYPE_BLOB, 4, 0, 0, CHARSET_UTF8MB4, "string", "string"},
      {MYSQL_TYPE_BLOB, 4, 0, 0, CHARSET_BINARY, "bytes", "bytes"},
      {(enum enum_field_types)245, 4, 0, 0, CHARSET_UTF8MB4, "json", "json"},
      {(enum enum_field_types)242, 4, 0, 0, CHARSET_BINARY, "bytes", ""},
      {MYSQL_TYPE_NULL, 0, 0, 0, CHARSET_UTF8MB4, "string", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char reads[24], writes[24] = "";
    const struct my_column column =
        decide(cases[i].type, cases[i].length, cases[i].decimals, cases[i].flags, cases[i].charset);
    (void)dray_type_format(column.type, reads, sizeof reads);
    if (column.written.id != 0) (void)dray_type_format(column.written, writes, sizeof writes);
    if (strcmp(reads, cases[i].reads) != 0 || strcmp(writes, cases[i].writes) != 0) {
      fail_msg("case %zu: read as %s, written as %s", i, reads, writes);
    }
  }
}

static void test_columns_that_make_values_of_nulls_are_known(void **state) {
  (void)state;
  assert_true(decide(MYSQL_TYPE_TIMESTAMP, 26, 6, NOT_NULL_FLAG, CHARSET_BINARY).fills_null);
  assert_false(decide(MYSQL_TYPE_TIMESTAMP, 26, 6, 0, CHARSET_BINARY).fills_null);
  assert_false(decide(MYSQL_TYPE_DATETIME, 26, 6, NOT_NULL_FLAG, CHARSET_BINARY).fills_null);
  assert_true(decide(MYSQL_TYPE_LONGLONG, 20, 0, NOT_NULL_FLAG | AUTO_INCREMENT_FLAG, CHARSET_BINARY).fills_null);
}

static int32_t decode(struct my_column column, const struct my_cell *cell, int zero_is_null, char *out, size_t bytes) {
  const struct dray_column_def def = {"v", column.type, 1};
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dray_view view;
  struct dray_buffer text;
  int32_t full = 0;
  dray_buffer_init(&text, 256);
  assert_ok(dray_schema_make(&def, 1, &schema, &error));
  assert_ok(dray_builder_new(&schema, 0, 0, &builder, &error));
  const int32_t code = my_decode(&column, cell, zero_is_null, builder, 0, &error);
  if (code == DRAY_OK) {
    assert_ok(dray_builder_end_row(builder, &full, &error));
    assert_ok(dray_builder_finish(builder, &array, &error));
    assert_ok(dray_view_init(&view, &schema, &array, &error));
    if (!dray_column_is_null(&view.columns[0], 0)) assert_ok(dray_column_text(&view.columns[0], 0, &text, &error));
    (void)snprintf(out, bytes, "%.*s", (int)text.len, text.len > 0 ? text.data : "");
    dray_view_free(&view);
    dray_array_release(&array);
  }
  dray_buffer_free(&text);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return code;
}

static void test_times_come_in_whole_or_are_refused(void **state) {
  (void)state;
  const struct my_column at = decide(MYSQL_TYPE_DATETIME, 26, 6, 0, CHARSET_BINARY);
  const struct my_column day = decide(MYSQL_TYPE_DATE, 10, 0, 0, CHARSET_BINARY);
  const struct my_column time = decide(MYSQL_TYPE_TIME, 10, 3, 0, CHARSET_BINARY);
  struct my_cell cell = {
      .value.time = {
          .year = 9999, .month = 12, .day = 31, .hour = 23, .minute = 59, .second = 59, .second_part = 999999}};
  char out[80];
  assert_ok(decode(at, &cell, 0, out, sizeof out));
  assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
  cell.value.time = (MYSQL_TIME){.year = 1, .month = 1, .day = 1};
  assert_ok(decode(at, &cell, 0, out, sizeof out));
  assert_string_equal(out, "0001-01-01T00:00:00Z");
  cell.value.time = (MYSQL_TIME){.year = 2024, .month = 2, .day = 29};
  assert_ok(decode(day, &cell, 0, out, sizeof out));
  assert_string_equal(out, "2024-02-29");
  cell.value.time = (MYSQL_TIME){.year = 2023, .month = 2, .day = 29};
  assert_int_equal(decode(day, &cell, 1, out, sizeof out), DRAY_E_DATA_DATE); // no zero in it
  cell.value.time = (MYSQL_TIME){.year = 2024, .month = 2};
  assert_int_equal(decode(day, &cell, 0, out, sizeof out), DRAY_E_DATA_DATE);
  assert_ok(decode(day, &cell, 1, out, sizeof out));
  assert_string_equal(out, "");
  cell.value.time = (MYSQL_TIME){.day = 34, .hour = 22, .minute = 59, .second = 58, .second_part = 999000, .neg = 1};
  assert_ok(decode(time, &cell, 0, out, sizeof out));
  assert_string_equal(out, "-838:59:58.999");
}

// ---- settings ----

static void test_tls_is_verified_unless_the_server_is_this_machine(void **state) {
  (void)state;
  static const struct {
    const char *host, *mode;
  } cases[] = {{"db.example.com", "verify-full"},
               {"localhost", "prefer"},
               {"127.0.0.1", "prefer"},
               {"127.1.2.3", "prefer"},
               {"/run/mysqld/mysqld.sock", "prefer"},
               {"::1", "prefer"},
               {"localhost.evil", "verify-full"},
               {"127.evil.com", "verify-full"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct my_settings settings;
    char json[200];
    (void)snprintf(json, sizeof json, "{\"host\":\"%s\",\"database\":\"d\",\"user\":\"u\"}", cases[i].host);
    assert_ok(my_settings_bind(dray_str_of(json), &settings, &error));
    assert_string_equal(my_settings_sslmode(&settings), cases[i].mode);
    my_settings_release(&settings);
  }
}

static void test_settings_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{\"host\":\"\",\"database\":\"d\",\"user\":\"u\"}", "host"},
      {"{\"host\":\"mysql://h\",\"database\":\"d\",\"user\":\"u\"}", "host"},
      {"{\"host\":\"h\",\"database\":\"\",\"user\":\"u\"}", "database"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslcert\":\"c\"}", "sslcert"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslmode\":\"verify-ca\"}", "sslmode"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"port\":0}", "port"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"zero_dates\":\"keep\"}", "zero_dates"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct my_settings settings;
    assert_int_not_equal(my_settings_bind(dray_str_of(cases[i][0]), &settings, &error), DRAY_OK);
    assert_string_equal(error.field, cases[i][1]);
  }
}

static void test_a_session_is_told_the_timeouts_of_its_server(void **state) {
  (void)state;
  static const char json[] = "{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"statement_timeout_seconds\":7,"
                             "\"lock_timeout_seconds\":9,\"read_only\":true}";
  struct my_settings settings;
  struct dray_buffer sql;
  dray_buffer_init(&sql, 4096);
  assert_ok(my_settings_bind(dray_str_of(json), &settings, &error));
  assert_ok(my_settings_session_sql(&settings, 1, &sql, &error));
  assert_non_null(strstr(sql.data, "max_statement_time = 7"));
  assert_non_null(strstr(sql.data, "innodb_lock_wait_timeout = 9, lock_wait_timeout = 9"));
  assert_non_null(strstr(sql.data + strlen(sql.data) + 1, "READ ONLY"));
  dray_buffer_clear(&sql);
  assert_ok(my_settings_session_sql(&settings, 0, &sql, &error));
  assert_non_null(strstr(sql.data, "max_execution_time = 7000"));
  my_settings_release(&settings);
  dray_buffer_free(&sql);
}

// ---- the README ----

static void put_row(struct dray_buffer *out, const struct my_type *type) {
  const char *writes = type->writes == 0 ? "" : dray_type_name(type->writes);
  assert_ok(dray_buffer_printf(out, &error, "| %s | %s | %s | %s |\n", type->name, dray_type_name(type->reads), writes,
                               type->note));
}

// The README must hold these lines; where it does not, they are printed to be put there.
static void expect_lines(const char *readme, const struct dray_buffer *lines) {
  if (strstr(readme, lines->data) != NULL) return;
  (void)fprintf(stderr, "README.md lacks:\n%s", lines->data);
  fail();
}

static void test_the_table_of_types_is_the_codes(void **state) {
  (void)state;
  static char readme[1 << 16];
  struct dray_buffer expected;
  FILE *file = fopen(DRAY_SOURCE_DIR "/plugins/mysql/README.md", "r");
  assert_non_null(file);
  readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
  (void)fclose(file);
  dray_buffer_init(&expected, sizeof readme);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    const struct dray_str made = my_dialect_type(type, MY_COLLATION_MARIADB, 1);
    const struct dray_str key = my_dialect_key_type(type, MY_COLLATION_MARIADB);
    assert_ok(dray_buffer_printf(&expected, &error, "| %s | %.*s | %.*s |\n", dray_type_name(type), DRAY_STR_ARG(made),
                                 DRAY_STR_ARG(key)));
  }
  expect_lines(readme, &expected);
  dray_buffer_clear(&expected);
  for (size_t i = 0; i < my_type_count; i++) put_row(&expected, &my_types[i]);
  expect_lines(readme, &expected);
  dray_buffer_free(&expected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_lie_as_load_data_takes_them),
      cmocka_unit_test(test_a_line_that_finds_no_memory_says_so),
      cmocka_unit_test(test_parameters_are_the_values),
      cmocka_unit_test(test_columns_are_read_and_written_as_what_they_are),
      cmocka_unit_test(test_columns_that_make_values_of_nulls_are_known),
      cmocka_unit_test(test_times_come_in_whole_or_are_refused),
      cmocka_unit_test(test_tls_is_verified_unless_the_server_is_this_machine),
      cmocka_unit_test(test_settings_that_make_no_sense_are_refused),
      cmocka_unit_test(test_a_session_is_told_the_timeouts_of_its_server),
      cmocka_unit_test(test_the_table_of_types_is_the_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
