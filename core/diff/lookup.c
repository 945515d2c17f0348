// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Looking rows up in a mirror: the overlay first, then the base.
#include <stdlib.h>

#include "diff/mirror.h"
#include "diff/sorter.h"
#include "dray/destination.h"

static int same_key(const struct dr_item *a, const struct dr_item *b) {
  return a->high == b->high && a->low == b->low;
}

static int before(const struct dr_item *a, const struct dr_item *b) {
  if (a->high != b->high) return a->high < b->high;
  return a->low != b->low ? a->low < b->low : a->place < b->place;
}

// Merges the sorted items [0, middle) and [middle, end), from the back.
static int32_t merge_items(struct dr_item *items, size_t middle, size_t end, struct dray_error *error) {
  const size_t tail = end - middle;
  struct dr_item *held = malloc((tail + 1) * sizeof *held);
  if (held == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge %zu changes", tail);
  memcpy(held, items + middle, tail * sizeof *held);
  size_t left = middle, right = tail, to = end;
  while (right > 0) {
    items[--to] = left > 0 && before(&held[right - 1], &items[left - 1]) ? items[--left] : held[--right];
  }
  free(held);
  return DRAY_OK;
}

// Keeps the last change of each key; returns how many there are.
static size_t drop_older(struct dr_item *items, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept > 0 && same_key(&items[kept - 1], &items[i])) {
      const uint8_t in_base = items[kept - 1].in_base;
      items[kept - 1] = items[i];
      items[kept - 1].in_base = in_base;
    } else {
      items[kept++] = items[i];
    }
  }
  return kept;
}

static int32_t count_rows(struct dr_mirror *mirror, struct dray_error *error) {
  int64_t delta = 0;
  for (size_t i = 0; i < mirror->settled; i++) {
    struct dr_item *item = &mirror->items[i];
    if (item->in_base == DR_IN_BASE_UNKNOWN) {
      uint64_t number = 0, row_hash = 0;
      DRAY_TRY(dr_base_find(mirror->base, item->high, item->low, &number, &row_hash, error));
      item->in_base = number != UINT64_MAX ? DR_IN_BASE_YES : DR_IN_BASE_NO;
    }
    if (item->op == DRAY_OP_DELETE && item->in_base == DR_IN_BASE_YES) delta--;
    if (item->op != DRAY_OP_DELETE && item->in_base == DR_IN_BASE_NO) delta++;
  }
  mirror->delta = delta;
  return DRAY_OK;
}

int32_t dr_mirror_settle(struct dr_mirror *mirror, struct dray_error *error) {
  if (mirror->settled < mirror->committed) {
    const size_t tail = mirror->committed - mirror->settled;
    dr_sort_words((uint64_t *)(mirror->items + mirror->settled), tail, DR_ITEM_WORDS, 3);
    if (mirror->settled > 0) DRAY_TRY(merge_items(mirror->items, mirror->settled, mirror->committed, error));
    const size_t kept = drop_older(mirror->items, mirror->committed), pending = mirror->item_count - mirror->committed;
    memmove(mirror->items + kept, mirror->items + mirror->committed, pending * sizeof *mirror->items);
    mirror->settled = mirror->committed = kept;
    mirror->item_count = kept + pending;
  }
  return count_rows(mirror, error);
}

int32_t dr_mirror_ready(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_mirror_usable(mirror, error));
  if (mirror->pending || mirror->prepared != 0) {
    return dray_fail(error, DRAY_E_INTERNAL,
                     "the mirror in %s holds acknowledged changes%s: commit or roll back before the next pass",
                     mirror->folder, mirror->prepared != 0 ? " that are prepared" : "");
  }
  if (mirror->overflow) DRAY_TRY(dr_mirror_rewrite(mirror, error));
  return dr_mirror_settle(mirror, error);
}

// The number of the first settled item that is not before the key.
static size_t first_item(const struct dr_mirror *mirror, uint64_t high, uint64_t low) {
  size_t from = 0, to = mirror->settled;
  while (from < to) {
    const size_t middle = from + (to - from) / 2;
    const struct dr_item *item = &mirror->items[middle];
    if (item->high < high || (item->high == high && item->low < low)) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

int dr_mirror_find_item(const struct dr_mirror *mirror, uint64_t high, uint64_t low, struct dr_found *out) {
  const size_t at = first_item(mirror, high, low);
  if (at == mirror->settled || mirror->items[at].high != high || mirror->items[at].low != low) return 0;
  const struct dr_item *item = &mirror->items[at];
  *out = (struct dr_found){item->op != DRAY_OP_DELETE, 1, at, item->row_hash, high};
  return 1;
}

int32_t dr_mirror_find(struct dr_mirror *mirror, uint64_t high, uint64_t low, struct dr_found *out,
                       struct dray_error *error) {
  *out = (struct dr_found){0};
  if (dr_mirror_find_item(mirror, high, low, out)) return DRAY_OK;
  uint64_t number = 0, row_hash = 0;
  DRAY_TRY(dr_base_find(mirror->base, high, low, &number, &row_hash, error));
  if (number != UINT64_MAX) *out = (struct dr_found){1, 0, number, row_hash, high};
  return DRAY_OK;
}

int32_t dr_mirror_holds(struct dr_mirror *mirror, const struct dr_changes *changes, uint8_t *out,
                        struct dray_error *error) {
  DRAY_TRY(dr_mirror_ready(mirror, error));
  for (size_t i = 0; i < changes->count; i++) {
    struct dr_found found = {0};
    out[i] = 0;
    if (changes->op[i] == DR_OP_REJECT) continue;
    DRAY_TRY(dr_mirror_find(mirror, changes->key_hash[i].high, changes->key_hash[i].low, &found, error));
    const int same = found.found && found.row_hash == changes->row_hash[i] && found.row_hash > DR_ROW_HASH_DISTRUSTED;
    out[i] = changes->op[i] == DRAY_OP_DELETE ? !found.found : same;
  }
  return DRAY_OK;
}

int32_t dr_cursor_next(struct dr_mirror *mirror, struct dr_cursor *cursor, struct dr_found *out, uint64_t *out_high,
                       uint64_t *out_low, struct dray_error *error) {
  for (;;) {
    const int base_left = cursor->base < dr_base_rows(mirror->base), item_left = cursor->item < mirror->settled;
    struct dr_entry entry = {0, 0, 0};
    const struct dr_item *item = item_left ? &mirror->items[cursor->item] : NULL;
    *out = (struct dr_found){0};
    if (!base_left && !item_left) return DRAY_OK;
    if (base_left) DRAY_TRY(dr_base_entry(mirror->base, cursor->base, &entry, error));
    if (base_left && (item == NULL || entry.high < item->high || (entry.high == item->high && entry.low < item->low))) {
      *out = (struct dr_found){1, 0, cursor->base++, entry.row_hash, entry.high};
      *out_high = entry.high;
      *out_low = entry.low;
      return DRAY_OK;
    }
    if (base_left && entry.high == item->high && entry.low == item->low) cursor->base++; // overlaid
    *out = (struct dr_found){1, 1, cursor->item++, item->row_hash, item->high};
    *out_high = item->high;
    *out_low = item->low;
    if (item->op != DRAY_OP_DELETE) return DRAY_OK;
  }
}
