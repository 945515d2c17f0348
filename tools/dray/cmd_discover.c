// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray discover CONNECTION`: streams, objects and tables with their columns.
#include <stdlib.h>
#include <string.h>

#include "sync/inspect.h"
#include "watched.h"

#define CATALOG_BYTES_MAX (64u << 20)

static void print_names(struct dr_output *output, const char *title, const struct dray_json *list) {
  if (list == NULL || list->child == NULL) return;
  dr_print(output, "%s", title);
  for (const struct dray_json *item = list->child; item != NULL; item = item->next) {
    dr_print(output, "%s%.*s", item == list->child ? "" : ", ", DRAY_STR_ARG(item->text));
  }
  dr_print(output, "\n");
}

static int is_member(const struct dray_json *of, const char *name, int value) {
  const struct dray_json *member = dray_json_get(of, name);
  return member != NULL && member->kind == DRAY_JSON_BOOL && member->boolean == value;
}

// A column of a table, or a field of an object with what a write may do with it.
static void print_column(struct dr_output *output, const struct dray_json *column) {
  const struct dray_str name = dray_json_string(dray_json_get(column, "name"), "");
  const struct dray_str type = dray_json_string(dray_json_get(column, "type"), "any");
  const struct dray_str description = dray_json_string(dray_json_get(column, "description"), "");
  const int caseless = dray_str_is(dray_json_string(dray_json_get(column, "compare"), ""), "caseless");
  const struct dray_str null = dray_json_string(dray_json_get(column, "null"), "");
  dr_print(output, "    %-32.*s %.*s%s%s%s%s%s%s%.*s%s%.*s\n", DRAY_STR_ARG(name), DRAY_STR_ARG(type),
           is_member(column, "nullable", 0) ? " not null" : "", is_member(column, "required", 1) ? " required" : "",
           is_member(column, "match_key", 1) ? " match key" : "", caseless ? " in any case" : "",
           is_member(column, "writable", 0) ? " read only" : "", null.len > 0 ? ", null " : "", DRAY_STR_ARG(null),
           description.len > 0 ? ": " : "", DRAY_STR_ARG(description));
}

// A stream, table or object, then its columns or fields.
static void print_entry(struct dr_output *output, const char *kind, const struct dray_json *entry) {
  const struct dray_str schema = dray_json_string(dray_json_get(entry, "schema"), "");
  const struct dray_str name = dray_json_string(dray_json_get(entry, "name"), "");
  dr_print(output, "%s%s %.*s%s%.*s%s", dr_style(output, DR_STYLE_BOLD), kind, DRAY_STR_ARG(schema),
           schema.len > 0 ? "." : "", DRAY_STR_ARG(name), dr_style(output, DR_STYLE_RESET));
  const struct dray_str description = dray_json_string(dray_json_get(entry, "description"), "");
  dr_print(output, "%s%.*s\n", description.len > 0 ? "  " : "", DRAY_STR_ARG(description));
  print_names(output, "  primary key: ", dray_json_get(entry, "primary_key"));
  print_names(output, "  modes: ", dray_json_get(entry, "modes"));
  print_names(output, "  operations: ", dray_json_get(entry, "operations"));
  const struct dray_str cursor = dray_json_string(dray_json_get(entry, "cursor"), "");
  if (cursor.len > 0) dr_print(output, "  cursor: %.*s\n", DRAY_STR_ARG(cursor));
  const struct dray_json *columns = dray_json_get(entry, "columns");
  if (columns == NULL) columns = dray_json_get(entry, "fields");
  for (const struct dray_json *column = columns != NULL ? columns->child : NULL; column != NULL;
       column = column->next) {
    print_column(output, column);
  }
}

static void print_catalog(struct dr_output *output, const struct dray_json *root) {
  const struct dray_json *source = dray_json_get(root, "source");
  const struct dray_json *warehouse = dray_json_get(root, "warehouse");
  // A plugin that is both shows its tables once.
  const struct dray_json *streams = dray_json_get(source != NULL ? source : warehouse, "streams");
  const struct dray_json *objects = dray_json_get(dray_json_get(root, "destination"), "objects");
  for (const struct dray_json *item = streams != NULL ? streams->child : NULL; item != NULL; item = item->next) {
    print_entry(output, source != NULL ? "stream" : "table", item);
  }
  for (const struct dray_json *item = objects != NULL ? objects->child : NULL; item != NULL; item = item->next) {
    print_entry(output, "object", item);
  }
}

static int32_t discover(struct dr_watched *watched) {
  struct dr_output *output = watched->call->output;
  const size_t *connection = watched->ctx;
  struct dray_buffer catalog;
  struct dray_error error;
  struct dray_json *root = NULL;
  dray_error_init(&error);
  dray_buffer_init(&catalog, CATALOG_BYTES_MAX);
  int32_t rc = dr_inspect_discover(watched->session, *connection, &catalog, &error);
  if (rc == DRAY_OK && output->json) {
    struct dr_record record;
    dr_record_begin(&record, output, "catalog");
    dr_record_raw(&record, "catalog", dray_buffer_view(&catalog));
    dr_record_end(&record);
  } else if (rc == DRAY_OK) {
    rc = dray_json_parse(dray_buffer_view(&catalog), CATALOG_BYTES_MAX, &root, &error);
    if (rc == DRAY_OK) print_catalog(output, root);
  }
  dray_json_free(root);
  dray_buffer_free(&catalog);
  return rc == DRAY_OK ? DR_EXIT_DONE : dr_watched_error(watched, &error);
}

int32_t cmd_discover(struct dr_command_call *call) {
  struct dr_project *project = NULL;
  int32_t code = dr_command_project_any(call, &project); // a sync that is half written is what discover helps with
  if (code != 0) return code;
  const char *name = call->positionals[0];
  size_t connection = 0;
  while (connection < project->connection_count && strcmp(project->connections[connection].name, name) != 0)
    connection++;
  if (connection == project->connection_count) {
    const char **names = calloc(project->connection_count + 1, sizeof(*names));
    for (size_t i = 0; names != NULL && i < project->connection_count; i++) names[i] = project->connections[i].name;
    code = dr_usage(call, names != NULL ? dr_nearest(name, names, project->connection_count) : NULL,
                    "there is no connection \"%s\"", name);
    free(names);
  } else {
    code = dr_watched_run(call, project, NULL, discover, &connection);
  }
  dr_project_free(project);
  return code;
}
