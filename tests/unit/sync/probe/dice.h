// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A destination that dice rule: every call and every row may be taken, refused, put off, taken into a job or lost on
// the way, and answers get lost. What has happened is in the ledger, and dice fall the same way for the same seed.
#ifndef PROBE_DICE_H
#define PROBE_DICE_H

#include "probe.h"

#define PROBE_HANDLE_BYTES 96

// One call of the destination, with the ledger as it was before it.
struct probe_dice {
  const struct probe *probe;
  const struct dray_json *script; // has "dice": see dice.c
  const struct ArrowSchema *schema;
  const struct dray_buffer *ledger;
  struct dray_buffer *lines; // added by it
  char *handle;              // of a job, PROBE_HANDLE_BYTES
  int forgotten;             // the key of this call, by now: what it stood for is done again
};

DRAY_NODISCARD int32_t probe_dice_write(struct probe_dice *dice, const struct ArrowArray *batch,
                                        const struct dray_batch_info *info, struct dray_receipts *out,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t probe_dice_poll(struct probe_dice *dice, struct dray_str handle, const int64_t *rows,
                                       uint64_t row_count, struct dray_receipts *out, struct dray_error *error);
DRAY_NODISCARD int32_t probe_dice_read_back(struct probe_dice *dice, const struct ArrowArray *batch,
                                            struct dray_receipts *out, struct dray_error *error);

#endif // PROBE_DICE_H
