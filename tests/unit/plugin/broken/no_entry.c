// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Exports nothing at all.
#include "slots.h"

extern const struct dray_source_vtable kept;
const struct dray_source_vtable kept = SOURCE_VTABLE(sizeof(kept));

static int32_t unused(struct dray_plugin *out) {
  return introduce(out, "no_entry", &kept);
}
int32_t (*const keep_unused)(struct dray_plugin *) = unused;
