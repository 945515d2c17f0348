// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_BYTES (48u << 10)

static char room[ROOM_BYTES];         // bytes of the cell that was made last
static char text[2 * ROOM_BYTES + 8]; // of cell_text

// ---- types ----

struct dray_type value_random_type(struct dice *dice) {
  struct dray_type type = {(int32_t)dice_below(dice, 9) + 1, 0, 0};
  if (type.id == DRAY_TYPE_DECIMAL) {
    static const int32_t precisions[] = {5, 12, 18, 38};
    type.precision = precisions[dice_below(dice, 4)];
    type.scale = (int32_t)dice_below(dice, 5);
  }
  return type;
}

static int is_text(int32_t id) {
  return id == DRAY_TYPE_STRING || id == DRAY_TYPE_BYTES || id == DRAY_TYPE_JSON;
}

// ---- values ----

static void set_bytes(struct cell *cell, const char *bytes, size_t len) {
  if (bytes != room) memcpy(room, bytes, len);
  cell->bytes = room;
  cell->len = len;
}

static double random_real(struct dice *dice) {
  static const double odd[] = {0.0, -0.0, 1.5, -1e300, 0.1, 5e-324};
  if (dice_one_in(dice, 40)) return dice_one_in(dice, 2) ? __builtin_nan("") : -__builtin_nan("7");
  if (dice_one_in(dice, 40)) return dice_one_in(dice, 2) ? __builtin_inf() : -__builtin_inf();
  return dice_one_in(dice, 3) ? odd[dice_below(dice, 6)] : (double)dice_below(dice, 9) / 4 - 1;
}

static __int128 largest(int32_t precision) {
  __int128 value = 1;
  for (int32_t i = 0; i < precision; i++) value *= 10;
  return value - 1;
}

static __int128 random_decimal(struct dray_type type, struct dice *dice) {
  const __int128 most = largest(type.precision);
  __int128 value = (__int128)dice_below(dice, 9) - 3;
  if (dice_one_in(dice, 3)) value *= 100;
  if (dice_one_in(dice, 6)) value = most - dice_below(dice, 3);
  if (dice_one_in(dice, 6)) value = -(most - dice_below(dice, 3));
  if (dice_one_in(dice, 6)) value = (__int128)(dice_roll(dice) >> 8) * (dice_one_in(dice, 2) ? 1 : -1) % (most + 1);
  return value;
}

static void random_text(struct cell *cell, struct dice *dice) {
  static const char *const strings[] = {"",     "a",        "b",         "Zo\xc3\xab",   "-",
                                        "null", "12345678", "123456789", "12345678\x7f", "\xf0\x9f\x98\x80"};
  static const char *const jsons[] = {
      "1", "1.0", "null", "\"a\"", "{}", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "[]", "[1,\"x\"]", "true"};
  const uint32_t n = dice_below(dice, 10);
  const int json = cell->type.id == DRAY_TYPE_JSON;
  size_t len = 0;
  if (json) {
    set_bytes(cell, jsons[n], strlen(jsons[n]));
    return;
  }
  if (dice_one_in(dice, 12)) len = 8 + dice_below(dice, 200);
  if (dice_one_in(dice, 2000)) len = 14000 + dice_below(dice, 20000);
  if (len > 0) {
    memset(room, 'a' + (int)n, len);
    room[len - 1 - dice_below(dice, 3)] = (char)('A' + dice_below(dice, 4));
    set_bytes(cell, room, len);
  } else if (cell->type.id == DRAY_TYPE_BYTES) {
    len = dice_below(dice, 4);
    for (size_t i = 0; i < len; i++) room[i] = dice_one_in(dice, 3) ? 0 : (char)(uint8_t)dice_below(dice, 256);
    set_bytes(cell, room, len);
  } else {
    set_bytes(cell, strings[n], strlen(strings[n]));
  }
}

void cell_random(struct cell *cell, struct dray_type type, struct dice *dice) {
  *cell = (struct cell){.state = CELL_VALUE, .type = type};
  if (dice_one_in(dice, 6)) {
    cell->state = CELL_NULL;
    return;
  }
  const int edge = dice_one_in(dice, 20), low = dice_one_in(dice, 2);
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    cell->number = low;
    break;
  case DRAY_TYPE_INT64:
    cell->number = (int64_t)dice_below(dice, 9) - 3;
    if (edge) cell->number = low ? INT64_MIN : INT64_MAX;
    break;
  case DRAY_TYPE_DATE:
    cell->number = (int64_t)dice_below(dice, 9) - 3;
    if (edge) cell->number = low ? DRAY_DATE_MIN : DRAY_DATE_MAX;
    break;
  case DRAY_TYPE_TIMESTAMP:
    cell->number = (int64_t)dice_below(dice, 9) * 1000003 - 5;
    if (edge) cell->number = low ? DRAY_TIMESTAMP_MIN : DRAY_TIMESTAMP_MAX;
    break;
  case DRAY_TYPE_FLOAT64:
    cell->real = random_real(dice);
    break;
  case DRAY_TYPE_DECIMAL:
    cell->decimal = random_decimal(type, dice);
    break;
  default:
    random_text(cell, dice);
  }
}

// ---- keys ----

static void key_text(struct cell *cell, uint64_t number) {
  static const char *const forms[] = {"k%" PRIu64, "%" PRIu64, "a-prefix-that-many-keys-share-%" PRIu64,
                                      "Zo\xc3\xab%" PRIu64};
  static const char *const jsons[] = {"%" PRIu64, "\"%" PRIu64 "\"", "{\"k\":%" PRIu64 "}", "[%" PRIu64 ",null]"};
  const int json = cell->type.id == DRAY_TYPE_JSON;
  if (cell->type.id == DRAY_TYPE_BYTES) {
    size_t len = 0; // shortest first: "", then all of one byte, then of two
    for (uint64_t left = number; left > 0; left = (left - 1) >> 8) room[len++] = (char)(uint8_t)((left - 1) & 255);
    set_bytes(cell, room, len);
    return;
  }
  if (!json && number == 0) {
    set_bytes(cell, "", 0);
    return;
  }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int len = snprintf(room, sizeof room, (json ? jsons : forms)[number & 3], number);
#pragma GCC diagnostic pop
  set_bytes(cell, room, (size_t)len);
}

static double key_real(uint64_t number, struct dice *spelling) {
  if (number == 0) return dice_one_in(spelling, 2) ? 0.0 : -0.0;
  if (number == 1) return dice_one_in(spelling, 2) ? __builtin_nan("") : -__builtin_nan("9");
  if (number == 2) return __builtin_inf();
  return (double)number / 4;
}

void cell_key(struct cell *cell, struct dray_type type, uint64_t number, struct dice *spelling) {
  static const int64_t odd[] = {INT64_MIN, INT64_MAX, 0, -1};
  *cell = (struct cell){.state = CELL_VALUE, .type = type};
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    cell->number = (int64_t)(number & 1);
    break;
  case DRAY_TYPE_INT64:
    cell->number = number < 4 ? odd[number] : (int64_t)(number * ((number & 4) != 0 ? UINT64_C(0x100000001) : 1));
    break;
  case DRAY_TYPE_DATE:
    cell->number = number == 0 ? DRAY_DATE_MIN : number == 1 ? DRAY_DATE_MAX : (int64_t)number - 1000;
    break;
  case DRAY_TYPE_TIMESTAMP:
    cell->number = number == 0 ? DRAY_TIMESTAMP_MIN : number == 1 ? DRAY_TIMESTAMP_MAX : (int64_t)number * 1000003 - 5;
    break;
  case DRAY_TYPE_FLOAT64:
    cell->real = key_real(number, spelling);
    break;
  case DRAY_TYPE_DECIMAL:
    cell->decimal = (__int128)(number / 2 + 1) * ((number & 1) != 0 ? -1 : 1) % (largest(type.precision) + 1);
    break;
  default:
    key_text(cell, number);
  }
}

// ---- to and from batches ----

int32_t cell_append(struct dray_builder *builder, size_t column, const struct cell *cell, struct dray_error *error) {
  if (cell->state != CELL_VALUE) return dray_builder_null(builder, column, error);
  switch (cell->type.id) {
  case DRAY_TYPE_BOOL:
    return dray_builder_bool(builder, column, (int32_t)cell->number, error);
  case DRAY_TYPE_INT64:
    return dray_builder_int64(builder, column, cell->number, error);
  case DRAY_TYPE_DATE:
    return dray_builder_date(builder, column, (int32_t)cell->number, error);
  case DRAY_TYPE_TIMESTAMP:
    return dray_builder_timestamp(builder, column, cell->number, error);
  case DRAY_TYPE_FLOAT64:
    return dray_builder_float64(builder, column, cell->real, error);
  case DRAY_TYPE_DECIMAL: {
    const struct dray_decimal value = {(uint64_t)cell->decimal, (int64_t)(cell->decimal >> 64)};
    return dray_builder_decimal(builder, column, value, error);
  }
  default:
    return dray_builder_bytes(builder, column, dray_str_make(cell->bytes, cell->len), error);
  }
}

void cell_read(struct cell *cell, const struct dr_batch *batch, size_t column, uint64_t row) {
  const struct dray_column_view *view = &batch->view.columns[column];
  *cell = (struct cell){.state = CELL_VALUE, .type = view->type};
  if (dray_column_is_null(view, row)) cell->state = CELL_NULL;
  if (dr_batch_is_absent(batch, column, row)) cell->state = CELL_ABSENT;
  if (cell->state != CELL_VALUE) return;
  const uint64_t at = row + (uint64_t)view->offset;
  switch (view->type.id) {
  case DRAY_TYPE_BOOL:
    cell->number = (((const uint8_t *)view->values)[at >> 3] >> (at & 7)) & 1;
    break;
  case DRAY_TYPE_DATE:
    cell->number = ((const int32_t *)view->values)[at];
    break;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    cell->number = ((const int64_t *)view->values)[at];
    break;
  case DRAY_TYPE_FLOAT64:
    cell->real = ((const double *)view->values)[at];
    break;
  case DRAY_TYPE_DECIMAL:
    memcpy(&cell->decimal, (const char *)view->values + 16 * at, 16);
    break;
  default:
    cell->bytes = view->data + view->offsets[at];
    cell->len = (size_t)(view->offsets[at + 1] - view->offsets[at]);
  }
}

// ---- as text ----

static void put_decimal(__int128 value, int32_t scale) {
  char digits[48];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  const int negative = value < 0;
  unsigned __int128 left = negative ? -(unsigned __int128)value : (unsigned __int128)value;
  while (scale > 0 && left % 10 == 0) {
    left /= 10;
    scale--;
  }
  do {
    digits[--at] = (char)('0' + (int)(left % 10));
    left /= 10;
  } while (left > 0);
  (void)snprintf(text, sizeof text, "d%s%se%d", negative ? "-" : "", digits + at, (int)scale);
}

static void put_bytes(const struct cell *cell) {
  if (cell->len > ROOM_BYTES) abort();
  if (cell->type.id != DRAY_TYPE_BYTES) {
    text[0] = cell->type.id == DRAY_TYPE_STRING ? 's' : 'j';
    if (cell->len > 0) memcpy(text + 1, cell->bytes, cell->len);
    text[cell->len + 1] = '\0';
    return;
  }
  text[0] = 'x';
  for (size_t i = 0; i < cell->len; i++) {
    text[2 * i + 1] = "0123456789abcdef"[(uint8_t)cell->bytes[i] >> 4];
    text[2 * i + 2] = "0123456789abcdef"[(uint8_t)cell->bytes[i] & 15];
  }
  text[2 * cell->len + 1] = '\0';
}

static void put_real(double value) {
  uint64_t bits;
  if (value == 0) value = 0; // -0 is 0
  memcpy(&bits, &value, sizeof bits);
  if (value != value) {
    (void)snprintf(text, sizeof text, "fnan");
  } else {
    (void)snprintf(text, sizeof text, "f%016" PRIx64, bits);
  }
}

const char *cell_text(const struct cell *cell) {
  if (cell->state == CELL_ABSENT) return NULL;
  if (cell->state == CELL_NULL) return "-";
  switch (cell->type.id) {
  case DRAY_TYPE_BOOL:
    return cell->number != 0 ? "bt" : "bf";
  case DRAY_TYPE_INT64:
    (void)snprintf(text, sizeof text, "i%" PRId64, cell->number);
    break;
  case DRAY_TYPE_DATE:
    (void)snprintf(text, sizeof text, "D%" PRId64, cell->number);
    break;
  case DRAY_TYPE_TIMESTAMP:
    (void)snprintf(text, sizeof text, "T%" PRId64, cell->number);
    break;
  case DRAY_TYPE_FLOAT64:
    put_real(cell->real);
    break;
  case DRAY_TYPE_DECIMAL:
    put_decimal(cell->decimal, cell->type.scale);
    break;
  default:
    put_bytes(cell);
  }
  return text;
}

void cell_bind_text(sqlite3_stmt *statement, int at, const struct cell *cell) {
  const char *shown = cell_text(cell);
  if (sqlite3_bind_text(statement, at, shown, -1, SQLITE_TRANSIENT) != SQLITE_OK) abort();
}

void cell_bind_order(sqlite3_stmt *statement, int at, const struct cell *cell) {
  uint8_t bytes[16];
  int rc;
  if (cell->state != CELL_VALUE) {
    rc = sqlite3_bind_null(statement, at);
  } else if (cell->type.id == DRAY_TYPE_FLOAT64) {
    rc = cell->real != cell->real ? sqlite3_bind_text(statement, at, "NaN", -1, SQLITE_STATIC)
                                  : sqlite3_bind_double(statement, at, cell->real);
  } else if (cell->type.id == DRAY_TYPE_DECIMAL) { // big-endian, sign flipped
    const unsigned __int128 bits = (unsigned __int128)cell->decimal ^ (unsigned __int128)1 << 127;
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)(bits >> (120 - 8 * i));
    rc = sqlite3_bind_blob(statement, at, bytes, 16, SQLITE_TRANSIENT);
  } else if (is_text(cell->type.id)) {
    rc = sqlite3_bind_blob(statement, at, cell->len > 0 ? cell->bytes : "", (int)cell->len, SQLITE_TRANSIENT);
  } else {
    rc = sqlite3_bind_int64(statement, at, cell->number);
  }
  if (rc != SQLITE_OK) abort();
}

static int decimal_fits(const char *shown, struct dray_type type) {
  const char *digits = shown + 1 + (shown[1] == '-');
  const size_t count = strspn(digits, "0123456789");
  const int32_t scale = (int32_t)strtol(digits + count + 1, NULL, 10);
  if (scale > type.scale) return 0;
  return (count == 1 && *digits == '0') || (int32_t)count + type.scale - scale <= type.precision;
}

int value_fits(const char *shown, struct dray_type type) {
  static const char signs[] = {[DRAY_TYPE_BOOL] = 'b',    [DRAY_TYPE_INT64] = 'i',     [DRAY_TYPE_FLOAT64] = 'f',
                               [DRAY_TYPE_DECIMAL] = 'd', [DRAY_TYPE_STRING] = 's',    [DRAY_TYPE_BYTES] = 'x',
                               [DRAY_TYPE_DATE] = 'D',    [DRAY_TYPE_TIMESTAMP] = 'T', [DRAY_TYPE_JSON] = 'j'};
  if (shown[0] == '-') return 1;
  if (shown[0] != signs[type.id]) return 0;
  return type.id != DRAY_TYPE_DECIMAL || decimal_fits(shown, type);
}
