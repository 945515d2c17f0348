// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One thread pulls, the run's thread takes. The stream belongs to the pulling thread from the first
// dr_reader_next until the thread has ended.
#include "sync/reader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/queue.h"

#define QUEUE_ITEMS_MAX 8
#define QUEUE_BYTES_MAX (8u << 20)
#define STATE_BYTES_MAX (1u << 20)
#define ARENA_BYTES_MAX (64u << 20)

struct dr_reader {
  struct dray_stream stream;
  int stream_open;
  char label[128];
  struct ArrowSchema schema;
  struct dr_arena arena; // of the facts
  struct dr_stream_facts facts;
  int incremental, changes, whole;
  int has_state; // the stream has checkpoints
  int begun;     // of a log: something was made at the source for it to be followed from here
  struct dr_queue *queue;
  pthread_t thread;
  int running;
  uint64_t next_row;
  uint64_t bytes; // of the items that were taken
  // Written by the thread before it closes the queue, read after the queue is drained.
  int32_t code;
  struct dray_error error;
};

void dr_read_item_free(struct dr_read_item *item) {
  if (item == NULL) return;
  dray_array_release(&item->array);
  free(item->state);
  free(item);
}

static void free_item(void *item) {
  dr_read_item_free(item);
}

// ---- opening ----

#define NAME_BYTES 97

// The name by which a source knows that it is this sync which reads (dray/source.h, `reader`): of the sync's name and
// the project's seed.
static void name_reader(struct dr_session *session, const struct dr_sync *sync, char out[NAME_BYTES]) {
  const struct dray_str name = dray_str_of(sync->name);
  const uint64_t mark = dr_hash_bytes(name, dr_store_seed(dr_session_store(session))).low;
  char shown[64];
  size_t n = 0;
  for (const char *at = sync->name; *at != '\0' && n + 1 < sizeof(shown); at++) {
    const int plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
                      *at == '_' || *at == '.' || *at == '-';
    shown[n++] = plain ? *at : '_';
  }
  shown[n] = '\0';
  (void)snprintf(out, NAME_BYTES, "%s.%016llx", shown, (unsigned long long)mark);
}

static int32_t decide_mode(const struct dr_reader_options *options, struct dr_reader *reader,
                           struct dray_error *error) {
  const struct dr_sync *sync = options->sync;
  // A cursor that the config names makes a stream incremental which by itself is not, and is no log of changes.
  const int can = reader->facts.incremental || sync->cursor != NULL;
  reader->changes = reader->facts.changes && sync->cursor == NULL && !sync->full && options->follow;
  const int full = sync->full || options->full || options->anew;
  reader->incremental = reader->changes || (!full && can);
  reader->whole = !reader->incremental || (reader->changes && (options->anew || options->checkpoint.len == 0));
  if (!reader->incremental || reader->changes || !reader->facts.changes || sync->cursor != NULL) return DRAY_OK;
  return dray_fail(
      error, DRAY_E_CONFIG_VALUE,
      "stream %s is a log of changes, with rows that are gone: append, and a history by `valid_from`, cannot "
      "take it; use `mode: mirror`, `upsert` or `history`, name a cursor, or write `read: full`",
      sync->stream);
}

static int32_t take_names(struct dr_reader *reader, const char *const *names, size_t count, struct dray_str **out,
                          struct dray_error *error) {
  *out = dr_arena_alloc(&reader->arena, (count + 1) * sizeof(**out));
  if (*out == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for column names");
  for (size_t i = 0; i < count; i++) (*out)[i] = dray_str_of(names[i]);
  return DRAY_OK;
}

static int32_t open_stream(struct dr_session *session, const struct dr_reader_options *options,
                           struct dr_reader *reader, struct dray_error *error) {
  const struct dr_sync *sync = options->sync;
  struct dr_source_instance *source = NULL;
  DRAY_TRY(dr_session_source(session, (size_t)sync->from_connection, &source, error));
  struct dray_str catalog;
  DRAY_TRY(dr_source_discover(source, &catalog, error));
  DRAY_TRY(dr_catalog_stream(catalog, sync->stream, &reader->arena, &reader->facts, error));
  DRAY_TRY(decide_mode(options, reader, error));
  char name[NAME_BYTES];
  name_reader(session, sync, name);
  const int own = sync->key_count > 0;
  const size_t key_count = own ? sync->key_count : reader->facts.key_count;
  struct dray_str *columns = NULL, *key = NULL;
  DRAY_TRY(take_names(reader, sync->columns, sync->column_count, &columns, error));
  DRAY_TRY(take_names(reader, own ? sync->key : reader->facts.key, key_count, &key, error));
  const struct dray_read_request request = {
      .struct_size = sizeof(request),
      .mode = reader->incremental ? DRAY_READ_INCREMENTAL : DRAY_READ_FULL,
      .stream = dray_str_of(sync->stream),
      .columns = columns,
      .column_count = sync->column_count,
      .cursor = dray_str_of(sync->cursor),
      .state = reader->incremental && !reader->whole ? options->checkpoint : dray_str_make(NULL, 0),
      .batch_bytes_max = DR_BATCH_BYTES_DEFAULT,
      .batch_rows_max = DR_BATCH_ROWS_DEFAULT,
      .reader = dray_str_of(name),
      .flags = options->look ? DRAY_READ_LOOK : 0,
      .key = key,
      .key_count = key_count,
      .former = reader->changes && reader->whole ? options->checkpoint : dray_str_make(NULL, 0),
  };
  (void)snprintf(reader->label, sizeof(reader->label), "%s", source->label);
  DRAY_TRY(dr_source_open(source, &request, &reader->stream, error));
  reader->stream_open = 1;
  reader->has_state = reader->stream.state != NULL;
  reader->begun = reader->changes && reader->whole && !options->look;
  return DRAY_OK;
}

int32_t dr_reader_drop(struct dr_session *session, const struct dr_sync *sync, struct dray_str state,
                       struct dray_str *out_json, struct dray_error *error) {
  struct dr_source_instance *source = NULL;
  char name[NAME_BYTES];
  DRAY_TRY(dr_session_source(session, (size_t)sync->from_connection, &source, error));
  name_reader(session, sync, name);
  const struct dray_read_request request = {
      .struct_size = sizeof(request),
      .mode = DRAY_READ_INCREMENTAL,
      .stream = dray_str_of(sync->stream),
      .state = state,
      .reader = dray_str_of(name),
  };
  return dr_source_drop(source, &request, out_json, error);
}

void dr_reader_abandon(struct dr_session *session, const struct dr_sync *sync, struct dr_reader *reader) {
  struct dray_str json = {NULL, 0};
  struct dray_error why;
  if (reader == NULL || !reader->begun) return;
  dr_reader_finish(reader);
  reader->begun = 0;
  dray_error_init(&why);
  if (dr_reader_drop(session, sync, dray_str_make(NULL, 0), &json, &why) == DRAY_OK) return;
  dr_log(DRAY_LOG_WARN, sync->name,
         "what this run made at the source could not be removed (%s): the next run takes its place, or `dray sync %s "
         "--drop` removes it",
         why.text, sync->name);
}

static int32_t open_model(struct dr_session *session, const struct dr_reader_options *options, struct dr_reader *reader,
                          struct dray_error *error) {
  const struct dr_model *model = &dr_session_project(session)->models[options->sync->model];
  const struct dray_str sql = options->query.len > 0 ? options->query : dray_str_of(model->sql);
  struct dr_warehouse_instance *instance = NULL;
  struct dr_warehouse *warehouse = NULL;
  DRAY_TRY(dr_session_warehouse(session, model->warehouse, &warehouse, &instance, error));
  reader->facts.key = dr_arena_alloc(&reader->arena, (model->key_count + 1) * sizeof(char *));
  if (reader->facts.key == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a model's key");
  for (size_t i = 0; i < model->key_count; i++) reader->facts.key[i] = model->key[i];
  reader->facts.key_count = model->key_count;
  reader->whole = 1;
  (void)snprintf(reader->label, sizeof(reader->label), "%s", instance->label);
  const int32_t rc =
      dr_warehouse_query(instance, sql, DR_BATCH_BYTES_DEFAULT, DR_BATCH_ROWS_DEFAULT, &reader->stream, error);
  if (rc != DRAY_OK) return dray_error_prefix(error, "model %s", model->name);
  reader->stream_open = 1;
  return DRAY_OK;
}

int32_t dr_reader_open(struct dr_session *session, const struct dr_reader_options *options, struct dr_reader **out,
                       struct dray_error *error) {
  struct dr_reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a reader");
  dr_arena_init(&reader->arena, ARENA_BYTES_MAX);
  int32_t rc = options->sync->model >= 0 ? open_model(session, options, reader, error)
                                         : open_stream(session, options, reader, error);
  if (rc == DRAY_OK) rc = dr_stream_schema(&reader->stream, reader->label, &reader->schema, error);
  if (rc == DRAY_OK) {
    reader->queue = dr_queue_new(QUEUE_ITEMS_MAX, QUEUE_BYTES_MAX);
    if (reader->queue == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a queue");
  }
  if (rc != DRAY_OK) {
    dr_reader_abandon(session, options->sync, reader);
    dr_reader_close(reader);
    return rc;
  }
  *out = reader;
  return DRAY_OK;
}

void dr_reader_finish(struct dr_reader *reader) {
  if (reader->queue != NULL) dr_queue_close(reader->queue);
  if (reader->running) (void)pthread_join(reader->thread, NULL);
  reader->running = 0;
  if (reader->stream_open) dr_stream_close(&reader->stream, reader->label);
  reader->stream_open = 0;
}

void dr_reader_close(struct dr_reader *reader) {
  if (reader == NULL) return;
  dr_reader_finish(reader);
  dr_queue_free(reader->queue, free_item);
  dray_schema_release(&reader->schema);
  dr_arena_free(&reader->arena);
  free(reader);
}

const struct ArrowSchema *dr_reader_schema(const struct dr_reader *reader) {
  return &reader->schema;
}

const struct dr_stream_facts *dr_reader_facts(const struct dr_reader *reader) {
  return &reader->facts;
}

uint64_t dr_reader_bytes(const struct dr_reader *reader) {
  return reader->bytes;
}

int dr_reader_incremental(const struct dr_reader *reader) {
  return reader->incremental;
}

int dr_reader_changes(const struct dr_reader *reader) {
  return reader->changes;
}

int dr_reader_whole(const struct dr_reader *reader) {
  return reader->whole;
}

// ---- pulling ----

// About what an array occupies, without walking its buffers: the queue only needs the order of magnitude.
static size_t estimate_bytes(const struct ArrowArray *array) {
  size_t bytes = 0;
  for (int64_t i = 0; i < array->n_children; i++) {
    const struct ArrowArray *child = array->children[i];
    bytes += (size_t)child->length * (child->n_buffers > 2 ? 24 : 8);
  }
  return bytes;
}

// What the values of a column take: the texts of texts, the width of others. Validity is not counted.
static uint64_t column_bytes(const struct ArrowSchema *schema, const struct ArrowArray *column) {
  const int64_t from = column->offset, to = column->offset + column->length;
  if (column->n_buffers == 3 && column->buffers[1] != NULL) {
    const int wide = schema->format[0] == 'U' || schema->format[0] == 'Z';
    const int32_t *narrow_ends = column->buffers[1];
    const int64_t *wide_ends = column->buffers[1];
    return wide ? (uint64_t)(wide_ends[to] - wide_ends[from]) : (uint64_t)(narrow_ends[to] - narrow_ends[from]);
  }
  const char format = schema->format[0];
  const uint64_t width = format == 'b' || format == 'n' ? 1 : format == 'd' ? 16 : schema->format[1] == 'd' ? 4 : 8;
  return width * (uint64_t)column->length;
}

static uint64_t count_bytes(const struct dr_reader *reader, const struct ArrowArray *array) {
  uint64_t bytes = 0;
  for (int64_t i = 0; i < array->n_children && i < reader->schema.n_children; i++) {
    bytes += column_bytes(reader->schema.children[i], array->children[i]);
  }
  return bytes;
}

static int32_t take_state(struct dr_reader *reader, struct dr_read_item *item, struct dray_error *error) {
  if (!reader->has_state) return DRAY_OK;
  struct dray_str state = {NULL, 0};
  DRAY_TRY(dr_stream_state(&reader->stream, reader->label, &state, error));
  if (state.len == 0) return DRAY_OK;
  if (state.len > STATE_BYTES_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%s: a state of %llu bytes, at most %u are allowed", reader->label,
                     (unsigned long long)state.len, STATE_BYTES_MAX);
  }
  item->state = dray_str_dup(state);
  if (item->state == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a state");
  item->state_bytes = (size_t)state.len;
  return DRAY_OK;
}

static int32_t pull_one(struct dr_reader *reader, struct dr_read_item **out, struct dray_error *error) {
  struct dr_read_item *item = calloc(1, sizeof(*item));
  if (item == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch");
  int64_t rows = 0;
  int32_t rc = dr_stream_next(&reader->stream, reader->label, &reader->schema, &item->array, &rows, error);
  if (rc == DRAY_OK) rc = take_state(reader, item, error);
  if (rc != DRAY_OK || (rows == 0 && item->state == NULL)) {
    dr_read_item_free(item);
    return rc; // the end: *out stays NULL
  }
  item->rows = (uint64_t)rows;
  item->first_row = reader->next_row;
  reader->next_row += (uint64_t)rows;
  *out = item;
  return DRAY_OK;
}

static void report_progress(struct dr_reader *reader) {
  struct dr_board *board = dr_board();
  atomic_store_explicit(&board->rows_read, reader->next_row, memory_order_relaxed);
  struct dray_progress progress = {.struct_size = sizeof(progress)};
  dr_stream_progress(&reader->stream, &progress);
  atomic_store_explicit(&board->rows_total, progress.rows_total, memory_order_relaxed);
  atomic_store_explicit(&board->bytes_read, progress.bytes, memory_order_relaxed);
  atomic_store_explicit(&board->bytes_total, progress.bytes_total, memory_order_relaxed);
  dr_board_beat();
}

static void *pull(void *ctx) {
  struct dr_reader *reader = ctx;
  for (;;) {
    struct dr_read_item *item = NULL;
    reader->code = pull_one(reader, &item, &reader->error);
    if (reader->code != DRAY_OK || item == NULL) break;
    report_progress(reader);
    const int last = item->rows == 0;
    const size_t bytes = estimate_bytes(&item->array);
    if (dr_queue_push(reader->queue, item, bytes) != 0) {
      dr_read_item_free(item); // the run has ended
      break;
    }
    if (last) break;
  }
  dr_queue_close(reader->queue);
  return NULL;
}

int dr_reader_drained(const struct dr_reader *reader) {
  int closed = 0;
  size_t count = 0;
  const struct dr_read_item *item = dr_queue_peek(reader->queue, &closed, &count);
  return closed && (count == 0 || (count == 1 && item->rows == 0));
}

int32_t dr_reader_next(struct dr_reader *reader, struct dr_read_item **out, struct dray_error *error) {
  if (!reader->running) {
    if (pthread_create(&reader->thread, NULL, pull, reader) != 0) {
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no thread for reading");
    }
    reader->running = 1;
  }
  struct dr_read_item *item = dr_queue_pop(reader->queue);
  if (item == NULL && reader->code != DRAY_OK) {
    if (error != NULL) *error = reader->error;
    return reader->code;
  }
  DRAY_TRY(item == NULL ? dr_cancel_check(error) : DRAY_OK);
  if (item != NULL && item->rows > 0) reader->bytes += count_bytes(reader, &item->array);
  *out = item;
  return DRAY_OK;
}
