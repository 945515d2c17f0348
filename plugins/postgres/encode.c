// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows as COPY takes them in binary. A row is a count of fields, then each field with its length; a batch is columns.
// So it goes in two passes over the columns: one adds up how long each row becomes, one writes each column's fields
// into the rows, every loop over one type.
#include "types.h"

#include <stdlib.h>

#define FIELD_HEAD_BYTES 4
#define ROW_HEAD_BYTES 2
#define ROWS_BYTES_MAX (UINT64_C(1) << 30)
#define GROUP 10000
#define GROUP_DIGITS 4
#define GROUPS_MAX 12

void pg_encoder_init(struct pg_encoder *encoder) {
  memset(encoder, 0, sizeof *encoder);
  dray_buffer_init(&encoder->out, ROWS_BYTES_MAX);
}

void pg_encoder_free(struct pg_encoder *encoder) {
  dray_buffer_free(&encoder->out);
  free(encoder->at);
  free(encoder->numbers);
  memset(encoder, 0, sizeof *encoder);
}

// ---- numeric ----

// The groups of a number, last one first; returns how many. The fraction's last group is filled up with zeros.
static int split(unsigned __int128 value, int32_t scale, uint16_t groups[GROUPS_MAX]) {
  static const uint32_t tens[] = {1, 10, 100, 1000, 10000};
  const int32_t cut = scale % GROUP_DIGITS;
  int n = 0;
  if (cut > 0) {
    groups[n++] = (uint16_t)((uint32_t)(value % tens[cut]) * tens[GROUP_DIGITS - cut]);
    value /= tens[cut];
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

// ---- the first pass: lengths ----

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
  default:
    return 0;
  }
}

static void add_fixed(uint64_t *sizes, const struct dray_column_view *column, uint64_t rows, uint64_t size) {
  if (column->validity == NULL) {
    for (uint64_t row = 0; row < rows; row++) sizes[row] += FIELD_HEAD_BYTES + size;
    return;
  }
  for (uint64_t row = 0; row < rows; row++) {
    sizes[row] += FIELD_HEAD_BYTES + (dray_column_is_null(column, row) ? 0 : size);
  }
}

static void add_texts(uint64_t *sizes, const struct dray_column_view *column, uint64_t rows, uint64_t more) {
  for (uint64_t row = 0; row < rows; row++) {
    sizes[row] += FIELD_HEAD_BYTES;
    if (!dray_column_is_null(column, row)) sizes[row] += dray_column_bytes(column, row).len + more;
  }
}

// Numerics are made here, once, into places of a fixed size each with its length before it.
static void add_numerics(uint64_t *sizes, const struct dray_column_view *column, uint64_t rows, char *numbers) {
  for (uint64_t row = 0; row < rows; row++) {
    sizes[row] += FIELD_HEAD_BYTES;
    if (dray_column_is_null(column, row)) continue;
    char *place = numbers + row * PG_NUMERIC_BYTES_MAX;
    const size_t len = pg_numeric_write(dray_column_decimal(column, row), column->type.scale, place + 1);
    place[0] = (char)len;
    sizes[row] += len;
  }
}

// ---- the second pass: fields ----

static inline char *head(char *out, uint64_t *at, uint32_t size) {
  char *to = out + *at;
  pg_put32(to, size);
  *at += FIELD_HEAD_BYTES + size;
  return to + FIELD_HEAD_BYTES;
}

static inline void put_null(char *out, uint64_t *at) {
  pg_put32(out + *at, UINT32_MAX);
  *at += FIELD_HEAD_BYTES;
}

#define FOR_ROWS(body)                                                                                                 \
  for (uint64_t row = 0; row < rows; row++) {                                                                          \
    if (dray_column_is_null(column, row)) {                                                                            \
      put_null(out, &at[row]);                                                                                         \
      continue;                                                                                                        \
    }                                                                                                                  \
    body;                                                                                                              \
  }

static void put_bool(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows) {
  FOR_ROWS(head(out, &at[row], 1)[0] = dray_column_bool(column, row) != 0 ? 1 : 0)
}

static void put_64(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows, int64_t shift) {
  FOR_ROWS(pg_put64(head(out, &at[row], 8), (uint64_t)dray_column_int64(column, row) - (uint64_t)shift))
}

static void put_float(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows) {
  const uint64_t *bits = (const uint64_t *)column->values + column->offset;
  FOR_ROWS(pg_put64(head(out, &at[row], 8), bits[row]))
}

static void put_date(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows) {
  FOR_ROWS(pg_put32(head(out, &at[row], 4), (uint32_t)(dray_column_date(column, row) - PG_EPOCH_DAYS)))
}

static void put_numeric(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows,
                        const char *numbers) {
  FOR_ROWS({
    const char *place = numbers + row * PG_NUMERIC_BYTES_MAX;
    memcpy(head(out, &at[row], (uint32_t)place[0]), place + 1, (size_t)place[0]);
  })
}

static void put_text(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows) {
  FOR_ROWS({
    const struct dray_str text = dray_column_bytes(column, row);
    char *to = head(out, &at[row], (uint32_t)text.len);
    if (text.len > 0) memcpy(to, text.data, text.len);
  })
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

static int32_t put_json(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows,
                        struct dray_error *error) {
  FOR_ROWS({
    const struct dray_str text = dray_column_bytes(column, row);
    if (text.len > 0 && holds_nul(text)) {
      return dray_fail_field(error, DRAY_E_DATA_JSON, column->name,
                             "column '%s': a text in the JSON holds \\u0000, which jsonb does not take", column->name);
    }
    char *to = head(out, &at[row], (uint32_t)text.len + 1);
    to[0] = 1; // the version
    if (text.len > 0) memcpy(to + 1, text.data, text.len);
  })
  return DRAY_OK;
}

static int32_t put_narrow(char *out, uint64_t *at, const struct dray_column_view *column, uint64_t rows, int wire,
                          struct dray_error *error) {
  const int64_t least = wire == PG_WIRE_INT4 ? INT32_MIN : INT16_MIN,
                most = wire == PG_WIRE_INT4 ? INT32_MAX : INT16_MAX;
  FOR_ROWS({
    const int64_t value = dray_column_int64(column, row);
    if (value < least || value > most) {
      return dray_fail_field(error, DRAY_E_DATA_OVERFLOW, column->name, "column '%s' is %s, and %lld does not fit",
                             column->name, wire == PG_WIRE_INT4 ? "integer" : "smallint", (long long)value);
    }
    if (wire == PG_WIRE_INT4) {
      pg_put32(head(out, &at[row], 4), (uint32_t)value);
    } else {
      pg_put16(head(out, &at[row], 2), (uint16_t)value);
    }
  })
  return DRAY_OK;
}

// ---- batches ----

static int32_t make_room(struct pg_encoder *encoder, uint64_t rows, struct dray_error *error) {
  if (rows <= encoder->at_capacity) return DRAY_OK;
  uint64_t *grown = realloc(encoder->at, rows * sizeof *grown);
  if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %llu rows", (unsigned long long)rows);
  encoder->at = grown;
  encoder->at_capacity = rows;
  return DRAY_OK;
}

static int32_t make_number_room(struct pg_encoder *encoder, uint64_t columns, uint64_t rows, struct dray_error *error) {
  const uint64_t bytes = columns * rows * PG_NUMERIC_BYTES_MAX;
  if (bytes <= encoder->numbers_capacity) return DRAY_OK;
  char *grown = realloc(encoder->numbers, bytes);
  if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %llu rows", (unsigned long long)rows);
  encoder->numbers = grown;
  encoder->numbers_capacity = bytes;
  return DRAY_OK;
}

static uint64_t count_numerics(const struct dray_view *view) {
  uint64_t count = 0;
  for (size_t i = 0; i < view->column_count; i++) count += view->columns[i].type.id == DRAY_TYPE_DECIMAL;
  return count;
}

static void measure(struct pg_encoder *encoder, const struct dray_view *view, const int *wires) {
  char *numbers = encoder->numbers;
  for (uint64_t row = 0; row < view->row_count; row++) encoder->at[row] = ROW_HEAD_BYTES;
  for (size_t i = 0; i < view->column_count; i++) {
    const struct dray_column_view *column = &view->columns[i];
    const uint64_t fixed = fixed_size(wires[i]);
    if (fixed > 0) {
      add_fixed(encoder->at, column, view->row_count, fixed);
    } else if (wires[i] == PG_WIRE_NUMERIC) {
      add_numerics(encoder->at, column, view->row_count, numbers);
      numbers += view->row_count * PG_NUMERIC_BYTES_MAX;
    } else {
      add_texts(encoder->at, column, view->row_count, wires[i] == PG_WIRE_JSONB);
    }
  }
}

static int32_t put_column(const struct pg_encoder *encoder, const struct dray_column_view *column, uint64_t rows,
                          int wire, const char *numbers, struct dray_error *error) {
  char *out = encoder->out.data;
  uint64_t *at = encoder->at;
  switch (wire) {
  case PG_WIRE_BOOL:
    put_bool(out, at, column, rows);
    return DRAY_OK;
  case PG_WIRE_INT8:
    put_64(out, at, column, rows, 0);
    return DRAY_OK;
  case PG_WIRE_TIMESTAMP:
    put_64(out, at, column, rows, PG_EPOCH_US);
    return DRAY_OK;
  case PG_WIRE_FLOAT8:
    put_float(out, at, column, rows);
    return DRAY_OK;
  case PG_WIRE_DATE:
    put_date(out, at, column, rows);
    return DRAY_OK;
  case PG_WIRE_NUMERIC:
    put_numeric(out, at, column, rows, numbers);
    return DRAY_OK;
  case PG_WIRE_JSONB:
    return put_json(out, at, column, rows, error);
  case PG_WIRE_INT2:
  case PG_WIRE_INT4:
    return put_narrow(out, at, column, rows, wire, error);
  default: // TEXT, BYTES, JSON
    put_text(out, at, column, rows);
    return DRAY_OK;
  }
}

int32_t pg_encode(struct pg_encoder *encoder, const struct dray_view *view, const int *wires,
                  struct dray_error *error) {
  const uint64_t rows = view->row_count;
  uint64_t total = 0;
  char *out = NULL;
  dray_buffer_clear(&encoder->out);
  DRAY_TRY(make_room(encoder, rows, error));
  DRAY_TRY(make_number_room(encoder, count_numerics(view), rows, error));
  measure(encoder, view, wires);
  for (uint64_t row = 0; row < rows; row++) {
    const uint64_t size = encoder->at[row];
    encoder->at[row] = total;
    total += size;
  }
  DRAY_TRY(dray_buffer_reserve(&encoder->out, total, &out, error));
  for (uint64_t row = 0; row < rows; row++) {
    pg_put16(out + encoder->at[row], (uint16_t)view->column_count);
    encoder->at[row] += ROW_HEAD_BYTES;
  }
  const char *numbers = encoder->numbers;
  for (size_t i = 0; i < view->column_count; i++) {
    DRAY_TRY(put_column(encoder, &view->columns[i], rows, wires[i], numbers, error));
    if (wires[i] == PG_WIRE_NUMERIC) numbers += rows * PG_NUMERIC_BYTES_MAX;
  }
  encoder->out.len = total;
  return DRAY_OK;
}
