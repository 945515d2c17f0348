// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables as streams: their names there and back, what is no name, and rows that leave their cursor's column behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "../torture.h"
#include "dray/sdk/table_stream.h"

// ---- names ----

static void expect_name(const char *schema, const char *table, const char *name) {
  struct dray_buffer written, read_schema, read_table;
  dray_buffer_init(&written, 256);
  dray_buffer_init(&read_schema, 256);
  dray_buffer_init(&read_table, 256);
  assert_int_equal(dray_table_name_write(dray_str_of(schema), dray_str_of(table), &written, NULL), DRAY_OK);
  assert_true(dray_str_is(dray_buffer_view(&written), name));
  assert_int_equal(dray_table_name_read(dray_buffer_view(&written), &read_schema, &read_table, NULL), DRAY_OK);
  assert_true(dray_str_is(dray_buffer_view(&read_schema), schema));
  assert_true(dray_str_is(dray_buffer_view(&read_table), table));
  dray_buffer_free(&written);
  dray_buffer_free(&read_schema);
  dray_buffer_free(&read_table);
}

static void test_names_come_back_as_they_were(void **state) {
  (void)state;
  expect_name("", "orders", "orders");
  expect_name("shop", "orders", "shop.orders");
  expect_name("", "a.b", "\"a.b\"");
  expect_name("sh.op", "x\"y", "\"sh.op\".\"x\"\"y\"");
  expect_name("", "\"", "\"\"\"\"");
  expect_name("`;", " -- '", "`;. -- '");
  expect_name("S", "Näme x", "S.Näme x");
}

static void test_what_is_no_name_is_refused(void **state) {
  static const char *const texts[] = {"",     ".",      "a.",     ".b",   "a.b.c", "\"open",
                                      "\"\"", "a.\"\"", "\"a\"b", "a\"b", "a.\"b"};
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct dray_buffer schema, table;
    dray_buffer_init(&schema, 256);
    dray_buffer_init(&table, 256);
    assert_int_equal(dray_table_name_read(dray_str_of(texts[i]), &schema, &table, NULL), DRAY_E_SCHEMA_STREAM);
    dray_buffer_free(&schema);
    dray_buffer_free(&table);
  }
}

// ---- rows ----

// A query of (a, c, _dray_error), two batches: (1, 5), (2, 9) spoilt; (3, 7).
struct query {
  struct ArrowSchema schema;
  int batches;
};
static int queries; // that are open

static int32_t query_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  return dray_schema_copy(&((struct query *)stream->private_data)->schema, out, error);
}

static int32_t put_row(struct dray_builder *builder, int64_t a, int64_t c, const char *bad, struct dray_error *error) {
  int32_t full = 0;
  DRAY_TRY(dray_builder_int64(builder, 0, a, error));
  DRAY_TRY(dray_builder_int64(builder, 1, c, error));
  DRAY_TRY(bad != NULL ? dray_builder_bytes(builder, 2, dray_str_of(bad), error)
                       : dray_builder_null(builder, 2, error));
  return dray_builder_end_row(builder, &full, error);
}

static int32_t query_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct query *query = stream->private_data;
  struct dray_builder *builder = NULL;
  out->release = NULL;
  if (query->batches == 2) return DRAY_OK;
  DRAY_TRY(dray_builder_new(&query->schema, 10, 1u << 16, &builder, error));
  int32_t code = DRAY_OK;
  if (query->batches == 0) code = put_row(builder, 1, 5, NULL, error);
  if (query->batches == 0 && code == DRAY_OK) code = put_row(builder, 2, 9, "data_type: no", error);
  if (query->batches == 1) code = put_row(builder, 3, 7, NULL, error);
  if (code == DRAY_OK) code = dray_builder_finish(builder, out, error);
  dray_builder_free(builder);
  query->batches++;
  return code;
}

static void query_progress(struct dray_stream *stream, struct dray_progress *out) {
  (void)stream;
  out->rows = 3;
}

static void query_close(struct dray_stream *stream) {
  struct query *query = stream->private_data;
  dray_schema_release(&query->schema);
  free(query);
  queries--;
}

static int32_t open_query(struct dray_stream *out, struct dray_error *error) {
  const struct dray_column_def defs[] = {{"a", {DRAY_TYPE_INT64, 0, 0}, 1},
                                         {"c", {DRAY_TYPE_INT64, 0, 0}, 1},
                                         {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1}};
  struct query *query = calloc(1, sizeof *query);
  if (query == NULL) return DRAY_E_OUT_OF_MEMORY;
  const int32_t code = dray_schema_make(defs, 3, &query->schema, error);
  if (code != DRAY_OK) {
    free(query);
    return code;
  }
  out->private_data = query;
  out->schema = query_schema;
  out->next = query_next;
  out->progress = query_progress;
  out->close = query_close;
  queries++;
  return DRAY_OK;
}

static int32_t open_table(int with_cursor, int hidden, struct dray_stream *out) {
  struct dray_table_stream from = {.cursor_at = 1, .hidden = hidden, .end_state = dray_str_of("the end")};
  DRAY_TRY(open_query(&from.inner, NULL));
  if (with_cursor) {
    const int32_t code = dray_cursor_init(&from.cursor, dray_str_of("t"), dray_str_of("c"),
                                          (struct dray_type){DRAY_TYPE_INT64, 0, 0}, NULL);
    if (code != DRAY_OK) {
      from.inner.close(&from.inner);
      return code;
    }
  }
  const int32_t code = dray_table_stream_open(&from, out, NULL);
  assert_null(from.inner.close);
  return code;
}

// Reads to the end; the batches are let go of after the stream.
static int32_t live(void *ctx) {
  const int hidden = *(const int *)ctx;
  struct dray_stream stream = {.private_data = NULL};
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray batches[3] = {{.release = NULL}, {.release = NULL}, {.release = NULL}};
  struct dray_str state = {NULL, 0};
  int32_t code = open_table(1, hidden, &stream);
  if (code != DRAY_OK) return code;
  code = stream.schema(&stream, &schema, NULL);
  for (size_t i = 0; code == DRAY_OK && i < 3; i++) {
    code = stream.state(&stream, &state, NULL);
    assert_true(code != DRAY_OK || state.len == 0); // not before the end
    if (code == DRAY_OK) code = stream.next(&stream, &batches[i], NULL);
  }
  if (code == DRAY_OK) code = stream.state(&stream, &state, NULL);
  if (code == DRAY_OK) {
    assert_true(dray_str_is(state, "{\"stream\":\"t\",\"column\":\"c\",\"type\":\"int64\",\"cursor\":7}"));
    assert_int_equal(schema.n_children, hidden ? 2 : 3);
    assert_string_equal(schema.children[0]->name, "a");
    assert_string_equal(schema.children[1]->name, hidden ? DRAY_COLUMN_ERROR : "c");
    assert_null(batches[2].release);
  }
  stream.close(&stream);
  for (size_t i = 0; i < 2; i++) {
    struct dray_view view;
    if (code == DRAY_OK) code = dray_view_init(&view, &schema, &batches[i], NULL);
    if (code == DRAY_OK) {
      assert_int_equal(dray_column_int64(&view.columns[0], 0), i == 0 ? 1 : 3);
      dray_view_free(&view);
    }
    if (batches[i].release != NULL) dray_array_release(&batches[i]);
  }
  dray_schema_release(&schema);
  assert_int_equal(queries, 0);
  return code;
}

static void test_the_greatest_value_is_the_state_at_the_end(void **state) {
  int hidden = 0;
  (void)state;
  assert_int_equal(live(&hidden), DRAY_OK);
}

static void test_a_cursor_that_is_not_asked_for_stays_behind(void **state) {
  int hidden = 1;
  (void)state;
  assert_int_equal(live(&hidden), DRAY_OK);
}

static void test_without_a_cursor_the_state_is_what_was_given(void **state) {
  struct dray_stream stream = {.private_data = NULL};
  struct ArrowArray batch = {.release = NULL};
  struct dray_progress progress = {.rows = 0};
  struct dray_str text;
  (void)state;
  assert_int_equal(open_table(0, 0, &stream), DRAY_OK);
  do {
    if (batch.release != NULL) dray_array_release(&batch);
    assert_int_equal(stream.next(&stream, &batch, NULL), DRAY_OK);
  } while (batch.release != NULL);
  assert_int_equal(stream.state(&stream, &text, NULL), DRAY_OK);
  assert_true(dray_str_is(text, "the end"));
  stream.progress(&stream, &progress);
  assert_int_equal(progress.rows, 3);
  stream.close(&stream);
  assert_int_equal(queries, 0);
}

static void test_every_failing_allocation_is_an_error(void **state) {
  (void)state;
  for (int hidden = 0; hidden < 2; hidden++) assert_true(torture_every(live, &hidden) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_come_back_as_they_were),
      cmocka_unit_test(test_what_is_no_name_is_refused),
      cmocka_unit_test(test_the_greatest_value_is_the_state_at_the_end),
      cmocka_unit_test(test_a_cursor_that_is_not_asked_for_stays_behind),
      cmocka_unit_test(test_without_a_cursor_the_state_is_what_was_given),
      cmocka_unit_test(test_every_failing_allocation_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
