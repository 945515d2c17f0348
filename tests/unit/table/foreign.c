// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "table/encode.h"

#define DAY_US INT64_C(86400000000)

static uint64_t pick(uint64_t *seed, uint64_t below) {
  return random_bits(seed) % below;
}

// ---- values ----

static __int128 power_of_ten(int32_t exponent) {
  __int128 power = 1;
  for (; exponent > 0; exponent--) power *= 10;
  return power;
}

static int64_t random_integer(unsigned magnitude, uint64_t *seed) { // 0: at most 7 bits; 7: all
  static const unsigned bits[] = {7, 8, 15, 16, 31, 32, 53, 64};
  const uint64_t number = random_bits(seed) >> (64 - bits[magnitude % 8]);
  const int64_t small = (int64_t)(number >> pick(seed, bits[magnitude % 8]));
  return magnitude % 8 == 7 ? small : (magnitude & 8) != 0 ? -small : small;
}

static double random_real(unsigned magnitude, uint64_t *seed) {
  const uint64_t bits = random_bits(seed);
  double real;
  switch (magnitude % 4) {
  case 0: // halves hold them
    return (double)((int)(bits % 512) - 256) / 8;
  case 1: // floats hold them
    return (double)((int)(bits % 4194304) - 2097152) / 32;
  case 2: { // what is the same only by a rule
    static const double odd[] = {0.0, -0.0, (double)NAN, -(double)NAN, (double)INFINITY, -(double)INFINITY, 1, -1};
    return odd[bits % 8];
  }
  default:
    memcpy(&real, &bits, sizeof(real));
    return real;
  }
}

static void random_text(struct logical *out, int is_bytes, unsigned magnitude, uint64_t *seed) {
  static const char *const pieces[] = {"a", "Zo\xc3\xab", "\xe2\x82\xac", "\xf0\x9f\x90\xb4", " ", "x1", "-"};
  static const size_t longest[] = {4, 12, 14, 33, 130};
  const size_t len = magnitude % 7 == 6 ? 5 : pick(seed, longest[magnitude % 5] + 1);
  while (is_bytes && out->len < len) out->text[out->len++] = (char)random_bits(seed);
  while (!is_bytes && out->len < len) {
    const char *piece = pieces[pick(seed, 7)];
    memcpy(out->text + out->len, piece, strlen(piece));
    out->len += strlen(piece);
  }
}

void logical_random(const struct logical_column *column, struct logical *out, uint64_t *seed) {
  const unsigned magnitude = column->magnitude;
  const int64_t range = DRAY_TIMESTAMP_MAX / 1000 - 1;
  memset(out, 0, sizeof(*out));
  out->state = DR_SLOT_VALUE;
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    out->integer = (int64_t)pick(seed, 2);
    return;
  case DRAY_TYPE_INT64:
    out->integer = random_integer(magnitude, seed);
    return;
  case DRAY_TYPE_FLOAT64:
    out->real = random_real(magnitude, seed);
    return;
  case DRAY_TYPE_DECIMAL:
    out->digits = ((__int128)(random_bits(seed) >> 1) << 64 | random_bits(seed)) % power_of_ten(column->type.precision);
    out->digits /= power_of_ten((int32_t)pick(seed, (uint64_t)column->type.precision));
    if (pick(seed, 3) == 0) out->digits -= out->digits % 100; // zeros at the end
    if (pick(seed, 2) == 0) out->digits = -out->digits;
    return;
  case DRAY_TYPE_DATE:
    out->integer = (int64_t)pick(seed, DRAY_DATE_MAX - DRAY_DATE_MIN + 1) + DRAY_DATE_MIN;
    if (magnitude & 1) out->integer %= 20000;
    return;
  case DRAY_TYPE_TIMESTAMP: // of ever finer parts; nanoseconds in 64 bits reach from 1677 to 2262
    out->integer = (int64_t)(random_bits(seed) >> 1) % (magnitude & 4 ? range * 1000 : INT64_MAX / 1000);
    if (magnitude % 4 < 3) out->integer -= out->integer % ((const int64_t[]){DAY_US, 1000000, 1000}[magnitude % 4]);
    if (pick(seed, 2) == 0) out->integer = -(out->integer / 5);
    if (magnitude % 4 < 3) out->integer -= out->integer % ((const int64_t[]){DAY_US, 1000000, 1000}[magnitude % 4]);
    return;
  case DRAY_TYPE_JSON:
    out->integer = (int64_t)(magnitude % 3 == 2 ? 3 : pick(seed, 9));
    for (int64_t i = 0; i < out->integer; i++) out->items[i] = (int8_t)random_bits(seed);
    return;
  default:
    random_text(out, column->type.id == DRAY_TYPE_BYTES, magnitude, seed);
  }
}

void logical_column_random(struct logical_column *column, size_t rows, uint64_t *seed) {
  const uint64_t nulls = pick(seed, 4), absents = pick(seed, 3), all = pick(seed, 12);
  column->type = (struct dray_type){(int32_t)(DRAY_TYPE_BOOL + pick(seed, DRAY_TYPE_JSON)), 0, 0};
  column->magnitude = (unsigned)pick(seed, 64);
  if (column->type.id == DRAY_TYPE_DECIMAL) {
    column->type.precision = (int32_t)pick(seed, 30) + 1;
    column->type.scale = (int32_t)pick(seed, (uint64_t)(column->type.precision < 10 ? column->type.precision : 10) + 1);
  }
  for (size_t i = 0; i < rows; i++) {
    struct logical *value = &column->values[i];
    if (i > 0 && pick(seed, 6) == 0) { // the same again, for dictionaries
      *value = column->values[pick(seed, i)];
      continue;
    }
    logical_random(column, value, seed);
    const uint64_t dice = pick(seed, 12);
    if (all == 0 || dice < nulls) value->state = DR_SLOT_NULL;
    if (all == 1 || (dice >= 8 && dice < 8 + absents)) value->state = DR_SLOT_ABSENT;
  }
}

int logical_equal(const struct dray_type *type, const struct logical *a, const struct logical *b) {
  if (a->state != b->state) return 0;
  if (a->state != DR_SLOT_VALUE) return 1;
  switch (type->id) {
  case DRAY_TYPE_FLOAT64:
    return a->real == b->real || (isnan(a->real) && isnan(b->real));
  case DRAY_TYPE_DECIMAL:
    return a->digits == b->digits;
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_BYTES:
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
  case DRAY_TYPE_JSON:
    return a->integer == b->integer && memcmp(a->items, b->items, (size_t)a->integer) == 0;
  default:
    return a->integer == b->integer;
  }
}

// ---- layouts ----

enum {
  LAYOUT_NULL,
  LAYOUT_BOOL,
  LAYOUT_FIXED, // anything of fixed width; see write_fixed
  LAYOUT_TEXT,
  LAYOUT_VIEW,
  LAYOUT_LIST,
  LAYOUT_FIXED_LIST,
};
enum { SPEAK_INT, SPEAK_FLOAT, SPEAK_DECIMAL, SPEAK_TIME, SPEAK_BYTES }; // in `binary`, of LAYOUT_FIXED

static void lay_ints(struct layout *out, uint64_t *seed) {
  static const char formats[] = "cCsSiIlL";
  const unsigned which = (unsigned)pick(seed, 8);
  *out = (struct layout){.kind = LAYOUT_FIXED, .width = 1 << which / 2, .is_signed = which % 2 == 0};
  (void)snprintf(out->format, sizeof(out->format), "%c", formats[which]);
}

static void lay_floats(struct layout *out, uint64_t *seed) {
  const unsigned which = (unsigned)pick(seed, 3);
  *out = (struct layout){.kind = LAYOUT_FIXED, .binary = SPEAK_FLOAT, .width = 2 << which};
  (void)snprintf(out->format, sizeof(out->format), "%c", "efg"[which]);
}

static void lay_decimals(struct layout *out, struct dray_type type, uint64_t *seed) {
  static const int32_t digits[] = {9, 18, 38, 76};
  const unsigned which = (unsigned)pick(seed, 4);
  const int32_t scale = type.scale + (int32_t)pick(seed, 8), room = 38 - type.precision + type.scale;
  *out = (struct layout){.kind = LAYOUT_FIXED,
                         .binary = SPEAK_DECIMAL,
                         .width = 4 << which,
                         .precision = digits[which] < 38 ? digits[which] : 38,
                         .scale = scale < room ? scale : room};
  if (out->scale > out->precision) out->scale = out->precision;
  if (which == 2 && pick(seed, 2) == 0) {
    (void)snprintf(out->format, sizeof(out->format), "d:38,%d", out->scale);
  } else {
    (void)snprintf(out->format, sizeof(out->format), "d:%d,%d,%d", digits[which], out->scale, out->width * 8);
  }
}

static void lay_instants(struct layout *out, uint64_t *seed) {
  static const char *const zones[] = {"", "UTC", "Asia/Tokyo", "-03:00", "Europe/Berlin"};
  static const int64_t per_second[] = {1, 1000, 1000000, 1000000000};
  const unsigned which = (unsigned)pick(seed, 4);
  *out = (struct layout){
      .kind = LAYOUT_FIXED, .binary = SPEAK_TIME, .width = 8, .is_signed = 1, .per_second = per_second[which]};
  (void)snprintf(out->format, sizeof(out->format), "ts%c:%s", "smun"[which], zones[pick(seed, 5)]);
}

static void lay_dates(struct layout *out, uint64_t *seed) {
  const int is_days = pick(seed, 2) == 0;
  *out = (struct layout){.kind = LAYOUT_FIXED,
                         .binary = is_days ? SPEAK_INT : SPEAK_TIME,
                         .width = is_days ? 4 : 8,
                         .is_signed = 1,
                         .per_second = 1000};
  (void)snprintf(out->format, sizeof(out->format), "td%c", is_days ? 'D' : 'm');
}

static void lay_texts(struct layout *out, int binary, uint64_t *seed) {
  static const char *const formats[2][3] = {{"u", "U", "vu"}, {"z", "Z", "vz"}};
  const unsigned which = (unsigned)pick(seed, 3);
  *out = (struct layout){.kind = which == 2 ? LAYOUT_VIEW : LAYOUT_TEXT, .width = 4 << which, .binary = binary};
  (void)snprintf(out->format, sizeof(out->format), "%s", formats[binary][which]);
}

static void lay_lists(struct layout *out, uint64_t *seed) {
  const unsigned which = (unsigned)pick(seed, 3);
  *out = (struct layout){.kind = which == 2 ? LAYOUT_FIXED_LIST : LAYOUT_LIST, .width = which == 2 ? 3 : 4 << which};
  (void)snprintf(out->format, sizeof(out->format), "%s", ((const char *const[]){"+l", "+L", "+w:3"})[which]);
}

static void lay_fixed_bytes(struct layout *out) {
  *out = (struct layout){.kind = LAYOUT_FIXED, .binary = SPEAK_BYTES, .width = 5, .format = "w:5"};
}

// Any layout from which the border makes the type, whether the values fit it or not.
static void layout_random(struct layout *out, struct dray_type type, uint64_t *seed) {
  const uint64_t dice = pick(seed, 8);
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    if (dice > 3) {
      *out = (struct layout){.kind = LAYOUT_BOOL, .format = "b"};
      return;
    }
    if (dice > 1) {
      lay_ints(out, seed);
      return;
    }
    break;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_DECIMAL:
  case DRAY_TYPE_FLOAT64:
    if (dice == 0) break;
    if (dice < 3 && type.id != DRAY_TYPE_DECIMAL) {
      lay_floats(out, seed);
    } else if (dice < 5 || type.id == DRAY_TYPE_INT64) {
      lay_ints(out, seed);
    } else if (type.id == DRAY_TYPE_FLOAT64) {
      lay_floats(out, seed);
    } else {
      lay_decimals(out, type, seed);
    }
    if (dice == 6 && type.id == DRAY_TYPE_INT64) lay_decimals(out, (struct dray_type){DRAY_TYPE_DECIMAL, 19, 0}, seed);
    return;
  case DRAY_TYPE_DATE:
  case DRAY_TYPE_TIMESTAMP:
    if (dice == 0) break;
    (dice < 4) == (type.id == DRAY_TYPE_DATE) ? lay_instants(out, seed) : lay_dates(out, seed);
    return;
  case DRAY_TYPE_JSON:
    if (dice > 3) {
      lay_lists(out, seed);
      return;
    }
    break;
  case DRAY_TYPE_BYTES:
    if (dice == 1) {
      lay_fixed_bytes(out);
      return;
    }
    break;
  default:
    break;
  }
  lay_texts(out, type.id == DRAY_TYPE_BYTES && dice > 1, seed);
}

// ---- one value in a layout ----

// `value * factor` without loss, or 0.
static int scale_up(int64_t value, int64_t factor, int64_t *out) {
  return !__builtin_mul_overflow(value, factor, out);
}

// What an integer, decimal or time is in whole units of the layout. 0: it is none.
static int whole_units(const struct layout *layout, struct dray_type type, const struct logical *value, __int128 *out) {
  int64_t ticks = value->integer;
  *out = value->integer;
  if (type.id == DRAY_TYPE_FLOAT64) { // as an int64
    *out = fabs(value->real) < 0x1p53 ? (int64_t)value->real : 0;
    return fabs(value->real) < 0x1p53 && (double)(int64_t)value->real == value->real;
  }
  if (layout->binary == SPEAK_DECIMAL) {
    const __int128 digits = type.id == DRAY_TYPE_DECIMAL ? value->digits : value->integer;
    const int32_t up = layout->scale - (type.id == DRAY_TYPE_DECIMAL ? type.scale : 0);
    if (up < 0 || digits >= power_of_ten(38 - up) || digits <= -power_of_ten(38 - up)) return 0;
    *out = digits * power_of_ten(up);
    return *out < power_of_ten(layout->precision) && *out > -power_of_ten(layout->precision);
  }
  if (type.id == DRAY_TYPE_DECIMAL) { // as an integer
    *out = value->digits / power_of_ten(type.scale);
    return value->digits % power_of_ten(type.scale) == 0;
  }
  if (layout->binary != SPEAK_TIME) {
    if (type.id != DRAY_TYPE_TIMESTAMP) return 1;
    *out = value->integer / DAY_US; // as a date
    return value->integer % DAY_US == 0;
  }
  if (type.id == DRAY_TYPE_DATE) ticks *= DAY_US;
  const int64_t divisor = layout->per_second <= 1000000 ? 1000000 / layout->per_second : 1;
  if (ticks % divisor != 0 || !scale_up(ticks / divisor, layout->per_second > 1000000 ? 1000 : 1, &ticks)) return 0;
  *out = ticks;
  return layout->format[1] != 'd' || ticks % (DAY_US / 1000) == 0; // a date64 is whole days
}

static int write_float(const struct layout *layout, struct dray_type type, const struct logical *value, uint8_t *out) {
  const double real = type.id == DRAY_TYPE_FLOAT64 ? value->real : (double)value->integer;
  if (type.id == DRAY_TYPE_INT64 && (fabs(real) > 0x1p53 || (int64_t)real != value->integer)) return 0;
  if (layout->width == 8) {
    memcpy(out, &real, 8);
    return 1;
  }
  const float single = (float)real;
  if (!isnan(real) && (double)single != real) return 0;
  if (layout->width == 4) {
    memcpy(out, &single, 4);
    return 1;
  }
  uint32_t bits; // a half, where it is an ordinary number of few digits, zero, infinite or none
  memcpy(&bits, &single, 4);
  const int exponent = (int)(bits >> 23 & 255) - 127;
  uint16_t half = (uint16_t)(bits >> 16 & 0x8000);
  if (isnan(real)) {
    half |= 0x7E01;
  } else if (isinf(real)) {
    half |= 0x7C00;
  } else if (real != 0) {
    if (exponent < -14 || exponent > 15 || (bits & 0x1FFF) != 0) return 0;
    half |= (uint16_t)((unsigned)(exponent + 15) << 10 | (bits >> 13 & 0x3FF));
  }
  memcpy(out, &half, 2);
  return 1;
}

// Writes `width` bytes. 0: the layout cannot hold the value exactly.
static int write_fixed(const struct layout *layout, struct dray_type type, const struct logical *value, uint8_t *out) {
  __int128 units;
  if (layout->binary == SPEAK_FLOAT) return write_float(layout, type, value, out);
  if (layout->binary == SPEAK_BYTES) {
    memcpy(out, value->text, 5);
    return value->len == 5;
  }
  if (!whole_units(layout, type, value, &units)) return 0;
  if (type.id == DRAY_TYPE_FLOAT64 && value->real == 0 && signbit(value->real) != 0) units = 0; // the same zero
  const int is_signed = layout->is_signed || layout->binary == SPEAK_DECIMAL;
  if (layout->width <= 8) {
    const int bits = layout->width * 8 - is_signed;
    const __int128 end = (__int128)1 << bits;
    if (units >= end || units < (is_signed ? -end : 0)) return 0;
  }
  for (int32_t i = 0; i < layout->width; i++) out[i] = (uint8_t)(units >> (i < 16 ? 8 * i : 127));
  return 1;
}

static size_t json_text(const struct logical *value, int blanks, char *out) {
  size_t len = 0;
  out[len++] = '[';
  for (int64_t i = 0; i < value->integer; i++) {
    len += (size_t)snprintf(out + len, 32, "%s%s%d%s", i > 0 ? "," : "", blanks ? " \t" : "", value->items[i],
                            blanks ? "\n" : "");
  }
  out[len++] = ']';
  return len;
}

static size_t timestamp_text(int64_t us, int zoned, char *out) {
  if (!zoned || us > DRAY_TIMESTAMP_MAX - DAY_US) return dray_format_timestamp(us, out);
  const size_t len = dray_format_timestamp(us + 32400000000, out); // nine hours on
  return len - 1 + (size_t)snprintf(out + len - 1, 8, "+09:00");
}

static size_t base64_text(const struct logical *value, char *out) {
  struct dray_buffer text;
  dray_buffer_init(&text, 1000);
  assert_int_equal(dray_base64_encode(dray_str_make(value->text, value->len), &text, NULL), DRAY_OK);
  const size_t len = text.len;
  if (len > 0) memcpy(out, text.data, len);
  dray_buffer_free(&text);
  return len;
}

// The value as text from which the border makes it again; `out` holds 400 bytes.
static size_t write_text(const struct layout *layout, struct dray_type type, const struct logical *value, int whim,
                         char *out) {
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    return (size_t)snprintf(out, 8, "%s", value->integer ? "true" : "false");
  case DRAY_TYPE_INT64:
    return dray_format_int64(value->integer, out);
  case DRAY_TYPE_FLOAT64:
    return dray_format_float64(value->real, out);
  case DRAY_TYPE_DECIMAL:
    return dray_format_decimal((struct dray_decimal){(uint64_t)value->digits, (int64_t)(value->digits >> 64)},
                               type.scale, out);
  case DRAY_TYPE_DATE:
    return dray_format_date((int32_t)value->integer, out);
  case DRAY_TYPE_TIMESTAMP:
    return timestamp_text(value->integer, whim, out);
  case DRAY_TYPE_JSON:
    return json_text(value, whim, out);
  case DRAY_TYPE_BYTES:
    if (!layout->binary) return base64_text(value, out);
    break;
  default:
    break;
  }
  memcpy(out, value->text, value->len);
  return value->len;
}

static int layout_holds(const struct layout *layout, struct dray_type type, const struct logical *value) {
  uint8_t out[32];
  if (value->state != DR_SLOT_VALUE) return 1;
  switch (layout->kind) {
  case LAYOUT_FIXED:
    return write_fixed(layout, type, value, out);
  case LAYOUT_FIXED_LIST:
    return value->integer == layout->width;
  case LAYOUT_NULL:
    return 0;
  default:
    return 1;
  }
}

static int layout_holds_all(const struct layout *layout, const struct logical_column *column, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (!layout_holds(layout, column->type, &column->values[i])) return 0;
  }
  return 1;
}

void layout_choose(struct layout *out, const struct logical_column *column, size_t rows, uint64_t *seed) {
  static const char index_formats[] = "cCsSiIlL";
  *out = (struct layout){.kind = LAYOUT_NULL, .format = "n"};
  // A column of nulls alone may say no more than that, where a null of type string is one of the wanted type.
  if (pick(seed, 3) == 0 && column->type.id == DRAY_TYPE_STRING && layout_holds_all(out, column, rows)) return;
  do {
    layout_random(out, column->type, seed);
  } while (!layout_holds_all(out, column, rows));
  if (out->kind == LAYOUT_LIST || out->kind == LAYOUT_FIXED_LIST || pick(seed, 4) != 0) return;
  const unsigned which = (unsigned)pick(seed, 8);
  out->dictionary = 1;
  out->index_width = 1 << which / 2;
  out->index_signed = which % 2 == 0;
  memcpy(out->dictionary_format, out->format, sizeof(out->format));
  (void)snprintf(out->format, sizeof(out->format), "%c", index_formats[which]);
}

void layout_schema(const struct layout *layout, const struct logical_column *column, struct ArrowSchema *out) {
  const int is_list = layout->kind == LAYOUT_LIST || layout->kind == LAYOUT_FIXED_LIST;
  arrow_schema(out, layout->format, column->name, is_list);
  if (is_list) arrow_schema(out->children[0], "c", "item", 0);
  if (layout->dictionary) (void)arrow_schema_dictionary(out, layout->dictionary_format);
  if (column->type.id == DRAY_TYPE_JSON && !is_list && !layout->dictionary) arrow_extension(out, "arrow.json");
}

// ---- arrays ----

// The elements of an array: values, or NULL for a null.
struct elements {
  const struct logical *values[2 * LOGICAL_ROWS_MAX];
  size_t count;
};

static void put_validity(struct ArrowArray *array, const struct elements *elements, uint64_t *seed) {
  uint8_t bits[LOGICAL_ROWS_MAX / 4] = {0};
  int64_t nulls = 0;
  for (size_t i = 0; i < elements->count; i++) {
    if (elements->values[i] == NULL) {
      nulls++;
    } else {
      bits[i / 8] |= (uint8_t)(1u << (i % 8));
    }
  }
  if (nulls == 0 && pick(seed, 2) == 0) return; // no bitmap at all
  arrow_buffer(array, 0, bits, (elements->count + 7) / 8);
  array->null_count = -1; // count them yourself
}

static void put_bits(struct ArrowArray *array, const struct elements *elements, uint64_t *seed) {
  uint8_t bits[LOGICAL_ROWS_MAX / 4] = {0};
  for (size_t i = 0; i < elements->count; i++) {
    const unsigned bit = elements->values[i] != NULL ? elements->values[i]->integer != 0 : (unsigned)pick(seed, 2);
    bits[i / 8] |= (uint8_t)(bit << (i % 8));
  }
  arrow_buffer(array, 1, bits, (elements->count + 7) / 8);
}

static void put_fixed(const struct layout *layout, struct dray_type type, const struct elements *elements,
                      uint64_t *seed, struct ArrowArray *array) {
  const size_t width = (size_t)layout->width;
  uint8_t *values = malloc(elements->count * width + 1);
  assert_non_null(values);
  for (size_t i = 0; i < elements->count; i++) {
    if (elements->values[i] == NULL) { // rubbish
      for (size_t k = 0; k < width; k++) values[i * width + k] = (uint8_t)random_bits(seed);
    } else {
      assert_true(write_fixed(layout, type, elements->values[i], values + i * width));
    }
  }
  arrow_buffer(array, 1, values, elements->count * width);
  free(values);
}

// The text of an element; of a null, rubbish that is no text at all.
static size_t element_text(const struct layout *layout, struct dray_type type, const struct logical *value,
                           uint64_t *seed, char *out) {
  if (value != NULL) return write_text(layout, type, value, (int)pick(seed, 2), out);
  const size_t len = pick(seed, 3) * 7;
  memset(out, 0xFF, len);
  return len;
}

static void put_texts(const struct layout *layout, struct dray_type type, const struct elements *elements,
                      uint64_t *seed, struct ArrowArray *array) {
  char *data = malloc(400 * (elements->count + 1));
  int32_t small[2 * LOGICAL_ROWS_MAX + 1];
  int64_t large[2 * LOGICAL_ROWS_MAX + 1];
  size_t used = pick(seed, 2) * 3; // offsets need not begin at 0
  assert_non_null(data);
  memset(data, 0xFF, used);
  small[0] = (int32_t)used;
  large[0] = (int64_t)used;
  for (size_t i = 0; i < elements->count; i++) {
    used += element_text(layout, type, elements->values[i], seed, data + used);
    small[i + 1] = (int32_t)used;
    large[i + 1] = (int64_t)used;
  }
  const void *offsets = layout->width == 4 ? (const void *)small : (const void *)large;
  arrow_buffer(array, 1, offsets, (elements->count + 1) * (size_t)layout->width);
  arrow_buffer(array, 2, data, used);
  free(data);
}

static void put_views(const struct layout *layout, struct dray_type type, const struct elements *elements,
                      uint64_t *seed, struct ArrowArray *array) {
  char *data[2] = {malloc(400 * (elements->count + 1)), malloc(400 * (elements->count + 1))}, text[400];
  int64_t used[2] = {0, 0};
  int32_t *views = calloc(elements->count + 1, 16);
  assert_true(data[0] != NULL && data[1] != NULL && views != NULL);
  for (size_t i = 0; i < elements->count; i++) {
    const size_t len = element_text(layout, type, elements->values[i], seed, text);
    const size_t where = pick(seed, 2);
    int32_t *view = views + 4 * i;
    view[0] = elements->values[i] != NULL ? (int32_t)len : (int32_t)random_bits(seed);
    if (len <= 12) {
      memcpy(view + 1, text, len);
      continue;
    }
    memcpy(view + 1, text, 4);
    view[2] = (int32_t)where;
    view[3] = (int32_t)used[where];
    memcpy(data[where] + used[where], text, len);
    used[where] += (int64_t)len;
  }
  arrow_buffer(array, 1, views, 16 * elements->count);
  for (int i = 0; i < 2; i++) arrow_buffer(array, 2 + i, data[i], (size_t)used[i]);
  arrow_buffer(array, 4, used, sizeof(used));
  for (int i = 0; i < 2; i++) free(data[i]);
  free(views);
}

static void put_lists(const struct layout *layout, const struct elements *elements, uint64_t *seed,
                      struct ArrowArray *array) {
  int8_t items[8 * 2 * LOGICAL_ROWS_MAX + 8] = {0};
  int32_t small[2 * LOGICAL_ROWS_MAX + 1] = {0};
  int64_t large[2 * LOGICAL_ROWS_MAX + 1] = {0};
  size_t used = 0;
  for (size_t i = 0; i < elements->count; i++) {
    const struct logical *value = elements->values[i];
    const size_t count = layout->kind == LAYOUT_FIXED_LIST ? 3 : value != NULL ? (size_t)value->integer : pick(seed, 4);
    if (value != NULL) memcpy(items + used, value->items, count);
    used += count;
    small[i + 1] = (int32_t)used;
    large[i + 1] = (int64_t)used;
  }
  const void *offsets = layout->width == 4 ? (const void *)small : (const void *)large;
  if (layout->kind == LAYOUT_LIST) arrow_buffer(array, 1, offsets, (elements->count + 1) * (size_t)layout->width);
  arrow_values(array->children[0], (int64_t)used, items, 1);
}

static void put_plain(const struct layout *layout, struct dray_type type, const struct elements *elements,
                      uint64_t *seed, struct ArrowArray *out) {
  static const int64_t buffers[] = {[LAYOUT_NULL] = 0, [LAYOUT_BOOL] = 2, [LAYOUT_FIXED] = 2,     [LAYOUT_TEXT] = 3,
                                    [LAYOUT_VIEW] = 5, [LAYOUT_LIST] = 2, [LAYOUT_FIXED_LIST] = 1};
  const int is_list = layout->kind == LAYOUT_LIST || layout->kind == LAYOUT_FIXED_LIST;
  arrow_array(out, (int64_t)elements->count, buffers[layout->kind], is_list);
  if (layout->kind == LAYOUT_NULL) {
    out->null_count = (int64_t)elements->count;
    return;
  }
  put_validity(out, elements, seed);
  if (layout->kind == LAYOUT_BOOL) put_bits(out, elements, seed);
  if (layout->kind == LAYOUT_FIXED) put_fixed(layout, type, elements, seed, out);
  if (layout->kind == LAYOUT_TEXT) put_texts(layout, type, elements, seed, out);
  if (layout->kind == LAYOUT_VIEW) put_views(layout, type, elements, seed, out);
  if (is_list) put_lists(layout, elements, seed, out);
}

static const struct logical null_by_entry;

// Each value once, and nulls that are told by the index's validity or by an entry.
static void put_dictionary(const struct layout *layout, struct dray_type type, const struct elements *elements,
                           uint64_t *seed, struct ArrowArray *out) {
  struct elements entries = {.count = 0}, indexed = *elements;
  uint8_t indices[2 * LOGICAL_ROWS_MAX * 8] = {0};
  const size_t width = (size_t)layout->index_width, null_entry = entries.count++; // the first entry is null
  for (size_t i = 0; i < elements->count; i++) {
    size_t entry = null_entry;
    int is_rubbish = 0;
    if (elements->values[i] != NULL) {
      for (entry = 1; entry < entries.count && entries.values[entry] != elements->values[i]; entry++) continue;
      if (entry == entries.count) {
        assert_true(entries.count < 127);
        entries.values[entries.count++] = elements->values[i];
      }
    } else if (pick(seed, 2) == 0) {
      indexed.values[i] = &null_by_entry;
    } else {
      is_rubbish = 1;
    }
    indices[i * width] = is_rubbish ? 0x7E : (uint8_t)entry;
  }
  arrow_array(out, (int64_t)elements->count, 2, 0);
  put_validity(out, &indexed, seed);
  arrow_buffer(out, 1, indices, elements->count * width);
  put_plain(layout, type, &entries, seed, arrow_array_dictionary(out));
}

void layout_array(const struct layout *layout, const struct logical_column *column, size_t first, size_t count,
                  size_t offset, uint64_t *seed, struct ArrowArray *out) {
  struct elements elements = {.count = offset + count + pick(seed, 3)};
  assert_true(elements.count <= 2 * LOGICAL_ROWS_MAX && count > 0);
  for (size_t i = 0; i < elements.count; i++) { // around the rows, others
    const size_t row = i >= offset && i < offset + count ? first + i - offset : first + pick(seed, count);
    const struct logical *value = &column->values[row];
    elements.values[i] = value->state == DR_SLOT_VALUE ? value : NULL;
  }
  if (layout->dictionary) {
    put_dictionary(layout, column->type, &elements, seed, out);
  } else {
    put_plain(layout, column->type, &elements, seed, out);
  }
  out->length -= (int64_t)offset;
  out->offset = (int64_t)offset;
  if (layout->kind == LAYOUT_NULL) out->null_count = out->length;
}
