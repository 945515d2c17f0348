// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The probe reads what its script holds: {"columns": [["id", "int64"], ...], "rows": [[1, ...], ...], "batch": rows a
// batch, "fail_at": a row at which reading breaks off}. Its state is the number of rows told.
#include <stdio.h>
#include <stdlib.h>

#include "probe.h"

#define COLUMNS_MAX 32

struct dray_source {
  struct probe probe;
};

struct reader {
  struct dray_json *script;
  const struct dray_json *next; // row
  struct ArrowSchema schema;
  struct dray_builder *builder;
  int64_t told, batch, fail_at;
  char state[32];
};

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  const int32_t rc = probe_init(&source->probe, host, config_json, error);
  if (rc != DRAY_OK) {
    free(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  probe_free(&source->probe);
  free(source);
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  (void)source;
  (void)error;
  *out_json = dray_str_of("[]");
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  dray_buffer_clear(&source->probe.document);
  DRAY_TRY(probe_read(&source->probe, "streams.json", &source->probe.document, error));
  *out_json = dray_buffer_view(&source->probe.document);
  return DRAY_OK;
}

// ---- the stream ----

static int32_t reader_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct reader *reader = stream->private_data;
  return dray_schema_copy(&reader->schema, out, error);
}

static int32_t add_row(struct reader *reader, const struct dray_json *row, struct dray_error *error) {
  size_t column = 0;
  for (const struct dray_json *value = row->child; value != NULL; value = value->next, column++) {
    if (value->kind == DRAY_JSON_NULL) {
      DRAY_TRY(dray_builder_null(reader->builder, column, error));
    } else if (value->kind == DRAY_JSON_BOOL) {
      DRAY_TRY(dray_builder_bool(reader->builder, column, value->boolean, error));
    } else {
      DRAY_TRY(dray_builder_text(reader->builder, column, value->text, error));
    }
  }
  int32_t full = 0;
  return dray_builder_end_row(reader->builder, &full, error);
}

static int32_t reader_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  for (int64_t i = 0; i < reader->batch && reader->next != NULL; i++) {
    if (reader->told == reader->fail_at) return dray_fail(error, DRAY_E_NET_CLOSED, "the reading broke off");
    DRAY_TRY(add_row(reader, reader->next, error));
    reader->next = reader->next->next;
    reader->told++;
  }
  return dray_builder_finish(reader->builder, out, error);
}

static int32_t reader_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  (void)error;
  (void)snprintf(reader->state, sizeof(reader->state), "%lld", (long long)reader->told);
  *out = dray_str_of(reader->state);
  return DRAY_OK;
}

static void reader_close(struct dray_stream *stream) {
  struct reader *reader = stream->private_data;
  dray_builder_free(reader->builder);
  dray_schema_release(&reader->schema);
  dray_json_free(reader->script);
  free(reader);
}

static int32_t prepare(struct reader *reader, const struct dray_read_request *request, struct dray_error *error) {
  struct dray_column_def defs[COLUMNS_MAX];
  size_t count = 0;
  const struct dray_json *columns = dray_json_get(reader->script, "columns");
  for (const struct dray_json *item = columns->child; item != NULL && count < COLUMNS_MAX; item = item->next) {
    defs[count].name = item->child->text.data;
    defs[count].nullable = 1;
    DRAY_TRY(dray_type_parse(item->child->next->text, &defs[count].type, error));
    count++;
  }
  DRAY_TRY(dray_schema_make(defs, count, &reader->schema, error));
  DRAY_TRY(dray_builder_new(&reader->schema, UINT64_MAX, UINT64_MAX, &reader->builder, error));
  const struct dray_json *rows = dray_json_get(reader->script, "rows");
  reader->next = rows->child;
  reader->batch = probe_number(reader->script, "batch", 1000);
  reader->fail_at = probe_number(reader->script, "fail_at", -1);
  char state[32] = "0";
  if (request->mode == DRAY_READ_INCREMENTAL && request->state.len > 0) {
    (void)snprintf(state, sizeof(state), "%.*s", DRAY_STR_ARG(request->state));
  }
  const int64_t skip = strtoll(state, NULL, 10);
  for (; reader->told < skip && reader->next != NULL; reader->told++) reader->next = reader->next->next;
  return DRAY_OK;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  struct reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a reader");
  struct dray_stream stream = {.struct_size = sizeof(stream),
                               .private_data = reader,
                               .schema = reader_schema,
                               .next = reader_next,
                               .state = reader_state,
                               .close = reader_close};
  int32_t rc = probe_script(&source->probe, &reader->script, error);
  if (rc == DRAY_OK) rc = prepare(reader, request, error);
  if (rc != DRAY_OK) {
    reader_close(&stream);
    return rc;
  }
  *out = stream;
  return DRAY_OK;
}

const struct dray_source_vtable probe_source = {.struct_size = sizeof(struct dray_source_vtable),
                                                .spec = probe_spec,
                                                .create = source_create,
                                                .destroy = source_destroy,
                                                .check = source_check,
                                                .discover = source_discover,
                                                .open = source_open};
