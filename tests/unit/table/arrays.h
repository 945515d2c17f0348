// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arrow schemas and arrays of any type, put together by hand as a foreign exporter would, and cells as text.
#ifndef DRAY_TEST_TABLE_ARRAYS_H
#define DRAY_TEST_TABLE_ARRAYS_H

#include "table/cast.h"

// A schema node on the heap with `child_count` released children. Formats and names are borrowed.
void arrow_schema(struct ArrowSchema *out, const char *format, const char *name, int64_t child_count);
void arrow_extension(struct ArrowSchema *schema, const char *extension);
struct ArrowSchema *arrow_schema_dictionary(struct ArrowSchema *schema, const char *format);

// An array on the heap with empty buffers and released children.
void arrow_array(struct ArrowArray *out, int64_t length, int64_t buffer_count, int64_t child_count);
void arrow_buffer(struct ArrowArray *array, int64_t index, const void *data, size_t bytes); // copies
struct ArrowArray *arrow_array_dictionary(struct ArrowArray *array);
// A bitmap from one character a row: '1' valid, '0' null.
void arrow_validity(struct ArrowArray *array, const char *valid);
// A column of fixed width values.
void arrow_values(struct ArrowArray *out, int64_t length, const void *values, size_t width);
// A column of text with offsets of width 4 or 8; NULL is null.
void arrow_texts(struct ArrowArray *out, const char *const *texts, int64_t length, int width);

// A batch of one column: moves both into structs.
void arrow_struct_of(struct ArrowSchema *column, struct ArrowArray *values, struct ArrowSchema *out_schema,
                     struct ArrowArray *out);

// The value as text, "(null)" or "(absent)"; valid until the next call.
const char *cell(const struct dr_batch *batch, size_t column, uint64_t row);

struct dr_schema *schema_of(const struct dray_column_def *columns, size_t count);
#define SCHEMA_OF(...)                                                                                                 \
  schema_of((const struct dray_column_def[]){__VA_ARGS__},                                                             \
            sizeof((const struct dray_column_def[]){__VA_ARGS__}) / sizeof(struct dray_column_def))
#define COLUMN(name, type) ((struct dray_column_def){(name), {DRAY_TYPE_##type, 0, 0}, 1})
#define DECIMAL(name, precision, scale) ((struct dray_column_def){(name), {DRAY_TYPE_DECIMAL, (precision), (scale)}, 1})

// A canonical batch from text, row by row; NULL is null, "(absent)" is absent.
struct dr_batch *batch_of(struct dr_schema *schema, const char *const *cells, size_t rows);

uint64_t random_bits(uint64_t *seed); // splitmix64

#endif // DRAY_TEST_TABLE_ARRAYS_H
