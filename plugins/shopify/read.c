// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A read decides by itself how it goes: in bulk for a first load and for what goes back far, in pages otherwise and
// where an operation cannot be had. Either way gives lines; a place in them is a checkpoint when all lines before it
// were given out as rows.
#include "read.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_US (INT64_C(86400) * 1000000)
#define STATE_BYTES_MAX 16384u
#define KEY_BYTES_MAX 160
#define KEPT_BYTES_MAX (SHOPIFY_SHAPE_BYTES + SHOPIFY_BULK_ID_BYTES + 32)
#define KEPT_US (INT64_C(86400) * 1000000) // an operation older than this is not taken up again
#define QUERY_BYTES_MAX SHOPIFY_QUERY_BYTES_MAX

struct shopify_read {
  struct shopify_client *client;
  const struct shopify_stream *stream;
  struct dray_selection selection;
  struct shopify_selection asked;
  struct dray_builder *builder;
  struct dray_json_rows *rows;
  struct shopify_position position; // behind the lines in `chunk`
  struct shopify_position safe;     // behind all lines that are rows
  int has_safe;
  int64_t start_us; // start_date, or an earlier one that it was begun with
  int full, look;   // DRAY_READ_FULL; nothing may be made at the other side
  int begun, ended;
  int32_t failed; // the reading broke off; said when the rows before it were given out
  struct dray_error why;
  int in_bulk;
  struct shopify_pages pages;
  struct shopify_download download;
  struct dray_str chunk;
  size_t chunk_used;
  char key[KEY_BYTES_MAX];         // under which the stream's operation is kept until its rows were given out
  char shape[SHOPIFY_SHAPE_BYTES]; // of the query
  struct dray_buffer state;
  struct dray_progress progress;
};

// ---- an operation that is kept: a restart goes on waiting for it ----

// What is kept of a stream is its query's shape, when the operation was started by this machine's clock, and its id. An
// empty text: nothing any more.
static int32_t keep_operation(struct shopify_read *read, const char *id, struct dray_error *error) {
  const struct dray_state_service *state = read->client->services->state;
  const struct dray_clock_service *clock = read->client->services->clock;
  char value[KEPT_BYTES_MAX] = "";
  if (id[0] != '\0') {
    (void)snprintf(value, sizeof(value), "%s %lld %s", read->shape, (long long)clock->now_us(clock->ctx), id);
  }
  return state->put(state->ctx, dray_str_of(read->key), dray_str_of(value), error);
}

// The one that this read may take up; empty: none. What else was read of the stream since has made it forgotten
// (begin_pages, and another query's operation), so that nothing is given out that is older than what was.
static int32_t kept_operation(struct shopify_read *read, char id[SHOPIFY_BULK_ID_BYTES], struct dray_error *error) {
  const struct dray_state_service *state = read->client->services->state;
  const struct dray_clock_service *clock = read->client->services->clock;
  char value[KEPT_BYTES_MAX];
  uint64_t bytes = 0;
  int64_t started_us = 0;
  DRAY_TRY(state->get(state->ctx, dray_str_of(read->key), value, sizeof(value) - 1, &bytes, error));
  value[bytes] = '\0';
  char *started = strchr(value, ' ');
  char *name = started != NULL ? strchr(started + 1, ' ') : NULL;
  if (name == NULL || strlen(name + 1) >= SHOPIFY_BULK_ID_BYTES) return DRAY_OK;
  *started++ = *name++ = '\0';
  if (strcmp(value, read->shape) != 0 || dray_parse_int64(dray_str_of(started), &started_us, NULL) != DRAY_OK) {
    return DRAY_OK;
  }
  if (clock->now_us(clock->ctx) - started_us >= KEPT_US) return DRAY_OK;
  memcpy(id, name, strlen(name) + 1);
  return DRAY_OK;
}

static int32_t forget_kept(struct shopify_read *read, struct dray_error *error) {
  const struct dray_state_service *state = read->client->services->state;
  char value[KEPT_BYTES_MAX];
  uint64_t bytes = 0;
  DRAY_TRY(state->get(state->ctx, dray_str_of(read->key), value, sizeof(value), &bytes, error));
  return bytes > 0 ? keep_operation(read, "", error) : DRAY_OK;
}

// ---- in bulk ----

static int wants_bulk(const struct shopify_read *read) {
  const struct shopify_settings *settings = read->client->settings;
  const struct shopify_position *position = &read->position;
  const struct dray_clock_service *clock = read->client->services->clock;
  if (!read->stream->bulk || read->look || settings->bulk == SHOPIFY_BULK_NEVER) return 0;
  if (position->after[0] != '\0') return 0; // in the middle of the pages
  if (settings->bulk == SHOPIFY_BULK_ALWAYS || position->bulk_id[0] != '\0') return 1;
  if (position->from_us == SHOPIFY_TIME_NONE) return 1;
  return clock->now_us(clock->ctx) - position->from_us > settings->window_days * DAY_US;
}

static void forget_bulk(struct shopify_position *position) {
  position->bulk_id[0] = position->bulk_shape[0] = '\0';
  position->bulk_bytes = 0;
  position->bulk_at_us = SHOPIFY_TIME_NONE;
}

// An operation that a read of the same query began and did not end. *out_status->state tells. What it gives is as old
// as it is: an incremental read ends at its start, and a full one comes after all that was read before.
static int32_t take_up(struct shopify_read *read, char id[SHOPIFY_BULK_ID_BYTES],
                       struct shopify_bulk_status *out_status, struct dray_error *error) {
  struct shopify_position *position = &read->position;
  DRAY_TRY(kept_operation(read, id, error));
  if (strcmp(position->bulk_id, id) != 0 || strcmp(position->bulk_shape, read->shape) != 0) forget_bulk(position);
  if (id[0] == '\0') return DRAY_OK;
  DRAY_TRY(shopify_bulk_wait(read->client, id, out_status, error));
  if (out_status->state == SHOPIFY_BULK_COMPLETED) {
    dray_log_printf(read->client->services, DRAY_LOG_INFO, "%s: goes on with the bulk operation %s of an earlier run",
                    read->stream->def.name, id);
    return DRAY_OK;
  }
  dray_log_printf(read->client->services, DRAY_LOG_INFO, "%s: the bulk operation %s of an earlier run cannot be used",
                  read->stream->def.name, id);
  shopify_bulk_status_free(out_status);
  forget_bulk(position);
  return keep_operation(read, "", error);
}

// A file says nothing of members that may not be seen: a page of one record does. Whatever else is wrong with it, the
// operation may still go.
static int32_t look_ahead(struct shopify_read *read, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = shopify_pages_probe(read->client, read->stream, &read->asked, &why);
  if (rc != DRAY_E_AUTH_FORBIDDEN && rc != DRAY_E_AUTH_REJECTED && rc != DRAY_E_CANCELLED &&
      rc != DRAY_E_OUT_OF_MEMORY) {
    return DRAY_OK;
  }
  if (error != NULL) *error = why;
  return rc;
}

static int32_t start_operation(struct shopify_read *read, struct dray_str query, char id[SHOPIFY_BULK_ID_BYTES],
                               struct shopify_bulk_status *out_status, struct dray_error *error) {
  const int always = read->client->settings->bulk == SHOPIFY_BULK_ALWAYS;
  struct dray_buffer why;
  int started = 0;
  DRAY_TRY(look_ahead(read, error));
  dray_buffer_init(&why, STATE_BYTES_MAX);
  int32_t rc = shopify_bulk_submit(read->client, query, always, id, &started, &why, error);
  if (rc == DRAY_OK && !started) {
    dray_log_printf(read->client->services, DRAY_LOG_INFO, "%s is read in pages: %s", read->stream->def.name,
                    why.len > 0 ? why.data : "no bulk operation is free");
  }
  dray_buffer_free(&why);
  if (rc != DRAY_OK || !started) return rc;
  DRAY_TRY(keep_operation(read, id, error));
  return shopify_bulk_wait(read->client, id, out_status, error);
}

static int32_t begin_download(struct shopify_read *read, const char *id, struct shopify_bulk_status *status,
                              struct dray_error *error) {
  struct shopify_position *position = &read->position;
  (void)snprintf(position->bulk_id, sizeof(position->bulk_id), "%s", id);
  (void)snprintf(position->bulk_shape, sizeof(position->bulk_shape), "%s", read->shape);
  position->bulk_at_us = status->created_us; // by the shop's clock; not known: the next read begins where this one did
  read->in_bulk = 1;
  read->progress.rows_total = read->stream->kind == SHOPIFY_NODES ? status->object_count : 0;
  read->progress.bytes_total = status->file_bytes > 0 ? (uint64_t)status->file_bytes : 0;
  if (status->url == NULL) return DRAY_OK; // no rows, no file
  return shopify_download_open(&read->download, read->client, id, status, position->bulk_bytes, error);
}

// Sets in_bulk when there is a file to read. Otherwise the pages are.
static int32_t begin_bulk(struct shopify_read *read, struct dray_error *error) {
  struct shopify_bulk_status status = {0};
  struct dray_buffer filter, query;
  char id[SHOPIFY_BULK_ID_BYTES] = "";
  dray_buffer_init(&filter, QUERY_BYTES_MAX);
  dray_buffer_init(&query, QUERY_BYTES_MAX);
  int32_t rc = shopify_filter(read->stream, read->position.from_us, &filter, error);
  if (rc == DRAY_OK) rc = shopify_document_bulk(read->stream, &read->asked, dray_buffer_view(&filter), &query, error);
  if (rc == DRAY_OK) {
    (void)snprintf(read->shape, sizeof(read->shape), "%016llx",
                   (unsigned long long)shopify_hash(dray_buffer_view(&query)));
    rc = take_up(read, id, &status, error);
  }
  if (rc == DRAY_OK && status.state != SHOPIFY_BULK_COMPLETED) {
    rc = start_operation(read, dray_buffer_view(&query), id, &status, error);
  }
  if (rc == DRAY_OK && status.state == SHOPIFY_BULK_COMPLETED)
    rc = begin_download(read, id, &status, error);
  else if (rc == DRAY_OK && status.state != SHOPIFY_BULK_NONE) {
    dray_log_printf(read->client->services, DRAY_LOG_WARN, "%s is read in pages: the bulk operation %s has failed%s%s",
                    read->stream->def.name, id, status.error_code[0] != '\0' ? " with " : "", status.error_code);
    rc = keep_operation(read, "", error);
  }
  shopify_bulk_status_free(&status);
  dray_buffer_free(&filter);
  dray_buffer_free(&query);
  return rc;
}

// ---- which way ----

static int32_t begin_pages(struct shopify_read *read, struct dray_error *error) {
  forget_bulk(&read->position);
  read->in_bulk = 0;
  if (!read->look) DRAY_TRY(forget_kept(read, error));
  return shopify_pages_open(&read->pages, read->client, read->stream, &read->asked, &read->position, !read->full,
                            error);
}

// What Shopify said to the query itself: the pages may still go.
static int is_refusal(int32_t rc) {
  return rc == DRAY_E_HTTP_STATUS || rc == DRAY_E_AUTH_FORBIDDEN || rc == DRAY_E_NET_CLOSED || rc == DRAY_E_LIMIT;
}

static int32_t begin(struct shopify_read *read, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  read->begun = 1;
  (void)snprintf(read->key, sizeof(read->key), "bulk.%s", read->stream->def.name);
  int32_t rc = wants_bulk(read) ? begin_bulk(read, &why) : DRAY_OK;
  if (rc != DRAY_OK && is_refusal(rc) && read->client->settings->bulk == SHOPIFY_BULK_AUTO) {
    dray_log_printf(read->client->services, DRAY_LOG_WARN, "%s is read in pages: %s", read->stream->def.name, why.text);
    rc = DRAY_OK;
  }
  if (rc != DRAY_OK) {
    if (error != NULL) *error = why;
    return rc;
  }
  if (!read->in_bulk) DRAY_TRY(begin_pages(read, error));
  read->safe = read->position;
  read->has_safe = 1;
  return DRAY_OK;
}

// ---- lines to rows ----

static int32_t end_bulk(struct shopify_read *read, struct dray_error *error) {
  shopify_position_note(&read->position, read->position.bulk_at_us, 0);
  shopify_position_end(&read->position);
  return keep_operation(read, "", error);
}

// The file is not to be had, and nothing of it was given out by this read: the pages give the same.
static int32_t give_up_file(struct shopify_read *read, const struct dray_error *why, struct dray_error *error) {
  dray_log_printf(read->client->services, DRAY_LOG_WARN, "%s is read in pages: %s", read->stream->def.name, why->text);
  shopify_download_close(&read->download);
  DRAY_TRY(keep_operation(read, "", error));
  DRAY_TRY(begin_pages(read, error));
  return shopify_pages_next(&read->pages, &read->chunk, &read->ended, error);
}

static int32_t next_lines(struct shopify_read *read, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = shopify_download_next(&read->download, &read->chunk, &read->ended, &why);
  if (rc == DRAY_OK) return DRAY_OK;
  if (rc == DRAY_E_HTTP_CONTENT) DRAY_TRY(keep_operation(read, "", error)); // it will not become another file
  if (rc == DRAY_E_HTTP_SERVER && read->progress.bytes == 0 && read->client->settings->bulk == SHOPIFY_BULK_AUTO) {
    return give_up_file(read, &why, error);
  }
  if (error != NULL) *error = why;
  return rc;
}

static int32_t next_chunk(struct shopify_read *read, struct dray_error *error) {
  read->chunk_used = 0;
  read->chunk = dray_str_make(NULL, 0);
  if (!read->in_bulk) return shopify_pages_next(&read->pages, &read->chunk, &read->ended, error);
  read->ended = read->download.client == NULL;
  if (!read->ended) DRAY_TRY(next_lines(read, error));
  if (!read->in_bulk) return DRAY_OK;
  if (read->ended) return end_bulk(read, error);
  read->position.bulk_bytes = read->download.given;
  return DRAY_OK;
}

static int32_t feed(struct shopify_read *read, int32_t *out_full, struct dray_error *error) {
  size_t used = 0;
  DRAY_TRY(dray_json_rows_feed(read->rows, read->chunk.data + read->chunk_used,
                               (size_t)read->chunk.len - read->chunk_used, 0, &used, out_full, error));
  read->chunk_used += used;
  read->progress.bytes += used;
  return DRAY_OK;
}

static int32_t hand_over(struct shopify_read *read, struct ArrowArray *out, struct dray_error *error) {
  read->progress.rows += dray_builder_rows(read->builder);
  return dray_builder_finish(read->builder, out, error);
}

static int32_t break_off(const struct shopify_read *read, struct dray_error *error) {
  if (error != NULL) *error = read->why;
  return read->failed;
}

static int32_t read_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct shopify_read *read = stream->private_data;
  if (!read->begun) DRAY_TRY(begin(read, error));
  if (read->failed != DRAY_OK) return break_off(read, error);
  for (;;) {
    int32_t full = 0;
    if (read->chunk_used < read->chunk.len) DRAY_TRY(feed(read, &full, error));
    if (read->chunk_used == read->chunk.len && !full) {
      read->safe = read->position;
      // A page is a batch at most, so that each can be a checkpoint.
      if (!read->in_bulk && dray_builder_rows(read->builder) > 0) full = 1;
    }
    if (full) return hand_over(read, out, error);
    if (read->ended) return hand_over(read, out, error);
    DRAY_TRY(dray_cancel_check(read->client->services, error));
    dray_error_init(&read->why);
    read->failed = next_chunk(read, &read->why);
    if (read->failed != DRAY_OK && dray_builder_rows(read->builder) > 0) return hand_over(read, out, error);
    if (read->failed != DRAY_OK) return break_off(read, error);
    if (read->ended) read->safe = read->position;
  }
}

// ---- the other slots ----

static int32_t read_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct shopify_read *read = stream->private_data;
  return dray_schema_copy(&read->selection.schema, out, error);
}

static int32_t read_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct shopify_read *read = stream->private_data;
  *out = dray_str_make(NULL, 0);
  if (read->full || !read->has_safe) return DRAY_OK;
  dray_buffer_clear(&read->state);
  DRAY_TRY(shopify_position_write(&read->safe, read->stream->def.name, &read->state, error));
  DRAY_TRY(dray_start_remember(read->start_us, &read->state, error));
  *out = dray_buffer_view(&read->state);
  return DRAY_OK;
}

static void read_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct shopify_read *read = stream->private_data;
  out->rows = read->progress.rows;
  out->bytes = read->progress.bytes;
  out->rows_total = read->progress.rows_total;
  out->bytes_total = read->progress.bytes_total;
}

static void read_free(struct shopify_read *read) {
  shopify_pages_close(&read->pages);
  shopify_download_close(&read->download);
  dray_json_rows_free(read->rows);
  dray_builder_free(read->builder);
  dray_selection_free(&read->selection);
  dray_buffer_free(&read->asked.text);
  dray_buffer_free(&read->state);
  free(read);
}

static void read_close(struct dray_stream *stream) {
  read_free(stream->private_data);
  stream->private_data = NULL;
}

// ---- opening ----

static int32_t make_rows(struct shopify_read *read, const struct dray_read_request *request, struct dray_error *error) {
  char name[128], records[128];
  (void)snprintf(name, sizeof(name), "shopify %s", read->stream->def.name);
  (void)snprintf(records, sizeof(records), "%s[*]", read->stream->below != NULL ? read->stream->below : "");
  const int list = read->stream->kind == SHOPIFY_LIST;
  const int child = read->stream->kind == SHOPIFY_CONNECTION || read->stream->kind == SHOPIFY_NESTED;
  const struct dray_json_rows_options options = {
      .records_path = list ? records : NULL,
      .lines = !list,
      .only_with = child ? "__parentId" : NULL,
      .record_bytes_max = SHOPIFY_BULK_LINE_BYTES_MAX,
      .name = name,
  };
  DRAY_TRY(dray_builder_new(&read->selection.schema, request->batch_rows_max, request->batch_bytes_max, &read->builder,
                            error));
  return dray_json_rows_new(read->selection.fields, read->selection.field_count, &options, read->builder, &read->rows,
                            error);
}

static int32_t make_position(struct shopify_read *read, const struct dray_read_request *request,
                             struct dray_error *error) {
  const struct shopify_settings *settings = read->client->settings;
  const struct dray_str cursor = request->cursor;
  if (cursor.len > 0 && (read->stream->def.cursor == NULL || !dray_str_is(cursor, read->stream->def.cursor))) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "cursor", "the cursor of %s is %s, and no other",
                           read->stream->def.name,
                           read->stream->def.cursor != NULL ? read->stream->def.cursor : "none");
  }
  struct dray_str state = read->full ? dray_str_make(NULL, 0) : request->state;
  read->start_us = settings->start_us;
  DRAY_TRY(dray_start_resume(read->client->services, read->stream->def.name, &read->start_us, &state, error));
  return shopify_position_read(state, read->stream->def.name, read->start_us,
                               settings->lookback_hours * INT64_C(3600) * 1000000, &read->position, error);
}

int32_t shopify_read_open(struct shopify_client *client, const struct shopify_stream *stream,
                          const struct shopify_definitions *definitions, const struct dray_read_request *request,
                          struct dray_stream *out, struct dray_error *error) {
  struct shopify_read *read = calloc(1, sizeof(*read));
  if (read == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stream");
  read->client = client;
  read->stream = stream;
  read->full = request->mode == DRAY_READ_FULL || (stream->def.modes & DRAY_STREAM_INCREMENTAL) == 0;
  read->look = (request->flags & DRAY_READ_LOOK) != 0;
  dray_buffer_init(&read->state, STATE_BYTES_MAX);
  int32_t rc = make_position(read, request, error);
  if (rc == DRAY_OK) {
    rc = dray_selection_make(&stream->def, definitions != NULL ? &definitions->columns : NULL, request->columns,
                             (size_t)request->column_count, 0, 0, &read->selection, error);
  }
  if (rc == DRAY_OK) {
    rc = shopify_selection_make(stream, definitions, read->selection.columns, read->selection.column_count,
                                &read->asked, error);
  }
  if (rc == DRAY_OK) rc = make_rows(read, request, error);
  if (rc != DRAY_OK) {
    read_free(read);
    return rc;
  }
  out->private_data = read;
  out->schema = read_schema;
  out->next = read_next;
  out->state = read_state;
  out->progress = read_progress;
  out->close = read_close;
  return DRAY_OK;
}
