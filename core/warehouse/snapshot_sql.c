// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The SQL that compares a model with its snapshot. In all of it `q` is the model, `s` the snapshot, `c` the table
// `changes`. Nothing is executed here.
//
// Engines call values equal that dray tells apart: texts under a collation, 1.0 and 1.00, -0.0 and 0.0. Rows are
// matched by =, since that is what indexes and hash joins are made for, and then compared by the dialect's exact
// comparison.
#include "warehouse/snapshot_inside.h"

#define COMPARED_PER_GROUP 30 // a chain of OR nests as deep as it is long, and engines limit depth

void dr_snapshot_put_columns(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  for (size_t i = 0; i < snapshot->options.column_count; i++) {
    if (i > 0) dr_sql_text(sql, ", ");
    dr_sql_column(sql, alias, snapshot->options.columns[i].name);
  }
}

void dr_snapshot_put_keys(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  for (size_t i = 0; i < snapshot->options.key_count; i++) {
    if (i > 0) dr_sql_text(sql, ", ");
    dr_sql_column(sql, alias, snapshot->options.key[i]);
  }
}

static int is_key(const struct dr_snapshot *snapshot, const char *name) {
  for (size_t i = 0; i < snapshot->options.key_count; i++) {
    if (strcmp(snapshot->options.key[i], name) == 0) return 1;
  }
  return 0;
}

// The dialect's text for "not the same value", with the columns in it.
static void put_differs(struct dr_sql *sql, const struct dray_column_def *column, const char *a, const char *b) {
  const struct dray_str text = sql->dialect->differs[column->type.id];
  for (uint64_t i = 0; i < text.len && sql->code == DRAY_OK; i++) {
    const int named = text.data[i] == '{' && i + 2 < text.len && text.data[i + 2] == '}';
    if (named && (text.data[i + 1] == 'a' || text.data[i + 1] == 'b')) {
      dr_sql_column(sql, text.data[i + 1] == 'a' ? a : b, column->name);
      i += 2;
    } else {
      sql->code = dray_buffer_append_char(sql->out, text.data[i], sql->error);
    }
  }
}

// NOT (differs OR differs ...), of the key's columns or of all.
static void put_same(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *a, const char *b,
                     int key_only) {
  size_t n = 0;
  dr_sql_text(sql, "NOT ((");
  for (size_t i = 0; i < snapshot->options.column_count; i++) {
    const struct dray_column_def *column = &snapshot->options.columns[i];
    if (key_only && !is_key(snapshot, column->name)) continue;
    if (n > 0) dr_sql_text(sql, n % COMPARED_PER_GROUP == 0 ? ") OR (" : " OR ");
    put_differs(sql, column, a, b);
    n++;
  }
  dr_sql_text(sql, "))");
}

static void put_match(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *a, const char *b) {
  for (size_t i = 0; i < snapshot->options.key_count; i++) {
    if (i > 0) dr_sql_text(sql, " AND ");
    dr_sql_column(sql, a, snapshot->options.key[i]);
    dr_sql_text(sql, " = ");
    dr_sql_column(sql, b, snapshot->options.key[i]);
  }
}

// GROUP BY the key. By what the engine calls equal several keys would be one: texts are grouped by their bytes as well.
static void put_group_by_key(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  dr_sql_text(sql, " GROUP BY ");
  dr_snapshot_put_keys(snapshot, sql, alias);
  for (size_t i = 0; i < snapshot->options.column_count; i++) {
    const struct dray_column_def *column = &snapshot->options.columns[i];
    if (column->type.id != DRAY_TYPE_STRING || !is_key(snapshot, column->name)) continue;
    dr_sql_text(sql, ", ");
    dr_sql_exact(sql, alias, column->name);
  }
}

void dr_snapshot_put_same_key(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *a, const char *b) {
  put_match(snapshot, sql, a, b);
  dr_sql_text(sql, " AND ");
  put_same(snapshot, sql, a, b, 1);
}

// Written out wherever it is named: engines that would make a common table expression for all of them write the whole
// model down first, and know nothing of its indexes and sizes then (PostgreSQL 15: twice the time).
void dr_snapshot_put_model(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  dr_sql_text(sql, "(\n");
  if (sql->code == DRAY_OK)
    sql->code = dray_buffer_append(sql->out, snapshot->model.data, (size_t)snapshot->model.len, sql->error);
  dr_sql_text(sql, "\n) AS "); // the model may end in a comment
  dr_sql_text(sql, alias);
}

// Keys that one of the tables has and the model has not, with nulls for the rest.
static void put_gone(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  dr_sql_text(sql, "SELECT ");
  dr_sql_number(sql, DR_SNAPSHOT_GONE);
  for (size_t i = 0; i < snapshot->options.column_count; i++) {
    const char *name = snapshot->options.columns[i].name;
    dr_sql_text(sql, ", ");
    if (is_key(snapshot, name)) dr_sql_column(sql, alias, name);
    if (!is_key(snapshot, name)) dr_sql_text(sql, "NULL");
  }
  dr_sql_text(sql, " FROM ");
}

// A LEFT JOIN that finds nothing rather than NOT EXISTS: engines without hash joins make an index for it, once.
static void put_not_in_model(const struct dr_snapshot *snapshot, struct dr_sql *sql, const char *alias) {
  dr_sql_text(sql, " LEFT JOIN ");
  dr_snapshot_put_model(snapshot, sql, "q");
  dr_sql_text(sql, " ON ");
  dr_snapshot_put_same_key(snapshot, sql, "q", alias);
  dr_sql_text(sql, " WHERE ");
  dr_sql_column(sql, "q", snapshot->options.key[0]);
  dr_sql_text(sql, " IS NULL");
}

// The keys of earlier reads that were not settled, once each. A row without a key is nobody's.
void dr_snapshot_put_older_keys(const struct dr_snapshot *snapshot, struct dr_sql *sql) {
  dr_sql_text(sql, "(SELECT ");
  dr_snapshot_put_keys(snapshot, sql, "c");
  dr_sql_text(sql, " FROM ");
  dr_sql_place(sql, &snapshot->changes);
  dr_sql_text(sql, " AS c WHERE ");
  for (size_t i = 0; i < snapshot->options.key_count; i++) {
    if (i > 0) dr_sql_text(sql, " AND ");
    dr_sql_column(sql, "c", snapshot->options.key[i]);
    dr_sql_text(sql, " IS NOT NULL");
  }
  put_group_by_key(snapshot, sql, "c");
  dr_sql_text(sql, ") AS c");
}

static void put_rows(const struct dr_snapshot *snapshot, struct dr_sql *sql, int older) {
  dr_sql_text(sql, "SELECT ");
  dr_sql_number(sql, DR_SNAPSHOT_ROW);
  dr_sql_text(sql, " AS ");
  dr_sql_name(sql, DR_COLUMN_KIND);
  dr_sql_text(sql, ", ");
  dr_snapshot_put_columns(snapshot, sql, "q");
  dr_sql_text(sql, " FROM ");
  dr_snapshot_put_model(snapshot, sql, "q");
  dr_sql_text(sql, " LEFT JOIN ");
  dr_sql_place(sql, &snapshot->held);
  dr_sql_text(sql, " AS s ON ");
  put_match(snapshot, sql, "q", "s");
  dr_sql_text(sql, " AND ");
  put_same(snapshot, sql, "q", "s", 0);
  dr_sql_text(sql, " LEFT JOIN (SELECT ");
  dr_snapshot_put_keys(snapshot, sql, "q");
  dr_sql_text(sql, " FROM ");
  dr_snapshot_put_model(snapshot, sql, "q");
  put_group_by_key(snapshot, sql, "q");
  dr_sql_text(sql, " HAVING COUNT(*) > 1) AS d ON ");
  dr_snapshot_put_same_key(snapshot, sql, "q", "d");
  if (older) {
    dr_sql_text(sql, " LEFT JOIN ");
    dr_snapshot_put_older_keys(snapshot, sql);
    dr_sql_text(sql, " ON ");
    dr_snapshot_put_same_key(snapshot, sql, "q", "c");
  }
  dr_sql_text(sql, " WHERE ");
  dr_sql_column(sql, "s", DR_COLUMN_NUMBER);
  dr_sql_text(sql, " IS NULL OR ");
  dr_sql_column(sql, "d", snapshot->options.key[0]);
  dr_sql_text(sql, " IS NOT NULL");
  if (!older) return;
  dr_sql_text(sql, " OR ");
  dr_sql_column(sql, "c", snapshot->options.key[0]);
  dr_sql_text(sql, " IS NOT NULL");
}

void dr_snapshot_put_candidates(const struct dr_snapshot *snapshot, struct dr_sql *sql, int older) {
  dr_sql_text(sql, "WITH x AS (");
  put_rows(snapshot, sql, older);
  dr_sql_text(sql, " UNION ALL ");
  put_gone(snapshot, sql, "s");
  dr_sql_place(sql, &snapshot->held);
  dr_sql_text(sql, " AS s");
  put_not_in_model(snapshot, sql, "s");
  if (older) {
    dr_sql_text(sql, " UNION ALL ");
    put_gone(snapshot, sql, "c");
    dr_snapshot_put_older_keys(snapshot, sql);
    put_not_in_model(snapshot, sql, "c");
    dr_sql_text(sql, " AND NOT EXISTS (SELECT 1 FROM ");
    dr_sql_place(sql, &snapshot->held);
    dr_sql_text(sql, " AS s WHERE ");
    dr_snapshot_put_same_key(snapshot, sql, "s", "c");
    dr_sql_text(sql, ")");
  }
  dr_sql_text(sql, ") ");
}

// ---- reading ----

// No row, but the model's own types: engines take those of a union from its first part, and a copy of a column need
// not have the type that was declared for the original.
static void put_types(const struct dr_snapshot *snapshot, struct dr_sql *sql) {
  dr_sql_text(sql, "SELECT ");
  dr_snapshot_put_columns(snapshot, sql, "q");
  dr_sql_text(sql, ", 0 AS ");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  dr_sql_text(sql, ", 0 AS ");
  dr_sql_name(sql, DR_COLUMN_KIND);
  dr_sql_text(sql, " FROM ");
  dr_snapshot_put_model(snapshot, sql, "q");
  dr_sql_text(sql, " WHERE 1 = 0 UNION ALL SELECT ");
}

static void put_kinds(struct dr_sql *sql, const char *alias, int gone) {
  dr_sql_text(sql, " WHERE ");
  dr_sql_column(sql, alias, DR_COLUMN_KIND);
  dr_sql_text(sql, " IN (");
  dr_sql_number(sql, DR_SNAPSHOT_ROW);
  if (gone) dr_sql_text(sql, ", ");
  if (gone) dr_sql_number(sql, DR_SNAPSHOT_GONE);
  dr_sql_text(sql, ")");
}

int32_t dr_snapshot_select(const struct dr_snapshot *snapshot, int what, int gone, uint64_t open,
                           struct dray_buffer *out, struct dray_error *error) {
  struct dr_sql sql;
  const int would_be = what == DR_SNAPSHOT_READ_WOULD_BE;
  const char *alias = would_be ? "x" : what == DR_SNAPSHOT_READ_ALL ? "s" : "c";
  dr_sql_begin(&sql, &snapshot->warehouse->dialect, out, error);
  if (would_be) dr_snapshot_put_candidates(snapshot, &sql, open > 0);
  put_types(snapshot, &sql);
  dr_snapshot_put_columns(snapshot, &sql, alias);
  dr_sql_text(&sql, ", ");
  if (would_be) dr_sql_number(&sql, 0);
  if (!would_be) dr_sql_column(&sql, alias, DR_COLUMN_NUMBER);
  dr_sql_text(&sql, ", ");
  if (what == DR_SNAPSHOT_READ_ALL) dr_sql_number(&sql, DR_SNAPSHOT_ROW);
  if (what != DR_SNAPSHOT_READ_ALL) dr_sql_column(&sql, alias, DR_COLUMN_KIND);
  dr_sql_text(&sql, " FROM ");
  if (would_be) dr_sql_text(&sql, "x");
  if (what == DR_SNAPSHOT_READ_ALL) dr_sql_place(&sql, &snapshot->held);
  if (what == DR_SNAPSHOT_READ_CHANGES) dr_sql_place(&sql, &snapshot->changes);
  if (!would_be) dr_sql_text(&sql, " AS ");
  if (!would_be) dr_sql_text(&sql, alias);
  if (what != DR_SNAPSHOT_READ_ALL) put_kinds(&sql, alias, gone);
  return sql.code;
}
