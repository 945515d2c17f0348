// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The fields of a rows reader, compiled: a tree of path steps in which every event of the parser moves one node down
// or up. Inside the library only.
#ifndef DRAY_LIB_JSON_FIELDS_H
#define DRAY_LIB_JSON_FIELDS_H

#include "dray/sdk/json.h"

// A column that a value goes to.
struct dray_json_target {
  struct dray_json_target *next;
  size_t column;
  int32_t type; // DRAY_TYPE_*
};

struct dray_json_slot {
  const char *name; // NULL: free
  size_t len;
  struct dray_json_node *node;
};

// A place in the record that some path goes to or through.
struct dray_json_node {
  struct dray_json_target *targets; // NULL: only on the way to others
  struct dray_json_node *children;  // first one; linked by `sibling`
  struct dray_json_node *sibling;
  struct dray_json_slot *slots; // the children that have names, by hash; owned
  size_t slot_mask;
  size_t named;     // children that have names
  uint64_t seen;    // number of the record that last had a value here
  const char *name; // NULL: an element, by index
  size_t name_len;
  uint64_t index;
  struct dray_str path; // for messages
};

struct dray_json_fields {
  struct dray_json_node *nodes; // the first is the record
  size_t node_count;
  struct dray_json_target *targets;
  size_t target_count;
  char *text; // paths and names
};

// Compiles. *out is to be freed also after a failure. @errors CONFIG_VALUE, SCHEMA_TYPE, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_fields_make(const struct dray_json_field *fields, size_t field_count,
                                             const struct ArrowSchema *schema, struct dray_json_fields *out,
                                             struct dray_error *error);
void dray_json_fields_free(struct dray_json_fields *fields);

// Spreads names over the slots: cheap, and good enough where every slot but a few is free.
static inline size_t dray_json_slot_of(const char *name, size_t len) {
  if (len == 0) return 0;
  return len * 31 + (unsigned char)name[0] * (size_t)7 + (unsigned char)name[len / 2] * (size_t)59 +
         (unsigned char)name[len - 1] * (size_t)131;
}

// The child of that name, NULL when no path goes there.
static inline struct dray_json_node *dray_json_node_member(const struct dray_json_node *node, const char *name,
                                                           size_t len) {
  if (node->slots == NULL) return NULL;
  for (size_t i = dray_json_slot_of(name, len) & node->slot_mask; node->slots[i].name != NULL;
       i = (i + 1) & node->slot_mask) {
    if (node->slots[i].len == len && memcmp(node->slots[i].name, name, len) == 0) return node->slots[i].node;
  }
  return NULL;
}

static inline struct dray_json_node *dray_json_node_element(const struct dray_json_node *node, uint64_t index) {
  struct dray_json_node *child = node->children;
  while (child != NULL && (child->name != NULL || child->index != index)) child = child->sibling;
  return child;
}

#endif // DRAY_LIB_JSON_FIELDS_H
