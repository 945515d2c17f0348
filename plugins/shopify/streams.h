// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be read from a shop, declared once: a stream's columns give the selection set of its query, the schema of
// its rows and the paths that its records are read by.
#ifndef SHOPIFY_STREAMS_H
#define SHOPIFY_STREAMS_H

#include "scopes.h"

// Where a stream's records are below its root connection.
enum {
  SHOPIFY_NODES = 1,      // the root's nodes
  SHOPIFY_CONNECTION = 2, // a connection below each of them: records of their own with "__parentId"
  SHOPIFY_LIST = 3,       // a plain list below each of them
  SHOPIFY_SINGLE = 4,     // the root itself: one record
  SHOPIFY_NESTED = 5      // a connection below each element of a plain list; no bulk operation takes one
};

struct shopify_stream {
  struct dray_stream_def def;
  int32_t kind;        // SHOPIFY_*
  const char *root;    // "orders"
  const char *type;    // of a node of the root: "Order"
  const char *below;   // CONNECTION, LIST, NESTED: "lineItems"
  const char *list;    // NESTED: the list that `below` is in: "refunds"
  const char *element; // NESTED: the type of its elements, by whose id more of `below` is asked for: "Refund"
  const char *args;    // of the root, beside first, after, query, sortKey: "includeInactive: true"; NULL: none
  const char *filter;  // of the root's query, always: "action:destroy"; NULL: none
  const char *bound;   // the filter of time, "updated_at"; NULL: none, always read in full
  const char *time;    // the node's member that it is about: "updatedAt"
  const char *sort;    // sortKey of that time; NULL: the root has none
  const char *id_sort; // sortKey by id; NULL: the root takes none
  int32_t bulk;        // 1: bulk operations can be used
  const char *owner;   // MetafieldOwnerType whose definitions are columns; NULL: none
  const char *scopes;  // needed, with a blank between, of "a|b" any
  struct shopify_also also[SHOPIFY_ALSO_MAX]; // without which a column is null
  const char *fragment; // type of the nodes that are wanted where the root's nodes are an interface; NULL
};

extern const struct shopify_stream shopify_streams[];
extern const size_t shopify_stream_count;
// @errors SCHEMA_STREAM with the nearest name.
DRAY_NODISCARD int32_t shopify_stream_find(struct dray_str name, const struct shopify_stream **out,
                                           struct dray_error *error);
// What follows the name of a member that is an object or takes arguments, where a column is the whole of it: "{key
// value}". NULL: nothing.
const char *shopify_composite(struct dray_str member);

#endif // SHOPIFY_STREAMS_H
