// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Partitions: filled through a small buffer per thread and partition, so that memory is written in whole cache lines;
// written out when full. Buckets and probes in memory. What happens beyond memory is in entries_spilled.c.
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/entries_inside.h"
#include "compare/temp.h"

#define PARTITION_ENTRIES_MAX (UINT32_C(1) << 23) // times 512: as many as records can be counted
#define PROBE_GROUP 32
#define BUCKET_LARGE 16
#define HUGE_BYTES (UINT32_C(4) << 20)

// ---- life ----

static uint64_t bitmap_bytes(uint64_t rows_max) {
  const uint64_t rows = rows_max < ENTRY_ROWS_MAX ? rows_max : ENTRY_ROWS_MAX;
  return (rows / 64 + 1) * 8;
}

int32_t entries_new(uint64_t memory_bytes, const uint64_t rows_max[2], uint64_t rows_likely, const char *temp_folder,
                    struct entries **out, struct dray_error *error) {
  struct entries *entries = calloc(1, sizeof(*entries));
  if (entries == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compare two files");
  uint64_t capacity = memory_bytes / sizeof(struct entry) / ENTRY_PARTITIONS;
  if (capacity > rows_max[0]) capacity = rows_max[0];
  if (capacity > PARTITION_ENTRIES_MAX) capacity = PARTITION_ENTRIES_MAX;
  if (capacity < ENTRY_WRITER_SLOTS) capacity = ENTRY_WRITER_SLOTS;
  entries->capacity = (uint32_t)capacity;
  entries->temp_folder = temp_folder;
  (void)pthread_mutex_init(&entries->file_lock, NULL);
  for (size_t i = 0; i < ENTRY_PARTITIONS; i++) (void)pthread_mutex_init(&entries->partitions[i].lock, NULL);
  entries->memory_bytes = (size_t)capacity * ENTRY_PARTITIONS * sizeof(struct entry);
  // Huge pages are touched whole, so only where most of them will be needed anyway.
  entries->memory = temp_reserve(entries->memory_bytes, rows_likely > capacity * ENTRY_PARTITIONS / 2);
  int missing = entries->memory == NULL;
  for (int side = 0; side < 2; side++) {
    entries->sides[side].file = -1;
    entries->sides[side].rest_bytes = (size_t)bitmap_bytes(rows_max[side]);
    entries->sides[side].rest = temp_reserve(entries->sides[side].rest_bytes, 0);
    missing |= entries->sides[side].rest == NULL;
  }
  if (missing) {
    entries_free(entries);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %llu bytes of entries",
                     (unsigned long long)(capacity * ENTRY_PARTITIONS * sizeof(struct entry)));
  }
  *out = entries;
  return DRAY_OK;
}

void entries_free(struct entries *entries) {
  if (entries == NULL) return;
  for (size_t i = 0; i < ENTRY_PARTITIONS; i++) {
    struct partition *partition = &entries->partitions[i];
    free(partition->extents[0].items);
    free(partition->extents[1].items);
    (void)pthread_mutex_destroy(&partition->lock);
  }
  entries_drop(entries);
  for (int side = 0; side < 2; side++) {
    if (entries->sides[side].file >= 0) (void)close(entries->sides[side].file);
    temp_release(entries->sides[side].rest, entries->sides[side].rest_bytes);
  }
  (void)pthread_mutex_destroy(&entries->file_lock);
  free(entries);
}

void entries_drop(struct entries *entries) {
  for (size_t i = 0; i < ENTRY_SHARES_MAX; i++) {
    free(entries->scratch[i]);
    entries->scratch[i] = NULL;
  }
  temp_release(entries->memory, entries->memory_bytes);
  temp_release(entries->buckets, entries->buckets_bytes);
  entries->memory = NULL;
  entries->buckets = NULL;
}

uint64_t entries_bytes(const struct entries *entries) {
  uint64_t bytes = entries->buckets_bytes;
  if (entries->spilled) return entries->memory_bytes; // used again, one partition after the other
  for (uint32_t i = 0; i < ENTRY_PARTITIONS; i++) bytes += entries->partitions[i].count * sizeof(struct entry);
  return bytes;
}

uint32_t entries_partition_count(const struct entries *entries) {
  (void)entries;
  return ENTRY_PARTITIONS;
}

// ---- one bit for each record ----

void entries_mark_rest(struct entries *entries, int side, uint32_t number) {
  _Atomic uint64_t *word = &entries->sides[side].rest[number / 64];
  (void)atomic_fetch_or_explicit(word, UINT64_C(1) << number % 64, memory_order_relaxed);
}

static uint64_t rest_word(const struct entries *entries, int side, uint32_t number) {
  return atomic_load_explicit(&entries->sides[side].rest[number / 64], memory_order_relaxed);
}

int entries_is_rest(const struct entries *entries, int side, uint32_t number) {
  return (int)(rest_word(entries, side, number) >> number % 64 & 1);
}

uint32_t entries_next_rest(const struct entries *entries, int side, uint32_t from, uint32_t to) {
  while (from < to) {
    const uint64_t word = rest_word(entries, side, from) >> from % 64;
    if (word != 0) {
      const uint32_t found = from + (uint32_t)__builtin_ctzll(word);
      return found < to ? found : to;
    }
    if (to - from <= 64 - from % 64) break;
    from += 64 - from % 64;
  }
  return to;
}

int entries_took_back(const struct entries *entries) {
  return atomic_load_explicit(&entries->took_back, memory_order_relaxed);
}

// ---- filling ----

struct entries_writer {
  struct entries *entries;
  int side;
  uint8_t counts[ENTRY_PARTITIONS];
  struct entry slots[ENTRY_PARTITIONS][ENTRY_WRITER_SLOTS];
};

int32_t entries_writer_new(struct entries *entries, int side, struct entries_writer **out, struct dray_error *error) {
  struct entries_writer *writer = malloc(sizeof(*writer));
  if (writer == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the entries of a thread");
  writer->entries = entries;
  writer->side = side;
  memset(writer->counts, 0, sizeof(writer->counts));
  *out = writer;
  return DRAY_OK;
}

static int32_t hand_over(struct entries_writer *writer, uint32_t at, struct dray_error *error) {
  struct entries *entries = writer->entries;
  struct partition *partition = &entries->partitions[at];
  const uint32_t count = writer->counts[at];
  int32_t rc = DRAY_OK;
  (void)pthread_mutex_lock(&partition->lock);
  if (partition->count + count > entries->capacity) rc = entries_write_out(entries, writer->side, at, error);
  if (rc == DRAY_OK) {
    memcpy(entries_of(entries, at) + partition->count, writer->slots[at], count * sizeof(struct entry));
    partition->count += count;
  }
  (void)pthread_mutex_unlock(&partition->lock);
  writer->counts[at] = 0;
  return rc;
}

int32_t entries_add(struct entries_writer *writer, uint64_t key, uint64_t row, uint32_t number,
                    struct dray_error *error) {
  const uint32_t at = (uint32_t)(key >> (64 - ENTRY_PARTITION_BITS));
  struct entry *slot = &writer->slots[at][writer->counts[at]++];
  slot->key = key;
  slot->row = row;
  slot->number = number;
  atomic_init(&slot->seen, 0);
  return writer->counts[at] == ENTRY_WRITER_SLOTS ? hand_over(writer, at, error) : DRAY_OK;
}

int32_t entries_writer_finish(struct entries_writer *writer, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  for (uint32_t i = 0; writer != NULL && i < ENTRY_PARTITIONS && rc == DRAY_OK; i++) {
    if (writer->counts[i] > 0) rc = hand_over(writer, i, error);
  }
  free(writer);
  return rc;
}

void entries_writer_free(struct entries_writer *writer) {
  free(writer);
}

// ---- buckets ----

static int compare_keys(const void *a, const void *b) {
  const struct entry *left = a, *right = b;
  return left->key < right->key ? -1 : left->key > right->key;
}

// Many copies of a key, most likely: one of each stands in front, the others behind a stop.
static void part_copies(struct entry *bucket, uint32_t count, struct entry *scratch) {
  qsort(bucket, count, sizeof(*bucket), compare_keys);
  memcpy(scratch, bucket, count * sizeof(*bucket));
  uint32_t front = 0, back = count;
  for (uint32_t i = 0; i < count; i++) {
    if (front > 0 && scratch[i].key == bucket[front - 1].key) {
      atomic_init(&bucket[front - 1].seen, SEEN_TWICE);
      bucket[--back] = scratch[i];
      atomic_init(&bucket[back].seen, SEEN_STOP);
    } else {
      bucket[front++] = scratch[i];
    }
  }
}

static void find_copies(struct entry *bucket, uint32_t count, struct entry *scratch) {
  if (count > BUCKET_LARGE) {
    part_copies(bucket, count, scratch);
    return;
  }
  for (uint32_t i = 1; i < count; i++) {
    for (uint32_t k = 0; k < i; k++) {
      if (bucket[i].key != bucket[k].key) continue;
      atomic_init(&bucket[i].seen, SEEN_TWICE);
      atomic_init(&bucket[k].seen, SEEN_TWICE);
    }
  }
}

uint32_t entries_bucket_bits(uint32_t count) {
  uint32_t bits = 1;
  while (count >> bits > 3 && bits < 28) bits++;
  return bits;
}

void entries_table_make(const struct entry_table *table, uint32_t count, struct entry *scratch) {
  struct entry *entries = table->entries;
  uint32_t *buckets = table->buckets;
  const uint32_t bucket_count = UINT32_C(1) << table->bits;
  // Counted two places ahead, so that after the second round each bucket's end stands where its beginning is looked up.
  memcpy(scratch, entries, count * sizeof(*entries));
  for (uint32_t i = 0; i < count; i++) buckets[entries_bucket(table, scratch[i].key) + 2]++;
  for (uint32_t i = 2; i < bucket_count + 2; i++) buckets[i] += buckets[i - 1];
  for (uint32_t i = 0; i < count; i++) entries[buckets[entries_bucket(table, scratch[i].key) + 1]++] = scratch[i];
  for (uint32_t i = 0; i < bucket_count; i++) {
    if (buckets[i + 1] - buckets[i] > 1) find_copies(entries + buckets[i], buckets[i + 1] - buckets[i], scratch);
  }
}

int32_t entries_end_old(struct entries *entries, int *out_spilled, struct dray_error *error) {
  uint32_t most = 0;
  entries->spilled = entries->sides[0].file >= 0;
  *out_spilled = entries->spilled;
  if (entries->spilled) return entries_write_out_all(entries, 0, error);
  for (uint32_t i = 0; i < ENTRY_PARTITIONS; i++) {
    if (entries->partitions[i].count > most) most = entries->partitions[i].count;
  }
  entries->bucket_bits = entries_bucket_bits(most);
  const size_t bytes = ENTRY_PARTITIONS * ((UINT64_C(1) << entries->bucket_bits) + 2) * sizeof(uint32_t);
  entries->buckets = temp_reserve(bytes, bytes > HUGE_BYTES);
  if (entries->buckets == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu bytes of buckets", bytes);
  entries->buckets_bytes = bytes;
  return DRAY_OK;
}

static inline struct entry_table table_of(const struct entries *entries, uint32_t partition) {
  const size_t stride = ((size_t)1 << entries->bucket_bits) + 2;
  return (struct entry_table){entries_of(entries, partition), entries->buckets + partition * stride,
                              ENTRY_PARTITION_BITS, entries->bucket_bits};
}

int32_t entries_build(struct entries *entries, uint32_t partition, uint32_t share, struct dray_error *error) {
  assert(share < ENTRY_SHARES_MAX);
  struct entry **scratch = &entries->scratch[share];
  if (*scratch == NULL) *scratch = malloc(entries->capacity * sizeof(**scratch));
  if (*scratch == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to order entries");
  const struct entry_table table = table_of(entries, partition);
  entries_table_make(&table, entries->partitions[partition].count, *scratch);
  return DRAY_OK;
}

// ---- probing ----

// What a sighting of a key in NEW makes of OLD's entry. Returns whether the record is settled; `took_back` is told of
// one that no longer is.
static int sight(struct entries *entries, struct entry *entry, uint64_t row, uint32_t number) {
  const int same = entry->row == row;
  uint32_t seen = 0;
  if (atomic_compare_exchange_strong_explicit(&entry->seen, &seen, same ? number + 1 : SEEN_OTHER, memory_order_relaxed,
                                              memory_order_relaxed)) {
    return same;
  }
  if (seen >= SEEN_STOP) return 0;
  if (atomic_compare_exchange_strong_explicit(&entry->seen, &seen, SEEN_OTHER, memory_order_relaxed,
                                              memory_order_relaxed)) {
    entries_mark_rest(entries, 1, seen - 1);
    atomic_store_explicit(&entries->took_back, 1, memory_order_relaxed);
  }
  return 0;
}

int entries_table_probe(struct entries *entries, const struct entry_table *table, uint64_t key, uint64_t row,
                        uint32_t number) {
  const uint64_t bucket = entries_bucket(table, key);
  struct entry *entry = table->entries + table->buckets[bucket];
  const struct entry *end = table->entries + table->buckets[bucket + 1];
  for (; entry < end; entry++) {
    if (entry->key == key) return sight(entries, entry, row, number);
    if (atomic_load_explicit(&entry->seen, memory_order_relaxed) == SEEN_STOP) return 0;
  }
  return 0;
}

void entries_probe(struct entries *entries, const uint64_t *keys, const uint64_t *rows, uint32_t first, size_t count,
                   uint8_t *settled) {
  // Three rounds over a group: the bucket's place is fetched, then what is there, then it is looked at.
  for (size_t start = 0; start < count; start += PROBE_GROUP) {
    struct entry_table tables[PROBE_GROUP];
    const uint32_t *buckets[PROBE_GROUP];
    const size_t group = count - start < PROBE_GROUP ? count - start : PROBE_GROUP;
    for (size_t i = 0; i < group; i++) {
      const uint64_t key = settled[start + i] ? keys[start + i] : 0;
      tables[i] = table_of(entries, (uint32_t)(key >> (64 - ENTRY_PARTITION_BITS)));
      buckets[i] = tables[i].buckets + entries_bucket(&tables[i], key);
      __builtin_prefetch(buckets[i]);
    }
    for (size_t i = 0; i < group; i++) {
      const struct entry *entry = tables[i].entries + *buckets[i];
      __builtin_prefetch(entry, 1);
      __builtin_prefetch((const char *)entry + 64, 1);
    }
    for (size_t i = 0; i < group; i++) {
      const uint32_t number = first + (uint32_t)(start + i);
      const size_t at = start + i;
      if (settled[at]) settled[at] = (uint8_t)entries_table_probe(entries, &tables[i], keys[at], rows[at], number);
      if (!settled[at]) entries_mark_rest(entries, 1, number);
    }
  }
}

// ---- the end ----

uint64_t entries_sweep(struct entries *entries, struct entry *from, uint32_t count) {
  uint64_t settled = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t seen = atomic_load_explicit(&from[i].seen, memory_order_relaxed);
    if (seen != 0 && seen < SEEN_STOP) {
      settled++;
    } else {
      entries_mark_rest(entries, 0, from[i].number);
    }
  }
  return settled;
}

int32_t entries_settle(struct entries *entries, uint32_t partition, uint32_t share, uint32_t shares,
                       uint64_t *out_settled, struct dray_error *error) {
  if (entries->spilled) return entries_settle_spilled(entries, partition, share, shares, out_settled, error);
  *out_settled = entries_sweep(entries, entries_of(entries, partition), entries->partitions[partition].count);
  return DRAY_OK;
}
