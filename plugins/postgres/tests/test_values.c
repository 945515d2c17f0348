// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be known without a server: numerics both ways, rows as COPY takes them, where a statement ends, the
// settings, and that the README's table of types is the code's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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

// ---- numerics ----

static void test_decimals_come_back_as_they_went(void **state) {
  (void)state;
  static const char *const texts[] = {"0",
                                      "1",
                                      "-1",
                                      "9999",
                                      "10000",
                                      "-10000",
                                      "100000000",
                                      "12345678901234567",
                                      "99999999999999999999999999999999999999",
                                      "-18446744073709551616"};
  for (int32_t scale = 0; scale <= 38; scale++) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      struct dray_decimal value, back;
      char wire[PG_NUMERIC_BYTES_MAX];
      assert_ok(dray_parse_decimal(dray_str_of(texts[i]), 38, 0, &value, &error)); // the unscaled digits
      const size_t len = pg_numeric_write(value, scale, wire);
      assert_true(len <= sizeof wire);
      assert_ok(pg_numeric_read(wire, (int32_t)len, (struct dray_type){DRAY_TYPE_DECIMAL, 38, scale}, &back, &error));
      assert_true(back.low == value.low && back.high == value.high);
    }
  }
}

static void test_numerics_are_as_the_manual_has_them(void **state) {
  (void)state;
  char wire[PG_NUMERIC_BYTES_MAX];
  static const char expected[] = "\0\3\0\1\x40\0\0\2\0\1\x09\x29\x11\x94";       // groups 1 2345 4500
  const size_t len = pg_numeric_write(dray_decimal_of_int64(-1234545), 2, wire); // -12345.45
  assert_int_equal(len, sizeof expected - 1);
  assert_memory_equal(wire, expected, len);
  assert_int_equal(pg_numeric_write(dray_decimal_of_int64(0), 9, wire), 8); // zero has no groups
}

static void test_numbers_that_do_not_fit_are_refused(void **state) {
  (void)state;
  struct dray_decimal value;
  const struct dray_type narrow = {DRAY_TYPE_DECIMAL, 4, 2};
  char wire[PG_NUMERIC_BYTES_MAX];
  size_t len = pg_numeric_write(dray_decimal_of_int64(12345), 2, wire);
  assert_int_equal(pg_numeric_read(wire, (int32_t)len, narrow, &value, &error), DRAY_E_DATA_OVERFLOW);
  len = pg_numeric_write(dray_decimal_of_int64(12345), 3, wire);
  assert_int_equal(pg_numeric_read(wire, (int32_t)len, narrow, &value, &error), DRAY_E_DATA_PRECISION);
  static const char nan[] = "\0\0\0\0\xC0\0\0\0", infinity[] = "\0\0\0\0\xD0\0\0\0";
  assert_int_equal(pg_numeric_read(nan, 8, narrow, &value, &error), DRAY_E_DATA_TYPE);
  assert_int_equal(pg_numeric_read(infinity, 8, narrow, &value, &error), DRAY_E_DATA_TYPE);
  static const char huge[] = "\0\1\x7f\xff\0\0\0\0\0\1"; // 10000^32767
  assert_int_equal(pg_numeric_read(huge, 10, narrow, &value, &error), DRAY_E_DATA_OVERFLOW);
  static const char tiny[] = "\0\1\x80\0\0\0\0\0\0\1"; // 10000^-32768
  assert_int_equal(pg_numeric_read(tiny, 10, narrow, &value, &error), DRAY_E_DATA_PRECISION);
  for (int32_t cut = 0; cut < 10; cut++) { // any length but the right one
    assert_int_equal(pg_numeric_read(huge, cut, narrow, &value, &error), DRAY_E_DATA_TYPE);
  }
}

static void test_modifiers_give_precision_and_scale(void **state) {
  (void)state;
  static const struct {
    int32_t modifier, precision, scale;
  } cases[] = {
      {((10 << 16) | 2) + 4, 10, 2},
      {((38 << 16) | 9) + 4, 38, 9},
      {((5 << 16) | (0x800 - 2)) + 4, 7, 0},
      {((2 << 16) | 5) + 4, 5, 5},
      {-1, 0, 0},
      {((39 << 16) | 0) + 4, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct dray_type type = pg_decimal_of(cases[i].modifier);
    assert_int_equal(type.precision, cases[i].precision);
    assert_int_equal(type.scale, cases[i].scale);
  }
}

// ---- rows ----

static void make_batch(struct ArrowSchema *schema, struct ArrowArray *array, struct dray_builder **builder) {
  static const struct dray_column_def defs[] = {
      {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},   {"i", {DRAY_TYPE_INT64, 0, 0}, 1}, {"d", {DRAY_TYPE_DECIMAL, 9, 2}, 1},
      {"s", {DRAY_TYPE_STRING, 0, 0}, 1}, {"j", {DRAY_TYPE_JSON, 0, 0}, 1},  {"t", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
  };
  int32_t full = 0;
  assert_ok(dray_schema_make(defs, 6, schema, &error));
  assert_ok(dray_builder_new(schema, 0, 0, builder, &error));
  assert_ok(dray_builder_bool(*builder, 0, 1, &error));
  assert_ok(dray_builder_int64(*builder, 1, -2, &error));
  assert_ok(dray_builder_decimal(*builder, 2, dray_decimal_of_int64(150), &error));
  assert_ok(dray_builder_bytes(*builder, 3, dray_str_of("ab"), &error));
  assert_ok(dray_builder_bytes(*builder, 4, dray_str_of("{}"), &error));
  assert_ok(dray_builder_timestamp(*builder, 5, 946684800000001, &error)); // 2000-01-01 00:00:00.000001
  assert_ok(dray_builder_end_row(*builder, &full, &error));
  for (size_t i = 0; i < 6; i++) assert_ok(dray_builder_null(*builder, i, &error));
  assert_ok(dray_builder_end_row(*builder, &full, &error));
  assert_ok(dray_builder_finish(*builder, array, &error));
}

static void test_rows_lie_as_copy_takes_them(void **state) {
  (void)state;
  static const char first[] = "\0\6\0\0\0\1\1\0\0\0\4\xff\xff\xff\xfe\0\0\0\x0c\0\2\0\0\0\0\0\2\0\1\x13\x88\0\0\0\2ab"
                              "\0\0\0\3\1{}\0\0\0\x08\0\0\0\0\0\0\0\1";
  static const int wires[] = {PG_WIRE_BOOL, PG_WIRE_INT4,  PG_WIRE_NUMERIC,
                              PG_WIRE_TEXT, PG_WIRE_JSONB, PG_WIRE_TIMESTAMP};
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct pg_encoder encoder;
  struct dray_view view;
  make_batch(&schema, &array, &builder);
  assert_ok(dray_view_init(&view, &schema, &array, &error));
  pg_encoder_init(&encoder);
  for (int again = 0; again < 2; again++) {
    assert_ok(pg_encode(&encoder, &view, wires, &error));
    assert_int_equal(encoder.out.len, sizeof first - 1 + 2 + 6 * 4);
    assert_memory_equal(encoder.out.data, first, sizeof first - 1);
    assert_memory_equal(encoder.out.data + sizeof first - 1, "\0\6\xff\xff\xff\xff\xff\xff\xff\xff", 10);
  }
  pg_encoder_free(&encoder);
  for (int n = 1;; n++) { // each allocation fails once
    pg_encoder_init(&encoder);
    (void)torture_arm((uint64_t)n);
    const int32_t code = pg_encode(&encoder, &view, wires, &error);
    const int failed = torture_arm(0);
    pg_encoder_free(&encoder);
    if (!failed) break;
    assert_int_equal(code, DRAY_E_OUT_OF_MEMORY);
  }
  dray_view_free(&view);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

// ---- statements ----

static void test_a_statement_ends_where_it_ends(void **state) {
  (void)state;
  static const struct {
    const char *sql, *text, *verb;
  } cases[] = {
      {"SELECT 1", "SELECT 1", "select"},
      {" -- a\n/* b /* c */ ; */ (Select 1) ;; -- d", "(Select 1)", "select"},
      {"SELECT ';--', E'\\';', \"a;b\", $q$;/*$q$ ; ", "SELECT ';--', E'\\';', \"a;b\", $q$;/*$q$", "select"},
      {"WITH x AS (SELECT 1) TABLE x;\n", "WITH x AS (SELECT 1) TABLE x", "with"},
      {"SELECT a$1$ FROM t -- e", "SELECT a$1$ FROM t", "select"},
      {"SELECT 'it''s' -- ';\n", "SELECT 'it''s'", "select"},
      {"SELECT 'open", "SELECT 'open", "select"},
      {"SELECT $1 /* open", "SELECT $1", "select"},
      {"SHOW x;", "SHOW x", "show"},
      {"", "", ""},
      {" ; -- nothing", "", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_statement statement;
    pg_scan(dray_str_of(cases[i].sql), &statement);
    if (!dray_str_is(statement.text, cases[i].text)) {
      fail_msg("%s: %.*s", cases[i].sql, DRAY_STR_ARG(statement.text));
    }
    assert_string_equal(statement.verb, cases[i].verb);
    assert_int_equal(pg_statement_selects(&statement),
                     strcmp(cases[i].verb, "select") == 0 || strcmp(cases[i].verb, "with") == 0);
  }
}

// ---- settings ----

static void test_tls_is_verified_unless_the_server_is_this_machine(void **state) {
  (void)state;
  static const struct {
    const char *host, *mode;
  } cases[] = {{"db.example.com", "verify-full"},
               {"localhost", "prefer"},
               {"127.0.0.1", "prefer"},
               {"/run/postgresql", "prefer"},
               {"::1", "prefer"},
               {"127.0.0.1,db", "verify-full"},
               {"localhost.evil", "verify-full"},
               {"127.evil.com", "verify-full"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_settings settings;
    char json[200];
    (void)snprintf(json, sizeof json, "{\"host\":\"%s\",\"database\":\"d\",\"user\":\"u\"}", cases[i].host);
    assert_ok(pg_settings_bind(dray_str_of(json), &settings, &error));
    assert_string_equal(pg_settings_sslmode(&settings), cases[i].mode);
    pg_settings_release(&settings);
  }
}

static void test_settings_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{\"host\":\"\",\"database\":\"d\",\"user\":\"u\"}", "host"},
      {"{\"host\":\"h\",\"database\":\"postgres://x\",\"user\":\"u\"}", "database"},
      {"{\"host\":\"h\",\"database\":\"host=evil\",\"user\":\"u\"}", "database"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslcert\":\"c\"}", "sslcert"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslmode\":\"allow\"}", "sslmode"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"port\":0}", "port"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_settings settings;
    assert_int_not_equal(pg_settings_bind(dray_str_of(cases[i][0]), &settings, &error), DRAY_OK);
    assert_string_equal(error.field, cases[i][1]);
  }
}

// ---- the README ----

static void put_row(struct dray_buffer *out, const struct pg_type *type) {
  const char *writes = type->writes == 0 ? "" : dray_type_name(type->writes);
  assert_ok(dray_buffer_printf(out, &error, "| %s | %s | %s | %s |\n", type->name, dray_type_name(type->reads), writes,
                               type->note));
}

static void test_the_table_of_types_is_the_codes(void **state) {
  (void)state;
  static char readme[1 << 16];
  struct dray_buffer expected;
  FILE *file = fopen(DRAY_SOURCE_DIR "/plugins/postgres/README.md", "r");
  assert_non_null(file);
  readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
  (void)fclose(file);
  dray_buffer_init(&expected, sizeof readme);
  for (size_t i = 0; i < pg_type_count; i++) put_row(&expected, &pg_types[i]);
  if (strstr(readme, expected.data) == NULL) fail_msg("the table of types in README.md is not:\n%s", expected.data);
  dray_buffer_clear(&expected);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    assert_ok(dray_buffer_printf(&expected, &error, "| %s | %.*s |\n", dray_type_name(type),
                                 DRAY_STR_ARG(pg_dialect_types[type])));
  }
  if (strstr(readme, expected.data) == NULL)
    fail_msg("the table of made types in README.md is not:\n%s", expected.data);
  dray_buffer_free(&expected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_decimals_come_back_as_they_went),
      cmocka_unit_test(test_numerics_are_as_the_manual_has_them),
      cmocka_unit_test(test_numbers_that_do_not_fit_are_refused),
      cmocka_unit_test(test_modifiers_give_precision_and_scale),
      cmocka_unit_test(test_rows_lie_as_copy_takes_them),
      cmocka_unit_test(test_a_statement_ends_where_it_ends),
      cmocka_unit_test(test_tls_is_verified_unless_the_server_is_this_machine),
      cmocka_unit_test(test_settings_that_make_no_sense_are_refused),
      cmocka_unit_test(test_the_table_of_types_is_the_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
