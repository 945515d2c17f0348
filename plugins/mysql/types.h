// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The types of MySQL and MariaDB and the nine canonical ones, once, as a table: what is read as what, what is written
// where, and how values come and go.
#ifndef MYSQL_TYPES_H
#define MYSQL_TYPES_H

#include <mysql.h>

#include "dray/sdk.h"

// How a value comes out of a result and goes into a load.
enum {
  MY_WIRE_BOOL = 1,
  MY_WIRE_INT,
  MY_WIRE_UINT, // 64 bits without a sign
  MY_WIRE_BIT,  // bytes, the most significant first
  MY_WIRE_FLOAT,
  MY_WIRE_DOUBLE,
  MY_WIRE_DECIMAL, // digits
  MY_WIRE_DATE,
  MY_WIRE_TIMESTAMP,
  MY_WIRE_TIME,
  MY_WIRE_TEXT,
  MY_WIRE_BYTES,
  MY_WIRE_JSON,
};

struct my_type {
  int protocol;  // MYSQL_TYPE_*, -1: any
  uint32_t need; // MY_NEED_* in types.c
  const char *name;
  int32_t reads;  // DRAY_TYPE_*
  int32_t writes; // DRAY_TYPE_* that a column of this type takes exactly; 0: dray does not write there
  int wire;
  const char *note;
};
extern const struct my_type my_types[];
extern const size_t my_type_count;

// What the dialect says: the type that dray makes for each canonical one, index DRAY_TYPE_*; and for columns of a key.
// Texts are of a collation that knows bytes only: which one there is, the server says.
enum { MY_COLLATION_MARIADB, MY_COLLATION_MYSQL, MY_COLLATION_PLAIN, MY_COLLATION_COUNT };
extern const char *const my_collations[MY_COLLATION_COUNT];
struct dray_str my_dialect_type(int32_t type, int collation, int maria);
struct dray_str my_dialect_key_type(int32_t type, int collation);
struct dray_str my_dialect_differs(int32_t type);
struct dray_str my_dialect_exact_text(int collation);
struct dray_str my_dialect_beside_text(int collation);

// One column of a result.
struct my_column {
  char *name;               // owned
  struct dray_type type;    // as it is read
  struct dray_type written; // as it is written; id 0: not
  int wire;
  uint64_t length_max;  // characters of a varchar, bytes of a blob or varbinary; 0: any, or it is not known
  const char *least;    // of an integer that is narrower than its canonical type, and of numbers without a sign
  const char *greatest; // NULL: any
  int decimals;         // digits of a second that the server keeps
  int fills_null;       // the server writes the time, or the next number, for a null
  const struct my_type *row;
};
// Decides all but the name.
void my_column_decide(const MYSQL_FIELD *field, struct my_column *out);

// ---- decode.c ----

// Where the library puts the values of a row.
struct my_cell {
  union {
    int64_t int64;
    int8_t int8;
    float float32;
    double float64;
    MYSQL_TIME time;
  } value;
  char *data; // owned, of `capacity` bytes; for what has no fixed size
  unsigned long capacity, length;
  my_bool is_null, is_cut;
};
// Tells `bind` where the column's values go. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t my_cell_init(struct my_cell *cell, const struct my_column *column, MYSQL_BIND *bind,
                                    struct dray_error *error);
// Makes room for a value that was cut, which is fetched again by the caller. @errors OUT_OF_MEMORY, DATA_TOO_LARGE.
DRAY_NODISCARD int32_t my_cell_grow(struct my_cell *cell, MYSQL_BIND *bind, struct dray_error *error);
void my_cell_free(struct my_cell *cell);
// Appends the value. `zero_is_null`: dates that do not exist are null. @errors DATA_*.
DRAY_NODISCARD int32_t my_decode(const struct my_column *column, const struct my_cell *cell, int zero_is_null,
                                 struct dray_builder *builder, size_t index, struct dray_error *error);

// ---- encode.c ----

// Whether a column of this canonical type can go into a column of the table.
int my_encodes(int32_t type, const struct my_column *target);
// Appends row `row` as a line that LOAD DATA takes: fields end with tabs, lines with line ends, backslashes escape,
// \N is null, bytes are hex. @errors DATA_TYPE, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t my_encode_row(const struct dray_view *view, uint64_t row, struct dray_buffer *out,
                                     struct dray_error *error);

// Appends bytes as hex digits. @errors OUT_OF_MEMORY, LIMIT.
DRAY_NODISCARD int32_t my_encode_hex(struct dray_str bytes, struct dray_buffer *out, struct dray_error *error);

// The text of a value that has a small one, without anything to escape: all but strings, bytes and JSON. Writes at most
// DRAY_FORMAT_BYTES_MAX bytes and returns how many.
size_t my_format_value(const struct dray_column_view *column, uint64_t row, char *out);

// ---- bind.c ----

// A parameter that is not in the batch as the library wants it, and the length of any.
struct my_param {
  char text[DRAY_FORMAT_BYTES_MAX];
  unsigned long length;
};
// Binds one value; it is borrowed from the batch and `param`. @errors DATA_TYPE (NaN, infinity).
DRAY_NODISCARD int32_t my_bind(const struct dray_column_view *column, uint64_t row, MYSQL_BIND *bind,
                               struct my_param *param, struct dray_error *error);
// What both ways of writing refuse: a float that the server does not have. @errors DATA_TYPE.
DRAY_NODISCARD int32_t my_check_value(const struct dray_column_view *column, uint64_t row, struct dray_error *error);

#endif // MYSQL_TYPES_H
