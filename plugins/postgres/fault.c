// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the server's and libpq's refusals mean to the host: SQLSTATE to code, and what to grant or change in the text.
// SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
#include <ctype.h>
#include <stdio.h>

#include "link.h"

// The first row that fits counts; `state` is a whole SQLSTATE or the two letters of its class.
static const struct meaning {
  const char *state;
  int32_t code;
} meanings[] = {
    {"08", DRAY_E_NET_CLOSED},
    {"28", DRAY_E_AUTH_REJECTED},
    {"3D000", DRAY_E_CONFIG_VALUE},
    {"42501", DRAY_E_AUTH_FORBIDDEN},
    {"25006", DRAY_E_AUTH_FORBIDDEN},
    {"40", DRAY_E_BUSY},
    {"55P03", DRAY_E_BUSY},
    {"55006", DRAY_E_BUSY},
    {"57014", DRAY_E_TIMEOUT},
    {"57P03", DRAY_E_BUSY},
    {"57P", DRAY_E_NET_CLOSED},
    {"25P03", DRAY_E_NET_CLOSED},
    {"53100", DRAY_E_DISK_FULL},
    {"53200", DRAY_E_OUT_OF_MEMORY},
    {"53300", DRAY_E_BUSY},
    {"53", DRAY_E_BUSY},
    {"58", DRAY_E_IO},
    {"XX", DRAY_E_IO},
    {"54", DRAY_E_LIMIT},
    {"42P07", DRAY_E_BUSY}, // made by somebody else in the meantime
    {"42P06", DRAY_E_BUSY},
};

// What a row can be refused for. The operator's own SQL is refused as a whole instead.
static const struct meaning row_meanings[] = {
    {"23505", DRAY_E_DATA_KEY_DUPLICATE}, {"23", DRAY_E_DATA_REJECTED}, {"22001", DRAY_E_DATA_TOO_LARGE},
    {"22003", DRAY_E_DATA_OVERFLOW},      {"22007", DRAY_E_DATA_DATE},  {"22008", DRAY_E_DATA_DATE},
    {"22P02", DRAY_E_DATA_TYPE},          {"22021", DRAY_E_DATA_UTF8},  {"22P05", DRAY_E_DATA_UTF8},
    {"22P03", DRAY_E_DATA_TYPE},          {"22", DRAY_E_DATA_REJECTED},
};

static int find_meaning(const struct meaning *rows, size_t count, const char *state, int32_t *code) {
  for (size_t i = 0; i < count; i++) {
    if (strncmp(rows[i].state, state, strlen(rows[i].state)) != 0) continue;
    *code = rows[i].code;
    return 1;
  }
  return 0;
}

static int32_t code_of(const char *state, int purpose) {
  int32_t code = DRAY_E_CONFIG_SQL;
  if (purpose == PG_FOR_QUERY && strcmp(state, "25006") == 0) return DRAY_E_CONFIG_SQL; // it would write
  if (find_meaning(meanings, sizeof meanings / sizeof meanings[0], state, &code)) return code;
  if (purpose == PG_FOR_QUERY) return code;
  (void)find_meaning(row_meanings, sizeof row_meanings / sizeof row_meanings[0], state, &code);
  return code;
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

// The server counts characters of the text; people count lines and columns.
static void add_position(struct dray_error *error, const char *sql, const char *position) {
  unsigned long at = 0;
  unsigned line = 1, column = 1;
  for (; isdigit((unsigned char)*position); position++) at = at * 10 + (unsigned long)(*position - '0');
  for (const char *c = sql; *c != '\0' && at > 1; c++) {
    if (((unsigned char)c[1] & 0xC0) == 0x80) continue; // the middle of a character
    at--;
    column = *c == '\n' ? 1 : column + 1;
    if (*c == '\n') line++;
  }
  add(error, " (line %u, column %u)", line, column);
}

// "permission denied for table people": the words are the server's English ones; in another language the rights are
// named without the object.
static void add_grant(const struct pg_link *link, struct dray_error *error, const char *message, int purpose) {
  static const struct {
    const char *begin, *kind, *read, *write;
  } kinds[] = {
      {"permission denied for table ", "TABLE", "SELECT", "SELECT, INSERT, UPDATE, DELETE"},
      {"permission denied for view ", "TABLE", "SELECT", "SELECT, INSERT, UPDATE, DELETE"},
      {"permission denied for materialized view ", "TABLE", "SELECT", "SELECT"},
      {"permission denied for foreign table ", "TABLE", "SELECT", "SELECT, INSERT, UPDATE, DELETE"},
      {"permission denied for sequence ", "SEQUENCE", "SELECT", "USAGE"},
      {"permission denied for schema ", "SCHEMA", "USAGE", "USAGE, CREATE"},
      {"permission denied for function ", "FUNCTION", "EXECUTE", "EXECUTE"},
      {"permission denied for database ", "DATABASE", "CONNECT", "CREATE"},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    const size_t len = strlen(kinds[i].begin);
    if (strncmp(message, kinds[i].begin, len) != 0) continue;
    add(error, ": GRANT %s ON %s \"%s\" TO \"%s\"", purpose == PG_FOR_QUERY ? kinds[i].read : kinds[i].write,
        kinds[i].kind, message + len, PQuser(link->conn));
    return;
  }
  if (strncmp(message, "must be owner of ", 17) == 0) {
    add(error, ": only the owner may change it; make \"%s\" the owner, or a member of the owning role",
        PQuser(link->conn));
  } else if (strncmp(message, "permission denied to create temporary tables", 44) == 0) {
    add(error, ": GRANT TEMPORARY ON DATABASE \"%s\" TO \"%s\"", PQdb(link->conn), PQuser(link->conn));
  }
}

// How far a COPY had come: "COPY t, line 7, column a". Only the first line is about the place.
static void add_place(struct dray_error *error, const char *context) {
  const size_t len = strcspn(context, "\n");
  if (strncmp(context, "COPY ", 5) == 0) add(error, " (%.*s)", (int)(len < 200 ? len : 200), context);
}

static const char *field_of(const PGresult *result, int field) {
  const char *text = PQresultErrorField(result, field);
  return text != NULL ? text : "";
}

static int was_cancelled(const struct pg_link *link) {
  pthread_mutex_lock(&link->session->lock);
  const int cancelled = link->cancelled;
  pthread_mutex_unlock(&link->session->lock);
  return cancelled || dray_cancelled(&link->session->services);
}

// ---- refusals ----

int32_t pg_fail(const struct pg_link *link, const PGresult *result, int purpose, const char *sql, const char *doing,
                struct dray_error *error) {
  const char *state = field_of(result, PG_DIAG_SQLSTATE);
  const char *message = field_of(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state[0] == '\0') return pg_fail_lost(link, doing, error); // libpq's own
  int32_t code = code_of(state, purpose);
  if (code == DRAY_E_TIMEOUT && was_cancelled(link)) code = DRAY_E_CANCELLED;
  // Two who make the same schema, table or type at once meet in the catalogue: no row is at fault.
  const int of_catalog = strcmp(field_of(result, PG_DIAG_SCHEMA_NAME), "pg_catalog") == 0;
  if (code == DRAY_E_DATA_KEY_DUPLICATE && of_catalog) code = DRAY_E_BUSY;
  if (error == NULL) return code;
  const char *field = field_of(result, PG_DIAG_COLUMN_NAME);
  if (field[0] != '\0') {
    (void)dray_fail_field(error, code, field, "%s: %s", doing, message);
  } else {
    (void)dray_fail(error, code, "%s: %s", doing, message);
  }
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%s", state);
  if (sql != NULL && field_of(result, PG_DIAG_STATEMENT_POSITION)[0] != '\0') {
    add_position(error, sql, field_of(result, PG_DIAG_STATEMENT_POSITION));
  }
  if (field_of(result, PG_DIAG_MESSAGE_DETAIL)[0] != '\0') {
    add(error, ": %s", field_of(result, PG_DIAG_MESSAGE_DETAIL));
  } else if (field_of(result, PG_DIAG_MESSAGE_HINT)[0] != '\0') {
    add(error, ": %s", field_of(result, PG_DIAG_MESSAGE_HINT));
  }
  if (code == DRAY_E_AUTH_FORBIDDEN) add_grant(link, error, message, purpose);
  if (purpose == PG_FOR_LOAD) add_place(error, field_of(result, PG_DIAG_CONTEXT));
  return code;
}

// libpq's texts end with a line end, and may have several lines.
static void add_reason(struct dray_error *error, const char *text) {
  size_t len = strlen(text);
  while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) len--;
  if (len > 400) len = 400;
  add(error, ": ");
  for (size_t i = 0; i < len; i++) {
    if (text[i] == '\n' || text[i] == '\t') {
      if (i > 0 && text[i - 1] != '\n' && text[i - 1] != '\t') add(error, " ");
    } else {
      const size_t used = strlen(error->text);
      if (used + 1 < sizeof error->text) error->text[used] = text[i], error->text[used + 1] = '\0';
    }
  }
  size_t end = strlen(error->text);
  while (end > 0 && !dray_utf8_valid(error->text, end)) error->text[--end] = '\0';
}

int32_t pg_fail_lost(const struct pg_link *link, const char *doing, struct dray_error *error) {
  const int cancelled = was_cancelled(link) && !link->must_end;
  const char *why = link->conn != NULL ? PQerrorMessage(link->conn) : "";
  const int32_t code = cancelled                                                    ? DRAY_E_CANCELLED
                       : link->conn != NULL && strstr(why, "out of memory") != NULL ? DRAY_E_OUT_OF_MEMORY
                                                                                    : DRAY_E_NET_CLOSED;
  (void)dray_fail(error, code, "%s: the connection to %s is lost", doing, link->session->settings.host);
  if (error != NULL && why[0] != '\0') add_reason(error, why);
  return code;
}

// ---- connecting ----

// The SQLSTATE in "... FATAL:  28P01: password authentication failed ...", the only place where it is told. 0: none.
static int find_state(const char *text, char state[6]) {
  for (const char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
    size_t n = 0;
    while (n < 5 && (isdigit((unsigned char)at[3 + n]) || isupper((unsigned char)at[3 + n]))) n++;
    if (n != 5 || at[8] != ':') continue;
    memcpy(state, at + 3, 5);
    state[5] = '\0';
    return 1;
  }
  return 0;
}

// libpq's own refusals have no code: these words of its messages say what it was.
static const struct {
  const char *words;
  int32_t code;
  const char *field;
} refusals[] = {
    {"could not translate host name", DRAY_E_NET_RESOLVE, "host"},
    {"no password supplied", DRAY_E_AUTH_REJECTED, "password"},
    {"root certificate file", DRAY_E_NET_TLS, "sslrootcert"},
    {"certificate", DRAY_E_NET_TLS, "sslmode"},
    {"private key file", DRAY_E_NET_TLS, "sslkey"},
    {"SSL", DRAY_E_NET_TLS, "sslmode"},
    {"authentication", DRAY_E_AUTH_REJECTED, "password"},
    {"server closed the connection", DRAY_E_NET_CLOSED, "host"},
    {"out of memory", DRAY_E_OUT_OF_MEMORY, ""},
};

static const char *field_of_state(const char *state) {
  if (strcmp(state, "28P01") == 0) return "password";
  if (strcmp(state, "3D000") == 0) return "database";
  return state[0] == '2' && state[1] == '8' ? "user" : "";
}

int32_t pg_fail_connect(const struct pg_session *session, const PGconn *conn, struct dray_error *error) {
  const struct pg_settings *settings = &session->settings;
  const char *why = PQerrorMessage(conn);
  const char *field = "host";
  int32_t code = DRAY_E_NET_CONNECT;
  char state[6] = "";
  if (find_state(why, state)) {
    code = code_of(state, PG_FOR_OURSELVES);
    if (code == DRAY_E_CONFIG_SQL) code = DRAY_E_NET_CONNECT;
    field = field_of_state(state);
  } else {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
      if (strstr(why, refusals[i].words) == NULL) continue;
      code = refusals[i].code;
      field = refusals[i].field;
      break;
    }
  }
  (void)dray_fail_field(error, code, field, "connecting to %s port %lld as %s", settings->host,
                        (long long)settings->port, settings->user);
  if (error == NULL) return code;
  (void)snprintf(error->vendor_code, sizeof error->vendor_code, "%s", state);
  add_reason(error, why);
  char *location = strstr(error->text, " LOCATION:"); // where in the server's source
  if (location != NULL) *location = '\0';
  return code;
}
