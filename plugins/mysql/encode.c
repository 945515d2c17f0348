// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows as LOAD DATA takes them: lines of text with escapes, bytes in hex, which the statement turns back (load.c).
#include "types.h"

int my_encodes(int32_t type, const struct my_column *target) {
  return target->written.id != 0 && target->written.id == type;
}

static int32_t put_escaped(struct dray_str text, struct dray_buffer *out, struct dray_error *error) {
  char *to = NULL;
  size_t n = 0;
  DRAY_TRY(dray_buffer_reserve(out, 2 * (size_t)text.len, &to, error));
  for (uint64_t i = 0; i < text.len; i++) {
    const char c = text.data[i];
    if (c == '\\' || c == '\t' || c == '\n') {
      to[n++] = '\\';
      to[n++] = c == '\t' ? 't' : c == '\n' ? 'n' : '\\';
    } else {
      to[n++] = c;
    }
  }
  out->len += n;
  return DRAY_OK;
}

int32_t my_encode_hex(struct dray_str bytes, struct dray_buffer *out, struct dray_error *error) {
  static const char digits[] = "0123456789abcdef";
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(out, 2 * (size_t)bytes.len, &to, error));
  for (uint64_t i = 0; i < bytes.len; i++) {
    to[2 * i] = digits[(unsigned char)bytes.data[i] >> 4];
    to[2 * i + 1] = digits[(unsigned char)bytes.data[i] & 15];
  }
  out->len += 2 * (size_t)bytes.len;
  return DRAY_OK;
}

size_t my_format_value(const struct dray_column_view *column, uint64_t row, char *out) {
  size_t len = 0;
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    out[0] = dray_column_bool(column, row) != 0 ? '1' : '0';
    return 1;
  case DRAY_TYPE_INT64:
    return dray_format_int64(dray_column_int64(column, row), out);
  case DRAY_TYPE_FLOAT64:
    return dray_format_float64(dray_column_float64(column, row), out);
  case DRAY_TYPE_DECIMAL:
    return dray_format_decimal(dray_column_decimal(column, row), column->type.scale, out);
  case DRAY_TYPE_DATE:
    return dray_format_date(dray_column_date(column, row), out);
  default: // without 'T' and 'Z', which old servers do not take
    len = dray_format_timestamp(dray_column_int64(column, row), out);
    out[10] = ' ';
    return len - 1;
  }
}

static int32_t put_value(const struct dray_column_view *column, uint64_t row, struct dray_buffer *out,
                         struct dray_error *error) {
  char *to = NULL;
  if (dray_column_is_null(column, row)) return dray_buffer_append(out, "\\N", 2, error);
  if (column->type.id == DRAY_TYPE_STRING || column->type.id == DRAY_TYPE_JSON) {
    return put_escaped(dray_column_bytes(column, row), out, error);
  }
  if (column->type.id == DRAY_TYPE_BYTES) return my_encode_hex(dray_column_bytes(column, row), out, error);
  DRAY_TRY(my_check_value(column, row, error));
  DRAY_TRY(dray_buffer_reserve(out, DRAY_FORMAT_BYTES_MAX, &to, error));
  out->len += my_format_value(column, row, to);
  return DRAY_OK;
}

int32_t my_encode_row(const struct dray_view *view, uint64_t row, struct dray_buffer *out, struct dray_error *error) {
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(put_value(&view->columns[i], row, out, error));
    DRAY_TRY(dray_buffer_append_char(out, i + 1 < view->column_count ? '\t' : '\n', error));
  }
  return DRAY_OK;
}
