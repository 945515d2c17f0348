// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Names of tables as names of streams, and a query's rows with their cursor. Nothing is known of an order: the one safe
// place of a read is its end, where every row up to the greatest value has been given out.
#include "dray/sdk/table_stream.h"

#include <stdlib.h>

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read a table");
}

// ---- names ----

static int is_plain(struct dray_str part) {
  return part.len > 0 && memchr(part.data, '.', part.len) == NULL && memchr(part.data, '"', part.len) == NULL;
}

static int32_t write_part(struct dray_str part, struct dray_buffer *out, struct dray_error *error) {
  if (is_plain(part)) return dray_buffer_append(out, part.data, part.len, error);
  DRAY_TRY(dray_buffer_append_char(out, '"', error));
  for (uint64_t i = 0; i < part.len; i++) {
    if (part.data[i] == '"') DRAY_TRY(dray_buffer_append_char(out, '"', error));
    DRAY_TRY(dray_buffer_append_char(out, part.data[i], error));
  }
  return dray_buffer_append_char(out, '"', error);
}

int32_t dray_table_name_write(struct dray_str schema, struct dray_str table, struct dray_buffer *out,
                              struct dray_error *error) {
  if (schema.len > 0) {
    DRAY_TRY(write_part(schema, out, error));
    DRAY_TRY(dray_buffer_append_char(out, '.', error));
  }
  return write_part(table, out, error);
}

// Reads one part of a name at *at. DRAY_E_SCHEMA_STREAM: it is none.
static int32_t read_part(struct dray_str name, uint64_t *at, struct dray_buffer *out) {
  const int quoted = *at < name.len && name.data[*at] == '"';
  const size_t before = out->len;
  int open = quoted;
  if (quoted) (*at)++;
  for (; *at < name.len; (*at)++) {
    const char c = name.data[*at];
    if (quoted && c == '"') {
      open = ++*at < name.len && name.data[*at] == '"'; // two of them are one
      if (!open) break;
    } else if (c == '\0' || (!quoted && (c == '.' || c == '"'))) {
      break;
    }
    const int32_t code = dray_buffer_append_char(out, c, NULL);
    if (code != DRAY_OK) return code == DRAY_E_OUT_OF_MEMORY ? code : DRAY_E_SCHEMA_STREAM;
  }
  return open || out->len == before ? DRAY_E_SCHEMA_STREAM : DRAY_OK;
}

int32_t dray_table_name_read(struct dray_str stream, struct dray_buffer *out_schema, struct dray_buffer *out_table,
                             struct dray_error *error) {
  struct dray_buffer first;
  uint64_t at = 0;
  dray_buffer_init(&first, stream.len + 1);
  int32_t code = read_part(stream, &at, &first);
  const int two = code == DRAY_OK && at < stream.len && stream.data[at] == '.';
  if (two) {
    at++;
    code = read_part(stream, &at, out_table);
  }
  if (code == DRAY_OK && at != stream.len) code = DRAY_E_SCHEMA_STREAM;
  if (code == DRAY_OK) code = dray_buffer_append(two ? out_schema : out_table, first.data, first.len, NULL);
  if (code == DRAY_E_OUT_OF_MEMORY) {
    code = no_memory(error);
  } else if (code != DRAY_OK) {
    code = dray_fail(error, DRAY_E_SCHEMA_STREAM, "'%.*s' is no name of a table: TABLE, or SCHEMA.TABLE",
                     DRAY_STR_ARG(stream));
  }
  dray_buffer_free(&first);
  return code;
}

// ---- the stream: a query's, with the cursor's column hidden where it is only that ----

struct reading {
  struct dray_table_stream with;
  struct ArrowSchema schema; // of the query
  char *end_state;           // owned
  int ended;
};

static void let_go(struct dray_table_stream *with) {
  if (with->inner.close != NULL) with->inner.close(&with->inner);
  dray_cursor_free(&with->cursor);
  *with = (struct dray_table_stream){.services = NULL};
}

static void reading_free(struct reading *reading) {
  if (reading == NULL) return;
  let_go(&reading->with);
  dray_schema_release(&reading->schema);
  free(reading->end_state);
  free(reading);
}

static int32_t slot_schema(struct dray_stream *self, struct ArrowSchema *out, struct dray_error *error) {
  const struct reading *reading = self->private_data;
  struct ArrowSchema shown = reading->schema;
  struct ArrowSchema **children = calloc((size_t)shown.n_children, sizeof *children);
  if (children == NULL) return no_memory(error);
  int64_t count = 0;
  for (int64_t i = 0; i < reading->schema.n_children; i++) {
    if (!reading->with.hidden || i != reading->with.cursor_at) children[count++] = reading->schema.children[i];
  }
  shown.children = children;
  shown.n_children = count;
  shown.release = NULL;
  shown.private_data = NULL;
  const int32_t code = dray_schema_copy(&shown, out, error);
  free(children);
  return code;
}

// A batch without one of its columns: the whole one is kept inside until it is released.
struct narrowed {
  struct ArrowArray whole;
  struct ArrowArray *children[];
};

static void release_narrowed(struct ArrowArray *array) {
  struct narrowed *narrowed = array->private_data;
  dray_array_release(&narrowed->whole);
  free(narrowed);
  array->release = NULL;
}

static int32_t hide_column(struct ArrowArray *array, int64_t hidden, struct dray_error *error) {
  struct narrowed *narrowed = calloc(1, sizeof *narrowed + (size_t)array->n_children * sizeof(void *));
  if (narrowed == NULL) return no_memory(error);
  int64_t count = 0;
  for (int64_t i = 0; i < array->n_children; i++) {
    if (i != hidden) narrowed->children[count++] = array->children[i];
  }
  narrowed->whole = *array;
  array->children = narrowed->children;
  array->n_children = count;
  array->private_data = narrowed;
  array->release = release_narrowed;
  return DRAY_OK;
}

static int32_t note(struct reading *reading, const struct ArrowArray *array, struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, &reading->schema, array, error));
  const ptrdiff_t bad = dray_view_find(&view, dray_str_of(DRAY_COLUMN_ERROR));
  const int32_t code = dray_cursor_note_column(&reading->with.cursor, &view.columns[reading->with.cursor_at],
                                               bad >= 0 ? &view.columns[bad] : NULL, view.row_count, error);
  dray_view_free(&view);
  return code;
}

static void tell_of_nulls(const struct reading *reading) {
  const struct dray_cursor *cursor = &reading->with.cursor;
  if (cursor->null_count == 0) return;
  dray_log_printf(reading->with.services, DRAY_LOG_WARN,
                  "%s: %llu rows have no value in the cursor '%s': they are read each time", cursor->stream,
                  (unsigned long long)cursor->null_count, cursor->column);
}

static int32_t slot_next(struct dray_stream *self, struct ArrowArray *out, struct dray_error *error) {
  struct reading *reading = self->private_data;
  struct ArrowArray array = {.release = NULL};
  DRAY_TRY(reading->with.inner.next(&reading->with.inner, &array, error));
  int32_t code = DRAY_OK;
  if (array.release == NULL) {
    if (!reading->ended) tell_of_nulls(reading);
    reading->ended = 1;
  } else if (reading->with.cursor.kind != DRAY_CURSOR_NONE) {
    code = note(reading, &array, error);
    if (code == DRAY_OK && reading->with.hidden) code = hide_column(&array, reading->with.cursor_at, error);
  }
  if (code != DRAY_OK) {
    dray_array_release(&array);
    return code;
  }
  *out = array;
  return DRAY_OK;
}

static int32_t slot_state(struct dray_stream *self, struct dray_str *out, struct dray_error *error) {
  struct reading *reading = self->private_data;
  *out = dray_str_make(NULL, 0);
  if (!reading->ended) return DRAY_OK;
  if (reading->with.cursor.kind != DRAY_CURSOR_NONE) return dray_cursor_state(&reading->with.cursor, out, error);
  *out = dray_str_of(reading->end_state);
  return DRAY_OK;
}

static void slot_progress(struct dray_stream *self, struct dray_progress *out) {
  struct reading *reading = self->private_data;
  reading->with.inner.progress(&reading->with.inner, out);
}

static void slot_close(struct dray_stream *self) {
  reading_free(self->private_data);
  self->private_data = NULL;
}

int32_t dray_table_stream_open(struct dray_table_stream *from, struct dray_stream *out, struct dray_error *error) {
  struct reading *reading = calloc(1, sizeof *reading);
  if (reading == NULL) {
    let_go(from);
    return no_memory(error);
  }
  reading->with = *from;
  *from = (struct dray_table_stream){.services = NULL};
  reading->end_state = dray_str_dup(reading->with.end_state);
  reading->with.end_state = dray_str_make(NULL, 0);
  int32_t code = reading->end_state != NULL ? DRAY_OK : no_memory(error);
  if (code == DRAY_OK) code = reading->with.inner.schema(&reading->with.inner, &reading->schema, error);
  if (code != DRAY_OK) {
    reading_free(reading);
    return code;
  }
  out->private_data = reading;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = slot_state;
  out->progress = slot_progress;
  out->close = slot_close;
  return DRAY_OK;
}
