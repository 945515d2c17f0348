// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing a base in one pass over sorted rows. Rows go straight to the file; the entries, which stand behind them in
// one piece so that they load quickly, wait beside it until the rows are complete.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/basefile.h"

#define WAITING_ENTRIES_BYTES (DR_ENTRIES_PER_BLOCK * DR_ENTRY_BYTES * 256u)
#define BLOCK_BYTES (DR_ENTRIES_PER_BLOCK * DR_ENTRY_BYTES)

int32_t dr_base_out_begin(struct dr_base_out *base, const char *folder, const struct dr_file_info *info,
                          struct dray_error *error) {
  char name[32];
  memset(base, 0, sizeof *base);
  base->folder = folder;
  base->fd = base->spilled.fd = -1;
  dray_buffer_init(&base->entries, WAITING_ENTRIES_BYTES);
  (void)snprintf(name, sizeof name, "base.%llu", (unsigned long long)info->number);
  base->path = dr_path_join(folder, name);
  if (base->path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write a base");
  base->fd = open(base->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (base->fd < 0) return dr_fail_errno(error, "create", base->path);
  dr_out_init(&base->out, base->fd, base->path);
  dr_rows_out_init(&base->rows, &base->out);
  return dr_out_header(&base->out, DR_MAGIC_BASE, info, error);
}

void dr_base_out_free(struct dr_base_out *base) {
  dr_rows_out_free(&base->rows);
  dr_out_free(&base->out);
  dr_out_free(&base->spilled);
  dray_buffer_free(&base->entries);
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
  DRAY_TRY(dr_out_write(&base->spilled, base->entries.data, base->entries.len, error));
  dray_buffer_clear(&base->entries);
  return DRAY_OK;
}

int32_t dr_base_out_add(struct dr_base_out *base, const struct dr_entry *entry, struct dray_str row,
                        struct dray_error *error) {
  uint8_t bytes[DR_ENTRY_BYTES];
  assert(base->rows.count == 0 || base->last.high < entry->high ||
         (base->last.high == entry->high && base->last.low < entry->low));
  base->last = *entry;
  if (base->entries.len == WAITING_ENTRIES_BYTES) DRAY_TRY(spill_entries(base, error));
  dr_put_u64(bytes, entry->high);
  dr_put_u64(bytes + 8, entry->low);
  dr_put_u64(bytes + 16, entry->row_hash);
  DRAY_TRY(dray_buffer_append(&base->entries, bytes, sizeof bytes, error));
  return dr_rows_out_add(&base->rows, &row, 1, error);
}

// Writes `len` bytes of entries as blocks, from entry *first on. All but the very last block are full.
static int32_t put_entries(struct dr_base_out *base, const char *bytes, size_t len, uint64_t *first,
                           struct dray_buffer *keys, struct dray_error *error) {
  for (size_t at = 0; at < len; at += BLOCK_BYTES) {
    const size_t part = len - at < BLOCK_BYTES ? len - at : BLOCK_BYTES;
    const uint32_t count = (uint32_t)(part / DR_ENTRY_BYTES);
    DRAY_TRY(dray_buffer_append(keys, bytes + at, 16, error));
    DRAY_TRY(dr_out_block(&base->out, DR_BLOCK_ENTRIES, *first, count, 0, dray_str_make(bytes + at, part), error));
    *first += count;
  }
  return DRAY_OK;
}

static int32_t put_all_entries(struct dr_base_out *base, struct dray_buffer *keys, struct dray_error *error) {
  uint64_t first = 0;
  if (base->spilled.fd >= 0) { // whole loads of WAITING_ENTRIES_BYTES
    struct dray_buffer load;
    dray_buffer_init(&load, WAITING_ENTRIES_BYTES);
    int32_t rc = dr_out_flush(&base->spilled, error);
    if (rc == DRAY_OK) rc = dray_buffer_reserve(&load, WAITING_ENTRIES_BYTES, NULL, error);
    for (uint64_t at = 0; rc == DRAY_OK && at < base->spilled.offset; at += WAITING_ENTRIES_BYTES) {
      rc = dr_fd_pread(base->spilled.fd, load.data, WAITING_ENTRIES_BYTES, at, base->spilled_path, error);
      if (rc == DRAY_OK) rc = put_entries(base, load.data, WAITING_ENTRIES_BYTES, &first, keys, error);
    }
    dray_buffer_free(&load);
    DRAY_TRY(rc);
  }
  return put_entries(base, base->entries.data, base->entries.len, &first, keys, error);
}

int32_t dr_base_out_end(struct dr_base_out *base, struct dr_footer *out, uint64_t *out_bytes,
                        struct dray_error *error) {
  struct dr_footer footer = {.records = base->rows.count};
  struct dray_buffer keys;
  dray_buffer_init(&keys, SIZE_MAX / 4);
  int32_t rc = dr_rows_out_end(&base->rows, error);
  if (rc != DRAY_OK) goto done;
  footer.entries_offset = base->out.offset;
  if ((rc = put_all_entries(base, &keys, error)) != DRAY_OK) goto done;
  footer.keys_count = footer.entries_count = keys.len / 16;
  footer.places_count = base->rows.places.len / 16;
  if ((rc = dr_out_table(&base->out, DR_BLOCK_KEYS, &keys, 16, &footer.keys_offset, error)) != DRAY_OK) goto done;
  rc = dr_out_table(&base->out, DR_BLOCK_PLACES, &base->rows.places, 16, &footer.places_offset, error);
  if (rc != DRAY_OK) goto done;
  if ((rc = dr_out_footer(&base->out, &footer, error)) != DRAY_OK) goto done;
  rc = dr_fd_sync(base->fd, base->path, error);
  const int fd = base->fd;
  base->fd = -1; // closed in either case: a descriptor that failed to sync is not used again
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", base->path);
  if (rc != DRAY_OK) goto done;
  *out = footer;
  *out_bytes = base->out.offset;
done:
  dray_buffer_free(&keys);
  return rc;
}
