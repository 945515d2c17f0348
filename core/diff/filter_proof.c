// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Proving the filter. Of the rows that were taken in a line it holds three sums: of their key hashes, of their row
// hashes, and of what both are mixed to. Less those of the base's rows that they were taken for, all are 0, or some
// row was taken for another. If it was one, the first two say by how much its hashes differ from those of the row that
// it was taken for, and the third tells which row of the line that was; so both are known, and nothing else in the line
// is in doubt.
#include <stdlib.h>

#include "diff/filter.h"
#include "diff/filter_print.h"

void dr_filter_take_off(struct dr_filter *filter, uint64_t *line, const uint8_t *entries, size_t entry_bytes,
                        size_t count, uint64_t number) {
  while (count > 0) {
    uint64_t check = 0, high = 0, row = 0;
    while (dr_filter_line_end(filter, *line) <= number) ++*line;
    const uint64_t left = dr_filter_line_end(filter, *line) - number;
    const size_t here = left < count ? (size_t)left : count;
    for (size_t i = 0; i < here; i++, number++, entries += entry_bytes) {
      const uint64_t plain = 0 - (uint64_t)dr_print_is_plain(filter, number);
      const struct dr_entry entry = dr_entry_at(entries, entry_bytes);
      check += dr_print_mix(filter, entry.high, entry.row_hash) & plain;
      high += entry.high & plain;
      row += entry.row_hash & plain;
    }
    filter->lines[*line].check -= check;
    filter->lines[*line].high -= high;
    filter->lines[*line].row -= row;
    count -= here;
  }
}

static int is_zero(const struct dr_filter_line *line) {
  return line->check == 0 && line->high == 0 && line->row == 0;
}

// Whether the row that differs from `entry` as the sums say may have been taken for it, and is all that differs.
static int explains(const struct dr_filter *filter, const struct dr_filter_line *line, const struct dr_entry *entry) {
  const uint64_t high = entry->high + line->high, row_hash = entry->row_hash + line->row;
  const uint64_t theirs = dr_print_mix(filter, high, row_hash);
  const uint64_t ours = dr_print_mix(filter, entry->high, entry->row_hash);
  uint32_t bucket, their_bucket;
  return theirs - ours == line->check &&
         dr_print_of(theirs, filter->print_bytes) == dr_print_of(ours, filter->print_bytes) &&
         dr_print_place(filter, entry->high, &bucket) == dr_print_place(filter, high, &their_bucket) &&
         bucket == their_bucket;
}

static int32_t note_mistaken(struct dr_filter *filter, uint64_t high, struct dray_error *error) {
  if (filter->mistaken_count == filter->mistaken_capacity) {
    const size_t capacity = filter->mistaken_capacity * 2 + 16;
    uint64_t *larger = realloc(filter->mistaken, capacity * sizeof *larger);
    if (larger == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rows", capacity);
    filter->mistaken = larger;
    filter->mistaken_capacity = capacity;
  }
  filter->mistaken[filter->mistaken_count++] = high;
  return DRAY_OK;
}

// Looks for the one row of the base that another was taken for. *out_count: how many it may be.
static int32_t find_mistaken(struct dr_filter *filter, struct dr_sweep *sweep, uint64_t at, uint64_t *out_number,
                             struct dr_entry *out, size_t *out_count, struct dray_error *error) {
  const struct dr_filter_line *line = &filter->lines[at];
  const size_t entry_bytes = sweep->base->entry_bytes;
  const uint64_t end = dr_filter_line_end(filter, at);
  *out_count = 0;
  for (uint64_t number = line->first; number < end;) {
    const uint8_t *entries;
    size_t count = 0;
    DRAY_TRY(dr_sweep_next(sweep, number, &entries, &count, error));
    for (size_t i = 0; i < count && number < end; i++, number++) {
      if (!dr_print_is_gone(filter, number)) continue; // none came for it
      const struct dr_entry entry = dr_entry_at(entries + i * entry_bytes, entry_bytes);
      if (!explains(filter, line, &entry)) continue;
      *out = entry;
      *out_number = number;
      ++*out_count;
    }
  }
  return DRAY_OK;
}

static int32_t judge_line(struct dr_filter *filter, struct dr_sweep *sweep, uint64_t at, uint64_t *unsure,
                          struct dray_error *error) {
  struct dr_filter_line *line = &filter->lines[at];
  struct dr_entry entry = {0, 0, 0};
  uint64_t number = 0;
  size_t count = 0;
  DRAY_TRY(find_mistaken(filter, sweep, at, &number, &entry, &count, error));
  if (count == 1) {
    DRAY_TRY(note_mistaken(filter, entry.high, error));
    DRAY_TRY(note_mistaken(filter, entry.high + line->high, error));
    *unsure += (uint64_t)dr_print_is_plain(filter, number);
    line->check = line->high = line->row = 0;
    return DRAY_OK;
  }
  filter->unsure_lines++;
  for (number = line->first; number < dr_filter_line_end(filter, at); number++) {
    *unsure += (uint64_t)dr_print_is_plain(filter, number);
  }
  return DRAY_OK;
}

static int compare(const void *a, const void *b) {
  const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

int32_t dr_filter_judge(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t *out_unsure,
                        struct dray_error *error) {
  struct dr_sweep sweep;
  uint64_t unsure = 0;
  int32_t rc = DRAY_OK;
  dr_sweep_init(&sweep, mirror->base);
  for (uint64_t i = 0; rc == DRAY_OK && i < filter->line_count; i++) {
    if (!is_zero(&filter->lines[i])) rc = judge_line(filter, &sweep, i, &unsure, error);
  }
  dr_sweep_free(&sweep);
  if (rc != DRAY_OK) return rc;
  if (filter->mistaken_count > 0) qsort(filter->mistaken, filter->mistaken_count, sizeof(uint64_t), compare);
  *out_unsure = unsure;
  return DRAY_OK;
}

int dr_filter_is_sure(const struct dr_filter *filter, uint64_t high) {
  if (filter->unsure_lines > 0 && !is_zero(&filter->lines[dr_filter_line_of(filter, high)])) return 0;
  if (filter->mistaken_count == 0) return 1;
  return bsearch(&high, filter->mistaken, filter->mistaken_count, sizeof high, compare) == NULL;
}
