// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entry point.
#include "plugin.h"

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  // Requests under way, state locks and budgets are of ABI 1.2.
  if (out->struct_size < sizeof(*out) || host->abi_minor < 2) {
    return dray_fail(error, DRAY_E_PLUGIN_ABI, "the plugin zendesk needs a host of ABI %d.%d or later", DRAY_ABI_MAJOR,
                     DRAY_ABI_MINOR);
  }
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(ZENDESK_PLUGIN_NAME);
  out->version = dray_str_of(ZENDESK_PLUGIN_VERSION);
  out->source = &zendesk_source_vtable;
  out->destination = &zendesk_destination_vtable;
  return DRAY_OK;
}
