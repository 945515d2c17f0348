// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The order of values by which `first` and `last` choose among rows of one key.
#include "diff/pass.h"

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

// A column of one or two decoded values.
struct values {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_view view;
  int viewed;
};

static void free_values(struct values *values) {
  if (values->viewed) dray_view_free(&values->view);
  dray_array_release(&values->array);
  dray_schema_release(&values->schema);
}

static int32_t decode(struct values *out, struct dray_type type, struct dray_str a, struct dray_str b,
                      struct dray_error *error) {
  const struct dray_column_def def = {"value", type, 1};
  struct dray_builder *builder = NULL;
  memset(out, 0, sizeof *out);
  DRAY_TRY(dray_schema_make(&def, 1, &out->schema, error));
  int32_t rc = dray_builder_new(&out->schema, 2, UINT64_MAX, &builder, error);
  if (rc == DRAY_OK) rc = dr_decode_value(a, builder, 0, error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, error);
  if (rc == DRAY_OK && b.len > 0) rc = dr_decode_value(b, builder, 0, error);
  if (rc == DRAY_OK && b.len > 0) rc = dray_builder_end_row(builder, NULL, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &out->array, error);
  if (rc == DRAY_OK) rc = dray_view_init(&out->view, &out->schema, &out->array, error);
  out->viewed = rc == DRAY_OK;
  dray_builder_free(builder);
  if (rc != DRAY_OK) free_values(out);
  return rc;
}

int32_t dr_order_bits_of(struct dr_schema *schema, size_t column, struct dray_str value, uint64_t *out,
                         struct dray_error *error) {
  struct values values;
  DRAY_TRY(decode(&values, schema->fields[column].type, value, dray_str_make(NULL, 0), error));
  *out = dr_order_bits(&values.view.columns[0], 0);
  free_values(&values);
  return DRAY_OK;
}

int32_t dr_order_compare(struct dr_schema *schema, size_t column, struct dray_str a, struct dray_str b, int *out,
                         struct dray_error *error) {
  struct values values;
  DRAY_TRY(decode(&values, schema->fields[column].type, a, b, error));
  *out = compare_rows(&values.view.columns[0]);
  free_values(&values);
  return DRAY_OK;
}
