// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of edge values: what plugins lose first. Unicode beyond the BMP, empty beside null, the ends of int64, 38
// digits, dates and times at the ends of their range, 64 KiB of text.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/subject.h"

#define HUGE_BYTES 65536

static const char *const texts[] = {"plain",
                                    "",
                                    "Grüße, 東京 \U0001F600 \u202Eright to left",
                                    "quote \" comma , semicolon ; tab \t",
                                    "line one\nline two\r\nline three",
                                    "'; drop table x; --",
                                    " blanks around ",
                                    "null"};
static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 42, 9007199254740993, -9007199254740993};
static const char *const decimals[] = {"0",
                                       "1",
                                       "-1",
                                       "99999999999999999999999999999.999999999",
                                       "-99999999999999999999999999999.999999999",
                                       "0.000000001",
                                       "12.300000000",
                                       "-0.1"};
static const double floats[] = {0.0, 1.5,  -1.5,       1.7976931348623157e308, 2.2250738585072014e-308,
                                0.1, 1e21, -123456.789};
static const char *const dates[] = {"1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31",
                                    "1969-12-31", "2000-02-29", "1900-03-01", "2026-11-22"};
static const char *const times[] = {"1970-01-01T00:00:00Z",
                                    "2024-03-31T01:59:59.999999Z",
                                    "0001-01-01T00:00:00Z",
                                    "9999-12-31T23:59:59.999999Z",
                                    "1969-12-31T23:59:59.999999Z",
                                    "2024-03-31T03:00:00+02:00",
                                    "2024-10-27T02:30:00.000001+01:00",
                                    "2026-11-22T05:06:07.89Z"};
static const char *const documents[] = {
    "{}",   "[]", "{\"id\":12345678901234567890}", "\"text\"", "[1,2.50,null,true]", "{\"a\":{\"b\":[{}]}}",
    "null", "1e2"};
#define EDGE_ROWS 8

void edge_free(struct edge *edge) {
  dray_array_release(&edge->array);
  dray_schema_release(&edge->schema);
  memset(edge, 0, sizeof(*edge));
}

static int32_t put_value(struct dray_builder *builder, size_t column, struct dray_type type, size_t row,
                         struct dray_error *error) {
  if (row == EDGE_ROWS) return dray_builder_null(builder, column, error);
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    return dray_builder_bool(builder, column, (int32_t)(row & 1), error);
  case DRAY_TYPE_INT64:
    return dray_builder_int64(builder, column, numbers[row], error);
  case DRAY_TYPE_FLOAT64:
    return dray_builder_float64(builder, column, floats[row], error);
  case DRAY_TYPE_DECIMAL:
    return type.precision == 38 && type.scale == 9
               ? dray_builder_text(builder, column, dray_str_of(decimals[row]), error)
               : dray_builder_decimal(builder, column, dray_decimal_of_int64((int64_t)row), error);
  case DRAY_TYPE_BYTES:
    return dray_builder_bytes(builder, column,
                              dray_str_make("\x00\xFF\x80"
                                            "binary",
                                            row),
                              error);
  case DRAY_TYPE_DATE:
    return dray_builder_text(builder, column, dray_str_of(dates[row]), error);
  case DRAY_TYPE_TIMESTAMP:
    return dray_builder_text(builder, column, dray_str_of(times[row]), error);
  case DRAY_TYPE_JSON:
    return dray_builder_bytes(builder, column, dray_str_of(documents[row]), error);
  default:
    return dray_builder_bytes(builder, column, dray_str_of(texts[row]), error);
  }
}

static int32_t put_huge(struct dray_builder *builder, size_t column, struct dray_error *error) {
  char *huge = malloc(HUGE_BYTES);
  if (huge == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a value");
  memset(huge, 'x', HUGE_BYTES);
  const int32_t rc = dray_builder_bytes(builder, column, dray_str_make(huge, HUGE_BYTES), error);
  free(huge);
  return rc;
}

// Key, then the columns; the last row but one has nulls, the last a huge text.
static int32_t fill(struct edge *edge, const struct dray_column_def *defs, size_t count, int reserved, size_t row_limit,
                    struct dray_error *error) {
  struct dray_builder *builder = NULL;
  DRAY_TRY(dray_builder_new(&edge->schema, UINT64_MAX, UINT64_MAX, &builder, error));
  int32_t rc = DRAY_OK;
  const size_t rows = EDGE_ROWS + 2;
  for (size_t row = 0; rc == DRAY_OK && row < rows && (row_limit == 0 || row < row_limit); row++) {
    rc = dray_builder_int64(builder, 0, (int64_t)row + 1, error);
    for (size_t c = 1; rc == DRAY_OK && c < count; c++) {
      const int huge = row == EDGE_ROWS + 1 && defs[c].type.id == DRAY_TYPE_STRING;
      rc = huge ? put_huge(builder, c, error) : put_value(builder, c, defs[c].type, row <= EDGE_ROWS ? row : 0, error);
    }
    if (rc == DRAY_OK && reserved) rc = dray_builder_int64(builder, count + 1, (int64_t)row, error);
    if (rc == DRAY_OK && reserved) rc = dray_builder_int64(builder, count + 2, DRAY_OP_INSERT, error);
    if (rc == DRAY_OK && reserved)
      rc = dray_builder_bytes(builder, count + 3, dray_str_make("\xFF\xFF\xFF\xFF", (count + 7) / 8), error);
    int32_t full = 0;
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &full, error);
    edge->rows[edge->row_count++] = (int64_t)row;
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &edge->array, error);
  dray_builder_free(builder);
  return rc;
}

int32_t edge_make(int reserved, size_t row_limit, struct edge *out, struct dray_error *error) {
  static const char *const names[] = {"",       "a_bool",     "an_int", "a_float", "a_decimal",
                                      "a_text", "some_bytes", "a_date", "a_time",  "a_json"};
  struct dray_column_def defs[16];
  size_t count = 0;
  memset(out, 0, sizeof(*out));
  defs[count++] = (struct dray_column_def){"id", {DRAY_TYPE_INT64, 0, 0}, 0};
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    const struct dray_type full = {type, type == DRAY_TYPE_DECIMAL ? 38 : 0, type == DRAY_TYPE_DECIMAL ? 9 : 0};
    defs[count++] = (struct dray_column_def){names[type], full, 1};
  }
  out->column_count = count;
  if (reserved) {
    defs[count] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
    defs[count + 1] = (struct dray_column_def){DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0};
    defs[count + 2] = (struct dray_column_def){DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0};
    defs[count + 3] = (struct dray_column_def){DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1};
  }
  DRAY_TRY(dray_schema_make(defs, count + (reserved ? 4 : 0), &out->schema, error));
  const int32_t rc = fill(out, defs, count, reserved, row_limit, error);
  if (rc != DRAY_OK) edge_free(out);
  return rc;
}
