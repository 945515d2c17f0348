// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A set of 64-bit marks with open addressing. Ids alone are their own marks, so that no two records are taken for one.
#include "seen.h"

#include <stdlib.h>

#define FIRST_CAPACITY 1024u

static uint64_t scatter(uint64_t value) {
  value ^= value >> 33;
  value *= UINT64_C(0xff51afd7ed558ccd);
  value ^= value >> 33;
  value *= UINT64_C(0xc4ceb9fe1a85ec53);
  return value ^ (value >> 33);
}

static size_t slot_of(const uint64_t *slots, size_t capacity, uint64_t mark) {
  size_t at = (size_t)scatter(mark) & (capacity - 1);
  while (slots[at] != 0 && slots[at] != mark) at = (at + 1) & (capacity - 1);
  return at;
}

static int32_t grow(struct zendesk_seen *seen, struct dray_error *error) {
  const size_t capacity = seen->capacity > 0 ? seen->capacity * 2 : FIRST_CAPACITY;
  uint64_t *slots = calloc(capacity, sizeof(*slots));
  if (slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the ids of %zu records", seen->count);
  for (size_t i = 0; i < seen->capacity; i++) {
    if (seen->slots[i] != 0) slots[slot_of(slots, capacity, seen->slots[i])] = seen->slots[i];
  }
  free(seen->slots);
  seen->slots = slots;
  seen->capacity = capacity;
  return DRAY_OK;
}

int32_t zendesk_seen_add(struct zendesk_seen *seen, uint64_t mark, int *out_new, struct dray_error *error) {
  if (mark == 0) mark = UINT64_MAX; // 0 is an empty slot
  if (seen->count * 2 >= seen->capacity) DRAY_TRY(grow(seen, error));
  const size_t at = slot_of(seen->slots, seen->capacity, mark);
  *out_new = seen->slots[at] == 0;
  seen->slots[at] = mark;
  seen->count += (size_t)*out_new;
  return DRAY_OK;
}

void zendesk_seen_clear(struct zendesk_seen *seen) {
  if (seen->count > 0) memset(seen->slots, 0, seen->capacity * sizeof(*seen->slots));
  seen->count = 0;
}

void zendesk_seen_free(struct zendesk_seen *seen) {
  free(seen->slots);
  memset(seen, 0, sizeof(*seen));
}

uint64_t zendesk_seen_mark(struct dray_str id, struct dray_str stamp) {
  int64_t number = 0;
  struct dray_error why;
  dray_error_init(&why);
  if (stamp.len == 0 && dray_parse_int64(id, &number, &why) == DRAY_OK) return (uint64_t)number;
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (uint64_t i = 0; i < id.len; i++) hash = (hash ^ (uint8_t)id.data[i]) * UINT64_C(0x100000001b3);
  hash = (hash ^ '|') * UINT64_C(0x100000001b3);
  for (uint64_t i = 0; i < stamp.len; i++) hash = (hash ^ (uint8_t)stamp.data[i]) * UINT64_C(0x100000001b3);
  return hash;
}
