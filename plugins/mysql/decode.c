// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values as the server sends them, into typed columns. Nothing is rounded: what the canonical type does not hold is an
// error of its row.
#include <stdio.h>
#include <stdlib.h>

#include "types.h"

#define CELL_BYTES_MIN 256
#define CELL_BYTES_MAX (1ul << 30) // as the server's own greatest packet

// ---- where values go ----

static enum enum_field_types buffer_type(int wire) {
  switch (wire) {
  case MY_WIRE_BOOL:
    return MYSQL_TYPE_TINY;
  case MY_WIRE_INT:
  case MY_WIRE_UINT:
    return MYSQL_TYPE_LONGLONG;
  case MY_WIRE_FLOAT:
    return MYSQL_TYPE_FLOAT;
  case MY_WIRE_DOUBLE:
    return MYSQL_TYPE_DOUBLE;
  case MY_WIRE_DATE:
    return MYSQL_TYPE_DATE;
  case MY_WIRE_TIMESTAMP:
    return MYSQL_TYPE_DATETIME;
  case MY_WIRE_TIME:
    return MYSQL_TYPE_TIME;
  case MY_WIRE_TEXT:
  case MY_WIRE_JSON:
  case MY_WIRE_DECIMAL:
    return MYSQL_TYPE_STRING;
  default:
    return MYSQL_TYPE_BLOB;
  }
}

static int has_size(int wire) {
  return wire != MY_WIRE_TEXT && wire != MY_WIRE_JSON && wire != MY_WIRE_BYTES && wire != MY_WIRE_DECIMAL &&
         wire != MY_WIRE_BIT;
}

int32_t my_cell_init(struct my_cell *cell, const struct my_column *column, MYSQL_BIND *bind, struct dray_error *error) {
  bind->buffer_type = buffer_type(column->wire);
  bind->is_unsigned = column->wire == MY_WIRE_UINT;
  bind->is_null = &cell->is_null;
  bind->length = &cell->length;
  bind->error = &cell->is_cut;
  if (has_size(column->wire)) {
    bind->buffer = &cell->value;
    bind->buffer_length = sizeof cell->value;
    return DRAY_OK;
  }
  cell->data = malloc(CELL_BYTES_MIN);
  if (cell->data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read rows");
  cell->capacity = CELL_BYTES_MIN;
  bind->buffer = cell->data;
  bind->buffer_length = cell->capacity;
  return DRAY_OK;
}

int32_t my_cell_grow(struct my_cell *cell, MYSQL_BIND *bind, struct dray_error *error) {
  unsigned long wanted = cell->capacity;
  if (cell->length > CELL_BYTES_MAX) {
    return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "a value of %lu bytes; at most %lu are read", cell->length,
                     CELL_BYTES_MAX);
  }
  while (wanted < cell->length) wanted *= 2;
  char *grown = realloc(cell->data, wanted);
  if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a value of %lu bytes", cell->length);
  cell->data = grown;
  cell->capacity = wanted;
  bind->buffer = grown;
  bind->buffer_length = wanted;
  return DRAY_OK;
}

void my_cell_free(struct my_cell *cell) {
  free(cell->data);
  cell->data = NULL;
}

// ---- values ----

static struct dray_decimal decimal_of_uint64(uint64_t value) {
  return (struct dray_decimal){value, 0};
}

static int32_t decode_bool(const struct my_cell *cell, struct dray_builder *builder, size_t index,
                           struct dray_error *error) {
  const int value = cell->value.int8;
  if (value != 0 && value != 1) {
    return dray_fail(error, DRAY_E_DATA_TYPE,
                     "%d in a tinyint(1) is neither 0 nor 1: CAST(… AS SIGNED) reads it as a number", value);
  }
  return dray_builder_bool(builder, index, value, error);
}

static int32_t decode_bit(const struct my_column *column, const struct my_cell *cell, struct dray_builder *builder,
                          size_t index, struct dray_error *error) {
  uint64_t value = 0;
  for (unsigned long i = 0; i < cell->length && i < 8; i++) value = value << 8 | (unsigned char)cell->data[i];
  if (column->type.id == DRAY_TYPE_BOOL) return dray_builder_bool(builder, index, value != 0, error);
  if (column->type.id == DRAY_TYPE_INT64) return dray_builder_int64(builder, index, (int64_t)value, error);
  return dray_builder_decimal(builder, index, decimal_of_uint64(value), error);
}

// The day, as the SDK's calendar has it. 0000-00-00, 2024-00-00 and, with ALLOW_INVALID_DATES, 2024-02-31 are none.
static int32_t read_day(const MYSQL_TIME *time, int32_t *out_days, struct dray_error *error) {
  char text[32];
  const int len = snprintf(text, sizeof text, "%04u-%02u-%02u", time->year, time->month, time->day);
  return dray_parse_date(dray_str_make(text, (uint64_t)len), out_days, error);
}

static int32_t no_date(const MYSQL_TIME *time, int zero_is_null, struct dray_builder *builder, size_t index,
                       struct dray_error *error) {
  const int zero = time->year == 0 || time->month == 0 || time->day == 0;
  if (zero && zero_is_null) return dray_builder_null(builder, index, error);
  return dray_fail(error, DRAY_E_DATA_DATE, "%04u-%02u-%02u is no date%s", time->year, time->month, time->day,
                   zero ? "; zero_dates: null reads it as null" : "");
}

static int32_t decode_date(const MYSQL_TIME *time, int zero_is_null, struct dray_builder *builder, size_t index,
                           struct dray_error *error) {
  int32_t days = 0;
  if (read_day(time, &days, error) != DRAY_OK) return no_date(time, zero_is_null, builder, index, error);
  return dray_builder_date(builder, index, days, error);
}

static int32_t decode_timestamp(const MYSQL_TIME *time, int zero_is_null, struct dray_builder *builder, size_t index,
                                struct dray_error *error) {
  int32_t days = 0;
  if (read_day(time, &days, error) != DRAY_OK) return no_date(time, zero_is_null, builder, index, error);
  const int64_t seconds = (int64_t)days * 86400 + time->hour * 3600 + time->minute * 60 + time->second;
  return dray_builder_timestamp(builder, index, seconds * 1000000 + (int64_t)time->second_part, error);
}

// As the server spells it: hours go on beyond a day.
static int32_t decode_time(const struct my_column *column, const MYSQL_TIME *time, struct dray_builder *builder,
                           size_t index, struct dray_error *error) {
  char text[64];
  int len = snprintf(text, sizeof text, "%s%02u:%02u:%02u.%06lu", time->neg ? "-" : "", time->day * 24 + time->hour,
                     time->minute, time->second, time->second_part);
  len -= column->decimals > 0 ? 6 - column->decimals : 7;
  return dray_builder_bytes(builder, index, dray_str_make(text, (uint64_t)len), error);
}

static int32_t decode_decimal(const struct my_column *column, const struct my_cell *cell, struct dray_builder *builder,
                              size_t index, struct dray_error *error) {
  struct dray_decimal value;
  DRAY_TRY(dray_parse_decimal(dray_str_make(cell->data, cell->length), column->type.precision, column->type.scale,
                              &value, error));
  return dray_builder_decimal(builder, index, value, error);
}

int32_t my_decode(const struct my_column *column, const struct my_cell *cell, int zero_is_null,
                  struct dray_builder *builder, size_t index, struct dray_error *error) {
  if (cell->is_null) return dray_builder_null(builder, index, error);
  switch (column->wire) {
  case MY_WIRE_BOOL:
    return decode_bool(cell, builder, index, error);
  case MY_WIRE_INT:
    return dray_builder_int64(builder, index, cell->value.int64, error);
  case MY_WIRE_UINT:
    return dray_builder_decimal(builder, index, decimal_of_uint64((uint64_t)cell->value.int64), error);
  case MY_WIRE_BIT:
    return decode_bit(column, cell, builder, index, error);
  case MY_WIRE_FLOAT:
    return dray_builder_float64(builder, index, (double)cell->value.float32, error);
  case MY_WIRE_DOUBLE:
    return dray_builder_float64(builder, index, cell->value.float64, error);
  case MY_WIRE_DECIMAL:
    return decode_decimal(column, cell, builder, index, error);
  case MY_WIRE_DATE:
    return decode_date(&cell->value.time, zero_is_null, builder, index, error);
  case MY_WIRE_TIMESTAMP:
    return decode_timestamp(&cell->value.time, zero_is_null, builder, index, error);
  case MY_WIRE_TIME:
    return decode_time(column, &cell->value.time, builder, index, error);
  default: // TEXT, BYTES, JSON
    return dray_builder_bytes(builder, index, dray_str_make(cell->data, cell->length), error);
  }
}
