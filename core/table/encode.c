// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The canonical encoding, as ENCODING.md specifies it, and the hashes over it. Rows are encoded in blocks, column by
// column: room for each row is made first, so that the loops over values neither ask for types nor look for room.
#include "table/encode.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "table/slice.h"

#define FIXED_BYTES_MAX 20 // tag, scale, count and 16 bytes of a decimal; text needs tag and 5 bytes of length

// ---- order of columns ----

struct named {
  const char *name;
  uint32_t column;
};

static int compare_named(const void *a, const void *b) {
  const struct named *left = a, *right = b;
  return strcmp(left->name, right->name);
}

int32_t dr_encoder_init(struct dr_encoder *encoder, const struct dr_schema *schema, const uint32_t *columns,
                        size_t column_count, uint64_t seed, struct dray_error *error) {
  const size_t count = columns != NULL ? column_count : schema->field_count;
  struct named *order = malloc((count + 1) * sizeof(*order));
  uint32_t *sorted = malloc((count + 1) * sizeof(*sorted));
  if (order == NULL || sorted == NULL) {
    free(order);
    free(sorted);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an encoder of %zu columns", count);
  }
  for (size_t i = 0; i < count; i++) {
    const uint32_t column = columns != NULL ? columns[i] : (uint32_t)i;
    assert(column < schema->field_count);
    order[i] = (struct named){schema->fields[column].name, column};
  }
  qsort(order, count, sizeof(*order), compare_named);
  for (size_t i = 0; i < count; i++) sorted[i] = order[i].column;
  free(order);
  *encoder = (struct dr_encoder){seed, count, sorted};
  return DRAY_OK;
}

void dr_encoder_free(struct dr_encoder *encoder) {
  free(encoder->columns);
  encoder->columns = NULL;
  encoder->column_count = 0;
}

// ---- one value ----

static uint8_t *put_u32(uint8_t *to, uint32_t value) {
  value = htole32(value);
  memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

static uint8_t *put_u64(uint8_t *to, uint64_t value) {
  value = htole64(value);
  memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

// Most texts are short, and a call of memcpy costs more than they do: two moves that overlap cover every length in
// between.
static inline void copy_text(uint8_t *to, const char *from, size_t len) {
  if (len > 32) {
    memcpy(to, from, len);
  } else if (len >= 16) {
    memcpy(to, from, 16);
    memcpy(to + len - 16, from + len - 16, 16);
  } else if (len >= 8) {
    memcpy(to, from, 8);
    memcpy(to + len - 8, from + len - 8, 8);
  } else if (len >= 4) {
    memcpy(to, from, 4);
    memcpy(to + len - 4, from + len - 4, 4);
  } else {
    for (size_t i = 0; i < len; i++) to[i] = (uint8_t)from[i];
  }
}

static uint8_t *put_text(uint8_t *to, struct dray_str value) {
  uint64_t len = value.len;
  for (; len >= 0x80; len >>= 7) *to++ = (uint8_t)(len | 0x80);
  *to++ = (uint8_t)len;
  copy_text(to, value.data, (size_t)value.len);
  return to + value.len;
}

static uint8_t *put_real(uint8_t *to, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if (value == 0) bits = 0; // -0.0 = 0.0
  if (value != value) bits = DR_NAN_BITS;
  return put_u64(to, bits);
}

// As many bytes as keep the sign. Nearly every decimal fits 64 bits, where that is a matter of counting zeros.
static size_t decimal_bytes(__int128 bits, uint8_t *out) {
  size_t count = 0;
  const int64_t small = (int64_t)bits;
  if (bits == small) {
    const uint64_t folded = (uint64_t)(small < 0 ? ~small : small); // the bits that differ from the sign
    count = small == 0 ? 0 : folded == 0 ? 1 : (size_t)(64 - __builtin_clzll(folded)) / 8 + 1;
    const uint64_t word = htole64((uint64_t)small);
    memcpy(out, &word, sizeof(word));
    return count;
  }
  for (__int128 rest = bits; rest != 0 && rest != -1; rest >>= 8) out[count++] = (uint8_t)rest;
  if (bits < 0 && out[count - 1] < 0x80) out[count++] = 0xFF;
  if (bits > 0 && out[count - 1] >= 0x80) out[count++] = 0;
  return count;
}

// The scale is as small as the value allows, so that 1, 1.0 and 1.00 are the same bytes.
static uint8_t *put_decimal_of(uint8_t *to, struct dray_decimal value, int32_t scale) {
  __int128 bits = (__int128)((unsigned __int128)(uint64_t)value.high << 64 | value.low);
  if (bits == (int64_t)bits) {
    int64_t small = (int64_t)bits;
    for (; scale > 0 && small % 10 == 0; scale--) small /= 10;
    bits = small;
  } else {
    for (; scale > 0 && bits % 10 == 0; scale--) bits /= 10;
  }
  const size_t count = decimal_bytes(bits, to + 2);
  to[0] = (uint8_t)scale;
  to[1] = (uint8_t)count;
  return to + 2 + count;
}

// One for each type, all of one shape: a value that is not null, with its tag.
#define PUT(name, type_id, expression)                                                                                 \
  static inline uint8_t *put_##name(uint8_t *to, const struct dray_column_view *column, uint64_t row) {                \
    *to++ = DR_TAG_VALUE + (type_id);                                                                                  \
    return (expression);                                                                                               \
  }
PUT(bool, DRAY_TYPE_BOOL, (*to = (uint8_t)dray_column_bool(column, row), to + 1))
PUT(int64, DRAY_TYPE_INT64, put_u64(to, (uint64_t)dray_column_int64(column, row)))
PUT(float64, DRAY_TYPE_FLOAT64, put_real(to, dray_column_float64(column, row)))
PUT(decimal, DRAY_TYPE_DECIMAL, put_decimal_of(to, dray_column_decimal(column, row), column->type.scale))
PUT(string, DRAY_TYPE_STRING, put_text(to, dray_column_bytes(column, row)))
PUT(bytes, DRAY_TYPE_BYTES, put_text(to, dray_column_bytes(column, row)))
PUT(date, DRAY_TYPE_DATE, put_u32(to, (uint32_t)dray_column_date(column, row)))
PUT(timestamp, DRAY_TYPE_TIMESTAMP, put_u64(to, (uint64_t)dray_column_int64(column, row)))
PUT(json, DRAY_TYPE_JSON, put_text(to, dray_column_bytes(column, row)))
#undef PUT

// The values of `count` rows from `row` on, each to where its row's encoding has come to.
static inline __attribute__((always_inline)) void
put_each(const struct dray_column_view *column, const uint8_t *absent, uint64_t row, size_t count, uint8_t **to,
         uint8_t *(*put)(uint8_t *, const struct dray_column_view *, uint64_t)) {
  for (size_t i = 0; i < count; i++, row++) {
    if (!dray_column_is_null(column, row)) {
      to[i] = put(to[i], column, row);
    } else {
      *to[i]++ = absent != NULL && (absent[row >> 3] >> (row & 7) & 1) != 0 ? DR_TAG_ABSENT : DR_TAG_NULL;
    }
  }
}

// The type is asked for once a column, not once a value.
static void put_column(const struct dray_column_view *column, const uint8_t *absent, uint64_t row, size_t count,
                       uint8_t **to) {
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    put_each(column, absent, row, count, to, put_bool);
    return;
  case DRAY_TYPE_INT64:
    put_each(column, absent, row, count, to, put_int64);
    return;
  case DRAY_TYPE_FLOAT64:
    put_each(column, absent, row, count, to, put_float64);
    return;
  case DRAY_TYPE_DECIMAL:
    put_each(column, absent, row, count, to, put_decimal);
    return;
  case DRAY_TYPE_STRING:
    put_each(column, absent, row, count, to, put_string);
    return;
  case DRAY_TYPE_BYTES:
    put_each(column, absent, row, count, to, put_bytes);
    return;
  case DRAY_TYPE_DATE:
    put_each(column, absent, row, count, to, put_date);
    return;
  case DRAY_TYPE_TIMESTAMP:
    put_each(column, absent, row, count, to, put_timestamp);
    return;
  default:
    put_each(column, absent, row, count, to, put_json);
  }
}

// ---- rows ----

#define BLOCK_ROWS 256u
#define BLOCK_BYTES (256u << 10) // of scratch, unless one row alone needs more

// Rows that are encoded together, column by column.
struct block {
  uint64_t first;
  size_t count;
  size_t room[BLOCK_ROWS]; // upper bounds of the rows' encodings
  uint8_t *from[BLOCK_ROWS], *to[BLOCK_ROWS];
};

static void measure_block(const struct dr_encoder *encoder, const struct dr_batch *batch, struct block *block) {
  for (size_t i = 0; i < block->count; i++) block->room[i] = encoder->column_count * FIXED_BYTES_MAX;
  for (size_t c = 0; c < encoder->column_count; c++) {
    const struct dray_column_view *column = &batch->view.columns[encoder->columns[c]];
    if (column->offsets == NULL) continue;
    const int32_t *offsets = column->offsets + (uint64_t)column->offset + block->first;
    for (size_t i = 0; i < block->count; i++) block->room[i] += (size_t)(offsets[i + 1] - offsets[i]);
  }
}

static void put_block(const struct dr_encoder *encoder, const struct dr_batch *batch, struct block *block) {
  memcpy(block->to, block->from, block->count * sizeof(block->to[0]));
  for (size_t c = 0; c < encoder->column_count; c++) {
    const uint32_t at = encoder->columns[c];
    put_column(&batch->view.columns[at], batch->absent != NULL ? batch->absent[at] : NULL, block->first, block->count,
               block->to);
  }
}

int32_t dr_encode_row(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                      struct dray_buffer *out, struct dray_error *error) {
  struct block block;
  char *to = NULL;
  block.first = row;
  block.count = 1;
  measure_block(encoder, batch, &block);
  DRAY_TRY(dray_buffer_reserve(out, block.room[0], &to, error));
  block.from[0] = (uint8_t *)to;
  put_block(encoder, batch, &block);
  out->len += (size_t)(block.to[0] - block.from[0]);
  out->data[out->len] = '\0';
  return DRAY_OK;
}

struct dr_hash128 dr_hash_bytes(struct dray_str encoded, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(encoded.data, (size_t)encoded.len, seed);
  return (struct dr_hash128){hash.low64, hash.high64};
}

// As many of the block's rows as fit the scratch, at least one. Returns the bytes they need.
static size_t fit_block(struct block *block) {
  size_t bytes = block->room[0], count = 1;
  for (; count < block->count && bytes + block->room[count] <= BLOCK_BYTES; count++) bytes += block->room[count];
  block->count = count;
  return bytes;
}

// Encodes every row and hands the encodings to `take`, block by block.
static int32_t for_each_block(const struct dr_encoder *encoder, const struct dr_batch *batch,
                              void (*take)(const struct dr_encoder *, const struct block *, void *), void *out,
                              struct dray_error *error) {
  uint8_t *scratch = NULL;
  size_t capacity = 0;
  struct block block;
  const uint64_t rows = dr_batch_rows(batch);
  for (block.first = 0; block.first < rows; block.first += block.count) {
    block.count = (size_t)(rows - block.first < BLOCK_ROWS ? rows - block.first : BLOCK_ROWS);
    measure_block(encoder, batch, &block);
    const size_t bytes = fit_block(&block);
    if (scratch == NULL || bytes > capacity) {
      capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
      free(scratch);
      scratch = malloc(capacity);
      if (scratch == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to hash a row of %zu bytes", bytes);
    }
    block.from[0] = scratch;
    for (size_t i = 1; i < block.count; i++) block.from[i] = block.from[i - 1] + block.room[i - 1];
    put_block(encoder, batch, &block);
    take(encoder, &block, out);
  }
  free(scratch);
  return DRAY_OK;
}

static struct dray_str encoded_row(const struct block *block, size_t i) {
  return dray_str_make((const char *)block->from[i], (uint64_t)(block->to[i] - block->from[i]));
}

static void take_128(const struct dr_encoder *encoder, const struct block *block, void *out) {
  struct dr_hash128 *hashes = out;
  for (size_t i = 0; i < block->count; i++) {
    hashes[block->first + i] = dr_hash_bytes(encoded_row(block, i), encoder->seed);
  }
}

static void take_64(const struct dr_encoder *encoder, const struct block *block, void *out) {
  uint64_t *hashes = out;
  for (size_t i = 0; i < block->count; i++) {
    hashes[block->first + i] = dr_row_hash(encoded_row(block, i), encoder->seed);
  }
}

int32_t dr_hash_rows(const struct dr_encoder *encoder, const struct dr_batch *batch, struct dr_hash128 *out,
                     struct dray_error *error) {
  return for_each_block(encoder, batch, take_128, out, error);
}

uint64_t dr_row_hash(struct dray_str encoded, uint64_t seed) {
  return XXH3_64bits_withSeed(encoded.data, (size_t)encoded.len, seed);
}

int32_t dr_row_hashes(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t *out,
                      struct dray_error *error) {
  return for_each_block(encoder, batch, take_64, out, error);
}

// ---- keys ----

#define MIX_A UINT64_C(0x3C79AC492BA7B653)
#define MIX_B UINT64_C(0x1C69B3F74AC4AE35)
#define UNMIX_A UINT64_C(0xC09C5FE5BD6DFDDB) // MIX_A * UNMIX_A = 1 modulo 2^64
#define UNMIX_B UINT64_C(0xC47C8F6B6BAFB41D)
#define MIX_SEED UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t mix(uint64_t x) {
  x = (x ^ x >> 27) * MIX_A;
  x = (x ^ x >> 33) * MIX_B;
  return x ^ x >> 27;
}

static inline uint64_t unmix(uint64_t x) {
  x = (x ^ x >> 27 ^ x >> 54) * UNMIX_B;
  x = (x ^ x >> 33) * UNMIX_A;
  return x ^ x >> 27 ^ x >> 54;
}

static inline uint64_t mix_start(uint64_t seed) {
  return mix(seed + MIX_SEED);
}

uint64_t dr_mix_key(uint64_t value, uint64_t seed) {
  return mix(value ^ mix_start(seed));
}

uint64_t dr_unmix_key(uint64_t high, uint64_t seed) {
  return unmix(high) ^ mix_start(seed);
}

int dr_key_is_mixed(const struct dr_encoder *keys, const struct dr_schema *schema) {
  if (keys->column_count != 1) return 0;
  const int32_t id = schema->fields[keys->columns[0]].type.id;
  return id == DRAY_TYPE_BOOL || id == DRAY_TYPE_INT64 || id == DRAY_TYPE_DATE || id == DRAY_TYPE_TIMESTAMP;
}

// The integer of an encoded bool, int64, date or timestamp; a date is the only one of 4 bytes.
static uint64_t get_integer(struct dray_str encoded) {
  uint64_t word = 0;
  assert(encoded.len == 2 || encoded.len == 5 || encoded.len == 9);
  memcpy(&word, encoded.data + 1, (size_t)encoded.len - 1);
  word = le64toh(word);
  return encoded.len == 5 ? (uint64_t)(int64_t)(int32_t)(uint32_t)word : word;
}

struct dr_hash128 dr_key_hash(struct dray_str encoded, int mixed, uint64_t seed) {
  if (!mixed) return dr_hash_bytes(encoded, seed);
  return (struct dr_hash128){.low = 0, .high = dr_mix_key(get_integer(encoded), seed)};
}

int32_t dr_encode_mixed_key(uint64_t high, uint64_t seed, struct dray_type type, struct dray_buffer *out,
                            struct dray_error *error) {
  const uint64_t value = dr_unmix_key(high, seed);
  const size_t bytes = type.id == DRAY_TYPE_BOOL ? 1 : type.id == DRAY_TYPE_DATE ? 4 : 8;
  const int64_t number = (int64_t)value;
  uint8_t encoded[9];
  assert(type.id == DRAY_TYPE_BOOL || type.id == DRAY_TYPE_INT64 || type.id == DRAY_TYPE_DATE ||
         type.id == DRAY_TYPE_TIMESTAMP);
  if ((bytes == 1 && value > 1) || (bytes == 4 && number != (int32_t)number)) {
    return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "a mixed key stands for %lld, which is no %s", (long long)number,
                     dray_type_name(type.id));
  }
  encoded[0] = (uint8_t)(DR_TAG_VALUE + type.id);
  (void)put_u64(encoded + 1, value);
  return dray_buffer_append(out, encoded, 1 + bytes, error);
}

static uint64_t mark_null_keys(const struct dr_encoder *keys, const struct dr_batch *batch, uint8_t *null_keys) {
  const uint64_t rows = dr_batch_rows(batch);
  uint64_t nulls = 0;
  memset(null_keys, 0, (size_t)((rows + 7) / 8));
  for (uint64_t row = 0; row < rows; row++) {
    int is_null = 0;
    for (size_t c = 0; c < keys->column_count && !is_null; c++) {
      is_null = dray_column_is_null(&batch->view.columns[keys->columns[c]], row);
    }
    nulls += (uint64_t)is_null;
    null_keys[row >> 3] |= (uint8_t)(is_null << (row & 7));
  }
  return nulls;
}

static void mix_column(const struct dray_column_view *column, uint64_t rows, uint64_t seed, struct dr_hash128 *out) {
  for (uint64_t row = 0; row < rows; row++) {
    const int64_t value = column->type.id == DRAY_TYPE_BOOL   ? dray_column_bool(column, row)
                          : column->type.id == DRAY_TYPE_DATE ? dray_column_date(column, row)
                                                              : dray_column_int64(column, row);
    out[row] = (struct dr_hash128){.low = 0, .high = dr_mix_key((uint64_t)value, seed)};
  }
}

int32_t dr_key_hashes(const struct dr_encoder *keys, const struct dr_batch *batch, struct dr_hash128 *out,
                      uint8_t *null_keys, uint64_t *out_nulls, struct dray_error *error) {
  if (dr_key_is_mixed(keys, batch->schema)) {
    mix_column(&batch->view.columns[keys->columns[0]], dr_batch_rows(batch), keys->seed, out);
  } else {
    DRAY_TRY(for_each_block(keys, batch, take_128, out, error));
  }
  *out_nulls = mark_null_keys(keys, batch, null_keys);
  return DRAY_OK;
}
