// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// By what a destination finds rows. The mirror knows rows by the sync's key, so it has to be the same: were they two
// things, two rows could be one there, a row that changes what it is found by would be another one there, and the
// removal of one row would take away what a second still stands for.
#ifndef DR_SYNC_MATCH_H
#define DR_SYNC_MATCH_H

#include "sync/mapping.h"

struct dr_match {
  const char **keys; // fields, in the arena; the plan's match_keys
  size_t count;
};

// Of the object's match keys those that the sync's key feeds, and constants. Match keys that are required stand for a
// row together; others are alternatives, of which the key is one. Without match keys of the object's, or where none is
// mapped, it is the key. `operations` are those of the object's caps: one that only inserts never looks for a row.
// @errors SCHEMA_KEY with the key to declare instead; OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_match_choose(const struct dr_mapping *mapping, const struct dr_object_facts *object,
                                       const char *object_name, uint32_t operations, struct dr_arena *arena,
                                       struct dr_match *out, struct dray_error *error);

#endif // DR_SYNC_MATCH_H
