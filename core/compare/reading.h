// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How the texts of a column are read before they are compared. Every way of reading gives one canonical text for equal
// values, so that the engine compares texts and nothing else; a text that cannot be read so stays as it is and equals
// itself. What a text becomes depends on nothing but the text and the column's reading: two records with equal bytes
// are equal always, and any part of two inputs compares as it would within the whole.
#ifndef DR_COMPARE_READING_H
#define DR_COMPARE_READING_H

#include "dray/sdk/column.h"

enum {
  DR_READING_UNSEEN = 0, // no value was seen
  DR_READING_TEXT,
  DR_READING_INTEGER, // at most 18 digits; each integer has one spelling, so that these are compared as texts
  DR_READING_NUMBER,  // exact, of any precision: 1.50, 1.5 and 15e-1 are one
  DR_READING_BOOL,    // true and false in any case; also 1 and 0
  DR_READING_DATE,    // one spelling as well
  DR_READING_TIMESTAMP,
  DR_READING_JSON,
  DR_READING_DECLARED // as `type` parses; what does not parse is found out with dr_reading_reads
};

struct dr_reading {
  int kind;              // DR_READING_*
  struct dray_type type; // of DECLARED
};

// ---- guessing: from texts that are not null, in any order ----

struct dr_guess {
  uint32_t open; // set of the kinds that every text so far could be
  int seen;
};
void dr_guess_text(struct dr_guess *guess, struct dray_str text);
int dr_guess_kind(const struct dr_guess *guess); // DR_READING_*
// The kind for a column that is of kind `a` on one side and `b` on the other.
int dr_reading_merge(int a, int b);
int dr_reading_of_type(struct dray_type type); // of a column that says its type itself
// 1 when equal values have equal texts as they stand, so that texts need no rewriting.
int dr_reading_is_plain(const struct dr_reading *reading);

// ---- reading ----

// The canonical text of `text`: itself, or written into `scratch` (cleared). *out_reads = 0 when it cannot be read;
// *out is `text` then. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_reading_text(const struct dr_reading *reading, struct dray_str text,
                                       struct dray_buffer *scratch, struct dray_str *out, int *out_reads,
                                       struct dray_error *error);
// Rewrites a string column (canonical layout) of `rows` rows; nothing is copied when every text is canonical already.
// @errors OUT_OF_MEMORY, DATA_TOO_LARGE past 2 GiB.
DRAY_NODISCARD int32_t dr_reading_column(const struct dr_reading *reading, struct ArrowArray *column, int64_t rows,
                                         struct dray_buffer *scratch, struct dray_error *error);
// 1 when the text, canonical or not, is a JSON number that a reader of JSON takes for the same value.
int dr_reading_is_number(struct dray_str text);

#endif // DR_COMPARE_READING_H
