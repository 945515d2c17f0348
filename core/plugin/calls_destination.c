// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to destinations.
#include <assert.h>
#include <string.h>

#include "plugin/calls.h"
#include "plugin/catalogue.h"
#include "plugin/handshake.h"
#include "plugin/receipts.h"

#define CAPS_FLAGS_KNOWN                                                                                               \
  ((uint32_t)(DRAY_CAPS_PARTIAL | DRAY_CAPS_ASYNC | DRAY_CAPS_CHANGED_COLUMNS | DRAY_CAPS_DELETE_NEEDS_ROW |           \
              DRAY_CAPS_DYNAMIC_FIELDS | DRAY_CAPS_UPDATE_NEEDS_BEFORE))
#define OPERATIONS_KNOWN ((uint32_t)(DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE))

static const struct dray_destination_vtable *vtable_of(const struct dr_destination_instance *destination) {
  return &destination->plugin->destination;
}

int32_t dr_destination_check(struct dr_destination_instance *destination, struct dray_str *out_json,
                             struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, destination->label, "destination.check", error));
  DRAY_TRY(dr_call_end(&call, vtable_of(destination)->check(destination->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_CHECK, json));
  *out_json = json;
  return DRAY_OK;
}

int32_t dr_destination_discover(struct dr_destination_instance *destination, struct dray_str *out_json,
                                struct dray_error *error) {
  struct dr_call call;
  struct dray_str json = {NULL, 0};
  DRAY_TRY(dr_call_begin(&call, destination->label, "destination.discover", error));
  DRAY_TRY(dr_call_end(&call, vtable_of(destination)->discover(destination->self, &json, &call.inner)));
  DRAY_TRY(dr_catalogue_check(&call, DR_CATALOGUE_OBJECTS, json));
  *out_json = json;
  return DRAY_OK;
}

// ---- caps and begin ----

static int32_t check_caps(const struct dr_destination_instance *destination, const struct dr_call *call,
                          const struct dray_caps *caps) {
  if ((caps->flags & ~CAPS_FLAGS_KNOWN) != 0) {
    return dr_call_broken(call, "the caps hold the unknown flags 0x%x", caps->flags & ~CAPS_FLAGS_KNOWN);
  }
  if (caps->operations == 0 || (caps->operations & ~OPERATIONS_KNOWN) != 0) {
    return dr_call_broken(call, "the caps' operations 0x%x are not a set of insert, update and delete",
                          caps->operations);
  }
  if (caps->doubt < DRAY_DOUBT_RESEND || caps->doubt > DRAY_DOUBT_NONE) {
    return dr_call_broken(call, "the caps' way out of doubt is %u; 1 to 4 are defined", caps->doubt);
  }
  if (caps->batch_rows_max == 0 || caps->batch_bytes_max == 0 || caps->parallel_max == 0) {
    return dr_call_broken(call, "the caps allow %llu rows, %llu bytes and %u batches at once; each must be at least 1",
                          (unsigned long long)caps->batch_rows_max, (unsigned long long)caps->batch_bytes_max,
                          caps->parallel_max);
  }
  if ((caps->flags & DRAY_CAPS_ASYNC) != 0 && dr_destination_lacks_poll(vtable_of(destination))) {
    return dr_call_broken(call, "the caps promise asynchronous receipts, but there is no slot poll");
  }
  if (caps->doubt == DRAY_DOUBT_READ_BACK && dr_destination_lacks_read_back(vtable_of(destination))) {
    return dr_call_broken(call, "the caps resolve doubt by reading back, but there is no slot read_back");
  }
  return DRAY_OK;
}

int32_t dr_destination_caps(struct dr_destination_instance *destination, struct dray_str object,
                            struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  struct dr_call call;
  struct dray_caps caps;
  memset(&caps, 0, sizeof(caps));
  caps.struct_size = sizeof(caps);
  DRAY_TRY(dr_call_begin(&call, destination->label, "destination.caps", error));
  const int32_t rc = vtable_of(destination)->caps(destination->self, object, options_json, &caps, &call.inner);
  DRAY_TRY(dr_call_end(&call, rc));
  DRAY_TRY(check_caps(destination, &call, &caps));
  caps.struct_size = sizeof(caps);
  *out = caps;
  return DRAY_OK;
}

int32_t dr_destination_begin(struct dr_destination_instance *destination, const struct dray_write_plan *plan,
                             struct dray_error *error) {
  assert(plan->struct_size == sizeof(*plan));
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, destination->label, "destination.begin", error));
  return dr_call_end(&call, vtable_of(destination)->begin(destination->self, plan, &call.inner));
}

// ---- batches ----

// The host's own promise to the plugin, kept here so that no way into `write` can break it.
static int32_t check_within_caps(const struct dr_destination_instance *destination, const struct dray_caps *caps,
                                 uint64_t batch_bytes, uint64_t row_count, struct dray_error *error) {
  if (row_count <= caps->batch_rows_max && batch_bytes <= caps->batch_bytes_max) return DRAY_OK;
  return dray_fail(error, DRAY_E_LIMIT,
                   "a batch of %llu rows and %llu bytes is beyond what %s takes: %llu rows, %llu bytes",
                   (unsigned long long)row_count, (unsigned long long)batch_bytes, destination->label,
                   (unsigned long long)caps->batch_rows_max, (unsigned long long)caps->batch_bytes_max);
}

int32_t dr_destination_write(struct dr_destination_instance *destination, const struct dray_caps *caps,
                             const struct ArrowArray *batch, uint64_t batch_bytes, const int64_t *rows,
                             uint64_t row_count, const struct dray_batch_info *info, struct dray_receipts *out,
                             struct dray_error *error) {
  assert(batch->length >= 0 && (uint64_t)batch->length == row_count && info->struct_size == sizeof(*info));
  DRAY_TRY(check_within_caps(destination, caps, batch_bytes, row_count, error));
  struct dr_receipt_check check;
  DRAY_TRY(dr_receipt_check_init(&check, rows, row_count, out, error));
  struct dr_call call;
  int32_t rc = dr_call_begin(&call, destination->label, "destination.write", error);
  if (rc == DRAY_OK) {
    rc = dr_call_end(&call, vtable_of(destination)->write(destination->self, batch, info, out, &call.inner));
    const int pending = (caps->flags & DRAY_CAPS_ASYNC) != 0 ? DR_PENDING_WITH_HANDLE : DR_PENDING_REFUSED;
    if (rc == DRAY_OK) rc = dr_receipt_check_run(&check, &call, pending, out, &destination->texts);
  }
  dr_receipt_check_free(&check);
  return rc;
}

int32_t dr_destination_poll(struct dr_destination_instance *destination, struct dray_str handle, const int64_t *rows,
                            uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  struct dr_receipt_check check;
  DRAY_TRY(dr_receipt_check_init(&check, rows, row_count, out, error));
  struct dr_call call;
  int32_t rc = dr_call_begin(&call, destination->label, "destination.poll", error);
  if (rc == DRAY_OK) {
    rc = vtable_of(destination)->poll(destination->self, handle, rows, row_count, out, &call.inner);
    rc = dr_call_end(&call, rc);
    if (rc == DRAY_OK) rc = dr_receipt_check_run(&check, &call, DR_PENDING_ALLOWED, out, &destination->texts);
  }
  dr_receipt_check_free(&check);
  return rc;
}

int32_t dr_destination_read_back(struct dr_destination_instance *destination, const struct ArrowArray *batch,
                                 const int64_t *rows, uint64_t row_count, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dr_receipt_check check;
  DRAY_TRY(dr_receipt_check_init(&check, rows, row_count, out, error));
  struct dr_call call;
  int32_t rc = dr_call_begin(&call, destination->label, "destination.read_back", error);
  if (rc == DRAY_OK) {
    rc = dr_call_end(&call, vtable_of(destination)->read_back(destination->self, batch, out, &call.inner));
    if (rc == DRAY_OK) rc = dr_receipt_check_run(&check, &call, DR_READ_BACK_ONLY, out, &destination->texts);
  }
  dr_receipt_check_free(&check);
  return rc;
}

// ---- end ----

int32_t dr_destination_end(struct dr_destination_instance *destination, struct dray_error *error) {
  struct dr_call call;
  DRAY_TRY(dr_call_begin(&call, destination->label, "destination.end", error));
  return dr_call_end(&call, vtable_of(destination)->end(destination->self, &call.inner));
}

void dr_destination_abort(struct dr_destination_instance *destination) {
  struct dr_call call;
  dr_call_enter(&call, destination->label, "destination.abort", NULL);
  vtable_of(destination)->abort(destination->self);
  dr_call_leave(&call);
}
