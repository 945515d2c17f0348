// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the benches of warehouse plugins share: each plugin's bench.c adds the same work done by its client library
// alone. Nothing returns an error: what fails is printed, and the process ends with 1.
#ifndef DRAY_BENCH_WAREHOUSE_MEASURE_H
#define DRAY_BENCH_WAREHOUSE_MEASURE_H

#include <time.h>

#include "dray/sdk.h"

extern const struct dray_host measure_host; // nothing to offer but a clock
extern struct dray_error measure_error;

void measure_must(int32_t code); // prints measure_error and ends the process unless DRAY_OK
double measure_seconds(clockid_t clock);
void measure_start(void);
// Prints rows, seconds of wall clock since measure_start, of this process's CPU, and its peak memory in KiB.
void measure_stop(uint64_t rows);
// `CONFIG load ROWS`: rows of twelve columns into the empty table `bench`, in one transaction. `CONFIG query`: all of
// `bench` through the plugin's stream. Returns the exit code, 2 where the arguments are neither.
int measure_run(const struct dray_warehouse_vtable *vtable, int count, char **arguments);

#endif // DRAY_BENCH_WAREHOUSE_MEASURE_H
