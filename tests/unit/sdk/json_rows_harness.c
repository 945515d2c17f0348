// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "json_rows_harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct reading {
  char names[HARNESS_COLUMNS_MAX][64];
  struct dray_column_def columns[HARNESS_COLUMNS_MAX + 2];
  struct dray_json_field fields[HARNESS_COLUMNS_MAX];
  size_t field_count;
  size_t column_count;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct dray_json_rows *rows;
};

static void parse_columns(struct reading *reading, const char *text) {
  const struct dray_type string = {DRAY_TYPE_STRING, 0, 0};
  const struct dray_type bytes = {DRAY_TYPE_BYTES, 0, 0};
  while (*text != '\0') {
    const size_t len = strcspn(text, " ");
    if (text[0] == '!') {
      reading->columns[reading->column_count++] = (struct dray_column_def){DRAY_COLUMN_ERROR, string, 1};
    } else if (text[0] == '?') {
      reading->columns[reading->column_count++] = (struct dray_column_def){DRAY_COLUMN_ABSENT, bytes, 1};
    } else {
      size_t colon = len;
      while (text[colon - 1] != ':') colon--;
      char *name = reading->names[reading->field_count];
      assert_true(colon < sizeof(reading->names[0]));
      memcpy(name, text, colon - 1);
      struct dray_column_def column = {name[0] != '\0' ? name : "record", string, 1};
      assert_int_equal(dray_type_parse(dray_str_make(text + colon, len - colon), &column.type, NULL), DRAY_OK);
      reading->fields[reading->field_count++] = (struct dray_json_field){name, reading->column_count};
      reading->columns[reading->column_count++] = column;
    }
    text += len + (text[len] == ' ');
  }
}

static int32_t show_batch(struct reading *reading, struct dray_buffer *out, struct dray_error *error) {
  struct ArrowArray array;
  struct dray_view view;
  DRAY_TRY(dray_builder_finish(reading->builder, &array, error));
  if (array.release == NULL) return DRAY_OK;
  int32_t rc = dray_view_init(&view, &reading->schema, &array, error);
  if (rc != DRAY_OK) {
    dray_array_release(&array);
    return rc;
  }
  for (uint64_t row = 0; rc == DRAY_OK && row < view.row_count; row++) {
    size_t shown = 0;
    for (size_t i = 0; rc == DRAY_OK && i < view.column_count; i++) {
      if ((ptrdiff_t)i == view.absent_column) continue;
      if (shown++ > 0) rc = dray_buffer_append_char(out, '|', error);
      if (rc != DRAY_OK) break;
      if (dray_view_absent(&view, i, row)) {
        rc = dray_buffer_append_char(out, '-', error);
      } else if (dray_column_is_null(&view.columns[i], row)) {
        rc = dray_buffer_append_char(out, '~', error);
      } else {
        rc = dray_column_text(&view.columns[i], row, out, error);
      }
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_char(out, '\n', error);
  }
  dray_view_free(&view);
  dray_array_release(&array);
  return rc;
}

static int32_t feed_all(struct reading *reading, const struct harness *harness, const char *data, size_t len,
                        struct dray_buffer *out, struct dray_error *error) {
  const size_t piece = harness->piece_bytes != 0 ? harness->piece_bytes : len + 1;
  size_t at = 0;
  int32_t full = 1;
  while (at < len || full) {
    const size_t n = len - at < piece ? len - at : piece;
    size_t used = 0;
    char *copy = malloc(n + 1); // of exactly this piece, so that reading past it is seen
    if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a piece");
    if (n > 0) memcpy(copy, data + at, n);
    const int32_t rc = dray_json_rows_feed(reading->rows, copy, n, at + n == len, &used, &full, error);
    free(copy);
    if (rc != DRAY_OK) {
      assert_int_equal(dray_json_rows_feed(reading->rows, "", 0, 1, &used, &full, NULL), rc); // it sticks
      DRAY_TRY(show_batch(reading, out, NULL));
      return rc;
    }
    assert_true(used <= n);
    assert_true(used == n || full);
    at += used;
    if (full) DRAY_TRY(show_batch(reading, out, error));
  }
  return show_batch(reading, out, error);
}

int32_t harness_read(const struct harness *harness, const char *data, size_t len, struct dray_buffer *out,
                     uint64_t *out_bad, struct dray_error *error) {
  struct reading reading = {0};
  parse_columns(&reading, harness->columns);
  DRAY_TRY(dray_schema_make(reading.columns, reading.column_count, &reading.schema, error));
  int32_t rc = dray_builder_new(&reading.schema, harness->rows_max, 0, &reading.builder, error);
  if (rc == DRAY_OK) {
    rc = dray_json_rows_new(reading.fields, reading.field_count, &harness->options, reading.builder, &reading.rows,
                            error);
  }
  if (rc == DRAY_OK) rc = feed_all(&reading, harness, data, len, out, error);
  if (rc == DRAY_OK && out_bad != NULL) *out_bad = dray_json_rows_bad(reading.rows);
  dray_json_rows_free(reading.rows);
  dray_builder_free(reading.builder);
  dray_schema_release(&reading.schema);
  return rc;
}

static void expect_all(const struct harness *harness, const char *data, size_t len, const char *expected, int32_t code,
                       const char *words) {
  const size_t pieces[] = {0, 1, 2, 7, 64};
  const uint64_t batches[] = {0, 1, 2};
  for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
    for (size_t k = 0; k < sizeof(batches) / sizeof(batches[0]); k++) {
      struct harness one = *harness;
      struct dray_error error = {.struct_size = sizeof(error)};
      struct dray_buffer out;
      dray_buffer_init(&out, 1 << 20);
      one.piece_bytes = pieces[i];
      one.rows_max = batches[k];
      const int32_t rc = harness_read(&one, data, len, &out, NULL, &error);
      const char *shown = out.data != NULL ? out.data : "";
      if (rc != code || strcmp(shown, expected) != 0 || strstr(error.text, words) == NULL) {
        fail_msg("pieces of %zu, batches of %llu: code %d, '%s' (expected %d, '%s')\n--- rows\n%s--- expected\n%s",
                 pieces[i], (unsigned long long)batches[k], rc, error.text, code, words, shown, expected);
      }
      dray_buffer_free(&out);
    }
  }
}

void harness_expect_bytes(const struct harness *harness, const char *data, size_t len, const char *expected) {
  expect_all(harness, data, len, expected, DRAY_OK, "");
}

void harness_expect(const struct harness *harness, const char *data, const char *expected) {
  expect_all(harness, data, strlen(data), expected, DRAY_OK, "");
}

void harness_expect_failure(const struct harness *harness, const char *data, const char *expected, int32_t code,
                            const char *words) {
  expect_all(harness, data, strlen(data), expected, code, words);
}
