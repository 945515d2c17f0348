// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Talking with a walsender: starting to stream, what is confirmed, and the answers it asks for.
// https://www.postgresql.org/docs/current/protocol-replication.html
#include <stdlib.h>

#include "source.h"

#define DOING "following the server's log"
#define SQL_BYTES_MAX 1024
#define STATUS_BYTES 34
#define DATA_HEAD_BYTES 25
#define KEEPALIVE_BYTES 18
#define BUSY_PATIENCE_MS 10000
#define BUSY_PAUSE_MS 200
#define ASK_FIRST_MS 10
#define ASK_EVERY_MS 1000

static int64_t now_ms(const struct pg_link *link) {
  const struct dray_clock_service *clock = link->session->services.clock;
  return clock->monotonic_ms(clock->ctx);
}

// ---- what the server is told ----

// Only what the host made durable is confirmed: what lies before it is never asked for again, and the server may throw
// it away. `ask`: an answer is wanted.
static int32_t send_status(struct pg_follow *follow, int ask, struct dray_error *error) {
  char message[STATUS_BYTES] = {'r'};
  pg_put64(message + 1, follow->confirmed);  // written
  pg_put64(message + 9, follow->confirmed);  // durable
  pg_put64(message + 17, follow->confirmed); // applied
  pg_put64(message + 25, 0);                 // our clock: not looked at
  message[33] = (char)ask;
  if (PQputCopyData(follow->link->conn, message, STATUS_BYTES) <= 0) return pg_fail_lost(follow->link, DOING, error);
  if (ask) follow->asked_ms = now_ms(follow->link);
  return pg_link_flush(follow->link, DOING, error);
}

// ---- starting ----

static int32_t write_start(const struct pg_place *place, struct dray_buffer *sql, struct dray_error *error) {
  char lsn[PG_LSN_BYTES];
  DRAY_TRY(dray_buffer_printf(sql, error,
                              "START_REPLICATION SLOT \"%s\" LOGICAL %s (proto_version '1', binary 'true', "
                              "publication_names '",
                              place->slot, pg_lsn_format(place->lsn, lsn)));
  struct dray_buffer quoted;
  dray_buffer_init(&quoted, SQL_BYTES_MAX);
  int32_t code = pg_quote(dray_str_of(place->publication), &quoted, error);
  for (size_t i = 0; code == DRAY_OK && i < quoted.len; i++) { // an identifier inside a literal
    if (quoted.data[i] == '\'') code = dray_buffer_append_char(sql, '\'', error);
    if (code == DRAY_OK) code = dray_buffer_append_char(sql, quoted.data[i], error);
  }
  dray_buffer_free(&quoted);
  return code == DRAY_OK ? dray_buffer_append_str(sql, "')", error) : code;
}

static int32_t try_start(struct pg_link *link, const char *sql, struct dray_error *error) {
  PGresult *result = NULL;
  pg_link_start(link);
  int32_t code = pg_link_finish(link, PQsendQuery(link->conn, sql), PG_FOR_OURSELVES, NULL, DOING, &result, error);
  if (code == DRAY_OK && PQresultStatus(result) != PGRES_COPY_BOTH) code = pg_fail_lost(link, DOING, error);
  PQclear(result);
  if (code != DRAY_OK) pg_link_settle(link);
  return code;
}

// A run that was killed may still have its walsender, for as long as the server takes to notice.
static int32_t start(struct pg_link *link, const char *sql, struct dray_error *error) {
  const int64_t until = now_ms(link) + BUSY_PATIENCE_MS;
  int came = 0;
  for (;;) {
    struct dray_error why;
    dray_error_init(&why);
    const int32_t code = try_start(link, sql, &why);
    if (code == DRAY_OK) return DRAY_OK;
    if (code != DRAY_E_BUSY || now_ms(link) > until || pg_link_broken(link)) {
      if (error != NULL) *error = why;
      return code;
    }
    DRAY_TRY(pg_link_wait(link, BUSY_PAUSE_MS, DOING, &came, error));
    DRAY_TRY(dray_cancel_check(&link->session->services, error));
  }
}

int32_t pg_follow_start(struct dray_source *source, const struct pg_place *place, int look, struct pg_follow *out,
                        struct dray_error *error) {
  struct pg_follow follow = {.confirmed = look ? 0 : place->lsn, .patience_ms = ASK_FIRST_MS};
  struct dray_buffer sql;
  DRAY_TRY(pg_link_open_log(&source->engine->session, &follow.link, error));
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_start(place, &sql, error);
  if (code == DRAY_OK) code = start(follow.link, sql.data, error);
  if (code == DRAY_OK) code = send_status(&follow, 1, error);
  dray_buffer_free(&sql);
  if (code != DRAY_OK) {
    pg_follow_end(&follow);
    return code;
  }
  *out = follow;
  return DRAY_OK;
}

// The server ends its side when ours is gone: nothing is said that would confirm anything.
void pg_follow_end(struct pg_follow *follow) {
  if (follow->link != NULL) pg_link_settle(follow->link);
  pg_link_free(follow->link);
  follow->link = NULL;
}

// ---- what the server says ----

static int32_t unknown(struct dray_error *error) {
  return dray_fail(error, DRAY_E_INTERNAL, DOING ": the server sent what no walsender sends");
}

static int32_t take_keepalive(struct pg_follow *follow, const char *row, int len, uint64_t *out_reached,
                              struct dray_error *error) {
  if (len < KEEPALIVE_BYTES) return unknown(error);
  *out_reached = pg_get64(row + 1);
  return row[17] != 0 ? send_status(follow, 0, error) : DRAY_OK;
}

// The stream ended: with an error, or because the server shuts down.
static int32_t ended(struct pg_follow *follow, struct dray_error *error) {
  PGresult *result = NULL;
  DRAY_TRY(pg_link_result(follow->link, DOING, &result, error));
  int32_t code;
  if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const int publication = state != NULL && strcmp(state, "42704") == 0;
    code = pg_fail(follow->link, result, PG_FOR_OURSELVES, NULL, DOING, error);
    if (publication) {
      code =
          dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                    DOING ": the publication was not there when changes were made, which cannot be told any more (%s)",
                    PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    }
  } else {
    code = dray_fail(error, DRAY_E_NET_CLOSED, DOING ": the server ended it");
  }
  PQclear(result);
  return code;
}

int32_t pg_follow_next(struct pg_follow *follow, int64_t timeout_ms, char **out_row, struct dray_str *out_data,
                       uint64_t *out_reached, struct dray_error *error) {
  struct pg_link *link = follow->link;
  char *row = NULL;
  int came = 0;
  *out_row = NULL;
  *out_reached = 0;
  int len = PQgetCopyData(link->conn, &row, 1);
  if (len == 0) {
    if (now_ms(link) - follow->asked_ms >= follow->patience_ms) {
      DRAY_TRY(send_status(follow, 1, error));
      follow->patience_ms = follow->patience_ms * 2 < ASK_EVERY_MS ? follow->patience_ms * 2 : ASK_EVERY_MS;
    }
    DRAY_TRY(
        pg_link_wait(link, timeout_ms < follow->patience_ms ? timeout_ms : follow->patience_ms, DOING, &came, error));
    if (!came) return DRAY_OK;
    len = PQgetCopyData(link->conn, &row, 1);
    if (len == 0) return DRAY_OK;
  }
  if (len == -1) return ended(follow, error);
  if (len < 0) return pg_fail_lost(link, DOING, error);
  int32_t code = DRAY_OK;
  if (row[0] == 'w' && len >= DATA_HEAD_BYTES) {
    *out_data = dray_str_make(row + DATA_HEAD_BYTES, (uint64_t)(len - DATA_HEAD_BYTES));
    *out_row = row;
    return DRAY_OK;
  }
  code = row[0] == 'k' ? take_keepalive(follow, row, len, out_reached, error) : unknown(error);
  PQfreemem(row);
  return code;
}
