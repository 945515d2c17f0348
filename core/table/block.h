// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that are encoded together, column by column, so that neither types nor nulls are asked for value by value.
// Inside core/table only.
#ifndef DR_TABLE_BLOCK_H
#define DR_TABLE_BLOCK_H

#include "table/encode.h"

#define DR_BLOCK_ROWS 64u // one word of validity

struct dr_block {
  uint64_t first;
  size_t count;
  uint8_t *from[DR_BLOCK_ROWS], *to[DR_BLOCK_ROWS]; // row i's encoding, in the scratch
};

// Bytes that one row needs besides its texts.
size_t dr_encode_room(const struct dr_encoder *encoder, const struct dr_schema *schema);
// Encodes rows from `first` on, as many as a block takes and fit the scratch. room: dr_encode_room. Returns how many
// rows; 0 when the first alone does not fit.
size_t dr_block_encode(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t first, size_t room,
                       uint8_t *scratch, size_t scratch_bytes, struct dr_block *out);
// Hands over one row's encoding in pieces, without a copy of its texts.
void dr_encode_pieces(const struct dr_encoder *encoder, const struct dr_batch *batch, uint64_t row,
                      void (*take)(void *ctx, const void *bytes, size_t len), void *ctx);

// `count` bits (1 to 64) of a bitmap from bit `at` on, the others 0. Reads no byte without one of them.
static inline uint64_t dr_load_bits(const uint8_t *bitmap, uint64_t at, size_t count) {
  const uint8_t *from = bitmap + (at >> 3);
  const unsigned shift = (unsigned)(at & 7);
  const size_t bytes = (shift + count + 7) / 8;
  uint64_t word = 0;
  if (bytes >= 8) {
    memcpy(&word, from, 8);
  } else {
    memcpy(&word, from, bytes);
  }
  word >>= shift;
  if (bytes > 8) word |= (uint64_t)from[8] << (64 - shift);
  return count < 64 ? word & ((UINT64_C(1) << count) - 1) : word;
}

static inline uint64_t dr_all_bits(size_t count) {
  return count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
}

// Which of `count` rows (1 to 64) from `row` on have a value.
static inline uint64_t dr_valid_bits(const struct dray_column_view *column, uint64_t row, size_t count) {
  if (column->validity == NULL) return dr_all_bits(count);
  return dr_load_bits(column->validity, row + (uint64_t)column->offset, count);
}

#endif // DR_TABLE_BLOCK_H
