// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Hashes of rows and keys, as ENCODING.md specifies them. Rows are encoded a block at a time into a scratch of bounded
// size that stays in the cache; a row that does not fit it is hashed piece by piece.
#include <assert.h>
#include <stdlib.h>

// Most encodings are shorter than what a call costs to prepare for: the hash is compiled into the loops.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "table/block.h"
#include "table/slice.h"

#define SCRATCH_BYTES (64u << 10) // and the room of one row beside its texts: of 4096 decimals, 78 KB

static struct dr_hash128 make_128(XXH128_hash_t hash) {
  return (struct dr_hash128){.low = hash.low64, .high = hash.high64};
}

struct dr_hash128 dr_hash_bytes(struct dray_str encoded, uint64_t seed) {
  return make_128(XXH3_128bits_withSeed(encoded.data, (size_t)encoded.len, seed));
}

uint64_t dr_row_hash(struct dray_str encoded, uint64_t seed) {
  return XXH3_64bits_withSeed(encoded.data, (size_t)encoded.len, seed);
}

// ---- rows of a batch ----

// Where hashes go: one of the two.
struct target {
  uint64_t *rows;
  struct dr_hash128 *keys;
  uint64_t seed;
  uint8_t secret[XXH3_SECRET_DEFAULT_SIZE]; // of the seed, which XXH3 would make anew for each long row
};

static void hash_block_64(const struct target *target, const struct dr_block *block) {
  uint64_t *out = target->rows + block->first;
  for (size_t i = 0; i < block->count; i++) {
    out[i] = XXH3_64bits_withSecretandSeed(block->from[i], (size_t)(block->to[i] - block->from[i]), target->secret,
                                           sizeof(target->secret), target->seed);
  }
}

static void hash_block_128(const struct target *target, const struct dr_block *block) {
  struct dr_hash128 *out = target->keys + block->first;
  for (size_t i = 0; i < block->count; i++) {
    out[i] = make_128(XXH3_128bits_withSecretandSeed(block->from[i], (size_t)(block->to[i] - block->from[i]),
                                                     target->secret, sizeof(target->secret), target->seed));
  }
}

static void update(void *ctx, const void *bytes, size_t len) {
  if (len > 0) (void)XXH3_64bits_update(ctx, bytes, len); // fails for NULL alone
}

static void hash_long_row(const struct target *target, const struct dr_encoder *encoder, const struct dr_batch *batch,
                          uint64_t row) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  if (target->rows != NULL) {
    (void)XXH3_64bits_reset_withSeed(&state, target->seed);
    dr_encode_pieces(encoder, batch, row, update, &state);
    target->rows[row] = XXH3_64bits_digest(&state);
  } else {
    (void)XXH3_128bits_reset_withSeed(&state, target->seed); // takes its pieces as the other does
    dr_encode_pieces(encoder, batch, row, update, &state);
    target->keys[row] = make_128(XXH3_128bits_digest(&state));
  }
}

static int32_t hash_batch(const struct dr_encoder *encoder, const struct dr_batch *batch, struct target *target,
                          struct dray_error *error) {
  const size_t room = dr_encode_room(encoder, batch->schema), scratch_bytes = SCRATCH_BYTES + room;
  const uint64_t rows = dr_batch_rows(batch);
  struct dr_block block;
  uint8_t *scratch = malloc(scratch_bytes);
  if (scratch == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to hash rows in");
  target->seed = encoder->seed;
  XXH3_generateSecret_fromSeed(target->secret, encoder->seed);
  for (uint64_t row = 0; row < rows;) {
    const size_t count = dr_block_encode(encoder, batch, row, room, scratch, scratch_bytes, &block);
    if (count == 0) {
      hash_long_row(target, encoder, batch, row);
    } else if (target->rows != NULL) {
      hash_block_64(target, &block);
    } else {
      hash_block_128(target, &block);
    }
    row += count > 0 ? count : 1;
  }
  free(scratch);
  return DRAY_OK;
}

int32_t dr_row_hashes(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t *out,
                      struct dray_error *error) {
  struct target target = {.rows = out};
  return hash_batch(encoder, batch, &target, error);
}

// ---- mixed keys ----

#define MIX_A UINT64_C(0x3C79AC492BA7B653)
#define MIX_B UINT64_C(0x1C69B3F74AC4AE35)
#define UNMIX_A UINT64_C(0xC09C5FE5BD6DFDDB) // MIX_A * UNMIX_A = 1 modulo 2^64
#define UNMIX_B UINT64_C(0xC47C8F6B6BAFB41D)
#define MIX_SEED UINT64_C(0x9E3779B97F4A7C15) // so that the mask of seed 0 is not 0

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

static inline uint64_t mask_of(uint64_t seed) {
  return mix(seed + MIX_SEED);
}

uint64_t dr_mix_key(uint64_t value, uint64_t seed) {
  return mix(value ^ mask_of(seed));
}

uint64_t dr_unmix_key(uint64_t high, uint64_t seed) {
  return unmix(high) ^ mask_of(seed);
}

static int is_mixed_type(int32_t id) {
  return id == DRAY_TYPE_BOOL || id == DRAY_TYPE_INT64 || id == DRAY_TYPE_DATE || id == DRAY_TYPE_TIMESTAMP;
}

int dr_key_is_mixed(const struct dr_encoder *keys, const struct dr_schema *schema) {
  return keys->column_count == 1 && is_mixed_type(schema->fields[keys->columns[0]].type.id);
}

// The integer of an encoded bool, int64, date or timestamp; a date is the only one of 4 bytes.
static uint64_t get_integer(struct dray_str encoded) {
  uint64_t word = 0;
  assert(encoded.len == 2 || encoded.len == 5 || encoded.len == 9);
  memcpy(&word, encoded.data + 1, (size_t)encoded.len - 1);
  return encoded.len == 5 ? (uint64_t)(int64_t)(int32_t)(uint32_t)word : word;
}

struct dr_hash128 dr_key_hash(struct dray_str encoded, int mixed, uint64_t seed) {
  if (!mixed) return dr_hash_bytes(encoded, seed);
  return (struct dr_hash128){.low = 0, .high = dr_mix_key(get_integer(encoded), seed)};
}

int32_t dr_encode_mixed_key(uint64_t high, uint64_t seed, struct dray_type type, struct dray_buffer *out,
                            struct dray_error *error) {
  const uint64_t value = dr_unmix_key(high, seed);
  const int64_t number = (int64_t)value;
  const size_t bytes = type.id == DRAY_TYPE_BOOL ? 1 : type.id == DRAY_TYPE_DATE ? 4 : 8;
  uint8_t encoded[9] = {(uint8_t)(DR_TAG_VALUE + type.id)};
  assert(is_mixed_type(type.id));
  if ((bytes == 1 && value > 1) || (bytes == 4 && number != (int32_t)number)) {
    return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "a mixed key stands for %lld, which is no %s", (long long)number,
                     dray_type_name(type.id));
  }
  memcpy(encoded + 1, &value, bytes);
  return dray_buffer_append(out, encoded, 1 + bytes, error);
}

static void mix_column(const struct dray_column_view *column, uint64_t rows, uint64_t seed, struct dr_hash128 *out) {
  const uint64_t mask = mask_of(seed), at = (uint64_t)column->offset;
  if (column->type.id == DRAY_TYPE_BOOL) {
    const uint64_t hashes[2] = {mix(0 ^ mask), mix(1 ^ mask)};
    for (uint64_t i = 0; i < rows; i++) {
      out[i] = (struct dr_hash128){.low = 0, .high = hashes[dray_column_bool(column, i)]};
    }
  } else if (column->type.id == DRAY_TYPE_DATE) {
    const int32_t *values = (const int32_t *)column->values + at;
    for (uint64_t i = 0; i < rows; i++) {
      out[i] = (struct dr_hash128){.low = 0, .high = mix((uint64_t)(int64_t)values[i] ^ mask)};
    }
  } else {
    const int64_t *values = (const int64_t *)column->values + at;
    for (uint64_t i = 0; i < rows; i++) {
      out[i] = (struct dr_hash128){.low = 0, .high = mix((uint64_t)values[i] ^ mask)};
    }
  }
}

// ---- keys of a batch ----

static uint64_t mark_nulls(const struct dr_encoder *keys, const struct dr_batch *batch, uint8_t *null_keys) {
  const uint64_t rows = dr_batch_rows(batch);
  uint64_t nulls = 0;
  for (uint64_t row = 0; row < rows; row += DR_BLOCK_ROWS) {
    const size_t count = rows - row < DR_BLOCK_ROWS ? (size_t)(rows - row) : DR_BLOCK_ROWS;
    uint64_t valid = dr_all_bits(count);
    for (size_t c = 0; c < keys->column_count; c++) {
      valid &= dr_valid_bits(&batch->view.columns[keys->columns[c]], row, count);
    }
    const uint64_t missing = dr_all_bits(count) & ~valid;
    memcpy(null_keys + row / 8, &missing, (count + 7) / 8);
    if (missing != 0) nulls += (uint64_t)__builtin_popcountll(missing);
  }
  return nulls;
}

int32_t dr_key_hashes(const struct dr_encoder *keys, const struct dr_batch *batch, struct dr_hash128 *out,
                      uint8_t *null_keys, uint64_t *out_nulls, struct dray_error *error) {
  if (dr_key_is_mixed(keys, batch->schema)) {
    mix_column(&batch->view.columns[keys->columns[0]], dr_batch_rows(batch), keys->seed, out);
  } else {
    struct target target = {.keys = out};
    DRAY_TRY(hash_batch(keys, batch, &target, error));
  }
  *out_nulls = mark_nulls(keys, batch, null_keys);
  return DRAY_OK;
}
