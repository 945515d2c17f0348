// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The records that one read has given out, with their time. Pages are sorted by the time of the last update, so a
// record that is updated while it is paged comes again further down: it is left for the next read, as two versions of
// one key in one read would both be refused.
#ifndef SHOPIFY_GIVEN_H
#define SHOPIFY_GIVEN_H

#include "dray/sdk.h"

#define SHOPIFY_GIVEN_MAX (1u << 20) // records that are remembered; 32 MiB at most

struct shopify_given {
  struct shopify_given_slot *slots; // owned
  size_t slot_count, count;
};

enum { SHOPIFY_GIVEN_NEW = 1, SHOPIFY_GIVEN_SAME = 2, SHOPIFY_GIVEN_OTHER = 3 };

// Whether the record was given out before, with the same time or another one; a new one is remembered while there is
// room. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_given_look(struct shopify_given *given, struct dray_str id, int64_t time_us, int *out,
                                          struct dray_error *error);
void shopify_given_free(struct shopify_given *given); // back to zero

// FNV-1a of a text: names of queries, and records above.
uint64_t shopify_hash(struct dray_str text);

#endif // SHOPIFY_GIVEN_H
