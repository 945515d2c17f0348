// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a batch while rows come. Rows that the filter takes are done with. The rest is looked up in the order
// of its key hashes, so that a mirror on disk is read forwards, and written in the order of its rows.
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
  DRAY_TRY(grow((void **)&diff->probes, rows, sizeof *diff->probes, error));
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

// Whether the row is known to equal the mirror's without looking at either.
static int surely_equal(struct dr_diff *diff, const struct dr_probe *probe, uint64_t row_hash) {
  return probe->found.row_hash == row_hash && row_hash != DR_ROW_HASH_UNKNOWN &&
         dr_mirror_map(diff->mirror, &probe->found)->identical;
}

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

// Looks row `row` up; when its old row will be needed, it is fetched now, while its neighbours are at hand.
static int32_t probe_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, struct dray_error *error) {
  struct dr_probe *probe = &diff->probes[row];
  const struct dr_hash128 *key = &diff->key_hashes[row];
  *probe = (struct dr_probe){.old_bytes = UINT32_MAX};
  DRAY_TRY(dr_mirror_find(diff->mirror, key->high, key->low, &probe->found, error));
  if (!probe->found.found || dr_batch_is_deleted(batch, row)) return DRAY_OK;
  if (surely_equal(diff, probe, diff->row_hashes[row])) return DRAY_OK;
  if (dr_mirror_keep(diff->mirror) == DR_KEEP_KEY) return DRAY_OK; // there is nothing to compare with
  if (diff->old.len > dr_share(diff->mirror, 16)) return DRAY_OK;  // the rest is fetched one by one
  struct dray_str old;
  struct dr_rows_map *map;
  DRAY_TRY(fetch_old(diff, &probe->found, &old, &map, error));
  probe->old_at = diff->old.len;
  DRAY_TRY(dray_buffer_append(&diff->old, old.data, (size_t)old.len, error));
  probe->old_bytes = (uint32_t)old.len;
  return DRAY_OK;
}

static void to_look_up(struct dr_diff *diff, size_t *count, uint64_t row) {
  uint64_t *words = diff->order + 3 * (*count)++;
  words[0] = diff->key_hashes[row].high;
  words[1] = diff->key_hashes[row].low;
  words[2] = row;
}

// Looks up the first `count` of diff->order, and sorts them.
static int32_t probe_ordered(struct dr_diff *diff, const struct dr_batch *batch, size_t count,
                             struct dray_error *error) {
  dr_sort_words(diff->order, count, 3, 3);
  for (size_t i = 0; i < count; i++) DRAY_TRY(probe_row(diff, batch, diff->order[3 * i + 2], error));
  return DRAY_OK;
}

// Of the first `count` rows in diff->order, leaves those that the base holds and for whose key another row was taken,
// once a key: number in the base, first row. They stay sorted, by that number.
static size_t keep_plain(struct dr_diff *diff, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t row = diff->order[3 * i + 2];
    const struct dr_found *found = &diff->probes[row].found;
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
  dray_buffer_clear(&diff->old);
  for (size_t i = 0; i < diff->rest_count; i++) {
    const uint32_t row = diff->rest[i];
    if (dr_has_bit(diff->null_keys, row)) continue;
    if (dr_batch_is_deleted(batch, row) && !dr_is_filtered(diff)) continue;
    to_look_up(diff, &count, row);
  }
  while (count > 0) {
    DRAY_TRY(probe_ordered(diff, batch, count, error));
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

// ---- one row ----

static void set_all(uint8_t *bits, size_t count) {
  memset(bits, 0, dr_changed_stride(count));
  for (size_t i = 0; i < count; i++) dr_set_bit(bits, i);
}

static struct dray_str view_of(const uint8_t *bytes, size_t len) {
  return dray_str_make((const char *)bytes, len);
}

static int32_t put_new(struct dr_diff *diff, uint64_t row, uint8_t op, int32_t code, struct dray_error *error) {
  struct dr_record record = {.op = op,
                             .code = code,
                             .ordinal = diff->counts.rows + row,
                             .high = diff->key_hashes[row].high,
                             .low = diff->key_hashes[row].low,
                             .row_hash = diff->row_hashes[row],
                             .changed = view_of(diff->changed, diff->stride),
                             .row = dray_buffer_view(&diff->encoded)};
  memset(diff->changed, 0, diff->stride);
  if (op == DRAY_OP_INSERT) set_all(diff->changed, diff->mirror->slots.schema->field_count);
  return dr_record_put(&diff->records, &record, error);
}

// Fills absent, and changed by `differs` of each slot that the row says. Returns whether any did.
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
    } else if (diff->resync || differs(diff, i)) {
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

// An update to the row in diff->encoded.
static struct dr_record update_of(const struct dr_diff *diff, uint64_t row) {
  return (struct dr_record){.op = DRAY_OP_UPDATE,
                            .ordinal = diff->counts.rows + row,
                            .high = diff->key_hashes[row].high,
                            .low = diff->key_hashes[row].low,
                            .row_hash = diff->row_hashes[row],
                            .changed = view_of(diff->changed, diff->stride),
                            .row = dray_buffer_view(&diff->encoded)};
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
static int32_t beside_row(struct dr_diff *diff, uint64_t row, struct dray_str old, struct dr_rows_map *map,
                          int *out_changed, struct dray_error *error) {
  struct dr_record record = update_of(diff, row);
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
// the record, and then nobody knows the hash of the whole row.
static int32_t beside_columns(struct dr_diff *diff, uint64_t row, struct dray_str old, int comparable, int *out_changed,
                              struct dray_error *error) {
  struct dr_record record = update_of(diff, row);
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
    record.row_hash = DR_ROW_HASH_UNKNOWN;
  }
  return put_update(diff, &record, error);
}

// A row whose key the mirror has. *out_changed: whether it became a record.
static int32_t known_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, int *out_changed,
                         struct dray_error *error) {
  const struct dr_probe *probe = &diff->probes[row];
  const int keep = dr_mirror_keep(diff->mirror), equal = surely_equal(diff, probe, diff->row_hashes[row]);
  struct dr_rows_map *map = dr_mirror_map(diff->mirror, &probe->found);
  *out_changed = 0;
  if (equal && !diff->resync) return DRAY_OK;
  dray_buffer_clear(&diff->encoded);
  DRAY_TRY(dr_encode_row(&diff->mirror->slots.encoder, batch, row, &diff->encoded, error));
  DRAY_TRY(dr_decode_slices(dray_buffer_view(&diff->encoded), map->to_count, diff->slices, error));
  if (keep == DR_KEEP_KEY) {
    int any_absent = 0;
    const struct dr_record record = update_of(diff, row);
    *out_changed = compare(diff, differs_always, &any_absent);
    return put_update(diff, &record, error);
  }
  struct dray_str old = dray_buffer_view(&diff->encoded);
  if (probe->old_bytes != UINT32_MAX) {
    old = dray_str_make(diff->old.data + probe->old_at, probe->old_bytes);
  } else if (!equal || keep != DR_KEEP_ROW) {
    DRAY_TRY(fetch_old(diff, &probe->found, &old, &map, error));
  }
  if (keep == DR_KEEP_ROW) return beside_row(diff, row, old, map, out_changed, error);
  const int comparable = map->identical && probe->found.row_hash != DR_ROW_HASH_UNKNOWN;
  return beside_columns(diff, row, old, comparable, out_changed, error);
}

static int32_t new_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint8_t op, int32_t code,
                       struct dray_error *error) {
  dray_buffer_clear(&diff->encoded);
  DRAY_TRY(dr_encode_row(&diff->mirror->slots.encoder, batch, row, &diff->encoded, error));
  return put_new(diff, row, op, code, error);
}

// Notes that a row of this key came. *out_done: it is the first, and equals the overlay's: nothing more is said of it.
// Returns what its sighting must say of those before it.
static uint64_t see(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, int *out_done) {
  const struct dr_found *found = &diff->probes[row].found;
  *out_done = 0;
  if (!dr_is_filtered(diff) || !found->found) return 0;
  if (!found->in_journal) {
    dr_filter_see(&diff->filter, found->number);
    return dr_filter_is_plain(&diff->filter, found->number) ? SIGHT_AFTER_PLAIN : 0;
  }
  if (dr_has_bit(diff->items_plain, found->number)) return SIGHT_AFTER_PLAIN;
  if (dr_has_bit(diff->items_seen, found->number)) return 0;
  dr_set_bit(diff->items_seen, found->number);
  if (dr_batch_is_deleted(batch, row) || !surely_equal(diff, &diff->probes[row], diff->row_hashes[row])) return 0;
  dr_set_bit(diff->items_plain, found->number);
  *out_done = 1;
  return 0;
}

static int32_t sight(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint64_t ref,
                     struct dray_error *error) {
  uint64_t words[SIGHT_WORDS] = {diff->key_hashes[row].high, diff->key_hashes[row].low, diff->counts.rows + row, ref,
                                 0};
  uint64_t kind = dr_batch_is_deleted(batch, row) ? SIGHT_TOMBSTONE : SIGHT_ROW;
  if (diff->order_column >= 0) {
    const struct dray_column_view *column = &batch->view.columns[diff->order_column];
    if (!dray_column_is_null(column, row) && !dr_batch_is_absent(batch, (size_t)diff->order_column, row)) {
      words[SIGHT_REF] |= SIGHT_HAS_ORDER;
      words[SIGHT_ORDER] = dr_order_bits(column, row);
      if (kind == SIGHT_TOMBSTONE) kind = SIGHT_TOMBSTONE_ORDERED;
    }
  }
  words[SIGHT_PLACE] |= kind << SIGHT_CLASS_SHIFT;
  return dr_sorter_add(&diff->sightings, words, dray_str_make(NULL, 0), error);
}

// Whether the row's order cannot be told from the sighting alone: what tells it must be kept until the end.
static int is_kept(const struct dr_diff *diff, const struct dr_batch *batch, uint64_t row) {
  if (diff->order_column < 0) return 0;
  const struct dray_column_view *column = &batch->view.columns[diff->order_column];
  return !dr_order_is_exact(column->type) && !dray_column_is_null(column, row);
}

static int32_t add_tombstone(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, int *out_record,
                             struct dray_error *error) {
  *out_record = is_kept(diff, batch, row);
  if (!*out_record) return DRAY_OK;
  return new_row(diff, batch, row, DRAY_OP_DELETE, 0, error); // never shown: its delete is written at the end
}

// An unchanged copy whose place among others may have to be found by a value that the mirror does not hold: it is kept
// until then.
static int32_t add_note(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, uint64_t *ref,
                        struct dray_error *error) {
  if (dr_mirror_keep(diff->mirror) == DR_KEEP_ROW || !is_kept(diff, batch, row)) return DRAY_OK;
  *ref |= SIGHT_NOTED;
  return new_row(diff, batch, row, DRAY_OP_DELETE, 0, error);
}

static int32_t add_row(struct dr_diff *diff, const struct dr_batch *batch, uint64_t row, struct dray_error *error) {
  uint64_t ref = diff->records.count;
  int record = 1, done = 0;
  if (dr_has_bit(diff->null_keys, row)) {
    DRAY_TRY(new_row(diff, batch, row, DR_OP_REJECT, DRAY_E_DATA_KEY_NULL, error));
    diff->counts.null_keys++;
    return DRAY_OK;
  }
  const uint64_t before = see(diff, batch, row, &done);
  if (done) {
    diff->counts.unchanged++;
    return DRAY_OK;
  }
  if (dr_batch_is_deleted(batch, row)) {
    DRAY_TRY(add_tombstone(diff, batch, row, &record, error));
  } else if (diff->probes[row].found.found) {
    DRAY_TRY(known_row(diff, batch, row, &record, error));
    diff->counts.unchanged += !record;
    if (!record) DRAY_TRY(add_note(diff, batch, row, &ref, error));
  } else {
    DRAY_TRY(new_row(diff, batch, row, DRAY_OP_INSERT, 0, error));
    diff->counts.inserts++;
  }
  if (!record) ref |= SIGHT_UNCHANGED;
  return sight(diff, batch, row, ref | before, error);
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
  return DRAY_OK;
}
