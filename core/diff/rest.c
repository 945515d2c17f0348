// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rest: rows that the filter did not take, between their look-up and their records. They wait until there are many,
// so that the mirror's rows are read in the order in which they stand there: a block of them is unpacked once for all
// that need one of it. Records are written in the order of the input, by a thread of their own where there is one
// (beside.c): what is done from dr_rest_write on touches nothing that the thread that takes batches does.
#include <stdlib.h>

#include "diff/beside.h"
#include "diff/pass.h"
#include "dray/destination.h"

int dr_rest_equals(struct dr_diff *diff, const struct dr_found *found, uint64_t row_hash) {
  return found->row_hash == row_hash && row_hash > DR_ROW_HASH_DISTRUSTED &&
         dr_mirror_map(diff->mirror, found)->identical;
}

static struct dray_str encoded_of(const struct dr_window *window, const struct dr_rest *rest) {
  return dray_str_make(window->rows.data + rest->at, rest->bytes);
}

static int is_tombstone(const struct dr_rest *rest) {
  return (rest->flags & DR_REST_TOMBSTONE) != 0;
}

// Whether more than the row's own hashes is compared.
static int is_compared(struct dr_diff *diff, const struct dr_rest *rest) {
  if (!rest->found.found || is_tombstone(rest) || (rest->flags & DR_REST_NULL_KEY) != 0) return 0;
  return diff->resync || !dr_rest_equals(diff, &rest->found, rest->row_hash);
}

static int needs_old(struct dr_diff *diff, const struct dr_rest *rest) {
  const int keep = dr_mirror_keep(diff->mirror);
  if (keep == DR_KEEP_KEY || !is_compared(diff, rest)) return 0; // or there is nothing to compare with
  return keep != DR_KEEP_ROW || !dr_rest_equals(diff, &rest->found, rest->row_hash);
}

// An unchanged copy whose place among others may have to be found by a value that the mirror does not hold is kept as a
// note until then. Likewise a tombstone whose order cannot be told from its sighting alone.
static int is_noted(struct dr_diff *diff, const struct dr_rest *rest) {
  if ((rest->flags & DR_REST_KEPT) == 0) return 0;
  return is_tombstone(rest) || (rest->found.found && dr_mirror_keep(diff->mirror) != DR_KEEP_ROW);
}

// ---- rows that wait ----

static int needs_row(struct dr_diff *diff, const struct dr_rest *rest) {
  if ((rest->flags & DR_REST_NULL_KEY) != 0 || is_noted(diff, rest)) return 1;
  return !is_tombstone(rest) && (!rest->found.found || is_compared(diff, rest));
}

static int is_full(const struct dr_diff *diff) {
  const struct dr_window *window = diff->filling;
  return window->rows.len + window->count * sizeof *window->items > diff->waiting_max;
}

int32_t dr_rest_add(struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row, struct dray_error *error) {
  struct dr_window *window = diff->filling;
  if (window->count == window->capacity) {
    const size_t capacity = window->capacity * 2 + 64;
    struct dr_rest *larger = realloc(window->items, capacity * sizeof *larger);
    if (larger == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rows", capacity);
    window->items = larger;
    window->capacity = capacity;
  }
  struct dr_rest *waiting = &window->items[window->count];
  *waiting = *rest;
  waiting->at = window->rows.len;
  waiting->bytes = needs_row(diff, rest) ? row.len : 0;
  window->rows.max = window->rows.len + DR_ROW_BYTES_MAX;
  if (waiting->bytes > 0) DRAY_TRY(dray_buffer_append(&window->rows, row.data, (size_t)row.len, error));
  window->count++;
  return is_full(diff) ? dr_rest_flush(diff, error) : DRAY_OK;
}

// ---- what they are compared with ----

// What a row is compared with: the mirror's row, or the 32 bits of each of its slots. Valid until the next call.
static int32_t fetch_old(struct dr_diff *diff, const struct dr_found *found, struct dray_str *out,
                         struct dr_rows_map **out_map, struct dray_error *error) {
  struct dr_mirror *mirror = diff->mirror;
  if (dr_mirror_keep(mirror) == DR_KEEP_ROW) return dr_mirror_row(mirror, found, out, out_map, error);
  *out_map = dr_mirror_map(mirror, found);
  DRAY_TRY(dr_mirror_columns(mirror, found, diff->columns, error));
  *out = dray_str_make((const char *)diff->columns, dr_slots_count(&mirror->slots) * sizeof *diff->columns);
  return DRAY_OK;
}

static int32_t keep_old(struct dr_diff *diff, struct dr_rest *rest, struct dray_error *error) {
  struct dray_str old;
  struct dr_rows_map *map;
  DRAY_TRY(fetch_old(diff, &rest->found, &old, &map, error));
  rest->old_at = diff->old.len;
  rest->old_bytes = old.len;
  DRAY_TRY(dray_buffer_append(&diff->old, old.data, (size_t)old.len, error));
  rest->has_old = 1;
  return DRAY_OK;
}

// Reads the mirror's rows in the order in which they stand there, as many as there is room for; the others are read one
// by one when they are needed.
static int32_t read_old(struct dr_diff *diff, struct dr_window *window, struct dray_error *error) {
  size_t count = 0;
  uint64_t *order = calloc(window->count + 1, 3 * sizeof *order); // in the journal, place there; who waits
  if (order == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu rows", window->count);
  for (size_t i = 0; i < window->count; i++) {
    const struct dr_found *found = &window->items[i].found;
    if (!needs_old(diff, &window->items[i])) continue;
    order[3 * count] = (uint64_t)found->in_journal;
    order[3 * count + 1] = found->in_journal ? diff->mirror->items[found->number].place : found->number;
    order[3 * count++ + 2] = i;
  }
  dr_sort_words(order, count, 3, 2);
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count && diff->old.len <= diff->waiting_max; i++) {
    rc = keep_old(diff, &window->items[order[3 * i + 2]], error);
  }
  free(order);
  return rc;
}

// ---- records ----

static void set_all(uint8_t *bits, size_t count) {
  memset(bits, 0, dr_changed_stride(count));
  for (size_t i = 0; i < count; i++) dr_set_bit(bits, i);
}

static struct dray_str view_of(const uint8_t *bytes, size_t len) {
  return dray_str_make((const char *)bytes, len);
}

static int32_t put_new(struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row, uint8_t op, int32_t code,
                       struct dray_error *error) {
  struct dr_record record = {.op = op,
                             .code = code,
                             .ordinal = rest->ordinal,
                             .high = rest->high,
                             .low = rest->low,
                             .row_hash = rest->row_hash,
                             .changed = view_of(diff->changed, diff->stride),
                             .row = row};
  memset(diff->changed, 0, diff->stride);
  if (op == DRAY_OP_INSERT) set_all(diff->changed, diff->mirror->slots.schema->field_count);
  return dr_record_put(&diff->records, &record, error);
}

// A null where the mirror knows no value: the other side got the column after the row. Or any value, where nothing was
// said to it that it could differ from.
static int is_unknown(const struct dr_diff *diff, size_t slot) {
  if (!diff->known) return 0;
  const int unsaid = diff->unsaid != NULL && diff->unsaid[diff->mirror->slots.encoder.columns[slot]];
  if (!unsaid && dr_slice_state(diff->slices[slot]) != DR_SLOT_NULL) return 0;
  if (dr_mirror_keep(diff->mirror) == DR_KEEP_KEY) return unsaid; // the row's hash may be one without this value
  if (dr_mirror_keep(diff->mirror) == DR_KEEP_COLUMNS) return diff->columns[slot] == 0;
  return dr_slice_state(diff->old_slices[slot]) == DR_SLOT_ABSENT;
}

// Fills absent, and changed by `differs` of each slot that the row says. Returns whether any did. *out_absent: whether
// the row or the mirror says nothing somewhere.
static int compare(struct dr_diff *diff, int (*differs)(const struct dr_diff *diff, size_t slot), int *out_absent) {
  const struct dr_slots *slots = &diff->mirror->slots;
  int any = 0;
  *out_absent = 0;
  memset(diff->changed, 0, diff->stride);
  memset(diff->absent, 0, diff->stride);
  for (size_t i = 0; i < dr_slots_count(slots); i++) {
    if (dr_slice_state(diff->slices[i]) == DR_SLOT_ABSENT) {
      dr_set_bit(diff->absent, slots->encoder.columns[i]);
      *out_absent = 1;
    } else if (is_unknown(diff, i)) {
      *out_absent = 1;
    } else if (diff->resync || diff->distrusted || differs(diff, i)) {
      dr_set_bit(diff->changed, slots->encoder.columns[i]);
      any = 1;
    }
  }
  return any;
}

static int differs_always(const struct dr_diff *diff, size_t slot) {
  (void)diff;
  (void)slot;
  return 1;
}

static int differs_in_value(const struct dr_diff *diff, size_t slot) {
  return !dray_str_equal(diff->slices[slot], diff->old_slices[slot]);
}

static int differs_in_hash(const struct dr_diff *diff, size_t slot) {
  return dr_payload_column_hash(diff->slices[slot], diff->mirror->seed) != diff->columns[slot];
}

// What the other side will hold: the row, with the mirror's values where it says nothing.
static int32_t merge_row(struct dr_diff *diff, struct dray_error *error) {
  dray_buffer_clear(&diff->merged);
  for (size_t i = 0; i < dr_slots_count(&diff->mirror->slots); i++) {
    const int absent = dr_slice_state(diff->slices[i]) == DR_SLOT_ABSENT;
    const struct dray_str slice = absent ? diff->old_slices[i] : diff->slices[i];
    DRAY_TRY(dray_buffer_append(&diff->merged, slice.data, (size_t)slice.len, error));
  }
  return DRAY_OK;
}

static struct dr_record update_of(const struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row) {
  return (struct dr_record){.op = DRAY_OP_UPDATE,
                            .ordinal = rest->ordinal,
                            .high = rest->high,
                            .low = rest->low,
                            .row_hash = rest->row_hash,
                            .changed = view_of(diff->changed, diff->stride),
                            .row = row};
}

static int32_t put_update(struct dr_diff *diff, const struct dr_record *record, struct dray_error *error) {
  DRAY_TRY(dr_record_put(&diff->records, record, error));
  diff->counts.updates++;
  for (size_t i = 0; i < diff->mirror->slots.schema->field_count; i++) {
    diff->counts.column_updates[i] += (uint64_t)dr_has_bit(diff->changed, i);
  }
  return DRAY_OK;
}

// The row beside the mirror's row `old`.
static int32_t beside_row(struct dr_diff *diff, struct dr_record record, struct dray_str old, struct dr_rows_map *map,
                          int *out_changed, struct dray_error *error) {
  int any_absent = 0;
  DRAY_TRY(dr_rows_split(map, old, diff->old_slices, error));
  *out_changed = compare(diff, differs_in_value, &any_absent);
  if (!*out_changed) return DRAY_OK;
  if (!map->identical) { // as it is, it may not be decoded under the current schema
    dray_buffer_clear(&diff->before);
    DRAY_TRY(dr_rows_remap(map, old, diff->old_slices, &diff->before, error));
    old = dray_buffer_view(&diff->before);
  }
  record.flags = DR_RECORD_BEFORE;
  record.before = old;
  if (any_absent) {
    DRAY_TRY(merge_row(diff, error));
    record.flags |= DR_RECORD_ABSENT;
    record.absent = view_of(diff->absent, diff->stride);
    record.row = dray_buffer_view(&diff->merged);
    record.row_hash = dr_row_hash(record.row, diff->mirror->seed);
  }
  return put_update(diff, &record, error);
}

// The row beside the 32 bits of each slot, `old`. Where the row says nothing the mirror keeps its own: they travel with
// the record, and the mirror will not know the hash of the whole row (ack.c). The record's is that of the row as it
// came: it tells one such update from another.
static int32_t beside_columns(struct dr_diff *diff, struct dr_record record, struct dray_str old, int comparable,
                              int *out_changed, struct dray_error *error) {
  int any_absent = 0, any_kept = 0;
  if (old.data != (const char *)diff->columns) memcpy(diff->columns, old.data, (size_t)old.len);
  *out_changed = compare(diff, differs_in_hash, &any_absent);
  if (!*out_changed && comparable && !any_absent) { // two values of a column with the same 32 bits
    *out_changed = compare(diff, differs_always, &any_absent);
  }
  if (!*out_changed) return DRAY_OK;
  for (size_t i = 0; i < dr_slots_count(&diff->mirror->slots); i++) {
    any_kept |= dr_slice_state(diff->slices[i]) == DR_SLOT_ABSENT && diff->columns[i] != 0;
  }
  if (any_kept) {
    record.flags = DR_RECORD_COLUMNS;
    record.before = old;
  }
  return put_update(diff, &record, error);
}

// A row whose key the mirror has. *out_changed: whether it became a record.
static int32_t known_row(struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row, int *out_changed,
                         struct dray_error *error) {
  const int keep = dr_mirror_keep(diff->mirror), equal = dr_rest_equals(diff, &rest->found, rest->row_hash);
  struct dr_rows_map *map = dr_mirror_map(diff->mirror, &rest->found);
  *out_changed = 0;
  if (equal && !diff->resync) return DRAY_OK;
  diff->distrusted = rest->found.row_hash == DR_ROW_HASH_DISTRUSTED;
  DRAY_TRY(dr_decode_slices(row, map->to_count, diff->slices, error));
  const struct dr_record record = update_of(diff, rest, row);
  const int comparable = map->identical && rest->found.row_hash > DR_ROW_HASH_DISTRUSTED;
  if (keep == DR_KEEP_KEY) {
    int any_absent = 0;
    const int differs = compare(diff, differs_always, &any_absent);
    if (diff->known && (!comparable || any_absent)) {
      diff->counts.unknown++;
      return DRAY_OK;
    }
    *out_changed = differs;
    return put_update(diff, &record, error);
  }
  struct dray_str old = row;
  if (rest->has_old) {
    old = dray_str_make(diff->old.data + rest->old_at, rest->old_bytes);
  } else if (needs_old(diff, rest)) {
    DRAY_TRY(fetch_old(diff, &rest->found, &old, &map, error));
  }
  if (keep == DR_KEEP_ROW) return beside_row(diff, record, old, map, out_changed, error);
  return beside_columns(diff, record, old, map->identical && comparable, out_changed, error);
}

static int32_t sight(struct dr_diff *diff, const struct dr_rest *rest, uint64_t ref, struct dray_error *error) {
  const int ordered = (rest->flags & DR_REST_HAS_ORDER) != 0;
  const uint64_t kind = !is_tombstone(rest) ? SIGHT_ROW : ordered ? SIGHT_TOMBSTONE_ORDERED : SIGHT_TOMBSTONE;
  const uint64_t words[SIGHT_WORDS] = {rest->high, rest->low, rest->ordinal | kind << SIGHT_CLASS_SHIFT,
                                       ref | rest->before | (ordered ? SIGHT_HAS_ORDER : 0), rest->order};
  return dr_sorter_add(&diff->sightings, words, dray_str_make(NULL, 0), error);
}

static int32_t put_row(struct dr_diff *diff, const struct dr_rest *rest, struct dray_str row,
                       struct dray_error *error) {
  uint64_t ref = diff->records.count;
  int record = 1;
  if ((rest->flags & DR_REST_NULL_KEY) != 0) {
    DRAY_TRY(put_new(diff, rest, row, DR_OP_REJECT, DRAY_E_DATA_KEY_NULL, error));
    diff->counts.null_keys++;
    return DRAY_OK;
  }
  if (is_tombstone(rest)) {
    record = is_noted(diff, rest); // never shown: its delete is written at the end
    if (record) DRAY_TRY(put_new(diff, rest, row, DRAY_OP_DELETE, 0, error));
  } else if (rest->found.found) {
    DRAY_TRY(known_row(diff, rest, row, &record, error));
    diff->rest_unchanged += !record;
    if (!record && is_noted(diff, rest)) {
      ref |= SIGHT_NOTED;
      DRAY_TRY(put_new(diff, rest, row, DRAY_OP_DELETE, 0, error));
    }
  } else {
    DRAY_TRY(put_new(diff, rest, row, DRAY_OP_INSERT, 0, error));
    diff->counts.inserts++;
  }
  if (!record) ref |= SIGHT_UNCHANGED;
  return sight(diff, rest, ref, error);
}

int32_t dr_rest_write(struct dr_diff *diff, struct dr_window *window, struct dray_error *error) {
  dray_buffer_clear(&diff->old);
  DRAY_TRY(read_old(diff, window, error));
  for (size_t i = 0; i < window->count; i++) {
    DRAY_TRY(put_row(diff, &window->items[i], encoded_of(window, &window->items[i]), error));
  }
  dray_buffer_clear(&window->rows);
  window->count = 0;
  return DRAY_OK;
}

int32_t dr_rest_flush(struct dr_diff *diff, struct dray_error *error) {
  struct dr_window *window = diff->filling;
  if (window->count == 0) return DRAY_OK;
  if (diff->writer == NULL) return dr_rest_write(diff, window, error);
  DRAY_TRY(dr_beside_give(diff->writer, window, error));
  diff->filling = window == diff->windows ? diff->windows + 1 : diff->windows; // written, or never used
  return DRAY_OK;
}
