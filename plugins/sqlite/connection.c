// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Opening a database file, waiting for its locks, and SQLite's result codes as dray errors. Used by both roles; knows
// no table.
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell.h"

#define ANSWER_BYTES_MAX (16u << 20)
#define PROGRESS_STEPS                                                                                                 \
  20000 // instructions of SQLite's machine between two looks at the cancel flag: below a millisecond
#define LOCK_PAUSE_MIN_MS 1
#define LOCK_PAUSE_MAX_MS 50

#define SETTING_PATH                                                                                                   \
  {                                                                                                                    \
    .name = "path", .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE, .required = 1,                                   \
    .offset = offsetof(struct sqlite_settings, path),                                                                  \
    .description = "The database file; a relative path begins at the project folder."                                  \
  }
#define SETTING_BUSY                                                                                                   \
  {                                                                                                                    \
    .name = "busy_timeout_ms", .kind = DRAY_SETTING_INT, .offset = offsetof(struct sqlite_settings, busy_timeout_ms),  \
    .description = "How long to wait for another process that has locked the file, in milliseconds.",                  \
    .default_json = "30000", .minimum = 0, .maximum = 3600000                                                          \
  }

static const struct dray_setting source_settings[] = {SETTING_PATH, SETTING_BUSY};
static const struct dray_setting warehouse_settings[] = {
    SETTING_PATH,
    SETTING_BUSY,
    {.name = "read_only",
     .kind = DRAY_SETTING_BOOL,
     .offset = offsetof(struct sqlite_settings, read_only),
     .description = "Only models are read from this warehouse; the file is never changed, nor made when it is missing.",
     .default_json = "false"},
};

// The settings of a role.
static const struct dray_setting *settings_of(int source, size_t *out_count) {
  *out_count = source ? sizeof source_settings / sizeof source_settings[0]
                      : sizeof warehouse_settings / sizeof warehouse_settings[0];
  return source ? source_settings : warehouse_settings;
}

int32_t connection_spec(int source, struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept[2] = {DRAY_KEPT_SPEC, DRAY_KEPT_SPEC};
  size_t count = 0;
  const struct dray_setting *settings = settings_of(source, &count);
  return dray_config_kept_spec(&kept[source != 0], settings, count, out_json, error);
}

// ---- life ----

int32_t connection_init(struct connection *connection, const struct dray_host *host, struct dray_str config_json,
                        int source, struct dray_error *error) {
  memset(connection, 0, sizeof *connection);
  connection->source = source;
  atomic_init(&connection->interrupt, NULL);
  dray_buffer_init(&connection->answer, ANSWER_BYTES_MAX);
  DRAY_TRY(dray_services_init(&connection->services, host, error));
  size_t count = 0;
  const struct dray_setting *settings = settings_of(source, &count);
  DRAY_TRY(dray_config_bind(settings, count, config_json, &connection->settings, error));
  if (connection->settings.path[0] != '\0') return DRAY_OK;
  connection_free(connection);
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "path is empty: name the database file");
}

void connection_free(struct connection *connection) {
  load_end(connection);
  atomic_store(&connection->interrupt, NULL);
  // The host closes streams before it destroys; sqlite3_close_v2 would otherwise keep the file until they are gone.
  (void)sqlite3_close_v2(connection->db);
  connection->db = NULL;
  dray_buffer_free(&connection->answer);
  size_t count = 0;
  const struct dray_setting *settings = settings_of(connection->source, &count);
  dray_config_release(settings, count, &connection->settings);
}

void connection_interrupt(struct connection *connection) {
  sqlite3 *db = atomic_load(&connection->interrupt);
  if (db != NULL) sqlite3_interrupt(db);
}

// ---- errors ----

static int disk_is_full(const struct connection *connection, int rc) {
  if ((rc & 0xff) == SQLITE_FULL) return 1;
  const int number = connection->db != NULL ? sqlite3_system_errno(connection->db) : 0;
  return (rc & 0xff) == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT);
}

// What a result code means to the host. The first row that fits counts; `primary` 0 ends the table.
static const struct {
  int rc; // an extended code, or a primary one for all of its kind
  int32_t code;
} meanings[] = {
    {SQLITE_BUSY, DRAY_E_BUSY},
    {SQLITE_LOCKED, DRAY_E_BUSY},
    {SQLITE_NOMEM, DRAY_E_OUT_OF_MEMORY},
    {SQLITE_IOERR_NOMEM, DRAY_E_OUT_OF_MEMORY},
    {SQLITE_IOERR, DRAY_E_IO},
    {SQLITE_CORRUPT, DRAY_E_IO},
    {SQLITE_PROTOCOL, DRAY_E_BUSY},
    {SQLITE_INTERRUPT, DRAY_E_CANCELLED},
    {SQLITE_NOTADB, DRAY_E_CONFIG_VALUE},
    {SQLITE_CANTOPEN, DRAY_E_CONFIG_VALUE},
    {SQLITE_READONLY, DRAY_E_AUTH_FORBIDDEN},
    {SQLITE_PERM, DRAY_E_AUTH_FORBIDDEN},
    {SQLITE_AUTH, DRAY_E_AUTH_FORBIDDEN},
    {SQLITE_TOOBIG, DRAY_E_DATA_TOO_LARGE},
    {SQLITE_CONSTRAINT_UNIQUE, DRAY_E_DATA_KEY_DUPLICATE},
    {SQLITE_CONSTRAINT_PRIMARYKEY, DRAY_E_DATA_KEY_DUPLICATE},
    {SQLITE_CONSTRAINT_ROWID, DRAY_E_DATA_KEY_DUPLICATE},
    {SQLITE_CONSTRAINT_NOTNULL, DRAY_E_DATA_KEY_NULL},
    {SQLITE_CONSTRAINT, DRAY_E_DATA_REJECTED},
    {SQLITE_MISMATCH, DRAY_E_DATA_TYPE},
    {SQLITE_MISUSE, DRAY_E_INTERNAL},
};

int32_t connection_fail(const struct connection *connection, int rc, int32_t sql_code, const char *doing,
                        struct dray_error *error) {
  const char *detail = connection->db != NULL ? sqlite3_errmsg(connection->db) : sqlite3_errstr(rc);
  const int extended = connection->db != NULL && (sqlite3_extended_errcode(connection->db) & 0xff) == (rc & 0xff)
                           ? sqlite3_extended_errcode(connection->db)
                           : rc;
  int32_t code = sql_code;
  for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
    if (meanings[i].rc != extended && meanings[i].rc != (rc & 0xff)) continue;
    code = meanings[i].code;
    break;
  }
  if (disk_is_full(connection, rc)) code = DRAY_E_DISK_FULL;
  if ((rc & 0xff) == SQLITE_BUSY && dray_cancelled(&connection->services)) code = DRAY_E_CANCELLED;
  dray_fail(error, code, "%s in %s: %s", doing, connection->settings.path, detail);
  if (error != NULL) {
    (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%d", extended);
    if (code == DRAY_E_CONFIG_VALUE || code == DRAY_E_AUTH_FORBIDDEN) {
      (void)snprintf(error->field, sizeof error->field, "path");
    }
  }
  return code;
}

// ---- locks and cancelling ----

// Called by SQLite while another process holds a lock that is needed. 0 gives up.
static int wait_for_lock(void *ctx, int calls) {
  struct connection *connection = ctx;
  const struct dray_clock_service *clock = connection->services.clock;
  const int64_t now = clock->monotonic_ms(clock->ctx);
  if (calls == 0 || connection->waiting_since_ms == 0) connection->waiting_since_ms = now;
  const int64_t left = connection->settings.busy_timeout_ms - (now - connection->waiting_since_ms);
  if (left <= 0) return 0;
  int64_t pause = LOCK_PAUSE_MIN_MS + calls;
  if (pause > LOCK_PAUSE_MAX_MS) pause = LOCK_PAUSE_MAX_MS;
  if (pause > left) pause = left;
  return clock->sleep_ms(clock->ctx, pause, dray_str_of("another process has locked the database file"), NULL) ==
         DRAY_OK;
}

static int look_for_cancel(void *ctx) {
  const struct connection *connection = ctx;
  return dray_cancelled(&connection->services);
}

// ---- opening ----

// Percent-encodes what has a meaning in a file: URI.
static int32_t append_uri_path(struct dray_buffer *out, const char *path, struct dray_error *error) {
  for (; *path != '\0'; path++) {
    if (*path == '%' || *path == '?' || *path == '#') {
      DRAY_TRY(dray_buffer_printf(out, error, "%%%02X", (unsigned)(unsigned char)*path));
    } else {
      DRAY_TRY(dray_buffer_append_char(out, *path, error));
    }
  }
  return DRAY_OK;
}

// The name for sqlite3_open_v2. A relative path gets "./", so that ":memory:" and "file:..." are names of files here.
static int32_t write_name(const struct connection *connection, int immutable, struct dray_buffer *out,
                          struct dray_error *error) {
  const char *path = connection->settings.path;
  dray_buffer_clear(out);
  if (immutable) DRAY_TRY(dray_buffer_append_str(out, "file:", error));
  if (path[0] != '/') DRAY_TRY(dray_buffer_append_str(out, "./", error));
  if (!immutable) return dray_buffer_append_str(out, path, error);
  DRAY_TRY(append_uri_path(out, path, error));
  return dray_buffer_append_str(out, "?immutable=1", error);
}

static void close_db(struct connection *connection) {
  atomic_store(&connection->interrupt, NULL);
  (void)sqlite3_close(connection->db);
  connection->db = NULL;
}

static int reads_only(const struct connection *connection) {
  return connection->source || connection->settings.read_only;
}

// SQLite's own mutexes are left out (a fifth of the time of a read): an instance is used by one thread at a time, and
// sqlite3_interrupt needs none. Opens and reads the header: only then does SQLite look at the file. Leaves the
// connection there on failure, for its message.
static int try_open(struct connection *connection, const char *name, int immutable) {
  const int flags = (reads_only(connection) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX | (immutable ? SQLITE_OPEN_URI : 0);
  int rc = sqlite3_open_v2(name, &connection->db, flags, NULL);
  if (rc != SQLITE_OK) return rc;
  atomic_store(&connection->interrupt, connection->db);
  (void)sqlite3_busy_handler(connection->db, wait_for_lock, connection);
  sqlite3_progress_handler(connection->db, PROGRESS_STEPS, look_for_cancel, connection);
  rc = sqlite3_exec(connection->db, "PRAGMA schema_version", NULL, NULL, NULL);
  connection->immutable = immutable;
  return rc;
}

static int exists_beside(const struct connection *connection, const char *suffix) {
  struct dray_buffer name;
  int found = 1; // when in doubt, it is there
  dray_buffer_init(&name, 1u << 16);
  if (dray_buffer_append_str(&name, connection->settings.path, NULL) == DRAY_OK &&
      dray_buffer_append_str(&name, suffix, NULL) == DRAY_OK) {
    found = access(name.data, F_OK) == 0 || errno != ENOENT;
  }
  dray_buffer_free(&name);
  return found;
}

static int folder_is_writable(const struct connection *connection) {
  const char *path = connection->settings.path;
  const char *slash = strrchr(path, '/');
  if (slash == NULL) return access(".", W_OK) == 0;
  if (slash == path) return access("/", W_OK) == 0;
  char *folder = dray_str_dup(dray_str_make(path, (uint64_t)(slash - path)));
  const int writable = folder == NULL || access(folder, W_OK) == 0;
  free(folder);
  return writable;
}

// A file in WAL mode needs its -shm file, which cannot be made in a folder that is read-only. `immutable` does without
// any lock, so it is right only for a file that nobody is writing: not ours to write, and nothing beside it that a
// writer or a crash would have left.
static int may_be_immutable(const struct connection *connection) {
  if (!reads_only(connection) || access(connection->settings.path, R_OK) != 0) return 0;
  if (folder_is_writable(connection) && access(connection->settings.path, W_OK) == 0) return 0;
  return !exists_beside(connection, "-wal") && !exists_beside(connection, "-journal");
}

static int is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int32_t open_refused(struct connection *connection, int rc, struct dray_error *error) {
  if (is_folder(connection->settings.path)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "%s is a folder: name the database file in it",
                           connection->settings.path);
  }
  if (rc == SQLITE_READONLY_ROLLBACK || rc == SQLITE_READONLY_RECOVERY) {
    return dray_fail(
        error, DRAY_E_IO,
        "%s was left in the middle of a write, and here it is only read: let its own program open it once, "
        "which takes the unfinished write back",
        connection->settings.path);
  }
  const int number = connection->db != NULL ? sqlite3_system_errno(connection->db) : 0;
  const int32_t code = connection_fail(connection, rc, DRAY_E_CONFIG_VALUE, "opening the database", error);
  if (code != DRAY_E_CONFIG_VALUE || number == 0 || error == NULL) return code;
  const size_t used = strlen(error->text);
  (void)snprintf(error->text + used, sizeof error->text - used, " (%s)", strerror(number));
  return code;
}

// Settings of the session. Durability is SQLite's full one: a commit has reached the disk when it returns. The journal
// mode is the file's own and is never changed. Text in double quotes is a name and nothing else, so that a column that
// is gone is an error instead of a constant; files of others keep the old habit, because their views may rely on it.
// Foreign keys are not enforced, which is what SQLite does unless it was built otherwise: a table that is made anew
// (retype.c) would take the rows of others with it.
static int32_t configure(struct connection *connection, struct dray_error *error) {
  (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  if (reads_only(connection)) return connection_run(connection, "PRAGMA query_only = ON", error);
  (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
  const int rc = cell_add_functions(connection->db);
  if (rc != SQLITE_OK) return connection_fail(connection, rc, DRAY_E_INTERNAL, "opening the database", error);
  return connection_run(connection,
                        "PRAGMA synchronous = FULL; PRAGMA cache_size = -32768; PRAGMA temp_store = FILE; "
                        "PRAGMA temp.cache_size = -16384",
                        error);
}

int32_t connection_open(struct connection *connection, struct dray_error *error) {
  struct dray_buffer name;
  if (connection->db != NULL) return DRAY_OK;
  dray_buffer_init(&name, 1u << 16);
  int32_t code = write_name(connection, 0, &name, error);
  int rc = code == DRAY_OK ? try_open(connection, name.data, 0) : SQLITE_OK;
  const int primary = rc & 0xff;
  if ((primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY || primary == SQLITE_IOERR) &&
      may_be_immutable(connection)) {
    close_db(connection);
    code = write_name(connection, 1, &name, error);
    rc = code == DRAY_OK ? try_open(connection, name.data, 1) : SQLITE_OK;
  }
  dray_buffer_free(&name);
  if (code == DRAY_OK && rc != SQLITE_OK) code = open_refused(connection, rc, error);
  if (code == DRAY_OK) code = configure(connection, error);
  if (code != DRAY_OK) close_db(connection);
  return code;
}

// ---- statements ----

static int is_blank(const char *text) {
  while (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r' || *text == ';') text++;
  return *text == '\0';
}

// Whether anything but blanks and comments follows: SQLite itself decides.
static int32_t check_tail(struct connection *connection, const char *tail, int32_t sql_code, struct dray_error *error) {
  sqlite3_stmt *more = NULL;
  while (!is_blank(tail)) {
    const char *next = NULL;
    const int rc = sqlite3_prepare_v2(connection->db, tail, -1, &more, &next);
    if (rc == SQLITE_OK && more == NULL && next > tail) { // a comment
      tail = next;
      continue;
    }
    (void)sqlite3_finalize(more);
    return dray_fail(error, sql_code, "only one statement is taken, and another follows: %.100s", tail);
  }
  return DRAY_OK;
}

int32_t connection_prepare(struct connection *connection, struct dray_str sql, int32_t sql_code, sqlite3_stmt **out,
                           struct dray_error *error) {
  sqlite3_stmt *statement = NULL;
  const char *tail = NULL;
  char *text = dray_str_dup(sql);
  if (text == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a statement");
  int32_t code = DRAY_OK;
  if (strlen(text) != sql.len) {
    code = dray_fail(error, sql_code, "the SQL holds a NUL byte");
    goto done;
  }
  const int rc = sqlite3_prepare_v2(connection->db, text, -1, &statement, &tail);
  if (rc != SQLITE_OK) {
    code = connection_fail(connection, rc, sql_code, "the SQL was refused", error);
    goto done;
  }
  if (statement == NULL) {
    code = dray_fail(error, sql_code, "the SQL holds no statement");
    goto done;
  }
  code = check_tail(connection, tail, sql_code, error);
done:
  free(text);
  if (code != DRAY_OK) {
    (void)sqlite3_finalize(statement);
    return code;
  }
  *out = statement;
  return DRAY_OK;
}

int32_t connection_run(struct connection *connection, const char *sql, struct dray_error *error) {
  const int rc = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
  return rc == SQLITE_OK ? DRAY_OK : connection_fail(connection, rc, DRAY_E_INTERNAL, sql, error);
}

void connection_rollback(struct connection *connection) {
  if (connection->db == NULL) return;
  for (int attempt = 0; attempt < 3 && !sqlite3_get_autocommit(connection->db); attempt++) {
    (void)sqlite3_exec(connection->db, "ROLLBACK", NULL, NULL, NULL); // fails only for want of memory
  }
  if (sqlite3_get_autocommit(connection->db)) return;
  atomic_store(&connection->interrupt, NULL);
  (void)sqlite3_close_v2(connection->db);
  connection->db = NULL;
}
