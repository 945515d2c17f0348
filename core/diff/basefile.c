// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading a base: look-up by key hash, block by block; all entries in one sweep; payloads by number.
#include "diff/basefile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

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
  free(base->path);
  free(base);
}

static int32_t check_footer(const struct dr_base *base, struct dray_error *error) {
  const struct dr_footer *footer = &base->footer;
  const uint64_t blocks = footer->records / DR_ENTRIES_PER_BLOCK + (footer->records % DR_ENTRIES_PER_BLOCK != 0);
  const uint64_t places_max = base->has_rows ? footer->records : 0;
  if (footer->entries_count == blocks && footer->keys_count == blocks && footer->places_count <= places_max) {
    return DRAY_OK;
  }
  return dr_corrupt(error, base->path, base->in.bytes - DR_FOOTER_BYTES, "the footer's counts contradict each other");
}

static int32_t open_parts(struct dr_base *base, uint64_t number, struct dray_error *error) {
  DRAY_TRY(dr_in_header(&base->in, DR_MAGIC_BASE, &base->info, error));
  if (base->info.number != number) {
    return dr_corrupt(error, base->path, 16, "it is base %llu", (unsigned long long)base->info.number);
  }
  base->entry_bytes = base->info.mixed ? 16 : 24;
  base->key_bytes = base->info.mixed ? 8 : 16;
  base->has_rows = dr_base_keeps_rows(&base->info);
  DRAY_TRY(dr_in_footer(&base->in, &base->footer, error));
  DRAY_TRY(check_footer(base, error));
  if (base->has_rows) DRAY_TRY(dr_rows_in_open(&base->rows, &base->in, &base->footer, error));
  return dr_in_table(&base->in, DR_BLOCK_KEYS, base->footer.keys_offset, base->footer.keys_count, base->key_bytes,
                     &base->keys, error);
}

int32_t dr_base_open(const char *folder, uint64_t number, struct dr_base **out, struct dray_error *error) {
  struct dr_base *base = calloc(1, sizeof *base);
  if (base == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a base");
  base->in.fd = -1;
  dr_block_init(&base->block);
  dr_block_init(&base->rows.block);
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

static int key_less(uint64_t high, uint64_t low, uint64_t other_high, uint64_t other_low) {
  return high != other_high ? high < other_high : low < other_low;
}

// All blocks but the last are full, so that their places can be computed.
static uint64_t block_step(const struct dr_base *base) {
  return DR_BLOCK_HEADER_BYTES + DR_ENTRIES_PER_BLOCK * base->entry_bytes + DR_BLOCK_SUM_BYTES;
}
static uint32_t block_count(const struct dr_base *base, uint64_t at) {
  const uint64_t left = dr_base_rows(base) - at * DR_ENTRIES_PER_BLOCK;
  return left < DR_ENTRIES_PER_BLOCK ? (uint32_t)left : DR_ENTRIES_PER_BLOCK;
}
static uint64_t block_offset(const struct dr_base *base, uint64_t at) {
  return base->footer.entries_offset + at * block_step(base);
}

// Loads block `at` of the entries for a look-up. Its sum is compared each time: the page may have left the cache since
// and come back from a failing disk, and beside the read itself the sum is cheap.
static int32_t load_entries(struct dr_base *base, uint64_t at, struct dray_error *error) {
  const uint64_t offset = block_offset(base, at), first = at * DR_ENTRIES_PER_BLOCK;
  struct dr_block *block = &base->block;
  const uint32_t count = block_count(base, at);
  if (block->offset == offset) return DRAY_OK;
  const uint64_t bytes = DR_BLOCK_HEADER_BYTES + count * base->entry_bytes + DR_BLOCK_SUM_BYTES;
  DRAY_TRY(dr_in_block_packed(&base->in, offset, bytes, DR_BLOCK_ENTRIES, block, error));
  if (block->first == first && block->count == count && block->packed == 0 &&
      block->stored.len == count * base->entry_bytes) {
    return DRAY_OK;
  }
  block->offset = UINT64_MAX;
  return dr_corrupt(error, base->path, offset, "a block does not hold the entries from %llu on",
                    (unsigned long long)first);
}

int32_t dr_base_entry(struct dr_base *base, uint64_t number, struct dr_entry *out, struct dray_error *error) {
  DRAY_TRY(load_entries(base, number / DR_ENTRIES_PER_BLOCK, error));
  const size_t at = (size_t)(number % DR_ENTRIES_PER_BLOCK) * base->entry_bytes;
  *out = dr_entry_at((const uint8_t *)base->block.stored.data + at, base->entry_bytes);
  return DRAY_OK;
}

// ---- the sweep ----

#define WINDOW_BYTES (512u << 10) // of the cache of one core a part

void dr_sweep_init(struct dr_sweep *sweep, const struct dr_base *base) {
  *sweep = (struct dr_sweep){.base = base, .verified = UINT64_MAX};
}

void dr_sweep_free(struct dr_sweep *sweep) {
  free(sweep->window);
  dr_sweep_init(sweep, sweep->base);
}

// Reads blocks from `at` on into the window, as many as it holds.
static int32_t read_window(struct dr_sweep *sweep, uint64_t at, struct dray_error *error) {
  const struct dr_base *base = sweep->base;
  const uint64_t step = block_step(base), left = base->footer.entries_count - at;
  uint64_t count = sweep->sparse ? 1 : WINDOW_BYTES / step;
  if (count > left) count = left;
  const uint64_t offset = block_offset(base, at), last = at + count - 1;
  const uint64_t bytes =
      (count - 1) * step + step - (DR_ENTRIES_PER_BLOCK - block_count(base, last)) * base->entry_bytes;
  sweep->window_count = 0;
  if (offset > base->in.bytes || base->in.bytes - offset < bytes) {
    return dr_corrupt(error, base->path, offset, "the blocks of entries are cut");
  }
  if (sweep->window_capacity < bytes) {
    uint8_t *window = realloc(sweep->window, (size_t)(count * step));
    if (window == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", base->path);
    sweep->window = window;
    sweep->window_capacity = (size_t)(count * step);
  }
  DRAY_TRY(dr_fd_pread(base->in.fd, sweep->window, (size_t)bytes, offset, base->path, error));
  sweep->window_first = at;
  sweep->window_count = count;
  return DRAY_OK;
}

// Compares the keys of neighbours. Branchless, so that it costs little: a block that is out of order is a rare thing.
static int is_rising(const uint8_t *entries, size_t entry_bytes, size_t count) {
  unsigned wrong = 0;
  if (entry_bytes == 16) {
    for (size_t i = 1; i < count; i++) {
      wrong |= dr_get_u64(entries + i * 16 - 16) >= dr_get_u64(entries + i * 16);
    }
    return wrong == 0;
  }
  for (size_t i = 1; i < count; i++) {
    const uint8_t *a = entries + i * 24 - 24, *b = a + 24;
    const uint64_t a_high = dr_get_u64(a), b_high = dr_get_u64(b);
    wrong |= (unsigned)(a_high > b_high) | ((unsigned)(a_high == b_high) & (dr_get_u64(a + 8) >= dr_get_u64(b + 8)));
  }
  return wrong == 0;
}

// Whether block `at` begins with the key that the directory says and ends before the next block's.
static int fits_directory(const struct dr_base *base, uint64_t at, const uint8_t *entries, size_t count) {
  const char *key = base->keys.data + at * base->key_bytes;
  if (memcmp(key, entries, base->key_bytes) != 0) return 0;
  if (at + 1 == base->footer.entries_count) return 1;
  const uint8_t *last = entries + (count - 1) * base->entry_bytes;
  const uint64_t high = dr_get_u64(last), next = dr_get_u64(key + base->key_bytes);
  if (high != next || base->key_bytes == 8) return high < next;
  return dr_get_u64(last + 8) < dr_get_u64(key + base->key_bytes + 8);
}

int32_t dr_sweep_next(struct dr_sweep *sweep, uint64_t first, const uint8_t **out, size_t *out_count,
                      struct dray_error *error) {
  const struct dr_base *base = sweep->base;
  const uint64_t at = first / DR_ENTRIES_PER_BLOCK, step = block_step(base);
  if (at < sweep->window_first || at - sweep->window_first >= sweep->window_count) {
    sweep->verified = UINT64_MAX;
    DRAY_TRY(read_window(sweep, at, error));
  }
  const uint8_t *bytes = sweep->window + (at - sweep->window_first) * step, *entries = bytes + DR_BLOCK_HEADER_BYTES;
  const uint32_t count = block_count(base, at);
  if (sweep->verified != at) {
    const uint32_t stored = count * (uint32_t)base->entry_bytes;
    sweep->verified = UINT64_MAX;
    if (!dr_block_is_true(bytes, DR_BLOCK_ENTRIES, block_offset(base, at), at * DR_ENTRIES_PER_BLOCK, count, stored)) {
      return dr_corrupt(error, base->path, block_offset(base, at), "the checksum of a block of entries is wrong");
    }
    if (!is_rising(entries, base->entry_bytes, count) || !fits_directory(base, at, entries, count)) {
      return dr_corrupt(error, base->path, block_offset(base, at), "the entries are out of order");
    }
    sweep->verified = at;
  }
  *out = entries + first % DR_ENTRIES_PER_BLOCK * base->entry_bytes;
  *out_count = count - (size_t)(first % DR_ENTRIES_PER_BLOCK);
  return DRAY_OK;
}

// ---- looking up ----

static uint64_t find_in_block(const struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_row_hash) {
  const struct dr_block *block = &base->block;
  uint64_t from = 0, to = block->count;
  while (from < to) {
    const uint64_t middle = from + (to - from) / 2;
    const uint8_t *bytes = (const uint8_t *)block->stored.data + middle * base->entry_bytes;
    const struct dr_entry entry = dr_entry_at(bytes, base->entry_bytes);
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

// Whether block `at` does not begin behind the key.
static int begins_before(const struct dr_base *base, uint64_t at, uint64_t high, uint64_t low) {
  const char *key = base->keys.data + at * base->key_bytes;
  return !key_less(high, low, dr_get_u64(key), base->key_bytes == 8 ? 0 : dr_get_u64(key + 8));
}

// The block that the key can be in; UINT64_MAX when it lies before all of them.
static uint64_t find_block(const struct dr_base *base, uint64_t high, uint64_t low) {
  uint64_t from = 0, to = base->footer.keys_count; // blocks before `from` begin at or before the key
  if (base->block.offset != UINT64_MAX) {          // keys that come in order mostly stay where they are
    const uint64_t at = base->block.first / DR_ENTRIES_PER_BLOCK;
    if (begins_before(base, at, high, low)) {
      if (at + 1 == to || !begins_before(base, at + 1, high, low)) return at;
      from = at + 2;
    }
  }
  while (from < to) {
    const uint64_t middle = from + (to - from) / 2;
    if (begins_before(base, middle, high, low)) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from - 1;
}

uint64_t dr_base_block_of(const struct dr_base *base, uint64_t high) {
  uint64_t from = 0, to = base->footer.keys_count;
  while (from < to) {
    const uint64_t middle = from + (to - from) / 2;
    if (dr_get_u64(base->keys.data + middle * base->key_bytes) < high) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from > 0 ? from - 1 : 0;
}

int32_t dr_base_find(struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_number, uint64_t *out_row_hash,
                     struct dray_error *error) {
  *out_number = UINT64_MAX;
  const uint64_t at = find_block(base, high, low);
  if (at == UINT64_MAX) return DRAY_OK;
  DRAY_TRY(load_entries(base, at, error));
  *out_number = find_in_block(base, high, low, out_row_hash);
  return DRAY_OK;
}

int32_t dr_base_row(struct dr_base *base, uint64_t number, struct dray_str *out, struct dray_error *error) {
  if (base->has_rows) return dr_rows_in_get(&base->rows, number, out, error);
  *out = dray_str_make(NULL, 0);
  return DRAY_OK;
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

static int32_t sweep_all(struct dr_base *base, struct dray_error *error) {
  struct dr_sweep sweep;
  int32_t rc = DRAY_OK;
  dr_sweep_init(&sweep, base);
  for (uint64_t at = 0; rc == DRAY_OK && at < dr_base_rows(base);) {
    const uint8_t *entries;
    size_t count = 0;
    rc = dr_sweep_next(&sweep, at, &entries, &count, error);
    at += count;
  }
  dr_sweep_free(&sweep);
  return rc;
}

int32_t dr_base_verify(struct dr_base *base, struct dray_error *error) {
  uint64_t digest = 0;
  DRAY_TRY(chain_of_blocks(base, &digest, error));
  if (digest != base->footer.digest) {
    return dr_corrupt(error, base->path, base->in.bytes - DR_FOOTER_BYTES, "the digest of its blocks is another");
  }
  for (uint64_t at = 0; at < base->rows.places.len; at += 16) {
    struct dray_str payload;
    DRAY_TRY(dr_rows_in_get(&base->rows, dr_get_u64(base->rows.places.data + at), &payload, error));
  }
  return sweep_all(base, error);
}
