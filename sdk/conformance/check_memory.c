// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of memory: failing allocations at each n, and a hundred lives that leave nothing behind.
#include <string.h>
#include <unistd.h>

#include "conformance/subject.h"

#define ALLOCATIONS_MAX 3000
#define WARM_UP 10
#define LIVES 100
#define ROWS_WRITTEN 3

// One short life of every role: create, look at the catalogue, read or write a little, destroy. The first failure
// ends it.
static int32_t live_source(struct subject *subject, struct dray_error *error) {
  struct dr_source_instance source;
  struct dray_str text;
  DRAY_TRY(subject_source(subject, &source, error));
  int32_t rc = dr_source_discover(&source, &text, error);
  struct dray_json *catalog = NULL;
  if (rc == DRAY_OK) rc = dray_json_parse(text, UINT64_MAX, &catalog, error);
  const struct dray_json *wanted = dray_json_get(subject->config, "streams");
  const struct dray_json *list = rc == DRAY_OK ? dray_json_get(catalog, "streams") : NULL;
  const struct dray_json *name = wanted != NULL && wanted->child != NULL ? wanted->child
                                 : list != NULL && list->child != NULL   ? dray_json_get(list->child, "name")
                                                                         : NULL;
  if (rc == DRAY_OK && name != NULL) {
    struct dray_stream stream;
    const struct dray_read_request request = {.struct_size = sizeof(request),
                                              .mode = DRAY_READ_FULL,
                                              .stream = name->text,
                                              .batch_bytes_max = 65536,
                                              .batch_rows_max = 10};
    rc = dr_source_open(&source, &request, &stream, error);
    if (rc == DRAY_OK) {
      struct ArrowSchema schema = {.release = NULL};
      rc = dr_stream_schema(&stream, source.label, &schema, error);
      for (int i = 0; rc == DRAY_OK && i < 3; i++) {
        struct ArrowArray array;
        int64_t rows = 0;
        rc = dr_stream_next(&stream, source.label, &schema, &array, &rows, error);
        if (rc != DRAY_OK || rows == 0) break;
        dray_array_release(&array);
      }
      dray_schema_release(&schema);
      dr_stream_close(&stream, source.label);
    }
  }
  dray_json_free(catalog);
  dr_source_destroy(&source);
  return rc;
}

// Writes a few rows as well. What caps and receipts say is for their own checks to judge.
static int32_t live_destination(struct subject *subject, struct dray_error *error) {
  struct dr_destination_instance destination;
  struct delivery delivery;
  struct dray_str text;
  DRAY_TRY(subject_destination(subject, &destination, error));
  int32_t rc = dr_destination_discover(&destination, &text, error);
  dr_destination_destroy(&destination);
  if (rc != DRAY_OK) return rc;
  rc = delivery_open(subject, ROWS_WRITTEN, &delivery, error);
  if (rc == DRAY_OK) rc = delivery_write(&delivery, &delivery.caps, error);
  rc = delivery_close(&delivery, rc, error);
  return rc == DRAY_E_PLUGIN_CONTRACT ? DRAY_OK : rc;
}

static int32_t live_warehouse(struct subject *subject, struct dray_error *error) {
  struct dr_warehouse_instance warehouse;
  struct dray_stream stream;
  struct dray_str text;
  DRAY_TRY(subject_warehouse(subject, &warehouse, error));
  int32_t rc = dr_warehouse_open(&warehouse, error);
  if (rc == DRAY_OK) rc = dr_warehouse_discover(&warehouse, &text, error);
  if (rc == DRAY_OK)
    rc = dr_warehouse_query(&warehouse, dray_str_of("SELECT 1 AS one, 'two' AS two"), 65536, 10, &stream, error);
  if (rc == DRAY_OK) {
    struct ArrowSchema schema = {.release = NULL};
    struct ArrowArray array = {.release = NULL};
    int64_t rows = 0;
    rc = dr_stream_schema(&stream, warehouse.label, &schema, error);
    if (rc == DRAY_OK) rc = dr_stream_next(&stream, warehouse.label, &schema, &array, &rows, error);
    dray_array_release(&array);
    dray_schema_release(&schema);
    dr_stream_close(&stream, warehouse.label);
  }
  dr_warehouse_destroy(&warehouse);
  return rc;
}

static int32_t live(struct subject *subject, struct dray_error *error) {
  (void)alarm(KIT_SECONDS_MAX); // for each life: there may be thousands, and each may go over a network
  if (subject_has(subject, DR_ROLE_SOURCE)) DRAY_TRY(live_source(subject, error));
  if (subject_has(subject, DR_ROLE_DESTINATION)) DRAY_TRY(live_destination(subject, error));
  if (subject_has(subject, DR_ROLE_WAREHOUSE)) DRAY_TRY(live_warehouse(subject, error));
  return DRAY_OK;
}

int check_allocation(struct subject *subject) {
  struct dray_error error;
  dray_error_init(&error);
  if (live(subject, &error) != DRAY_OK) return kit_fail_error(subject, "without a failing allocation", &error);
  if (imports_patch(subject->manifest.library) == 0)
    return kit_skip(subject, "the library imports no malloc of its own");
  // What a life without any failure leaves behind is for the check of lives to judge.
  const uint64_t at_first = imports_live();
  if (live(subject, &error) != DRAY_OK) return kit_fail_error(subject, "without a failing allocation", &error);
  const uint64_t left = imports_live() > at_first ? imports_live() - at_first : 0;
  for (uint64_t n = 1; n <= ALLOCATIONS_MAX; n++) {
    dray_error_init(&error);
    const uint64_t before = imports_live();
    (void)imports_arm(n);
    const int32_t rc = live(subject, &error);
    const int failed = imports_arm(0);
    if (imports_live() > before + left)
      return kit_fail(subject, "allocation %llu failed, and %llu blocks were not freed", (unsigned long long)n,
                      (unsigned long long)(imports_live() - before - left));
    if (!failed) return rc == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "after the last allocation", &error);
    if (rc == DRAY_OK) continue; // it did without: a buffer that did not grow
    if (rc != DRAY_E_OUT_OF_MEMORY) {
      return kit_fail(subject, "allocation %llu failed and was reported as %s: %s", (unsigned long long)n,
                      dray_error_info(rc)->name, error.text);
    }
  }
  return DR_KIT_PASS;
}

int check_lifecycle(struct subject *subject) {
  struct dray_error error;
  dray_error_init(&error);
  if (imports_patch(subject->manifest.library) == 0)
    return kit_skip(subject, "the library imports no malloc of its own");
  uint64_t settled = 0;
  for (int i = 0; i < LIVES; i++) {
    if (live(subject, &error) != DRAY_OK) return kit_fail_error(subject, "create and destroy", &error);
    if (i == WARM_UP) settled = imports_live(); // what is kept for good is kept by now
  }
  if (imports_live() <= settled) return DR_KIT_PASS;
  return kit_fail(subject, "%d lives left %llu blocks behind", LIVES - WARM_UP,
                  (unsigned long long)(imports_live() - settled));
}
