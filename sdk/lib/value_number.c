// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Integers, floats and booleans as text. The C library's number functions follow LC_NUMERIC, which belongs to
// the program that loads a plugin; everything here reads and writes a point whatever the locale says.
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/value.h"
#include "value_number.h"

// The "C" locale, made once. glibc hands out a static object for it, so losing the race below leaks nothing there
// and the loser frees its copy elsewhere.
static locale_t c_locale(void) {
  static locale_t shared;
  locale_t mine = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
  if (mine != (locale_t)0) return mine;
  mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  locale_t expected = (locale_t)0;
  if (mine != (locale_t)0 &&
      !__atomic_compare_exchange_n(&shared, &expected, mine, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    freelocale(mine);
    mine = expected;
  }
  return mine;
}

static uint64_t digits_from(struct dray_str text, uint64_t at) {
  const uint64_t from = at;
  while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9') at++;
  return at - from;
}

int dray_number_split(struct dray_str text, struct dray_number_parts *out) {
  struct dray_number_parts parts = {0};
  uint64_t at = 0;
  if (at < text.len && (text.data[at] == '-' || text.data[at] == '+')) parts.negative = text.data[at++] == '-';
  parts.whole = dray_str_make(text.data + at, digits_from(text, at));
  at += parts.whole.len;
  if (parts.whole.len == 0) return 0;
  if (at < text.len && text.data[at] == '.') {
    at++;
    parts.fraction = dray_str_make(text.data + at, digits_from(text, at));
    at += parts.fraction.len;
    if (parts.fraction.len == 0) return 0;
  }
  if (at < text.len && (text.data[at] == 'e' || text.data[at] == 'E')) {
    int negative = 0;
    if (++at < text.len && (text.data[at] == '-' || text.data[at] == '+')) negative = text.data[at++] == '-';
    const uint64_t end = at + digits_from(text, at);
    if (end == at) return 0;
    for (; at < end; at++) {
      if (parts.exponent < DRAY_EXPONENT_MAX) parts.exponent = parts.exponent * 10 + (text.data[at] - '0');
    }
    if (parts.exponent > DRAY_EXPONENT_MAX) parts.exponent = DRAY_EXPONENT_MAX;
    if (negative) parts.exponent = -parts.exponent;
    parts.has_exponent = 1;
  }
  if (at != text.len) return 0;
  parts.plain = parts.fraction.len == 0 && !parts.has_exponent;
  *out = parts;
  return 1;
}

int32_t dray_parse_int64(struct dray_str text, int64_t *out, struct dray_error *error) {
  uint64_t value = 0, at = 0;
  const int sign = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
  const int negative = sign && text.data[0] == '-';
  const uint64_t limit = (uint64_t)INT64_MAX + (uint64_t)negative;
  int overflow = 0;
  at = (uint64_t)sign;
  if (at == text.len) goto refused;
  for (; at < text.len; at++) {
    const uint64_t digit = (uint64_t)(uint8_t)text.data[at] - '0';
    if (digit > 9) goto refused;
    if (overflow || value > (limit - digit) / 10) {
      overflow = 1; // go on: what follows decides whether it is a number at all
    } else {
      value = value * 10 + digit;
    }
  }
  if (overflow) {
    return dray_fail(error, DRAY_E_DATA_OVERFLOW, "%.*s does not fit int64", DRAY_VALUE_ARG(text));
  }
  *out = negative ? (int64_t)(0 - value) : (int64_t)value;
  return DRAY_OK;
refused:
  return dray_fail(error, DRAY_E_DATA_TYPE, "'%.*s' is not an integer", DRAY_VALUE_ARG(text));
}

// At most 2^53 times or divided by an exact power of ten rounds once, so the result is the nearest double
// (Clinger 1990). This covers nearly every number that people write.
static int parse_exact(const struct dray_number_parts *parts, double *out) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  uint64_t mantissa = 0;
  if (parts->whole.len > 18 || parts->fraction.len > 18 || parts->whole.len + parts->fraction.len > 18) return 0;
  for (uint64_t i = 0; i < parts->whole.len; i++) mantissa = mantissa * 10 + (uint64_t)(parts->whole.data[i] - '0');
  for (uint64_t i = 0; i < parts->fraction.len; i++) {
    mantissa = mantissa * 10 + (uint64_t)(parts->fraction.data[i] - '0');
  }
  const int64_t power = parts->exponent - (int64_t)parts->fraction.len;
  if (mantissa > UINT64_C(1) << DBL_MANT_DIG || power < -22 || power > 22) return 0;
  const double value = power < 0 ? (double)mantissa / powers[-power] : (double)mantissa * powers[power];
  *out = parts->negative ? -value : value;
  return 1;
}

static int parse_named(struct dray_str text, double *out) {
  static const struct {
    const char *text;
    double value;
  } named[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"+Infinity", INFINITY}, {"-Infinity", -INFINITY}};
  for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
    if (!dray_str_is(text, named[i].text)) continue;
    *out = named[i].value;
    return 1;
  }
  return 0;
}

static int is_zero(const struct dray_number_parts *parts) {
  for (uint64_t i = 0; i < parts->whole.len; i++) {
    if (parts->whole.data[i] != '0') return 0;
  }
  for (uint64_t i = 0; i < parts->fraction.len; i++) {
    if (parts->fraction.data[i] != '0') return 0;
  }
  return 1;
}

int32_t dray_parse_float64(struct dray_str text, double *out, struct dray_error *error) {
  struct dray_number_parts parts;
  char small[256];
  if (!dray_number_split(text, &parts)) {
    if (parse_named(text, out)) return DRAY_OK;
    return dray_fail(error, DRAY_E_DATA_TYPE, "'%.*s' is not a number", DRAY_VALUE_ARG(text));
  }
  if (parse_exact(&parts, out)) return DRAY_OK;
  char *copy = text.len < sizeof small ? small : malloc((size_t)text.len + 1);
  const locale_t locale = c_locale();
  if (copy == NULL || locale == (locale_t)0) {
    if (copy != small) free(copy);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read a number of %llu bytes",
                     (unsigned long long)text.len);
  }
  memcpy(copy, text.data, (size_t)text.len);
  copy[text.len] = '\0';
  const double value = strtod_l(copy, NULL, locale);
  if (copy != small) free(copy);
  if (isinf(value)) {
    return dray_fail(error, DRAY_E_DATA_OVERFLOW, "%.*s does not fit float64", DRAY_VALUE_ARG(text));
  }
  if (value == 0 && !is_zero(&parts)) {
    return dray_fail(error, DRAY_E_DATA_PRECISION, "%.*s is too small for float64 and would become 0",
                     DRAY_VALUE_ARG(text));
  }
  *out = value;
  return DRAY_OK;
}

int32_t dray_parse_bool(struct dray_str text, int32_t *out, struct dray_error *error) {
  static const struct {
    const char *text;
    int32_t value;
  } words[] = {{"true", 1}, {"false", 0}, {"1", 1}, {"0", 0}, {"t", 1}, {"f", 0}, {"yes", 1}, {"no", 0}};
  char lower[6];
  if (text.len > 0 && text.len < sizeof lower) {
    for (uint64_t i = 0; i < text.len; i++) {
      const char c = text.data[i];
      lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
      if (!dray_str_equal(dray_str_make(lower, text.len), dray_str_of(words[i].text))) continue;
      *out = words[i].value;
      return DRAY_OK;
    }
  }
  return dray_fail(error, DRAY_E_DATA_TYPE, "'%.*s' is not a boolean: expected true, false, t, f, yes, no, 1 or 0",
                   DRAY_VALUE_ARG(text));
}

size_t dray_format_int64(int64_t value, char *out) {
  char digits[20];
  size_t count = 0, len = 0;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    digits[count++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  if (value < 0) out[len++] = '-';
  while (count > 0) out[len++] = digits[--count];
  out[len] = '\0';
  return len;
}

// The first precision whose text reads back as the value: a double of normal range that has a text of at most 15 digits
// shows it at %.15g, since %g drops trailing zeros. Subnormal numbers hold fewer digits, so they begin at one.
static size_t format_shortest(double value, char *out) {
  const int from = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
  const locale_t locale = c_locale();
  const locale_t before = uselocale(locale);
  int len = 0;
  for (int digits = from; digits <= DBL_DECIMAL_DIG; digits++) {
    len = snprintf(out, DRAY_FORMAT_BYTES_MAX, "%.*g", digits, value);
    if (strtod(out, NULL) == value) break;
  }
  (void)uselocale(before);
  return (size_t)len;
}

size_t dray_format_float64(double value, char *out) {
  if (isnan(value) || isinf(value)) {
    const char *name = isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    const size_t len = strlen(name);
    memcpy(out, name, len + 1);
    return len;
  }
  // Whole numbers are the common case, and need no search.
  if (value == (double)(int64_t)(fabs(value) < 1e15 ? value : 0) && (value != 0 || !signbit(value))) {
    return dray_format_int64((int64_t)value, out);
  }
  return format_shortest(value, out);
}
