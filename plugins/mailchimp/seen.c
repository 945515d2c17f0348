// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which records a read has given out: a hash set of 64 bits each, 16 to 32 bytes a record. Two records with one key
// among a million are one case in thirty million reads.
#include <stdlib.h>

#include "reader.h"

#define SLOTS_MIN 1024u

// FNV-1a with the finish of splitmix64, so that low bits are as good as high ones.
static uint64_t mix(uint64_t hash, const char *text, uint64_t len) {
  for (uint64_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
  hash ^= hash >> 30;
  hash *= UINT64_C(0xbf58476d1ce4e5b9);
  hash ^= hash >> 27;
  hash *= UINT64_C(0x94d049bb133111eb);
  return hash ^ hash >> 31;
}

uint64_t mc_seen_key(const struct mc_parent *parent, struct dray_str id) {
  uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), parent->first, strlen(parent->first));
  hash = mix(hash, parent->second, strlen(parent->second));
  hash = mix(hash, id.data, id.len);
  return hash != 0 ? hash : 1; // 0 is a free slot
}

static int put(uint64_t *slots, size_t capacity, uint64_t key) {
  size_t at = (size_t)key & (capacity - 1);
  while (slots[at] != 0 && slots[at] != key) at = (at + 1) & (capacity - 1);
  const int is_new = slots[at] == 0;
  slots[at] = key;
  return is_new;
}

int32_t mc_seen_add(struct mc_seen *seen, uint64_t key, int *out_new, struct dray_error *error) {
  if (2 * (seen->count + 1) > seen->capacity) {
    const size_t capacity = seen->capacity == 0 ? SLOTS_MIN : seen->capacity * 2;
    uint64_t *slots = calloc(capacity, sizeof(*slots));
    if (slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to remember %zu records", capacity / 2);
    for (size_t i = 0; i < seen->capacity; i++) {
      if (seen->slots[i] != 0) (void)put(slots, capacity, seen->slots[i]);
    }
    free(seen->slots);
    seen->slots = slots;
    seen->capacity = capacity;
  }
  *out_new = put(seen->slots, seen->capacity, key);
  seen->count += (size_t)*out_new;
  return DRAY_OK;
}

void mc_seen_free(struct mc_seen *seen) {
  free(seen->slots);
  *seen = (struct mc_seen){.slots = NULL};
}
