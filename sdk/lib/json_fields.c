// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Compiles the fields of a rows reader into a tree of path steps.
#include "json_fields.h"

#include <stdlib.h>

#include "json_text.h"

// Counts the steps of all paths, which are thereby all checked, and the bytes they need.
static int32_t measure(const struct dray_json_field *fields, size_t field_count, size_t *out_steps, size_t *out_bytes,
                       struct dray_error *error) {
  size_t steps = 0;
  size_t bytes = 0;
  for (size_t i = 0; i < field_count; i++) {
    const char *path = fields[i].path;
    const char *at = path;
    size_t own = 0;
    for (;;) {
      struct dray_json_step step;
      DRAY_TRY(dray_json_step_next(path, &at, &step, error));
      if (step.kind == DRAY_JSON_STEP_END) break;
      if (step.kind == DRAY_JSON_STEP_ALL) {
        return dray_fail(error, DRAY_E_CONFIG_VALUE,
                         "the path '%.200s' of a column has [*]: a column takes one value a record", path);
      }
      if (++own > DRAY_JSON_DEPTH_MAX) {
        return dray_fail(error, DRAY_E_CONFIG_VALUE, "the path '%.200s' has more than %d steps", path,
                         DRAY_JSON_DEPTH_MAX);
      }
    }
    steps += own;
    bytes += 2 * (strlen(path) + 1); // itself, and its names without escapes
  }
  *out_steps = steps;
  *out_bytes = bytes;
  return DRAY_OK;
}

static struct dray_json_node *find_child(const struct dray_json_node *node, const struct dray_json_step *step) {
  struct dray_json_node *child = node->children;
  for (; child != NULL; child = child->sibling) {
    if (step->kind == DRAY_JSON_STEP_INDEX
            ? child->name == NULL && child->index == step->index
            : child->name != NULL && dray_json_step_is(step, dray_str_make(child->name, child->name_len))) {
      return child;
    }
  }
  return NULL;
}

// Walks one path from the record down and makes what is missing. `text` has room for the path and its names.
static struct dray_json_node *walk(struct dray_json_fields *fields, const char *given, char **text) {
  const size_t path_len = strlen(given);
  char *path = *text;
  memcpy(path, given, path_len + 1);
  *text += path_len + 1;
  struct dray_json_node *node = &fields->nodes[0];
  const char *at = path;
  for (;;) {
    struct dray_json_step step;
    if (dray_json_step_next(path, &at, &step, NULL) != DRAY_OK || step.kind == DRAY_JSON_STEP_END) return node;
    struct dray_json_node *child = find_child(node, &step);
    if (child == NULL) {
      child = &fields->nodes[fields->node_count++];
      child->path = dray_str_make(path, (uint64_t)(at - path));
      child->index = step.index;
      if (step.kind == DRAY_JSON_STEP_NAME) {
        child->name = *text;
        child->name_len = dray_json_step_name(&step, *text);
        *text += child->name_len;
        node->named++;
      }
      child->sibling = node->children;
      node->children = child;
    }
    node = child;
  }
}

static int32_t make_slots(struct dray_json_node *node, struct dray_error *error) {
  if (node->named == 0) return DRAY_OK;
  size_t capacity = 8;
  while (capacity < node->named * 4) capacity *= 2;
  node->slots = calloc(capacity, sizeof(*node->slots));
  if (node->slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the fields of a JSON reader");
  node->slot_mask = capacity - 1;
  for (struct dray_json_node *child = node->children; child != NULL; child = child->sibling) {
    if (child->name == NULL) continue;
    size_t i = dray_json_slot_of(child->name, child->name_len) & node->slot_mask;
    while (node->slots[i].name != NULL) i = (i + 1) & node->slot_mask;
    node->slots[i] = (struct dray_json_slot){child->name, child->name_len, child};
  }
  return DRAY_OK;
}

static int32_t add_target(struct dray_json_fields *fields, struct dray_json_node *node,
                          const struct dray_json_field *field, const struct ArrowSchema *schema,
                          struct dray_error *error) {
  if (field->column >= (size_t)schema->n_children) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "the path '%.200s' goes to column %zu of %lld", field->path,
                     field->column, (long long)schema->n_children);
  }
  for (size_t i = 0; i < fields->target_count; i++) {
    if (fields->targets[i].column != field->column) continue;
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "the path '%.200s' goes to column %zu, as another one does",
                     field->path, field->column);
  }
  struct dray_type type;
  DRAY_TRY(dray_schema_type(schema->children[field->column], &type, error));
  struct dray_json_target *target = &fields->targets[fields->target_count++];
  *target = (struct dray_json_target){.next = node->targets, .column = field->column, .type = type.id};
  node->targets = target;
  return DRAY_OK;
}

int32_t dray_json_fields_make(const struct dray_json_field *fields, size_t field_count,
                              const struct ArrowSchema *schema, struct dray_json_fields *out,
                              struct dray_error *error) {
  size_t steps = 0;
  size_t bytes = 0;
  *out = (struct dray_json_fields){0};
  DRAY_TRY(measure(fields, field_count, &steps, &bytes, error));
  out->nodes = calloc(steps + 1, sizeof(*out->nodes));
  out->targets = calloc(field_count + 1, sizeof(*out->targets));
  out->text = malloc(bytes + 1);
  if (out->nodes == NULL || out->targets == NULL || out->text == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu fields of a JSON reader", field_count);
  }
  out->node_count = 1;
  out->nodes[0].path = dray_str_of("the record");
  char *text = out->text;
  for (size_t i = 0; i < field_count; i++) {
    DRAY_TRY(add_target(out, walk(out, fields[i].path, &text), &fields[i], schema, error));
  }
  for (size_t i = 0; i < out->node_count; i++) DRAY_TRY(make_slots(&out->nodes[i], error));
  return DRAY_OK;
}

void dray_json_fields_free(struct dray_json_fields *fields) {
  for (size_t i = 0; i < fields->node_count; i++) free(fields->nodes[i].slots);
  free(fields->nodes);
  free(fields->targets);
  free(fields->text);
  *fields = (struct dray_json_fields){0};
}
