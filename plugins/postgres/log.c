// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Following a table in the server's log: the slot that is made at the server for it, named after who reads, the
// checkpoint, and whether the log can still be believed when a read goes on. What cannot is an error that names the way
// out; nothing is ever passed over.
#include "source.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE_BYTES_MAX (1u << 20)
#define SQL_BYTES_MAX 4096
#define DROP_PATIENCE_MS 10000
#define DROP_PAUSE_MS 100
#define OPENING "opening the server's log"
#define ANEW "read everything anew with `dray sync NAME --full-refresh`"

// ---- names ----

// dray_<reader>_<hash of reader and stream>: the same in every run, and nobody else's.
static void name_slot(const struct dray_read_request *request, char out[PG_SLOT_BYTES]) {
  const struct dray_str parts[] = {request->reader, dray_str_make("", 1), request->stream};
  uint64_t hash = UINT64_C(14695981039346656037); // FNV-1a
  char shown[33];
  size_t n = 0;
  for (size_t i = 0; i < 3; i++) {
    for (uint64_t k = 0; k < parts[i].len; k++) {
      hash = (hash ^ (unsigned char)parts[i].data[k]) * UINT64_C(1099511628211);
    }
  }
  for (uint64_t k = 0; k < request->reader.len && n + 1 < sizeof shown; k++) {
    const int c = tolower((unsigned char)request->reader.data[k]);
    shown[n++] = (char)((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
  }
  shown[n] = '\0';
  (void)snprintf(out, PG_SLOT_BYTES, "dray_%s_%016" PRIx64, shown, hash);
}

// ---- the checkpoint ----

void pg_place_init(struct pg_place *place) {
  memset(place, 0, sizeof *place);
  dray_buffer_init(&place->columns, STATE_BYTES_MAX / 2);
}

void pg_place_free(struct pg_place *place) {
  dray_buffer_free(&place->columns);
}

int32_t pg_place_write(const struct pg_place *place, struct dray_str stream, struct dray_buffer *out,
                       struct dray_error *error) {
  struct dray_json_writer json;
  char lsn[PG_LSN_BYTES];
  dray_buffer_clear(out);
  dray_json_writer_init(&json, out, error);
  dray_json_begin_object(&json);
  dray_json_key(&json, "log");
  dray_json_write_str(&json, stream);
  dray_json_key(&json, "lsn");
  dray_json_write_text(&json, pg_lsn_format(place->lsn, lsn));
  dray_json_key(&json, "slot");
  dray_json_write_text(&json, place->slot);
  dray_json_key(&json, "publication");
  dray_json_write_text(&json, place->publication);
  dray_json_key(&json, "published");
  dray_json_write_text(&json, place->mark);
  dray_json_key(&json, "system");
  dray_json_write_text(&json, place->system);
  dray_json_key(&json, "timeline");
  dray_json_write_int(&json, place->timeline);
  dray_json_key(&json, "table");
  dray_json_write_int(&json, place->table);
  dray_json_key(&json, "top");
  dray_json_write_int(&json, place->top);
  dray_json_key(&json, "columns");
  dray_json_write_raw(&json, dray_buffer_view(&place->columns));
  dray_json_end_object(&json);
  return dray_json_writer_finish(&json);
}

static int take_text(const struct dray_json *json, const char *name, char *out, size_t bytes) {
  const struct dray_str text = dray_json_string(dray_json_get(json, name), "");
  if (text.len == 0 || text.len >= bytes || memchr(text.data, '\0', text.len) != NULL) return 0;
  memcpy(out, text.data, text.len);
  out[text.len] = '\0';
  return 1;
}

static int take_number(const struct dray_json *json, const char *name, int64_t *out) {
  const struct dray_json *value = dray_json_get(json, name);
  return value != NULL && value->kind == DRAY_JSON_NUMBER && dray_parse_int64(value->text, out, NULL) == DRAY_OK;
}

static int take_place(const struct dray_json *json, struct dray_str stream, struct pg_place *place,
                      struct dray_error *error) {
  char lsn[PG_LSN_BYTES];
  int64_t table = 0;
  struct dray_json_writer writer;
  const struct dray_json *columns = dray_json_get(json, "columns");
  if (!dray_str_equal(dray_json_string(dray_json_get(json, "log"), ""), stream)) return 0;
  if (!take_text(json, "slot", place->slot, sizeof place->slot)) return 0;
  if (!take_text(json, "publication", place->publication, sizeof place->publication)) return 0;
  if (!take_text(json, "system", place->system, sizeof place->system)) return 0;
  if (!take_text(json, "lsn", lsn, sizeof lsn) || !pg_lsn_parse(lsn, &place->lsn)) return 0;
  if (!take_number(json, "timeline", &place->timeline) || !take_number(json, "table", &table)) return 0;
  if (!take_number(json, "top", &place->top) || columns == NULL || columns->kind != DRAY_JSON_OBJECT) return 0;
  place->table = (Oid)table;
  if (!take_text(json, "published", place->mark, sizeof place->mark)) place->mark[0] = '\0'; // older states have none
  dray_json_writer_init(&writer, &place->columns, error);
  dray_json_write_value(&writer, columns);
  return dray_json_writer_finish(&writer) == DRAY_OK;
}

static int32_t read_place(const struct dray_read_request *request, struct pg_place *place, struct dray_error *error) {
  struct dray_json *json = NULL;
  const int32_t code = dray_json_parse(request->state, STATE_BYTES_MAX, &json, error);
  if (code == DRAY_E_OUT_OF_MEMORY) return code;
  const int ours = code == DRAY_OK && take_place(json, request->stream, place, error);
  dray_json_free(json);
  if (ours) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the checkpoint is not one of %.*s read from the server's log: %.*s",
                   DRAY_STR_ARG(request->stream), DRAY_VALUE_ARG(request->state));
}

// The slot that a state names, whatever stream it is of. 0: none of dray's making.
static int take_slot(struct dray_str state, char out[PG_SLOT_BYTES]) {
  struct dray_json *json = NULL;
  struct dray_error why;
  dray_error_init(&why);
  if (state.len == 0 || dray_json_parse(state, STATE_BYTES_MAX, &json, &why) != DRAY_OK) return 0;
  const int ours = json->kind == DRAY_JSON_OBJECT && take_text(json, "slot", out, PG_SLOT_BYTES) &&
                   strncmp(out, "dray_", 5) == 0 && strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(out);
  dray_json_free(json);
  return ours;
}

int32_t pg_log_ask(struct dray_source *source, const char *sql, int param_count, const char *const *params,
                   PGresult **out, struct dray_error *error) {
  DRAY_TRY(pg_enter(source->engine, error));
  return pg_link_ask(source->engine->link, sql, param_count, params, OPENING, out, error);
}

static int32_t write_columns(const struct pg_table *table, const struct pg_shape *shape, struct pg_place *place,
                             struct dray_error *error) {
  struct dray_json_writer json;
  dray_buffer_clear(&place->columns);
  place->top = shape->columns[shape->column_count - 1].number;
  dray_json_writer_init(&json, &place->columns, error);
  dray_json_begin_object(&json);
  for (size_t i = 0; i < table->column_count; i++) {
    const struct pg_shape_column *column = pg_shape_find(shape, dray_str_of(table->columns[i].name));
    dray_json_key(&json, column->name);
    dray_json_begin_array(&json);
    dray_json_write_int(&json, column->number);
    dray_json_write_int(&json, column->type);
    dray_json_write_int(&json, column->modifier);
    dray_json_end_array(&json);
  }
  dray_json_end_object(&json);
  return dray_json_writer_finish(&json);
}

// ---- whether what is known still holds ----

static int same_column(const struct dray_json *old, const struct pg_shape_column *column) {
  int64_t values[3] = {0, 0, 0};
  size_t n = 0;
  for (const struct dray_json *value = old->child; value != NULL && n < 3; value = value->next) {
    if (dray_parse_int64(value->text, &values[n++], NULL) != DRAY_OK) return 0;
  }
  const int longer = column->type == 1043; // varchar(n): the values are the same
  return n == 3 && values[0] == column->number && values[1] == (int64_t)column->type &&
         (values[2] == column->modifier || longer);
}

// ALTER TABLE may change every row, and the log has no word of it.
static int32_t check_columns(const struct pg_place *place, const struct pg_table *table, const struct pg_shape *shape,
                             struct dray_error *error) {
  struct dray_json *old = NULL;
  DRAY_TRY(dray_json_parse(dray_buffer_view(&place->columns), STATE_BYTES_MAX, &old, error));
  const char *what = NULL, *name = NULL;
  for (size_t i = 0; what == NULL && i < table->column_count; i++) {
    const struct pg_shape_column *column = pg_shape_find(shape, dray_str_of(table->columns[i].name));
    const struct dray_json *was = dray_json_get(old, column->name);
    name = column->name;
    if (was != NULL) {
      what = same_column(was, column) ? NULL : "has another type than before, or was made anew";
    } else if (column->number <= place->top) {
      what = "was not read before, or had another name";
    } else if (column->has_default) {
      what = "is new and has a default, which older rows got without a word in the log";
    }
  }
  dray_json_free(old);
  if (what == NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%.*s: the column '%s' %s: " ANEW, DRAY_STR_ARG(table->stream), name,
                   what);
}

enum { SLOT_PLUGIN, SLOT_DATABASE, SLOT_STATUS, SLOT_CONFIRMED, SLOT_HERE };

static int32_t check_slot(struct dray_source *source, const struct pg_table *table, const struct pg_place *place,
                          struct dray_error *error) {
  static const char sql[] = "SELECT plugin, database, coalesce(wal_status, ''), confirmed_flush_lsn, "
                            "pg_catalog.current_database() FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
  const char *const params[] = {place->slot};
  PGresult *result = NULL;
  uint64_t confirmed = 0;
  char lsn[PG_LSN_BYTES];
  DRAY_TRY(pg_log_ask(source, sql, 1, params, &result, error));
  int32_t code = DRAY_OK;
  if (PQntuples(result) == 0 || strcmp(PQgetvalue(result, 0, SLOT_PLUGIN), "pgoutput") != 0 ||
      strcmp(PQgetvalue(result, 0, SLOT_DATABASE), PQgetvalue(result, 0, SLOT_HERE)) != 0) {
    code =
        dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                  "%.*s: the replication slot %s is gone (removed, or the server was restored from a backup), and with "
                  "it the changes since %s: " ANEW,
                  DRAY_STR_ARG(table->stream), place->slot, pg_lsn_format(place->lsn, lsn));
  } else if (strcmp(PQgetvalue(result, 0, SLOT_STATUS), "lost") == 0) {
    code = dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                     "%.*s: the server has thrown away what the replication slot %s had still to read "
                     "(max_slot_wal_keep_size): " ANEW,
                     DRAY_STR_ARG(table->stream), place->slot);
  } else if (!pg_lsn_parse(PQgetvalue(result, 0, SLOT_CONFIRMED), &confirmed) || confirmed > place->lsn) {
    code = dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                     "%.*s: the replication slot %s is at %s already, beyond the checkpoint %s (an older state was "
                     "restored, or somebody else reads by the slot): " ANEW,
                     DRAY_STR_ARG(table->stream), place->slot, PQgetvalue(result, 0, SLOT_CONFIRMED),
                     pg_lsn_format(place->lsn, lsn));
  }
  PQclear(result);
  return code;
}

// ---- the connection for replication ----

static int32_t command(struct pg_link *link, const char *sql, const char *doing, PGresult **out,
                       struct dray_error *error) {
  pg_link_start(link);
  const int32_t code = pg_link_finish(link, PQsendQuery(link->conn, sql), PG_FOR_OURSELVES, NULL, doing, out, error);
  pg_link_settle(link);
  return code;
}

struct server {
  char system[32];
  int64_t timeline;
  uint64_t lsn; // how far its log is durable
};

static int32_t identify(struct pg_link *link, struct server *out, struct dray_error *error) {
  PGresult *result = NULL;
  DRAY_TRY(command(link, "IDENTIFY_SYSTEM", OPENING, &result, error));
  int32_t code = DRAY_OK;
  if (PQntuples(result) != 1 || PQnfields(result) < 3 || !pg_lsn_parse(PQgetvalue(result, 0, 2), &out->lsn)) {
    code = dray_fail(error, DRAY_E_INTERNAL, OPENING ": the server does not say who it is");
  } else {
    (void)snprintf(out->system, sizeof out->system, "%s", PQgetvalue(result, 0, 0));
    out->timeline = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
  }
  PQclear(result);
  return code;
}

static int32_t check_server_is_same(const struct pg_place *place, const struct server *server,
                                    const struct pg_table *table, struct dray_error *error) {
  char here[PG_LSN_BYTES], there[PG_LSN_BYTES];
  if (strcmp(server->system, place->system) != 0) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                     "%.*s: the checkpoint is of another server (system %s, this one is %s): " ANEW,
                     DRAY_STR_ARG(table->stream), place->system, server->system);
  }
  if (server->timeline != place->timeline) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                     "%.*s: the server was restored or promoted since the checkpoint (timeline %" PRId64
                     ", now %" PRId64 "), and what happened in between is not certain: " ANEW,
                     DRAY_STR_ARG(table->stream), place->timeline, server->timeline);
  }
  if (server->lsn < place->lsn) {
    return dray_fail(
        error, DRAY_E_STATE_CHECKPOINT,
        "%.*s: the server's log ends at %s, before the checkpoint %s: it was restored from a backup; " ANEW,
        DRAY_STR_ARG(table->stream), pg_lsn_format(server->lsn, here), pg_lsn_format(place->lsn, there));
  }
  return DRAY_OK;
}

// ---- making and removing ----

// Removes a slot of ours, if it is there. A walsender of a run that was killed may hold it for a moment.
static int32_t drop_slot(struct dray_source *source, const char *slot, int *out_dropped, struct dray_error *error) {
  static const char look[] = "SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
  static const char drop[] = "SELECT pg_catalog.pg_drop_replication_slot($1)";
  const struct dray_clock_service *clock = source->engine->session.services.clock;
  const int64_t until = clock->monotonic_ms(clock->ctx) + DROP_PATIENCE_MS;
  const char *const params[] = {slot};
  *out_dropped = 0;
  for (;;) {
    PGresult *result = NULL;
    struct dray_error why;
    int came = 0;
    dray_error_init(&why);
    DRAY_TRY(pg_log_ask(source, look, 1, params, &result, error));
    const int found = PQntuples(result) > 0;
    PQclear(result);
    if (!found) return DRAY_OK;
    result = NULL;
    const int32_t code = pg_log_ask(source, drop, 1, params, &result, &why);
    PQclear(result);
    *out_dropped = code == DRAY_OK;
    if (code == DRAY_OK) return DRAY_OK;
    if (code != DRAY_E_BUSY || clock->monotonic_ms(clock->ctx) > until) {
      if (error != NULL) *error = why;
      return code;
    }
    DRAY_TRY(pg_link_wait(source->engine->link, DROP_PAUSE_MS, OPENING, &came, error));
    DRAY_TRY(dray_cancel_check(&source->engine->session.services, error));
  }
}

// The slot begins where all transactions that were open have ended; a transaction that imports the snapshot sees what
// was there then, and what the slot gives is all that came later.
static int32_t make_slot(struct pg_link *link, struct pg_place *place, char *snapshot, size_t snapshot_bytes,
                         struct dray_error *error) {
  char sql[2 * PG_SLOT_BYTES];
  PGresult *result = NULL;
  (void)snprintf(sql, sizeof sql, "CREATE_REPLICATION_SLOT \"%s\" LOGICAL pgoutput EXPORT_SNAPSHOT", place->slot);
  DRAY_TRY(command(link, sql, "making a replication slot", &result, error));
  int32_t code = DRAY_OK;
  if (PQntuples(result) != 1 || PQnfields(result) < 3 || !pg_lsn_parse(PQgetvalue(result, 0, 1), &place->lsn) ||
      PQgetvalue(result, 0, 2)[0] == '\0' || strchr(PQgetvalue(result, 0, 2), '\'') != NULL) {
    code = dray_fail(error, DRAY_E_INTERNAL, "making a replication slot: the server gave no snapshot");
  } else {
    (void)snprintf(snapshot, snapshot_bytes, "%s", PQgetvalue(result, 0, 2));
  }
  PQclear(result);
  return code;
}

// ---- the first read ----

static int32_t read_table_at_slot(struct dray_source *source, const struct dray_read_request *request,
                                  const struct pg_table *table, const char *snapshot, const struct pg_place *place,
                                  struct dray_stream *out, struct dray_error *error) {
  char begin[160];
  struct dray_buffer state;
  dray_buffer_init(&state, STATE_BYTES_MAX);
  (void)snprintf(begin, sizeof begin, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '%s'",
                 snapshot);
  int32_t code = pg_place_write(place, request->stream, &state, error);
  if (code == DRAY_OK) code = pg_table_read(source, request, table, begin, state.data, out, error);
  dray_buffer_free(&state);
  return code;
}

// Removes slot and publication of dray's making, by the one name that they have.
static int32_t drop_both(struct dray_source *source, const char *name, int *out_slot, int *out_publication,
                         struct dray_error *error) {
  DRAY_TRY(drop_slot(source, name, out_slot, error));
  return pg_publication_drop(source, name, out_publication, error);
}

// What a read that never came to its end has left, and the reads whose place this one takes.
static int32_t make_way(struct dray_source *source, const struct dray_read_request *request, const char *slot,
                        struct dray_error *error) {
  const size_t needed = offsetof(struct dray_read_request, former) + sizeof request->former;
  char former[PG_SLOT_BYTES];
  int dropped = 0, unpublished = 0;
  DRAY_TRY(drop_slot(source, slot, &dropped, error));
  if (request->struct_size < needed || !take_slot(request->former, former) || strcmp(former, slot) == 0) return DRAY_OK;
  return drop_both(source, former, &dropped, &unpublished, error);
}

// What was made for a read that could not begin is of no use to anybody.
static void unmake(struct dray_source *source, const char *slot) {
  struct dray_error why;
  int dropped = 0, unpublished = 0;
  dray_error_init(&why);
  if (drop_both(source, slot, &dropped, &unpublished, &why) == DRAY_OK) return;
  dray_log_printf(&source->engine->session.services, DRAY_LOG_WARN,
                  "the replication slot %s may be left at the server (%s): the next run, or `dray sync NAME --drop`, "
                  "removes it",
                  slot, why.text);
}

static int32_t make_and_read(struct dray_source *source, const struct dray_read_request *request,
                             const struct pg_table *table, const struct pg_shape *shape, struct pg_place *place,
                             struct dray_stream *out, struct dray_error *error) {
  struct pg_link *link = NULL;
  struct server server;
  char snapshot[64];
  const char *own = source->engine->session.settings.publication;
  int32_t code = pg_link_open_log(&source->engine->session, &link, error);
  if (code == DRAY_OK) code = identify(link, &server, error);
  if (code == DRAY_OK) {
    memcpy(place->system, server.system, sizeof place->system);
    place->timeline = server.timeline;
    place->table = shape->table;
    code = make_way(source, request, place->slot, error);
  }
  const int begun = code == DRAY_OK;
  if (code == DRAY_OK && own == NULL) code = pg_publication_make(source, table, place->publication, error);
  if (code == DRAY_OK) code = pg_publication_check(source, table, shape, place->publication, place->mark, error);
  if (code == DRAY_OK) code = make_slot(link, place, snapshot, sizeof snapshot, error);
  if (code == DRAY_OK) code = read_table_at_slot(source, request, table, snapshot, place, out, error);
  pg_link_free(link); // the snapshot is imported by now
  if (code != DRAY_OK && begun) unmake(source, place->slot);
  return code;
}

static int32_t begin_log(struct dray_source *source, const struct dray_read_request *request, struct pg_table *table,
                         struct dray_stream *out, struct dray_error *error) {
  const char *publication = source->engine->session.settings.publication;
  struct pg_place place;
  struct pg_shape shape = {.table = 0};
  pg_place_init(&place);
  name_slot(request, place.slot);
  (void)snprintf(place.publication, sizeof place.publication, "%s", publication != NULL ? publication : place.slot);
  int32_t code = pg_shape_learn(source, table, &shape, error);
  if (code == DRAY_OK) code = pg_shape_leave_out(source, request, &shape, table, error);
  if (code == DRAY_OK) code = pg_identity_check(source, request, &shape, table, error);
  if (code == DRAY_OK) code = pg_publication_check_own(source, table, &shape, error);
  if (code == DRAY_OK) code = write_columns(table, &shape, &place, error);
  if (code == DRAY_OK && (request->reader.len == 0 || (request->flags & DRAY_READ_LOOK) != 0)) {
    code = pg_table_read(source, request, table, NULL, "", out, error); // nothing is made, and nothing goes on from it
  } else if (code == DRAY_OK) {
    code = make_and_read(source, request, table, &shape, &place, out, error);
  }
  pg_shape_free(&shape);
  pg_place_free(&place);
  return code;
}

// ---- going on ----

void pg_following_free(struct pg_following *following) {
  pg_follow_end(&following->follow);
  pg_place_free(&following->place);
  pg_table_free(&following->table);
  pg_shape_free(&following->shape);
}

static int32_t check_all(struct dray_source *source, struct pg_following *following, struct dray_error *error) {
  struct pg_place *place = &following->place;
  const struct pg_table *table = &following->table;
  struct pg_link *link = NULL;
  struct server server;
  char mark[PG_MARK_BYTES];
  DRAY_TRY(pg_link_open_log(&source->engine->session, &link, error));
  int32_t code = identify(link, &server, error);
  pg_link_free(link);
  if (code == DRAY_OK) code = check_server_is_same(place, &server, table, error);
  if (code == DRAY_OK && following->shape.table != place->table) {
    code = dray_fail(error, DRAY_E_STATE_CHECKPOINT, "%.*s is another table than before, of the same name: " ANEW,
                     DRAY_STR_ARG(table->stream));
  }
  if (code == DRAY_OK) code = check_slot(source, table, place, error);
  if (code == DRAY_OK) code = check_columns(place, table, &following->shape, error);
  if (code == DRAY_OK) {
    code = pg_publication_check(source, table, &following->shape, place->publication, mark, error);
  }
  if (code != DRAY_OK) return code;
  if (mark[0] != '\0' && (place->mark[0] == '\0' || strcmp(mark, place->mark) == 0)) {
    memcpy(place->mark, mark, sizeof mark);
    return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT,
                   "%.*s: the publication %s %s, and changes made meanwhile may not be in the log: " ANEW,
                   DRAY_STR_ARG(table->stream), place->publication,
                   mark[0] == '\0' ? "is gone or does not have the table any more"
                                   : "was altered since the checkpoint");
}

// Takes the table over, also when it fails.
static int32_t prepare(struct dray_source *source, const struct dray_read_request *request, struct pg_table *table,
                       struct pg_following *out, struct dray_error *error) {
  struct pg_following following = {.table = *table};
  *table = (struct pg_table){.schema = NULL};
  pg_place_init(&following.place);
  int32_t code = read_place(request, &following.place, error);
  if (code == DRAY_OK) code = pg_shape_learn(source, &following.table, &following.shape, error);
  if (code == DRAY_OK) code = pg_shape_leave_out(source, request, &following.shape, &following.table, error);
  if (code == DRAY_OK) code = pg_identity_check(source, request, &following.shape, &following.table, error);
  if (code == DRAY_OK) code = check_all(source, &following, error);
  if (code == DRAY_OK) code = write_columns(&following.table, &following.shape, &following.place, error);
  if (code != DRAY_OK) {
    pg_following_free(&following);
    return code;
  }
  *out = following;
  return DRAY_OK;
}

// A read ends where the log ended when it began: it always ends.
static int32_t find_target(struct dray_source *source, uint64_t *out, struct dray_error *error) {
  PGresult *result = NULL;
  DRAY_TRY(pg_log_ask(source, "SELECT pg_catalog.pg_current_wal_flush_lsn()", 0, NULL, &result, error));
  const int ok = pg_lsn_parse(PQgetvalue(result, 0, 0), out);
  PQclear(result);
  return ok ? DRAY_OK : dray_fail(error, DRAY_E_INTERNAL, OPENING ": the server does not say where its log ends");
}

int pg_log_wanted(const struct dray_source *source, const struct dray_read_request *request) {
  return source->engine->session.settings.replication && request->mode == DRAY_READ_INCREMENTAL &&
         request->cursor.len == 0;
}

int32_t pg_log_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                    struct dray_error *error) {
  struct pg_table table = {.schema = NULL};
  struct pg_following following;
  DRAY_TRY(pg_table_open(source, request, &table, error));
  if (request->state.len == 0) {
    const int32_t code = begin_log(source, request, &table, out, error);
    pg_table_free(&table);
    return code;
  }
  DRAY_TRY(prepare(source, request, &table, &following, error));
  int32_t code = find_target(source, &following.target, error);
  if (code == DRAY_OK) {
    const int look = (request->flags & DRAY_READ_LOOK) != 0;
    code = pg_follow_start(source, &following.place, look, &following.follow, error);
  }
  if (code == DRAY_OK) return pg_changes_open(source, request, &following, out, error);
  pg_following_free(&following);
  return code;
}

// ---- dropping ----

static void tell(struct dray_json_writer *json, const char *kind, const char *name) {
  dray_json_begin_object(json);
  dray_json_key(json, "kind");
  dray_json_write_text(json, kind);
  dray_json_key(json, "name");
  dray_json_write_text(json, name);
  dray_json_end_object(json);
}

static int32_t drop_and_tell(struct dray_source *source, const char *name, int *out_any, struct dray_json_writer *json,
                             struct dray_error *error) {
  int slot = 0, publication = 0;
  DRAY_TRY(drop_both(source, name, &slot, &publication, error));
  if (slot) tell(json, "replication slot", name);
  if (publication) tell(json, "publication", name);
  *out_any |= slot || publication;
  return DRAY_OK;
}

// A slot by which nobody reads any more holds the log for ever. Whose those are that are there cannot be known here.
static int32_t tell_others(struct dray_source *source, struct dray_error *error) {
  static const char sql[] =
      "SELECT count(*), pg_catalog.string_agg(slot_name, ', ' ORDER BY slot_name) FROM (SELECT slot_name FROM "
      "pg_catalog.pg_replication_slots WHERE slot_name LIKE 'dray\\_%' AND database = pg_catalog.current_database() "
      "ORDER "
      "BY 1 LIMIT 10) s";
  PGresult *result = NULL;
  DRAY_TRY(pg_log_ask(source, sql, 0, NULL, &result, error));
  if (strcmp(PQgetvalue(result, 0, 0), "0") != 0) {
    dray_log_printf(&source->engine->session.services, DRAY_LOG_WARN,
                    "no slot of this sync is known, but the database has slots of dray's, of other syncs or of a state "
                    "that was lost: %s. One that nobody reads by any more holds the server's log: SELECT "
                    "pg_drop_replication_slot('NAME')",
                    PQgetvalue(result, 0, 1));
  }
  PQclear(result);
  return DRAY_OK;
}

// By the name that the reader's slots have, and by the one that the state says: it may come from another place than
// this one, where the same sync has another name.
int32_t pg_log_drop(struct dray_source *source, const struct dray_read_request *request, struct dray_str *out_json,
                    struct dray_error *error) {
  struct dray_json_writer json;
  char own[PG_SLOT_BYTES] = "", other[PG_SLOT_BYTES];
  int any = 0;
  dray_buffer_clear(&source->answer);
  dray_json_writer_init(&json, &source->answer, error);
  dray_json_begin_array(&json);
  if (request->reader.len > 0) {
    name_slot(request, own);
    DRAY_TRY(drop_and_tell(source, own, &any, &json, error));
  }
  if (take_slot(request->state, other) && strcmp(own, other) != 0) {
    DRAY_TRY(drop_and_tell(source, other, &any, &json, error));
  }
  if (!any && source->engine->session.settings.replication) DRAY_TRY(tell_others(source, error));
  dray_json_end_array(&json);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out_json = dray_buffer_view(&source->answer);
  return DRAY_OK;
}

// ---- waiting ----

// The server sends nothing of transactions that do not touch the publication's tables.
static int is_news(struct dray_str data) {
  return data.len > 0 && strchr("IUDT", data.data[0]) != NULL;
}

int32_t pg_log_wait(struct dray_source *source, const struct dray_read_request *request, uint64_t timeout_ms,
                    uint32_t *out_news, struct dray_error *error) {
  const struct dray_clock_service *clock = source->engine->session.services.clock;
  const int64_t end = clock->monotonic_ms(clock->ctx) + (int64_t)(timeout_ms < INT32_MAX ? timeout_ms : INT32_MAX);
  struct pg_table table = {.schema = NULL};
  struct pg_following following;
  uint32_t news = 0;
  DRAY_TRY(pg_table_open(source, request, &table, error));
  DRAY_TRY(prepare(source, request, &table, &following, error));
  int32_t code = pg_follow_start(source, &following.place, 1, &following.follow, error);
  while (code == DRAY_OK && !news) {
    const int64_t left = end - clock->monotonic_ms(clock->ctx);
    struct dray_str data = {NULL, 0};
    uint64_t reached = 0;
    char *row = NULL;
    if (left <= 0) break;
    code = pg_follow_next(&following.follow, left, &row, &data, &reached, error);
    if (code == DRAY_OK && row != NULL) news = (uint32_t)is_news(data);
    PQfreemem(row);
    if (code == DRAY_OK) code = dray_cancel_check(&source->engine->session.services, error);
  }
  pg_following_free(&following);
  if (code == DRAY_OK) *out_news = news;
  return code;
}
