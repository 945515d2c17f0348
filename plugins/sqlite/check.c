// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray check`: the steps that a run would take, tried one by one, each with what to do where it fails. All that it
// writes is rolled back; where there was no file, an empty one stays, which is an empty database (removing it could
// take it from a process that has begun to use it).
#include "connection.h"

#define TRIAL_TABLE "_dray_check"

struct step {
  const char *name;
  const char *ok;                                                              // what is said when it worked
  const char *fix;                                                             // and when it did not
  int32_t (*attempt)(struct connection *connection, struct dray_error *error); // NULL: nothing to try
};

static int32_t list_tables(struct connection *connection, struct dray_error *error) {
  return connection_run(connection, "SELECT count(*) FROM sqlite_schema", error);
}

static int32_t try_create(struct connection *connection, struct dray_error *error) {
  DRAY_TRY(connection_run(connection, "BEGIN IMMEDIATE", error));
  return connection_run(connection, "CREATE TABLE " TRIAL_TABLE " (a)", error);
}

static int32_t try_write(struct connection *connection, struct dray_error *error) {
  return connection_run(connection, "INSERT INTO " TRIAL_TABLE " VALUES (1)", error);
}

#define FIX_PATH "correct `path`, or make the file readable for this user"
#define FIX_WRITE "make the file and its folder writable for this user, or end the process that holds the lock"

static const struct step reading_steps[] = {
    {"reach", "the file is a SQLite database", FIX_PATH, connection_open},
    {"read", "its tables can be listed", FIX_PATH, list_tables},
};
static const struct step writing_steps[] = {
    {"reach", "the file is a SQLite database", FIX_PATH, connection_open},
    {"login", "a database file needs none", "", NULL},
    {"read", "its tables can be listed", FIX_PATH, list_tables},
    {"create", "a table can be made", FIX_WRITE, try_create},
    {"write", "a row can be written", FIX_WRITE, try_write},
};

static int write_step(struct connection *connection, struct dray_json_writer *json, const struct step *step) {
  struct dray_error error;
  dray_error_init(&error);
  const int32_t code = step->attempt != NULL ? step->attempt(connection, &error) : DRAY_OK;
  if (code == DRAY_OK) {
    dray_check_step_write(json, step->name, step->ok, NULL);
  } else {
    dray_check_failure_write(json, step->name, code, error.text, step->fix);
  }
  return code == DRAY_OK;
}

int32_t check_connection(struct connection *connection, struct dray_str *out_json, struct dray_error *error) {
  struct dray_json_writer json;
  const int busy = connection->db != NULL && !sqlite3_get_autocommit(connection->db); // a transaction that is not ours
  const int reads = connection->source || connection->settings.read_only || busy;
  const struct step *steps = reads ? reading_steps : writing_steps;
  const size_t count =
      reads ? sizeof reading_steps / sizeof reading_steps[0] : sizeof writing_steps / sizeof writing_steps[0];
  load_end(connection);
  dray_buffer_clear(&connection->answer);
  dray_json_writer_init(&json, &connection->answer, error);
  dray_json_begin_array(&json);
  int ok = 1;
  for (size_t i = 0; i < count && ok; i++) ok = write_step(connection, &json, &steps[i]);
  dray_json_end_array(&json);
  if (!reads) connection_rollback(connection);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out_json = dray_buffer_view(&connection->answer);
  return DRAY_OK;
}
