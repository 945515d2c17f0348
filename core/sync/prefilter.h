// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The diff in the warehouse: the engine of a model compares it with a snapshot that it keeps of what was sent, and only
// rows that may differ are read. What they mean is still decided by the mirror, in a pass like any other: this is a
// filter before it. Private to core/sync.
#ifndef DR_SYNC_PREFILTER_H
#define DR_SYNC_PREFILTER_H

#include "sync/context.h"

// ---- which rows are read ----

// Looks at what the sync's snapshot is, and says in run->report->diff which diff is used and why; without
// `diff: warehouse` the snapshot, should there be one, is given up. To be called before anything is acknowledged in the
// mirror, which is open, and after the mapping is decided. run->prefilter is set when rows are to come through a
// snapshot; dr_prefilter_close.
DRAY_NODISCARD int32_t dr_prefilter_open(struct dr_context *run, struct dray_error *error);
// Has the engine compare, or copy the model, and puts a reader over the outcome in the place of run->reader.
DRAY_NODISCARD int32_t dr_prefilter_read(struct dr_context *run, struct dray_error *error);
void dr_prefilter_close(struct dr_context *run);
// 1: rows that are not read are unchanged; 0: what is read is all there is.
int dr_prefilter_is_partial(const struct dr_prefilter *prefilter);
// The snapshot is not to be believed any more: before the mirror is changed without it. Durable when it returns.
DRAY_NODISCARD int32_t dr_prefilter_forget(const struct dr_context *run, struct dray_error *error);

// ---- during the pass ----

// Before the mapping: remembers of a batch which rows it holds. *out_gone: how many of them are keys that the model has
// no more.
DRAY_NODISCARD int32_t dr_prefilter_see(struct dr_prefilter *prefilter, const struct dr_reader *reader,
                                        const struct ArrowArray *array, uint64_t *out_gone, struct dray_error *error);
// After it: turns keys that are gone into tombstones (or leaves them out, where nothing is ever removed), and remembers
// which row is which of those that the diff is given.
DRAY_NODISCARD int32_t dr_prefilter_mark(struct dr_prefilter *prefilter, uint64_t first_row,
                                         const struct dr_rejects *rejects, struct dr_batch **batch,
                                         struct dray_error *error);
// Rows of the model that were not read, since they are as the snapshot has them.
DRAY_NODISCARD int32_t dr_prefilter_hidden(struct dr_prefilter *prefilter, uint64_t *out_rows,
                                           struct dray_error *error);

// ---- after it ----

// What the mirror holds by now comes into the snapshot. Without it (the run failed, was killed) the rows come again.
DRAY_NODISCARD int32_t dr_prefilter_settle(struct dr_context *run, const struct dr_pass *pass,
                                           struct dray_error *error);
// Fills in run->report->diff what moving the rows cost and would have cost.
void dr_prefilter_tell(struct dr_context *run, const struct dr_pass *pass);

// ---- for the state commands ----

// 1 when the sync has, or may have, a snapshot; its name without the schema in `name`.
int dr_prefilter_exists(const char *sync_folder, uint64_t seed, const char *sync, char *name, size_t name_bytes);
// Whether the warehouse would let a sync with `diff: warehouse` keep its snapshot. @errors the warehouse's.
DRAY_NODISCARD int32_t dr_prefilter_try(struct dr_session *session, const struct dr_sync *sync,
                                        struct dray_error *error);
// Removes it from the warehouse. @errors the warehouse's.
DRAY_NODISCARD int32_t dr_prefilter_drop(const struct dr_context *run, struct dray_error *error);

#endif // DR_SYNC_PREFILTER_H
