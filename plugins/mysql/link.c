// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Connecting, waiting, cancelling and the short statements of a link. Knows no tables.
#include "link.h"

#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define SESSION_SQL_BYTES_MAX 4096
#define QUOTED_BYTES_MAX 4096
#define SLICE_MS 100    // between two looks at the cancel flag
#define PATIENCE_MS 600 // for the server's answer to a cancel; then the link is dropped
#define COMMIT_PATIENCE_MS 5000
#define CLOSING_PATIENCE_MS 5000
#define CANCELS_MAX 8
#define CANCEL_SECONDS 2 // for the connection that asks for it

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a connection");
}

// ---- the session ----

static void init_library(void) {
  (void)mysql_library_init(0, NULL, NULL);
}

int32_t my_session_init(struct my_session *session, const struct dray_host *host, struct dray_str config_json,
                        struct dray_error *error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  memset(session, 0, sizeof *session);
  DRAY_TRY(dray_services_init(&session->services, host, error));
  DRAY_TRY(my_settings_bind(config_json, &session->settings, error));
  (void)pthread_once(&once, init_library);
  (void)pthread_mutex_init(&session->lock, NULL);
  (void)pthread_cond_init(&session->cancelled, NULL);
  return DRAY_OK;
}

void my_session_free(struct my_session *session) {
  (void)pthread_cond_destroy(&session->cancelled);
  (void)pthread_mutex_destroy(&session->lock);
  my_settings_release(&session->settings);
}

// ---- cancelling ----

struct request {
  unsigned long thread;
  char *password; // owned
};

static int64_t now_ms(const struct my_session *session) {
  const struct dray_clock_service *clock = session->services.clock;
  return clock->monotonic_ms(clock->ctx);
}

static MYSQL *log_in(struct my_link *link, const char *password, int64_t timeout_ms);

static void close_conn(struct my_link *link) {
  if (link->conn == NULL) return;
  // A farewell could wait for a server that does not read any more.
  if (my_link_broken(link)) (void)shutdown((int)mysql_get_socket(link->conn), SHUT_RDWR);
  mysql_close(link->conn);
  link->conn = NULL;
}

// Whether it could be said.
static int ask_to_kill(struct my_session *session, const struct request *request) {
  struct my_link link = {.session = session, .conn = mysql_init(NULL), .messenger = 1};
  struct dray_error ignored;
  char sql[64];
  int32_t code = DRAY_E_NET_CONNECT;
  if (link.conn == NULL) return 0;
  const int len = snprintf(sql, sizeof sql, "KILL QUERY %lu", request->thread);
  dray_error_init(&ignored);
  my_link_refuse_files(link.conn);
  if (mysql_options(link.conn, MYSQL_OPT_NONBLOCK, 0) == 0 &&
      my_settings_apply(&session->settings, link.conn, NULL) == DRAY_OK &&
      log_in(&link, request->password, CANCEL_SECONDS * 1000) != NULL) {
    link.deadline_ms = now_ms(session) + CANCEL_SECONDS * 1000;
    code = my_link_query(&link, dray_str_make(sql, (uint64_t)len), MY_FOR_OURSELVES, "cancelling", &ignored);
  }
  const int said = code == DRAY_OK || !my_link_broken(&link);
  close_conn(&link);
  return said;
}

// The request goes over a connection of its own, which may take long: the lock is not held meanwhile. What the request
// needs is copied, so the links may go.
static void interrupt(struct my_session *session, const struct my_link *only) {
  struct request requests[CANCELS_MAX];
  size_t count = 0;
  pthread_mutex_lock(&session->lock);
  for (struct my_link *link = session->links; link != NULL && count < CANCELS_MAX; link = link->next) {
    if (session->unheard) break; // each try would take as long as the one before
    if (!link->working || link->cancelled || link->must_end || (only != NULL && only != link)) continue;
    const char *password = link->conn->passwd; // as it logged in; mysql_get_optionv does not have it
    link->cancelled = 1;
    requests[count] =
        (struct request){mysql_thread_id(link->conn), dray_str_dup(dray_str_of(password != NULL ? password : ""))};
    if (requests[count].thread == 0 || requests[count].password == NULL) {
      dray_secret_free(requests[count].password);
      continue;
    }
    count++;
  }
  session->cancels += (int)count;
  pthread_mutex_unlock(&session->lock);
  int unheard = 0;
  for (size_t i = 0; i < count; i++) {
    unheard = unheard || !ask_to_kill(session, &requests[i]);
    dray_secret_free(requests[i].password);
  }
  if (count == 0) return;
  pthread_mutex_lock(&session->lock);
  session->unheard |= unheard;
  session->cancels -= (int)count;
  pthread_cond_broadcast(&session->cancelled);
  pthread_mutex_unlock(&session->lock);
}

void my_session_interrupt(struct my_session *session) {
  interrupt(session, NULL);
}

void my_session_cancel(struct my_link *link) {
  interrupt(link->session, link);
}

void my_link_start(struct my_link *link) {
  pthread_mutex_lock(&link->session->lock);
  link->working = 1;
  link->cancelled = 0;
  pthread_mutex_unlock(&link->session->lock);
  link->cancel_since_ms = 0;
}

// A request that is still on its way would hit the next statement: it is waited for.
void my_link_settle(struct my_link *link) {
  struct my_session *session = link->session;
  struct timespec until;
  int late = 0;
  pthread_mutex_lock(&session->lock);
  link->working = 0;
  if (link->cancelled) {
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CANCEL_SECONDS;
    while (session->cancels > 0 && !late) {
      late = pthread_cond_timedwait(&session->cancelled, &session->lock, &until) != 0;
    }
  }
  pthread_mutex_unlock(&session->lock);
  if (late) link->given_up = 1;
}

// ---- waiting ----

int my_link_broken(const struct my_link *link) {
  if (link->conn == NULL || link->given_up) return 1;
  switch (mysql_errno(link->conn)) {
  case CR_SERVER_GONE_ERROR:
  case CR_SERVER_LOST:
  case CR_SERVER_LOST_EXTENDED:
  case CR_COMMANDS_OUT_OF_SYNC:
  case CR_MALFORMED_PACKET:
    return 1;
  default:
    return mysql_get_socket(link->conn) == MARIADB_INVALID_SOCKET;
  }
}

// Whether the wait is to end without what it waits for. A run that was asked to end: the first time the server is told
// (nobody else may have), later the link is given up.
static int gives_up(struct my_link *link) {
  const int64_t now = now_ms(link->session);
  if (link->deadline_ms != 0 && now >= link->deadline_ms) {
    link->late = 1;
    return 1;
  }
  if (link->messenger || !dray_cancelled(&link->session->services)) return 0;
  if (link->deadline_ms != 0) return 1; // not connected yet: there is nobody to tell
  if (link->cancel_since_ms == 0) {
    link->cancel_since_ms = now > 0 ? now : 1;
    if (!link->must_end) my_session_interrupt(link->session);
    return 0;
  }
  return now - link->cancel_since_ms > (link->must_end ? COMMIT_PATIENCE_MS : PATIENCE_MS);
}

// Who keeps the connection, acknowledges everything and says nothing may be a server at work: only the operator knows
// how long that may take.
static int is_silent(struct my_link *link, int64_t since) {
  const int64_t most = link->closing ? CLOSING_PATIENCE_MS : link->session->settings.answer_timeout_seconds * 1000;
  if (most == 0 || link->deadline_ms != 0 || now_ms(link->session) - since <= most) return 0;
  link->silent = 1;
  if (!link->must_end) my_session_cancel(link); // it may be at work all the same
  return 1;
}

int my_link_wait(struct my_link *link, int status) {
  const int64_t since = now_ms(link->session);
  struct pollfd socket = {.fd = (int)mysql_get_socket(link->conn)};
  if (status & MYSQL_WAIT_READ) socket.events |= POLLIN;
  if (status & MYSQL_WAIT_WRITE) socket.events |= POLLOUT;
  if (status & MYSQL_WAIT_EXCEPT) socket.events |= POLLPRI;
  for (;;) {
    const int ready = link->given_up ? 0 : poll(&socket, 1, SLICE_MS);
    if (ready > 0) {
      int events = 0;
      if (socket.revents & (POLLIN | POLLHUP | POLLERR)) events |= status & MYSQL_WAIT_READ;
      if (socket.revents & (POLLOUT | POLLHUP | POLLERR)) events |= status & MYSQL_WAIT_WRITE;
      if (socket.revents & POLLPRI) events |= status & MYSQL_WAIT_EXCEPT;
      return events != 0 ? events : status & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
    }
    if (link->given_up || (ready < 0 && errno != EINTR) || gives_up(link) || is_silent(link, since)) {
      my_link_drop(link); // libmariadb takes it for a timeout, and unwinds; inside of TLS it would ask again for ever
      return MYSQL_WAIT_TIMEOUT;
    }
  }
}

// ---- statements ----

int32_t my_link_query(struct my_link *link, struct dray_str sql, int purpose, const char *doing,
                      struct dray_error *error) {
  int failed = 0;
  int status = mysql_real_query_start(&failed, link->conn, sql.data, (unsigned long)sql.len);
  while (status != 0) status = mysql_real_query_cont(&failed, link->conn, my_link_wait(link, status));
  return failed ? my_fail(link, my_refusal_of(link, NULL), purpose, doing, error) : DRAY_OK;
}

static int32_t store_result(struct my_link *link, int purpose, const char *doing, MYSQL_RES **out,
                            struct dray_error *error) {
  MYSQL_RES *result = NULL;
  int status = mysql_store_result_start(&result, link->conn);
  while (status != 0) status = mysql_store_result_cont(&result, link->conn, my_link_wait(link, status));
  if (result == NULL && mysql_errno(link->conn) != 0) {
    return my_fail(link, my_refusal_of(link, NULL), purpose, doing, error);
  }
  *out = result;
  return DRAY_OK;
}

int32_t my_link_drop_result(struct my_link *link, int purpose, const char *doing, struct dray_error *error) {
  MYSQL_RES *result = NULL;
  const int32_t code = store_result(link, purpose, doing, &result, error);
  mysql_free_result(result);
  return code;
}

static int32_t ask(struct my_link *link, const char *sql, const char *doing, MYSQL_RES **out,
                   struct dray_error *error) {
  if (my_link_broken(link)) return my_fail_lost(link, doing, error);
  my_link_start(link);
  int32_t code = my_link_query(link, dray_str_of(sql), MY_FOR_OURSELVES, doing, error);
  if (code == DRAY_OK) code = store_result(link, MY_FOR_OURSELVES, doing, out, error);
  my_link_settle(link);
  return code;
}

int32_t my_link_run(struct my_link *link, const char *sql, const char *doing, struct dray_error *error) {
  MYSQL_RES *result = NULL;
  const int32_t code = ask(link, sql, doing, &result, error);
  mysql_free_result(result);
  return code;
}

int32_t my_link_ask(struct my_link *link, const char *sql, const char *doing, MYSQL_RES **out,
                    struct dray_error *error) {
  MYSQL_RES *result = NULL;
  DRAY_TRY(ask(link, sql, doing, &result, error));
  if (result == NULL) return dray_fail(error, DRAY_E_INTERNAL, "%s: the server answered without a result", doing);
  *out = result;
  return DRAY_OK;
}

int32_t my_link_warned(struct my_link *link, unsigned int number, int purpose, const char *doing,
                       struct dray_error *error) {
  MYSQL_RES *warnings = NULL;
  int32_t code = DRAY_OK;
  DRAY_TRY(my_link_ask(link, "SHOW WARNINGS", doing, &warnings, error));
  for (MYSQL_ROW row = mysql_fetch_row(warnings); code == DRAY_OK && row != NULL; row = mysql_fetch_row(warnings)) {
    const unsigned int found = (unsigned int)strtoul(row[1], NULL, 10);
    if (number == 0 || found == number) {
      code = my_fail(link, (struct my_refusal){found, "HY000", row[2]}, purpose, doing, error);
    }
  }
  mysql_free_result(warnings);
  return code;
}

int32_t my_stmt_prepare(struct my_link *link, struct dray_str sql, int purpose, const char *doing, MYSQL_STMT **out,
                        struct dray_error *error) {
  int failed = 0;
  MYSQL_STMT *statement = mysql_stmt_init(link->conn);
  if (statement == NULL) return no_memory(error);
  *out = statement;
  int status = mysql_stmt_prepare_start(&failed, statement, sql.data, (unsigned long)sql.len);
  while (status != 0) status = mysql_stmt_prepare_cont(&failed, statement, my_link_wait(link, status));
  return failed ? my_fail(link, my_refusal_of(link, statement), purpose, doing, error) : DRAY_OK;
}

int32_t my_stmt_execute(struct my_link *link, MYSQL_STMT *statement, int purpose, const char *doing,
                        struct dray_error *error) {
  int failed = 0;
  int status = mysql_stmt_execute_start(&failed, statement);
  while (status != 0) status = mysql_stmt_execute_cont(&failed, statement, my_link_wait(link, status));
  return failed ? my_fail(link, my_refusal_of(link, statement), purpose, doing, error) : DRAY_OK;
}

void my_stmt_close(struct my_link *link, MYSQL_STMT *statement) {
  my_bool failed = 0;
  if (statement == NULL) return;
  int status = mysql_stmt_close_start(&failed, statement);
  while (status != 0) status = mysql_stmt_close_cont(&failed, statement, my_link_wait(link, status));
}

int32_t my_link_begin(struct my_link *link, int read_only, struct dray_error *error) {
  return my_link_run(link, read_only ? "START TRANSACTION READ ONLY" : "START TRANSACTION", "beginning a transaction",
                     error);
}

void my_link_rollback(struct my_link *link) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  if (my_link_broken(link)) return;
  if (my_link_run(link, "ROLLBACK", "rolling back", &ignored) != DRAY_OK) link->given_up = 1;
}

void my_link_cleanse(struct my_link *link) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  if (my_link_broken(link)) return;
  if (my_link_run(link, "DO 0", "going on", &ignored) == DRAY_OK) return;
  if (my_link_run(link, "DO 0", "going on", &ignored) != DRAY_OK) link->given_up = 1;
}

int32_t my_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_char(out, '`', error));
  for (uint64_t i = 0; i < name.len; i++) {
    if (name.data[i] == '\0') return dray_fail(error, DRAY_E_SCHEMA_NAME, "a name holds a NUL");
    if (name.data[i] == '`') DRAY_TRY(dray_buffer_append_char(out, '`', error));
    DRAY_TRY(dray_buffer_append_char(out, name.data[i], error));
  }
  return dray_buffer_append_char(out, '`', error);
}

int32_t my_quote_table(struct dray_str schema, struct dray_str table, struct dray_buffer *out,
                       struct dray_error *error) {
  if (schema.len > 0) {
    DRAY_TRY(my_quote(schema, out, error));
    DRAY_TRY(dray_buffer_append_char(out, '.', error));
  }
  return my_quote(table, out, error);
}

// ---- connecting ----

static void keep_alive(const struct my_session *session, MYSQL *conn) {
  const int on = 1, idle = (int)session->settings.keepalive_seconds, interval = 10, count = 3;
  const int socket = (int)mysql_get_socket(conn);
  if (idle == 0 || my_settings_socket(&session->settings)) return;
  (void)setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  (void)setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void warn_of_tls(const struct my_session *session, MYSQL *conn) {
  const char *mode = my_settings_sslmode(&session->settings);
  if (my_settings_local(&session->settings) || strcmp(mode, "verify-full") == 0) return;
  dray_log_printf(&session->services, DRAY_LOG_WARN,
                  "sslmode %s: %s; sslmode verify-full makes sure that the server is the one it should be", mode,
                  mysql_get_ssl_cipher(conn) != NULL
                      ? "the connection is encrypted, but the server's name is not checked"
                      : "the connection to the server is not encrypted");
}

// libmariadb goes on without TLS when the server has none, unless the server's name is to be verified.
static int32_t check_tls(const struct my_session *session, MYSQL *conn, struct dray_error *error) {
  if (strcmp(my_settings_sslmode(&session->settings), "require") != 0 || mysql_get_ssl_cipher(conn) != NULL) {
    return DRAY_OK;
  }
  return dray_fail_field(error, DRAY_E_NET_TLS, "sslmode", "%s has no TLS, and sslmode is require",
                         session->settings.host);
}

// libmariadb shakes hands for TLS by reads that block: the system ends them, at the deadline or when a signal comes.
static void limit_reads(const struct my_link *link) {
  const int64_t left = link->deadline_ms == 0 ? 0 : link->deadline_ms - now_ms(link->session);
  const int64_t ms = link->deadline_ms != 0 && left < 1 ? 1 : left;
  const struct timeval most = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  const int socket = (int)mysql_get_socket(link->conn);
  (void)setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
}

// Where there is TLS, it reads and writes so later too, and would see no cancel: it waits by poll when the socket says
// that it would block.
static void never_block(const struct my_link *link) {
  const int socket = (int)mysql_get_socket(link->conn), flags = fcntl(socket, F_GETFL);
  if (flags >= 0) (void)fcntl(socket, F_SETFL, flags | O_NONBLOCK);
}

static MYSQL *log_in(struct my_link *link, const char *password, int64_t timeout_ms) {
  const unsigned int once_more = 1; // a read of the handshake for TLS, after it has timed out; else for ever
  const struct my_settings *settings = &link->session->settings;
  const int socket = my_settings_socket(settings);
  MYSQL *connected = NULL;
  link->deadline_ms = now_ms(link->session) + timeout_ms;
  (void)mysql_options(link->conn, MYSQL_OPT_CONNECT_TIMEOUT, &once_more);
  int status =
      mysql_real_connect_start(&connected, link->conn, socket ? NULL : settings->host, settings->user, password,
                               settings->database, (unsigned int)settings->port, socket ? settings->host : NULL, 0);
  while (status != 0) {
    const int events = my_link_wait(link, status);
    limit_reads(link);
    status = mysql_real_connect_cont(&connected, link->conn, events);
  }
  if (now_ms(link->session) >= link->deadline_ms) link->late = 1;
  link->deadline_ms = 0;
  if (connected != NULL) limit_reads(link);
  if (connected != NULL && mysql_get_ssl_cipher(link->conn) != NULL) never_block(link);
  return connected;
}

static int32_t shake_hands(struct my_link *link, const char *password, struct dray_error *error) {
  if (log_in(link, password, link->session->settings.connect_timeout_seconds * 1000) != NULL) return DRAY_OK;
  return my_fail_connect(link, error);
}

// What only some servers know, or let only some users say: a null is a null in a `timestamp` too; tables are InnoDB's,
// and need no key; a transaction that waits for a slow source is not ended.
static void say_more(struct my_link *link) {
  static const struct {
    int maria, mysql;
    const char *sql;
  } wishes[] = {
      {1, 1, "SET SESSION explicit_defaults_for_timestamp = 1"},
      {1, 0, "SET SESSION enforce_storage_engine = NULL"},
      {1, 0,
       "SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, "
       "idle_write_transaction_timeout = 0"},
      {0, 1, "SET SESSION sql_require_primary_key = 0"},
  };
  struct dray_error ignored;
  for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
    dray_error_init(&ignored);
    if (!(link->maria ? wishes[i].maria : wishes[i].mysql)) continue;
    (void)!my_link_run(link, wishes[i].sql, "setting up the session", &ignored);
  }
}

// Whether the server takes LOAD DATA LOCAL, and nulls for what they are.
static int32_t ask_for_ways(struct my_link *link, struct dray_error *error) {
  static const char doing[] = "looking at local_infile and explicit_defaults_for_timestamp";
  MYSQL_RES *result = NULL;
  say_more(link);
  DRAY_TRY(my_link_ask(link, "SELECT @@GLOBAL.local_infile, @@SESSION.explicit_defaults_for_timestamp", doing, &result,
                       error));
  MYSQL_ROW row = mysql_fetch_row(result);
  link->no_infile = row == NULL || row[0] == NULL || strcmp(row[0], "1") != 0;
  link->null_is_now = row == NULL || row[1] == NULL || strcmp(row[1], "1") != 0;
  mysql_free_result(result);
  return DRAY_OK;
}

static int32_t set_up(struct my_link *link, struct dray_error *error) {
  struct dray_buffer sql;
  int32_t code = DRAY_OK;
  const char *version = mysql_get_server_info(link->conn);
  link->maria = version != NULL && strcasestr(version, "mariadb") != NULL;
  dray_buffer_init(&sql, SESSION_SQL_BYTES_MAX);
  code = my_settings_session_sql(&link->session->settings, link->maria, &sql, error);
  for (size_t at = 0; code == DRAY_OK && at < sql.len; at += strlen(sql.data + at) + 1) {
    code = my_link_run(link, sql.data + at, "setting up the session", error);
  }
  dray_buffer_free(&sql);
  return code == DRAY_OK ? ask_for_ways(link, error) : code;
}

// A server may answer anything with the wish for a file of this machine, and the library would send it: nothing is
// handed out, but what load.c holds while it loads.
static int no_file(void **out, const char *name, void *userdata) {
  (void)name;
  (void)userdata;
  *out = NULL;
  return 1;
}

static int read_nothing(void *handle, char *out, unsigned int room) {
  (void)handle;
  (void)out;
  (void)room;
  return 0;
}

static void close_nothing(void *handle) {
  (void)handle;
}

static int say_why(void *handle, char *out, unsigned int room) {
  (void)handle;
  (void)snprintf(out, room, "the server asked for a file of this machine, and gets none");
  return CR_UNKNOWN_ERROR;
}

void my_link_refuse_files(MYSQL *conn) {
  mysql_set_local_infile_handler(conn, no_file, read_nothing, close_nothing, say_why, NULL);
}

static int32_t connect_link(struct my_link *link, struct dray_error *error) {
  struct my_session *session = link->session;
  char *password = NULL;
  link->conn = mysql_init(NULL);
  if (link->conn == NULL || mysql_options(link->conn, MYSQL_OPT_NONBLOCK, 0) != 0) return no_memory(error);
  my_link_refuse_files(link->conn);
  DRAY_TRY(my_settings_apply(&session->settings, link->conn, error));
  if (session->settings.has_password) DRAY_TRY(dray_secret_get(&session->services, "password", &password, error));
  const int32_t code = shake_hands(link, password, error);
  dray_secret_free(password);
  if (code != DRAY_OK) return code;
  keep_alive(session, link->conn);
  warn_of_tls(session, link->conn);
  return check_tls(session, link->conn, error);
}

void my_link_drop(struct my_link *link) {
  link->given_up = 1;
  (void)shutdown((int)mysql_get_socket(link->conn), SHUT_RDWR);
}

int32_t my_link_open(struct my_session *session, struct my_link **out, struct dray_error *error) {
  struct my_link *link = calloc(1, sizeof *link);
  if (link == NULL) return no_memory(error);
  link->session = session;
  int32_t code = connect_link(link, error);
  if (code != DRAY_OK) {
    close_conn(link);
    free(link);
    return code;
  }
  pthread_mutex_lock(&session->lock);
  link->next = session->links;
  session->links = link;
  pthread_mutex_unlock(&session->lock);
  code = set_up(link, error);
  if (code != DRAY_OK) {
    my_link_free(link);
    return code;
  }
  *out = link;
  return DRAY_OK;
}

void my_link_free(struct my_link *link) {
  if (link == NULL) return;
  struct my_session *session = link->session;
  pthread_mutex_lock(&session->lock);
  struct my_link **at = &session->links;
  while (*at != link) at = &(*at)->next;
  *at = link->next;
  pthread_mutex_unlock(&session->lock);
  close_conn(link);
  free(link);
}
