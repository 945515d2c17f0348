// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two ends of a destination's `write`: the changes that come, the receipts that go.
#ifndef DRAY_SDK_CHANGES_H
#define DRAY_SDK_CHANGES_H

#include "dray/destination.h"
#include "dray/sdk/column.h"

#ifdef __cplusplus
extern "C" {
#endif

// A batch of changes as a destination reads it.
struct dray_changes {
  struct dray_view view;
  ptrdiff_t row, op, changed, before; // the reserved columns; changed, before: -1 where there is none
};
// @errors as dray_view_init; PLUGIN_CONTRACT when a reserved column is missing or there is less room than rows for
// receipts (`room`). @owner dray_changes_free; the batch is borrowed until then.
DRAY_NODISCARD int32_t dray_changes_open(struct dray_changes *changes, const struct ArrowSchema *schema,
                                         const struct ArrowArray *batch, uint64_t room, struct dray_error *error);
void dray_changes_free(struct dray_changes *changes);
int64_t dray_change_row(const struct dray_changes *changes, uint64_t i); // its _dray_row
int64_t dray_change_op(const struct dray_changes *changes, uint64_t i);  // DRAY_OP_*
// Whether the change says anything of the column (an index into view.columns): it is not absent, and an update with a
// list of changed columns names it.
int dray_change_says(const struct dray_changes *changes, size_t column, uint64_t i);
// What an update replaces, a JSON object (DRAY_COLUMN_BEFORE); len 0: that is not known.
struct dray_str dray_change_before(const struct dray_changes *changes, uint64_t i);

// Receipts of a batch, with texts of their own. One per instance; what it wrote is valid until it is begun again.
struct dray_receipt_writer {
  struct dray_receipts *out;
  struct dray_buffer text;
  int32_t failed;
};
void dray_receipts_init(struct dray_receipt_writer *writer, size_t text_bytes_max);
void dray_receipts_begin(struct dray_receipt_writer *writer, struct dray_receipts *out);
// code and format only for what is not APPLIED or UNCHANGED (0, NULL); retry_after_ms 0: the host's backoff. Without
// room for its text a receipt has none.
void dray_receipt_put(struct dray_receipt_writer *writer, int64_t row, int32_t status, int32_t code,
                      int64_t retry_after_ms, const char *format, ...) DRAY_PRINTF(6, 7);
// Says of the receipt that was put last that something of its row may have been applied (DRAY_RECEIPT_PARTLY): the row
// takes several calls, and one before that which failed did its work. Of a row that was applied it says nothing.
void dray_receipt_partly(struct dray_receipt_writer *writer);
// The same receipt for every change of a batch, instead of begin, put and end. `text` is borrowed: static, or the
// instance's own until its next call.
void dray_receipts_all(const struct dray_changes *changes, int32_t status, int32_t code, struct dray_str text,
                       struct dray_receipts *out);
// Sets the texts. @errors PLUGIN_CONTRACT when more receipts were put than there was room for.
DRAY_NODISCARD int32_t dray_receipts_end(struct dray_receipt_writer *writer, struct dray_error *error);
void dray_receipts_free(struct dray_receipt_writer *writer);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CHANGES_H
