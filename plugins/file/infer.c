// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rules of inference. They prefer keeping a text a text: a leading zero, a plus sign, surrounding blanks, a number
// with more digits than a type holds are all signs of an identifier, and an identifier that became a number is lost.
#include "infer.h"

enum {
  OPEN_BOOL = 1u,
  OPEN_INT64 = 2u,
  OPEN_DECIMAL = 4u,
  OPEN_FLOAT64 = 8u,
  OPEN_DATE = 16u,
  OPEN_TIMESTAMP = 32u,
  OPEN_STRING = 64u,
  OPEN_JSON = 128u
};
#define OPEN_ALL 255u
#define OPEN_TEXTS (OPEN_BOOL | OPEN_INT64 | OPEN_DECIMAL | OPEN_FLOAT64 | OPEN_DATE | OPEN_TIMESTAMP | OPEN_STRING)

#define DECIMAL_DIGITS_MAX 38
#define SCALE_LEAST 4       // room for prices with more digits than the sample showed
#define FLOAT_DIGITS_MAX 15 // every decimal of 15 digits survives a double
#define NUMBER_BYTES_MAX 64 // longer texts are not looked at as numbers or times

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

struct number_shape {
  int32_t whole; // digits before the point
  int32_t scale; // digits after it
  int exponent;  // has one
};

static uint64_t skip_digits(struct dray_str text, uint64_t at) {
  while (at < text.len && is_digit(text.data[at])) at++;
  return at;
}

static int is_one_of(struct dray_str text, uint64_t at, char a, char b) {
  return at < text.len && (text.data[at] == a || text.data[at] == b);
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? Returns 0 for anything else.
static int read_number(struct dray_str text, struct number_shape *out) {
  struct number_shape shape = {0};
  const uint64_t whole = is_one_of(text, 0, '-', '-') ? 1 : 0;
  uint64_t at = skip_digits(text, whole);
  shape.whole = (int32_t)(at - whole);
  if (shape.whole == 0 || (shape.whole > 1 && text.data[whole] == '0')) return 0;
  if (is_one_of(text, at, '.', '.')) {
    const uint64_t fraction = at + 1;
    at = skip_digits(text, fraction);
    shape.scale = (int32_t)(at - fraction);
    if (shape.scale == 0) return 0;
  }
  if (is_one_of(text, at, 'e', 'E')) {
    const uint64_t digits = at + (is_one_of(text, at + 1, '-', '+') ? 2 : 1);
    at = skip_digits(text, digits);
    shape.exponent = 1;
    if (at <= digits) return 0;
  }
  *out = shape;
  return at == text.len;
}

static uint32_t number_types(struct file_guess *guess, struct dray_str text) {
  struct number_shape shape;
  if (!read_number(text, &shape)) return 0;
  int64_t integer = 0;
  const int whole = shape.scale == 0 && !shape.exponent;
  // Integers beyond int64 are identifiers: they stay texts.
  if (whole && dray_parse_int64(text, &integer, NULL) != DRAY_OK) return 0;
  uint32_t types = whole ? (uint32_t)OPEN_INT64 : 0;
  if (!shape.exponent) {
    if (shape.whole > guess->whole_max) guess->whole_max = shape.whole;
    if (shape.scale > guess->scale_max) guess->scale_max = shape.scale;
    if (guess->whole_max + guess->scale_max <= DECIMAL_DIGITS_MAX) types |= OPEN_DECIMAL;
  }
  double real = 0;
  if (shape.whole + shape.scale <= FLOAT_DIGITS_MAX && dray_parse_float64(text, &real, NULL) == DRAY_OK) {
    types |= OPEN_FLOAT64;
  }
  return types;
}

static uint32_t time_types(struct dray_str text) {
  int32_t days = 0;
  int64_t us = 0;
  uint32_t types = 0;
  if (text.len < 10 || !is_digit(text.data[0])) return 0;
  if (dray_parse_date(text, &days, NULL) == DRAY_OK) types |= OPEN_DATE;
  if (dray_parse_timestamp(text, &us, NULL) == DRAY_OK) types |= OPEN_TIMESTAMP;
  return types;
}

static int equal_ignoring_case(struct dray_str text, const char *lower) {
  if (text.len != strlen(lower)) return 0;
  for (uint64_t i = 0; i < text.len; i++) {
    if ((text.data[i] | 0x20) != lower[i]) return 0;
  }
  return 1;
}

static void narrow(struct file_guess *guess, uint32_t types) {
  guess->open = (guess->seen ? guess->open : OPEN_ALL) & types;
  guess->seen = 1;
}

void file_guess_text(struct file_guess *guess, struct dray_str text) {
  uint32_t types = OPEN_STRING;
  if (text.len <= NUMBER_BYTES_MAX && (!guess->seen || (guess->open & ~(uint32_t)OPEN_STRING) != 0)) {
    types |= number_types(guess, text) | time_types(text);
    if (equal_ignoring_case(text, "true") || equal_ignoring_case(text, "false")) types |= OPEN_BOOL;
  }
  narrow(guess, types & OPEN_TEXTS);
}

void file_guess_json(struct file_guess *guess, const struct dray_json *value) {
  switch (value->kind) {
  case DRAY_JSON_BOOL:
    narrow(guess, OPEN_BOOL | OPEN_STRING);
    break;
  case DRAY_JSON_NUMBER:
    narrow(guess, OPEN_STRING | (value->text.len <= NUMBER_BYTES_MAX ? number_types(guess, value->text) : 0));
    break;
  case DRAY_JSON_STRING:
    // "12" in quotes was meant as a text; times have no other spelling in JSON.
    narrow(guess, OPEN_STRING | (value->text.len <= NUMBER_BYTES_MAX ? time_types(value->text) : 0));
    break;
  case DRAY_JSON_ARRAY:
  case DRAY_JSON_OBJECT:
    narrow(guess, OPEN_JSON);
    break;
  default:
    break;
  }
}

// Two digits more than the sample showed, at least SCALE_LEAST, as far as 38 digits allow.
static struct dray_type decimal_type(const struct file_guess *guess) {
  int32_t scale = guess->scale_max + 2 > SCALE_LEAST ? guess->scale_max + 2 : SCALE_LEAST;
  const int32_t room = DECIMAL_DIGITS_MAX - guess->whole_max;
  if (scale > room) scale = room > guess->scale_max ? room : guess->scale_max;
  const struct dray_type type = {DRAY_TYPE_DECIMAL, DECIMAL_DIGITS_MAX, scale};
  return type;
}

struct dray_type file_guess_type(const struct file_guess *guess) {
  static const struct {
    uint32_t open;
    int32_t id;
  } order[] = {{OPEN_BOOL, DRAY_TYPE_BOOL},       {OPEN_INT64, DRAY_TYPE_INT64}, {OPEN_DECIMAL, DRAY_TYPE_DECIMAL},
               {OPEN_FLOAT64, DRAY_TYPE_FLOAT64}, {OPEN_DATE, DRAY_TYPE_DATE},   {OPEN_TIMESTAMP, DRAY_TYPE_TIMESTAMP},
               {OPEN_JSON, DRAY_TYPE_JSON}};
  const struct dray_type string = {DRAY_TYPE_STRING, 0, 0};
  if (!guess->seen) return string;
  for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
    if ((guess->open & order[i].open) == 0) continue;
    const struct dray_type type = {order[i].id, 0, 0};
    return order[i].id == DRAY_TYPE_DECIMAL ? decimal_type(guess) : type;
  }
  return string;
}
