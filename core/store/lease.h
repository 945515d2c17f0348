// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One run of a sync at a time: an flock on a file in the sync's folder, gone with the process that
// holds it, however it ends. The file says who holds it.
#ifndef DR_STORE_LEASE_H
#define DR_STORE_LEASE_H

#include "dray/sdk/error.h"

struct dr_lease {
  int fd; // -1: not held
};
// @errors LOCKED with pid and start time of the holder; IO.
DRAY_NODISCARD int32_t dr_lease_take(const char *folder, struct dr_lease *out, struct dray_error *error);
void dr_lease_drop(struct dr_lease *lease);

#endif // DR_STORE_LEASE_H
