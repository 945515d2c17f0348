// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the server's and libmariadb's refusals mean to the host: error number to code, and what to grant or change in
// the text. Numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/, and MySQL's own from 3000 on.
#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>

#include "link.h"

// MySQL's, which MariaDB's header does not have.
#define MYSQL_ER_TOO_LONG_EXECUTION 3024
#define MYSQL_ER_ACCOUNT_LOCKED 3118
#define MYSQL_ER_JSON_TEXT 3140
#define MYSQL_ER_LOCK_NOWAIT 3572
#define MYSQL_ER_CHECK_VIOLATED 3819

static const struct meaning {
  unsigned int number;
  int32_t code;
} meanings[] = {
    {CR_SERVER_GONE_ERROR, DRAY_E_NET_CLOSED},
    {CR_SERVER_LOST, DRAY_E_NET_CLOSED},
    {CR_SERVER_LOST_EXTENDED, DRAY_E_NET_CLOSED},
    {CR_COMMANDS_OUT_OF_SYNC, DRAY_E_NET_CLOSED},
    {CR_MALFORMED_PACKET, DRAY_E_NET_CLOSED},
    {CR_OUT_OF_MEMORY, DRAY_E_OUT_OF_MEMORY},
    {CR_NET_PACKET_TOO_LARGE, DRAY_E_DATA_TOO_LARGE},
    {ER_SERVER_SHUTDOWN, DRAY_E_NET_CLOSED},
    {ER_NORMAL_SHUTDOWN, DRAY_E_NET_CLOSED},
    {ER_CONNECTION_KILLED, DRAY_E_NET_CLOSED},
    {ER_NEW_ABORTING_CONNECTION, DRAY_E_NET_CLOSED},
    {ER_NET_READ_ERROR, DRAY_E_NET_CLOSED},
    {ER_NET_READ_INTERRUPTED, DRAY_E_NET_CLOSED},
    {ER_ACCESS_DENIED_ERROR, DRAY_E_AUTH_REJECTED},
    {ER_ACCESS_DENIED_NO_PASSWORD_ERROR, DRAY_E_AUTH_REJECTED},
    {ER_MUST_CHANGE_PASSWORD, DRAY_E_AUTH_REJECTED},
    {ER_DBACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN},
    {ER_TABLEACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN},
    {ER_COLUMNACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN},
    {ER_SPECIFIC_ACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN},
    {ER_PROCACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN},
    {ER_OPTION_PREVENTS_STATEMENT, DRAY_E_AUTH_FORBIDDEN},
    {ER_BAD_DB_ERROR, DRAY_E_CONFIG_VALUE},
    {ER_CON_COUNT_ERROR, DRAY_E_BUSY},
    {ER_TOO_MANY_USER_CONNECTIONS, DRAY_E_BUSY},
    {ER_USER_LIMIT_REACHED, DRAY_E_BUSY},
    {ER_LOCK_WAIT_TIMEOUT, DRAY_E_BUSY},
    {ER_LOCK_DEADLOCK, DRAY_E_BUSY},
    {ER_XA_RBDEADLOCK, DRAY_E_BUSY},
    {MYSQL_ER_LOCK_NOWAIT, DRAY_E_BUSY},
    {ER_TABLE_EXISTS_ERROR, DRAY_E_BUSY}, // made by somebody else in the meantime
    {ER_DUP_FIELDNAME, DRAY_E_BUSY},
    {ER_TABLE_DEF_CHANGED, DRAY_E_BUSY},
    {ER_QUERY_INTERRUPTED, DRAY_E_TIMEOUT},
    {ER_STATEMENT_TIMEOUT, DRAY_E_TIMEOUT},
    {MYSQL_ER_TOO_LONG_EXECUTION, DRAY_E_TIMEOUT},
    {ER_DISK_FULL, DRAY_E_DISK_FULL},
    {ER_RECORD_FILE_FULL, DRAY_E_DISK_FULL},
    {ER_OUTOFMEMORY, DRAY_E_OUT_OF_MEMORY},
    {ER_OUT_OF_SORTMEMORY, DRAY_E_OUT_OF_MEMORY},
    {ER_OUT_OF_RESOURCES, DRAY_E_OUT_OF_MEMORY},
    {ER_ERROR_ON_READ, DRAY_E_IO},
    {ER_ERROR_ON_WRITE, DRAY_E_IO},
    {ER_NOT_KEYFILE, DRAY_E_IO},
    {ER_TOO_MANY_FIELDS, DRAY_E_LIMIT},
    {ER_TOO_BIG_ROWSIZE, DRAY_E_LIMIT},
    {ER_TOO_LONG_KEY, DRAY_E_LIMIT},
    {ER_TOO_LONG_IDENT, DRAY_E_SCHEMA_NAME},
    {ER_WRONG_DB_NAME, DRAY_E_SCHEMA_NAME},
    {ER_WRONG_TABLE_NAME, DRAY_E_SCHEMA_NAME},
    {ER_WRONG_COLUMN_NAME, DRAY_E_SCHEMA_NAME},
    {ER_TOO_BIG_SCALE, DRAY_E_SCHEMA_TYPE},
    {ER_TOO_BIG_PRECISION, DRAY_E_SCHEMA_TYPE},
    {ER_NET_PACKET_TOO_LARGE, DRAY_E_DATA_TOO_LARGE},
};

// What a row can be refused for. The operator's own SQL is refused as a whole instead.
static const struct meaning row_meanings[] = {
    {ER_DUP_ENTRY, DRAY_E_DATA_KEY_DUPLICATE},
    {ER_DUP_ENTRY_WITH_KEY_NAME, DRAY_E_DATA_KEY_DUPLICATE},
    {ER_BAD_NULL_ERROR, DRAY_E_DATA_REJECTED},
    {ER_WARN_NULL_TO_NOTNULL, DRAY_E_DATA_REJECTED},
    {ER_NO_DEFAULT_FOR_FIELD, DRAY_E_DATA_REJECTED},
    {ER_NO_REFERENCED_ROW_2, DRAY_E_DATA_REJECTED},
    {ER_ROW_IS_REFERENCED_2, DRAY_E_DATA_REJECTED},
    {ER_CONSTRAINT_FAILED, DRAY_E_DATA_REJECTED},
    {MYSQL_ER_CHECK_VIOLATED, DRAY_E_DATA_REJECTED},
    {ER_DATA_TOO_LONG, DRAY_E_DATA_TOO_LARGE},
    {ER_WARN_DATA_OUT_OF_RANGE, DRAY_E_DATA_OVERFLOW},
    {WARN_DATA_TRUNCATED, DRAY_E_DATA_TOO_LARGE}, // LOAD DATA says no more
    {ER_TRUNCATED_WRONG_VALUE, DRAY_E_DATA_TYPE},
    {ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, DRAY_E_DATA_TYPE},
    {MYSQL_ER_JSON_TEXT, DRAY_E_DATA_JSON},
};

static int find_meaning(const struct meaning *rows, size_t count, unsigned int number, int32_t *code) {
  for (size_t i = 0; i < count; i++) {
    if (rows[i].number != number) continue;
    *code = rows[i].code;
    return 1;
  }
  return 0;
}

static int32_t code_of(unsigned int number, int purpose) {
  int32_t code = DRAY_E_CONFIG_SQL;
  if (find_meaning(meanings, sizeof meanings / sizeof meanings[0], number, &code)) return code;
  if (purpose == MY_FOR_QUERY) return code;
  (void)find_meaning(row_meanings, sizeof row_meanings / sizeof row_meanings[0], number, &code);
  return code;
}

static int was_cancelled(const struct my_link *link) {
  pthread_mutex_lock(&link->session->lock);
  const int cancelled = link->cancelled;
  pthread_mutex_unlock(&link->session->lock);
  return cancelled || dray_cancelled(&link->session->services);
}

// ---- what is said besides ----

static void add(struct dray_error *error, const char *format, ...) DRAY_PRINTF(2, 3);
static void add(struct dray_error *error, const char *format, ...) {
  va_list args;
  const size_t used = strlen(error->text);
  va_start(args, format);
  (void)vsnprintf(error->text + used, sizeof error->text - used, format, args);
  va_end(args);
  size_t len = strlen(error->text); // a character may have been cut
  while (len > 0 && !dray_utf8_valid(error->text, len)) error->text[--len] = '\0';
}

// "SELECT command denied to user 'a'@'b' for table `c`.`d`": the words are the server's English ones; in another
// language nothing is added.
static void add_grant(struct dray_error *error, const char *message, int purpose) {
  static const char denied[] = " command denied to user ", table[] = " for table ", to_database[] = " to database ";
  const char *user = strstr(message, denied), *object = user != NULL ? strstr(user, table) : NULL;
  if (object != NULL) {
    const char *name = user + strlen(denied);
    const int verb = (int)(user - message);
    const char *rest = purpose == MY_FOR_QUERY ? "" : ", and what else `dray check` names";
    add(error, ": GRANT %.*s ON %s TO %.*s%s", verb, message, object + strlen(table), (int)(object - name), name, rest);
    return;
  }
  user = strstr(message, "for user ");
  object = user != NULL ? strstr(user, to_database) : NULL;
  if (object == NULL) return;
  const char *name = object + strlen(to_database);
  const int len = (int)strlen(name) - 2;
  add(error, ": GRANT %s ON `%.*s`.* TO %.*s",
      purpose == MY_FOR_QUERY ? "SELECT" : "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, CREATE TEMPORARY TABLES",
      len > 0 ? len : 0, name + 1, (int)(object - user) - 9, user + 9);
}

// ---- refusals ----

struct my_refusal my_refusal_of(const struct my_link *link, MYSQL_STMT *statement) {
  if (statement != NULL && mysql_stmt_errno(statement) != 0) {
    return (struct my_refusal){mysql_stmt_errno(statement), mysql_stmt_sqlstate(statement),
                               mysql_stmt_error(statement)};
  }
  return (struct my_refusal){mysql_errno(link->conn), mysql_sqlstate(link->conn), mysql_error(link->conn)};
}

// Columns whose names differ by the case of A to Z are known as one before they are added, so that a name of those
// alone was added by somebody else in the meantime. The case of other letters is known to the server alone.
static int is_ascii(const char *text) {
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text >= 0x80) return 0;
  }
  return 1;
}

int32_t my_fail(const struct my_link *link, struct my_refusal refusal, int purpose, const char *doing,
                struct dray_error *error) {
  int32_t code = code_of(refusal.number, purpose);
  const int cancelled = was_cancelled(link) && !link->must_end;
  if (link->given_up || refusal.number == 0 || code == DRAY_E_NET_CLOSED) return my_fail_lost(link, doing, error);
  if (code == DRAY_E_TIMEOUT && cancelled) code = DRAY_E_CANCELLED;
  const int differs_by_case = refusal.number == ER_DUP_FIELDNAME && !is_ascii(refusal.text);
  if (differs_by_case) code = DRAY_E_SCHEMA_DRIFT;
  (void)dray_fail(error, code, "%s: %s", doing, refusal.text);
  if (error == NULL) return code;
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%u/%s", refusal.number, refusal.state);
  if (code == DRAY_E_AUTH_FORBIDDEN) add_grant(error, refusal.text, purpose);
  if (differs_by_case)
    add(error, ": to this server it is one column with another of its name in upper or lower case; map it");
  return code;
}

int32_t my_fail_lost(const struct my_link *link, const char *doing, struct dray_error *error) {
  const int cancelled = was_cancelled(link) && !link->must_end;
  const char *why = link->conn != NULL ? mysql_error(link->conn) : "";
  if (cancelled && !(link->silent && !dray_cancelled(&link->session->services))) {
    return dray_fail(error, DRAY_E_CANCELLED, "%s was cancelled%s", doing,
                     link->given_up ? ", and the server did not answer any more" : "");
  }
  if (link->silent && link->session->settings.answer_timeout_seconds > 0) {
    return dray_fail(error, DRAY_E_NET_TIMEOUT,
                     "%s: nothing came from %s for %lld s (answer_timeout_seconds), and the connection was given up",
                     doing, link->session->settings.host, (long long)link->session->settings.answer_timeout_seconds);
  }
  return dray_fail(error, DRAY_E_NET_CLOSED, "%s: the connection to %s is lost%s%s", doing,
                   link->session->settings.host, why[0] != '\0' ? ": " : "", why);
}

// ---- connecting ----

static const struct {
  unsigned int number;
  int32_t code;
  const char *field;
} refusals[] = {
    {CR_UNKNOWN_HOST, DRAY_E_NET_RESOLVE, "host"},
    {CR_SSL_CONNECTION_ERROR, DRAY_E_NET_TLS, "sslmode"},
    {CR_AUTH_PLUGIN_CANNOT_LOAD, DRAY_E_AUTH_REJECTED, "user"},
    {CR_AUTH_PLUGIN_ERR, DRAY_E_AUTH_REJECTED, "password"},
    {CR_PLUGIN_NOT_ALLOWED, DRAY_E_AUTH_REJECTED, "sslmode"}, // not to a server that is not verified: settings.c
    {CR_OUT_OF_MEMORY, DRAY_E_OUT_OF_MEMORY, ""},
    {ER_ACCESS_DENIED_ERROR, DRAY_E_AUTH_REJECTED, "password"},
    {ER_ACCESS_DENIED_NO_PASSWORD_ERROR, DRAY_E_AUTH_REJECTED, "password"},
    {ER_HOST_NOT_PRIVILEGED, DRAY_E_AUTH_REJECTED, "user"},
    {ER_MUST_CHANGE_PASSWORD_LOGIN, DRAY_E_AUTH_REJECTED, "password"},
    {MYSQL_ER_ACCOUNT_LOCKED, DRAY_E_AUTH_REJECTED, "user"},
    {ER_ACCOUNT_HAS_BEEN_LOCKED, DRAY_E_AUTH_REJECTED, "user"},
    {ER_DBACCESS_DENIED_ERROR, DRAY_E_AUTH_FORBIDDEN, "database"},
    {ER_BAD_DB_ERROR, DRAY_E_CONFIG_VALUE, "database"},
    {ER_CON_COUNT_ERROR, DRAY_E_BUSY, "host"},
    {ER_TOO_MANY_USER_CONNECTIONS, DRAY_E_BUSY, "user"},
    {ER_USER_LIMIT_REACHED, DRAY_E_BUSY, "user"},
};

int32_t my_fail_connect(const struct my_link *link, struct dray_error *error) {
  const struct my_settings *settings = &link->session->settings;
  const struct my_refusal refusal = my_refusal_of(link, NULL);
  const char *field = "host";
  int32_t code = DRAY_E_NET_CONNECT;
  if (was_cancelled(link)) return dray_fail(error, DRAY_E_CANCELLED, "connecting to %s was cancelled", settings->host);
  if (link->late) {
    return dray_fail_field(error, DRAY_E_NET_TIMEOUT, "host",
                           "%s port %lld did not let us in within %lld s (connect_timeout_seconds)", settings->host,
                           (long long)settings->port, (long long)settings->connect_timeout_seconds);
  }
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    if (refusals[i].number != refusal.number) continue;
    code = refusals[i].code;
    field = refusals[i].field;
  }
  (void)dray_fail_field(error, code, field, "connecting to %s port %lld as %s: %s", settings->host,
                        (long long)settings->port, settings->user, refusal.text);
  if (error == NULL) return code;
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%u/%s", refusal.number, refusal.state);
  if (code == DRAY_E_AUTH_FORBIDDEN) add_grant(error, refusal.text, MY_FOR_STATEMENT);
  return code;
}
