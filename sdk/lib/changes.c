// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two ends of a destination's `write`. The texts of receipts lie one behind the other in the writer's buffer, which
// moves while it grows: until the end a receipt knows only how long its text is.
#include "dray/sdk/changes.h"

// ---- changes ----

int32_t dray_changes_open(struct dray_changes *changes, const struct ArrowSchema *schema,
                          const struct ArrowArray *batch, uint64_t room, struct dray_error *error) {
  struct dray_changes made = {.changed = -1, .before = -1};
  DRAY_TRY(dray_view_init(&made.view, schema, batch, error));
  made.row = dray_view_find(&made.view, dray_str_of(DRAY_COLUMN_ROW));
  made.op = dray_view_find(&made.view, dray_str_of(DRAY_COLUMN_OP));
  made.changed = dray_view_find(&made.view, dray_str_of(DRAY_COLUMN_CHANGED));
  made.before = dray_view_find(&made.view, dray_str_of(DRAY_COLUMN_BEFORE));
  int32_t rc = DRAY_OK;
  if (made.row < 0 || made.op < 0) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the batch has no column %s",
                   made.row < 0 ? DRAY_COLUMN_ROW : DRAY_COLUMN_OP);
  } else if (made.view.columns[made.row].type.id != DRAY_TYPE_INT64 ||
             made.view.columns[made.op].type.id != DRAY_TYPE_INT64) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s and %s of the batch are not both int64", DRAY_COLUMN_ROW,
                   DRAY_COLUMN_OP);
  } else if (made.changed >= 0 && made.view.columns[made.changed].type.id != DRAY_TYPE_BYTES) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s of the batch is not bytes", DRAY_COLUMN_CHANGED);
  } else if (made.before >= 0 && made.view.columns[made.before].type.id != DRAY_TYPE_JSON) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s of the batch is not json", DRAY_COLUMN_BEFORE);
  } else if (room < made.view.row_count) {
    rc = dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "there is room for %llu receipts, and the batch has %llu rows",
                   (unsigned long long)room, (unsigned long long)made.view.row_count);
  }
  if (rc != DRAY_OK) {
    dray_view_free(&made.view);
    return rc;
  }
  *changes = made;
  return DRAY_OK;
}

void dray_changes_free(struct dray_changes *changes) {
  dray_view_free(&changes->view);
}

int64_t dray_change_row(const struct dray_changes *changes, uint64_t i) {
  return dray_column_int64(&changes->view.columns[changes->row], i);
}

int64_t dray_change_op(const struct dray_changes *changes, uint64_t i) {
  return dray_column_int64(&changes->view.columns[changes->op], i);
}

int dray_change_says(const struct dray_changes *changes, size_t column, uint64_t i) {
  const struct dray_view *view = &changes->view;
  const int64_t bit = view->columns[column].absent_bit;
  if (bit < 0 || dray_view_absent(view, column, i)) return 0; // reserved columns say nothing of the row
  if (changes->changed < 0 || dray_change_op(changes, i) != DRAY_OP_UPDATE) return 1;
  const struct dray_column_view *list = &view->columns[changes->changed];
  if (dray_column_is_null(list, i)) return 1; // the whole row
  const struct dray_str bits = dray_column_bytes(list, i);
  const uint64_t byte = (uint64_t)bit >> 3;
  return byte < bits.len && (((unsigned char)bits.data[byte] >> (bit & 7)) & 1) != 0;
}

struct dray_str dray_change_before(const struct dray_changes *changes, uint64_t i) {
  if (changes->before < 0) return dray_str_make(NULL, 0);
  const struct dray_column_view *column = &changes->view.columns[changes->before];
  return dray_column_is_null(column, i) ? dray_str_make(NULL, 0) : dray_column_bytes(column, i);
}

// ---- receipts ----

void dray_receipts_init(struct dray_receipt_writer *writer, size_t text_bytes_max) {
  *writer = (struct dray_receipt_writer){.out = NULL};
  dray_buffer_init(&writer->text, text_bytes_max);
}

void dray_receipts_begin(struct dray_receipt_writer *writer, struct dray_receipts *out) {
  out->count = 0;
  writer->out = out;
  writer->failed = DRAY_OK;
  dray_buffer_clear(&writer->text);
}

void dray_receipt_put(struct dray_receipt_writer *writer, int64_t row, int32_t status, int32_t code,
                      int64_t retry_after_ms, const char *format, ...) {
  struct dray_receipts *out = writer->out;
  if (out->count == out->capacity) {
    writer->failed = DRAY_E_PLUGIN_CONTRACT;
    return;
  }
  const size_t before = writer->text.len;
  if (format != NULL) {
    va_list args;
    va_start(args, format);
    const int32_t written = dray_buffer_vprintf(&writer->text, NULL, format, args);
    va_end(args);
    if (written != DRAY_OK) writer->text.len = before; // the receipt counts, not its words
  }
  out->items[out->count++] = (struct dray_receipt){.row = row,
                                                   .status = status,
                                                   .code = code,
                                                   .retry_after_ms = retry_after_ms,
                                                   .text = {NULL, writer->text.len - before}};
}

void dray_receipt_partly(struct dray_receipt_writer *writer) {
  struct dray_receipts *out = writer->out;
  if (out->count > 0 && writer->failed == DRAY_OK) out->items[out->count - 1].reserved.len = DRAY_RECEIPT_PARTLY;
}

void dray_receipts_all(const struct dray_changes *changes, int32_t status, int32_t code, struct dray_str text,
                       struct dray_receipts *out) {
  const uint64_t count = changes->view.row_count < out->capacity ? changes->view.row_count : out->capacity;
  for (uint64_t i = 0; i < count; i++) {
    out->items[i] =
        (struct dray_receipt){.row = dray_change_row(changes, i), .status = status, .code = code, .text = text};
  }
  out->count = count;
}

int32_t dray_receipts_end(struct dray_receipt_writer *writer, struct dray_error *error) {
  const char *text = writer->text.data;
  for (uint64_t i = 0; i < writer->out->count; i++) {
    struct dray_str *own = &writer->out->items[i].text;
    if (own->len == 0) continue;
    own->data = text;
    text += own->len;
  }
  if (writer->failed == DRAY_OK) return DRAY_OK;
  return dray_fail(error, writer->failed, "more receipts were put than the %llu that there is room for",
                   (unsigned long long)writer->out->capacity);
}

void dray_receipts_free(struct dray_receipt_writer *writer) {
  dray_buffer_free(&writer->text);
}
