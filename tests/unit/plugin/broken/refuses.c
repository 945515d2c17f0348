// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Its entry point fails, with a message.
#include "slots.h"

static const struct dray_source_vtable source = SOURCE_VTABLE(sizeof(source));

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)introduce(out, "refuses", &source);
  return dray_fail(error, DRAY_E_PLUGIN_ABI, "the host's ABI minor %u is too old for me", host->abi_minor);
}
