// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON three ways: a reader that turns a stream of bytes and a list of paths into columns without building documents, a
// small tree for control-plane documents (specs, catalogues, receipts), and a writer. yajl is used inside and never
// shows.
//
// Everywhere: text is UTF-8 and nothing else (RFC 8259, 8.1), a BOM at the very start is skipped, and an escaped
// surrogate without its other half is an error, since no text can hold it.
#ifndef DRAY_SDK_JSON_H
#define DRAY_SDK_JSON_H

#include "dray/sdk/column.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_JSON_DEPTH_MAX 64
#define DRAY_JSON_MEMBERS_MAX 4

// ---- rows: bytes in, columns out ----

struct dray_json_field {
  const char *path; // "id", "customer.email", "lines[0].sku"; "" is the record itself; a name with dots or brackets is
                    // written ["a.b"], with \" and \\ inside
  size_t column;    // index in the builder; one field per column
};

// A value beside the records of a document: a page's cursor, say. One that stands twice in a document is DATA_JSON.
struct dray_json_capture {
  const char *path; // names only: "meta.after_cursor"; not one that leads into the records, around
                    // them or into another capture. Borrowed until free
  struct dray_buffer
      *out;      // borrowed until free; gets a scalar's text (a string's value, digits, true, false, null) or a
                 // container's compact JSON, at most its max (LIMIT); emptied by every document
  int32_t found; // written: 0, or the DRAY_JSON_* kind
};

// A value that is not in the records, for every row: the parent that a page is about, say. Read as the column's type.
struct dray_json_constant {
  size_t column;
  const struct dray_buffer *text; // looked at for each record; empty: null
};

struct dray_json_rows_options {
  const char *records_path;  // where the records are: NULL or "" for one record per top-level value (JSON Lines or
                             // concatenated), "items[*]" for the elements of an array inside a document, "[*]" for
                             // those of a top-level array, "result" for a single one. Other parts are skipped
  uint64_t record_bytes_max; // 0: 16 MiB
  int32_t depth_max;         // of the whole document; 0: DRAY_JSON_DEPTH_MAX; at most 1024
  int32_t lines;             // 1: every line is one record and a bad line spoils only itself (JSON Lines); blank lines
                             // are skipped; not together with records_path. 0: a syntax error ends the input
  const char *only_with;     // a member's name: records without it, or where it is null, are passed over, be they good
                             // or bad; NULL: all. Copied
  const char *only_without;  // the other way round: records where it is there and not null are passed over. Both are
                             // looked at on the record's own level, of objects only
  // Called at the end of every whole record that is an object, the bad ones too: 0 passes it over. values: the scalars'
  // texts of `members`, which are names on the record's own level, at most DRAY_JSON_MEMBERS_MAX (not copied); data
  // NULL: absent, null or a container. For rows that came before, say, since pages shift.
  const char *const *members;
  size_t member_count;
  int (*wanted)(void *wanted_ctx, const struct dray_str *values); // NULL: all records are
  void *wanted_ctx;
  int32_t empty_is_null; // 1: "" is null, but in STRING and BYTES columns: vendors write no date so
  const struct dray_json_constant *constants; // borrowed until free
  size_t constant_count;
  struct dray_json_capture *captures; // outside of the records; not together with `lines`
  size_t capture_count;
  const char *name;      // what the input is called in messages ("orders.jsonl"); NULL: nothing. Copied
  uint64_t lines_before; // added to line numbers, for an input that begins in the middle of a file
};

struct dray_json_rows; // opaque; one thread at a time

// Values land in builder columns with exact conversion: numbers keep every digit (20-digit ids, decimals), strings are
// parsed as the column's type (BYTES: base64), objects and arrays land in JSON columns verbatim but compact (order of
// members and digits kept, blanks and needless escapes dropped) or in STRING columns as such JSON text; a string
// lands in a JSON column as a JSON string. What does not convert is a bad record, as is text for a STRING column that
// holds "\u0000".
//  - null becomes null, and so does every path below it: {"customer": null} makes customer.email null.
//  - A path that the record does not have is absent (column.h), also where a value on the way is of another kind.
//  - A member that a path names and that stands twice in one object is a bad record (DATA_JSON): the last would win in
//    some readers and the first in others. Members nobody asked for are not looked at, except for their syntax.
//  - A record into which no path can lead (a number where names are wanted, an array where the path lacks "[*]") is a
//    bad record (DATA_SHAPE).
// A value that does not convert makes a row that says so with its column (dray_builder_misfit) and has all the other
// values: "data_type: column 'total': orders.jsonl line 7: total: 'abc' is not a number". A record that is bad as a
// whole has only the reason, all columns null. Without _dray_error in the schema the call fails with that error.
// @owner `builder` is borrowed until free; fields and options only during the call. @errors CONFIG_VALUE (a path that
// cannot be read, a column twice or not there), OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_rows_new(const struct dray_json_field *fields, size_t field_count,
                                          const struct dray_json_rows_options *options, struct dray_builder *builder,
                                          struct dray_json_rows **out, struct dray_error *error);
void dray_json_rows_free(struct dray_json_rows *rows); // NULL is allowed
// Consumes bytes until the input or the batch is full: *out_used bytes were taken; *out_full = 1 when the builder
// must be finished before more is fed (until then feeding takes nothing). Records may be cut by a feed at any byte.
// `end` marks the last bytes; everything is told when all are used and *out_full is 0. Memory: record_bytes_max and
// what the builder holds. After a failure every further call fails the same way.
// @errors DATA_JSON with the line and the byte in it, DATA_TOO_LARGE, LIMIT (depth): without `lines` these end the
// input, with it they make a bad record. Those of a bad record (see above), OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_rows_feed(struct dray_json_rows *rows, const char *data, size_t len, int32_t end,
                                           size_t *out_used, int32_t *out_full, struct dray_error *error);
// Takes a new input with the same fields, captures and builder, also after a failure: the next page. Rows that wait in
// the builder stay, and counts go on.
void dray_json_rows_restart(struct dray_json_rows *rows);
// Records seen, the bad ones and those passed over included; bad records among them.
uint64_t dray_json_rows_count(const struct dray_json_rows *rows);
uint64_t dray_json_rows_bad(const struct dray_json_rows *rows);
// 1 when the input, so far, had the place that records_path leads to: its first array, be it empty, or a record.
int dray_json_rows_reached(const struct dray_json_rows *rows);
// With `lines`: bytes and lines up to the end of the last line that was told; reading may begin again there.
void dray_json_rows_mark(const struct dray_json_rows *rows, uint64_t *out_bytes, uint64_t *out_lines);

// ---- a tree, for small documents ----

enum { DRAY_JSON_NULL = 1, DRAY_JSON_BOOL, DRAY_JSON_NUMBER, DRAY_JSON_STRING, DRAY_JSON_ARRAY, DRAY_JSON_OBJECT };

struct dray_json {
  int32_t kind;            // DRAY_JSON_*
  int32_t boolean;         // BOOL: 0 or 1
  struct dray_str text;    // STRING: the value; NUMBER: its digits as written. NUL-terminated; "\u0000" is in it
  struct dray_str name;    // in an object: the member's name. NUL-terminated
  struct dray_json *child; // ARRAY, OBJECT: first element
  struct dray_json *next;  // next element of the parent
  size_t child_count;
};

// Parses one document of at most bytes_max bytes. Duplicate member names are refused. @owner free the root with
// dray_json_free (one arena); `text` is not kept. @errors DATA_JSON with line and column, DATA_UTF8, LIMIT
// (bytes_max, depth), OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_parse(struct dray_str text, uint64_t bytes_max, struct dray_json **out,
                                       struct dray_error *error);
void dray_json_free(struct dray_json *root); // NULL is allowed
// The member of that name, or NULL: also when `object` is NULL or no object.
const struct dray_json *dray_json_get(const struct dray_json *object, const char *name);
// The value at "a.b[2].c" (names quoted as in dray_json_field), or NULL: also for a path that cannot be read.
const struct dray_json *dray_json_path(const struct dray_json *root, const char *path);
// The text of a STRING, else `otherwise`.
struct dray_str dray_json_string(const struct dray_json *value, const char *otherwise);
// Appends one step to such a path: the member of that name, quoted where it must be. @errors LIMIT, OUT_OF_MEMORY; the
// path is then unchanged.
DRAY_NODISCARD int32_t dray_json_path_member(struct dray_buffer *path, struct dray_str name, struct dray_error *error);
// Appends a document compactly: order of members and digits of numbers kept, blanks and needless escapes dropped, so
// that equal documents become equal bytes. `out` is unchanged after a failure. @errors DATA_JSON, DATA_UTF8, LIMIT,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_json_compact(struct dray_str text, struct dray_buffer *out, struct dray_error *error);

// ---- writer ----

// Appends to a buffer; commas and colons are the writer's. Misuse (a value without a key) is an assertion. First
// failure sticks (LIMIT for a full buffer or more than DRAY_JSON_DEPTH_MAX levels, OUT_OF_MEMORY): check the last
// call, or all. `error` may be NULL.
struct dray_json_writer {
  struct dray_buffer *out;
  struct dray_error *error;
  int32_t failed; // code of the first failure
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
// Bytes that are not UTF-8 become U+FFFD, so that the document stays valid.
void dray_json_write_str(struct dray_json_writer *writer, struct dray_str value);
void dray_json_write_text(struct dray_json_writer *writer, const char *value);
void dray_json_write_raw(struct dray_json_writer *writer, struct dray_str json); // already JSON
// A tree as it was parsed, members in their order, numbers with the digits they had.
void dray_json_write_value(struct dray_json_writer *writer, const struct dray_json *value);
// One value of a column by its type: decimals as numbers with all digits, dates and timestamps as strings, bytes as
// base64, json as it is (line ends in it become blanks, for JSON Lines).
void dray_json_write_column(struct dray_json_writer *writer, const struct dray_column_view *column, uint64_t row);
DRAY_NODISCARD int32_t dray_json_writer_finish(struct dray_json_writer *writer); // DRAY_OK, or the first failure

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_JSON_H
