// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The end of a pass: the filter is proven, and the sightings, sorted by key, are gone through beside what did not come
// of the mirror. Keys that came more than once are settled, keys that did not come are deleted, and where that changes
// what stands in the file already, an index says what the final order is. Nothing is said of keys that may have been
// mistaken for others: they are deferred.
#include <stdlib.h>

#include "diff/pass.h"
#include "dray/destination.h"

struct copy { // one sighting of a key
  uint64_t place, ref, order;
};

// How the copies of one key are settled.
enum { BY_PLACE_LAST, BY_ORDER_LAST, BY_ORDER_FIRST, BY_PLACE_FIRST, BY_REJECT };

struct settle {
  struct dr_diff *diff;
  struct dr_in in; // the records written while rows came
  struct dr_rows_in records;
  int reading;

  struct dr_cursor cursor; // over the mirror, for deletes
  struct dr_sweep sweep;   // over the base, when there is a filter
  struct dr_entry unseen;  // of the base, at the cursor, when there is a filter
  int has_unseen;
  size_t noted;         // of diff->unseen, the next
  struct dr_found held; // the next key of it; with a filter only what did not come
  uint64_t held_high, held_low;

  uint64_t high, low; // the key at hand
  uint64_t copies;    // 0: none, or a key that is deferred
  int deferred;
  int how;
  struct copy best; // the first copy, later the one that stays
};

// ---- records of the mirror's rows ----

int32_t dr_diff_put_held(struct dr_diff *diff, const struct dr_found *found, uint8_t op, int32_t code, uint64_t ordinal,
                         uint64_t high, uint64_t low, struct dray_error *error) {
  struct dray_str row;
  struct dr_rows_map *map;
  DRAY_TRY(dr_mirror_row(diff->mirror, found, &row, &map, error));
  struct dr_record record = {.op = op,
                             .code = code,
                             .ordinal = ordinal,
                             .high = high,
                             .low = low,
                             .row_hash = found->row_hash,
                             .changed = dray_str_make((const char *)diff->changed, diff->stride),
                             .row = row};
  memset(diff->changed, 0, diff->stride);
  if (!map->identical) {
    dray_buffer_clear(&diff->merged);
    DRAY_TRY(dr_rows_remap(map, row, diff->old_slices, &diff->merged, error));
    record.row = dray_buffer_view(&diff->merged);
    record.row_hash = dr_row_hash(record.row, diff->mirror->seed);
  }
  return dr_record_put(&diff->records, &record, error);
}

static int32_t except(struct dr_diff *diff, uint64_t position, uint64_t sub, uint64_t what, struct dray_error *error) {
  const uint64_t words[EXCEPT_WORDS] = {position, sub, what};
  return dr_sorter_add(&diff->exceptions, words, dray_str_make(NULL, 0), error);
}

static int32_t put_delete(struct settle *settle, const struct dr_found *found, uint64_t ordinal, uint64_t high,
                          uint64_t low, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  const uint64_t number = diff->records.count;
  DRAY_TRY(dr_diff_put_held(diff, found, DRAY_OP_DELETE, 0, ordinal, high, low, error));
  diff->counts.deletes++;
  return except(diff, EXCEPT_AT_END, number, number, error);
}

// ---- copies of one key ----

// The mirror's row of the key at hand, which a copy equals.
static int32_t find_held(struct settle *settle, struct dr_found *out, struct dray_error *error) {
  DRAY_TRY(dr_mirror_find(settle->diff->mirror, settle->high, settle->low, out, error));
  if (out->found) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, "a row that equals the mirror's is not in the mirror");
}

static int is_tombstone(const struct copy *copy) {
  return copy->place >> SIGHT_CLASS_SHIFT != SIGHT_ROW;
}

static int32_t drop(struct settle *settle, const struct copy *copy, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  if ((copy->ref & SIGHT_UNCHANGED) == 0) {
    diff->rejected_or_moved++;
    return except(diff, copy->ref & SIGHT_REF_MASK, UINT64_MAX, EXCEPT_DROP, error);
  }
  if (!is_tombstone(copy)) diff->counts.unchanged--;
  return DRAY_OK;
}

// Withholds a copy. One that has no record is shown as the mirror's row, which it equals, at its place in the input, or
// directly before the copy `next`: for the first of its key the place may not be known.
static int32_t reject(struct settle *settle, const struct copy *copy, const struct copy *next,
                      struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  diff->rejected_or_moved++;
  if ((copy->ref & SIGHT_UNCHANGED) == 0) {
    return except(diff, copy->ref & SIGHT_REF_MASK, UINT64_MAX, EXCEPT_REJECT, error);
  }
  const struct copy *place = next != NULL ? next : copy;
  const uint64_t ordinal = place->place & SIGHT_PLACE_MASK, number = diff->records.count;
  struct dr_found found;
  diff->counts.unchanged--;
  DRAY_TRY(find_held(settle, &found, error));
  DRAY_TRY(dr_diff_put_held(diff, &found, DR_OP_REJECT, DRAY_E_DATA_KEY_DUPLICATE, ordinal, settle->high, settle->low,
                            error));
  return except(diff, place->ref & SIGHT_REF_MASK, 2 * ordinal + (next == NULL), number, error);
}

static size_t order_slot(const struct dr_diff *diff) {
  size_t slot = 0;
  while (diff->mirror->slots.encoder.columns[slot] != (uint32_t)diff->order_column) slot++;
  return slot;
}

// The value of the order column in the mirror's row of the key at hand; valid until another row is read.
static int32_t held_order_value(struct settle *settle, struct dray_str *out, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  struct dr_found found;
  struct dr_rows_map *map;
  struct dray_str bytes;
  DRAY_TRY(find_held(settle, &found, error));
  DRAY_TRY(dr_mirror_row(diff->mirror, &found, &bytes, &map, error));
  DRAY_TRY(dr_rows_split(map, bytes, diff->old_slices, error));
  *out = diff->old_slices[order_slot(diff)];
  return DRAY_OK;
}

// The encoded value of the order column in a copy that has one, in `out`.
static int32_t order_value(struct settle *settle, const struct copy *copy, struct dray_buffer *out,
                           struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  struct dray_str slice;
  if ((copy->ref & (SIGHT_UNCHANGED | SIGHT_NOTED)) == SIGHT_UNCHANGED) {
    DRAY_TRY(held_order_value(settle, &slice, error));
  } else {
    struct dr_record record;
    struct dray_str bytes;
    DRAY_TRY(dr_rows_in_get(&settle->records, copy->ref & SIGHT_REF_MASK, &bytes, error));
    if (!dr_record_parse(bytes, diff->stride, &record)) {
      return dr_corrupt(error, diff->temporary, settle->records.block.offset, "a record does not parse");
    }
    DRAY_TRY(dr_decode_slices(record.row, dr_slots_count(&diff->mirror->slots), diff->old_slices, error));
    slice = diff->old_slices[order_slot(diff)];
  }
  dray_buffer_clear(out);
  return dray_buffer_append(out, slice.data, (size_t)slice.len, error);
}

// <0, 0, >0 as `a` stands before, with or behind `b` by the order column; a copy without a value loses to one that has
// one.
static int32_t compare_order(struct settle *settle, const struct copy *a, const struct copy *b, int *out,
                             struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  const struct dray_type type = diff->mirror->slots.schema->fields[diff->order_column].type;
  *out = a->order < b->order ? -1 : a->order > b->order;
  if (*out != 0 || dr_order_is_exact(type)) return DRAY_OK;
  int32_t rc = order_value(settle, a, &diff->encoded, error);
  if (rc == DRAY_OK) rc = order_value(settle, b, &diff->before, error);
  if (rc != DRAY_OK) return rc;
  return dr_order_compare(diff->mirror->slots.schema, (size_t)diff->order_column, dray_buffer_view(&diff->encoded),
                          dray_buffer_view(&diff->before), out, error);
}

// Which of two copies stays: *out = 1 for `b`. Copies come in the order of the input, but tombstones before rows.
static int32_t choose(struct settle *settle, const struct copy *a, const struct copy *b, int *out,
                      struct dray_error *error) {
  const int later = (b->place & SIGHT_PLACE_MASK) > (a->place & SIGHT_PLACE_MASK);
  const int a_has = (a->ref & SIGHT_HAS_ORDER) != 0, b_has = (b->ref & SIGHT_HAS_ORDER) != 0;
  const int last = settle->how == BY_PLACE_LAST || settle->how == BY_ORDER_LAST;
  int order = 0;
  if (settle->how == BY_ORDER_LAST || settle->how == BY_ORDER_FIRST) {
    if (a_has != b_has) {
      *out = b_has;
      return DRAY_OK;
    }
    if (a_has) DRAY_TRY(compare_order(settle, a, b, &order, error));
  }
  *out = order != 0 ? (order < 0) == last : later == last;
  return DRAY_OK;
}

static int32_t next_copy(struct settle *settle, const struct copy *copy, struct dray_error *error) {
  settle->copies++;
  if (settle->how == BY_REJECT) {
    if (settle->copies == 2) DRAY_TRY(reject(settle, &settle->best, copy, error));
    return reject(settle, copy, NULL, error);
  }
  int other = 0;
  DRAY_TRY(choose(settle, &settle->best, copy, &other, error));
  DRAY_TRY(drop(settle, other ? &settle->best : copy, error));
  if (other) settle->best = *copy;
  return DRAY_OK;
}

// The copy that was taken as unchanged before any other came, and has no sighting.
static int32_t plain_copy(struct settle *settle, struct copy *out, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  *out = (struct copy){.place = (uint64_t)SIGHT_ROW << SIGHT_CLASS_SHIFT, .ref = SIGHT_UNCHANGED};
  if (settle->how != BY_ORDER_LAST && settle->how != BY_ORDER_FIRST) return DRAY_OK;
  struct dray_str value;
  DRAY_TRY(held_order_value(settle, &value, error));
  if (dr_slice_state(value) != DR_SLOT_VALUE) return DRAY_OK;
  out->ref |= SIGHT_HAS_ORDER;
  return dr_order_bits_of(diff->mirror->slots.schema, (size_t)diff->order_column, value, &out->order, error);
}

// ---- what did not come ----

// The next row of the base that did not come, from the cursor on: as the last sweep noted it, or read again.
static int32_t find_unseen(struct settle *settle, struct dray_error *error) {
  const struct dr_diff *diff = settle->diff;
  struct dr_cursor *cursor = &settle->cursor;
  if (diff->unseen[0].whole && diff->unseen[1].whole) {
    const struct dr_unseen *unseen = &diff->unseen[settle->noted >= diff->unseen[0].count];
    const size_t at = settle->noted - (unseen == diff->unseen ? 0 : diff->unseen[0].count);
    const uint64_t *words = unseen->items + UNSEEN_WORDS * at;
    settle->has_unseen = at < unseen->count;
    if (!settle->has_unseen) return DRAY_OK;
    settle->noted++;
    cursor->base = words[UNSEEN_NUMBER];
    settle->unseen = (struct dr_entry){words[UNSEEN_HIGH], words[UNSEEN_LOW], words[UNSEEN_ROW_HASH]};
    return DRAY_OK;
  }
  const uint8_t *entry;
  size_t count;
  cursor->base = dr_filter_next_unseen(&diff->filter, cursor->base, diff->filter.rows);
  settle->has_unseen = cursor->base < diff->filter.rows;
  if (!settle->has_unseen) return DRAY_OK;
  DRAY_TRY(dr_sweep_next(&settle->sweep, cursor->base, &entry, &count, error));
  settle->unseen = dr_entry_at(entry, settle->sweep.base->entry_bytes);
  return DRAY_OK;
}

// The next row of the mirror that did not come and that nothing else was taken for.
static int32_t next_unseen(struct settle *settle, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  struct dr_mirror *mirror = diff->mirror;
  struct dr_cursor *cursor = &settle->cursor;
  do {
    if (!settle->has_unseen) DRAY_TRY(find_unseen(settle, error));
    while (cursor->item < mirror->settled &&
           (mirror->items[cursor->item].op == DRAY_OP_DELETE || dr_has_bit(diff->items_seen, cursor->item))) {
      cursor->item++;
    }
    const struct dr_entry *entry = &settle->unseen;
    const struct dr_item *item = cursor->item < mirror->settled ? &mirror->items[cursor->item] : NULL;
    settle->held = (struct dr_found){0};
    if (!settle->has_unseen && item == NULL) return DRAY_OK;
    if (settle->has_unseen &&
        (item == NULL || entry->high < item->high || (entry->high == item->high && entry->low < item->low))) {
      settle->held = (struct dr_found){1, 0, cursor->base++, entry->row_hash, entry->high};
      settle->held_high = entry->high;
      settle->held_low = entry->low;
      settle->has_unseen = 0;
    } else {
      settle->held = (struct dr_found){1, 1, cursor->item++, item->row_hash, item->high};
      settle->held_high = item->high;
      settle->held_low = item->low;
    }
  } while (!dr_filter_is_sure(&diff->filter, settle->held_high));
  return DRAY_OK;
}

static int32_t next_held(struct settle *settle, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  if (!diff->full) return DRAY_OK;
  if (dr_is_filtered(diff)) return next_unseen(settle, error);
  return dr_cursor_next(diff->mirror, &settle->cursor, &settle->held, &settle->held_high, &settle->held_low, error);
}

// Deletes what the mirror holds before the key, which did not come. high, low = UINT64_MAX, all = 1: the rest.
static int32_t delete_unseen(struct settle *settle, uint64_t high, uint64_t low, int all, struct dray_error *error) {
  while (settle->held.found) {
    const int before = settle->held_high < high || (settle->held_high == high && settle->held_low < low);
    const int same = settle->held_high == high && settle->held_low == low;
    if (!all && !before && !same) return DRAY_OK;
    if (all || before) {
      DRAY_TRY(put_delete(settle, &settle->held, UINT64_MAX, settle->held_high, settle->held_low, error));
    }
    DRAY_TRY(next_held(settle, error));
  }
  return DRAY_OK;
}

// ---- keys ----

static int32_t end_key(struct settle *settle, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  struct dr_found found;
  if (settle->copies == 0) return DRAY_OK;
  if (settle->copies > 1) {
    diff->counts.duplicate_keys++;
    diff->counts.duplicate_rows += settle->copies - (settle->how == BY_REJECT ? 0 : 1);
  }
  if (!is_tombstone(&settle->best)) return DRAY_OK;
  if ((settle->best.ref & SIGHT_UNCHANGED) == 0) DRAY_TRY(drop(settle, &settle->best, error)); // its record was a note
  DRAY_TRY(dr_mirror_find(diff->mirror, settle->high, settle->low, &found, error));
  if (!found.found) {
    diff->counts.unchanged++;
    return DRAY_OK;
  }
  return put_delete(settle, &found, settle->best.place & SIGHT_PLACE_MASK, settle->high, settle->low, error);
}

static int how_to_settle(const struct dr_diff *diff, const struct copy *first) {
  const int ordered = diff->order_column >= 0;
  switch (first->place >> SIGHT_CLASS_SHIFT) {
  case SIGHT_TOMBSTONE: // one that has no place in the order column's order: then the input's order is the truth
    return BY_PLACE_LAST;
  case SIGHT_TOMBSTONE_ORDERED:
    return BY_ORDER_LAST;
  default:
    break;
  }
  if (diff->duplicates == DR_DUPLICATES_REJECT) return BY_REJECT;
  if (diff->duplicates == DR_DUPLICATES_FIRST) return ordered ? BY_ORDER_FIRST : BY_PLACE_FIRST;
  return ordered ? BY_ORDER_LAST : BY_PLACE_LAST;
}

// A copy of a key that another row may have been mistaken for, or be mistaken for: the next pass decides.
static int32_t defer(struct settle *settle, const struct copy *copy, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  diff->counts.deferred++;
  return drop(settle, copy, error);
}

static int32_t begin_key(struct settle *settle, uint64_t high, uint64_t low, const struct copy *copy,
                         struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  settle->high = high;
  settle->low = low;
  DRAY_TRY(delete_unseen(settle, high, low, 0, error));
  settle->deferred = dr_is_filtered(diff) && !dr_filter_is_sure(&diff->filter, high);
  settle->copies = 0;
  if (settle->deferred) return defer(settle, copy, error);
  settle->copies = 1;
  settle->how = how_to_settle(diff, copy);
  settle->best = *copy;
  if ((copy->ref & SIGHT_AFTER_PLAIN) == 0) return DRAY_OK;
  DRAY_TRY(plain_copy(settle, &settle->best, error));
  return next_copy(settle, copy, error);
}

static int32_t go_through_sightings(struct settle *settle, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  const uint64_t *words = NULL;
  int open = 0;
  for (;;) {
    DRAY_TRY(dr_sorter_next(&diff->sightings, &words, NULL, error));
    if (words == NULL) break;
    const struct copy copy = {words[SIGHT_PLACE], words[SIGHT_REF], diff->order_column >= 0 ? words[SIGHT_ORDER] : 0};
    if ((copy.ref & SIGHT_NOTED) != 0) {
      diff->rejected_or_moved++;
      DRAY_TRY(except(diff, copy.ref & SIGHT_REF_MASK, UINT64_MAX, EXCEPT_DROP, error));
    }
    if (open && words[SIGHT_HIGH] == settle->high && words[SIGHT_LOW] == settle->low) {
      DRAY_TRY(settle->deferred ? defer(settle, &copy, error) : next_copy(settle, &copy, error));
      continue;
    }
    DRAY_TRY(end_key(settle, error));
    DRAY_TRY(begin_key(settle, words[SIGHT_HIGH], words[SIGHT_LOW], &copy, error));
    open = 1;
  }
  DRAY_TRY(end_key(settle, error));
  return delete_unseen(settle, UINT64_MAX, UINT64_MAX, 1, error);
}

// ---- the index ----

struct index_out {
  struct dr_diff *diff;
  uint64_t count;
  struct dray_buffer items; // waiting
};

static int32_t index_flush(struct index_out *index, struct dray_error *error) {
  const uint32_t count = (uint32_t)(index->items.len / 8);
  if (count == 0) return DRAY_OK;
  DRAY_TRY(dr_out_block(&index->diff->out, DR_BLOCK_INDEX, index->count - count, count, 0,
                        dray_buffer_view(&index->items), error));
  dray_buffer_clear(&index->items);
  return DRAY_OK;
}

static int32_t index_put(struct index_out *index, uint64_t item, struct dray_error *error) {
  uint8_t bytes[8];
  dr_put_u64(bytes, item);
  DRAY_TRY(dray_buffer_append(&index->items, bytes, sizeof bytes, error));
  index->count++;
  return index->items.len == DR_INDEX_PER_BLOCK * 8 ? index_flush(index, error) : DRAY_OK;
}

// Record `number` was counted as a change when it was written, and is none.
static int32_t uncount(struct settle *settle, uint64_t number, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  struct dr_record record;
  struct dray_str bytes;
  DRAY_TRY(dr_rows_in_get(&settle->records, number, &bytes, error));
  if (!dr_record_parse(bytes, diff->stride, &record)) {
    return dr_corrupt(error, diff->temporary, settle->records.block.offset, "a record does not parse");
  }
  if (record.op == DRAY_OP_INSERT) diff->counts.inserts--;
  if (record.op != DRAY_OP_UPDATE) return DRAY_OK;
  diff->counts.updates--;
  for (size_t i = 0; i < diff->mirror->slots.schema->field_count; i++) {
    diff->counts.column_updates[i] -= (uint64_t)(((uint8_t)record.changed.data[i >> 3] >> (i & 7)) & 1);
  }
  return DRAY_OK;
}

// The records 0 .. records.count - 1, with the exceptions worked in.
static int32_t put_index(struct settle *settle, struct index_out *index, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  const uint64_t *words = NULL;
  uint64_t next = 0; // record
  DRAY_TRY(dr_sorter_sort(&diff->exceptions, error));
  for (;;) {
    DRAY_TRY(dr_sorter_next(&diff->exceptions, &words, NULL, error));
    const uint64_t position =
        words == NULL || words[EXCEPT_POSITION] == EXCEPT_AT_END ? settle->records.count : words[EXCEPT_POSITION];
    for (; next < position; next++) DRAY_TRY(index_put(index, next, error));
    if (words == NULL) break;
    const uint64_t what = words[EXCEPT_WHAT];
    if (what != EXCEPT_DROP && what != EXCEPT_REJECT) {
      DRAY_TRY(index_put(index, what, error));
      continue;
    }
    next = position + 1;
    DRAY_TRY(uncount(settle, position, error));
    if (what == EXCEPT_REJECT) DRAY_TRY(index_put(index, position | DR_INDEX_REJECT, error));
  }
  return index_flush(index, error);
}

static int32_t write_index(struct settle *settle, struct dr_footer *footer, struct dray_error *error) {
  struct index_out index = {.diff = settle->diff};
  dray_buffer_init(&index.items, DR_INDEX_PER_BLOCK * 8);
  const uint64_t offset = settle->diff->out.offset;
  const int32_t rc = put_index(settle, &index, error);
  dray_buffer_free(&index.items);
  footer->index_offset = offset;
  footer->index_count = footer->changes = index.count;
  return rc;
}

// ---- the whole ----

// What was written so far becomes readable: orders and counts of duplicates are looked up in it.
static int32_t reopen_records(struct settle *settle, struct dray_error *error) {
  struct dr_diff *diff = settle->diff;
  DRAY_TRY(dr_rows_out_end(&diff->records, error));
  DRAY_TRY(dr_out_flush(&diff->out, error));
  DRAY_TRY(dr_in_open(&settle->in, diff->temporary, error));
  settle->reading = 1;
  settle->records.in = &settle->in;
  settle->records.count = diff->records.count;
  return dray_buffer_append(&settle->records.places, diff->records.places.data, diff->records.places.len, error);
}

int32_t dr_diff_prove(struct dr_diff *diff, struct dray_error *error) {
  uint64_t unsure = 0;
  if (!dr_is_filtered(diff)) return DRAY_OK;
  DRAY_TRY(dr_filter_judge(&diff->filter, diff->mirror, &unsure, error));
  diff->counts.unchanged -= unsure;
  diff->counts.deferred += unsure;
  return DRAY_OK;
}

int32_t dr_diff_settle(struct dr_diff *diff, struct dr_footer *footer, struct dray_error *error) {
  struct settle settle = {.diff = diff};
  dr_block_init(&settle.records.block);
  dray_buffer_init(&settle.records.places, SIZE_MAX / 4);
  dr_sweep_init(&settle.sweep, diff->mirror->base);
  int32_t rc = reopen_records(&settle, error);
  if (rc != DRAY_OK) goto done;
  if ((rc = dr_sorter_sort(&diff->sightings, error)) != DRAY_OK) goto done;
  if ((rc = next_held(&settle, error)) != DRAY_OK) goto done;
  if ((rc = go_through_sightings(&settle, error)) != DRAY_OK) goto done;
  dr_sorter_free(&diff->sightings); // its spilled_bytes stay
  dr_filter_free(&diff->filter);
  if ((rc = dr_rows_out_end(&diff->records, error)) != DRAY_OK) goto done;
  footer->changes = diff->records.count;
  if (diff->rejected_or_moved > 0) rc = write_index(&settle, footer, error);
done:
  dr_sweep_free(&settle.sweep);
  dr_rows_in_close(&settle.records);
  if (settle.reading) dr_in_close(&settle.in);
  return rc;
}
