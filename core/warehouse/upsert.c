// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the staging table into a table of current rows, by key.
#include "warehouse/merge.h"

#include <stdio.h>

// ---- absent values ----

static void put_mask_test(struct dr_merge *merge, size_t column) {
  char name[32];
  (void)snprintf(name, sizeof name, DR_COLUMN_STAGED_MASK "%zu", column / DR_MASK_BITS);
  dr_sql_text(&merge->sql, "(");
  dr_sql_column(&merge->sql, "s", name);
  dr_sql_text(&merge->sql, " & ");
  dr_sql_number(&merge->sql, UINT64_C(1) << (column % DR_MASK_BITS));
  dr_sql_text(&merge->sql, ") <> 0");
}

// "c" = CASE WHEN the mask says absent THEN what the table holds ELSE what was staged END
static void put_filled(struct dr_merge *merge, size_t index, int update_from) {
  struct dr_sql *sql = &merge->sql;
  const char *name = merge->writer->columns[index].name;
  const int json = dr_merge_casts_json(merge, &merge->writer->columns[index]); // the table may have another type for it
  dr_sql_column(sql, dr_merge_joins(merge) ? "s" : NULL, name);
  dr_sql_text(sql, " = CASE WHEN ");
  put_mask_test(merge, index);
  dr_sql_text(sql, " THEN ");
  if (!update_from) dr_sql_text(sql, "(SELECT ");
  if (json) dr_sql_text(sql, "CAST(");
  dr_sql_column(sql, "d", name);
  if (json) dr_sql_text(sql, " AS ");
  if (json) dr_sql_type(sql, merge->writer->columns[index].stored);
  if (json) dr_sql_text(sql, ")");
  if (!update_from) {
    dr_sql_text(sql, " FROM ");
    dr_put_table(merge, "d");
    dr_sql_text(sql, " WHERE ");
    dr_put_match(merge);
    dr_sql_text(sql, ")");
  }
  dr_sql_text(sql, " ELSE ");
  if (merge->writer->columns[index].loose) dr_sql_beside(sql, "s", name);
  if (!merge->writer->columns[index].loose) dr_sql_column(sql, "s", name);
  dr_sql_text(sql, " END");
}

// An absent value is one that was not said: the row keeps what the table holds. The staging is filled up with it first,
// so that the statements after it need not know of absence.
int32_t dr_merge_fill_absent(struct dr_merge *merge) {
  const struct dr_table_writer *writer = merge->writer;
  const int join = dr_merge_joins(merge);
  const int update_from = !join && dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_UPDATE_FROM);
  const char *between = "";
  size_t filled = 0;
  for (size_t i = 0; i < writer->column_count; i++) filled += writer->absent_seen[i];
  if (filled == 0) return DRAY_OK;
  dr_merge_begin(merge, "UPDATE ");
  if (join) (void)dr_put_target(merge, 1);
  if (!join) dr_put_staging(merge, "s");
  dr_sql_text(&merge->sql, " SET ");
  for (size_t i = 0; i < writer->column_count; i++) {
    if (!writer->absent_seen[i]) continue;
    dr_sql_text(&merge->sql, between);
    put_filled(merge, i, update_from || join);
    between = ", ";
  }
  if (update_from) {
    dr_sql_text(&merge->sql, " FROM ");
    dr_put_table(merge, "d");
  }
  dr_sql_text(&merge->sql, " WHERE ");
  dr_put_is_upsert(merge);
  if (update_from) {
    dr_sql_text(&merge->sql, " AND ");
    dr_put_match(merge);
  }
  return dr_merge_run(merge, NULL);
}

// ---- upsert ----

int32_t dr_merge_delete_rows(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  if (merge->writer->options->soft_delete) {
    dr_merge_begin(merge, "UPDATE ");
    const char *alias = dr_put_target(merge, join);
    dr_sql_text(sql, " SET ");
    dr_sql_column(sql, alias, DR_COLUMN_DELETED_AT);
    dr_sql_text(sql, " = ");
    dr_sql_param(sql);
    dr_sql_text(sql, ", ");
    dr_sql_column(sql, alias, DR_COLUMN_SYNCED_AT);
    dr_sql_text(sql, " = ");
    dr_sql_param(sql);
    dr_sql_text(sql, " WHERE ");
    dr_sql_column(sql, alias, DR_COLUMN_DELETED_AT);
    dr_sql_text(sql, " IS NULL AND ");
  } else {
    dr_merge_begin(merge, join ? "DELETE d FROM " : "DELETE FROM ");
    (void)dr_put_target(merge, join);
    dr_sql_text(sql, " WHERE ");
  }
  if (join) dr_put_is_delete(merge);
  if (!join) dr_put_key_in_part(merge, DR_PART_DELETES);
  return dr_merge_run_counted(merge, merge->writer->delete_count);
}

void dr_put_staged_value(struct dr_merge *merge, const char *name, int update_from) {
  struct dr_sql *sql = &merge->sql;
  if (update_from) {
    dr_sql_column(sql, "s", name);
    return;
  }
  dr_sql_text(sql, "(SELECT ");
  dr_sql_column(sql, "s", name);
  dr_sql_text(sql, " FROM ");
  dr_put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  dr_put_match(merge);
  dr_sql_text(sql, ")");
}

static void put_assignments(struct dr_merge *merge, const char *alias, int update_from) {
  struct dr_sql *sql = &merge->sql;
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    const struct dr_table_column *column = &merge->writer->columns[i];
    if (column->key) continue;
    dr_sql_column(sql, alias, column->name);
    dr_sql_text(sql, " = ");
    dr_put_staged_value(merge, column->name, update_from);
    dr_sql_text(sql, ", ");
  }
  if (merge->writer->has_deleted_at) {
    dr_sql_column(sql, alias, DR_COLUMN_DELETED_AT); // a key that returns is there again
    dr_sql_text(sql, " = NULL, ");
  }
  dr_sql_column(sql, alias, DR_COLUMN_SYNCED_AT);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
}

static int32_t update_joined_rows(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_merge_begin(merge, "UPDATE ");
  const char *alias = dr_put_target(merge, 1);
  dr_sql_text(sql, " SET ");
  put_assignments(merge, alias, 1);
  dr_sql_text(sql, " WHERE ");
  dr_put_is_upsert(merge);
  dr_sql_text(sql, " AND ");
  dr_put_differs(merge);
  return dr_merge_run_counted(merge, 0);
}

int32_t dr_merge_update_rows(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int update_from = dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_UPDATE_FROM);
  if (dr_merge_joins(merge)) return update_joined_rows(merge);
  dr_merge_begin(merge, "UPDATE ");
  dr_put_table(merge, "d");
  dr_sql_text(sql, " SET ");
  put_assignments(merge, NULL, update_from);
  dr_sql_text(sql, update_from ? " FROM " : " WHERE EXISTS (SELECT 1 FROM ");
  dr_put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  dr_put_match(merge);
  dr_sql_text(sql, " AND ");
  dr_put_is_upsert(merge);
  dr_sql_text(sql, " AND ");
  dr_put_differs(merge);
  if (!update_from) dr_sql_text(sql, ")");
  return dr_merge_run_counted(merge, 0);
}

// The columns of an INSERT, and after "SELECT" where their values come from.
void dr_put_insert_columns(struct dr_merge *merge, const char *alias) {
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    dr_sql_column(&merge->sql, alias, merge->writer->columns[i].name);
    dr_sql_text(&merge->sql, ", ");
  }
}

void dr_put_insert(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int history = merge->writer->options->mode == DR_WRITE_HISTORY;
  dr_merge_begin(merge, "INSERT INTO ");
  dr_put_table(merge, NULL);
  dr_sql_text(sql, " (");
  dr_put_insert_columns(merge, NULL);
  dr_sql_name(sql, DR_COLUMN_SYNCED_AT);
  if (history) {
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, DR_COLUMN_VALID_FROM);
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, DR_COLUMN_CURRENT);
  }
  dr_sql_text(sql, ") SELECT ");
  dr_put_insert_columns(merge, "s");
  dr_sql_param(sql);
  if (history) {
    dr_sql_text(sql, ", ");
    dr_sql_param(sql);
    dr_sql_text(sql, ", " DR_SQL_TRUE);
  }
  dr_sql_text(sql, " FROM ");
  dr_put_staging(merge, "s");
}

int32_t dr_merge_insert_missing(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_put_insert(merge);
  dr_sql_text(sql, " LEFT JOIN "); // not NOT EXISTS: without an index over the key, SQLite would search row by row
  dr_put_table(merge, "d");
  dr_sql_text(sql, " ON ");
  dr_put_match(merge);
  dr_sql_text(sql, " WHERE ");
  dr_put_no_row(merge, "d");
  dr_sql_text(sql, " AND ");
  dr_put_is_upsert(merge);
  return dr_merge_run_counted(merge, merge->writer->upsert_count);
}

int32_t dr_merge_upsert(struct dr_merge *merge) {
  if (merge->writer->delete_count > 0) DRAY_TRY(dr_merge_delete_rows(merge));
  if (merge->writer->upsert_count == 0) return DRAY_OK;
  DRAY_TRY(dr_merge_fill_absent(merge));
  DRAY_TRY(dr_merge_update_rows(merge));
  return dr_merge_insert_missing(merge);
}
