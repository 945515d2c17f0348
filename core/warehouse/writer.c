// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The writer: fence, DDL, load, merge and state row in one transaction. Called by core/sync; drives a warehouse plugin
// through call.c and knows nothing of where rows come from.
#include "warehouse/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "dray/destination.h"

static int32_t pass(const char *fault_point, struct dray_error *error) {
  return dr_fault_point(fault_point) == 0 ? DRAY_OK : dr_fail_errno(error, "writing to the warehouse at", fault_point);
}

// ---- beginning ----

// The row of the state table must be of the generation that the caller knows.
static int32_t check_generation(struct dr_table_writer *writer, uint64_t expected, struct dr_state_row *row,
                                struct dray_error *error) {
  DRAY_TRY(dr_state_get(writer->warehouse, writer->options, row, error));
  if (row->generation == expected) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_GENERATION,
                   "the warehouse holds generation %llu of sync '%s' and this run knows %llu: somebody else wrote, or "
                   "one of the two was restored from a backup",
                   (unsigned long long)row->generation, writer->options->sync, (unsigned long long)expected);
}

static int32_t lock_generation(struct dr_table_writer *writer, struct dr_state_row *row, struct dray_error *error) {
  DRAY_TRY(dr_state_lock(writer->warehouse, writer->options, error));
  return check_generation(writer, writer->expected, row, error);
}

// Where it is known only at the end whether there is anything to write, the lock is taken then: engines write to take
// it.
static int locks_late(const struct dr_table_writer *writer) {
  return writer->options->mode == DR_WRITE_REPLACE ||
         (writer->options->mode == DR_WRITE_HISTORY && writer->options->valid_from != NULL);
}

// Inside the transaction: where rows are locked one by one, another writer may be between its fence and its commit.
// Taking the row's lock waits for it, and the second look sees what it wrote.
static int32_t fence(struct dr_table_writer *writer, struct dr_state_row *row, struct dray_error *error) {
  DRAY_TRY(check_generation(writer, writer->expected, row, error));
  return row->table_found && !locks_late(writer) ? lock_generation(writer, row, error) : DRAY_OK;
}

// The plan made anew, now that nobody can change the table: the given one may be old. Only what it leaves out must
// hold, because the caller has rejected rows by it.
static int32_t renew_plan(struct dr_table_writer *writer, const struct dr_table_plan *given, struct dr_table_plan *out,
                          struct dray_error *error) {
  const struct dr_schema *schema = writer->options->schema;
  DRAY_TRY(dr_table_plan_untried(writer->warehouse, writer->options, out, error));
  if (given->table_exists && !out->table_exists) { // what was read may be what came since a checkpoint of its rows
    dr_table_plan_free(out);
    return dray_fail(error, DRAY_E_BUSY, "table %s was removed by somebody else after this run was planned",
                     writer->table.table);
  }
  for (size_t i = 0; i < schema->field_count; i++) {
    const int was_dropped = given->drop_column != NULL && given->drop_column[i];
    if (out->drop_column[i] && !was_dropped) {
      dr_table_plan_free(out);
      return dray_fail_field(error, DRAY_E_BUSY, schema->fields[i].name,
                             "table %s was changed by somebody else after this run was planned (column '%s')",
                             writer->table.table, schema->fields[i].name);
    }
    if (was_dropped) out->drop_column[i] = 1;
  }
  return DRAY_OK;
}

static int32_t run_ddl(struct dr_table_writer *writer, const struct dr_table_plan *plan, struct dray_error *error) {
  const int can_wait = dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  const size_t now_count = can_wait ? plan->ddl_count - plan->late_ddl_count : plan->ddl_count;
  for (size_t i = 0; i < now_count; i++) {
    const int32_t code = dr_engine_execute(writer->warehouse, dray_str_of(plan->ddl[i]), NULL, NULL, NULL, error);
    if (code != DRAY_OK) return dr_table_ddl_failed(code, writer->table.table, plan->table_exists, error);
  }
  if (now_count == plan->ddl_count) return DRAY_OK;
  assert(plan->late_ddl_count == 1);
  writer->late_ddl = dray_str_dup(dray_str_of(plan->ddl[now_count]));
  return writer->late_ddl != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
}

static int is_loose(const struct dray_dialect *dialect, const struct dr_shape_column *column) {
  if (dialect->exact_text.len == 0) return 0;
  if (!dr_dialect_has(dialect, DRAY_DIALECT_LOOSE_MARKED)) return column->type.id == DRAY_TYPE_STRING;
  return column->loose && (column->type.id == DRAY_TYPE_STRING || column->type.id == DRAY_TYPE_JSON);
}

// Learns the columns from the shape of the table as it is after the DDL.
static int32_t learn_columns(struct dr_table_writer *writer, const struct dr_table_plan *plan,
                             struct dray_error *error) {
  const struct dr_schema *schema = writer->options->schema;
  writer->columns = calloc(schema->field_count, sizeof *writer->columns);
  if (writer->columns == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", schema->field_count);
  for (size_t i = 0; i < schema->field_count; i++) {
    const struct dr_field *field = &schema->fields[i];
    const struct dr_shape_column *column = dr_shape_find(&writer->shape, field->name);
    if (plan->drop_column[i]) continue;
    if (column == NULL || !dr_type_holds(column->type, field->type)) {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                       "%s does not describe column '%s' of table %s as it was made: its dialect's types and its "
                       "describe disagree",
                       writer->warehouse->label, field->name, writer->table.table);
    }
    writer->columns[writer->column_count++] =
        (struct dr_table_column){.field = i,
                                 .name = column->name,
                                 .type = field->type,
                                 .stored = column->type,
                                 .key = dr_options_is_key(writer->options, field->name),
                                 .loose = is_loose(&writer->warehouse->dialect, column),
                                 .found_as = dray_str_of(column->found_as)};
  }
  for (size_t i = 0; writer->options->mode == DR_WRITE_HISTORY && i < writer->column_count; i++) {
    const char *name = schema->fields[writer->columns[i].field].name;
    if (writer->options->valid_from == NULL || strcmp(name, writer->options->valid_from) != 0) continue;
    assert(writer->columns[i].type.id == DRAY_TYPE_TIMESTAMP || writer->columns[i].type.id == DRAY_TYPE_DATE);
    writer->timed = 1;
    writer->time_column = i;
  }
  writer->mask_count = (writer->column_count + DR_MASK_BITS - 1) / DR_MASK_BITS;
  writer->has_deleted_at = dr_shape_find(&writer->shape, DR_COLUMN_DELETED_AT) != NULL;
  return DRAY_OK;
}

// Into a table without rows everything can go straight: there is nothing to merge with. Not so versions with a time of
// their own: those of one key are to be put in order first.
static int32_t choose_way(struct dr_table_writer *writer, const struct dr_table_plan *plan, struct dray_error *error) {
  int has_rows = 0;
  writer->direct = !writer->timed;
  if (writer->timed || writer->options->mode == DR_WRITE_APPEND || !plan->table_exists) return DRAY_OK;
  DRAY_TRY(dr_table_has_rows(writer->warehouse, &writer->options->name, &has_rows, error));
  writer->direct = !has_rows;
  return DRAY_OK;
}

static int32_t prepare_tables(struct dr_table_writer *writer, const struct dr_table_plan *given,
                              const struct dr_state_row *row, struct dray_error *error) {
  struct dr_table_plan plan = {.ddl = NULL};
  DRAY_TRY(renew_plan(writer, given, &plan, error));
  int32_t code = run_ddl(writer, &plan, error);
  writer->changed_shape = plan.ddl_count > 0 || !row->table_found;
  if (code == DRAY_OK && !row->table_found) code = dr_state_create(writer->warehouse, writer->options, error);
  if (code == DRAY_OK) code = dr_shape_read(writer->warehouse, &writer->table, &writer->shape, error);
  if (code == DRAY_OK) code = learn_columns(writer, &plan, error);
  if (code == DRAY_OK) code = choose_way(writer, &plan, error);
  if (code == DRAY_OK) code = dr_load_init(writer, error);
  if (code == DRAY_OK && !writer->direct) code = dr_merge_create_staging(writer, error);
  dr_table_plan_free(&plan);
  return code;
}

static int32_t open_transaction(struct dr_table_writer *writer, struct dray_error *error) {
  DRAY_TRY(dr_engine_begin(writer->warehouse, error));
  writer->open = 1;
  return pass("warehouse.begin", error);
}

// Where DDL is part of the transaction, everything is inside it. Elsewhere the tables come first (each statement is its
// own transaction there, and none loses rows), after a look at the fence, which is looked at again inside.
static int32_t begin(struct dr_table_writer *writer, const struct dr_table_plan *plan, struct dray_error *error) {
  const int inside = dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  struct dr_state_row row = {.checkpoint = NULL};
  if (inside) {
    DRAY_TRY(open_transaction(writer, error));
    DRAY_TRY(fence(writer, &row, error));
    DRAY_TRY(prepare_tables(writer, plan, &row, error));
  } else {
    DRAY_TRY(check_generation(writer, writer->expected, &row, error));
    DRAY_TRY(prepare_tables(writer, plan, &row, error));
    DRAY_TRY(open_transaction(writer, error));
    DRAY_TRY(fence(writer, &row, error));
  }
  // Never before the last write: versions of one key must not overlap, whatever this machine's clock says.
  const int64_t now = dr_now_us();
  writer->now_us = now > row.updated_us ? now : row.updated_us + 1;
  return DRAY_OK;
}

static int32_t make_writer(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                           struct dr_table_writer **out, struct dray_error *error) {
  struct dr_table_writer *writer = calloc(1, sizeof *writer);
  if (writer == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write to table %s", options->name.table);
  writer->warehouse = warehouse;
  writer->options = options;
  dray_buffer_init(&writer->text, DR_SQL_BYTES_MAX);
  const int32_t code =
      dr_place_make(&warehouse->dialect, options->name.schema, options->name.table, &writer->table, error);
  if (code != DRAY_OK) {
    dr_table_writer_free(writer);
    return code;
  }
  *out = writer;
  return DRAY_OK;
}

int32_t dr_table_writer_begin(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                              const struct dr_table_plan *plan, uint64_t expected_generation,
                              struct dr_table_writer **out, struct dray_error *error) {
  struct dr_table_writer *writer = NULL;
  DRAY_TRY(make_writer(warehouse, options, &writer, error));
  writer->expected = expected_generation;
  const int32_t code = begin(writer, plan, error);
  if (code != DRAY_OK) {
    dr_table_writer_free(writer);
    return code;
  }
  *out = writer;
  return DRAY_OK;
}

// A writer that begins nothing, over the table as it will be. `changes`: as if the table had rows to change.
static int32_t tell_staging(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                            const struct dr_table_plan *plan, int changes, struct dr_statements *out,
                            struct dray_error *error) {
  struct dr_table_writer *writer = NULL;
  struct dr_statements told = {NULL, 0};
  DRAY_TRY(make_writer(warehouse, options, &writer, error));
  writer->told = &told;
  writer->shape = *plan->after; // borrowed
  int32_t code = learn_columns(writer, plan, error);
  if (code == DRAY_OK && !changes) code = choose_way(writer, plan, error);
  if (code == DRAY_OK && changes) writer->direct = options->mode == DR_WRITE_APPEND;
  if (code == DRAY_OK) code = dr_load_init(writer, error);
  if (code == DRAY_OK && !writer->direct) code = dr_merge_create_staging(writer, error);
  if (code == DRAY_OK && !writer->direct) code = dr_merge_drop_staging(writer, error);
  writer->shape = (struct dr_shape){0, 0, NULL};
  dr_table_writer_free(writer);
  if (code != DRAY_OK) {
    dr_statements_free(&told);
    return code;
  }
  *out = told;
  return DRAY_OK;
}

int32_t dr_table_staging(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                         const struct dr_table_plan *plan, struct dr_statements *out, struct dray_error *error) {
  return tell_staging(warehouse, options, plan, 0, out, error);
}

int32_t dr_table_staging_of_changes(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                    const struct dr_table_plan *plan, struct dr_statements *out,
                                    struct dray_error *error) {
  return tell_staging(warehouse, options, plan, 1, out, error);
}

// ---- rows ----

// An index of somebody else's over a loose column of the key has one place for keys that the data tell apart. Which of
// the table's indexes refused a row the engine's words say. Engines that load in pieces may say so at any later call.
static int32_t one_place(const struct dr_table_writer *writer, int32_t code, struct dray_error *error) {
  const struct dr_table_column *loose = NULL;
  for (size_t i = 0; i < writer->column_count && loose == NULL; i++) {
    if (writer->columns[i].key && writer->columns[i].loose) loose = &writer->columns[i];
  }
  if (code != DRAY_E_DATA_KEY_DUPLICATE || loose == NULL) return code;
  struct dray_error why = *error;
  (void)dray_fail_field(error, code, loose->name,
                        "table %s has no place for all keys: by its collation the column '%s' takes texts for equal "
                        "that the data tell apart, such as those that differ by case, accents or blanks at the end. "
                        "Give it one that compares bytes, or make the keys the same: %.300s",
                        writer->table.table, loose->name, why.text);
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%s", why.vendor_code);
  return code;
}

// What becomes of a change in this write.
static int staged_op(uint8_t op) {
  return op == DRAY_OP_DELETE ? DRAY_OP_DELETE : DRAY_OP_INSERT;
}

static int32_t add_run(struct dr_table_writer *writer, const struct dr_changes *changes, uint64_t start, uint64_t count,
                       struct dray_error *error) {
  const uint8_t op = changes->op[start];
  if (op == DR_OP_REJECT) return DRAY_OK;
  if (op == DRAY_OP_DELETE) {
    if (writer->direct) return DRAY_OK; // there was no row to delete
    DRAY_TRY(dr_load_rows(writer, changes->rows, start, count, DRAY_OP_DELETE, error));
    writer->delete_count += count;
    return DRAY_OK;
  }
  DRAY_TRY(dr_load_rows(writer, changes->rows, start, count, DRAY_OP_INSERT, error));
  writer->upsert_count += count;
  return DRAY_OK;
}

static int32_t put_changes(struct dr_table_writer *writer, const struct dr_changes *changes, struct dray_error *error) {
  assert(writer->open);
  assert(writer->options->mode == DR_WRITE_UPSERT || writer->options->mode == DR_WRITE_HISTORY);
  uint64_t start = 0;
  for (uint64_t i = 1; i <= changes->count; i++) {
    const int same = i < changes->count && (changes->op[i] == DR_OP_REJECT) == (changes->op[start] == DR_OP_REJECT) &&
                     staged_op(changes->op[i]) == staged_op(changes->op[start]);
    if (same) continue;
    DRAY_TRY(add_run(writer, changes, start, i - start, error));
    start = i;
  }
  return DRAY_OK;
}

int32_t dr_table_writer_changes(struct dr_table_writer *writer, const struct dr_changes *changes,
                                struct dray_error *error) {
  return one_place(writer, put_changes(writer, changes, error), error);
}

// The rows as they are, run by run of rows that are and rows that are marked as deleted.
static int32_t put_rows(struct dr_table_writer *writer, const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t count = dr_batch_rows(batch);
  assert(writer->open);
  assert(writer->timed || writer->options->mode == DR_WRITE_APPEND || writer->options->mode == DR_WRITE_REPLACE);
  for (uint64_t start = 0, i = 1; i <= count; i++) {
    const int gone = writer->timed && dr_batch_is_deleted(batch, start);
    if (i < count && (writer->timed && dr_batch_is_deleted(batch, i)) == gone) continue;
    writer->own_time = 1;
    DRAY_TRY(dr_load_rows(writer, batch, start, i - start, gone ? DRAY_OP_DELETE : DRAY_OP_INSERT, error));
    *(gone ? &writer->delete_count : &writer->upsert_count) += i - start;
    start = i;
  }
  return DRAY_OK;
}

int32_t dr_table_writer_rows(struct dr_table_writer *writer, const struct dr_batch *batch, struct dray_error *error) {
  return one_place(writer, put_rows(writer, batch, error), error);
}

int dr_table_writer_direct(const struct dr_table_writer *writer) {
  return writer->direct;
}

static const struct dray_column_view *key_column(const struct dr_table_writer *writer, const struct dr_batch *batch,
                                                 size_t key) {
  const ptrdiff_t at = dr_schema_find(batch->schema, dray_str_of(writer->options->key[key]));
  assert(at >= 0);
  return &batch->view.columns[at];
}

static int has_key(const struct dr_table_writer *writer, const struct dr_batch *batch, uint64_t row) {
  for (size_t k = 0; k < writer->options->key_count; k++) {
    if (dray_column_is_null(key_column(writer, batch, k), row)) return 0;
  }
  return 1;
}

static int32_t put_inserts(struct dr_table_writer *writer, const struct dr_batch *batch, uint64_t *out_rows,
                           struct dray_error *error) {
  const uint64_t count = dr_batch_rows(batch);
  uint64_t rows = 0;
  int whole = 1; // no key can be null
  assert(writer->open && writer->direct && !writer->timed);
  assert(writer->options->mode == DR_WRITE_UPSERT || writer->options->mode == DR_WRITE_HISTORY);
  for (size_t k = 0; k < writer->options->key_count; k++) whole &= key_column(writer, batch, k)->validity == NULL;
  for (uint64_t start = 0, i = 0; i <= count; i++) {
    if (i < count && !dr_batch_is_deleted(batch, i) && (whole || has_key(writer, batch, i))) continue;
    DRAY_TRY(dr_load_rows(writer, batch, start, i - start, DRAY_OP_INSERT, error));
    rows += i - start;
    start = i + 1;
  }
  writer->upsert_count += rows;
  *out_rows = rows;
  return DRAY_OK;
}

int32_t dr_table_writer_inserts(struct dr_table_writer *writer, const struct dr_batch *batch, uint64_t *out_rows,
                                struct dray_error *error) {
  return one_place(writer, put_inserts(writer, batch, out_rows, error), error);
}

void dr_table_writer_may_idle(struct dr_table_writer *writer) {
  writer->may_idle = 1;
}

void dr_table_writer_rejected(struct dr_table_writer *writer, uint64_t rows) {
  writer->rejected = rows;
}

uint64_t dr_table_writer_kept(const struct dr_table_writer *writer) {
  return writer->kept;
}

int dr_table_writer_idle(const struct dr_table_writer *writer) {
  return writer->idle;
}

// ---- ending ----

static int32_t make_key(struct dr_table_writer *writer, struct dray_error *error) {
  if (writer->late_ddl == NULL) return DRAY_OK;
  const int32_t code = dr_engine_execute(writer->warehouse, dray_str_of(writer->late_ddl), NULL, NULL, NULL, error);
  if (code != DRAY_OK) return dray_error_prefix(error, "making the key of table %s", writer->table.table);
  free(writer->late_ddl);
  writer->late_ddl = NULL;
  return DRAY_OK;
}

int32_t dr_table_writer_loaded(struct dr_table_writer *writer, struct dray_error *error) {
  assert(writer->open);
  return writer->direct ? one_place(writer, make_key(writer, error), error) : DRAY_OK;
}

static int32_t finish_table(struct dr_table_writer *writer, uint64_t *out_written, struct dray_error *error) {
  uint64_t written = writer->upsert_count;
  if (!writer->direct) {
    written = 0;
    DRAY_TRY(dr_merge_staging(writer, &written, error));
  }
  DRAY_TRY(make_key(writer, error));
  *out_written = written;
  return DRAY_OK;
}

static int32_t put_merge(struct dr_table_writer *writer, uint64_t generation, struct dray_str checkpoint,
                         uint64_t *out_written, struct dray_error *error) {
  struct dr_state_row row = {.checkpoint = NULL};
  uint64_t written = 0;
  assert(writer->open);
  DRAY_TRY(pass("warehouse.loaded", error));
  DRAY_TRY(finish_table(writer, &written, error));
  writer->idle = writer->may_idle && written == 0 && !writer->changed_shape && writer->expected > 0;
  if (!writer->idle) {
    if (locks_late(writer)) DRAY_TRY(lock_generation(writer, &row, error));
    DRAY_TRY(dr_state_put(writer->warehouse, writer->options, generation, checkpoint, writer->now_us, error));
  }
  // Where DDL is not transactional, dropping a table could commit: it goes behind the commit.
  if (writer->staged && dr_dialect_has(&writer->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL)) {
    DRAY_TRY(dr_merge_drop_staging(writer, error));
  }
  DRAY_TRY(pass("warehouse.merged", error));
  *out_written = written;
  return DRAY_OK;
}

int32_t dr_table_writer_merge(struct dr_table_writer *writer, uint64_t generation, struct dray_str checkpoint,
                              uint64_t *out_written, struct dray_error *error) {
  return one_place(writer, put_merge(writer, generation, checkpoint, out_written, error), error);
}

int32_t dr_table_writer_commit(struct dr_table_writer *writer, struct dray_error *error) {
  struct dray_error ignored;
  assert(writer->open);
  writer->open = 0; // also after a failure: the engine has ended the transaction or nobody knows
  const int32_t code = dr_engine_commit(writer->warehouse, error);
  if (code != DRAY_OK) {
    dr_engine_rollback(writer->warehouse);
    return code;
  }
  dray_error_init(&ignored);
  if (writer->staged && dr_merge_drop_staging(writer, &ignored) != DRAY_OK) {
    dr_log(DRAY_LOG_WARN, "warehouse", "the staging table of %s was left behind: %s", writer->table.table,
           ignored.text);
  }
  return pass("warehouse.committed", error);
}

void dr_table_writer_free(struct dr_table_writer *writer) {
  if (writer == NULL) return;
  if (writer->open) dr_engine_rollback(writer->warehouse);
  dr_load_free(writer);
  dr_place_free(&writer->table);
  dr_place_free(&writer->staging);
  dr_place_free(&writer->moments);
  dr_place_free(&writer->events);
  dr_shape_free(&writer->shape);
  dray_buffer_free(&writer->text);
  free(writer->columns);
  free(writer->late_ddl);
  free(writer);
}
