// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Canonical columns written whole: buffers are made once for the known number of rows, zeroed, and handed over.
#include "table/fill.h"

#include <assert.h>
#include <stdlib.h>

#define ROWS_MAX ((uint64_t)INT32_MAX)
#define TEXT_BYTES_MAX ((size_t)INT32_MAX) // Arrow's offsets are int32

static int32_t no_memory(uint64_t rows, struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column of %llu rows", (unsigned long long)rows);
}

int32_t dr_fill_begin(struct dr_fill *fill, struct dray_type type, uint64_t rows, struct dray_error *error) {
  const size_t width = dr_type_width(type.id), bits = type.id == DRAY_TYPE_BOOL;
  if (rows > ROWS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a batch of %llu rows passes the limit of %llu", (unsigned long long)rows,
                     (unsigned long long)ROWS_MAX);
  }
  const size_t bytes = bits ? (size_t)rows / 8 + 1 : width > 0 ? (size_t)rows * width : ((size_t)rows + 1) * 4;
  *fill = (struct dr_fill){.type = type, .rows = rows, .values = calloc(bytes + 1, 1)};
  return fill->values == NULL ? no_memory(rows, error) : DRAY_OK;
}

void dr_fill_free(struct dr_fill *fill) {
  free(fill->validity);
  free(fill->values);
  free(fill->data);
  *fill = (struct dr_fill){.rows = 0};
}

// The bitmap begins with everything so far valid, and zero bits for what comes.
static int32_t make_validity(struct dr_fill *fill, struct dray_error *error) {
  const size_t whole = (size_t)fill->count / 8;
  fill->validity = calloc((size_t)fill->rows / 8 + 1, 1);
  if (fill->validity == NULL) return no_memory(fill->rows, error);
  memset(fill->validity, 0xFF, whole);
  fill->validity[whole] = (uint8_t)((1u << (fill->count & 7)) - 1);
  return DRAY_OK;
}

int32_t dr_fill_null(struct dr_fill *fill, struct dray_error *error) {
  assert(fill->count < fill->rows);
  if (fill->validity == NULL) DRAY_TRY(make_validity(fill, error));
  if (dr_type_is_text(fill->type.id)) ((int32_t *)fill->values)[fill->count + 1] = (int32_t)fill->data_bytes;
  fill->count++;
  fill->nulls++;
  return DRAY_OK;
}

int32_t dr_fill_bytes(struct dr_fill *fill, struct dray_str value, struct dray_error *error) {
  assert(fill->count < fill->rows);
  if (value.len > TEXT_BYTES_MAX - fill->data_bytes) {
    return dray_fail(error, DRAY_E_DATA_TOO_LARGE,
                     "a value of %llu bytes passes the 2 GiB that one column of a batch holds",
                     (unsigned long long)value.len);
  }
  if (value.len > fill->data_capacity - fill->data_bytes) {
    size_t capacity = fill->data_capacity * 2;
    if (capacity < fill->data_bytes + (size_t)value.len) capacity = fill->data_bytes + (size_t)value.len;
    if (capacity < fill->rows * 8) capacity = (size_t)fill->rows * 8;
    char *data = realloc(fill->data, capacity);
    if (data == NULL) return no_memory(fill->rows, error);
    fill->data = data;
    fill->data_capacity = capacity;
  }
  if (value.len > 0) memcpy(fill->data + fill->data_bytes, value.data, (size_t)value.len);
  fill->data_bytes += (size_t)value.len;
  ((int32_t *)fill->values)[fill->count + 1] = (int32_t)fill->data_bytes;
  dr_fill_settle(fill);
  return DRAY_OK;
}

int32_t dr_fill_copy(struct dr_fill *fill, const struct dray_column_view *column, uint64_t row,
                     struct dray_error *error) {
  if (dray_column_is_null(column, row)) return dr_fill_null(fill, error);
  assert(fill->count < fill->rows);
  switch (dr_type_width(fill->type.id)) {
  case 4:
    dr_fill_date(fill, dray_column_date(column, row));
    return DRAY_OK;
  case 8:
    dr_fill_int64(fill, dray_column_int64(column, row)); // float64 as its bits
    return DRAY_OK;
  case 16:
    dr_fill_decimal(fill, dray_column_decimal(column, row));
    return DRAY_OK;
  default:
    break;
  }
  if (dr_type_is_text(fill->type.id)) return dr_fill_bytes(fill, dray_column_bytes(column, row), error);
  dr_fill_bool(fill, dray_column_bool(column, row));
  return DRAY_OK;
}

// ---- handing over ----

struct column_private {
  const void *buffers[3]; // owned
};

static void release_column(struct ArrowArray *array) {
  struct column_private *private_data = array->private_data;
  for (int i = 0; i < 3; i++) free((void *)(uintptr_t)private_data->buffers[i]);
  free(private_data);
  array->release = NULL;
}

int32_t dr_fill_finish(struct dr_fill *fill, struct ArrowArray *out, struct dray_error *error) {
  struct column_private *private_data = calloc(1, sizeof(*private_data));
  assert(fill->count == fill->rows);
  if (private_data == NULL) return no_memory(fill->rows, error);
  private_data->buffers[0] = fill->validity;
  private_data->buffers[1] = fill->values;
  private_data->buffers[2] = fill->data;
  *out = (struct ArrowArray){.length = (int64_t)fill->count,
                             .null_count = fill->nulls,
                             .n_buffers = dr_type_is_text(fill->type.id) ? 3 : 2,
                             .buffers = private_data->buffers,
                             .release = release_column,
                             .private_data = private_data};
  *fill = (struct dr_fill){.rows = 0};
  return DRAY_OK;
}

struct struct_private {
  struct ArrowArray *children; // owned
  const void *buffers[1];
};

static void release_struct(struct ArrowArray *array) {
  struct struct_private *private_data = array->private_data;
  for (int64_t i = 0; i < array->n_children; i++) dray_array_release(&private_data->children[i]);
  free(private_data->children);
  free(private_data);
  array->release = NULL;
}

void dr_struct_array_take(const struct ArrowArray *array, int64_t child, struct ArrowArray *out) {
  struct ArrowArray *from = array->children[child];
  const int whole = array->offset == 0 && from->length == array->length;
  *out = *from;
  from->release = NULL;
  out->offset += array->offset; // a struct's offset applies to its children, who stand alone now
  out->length = array->length;
  if (!whole && out->null_count != 0) out->null_count = -1;
}

int32_t dr_struct_array_new(size_t column_count, int64_t length, struct ArrowArray *out, struct dray_error *error) {
  struct struct_private *private_data = calloc(1, sizeof(*private_data) + column_count * sizeof(void *));
  struct ArrowArray *children = calloc(column_count + 1, sizeof(*children));
  if (private_data == NULL || children == NULL) {
    free(private_data);
    free(children);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu columns", column_count);
  }
  struct ArrowArray **pointers = (struct ArrowArray **)(void *)(private_data + 1);
  for (size_t i = 0; i < column_count; i++) pointers[i] = &children[i];
  private_data->children = children;
  *out = (struct ArrowArray){.length = length,
                             .n_buffers = 1,
                             .n_children = (int64_t)column_count,
                             .buffers = private_data->buffers,
                             .children = column_count > 0 ? pointers : NULL,
                             .release = release_struct,
                             .private_data = private_data};
  return DRAY_OK;
}
