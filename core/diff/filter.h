// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the mirror certainly does not hold, told in memory: a print of key and row hash for each row of the base, in the
// base's order. A row that matches no print is certainly new, changed or a further copy, and is looked up exactly. One
// that matches is taken as unchanged; sums over it, compared with the base at the end (filter_proof.c), prove that it
// was, or name the row that was taken for another. Inside core/diff only.
//
// Per row 2 or 4 bytes for the print and 0.11 to 0.22 for its share of a line.
#ifndef DR_DIFF_FILTER_H
#define DR_DIFF_FILTER_H

#include "diff/mirror.h"

#define DR_FILTER_NONE UINT32_MAX // of a row of the input: it matched nothing
#define DR_FILTER_BUCKETS 36u     // of a line

// All that is asked beside the prints, a cache line: some hundred rows of the base, by the top bits of their key
// hashes, in buckets of a few rows.
struct dr_filter_line {
  uint8_t counts[DR_FILTER_BUCKETS]; // rows of each bucket
  uint32_t first;                    // number of the first row of the base in it
  // Over the rows of the input that were taken here; at the end less those of the base that they were taken for.
  uint64_t check, high, row;
};

struct dr_filter {
  uint64_t rows; // of the base
  uint64_t line_count;
  unsigned print_bytes;         // 4 or 2; in tests 1 as well. 0: there is no filter
  uint64_t salt[2];             // drawn anew for each pass: a print that lied does not lie again
  struct dr_filter_line *lines; // in `memory`
  void *memory;                 // owned
  void *prints;                 // owned; or a state (filter_print.h) of a row that came or that the journal overlays
  uint64_t bytes;               // in all
  uint64_t taken;               // rows of the input
  int proven;                   // the base's rows are taken off the sums
  uint64_t unsure_lines;        // in which more than one row was taken for another
  uint64_t *mistaken;           // owned, sorted: high halves of keys that were taken for others, and of those
  size_t mistaken_count, mistaken_capacity;
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
// The row that was taken for row `number` of the base, which has these hashes, is taken back: it is written down after
// all, as another of its key came before it.
void dr_filter_untake(struct dr_filter *filter, uint64_t number, uint64_t high, uint64_t row_hash);
// Row `number` of the base came, and is written down as a sighting: nothing matches it any more.
void dr_filter_see(struct dr_filter *filter, uint64_t number);
// Whether a row of the input was taken for this one, and is written down nowhere.
int dr_filter_is_plain(const struct dr_filter *filter, uint64_t number);
// The first row in [number, end) that did not come; `end` when there is none. `end` is no more than filter->rows.
uint64_t dr_filter_next_unseen(const struct dr_filter *filter, uint64_t number, uint64_t end);
static inline uint64_t dr_filter_line_of(const struct dr_filter *filter, uint64_t high) {
  return (uint64_t)((unsigned __int128)high * filter->line_count >> 64);
}
// The number behind the last row of a line.
static inline uint64_t dr_filter_line_end(const struct dr_filter *filter, uint64_t line) {
  return line + 1 < filter->line_count ? filter->lines[line + 1].first : filter->rows;
}

// ---- proving it (filter_proof.c) ----

// Takes `count` rows of the base from `number` on, as they lie in the file, off the sums. Each row once. *line: not
// behind the line of the first, moves on. Two threads may do so in different lines.
void dr_filter_take_off(struct dr_filter *filter, uint64_t *line, const uint8_t *entries, size_t entry_bytes,
                        size_t count, uint64_t number);
// After that of all rows: finds out which rows were taken for others. *out_unsure: rows that were taken, and are not
// certain.
DRAY_NODISCARD int32_t dr_filter_judge(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t *out_unsure,
                                       struct dray_error *error);
// Whether no row with this key hash can have been taken for another, nor another for it.
int dr_filter_is_sure(const struct dr_filter *filter, uint64_t high);

#endif // DR_DIFF_FILTER_H
