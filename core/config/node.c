// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tree: looking things up, and writing it as JSON with secrets replaced by the paths they are asked for by.
#include "config/node.h"

#include <assert.h>
#include <math.h>

#include "config/inside.h"
#include "config/json_out.h"

const struct dr_node *dr_node_get(const struct dr_node *map, const char *name) {
  if (map == NULL || map->kind != DR_NODE_MAP) return NULL;
  for (const struct dr_node *child = map->child; child != NULL; child = child->next) {
    if (dray_str_is(child->name, name)) return child;
  }
  return NULL;
}

// A YAML number as JSON: no leading plus or zeros, no bare points.
static void write_number(struct dray_json_writer *writer, const struct dr_node *node) {
  const char *text = node->text.data;
  size_t len = (size_t)node->text.len;
  if (node->kind == DR_NODE_INT) {
    dray_json_write_int(writer, node->integer);
    return;
  }
  const size_t sign = text[0] == '-' || text[0] == '+';
  const int whole = strspn(text + sign, "0123456789") == len - sign; // an integer past int64
  if (!whole || text[sign] == '0' || len - sign > 400) {
    dray_json_write_float(writer, node->number);
    return;
  }
  if (text[0] == '+') {
    text++;
    len--;
  }
  dray_json_write_raw(writer, dray_str_make(text, len));
}

int32_t dr_path_push(struct dr_path *path, struct dray_str name, struct dray_error *error) {
  int plain = name.len > 0;
  for (uint64_t i = 0; i < name.len; i++) {
    if (strchr(".[]\"\\", name.data[i]) != NULL) plain = 0;
  }
  if (plain && path->text.len > 0) DRAY_TRY(dray_buffer_append_char(&path->text, '.', error));
  if (plain) return dray_buffer_append(&path->text, name.data, (size_t)name.len, error);
  DRAY_TRY(dray_buffer_append_str(&path->text, "[\"", error));
  for (uint64_t i = 0; i < name.len; i++) {
    if (name.data[i] == '"' || name.data[i] == '\\') DRAY_TRY(dray_buffer_append_char(&path->text, '\\', error));
    DRAY_TRY(dray_buffer_append_char(&path->text, name.data[i], error));
  }
  return dray_buffer_append_str(&path->text, "\"]", error);
}

int32_t dr_path_push_index(struct dr_path *path, size_t index, struct dray_error *error) {
  return dray_buffer_printf(&path->text, error, "[%zu]", index);
}

void dr_path_pop(struct dr_path *path, size_t len) {
  path->text.len = len;
  if (path->text.data != NULL) path->text.data[len] = '\0';
}

static int32_t write_children(const struct dr_node *node, struct dray_json_writer *writer, struct dr_path *path,
                              struct dray_error *error) {
  size_t index = 0;
  for (const struct dr_node *child = node->child; child != NULL; child = child->next, index++) {
    const size_t len = path->text.len;
    if (node->kind == DR_NODE_MAP) {
      dray_json_key_str(writer, child->name);
      DRAY_TRY(dr_path_push(path, child->name, error));
    } else {
      DRAY_TRY(dr_path_push_index(path, index, error));
    }
    DRAY_TRY(dr_node_write(child, writer, path, error));
    dr_path_pop(path, len);
  }
  return DRAY_OK;
}

int32_t dr_node_write(const struct dr_node *node, struct dray_json_writer *writer, struct dr_path *path,
                      struct dray_error *error) {
  switch (node->kind) {
  case DR_NODE_NULL:
    dray_json_write_null(writer);
    return DRAY_OK;
  case DR_NODE_BOOL:
    dray_json_write_bool(writer, node->boolean);
    return DRAY_OK;
  case DR_NODE_INT:
  case DR_NODE_FLOAT:
    write_number(writer, node);
    return DRAY_OK;
  case DR_NODE_STRING:
    dray_json_write_str(writer, node->text);
    return DRAY_OK;
  case DR_NODE_SECRET:
    dray_json_begin_object(writer);
    dray_json_key(writer, "$secret");
    dray_json_write_str(writer, dray_buffer_view(&path->text));
    dray_json_end_object(writer);
    return DRAY_OK;
  case DR_NODE_LIST:
    dray_json_begin_array(writer);
    DRAY_TRY(write_children(node, writer, path, error));
    dray_json_end_array(writer);
    return DRAY_OK;
  default:
    assert(node->kind == DR_NODE_MAP);
    dray_json_begin_object(writer);
    DRAY_TRY(write_children(node, writer, path, error));
    dray_json_end_object(writer);
    return DRAY_OK;
  }
}

int32_t dr_node_to_json(const struct dr_node *node, struct dray_buffer *out, struct dray_error *error) {
  struct dray_json_writer writer;
  struct dr_path path;
  dray_buffer_init(&path.text, DR_PATH_BYTES_MAX);
  dray_json_writer_init(&writer, out, error);
  int32_t rc = dr_node_write(node, &writer, &path, error);
  if (rc == DRAY_OK) rc = dray_json_writer_finish(&writer);
  dray_buffer_free(&path.text);
  return rc;
}
