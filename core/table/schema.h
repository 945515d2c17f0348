// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The schema of canonical batches inside the host.
#ifndef DR_TABLE_SCHEMA_H
#define DR_TABLE_SCHEMA_H

#include "dray/sdk/column.h"

struct dr_field {
  char *name; // owned by the schema
  struct dray_type type;
  int nullable;
};

// Immutable once shared. Reference counted: batches hold one.
struct dr_schema {
  _Atomic int references;
  size_t field_count;
  struct dr_field *fields;
  struct ArrowSchema arrow; // the same fields as Arrow knows them; borrowed by readers
};

// Copies the names. @errors SCHEMA_NAME for an empty, double or reserved name, SCHEMA_TYPE, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_schema_new(const struct dray_column_def *fields, size_t field_count, struct dr_schema **out,
                                     struct dray_error *error);
struct dr_schema *dr_schema_ref(struct dr_schema *schema);
void dr_schema_unref(struct dr_schema *schema);                                 // NULL allowed
ptrdiff_t dr_schema_find(const struct dr_schema *schema, struct dray_str name); // -1: none
int dr_schema_equal(const struct dr_schema *a, const struct dr_schema *b);
// To and from Arrow. To: with 1, the columns of stream.h that a destination gets stand behind the fields: _dray_absent,
// _dray_row, _dray_op, _dray_changed. From: any castable type becomes the canonical type that holds it exactly
// (README.md has the table); the reserved columns of stream.h are left out.
// @errors SCHEMA_TYPE for a type that has none (e.g. union), SCHEMA_NAME for an empty or double name.
DRAY_NODISCARD int32_t dr_schema_to_arrow(const struct dr_schema *schema, int with_reserved_write_columns,
                                          struct ArrowSchema *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_schema_from_arrow(const struct ArrowSchema *arrow, struct dr_schema **out,
                                            struct dray_error *error);
// A JSON array of {"name","type","nullable"} and back: what the store and the mirror keep. @errors of reading:
// DATA_JSON, SCHEMA_TYPE, SCHEMA_NAME, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_schema_to_json(const struct dr_schema *schema, struct dray_buffer *out,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dr_schema_from_json(struct dray_str json, struct dr_schema **out, struct dray_error *error);
// XXH3-64 over names and types in byte order of the names: equal for any column order.
uint64_t dr_schema_fingerprint(const struct dr_schema *schema);

#endif // DR_TABLE_SCHEMA_H
