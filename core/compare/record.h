// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A CSV record as the comparison sees it: the canonical texts of its compared fields, or what two records differ in.
// Inside core/compare only.
#ifndef DR_COMPARE_RECORD_H
#define DR_COMPARE_RECORD_H

#include "compare/fields.h"
#include "compare/reading.h"

#define RECORD_NOWHERE UINT32_MAX

// Immutable; all borrowed but `places`.
struct record_plan {
  char delimiter, quote;
  uint32_t column_count; // of the files
  uint32_t *places;      // owned: of each field, among the columns
  size_t field_count;
  const struct dr_reading *readings;
  const char *const *null_values;
  size_t null_count;
};

// Of one thread. Texts are valid until the next call on the same row; data NULL: null.
struct record_row {
  struct dray_str *raw;   // by column: as it stands, with its quotes
  struct dray_str *texts; // by field: canonical
  size_t *offsets;        // by field: of a text in `own`; SIZE_MAX: it stands in the record
  struct dray_buffer field, scratch, own;
};
DRAY_NODISCARD int32_t record_row_init(struct record_row *row, const struct record_plan *plan,
                                       struct dray_error *error);
void record_row_free(struct record_row *row); // of one that is all zeros as well

// Splits a record of exactly column_count fields. Behind it SCAN_SLACK_BYTES must be readable.
void record_split(const struct record_plan *plan, struct dray_str record, struct record_row *row);
// The text of one field of the record that was split, valid until the next call on the row. *out_reads as
// dr_reading_text. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t record_text(const struct record_plan *plan, struct record_row *row, size_t field,
                                   struct dray_str *out, int *out_reads, struct dray_error *error);
// Fills row->texts; fields whose raw bytes are those of `like` (NULL: none) take its texts, which must outlive them.
// @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t record_texts(const struct record_plan *plan, struct record_row *row,
                                    const struct record_row *like, struct dray_error *error);
// Sets bit f of `changed` (cleared) for every field that differs. Returns with *out_count how many do. @errors
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t record_compare(const struct record_plan *plan, struct record_row *old, struct record_row *new,
                                      uint8_t *changed, size_t *out_count, struct dray_error *error);

#endif // DR_COMPARE_RECORD_H
