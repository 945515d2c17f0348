// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A link is one connection to the server. It never blocks inside libpq but for the look-up of a host's name: every wait
// is a poll here, which sees a cancel. Links of one instance hang in its session, so that another thread can cancel
// what they work on.
#ifndef POSTGRES_LINK_H
#define POSTGRES_LINK_H

#include <libpq-fe.h>
#include <pthread.h>

#include "settings.h"

struct pg_link;

// What all links of an instance share.
struct pg_session {
  struct dray_services services;
  struct pg_settings settings;
  struct dray_buffer local_sql; // settings of each transaction
  pthread_mutex_t lock;         // for what follows
  pthread_cond_t cancelled;
  struct pg_link *links;
  int cancels; // requests under way in other threads
};
DRAY_NODISCARD int32_t pg_session_init(struct pg_session *session, const struct dray_host *host,
                                       struct dray_str config_json, struct dray_error *error);
void pg_session_free(struct pg_session *session);
// Asks the server to give up what the links work on. Any thread; blocks as long as a connection takes, 2 s at most.
void pg_session_interrupt(struct pg_session *session);
// The same for one link, by the thread that uses it.
void pg_session_cancel(struct pg_link *link);

// What a statement was for: it decides what the server's refusal means.
enum {
  PG_FOR_QUERY = 1, // the operator's SQL, read only
  PG_FOR_STATEMENT, // SQL that the host generated
  PG_FOR_LOAD,      // rows
  PG_FOR_OURSELVES, // SQL of this plugin
};

struct pg_link {
  struct pg_session *session;
  PGconn *conn;
  struct pg_link *next; // in the session
  int working;          // under the session's lock: there is something to cancel
  int cancelled;        // under the session's lock: the server was asked to give it up
  int64_t cancel_since_ms;
  int must_end; // a commit: it is not cancelled
  int closing;  // what is waited for is not wanted any more
};

// Connects and logs in. @errors NET_*, AUTH_*, CONFIG_VALUE, BUSY, CANCELLED.
DRAY_NODISCARD int32_t pg_link_open(struct pg_session *session, struct pg_link **out, struct dray_error *error);
// The same, as a connection for replication of the database: for replication commands, and SQL by pg_link_run only.
// @errors besides: AUTH_FORBIDDEN for a role without REPLICATION.
DRAY_NODISCARD int32_t pg_link_open_log(struct pg_session *session, struct pg_link **out, struct dray_error *error);
void pg_link_free(struct pg_link *link); // NULL is allowed
int pg_link_broken(const struct pg_link *link);

// Around everything that the server works on: between them a cancel reaches it.
void pg_link_start(struct pg_link *link);
void pg_link_settle(struct pg_link *link);

// Sends what libpq holds, all of it.
DRAY_NODISCARD int32_t pg_link_flush(struct pg_link *link, const char *doing, struct dray_error *error);
// Waits until the socket can be read and reads.
DRAY_NODISCARD int32_t pg_link_read(struct pg_link *link, const char *doing, struct dray_error *error);
// The same where much is to come. The server sends pieces of 8 KiB, and waiting for each costs both sides dear: when
// there is nothing to read yet, it sleeps 0.4 ms, in which they gather.
DRAY_NODISCARD int32_t pg_link_gather(struct pg_link *link, const char *doing, struct dray_error *error);
// The same, waiting for timeout_ms at the most; *out_came = 0: nothing has come.
DRAY_NODISCARD int32_t pg_link_wait(struct pg_link *link, int64_t timeout_ms, const char *doing, int *out_came,
                                    struct dray_error *error);
// The next result of what was sent, NULL at its end. The caller clears it. A result may be an error.
DRAY_NODISCARD int32_t pg_link_result(struct pg_link *link, const char *doing, PGresult **out,
                                      struct dray_error *error);
// Runs what was sent to its end. *out (NULL allowed): the last result, to be cleared by the caller. `ok` is whether
// sending it worked; `sql` is what positions in messages are counted in, NULL: none.
DRAY_NODISCARD int32_t pg_link_finish(struct pg_link *link, int ok, int purpose, const char *sql, const char *doing,
                                      PGresult **out, struct dray_error *error);
// Statements of our own without parameters or results, by the simple protocol.
DRAY_NODISCARD int32_t pg_link_run(struct pg_link *link, const char *sql, const char *doing, struct dray_error *error);
// One query of our own with text parameters (NULL: null); the result is whole and text.
DRAY_NODISCARD int32_t pg_link_ask(struct pg_link *link, const char *sql, int param_count, const char *const *params,
                                   const char *doing, PGresult **out, struct dray_error *error);
// Begins a transaction with the session's settings.
DRAY_NODISCARD int32_t pg_link_begin(struct pg_link *link, int read_only, struct dray_error *error);
// Ends the transaction, whatever state it is in. Cannot fail: at worst the link is broken, which ends it too.
void pg_link_rollback(struct pg_link *link);

// ---- fault.c ----

// Turns a result that is an error into dray's. `doing` begins the sentence.
int32_t pg_fail(const struct pg_link *link, const PGresult *result, int purpose, const char *sql, const char *doing,
                struct dray_error *error);
// The connection is gone, or could not be used.
int32_t pg_fail_lost(const struct pg_link *link, const char *doing, struct dray_error *error);
// The connection could not be made.
int32_t pg_fail_connect(const struct pg_session *session, const PGconn *conn, struct dray_error *error);

#endif // POSTGRES_LINK_H
