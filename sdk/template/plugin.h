// What the files of this plugin share.
#ifndef PLUGIN_H
#define PLUGIN_H

#include "dray/sdk.h"

// The settings of both roles, as they stand in dray.yaml below the connection.
struct settings {
  char *path;         // a JSON Lines file
  int64_t line_bytes; // the longest line that is read or written
};

// Makes the JSON Schema that `spec` hands out; called once, by the entry point.
DRAY_NODISCARD int32_t settings_prepare(struct dray_error *error);
DRAY_NODISCARD int32_t settings_spec(struct dray_str *out_json, struct dray_error *error);
DRAY_NODISCARD int32_t settings_bind(struct dray_str json, struct settings *out, struct dray_error *error);
void settings_release(struct settings *settings);

extern const struct dray_source_vtable source_vtable;
extern const struct dray_destination_vtable destination_vtable;

#endif // PLUGIN_H
