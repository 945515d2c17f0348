// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The pieces that the merges of the modes are written from. Inside core/warehouse only.
#ifndef DR_WAREHOUSE_MERGE_H
#define DR_WAREHOUSE_MERGE_H

#include "warehouse/writer.h"

// Columns of a timeline's tables that are keys: + the number of the column.
#define DR_TIMELINE_KEY_PREFIX "_dray_k"
// The aliases of a timeline's tables and of queries over them.
#define DR_TIMELINE_ALIASES "megou"
// Truth as an expression: SQLite takes TRUE for a column of that name where there is one.
#define DR_SQL_TRUE "(1 = 1)"
#define DR_SQL_FALSE "(1 = 0)"

// Which row of the table `d` belongs to a staged row `s`.
enum {
  DR_MATCH_KEY = 0, // the one of its key
  DR_MATCH_CURRENT, // the current version of its key
  DR_MATCH_VERSION, // the version that began when it begins
  DR_MATCH_BEFORE   // the last version that began no later than it does
};

// Which staged rows.
enum {
  DR_PART_ALL = 0,
  DR_PART_DELETES,
  DR_PART_TIMED,  // that have a place in time
  DR_PART_UNTIMED // deletes that have none
};

// One merge, statement by statement.
struct dr_merge {
  struct dr_table_writer *writer;
  const struct dr_place *from; // what dr_put_staging names; NULL: the staging
  int match;                   // DR_MATCH_*
  struct dr_sql sql;           // the statement being written, into writer->text
  uint64_t *written;
  struct dray_error *error;
};

// ---- pieces (merge.c) ----

void dr_merge_begin(struct dr_merge *merge, const char *verb); // a new statement
void dr_put_table(struct dr_merge *merge, const char *alias);
void dr_put_staging(struct dr_merge *merge, const char *alias);
void dr_put_key_match(struct dr_merge *merge, const char *table, const char *other);
void dr_put_match(struct dr_merge *merge);
void dr_put_same_version(struct dr_merge *merge, const char *table, const char *other);
void dr_put_key(struct dr_merge *merge, const char *alias); // k1, k2
void dr_put_timeline_key(struct dr_merge *merge);           // the same for the columns of an INSERT into a timeline
// Engines that write through a join: one UPDATE or DELETE over `s JOIN d`, with the columns named by their alias.
int dr_merge_joins(const struct dr_merge *merge);
int dr_merge_joins_by_key(const struct dr_table_writer *writer); // of a table that need not have an index over the key
// Puts the table, or with `join` both. Returns the alias that the table's columns have in the statement.
const char *dr_put_target(struct dr_merge *merge, int join);
void dr_put_is_upsert(struct dr_merge *merge);
void dr_put_is_delete(struct dr_merge *merge);
void dr_put_part(struct dr_merge *merge, int part);        // DR_PART_*; nothing for all
void dr_put_key_in_part(struct dr_merge *merge, int part); // (key) IN (SELECT ...)
int dr_merge_casts_json(const struct dr_merge *merge, const struct dr_table_column *column);
void dr_put_compared(struct dr_merge *merge, const char *alias, const struct dr_table_column *column);
// What stands before (0) and between (1) two values that are said to differ, a null being a value.
void dr_put_unlike(struct dr_merge *merge, int between);
void dr_put_differs(struct dr_merge *merge);
const char *dr_merge_first_key(const struct dr_merge *merge);
// The key of `alias` is null: after a LEFT JOIN, there is no such row.
void dr_put_no_row(struct dr_merge *merge, const char *alias);
// Runs the statement that was written; each of its parameters is the time of this write.
DRAY_NODISCARD int32_t dr_merge_run(struct dr_merge *merge, int64_t *out_rows);
// Runs it and counts the rows it touched; an engine that does not say is taken at what was staged.
DRAY_NODISCARD int32_t dr_merge_run_counted(struct dr_merge *merge, uint64_t otherwise);
// Runs the query that was written: has it a row?
DRAY_NODISCARD int32_t dr_merge_ask(struct dr_merge *merge, int *out_answer);
// Runs the query that was written, of one number named "n".
DRAY_NODISCARD int32_t dr_merge_number(struct dr_merge *merge, uint64_t *out);

// ---- by key (upsert.c) ----

DRAY_NODISCARD int32_t dr_merge_fill_absent(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_delete_rows(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_update_rows(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_insert_missing(struct dr_merge *merge);
void dr_put_staged_value(struct dr_merge *merge, const char *name, int update_from);
// The columns of an INSERT, each followed by a comma, and after SELECT where their values come from.
void dr_put_insert_columns(struct dr_merge *merge, const char *alias);
void dr_put_insert(struct dr_merge *merge); // INSERT INTO t (...) SELECT ... FROM staging AS s

// ---- the modes ----

DRAY_NODISCARD int32_t dr_merge_upsert(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_replace(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_history(struct dr_merge *merge);
DRAY_NODISCARD int32_t dr_merge_versions(struct dr_merge *merge);

#endif // DR_WAREHOUSE_MERGE_H
