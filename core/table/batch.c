// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Canonical batches: wrapping arrays that are canonical already, and picking rows out of them.
#include "table/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "table/fill.h"

struct dr_batch *dr_batch_ref(struct dr_batch *batch) {
  (void)atomic_fetch_add_explicit(&batch->others, 1, memory_order_relaxed);
  return batch;
}

void dr_batch_free(struct dr_batch *batch) {
  if (batch == NULL || atomic_fetch_sub_explicit(&batch->others, 1, memory_order_acq_rel) != 0) return;
  for (size_t i = 0; batch->absent != NULL && i < batch->schema->field_count; i++) free(batch->absent[i]);
  free(batch->absent);
  free(batch->deleted);
  dray_view_free(&batch->view);
  dray_array_release(&batch->array);
  dr_schema_unref(batch->schema);
  free(batch);
}

// ---- wrapping ----

static uint64_t measure(const struct dray_view *view) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    if (column->validity != NULL) bytes += view->row_count / 8 + 1;
    if (dr_type_is_text(column->type.id)) {
      if (view->row_count == 0) continue;
      const int32_t *offsets = column->offsets + column->offset;
      bytes += view->row_count * 4 + (uint64_t)(offsets[view->row_count] - offsets[0]);
    } else {
      const size_t width = dr_type_width(column->type.id);
      bytes += width > 0 ? view->row_count * width : view->row_count / 8 + 1;
    }
  }
  return bytes;
}

int32_t dr_batch_set_absent(struct dr_batch *batch, size_t column, uint64_t row, struct dray_error *error) {
  assert(column < batch->schema->field_count && row < batch->view.row_count);
  if (batch->absent == NULL) batch->absent = calloc(batch->schema->field_count, sizeof(*batch->absent));
  if (batch->absent != NULL && batch->absent[column] == NULL) {
    batch->absent[column] = calloc((size_t)batch->view.row_count / 8 + 1, 1);
  }
  if (batch->absent == NULL || batch->absent[column] == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the absent values of %llu rows",
                     (unsigned long long)batch->view.row_count);
  }
  batch->absent[column][row >> 3] |= (uint8_t)(1u << (row & 7));
  return DRAY_OK;
}

// An array without rows, with the buffers that a reader of it may touch.
static int32_t make_empty(const struct dr_schema *schema, struct ArrowArray *out, struct dray_error *error) {
  struct ArrowArray array;
  DRAY_TRY(dr_struct_array_new(schema->field_count, 0, &array, error));
  for (size_t i = 0; i < schema->field_count; i++) {
    struct dr_fill fill;
    int32_t code = dr_fill_begin(&fill, schema->fields[i].type, 0, error);
    if (code == DRAY_OK) code = dr_fill_finish(&fill, array.children[i], error);
    if (code != DRAY_OK) {
      dr_fill_free(&fill);
      dray_array_release(&array);
      return code;
    }
  }
  *out = array;
  return DRAY_OK;
}

// Bits of the last child, _dray_absent, as bitmaps by column. A value that is absent and not null is refused: the
// array is of our own making here.
static int32_t take_absent(struct dr_batch *batch, const struct ArrowArray *bits, struct dray_error *error) {
  const struct dray_column_def def = {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  struct ArrowSchema schema;
  struct dray_view view;
  struct ArrowArray *children[] = {(struct ArrowArray *)(uintptr_t)bits};
  const void *buffers[] = {NULL};
  struct ArrowArray parent = batch->array;
  parent.children = children;
  parent.n_children = 1;
  parent.n_buffers = 1;
  parent.buffers = buffers;
  parent.null_count = 0;
  DRAY_TRY(dray_schema_make(&def, 1, &schema, error));
  int32_t code = dray_view_init(&view, &schema, &parent, error);
  dray_schema_release(&schema);
  if (code != DRAY_OK) return code;
  for (uint64_t row = 0; row < view.row_count && code == DRAY_OK; row++) {
    if (dray_column_is_null(&view.columns[0], row)) continue;
    const struct dray_str mask = dray_column_bytes(&view.columns[0], row);
    for (size_t i = 0; i < batch->schema->field_count && i / 8 < mask.len && code == DRAY_OK; i++) {
      if (((uint8_t)mask.data[i / 8] >> (i & 7) & 1) == 0) continue;
      if (!dray_column_is_null(&batch->view.columns[i], row)) {
        code = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "row %llu of column '%s' is absent and has a value",
                         (unsigned long long)row, batch->schema->fields[i].name);
      } else {
        code = dr_batch_set_absent(batch, i, row, error);
      }
    }
  }
  dray_view_free(&view);
  return code;
}

static int32_t view_fields(struct dr_batch *batch, struct dray_error *error) {
  const size_t count = batch->schema->field_count;
  if (batch->array.n_children != (int64_t)count && batch->array.n_children != (int64_t)count + 1) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch has %lld columns where its schema has %zu",
                     (long long)batch->array.n_children, count);
  }
  struct ArrowArray fields = batch->array; // the same without _dray_absent
  fields.n_children = (int64_t)count;
  DRAY_TRY(dray_view_init(&batch->view, &batch->schema->arrow, &fields, error));
  if (batch->array.n_children == (int64_t)count) return DRAY_OK;
  return take_absent(batch, batch->array.children[count], error);
}

int32_t dr_batch_wrap(struct dr_schema *schema, struct ArrowArray *array, struct dr_batch **out,
                      struct dray_error *error) {
  struct dr_batch *batch = calloc(1, sizeof(*batch));
  struct ArrowArray taken = *array;
  int32_t code = DRAY_OK;
  if (batch == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  if (array->release == NULL) code = make_empty(schema, &taken, error);
  batch->array = taken;
  batch->schema = dr_schema_ref(schema);
  if (code == DRAY_OK) code = view_fields(batch, error);
  if (code != DRAY_OK) {
    if (array->release != NULL) batch->array.release = NULL; // still the caller's
    dr_batch_free(batch);
    return code;
  }
  batch->bytes = measure(&batch->view);
  array->release = NULL;
  *out = batch;
  return DRAY_OK;
}

// ---- picking rows ----

static int32_t gather_column(const struct dray_column_view *column, const uint32_t *rows, size_t row_count,
                             struct ArrowArray *out, struct dray_error *error) {
  struct dr_fill fill;
  int32_t code = dr_fill_begin(&fill, column->type, row_count, error);
  for (size_t i = 0; i < row_count && code == DRAY_OK; i++) code = dr_fill_copy(&fill, column, rows[i], error);
  if (code == DRAY_OK) code = dr_fill_finish(&fill, out, error);
  dr_fill_free(&fill);
  return code;
}

static int32_t gather_marks(const struct dr_batch *batch, const uint32_t *rows, struct dr_batch *to,
                            struct dray_error *error) {
  const uint64_t count = to->view.row_count;
  for (size_t c = 0; batch->absent != NULL && c < batch->schema->field_count; c++) {
    for (uint64_t i = 0; i < count; i++) {
      if (dr_batch_is_absent(batch, c, rows[i])) DRAY_TRY(dr_batch_set_absent(to, c, i, error));
    }
  }
  if (batch->deleted == NULL) return DRAY_OK;
  to->deleted = calloc((size_t)count / 8 + 1, 1);
  if (to->deleted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for tombstones");
  for (uint64_t i = 0; i < count; i++) {
    if (dr_batch_is_deleted(batch, rows[i])) to->deleted[i >> 3] |= (uint8_t)(1u << (i & 7));
  }
  return DRAY_OK;
}

int32_t dr_batch_gather(const struct dr_batch *batch, const uint32_t *rows, size_t row_count, struct dr_batch **out,
                        struct dray_error *error) {
  struct ArrowArray array;
  struct dr_batch *gathered = NULL;
  DRAY_TRY(dr_struct_array_new(batch->schema->field_count, (int64_t)row_count, &array, error));
  int32_t code = DRAY_OK;
  for (size_t c = 0; c < batch->schema->field_count && code == DRAY_OK; c++) {
    code = gather_column(&batch->view.columns[c], rows, row_count, array.children[c], error);
  }
  if (code == DRAY_OK) code = dr_batch_wrap(batch->schema, &array, &gathered, error);
  if (code == DRAY_OK) code = gather_marks(batch, rows, gathered, error);
  dray_array_release(&array);
  if (code != DRAY_OK) {
    dr_batch_free(gathered);
    return code;
  }
  gathered->first_row = batch->first_row;
  *out = gathered;
  return DRAY_OK;
}

int32_t dr_batch_key(const struct dr_batch *batch, const char *const *names, size_t name_count, uint64_t row,
                     struct dray_buffer *out, int *out_whole, struct dray_error *error) {
  int whole = name_count > 0;
  for (size_t k = 0; k < name_count; k++) {
    const ptrdiff_t column = dr_schema_find(batch->schema, dray_str_of(names[k]));
    if (column < 0) {
      whole = 0;
      continue;
    }
    DRAY_TRY(dray_buffer_printf(out, error, "%s%s=", k > 0 ? " " : "", names[k]));
    const struct dray_column_view *view = &batch->view.columns[column];
    if (dray_column_is_null(view, row)) {
      whole = 0;
      DRAY_TRY(dray_buffer_append_str(out, "null", error));
    } else {
      DRAY_TRY(dray_column_text(view, row, out, error));
    }
  }
  if (out_whole != NULL) *out_whole = whole;
  return DRAY_OK;
}
