// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One configured instance, and what its slots are made of.
#ifndef MYSQL_WAREHOUSE_H
#define MYSQL_WAREHOUSE_H

#include "link.h"
#include "types.h"

extern const struct dray_warehouse_vtable my_warehouse_vtable;
extern const struct dray_source_vtable my_source_vtable; // source.c

#define MY_STATEMENTS_KEPT 10 // of 1, 2, 4 ... rows

// A load that goes on from batch to batch: lines are collected, and sent a statement at a time.
struct my_load {
  int open;
  int own;           // in a transaction of its own
  char *target;      // the table and its columns: the same text is the same load; owned
  char *sql;         // LOAD DATA; owned
  uint8_t *no_nulls; // owned; by column: the server would make something else of a null
  size_t column_count;
  uint64_t rows;                              // collected
  struct dray_buffer lines;                   // collected
  size_t sent;                                // of `lines`, while they are sent
  MYSQL_STMT *statements[MY_STATEMENTS_KEPT]; // INSERTs, where LOAD DATA LOCAL is refused
};

struct my_reading; // a query's stream, query.c

struct dray_warehouse {
  struct my_session session;
  struct my_link *link; // NULL until opened, and after it was lost
  int in_transaction;   // the host's, on `link`
  int lost;             // the connection broke inside it, or the server undid it: nothing goes until it is rolled back
  // The stream that reads from `link`, if any; under the session's lock, since a stream may end on another thread.
  struct my_reading *reading;
  struct my_load load;
  int as_source;             // the engine of a source: discover speaks of streams
  struct dray_buffer answer; // what check and discover gave out: valid until the next of them
};

// Every slot begins here: ends a load, leaves the link to a stream that still reads from it, and connects where there
// is no link. @errors BUSY inside a transaction whose query is still being read.
DRAY_NODISCARD int32_t my_enter(struct dray_warehouse *warehouse, struct dray_error *error);
// The same, for a load that goes on.
DRAY_NODISCARD int32_t my_enter_load(struct dray_warehouse *warehouse, struct dray_error *error);
// Gives up a link that is dead and makes a new one, for a call that changes nothing and so can be made again. Not
// inside a transaction. @errors as my_link_open.
DRAY_NODISCARD int32_t my_connect_again(struct dray_warehouse *warehouse, struct dray_error *error);
// Whether a call that failed so may be made again on a new link.
int my_may_repeat(const struct dray_warehouse *warehouse, int32_t code);

// Begins a transaction of the plugin's own unless the host has one open; *out_own says which.
DRAY_NODISCARD int32_t my_own_begin(struct dray_warehouse *warehouse, int read_only, int *out_own,
                                    struct dray_error *error);
// Ends it: commits when `code` is DRAY_OK. Returns the outcome of both.
DRAY_NODISCARD int32_t my_own_end(struct dray_warehouse *warehouse, int own, int32_t code, struct dray_error *error);

// ---- query.c ----

DRAY_NODISCARD int32_t my_query_open(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                                     uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error);
// The stream keeps the link it reads from; the instance has none afterwards. Under the session's lock.
void my_reading_detach(struct my_reading *reading);

// ---- load.c ----

void my_load_init(struct my_load *load);
DRAY_NODISCARD int32_t my_load_batch(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                     const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                                     struct dray_error *error);
DRAY_NODISCARD int32_t my_load_end(struct dray_warehouse *warehouse, struct dray_error *error);
void my_load_abandon(struct dray_warehouse *warehouse);

// ---- catalog.c ----

DRAY_NODISCARD int32_t my_catalog_describe(struct dray_warehouse *warehouse, struct dray_str schema,
                                           struct dray_str table, struct ArrowSchema *out, uint32_t *out_found,
                                           struct dray_error *error);
DRAY_NODISCARD int32_t my_catalog_discover(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                           struct dray_error *error);

// What a table or view is made of. Zero-initialise; free with my_table_free.
struct my_table {
  int found;
  struct my_column *columns; // owned
  uint8_t *not_null;         // owned, per column
  uint32_t *key_place;       // owned, per column: 1 for the first column of the key; 0: none
  uint8_t *loose;            // owned, per column: of a collation to which texts of different bytes are equal
  size_t column_count;
};
DRAY_NODISCARD int32_t my_table_read(struct my_link *link, struct dray_str schema, struct dray_str table,
                                     struct my_table *out, struct dray_error *error);
void my_table_free(struct my_table *table);
void my_columns_free(struct my_column *columns, size_t count); // and their names

// ---- texts.c ----

// Says of the columns of a described table what texts they take, and which have a default, by SHOW FULL COLUMNS.
DRAY_NODISCARD int32_t my_texts_mark(MYSQL_RES *shown, struct ArrowSchema *table, struct dray_error *error);

// ---- retype.c ----

// See dray_warehouse_vtable.retype.
struct my_retyped {
  struct dray_str schema, table;
  const struct dray_str *columns, *types;
  uint64_t count;
};
DRAY_NODISCARD int32_t my_retype(struct dray_warehouse *warehouse, const struct my_retyped *wanted,
                                 struct dray_str *out_json, struct dray_error *error);

// ---- check.c ----

DRAY_NODISCARD int32_t my_check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error);

#endif // MYSQL_WAREHOUSE_H
