// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One configured instance, and what its slots are made of.
#ifndef POSTGRES_WAREHOUSE_H
#define POSTGRES_WAREHOUSE_H

#include "link.h"
#include "types.h"

extern const struct dray_warehouse_vtable pg_warehouse_vtable;

// A COPY that goes on from batch to batch.
struct pg_load {
  int open;     // a COPY is going on
  int own;      // in a transaction of its own
  char *target; // its statement: the same text is the same load; owned
  int *wires;   // of its columns; owned
};

struct pg_reading; // a query's stream, query.c

struct dray_warehouse {
  struct pg_session session;
  struct pg_link *link; // NULL until opened, and after it was lost
  int in_transaction;   // the host's, on `link`
  int lost;             // the connection broke inside it: nothing goes until it is rolled back
  // The stream that reads from `link`, if any; under the session's lock, since a stream may end on another thread.
  struct pg_reading *reading;
  struct pg_load load;
  struct pg_encoder encoder;
  int as_source;             // the engine of a source: discover and check speak of streams
  char default_schema[256];  // where tables land whose schema is not named
  struct dray_buffer answer; // what check and discover gave out: valid until the next of them
};

// Every slot begins here: ends a load, leaves the link to a stream that still reads from it, and connects where there
// is no link. @errors BUSY inside a transaction whose query is still being read.
DRAY_NODISCARD int32_t pg_enter(struct dray_warehouse *warehouse, struct dray_error *error);
// The same, for a load that goes on.
DRAY_NODISCARD int32_t pg_enter_load(struct dray_warehouse *warehouse, struct dray_error *error);

// Begins a transaction of the plugin's own unless the host has one open; *out_own says which. A link that was lost
// since it was last used is made anew here.
DRAY_NODISCARD int32_t pg_own_begin(struct dray_warehouse *warehouse, int read_only, int *out_own,
                                    struct dray_error *error);
// Ends it: commits when `code` is DRAY_OK. Returns the outcome of both.
DRAY_NODISCARD int32_t pg_own_end(struct dray_warehouse *warehouse, int own, int32_t code, struct dray_error *error);

// ---- query.c ----

DRAY_NODISCARD int32_t pg_query_open(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                                     uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error);
// The stream keeps the link it reads from; the instance has none afterwards. Under the session's lock.
void pg_reading_detach(struct pg_reading *reading);

// ---- scan.c ----

// The first statement of a text: without blanks, comments and semicolons around it.
struct pg_statement {
  struct dray_str text;
  char verb[16]; // its first word, in lower case, behind opening parentheses
};
void pg_scan(struct dray_str sql, struct pg_statement *out);
// 1 when COPY (...) takes it.
int pg_statement_selects(const struct pg_statement *statement);
// 1 when it would change rows and return them. The server refuses it as well, but only when rows are asked for.
int pg_statement_writes(const struct pg_statement *statement);

// ---- load.c ----

DRAY_NODISCARD int32_t pg_load_batch(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                     const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t pg_load_end(struct dray_warehouse *warehouse, struct dray_error *error);
void pg_load_abandon(struct dray_warehouse *warehouse);

// ---- catalog.c ----

DRAY_NODISCARD int32_t pg_catalog_describe(struct dray_warehouse *warehouse, struct dray_str schema,
                                           struct dray_str table, struct ArrowSchema *out, uint32_t *out_found,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t pg_catalog_discover(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                           struct dray_error *error);
// Whether the columns can get other types; see dray_warehouse_vtable.retype. The statements are the dialect's.
// @errors SCHEMA_DRIFT says what keeps one from it.
DRAY_NODISCARD int32_t pg_catalog_retype(struct pg_link *link, struct dray_str schema, struct dray_str table,
                                         const struct dray_str *columns, uint64_t count, struct dray_error *error);
// The columns of a table: rows of name, oid, modifier, category, kind, not null, place in the key. No rows: no table.
DRAY_NODISCARD int32_t pg_catalog_columns(struct pg_link *link, struct dray_str schema, struct dray_str table,
                                          PGresult **out, struct dray_error *error);
// What those rows hold. The domain's base type counts; KEY is 0 outside the key.
enum {
  PG_COLUMN_NAME,
  PG_COLUMN_OID,
  PG_COLUMN_MODIFIER,
  PG_COLUMN_CATEGORY,
  PG_COLUMN_KIND,
  PG_COLUMN_NOT_NULL,
  PG_COLUMN_KEY,
  PG_COLUMN_SCHEMA,
  PG_COLUMN_TABLE,
  PG_COLUMN_RELKIND,
  PG_COLUMN_REQUIRED, // a domain of it is NOT NULL
  PG_COLUMN_DEFAULT,
  PG_COLUMN_LOOSE
};
// One row as the plugin reads it, without its name.
struct pg_column pg_catalog_column(const PGresult *result, int row);
// "name" with quotes doubled.
DRAY_NODISCARD int32_t pg_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error);

// ---- check.c ----

DRAY_NODISCARD int32_t pg_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error);

#endif // POSTGRES_WAREHOUSE_H
