// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Canonical batches: wrapped, marked, picked apart.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "arrays.h"
#include "torture.h"

static struct dr_schema *wide_schema(void) {
  return SCHEMA_OF(COLUMN("b", BOOL), COLUMN("i", INT64), COLUMN("f", FLOAT64), DECIMAL("d", 10, 2),
                   COLUMN("s", STRING), COLUMN("z", BYTES), COLUMN("t", DATE), COLUMN("u", TIMESTAMP),
                   COLUMN("j", JSON));
}
#define WIDE 9
static const char *const wide_cells[] = {
    "true",
    "1",
    "0.5",
    "1.50",
    "one",
    "Zm9v",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "[1]", // row 0
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    "false",
    "-3",
    "-1e9",
    "-0.01",
    "",
    "",
    "0001-01-01",
    "9999-12-31T00:00:00Z",
    "{}",
    "true",
    "(absent)",
    "2",
    "(absent)",
    "(absent)",
    "AA==",
    "(absent)",
    NULL,
    "(absent)",
};
#define WIDE_ROWS 4

static void expect_row(const struct dr_batch *batch, uint64_t row, size_t from) {
  struct dr_batch *whole = batch_of(batch->schema, wide_cells, WIDE_ROWS);
  for (size_t c = 0; c < WIDE; c++) {
    assert_string_equal(cell(batch, c, row), cell(whole, c, from));
  }
  dr_batch_free(whole);
}

static void test_wrap_takes_the_array_and_its_absent_values(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = batch_of(schema, wide_cells, WIDE_ROWS);
  dr_schema_unref(schema); // the batch holds it
  assert_int_equal(dr_batch_rows(batch), WIDE_ROWS);
  assert_true(dr_batch_is_absent(batch, 1, 3));
  assert_false(dr_batch_is_absent(batch, 1, 1)); // null
  assert_false(dr_batch_is_absent(batch, 7, 3));
  assert_true(batch->bytes > WIDE_ROWS * (4 * 8 + 16 + 4) && batch->bytes < 1000);
  for (uint64_t row = 0; row < WIDE_ROWS; row++) expect_row(batch, row, row);
  dr_batch_free(batch);
}

static void test_wrap_of_nothing_is_a_batch_without_rows(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct ArrowArray none = {.release = NULL};
  struct dr_batch *batch = NULL;
  assert_int_equal(dr_batch_wrap(schema, &none, &batch, NULL), DRAY_OK);
  assert_int_equal(dr_batch_rows(batch), 0);
  assert_int_equal(batch->view.column_count, WIDE);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

static void test_wrap_refuses_another_schemas_array_and_leaves_it(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema(), *other = SCHEMA_OF(COLUMN("b", BOOL));
  struct dr_batch *batch = batch_of(schema, wide_cells, WIDE_ROWS), *none = NULL;
  assert_int_equal(dr_batch_wrap(other, &batch->array, &none, NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_null(none);
  assert_non_null(batch->array.release); // still ours
  batch->array.children[0]->length = 1;
  assert_int_equal(dr_batch_wrap(schema, &batch->array, &none, NULL), DRAY_E_PLUGIN_CONTRACT);
  assert_non_null(batch->array.release);
  dr_batch_free(batch);
  dr_schema_unref(schema);
  dr_schema_unref(other);
}

static void test_wrap_refuses_absent_values_that_are_there(void **state) {
  (void)state;
  struct dr_schema *schema = SCHEMA_OF(COLUMN("i", INT64));
  struct dr_batch *batch = NULL;
  struct ArrowArray array;
  arrow_array(&array, 1, 1, 2);
  arrow_values(array.children[0], 1, (const int64_t[]){5}, 8);
  arrow_texts(array.children[1], (const char *const[]){"\x01"}, 1, 4);
  assert_int_equal(dr_batch_wrap(schema, &array, &batch, NULL), DRAY_E_PLUGIN_CONTRACT);
  dray_array_release(&array);
  dr_schema_unref(schema);
}

static void test_gather_picks_rows_with_their_marks(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = batch_of(schema, wide_cells, WIDE_ROWS), *picked = NULL;
  const uint32_t rows[] = {3, 0, 3, 2, 1};
  batch->first_row = 77;
  batch->deleted = calloc(1, 1);
  assert_non_null(batch->deleted);
  batch->deleted[0] = 1u << 2;
  assert_int_equal(dr_batch_gather(batch, rows, 5, &picked, NULL), DRAY_OK);
  dr_batch_free(batch); // what was picked is a copy
  assert_int_equal(dr_batch_rows(picked), 5);
  assert_int_equal(picked->first_row, 77);
  for (size_t i = 0; i < 5; i++) {
    expect_row(picked, i, rows[i]);
    assert_int_equal(dr_batch_is_deleted(picked, i), rows[i] == 2);
  }
  dr_batch_free(picked);
  dr_schema_unref(schema);
}

static void test_the_last_of_several_holders_frees(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = batch_of(schema, wide_cells, 1);
  struct dr_batch *same = dr_batch_ref(dr_batch_ref(batch));
  assert_ptr_equal(same, batch);
  dr_batch_free(batch);
  dr_batch_free(batch);
  assert_int_equal(dr_batch_rows(same), 1); // the sanitizer sees the rest
  assert_int_equal(dray_column_int64(&same->view.columns[1], 0), 1);
  dr_batch_free(same);
  dr_schema_unref(schema);
}

static void test_gather_of_no_rows(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = batch_of(schema, wide_cells, WIDE_ROWS), *picked = NULL;
  assert_int_equal(dr_batch_gather(batch, NULL, 0, &picked, NULL), DRAY_OK);
  assert_int_equal(dr_batch_rows(picked), 0);
  dr_batch_free(picked);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

// Every column type, many rows, nulls in every bit position.
static void test_gather_of_many_random_rows(void **state) {
  (void)state;
  enum { ROWS = 1000, PICKED = 700 };
  struct dr_schema *schema = wide_schema();
  const char **cells = calloc((size_t)ROWS * WIDE, sizeof(*cells));
  uint32_t rows[PICKED];
  uint64_t seed = 7;
  size_t kinds[ROWS];
  assert_non_null(cells);
  for (size_t i = 0; i < ROWS; i++) {
    kinds[i] = random_bits(&seed) % WIDE_ROWS;
    for (size_t c = 0; c < WIDE; c++) cells[i * WIDE + c] = wide_cells[kinds[i] * WIDE + c];
  }
  for (size_t i = 0; i < PICKED; i++) rows[i] = (uint32_t)(random_bits(&seed) % ROWS);
  struct dr_batch *batch = batch_of(schema, cells, ROWS), *picked = NULL;
  assert_int_equal(dr_batch_gather(batch, rows, PICKED, &picked, NULL), DRAY_OK);
  for (size_t i = 0; i < PICKED; i++) {
    for (size_t c = 0; c < WIDE; c++) assert_string_equal(cell(picked, c, i), cell(batch, c, rows[i]));
  }
  dr_batch_free(picked);
  dr_batch_free(batch);
  dr_schema_unref(schema);
  free(cells);
}

static int32_t gather_once(void *ctx) {
  struct dr_batch *picked = NULL;
  const uint32_t rows[] = {0, 1, 2, 3};
  const int32_t code = dr_batch_gather(ctx, rows, 4, &picked, NULL);
  dr_batch_free(picked);
  return code;
}

static void test_gather_survives_every_failed_allocation(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = batch_of(schema, wide_cells, WIDE_ROWS);
  batch->deleted = calloc(1, 1);
  assert_true(torture_every(gather_once, batch) > 30);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

static int32_t wrap_nothing_once(void *ctx) {
  struct ArrowArray none = {.release = NULL};
  struct dr_batch *batch = NULL;
  const int32_t code = dr_batch_wrap(ctx, &none, &batch, NULL);
  dr_batch_free(batch);
  return code;
}

static void test_wrap_survives_every_failed_allocation(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  assert_true(torture_every(wrap_nothing_once, schema) > 10);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wrap_takes_the_array_and_its_absent_values),
      cmocka_unit_test(test_wrap_of_nothing_is_a_batch_without_rows),
      cmocka_unit_test(test_wrap_refuses_another_schemas_array_and_leaves_it),
      cmocka_unit_test(test_wrap_refuses_absent_values_that_are_there),
      cmocka_unit_test(test_gather_picks_rows_with_their_marks),
      cmocka_unit_test(test_the_last_of_several_holders_frees),
      cmocka_unit_test(test_gather_of_no_rows),
      cmocka_unit_test(test_gather_of_many_random_rows),
      cmocka_unit_test(test_gather_survives_every_failed_allocation),
      cmocka_unit_test(test_wrap_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
