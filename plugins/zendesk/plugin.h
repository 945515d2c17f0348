// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The roles of the plugin.
#ifndef ZENDESK_PLUGIN_H
#define ZENDESK_PLUGIN_H

#include "dray/sdk.h"

#define ZENDESK_PLUGIN_NAME "zendesk"
#define ZENDESK_PLUGIN_VERSION "0.1.0"

extern const struct dray_source_vtable zendesk_source_vtable;
extern const struct dray_destination_vtable zendesk_destination_vtable;

#endif // ZENDESK_PLUGIN_H
