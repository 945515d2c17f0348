// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The warehouse role: executes the SQL that the host generates, loads batches, and streams queries.
#include "warehouse.h"

#include <mysqld_error.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX (16u << 20)
#define IDENTIFIER_CHARS_MAX 64
#define IDENTIFIER_BYTES_MAX (3 * IDENTIFIER_CHARS_MAX) // names are kept in utf8mb3
#define COLUMNS_MAX 1017                                // InnoDB's
#define KEY_COLUMNS_MAX 16
#define PARAMS_MAX 64
#define STATEMENT_BYTES 1000 // beside a value
#define MARIA_JSON 100207    // has the type
#define MARIA_JSON_DEPTH 31
#define KEY_CHARS_MAX 766 // InnoDB's 3072 bytes, at four a character and with a time beside them

// ---- life ----

static int32_t warehouse_spec(struct dray_str *out_json, struct dray_error *error) {
  return my_settings_spec(out_json, error);
}

static int32_t warehouse_create(const struct dray_host *host, struct dray_str config_json, struct dray_warehouse **out,
                                struct dray_error *error) {
  struct dray_warehouse *warehouse = calloc(1, sizeof *warehouse);
  if (warehouse == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a warehouse");
  const int32_t code = my_session_init(&warehouse->session, host, config_json, error);
  if (code != DRAY_OK) {
    free(warehouse);
    return code;
  }
  my_load_init(&warehouse->load);
  dray_buffer_init(&warehouse->answer, ANSWER_BYTES_MAX);
  *out = warehouse;
  return DRAY_OK;
}

static void warehouse_destroy(struct dray_warehouse *warehouse) {
  if (warehouse == NULL) return;
  my_load_abandon(warehouse);
  my_link_free(warehouse->link); // what was not committed is rolled back with it
  dray_buffer_free(&warehouse->answer);
  my_session_free(&warehouse->session);
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
                     "a query of this transaction is still being read: the server does one thing at a time on a "
                     "connection");
  } else if (warehouse->reading != NULL) {
    my_reading_detach(warehouse->reading);
    warehouse->reading = NULL;
    warehouse->link = NULL;
  }
  pthread_mutex_unlock(&warehouse->session.lock);
  return code;
}

int32_t my_enter_load(struct dray_warehouse *warehouse, struct dray_error *error) {
  if (warehouse->in_transaction && (warehouse->lost || my_link_broken(warehouse->link))) return lost(error);
  if (warehouse->load.open) return DRAY_OK;
  DRAY_TRY(leave_to_stream(warehouse, error));
  if (warehouse->link != NULL && my_link_broken(warehouse->link)) {
    my_link_free(warehouse->link);
    warehouse->link = NULL;
  }
  return warehouse->link != NULL ? DRAY_OK : my_link_open(&warehouse->session, &warehouse->link, error);
}

int32_t my_enter(struct dray_warehouse *warehouse, struct dray_error *error) {
  DRAY_TRY(my_load_end(warehouse, error));
  return my_enter_load(warehouse, error);
}

// The first words on a link that was good when it was last used may be the ones that find it dead (a server that was
// started again, a firewall, wait_timeout). What only looks says them again on a new one. What writes does not: a
// temporary table that the host made is gone with the old link.
int my_may_repeat(const struct dray_warehouse *warehouse, int32_t code) {
  return code == DRAY_E_NET_CLOSED && !warehouse->in_transaction;
}

int32_t my_connect_again(struct dray_warehouse *warehouse, struct dray_error *error) {
  my_link_free(warehouse->link);
  warehouse->link = NULL;
  return my_link_open(&warehouse->session, &warehouse->link, error);
}

int32_t my_own_begin(struct dray_warehouse *warehouse, int read_only, int *out_own, struct dray_error *error) {
  *out_own = 0;
  if (warehouse->in_transaction) return DRAY_OK;
  DRAY_TRY(my_link_begin(warehouse->link, read_only, error));
  *out_own = 1;
  return DRAY_OK;
}

int32_t my_own_end(struct dray_warehouse *warehouse, int own, int32_t code, struct dray_error *error) {
  if (!own) {
    // A deadlock has undone the whole transaction, not the statement alone.
    const int undone = code == DRAY_E_BUSY || (code != DRAY_OK && my_link_broken(warehouse->link));
    if (warehouse->in_transaction && undone) warehouse->lost = 1;
    return code;
  }
  if (code == DRAY_OK) code = my_link_run(warehouse->link, "COMMIT", "committing", error);
  if (code != DRAY_OK) my_link_rollback(warehouse->link);
  return code;
}

// ---- slots ----

static int32_t warehouse_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  return my_check(warehouse, out_json, error);
}

static int32_t warehouse_open(struct dray_warehouse *warehouse, struct dray_error *error) {
  return my_enter(warehouse, error);
}

// Asks which of the collations that compare bytes the server has; the first that there is.
static int32_t find_collation(struct my_link *link, int *out, struct dray_error *error) {
  static const char sql[] = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME IN "
                            "('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')";
  MYSQL_RES *result = NULL;
  int found = MY_COLLATION_PLAIN;
  DRAY_TRY(my_link_ask(link, sql, "looking at the server's collations", &result, error));
  for (MYSQL_ROW row = mysql_fetch_row(result); row != NULL; row = mysql_fetch_row(result)) {
    for (int i = 0; i < found; i++) {
      if (row[0] != NULL && strcmp(row[0], my_collations[i]) == 0) found = i;
    }
  }
  mysql_free_result(result);
  *out = found;
  return DRAY_OK;
}

// Whether names of tables that differ by case alone are one table, which is a setting of the server.
static int32_t find_case(struct my_link *link, int *out, struct dray_error *error) {
  MYSQL_RES *result = NULL;
  DRAY_TRY(
      my_link_ask(link, "SELECT @@GLOBAL.lower_case_table_names", "looking at lower_case_table_names", &result, error));
  MYSQL_ROW row = mysql_fetch_row(result);
  *out = row == NULL || row[0] == NULL || strcmp(row[0], "0") != 0;
  mysql_free_result(result);
  return DRAY_OK;
}

// How deep a document may nest in a JSON column, which MariaDB keeps as text with a check: 31, up to now. Its own
// versions of the type in MySQL take more than dray does.
static int32_t find_json_depth(struct my_link *link, uint32_t *out, struct dray_error *error) {
  static const char sql[] = "SELECT JSON_VALID(CONCAT(REPEAT('[', 32), REPEAT(']', 32)))";
  MYSQL_RES *result = NULL;
  *out = 0;
  if (!link->maria || mysql_get_server_version(link->conn) < MARIA_JSON) return DRAY_OK;
  DRAY_TRY(my_link_ask(link, sql, "looking at the server's JSON", &result, error));
  MYSQL_ROW row = mysql_fetch_row(result);
  if (row != NULL && row[0] != NULL && strcmp(row[0], "0") == 0) *out = MARIA_JSON_DEPTH;
  mysql_free_result(result);
  return DRAY_OK;
}

// A longer value is loaded and read, but no function of the server gives it out, nor does a statement bring it: it
// could be compared with nothing.
static int32_t find_value_bytes(struct my_link *link, uint64_t *out, struct dray_error *error) {
  MYSQL_RES *result = NULL;
  DRAY_TRY(my_link_ask(link, "SELECT @@max_allowed_packet", "looking at max_allowed_packet", &result, error));
  MYSQL_ROW row = mysql_fetch_row(result);
  const uint64_t packet = row != NULL && row[0] != NULL ? strtoull(row[0], NULL, 10) : 0;
  *out = packet > STATEMENT_BYTES ? packet - STATEMENT_BYTES : 0;
  mysql_free_result(result);
  return DRAY_OK;
}

static int32_t warehouse_dialect(struct dray_warehouse *warehouse, struct dray_dialect *out, struct dray_error *error) {
  int collation = MY_COLLATION_PLAIN, no_case = 0;
  DRAY_TRY(my_enter(warehouse, error));
  DRAY_TRY(find_collation(warehouse->link, &collation, error));
  DRAY_TRY(find_case(warehouse->link, &no_case, error));
  DRAY_TRY(find_json_depth(warehouse->link, &out->json_depth_max, error));
  DRAY_TRY(find_value_bytes(warehouse->link, &out->value_bytes_max, error));
  out->flags = DRAY_DIALECT_TEMP_TABLES | DRAY_DIALECT_SCHEMAS | DRAY_DIALECT_RENAME_TABLE | DRAY_DIALECT_WIDEN_TYPE |
               DRAY_DIALECT_NULL_SAFE_EQUAL | DRAY_DIALECT_JOIN_WRITES | DRAY_DIALECT_MODIFY_COLUMN |
               DRAY_DIALECT_DROP_TEMPORARY | DRAY_DIALECT_NAMES_BMP | DRAY_DIALECT_JSON_IS_TEXT |
               DRAY_DIALECT_COPY_NOT_NULL | DRAY_DIALECT_FINITE_FLOATS | DRAY_DIALECT_LOOSE_MARKED |
               DRAY_DIALECT_LIKE_TABLES;
  if (no_case) out->flags |= DRAY_DIALECT_TABLES_NOCASE;
  out->param_style = DRAY_PARAM_QUESTION;
  out->identifier_bytes_max = IDENTIFIER_BYTES_MAX;
  out->identifier_chars_max = IDENTIFIER_CHARS_MAX;
  out->columns_max = COLUMNS_MAX;
  out->key_columns_max = KEY_COLUMNS_MAX;
  out->key_chars_max = KEY_CHARS_MAX;
  out->quote = '`';
  out->name = dray_str_of("mysql");
  out->default_schema = dray_str_of(warehouse->session.settings.database);
  out->exact_text = my_dialect_exact_text(collation);
  out->beside_text = my_dialect_beside_text(collation);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    out->types[type] = my_dialect_type(type, collation, warehouse->link->maria);
    out->key_types[type] = my_dialect_key_type(type, collation);
    out->differs[type] = my_dialect_differs(type);
  }
  return DRAY_OK;
}

static int32_t warehouse_discover(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                  struct dray_error *error) {
  DRAY_TRY(my_enter(warehouse, error));
  int32_t code = my_catalog_discover(warehouse, out_json, error);
  if (my_may_repeat(warehouse, code)) {
    DRAY_TRY(my_connect_again(warehouse, error));
    code = my_catalog_discover(warehouse, out_json, error);
  }
  return my_own_end(warehouse, 0, code, error);
}

static int32_t warehouse_describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                  struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  DRAY_TRY(my_enter(warehouse, error));
  int32_t code = my_catalog_describe(warehouse, schema, table, out, out_found, error);
  if (my_may_repeat(warehouse, code)) {
    DRAY_TRY(my_connect_again(warehouse, error));
    code = my_catalog_describe(warehouse, schema, table, out, out_found, error);
  }
  return my_own_end(warehouse, 0, code, error);
}

static int32_t warehouse_query(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                               uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  DRAY_TRY(my_enter(warehouse, error));
  int32_t code = my_query_open(warehouse, sql, batch_bytes_max, batch_rows_max, out, error);
  if (my_may_repeat(warehouse, code)) {
    DRAY_TRY(my_connect_again(warehouse, error));
    code = my_query_open(warehouse, sql, batch_bytes_max, batch_rows_max, out, error);
  }
  return my_own_end(warehouse, 0, code, error);
}

static int32_t warehouse_retype(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                struct dray_str *out_json, struct dray_error *error) {
  const struct my_retyped wanted = {schema, table, columns, types, count};
  DRAY_TRY(my_enter(warehouse, error));
  return my_own_end(warehouse, 0, my_retype(warehouse, &wanted, out_json, error), error);
}

// ---- execute ----

static int32_t bind_params(MYSQL_STMT *statement, const struct dray_view *view, MYSQL_BIND *binds,
                           struct my_param *params, struct dray_error *error) {
  const size_t count = view->column_count;
  if (count != mysql_stmt_param_count(statement) || view->row_count != 1 || count > PARAMS_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a statement with %lu parameters was given %zu",
                     mysql_stmt_param_count(statement), count);
  }
  for (size_t i = 0; i < count; i++) DRAY_TRY(my_bind(&view->columns[i], 0, &binds[i], &params[i], error));
  if (count > 0 && mysql_stmt_bind_param(statement, binds) != 0) {
    return dray_fail(error, DRAY_E_INTERNAL, "the statement's parameters: %s", mysql_stmt_error(statement));
  }
  return DRAY_OK;
}

#define DOING "the statement failed"

static int64_t rows_of(my_ulonglong rows) {
  return rows == (my_ulonglong)-1 ? -1 : (int64_t)rows;
}

// Blanks at the end of a text that is too long are cut with a note alone, strict as the server is.
static int32_t refuse_cut(struct my_link *link, unsigned int warnings, struct dray_error *error) {
  return warnings > 0 ? my_link_warned(link, WARN_DATA_TRUNCATED, MY_FOR_STATEMENT, DOING, error) : DRAY_OK;
}

// Without parameters: the text protocol, which takes all there is.
static int32_t run_text(struct my_link *link, struct dray_str sql, int64_t *out_rows, struct dray_error *error) {
  my_link_start(link);
  int32_t code = my_link_query(link, sql, MY_FOR_STATEMENT, DOING, error);
  if (code == DRAY_OK) code = my_link_drop_result(link, MY_FOR_STATEMENT, DOING, error);
  if (code == DRAY_OK) *out_rows = rows_of(mysql_affected_rows(link->conn));
  my_link_settle(link);
  if (code == DRAY_OK) code = refuse_cut(link, mysql_warning_count(link->conn), error);
  return code;
}

static int32_t run_prepared(struct my_link *link, struct dray_str sql, const struct dray_view *view, int64_t *out_rows,
                            struct dray_error *error) {
  MYSQL_STMT *statement = NULL;
  MYSQL_BIND binds[PARAMS_MAX];
  struct my_param params[PARAMS_MAX];
  my_link_start(link);
  int32_t code = my_stmt_prepare(link, sql, MY_FOR_STATEMENT, DOING, &statement, error);
  if (code == DRAY_OK) code = bind_params(statement, view, binds, params, error);
  if (code == DRAY_OK) code = my_stmt_execute(link, statement, MY_FOR_STATEMENT, DOING, error);
  if (code == DRAY_OK) *out_rows = rows_of(mysql_stmt_affected_rows(statement));
  if (code == DRAY_OK) code = refuse_cut(link, (unsigned int)mysql_stmt_warning_count(statement), error);
  my_stmt_close(link, statement);
  my_link_settle(link);
  return code;
}

static int32_t refuse_writing(const struct dray_warehouse *warehouse, struct dray_error *error) {
  if (!warehouse->session.settings.read_only) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "read_only",
                         "this connection is read_only: models are read from it, nothing is written to it");
}

static int32_t warehouse_execute(struct dray_warehouse *warehouse, struct dray_str sql,
                                 const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                                 int64_t *out_rows, struct dray_error *error) {
  struct dray_view view = {.columns = NULL};
  int64_t rows = -1;
  int32_t code = DRAY_OK;
  DRAY_TRY(my_enter(warehouse, error));
  DRAY_TRY(refuse_writing(warehouse, error));
  DRAY_TRY(dray_cancel_check(&warehouse->session.services, error));
  if (params != NULL) DRAY_TRY(dray_view_init(&view, params_schema, params, error));
  code = params != NULL ? run_prepared(warehouse->link, sql, &view, &rows, error)
                        : run_text(warehouse->link, sql, &rows, error);
  if (params != NULL) dray_view_free(&view);
  code = my_own_end(warehouse, 0, code, error);
  if (code == DRAY_OK && out_rows != NULL) *out_rows = rows;
  return code;
}

static int32_t warehouse_load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                              const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                              struct dray_error *error) {
  DRAY_TRY(my_enter_load(warehouse, error));
  DRAY_TRY(refuse_writing(warehouse, error));
  return my_load_batch(warehouse, schema, table, batch_schema, batch, error);
}

// ---- transactions ----

static int32_t warehouse_begin(struct dray_warehouse *warehouse, struct dray_error *error) {
  DRAY_TRY(my_enter(warehouse, error));
  DRAY_TRY(refuse_writing(warehouse, error));
  if (warehouse->in_transaction) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a transaction is open already");
  DRAY_TRY(my_link_begin(warehouse->link, 0, error));
  warehouse->in_transaction = 1;
  warehouse->lost = 0;
  return DRAY_OK;
}

static int32_t warehouse_commit(struct dray_warehouse *warehouse, struct dray_error *error) {
  struct my_link *link = warehouse->link;
  if (!warehouse->in_transaction) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "no transaction is open");
  DRAY_TRY(my_enter(warehouse, error));
  warehouse->in_transaction = 0;
  link->must_end = 1;
  my_link_start(link);
  const int32_t code = my_link_query(link, dray_str_of("COMMIT"), MY_FOR_LOAD, "committing", error);
  my_link_settle(link);
  link->must_end = 0;
  return code;
}

static void warehouse_rollback(struct dray_warehouse *warehouse) {
  my_load_abandon(warehouse);
  warehouse->in_transaction = 0;
  warehouse->lost = 0;
  if (warehouse->link != NULL && warehouse->reading == NULL) my_link_rollback(warehouse->link);
}

static void warehouse_interrupt(struct dray_warehouse *warehouse) {
  my_session_interrupt(&warehouse->session);
}

const struct dray_warehouse_vtable my_warehouse_vtable = {
    .struct_size = sizeof my_warehouse_vtable,
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
