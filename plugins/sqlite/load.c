// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading: one prepared INSERT with bound values, kept from batch to batch. Inside a transaction this is what sqlite3's
// own .import does, and the engine's fastest way in.
#include <math.h>
#include <stdlib.h>

#include "connection.h"

#define SQL_BYTES_MAX (1u << 21)
#define CANCEL_ROWS 1024

void load_end(struct connection *connection) {
  (void)sqlite3_finalize(connection->load.statement);
  free(connection->load.target);
  free(connection->load.texts);
  connection->load = (struct sqlite_load){.statement = NULL};
}

// ---- values ----
// Bytes stay where they are until the statement is reset, which is before the batch goes; so do values that are written
// out as text, where the caller has a place for that.

struct place {
  char *text; // DRAY_FORMAT_BYTES_MAX
  sqlite3_destructor_type stays;
};

// "2024-05-01T10:00:00.5Z" is stored as SQLite's own date functions write it, with a blank and without the Z.
static size_t write_timestamp(int64_t us, char *text) {
  const size_t len = dray_format_timestamp(us, text);
  char *const t = memchr(text, 'T', len);
  if (t != NULL) *t = ' ';
  return len > 0 && text[len - 1] == 'Z' ? len - 1 : len;
}

static int bind_short(sqlite3_stmt *statement, int parameter, struct place place, size_t len) {
  return sqlite3_bind_text(statement, parameter, place.text, (int)len, place.stays);
}

static int bind_bytes(sqlite3_stmt *statement, int parameter, struct dray_str bytes, int32_t type) {
  const char *data = bytes.len > 0 ? bytes.data : "";
  if (type == DRAY_TYPE_BYTES) return sqlite3_bind_blob64(statement, parameter, data, bytes.len, SQLITE_STATIC);
  return sqlite3_bind_text64(statement, parameter, data, bytes.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int bind(sqlite3_stmt *statement, int parameter, const struct dray_column_view *column, uint64_t row,
                struct place place) {
  double real = 0;
  if (dray_column_is_null(column, row)) return sqlite3_bind_null(statement, parameter);
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    return sqlite3_bind_int(statement, parameter, dray_column_bool(column, row) != 0);
  case DRAY_TYPE_INT64:
    return sqlite3_bind_int64(statement, parameter, dray_column_int64(column, row));
  case DRAY_TYPE_FLOAT64:
    real = dray_column_float64(column, row);
    if (isnan(real)) return sqlite3_bind_text(statement, parameter, "NaN", 3, SQLITE_STATIC); // as a double: NULL
    return sqlite3_bind_double(statement, parameter, real);
  case DRAY_TYPE_DECIMAL:
    return bind_short(statement, parameter, place,
                      dray_format_decimal(dray_column_decimal(column, row), column->type.scale, place.text));
  case DRAY_TYPE_DATE:
    return bind_short(statement, parameter, place, dray_format_date(dray_column_date(column, row), place.text));
  case DRAY_TYPE_TIMESTAMP:
    return bind_short(statement, parameter, place, write_timestamp(dray_column_int64(column, row), place.text));
  default:
    return bind_bytes(statement, parameter, dray_column_bytes(column, row), column->type.id);
  }
}

int32_t load_bind(struct connection *connection, sqlite3_stmt *statement, int parameter,
                  const struct dray_column_view *column, uint64_t row, char *text, struct dray_error *error) {
  char own[DRAY_FORMAT_BYTES_MAX];
  const struct place place = text != NULL ? (struct place){text, SQLITE_STATIC} : (struct place){own, SQLITE_TRANSIENT};
  const int rc = bind(statement, parameter, column, row, place);
  if (rc == SQLITE_OK) return DRAY_OK;
  const int32_t code = connection_fail(connection, rc, DRAY_E_INTERNAL, "binding a value", error);
  (void)dray_error_prefix(error, "column '%s'", column->name);
  return code;
}

// ---- rows ----

static int32_t write_insert(struct dray_buffer *sql, struct dray_str schema, struct dray_str table,
                            const struct dray_view *view, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(sql, "INSERT INTO ", error));
  if (schema.len > 0) {
    DRAY_TRY(catalog_quote(schema, sql, error));
    DRAY_TRY(dray_buffer_append_char(sql, '.', error));
  }
  DRAY_TRY(catalog_quote(table, sql, error));
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(dray_buffer_append_char(sql, i == 0 ? '(' : ',', error));
    DRAY_TRY(catalog_quote(dray_str_of(view->columns[i].name), sql, error));
  }
  DRAY_TRY(dray_buffer_append_str(sql, ") VALUES ", error));
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(dray_buffer_append_str(sql, i == 0 ? "(?" : ",?", error));
  }
  return dray_buffer_append_char(sql, ')', error);
}

// The statement of the load that is going on, or a new one.
static int32_t begin_load(struct connection *connection, struct dray_str schema, struct dray_str table,
                          const struct dray_view *view, struct dray_error *error) {
  struct sqlite_load *load = &connection->load;
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_insert(&sql, schema, table, view, error);
  if (code != DRAY_OK || (load->target != NULL && strcmp(load->target, sql.data) == 0)) goto done;
  load_end(connection);
  load->target = dray_str_dup(dray_buffer_view(&sql));
  load->texts = malloc((view->column_count + 1) * DRAY_FORMAT_BYTES_MAX);
  if (load->target == NULL || load->texts == NULL) {
    load_end(connection);
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
    goto done;
  }
  const int rc =
      sqlite3_prepare_v3(connection->db, sql.data, (int)sql.len + 1, SQLITE_PREPARE_PERSISTENT, &load->statement, NULL);
  if (rc == SQLITE_OK) goto done;
  code = connection_fail(connection, rc, DRAY_E_CONFIG_SQL, "loading", error);
  load_end(connection);
done:
  dray_buffer_free(&sql);
  return code;
}

static int32_t insert_row(struct connection *connection, const struct dray_view *view, uint64_t row,
                          struct dray_error *error) {
  sqlite3_stmt *statement = connection->load.statement;
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(load_bind(connection, statement, (int)i + 1, &view->columns[i], row,
                       connection->load.texts + i * DRAY_FORMAT_BYTES_MAX, error));
  }
  const int rc = sqlite3_step(statement);
  if (rc == SQLITE_DONE) {
    (void)sqlite3_reset(statement);
    return DRAY_OK;
  }
  const int32_t code = connection_fail(connection, rc, DRAY_E_DATA_REJECTED, "loading", error);
  (void)sqlite3_reset(statement);
  return code;
}

static int32_t insert_rows(struct connection *connection, const struct dray_view *view, struct dray_error *error) {
  for (uint64_t row = 0; row < view->row_count; row++) {
    if (row % CANCEL_ROWS == 0) DRAY_TRY(dray_cancel_check(&connection->services, error));
    DRAY_TRY(insert_row(connection, view, row, error));
  }
  return DRAY_OK;
}

int32_t load_batch(struct connection *connection, struct dray_str schema, struct dray_str table,
                   const struct ArrowSchema *batch_schema, const struct ArrowArray *batch, struct dray_error *error) {
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, batch_schema, batch, error));
  int32_t code = begin_load(connection, schema, table, &view, error);
  if (code == DRAY_OK) code = insert_rows(connection, &view, error);
  // The last row's texts and blobs are bound by address: they must not outlive the batch.
  if (connection->load.statement != NULL) (void)sqlite3_clear_bindings(connection->load.statement);
  if (code != DRAY_OK) load_end(connection);
  dray_view_free(&view);
  return code;
}
