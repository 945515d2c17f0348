// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Stepping a statement into batches. Types come from the declarations of the columns; where there are none
// (expressions, undeclared columns) the first rows are kept back and their storage classes decide. Memory does not grow
// with the result.
#include "stream.h"

#include <stdlib.h>

#define SAMPLE_ROWS_MAX 1000
#define SAMPLE_BYTES_MAX (1u << 20)

// Rows that were read before the types were known.
struct sample {
  sqlite3_value **values; // row by row, owned
  size_t row_count, row_capacity, next;
  uint64_t bytes;
};

struct reading {
  struct connection *connection;
  sqlite3_stmt *statement; // owned
  struct stream_column *columns;
  size_t column_count;
  size_t width; // columns of the statement, the cursor's included
  struct sample sample;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct cursor cursor;
  struct dray_error why; // of the last row that was spoilt
  int ended;             // the statement has no more rows
  uint64_t rows;
};

void stream_columns_free(struct stream_column *columns, size_t count) {
  for (size_t i = 0; columns != NULL && i < count; i++) free(columns[i].name);
  free(columns);
}

static void sample_free(struct sample *sample, size_t width) {
  for (size_t i = 0; i < sample->row_count * width; i++) sqlite3_value_free(sample->values[i]);
  free(sample->values);
  *sample = (struct sample){NULL, 0, 0, 0, 0};
}

static void reading_free(struct reading *reading) {
  if (reading == NULL) return;
  sample_free(&reading->sample, reading->width);
  (void)sqlite3_finalize(reading->statement);
  stream_columns_free(reading->columns, reading->column_count);
  dray_schema_release(&reading->schema);
  dray_builder_free(reading->builder);
  cursor_clear(&reading->cursor);
  free(reading);
}

// ---- types ----

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read rows");
}

// One step. *out_row = 0 at the end, where the statement lets go of its locks.
static int32_t step(struct reading *reading, int *out_row, struct dray_error *error) {
  *out_row = 0;
  if (reading->ended) return DRAY_OK;
  const int rc = sqlite3_step(reading->statement);
  *out_row = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW) return DRAY_OK;
  if (rc != SQLITE_DONE) {
    return connection_fail(reading->connection, rc, DRAY_E_CONFIG_SQL, "reading rows", error);
  }
  reading->ended = 1;
  (void)sqlite3_reset(reading->statement);
  return DRAY_OK;
}

static int32_t keep_row(struct reading *reading, struct dray_error *error) {
  struct sample *sample = &reading->sample;
  if (sample->row_count == sample->row_capacity) {
    const size_t capacity = sample->row_capacity == 0 ? 16 : sample->row_capacity * 2;
    sqlite3_value **grown = realloc(sample->values, capacity * reading->width * sizeof *grown);
    if (grown == NULL) return no_memory(error);
    sample->values = grown;
    sample->row_capacity = capacity;
  }
  sqlite3_value **row = &sample->values[sample->row_count * reading->width];
  for (size_t i = 0; i < reading->width; i++) {
    row[i] = sqlite3_value_dup(sqlite3_column_value(reading->statement, (int)i));
    if (row[i] == NULL) {
      while (i > 0) sqlite3_value_free(row[--i]);
      return no_memory(error);
    }
    sample->bytes += 64 + (uint64_t)sqlite3_column_bytes(reading->statement, (int)i);
  }
  sample->row_count++;
  return DRAY_OK;
}

static int32_t decide_types(struct reading *reading, struct dray_error *error) {
  unsigned *storages = calloc(reading->column_count, sizeof *storages);
  int32_t code = storages == NULL ? no_memory(error) : DRAY_OK;
  int row = 1;
  while (code == DRAY_OK && row && reading->sample.row_count < SAMPLE_ROWS_MAX &&
         reading->sample.bytes < SAMPLE_BYTES_MAX) {
    code = step(reading, &row, error);
    for (size_t i = 0; code == DRAY_OK && row && i < reading->column_count; i++) {
      storages[i] |= 1u << sqlite3_column_type(reading->statement, (int)i);
    }
    if (code == DRAY_OK && row) code = keep_row(reading, error);
  }
  for (size_t i = 0; code == DRAY_OK && i < reading->column_count; i++) {
    if (reading->columns[i].type.id == 0) reading->columns[i].type = cell_type_of(storages[i]);
  }
  free(storages);
  return code;
}

static int32_t take_name(struct reading *reading, size_t index, struct dray_error *error) {
  const char *name = sqlite3_column_name(reading->statement, (int)index);
  if (name == NULL) return no_memory(error);
  for (size_t i = 0; i < index; i++) {
    if (strcmp(reading->columns[i].name, name) != 0) continue;
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name,
                           "the query has two columns named '%s': give one of them another name with AS", name);
  }
  if (dray_column_reserved(name)) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name,
                           "a column named '%s' means something else to dray: rename it with AS", name);
  }
  reading->columns[index].name = dray_str_dup(dray_str_of(name));
  return reading->columns[index].name != NULL ? DRAY_OK : no_memory(error);
}

// Names and types of the statement's columns.
static int32_t learn_columns(struct reading *reading, size_t wanted, struct dray_error *error) {
  int undecided = 0;
  reading->width = (size_t)sqlite3_column_count(reading->statement);
  const size_t count = wanted > 0 ? wanted : reading->width;
  if (count == 0) return dray_fail(error, DRAY_E_CONFIG_SQL, "the statement returns no columns: a SELECT is needed");
  reading->columns = calloc(count, sizeof *reading->columns);
  if (reading->columns == NULL) return no_memory(error);
  reading->column_count = count;
  for (size_t i = 0; i < count; i++) {
    DRAY_TRY(take_name(reading, i, error));
    reading->columns[i].type = sqlite_type_of(sqlite3_column_decltype(reading->statement, (int)i), 0);
    undecided = undecided || reading->columns[i].type.id == 0;
  }
  return undecided ? decide_types(reading, error) : DRAY_OK;
}

int32_t stream_columns(struct connection *connection, sqlite3_stmt *statement, struct stream_column **out,
                       size_t *out_count, struct dray_error *error) {
  struct reading reading = {.connection = connection, .statement = statement};
  const int32_t code = learn_columns(&reading, 0, error);
  sample_free(&reading.sample, reading.width);
  (void)sqlite3_reset(statement);
  if (code != DRAY_OK) {
    stream_columns_free(reading.columns, reading.column_count);
    return code;
  }
  *out = reading.columns;
  *out_count = reading.column_count;
  return DRAY_OK;
}

static int32_t make_schema(struct reading *reading, struct dray_error *error) {
  const size_t count = reading->column_count;
  struct dray_column_def *defs = calloc(count + 1, sizeof *defs);
  if (defs == NULL) return no_memory(error);
  for (size_t i = 0; i < count; i++) {
    defs[i] = (struct dray_column_def){reading->columns[i].name, reading->columns[i].type, 1};
  }
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1};
  const int32_t code = dray_schema_make(defs, count + 1, &reading->schema, error);
  free(defs);
  return code;
}

// ---- rows ----

static struct cell cell_at(struct reading *reading, size_t column) {
  const struct sample *sample = &reading->sample;
  if (sample->next < sample->row_count) return cell_of_value(sample->values[sample->next * reading->width + column]);
  return cell_of_column(reading->statement, (int)column);
}

static int32_t append_row(struct reading *reading, int32_t *out_full, struct dray_error *error) {
  int bad = 0;
  for (size_t i = 0; i < reading->column_count; i++) {
    const struct cell cell = cell_at(reading, i);
    const int32_t code = cell_append(&cell, reading->columns[i].type, reading->builder, i, &reading->why);
    if (code != DRAY_OK) {
      DRAY_TRY(dray_builder_misfit(reading->builder, i, &reading->why, error));
      bad = 1;
    }
  }
  if (!bad && cursor_in_use(&reading->cursor)) {
    const struct cell cell = cell_at(reading, (size_t)reading->cursor.column);
    DRAY_TRY(cursor_note(&reading->cursor, &cell, error));
  }
  return dray_builder_end_row(reading->builder, out_full, error);
}

static int32_t append_kept_rows(struct reading *reading, int32_t *out_full, struct dray_error *error) {
  struct sample *sample = &reading->sample;
  while (sample->next < sample->row_count && !*out_full) {
    DRAY_TRY(append_row(reading, out_full, error));
    sample->next++;
  }
  if (sample->next == sample->row_count && sample->values != NULL) sample_free(sample, reading->width);
  return DRAY_OK;
}

// ---- the stream's slots ----

static int32_t slot_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct reading *reading = stream->private_data;
  return dray_schema_copy(&reading->schema, out, error);
}

static int32_t slot_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct reading *reading = stream->private_data;
  int32_t full = 0;
  int row = 1;
  DRAY_TRY(dray_cancel_check(&reading->connection->services, error));
  DRAY_TRY(append_kept_rows(reading, &full, error));
  while (!full) {
    DRAY_TRY(step(reading, &row, error));
    if (!row) break;
    DRAY_TRY(append_row(reading, &full, error));
  }
  const uint64_t rows = dray_builder_rows(reading->builder);
  DRAY_TRY(dray_builder_finish(reading->builder, out, error));
  reading->rows += rows;
  return DRAY_OK;
}

static int32_t slot_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct reading *reading = stream->private_data;
  struct cursor *cursor = &reading->cursor;
  const int all_given = reading->ended && reading->sample.values == NULL;
  *out = dray_str_make(NULL, 0);
  if (!cursor_in_use(cursor) || !(all_given || cursor->ordered)) return DRAY_OK;
  return dray_cursor_state(&cursor->value, out, error);
}

static void slot_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct reading *reading = stream->private_data;
  out->rows = reading->rows;
}

static void slot_close(struct dray_stream *stream) {
  reading_free(stream->private_data);
  stream->private_data = NULL;
}

int32_t stream_open(struct connection *connection, sqlite3_stmt *statement, const struct stream_options *options,
                    struct dray_stream *out, struct dray_error *error) {
  struct reading *reading = calloc(1, sizeof *reading);
  if (reading == NULL) {
    (void)sqlite3_finalize(statement);
    return no_memory(error);
  }
  reading->connection = connection;
  reading->statement = statement;
  dray_error_init(&reading->why);
  if (options->cursor != NULL) {
    reading->cursor = *options->cursor;
    *options->cursor = (struct cursor){.ordered = 0};
  }
  int32_t code = learn_columns(reading, options->column_count, error);
  if (code == DRAY_OK) code = make_schema(reading, error);
  if (code == DRAY_OK) {
    code =
        dray_builder_new(&reading->schema, options->batch_rows_max, options->batch_bytes_max, &reading->builder, error);
  }
  if (code != DRAY_OK) {
    reading_free(reading);
    return code;
  }
  out->private_data = reading;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = options->cursor != NULL ? slot_state : NULL;
  out->progress = slot_progress;
  out->close = slot_close;
  return DRAY_OK;
}
