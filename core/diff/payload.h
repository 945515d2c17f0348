// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the mirror holds of a row beside its hashes, by DR_KEEP_*: the bytes that stand in journal and base. Inside
// core/diff only.
//
//   ROW      the encoded row
//   COLUMNS  u32 per slot, then the encoded key (nothing when the key is mixed)
//   KEY      the encoded key (nothing when the key is mixed: its hash is the key)
#ifndef DR_DIFF_PAYLOAD_H
#define DR_DIFF_PAYLOAD_H

#include "diff/diff.h"
#include "diff/rows.h"

struct dr_payload {
  int keep;  // DR_KEEP_*
  int mixed; // the key is one integer: dr_unmix_key gives it back
  uint64_t seed;
  const struct dr_slots *slots; // borrowed; of the schema the payloads are made under
  size_t key_count;
  uint32_t *key_slots;     // owned, ascending
  struct dray_str *slices; // scratch, one a slot; owned
};
// `key`: names, each once, in any order. @errors SCHEMA_KEY: a name is not in the schema; OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_payload_init(struct dr_payload *payload, int keep, const struct dr_slots *slots,
                                       const char *const *key, size_t key_count, uint64_t seed,
                                       struct dray_error *error);
void dr_payload_free(struct dr_payload *payload);
// 1: the payload of every row is empty.
static inline int dr_payload_is_nothing(const struct dr_payload *payload) {
  return payload->keep == DR_KEEP_KEY && payload->mixed;
}
// Appends the payload of an encoded row. @errors MIRROR_CORRUPT: the row does not parse.
DRAY_NODISCARD int32_t dr_payload_put(struct dr_payload *payload, struct dray_str row, struct dray_buffer *out,
                                      struct dray_error *error);
// Appends the row as far as the payload holds it, encoded under payload->slots; the rest is absent. `high`: of the
// key's hash. @errors MIRROR_CORRUPT.
DRAY_NODISCARD int32_t dr_payload_row(struct dr_payload *payload, uint64_t high, struct dray_str bytes,
                                      struct dray_buffer *out, struct dray_error *error);
// COLUMNS: the 32 bits of each slot, into *out (one a slot); the bytes behind them, the key, into *out_key.
// @errors MIRROR_CORRUPT.
DRAY_NODISCARD int32_t dr_payload_columns(const struct dr_payload *payload, struct dray_str bytes, uint32_t *out,
                                          struct dray_str *out_key, struct dray_error *error);
// The 32 bits of an encoded value; never 0 for a value or null. 0: absent, a column that the payload does not know.
uint32_t dr_payload_column_hash(struct dray_str slice, uint64_t seed);

#endif // DR_DIFF_PAYLOAD_H
