// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that the config gives to be written, for destinations whose objects have fields of their own.
#include <string.h>

#include "conformance/subject.h"

static const struct dray_json *given(const struct subject *subject, const char *member) {
  return dray_json_get(dray_json_get(subject->config, "write"), member);
}

int edge_is_given(const struct subject *subject) {
  return dray_json_get(subject->config, "write") != NULL;
}

size_t edge_match_keys(const struct subject *subject, struct dray_str *out) {
  size_t count = 0;
  const struct dray_json *keys = given(subject, "match_keys");
  for (const struct dray_json *key = keys != NULL ? keys->child : NULL; key != NULL && count < EDGE_KEYS_MAX;
       key = key->next) {
    out[count++] = dray_json_string(key, "");
  }
  return count;
}

static int32_t take_columns(const struct subject *subject, struct dray_column_def *defs, size_t *count,
                            struct dray_error *error) {
  const struct dray_json *columns = given(subject, "columns");
  if (columns == NULL || columns->kind != DRAY_JSON_OBJECT || columns->child_count == 0 ||
      columns->child_count > EDGE_COLUMNS_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "`write.columns` is an object of 1 to %d names and types",
                     EDGE_COLUMNS_MAX);
  }
  for (const struct dray_json *column = columns->child; column != NULL; column = column->next) {
    struct dray_column_def *def = &defs[(*count)++];
    *def = (struct dray_column_def){column->name.data, {0, 0, 0}, 1};
    DRAY_TRY(dray_type_parse(dray_json_string(column, ""), &def->type, error));
  }
  return DRAY_OK;
}

// {} is absent, null is null, everything else the value's text.
static int32_t put_row(struct dray_builder *builder, const struct dray_json *row, size_t columns, int64_t number,
                       struct dray_error *error) {
  size_t c = 0;
  int32_t full = 0;
  if (row->kind != DRAY_JSON_ARRAY || row->child_count != columns) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "row %lld of `write.rows` is no array of %zu values",
                     (long long)number + 1, columns);
  }
  for (const struct dray_json *value = row->child; value != NULL; value = value->next, c++) {
    if (value->kind == DRAY_JSON_OBJECT) continue;
    DRAY_TRY(value->kind == DRAY_JSON_NULL ? dray_builder_null(builder, c, error)
                                           : dray_builder_text(builder, c, value->text, error));
  }
  DRAY_TRY(dray_builder_int64(builder, columns + 1, number, error));
  DRAY_TRY(dray_builder_int64(builder, columns + 2, DRAY_OP_INSERT, error));
  DRAY_TRY(dray_builder_null(builder, columns + 3, error));
  return dray_builder_end_row(builder, &full, error);
}

static int32_t put_rows(const struct subject *subject, struct dray_builder *builder, size_t row_limit,
                        struct edge *edge, struct dray_error *error) {
  const struct dray_json *rows = given(subject, "rows");
  if (rows == NULL || rows->kind != DRAY_JSON_ARRAY || rows->child_count == 0 || rows->child_count > EDGE_ROWS_MAX) {
    return dray_fail(error, DRAY_E_CONFIG_VALUE, "`write.rows` is an array of 1 to %d rows", EDGE_ROWS_MAX);
  }
  for (const struct dray_json *row = rows->child; row != NULL; row = row->next) {
    if (row_limit > 0 && edge->row_count == row_limit) break;
    DRAY_TRY(put_row(builder, row, edge->column_count, (int64_t)edge->row_count, error));
    edge->rows[edge->row_count] = (int64_t)edge->row_count;
    edge->row_count++;
  }
  return dray_builder_finish(builder, &edge->array, error);
}

int32_t edge_take(const struct subject *subject, size_t row_limit, struct edge *out, struct dray_error *error) {
  struct dray_column_def defs[EDGE_COLUMNS_MAX + 4];
  struct dray_builder *builder = NULL;
  size_t count = 0;
  memset(out, 0, sizeof(*out));
  DRAY_TRY(take_columns(subject, defs, &count, error));
  out->column_count = count;
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  defs[count + 1] = (struct dray_column_def){DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0};
  defs[count + 2] = (struct dray_column_def){DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0};
  defs[count + 3] = (struct dray_column_def){DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1};
  DRAY_TRY(dray_schema_make(defs, count + 4, &out->schema, error));
  int32_t rc = dray_builder_new(&out->schema, UINT64_MAX, UINT64_MAX, &builder, error);
  if (rc == DRAY_OK) rc = put_rows(subject, builder, row_limit, out, error);
  dray_builder_free(builder);
  if (rc != DRAY_OK) edge_free(out);
  return rc;
}
