// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the staging table into the table: a few statements over sets, each touching only rows that really differ. In all
// of them `d` is the table and `s` the staging. Called by the writer inside its transaction.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "table/encode.h"
#include "warehouse/writer.h"

#define STAGING_PREFIX "_dray_staging_"
#define COMPARED_PER_GROUP 30 // a chain of OR nests as deep as it is long, and engines limit depth

struct merge {
  struct dr_table_writer *writer;
  struct dr_sql sql;
  uint64_t *written;
  struct dray_error *error;
};

// ---- pieces ----

static void start(struct merge *merge, const char *verb) {
  dr_sql_begin(&merge->sql, &merge->writer->warehouse->dialect, &merge->writer->text, merge->error);
  dr_sql_text(&merge->sql, verb);
}

static void put_table(struct merge *merge, const char *alias) {
  dr_sql_place(&merge->sql, &merge->writer->table);
  if (alias == NULL) return;
  dr_sql_text(&merge->sql, " AS ");
  dr_sql_text(&merge->sql, alias);
}

static void put_staging(struct merge *merge, const char *alias) {
  dr_sql_place(&merge->sql, &merge->writer->staging);
  if (alias == NULL) return;
  dr_sql_text(&merge->sql, " AS ");
  dr_sql_text(&merge->sql, alias);
}

// d."k1" = s."k1" AND ...
static void put_match(struct merge *merge) {
  const char *between = "";
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    const struct dr_table_column *column = &merge->writer->columns[i];
    if (!column->key) continue;
    dr_sql_text(&merge->sql, between);
    dr_sql_column(&merge->sql, "d", column->name);
    dr_sql_text(&merge->sql, " = ");
    dr_sql_column(&merge->sql, "s", column->name);
    between = " AND ";
  }
  if (merge->writer->options->mode != DR_WRITE_HISTORY) return;
  dr_sql_text(&merge->sql, " AND ");
  dr_sql_column(&merge->sql, "d", DR_COLUMN_CURRENT);
}

static void put_key(struct merge *merge, const char *alias) {
  const char *between = "";
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    if (!merge->writer->columns[i].key) continue;
    dr_sql_text(&merge->sql, between);
    dr_sql_column(&merge->sql, alias, merge->writer->columns[i].name);
    between = ", ";
  }
}

// Engines that write through a join: one UPDATE or DELETE over `s JOIN d`, with the columns named by their alias.
static int writes_by_join(const struct merge *merge) {
  return dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_JOIN_WRITES);
}

// Returns the alias that the table's columns have in the statement. The staging comes first: each of its rows is looked
// up in the key's index.
static const char *put_target(struct merge *merge, int join) {
  if (!join) {
    put_table(merge, NULL);
    return NULL;
  }
  put_staging(merge, "s");
  dr_sql_text(&merge->sql, " JOIN ");
  put_table(merge, "d");
  dr_sql_text(&merge->sql, " ON ");
  put_match(merge);
  return "d";
}

static void put_is_delete(struct merge *merge) {
  dr_sql_column(&merge->sql, "s", DR_COLUMN_STAGED_OP);
  dr_sql_text(&merge->sql, " = ");
  dr_sql_number(&merge->sql, DRAY_OP_DELETE);
}

// (d.key) IN (SELECT key FROM staging ...): engines look each staged key up in the key's index.
static void put_key_in_staging(struct merge *merge, int deletes_only) {
  dr_sql_text(&merge->sql, "(");
  put_key(merge, NULL);
  dr_sql_text(&merge->sql, ") IN (SELECT ");
  put_key(merge, "s");
  dr_sql_text(&merge->sql, " FROM ");
  put_staging(merge, "s");
  if (deletes_only) {
    dr_sql_text(&merge->sql, " WHERE ");
    put_is_delete(merge);
  }
  dr_sql_text(&merge->sql, ")");
}

// Inserts and updates are treated alike: what the table holds decides which of the two a row becomes.
static void put_is_upsert(struct merge *merge) {
  dr_sql_column(&merge->sql, "s", DR_COLUMN_STAGED_OP);
  dr_sql_text(&merge->sql, " <> ");
  dr_sql_number(&merge->sql, DRAY_OP_DELETE);
}

// Whether the JSON of two columns must be cast to be compared or assigned.
static int casts_json(const struct merge *merge, const struct dr_table_column *column) {
  return column->stored.id == DRAY_TYPE_JSON &&
         !dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_JSON_IS_TEXT);
}

// A column for a comparison. JSON is compared as text: engines have types for it that know no equality, and what was
// written is text. Texts are compared byte by byte, whatever the engine takes to be equal.
static void put_compared(struct merge *merge, const char *alias, const struct dr_table_column *column) {
  const int json = casts_json(merge, column);
  if (!json && (column->stored.id == DRAY_TYPE_STRING || column->stored.id == DRAY_TYPE_JSON)) {
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

// The row in the table is not what was staged.
static void put_differs(struct merge *merge) {
  const int null_safe_equal = dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_NULL_SAFE_EQUAL);
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
    if (null_safe_equal) dr_sql_text(sql, "NOT ");
    put_compared(merge, "d", column);
    if (null_safe_equal) {
      dr_sql_text(sql, " <=> ");
    } else {
      dr_sql_flag(sql, DRAY_DIALECT_NULL_SAFE_IS, " IS NOT ", " IS DISTINCT FROM ");
    }
    put_compared(merge, "s", column);
    n++;
  }
  dr_sql_text(sql, n == 0 ? "1 = 0))" : "))");
}

// Runs the statement that was written; each of its parameters is the time of this write.
static int32_t run(struct merge *merge, int64_t *out_rows) {
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
static int32_t run_counted(struct merge *merge, uint64_t otherwise) {
  int64_t rows = -1;
  DRAY_TRY(run(merge, &rows));
  *merge->written += rows >= 0 ? (uint64_t)rows : otherwise;
  return DRAY_OK;
}

// ---- the staging table ----

static const char *drop_verb(const struct dr_table_writer *writer) {
  return dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_DROP_TEMPORARY) ? "DROP TEMPORARY TABLE "
                                                                                  : "DROP TABLE ";
}

int32_t dr_merge_create_staging(struct dr_table_writer *writer, struct dray_error *error) {
  struct merge merge = {.writer = writer, .error = error};
  struct dr_sql *sql = &merge.sql;
  const int temporary = dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_TEMP_TABLES);
  char name[64];
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_of(writer->table.table), 0);
  (void)snprintf(name, sizeof name, STAGING_PREFIX "%016llx", (unsigned long long)hash.low);
  DRAY_TRY(dr_place_make(&writer->warehouse->dialect, temporary ? NULL : writer->table.schema, name, &writer->staging,
                         error));
  start(&merge, drop_verb(writer));
  dr_sql_text(sql, "IF EXISTS "); // left behind by a connection that was cut
  put_staging(&merge, NULL);
  DRAY_TRY(run(&merge, NULL));
  start(&merge, temporary ? "CREATE TEMPORARY TABLE " : "CREATE TABLE ");
  put_staging(&merge, NULL);
  for (int64_t i = 0; i < writer->load_schema.n_children; i++) {
    struct dray_type type;
    DRAY_TRY(dray_schema_type(writer->load_schema.children[i], &type, error));
    dr_sql_text(sql, i == 0 ? " (" : ", ");
    const int key = (size_t)i < writer->column_count && writer->columns[i].key;
    dr_sql_name(sql, writer->load_schema.children[i]->name);
    dr_sql_text(sql, " ");
    if (key) dr_sql_key_type(sql, type);
    if (!key) dr_sql_type(sql, type);
  }
  dr_sql_text(sql, ")");
  DRAY_TRY(run(&merge, NULL));
  writer->staged = 1;
  return DRAY_OK;
}

int32_t dr_merge_drop_staging(struct dr_table_writer *writer, struct dray_error *error) {
  struct merge merge = {.writer = writer, .error = error};
  start(&merge, drop_verb(writer));
  put_staging(&merge, NULL);
  DRAY_TRY(run(&merge, NULL));
  writer->staged = 0;
  return DRAY_OK;
}

// ---- absent values ----

static void put_mask_test(struct merge *merge, size_t column) {
  char name[32];
  (void)snprintf(name, sizeof name, DR_COLUMN_STAGED_MASK "%zu", column / DR_MASK_BITS);
  dr_sql_text(&merge->sql, "(");
  dr_sql_column(&merge->sql, "s", name);
  dr_sql_text(&merge->sql, " & ");
  dr_sql_number(&merge->sql, UINT64_C(1) << (column % DR_MASK_BITS));
  dr_sql_text(&merge->sql, ") <> 0");
}

// "c" = CASE WHEN the mask says absent THEN what the table holds ELSE what was staged END
static void put_filled(struct merge *merge, size_t index, int update_from) {
  struct dr_sql *sql = &merge->sql;
  const char *name = merge->writer->columns[index].name;
  const int json = casts_json(merge, &merge->writer->columns[index]); // the table may have another type for it
  dr_sql_column(sql, writes_by_join(merge) ? "s" : NULL, name);
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
    put_table(merge, "d");
    dr_sql_text(sql, " WHERE ");
    put_match(merge);
    dr_sql_text(sql, ")");
  }
  dr_sql_text(sql, " ELSE ");
  dr_sql_column(sql, "s", name);
  dr_sql_text(sql, " END");
}

// An absent value is one that was not said: the row keeps what the table holds. The staging is filled up with it first,
// so that the statements after it need not know of absence.
static int32_t fill_absent(struct merge *merge) {
  const struct dr_table_writer *writer = merge->writer;
  const int join = writes_by_join(merge);
  const int update_from = !join && dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_UPDATE_FROM);
  const char *between = "";
  size_t filled = 0;
  for (size_t i = 0; i < writer->column_count; i++) filled += writer->absent_seen[i];
  if (filled == 0) return DRAY_OK;
  start(merge, "UPDATE ");
  if (join) (void)put_target(merge, 1);
  if (!join) put_staging(merge, "s");
  dr_sql_text(&merge->sql, " SET ");
  for (size_t i = 0; i < writer->column_count; i++) {
    if (!writer->absent_seen[i]) continue;
    dr_sql_text(&merge->sql, between);
    put_filled(merge, i, update_from || join);
    between = ", ";
  }
  if (update_from) {
    dr_sql_text(&merge->sql, " FROM ");
    put_table(merge, "d");
  }
  dr_sql_text(&merge->sql, " WHERE ");
  put_is_upsert(merge);
  if (update_from) {
    dr_sql_text(&merge->sql, " AND ");
    put_match(merge);
  }
  return run(merge, NULL);
}

// ---- upsert ----

static int32_t delete_rows(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = writes_by_join(merge);
  if (merge->writer->options->soft_delete) {
    start(merge, "UPDATE ");
    const char *alias = put_target(merge, join);
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
    start(merge, join ? "DELETE d FROM " : "DELETE FROM ");
    (void)put_target(merge, join);
    dr_sql_text(sql, " WHERE ");
  }
  if (join) put_is_delete(merge);
  if (!join) put_key_in_staging(merge, 1);
  return run_counted(merge, merge->writer->delete_count);
}

static void put_value_of_staging(struct merge *merge, const char *name, int update_from) {
  struct dr_sql *sql = &merge->sql;
  if (update_from) {
    dr_sql_column(sql, "s", name);
    return;
  }
  dr_sql_text(sql, "(SELECT ");
  dr_sql_column(sql, "s", name);
  dr_sql_text(sql, " FROM ");
  put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  put_match(merge);
  dr_sql_text(sql, ")");
}

static void put_assignments(struct merge *merge, const char *alias, int update_from) {
  struct dr_sql *sql = &merge->sql;
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    const struct dr_table_column *column = &merge->writer->columns[i];
    if (column->key) continue;
    dr_sql_column(sql, alias, column->name);
    dr_sql_text(sql, " = ");
    put_value_of_staging(merge, column->name, update_from);
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

static int32_t update_joined_rows(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  start(merge, "UPDATE ");
  const char *alias = put_target(merge, 1);
  dr_sql_text(sql, " SET ");
  put_assignments(merge, alias, 1);
  dr_sql_text(sql, " WHERE ");
  put_is_upsert(merge);
  dr_sql_text(sql, " AND ");
  put_differs(merge);
  return run_counted(merge, 0);
}

static int32_t update_rows(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int update_from = dr_dialect_has(&merge->writer->warehouse->dialect, DRAY_DIALECT_UPDATE_FROM);
  if (writes_by_join(merge)) return update_joined_rows(merge);
  start(merge, "UPDATE ");
  put_table(merge, "d");
  dr_sql_text(sql, " SET ");
  put_assignments(merge, NULL, update_from);
  dr_sql_text(sql, update_from ? " FROM " : " WHERE EXISTS (SELECT 1 FROM ");
  put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  put_match(merge);
  dr_sql_text(sql, " AND ");
  put_is_upsert(merge);
  dr_sql_text(sql, " AND ");
  put_differs(merge);
  if (!update_from) dr_sql_text(sql, ")");
  return run_counted(merge, 0);
}

// The columns of an INSERT, and after "SELECT" where their values come from.
static void put_insert_columns(struct merge *merge, const char *alias) {
  for (size_t i = 0; i < merge->writer->column_count; i++) {
    dr_sql_column(&merge->sql, alias, merge->writer->columns[i].name);
    dr_sql_text(&merge->sql, ", ");
  }
}

static void put_insert(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int history = merge->writer->options->mode == DR_WRITE_HISTORY;
  start(merge, "INSERT INTO ");
  put_table(merge, NULL);
  dr_sql_text(sql, " (");
  put_insert_columns(merge, NULL);
  dr_sql_name(sql, DR_COLUMN_SYNCED_AT);
  if (history) {
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, DR_COLUMN_VALID_FROM);
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, DR_COLUMN_CURRENT);
  }
  dr_sql_text(sql, ") SELECT ");
  put_insert_columns(merge, "s");
  dr_sql_param(sql);
  if (history) {
    dr_sql_text(sql, ", ");
    dr_sql_param(sql);
    dr_sql_text(sql, ", TRUE");
  }
  dr_sql_text(sql, " FROM ");
  put_staging(merge, "s");
}

static int32_t insert_missing_rows(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  put_insert(merge);
  dr_sql_text(sql, " WHERE ");
  put_is_upsert(merge);
  dr_sql_text(sql, " AND NOT EXISTS (SELECT 1 FROM ");
  put_table(merge, "d");
  dr_sql_text(sql, " WHERE ");
  put_match(merge);
  dr_sql_text(sql, ")");
  return run_counted(merge, merge->writer->upsert_count);
}

static int32_t merge_upsert(struct merge *merge) {
  if (merge->writer->delete_count > 0) DRAY_TRY(delete_rows(merge));
  if (merge->writer->upsert_count == 0) return DRAY_OK;
  DRAY_TRY(fill_absent(merge));
  DRAY_TRY(update_rows(merge));
  return insert_missing_rows(merge);
}

// ---- history ----

// A staged row equal to the current version is no new version.
static int32_t forget_unchanged(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = writes_by_join(merge);
  start(merge, join ? "DELETE s FROM " : "DELETE FROM ");
  if (join) (void)put_target(merge, 1);
  if (!join) put_staging(merge, "s");
  dr_sql_text(sql, " WHERE ");
  put_is_upsert(merge);
  if (!join) {
    dr_sql_text(sql, " AND EXISTS (SELECT 1 FROM ");
    put_table(merge, "d");
    dr_sql_text(sql, " WHERE ");
    put_match(merge);
  }
  dr_sql_text(sql, " AND NOT ");
  put_differs(merge);
  if (!join) dr_sql_text(sql, ")");
  return run(merge, NULL);
}

static int32_t close_versions(struct merge *merge) {
  struct dr_sql *sql = &merge->sql;
  const int join = writes_by_join(merge);
  start(merge, "UPDATE ");
  const char *alias = put_target(merge, join);
  dr_sql_text(sql, " SET ");
  dr_sql_column(sql, alias, DR_COLUMN_VALID_TO);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
  dr_sql_text(sql, ", ");
  dr_sql_column(sql, alias, DR_COLUMN_SYNCED_AT);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
  dr_sql_text(sql, ", ");
  dr_sql_column(sql, alias, DR_COLUMN_CURRENT);
  dr_sql_text(sql, " = FALSE WHERE ");
  dr_sql_column(sql, alias, DR_COLUMN_CURRENT);
  if (!join) {
    dr_sql_text(sql, " AND ");
    put_key_in_staging(merge, 0);
  }
  return run_counted(merge, 0);
}

static int32_t merge_history(struct merge *merge) {
  DRAY_TRY(fill_absent(merge));
  if (merge->writer->upsert_count > 0) DRAY_TRY(forget_unchanged(merge));
  DRAY_TRY(close_versions(merge));
  if (merge->writer->upsert_count == 0) return DRAY_OK;
  put_insert(merge);
  dr_sql_text(&merge->sql, " WHERE ");
  put_is_upsert(merge);
  return run_counted(merge, merge->writer->upsert_count);
}

// ---- replace ----

static int32_t merge_replace(struct merge *merge) {
  start(merge, "DELETE FROM ");
  put_table(merge, NULL);
  DRAY_TRY(run(merge, NULL));
  put_insert(merge);
  return run_counted(merge, merge->writer->upsert_count);
}

int32_t dr_merge_staging(struct dr_table_writer *writer, uint64_t *written, struct dray_error *error) {
  struct merge merge = {.writer = writer, .written = written, .error = error};
  if (writer->options->mode == DR_WRITE_UPSERT) return merge_upsert(&merge);
  if (writer->options->mode == DR_WRITE_HISTORY) return merge_history(&merge);
  return merge_replace(&merge);
}
