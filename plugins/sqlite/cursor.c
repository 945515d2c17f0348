// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading what is new: the greatest value of a column, kept as JSON between runs, and the condition that asks SQLite
// for what is at least that. A condition may let a row through twice and must never hold one back, so everything that
// SQLite would compare by another rule than ours is let through as well.
#include "stream.h"

#include <math.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX (64u << 10) // of a text that is kept as the cursor's value
#define STATE_BYTES_MAX (1u << 20)
#define QUOTED_BYTES_MAX (1u << 12)

static int kind_of(struct dray_type type) {
  static const int kinds[] = {
      [DRAY_TYPE_INT64] = CURSOR_INTEGER, [DRAY_TYPE_FLOAT64] = CURSOR_REAL,   [DRAY_TYPE_STRING] = CURSOR_TEXT,
      [DRAY_TYPE_DATE] = CURSOR_TIME,     [DRAY_TYPE_TIMESTAMP] = CURSOR_TIME, [DRAY_TYPE_JSON] = CURSOR_NONE,
  };
  return kinds[type.id];
}

void cursor_clear(struct cursor *cursor) {
  free(cursor->stream);
  free(cursor->name);
  dray_buffer_free(&cursor->text);
  dray_buffer_free(&cursor->state);
  *cursor = (struct cursor){.kind = CURSOR_NONE};
}

int32_t cursor_init(struct cursor *cursor, struct dray_str stream, struct dray_str name, struct dray_type type,
                    struct dray_error *error) {
  char spelt[24];
  *cursor = (struct cursor){.kind = kind_of(type), .type = type};
  dray_buffer_init(&cursor->text, TEXT_BYTES_MAX);
  dray_buffer_init(&cursor->state, STATE_BYTES_MAX);
  if (cursor->kind == CURSOR_NONE) {
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "cursor",
                           "column '%.*s' is %s and cannot be a cursor: it takes an integer, a real number, a text, a "
                           "date or a timestamp",
                           DRAY_STR_ARG(name), dray_type_format(type, spelt, sizeof spelt));
  }
  cursor->stream = dray_str_dup(stream);
  cursor->name = dray_str_dup(name);
  if (cursor->stream != NULL && cursor->name != NULL) return DRAY_OK;
  cursor_clear(cursor);
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a cursor");
}

// ---- the value ----

static int32_t take_text(struct cursor *cursor, struct dray_str text, struct dray_error *error) {
  if (text.len > TEXT_BYTES_MAX) return DRAY_OK; // kept back at the value before it: its rows are read again
  if (cursor->known) {
    const size_t shorter = text.len < cursor->text.len ? (size_t)text.len : cursor->text.len;
    const int order = shorter > 0 ? memcmp(text.data, cursor->text.data, shorter) : 0;
    if (order < 0 || (order == 0 && text.len <= cursor->text.len)) return DRAY_OK;
  }
  dray_buffer_clear(&cursor->text);
  DRAY_TRY(dray_buffer_append(&cursor->text, text.data, (size_t)text.len, error));
  cursor->known = 1;
  return DRAY_OK;
}

static void take_integer(struct cursor *cursor, int64_t value) {
  if (cursor->known && cursor->integer >= value) return;
  cursor->integer = value;
  cursor->known = 1;
}

static void take_real(struct cursor *cursor, double value) {
  if (!isfinite(value) || (cursor->known && cursor->real >= value)) return;
  cursor->real = value;
  cursor->known = 1;
}

int32_t cursor_note(struct cursor *cursor, const struct cell *cell, struct dray_error *error) {
  int64_t us = 0;
  if (cursor->kind == CURSOR_TEXT && cell->storage == SQLITE_TEXT) return take_text(cursor, cell->bytes, error);
  if (cursor->kind == CURSOR_INTEGER && cell->storage == SQLITE_INTEGER) take_integer(cursor, cell->integer);
  if (cursor->kind == CURSOR_REAL && cell->storage == SQLITE_FLOAT) take_real(cursor, cell->real);
  if (cursor->kind == CURSOR_REAL && cell->storage == SQLITE_INTEGER) take_real(cursor, (double)cell->integer);
  if (cursor->kind == CURSOR_TIME && cell->storage == SQLITE_TEXT &&
      dray_parse_timestamp(cell->bytes, &us, NULL) == DRAY_OK) {
    take_integer(cursor, us);
  }
  return DRAY_OK;
}

// ---- as state ----

int32_t cursor_state(struct cursor *cursor, struct dray_str *out, struct dray_error *error) {
  struct dray_json_writer json;
  char text[DRAY_FORMAT_BYTES_MAX];
  dray_buffer_clear(&cursor->state);
  dray_json_writer_init(&json, &cursor->state, error);
  dray_json_begin_object(&json);
  dray_json_key(&json, "stream");
  dray_json_write_text(&json, cursor->stream);
  dray_json_key(&json, "column");
  dray_json_write_text(&json, cursor->name);
  dray_json_key(&json, "cursor");
  if (cursor->kind == CURSOR_INTEGER) {
    dray_json_write_int(&json, cursor->integer);
  } else if (cursor->kind == CURSOR_REAL) {
    dray_json_write_float(&json, cursor->real);
  } else if (cursor->kind == CURSOR_TIME) {
    dray_json_write_str(&json, dray_str_make(text, dray_format_timestamp(cursor->integer, text)));
  } else {
    dray_json_write_str(&json, dray_buffer_view(&cursor->text));
  }
  dray_json_end_object(&json);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out = dray_buffer_view(&cursor->state);
  return DRAY_OK;
}

static int take_value(struct cursor *cursor, const struct dray_json *value) {
  const int number = value != NULL && value->kind == DRAY_JSON_NUMBER;
  const int string = value != NULL && value->kind == DRAY_JSON_STRING;
  switch (cursor->kind) {
  case CURSOR_INTEGER:
    return number && dray_parse_int64(value->text, &cursor->integer, NULL) == DRAY_OK;
  case CURSOR_REAL:
    return number && dray_parse_float64(value->text, &cursor->real, NULL) == DRAY_OK;
  case CURSOR_TIME:
    return string && dray_parse_timestamp(value->text, &cursor->integer, NULL) == DRAY_OK;
  default:
    return string && take_text(cursor, value->text, NULL) == DRAY_OK;
  }
}

int32_t cursor_resume(struct cursor *cursor, struct dray_str state, struct dray_error *error) {
  struct dray_json *json = NULL;
  if (state.len == 0) return DRAY_OK;
  const int32_t code = dray_json_parse(state, STATE_BYTES_MAX, &json, error);
  if (code == DRAY_E_OUT_OF_MEMORY) return code;
  int ours = code == DRAY_OK && json->kind == DRAY_JSON_OBJECT;
  ours = ours && dray_str_is(dray_json_string(dray_json_get(json, "stream"), ""), cursor->stream);
  ours = ours && dray_str_is(dray_json_string(dray_json_get(json, "column"), ""), cursor->name);
  ours = ours && take_value(cursor, dray_json_get(json, "cursor"));
  dray_json_free(json);
  if (!ours) {
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the checkpoint is not one of table %s read by column %s: %.*s",
                     cursor->stream, cursor->name, DRAY_VALUE_ARG(state));
  }
  cursor->known = 1;
  return DRAY_OK;
}

// ---- as SQL ----

// A number is compared as a number; text, blobs and nulls in the column are let through (text and blobs are greater
// anyway). Times are compared as times, to the millisecond, because one column may spell them in several ways; what
// SQLite cannot read as a time is let through.
static const char *const conditions[] = {
    [CURSOR_INTEGER] = " WHERE %s >= ?1 OR %s IS NULL",
    [CURSOR_REAL] = " WHERE %s >= ?1 OR %s IS NULL",
    [CURSOR_TEXT] = " WHERE %s COLLATE BINARY >= ?1 OR typeof(%s) <> 'text'",
    [CURSOR_TIME] = " WHERE julianday(%s) >= julianday(?1) OR julianday(%s) IS NULL OR typeof(%s) <> 'text'",
};

int32_t cursor_condition(const struct cursor *cursor, struct dray_buffer *sql, struct dray_error *error) {
  struct dray_buffer name;
  if (!cursor->known) return DRAY_OK;
  dray_buffer_init(&name, QUOTED_BYTES_MAX);
  int32_t code = catalog_quote(dray_str_of(cursor->name), &name, error);
  for (const char *at = conditions[cursor->kind]; code == DRAY_OK && *at != '\0'; at++) {
    if (at[0] == '%' && at[1] == 's') {
      code = dray_buffer_append(sql, name.data, name.len, error);
      at++;
    } else {
      code = dray_buffer_append_char(sql, *at, error);
    }
  }
  dray_buffer_free(&name);
  return code;
}

int32_t cursor_bind(const struct cursor *cursor, sqlite3_stmt *statement, struct dray_error *error) {
  char text[DRAY_FORMAT_BYTES_MAX];
  int rc = SQLITE_OK;
  if (!cursor->known) return DRAY_OK;
  if (cursor->kind == CURSOR_INTEGER) {
    rc = sqlite3_bind_int64(statement, 1, cursor->integer);
  } else if (cursor->kind == CURSOR_REAL) {
    rc = sqlite3_bind_double(statement, 1, cursor->real);
  } else if (cursor->kind == CURSOR_TIME) {
    const size_t len = dray_format_timestamp(cursor->integer, text);
    rc = sqlite3_bind_text(statement, 1, text, (int)len, SQLITE_TRANSIENT);
  } else {
    rc = sqlite3_bind_text(statement, 1, cursor->text.data != NULL ? cursor->text.data : "", (int)cursor->text.len,
                           SQLITE_TRANSIENT);
  }
  return rc == SQLITE_OK ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to bind a cursor");
}
