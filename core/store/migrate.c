// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables, as the steps that lead to them, and the making of a new database. A step that was released is never
// edited: a change is a new step, and DR_DB_VERSION grows by one.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "dray/sdk/error.h"
#include "store/db.h"

#define MAKE_WAIT_MAX_MS 30000
#define MAKE_WAIT_STEP_MS 20

static const char *const migrations[DR_DB_VERSION] = {
    // 1. 64-bit hashes, counts and generations are stored as the signed integer of the same bits.
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"
    // AUTOINCREMENT: an id is never given twice, since rejected rows compare run numbers.
    "CREATE TABLE runs ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, sync TEXT NOT NULL, state INTEGER NOT NULL, exit_code INTEGER NOT NULL "
    "DEFAULT 0,"
    "  started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL,"
    "  rows_read INTEGER NOT NULL DEFAULT 0, inserts INTEGER NOT NULL DEFAULT 0, updates INTEGER NOT NULL DEFAULT 0,"
    "  deletes INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0, applied INTEGER NOT NULL DEFAULT 0,"
    "  rejected INTEGER NOT NULL DEFAULT 0, in_doubt INTEGER NOT NULL DEFAULT 0, code INTEGER NOT NULL DEFAULT 0,"
    "  text TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX runs_by_sync ON runs (sync, id);"
    "CREATE TABLE batches ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, sync TEXT NOT NULL, run INTEGER NOT NULL REFERENCES runs (id),"
    "  state INTEGER NOT NULL, first_seq INTEGER NOT NULL, count INTEGER NOT NULL, changeset TEXT NOT NULL,"
    "  idempotency_key TEXT NOT NULL, handle TEXT NOT NULL, mirror_frame INTEGER NOT NULL, updated_us INTEGER NOT "
    "NULL) STRICT;"
    "CREATE INDEX batches_by_run ON batches (run);"
    "CREATE INDEX batches_open ON batches (sync, id) WHERE state <> 3;" // 3: DR_BATCH_ACKED
    "CREATE TABLE rejected ("
    "  sync TEXT NOT NULL, key_hash BLOB NOT NULL, row_hash INTEGER NOT NULL, op INTEGER NOT NULL, code INTEGER NOT "
    "NULL,"
    "  attempts INTEGER NOT NULL, parked INTEGER NOT NULL, run INTEGER NOT NULL, seen_us INTEGER NOT NULL,"
    "  \"key\" TEXT NOT NULL, \"column\" TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (sync, key_hash)) STRICT;"
    "CREATE INDEX rejected_by_code ON rejected (sync, code, \"key\", key_hash);"
    "CREATE TABLE syncs ("
    "  sync TEXT NOT NULL PRIMARY KEY, generation INTEGER NOT NULL, checkpoint BLOB NOT NULL, identity TEXT NOT NULL,"
    "  updated_us INTEGER NOT NULL) STRICT;"
    "CREATE TABLE plugin_state ("
    "  connection TEXT NOT NULL, \"key\" BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (connection, \"key\")) "
    "STRICT;",
    // 2. When a batch left. Of those from before it is known when their run began.
    "ALTER TABLE batches ADD COLUMN sent_us INTEGER NOT NULL DEFAULT 0;"
    "UPDATE batches SET sent_us = (SELECT started_us FROM runs WHERE runs.id = batches.run);",
};

static int32_t run_sql(struct dr_store *store, const char *sql, struct dray_error *error) {
  const int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
  return rc == SQLITE_OK ? DRAY_OK : dr_db_fail(store, rc, "making the tables", error);
}

static int take_int(void *ctx, int column_count, char **values, char **names) {
  (void)names;
  if (column_count == 1 && values[0] != NULL) *(int64_t *)ctx = strtoll(values[0], NULL, 10);
  return 0;
}

static int32_t read_version(struct dr_store *store, int64_t *out, struct dray_error *error) {
  const int rc = sqlite3_exec(store->db, "PRAGMA user_version", take_int, out, NULL);
  return rc == SQLITE_OK ? DRAY_OK : dr_db_fail(store, rc, "reading the version", error);
}

static int32_t migrate_from(struct dr_store *store, int64_t version, struct dray_error *error) {
  for (; version < DR_DB_VERSION; version++) {
    DRAY_TRY(run_sql(store, migrations[version], error));
  }
  char pragma[64];
  snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", DR_DB_VERSION);
  DRAY_TRY(run_sql(store, pragma, error));
  snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d", DR_DB_APPLICATION_ID);
  return run_sql(store, pragma, error);
}

int32_t dr_db_migrate(struct dr_store *store, struct dray_error *error) {
  int64_t version = 0;
  DRAY_TRY(read_version(store, &version, error));
  if (version >= DR_DB_VERSION) return DRAY_OK;
  DRAY_TRY(dr_db_write_begin(store, error));
  int32_t code = read_version(store, &version, error); // another process may have been first
  if (code == DRAY_OK) code = migrate_from(store, version, error);
  return dr_db_write_end(store, code, error);
}

// ---- a new database ----

static int32_t put_seed(struct dr_store *store, struct dray_error *error) {
  uint64_t seed = 0;
  while (seed == 0) {
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
      return dr_fail_errno(error, "read random bytes for", store->path);
  }
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, DR_DB_META_PUT, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, "seed");
    dr_db_u64(&call, seed);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}

// Waits for whoever is making the same database.
static int32_t lock_folder(const char *lock_path, int *out_fd, struct dray_error *error) {
  const int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return dr_fail_errno(error, "open", lock_path);
  const int64_t deadline = dr_monotonic_ms() + MAKE_WAIT_MAX_MS;
  int32_t code = DRAY_OK;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      code = dr_fail_errno(error, "lock", lock_path);
    } else if (dr_monotonic_ms() > deadline) {
      code = dray_fail(error, DRAY_E_BUSY, "another process holds %s for more than %d s", lock_path,
                       MAKE_WAIT_MAX_MS / 1000);
    } else {
      code = dr_cancel_sleep(MAKE_WAIT_STEP_MS, error);
    }
    if (code != DRAY_OK) {
      close(fd);
      return code;
    }
  }
  *out_fd = fd;
  return DRAY_OK;
}

static int32_t fill(const char *path, struct dray_error *error) {
  struct dr_store store = {0};
  const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return dr_fail_errno(error, "make", path);
  close(fd);
  int32_t code = dr_db_connect(&store, path, error);
  // Nobody sees the file before it is whole, so its journal need not survive.
  if (code == DRAY_OK) code = run_sql(&store, "PRAGMA journal_mode = MEMORY", error);
  if (code == DRAY_OK) code = dr_db_migrate(&store, error);
  if (code == DRAY_OK) code = put_seed(&store, error);
  dr_db_close(&store);
  return code;
}

static void remove_beside(const char *path, const char *suffix) {
  char name[4096];
  if (snprintf(name, sizeof name, "%s%s", path, suffix) < (int)sizeof name) unlink(name);
}

int32_t dr_db_make(const char *folder, const char *path, struct dray_error *error) {
  if (dr_file_exists(path)) return DRAY_OK;
  char *lock_path = dr_path_join(folder, "state.lock");
  char *new_path = dr_path_join(folder, "state.db.new");
  int fd = -1;
  int32_t code = DRAY_OK;
  if (lock_path == NULL || new_path == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to make %s", path);
    goto done;
  }
  code = lock_folder(lock_path, &fd, error);
  if (code != DRAY_OK || dr_file_exists(path)) goto done;
  remove_beside(new_path, "");     // of a process that died right here
  remove_beside(path, "-journal"); // of a database that is gone: it would be played into the new one
  code = fill(new_path, error);
  if (code == DRAY_OK) code = dr_rename(new_path, path, error);
  if (code == DRAY_OK) code = dr_folder_sync(folder, error);
  if (code != DRAY_OK) remove_beside(new_path, "");
done:
  if (fd >= 0) close(fd);
  free(lock_path);
  free(new_path);
  return code;
}
