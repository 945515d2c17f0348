// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// An open-addressing table of hashes. Two ids of one hash would leave a record for the next read, not lose it.
#include "given.h"

#include <stdlib.h>

struct shopify_given_slot {
  uint64_t hash; // 0: free
  int64_t time_us;
};

uint64_t shopify_hash(struct dray_str text) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (uint64_t i = 0; i < text.len; i++) hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
  return hash;
}

static struct shopify_given_slot *slot_of(struct shopify_given_slot *slots, size_t slot_count, uint64_t hash) {
  size_t at = (size_t)(hash >> 20) & (slot_count - 1);
  while (slots[at].hash != 0 && slots[at].hash != hash) at = (at + 1) & (slot_count - 1);
  return &slots[at];
}

static int32_t grow(struct shopify_given *given, struct dray_error *error) {
  const size_t slot_count = given->slot_count != 0 ? given->slot_count * 2 : 1024;
  struct shopify_given_slot *slots = calloc(slot_count, sizeof(*slots));
  if (slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to remember records");
  for (size_t i = 0; i < given->slot_count; i++) {
    if (given->slots[i].hash != 0) *slot_of(slots, slot_count, given->slots[i].hash) = given->slots[i];
  }
  free(given->slots);
  given->slots = slots;
  given->slot_count = slot_count;
  return DRAY_OK;
}

int32_t shopify_given_look(struct shopify_given *given, struct dray_str id, int64_t time_us, int *out,
                           struct dray_error *error) {
  const uint64_t hash = shopify_hash(id) | 1;
  if (given->count * 2 >= given->slot_count && given->count < SHOPIFY_GIVEN_MAX) DRAY_TRY(grow(given, error));
  struct shopify_given_slot *slot = slot_of(given->slots, given->slot_count, hash);
  if (slot->hash == hash) {
    *out = slot->time_us == time_us ? SHOPIFY_GIVEN_SAME : SHOPIFY_GIVEN_OTHER;
    return DRAY_OK;
  }
  *out = SHOPIFY_GIVEN_NEW;
  if (given->count >= SHOPIFY_GIVEN_MAX) return DRAY_OK;
  *slot = (struct shopify_given_slot){hash, time_us};
  given->count++;
  return DRAY_OK;
}

void shopify_given_free(struct shopify_given *given) {
  free(given->slots);
  memset(given, 0, sizeof(*given));
}
