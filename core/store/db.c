// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The connection: opening with checks, the statements, the transaction around every change, and SQLite's result codes
// as dray errors. Called by the other files of core/store only. Knows no table but `meta`.
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/redact.h"
#include "dray/sdk/error.h"

#define WAY_OUT "move it aside and restore a backup, or start over without it"

static const char *const statement_texts[DR_DB_STATEMENT_COUNT] = {
#define STATEMENT(name, sql) sql,
#include "store/statements.def"
#undef STATEMENT
};

// Called by SQLite while another process holds a lock that is needed. 0 gives up.
static int wait_for_lock(void *ctx, int calls) {
  struct dr_store *store = ctx;
  const int64_t now = dr_monotonic_ms();
  if (store->busy_since_ms == 0) {
    store->busy_since_ms = now;
    dr_board_wait(store->busy_max_ms, "another dray process is writing to the state database");
  }
  const int64_t waited = now - store->busy_since_ms;
  if (waited >= store->busy_max_ms) return 0;
  if (dr_cancelled() && waited >= DR_DB_BUSY_CANCELLED_MAX_MS) return 0;
  const struct timespec pause = {.tv_sec = 0, .tv_nsec = calls < 10 ? 2000000 : 20000000};
  nanosleep(&pause, NULL);
  return 1;
}

static void waited_for_lock(struct dr_store *store) {
  if (store->busy_since_ms == 0) return;
  store->busy_since_ms = 0;
  dr_board_wait(0, NULL);
}

static int32_t code_of(int rc, int saved_errno) {
  switch (rc & 0xff) {
  case SQLITE_NOMEM:
    return DRAY_E_OUT_OF_MEMORY;
  case SQLITE_FULL:
    return DRAY_E_DISK_FULL;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return DRAY_E_STATE_CORRUPT;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return DRAY_E_BUSY;
  case SQLITE_IOERR:
    if (rc == SQLITE_IOERR_NOMEM) return DRAY_E_OUT_OF_MEMORY;
    return saved_errno == ENOSPC || saved_errno == EDQUOT ? DRAY_E_DISK_FULL : DRAY_E_IO;
  case SQLITE_CANTOPEN:
  case SQLITE_READONLY:
  case SQLITE_PERM:
    return DRAY_E_IO;
  default:
    return DRAY_E_INTERNAL;
  }
}

int32_t dr_db_fail(const struct dr_store *store, int rc, const char *doing, struct dray_error *error) {
  const char *path = store->path != NULL ? store->path : "state.db";
  const int saved_errno = store->db != NULL ? sqlite3_system_errno(store->db) : 0;
  const char *detail = store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc);
  const int32_t code = code_of(rc, saved_errno);
  switch (code) {
  case DRAY_E_OUT_OF_MEMORY:
    return dray_fail(error, code, "no memory while %s in %s", doing, path);
  case DRAY_E_DISK_FULL:
    return dray_fail(error, code, "the disk is full: %s in %s was undone", doing, path);
  case DRAY_E_STATE_CORRUPT:
    return dray_fail(error, code, "%s is damaged (%s while %s): " WAY_OUT, path, detail, doing);
  case DRAY_E_BUSY:
    return dray_fail(error, code, "%s is locked by another process: %s was not possible within %lld s", path, doing,
                     (long long)(store->busy_max_ms / 1000));
  case DRAY_E_IO:
    return dray_fail(error, code, "%s in %s failed: %s%s%s", doing, path, detail, saved_errno != 0 ? ": " : "",
                     saved_errno != 0 ? strerror(saved_errno) : "");
  default:
    return dray_fail(error, code, "%s in %s failed: %s (SQLite %d)", doing, path, detail, rc);
  }
}

// ---- statements ----

int32_t dr_db_call(struct dr_store *store, enum dr_db_statement id, struct dr_db_call *out, struct dray_error *error) {
  assert(store->pid == getpid()); // a connection that crossed a fork corrupts the file
  if (store->statements[id] == NULL) {
    const int rc =
        sqlite3_prepare_v3(store->db, statement_texts[id], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[id], NULL);
    waited_for_lock(store);
    if (rc == SQLITE_ERROR) { // the version is right, but the tables are not: somebody else was at the file
      return dray_fail(error, DRAY_E_STATE_CORRUPT, "%s does not hold the tables of its version (%s): restore a backup",
                       store->path, sqlite3_errmsg(store->db));
    }
    if (rc != SQLITE_OK) return dr_db_fail(store, rc, "reading", error);
  }
  *out = (struct dr_db_call){.store = store, .stmt = store->statements[id], .rc = SQLITE_OK};
  return DRAY_OK;
}

void dr_db_int(struct dr_db_call *call, int64_t value) {
  const int rc = sqlite3_bind_int64(call->stmt, ++call->parameter, value);
  if (call->rc == SQLITE_OK) call->rc = rc;
}

void dr_db_u64(struct dr_db_call *call, uint64_t value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  dr_db_int(call, bits);
}

void dr_db_text(struct dr_db_call *call, const char *text) {
  const int rc = sqlite3_bind_text(call->stmt, ++call->parameter, text, -1, SQLITE_TRANSIENT);
  if (call->rc == SQLITE_OK) call->rc = rc;
}

void dr_db_masked(struct dr_db_call *call, const char *text) {
  char copy[DRAY_ERROR_TEXT_MAX];
  const size_t len = strnlen(text, sizeof copy);
  memcpy(copy, text, len);
  const size_t kept = dr_redact(copy, len);
  const int rc = sqlite3_bind_text(call->stmt, ++call->parameter, copy, (int)kept, SQLITE_TRANSIENT);
  if (call->rc == SQLITE_OK) call->rc = rc;
}

void dr_db_blob(struct dr_db_call *call, const void *data, size_t len) {
  assert(len <= INT_MAX);
  // A NULL pointer would bind NULL; an empty value is a value.
  const int rc = sqlite3_bind_blob(call->stmt, ++call->parameter, len > 0 ? data : "", (int)len, SQLITE_TRANSIENT);
  if (call->rc == SQLITE_OK) call->rc = rc;
}

int32_t dr_db_step(struct dr_db_call *call, int *out_row, struct dray_error *error) {
  struct dr_store *store = call->store;
  int rc = call->rc;
  if (rc == SQLITE_OK) {
    rc = sqlite3_step(call->stmt);
    waited_for_lock(store);
  }
  if (rc == SQLITE_ROW) {
    call->column = 0;
    *out_row = 1;
    return DRAY_OK;
  }
  const int32_t code = rc == SQLITE_DONE ? DRAY_OK : dr_db_fail(store, rc, "a change or look-up", error);
  dr_db_reset(call);
  if (code == DRAY_OK) *out_row = 0;
  return code;
}

int32_t dr_db_done(struct dr_db_call *call, struct dray_error *error) {
  int row = 1;
  while (row) DRAY_TRY(dr_db_step(call, &row, error));
  return DRAY_OK;
}

void dr_db_reset(struct dr_db_call *call) {
  sqlite3_reset(call->stmt); // repeats the step's failure, which was reported
  sqlite3_clear_bindings(call->stmt);
}

int64_t dr_db_get_int(struct dr_db_call *call) {
  return sqlite3_column_int64(call->stmt, call->column++);
}

uint64_t dr_db_get_u64(struct dr_db_call *call) {
  const int64_t bits = dr_db_get_int(call);
  uint64_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void dr_db_get_text(struct dr_db_call *call, char *out, size_t capacity) {
  const unsigned char *text = sqlite3_column_text(call->stmt, call->column);
  size_t len = (size_t)sqlite3_column_bytes(call->stmt, call->column++);
  if (text == NULL) len = 0;
  if (len > capacity - 1) {
    len = capacity - 1;
    while (len > 0 && (text[len] & 0xC0) == 0x80) len--; // never half a character
  }
  if (len > 0) memcpy(out, text, len);
  out[len] = '\0';
}

struct dray_str dr_db_get_blob(struct dr_db_call *call) {
  const void *data = sqlite3_column_blob(call->stmt, call->column);
  const int len = sqlite3_column_bytes(call->stmt, call->column++);
  return dray_str_make(data, data != NULL ? (uint64_t)len : 0);
}

int32_t dr_db_grow(void **items, size_t item_size, size_t count, size_t *capacity, struct dray_error *error) {
  if (count < *capacity) return DRAY_OK;
  const size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
  void *grown = realloc(*items, wanted * item_size);
  if (grown == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu records of the state database", wanted);
  *items = grown;
  *capacity = wanted;
  return DRAY_OK;
}

// ---- transactions ----

static int32_t run_simple(struct dr_store *store, enum dr_db_statement id, struct dray_error *error) {
  struct dr_db_call call;
  DRAY_TRY(dr_db_call(store, id, &call, error));
  return dr_db_done(&call, error);
}

static void rollback(struct dr_store *store) {
  if (sqlite3_get_autocommit(store->db)) return; // SQLite has undone it already, e.g. on a full disk
  struct dray_error ignored;
  dray_error_init(&ignored);
  // It can only fail on I/O; the journal then stays hot and the next open undoes the change.
  const int32_t code = run_simple(store, DR_DB_ROLLBACK, &ignored);
  (void)code;
}

static int32_t commit(struct dr_store *store, struct dray_error *error) {
  const int fault = dr_fault_point("store.commit");
  int32_t code;
  if (fault != 0) {
    errno = fault;
    code = dr_fail_errno(error, "commit to", store->path);
  } else {
    code = run_simple(store, DR_DB_COMMIT, error);
  }
  if (code != DRAY_OK) {
    rollback(store);
    return code;
  }
  (void)dr_fault_point("store.committed"); // to be killed at; nothing is left that could fail
  return DRAY_OK;
}

int32_t dr_db_write_begin(struct dr_store *store, struct dray_error *error) {
  if (!store->in_transaction) return run_simple(store, DR_DB_BEGIN, error);
  if (store->failed_code == DRAY_OK) return DRAY_OK;
  return dray_fail(error, store->failed_code, "an earlier change of this transaction on %s failed", store->path);
}

int32_t dr_db_write_end(struct dr_store *store, int32_t code, struct dray_error *error) {
  if (store->in_transaction) {
    if (store->failed_code == DRAY_OK) store->failed_code = code;
    return code;
  }
  if (code == DRAY_OK) return commit(store, error);
  rollback(store);
  return code;
}

int32_t dr_store_begin(struct dr_store *store, struct dray_error *error) {
  assert(!store->in_transaction);
  DRAY_TRY(run_simple(store, DR_DB_BEGIN, error));
  store->in_transaction = 1;
  store->failed_code = DRAY_OK;
  return DRAY_OK;
}

int32_t dr_store_commit(struct dr_store *store, struct dray_error *error) {
  assert(store->in_transaction);
  const int32_t failed_code = store->failed_code;
  store->in_transaction = 0;
  store->failed_code = DRAY_OK;
  if (failed_code == DRAY_OK) return commit(store, error);
  rollback(store);
  return dray_fail(error, failed_code, "an earlier change of this transaction on %s failed, so nothing of it was kept",
                   store->path);
}

void dr_store_rollback(struct dr_store *store) {
  if (!store->in_transaction) return;
  store->in_transaction = 0;
  store->failed_code = DRAY_OK;
  rollback(store);
}

// ---- opening ----

static int32_t pragma_int(struct dr_store *store, const char *sql, int64_t *out, struct dray_error *error) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  waited_for_lock(store);
  int32_t code = DRAY_OK;
  if (rc == SQLITE_ROW) {
    *out = sqlite3_column_int64(stmt, 0);
  } else {
    code = dr_db_fail(store, rc == SQLITE_DONE ? SQLITE_INTERNAL : rc, "opening", error);
  }
  sqlite3_finalize(stmt);
  return code;
}

static int32_t execute(struct dr_store *store, const char *sql, const char *doing, struct dray_error *error) {
  const int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
  waited_for_lock(store);
  return rc == SQLITE_OK ? DRAY_OK : dr_db_fail(store, rc, doing, error);
}

int32_t dr_db_connect(struct dr_store *store, const char *path, struct dray_error *error) {
  store->pid = getpid();
  store->busy_max_ms = DR_DB_BUSY_MAX_MS;
  store->path = dray_str_dup(dray_str_of(path));
  if (store->path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open %s", path);
  // Counting what SQLite allocates takes a lock of the process each time, the warehouse's loads too, and nobody asks.
  // Where SQLite was used before this is refused, and does not matter.
  (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  // NOMUTEX: a store belongs to one thread at a time.
  int rc =
      sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_busy_handler(store->db, wait_for_lock, store);
  if (rc != SQLITE_OK) return dr_db_fail(store, rc, "opening", error);
  sqlite3_extended_result_codes(store->db, 1);
  // The file is ours, but it may be damaged or prepared: believe nothing in it that could run or reach outside.
  sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  return execute(
      store,
      "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY",
      "opening", error);
}

static int32_t check_identity(struct dr_store *store, struct dray_error *error) {
  int64_t application = 0, version = 0;
  // The first look at the file: rolls back a journal that a killed process left, and notices a file that is shorter
  // than its header says.
  DRAY_TRY(pragma_int(store, "PRAGMA application_id", &application, error));
  DRAY_TRY(pragma_int(store, "PRAGMA user_version", &version, error));
  if (application != DR_DB_APPLICATION_ID || version < 1) {
    return dray_fail(error, DRAY_E_STATE_CORRUPT, "%s is empty or not a state database of dray: " WAY_OUT, store->path);
  }
  if (version > DR_DB_VERSION) {
    return dray_fail(error, DRAY_E_STATE_VERSION,
                     "%s has version %lld, this dray knows up to %d: it was written by a newer dray", store->path,
                     (long long)version, DR_DB_VERSION);
  }
  return DRAY_OK;
}

// TRUNCATE, not DELETE: after a power loss a deleted journal may come back and undo a commit that was reported as
// durable; a truncated one is synced. Not WAL: README.md.
static int32_t set_journal(struct dr_store *store, struct dray_error *error) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(store->db, "PRAGMA journal_mode = TRUNCATE", -1, &stmt, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  waited_for_lock(store);
  int32_t code = DRAY_OK;
  if (rc != SQLITE_ROW) {
    code = dr_db_fail(store, rc, "choosing the journal", error);
  } else if (sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "truncate") != 0) {
    code = dray_fail(error, DRAY_E_BUSY, "%s is open in another program in journal mode %s: close it there",
                     store->path, (const char *)sqlite3_column_text(stmt, 0));
  }
  sqlite3_finalize(stmt);
  return code;
}

static int32_t quick_check(struct dr_store *store, struct dray_error *error) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  waited_for_lock(store);
  int32_t code = DRAY_OK;
  const char *found = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
  if (rc != SQLITE_ROW) {
    code = dr_db_fail(store, rc, "verifying", error);
  } else if (found == NULL || sqlite3_stricmp(found, "ok") != 0) {
    code = dray_fail(error, DRAY_E_STATE_CORRUPT, "%s is damaged (%s): " WAY_OUT, store->path,
                     found != NULL ? found : "no answer");
  }
  sqlite3_finalize(stmt);
  return code;
}

// Reading the whole file costs a millisecond while it is small. A large one is verified once a day.
static int32_t verify(struct dr_store *store, struct dray_error *error) {
  int64_t pages = 0, page_size = 0;
  DRAY_TRY(pragma_int(store, "PRAGMA page_count", &pages, error));
  DRAY_TRY(pragma_int(store, "PRAGMA page_size", &page_size, error));
  // SQLite takes a last page that is cut short as one that ends in zeros.
  struct stat info;
  if (stat(store->path, &info) != 0) return dr_fail_errno(error, "look at", store->path);
  if (info.st_size < pages * page_size) {
    return dray_fail(error, DRAY_E_STATE_CORRUPT, "%s has %lld bytes instead of %lld: it was cut off; " WAY_OUT,
                     store->path, (long long)info.st_size, (long long)(pages * page_size));
  }
  if (pages * page_size <= DR_DB_CHECK_BYTES_MAX) return quick_check(store, error);
  struct dr_db_call call;
  int64_t checked_us = 0;
  int row = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_META_GET, &call, error));
  dr_db_text(&call, "checked_us");
  DRAY_TRY(dr_db_step(&call, &row, error));
  if (row) checked_us = dr_db_get_int(&call);
  if (row) dr_db_reset(&call);
  const int64_t now = dr_now_us();
  if (checked_us <= now && now - checked_us < DR_DB_CHECK_INTERVAL_US) return DRAY_OK;
  DRAY_TRY(quick_check(store, error));
  DRAY_TRY(dr_db_write_begin(store, error));
  int32_t code = dr_db_call(store, DR_DB_META_PUT, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, "checked_us");
    dr_db_int(&call, now);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

int32_t dr_db_open(struct dr_store *store, const char *path, struct dray_error *error) {
  DRAY_TRY(dr_db_connect(store, path, error));
  DRAY_TRY(check_identity(store, error));
  DRAY_TRY(set_journal(store, error));
  DRAY_TRY(dr_db_migrate(store, error));
  return verify(store, error);
}

void dr_db_close(struct dr_store *store) {
  for (size_t i = 0; i < DR_DB_STATEMENT_COUNT; i++) {
    sqlite3_finalize(store->statements[i]);
    store->statements[i] = NULL;
  }
  sqlite3_close_v2(store->db);
  store->db = NULL;
  free(store->path);
  store->path = NULL;
}
