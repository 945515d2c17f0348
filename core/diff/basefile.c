// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading a base: look-up by key hash, in memory or block by block, and rows by number.
#include "diff/basefile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

#define BUCKET_ROWS 8 // rows a bucket of the directory holds on average

static char *base_path(const char *folder, uint64_t number) {
  char name[32];
  (void)snprintf(name, sizeof name, "base.%llu", (unsigned long long)number);
  return dr_path_join(folder, name);
}

void dr_base_close(struct dr_base *base) {
  if (base == NULL) return;
  dr_rows_in_close(&base->rows);
  dr_block_free(&base->block);
  dray_buffer_free(&base->keys);
  dr_file_info_free(&base->info);
  dr_in_close(&base->in);
  free(base->entries);
  free(base->directory);
  free(base->path);
  free(base);
}

static int32_t check_footer(const struct dr_base *base, struct dray_error *error) {
  const struct dr_footer *footer = &base->footer;
  const uint64_t blocks = footer->records / DR_ENTRIES_PER_BLOCK + (footer->records % DR_ENTRIES_PER_BLOCK != 0);
  if (footer->entries_count == blocks && footer->keys_count == blocks && footer->places_count <= footer->records) {
    return DRAY_OK;
  }
  return dr_corrupt(error, base->path, base->in.bytes - DR_FOOTER_BYTES, "the footer's counts contradict each other");
}

static int32_t open_parts(struct dr_base *base, uint64_t number, struct dray_error *error) {
  DRAY_TRY(dr_in_header(&base->in, DR_MAGIC_BASE, &base->info, error));
  if (base->info.number != number) {
    return dr_corrupt(error, base->path, 16, "it is base %llu", (unsigned long long)base->info.number);
  }
  DRAY_TRY(dr_in_footer(&base->in, &base->footer, error));
  DRAY_TRY(check_footer(base, error));
  DRAY_TRY(dr_rows_in_open(&base->rows, &base->in, &base->footer, error));
  return dr_in_table(&base->in, DR_BLOCK_KEYS, base->footer.keys_offset, base->footer.keys_count, 16, &base->keys,
                     error);
}

int32_t dr_base_open(const char *folder, uint64_t number, struct dr_base **out, struct dray_error *error) {
  struct dr_base *base = calloc(1, sizeof *base);
  if (base == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a base");
  base->in.fd = -1;
  dr_block_init(&base->block);
  dray_buffer_init(&base->keys, SIZE_MAX / 4);
  int32_t rc = DRAY_OK;
  base->path = base_path(folder, number);
  if (base->path == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a base");
  } else if (!dr_file_exists(base->path)) {
    rc = dray_fail(error, DRAY_E_MIRROR_CORRUPT, "the mirror's %s is not there", base->path);
  } else {
    rc = dr_in_open(&base->in, base->path, error);
  }
  if (rc == DRAY_OK) rc = open_parts(base, number, error);
  if (rc != DRAY_OK) {
    dr_base_close(base);
    return rc;
  }
  *out = base;
  return DRAY_OK;
}

// ---- entries ----

static struct dr_entry entry_at(const char *bytes) {
  return (struct dr_entry){dr_get_u64(bytes), dr_get_u64(bytes + 8), dr_get_u64(bytes + 16)};
}

static int key_less(uint64_t high, uint64_t low, uint64_t other_high, uint64_t other_low) {
  return high != other_high ? high < other_high : low < other_low;
}

// Loads block `at` of the entries. All but the last are full, so that their places can be computed.
static int32_t load_entries(struct dr_base *base, uint64_t at, struct dray_error *error) {
  const uint64_t step = DR_BLOCK_HEADER_BYTES + DR_ENTRIES_PER_BLOCK * DR_ENTRY_BYTES + DR_BLOCK_SUM_BYTES;
  const uint64_t offset = base->footer.entries_offset + at * step, first = at * DR_ENTRIES_PER_BLOCK;
  DRAY_TRY(dr_in_block(&base->in, offset, DR_BLOCK_ENTRIES, &base->block, error));
  const uint64_t left = dr_base_rows(base) - first;
  const uint64_t count = left < DR_ENTRIES_PER_BLOCK ? left : DR_ENTRIES_PER_BLOCK;
  if (base->block.first == first && base->block.count == count && base->block.raw.len == count * DR_ENTRY_BYTES) {
    return DRAY_OK;
  }
  base->block.offset = UINT64_MAX;
  return dr_corrupt(error, base->path, offset, "a block does not hold the entries from %llu on",
                    (unsigned long long)first);
}

int32_t dr_base_entry(struct dr_base *base, uint64_t number, struct dr_entry *out, struct dray_error *error) {
  if (base->entries != NULL) {
    const uint64_t *entry = base->entries + number * 3;
    *out = (struct dr_entry){entry[0], entry[1], entry[2]};
    return DRAY_OK;
  }
  DRAY_TRY(load_entries(base, number / DR_ENTRIES_PER_BLOCK, error));
  *out = entry_at(base->block.raw.data + number % DR_ENTRIES_PER_BLOCK * DR_ENTRY_BYTES);
  return DRAY_OK;
}

int32_t dr_base_entries(struct dr_base *base, uint64_t first, const struct dr_entry **out, size_t *out_count,
                        struct dray_error *error) {
  DRAY_TRY(load_entries(base, first / DR_ENTRIES_PER_BLOCK, error));
  for (uint32_t i = 0; i < base->block.count; i++) base->run[i] = entry_at(base->block.raw.data + i * DR_ENTRY_BYTES);
  *out = base->run + first % DR_ENTRIES_PER_BLOCK;
  *out_count = base->block.count - (size_t)(first % DR_ENTRIES_PER_BLOCK);
  return DRAY_OK;
}

static int32_t read_all(struct dr_base *base, uint64_t *entries, struct dray_error *error) {
  struct dr_entry last = {0, 0, 0};
  for (uint64_t at = 0; at < base->footer.entries_count; at++) {
    DRAY_TRY(load_entries(base, at, error));
    for (uint64_t i = 0; i < base->block.count; i++) {
      const struct dr_entry entry = entry_at(base->block.raw.data + i * DR_ENTRY_BYTES);
      if (!key_less(last.high, last.low, entry.high, entry.low) && at + i > 0) {
        return dr_corrupt(error, base->path, base->block.offset, "the entries are out of order");
      }
      last = entry;
      if (entries == NULL) continue;
      *entries++ = entry.high;
      *entries++ = entry.low;
      *entries++ = entry.row_hash;
    }
  }
  return DRAY_OK;
}

static void fill_directory(const uint64_t *entries, uint64_t rows, uint32_t *directory, uint64_t buckets,
                           unsigned shift) {
  uint64_t at = 0;
  for (uint64_t bucket = 0; bucket < buckets; bucket++) {
    while (at < rows && entries[at * 3] >> shift < bucket) at++;
    directory[bucket] = (uint32_t)at;
  }
  directory[buckets] = (uint32_t)rows;
}

int32_t dr_base_hold(struct dr_base *base, uint64_t memory_max, struct dray_error *error) {
  const uint64_t rows = dr_base_rows(base);
  unsigned bits = 1;
  while (bits < 31 && (UINT64_C(1) << bits) * BUCKET_ROWS < rows) bits++;
  const uint64_t buckets = UINT64_C(1) << bits;
  if (base->entries != NULL || rows == 0 || rows >= UINT32_MAX) return DRAY_OK;
  if (rows > memory_max / DR_ENTRY_BYTES || rows * DR_ENTRY_BYTES + buckets * 4 > memory_max) return DRAY_OK;
  uint64_t *entries = malloc((size_t)rows * DR_ENTRY_BYTES);
  uint32_t *directory = malloc((size_t)(buckets + 1) * sizeof *directory);
  int32_t rc = DRAY_OK;
  if (entries == NULL || directory == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %llu entries of %s", (unsigned long long)rows,
                   base->path);
  } else {
    rc = read_all(base, entries, error);
  }
  if (rc != DRAY_OK) {
    free(entries);
    free(directory);
    return rc;
  }
  base->shift = 64 - bits;
  fill_directory(entries, rows, directory, buckets, base->shift);
  base->entries = entries;
  base->directory = directory;
  return DRAY_OK;
}

// The place of `key` among `count` sorted entries read by `at(i)`: here for entries in a block.
static uint64_t find_in_block(const struct dr_block *block, uint64_t high, uint64_t low, uint64_t *out_row_hash) {
  uint64_t from = 0, to = block->count;
  while (from < to) {
    const uint64_t middle = from + (to - from) / 2;
    const struct dr_entry entry = entry_at(block->raw.data + middle * DR_ENTRY_BYTES);
    if (entry.high == high && entry.low == low) {
      *out_row_hash = entry.row_hash;
      return block->first + middle;
    }
    if (key_less(entry.high, entry.low, high, low)) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return UINT64_MAX;
}

static uint64_t find_in_memory(const struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_row_hash) {
  const uint64_t bucket = high >> base->shift;
  for (uint64_t i = base->directory[bucket]; i < base->directory[bucket + 1]; i++) {
    const uint64_t *entry = base->entries + i * 3;
    if (entry[0] != high || entry[1] != low) continue;
    *out_row_hash = entry[2];
    return i;
  }
  return UINT64_MAX;
}

int32_t dr_base_find(struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_number, uint64_t *out_row_hash,
                     struct dray_error *error) {
  *out_number = UINT64_MAX;
  if (base->entries != NULL) {
    *out_number = find_in_memory(base, high, low, out_row_hash);
    return DRAY_OK;
  }
  uint64_t from = 0, to = base->footer.keys_count; // blocks before `from` begin at or before the key
  while (from < to) {
    const uint64_t middle = from + (to - from) / 2;
    const char *key = base->keys.data + middle * 16;
    if (key_less(high, low, dr_get_u64(key), dr_get_u64(key + 8))) {
      to = middle;
    } else {
      from = middle + 1;
    }
  }
  if (from == 0) return DRAY_OK;
  DRAY_TRY(load_entries(base, from - 1, error));
  *out_number = find_in_block(&base->block, high, low, out_row_hash);
  return DRAY_OK;
}

int32_t dr_base_row(struct dr_base *base, uint64_t number, struct dray_str *out, struct dray_error *error) {
  return dr_rows_in_get(&base->rows, number, out, error);
}

// ---- verifying ----

// The chain of all sums, as it was made when the file was written.
static int32_t chain_of_blocks(struct dr_base *base, uint64_t *out, struct dray_error *error) {
  uint8_t bytes[16];
  struct dr_block block;
  dr_block_init(&block);
  int32_t rc = dr_fd_pread(base->in.fd, bytes + 8, 8, base->in.data - 8, base->path, error);
  uint64_t digest = 0, at = base->in.data;
  while (rc == DRAY_OK) {
    dr_put_u64(bytes, digest);
    digest = dr_sum(bytes, sizeof bytes, 0);
    if (at == base->in.bytes - DR_FOOTER_BYTES) break;
    rc = dr_in_block(&base->in, at, 0, &block, error);
    if (rc != DRAY_OK) break;
    dr_put_u64(bytes + 8, block.sum);
    at = block.end;
  }
  dr_block_free(&block);
  *out = digest;
  return rc;
}

int32_t dr_base_verify(struct dr_base *base, struct dray_error *error) {
  uint64_t digest = 0;
  DRAY_TRY(chain_of_blocks(base, &digest, error));
  if (digest != base->footer.digest) {
    return dr_corrupt(error, base->path, base->in.bytes - DR_FOOTER_BYTES, "the digest of its blocks is another");
  }
  for (uint64_t at = 0; at < base->rows.places.len; at += 16) {
    struct dray_str row;
    DRAY_TRY(dr_rows_in_get(&base->rows, dr_get_u64(base->rows.places.data + at), &row, error));
  }
  return read_all(base, NULL, error);
}
