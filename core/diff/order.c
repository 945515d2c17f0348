// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Keys that are null, and the order of values by which `first` and `last` choose among rows of one key.
#include "diff/pass.h"

int dr_key_is_null(const struct dr_encoder *keys, const struct dr_batch *batch, uint64_t row) {
  for (size_t i = 0; i < keys->column_count; i++) {
    const uint32_t column = keys->columns[i];
    if (dray_column_is_null(&batch->view.columns[column], row) || dr_batch_is_absent(batch, column, row)) return 1;
  }
  return 0;
}

#define SIGN (UINT64_C(1) << 63)

static uint64_t float_bits(double value) {
  uint64_t bits;
  if (value != value) return UINT64_MAX; // behind everything
  if (value == 0) value = 0;             // -0.0 is 0.0
  memcpy(&bits, &value, sizeof bits);
  return (bits & SIGN) != 0 ? ~bits : bits | SIGN;
}

static uint64_t decimal_bits(struct dray_decimal value) {
  if (value.high == (int64_t)value.low >> 63) return value.low ^ SIGN;
  return value.high < 0 ? 0 : UINT64_MAX;
}

static uint64_t text_bits(struct dray_str text) {
  uint64_t bits = 0;
  for (uint64_t i = 0; i < 8; i++) bits = bits << 8 | (i < text.len ? (uint8_t)text.data[i] : 0);
  return bits;
}

uint64_t dr_order_bits(const struct dray_column_view *column, uint64_t row) {
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    return (uint64_t)dray_column_bool(column, row);
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    return (uint64_t)dray_column_int64(column, row) ^ SIGN;
  case DRAY_TYPE_DATE:
    return (uint64_t)(int64_t)dray_column_date(column, row) ^ SIGN;
  case DRAY_TYPE_FLOAT64:
    return float_bits(dray_column_float64(column, row));
  case DRAY_TYPE_DECIMAL:
    return decimal_bits(dray_column_decimal(column, row));
  default:
    return text_bits(dray_column_bytes(column, row));
  }
}

static int compare_decimals(struct dray_decimal a, struct dray_decimal b) {
  if (a.high != b.high) return a.high < b.high ? -1 : 1;
  return a.low < b.low ? -1 : a.low > b.low;
}

static int compare_text(struct dray_str a, struct dray_str b) {
  const uint64_t len = a.len < b.len ? a.len : b.len;
  const int order = len > 0 ? memcmp(a.data, b.data, (size_t)len) : 0;
  if (order != 0) return order;
  return a.len < b.len ? -1 : a.len > b.len;
}

// The two values in rows 0 and 1 of a column.
static int compare_rows(const struct dray_column_view *column) {
  const uint64_t a = dr_order_bits(column, 0), b = dr_order_bits(column, 1);
  if (a != b) return a < b ? -1 : 1;
  if (column->type.id == DRAY_TYPE_DECIMAL) {
    return compare_decimals(dray_column_decimal(column, 0), dray_column_decimal(column, 1));
  }
  if (column->offsets == NULL) return 0;
  return compare_text(dray_column_bytes(column, 0), dray_column_bytes(column, 1));
}

int32_t dr_order_compare(struct dr_schema *schema, size_t column, struct dray_str a, struct dray_str b, int *out,
                         struct dray_error *error) {
  const struct dray_column_def def = {"value", schema->fields[column].type, 1};
  struct ArrowSchema arrow;
  struct ArrowArray array = {0};
  struct dray_builder *builder = NULL;
  struct dray_view view;
  DRAY_TRY(dray_schema_make(&def, 1, &arrow, error));
  int32_t rc = dray_builder_new(&arrow, 2, UINT64_MAX, &builder, error);
  if (rc == DRAY_OK) rc = dr_decode_value(a, builder, 0, error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, error);
  if (rc == DRAY_OK) rc = dr_decode_value(b, builder, 0, error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  if (rc == DRAY_OK) rc = dray_view_init(&view, &arrow, &array, error);
  if (rc == DRAY_OK) {
    *out = compare_rows(&view.columns[0]);
    dray_view_free(&view);
  }
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&arrow);
  return rc;
}
