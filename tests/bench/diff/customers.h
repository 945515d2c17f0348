// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table that the diff benchmarks are about: customers in 12 columns, about 132 bytes a row as CSV, in two versions.
// Version 2 lacks 1 % of the rows of version 1, has 5.5 % of them changed in one to three columns, and 1 % new ones.
// Everything follows from the seed: two machines measure the same bytes.
#ifndef BENCH_CUSTOMERS_H
#define BENCH_CUSTOMERS_H

#include "table/batch.h"

enum {
  BENCH_ID,
  BENCH_EMAIL, // the texts stand one behind the other: bench_row.text[column - BENCH_EMAIL]
  BENCH_FIRST_NAME,
  BENCH_LAST_NAME,
  BENCH_CITY,
  BENCH_COUNTRY,
  BENCH_SIGNED_UP,
  BENCH_SEEN_AT,
  BENCH_ORDERS,
  BENCH_REVENUE,
  BENCH_SCORE,
  BENCH_SUBSCRIBED,
  BENCH_COLUMNS
};
#define BENCH_TEXTS 5u
#define BENCH_BATCH_ROWS 8192u

extern const struct dray_column_def bench_columns[BENCH_COLUMNS];

struct bench_row {
  int64_t id;
  struct dray_str text[BENCH_TEXTS]; // borrowed: constants, `email` below, or a reader's memory
  int32_t signed_up;                 // days
  int64_t seen_at;                   // microseconds
  int64_t orders, revenue;           // revenue in cents
  double score;
  int score_is_null, subscribed;
  uint64_t hash; // of the row, for benchmarks that take rows as (id, hash)
  char email[64];
};

// One version of the table, read from its first row to its last.
struct bench_table {
  uint64_t rows; // of version 1
  uint64_t seed;
  int version;      // 1 or 2
  int random_order; // 0: ascending ids; 1: an order of its own for each version
  uint64_t at;      // places passed
};
int bench_table_next(struct bench_table *table, struct bench_row *out); // 0 at the end

struct bench_counts {
  uint64_t rows; // of the version
  uint64_t inserts, updates, deletes, unchanged;
};
// What a diff of the two versions must say. Linear in the rows, some nanoseconds each.
void bench_table_count(const struct bench_table *table, struct bench_counts *out);

size_t bench_row_csv(const struct bench_row *row, char *out); // at most BENCH_CSV_BYTES_MAX, with the line feed
#define BENCH_CSV_BYTES_MAX 512
#define BENCH_CSV_HEADER                                                                                               \
  "id,email,first_name,last_name,city,country,signed_up,seen_at,orders,revenue,score,subscribed\n"

// ---- batches ----

struct bench_filler; // rows into Arrow columns, without a call per value
struct bench_filler *bench_filler_new(struct dr_schema *schema);
void bench_filler_free(struct bench_filler *filler);
int bench_filler_put(struct bench_filler *filler, const struct bench_row *row); // 1: full, take it
struct dr_batch *bench_filler_take(struct bench_filler *filler);                // NULL when it has no rows

// Ends the process with the error's text when the code is not OK: a benchmark that failed has no number.
void bench_must(int32_t code, const struct dray_error *error);
void *bench_alloc(size_t bytes);

#endif // BENCH_CUSTOMERS_H
