// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Receipts on their way back: every row of the batch exactly once, with a status that exists. Room is taken before the
// plugin is called, so that nothing can fail between the destination's answer and its record.
#ifndef DR_PLUGIN_RECEIPTS_H
#define DR_PLUGIN_RECEIPTS_H

#include "plugin/call.h"

struct dr_receipt_check {
  const int64_t *rows; // ascending: the caller's, or `sorted`
  uint64_t row_count;
  int64_t *sorted;            // owned; NULL when the caller's rows were ascending already
  uint8_t *seen;              // owned, one a row
  struct dray_receipt *items; // the caller's, to notice a plugin that moved them
};

enum { DR_PENDING_REFUSED = 0, DR_PENDING_WITH_HANDLE = 1, DR_PENDING_ALLOWED = 2, DR_READ_BACK_ONLY = 3 };

// Empties `out` for the plugin. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_receipt_check_init(struct dr_receipt_check *check, const int64_t *rows, uint64_t row_count,
                                             struct dray_receipts *out, struct dray_error *error);
// `pending` is one of the above. Fills missing codes, and replaces the texts by masked copies in `texts`. @errors
// PLUGIN_CONTRACT.
DRAY_NODISCARD int32_t dr_receipt_check_run(struct dr_receipt_check *check, const struct dr_call *call, int pending,
                                            struct dray_receipts *out, struct dray_buffer *texts);
void dr_receipt_check_free(struct dr_receipt_check *check);

#endif // DR_PLUGIN_RECEIPTS_H
