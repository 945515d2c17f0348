// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A query as a stream of batches: a statement that the server prepares, so that the types are known before the first
// row, and whose rows come in binary as the server makes them, in a read-only transaction. Memory does not grow with
// the result.
#include <stdlib.h>

#include "warehouse.h"

#define DOING "the query failed"
#define STOPPED_ROWS_MAX 100000 // under way when the server heard of it
#define DRAINED_ROWS_MAX 1000   // rather than have the server stop for a few more

struct my_reading {
  struct dray_warehouse *warehouse; // while the link is its own
  struct my_session *session;
  struct my_link *link; // NULL at the end
  int own;              // in a transaction of the plugin's own
  int detached;         // the link is the stream's; under the session's lock
  int ended, zero_is_null;
  MYSQL_STMT *statement;
  struct my_column *columns;
  struct my_cell *cells;
  MYSQL_BIND *binds;
  size_t column_count;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct dray_error why; // of the last row that was spoilt
  uint64_t rows, bytes;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read rows");
}

// ---- the result's columns ----

static int32_t take_name(struct my_reading *reading, size_t index, struct dray_str name, struct dray_error *error) {
  struct my_column *column = &reading->columns[index];
  column->name = dray_str_dup(name);
  if (column->name == NULL) return no_memory(error);
  for (size_t i = 0; i < index; i++) {
    if (strcmp(reading->columns[i].name, column->name) != 0) continue;
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, column->name,
                           "the query has two columns named '%s': give one of them another name with AS", column->name);
  }
  if (dray_column_reserved(column->name)) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, column->name,
                           "a column named '%s' means something else to dray: rename it with AS", column->name);
  }
  return DRAY_OK;
}

static int32_t take_columns(struct my_reading *reading, MYSQL_RES *metadata, struct dray_error *error) {
  const size_t count = mysql_num_fields(metadata);
  reading->columns = calloc(count, sizeof *reading->columns);
  reading->cells = calloc(count, sizeof *reading->cells);
  reading->binds = calloc(count, sizeof *reading->binds);
  if (reading->columns == NULL || reading->cells == NULL || reading->binds == NULL) return no_memory(error);
  reading->column_count = count;
  for (size_t i = 0; i < count; i++) {
    const MYSQL_FIELD *field = mysql_fetch_field_direct(metadata, (unsigned int)i);
    DRAY_TRY(take_name(reading, i, dray_str_make(field->name, field->name_length), error));
    my_column_decide(field, &reading->columns[i]);
    DRAY_TRY(my_cell_init(&reading->cells[i], &reading->columns[i], &reading->binds[i], error));
  }
  return DRAY_OK;
}

static int32_t make_schema(struct my_reading *reading, struct dray_error *error) {
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

// What the server says that the statement returns, before it is run.
static int32_t describe(struct my_reading *reading, struct dray_error *error) {
  if (mysql_stmt_param_count(reading->statement) > 0) {
    return dray_fail(error, DRAY_E_CONFIG_SQL, "the query has a parameter (?), and nothing is given for it");
  }
  MYSQL_RES *metadata = mysql_stmt_result_metadata(reading->statement);
  if (metadata == NULL) {
    return dray_fail(error, DRAY_E_CONFIG_SQL, "the statement returns no columns: a SELECT is needed");
  }
  int32_t code = take_columns(reading, metadata, error);
  mysql_free_result(metadata);
  if (code == DRAY_OK) code = make_schema(reading, error);
  return code;
}

// ---- the end ----

void my_reading_detach(struct my_reading *reading) {
  reading->detached = 1;
  reading->warehouse = NULL;
}

// The link goes back to the instance, or is closed when it became the stream's own.
static void let_go(struct my_reading *reading) {
  struct my_session *session = reading->session;
  struct my_link *own = NULL;
  pthread_mutex_lock(&session->lock);
  if (reading->detached) {
    own = reading->link;
  } else if (reading->warehouse != NULL && reading->warehouse->reading == reading) {
    reading->warehouse->reading = NULL;
  }
  reading->link = NULL;
  pthread_mutex_unlock(&session->lock);
  my_link_free(own);
}

// All rows are there.
static int32_t finish(struct my_reading *reading, struct dray_error *error) {
  struct my_link *link = reading->link;
  int32_t code = DRAY_OK;
  my_stmt_close(link, reading->statement);
  reading->statement = NULL;
  my_link_settle(link);
  if (reading->own) {
    code = my_link_run(link, "COMMIT", "ending a query", error);
    if (code != DRAY_OK) my_link_rollback(link);
  }
  reading->ended = 1;
  let_go(reading);
  return code;
}

static int fetch(struct my_reading *reading) {
  int result = 0;
  int status = mysql_stmt_fetch_start(&result, reading->statement);
  while (status != 0) status = mysql_stmt_fetch_cont(&result, reading->statement, my_link_wait(reading->link, status));
  return result;
}

// Given up before its end. The rows that are left must be read, or nothing else could be said on the connection: a few
// are, and then the server is asked to stop. A stopped SELECT leaves the host's transaction as it is.
static void give_up(struct my_reading *reading) {
  struct my_link *link = reading->link;
  if (link == NULL) return;
  int left = reading->statement != NULL && !reading->ended && !my_link_broken(link);
  int stopped = 0;
  link->closing = reading->own; // a connection that nothing else needs
  for (int rows = 0; left && rows < DRAINED_ROWS_MAX; rows++) {
    const int result = fetch(reading);
    left = result == 0 || result == MYSQL_DATA_TRUNCATED;
  }
  if (left && !my_link_broken(link)) {
    my_link_start(link); // asked once more, whoever has asked before
    my_session_cancel(link);
    link->closing = stopped = 1;
    for (int rows = 0; left && rows < STOPPED_ROWS_MAX; rows++) {
      const int result = fetch(reading);
      left = result == 0 || result == MYSQL_DATA_TRUNCATED;
    }
    if (left) my_link_drop(link); // it goes on sending: nothing else ends it
  }
  my_stmt_close(link, reading->statement); // reads what is still under way
  reading->statement = NULL;
  my_link_settle(link);
  if (stopped) my_link_cleanse(link);
  if (reading->own) my_link_rollback(link);
  link->closing = 0;
  let_go(reading);
}

static void reading_free(struct my_reading *reading) {
  if (reading == NULL) return;
  give_up(reading);
  for (size_t i = 0; i < reading->column_count; i++) my_cell_free(&reading->cells[i]);
  my_columns_free(reading->columns, reading->column_count);
  free(reading->cells);
  free(reading->binds);
  dray_schema_release(&reading->schema);
  dray_builder_free(reading->builder);
  free(reading);
}

// ---- rows ----

// A value that did not fit into its place is fetched again into a larger one, which later rows use as well.
static int32_t fetch_rest(struct my_reading *reading, struct dray_error *error) {
  int grown = 0;
  for (size_t i = 0; i < reading->column_count; i++) {
    struct my_cell *cell = &reading->cells[i];
    if (cell->data == NULL || cell->is_null || cell->length <= cell->capacity) continue;
    DRAY_TRY(my_cell_grow(cell, &reading->binds[i], error));
    if (mysql_stmt_fetch_column(reading->statement, &reading->binds[i], (unsigned int)i, 0) != 0) {
      return my_fail(reading->link, my_refusal_of(reading->link, reading->statement), MY_FOR_QUERY, DOING, error);
    }
    grown = 1;
  }
  if (grown && mysql_stmt_bind_result(reading->statement, reading->binds) != 0) return no_memory(error);
  return DRAY_OK;
}

static int32_t take_row(struct my_reading *reading, int32_t *out_full, struct dray_error *error) {
  for (size_t i = 0; i < reading->column_count; i++) {
    const struct my_cell *cell = &reading->cells[i];
    reading->bytes += cell->is_null ? 0 : cell->data != NULL ? cell->length : 8;
    const int32_t code =
        my_decode(&reading->columns[i], cell, reading->zero_is_null, reading->builder, i, &reading->why);
    if (code != DRAY_OK) DRAY_TRY(dray_builder_misfit(reading->builder, i, &reading->why, error));
  }
  return dray_builder_end_row(reading->builder, out_full, error);
}

static int32_t next_row(struct my_reading *reading, int32_t *out_full, struct dray_error *error) {
  const int result = fetch(reading);
  if (result == MYSQL_NO_DATA) return finish(reading, error);
  if (result != 0 && result != MYSQL_DATA_TRUNCATED) {
    const int32_t code =
        my_fail(reading->link, my_refusal_of(reading->link, reading->statement), MY_FOR_QUERY, DOING, error);
    reading->ended = 1; // nothing is on its way any more
    return code;
  }
  DRAY_TRY(fetch_rest(reading, error));
  return take_row(reading, out_full, error);
}

// ---- the stream's slots ----

static int32_t slot_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct my_reading *reading = stream->private_data;
  return dray_schema_copy(&reading->schema, out, error);
}

static int32_t slot_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct my_reading *reading = stream->private_data;
  int32_t full = 0;
  DRAY_TRY(dray_cancel_check(&reading->session->services, error));
  while (!full && !reading->ended) {
    if (reading->link == NULL || my_link_broken(reading->link)) {
      return dray_fail(error, DRAY_E_NET_CLOSED, DOING ": its connection is lost");
    }
    DRAY_TRY(next_row(reading, &full, error));
  }
  const uint64_t rows = dray_builder_rows(reading->builder);
  DRAY_TRY(dray_builder_finish(reading->builder, out, error));
  reading->rows += rows;
  return DRAY_OK;
}

static void slot_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct my_reading *reading = stream->private_data;
  out->rows = reading->rows;
  out->bytes = reading->bytes;
}

static void slot_close(struct dray_stream *stream) {
  reading_free(stream->private_data);
  stream->private_data = NULL;
}

// ---- opening ----

static int32_t start(struct my_reading *reading, struct dray_str sql, struct dray_error *error) {
  struct my_link *link = reading->link;
  my_link_start(link);
  DRAY_TRY(my_stmt_prepare(link, sql, MY_FOR_QUERY, "the SQL was refused", &reading->statement, error));
  DRAY_TRY(describe(reading, error));
  DRAY_TRY(my_stmt_execute(link, reading->statement, MY_FOR_QUERY, DOING, error));
  if (mysql_stmt_bind_result(reading->statement, reading->binds) != 0) {
    return my_fail(link, my_refusal_of(link, reading->statement), MY_FOR_QUERY, DOING, error);
  }
  return DRAY_OK;
}

int32_t my_query_open(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                      uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  if (sql.len > 0 && memchr(sql.data, '\0', sql.len) != NULL) {
    return dray_fail(error, DRAY_E_CONFIG_SQL, "the SQL holds a NUL byte");
  }
  struct my_reading *reading = calloc(1, sizeof *reading);
  if (reading == NULL) return no_memory(error);
  reading->session = &warehouse->session;
  dray_error_init(&reading->why);
  int32_t code = my_own_begin(warehouse, 1, &reading->own, error);
  if (code != DRAY_OK) goto done;
  reading->warehouse = warehouse;
  reading->link = warehouse->link;
  reading->zero_is_null = strcmp(warehouse->session.settings.zero_dates, "null") == 0;
  code = start(reading, sql, error);
  if (code == DRAY_OK) {
    code = dray_builder_new(&reading->schema, batch_rows_max, batch_bytes_max, &reading->builder, error);
  } else {
    reading->ended = 1; // nothing is on its way
  }
  if (code != DRAY_OK) goto done;
  pthread_mutex_lock(&warehouse->session.lock);
  warehouse->reading = reading;
  pthread_mutex_unlock(&warehouse->session.lock);
  out->private_data = reading;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = NULL;
  out->progress = slot_progress;
  out->close = slot_close;
done:
  if (code != DRAY_OK) reading_free(reading);
  return code;
}
