// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Records of rows that were not taken, and that leave when a version of their key is (recorded.c). One thread: the
// run's.
#ifndef DR_SYNC_RECORDED_H
#define DR_SYNC_RECORDED_H

#include "sync/context.h"

// A window of an incremental read into a warehouse begins: what the one before it showed has been committed. Nothing
// else needs this, and gets nothing. Failures are told in the log: a record that stays is only old.
void dr_recorded_begin(struct dr_context *run);
// The last window ends. `taken`: the run is done; else only what was committed counts.
void dr_recorded_end(struct dr_context *run, int taken);
// A row that has just been recorded as not taken. Versions of its key that were met before it no longer count.
void dr_recorded_refused(struct dr_context *run, const uint8_t key_hash[16], struct dray_str key);
// These rows are taken when the window is. Costs nothing while there are no records. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_recorded_meet(const struct dr_context *run, const struct dr_batch *batch,
                                        struct dray_error *error);

#endif // DR_SYNC_RECORDED_H
