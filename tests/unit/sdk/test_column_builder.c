// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The builder: what was appended is what the batch holds, whatever failed, was abandoned or left out in between.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/column.h"
#include "torture.h"

enum { B, I, F, D, S, Z, T, U, J, COLUMNS };
static const struct dray_column_def all_types[] = {
    [B] = {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},    [I] = {"i", {DRAY_TYPE_INT64, 0, 0}, 1},
    [F] = {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1}, [D] = {"d", {DRAY_TYPE_DECIMAL, 10, 2}, 1},
    [S] = {"s", {DRAY_TYPE_STRING, 0, 0}, 1},  [Z] = {"z", {DRAY_TYPE_BYTES, 0, 0}, 1},
    [T] = {"t", {DRAY_TYPE_DATE, 0, 0}, 1},    [U] = {"u", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    [J] = {"j", {DRAY_TYPE_JSON, 0, 0}, 1},
};

struct fixture {
  struct ArrowSchema schema;
  struct dray_builder *builder;
};

static void begin(struct fixture *fixture, const struct dray_column_def *columns, size_t count, uint64_t rows_max,
                  uint64_t bytes_max) {
  assert_int_equal(dray_schema_make(columns, count, &fixture->schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&fixture->schema, rows_max, bytes_max, &fixture->builder, NULL), DRAY_OK);
}

static void end(struct fixture *fixture) {
  dray_builder_free(fixture->builder);
  dray_schema_release(&fixture->schema);
}

static void end_row(struct fixture *fixture) {
  int32_t full = 0;
  assert_int_equal(dray_builder_end_row(fixture->builder, &full, NULL), DRAY_OK);
}

static void finish(struct fixture *fixture, struct ArrowArray *array, struct dray_view *view) {
  assert_int_equal(dray_builder_finish(fixture->builder, array, NULL), DRAY_OK);
  assert_non_null(array->release);
  assert_int_equal(dray_view_init(view, &fixture->schema, array, NULL), DRAY_OK);
}

static void let_go(struct ArrowArray *array, struct dray_view *view) {
  dray_view_free(view);
  dray_array_release(array);
  assert_null(array->release);
}

// Row `i` of a batch with every kind of value; every third value is null.
static int32_t append_row(struct dray_builder *builder, uint64_t i) {
  char text[64];
  const int len = snprintf(text, sizeof text, "text %llu \xc3\xa9", (unsigned long long)i);
  const struct dray_str value = dray_str_make(text, (uint64_t)len);
  const struct dray_decimal decimal = dray_decimal_of_int64((int64_t)i - 50);
  for (size_t c = 0; c < COLUMNS; c++) {
    if ((i + c) % 3 != 0) continue;
    DRAY_TRY(dray_builder_null(builder, c, NULL));
  }
#define APPEND(column, call)                                                                                           \
  if ((i + (column)) % 3 != 0) DRAY_TRY(call)
  APPEND(B, dray_builder_bool(builder, B, i % 2 == 0, NULL));
  APPEND(I, dray_builder_int64(builder, I, (int64_t)i * -3, NULL));
  APPEND(F, dray_builder_float64(builder, F, (double)i / 4, NULL));
  APPEND(D, dray_builder_decimal(builder, D, decimal, NULL));
  APPEND(S, dray_builder_bytes(builder, S, value, NULL));
  APPEND(Z, dray_builder_bytes(builder, Z, dray_str_make("\0\xff", i % 3), NULL));
  APPEND(T, dray_builder_date(builder, T, (int32_t)i, NULL));
  APPEND(U, dray_builder_timestamp(builder, U, -(int64_t)i, NULL));
  APPEND(J, dray_builder_bytes(builder, J, dray_str_of("{\"a\":1}"), NULL));
#undef APPEND
  return DRAY_OK;
}

static void expect_row(const struct dray_view *view, uint64_t row, uint64_t i) {
  char text[64];
  const struct dray_column_view *c = view->columns;
  for (size_t k = 0; k < COLUMNS; k++) assert_int_equal(dray_column_is_null(&c[k], row), (i + k) % 3 == 0);
  if ((i + B) % 3 != 0) assert_int_equal(dray_column_bool(&c[B], row), i % 2 == 0);
  if ((i + I) % 3 != 0) assert_true(dray_column_int64(&c[I], row) == (int64_t)i * -3);
  if ((i + F) % 3 != 0) assert_true(dray_column_float64(&c[F], row) == (double)i / 4);
  if ((i + D) % 3 != 0) assert_true((int64_t)dray_column_decimal(&c[D], row).low == (int64_t)i - 50);
  if ((i + T) % 3 != 0) assert_int_equal(dray_column_date(&c[T], row), i);
  if ((i + U) % 3 != 0) assert_true(dray_column_int64(&c[U], row) == -(int64_t)i);
  (void)snprintf(text, sizeof text, "text %llu \xc3\xa9", (unsigned long long)i);
  if ((i + S) % 3 != 0) assert_true(dray_str_is(dray_column_bytes(&c[S], row), text));
  if ((i + Z) % 3 != 0) {
    assert_true(dray_str_equal(dray_column_bytes(&c[Z], row), dray_str_make("\0\xff", i % 3)));
  }
  if ((i + J) % 3 != 0) assert_true(dray_str_is(dray_column_bytes(&c[J], row), "{\"a\":1}"));
}

static void test_builder_gives_back_what_was_appended(void **state) {
  (void)state;
  struct fixture fixture;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  for (int batch = 0; batch < 3; batch++) { // the second and third begin with what the first taught
    struct ArrowArray array;
    struct dray_view view;
    for (uint64_t i = 0; i < 1000; i++) {
      assert_int_equal(append_row(fixture.builder, i), DRAY_OK);
      end_row(&fixture);
    }
    assert_int_equal(dray_builder_rows(fixture.builder), 1000);
    finish(&fixture, &array, &view);
    assert_int_equal(dray_builder_rows(fixture.builder), 0);
    assert_int_equal(view.row_count, 1000);
    for (uint64_t i = 0; i < 1000; i++) expect_row(&view, i, i);
    let_go(&array, &view);
  }
  end(&fixture);
}

static void test_builder_without_nulls_has_no_bitmap(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, &all_types[I], 1, 0, 0);
  for (int64_t i = 0; i < 100; i++) {
    assert_int_equal(dray_builder_int64(fixture.builder, 0, i, NULL), DRAY_OK);
    end_row(&fixture);
  }
  finish(&fixture, &array, &view);
  assert_int_equal(array.children[0]->null_count, 0);
  assert_null(array.children[0]->buffers[0]);
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_left_out_columns_are_null(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  for (int64_t i = 0; i < 20; i++) {
    if (i % 2 == 0) assert_int_equal(dray_builder_int64(fixture.builder, I, i, NULL), DRAY_OK);
    end_row(&fixture);
  }
  finish(&fixture, &array, &view);
  for (uint64_t i = 0; i < 20; i++) {
    for (size_t c = 0; c < COLUMNS; c++) {
      assert_int_equal(dray_column_is_null(&view.columns[c], i), c != I || i % 2 != 0);
      assert_false(dray_view_absent(&view, c, i));
    }
  }
  assert_int_equal(array.children[S]->null_count, 20);
  let_go(&array, &view);
  end(&fixture);
}

// The reserved column stands in the middle: bits of _dray_absent count data columns only.
static const struct dray_column_def with_absent[] = {
    {"a", {DRAY_TYPE_INT64, 0, 0}, 1},
    {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1},
    {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1},
    {"b", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"c", {DRAY_TYPE_DATE, 0, 0}, 1},
};

static void test_builder_left_out_columns_are_absent_where_the_schema_can_say_so(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, with_absent, 5, 0, 0);
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 1, NULL), DRAY_OK); // row 0: b null, c absent
  assert_int_equal(dray_builder_null(fixture.builder, 3, NULL), DRAY_OK);
  end_row(&fixture);
  assert_int_equal(dray_builder_null(fixture.builder, 0, NULL), DRAY_OK); // row 1: nothing absent
  assert_int_equal(dray_builder_bytes(fixture.builder, 3, dray_str_of(""), NULL), DRAY_OK);
  assert_int_equal(dray_builder_date(fixture.builder, 4, 5, NULL), DRAY_OK);
  end_row(&fixture);
  end_row(&fixture); // row 2: everything absent
  finish(&fixture, &array, &view);
  assert_int_equal(view.absent_column, 2);
  static const int absent[3][5] = {{0, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {1, 0, 0, 1, 1}};
  static const int null[3][5] = {{0, 1, 0, 1, 1}, {1, 1, 1, 0, 0}, {1, 1, 0, 1, 1}};
  for (size_t row = 0; row < 3; row++) {
    for (size_t c = 0; c < 5; c++) {
      assert_int_equal(dray_view_absent(&view, c, row), absent[row][c]);
      assert_int_equal(dray_column_is_null(&view.columns[c], row), null[row][c]);
    }
  }
  const struct dray_str bits = dray_column_bytes(&view.columns[2], 0);
  assert_int_equal(bits.len, 1);
  assert_int_equal(bits.data[0], 4); // "c" is the third data column
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_keeps_absent_bits_it_is_given(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, with_absent, 5, 0, 0);
  assert_int_equal(dray_builder_bytes(fixture.builder, 2, dray_str_make("\x02", 1), NULL), DRAY_OK);
  assert_int_equal(dray_builder_bytes(fixture.builder, 2, dray_str_make("\x02", 1), NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_null(fixture.builder, 3, NULL), DRAY_OK);
  end_row(&fixture);
  assert_int_equal(dray_builder_bytes(fixture.builder, 2, dray_str_make("\x02\x01", 2), NULL), DRAY_E_DATA_TYPE);
  finish(&fixture, &array, &view);
  assert_false(dray_view_absent(&view, 0, 0));
  assert_true(dray_view_absent(&view, 3, 0)); // given
  assert_true(dray_view_absent(&view, 4, 0)); // left out
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_abandoned_row_leaves_no_trace(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  for (uint64_t i = 0; i < 200; i++) {
    for (uint64_t other = i + 1; other < i + 4; other++) { // values where row i has nulls, and the other way round
      assert_int_equal(append_row(fixture.builder, other), DRAY_OK);
      dray_builder_abandon_row(fixture.builder);
    }
    dray_builder_abandon_row(fixture.builder); // nothing to abandon
    assert_int_equal(append_row(fixture.builder, i), DRAY_OK);
    end_row(&fixture);
  }
  finish(&fixture, &array, &view);
  assert_int_equal(view.row_count, 200);
  for (uint64_t i = 0; i < 200; i++) expect_row(&view, i, i);
  for (size_t c = 0; c < COLUMNS; c++) {
    int64_t nulls = 0;
    for (uint64_t i = 0; i < 200; i++) nulls += dray_column_is_null(&view.columns[c], i);
    assert_int_equal(array.children[c]->null_count, nulls);
  }
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_abandoned_absent_bits_do_not_leak_into_the_next_row(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, with_absent, 5, 0, 0);
  assert_int_equal(dray_builder_bytes(fixture.builder, 2, dray_str_make("\x07", 1), NULL), DRAY_OK);
  dray_builder_abandon_row(fixture.builder);
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_null(fixture.builder, 3, NULL), DRAY_OK);
  assert_int_equal(dray_builder_null(fixture.builder, 4, NULL), DRAY_OK);
  end_row(&fixture);
  finish(&fixture, &array, &view);
  for (size_t c = 0; c < 5; c++) assert_false(dray_view_absent(&view, c, 0));
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_bad_row_has_its_reason_and_nulls_that_are_not_absent(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  int32_t full = 0;
  begin(&fixture, with_absent, 5, 1, 0);
  assert_int_equal(dray_builder_bytes(fixture.builder, 3, dray_str_of("spoiled"), NULL), DRAY_OK);
  dray_builder_abandon_row(fixture.builder);
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 7, NULL), DRAY_OK); // what the row is to keep
  assert_int_equal(dray_builder_end_bad_row(fixture.builder, 1, dray_str_of("why"), &full, NULL), DRAY_OK);
  assert_int_equal(full, 1);
  finish(&fixture, &array, &view);
  assert_int_equal(view.row_count, 1);
  assert_int_equal(dray_column_int64(&view.columns[0], 0), 7);
  assert_true(dray_str_is(dray_column_bytes(&view.columns[1], 0), "why"));
  for (size_t c = 3; c < 5; c++) assert_true(dray_column_is_null(&view.columns[c], 0));
  for (size_t c = 0; c < 5; c++) assert_false(dray_view_absent(&view, c, 0));
  let_go(&array, &view);
  end(&fixture);
}

static const struct dray_column_def with_error[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"day", {DRAY_TYPE_DATE, 0, 0}, 1},
    {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1},
    {"note", {DRAY_TYPE_STRING, 0, 0}, 1},
};

static void misfit(struct fixture *fixture, size_t column, int32_t code, const char *text) {
  struct dray_error why;
  dray_error_init(&why);
  (void)dray_fail(&why, code, "%s", text);
  assert_int_equal(dray_builder_misfit(fixture->builder, column, &why, NULL), DRAY_OK);
}

static void test_builder_misfit_keeps_what_fits_and_tells_the_first_that_does_not(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, with_error, 4, 0, 0);
  misfit(&fixture, 1, DRAY_E_DATA_DATE, "31 February");
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 7, NULL), DRAY_OK);
  misfit(&fixture, 3, DRAY_E_DATA_UTF8, "no text");
  end_row(&fixture);
  assert_int_equal(dray_builder_int64(fixture.builder, 0, 8, NULL), DRAY_OK);
  end_row(&fixture); // good: the reason was that of the row before
  misfit(&fixture, 1, DRAY_E_DATA_DATE, "cut \xC3");
  end_row(&fixture);
  misfit(&fixture, 1, DRAY_E_DATA_DATE, "forgotten");
  dray_builder_abandon_row(fixture.builder);
  end_row(&fixture);
  finish(&fixture, &array, &view);
  assert_int_equal(view.row_count, 4);
  assert_int_equal(dray_column_int64(&view.columns[0], 0), 7);
  assert_true(dray_column_is_null(&view.columns[1], 0));
  assert_true(dray_column_is_null(&view.columns[3], 0));
  assert_true(dray_str_is(dray_column_bytes(&view.columns[2], 0), "data_date: column 'day': 31 February"));
  assert_true(dray_column_is_null(&view.columns[2], 1));
  assert_true(dray_str_is(dray_column_bytes(&view.columns[2], 2), "data_date: column 'day': cut ?"));
  assert_true(dray_column_is_null(&view.columns[2], 3));
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_misfit_is_no_row_where_the_wire_is_to_blame_or_nothing_can_say_it(void **state) {
  (void)state;
  struct fixture fixture;
  struct dray_error why, told;
  begin(&fixture, with_error, 4, 0, 0);
  dray_error_init(&why);
  dray_error_init(&told);
  (void)dray_fail(&why, DRAY_E_NET_CLOSED, "the wire");
  assert_int_equal(dray_builder_misfit(fixture.builder, 1, &why, &told), DRAY_E_NET_CLOSED);
  assert_string_equal(told.text, "the wire");
  (void)dray_fail(&why, DRAY_E_DATA_DATE, "31 February");
  assert_int_equal(dray_builder_misfit(fixture.builder, 4, &why, &told), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_misfit(fixture.builder, 1, &why, NULL), DRAY_OK);
  assert_int_equal(dray_builder_misfit(fixture.builder, 1, &why, &told), DRAY_E_PLUGIN_CONTRACT); // has its null
  assert_int_equal(dray_builder_null(fixture.builder, 2, NULL), DRAY_OK); // the builder's own to write
  assert_int_equal(dray_builder_end_row(fixture.builder, NULL, &told), DRAY_E_PLUGIN_CONTRACT);
  end(&fixture);
  begin(&fixture, with_error, 2, 0, 0);
  assert_int_equal(dray_builder_misfit(fixture.builder, 1, &why, &told), DRAY_E_DATA_DATE);
  assert_string_equal(told.text, "31 February");
  end(&fixture);
}

static void test_builder_failed_append_changes_nothing(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  struct dray_error error;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  struct dray_builder *b = fixture.builder;
  dray_error_init(&error);
  assert_int_equal(dray_builder_bytes(b, S, dray_str_of("bad \xff"), &error), DRAY_E_DATA_UTF8);
  assert_string_equal(error.field, "s");
  assert_int_equal(dray_builder_bytes(b, S, dray_str_make("a\0b", 3), NULL), DRAY_E_DATA_UTF8);
  assert_int_equal(dray_builder_bytes(b, J, dray_str_of("\"\xc3\""), NULL), DRAY_E_DATA_UTF8);
  assert_int_equal(dray_builder_decimal(b, D, dray_decimal_of_int64(10000000000), NULL), DRAY_E_DATA_OVERFLOW);
  assert_int_equal(dray_builder_date(b, T, DRAY_DATE_MAX + 1, NULL), DRAY_E_DATA_DATE);
  assert_int_equal(dray_builder_timestamp(b, U, DRAY_TIMESTAMP_MIN - 1, NULL), DRAY_E_DATA_DATE);
  assert_int_equal(dray_builder_int64(b, F, 1, NULL), DRAY_E_DATA_TYPE);
  assert_int_equal(dray_builder_text(b, I, dray_str_of("12.5"), NULL), DRAY_E_DATA_TYPE);
  assert_int_equal(dray_builder_text(b, D, dray_str_of("1.234"), NULL), DRAY_E_DATA_PRECISION);
  assert_int_equal(dray_builder_text(b, J, dray_str_of("oops"), NULL), DRAY_E_DATA_JSON);
  assert_int_equal(append_row(b, 1), DRAY_OK); // every column still takes its value
  end_row(&fixture);
  finish(&fixture, &array, &view);
  assert_int_equal(view.row_count, 1);
  expect_row(&view, 0, 1);
  let_go(&array, &view);
  end(&fixture);
}

// One byte that does not belong, at every place of texts of every length up to where they are looked at otherwise: it
// is refused in texts, taken in bytes, and what comes in its place is what the row holds.
static void test_builder_looks_at_every_byte_of_a_text(void **state) {
  (void)state;
  static const char odd[] = {'\0', '\x80', '\xff', '\xc3', '\x7f', '\x01'}; // the last two belong
  static const size_t readables[] = {0, 7, 64, 15};
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  uint64_t row = 0;
  begin(&fixture, &all_types[S], 2, 0, 0); // s, z
  for (size_t len = 1; len <= 80; len++) {
    const size_t readable = len + readables[len % 4];
    char *text = malloc(readable); // exactly: nothing is to be read behind it
    assert_non_null(text);
    memset(text, '\xff', readable); // what lies behind the text is not looked at
    const struct dray_str value = dray_str_make(text, len);
    for (size_t at = 0; at < len; at++) {
      for (size_t k = 0; k < sizeof odd; k++) {
        memset(text, 'a', len);
        text[at] = odd[k];
        const int32_t code = dray_builder_bytes_within(fixture.builder, 0, value, readable, NULL);
        assert_int_equal(code, k < 4 ? DRAY_E_DATA_UTF8 : DRAY_OK);
        assert_int_equal(dray_builder_bytes_within(fixture.builder, 1, value, readable, NULL), DRAY_OK);
        dray_builder_abandon_row(fixture.builder);
      }
    }
    memset(text, (int)('a' + len % 26), len);
    if (len >= 2) memcpy(text, "\xc3\xa9", 2);
    assert_int_equal(dray_builder_bytes_within(fixture.builder, 0, value, readable, NULL), DRAY_OK);
    assert_int_equal(dray_builder_bytes(fixture.builder, 1, value, NULL), DRAY_OK);
    end_row(&fixture);
    free(text);
  }
  finish(&fixture, &array, &view);
  for (size_t len = 1; len <= 80; len++, row++) {
    char text[80];
    memset(text, (int)('a' + len % 26), len);
    if (len >= 2) memcpy(text, "\xc3\xa9", 2);
    for (size_t c = 0; c < 2; c++) {
      assert_true(dray_str_equal(dray_column_bytes(&view.columns[c], row), dray_str_make(text, len)));
    }
  }
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_refuses_what_only_a_bug_can_do(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  assert_int_equal(dray_builder_int64(fixture.builder, I, 1, NULL), DRAY_OK);
  assert_int_equal(dray_builder_int64(fixture.builder, I, 2, NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_null(fixture.builder, I, NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_int64(fixture.builder, COLUMNS, 2, NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_text(fixture.builder, COLUMNS, dray_str_of(""), NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dray_builder_finish(fixture.builder, &array, NULL), DRAY_E_PLUGIN_CONTRACT);
  end_row(&fixture);
  assert_int_equal(dray_builder_finish(fixture.builder, &array, NULL), DRAY_OK);
  assert_int_equal(array.length, 1);
  assert_true(((const int64_t *)array.children[I]->buffers[1])[0] == 1);
  dray_array_release(&array);
  assert_int_equal(dray_builder_finish(fixture.builder, &array, NULL), DRAY_OK);
  assert_null(array.release); // no rows, no batch
  end(&fixture);
}

static void test_builder_refuses_schemas_it_cannot_fill(void **state) {
  (void)state;
  struct ArrowSchema schema, column;
  struct dray_builder *builder = NULL;
  assert_int_equal(dray_schema_make(all_types, COLUMNS, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_schema_copy(schema.children[0], &column, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&column, 0, 0, &builder, NULL), DRAY_E_SCHEMA_TYPE);
  schema.children[I]->format = "i";
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_E_SCHEMA_TYPE);
  dray_schema_release(&schema);
  const struct dray_column_def absent = {DRAY_COLUMN_ABSENT, {DRAY_TYPE_STRING, 0, 0}, 1};
  assert_int_equal(dray_schema_make(&absent, 1, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_E_SCHEMA_TYPE);
  assert_null(builder);
  dray_schema_release(&schema);
  dray_schema_release(&column);
}

static void test_builder_text_reads_as_the_columns_type(void **state) {
  (void)state;
  static const char *const texts[COLUMNS] = {"yes",
                                             "-12",
                                             "2.50",
                                             "12.3",
                                             " as it is ",
                                             "AP8=",
                                             "2024-02-29",
                                             "2024-02-29 12:00:00+01:00",
                                             "{ \"a\" : [1, 2.50] }"};
  static const char *const expected[COLUMNS] = {
      "true", "-12", "2.5", "12.30", " as it is ", "AP8=", "2024-02-29", "2024-02-29T11:00:00Z", "{\"a\":[1,2.50]}"};
  struct fixture fixture;
  struct ArrowArray array;
  struct dray_view view;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  for (size_t c = 0; c < COLUMNS; c++) {
    assert_int_equal(dray_builder_text(fixture.builder, c, dray_str_of(texts[c]), NULL), DRAY_OK);
  }
  end_row(&fixture);
  finish(&fixture, &array, &view);
  for (size_t c = 0; c < COLUMNS; c++) {
    struct dray_buffer out;
    dray_buffer_init(&out, 1000);
    assert_int_equal(dray_column_text(&view.columns[c], 0, &out, NULL), DRAY_OK);
    assert_true(dray_str_is(dray_buffer_view(&out), expected[c]));
    dray_buffer_free(&out);
  }
  let_go(&array, &view);
  end(&fixture);
}

static void test_builder_says_when_a_bound_is_reached(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array;
  int32_t full = -1;
  begin(&fixture, &all_types[I], 1, 3, 0);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(dray_builder_int64(fixture.builder, 0, i, NULL), DRAY_OK);
    assert_int_equal(dray_builder_end_row(fixture.builder, &full, NULL), DRAY_OK);
    assert_int_equal(full, i == 2);
  }
  assert_int_equal(dray_builder_finish(fixture.builder, &array, NULL), DRAY_OK);
  dray_array_release(&array);
  end_row(&fixture);
  end(&fixture);
  begin(&fixture, &all_types[S], 1, 0, 100);
  for (int i = 0; i < 4; i++) { // 4 * (20 + 4) < 100 <= 5 * (20 + 4)
    assert_int_equal(dray_builder_bytes(fixture.builder, 0, dray_str_of("12345678901234567890"), NULL), DRAY_OK);
    if (i % 2) dray_builder_abandon_row(fixture.builder); // what is abandoned does not count
    assert_int_equal(dray_builder_end_row(fixture.builder, &full, NULL), DRAY_OK);
    assert_int_equal(full, 0);
  }
  for (int i = 0; i < 2; i++) {
    assert_int_equal(dray_builder_bytes(fixture.builder, 0, dray_str_of("12345678901234567890"), NULL), DRAY_OK);
    assert_int_equal(dray_builder_end_row(fixture.builder, &full, NULL), DRAY_OK);
  }
  assert_int_equal(full, 0);
  assert_int_equal(dray_builder_bytes(fixture.builder, 0, dray_str_of("12345678901234567890"), NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(fixture.builder, &full, NULL), DRAY_OK);
  assert_int_equal(full, 1);
  end(&fixture);
}

static void test_builder_batch_outlives_the_builder_and_its_parts_each_other(void **state) {
  (void)state;
  struct fixture fixture;
  struct ArrowArray array, child;
  begin(&fixture, all_types, COLUMNS, 0, 0);
  assert_int_equal(append_row(fixture.builder, 1), DRAY_OK);
  end_row(&fixture);
  assert_int_equal(dray_builder_finish(fixture.builder, &array, NULL), DRAY_OK);
  end(&fixture);
  child = *array.children[I];
  array.children[I]->release = NULL;
  dray_array_release(&array);
  assert_true(((const int64_t *)child.buffers[1])[0] == -3);
  dray_array_release(&child);
  assert_null(child.release);
}

static int32_t build_all(void *ctx) {
  struct ArrowSchema *schema = ctx;
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {.release = NULL};
  int32_t code = dray_builder_new(schema, 0, 0, &builder, NULL);
  for (uint64_t i = 0; i < 40 && code == DRAY_OK; i++) {
    code = append_row(builder, i);
    if (code == DRAY_OK) code = dray_builder_end_row(builder, NULL, NULL);
  }
  if (code == DRAY_OK) code = dray_builder_text(builder, J, dray_str_of("[1, 2]"), NULL);
  if (code == DRAY_OK) code = dray_builder_end_row(builder, NULL, NULL);
  if (code == DRAY_OK) code = dray_builder_finish(builder, &array, NULL);
  dray_array_release(&array);
  dray_builder_free(builder);
  return code;
}

static void test_builder_survives_every_failed_allocation(void **state) {
  (void)state;
  struct ArrowSchema schema;
  assert_int_equal(dray_schema_make(all_types, COLUMNS, &schema, NULL), DRAY_OK);
  assert_true(torture_every(build_all, &schema) > 40);
  dray_schema_release(&schema);
}

// A failed allocation in the middle costs the append, not the batch: the caller tries again and loses nothing.
static void test_builder_goes_on_after_memory_was_short(void **state) {
  (void)state;
  for (uint64_t n = 1; n < 60; n++) {
    struct fixture fixture;
    struct ArrowArray array = {.release = NULL};
    struct dray_view view;
    begin(&fixture, all_types, COLUMNS, 0, 0);
    torture_arm(n);
    for (uint64_t i = 0; i < 30; i++) {
      while (append_row(fixture.builder, i) != DRAY_OK) dray_builder_abandon_row(fixture.builder);
      while (dray_builder_end_row(fixture.builder, NULL, NULL) != DRAY_OK) continue;
    }
    while (dray_builder_finish(fixture.builder, &array, NULL) != DRAY_OK) continue;
    torture_arm(0);
    assert_int_equal(dray_view_init(&view, &fixture.schema, &array, NULL), DRAY_OK);
    assert_int_equal(view.row_count, 30);
    for (uint64_t i = 0; i < 30; i++) expect_row(&view, i, i);
    let_go(&array, &view);
    end(&fixture);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_builder_gives_back_what_was_appended),
      cmocka_unit_test(test_builder_without_nulls_has_no_bitmap),
      cmocka_unit_test(test_builder_left_out_columns_are_null),
      cmocka_unit_test(test_builder_left_out_columns_are_absent_where_the_schema_can_say_so),
      cmocka_unit_test(test_builder_keeps_absent_bits_it_is_given),
      cmocka_unit_test(test_builder_abandoned_row_leaves_no_trace),
      cmocka_unit_test(test_builder_abandoned_absent_bits_do_not_leak_into_the_next_row),
      cmocka_unit_test(test_builder_bad_row_has_its_reason_and_nulls_that_are_not_absent),
      cmocka_unit_test(test_builder_misfit_keeps_what_fits_and_tells_the_first_that_does_not),
      cmocka_unit_test(test_builder_misfit_is_no_row_where_the_wire_is_to_blame_or_nothing_can_say_it),
      cmocka_unit_test(test_builder_failed_append_changes_nothing),
      cmocka_unit_test(test_builder_looks_at_every_byte_of_a_text),
      cmocka_unit_test(test_builder_refuses_what_only_a_bug_can_do),
      cmocka_unit_test(test_builder_refuses_schemas_it_cannot_fill),
      cmocka_unit_test(test_builder_text_reads_as_the_columns_type),
      cmocka_unit_test(test_builder_says_when_a_bound_is_reached),
      cmocka_unit_test(test_builder_batch_outlives_the_builder_and_its_parts_each_other),
      cmocka_unit_test(test_builder_survives_every_failed_allocation),
      cmocka_unit_test(test_builder_goes_on_after_memory_was_short),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
