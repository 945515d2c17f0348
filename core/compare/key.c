// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Keys. What the exact comparison would take as equal keys must be equal numbers here, or a key that is there twice
// in two spellings would be settled. So all but the plainest spellings go through the parsers of the SDK, which the
// file plugin uses as well.
#include "compare/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dray/sdk/json.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

_Static_assert(KEY_SECRET_BYTES == XXH3_SECRET_DEFAULT_SIZE, "the secret that XXH3 wants");

#define SCRATCH_BYTES_MAX (SIZE_MAX / 4)

void key_scratch_init(struct key_scratch *scratch) {
  dray_buffer_init(&scratch->field, SCRATCH_BYTES_MAX);
  dray_buffer_init(&scratch->inner, SCRATCH_BYTES_MAX);
  dray_buffer_init(&scratch->key, SCRATCH_BYTES_MAX);
}

void key_scratch_free(struct key_scratch *scratch) {
  dray_buffer_free(&scratch->field);
  dray_buffer_free(&scratch->inner);
  dray_buffer_free(&scratch->key);
}

static inline uint64_t hash_bytes(const struct key_plan *plan, const char *data, size_t len) {
  return XXH3_64bits_withSecretandSeed(data, len, plan->secret, sizeof(plan->secret), plan->seed);
}

// A bijection, so that whole numbers never collide.
static inline uint64_t mix(uint64_t value, uint64_t seed) {
  value ^= seed;
  value ^= value >> 32;
  value *= UINT64_C(0xd6e8feb86659fd93);
  value ^= value >> 29;
  value *= UINT64_C(0xd6e8feb86659fd93);
  return value ^ value >> 32;
}

// ---- the plainest spelling of a whole number ----

static inline int is_digit(char c) {
  return (unsigned char)(c - '0') <= 9;
}

// How many of eight bytes are digits, from the first on, and their value.
static inline unsigned take_digits(const char *from, uint64_t *out) {
  uint64_t word;
  memcpy(&word, from, sizeof(word));
  const uint64_t digits = word ^ UINT64_C(0x3030303030303030); // a digit is now 0 to 9
  const uint64_t other = (digits | (digits + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
  const unsigned count = other == 0 ? 8 : (unsigned)__builtin_ctzll(other) / 8;
  if (count == 0) return 0;
  uint64_t value = digits << (64 - 8 * count); // zeros in front
  value = (value * 10 + (value >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
  value = (value * 100 + (value >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
  *out = (value * 10000 + (value >> 32)) & UINT64_C(0xFFFFFFFF);
  return count;
}

static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// A number as it is usually written, of at most 16 digits, up to the delimiter or the end of the record. 0: it is not
// one, which says nothing.
static inline int take_plain_number(const char *from, const char *end, char delimiter, uint64_t *out) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const int negative = *from == '-' && from < end;
  uint64_t value = 0, more = 0;
  from += negative;
  const unsigned count = take_digits(from, &value);
  if (count == 0 || (*from == '0' && (count > 1 || negative))) return 0;
  const char *behind = from + count;
  if (count == 8) {
    const unsigned rest = take_digits(behind, &more);
    if (rest > 0) value = value * tens[rest] + more;
    behind += rest;
    if (rest == 8 && is_digit(*behind)) return 0;
  }
  if (behind > end || (behind < end && *behind != delimiter)) return 0;
  *out = negative ? 0 - value : value;
  return 1;
#else
  (void)from, (void)end, (void)delimiter, (void)out;
  return 0;
#endif
}

void key_plan_finish(struct key_plan *plan, uint64_t seed) {
  const struct key_column *first = &plan->columns[0];
  plan->seed = seed;
  XXH3_generateSecret_fromSeed(plan->secret, seed);
  plan->last = 0;
  for (uint32_t i = 0; i < plan->column_count; i++) {
    if (plan->columns[i].at > plan->last) plan->last = plan->columns[i].at;
  }
  plan->text = plan->column_count == 1 && first->type.id == DRAY_TYPE_STRING;
  // A digit or a minus as delimiter, or a number that means null: seldom enough to take the long way.
  plan->whole = plan->column_count == 1 && first->type.id == DRAY_TYPE_INT64 && !is_digit(plan->delimiter) &&
                plan->delimiter != '-';
  for (size_t i = 0; i < plan->null_count; i++) {
    const char *text = plan->null_values[i];
    if (is_digit(text[0]) || text[0] == '-') plan->whole = 0;
  }
}

// ---- fields ----

// The `at`-th field of a record without quotes.
static inline struct dray_str plain_field(const char *from, const char *end, char delimiter, uint32_t at) {
#if defined(__x86_64__)
  const __m128i wanted = _mm_set1_epi8(delimiter);
  while (at > 0) {
    __m128i bytes;
    memcpy(&bytes, from, sizeof(bytes)); // the slack behind a buffer is larger
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));
    for (; found != 0 && at > 1; at--) found &= found - 1;
    if (found == 0) {
      from += sizeof(bytes);
      continue;
    }
    from += __builtin_ctz(found) + 1;
    at = 0;
  }
#else
  for (; at > 0; at--) from = (const char *)memchr(from, delimiter, (size_t)(end - from)) + 1;
#endif
  const char *to = memchr(from, delimiter, (size_t)(end - from));
  return dray_str_make(from, (uint64_t)((to != NULL ? to : end) - from));
}

// Reads a field by the rules of dray_csv_reader and returns what is behind its delimiter; NULL when it was the last.
static const char *read_field(const struct key_plan *plan, const char *from, const char *end, int *out_quoted) {
  int quoted = 0;
  if (from < end && *from == plan->quote) {
    quoted = 1;
    for (from++; from < end; from++) {
      if (*from != plan->quote) continue;
      if (from + 1 == end || from[1] != plan->quote) break;
      from++;
    }
    if (from < end) from++;
  }
  while (from < end && *from != plan->delimiter) from++;
  *out_quoted = quoted;
  return from < end ? from + 1 : NULL;
}

static int32_t unescape(const struct key_plan *plan, const char *from, const char *end, struct dray_buffer *out,
                        struct dray_error *error) {
  dray_buffer_clear(out);
  DRAY_TRY(dray_buffer_append(out, "", 0, error));
  if (from == end || *from != plan->quote) return dray_buffer_append(out, from, (size_t)(end - from), error);
  for (from++; from < end; from++) {
    if (*from == plan->quote) {
      if (from + 1 == end || from[1] != plan->quote) break;
      from++;
    }
    DRAY_TRY(dray_buffer_append(out, from, 1, error));
  }
  if (from < end) DRAY_TRY(dray_buffer_append(out, from + 1, (size_t)(end - from - 1), error));
  return DRAY_OK;
}

// The `at`-th field of a record that may have quotes, which has enough of them.
static int32_t any_field(const struct key_plan *plan, const char *from, const char *end, uint32_t at,
                         struct dray_buffer *buffer, struct dray_str *out, int *out_quoted, struct dray_error *error) {
  const char *next = read_field(plan, from, end, out_quoted);
  for (; at > 0 && next != NULL; at--) {
    from = next;
    next = read_field(plan, from, end, out_quoted);
  }
  DRAY_TRY(unescape(plan, from, next != NULL ? next - 1 : end, buffer, error));
  *out = dray_buffer_view(buffer);
  return DRAY_OK;
}

// ---- values ----

static int is_null(const struct key_plan *plan, struct dray_str text) {
  for (size_t i = 0; i < plan->null_count; i++) {
    if (dray_str_is(text, plan->null_values[i])) return 1;
  }
  return 0;
}

static int32_t add(struct dray_buffer *key, uint64_t value, struct dray_error *error) {
  return dray_buffer_append(key, &value, sizeof(value), error);
}

static int32_t add_text(struct dray_buffer *key, struct dray_str text, struct dray_error *error) {
  DRAY_TRY(add(key, text.len, error));
  return dray_buffer_append(key, text.data, (size_t)text.len, error);
}

static int32_t add_real(struct dray_buffer *key, double value, struct dray_error *error) {
  uint64_t bits;
  if (value == 0) value = 0; // -0.0 = 0.0
  memcpy(&bits, &value, sizeof(bits));
  return add(key, value == value ? bits : UINT64_MAX, error); // all NaN are one
}

// Appends a value so that equal ones are equal bytes. @errors as the parsers, OUT_OF_MEMORY.
static int32_t add_value(struct dray_str text, struct dray_type type, struct key_scratch *scratch,
                         struct dray_error *error) {
  int32_t small = 0;
  int64_t number = 0;
  double real = 0;
  struct dray_decimal decimal;
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    DRAY_TRY(dray_parse_bool(text, &small, error));
    return add(&scratch->key, (uint64_t)small, error);
  case DRAY_TYPE_INT64:
    DRAY_TRY(dray_parse_int64(text, &number, error));
    return add(&scratch->key, (uint64_t)number, error);
  case DRAY_TYPE_FLOAT64:
    DRAY_TRY(dray_parse_float64(text, &real, error));
    return add_real(&scratch->key, real, error);
  case DRAY_TYPE_DECIMAL:
    DRAY_TRY(dray_parse_decimal(text, type.precision, type.scale, &decimal, error));
    DRAY_TRY(add(&scratch->key, decimal.low, error));
    return add(&scratch->key, (uint64_t)decimal.high, error);
  case DRAY_TYPE_DATE:
    DRAY_TRY(dray_parse_date(text, &small, error));
    return add(&scratch->key, (uint64_t)(int64_t)small, error);
  case DRAY_TYPE_TIMESTAMP:
    DRAY_TRY(dray_parse_timestamp(text, &number, error));
    return add(&scratch->key, (uint64_t)number, error);
  case DRAY_TYPE_STRING:
    if (!dray_text_valid(text)) return dray_fail(error, DRAY_E_DATA_UTF8, "not UTF-8");
    return add_text(&scratch->key, text, error);
  default:
    break;
  }
  dray_buffer_clear(&scratch->inner);
  DRAY_TRY(type.id == DRAY_TYPE_BYTES ? dray_base64_decode(text, &scratch->inner, error)
                                      : dray_json_compact(text, &scratch->inner, error));
  return add_text(&scratch->key, dray_buffer_view(&scratch->inner), error);
}

// Any key. *out_sure = 0: null, or not of its type.
static int32_t take_key(const struct key_plan *plan, const char *from, const char *end, uint64_t *out, int *out_sure,
                        struct key_scratch *scratch, struct dray_error *error) {
  dray_buffer_clear(&scratch->key);
  *out_sure = 0;
  for (uint32_t i = 0; i < plan->column_count; i++) {
    const struct key_column *column = &plan->columns[i];
    struct dray_str text;
    int quoted = 0;
    DRAY_TRY(any_field(plan, from, end, column->at, &scratch->field, &text, &quoted, error));
    if (!quoted && is_null(plan, text)) return DRAY_OK;
    const int32_t rc = add_value(text, column->type, scratch, NULL);
    if (rc == DRAY_E_OUT_OF_MEMORY)
      return dray_fail(error, rc, "no memory for a key of %llu bytes", (unsigned long long)text.len);
    if (rc != DRAY_OK) return DRAY_OK;
  }
  const struct dray_buffer *key = &scratch->key;
  uint64_t value;
  memcpy(&value, key->data, sizeof(value));
  *out = plan->whole  ? mix(value, plan->seed)
         : plan->text ? hash_bytes(plan, key->data + sizeof(value), key->len - sizeof(value))
                      : hash_bytes(plan, key->data, key->len);
  *out_sure = 1;
  return DRAY_OK;
}

// The key of a record without quotes, which is valid text, when it is of the plainest kind.
static inline int take_plain_key(const struct key_plan *plan, const char *from, const char *end, uint64_t *out) {
  const struct key_column *column = &plan->columns[0];
  if (plan->whole) {
    uint64_t value = 0;
    if (column->at > 0) from = plain_field(from, end, plan->delimiter, column->at).data;
    if (!take_plain_number(from, end, plan->delimiter, &value)) return 0;
    *out = mix(value, plan->seed);
    return 1;
  }
  if (!plan->text) return 0;
  const struct dray_str text = plain_field(from, end, plan->delimiter, column->at);
  if (is_null(plan, text)) return 0;
  *out = hash_bytes(plan, text.data, (size_t)text.len);
  return 1;
}

int32_t key_take(const struct key_plan *plan, const char *data, struct scan_record *records, size_t count,
                 uint64_t *keys, uint64_t *rows, struct key_scratch *scratch, struct dray_error *error) {
  for (size_t i = 0; i < count; i++) {
    struct scan_record *record = &records[i];
    const char *from = data + record->start, *end = data + record->end;
    const size_t len = (size_t)(end - from);
    int sure = 1;
    if ((record->flags & SCAN_FIELDS) || len > plan->field_bytes_max ||
        ((record->flags & SCAN_BYTES) && !dray_text_valid(dray_str_make(from, len)))) {
      record->flags |= SCAN_UNSURE;
      continue;
    }
    if ((record->flags & SCAN_QUOTES) || !take_plain_key(plan, from, end, &keys[i])) {
      DRAY_TRY(take_key(plan, from, end, &keys[i], &sure, scratch, error));
    }
    if (!sure) record->flags |= SCAN_UNSURE;
    rows[i] = hash_bytes(plan, from, len);
  }
  return DRAY_OK;
}
