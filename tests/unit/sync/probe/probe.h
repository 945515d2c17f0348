// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A plugin that does what a script says. Its one setting is a folder; in it:
//   script.json   what is read and how the destination behaves; see the fields in source.c and destination.c
//   streams.json  the source's catalogue
//   objects.json  the destination's catalogue
//   ledger        what the destination was told, one line each; survives the process
#ifndef PROBE_H
#define PROBE_H

#include "dray/sdk.h"

#define PROBE_FILE_BYTES_MAX (16u << 20)

struct probe {
  struct dray_services services;
  char *path;
  struct dray_buffer document; // what was handed out last
};

DRAY_NODISCARD int32_t probe_spec(struct dray_str *out_json, struct dray_error *error);
DRAY_NODISCARD int32_t probe_init(struct probe *probe, const struct dray_host *host, struct dray_str config_json,
                                  struct dray_error *error);
void probe_free(struct probe *probe);
// Appends FOLDER/name to *out; a missing file is an empty one.
DRAY_NODISCARD int32_t probe_read(const struct probe *probe, const char *name, struct dray_buffer *out,
                                  struct dray_error *error);
DRAY_NODISCARD int32_t probe_append(const struct probe *probe, const char *name, struct dray_str text,
                                    struct dray_error *error);
// The script as it is now. Free with dray_json_free.
DRAY_NODISCARD int32_t probe_script(const struct probe *probe, struct dray_json **out, struct dray_error *error);
int64_t probe_number(const struct dray_json *script, const char *name, int64_t otherwise);

extern const struct dray_source_vtable probe_source;
extern const struct dray_destination_vtable probe_destination;

#endif // PROBE_H
