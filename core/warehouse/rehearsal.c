// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether an engine takes the statements of a plan, found out on a temporary table that is like the real one: what the
// run would be refused, the plan is. For engines whose DDL cannot be tried and undone in the table's own place. What
// becomes of a statement that fails, here or in the run.
#include <stdio.h>

#include "base/log.h"
#include "warehouse/table.h"

#define REHEARSAL_TABLE "_dray_rehearsal"

// dray's own statement is right, so what the engine refuses it for is of the table: a view, an index or a CHECK that
// hangs on a column which needs another type, or a value in it. The engine's words name it.
static int is_of_the_table(int32_t code) {
  return code == DRAY_E_CONFIG_SQL || code == DRAY_E_DATA_REJECTED || code == DRAY_E_DATA_KEY_DUPLICATE ||
         code == DRAY_E_DATA_TYPE || code == DRAY_E_DATA_TOO_LARGE || code == DRAY_E_DATA_OVERFLOW;
}

int32_t dr_table_ddl_failed(int32_t code, const char *table, int exists, struct dray_error *error) {
  struct dray_error why;
  if (error == NULL) return exists && is_of_the_table(code) ? DRAY_E_SCHEMA_DRIFT : code;
  if (!exists || !is_of_the_table(code)) return dray_error_prefix(error, "changing table %s", table);
  why = *error;
  (void)dray_fail(
      error, DRAY_E_SCHEMA_DRIFT,
      "table %s cannot be changed as the data need it: %.300s. Drop the view, index or constraint that hangs "
      "on the column, run the sync, and make it anew (`dray plan` shows the statements)",
      table, why.text);
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%s", why.vendor_code);
  return DRAY_E_SCHEMA_DRIFT;
}

static int32_t say(struct dr_warehouse *warehouse, const char *begin, const struct dr_place *like,
                   struct dray_error *error) {
  const struct dr_place place = {NULL, (char[]){REHEARSAL_TABLE}};
  struct dray_buffer text;
  struct dr_sql sql;
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  dr_sql_text(&sql, begin);
  dr_sql_place(&sql, &place);
  if (like != NULL) dr_sql_text(&sql, " LIKE ");
  if (like != NULL) dr_sql_place(&sql, like);
  int32_t code = sql.code;
  if (code == DRAY_OK) code = dr_engine_execute(warehouse, dray_buffer_view(&text), NULL, NULL, NULL, error);
  dray_buffer_free(&text);
  return code;
}

// "CREATE TABLE ..." as that of a temporary table.
static int32_t run_temporary(struct dr_warehouse *warehouse, const char *statement, struct dray_error *error) {
  static const char create[] = "CREATE TABLE ";
  struct dray_buffer text;
  if (strncmp(statement, create, sizeof create - 1) != 0) {
    return dr_engine_execute(warehouse, dray_str_of(statement), NULL, NULL, NULL, error);
  }
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  int32_t code = dray_buffer_append_str(&text, "CREATE TEMPORARY TABLE ", error);
  if (code == DRAY_OK) code = dray_buffer_append_str(&text, statement + sizeof create - 1, error);
  if (code == DRAY_OK) code = dr_engine_execute(warehouse, dray_buffer_view(&text), NULL, NULL, NULL, error);
  dray_buffer_free(&text);
  return code;
}

// The staging is wider than the table: where the engine does not take it the first run would go well, since it writes
// straight into the table, and none after it.
static int32_t run_staging(struct dr_warehouse *warehouse, const struct dr_table_options *options, const char *table,
                           const struct dr_table_plan *plan, struct dray_error *error) {
  struct dr_statements staging = {NULL, 0};
  if (!dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_TEMP_TABLES)) return DRAY_OK;
  DRAY_TRY(dr_table_staging_of_changes(warehouse, options, plan, &staging, error));
  int32_t code = DRAY_OK;
  for (size_t i = 0; code == DRAY_OK && i < staging.count; i++) {
    code = dr_engine_execute(warehouse, dray_str_of(staging.sql[i]), NULL, NULL, NULL, error);
  }
  dr_statements_free(&staging);
  return code == DRAY_OK || code == DRAY_E_AUTH_FORBIDDEN
             ? code
             : dray_error_prefix(error, "the temporary table by which rows of table %s are changed", table);
}

// The statements again, for the temporary table, which is described as any other.
static int32_t run_all(struct dr_warehouse *warehouse, const struct dr_table_options *options, int exists,
                       struct dray_error *error) {
  struct dr_table_options mine = *options;
  struct dr_table_plan plan = {.ddl = NULL};
  mine.name = (struct dr_table_name){NULL, REHEARSAL_TABLE};
  DRAY_TRY(dr_table_plan_untried(warehouse, &mine, &plan, error));
  int32_t code = DRAY_OK;
  for (size_t i = 0; code == DRAY_OK && i < plan.ddl_count; i++) {
    code = run_temporary(warehouse, plan.ddl[i], error);
    // Who may make the table need not be one who may make temporary ones: the run will say it.
    if (code == DRAY_E_AUTH_FORBIDDEN) break;
    // Nobody else knows this table, so that a column which is there already is another name of one that was shown, or
    // one that was not.
    if (code == DRAY_E_BUSY) code = DRAY_E_CONFIG_SQL;
    if (code != DRAY_OK) code = dr_table_ddl_failed(code, options->name.table, exists, error);
  }
  if (code == DRAY_OK) code = run_staging(warehouse, &mine, options->name.table, &plan, error);
  dr_table_plan_free(&plan);
  return code == DRAY_E_AUTH_FORBIDDEN ? DRAY_OK : code;
}

int32_t dr_table_rehearse(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                          const struct dr_table_plan *plan, struct dray_error *error) {
  struct dr_place place = {NULL, NULL};
  struct dray_error ignored;
  if (plan->ddl_count == 0 || !dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_LIKE_TABLES)) return DRAY_OK;
  dray_error_init(&ignored);
  DRAY_TRY(dr_place_make(&warehouse->dialect, options->name.schema, options->name.table, &place, error));
  int32_t code = say(warehouse, "DROP TEMPORARY TABLE IF EXISTS ", NULL, &ignored);
  if (code == DRAY_OK && plan->table_exists) code = say(warehouse, "CREATE TEMPORARY TABLE ", &place, &ignored);
  dr_place_free(&place);
  if (code != DRAY_OK) { // partitions, a view, no right to: not tried
    dr_log(DRAY_LOG_DEBUG, warehouse->label, "the statements are not tried: %s", ignored.text);
    return DRAY_OK;
  }
  code = run_all(warehouse, options, plan->table_exists, error);
  (void)!say(warehouse, "DROP TEMPORARY TABLE IF EXISTS ", NULL, &ignored);
  return code;
}
