// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A naive model of a mirror, in memory and with no code of the engine: what a pass must say, worked out the slow way.
#ifndef DRAY_TEST_DIFF_MODEL_H
#define DRAY_TEST_DIFF_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "dray/sdk/column.h"

#define COLUMNS_MAX 12
#define KEY_BYTES_MAX 512

enum { CELL_ABSENT, CELL_NULL, CELL_VALUE };
struct cell {
  int state;
  struct dray_type type;
  int64_t number; // bool, int64, date, timestamp
  double real;
  __int128 decimal; // unscaled
  const char *text; // of a constant
  size_t text_bytes;
};

struct column {
  char name[16];
  struct dray_type type;
  int key;     // one of the key columns
  int changed; // its type was changed once
};
struct table {
  struct column columns[COLUMNS_MAX];
  size_t count;
};

struct row {
  struct cell cells[COLUMNS_MAX];
  int tombstone;
};

// One key as somebody holds it.
struct held {
  char key[KEY_BYTES_MAX];
  struct table table; // whose columns the cells are
  struct row row;
  struct held *next;
};
#define HOLDER_BUCKETS 1024
struct holder {
  struct held *buckets[HOLDER_BUCKETS];
  size_t count;
};
struct held *holder_find(const struct holder *holder, const char *key);
void holder_put(struct holder *holder, const char *key, const struct table *table, const struct row *row);
void holder_remove(struct holder *holder, const char *key);
void holder_clear(struct holder *holder);

int cell_equal(const struct cell *a, const struct cell *b);
int cell_compare(const struct cell *a, const struct cell *b); // two values of one type
// The row's key as text; 0 when a key column has no value.
int row_key(const struct table *table, const struct row *row, char *out);
const struct cell *held_cell(const struct held *held, const char *name); // absent when there is no such column

// What a pass must say of one change or reject.
struct said {
  int op; // as in struct dr_changes
  int32_t code;
  char key[KEY_BYTES_MAX];
  struct row row;    // as it is shown
  struct row before; // of an update
  struct row merged; // as the mirror holds it once it is acknowledged
  uint32_t changed;
};
struct expectation {
  struct said *list; // in the order of the input, then deletes by key
  size_t count, deletes;
  uint64_t rows, inserts, updates, unchanged, null_keys, duplicate_keys, duplicate_rows;
  uint64_t column_updates[COLUMNS_MAX];
};
struct question {
  const struct table *table;
  const struct row *rows;
  size_t row_count;
  uint32_t flags;   // DR_DIFF_*
  int duplicates;   // DR_DUPLICATES_*
  int order_column; // -1: none
  int keep;         // DR_KEEP_*, of the mirror
};
void model_expect(const struct holder *mirror, const struct question *question, struct expectation *out);
void expectation_free(struct expectation *expectation);

#endif // DRAY_TEST_DIFF_MODEL_H
