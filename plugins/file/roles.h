// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two roles of the plugin, and the steps of a check that both write.
#ifndef FILE_ROLES_H
#define FILE_ROLES_H

#include "dray/sdk.h"

#define FILE_PLUGIN_NAME "file"
#define FILE_PLUGIN_VERSION "0.1.0"
#define FILE_DOCUMENT_BYTES_MAX (64u << 20) // of a catalogue: 10,000 files of many columns

extern const struct dray_source_vtable file_source_vtable;
extern const struct dray_destination_vtable file_destination_vtable;

#endif // FILE_ROLES_H
