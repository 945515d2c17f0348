// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the mirror certainly does not hold, told in memory: a fingerprint of key and row hash for each row of the base,
// in the base's order, and which of these rows the pass has seen. A row that matches no fingerprint is certainly new or
// changed, and is looked up exactly. One that matches is taken as unchanged; a sum over each group of rows, compared
// with the base at the end, proves that it was, or names the group in which a fingerprint lied. Inside core/diff only.
//
// Per row 2 or 4 bytes for the print, and 0.4 to 0.8 for directory, marks and sums.
#ifndef DR_DIFF_FILTER_H
#define DR_DIFF_FILTER_H

#include "diff/mirror.h"

#define DR_FILTER_GROUP_ROWS 64u // one word of marks

struct dr_filter_group {
  uint64_t seen;  // bit: a row of the input had this row's key, for all that is known
  uint64_t plain; // of these: the first such row was taken as unchanged, and is written down nowhere else
  uint64_t sum;   // over those: what the base's rows must sum up to
};

struct dr_filter {
  uint64_t rows; // of the base
  unsigned shift;
  unsigned print_bytes; // 4 or 2; DRAY_TEST alone: 1
  uint64_t salt[2];     // drawn anew for each pass: a print that lied does not lie again
  uint32_t *directory;  // by the top bits of the key hash: the first row of the bucket; one more at the end
  void *prints;
  struct dr_filter_group *groups;
};
// Reads the base once. *out_made = 0: it does not fit memory_max, or 2^32 rows, or the base's hashes are of another
// schema; the pass then looks every row up. Rows that the journal overlays get a print that nothing matches. Only after
// dr_mirror_settle. @errors MIRROR_CORRUPT, IO, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_filter_make(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t memory_max,
                                      int *out_made, struct dray_error *error);
void dr_filter_free(struct dr_filter *filter);
// Marks the rows of a batch that are the first of their keys and equal to the base. The others' numbers go to
// `out_rest` (room for `count`), in order; returns how many. skip: bitmap of rows to leave alone (they go to the rest).
size_t dr_filter_take(struct dr_filter *filter, const struct dr_hash128 *keys, const uint64_t *row_hashes, size_t count,
                      const uint8_t *skip, uint32_t *out_rest);
// Row `number` of the base came, and is written down as a sighting. Returns whether it had come before.
int dr_filter_see(struct dr_filter *filter, uint64_t number);
static inline int dr_filter_is_seen(const struct dr_filter *filter, uint64_t number) {
  return (int)(filter->groups[number / DR_FILTER_GROUP_ROWS].seen >> (number % DR_FILTER_GROUP_ROWS) & 1);
}
static inline int dr_filter_is_plain(const struct dr_filter *filter, uint64_t number) {
  return (int)(filter->groups[number / DR_FILTER_GROUP_ROWS].plain >> (number % DR_FILTER_GROUP_ROWS) & 1);
}
// Reads the base once more and proves the groups. A group that does not prove gets sum = UINT64_MAX, others 0; *out_lost:
// rows taken as unchanged in groups that did not prove.
DRAY_NODISCARD int32_t dr_filter_prove(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t *out_lost,
                                       struct dray_error *error);
static inline int dr_filter_is_proven(const struct dr_filter *filter, uint64_t number) {
  return filter->groups[number / DR_FILTER_GROUP_ROWS].sum == 0;
}

#endif // DR_DIFF_FILTER_H
