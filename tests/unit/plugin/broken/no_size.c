// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Forgets struct_size.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(0);

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "no_size", &source);
}
