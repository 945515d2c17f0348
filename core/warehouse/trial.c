// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What `dray check` tries of a table that a sync is to write: that there is one with its state, or that both can be
// made. Leaves nothing behind. Called by core/sync.
#include <string.h>

#include "warehouse/table.h"

#define TRIAL_TABLE "_dray_check"

static int32_t run(struct dr_warehouse *warehouse, const char *begin, const char *schema, const struct dr_place *place,
                   struct dray_error *error) {
  struct dray_buffer text;
  struct dr_sql sql;
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  dr_sql_text(&sql, begin);
  if (schema != NULL) dr_sql_name(&sql, schema);
  if (place != NULL) dr_sql_place(&sql, place);
  if (place != NULL && strncmp(begin, "CREATE", 6) == 0) {
    dr_sql_text(&sql, " (a ");
    dr_sql_type(&sql, (struct dray_type){DRAY_TYPE_INT64, 0, 0});
    dr_sql_text(&sql, ")");
  }
  int32_t code = sql.code;
  if (code == DRAY_OK) code = dr_engine_execute(warehouse, dray_buffer_view(&text), NULL, NULL, NULL, error);
  dray_buffer_free(&text);
  return code;
}

static int32_t is_there(struct dr_warehouse *warehouse, const struct dr_place *place, int *out_found,
                        struct dray_error *error) {
  struct dr_shape shape;
  DRAY_TRY(dr_shape_read(warehouse, place, &shape, error));
  *out_found = shape.found;
  dr_shape_free(&shape);
  return DRAY_OK;
}

static int32_t make(struct dr_warehouse *warehouse, const struct dr_place *trial, struct dray_error *error) {
  const int inside = dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  int found = 1;
  if (trial->schema != NULL) DRAY_TRY(dr_schema_is_there(warehouse, trial->schema, &found, error));
  if (!found && !inside) return DRAY_OK; // it would stay
  if (inside) DRAY_TRY(dr_engine_begin(warehouse, error));
  int32_t code = found ? DRAY_OK : run(warehouse, "CREATE SCHEMA ", trial->schema, NULL, error);
  if (code == DRAY_OK) code = run(warehouse, "CREATE TABLE ", NULL, trial, error);
  if (inside) {
    dr_engine_rollback(warehouse);
  } else if (code == DRAY_OK) {
    code = run(warehouse, "DROP TABLE ", NULL, trial, error);
  }
  return code;
}

int32_t dr_table_try(struct dr_warehouse *warehouse, const struct dr_table_name *name, struct dray_error *error) {
  const struct dr_table_options options = {.name = *name};
  struct dr_place table = {NULL, NULL}, state = {NULL, NULL}, trial = {NULL, NULL};
  int has_table = 0, has_state = 0;
  if (!dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_SCHEMAS)) return DRAY_OK;
  int32_t code = dr_place_make(&warehouse->dialect, name->schema, name->table, &table, error);
  if (code == DRAY_OK) code = dr_state_place(warehouse, &options, &state, error);
  if (code == DRAY_OK) code = dr_place_make(&warehouse->dialect, name->schema, TRIAL_TABLE, &trial, error);
  if (code == DRAY_OK) code = is_there(warehouse, &table, &has_table, error);
  if (code == DRAY_OK) code = is_there(warehouse, &state, &has_state, error);
  if (code == DRAY_OK && !(has_table && has_state)) code = make(warehouse, &trial, error);
  dr_place_free(&table);
  dr_place_free(&state);
  dr_place_free(&trial);
  return code;
}
