// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The snapshot's life: making, advancing, settling, dropping; each in one transaction of the engine where its DDL takes
// part in one. Where it does not, the state row goes first and comes last, and without it nothing is believed.
#include "warehouse/snapshot_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"

#define CHECKPOINT_BYTES_MAX 4096
#define STATE_FORMAT 1
#define STAGED_ROWS 65536u
#define KEYS_MAX 64 // of which it is known how long they are; no engine has an index of more columns

// ---- opening ----

static int32_t check_options(const struct dr_snapshot *snapshot, struct dray_error *error) {
  const struct dray_dialect *dialect = &snapshot->warehouse->dialect;
  if (dialect->key_columns_max > 0 && snapshot->options.key_count > dialect->key_columns_max) {
    return dray_fail_field(error, DRAY_E_SCHEMA_KEY, "diff",
                           "`diff: warehouse` is not for a key of %zu columns: an index of %.*s takes %llu",
                           snapshot->options.key_count, DRAY_STR_ARG(dialect->name),
                           (unsigned long long)dialect->key_columns_max);
  }
  for (size_t i = 0; i < snapshot->options.column_count; i++) {
    const struct dray_column_def *column = &snapshot->options.columns[i];
    if (dialect->differs[column->type.id].len == 0) {
      return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "diff",
                             "`diff: warehouse` is not for %.*s: the engine does not say how two values of the type %s "
                             "are compared exactly",
                             DRAY_STR_ARG(dialect->name), dray_type_name(column->type.id));
    }
    if (strcmp(column->name, DR_COLUMN_NUMBER) == 0 || strcmp(column->name, DR_COLUMN_KIND) == 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_NAME, column->name,
                             "with `diff: warehouse` the model must not have a column \"%s\": rename it with AS",
                             column->name);
    }
  }
  return DRAY_OK;
}

static int32_t name_things(struct dr_snapshot *snapshot, struct dray_error *error) {
  const struct dray_dialect *dialect = &snapshot->warehouse->dialect;
  const uint64_t id = snapshot->options.id;
  const int temporary = dr_dialect_has(dialect, DRAY_DIALECT_TEMP_TABLES);
  char held[48], changes[48], staging[48];
  (void)snprintf(held, sizeof held, "snapshot_%016" PRIx64, id);
  (void)snprintf(changes, sizeof changes, "changes_%016" PRIx64, id);
  (void)snprintf(staging, sizeof staging, "_dray_unsettled_%016" PRIx64, id);
  (void)snprintf(snapshot->index_names[0], sizeof snapshot->index_names[0], "snapshot_key_%016" PRIx64, id);
  (void)snprintf(snapshot->index_names[1], sizeof snapshot->index_names[1], "changes_key_%016" PRIx64, id);
  // No sync can have a name that begins so.
  (void)snprintf(snapshot->state_name, sizeof snapshot->state_name, ".snapshot-%016" PRIx64, id);
  snapshot->state.name = (struct dr_table_name){DR_SNAPSHOT_SCHEMA, held};
  snapshot->state.sync = snapshot->state_name;
  snapshot->state.state_table = DR_SNAPSHOT_STATE_TABLE;
  DRAY_TRY(dr_place_make(dialect, DR_SNAPSHOT_SCHEMA, held, &snapshot->held, error));
  DRAY_TRY(dr_place_make(dialect, DR_SNAPSHOT_SCHEMA, changes, &snapshot->changes, error));
  DRAY_TRY(dr_place_make(dialect, temporary ? NULL : DR_SNAPSHOT_SCHEMA, staging, &snapshot->staging, error));
  snapshot->state.name.table = snapshot->held.table;
  (void)dr_place_text(&snapshot->held, snapshot->label, sizeof snapshot->label);
  return DRAY_OK;
}

int32_t dr_snapshot_open(struct dr_warehouse *warehouse, const struct dr_snapshot_options *options,
                         struct dr_snapshot **out, struct dray_error *error) {
  struct dr_snapshot *snapshot = calloc(1, sizeof *snapshot);
  if (snapshot == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a snapshot");
  snapshot->warehouse = warehouse;
  snapshot->options = *options;
  if (options->model != NULL) snapshot->model = dr_statement_of(options->model);
  dray_buffer_init(&snapshot->text, DR_SQL_BYTES_MAX);
  int32_t code = check_options(snapshot, error);
  if (code == DRAY_OK) code = name_things(snapshot, error);
  if (code != DRAY_OK) {
    dr_snapshot_close(snapshot);
    return code;
  }
  *out = snapshot;
  return DRAY_OK;
}

void dr_snapshot_close(struct dr_snapshot *snapshot) {
  if (snapshot == NULL) return;
  dr_place_free(&snapshot->held);
  dr_place_free(&snapshot->changes);
  dr_place_free(&snapshot->staging);
  dray_buffer_free(&snapshot->text);
  free(snapshot);
}

const char *dr_snapshot_label(const struct dr_snapshot *snapshot) {
  return snapshot->label;
}

// ---- running ----

static void start(struct dr_snapshot *snapshot, struct dr_sql *sql, const char *text, struct dray_error *error) {
  dr_sql_begin(sql, &snapshot->warehouse->dialect, &snapshot->text, error);
  dr_sql_text(sql, text);
}

// INSERT INTO one of the two tables, of all its columns; a query is to follow.
static void start_insert(struct dr_snapshot *snapshot, struct dr_sql *sql, const struct dr_place *place,
                         struct dray_error *error) {
  start(snapshot, sql, "INSERT INTO ", error);
  dr_sql_place(sql, place);
  dr_sql_text(sql, " (");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  if (place == &snapshot->changes) dr_sql_text(sql, ", ");
  if (place == &snapshot->changes) dr_sql_name(sql, DR_COLUMN_KIND);
  dr_sql_text(sql, ", ");
  dr_snapshot_put_columns(snapshot, sql, NULL);
  dr_sql_text(sql, ") ");
}

static int32_t run(struct dr_snapshot *snapshot, struct dr_sql *sql, int64_t *out_rows) {
  DRAY_TRY(sql->code);
  return dr_engine_execute(snapshot->warehouse, dray_buffer_view(&snapshot->text), NULL, NULL, out_rows, sql->error);
}

// Runs the SELECT that was written, of one number named "n".
static int32_t ask(struct dr_snapshot *snapshot, struct dr_sql *sql, uint64_t *out) {
  DRAY_TRY(sql->code);
  return dr_engine_number(snapshot->warehouse, dray_buffer_view(&snapshot->text), out, sql->error);
}

static int32_t count_table(struct dr_snapshot *snapshot, const struct dr_place *place, uint64_t *out,
                           struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "SELECT COUNT(*) AS ", error);
  dr_sql_name(&sql, "n");
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, place);
  return ask(snapshot, &sql, out);
}

int32_t dr_snapshot_count_model(struct dr_snapshot *snapshot, uint64_t *out_rows, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "SELECT COUNT(*) AS ", error);
  dr_sql_name(&sql, "n");
  dr_sql_text(&sql, " FROM ");
  dr_snapshot_put_model(snapshot, &sql, "q");
  return ask(snapshot, &sql, out_rows);
}

static int32_t pass(const char *fault_point, struct dray_error *error) {
  return dr_fault_point(fault_point) == 0 ? DRAY_OK : dr_fail_errno(error, "writing the snapshot at", fault_point);
}

static int32_t end(struct dr_snapshot *snapshot, int32_t code, struct dray_error *error) {
  if (code == DRAY_OK) code = dr_engine_commit(snapshot->warehouse, error);
  if (code != DRAY_OK) dr_engine_rollback(snapshot->warehouse);
  return code;
}

// ---- the state row ----

static int32_t parse_state(const struct dray_buffer *checkpoint, struct dr_snapshot_state *state) {
  int format = 0;
  if (checkpoint->len == 0 || checkpoint->len > 200) return 0;
  char text[201];
  memcpy(text, checkpoint->data, checkpoint->len);
  text[checkpoint->len] = '\0';
  const int got =
      sscanf(text, "%d %39[0-9a-f] %" SCNu64 " %" SCNu64, &format, state->identity, &state->rows, &state->bytes);
  return got == 4 && format == STATE_FORMAT;
}

int32_t dr_snapshot_look(struct dr_snapshot *snapshot, struct dr_snapshot_state *out, struct dray_error *error) {
  struct dray_buffer checkpoint;
  struct dr_snapshot_state state = {.token = 0};
  struct dr_state_row row = {.checkpoint = &checkpoint};
  dray_buffer_init(&checkpoint, CHECKPOINT_BYTES_MAX);
  const int32_t code = dr_state_get(snapshot->warehouse, &snapshot->state, &row, error);
  if (code == DRAY_OK && row.generation != 0 && parse_state(&checkpoint, &state)) state.token = row.generation;
  dray_buffer_free(&checkpoint);
  if (code == DRAY_OK) *out = state;
  return code;
}

static int32_t put_state(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state,
                         struct dray_error *error) {
  char text[160];
  const int n = snprintf(text, sizeof text, "%d %s %" PRIu64 " %" PRIu64, STATE_FORMAT, state->identity, state->rows,
                         state->bytes);
  return dr_state_put(snapshot->warehouse, &snapshot->state, state->token, dray_str_make(text, (uint64_t)n),
                      dr_now_us(), error);
}

// Inside the transaction: whoever else writes waits here, or has been here.
static int32_t fence(struct dr_snapshot *snapshot, uint64_t token, struct dray_error *error) {
  struct dr_snapshot_state now;
  DRAY_TRY(dr_state_lock(snapshot->warehouse, &snapshot->state, error));
  DRAY_TRY(dr_snapshot_look(snapshot, &now, error));
  if (now.token == token) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_GENERATION, "somebody else wrote to %s while this run read it: run it again",
                   snapshot->label);
}

static int32_t has_columns(struct dr_snapshot *snapshot, const struct dr_place *place, int with_kind, int *out_has,
                           struct dray_error *error) {
  struct dr_shape shape;
  DRAY_TRY(dr_shape_read(snapshot->warehouse, place, &shape, error));
  int has = shape.found && dr_shape_find(&shape, DR_COLUMN_NUMBER) != NULL;
  has = has && (!with_kind || dr_shape_find(&shape, DR_COLUMN_KIND) != NULL);
  for (size_t i = 0; has && i < snapshot->options.column_count; i++) {
    const struct dr_shape_column *column = dr_shape_find(&shape, snapshot->options.columns[i].name);
    has = column != NULL && strcmp(column->name, snapshot->options.columns[i].name) == 0;
  }
  dr_shape_free(&shape);
  *out_has = has;
  return DRAY_OK;
}

int32_t dr_snapshot_check(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state, int *out_whole,
                          uint64_t *out_open, struct dray_error *error) {
  int held = 0, changes = 0;
  uint64_t rows = 0, open = 0;
  DRAY_TRY(has_columns(snapshot, &snapshot->held, 0, &held, error));
  if (held) DRAY_TRY(has_columns(snapshot, &snapshot->changes, 1, &changes, error));
  if (held && changes) DRAY_TRY(count_table(snapshot, &snapshot->held, &rows, error));
  if (held && changes) DRAY_TRY(count_table(snapshot, &snapshot->changes, &open, error));
  *out_whole = held && changes && rows == state->rows;
  *out_open = open;
  return DRAY_OK;
}

// ---- making ----

static int32_t drop_table(struct dr_snapshot *snapshot, const struct dr_place *place, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "DROP TABLE IF EXISTS ", error);
  dr_sql_place(&sql, place);
  return run(snapshot, &sql, NULL);
}

// The key's columns of the copies of which an index takes the beginning only.
struct long_keys {
  const struct dr_snapshot_options *options;
  uint8_t is_long[KEYS_MAX];
};

static int32_t take_long_keys(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  struct long_keys *keys = ctx;
  (void)error;
  for (uint64_t row = 0; row < dr_batch_rows(batch); row++) {
    const struct dray_str name = dray_column_bytes(&batch->view.columns[0], row);
    for (size_t k = 0; k < keys->options->key_count && k < KEYS_MAX; k++) {
      if (dray_str_is(name, keys->options->key[k])) keys->is_long[k] = 1;
    }
  }
  return DRAY_OK;
}

// The columns have the types of the model's, so the engine is asked how long they may be. Both names are ours, and
// plain.
static int32_t find_long_keys(struct dr_snapshot *snapshot, struct long_keys *out, struct dray_error *error) {
  const struct dray_column_def def = {"name", {DRAY_TYPE_STRING, 0, 0}, 0};
  const uint64_t chars = snapshot->warehouse->dialect.key_chars_max / snapshot->options.key_count;
  struct dr_schema *schema = NULL;
  struct dr_sql sql;
  if (chars == 0) return DRAY_OK;
  start(snapshot, &sql, "SELECT column_name AS ", error);
  dr_sql_name(&sql, def.name);
  dr_sql_text(&sql, " FROM information_schema.columns WHERE table_schema = '");
  dr_sql_text(&sql, snapshot->held.schema != NULL ? snapshot->held.schema : "");
  dr_sql_text(&sql, "' AND table_name = '");
  dr_sql_text(&sql, snapshot->held.table);
  dr_sql_text(&sql, "' AND character_octet_length > ");
  dr_sql_number(&sql, 4 * chars);
  DRAY_TRY(sql.code);
  DRAY_TRY(dr_schema_new(&def, 1, &schema, error));
  const int32_t code =
      dr_engine_query(snapshot->warehouse, dray_buffer_view(&snapshot->text), schema, take_long_keys, out, error);
  dr_schema_unref(schema);
  return code;
}

static int32_t make_index(struct dr_snapshot *snapshot, const struct dr_place *place, const char *name,
                          const struct long_keys *keys, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "CREATE INDEX ", error);
  dr_sql_name(&sql, name);
  dr_sql_text(&sql, " ON ");
  dr_sql_place(&sql, place);
  for (size_t k = 0; k < snapshot->options.key_count; k++) {
    dr_sql_text(&sql, k == 0 ? " (" : ", ");
    dr_sql_name(&sql, snapshot->options.key[k]);
    if (k >= KEYS_MAX || !keys->is_long[k]) continue;
    dr_sql_text(&sql, "(");
    dr_sql_number(&sql, snapshot->warehouse->dialect.key_chars_max / snapshot->options.key_count);
    dr_sql_text(&sql, ")");
  }
  dr_sql_text(&sql, ")");
  return run(snapshot, &sql, NULL);
}

static void put_numbered_model(struct dr_snapshot *snapshot, struct dr_sql *sql, int empty) {
  dr_sql_text(sql, "SELECT ROW_NUMBER() OVER () AS ");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  dr_sql_text(sql, ", ");
  dr_snapshot_put_columns(snapshot, sql, "q");
  dr_sql_text(sql, empty ? " FROM (SELECT 1 AS one) AS o LEFT JOIN " : " FROM ");
  dr_snapshot_put_model(snapshot, sql, "q");
  if (empty) dr_sql_text(sql, " ON 1 = 0 WHERE 1 = 0");
}

// The engine gives the columns its own types by copying: nothing of a value is lost, whatever dray would make of it.
// Where copies are NOT NULL, they are made empty, by way of an outer join: the model may get nulls later.
static int32_t make_held(struct dr_snapshot *snapshot, struct dray_error *error) {
  const int keeps = dr_dialect_has(&snapshot->warehouse->dialect, DRAY_DIALECT_COPY_NOT_NULL);
  struct dr_sql sql;
  start(snapshot, &sql, "CREATE TABLE ", error);
  dr_sql_place(&sql, &snapshot->held);
  dr_sql_text(&sql, " AS ");
  put_numbered_model(snapshot, &sql, keeps);
  DRAY_TRY(run(snapshot, &sql, NULL));
  if (!keeps) return DRAY_OK;
  start_insert(snapshot, &sql, &snapshot->held, error);
  put_numbered_model(snapshot, &sql, 0);
  return run(snapshot, &sql, NULL);
}

static int32_t make_tables(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct long_keys keys = {.options = &snapshot->options};
  struct dr_sql sql;
  DRAY_TRY(make_held(snapshot, error));
  start(snapshot, &sql, "CREATE TABLE ", error);
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " AS SELECT ");
  dr_sql_column(&sql, "s", DR_COLUMN_NUMBER);
  dr_sql_text(&sql, ", 0 AS ");
  dr_sql_name(&sql, DR_COLUMN_KIND);
  dr_sql_text(&sql, ", ");
  dr_snapshot_put_columns(snapshot, &sql, "s");
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, &snapshot->held);
  dr_sql_text(&sql, " AS s WHERE 1 = 0");
  DRAY_TRY(run(snapshot, &sql, NULL));
  DRAY_TRY(find_long_keys(snapshot, &keys, error));
  DRAY_TRY(make_index(snapshot, &snapshot->held, snapshot->index_names[0], &keys, error));
  return make_index(snapshot, &snapshot->changes, snapshot->index_names[1], &keys, error);
}

// A schema that is there is not made with IF NOT EXISTS: that takes the right to make schemas.
static int32_t make_schema(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct dr_sql sql;
  int found = 0;
  if (snapshot->held.schema == NULL) return DRAY_OK;
  DRAY_TRY(dr_schema_is_there(snapshot->warehouse, snapshot->held.schema, &found, error));
  if (found) return DRAY_OK;
  start(snapshot, &sql, "CREATE SCHEMA ", error);
  dr_sql_name(&sql, snapshot->held.schema);
  return run(snapshot, &sql, NULL);
}

static int32_t disbelieve(struct dr_snapshot *snapshot, uint64_t token, struct dray_error *error) {
  const struct dr_snapshot_state state = {.token = token, .identity = "0"};
  struct dr_state_row row = {.checkpoint = NULL};
  DRAY_TRY(dr_state_get(snapshot->warehouse, &snapshot->state, &row, error));
  if (!row.table_found) DRAY_TRY(dr_state_create(snapshot->warehouse, &snapshot->state, error));
  return put_state(snapshot, &state, error);
}

static int32_t remake(struct dr_snapshot *snapshot, uint64_t token, struct dray_error *error) {
  DRAY_TRY(make_schema(snapshot, error));
  DRAY_TRY(disbelieve(snapshot, token, error));
  DRAY_TRY(pass("snapshot.disbelieved", error));
  DRAY_TRY(drop_table(snapshot, &snapshot->changes, error));
  DRAY_TRY(drop_table(snapshot, &snapshot->held, error));
  DRAY_TRY(make_tables(snapshot, error));
  return pass("snapshot.remaking", error);
}

int32_t dr_snapshot_remake(struct dr_snapshot *snapshot, uint64_t next_token, struct dray_error *error) {
  const int inside = dr_dialect_has(&snapshot->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  if (inside) DRAY_TRY(dr_engine_begin(snapshot->warehouse, error));
  const int32_t code = remake(snapshot, next_token, error);
  DRAY_TRY(inside ? end(snapshot, code, error) : code);
  return pass("snapshot.remade", error);
}

int32_t dr_snapshot_drop(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct dr_state_row row = {.checkpoint = NULL};
  struct dr_shape shape;
  DRAY_TRY(dr_state_get(snapshot->warehouse, &snapshot->state, &row, error));
  DRAY_TRY(dr_shape_read(snapshot->warehouse, &snapshot->held, &shape, error));
  const int found = shape.found;
  dr_shape_free(&shape);
  if (!row.table_found && !found) return DRAY_OK;
  DRAY_TRY(dr_engine_begin(snapshot->warehouse, error));
  int32_t code = row.table_found ? dr_state_remove(snapshot->warehouse, &snapshot->state, error) : DRAY_OK;
  if (code == DRAY_OK) code = drop_table(snapshot, &snapshot->changes, error);
  if (code == DRAY_OK) code = drop_table(snapshot, &snapshot->held, error);
  return end(snapshot, code, error);
}

// ---- advancing ----

static int32_t mark_older(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "UPDATE ", error);
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " SET ");
  dr_sql_name(&sql, DR_COLUMN_KIND);
  dr_sql_text(&sql, " = ");
  dr_sql_number(&sql, DR_SNAPSHOT_OLDER);
  return run(snapshot, &sql, NULL);
}

static int32_t delete_kind(struct dr_snapshot *snapshot, const char *compare, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "DELETE FROM ", error);
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " WHERE ");
  dr_sql_name(&sql, DR_COLUMN_KIND);
  dr_sql_text(&sql, compare);
  return run(snapshot, &sql, NULL);
}

static int32_t insert_candidates(struct dr_snapshot *snapshot, int older, int64_t *out_rows, struct dray_error *error) {
  struct dr_sql sql;
  start_insert(snapshot, &sql, &snapshot->changes, error);
  dr_snapshot_put_candidates(snapshot, &sql, older);
  dr_sql_text(&sql, "SELECT ROW_NUMBER() OVER (), ");
  dr_sql_column(&sql, "x", DR_COLUMN_KIND);
  dr_sql_text(&sql, ", ");
  dr_snapshot_put_columns(snapshot, &sql, "x");
  dr_sql_text(&sql, " FROM x");
  return run(snapshot, &sql, out_rows);
}

static int32_t advance(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state, uint64_t open,
                       uint64_t next_token, uint64_t *out_rows, struct dray_error *error) {
  int64_t rows = -1;
  if (open > 0) DRAY_TRY(mark_older(snapshot, error));
  DRAY_TRY(insert_candidates(snapshot, open > 0, &rows, error));
  if (open > 0) DRAY_TRY(delete_kind(snapshot, " = 2", error));
  *out_rows = (uint64_t)rows;
  if (rows < 0) DRAY_TRY(count_table(snapshot, &snapshot->changes, out_rows, error));
  if (*out_rows == 0 && open == 0) return DRAY_OK;
  struct dr_snapshot_state next = *state;
  next.token = next_token;
  DRAY_TRY(fence(snapshot, state->token, error));
  DRAY_TRY(put_state(snapshot, &next, error));
  return pass("snapshot.advancing", error);
}

int32_t dr_snapshot_advance(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state, uint64_t open,
                            uint64_t next_token, uint64_t *out_rows, struct dray_error *error) {
  uint64_t rows = 0;
  DRAY_TRY(dr_engine_begin(snapshot->warehouse, error));
  DRAY_TRY(end(snapshot, advance(snapshot, state, open, next_token, &rows, error), error));
  *out_rows = rows;
  return pass("snapshot.advanced", error);
}

int32_t dr_snapshot_hidden(struct dr_snapshot *snapshot, const struct dr_snapshot_state *state, uint64_t *out_rows,
                           struct dray_error *error) {
  struct dr_sql sql;
  uint64_t shared = 0;
  start(snapshot, &sql, "SELECT COUNT(*) AS ", error);
  dr_sql_name(&sql, "n");
  dr_sql_text(&sql, " FROM ");
  dr_snapshot_put_older_keys(snapshot, &sql);
  dr_sql_text(&sql, " JOIN ");
  dr_sql_place(&sql, &snapshot->held);
  dr_sql_text(&sql, " AS s ON ");
  dr_snapshot_put_same_key(snapshot, &sql, "s", "c");
  DRAY_TRY(ask(snapshot, &sql, &shared));
  *out_rows = state->rows > shared ? state->rows - shared : 0;
  return DRAY_OK;
}

// ---- settling ----

static int is_settled(const struct dr_snapshot_settling *settling, uint64_t number) {
  return (settling->settled[number >> 3] >> (number & 7)) & 1;
}

// Loads the numbers of the rows that are not settled, a batch at a time.
static int32_t load_unsettled(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                              struct dray_error *error) {
  const struct dray_column_def def = {DR_COLUMN_NUMBER, {DRAY_TYPE_INT64, 0, 0}, 0};
  struct ArrowSchema schema = {.release = NULL};
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  int32_t code = dray_schema_make(&def, 1, &schema, error);
  if (code == DRAY_OK) code = dray_builder_new(&schema, STAGED_ROWS, UINT32_MAX, &builder, error);
  for (uint64_t number = 1; code == DRAY_OK && number <= settling->last; number++) {
    const int last = number == settling->last;
    if (!is_settled(settling, number)) {
      code = dray_builder_int64(builder, 0, (int64_t)number, error);
      if (code == DRAY_OK) code = dray_builder_end_row(builder, &full, error);
    }
    if (code != DRAY_OK || (!full && !last) || dray_builder_rows(builder) == 0) continue;
    struct ArrowArray array = {.release = NULL};
    code = dray_builder_finish(builder, &array, error);
    if (code == DRAY_OK) code = dr_engine_load(snapshot->warehouse, &snapshot->staging, &schema, &array, error);
    dray_array_release(&array);
    full = 0;
  }
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return code;
}

static int32_t drop_staging(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "", error);
  dr_sql_drop_staging(&sql);
  dr_sql_text(&sql, "IF EXISTS ");
  dr_sql_place(&sql, &snapshot->staging);
  return run(snapshot, &sql, NULL);
}

// With a key: there are engines that look a row up in a list by reading it all.
static int32_t make_staging(struct dr_snapshot *snapshot, struct dray_error *error) {
  struct dr_sql sql;
  DRAY_TRY(drop_staging(snapshot, error));
  start(snapshot, &sql, "", error);
  dr_sql_create_staging(&sql);
  dr_sql_place(&sql, &snapshot->staging);
  dr_sql_text(&sql, " (");
  dr_sql_name(&sql, DR_COLUMN_NUMBER);
  dr_sql_text(&sql, " ");
  dr_sql_type(&sql, (struct dray_type){DRAY_TYPE_INT64, 0, 0});
  dr_sql_text(&sql, " PRIMARY KEY)");
  return run(snapshot, &sql, NULL);
}

// WHERE the row is not settled: beyond what was read, or loaded as such.
static void where_unsettled(const struct dr_snapshot *snapshot, struct dr_sql *sql, uint64_t last) {
  dr_sql_text(sql, " WHERE ");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  dr_sql_text(sql, " > ");
  dr_sql_number(sql, last);
  dr_sql_text(sql, " OR ");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  dr_sql_text(sql, " IN (SELECT ");
  dr_sql_name(sql, DR_COLUMN_NUMBER);
  dr_sql_text(sql, " FROM ");
  dr_sql_place(sql, &snapshot->staging);
  dr_sql_text(sql, ")");
}

static int32_t mark_unsettled(struct dr_snapshot *snapshot, uint64_t last, struct dray_error *error) {
  struct dr_sql sql;
  start(snapshot, &sql, "UPDATE ", error);
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " SET ");
  dr_sql_name(&sql, DR_COLUMN_KIND);
  dr_sql_text(&sql, " = ");
  dr_sql_number(&sql, DR_SNAPSHOT_UNSETTLED);
  where_unsettled(snapshot, &sql, last);
  return run(snapshot, &sql, NULL);
}

// Rows of the snapshot whose key is among the settled ones. Looked up by what the engine calls equal, and then exactly.
static int32_t forget_settled_keys(struct dr_snapshot *snapshot, int64_t *out_rows, struct dray_error *error) {
  struct dr_sql sql;
  if (dr_dialect_has(&snapshot->warehouse->dialect, DRAY_DIALECT_JOIN_WRITES)) {
    start(snapshot, &sql, "DELETE s FROM ", error);
    dr_sql_place(&sql, &snapshot->changes);
    dr_sql_text(&sql, " AS c JOIN ");
    dr_sql_place(&sql, &snapshot->held);
    dr_sql_text(&sql, " AS s ON ");
    dr_snapshot_put_same_key(snapshot, &sql, "s", "c");
    dr_sql_text(&sql, " WHERE ");
    dr_sql_column(&sql, "c", DR_COLUMN_KIND);
    dr_sql_text(&sql, " <> 0");
    return run(snapshot, &sql, out_rows);
  }
  start(snapshot, &sql, "DELETE FROM ", error);
  dr_sql_place(&sql, &snapshot->held);
  dr_sql_text(&sql, " WHERE (");
  dr_snapshot_put_keys(snapshot, &sql, NULL);
  dr_sql_text(&sql, ") IN (SELECT ");
  dr_snapshot_put_keys(snapshot, &sql, "c");
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " AS c WHERE ");
  dr_sql_column(&sql, "c", DR_COLUMN_KIND);
  dr_sql_text(&sql, " <> 0) AND EXISTS (SELECT 1 FROM ");
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " AS c WHERE ");
  dr_sql_column(&sql, "c", DR_COLUMN_KIND);
  dr_sql_text(&sql, " <> 0 AND ");
  dr_snapshot_put_same_key(snapshot, &sql, snapshot->held.table, "c");
  dr_sql_text(&sql, ")");
  return run(snapshot, &sql, out_rows);
}

static int32_t insert_settled(struct dr_snapshot *snapshot, int64_t *out_rows, struct dray_error *error) {
  struct dr_sql sql;
  start_insert(snapshot, &sql, &snapshot->held, error);
  dr_sql_text(&sql, "SELECT ");
  dr_sql_column(&sql, "c", DR_COLUMN_NUMBER);
  dr_sql_text(&sql, ", ");
  dr_snapshot_put_columns(snapshot, &sql, "c");
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, &snapshot->changes);
  dr_sql_text(&sql, " AS c WHERE ");
  dr_sql_column(&sql, "c", DR_COLUMN_KIND);
  dr_sql_text(&sql, " = ");
  dr_sql_number(&sql, DR_SNAPSHOT_ROW);
  return run(snapshot, &sql, out_rows);
}

static int32_t settle_changes(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                              struct dray_error *error) {
  int64_t gone = -1, come = -1;
  DRAY_TRY(mark_unsettled(snapshot, settling->last, error));
  DRAY_TRY(forget_settled_keys(snapshot, &gone, error));
  DRAY_TRY(insert_settled(snapshot, &come, error));
  DRAY_TRY(delete_kind(snapshot, " <> 0", error));
  if (gone < 0 || come < 0) return count_table(snapshot, &snapshot->held, &settling->after->rows, error);
  settling->after->rows = settling->before->rows - (uint64_t)gone + (uint64_t)come;
  return DRAY_OK;
}

// The snapshot holds all of the model: what is not settled moves out.
static int32_t settle_remade(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                             struct dray_error *error) {
  struct dr_sql sql;
  start_insert(snapshot, &sql, &snapshot->changes, error);
  dr_sql_text(&sql, "SELECT ");
  dr_sql_name(&sql, DR_COLUMN_NUMBER);
  dr_sql_text(&sql, ", 0, ");
  dr_snapshot_put_columns(snapshot, &sql, NULL);
  dr_sql_text(&sql, " FROM ");
  dr_sql_place(&sql, &snapshot->held);
  where_unsettled(snapshot, &sql, settling->last);
  DRAY_TRY(run(snapshot, &sql, NULL));
  start(snapshot, &sql, "DELETE FROM ", error);
  dr_sql_place(&sql, &snapshot->held);
  where_unsettled(snapshot, &sql, settling->last);
  DRAY_TRY(run(snapshot, &sql, NULL));
  return count_table(snapshot, &snapshot->held, &settling->after->rows, error);
}

static int32_t settle(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                      struct dray_error *error) {
  DRAY_TRY(fence(snapshot, settling->before->token, error));
  DRAY_TRY(load_unsettled(snapshot, settling, error));
  DRAY_TRY(settling->remade ? settle_remade(snapshot, settling, error) : settle_changes(snapshot, settling, error));
  DRAY_TRY(put_state(snapshot, settling->after, error));
  return pass("snapshot.settling", error);
}

// A staging table that is temporary or part of the transaction is gone with it; any other is dropped before the
// transaction and after it.
int32_t dr_snapshot_settle(struct dr_snapshot *snapshot, const struct dr_snapshot_settling *settling,
                           struct dray_error *error) {
  const int inside = dr_dialect_has(&snapshot->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  if (!inside) DRAY_TRY(make_staging(snapshot, error));
  DRAY_TRY(dr_engine_begin(snapshot->warehouse, error));
  int32_t code = inside ? make_staging(snapshot, error) : DRAY_OK;
  if (code == DRAY_OK) code = settle(snapshot, settling, error);
  if (code == DRAY_OK && inside) code = drop_staging(snapshot, error);
  DRAY_TRY(end(snapshot, code, error));
  if (!inside) DRAY_TRY(drop_staging(snapshot, error));
  return pass("snapshot.settled", error);
}

// ---- trying ----

static int32_t try_tables(struct dr_snapshot *snapshot, int inside, struct dray_error *error) {
  const struct dr_snapshot_settling nothing = {.settled = NULL};
  struct dr_place trial;
  struct dr_sql sql;
  DRAY_TRY(make_schema(snapshot, error));
  DRAY_TRY(dr_place_make(&snapshot->warehouse->dialect, DR_SNAPSHOT_SCHEMA, snapshot->state_name + 1, &trial, error));
  start(snapshot, &sql, "CREATE TABLE ", error);
  dr_sql_place(&sql, &trial);
  dr_sql_text(&sql, " AS SELECT 1 AS ");
  dr_sql_name(&sql, "n");
  int32_t code = run(snapshot, &sql, NULL);
  if (code == DRAY_OK && !inside) code = drop_table(snapshot, &trial, error);
  dr_place_free(&trial);
  if (code == DRAY_OK) code = make_staging(snapshot, error);
  if (code == DRAY_OK) code = load_unsettled(snapshot, &nothing, error);
  return code == DRAY_OK ? drop_staging(snapshot, error) : code;
}

int32_t dr_snapshot_try(struct dr_snapshot *snapshot, struct dray_error *error) {
  const int inside = dr_dialect_has(&snapshot->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL);
  if (!inside) return try_tables(snapshot, 0, error);
  DRAY_TRY(dr_engine_begin(snapshot->warehouse, error));
  const int32_t code = try_tables(snapshot, 1, error);
  dr_engine_rollback(snapshot->warehouse);
  return code;
}
