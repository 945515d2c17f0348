// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The warehouse role: a SQL engine that models are read from and rows are loaded into. The host
// generates all SQL from the facts of the dialect; the plugin executes it and moves bulk data.
#ifndef DRAY_WAREHOUSE_H
#define DRAY_WAREHOUSE_H

#include "dray/host.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_warehouse; // one configured instance; defined by the plugin

enum {
  DRAY_DIALECT_TRANSACTIONAL_DDL = 1u, // DDL takes part in a transaction
  DRAY_DIALECT_TEMP_TABLES = 2u,       // CREATE TEMP TABLE
  DRAY_DIALECT_SCHEMAS = 4u,           // schema.table names; without it the schema becomes a prefix "schema__"
  DRAY_DIALECT_UPDATE_FROM = 8u,       // UPDATE t SET ... FROM s WHERE ...
  DRAY_DIALECT_DELETE_USING = 16u,     // DELETE FROM t USING s WHERE ...; without it: WHERE EXISTS
  DRAY_DIALECT_NULL_SAFE_IS = 32u,     // a IS b compares NULLs; without it: a IS NOT DISTINCT FROM b
  DRAY_DIALECT_RENAME_TABLE = 64u,     // ALTER TABLE a RENAME TO b
  DRAY_DIALECT_WIDEN_TYPE = 128u,      // ALTER COLUMN ... TYPE to a wider type keeps the data
  // Since 1.1.
  DRAY_DIALECT_NULL_SAFE_EQUAL = 256u, // a <=> b compares NULLs
  DRAY_DIALECT_JOIN_WRITES = 512u,     // UPDATE s JOIN t ON ... SET t.c = s.c; DELETE t FROM s JOIN t ON ...
  DRAY_DIALECT_MODIFY_COLUMN = 1024u,  // with WIDEN_TYPE: it is spelt MODIFY COLUMN c type, and booleans become numbers
  DRAY_DIALECT_DROP_TEMPORARY = 2048u, // DROP TEMPORARY TABLE; DROP TABLE would end the transaction
  DRAY_DIALECT_NAMES_BMP = 4096u,      // names take no character beyond U+FFFF
  DRAY_DIALECT_JSON_IS_TEXT = 8192u,   // JSON columns compare and assign as text does: no CAST between the two
  DRAY_DIALECT_ADD_KEY = 16384u,       // ALTER TABLE t ADD PRIMARY KEY (...): the key is built when the rows are there
  DRAY_DIALECT_COPY_NOT_NULL = 32768u, // CREATE TABLE t AS SELECT ... copies NOT NULL
  // Since 1.2.
  DRAY_DIALECT_FINITE_FLOATS = 65536u,  // a float64 column takes neither NaN nor an infinity
  DRAY_DIALECT_TABLES_NOCASE = 131072u, // names of schemas and tables that differ by case alone are one table
  DRAY_DIALECT_LOOSE_MARKED = 262144u,  // describe says which texts are compared loosely; without it any may be
  DRAY_DIALECT_LIKE_TABLES = 524288u    // CREATE TEMPORARY TABLE a LIKE b; what such a one takes of DDL, b takes
};

enum { DRAY_PARAM_QUESTION = 1, DRAY_PARAM_DOLLAR = 2 }; // ?, or $1

// Facts about the engine. Caller-owned; strings are static memory of the plugin.
struct dray_dialect {
  uint32_t struct_size;
  uint32_t flags;       // DRAY_DIALECT_*
  uint32_t param_style; // DRAY_PARAM_*
  uint32_t identifier_bytes_max;
  uint32_t columns_max;
  uint32_t quote;       // the identifier quote character, doubled to escape: '"' or '`'
  struct dray_str name; // "sqlite", "postgres", ...
  // Column type of each canonical type, index DRAY_TYPE_*; 0 unused. "{p}" and "{s}" stand for precision and scale.
  struct dray_str types[10];
  // Since 1.1; zeros: there is no such fact.
  uint32_t identifier_chars_max; // characters of a name, beside identifier_bytes_max; 0: only bytes count
  uint32_t key_chars_max;        // characters that an index takes, of all its columns together: see key_types
  // What a column of a key is made as, where an index does not take the type of `types`; empty: as in `types`. "{n}"
  // stands for key_chars_max, divided by the number of the key's columns.
  struct dray_str key_types[10];
  // Two texts that this makes equal are equal byte by byte, "{c}" is the column or expression: "CAST({c} AS BINARY)".
  // Empty: = does. For all texts, or with DRAY_DIALECT_LOOSE_MARKED for those that describe marks. The keys of a model
  // with `diff: warehouse` are grouped by it as well, whatever their type is, where they are read as texts.
  struct dray_str exact_text;
  // What stands behind CREATE TABLE (...) of a table whose rows are updated by key: "WITH (fillfactor = 90)".
  struct dray_str keyed_table_options;
  // Two values of a column of this type, "{a}" and "{b}", are not the same value: exactly, whatever the engine calls
  // equal, and with nulls as values. Empty: the engine has no such comparison.
  struct dray_str differs[10];
  // Since 1.2; zeros: there is no such fact.
  uint64_t key_columns_max;       // columns that an index takes; 0: as many as a table
  struct dray_str default_schema; // where there are schemas: the one of a table that names none. Memory of the instance
  // How a text out of a table of dray's own stands beside one out of a column that is compared loosely, so that they
  // are compared byte by byte and an index over that column still serves: "{c} COLLATE utf8mb4_nopad_bin". Empty: the
  // engine has no such form, and takes any two collations beside each other.
  struct dray_str beside_text;
  uint32_t json_depth_max; // how deep a column of the type for JSON lets documents nest: "[[1]]" is 2; 0: any depth
  // Bytes of the columns of a key that are certain to go into its index. Of a value of no fixed size its bytes count,
  // and DRAY_KEY_VALUE_BYTES, any other counts DRAY_KEY_FIXED_BYTES. 0: any number.
  uint32_t key_bytes_max;
  uint64_t value_bytes_max; // bytes of a text, of bytes or JSON that the engine works with; 0: any number
};

#define DRAY_KEY_VALUE_BYTES 7
#define DRAY_KEY_FIXED_BYTES 32

// What describe says of a table's columns, in their metadata: keys, with the values that they have. The first must be
// said. The others are optional, and tell which values of its type a column does not take: rows with one are refused
// one by one before they are loaded, where the engine would refuse the load. So is a null in a column that is not
// nullable.
#define DRAY_MARK_PRIMARY_KEY "dray:primary_key" // "true": of the primary key
// Since 1.2; hosts before ignore them. Numbers are decimal digits.
#define DRAY_MARK_LENGTH_MAX "dray:length_max" // characters of a text, bytes of bytes
#define DRAY_MARK_UTF8_MAX "dray:utf8_max"     // bytes of a text in UTF-8
#define DRAY_MARK_VALUE_MIN "dray:value_min"   // of numbers and times: the least value, as dray/sdk/value.h spells it
#define DRAY_MARK_VALUE_MAX "dray:value_max"   // and the greatest
#define DRAY_MARK_DIGITS "dray:digits"         // of timestamps: "0" to "5" digits of a second are kept
#define DRAY_MARK_CHARACTERS "dray:characters" // of a text: DRAY_CHARACTERS_*
#define DRAY_MARK_JSON "dray:json"             // DRAY_JSON_*
// "true": texts whose bytes differ, by case, accents or blanks at the end, are equal in it. Must be said where the
// dialect has DRAY_DIALECT_LOOSE_MARKED.
#define DRAY_MARK_LOOSE "dray:loose"
// Of a text: how one out of a table of dray's own is brought to the column's character set and collation, so that an
// index over the column finds it: "CONVERT({c} USING latin1) COLLATE latin1_swedish_ci". What is found so is compared
// by the dialect's forms besides.
#define DRAY_MARK_FOUND_AS "dray:found_as"
#define DRAY_MARK_DEFAULT "dray:default" // "true": rows without the column get a value of the engine's

#define DRAY_CHARACTERS_ASCII "ascii"
#define DRAY_CHARACTERS_WINDOWS_1252 "windows-1252" // as browsers have it: with U+0081, 8D, 8F, 90 and 9D
#define DRAY_CHARACTERS_BMP "bmp"                   // up to U+FFFF
// Texts without U+0000, and numbers of at most 131072 digits before the point and 16383 behind it.
#define DRAY_JSON_POSTGRES_BINARY "jsonb"

// All slots are called on one thread at a time per instance, except interrupt. Optional slots may be NULL.
struct dray_warehouse_vtable {
  uint32_t struct_size;
  uint32_t flags; // none defined: 0

  // As in dray_source_vtable. Check names for a warehouse: reach, login, read, create, write.
  DRAY_NODISCARD int32_t (*spec)(struct dray_str *out_json, struct dray_error *error);
  DRAY_NODISCARD int32_t (*create)(const struct dray_host *host, struct dray_str config_json,
                                   struct dray_warehouse **out, struct dray_error *error);
  void (*destroy)(struct dray_warehouse *warehouse);
  DRAY_NODISCARD int32_t (*check)(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                  struct dray_error *error);

  // Connects. Every slot below needs it. @errors NET_*, AUTH_*, CONFIG_VALUE, BUSY.
  DRAY_NODISCARD int32_t (*open)(struct dray_warehouse *warehouse, struct dray_error *error);

  DRAY_NODISCARD int32_t (*dialect)(struct dray_warehouse *warehouse, struct dray_dialect *out,
                                    struct dray_error *error);

  // Lists tables and views, in the form of a source's discover. "schema" is given beside "name" where there are
  // schemas.
  DRAY_NODISCARD int32_t (*discover)(struct dray_warehouse *warehouse, struct dray_str *out_json,
                                     struct dray_error *error);

  // Describes one table: its columns as a struct schema. What is said of a column besides stands in its metadata,
  // DRAY_MARK_* above. *out_found = 0 and no schema when there is no such table. The caller releases *out.
  DRAY_NODISCARD int32_t (*describe)(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                     struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error);

  // Starts a query and streams its rows; memory does not grow with the result. Reading must not need
  // more than SELECT rights. @errors CONFIG_SQL with the engine's own message, NET_*, BUSY.
  DRAY_NODISCARD int32_t (*query)(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                                  uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error);

  // Executes one statement without a result. Parameters are the columns of a one-row struct array, or NULL
  // for none. *out_rows: rows affected, -1 if the engine does not say.
  DRAY_NODISCARD int32_t (*execute)(struct dray_warehouse *warehouse, struct dray_str sql,
                                    const struct ArrowSchema *params_schema, const struct ArrowArray *params,
                                    int64_t *out_rows, struct dray_error *error);

  // Loads a batch into an existing table by the engine's fastest way; columns are matched by name. Call it
  // again for the next batch; the load ends with the next call of another slot.
  DRAY_NODISCARD int32_t (*load)(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                 const struct ArrowSchema *batch_schema, const struct ArrowArray *batch,
                                 struct dray_error *error);

  DRAY_NODISCARD int32_t (*begin)(struct dray_warehouse *warehouse, struct dray_error *error);
  // Durable when it returns DRAY_OK. NET_CLOSED means in doubt: the host compares generations.
  DRAY_NODISCARD int32_t (*commit)(struct dray_warehouse *warehouse, struct dray_error *error);
  void (*rollback)(struct dray_warehouse *warehouse); // no transaction open: no effect

  void (*interrupt)(struct dray_warehouse *warehouse); // optional: called from another thread, ends a blocking call

  // Optional, since 1.2. The statements that give `count` columns of a table other types, columns[i] as describe names
  // it and types[i] as the dialect spells it, and leave all else of the table as it is: rows, order, NOT NULL,
  // defaults, comments, constraints, indexes, triggers, views. Changes nothing that outlasts the call; may be called
  // inside a transaction. *out_json: an array of strings, in their order, memory of the plugin until the next call;
  // empty: the host's own way, by the dialect, will do. @errors SCHEMA_DRIFT: it cannot be done, and what stands in its
  // way.
  DRAY_NODISCARD int32_t (*retype)(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                                   const struct dray_str *columns, const struct dray_str *types, uint64_t count,
                                   struct dray_str *out_json, struct dray_error *error);
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_WAREHOUSE_H
