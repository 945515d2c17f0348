// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The roles of the plugin.
#ifndef SHOPIFY_PLUGIN_H
#define SHOPIFY_PLUGIN_H

#include "dray/sdk.h"

#define SHOPIFY_PLUGIN_NAME "shopify"
#define SHOPIFY_PLUGIN_VERSION "0.1.0"

extern const struct dray_source_vtable shopify_source_vtable;
extern const struct dray_destination_vtable shopify_destination_vtable;

#endif // SHOPIFY_PLUGIN_H
