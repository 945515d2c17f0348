// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table _dray_state: one row a sync and table, committed together with the data it speaks of. The writer fences on
// its generation; readers compare it with the mirror's.
#include <stdlib.h>

#include "base/clock.h"
#include "warehouse/table.h"

enum { COLUMN_SYNC, COLUMN_GENERATION, COLUMN_CHECKPOINT, COLUMN_UPDATED_AT, COLUMN_COUNT };

static const struct dray_column_def state_columns[COLUMN_COUNT] = {
    [COLUMN_SYNC] = {"sync", {DRAY_TYPE_STRING, 0, 0}, 0},
    [COLUMN_GENERATION] = {"generation", {DRAY_TYPE_INT64, 0, 0}, 0},
    [COLUMN_CHECKPOINT] = {"checkpoint", {DRAY_TYPE_BYTES, 0, 0}, 1},
    [COLUMN_UPDATED_AT] = {"updated_at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 0},
};

#define CHECKPOINT_BYTES_MAX (1u << 20)
#define KEY_BYTES_MAX 4096

// Syncs of two projects may have one name, and a sync another table tomorrow: what one has read is in its table alone.
// "sync:table"; without schemas in the dialect "sync:schema.table". Free `out` whatever is returned.
static int32_t write_key(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                         struct dray_buffer *out, struct dray_error *error) {
  const int schemas = dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_SCHEMAS);
  const char *schema = schemas ? NULL : options->name.schema;
  dray_buffer_init(out, KEY_BYTES_MAX);
  return dray_buffer_printf(out, error, "%s:%s%s%s", options->sync, schema != NULL ? schema : "",
                            schema != NULL ? "." : "", options->name.table);
}

// Without schemas in the dialect there is one state table: a prefix would only make more of them.
int32_t dr_state_place(struct dr_warehouse *warehouse, const struct dr_table_options *options, struct dr_place *out,
                       struct dray_error *error) {
  const int schemas = dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_SCHEMAS);
  const char *name = schemas && options->state_table != NULL ? options->state_table : DR_STATE_TABLE;
  return dr_place_make(&warehouse->dialect, schemas ? options->name.schema : NULL, name, out, error);
}

// ---- reading ----

struct reading {
  struct dray_str key;
  struct dr_state_row *row;
};

static int32_t take_row(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  const struct reading *reading = ctx;
  const struct dray_column_view *columns = batch->view.columns;
  for (uint64_t i = 0; i < dr_batch_rows(batch); i++) {
    if (dray_column_is_null(&columns[COLUMN_SYNC], i) ||
        !dray_str_equal(dray_column_bytes(&columns[COLUMN_SYNC], i), reading->key)) {
      continue;
    }
    reading->row->generation = (uint64_t)dray_column_int64(&columns[COLUMN_GENERATION], i);
    reading->row->updated_us = dray_column_int64(&columns[COLUMN_UPDATED_AT], i);
    if (reading->row->checkpoint == NULL || dray_column_is_null(&columns[COLUMN_CHECKPOINT], i)) continue;
    const struct dray_str checkpoint = dray_column_bytes(&columns[COLUMN_CHECKPOINT], i);
    dray_buffer_clear(reading->row->checkpoint);
    DRAY_TRY(dray_buffer_append(reading->row->checkpoint, checkpoint.data, checkpoint.len, error));
  }
  return DRAY_OK;
}

// A name that can stand in SQL as it is. Queries take no parameters, and values are never spliced into SQL: for any
// other name the whole (small) table is read and the row is found here.
static int is_plain(struct dray_str name) {
  for (uint64_t i = 0; i < name.len; i++) {
    const char c = name.data[i];
    const int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-' && c != ':') return 0;
  }
  return 1;
}

static int32_t write_select(struct dr_warehouse *warehouse, const struct dr_place *place, struct dray_str key,
                            struct dray_buffer *text, struct dray_error *error) {
  struct dr_sql sql;
  dr_sql_begin(&sql, &warehouse->dialect, text, error);
  dr_sql_text(&sql, "SELECT ");
  for (size_t i = 0; i < COLUMN_COUNT; i++) {
    if (i > 0) dr_sql_text(&sql, ", ");
    dr_sql_name(&sql, state_columns[i].name);
  }
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, place);
  if (is_plain(key)) {
    dr_sql_text(&sql, " WHERE ");
    dr_sql_name(&sql, state_columns[COLUMN_SYNC].name);
    dr_sql_text(&sql, " = '");
    dr_sql_text(&sql, key.data); // a buffer's text has its NUL
    dr_sql_text(&sql, "'");
  }
  return sql.code;
}

static int32_t query_row(struct dr_warehouse *warehouse, const struct dr_place *place, struct reading *reading,
                         struct dray_error *error) {
  struct dr_schema *schema = NULL;
  struct dray_buffer text;
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  int32_t code = dr_schema_new(state_columns, COLUMN_COUNT, &schema, error);
  if (code != DRAY_OK) goto done;
  code = write_select(warehouse, place, reading->key, &text, error);
  if (code != DRAY_OK) goto done;
  code = dr_engine_query(warehouse, dray_buffer_view(&text), schema, take_row, reading, error);
done:
  dr_schema_unref(schema);
  dray_buffer_free(&text);
  return code;
}

int32_t dr_state_get(struct dr_warehouse *warehouse, const struct dr_table_options *options, struct dr_state_row *row,
                     struct dray_error *error) {
  struct dr_place place;
  struct dr_shape shape;
  struct dr_state_row got = {.checkpoint = row->checkpoint};
  struct dray_buffer key;
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  int32_t code = write_key(warehouse, options, &key, error);
  struct reading reading = {dray_buffer_view(&key), &got};
  if (code == DRAY_OK) code = dr_shape_read(warehouse, &place, &shape, error);
  if (code == DRAY_OK) {
    got.table_found = shape.found;
    dr_shape_free(&shape);
    if (got.table_found) code = query_row(warehouse, &place, &reading, error);
  }
  dray_buffer_free(&key);
  dr_place_free(&place);
  if (code == DRAY_OK) *row = got;
  return code;
}

int32_t dr_table_state_read(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                            struct dr_table_state *out, struct dray_error *error) {
  struct dr_table_state state = {.generation = 0};
  struct dr_state_row row = {.checkpoint = &state.checkpoint};
  dray_buffer_init(&state.checkpoint, CHECKPOINT_BYTES_MAX);
  const int32_t code = dr_state_get(warehouse, options, &row, error);
  if (code != DRAY_OK) {
    dray_buffer_free(&state.checkpoint);
    return code;
  }
  state.generation = row.generation;
  *out = state;
  return DRAY_OK;
}

// ---- writing ----

static int32_t write_create(struct dr_warehouse *warehouse, const struct dr_place *place, struct dray_buffer *text,
                            struct dray_error *error) {
  struct dr_sql sql;
  dr_sql_begin(&sql, &warehouse->dialect, text, error);
  dr_sql_text(&sql, "CREATE TABLE ");
  dr_sql_place(&sql, place);
  for (size_t i = 0; i < COLUMN_COUNT; i++) {
    dr_sql_text(&sql, i == 0 ? " (" : ", ");
    dr_sql_name(&sql, state_columns[i].name);
    dr_sql_text(&sql, " ");
    if (i == COLUMN_SYNC) dr_sql_key_type(&sql, state_columns[i].type, 1);
    if (i != COLUMN_SYNC) dr_sql_type(&sql, state_columns[i].type);
    if (!state_columns[i].nullable) dr_sql_text(&sql, " NOT NULL");
  }
  dr_sql_text(&sql, ", PRIMARY KEY (");
  dr_sql_name(&sql, state_columns[COLUMN_SYNC].name);
  dr_sql_text(&sql, "))");
  return sql.code;
}

int32_t dr_state_create(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                        struct dray_error *error) {
  struct dr_place place;
  struct dray_buffer text;
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  int32_t code = write_create(warehouse, &place, &text, error);
  if (code == DRAY_OK) code = dr_engine_execute(warehouse, dray_buffer_view(&text), NULL, NULL, NULL, error);
  dray_buffer_free(&text);
  dr_place_free(&place);
  return code;
}

int32_t dr_table_state_ddl(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                           struct dray_buffer *out, struct dray_error *error) {
  struct dr_place place;
  struct dr_shape shape;
  dray_buffer_clear(out);
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  int32_t code = dr_shape_read(warehouse, &place, &shape, error);
  if (code == DRAY_OK && !shape.found) code = write_create(warehouse, &place, out, error);
  if (code == DRAY_OK) dr_shape_free(&shape);
  dr_place_free(&place);
  return code;
}

// A statement with the first `param_count` columns of the state row as its parameters.
struct state_write {
  struct dr_warehouse *warehouse;
  const struct dr_table_options *options;
  uint64_t generation;
  struct dray_str checkpoint;
  int64_t now_us;
};

static int32_t put_params(const struct state_write *write, struct dray_builder *builder, size_t param_count,
                          struct dray_error *error) {
  struct dray_buffer key;
  int32_t full = 0;
  int32_t code = write_key(write->warehouse, write->options, &key, error);
  if (code == DRAY_OK) code = dray_builder_bytes(builder, COLUMN_SYNC, dray_buffer_view(&key), error);
  dray_buffer_free(&key);
  DRAY_TRY(code);
  if (param_count == COLUMN_COUNT) {
    DRAY_TRY(dray_builder_int64(builder, COLUMN_GENERATION, (int64_t)write->generation, error));
    DRAY_TRY(dray_builder_bytes(builder, COLUMN_CHECKPOINT, write->checkpoint, error));
    DRAY_TRY(dray_builder_timestamp(builder, COLUMN_UPDATED_AT, write->now_us, error));
  }
  return dray_builder_end_row(builder, &full, error);
}

static int32_t execute_with(const struct state_write *write, struct dray_str sql, size_t param_count,
                            struct dray_error *error) {
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray params = {.release = NULL};
  struct dray_builder *builder = NULL;
  int32_t code = dray_schema_make(state_columns, param_count, &schema, error);
  if (code != DRAY_OK) goto done;
  code = dray_builder_new(&schema, 1, CHECKPOINT_BYTES_MAX, &builder, error);
  if (code != DRAY_OK) goto done;
  code = put_params(write, builder, param_count, error);
  if (code != DRAY_OK) goto done;
  code = dray_builder_finish(builder, &params, error);
  if (code != DRAY_OK) goto done;
  code = dr_engine_execute(write->warehouse, sql, &schema, &params, NULL, error);
done:
  dray_array_release(&params);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return code;
}

static void where_sync(struct dr_sql *sql) {
  dr_sql_text(sql, " WHERE ");
  dr_sql_name(sql, state_columns[COLUMN_SYNC].name);
  dr_sql_text(sql, " = ");
  dr_sql_param(sql);
}

int32_t dr_state_lock(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                      struct dray_error *error) {
  const struct state_write write = {.warehouse = warehouse, .options = options};
  struct dr_place place;
  struct dr_sql sql;
  struct dray_buffer text;
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  dr_sql_text(&sql, "UPDATE ");
  dr_sql_place(&sql, &place);
  dr_sql_text(&sql, " SET ");
  dr_sql_name(&sql, state_columns[COLUMN_GENERATION].name);
  dr_sql_text(&sql, " = ");
  dr_sql_name(&sql, state_columns[COLUMN_GENERATION].name);
  where_sync(&sql);
  int32_t code = sql.code;
  if (code == DRAY_OK) code = execute_with(&write, dray_buffer_view(&text), 1, error);
  dray_buffer_free(&text);
  dr_place_free(&place);
  return code;
}

static int32_t write_delete(struct dr_sql *sql, const struct dr_place *place) {
  dr_sql_text(sql, "DELETE FROM ");
  dr_sql_place(sql, place);
  where_sync(sql);
  return sql->code;
}

static int32_t write_insert(struct dr_sql *sql, const struct dr_place *place) {
  dr_sql_text(sql, "INSERT INTO ");
  dr_sql_place(sql, place);
  for (size_t i = 0; i < COLUMN_COUNT; i++) {
    dr_sql_text(sql, i == 0 ? " (" : ", ");
    dr_sql_name(sql, state_columns[i].name);
  }
  for (size_t i = 0; i < COLUMN_COUNT; i++) {
    dr_sql_text(sql, i == 0 ? ") VALUES (" : ", ");
    dr_sql_param(sql);
  }
  dr_sql_text(sql, ")");
  return sql->code;
}

int32_t dr_state_put(struct dr_warehouse *warehouse, const struct dr_table_options *options, uint64_t generation,
                     struct dray_str checkpoint, int64_t now_us, struct dray_error *error) {
  const struct state_write write = {warehouse, options, generation, checkpoint, now_us};
  struct dr_place place;
  struct dr_sql sql;
  struct dray_buffer text;
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  int32_t code = write_delete(&sql, &place);
  if (code == DRAY_OK) code = execute_with(&write, dray_buffer_view(&text), 1, error);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  if (code == DRAY_OK) code = write_insert(&sql, &place);
  if (code == DRAY_OK) code = execute_with(&write, dray_buffer_view(&text), COLUMN_COUNT, error);
  dray_buffer_free(&text);
  dr_place_free(&place);
  return code;
}

int32_t dr_state_remove(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                        struct dray_error *error) {
  const struct state_write write = {.warehouse = warehouse, .options = options};
  struct dr_place place;
  struct dr_sql sql;
  struct dray_buffer text;
  DRAY_TRY(dr_state_place(warehouse, options, &place, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  int32_t code = write_delete(&sql, &place);
  if (code == DRAY_OK) code = execute_with(&write, dray_buffer_view(&text), 1, error);
  dray_buffer_free(&text);
  dr_place_free(&place);
  return code;
}

// Inside the transaction the row may be another one than it was before.
static int32_t empty_checkpoint(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                                struct dray_error *error) {
  struct dr_state_row row = {.checkpoint = NULL};
  DRAY_TRY(dr_state_lock(warehouse, options, error));
  DRAY_TRY(dr_state_get(warehouse, options, &row, error));
  if (row.generation == 0) return DRAY_OK;
  return dr_state_put(warehouse, options, row.generation, dray_str_make(NULL, 0), dr_now_us(), error);
}

int32_t dr_table_state_unread(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                              struct dray_error *error) {
  struct dr_state_row row = {.checkpoint = NULL};
  DRAY_TRY(dr_state_get(warehouse, options, &row, error));
  if (row.generation == 0) return DRAY_OK;
  DRAY_TRY(dr_engine_begin(warehouse, error));
  int32_t code = empty_checkpoint(warehouse, options, error);
  if (code == DRAY_OK) return dr_engine_commit(warehouse, error);
  dr_engine_rollback(warehouse);
  return code;
}
