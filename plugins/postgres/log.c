// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Following a table in the server's log: what is made at the server for it (a slot and a publication, named after who
// reads), the checkpoint, and whether the log can still be believed when a read goes on. What cannot is an error that
// names the way out; nothing is ever passed over.
#include "source.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE_BYTES_MAX (1u << 20)
#define SQL_BYTES_MAX 4096
#define DROP_PATIENCE_MS 10000
#define DROP_PAUSE_MS 100
#define VERSION_MIN 140000
#define OPENING "opening the server's log"
#define ANEW "read everything anew with `dray sync NAME --full-refresh`"

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to follow a table");
}

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

// ---- the table as it is ----

void pg_shape_free(struct pg_shape *shape) {
  for (size_t i = 0; shape->columns != NULL && i < shape->column_count; i++) free(shape->columns[i].name);
  free(shape->columns);
  *shape = (struct pg_shape){.table = 0};
}

const struct pg_shape_column *pg_shape_find(const struct pg_shape *shape, struct dray_str name) {
  for (size_t i = 0; i < shape->column_count; i++) {
    if (dray_str_is(name, shape->columns[i].name)) return &shape->columns[i];
  }
  return NULL;
}

#define SHAPE_SQL                                                                                                      \
  "SELECT a.attname, a.attnum, a.atttypid, a.atttypmod, a.atthasdef OR a.atthasmissing OR a.attidentity <> '',"        \
  " a.attgenerated <> '', a.attlen = -1 AND a.attstorage <> 'p', c.oid, c.relkind, c.relpersistence, c.relreplident,"  \
  " EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),"                         \
  " c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid),"                    \
  " pg_catalog.current_setting('wal_level'), pg_catalog.current_setting('server_version_num'),"                        \
  " pg_catalog.pg_is_in_recovery() "                                                                                   \
  "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "          \
  "a.attisdropped WHERE c.oid = $1::pg_catalog.regclass ORDER BY a.attnum"

enum {
  SHAPE_NAME,
  SHAPE_NUMBER,
  SHAPE_TYPE,
  SHAPE_MODIFIER,
  SHAPE_DEFAULT,
  SHAPE_GENERATED,
  SHAPE_LARGE,
  SHAPE_OID,
  SHAPE_RELKIND,
  SHAPE_PERSISTENCE,
  SHAPE_IDENTITY,
  SHAPE_PRIMARY,
  SHAPE_CHILDREN,
  SHAPE_WAL_LEVEL,
  SHAPE_VERSION,
  SHAPE_RECOVERY
};

static int is_true(const PGresult *result, int field) {
  return PQgetvalue(result, 0, field)[0] == 't';
}

static int32_t check_server(const PGresult *result, struct dray_error *error) {
  if (strtol(PQgetvalue(result, 0, SHAPE_VERSION), NULL, 10) < VERSION_MIN) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "following a table needs PostgreSQL 14 or newer: read it by a cursor");
  }
  if (is_true(result, SHAPE_RECOVERY)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "the server is a replica, whose log is not followed: name the primary server in host");
  }
  if (strcmp(PQgetvalue(result, 0, SHAPE_WAL_LEVEL), "logical") != 0) {
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "replication",
        "the server's wal_level is %s: ALTER SYSTEM SET wal_level = 'logical', and restart the server",
        PQgetvalue(result, 0, SHAPE_WAL_LEVEL));
  }
  return DRAY_OK;
}

// A publication of a table without identity would have the server refuse UPDATE and DELETE to everybody: never made.
static int32_t check_table(const PGresult *result, const struct pg_table *table, struct dray_error *error) {
  const char kind = PQgetvalue(result, 0, SHAPE_RELKIND)[0], identity = PQgetvalue(result, 0, SHAPE_IDENTITY)[0];
  if ((kind != 'r' && kind != 'p') || PQgetvalue(result, 0, SHAPE_PERSISTENCE)[0] != 'p' ||
      is_true(result, SHAPE_CHILDREN)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "%.*s is %s, which is not in the server's log: read it by a cursor, or in full",
                           DRAY_STR_ARG(table->stream),
                           is_true(result, SHAPE_CHILDREN) ? "a table that others inherit from"
                           : kind == 'r' || kind == 'p'    ? "a temporary or unlogged table"
                                                           : "no table");
  }
  if (identity == 'n' || (identity == 'd' && !is_true(result, SHAPE_PRIMARY))) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "replication",
                           "%.*s has no %s, so the log does not say which rows change: ALTER TABLE %.*s %s, or ALTER "
                           "TABLE %.*s REPLICA IDENTITY FULL",
                           DRAY_STR_ARG(table->stream), identity == 'n' ? "replica identity" : "primary key",
                           DRAY_STR_ARG(table->stream),
                           identity == 'n' ? "REPLICA IDENTITY DEFAULT (or USING INDEX ...)" : "ADD PRIMARY KEY (...)",
                           DRAY_STR_ARG(table->stream));
  }
  return DRAY_OK;
}

static int32_t take_shape(const PGresult *result, struct pg_shape *shape, struct dray_error *error) {
  const int count = PQntuples(result);
  shape->columns = calloc((size_t)count + 1, sizeof *shape->columns);
  if (shape->columns == NULL) return no_memory(error);
  shape->table = (Oid)strtoul(PQgetvalue(result, 0, SHAPE_OID), NULL, 10);
  for (int row = 0; row < count; row++) {
    struct pg_shape_column *column = &shape->columns[row];
    column->name = dray_str_dup(dray_str_of(PQgetvalue(result, row, SHAPE_NAME)));
    if (column->name == NULL) return no_memory(error);
    shape->column_count++;
    column->number = (int)strtol(PQgetvalue(result, row, SHAPE_NUMBER), NULL, 10);
    column->type = (Oid)strtoul(PQgetvalue(result, row, SHAPE_TYPE), NULL, 10);
    column->modifier = (int32_t)strtol(PQgetvalue(result, row, SHAPE_MODIFIER), NULL, 10);
    column->has_default = PQgetvalue(result, row, SHAPE_DEFAULT)[0] == 't';
    column->generated = PQgetvalue(result, row, SHAPE_GENERATED)[0] == 't';
    column->large = PQgetvalue(result, row, SHAPE_LARGE)[0] == 't';
    shape->large |= column->large;
  }
  return DRAY_OK;
}

static int32_t ask(struct dray_source *source, const char *sql, int param_count, const char *const *params,
                   PGresult **out, struct dray_error *error) {
  DRAY_TRY(pg_enter(source->engine, error));
  return pg_link_ask(source->engine->link, sql, param_count, params, OPENING, out, error);
}

static int32_t learn_shape(struct dray_source *source, const struct pg_table *table, struct pg_shape *shape,
                           struct dray_error *error) {
  PGresult *result = NULL;
  struct dray_buffer name;
  dray_buffer_init(&name, SQL_BYTES_MAX);
  int32_t code = pg_table_write_name(table, &name, error);
  if (code == DRAY_OK) {
    const char *const params[] = {name.data};
    code = ask(source, SHAPE_SQL, 1, params, &result, error);
  }
  if (code == DRAY_OK && PQntuples(result) == 0) {
    code = dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no table %.*s any more", DRAY_STR_ARG(table->stream));
  }
  if (code == DRAY_OK) code = check_server(result, error);
  if (code == DRAY_OK) code = check_table(result, table, error);
  if (code == DRAY_OK) code = take_shape(result, shape, error);
  PQclear(result);
  dray_buffer_free(&name);
  return code;
}

// The log does not hold generated columns.
static int32_t leave_generated_out(struct dray_source *source, const struct dray_read_request *request,
                                   const struct pg_shape *shape, struct pg_table *table, struct dray_error *error) {
  size_t kept = 0;
  for (size_t i = 0; i < table->column_count; i++) {
    const struct pg_shape_column *column = pg_shape_find(shape, dray_str_of(table->columns[i].name));
    if (column != NULL && !column->generated) {
      table->not_null[kept] = table->not_null[i];
      table->columns[kept++] = table->columns[i];
      continue;
    }
    dray_log_printf(&source->engine->session.services, DRAY_LOG_WARN,
                    "%.*s: the column '%s' is generated, and the server's log does not hold it: it is left out",
                    DRAY_STR_ARG(request->stream), table->columns[i].name);
    free(table->columns[i].name);
  }
  table->column_count = kept;
  if (kept > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "%.*s has no column in the log", DRAY_STR_ARG(request->stream));
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

static int32_t check_publication(struct dray_source *source, const struct pg_table *table, const char *publication,
                                 int *out_ok, struct dray_error *error) {
  static const char sql[] =
      "SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate FROM pg_catalog.pg_publication p JOIN "
      "pg_catalog.pg_publication_tables t ON t.pubname = p.pubname WHERE p.pubname = $1 AND t.schemaname = $2 AND "
      "t.tablename = $3";
  const char *const params[] = {publication, table->schema, table->name};
  PGresult *result = NULL;
  DRAY_TRY(ask(source, sql, 3, params, &result, error));
  *out_ok = PQntuples(result) > 0;
  const int whole = *out_ok && is_true(result, 0);
  PQclear(result);
  if (!*out_ok || whole) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                         "the publication %s does not publish insert, update, delete and truncate: ALTER PUBLICATION "
                         "\"%s\" SET (publish = 'insert, update, delete, truncate')",
                         publication, publication);
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
  DRAY_TRY(ask(source, sql, 1, params, &result, error));
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
    DRAY_TRY(ask(source, look, 1, params, &result, error));
    const int found = PQntuples(result) > 0;
    PQclear(result);
    if (!found) return DRAY_OK;
    result = NULL;
    const int32_t code = ask(source, drop, 1, params, &result, &why);
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

static int32_t publish(struct dray_source *source, const struct pg_table *table, const struct pg_place *place,
                       struct dray_error *error) {
  const char *own = source->engine->session.settings.publication;
  struct dray_buffer sql;
  int ok = 0;
  if (own != NULL) {
    DRAY_TRY(check_publication(source, table, own, &ok, error));
    if (ok) return DRAY_OK;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "publication",
                           "there is no publication %s with the table %.*s: ALTER PUBLICATION \"%s\" ADD TABLE %.*s",
                           own, DRAY_STR_ARG(table->stream), own, DRAY_STR_ARG(table->stream));
  }
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  int32_t code =
      dray_buffer_printf(&sql, error, "DROP PUBLICATION IF EXISTS \"%s\"; CREATE PUBLICATION \"%s\" FOR TABLE ",
                         place->publication, place->publication);
  if (code == DRAY_OK) code = pg_table_write_name(table, &sql, error);
  if (code == DRAY_OK) code = dray_buffer_append_str(&sql, " WITH (publish_via_partition_root = true)", error);
  if (code == DRAY_OK) code = pg_enter(source->engine, error);
  if (code == DRAY_OK) code = pg_link_run(source->engine->link, sql.data, "making a publication", error);
  dray_buffer_free(&sql);
  if (code != DRAY_E_AUTH_FORBIDDEN) return code;
  return dray_fail_field(error, code, "publication",
                         "only the owner of %.*s with CREATE on the database may publish it. Have it made: CREATE "
                         "PUBLICATION dray FOR TABLE %.*s WITH (publish_via_partition_root = true); and name it: "
                         "`publication: dray`",
                         DRAY_STR_ARG(table->stream), DRAY_STR_ARG(table->stream));
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
                                  const struct pg_table *table, struct pg_link *link, struct pg_place *place,
                                  struct dray_stream *out, struct dray_error *error) {
  char snapshot[64], begin[160];
  struct dray_buffer state;
  dray_buffer_init(&state, STATE_BYTES_MAX);
  DRAY_TRY(make_slot(link, place, snapshot, sizeof snapshot, error));
  (void)snprintf(begin, sizeof begin, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '%s'",
                 snapshot);
  int32_t code = pg_place_write(place, request->stream, &state, error);
  if (code == DRAY_OK) code = pg_table_read(source, request, table, begin, state.data, out, error);
  dray_buffer_free(&state);
  return code;
}

static int32_t begin_log(struct dray_source *source, const struct dray_read_request *request, struct pg_table *table,
                         struct dray_stream *out, struct dray_error *error) {
  const char *publication = source->engine->session.settings.publication;
  struct pg_place place;
  struct pg_shape shape = {.table = 0};
  struct pg_link *link = NULL;
  struct server server;
  int dropped = 0;
  pg_place_init(&place);
  name_slot(request, place.slot);
  (void)snprintf(place.publication, sizeof place.publication, "%s", publication != NULL ? publication : place.slot);
  int32_t code = learn_shape(source, table, &shape, error);
  if (code == DRAY_OK) code = leave_generated_out(source, request, &shape, table, error);
  if (code != DRAY_OK) goto done;
  const int look = request->reader.len == 0 || (request->flags & DRAY_READ_LOOK) != 0;
  if (look) { // nothing is made, and there is no place to go on from
    code = pg_table_read(source, request, table, NULL, "", out, error);
    goto done;
  }
  code = write_columns(table, &shape, &place, error);
  if (code == DRAY_OK) code = pg_link_open_log(&source->engine->session, &link, error);
  if (code == DRAY_OK) code = identify(link, &server, error);
  if (code != DRAY_OK) goto done;
  memcpy(place.system, server.system, sizeof place.system);
  place.timeline = server.timeline;
  place.table = shape.table;
  code = drop_slot(source, place.slot, &dropped, error); // of a read that never came to its end
  if (code == DRAY_OK) code = publish(source, table, &place, error);
  if (code == DRAY_OK) code = read_table_at_slot(source, request, table, link, &place, out, error);
done:
  pg_link_free(link); // the snapshot is imported by now
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

static int32_t check_all(struct dray_source *source, const struct pg_following *following, struct dray_error *error) {
  const struct pg_place *place = &following->place;
  const struct pg_table *table = &following->table;
  struct pg_link *link = NULL;
  struct server server;
  int ok = 0;
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
  if (code == DRAY_OK) code = check_publication(source, table, place->publication, &ok, error);
  if (code != DRAY_OK) return code;
  if (ok) return DRAY_OK;
  return dray_fail(
      error, DRAY_E_STATE_CHECKPOINT,
      "%.*s: the publication %s is gone or does not have the table any more, and changes made meanwhile are "
      "not in the log: " ANEW,
      DRAY_STR_ARG(table->stream), place->publication);
}

// Takes the table over, also when it fails.
static int32_t prepare(struct dray_source *source, const struct dray_read_request *request, struct pg_table *table,
                       struct pg_following *out, struct dray_error *error) {
  struct pg_following following = {.table = *table};
  *table = (struct pg_table){.schema = NULL};
  pg_place_init(&following.place);
  int32_t code = read_place(request, &following.place, error);
  if (code == DRAY_OK) code = learn_shape(source, &following.table, &following.shape, error);
  if (code == DRAY_OK) code = leave_generated_out(source, request, &following.shape, &following.table, error);
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
  DRAY_TRY(ask(source, "SELECT pg_catalog.pg_current_wal_flush_lsn()", 0, NULL, &result, error));
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

static int32_t drop_publication(struct dray_source *source, const char *name, int *out_dropped,
                                struct dray_error *error) {
  const char *const params[] = {name};
  PGresult *result = NULL;
  char sql[2 * PG_SLOT_BYTES];
  *out_dropped = 0;
  DRAY_TRY(ask(source, "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1", 1, params, &result, error));
  const int found = PQntuples(result) > 0;
  PQclear(result);
  if (!found) return DRAY_OK;
  (void)snprintf(sql, sizeof sql, "DROP PUBLICATION IF EXISTS \"%s\"", name); // a name of our making: no quotes in it
  DRAY_TRY(pg_link_run(source->engine->link, sql, "removing a publication", error));
  *out_dropped = 1;
  return DRAY_OK;
}

static void tell(struct dray_json_writer *json, const char *kind, const char *name) {
  dray_json_begin_object(json);
  dray_json_key(json, "kind");
  dray_json_write_text(json, kind);
  dray_json_key(json, "name");
  dray_json_write_text(json, name);
  dray_json_end_object(json);
}

// The slot first: it is what costs. Its name is the same in every run of the reader, so the state is not needed.
int32_t pg_log_drop(struct dray_source *source, const struct dray_read_request *request, struct dray_str *out_json,
                    struct dray_error *error) {
  struct dray_json_writer json;
  char slot[PG_SLOT_BYTES];
  int dropped = 0;
  name_slot(request, slot);
  dray_buffer_clear(&source->answer);
  dray_json_writer_init(&json, &source->answer, error);
  dray_json_begin_array(&json);
  if (request->reader.len > 0) {
    DRAY_TRY(drop_slot(source, slot, &dropped, error));
    if (dropped) tell(&json, "replication slot", slot);
    DRAY_TRY(drop_publication(source, slot, &dropped, error));
    if (dropped) tell(&json, "publication", slot);
  }
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
