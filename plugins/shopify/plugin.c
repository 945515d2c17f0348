// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entry point.
#include "plugin.h"

#define ABI_MINOR_NEEDED 2 // several requests under way, budgets that processes share

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  if (out->struct_size < sizeof(*out) || host->abi_minor < ABI_MINOR_NEEDED) {
    return dray_fail(error, DRAY_E_PLUGIN_ABI, "the plugin shopify needs a host of ABI %d.%d or later", DRAY_ABI_MAJOR,
                     ABI_MINOR_NEEDED);
  }
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(SHOPIFY_PLUGIN_NAME);
  out->version = dray_str_of(SHOPIFY_PLUGIN_VERSION);
  out->source = &shopify_source_vtable;
  out->destination = &shopify_destination_vtable;
  return DRAY_OK;
}
