// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values as such, and Arrow arrays that hold them in any way an exporter may choose: widths, scales, units, zones,
// layouts of text, dictionaries, offsets, rubbish in the place of nulls.
#ifndef DRAY_TEST_TABLE_FOREIGN_H
#define DRAY_TEST_TABLE_FOREIGN_H

#include "arrays.h"

#define LOGICAL_ROWS_MAX 120
#define LOGICAL_TEXT_MAX 150

// One value of a canonical type; which field holds it, the column's type says.
struct logical {
  int state;       // DR_SLOT_*
  int64_t integer; // BOOL, INT64, DATE, TIMESTAMP; of JSON, how many numbers its array has
  double real;     // FLOAT64
  __int128 digits; // DECIMAL, of the column's scale
  size_t len;      // STRING, BYTES
  char text[LOGICAL_TEXT_MAX];
  int8_t items[8]; // JSON: an array of numbers
};

struct logical_column {
  char name[16];
  struct dray_type type; // of a decimal: the fewest digits and the smallest scale that do
  unsigned magnitude;    // how large its values may be, so that narrow types are enough for some columns
  struct logical values[LOGICAL_ROWS_MAX];
};

void logical_column_random(struct logical_column *column, size_t rows, uint64_t *seed);
void logical_random(const struct logical_column *column, struct logical *out, uint64_t *seed);
int logical_equal(const struct dray_type *type, const struct logical *a, const struct logical *b);

// How a column is laid out.
struct layout {
  int kind;
  int32_t width; // bytes of a value or offset
  int is_signed;
  int32_t precision, scale;
  int64_t per_second;
  int binary, dictionary;
  int32_t index_width;
  int index_signed;
  char format[48], dictionary_format[48];
};
// One that can hold these values exactly.
void layout_choose(struct layout *out, const struct logical_column *column, size_t rows, uint64_t *seed);
void layout_schema(const struct layout *layout, const struct logical_column *column, struct ArrowSchema *out);
// Rows `first` to `first + count` as the elements of `out` from `offset` on.
void layout_array(const struct layout *layout, const struct logical_column *column, size_t first, size_t count,
                  size_t offset, uint64_t *seed, struct ArrowArray *out);

#endif // DRAY_TEST_TABLE_FOREIGN_H
