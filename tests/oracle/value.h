// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values: made at random, written down as a text that is equal exactly when the values are, and read out of what the
// engine answers. The text is the test's own idea of equality; nothing of the engine's encoding is used.
//
//   absent NULL (no text) · null "-" · bool bt bf · int64 i5 · float64 f<16 hex digits> or fnan · decimal d<unscaled>e<scale>, without
//   needless zeros · string s… · bytes x<hex> · date D<days> · timestamp T<us> · json j…
#ifndef DRAY_ORACLE_VALUE_H
#define DRAY_ORACLE_VALUE_H

#include <sqlite3.h>

#include "dice.h"
#include "table/batch.h"

enum { CELL_ABSENT, CELL_NULL, CELL_VALUE };
struct cell {
  int state; // CELL_*
  struct dray_type type;
  int64_t number; // bool, int64, date, timestamp
  double real;
  __int128 decimal;  // unscaled
  const char *bytes; // string, bytes, json; valid until the next cell is made
  size_t len;
};

struct dray_type value_random_type(struct dice *dice);
// Any value but absent; null in one of six.
void cell_random(struct cell *cell, struct dray_type type, struct dice *dice);
// Value `number` of a key column; `spelling` chooses among values that are equal (0 and -0).
void cell_key(struct cell *cell, struct dray_type type, uint64_t number, struct dice *spelling);
void cell_read(struct cell *cell, const struct dr_batch *batch, size_t column, uint64_t row);
DRAY_NODISCARD int32_t cell_append(struct dray_builder *builder, size_t column, const struct cell *cell,
                                   struct dray_error *error);

// The cell's text; NULL for absent. Valid until the next call.
const char *cell_text(const struct cell *cell);
void cell_bind_text(sqlite3_stmt *statement, int at, const struct cell *cell);
// As something that SQLite sorts as the values sort: NaN behind all numbers, decimals of one column, bytes as bytes.
void cell_bind_order(sqlite3_stmt *statement, int at, const struct cell *cell);
// Whether a column of `type` can hold the value exactly that `text` stands for.
int value_fits(const char *text, struct dray_type type);

#endif // DRAY_ORACLE_VALUE_H
