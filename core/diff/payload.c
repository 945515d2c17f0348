// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Payloads: made of whole rows, and whatever of a row they hold given back.
#include "diff/payload.h"

#include <stdlib.h>
#include <xxhash.h>

#include "diff/bytes.h"

void dr_payload_free(struct dr_payload *payload) {
  free(payload->key_slots);
  free(payload->slices);
  memset(payload, 0, sizeof *payload);
}

static int is_key(const char *name, const char *const *key, size_t key_count) {
  for (size_t i = 0; i < key_count; i++) {
    if (strcmp(name, key[i]) == 0) return 1;
  }
  return 0;
}

int32_t dr_payload_init(struct dr_payload *payload, int keep, const struct dr_slots *slots, const char *const *key,
                        size_t key_count, uint64_t seed, struct dray_error *error) {
  const struct dr_schema *schema = slots->schema;
  struct dr_payload fresh = {.keep = keep, .seed = seed, .slots = slots};
  fresh.key_slots = calloc(key_count + 1, sizeof *fresh.key_slots);
  fresh.slices = calloc(dr_slots_count(slots) + 1, sizeof *fresh.slices);
  if (fresh.key_slots == NULL || fresh.slices == NULL) {
    dr_payload_free(&fresh);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for what is kept of rows of %zu columns",
                     dr_slots_count(slots));
  }
  uint32_t columns[1] = {0};
  for (uint32_t slot = 0; slot < dr_slots_count(slots); slot++) {
    const uint32_t column = slots->encoder.columns[slot];
    if (!is_key(schema->fields[column].name, key, key_count)) continue;
    if (fresh.key_count == 0) columns[0] = column;
    fresh.key_slots[fresh.key_count++] = slot;
  }
  if (fresh.key_count != key_count || key_count == 0) {
    dr_payload_free(&fresh);
    return dray_fail(error, DRAY_E_SCHEMA_KEY, "of %zu key columns a schema has %zu", key_count, fresh.key_count);
  }
  const struct dr_encoder keys = {.seed = seed, .column_count = key_count, .columns = columns};
  fresh.mixed = key_count == 1 && dr_key_is_mixed(&keys, schema);
  *payload = fresh;
  return DRAY_OK;
}

uint32_t dr_payload_column_hash(struct dray_str slice, uint64_t seed) {
  if (dr_slice_state(slice) == DR_SLOT_ABSENT) return 0;
  const uint32_t hash = (uint32_t)XXH3_64bits_withSeed(slice.data, (size_t)slice.len, seed);
  return hash != 0 ? hash : 1;
}

int32_t dr_payload_put(struct dr_payload *payload, struct dray_str row, struct dray_buffer *out,
                       struct dray_error *error) {
  const size_t slots = dr_slots_count(payload->slots);
  if (payload->keep == DR_KEEP_ROW) return dray_buffer_append(out, row.data, (size_t)row.len, error);
  if (dr_payload_is_nothing(payload)) return DRAY_OK;
  DRAY_TRY(dr_decode_slices(row, slots, payload->slices, error));
  if (payload->keep == DR_KEEP_COLUMNS) {
    char *to = NULL;
    DRAY_TRY(dray_buffer_reserve(out, slots * 4, &to, error));
    for (size_t i = 0; i < slots; i++) {
      dr_put_u32(to + i * 4, dr_payload_column_hash(payload->slices[i], payload->seed));
    }
    out->len += slots * 4;
  }
  for (size_t i = 0; !payload->mixed && i < payload->key_count; i++) {
    const struct dray_str slice = payload->slices[payload->key_slots[i]];
    DRAY_TRY(dray_buffer_append(out, slice.data, (size_t)slice.len, error));
  }
  return DRAY_OK;
}

static int32_t unfit(const struct dr_payload *payload, struct dray_str bytes, struct dray_error *error) {
  return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "%llu bytes are not what is kept of a row of %zu columns",
                   (unsigned long long)bytes.len, dr_slots_count(payload->slots));
}

int32_t dr_payload_columns(const struct dr_payload *payload, struct dray_str bytes, uint32_t *out,
                           struct dray_str *out_key, struct dray_error *error) {
  const size_t slots = dr_slots_count(payload->slots);
  if (payload->keep != DR_KEEP_COLUMNS || bytes.len < slots * 4 || (payload->mixed && bytes.len != slots * 4)) {
    return unfit(payload, bytes, error);
  }
  for (size_t i = 0; out != NULL && i < slots; i++) out[i] = dr_get_u32(bytes.data + i * 4);
  *out_key = dray_str_make(bytes.data + slots * 4, bytes.len - slots * 4);
  return DRAY_OK;
}

// Puts the values of the key, encoded one behind the other, where their slots are; all else is absent.
static int32_t put_key_row(struct dr_payload *payload, struct dray_str key, struct dray_buffer *out,
                           struct dray_error *error) {
  static const char absent[64] = {0}; // a byte 0 each
  size_t slot = 0;
  DRAY_TRY(dr_decode_slices(key, payload->key_count, payload->slices, error));
  for (size_t i = 0; i <= payload->key_count; i++) {
    const size_t next = i < payload->key_count ? payload->key_slots[i] : dr_slots_count(payload->slots);
    while (slot < next) {
      const size_t part = next - slot < sizeof absent ? next - slot : sizeof absent;
      DRAY_TRY(dray_buffer_append(out, absent, part, error));
      slot += part;
    }
    if (i == payload->key_count) break;
    DRAY_TRY(dray_buffer_append(out, payload->slices[i].data, (size_t)payload->slices[i].len, error));
    slot++;
  }
  return DRAY_OK;
}

int32_t dr_payload_row(struct dr_payload *payload, uint64_t high, struct dray_str bytes, struct dray_buffer *out,
                       struct dray_error *error) {
  struct dray_str key = bytes;
  if (payload->keep == DR_KEEP_ROW) return dray_buffer_append(out, bytes.data, (size_t)bytes.len, error);
  if (payload->keep == DR_KEEP_COLUMNS) DRAY_TRY(dr_payload_columns(payload, bytes, NULL, &key, error));
  if (!payload->mixed) return put_key_row(payload, key, out, error);
  if (key.len != 0) return unfit(payload, bytes, error);
  const struct dr_slots *slots = payload->slots;
  struct dray_buffer unmixed;
  dray_buffer_init(&unmixed, 64);
  int32_t rc = dr_encode_mixed_key(
      high, payload->seed, slots->schema->fields[slots->encoder.columns[payload->key_slots[0]]].type, &unmixed, error);
  if (rc == DRAY_OK) rc = put_key_row(payload, dray_buffer_view(&unmixed), out, error);
  dray_buffer_free(&unmixed);
  return rc;
}
