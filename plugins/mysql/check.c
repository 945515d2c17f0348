// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray check`: the steps that a run would take, tried one by one, each with the rights to grant where it fails. What
// is written is a temporary table, which goes at once; making a real one is tried, and dropped again.
#include <mysqld_error.h>
#include <stdio.h>

#include "warehouse.h"

#define TRIAL_TABLE "_dray_check"
#define TEXT_BYTES 600

struct checking {
  struct dray_warehouse *warehouse;
  int32_t connected; // the code of the attempt
  struct dray_error refusal;
  char grantee[300]; // 'user'@'host', as the server took us in
  char text[TEXT_BYTES], fix[TEXT_BYTES];
};

struct step {
  const char *name;
  int32_t (*attempt)(struct checking *checking, struct dray_error *error); // fills in text, or fix
  int writes;
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
  const struct my_settings *settings = &checking->warehouse->session.settings;
  dray_error_init(&checking->refusal);
  checking->connected = my_enter(checking->warehouse, &checking->refusal);
  say(checking->text, "%s port %lld answers", settings->host, (long long)settings->port);
  say(checking->fix, "correct host and port; see that the server runs, listens there, and that no firewall is between");
  return is_of_network(checking->connected) ? again(checking, error) : DRAY_OK;
}

static int32_t tls(struct checking *checking, struct dray_error *error) {
  const struct my_settings *settings = &checking->warehouse->session.settings;
  const char *mode = my_settings_sslmode(settings);
  say(checking->fix, "set sslrootcert to the PEM file of the authority that signed the server's certificate, and host "
                     "to the name in it");
  if (checking->connected == DRAY_E_NET_TLS) return again(checking, error);
  if (checking->connected != DRAY_OK) {
    say(checking->text, "sslmode %s", mode);
    return DRAY_OK;
  }
  MYSQL *conn = checking->warehouse->link->conn;
  if (mysql_get_ssl_cipher(conn) != NULL) {
    const char *version = NULL;
    (void)mariadb_get_infov(conn, MARIADB_CONNECTION_TLS_VERSION, (void *)&version);
    say(checking->text, "%s, sslmode %s: %s", version != NULL ? version : "TLS", mode,
        strcmp(mode, "verify-full") == 0 ? "the server's certificate and name are verified"
                                         : "the server's name is not verified");
  } else {
    say(checking->text, "none (sslmode %s)%s", mode,
        my_settings_local(settings) ? ": the server is this machine" : ": anybody between can read and change all");
  }
  return DRAY_OK;
}

// Whom to grant to: the account that the server chose, with quotes around its halves.
static int32_t learn_grantee(struct checking *checking, struct dray_error *error) {
  MYSQL_RES *result = NULL;
  DRAY_TRY(my_link_ask(checking->warehouse->link,
                       "SELECT CONCAT('\\'', REPLACE(LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - "
                       "CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))), '\\'', '\\'\\''), '\\'@\\'', "
                       "SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '\\'')",
                       "asking who we are", &result, error));
  MYSQL_ROW row = mysql_fetch_row(result);
  (void)snprintf(checking->grantee, sizeof checking->grantee, "%s",
                 row != NULL && row[0] != NULL ? row[0] : checking->warehouse->session.settings.user);
  mysql_free_result(result);
  return DRAY_OK;
}

static int32_t login(struct checking *checking, struct dray_error *error) {
  const struct my_settings *settings = &checking->warehouse->session.settings;
  say(checking->fix,
      "correct user, password and database; the user must be known for the host that dray runs on, and have a right in "
      "the database: GRANT SELECT ON `%s`.* TO '%s'@'…'",
      settings->database, settings->user);
  if (checking->connected != DRAY_OK) return again(checking, error);
  DRAY_TRY(learn_grantee(checking, error));
  say(checking->text, "as %s, database %s, %s %s", checking->grantee, settings->database,
      checking->warehouse->link->maria ? "MariaDB" : "MySQL", mysql_get_server_info(checking->warehouse->link->conn));
  return DRAY_OK;
}

static int32_t read_tables(struct checking *checking, struct dray_error *error) {
  static const char sql[] = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                            "TABLE_TYPE IN ('BASE TABLE', 'VIEW') AND TABLE_NAME NOT LIKE '\\_dray\\_%' LIMIT 100";
  const struct my_settings *settings = &checking->warehouse->session.settings;
  struct my_link *link = checking->warehouse->link;
  struct dray_error refused;
  MYSQL_RES *result = NULL;
  unsigned readable = 0, all = 0;
  say(checking->fix, "GRANT SELECT ON `%s`.* TO %s", settings->database, checking->grantee);
  DRAY_TRY(my_link_ask(link, sql, "listing tables", &result, error));
  dray_error_init(&refused);
  for (MYSQL_ROW row = mysql_fetch_row(result); row != NULL; row = mysql_fetch_row(result), all++) {
    struct my_table table = {.found = 0};
    const int32_t code = my_table_read(link, dray_str_make(NULL, 0), dray_str_of(row[0]), &table, &refused);
    readable += code == DRAY_OK && table.found;
    my_table_free(&table);
  }
  mysql_free_result(result);
  say(checking->text, "%u of %u tables and views of database %s can be read%s", readable, all, settings->database,
      all == 100 ? " (the first 100)" : "");
  if (readable == 0 && all > 0) return dray_fail(error, DRAY_E_AUTH_FORBIDDEN, "%s", refused.text);
  return DRAY_OK;
}

// Where else tables may be made, by what was granted for one database; what a role grants is not listed here.
static int32_t look_elsewhere(struct checking *checking, struct dray_error *refused, struct dray_error *error) {
  static const char sql[] = "SELECT LEFT(GROUP_CONCAT(TABLE_SCHEMA ORDER BY 1 SEPARATOR ', '), 200) FROM "
                            "information_schema.SCHEMA_PRIVILEGES WHERE PRIVILEGE_TYPE = 'CREATE'";
  MYSQL_RES *result = NULL;
  DRAY_TRY(my_link_ask(checking->warehouse->link, sql, "looking at rights", &result, error));
  MYSQL_ROW row = mysql_fetch_row(result);
  const int elsewhere = row != NULL && row[0] != NULL;
  if (elsewhere) {
    say(checking->text, "tables in database %s: no; in others: %s", checking->warehouse->session.settings.database,
        row[0]);
  } else {
    *error = *refused;
  }
  mysql_free_result(result);
  return elsewhere ? DRAY_OK : refused->code;
}

// In `database`, or else in the databases that the syncs may name: that a sync's own can be written is tried with the
// sync.
static int32_t create(struct checking *checking, struct dray_error *error) {
  const struct my_settings *settings = &checking->warehouse->session.settings;
  struct my_link *link = checking->warehouse->link;
  say(checking->fix,
      "GRANT CREATE, ALTER, DROP, SELECT, INSERT, UPDATE, DELETE ON `%s`.* TO %s; to let dray make its "
      "schemas, which are databases: the same ON *.*",
      settings->database, checking->grantee);
  say(checking->text, "a table was made in database %s, altered and dropped", settings->database);
  struct dray_error refused;
  dray_error_init(&refused);
  const int32_t made =
      my_link_run(link, "CREATE TABLE IF NOT EXISTS `" TRIAL_TABLE "` (a int)", "making a table", &refused);
  if (made == DRAY_E_AUTH_FORBIDDEN) return look_elsewhere(checking, &refused, error);
  if (made != DRAY_OK) {
    *error = refused;
    return made;
  }
  const int32_t code =
      my_link_run(link, "ALTER TABLE `" TRIAL_TABLE "` MODIFY COLUMN a bigint", "altering a table", error);
  DRAY_TRY(
      my_link_run(link, "DROP TABLE IF EXISTS `" TRIAL_TABLE "`", "dropping a table", code == DRAY_OK ? error : NULL));
  return code;
}

static int32_t write_rows(struct checking *checking, struct dray_error *error) {
  const struct my_settings *settings = &checking->warehouse->session.settings;
  struct my_link *link = checking->warehouse->link;
  say(checking->text, "a row was written into a temporary table");
  say(checking->fix, "GRANT CREATE TEMPORARY TABLES, INSERT ON `%s`.* TO %s", settings->database, checking->grantee);
  DRAY_TRY(my_link_run(link, "CREATE TEMPORARY TABLE `" TRIAL_TABLE "` (a int)", "making a temporary table", error));
  DRAY_TRY(my_link_run(link, "INSERT INTO `" TRIAL_TABLE "` VALUES (1)", "writing a row", error));
  return my_link_run(link, "DROP TEMPORARY TABLE `" TRIAL_TABLE "`", "dropping a temporary table", error);
}

// Only a warning: without it loading is slower.
static int32_t local_infile(struct checking *checking, struct dray_error *error) {
  (void)error;
  say(checking->text, "%s",
      checking->warehouse->link->no_infile
          ? "warning: the server refuses LOAD DATA LOCAL, so rows are loaded by INSERT, which takes several times as "
            "long: SET GLOBAL local_infile = 1"
          : "LOAD DATA LOCAL is allowed");
  return DRAY_OK;
}

static const struct step steps[] = {
    {"reach", reach, 0},
    {"tls", tls, 0},
    {"login", login, 0},
    {"read", read_tables, 0},
    {"create", create, 1},
    {"write", write_rows, 1},
    {"local_infile", local_infile, 1},
};

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

int32_t my_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  struct checking checking = {.warehouse = warehouse};
  struct dray_json_writer json;
  const int reads = warehouse->session.settings.read_only || warehouse->in_transaction;
  int ok = 1;
  dray_buffer_clear(&warehouse->answer);
  dray_json_writer_init(&json, &warehouse->answer, error);
  dray_json_begin_array(&json);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0] && ok; i++) {
    if (steps[i].writes && reads) continue;
    ok = write_step(&checking, &json, &steps[i]) || steps[i].attempt == create; // `write` does not hang on it
  }
  dray_json_end_array(&json);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out_json = dray_buffer_view(&warehouse->answer);
  return DRAY_OK;
}
