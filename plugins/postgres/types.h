// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The types of PostgreSQL and the nine canonical ones, once, as a table: what is read as what, what is written where,
// and how values lie on the wire (all numbers big-endian).
#ifndef POSTGRES_TYPES_H
#define POSTGRES_TYPES_H

#include <libpq-fe.h>

#include "dray/sdk.h"

// How a value lies on the wire, in binary.
enum {
  PG_WIRE_NONE = 0, // not read as it is: the server casts it (below)
  PG_WIRE_BOOL,
  PG_WIRE_INT2,
  PG_WIRE_INT4,
  PG_WIRE_INT8,
  PG_WIRE_OID,
  PG_WIRE_FLOAT4,
  PG_WIRE_FLOAT8,
  PG_WIRE_NUMERIC,
  PG_WIRE_TEXT,
  PG_WIRE_BYTES,
  PG_WIRE_DATE,
  PG_WIRE_TIMESTAMP,
  PG_WIRE_JSON,
  PG_WIRE_JSONB, // a version byte before the text
  PG_WIRE_UUID,
};

// What the server makes of a value before it is sent.
enum { PG_CAST_NONE = 0, PG_CAST_TEXT, PG_CAST_JSON };

struct pg_type {
  Oid oid;
  const char *name;
  int32_t reads;  // DRAY_TYPE_*
  int32_t writes; // DRAY_TYPE_* that a column of this type takes exactly; 0: dray does not write there
  int wire;       // PG_WIRE_*
  int cast;       // PG_CAST_*
  const char *note;
};
extern const struct pg_type pg_types[];
extern const size_t pg_type_count;
// NULL: not in the table.
const struct pg_type *pg_type_find(Oid oid);

// What the dialect says: the type that dray makes for each canonical one, and its oid, index DRAY_TYPE_*.
extern const struct dray_str pg_dialect_types[10];
extern const struct dray_str pg_dialect_differs[10];
extern const Oid pg_oids[10];

// Precision and scale out of a type modifier. id 0: none, or more than a decimal holds.
struct dray_type pg_decimal_of(int32_t modifier);
// The scale that it says, which may be negative or beyond the precision.
int32_t pg_decimal_scale(int32_t modifier);

// One column of a result, as the server gives it out.
struct pg_column {
  char *name; // owned
  Oid oid;
  int32_t modifier;
  struct dray_type type;
  int wire, cast;
};

// Decides type, wire and cast; `category` and `kind` are pg_type's typcategory and typtype, for types that are not in
// the table.
void pg_column_decide(struct pg_column *column, char category, char kind);

// ---- decode.c ----

// Appends a binary value (len -1: null). @errors DATA_* for a value that the type does not hold.
DRAY_NODISCARD int32_t pg_decode(const struct pg_column *column, const char *data, int32_t len,
                                 struct dray_builder *builder, size_t index, struct dray_error *error);
// Appends the fields of a row as COPY lays them out, each behind its length. A value that its type does not hold makes
// its row one that is rejected; `why` is the error of the last one. @errors INTERNAL for bytes that are no row, those
// of dray_builder_misfit.
DRAY_NODISCARD int32_t pg_decode_row(const struct pg_column *columns, size_t count, struct dray_str fields,
                                     struct dray_builder *builder, struct dray_error *why, struct dray_error *error);
// Appends a value in the server's text form.
DRAY_NODISCARD int32_t pg_decode_text(const char *data, int32_t len, struct dray_builder *builder, size_t index,
                                      struct dray_error *error);

// ---- encode.c ----

// Rows in binary, as COPY takes them: built piece by piece into one buffer that is used again.
struct pg_encoder {
  struct dray_buffer out;  // the rows of the last piece
  struct pg_field *fields; // owned: the columns of the batch, encode.c
  size_t field_capacity;
};
void pg_encoder_init(struct pg_encoder *encoder);
void pg_encoder_free(struct pg_encoder *encoder);
// Encodes the next rows of a batch into encoder->out, from *row on (0 in the first call), and moves *row behind them:
// 64 KiB of rows, or one that is longer. Nothing in `out`: all are done. wires[i] is what column i goes into. View and
// wires must stay until then. @errors DATA_OVERFLOW, DATA_JSON, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t pg_encode(struct pg_encoder *encoder, const struct dray_view *view, const int *wires,
                                 uint64_t *row, struct dray_error *error);
// Whether a column of this canonical type can go into that wire.
int pg_encodes(int32_t type, int wire);

#define PG_NUMERIC_BYTES_MAX 40
// One decimal as numeric; returns its bytes. `strip`: zeros at the end of the fraction are not kept.
size_t pg_numeric_write(struct dray_decimal value, int32_t scale, char *out);
// @errors DATA_TYPE (NaN, Infinity), DATA_OVERFLOW, DATA_PRECISION.
DRAY_NODISCARD int32_t pg_numeric_read(const char *data, int32_t len, struct dray_type type, struct dray_decimal *out,
                                       struct dray_error *error);

static inline uint16_t pg_get16(const char *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return __builtin_bswap16(value);
}
static inline uint32_t pg_get32(const char *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}
static inline uint64_t pg_get64(const char *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}
static inline void pg_put16(char *at, uint16_t value) {
  value = __builtin_bswap16(value);
  memcpy(at, &value, sizeof value);
}
static inline void pg_put32(char *at, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(at, &value, sizeof value);
}
static inline void pg_put64(char *at, uint64_t value) {
  value = __builtin_bswap64(value);
  memcpy(at, &value, sizeof value);
}

// Days and microseconds from 1970 to 2000, where PostgreSQL's time begins.
#define PG_EPOCH_DAYS 10957
#define PG_EPOCH_US (INT64_C(10957) * 86400000000)

#endif // POSTGRES_TYPES_H
