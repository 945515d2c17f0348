// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing a base in one pass over sorted rows. Payloads go straight to the file; the entries, which stand behind them
// in one piece so that they load quickly, wait beside it until the payloads are complete. Where nothing is kept of a
// row they go straight to the file themselves.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/basefile.h"

#define WAITING_BLOCKS 256u // entries of so many blocks wait in memory

static size_t block_bytes(const struct dr_base_out *base) {
  return DR_ENTRIES_PER_BLOCK * base->entry_bytes;
}
static size_t waiting_bytes(const struct dr_base_out *base) {
  return WAITING_BLOCKS * block_bytes(base);
}

int32_t dr_base_out_begin(struct dr_base_out *base, const char *folder, const struct dr_file_info *info,
                          struct dray_error *error) {
  char name[32];
  memset(base, 0, sizeof *base);
  base->folder = folder;
  base->fd = base->spilled.fd = -1;
  base->entry_bytes = info->mixed ? 16 : 24;
  base->key_bytes = info->mixed ? 8 : 16;
  base->has_rows = dr_base_keeps_rows(info);
  dray_buffer_init(&base->entries, waiting_bytes(base));
  dray_buffer_init(&base->keys, SIZE_MAX / 4);
  (void)snprintf(name, sizeof name, "base.%llu", (unsigned long long)info->number);
  base->path = dr_path_join(folder, name);
  if (base->path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write a base");
  base->fd = open(base->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (base->fd < 0) return dr_fail_errno(error, "create", base->path);
  dr_out_init(&base->out, base->fd, base->path);
  dr_rows_out_init(&base->rows, &base->out);
  DRAY_TRY(dr_out_header(&base->out, DR_MAGIC_BASE, info, error));
  base->entries_at = base->out.offset; // unless rows come before them
  return DRAY_OK;
}

void dr_base_out_free(struct dr_base_out *base) {
  dr_rows_out_free(&base->rows);
  dr_out_free(&base->out);
  dr_out_free(&base->spilled);
  dray_buffer_free(&base->entries);
  dray_buffer_free(&base->keys);
  if (base->fd >= 0) (void)close(base->fd);
  if (base->spilled.fd >= 0) (void)close(base->spilled.fd);
  base->fd = base->spilled.fd = -1;
  free(base->path);
  free(base->spilled_path);
  base->path = base->spilled_path = NULL;
}

static int32_t spill_entries(struct dr_base_out *base, struct dray_error *error) {
  if (base->spilled.fd < 0) {
    int fd = -1;
    DRAY_TRY(dr_temp_open(base->folder, &base->spilled_path, &fd, error));
    dr_out_init(&base->spilled, fd, base->spilled_path);
  }
  return dr_out_write(&base->spilled, base->entries.data, base->entries.len, error);
}

// Writes `len` bytes of entries as blocks, from entry `first` on. All but the very last block are full.
static int32_t put_entries(struct dr_base_out *base, const char *bytes, size_t len, uint64_t first,
                           struct dray_error *error) {
  const size_t step = block_bytes(base);
  for (size_t at = 0; at < len; at += step) {
    const size_t part = len - at < step ? len - at : step;
    const uint32_t count = (uint32_t)(part / base->entry_bytes);
    DRAY_TRY(dray_buffer_append(&base->keys, bytes + at, base->key_bytes, error));
    DRAY_TRY(dr_out_block(&base->out, DR_BLOCK_ENTRIES, first, count, 0, dray_str_make(bytes + at, part), error));
    first += count;
  }
  return DRAY_OK;
}

// What waits, which is whole blocks, goes where it can.
static int32_t empty_waiting(struct dr_base_out *base, struct dray_error *error) {
  if (base->has_rows) {
    DRAY_TRY(spill_entries(base, error));
  } else {
    const uint64_t first = base->count - base->entries.len / base->entry_bytes;
    DRAY_TRY(put_entries(base, base->entries.data, base->entries.len, first, error));
  }
  dray_buffer_clear(&base->entries);
  return DRAY_OK;
}

int32_t dr_base_out_run(struct dr_base_out *base, const uint8_t *entries, size_t count, struct dray_error *error) {
  while (count > 0) {
    if (base->entries.len == waiting_bytes(base)) DRAY_TRY(empty_waiting(base, error));
    const size_t room = (waiting_bytes(base) - base->entries.len) / base->entry_bytes;
    const size_t part = count < room ? count : room;
    DRAY_TRY(dray_buffer_append(&base->entries, entries, part * base->entry_bytes, error));
    base->count += part;
    entries += part * base->entry_bytes;
    count -= part;
  }
  return DRAY_OK;
}

int32_t dr_base_out_payload(struct dr_base_out *base, struct dray_str payload, struct dray_error *error) {
  if (base->has_rows) return dr_rows_out_add(&base->rows, &payload, 1, error);
  assert(payload.len == 0);
  return DRAY_OK;
}

int32_t dr_base_out_block(struct dr_base_out *base, const struct dr_block *block, struct dray_error *error) {
  return dr_rows_out_copy(&base->rows, block, error);
}

int32_t dr_base_out_add(struct dr_base_out *base, const struct dr_entry *entry, struct dray_str payload,
                        struct dray_error *error) {
  uint8_t bytes[DR_ENTRY_BYTES_MAX];
  dr_put_u64(bytes, entry->high);
  if (base->entry_bytes == DR_ENTRY_BYTES_MAX) dr_put_u64(bytes + 8, entry->low);
  dr_put_u64(bytes + base->entry_bytes - 8, entry->row_hash);
  DRAY_TRY(dr_base_out_run(base, bytes, 1, error));
  return dr_base_out_payload(base, payload, error);
}

// Behind the payloads: the entries that waited in a file, then those that wait in memory.
static int32_t put_all_entries(struct dr_base_out *base, struct dray_error *error) {
  const size_t load_bytes = waiting_bytes(base);
  uint64_t first = 0;
  if (base->spilled.fd >= 0) { // whole loads
    struct dray_buffer load;
    dray_buffer_init(&load, load_bytes);
    int32_t rc = dr_out_flush(&base->spilled, error);
    if (rc == DRAY_OK) rc = dray_buffer_reserve(&load, load_bytes, NULL, error);
    for (uint64_t at = 0; rc == DRAY_OK && at < base->spilled.offset; at += load_bytes) {
      rc = dr_fd_pread(base->spilled.fd, load.data, load_bytes, at, base->spilled_path, error);
      if (rc == DRAY_OK) rc = put_entries(base, load.data, load_bytes, first, error);
      first += load_bytes / base->entry_bytes;
    }
    dray_buffer_free(&load);
    DRAY_TRY(rc);
  }
  if (!base->has_rows) first = base->count - base->entries.len / base->entry_bytes;
  return put_entries(base, base->entries.data, base->entries.len, first, error);
}

int32_t dr_base_out_end(struct dr_base_out *base, struct dr_footer *out, uint64_t *out_bytes,
                        struct dray_error *error) {
  struct dr_footer footer = {.records = base->count};
  assert(!base->has_rows || base->rows.count == base->count);
  DRAY_TRY(dr_rows_out_close(&base->rows, error));
  footer.entries_offset = base->has_rows ? base->out.offset : base->entries_at;
  DRAY_TRY(put_all_entries(base, error));
  footer.keys_count = footer.entries_count = base->keys.len / base->key_bytes;
  footer.places_count = base->rows.places.len / 16;
  DRAY_TRY(dr_out_table(&base->out, DR_BLOCK_KEYS, &base->keys, base->key_bytes, &footer.keys_offset, error));
  DRAY_TRY(dr_out_table(&base->out, DR_BLOCK_PLACES, &base->rows.places, 16, &footer.places_offset, error));
  DRAY_TRY(dr_out_footer(&base->out, &footer, error));
  int32_t rc = base->scratch ? DRAY_OK : dr_fd_sync(base->fd, base->path, error);
  const int fd = base->fd;
  base->fd = -1; // closed in either case: a descriptor that failed to sync is not used again
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", base->path);
  if (rc != DRAY_OK) return rc;
  *out = footer;
  *out_bytes = base->out.offset;
  return DRAY_OK;
}
