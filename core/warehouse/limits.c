// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which values a table's columns do not take: texts and bytes that are longer than a column or an index, and floats
// that are no numbers. An engine that meets one refuses the load of all rows, so each value is looked at before.
#include "warehouse/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX 4096 // of what is neither text, bytes nor JSON

// ---- what there is to heed ----

// The characters, or bytes, of one column of a key. A key's columns are staged as `key_types` says, also where the
// table's own are longer. 0: the engine takes any.
static uint64_t key_length_max(const struct dray_dialect *dialect, struct dray_type stored, size_t key_count) {
  const struct dray_str spelling = dialect->key_types[stored.id];
  if (spelling.len == 0 || memmem(spelling.data, (size_t)spelling.len, "{n}", 3) == NULL) return 0;
  return dialect->key_chars_max / key_count;
}

static int limit_of(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                    const struct dr_shape *after, size_t field, struct dr_value_limit *out) {
  const struct dr_field *written = &options->schema->fields[field];
  const struct dr_shape_column *column = dr_shape_find(after, written->name);
  const struct dray_type stored = column != NULL && column->type.id != 0 ? column->type : written->type;
  const int keyed = options->mode == DR_WRITE_UPSERT || options->mode == DR_WRITE_HISTORY;
  const int is_key = keyed && dr_options_is_key(options, written->name);
  const uint64_t key_max = is_key ? key_length_max(&warehouse->dialect, stored, options->key_count) : 0;
  const uint64_t own_max = column != NULL ? column->length_max : 0;
  *out = (struct dr_value_limit){.field = field, .length_max = own_max};
  if (key_max > 0 && (own_max == 0 || key_max < own_max)) {
    out->length_max = key_max;
    out->in_key = 1;
  }
  out->finite = stored.id == DRAY_TYPE_FLOAT64 && dr_dialect_has(&warehouse->dialect, DRAY_DIALECT_FINITE_FLOATS);
  return out->length_max > 0 || out->finite;
}

int32_t dr_limits_plan(const struct dr_warehouse *warehouse, const struct dr_table_options *options,
                       const struct dr_shape *after, struct dr_table_plan *plan, struct dray_error *error) {
  const size_t fields = options->schema->field_count;
  plan->limits = calloc(fields, sizeof *plan->limits);
  if (plan->limits == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the plan of a table");
  for (size_t i = 0; i < fields; i++) {
    if (limit_of(warehouse, options, after, i, &plan->limits[plan->limit_count])) plan->limit_count++;
  }
  return DRAY_OK;
}

// ---- a value ----

static uint64_t characters(struct dray_str text) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < text.len; i++) count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
  return count;
}

static int is_variable(int32_t type) {
  return type == DRAY_TYPE_BYTES || type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON;
}

// The length of the value as it is stored: of what is no text, as the text that a column of texts gets.
static int32_t length_of(const struct dray_column_view *column, uint64_t row, uint64_t *out, struct dray_error *error) {
  struct dray_buffer text;
  if (is_variable(column->type.id)) {
    const struct dray_str value = dray_column_bytes(column, row);
    *out = column->type.id == DRAY_TYPE_BYTES ? value.len : characters(value);
    return DRAY_OK;
  }
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  const int32_t code = dray_column_text(column, row, &text, error);
  if (code == DRAY_OK) *out = characters(dray_buffer_view(&text));
  dray_buffer_free(&text);
  return code;
}

int32_t dr_value_misfits(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t row,
                         int32_t *out_code, char *out_text, size_t out_text_bytes, struct dray_error *error) {
  uint64_t length = 0;
  *out_code = DRAY_OK;
  if (limit->finite && column->type.id == DRAY_TYPE_FLOAT64 && !isfinite(dray_column_float64(column, row))) {
    char text[DRAY_FORMAT_BYTES_MAX];
    (void)dray_format_float64(dray_column_float64(column, row), text);
    (void)snprintf(out_text, out_text_bytes, "the warehouse has no %s", text);
    *out_code = DRAY_E_DATA_TYPE;
    return DRAY_OK;
  }
  if (limit->length_max == 0) return DRAY_OK;
  // No text has more characters than bytes.
  if (is_variable(column->type.id) && dray_column_bytes(column, row).len <= limit->length_max) return DRAY_OK;
  DRAY_TRY(length_of(column, row, &length, error));
  if (length <= limit->length_max) return DRAY_OK;
  (void)snprintf(out_text, out_text_bytes, "%llu %s, and %s takes %llu", (unsigned long long)length,
                 column->type.id == DRAY_TYPE_BYTES ? "bytes" : "characters",
                 limit->in_key ? "a key in this warehouse" : "the table's column",
                 (unsigned long long)limit->length_max);
  *out_code = DRAY_E_DATA_TOO_LARGE;
  return DRAY_OK;
}
