// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Leaves out discover, which every source must have.
#include "slots.h"

static const struct dray_source_vtable source = {.struct_size = sizeof(source),
                                                 .spec = source_spec,
                                                 .create = source_create,
                                                 .destroy = source_destroy,
                                                 .check = source_check,
                                                 .open = source_open};
static int32_t (*const kept)(struct dray_source *, struct dray_str *, struct dray_error *) = source_discover;

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error, (void)kept;
  return introduce(out, "missing_slot", &source);
}
