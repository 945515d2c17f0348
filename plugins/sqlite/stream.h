// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows of a statement as a stream of batches, and the cursor that an incremental read goes by.
#ifndef SQLITE_STREAM_H
#define SQLITE_STREAM_H

#include "cell.h"
#include "connection.h"

// ---- cursor.c ----

// What an incremental read goes by. Rows that have the greatest value are read again the next time: others may have got
// it since.
struct cursor {
  struct dray_cursor value;
  int ordered; // rows come in the cursor's order, so that every batch ends at a safe place
  int column;  // in the statement
};
void cursor_clear(struct cursor *cursor);
// A column of a type that has an order. @errors SCHEMA_COLUMN, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t cursor_init(struct cursor *cursor, struct dray_str stream, struct dray_str name,
                                   struct dray_type type, struct dray_error *error);
int cursor_in_use(const struct cursor *cursor);
// Appends the condition that leaves out what was read before, with one parameter; nothing when nothing was.
DRAY_NODISCARD int32_t cursor_condition(const struct cursor *cursor, struct dray_buffer *sql, struct dray_error *error);
DRAY_NODISCARD int32_t cursor_bind(const struct cursor *cursor, sqlite3_stmt *statement, struct dray_error *error);
DRAY_NODISCARD int32_t cursor_note(struct cursor *cursor, const struct cell *cell, struct dray_error *error);

// ---- stream.c ----

struct stream_options {
  uint64_t batch_bytes_max, batch_rows_max;
  size_t column_count;   // the statement's first columns that are given out; 0: all
  struct cursor *cursor; // moved into the stream; NULL or not in use: none
};
// Takes the statement over, also when it fails. Reads ahead where a column's type is not declared.
DRAY_NODISCARD int32_t stream_open(struct connection *connection, sqlite3_stmt *statement,
                                   const struct stream_options *options, struct dray_stream *out,
                                   struct dray_error *error);

// The columns of a statement with their types, as stream_open decides them: for discover. The statement is reset. The
// caller frees *out.
struct stream_column {
  char *name; // owned
  struct dray_type type;
};
DRAY_NODISCARD int32_t stream_columns(struct connection *connection, sqlite3_stmt *statement,
                                      struct stream_column **out, size_t *out_count, struct dray_error *error);
void stream_columns_free(struct stream_column *columns, size_t count);

#endif // SQLITE_STREAM_H
