// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Columns as they come: any Arrow type that can be cast, parsed once from the schema, bound to one array after the
// other, read value by value. Inside core/table only. Loads never assume alignment: foreign buffers need not have it.
#ifndef DR_TABLE_SOURCE_H
#define DR_TABLE_SOURCE_H

#include "dray/sdk/column.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "integers of any width are loaded through their low bytes: a big-endian machine needs another dr_load_index"
#endif

enum {
  DR_KIND_NULL = 1,
  DR_KIND_BOOL,
  DR_KIND_INT,        // width 1, 2, 4, 8; is_signed
  DR_KIND_FLOAT,      // width 2, 4, 8
  DR_KIND_DECIMAL,    // width 4, 8, 16, 32; scale, perhaps negative
  DR_KIND_TEXT,       // offsets of width 4 or 8; strings and binary alike
  DR_KIND_TEXT_VIEW,  // 16-byte views into any number of buffers
  DR_KIND_FIXED,      // width bytes
  DR_KIND_DATE,       // width 4: days, 8: milliseconds
  DR_KIND_TIME,       // width 4 or 8; per_second
  DR_KIND_TIMESTAMP,  // per_second; UTC whatever the zone's name
  DR_KIND_DURATION,   // per_second
  DR_KIND_LIST,       // offsets of width 4 or 8; one child
  DR_KIND_FIXED_LIST, // width values each; one child
  DR_KIND_STRUCT,
  DR_KIND_MAP,       // offsets of width 4; one child with key and value
  DR_KIND_DICTIONARY // indices of width 1, 2, 4, 8; is_signed
};

struct dr_source {
  int32_t kind; // DR_KIND_*
  int32_t width;
  int32_t is_signed;
  int32_t scale;      // of decimals
  int64_t per_second; // ticks
  int32_t is_uuid;
  struct dray_type type; // the canonical type that holds every value exactly
  char *name;            // owned; of the column or struct member
  size_t child_count;
  struct dr_source *children;   // owned
  struct dr_source *dictionary; // owned

  // Bound to an array:
  int64_t offset;             // add to an index
  const uint8_t *validity;    // NULL: no nulls
  const uint8_t *values;      // bits, fixed width values, offsets, views or indices
  const char *data;           // text
  const void *const *buffers; // of views
};

// @errors SCHEMA_TYPE for a type that cannot be cast, LIMIT for nesting, PLUGIN_CONTRACT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_source_parse(const struct ArrowSchema *schema, struct dr_source *out,
                                       struct dray_error *error);
void dr_source_free(struct dr_source *source);

// Binds elements `first` to `first + length` of an array; element 0 is then read with index 0. Checks everything that a
// later read relies on. @errors PLUGIN_CONTRACT.
DRAY_NODISCARD int32_t dr_source_bind(struct dr_source *source, const struct ArrowArray *array, int64_t first,
                                      int64_t length, struct dray_error *error);

static inline int64_t dr_load_index(const uint8_t *values, int32_t width, int32_t is_signed, int64_t i) {
  uint64_t raw = 0;
  memcpy(&raw, values + i * width, (size_t)width);
  if (!is_signed || width == 8) return (int64_t)raw;
  const int shift = 64 - 8 * width;
  return (int64_t)(raw << shift) >> shift;
}

static inline int dr_source_is_null(const struct dr_source *source, int64_t i) {
  if (source->kind == DR_KIND_NULL) return 1;
  const int64_t at = i + source->offset;
  if (source->validity != NULL && (source->validity[at >> 3] >> (at & 7) & 1) == 0) return 1;
  if (source->kind != DR_KIND_DICTIONARY) return 0;
  return dr_source_is_null(source->dictionary, dr_load_index(source->values, source->width, source->is_signed, at));
}

// ---- values ----

// One value that is not null, as one of the canonical types (decimals of any scale up to 38).
struct dr_value {
  int32_t id;    // DRAY_TYPE_*
  int32_t scale; // of a decimal
  union {
    int64_t integer; // BOOL, INT64, DATE, TIMESTAMP
    double real;
    struct dray_decimal decimal;
    struct dray_str text; // STRING, BYTES, JSON; in the array, in `small` or in the scratch
  };
  char small[DRAY_FORMAT_BYTES_MAX];
};

// Memory that values are written in while they are looked at.
struct dr_scratch {
  struct dray_buffer json;  // the text of a nested value
  struct dray_buffer inner; // of one JSON or bytes value inside or outside of it
};
void dr_scratch_init(struct dr_scratch *scratch);
void dr_scratch_free(struct dr_scratch *scratch);

// Reads element `i`, which is not null. The value lives until the next call with the same scratch.
// @errors DATA_* when the value itself cannot be used; any other ends the batch.
DRAY_NODISCARD int32_t dr_source_load(const struct dr_source *source, int64_t i, struct dr_scratch *scratch,
                                      struct dr_value *out, struct dray_error *error);

#endif // DR_TABLE_SOURCE_H
