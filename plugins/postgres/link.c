// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Connecting, waiting, cancelling and the short statements of a link. Knows no tables.
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCAL_SQL_BYTES_MAX 1024
#define SLICE_MS 100    // between two looks at the cancel flag
#define PATIENCE_MS 600 // for the server's answer to a cancel; then the link is dropped
#define COMMIT_PATIENCE_MS 5000
#define CLOSING_PATIENCE_MS 5000
#define CANCEL_MS 2000 // for the requests to get through
#define CANCELS_MAX 8
#define GATHER_NS 400000 // a socket of this machine holds about 200 kB: a server that fills it waits

// ---- the session ----

int32_t pg_session_init(struct pg_session *session, const struct dray_host *host, struct dray_str config_json,
                        struct dray_error *error) {
  memset(session, 0, sizeof *session);
  dray_buffer_init(&session->local_sql, LOCAL_SQL_BYTES_MAX);
  DRAY_TRY(dray_services_init(&session->services, host, error));
  DRAY_TRY(pg_settings_bind(config_json, &session->settings, error));
  int32_t code = pg_settings_local_sql(&session->settings, &session->local_sql, error);
  if (code != DRAY_OK) {
    dray_buffer_free(&session->local_sql);
    pg_settings_release(&session->settings);
    return code;
  }
  (void)pthread_mutex_init(&session->lock, NULL);
  (void)pthread_cond_init(&session->cancelled, NULL);
  return DRAY_OK;
}

void pg_session_free(struct pg_session *session) {
  (void)pthread_cond_destroy(&session->cancelled);
  (void)pthread_mutex_destroy(&session->lock);
  dray_buffer_free(&session->local_sql);
  pg_settings_release(&session->settings);
}

static int64_t now_ms(const struct pg_session *session) {
  const struct dray_clock_service *clock = session->services.clock;
  return clock->monotonic_ms(clock->ctx);
}

// libpq's request is on a socket of its own that blocks, without a limit or a way to set one. PQcancel may be called by
// signal handlers, and so in a process of its own, which can be ended where nobody answers.
static pid_t start_request(PGcancel *request) {
  char ignored[256];
  const pid_t parent = getpid(), pid = fork();
  if (pid != 0) return pid;
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) (void)PQcancel(request, ignored, sizeof ignored);
  _exit(0);
}

static void ask_all(const struct pg_session *session, PGcancel *const *requests, size_t count) {
  const struct timespec moment = {0, 5000000};
  const int64_t until = now_ms(session) + CANCEL_MS;
  pid_t asking[CANCELS_MAX];
  for (size_t i = 0; i < count; i++) asking[i] = start_request(requests[i]);
  for (size_t i = 0; i < count; i++) {
    if (asking[i] < 0) continue; // the link is dropped soon
    while (waitpid(asking[i], NULL, WNOHANG) == 0) {
      if (now_ms(session) >= until) (void)kill(asking[i], SIGKILL);
      (void)nanosleep(&moment, NULL);
    }
  }
}

// The request goes over a connection of its own, which may take long: the lock is not held meanwhile. What the request
// needs is copied, so the links may go.
static void interrupt(struct pg_session *session, const struct pg_link *only) {
  PGcancel *requests[CANCELS_MAX];
  size_t count = 0;
  pthread_mutex_lock(&session->lock);
  for (struct pg_link *link = session->links; link != NULL && count < CANCELS_MAX; link = link->next) {
    if (!link->working || link->cancelled || link->must_end || (only != NULL && only != link)) continue;
    requests[count] = PQgetCancel(link->conn);
    if (requests[count] == NULL) continue;
    count++;
    link->cancelled = 1;
  }
  session->cancels += (int)count;
  pthread_mutex_unlock(&session->lock);
  ask_all(session, requests, count);
  for (size_t i = 0; i < count; i++) PQfreeCancel(requests[i]);
  if (count == 0) return;
  pthread_mutex_lock(&session->lock);
  session->cancels -= (int)count;
  pthread_cond_broadcast(&session->cancelled);
  pthread_mutex_unlock(&session->lock);
}

void pg_session_interrupt(struct pg_session *session) {
  interrupt(session, NULL);
}

void pg_session_cancel(struct pg_link *link) {
  interrupt(link->session, link);
}

void pg_link_start(struct pg_link *link) {
  pthread_mutex_lock(&link->session->lock);
  link->working = 1;
  link->cancelled = 0;
  pthread_mutex_unlock(&link->session->lock);
  link->cancel_since_ms = 0;
}

static void drop(struct pg_link *link) {
  pthread_mutex_lock(&link->session->lock);
  PQfinish(link->conn);
  link->conn = NULL;
  link->working = 0;
  pthread_mutex_unlock(&link->session->lock);
}

// A request that is still on its way would hit the next statement: it is waited for.
void pg_link_settle(struct pg_link *link) {
  struct pg_session *session = link->session;
  struct timespec until;
  int late = 0;
  pthread_mutex_lock(&session->lock);
  link->working = 0;
  if (link->cancelled) {
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    while (session->cancels > 0 && !late) {
      late = pthread_cond_timedwait(&session->cancelled, &session->lock, &until) != 0;
    }
  }
  pthread_mutex_unlock(&session->lock);
  if (late) drop(link);
}

// ---- waiting ----

int pg_link_broken(const struct pg_link *link) {
  return link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD;
}

// The run was asked to end. The first time the server is told (nobody else may have); later the link is given up.
static int32_t heed_cancel(struct pg_link *link, const char *doing, struct dray_error *error) {
  const int64_t now = now_ms(link->session);
  if (link->cancel_since_ms == 0) {
    link->cancel_since_ms = now > 0 ? now : 1;
    if (!link->must_end) pg_session_interrupt(link->session);
    return DRAY_OK;
  }
  if (now - link->cancel_since_ms <= (link->must_end ? COMMIT_PATIENCE_MS : PATIENCE_MS)) return DRAY_OK;
  const int must_end = link->must_end;
  drop(link);
  if (must_end) return pg_fail_lost(link, doing, error);
  return dray_fail(error, DRAY_E_CANCELLED, "%s was cancelled, and the server did not answer any more", doing);
}

// One look at the socket, of a slice at the most.
static int32_t look(struct pg_link *link, short events, int slice_ms, const char *doing, int *out_ready,
                    struct dray_error *error) {
  struct pollfd socket = {.fd = PQsocket(link->conn), .events = events};
  if (socket.fd < 0) return pg_fail_lost(link, doing, error);
  const int ready = poll(&socket, 1, slice_ms);
  if (ready < 0 && errno != EINTR) return pg_fail_lost(link, doing, error);
  *out_ready = ready > 0;
  return ready <= 0 && dray_cancelled(&link->session->services) ? heed_cancel(link, doing, error) : DRAY_OK;
}

// Who keeps the connection, acknowledges everything and says nothing may be a server at work: only the operator knows
// how long that may take.
static int32_t heed_silence(struct pg_link *link, int64_t since, const char *doing, struct dray_error *error) {
  const struct pg_settings *settings = &link->session->settings;
  const int64_t most = link->closing ? CLOSING_PATIENCE_MS : settings->answer_timeout_seconds * 1000;
  if (most == 0 || now_ms(link->session) - since <= most) return DRAY_OK;
  if (!link->must_end) pg_session_cancel(link); // it may be at work all the same
  drop(link);
  return dray_fail(error, DRAY_E_NET_TIMEOUT,
                   "%s: nothing came from %s for %lld s (answer_timeout_seconds), and the connection was given up",
                   doing, settings->host, (long long)(most / 1000));
}

// Waits until the socket is ready for one of `events`.
static int32_t wait_for(struct pg_link *link, short events, const char *doing, struct dray_error *error) {
  const int64_t since = now_ms(link->session);
  int ready = 0;
  for (;;) {
    DRAY_TRY(look(link, events, SLICE_MS, doing, &ready, error));
    if (ready) return DRAY_OK;
    DRAY_TRY(heed_silence(link, since, doing, error));
  }
}

int32_t pg_link_flush(struct pg_link *link, const char *doing, struct dray_error *error) {
  for (;;) {
    const int left = PQflush(link->conn);
    if (left == 0) return DRAY_OK;
    if (left < 0) return pg_fail_lost(link, doing, error);
    DRAY_TRY(wait_for(link, POLLIN | POLLOUT, doing, error));
    // What the server says must be read, or both sides would wait for the other to read.
    if (PQconsumeInput(link->conn) == 0) return pg_fail_lost(link, doing, error);
  }
}

int32_t pg_link_read(struct pg_link *link, const char *doing, struct dray_error *error) {
  DRAY_TRY(wait_for(link, POLLIN, doing, error));
  return PQconsumeInput(link->conn) != 0 ? DRAY_OK : pg_fail_lost(link, doing, error);
}

int32_t pg_link_gather(struct pg_link *link, const char *doing, struct dray_error *error) {
  const struct timespec moment = {0, GATHER_NS};
  struct pollfd socket = {.fd = PQsocket(link->conn), .events = POLLIN};
  if (socket.fd >= 0 && poll(&socket, 1, 0) == 0) (void)nanosleep(&moment, NULL);
  return pg_link_read(link, doing, error);
}

int32_t pg_link_wait(struct pg_link *link, int64_t timeout_ms, const char *doing, int *out_came,
                     struct dray_error *error) {
  const int64_t until = now_ms(link->session) + timeout_ms;
  int ready = 0;
  *out_came = 0;
  while (!ready) {
    const int64_t left = until - now_ms(link->session);
    if (left <= 0) return DRAY_OK;
    DRAY_TRY(look(link, POLLIN, left < SLICE_MS ? (int)left : SLICE_MS, doing, &ready, error));
  }
  *out_came = 1;
  return PQconsumeInput(link->conn) != 0 ? DRAY_OK : pg_fail_lost(link, doing, error);
}

int32_t pg_link_result(struct pg_link *link, const char *doing, PGresult **out, struct dray_error *error) {
  DRAY_TRY(pg_link_flush(link, doing, error));
  while (PQisBusy(link->conn)) DRAY_TRY(pg_link_read(link, doing, error));
  *out = PQgetResult(link->conn);
  return DRAY_OK;
}

// ---- statements ----

static int is_error(const PGresult *result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

static int is_copy(const PGresult *result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

// All results, the last one kept, the first error told. A COPY is where it stops: the caller goes on from there.
static int32_t collect(struct pg_link *link, int purpose, const char *sql, const char *doing, PGresult **out,
                       struct dray_error *error) {
  PGresult *last = NULL, *result = NULL;
  int32_t code = DRAY_OK;
  for (;;) {
    const int32_t got = pg_link_result(link, doing, &result, code == DRAY_OK ? error : NULL);
    if (got != DRAY_OK) {
      PQclear(last);
      return code != DRAY_OK ? code : got;
    }
    if (result == NULL) break;
    PQclear(last);
    last = result;
    if (is_error(result) && code == DRAY_OK) code = pg_fail(link, result, purpose, sql, doing, error);
    if (is_copy(result)) break;
  }
  if (code == DRAY_OK && last == NULL) code = pg_fail_lost(link, doing, error);
  if (code != DRAY_OK || out == NULL) {
    PQclear(last);
    return code;
  }
  *out = last;
  return DRAY_OK;
}

int32_t pg_link_finish(struct pg_link *link, int ok, int purpose, const char *sql, const char *doing, PGresult **out,
                       struct dray_error *error) {
  if (!ok) return pg_fail_lost(link, doing, error);
  return collect(link, purpose, sql, doing, out, error);
}

int32_t pg_link_run(struct pg_link *link, const char *sql, const char *doing, struct dray_error *error) {
  if (link->conn == NULL) return pg_fail_lost(link, doing, error);
  pg_link_start(link);
  const int32_t code = pg_link_finish(link, PQsendQuery(link->conn, sql), PG_FOR_OURSELVES, NULL, doing, NULL, error);
  pg_link_settle(link);
  return code;
}

int32_t pg_link_ask(struct pg_link *link, const char *sql, int param_count, const char *const *params,
                    const char *doing, PGresult **out, struct dray_error *error) {
  if (link->conn == NULL) return pg_fail_lost(link, doing, error);
  pg_link_start(link);
  const int ok = PQsendQueryParams(link->conn, sql, param_count, NULL, params, NULL, NULL, 0);
  const int32_t code = pg_link_finish(link, ok, PG_FOR_OURSELVES, NULL, doing, out, error);
  pg_link_settle(link);
  return code;
}

int32_t pg_link_begin(struct pg_link *link, int read_only, struct dray_error *error) {
  struct dray_buffer sql;
  dray_buffer_init(&sql, 2 * LOCAL_SQL_BYTES_MAX);
  int32_t code = dray_buffer_printf(&sql, error, "BEGIN ISOLATION LEVEL READ COMMITTED %s; ",
                                    read_only ? "READ ONLY" : "READ WRITE");
  if (code == DRAY_OK) {
    code = dray_buffer_append(&sql, link->session->local_sql.data, link->session->local_sql.len, error);
  }
  if (code == DRAY_OK) code = pg_link_run(link, sql.data, "beginning a transaction", error);
  if (code != DRAY_OK) pg_link_rollback(link);
  dray_buffer_free(&sql);
  return code;
}

void pg_link_rollback(struct pg_link *link) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  if (pg_link_broken(link)) return;
  const PGTransactionStatusType status = PQtransactionStatus(link->conn);
  if (status == PQTRANS_IDLE) return;
  if (status == PQTRANS_ACTIVE || pg_link_run(link, "ROLLBACK", "rolling back", &ignored) != DRAY_OK) {
    if (link->conn != NULL) drop(link); // closing the connection is a rollback too
  }
}

// ---- opening ----

static void take_notice(void *ctx, const PGresult *result) {
  const struct pg_session *session = ctx;
  const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (text != NULL) dray_log_printf(&session->services, DRAY_LOG_DEBUG, "%s", text);
}

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a connection");
}

// Drives the handshake. libpq's own limit is only for its blocking calls.
static int32_t shake_hands(struct pg_session *session, PGconn *conn, struct dray_error *error) {
  const int64_t deadline = now_ms(session) + session->settings.connect_timeout_seconds * 1000;
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {
    struct pollfd socket = {.fd = PQsocket(conn), .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
    if (status == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD || socket.fd < 0) {
      return pg_fail_connect(session, conn, error);
    }
    const int ready = poll(&socket, 1, SLICE_MS);
    if (ready < 0 && errno != EINTR) return pg_fail_connect(session, conn, error);
    DRAY_TRY(dray_cancel_check(&session->services, error));
    if (ready > 0) {
      status = PQconnectPoll(conn);
      continue;
    }
    if (now_ms(session) < deadline) continue;
    return dray_fail_field(error, DRAY_E_NET_TIMEOUT, "host",
                           "%s port %lld did not let us in within %lld s (connect_timeout_seconds)",
                           session->settings.host, (long long)session->settings.port,
                           (long long)session->settings.connect_timeout_seconds);
  }
  return DRAY_OK;
}

static void warn_of_tls(const struct pg_session *session, PGconn *conn) {
  const char *mode = pg_settings_sslmode(&session->settings);
  if (pg_settings_local(&session->settings) || strcmp(mode, "verify-full") == 0) return;
  dray_log_printf(&session->services, DRAY_LOG_WARN,
                  "sslmode %s: %s; sslmode verify-full makes sure that the server is the one it should be", mode,
                  PQsslInUse(conn) ? "the connection is encrypted, but the server's name is not checked"
                                   : "the connection to the server is not encrypted");
}

// A run that works on what it has read does not listen for as long as that takes: the server must not think it dead.
// Whether it is there at all is left to TCP.
static void put_log_keywords(struct pg_keywords *keywords) {
  size_t n = 0;
  while (keywords->names[n] != NULL) n++;
  if (n + 3 > PG_KEYWORDS_MAX) return;
  keywords->names[n] = "replication";
  keywords->values[n++] = "database";
  keywords->names[n] = "options";
  keywords->values[n] = "-c wal_sender_timeout=0 -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 "
                        "-c tcp_keepalives_count=3";
}

static int32_t connect_to(struct pg_session *session, int log, PGconn **out, struct dray_error *error) {
  struct pg_keywords keywords;
  char *password = NULL;
  if (session->settings.has_password) DRAY_TRY(dray_secret_get(&session->services, "password", &password, error));
  pg_settings_keywords(&session->settings, password, &keywords);
  if (log) put_log_keywords(&keywords);
  PGconn *conn = PQconnectStartParams(keywords.names, keywords.values, 0);
  dray_secret_free(password);
  if (conn == NULL) return no_memory(error);
  (void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); // a refused login is known by the code in its text only
  (void)PQsetNoticeReceiver(conn, take_notice, session);
  int32_t code = shake_hands(session, conn, error);
  (void)PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
  if (code == DRAY_OK && PQsetnonblocking(conn, 1) != 0) code = no_memory(error);
  if (code != DRAY_OK) {
    PQfinish(conn);
    return code;
  }
  warn_of_tls(session, conn);
  *out = conn;
  return DRAY_OK;
}

static int32_t open_link(struct pg_session *session, int log, struct pg_link **out, struct dray_error *error) {
  struct pg_link *link = calloc(1, sizeof *link);
  if (link == NULL) return no_memory(error);
  link->session = session;
  const int32_t code = connect_to(session, log, &link->conn, error);
  if (code != DRAY_OK) {
    free(link);
    return code;
  }
  pthread_mutex_lock(&session->lock);
  link->next = session->links;
  session->links = link;
  pthread_mutex_unlock(&session->lock);
  *out = link;
  return DRAY_OK;
}

int32_t pg_link_open(struct pg_session *session, struct pg_link **out, struct dray_error *error) {
  return open_link(session, 0, out, error);
}

int32_t pg_link_open_log(struct pg_session *session, struct pg_link **out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t code = open_link(session, 1, out, &why);
  if (code == DRAY_E_AUTH_FORBIDDEN) {
    return dray_fail_field(error, code, "user",
                           "the role may not follow the server's log: ALTER ROLE \"%s\" REPLICATION",
                           session->settings.user);
  }
  if (code != DRAY_OK && error != NULL) *error = why;
  return code;
}

void pg_link_free(struct pg_link *link) {
  if (link == NULL) return;
  struct pg_session *session = link->session;
  pthread_mutex_lock(&session->lock);
  struct pg_link **at = &session->links;
  while (*at != link) at = &(*at)->next;
  *at = link->next;
  pthread_mutex_unlock(&session->lock);
  PQfinish(link->conn);
  free(link);
}
