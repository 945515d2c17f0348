// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the staging table into a table that keeps every version of a row. Without a column that says since when a row is
// as it is, a version begins with the write that brought it. With one, every staged row has its place in time, which
// may lie before versions that are there (README.md, "History").
#include <stdio.h>

#include "warehouse/merge.h"

// ---- by the time of the write ----

// A staged row equal to the current version is no new version.
static int32_t forget_unchanged(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  dr_merge_begin(merge, join ? "DELETE s FROM " : "DELETE FROM ");
  if (join) (void)dr_put_target(merge, 1);
  if (!join) dr_put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  dr_put_is_upsert(merge);
  if (!join) {
    dr_sql_text(sql, " AND EXISTS (SELECT 1 FROM ");
    dr_put_table(merge, "d");
    dr_sql_text(sql, " WHERE ");
    dr_put_match(merge);
  }
  dr_sql_text(sql, " AND NOT ");
  dr_put_differs(merge);
  if (!join) dr_sql_text(sql, ")");
  return dr_merge_run(merge, NULL);
}

// The current versions of the keys of these staged rows end now. A version that is to begin later than now (by a clock
// that is ahead) ends as it begins: it never was.
static int32_t close_versions(struct dr_merge *merge, int part) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  merge->match = DR_MATCH_CURRENT;
  dr_merge_begin(merge, "UPDATE ");
  const char *alias = dr_put_target(merge, join);
  dr_sql_text(sql, " SET ");
  dr_sql_column(sql, alias, DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " = CASE WHEN ");
  dr_sql_column(sql, alias, DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, " > ");
  dr_sql_param(sql);
  dr_sql_text(sql, " THEN ");
  dr_sql_column(sql, alias, DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, " ELSE ");
  dr_sql_param(sql);
  dr_sql_text(sql, " END, ");
  dr_sql_column(sql, alias, DR_COLUMN_SYNCED_AT);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
  dr_sql_text(sql, ", ");
  dr_sql_column(sql, alias, DR_COLUMN_CURRENT);
  dr_sql_text(sql, " = " DR_SQL_FALSE " WHERE ");
  dr_sql_column(sql, alias, DR_COLUMN_CURRENT);
  if (!join || part != DR_PART_ALL) dr_sql_text(sql, " AND ");
  if (join) dr_put_part(merge, part);
  if (!join) dr_put_key_in_part(merge, part);
  return dr_merge_run_counted(merge, 0);
}

int32_t dr_merge_history(struct dr_merge *merge) {
  merge->match = DR_MATCH_CURRENT;
  DRAY_TRY(dr_merge_fill_absent(merge));
  if (merge->writer->upsert_count > 0) DRAY_TRY(forget_unchanged(merge));
  DRAY_TRY(close_versions(merge, DR_PART_ALL));
  if (merge->writer->upsert_count == 0) return DRAY_OK;
  dr_put_insert(merge);
  dr_sql_text(&merge->sql, " WHERE ");
  dr_put_is_upsert(merge);
  return dr_merge_run_counted(merge, merge->writer->upsert_count);
}

// ---- by the rows' own time ----

// What is known of a moment of a key, by weight: the greatest of a moment is what holds, and when it is odd, a version
// begins. Staged rows weigh more the later they came: STAGED_GONE or STAGED + 2 * their order.
enum { WEIGHT_END = 0, WEIGHT_MARK = 2, WEIGHT_VERSION = 3, WEIGHT_STAGED_GONE = 4, WEIGHT_STAGED = 5 };

static void put_time(struct dr_merge *merge, const char *alias) {
  dr_sql_column(&merge->sql, alias, DR_COLUMN_VALID_FROM);
}

// Key and columns; `alias` NULL: of a timeline's table that is inserted into.
static void put_list(struct dr_merge *merge, const char *alias, const char *const *names, size_t count) {
  if (alias == NULL) dr_put_timeline_key(merge);
  if (alias != NULL) dr_put_key(merge, alias);
  for (size_t i = 0; i < count; i++) {
    dr_sql_text(&merge->sql, ", ");
    dr_sql_column(&merge->sql, alias, names[i]);
  }
}

static void put_weight(struct dr_merge *merge, uint64_t when, uint64_t otherwise) {
  dr_sql_text(&merge->sql, " THEN ");
  dr_sql_number(&merge->sql, when);
  dr_sql_text(&merge->sql, " ELSE ");
  dr_sql_number(&merge->sql, otherwise);
  dr_sql_text(&merge->sql, " END");
}

static void insert_moments(struct dr_merge *merge, const char *alias, const char *time) {
  static const char *const columns[] = {DR_COLUMN_VALID_FROM, DR_COLUMN_STAGED_ORDER, DR_COLUMN_EVENT_LIVE};
  struct dr_sql *sql = &merge->sql;
  dr_merge_begin(merge, "INSERT INTO ");
  dr_sql_place(sql, &merge->writer->moments);
  dr_sql_text(sql, " (");
  put_list(merge, NULL, columns, 3);
  dr_sql_text(sql, ") SELECT ");
  put_list(merge, alias, &time, 1);
  dr_sql_text(sql, ", ");
}

// What was staged for a moment.
static int32_t find_staged(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  insert_moments(merge, "s", DR_COLUMN_VALID_FROM);
  dr_sql_column(sql, "s", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, ", 2 * ");
  dr_sql_column(sql, "s", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " + CASE WHEN ");
  dr_put_is_upsert(merge);
  put_weight(merge, WEIGHT_STAGED, WEIGHT_STAGED_GONE);
  dr_sql_text(sql, " FROM ");
  dr_put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  dr_put_part(merge, DR_PART_TIMED);
  return dr_merge_run(merge, NULL);
}

// Of rows that came for the same moment of a key only the last stays in the staging. The moments are those that were
// staged.
static int32_t forget_repeated(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_merge_begin(merge, "DELETE FROM ");
  dr_put_staging(merge, NULL);
  dr_sql_text(sql, " WHERE ");
  dr_sql_name(sql, DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " IN (SELECT ");
  dr_sql_column(sql, "n", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " FROM (SELECT ");
  dr_sql_column(sql, "m", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, ", ROW_NUMBER() OVER (PARTITION BY ");
  dr_put_key(merge, "m");
  dr_sql_text(sql, ", ");
  put_time(merge, "m");
  dr_sql_text(sql, " ORDER BY ");
  dr_sql_column(sql, "m", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " DESC) AS ");
  dr_sql_name(sql, DR_COLUMN_EVENT_BEFORE);
  dr_sql_text(sql, " FROM ");
  dr_sql_place(sql, &merge->writer->moments);
  dr_sql_text(sql, " AS m) AS n WHERE ");
  dr_sql_column(sql, "n", DR_COLUMN_EVENT_BEFORE);
  dr_sql_text(sql, " > 1)");
  return dr_merge_run(merge, NULL);
}

// A key that is gone without a time and came again after that in the same write is not gone.
static int32_t forget_returned(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  if (merge->writer->delete_count == 0 || merge->writer->upsert_count == 0) return DRAY_OK;
  dr_merge_begin(merge, join ? "DELETE s FROM " : "DELETE FROM ");
  if (!join) {
    dr_put_staging(merge, NULL);
    dr_sql_text(sql, " WHERE ");
    dr_sql_name(sql, DR_COLUMN_STAGED_ORDER);
    dr_sql_text(sql, " IN (SELECT ");
    dr_sql_column(sql, "s", DR_COLUMN_STAGED_ORDER);
    dr_sql_text(sql, " FROM ");
  }
  dr_put_staging(merge, "s");
  dr_sql_text(sql, " JOIN ");
  dr_sql_place(sql, &merge->writer->moments);
  dr_sql_text(sql, " AS m ON ");
  dr_put_key_match(merge, "m", "s");
  dr_sql_text(sql, " WHERE ");
  dr_put_part(merge, DR_PART_UNTIMED);
  dr_sql_text(sql, " AND ");
  dr_sql_column(sql, "m", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " > ");
  dr_sql_column(sql, "s", DR_COLUMN_STAGED_ORDER);
  dr_sql_text(sql, " AND ");
  dr_sql_column(sql, "m", DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, join ? " % 2 = 1" : " % 2 = 1)");
  return dr_merge_run(merge, NULL);
}

// Where the versions of the staged keys begin that the table has.
static int32_t find_begins(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  insert_moments(merge, "d", DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, "NULL, CASE WHEN ");
  dr_sql_column(sql, "d", DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " = ");
  put_time(merge, "d");
  put_weight(merge, WEIGHT_MARK, WEIGHT_VERSION);
  dr_sql_text(sql, " FROM ");
  dr_put_table(merge, "d");
  dr_sql_text(sql, " WHERE ");
  dr_put_key_in_part(merge, DR_PART_TIMED);
  return dr_merge_run(merge, NULL);
}

// And where they end. A row that a full read shows is there now: that its key was found gone after the moment it is of
// does not end it again.
static int32_t find_ends(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int shown = !merge->writer->own_time;
  insert_moments(merge, "d", DR_COLUMN_VALID_TO);
  dr_sql_text(sql, "NULL, ");
  dr_sql_number(sql, WEIGHT_END);
  dr_sql_text(sql, " FROM ");
  if (shown) {
    dr_put_staging(merge, "s");
    dr_sql_text(sql, " JOIN ");
  }
  dr_put_table(merge, "d");
  if (shown) {
    dr_sql_text(sql, " ON ");
    dr_put_key_match(merge, "d", "s");
  }
  dr_sql_text(sql, " WHERE ");
  dr_sql_column(sql, "d", DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " IS NOT NULL AND ");
  if (shown) {
    dr_put_part(merge, DR_PART_TIMED);
    dr_sql_text(sql, " AND (");
    dr_sql_column(sql, "d", DR_COLUMN_VALID_TO);
    dr_sql_text(sql, " <= ");
    put_time(merge, "s");
    dr_sql_text(sql, " OR ");
    put_time(merge, "d");
    dr_sql_text(sql, " > ");
    put_time(merge, "s");
    dr_sql_text(sql, ")");
  } else {
    dr_put_key_in_part(merge, DR_PART_TIMED);
  }
  return dr_merge_run(merge, NULL);
}

// expression OVER (PARTITION BY key ORDER BY time) AS name
static void put_neighbour(struct dr_merge *merge, const char *function, const char *of, const char *name) {
  struct dr_sql *sql = &merge->sql;
  dr_sql_text(sql, ", ");
  dr_sql_text(sql, function);
  dr_sql_text(sql, "(");
  dr_sql_column(sql, "g", of);
  dr_sql_text(sql, ") OVER (PARTITION BY ");
  dr_put_key(merge, "g");
  dr_sql_text(sql, " ORDER BY ");
  put_time(merge, "g");
  dr_sql_text(sql, ") AS ");
  dr_sql_name(sql, name);
}

// The moments in order, each with what it is and what stands before and after it: o.
static void put_ordered(struct dr_merge *merge) {
  static const char *const moment[] = {DR_COLUMN_VALID_FROM, DR_COLUMN_EVENT_LIVE};
  struct dr_sql *sql = &merge->sql;
  dr_sql_text(sql, "SELECT ");
  put_list(merge, "g", moment, 2);
  put_neighbour(merge, "LEAD", DR_COLUMN_VALID_FROM, DR_COLUMN_VALID_TO);
  put_neighbour(merge, "LAG", DR_COLUMN_EVENT_LIVE, DR_COLUMN_EVENT_BEFORE);
  dr_sql_text(sql, " FROM (SELECT ");
  put_list(merge, "u", moment, 1);
  dr_sql_text(sql, ", MAX(");
  dr_sql_column(sql, "u", DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, ") % 2 AS ");
  dr_sql_name(sql, DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, " FROM ");
  dr_sql_place(sql, &merge->writer->moments);
  dr_sql_text(sql, " AS u GROUP BY ");
  put_list(merge, "u", moment, 1);
  dr_sql_text(sql, ") AS g");
}

// Each version lasts until the next moment of its key; the last is the current one.
static int32_t find_events(struct dr_merge *merge) {
  static const char *const all[] = {DR_COLUMN_VALID_FROM, DR_COLUMN_EVENT_LIVE, DR_COLUMN_EVENT_BEFORE,
                                    DR_COLUMN_VALID_TO, DR_COLUMN_CURRENT};
  struct dr_sql *sql = &merge->sql;
  dr_merge_begin(merge, "INSERT INTO ");
  dr_sql_place(sql, &merge->writer->events);
  dr_sql_text(sql, " (");
  put_list(merge, NULL, all, 5);
  dr_sql_text(sql, ") SELECT ");
  put_list(merge, "o", all, 3);
  dr_sql_text(sql, ", CASE WHEN ");
  dr_sql_column(sql, "o", DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, " = 1 THEN ");
  dr_sql_column(sql, "o", DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " ELSE ");
  put_time(merge, "o");
  dr_sql_text(sql, " END, CASE WHEN ");
  dr_sql_column(sql, "o", DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, " = 1 AND ");
  dr_sql_column(sql, "o", DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " IS NULL THEN " DR_SQL_TRUE " ELSE " DR_SQL_FALSE " END FROM (");
  put_ordered(merge);
  dr_sql_text(sql, ") AS o");
  return dr_merge_run(merge, NULL);
}

static void put_new_value(struct dr_merge *merge, const char *alias, const char *name, int from_join) {
  dr_sql_column(&merge->sql, alias, name);
  dr_sql_text(&merge->sql, " = ");
  dr_put_staged_value(merge, name, from_join);
  dr_sql_text(&merge->sql, ", ");
}

static void put_unlike_events(struct dr_merge *merge, const char *name) {
  dr_put_unlike(merge, 0);
  dr_sql_column(&merge->sql, "d", name);
  dr_put_unlike(merge, 1);
  dr_sql_column(&merge->sql, "s", name);
}

// Versions that are there get the end that the events say.
static int32_t move_ends(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = dr_merge_joins(merge);
  const int update_from = !join && dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_UPDATE_FROM);
  const char *alias = NULL;
  merge->from = &merge->writer->events;
  dr_merge_begin(merge, "UPDATE ");
  if (join) alias = dr_put_target(merge, 1);
  if (!join) dr_put_table(merge, "d");
  dr_sql_text(sql, " SET ");
  put_new_value(merge, alias, DR_COLUMN_VALID_TO, join || update_from);
  put_new_value(merge, alias, DR_COLUMN_CURRENT, join || update_from);
  dr_sql_column(sql, alias, DR_COLUMN_SYNCED_AT);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
  dr_sql_text(sql, join ? " WHERE " : update_from ? " FROM " : " WHERE EXISTS (SELECT 1 FROM ");
  if (!join) {
    dr_put_staging(merge, "s");
    dr_sql_text(sql, " WHERE ");
    dr_put_match(merge);
    dr_sql_text(sql, " AND ");
  }
  dr_sql_text(sql, "(");
  put_unlike_events(merge, DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " OR ");
  put_unlike_events(merge, DR_COLUMN_CURRENT);
  dr_sql_text(sql, join || update_from ? ")" : "))");
  const int32_t code = dr_merge_run_counted(merge, 0);
  merge->from = NULL;
  return code;
}

// " FROM x JOIN events AS e ON ... LEFT JOIN t AS d ON ... WHERE d is not there AND "
static void put_missing(struct dr_merge *merge, int with_staging) {
  struct dr_sql *sql = &merge->sql;
  if (with_staging) {
    dr_put_staging(merge, "s");
    dr_sql_text(sql, " JOIN ");
    dr_sql_place(sql, &merge->writer->events);
    dr_sql_text(sql, " AS e ON ");
    dr_put_same_version(merge, "e", "s");
  } else {
    dr_sql_place(sql, &merge->writer->events);
    dr_sql_text(sql, " AS e");
  }
  dr_sql_text(sql, " LEFT JOIN ");
  dr_put_table(merge, "d");
  dr_sql_text(sql, " ON ");
  dr_put_same_version(merge, "d", "e");
  dr_sql_text(sql, " WHERE ");
  dr_put_no_row(merge, "d");
  dr_sql_text(sql, " AND ");
}

static const char *const own_columns[] = {DR_COLUMN_VALID_FROM, DR_COLUMN_VALID_TO, DR_COLUMN_CURRENT};

static void put_own(struct dr_merge *merge, const char *alias) {
  for (size_t i = 0; i < 3; i++) {
    dr_sql_text(&merge->sql, ", ");
    dr_sql_column(&merge->sql, alias, own_columns[i]);
  }
}

static int32_t insert_versions(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_merge_begin(merge, "INSERT INTO ");
  dr_put_table(merge, NULL);
  dr_sql_text(sql, " (");
  dr_put_insert_columns(merge, NULL);
  dr_sql_name(sql, DR_COLUMN_SYNCED_AT);
  put_own(merge, NULL);
  dr_sql_text(sql, ") SELECT ");
  dr_put_insert_columns(merge, "s");
  dr_sql_param(sql);
  put_own(merge, "e");
  dr_sql_text(sql, " FROM ");
  put_missing(merge, 1);
  dr_put_is_upsert(merge);
  return dr_merge_run_counted(merge, merge->writer->upsert_count);
}

// " FROM events AS e ...": that a key was gone when nothing was known of it is kept as a version without length: what
// may still come for a time before it ends there.
static void put_marks(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_sql_text(sql, " FROM ");
  put_missing(merge, 0);
  dr_sql_column(sql, "e", DR_COLUMN_EVENT_LIVE);
  dr_sql_text(sql, " = 0 AND COALESCE(");
  dr_sql_column(sql, "e", DR_COLUMN_EVENT_BEFORE);
  dr_sql_text(sql, ", 0) = 0");
}

// A mark has nothing but a key and a time. Which column has no value for it the engine says in its own words, if at
// all.
static int32_t no_mark(const struct dr_merge *merge, int32_t code) {
  const struct dr_table_writer *writer = merge->writer;
  const struct dr_table_column *filled = NULL;
  if (code == DRAY_OK || code == DRAY_E_CANCELLED) return code;
  for (size_t i = 0; i < writer->column_count && filled == NULL; i++) {
    const struct dr_shape_column *column = dr_shape_find(&writer->shape, writer->columns[i].name);
    if (!writer->columns[i].key && column->required && !column->has_default) filled = &writer->columns[i];
  }
  if (filled == NULL) return code;
  struct dray_error why = *merge->error;
  (void)dray_fail_field(merge->error, code, filled->name,
                        "table %s: a key is gone at a moment at which nothing was known of it, which is kept as a "
                        "version without values, and the column '%s' takes no null and has no default; let it take "
                        "nulls: %.300s",
                        writer->table.table, filled->name, why.text);
  (void)snprintf(merge->error->vendor_code, sizeof merge->error->vendor_code, "%s", why.vendor_code);
  return code;
}

// Engines may refuse a statement that leaves a column out which takes no null, though it would insert nothing.
static int32_t insert_marks(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  int any = 0;
  dr_merge_begin(merge, "SELECT 1 AS ");
  dr_sql_name(sql, DR_COLUMN_ASKED);
  put_marks(merge);
  dr_sql_text(sql, " LIMIT 1");
  DRAY_TRY(dr_merge_ask(merge, &any));
  if (!any) return DRAY_OK;
  dr_merge_begin(merge, "INSERT INTO ");
  dr_put_table(merge, NULL);
  dr_sql_text(sql, " (");
  dr_put_key(merge, NULL);
  dr_sql_text(sql, ", ");
  dr_sql_name(sql, DR_COLUMN_SYNCED_AT);
  put_own(merge, NULL);
  dr_sql_text(sql, ") SELECT ");
  dr_put_key(merge, "e");
  dr_sql_text(sql, ", ");
  dr_sql_param(sql);
  put_own(merge, "e");
  put_marks(merge);
  return no_mark(merge, dr_merge_run_counted(merge, 0));
}

int32_t dr_merge_versions(struct dr_merge *merge) {
  struct dr_table_writer *writer = merge->writer;
  DRAY_TRY(find_staged(merge));
  DRAY_TRY(forget_repeated(merge));
  DRAY_TRY(forget_returned(merge));
  merge->match = DR_MATCH_BEFORE;
  DRAY_TRY(dr_merge_fill_absent(merge));
  DRAY_TRY(find_begins(merge));
  DRAY_TRY(find_ends(merge));
  DRAY_TRY(find_events(merge));
  merge->match = DR_MATCH_VERSION;
  if (writer->upsert_count > 0) DRAY_TRY(dr_merge_update_rows(merge)); // a version that is told anew is corrected
  DRAY_TRY(move_ends(merge));
  if (writer->upsert_count > 0) DRAY_TRY(insert_versions(merge));
  DRAY_TRY(insert_marks(merge));
  return writer->delete_count > 0 ? close_versions(merge, DR_PART_UNTIMED) : DRAY_OK;
}
