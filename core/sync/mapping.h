// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From the columns that are read to the fields that are sent: names, types, constants, what a null says, and the key.
// Where the destination compares a key without regard to case, so must all that knows rows by it (the diff, the mirror,
// what waits): then the key is a field of its own with the folded text, and the one that is sent is a value beside it.
#ifndef DR_SYNC_MAPPING_H
#define DR_SYNC_MAPPING_H

#include "config/project.h"
#include "sync/catalog.h"
#include "table/cast.h"

struct dr_mapping {
  struct dr_schema *schema; // the mapped row: fields in the order of the map, key columns that nobody maps, folded keys
  const char **key;         // the key's names in `schema`, in the arena; key_count 0: none
  const char **told;        // the fields by which others know those: of a folded key the one it is folded from
  size_t key_count;
  uint8_t *hidden;             // per field: 1 = kept for the key alone, never sent
  uint8_t *keeps_nulls;        // per field: 1 = a null says nothing of it, so what the other side has stays
  int any_keeps;               // of any field
  const char **source_columns; // per field: the column that feeds it
  struct dr_arena arena;
  struct ArrowSchema extended; // the source's schema with a column for each constant
  const char **constants;      // their values
  size_t constant_count;
  struct dr_schema *cast; // `schema` without the folded keys: what the caster makes
  size_t *folded; // per folded key, in the order of the last fields of `schema`: the field that it is folded from
  size_t folded_count;
  struct dr_caster *caster;
};

struct dr_mapping_options {
  const struct dr_sync *sync;
  const struct ArrowSchema *source;
  const char *const *key; // columns of the source
  size_t key_count;
  const struct dr_object_facts *object; // the destination's fields; NULL for a warehouse
  const char *const *left_out;          // fields that are not written after all (drift policy discard_value)
  size_t left_out_count;
  int discard_values; // drift policy discard_value: what cannot be cast becomes null
};

// @errors SCHEMA_COLUMN (a mapped or key column that is not read), SCHEMA_FIELD (a field the object has not, a
// required one nobody maps), SCHEMA_KEY, SCHEMA_TYPE; each with the
// nearest name; CONFIG_VALUE (`nulls: keep` for a field of the key). Free with dr_mapping_free.
DRAY_NODISCARD int32_t dr_mapping_init(struct dr_mapping *mapping, const struct dr_mapping_options *options,
                                       struct dray_error *error);
// The rows come from another query over the same columns, found by name: the mapped rows are the same, also where the
// engine says other types.
DRAY_NODISCARD int32_t dr_mapping_rebind(struct dr_mapping *mapping, const struct ArrowSchema *source,
                                         int discard_values, struct dray_error *error);
void dr_mapping_free(struct dr_mapping *mapping);
// Whether a field of `schema` is one of its key.
int dr_mapping_is_key(const struct dr_mapping *mapping, const char *name);
// Whether it is one by which others know the key.
int dr_mapping_is_told(const struct dr_mapping *mapping, const char *name);
// Whether a field of `schema` has the same value in every row.
int dr_mapping_is_constant(const struct dr_mapping *mapping, size_t field);
// The folded key that is made of a field of `schema`; -1: none.
ptrdiff_t dr_mapping_folded(const struct dr_mapping *mapping, size_t field);
// The sync's key, or what the destination finds a row by, has to be said. @errors CONFIG_VALUE when a null keeps it.
DRAY_NODISCARD int32_t dr_mapping_check_said(const struct dr_mapping *mapping, const char *name,
                                             struct dray_error *error);
// Casts one batch of the source (consumed) to the mapped schema; where nulls keep, they become absent. Rows that cannot
// be cast go to `rejects`.
DRAY_NODISCARD int32_t dr_mapping_run(struct dr_mapping *mapping, struct ArrowArray *array, uint64_t first_row,
                                      struct dr_batch **out, struct dr_rejects *rejects, struct dray_error *error);

#endif // DR_SYNC_MAPPING_H
