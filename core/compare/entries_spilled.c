// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Entries beyond memory. A partition of OLD is loaded, whole or one range of its keys after the other, and NEW's
// entries of the same keys stream past it.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "compare/entries_inside.h"
#include "compare/temp.h"

#define BLOCK_ENTRIES 2730 // 64 KiB
#define RANGE_BITS_MAX 24

// ---- writing ----

static int32_t open_file(struct entries *entries, int side, struct dray_error *error) {
  struct entries_side *to = &entries->sides[side];
  (void)pthread_mutex_lock(&entries->file_lock);
  const int32_t rc = to->file < 0 ? temp_open(entries->temp_folder, &to->file, error) : DRAY_OK;
  (void)pthread_mutex_unlock(&entries->file_lock);
  return rc;
}

static int32_t add_extent(struct extents *extents, uint64_t offset, uint32_t count, struct dray_error *error) {
  if (extents->count == extents->capacity) {
    const size_t capacity = extents->capacity != 0 ? extents->capacity * 2 : 8;
    struct extent *items = realloc(extents->items, capacity * sizeof(*items));
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu pieces of a file", capacity);
    extents->items = items;
    extents->capacity = capacity;
  }
  extents->items[extents->count++] = (struct extent){offset, count};
  return DRAY_OK;
}

int32_t entries_write_out(struct entries *entries, int side, uint32_t at, struct dray_error *error) {
  struct partition *partition = &entries->partitions[at];
  const size_t bytes = partition->count * sizeof(struct entry);
  DRAY_TRY(open_file(entries, side, error));
  const uint64_t offset = atomic_fetch_add_explicit(&entries->sides[side].file_end, bytes, memory_order_relaxed);
  DRAY_TRY(temp_write(entries->sides[side].file, entries_of(entries, at), bytes, offset, entries->temp_folder, error));
  DRAY_TRY(add_extent(&partition->extents[side], offset, partition->count, error));
  partition->count = 0;
  return DRAY_OK;
}

int32_t entries_write_out_all(struct entries *entries, int side, struct dray_error *error) {
  for (uint32_t i = 0; i < ENTRY_PARTITIONS; i++) {
    if (entries->partitions[i].count > 0) DRAY_TRY(entries_write_out(entries, side, i, error));
  }
  return DRAY_OK;
}

int32_t entries_end_new(struct entries *entries, struct dray_error *error) {
  return entries->spilled ? entries_write_out_all(entries, 1, error) : DRAY_OK;
}

// ---- one partition ----

struct load {
  struct entries *entries;
  const struct partition *partition;
  struct entry *block;   // BLOCK_ENTRIES
  struct entry *loaded;  // of OLD, capacity
  struct entry *scratch; // likewise
  uint32_t capacity, count;
  uint32_t range, range_bits; // which keys of the partition
};

static int in_range(const struct load *load, const struct entry *entry) {
  return load->range_bits == 0 || entry->key << ENTRY_PARTITION_BITS >> (64 - load->range_bits) == load->range;
}

static int compare_keys(const void *a, const void *b) {
  const struct entry *left = a, *right = b;
  return left->key < right->key ? -1 : left->key > right->key;
}

// Keeps one entry of each key that is there more than once.
static void drop_copies(struct load *load) {
  struct entry *entries = load->loaded;
  uint32_t kept = 0;
  qsort(entries, load->count, sizeof(*entries), compare_keys);
  for (uint32_t i = 0; i < load->count; i++) {
    if (kept > 0 && entries[kept - 1].key == entries[i].key) {
      entries_mark_rest(load->entries, 0, entries[i].number);
      atomic_init(&entries[kept - 1].seen, SEEN_TWICE);
    } else {
      entries[kept++] = entries[i];
    }
  }
  load->count = kept;
}

// *out_fits = 0: the range has too many keys.
static int32_t take_old(struct load *load, const struct entry *entry, int *out_fits) {
  if (load->count == load->capacity) {
    drop_copies(load);
    *out_fits = load->count < load->capacity - load->capacity / 8;
    if (!*out_fits) return DRAY_OK;
  }
  load->loaded[load->count++] = *entry;
  return DRAY_OK;
}

// Calls `take` for the entries of a side that are in the range, as long as they fit.
static int32_t read_side(struct load *load, int side, const struct entry_table *table, int *out_fits,
                         struct dray_error *error) {
  const struct extents *extents = &load->partition->extents[side];
  *out_fits = 1;
  for (size_t i = 0; i < extents->count; i++) {
    uint64_t offset = extents->items[i].offset;
    for (uint32_t left = extents->items[i].count; left > 0;) {
      const uint32_t count = left < BLOCK_ENTRIES ? left : BLOCK_ENTRIES;
      const size_t bytes = count * sizeof(struct entry);
      DRAY_TRY(
          dr_fd_pread(load->entries->sides[side].file, load->block, bytes, offset, load->entries->temp_folder, error));
      for (uint32_t k = 0; k < count; k++) {
        const struct entry *entry = &load->block[k];
        if (!in_range(load, entry)) continue;
        if (table == NULL) {
          DRAY_TRY(take_old(load, entry, out_fits));
          if (!*out_fits) return DRAY_OK;
        } else if (!entries_table_probe(load->entries, table, entry->key, entry->row, entry->number)) {
          entries_mark_rest(load->entries, 1, entry->number);
        }
      }
      offset += bytes;
      left -= count;
    }
  }
  return DRAY_OK;
}

// One range. *out_fits = 0: nothing was settled, since it has too many keys.
static int32_t settle_range(struct load *load, uint64_t *settled, int *out_fits, struct dray_error *error) {
  int probed = 0;
  load->count = 0;
  DRAY_TRY(read_side(load, 0, NULL, out_fits, error));
  if (!*out_fits) return DRAY_OK;
  struct entry_table table = {.entries = load->loaded,
                              .skip = ENTRY_PARTITION_BITS + load->range_bits,
                              .bits = entries_bucket_bits(load->count)};
  table.buckets = calloc(((size_t)1 << table.bits) + 2, sizeof(*table.buckets));
  if (table.buckets == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for 2^%u buckets", table.bits);
  entries_table_make(&table, load->count, load->scratch);
  const int32_t rc = read_side(load, 1, &table, &probed, error);
  free(table.buckets);
  if (rc == DRAY_OK) *settled += entries_sweep(load->entries, load->loaded, load->count);
  return rc;
}

// All ranges of the partition. What a first try with too few ranges has marked is right, and marked again.
static int32_t settle_ranges(struct load *load, uint64_t *out_settled, int *out_fits, struct dray_error *error) {
  uint64_t settled = 0;
  *out_fits = 1;
  for (uint32_t i = 0; i < UINT32_C(1) << load->range_bits && *out_fits; i++) {
    load->range = i;
    DRAY_TRY(settle_range(load, &settled, out_fits, error));
  }
  *out_settled = settled;
  return DRAY_OK;
}

int32_t entries_settle_spilled(struct entries *entries, uint32_t partition, uint32_t share, uint32_t shares,
                               uint64_t *out_settled, struct dray_error *error) {
  const size_t slice = (size_t)entries->capacity * ENTRY_PARTITIONS / shares;
  struct load load = {.entries = entries,
                      .partition = &entries->partitions[partition],
                      .loaded = entries->memory + share * slice,
                      .scratch = entries->memory + share * slice + slice / 2,
                      .capacity = slice / 2 < UINT32_MAX ? (uint32_t)(slice / 2) : UINT32_MAX};
  load.block = malloc(BLOCK_ENTRIES * sizeof(*load.block));
  if (load.block == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read entries");
  int32_t rc = DRAY_OK;
  for (int fits = 0; rc == DRAY_OK && !fits; load.range_bits++) {
    if (load.range_bits > RANGE_BITS_MAX) {
      rc = dray_fail(error, DRAY_E_LIMIT, "%u threads cannot compare files of this size in %zu bytes", shares,
                     entries->memory_bytes);
    } else {
      rc = settle_ranges(&load, out_settled, &fits, error);
    }
  }
  free(load.block);
  return rc;
}
