// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings as the JSON that a plugin's `create` receives: the values as written, the schema's defaults where nothing
// was, and secrets as the paths they are asked for by.
#include "config/json_out.h"
#include "config/project.h"

#define SCHEMA_BYTES_MAX (1024 * 1024)

struct writing {
  struct dray_json_writer writer;
  struct dr_path path;
  struct dray_error *error;
};

static int32_t write_value(struct writing *w, const struct dr_node *node, const struct dray_json *schema);

static int32_t write_object(struct writing *w, const struct dr_node *node, const struct dray_json *schema) {
  const struct dray_json *properties = dray_json_get(schema, "properties");
  dray_json_begin_object(&w->writer);
  for (const struct dr_node *child = node != NULL ? node->child : NULL; child != NULL; child = child->next) {
    const size_t len = w->path.text.len;
    dray_json_key_str(&w->writer, child->name);
    DRAY_TRY(dr_path_push(&w->path, child->name, w->error));
    DRAY_TRY(write_value(w, child, dray_json_get(properties, child->name.data)));
    dr_path_pop(&w->path, len);
  }
  for (const struct dray_json *property = properties != NULL ? properties->child : NULL; property != NULL;
       property = property->next) {
    const struct dray_json *otherwise = dray_json_get(property, "default");
    if (otherwise == NULL || dr_node_get(node, property->name.data) != NULL) continue;
    dray_json_key_str(&w->writer, property->name);
    dray_json_write_value(&w->writer, otherwise);
  }
  dray_json_end_object(&w->writer);
  return DRAY_OK;
}

static int32_t write_value(struct writing *w, const struct dr_node *node, const struct dray_json *schema) {
  const struct dray_json *secret = dray_json_get(schema, "writeOnly");
  if (secret != NULL && secret->boolean && node->kind != DR_NODE_SECRET && node->kind != DR_NODE_NULL)
    return dray_fail(w->error, DRAY_E_CONFIG_SECRET_LITERAL, "the secret setting `%.*s` is written out",
                     DRAY_STR_ARG(dray_buffer_view(&w->path.text)));
  if (node->kind == DR_NODE_MAP) return write_object(w, node, schema);
  if (node->kind != DR_NODE_LIST) return dr_node_write(node, &w->writer, &w->path, w->error);
  const struct dray_json *items = dray_json_get(schema, "items");
  size_t index = 0;
  dray_json_begin_array(&w->writer);
  for (const struct dr_node *item = node->child; item != NULL; item = item->next, index++) {
    const size_t len = w->path.text.len;
    DRAY_TRY(dr_path_push_index(&w->path, index, w->error));
    DRAY_TRY(write_value(w, item, items));
    dr_path_pop(&w->path, len);
  }
  dray_json_end_array(&w->writer);
  return DRAY_OK;
}

int32_t dr_project_settings_json(const struct dr_node *settings, struct dray_str json_schema, struct dray_buffer *out,
                                 struct dray_error *error) {
  struct writing w = {.error = error};
  struct dray_json *schema = NULL;
  const int32_t parsed = dray_json_parse(json_schema, SCHEMA_BYTES_MAX, &schema, error);
  if (parsed == DRAY_E_OUT_OF_MEMORY) return parsed;
  if (parsed != DRAY_OK)
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the plugin's settings schema is not valid JSON");
  dray_buffer_init(&w.path.text, DR_PATH_BYTES_MAX);
  dray_json_writer_init(&w.writer, out, error);
  int32_t rc = write_object(&w, settings, schema);
  if (rc == DRAY_OK) rc = dray_json_writer_finish(&w.writer);
  dray_buffer_free(&w.path.text);
  dray_json_free(schema);
  return rc;
}
