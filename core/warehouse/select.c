// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// SELECT statements over a table that dray writes: what a mirror is rebuilt from. Executes nothing but describe.
#include "warehouse/table.h"

static void put_live(struct dr_sql *sql, const struct dr_table_options *options) {
  if (options->mode == DR_WRITE_HISTORY) {
    dr_sql_text(sql, " WHERE ");
    dr_sql_name(sql, DR_COLUMN_CURRENT);
  } else if (options->mode == DR_WRITE_UPSERT && options->soft_delete) {
    dr_sql_text(sql, " WHERE ");
    dr_sql_name(sql, DR_COLUMN_DELETED_AT);
    dr_sql_text(sql, " IS NULL");
  }
}

// `shape` NULL: every field is taken to be there, under its own name.
static int32_t put_select(const struct dray_dialect *dialect, const struct dr_table_options *options,
                          const struct dr_shape *shape, struct dray_buffer *out, struct dray_error *error) {
  const struct dr_schema *schema = options->schema;
  struct dr_sql sql = {.dialect = dialect, .out = out, .error = error};
  dr_sql_text(&sql, "SELECT ");
  for (size_t i = 0; i < schema->field_count; i++) {
    const char *name = schema->fields[i].name;
    const struct dr_shape_column *column = shape != NULL ? dr_shape_find(shape, name) : NULL;
    if (i > 0) dr_sql_text(&sql, ", ");
    if (shape == NULL || (column != NULL && strcmp(column->name, name) == 0)) {
      dr_sql_name(&sql, name);
      continue;
    }
    if (column != NULL) dr_sql_name(&sql, column->name);
    dr_sql_text(&sql, column != NULL ? " AS " : "NULL AS ");
    dr_sql_name(&sql, name);
  }
  dr_sql_text(&sql, " FROM ");
  if (sql.code == DRAY_OK) sql.code = dr_sql_table(dialect, &options->name, out, error);
  if (shape == NULL || options->mode == DR_WRITE_HISTORY || dr_shape_find(shape, DR_COLUMN_DELETED_AT) != NULL) {
    put_live(&sql, options);
  }
  return sql.code;
}

int32_t dr_sql_select(const struct dray_dialect *dialect, const struct dr_table_options *options,
                      struct dray_buffer *out, struct dray_error *error) {
  return put_select(dialect, options, NULL, out, error);
}

int32_t dr_table_select(struct dr_warehouse *warehouse, const struct dr_table_options *options, struct dray_buffer *out,
                        int *out_found, struct dray_error *error) {
  struct dr_place place;
  struct dr_shape shape;
  DRAY_TRY(dr_place_make(&warehouse->dialect, options->name.schema, options->name.table, &place, error));
  int32_t code = dr_shape_read(warehouse, &place, &shape, error);
  dr_place_free(&place);
  if (code != DRAY_OK) return code;
  const int found = shape.found;
  if (found) code = put_select(&warehouse->dialect, options, &shape, out, error);
  dr_shape_free(&shape);
  if (code == DRAY_OK) *out_found = found;
  return code;
}

int32_t dr_table_fields(struct dr_warehouse *warehouse, const struct dr_table_options *options, uint8_t *out_has,
                        int *out_found, struct dray_error *error) {
  struct dr_place place;
  struct dr_shape shape;
  DRAY_TRY(dr_place_make(&warehouse->dialect, options->name.schema, options->name.table, &place, error));
  const int32_t code = dr_shape_read(warehouse, &place, &shape, error);
  dr_place_free(&place);
  if (code != DRAY_OK) return code;
  for (size_t i = 0; i < options->schema->field_count; i++) {
    out_has[i] = dr_shape_find(&shape, options->schema->fields[i].name) != NULL;
  }
  *out_found = shape.found;
  dr_shape_free(&shape);
  return DRAY_OK;
}

int32_t dr_table_has_rows(struct dr_warehouse *warehouse, const struct dr_table_name *name, int *out_has_rows,
                          struct dray_error *error) {
  struct dr_sql sql;
  struct dray_buffer text;
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  dr_sql_text(&sql, "SELECT 1 AS ");
  dr_sql_name(&sql, DR_COLUMN_ASKED);
  dr_sql_text(&sql, " FROM ");
  if (sql.code == DRAY_OK) sql.code = dr_sql_table(&warehouse->dialect, name, &text, error);
  dr_sql_text(&sql, " LIMIT 1");
  int32_t code = sql.code;
  if (code == DRAY_OK) code = dr_engine_has_rows(warehouse, dray_buffer_view(&text), out_has_rows, error);
  dray_buffer_free(&text);
  return code;
}
