// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From a record's bytes to the number of its key and the number of the record. Inside core/compare only.
#ifndef DR_COMPARE_KEY_H
#define DR_COMPARE_KEY_H

#include "compare/scan.h"
#include "compare/sieve.h"

#define KEY_SECRET_BYTES 192 // XXH3_SECRET_DEFAULT_SIZE

struct key_column {
  uint32_t at; // place in the record, from 0
  struct dray_type type;
};

// Immutable once made: shared by all threads.
struct key_plan {
  char delimiter, quote;
  uint32_t column_count; // key columns, in the order of the options
  uint32_t last;         // the greatest place of a key column
  struct key_column columns[DR_SIEVE_KEYS_MAX];
  const char *const *null_values; // borrowed
  size_t null_count;
  uint64_t field_bytes_max;
  int whole; // one column of int64: plain numbers need neither a copy nor a hash
  int text;  // one column of string: likewise no copy
  uint64_t seed;
  uint8_t secret[KEY_SECRET_BYTES];
};

// One for each thread.
struct key_scratch {
  struct dray_buffer field; // unescaped
  struct dray_buffer inner; // decoded
  struct dray_buffer key;   // canonical
};
void key_scratch_init(struct key_scratch *scratch);
void key_scratch_free(struct key_scratch *scratch);

// Fills in what follows from the columns, and the secrets from `seed`.
void key_plan_finish(struct key_plan *plan, uint64_t seed);

// Takes the numbers of `count` records of one buffer: of the key, where equal keys are equal numbers and others differ
// but for one in 2^64, and of the record's bytes. Records that must not be settled get SCAN_UNSURE, and no numbers.
// @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t key_take(const struct key_plan *plan, const char *data, struct scan_record *records,
                                size_t count, uint64_t *keys, uint64_t *rows, struct key_scratch *scratch,
                                struct dray_error *error);

#endif // DR_COMPARE_KEY_H
