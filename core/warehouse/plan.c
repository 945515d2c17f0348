// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands between the table as it is and as it must be, under the drift policy. Reads the table's shape and writes
// DDL as text; runs nothing. Called by `plan` and, again inside the transaction, by the writer.
#include <stdio.h>
#include <stdlib.h>

#include "table/encode.h"
#include "warehouse/limits.h"

#define DDL_COUNT_MAX 8192
#define TEMPORARY_COLUMN "_dray_widened"
#define KEY_INDEX_PREFIX "_dray_key_"
#define RESERVED_PREFIX "_dray_"

enum { POLICY_EVOLVE = 1, POLICY_FREEZE, POLICY_DISCARD_ROW, POLICY_DISCARD_VALUE };

static const char *const policy_names[] = {"evolve", "evolve", "freeze", "discard_row", "discard_value"};

static const char *policy_name(int policy) {
  return policy >= 0 && policy <= POLICY_DISCARD_VALUE ? policy_names[policy] : "unknown";
}

// A column that gets a wider type.
struct widening {
  const struct dr_shape_column *column; // borrowed: the shape grows behind them only
  struct dray_type to;
};

// One pass of planning.
struct planner {
  struct dr_warehouse *warehouse;
  const struct dr_table_options *options;
  struct dr_place place;
  struct dr_shape shape;
  struct dray_buffer text; // the statement being written
  struct dr_sql sql;
  struct dr_table_plan plan;
  struct widening *widenings; // owned; room for one a field
  size_t widening_count;
  char label[600]; // the table, for messages
  struct dray_error *error;
};

void dr_statements_free(struct dr_statements *statements) {
  for (size_t i = 0; i < statements->count; i++) free(statements->sql[i]);
  free(statements->sql);
  *statements = (struct dr_statements){NULL, 0};
}

int32_t dr_statement_add(char ***list, size_t *count, struct dray_str sql, struct dray_error *error) {
  char **grown = realloc(*list, (*count + 1) * sizeof *grown);
  if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
  *list = grown;
  char *copy = dray_str_dup(sql);
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
  grown[(*count)++] = copy;
  return DRAY_OK;
}

void dr_table_plan_free(struct dr_table_plan *plan) {
  if (plan == NULL) return;
  for (size_t i = 0; i < plan->ddl_count; i++) free(plan->ddl[i]);
  free(plan->ddl);
  free(plan->drop_column);
  free(plan->limits);
  if (plan->after != NULL) dr_shape_free(plan->after);
  free(plan->after);
  *plan = (struct dr_table_plan){.ddl = NULL};
}

// ---- checks that need no table ----

static int32_t check_names(struct planner *planner) {
  const struct dr_schema *schema = planner->options->schema;
  for (size_t i = 0; i < schema->field_count; i++) {
    const char *name = schema->fields[i].name;
    dr_sql_begin(&planner->sql, &planner->warehouse->dialect, &planner->text, planner->error);
    dr_sql_name(&planner->sql, name);
    DRAY_TRY(planner->sql.code);
    if (strncmp(name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0) {
      return dray_fail_field(
          planner->error, DRAY_E_SCHEMA_NAME, name,
          "column '%s': names that begin with " RESERVED_PREFIX " are dray's own; map it to another name", name);
    }
    for (size_t k = 0; k < i; k++) {
      if (!dr_name_equal_nocase(name, schema->fields[k].name)) continue;
      return dray_fail_field(planner->error, DRAY_E_SCHEMA_NAME, name,
                             "the columns '%s' and '%s' differ only by case, and a table cannot be relied on to keep "
                             "them apart; map one of them to another name",
                             schema->fields[k].name, name);
    }
  }
  return DRAY_OK;
}

static int is_keyed(const struct dr_table_options *options) {
  return options->mode == DR_WRITE_UPSERT || options->mode == DR_WRITE_HISTORY;
}

// The columns of the widest index over the key: a version of a history is known by its begin besides. Engines that
// write through joins look rows that are replaced up by an index as well.
static int32_t check_key_width(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  const struct dray_dialect *dialect = &planner->warehouse->dialect;
  const int indexed =
      is_keyed(options) || (options->mode == DR_WRITE_REPLACE && dr_dialect_has(dialect, DRAY_DIALECT_JOIN_WRITES));
  const size_t wanted = options->key_count + (options->mode == DR_WRITE_HISTORY);
  if (!indexed || dialect->key_columns_max == 0 || wanted <= dialect->key_columns_max) return DRAY_OK;
  return dray_fail(planner->error, DRAY_E_SCHEMA_KEY,
                   "table %s would have a key of %zu columns%s; an index of %.*s takes %llu", planner->label,
                   options->key_count, options->mode == DR_WRITE_HISTORY ? " and the begin of each version" : "",
                   DRAY_STR_ARG(dialect->name), (unsigned long long)dialect->key_columns_max);
}

static int32_t check_key(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  DRAY_TRY(check_key_width(planner));
  if (!is_keyed(options)) return DRAY_OK;
  if (options->key_count == 0) {
    return dray_fail(planner->error, DRAY_E_SCHEMA_KEY, "table %s is written by key, and no key is given",
                     planner->label);
  }
  for (size_t i = 0; i < options->key_count; i++) {
    if (dr_schema_find(options->schema, dray_str_of(options->key[i])) < 0) {
      return dray_fail_field(planner->error, DRAY_E_SCHEMA_KEY, options->key[i],
                             "the key column '%s' of table %s is not among the columns that are written",
                             options->key[i], planner->label);
    }
  }
  return DRAY_OK;
}

static int32_t check_limits(struct planner *planner) {
  const size_t fields = planner->options->schema->field_count;
  const size_t own =
      4 + (fields + DR_MASK_BITS - 1) / DR_MASK_BITS; // the most that dray adds to a table or its staging
  const size_t room = planner->warehouse->dialect.columns_max;
  if (fields == 0) {
    return dray_fail(planner->error, DRAY_E_SCHEMA_COLUMN, "no columns are to be written to table %s", planner->label);
  }
  if (fields + own <= room) return DRAY_OK;
  return dray_fail(planner->error, DRAY_E_LIMIT, "table %s would have %zu columns and %zu of dray's; %.*s takes %zu",
                   planner->label, fields, own, DRAY_STR_ARG(planner->warehouse->dialect.name), room);
}

// ---- statements ----

static void start(struct planner *planner) {
  dr_sql_begin(&planner->sql, &planner->warehouse->dialect, &planner->text, planner->error);
}

// Adds the statement that was written to the plan.
static int32_t take(struct planner *planner) {
  struct dr_table_plan *plan = &planner->plan;
  DRAY_TRY(planner->sql.code);
  if (plan->ddl_count >= DDL_COUNT_MAX) {
    return dray_fail(planner->error, DRAY_E_LIMIT, "table %s needs more than %d statements", planner->label,
                     DDL_COUNT_MAX);
  }
  return dr_statement_add(&plan->ddl, &plan->ddl_count, dray_buffer_view(&planner->text), planner->error);
}

// The shape as it will be: a column that is added, or has another type.
static int32_t note_column(struct planner *planner, const char *name, struct dray_type type) {
  struct dr_shape *shape = &planner->shape;
  for (size_t i = 0; i < shape->column_count; i++) {
    if (strcmp(shape->columns[i].name, name) != 0) continue;
    shape->columns[i].type = type;
    shape->columns[i].takes = (struct dr_column_takes){.length_max = 0};
    return DRAY_OK;
  }
  struct dr_shape_column *grown = realloc(shape->columns, (shape->column_count + 1) * sizeof *grown);
  if (grown == NULL) return dray_fail(planner->error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  shape->columns = grown;
  char *copy = dray_str_dup(dray_str_of(name));
  if (copy == NULL) return dray_fail(planner->error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  grown[shape->column_count++] = (struct dr_shape_column){.name = copy, .type = type};
  return DRAY_OK;
}

static const struct dray_type type_timestamp = {DRAY_TYPE_TIMESTAMP, 0, 0};
static const struct dray_type type_bool = {DRAY_TYPE_BOOL, 0, 0};

// The columns dray adds, by mode.
struct own_column {
  const char *name;
  const struct dray_type *type;
  int history;     // only with DR_WRITE_HISTORY
  int soft_delete; // only with soft_delete
  int required;
};
static const struct own_column own_columns[] = {
    {DR_COLUMN_SYNCED_AT, &type_timestamp, 0, 0, 0},  {DR_COLUMN_DELETED_AT, &type_timestamp, 0, 1, 0},
    {DR_COLUMN_VALID_FROM, &type_timestamp, 1, 0, 1}, {DR_COLUMN_VALID_TO, &type_timestamp, 1, 0, 0},
    {DR_COLUMN_CURRENT, &type_bool, 1, 0, 1},
};
#define OWN_COLUMN_COUNT (sizeof own_columns / sizeof own_columns[0])

static int own_wanted(const struct own_column *own, const struct dr_table_options *options) {
  if (own->history) return options->mode == DR_WRITE_HISTORY;
  if (own->soft_delete) return options->mode == DR_WRITE_UPSERT && options->soft_delete;
  return 1;
}

// A single int64 key is declared inside the table: engines that keep a table in key order (SQLite's rowid, InnoDB) then
// need no second tree. Every other key, and every key of an engine that can add one to rows that are there, is built
// after the rows are loaded; where DDL is not part of the transaction it could not wait for them, and a table that was
// made must not lack it: it is inside as well.
static int key_inside(const struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  if (!is_keyed(options)) return 0;
  if (!dr_dialect_has(&planner->warehouse->dialect, DRAY_DIALECT_TRANSACTIONAL_DDL)) return 1;
  if (dr_dialect_has(&planner->warehouse->dialect, DRAY_DIALECT_ADD_KEY)) return 0;
  if (options->mode != DR_WRITE_UPSERT || options->key_count != 1) return 0;
  const ptrdiff_t at = dr_schema_find(options->schema, dray_str_of(options->key[0]));
  return at >= 0 && options->schema->fields[at].type.id == DRAY_TYPE_INT64;
}

// The columns that make a row of the table unique.
static void put_key_columns(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  struct dr_sql *sql = &planner->sql;
  dr_sql_text(sql, " (");
  for (size_t i = 0; i < options->key_count; i++) {
    if (i > 0) dr_sql_text(sql, ", ");
    dr_sql_name(sql, options->key[i]);
  }
  if (options->mode == DR_WRITE_HISTORY) {
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, DR_COLUMN_VALID_FROM);
  }
  dr_sql_text(sql, ")");
}

static int32_t plan_create(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  struct dr_sql *sql = &planner->sql;
  start(planner);
  dr_sql_text(sql, "CREATE TABLE ");
  dr_sql_place(sql, &planner->place);
  dr_sql_text(sql, " (");
  for (size_t i = 0; i < options->schema->field_count; i++) {
    const struct dr_field *field = &options->schema->fields[i];
    const int key = is_keyed(options) && dr_options_is_key(options, field->name);
    if (i > 0) dr_sql_text(sql, ", ");
    dr_sql_name(sql, field->name);
    dr_sql_text(sql, " ");
    if (key) dr_sql_key_type(sql, field->type, options->key_count);
    if (!key) dr_sql_type(sql, field->type);
    if (key) dr_sql_text(sql, " NOT NULL");
  }
  for (size_t i = 0; i < OWN_COLUMN_COUNT; i++) {
    if (!own_wanted(&own_columns[i], options)) continue;
    dr_sql_text(sql, ", ");
    dr_sql_name(sql, own_columns[i].name);
    dr_sql_text(sql, " ");
    dr_sql_type(sql, *own_columns[i].type);
    if (own_columns[i].required) dr_sql_text(sql, " NOT NULL");
  }
  if (key_inside(planner)) {
    dr_sql_text(sql, ", PRIMARY KEY");
    put_key_columns(planner);
  }
  dr_sql_text(sql, ")");
  const struct dray_str more = planner->warehouse->dialect.keyed_table_options;
  if (is_keyed(options) && more.len > 0) {
    dr_sql_text(sql, " ");
    if (sql->code == DRAY_OK) sql->code = dray_buffer_append(sql->out, more.data, (size_t)more.len, sql->error);
  }
  return take(planner);
}

// What makes the key unique once the rows are there; of a history table, the key and the begin of each version. An
// index is named by a hash, because index names share one space and must not grow past the engine's limit.
static int32_t plan_late_key(struct planner *planner) {
  struct dr_sql *sql = &planner->sql;
  char name[64];
  planner->plan.late_ddl_count = 1;
  if (dr_dialect_has(&planner->warehouse->dialect, DRAY_DIALECT_ADD_KEY)) {
    start(planner);
    dr_sql_text(sql, "ALTER TABLE ");
    dr_sql_place(sql, &planner->place);
    dr_sql_text(sql, " ADD PRIMARY KEY");
    put_key_columns(planner);
    return take(planner);
  }
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_of(planner->label), 0);
  (void)snprintf(name, sizeof name, KEY_INDEX_PREFIX "%016llx", (unsigned long long)hash.low);
  start(planner);
  dr_sql_text(sql, "CREATE UNIQUE INDEX ");
  dr_sql_name(sql, name);
  dr_sql_text(sql, " ON ");
  dr_sql_place(sql, &planner->place);
  put_key_columns(planner);
  return take(planner);
}

// A schema that is not there is made with its first table. Not asked of every engine with IF NOT EXISTS alone, because
// that takes the right to make schemas even where there is nothing to make.
static int32_t plan_schema(struct planner *planner) {
  int found = 0;
  if (planner->place.schema == NULL) return DRAY_OK;
  DRAY_TRY(dr_schema_is_there(planner->warehouse, planner->place.schema, &found, planner->error));
  if (found) return DRAY_OK;
  start(planner);
  dr_sql_text(&planner->sql, "CREATE SCHEMA IF NOT EXISTS ");
  dr_sql_name(&planner->sql, planner->place.schema);
  return take(planner);
}

static int32_t plan_new_table(struct planner *planner) {
  const int policy = planner->options->drift.new_table;
  if (policy > POLICY_EVOLVE) {
    return dray_fail(planner->error, DRAY_E_SCHEMA_DRIFT,
                     "table %s does not exist, and the policy for a new table is %s: create it, or set `evolve`",
                     planner->label, policy_name(policy));
  }
  const struct dr_table_options *options = planner->options;
  DRAY_TRY(plan_schema(planner));
  DRAY_TRY(plan_create(planner));
  for (size_t i = 0; i < options->schema->field_count; i++) {
    DRAY_TRY(note_column(planner, options->schema->fields[i].name, options->schema->fields[i].type));
  }
  for (size_t i = 0; i < OWN_COLUMN_COUNT; i++) {
    if (own_wanted(&own_columns[i], options)) {
      DRAY_TRY(note_column(planner, own_columns[i].name, *own_columns[i].type));
    }
  }
  return is_keyed(planner->options) && !key_inside(planner) ? plan_late_key(planner) : DRAY_OK;
}

static int32_t plan_add_column(struct planner *planner, const char *name, struct dray_type type) {
  struct dr_sql *sql = &planner->sql;
  start(planner);
  dr_sql_text(sql, "ALTER TABLE ");
  dr_sql_place(sql, &planner->place);
  dr_sql_text(sql, " ADD COLUMN ");
  dr_sql_name(sql, name);
  dr_sql_text(sql, " ");
  dr_sql_type(sql, type);
  return take(planner);
}

// ---- widening ----

// Whether CAST in SQL turns every value of `from` into the text or number that the loader would write for it. A float's
// digits are the engine's business, so only an engine that widens by itself may turn floats into text.
static int cast_is_exact(struct dray_type from) {
  return from.id != DRAY_TYPE_FLOAT64;
}

// Whether the type of the column can be changed with every value kept as the loader would write it.
static int widens_exactly(const struct planner *planner, struct dray_type from, struct dray_type to) {
  const struct dray_dialect *dialect = &planner->warehouse->dialect;
  if (from.id == 0 || !dr_type_holds(to, from)) return 0;
  if (!dr_dialect_has(dialect, DRAY_DIALECT_WIDEN_TYPE)) return cast_is_exact(from);
  return from.id != DRAY_TYPE_BOOL || !dr_dialect_has(dialect, DRAY_DIALECT_MODIFY_COLUMN);
}

static void put_alter(struct planner *planner) {
  start(planner);
  dr_sql_text(&planner->sql, "ALTER TABLE ");
  dr_sql_place(&planner->sql, &planner->place);
}

// MODIFY COLUMN says all of a column anew: what is not said of it is gone.
static int32_t plan_widen_in_place(struct planner *planner, const struct dr_shape_column *column, struct dray_type to) {
  const int modifies = dr_dialect_has(&planner->warehouse->dialect, DRAY_DIALECT_MODIFY_COLUMN);
  put_alter(planner);
  dr_sql_flag(&planner->sql, DRAY_DIALECT_MODIFY_COLUMN, " MODIFY COLUMN ", " ALTER COLUMN ");
  dr_sql_name(&planner->sql, column->name);
  dr_sql_text(&planner->sql, modifies ? " " : " TYPE ");
  dr_sql_type(&planner->sql, to);
  if (modifies && column->required) dr_sql_text(&planner->sql, " NOT NULL");
  return take(planner);
}

// UPDATE t SET new = CAST(old AS type); booleans become the words, which is how they are written as text.
static int32_t plan_copy_column(struct planner *planner, const char *name, struct dray_type from, struct dray_type to) {
  struct dr_sql *sql = &planner->sql;
  start(planner);
  dr_sql_text(sql, "UPDATE ");
  dr_sql_place(sql, &planner->place);
  dr_sql_text(sql, " SET ");
  dr_sql_name(sql, TEMPORARY_COLUMN);
  if (from.id == DRAY_TYPE_BOOL) {
    dr_sql_text(sql, " = CASE WHEN ");
    dr_sql_name(sql, name);
    dr_sql_text(sql, " IS NULL THEN NULL WHEN ");
    dr_sql_name(sql, name);
    dr_sql_text(sql, " THEN 'true' ELSE 'false' END");
  } else {
    dr_sql_text(sql, " = CAST(");
    dr_sql_name(sql, name);
    dr_sql_text(sql, " AS ");
    dr_sql_type(sql, to);
    dr_sql_text(sql, ")");
  }
  return take(planner);
}

// Engines without ALTER COLUMN: a new column takes the old one's place. It becomes the last of the table.
static int32_t plan_widen_by_copy(struct planner *planner, const char *name, struct dray_type from,
                                  struct dray_type to) {
  DRAY_TRY(plan_add_column(planner, TEMPORARY_COLUMN, to));
  DRAY_TRY(plan_copy_column(planner, name, from, to));
  put_alter(planner);
  dr_sql_text(&planner->sql, " DROP COLUMN ");
  dr_sql_name(&planner->sql, name);
  DRAY_TRY(take(planner));
  put_alter(planner);
  dr_sql_text(&planner->sql, " RENAME COLUMN ");
  dr_sql_name(&planner->sql, TEMPORARY_COLUMN);
  dr_sql_text(&planner->sql, " TO ");
  dr_sql_name(&planner->sql, name);
  return take(planner);
}

// By the dialect alone, one column after the other.
static int32_t plan_widening(struct planner *planner, const struct widening *widening) {
  return dr_dialect_has(&planner->warehouse->dialect, DRAY_DIALECT_WIDEN_TYPE)
             ? plan_widen_in_place(planner, widening->column, widening->to)
             : plan_widen_by_copy(planner, widening->column->name, widening->column->type, widening->to);
}

// The plugin knows best what hangs on the columns, and is asked for all at once.
static int32_t ask_for_widenings(struct planner *planner, int *out_said) {
  const size_t count = planner->widening_count;
  struct dray_str *names = calloc(2 * count, sizeof *names), *types = names + count;
  char **copies = calloc(count, sizeof *copies);
  int32_t code = DRAY_OK;
  if (names == NULL || copies == NULL) {
    free(names);
    free(copies);
    return dray_fail(planner->error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  }
  for (size_t i = 0; code == DRAY_OK && i < count; i++) {
    start(planner);
    dr_sql_type(&planner->sql, planner->widenings[i].to);
    code = planner->sql.code;
    if (code != DRAY_OK) break;
    copies[i] = dray_str_dup(dray_buffer_view(&planner->text));
    if (copies[i] == NULL) code = dray_fail(planner->error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
    names[i] = dray_str_of(planner->widenings[i].column->name);
    types[i] = dray_str_of(copies[i]);
  }
  if (code == DRAY_OK) {
    code = dr_engine_retype(planner->warehouse, &planner->place, names, types, count, &planner->plan.ddl,
                            &planner->plan.ddl_count, out_said, planner->error);
  }
  for (size_t i = 0; i < count; i++) free(copies[i]);
  free(copies);
  free(names);
  return code;
}

static int32_t plan_widenings(struct planner *planner) {
  int said = 0;
  if (planner->widening_count == 0) return DRAY_OK;
  DRAY_TRY(ask_for_widenings(planner, &said));
  for (size_t i = 0; !said && i < planner->widening_count; i++) {
    DRAY_TRY(plan_widening(planner, &planner->widenings[i]));
  }
  for (size_t i = 0; i < planner->widening_count; i++) {
    DRAY_TRY(note_column(planner, planner->widenings[i].column->name, planner->widenings[i].to));
  }
  return DRAY_OK;
}

// ---- drift ----

// Leaves the field out, as the policy says. Returns 0 when the policy is none of the discarding ones.
static int discard(struct planner *planner, size_t field, int policy) {
  if (policy != POLICY_DISCARD_ROW && policy != POLICY_DISCARD_VALUE) return 0;
  planner->plan.drop_column[field] = 1;
  if (policy == POLICY_DISCARD_ROW) planner->plan.discard_rows = 1;
  return 1;
}

static int32_t plan_new_column(struct planner *planner, size_t index) {
  const struct dr_field *field = &planner->options->schema->fields[index];
  const int policy = planner->options->drift.new_column;
  char type[32];
  if (is_keyed(planner->options) && dr_options_is_key(planner->options, field->name)) {
    return dray_fail_field(planner->error, DRAY_E_SCHEMA_KEY, field->name,
                           "table %s exists without the key column '%s', so its rows cannot be matched: choose "
                           "another table, or add and fill the column",
                           planner->label, field->name);
  }
  if (discard(planner, index, policy)) return DRAY_OK;
  if (policy == POLICY_FREEZE) {
    return dray_fail_field(planner->error, DRAY_E_SCHEMA_DRIFT, field->name,
                           "column '%s' (%s) is new, table %s does not have it, and the policy for a new column is "
                           "freeze",
                           field->name, dray_type_format(field->type, type, sizeof type), planner->label);
  }
  DRAY_TRY(plan_add_column(planner, field->name, field->type));
  return note_column(planner, field->name, field->type);
}

static int32_t plan_type_change(struct planner *planner, size_t index, const struct dr_shape_column *column) {
  const struct dr_field *field = &planner->options->schema->fields[index];
  const int policy = planner->options->drift.type_change;
  const int key = is_keyed(planner->options) && dr_options_is_key(planner->options, field->name);
  const struct dray_type wider = dr_type_join(column->type, field->type);
  const int widens = !key && wider.id != 0 && widens_exactly(planner, column->type, wider);
  char wanted[32], actual[32];
  if (!key && discard(planner, index, policy)) return DRAY_OK;
  if (policy <= POLICY_EVOLVE && widens) {
    planner->widenings[planner->widening_count++] = (struct widening){column, wider};
    return DRAY_OK;
  }
  return dray_fail_field(planner->error, DRAY_E_SCHEMA_DRIFT, field->name,
                         "column '%s' is %s in the data and %s in table %s; the policy for a type change is %s%s",
                         field->name, dray_type_format(field->type, wanted, sizeof wanted),
                         column->type.id != 0 ? dray_type_format(column->type, actual, sizeof actual)
                                              : "of a type dray does not know",
                         planner->label, policy_name(policy),
                         policy > POLICY_EVOLVE ? ""
                         : key                  ? ", but a key keeps its type"
                                                : ", but this change would not keep every value exactly");
}

static int32_t plan_old_field(struct planner *planner, size_t index) {
  const struct dr_field *field = &planner->options->schema->fields[index];
  const struct dr_shape_column *column = dr_shape_find(&planner->shape, field->name);
  if (column == NULL || dr_type_holds(column->type, field->type)) return DRAY_OK;
  return plan_type_change(planner, index, column);
}

// A history table and a table of current rows are two different things: neither is turned into the other.
static int32_t check_kind(struct planner *planner) {
  const int is_history = dr_shape_find(&planner->shape, DR_COLUMN_CURRENT) != NULL;
  const int wants_history = planner->options->mode == DR_WRITE_HISTORY;
  if (is_history == wants_history) return DRAY_OK;
  return dray_fail(planner->error, DRAY_E_SCHEMA_DRIFT,
                   is_history ? "table %s keeps the history of its rows and can only be written in mode history"
                              : "table %s exists and keeps no history: mode history needs a table of its own",
                   planner->label);
}

// A table of somebody else's may have most of the columns already.
static int32_t check_width(struct planner *planner) {
  const size_t room = planner->warehouse->dialect.columns_max, columns = planner->shape.column_count;
  if (planner->plan.ddl_count == 0 || columns <= room) return DRAY_OK;
  return dray_fail(planner->error, DRAY_E_LIMIT, "table %s would have %zu columns; %.*s takes %zu", planner->label,
                   columns, DRAY_STR_ARG(planner->warehouse->dialect.name), room);
}

static int32_t plan_existing_table(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  planner->plan.table_exists = 1;
  DRAY_TRY(check_kind(planner));
  // Types first: a plugin may make the whole table anew for them, as it is.
  for (size_t i = 0; i < options->schema->field_count; i++) DRAY_TRY(plan_old_field(planner, i));
  DRAY_TRY(plan_widenings(planner));
  for (size_t i = 0; i < options->schema->field_count; i++) {
    if (dr_shape_find(&planner->shape, options->schema->fields[i].name) == NULL) DRAY_TRY(plan_new_column(planner, i));
  }
  for (size_t i = 0; i < OWN_COLUMN_COUNT; i++) {
    const struct own_column *own = &own_columns[i];
    if (!own_wanted(own, options) || dr_shape_find(&planner->shape, own->name) != NULL) continue;
    DRAY_TRY(plan_add_column(planner, own->name, *own->type));
    DRAY_TRY(note_column(planner, own->name, *own->type));
  }
  return DRAY_OK;
}

// What can be said before the table is asked for.
static int32_t prepare(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  struct dr_warehouse *warehouse = planner->warehouse;
  if (options->name.table == NULL || options->name.table[0] == '\0') {
    return dray_fail(planner->error, DRAY_E_SCHEMA_NAME, "the table has no name");
  }
  DRAY_TRY(
      dr_place_make(&warehouse->dialect, options->name.schema, options->name.table, &planner->place, planner->error));
  (void)dr_place_text(&planner->place, planner->label, sizeof planner->label);
  start(planner);
  dr_sql_place(&planner->sql, &planner->place); // a name that cannot be quoted is refused before anything is asked
  DRAY_TRY(planner->sql.code);
  DRAY_TRY(check_limits(planner));
  DRAY_TRY(check_names(planner));
  return check_key(planner);
}

static int32_t run(struct planner *planner) {
  const struct dr_table_options *options = planner->options;
  struct dr_warehouse *warehouse = planner->warehouse;
  DRAY_TRY(prepare(planner));
  planner->plan.drop_column = calloc(options->schema->field_count, 1);
  planner->widenings = calloc(options->schema->field_count, sizeof *planner->widenings);
  if (planner->plan.drop_column == NULL || planner->widenings == NULL) {
    return dray_fail(planner->error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  }
  DRAY_TRY(dr_shape_read(warehouse, &planner->place, &planner->shape, planner->error));
  DRAY_TRY(planner->shape.found ? plan_existing_table(planner) : plan_new_table(planner));
  return check_width(planner);
}

int32_t dr_table_check(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                       struct dray_error *error) {
  struct planner planner = {.warehouse = warehouse, .options = options, .error = error};
  dray_buffer_init(&planner.text, DR_SQL_BYTES_MAX);
  const int32_t code = prepare(&planner);
  dray_buffer_free(&planner.text);
  dr_place_free(&planner.place);
  return code;
}

int32_t dr_table_plan(struct dr_warehouse *warehouse, const struct dr_table_options *options, struct dr_table_plan *out,
                      struct dray_error *error) {
  struct dr_table_plan plan = {.ddl = NULL};
  DRAY_TRY(dr_table_plan_untried(warehouse, options, &plan, error));
  const int32_t code = dr_table_rehearse(warehouse, options, &plan, error);
  if (code != DRAY_OK) {
    dr_table_plan_free(&plan);
    return code;
  }
  *out = plan;
  return DRAY_OK;
}

int32_t dr_table_plan_untried(struct dr_warehouse *warehouse, const struct dr_table_options *options,
                              struct dr_table_plan *out, struct dray_error *error) {
  struct planner planner = {.warehouse = warehouse, .options = options, .error = error};
  dray_buffer_init(&planner.text, DR_SQL_BYTES_MAX);
  int32_t code = run(&planner);
  if (code == DRAY_OK) code = dr_limits_plan(warehouse, options, &planner.shape, &planner.plan, error);
  if (code == DRAY_OK) {
    planner.plan.after = malloc(sizeof *planner.plan.after);
    if (planner.plan.after == NULL) code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  }
  if (code == DRAY_OK) {
    *planner.plan.after = planner.shape;
    planner.shape = (struct dr_shape){0, 0, NULL};
  }
  dray_buffer_free(&planner.text);
  free(planner.widenings);
  dr_shape_free(&planner.shape);
  dr_place_free(&planner.place);
  if (code != DRAY_OK) {
    dr_table_plan_free(&planner.plan);
    return code;
  }
  *out = planner.plan;
  return DRAY_OK;
}
