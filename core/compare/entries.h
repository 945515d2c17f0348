// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entries of both files: 24 bytes for a record, partitioned by the top bits of the key. Those of OLD are gathered,
// put into buckets and probed with those of NEW; when they do not fit, both go through temporary files and are settled
// one partition after the other. The outcome is one bit for each record: does it go to the rest. Inside core/compare
// only.
#ifndef DR_COMPARE_ENTRIES_H
#define DR_COMPARE_ENTRIES_H

#include <stdatomic.h>

#include "dray/sdk/error.h"

#define ENTRY_ROWS_MAX (UINT64_C(0xFFFFFFFF) - 4)
#define ENTRY_SHARES_MAX 64

// What `seen` holds besides 0 (no record of NEW yet) and the number + 1 of the one that is the same.
#define SEEN_STOP UINT32_C(0xFFFFFFFD)  // a further copy of a key: nothing is to be found from here on in its bucket
#define SEEN_TWICE UINT32_C(0xFFFFFFFE) // OLD has the key more than once
#define SEEN_OTHER UINT32_C(0xFFFFFFFF) // NEW has it, and not once and the same

struct entry {
  uint64_t key, row;
  uint32_t number; // of the record
  _Atomic uint32_t seen;
};

struct entries;
struct entries_writer; // of one thread

// `rows_max[side]`: no input can have more records. `rows_likely`: about so many records has OLD; decides nothing but
// the kind of memory. `temp_folder` is borrowed. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t entries_new(uint64_t memory_bytes, const uint64_t rows_max[2], uint64_t rows_likely,
                                   const char *temp_folder, struct entries **out, struct dray_error *error);
void entries_free(struct entries *entries);

// Memory of OLD's entries, with their buckets, once entries_end_old was called.
uint64_t entries_bytes(const struct entries *entries);
// Gives the entries' memory back, but not what is marked; for the end.
void entries_drop(struct entries *entries);

// One thread's way to add entries of one side. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t entries_writer_new(struct entries *entries, int side, struct entries_writer **out,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t entries_add(struct entries_writer *writer, uint64_t key, uint64_t row, uint32_t number,
                                   struct dray_error *error);
// Hands over what is left. The writer is freed in any case; NULL is allowed.
DRAY_NODISCARD int32_t entries_writer_finish(struct entries_writer *writer, struct dray_error *error);
void entries_writer_free(struct entries_writer *writer);

// The record goes to the rest. Any thread.
void entries_mark_rest(struct entries *entries, int side, uint32_t number);
int entries_is_rest(const struct entries *entries, int side, uint32_t number);
// The first of [from, to) that does; `to` when there is none.
uint32_t entries_next_rest(const struct entries *entries, int side, uint32_t from, uint32_t to);

// After OLD: whether its entries are in memory; when not, what is in memory is written out and NEW's are to be added.
DRAY_NODISCARD int32_t entries_end_old(struct entries *entries, int *out_spilled, struct dray_error *error);
// After NEW, when spilled: writes out what is in memory.
DRAY_NODISCARD int32_t entries_end_new(struct entries *entries, struct dray_error *error);

// Partitions are worked on by any threads, each by one.
uint32_t entries_partition_count(const struct entries *entries);
// In memory: makes the buckets. `share`: which thread this is, below ENTRY_SHARES_MAX.
DRAY_NODISCARD int32_t entries_build(struct entries *entries, uint32_t partition, uint32_t share,
                                     struct dray_error *error);
// In memory: looks up `count` records of NEW, the first of which has the number `first`. settled[i] is 0 on entry for a
// record that must not be looked up, else 1; on return it is 1 when the same record is in OLD and its key was not seen
// before in NEW. All others are marked as rest. Any threads.
void entries_probe(struct entries *entries, const uint64_t *keys, const uint64_t *rows, uint32_t first, size_t count,
                   uint8_t *settled);
// Whether a record that a probe had settled was taken back by a later one.
int entries_took_back(const struct entries *entries);
// Marks what of OLD goes to the rest, and counts what is settled; when spilled, settles the partition first.
// `share`, of `shares`: which part of the memory is this thread's.
DRAY_NODISCARD int32_t entries_settle(struct entries *entries, uint32_t partition, uint32_t share, uint32_t shares,
                                      uint64_t *out_settled, struct dray_error *error);

#endif // DR_COMPARE_ENTRIES_H
