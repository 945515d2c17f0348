// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role. write.c does a batch.
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"
#include "write.h"

#define DOCUMENT_BYTES_MAX (8u << 20)
#define TEXTS_BYTES_MAX (64u << 20)
#define BATCH_ROWS_OF_A_JOB 10000
#define BATCH_ROWS 250
#define BATCH_BYTES_MAX (UINT64_C(16) << 20)
#define JOBS_MAX 5 // bulk mutations at once, by the API

static void destination_abort(struct dray_destination *destination) {
  shopify_mapping_free(&destination->mapping);
  shopify_options_free(&destination->options);
  dray_buffer_clear(&destination->scopes);
  destination->schema = NULL;
  destination->begun = 0;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  destination_abort(destination);
  for (size_t i = 0; i < SHOPIFY_OBJECT_COUNT; i++) shopify_definitions_free(&destination->definitions[i]);
  shopify_client_close(&destination->client);
  shopify_settings_free(&destination->settings);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->handle);
  dray_buffer_free(&destination->scopes);
  dray_receipts_free(&destination->receipts);
  free(destination);
}

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->handle, TEXTS_BYTES_MAX);
  dray_buffer_init(&destination->scopes, SHOPIFY_SCOPES_BYTES_MAX);
  dray_receipts_init(&destination->receipts, TEXTS_BYTES_MAX);
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = shopify_settings_bind(config_json, &destination->settings, error);
  if (rc == DRAY_OK) {
    rc = shopify_client_open(&destination->client, &destination->services, &destination->settings, error);
  }
  if (rc != DRAY_OK) {
    destination_destroy(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  struct shopify_need needs[SHOPIFY_OBJECT_COUNT];
  char names[SHOPIFY_OBJECT_COUNT][64];
  for (size_t i = 0; i < SHOPIFY_OBJECT_COUNT; i++) {
    (void)snprintf(names[i], sizeof(names[i]), "object %s", shopify_objects[i].def.name);
    needs[i] = (struct shopify_need){shopify_objects[i].def.name, names[i], shopify_objects[i].scopes,
                                     shopify_objects[i].also};
  }
  dray_buffer_clear(&destination->document);
  DRAY_TRY(shopify_check(&destination->client, needs, SHOPIFY_OBJECT_COUNT, &destination->document, error));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

// The definitions of the owners of objects [from, to), as far as they are not known. Asked for once in the life of an
// instance.
static int32_t load_definitions(struct dray_destination *destination, int32_t from, int32_t to,
                                struct dray_error *error) {
  const char *owners[SHOPIFY_OWNERS_MAX] = {NULL};
  struct shopify_definitions *out[SHOPIFY_OWNERS_MAX] = {NULL};
  size_t missing = 0;
  if (!destination->settings.include_metafields) return DRAY_OK;
  for (int32_t i = from; i < to; i++) {
    if (shopify_objects[i].owner == NULL || destination->has_definitions[i]) continue;
    shopify_definitions_free(&destination->definitions[i]); // of an attempt that failed
    owners[missing] = shopify_objects[i].owner;
    out[missing++] = &destination->definitions[i];
  }
  DRAY_TRY(shopify_definitions_load(&destination->client, owners, missing, out, error));
  for (int32_t i = from; i < to; i++) destination->has_definitions[i] = shopify_objects[i].owner != NULL;
  return DRAY_OK;
}

// NULL: the object has none.
static const struct shopify_definitions *definitions_of(const struct dray_destination *destination, int32_t object) {
  return destination->has_definitions[object] ? &destination->definitions[object] : NULL;
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  struct dray_json_writer writer;
  DRAY_TRY(load_definitions(destination, 0, SHOPIFY_OBJECT_COUNT, error));
  dray_catalog_begin(&writer, &destination->document, "objects", error);
  for (int32_t i = 0; i < SHOPIFY_OBJECT_COUNT; i++) {
    const struct shopify_definitions *definitions = definitions_of(destination, i);
    dray_object_def_write(&shopify_objects[i].def, definitions != NULL ? &definitions->columns : NULL, &writer);
  }
  return dray_catalog_end(&writer, shopify_options_spec, out_json, error);
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  struct shopify_options options = {0};
  int32_t which = 0;
  (void)destination;
  DRAY_TRY(shopify_object_find(object, &which, error));
  DRAY_TRY(shopify_options_bind(options_json, &options, error));
  const int keeps = which == SHOPIFY_OBJECT_CUSTOMERS && strcmp(options.deletes, "delete") != 0;
  const int removes = which == SHOPIFY_OBJECT_CUSTOMER_TAGS && strcmp(options.tag_mode, "remove") == 0;
  out->flags = DRAY_CAPS_PARTIAL | DRAY_CAPS_ASYNC | DRAY_CAPS_CHANGED_COLUMNS;
  out->operations = shopify_objects[which].def.operations;
  if (keeps || removes) out->operations &= ~(uint32_t)DRAY_OP_DELETE;
  out->doubt = DRAY_DOUBT_RESEND; // every mutation sets something to a value, or is looked up before it comes again
  out->batch_rows_max = options.bulk_threshold > 0 ? BATCH_ROWS_OF_A_JOB : BATCH_ROWS;
  out->batch_bytes_max = BATCH_BYTES_MAX;
  out->parallel_max = 1; // the budget is one, whoever spends it
  out->jobs_max = JOBS_MAX;
  shopify_options_free(&options);
  return DRAY_OK;
}

static int32_t begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                     struct dray_error *error) {
  int32_t object = 0;
  DRAY_TRY(shopify_object_find(plan->object, &object, error));
  DRAY_TRY(shopify_options_bind(plan->options_json, &destination->options, error));
  DRAY_TRY(load_definitions(destination, object, object + 1, error));
  DRAY_TRY(shopify_mapping_make(object, plan, &destination->options, definitions_of(destination, object),
                                &destination->mapping, error));
  const uint64_t count = plan->insert_count + plan->update_count + plan->delete_count;
  destination->in_bulk =
      destination->options.bulk_threshold > 0 && count > (uint64_t)destination->options.bulk_threshold;
  destination->schema = plan->schema;
  destination->begun = 1;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  destination_abort(destination);
  const int32_t rc = begin(destination, plan, error);
  if (rc != DRAY_OK) destination_abort(destination);
  return rc;
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error;
  destination_abort(destination);
  return DRAY_OK;
}

const struct dray_destination_vtable shopify_destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = shopify_settings_spec,
    .create = destination_create,
    .destroy = destination_destroy,
    .check = destination_check,
    .discover = destination_discover,
    .caps = destination_caps,
    .begin = destination_begin,
    .write = shopify_write,
    .poll = shopify_poll,
    .end = destination_end,
    .abort = destination_abort,
};
