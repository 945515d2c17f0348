// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two ends of a write: what a batch of changes says, and receipts with texts of their own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/changes.h"
#include "torture.h"

#define RECEIPTS_MAX 4

static const struct dray_column_def columns[] = {
    {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},    {"email", {DRAY_TYPE_STRING, 0, 0}, 1},
    {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},     {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1}, {DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1},
};
enum { ROW, EMAIL, OP, NAME, ABSENT, CHANGED, COLUMN_COUNT };

struct batch {
  struct ArrowSchema schema;
  struct ArrowArray array;
};

static int32_t add(struct dray_builder *builder, int64_t row, int64_t op, const char *name, const char *changed,
                   struct dray_error *error) {
  DRAY_TRY(dray_builder_int64(builder, ROW, row, error));
  DRAY_TRY(dray_builder_int64(builder, OP, op, error));
  DRAY_TRY(dray_builder_text(builder, EMAIL, dray_str_of("a@b.test"), error));
  if (name != NULL) DRAY_TRY(dray_builder_text(builder, NAME, dray_str_of(name), error));
  DRAY_TRY(changed != NULL ? dray_builder_bytes(builder, CHANGED, dray_str_of(changed), error)
                           : dray_builder_null(builder, CHANGED, error));
  return dray_builder_end_row(builder, NULL, error);
}

// Rows 7 (insert without a name), 9 (update of the name alone), 11 (update of everything), 13 (delete).
static int32_t make_batch(struct batch *batch, struct dray_error *error) {
  struct dray_builder *builder = NULL;
  DRAY_TRY(dray_schema_make(columns, COLUMN_COUNT, &batch->schema, error));
  int32_t rc = dray_builder_new(&batch->schema, 0, 0, &builder, error);
  if (rc == DRAY_OK) rc = add(builder, 7, DRAY_OP_INSERT, NULL, NULL, error);
  if (rc == DRAY_OK) rc = add(builder, 9, DRAY_OP_UPDATE, "Ada", "\x02", error);
  if (rc == DRAY_OK) rc = add(builder, 11, DRAY_OP_UPDATE, "Bob", NULL, error);
  if (rc == DRAY_OK) rc = add(builder, 13, DRAY_OP_DELETE, "Cyd", "\x02", error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &batch->array, error);
  dray_builder_free(builder);
  return rc;
}

static void free_batch(struct batch *batch) {
  dray_array_release(&batch->array);
  dray_schema_release(&batch->schema);
}

static void test_a_change_says_what_came_and_what_changed(void **state) {
  (void)state;
  struct batch batch = {.array = {.release = NULL}};
  struct dray_changes changes;
  assert_int_equal(make_batch(&batch, NULL), DRAY_OK);
  assert_int_equal(dray_changes_open(&changes, &batch.schema, &batch.array, 4, NULL), DRAY_OK);
  static const struct {
    int64_t row, op;
    int email, name;
  } expected[] = {
      {7, DRAY_OP_INSERT, 1, 0}, {9, DRAY_OP_UPDATE, 0, 1}, {11, DRAY_OP_UPDATE, 1, 1}, {13, DRAY_OP_DELETE, 1, 1}};
  for (uint64_t i = 0; i < 4; i++) {
    assert_int_equal(dray_change_row(&changes, i), expected[i].row);
    assert_int_equal(dray_change_op(&changes, i), expected[i].op);
    assert_int_equal(dray_change_says(&changes, EMAIL, i), expected[i].email);
    assert_int_equal(dray_change_says(&changes, NAME, i), expected[i].name);
    assert_false(dray_change_says(&changes, ROW, i));
    assert_false(dray_change_says(&changes, CHANGED, i));
  }
  dray_changes_free(&changes);
  free_batch(&batch);
}

static void expect_refused(const struct dray_column_def *defs, size_t count, uint64_t room, const char *words) {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dray_changes changes;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dray_schema_make(defs, count, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dray_changes_open(&changes, &schema, &array, room, &error), DRAY_E_PLUGIN_CONTRACT);
  if (strstr(error.text, words) == NULL) fail_msg("'%s' lacks '%s'", error.text, words);
  array.release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static void test_a_batch_that_cannot_be_one_of_changes_is_refused(void **state) {
  (void)state;
  const struct dray_column_def text = {DRAY_COLUMN_OP, {DRAY_TYPE_STRING, 0, 0}, 1};
  const struct dray_column_def with_text[] = {columns[ROW], text};
  const struct dray_column_def bad_list[] = {
      columns[ROW], columns[OP], {DRAY_COLUMN_CHANGED, {DRAY_TYPE_INT64, 0, 0}, 1}};
  expect_refused(&columns[EMAIL], 1, 1, DRAY_COLUMN_ROW);
  expect_refused(columns, 2, 1, DRAY_COLUMN_OP);
  expect_refused(with_text, 2, 1, "int64");
  expect_refused(bad_list, 3, 1, DRAY_COLUMN_CHANGED);
  expect_refused(columns, COLUMN_COUNT, 0, "room for 0");
  const struct dray_column_def bad_before[] = {
      columns[ROW], columns[OP], {DRAY_COLUMN_BEFORE, {DRAY_TYPE_STRING, 0, 0}, 1}};
  expect_refused(bad_before, 3, 1, DRAY_COLUMN_BEFORE);
}

static void test_an_update_may_show_what_it_replaces(void **state) {
  (void)state;
  static const struct dray_column_def defs[] = {{DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                {DRAY_COLUMN_BEFORE, {DRAY_TYPE_JSON, 0, 0}, 1}};
  static const char *const before[] = {"{\"name\":\"Ada\"}", NULL};
  for (size_t count = 2; count <= 3; count++) {
    struct batch batch;
    struct dray_changes changes;
    struct dray_builder *builder = NULL;
    assert_int_equal(dray_schema_make(defs, count, &batch.schema, NULL), DRAY_OK);
    assert_int_equal(dray_builder_new(&batch.schema, 0, 0, &builder, NULL), DRAY_OK);
    for (int64_t row = 0; row < 2; row++) {
      assert_int_equal(dray_builder_int64(builder, 0, row, NULL), DRAY_OK);
      assert_int_equal(dray_builder_int64(builder, 1, DRAY_OP_UPDATE, NULL), DRAY_OK);
      if (count == 3 && before[row] != NULL) {
        assert_int_equal(dray_builder_bytes(builder, 2, dray_str_of(before[row]), NULL), DRAY_OK);
      } else if (count == 3) {
        assert_int_equal(dray_builder_null(builder, 2, NULL), DRAY_OK);
      }
      assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
    }
    assert_int_equal(dray_builder_finish(builder, &batch.array, NULL), DRAY_OK);
    assert_int_equal(dray_changes_open(&changes, &batch.schema, &batch.array, 2, NULL), DRAY_OK);
    assert_int_equal(dray_change_before(&changes, 0).len, count == 3 ? strlen(before[0]) : 0);
    assert_int_equal(dray_change_before(&changes, 1).len, 0);
    dray_changes_free(&changes);
    dray_builder_free(builder);
    free_batch(&batch);
  }
}

static void test_receipts_keep_their_own_texts(void **state) {
  (void)state;
  struct dray_receipt items[RECEIPTS_MAX];
  struct dray_receipts out = {.items = items, .capacity = RECEIPTS_MAX};
  struct dray_receipt_writer writer;
  dray_receipts_init(&writer, 3000);
  for (int round = 0; round < 2; round++) {
    dray_receipts_begin(&writer, &out);
    dray_receipt_put(&writer, 3, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, 0, "%s is no address", "x");
    dray_receipt_partly(&writer);
    dray_receipt_put(&writer, 1, DRAY_RECEIPT_APPLIED, 0, 0, NULL);
    dray_receipt_put(&writer, 2, DRAY_RECEIPT_RETRY, DRAY_E_BUSY, 1500, "%2000d", 7); // makes the buffer move
    dray_receipt_put(&writer, 4, DRAY_RECEIPT_RETRY, DRAY_E_BUSY, 0, "%2000d", 7);    // finds no room
    assert_int_equal(dray_receipts_end(&writer, NULL), DRAY_OK);
    assert_int_equal(out.count, 4);
    assert_true(dray_str_is(items[0].text, "x is no address"));
    assert_int_equal(items[0].row, 3);
    assert_int_equal(items[0].status, DRAY_RECEIPT_REJECTED);
    assert_int_equal(items[0].code, DRAY_E_DATA_REJECTED);
    assert_int_equal(items[0].reserved.len, DRAY_RECEIPT_PARTLY);
    assert_int_equal(items[1].reserved.len, 0);
    assert_int_equal(items[1].text.len, 0);
    assert_null(items[1].text.data);
    assert_int_equal(items[2].text.len, 2000);
    assert_int_equal(items[2].text.data[1999], '7');
    assert_int_equal(items[2].retry_after_ms, 1500);
    assert_int_equal(items[3].text.len, 0);
    assert_int_equal(items[3].status, DRAY_RECEIPT_RETRY);
  }
  dray_receipts_free(&writer);
}

static void test_more_receipts_than_rows_are_an_error(void **state) {
  (void)state;
  struct dray_receipt items[1];
  struct dray_receipts out = {.items = items, .capacity = 1};
  struct dray_receipt_writer writer;
  dray_receipts_init(&writer, 100);
  dray_receipts_begin(&writer, &out);
  dray_receipt_put(&writer, 1, DRAY_RECEIPT_APPLIED, 0, 0, NULL);
  dray_receipt_put(&writer, 2, DRAY_RECEIPT_APPLIED, 0, 0, NULL);
  assert_int_equal(dray_receipts_end(&writer, NULL), DRAY_E_PLUGIN_CONTRACT);
  dray_receipts_begin(&writer, &out);
  assert_int_equal(dray_receipts_end(&writer, NULL), DRAY_OK);
  assert_int_equal(out.count, 0);
  dray_receipts_free(&writer);
}

static void test_one_receipt_for_all(void **state) {
  (void)state;
  struct batch batch = {.array = {.release = NULL}};
  struct dray_changes changes;
  struct dray_receipt items[RECEIPTS_MAX];
  struct dray_receipts out = {.items = items, .capacity = RECEIPTS_MAX};
  assert_int_equal(make_batch(&batch, NULL), DRAY_OK);
  assert_int_equal(dray_changes_open(&changes, &batch.schema, &batch.array, 4, NULL), DRAY_OK);
  dray_receipts_all(&changes, DRAY_RECEIPT_UNKNOWN, DRAY_E_NET_CLOSED, dray_str_of("gone"), &out);
  assert_int_equal(out.count, 4);
  for (uint64_t i = 0; i < 4; i++) {
    assert_int_equal(items[i].row, 7 + 2 * (int64_t)i);
    assert_int_equal(items[i].status, DRAY_RECEIPT_UNKNOWN);
    assert_int_equal(items[i].code, DRAY_E_NET_CLOSED);
    assert_true(dray_str_is(items[i].text, "gone"));
  }
  dray_changes_free(&changes);
  free_batch(&batch);
}

static int32_t open_and_answer(void *ctx) {
  (void)ctx;
  struct batch batch = {.array = {.release = NULL}};
  struct dray_changes changes;
  struct dray_receipt items[RECEIPTS_MAX];
  struct dray_receipts out = {.items = items, .capacity = RECEIPTS_MAX};
  struct dray_receipt_writer writer;
  dray_receipts_init(&writer, 1000);
  int32_t rc = make_batch(&batch, NULL);
  if (rc == DRAY_OK) {
    rc = dray_changes_open(&changes, &batch.schema, &batch.array, 4, NULL);
    if (rc == DRAY_OK) {
      dray_receipts_begin(&writer, &out);
      dray_receipt_put(&writer, 7, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, 0, "no");
      rc = dray_receipts_end(&writer, NULL);
      assert_int_equal(out.count, 1); // also without memory for its text
      if (rc == DRAY_OK && items[0].text.len == 0) rc = DRAY_E_OUT_OF_MEMORY;
      dray_changes_free(&changes);
    }
  }
  free_batch(&batch);
  dray_receipts_free(&writer);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(open_and_answer, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_change_says_what_came_and_what_changed),
      cmocka_unit_test(test_a_batch_that_cannot_be_one_of_changes_is_refused),
      cmocka_unit_test(test_an_update_may_show_what_it_replaces),
      cmocka_unit_test(test_receipts_keep_their_own_texts),
      cmocka_unit_test(test_more_receipts_than_rows_are_an_error),
      cmocka_unit_test(test_one_receipt_for_all),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
