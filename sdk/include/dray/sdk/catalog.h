// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams and objects as tables: what a plugin offers, declared once.
#ifndef DRAY_SDK_CATALOG_H
#define DRAY_SDK_CATALOG_H

#include "dray/destination.h"
#include "dray/sdk/config.h"
#include "dray/sdk/json.h"

#ifdef __cplusplus
extern "C" {
#endif

// A column of a stream or a field of an object. Text is borrowed: static, or outliving what is made of it.
struct dray_field {
  const char *name;        // the column's
  const char *path;        // where it is in a record (json.h); NULL: as the name; "-": the plugin fills it itself
  struct dray_type type;   // id 0, objects only: values of any type, as they are
  int32_t flags;           // DRAY_FIELD_*
  const char *description; // NULL: none
};
enum {
  DRAY_FIELD_NOT_NULL = 1,  // streams: never null
  DRAY_FIELD_REQUIRED = 2,  // objects: an insert needs it
  DRAY_FIELD_READ_ONLY = 4, // objects: the vendor sets it
  DRAY_FIELD_MATCH_KEY = 8, // objects: rows can be matched by it
  // Objects, texts (or fields of any type): the other side takes values that differ by the case of letters alone for
  // one, as most do with e-mail addresses. Where such a field is a sync's key, the host knows rows by the folded text:
  // Unicode's simple case folding, one character for one (capitals of every script, accents stay), without the blanks
  // of ASCII at both ends; the same on every machine and in every version. What is sent keeps the writer's letters:
  // another spelling is an update of this field, never a removal beside an insert, and two rows with one such key are
  // withheld and told. To be set in doubt: without it a removal takes away what another spelling has just written.
  DRAY_FIELD_CASELESS = 16,
  // Objects: what becomes of a field where a row has null and the sync's map does not keep it. With none of these it is
  // emptied. A match key that an insert needs is refused without a word.
  DRAY_FIELD_NULL_KEPT = 32,   // it stays as it is: the other side cannot empty it
  DRAY_FIELD_NULL_REFUSED = 64 // the row is refused
};
// "emptied", "kept" or "refused", as discover says it.
const char *dray_field_null(const struct dray_field *field);

enum { DRAY_STREAM_FULL = 1, DRAY_STREAM_INCREMENTAL = 2, DRAY_STREAM_CHANGES = 4 };

// A stream of a source as its author declares it, once: discover, the batches' schema, the JSON reader and the table of
// the README all derive from it.
struct dray_stream_def {
  const char *name;
  const char *description;
  const struct dray_field *fields;
  size_t field_count;
  const char *primary_key; // names with a blank between: "list_id id"
  const char *cursor;      // a column's name; NULL: none
  int32_t modes;           // DRAY_STREAM_*
};

// An object of a destination, likewise.
struct dray_object_def {
  const char *name;
  const char *description;
  const struct dray_field *fields;
  size_t field_count;
  uint32_t operations; // DRAY_OP_*
};

// Fields that only the other side knows: custom ones. Names are made unique against the declared ones by the plugin.
struct dray_field_list {
  struct dray_field *items;
  size_t count, capacity;
  struct dray_buffer text; // the names, paths and descriptions; pointers into it are set by dray_field_list_end
};
void dray_field_list_init(struct dray_field_list *list, size_t text_bytes_max);
// Copies the texts. `path` of len 0: the member that is called as the field, quoted where it must be; a path below
// another one is made with dray_json_path_member. @errors SCHEMA_NAME (a NUL in a text, an empty name), LIMIT
// (text_bytes_max), OUT_OF_MEMORY; the list is then unchanged.
DRAY_NODISCARD int32_t dray_field_list_add(struct dray_field_list *list, struct dray_str name, struct dray_str path,
                                           struct dray_type type, int32_t flags, struct dray_str description,
                                           struct dray_error *error);
// Items can be used until more are added; then it is called again. An empty description becomes NULL.
void dray_field_list_end(struct dray_field_list *list);
void dray_field_list_free(struct dray_field_list *list);

// The document of discover: {"streams": [...]} or {"objects": [...], "options": ...}. `begin` empties *document, which
// the caller keeps until it is asked again; between the two come the elements; `end` hands it out. `options` writes the
// schema of a sync's `options:`; NULL where there are none. @errors LIMIT, OUT_OF_MEMORY, and those of `options`.
void dray_catalog_begin(struct dray_json_writer *writer, struct dray_buffer *document, const char *list,
                        struct dray_error *error);
DRAY_NODISCARD int32_t dray_catalog_end(struct dray_json_writer *writer,
                                        int32_t (*options)(struct dray_buffer *out, struct dray_error *error),
                                        struct dray_str *out_json, struct dray_error *error);
// Writes one element of discover's "streams" or "objects"; `more` (NULL: none) follows the declared fields. An object
// without any field, with `more` NULL, is one that takes any.
void dray_stream_def_write(const struct dray_stream_def *def, const struct dray_field_list *more,
                           struct dray_json_writer *writer);
void dray_object_def_write(const struct dray_object_def *def, const struct dray_field_list *more,
                           struct dray_json_writer *writer);

// What a read of some columns needs. `columns` as in dray_read_request (count 0: all); the schema has them in the order
// of the definition, then those of `more`, then _dray_absent when `absent` is set, _dray_error, and _dray_deleted when
// `deleted` is set. Paths are borrowed from `def` and `more`. @owner free with dray_selection_free, also a zeroed one.
// @errors SCHEMA_COLUMN with the nearest name, those of dray_schema_make, OUT_OF_MEMORY.
struct dray_selection {
  struct ArrowSchema schema;      // owned
  struct dray_json_field *fields; // owned: for dray_json_rows_new; columns with the path "-" have none
  size_t field_count;
  size_t *columns; // owned: for each column of the schema before the reserved ones, its place in def->fields, then more
  size_t column_count;
  ptrdiff_t absent_column, error_column, deleted_column; // -1: none
};
DRAY_NODISCARD int32_t dray_selection_make(const struct dray_stream_def *def, const struct dray_field_list *more,
                                           const struct dray_str *columns, size_t column_count, int absent, int deleted,
                                           struct dray_selection *out, struct dray_error *error);
void dray_selection_free(struct dray_selection *selection);
// The column of the schema with that name, -1: it was not asked for.
ptrdiff_t dray_selection_find(const struct dray_selection *selection, const char *name);

// The definitions as a Markdown table for a plugin's README (kept true by a test), appended: name, key, cursor, modes,
// description; operations, match keys and what a null does to each field for objects. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_stream_defs_markdown(const struct dray_stream_def *defs, size_t count,
                                                 struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_object_defs_markdown(const struct dray_object_def *defs, size_t count,
                                                 struct dray_buffer *out, struct dray_error *error);

// One step of a check: {"name", "ok", "text"[, "fix"]}; ok where `fix` is NULL.
void dray_check_step_write(struct dray_json_writer *writer, const char *name, const char *text, const char *fix);
// One that failed, with a "code" (DRAY_E_*) beside: of the first step that failed it decides the exit code of `dray
// check`, as it does that of a run: a right that is missing is AUTH_FORBIDDEN.
void dray_check_failure_write(struct dray_json_writer *writer, const char *name, int32_t code, const char *text,
                              const char *fix);
// One of either kind that is about the stream or object `of` alone (NULL: about all): where no sync uses that, it is
// shown and does not count. `code` DRAY_OK and `fix` NULL: it is well.
void dray_check_of_write(struct dray_json_writer *writer, const char *of, const char *name, int32_t code,
                         const char *text, const char *fix);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CATALOG_H
