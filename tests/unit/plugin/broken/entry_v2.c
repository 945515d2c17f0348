// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Built for the next major of the ABI.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

DRAY_EXPORT int32_t dray_plugin_entry_v2(const struct dray_host *host, struct dray_plugin *out,
                                         struct dray_error *error);

int32_t dray_plugin_entry_v2(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host, (void)error;
  return introduce(out, "entry_v2", &source);
}
