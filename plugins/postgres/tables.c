// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tables and views as streams: their names, what is read of them, and reading by a query, whole or from a cursor on.
// Nothing is asked for in an order: the one safe place of a read is its end, where every row up to the greatest value
// has been given out.
#include <stdlib.h>

#include "source.h"

#define OWN_PREFIX "_dray_"
#define SQL_BYTES_MAX (1u << 20)
#define BEGIN_BYTES_MAX 1024

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read a table");
}

// ---- names ----

// Schema and table of the stream; "" is none.
static int32_t take_name(struct pg_table *table, struct dray_error *error) {
  struct dray_buffer schema, name;
  dray_buffer_init(&schema, PG_STREAM_BYTES_MAX);
  dray_buffer_init(&name, PG_STREAM_BYTES_MAX);
  int32_t code = dray_table_name_read(table->stream, &schema, &name, error);
  if (code == DRAY_OK) {
    table->schema = dray_str_dup(dray_buffer_view(&schema));
    table->name = dray_str_dup(dray_buffer_view(&name));
    if (table->schema == NULL || table->name == NULL) code = no_memory(error);
  }
  dray_buffer_free(&schema);
  dray_buffer_free(&name);
  return code;
}

int32_t pg_table_write_name(const struct pg_table *table, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(pg_quote(dray_str_of(table->schema), out, error));
  DRAY_TRY(dray_buffer_append_char(out, '.', error));
  return pg_quote(dray_str_of(table->name), out, error);
}

// ---- what is read of a table ----

void pg_table_free(struct pg_table *table) {
  for (size_t i = 0; table->columns != NULL && i < table->column_count; i++) free(table->columns[i].name);
  free(table->columns);
  free(table->not_null);
  free(table->key);
  free(table->schema);
  free(table->name);
  PQclear(table->all);
  *table = (struct pg_table){.schema = NULL};
}

static int find_row(const struct pg_table *table, struct dray_str name) {
  for (int row = 0; row < PQntuples(table->all); row++) {
    if (dray_str_is(name, PQgetvalue(table->all, row, PG_COLUMN_NAME))) return row;
  }
  return -1;
}

static int32_t no_such_column(const struct pg_table *table, struct dray_str name, const char *field,
                              struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (int row = 0; row < PQntuples(table->all); row++) {
    dray_nearest_offer(&nearest, PQgetvalue(table->all, row, PG_COLUMN_NAME));
  }
  return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, field, "%.*s has no column '%.*s'%s", DRAY_STR_ARG(table->stream),
                         DRAY_STR_ARG(name), dray_nearest_hint(&nearest));
}

static int32_t take_column(struct pg_table *table, int row, struct dray_error *error) {
  const char *name = PQgetvalue(table->all, row, PG_COLUMN_NAME);
  struct pg_column *column = &table->columns[table->column_count];
  if (dray_column_reserved(name)) {
    return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name,
                           "a column named '%s' means something else to dray: read the others by `columns`", name);
  }
  *column = pg_catalog_column(table->all, row);
  column->name = dray_str_dup(dray_str_of(name));
  if (column->name == NULL) return no_memory(error);
  table->not_null[table->column_count++] = PQgetvalue(table->all, row, PG_COLUMN_NOT_NULL)[0] == 't';
  return DRAY_OK;
}

static int32_t choose_columns(struct pg_table *table, const struct dray_read_request *request,
                              struct dray_error *error) {
  const size_t all = (size_t)PQntuples(table->all);
  const size_t most = request->column_count > 0 ? (size_t)request->column_count : all;
  table->columns = calloc(most + 1, sizeof *table->columns);
  table->not_null = calloc(most + 1, sizeof *table->not_null);
  if (table->columns == NULL || table->not_null == NULL) return no_memory(error);
  for (size_t i = 0; i < most; i++) {
    const int row = request->column_count > 0 ? find_row(table, request->columns[i]) : (int)i;
    const char *name = row >= 0 ? PQgetvalue(table->all, row, PG_COLUMN_NAME) : "";
    const int own = strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
    if (own && request->column_count == 0) continue;
    if (own || row < 0) return no_such_column(table, request->columns[i], "columns", error);
    DRAY_TRY(take_column(table, row, error));
  }
  if (table->column_count > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "%.*s has no column to read", DRAY_STR_ARG(table->stream));
}

static int32_t learn(struct dray_source *source, const struct dray_read_request *request, struct pg_table *table,
                     struct dray_error *error) {
  struct dray_warehouse *engine = source->engine;
  int own = 0;
  DRAY_TRY(take_name(table, error));
  DRAY_TRY(pg_enter(engine, error));
  DRAY_TRY(pg_own_begin(engine, 1, &own, error));
  int32_t code =
      pg_catalog_columns(engine->link, dray_str_of(table->schema), dray_str_of(table->name), &table->all, error);
  DRAY_TRY(pg_own_end(engine, own, code, error));
  if (PQntuples(table->all) == 0) {
    return dray_fail(error, DRAY_E_SCHEMA_STREAM, "database %s has no table or view %.*s, or it has no columns",
                     engine->session.settings.database, DRAY_STR_ARG(request->stream));
  }
  if (table->schema[0] == '\0') { // as the search path has it now
    free(table->schema);
    table->schema = dray_str_dup(dray_str_of(PQgetvalue(table->all, 0, PG_COLUMN_SCHEMA)));
    if (table->schema == NULL) return no_memory(error);
  }
  return choose_columns(table, request, error);
}

int32_t pg_table_open(struct dray_source *source, const struct dray_read_request *request, struct pg_table *out,
                      struct dray_error *error) {
  struct pg_table table = {.stream = request->stream};
  const int32_t code = learn(source, request, &table, error);
  if (code != DRAY_OK) {
    pg_table_free(&table);
    return code;
  }
  *out = table;
  return DRAY_OK;
}

// ---- the cursor, as SQL ----

// How a column is compared with the text of a value, by the type below its domain. Types that are not here have no
// order of their own, or one that their text does not show.
static const struct comparison {
  Oid oid;
  const char *column, *literal; // after the column, and around the text: quoted when there is a literal
} comparisons[] = {
    {20, "", NULL},                                         // bigint
    {21, "", NULL},                                         // smallint
    {23, "", NULL},                                         // integer
    {26, "::pg_catalog.int8", NULL},                        // oid
    {700, "", "::pg_catalog.float8"},                       // real
    {701, "", "::pg_catalog.float8"},                       // double precision
    {1700, "", NULL},                                       // numeric(p,s)
    {1082, "", "::pg_catalog.date"},                        // date
    {1114, "", "::pg_catalog.timestamp"},                   // timestamp: taken as UTC
    {1184, "", "::pg_catalog.timestamptz"},                 // timestamptz
    {25, " COLLATE pg_catalog.\"C\"", ""},                  // text
    {1043, " COLLATE pg_catalog.\"C\"", ""},                // varchar
    {19, "::pg_catalog.text COLLATE pg_catalog.\"C\"", ""}, // name
    {2950, "", "::pg_catalog.uuid"},                        // uuid: as its text
};

static const struct comparison *find_comparison(const struct pg_column *column) {
  for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
    if (comparisons[i].oid == column->oid && column->cast == PG_CAST_NONE) return &comparisons[i];
  }
  return NULL;
}

static int32_t write_literal(struct dray_warehouse *engine, const struct comparison *how,
                             const struct dray_buffer *text, struct dray_buffer *sql, struct dray_error *error) {
  if (how->literal == NULL) return dray_buffer_append(sql, text->data, text->len, error);
  char *quoted = PQescapeLiteral(engine->link->conn, text->data != NULL ? text->data : "", text->len);
  if (quoted == NULL) return no_memory(error);
  int32_t code = dray_buffer_append_str(sql, quoted, error);
  PQfreemem(quoted);
  return code == DRAY_OK ? dray_buffer_append_str(sql, how->literal, error) : code;
}

// Rows without a value are never known to have been seen: they are read each time.
static int32_t write_condition(struct dray_source *source, const struct dray_cursor *cursor,
                               const struct pg_column *column, int not_null, struct dray_buffer *sql,
                               struct dray_error *error) {
  const struct pg_settings *settings = &source->engine->session.settings;
  const struct dray_cursor_overlap overlap = {settings->overlap_seconds, settings->overlap_units};
  const struct comparison *how = find_comparison(column);
  struct dray_buffer text;
  int known = 0;
  dray_buffer_init(&text, 1u << 17);
  int32_t code = dray_cursor_bound_text(cursor, overlap, &text, &known, error);
  if (code != DRAY_OK || !known) goto done;
  code = dray_buffer_append_str(sql, " WHERE ", error);
  if (code == DRAY_OK) code = pg_quote(dray_str_of(column->name), sql, error);
  if (code == DRAY_OK) code = dray_buffer_printf(sql, error, "%s >= ", how->column);
  if (code == DRAY_OK) code = write_literal(source->engine, how, &text, sql, error);
  if (code == DRAY_OK && !not_null) {
    code = dray_buffer_append_str(sql, " OR ", error);
    if (code == DRAY_OK) code = pg_quote(dray_str_of(column->name), sql, error);
    if (code == DRAY_OK) code = dray_buffer_append_str(sql, " IS NULL", error);
  }
done:
  dray_buffer_free(&text);
  return code;
}

// ---- opening ----

static int32_t init_cursor(struct dray_table_stream *stream, const struct dray_read_request *request,
                           const struct pg_table *table, struct pg_column *out_column, int *out_not_null,
                           struct dray_error *error) {
  if (request->cursor.len == 0) {
    if (request->mode != DRAY_READ_INCREMENTAL || stream->end_state.data != NULL) return DRAY_OK;
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "cursor",
                           "%.*s can be read incrementally only by a column that grows with every change: name it as "
                           "`cursor`, follow the table with `replication: true`, or read it in full",
                           DRAY_STR_ARG(table->stream));
  }
  const int row = find_row(table, request->cursor);
  if (row < 0) return no_such_column(table, request->cursor, "cursor", error);
  *out_column = pg_catalog_column(table->all, row);
  *out_not_null = PQgetvalue(table->all, row, PG_COLUMN_NOT_NULL)[0] == 't';
  out_column->name = PQgetvalue(table->all, row, PG_COLUMN_NAME); // borrowed
  if (find_comparison(out_column) == NULL) {
    const struct pg_type *type = pg_type_find(out_column->oid);
    return dray_fail_field(
        error, DRAY_E_SCHEMA_COLUMN, "cursor",
        "column '%s' is of type %s%s and cannot be a cursor: it takes an integer, numeric(p,s), real, "
        "date, timestamp, text, varchar or uuid",
        out_column->name, type != NULL ? type->name : "unknown to dray",
        out_column->oid == 1700 ? " without precision" : "");
  }
  DRAY_TRY(dray_cursor_init(&stream->cursor, request->stream, request->cursor, out_column->type, error));
  stream->cursor_at = (int64_t)table->column_count;
  stream->hidden = 1;
  for (size_t i = 0; i < table->column_count; i++) {
    if (!dray_str_is(request->cursor, table->columns[i].name)) continue;
    stream->cursor_at = (int64_t)i;
    stream->hidden = 0;
  }
  return request->mode == DRAY_READ_INCREMENTAL ? dray_cursor_resume(&stream->cursor, request->state, error) : DRAY_OK;
}

static int32_t write_select(const struct pg_table *table, const char *hidden, struct dray_buffer *sql,
                            struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(sql, "SELECT ", error));
  for (size_t i = 0; i < table->column_count; i++) {
    if (i > 0) DRAY_TRY(dray_buffer_append_str(sql, ", ", error));
    DRAY_TRY(pg_quote(dray_str_of(table->columns[i].name), sql, error));
  }
  if (hidden != NULL) {
    DRAY_TRY(dray_buffer_append_str(sql, ", ", error));
    DRAY_TRY(pg_quote(dray_str_of(hidden), sql, error));
  }
  DRAY_TRY(dray_buffer_append_str(sql, " FROM ", error));
  return pg_table_write_name(table, sql, error);
}

// The statements that begin a transaction are the session's: ours go before them for this one.
static int32_t open_query(struct dray_source *source, const struct dray_read_request *request, const char *begin_sql,
                          struct dray_str sql, struct dray_stream *out, struct dray_error *error) {
  struct dray_buffer *local = &source->engine->session.local_sql;
  const struct dray_buffer kept = *local;
  struct dray_buffer with;
  DRAY_TRY(pg_enter(source->engine, error));
  if (begin_sql == NULL) {
    return pg_query_open(source->engine, sql, request->batch_bytes_max, request->batch_rows_max, out, error);
  }
  dray_buffer_init(&with, BEGIN_BYTES_MAX);
  int32_t code = dray_buffer_printf(&with, error, "%s; ", begin_sql);
  if (code == DRAY_OK) code = dray_buffer_append(&with, kept.data, kept.len, error);
  if (code == DRAY_OK) {
    *local = with;
    code = pg_query_open(source->engine, sql, request->batch_bytes_max, request->batch_rows_max, out, error);
    *local = kept;
  }
  dray_buffer_free(&with);
  return code;
}

int32_t pg_table_read(struct dray_source *source, const struct dray_read_request *request, const struct pg_table *table,
                      const char *begin_sql, const char *end_state, struct dray_stream *out, struct dray_error *error) {
  struct dray_table_stream stream = {.services = &source->engine->session.services};
  struct pg_column column = {.name = NULL};
  struct dray_buffer sql;
  int not_null = 0;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  if (end_state != NULL) stream.end_state = dray_str_of(end_state);
  int32_t code = init_cursor(&stream, request, table, &column, &not_null, error);
  if (code == DRAY_OK) code = write_select(table, stream.hidden ? column.name : NULL, &sql, error);
  if (code == DRAY_OK) code = pg_enter(source->engine, error); // literals are quoted by the connection
  if (code == DRAY_OK && column.name != NULL) {
    code = write_condition(source, &stream.cursor, &column, not_null, &sql, error);
  }
  if (code == DRAY_OK) code = open_query(source, request, begin_sql, dray_buffer_view(&sql), &stream.inner, error);
  if (code == DRAY_OK) code = dray_table_stream_open(&stream, out, error);
  dray_cursor_free(&stream.cursor); // what was not taken over
  dray_buffer_free(&sql);
  return code;
}
