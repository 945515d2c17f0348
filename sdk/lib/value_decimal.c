// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Decimals of up to 38 digits in 128-bit integers. Every operation is exact or refused; 38 digits fit with
// room to spare (10^38 < 2^127), so nothing here can overflow once the count of digits is known.
#include "dray/sdk/value.h"
#include "value_number.h"

typedef unsigned __int128 u128; // the language has no name for it that fits a line

static u128 power_of_ten(int32_t exponent) {
  static const uint64_t small[] = {1,
                                   10,
                                   100,
                                   1000,
                                   10000,
                                   100000,
                                   1000000,
                                   10000000,
                                   100000000,
                                   1000000000,
                                   10000000000,
                                   100000000000,
                                   1000000000000,
                                   10000000000000,
                                   100000000000000,
                                   1000000000000000,
                                   10000000000000000,
                                   100000000000000000,
                                   1000000000000000000,
                                   UINT64_C(10000000000000000000)};
  return exponent < 20 ? small[exponent] : (u128)small[19] * small[exponent - 19];
}

static u128 magnitude(struct dray_decimal value) {
  const u128 bits = (u128)(uint64_t)value.high << 64 | value.low;
  return value.high < 0 ? 0 - bits : bits;
}

static struct dray_decimal of_magnitude(u128 bits, int negative) {
  if (negative) bits = 0 - bits;
  return (struct dray_decimal){(uint64_t)bits, (int64_t)(uint64_t)(bits >> 64)};
}

struct dray_decimal dray_decimal_of_int64(int64_t value) {
  return (struct dray_decimal){(uint64_t)value, value < 0 ? -1 : 0};
}

int dray_decimal_fits(struct dray_decimal value, int32_t precision) {
  return magnitude(value) < power_of_ten(precision);
}

// The digits without zeros at either end, as whole + fraction with a power of ten: value = digits * 10^power.
struct significant {
  const struct dray_number_parts *parts;
  uint64_t first, end; // positions in whole followed by fraction
  int64_t power;
};

static char digit_at(const struct dray_number_parts *parts, uint64_t at) {
  return at < parts->whole.len ? parts->whole.data[at] : parts->fraction.data[at - parts->whole.len];
}

static struct significant find_significant(const struct dray_number_parts *parts) {
  struct significant found = {parts, 0, parts->whole.len + parts->fraction.len,
                              parts->exponent - (int64_t)parts->fraction.len};
  while (found.first < found.end && digit_at(parts, found.first) == '0') found.first++;
  while (found.end > found.first && digit_at(parts, found.end - 1) == '0') {
    found.end--;
    found.power++;
  }
  return found;
}

int32_t dray_parse_decimal(struct dray_str text, int32_t precision, int32_t scale, struct dray_decimal *out,
                           struct dray_error *error) {
  struct dray_number_parts parts;
  if (!dray_number_split(text, &parts)) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "'%.*s' is not a number", DRAY_VALUE_ARG(text));
  }
  const struct significant found = find_significant(&parts);
  const int64_t count = (int64_t)(found.end - found.first);
  if (count == 0) {
    *out = (struct dray_decimal){0, 0};
    return DRAY_OK;
  }
  if (count + found.power > precision - scale) {
    return dray_fail(error, DRAY_E_DATA_OVERFLOW, "%.*s does not fit decimal(%d,%d)", DRAY_VALUE_ARG(text), precision,
                     scale);
  }
  if (found.power + scale < 0) {
    return dray_fail(error, DRAY_E_DATA_PRECISION, "%.*s has more digits after the point than decimal(%d,%d)",
                     DRAY_VALUE_ARG(text), precision, scale);
  }
  u128 value = 0;
  for (uint64_t i = found.first; i < found.end; i++) value = value * 10 + (u128)(uint8_t)(digit_at(&parts, i) - '0');
  value *= power_of_ten((int32_t)(found.power + scale));
  *out = of_magnitude(value, parts.negative);
  return DRAY_OK;
}

int32_t dray_decimal_rescale(struct dray_decimal value, int32_t from_scale, int32_t to_precision, int32_t to_scale,
                             struct dray_decimal *out, struct dray_error *error) {
  u128 bits = magnitude(value);
  char text[DRAY_FORMAT_BYTES_MAX];
  if (to_scale < from_scale) {
    const u128 divisor = power_of_ten(from_scale - to_scale);
    if (bits % divisor != 0) {
      (void)dray_format_decimal(value, from_scale, text);
      return dray_fail(error, DRAY_E_DATA_PRECISION, "%s has more digits after the point than decimal(%d,%d)", text,
                       to_precision, to_scale);
    }
    bits /= divisor;
  }
  // Compared before it is multiplied, so that the product cannot leave 128 bits.
  const int32_t up = to_scale > from_scale ? to_scale - from_scale : 0;
  if (bits != 0 && (up > to_precision || bits >= power_of_ten(to_precision - up))) {
    (void)dray_format_decimal(value, from_scale, text);
    return dray_fail(error, DRAY_E_DATA_OVERFLOW, "%s does not fit decimal(%d,%d)", text, to_precision, to_scale);
  }
  *out = of_magnitude(bits == 0 ? 0 : bits * power_of_ten(up), value.high < 0);
  return DRAY_OK;
}

size_t dray_format_decimal(struct dray_decimal value, int32_t scale, char *out) {
  char digits[40]; // 2^127 has 39
  int32_t count = 0;
  size_t len = 0;
  u128 rest = magnitude(value);
  while (rest > UINT64_MAX) {
    digits[count++] = (char)('0' + (int)(rest % 10));
    rest /= 10;
  }
  for (uint64_t low = (uint64_t)rest; low != 0; low /= 10) digits[count++] = (char)('0' + (int)(low % 10));
  while (count <= scale) digits[count++] = '0'; // at least one digit before the point
  if (value.high < 0) out[len++] = '-';
  while (count > 0) {
    out[len++] = digits[--count];
    if (count == scale && scale > 0) out[len++] = '.';
  }
  out[len] = '\0';
  return len;
}
