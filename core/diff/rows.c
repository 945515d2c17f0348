// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Mapping encoded rows from one schema to another, slot by slot, without decoding what need not be decoded.
#include "diff/rows.h"

#include <stdlib.h>
#include <string.h>

#include "diff/format.h"

#define PROBE_BYTES (1u << 20)

const struct dray_str dr_slice_of_absent = {"\0", 1}; // table/ENCODING.md: one byte, 0

int32_t dr_slots_init(struct dr_slots *slots, struct dr_schema *schema, uint64_t seed, struct dray_error *error) {
  struct dr_encoder encoder;
  DRAY_TRY(dr_encoder_init(&encoder, schema, NULL, 0, seed, error));
  slots->encoder = encoder;
  slots->schema = dr_schema_ref(schema);
  return DRAY_OK;
}

void dr_slots_free(struct dr_slots *slots) {
  dr_encoder_free(&slots->encoder);
  dr_schema_unref(slots->schema);
  memset(slots, 0, sizeof *slots);
}

void dr_rows_map_free(struct dr_rows_map *map) {
  dr_schema_unref(map->from);
  if (map->slots != NULL) dr_slots_free(map->slots);
  free(map->slots);
  dray_builder_free(map->probe);
  free(map->place);
  free(map->same_type);
  free(map->slices);
  memset(map, 0, sizeof *map);
}

static int32_t match(struct dr_rows_map *map, const struct dr_slots *from, struct dray_error *error) {
  const struct dr_slots *to = map->to;
  map->place = calloc(map->to_count + 1, sizeof *map->place);
  map->same_type = calloc(map->to_count + 1, 1);
  map->slices = calloc(map->from_count + 1, sizeof *map->slices);
  if (map->place == NULL || map->same_type == NULL || map->slices == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to map %zu columns", map->to_count);
  }
  size_t j = 0; // both are in the order of their names
  map->identical = map->from_count == map->to_count;
  for (size_t i = 0; i < map->to_count; i++) {
    const struct dr_field *field = &to->schema->fields[to->encoder.columns[i]], *other = NULL;
    int order = 1;
    while (j < map->from_count) {
      other = &map->from->fields[from->encoder.columns[j]];
      order = strcmp(other->name, field->name);
      if (order >= 0) break;
      j++;
    }
    map->place[i] = j < map->from_count && order == 0 ? (int32_t)j : -1;
    map->same_type[i] = map->place[i] >= 0 && other->type.id == field->type.id &&
                        other->type.precision == field->type.precision && other->type.scale == field->type.scale;
    if (!map->same_type[i]) map->identical = 0;
  }
  return DRAY_OK;
}

int32_t dr_rows_map_init(struct dr_rows_map *map, struct dr_schema *from, const struct dr_slots *to,
                         struct dray_error *error) {
  struct dr_rows_map fresh = {.to = to, .to_count = dr_slots_count(to), .from_count = from->field_count};
  fresh.slots = calloc(1, sizeof *fresh.slots);
  if (fresh.slots == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to map columns");
  int32_t rc = dr_slots_init(fresh.slots, from, to->encoder.seed, error);
  if (rc == DRAY_OK) {
    fresh.from = dr_schema_ref(from);
    rc = match(&fresh, fresh.slots, error);
  }
  if (rc != DRAY_OK) {
    dr_rows_map_free(&fresh);
    return rc;
  }
  *map = fresh;
  return DRAY_OK;
}

int32_t dr_rows_split(struct dr_rows_map *map, struct dray_str row, struct dray_str *out_slices,
                      struct dray_error *error) {
  if (map->identical) return dr_decode_slices(row, map->to_count, out_slices, error);
  DRAY_TRY(dr_decode_slices(row, map->from_count, map->slices, error));
  for (size_t i = 0; i < map->to_count; i++) {
    out_slices[i] = map->place[i] < 0 ? dr_slice_of_absent : map->slices[map->place[i]];
  }
  return DRAY_OK;
}

// Whether the new type of slot `i` can hold the value: decoding it is the only exact test.
static int32_t fits(struct dr_rows_map *map, size_t i, struct dray_str slice, int *out, struct dray_error *error) {
  if (dr_slice_state(slice) != DR_SLOT_VALUE) {
    *out = 1;
    return DRAY_OK;
  }
  if (map->probe == NULL) {
    struct ArrowSchema arrow;
    DRAY_TRY(dr_schema_to_arrow(map->to->schema, 0, &arrow, error));
    const int32_t rc = dray_builder_new(&arrow, 1, PROBE_BYTES, &map->probe, error);
    dray_schema_release(&arrow);
    DRAY_TRY(rc);
  }
  struct dray_error ignored;
  dray_error_init(&ignored);
  const int32_t rc = dr_decode_value(slice, map->probe, map->to->encoder.columns[i], &ignored);
  dray_builder_abandon_row(map->probe);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "no memory to convert a row");
  *out = rc == DRAY_OK;
  return DRAY_OK;
}

int32_t dr_rows_split_fit(struct dr_rows_map *map, struct dray_str row, struct dray_str *out_slices,
                          struct dray_error *error) {
  DRAY_TRY(dr_rows_split(map, row, out_slices, error));
  for (size_t i = 0; !map->identical && i < map->to_count; i++) {
    int held = 1;
    if (map->place[i] < 0 || map->same_type[i]) continue;
    DRAY_TRY(fits(map, i, out_slices[i], &held, error));
    if (!held) out_slices[i] = dr_slice_of_absent;
  }
  return DRAY_OK;
}

int32_t dr_rows_remap(struct dr_rows_map *map, struct dray_str row, struct dray_str *slices, struct dray_buffer *out,
                      struct dray_error *error) {
  if (map->identical) return dray_buffer_append(out, row.data, (size_t)row.len, error);
  DRAY_TRY(dr_rows_split_fit(map, row, slices, error));
  for (size_t i = 0; i < map->to_count; i++) {
    DRAY_TRY(dray_buffer_append(out, slices[i].data, (size_t)slices[i].len, error));
  }
  return DRAY_OK;
}

void dr_rows_map_columns(const struct dr_rows_map *map, const char *columns, uint32_t *out) {
  for (size_t i = 0; i < map->to_count; i++) {
    out[i] = map->place[i] < 0 ? 0 : dr_get_u32(columns + (size_t)map->place[i] * 4);
  }
}
