// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One canonical column being written, for a number of rows that is known from the start. Inside core/table only;
// plugins and row-wise writers use the SDK's builder.
#ifndef DR_TABLE_FILL_H
#define DR_TABLE_FILL_H

#include "dray/sdk/column.h"

struct dr_fill {
  struct dray_type type;
  uint64_t rows;  // room for
  uint64_t count; // written so far
  int64_t nulls;
  uint8_t *validity; // owned; NULL until the first null
  void *values;      // owned: bits, fixed width values or offsets
  char *data;        // owned: text
  size_t data_bytes, data_capacity;
};

static inline int dr_type_is_text(int32_t id) {
  return id == DRAY_TYPE_STRING || id == DRAY_TYPE_BYTES || id == DRAY_TYPE_JSON;
}
static inline size_t dr_type_width(int32_t id) { // bytes a value; 0: bits or text
  if (id == DRAY_TYPE_DECIMAL) return 16;
  if (id == DRAY_TYPE_DATE) return 4;
  return id == DRAY_TYPE_INT64 || id == DRAY_TYPE_FLOAT64 || id == DRAY_TYPE_TIMESTAMP ? 8 : 0;
}

DRAY_NODISCARD int32_t dr_fill_begin(struct dr_fill *fill, struct dray_type type, uint64_t rows,
                                     struct dray_error *error);
void dr_fill_free(struct dr_fill *fill);
// Hands over the column. All rows must have been written.
DRAY_NODISCARD int32_t dr_fill_finish(struct dr_fill *fill, struct ArrowArray *out, struct dray_error *error);

DRAY_NODISCARD int32_t dr_fill_null(struct dr_fill *fill, struct dray_error *error);
// @errors DATA_TOO_LARGE past 2 GiB a column, OUT_OF_MEMORY; nothing is written then.
DRAY_NODISCARD int32_t dr_fill_bytes(struct dr_fill *fill, struct dray_str value, struct dray_error *error);

static inline void dr_fill_settle(struct dr_fill *fill) {
  if (fill->validity != NULL) fill->validity[fill->count >> 3] |= (uint8_t)(1u << (fill->count & 7));
  fill->count++;
}
static inline void dr_fill_bool(struct dr_fill *fill, int value) {
  if (value) ((uint8_t *)fill->values)[fill->count >> 3] |= (uint8_t)(1u << (fill->count & 7));
  dr_fill_settle(fill);
}
static inline void dr_fill_int64(struct dr_fill *fill, int64_t value) { // INT64 and TIMESTAMP
  ((int64_t *)fill->values)[fill->count] = value;
  dr_fill_settle(fill);
}
static inline void dr_fill_float64(struct dr_fill *fill, double value) {
  ((double *)fill->values)[fill->count] = value;
  dr_fill_settle(fill);
}
static inline void dr_fill_decimal(struct dr_fill *fill, struct dray_decimal value) {
  ((struct dray_decimal *)fill->values)[fill->count] = value;
  dr_fill_settle(fill);
}
static inline void dr_fill_date(struct dr_fill *fill, int32_t days) {
  ((int32_t *)fill->values)[fill->count] = days;
  dr_fill_settle(fill);
}

// Copies one value of a column of the same type (for decimals: of the same scale), null or not.
DRAY_NODISCARD int32_t dr_fill_copy(struct dr_fill *fill, const struct dray_column_view *column, uint64_t row,
                                    struct dray_error *error);

// A struct array with `column_count` released children, to be filled in. @owner release it.
DRAY_NODISCARD int32_t dr_struct_array_new(size_t column_count, int64_t length, struct ArrowArray *out,
                                           struct dray_error *error);
// Moves one child out, as a column of its own.
void dr_struct_array_take(const struct ArrowArray *array, int64_t child, struct ArrowArray *out);

#endif // DR_TABLE_FILL_H
