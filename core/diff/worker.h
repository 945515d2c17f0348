// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The thread that works on a pass beside its caller: batches go to it through a bounded queue, one at a time, in order.
// Inside core/diff only.
#ifndef DR_DIFF_WORKER_H
#define DR_DIFF_WORKER_H

#include "diff/pass.h"

// *out = NULL where no thread can be had: the caller works alone then.
DRAY_NODISCARD int32_t dr_worker_start(struct dr_diff *diff, uint64_t bytes_max, struct dr_worker **out,
                                       struct dray_error *error);
// Hands a batch over; blocks while the queue is full. Returns what a batch before it failed with; the batch is the
// worker's in any case.
DRAY_NODISCARD int32_t dr_worker_add(struct dr_worker *worker, struct dr_batch *batch, struct dray_error *error);
// Waits for the batches handed over, or drops them, and ends the thread; then all of the pass is the caller's again.
// Returns what a batch failed with. NULL allowed.
int32_t dr_worker_end(struct dr_worker *worker, int drop, struct dray_error *error);

#endif // DR_DIFF_WORKER_H
