// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the sieve left of two CSV files, both in memory, compared by key: exactly as the engine would, without a mirror.
// Inside core/compare only.
#ifndef DR_COMPARE_PAIRS_H
#define DR_COMPARE_PAIRS_H

#include "compare/record.h"
#include "compare/scan.h"

struct dr_compare;

// What becomes of a record.
enum {
  PAIRS_NULL_KEY = 1u,
  PAIRS_TWICE = 2u,    // its side has the key more than once
  PAIRS_OPPOSITE = 4u, // the other side has it more than once
  PAIRS_MISFIT = 8u,   // a value is not of its declared type
  PAIRS_TOLD = 16u     // it is, or is part of, a change
};

#define PAIRS_NONE UINT32_MAX

struct pairs_record {
  uint64_t key; // a hash of the canonical texts
  uint32_t start;
  uint32_t partner; // the other side's record of this key, or PAIRS_NONE
};

struct pairs_side {
  const char *data; // borrowed: a rest
  uint32_t len, data_start;
  struct pairs_record *records; // owned; one more than `count`, where the last one ends
  uint8_t *states;              // owned: sets of PAIRS_*
  size_t count, capacity;
};

struct pairs {
  struct record_plan plan;
  const size_t *key; // fields of it; owned
  size_t key_count;
  struct pairs_side sides[2];
  uint32_t *deletes; // owned: OLD's records that are deletes, in the order in which they are told
  size_t delete_count;
  uint32_t threads;
};

// Compares the rests, when they are clean and fit the memory, and fills in the counts and notes of `compare`.
// *out = NULL: they are not; nothing has changed then. @errors OUT_OF_MEMORY, IO, CANCELLED.
DRAY_NODISCARD int32_t pairs_run(struct dr_compare *compare, struct pairs **out, struct dray_error *error);
void pairs_free(struct pairs *pairs); // NULL is allowed

static inline struct dray_str pairs_bytes(const struct pairs_side *side, size_t i) {
  const struct pairs_record *record = &side->records[i]; // each is ended by one LF
  return dray_str_make(side->data + record->start, record[1].start - record->start - 1);
}

// ---- pairs_order.c ----

// The deletes in the order of the engine: by the hash of the key. @errors OUT_OF_MEMORY, CANCELLED.
DRAY_NODISCARD int32_t pairs_order_deletes(struct dr_compare *compare, struct pairs *pairs, struct dray_error *error);

#endif // DR_COMPARE_PAIRS_H
