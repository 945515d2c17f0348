// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table as the engine describes it, and the rules of what fits into what. Reads only.
#include "warehouse/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/fold.h"

// Digits that any int64 needs before the point.
#define INT64_DIGITS 19

// Letters of any script: some engines keep columns apart that differ by the case of A to Z alone, others none that
// differ by case at all, and a table is to be the same in each.
int dr_name_equal_nocase(const char *a, const char *b) {
  return dray_fold_same(dray_str_of(a), dray_str_of(b));
}

const struct dr_shape_column *dr_shape_find(const struct dr_shape *shape, const char *name) {
  const struct dr_shape_column *near = NULL;
  for (size_t i = 0; i < shape->column_count; i++) {
    if (strcmp(shape->columns[i].name, name) == 0) return &shape->columns[i];
    if (near == NULL && dr_name_equal_nocase(shape->columns[i].name, name)) near = &shape->columns[i];
  }
  return near;
}

int dr_options_is_key(const struct dr_table_options *options, const char *name) {
  for (size_t i = 0; i < options->key_count; i++) {
    if (strcmp(options->key[i], name) == 0) return 1;
  }
  return 0;
}

const char *dr_place_text(const struct dr_place *place, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, "%s%s%s", place->schema != NULL ? place->schema : "", place->schema != NULL ? "." : "",
                 place->table);
  return out;
}

int dr_type_equal(struct dray_type a, struct dray_type b) {
  if (a.id != b.id) return 0;
  return a.id != DRAY_TYPE_DECIMAL || (a.precision == b.precision && a.scale == b.scale);
}

int dr_type_holds(struct dray_type to, struct dray_type from) {
  if (to.id == DRAY_TYPE_DECIMAL) {
    if (from.id == DRAY_TYPE_INT64) return to.precision - to.scale >= INT64_DIGITS;
    return from.id == DRAY_TYPE_DECIMAL && to.scale >= from.scale &&
           to.precision - to.scale >= from.precision - from.scale;
  }
  if (to.id == DRAY_TYPE_STRING) return from.id != DRAY_TYPE_BYTES && from.id != 0;
  return to.id == from.id && to.id != 0;
}

static struct dray_type as_decimal(struct dray_type type) {
  return type.id == DRAY_TYPE_INT64 ? (struct dray_type){DRAY_TYPE_DECIMAL, INT64_DIGITS, 0} : type;
}

struct dray_type dr_type_join(struct dray_type a, struct dray_type b) {
  if (dr_type_holds(a, b)) return a;
  if (dr_type_holds(b, a)) return b;
  const struct dray_type x = as_decimal(a), y = as_decimal(b);
  if (x.id != DRAY_TYPE_DECIMAL || y.id != DRAY_TYPE_DECIMAL) return (struct dray_type){0, 0, 0};
  const int32_t scale = x.scale > y.scale ? x.scale : y.scale;
  const int32_t whole = x.precision - x.scale > y.precision - y.scale ? x.precision - x.scale : y.precision - y.scale;
  if (whole + scale > DRAY_DECIMAL_PRECISION_MAX) return (struct dray_type){DRAY_TYPE_STRING, 0, 0};
  return (struct dray_type){DRAY_TYPE_DECIMAL, whole + scale, scale};
}

// ---- what a column takes ----

// What reads as no value of the type is not said.
static int read_bound(struct dray_str text, struct dray_type type, union dr_bound *out) {
  int64_t number = 0;
  int32_t days = 0, code = DRAY_E_DATA_TYPE;
  if (text.len == 0) return 0;
  switch (type.id) {
  case DRAY_TYPE_FLOAT64:
    return dray_parse_float64(text, &out->float64, NULL) == DRAY_OK;
  case DRAY_TYPE_DECIMAL:
    return dray_parse_decimal(text, type.precision, type.scale, &out->exact, NULL) == DRAY_OK;
  case DRAY_TYPE_INT64:
    code = dray_parse_int64(text, &number, NULL);
    break;
  case DRAY_TYPE_TIMESTAMP:
    code = dray_parse_timestamp(text, &number, NULL);
    break;
  case DRAY_TYPE_DATE:
    code = dray_parse_date(text, &days, NULL);
    number = days;
    break;
  default:
    break;
  }
  out->exact = dray_decimal_of_int64(number);
  return code == DRAY_OK;
}

static void read_takes(const struct ArrowSchema *arrow, struct dr_shape_column *column) {
  static const struct {
    const char *name;
    int characters;
  } known[] = {{DRAY_CHARACTERS_ASCII, DR_CHARACTERS_ASCII},
               {DRAY_CHARACTERS_WINDOWS_1252, DR_CHARACTERS_WINDOWS_1252},
               {DRAY_CHARACTERS_BMP, DR_CHARACTERS_BMP}};
  const struct dray_str digits = dray_schema_marked(arrow, DRAY_MARK_DIGITS);
  const struct dray_str characters = dray_schema_marked(arrow, DRAY_MARK_CHARACTERS);
  struct dr_column_takes *takes = &column->takes;
  column->key = dray_schema_marked(arrow, DRAY_MARK_PRIMARY_KEY).len > 0;
  column->has_default = dray_str_is(dray_schema_marked(arrow, DRAY_MARK_DEFAULT), "true");
  takes->length_max = dray_schema_marked_number(arrow, DRAY_MARK_LENGTH_MAX);
  takes->utf8_max = dray_schema_marked_number(arrow, DRAY_MARK_UTF8_MAX);
  takes->has_min = read_bound(dray_schema_marked(arrow, DRAY_MARK_VALUE_MIN), column->type, &takes->min);
  takes->has_max = read_bound(dray_schema_marked(arrow, DRAY_MARK_VALUE_MAX), column->type, &takes->max);
  takes->json_binary = dray_str_is(dray_schema_marked(arrow, DRAY_MARK_JSON), DRAY_JSON_POSTGRES_BINARY);
  if (digits.len == 1 && digits.data[0] >= '0' && digits.data[0] < '6') {
    takes->step_us = 1;
    for (char digit = digits.data[0]; digit < '6'; digit++) takes->step_us *= 10;
  }
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (dray_str_is(characters, known[i].name)) takes->characters = known[i].characters;
  }
}

static int32_t read_found_as(const struct ArrowSchema *arrow, struct dr_shape_column *column,
                             struct dray_error *error) {
  const struct dray_str form = dray_schema_marked(arrow, DRAY_MARK_FOUND_AS);
  if (form.len == 0) return DRAY_OK;
  column->found_as = dray_str_dup(form);
  if (column->found_as != NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for what is said of a column");
}

static int32_t take_columns(const struct ArrowSchema *arrow, struct dr_shape *shape, struct dray_error *error) {
  const size_t count = (size_t)arrow->n_children;
  shape->columns = calloc(count > 0 ? count : 1, sizeof *shape->columns);
  if (shape->columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", count);
  for (size_t i = 0; i < count; i++) {
    const struct ArrowSchema *child = arrow->children[i];
    struct dr_shape_column *column = &shape->columns[i];
    column->name = dray_str_dup(dray_str_of(child->name));
    if (column->name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the name of a column");
    shape->column_count = i + 1;
    column->required = (child->flags & ARROW_FLAG_NULLABLE) == 0;
    column->loose = dray_schema_is_loose(child);
    DRAY_TRY(read_found_as(child, column, error));
    // A type that is none of ours is a fact, not a failure: it only matters when somebody wants to write there.
    if (dray_schema_type(child, &column->type, NULL) != DRAY_OK) column->type = (struct dray_type){0, 0, 0};
    read_takes(child, column);
  }
  return DRAY_OK;
}

static int32_t describe(struct dr_warehouse *warehouse, const struct dr_place *place, struct ArrowSchema *out,
                        uint32_t *out_found, struct dray_error *error) {
  struct ArrowSchema arrow = {.release = NULL};
  uint32_t found = 0;
  const int32_t code = warehouse->vtable->describe(warehouse->self, dray_str_of(place->schema),
                                                   dray_str_of(place->table), &arrow, &found, error);
  if (code != DRAY_OK) return code;
  *out = arrow;
  *out_found = found;
  return DRAY_OK;
}

int32_t dr_table_describe(struct dr_warehouse *warehouse, const struct dr_table_name *name, struct ArrowSchema *out,
                          uint32_t *out_found, struct dray_error *error) {
  struct dr_place place;
  DRAY_TRY(dr_place_make(&warehouse->dialect, name->schema, name->table, &place, error));
  const int32_t code = describe(warehouse, &place, out, out_found, error);
  dr_place_free(&place);
  return code;
}

int32_t dr_shape_read(struct dr_warehouse *warehouse, const struct dr_place *place, struct dr_shape *out,
                      struct dray_error *error) {
  struct dr_shape shape = {0, 0, NULL};
  struct ArrowSchema arrow;
  uint32_t found = 0;
  int32_t code = describe(warehouse, place, &arrow, &found, error);
  if (code != DRAY_OK) return code;
  if (found != 0) {
    shape.found = 1;
    code = take_columns(&arrow, &shape, error);
  }
  dray_schema_release(&arrow);
  if (code != DRAY_OK) {
    dr_shape_free(&shape);
    return code;
  }
  *out = shape;
  return DRAY_OK;
}

void dr_shape_free(struct dr_shape *shape) {
  for (size_t i = 0; i < shape->column_count; i++) {
    free(shape->columns[i].name);
    free(shape->columns[i].found_as);
  }
  free(shape->columns);
  *shape = (struct dr_shape){0, 0, NULL};
}

// ---- schemas ----

// Queries take no parameters, and values are never spliced into SQL: the list is read and the name is looked for here.
struct looking {
  const char *name;
  int found;
};

static int32_t look_for_schema(void *ctx, const struct dr_batch *batch, struct dray_error *error) {
  struct looking *looking = ctx;
  const struct dray_column_view *names = &batch->view.columns[0];
  (void)error;
  for (uint64_t i = 0; i < dr_batch_rows(batch); i++) {
    if (dray_column_is_null(names, i)) continue;
    looking->found |= dray_str_is(dray_column_bytes(names, i), looking->name);
  }
  return DRAY_OK;
}

int32_t dr_schema_is_there(struct dr_warehouse *warehouse, const char *name, int *out_found, struct dray_error *error) {
  const struct dray_column_def def = {"schema_name", {DRAY_TYPE_STRING, 0, 0}, 1};
  struct looking looking = {name, 0};
  struct dr_schema *schema = NULL;
  struct dray_buffer text;
  struct dr_sql sql;
  DRAY_TRY(dr_schema_new(&def, 1, &schema, error));
  dray_buffer_init(&text, DR_SQL_BYTES_MAX);
  dr_sql_begin(&sql, &warehouse->dialect, &text, error);
  dr_sql_text(&sql, "SELECT schema_name AS ");
  dr_sql_name(&sql, def.name);
  dr_sql_text(&sql, " FROM information_schema.schemata");
  int32_t code = sql.code;
  if (code == DRAY_OK) {
    code = dr_engine_query(warehouse, dray_buffer_view(&text), schema, look_for_schema, &looking, error);
  }
  dray_buffer_free(&text);
  dr_schema_unref(schema);
  if (code == DRAY_OK) *out_found = looking.found;
  return code;
}
