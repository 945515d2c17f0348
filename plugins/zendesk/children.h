// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Lists of each record of an export's page, as pages of their own that come after it.
#ifndef ZENDESK_CHILDREN_H
#define ZENDESK_CHILDREN_H

#include "streams.h"

// What is to be asked after a page of the export. Pages of a list that goes on come behind all others.
struct zendesk_children {
  char **paths;
  size_t count, capacity;
  uint64_t first; // number of the page that paths[0] asks for
};
// Those of the next page of the export begin at `first`.
void zendesk_children_begin(struct zendesk_children *children, uint64_t first);
// The list `name` of a ticket. A record without an id has none. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_children_of(struct zendesk_children *children, const struct dray_json *record,
                                           const char *name, struct dray_error *error);
// One more page. Copied. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_children_add(struct zendesk_children *children, const char *path,
                                            struct dray_error *error);
// The path of a page; NULL: it is none of them.
const char *zendesk_children_path(const struct zendesk_children *children, uint64_t number);
// Whether no page of them is left behind this one.
int zendesk_children_end(const struct zendesk_children *children, uint64_t number);
void zendesk_children_free(struct zendesk_children *children);

#endif // ZENDESK_CHILDREN_H
