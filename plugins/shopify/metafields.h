// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Metafields that have a definition: typed columns of their owner's stream.
#ifndef SHOPIFY_METAFIELDS_H
#define SHOPIFY_METAFIELDS_H

#include "client.h"

#define SHOPIFY_DEFINITIONS_MAX 1000

struct shopify_definition {
  char *space, *key; // owned: namespace and key
};

// The definitions of one kind of owner. Column i of `columns` is that of items[i]; its name is the alias under which
// a query asks for it.
struct shopify_definitions {
  struct dray_field_list columns;
  struct shopify_definition *items;
  size_t count;
};

#define SHOPIFY_OWNERS_MAX 8

// Asks for the definitions of kinds of owners, "CUSTOMER" say, at most SHOPIFY_OWNERS_MAX, in one request for up to 250
// of each; *out[i] are those of owners[i]. Without the right to see them there are none, and a warning says so. @errors
// those of shopify_ask, LIMIT, OUT_OF_MEMORY. @owner shopify_definitions_free, also of zeroed ones.
DRAY_NODISCARD int32_t shopify_definitions_load(struct shopify_client *client, const char *const *owners, size_t count,
                                                struct shopify_definitions *const *out, struct dray_error *error);
void shopify_definitions_free(struct shopify_definitions *definitions);

// The type of a column for a metafield's type ("number_integer", "list.date"); *out_json = 1 when its values are read
// as JSON and not as text.
struct dray_type shopify_metafield_type(struct dray_str name, int *out_json);

#endif // SHOPIFY_METAFIELDS_H
