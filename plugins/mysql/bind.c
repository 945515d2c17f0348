// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values as parameters of prepared statements, and what no way of writing takes.
#include <math.h>

#include "types.h"

int32_t my_check_value(const struct dray_column_view *column, uint64_t row, struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX];
  if (column->type.id != DRAY_TYPE_FLOAT64 || isfinite(dray_column_float64(column, row))) return DRAY_OK;
  (void)dray_format_float64(dray_column_float64(column, row), text);
  return dray_fail_field(error, DRAY_E_DATA_TYPE, column->name, "column '%s': the server has no %s", column->name,
                         text);
}

// libmariadb does not change what it sends.
static void bind_borrowed(MYSQL_BIND *bind, enum enum_field_types type, const void *data, struct my_param *param,
                          uint64_t length) {
  bind->buffer_type = type;
  bind->buffer = (void *)(uintptr_t)data;
  bind->buffer_length = (unsigned long)length;
  param->length = (unsigned long)length;
  bind->length = &param->length;
}

// Of a column of 64 bits each.
static const void *value_at(const struct dray_column_view *column, uint64_t row) {
  return (const uint64_t *)column->values + row + (uint64_t)column->offset;
}

int32_t my_bind(const struct dray_column_view *column, uint64_t row, MYSQL_BIND *bind, struct my_param *param,
                struct dray_error *error) {
  *bind = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_NULL};
  *param = (struct my_param){.length = 0};
  if (dray_column_is_null(column, row)) return DRAY_OK;
  DRAY_TRY(my_check_value(column, row, error));
  switch (column->type.id) {
  case DRAY_TYPE_INT64:
    bind_borrowed(bind, MYSQL_TYPE_LONGLONG, value_at(column, row), param, 8);
    return DRAY_OK;
  case DRAY_TYPE_FLOAT64:
    bind_borrowed(bind, MYSQL_TYPE_DOUBLE, value_at(column, row), param, 8);
    return DRAY_OK;
  case DRAY_TYPE_BOOL: // the server reads numbers and times from their texts as exactly
  case DRAY_TYPE_DECIMAL:
  case DRAY_TYPE_DATE:
  case DRAY_TYPE_TIMESTAMP: {
    const int number = column->type.id == DRAY_TYPE_BOOL || column->type.id == DRAY_TYPE_DECIMAL;
    const size_t len = my_format_value(column, row, param->text);
    bind_borrowed(bind, number ? MYSQL_TYPE_NEWDECIMAL : MYSQL_TYPE_VAR_STRING, param->text, param, len);
    return DRAY_OK;
  }
  default: { // STRING, BYTES, JSON
    const struct dray_str bytes = dray_column_bytes(column, row);
    const int text = column->type.id != DRAY_TYPE_BYTES;
    bind_borrowed(bind, text ? MYSQL_TYPE_VAR_STRING : MYSQL_TYPE_LONG_BLOB, bytes.data, param, bytes.len);
    return DRAY_OK;
  }
  }
}
