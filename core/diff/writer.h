// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The thread that writes the records of a window of rows while the next one fills. Inside core/diff only.
#ifndef DR_DIFF_WRITER_H
#define DR_DIFF_WRITER_H

#include "diff/pass.h"

// *out = NULL where no thread can be had: who takes batches writes the records then.
DRAY_NODISCARD int32_t dr_writer_start(struct dr_diff *diff, struct dr_writer **out, struct dray_error *error);
// Hands a window over; blocks until the one before is written, and is free again. Returns what that failed with; the
// window stays the caller's then.
DRAY_NODISCARD int32_t dr_writer_give(struct dr_writer *writer, struct dr_window *window, struct dray_error *error);
// Waits until the window handed over is written and ends the thread. Returns what a window failed with. NULL allowed.
int32_t dr_writer_end(struct dr_writer *writer, struct dray_error *error);

#endif // DR_DIFF_WRITER_H
