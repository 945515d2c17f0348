// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that are put by: they come back as they went in, in their order, a bounded batch at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/spool.h"

static const struct dray_column_def columns[] = {
    {"z", {DRAY_TYPE_INT64, 0, 0}, 1},     {"a", {DRAY_TYPE_STRING, 0, 0}, 1}, {"m", {DRAY_TYPE_DECIMAL, 10, 2}, 1},
    {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1},   {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},   {"d", {DRAY_TYPE_DATE, 0, 0}, 1},
    {"t", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1}, {"x", {DRAY_TYPE_BYTES, 0, 0}, 1},
};
#define COLUMN_COUNT (sizeof columns / sizeof columns[0])
#define COLUMN_Z 0
#define COLUMN_A 1

static char folder[] = "/tmp/dray-spool-XXXXXX";

static struct dr_schema *make_schema(void) {
  struct dr_schema *schema = NULL;
  assert_int_equal(dr_schema_new(columns, COLUMN_COUNT, &schema, NULL), DRAY_OK);
  return schema;
}

// Rows numbered from `first`; the text is of `bytes` bytes. Each third value of it is null.
static struct dr_batch *make_rows(struct dr_schema *schema, int64_t first, int64_t count, size_t bytes) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array;
  struct dr_batch *batch = NULL;
  int32_t full = 0;
  char *text = calloc(bytes + 1, 1);
  assert_non_null(text);
  assert_int_equal(dray_builder_new(&schema->arrow, (uint64_t)count + 1, UINT32_MAX, &builder, NULL), DRAY_OK);
  for (int64_t i = first; i < first + count; i++) {
    memset(text, 'a' + (int)(i % 26), bytes);
    assert_int_equal(dray_builder_int64(builder, 0, i, NULL), DRAY_OK);
    if (i % 3 == 0) assert_int_equal(dray_builder_null(builder, 1, NULL), DRAY_OK);
    if (i % 3 != 0) assert_int_equal(dray_builder_bytes(builder, 1, dray_str_make(text, bytes), NULL), DRAY_OK);
    assert_int_equal(dray_builder_decimal(builder, 2, (struct dray_decimal){(uint64_t)-i, -(i > 0)}, NULL), DRAY_OK);
    assert_int_equal(dray_builder_float64(builder, 3, (double)i / 7, NULL), DRAY_OK);
    assert_int_equal(dray_builder_bool(builder, 4, i % 2 == 0, NULL), DRAY_OK);
    assert_int_equal(dray_builder_date(builder, 5, (int32_t)i, NULL), DRAY_OK);
    assert_int_equal(dray_builder_timestamp(builder, 6, i * 1000003, NULL), DRAY_OK);
    assert_int_equal(dray_builder_bytes(builder, 7, dray_str_make((const char *)&i, sizeof i), NULL), DRAY_OK);
    assert_int_equal(dray_builder_end_row(builder, &full, NULL), DRAY_OK);
  }
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dr_batch_wrap(schema, &array, &batch, NULL), DRAY_OK);
  dray_builder_free(builder);
  free(text);
  return batch;
}

static void expect_row(const struct dr_batch *batch, uint64_t row, int64_t number, size_t bytes) {
  const struct dray_column_view *view = batch->view.columns;
  assert_int_equal(dray_column_int64(&view[0], row), number);
  assert_int_equal(dray_column_is_null(&view[1], row), number % 3 == 0);
  if (number % 3 != 0) {
    const struct dray_str text = dray_column_bytes(&view[1], row);
    assert_int_equal(text.len, bytes);
    assert_true(bytes == 0 || (text.data[0] == 'a' + number % 26 && text.data[bytes - 1] == text.data[0]));
  }
  assert_int_equal((int64_t)dray_column_decimal(&view[2], row).low, -number);
  assert_true(dray_column_float64(&view[3], row) == (double)number / 7);
  assert_int_equal(dray_column_bool(&view[4], row), number % 2 == 0);
  assert_int_equal(dray_column_date(&view[5], row), number);
  assert_int_equal(dray_column_int64(&view[6], row), number * 1000003);
  const struct dray_str bytes_of = dray_column_bytes(&view[7], row);
  assert_int_equal(bytes_of.len, sizeof number);
  assert_memory_equal(bytes_of.data, &number, sizeof number);
}

static void add(struct dr_spool *spool, struct dr_schema *schema, int64_t first, int64_t count, size_t bytes) {
  struct dr_batch *batch = make_rows(schema, first, count, bytes);
  assert_int_equal(dr_spool_add(spool, batch, NULL), DRAY_OK);
  dr_batch_free(batch);
}

static size_t files_in(const char *path) {
  size_t count = 0;
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) count += entry->d_name[0] != '.';
  (void)closedir(dir);
  return count;
}

static void test_rows_come_back_in_their_order_and_in_bounded_batches(void **state) {
  (void)state;
  struct dr_schema *schema = make_schema();
  struct dr_spool *spool = NULL;
  struct dr_batch *batch = NULL;
  int64_t seen = 0;
  uint64_t batches = 0;
  assert_int_equal(dr_spool_new(folder, schema, &spool, NULL), DRAY_OK);
  assert_int_equal(files_in(folder), 0); // nothing that a killed run would leave
  add(spool, schema, 0, 20000, 10);
  add(spool, schema, 20000, 1, 10);
  add(spool, schema, 20001, 20000, 10);
  for (;;) {
    assert_int_equal(dr_spool_next(spool, &batch, NULL), DRAY_OK);
    if (batch == NULL) break;
    assert_true(dr_batch_rows(batch) <= DR_BATCH_ROWS_DEFAULT && batch->first_row == (uint64_t)seen);
    for (uint64_t row = 0; row < dr_batch_rows(batch); row++) expect_row(batch, row, seen++, 10);
    dr_batch_free(batch);
    batches++;
  }
  assert_int_equal(seen, 40001);
  assert_in_range(batches, 3, 10);
  assert_int_equal(dr_spool_next(spool, &batch, NULL), DRAY_OK);
  assert_null(batch); // and again
  dr_spool_free(spool);
  dr_schema_unref(schema);
}

static void test_a_row_larger_than_a_batch_is_one(void **state) {
  (void)state;
  struct dr_schema *schema = make_schema();
  struct dr_spool *spool = NULL;
  struct dr_batch *batch = NULL;
  assert_int_equal(dr_spool_new(folder, schema, &spool, NULL), DRAY_OK);
  add(spool, schema, 1, 2, 3u << 20);
  for (int64_t number = 1; number <= 2; number++) {
    assert_int_equal(dr_spool_next(spool, &batch, NULL), DRAY_OK);
    assert_int_equal(dr_batch_rows(batch), 1);
    expect_row(batch, 0, number, 3u << 20);
    dr_batch_free(batch);
  }
  assert_int_equal(dr_spool_next(spool, &batch, NULL), DRAY_OK);
  assert_null(batch);
  dr_spool_free(spool);
  dr_schema_unref(schema);
}

static void test_absent_is_not_null(void **state) {
  (void)state;
  struct dr_schema *schema = make_schema();
  struct dr_spool *spool = NULL;
  struct dr_batch *batch = make_rows(schema, 0, 4, 2), *got = NULL; // the text of row 0 and of row 3 is null
  assert_int_equal(dr_batch_set_absent(batch, COLUMN_A, 3, NULL), DRAY_OK);
  assert_int_equal(dr_spool_new(folder, schema, &spool, NULL), DRAY_OK);
  assert_int_equal(dr_spool_add(spool, batch, NULL), DRAY_OK);
  assert_int_equal(dr_spool_next(spool, &got, NULL), DRAY_OK);
  assert_int_equal(dr_batch_rows(got), 4);
  for (uint64_t row = 0; row < 4; row++) {
    assert_int_equal(dr_batch_is_absent(got, COLUMN_A, row), row == 3);
    assert_false(dr_batch_is_absent(got, COLUMN_Z, row));
  }
  dr_batch_free(batch);
  dr_batch_free(got);
  dr_spool_free(spool);
  dr_schema_unref(schema);
}

static void test_nothing_and_no_folder(void **state) {
  (void)state;
  struct dr_schema *schema = make_schema();
  struct dr_spool *spool = NULL;
  struct dr_batch *batch = NULL;
  assert_int_equal(dr_spool_new(folder, schema, &spool, NULL), DRAY_OK);
  assert_int_equal(dr_spool_next(spool, &batch, NULL), DRAY_OK);
  assert_null(batch);
  dr_spool_free(spool);
  spool = NULL;
  assert_int_equal(dr_spool_new("/nowhere/at/all", schema, &spool, NULL), DRAY_E_IO);
  assert_null(spool);
  dr_schema_unref(schema);
}

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
  (void)state;
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_come_back_in_their_order_and_in_bounded_batches),
      cmocka_unit_test(test_a_row_larger_than_a_batch_is_one),
      cmocka_unit_test(test_absent_is_not_null),
      cmocka_unit_test(test_nothing_and_no_folder),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
