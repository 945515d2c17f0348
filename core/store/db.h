// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// SQLite as the store's files use it: one connection, statements prepared once and kept, one path through which
// every change is committed, one place where its result codes become dray errors. Private to core/store and its tests.
#ifndef DR_STORE_DB_H
#define DR_STORE_DB_H

#include <sqlite3.h>
#include <sys/types.h>

#include "store/store.h"

#define DR_DB_APPLICATION_ID 0x64726179 // "dray"
#define DR_DB_VERSION 2                 // user_version: how many migrations were run
#define DR_DB_BUSY_MAX_MS 30000
#define DR_DB_BUSY_CANCELLED_MAX_MS 2000 // a run that was asked to end still gets its last record in
#define DR_DB_CHECK_BYTES_MAX (4 << 20)  // up to here every open verifies the whole file; beyond, once a day
#define DR_DB_CHECK_INTERVAL_US (INT64_C(86400) * 1000000)

enum dr_db_statement {
#define STATEMENT(name, sql) DR_DB_##name,
#include "store/statements.def"
#undef STATEMENT
  DR_DB_STATEMENT_COUNT
};

struct dr_store {
  sqlite3 *db;
  char *path;
  uint64_t seed;
  int64_t busy_max_ms;
  int64_t busy_since_ms; // 0: not waiting for a lock
  pid_t pid;             // SQLite connections do not survive a fork
  int in_transaction;    // between dr_store_begin and commit or rollback
  int32_t failed_code;   // the first failure inside it: nothing of it may be committed any more
  sqlite3_stmt *statements[DR_DB_STATEMENT_COUNT];
};

// Opens `path`, which must exist; sets the busy handler, refuses what is not a dray state of a known version.
DRAY_NODISCARD int32_t dr_db_open(struct dr_store *store, const char *path, struct dray_error *error);
// The first step of it: connects and configures, believes nothing yet. After a failure of either, dr_db_close.
DRAY_NODISCARD int32_t dr_db_connect(struct dr_store *store, const char *path, struct dray_error *error);
void dr_db_close(struct dr_store *store);
// Makes a complete, empty state database at `path` unless there is one: never seen half made. @errors as dr_store_open.
DRAY_NODISCARD int32_t dr_db_make(const char *folder, const char *path, struct dray_error *error);
DRAY_NODISCARD int32_t dr_db_migrate(struct dr_store *store, struct dray_error *error);

// Fills the error of a failed SQLite call.
int32_t dr_db_fail(const struct dr_store *store, int rc, const char *doing, struct dray_error *error);

// A statement being bound, parameter after parameter; the first failure sticks and is reported by dr_db_step.
struct dr_db_call {
  struct dr_store *store;
  sqlite3_stmt *stmt;
  int parameter;
  int column;
  int rc;
};
DRAY_NODISCARD int32_t dr_db_call(struct dr_store *store, enum dr_db_statement id, struct dr_db_call *out,
                                  struct dray_error *error);
void dr_db_int(struct dr_db_call *call, int64_t value);
void dr_db_u64(struct dr_db_call *call, uint64_t value); // as the int64 of the same bits
void dr_db_text(struct dr_db_call *call, const char *text);
void dr_db_masked(struct dr_db_call *call,
                  const char *text); // what people read: passes dr_redact; cut at DRAY_ERROR_TEXT_MAX
void dr_db_blob(struct dr_db_call *call, const void *data, size_t len);
// *out_row = 1: a row is there to be read; 0: done, and the statement is reset.
DRAY_NODISCARD int32_t dr_db_step(struct dr_db_call *call, int *out_row, struct dray_error *error);
DRAY_NODISCARD int32_t dr_db_done(struct dr_db_call *call, struct dray_error *error); // steps to the end, ignoring rows
void dr_db_reset(struct dr_db_call *call);

// The columns of the row, from the left.
int64_t dr_db_get_int(struct dr_db_call *call);
uint64_t dr_db_get_u64(struct dr_db_call *call);
void dr_db_get_text(struct dr_db_call *call, char *out, size_t capacity); // cut when longer
struct dray_str dr_db_get_blob(struct dr_db_call *call);                  // valid until the next step

// Every change stands between these two: its own transaction, unless dr_store_begin opened one. `code` is how the
// change went; `end` commits or rolls back and returns the final code.
DRAY_NODISCARD int32_t dr_db_write_begin(struct dr_store *store, struct dray_error *error);
DRAY_NODISCARD int32_t dr_db_write_end(struct dr_store *store, int32_t code, struct dray_error *error);

// Room for one more element of an array that is read row by row; the array stays owned by the caller on failure.
DRAY_NODISCARD int32_t dr_db_grow(void **items, size_t item_size, size_t count, size_t *capacity,
                                  struct dray_error *error);

#endif // DR_STORE_DB_H
