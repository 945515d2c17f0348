// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A query as a stream of batches. The server first describes the result, which decides the types; then the rows come by
// COPY in binary, in a read-only transaction. What COPY does not take (SHOW, EXPLAIN ...) comes row by row as text.
// Memory does not grow with the result.
#include <stdlib.h>

#include "warehouse.h"

#define SQL_BYTES_MAX (16u << 20)
#define COPY_HEAD_BYTES 19 // signature, flags, length of the extension
#define DOING "the query failed"

struct pg_reading {
  struct dray_warehouse *warehouse; // while the link is its own
  struct pg_session *session;
  struct pg_link *link; // NULL at the end
  int own;              // in a transaction of the plugin's own
  int detached;         // the link is the stream's; under the session's lock
  int by_copy;
  int head_seen, ended;
  struct pg_column *columns;
  size_t column_count;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct dray_error why; // of the last row that was spoilt
  uint64_t rows, bytes;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read rows");
}

// ---- the result's columns ----

static int32_t take_name(struct pg_reading *reading, size_t index, const char *name, struct dray_error *error) {
  for (size_t i = 0; i < index; i++) {
    if (strcmp(reading->columns[i].name, name) != 0) continue;
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name,
                           "the query has two columns named '%s': give one of them another name with AS", name);
  }
  if (dray_column_reserved(name)) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name,
                           "a column named '%s' means something else to dray: rename it with AS", name);
  }
  reading->columns[index].name = dray_str_dup(dray_str_of(name));
  return reading->columns[index].name != NULL ? DRAY_OK : no_memory(error);
}

// Types that are not in the table are looked up, all at once: *out has rows of oid, category, kind.
static int32_t look_up_types(struct pg_reading *reading, PGresult **out, struct dray_error *error) {
  struct dray_buffer list;
  int32_t code = DRAY_OK;
  size_t unknown = 0;
  dray_buffer_init(&list, 1u << 16);
  for (size_t i = 0; code == DRAY_OK && i < reading->column_count; i++) {
    if (pg_type_find(reading->columns[i].oid) != NULL) continue;
    code = dray_buffer_printf(&list, error, "%s%u", unknown++ == 0 ? "{" : ",", reading->columns[i].oid);
  }
  if (code == DRAY_OK && unknown > 0) code = dray_buffer_append_char(&list, '}', error);
  if (code == DRAY_OK && unknown > 0) {
    const char *const params[] = {list.data};
    code = pg_link_ask(reading->link,
                       "SELECT oid, typcategory, typtype FROM pg_catalog.pg_type WHERE oid = ANY($1::oid[])", 1, params,
                       "looking up types", out, error);
  }
  dray_buffer_free(&list);
  return code;
}

static void decide_column(struct pg_column *column, const PGresult *types) {
  char category = ' ', kind = ' ';
  for (int row = 0; types != NULL && row < PQntuples(types); row++) {
    if (strtoul(PQgetvalue(types, row, 0), NULL, 10) != column->oid) continue;
    category = PQgetvalue(types, row, 1)[0];
    kind = PQgetvalue(types, row, 2)[0];
  }
  pg_column_decide(column, category, kind);
}

static int32_t take_columns(struct pg_reading *reading, const PGresult *description, struct dray_error *error) {
  const size_t count = (size_t)PQnfields(description);
  PGresult *types = NULL;
  if (PQnparams(description) > 0) {
    return dray_fail(error, DRAY_E_CONFIG_SQL, "the query has a parameter ($1), and nothing is given for it");
  }
  if (count == 0) {
    return dray_fail(error, DRAY_E_CONFIG_SQL, "the statement returns no columns: a SELECT is needed");
  }
  reading->columns = calloc(count, sizeof *reading->columns);
  if (reading->columns == NULL) return no_memory(error);
  reading->column_count = count;
  for (size_t i = 0; i < count; i++) {
    DRAY_TRY(take_name(reading, i, PQfname(description, (int)i), error));
    reading->columns[i].oid = PQftype(description, (int)i);
    reading->columns[i].modifier = PQfmod(description, (int)i);
  }
  if (reading->by_copy) DRAY_TRY(look_up_types(reading, &types, error));
  for (size_t i = 0; i < count; i++) {
    if (reading->by_copy) {
      decide_column(&reading->columns[i], types);
    } else {
      reading->columns[i].type = (struct dray_type){DRAY_TYPE_STRING, 0, 0};
    }
  }
  PQclear(types);
  return DRAY_OK;
}

// Has the server parse the statement and describe its result. A text of several statements is refused by it.
static int32_t describe(struct pg_reading *reading, const char *sql, struct dray_error *error) {
  struct pg_link *link = reading->link;
  PGresult *description = NULL;
  pg_link_start(link);
  int32_t code = pg_link_finish(link, PQsendPrepare(link->conn, "", sql, 0, NULL), PG_FOR_QUERY, sql,
                                "the SQL was refused", NULL, error);
  if (code == DRAY_OK) {
    code = pg_link_finish(link, PQsendDescribePrepared(link->conn, ""), PG_FOR_QUERY, sql, "the SQL was refused",
                          &description, error);
  }
  pg_link_settle(link);
  if (code == DRAY_OK) code = take_columns(reading, description, error);
  PQclear(description);
  return code;
}

static int32_t make_schema(struct pg_reading *reading, struct dray_error *error) {
  const size_t count = reading->column_count;
  struct dray_column_def *defs = calloc(count + 1, sizeof *defs);
  if (defs == NULL) return no_memory(error);
  for (size_t i = 0; i < count; i++) {
    defs[i] = (struct dray_column_def){reading->columns[i].name, reading->columns[i].type, 1};
  }
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1};
  const int32_t code = dray_schema_make(defs, count + 1, &reading->schema, error);
  free(defs);
  return code;
}

// ---- sending ----

static int32_t write_projection(const struct pg_reading *reading, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "SELECT ", error));
  for (size_t i = 0; i < reading->column_count; i++) {
    const struct pg_column *column = &reading->columns[i];
    if (i > 0) DRAY_TRY(dray_buffer_append_str(out, ", ", error));
    if (column->cast == PG_CAST_JSON) DRAY_TRY(dray_buffer_append_str(out, "pg_catalog.to_json(", error));
    DRAY_TRY(dray_buffer_append_str(out, "q.", error));
    DRAY_TRY(pg_quote(dray_str_of(column->name), out, error));
    if (column->cast == PG_CAST_JSON) DRAY_TRY(dray_buffer_append_char(out, ')', error));
    if (column->cast == PG_CAST_TEXT) DRAY_TRY(dray_buffer_append_str(out, "::pg_catalog.text", error));
  }
  return dray_buffer_append_str(out, " FROM (", error);
}

static int32_t write_copy(const struct pg_reading *reading, struct dray_str statement, struct dray_buffer *out,
                          struct dray_error *error) {
  int casts = 0;
  for (size_t i = 0; i < reading->column_count; i++) casts |= reading->columns[i].cast != PG_CAST_NONE;
  DRAY_TRY(dray_buffer_append_str(out, "COPY (", error));
  if (casts) DRAY_TRY(write_projection(reading, out, error));
  DRAY_TRY(dray_buffer_append(out, statement.data, statement.len, error));
  if (casts) DRAY_TRY(dray_buffer_append_str(out, "\n) AS q", error));
  return dray_buffer_append_str(out, "\n) TO STDOUT (FORMAT binary)", error);
}

static int32_t send_copy(struct pg_reading *reading, struct dray_str statement, struct dray_error *error) {
  struct pg_link *link = reading->link;
  struct dray_buffer sql;
  PGresult *result = NULL;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code = write_copy(reading, statement, &sql, error);
  if (code == DRAY_OK) {
    pg_link_start(link);
    code = pg_link_finish(link, PQsendQuery(link->conn, sql.data), PG_FOR_QUERY, NULL, DOING, &result, error);
    if (code == DRAY_OK && PQresultStatus(result) != PGRES_COPY_OUT) code = pg_fail_lost(link, DOING, error);
    if (code != DRAY_OK) pg_link_settle(link);
  }
  PQclear(result);
  dray_buffer_free(&sql);
  return code;
}

static int32_t send_rows(struct pg_reading *reading, struct dray_error *error) {
  struct pg_link *link = reading->link;
  pg_link_start(link);
  const int ok = PQsendQueryPrepared(link->conn, "", 0, NULL, NULL, NULL, 0) && PQsetSingleRowMode(link->conn);
  const int32_t code = ok ? pg_link_flush(link, DOING, error) : pg_fail_lost(link, DOING, error);
  if (code != DRAY_OK) pg_link_settle(link);
  return code;
}

// ---- the end ----

// The link goes back to the instance, or goes away when the instance has another one by now.
static void let_go(struct pg_reading *reading) {
  struct pg_link *mine = NULL;
  if (reading->link == NULL) return;
  pthread_mutex_lock(&reading->session->lock);
  if (reading->detached)
    mine = reading->link;
  else
    reading->warehouse->reading = NULL;
  pthread_mutex_unlock(&reading->session->lock);
  reading->link = NULL;
  pg_link_free(mine);
}

void pg_reading_detach(struct pg_reading *reading) {
  reading->detached = 1;
}

// The server has no more rows: what is left of its answer, and of our transaction.
static int32_t finish(struct pg_reading *reading, struct dray_error *error) {
  struct pg_link *link = reading->link;
  int32_t code = DRAY_OK;
  if (reading->by_copy) {
    code = pg_link_finish(link, 1, PG_FOR_QUERY, NULL, DOING, NULL, error);
  }
  pg_link_settle(link);
  if (reading->own) {
    if (code == DRAY_OK) code = pg_link_run(link, "COMMIT", "ending a query", error);
    if (code != DRAY_OK) pg_link_rollback(link);
  }
  reading->ended = 1;
  let_go(reading);
  return code;
}

// Reads on until the server is ready for another statement, and drops what comes.
static void drain(struct pg_reading *reading) {
  struct pg_link *link = reading->link;
  struct dray_error ignored;
  PGresult *result = NULL;
  char *row = NULL;
  dray_error_init(&ignored);
  while (reading->by_copy && !pg_link_broken(link)) {
    const int got = PQgetCopyData(link->conn, &row, 1);
    if (got > 0) PQfreemem(row);
    if (got < 0) break;
    if (got == 0 && pg_link_read(link, DOING, &ignored) != DRAY_OK) break;
  }
  while (!pg_link_broken(link) && pg_link_result(link, DOING, &result, &ignored) == DRAY_OK && result != NULL) {
    const int stuck = PQresultStatus(result) == PGRES_COPY_OUT;
    PQclear(result);
    if (stuck) break;
  }
}

// Given up before its end. A query of our own transaction is cancelled; one in the host's is read to its end, because a
// cancel would undo the transaction.
static void give_up(struct pg_reading *reading) {
  struct pg_link *link = reading->link;
  if (link == NULL) return;
  if (!pg_link_broken(link) && !reading->ended) {
    if (reading->own) pg_session_cancel(link);
    link->closing = reading->own;
    drain(reading);
  }
  pg_link_settle(link);
  if (reading->own) pg_link_rollback(link);
  link->closing = 0;
  let_go(reading);
}

static void reading_free(struct pg_reading *reading) {
  if (reading == NULL) return;
  give_up(reading);
  for (size_t i = 0; reading->columns != NULL && i < reading->column_count; i++) free(reading->columns[i].name);
  free(reading->columns);
  dray_schema_release(&reading->schema);
  dray_builder_free(reading->builder);
  free(reading);
}

// ---- rows ----

static int32_t broken_row(struct dray_error *error) {
  return dray_fail(error, DRAY_E_INTERNAL, "the server sent a row that is not of the form that COPY has");
}

// One message of the COPY: the head once, and then a row each, and -1 where the next row's count of fields would be.
static int32_t take_message(struct pg_reading *reading, const char *data, size_t len, int32_t *out_full,
                            struct dray_error *error) {
  const char *at = data, *end = data + len;
  if (!reading->head_seen) {
    if (len < COPY_HEAD_BYTES || memcmp(at, "PGCOPY\n\377\r\n", 11) != 0) return broken_row(error);
    const uint32_t extension = pg_get32(at + 15);
    if (extension > len - COPY_HEAD_BYTES) return broken_row(error);
    at += COPY_HEAD_BYTES + extension;
    reading->head_seen = 1;
    if (at == end) return DRAY_OK;
  }
  if (end - at < 2) return broken_row(error);
  const int count = (int16_t)pg_get16(at);
  at += 2;
  if (count == -1) return DRAY_OK;
  if (count < 0 || (size_t)count != reading->column_count) return broken_row(error);
  const struct dray_str fields = dray_str_make(at, (uint64_t)(end - at));
  DRAY_TRY(pg_decode_row(reading->columns, reading->column_count, fields, reading->builder, &reading->why, error));
  return dray_builder_end_row(reading->builder, out_full, error);
}

static int32_t next_by_copy(struct pg_reading *reading, int32_t *out_full, struct dray_error *error) {
  struct pg_link *link = reading->link;
  char *row = NULL;
  int got = PQgetCopyData(link->conn, &row, 1);
  if (got == 0) { // mostly there is more to read, and no need to ask whether
    if (PQconsumeInput(link->conn) == 0) return pg_fail_lost(link, DOING, error);
    got = PQgetCopyData(link->conn, &row, 1);
  }
  if (got > 0) {
    reading->bytes += (uint64_t)got;
    const int32_t code = take_message(reading, row, (size_t)got, out_full, error);
    PQfreemem(row);
    return code;
  }
  if (got == 0) return pg_link_gather(link, DOING, error);
  if (got == -1) return finish(reading, error);
  return pg_fail_lost(link, DOING, error);
}

static int32_t take_text(struct pg_reading *reading, const PGresult *result, int row, size_t index,
                         struct dray_error *error) {
  const int len = PQgetisnull(result, row, (int)index) ? -1 : PQgetlength(result, row, (int)index);
  const char *data = PQgetvalue(result, row, (int)index);
  const int32_t code = pg_decode_text(data, len, reading->builder, index, &reading->why);
  return code == DRAY_OK ? DRAY_OK : dray_builder_misfit(reading->builder, index, &reading->why, error);
}

static int32_t take_result(struct pg_reading *reading, const PGresult *result, int32_t *out_full,
                           struct dray_error *error) {
  for (int row = 0; row < PQntuples(result); row++) {
    for (size_t i = 0; i < reading->column_count; i++) DRAY_TRY(take_text(reading, result, row, i, error));
    DRAY_TRY(dray_builder_end_row(reading->builder, out_full, error));
  }
  return DRAY_OK;
}

static int32_t next_by_row(struct pg_reading *reading, int32_t *out_full, struct dray_error *error) {
  PGresult *result = NULL;
  DRAY_TRY(pg_link_result(reading->link, DOING, &result, error));
  if (result == NULL) return finish(reading, error);
  const ExecStatusType status = PQresultStatus(result);
  int32_t code = DRAY_OK;
  if (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK) {
    code = take_result(reading, result, out_full, error);
  } else {
    code = pg_fail(reading->link, result, PG_FOR_QUERY, NULL, DOING, error);
  }
  PQclear(result);
  return code;
}

// ---- the stream's slots ----

static int32_t slot_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct pg_reading *reading = stream->private_data;
  return dray_schema_copy(&reading->schema, out, error);
}

static int32_t slot_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct pg_reading *reading = stream->private_data;
  int32_t full = 0;
  DRAY_TRY(dray_cancel_check(&reading->session->services, error));
  while (!full && !reading->ended) {
    if (reading->link == NULL || reading->link->conn == NULL) {
      return dray_fail(error, DRAY_E_NET_CLOSED, DOING ": its connection is lost");
    }
    DRAY_TRY(reading->by_copy ? next_by_copy(reading, &full, error) : next_by_row(reading, &full, error));
  }
  const uint64_t rows = dray_builder_rows(reading->builder);
  DRAY_TRY(dray_builder_finish(reading->builder, out, error));
  reading->rows += rows;
  return DRAY_OK;
}

static void slot_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct pg_reading *reading = stream->private_data;
  out->rows = reading->rows;
  out->bytes = reading->bytes;
}

static void slot_close(struct dray_stream *stream) {
  reading_free(stream->private_data);
  stream->private_data = NULL;
}

// ---- opening ----

static int32_t start(struct pg_reading *reading, const char *sql, struct dray_error *error) {
  struct pg_statement statement;
  pg_scan(dray_str_of(sql), &statement);
  if (statement.text.len == 0) return dray_fail(error, DRAY_E_CONFIG_SQL, "the SQL holds no statement");
  if (pg_statement_writes(&statement)) {
    return dray_fail(error, DRAY_E_CONFIG_SQL,
                     "a query must be a SELECT: %s would change something, and queries are "
                     "read-only",
                     statement.verb);
  }
  reading->by_copy = pg_statement_selects(&statement);
  DRAY_TRY(describe(reading, sql, error));
  DRAY_TRY(make_schema(reading, error));
  return reading->by_copy ? send_copy(reading, statement.text, error) : send_rows(reading, error);
}

static char *copy_sql(struct dray_str sql, struct dray_error *error) {
  char *text = NULL;
  if (memchr(sql.data, '\0', sql.len) != NULL) {
    (void)dray_fail(error, DRAY_E_CONFIG_SQL, "the SQL holds a NUL byte");
    return NULL;
  }
  text = dray_str_dup(sql);
  if (text == NULL) (void)no_memory(error);
  return text;
}

int32_t pg_query_open(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                      uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  char *text = copy_sql(sql, &why);
  if (text == NULL) {
    if (error != NULL) *error = why;
    return why.code;
  }
  struct pg_reading *reading = calloc(1, sizeof *reading);
  int32_t code = reading == NULL ? no_memory(error) : DRAY_OK;
  int own = 0;
  if (code == DRAY_OK) code = pg_own_begin(warehouse, 1, &own, error);
  if (code != DRAY_OK) goto done;
  reading->warehouse = warehouse;
  reading->session = &warehouse->session;
  reading->link = warehouse->link;
  reading->own = own;
  dray_error_init(&reading->why);
  code = start(reading, text, error);
  if (code == DRAY_OK) {
    code = dray_builder_new(&reading->schema, batch_rows_max, batch_bytes_max, &reading->builder, error);
  } else {
    reading->ended = 1; // nothing is on its way
  }
  if (code != DRAY_OK) goto done;
  pthread_mutex_lock(&warehouse->session.lock);
  warehouse->reading = reading;
  pthread_mutex_unlock(&warehouse->session.lock);
  out->private_data = reading;
  out->schema = slot_schema;
  out->next = slot_next;
  out->state = NULL;
  out->progress = slot_progress;
  out->close = slot_close;
done:
  free(text);
  if (code != DRAY_OK) reading_free(reading);
  return code;
}
