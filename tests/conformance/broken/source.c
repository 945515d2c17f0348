// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source: `edges`, four rows of what is lost first, and `numbers`, many rows with a safe place after each batch.
// With the faults of reading.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory.h"

#define DOCUMENT_BYTES_MAX 65536
#define DECIMAL_TEXT "12345678901234567890123456789.123456789"

struct dray_source {
  struct dray_services services;
  struct settings settings;
  struct dray_buffer document; // what check or discover handed out last
  char *note;                  // here so that something can be forgotten
  int64_t given;               // rows handed out, for states that only this instance understands
};

struct reader {
  struct dray_source *source;
  struct dray_builder *builder;
  struct ArrowSchema schema;
  char *token;
  int edges; // which of the two streams
  uint32_t mode;
  int64_t next, rows; // the row that comes next, and how many there are
  int64_t batch_rows;
  char state[160];
};

static const struct dray_column_def edge_columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                      {"text", {DRAY_TYPE_STRING, 0, 0}, 1},
                                                      {"amount", {DRAY_TYPE_DECIMAL, 38, 9}, 1},
                                                      {"at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1}};
static const struct dray_column_def number_columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                        {"square", {DRAY_TYPE_INT64, 0, 0}, 0}};

static const struct {
  const char *text, *amount, *at; // NULL: null
} edges[] = {{"Grüße \U0001F600", DECIMAL_TEXT, "2024-03-31T03:00:00+02:00"},
             {"", "-0.000000001", "0001-01-01T00:00:00Z"},
             {NULL, NULL, NULL},
             {"null", "0", "9999-12-31T23:59:59.999999Z"}};
#define EDGE_COUNT ((int64_t)(sizeof(edges) / sizeof(edges[0])))

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  dray_buffer_free(&source->document);
  if (!HAS(LIFECYCLE)) free(source->note);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  source->note = dray_str_dup(dray_str_of("a note"));
  if (source->note == NULL) {
    if (!HAS(ALLOCATION_LEAK)) source_destroy(source);
    return dray_fail(error, HAS(ALLOCATION_LIE) ? DRAY_E_IO : DRAY_E_OUT_OF_MEMORY, "no memory for a note");
  }
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = settings_bind(config_json, &source->settings, error);
  if (rc != DRAY_OK) {
    source_destroy(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  DRAY_TRY(settings_check(&source->services, &source->settings, &source->document, error));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  static int calls;
  dray_buffer_clear(&source->document);
  DRAY_TRY(dray_buffer_printf(
      &source->document, error,
      "{\"streams\":[{\"name\":\"edges\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\",\"nullable\":false},"
      "{\"name\":\"text\",\"type\":\"string\",\"nullable\":true},{\"name\":\"amount\",\"type\":\"decimal(38,9)\","
      "\"nullable\":true},{\"name\":\"at\",\"type\":\"timestamp\",\"nullable\":true}],\"primary_key\":[\"id\"],"
      "\"cursor\":null,\"modes\":[\"full\"],\"description\":\"edges, seen %d times\"},"
      "{\"name\":\"numbers\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\",\"nullable\":false},"
      "{\"name\":\"square\",\"type\":\"int64\",\"nullable\":false}],\"primary_key\":[\"id\"],\"cursor\":null,"
      "\"modes\":[\"full\",\"incremental\"]}]}",
      HAS(DISCOVER) ? calls++ : 0));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

// ---- the stream ----

static int32_t reader_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct reader *reader = stream->private_data;
  return dray_schema_copy(&reader->schema, out, error);
}

static int32_t put_text(struct dray_builder *builder, size_t column, const char *text, struct dray_error *error) {
  if (text != NULL) return dray_builder_text(builder, column, dray_str_of(text), error);
  if (HAS(VALUES_NULL) && column == 1) return dray_builder_text(builder, column, dray_str_of(""), error);
  return dray_builder_null(builder, column, error);
}

static int32_t put_edge(struct dray_builder *builder, int64_t row, struct dray_error *error) {
  const char *text = edges[row].text, *amount = edges[row].amount;
  char rounded[64];
  if (HAS(VALUES_UNICODE) && text != NULL && strstr(text, "\U0001F600") != NULL) text = "Grüße ";
  if (HAS(VALUES_DECIMAL) && amount != NULL) {
    (void)snprintf(rounded, sizeof(rounded), "%.9f", strtod(amount, NULL));
    amount = rounded;
  }
  DRAY_TRY(dray_builder_int64(builder, 0, row + 1, error));
  DRAY_TRY(put_text(builder, 1, text, error));
  DRAY_TRY(put_text(builder, 2, amount, error));
  return put_text(builder, 3, edges[row].at, error);
}

static int32_t put_number(const struct reader *reader, int64_t row, struct dray_error *error) {
  const int64_t now = reader->source->services.clock->now_us(reader->source->services.clock->ctx);
  const int differs = HAS(SECOND_SYNC) && reader->mode == DRAY_READ_FULL;
  DRAY_TRY(dray_builder_int64(reader->builder, 0, row, error));
  return dray_builder_int64(reader->builder, 1, differs ? now : row * row, error);
}

static int32_t reader_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  DRAY_TRY(settings_cancelled(&reader->source->services, HAS(CANCEL_NEXT) || HAS(CANCEL_HANG), error));
  while (HAS(CANCEL_HANG) && dray_cancelled(&reader->source->services)) (void)pause();
  int64_t *scratch = malloc(sizeof(*scratch)); // here so that it can fail
  if (scratch == NULL && !HAS(ALLOCATION_CRASH)) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  *(volatile int64_t *)scratch = reader->next + reader->batch_rows;
  const int64_t end = *scratch < reader->rows ? *scratch : reader->rows;
  free(scratch);
  for (; reader->next < end; reader->next++) {
    DRAY_TRY(reader->edges ? put_edge(reader->builder, reader->next, error) : put_number(reader, reader->next, error));
    DRAY_TRY(dray_builder_end_row(reader->builder, NULL, error));
  }
  return dray_builder_finish(reader->builder, out, error);
}

static int32_t reader_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  (void)error;
  if (reader->edges) { // too few to be resumed
    *out = dray_str_of("");
    return DRAY_OK;
  }
  const int64_t place = HAS(RESUME) ? reader->next + reader->batch_rows : reader->next;
  const char *shown = HAS(CANARY_STATE) && reader->token != NULL ? reader->token : "row";
  reader->source->given = place;
  (void)snprintf(reader->state, sizeof(reader->state), "%s %lld", shown,
                 (long long)(HAS(RESUME_MEMORY) ? reader->rows : place));
  *out = dray_str_of(reader->state);
  return DRAY_OK;
}

static void reader_close(struct dray_stream *stream) {
  struct reader *reader = stream->private_data;
  dray_builder_free(reader->builder);
  dray_schema_release(&reader->schema);
  dray_secret_free(reader->token);
  free(reader);
}

static int32_t place_of(struct reader *reader, struct dray_str state, struct dray_error *error) {
  if (state.len == 0) return DRAY_OK;
  const char *blank = memrchr(state.data, ' ', state.len) /* the token may have one */;
  if (blank == NULL) return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the state has no blank");
  const uint64_t at = (uint64_t)(blank + 1 - state.data);
  if (dray_parse_int64(dray_str_make(blank + 1, state.len - at), &reader->next, error) != DRAY_OK)
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the state has no number");
  if (HAS(RESUME_MEMORY) && reader->source->given > 0) reader->next = reader->source->given;
  return DRAY_OK;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  const int is_edges = dray_str_is(request->stream, "edges");
  if (!is_edges && !dray_str_is(request->stream, "numbers"))
    return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s", DRAY_STR_ARG(request->stream));
  struct reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  out->private_data = reader;
  reader->source = source;
  reader->edges = is_edges;
  reader->mode = request->mode;
  reader->rows = is_edges ? EDGE_COUNT : source->settings.rows;
  reader->batch_rows = request->batch_rows_max < 100 ? (int64_t)request->batch_rows_max : 100;
  int32_t rc = place_of(reader, request->state, error);
  if (rc == DRAY_OK) rc = settings_token(&source->services, &source->settings, &reader->token, error);
  if (rc == DRAY_OK) {
    rc = dray_schema_make(is_edges ? edge_columns : number_columns, is_edges ? 4 : 2, &reader->schema, error);
  }
  if (rc == DRAY_OK) rc = dray_builder_new(&reader->schema, 0, 0, &reader->builder, error);
  if (rc != DRAY_OK) {
    reader_close(out);
    return rc;
  }
  out->schema = reader_schema;
  out->next = reader_next;
  out->state = reader_state;
  out->close = reader_close;
  return DRAY_OK;
}

const struct dray_source_vtable source_vtable = {
    .struct_size = sizeof(struct dray_source_vtable),
    .spec = settings_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
};
