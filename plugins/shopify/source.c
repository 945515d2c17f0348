// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: settings, check, discover, open.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "plugin.h"
#include "read.h"

#define DOCUMENT_BYTES_MAX (8u << 20)

struct owned {
  const char *owner; // NULL: free
  struct shopify_definitions definitions;
};
#define OWNERS_MAX 8

struct dray_source {
  struct dray_services services;
  struct shopify_settings settings;
  struct shopify_client client;
  struct owned owners[OWNERS_MAX]; // asked for once in the life of an instance
  struct dray_buffer document;
};

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  for (size_t i = 0; i < OWNERS_MAX; i++) shopify_definitions_free(&source->owners[i].definitions);
  shopify_client_close(&source->client);
  shopify_settings_free(&source->settings);
  dray_buffer_free(&source->document);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = shopify_settings_bind(config_json, &source->settings, error);
  if (rc == DRAY_OK) rc = shopify_client_open(&source->client, &source->services, &source->settings, error);
  if (rc != DRAY_OK) {
    source_destroy(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct shopify_need *needs = calloc(shopify_stream_count, sizeof(*needs));
  char(*names)[64] = calloc(shopify_stream_count, sizeof(*names));
  int32_t rc = DRAY_OK;
  if (needs == NULL || names == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to check");
  for (size_t i = 0; rc == DRAY_OK && i < shopify_stream_count; i++) {
    (void)snprintf(names[i], sizeof(names[i]), "stream %s", shopify_streams[i].def.name);
    needs[i] = (struct shopify_need){names[i], shopify_streams[i].scopes};
  }
  dray_buffer_clear(&source->document);
  if (rc == DRAY_OK) rc = shopify_check(&source->client, needs, shopify_stream_count, &source->document, error);
  free(needs);
  free(names);
  if (rc == DRAY_OK) *out_json = dray_buffer_view(&source->document);
  return rc;
}

// The columns that a stream has beside the declared ones; NULL: none.
static int32_t find_definitions(struct dray_source *source, const struct shopify_stream *stream,
                                const struct shopify_definitions **out, struct dray_error *error) {
  *out = NULL;
  if (stream->owner == NULL || !source->settings.include_metafields) return DRAY_OK;
  size_t i = 0;
  while (source->owners[i].owner != NULL && strcmp(source->owners[i].owner, stream->owner) != 0) i++;
  if (source->owners[i].owner == NULL) {
    DRAY_TRY(shopify_definitions_load(&source->client, stream->owner, &source->owners[i].definitions, error));
    source->owners[i].owner = stream->owner;
  }
  *out = &source->owners[i].definitions;
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &source->document, "streams", error);
  for (size_t i = 0; i < shopify_stream_count; i++) {
    const struct shopify_definitions *definitions = NULL;
    DRAY_TRY(find_definitions(source, &shopify_streams[i], &definitions, error));
    dray_stream_def_write(&shopify_streams[i].def, definitions != NULL ? &definitions->columns : NULL, &writer);
  }
  return dray_catalog_end(&writer, NULL, out_json, error);
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  const struct shopify_stream *stream = NULL;
  const struct shopify_definitions *definitions = NULL;
  DRAY_TRY(shopify_stream_find(request->stream, &stream, error));
  DRAY_TRY(find_definitions(source, stream, &definitions, error));
  return shopify_read_open(&source->client, stream, definitions, request, out, error);
}

const struct dray_source_vtable shopify_source_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = shopify_settings_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
};
