// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The plugin's only exported function: what it is and which roles it has.
#include "warehouse.h"

DRAY_EXPORT int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out,
                                         struct dray_error *error) {
  (void)host;
  if (out->struct_size < sizeof *out) {
    return dray_fail(error, DRAY_E_PLUGIN_ABI, "this host knows only %u bytes of a plugin's table; mysql needs %zu",
                     out->struct_size, sizeof *out);
  }
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of("mysql");
  out->version = dray_str_of("0.1.0");
  out->source = &my_source_vtable;
  out->warehouse = &my_warehouse_vtable;
  return DRAY_OK;
}
