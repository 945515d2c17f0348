// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an app may do in a shop: its access scopes.
#ifndef SHOPIFY_SCOPES_H
#define SHOPIFY_SCOPES_H

#include "client.h"

#define SHOPIFY_SCOPES_BYTES_MAX 16384u
#define SHOPIFY_ALSO_MAX 3

// What is lost without a scope that is not needed for the whole: "customer_id is null".
struct shopify_also {
  const char *scopes; // any of them: "read_locations|read_inventory"; NULL: the end
  const char *what;
};

// Appends the scopes of currentAppInstallation.accessScopes, each with a blank around. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_scopes_take(const struct dray_json *list, struct dray_buffer *out,
                                           struct dray_error *error);
// Asks for them. @errors those of shopify_ask.
DRAY_NODISCARD int32_t shopify_scopes_ask(struct shopify_client *client, struct dray_buffer *out,
                                          struct dray_error *error);
// Whether one of "read_inventory|read_products" is among them. A scope to write is one to read as well.
int shopify_scopes_have(const struct dray_buffer *scopes, struct dray_str any);
// The scope that writing metafields of such an owner needs, by its gid; NULL: not known.
const char *shopify_scope_of_owner(struct dray_str gid);

#endif // SHOPIFY_SCOPES_H
