// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entry point of a plugin. One shared object exports exactly one symbol, dray_plugin_entry_v1.
#ifndef DRAY_PLUGIN_H
#define DRAY_PLUGIN_H

#include "dray/destination.h"
#include "dray/source.h"
#include "dray/warehouse.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a plugin says of itself. The host fills struct_size and zeroes the rest; the plugin writes the
// rest. Everything it points to is static memory of the plugin. A role that is NULL is not offered.
struct dray_plugin {
  uint32_t struct_size;
  uint32_t abi_minor; // the DRAY_ABI_MINOR the plugin was compiled with
  struct dray_str name;
  struct dray_str version; // semantic version
  const struct dray_source_vtable *source;
  const struct dray_destination_vtable *destination;
  const struct dray_warehouse_vtable *warehouse;
};

// Called once after the library is loaded, before any other function. The name carries the ABI major. Must
// not block, start threads or touch the network. @errors PLUGIN_ABI when the host's abi_minor is too old.
typedef int32_t dray_plugin_entry_fn(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error);
#define DRAY_PLUGIN_ENTRY_SYMBOL "dray_plugin_entry_v1"

// The one function that a plugin defines: a dray_plugin_entry_fn.
DRAY_EXPORT int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out,
                                         struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_PLUGIN_H
