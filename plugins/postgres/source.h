// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The source role: tables read by queries (tables.c), and followed in the server's log (log.c: slots and checkpoints,
// shape.c: the table and its replica identity, publication.c, follow.c: the stream, pgoutput.c: messages, changes.c:
// rows out of them).
#ifndef POSTGRES_SOURCE_H
#define POSTGRES_SOURCE_H

#include "warehouse.h"

extern const struct dray_source_vtable pg_source_vtable;

struct dray_source {
  struct dray_warehouse *engine; // owned: connections, queries, checks; read only
  struct dray_buffer answer;     // what drop gave out
};

// ---- tables.c: streams by name, and queries ----

#define PG_STREAM_BYTES_MAX 512
// A stream is called TABLE in the search path's first schema (schema ""), else SCHEMA.TABLE: dray/sdk/table_stream.h.

// The table behind a stream, and what is read of it.
struct pg_table {
  struct dray_str stream;    // borrowed from the request
  char *schema, *name;       // owned
  struct pg_column *columns; // those that are read, in order; owned with their names
  size_t column_count;
  int *not_null; // of `columns`; owned
  uint8_t *key;  // of `columns`: by which the reader knows rows (pg_identity_check); NULL: not asked; owned
  int keyed;     // some are
  PGresult *all; // every column of the table: rows of PG_COLUMN_*
};
// @errors SCHEMA_STREAM, SCHEMA_COLUMN.
DRAY_NODISCARD int32_t pg_table_open(struct dray_source *source, const struct dray_read_request *request,
                                     struct pg_table *out, struct dray_error *error);
void pg_table_free(struct pg_table *table);
// "schema"."table"
DRAY_NODISCARD int32_t pg_table_write_name(const struct pg_table *table, struct dray_buffer *out,
                                           struct dray_error *error);
// Reads the table by a query, by the request's cursor where it names one. `end_state` (NULL: none) is what the stream
// gives as its state at its end when there is no cursor; copied. `begin_sql` (NULL: none) is said right after BEGIN.
DRAY_NODISCARD int32_t pg_table_read(struct dray_source *source, const struct dray_read_request *request,
                                     const struct pg_table *table, const char *begin_sql, const char *end_state,
                                     struct dray_stream *out, struct dray_error *error);

// ---- pgoutput.c: the messages of the plugin pgoutput, protocol version 1 ----
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

#define PG_TUPLE_NULL (-1)
#define PG_TUPLE_UNCHANGED (-2) // a large value that was not touched and is not sent
#define PG_TUPLE_MISSING (-3)   // the relation has no such column

struct pg_value {
  const char *data; // borrowed from the message
  int32_t len;      // or PG_TUPLE_*
  int32_t binary;
};

struct pg_relation_column {
  struct dray_str name; // borrowed from the message
  Oid type;
  int key; // part of the replica identity
};

enum {
  PG_MESSAGE_OTHER = 0, // nothing that concerns rows
  PG_MESSAGE_BEGIN,
  PG_MESSAGE_COMMIT,
  PG_MESSAGE_RELATION,
  PG_MESSAGE_INSERT,
  PG_MESSAGE_UPDATE,
  PG_MESSAGE_DELETE,
  PG_MESSAGE_TRUNCATE
};

#define PG_COLUMNS_MAX 1664

struct pg_message {
  int kind;
  Oid relation;     // RELATION, INSERT, UPDATE, DELETE; TRUNCATE: one at a time by pg_message_truncates
  uint64_t end_lsn; // COMMIT
  size_t column_count;
  char identity;                      // RELATION: d, i, f or n, as in pg_class.relreplident
  struct pg_relation_column *columns; // RELATION: PG_COLUMNS_MAX of room, the caller's
  char old_kind;                      // 'K', 'O', or 0: no old row
  struct pg_value *old_row, *new_row; // PG_COLUMNS_MAX of room each, the caller's
  size_t old_count, new_count;
  struct dray_str truncated; // TRUNCATE: the relations' ids
};
// Reads one message; pointers go into `data`. @errors INTERNAL for one that is cut or not known to be possible.
DRAY_NODISCARD int32_t pg_message_read(struct dray_str data, struct pg_message *out, struct dray_error *error);
int pg_message_truncates(const struct pg_message *message, Oid relation);

#define PG_LSN_BYTES 24
const char *pg_lsn_format(uint64_t lsn, char out[PG_LSN_BYTES]);
DRAY_NODISCARD int pg_lsn_parse(const char *text, uint64_t *out); // 1: it is one

// ---- shape.c: the table in the catalogue ----

struct pg_shape_column {
  char *name; // owned
  int number;
  Oid type; // as it is declared, a domain perhaps
  int32_t modifier;
  int has_default, generated, large; // large: its values may lie outside the row
  int tells;                         // of the replica identity
};
// A table as the log knows it.
struct pg_shape {
  Oid table;
  struct pg_shape_column *columns; // owned
  size_t column_count;
  int large;                       // some column is
  int partitioned, identity_whole; // whole: REPLICA IDENTITY FULL
};
void pg_shape_free(struct pg_shape *shape);
const struct pg_shape_column *pg_shape_find(const struct pg_shape *shape, struct dray_str name);
// @errors CONFIG_VALUE for a server or a table that cannot be followed, SCHEMA_STREAM.
DRAY_NODISCARD int32_t pg_shape_learn(struct dray_source *source, const struct pg_table *table, struct pg_shape *shape,
                                      struct dray_error *error);
// Takes generated columns out of those that are read.
DRAY_NODISCARD int32_t pg_shape_leave_out(struct dray_source *source, const struct dray_read_request *request,
                                          const struct pg_shape *shape, struct pg_table *table,
                                          struct dray_error *error);
// Takes the request's key into the table, and refuses one that the log would not tell of a row that is gone. @errors
// CONFIG_VALUE, SCHEMA_COLUMN.
DRAY_NODISCARD int32_t pg_identity_check(struct dray_source *source, const struct dray_read_request *request,
                                         const struct pg_shape *shape, struct pg_table *table,
                                         struct dray_error *error);
// Of an identity that is the whole row, what rows are known by. `identity`: 1 for each of the table's columns that is.
void pg_identity_narrow(const struct pg_table *table, uint8_t *identity);
// "a, b": the columns that are marked, as many as there is room for. Returns out.
#define PG_NAMES_BYTES 160
const char *pg_identity_names(const struct pg_table *table, const uint8_t *marked, char out[PG_NAMES_BYTES]);

// ---- publication.c ----

#define PG_MARK_BYTES 96
// Whether all that is read of the table is published. `out_mark` is another one after whatever was done to the
// publication; "": it is not there, or not with the table. @errors CONFIG_VALUE when it leaves something out.
DRAY_NODISCARD int32_t pg_publication_check(struct dray_source *source, const struct pg_table *table,
                                            const struct pg_shape *shape, const char *publication,
                                            char out_mark[PG_MARK_BYTES], struct dray_error *error);
// The same of the one that the settings name, if they do: it must be there.
DRAY_NODISCARD int32_t pg_publication_check_own(struct dray_source *source, const struct pg_table *table,
                                                const struct pg_shape *shape, struct dray_error *error);
// Makes one of dray's own, anew if it is there. @errors AUTH_FORBIDDEN.
DRAY_NODISCARD int32_t pg_publication_make(struct dray_source *source, const struct pg_table *table, const char *name,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t pg_publication_drop(struct dray_source *source, const char *name, int *out_dropped,
                                           struct dray_error *error);

// ---- log.c: slot, checkpoint ----

#define PG_SLOT_BYTES 64

// One query with text parameters; the result is whole and text.
DRAY_NODISCARD int32_t pg_log_ask(struct dray_source *source, const char *sql, int param_count,
                                  const char *const *params, PGresult **out, struct dray_error *error);

// A place in the log, and all by which it is known that it is still the same log of the same table.
struct pg_place {
  char slot[PG_SLOT_BYTES], publication[PG_SLOT_BYTES]; // publication of dray's making, or the setting's
  char mark[PG_MARK_BYTES];                             // of the publication: pg_publication_check
  char system[32];
  int64_t timeline;
  Oid table;
  uint64_t lsn;               // everything that committed before it was given out
  struct dray_buffer columns; // those that are read, as JSON: {"name": [number, type oid, modifier], ...}
  int64_t top;                // the highest number of a column that the table had
};
void pg_place_init(struct pg_place *place);
void pg_place_free(struct pg_place *place);
// @errors OUT_OF_MEMORY, LIMIT.
DRAY_NODISCARD int32_t pg_place_write(const struct pg_place *place, struct dray_str stream, struct dray_buffer *out,
                                      struct dray_error *error);
// Whether a read of this request follows the log.
int pg_log_wanted(const struct dray_source *source, const struct dray_read_request *request);
// The streams of an incremental read: the table as it is and a slot that begins there, or the changes since the state.
DRAY_NODISCARD int32_t pg_log_open(struct dray_source *source, const struct dray_read_request *request,
                                   struct dray_stream *out, struct dray_error *error);
DRAY_NODISCARD int32_t pg_log_drop(struct dray_source *source, const struct dray_read_request *request,
                                   struct dray_str *out_json, struct dray_error *error);
DRAY_NODISCARD int32_t pg_log_wait(struct dray_source *source, const struct dray_read_request *request,
                                   uint64_t timeout_ms, uint32_t *out_news, struct dray_error *error);

// ---- follow.c: the walsender's side ----

struct pg_follow {
  struct pg_link *link; // owned, in COPY BOTH
  uint64_t confirmed;   // what the server is told to be durable here; 0: nothing
  int64_t asked_ms;     // when it was last asked where it is
  int64_t patience_ms;  // until it is asked again: twice as long each time
};
// Begins to stream from the slot. Tells the server that what lies before `confirmed` is durable.
DRAY_NODISCARD int32_t pg_follow_start(struct dray_source *source, const struct pg_place *place, int look,
                                       struct pg_follow *out, struct dray_error *error);
void pg_follow_end(struct pg_follow *follow);
// The next message: *out_row (free with PQfreemem) with *out_data in it, or NULL when none came in that time, or when
// the server only said how far it is: *out_reached then holds its place, else 0.
DRAY_NODISCARD int32_t pg_follow_next(struct pg_follow *follow, int64_t timeout_ms, char **out_row,
                                      struct dray_str *out_data, uint64_t *out_reached, struct dray_error *error);

// ---- changes.c: rows out of messages ----

// What a stream of changes is made of; all is owned.
struct pg_following {
  struct pg_follow follow;
  struct pg_place place;
  struct pg_table table;
  struct pg_shape shape;
  uint64_t target; // where it ends
};
void pg_following_free(struct pg_following *following);
// Takes over what is in `following` (zeroed), also when it fails.
DRAY_NODISCARD int32_t pg_changes_open(struct dray_source *source, const struct dray_read_request *request,
                                       struct pg_following *following, struct dray_stream *out,
                                       struct dray_error *error);

// ---- rows.c: changed rows, kept until they make a batch ----

struct pg_rows; // opaque

// One changed row: values of the table's columns in their order.
struct pg_row {
  const struct pg_value *values;
  int deleted; // a tombstone
  int fetch;   // values that are UNCHANGED are to be asked for; else they stay absent
};
// Of the columns that tell rows apart: never 0.
uint64_t pg_row_hash(const struct pg_table *table, const uint8_t *identity, const struct pg_value *values);
// `identity` marks the columns of the table that tell its rows apart. Borrows source and table. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t pg_rows_new(struct dray_source *source, const struct pg_table *table, uint64_t batch_bytes_max,
                                   uint64_t batch_rows_max, struct pg_rows **out, struct dray_error *error);
void pg_rows_free(struct pg_rows *rows);
const struct ArrowSchema *pg_rows_schema(const struct pg_rows *rows);
DRAY_NODISCARD int32_t pg_rows_add(struct pg_rows *rows, const struct pg_row *row, const uint8_t *identity,
                                   struct dray_error *error);
// How full the batch is: 0, 1: more than half, 2: full.
int pg_rows_full(const struct pg_rows *rows);
int pg_rows_empty(const struct pg_rows *rows);
// What was added, as a batch; out->release stays NULL when there is nothing. It may take several calls: until
// pg_rows_empty.
DRAY_NODISCARD int32_t pg_rows_take(struct pg_rows *rows, const uint8_t *identity, struct ArrowArray *out,
                                    struct dray_error *error);

#endif // POSTGRES_SOURCE_H
