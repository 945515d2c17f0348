// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The test bench: a host that does the least, a folder of its own for each test, and streams read into text.
#ifndef FILE_TEST_BENCH_H
#define FILE_TEST_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "roles.h"

struct bench {
  char folder[64];
  struct dray_host host;
  int cancelled; // what the host's cancel service answers
  char log[8192];
};

int bench_setup(void **state);    // cmocka fixtures: *state is a struct bench
int bench_teardown(void **state); // removes the folder
// A path in the folder; a few are valid at once.
const char *bench_path(const struct bench *bench, const char *name);
void bench_write(const struct bench *bench, const char *name, const char *text);
void bench_write_bytes(const struct bench *bench, const char *name, const void *data, size_t len);
void bench_append(const struct bench *bench, const char *name, const char *text);
void bench_gzip(const struct bench *bench, const char *name, const char *text); // appends a member
void bench_unpack_xz(const struct bench *bench, const char *from, const char *name);
char *bench_read(const struct bench *bench, const char *name); // the caller frees
// Settings as JSON: the path below the folder and more members such as "\"infer\": false"; valid until the next call.
struct dray_str bench_settings(const struct bench *bench, const char *path, const char *more);

struct dray_source *bench_source(struct bench *bench, const char *path, const char *more);
// As text: what a stream gives from `state` on. Columns in the first line, then a line per row: values with blanks
// between them, ~ for null, - for absent, and rows that could not be read as "! reason". `out_state` (may be NULL)
// receives the state behind it; both are freed by the caller.
char *bench_rows(struct dray_source *source, const char *stream, uint32_t mode, const char *state, uint64_t rows_max,
                 char **out_state);
// Reads at most `batches` batches (0: all).
char *bench_some_rows(struct dray_source *source, const char *stream, uint32_t mode, const char *state,
                      uint64_t rows_max, size_t batches, char **out_state);
// Opening fails: returns the code, with the error for its text.
int32_t bench_open_fails(struct dray_source *source, const char *stream, const char *state, struct dray_error *error);

#endif // FILE_TEST_BENCH_H
