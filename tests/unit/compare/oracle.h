// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the sieve must find, worked out the slow way: every record read by dray_csv_reader, every key parsed and written
// down as text, keys sorted. Shares no code with core/compare.
#ifndef DRAY_TEST_COMPARE_ORACLE_H
#define DRAY_TEST_COMPARE_ORACLE_H

#include "compare/sieve.h"

struct oracle_record {
  uint64_t offset, line; // in the input
  size_t len;            // raw, without its line end
  int usable;            // may be settled: has a key, as many fields as columns, is text
  int settled;
  char *key; // on the heap; of a usable record
};

struct oracle_side {
  const char *data;
  size_t len;
  struct oracle_record *records;
  size_t count;
  struct dray_buffer rest; // the whole rest file
};

struct oracle {
  int sievable;
  uint64_t unchanged;
  struct oracle_side sides[2];
};

// `columns`: how many fields a record must have; `key_at`: places of the keys. options->columns and the keys' names are
// not looked at. `files` must outlive the oracle.
void oracle_make(const struct dr_sieve_options *options, uint32_t columns, const uint32_t *key_at,
                 const struct dray_str files[2], struct oracle *out);
void oracle_free(struct oracle *oracle);

#endif // DRAY_TEST_COMPARE_ORACLE_H
