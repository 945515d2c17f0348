// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The border: any Arrow array a plugin hands over becomes a canonical batch of a wanted schema, exactly,
// or the row is rejected with a reason. Nothing is ever rounded.
#ifndef DR_TABLE_CAST_H
#define DR_TABLE_CAST_H

#include "table/batch.h"

// Rows that could not be cast.
struct dr_reject {
  uint64_t row; // number in the stream
  int32_t code; // DRAY_E_DATA_*
  char column[128];
  char text[256];
};
struct dr_rejects {
  struct dr_reject *items; // owned
  size_t count, capacity;
};
void dr_rejects_free(struct dr_rejects *rejects);
DRAY_NODISCARD int32_t dr_rejects_add(struct dr_rejects *rejects, uint64_t row, int32_t code, const char *column,
                                      const char *text, struct dray_error *error);

// What to do with a value that cannot be cast: the row is rejected, or (drift policy discard_value) the value becomes
// null and the row goes on.
enum { DR_CAST_REJECT_ROW = 1, DR_CAST_NULL_VALUE = 2 };

struct dr_caster; // holds the plan from one Arrow schema to one canonical schema

// `source_columns[i]` names the Arrow column that feeds field i of `target`; NULL: the field's own name. A field
// whose column is not there is absent in every row.
DRAY_NODISCARD int32_t dr_caster_new(const struct ArrowSchema *source, struct dr_schema *target,
                                     const char *const *source_columns, int policy, struct dr_caster **out,
                                     struct dray_error *error);
void dr_caster_free(struct dr_caster *caster);
// Consumes `array` (released or moved; canonical columns are moved without a copy). Rows with a _dray_error and rows
// that cannot be cast go to `rejects` and are left out. *out may hold no rows. @errors PLUGIN_CONTRACT for a
// malformed array, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_caster_run(struct dr_caster *caster, struct ArrowArray *array, uint64_t first_row,
                                     struct dr_batch **out, struct dr_rejects *rejects, struct dray_error *error);

#endif // DR_TABLE_CAST_H
