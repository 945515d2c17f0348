// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The JSON writer: every value reads back as it was, and nothing it writes is invalid.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/json.h"
#include "torture.h"

static void test_writer_places_commas_and_colons(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, NULL);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "a");
  dray_json_begin_array(&writer);
  dray_json_write_null(&writer);
  dray_json_write_bool(&writer, 1);
  dray_json_write_bool(&writer, 0);
  dray_json_write_int(&writer, INT64_MIN);
  dray_json_begin_object(&writer);
  dray_json_end_object(&writer);
  dray_json_begin_array(&writer);
  dray_json_end_array(&writer);
  dray_json_end_array(&writer);
  dray_json_key_str(&writer, dray_str_of("b\"\n"));
  dray_json_write_raw(&writer, dray_str_of("1.50"));
  dray_json_key(&writer, "");
  dray_json_write_text(&writer, "x");
  dray_json_end_object(&writer);
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_OK);
  assert_string_equal(out.data, "{\"a\":[null,true,false,-9223372036854775808,{},[]],\"b\\\"\\n\":1.50,\"\":\"x\"}");
  dray_buffer_free(&out);
}

static void expect_text(const char *text, size_t len, const char *expected) {
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, NULL);
  dray_json_write_str(&writer, dray_str_make(text, len));
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_OK);
  assert_string_equal(out.data, expected);
  dray_buffer_free(&out);
}

static void test_writer_escapes_what_json_asks_for(void **state) {
  (void)state;
  expect_text("", 0, "\"\"");
  expect_text("\"\\/", 3, "\"\\\"\\\\/\"");
  expect_text("\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\"");
  expect_text("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
  expect_text("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

static void test_writer_never_emits_invalid_utf8(void **state) {
  (void)state;
  expect_text("a\xFFz", 3, "\"a\xEF\xBF\xBDz\"");
  expect_text("\xC3", 1, "\"\xEF\xBF\xBD\"");
  expect_text("\xC0\x80", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  expect_text("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  expect_text("\xE2\x82\"", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\\\"\"");
  expect_text("\x80\xC3\xA9", 3, "\"\xEF\xBF\xBD\xC3\xA9\"");
  expect_text("\xF5\x80\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void test_writer_gives_back_every_byte_string_through_the_reader(void **state) {
  (void)state;
  uint32_t x = 7;
  for (int round = 0; round < 500; round++) {
    char text[24];
    const size_t len = (size_t)round % sizeof(text);
    for (size_t i = 0; i < len; i++) {
      x = x * 1664525 + 1013904223;
      text[i] = (char)((x >> 24) & 0x7F);
    }
    struct dray_buffer out;
    dray_buffer_init(&out, 1000);
    struct dray_json_writer writer;
    dray_json_writer_init(&writer, &out, NULL);
    dray_json_write_str(&writer, dray_str_make(text, len));
    struct dray_json *root = NULL;
    assert_int_equal(dray_json_parse(dray_buffer_view(&out), 1000, &root, NULL), DRAY_OK);
    assert_int_equal(root->text.len, len);
    assert_memory_equal(root->text.data, text, len);
    dray_json_free(root);
    dray_buffer_free(&out);
  }
}

static void test_writer_floats_read_back_as_the_same_value(void **state) {
  (void)state;
  const double values[] = {0.1, 1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, -0.0, 1e15, 123456789012345680.0, 100, -2.5e-7};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    struct dray_buffer out;
    dray_buffer_init(&out, 1000);
    struct dray_json_writer writer;
    dray_json_writer_init(&writer, &out, NULL);
    dray_json_write_float(&writer, values[i]);
    struct dray_json *root = NULL;
    assert_int_equal(dray_json_parse(dray_buffer_view(&out), 1000, &root, NULL), DRAY_OK); // its grammar is JSON's
    const double back = strtod(root->text.data, NULL);
    assert_memory_equal(&back, &values[i], sizeof(back));
    dray_json_free(root);
    dray_buffer_free(&out);
  }
}

static void test_writer_turns_nan_and_infinities_into_null(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, NULL);
  dray_json_begin_array(&writer);
  dray_json_write_float(&writer, (double)NAN);
  dray_json_write_float(&writer, (double)INFINITY);
  dray_json_write_float(&writer, (double)-INFINITY);
  dray_json_end_array(&writer);
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_OK);
  assert_string_equal(out.data, "[null,null,null]");
  dray_buffer_free(&out);
}

static void test_writer_remembers_its_first_failure(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 8);
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, &error);
  dray_json_begin_array(&writer);
  dray_json_write_text(&writer, "too long for that");
  dray_json_write_int(&writer, 1);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "k");
  dray_json_end_object(&writer);
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_E_LIMIT);
  assert_int_equal(error.code, DRAY_E_LIMIT);
  dray_buffer_free(&out);
}

static void test_writer_limits_nesting(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, NULL);
  for (int i = 0; i < DRAY_JSON_DEPTH_MAX; i++) dray_json_begin_array(&writer);
  assert_int_equal(writer.failed, DRAY_OK);
  dray_json_begin_array(&writer);
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_E_LIMIT);
  dray_buffer_free(&out);
}

// One row of one column of every type, values then nulls.
static void fill_columns(struct dray_builder *builder) {
  int32_t full = 0;
  const struct dray_decimal decimal = {UINT64_C(10000000000000000000), 0};
  assert_int_equal(dray_builder_bool(builder, 0, 1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_int64(builder, 1, INT64_C(9007199254740993), NULL), DRAY_OK);
  assert_int_equal(dray_builder_float64(builder, 2, 0.1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_decimal(builder, 3, decimal, NULL), DRAY_OK);
  assert_int_equal(dray_builder_bytes(builder, 4, dray_str_of("a\"b"), NULL), DRAY_OK);
  assert_int_equal(dray_builder_bytes(builder, 5, dray_str_make("\0\xFF!", 3), NULL), DRAY_OK);
  assert_int_equal(dray_builder_date(builder, 6, 19782, NULL), DRAY_OK);
  assert_int_equal(dray_builder_timestamp(builder, 7, INT64_C(1709210096789000), NULL), DRAY_OK);
  assert_int_equal(dray_builder_bytes(builder, 8, dray_str_of("{\"a\":\r\n[1.0]}"), NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, &full, NULL), DRAY_OK);
  for (size_t i = 0; i < 9; i++) assert_int_equal(dray_builder_null(builder, i, NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, &full, NULL), DRAY_OK);
}

static void test_writer_writes_columns_of_every_type(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {
      {"bool", {DRAY_TYPE_BOOL, 0, 0}, 1},     {"int", {DRAY_TYPE_INT64, 0, 0}, 1},
      {"float", {DRAY_TYPE_FLOAT64, 0, 0}, 1}, {"decimal", {DRAY_TYPE_DECIMAL, 38, 2}, 1},
      {"text", {DRAY_TYPE_STRING, 0, 0}, 1},   {"bytes", {DRAY_TYPE_BYTES, 0, 0}, 1},
      {"date", {DRAY_TYPE_DATE, 0, 0}, 1},     {"time", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
      {"json", {DRAY_TYPE_JSON, 0, 0}, 1}};
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct ArrowArray array;
  struct dray_view view;
  assert_int_equal(dray_schema_make(columns, 9, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 100, 1 << 20, &builder, NULL), DRAY_OK);
  fill_columns(builder);
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dray_view_init(&view, &schema, &array, NULL), DRAY_OK);
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, NULL);
  dray_json_begin_array(&writer);
  for (uint64_t row = 0; row < 2; row++) {
    dray_json_begin_array(&writer);
    for (size_t i = 0; i < 9; i++) dray_json_write_column(&writer, &view.columns[i], row);
    dray_json_end_array(&writer);
  }
  dray_json_end_array(&writer);
  assert_int_equal(dray_json_writer_finish(&writer), DRAY_OK);
  assert_string_equal(out.data, "[[true,9007199254740993,0.1,100000000000000000.00,\"a\\\"b\",\"AP8h\",\"2024-02-29\","
                                "\"2024-02-29T12:34:56.789Z\",{\"a\":  [1.0]}],"
                                "[null,null,null,null,null,null,null,null,null]]");
  dray_buffer_free(&out);
  dray_view_free(&view);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static int32_t attempt_write(void *ctx) {
  (void)ctx;
  struct dray_buffer out;
  dray_buffer_init(&out, 10000);
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &out, &error);
  dray_json_begin_array(&writer);
  for (int i = 0; i < 100; i++) dray_json_write_text(&writer, "some \"text\" with \xC3\xA9");
  dray_json_end_array(&writer);
  const int32_t rc = dray_json_writer_finish(&writer);
  dray_buffer_free(&out);
  return rc;
}

static void test_writer_survives_every_failing_allocation(void **state) {
  (void)state;
  assert_true(torture_every(attempt_write, NULL) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_writer_places_commas_and_colons),
      cmocka_unit_test(test_writer_escapes_what_json_asks_for),
      cmocka_unit_test(test_writer_never_emits_invalid_utf8),
      cmocka_unit_test(test_writer_gives_back_every_byte_string_through_the_reader),
      cmocka_unit_test(test_writer_floats_read_back_as_the_same_value),
      cmocka_unit_test(test_writer_turns_nan_and_infinities_into_null),
      cmocka_unit_test(test_writer_remembers_its_first_failure),
      cmocka_unit_test(test_writer_limits_nesting),
      cmocka_unit_test(test_writer_writes_columns_of_every_type),
      cmocka_unit_test(test_writer_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
