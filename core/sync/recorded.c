// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows on record that an incremental read shows again: when a version of a row's key is taken, the record of one that
// was not is no longer true. A whole read needs none of this, since it shows all rows there are.
//
// Records are found by their keys as `dray rows` shows them, since a row that could not be cast has no other. A key of
// which that is only the beginning is left to the next whole read, as is a row without one; so is one that is refused
// and taken within one batch, of which it is not known here what came last.
#include "sync/recorded.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define RECORDS_MAX 65536 // more are left to the next whole read, which is the right answer to so many
#define KEY_BYTES_MAX 4096
#define KEY_SHOWN_BYTES sizeof(((struct dr_reject *)NULL)->key) // with its NUL
#define SLOTS_FIRST 1024

enum { SLOT_FREE = 0, SLOT_STANDS, SLOT_MET };

struct slot {
  uint64_t name; // hash of the key's text
  uint8_t key_hash[16];
  int state;
};

// One window's look at the records: open addressing, a power of two.
struct dr_recorded {
  struct slot *slots;
  size_t slot_count, used, met;
  uint64_t generation; // of the mirror when the window began
  int full;            // not all records are in here
};

static uint64_t name_of(struct dray_str key) {
  return dr_hash_bytes(key, 1).low;
}

// ---- the table ----

static void place(struct slot *slots, size_t slot_count, const struct slot *slot) {
  size_t at = (size_t)slot->name & (slot_count - 1);
  while (slots[at].state != SLOT_FREE) at = (at + 1) & (slot_count - 1);
  slots[at] = *slot;
}

static int grow(struct dr_recorded *recorded) {
  const size_t slot_count = recorded->slot_count > 0 ? recorded->slot_count * 2 : SLOTS_FIRST;
  struct slot *slots = calloc(slot_count, sizeof(*slots));
  if (slots == NULL) return 0;
  for (size_t i = 0; i < recorded->slot_count; i++) {
    if (recorded->slots[i].state != SLOT_FREE) place(slots, slot_count, &recorded->slots[i]);
  }
  free(recorded->slots);
  recorded->slots = slots;
  recorded->slot_count = slot_count;
  return 1;
}

// The next slot of the name from `*at` on; NULL: no more.
static struct slot *next_of(const struct dr_recorded *recorded, uint64_t name, size_t *at) {
  if (recorded->slot_count == 0) return NULL;
  for (;; (*at)++) {
    struct slot *slot = &recorded->slots[*at & (recorded->slot_count - 1)];
    if (slot->state == SLOT_FREE) return NULL;
    if (slot->name != name) continue;
    (*at)++;
    return slot;
  }
}

// Versions of the key that were met before count no longer. Without room a record is not seen, and stays.
static void add(struct dr_recorded *recorded, const uint8_t key_hash[16], struct dray_str key) {
  struct slot slot = {.name = name_of(key), .state = SLOT_STANDS};
  size_t at = (size_t)slot.name;
  int known = 0;
  memcpy(slot.key_hash, key_hash, sizeof(slot.key_hash));
  for (struct slot *there = next_of(recorded, slot.name, &at); there != NULL;
       there = next_of(recorded, slot.name, &at)) {
    recorded->met -= there->state == SLOT_MET;
    there->state = SLOT_STANDS;
    known |= memcmp(there->key_hash, key_hash, sizeof(there->key_hash)) == 0;
  }
  if (known || recorded->full) return;
  recorded->full = recorded->used == RECORDS_MAX;
  if (!recorded->full && (recorded->used + 1) * 2 > recorded->slot_count) recorded->full = !grow(recorded);
  if (recorded->full) return;
  place(recorded->slots, recorded->slot_count, &slot);
  recorded->used++;
}

// ---- a window ----

static void take(void *ctx, const uint8_t key_hash[16], struct dray_str key) {
  if (key.len > 0 && key.len + 1 < KEY_SHOWN_BYTES) add(ctx, key_hash, key);
}

// Rows that do not go through the mirror are facts of their own, not versions: one that was not taken stays missing.
static int is_needed(const struct dr_context *run) {
  return run->sync->object == NULL && run->mirror != NULL && !dr_planning(run) && dr_reader_incremental(run->reader);
}

static int32_t clear_met(struct dr_context *run, const struct dr_recorded *recorded, struct dray_error *error) {
  DRAY_TRY(dr_store_begin(run->store, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < recorded->slot_count; i++) {
    if (recorded->slots[i].state != SLOT_MET) continue;
    rc = dr_store_row_clear(run->store, run->sync->name, recorded->slots[i].key_hash, error);
  }
  if (rc == DRAY_OK) return dr_store_commit(run->store, error);
  dr_store_rollback(run->store);
  return rc;
}

void dr_recorded_end(struct dr_context *run, int taken) {
  struct dr_recorded *recorded = run->recorded;
  struct dray_error error;
  dray_error_init(&error);
  if (recorded == NULL) return;
  run->recorded = NULL;
  // A window that was committed counts, however its run ends. Of rows that were deferred nothing is certain.
  taken |= run->state.generation > recorded->generation;
  if (taken && recorded->met > 0 && !run->held_back && clear_met(run, recorded, &error) != DRAY_OK) {
    dr_log(DRAY_LOG_WARN, run->sync->name, "%zu rows stay on record until they are read again: %s", recorded->met,
           error.text);
  }
  free(recorded->slots);
  free(recorded);
}

void dr_recorded_begin(struct dr_context *run) {
  struct dray_error error;
  dray_error_init(&error);
  dr_recorded_end(run, 1);
  if (!is_needed(run)) return;
  struct dr_recorded *recorded = calloc(1, sizeof(*recorded));
  if (recorded == NULL) return;
  recorded->generation = run->state.generation;
  const int32_t rc = dr_store_row_keys(run->store, run->sync->name, RECORDS_MAX + 1, take, recorded, &error);
  if (rc != DRAY_OK || recorded->full) {
    dr_log(DRAY_LOG_INFO, run->sync->name, "rows on record that are taken now may stay there until a whole read%s%s",
           rc != DRAY_OK ? ": " : "", rc != DRAY_OK ? error.text : "");
  }
  run->recorded = recorded;
}

void dr_recorded_refused(struct dr_context *run, const uint8_t key_hash[16], struct dray_str key) {
  if (run->recorded != NULL) take(run->recorded, key_hash, key);
}

int32_t dr_recorded_meet(const struct dr_context *run, const struct dr_batch *batch, struct dray_error *error) {
  struct dr_recorded *recorded = run->recorded;
  const struct dr_mapping *mapping = &run->mapping;
  struct dray_buffer text;
  int32_t rc = DRAY_OK;
  if (recorded == NULL || recorded->used == 0) return DRAY_OK;
  dray_buffer_init(&text, KEY_BYTES_MAX);
  for (uint64_t row = 0; rc == DRAY_OK && row < dr_batch_rows(batch); row++) {
    char key[KEY_SHOWN_BYTES];
    int whole = 0;
    dray_buffer_clear(&text);
    rc = dr_batch_key(batch, mapping->key, mapping->key_count, row, &text, &whole, error);
    if (rc == DRAY_E_LIMIT) rc = DRAY_OK; // too long to be told
    if (!whole || rc != DRAY_OK) continue;
    const size_t len = dray_text_excerpt(dray_buffer_view(&text), key, sizeof(key));
    const uint64_t name = name_of(dray_str_make(key, len));
    size_t at = (size_t)name;
    for (struct slot *slot = next_of(recorded, name, &at); slot != NULL; slot = next_of(recorded, name, &at)) {
      recorded->met += slot->state != SLOT_MET;
      slot->state = SLOT_MET;
    }
  }
  dray_buffer_free(&text);
  return rc;
}
