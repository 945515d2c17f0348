// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this plugin share: a host without a host, folders that go away, and short ways to rows.
#ifndef SQLITE_TEST_BENCH_H
#define SQLITE_TEST_BENCH_H

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "roles.h"

// ---- a host ----

const struct dray_host *bench_host(void);
void bench_cancel(int on);            // what the cancel service says
extern int bench_cancel_after_sleeps; // > 0: cancelled after so many naps of the clock service

// ---- folders and files ----

const char *bench_folder(void); // of this test, empty; made anew by bench_fresh
void bench_fresh(void);
const char *bench_path(const char *name); // FOLDER/name, in static memory (four at a time)
// Runs SQL on a file with SQLite itself, and reads one value as text ("NULL" for null).
void bench_sql(const char *path, const char *sql);
const char *bench_value(const char *path, const char *sql);
// The file of ../shared/data, or NULL after saying that the test is skipped (a failure where CI is set).
const char *bench_shared(const char *name);

// ---- plugin instances ----

struct dray_source *bench_source(const char *path);
struct dray_warehouse *bench_warehouse(const char *path); // opened

// A stream's rows as text: columns with '|', rows with '\n'; null is "~", a rejected row is "!" and its reason. In
// static memory.
const char *bench_rows(struct dray_stream *stream);
// The same of a query, which must succeed.
const char *bench_query(struct dray_warehouse *warehouse, const char *sql);
// "name type" of the columns, with commas.
const char *bench_schema(struct dray_stream *stream);

#define assert_ok(expression)                                                                                          \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK) fail_msg("%s: %d %s", #expression, code_, bench_error.text);                                 \
  } while (0)
extern struct dray_error bench_error;

#endif // SQLITE_TEST_BENCH_H
