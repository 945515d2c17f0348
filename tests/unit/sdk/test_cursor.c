// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Cursors: what is the greatest, how it is kept, from where the next read begins, and which states are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "../torture.h"
#include "dray/sdk/cursor.h"

static struct dray_cursor make(int32_t type, int32_t precision, int32_t scale) {
  struct dray_cursor cursor;
  assert_int_equal(dray_cursor_init(&cursor, dray_str_of("orders"), dray_str_of("c"),
                                    (struct dray_type){type, precision, scale}, NULL),
                   DRAY_OK);
  return cursor;
}

static const char *state_of(struct dray_cursor *cursor) {
  static char text[512];
  struct dray_str state;
  assert_int_equal(dray_cursor_state(cursor, &state, NULL), DRAY_OK);
  (void)snprintf(text, sizeof text, "%.*s", DRAY_STR_ARG(state));
  return text;
}

// Where a read begins that takes up this state.
static const char *begin(int32_t type, int32_t precision, int32_t scale, const char *value, int64_t seconds,
                         int64_t units) {
  static char out[512];
  char state[600];
  struct dray_cursor cursor = make(type, precision, scale);
  struct dray_buffer text;
  int known = 0;
  dray_buffer_init(&text, 256);
  (void)snprintf(state, sizeof state, "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"%s\",\"cursor\":%s}",
                 dray_type_name(type), value);
  assert_int_equal(dray_cursor_resume(&cursor, dray_str_of(state), NULL), DRAY_OK);
  assert_string_equal(state_of(&cursor), state); // nothing is lost on the way
  assert_int_equal(dray_cursor_bound_text(&cursor, (struct dray_cursor_overlap){seconds, units}, &text, &known, NULL),
                   DRAY_OK);
  assert_int_equal(known, 1);
  (void)snprintf(out, sizeof out, "%.*s", DRAY_STR_ARG(dray_buffer_view(&text)));
  dray_buffer_free(&text);
  dray_cursor_free(&cursor);
  return out;
}

static void test_a_read_begins_an_overlap_before_the_greatest_value(void **state) {
  (void)state;
  assert_string_equal(begin(DRAY_TYPE_INT64, 0, 0, "30", 60, 0), "30");
  assert_string_equal(begin(DRAY_TYPE_INT64, 0, 0, "30", 60, 50), "-20");
  assert_string_equal(begin(DRAY_TYPE_INT64, 0, 0, "9223372036854775807", 0, 0), "9223372036854775807");
  assert_string_equal(begin(DRAY_TYPE_FLOAT64, 0, 0, "1.5", 0, 2), "-0.5");
  assert_string_equal(begin(DRAY_TYPE_DECIMAL, 38, 9, "12345678901234567890.123456789", 0, 0),
                      "12345678901234567890.123456789");
  assert_string_equal(begin(DRAY_TYPE_DECIMAL, 10, 2, "-1.25", 0, 10), "-11.25");
  assert_string_equal(begin(DRAY_TYPE_STRING, 0, 0, "\"zé\"", 60, 60), "zé");
  assert_string_equal(begin(DRAY_TYPE_TIMESTAMP, 0, 0, "\"2024-03-01T00:00:30Z\"", 60, 0), "2024-02-29T23:59:30Z");
  assert_string_equal(begin(DRAY_TYPE_TIMESTAMP, 0, 0, "\"2024-03-01T00:00:30.000001Z\"", 0, 9),
                      "2024-03-01T00:00:30.000001Z");
  assert_string_equal(begin(DRAY_TYPE_DATE, 0, 0, "\"2024-03-01\"", 60, 0), "2024-02-29"); // a minute before midnight
  assert_string_equal(begin(DRAY_TYPE_DATE, 0, 0, "\"1969-12-31\"", 0, 0), "1969-12-31");
}

static void test_an_overlap_ends_at_the_least_value_of_the_type(void **state) {
  (void)state;
  assert_string_equal(begin(DRAY_TYPE_INT64, 0, 0, "-9223372036854775800", 0, 100), "-9223372036854775808");
  assert_string_equal(begin(DRAY_TYPE_INT64, 0, 0, "5", 0, INT64_MAX), "-9223372036854775802");
  assert_string_equal(begin(DRAY_TYPE_DECIMAL, 4, 2, "-99.50", 0, 3), "-99.99");
  assert_string_equal(begin(DRAY_TYPE_DECIMAL, 38, 37, "1.0000000000000000000000000000000000000", 0, INT64_MAX),
                      "-9.9999999999999999999999999999999999999");
  assert_string_equal(begin(DRAY_TYPE_TIMESTAMP, 0, 0, "\"0001-01-01T00:00:05Z\"", 60, 0), "0001-01-01T00:00:00Z");
  assert_string_equal(begin(DRAY_TYPE_DATE, 0, 0, "\"2024-03-01\"", INT64_MAX, 0), "0001-01-01");
}

static void test_nothing_is_known_before_a_value_is_seen(void **state) {
  (void)state;
  struct dray_cursor cursor = make(DRAY_TYPE_INT64, 0, 0);
  struct dray_cursor_value from;
  dray_cursor_note_null(&cursor);
  assert_int_equal(cursor.null_count, 1);
  assert_string_equal(state_of(&cursor), "");
  assert_int_equal(dray_cursor_bound(&cursor, (struct dray_cursor_overlap){60, 0}, &from), 0);
  assert_int_equal(dray_cursor_resume(&cursor, dray_str_make(NULL, 0), NULL), DRAY_OK);
  assert_string_equal(state_of(&cursor), "");
  dray_cursor_note_integer(&cursor, INT64_MIN);
  assert_string_equal(state_of(&cursor),
                      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":-9223372036854775808}");
  dray_cursor_free(&cursor);
}

static void test_the_greatest_stays_and_what_has_no_place_is_left_out(void **state) {
  (void)state;
  struct dray_cursor real = make(DRAY_TYPE_FLOAT64, 0, 0), text = make(DRAY_TYPE_STRING, 0, 0);
  struct dray_cursor decimal = make(DRAY_TYPE_DECIMAL, 38, 2);
  static char large[70000];
  memset(large, 'z', sizeof large);
  const double reals[] = {-2, 1e300, NAN, INFINITY, 5};
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) dray_cursor_note_real(&real, reals[i]);
  assert_true(real.value.real >= 1e300 && isfinite(real.value.real));
  const char *const texts[] = {"", "b", "ba", "C", "b"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    assert_int_equal(dray_cursor_note_text(&text, dray_str_of(texts[i]), NULL), DRAY_OK);
  }
  assert_int_equal(dray_cursor_note_text(&text, dray_str_make(large, sizeof large), NULL), DRAY_OK);
  assert_true(dray_str_is(text.value.text, "ba"));
  const struct dray_decimal decimals[] = {{500, 0}, {UINT64_MAX, -1}, {3, 1}, {UINT64_MAX, 0}}; // 5.00, -0.01, ...
  for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) dray_cursor_note_decimal(&decimal, decimals[i]);
  assert_true(decimal.value.decimal.low == 3 && decimal.value.decimal.high == 1);
  dray_cursor_free(&real);
  dray_cursor_free(&text);
  dray_cursor_free(&decimal);
}

// One batch of a column of dates and one of errors.
static void test_columns_of_a_batch_are_noted_without_rows_that_were_spoilt(void **state) {
  (void)state;
  const struct dray_column_def defs[] = {{"c", {DRAY_TYPE_DATE, 0, 0}, 1},
                                         {"_dray_error", {DRAY_TYPE_STRING, 0, 0}, 1}};
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray array = {.release = NULL};
  struct dray_builder *builder = NULL;
  struct dray_view view;
  struct dray_cursor cursor = make(DRAY_TYPE_DATE, 0, 0), other = make(DRAY_TYPE_INT64, 0, 0);
  assert_int_equal(dray_schema_make(defs, 2, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_OK);
  const int32_t days[] = {-1, 5, 3};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(dray_builder_date(builder, 0, days[i], NULL), DRAY_OK);
    assert_int_equal(dray_builder_null(builder, 1, NULL), DRAY_OK);
    assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  }
  assert_int_equal(dray_builder_null(builder, 0, NULL), DRAY_OK); // a null, and a row that could not be read
  assert_int_equal(dray_builder_null(builder, 1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  assert_int_equal(dray_builder_null(builder, 0, NULL), DRAY_OK);
  assert_int_equal(dray_builder_bytes(builder, 1, dray_str_of("data_date: no"), NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dray_view_init(&view, &schema, &array, NULL), DRAY_OK);
  assert_int_equal(dray_cursor_note_column(&cursor, &view.columns[0], &view.columns[1], view.row_count, NULL), DRAY_OK);
  assert_int_equal(cursor.null_count, 1);
  assert_string_equal(state_of(&cursor),
                      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"date\",\"cursor\":\"1970-01-06\"}");
  assert_int_equal(dray_cursor_note_column(&other, &view.columns[0], NULL, view.row_count, NULL),
                   DRAY_E_PLUGIN_CONTRACT);
  dray_view_free(&view);
  array.release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  dray_cursor_free(&cursor);
  dray_cursor_free(&other);
}

static void test_states_of_others_and_types_without_order_are_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "x",
      "[]",
      "{}",
      "{\"stream\":\"other\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":1}",
      "{\"stream\":\"orders\",\"column\":\"d\",\"type\":\"int64\",\"cursor\":1}",
      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"string\",\"cursor\":1}",
      "{\"stream\":\"orders\",\"column\":\"c\",\"cursor\":1}",
      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":\"1\"}",
      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":1.5}",
      "{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":null}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct dray_cursor cursor = make(DRAY_TYPE_INT64, 0, 0);
    struct dray_error error;
    dray_error_init(&error);
    if (dray_cursor_resume(&cursor, dray_str_of(bad[i]), &error) != DRAY_E_STATE_CHECKPOINT) fail_msg("%s", bad[i]);
    assert_int_equal(error.error_class, DRAY_CLASS_STATE);
    dray_cursor_free(&cursor);
  }
  const int32_t unordered[] = {DRAY_TYPE_BOOL, DRAY_TYPE_BYTES, DRAY_TYPE_JSON};
  for (size_t i = 0; i < 3; i++) {
    struct dray_cursor cursor;
    assert_int_equal(dray_cursor_init(&cursor, dray_str_of("orders"), dray_str_of("c"),
                                      (struct dray_type){unordered[i], 0, 0}, NULL),
                     DRAY_E_SCHEMA_COLUMN);
    dray_cursor_free(&cursor);
  }
}

static int32_t live(void *ctx) {
  (void)ctx;
  struct dray_cursor cursor;
  struct dray_str out;
  int32_t code = dray_cursor_init(&cursor, dray_str_of("orders"), dray_str_of("c"),
                                  (struct dray_type){DRAY_TYPE_STRING, 0, 0}, NULL);
  if (code == DRAY_OK) {
    code = dray_cursor_resume(
        &cursor, dray_str_of("{\"stream\":\"orders\",\"column\":\"c\",\"type\":\"string\",\"cursor\":\"a\"}"), NULL);
  }
  static char longer[300];
  memset(longer, 'b', sizeof longer);
  if (code == DRAY_OK) code = dray_cursor_note_text(&cursor, dray_str_make(longer, sizeof longer), NULL);
  if (code == DRAY_OK) code = dray_cursor_state(&cursor, &out, NULL);
  if (code != DRAY_OK && cursor.known) assert_true(cursor.value.text.len == 1 || cursor.value.text.len == 300);
  dray_cursor_free(&cursor);
  return code;
}

static void test_every_failing_allocation_is_an_error(void **state) {
  (void)state;
  assert_true(torture_every(live, NULL) > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_read_begins_an_overlap_before_the_greatest_value),
      cmocka_unit_test(test_an_overlap_ends_at_the_least_value_of_the_type),
      cmocka_unit_test(test_nothing_is_known_before_a_value_is_seen),
      cmocka_unit_test(test_the_greatest_stays_and_what_has_no_place_is_left_out),
      cmocka_unit_test(test_columns_of_a_batch_are_noted_without_rows_that_were_spoilt),
      cmocka_unit_test(test_states_of_others_and_types_without_order_are_refused),
      cmocka_unit_test(test_every_failing_allocation_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
