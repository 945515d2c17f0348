// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Folding a column: all of its bytes in words of eight as if they were ASCII, which nearly all are; only a column with
// other characters, or with blanks around a text, is looked at text by text.
#include "table/fold.h"

#include <assert.h>
#include <stdlib.h>

#include "dray/sdk/fold.h"
#include "table/fill.h"

#define COLUMN_BYTES_MAX ((uint64_t)INT32_MAX) // Arrow's offsets are int32
#define HIGH_BITS UINT64_C(0x8080808080808080)
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

// ---- a column ----

// Folds letters of ASCII. Returns 1 when there was nothing but ASCII.
static int fold_ascii(const char *from, size_t len, char *to) {
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= len; i += 8) {
    uint64_t word;
    memcpy(&word, from + i, 8);
    seen |= word;
    // The high bit of each byte says whether its lower seven are at least 'A', and beyond 'Z'.
    const uint64_t low = word & ~HIGH_BITS;
    const uint64_t letters = ((low + EACH(0x80 - 'A')) & ~(low + EACH(0x7F - 'Z'))) & ~word & HIGH_BITS;
    word |= letters >> 2; // 0x20, which no capital has
    memcpy(to + i, &word, 8);
  }
  for (; i < len; i++) {
    const uint32_t byte = (unsigned char)from[i];
    seen |= byte;
    to[i] = (char)(byte - 'A' < 26 ? byte + 32 : byte);
  }
  return (seen & HIGH_BITS) == 0;
}

static void copy_nulls(struct dr_fill *fill, const struct dray_column_view *column) {
  for (uint64_t row = 0; row < fill->rows; row++) {
    if (dray_column_is_null(column, row)) {
      fill->nulls++;
    } else {
      fill->validity[row >> 3] |= (uint8_t)(1u << (row & 7));
    }
  }
}

// As dray_fold_text cuts them off.
static int is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static int any_blanks(const int32_t *offsets, const char *data, uint64_t rows) {
  int any = 0;
  for (uint64_t row = 0; row < rows; row++) {
    const int32_t from = offsets[row], to = offsets[row + 1];
    any |= to > from && (is_blank(data[from]) || is_blank(data[to - 1]));
  }
  return any;
}

// Not only ASCII, or blanks around a text: text by text, into room for the longest that they can become.
static void fold_texts(struct dr_fill *fill, const struct dray_column_view *column) {
  int32_t *ends = fill->values;
  size_t at = 0;
  for (uint64_t row = 0; row < fill->rows; row++) {
    if (!dray_column_is_null(column, row)) {
      const struct dray_str text = dray_column_bytes(column, row);
      at += dray_fold_text(text.data, (size_t)text.len, fill->data + at);
    }
    ends[row + 1] = (int32_t)at;
  }
  fill->data_bytes = at;
}

static int32_t fold_column(const struct dray_column_view *column, uint64_t rows, struct dr_fill *fill,
                           struct dray_error *error) {
  const int32_t *offsets = column->offsets + column->offset;
  const size_t first = rows > 0 ? (size_t)offsets[0] : 0, bytes = rows > 0 ? (size_t)offsets[rows] - first : 0;
  const size_t room = bytes + bytes / 2;
  fill->data = malloc(room + 1);
  if (column->validity != NULL) fill->validity = calloc((size_t)rows / 8 + 1, 1);
  if (fill->data == NULL || (column->validity != NULL && fill->validity == NULL)) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to fold %zu bytes of keys", bytes);
  }
  if (fill->validity != NULL) copy_nulls(fill, column);
  fill->data_capacity = room + 1;
  fill->count = rows;
  const int is_plain = fold_ascii(column->data + first, bytes, fill->data) && !any_blanks(offsets, column->data, rows);
  if (is_plain) {
    int32_t *ends = fill->values;
    for (uint64_t row = 0; row < rows; row++) ends[row + 1] = offsets[row + 1] - (int32_t)first;
    fill->data_bytes = bytes;
    return DRAY_OK;
  }
  if (room > COLUMN_BYTES_MAX) {
    return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "%zu bytes of keys in one batch are too many to fold", bytes);
  }
  fold_texts(fill, column);
  return DRAY_OK;
}

// ---- a batch ----

static int32_t add_columns(const struct dr_batch *batch, const size_t *from, size_t count, struct ArrowArray *array,
                           struct dray_error *error) {
  const size_t fields = batch->schema->field_count;
  for (size_t i = 0; i < count; i++) {
    struct dr_fill fill;
    assert(from[i] < fields && batch->schema->fields[from[i]].type.id == DRAY_TYPE_STRING);
    DRAY_TRY(dr_fill_begin(&fill, batch->schema->fields[from[i]].type, dr_batch_rows(batch), error));
    int32_t code = fold_column(&batch->view.columns[from[i]], dr_batch_rows(batch), &fill, error);
    if (code == DRAY_OK) code = dr_fill_finish(&fill, array->children[fields + i], error);
    dr_fill_free(&fill);
    if (code != DRAY_OK) return code;
  }
  return DRAY_OK;
}

static void move_columns(struct dr_batch *batch, struct ArrowArray *array) {
  for (size_t i = 0; i < batch->schema->field_count; i++) {
    dr_struct_array_take(&batch->array, (int64_t)i, array->children[i]);
  }
}

// A row's key is absent where its text is.
static int32_t add_absent(const struct dr_batch *batch, const size_t *from, size_t count, struct dr_batch *to,
                          struct dray_error *error) {
  const size_t fields = batch->schema->field_count;
  for (size_t i = 0; batch->absent != NULL && i < count; i++) {
    for (uint64_t row = 0; batch->absent[from[i]] != NULL && row < dr_batch_rows(batch); row++) {
      if (dr_batch_is_absent(batch, from[i], row)) DRAY_TRY(dr_batch_set_absent(to, fields + i, row, error));
    }
  }
  return DRAY_OK;
}

static int32_t move_marks(struct dr_batch *batch, const size_t *from, size_t count, struct dr_batch *to,
                          struct dray_error *error) {
  DRAY_TRY(add_absent(batch, from, count, to, error));
  if (batch->absent != NULL && to->absent == NULL) {
    to->absent = calloc(to->schema->field_count, sizeof(*to->absent));
    if (to->absent == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  }
  for (size_t i = 0; batch->absent != NULL && i < batch->schema->field_count; i++) {
    to->absent[i] = batch->absent[i];
    batch->absent[i] = NULL;
  }
  to->deleted = batch->deleted;
  batch->deleted = NULL;
  to->first_row = batch->first_row;
  return DRAY_OK;
}

int32_t dr_batch_fold(struct dr_batch *batch, struct dr_schema *schema, const size_t *from, size_t count,
                      struct dr_batch **out, struct dray_error *error) {
  struct ArrowArray array = {.release = NULL};
  struct dr_batch *folded = NULL;
  assert(schema->field_count == batch->schema->field_count + count && batch->others == 0);
  int32_t code = dr_struct_array_new(schema->field_count, (int64_t)dr_batch_rows(batch), &array, error);
  if (code == DRAY_OK) code = add_columns(batch, from, count, &array, error);
  if (code == DRAY_OK) {
    move_columns(batch, &array);
    code = dr_batch_wrap(schema, &array, &folded, error);
  }
  if (code == DRAY_OK) code = move_marks(batch, from, count, folded, error);
  dray_array_release(&array);
  dr_batch_free(batch);
  if (code != DRAY_OK) {
    dr_batch_free(folded);
    return code;
  }
  *out = folded;
  return DRAY_OK;
}
