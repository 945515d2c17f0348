// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: what can be read, whether it can be read, and streams of it.
#include <stdio.h>
#include <stdlib.h>

#include "reader.h"
#include "roles.h"

struct dray_source {
  struct dray_services services;
  struct file_settings settings;
  struct dray_buffer document; // what check or discover handed out last
};

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, FILE_DOCUMENT_BYTES_MAX);
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = file_settings_bind(config_json, &source->settings, error);
  if (rc != DRAY_OK) {
    free(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  file_settings_free(&source->settings);
  dray_buffer_free(&source->document);
  free(source);
}

// ---- discover ----

static void write_columns(struct dray_json_writer *writer, const struct file_layout *layout) {
  dray_json_key(writer, "columns");
  dray_json_begin_array(writer);
  for (size_t i = 0; i < layout->count; i++) {
    char type[32];
    dray_json_begin_object(writer);
    dray_json_key(writer, "name");
    dray_json_write_text(writer, layout->columns[i].name);
    dray_json_key(writer, "type");
    dray_json_write_text(writer, dray_type_format(layout->columns[i].type, type, sizeof(type)));
    dray_json_key(writer, "nullable");
    dray_json_write_bool(writer, 1);
    dray_json_end_object(writer);
  }
  dray_json_end_array(writer);
}

static void write_stream(struct dray_json_writer *writer, const struct file_set *set,
                         const struct file_layout *layout) {
  char description[600];
  dray_json_begin_object(writer);
  dray_json_key(writer, "name");
  dray_json_write_text(writer, set->name);
  write_columns(writer, layout);
  dray_json_key(writer, "primary_key"); // files do not say what is unique
  dray_json_begin_array(writer);
  dray_json_end_array(writer);
  dray_json_key(writer, "cursor");
  dray_json_write_null(writer);
  dray_json_key(writer, "modes");
  dray_json_begin_array(writer);
  dray_json_write_text(writer, "full");
  dray_json_write_text(writer, "incremental");
  dray_json_end_array(writer);
  if (set->count == 1) {
    (void)snprintf(description, sizeof(description), "%s, %.500s", set->jsonl ? "JSON Lines" : "CSV", set->paths[0]);
  } else {
    (void)snprintf(description, sizeof(description), "%s, %zu files", set->jsonl ? "JSON Lines" : "CSV", set->count);
  }
  // Cutting a path may cut a character.
  size_t len = strlen(description);
  while (len > 0 && !dray_utf8_valid(description, len)) len--;
  dray_json_key(writer, "description");
  dray_json_write_str(writer, dray_str_make(description, len));
  dray_json_end_object(writer);
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct file_sets sets = {0};
  struct dray_json_writer writer;
  DRAY_TRY(file_sets_find(&source->settings, &sets, error));
  dray_catalog_begin(&writer, &source->document, "streams", error);
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < sets.count && rc == DRAY_OK; i++) {
    struct file_layout layout = {0};
    rc = file_layout_make(&source->settings, &sets.items[i], &source->services, &layout, error);
    if (rc == DRAY_OK) write_stream(&writer, &sets.items[i], &layout);
    file_layout_free(&layout);
  }
  file_sets_free(&sets);
  if (rc != DRAY_OK) return rc;
  return dray_catalog_end(&writer, NULL, out_json, error);
}

// ---- check ----

static void describe_columns(const struct file_set *set, const struct file_layout *layout, char *out,
                             size_t out_bytes) {
  int at = snprintf(out, out_bytes, "stream %.200s: %zu columns:", set->name, layout->count);
  for (size_t i = 0; i < layout->count && at > 0 && (size_t)at + 300 < out_bytes; i++) {
    char type[32];
    at += snprintf(out + at, out_bytes - (size_t)at, "%s %s %s", i > 0 ? "," : "", layout->columns[i].name,
                   dray_type_format(layout->columns[i].type, type, sizeof(type)));
  }
}

static int32_t check_streams(struct dray_source *source, const struct file_sets *sets, struct dray_json_writer *writer,
                             struct dray_error *error) {
  for (size_t i = 0; i < sets->count; i++) {
    char text[2048];
    struct file_layout layout = {0};
    struct dray_error why;
    dray_error_init(&why);
    const int32_t rc = file_layout_make(&source->settings, &sets->items[i], &source->services, &layout, &why);
    if (rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_CANCELLED) {
      if (error != NULL) *error = why;
      return rc;
    }
    if (rc == DRAY_OK) {
      describe_columns(&sets->items[i], &layout, text, sizeof(text));
      dray_check_step_write(writer, "read", text, NULL);
    } else {
      dray_check_failure_write(writer, "read", rc, why.text, dray_error_info(rc)->fix);
    }
    file_layout_free(&layout);
  }
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct file_sets sets = {0};
  struct dray_json_writer writer;
  struct dray_error why;
  dray_error_init(&why);
  dray_buffer_clear(&source->document);
  dray_json_writer_init(&writer, &source->document, error);
  dray_json_begin_array(&writer);
  int32_t rc = file_sets_find(&source->settings, &sets, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) {
    if (error != NULL) *error = why;
    return rc;
  }
  if (rc != DRAY_OK) {
    dray_check_failure_write(&writer, "path", rc, why.text, dray_error_info(rc)->fix);
  } else {
    char text[128];
    size_t files = 0;
    for (size_t i = 0; i < sets.count; i++) files += sets.items[i].count;
    (void)snprintf(text, sizeof(text), "%zu file%s in %zu stream%s", files, files == 1 ? "" : "s", sets.count,
                   sets.count == 1 ? "" : "s");
    dray_check_step_write(&writer, "path", text, NULL);
    rc = check_streams(source, &sets, &writer, error);
    file_sets_free(&sets);
    if (rc != DRAY_OK) return rc;
  }
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  if (request->cursor.len > 0) {
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "cursor",
        "files are read incrementally by what was added to them, not by the column %.*s; leave `cursor` out",
        DRAY_STR_ARG(request->cursor));
  }
  return file_reader_open(&source->settings, &source->services, request, out, error);
}

const struct dray_source_vtable file_source_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = file_settings_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
};
