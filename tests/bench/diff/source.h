// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a benchmark's rows come from. One batch at a time, in the caller's thread.
#ifndef BENCH_SOURCE_H
#define BENCH_SOURCE_H

#include "customers.h"

struct bench_source {
  struct dr_schema *schema;                              // owned
  struct dr_batch *(*next)(struct bench_source *source); // NULL at the end
  void (*close)(struct bench_source *source);
  void *state;
};
// words:FILE (bench_generate words: id and hash) · rows:ROWS:VERSION:ORDER[:SEED] (made on the way) ·
// postgres:TABLE (binary COPY; the connection by libpq's environment). Ends the process when it cannot.
void bench_source_open(struct bench_source *source, const char *spec);
void bench_source_close(struct bench_source *source);

void bench_postgres_open(struct bench_source *source, const char *table);

#endif // BENCH_SOURCE_H
