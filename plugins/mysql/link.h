// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A link is one connection to the server. It never blocks inside libmariadb but for the look-up of a host's name, and
// for the handshake for TLS, whose reads end at the deadline or with a signal: every other wait is a poll here, which
// sees a cancel. Links of one instance hang in its session, so that another thread can have the server give up what
// they work on.
#ifndef MYSQL_LINK_H
#define MYSQL_LINK_H

#include <pthread.h>

#include "settings.h"

struct my_link;

// What all links of an instance share.
struct my_session {
  struct dray_services services;
  struct my_settings settings;
  pthread_mutex_t lock; // for what follows
  pthread_cond_t cancelled;
  struct my_link *links;
  int cancels; // requests under way in other threads
  int unheard; // a request found nobody who answers: no other is made
};
DRAY_NODISCARD int32_t my_session_init(struct my_session *session, const struct dray_host *host,
                                       struct dray_str config_json, struct dray_error *error);
void my_session_free(struct my_session *session);
// Has the server give up what the links work on, over a connection of its own. Any thread; blocks for as long as such a
// connection takes, some seconds at most.
void my_session_interrupt(struct my_session *session);
// The same for one link, by the thread that uses it.
void my_session_cancel(struct my_link *link);

// What a statement was for: it decides what the server's refusal means.
enum {
  MY_FOR_QUERY = 1, // the operator's SQL, read only
  MY_FOR_STATEMENT, // SQL that the host generated
  MY_FOR_LOAD,      // rows
  MY_FOR_OURSELVES, // SQL of this plugin
};

struct my_link {
  struct my_session *session;
  MYSQL *conn;          // NULL: given up
  struct my_link *next; // in the session
  int working;          // under the session's lock: there is something to cancel
  int cancelled;        // under the session's lock: the server was asked to give it up
  int64_t cancel_since_ms;
  int64_t deadline_ms; // while connecting; 0: none
  int late;            // it passed
  int messenger;       // it carries a cancel, and goes on when the run is to end
  int closing;         // what is waited for is not wanted any more
  int silent;          // a wait was longer than a server that is there would make it
  int must_end;        // a commit: it is not cancelled
  int given_up;        // a wait ended without an answer: nothing more can be said on it
  int maria;           // the server is MariaDB
  int no_infile;       // it refuses LOAD DATA LOCAL
  int null_is_now;     // it writes the time of day for a null in a timestamp that is NOT NULL, and says nothing
};

// Connects, logs in and sets up the session. @errors NET_*, AUTH_*, CONFIG_VALUE, BUSY, CANCELLED.
DRAY_NODISCARD int32_t my_link_open(struct my_session *session, struct my_link **out, struct dray_error *error);
void my_link_free(struct my_link *link); // NULL is allowed
// The connection is gone, or the last error said so.
int my_link_broken(const struct my_link *link);

// From here on a server that asks for a file gets none. Every connection begins so.
void my_link_refuse_files(MYSQL *conn);

// Gives the connection up, whatever the server is doing on it.
void my_link_drop(struct my_link *link);

// Around everything that the server works on: between them a cancel reaches it.
void my_link_start(struct my_link *link);
void my_link_settle(struct my_link *link);

// For the loops over libmariadb's *_start and *_cont: waits for what `status` asks for and returns what came of it.
int my_link_wait(struct my_link *link, int status);

// Sends one statement by the text protocol; a result of it is there to be fetched. Between start and settle.
DRAY_NODISCARD int32_t my_link_query(struct my_link *link, struct dray_str sql, int purpose, const char *doing,
                                     struct dray_error *error);
// Reads what it returned, if anything, and forgets it.
DRAY_NODISCARD int32_t my_link_drop_result(struct my_link *link, int purpose, const char *doing,
                                           struct dray_error *error);
// Statements of our own without parameters or results.
DRAY_NODISCARD int32_t my_link_run(struct my_link *link, const char *sql, const char *doing, struct dray_error *error);
// One query of our own; the result is whole, and freed by the caller with mysql_free_result.
DRAY_NODISCARD int32_t my_link_ask(struct my_link *link, const char *sql, const char *doing, MYSQL_RES **out,
                                   struct dray_error *error);
// Fails with the first warning of the last statement that is `number`, 0: any; DRAY_OK: there is none.
DRAY_NODISCARD int32_t my_link_warned(struct my_link *link, unsigned int number, int purpose, const char *doing,
                                      struct dray_error *error);
// A statement for the server to keep. Between start and settle; closed with my_stmt_close, also when this fails.
DRAY_NODISCARD int32_t my_stmt_prepare(struct my_link *link, struct dray_str sql, int purpose, const char *doing,
                                       MYSQL_STMT **out, struct dray_error *error);
DRAY_NODISCARD int32_t my_stmt_execute(struct my_link *link, MYSQL_STMT *statement, int purpose, const char *doing,
                                       struct dray_error *error);
void my_stmt_close(struct my_link *link, MYSQL_STMT *statement); // NULL is allowed

DRAY_NODISCARD int32_t my_link_begin(struct my_link *link, int read_only, struct dray_error *error);
// Ends the transaction, whatever state it is in. Cannot fail: at worst the link is broken, which ends it too.
void my_link_rollback(struct my_link *link);
// After a cancel that may have come too late for the statement it was meant for: makes sure that it hits no other.
void my_link_cleanse(struct my_link *link);

// `name` with backticks doubled. @errors SCHEMA_NAME.
DRAY_NODISCARD int32_t my_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error);
// `schema`.`table`, or `table` without a schema.
DRAY_NODISCARD int32_t my_quote_table(struct dray_str schema, struct dray_str table, struct dray_buffer *out,
                                      struct dray_error *error);

// ---- fault.c ----

// What the server or libmariadb said last, on the connection or about a statement.
struct my_refusal {
  unsigned int number;
  const char *state, *text;
};
struct my_refusal my_refusal_of(const struct my_link *link, MYSQL_STMT *statement);
// Turns it into dray's. `doing` begins the sentence.
int32_t my_fail(const struct my_link *link, struct my_refusal refusal, int purpose, const char *doing,
                struct dray_error *error);
// The connection is gone, or could not be used.
int32_t my_fail_lost(const struct my_link *link, const char *doing, struct dray_error *error);
// The connection could not be made.
int32_t my_fail_connect(const struct my_link *link, struct dray_error *error);

#endif // MYSQL_LINK_H
