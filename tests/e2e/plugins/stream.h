// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A source with one stream `numbers` that gives three rows, and then does what the file that includes this defines as
// `misbehave`.
#ifndef DRAY_E2E_STREAM_H
#define DRAY_E2E_STREAM_H

#include <stdlib.h>

#include "dray/sdk.h"

static void misbehave(void);

static const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0}};
static int instance; // only its address is used

static int32_t numbers_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  *out_json = dray_str_of("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}");
  return DRAY_OK;
}

static int32_t numbers_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                              struct dray_error *error) {
  (void)host, (void)config_json, (void)error;
  *out = (struct dray_source *)(void *)&instance;
  return DRAY_OK;
}

static void numbers_destroy(struct dray_source *source) {
  (void)source;
}

static int32_t numbers_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)error;
  *out_json = dray_str_of("[{\"name\":\"reach\",\"ok\":true,\"text\":\"here\"}]");
  return DRAY_OK;
}

static int32_t numbers_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source, (void)error;
  *out_json = dray_str_of("{\"streams\":[{\"name\":\"numbers\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\","
                          "\"nullable\":false}],\"primary_key\":[\"id\"],\"cursor\":null,\"modes\":[\"full\"]}]}");
  return DRAY_OK;
}

static int32_t numbers_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  (void)stream;
  return dray_schema_make(columns, 1, out, error);
}

static int32_t first_batch(struct ArrowArray *out, struct dray_error *error) {
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  DRAY_TRY(dray_schema_make(columns, 1, &schema, error));
  int32_t rc = dray_builder_new(&schema, 1000, 1 << 20, &builder, error);
  for (int64_t i = 1; rc == DRAY_OK && i <= 3; i++) {
    rc = dray_builder_int64(builder, 0, i, error);
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &full, error);
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, out, error);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return rc;
}

static int32_t numbers_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  int *given = stream->private_data;
  if (*given) misbehave();
  *given = 1;
  return first_batch(out, error);
}

static int32_t numbers_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  (void)stream, (void)error;
  *out = dray_str_make(NULL, 0); // never: it is read whole
  return DRAY_OK;
}

static void numbers_close(struct dray_stream *stream) {
  free(stream->private_data);
}

static int32_t numbers_open(struct dray_source *source, const struct dray_read_request *request,
                            struct dray_stream *out, struct dray_error *error) {
  (void)source, (void)request;
  out->private_data = calloc(1, sizeof(int));
  if (out->private_data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  out->schema = numbers_schema;
  out->next = numbers_next;
  out->state = numbers_state;
  out->close = numbers_close;
  return DRAY_OK;
}

static const struct dray_source_vtable numbers_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = numbers_spec,
    .create = numbers_create,
    .destroy = numbers_destroy,
    .check = numbers_check,
    .discover = numbers_discover,
    .open = numbers_open,
};

static inline int32_t introduce(struct dray_plugin *out, const char *name) {
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of(name);
  out->version = dray_str_of("1.2.3");
  out->source = &numbers_vtable;
  return DRAY_OK;
}

#endif // DRAY_E2E_STREAM_H
