// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `connections:` and `models:`. A connection's settings are not looked into here: the plugin's schema does that later
// (settings.c), and until then none of their values may be shown.
#include <errno.h>
#include <stdlib.h>

#include "base/file.h"
#include "config/inside.h"

#define SQL_BYTES_MAX DR_CONFIG_FILE_BYTES_MAX

// ---- connections ----

static int32_t read_connection(struct dr_project *project, const struct dr_entry *entry, struct dr_connection *out,
                               struct dray_error *error) {
  struct dr_reader reader = {project, NULL, out, error};
  const struct dr_node *node = entry->node;
  out->name = entry->name.data;
  out->mark = node->name.len > 0 ? node->name_mark : node->mark;
  DRAY_TRY(dr_project_format(project, &reader.where, error, "connection \"%s\"", out->name));
  DRAY_TRY(dr_mask(project, node, error));
  if (node->kind != DR_NODE_MAP) {
    return dr_problem_type(&reader, node, "a mapping");
  }
  struct dr_node *settings = NULL;
  DRAY_TRY(dr_project_alloc(project, sizeof(*settings), &settings, error));
  *settings = *node;
  settings->child = NULL;
  settings->next = NULL;
  settings->child_count = 0;
  struct dr_node **tail = &settings->child;
  for (const struct dr_node *child = node->child; child != NULL; child = child->next) {
    if (dray_str_is(child->name, "plugin")) {
      DRAY_TRY(dr_read_text(&reader, child, &out->plugin));
      if (out->plugin[0] != '\0') out->plugin_mark = child->mark;
      continue;
    }
    struct dr_node *copy = NULL;
    DRAY_TRY(dr_project_alloc(project, sizeof(*copy), &copy, error));
    *copy = *child;
    copy->next = NULL;
    *tail = copy;
    tail = &copy->next;
    settings->child_count++;
  }
  out->settings = settings;
  if (dr_node_get(node, "plugin") == NULL)
    return dr_problem_at_name(&reader, node, DRAY_E_CONFIG_MISSING, NULL, "a connection is a plugin with its settings",
                              "%s has no `plugin`", reader.where);
  return DRAY_OK;
}

int32_t dr_read_connections(struct dr_project *project, const struct dr_entries *entries, struct dray_error *error) {
  struct dr_connection *connections = NULL;
  DRAY_TRY(dr_project_alloc(project, (entries->count + 1) * sizeof(*connections), &connections, error));
  project->connections = connections;
  for (const struct dr_entry *entry = entries->first; entry != NULL; entry = entry->next) {
    struct dr_connection *connection = &connections[project->connection_count++];
    connection->plugin = "";
    DRAY_TRY(read_connection(project, entry, connection, error));
  }
  return DRAY_OK;
}

int32_t dr_read_connection_name(struct dr_reader *reader, const struct dr_node *node, ptrdiff_t *out) {
  const struct dr_project *project = reader->project;
  const char *name = NULL;
  DRAY_TRY(dr_read_text(reader, node, &name));
  if (name == NULL) return DRAY_OK;
  for (size_t i = 0; i < project->connection_count; i++) {
    if (strcmp(project->connections[i].name, name) != 0) continue;
    *out = (ptrdiff_t)i;
    return DRAY_OK;
  }
  if (project->inside->incomplete) return DRAY_OK; // it may stand in the part that could not be read
  const char **names = NULL;
  DRAY_TRY(dr_project_alloc(reader->project, (project->connection_count + 1) * sizeof(*names), &names, reader->error));
  for (size_t i = 0; i < project->connection_count; i++) names[i] = project->connections[i].name;
  return dr_problem_at(reader, node, DRAY_E_CONFIG_REFERENCE, dr_nearest(name, names, project->connection_count),
                       project->connection_count == 0 ? "no connections are defined" : NULL,
                       "%s names the connection \"%s\", which is not defined", reader->where, name);
}

// ---- models ----

struct model_draft {
  struct dr_model *model;
  ptrdiff_t warehouse;
  const struct dr_node *sql;
};

static int32_t model_warehouse(struct dr_reader *reader, const struct dr_node *node) {
  return dr_read_connection_name(reader, node, &((struct model_draft *)reader->target)->warehouse);
}

static int32_t model_sql(struct dr_reader *reader, const struct dr_node *node) {
  struct model_draft *draft = reader->target;
  draft->sql = node;
  return dr_read_text(reader, node, &draft->model->sql);
}

static int32_t model_key(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_model *model = ((struct model_draft *)reader->target)->model;
  return dr_read_texts(reader, node, &model->key, &model->key_count);
}

static const struct dr_key model_keys[] = {{"warehouse", model_warehouse}, {"sql", model_sql}, {"key", model_key}};

#define MODEL_KEYS (sizeof(model_keys) / sizeof(model_keys[0]))

// A path when it looks like one: a word that ends in .sql. Everything else is a statement.
static int is_sql_path(const char *text) {
  const size_t len = strlen(text);
  return len > 4 && strcmp(text + len - 4, ".sql") == 0 && strpbrk(text, " \t\n\r") == NULL;
}

// The statement without what follows it: dray sets it into a larger one.
static int32_t keep_statement(struct dr_project *project, struct dray_str text, const char **out,
                              struct dray_error *error) {
  while (text.len > 0 && memchr("; \t\r\n", text.data[text.len - 1], 5) != NULL) text.len--;
  return dr_project_text(project, text, out, error);
}

static int32_t load_sql(struct dr_reader *reader, const struct dr_node *place, const char *path,
                        struct dr_model *model) {
  struct dr_project *project = reader->project;
  struct dray_buffer text;
  struct dray_error why;
  char *full = path[0] == '/' ? dray_str_dup(dray_str_of(path)) : dr_path_join(project->folder, path);
  if (full == NULL) return dray_fail(reader->error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of %s", path);
  dray_buffer_init(&text, SQL_BYTES_MAX + 65536);
  dray_error_init(&why);
  const int there = dr_file_exists(full);
  int32_t rc = dr_file_read(full, SQL_BYTES_MAX, &text, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) {
    rc = dray_fail(reader->error, rc, "no memory to read %s", path);
  } else if (rc != DRAY_OK && !there) {
    rc = dr_problem_at(reader, place, DRAY_E_CONFIG_REFERENCE, NULL, NULL, "the SQL file \"%s\" of %s is not there",
                       path, reader->where);
  } else if (rc != DRAY_OK) {
    rc = dr_problem_at(reader, place, DRAY_E_CONFIG_FILE, NULL, why.text, "the SQL file \"%s\" of %s cannot be read",
                       path, reader->where);
  } else if (!dray_utf8_valid(text.data, text.len) || (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)) {
    rc = dr_problem_at(reader, place, DRAY_E_CONFIG_FILE, NULL, NULL, "the SQL file \"%s\" of %s is not UTF-8 text",
                       path, reader->where);
  } else {
    rc = keep_statement(project, dray_buffer_view(&text), &model->sql, reader->error);
    if (rc == DRAY_OK && model->sql[0] == '\0')
      rc = dr_problem_at(reader, place, DRAY_E_CONFIG_VALUE, NULL, NULL, "the SQL file \"%s\" of %s is empty", path,
                         reader->where);
  }
  dray_buffer_free(&text);
  free(full);
  return rc;
}

static int32_t read_model(struct dr_project *project, const struct dr_entry *entry, struct dr_model *out,
                          struct dray_error *error) {
  struct model_draft draft = {out, -1, NULL};
  struct dr_reader reader = {project, NULL, &draft, error};
  const struct dr_node *node = entry->node;
  out->name = entry->name.data;
  out->sql = "";
  out->mark = node->name.len > 0 ? node->name_mark : node->mark;
  DRAY_TRY(dr_project_format(project, &reader.where, error, "model \"%s\"", out->name));
  DRAY_TRY(dr_read_section(&reader, node, model_keys, MODEL_KEYS));
  if (node->kind != DR_NODE_MAP) return DRAY_OK;
  if (!dr_has_key(node, "warehouse", model_keys, MODEL_KEYS))
    DRAY_TRY(dr_problem_at_name(&reader, node, DRAY_E_CONFIG_MISSING, NULL, "a model runs in a connection's warehouse",
                                "%s has no `warehouse`", reader.where));
  if (!dr_has_key(node, "key", model_keys, MODEL_KEYS))
    DRAY_TRY(dr_problem_at_name(&reader, node, DRAY_E_CONFIG_MISSING, NULL,
                                "the key tells which row is which from run to run", "%s has no `key`", reader.where));
  out->warehouse = draft.warehouse < 0 ? 0 : (size_t)draft.warehouse;
  if (draft.sql != NULL && !is_sql_path(out->sql)) {
    DRAY_TRY(keep_statement(project, dray_str_of(out->sql), &out->sql, error));
    return DRAY_OK;
  }
  if (draft.sql != NULL) {
    out->sql_file = out->sql;
  } else { // a model without `sql` is the file of its name
    DRAY_TRY(dr_project_format(project, &out->sql_file, error, "models/%s.sql", out->name));
  }
  out->sql = "";
  return load_sql(&reader, draft.sql != NULL ? draft.sql : node, out->sql_file, out);
}

int32_t dr_read_models(struct dr_project *project, const struct dr_entries *entries, struct dray_error *error) {
  struct dr_model *models = NULL;
  DRAY_TRY(dr_project_alloc(project, (entries->count + 1) * sizeof(*models), &models, error));
  project->models = models;
  for (const struct dr_entry *entry = entries->first; entry != NULL; entry = entry->next)
    DRAY_TRY(read_model(project, entry, &models[project->model_count++], error));
  return DRAY_OK;
}
