// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Columns that have the target's layout already: all values are looked at several at a time, and none may slip through,
// wherever it stands and however close it lies to what the type allows.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arrays.h"

#define ROWS_MAX 37 // several steps of a loop, and a rest
#define SKIPPED 3   // rows before the slice, which hold what is bad

static const struct dray_column_def date = {"c", {DRAY_TYPE_DATE, 0, 0}, 1};
static const struct dray_column_def timestamp = {"c", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1};
static const struct dray_column_def decimal18 = {"c", {DRAY_TYPE_DECIMAL, 18, 2}, 1};
static const struct dray_column_def decimal4 = {"c", {DRAY_TYPE_DECIMAL, 4, 2}, 1};
static const struct dray_column_def decimal38 = {"c", {DRAY_TYPE_DECIMAL, 38, 2}, 1};

// Rejected rows of a batch of one column whose rows behind `skipped` count; *out_row is the first of them.
static size_t count_rejects(const char *format, const struct dray_column_def *def, struct ArrowArray *values,
                            int64_t skipped, uint64_t *out_row) {
  struct ArrowSchema column, schema;
  struct ArrowArray array;
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  struct dr_schema *target = schema_of(def, 1);
  const int64_t rows = values->length - skipped;
  arrow_schema(&column, format, "c", 0);
  arrow_struct_of(&column, values, &schema, &array);
  array.offset = skipped;
  array.length = rows;
  assert_int_equal(dr_caster_new(&schema, target, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  assert_int_equal(dr_caster_run(caster, &array, 0, &batch, &rejects, NULL), DRAY_OK);
  const size_t count = rejects.count;
  assert_int_equal(dr_batch_rows(batch) + count, rows);
  *out_row = count > 0 ? rejects.items[0].row : UINT64_MAX;
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  dr_caster_free(caster);
  dr_schema_unref(target);
  dray_schema_release(&schema);
  return count;
}

struct layout {
  const char *format;
  const struct dray_column_def *def;
  size_t width;
  const void *good, *bad; // one value
};

// `bad` before the slice and, when `at` is not negative, in that row of it; `good` elsewhere.
static void expect(const struct layout *layout, int64_t rows, int64_t at) {
  uint8_t values[(ROWS_MAX + SKIPPED) * 16];
  struct ArrowArray array;
  uint64_t row = 0;
  for (int64_t i = 0; i < rows + SKIPPED; i++) {
    const void *value = i < SKIPPED || i == at + SKIPPED ? layout->bad : layout->good;
    memcpy(values + (size_t)i * layout->width, value, layout->width);
  }
  if (at < 0) memcpy(values + SKIPPED * layout->width, layout->good, layout->width);
  arrow_values(&array, rows + SKIPPED, values, layout->width);
  assert_int_equal(count_rejects(layout->format, layout->def, &array, SKIPPED, &row), at >= 0);
  if (at >= 0) assert_int_equal(row, at);
}

static void test_no_value_slips_through(void **state) {
  (void)state;
  static const int32_t days[] = {DRAY_DATE_MIN,     DRAY_DATE_MAX, DRAY_DATE_MIN - 1,
                                 DRAY_DATE_MAX + 1, INT32_MIN,     INT32_MAX};
  static const int64_t times[] = {
      DRAY_TIMESTAMP_MIN, DRAY_TIMESTAMP_MAX, DRAY_TIMESTAMP_MIN - 1,  DRAY_TIMESTAMP_MAX + 1, INT64_MIN,
      INT64_MAX,          INT64_C(1) << 62,   -(INT64_C(1) << 62) - 1, INT64_C(3) << 61};
  static const struct dray_decimal decimals[] = {
      {9999, 0},               // the most that four digits say
      {UINT64_MAX - 9998, -1}, // and the least
      {10000, 0},
      {UINT64_MAX - 9999, -1},
      {0, 1},
      {0, -1},
      {1, -1},
      {UINT64_MAX, 0},
      {5, INT64_MIN},
      {UINT64_C(1) << 63, -1},
      {999999999999999999, 0}, // 18 digits
      {UINT64_C(1000000000000000000), 0},
      {UINT64_MAX - UINT64_C(999999999999999999), -1},
      {UINT64_C(0x098a223fffffffff), INT64_C(0x4b3b4ca85a86c47a)}, // 10^38 - 1
      {UINT64_C(0x098a224000000000), INT64_C(0x4b3b4ca85a86c47a)},
  };
  const struct layout layouts[] = {
      {"tdD", &date, 4, &days[0], &days[2]},
      {"tdD", &date, 4, &days[1], &days[3]},
      {"tdD", &date, 4, &days[1], &days[4]},
      {"tdD", &date, 4, &days[0], &days[5]},
      {"tsu:UTC", &timestamp, 8, &times[0], &times[2]},
      {"tsu:UTC", &timestamp, 8, &times[1], &times[3]},
      {"tsu:UTC", &timestamp, 8, &times[0], &times[4]},
      {"tsu:UTC", &timestamp, 8, &times[1], &times[5]},
      {"tsu:UTC", &timestamp, 8, &times[0], &times[6]},
      {"tsu:UTC", &timestamp, 8, &times[1], &times[7]},
      {"tsu:UTC", &timestamp, 8, &times[1], &times[8]},
      {"d:18,2", &decimal4, 16, &decimals[0], &decimals[2]},
      {"d:18,2", &decimal4, 16, &decimals[1], &decimals[3]},
      {"d:18,2", &decimal4, 16, &decimals[0], &decimals[4]},
      {"d:18,2", &decimal4, 16, &decimals[1], &decimals[5]},
      {"d:18,2", &decimal4, 16, &decimals[1], &decimals[6]},
      {"d:18,2", &decimal4, 16, &decimals[0], &decimals[7]},
      {"d:18,2", &decimal4, 16, &decimals[0], &decimals[8]},
      {"d:18,2", &decimal18, 16, &decimals[10], &decimals[9]},
      {"d:18,2", &decimal18, 16, &decimals[10], &decimals[11]},
      {"d:18,2", &decimal18, 16, &decimals[1], &decimals[12]},
      {"d:38,2", &decimal38, 16, &decimals[13], &decimals[14]},
  };
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
    for (int64_t rows = 1; rows <= ROWS_MAX; rows += rows < 18 ? 1 : 19) {
      for (int64_t at = -1; at < rows; at++) expect(&layouts[i], rows, at);
    }
  }
}

static void test_no_byte_of_a_text_slips_through(void **state) {
  (void)state;
  static const char odd[] = {'\0', '\x80', '\xff'};
  for (size_t len = 1; len <= 150; len += len < 20 ? 1 : 13) {
    for (size_t at = 0; at < len; at++) {
      for (size_t k = 0; k <= sizeof odd; k++) { // the last: none
        const int32_t offsets[] = {0, 2, (int32_t)(len / 2) + 2, (int32_t)len + 2};
        char data[160] = "\xff"; // the first row is not of the slice
        struct ArrowArray array;
        uint64_t row = 0;
        memset(data + 2, 'a', len);
        if (k < sizeof odd) data[at + 2] = odd[k];
        arrow_array(&array, 3, 3, 0);
        arrow_buffer(&array, 1, offsets, sizeof offsets);
        arrow_buffer(&array, 2, data, len + 2);
        const struct dray_column_def text = {"c", {DRAY_TYPE_STRING, 0, 0}, 1};
        assert_int_equal(count_rejects("u", &text, &array, 1, &row), k < sizeof odd);
        if (k < sizeof odd) assert_int_equal(row, at < len / 2 ? 0 : 1);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_value_slips_through),
      cmocka_unit_test(test_no_byte_of_a_text_slips_through),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
