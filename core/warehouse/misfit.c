// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A value against what its column takes, and the sentence that says why it is not taken. Called for each row before it
// is compared or loaded, by core/sync, for columns with a limit alone.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "warehouse/warehouse.h"

#define TEXT_BYTES_MAX 4096 // of what is neither text, bytes nor JSON

// What PostgreSQL's numeric holds (numeric.h: NUMERIC_WEIGHT_MAX, NUMERIC_DSCALE_MAX).
#define NUMERIC_WHOLE_DIGITS 131072
#define NUMERIC_FRACTION_DIGITS 16383
#define EXPONENT_MAX 1000000000

struct verdict {
  int32_t code;
  char *text;
  size_t text_bytes;
};

__attribute__((format(printf, 3, 4))) static void refuse(struct verdict *verdict, int32_t code, const char *format,
                                                         ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(verdict->text, verdict->text_bytes, format, arguments);
  va_end(arguments);
  verdict->code = code;
}

static int is_variable(int32_t type) {
  return type == DRAY_TYPE_BYTES || type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON;
}

// ---- lengths ----

static uint64_t characters(struct dray_str text) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < text.len; i++) count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
  return count;
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

static int32_t judge_length(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t row,
                            struct verdict *verdict, struct dray_error *error) {
  const struct dr_column_takes *takes = &limit->takes;
  const char *who = limit->in_key ? "a key in this warehouse" : "the table's column";
  const uint64_t bytes = is_variable(column->type.id) ? dray_column_bytes(column, row).len : 0;
  uint64_t length = 0;
  if (limit->bytes_max > 0 && bytes > limit->bytes_max) {
    refuse(verdict, DRAY_E_DATA_TOO_LARGE, "%llu bytes, and this warehouse works with %llu", (unsigned long long)bytes,
           (unsigned long long)limit->bytes_max);
    return DRAY_OK;
  }
  if (takes->utf8_max > 0 && bytes > takes->utf8_max) {
    refuse(verdict, DRAY_E_DATA_TOO_LARGE, "%llu bytes, and %s takes %llu", (unsigned long long)bytes, who,
           (unsigned long long)takes->utf8_max);
    return DRAY_OK;
  }
  // No text has more characters than bytes.
  if (takes->length_max == 0 || (is_variable(column->type.id) && bytes <= takes->length_max)) return DRAY_OK;
  DRAY_TRY(length_of(column, row, &length, error));
  if (length <= takes->length_max) return DRAY_OK;
  refuse(verdict, DRAY_E_DATA_TOO_LARGE, "%llu %s, and %s takes %llu", (unsigned long long)length,
         column->type.id == DRAY_TYPE_BYTES ? "bytes" : "characters", who, (unsigned long long)takes->length_max);
  return DRAY_OK;
}

uint64_t dr_value_key_bytes(const struct dray_column_view *column, uint64_t row) {
  return is_variable(column->type.id) ? dray_column_bytes(column, row).len + DRAY_KEY_VALUE_BYTES
                                      : DRAY_KEY_FIXED_BYTES;
}

// ---- ranges ----

static int compare_exact(struct dray_decimal a, struct dray_decimal b) {
  if (a.high != b.high) return a.high < b.high ? -1 : 1;
  return a.low < b.low ? -1 : a.low > b.low;
}

// The value as the bound is given; what the column's type does not hold at all is not for here.
static int32_t exact_of(const struct dray_column_view *column, uint64_t row, struct dray_type stored,
                        struct dray_decimal *out, struct dray_error *error) {
  int32_t scale = 0;
  switch (column->type.id) {
  case DRAY_TYPE_INT64:
    *out = dray_decimal_of_int64(dray_column_int64(column, row));
    break;
  case DRAY_TYPE_DECIMAL:
    *out = dray_column_decimal(column, row);
    scale = column->type.scale;
    break;
  case DRAY_TYPE_DATE:
    *out = dray_decimal_of_int64(dray_column_date(column, row));
    break;
  default:
    *out = dray_decimal_of_int64(dray_column_int64(column, row)); // a timestamp
    break;
  }
  if (stored.id != DRAY_TYPE_DECIMAL) return DRAY_OK;
  return dray_decimal_rescale(*out, scale, stored.precision, stored.scale, out, error);
}

static void bound_text(const union dr_bound *bound, struct dray_type type, char out[DRAY_FORMAT_BYTES_MAX]) {
  switch (type.id) {
  case DRAY_TYPE_FLOAT64:
    (void)dray_format_float64(bound->float64, out);
    return;
  case DRAY_TYPE_DATE:
    (void)dray_format_date((int32_t)bound->exact.low, out);
    return;
  case DRAY_TYPE_TIMESTAMP:
    (void)dray_format_timestamp((int64_t)bound->exact.low, out);
    return;
  default:
    (void)dray_format_decimal(bound->exact, type.scale, out);
    return;
  }
}

static int32_t judge_range(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t row,
                           struct verdict *verdict, struct dray_error *error) {
  const struct dr_column_takes *takes = &limit->takes;
  const int is_time = column->type.id == DRAY_TYPE_DATE || column->type.id == DRAY_TYPE_TIMESTAMP;
  char text[DRAY_FORMAT_BYTES_MAX];
  int below = 0, above = 0;
  if (limit->stored.id == DRAY_TYPE_FLOAT64) {
    const double value = dray_column_float64(column, row);
    below = takes->has_min && value < takes->min.float64;
    above = takes->has_max && value > takes->max.float64;
  } else {
    struct dray_decimal value;
    DRAY_TRY(exact_of(column, row, limit->stored, &value, error));
    below = takes->has_min && compare_exact(value, takes->min.exact) < 0;
    above = takes->has_max && compare_exact(value, takes->max.exact) > 0;
  }
  if (!below && !above) return DRAY_OK;
  bound_text(below ? &takes->min : &takes->max, limit->stored, text);
  refuse(verdict, is_time ? DRAY_E_DATA_DATE : DRAY_E_DATA_OVERFLOW, "%s than %s, the %s that the table's column takes",
         is_time ? (below ? "earlier" : "later") : (below ? "less" : "more"), text,
         is_time ? (below ? "earliest" : "latest") : (below ? "least" : "most"));
  return DRAY_OK;
}

static void judge_step(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t row,
                       struct verdict *verdict) {
  int digits = 6;
  if (dray_column_int64(column, row) % limit->takes.step_us == 0) return;
  for (int64_t step = limit->takes.step_us; step > 1; step /= 10) digits--;
  refuse(verdict, DRAY_E_DATA_PRECISION, "a fraction of a second of which the table's column keeps %d digits", digits);
}

// ---- characters ----

// Those of windows-1252 beyond the Latin-1 block, in their order; its bytes without a character stand for themselves.
static int in_windows_1252(uint32_t code) {
  static const uint16_t others[] = {0x152,  0x153,  0x160,  0x161,  0x178,  0x17D,  0x17E,  0x192,  0x2C6,
                                    0x2DC,  0x2013, 0x2014, 0x2018, 0x2019, 0x201A, 0x201C, 0x201D, 0x201E,
                                    0x2020, 0x2021, 0x2022, 0x2026, 0x2030, 0x2039, 0x203A, 0x20AC, 0x2122};
  if (code < 0x80 || (code >= 0xA0 && code <= 0xFF)) return 1;
  if (code == 0x81 || code == 0x8D || code == 0x8F || code == 0x90 || code == 0x9D) return 1;
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    if (others[i] == code) return 1;
  }
  return 0;
}

// The text is valid UTF-8: its first byte says how long a character is.
static uint32_t next_character(const unsigned char **at) {
  const unsigned char first = *(*at)++;
  int more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  uint32_t code = more == 0 ? first : first & (0x3Fu >> more);
  for (; more > 0; more--) code = code << 6 | (*(*at)++ & 0x3Fu);
  return code;
}

static void judge_characters(const struct dr_value_limit *limit, struct dray_str text, struct verdict *verdict) {
  const unsigned char *at = (const unsigned char *)text.data, *end = at + text.len;
  const int known = limit->takes.characters;
  const unsigned char safe = known == DR_CHARACTERS_BMP ? 0xF0 : 0x80; // bytes below are of characters that there are
  while (at < end) {
    while (at < end && *at < safe) at++;
    if (at == end) return;
    const uint32_t code = next_character(&at);
    if (known == DR_CHARACTERS_WINDOWS_1252 && in_windows_1252(code)) continue;
    refuse(verdict, DRAY_E_DATA_REJECTED, "the character U+%04X, which the character set of the table's column lacks",
           (unsigned)code);
    return;
  }
}

// ---- JSON: documents are compact and valid ----

// Behind the quote that opens a text: to behind the one that closes it.
static const char *pass_text(const char *at, const char *end, int *out_nul) {
  static const char nul[] = "u0000";
  const size_t nul_len = sizeof nul - 1;
  for (; at < end && *at != '"'; at++) {
    if (*at != '\\') continue;
    at++;
    *out_nul |= (size_t)(end - at) > nul_len && memcmp(at, nul, nul_len) == 0;
  }
  return at + 1;
}

// From the first character of a number to behind its last. Whether numeric holds it: the places of its first digit that
// is no zero, and of its last.
static const char *pass_number(const char *at, const char *end, int *out_holds) {
  int64_t whole = 0, fraction = 0, leading = 0, exponent = 0;
  int point = 0, significant = 0, negative = 0;
  for (; at < end && strchr("-.0123456789", *at) != NULL && *at != '\0'; at++) {
    if (*at == '-') continue;
    if (*at == '.') {
      point = 1;
      continue;
    }
    significant |= *at != '0';
    if (!significant) leading++; // of which at most one is before the point
    whole += !point;
    fraction += point;
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    for (at++; at < end && strchr("+-0123456789", *at) != NULL && *at != '\0'; at++) {
      negative |= *at == '-';
      if (*at >= '0' && *at <= '9' && exponent < EXPONENT_MAX) exponent = exponent * 10 + (*at - '0');
    }
  }
  if (negative) exponent = -exponent;
  const int fits = !significant || whole - leading + exponent <= NUMERIC_WHOLE_DIGITS;
  *out_holds = fits && fraction - exponent <= NUMERIC_FRACTION_DIGITS && llabs(exponent) < EXPONENT_MAX;
  return at;
}

static void judge_json(const struct dr_value_limit *limit, struct dray_str json, struct verdict *verdict) {
  const char *at = json.data, *end = json.data + json.len;
  int32_t depth = 0, deepest = 0;
  int nul = 0, holds = 1;
  while (at < end && holds) {
    const char c = *at;
    if (c == '"') {
      at = pass_text(at + 1, end, &nul);
    } else if (limit->takes.json_binary && (c == '-' || (c >= '0' && c <= '9'))) {
      at = pass_number(at, end, &holds);
    } else {
      depth += (c == '[' || c == '{') - (c == ']' || c == '}');
      if (depth > deepest) deepest = depth;
      at++;
    }
  }
  if (limit->takes.json_binary && nul) {
    refuse(verdict, DRAY_E_DATA_REJECTED, "a text in the JSON holds \\u0000, which jsonb does not take");
  } else if (!holds) {
    refuse(verdict, DRAY_E_DATA_REJECTED, "a number in the JSON has more digits than jsonb takes");
  } else if (limit->json_depth_max > 0 && deepest > limit->json_depth_max) {
    refuse(verdict, DRAY_E_DATA_TOO_LARGE, "JSON that nests %d deep, and this warehouse takes %d", deepest,
           limit->json_depth_max);
  }
}

// ---- a value ----

// All texts of a batch together are rarely longer than one may be.
static int may_be_longer(const struct dray_column_view *column, uint64_t rows, uint64_t max) {
  if (max == 0) return 0;
  if (!is_variable(column->type.id)) return max < DRAY_FORMAT_BYTES_MAX;
  return (uint64_t)(column->offsets[(uint64_t)column->offset + rows] - column->offsets[column->offset]) > max;
}

int dr_limit_may_misfit(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t rows) {
  const struct dr_column_takes *takes = &limit->takes;
  const int text = column->type.id == DRAY_TYPE_STRING || column->type.id == DRAY_TYPE_JSON;
  return takes->has_min || takes->has_max || limit->finite || limit->key_bytes_max > 0 ||
         may_be_longer(column, rows, takes->length_max) || may_be_longer(column, rows, takes->utf8_max) ||
         may_be_longer(column, rows, limit->bytes_max) || (takes->characters != DR_CHARACTERS_ANY && text) ||
         (takes->step_us > 0 && column->type.id == DRAY_TYPE_TIMESTAMP) ||
         ((takes->json_binary || limit->json_depth_max > 0) && column->type.id == DRAY_TYPE_JSON) ||
         (limit->required && column->validity != NULL);
}

static void judge_float(const struct dray_column_view *column, uint64_t row, struct verdict *verdict) {
  char text[DRAY_FORMAT_BYTES_MAX];
  if (isfinite(dray_column_float64(column, row))) return;
  (void)dray_format_float64(dray_column_float64(column, row), text);
  refuse(verdict, DRAY_E_DATA_TYPE, "the warehouse has no %s", text);
}

int32_t dr_value_misfits(const struct dr_value_limit *limit, const struct dray_column_view *column, uint64_t row,
                         int32_t *out_code, char *out_text, size_t out_text_bytes, struct dray_error *error) {
  const struct dr_column_takes *takes = &limit->takes;
  const int32_t type = column->type.id;
  const int is_json = type == DRAY_TYPE_JSON && limit->stored.id == DRAY_TYPE_JSON;
  struct verdict verdict = {DRAY_OK, out_text, out_text_bytes};
  if (limit->finite && type == DRAY_TYPE_FLOAT64) judge_float(column, row, &verdict);
  if (takes->length_max > 0 || takes->utf8_max > 0 || limit->bytes_max > 0)
    DRAY_TRY(judge_length(limit, column, row, &verdict, error));
  if (verdict.code == DRAY_OK && (takes->has_min || takes->has_max)) {
    DRAY_TRY(judge_range(limit, column, row, &verdict, error));
  }
  if (verdict.code == DRAY_OK && takes->step_us > 0 && type == DRAY_TYPE_TIMESTAMP) {
    judge_step(limit, column, row, &verdict);
  }
  if (verdict.code == DRAY_OK && takes->characters != DR_CHARACTERS_ANY &&
      (type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON)) {
    judge_characters(limit, dray_column_bytes(column, row), &verdict);
  }
  if (verdict.code == DRAY_OK && is_json && (takes->json_binary || limit->json_depth_max > 0)) {
    judge_json(limit, dray_column_bytes(column, row), &verdict);
  }
  *out_code = verdict.code;
  return DRAY_OK;
}
