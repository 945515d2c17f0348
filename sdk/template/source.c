// The source role: one stream, `records`, read from a JSON Lines file. A real plugin reads an API here; what stays is
// the shape: describe what there is, open a stream, hand out batches, and say where reading can go on.
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

#define DOCUMENT_BYTES_MAX (1u << 20)
#define CHUNK_BYTES 65536

// What the stream has, declared once: discover, the schema of the batches and the JSON reader derive from it.
static const struct dray_field fields[] = {
    {.name = "id", .type = {DRAY_TYPE_INT64, 0, 0}, .flags = DRAY_FIELD_NOT_NULL},
    {.name = "name", .type = {DRAY_TYPE_STRING, 0, 0}},
    {.name = "amount", .type = {DRAY_TYPE_DECIMAL, 12, 2}},
    {.name = "updated_at", .type = {DRAY_TYPE_TIMESTAMP, 0, 0}},
};
static const struct dray_stream_def records = {
    .name = "records",
    .description = "what the file holds, one record a line",
    .fields = fields,
    .field_count = sizeof(fields) / sizeof(fields[0]),
    .primary_key = "id",
    .modes = DRAY_STREAM_FULL | DRAY_STREAM_INCREMENTAL, // incremental goes by what was appended, not by a column
};

struct dray_source {
  struct dray_services services;
  struct settings settings;
  struct dray_buffer document; // what check or discover handed out last
};

// An open stream. It must not be needed by the batches it gave: they may outlive it.
struct reader {
  const struct dray_services *services;
  struct dray_input *input;
  struct dray_builder *builder;
  struct dray_json_rows *rows;
  struct dray_selection selection;
  char chunk[CHUNK_BYTES];
  size_t chunk_len, chunk_used;
  int32_t input_ended;  // the file gave its last byte
  int32_t ended;        // and the reader was told
  uint64_t start_bytes; // where this stream began in the file
  uint64_t start_lines; // lines before that, so that messages name the right one
  char state[48];
};

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof(*source));
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  dray_buffer_init(&source->document, DOCUMENT_BYTES_MAX);
  int32_t rc = dray_services_init(&source->services, host, error);
  if (rc == DRAY_OK) rc = settings_bind(config_json, &source->settings, error);
  if (rc != DRAY_OK) {
    free(source);
    return rc;
  }
  *out = source;
  return DRAY_OK;
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  settings_release(&source->settings);
  dray_buffer_free(&source->document);
  free(source);
}

// Tries what a run would need, step by step, and says what to do about a step that fails.
static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_input *input = NULL;
  struct dray_json_writer writer;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_input_open(source->settings.path, &input, &why);
  dray_input_close(input);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  dray_buffer_clear(&source->document);
  dray_json_writer_init(&writer, &source->document, error);
  dray_json_begin_array(&writer);
  dray_check_step_write(&writer, "read", rc == DRAY_OK ? source->settings.path : why.text,
                        rc == DRAY_OK ? NULL : "check `path` and its permissions");
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&source->document);
  return DRAY_OK;
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_catalog_begin(&writer, &source->document, "streams", error);
  dray_stream_def_write(&records, NULL, &writer);
  return dray_catalog_end(&writer, NULL, out_json, error);
}

// ---- the stream ----

static int32_t reader_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct reader *reader = stream->private_data;
  return dray_schema_copy(&reader->selection.schema, out, error);
}

static int32_t fill_chunk(struct reader *reader, struct dray_error *error) {
  DRAY_TRY(dray_cancel_check(reader->services, error)); // answered within a second: once a chunk is often enough
  reader->chunk_used = 0;
  DRAY_TRY(dray_input_read(reader->input, reader->chunk, sizeof(reader->chunk), &reader->chunk_len, error));
  reader->input_ended = reader->chunk_len == 0;
  return DRAY_OK;
}

static int32_t reader_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  int32_t full = 0;
  while (!full && !reader->ended) {
    if (reader->chunk_used == reader->chunk_len && !reader->input_ended) DRAY_TRY(fill_chunk(reader, error));
    size_t used = 0;
    DRAY_TRY(dray_json_rows_feed(reader->rows, reader->chunk + reader->chunk_used,
                                 reader->chunk_len - reader->chunk_used, reader->input_ended, &used, &full, error));
    reader->chunk_used += used;
    reader->ended = reader->input_ended && !full;
  }
  return dray_builder_finish(reader->builder, out, error); // no rows: no batch, which is the end
}

// Where a later `open` continues when everything handed out so far is durable: "BYTES:LINES" behind the last line told.
static int32_t reader_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct reader *reader = stream->private_data;
  uint64_t bytes = 0;
  uint64_t lines = 0;
  (void)error;
  dray_json_rows_mark(reader->rows, &bytes, &lines);
  (void)snprintf(reader->state, sizeof(reader->state), "%llu:%llu", (unsigned long long)(reader->start_bytes + bytes),
                 (unsigned long long)(reader->start_lines + lines));
  *out = dray_str_of(reader->state);
  return DRAY_OK;
}

static void reader_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct reader *reader = stream->private_data;
  out->rows = dray_json_rows_count(reader->rows);
  out->bytes = dray_input_raw_position(reader->input);
}

static void reader_close(struct dray_stream *stream) {
  struct reader *reader = stream->private_data;
  dray_json_rows_free(reader->rows);
  dray_builder_free(reader->builder);
  dray_selection_free(&reader->selection);
  dray_input_close(reader->input);
  free(reader);
}

static int32_t make_reader(struct reader *reader, const struct settings *settings,
                           const struct dray_read_request *request, struct dray_error *error) {
  // The columns that were asked for, and a reserved one: a line that cannot be read becomes a row that says why, and
  // the run goes on with the next.
  DRAY_TRY(dray_selection_make(&records, NULL, request->columns, (size_t)request->column_count, 0, 0,
                               &reader->selection, error));
  DRAY_TRY(dray_builder_new(&reader->selection.schema, request->batch_rows_max, request->batch_bytes_max,
                            &reader->builder, error));
  const struct dray_json_rows_options options = {.record_bytes_max = (uint64_t)settings->line_bytes,
                                                 .lines = 1,
                                                 .name = settings->path,
                                                 .lines_before = reader->start_lines};
  DRAY_TRY(dray_json_rows_new(reader->selection.fields, reader->selection.field_count, &options, reader->builder,
                              &reader->rows, error));
  DRAY_TRY(dray_input_open(settings->path, &reader->input, error));
  if (reader->start_bytes == 0) return DRAY_OK;
  return dray_input_skip(reader->input, reader->start_bytes, error); // the file is shorter now: STATE_CHECKPOINT
}

static int32_t read_state(struct dray_str state, struct reader *reader, struct dray_error *error) {
  if (state.len == 0) return DRAY_OK;
  int64_t bytes = -1;
  int64_t lines = -1;
  const char *colon = memchr(state.data, ':', state.len);
  const uint64_t split = colon != NULL ? (uint64_t)(colon - state.data) : state.len;
  int good = colon != NULL && dray_parse_int64(dray_str_make(state.data, split), &bytes, NULL) == DRAY_OK;
  good = good && dray_parse_int64(dray_str_make(colon + 1, state.len - split - 1), &lines, NULL) == DRAY_OK;
  if (!good || bytes < 0 || lines < 0) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "\"%.*s\" is not a position of the stream %s", DRAY_STR_ARG(state),
                     records.name);
  }
  reader->start_bytes = (uint64_t)bytes;
  reader->start_lines = (uint64_t)lines;
  return DRAY_OK;
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  if (!dray_str_is(request->stream, records.name)) {
    return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s, only %s", DRAY_STR_ARG(request->stream),
                     records.name);
  }
  if (request->cursor.len > 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "cursor", "%s has no cursor column; leave `cursor` out",
                           records.name);
  }
  struct reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  reader->services = &source->services;
  out->private_data = reader;
  int32_t rc = read_state(request->state, reader, error);
  if (rc == DRAY_OK) rc = make_reader(reader, &source->settings, request, error);
  if (rc != DRAY_OK) {
    reader_close(out);
    return rc;
  }
  out->schema = reader_schema;
  out->next = reader_next;
  out->state = reader_state;
  out->progress = reader_progress;
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
