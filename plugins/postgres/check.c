// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray check`: the steps that a run would take, tried one by one, each with the rights to grant where it fails. All
// that is written is rolled back.
#include <stdio.h>
#include <stdlib.h>

#include "warehouse.h"

#define TRIAL_TABLE "_dray_check"
#define TEXT_BYTES 600
#define HELD_BYTES_MAX (1LL << 30) // of the log, by a slot

struct checking {
  struct dray_warehouse *warehouse;
  int32_t connected; // the code of the attempt
  int own;           // the transaction that is rolled back
  struct dray_error refusal;
  char text[TEXT_BYTES], fix[TEXT_BYTES];
};

struct step {
  const char *name;
  int32_t (*attempt)(struct checking *checking, struct dray_error *error); // fills in text, or fix
  int when;                                                                // STEP_*
};

static void say(char out[TEXT_BYTES], const char *format, ...) DRAY_PRINTF(2, 3);
static void say(char out[TEXT_BYTES], const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(out, TEXT_BYTES, format, args);
  va_end(args);
}

static int32_t again(const struct checking *checking, struct dray_error *error) {
  *error = checking->refusal;
  return checking->connected;
}

static int is_of_network(int32_t code) {
  return code != DRAY_OK && code != DRAY_E_AUTH_REJECTED && code != DRAY_E_AUTH_FORBIDDEN &&
         code != DRAY_E_CONFIG_VALUE && code != DRAY_E_NET_TLS;
}

// ---- the steps ----

static int32_t reach(struct checking *checking, struct dray_error *error) {
  const struct pg_settings *settings = &checking->warehouse->session.settings;
  dray_error_init(&checking->refusal);
  checking->connected = pg_enter(checking->warehouse, &checking->refusal);
  say(checking->text, "%s port %lld answers", settings->host, (long long)settings->port);
  say(checking->fix, "correct host and port; see that the server runs, listens there, and that no firewall is between");
  return is_of_network(checking->connected) ? again(checking, error) : DRAY_OK;
}

static int32_t tls(struct checking *checking, struct dray_error *error) {
  const struct pg_settings *settings = &checking->warehouse->session.settings;
  const char *mode = pg_settings_sslmode(settings);
  say(checking->fix, "set sslrootcert to the PEM file of the authority that signed the server's certificate, and host "
                     "to the name in it");
  if (checking->connected == DRAY_E_NET_TLS) return again(checking, error);
  if (checking->connected != DRAY_OK) {
    say(checking->text, "sslmode %s", mode);
    return DRAY_OK;
  }
  PGconn *conn = checking->warehouse->link->conn;
  if (PQsslInUse(conn)) {
    const char *version = PQsslAttribute(conn, "protocol");
    say(checking->text, "%s, sslmode %s: %s", version != NULL ? version : "TLS", mode,
        strcmp(mode, "verify-full") == 0 ? "the server's certificate and name are verified"
                                         : "the server's name is not verified");
  } else {
    say(checking->text, "none (sslmode %s)%s", mode,
        pg_settings_local(settings) ? ": the server is this machine" : ": anybody between can read and change all");
  }
  return DRAY_OK;
}

static int32_t login(struct checking *checking, struct dray_error *error) {
  const struct pg_settings *settings = &checking->warehouse->session.settings;
  say(checking->fix,
      "correct user, password and database; the role needs LOGIN, a line in pg_hba.conf, and: GRANT CONNECT ON "
      "DATABASE \"%s\" TO \"%s\"",
      settings->database, settings->user);
  if (checking->connected != DRAY_OK) return again(checking, error);
  say(checking->text, "as %s, database %s, PostgreSQL %s", settings->user, settings->database,
      PQparameterStatus(checking->warehouse->link->conn, "server_version"));
  return DRAY_OK;
}

static int32_t read_tables(struct checking *checking, struct dray_error *error) {
  static const char sql[] =
      "SELECT count(*) FILTER (WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND "
      "pg_catalog.has_any_column_privilege(c.oid, 'SELECT')), count(*) FROM pg_catalog.pg_class c JOIN "
      "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT "
      "c.relispartition AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'";
  const char *user = checking->warehouse->session.settings.user;
  PGresult *result = NULL;
  say(checking->fix, "GRANT USAGE ON SCHEMA s TO \"%s\"; GRANT SELECT ON ALL TABLES IN SCHEMA s TO \"%s\"", user, user);
  DRAY_TRY(pg_link_ask(checking->warehouse->link, sql, 0, NULL, "listing tables", &result, error));
  say(checking->text, "%s of %s tables and views can be read", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
  const int none = strcmp(PQgetvalue(result, 0, 0), "0") == 0 && strcmp(PQgetvalue(result, 0, 1), "0") != 0;
  PQclear(result);
  return none ? dray_fail(error, DRAY_E_AUTH_FORBIDDEN, "%s", checking->text) : DRAY_OK;
}

// One plain table, in the schema that was found, which goes with the savepoint.
static int32_t try_table(struct checking *checking, const char *quoted, struct dray_error *error) {
  char sql[TEXT_BYTES];
  (void)snprintf(sql, sizeof sql, "SAVEPOINT dray; CREATE TABLE %s." TRIAL_TABLE " (a int)", quoted);
  DRAY_TRY(pg_own_begin(checking->warehouse, 0, &checking->own, error));
  struct pg_link *link = checking->warehouse->link;
  const int32_t code = pg_link_run(link, sql, "making a table", error);
  if (code != DRAY_OK && checking->own) { // `write` begins anew
    pg_link_rollback(link);
    checking->own = 0;
  }
  return code == DRAY_OK ? pg_link_run(link, "ROLLBACK TO SAVEPOINT dray", "making a table", error) : code;
}

// Tables in the schema that a sync without `schema:` writes to, in others, or in schemas of their own. Which of them
// the syncs name is not known here: that a sync's own can be written is tried with the sync.
static int32_t create(struct checking *checking, struct dray_error *error) {
  static const char sql[] =
      "SELECT coalesce(current_schema(), ''), has_database_privilege(current_database(), 'CREATE'), "
      "pg_is_in_recovery(), coalesce(min(s) FILTER (WHERE own), min(s), ''), coalesce(bool_or(own), false), "
      "coalesce(left(string_agg(s, ', ' ORDER BY s) FILTER (WHERE NOT own), 200), 'none') FROM (SELECT "
      "quote_ident(nspname) AS s, nspname IS NOT DISTINCT FROM current_schema() AS own FROM pg_catalog.pg_namespace "
      "WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' AND has_schema_privilege(oid, 'USAGE') AND "
      "has_schema_privilege(oid, 'CREATE')) t";
  enum { SCHEMA, IN_DATABASE, REPLICA, FIRST, IN_SCHEMA, OTHERS };
  const struct pg_settings *settings = &checking->warehouse->session.settings;
  PGresult *result = NULL;
  DRAY_TRY(pg_link_ask(checking->warehouse->link, sql, 0, NULL, "looking at rights", &result, error));
  const char *schema = PQgetvalue(result, 0, SCHEMA);
  const int in_database = PQgetvalue(result, 0, IN_DATABASE)[0] == 't';
  const int replica = PQgetvalue(result, 0, REPLICA)[0] == 't';
  char first[200];
  (void)snprintf(first, sizeof first, "%s", PQgetvalue(result, 0, FIRST));
  say(checking->fix,
      "GRANT USAGE, CREATE ON SCHEMA \"%s\" TO \"%s\", or, to let dray make its schemas: GRANT CREATE ON DATABASE "
      "\"%s\" TO \"%s\"",
      schema[0] != '\0' ? schema : "public", settings->user, settings->database, settings->user);
  say(checking->text, "tables in schema %s: %s; in other schemas: %s; new schemas: %s",
      schema[0] != '\0' ? schema : "(none)", PQgetvalue(result, 0, IN_SCHEMA)[0] == 't' ? "yes" : "no",
      PQgetvalue(result, 0, OTHERS), in_database ? "yes" : "no");
  PQclear(result);
  if (replica) {
    say(checking->fix, "name the primary server in host, or set read_only: true to read models from this replica");
    return dray_fail(error, DRAY_E_AUTH_FORBIDDEN, "the server is a replica: nothing can be written to it");
  }
  if (first[0] == '\0' && !in_database) return dray_fail(error, DRAY_E_AUTH_FORBIDDEN, "%s", checking->text);
  return first[0] != '\0' ? try_table(checking, first, error) : DRAY_OK;
}

static int32_t write_rows(struct checking *checking, struct dray_error *error) {
  const struct pg_settings *settings = &checking->warehouse->session.settings;
  say(checking->text, "a row was loaded into a temporary table");
  say(checking->fix, "GRANT TEMPORARY ON DATABASE \"%s\" TO \"%s\"", settings->database, settings->user);
  if (!checking->own) DRAY_TRY(pg_own_begin(checking->warehouse, 0, &checking->own, error));
  return pg_link_run(checking->warehouse->link,
                     "CREATE TEMPORARY TABLE " TRIAL_TABLE " (a int) ON COMMIT DROP; INSERT INTO " TRIAL_TABLE
                     " VALUES (1)",
                     "writing a row", error);
}

// What following tables needs: tried by a connection for replication.
static int32_t follow_log(struct checking *checking, struct dray_error *error) {
  struct pg_session *session = &checking->warehouse->session;
  struct pg_link *log = NULL;
  PGresult *result = NULL;
  say(checking->fix, "ALTER ROLE \"%s\" REPLICATION, and a line in pg_hba.conf for the database",
      session->settings.user);
  DRAY_TRY(pg_link_open_log(session, &log, error));
  pg_link_free(log);
  DRAY_TRY(pg_link_ask(checking->warehouse->link, "SELECT pg_catalog.current_setting('wal_level')", 0, NULL,
                       "looking at the server's log", &result, error));
  const int logical = strcmp(PQgetvalue(result, 0, 0), "logical") == 0;
  say(checking->text, "wal_level is %s", PQgetvalue(result, 0, 0));
  PQclear(result);
  if (logical) return DRAY_OK;
  say(checking->fix, "ALTER SYSTEM SET wal_level = 'logical', and restart the server");
  return dray_fail(error, DRAY_E_CONFIG_VALUE, "%s", checking->text);
}

// A slot that nobody reads from keeps the server's log, until its disk is full.
static int32_t look_at_slots(struct checking *checking, struct dray_error *error) {
  static const char sql[] = "SELECT slot_name, coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), "
                            "restart_lsn), 0)::int8 AS "
                            "held, coalesce(wal_status, '') = 'lost', count(*) OVER () FROM "
                            "pg_catalog.pg_replication_slots WHERE slot_name LIKE "
                            "'dray\\_%' AND database = pg_catalog.current_database() ORDER BY 3 DESC, 2 DESC LIMIT 1";
  PGresult *result = NULL;
  DRAY_TRY(pg_link_ask(checking->warehouse->link, sql, 0, NULL, "looking at replication slots", &result, error));
  if (PQntuples(result) == 0) {
    PQclear(result);
    say(checking->text, "none of dray's");
    return DRAY_OK;
  }
  const char *name = PQgetvalue(result, 0, 0);
  const long long held = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
  const int lost = PQgetvalue(result, 0, 2)[0] == 't';
  say(checking->text, "%s of dray's; %s %s %lld bytes of the server's log", PQgetvalue(result, 0, 3), name,
      lost ? "is lost, and held back" : "holds back the most:", held);
  say(checking->fix,
      "run the sync that reads by it, or remove it with `dray sync NAME --drop --yes`, or by hand: SELECT "
      "pg_drop_replication_slot('%s')",
      name);
  PQclear(result);
  if (!lost && held < HELD_BYTES_MAX) return DRAY_OK;
  return dray_fail(error, DRAY_E_LIMIT, "%s", checking->text);
}

enum { STEP_ALWAYS, STEP_WRITES, STEP_FOLLOWS };
static const struct step steps[] = {
    {"reach", reach, STEP_ALWAYS},     {"tls", tls, STEP_ALWAYS},
    {"login", login, STEP_ALWAYS},     {"read", read_tables, STEP_ALWAYS},
    {"create", create, STEP_WRITES},   {"write", write_rows, STEP_WRITES},
    {"log", follow_log, STEP_FOLLOWS}, {"slots", look_at_slots, STEP_FOLLOWS},
};

static int applies(const struct dray_warehouse *warehouse, const struct step *step) {
  if (step->when == STEP_WRITES) return !warehouse->session.settings.read_only && !warehouse->in_transaction;
  if (step->when == STEP_FOLLOWS) return warehouse->as_source && warehouse->session.settings.replication;
  return 1;
}

// ---- telling ----

static int write_step(struct checking *checking, struct dray_json_writer *json, const struct step *step) {
  struct dray_error error;
  dray_error_init(&error);
  checking->text[0] = checking->fix[0] = '\0';
  const int32_t code = step->attempt(checking, &error);
  if (code == DRAY_OK) {
    dray_check_step_write(json, step->name, checking->text, NULL);
  } else {
    dray_check_failure_write(json, step->name, code, error.text, checking->fix);
  }
  return code == DRAY_OK;
}

int32_t pg_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  struct checking checking = {.warehouse = warehouse};
  struct dray_json_writer json;
  int ok = 1;
  dray_buffer_clear(&warehouse->answer);
  dray_json_writer_init(&json, &warehouse->answer, error);
  dray_json_begin_array(&json);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0] && ok; i++) {
    if (!applies(warehouse, &steps[i])) continue;
    ok = write_step(&checking, &json, &steps[i]) || steps[i].attempt == create; // `write` does not hang on it
  }
  if (checking.own) pg_link_rollback(warehouse->link);
  dray_json_end_array(&json);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out_json = dray_buffer_view(&warehouse->answer);
  return DRAY_OK;
}
