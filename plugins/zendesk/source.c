// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "plugin.h"
#include "read.h"

#define DOCUMENT_BYTES_MAX (16u << 20)

struct dray_source {
  struct zendesk_client client;
  struct zendesk_fields fields[ZENDESK_FIELDS_COUNT];
  struct dray_buffer document; // what check or discover handed out last
};

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  for (int of = 0; of < ZENDESK_FIELDS_COUNT; of++) zendesk_fields_free(&source->fields[of]);
  zendesk_client_free(&source->client);
  dray_buffer_free(&source->document);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  const int32_t rc = zendesk_client_init(&source->client, host, config_json, error);
  if (rc != DRAY_OK) {
    source_destroy(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&source->document);
  dray_json_writer_init(&writer, &source->document, error);
  dray_json_begin_array(&writer);
  int goes_on = 0;
  DRAY_TRY(zendesk_check_account(&source->client, &writer, &goes_on, error));
  for (size_t i = 0; goes_on && i < zendesk_stream_count; i++) {
    DRAY_TRY(zendesk_check_stream(&source->client, &zendesk_streams[i], &writer, error));
  }
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

// The custom fields of a stream, read once an instance; NULL where they are not columns.
static int32_t fields_of(struct dray_source *source, const struct zendesk_stream *stream,
                         const struct zendesk_fields **out, struct dray_error *error) {
  struct zendesk_fields *fields = &source->fields[stream->fields];
  *out = NULL;
  if (stream->fields == ZENDESK_NO_FIELDS || !source->client.settings.flatten_custom_fields) return DRAY_OK;
  DRAY_TRY(zendesk_fields_load(&source->client, stream->fields, "custom_", 0, NULL, fields, error));
  *out = fields;
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &source->document, "streams", error);
  for (size_t i = 0; i < zendesk_stream_count; i++) {
    const struct zendesk_fields *fields = NULL;
    DRAY_TRY(fields_of(source, &zendesk_streams[i], &fields, error));
    dray_stream_def_write(&zendesk_streams[i].def, fields != NULL ? &fields->list : NULL, &writer);
  }
  return dray_catalog_end(&writer, NULL, out_json, error);
}

static int32_t fail_stream(struct dray_str name, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < zendesk_stream_count; i++) dray_nearest_offer(&nearest, zendesk_streams[i].def.name);
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "Zendesk has no stream \"%.*s\"%s", DRAY_VALUE_ARG(name),
                   dray_nearest_hint(&nearest));
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  const struct zendesk_stream *stream = zendesk_stream_find(request->stream);
  const struct zendesk_fields *fields = NULL;
  if (stream == NULL) return fail_stream(request->stream, error);
  if (request->mode == DRAY_READ_INCREMENTAL && (stream->def.modes & DRAY_STREAM_INCREMENTAL) == 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "cursor", "the stream %s cannot be read incrementally",
                           stream->def.name);
  }
  if (request->cursor.len > 0 && !dray_str_is(request->cursor, stream->def.cursor)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "cursor", "the stream %s can be read by %s only, not by %.*s",
                           stream->def.name, stream->def.cursor, DRAY_VALUE_ARG(request->cursor));
  }
  DRAY_TRY(fields_of(source, stream, &fields, error));
  return zendesk_read_open(&source->client, stream, fields, request, out, error);
}

const struct dray_source_vtable zendesk_source_vtable = {
    .struct_size = sizeof(zendesk_source_vtable),
    .spec = zendesk_settings_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
};
