// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be written to a shop, and how a row's columns become the variables of a mutation.
#ifndef SHOPIFY_OBJECTS_H
#define SHOPIFY_OBJECTS_H

#include "metafields.h"
#include "operations.h"
#include "scopes.h"

enum {
  SHOPIFY_OBJECT_CUSTOMERS = 0,
  SHOPIFY_OBJECT_CUSTOMER_TAGS,
  SHOPIFY_OBJECT_METAFIELDS,
  SHOPIFY_OBJECT_CONSENT,
  SHOPIFY_OBJECT_ORDERS,
  SHOPIFY_OBJECT_COUNT
};

struct shopify_object {
  struct dray_object_def def;
  const char *owner;  // MetafieldOwnerType whose definitions are fields; NULL: none
  const char *scopes; // needed, of "a|b" any
  struct shopify_also also[SHOPIFY_ALSO_MAX];
};
extern const struct shopify_object shopify_objects[SHOPIFY_OBJECT_COUNT];
// @errors SCHEMA_OBJECT with the nearest name.
DRAY_NODISCARD int32_t shopify_object_find(struct dray_str name, int32_t *out, struct dray_error *error);

enum { SHOPIFY_MATCH_ID = 1, SHOPIFY_MATCH_EMAIL, SHOPIFY_MATCH_PHONE, SHOPIFY_MATCH_CUSTOM };

// What a sync's `to:` says beside the object.
struct shopify_options {
  char *match_key;  // auto, id, email, phone, custom_id
  char *on_missing; // create, skip
  char *tag_mode;   // add, remove
  char *custom_id;  // "namespace.key" of the metafield that custom_id is matched by; NULL: none
  char *deletes;    // ignore, delete
  int64_t bulk_threshold;
};
DRAY_NODISCARD int32_t shopify_options_spec(struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t shopify_options_bind(struct dray_str json, struct shopify_options *out,
                                            struct dray_error *error);
void shopify_options_free(struct shopify_options *options);

// How the rows of one run are written; made at begin.
struct shopify_mapping {
  int32_t object; // SHOPIFY_OBJECT_*
  int32_t match;  // SHOPIFY_MATCH_*
  const struct shopify_options *options;
  const struct shopify_definitions *definitions; // NULL: none
  ptrdiff_t *fields;      // owned: for each field of the object its column in the view; -1: not mapped
  ptrdiff_t *metafields;  // owned: for each definition likewise
  size_t metafield_count; // mapped ones
  uint32_t operations;    // of the plan: without INSERT nothing is made, without UPDATE nothing is changed
};
// @errors SCHEMA_FIELD, SCHEMA_KEY, CONFIG_*, also for a mode that the object has no sense for, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_mapping_make(int32_t object, const struct dray_write_plan *plan,
                                            const struct shopify_options *options,
                                            const struct shopify_definitions *definitions, struct shopify_mapping *out,
                                            struct dray_error *error);
void shopify_mapping_free(struct shopify_mapping *mapping);

// Makes the task of a change, its values appended to `values`. A row that cannot be sent is settled as rejected at
// once. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_make_task(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                         size_t change, struct dray_buffer *values, struct dray_buffer *texts,
                                         struct shopify_task *task, struct dray_error *error);
// The task that finds the customer, or the metafield, of a change.
DRAY_NODISCARD int32_t shopify_make_find(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                         size_t change, struct dray_buffer *values, struct dray_buffer *texts,
                                         struct shopify_task *task, struct dray_error *error);
// The task that deletes the customer with that id.
DRAY_NODISCARD int32_t shopify_make_delete(struct dray_str id, size_t change, struct dray_buffer *values,
                                           struct shopify_task *task, struct dray_error *error);
// The element of a metafieldsSet or metafieldsDelete (`operation`) for definition `i`, as the value of a task.
// *out_wanted = 0: it is not mapped, or the change says nothing of it, or of the two the other.
DRAY_NODISCARD int32_t shopify_make_metafield(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                              size_t change, size_t i, struct dray_str owner, int32_t operation,
                                              struct dray_buffer *values, struct shopify_task *task, int *out_wanted,
                                              struct dray_error *error);
// The gid in a change's first column, of an object whose first key is one; empty: there is none.
DRAY_NODISCARD int32_t shopify_owner_id(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                        size_t change, struct dray_buffer *out, struct dray_error *error);
// One element of metafieldsSet, or of metafieldsDelete, from a row of the object `metafields`. A row that cannot be
// sent, or that there is nothing to do for, is settled. `digest` (len 0: none) is what the metafield was found with.
DRAY_NODISCARD int32_t shopify_write_metafield_row(const struct shopify_mapping *mapping,
                                                   const struct dray_changes *changes, struct dray_str digest,
                                                   struct shopify_task *task, struct dray_buffer *values,
                                                   struct dray_buffer *texts, struct dray_error *error);
// Whether the row of the object `metafields` takes the metafield away.
int shopify_metafield_row_removes(const struct shopify_mapping *mapping, const struct dray_changes *changes,
                                  size_t change);

#endif // SHOPIFY_OBJECTS_H
