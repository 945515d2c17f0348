// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which columns of a table do not take every value of their type: those that the engine describes so, and those that
// the dialect says it of. An engine that meets such a value refuses the load of all rows, so each is looked at before
// (misfit.c).
#include "warehouse/limits.h"

#include <stdlib.h>

static int is_keyed(const struct dr_table_options *options) {
  return options->mode == DR_WRITE_UPSERT || options->mode == DR_WRITE_HISTORY;
}

// The characters, or bytes, of one column of a key. A key's columns are staged as `key_types` says, also where the
// table's own are longer. 0: the engine takes any.
static uint64_t key_length_max(const struct dray_dialect *dialect, struct dray_type stored, size_t key_count) {
  const struct dray_str spelling = dialect->key_types[stored.id];
  if (spelling.len == 0 || memmem(spelling.data, (size_t)spelling.len, "{n}", 3) == NULL) return 0;
  return dialect->key_chars_max / key_count;
}

static int is_variable(int32_t type) {
  return type == DRAY_TYPE_BYTES || type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON;
}

static struct dray_type stored_type(const struct dr_table_options *options, const struct dr_shape *after,
                                    size_t field) {
  const struct dr_shape_column *column = dr_shape_find(after, options->schema->fields[field].name);
  return column != NULL && column->type.id != 0 ? column->type : options->schema->fields[field].type;
}

// What columns of no fixed size have of an index row, all together; 0: any number of bytes. Only an index that dray
// makes, or that was described as the key's, is known to be there.
static uint64_t key_bytes_max(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                              const struct dr_shape *after, const struct dr_table_plan *plan) {
  uint64_t left = warehouse->dialect.key_bytes_max;
  uint64_t fixed = options->mode == DR_WRITE_HISTORY ? DRAY_KEY_FIXED_BYTES : 0;
  for (size_t i = 0; i < options->schema->field_count && left > 0; i++) {
    const char *name = options->schema->fields[i].name;
    const struct dr_shape_column *column = dr_shape_find(after, name);
    if (!dr_options_is_key(options, name)) continue;
    if (plan->table_exists && (column == NULL || !column->key)) return 0;
    if (!is_variable(stored_type(options, after, i).id)) fixed += DRAY_KEY_FIXED_BYTES;
  }
  return left > fixed ? left - fixed : 0;
}

static int is_limited(const struct dr_value_limit *limit) {
  const struct dr_column_takes *takes = &limit->takes;
  return takes->length_max > 0 || takes->utf8_max > 0 || takes->characters != DR_CHARACTERS_ANY || takes->json_binary ||
         takes->step_us > 0 || takes->has_min || takes->has_max || limit->finite || limit->required ||
         limit->json_depth_max > 0 || limit->key_bytes_max > 0 || limit->bytes_max > 0;
}

static int limit_of(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                    const struct dr_shape *after, size_t field, uint64_t key_bytes, struct dr_value_limit *out) {
  const struct dray_dialect *dialect = &warehouse->dialect;
  const char *name = options->schema->fields[field].name;
  const struct dr_shape_column *column = dr_shape_find(after, name);
  const struct dray_type stored = stored_type(options, after, field);
  const int is_key = is_keyed(options) && dr_options_is_key(options, name);
  const uint64_t key_max = is_key ? key_length_max(dialect, stored, options->key_count) : 0;
  *out = (struct dr_value_limit){.field = field, .stored = stored};
  if (column != NULL) {
    out->takes = column->takes;
    out->required = column->required && !is_key; // a key without a value is told as such
    out->has_default = column->has_default;
  }
  if (key_max > 0 && (out->takes.length_max == 0 || key_max < out->takes.length_max)) {
    out->takes.length_max = key_max;
    out->in_key = 1;
  }
  out->finite = stored.id == DRAY_TYPE_FLOAT64 && dr_dialect_has(dialect, DRAY_DIALECT_FINITE_FLOATS);
  if (stored.id == DRAY_TYPE_JSON && !is_key) out->json_depth_max = (int32_t)dialect->json_depth_max;
  if (is_key && is_variable(stored.id)) out->key_bytes_max = key_bytes;
  if (is_variable(stored.id)) out->bytes_max = dialect->value_bytes_max;
  return is_limited(out);
}

int32_t dr_limits_plan(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                       const struct dr_shape *after, struct dr_table_plan *plan, struct dray_error *error) {
  const size_t fields = options->schema->field_count;
  const uint64_t key_bytes = is_keyed(options) ? key_bytes_max(warehouse, options, after, plan) : 0;
  plan->limits = calloc(fields, sizeof *plan->limits);
  if (plan->limits == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  for (size_t i = 0; i < fields; i++) {
    if (plan->drop_column[i]) continue; // rows with a value there are refused, or the value is left out
    if (limit_of(warehouse, options, after, i, key_bytes, &plan->limits[plan->limit_count])) plan->limit_count++;
  }
  return DRAY_OK;
}
