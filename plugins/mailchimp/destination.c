// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "parents.h"
#include "plugin.h"
#include "writing.h"

#define DOCUMENT_BYTES_MAX (4u << 20)
#define MERGE_TEXT_BYTES_MAX (1u << 20)
#define BODY_BYTES_MAX (64u << 20)
#define BATCH_BYTES_MAX (8u << 20)
#define TEXT_BYTES_MAX (1u << 20)

struct dray_destination {
  struct dray_services services;
  struct mc_settings settings;
  struct mc_client client;
  struct dray_buffer document; // what check or discover handed out last

  // What caps was asked of last, which a catalogue is for then.
  const struct mc_object *target; // NULL: everything
  char target_list[72];
  struct mc_known_fields known;

  // From begin to end.
  const struct mc_object *object; // NULL: not begun
  const struct ArrowSchema *schema;
  uint32_t operations; // of the plan
  struct mc_options options;
  struct mc_column *columns;

  // Of a write.
  struct dray_receipt_writer receipts;
  struct dray_buffer body, path, text;
  struct dray_api_answer answer;
};

static void destination_abort(struct dray_destination *destination) {
  mc_options_free(&destination->options);
  free(destination->columns);
  destination->columns = NULL;
  destination->schema = NULL;
  destination->object = NULL;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  destination_abort(destination);
  mc_known_fields_free(&destination->known);
  mc_client_free(&destination->client);
  mc_settings_free(&destination->settings);
  dray_receipts_free(&destination->receipts);
  dray_api_answer_free(&destination->answer);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->body);
  dray_buffer_free(&destination->path);
  dray_buffer_free(&destination->text);
  free(destination);
}

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->body, BODY_BYTES_MAX);
  dray_buffer_init(&destination->path, 4096);
  dray_buffer_init(&destination->text, BATCH_BYTES_MAX);
  dray_receipts_init(&destination->receipts, TEXT_BYTES_MAX);
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = mc_settings_bind(config_json, &destination->settings, error);
  if (rc == DRAY_OK) {
    rc = mc_client_init(&destination->client, &destination->services, &destination->settings, error);
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
  DRAY_TRY(mc_check(&destination->client, 1, &destination->document, error));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

static int32_t write_catalog(struct dray_destination *destination, const struct dray_field_list *merge_fields,
                             struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &destination->document, "objects", error);
  for (size_t i = 0; i < mc_object_count; i++) {
    const int more = mc_objects[i].kind == MC_OBJECT_MEMBERS;
    dray_object_def_write(&mc_objects[i].def, more ? merge_fields : NULL, &writer);
  }
  return dray_catalog_end(&writer, mc_options_spec, out_json, error);
}

// Of all audiences, or of the one that is written to.
static int32_t load_merge_fields(struct dray_destination *destination, struct dray_field_list *out,
                                 struct dray_error *error) {
  if (destination->target == NULL) return mc_merge_fields_load(&destination->client, out, error);
  if (destination->target->kind != MC_OBJECT_MEMBERS) return DRAY_OK;
  DRAY_TRY(mc_known_fields_ask(&destination->client, destination->target_list, &destination->known, error));
  return mc_merge_fields_take(destination->known.root, out, error);
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  struct dray_field_list merge_fields;
  dray_field_list_init(&merge_fields, MERGE_TEXT_BYTES_MAX);
  int32_t rc = mc_client_ready(&destination->client, error);
  if (rc == DRAY_OK) rc = load_merge_fields(destination, &merge_fields, error);
  // A field that a run makes has no type before and one after it: rows must be the same to both.
  for (size_t i = 0; i < merge_fields.count; i++) merge_fields.items[i].type.id = 0;
  if (rc == DRAY_OK) rc = write_catalog(destination, &merge_fields, out_json, error);
  dray_field_list_free(&merge_fields);
  return rc;
}

static int32_t check_options(const struct mc_object *object, const struct mc_options *options,
                             struct dray_error *error) {
  if (object->kind != MC_OBJECT_SEGMENT || options->segment_id != NULL) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "segment_id", "segment_members needs segment_id");
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object_name,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  const struct mc_object *object = NULL;
  struct mc_options options;
  DRAY_TRY(mc_object_find(object_name, &object, error));
  DRAY_TRY(mc_options_bind(options_json, &options, error));
  const int32_t rc = check_options(object, &options, error);
  if (rc == DRAY_OK) {
    const int members = object->kind == MC_OBJECT_MEMBERS;
    out->flags = DRAY_CAPS_PARTIAL;
    if (members) out->flags |= DRAY_CAPS_CHANGED_COLUMNS;
    if (members && options.create_merge_fields) out->flags |= DRAY_CAPS_DYNAMIC_FIELDS;
    out->operations = object->def.operations;
    if (members && options.deletion == MC_DELETE_NONE) out->operations &= ~(uint32_t)DRAY_OP_DELETE;
    out->doubt = DRAY_DOUBT_RESEND; // all of it may be done twice
    out->batch_rows_max = MC_BATCH_ROWS_MAX;
    out->batch_bytes_max = BATCH_BYTES_MAX;
    // A tag that is new is made once. Else one more than connections, which the rate key counts: its request is ready
    // when an answer comes, and the wire stays busy while receipts are written.
    out->parallel_max = object->kind == MC_OBJECT_TAGS ? 1 : (uint32_t)destination->settings.max_connections + 1;
    destination->target = object;
    (void)snprintf(destination->target_list, sizeof(destination->target_list), "%s", options.list_id);
  }
  mc_options_free(&options);
  return rc;
}

// Who has a tag or is in a segment is so or is not: there is nothing about it that an update could change, and to put
// somebody there is more than an update.
static int32_t check_mode(const struct mc_object *object, const struct dray_write_plan *plan,
                          struct dray_error *error) {
  if (object->kind == MC_OBJECT_MEMBERS || plan->operations != DRAY_OP_UPDATE) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "mode",
                         "mode update puts nobody anywhere, and %s have nothing else to change: take mode create or "
                         "upsert to add, mirror to take away as well",
                         object->def.name);
}

static int32_t begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                     struct dray_error *error) {
  const struct mc_object *object = NULL;
  size_t merge_count = 0;
  const int writes = (plan->operations & (DRAY_OP_INSERT | DRAY_OP_UPDATE)) != 0;
  const size_t column_count = (size_t)plan->schema->n_children;
  DRAY_TRY(mc_object_find(plan->object, &object, error));
  DRAY_TRY(mc_options_bind(plan->options_json, &destination->options, error));
  DRAY_TRY(check_options(object, &destination->options, error));
  DRAY_TRY(check_mode(object, plan, error));
  DRAY_TRY(mc_client_ready(&destination->client, error));
  destination->columns = calloc(column_count + 1, sizeof(*destination->columns));
  if (destination->columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin");
  DRAY_TRY(mc_columns_find(object, plan, destination->columns, &merge_count, error));
  if (merge_count > 0 && writes) { // removals need no fields, so none is made for them
    DRAY_TRY(mc_merge_columns_resolve(&destination->client, &destination->options, plan, &destination->known,
                                      destination->columns, error));
  }
  destination->schema = plan->schema;
  destination->operations = plan->operations;
  destination->object = object;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  destination_abort(destination);
  const int32_t rc = begin(destination, plan, error);
  if (rc != DRAY_OK) destination_abort(destination);
  return rc;
}

static ptrdiff_t column_of(const struct dray_destination *destination, int32_t kind) {
  for (int64_t i = 0; i < destination->schema->n_children; i++) {
    if (destination->columns[i].kind == kind) return (ptrdiff_t)i;
  }
  return -1;
}

static int32_t write_rows(struct mc_writing *writing, struct dray_error *error) {
  if (writing->object->kind != MC_OBJECT_MEMBERS) return mc_write_segments(writing, error);
  DRAY_TRY(mc_write_members(writing, error));
  return mc_write_removals(writing, error);
}

static int32_t write_changes(struct dray_destination *destination, const struct dray_changes *changes,
                             struct dray_receipts *out, struct dray_error *error) {
  struct mc_writing writing = {.client = &destination->client,
                               .options = &destination->options,
                               .object = destination->object,
                               .operations = destination->operations,
                               .columns = destination->columns,
                               .email = column_of(destination, MC_COLUMN_EMAIL),
                               .tag = column_of(destination, MC_COLUMN_TAG),
                               .receipts = &destination->receipts,
                               .body = &destination->body,
                               .path = &destination->path,
                               .text = &destination->text,
                               .answer = &destination->answer,
                               .changes = changes,
                               .row_count = changes->view.row_count};
  struct dray_error why;
  dray_error_init(&why);
  if (writing.row_count > MC_BATCH_ROWS_MAX || changes->view.columns[writing.email].type.id != DRAY_TYPE_STRING) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a batch of more than %d rows, or of addresses that are no text",
                     MC_BATCH_ROWS_MAX);
  }
  dray_receipts_begin(&destination->receipts, out);
  const int32_t rc = write_rows(&writing, &why);
  if (rc != DRAY_OK && writing.settled_count == 0) {
    if (error != NULL) *error = why;
    return rc;
  }
  for (uint64_t row = 0; row < writing.row_count; row++) { // what an error came before
    if (!writing.settled[row]) mc_settle(&writing, row, DRAY_RECEIPT_RETRY, why.code, why.text);
  }
  return dray_receipts_end(&destination->receipts, error);
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dray_changes changes;
  (void)info;
  if (destination->object == NULL) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "write without begin");
  DRAY_TRY(dray_cancel_check(&destination->services, error));
  DRAY_TRY(dray_changes_open(&changes, destination->schema, batch, out->capacity, error));
  const int32_t rc = write_changes(destination, &changes, out, error);
  dray_changes_free(&changes);
  return rc;
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error;
  destination_abort(destination);
  return DRAY_OK;
}

const struct dray_destination_vtable mailchimp_destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = mc_settings_spec,
    .create = destination_create,
    .destroy = destination_destroy,
    .check = destination_check,
    .discover = destination_discover,
    .caps = destination_caps,
    .begin = destination_begin,
    .write = destination_write,
    .end = destination_end,
    .abort = destination_abort,
};
