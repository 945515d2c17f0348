// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The warehouse role: executes the SQL that the host generates, loads batches, and streams queries.
#include <stdlib.h>

#include "roles.h"
#include "stream.h"

#define IDENTIFIER_BYTES_MAX 255 // SQLite has no limit; what the columns of a batch can carry
// Any value may stand in any column: 1, 1.0 and '1' are three values. Collations of columns do not count.
#define VALUES_DIFFER "(typeof({a}) <> typeof({b}) OR {a} IS NOT {b} COLLATE BINARY)"
#define COLUMNS_MAX 2000 // SQLITE_MAX_COLUMN as everybody builds it

struct dray_warehouse {
  struct connection connection;
};

static int32_t warehouse_spec(struct dray_str *out_json, struct dray_error *error) {
  return connection_spec(0, out_json, error);
}

static int32_t warehouse_create(const struct dray_host *host, struct dray_str config_json, struct dray_warehouse **out,
                                struct dray_error *error) {
  struct dray_warehouse *warehouse = calloc(1, sizeof *warehouse);
  if (warehouse == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a warehouse");
  const int32_t code = connection_init(&warehouse->connection, host, config_json, 0, error);
  if (code != DRAY_OK) {
    free(warehouse);
    return code;
  }
  *out = warehouse;
  return DRAY_OK;
}

static void warehouse_destroy(struct dray_warehouse *warehouse) {
  if (warehouse == NULL) return;
  connection_free(&warehouse->connection);
  free(warehouse);
}

static int32_t warehouse_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  return check_connection(&warehouse->connection, out_json, error);
}

static int32_t warehouse_open(struct dray_warehouse *warehouse, struct dray_error *error) {
  return connection_open(&warehouse->connection, error);
}

static int32_t warehouse_dialect(struct dray_warehouse *warehouse, struct dray_dialect *out, struct dray_error *error) {
  (void)warehouse;
  (void)error;
  out->flags = DRAY_DIALECT_TRANSACTIONAL_DDL | DRAY_DIALECT_TEMP_TABLES | DRAY_DIALECT_UPDATE_FROM |
               DRAY_DIALECT_NULL_SAFE_IS | DRAY_DIALECT_RENAME_TABLE | DRAY_DIALECT_TABLES_NOCASE |
               DRAY_DIALECT_LOOSE_MARKED;
  out->param_style = DRAY_PARAM_QUESTION;
  out->identifier_bytes_max = IDENTIFIER_BYTES_MAX;
  out->columns_max = COLUMNS_MAX;
  out->quote = '"';
  out->name = dray_str_of("sqlite");
  out->exact_text = dray_str_of("{c} COLLATE BINARY");
  for (size_t i = 0; i < sizeof out->types / sizeof out->types[0]; i++) {
    out->types[i] = sqlite_dialect_types[i];
    out->differs[i] = dray_str_of(VALUES_DIFFER);
  }
  return DRAY_OK;
}

// Every slot below ends a load and needs the file open.
static int32_t enter(struct dray_warehouse *warehouse, struct dray_error *error) {
  load_end(&warehouse->connection);
  return connection_open(&warehouse->connection, error);
}

static int32_t warehouse_discover(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                  struct dray_error *error) {
  DRAY_TRY(enter(warehouse, error));
  return catalog_discover(&warehouse->connection, out_json, error);
}

static int32_t warehouse_describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                  struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  DRAY_TRY(enter(warehouse, error));
  return catalog_describe(&warehouse->connection, schema, table, out, out_found, error);
}

static int32_t warehouse_query(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                               uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  const struct stream_options options = {.batch_bytes_max = batch_bytes_max, .batch_rows_max = batch_rows_max};
  struct connection *connection = &warehouse->connection;
  sqlite3_stmt *statement = NULL;
  DRAY_TRY(enter(warehouse, error));
  DRAY_TRY(connection_prepare(connection, sql, DRAY_E_CONFIG_SQL, &statement, error));
  if (!sqlite3_stmt_readonly(statement) || sqlite3_column_count(statement) == 0) {
    (void)sqlite3_finalize(statement);
    return dray_fail(error, DRAY_E_CONFIG_SQL,
                     "a query must be a SELECT: this statement would change something or "
                     "returns no columns");
  }
  return stream_open(connection, statement, &options, out, error);
}

static int32_t warehouse_retype(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                struct dray_str *out_json, struct dray_error *error) {
  (void)schema;
  DRAY_TRY(enter(warehouse, error));
  return retype_columns(&warehouse->connection, table, columns, types, count, out_json, error);
}

// ---- execute ----

static int32_t bind_params(struct connection *connection, sqlite3_stmt *statement, const struct dray_view *view,
                           struct dray_error *error) {
  if (view->row_count != 1 || (size_t)sqlite3_bind_parameter_count(statement) != view->column_count) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                     "a statement with %d parameters was given %zu columns and %llu rows",
                     sqlite3_bind_parameter_count(statement), view->column_count, (unsigned long long)view->row_count);
  }
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(load_bind(connection, statement, (int)i + 1, &view->columns[i], 0, NULL, error));
  }
  return DRAY_OK;
}

// Steps to the end. The count of changes is the statement's own only when it changed something: DDL leaves the one of
// the statement before.
static int32_t run_statement(struct connection *connection, sqlite3_stmt *statement, int64_t *out_rows,
                             struct dray_error *error) {
  const sqlite3_int64 before = sqlite3_total_changes64(connection->db);
  int rc = SQLITE_ROW;
  while (rc == SQLITE_ROW) rc = sqlite3_step(statement);
  if (rc != SQLITE_DONE) return connection_fail(connection, rc, DRAY_E_CONFIG_SQL, "the statement failed", error);
  const int changed = sqlite3_total_changes64(connection->db) != before;
  *out_rows = changed ? sqlite3_changes64(connection->db) : 0;
  return DRAY_OK;
}

static int32_t warehouse_execute(struct dray_warehouse *warehouse, struct dray_str sql,
                                 const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                                 int64_t *out_rows, struct dray_error *error) {
  struct connection *connection = &warehouse->connection;
  struct dray_view view = {.columns = NULL};
  sqlite3_stmt *statement = NULL;
  int64_t rows = 0;
  DRAY_TRY(enter(warehouse, error));
  DRAY_TRY(connection_prepare(connection, sql, DRAY_E_CONFIG_SQL, &statement, error));
  int32_t code = DRAY_OK;
  if (params != NULL) {
    code = dray_view_init(&view, params_schema, params, error);
    if (code == DRAY_OK) {
      code = bind_params(connection, statement, &view, error);
      if (code == DRAY_OK) code = run_statement(connection, statement, &rows, error);
      (void)sqlite3_finalize(statement);
      dray_view_free(&view);
    } else {
      (void)sqlite3_finalize(statement);
    }
  } else {
    code = run_statement(connection, statement, &rows, error);
    (void)sqlite3_finalize(statement);
  }
  if (code == DRAY_OK && out_rows != NULL) *out_rows = rows;
  return code;
}

static int32_t warehouse_load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                              const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                              struct dray_error *error) {
  DRAY_TRY(connection_open(&warehouse->connection, error));
  return load_batch(&warehouse->connection, schema, table, batch_schema, batch, error);
}

// ---- transactions ----

// IMMEDIATE takes the writer's lock at once: a second writer waits here, not in the middle of its work, where SQLite
// could only refuse it.
static int32_t warehouse_begin(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct connection *connection = &warehouse->connection;
  DRAY_TRY(enter(warehouse, error));
  const int rc = sqlite3_exec(connection->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
  return rc == SQLITE_OK ? DRAY_OK : connection_fail(connection, rc, DRAY_E_INTERNAL, "beginning to write", error);
}

static int32_t warehouse_commit(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct connection *connection = &warehouse->connection;
  DRAY_TRY(enter(warehouse, error));
  const int rc = sqlite3_exec(connection->db, "COMMIT", NULL, NULL, NULL);
  return rc == SQLITE_OK ? DRAY_OK : connection_fail(connection, rc, DRAY_E_INTERNAL, "committing", error);
}

static void warehouse_rollback(struct dray_warehouse *warehouse) {
  load_end(&warehouse->connection);
  connection_rollback(&warehouse->connection);
}

static void warehouse_interrupt(struct dray_warehouse *warehouse) {
  connection_interrupt(&warehouse->connection);
}

const struct dray_warehouse_vtable sqlite_warehouse = {
    .struct_size = sizeof sqlite_warehouse,
    .spec = warehouse_spec,
    .create = warehouse_create,
    .destroy = warehouse_destroy,
    .check = warehouse_check,
    .open = warehouse_open,
    .dialect = warehouse_dialect,
    .discover = warehouse_discover,
    .describe = warehouse_describe,
    .query = warehouse_query,
    .execute = warehouse_execute,
    .load = warehouse_load,
    .begin = warehouse_begin,
    .commit = warehouse_commit,
    .rollback = warehouse_rollback,
    .interrupt = warehouse_interrupt,
    .retype = warehouse_retype,
};
