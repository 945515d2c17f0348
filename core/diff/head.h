// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The head of a mirror: a small text file that names base and journal. Replacing it is what makes a new base the
// mirror. Inside core/diff only.
#ifndef DR_DIFF_HEAD_H
#define DR_DIFF_HEAD_H

#include <stdint.h>

#include "dray/sdk/error.h"

#define DR_HEAD_NAME "head"
#define DR_HEAD_REMOVED_NAME "head.removed" // a reset that has begun

struct dr_head {
  uint64_t number;     // of base and journal
  uint64_t generation; // when the base was made
  uint64_t base_bytes;
  uint64_t base_digest;
  uint64_t seed_id;
  uint64_t schema; // its fingerprint
};
// @errors MIRROR_MISSING when there is none, MIRROR_CORRUPT, STATE_VERSION.
DRAY_NODISCARD int32_t dr_head_read(const char *folder, struct dr_head *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_head_replace(const char *folder, const struct dr_head *head, struct dray_error *error);

#endif // DR_DIFF_HEAD_H
