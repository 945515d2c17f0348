// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A first load goes into its table while it is still being read: what the pass hands to the diff goes to the table as
// well, on a thread of its own. At the end of the pass it is known whether that was right: where the mirror was empty
// and every row is an insert of a key of its own, what was loaded is what the change set says. In any other case, and
// when the load failed or would not have paid, all of it is taken back, and the rows are loaded from the change set as
// those of any other window are.
#ifndef DR_SYNC_LOADING_H
#define DR_SYNC_LOADING_H

#include "sync/ingest.h"

struct dr_loading;

// *out = NULL where the window that begins is not to be loaded so: the mirror or the table have had rows, nothing is
// written, or the rows come from the connection they are written to. Until dr_loading_end the warehouse's instance
// belongs to the load, and what `ingest` says stays as it is. Nothing is done with the warehouse before there are rows
// enough.
DRAY_NODISCARD int32_t dr_loading_new(const struct dr_context *run, const struct dr_ingest *ingest,
                                      struct dr_loading **out, struct dray_error *error);
// Shares a batch. Waits while much is waiting. It never fails: what becomes of the load is told at the end.
void dr_loading_add(struct dr_loading *loading, struct dr_batch *batch);
// No row comes any more: the load may end beside what else there is to do.
void dr_loading_close(struct dr_loading *loading);
// Waits for the end of the load and frees it (NULL allowed). Returns the writer with all the rows in it, still to be
// merged and committed, the caller's now; NULL: nothing is loaded, and the transaction, if there was one, is taken
// back. `rows`: how many it must be. DR_LOADING_NONE: the load is not wanted whatever it holds.
#define DR_LOADING_NONE UINT64_MAX
struct dr_table_writer *dr_loading_end(struct dr_loading *loading, uint64_t rows);

#endif // DR_SYNC_LOADING_H
