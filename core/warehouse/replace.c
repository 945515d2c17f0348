// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the staging table into a table that is to hold these rows and no others. The table stays the one it is, whatever
// way is taken: views, grants, indexes, triggers, keys that point at it and columns made by hand know it by its
// identity, which a swap of names would give to the other table. Readers see the old rows until the commit.
//
// Rows with a usable key are brought over by difference: what is gone is deleted, what differs updated, what is new
// inserted. Rows without one are compared as a whole, counting equal ones, and exchanged as a whole when any differs.
#include "warehouse/merge.h"

#define COLUMN_COUNTED "rows_there"

static void select_one(struct dr_merge *merge) {
  dr_merge_begin(merge, "SELECT 1 AS ");
  dr_sql_name(&merge->sql, DR_COLUMN_ASKED);
  dr_sql_text(&merge->sql, " FROM ");
}

// The key in the form that is compared: what a column takes to be equal would take rows that stay along.
static void put_compared_key(struct dr_merge *merge, const char *alias) {
  const char *between = "";
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(&merge->sql, between);
    dr_put_compared(merge, alias, &merge->writer->columns[i]);
    between = ", ";
  }
}

// A key is used when it tells each row from every other: in this mode nobody has promised that.
static int32_t ask_key_fails(struct dr_merge *merge, int of_staging, int *out_fails) {
  struct dr_sql *sql = &merge->sql;
  select_one(merge);
  if (of_staging) {
    dr_put_staging(merge, "d");
  } else {
    dr_put_table(merge, "d");
  }
  dr_sql_text(sql, " GROUP BY ");
  put_compared_key(merge, "d");
  dr_sql_text(sql, " HAVING COUNT(*) > 1");
  for (size_t i = 0; i < merge->writer->column_count; i++) { // COUNT(k) = 0: a null
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(sql, " OR COUNT(");
    dr_sql_column(sql, "d", merge->writer->columns[i].name);
    dr_sql_text(sql, ") = 0");
  }
  dr_sql_text(sql, " LIMIT 1");
  return dr_merge_ask(merge, out_fails);
}

static int32_t key_is_usable(struct dr_merge *merge, int *out_usable) {
  const struct dr_table_writer *writer = merge->writer;
  size_t keys = 0;
  int fails = 0;
  for (size_t i = 0; i < writer->column_count; i++) keys += writer->columns[i].key != 0;
  *out_usable = 0;
  if (keys == 0 || keys < writer->options->key_count) return DRAY_OK;
  DRAY_TRY(ask_key_fails(merge, 1, &fails));
  if (!fails) DRAY_TRY(ask_key_fails(merge, 0, &fails));
  *out_usable = !fails;
  return DRAY_OK;
}

// "t AS d LEFT JOIN staging AS s ON key WHERE s is not there": rows whose key was not read.
static void put_gone(struct dr_merge *merge) {
  dr_put_table(merge, "d");
  dr_sql_text(&merge->sql, " LEFT JOIN ");
  dr_put_staging(merge, "s");
  dr_sql_text(&merge->sql, " ON ");
  dr_put_match(merge);
  dr_sql_text(&merge->sql, " WHERE ");
  dr_put_no_row(merge, "s");
}

static int32_t count_gone(struct dr_merge *merge, uint64_t *out) {
  dr_merge_begin(merge, "SELECT COUNT(*) AS ");
  dr_sql_name(&merge->sql, "n");
  dr_sql_text(&merge->sql, " FROM ");
  put_gone(merge);
  return dr_merge_number(merge, out);
}

// Rows whose key was not read go.
static int32_t delete_gone(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  dr_merge_begin(merge, join ? "DELETE d FROM " : "DELETE FROM ");
  if (!join) {
    dr_put_table(merge, NULL);
    dr_sql_text(sql, " WHERE (");
    put_compared_key(merge, NULL);
    dr_sql_text(sql, ") IN (SELECT ");
    put_compared_key(merge, "d");
    dr_sql_text(sql, " FROM ");
  }
  put_gone(merge);
  if (!join) dr_sql_text(sql, ")");
  return dr_merge_run_counted(merge, 0);
}

static int32_t by_difference(struct dr_merge *merge) {
  // Which keys the rejected rows have is not known of all of them: some could not be read.
  DRAY_TRY(merge->writer->rejected > 0 ? count_gone(merge, &merge->writer->kept) : delete_gone(merge));
  DRAY_TRY(dr_merge_update_rows(merge));
  return dr_merge_insert_missing(merge);
}

// Columns of a query in a query go by numbers: SQLite does not find a column "true" there.
static void put_numbered(struct dr_merge *merge, size_t column) {
  dr_sql_text(&merge->sql, "c");
  dr_sql_number(&merge->sql, column);
}

// The columns of one side, and what each row counts. One that is marked as deleted counts nothing: since both sides
// have as many rows, it is missing on this one.
static void put_side(struct dr_merge *merge, const char *side) {
  const struct dr_table_writer *writer = merge->writer;
  struct dr_sql *sql = &merge->sql;
  const int of_table = side[0] == 'd';
  dr_sql_text(sql, "SELECT ");
  for (size_t i = 0; i < writer->column_count; i++) {
    dr_put_compared(merge, side, &writer->columns[i]);
    dr_sql_text(sql, " AS ");
    put_numbered(merge, i);
    dr_sql_text(sql, ", ");
  }
  if (of_table && writer->has_deleted_at) {
    dr_sql_text(sql, "CASE WHEN ");
    dr_sql_column(sql, side, DR_COLUMN_DELETED_AT);
    dr_sql_text(sql, " IS NULL THEN 1 ELSE 0 END");
  } else {
    dr_sql_text(sql, of_table ? "1" : "-1");
  }
  dr_sql_text(sql, " AS ");
  dr_sql_name(sql, DR_COLUMN_STAGED_OP);
  dr_sql_text(sql, " FROM ");
  if (of_table) {
    dr_put_table(merge, side);
  } else {
    dr_put_staging(merge, side);
  }
}

// `unlike`: how the number of equal rows here less that of those there compares with 0 where the two differ.
static int32_t ask_rows(struct dr_merge *merge, const char *unlike, int *out_differ) {
  struct dr_sql *sql = &merge->sql;
  select_one(merge);
  dr_sql_text(sql, "(");
  put_side(merge, "d");
  dr_sql_text(sql, " UNION ALL ");
  put_side(merge, "s");
  dr_sql_text(sql, ") AS u GROUP BY ");
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (i > 0) dr_sql_text(sql, ", ");
    dr_sql_text(sql, "u.");
    put_numbered(merge, i);
  }
  dr_sql_text(sql, " HAVING SUM(");
  dr_sql_column(sql, "u", DR_COLUMN_STAGED_OP);
  dr_sql_text(sql, ")");
  dr_sql_text(sql, unlike);
  dr_sql_text(sql, " LIMIT 1");
  return dr_merge_ask(merge, out_differ);
}

// As many rows here as there, or the comparison of all of them can be left.
static int32_t ask_counts_differ(struct dr_merge *merge, int *out_differ) {
  struct dr_sql *sql = &merge->sql;
  select_one(merge);
  dr_sql_text(sql, "(SELECT COUNT(*) AS ");
  dr_sql_name(sql, COLUMN_COUNTED);
  dr_sql_text(sql, " FROM ");
  dr_put_table(merge, NULL);
  dr_sql_text(sql, ") AS u WHERE ");
  dr_sql_column(sql, "u", COLUMN_COUNTED);
  dr_sql_text(sql, " <> ");
  dr_sql_number(sql, merge->writer->upsert_count);
  return dr_merge_ask(merge, out_differ);
}

static int32_t exchange(struct dr_merge *merge) {
  const uint64_t before = *merge->written;
  int64_t gone = -1;
  dr_merge_begin(merge, "DELETE FROM ");
  dr_put_table(merge, NULL);
  DRAY_TRY(dr_merge_run(merge, &gone));
  dr_put_insert(merge);
  DRAY_TRY(dr_merge_run_counted(merge, merge->writer->upsert_count));
  // Nothing took the place of what went: then those are the rows that were touched, at least one, since they differed.
  if (*merge->written == before) *merge->written += gone > 0 ? (uint64_t)gone : 1;
  return DRAY_OK;
}

// Rows that nothing tells apart but what they hold: which of the table's the rejected ones are nobody knows.
static int32_t lose_none(struct dr_merge *merge) {
  int loses = 0;
  if (merge->writer->rejected == 0) return DRAY_OK;
  DRAY_TRY(ask_rows(merge, " > 0", &loses));
  if (!loses) return DRAY_OK;
  return dray_fail(merge->error, DRAY_E_GUARD,
                   "%llu rows were rejected, and table %s has rows that are not among the others: with no key that "
                   "tells rows apart nobody knows whether those are gone or rejected; nothing was changed. Mend the "
                   "rejected rows or what the table takes, or give the sync a `key`",
                   (unsigned long long)merge->writer->rejected, merge->writer->table.table);
}

int32_t dr_merge_replace(struct dr_merge *merge) {
  int usable = 0, differ = 0;
  DRAY_TRY(key_is_usable(merge, &usable));
  if (usable) return by_difference(merge);
  DRAY_TRY(lose_none(merge));
  DRAY_TRY(ask_counts_differ(merge, &differ));
  if (!differ) DRAY_TRY(ask_rows(merge, " <> 0", &differ));
  return differ ? exchange(merge) : DRAY_OK;
}
