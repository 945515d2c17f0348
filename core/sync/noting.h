// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes into the mirror what a window sends, beside the load: the server works at the one while this machine works at
// the other. Nothing of it counts before dr_mirror_prepare, and the merge that the run would end with is done ahead
// where it can be. Private to core/sync.
#ifndef DR_SYNC_NOTING_H
#define DR_SYNC_NOTING_H

#include "sync/context.h"

struct dr_noting;

// Begins to acknowledge the first `count` changes of the pass and, with `merges`, to merge them ahead of the commit.
// The mirror belongs to the thread until dr_noting_end.
DRAY_NODISCARD int32_t dr_noting_start(struct dr_mirror *mirror, const struct dr_pass *pass, uint64_t count, int merges,
                                       struct dr_noting **out, struct dray_error *error);
// Waits for its end and frees it; NULL does nothing. `code`: of the load beside it; when that has failed nothing more
// is merged, and it is what is returned. @errors those of dr_changeset_open and dr_mirror_ack_all.
DRAY_NODISCARD int32_t dr_noting_end(struct dr_noting *noting, int32_t code, struct dray_error *error);

#endif // DR_SYNC_NOTING_H
