// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Sorting more records than memory holds: records of a few 64-bit words, with or without bytes behind them, compared by
// their first words. Runs that do not fit go to a file without a name. Inside core/diff only.
#ifndef DR_DIFF_SORTER_H
#define DR_DIFF_SORTER_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#define DR_SORTER_WORDS_MAX 8

struct dr_sorter {
  size_t words, key_words;
  int with_bytes;        // records carry bytes
  uint64_t memory_bytes; // about what records in memory may take
  const char *folder;    // borrowed; where runs are spilled
  uint64_t spilled_bytes;
  uint64_t count; // records in all

  uint64_t *records; // owned; with bytes: one more word each, where they begin in `bytes`
  size_t record_count, record_capacity;
  struct dray_buffer bytes; // per record: u32 length, bytes
  size_t next;              // of the records in memory, when nothing was spilled
  struct dr_sorter_runs *runs;
};

// Does not allocate. words <= DR_SORTER_WORDS_MAX, key_words <= words.
void dr_sorter_init(struct dr_sorter *sorter, size_t words, size_t key_words, int with_bytes, uint64_t memory_bytes,
                    const char *folder);
void dr_sorter_free(struct dr_sorter *sorter);
void dr_sorter_clear(struct dr_sorter *sorter); // back to no records, as after the init; memory is kept
// Whether the memory is nearly used up: soon a record makes it spill.
static inline int dr_sorter_is_nearly_full(const struct dr_sorter *sorter) {
  const uint64_t used = sorter->record_count * (sorter->words + 1) * sizeof(uint64_t) + sorter->bytes.len;
  return used > sorter->memory_bytes / 8 * 7;
}
// `bytes` is ignored when records carry none.
DRAY_NODISCARD int32_t dr_sorter_add(struct dr_sorter *sorter, const uint64_t *words, struct dray_str bytes,
                                     struct dray_error *error);
// After the last record, before the first `next`.
DRAY_NODISCARD int32_t dr_sorter_sort(struct dr_sorter *sorter, struct dray_error *error);
// The next record in order, valid until the next call; *out_words = NULL at the end. Equal keys come in any order.
DRAY_NODISCARD int32_t dr_sorter_next(struct dr_sorter *sorter, const uint64_t **out_words, struct dray_str *out_bytes,
                                      struct dray_error *error);
// Sorts records in place: `width` words each, by the first `key_words`.
void dr_sort_words(uint64_t *records, size_t count, size_t width, size_t key_words);

#endif // DR_DIFF_SORTER_H
