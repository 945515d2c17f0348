// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The grammars, the canonical texts, and columns of them.
#include "compare/reading.h"

#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/json.h"

#define INTEGER_DIGITS_MAX 18
#define NUMBER_BYTES_MAX 64 // longer texts are not looked at as numbers or times; plain spellings are no longer either
#define EXPONENT_DIGITS_MAX 6
#define COLUMN_BYTES_MAX ((size_t)INT32_MAX) // Arrow's offsets are int32

enum {
  OPEN_INTEGER = 1u << DR_READING_INTEGER,
  OPEN_NUMBER = 1u << DR_READING_NUMBER,
  OPEN_BOOL = 1u << DR_READING_BOOL,
  OPEN_DATE = 1u << DR_READING_DATE,
  OPEN_TIMESTAMP = 1u << DR_READING_TIMESTAMP
};

// ---- numbers: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? ----

struct number {
  int negative;
  size_t whole_at, whole; // digits before the point
  size_t fraction_at, fraction;
  int has_exponent;
  int32_t exponent;
};

static inline int is_digit(char c) {
  return (unsigned)(c - '0') < 10u;
}

static size_t skip_digits(struct dray_str text, size_t at) {
  while (at < text.len && is_digit(text.data[at])) at++;
  return at;
}

static int take_exponent(struct dray_str text, size_t at, struct number *out) {
  int negative = 0;
  if (at < text.len && (text.data[at] == '-' || text.data[at] == '+')) negative = text.data[at++] == '-';
  const size_t end = skip_digits(text, at);
  while (at < end && text.data[at] == '0' && at + 1 < end) at++;
  if (end == at || end - at > EXPONENT_DIGITS_MAX || end != text.len) return 0;
  int32_t value = 0;
  for (; at < end; at++) value = value * 10 + (text.data[at] - '0');
  out->has_exponent = 1;
  out->exponent = negative ? -value : value;
  return 1;
}

static int parse_number(struct dray_str text, struct number *out) {
  struct number n = {0};
  if (text.len == 0 || text.len > NUMBER_BYTES_MAX) return 0;
  n.negative = text.data[0] == '-';
  n.whole_at = (size_t)n.negative;
  size_t at = skip_digits(text, n.whole_at);
  n.whole = at - n.whole_at;
  if (n.whole == 0 || (n.whole > 1 && text.data[n.whole_at] == '0')) return 0;
  if (at < text.len && text.data[at] == '.') {
    n.fraction_at = at + 1;
    at = skip_digits(text, n.fraction_at);
    n.fraction = at - n.fraction_at;
    if (n.fraction == 0) return 0;
  }
  if (at < text.len && (text.data[at] | 0x20) == 'e' && !take_exponent(text, at + 1, &n)) return 0;
  if (at < text.len && !n.has_exponent) return 0;
  *out = n;
  return 1;
}

static int number_is_canonical(struct dray_str text, const struct number *n) {
  if (n->has_exponent) return 0;
  if (n->fraction > 0) return text.data[text.len - 1] != '0';
  return !(n->negative && text.data[n->whole_at] == '0'); // -0
}

// The digits without zeros at both ends; the value is 0.DIGITS * 10^point. Returns their count; 0: the value is zero.
static size_t significant(struct dray_str text, const struct number *n, char *digits, int32_t *out_point) {
  size_t count = 0;
  memcpy(digits, text.data + n->whole_at, n->whole);
  if (n->fraction > 0) memcpy(digits + n->whole, text.data + n->fraction_at, n->fraction);
  count = n->whole + n->fraction;
  size_t zeros = 0;
  while (zeros < count && digits[zeros] == '0') zeros++;
  memmove(digits, digits + zeros, count - zeros);
  count -= zeros;
  while (count > 0 && digits[count - 1] == '0') count--;
  *out_point = (int32_t)n->whole - (int32_t)zeros + n->exponent;
  return count;
}

static void put(char *out, size_t *at, const char *from, size_t count) {
  memcpy(out + *at, from, count);
  *at += count;
}

static void put_zeros(char *out, size_t *at, size_t count) {
  memset(out + *at, '0', count);
  *at += count;
}

// Plain where that takes at most NUMBER_BYTES_MAX bytes, else d.ddde±x. `out` holds 2 * NUMBER_BYTES_MAX bytes.
static size_t write_number(struct dray_str text, const struct number *n, char *out) {
  char digits[NUMBER_BYTES_MAX];
  int32_t point = 0;
  size_t at = 0;
  const size_t count = significant(text, n, digits, &point);
  if (count == 0) {
    out[0] = '0';
    return 1;
  }
  if (n->negative) out[at++] = '-';
  const int32_t last = (int32_t)count;
  const int64_t plain = point <= 0 ? 2 - (int64_t)point + last : point >= last ? point : last + 1;
  if (plain + n->negative > NUMBER_BYTES_MAX) {
    out[at++] = digits[0];
    if (count > 1) out[at++] = '.';
    put(out, &at, digits + 1, count - 1);
    const int n_bytes = snprintf(out + at, NUMBER_BYTES_MAX / 2, "e%d", point - 1);
    return at + (n_bytes > 0 ? (size_t)n_bytes : 0);
  }
  if (point <= 0) {
    put(out, &at, "0.", 2);
    put_zeros(out, &at, (size_t)-point);
    put(out, &at, digits, count);
  } else if (point >= last) {
    put(out, &at, digits, count);
    put_zeros(out, &at, (size_t)(point - last));
  } else {
    put(out, &at, digits, (size_t)point);
    out[at++] = '.';
    put(out, &at, digits + point, count - (size_t)point);
  }
  return at;
}

int dr_reading_is_number(struct dray_str text) {
  struct number n;
  return parse_number(text, &n);
}

// ---- words and times ----

static int equal_ignoring_case(struct dray_str text, const char *lower, size_t len) {
  if (text.len != len) return 0;
  for (size_t i = 0; i < len; i++) {
    if ((text.data[i] | 0x20) != lower[i]) return 0;
  }
  return 1;
}

// 1, 0, or -1 for any other text.
static int word_of(struct dray_str text) {
  if (equal_ignoring_case(text, "true", 4)) return 1;
  return equal_ignoring_case(text, "false", 5) ? 0 : -1;
}

static int is_date(struct dray_str text) {
  int32_t days = 0;
  return text.len == 10 && is_digit(text.data[0]) && dray_parse_date(text, &days, NULL) == DRAY_OK;
}

static int is_time(struct dray_str text) {
  int64_t us = 0;
  return text.len >= 10 && text.len <= NUMBER_BYTES_MAX && is_digit(text.data[0]) &&
         dray_parse_timestamp(text, &us, NULL) == DRAY_OK;
}

// "Z", ".123Z" or ".123456Z" behind the seconds, of which the last three digits are not all zero: as it is written.
static int is_simple_end(struct dray_str text) {
  const char *end = text.data + text.len - 1;
  if (*end != 'Z' || text.len == 20) return *end == 'Z';
  if ((text.len != 24 && text.len != 27) || text.data[19] != '.') return 0;
  for (const char *at = text.data + 20; at < end; at++) {
    if (!is_digit(*at)) return 0;
  }
  return memcmp(end - 3, "000", 3) != 0;
}

// "2024-02-29 12:00:00", with a T or a blank, with or without a Z or a fraction: the spellings that need no arithmetic. The day is
// checked to be one of any month only: 31 February goes the long way.
static int is_simple_time(struct dray_str text) {
  static const char shape[] = "0000-00-00 00:00:00";
  if (text.len < 19 || (text.len > 19 && !is_simple_end(text))) return 0;
  const char *t = text.data;
  int odd = 0;
  for (size_t i = 0; i < 19; i++) {
    odd |= shape[i] == '0' ? !is_digit(t[i]) : i == 10 ? t[i] != 'T' && t[i] != ' ' : t[i] != shape[i];
  }
  if (odd) return 0;
  const int month = (t[5] - '0') * 10 + t[6] - '0', day = (t[8] - '0') * 10 + t[9] - '0';
  const int year = (t[0] - '0') * 1000 + (t[1] - '0') * 100 + (t[2] - '0') * 10 + t[3] - '0';
  return year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= 28 && t[11] <= '2' &&
         (t[11] < '2' || t[12] <= '3') && t[14] <= '5' && t[17] <= '5';
}

// ---- guessing ----

void dr_guess_text(struct dr_guess *guess, struct dray_str text) {
  uint32_t kinds = 0;
  struct number n;
  if (text.len == 0) return;                   // what programs that quote everything write for nothing
  if (guess->seen && guess->open == 0) return; // a text for good
  if (parse_number(text, &n)) {
    const int zero = n.negative && text.data[n.whole_at] == '0';
    const int integer = n.fraction == 0 && !n.has_exponent;
    // Longer integers are identifiers.
    if (integer && n.whole <= INTEGER_DIGITS_MAX && !zero) kinds |= OPEN_INTEGER | OPEN_NUMBER;
    if (!integer) kinds |= OPEN_NUMBER;
  } else if (word_of(text) >= 0) {
    kinds |= OPEN_BOOL;
  } else {
    if (is_date(text)) kinds |= OPEN_DATE;
    if (is_time(text)) kinds |= OPEN_TIMESTAMP;
  }
  guess->open = guess->seen ? guess->open & kinds : kinds;
  guess->seen = 1;
}

int dr_guess_kind(const struct dr_guess *guess) {
  static const int order[] = {DR_READING_INTEGER, DR_READING_NUMBER, DR_READING_BOOL, DR_READING_DATE,
                              DR_READING_TIMESTAMP};
  if (!guess->seen) return DR_READING_UNSEEN;
  for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
    if ((guess->open >> order[i]) & 1) return order[i];
  }
  return DR_READING_TEXT;
}

int dr_reading_merge(int a, int b) {
  static const int pairs[][3] = {{DR_READING_INTEGER, DR_READING_NUMBER, DR_READING_NUMBER},
                                 {DR_READING_DATE, DR_READING_TIMESTAMP, DR_READING_TIMESTAMP},
                                 {DR_READING_BOOL, DR_READING_INTEGER, DR_READING_BOOL}};
  if (a == b || b == DR_READING_UNSEEN) return a;
  if (a == DR_READING_UNSEEN) return b;
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    if ((pairs[i][0] == a && pairs[i][1] == b) || (pairs[i][0] == b && pairs[i][1] == a)) return pairs[i][2];
  }
  return DR_READING_TEXT;
}

int dr_reading_of_type(struct dray_type type) {
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    return DR_READING_BOOL;
  case DRAY_TYPE_INT64:
    return DR_READING_INTEGER;
  case DRAY_TYPE_FLOAT64:
  case DRAY_TYPE_DECIMAL:
    return DR_READING_NUMBER;
  case DRAY_TYPE_DATE:
    return DR_READING_DATE;
  case DRAY_TYPE_TIMESTAMP:
    return DR_READING_TIMESTAMP;
  case DRAY_TYPE_JSON:
    return DR_READING_JSON;
  default:
    return DR_READING_TEXT;
  }
}

int dr_reading_is_plain(const struct dr_reading *reading) {
  if (reading->kind == DR_READING_DECLARED) return reading->type.id == DRAY_TYPE_STRING;
  return reading->kind <= DR_READING_INTEGER || reading->kind == DR_READING_DATE;
}

// ---- declared types: what the SDK parses, as the SDK writes it ----

static size_t declared_text(struct dray_type type, struct dray_str text, char *out) {
  union {
    int64_t integer;
    double real;
    struct dray_decimal decimal;
    int32_t days;
  } v;
  switch (type.id) {
  case DRAY_TYPE_INT64:
    return dray_parse_int64(text, &v.integer, NULL) == DRAY_OK ? dray_format_int64(v.integer, out) : 0;
  case DRAY_TYPE_FLOAT64:
    return dray_parse_float64(text, &v.real, NULL) == DRAY_OK ? dray_format_float64(v.real == 0 ? 0.0 : v.real, out)
                                                              : 0;
  case DRAY_TYPE_DECIMAL:
    return dray_parse_decimal(text, type.precision, type.scale, &v.decimal, NULL) == DRAY_OK
               ? dray_format_decimal(v.decimal, type.scale, out)
               : 0;
  case DRAY_TYPE_DATE: // a time at midnight is a date, as everywhere in dray
    if (text.len > 10) {
      if (dray_parse_timestamp(text, &v.integer, NULL) != DRAY_OK || v.integer % INT64_C(86400000000) != 0) return 0;
      return dray_format_date((int32_t)(v.integer / INT64_C(86400000000)), out);
    }
    return dray_parse_date(text, &v.days, NULL) == DRAY_OK ? dray_format_date(v.days, out) : 0;
  default:
    return dray_parse_timestamp(text, &v.integer, NULL) == DRAY_OK ? dray_format_timestamp(v.integer, out) : 0;
  }
}

static int32_t declared_bytes(struct dray_str text, struct dray_buffer *scratch, int *out_reads,
                              struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_base64_decode(text, scratch, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY && error != NULL) *error = why;
  dray_buffer_clear(scratch);
  *out_reads = rc == DRAY_OK; // strict: one text for equal bytes
  return rc == DRAY_E_OUT_OF_MEMORY ? rc : DRAY_OK;
}

static int32_t compact_json(struct dray_str text, struct dray_buffer *scratch, struct dray_str *out, int *out_reads,
                            struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_json_compact(text, scratch, &why);
  *out_reads = rc == DRAY_OK;
  if (rc == DRAY_OK) *out = dray_buffer_view(scratch);
  if (rc == DRAY_E_OUT_OF_MEMORY && error != NULL) *error = why;
  return rc == DRAY_E_OUT_OF_MEMORY ? rc : DRAY_OK;
}

static int32_t take(struct dray_buffer *scratch, const char *text, size_t len, struct dray_str *out,
                    struct dray_error *error) {
  DRAY_TRY(dray_buffer_append(scratch, text, len, error));
  *out = dray_buffer_view(scratch);
  return DRAY_OK;
}

static int32_t declared(struct dray_type type, struct dray_str text, struct dray_buffer *scratch, struct dray_str *out,
                        int *out_reads, struct dray_error *error) {
  char small[DRAY_FORMAT_BYTES_MAX];
  int32_t truth = 0;
  *out_reads = 1;
  switch (type.id) {
  case DRAY_TYPE_STRING:
    return DRAY_OK;
  case DRAY_TYPE_BYTES:
    return declared_bytes(text, scratch, out_reads, error);
  case DRAY_TYPE_JSON:
    return compact_json(text, scratch, out, out_reads, error);
  case DRAY_TYPE_BOOL:
    *out_reads = dray_parse_bool(text, &truth, NULL) == DRAY_OK;
    if (*out_reads) *out = dray_str_of(truth ? "true" : "false");
    return DRAY_OK;
  default:
    break;
  }
  const size_t len = declared_text(type, text, small);
  *out_reads = len > 0;
  if (len == 0 || dray_str_equal(text, dray_str_make(small, len))) return DRAY_OK;
  return take(scratch, small, len, out, error);
}

// ---- one text ----

static int32_t read_time(struct dray_str text, struct dray_buffer *scratch, struct dray_str *out, int *out_reads,
                         struct dray_error *error) {
  char small[DRAY_FORMAT_BYTES_MAX];
  int64_t us = 0;
  if (is_simple_time(text)) {
    if (text.len >= 20 && text.data[10] == 'T') return DRAY_OK;
    memcpy(small, text.data, text.len);
    small[10] = 'T';
    if (text.len == 19) small[19] = 'Z';
    return take(scratch, small, text.len == 19 ? 20 : (size_t)text.len, out, error);
  }
  *out_reads = is_time(text) && dray_parse_timestamp(text, &us, NULL) == DRAY_OK;
  return *out_reads ? take(scratch, small, dray_format_timestamp(us, small), out, error) : DRAY_OK;
}

int32_t dr_reading_text(const struct dr_reading *reading, struct dray_str text, struct dray_buffer *scratch,
                        struct dray_str *out, int *out_reads, struct dray_error *error) {
  char small[2 * NUMBER_BYTES_MAX];
  struct number n;
  dray_buffer_clear(scratch);
  *out = text;
  *out_reads = 1;
  switch (reading->kind) {
  case DR_READING_NUMBER:
    *out_reads = parse_number(text, &n);
    if (!*out_reads || number_is_canonical(text, &n)) return DRAY_OK;
    return take(scratch, small, write_number(text, &n, small), out, error);
  case DR_READING_BOOL: {
    const int word = text.len == 1 ? (text.data[0] == '1' ? 1 : text.data[0] == '0' ? 0 : -1) : word_of(text);
    *out_reads = word >= 0;
    if (word >= 0) *out = dray_str_of(word ? "true" : "false");
    return DRAY_OK;
  }
  case DR_READING_TIMESTAMP:
    return read_time(text, scratch, out, out_reads, error);
  case DR_READING_JSON:
    return compact_json(text, scratch, out, out_reads, error);
  case DR_READING_DECLARED:
    return declared(reading->type, text, scratch, out, out_reads, error);
  default:
    return DRAY_OK;
  }
}

// ---- a column ----

// A column of our own: one block for validity, offsets and data.
struct rewritten {
  uint8_t *validity; // owned; NULL: no nulls
  int32_t *offsets;  // owned
  char *data;        // owned
  size_t bytes, capacity;
  const void *buffers[3];
};

static void free_rewritten(struct rewritten *column) {
  if (column == NULL) return;
  free(column->validity);
  free(column->offsets);
  free(column->data);
  free(column);
}

static void release_rewritten(struct ArrowArray *array) {
  free_rewritten(array->private_data);
  array->release = NULL;
}

static int32_t append_bytes(struct rewritten *column, const char *data, size_t len, struct dray_error *error) {
  if (len > COLUMN_BYTES_MAX - column->bytes) {
    return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "a column of a batch passes 2 GiB");
  }
  if (len > column->capacity - column->bytes) {
    const size_t capacity = (column->bytes + len) * 2 + 4096;
    char *grown = realloc(column->data, capacity);
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column of %zu bytes", capacity);
    column->data = grown;
    column->capacity = capacity;
  }
  if (len > 0) memcpy(column->data + column->bytes, data, len);
  column->bytes += len;
  return DRAY_OK;
}

static int is_valid(const struct ArrowArray *column, int64_t row) {
  const uint8_t *bits = column->buffers[0];
  const int64_t at = row + column->offset;
  return bits == NULL || (bits[at >> 3] >> (at & 7) & 1);
}

static struct dray_str text_of(const struct ArrowArray *column, int64_t row) {
  const int32_t *offsets = (const int32_t *)column->buffers[1] + column->offset;
  return dray_str_make((const char *)column->buffers[2] + offsets[row], (uint64_t)(offsets[row + 1] - offsets[row]));
}

// Room for a column of so many rows, with the texts before `from` as they are.
static int32_t begin_rewrite(const struct ArrowArray *column, int64_t rows, int64_t from, struct rewritten **out,
                             struct dray_error *error) {
  struct rewritten *made = calloc(1, sizeof(*made));
  const int32_t *offsets = (const int32_t *)column->buffers[1] + column->offset;
  if (made == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column");
  made->capacity = (size_t)(offsets[rows] - offsets[0]) + 64;
  made->offsets = malloc(((size_t)rows + 1) * sizeof(*made->offsets));
  made->data = malloc(made->capacity);
  if (column->buffers[0] != NULL) made->validity = calloc((size_t)rows / 8 + 1, 1);
  if (made->offsets == NULL || made->data == NULL || (column->buffers[0] != NULL && made->validity == NULL)) {
    free_rewritten(made);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column of %lld rows", (long long)rows);
  }
  for (int64_t row = 0; made->validity != NULL && row < rows; row++) {
    if (is_valid(column, row)) made->validity[row >> 3] |= (uint8_t)(1u << (row & 7));
  }
  for (int64_t row = 0; row <= from; row++) made->offsets[row] = offsets[row] - offsets[0];
  made->bytes = (size_t)made->offsets[from];
  if (made->bytes > 0) memcpy(made->data, (const char *)column->buffers[2] + offsets[0], made->bytes);
  *out = made;
  return DRAY_OK;
}

int32_t dr_reading_column(const struct dr_reading *reading, struct ArrowArray *column, int64_t rows,
                          struct dray_buffer *scratch, struct dray_error *error) {
  struct rewritten *made = NULL;
  int32_t rc = DRAY_OK;
  if (dr_reading_is_plain(reading)) return DRAY_OK;
  for (int64_t row = 0; row < rows && rc == DRAY_OK; row++) {
    struct dray_str text = text_of(column, row), canonical = text;
    int reads = 0;
    if (is_valid(column, row)) rc = dr_reading_text(reading, text, scratch, &canonical, &reads, error);
    if (rc == DRAY_OK && made == NULL && !dray_str_equal(text, canonical)) {
      rc = begin_rewrite(column, rows, row, &made, error);
    }
    if (rc != DRAY_OK || made == NULL) continue;
    rc = append_bytes(made, canonical.data, (size_t)canonical.len, error);
    made->offsets[row + 1] = (int32_t)made->bytes;
  }
  if (rc != DRAY_OK || made == NULL) {
    free_rewritten(made);
    return rc;
  }
  made->buffers[0] = made->validity;
  made->buffers[1] = made->offsets;
  made->buffers[2] = made->data;
  const int64_t nulls = column->null_count;
  column->release(column);
  *column = (struct ArrowArray){.length = rows,
                                .null_count = made->validity != NULL ? nulls : 0,
                                .n_buffers = 3,
                                .buffers = made->buffers,
                                .release = release_rewritten,
                                .private_data = made};
  return DRAY_OK;
}
