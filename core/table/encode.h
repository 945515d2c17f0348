// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The canonical encoding of values and rows, and the hashes over it. core/table/ENCODING.md specifies it byte by byte.
#ifndef DR_TABLE_ENCODE_H
#define DR_TABLE_ENCODE_H

#include "table/batch.h"

struct dr_hash128 {
  uint64_t low, high;
};

#define DR_ENCODING_VERSION 2

// The order in which columns are encoded: byte order of their names, so that column order does not matter.
struct dr_encoder {
  uint64_t seed;
  size_t column_count;
  uint32_t *columns; // owned
};
DRAY_NODISCARD int32_t dr_encoder_init(struct dr_encoder *encoder, const struct dr_schema *schema,
                                       const uint32_t *columns, size_t column_count, uint64_t seed,
                                       struct dray_error *error); // columns NULL: all
void dr_encoder_free(struct dr_encoder *encoder);
// Appends one row's encoding: reversible, typed, length-prefixed.
DRAY_NODISCARD int32_t dr_encode_row(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                                     struct dray_buffer *out, struct dray_error *error);
struct dr_hash128 dr_hash_bytes(struct dray_str encoded, uint64_t seed); // XXH3-128

// Row hashes: XXH3-64 of the row's encoding with the seed.
uint64_t dr_row_hash(struct dray_str encoded, uint64_t seed);
// Of every row of a batch. `out` has dr_batch_rows elements.
DRAY_NODISCARD int32_t dr_row_hashes(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t *out,
                                     struct dray_error *error);

// Key hashes: XXH3-128 of the encoding of the key columns with the seed. A key of one column of bool, int64, date or
// timestamp is not hashed but mixed: `high` is an invertible function of the value, `low` is 0 (ENCODING.md).
int dr_key_is_mixed(const struct dr_encoder *keys, const struct dr_schema *schema);
uint64_t dr_mix_key(uint64_t value, uint64_t seed); // value: the integer, sign-extended to 64 bits
uint64_t dr_unmix_key(uint64_t high, uint64_t seed);
struct dr_hash128 dr_key_hash(struct dray_str encoded, int mixed, uint64_t seed); // of one encoded key, no null in it
// Appends the encoded key that a mixed hash stands for: tag and value of the key column's type.
DRAY_NODISCARD int32_t dr_encode_mixed_key(uint64_t high, uint64_t seed, struct dray_type type, struct dray_buffer *out,
                                           struct dray_error *error);
// Of every row. null_keys: a bitmap (LSB first, dr_batch_rows bits, written whole) of the rows in which a key column is
// null or absent; their hashes mean nothing. *out_nulls: how many there are.
DRAY_NODISCARD int32_t dr_key_hashes(const struct dr_encoder *keys, const struct dr_batch *batch,
                                     struct dr_hash128 *out, uint8_t *null_keys, uint64_t *out_nulls,
                                     struct dray_error *error);

// Reading an encoding back. A value's slice includes its tag; equal slices are equal values.
enum { DR_SLOT_ABSENT = 0, DR_SLOT_NULL = 1, DR_SLOT_VALUE = 2 };
// Splits an encoded row of `column_count` columns into slices in encoding order. @errors MIRROR_CORRUPT when it does
// not parse.
DRAY_NODISCARD int32_t dr_decode_slices(struct dray_str encoded, size_t column_count, struct dray_str *out_slices,
                                        struct dray_error *error);
int dr_slice_state(struct dray_str slice); // DR_SLOT_*
// Appends the decoded value to a builder column of the same type.
DRAY_NODISCARD int32_t dr_decode_value(struct dray_str slice, struct dray_builder *builder, size_t column,
                                       struct dray_error *error);

#endif // DR_TABLE_ENCODE_H
