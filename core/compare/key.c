// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Keys. What the exact comparison would take as equal keys must be equal numbers here, or a key that is there twice
// in two spellings would be settled. So all but the plainest spellings go through the parsers of the SDK, which the
// file plugin uses as well.
#include "compare/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "compare/fields.h"
#include "dray/sdk/json.h"

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
  plan->whole = plan->column_count == 1 && first->type.id == DRAY_TYPE_INT64 && !field_is_digit(plan->delimiter) &&
                plan->delimiter != '-';
  for (size_t i = 0; i < plan->null_count; i++) {
    const char *text = plan->null_values[i];
    if (field_is_digit(text[0]) || text[0] == '-') plan->whole = 0;
  }
}

// ---- fields ----

// The `at`-th field of a record that may have quotes, which has enough of them.
static int32_t any_field(const struct key_plan *plan, const char *from, const char *end, uint32_t at,
                         struct dray_buffer *buffer, struct dray_str *out, int *out_quoted, struct dray_error *error) {
  const char *next = field_end(plan->delimiter, plan->quote, from, end, out_quoted);
  for (; at > 0 && next != NULL; at--) {
    from = next;
    next = field_end(plan->delimiter, plan->quote, from, end, out_quoted);
  }
  DRAY_TRY(field_unescape(plan->quote, from, next != NULL ? next - 1 : end, buffer, error));
  *out = dray_buffer_view(buffer);
  return DRAY_OK;
}

// ---- values ----

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
    if (!quoted && field_is_null(plan->null_values, plan->null_count, text)) return DRAY_OK;
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
    if (column->at > 0) from = field_plain(from, end, plan->delimiter, column->at).data;
    if (!field_plain_number(from, end, plan->delimiter, &value)) return 0;
    *out = mix(value, plan->seed);
    return 1;
  }
  if (!plan->text) return 0;
  const struct dray_str text = field_plain(from, end, plan->delimiter, column->at);
  if (field_is_null(plan->null_values, plan->null_count, text)) return 0;
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
