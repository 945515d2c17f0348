// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of settings, their defaults and checks. Settings are named one by one, not as a URL: a URL carries the
// password in its middle, where it cannot be kept apart as a secret. The names are those of the plugin postgres.
#include "settings.h"

#include <inttypes.h>
#include <unistd.h>

static const char *const sslmodes[] = {"disable", "prefer", "require", "verify-full", NULL};
static const char *const zero_dates[] = {"reject", "null", NULL};

#define MEMBER(name) offsetof(struct my_settings, name)
static const struct dray_setting table[] = {
    {.name = "host",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(host),
     .description = "The server's name or address, or the path of its socket (/run/mysqld/mysqld.sock)."},
    {.name = "port",
     .kind = DRAY_SETTING_INT | DRAY_SETTING_PLACE,
     .offset = MEMBER(port),
     .default_json = "3306",
     .minimum = 1,
     .maximum = 65535,
     .description = "The server's port."},
    {.name = "database",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(database),
     .description = "The database; `schema:` of a sync names another one."},
    {.name = "user", .kind = DRAY_SETTING_STRING, .required = 1, .offset = MEMBER(user), .description = "The user."},
    {.name = "password",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_password),
     .description = "The user's password; without it: a certificate, or what the server trusts."},
    {.name = "sslmode",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(sslmode),
     .choices = sslmodes,
     .description = "TLS: disable, prefer, require, verify-full. Default: verify-full, and prefer to this machine."},
    {.name = "sslrootcert",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(sslrootcert),
     .description = "A PEM file of the authorities to trust. Default: those of the system."},
    {.name = "sslcert",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(sslcert),
     .description = "A PEM file with the client's certificate."},
    {.name = "sslkey",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(sslkey),
     .description = "The PEM file of its key, readable by this user alone."},
    {.name = "connect_timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(connect_timeout_seconds),
     .default_json = "30",
     .minimum = 1,
     .maximum = 3600,
     .description = "For a connection to be made, login included."},
    {.name = "statement_timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(statement_timeout_seconds),
     .default_json = "0",
     .minimum = 0,
     .maximum = 604800,
     .description = "For one statement (MySQL: for one SELECT); 0: what the server has."},
    {.name = "lock_timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(lock_timeout_seconds),
     .default_json = "60",
     .minimum = 0,
     .maximum = 604800,
     .description = "For a lock that another session holds; 0: what the server has."},
    {.name = "keepalive_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(keepalive_seconds),
     .default_json = "30",
     .minimum = 0,
     .maximum = 7200,
     .description = "Silence after which the server is asked whether it is there; 0: what the system does."},
    {.name = "answer_timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(answer_timeout_seconds),
     .default_json = "0",
     .minimum = 0,
     .maximum = 604800,
     .description = "Silence in the middle of a statement, or of its rows, after which the server is given up, whether "
                    "or not the connection stands: longer than any statement takes; 0: none but the project's "
                    "stall_timeout."},
    {.name = "zero_dates",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(zero_dates),
     .choices = zero_dates,
     .default_json = "\"reject\"",
     .description = "What 0000-00-00 and dates like it are read as: their row is rejected, or the value is null."},
    {.name = "read_only",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(read_only),
     .default_json = "false",
     .description = "Only models are read from this warehouse: nothing is written, SELECT is all that it needs."},
    {.name = "overlap_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(overlap_seconds),
     .default_json = "60",
     .minimum = 0,
     .maximum = 604800,
     .description = "Source, cursors of dates and times: how far before the last one a read begins, for transactions "
                    "that commit late."},
    {.name = "overlap",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(overlap_units),
     .default_json = "0",
     .minimum = 0,
     .maximum = 1000000000000,
     .description = "Source, cursors of numbers: the same, as a number."},
};
#define SETTING_COUNT (sizeof table / sizeof table[0])

int32_t my_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, SETTING_COUNT, out_json, error);
}

// ---- binding ----

static int32_t check(const struct my_settings *settings, struct dray_error *error) {
  const struct {
    const char *name, *value;
  } filled[] = {{"host", settings->host}, {"database", settings->database}, {"user", settings->user}};
  for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++) {
    if (filled[i].value[0] != '\0') continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, filled[i].name, "%s is empty", filled[i].name);
  }
  if (strstr(settings->host, "://") != NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "host",
                           "host is a name, not a URL: use the settings host, port, user and so on");
  }
  if ((settings->sslcert == NULL) != (settings->sslkey == NULL)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "sslcert",
                           "sslcert and sslkey are given together or not at all");
  }
  return DRAY_OK;
}

int32_t my_settings_bind(struct dray_str config_json, struct my_settings *out, struct dray_error *error) {
  memset(out, 0, sizeof *out);
  DRAY_TRY(dray_config_bind(table, SETTING_COUNT, config_json, out, error));
  const int32_t code = check(out, error);
  if (code != DRAY_OK) my_settings_release(out);
  return code;
}

void my_settings_release(struct my_settings *settings) {
  dray_config_release(table, SETTING_COUNT, settings);
}

// ---- TLS ----

int my_settings_socket(const struct my_settings *settings) {
  return settings->host[0] == '/';
}

int my_settings_local(const struct my_settings *settings) {
  const char *host = settings->host;
  if (my_settings_socket(settings) || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0) return 1;
  return strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0';
}

const char *my_settings_sslmode(const struct my_settings *settings) {
  if (settings->sslmode != NULL) return settings->sslmode;
  return my_settings_local(settings) ? "prefer" : "verify-full";
}

static const char *system_authorities(void) {
  static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                      "/etc/ssl/cert.pem"};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    if (access(files[i], R_OK) == 0) return files[i];
  }
  return NULL;
}

// ---- for libmariadb ----

// Where the server is not known to be the right one, it is not handed the password: of the ways to log in, these prove
// it only. Not among them: caching_sha2_password and sha256_password, by which a server can ask for the password,
// inside TLS or under a key that it sends.
#define PROVING_WAYS "mysql_native_password,client_ed25519,parsec"

int32_t my_settings_apply(const struct my_settings *settings, MYSQL *conn, struct dray_error *error) {
  const char *mode = my_settings_sslmode(settings);
  const int verify = strcmp(mode, "verify-full") == 0;
  const my_bool tls = 1, check_name = (my_bool)verify;
  const char *authorities = settings->sslrootcert;
  const unsigned int on = 1, tcp = MYSQL_PROTOCOL_TCP;
  int failed = 0;
  if (authorities == NULL && verify) authorities = system_authorities();
  failed |= mysql_options(conn, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  failed |= mysql_options(conn, MYSQL_OPT_LOCAL_INFILE, &on); // answered from memory alone: my_link_refuse_files
  failed |= mysql_optionsv(conn, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "dray");
  if (!my_settings_socket(settings)) failed |= mysql_options(conn, MYSQL_OPT_PROTOCOL, &tcp);
  if (!verify && !my_settings_local(settings)) failed |= mysql_options(conn, MARIADB_OPT_RESTRICTED_AUTH, PROVING_WAYS);
  if (strcmp(mode, "disable") != 0) {
    failed |= mysql_ssl_set(conn, settings->sslkey, settings->sslcert, authorities, NULL, NULL);
    failed |= mysql_options(conn, MYSQL_OPT_SSL_ENFORCE, &tls); // if the server can; see link.c
    failed |= mysql_options(conn, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &check_name);
  }
  if (failed) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the options of a connection");
  return DRAY_OK;
}

// Nothing is to be cut, rounded or replaced in silence, whatever the server's own mode is; quotes and backslashes mean
// what they mean in this plugin's SQL; a stream that waits for a slow reader, or a transaction that waits for a slow
// source, is not ended by the server. A server can refuse the client's character set in the handshake
// (character_set_client_handshake), end every result after some rows (sql_select_limit), begin a transaction behind
// each commit (completion_type), number the row with the key 0 itself, keep quiet about blanks that it cuts
// (sql_notes), refuse to write at all or to join more than a few rows (tx_read_only, sql_big_selects), let doubles pass
// (unique_checks), and keep temporary tables where there are no texts (default_tmp_storage_engine): all of that is said
// here too. Dates that do not exist (0000-00-00) are no error: dray writes none, and
// tables that hold some could not be copied or altered otherwise.
#define SESSION_SQL                                                                                                    \
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,"                                                     \
  "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', autocommit = 1, "   \
  "character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = utf8mb4, "              \
  "sql_auto_is_null = 0, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, completion_type = 0, "         \
  "default_storage_engine = InnoDB, default_tmp_storage_engine = InnoDB, sql_big_selects = 1, unique_checks = 1, "     \
  "sql_quote_show_create = 1, sql_notes = 1, max_error_count = 64, net_read_timeout = 86400, "                         \
  "net_write_timeout = 86400, wait_timeout = 86400"

// Joins that no index helps go by hash, as they do in MySQL 8 from the start; MariaDB reads one side again for each
// 256 KiB of the other (20,000 rows with as many: 19 s instead of 0.1).
// FirstMatch goes through all staged rows for each of the table's, where other semi-joins go by hash.
#define MARIA_SQL                                                                                                      \
  ", join_cache_level = 4, join_buffer_size = 16777216, join_buffer_space_limit = 67108864, "                          \
  "optimizer_switch = 'firstmatch=off'"

int32_t my_settings_session_sql(const struct my_settings *settings, int maria, struct dray_buffer *out,
                                struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, SESSION_SQL, error));
  if (maria) DRAY_TRY(dray_buffer_append_str(out, MARIA_SQL, error));
  if (settings->lock_timeout_seconds > 0) {
    DRAY_TRY(dray_buffer_printf(out, error, ", innodb_lock_wait_timeout = %" PRId64 ", lock_wait_timeout = %" PRId64,
                                settings->lock_timeout_seconds, settings->lock_timeout_seconds));
  }
  if (settings->statement_timeout_seconds > 0) {
    const int64_t seconds = settings->statement_timeout_seconds;
    DRAY_TRY(dray_buffer_printf(out, error,
                                maria ? ", max_statement_time = %" PRId64 : ", max_execution_time = %" PRId64,
                                maria ? seconds : seconds * 1000));
  }
  DRAY_TRY(dray_buffer_append_char(out, '\0', error));
  DRAY_TRY(dray_buffer_append_str(out, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", error));
  DRAY_TRY(dray_buffer_append_str(out, settings->read_only ? ", READ ONLY" : ", READ WRITE", error));
  return dray_buffer_append_char(out, '\0', error);
}
