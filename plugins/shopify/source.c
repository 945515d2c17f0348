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

struct dray_source {
  struct dray_services services;
  struct shopify_settings settings;
  struct shopify_client client;
  struct owned owners[SHOPIFY_OWNERS_MAX]; // asked for once in the life of an instance
  struct dray_buffer document;
};

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  for (size_t i = 0; i < SHOPIFY_OWNERS_MAX; i++) shopify_definitions_free(&source->owners[i].definitions);
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
    needs[i] = (struct shopify_need){shopify_streams[i].def.name, names[i], shopify_streams[i].scopes,
                                     shopify_streams[i].also};
  }
  dray_buffer_clear(&source->document);
  if (rc == DRAY_OK) rc = shopify_check(&source->client, needs, shopify_stream_count, &source->document, error);
  free(needs);
  free(names);
  if (rc == DRAY_OK) *out_json = dray_buffer_view(&source->document);
  return rc;
}

// Where the definitions of an owner are, or go: the first free place.
static struct owned *find_owned(struct dray_source *source, const char *owner) {
  size_t i = 0;
  while (source->owners[i].owner != NULL && strcmp(source->owners[i].owner, owner) != 0) i++;
  return &source->owners[i];
}

// The definitions of all of these streams' owners, as far as they are not known, in one request.
static int32_t load_definitions(struct dray_source *source, const struct shopify_stream *streams, size_t count,
                                struct dray_error *error) {
  const char *owners[SHOPIFY_OWNERS_MAX] = {NULL};
  struct shopify_definitions *out[SHOPIFY_OWNERS_MAX] = {NULL};
  size_t missing = 0;
  if (!source->settings.include_metafields) return DRAY_OK;
  for (size_t i = 0; i < count; i++) {
    struct owned *owned = streams[i].owner != NULL ? find_owned(source, streams[i].owner) : NULL;
    if (owned == NULL || owned->owner != NULL) continue;
    owners[missing] = owned->owner = streams[i].owner;
    out[missing++] = &owned->definitions;
  }
  const int32_t rc = shopify_definitions_load(&source->client, owners, missing, out, error);
  for (size_t i = missing; i > 0 && rc != DRAY_OK; i--) { // the last place first, or others are not found
    struct owned *owned = find_owned(source, owners[i - 1]);
    shopify_definitions_free(&owned->definitions);
    owned->owner = NULL;
  }
  return rc;
}

// The columns that a stream has beside the declared ones; NULL: none.
static const struct shopify_definitions *definitions_of(struct dray_source *source,
                                                        const struct shopify_stream *stream) {
  if (stream->owner == NULL || !source->settings.include_metafields) return NULL;
  return &find_owned(source, stream->owner)->definitions;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  DRAY_TRY(load_definitions(source, shopify_streams, shopify_stream_count, error));
  dray_catalog_begin(&writer, &source->document, "streams", error);
  for (size_t i = 0; i < shopify_stream_count; i++) {
    const struct shopify_definitions *definitions = definitions_of(source, &shopify_streams[i]);
    dray_stream_def_write(&shopify_streams[i].def, definitions != NULL ? &definitions->columns : NULL, &writer);
  }
  return dray_catalog_end(&writer, NULL, out_json, error);
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  const struct shopify_stream *stream = NULL;
  DRAY_TRY(shopify_stream_find(request->stream, &stream, error));
  DRAY_TRY(load_definitions(source, stream, 1, error));
  return shopify_read_open(&source->client, stream, definitions_of(source, stream), request, out, error);
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
