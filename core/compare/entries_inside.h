// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What entries.c and entries_spilled.c share.
#ifndef DR_COMPARE_ENTRIES_INSIDE_H
#define DR_COMPARE_ENTRIES_INSIDE_H

#include <pthread.h>
#include <stddef.h>

#include "compare/entries.h"

#define ENTRY_PARTITION_BITS 9
#define ENTRY_PARTITIONS (1u << ENTRY_PARTITION_BITS)
#define ENTRY_WRITER_SLOTS 16

// A piece of a partition in a side's temporary file.
struct extent {
  uint64_t offset; // bytes
  uint32_t count;  // entries
};
struct extents {
  struct extent *items; // owned
  size_t count, capacity;
};

struct partition {
  pthread_mutex_t lock;      // guards count, extents and the partition's memory while sides are filled
  uint32_t count;            // entries in memory
  struct extents extents[2]; // by side
};

struct entries_side {
  _Atomic uint64_t *rest; // a bit for each record
  size_t rest_bytes;
  int file;                  // -1: nothing was written out
  _Atomic uint64_t file_end; // bytes
};

struct entries {
  const char *temp_folder; // borrowed
  uint32_t capacity;       // of a partition, in entries
  struct entry *memory;    // ENTRY_PARTITIONS times that
  size_t memory_bytes;
  int spilled; // the probe is done by entries_settle
  _Atomic int took_back;
  pthread_mutex_t file_lock; // while a side's file is made
  struct partition partitions[ENTRY_PARTITIONS];
  struct entry *scratch[ENTRY_SHARES_MAX];
  // In memory: the buckets of all partitions, one after the other; two more than a partition has, each.
  uint32_t *buckets;
  size_t buckets_bytes;
  uint32_t bucket_bits; // of one partition
  struct entries_side sides[2];
};

static inline struct entry *entries_of(const struct entries *entries, uint32_t partition) {
  return entries->memory + (size_t)partition * entries->capacity;
}

// Entries in 2^bits buckets by the bits of the key behind the first `skip`.
struct entry_table {
  struct entry *entries;
  uint32_t *buckets; // the first entry of each, and the end; two more than there are buckets
  uint32_t skip, bits;
};
static inline uint64_t entries_bucket(const struct entry_table *table, uint64_t key) {
  return key << table->skip >> (64 - table->bits);
}
uint32_t entries_bucket_bits(uint32_t count); // so that 2 to 4 of so many entries are in each
// Orders `count` entries; the buckets are all 0, and `scratch` has room for as many entries.
void entries_table_make(const struct entry_table *table, uint32_t count, struct entry *scratch);
int entries_table_probe(struct entries *entries, const struct entry_table *table, uint64_t key, uint64_t row,
                        uint32_t number);
// Marks what is not settled; returns how many are.
uint64_t entries_sweep(struct entries *entries, struct entry *from, uint32_t count);

// Empties a partition into the side's temporary file. The caller holds its lock.
DRAY_NODISCARD int32_t entries_write_out(struct entries *entries, int side, uint32_t partition,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t entries_write_out_all(struct entries *entries, int side, struct dray_error *error);
DRAY_NODISCARD int32_t entries_settle_spilled(struct entries *entries, uint32_t partition, uint32_t share,
                                              uint32_t shares, uint64_t *out_settled, struct dray_error *error);

#endif // DR_COMPARE_ENTRIES_INSIDE_H
