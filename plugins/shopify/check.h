// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The steps of `dray check`: reach, credentials, version, and the scopes that each stream or object needs.
#ifndef SHOPIFY_CHECK_H
#define SHOPIFY_CHECK_H

#include "scopes.h"

struct shopify_need {
  const char *of;                  // "customers"
  const char *name;                // "stream customers"
  const char *scopes;              // with a blank between, of "a|b" any; empty: none
  const struct shopify_also *also; // SHOPIFY_ALSO_MAX; NULL: nothing
};

// Writes the JSON array. @errors OUT_OF_MEMORY, CANCELLED: all else is a step that failed.
DRAY_NODISCARD int32_t shopify_check(struct shopify_client *client, const struct shopify_need *needs, size_t need_count,
                                     struct dray_buffer *out, struct dray_error *error);

#endif // SHOPIFY_CHECK_H
