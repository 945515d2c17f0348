// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading what is new, in SQLite's words: which of its values a cursor takes, and the condition that asks for what is
// at least the one it holds (what it holds is the SDK's part). A condition may let a row through twice and must never
// hold one back, so everything that SQLite would compare by another rule than ours is let through as well.
#include "stream.h"

#define QUOTED_BYTES_MAX (1u << 12)

void cursor_clear(struct cursor *cursor) {
  dray_cursor_free(&cursor->value);
  *cursor = (struct cursor){.ordered = 0};
}

int32_t cursor_init(struct cursor *cursor, struct dray_str stream, struct dray_str name, struct dray_type type,
                    struct dray_error *error) {
  *cursor = (struct cursor){.ordered = 0};
  if (type.id == DRAY_TYPE_DECIMAL) { // the file holds it as a real or a text, which compare otherwise
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, "cursor",
                           "column '%.*s' is a decimal, which SQLite stores as a real number or a text: it cannot be a "
                           "cursor",
                           DRAY_STR_ARG(name));
  }
  return dray_cursor_init(&cursor->value, stream, name, type, error);
}

int cursor_in_use(const struct cursor *cursor) {
  return cursor->value.kind != DRAY_CURSOR_NONE;
}

int32_t cursor_note(struct cursor *cursor, const struct cell *cell, struct dray_error *error) {
  struct dray_cursor *value = &cursor->value;
  int64_t us = 0;
  switch (value->kind) {
  case DRAY_CURSOR_INTEGER:
    if (cell->storage == SQLITE_INTEGER) dray_cursor_note_integer(value, cell->integer);
    break;
  case DRAY_CURSOR_REAL:
    if (cell->storage == SQLITE_FLOAT) dray_cursor_note_real(value, cell->real);
    if (cell->storage == SQLITE_INTEGER) dray_cursor_note_real(value, (double)cell->integer);
    break;
  case DRAY_CURSOR_TIME:
    if (cell->storage == SQLITE_TEXT && dray_parse_timestamp(cell->bytes, &us, NULL) == DRAY_OK) {
      dray_cursor_note_integer(value, us);
    }
    break;
  default:
    if (cell->storage == SQLITE_TEXT) return dray_cursor_note_text(value, cell->bytes, error);
    break;
  }
  return DRAY_OK;
}

// ---- as SQL ----

// A number is compared as a number; text, blobs and nulls in the column are let through (text and blobs are greater
// anyway). Times are compared as times, to the millisecond, because one column may spell them in several ways; what
// SQLite cannot read as a time is let through.
static const char *const conditions[] = {
    [DRAY_CURSOR_INTEGER] = " WHERE %s >= ?1 OR %s IS NULL",
    [DRAY_CURSOR_REAL] = " WHERE %s >= ?1 OR %s IS NULL",
    [DRAY_CURSOR_TEXT] = " WHERE %s COLLATE BINARY >= ?1 OR typeof(%s) <> 'text'",
    [DRAY_CURSOR_TIME] = " WHERE julianday(%s) >= julianday(?1) OR julianday(%s) IS NULL OR typeof(%s) <> 'text'",
};

int32_t cursor_condition(const struct cursor *cursor, struct dray_buffer *sql, struct dray_error *error) {
  struct dray_buffer name;
  if (!cursor->value.known) return DRAY_OK;
  dray_buffer_init(&name, QUOTED_BYTES_MAX);
  int32_t code = catalog_quote(dray_str_of(cursor->value.column), &name, error);
  for (const char *at = conditions[cursor->value.kind]; code == DRAY_OK && *at != '\0'; at++) {
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
  // One writer at a time: what commits later was not drawn before what was seen. No overlap is needed.
  const struct dray_cursor_overlap overlap = {0, 0};
  struct dray_cursor_value from;
  char text[DRAY_FORMAT_BYTES_MAX];
  int rc = SQLITE_OK;
  if (!dray_cursor_bound(&cursor->value, overlap, &from)) return DRAY_OK;
  if (cursor->value.kind == DRAY_CURSOR_INTEGER) {
    rc = sqlite3_bind_int64(statement, 1, from.integer);
  } else if (cursor->value.kind == DRAY_CURSOR_REAL) {
    rc = sqlite3_bind_double(statement, 1, from.real);
  } else if (cursor->value.kind == DRAY_CURSOR_TIME) {
    const size_t len = dray_format_timestamp(from.integer, text);
    rc = sqlite3_bind_text(statement, 1, text, (int)len, SQLITE_TRANSIENT);
  } else {
    rc = sqlite3_bind_text(statement, 1, from.text.data != NULL ? from.text.data : "", (int)from.text.len,
                           SQLITE_TRANSIENT);
  }
  return rc == SQLITE_OK ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to bind a cursor");
}
