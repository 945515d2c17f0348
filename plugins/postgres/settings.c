// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of settings, their defaults and checks. Settings are named one by one, not as a URL: a URL carries the
// password in its middle, where it cannot be kept apart as a secret.
#include "settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char *const sslmodes[] = {"disable", "prefer", "require", "verify-ca", "verify-full", NULL};

#define MEMBER(name) offsetof(struct pg_settings, name)
static const struct dray_setting table[] = {
    {.name = "host",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(host),
     .description = "The server's name or address, or the folder of its socket (/run/postgresql)."},
    {.name = "port",
     .kind = DRAY_SETTING_INT | DRAY_SETTING_PLACE,
     .offset = MEMBER(port),
     .default_json = "5432",
     .minimum = 1,
     .maximum = 65535,
     .description = "The server's port."},
    {.name = "database",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(database),
     .description = "The database."},
    {.name = "user", .kind = DRAY_SETTING_STRING, .required = 1, .offset = MEMBER(user), .description = "The role."},
    {.name = "password",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_password),
     .description = "The role's password; without it: a certificate, or what the server trusts."},
    {.name = "sslmode",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(sslmode),
     .choices = sslmodes,
     .description = "TLS, as libpq names it. Default: verify-full, and prefer to this machine."},
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
     .description = "For one statement; 0: what the server has for the role."},
    {.name = "lock_timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(lock_timeout_seconds),
     .default_json = "60",
     .minimum = 0,
     .maximum = 604800,
     .description = "For a lock that another session holds; 0: what the server has for the role."},
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
    {.name = "application_name",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(application_name),
     .default_json = "\"dray\"",
     .description = "What pg_stat_activity calls these sessions."},
    {.name = "read_only",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(read_only),
     .default_json = "false",
     .description = "Only models are read from this warehouse: nothing is written, SELECT is all that it needs."},
    {.name = "replication",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(replication),
     .default_json = "false",
     .description = "Source: tables are followed by logical replication, deletes included."},
    {.name = "publication",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(publication),
     .description =
         "Source: the publication to follow, made by hand. Default: dray makes one for each table, which only "
         "the table's owner may."},
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

int32_t pg_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, SETTING_COUNT, out_json, error);
}

// ---- binding ----

static int32_t check(const struct pg_settings *settings, struct dray_error *error) {
  const struct {
    const char *name, *value;
  } filled[] = {{"host", settings->host}, {"database", settings->database}, {"user", settings->user}};
  for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++) {
    if (filled[i].value[0] != '\0') continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, filled[i].name, "%s is empty", filled[i].name);
  }
  // libpq takes a database name that looks like a connection string apart, and would find other settings in it.
  if (strchr(settings->database, '=') != NULL || strstr(settings->database, "://") != NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "database",
                           "database is a name, not a connection string: use the settings host, port, user and so on");
  }
  if ((settings->sslcert == NULL) != (settings->sslkey == NULL)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "sslcert",
                           "sslcert and sslkey are given together or not at all");
  }
  return DRAY_OK;
}

int32_t pg_settings_bind(struct dray_str config_json, struct pg_settings *out, struct dray_error *error) {
  memset(out, 0, sizeof *out);
  DRAY_TRY(dray_config_bind(table, SETTING_COUNT, config_json, out, error));
  const int32_t code = check(out, error);
  if (code != DRAY_OK) pg_settings_release(out);
  return code;
}

void pg_settings_release(struct pg_settings *settings) {
  dray_config_release(table, SETTING_COUNT, settings);
}

// ---- TLS ----

static int is_local(const char *host, size_t len) {
  static const char *const names[] = {"localhost", "::1"};
  if (len > 0 && (host[0] == '/' || host[0] == '@')) return 1;
  if (len > 4 && memcmp(host, "127.", 4) == 0) return strspn(host, "0123456789.") >= len;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strlen(names[i]) == len && memcmp(host, names[i], len) == 0) return 1;
  }
  return 0;
}

int pg_settings_local(const struct pg_settings *settings) {
  const char *host = settings->host;
  for (;;) { // libpq takes a list, with commas
    const size_t len = strcspn(host, ",");
    if (!is_local(host, len)) return 0;
    if (host[len] == '\0') return 1;
    host += len + 1;
  }
}

const char *pg_settings_sslmode(const struct pg_settings *settings) {
  if (settings->sslmode != NULL) return settings->sslmode;
  return pg_settings_local(settings) ? "prefer" : "verify-full";
}

// libpq looks into the user's own folder only; the system's authorities are in one of these.
static const char *system_authorities(void) {
  static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                      "/etc/ssl/cert.pem"};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    if (access(files[i], R_OK) == 0) return files[i];
  }
  return NULL;
}

// ---- for libpq ----

static void put(struct pg_keywords *out, size_t *count, const char *name, const char *value) {
  if (value == NULL || *count + 1 >= PG_KEYWORDS_MAX) return;
  out->names[*count] = name;
  out->values[(*count)++] = value;
}

void pg_settings_keywords(const struct pg_settings *settings, const char *password, struct pg_keywords *out) {
  const char *mode = pg_settings_sslmode(settings);
  const char *authorities = settings->sslrootcert;
  size_t n = 0;
  memset(out, 0, sizeof *out);
  if (authorities == NULL && strncmp(mode, "verify", 6) == 0) authorities = system_authorities();
  (void)snprintf(out->port, sizeof out->port, "%" PRId64, settings->port);
  (void)snprintf(out->keepalive, sizeof out->keepalive, "%" PRId64, settings->keepalive_seconds);
  put(out, &n, "host", settings->host);
  put(out, &n, "port", out->port);
  put(out, &n, "dbname", settings->database);
  put(out, &n, "user", settings->user);
  put(out, &n, "password", password);
  put(out, &n, "sslmode", mode);
  put(out, &n, "sslrootcert", authorities);
  put(out, &n, "sslcert", settings->sslcert);
  put(out, &n, "sslkey", settings->sslkey);
  put(out, &n, "gssencmode", "disable");
  put(out, &n, "client_encoding", "UTF8");
  put(out, &n, "application_name", settings->application_name);
  put(out, &n, "keepalives", "1");
  if (settings->keepalive_seconds > 0) {
    put(out, &n, "keepalives_idle", out->keepalive);
    put(out, &n, "keepalives_interval", "10");
    put(out, &n, "keepalives_count", "3");
  }
}

int32_t pg_settings_local_sql(const struct pg_settings *settings, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out,
                                  "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; "
                                  "SET LOCAL IntervalStyle = 'iso_8601'",
                                  error));
  if (settings->statement_timeout_seconds > 0) {
    DRAY_TRY(dray_buffer_printf(out, error, "; SET LOCAL statement_timeout = '%" PRId64 "s'",
                                settings->statement_timeout_seconds));
  }
  if (settings->lock_timeout_seconds > 0) {
    DRAY_TRY(
        dray_buffer_printf(out, error, "; SET LOCAL lock_timeout = '%" PRId64 "s'", settings->lock_timeout_seconds));
  }
  return DRAY_OK;
}
