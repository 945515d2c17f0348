// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Building and reading batches: schemas of canonical columns, a builder that turns appended values
// into an Arrow struct array, and a view that reads one.
#ifndef DRAY_SDK_COLUMN_H
#define DRAY_SDK_COLUMN_H

#include "dray/arrow.h"
#include "dray/sdk/value.h"
#include "dray/warehouse.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dray_column_def {
  const char *name; // UTF-8, NUL-terminated, at most 255 bytes
  struct dray_type type;
  int32_t nullable; // 0 or 1
};

#define DRAY_COLUMN_NAME_MAX 255
#define DRAY_COLUMNS_MAX 4096

// 1 for the names of stream.h that are not data: DRAY_COLUMN_ABSENT and the others.
int dray_column_reserved(const char *name);

// Writes a struct schema with these columns. Copies the names. The caller releases *out. @errors OUT_OF_MEMORY,
// LIMIT, SCHEMA_NAME (empty, too long or not UTF-8), SCHEMA_TYPE.
DRAY_NODISCARD int32_t dray_schema_make(const struct dray_column_def *columns, size_t column_count,
                                        struct ArrowSchema *out, struct dray_error *error);
// A deep copy of any Arrow schema. The outermost struct may be one that the caller put together itself, without a
// release. @errors OUT_OF_MEMORY, LIMIT (nesting, metadata), PLUGIN_CONTRACT (released or malformed).
DRAY_NODISCARD int32_t dray_schema_copy(const struct ArrowSchema *schema, struct ArrowSchema *out,
                                        struct dray_error *error);
// The canonical type of a child schema whose format is exactly canonical. @errors SCHEMA_TYPE for any other.
DRAY_NODISCARD int32_t dray_schema_type(const struct ArrowSchema *column, struct dray_type *out,
                                        struct dray_error *error);
// The extension name of a column ("arrow.json", ...) from its metadata; empty: none. Borrowed from the schema.
struct dray_str dray_schema_extension(const struct ArrowSchema *column);
// Marks a child made by dray_schema_make as part of the primary key, as a warehouse's describe must. @errors
// OUT_OF_MEMORY; the column stays as it was.
DRAY_NODISCARD int32_t dray_schema_mark_key(struct ArrowSchema *column, struct dray_error *error);
// Says of such a child what else a warehouse's describe may say: a key DRAY_MARK_* of warehouse.h and its value, a text
// or a number. @errors LIMIT (1 KiB for all that is said of a column), OUT_OF_MEMORY; the column stays as it was.
DRAY_NODISCARD int32_t dray_schema_mark(struct ArrowSchema *column, const char *key, const char *value,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t dray_schema_mark_number(struct ArrowSchema *column, const char *key, uint64_t value,
                                               struct dray_error *error);
// What that said; empty, or 0: nothing. The text is borrowed from the schema.
struct dray_str dray_schema_marked(const struct ArrowSchema *column, const char *key);
uint64_t dray_schema_marked_number(const struct ArrowSchema *column, const char *key);
// Says of a child made by dray_schema_make that it calls texts equal whose bytes differ, as a warehouse's describe must
// where its dialect has DRAY_DIALECT_LOOSE_MARKED. @errors OUT_OF_MEMORY; the column stays as it was.
DRAY_NODISCARD int32_t dray_schema_mark_loose(struct ArrowSchema *column, struct dray_error *error);
// Whether that was said.
int dray_schema_is_loose(const struct ArrowSchema *column);
static inline void dray_schema_release(struct ArrowSchema *schema) {
  if (schema != NULL && schema->release != NULL) schema->release(schema);
}
static inline void dray_array_release(struct ArrowArray *array) {
  if (array != NULL && array->release != NULL) array->release(array);
}

// ---- builder ----

struct dray_builder; // opaque

// Makes a builder for a canonical schema (copied). bytes_max and rows_max bound one batch; 0: no bound but Arrow's
// own. Columns are numbered as in the schema, reserved ones included. @owner free with dray_builder_free. @errors
// SCHEMA_TYPE, LIMIT, OUT_OF_MEMORY, PLUGIN_CONTRACT. One thread at a time.
DRAY_NODISCARD int32_t dray_builder_new(const struct ArrowSchema *schema, uint64_t rows_max, uint64_t bytes_max,
                                        struct dray_builder **out, struct dray_error *error);
void dray_builder_free(struct dray_builder *builder);

// Appends a value to `column` of the current row. Every column gets exactly one append per row; columns without one
// become absent where the schema has _dray_absent, and null otherwise. _dray_absent itself is written by the builder;
// bytes appended to it are kept, with the bits of columns without an append added. STRING and JSON take UTF-8 without
// NUL; that JSON is JSON is the caller's promise. A failed append changes nothing: the column may be appended to
// again, or the row abandoned. @errors DATA_TYPE when the column has another type, DATA_UTF8, DATA_OVERFLOW
// (decimal), DATA_DATE (outside value.h's range), DATA_TOO_LARGE (2 GiB a column), OUT_OF_MEMORY, PLUGIN_CONTRACT for
// a column that is not there or was appended to in this row.
DRAY_NODISCARD int32_t dray_builder_null(struct dray_builder *builder, size_t column, struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_bool(struct dray_builder *builder, size_t column, int32_t value,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_int64(struct dray_builder *builder, size_t column, int64_t value,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_float64(struct dray_builder *builder, size_t column, double value,
                                            struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_decimal(struct dray_builder *builder, size_t column, struct dray_decimal value,
                                            struct dray_error *error);
// STRING, BYTES and JSON columns; the bytes are copied.
DRAY_NODISCARD int32_t dray_builder_bytes(struct dray_builder *builder, size_t column, struct dray_str value,
                                          struct dray_error *error);
// The same for a value that lies in a longer piece of memory: `readable` bytes from its beginning on, value.len of them
// or more, may be read. With 64 of them a short text costs least.
DRAY_NODISCARD int32_t dray_builder_bytes_within(struct dray_builder *builder, size_t column, struct dray_str value,
                                                 uint64_t readable, struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_date(struct dray_builder *builder, size_t column, int32_t days,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dray_builder_timestamp(struct dray_builder *builder, size_t column, int64_t us,
                                              struct dray_error *error);
// Parses `text` as the column's type (value.h) and appends it; STRING takes it as it is, BYTES take base64, JSON is
// made compact. @errors as above, and those of value.h.
DRAY_NODISCARD int32_t dray_builder_text(struct dray_builder *builder, size_t column, struct dray_str text,
                                         struct dray_error *error);
// Ends the row. *out_full (NULL allowed) = 1 when the batch has reached a bound: finish it before the next row. Rows
// beyond a bound are taken all the same. A row that could not be ended (OUT_OF_MEMORY) may be ended again or abandoned.
DRAY_NODISCARD int32_t dray_builder_end_row(struct dray_builder *builder, int32_t *out_full, struct dray_error *error);
// Says that a value does not fit `column`, of whose reading `why` is the error: the column becomes null, and the row
// one that the host rejects (stream.h, DRAY_COLUMN_ERROR) for the first such reason. Append the other columns, but not
// the error column, and end the row as any other: the host shows its key. @errors `why` itself where it is no DATA
// error or the schema has no error column, OUT_OF_MEMORY, PLUGIN_CONTRACT.
DRAY_NODISCARD int32_t dray_builder_misfit(struct dray_builder *builder, size_t column, const struct dray_error *why,
                                           struct dray_error *error);
// Ends the row as one that cannot be given out, of a record that is bad as a whole: `reason` goes into the error
// column; all others without a value become null, not absent. Abandon first what was appended of the row. @errors as
// end_row.
DRAY_NODISCARD int32_t dray_builder_end_bad_row(struct dray_builder *builder, size_t error_column,
                                                struct dray_str reason, int32_t *out_full, struct dray_error *error);
// Forgets what was appended to the current row.
void dray_builder_abandon_row(struct dray_builder *builder);
uint64_t dray_builder_rows(const struct dray_builder *builder); // ended rows in the current batch
struct dray_type dray_builder_type(const struct dray_builder *builder, size_t column); // id 0: no such column
// The builder's own copy of its schema: what a reader that fills columns goes by. Lives as long as the builder.
const struct ArrowSchema *dray_builder_schema(const struct dray_builder *builder);
// Hands over the batch and starts an empty one. The caller releases *out, from any thread. With no rows: out->release
// = NULL. @errors OUT_OF_MEMORY (the batch stays as it was), PLUGIN_CONTRACT while a row is neither ended nor
// abandoned.
DRAY_NODISCARD int32_t dray_builder_finish(struct dray_builder *builder, struct ArrowArray *out,
                                           struct dray_error *error);

// ---- view ----

// One column of a canonical batch. Borrowed from the array: valid until it is released.
struct dray_column_view {
  struct dray_type type;
  const char *name;        // the view's own copy
  const uint8_t *validity; // bitmap, LSB first; NULL: no nulls
  int64_t offset;          // add to a row before looking into validity and the buffers below
  const void *values;      // bits, int64, double, decimals, int32 days, int64 us
  const int32_t *offsets;  // STRING, BYTES, JSON
  const char *data;
  int64_t absent_bit; // the column's bit in _dray_absent; -1 for reserved columns
};

struct dray_view {
  uint64_t row_count;
  size_t column_count;
  struct dray_column_view *columns; // owned by the view
  ptrdiff_t absent_column;          // index of _dray_absent, -1: none
};

// Reads a struct array of canonical columns; checks lengths, buffers, alignment and offsets, in time linear in the
// rows of text columns. Bytes are not looked at: whether strings are UTF-8 is checked at the host's border. Free with
// dray_view_free. @errors SCHEMA_TYPE, PLUGIN_CONTRACT for a malformed array, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_view_init(struct dray_view *view, const struct ArrowSchema *schema,
                                      const struct ArrowArray *array, struct dray_error *error);
void dray_view_free(struct dray_view *view);
// 1 when int32 offsets never fall: from the first to the one behind `count` values. They need not be aligned.
int dray_offsets_rise(const void *offsets, uint64_t count);
// Index of the column of that name, -1: none.
ptrdiff_t dray_view_find(const struct dray_view *view, struct dray_str name);
// Whether `column` (an index into view->columns) is absent in the row: its bit in _dray_absent, which does not count
// reserved columns.
int dray_view_absent(const struct dray_view *view, size_t column, uint64_t row);

static inline int dray_column_is_null(const struct dray_column_view *column, uint64_t row) {
  const uint64_t i = row + (uint64_t)column->offset;
  return column->validity != NULL && ((column->validity[i >> 3] >> (i & 7)) & 1) == 0;
}
static inline int32_t dray_column_bool(const struct dray_column_view *column, uint64_t row) {
  const uint64_t i = row + (uint64_t)column->offset;
  return (((const uint8_t *)column->values)[i >> 3] >> (i & 7)) & 1;
}
static inline int64_t dray_column_int64(const struct dray_column_view *column, uint64_t row) { // INT64 and TIMESTAMP
  return ((const int64_t *)column->values)[row + (uint64_t)column->offset];
}
static inline double dray_column_float64(const struct dray_column_view *column, uint64_t row) {
  return ((const double *)column->values)[row + (uint64_t)column->offset];
}
static inline int32_t dray_column_date(const struct dray_column_view *column, uint64_t row) {
  return ((const int32_t *)column->values)[row + (uint64_t)column->offset];
}
static inline struct dray_decimal dray_column_decimal(const struct dray_column_view *column, uint64_t row) {
  return ((const struct dray_decimal *)column->values)[row + (uint64_t)column->offset];
}
static inline struct dray_str dray_column_bytes(const struct dray_column_view *column,
                                                uint64_t row) { // STRING, BYTES, JSON
  const uint64_t i = row + (uint64_t)column->offset;
  return dray_str_make(column->data + column->offsets[i], (uint64_t)(column->offsets[i + 1] - column->offsets[i]));
}
// Any non-null value as text (bytes as base64): what CSV, messages and samples show. Appends to `out`.
DRAY_NODISCARD int32_t dray_column_text(const struct dray_column_view *column, uint64_t row, struct dray_buffer *out,
                                        struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_COLUMN_H
