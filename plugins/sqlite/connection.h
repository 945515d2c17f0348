// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One database file, opened: what both roles of the plugin stand on.
#ifndef SQLITE_CONNECTION_H
#define SQLITE_CONNECTION_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "dray/sdk.h"

struct sqlite_settings {
  char *path; // owned, by dray_config_bind
  int64_t busy_timeout_ms;
  int32_t read_only;
};

// The statement of a load that goes on from batch to batch.
struct sqlite_load {
  sqlite3_stmt *statement; // NULL: no load is going on
  char *target;            // the INSERT's text: the same text is the same load; owned
  char *texts;             // DRAY_FORMAT_BYTES_MAX for each parameter; owned
};

struct connection {
  struct dray_services services;
  struct sqlite_settings settings;
  sqlite3 *db;                  // NULL until opened
  _Atomic(sqlite3 *) interrupt; // the same, for the thread that interrupts
  int source;                   // opened for the source role
  int immutable;                // opened as a file that nobody can change
  int64_t waiting_since_ms;     // for a lock; 0: not waiting
  struct sqlite_load load;
  struct dray_buffer answer; // what check and discover gave out: valid until the next of them
};

// The JSON Schema of the settings, in static memory. Any thread.
DRAY_NODISCARD int32_t connection_spec(int source, struct dray_str *out_json, struct dray_error *error);
DRAY_NODISCARD int32_t connection_init(struct connection *connection, const struct dray_host *host,
                                       struct dray_str config_json, int source, struct dray_error *error);
void connection_free(struct connection *connection);
// Opens the file, if it is not open yet. @errors CONFIG_VALUE (path), AUTH_FORBIDDEN, BUSY, IO, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t connection_open(struct connection *connection, struct dray_error *error);
void connection_interrupt(struct connection *connection);
// Turns a result code into an error. `sql_code` is what a plain SQL error becomes.
int32_t connection_fail(const struct connection *connection, int rc, int32_t sql_code, const char *doing,
                        struct dray_error *error);
// Prepares the only statement of `sql`. @errors sql_code when there is none, or more than one, or SQLite refuses it.
DRAY_NODISCARD int32_t connection_prepare(struct connection *connection, struct dray_str sql, int32_t sql_code,
                                          sqlite3_stmt **out, struct dray_error *error);
// Runs SQL of our own without parameters or results.
DRAY_NODISCARD int32_t connection_run(struct connection *connection, const char *sql, struct dray_error *error);

// Ends the transaction, if one is open. Cannot fail: at worst the connection is closed, which is a rollback too.
void connection_rollback(struct connection *connection);

// ---- types.c ----

// The type that a declared type stands for; id 0: nothing is declared. For reading, an unknown name is a string, which
// any value but a blob can become. For writing (what describe says) it is what SQLite would store: a decimal in a
// NUMERIC column is only kept up to 15 digits.
struct dray_type sqlite_type_of(const char *declared, int for_writing);
extern const struct dray_str sqlite_dialect_types[10];

// ---- catalog.c ----

DRAY_NODISCARD int32_t catalog_discover(struct connection *connection, struct dray_str *out_json,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t catalog_describe(struct connection *connection, struct dray_str schema, struct dray_str table,
                                        struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error);
// "name" with quotes doubled.
DRAY_NODISCARD int32_t catalog_quote(struct dray_str name, struct dray_buffer *out, struct dray_error *error);
// Whether a table or view of exactly this name is there to be read.
DRAY_NODISCARD int32_t catalog_has(struct connection *connection, struct dray_str name, int *out_found,
                                   struct dray_error *error);

// ---- retype.c ----

// See dray_warehouse_vtable.retype.
DRAY_NODISCARD int32_t retype_columns(struct connection *connection, struct dray_str table,
                                      const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                      struct dray_str *out_json, struct dray_error *error);

// ---- check.c ----

DRAY_NODISCARD int32_t check_connection(struct connection *connection, struct dray_str *out_json,
                                        struct dray_error *error);

// ---- load.c ----

// Binds row `row` of a column as it is stored (README.md). Bytes are bound where they are. `text`:
// DRAY_FORMAT_BYTES_MAX for a value that is written out, which stays there as long as it is bound; NULL: SQLite makes a
// copy of it.
DRAY_NODISCARD int32_t load_bind(struct connection *connection, sqlite3_stmt *statement, int parameter,
                                 const struct dray_column_view *column, uint64_t row, char *text,
                                 struct dray_error *error);
DRAY_NODISCARD int32_t load_batch(struct connection *connection, struct dray_str schema, struct dray_str table,
                                  const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                                  struct dray_error *error);
void load_end(struct connection *connection);

#endif // SQLITE_CONNECTION_H
