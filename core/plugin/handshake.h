// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the table that a plugin handed over to one that every call site can use: sizes checked, slots copied, missing
// optional slots filled. Used by loader.c and, for streams, by calls_stream.c.
#ifndef DR_PLUGIN_HANDSHAKE_H
#define DR_PLUGIN_HANDSHAKE_H

#include "plugin/plugin.h"

// Copies the roles of `given` into `plugin` and fills in defaults. `given` was compiled with an equal, older or newer
// minor of the ABI.
// @errors PLUGIN_CONTRACT names the role and the slot; PLUGIN_MANIFEST when name, version or roles are not the
// manifest's.
DRAY_NODISCARD int32_t dr_handshake(struct dr_plugin *plugin, const struct dray_plugin *given,
                                    struct dray_error *error);

// 1 when the slot was left out by the plugin and the host's default stands in its place.
int dr_destination_lacks_poll(const struct dray_destination_vtable *vtable);
int dr_destination_lacks_read_back(const struct dray_destination_vtable *vtable);

#endif // DR_PLUGIN_HANDSHAKE_H
