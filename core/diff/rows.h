// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that were encoded under one schema, seen through another: columns are matched by name. Inside core/diff only.
//
// A slot is a column's place in the encoding: columns in the byte order of their names.
#ifndef DR_DIFF_ROWS_H
#define DR_DIFF_ROWS_H

#include "table/encode.h"

// The slots of a schema.
struct dr_slots {
  struct dr_schema *schema;  // one reference
  struct dr_encoder encoder; // of all columns; its `columns` say which field a slot is
};
DRAY_NODISCARD int32_t dr_slots_init(struct dr_slots *slots, struct dr_schema *schema, uint64_t seed,
                                     struct dray_error *error);
void dr_slots_free(struct dr_slots *slots);
static inline size_t dr_slots_count(const struct dr_slots *slots) {
  return slots->encoder.column_count;
}

struct dr_rows_map {
  int identical; // same columns and types: nothing needs mapping
  size_t from_count, to_count;
  struct dr_schema *from;     // one reference
  struct dr_slots *slots;     // of it; owned
  int32_t *place;             // per slot of `to`: the slot of `from`, -1 when the old rows do not know the column
  uint8_t *same_type;         // per slot of `to`
  struct dray_str *slices;    // scratch, from_count
  struct dray_builder *probe; // of `to`; made when a type differs
  const struct dr_slots *to;  // borrowed
};
DRAY_NODISCARD int32_t dr_rows_map_init(struct dr_rows_map *map, struct dr_schema *from, const struct dr_slots *to,
                                        struct dray_error *error);
void dr_rows_map_free(struct dr_rows_map *map);

extern const struct dray_str dr_slice_of_absent; // the encoding of an absent value

// Splits a row of `from` into the slots of `to`; what it does not know is absent. Values of a column whose type
// changed are left as they were: equal slices are equal values whatever the type.
DRAY_NODISCARD int32_t dr_rows_split(struct dr_rows_map *map, struct dray_str row, struct dray_str *out_slices,
                                     struct dray_error *error);
// As dr_rows_split, but a value that the column's new type cannot hold becomes absent: what may be decoded or kept.
DRAY_NODISCARD int32_t dr_rows_split_fit(struct dr_rows_map *map, struct dray_str row, struct dray_str *out_slices,
                                         struct dray_error *error);
// Appends the row as `to` encodes it.
DRAY_NODISCARD int32_t dr_rows_remap(struct dr_rows_map *map, struct dray_str row, struct dray_str *slices,
                                     struct dray_buffer *out, struct dray_error *error);
// The 32 bits a column (payload.h) of a row of `from`, as the slots of `to` have them; 0 where there is none.
void dr_rows_map_columns(const struct dr_rows_map *map, const char *columns, uint32_t *out);

#endif // DR_DIFF_ROWS_H
