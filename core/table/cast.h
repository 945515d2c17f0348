// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The border: any Arrow array a plugin hands over becomes a canonical batch of a wanted schema, exactly,
// or the row is rejected with a reason. Nothing is ever rounded.
#ifndef DR_TABLE_CAST_H
#define DR_TABLE_CAST_H

#include "table/batch.h"
#include "table/encode.h"

// Rows that could not be cast, in the order of their rows within one call.
struct dr_reject {
  uint64_t row;     // number in the stream
  int32_t code;     // DRAY_E_DATA_*
  char column[128]; // empty when the record as a whole could not be read
  char text[256];   // why, with the value (cut to 80 bytes)
  char key[256];    // which row it is, "id=17850"; empty: not known (dr_caster_key)
  // Of all of the text that `key` may be the beginning of, with seed 1.
  struct dr_hash128 key_hash;
};
struct dr_rejects {
  struct dr_reject *items; // owned
  size_t count, capacity;
};
void dr_rejects_free(struct dr_rejects *rejects);
// Appends; `column` and `text` are cut at a UTF-8 border where they are too long. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_rejects_add(struct dr_rejects *rejects, uint64_t row, int32_t code, const char *column,
                                      const char *text, struct dray_error *error);

// Says which row a reject is, by these columns of a batch's row, where all of them have a value. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_reject_tell(struct dr_reject *reject, const struct dr_batch *batch, const char *const *key,
                                      size_t key_count, uint64_t row, struct dray_error *error);

// What to do with a value that cannot be cast: the row is rejected, or (drift policy discard_value) the value becomes
// null and the row goes on. A row with a _dray_error is rejected either way.
enum { DR_CAST_REJECT_ROW = 1, DR_CAST_NULL_VALUE = 2 };

struct dr_caster; // holds the plan from one Arrow schema to one canonical schema; one thread at a time

// `source_columns[i]` names the Arrow column that feeds field i of `target`; NULL: the field's own name, as is a NULL
// array. One column may feed several fields. A field whose column is not there is absent in every row. `source` is
// borrowed during the call. @errors SCHEMA_TYPE for a column that has no canonical form, SCHEMA_NAME for one that is
// there twice, PLUGIN_CONTRACT, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_caster_new(const struct ArrowSchema *source, struct dr_schema *target,
                                     const char *const *source_columns, int policy, struct dr_caster **out,
                                     struct dray_error *error);
void dr_caster_free(struct dr_caster *caster);
// Rejected rows are told by these fields of the target, where all of them have a value. Borrowed until free.
void dr_caster_key(struct dr_caster *caster, const char *const *names, size_t count);
// Consumes `array`, also when it fails (released, or moved: canonical columns are moved without a copy). Rows with a
// _dray_error and rows that cannot be cast go to `rejects`, one entry each, and are left out. *out may hold no rows.
// A _dray_error that begins with the name of a DATA error ("data_date: column 'day': ...") is rejected with that code and
// column, any other with DATA_TYPE and without one. @errors PLUGIN_CONTRACT for a malformed array, LIMIT,
// OUT_OF_MEMORY; `rejects` is then as it was.
DRAY_NODISCARD int32_t dr_caster_run(struct dr_caster *caster, struct ArrowArray *array, uint64_t first_row,
                                     struct dr_batch **out, struct dr_rejects *rejects, struct dray_error *error);

#endif // DR_TABLE_CAST_H
