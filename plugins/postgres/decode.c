// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values as the server sends them, into typed columns. Nothing is rounded: what the canonical type does not hold is an
// error of its row.
#include "types.h"

#define NUMERIC_HEAD_BYTES 8
#define NUMERIC_NEGATIVE 0x4000
#define NUMERIC_NAN 0xC000
#define NUMERIC_INFINITY 0xD000
#define NUMERIC_MINUS_INFINITY 0xF000
#define GROUP 10000 // a numeric's digits are to this base
#define GROUP_DIGITS 4

// ---- numeric: groups of four digits, the first of them worth 10000^weight ----

// 10^38 - 1 is the largest decimal: below 2^127.
static const unsigned __int128 decimal_limit = (unsigned __int128)10000000000000000000u * 10000000000000000000u;

static int32_t scaled(unsigned __int128 value, int32_t zeros, unsigned __int128 *out) {
  for (; zeros > 0 && value > 0; zeros--) {
    if (value >= decimal_limit / 10) return 0;
    value *= 10;
  }
  *out = value;
  return 1;
}

static int32_t too_large(struct dray_type type, struct dray_error *error) {
  return dray_fail(error, DRAY_E_DATA_OVERFLOW, "a number has more than the %d digits of decimal(%d,%d)",
                   type.precision, type.precision, type.scale);
}

// Adds the groups up: those that lie before the scale's last digit, then the one that it cuts.
static int32_t add_groups(const char *digits, int32_t count, int32_t weight, struct dray_type type,
                          unsigned __int128 *out, struct dray_error *error) {
  unsigned __int128 value = 0;
  int32_t place = (weight + 1) * GROUP_DIGITS + type.scale; // digits that lie before the end of the scale
  for (int32_t i = 0; i < count; i++) {
    const uint32_t group = pg_get16(digits + 2 * (size_t)i);
    place -= GROUP_DIGITS;
    if (place >= 0) {
      if (value >= decimal_limit / GROUP) return too_large(type, error);
      value = value * GROUP + group;
      continue;
    }
    uint32_t divisor = 1;
    int32_t kept = GROUP_DIGITS;
    for (int32_t cut = place; cut < 0 && kept > 0; cut++, kept--) divisor *= 10;
    if (group % divisor != 0) {
      return dray_fail(error, DRAY_E_DATA_PRECISION, "a number has more digits behind the point than decimal(%d,%d)",
                       type.precision, type.scale);
    }
    if (kept == 0) continue;
    if (!scaled(value, kept, &value)) return too_large(type, error);
    value += group / divisor;
  }
  if (place > 0 && !scaled(value, place, &value)) return too_large(type, error);
  *out = value;
  return DRAY_OK;
}

// Nearly all numbers have four groups or less and need no more than 64 bits, nor a digit behind the scale. 0: not this
// one, of which nothing is said.
static int add_few(const char *digits, int32_t count, int32_t weight, int32_t scale, uint64_t *out) {
  static const uint64_t tens[] = {1, 10, 100, 1000};
  const int32_t place = (weight + 1 - count) * GROUP_DIGITS + scale; // zeros to add, or digits to cut
  uint64_t value = 0;
  if (count > 4 || place < -3 || place > 3) return 0;
  for (int32_t i = 0; i < count; i++) value = value * GROUP + pg_get16(digits + 2 * (size_t)i);
  if (place >= 0) {
    *out = value * tens[place];
    return 1;
  }
  // By constants: a division by what is known beforehand is a multiplication.
  const uint64_t kept = place == -1 ? value / 10 : place == -2 ? value / 100 : value / 1000;
  *out = kept;
  return kept * tens[-place] == value;
}

int32_t pg_numeric_read(const char *data, int32_t len, struct dray_type type, struct dray_decimal *out,
                        struct dray_error *error) {
  if (len < NUMERIC_HEAD_BYTES) return dray_fail(error, DRAY_E_DATA_TYPE, "a numeric of %d bytes", len);
  const int32_t count = (int16_t)pg_get16(data), weight = (int16_t)pg_get16(data + 2);
  const uint16_t sign = pg_get16(data + 4);
  unsigned __int128 value = 0;
  if (sign == NUMERIC_NAN || sign == NUMERIC_INFINITY || sign == NUMERIC_MINUS_INFINITY) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "%s is no decimal: cast the column to double precision or text",
                     sign == NUMERIC_NAN        ? "NaN"
                     : sign == NUMERIC_INFINITY ? "Infinity"
                                                : "-Infinity");
  }
  if (count < 0 || len != NUMERIC_HEAD_BYTES + 2 * count) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "a numeric of %d bytes with %d groups", len, count);
  }
  uint64_t small = 0;
  if (add_few(data + NUMERIC_HEAD_BYTES, count, weight, type.scale, &small)) {
    value = small;
  } else {
    DRAY_TRY(add_groups(data + NUMERIC_HEAD_BYTES, count, weight, type, &value, error));
  }
  __int128 whole = (__int128)value;
  if (sign == NUMERIC_NEGATIVE) whole = -whole;
  const struct dray_decimal decimal = {(uint64_t)(unsigned __int128)whole, (int64_t)(whole >> 64)};
  if (!dray_decimal_fits(decimal, type.precision)) return too_large(type, error);
  *out = decimal;
  return DRAY_OK;
}

// ---- the others ----

static int32_t decode_numeric(const struct pg_column *column, const char *data, int32_t len,
                              struct dray_builder *builder, size_t index, struct dray_error *error) {
  struct dray_decimal value;
  DRAY_TRY(pg_numeric_read(data, len, column->type, &value, error));
  return dray_builder_decimal(builder, index, value, error);
}

static int32_t decode_date(const char *data, struct dray_builder *builder, size_t index, struct dray_error *error) {
  const int32_t days = (int32_t)pg_get32(data);
  if (days == INT32_MAX || days == INT32_MIN) {
    return dray_fail(error, DRAY_E_DATA_DATE, "%sinfinity is no date", days < 0 ? "-" : "");
  }
  if (days < DRAY_DATE_MIN - PG_EPOCH_DAYS || days > DRAY_DATE_MAX - PG_EPOCH_DAYS) {
    return dray_fail(error, DRAY_E_DATA_DATE, "a date is outside the years 1 to 9999");
  }
  return dray_builder_date(builder, index, days + PG_EPOCH_DAYS, error);
}

static int32_t decode_timestamp(const char *data, struct dray_builder *builder, size_t index,
                                struct dray_error *error) {
  const int64_t us = (int64_t)pg_get64(data);
  if (us == INT64_MAX || us == INT64_MIN) {
    return dray_fail(error, DRAY_E_DATA_DATE, "%sinfinity is no point in time", us < 0 ? "-" : "");
  }
  if (us < DRAY_TIMESTAMP_MIN - PG_EPOCH_US || us > DRAY_TIMESTAMP_MAX - PG_EPOCH_US) {
    return dray_fail(error, DRAY_E_DATA_DATE, "a point in time is outside the years 1 to 9999");
  }
  return dray_builder_timestamp(builder, index, us + PG_EPOCH_US, error);
}

static int32_t decode_float(const char *data, int wide, struct dray_builder *builder, size_t index,
                            struct dray_error *error) {
  double value = 0;
  if (wide) {
    const uint64_t bits = pg_get64(data);
    memcpy(&value, &bits, sizeof value);
  } else {
    const uint32_t bits = pg_get32(data);
    float narrow = 0;
    memcpy(&narrow, &bits, sizeof narrow);
    value = (double)narrow;
  }
  return dray_builder_float64(builder, index, value, error);
}

// Never part of its caller: a value of its own on the stack is looked after at each call.
static __attribute__((noinline)) int32_t decode_uuid(const char *data, struct dray_builder *builder, size_t index,
                                                     struct dray_error *error) {
  static const char hex[] = "0123456789abcdef";
  char text[36];
  size_t n = 0;
  for (size_t i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text[n++] = '-';
    text[n++] = hex[(unsigned char)data[i] >> 4];
    text[n++] = hex[(unsigned char)data[i] & 15];
  }
  return dray_builder_bytes(builder, index, dray_str_make(text, sizeof text), error);
}

// Bytes of a value of each wire; 0: any.
static const uint8_t sizes[] = {
    [PG_WIRE_BOOL] = 1,   [PG_WIRE_INT2] = 2,   [PG_WIRE_INT4] = 4, [PG_WIRE_INT8] = 8,      [PG_WIRE_OID] = 4,
    [PG_WIRE_FLOAT4] = 4, [PG_WIRE_FLOAT8] = 8, [PG_WIRE_DATE] = 4, [PG_WIRE_TIMESTAMP] = 8, [PG_WIRE_UUID] = 16,
};

// `end`: of what may be read.
static inline __attribute__((always_inline)) int32_t decode(const struct pg_column *column, const char *data,
                                                            int32_t len, const char *end, struct dray_builder *builder,
                                                            size_t index, struct dray_error *error) {
  if (len < 0) return dray_builder_null(builder, index, error);
  if ((size_t)column->wire < sizeof sizes && sizes[column->wire] != 0 && sizes[column->wire] != len) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "a value of %d bytes where %d belong", len, sizes[column->wire]);
  }
  switch (column->wire) {
  case PG_WIRE_BOOL:
    return dray_builder_bool(builder, index, data[0] != 0, error);
  case PG_WIRE_INT2:
    return dray_builder_int64(builder, index, (int16_t)pg_get16(data), error);
  case PG_WIRE_INT4:
    return dray_builder_int64(builder, index, (int32_t)pg_get32(data), error);
  case PG_WIRE_INT8:
    return dray_builder_int64(builder, index, (int64_t)pg_get64(data), error);
  case PG_WIRE_OID:
    return dray_builder_int64(builder, index, (int64_t)pg_get32(data), error);
  case PG_WIRE_FLOAT4:
  case PG_WIRE_FLOAT8:
    return decode_float(data, column->wire == PG_WIRE_FLOAT8, builder, index, error);
  case PG_WIRE_NUMERIC:
    return decode_numeric(column, data, len, builder, index, error);
  case PG_WIRE_DATE:
    return decode_date(data, builder, index, error);
  case PG_WIRE_TIMESTAMP:
    return decode_timestamp(data, builder, index, error);
  case PG_WIRE_UUID:
    return decode_uuid(data, builder, index, error);
  case PG_WIRE_JSONB:
    if (len < 1) return dray_fail(error, DRAY_E_DATA_JSON, "a jsonb without its version");
    data++;
    len--;
    break;
  default: // TEXT, BYTES, JSON
    break;
  }
  return dray_builder_bytes_within(builder, index, dray_str_make(data, (uint64_t)len), (uint64_t)(end - data), error);
}

int32_t pg_decode(const struct pg_column *column, const char *data, int32_t len, struct dray_builder *builder,
                  size_t index, struct dray_error *error) {
  return decode(column, data, len, data + (len > 0 ? len : 0), builder, index, error);
}

static int32_t broken_row(struct dray_error *error) {
  return dray_fail(error, DRAY_E_INTERNAL, "the server sent a row that is not of the form that COPY has");
}

int32_t pg_decode_row(const struct pg_column *columns, size_t count, struct dray_str fields,
                      struct dray_builder *builder, struct dray_error *why, struct dray_error *error) {
  const char *at = fields.data, *end = at + fields.len;
  for (size_t i = 0; i < count; i++) {
    if (end - at < 4) return broken_row(error);
    const int32_t size = (int32_t)pg_get32(at);
    at += 4;
    if (size < -1 || size > end - at) return broken_row(error);
    if (decode(&columns[i], at, size, end, builder, i, why) != DRAY_OK) {
      DRAY_TRY(dray_builder_misfit(builder, i, why, error));
    }
    if (size > 0) at += size;
  }
  return DRAY_OK;
}

// ---- text: only for statements that cannot be wrapped ----

int32_t pg_decode_text(const char *data, int32_t len, struct dray_builder *builder, size_t index,
                       struct dray_error *error) {
  if (len < 0) return dray_builder_null(builder, index, error);
  return dray_builder_bytes(builder, index, dray_str_make(data, (uint64_t)len), error);
}
