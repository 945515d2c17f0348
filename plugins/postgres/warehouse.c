// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The warehouse role: executes the SQL that the host generates, loads batches, and streams queries. Nothing is kept in
// the server's session between two transactions, so that a pooler may hand out another one for each.
#include "warehouse.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX (16u << 20)
#define IDENTIFIER_BYTES_MAX 63 // NAMEDATALEN - 1 as everybody builds it
// A row of a btree index (BTMaxItemSize: a third of a page) without its head. What can be compressed may be longer.
#define KEY_BYTES_MAX 2696
#define COLUMNS_MAX 1600   // MaxHeapAttributeNumber
#define KEY_COLUMNS_MAX 32 // INDEX_MAX_KEYS
#define PARAMS_MAX 65535

// ---- life ----

static int32_t warehouse_spec(struct dray_str *out_json, struct dray_error *error) {
  return pg_settings_spec(out_json, error);
}

static int32_t warehouse_create(const struct dray_host *host, struct dray_str config_json, struct dray_warehouse **out,
                                struct dray_error *error) {
  struct dray_warehouse *warehouse = calloc(1, sizeof *warehouse);
  if (warehouse == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a warehouse");
  const int32_t code = pg_session_init(&warehouse->session, host, config_json, error);
  if (code != DRAY_OK) {
    free(warehouse);
    return code;
  }
  pg_encoder_init(&warehouse->encoder);
  dray_buffer_init(&warehouse->answer, ANSWER_BYTES_MAX);
  *out = warehouse;
  return DRAY_OK;
}

static void warehouse_destroy(struct dray_warehouse *warehouse) {
  if (warehouse == NULL) return;
  pg_load_abandon(warehouse);
  pg_link_free(warehouse->link); // what was not committed is rolled back with it
  pg_encoder_free(&warehouse->encoder);
  dray_buffer_free(&warehouse->answer);
  pg_session_free(&warehouse->session);
  free(warehouse);
}

// ---- entering a slot ----

static int32_t lost(struct dray_error *error) {
  return dray_fail(error, DRAY_E_NET_CLOSED, "the connection was lost inside the transaction, which is gone with it");
}

// A stream that still reads keeps its link; inside a transaction there is only one.
static int32_t leave_to_stream(struct dray_warehouse *warehouse, struct dray_error *error) {
  int32_t code = DRAY_OK;
  pthread_mutex_lock(&warehouse->session.lock);
  if (warehouse->reading != NULL && warehouse->in_transaction) {
    code = dray_fail(error, DRAY_E_BUSY,
                     "a query of this transaction is still being read: PostgreSQL does one thing at a time on a "
                     "connection");
  } else if (warehouse->reading != NULL) {
    pg_reading_detach(warehouse->reading);
    warehouse->reading = NULL;
    warehouse->link = NULL;
  }
  pthread_mutex_unlock(&warehouse->session.lock);
  return code;
}

int32_t pg_enter_load(struct dray_warehouse *warehouse, struct dray_error *error) {
  if (warehouse->in_transaction && (warehouse->lost || pg_link_broken(warehouse->link))) return lost(error);
  if (warehouse->load.open) return DRAY_OK;
  DRAY_TRY(leave_to_stream(warehouse, error));
  if (warehouse->link != NULL && pg_link_broken(warehouse->link)) {
    pg_link_free(warehouse->link);
    warehouse->link = NULL;
  }
  return warehouse->link != NULL ? DRAY_OK : pg_link_open(&warehouse->session, &warehouse->link, error);
}

int32_t pg_enter(struct dray_warehouse *warehouse, struct dray_error *error) {
  DRAY_TRY(pg_load_end(warehouse, error));
  return pg_enter_load(warehouse, error);
}

// The first words on a link that was good when it was last used may be the ones that find it dead (a server that was
// started again, a firewall): nothing has happened yet, so they are said again on a new one.
static int32_t begin_on_live_link(struct dray_warehouse *warehouse, int read_only, struct dray_error *error) {
  const int32_t code = pg_link_begin(warehouse->link, read_only, error);
  if (code != DRAY_E_NET_CLOSED) return code;
  pg_link_free(warehouse->link);
  warehouse->link = NULL;
  DRAY_TRY(pg_link_open(&warehouse->session, &warehouse->link, error));
  return pg_link_begin(warehouse->link, read_only, error);
}

int32_t pg_own_begin(struct dray_warehouse *warehouse, int read_only, int *out_own, struct dray_error *error) {
  *out_own = 0;
  if (warehouse->in_transaction) return DRAY_OK;
  DRAY_TRY(begin_on_live_link(warehouse, read_only || warehouse->session.settings.read_only, error));
  *out_own = 1;
  return DRAY_OK;
}

int32_t pg_own_end(struct dray_warehouse *warehouse, int own, int32_t code, struct dray_error *error) {
  if (!own) {
    if (warehouse->in_transaction && pg_link_broken(warehouse->link)) warehouse->lost = 1;
    return code;
  }
  if (code == DRAY_OK) code = pg_link_run(warehouse->link, "COMMIT", "committing", error);
  if (code != DRAY_OK) pg_link_rollback(warehouse->link);
  return code;
}

// ---- slots ----

static int32_t warehouse_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  return pg_check(warehouse, out_json, error);
}

static int32_t warehouse_open(struct dray_warehouse *warehouse, struct dray_error *error) {
  return pg_enter(warehouse, error);
}

static int32_t find_schema(struct dray_warehouse *warehouse, struct dray_error *error) {
  PGresult *result = NULL;
  DRAY_TRY(pg_link_ask(warehouse->link, "SELECT coalesce(pg_catalog.current_schema(), '')", 0, NULL,
                       "looking at the search_path", &result, error));
  (void)snprintf(warehouse->default_schema, sizeof warehouse->default_schema, "%s", PQgetvalue(result, 0, 0));
  PQclear(result);
  return DRAY_OK;
}

static int32_t warehouse_dialect(struct dray_warehouse *warehouse, struct dray_dialect *out, struct dray_error *error) {
  DRAY_TRY(pg_enter(warehouse, error));
  DRAY_TRY(find_schema(warehouse, error));
  out->key_bytes_max = KEY_BYTES_MAX;
  out->flags = DRAY_DIALECT_TRANSACTIONAL_DDL | DRAY_DIALECT_TEMP_TABLES | DRAY_DIALECT_SCHEMAS |
               DRAY_DIALECT_UPDATE_FROM | DRAY_DIALECT_DELETE_USING | DRAY_DIALECT_RENAME_TABLE |
               DRAY_DIALECT_WIDEN_TYPE | DRAY_DIALECT_ADD_KEY | DRAY_DIALECT_LOOSE_MARKED;
  out->param_style = DRAY_PARAM_DOLLAR;
  out->identifier_bytes_max = IDENTIFIER_BYTES_MAX;
  out->columns_max = COLUMNS_MAX;
  out->key_columns_max = KEY_COLUMNS_MAX;
  out->quote = '"';
  out->name = dray_str_of("postgres");
  out->default_schema = dray_str_of(warehouse->default_schema);
  // Of a model's key, which may be of any type, its text.
  out->exact_text = dray_str_of("CAST({c} AS text) COLLATE pg_catalog.\"C\"");
  // Room for the new version of a row beside the old one: the indexes are left alone then, and the table does not grow.
  out->keyed_table_options = dray_str_of("WITH (fillfactor = 90)");
  for (size_t i = 0; i < sizeof out->types / sizeof out->types[0]; i++) {
    out->types[i] = pg_dialect_types[i];
    out->differs[i] = pg_dialect_differs[i];
  }
  return DRAY_OK;
}

static int32_t warehouse_discover(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                  struct dray_error *error) {
  int own = 0;
  DRAY_TRY(pg_enter(warehouse, error));
  DRAY_TRY(pg_own_begin(warehouse, 1, &own, error));
  return pg_own_end(warehouse, own, pg_catalog_discover(warehouse, out_json, error), error);
}

static int32_t warehouse_describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                  struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  int own = 0;
  DRAY_TRY(pg_enter(warehouse, error));
  DRAY_TRY(pg_own_begin(warehouse, 1, &own, error));
  struct ArrowSchema described = {.release = NULL};
  uint32_t found = 0;
  int32_t code = pg_catalog_describe(warehouse, schema, table, &described, &found, error);
  code = pg_own_end(warehouse, own, code, error);
  if (code != DRAY_OK) {
    dray_schema_release(&described);
    return code;
  }
  if (found) *out = described;
  *out_found = found;
  return DRAY_OK;
}

static int32_t warehouse_query(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                               uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  DRAY_TRY(pg_enter(warehouse, error));
  const int32_t code = pg_query_open(warehouse, sql, batch_bytes_max, batch_rows_max, out, error);
  return code == DRAY_OK ? code : pg_own_end(warehouse, 0, code, error);
}

static int32_t warehouse_retype(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                struct dray_str *out_json, struct dray_error *error) {
  int own = 0;
  (void)types;
  DRAY_TRY(pg_enter(warehouse, error));
  DRAY_TRY(pg_own_begin(warehouse, 1, &own, error));
  const int32_t code = pg_catalog_retype(warehouse->link, schema, table, columns, count, error);
  DRAY_TRY(pg_own_end(warehouse, own, code, error));
  *out_json = (struct dray_str){NULL, 0};
  return DRAY_OK;
}

// ---- execute ----

// The parameters of one row, as they lie in the encoder's buffer.
struct params {
  int count;
  Oid types[64];
  const char *values[64];
  int lengths[64], formats[64];
};

static int32_t encode_params(struct dray_warehouse *warehouse, const struct dray_view *view, struct params *out,
                             struct dray_error *error) {
  static const int wires[10] = {
      [DRAY_TYPE_BOOL] = PG_WIRE_BOOL,           [DRAY_TYPE_INT64] = PG_WIRE_INT8,
      [DRAY_TYPE_FLOAT64] = PG_WIRE_FLOAT8,      [DRAY_TYPE_DECIMAL] = PG_WIRE_NUMERIC,
      [DRAY_TYPE_STRING] = PG_WIRE_TEXT,         [DRAY_TYPE_BYTES] = PG_WIRE_BYTES,
      [DRAY_TYPE_DATE] = PG_WIRE_DATE,           [DRAY_TYPE_JSON] = PG_WIRE_JSON,
      [DRAY_TYPE_TIMESTAMP] = PG_WIRE_TIMESTAMP,
  };
  int chosen[64];
  uint64_t row = 0;
  const size_t most = sizeof out->types / sizeof out->types[0];
  if (view->row_count != 1 || view->column_count > most) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                     "a statement was given %zu parameters in %llu rows; one row of at most %zu is taken",
                     view->column_count, (unsigned long long)view->row_count, most);
  }
  out->count = (int)view->column_count;
  for (size_t i = 0; i < view->column_count; i++) {
    chosen[i] = wires[view->columns[i].type.id];
    out->types[i] = pg_oids[view->columns[i].type.id];
    out->formats[i] = 1;
  }
  DRAY_TRY(pg_encode(&warehouse->encoder, view, chosen, &row, error));
  const char *at = warehouse->encoder.out.data + 2; // behind the count of fields
  for (size_t i = 0; i < view->column_count; i++) {
    const int32_t len = (int32_t)pg_get32(at);
    at += 4;
    out->values[i] = len >= 0 ? at : NULL;
    out->lengths[i] = len >= 0 ? len : 0;
    if (len > 0) at += len;
  }
  return DRAY_OK;
}

static int32_t run_statement(struct dray_warehouse *warehouse, const char *sql, const struct params *params,
                             int64_t *out_rows, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  PGresult *result = NULL;
  pg_link_start(link);
  const int ok = PQsendQueryParams(link->conn, sql, params->count, params->types, params->values, params->lengths,
                                   params->formats, 1);
  const int32_t code = pg_link_finish(link, ok, PG_FOR_STATEMENT, sql, "the statement failed", &result, error);
  pg_link_settle(link);
  if (code != DRAY_OK) return code;
  const char *rows = PQcmdTuples(result);
  *out_rows = rows[0] != '\0' ? strtoll(rows, NULL, 10) : -1;
  PQclear(result);
  return DRAY_OK;
}

static int32_t execute(struct dray_warehouse *warehouse, const char *sql, const struct dray_view *view,
                       int64_t *out_rows, struct dray_error *error) {
  struct params params = {.count = 0};
  int own = 0;
  if (view != NULL) DRAY_TRY(encode_params(warehouse, view, &params, error));
  DRAY_TRY(pg_own_begin(warehouse, 0, &own, error));
  return pg_own_end(warehouse, own, run_statement(warehouse, sql, &params, out_rows, error), error);
}

static int32_t warehouse_execute(struct dray_warehouse *warehouse, struct dray_str sql,
                                 const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                                 int64_t *out_rows, struct dray_error *error) {
  struct dray_view view = {.columns = NULL};
  int64_t rows = -1;
  int32_t code = DRAY_OK;
  DRAY_TRY(pg_enter(warehouse, error));
  if (memchr(sql.data, '\0', sql.len) != NULL) return dray_fail(error, DRAY_E_CONFIG_SQL, "the SQL holds a NUL byte");
  char *text = dray_str_dup(sql);
  if (text == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
  if (params != NULL) code = dray_view_init(&view, params_schema, params, error);
  if (code == DRAY_OK) {
    code = execute(warehouse, text, params != NULL ? &view : NULL, &rows, error);
    dray_view_free(&view);
  }
  free(text);
  if (code == DRAY_OK && out_rows != NULL) *out_rows = rows;
  return code;
}

static int32_t warehouse_load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                              const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                              struct dray_error *error) {
  DRAY_TRY(pg_enter_load(warehouse, error));
  return pg_load_batch(warehouse, schema, table, batch_schema, batch, error);
}

// ---- transactions ----

static int32_t warehouse_begin(struct dray_warehouse *warehouse, struct dray_error *error) {
  DRAY_TRY(pg_enter(warehouse, error));
  if (warehouse->session.settings.read_only) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "read_only",
                           "this connection is read_only: models are read from it, nothing is written to it");
  }
  if (warehouse->in_transaction) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a transaction is open already");
  DRAY_TRY(begin_on_live_link(warehouse, 0, error));
  warehouse->in_transaction = 1;
  warehouse->lost = 0;
  return DRAY_OK;
}

// The answer to a COMMIT may be that there was nothing to commit: the server then says ROLLBACK, and no error.
static int32_t judge_commit(const PGresult *result, struct dray_error *error) {
  if (strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "COMMIT") == 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, "the transaction had failed before it was to be committed: rolled back");
}

static int32_t warehouse_commit(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct pg_link *link = warehouse->link;
  PGresult *result = NULL;
  if (!warehouse->in_transaction) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "no transaction is open");
  DRAY_TRY(pg_enter(warehouse, error));
  warehouse->in_transaction = 0;
  link->must_end = 1;
  pg_link_start(link);
  int32_t code =
      pg_link_finish(link, PQsendQuery(link->conn, "COMMIT"), PG_FOR_LOAD, NULL, "committing", &result, error);
  pg_link_settle(link);
  link->must_end = 0;
  if (code == DRAY_OK) code = judge_commit(result, error);
  PQclear(result);
  return code;
}

static void warehouse_rollback(struct dray_warehouse *warehouse) {
  pg_load_abandon(warehouse);
  warehouse->in_transaction = 0;
  warehouse->lost = 0;
  if (warehouse->link != NULL && warehouse->reading == NULL) pg_link_rollback(warehouse->link);
}

static void warehouse_interrupt(struct dray_warehouse *warehouse) {
  pg_session_interrupt(&warehouse->session);
}

const struct dray_warehouse_vtable pg_warehouse_vtable = {
    .struct_size = sizeof pg_warehouse_vtable,
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
