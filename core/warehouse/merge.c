// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the staging table into the table: a few statements over sets, each touching only rows that really differ. Here
// are the pieces they are written from; what is said is in upsert.c, replace.c and history.c. In all of them `d` is the
// table and `s` the staging. Called by the writer inside its transaction.
#include "warehouse/merge.h"

#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"

#define COMPARED_PER_GROUP 30 // a chain of OR nests as deep as it is long, and engines limit depth

// ---- pieces ----

void dr_merge_begin(struct dr_merge *merge, const char *verb) {
  dr_sql_begin(&merge->sql, &merge->writer->warehouse->dialect, &merge->writer->text, merge->error);
  dr_sql_text(&merge->sql, verb);
}

void dr_put_table(struct dr_merge *merge, const char *alias) {
  dr_sql_place(&merge->sql, &merge->writer->table);
  if (alias == NULL) return;
  dr_sql_text(&merge->sql, " AS ");
  dr_sql_text(&merge->sql, alias);
}

void dr_put_staging(struct dr_merge *merge, const char *alias) {
  dr_sql_place(&merge->sql, merge->from != NULL ? merge->from : &merge->writer->staging);
  if (alias == NULL) return;
  dr_sql_text(&merge->sql, " AS ");
  dr_sql_text(&merge->sql, alias);
}

// Key columns of the tables of a timeline (history.c) go by numbers: in a query in a query SQLite does not find a
// column "true".
static int is_timeline(const struct dr_merge *merge, const char *alias) {
  if (alias == NULL) return 0;
  return strcmp(alias, "s") == 0 ? merge->from != NULL : strchr(DR_TIMELINE_ALIASES, alias[0]) != NULL;
}

// How the tables of a timeline call a key's column. Returns `out`.
static const char *timeline_key(const struct dr_merge *merge, const struct dr_table_column *column, char out[32]) {
  (void)snprintf(out, 32, DR_TIMELINE_KEY_PREFIX "%zu", (size_t)(column - merge->writer->columns));
  return out;
}

enum { FORM_PLAIN = 0, FORM_EXACT, FORM_BESIDE, FORM_FOUND };

// A column of the key: as it is, in the form whose equality is that of its bytes, as it stands beside a loose one, or
// as the index over the table's column finds it.
static void put_key_column(struct dr_merge *merge, const char *alias, const struct dr_table_column *column, int form) {
  char timeline[32];
  const char *name = is_timeline(merge, alias) ? timeline_key(merge, column, timeline) : column->name;
  if (form == FORM_EXACT) {
    dr_sql_exact(&merge->sql, alias, name);
  } else if (form == FORM_FOUND && column->found_as.len > 0) {
    dr_sql_formed(&merge->sql, column->found_as, alias, name);
  } else if (form >= FORM_BESIDE && column->loose) {
    dr_sql_beside(&merge->sql, alias, name);
  } else {
    dr_sql_column(&merge->sql, alias, name);
  }
}

// A table that is replaced need not have an index over the key. Engines that write through joins look each of its rows
// up in the staging then, which gets one.
int dr_merge_joins_by_key(const struct dr_table_writer *writer) {
  return writer->options->mode == DR_WRITE_REPLACE &&
         dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_JOIN_WRITES);
}

static int compares_beside(const struct dr_merge *merge, const struct dr_table_column *column) {
  return column->loose && merge->writer->warehouse->dialect.beside_text.len > 0;
}

static void put_equal(struct dr_merge *merge, const char *table, int table_form, const char *other, int other_form,
                      const struct dr_table_column *column) {
  put_key_column(merge, table, column, table_form);
  dr_sql_text(&merge->sql, " = ");
  put_key_column(merge, other, column, other_form);
}

// Keys of tables that dray makes are such that `=` is exact, and found by their index. An index of somebody else's
// finds what its collation takes for the key, and then it is looked at. Where the index is of another character set, or
// the engine uses none for a comparison by another collation, it is asked first for the text as the column has it: one
// that the set does not hold would be another there, so what is found is compared all the same. The key of a table that
// is replaced is a column like others, and an index is asked for it only where dr_merge_joins_by_key: that of the
// staging as well.
static void put_column_match(struct dr_merge *merge, const char *table, const char *other,
                             const struct dr_table_column *column) {
  const int replace = merge->writer->options->mode == DR_WRITE_REPLACE;
  const int beside = compares_beside(merge, column);
  const int by_index = !replace || beside || dr_merge_joins_by_key(merge->writer);
  if (by_index && column->found_as.len > 0 && !is_timeline(merge, table)) {
    put_equal(merge, table, FORM_PLAIN, other, FORM_FOUND, column);
    dr_sql_text(&merge->sql, " AND ");
  }
  if (by_index) put_equal(merge, table, FORM_PLAIN, other, FORM_BESIDE, column);
  if (!replace && (beside || !column->loose)) return;
  if (by_index) dr_sql_text(&merge->sql, " AND ");
  if (beside) {
    put_equal(merge, table, FORM_EXACT, other, FORM_PLAIN, column);
  } else if (column->loose) {
    put_equal(merge, table, FORM_EXACT, other, FORM_EXACT, column);
  } else {
    dr_put_compared(merge, table, column);
    dr_sql_text(&merge->sql, " = ");
    dr_put_compared(merge, other, column);
  }
}

// d."k1" = s."k1" AND ...
void dr_put_key_match(struct dr_merge *merge, const char *table, const char *other) {
  const char *between = "";
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(&merge->sql, between);
    put_column_match(merge, table, other, &merge->writer->columns[i]);
    between = " AND ";
  }
}

// d."_dray_valid_from" = (SELECT MAX(v."_dray_valid_from") FROM t AS v WHERE v.key = s.key AND it is not after s)
static void put_version_before(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_sql_column(sql, "d", DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, " = (SELECT MAX(");
  dr_sql_column(sql, "v", DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, ") FROM ");
  dr_put_table(merge, "v");
  dr_sql_text(sql, " WHERE ");
  dr_put_key_match(merge, "v", "s");
  dr_sql_text(sql, " AND ");
  dr_sql_column(sql, "v", DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, " <= ");
  dr_sql_column(sql, "s", DR_COLUMN_VALID_FROM);
  dr_sql_text(sql, ")");
}

static void put_same_time(struct dr_merge *merge, const char *table, const char *other) {
  dr_sql_column(&merge->sql, table, DR_COLUMN_VALID_FROM);
  dr_sql_text(&merge->sql, " = ");
  dr_sql_column(&merge->sql, other, DR_COLUMN_VALID_FROM);
}

void dr_put_match(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  dr_put_key_match(merge, "d", "s");
  if (merge->match == DR_MATCH_KEY) return;
  dr_sql_text(sql, " AND ");
  if (merge->match == DR_MATCH_CURRENT) {
    dr_sql_column(sql, "d", DR_COLUMN_CURRENT);
  } else if (merge->match == DR_MATCH_BEFORE) {
    put_version_before(merge);
  } else {
    put_same_time(merge, "d", "s");
  }
}

void dr_put_same_version(struct dr_merge *merge, const char *table, const char *other) {
  dr_put_key_match(merge, table, other);
  dr_sql_text(&merge->sql, " AND ");
  put_same_time(merge, table, other);
}

static void put_key_list(struct dr_merge *merge, const char *alias, int form) {
  const char *between = "";
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(&merge->sql, between);
    put_key_column(merge, alias, &merge->writer->columns[i], form);
    between = ", ";
  }
}

void dr_put_key(struct dr_merge *merge, const char *alias) {
  put_key_list(merge, alias, FORM_PLAIN);
}

void dr_put_timeline_key(struct dr_merge *merge) {
  const char *between = "";
  char name[32];
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(&merge->sql, between);
    dr_sql_name(&merge->sql, timeline_key(merge, &merge->writer->columns[i], name));
    between = ", ";
  }
}

// The key for an IN, on its left without an alias. Beside a loose column, and one for which texts are brought to
// another character set, stands its exact form: an index is still of use.
static void put_looked_up_key(struct dr_merge *merge, const char *alias) {
  put_key_list(merge, alias, alias != NULL ? FORM_FOUND : FORM_PLAIN);
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    const struct dr_table_column *column = &merge->writer->columns[i];
    if (!column->key || (!column->loose && column->found_as.len == 0)) continue;
    dr_sql_text(&merge->sql, ", ");
    put_key_column(merge, alias, column, FORM_EXACT);
  }
}

int dr_merge_joins(const struct dr_merge *merge) {
  return dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_JOIN_WRITES);
}

// Returns the alias that the table's columns have in the statement. The staging comes first: each of its rows is looked
// up in the key's index.
const char *dr_put_target(struct dr_merge *merge, int join) {
  if (!join) {
    dr_put_table(merge, NULL);
    return NULL;
  }
  dr_put_staging(merge, "s");
  dr_sql_text(&merge->sql, " JOIN ");
  dr_put_table(merge, "d");
  dr_sql_text(&merge->sql, " ON ");
  dr_put_match(merge);
  return "d";
}

void dr_put_is_delete(struct dr_merge *merge) {
  dr_sql_column(&merge->sql, "s", DR_COLUMN_STAGED_OP);
  dr_sql_text(&merge->sql, " = ");
  dr_sql_number(&merge->sql, DRAY_OP_DELETE);
}

void dr_put_part(struct dr_merge *merge, int part) {
  struct dr_sql *sql = &merge->sql;
  if (part == DR_PART_DELETES || part == DR_PART_UNTIMED) dr_put_is_delete(merge);
  if (part == DR_PART_UNTIMED) dr_sql_text(sql, " AND ");
  if (part == DR_PART_UNTIMED || part == DR_PART_TIMED) {
    dr_sql_column(sql, "s", DR_COLUMN_VALID_FROM);
    dr_sql_text(sql, part == DR_PART_TIMED ? " IS NOT NULL" : " IS NULL");
  }
}

// (key) IN (SELECT key FROM staging ...): engines look each staged key up in the key's index.
void dr_put_key_in_part(struct dr_merge *merge, int part) {
  struct dr_sql *sql = &merge->sql;
  dr_sql_text(sql, "(");
  put_looked_up_key(merge, NULL);
  dr_sql_text(sql, ") IN (SELECT ");
  put_looked_up_key(merge, "s");
  dr_sql_text(sql, " FROM ");
  dr_put_staging(merge, "s");
  if (part != DR_PART_ALL) dr_sql_text(sql, " WHERE ");
  dr_put_part(merge, part);
  dr_sql_text(sql, ")");
}

const char *dr_merge_first_key(const struct dr_merge *merge) {
  size_t i = 0;
  while (!merge->writer->columns[i].key) i++; // a merge by key has one
  return merge->writer->columns[i].name;
}

void dr_put_no_row(struct dr_merge *merge, const char *alias) {
  dr_sql_column(&merge->sql, alias, dr_merge_first_key(merge));
  dr_sql_text(&merge->sql, " IS NULL");
}

// Inserts and updates are treated alike: what the table holds decides which of the two a row becomes.
void dr_put_is_upsert(struct dr_merge *merge) {
  dr_sql_column(&merge->sql, "s", DR_COLUMN_STAGED_OP);
  dr_sql_text(&merge->sql, " <> ");
  dr_sql_number(&merge->sql, DRAY_OP_DELETE);
}

// Whether the JSON of two columns must be cast to be compared or assigned.
int dr_merge_casts_json(const struct dr_merge *merge, const struct dr_table_column *column) {
  return column->stored.id == DRAY_TYPE_JSON &&
         !dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_JSON_IS_TEXT);
}

// A column for a comparison. JSON is compared as text: engines have types for it that know no equality, and what was
// written is text. Texts are compared byte by byte, whatever the engine takes to be equal.
void dr_put_compared(struct dr_merge *merge, const char *alias, const struct dr_table_column *column) {
  const int json = dr_merge_casts_json(merge, column);
  if (column->loose || (!json && column->stored.id == DRAY_TYPE_JSON)) {
    dr_sql_exact(&merge->sql, alias, column->name);
    return;
  }
  if (json) dr_sql_text(&merge->sql, "CAST(");
  dr_sql_column(&merge->sql, alias, column->name);
  if (!json) return;
  dr_sql_text(&merge->sql, " AS ");
  dr_sql_type(&merge->sql, (struct dray_type){DRAY_TYPE_STRING, 0, 0});
  dr_sql_text(&merge->sql, ")");
}

void dr_put_unlike(struct dr_merge *merge, int between) {
  struct dr_sql *sql = &merge->sql;
  const int equal = dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_NULL_SAFE_EQUAL);
  if (!between) {
    dr_sql_text(sql, equal ? "NOT " : "");
  } else if (equal) {
    dr_sql_text(sql, " <=> ");
  } else {
    dr_sql_flag(sql, DRAY_DIALECT_NULL_SAFE_IS, " IS NOT ", " IS DISTINCT FROM ");
  }
}

static void put_unlike_values(struct dr_merge *merge, const struct dr_table_column *column) {
  const int beside = compares_beside(merge, column);
  dr_put_unlike(merge, 0);
  if (beside) dr_sql_column(&merge->sql, "d", column->name);
  if (!beside) dr_put_compared(merge, "d", column);
  dr_put_unlike(merge, 1);
  if (beside) dr_sql_beside(&merge->sql, "s", column->name);
  if (!beside) dr_put_compared(merge, "s", column);
}

// The row in the table is not what was staged.
void dr_put_differs(struct dr_merge *merge) {
  struct dr_sql *sql = &merge->sql;
  size_t n = 0;
  dr_sql_text(sql, "((");
  if (merge->writer->has_deleted_at) {
    dr_sql_column(sql, "d", DR_COLUMN_DELETED_AT);
    dr_sql_text(sql, " IS NOT NULL");
    n++;
  }
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    const struct dr_table_column *column = &merge->writer->columns[i];
    if (column->key) continue;
    if (n > 0) dr_sql_text(sql, n % COMPARED_PER_GROUP == 0 ? ") OR (" : " OR ");
    put_unlike_values(merge, column);
    n++;
  }
  dr_sql_text(sql, n == 0 ? "1 = 0))" : "))");
}

// Runs the statement that was written; each of its parameters is the time of this write.
int32_t dr_merge_run(struct dr_merge *merge, int64_t *out_rows) {
  const struct dray_column_def def = {"now", {DRAY_TYPE_TIMESTAMP, 0, 0}, 0};
  const size_t count = merge->sql.param_count;
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray params = {.release = NULL};
  struct dray_builder *builder = NULL;
  struct dray_column_def defs[8];
  const struct dray_str text = dray_buffer_view(&merge->writer->text);
  int32_t full = 0;
  DRAY_TRY(merge->sql.code);
  if (count == 0) return dr_engine_execute(merge->writer->warehouse, text, NULL, NULL, out_rows, merge->error);
  if (count > sizeof defs / sizeof defs[0]) return dray_fail(merge->error, DRAY_E_INTERNAL, "%zu parameters", count);
  for (size_t i = 0; i < count; i++) defs[i] = def;
  int32_t code = dray_schema_make(defs, count, &schema, merge->error);
  if (code == DRAY_OK) code = dray_builder_new(&schema, 1, 1024, &builder, merge->error);
  for (size_t i = 0; i < count && code == DRAY_OK; i++) {
    code = dray_builder_timestamp(builder, i, merge->writer->now_us, merge->error);
  }
  if (code == DRAY_OK) code = dray_builder_end_row(builder, &full, merge->error);
  if (code == DRAY_OK) code = dray_builder_finish(builder, &params, merge->error);
  if (code == DRAY_OK) {
    code = dr_engine_execute(merge->writer->warehouse, text, &schema, &params, out_rows, merge->error);
  }
  dray_array_release(&params);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return code;
}

// Runs it and counts the rows it touched; an engine that does not say is taken at what was staged.
int32_t dr_merge_run_counted(struct dr_merge *merge, uint64_t otherwise) {
  int64_t rows = -1;
  DRAY_TRY(dr_merge_run(merge, &rows));
  if (rows < 0) merge->writer->may_idle = 0; // it may have been something
  *merge->written += rows >= 0 ? (uint64_t)rows : otherwise;
  return DRAY_OK;
}

int32_t dr_merge_ask(struct dr_merge *merge, int *out_answer) {
  DRAY_TRY(merge->sql.code);
  return dr_engine_has_rows(merge->writer->warehouse, dray_buffer_view(&merge->writer->text), out_answer, merge->error);
}

int32_t dr_merge_number(struct dr_merge *merge, uint64_t *out) {
  DRAY_TRY(merge->sql.code);
  return dr_engine_number(merge->writer->warehouse, dray_buffer_view(&merge->writer->text), out, merge->error);
}

// ---- the modes ----

int32_t dr_merge_staging(struct dr_table_writer *writer, uint64_t *written, struct dray_error *error) {
  struct dr_merge merge = {.writer = writer, .written = written, .error = error};
  if (writer->options->mode == DR_WRITE_UPSERT) return dr_merge_upsert(&merge);
  if (writer->options->mode == DR_WRITE_REPLACE) return dr_merge_replace(&merge);
  return writer->timed ? dr_merge_versions(&merge) : dr_merge_history(&merge);
}
