// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The view: reads a struct array of canonical columns in place, after checking all that can be checked about memory
// that somebody else laid out.
#include <stdlib.h>

#include "column_inside.h"

static int32_t malformed(const char *name, const char *what, long long value, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, name, "the Arrow array of column '%s' is malformed: %s (%lld)",
                         name, what, value);
}

static int32_t check_shape(const struct ArrowArray *array, int64_t buffers, const char *name,
                           struct dray_error *error) {
  if (array == NULL || array->release == NULL) return malformed(name, "it is released", 0, error);
  if (array->length < 0 || array->offset < 0 || array->length > INT64_MAX - array->offset) {
    return malformed(name, "its length or offset is impossible", (long long)array->length, error);
  }
  if (array->null_count < -1 || array->null_count > array->length) {
    return malformed(name, "its null count is impossible", (long long)array->null_count, error);
  }
  if (array->n_buffers != buffers || array->buffers == NULL) {
    return malformed(name, "it has the wrong number of buffers", (long long)array->n_buffers, error);
  }
  return DRAY_OK;
}

#define OFFSETS_AT_ONCE 16 // a constant, so that they are compared several at a time

int dray_offsets_rise(const void *offsets, uint64_t count) {
  typedef int32_t anywhere __attribute__((aligned(1), may_alias));
  const anywhere *at = offsets;
  int32_t falls = 0;
  uint64_t i = 0;
  for (; i + OFFSETS_AT_ONCE <= count; i += OFFSETS_AT_ONCE) {
    for (uint64_t k = i; k < i + OFFSETS_AT_ONCE; k++) falls |= at[k + 1] < at[k];
  }
  for (; i < count; i++) falls |= at[i + 1] < at[i];
  return !falls;
}

// Offsets of rows `first` to `first + rows` must not fall, nor begin below 0.
static int32_t check_offsets(const int32_t *offsets, uint64_t first, uint64_t rows, const char *name,
                             struct dray_error *error) {
  const int right = offsets[first] >= 0 && dray_offsets_rise(offsets + first, rows);
  return right ? DRAY_OK : malformed(name, "its offsets fall or are negative", offsets[first], error);
}

static int32_t check_buffers(struct dray_column_view *column, const struct ArrowArray *array, uint64_t rows,
                             struct dray_error *error) {
  const size_t width = dray_type_width(column->type.id), align = width > 8 ? 8 : width;
  const int text = dray_type_is_text(column->type.id);
  const void *values = array->buffers[1];
  if (rows > 0 && values == NULL) return malformed(column->name, "a buffer is missing", 1, error);
  if (array->null_count > 0 && array->buffers[0] == NULL) {
    return malformed(column->name, "it has nulls and no validity bitmap", (long long)array->null_count, error);
  }
  if ((uintptr_t)values % (text ? sizeof(int32_t) : align > 0 ? align : 1) != 0) {
    return malformed(column->name, "a buffer is not aligned to its values", (long long)align, error);
  }
  column->validity = array->null_count == 0 ? NULL : array->buffers[0];
  column->values = values;
  if (!text) return DRAY_OK;
  column->data = array->buffers[2];
  column->offsets = values;
  if (rows > 0) {
    const uint64_t first = (uint64_t)column->offset;
    DRAY_TRY(check_offsets(column->offsets, first, rows, column->name, error));
    if (column->data == NULL && column->offsets[first + rows] != column->offsets[first]) {
      return malformed(column->name, "its bytes are missing", column->offsets[first + rows], error);
    }
  }
  if (column->data == NULL) column->data = ""; // pointer arithmetic on NULL is undefined even by 0
  return DRAY_OK;
}

static int32_t view_column(struct dray_column_view *column, const struct ArrowSchema *schema,
                           const struct ArrowArray *parent, const struct ArrowArray *array, struct dray_error *error) {
  DRAY_TRY(dray_schema_type(schema, &column->type, error));
  DRAY_TRY(check_shape(array, dray_type_is_text(column->type.id) ? 3 : 2, column->name, error));
  if (array->length < parent->length + parent->offset) {
    return malformed(column->name, "it is shorter than its batch", (long long)array->length, error);
  }
  if (array->offset > INT64_MAX - parent->offset - parent->length) {
    return malformed(column->name, "its offset is impossible", (long long)array->offset, error);
  }
  column->offset = array->offset + parent->offset; // a struct's offset applies to its children as well
  return check_buffers(column, array, (uint64_t)parent->length, error);
}

// Rows of a batch are there or not; a null among them has no meaning.
static int32_t check_parent(const struct ArrowSchema *schema, const struct ArrowArray *array,
                            struct dray_error *error) {
  if (schema == NULL || schema->release == NULL || schema->format == NULL || schema->n_children < 0) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the schema of a batch is released or malformed");
  }
  if (strcmp(schema->format, "+s") != 0) {
    return dray_fail(error, DRAY_E_SCHEMA_TYPE, "a batch is a struct ('+s'), not '%s'", schema->format);
  }
  DRAY_TRY(check_shape(array, 1, "batch", error));
  if (array->n_children != schema->n_children || (array->n_children > 0 && array->children == NULL)) {
    return malformed("batch", "its columns are not those of its schema", (long long)array->n_children, error);
  }
  const uint8_t *validity = array->null_count == 0 ? NULL : array->buffers[0];
  for (int64_t i = array->offset; validity != NULL && i < array->offset + array->length; i++) {
    if ((validity[i >> 3] >> (i & 7) & 1) == 0) {
      return malformed("batch", "a whole row is null", (long long)(i - array->offset), error);
    }
  }
  return DRAY_OK;
}

// The columns and, behind them, copies of their names: the schema may be gone before the view is.
static struct dray_column_view *make_columns(const struct ArrowSchema *schema, struct dray_error *error) {
  const size_t count = (size_t)schema->n_children;
  size_t name_bytes = 1;
  for (size_t i = 0; i < count; i++) {
    const char *name = schema->children[i]->name;
    name_bytes += name != NULL ? strlen(name) + 1 : 1;
  }
  struct dray_column_view *columns = calloc(1, count * sizeof *columns + name_bytes);
  if (columns == NULL) {
    (void)dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a view of %zu columns", count);
    return NULL;
  }
  char *at = (char *)(columns + count);
  int64_t bit = 0;
  for (size_t i = 0; i < count; i++) {
    const char *name = schema->children[i]->name;
    const size_t len = name != NULL ? strlen(name) : 0;
    if (len > 0) memcpy(at, name, len);
    columns[i].name = at;
    columns[i].absent_bit = dray_column_reserved(at) ? -1 : bit++;
    at += len + 1;
  }
  return columns;
}

int32_t dray_view_init(struct dray_view *view, const struct ArrowSchema *schema, const struct ArrowArray *array,
                       struct dray_error *error) {
  DRAY_TRY(check_parent(schema, array, error));
  struct dray_column_view *columns = make_columns(schema, error);
  if (columns == NULL) return DRAY_E_OUT_OF_MEMORY;
  ptrdiff_t absent = -1;
  for (int64_t i = 0; i < schema->n_children; i++) {
    int32_t code = view_column(&columns[i], schema->children[i], array, array->children[i], error);
    if (code == DRAY_OK && strcmp(columns[i].name, DRAY_COLUMN_ABSENT) == 0) {
      absent = (ptrdiff_t)i;
      if (columns[i].type.id != DRAY_TYPE_BYTES) {
        code = malformed(columns[i].name, "it is not bytes", columns[i].type.id, error);
      }
    }
    if (code != DRAY_OK) {
      free(columns);
      return code;
    }
  }
  *view = (struct dray_view){(uint64_t)array->length, (size_t)schema->n_children, columns, absent};
  return DRAY_OK;
}

void dray_view_free(struct dray_view *view) {
  if (view == NULL) return;
  free(view->columns);
  *view = (struct dray_view){0, 0, NULL, -1};
}

ptrdiff_t dray_view_find(const struct dray_view *view, struct dray_str name) {
  for (size_t i = 0; i < view->column_count; i++) {
    if (dray_str_is(name, view->columns[i].name)) return (ptrdiff_t)i;
  }
  return -1;
}

int dray_view_absent(const struct dray_view *view, size_t column, uint64_t row) {
  if (view->absent_column < 0) return 0;
  const struct dray_column_view *bits = &view->columns[view->absent_column];
  const int64_t bit = view->columns[column].absent_bit;
  if (bit < 0 || dray_column_is_null(bits, row)) return 0;
  const struct dray_str bytes = dray_column_bytes(bits, row);
  return (uint64_t)bit / 8 < bytes.len && ((uint8_t)bytes.data[bit / 8] >> (bit & 7) & 1);
}

int32_t dray_column_text(const struct dray_column_view *column, uint64_t row, struct dray_buffer *out,
                         struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX];
  size_t len = 0;
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    return dray_buffer_append_str(out, dray_column_bool(column, row) ? "true" : "false", error);
  case DRAY_TYPE_INT64:
    len = dray_format_int64(dray_column_int64(column, row), text);
    break;
  case DRAY_TYPE_FLOAT64:
    len = dray_format_float64(dray_column_float64(column, row), text);
    break;
  case DRAY_TYPE_DECIMAL:
    len = dray_format_decimal(dray_column_decimal(column, row), column->type.scale, text);
    break;
  case DRAY_TYPE_DATE:
    len = dray_format_date(dray_column_date(column, row), text);
    break;
  case DRAY_TYPE_TIMESTAMP:
    len = dray_format_timestamp(dray_column_int64(column, row), text);
    break;
  case DRAY_TYPE_BYTES:
    return dray_base64_encode(dray_column_bytes(column, row), out, error);
  default: {
    const struct dray_str value = dray_column_bytes(column, row);
    return dray_buffer_append(out, value.data, (size_t)value.len, error);
  }
  }
  return dray_buffer_append(out, text, len, error);
}
