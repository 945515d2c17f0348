// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which records a read has shown already: 16 to 32 bytes each.
#ifndef ZENDESK_SEEN_H
#define ZENDESK_SEEN_H

#include "dray/sdk.h"

struct zendesk_seen { // zero before its first use
  uint64_t *slots;
  size_t capacity, count;
};
// *out_new = 1 when the mark was not there. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_seen_add(struct zendesk_seen *seen, uint64_t mark, int *out_new,
                                        struct dray_error *error);
void zendesk_seen_clear(struct zendesk_seen *seen);
void zendesk_seen_free(struct zendesk_seen *seen);
// The mark of a record: of its id, and of its version where `stamp` is not empty.
uint64_t zendesk_seen_mark(struct dray_str id, struct dray_str stamp);

#endif // ZENDESK_SEEN_H
