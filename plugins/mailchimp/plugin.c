// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entry point.
#include "plugin.h"

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  if (out->struct_size < sizeof(*out) || host->abi_minor < 2) {
    return dray_fail(error, DRAY_E_PLUGIN_ABI, "the plugin mailchimp needs a host of ABI 1.2 or later");
  }
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(MAILCHIMP_PLUGIN_NAME);
  out->version = dray_str_of(MAILCHIMP_PLUGIN_VERSION);
  out->source = &mailchimp_source_vtable;
  out->destination = &mailchimp_destination_vtable;
  return DRAY_OK;
}
