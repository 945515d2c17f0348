// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination: one object, `rows`, that takes any fields and forgets them. With the faults of writing.
#include <stdlib.h>

#include "memory.h"

#define DOCUMENT_BYTES_MAX 65536

struct dray_destination {
  struct dray_services services;
  struct settings settings;
  struct dray_buffer document;
  struct ArrowSchema schema; // a copy, from begin on
  char *token;
};

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  dray_buffer_free(&destination->document);
  dray_schema_release(&destination->schema);
  dray_secret_free(destination->token);
  free(destination);
}

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = settings_bind(config_json, &destination->settings, error);
  if (rc != DRAY_OK) {
    destination_destroy(destination);
    return rc;
  }
  *out = destination;
  return DRAY_OK;
}

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  DRAY_TRY(settings_check(&destination->services, &destination->settings, &destination->document, error));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  (void)destination;
  (void)error;
  *out_json = dray_str_of("{\"objects\":[{\"name\":\"rows\",\"operations\":[\"insert\",\"update\",\"delete\"]}]}");
  return DRAY_OK;
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  (void)destination;
  if (!dray_str_is(object, "rows")) return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there are only rows");
  DRAY_TRY(dray_config_bind(NULL, 0, options_json, NULL, error));
  out->flags = DRAY_CAPS_PARTIAL | DRAY_CAPS_DYNAMIC_FIELDS;
  out->operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE;
  out->doubt = HAS(CAPS_DOUBT) ? 9 : DRAY_DOUBT_RESEND;
  out->batch_rows_max = HAS(CAPS_ZERO) ? 0 : 50;
  out->batch_bytes_max = 1u << 20;
  out->parallel_max = 1;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  dray_schema_release(&destination->schema);
  dray_secret_free(destination->token);
  destination->token = NULL;
  DRAY_TRY(settings_token(&destination->services, &destination->settings, &destination->token, error));
  return dray_schema_copy(plan->schema, &destination->schema, error);
}

static int has_empty_text(const struct dray_view *view, uint64_t row) {
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    if (column->type.id == DRAY_TYPE_STRING && !dray_column_is_null(column, row) &&
        dray_column_bytes(column, row).len == 0)
      return 1;
  }
  return 0;
}

static void receive(const struct dray_destination *destination, const struct dray_view *view, size_t row_column,
                    struct dray_receipts *out) {
  const struct dray_column_view *numbers = &view->columns[row_column];
  const uint64_t count = HAS(RECEIPTS_MISSING) ? view->row_count - 1 : view->row_count;
  for (uint64_t row = 0; row < count; row++) {
    struct dray_receipt *receipt = &out->items[row];
    receipt->row = dray_column_int64(numbers, HAS(RECEIPTS_DOUBLE) && row == 1 ? 0 : row);
    receipt->status = DRAY_RECEIPT_APPLIED;
    if (HAS(CANARY_RECEIPT) && destination->token != NULL) receipt->text = dray_str_of(destination->token);
    if (!HAS(VALUES_EMPTY) || !has_empty_text(view, row)) continue;
    receipt->status = DRAY_RECEIPT_REJECTED;
    receipt->code = DRAY_E_DATA_REJECTED;
    receipt->text = dray_str_of("a text is empty");
  }
  out->count = count;
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(settings_cancelled(&destination->services, HAS(CANCEL_WRITE), error));
  DRAY_TRY(dray_view_init(&view, &destination->schema, batch, error));
  const ptrdiff_t row_column = dray_view_find(&view, dray_str_of(DRAY_COLUMN_ROW));
  char *note = dray_str_dup(info->idempotency_key); // here so that something can be forgotten
  if (note == NULL) {
    if (!HAS(ALLOCATION_WRITE)) dray_view_free(&view);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a note");
  }
  if (!HAS(LIFECYCLE_WRITE)) free(note);
  if (row_column >= 0) receive(destination, &view, (size_t)row_column, out);
  dray_view_free(&view);
  return row_column >= 0 ? DRAY_OK : dray_fail(error, DRAY_E_INTERNAL, "the batch lacks its row numbers");
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)destination;
  (void)error;
  return DRAY_OK;
}

static void destination_abort(struct dray_destination *destination) {
  (void)destination;
}

const struct dray_destination_vtable destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = settings_spec,
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
