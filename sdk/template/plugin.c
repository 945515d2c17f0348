// The entry point: the only function that the library exports.
#include "plugin.h"

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host; // the instances get a host of their own in `create`
  DRAY_TRY(settings_prepare(error));
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of("@NAME@");
  out->version = dray_str_of("0.1.0"); // as in manifest.json
  out->source = &source_vtable;
  out->destination = &destination_vtable;
  return DRAY_OK;
}
