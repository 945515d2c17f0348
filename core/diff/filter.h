// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the mirror certainly does not hold, told in memory: a print of key and row hash for each row of the base, in the
// base's order. A row that matches no print is certainly new, changed or a further copy, and is looked up exactly. One
// that matches is taken as unchanged; a sum over each group of rows, compared with the base at the end, proves that it
// was, or names the group in which a print lied. Inside core/diff only.
//
// Per row 2 or 4 bytes for the print, 0.17 for marks and sums, 0.13 to 0.5 for the directory.
#ifndef DR_DIFF_FILTER_H
#define DR_DIFF_FILTER_H

#include "diff/mirror.h"

#define DR_FILTER_WORDS 3u
#define DR_FILTER_GROUP_ROWS (DR_FILTER_WORDS * 64u) // so that a group is half a cache line
#define DR_FILTER_NONE UINT32_MAX                    // of a row of the input: it matched nothing

struct dr_filter_group {
  uint64_t plain[DR_FILTER_WORDS]; // bit: a row of the input was taken for this one, and is written down nowhere
  uint64_t sum;                    // over those: what the base's rows must sum up to
};

struct dr_filter {
  uint64_t rows; // of the base
  unsigned shift;
  unsigned print_bytes; // 4 or 2; in tests 1 as well. 0: there is no filter
  uint64_t salt[2];     // drawn anew for each pass: a print that lied does not lie again
  uint32_t *directory;  // by the top bits of the key hash: the first row of the bucket; one more at the end
  void *prints;         // never 0, but for rows that came already and rows that the journal overlays
  struct dr_filter_group *groups;
  // Where there is room for the base's entries beside all this they stay in memory, lent to the base for look-ups.
  uint8_t *entries;
  struct dr_base *base;
  uint64_t bytes;         // in all
  uint64_t taken;         // rows of the input
  uint64_t unsure_groups; // that did not prove
};
// What the smallest filter of `rows` rows takes; UINT64_MAX: there cannot be one.
uint64_t dr_filter_bytes(uint64_t rows);
// Reads the base once. filter->print_bytes stays 0 when there is none: it does not fit memory_max, or the base's hashes
// are of another schema; the pass then looks every row up. Only after dr_mirror_settle. @errors MIRROR_CORRUPT, IO,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_filter_make(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t memory_max,
                                      struct dray_error *error);
void dr_filter_free(struct dr_filter *filter);
// Takes those rows of a batch as unchanged that match a row of the base which none came for yet: out_taken[i] is its
// number, else DR_FILTER_NONE. The numbers of the others go to `out_rest`, in order; returns how many there are.
// `skip`: bitmap of rows to leave to the rest, or NULL.
size_t dr_filter_take(struct dr_filter *filter, const struct dr_hash128 *keys, const uint64_t *row_hashes, size_t count,
                      const uint8_t *skip, uint32_t *out_taken, uint32_t *out_rest);
// Takes a row back: it is written down after all, as another came before it.
void dr_filter_untake(struct dr_filter *filter, uint32_t number, const struct dr_hash128 *key, uint64_t row_hash);
// Row `number` of the base came, and is written down as a sighting: nothing matches it any more.
void dr_filter_see(struct dr_filter *filter, uint64_t number);
static inline int dr_filter_is_plain(const struct dr_filter *filter, uint64_t number) {
  const uint64_t *words = filter->groups[number / DR_FILTER_GROUP_ROWS].plain;
  return (int)(words[number % DR_FILTER_GROUP_ROWS / 64] >> (number % 64) & 1);
}
// The first row from `number` on that did not come; filter->rows when there is none.
uint64_t dr_filter_next_unseen(const struct dr_filter *filter, uint64_t number);
// Reads the base once more and proves the groups. *out_unsure: rows taken in groups that did not prove.
DRAY_NODISCARD int32_t dr_filter_prove(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t *out_unsure,
                                       struct dray_error *error);
// Whether no row with this key hash can have been taken for another: the groups of its bucket are proven.
int dr_filter_is_sure(const struct dr_filter *filter, uint64_t high);

#endif // DR_DIFF_FILTER_H
