// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows as COPY takes them in binary: a count of fields, then each field with its length. A batch goes piece by piece,
// so that what is written is still in the nearest cache when libpq copies it. How much room a piece needs at most is
// known beforehand, so that values are written one behind the other without a look at how much is left.
#include "types.h"

#include <stdlib.h>

#define FIELD_HEAD_BYTES 4
#define ROW_HEAD_BYTES 2
#define ROWS_BYTES_MAX (UINT64_C(1) << 30)
#define GROUP 10000
#define GROUP_DIGITS 4
#define GROUPS_MAX 12
#define PIECE_ROWS 512
#define PIECE_BYTES (UINT64_C(1) << 16)
#define SHORT_BYTES 16 // copies of short texts are of this size, or of the next
#define SLACK_BYTES 64

void pg_encoder_init(struct pg_encoder *encoder) {
  memset(encoder, 0, sizeof *encoder);
  dray_buffer_init(&encoder->out, ROWS_BYTES_MAX);
}

void pg_encoder_free(struct pg_encoder *encoder) {
  dray_buffer_free(&encoder->out);
  free(encoder->fields);
  memset(encoder, 0, sizeof *encoder);
}

// ---- numeric ----

// The groups of a number, last one first; returns how many. The fraction's last group is filled up with zeros.
static int split(unsigned __int128 value, int32_t scale, uint16_t groups[GROUPS_MAX]) {
  static const uint32_t tens[] = {1, 10, 100, 1000, 10000};
  const int32_t digits = scale % GROUP_DIGITS;
  const uint32_t cut = tens[digits];
  int n = 0;
  if (value >> 64 != 0 && cut > 1) {
    groups[n++] = (uint16_t)((uint32_t)(value % cut) * (GROUP / cut));
    value /= cut;
  } else if (cut > 1) { // nearly all numbers: 128 bits are divided by a call
    const uint64_t small = (uint64_t)value;
    const uint64_t rest = digits == 1 ? small / 10 : digits == 2 ? small / 100 : small / 1000;
    groups[n++] = (uint16_t)((uint32_t)(small - rest * cut) * (GROUP / cut));
    value = rest;
  }
  while (value >> 64 != 0) {
    groups[n++] = (uint16_t)(value % GROUP);
    value /= GROUP;
  }
  for (uint64_t small = (uint64_t)value; small > 0; small /= GROUP) groups[n++] = (uint16_t)(small % GROUP);
  return n;
}

size_t pg_numeric_write(struct dray_decimal value, int32_t scale, char *out) {
  uint16_t groups[GROUPS_MAX];
  const int negative = value.high < 0;
  unsigned __int128 whole = ((unsigned __int128)(uint64_t)value.high << 64) | value.low;
  if (negative) whole = -whole;
  const int fraction = (scale + GROUP_DIGITS - 1) / GROUP_DIGITS;
  const int count = split(whole, scale, groups);
  int first = 0; // the last groups of the number: zeros are left out
  while (first < count && groups[first] == 0) first++;
  const int kept = count - first;
  pg_put16(out, (uint16_t)kept);
  pg_put16(out + 2, (uint16_t)(int16_t)(kept == 0 ? 0 : count - fraction - 1));
  pg_put16(out + 4, negative ? 0x4000 : 0);
  pg_put16(out + 6, (uint16_t)scale);
  for (int i = 0; i < kept; i++) pg_put16(out + 8 + 2 * i, groups[count - 1 - i]);
  return 8 + 2 * (size_t)kept;
}

// ---- which type goes where ----

int pg_encodes(int32_t type, int wire) {
  static const struct {
    int32_t type;
    int wire;
  } ways[] = {
      {DRAY_TYPE_BOOL, PG_WIRE_BOOL},      {DRAY_TYPE_INT64, PG_WIRE_INT8},
      {DRAY_TYPE_INT64, PG_WIRE_INT4},     {DRAY_TYPE_INT64, PG_WIRE_INT2},
      {DRAY_TYPE_FLOAT64, PG_WIRE_FLOAT8}, {DRAY_TYPE_DECIMAL, PG_WIRE_NUMERIC},
      {DRAY_TYPE_STRING, PG_WIRE_TEXT},    {DRAY_TYPE_BYTES, PG_WIRE_BYTES},
      {DRAY_TYPE_DATE, PG_WIRE_DATE},      {DRAY_TYPE_TIMESTAMP, PG_WIRE_TIMESTAMP},
      {DRAY_TYPE_JSON, PG_WIRE_JSON},      {DRAY_TYPE_JSON, PG_WIRE_JSONB},
  };
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    if (ways[i].type == type && ways[i].wire == wire) return 1;
  }
  return 0;
}

// ---- how much room rows need at most ----

static uint64_t fixed_size(int wire) {
  switch (wire) {
  case PG_WIRE_BOOL:
    return 1;
  case PG_WIRE_INT2:
    return 2;
  case PG_WIRE_INT4:
  case PG_WIRE_DATE:
    return 4;
  case PG_WIRE_INT8:
  case PG_WIRE_FLOAT8:
  case PG_WIRE_TIMESTAMP:
    return 8;
  case PG_WIRE_NUMERIC:
    return PG_NUMERIC_BYTES_MAX;
  case PG_WIRE_JSONB:
    return 1; // the version, besides the text
  default:
    return 0;
  }
}

static int is_text(int wire) {
  return wire == PG_WIRE_TEXT || wire == PG_WIRE_BYTES || wire == PG_WIRE_JSON || wire == PG_WIRE_JSONB;
}

// Nulls take less: they are counted as values.
static uint64_t bound(const struct dray_view *view, const int *wires, uint64_t from, uint64_t rows) {
  uint64_t row_bytes = ROW_HEAD_BYTES + FIELD_HEAD_BYTES * (uint64_t)view->column_count, text_bytes = 0;
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    row_bytes += fixed_size(wires[i]);
    if (!is_text(wires[i])) continue;
    const int32_t *offsets = column->offsets + column->offset + from;
    text_bytes += (uint64_t)(offsets[rows] - offsets[0]);
  }
  return rows * row_bytes + text_bytes;
}

// As many rows as are about one piece; one row at least.
static uint64_t choose_rows(const struct dray_view *view, const int *wires, uint64_t from, uint64_t *out_bytes) {
  uint64_t rows = view->row_count - from < PIECE_ROWS ? view->row_count - from : PIECE_ROWS;
  uint64_t bytes = bound(view, wires, from, rows);
  while (rows > 1 && bytes > PIECE_BYTES) {
    rows = (rows + 1) / 2;
    bytes = bound(view, wires, from, rows);
  }
  *out_bytes = bytes;
  return rows;
}

// ---- one value: returns where the next one goes ----

static inline char *put_head(char *to, uint32_t size) {
  pg_put32(to, size);
  return to + FIELD_HEAD_BYTES;
}

static inline char *put_8(char *to, uint64_t bits) {
  pg_put64(put_head(to, 8), bits);
  return to + FIELD_HEAD_BYTES + 8;
}

static inline char *put_4(char *to, uint32_t bits) {
  pg_put32(put_head(to, 4), bits);
  return to + FIELD_HEAD_BYTES + 4;
}

static inline char *put_numeric(char *to, struct dray_decimal value, int32_t scale) {
  const size_t size = pg_numeric_write(value, scale, to + FIELD_HEAD_BYTES);
  return put_head(to, (uint32_t)size) + size;
}

// Most texts are short, and a copy of a fixed size costs least; it may write, but never read, beyond the text's end.
// `readable`: bytes from its beginning to the end of all texts of the column.
static inline void copy_text(char *to, struct dray_str text, uint64_t readable) {
  if (text.len <= SHORT_BYTES && readable >= SHORT_BYTES) {
    memcpy(to, text.data, SHORT_BYTES);
  } else if (text.len <= SLACK_BYTES && readable >= SLACK_BYTES) {
    memcpy(to, text.data, SLACK_BYTES);
  } else if (text.len > 0) {
    memcpy(to, text.data, text.len);
  }
}

static inline char *put_text(char *to, struct dray_str text, const char *end) {
  to = put_head(to, (uint32_t)text.len);
  copy_text(to, text, (uint64_t)(end - text.data));
  return to + text.len;
}

// jsonb has no way to hold U+0000; the server would refuse the whole load without naming the value.
static int holds_nul(struct dray_str json) {
  static const char nul[] = "\\u0000";
  const char *end = json.data + json.len;
  for (const char *at = json.data; at < end; at++) {
    at = memmem(at, (size_t)(end - at), nul, sizeof nul - 1);
    if (at == NULL) return 0;
    const char *before = at;
    while (before > json.data && before[-1] == '\\') before--;
    if ((at - before) % 2 == 0) return 1; // not itself escaped
  }
  return 0;
}

static char *put_json(char *to, const struct dray_column_view *column, struct dray_str text, struct dray_error *error) {
  if (text.len > 0 && holds_nul(text)) {
    (void)dray_fail_field(error, DRAY_E_DATA_JSON, column->name,
                          "column '%s': a text in the JSON holds \\u0000, which jsonb does not take", column->name);
    return NULL;
  }
  to = put_head(to, (uint32_t)text.len + 1);
  *to++ = 1; // the version
  if (text.len > 0) memcpy(to, text.data, text.len);
  return to + text.len;
}

static char *put_narrow(char *to, const struct dray_column_view *column, int64_t value, int wire,
                        struct dray_error *error) {
  const int wide = wire == PG_WIRE_INT4;
  if (value < (wide ? INT32_MIN : INT16_MIN) || value > (wide ? INT32_MAX : INT16_MAX)) {
    (void)dray_fail_field(error, DRAY_E_DATA_OVERFLOW, column->name, "column '%s' is %s, and %lld does not fit",
                          column->name, wide ? "integer" : "smallint", (long long)value);
    return NULL;
  }
  if (wide) return put_4(to, (uint32_t)value);
  pg_put16(put_head(to, 2), (uint16_t)value);
  return to + FIELD_HEAD_BYTES + 2;
}

// ---- rows ----

struct pg_field {
  const struct dray_column_view *column;
  const char *end; // of all its texts
  int wire;
};

// NULL: refused.
static inline char *put_value(char *to, const struct pg_field *field, uint64_t row, struct dray_error *error) {
  const struct dray_column_view *column = field->column;
  switch (field->wire) {
  case PG_WIRE_BOOL:
    to = put_head(to, 1);
    *to++ = dray_column_bool(column, row) != 0 ? 1 : 0;
    return to;
  case PG_WIRE_INT8:
    return put_8(to, (uint64_t)dray_column_int64(column, row));
  case PG_WIRE_TIMESTAMP:
    return put_8(to, (uint64_t)dray_column_int64(column, row) - (uint64_t)PG_EPOCH_US);
  case PG_WIRE_FLOAT8:
    return put_8(to, ((const uint64_t *)column->values)[row + (uint64_t)column->offset]);
  case PG_WIRE_DATE:
    return put_4(to, (uint32_t)(dray_column_date(column, row) - PG_EPOCH_DAYS));
  case PG_WIRE_NUMERIC:
    return put_numeric(to, dray_column_decimal(column, row), column->type.scale);
  case PG_WIRE_JSONB:
    return put_json(to, column, dray_column_bytes(column, row), error);
  case PG_WIRE_INT2:
  case PG_WIRE_INT4:
    return put_narrow(to, column, dray_column_int64(column, row), field->wire, error);
  default: // TEXT, BYTES, JSON
    return put_text(to, dray_column_bytes(column, row), field->end);
  }
}

static char *put_row(char *to, const struct pg_field *fields, size_t count, uint64_t row, struct dray_error *error) {
  pg_put16(to, (uint16_t)count);
  to += ROW_HEAD_BYTES;
  for (size_t i = 0; i < count; i++) {
    if (dray_column_is_null(fields[i].column, row)) {
      to = put_head(to, UINT32_MAX);
      continue;
    }
    to = put_value(to, &fields[i], row, error);
    if (to == NULL) return NULL;
  }
  return to;
}

static int32_t make_fields(struct pg_encoder *encoder, const struct dray_view *view, const int *wires,
                           struct dray_error *error) {
  if (view->column_count > encoder->field_capacity) {
    struct pg_field *grown = realloc(encoder->fields, view->column_count * sizeof *grown);
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", view->column_count);
    encoder->fields = grown;
    encoder->field_capacity = view->column_count;
  }
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    const int text = is_text(wires[i]);
    encoder->fields[i] = (struct pg_field){
        .column = column,
        .end = text ? column->data + column->offsets[(uint64_t)column->offset + view->row_count] : NULL,
        .wire = wires[i]};
  }
  return DRAY_OK;
}

int32_t pg_encode(struct pg_encoder *encoder, const struct dray_view *view, const int *wires, uint64_t *row,
                  struct dray_error *error) {
  struct dray_error why;
  uint64_t bytes = 0;
  char *out = NULL;
  dray_error_init(&why);
  dray_buffer_clear(&encoder->out);
  if (*row >= view->row_count) return DRAY_OK;
  if (*row == 0) DRAY_TRY(make_fields(encoder, view, wires, error));
  const uint64_t end = *row + choose_rows(view, wires, *row, &bytes);
  DRAY_TRY(dray_buffer_reserve(&encoder->out, bytes + SLACK_BYTES, &out, error));
  char *to = out;
  for (uint64_t i = *row; i < end; i++) {
    to = put_row(to, encoder->fields, view->column_count, i, &why);
    if (to == NULL) {
      if (error != NULL) *error = why;
      return why.code;
    }
  }
  encoder->out.len = (size_t)(to - out);
  *row = end;
  return DRAY_OK;
}
