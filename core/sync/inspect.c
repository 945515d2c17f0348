// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks and catalogues of a connection.
#include "sync/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"
#include "dray/sdk/json.h"
#include "sync/ingest.h"
#include "sync/mapping.h"
#include "sync/prefilter.h"
#include "sync/reader.h"

#define REPORT_BYTES_MAX (1u << 20)

static const struct {
  int role;
  const char *name;
} roles[] = {{DR_ROLE_SOURCE, "source"}, {DR_ROLE_DESTINATION, "destination"}, {DR_ROLE_WAREHOUSE, "warehouse"}};
#define ROLE_COUNT (sizeof(roles) / sizeof(roles[0]))

struct items {
  struct dr_check_item *list;
  size_t count;
};

static int32_t add(struct items *items, const struct dr_check_item *item, struct dray_error *error) {
  struct dr_check_item *list = realloc(items->list, (items->count + 1) * sizeof(*list));
  if (list == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for checks");
  items->list = list;
  list[items->count++] = *item;
  return DRAY_OK;
}

static void copy_member(const struct dray_json *object, const char *name, char *out, size_t out_bytes) {
  const struct dray_str text = dray_json_string(dray_json_get(object, name), "");
  (void)snprintf(out, out_bytes, "%.*s", DRAY_STR_ARG(text));
  out[dr_redact(out, strlen(out))] = '\0';
}

static int32_t code_of(const struct dray_json *value) {
  int64_t number = 0;
  if (value == NULL || dray_parse_int64(value->text, &number, NULL) != DRAY_OK) return DRAY_OK;
  return (int32_t)number; // the call's wrapper has checked that it is that of an error
}

// Whose steps are taken.
struct checked {
  const struct dr_project *project;
  size_t connection;
  int role;
  int by_none; // no sync or model uses the connection: then every step counts
};

static int is_unused(const struct checked *checked, const struct dray_json *of) {
  if (of == NULL || checked->by_none) return 0;
  const struct dray_str name = dray_json_string(of, "");
  for (size_t i = 0; i < checked->project->sync_count; i++) {
    const struct dr_sync *sync = &checked->project->syncs[i];
    const int reads = checked->role == DR_ROLE_SOURCE && sync->from_connection == (ptrdiff_t)checked->connection;
    const int writes = checked->role == DR_ROLE_DESTINATION && sync->to_connection == checked->connection;
    if (reads && sync->stream != NULL && dray_str_is(name, sync->stream)) return 0;
    if (writes && sync->object != NULL && dray_str_is(name, sync->object)) return 0;
  }
  return 1;
}

static int32_t take_report(struct items *items, const struct dr_check_item *start, const struct checked *checked,
                           struct dray_str json, struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(dray_json_parse(json, REPORT_BYTES_MAX, &root, error));
  int32_t rc = DRAY_OK;
  for (const struct dray_json *entry = root->child; rc == DRAY_OK && entry != NULL; entry = entry->next) {
    struct dr_check_item item = *start;
    const struct dray_json *ok = dray_json_get(entry, "ok");
    copy_member(entry, "name", item.name, sizeof(item.name));
    copy_member(entry, "text", item.text, sizeof(item.text));
    copy_member(entry, "fix", item.fix, sizeof(item.fix));
    item.ok = ok != NULL && ok->kind == DRAY_JSON_BOOL && ok->boolean;
    item.unused = is_unused(checked, dray_json_get(entry, "of"));
    item.code = item.ok ? DRAY_OK : code_of(dray_json_get(entry, "code"));
    rc = add(items, &item, error);
  }
  dray_json_free(root);
  return rc;
}

static int32_t check_role(struct dr_session *session, size_t connection, int role, struct dray_str *out,
                          struct dray_error *error) {
  struct dr_source_instance *source = NULL;
  struct dr_destination_instance *destination = NULL;
  struct dr_warehouse_instance *warehouse = NULL;
  switch (role) {
  case DR_ROLE_SOURCE:
    DRAY_TRY(dr_session_source(session, connection, &source, error));
    return dr_source_check(source, out, error);
  case DR_ROLE_DESTINATION:
    DRAY_TRY(dr_session_destination(session, connection, &destination, error));
    return dr_destination_check(destination, out, error);
  default:
    DRAY_TRY(dr_session_warehouse_unopened(session, connection, &warehouse, error));
    return dr_warehouse_check(warehouse, out, error);
  }
}

// Whether a sync or model has the connection in that role. Where a plugin could be source or warehouse, reading goes
// through the source.
static int is_used(const struct dr_project *project, size_t connection, const struct dr_plugin *plugin, int role) {
  const int reads_as = dr_plugin_has_role(plugin, DR_ROLE_SOURCE) ? DR_ROLE_SOURCE : DR_ROLE_WAREHOUSE;
  for (size_t i = 0; i < project->model_count; i++) {
    if (project->models[i].warehouse == connection && role == DR_ROLE_WAREHOUSE) return 1;
  }
  for (size_t i = 0; i < project->sync_count; i++) {
    const struct dr_sync *sync = &project->syncs[i];
    if (sync->from_connection == (ptrdiff_t)connection && role == reads_as) return 1;
    if (sync->to_connection != connection) continue;
    if (role == (sync->object != NULL ? DR_ROLE_DESTINATION : DR_ROLE_WAREHOUSE)) return 1;
  }
  return 0;
}

static int is_used_at_all(const struct dr_project *project, size_t connection, const struct dr_plugin *plugin) {
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    if (dr_plugin_has_role(plugin, roles[i].role) && is_used(project, connection, plugin, roles[i].role)) return 1;
  }
  return 0;
}

int32_t dr_inspect_check(struct dr_session *session, size_t connection, struct dr_check_item **out, size_t *out_count,
                         struct dray_error *error) {
  const struct dr_plugin *plugin = NULL;
  struct items items = {NULL, 0};
  DRAY_TRY(dr_session_plugin(session, connection, &plugin, error));
  DRAY_TRY(dr_session_check_settings(session, connection, error));
  const struct dr_project *project = dr_session_project(session);
  const int any = !is_used_at_all(project, connection, plugin); // then one role, its first, stands for it
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < ROLE_COUNT; i++) {
    if (!dr_plugin_has_role(plugin, roles[i].role)) continue;
    if (!any && !is_used(project, connection, plugin, roles[i].role)) continue;
    if (any && items.count > 0) break;
    struct dr_check_item start;
    memset(&start, 0, sizeof(start));
    (void)snprintf(start.connection, sizeof(start.connection), "%s",
                   dr_session_project(session)->connections[connection].name);
    (void)snprintf(start.role, sizeof(start.role), "%s", roles[i].name);
    struct dray_error failure;
    dray_error_init(&failure);
    struct dray_str json;
    const int32_t checked = check_role(session, connection, roles[i].role, &json, &failure);
    if (checked == DRAY_OK) {
      const struct checked what = {project, connection, roles[i].role, any};
      rc = take_report(&items, &start, &what, json, error);
    } else if (failure.error_class == DRAY_CLASS_CANCELLED) {
      *error = failure;
      rc = checked;
    } else {
      dr_redact_error(&failure);
      start.code = failure.code;
      (void)snprintf(start.name, sizeof(start.name), "check");
      (void)snprintf(start.text, sizeof(start.text), "%s", failure.text);
      (void)snprintf(start.fix, sizeof(start.fix), "%s", dray_error_info(failure.code)->fix);
      rc = add(&items, &start, error);
    }
  }
  if (rc != DRAY_OK) {
    free(items.list);
    return rc;
  }
  *out = items.list;
  *out_count = items.count;
  return DRAY_OK;
}

// Whether the table that the sync writes is its own, and within what the engine takes.
static int32_t check_table(struct dr_session *session, const struct dr_sync *sync, const struct dr_mapping *mapping,
                           struct dray_error *error) {
  struct dr_table_options table = dr_ingest_table(dr_session_project(session), sync);
  struct dr_warehouse *warehouse = NULL;
  if (sync->object != NULL) return DRAY_OK;
  DRAY_TRY(dr_session_warehouse(session, sync->to_connection, &warehouse, NULL, error));
  DRAY_TRY(dr_ingest_alone(session, sync, warehouse, error));
  table.schema = mapping->schema;
  table.key = mapping->key;
  table.key_count = mapping->key_count;
  return dr_table_check(warehouse, &table, error);
}

// What a mapping has: columns, those of the key, and those whose nulls leave what is there.
struct found {
  size_t columns, keys, kept;
};

// Opens reader and mapping; `out` says what was found.
static int32_t open_sync(struct dr_session *session, const struct dr_sync *sync, struct found *out,
                         struct dray_error *error) {
  struct dr_reader *reader = NULL;
  struct dr_mapping mapping;
  const struct dr_reader_options options = {.sync = sync, .full = 1, .look = 1};
  DRAY_TRY(dr_reader_open(session, &options, &reader, error));
  const struct dr_stream_facts *facts = dr_reader_facts(reader);
  const struct dr_mapping_options wanted = {
      .sync = sync,
      .source = dr_reader_schema(reader),
      .key = sync->key_count > 0 ? sync->key : facts->key,
      .key_count = sync->key_count > 0 ? sync->key_count : facts->key_count,
  };
  int32_t rc = dr_mapping_init(&mapping, &wanted, error);
  if (rc == DRAY_OK) {
    rc = check_table(session, sync, &mapping, error);
    *out = (struct found){mapping.schema->field_count, mapping.key_count, 0};
    for (size_t i = 0; i < out->columns; i++) out->kept += mapping.keeps_nulls[i];
    dr_mapping_free(&mapping);
  }
  dr_reader_close(reader);
  return rc;
}

// A model may stand on tables that another sync of the project makes: before that has run, its SQL says nothing.
static int may_come(struct dr_session *session, const struct dr_sync *sync) {
  const struct dr_project *project = dr_session_project(session);
  if (sync->model < 0) return 0;
  for (size_t i = 0; i < project->sync_count; i++) {
    const struct dr_sync *other = &project->syncs[i];
    if (other == sync || other->object != NULL || other->to_connection != project->models[sync->model].warehouse)
      continue;
    struct dr_sync_state state;
    struct dray_error ignored;
    memset(&state, 0, sizeof(state));
    const int32_t rc = dr_store_sync_get(dr_session_store(session), other->name, &state, &ignored);
    dray_buffer_free(&state.checkpoint);
    if (rc == DRAY_OK && state.generation == 0) return 1;
  }
  return 0;
}

// Whether the schema that the sync names takes a table: the connection's own check knows no syncs.
static int32_t try_table(struct dr_session *session, const struct dr_sync *sync, struct dray_error *error) {
  const struct dr_table_name name = {sync->schema, dr_context_table(dr_session_project(session), sync)};
  struct dr_warehouse *warehouse = NULL;
  DRAY_TRY(dr_session_warehouse(session, sync->to_connection, &warehouse, NULL, error));
  return dr_table_try(warehouse, &name, error);
}

int32_t dr_inspect_sync(struct dr_session *session, const struct dr_sync *sync, struct dr_check_item *out,
                        struct dray_error *error) {
  struct dr_check_item item;
  struct dray_error failure;
  struct found found = {0, 0, 0};
  char kept[48] = "";
  memset(&item, 0, sizeof(item));
  dray_error_init(&failure);
  (void)snprintf(item.connection, sizeof(item.connection), "%s", sync->name);
  (void)snprintf(item.role, sizeof(item.role), "sync");
  (void)snprintf(item.name, sizeof(item.name), "open");
  int32_t rc = open_sync(session, sync, &found, &failure);
  const int keeps = rc == DRAY_OK && sync->diff == DR_DIFF_WAREHOUSE;
  if (keeps) rc = dr_prefilter_try(session, sync, &failure);
  if (keeps && rc != DRAY_OK) (void)snprintf(item.name, sizeof(item.name), "snapshot");
  const int lands = rc == DRAY_OK && sync->object == NULL;
  if (lands) rc = try_table(session, sync, &failure);
  if (lands && rc != DRAY_OK) (void)snprintf(item.name, sizeof(item.name), "create");
  if (failure.error_class == DRAY_CLASS_CANCELLED) {
    *error = failure;
    return rc;
  }
  const int later = rc == DRAY_E_CONFIG_SQL && may_come(session, sync);
  item.ok = rc == DRAY_OK || later;
  if (later) {
    (void)snprintf(item.text, sizeof(item.text), "not tried: the syncs that fill its warehouse have not all run yet");
  } else if (item.ok) {
    if (found.kept > 0) (void)snprintf(kept, sizeof(kept), ", nulls keep %zu of them", found.kept);
    (void)snprintf(item.text, sizeof(item.text), "%zu columns%s, a key of %zu%s", found.columns, kept, found.keys,
                   keeps ? ", a snapshot can be kept" : "");
  } else {
    dr_redact_error(&failure);
    item.code = failure.code;
    (void)snprintf(item.text, sizeof(item.text), "%s", failure.text);
    (void)snprintf(item.fix, sizeof(item.fix), "%s",
                   keeps && !lands
                       ? "`diff: warehouse` makes tables in the schema `dray`, and temporary ones: grant the right to, "
                         "or use `diff: local`, which only reads"
                       : dray_error_info(failure.code)->fix);
  }
  *out = item;
  return DRAY_OK;
}

static int32_t discover_role(struct dr_session *session, size_t connection, int role, struct dray_str *out,
                             struct dray_error *error) {
  struct dr_source_instance *source = NULL;
  struct dr_destination_instance *destination = NULL;
  struct dr_warehouse_instance *instance = NULL;
  struct dr_warehouse *warehouse = NULL;
  switch (role) {
  case DR_ROLE_SOURCE:
    DRAY_TRY(dr_session_source(session, connection, &source, error));
    return dr_source_discover(source, out, error);
  case DR_ROLE_DESTINATION:
    DRAY_TRY(dr_session_destination(session, connection, &destination, error));
    return dr_destination_discover(destination, out, error);
  default:
    DRAY_TRY(dr_session_warehouse(session, connection, &warehouse, &instance, error));
    return dr_warehouse_discover(instance, out, error);
  }
}

int32_t dr_inspect_discover(struct dr_session *session, size_t connection, struct dray_buffer *out,
                            struct dray_error *error) {
  const struct dr_plugin *plugin = NULL;
  DRAY_TRY(dr_session_plugin(session, connection, &plugin, error));
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "connection");
  dray_json_write_text(&writer, dr_session_project(session)->connections[connection].name);
  dray_json_key(&writer, "plugin");
  dray_json_write_text(&writer, plugin->manifest.name);
  dray_json_key(&writer, "version");
  dray_json_write_text(&writer, plugin->manifest.version);
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    if (!dr_plugin_has_role(plugin, roles[i].role)) continue;
    struct dray_str json;
    DRAY_TRY(discover_role(session, connection, roles[i].role, &json, error));
    dray_json_key(&writer, roles[i].name);
    dray_json_write_raw(&writer, json);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}
