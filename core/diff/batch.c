// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a batch while rows come. Rows that the filter takes are done with. The rest is looked up in the order
// of its key hashes, so that a mirror on disk is read forwards, and waits for its records (rest.c) in the order of the
// input.
#include <stdlib.h>

#include "diff/pass.h"
#include "dray/destination.h"

static int32_t grow(void **memory, size_t count, size_t size, struct dray_error *error) {
  void *larger = realloc(*memory, count * size);
  if (larger == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu rows", count);
  *memory = larger;
  return DRAY_OK;
}

static int32_t batch_room(struct dr_diff *diff, size_t rows, struct dray_error *error) {
  if (rows <= diff->capacity) return DRAY_OK;
  DRAY_TRY(grow((void **)&diff->key_hashes, rows, sizeof *diff->key_hashes, error));
  DRAY_TRY(grow((void **)&diff->row_hashes, rows, sizeof *diff->row_hashes, error));
  DRAY_TRY(grow((void **)&diff->null_keys, rows / 8 + 1, 1, error));
  DRAY_TRY(grow((void **)&diff->skip, rows / 8 + 1, 1, error));
  DRAY_TRY(grow((void **)&diff->taken, rows, sizeof *diff->taken, error));
  DRAY_TRY(grow((void **)&diff->rest, rows, sizeof *diff->rest, error));
  DRAY_TRY(grow((void **)&diff->found, rows, sizeof *diff->found, error));
  DRAY_TRY(grow((void **)&diff->order, rows, 3 * sizeof *diff->order, error));
  diff->capacity = rows;
  return DRAY_OK;
}

// ---- what the filter knows ----

// Hashes the batch and lets the filter take what it knows.
static int32_t take_known(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const size_t rows = (size_t)dr_batch_rows(batch);
  const uint8_t *skip = NULL;
  uint64_t nulls = 0;
  DRAY_TRY(dr_key_hashes(&diff->mirror->keys, batch, diff->key_hashes, diff->null_keys, &nulls, error));
  DRAY_TRY(dr_row_hashes(&diff->mirror->slots.encoder, batch, diff->row_hashes, error));
  if (!dr_is_filtered(diff)) {
    for (size_t row = 0; row < rows; row++) diff->rest[row] = (uint32_t)row;
    diff->rest_count = rows;
    return DRAY_OK;
  }
  if (nulls > 0) skip = diff->null_keys;
  if (batch->deleted != NULL) {
    for (size_t i = 0; i < (rows + 7) / 8; i++) diff->skip[i] = diff->null_keys[i] | batch->deleted[i];
    skip = diff->skip;
  }
  diff->rest_count =
      dr_filter_take(&diff->filter, diff->key_hashes, diff->row_hashes, rows, skip, diff->taken, diff->rest);
  return DRAY_OK;
}

// ---- looking the rest up ----

static int32_t probe_row(struct dr_diff *diff, uint64_t row, struct dray_error *error) {
  const struct dr_hash128 *key = &diff->key_hashes[row];
  return dr_mirror_find(diff->mirror, key->high, key->low, &diff->found[row], error);
}

static void to_look_up(struct dr_diff *diff, size_t *count, uint64_t row) {
  uint64_t *words = diff->order + 3 * (*count)++;
  words[0] = diff->key_hashes[row].high;
  words[1] = diff->key_hashes[row].low;
  words[2] = row;
}

// Looks up the first `count` of diff->order, and sorts them.
static int32_t probe_ordered(struct dr_diff *diff, size_t count, struct dray_error *error) {
  dr_sort_words(diff->order, count, 3, 3);
  for (size_t i = 0; i < count; i++) DRAY_TRY(probe_row(diff, diff->order[3 * i + 2], error));
  return DRAY_OK;
}

// Of the first `count` rows in diff->order, leaves those that the base holds and for whose key another row was taken,
// once a key: number in the base, first row. They stay sorted, by that number.
static size_t keep_plain(struct dr_diff *diff, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t row = diff->order[3 * i + 2];
    const struct dr_found *found = &diff->found[row];
    if (!found->found || found->in_journal || !dr_filter_is_plain(&diff->filter, found->number)) continue;
    uint64_t *words = diff->order + 3 * kept;
    if (kept > 0 && words[-3] == found->number) continue;
    words[0] = found->number;
    words[2] = row;
    kept++;
  }
  return kept;
}

// The first row of the input among `count` kept ones that is the base's row `number`; UINT64_MAX: none.
static uint64_t first_row_of(const struct dr_diff *diff, size_t count, uint64_t number) {
  size_t from = 0, to = count;
  while (from < to) {
    const size_t middle = from + (to - from) / 2;
    if (diff->order[3 * middle] < number) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from < count && diff->order[3 * from] == number ? diff->order[3 * from + 2] : UINT64_MAX;
}

// A row that was taken is the first of its key, so that nothing need be written down of it. Where a row of the rest
// stands before it in this batch it is not: it is taken back, and looked up as well. Returns how many were, in
// diff->order.
static size_t take_back(struct dr_diff *diff, uint64_t rows, size_t kept) {
  size_t count = 0;
  for (uint64_t row = 0; row < rows; row++) {
    if (diff->taken[row] == DR_FILTER_NONE || first_row_of(diff, kept, diff->taken[row]) > row) continue;
    dr_filter_untake(&diff->filter, diff->taken[row], &diff->key_hashes[row], diff->row_hashes[row]);
    diff->taken[row] = DR_FILTER_NONE;
    diff->rest[count++] = (uint32_t)row;
  }
  for (size_t i = 0, at = 0; i < count; i++) to_look_up(diff, &at, diff->rest[i]);
  return count;
}

static int32_t look_up(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  size_t count = 0;
  int again = 0;
  for (size_t i = 0; i < diff->rest_count; i++) {
    const uint32_t row = diff->rest[i];
    if (dr_has_bit(diff->null_keys, row)) continue;
    if (dr_batch_is_deleted(batch, row) && !dr_is_filtered(diff)) continue;
    to_look_up(diff, &count, row);
  }
  while (count > 0) {
    DRAY_TRY(probe_ordered(diff, count, error));
    if (!dr_is_filtered(diff)) break;
    const size_t kept = keep_plain(diff, count);
    count = kept > 0 ? take_back(diff, rows, kept) : 0;
    again |= count > 0;
  }
  if (!again) return DRAY_OK;
  diff->rest_count = 0;
  for (uint64_t row = 0; row < rows; row++) {
    if (diff->taken[row] == DR_FILTER_NONE) diff->rest[diff->rest_count++] = (uint32_t)row;
  }
  return DRAY_OK;
}

// ---- the rest, a row at a time ----

// Notes that a row of this key came. *out_done: it is the first, and equals the overlay's: nothing more is said of it.
// Returns what its sighting must say of those before it.
static uint64_t see(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, int *out_done) {
  const struct dr_found *found = &diff->found[row];
  *out_done = 0;
  if (!dr_is_filtered(diff) || !found->found) return 0;
  if (!found->in_journal) {
    dr_filter_see(&diff->filter, found->number);
    return dr_filter_is_plain(&diff->filter, found->number) ? SIGHT_AFTER_PLAIN : 0;
  }
  if (dr_has_bit(diff->items_plain, found->number)) return SIGHT_AFTER_PLAIN;
  if (dr_has_bit(diff->items_seen, found->number)) return 0;
  dr_set_bit(diff->items_seen, found->number);
  if (dr_batch_is_deleted(batch, row) || !dr_rest_equals(diff, found, diff->row_hashes[row])) return 0;
  dr_set_bit(diff->items_plain, found->number);
  *out_done = 1;
  return 0;
}

// What only the batch can tell of the row.
static uint32_t describe(const struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint64_t *out_order) {
  uint32_t flags = dr_batch_is_deleted(batch, row) ? DR_REST_TOMBSTONE : 0;
  if (diff->order_column < 0) return flags;
  const struct dray_column_view *column = &batch->view.columns[diff->order_column];
  if (dray_column_is_null(column, row)) return flags;
  *out_order = dr_order_bits(column, row);
  return flags | DR_REST_HAS_ORDER | (dr_order_is_exact(column->type) ? 0 : DR_REST_KEPT);
}

static int32_t add_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, struct dray_error *error) {
  struct dr_rest rest = {.ordinal = diff->counts.rows + row,
                         .high = diff->key_hashes[row].high,
                         .low = diff->key_hashes[row].low,
                         .row_hash = diff->row_hashes[row]};
  int done = 0;
  if (dr_has_bit(diff->null_keys, row)) {
    rest.flags = DR_REST_NULL_KEY;
    return dr_rest_add(diff, &rest, batch, row, error);
  }
  if (!dr_batch_is_deleted(batch, row) || dr_is_filtered(diff)) rest.found = diff->found[row];
  rest.before = see(diff, batch, row, &done);
  if (done) {
    diff->counts.unchanged++;
    return DRAY_OK;
  }
  rest.flags = describe(diff, batch, row, &rest.order);
  return dr_rest_add(diff, &rest, batch, row, error);
}

int32_t dr_diff_work(struct dr_diff *diff, const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  if (batch->schema != diff->mirror->slots.schema && !dr_schema_equal(batch->schema, diff->mirror->slots.schema)) {
    return dray_fail(error, DRAY_E_INTERNAL, "a batch has another schema than the mirror was opened with");
  }
  DRAY_TRY(batch_room(diff, (size_t)rows, error));
  DRAY_TRY(take_known(diff, batch, error));
  DRAY_TRY(look_up(diff, batch, error));
  for (size_t i = 0; i < diff->rest_count; i++) DRAY_TRY(add_row(diff, batch, diff->rest[i], error));
  diff->counts.unchanged += rows - diff->rest_count;
  diff->counts.rows += rows;
  return dr_rest_is_full(diff) ? dr_rest_flush(diff, error) : DRAY_OK;
}
