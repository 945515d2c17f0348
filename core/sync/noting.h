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
// The mirror belongs to the thread until dr_noting_acked.
DRAY_NODISCARD int32_t dr_noting_start(struct dr_mirror *mirror, const struct dr_pass *pass, uint64_t count, int merges,
                                       struct dr_noting **out, struct dray_error *error);
// Waits until all is acknowledged; NULL does nothing. `code`: of the load beside it; when that has failed nothing is
// merged, and it is what is returned. The merge goes on beside dr_mirror_prepare, dr_mirror_commit and what the server
// does meanwhile; nothing else is done with the mirror before dr_noting_end. @errors those of dr_changeset_open and
// dr_mirror_ack_all.
DRAY_NODISCARD int32_t dr_noting_acked(struct dr_noting *noting, int32_t code, struct dray_error *error);
// Waits for the end of the merge, which comes soon where the window has failed (`code`), and frees it; NULL does
// nothing.
void dr_noting_end(struct dr_noting *noting, int32_t code);

#endif // DR_SYNC_NOTING_H
