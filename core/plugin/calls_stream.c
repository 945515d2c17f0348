// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to streams of sources and warehouse queries. What is checked here is what the host relies on before it looks
// into buffers: the casts at the border check those.
#include <string.h>

#include "dray/sdk/column.h"
#include "plugin/calls.h"
#include "plugin/stream_slots.h"

#define STATE_BYTES_MAX (1u << 20)
#define COLUMN_NAME_BYTES_MAX 255
#define COLUMNS_MAX 16384

// ---- slots ----

static int32_t no_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  (void)stream, (void)error;
  *out = (struct dray_str){NULL, 0};
  return DRAY_OK;
}

static void no_progress(struct dray_stream *stream, struct dray_progress *out) {
  (void)stream, (void)out;
}

void dr_stream_prepare(struct dray_stream *stream) {
  memset(stream, 0, sizeof(*stream));
  stream->struct_size = sizeof(*stream);
}

int32_t dr_stream_complete(const struct dr_call *call, struct dray_stream *stream, int needs_state) {
  stream->struct_size = sizeof(*stream);
  const char *missing = stream->schema == NULL                 ? "schema"
                        : stream->next == NULL                 ? "next"
                        : stream->close == NULL                ? "close"
                        : needs_state && stream->state == NULL ? "state"
                                                               : NULL;
  if (missing != NULL) {
    if (stream->close != NULL) stream->close(stream);
    memset(stream, 0, sizeof(*stream));
    return dr_call_broken(call, "the stream lacks the slot %s", missing);
  }
  if (stream->state == NULL) stream->state = no_state;
  if (stream->progress == NULL) stream->progress = no_progress;
  return DRAY_OK;
}

// ---- schema ----

int32_t dr_stream_check_schema(const struct dr_call *call, const struct ArrowSchema *schema) {
  if (schema->release == NULL || schema->format == NULL) return dr_call_broken(call, "it wrote no schema");
  if (strcmp(schema->format, "+s") != 0) {
    return dr_call_broken(call, "the schema's format is \"%.40s\", not a struct (\"+s\")", schema->format);
  }
  if (schema->n_children < 1 || schema->n_children > COLUMNS_MAX || schema->children == NULL) {
    return dr_call_broken(call, "the schema has %lld columns; 1 to %d are possible", (long long)schema->n_children,
                          COLUMNS_MAX);
  }
  for (int64_t i = 0; i < schema->n_children; i++) {
    const struct ArrowSchema *column = schema->children[i];
    if (column == NULL || column->format == NULL || column->name == NULL) {
      return dr_call_broken(call, "column %lld has no name or no format", (long long)i);
    }
    const size_t len = strnlen(column->name, COLUMN_NAME_BYTES_MAX + 1);
    if (len == 0 || len > COLUMN_NAME_BYTES_MAX || !dray_utf8_valid(column->name, len)) {
      return dr_call_broken(call, "the name of column %lld is not 1 to %d bytes of UTF-8", (long long)i,
                            COLUMN_NAME_BYTES_MAX);
    }
  }
  return DRAY_OK;
}

int32_t dr_stream_schema(struct dray_stream *stream, const char *label, struct ArrowSchema *out,
                         struct dray_error *error) {
  struct dr_call call;
  struct ArrowSchema schema;
  memset(&schema, 0, sizeof(schema));
  DRAY_TRY(dr_call_begin(&call, label, "stream.schema", error));
  DRAY_TRY(dr_call_end(&call, stream->schema(stream, &schema, &call.inner)));
  const int32_t rc = dr_stream_check_schema(&call, &schema);
  if (rc != DRAY_OK) {
    dray_schema_release(&schema);
    return rc;
  }
  *out = schema;
  return DRAY_OK;
}

// ---- batches ----

static int32_t check_batch(const struct dr_call *call, const struct ArrowSchema *schema,
                           const struct ArrowArray *batch) {
  if (batch->length <= 0 || batch->offset < 0 || batch->length > INT64_MAX - batch->offset) {
    return dr_call_broken(call, "a batch has the length %lld and the offset %lld; the end is a batch without release",
                          (long long)batch->length, (long long)batch->offset);
  }
  if (batch->n_children != schema->n_children || batch->children == NULL) {
    return dr_call_broken(call, "a batch has %lld columns, its schema %lld", (long long)batch->n_children,
                          (long long)schema->n_children);
  }
  for (int64_t i = 0; i < batch->n_children; i++) {
    const struct ArrowArray *column = batch->children[i];
    if (column == NULL || column->offset < 0 || column->length < batch->length + batch->offset) {
      return dr_call_broken(call, "the column %.80s has %lld values in a batch of %lld rows", schema->children[i]->name,
                            column != NULL ? (long long)column->length : 0, (long long)batch->length);
    }
  }
  return DRAY_OK;
}

int32_t dr_stream_next(struct dray_stream *stream, const char *label, const struct ArrowSchema *schema,
                       struct ArrowArray *out, int64_t *out_rows, struct dray_error *error) {
  struct dr_call call;
  struct ArrowArray batch;
  memset(&batch, 0, sizeof(batch));
  DRAY_TRY(dr_call_begin(&call, label, "stream.next", error));
  DRAY_TRY(dr_call_end(&call, stream->next(stream, &batch, &call.inner)));
  if (batch.release != NULL) {
    const int32_t rc = check_batch(&call, schema, &batch);
    if (rc != DRAY_OK) {
      dray_array_release(&batch);
      return rc;
    }
  }
  *out_rows = batch.release != NULL ? batch.length : 0;
  *out = batch;
  return DRAY_OK;
}

int32_t dr_stream_state(struct dray_stream *stream, const char *label, struct dray_str *out, struct dray_error *error) {
  struct dr_call call;
  struct dray_str state = {NULL, 0};
  dr_call_enter(&call, label, "stream.state", error);
  DRAY_TRY(dr_call_end(&call, stream->state(stream, &state, &call.inner)));
  if (state.len > STATE_BYTES_MAX || (state.len > 0 && state.data == NULL)) {
    return dr_call_broken(&call, "a state has %llu bytes; at most %u are allowed", (unsigned long long)state.len,
                          STATE_BYTES_MAX);
  }
  *out = state;
  return DRAY_OK;
}

void dr_stream_progress(struct dray_stream *stream, struct dray_progress *out) {
  memset(out, 0, sizeof(*out));
  out->struct_size = sizeof(*out);
  stream->progress(stream, out);
}

void dr_stream_close(struct dray_stream *stream, const char *label) {
  if (stream->close == NULL) return;
  struct dr_call call;
  dr_call_enter(&call, label, "stream.close", NULL);
  stream->close(stream);
  dr_call_leave(&call);
  memset(stream, 0, sizeof(*stream));
}
