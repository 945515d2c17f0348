// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a mirror still knows of a row that was found: the row itself, or as much of it as its payload holds.
#include <assert.h>

#include "base/file.h"
#include "diff/mirror.h"

// A change of the journal, read again and compared with what was remembered of it when its frame was verified.
static int32_t journal_payload(struct dr_mirror *mirror, const struct dr_item *item, struct dray_str *out,
                               struct dray_error *error) {
  struct dr_journal *journal = mirror->journal;
  const size_t len = DR_CHANGE_BYTES + (size_t)item->bytes;
  const uint64_t place = item->place - DR_CHANGE_BYTES;
  char *to = NULL;
  dray_buffer_clear(&mirror->held);
  DRAY_TRY(dray_buffer_reserve(&mirror->held, len, &to, error));
  DRAY_TRY(dr_fd_pread(journal->fd, to, len, place, journal->path, error));
  if (!dr_change_is_true(to, len, item->high, item->low, item->row_hash)) {
    return dr_corrupt(error, journal->path, place, "a change of %zu bytes is not what it was", len);
  }
  *out = dray_str_make(to + DR_CHANGE_BYTES, item->bytes);
  return DRAY_OK;
}

static int32_t find_payload(struct dr_mirror *mirror, const struct dr_found *found, struct dr_payload **out_payload,
                            struct dray_str *out, struct dray_error *error) {
  if (found->in_journal) {
    const struct dr_item *item = &mirror->items[found->number];
    *out_payload = &mirror->schemas[item->schema].payload;
    return journal_payload(mirror, item, out, error);
  }
  *out_payload = &mirror->base_payload;
  return dr_base_row(mirror->base, found->number, out, error);
}

int32_t dr_mirror_row(struct dr_mirror *mirror, const struct dr_found *found, struct dray_str *out_row,
                      struct dr_rows_map **out_map, struct dray_error *error) {
  struct dr_payload *payload;
  struct dray_str bytes;
  *out_map = dr_mirror_map(mirror, found);
  DRAY_TRY(find_payload(mirror, found, &payload, &bytes, error));
  if (payload->keep == DR_KEEP_ROW) {
    *out_row = bytes;
    return DRAY_OK;
  }
  dray_buffer_clear(&mirror->row);
  DRAY_TRY(dr_payload_row(payload, found->high, bytes, &mirror->row, error));
  *out_row = dray_buffer_view(&mirror->row);
  return DRAY_OK;
}

int32_t dr_mirror_columns(struct dr_mirror *mirror, const struct dr_found *found, uint32_t *out,
                          struct dray_error *error) {
  const struct dr_rows_map *map = dr_mirror_map(mirror, found);
  struct dr_payload *payload;
  struct dray_str bytes, key;
  assert(mirror->info.keep == DR_KEEP_COLUMNS);
  DRAY_TRY(find_payload(mirror, found, &payload, &bytes, error));
  DRAY_TRY(dr_payload_columns(payload, bytes, NULL, &key, error));
  dr_rows_map_columns(map, bytes.data, out);
  return DRAY_OK;
}
