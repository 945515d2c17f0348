// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The role of the plugin.
#ifndef WEBHOOK_PLUGIN_H
#define WEBHOOK_PLUGIN_H

#include "dray/sdk.h"

#define WEBHOOK_PLUGIN_NAME "webhook"
#define WEBHOOK_PLUGIN_VERSION "0.1.0"

extern const struct dray_destination_vtable webhook_destination_vtable;

#endif // WEBHOOK_PLUGIN_H
