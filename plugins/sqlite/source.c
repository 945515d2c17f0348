// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: the tables and views of a file, read whole or from a cursor on. The file is opened for reading only.
#include "roles.h"

#include <stdlib.h>

#include "stream.h"

#define SQL_BYTES_MAX (1u << 21)
#define OWN_PREFIX "_dray_"

struct dray_source {
  struct connection connection;
};

static int32_t source_spec(struct dray_str *out_json, struct dray_error *error) {
  return connection_spec(1, out_json, error);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof *source);
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  const int32_t code = connection_init(&source->connection, host, config_json, 1, error);
  if (code != DRAY_OK) {
    free(source);
    return code;
  }
  *out = source;
  return DRAY_OK;
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  connection_free(&source->connection);
  free(source);
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  return check_connection(&source->connection, out_json, error);
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  DRAY_TRY(connection_open(&source->connection, error));
  return catalog_discover(&source->connection, out_json, error);
}

// ---- open ----

struct opening {
  struct connection *connection;
  const struct dray_read_request *request;
  struct stream_column *columns; // of the whole table, without dray's own
  size_t column_count;
  struct dray_str *names; // what is given out, in order
  size_t name_count;
  struct cursor cursor;
  struct dray_buffer sql;
  struct dray_error *error;
};

static const struct stream_column *find(const struct opening *opening, struct dray_str name) {
  for (size_t i = 0; i < opening->column_count; i++) {
    if (dray_str_is(name, opening->columns[i].name)) return &opening->columns[i];
  }
  return NULL;
}

static int32_t no_such_column(const struct opening *opening, struct dray_str name, const char *field) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < opening->column_count; i++) dray_nearest_offer(&nearest, opening->columns[i].name);
  return dray_fail_field(opening->error, DRAY_E_SCHEMA_COLUMN, field, "table %.*s has no column '%.*s'%s",
                         DRAY_STR_ARG(opening->request->stream), DRAY_STR_ARG(name), dray_nearest_hint(&nearest));
}

static int32_t learn_table(struct opening *opening) {
  sqlite3_stmt *statement = NULL;
  const struct dray_str stream = opening->request->stream;
  int found = 0;
  DRAY_TRY(catalog_has(opening->connection, stream, &found, opening->error));
  if (!found) {
    return dray_fail(opening->error, DRAY_E_SCHEMA_STREAM, "%s has no table or view '%.*s'",
                     opening->connection->settings.path, DRAY_STR_ARG(stream));
  }
  DRAY_TRY(dray_buffer_append_str(&opening->sql, "SELECT * FROM ", opening->error));
  DRAY_TRY(catalog_quote(stream, &opening->sql, opening->error));
  DRAY_TRY(connection_prepare(opening->connection, dray_buffer_view(&opening->sql), DRAY_E_SCHEMA_STREAM, &statement,
                              opening->error));
  const int32_t code =
      stream_columns(opening->connection, statement, &opening->columns, &opening->column_count, opening->error);
  (void)sqlite3_finalize(statement);
  return code;
}

static int32_t choose_columns(struct opening *opening) {
  const struct dray_read_request *request = opening->request;
  const size_t most = request->column_count > 0 ? (size_t)request->column_count : opening->column_count;
  opening->names = calloc(most + 1, sizeof *opening->names);
  if (opening->names == NULL) {
    return dray_fail(opening->error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", most);
  }
  for (size_t i = 0; i < most; i++) {
    const struct dray_str name =
        request->column_count > 0 ? request->columns[i] : dray_str_of(opening->columns[i].name);
    const int own = name.len >= strlen(OWN_PREFIX) && memcmp(name.data, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
    if (own && request->column_count == 0) continue;
    if (own || find(opening, name) == NULL) return no_such_column(opening, name, "columns");
    opening->names[opening->name_count++] = name;
  }
  return DRAY_OK;
}

static int32_t choose_cursor(struct opening *opening) {
  const struct dray_read_request *request = opening->request;
  if (request->cursor.len == 0) {
    if (request->mode != DRAY_READ_INCREMENTAL) return DRAY_OK;
    return dray_fail_field(opening->error, DRAY_E_CONFIG_MISSING, "cursor",
                           "table %.*s can be read incrementally only by a column that grows with every change: name "
                           "it as `cursor`, or read the table in full",
                           DRAY_STR_ARG(request->stream));
  }
  const struct stream_column *column = find(opening, request->cursor);
  if (column == NULL) return no_such_column(opening, request->cursor, "cursor");
  DRAY_TRY(cursor_init(&opening->cursor, request->stream, request->cursor, column->type, opening->error));
  opening->cursor.column = (int)opening->name_count; // selected behind the columns that are given out
  return request->mode == DRAY_READ_INCREMENTAL
             ? dray_cursor_resume(&opening->cursor.value, request->state, opening->error)
             : DRAY_OK;
}

static int32_t write_select(struct opening *opening, int ordered) {
  struct dray_buffer *sql = &opening->sql;
  const int has_cursor = cursor_in_use(&opening->cursor);
  dray_buffer_clear(sql);
  for (size_t i = 0; i < opening->name_count; i++) {
    DRAY_TRY(dray_buffer_append_str(sql, i == 0 ? "SELECT " : ", ", opening->error));
    DRAY_TRY(catalog_quote(opening->names[i], sql, opening->error));
  }
  if (has_cursor) {
    DRAY_TRY(dray_buffer_append_str(sql, ", ", opening->error));
    DRAY_TRY(catalog_quote(opening->request->cursor, sql, opening->error));
  }
  DRAY_TRY(dray_buffer_append_str(sql, " FROM ", opening->error));
  DRAY_TRY(catalog_quote(opening->request->stream, sql, opening->error));
  if (!has_cursor) return DRAY_OK;
  DRAY_TRY(cursor_condition(&opening->cursor, sql, opening->error));
  if (!ordered) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(sql, " ORDER BY ", opening->error));
  return catalog_quote(opening->request->cursor, sql, opening->error);
}

// Whether SQLite has the order for nothing: an integer cursor that an index (or the table itself) is sorted by. Its
// query plan says so by sorting nothing itself.
static int32_t is_order_free(struct opening *opening, int *out_free) {
  struct dray_buffer *sql = &opening->sql;
  sqlite3_stmt *plan = NULL;
  struct dray_buffer explain;
  *out_free = 0;
  if (opening->cursor.value.kind != DRAY_CURSOR_INTEGER) return DRAY_OK;
  DRAY_TRY(write_select(opening, 1));
  dray_buffer_init(&explain, SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&explain, "EXPLAIN QUERY PLAN ", opening->error);
  if (code == DRAY_OK) code = dray_buffer_append(&explain, sql->data, sql->len, opening->error);
  if (code == DRAY_OK) {
    code = connection_prepare(opening->connection, dray_buffer_view(&explain), DRAY_E_INTERNAL, &plan, opening->error);
  }
  if (code == DRAY_OK) {
    *out_free = 1;
    while (sqlite3_step(plan) == SQLITE_ROW) {
      const char *detail = (const char *)sqlite3_column_text(plan, 3);
      if (detail == NULL || strstr(detail, "TEMP B-TREE") != NULL) *out_free = 0;
    }
  }
  (void)sqlite3_finalize(plan);
  dray_buffer_free(&explain);
  return code;
}

static int32_t start(struct opening *opening, struct dray_stream *out) {
  sqlite3_stmt *statement = NULL;
  int ordered = 0;
  DRAY_TRY(learn_table(opening));
  DRAY_TRY(choose_columns(opening));
  DRAY_TRY(choose_cursor(opening));
  DRAY_TRY(is_order_free(opening, &ordered));
  DRAY_TRY(write_select(opening, ordered));
  opening->cursor.ordered = ordered;
  DRAY_TRY(connection_prepare(opening->connection, dray_buffer_view(&opening->sql), DRAY_E_SCHEMA_STREAM, &statement,
                              opening->error));
  const int32_t code = cursor_bind(&opening->cursor, statement, opening->error);
  if (code != DRAY_OK) {
    (void)sqlite3_finalize(statement);
    return code;
  }
  const struct stream_options options = {.batch_bytes_max = opening->request->batch_bytes_max,
                                         .batch_rows_max = opening->request->batch_rows_max,
                                         .column_count = opening->name_count,
                                         .cursor = &opening->cursor};
  return stream_open(opening->connection, statement, &options, out, opening->error);
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  struct opening opening = {.connection = &source->connection, .request = request, .error = error};
  DRAY_TRY(connection_open(&source->connection, error));
  dray_buffer_init(&opening.sql, SQL_BYTES_MAX);
  const int32_t code = start(&opening, out);
  stream_columns_free(opening.columns, opening.column_count);
  cursor_clear(&opening.cursor);
  dray_buffer_free(&opening.sql);
  free(opening.names);
  return code;
}

static void source_interrupt(struct dray_source *source) {
  connection_interrupt(&source->connection);
}

const struct dray_source_vtable sqlite_source = {
    .struct_size = sizeof sqlite_source,
    .spec = source_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
    .interrupt = source_interrupt,
};
