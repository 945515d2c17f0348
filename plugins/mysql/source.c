// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: tables and views as streams, read by a query, whole or from a cursor on. Connections, queries,
// checks and catalogues are the warehouse's, which is used read only. Nothing is asked for in an order.
#include <stdlib.h>

#include "warehouse.h"

#define OWN_PREFIX "_dray_"
#define SQL_BYTES_MAX (1u << 20)
#define TEXT_BYTES_MAX (1u << 17)
#define STREAM_BYTES_MAX 512

struct dray_source {
  struct dray_warehouse *engine; // owned; read only
};

// ---- life ----

static int32_t source_spec(struct dray_str *out_json, struct dray_error *error) {
  return my_settings_spec(out_json, error);
}

static void source_destroy(struct dray_source *source) {
  if (source == NULL) return;
  my_warehouse_vtable.destroy(source->engine);
  free(source);
}

static int32_t source_create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                             struct dray_error *error) {
  struct dray_source *source = calloc(1, sizeof *source);
  if (source == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a source");
  const int32_t code = my_warehouse_vtable.create(host, config_json, &source->engine, error);
  if (code != DRAY_OK) {
    free(source);
    return code;
  }
  source->engine->session.settings.read_only = 1;
  source->engine->as_source = 1;
  *out = source;
  return DRAY_OK;
}

static int32_t source_check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  return my_warehouse_vtable.check(source->engine, out_json, error);
}

static int32_t source_discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  return my_warehouse_vtable.discover(source->engine, out_json, error);
}

static void source_interrupt(struct dray_source *source) {
  my_session_interrupt(&source->engine->session);
}

// ---- what is read of a table ----

struct opening {
  struct dray_warehouse *engine;
  const struct dray_read_request *request;
  struct dray_buffer schema, table; // the stream's name, taken apart
  struct my_table all;
  const struct my_column *cursor; // NULL: none
  int cursor_is_read;             // it is one of the columns that are given out
  struct dray_table_stream stream;
  struct dray_buffer sql;
  struct dray_error *error;
};

static ptrdiff_t find(const struct opening *opening, struct dray_str name) {
  for (size_t i = 0; i < opening->all.column_count; i++) {
    if (dray_str_is(name, opening->all.columns[i].name)) return (ptrdiff_t)i;
  }
  return -1;
}

static int32_t no_such_column(const struct opening *opening, struct dray_str name, const char *field) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < opening->all.column_count; i++) dray_nearest_offer(&nearest, opening->all.columns[i].name);
  return dray_fail_field(opening->error, DRAY_E_SCHEMA_COLUMN, field, "%.*s has no column '%.*s'%s",
                         DRAY_STR_ARG(opening->request->stream), DRAY_STR_ARG(name), dray_nearest_hint(&nearest));
}

static int32_t learn(struct opening *opening) {
  const struct dray_str schema = dray_buffer_view(&opening->schema), table = dray_buffer_view(&opening->table);
  int32_t code = my_table_read(opening->engine->link, schema, table, &opening->all, opening->error);
  if (my_may_repeat(opening->engine, code)) {
    DRAY_TRY(my_connect_again(opening->engine, opening->error));
    code = my_table_read(opening->engine->link, schema, table, &opening->all, opening->error);
  }
  DRAY_TRY(code);
  if (opening->all.found) return DRAY_OK;
  return dray_fail(opening->error, DRAY_E_SCHEMA_STREAM, "there is no table or view %.*s%s%s",
                   DRAY_STR_ARG(opening->request->stream), schema.len > 0 ? "" : " in database ",
                   schema.len > 0 ? "" : opening->engine->session.settings.database);
}

// ---- the cursor ----

// How a column is compared with the text of a value. What is not here has no order of its own, or one that its values
// do not show. Texts are compared as the bytes that are read: every collation has another order.
static const struct comparison {
  int wire;
  const char *before, *after; // around the column's name
  const char *type;           // before the value, in quotes; "X": as hex; NULL: the value as it is
} comparisons[] = {
    {MY_WIRE_INT, "", "", NULL},
    {MY_WIRE_UINT, "", "", NULL},
    {MY_WIRE_DECIMAL, "", "", NULL},
    {MY_WIRE_FLOAT, "(", " + 0e0)", NULL}, // as a double: the server rounds a value to the column's type
    {MY_WIRE_DOUBLE, "", "", NULL},
    {MY_WIRE_DATE, "", "", "DATE"},
    {MY_WIRE_TIMESTAMP, "", "", "TIMESTAMP"},
    {MY_WIRE_TEXT, "CAST(CONVERT(", " USING utf8mb4) AS BINARY)", "X"},
};

static const struct comparison *find_comparison(const struct my_column *column) {
  const int as_written = column->type.id == column->row->reads; // else a decimal that is read as its text
  const int labels = strcmp(column->row->name, "enum") == 0 || strcmp(column->row->name, "set") == 0;
  const int known = column->row->protocol != -1;
  for (size_t i = 0; as_written && known && !labels && i < sizeof comparisons / sizeof comparisons[0]; i++) {
    if (comparisons[i].wire == column->wire) return &comparisons[i];
  }
  return NULL;
}

static int32_t init_cursor(struct opening *opening) {
  const struct dray_read_request *request = opening->request;
  if (request->cursor.len == 0) {
    if (request->mode != DRAY_READ_INCREMENTAL) return DRAY_OK;
    return dray_fail_field(opening->error, DRAY_E_CONFIG_MISSING, "cursor",
                           "%.*s can be read incrementally only by a column that grows with every change: name it as "
                           "`cursor`, or read it in full",
                           DRAY_STR_ARG(request->stream));
  }
  const ptrdiff_t at = find(opening, request->cursor);
  if (at < 0) return no_such_column(opening, request->cursor, "cursor");
  const struct my_column *column = &opening->all.columns[at];
  if (find_comparison(column) == NULL) {
    return dray_fail_field(opening->error, DRAY_E_SCHEMA_COLUMN, "cursor",
                           "column '%s' is of type %s and cannot be a cursor: it takes an integer, decimal(p,s) of at "
                           "most 38 digits, float, double, date, datetime, timestamp, or a text",
                           column->name, column->row->name);
  }
  struct dray_cursor *cursor = &opening->stream.cursor;
  DRAY_TRY(dray_cursor_init(cursor, request->stream, request->cursor, column->type, opening->error));
  opening->cursor = column;
  return request->mode == DRAY_READ_INCREMENTAL ? dray_cursor_resume(cursor, request->state, opening->error) : DRAY_OK;
}

// A value of the cursor as SQL; `text` is its spelling.
static int32_t write_value(struct opening *opening, const struct comparison *how, struct dray_buffer *text) {
  struct dray_buffer *sql = &opening->sql;
  if (how->type == NULL) {
    DRAY_TRY(dray_buffer_append(sql, text->data, text->len, opening->error));
    // Without an exponent it would be a decimal.
    const int real = opening->cursor->type.id == DRAY_TYPE_FLOAT64;
    return real && memchr(text->data, 'e', text->len) == NULL ? dray_buffer_append_str(sql, "e0", opening->error)
                                                              : DRAY_OK;
  }
  DRAY_TRY(dray_buffer_printf(sql, opening->error, "%s'", how->type));
  if (how->wire == MY_WIRE_TEXT) {
    DRAY_TRY(my_encode_hex(dray_buffer_view(text), sql, opening->error));
  } else { // 2024-05-01T10:00:00.5Z is a blank for the T, and no Z, here
    for (size_t i = 0; i < text->len && text->data[i] != 'Z'; i++) {
      DRAY_TRY(dray_buffer_append_char(sql, text->data[i] == 'T' ? ' ' : text->data[i], opening->error));
    }
  }
  return dray_buffer_append_char(sql, '\'', opening->error);
}

static int32_t write_compared(struct opening *opening, const struct comparison *how, const char *operator) {
  DRAY_TRY(dray_buffer_append_str(&opening->sql, how->before, opening->error));
  DRAY_TRY(my_quote(dray_str_of(opening->cursor->name), &opening->sql, opening->error));
  DRAY_TRY(dray_buffer_append_str(&opening->sql, how->after, opening->error));
  return dray_buffer_append_str(&opening->sql, operator, opening->error);
}

// Rows without a value are never known to have been seen: they are read each time. So are those of the date that is
// none, 0000-00-00, which is read as null or rejects its row, and lies before all others.
static int32_t write_condition(struct opening *opening, struct dray_buffer *text) {
  static const struct comparison plain = {0, "", "", NULL};
  const struct my_settings *settings = &opening->engine->session.settings;
  const struct dray_cursor_overlap overlap = {settings->overlap_seconds, settings->overlap_units};
  const struct comparison *how = find_comparison(opening->cursor);
  int known = 0;
  DRAY_TRY(dray_cursor_bound_text(&opening->stream.cursor, overlap, text, &known, opening->error));
  if (!known) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(&opening->sql, " WHERE ", opening->error));
  DRAY_TRY(write_compared(opening, how, " >= "));
  DRAY_TRY(write_value(opening, how, text));
  DRAY_TRY(dray_buffer_append_str(&opening->sql, " OR ", opening->error));
  DRAY_TRY(write_compared(opening, &plain, " IS NULL"));
  if (how->wire != MY_WIRE_DATE && how->wire != MY_WIRE_TIMESTAMP) return DRAY_OK;
  DRAY_TRY(dray_buffer_append_str(&opening->sql, " OR ", opening->error));
  return write_compared(opening, &plain,
                        how->wire == MY_WIRE_DATE ? " < DATE'0001-01-01'" : " < TIMESTAMP'0001-01-01 00:00:00'");
}

// ---- the query ----

static int32_t write_column(struct opening *opening, const struct my_column *column, int64_t *count) {
  if (dray_column_reserved(column->name)) {
    return dray_fail_field(opening->error, DRAY_E_SCHEMA_NAME, column->name,
                           "a column named '%s' means something else to dray: read the others by `columns`",
                           column->name);
  }
  DRAY_TRY(dray_buffer_append_str(&opening->sql, *count == 0 ? "SELECT " : ", ", opening->error));
  DRAY_TRY(my_quote(dray_str_of(column->name), &opening->sql, opening->error));
  if (column == opening->cursor) {
    opening->cursor_is_read = 1;
    opening->stream.cursor_at = *count;
  }
  (*count)++;
  return DRAY_OK;
}

static int32_t write_columns(struct opening *opening) {
  const struct dray_read_request *request = opening->request;
  const size_t most = request->column_count > 0 ? (size_t)request->column_count : opening->all.column_count;
  int64_t count = 0;
  for (size_t i = 0; i < most; i++) {
    const ptrdiff_t at = request->column_count > 0 ? find(opening, request->columns[i]) : (ptrdiff_t)i;
    const int own = at >= 0 && strncmp(opening->all.columns[at].name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
    if (own && request->column_count == 0) continue;
    if (own || at < 0) return no_such_column(opening, request->columns[i], "columns");
    DRAY_TRY(write_column(opening, &opening->all.columns[at], &count));
  }
  if (count == 0) {
    return dray_fail(opening->error, DRAY_E_SCHEMA_STREAM, "%.*s has no column to read", DRAY_STR_ARG(request->stream));
  }
  if (opening->cursor == NULL || opening->cursor_is_read) return DRAY_OK;
  opening->stream.hidden = 1;
  return write_column(opening, opening->cursor, &count);
}

static int32_t write_sql(struct opening *opening) {
  struct dray_buffer text;
  DRAY_TRY(write_columns(opening));
  DRAY_TRY(dray_buffer_append_str(&opening->sql, " FROM ", opening->error));
  DRAY_TRY(my_quote_table(dray_buffer_view(&opening->schema), dray_buffer_view(&opening->table), &opening->sql,
                          opening->error));
  if (opening->cursor == NULL) return DRAY_OK;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  const int32_t code = write_condition(opening, &text);
  dray_buffer_free(&text);
  return code;
}

static int32_t start(struct opening *opening, struct dray_stream *out) {
  const struct dray_read_request *request = opening->request;
  DRAY_TRY(dray_table_name_read(request->stream, &opening->schema, &opening->table, opening->error));
  DRAY_TRY(my_enter(opening->engine, opening->error));
  DRAY_TRY(learn(opening));
  DRAY_TRY(init_cursor(opening));
  DRAY_TRY(write_sql(opening));
  DRAY_TRY(my_query_open(opening->engine, dray_buffer_view(&opening->sql), request->batch_bytes_max,
                         request->batch_rows_max, &opening->stream.inner, opening->error));
  return dray_table_stream_open(&opening->stream, out, opening->error);
}

static int32_t source_open(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  struct opening opening = {.engine = source->engine, .request = request, .error = error};
  opening.stream.services = &source->engine->session.services;
  dray_buffer_init(&opening.schema, STREAM_BYTES_MAX);
  dray_buffer_init(&opening.table, STREAM_BYTES_MAX);
  dray_buffer_init(&opening.sql, SQL_BYTES_MAX);
  const int32_t code = start(&opening, out);
  dray_cursor_free(&opening.stream.cursor); // what was not taken over
  my_table_free(&opening.all);
  dray_buffer_free(&opening.schema);
  dray_buffer_free(&opening.table);
  dray_buffer_free(&opening.sql);
  return code;
}

const struct dray_source_vtable my_source_vtable = {
    .struct_size = sizeof my_source_vtable,
    .spec = source_spec,
    .create = source_create,
    .destroy = source_destroy,
    .check = source_check,
    .discover = source_discover,
    .open = source_open,
    .interrupt = source_interrupt,
};
