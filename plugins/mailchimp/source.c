// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role.
#include <stdlib.h>

#include "check.h"
#include "plugin.h"
#include "reader.h"

#define DOCUMENT_BYTES_MAX (4u << 20)
#define MERGE_TEXT_BYTES_MAX (1u << 20)

struct dray_source {
  struct dray_services services;
  struct mc_settings settings;
  struct mc_client client;
  struct dray_buffer document;         // what check or discover handed out last
  struct dray_field_list merge_fields; // of all audiences that are read
  int32_t has_merge_fields;
};

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  mc_client_free(&source->client);
  mc_settings_free(&source->settings);
  dray_field_list_free(&source->merge_fields);
  dray_buffer_free(&source->document);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  dray_field_list_init(&source->merge_fields, MERGE_TEXT_BYTES_MAX);
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = mc_settings_bind(config_json, &source->settings, error);
  if (rc == DRAY_OK) rc = mc_client_init(&source->client, &source->services, &source->settings, error);
  if (rc != DRAY_OK) {
    source_destroy(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  DRAY_TRY(mc_check(&source->client, 0, &source->document, error));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

static int32_t need_merge_fields(struct dray_source *source, struct dray_error *error) {
  if (source->has_merge_fields) return DRAY_OK;
  dray_field_list_free(&source->merge_fields);
  DRAY_TRY(mc_merge_fields_load(&source->client, &source->merge_fields, error));
  source->has_merge_fields = 1;
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  DRAY_TRY(mc_client_ready(&source->client, error));
  source->has_merge_fields = 0; // who asks wants to know them as they are now
  DRAY_TRY(need_merge_fields(source, error));
  dray_catalog_begin(&writer, &source->document, "streams", error);
  for (size_t i = 0; i < mc_stream_count; i++) {
    const int more = (mc_streams[i].flags & MC_MERGE_FIELDS) != 0;
    dray_stream_def_write(&mc_streams[i].def, more ? &source->merge_fields : NULL, &writer);
  }
  return dray_catalog_end(&writer, NULL, out_json, error);
}

// Whether a column is asked for that may be a merge field.
static int wants_merge_fields(const struct mc_stream *stream, const struct dray_read_request *request) {
  if ((stream->flags & MC_MERGE_FIELDS) == 0) return 0;
  int wants = request->column_count == 0;
  for (uint64_t i = 0; i < request->column_count; i++) {
    wants |= request->columns[i].len > 6 && memcmp(request->columns[i].data, "merge_", 6) == 0;
  }
  return wants;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  const struct mc_stream *stream = mc_stream_find(request->stream);
  if (stream == NULL) {
    struct dray_nearest nearest;
    dray_nearest_init(&nearest, request->stream);
    for (size_t i = 0; i < mc_stream_count; i++) dray_nearest_offer(&nearest, mc_streams[i].def.name);
    return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s%s", DRAY_VALUE_ARG(request->stream),
                     dray_nearest_hint(&nearest));
  }
  DRAY_TRY(mc_client_ready(&source->client, error));
  const int more = wants_merge_fields(stream, request);
  if (more) DRAY_TRY(need_merge_fields(source, error));
  return mc_reader_open(&source->client, stream, more ? &source->merge_fields : NULL, request, out, error);
}

const struct dray_source_vtable mailchimp_source_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = mc_settings_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
};
