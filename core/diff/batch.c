// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a batch while rows come. Rows that the filter takes are done with. The rest waits for its look-up
// (wait.c).
#include <stdlib.h>

#include "diff/pass.h"
#include "dray/destination.h"

static int32_t grow(void **memory, size_t count, size_t size, struct dray_error *error) {
  void *larger = realloc(*memory, count * size);
  if (larger == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %zu rows", count);
  *memory = larger;
  return DRAY_OK;
}

// ---- hashes ----

static int32_t hash_room(struct dr_hashed *hashed, size_t rows, struct dray_error *error) {
  if (rows <= hashed->capacity) return DRAY_OK;
  DRAY_TRY(grow((void **)&hashed->keys, rows, sizeof *hashed->keys, error));
  DRAY_TRY(grow((void **)&hashed->rows, rows, sizeof *hashed->rows, error));
  DRAY_TRY(grow((void **)&hashed->null_keys, rows / 8 + 1, 1, error));
  hashed->capacity = rows;
  return DRAY_OK;
}

int32_t dr_hashed_make(struct dr_hashed *hashed, const struct dr_mirror *mirror, struct dray_error *error) {
  const struct dr_batch *batch = hashed->batch;
  if (batch->schema != mirror->slots.schema && !dr_schema_equal(batch->schema, mirror->slots.schema)) {
    return dray_fail(error, DRAY_E_INTERNAL, "a batch has another schema than the mirror was opened with");
  }
  DRAY_TRY(hash_room(hashed, (size_t)dr_batch_rows(batch), error));
  DRAY_TRY(dr_key_hashes(&mirror->keys, batch, hashed->keys, hashed->null_keys, &hashed->nulls, error));
  return dr_row_hashes(&mirror->slots.encoder, batch, hashed->rows, error);
}

void dr_hashed_free(struct dr_hashed *hashed) {
  free(hashed->keys);
  free(hashed->rows);
  free(hashed->null_keys);
  memset(hashed, 0, sizeof *hashed);
}

// ---- what the filter knows ----

static int32_t batch_room(struct dr_diff *diff, size_t rows, struct dray_error *error) {
  if (rows <= diff->capacity) return DRAY_OK;
  DRAY_TRY(grow((void **)&diff->skip, rows / 8 + 1, 1, error));
  DRAY_TRY(grow((void **)&diff->taken, rows, sizeof *diff->taken, error));
  DRAY_TRY(grow((void **)&diff->rest, rows, sizeof *diff->rest, error));
  diff->capacity = rows;
  return DRAY_OK;
}

// Lets the filter take what it knows.
static void take_known(struct dr_diff *diff, const struct dr_hashed *hashed) {
  const size_t rows = (size_t)dr_batch_rows(hashed->batch);
  const uint8_t *skip = hashed->nulls > 0 ? hashed->null_keys : NULL;
  if (!dr_is_filtered(diff)) {
    for (size_t row = 0; row < rows; row++) diff->rest[row] = (uint32_t)row;
    diff->rest_count = rows;
    return;
  }
  if (hashed->batch->deleted != NULL) {
    for (size_t i = 0; i < (rows + 7) / 8; i++) diff->skip[i] = hashed->null_keys[i] | hashed->batch->deleted[i];
    skip = diff->skip;
  }
  diff->rest_count = dr_filter_take(&diff->filter, hashed->keys, hashed->rows, rows, skip, diff->taken, diff->rest);
}

// ---- what the filter left ----

// What only the batch can tell of the row.
static uint32_t describe(const struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint64_t *out_order) {
  uint32_t flags = dr_batch_is_deleted(batch, row) ? DR_REST_TOMBSTONE : 0;
  *out_order = 0;
  if (diff->order_column < 0) return flags;
  const struct dray_column_view *column = &batch->view.columns[diff->order_column];
  if (dray_column_is_null(column, row)) return flags;
  *out_order = dr_order_bits(column, row);
  return flags | DR_REST_HAS_ORDER | (dr_order_is_exact(column->type) ? 0 : DR_REST_KEPT);
}

static int32_t add_row(struct dr_diff *diff, const struct dr_hashed *hashed, uint64_t row, struct dray_error *error) {
  const struct dr_hash128 *key = &hashed->keys[row];
  uint64_t words[WAIT_WORDS] = {0, key->high, hashed->rows[row], key->low, 0};
  const uint32_t flags =
      dr_has_bit(hashed->null_keys, row) ? DR_REST_NULL_KEY : describe(diff, hashed->batch, row, &words[WAIT_ORDER]);
  words[WAIT_PLACE] = (diff->counts.rows + row) << WAIT_FLAGS_BITS | flags;
  dray_buffer_clear(&diff->encoded);
  if ((flags & (DR_REST_TOMBSTONE | DR_REST_KEPT)) != DR_REST_TOMBSTONE) { // else nothing is said of it
    DRAY_TRY(dr_encode_row(&diff->mirror->slots.encoder, hashed->batch, row, &diff->encoded, error));
  }
  return dr_wait_add(diff, words, dray_buffer_view(&diff->encoded), error);
}

// A row that was taken is the first of its key, so that nothing need be written down of it. Where one waits that may be
// of this key, and come before it, that is yet to be seen.
static int32_t note_taken(struct dr_diff *diff, const struct dr_hashed *hashed, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(hashed->batch);
  for (uint64_t row = 0; row < rows; row++) {
    if (!dr_wait_may_hold(&diff->wait, hashed->keys[row].high) || diff->taken[row] == DR_FILTER_NONE) continue;
    uint64_t words[NOTE_WORDS] = {diff->taken[row], (diff->counts.rows + row) << WAIT_FLAGS_BITS, 0};
    words[NOTE_PLACE] |= describe(diff, hashed->batch, row, &words[NOTE_ORDER]);
    DRAY_TRY(dr_wait_note(diff, words, error));
  }
  return DRAY_OK;
}

int32_t dr_diff_work(struct dr_diff *diff, const struct dr_hashed *hashed, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(hashed->batch);
  DRAY_TRY(batch_room(diff, (size_t)rows, error));
  take_known(diff, hashed);
  for (size_t i = 0; i < diff->rest_count; i++) DRAY_TRY(add_row(diff, hashed, diff->rest[i], error));
  if (dr_is_filtered(diff)) DRAY_TRY(note_taken(diff, hashed, error));
  diff->counts.unchanged += rows - diff->rest_count;
  diff->counts.rows += rows;
  return dr_wait_is_full(&diff->wait) ? dr_wait_flush(diff, 0, error) : DRAY_OK;
}
