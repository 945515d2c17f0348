// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON three ways: a reader that turns a stream of bytes and a list of paths into columns without
// building documents, a small tree for control-plane documents (specs, catalogues, receipts), and a writer.
// yajl is used inside and never shows.
#ifndef DRAY_SDK_JSON_H
#define DRAY_SDK_JSON_H

#include "dray/sdk/column.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_JSON_DEPTH_MAX 64

// ---- rows: bytes in, columns out ----

struct dray_json_field {
  const char *path; // "id", "customer.email", "lines[0].sku"; "" is the record itself; a name with dots or brackets is written ["a.b"]
  size_t column;    // index in the builder
};

struct dray_json_rows_options {
  const char *records_path;    // where the records are: NULL or "" for one record per top-level value (JSON Lines or concatenated), "items[*]" for the
                               // elements of an array inside a document
  uint64_t record_bytes_max;   // 0: 16 MiB
  int32_t depth_max;           // 0: DRAY_JSON_DEPTH_MAX
  int32_t lines;               // 1: records are separated by newlines and a bad line spoils only itself (JSON Lines); 0: a syntax error ends the input
};

struct dray_json_rows; // opaque

// Values land in builder columns with exact conversion: numbers keep every digit (20-digit ids, decimals), strings are parsed as the column's type,
// objects and arrays land in JSON columns verbatim (compact) or in STRING columns as JSON text, a missing path is absent. @owner `builder` is borrowed until free.
DRAY_NODISCARD int32_t dray_json_rows_new(const struct dray_json_field *fields, size_t field_count,
                                          const struct dray_json_rows_options *options, struct dray_builder *builder,
                                          struct dray_json_rows **out, struct dray_error *error);
void dray_json_rows_free(struct dray_json_rows *rows);
// Consumes bytes until the input or the batch is full: *out_used bytes were taken; *out_full = 1 when the builder must be finished before more is fed. A record with a bad
// value goes to the builder's _dray_error column when the schema has one (the other columns null), else the call fails. `end` marks the last bytes.
// @errors DATA_JSON with line and byte position, DATA_TOO_LARGE, LIMIT (depth), OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_rows_feed(struct dray_json_rows *rows, const char *data, size_t len, int32_t end, size_t *out_used,
                                           int32_t *out_full, struct dray_error *error);
uint64_t dray_json_rows_count(const struct dray_json_rows *rows); // records seen

// ---- a tree, for small documents ----

enum { DRAY_JSON_NULL = 1, DRAY_JSON_BOOL, DRAY_JSON_NUMBER, DRAY_JSON_STRING, DRAY_JSON_ARRAY, DRAY_JSON_OBJECT };

struct dray_json {
  int32_t kind;           // DRAY_JSON_*
  int32_t boolean;
  struct dray_str text;   // STRING: the value; NUMBER: its digits as written. NUL-terminated
  struct dray_str name;   // in an object: the member's name. NUL-terminated
  struct dray_json *child; // ARRAY, OBJECT: first element
  struct dray_json *next;  // next element of the parent
  size_t child_count;
};

// Parses one document of at most bytes_max bytes. Duplicate member names are refused. @owner free with dray_json_free (one allocation arena).
// @errors DATA_JSON with line and column, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_parse(struct dray_str text, uint64_t bytes_max, struct dray_json **out, struct dray_error *error);
void dray_json_free(struct dray_json *root);
// The member, or NULL. Path: "a.b[2].c", names quoted as in dray_json_field.
const struct dray_json *dray_json_get(const struct dray_json *object, const char *name);
const struct dray_json *dray_json_path(const struct dray_json *root, const char *path);
struct dray_str dray_json_string(const struct dray_json *value, const char *otherwise); // STRING's text, else `otherwise`
// Rewrites JSON text compactly, keeping member order and the digits of numbers. @errors DATA_JSON, LIMIT.
DRAY_NODISCARD int32_t dray_json_compact(struct dray_str text, struct dray_buffer *out, struct dray_error *error);

// ---- writer ----

// Appends to a buffer; commas and colons are the writer's. Misuse (a value without a key) is an assertion. First failure sticks: check the last call, or all.
struct dray_json_writer {
  struct dray_buffer *out;
  struct dray_error *error;
  int32_t failed;     // code of the first failure
  int32_t depth;
  int32_t after_key;
  uint8_t has_elements[DRAY_JSON_DEPTH_MAX];
};
void dray_json_writer_init(struct dray_json_writer *writer, struct dray_buffer *out, struct dray_error *error);
void dray_json_begin_object(struct dray_json_writer *writer);
void dray_json_end_object(struct dray_json_writer *writer);
void dray_json_begin_array(struct dray_json_writer *writer);
void dray_json_end_array(struct dray_json_writer *writer);
void dray_json_key(struct dray_json_writer *writer, const char *name);
void dray_json_key_str(struct dray_json_writer *writer, struct dray_str name);
void dray_json_write_null(struct dray_json_writer *writer);
void dray_json_write_bool(struct dray_json_writer *writer, int32_t value);
void dray_json_write_int(struct dray_json_writer *writer, int64_t value);
void dray_json_write_float(struct dray_json_writer *writer, double value); // NaN and infinities become null
void dray_json_write_str(struct dray_json_writer *writer, struct dray_str value);
void dray_json_write_text(struct dray_json_writer *writer, const char *value);
void dray_json_write_raw(struct dray_json_writer *writer, struct dray_str json); // already JSON
// One value of a column by its type: decimals as numbers with all digits, dates and timestamps as strings, bytes as base64, json as it is.
void dray_json_write_column(struct dray_json_writer *writer, const struct dray_column_view *column, uint64_t row);
DRAY_NODISCARD int32_t dray_json_writer_finish(struct dray_json_writer *writer); // DRAY_OK, or the first failure

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_JSON_H
