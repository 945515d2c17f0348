// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of types, as results tell them: one look at a result's columns decides what is read, what may be written
// and how, for queries, tables and views alike. README.md shows the table; a test compares the two.
#include "types.h"

#include <string.h>

#define CHARSET_BINARY 63
#define DECIMALS_NOT_FIXED 31
#define TYPE_JSON 245 // MySQL's own; MariaDB's JSON is a text that says so in its metadata

// What a result's column must be besides its protocol type.
enum {
  MY_NEED_ONE = 1, // displayed with one digit, or of one bit
  MY_NEED_UNSIGNED = 2,
  MY_NEED_BINARY = 4,
  MY_NEED_ENUM = 8,
  MY_NEED_SET = 16,
  MY_NEED_JSON = 32,
  MY_NEED_SCALE = 64, // a fixed number of digits behind the point
  MY_NEED_NAMED = 128 // has a type of its own beyond the protocol's: uuid, inet6 ...
};

#define UTF8MB4_BYTES 4
#define REJECTED "a number that does not fit rejects its row"

// The first row that fits counts.
const struct my_type my_types[] = {
    {MYSQL_TYPE_TINY, MY_NEED_ONE, "tinyint(1), boolean", DRAY_TYPE_BOOL, DRAY_TYPE_BOOL, MY_WIRE_BOOL,
     "other values than 0 and 1 reject their row: CAST(… AS SIGNED) reads them"},
    {MYSQL_TYPE_TINY, 0, "tinyint, tinyint unsigned", DRAY_TYPE_INT64, DRAY_TYPE_INT64, MY_WIRE_INT, REJECTED},
    {MYSQL_TYPE_SHORT, 0, "smallint, smallint unsigned", DRAY_TYPE_INT64, DRAY_TYPE_INT64, MY_WIRE_INT, REJECTED},
    {MYSQL_TYPE_INT24, 0, "mediumint, mediumint unsigned", DRAY_TYPE_INT64, DRAY_TYPE_INT64, MY_WIRE_INT, REJECTED},
    {MYSQL_TYPE_LONG, 0, "int, int unsigned", DRAY_TYPE_INT64, DRAY_TYPE_INT64, MY_WIRE_INT, REJECTED},
    {MYSQL_TYPE_LONGLONG, MY_NEED_UNSIGNED, "bigint unsigned", DRAY_TYPE_DECIMAL, DRAY_TYPE_DECIMAL, MY_WIRE_UINT,
     "decimal(20,0); " REJECTED},
    {MYSQL_TYPE_LONGLONG, 0, "bigint", DRAY_TYPE_INT64, DRAY_TYPE_INT64, MY_WIRE_INT, ""},
    {MYSQL_TYPE_YEAR, 0, "year", DRAY_TYPE_INT64, 0, MY_WIRE_INT, ""},
    {MYSQL_TYPE_FLOAT, 0, "float", DRAY_TYPE_FLOAT64, 0, MY_WIRE_FLOAT, "all its digits; not written: it would round"},
    {MYSQL_TYPE_DOUBLE, MY_NEED_SCALE, "double(p,s)", DRAY_TYPE_FLOAT64, 0, MY_WIRE_DOUBLE,
     "not written: it would round"},
    {MYSQL_TYPE_DOUBLE, 0, "double", DRAY_TYPE_FLOAT64, DRAY_TYPE_FLOAT64, MY_WIRE_DOUBLE,
     "NaN and Infinity reject their row: there is none"},
    {MYSQL_TYPE_NEWDECIMAL, 0, "decimal(p,s)", DRAY_TYPE_DECIMAL, DRAY_TYPE_DECIMAL, MY_WIRE_DECIMAL,
     "with more than 38 digits: without a scale (SUM of a bigint, say) as decimal(38,0), a larger number rejects its "
     "row; with one as string, all digits kept, and not written"},
    {MYSQL_TYPE_DECIMAL, 0, "decimal of old tables", DRAY_TYPE_DECIMAL, 0, MY_WIRE_DECIMAL, "as decimal(p,s)"},
    {MYSQL_TYPE_BIT, MY_NEED_ONE, "bit(1)", DRAY_TYPE_BOOL, 0, MY_WIRE_BIT, ""},
    {MYSQL_TYPE_BIT, 0, "bit(n)", DRAY_TYPE_INT64, 0, MY_WIRE_BIT, "bit(64): decimal(20,0)"},
    {MYSQL_TYPE_DATE, 0, "date", DRAY_TYPE_DATE, DRAY_TYPE_DATE, MY_WIRE_DATE,
     "zero dates reject their row, or are null (setting `zero_dates`)"},
    {MYSQL_TYPE_NEWDATE, 0, "date of old tables", DRAY_TYPE_DATE, 0, MY_WIRE_DATE, "as date"},
    {MYSQL_TYPE_DATETIME, 0, "datetime(n)", DRAY_TYPE_TIMESTAMP, DRAY_TYPE_TIMESTAMP, MY_WIRE_TIMESTAMP,
     "taken as UTC; as date; written with n = 6 only: the server rounds in silence"},
    {MYSQL_TYPE_TIMESTAMP, 0, "timestamp(n)", DRAY_TYPE_TIMESTAMP, DRAY_TYPE_TIMESTAMP, MY_WIRE_TIMESTAMP,
     "as datetime(n); what is outside 1970 to 2038 rejects its row"},
    {MYSQL_TYPE_TIME, 0, "time(n)", DRAY_TYPE_STRING, 0, MY_WIRE_TIME, "-838:59:59.000000"},
    {MYSQL_TYPE_STRING, MY_NEED_ENUM, "enum", DRAY_TYPE_STRING, 0, MY_WIRE_TEXT, "its label"},
    {MYSQL_TYPE_STRING, MY_NEED_SET, "set", DRAY_TYPE_STRING, 0, MY_WIRE_TEXT, "its labels, with commas"},
    {TYPE_JSON, 0, "json of MySQL", DRAY_TYPE_JSON, DRAY_TYPE_JSON, MY_WIRE_JSON,
     "the server orders members, drops double ones, and keeps 64 bits of a number"},
    {MYSQL_TYPE_BLOB, MY_NEED_JSON, "json of MariaDB", DRAY_TYPE_JSON, DRAY_TYPE_JSON, MY_WIRE_JSON,
     "byte by byte as it was, but for blanks; what nests more than 31 deep rejects its row"},
    {MYSQL_TYPE_VAR_STRING, MY_NEED_JSON, "what MariaDB's JSON functions return", DRAY_TYPE_JSON, 0, MY_WIRE_JSON, ""},
    {MYSQL_TYPE_BLOB, MY_NEED_BINARY, "tinyblob to longblob", DRAY_TYPE_BYTES, DRAY_TYPE_BYTES, MY_WIRE_BYTES,
     "longer bytes reject their row"},
    {MYSQL_TYPE_BLOB, 0, "tinytext to longtext", DRAY_TYPE_STRING, DRAY_TYPE_STRING, MY_WIRE_TEXT,
     "of any character set; a longer text, or a character that it lacks, rejects its row"},
    {MYSQL_TYPE_VAR_STRING, MY_NEED_BINARY, "varbinary(n)", DRAY_TYPE_BYTES, DRAY_TYPE_BYTES, MY_WIRE_BYTES, "as blob"},
    {MYSQL_TYPE_VAR_STRING, 0, "varchar(n)", DRAY_TYPE_STRING, DRAY_TYPE_STRING, MY_WIRE_TEXT, "as text"},
    {MYSQL_TYPE_STRING, MY_NEED_NAMED, "uuid, inet4, inet6", DRAY_TYPE_STRING, 0, MY_WIRE_TEXT, "MariaDB's spelling"},
    {MYSQL_TYPE_STRING, MY_NEED_BINARY, "binary(n)", DRAY_TYPE_BYTES, 0, MY_WIRE_BYTES,
     "with its zeros; not written: it would add some"},
    {MYSQL_TYPE_STRING, 0, "char(n)", DRAY_TYPE_STRING, 0, MY_WIRE_TEXT,
     "without blanks at its end; not written: it would drop them"},
    {MYSQL_TYPE_GEOMETRY, 0, "geometry and its kinds", DRAY_TYPE_BYTES, 0, MY_WIRE_BYTES,
     "four bytes of SRID, then WKB; ST_AsGeoJSON(…) reads as JSON or text"},
    {-1, MY_NEED_BINARY, "any other type, of bytes", DRAY_TYPE_BYTES, 0, MY_WIRE_BYTES, "as the server sends it"},
    {-1, 0, "any other type", DRAY_TYPE_STRING, 0, MY_WIRE_TEXT, "as the server writes it"},
};
const size_t my_type_count = sizeof my_types / sizeof my_types[0];

// ---- what dray makes ----

const char *const my_collations[MY_COLLATION_COUNT] = {
    [MY_COLLATION_MARIADB] = "utf8mb4_nopad_bin",
    [MY_COLLATION_MYSQL] = "utf8mb4_0900_bin",
    [MY_COLLATION_PLAIN] = "utf8mb4_bin",
};

#define LITERAL(text)                                                                                                  \
  { text, sizeof(text) - 1 }
#define TEXTS(type)                                                                                                    \
  {                                                                                                                    \
    [MY_COLLATION_MARIADB] = LITERAL(type " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"),                         \
    [MY_COLLATION_MYSQL] = LITERAL(type " CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"),                            \
    [MY_COLLATION_PLAIN] = LITERAL(type " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),                                 \
  }
static const struct dray_str texts[MY_COLLATION_COUNT] = TEXTS("longtext"),
                             key_texts[MY_COLLATION_COUNT] = TEXTS("varchar({n})");
static const struct dray_str others[10] = {
    [DRAY_TYPE_BOOL] = LITERAL("tinyint(1)"),       [DRAY_TYPE_INT64] = LITERAL("bigint"),
    [DRAY_TYPE_FLOAT64] = LITERAL("double"),        [DRAY_TYPE_DECIMAL] = LITERAL("decimal({p},{s})"),
    [DRAY_TYPE_BYTES] = LITERAL("longblob"),        [DRAY_TYPE_DATE] = LITERAL("date"),
    [DRAY_TYPE_TIMESTAMP] = LITERAL("datetime(6)"), [DRAY_TYPE_JSON] = LITERAL("json"),
};

// MySQL's own JSON would change what it is given; MariaDB's is a text with a check.
struct dray_str my_dialect_type(int32_t type, int collation, int maria) {
  if (type == DRAY_TYPE_STRING || (type == DRAY_TYPE_JSON && !maria)) return texts[collation];
  return others[type];
}

struct dray_str my_dialect_key_type(int32_t type, int collation) {
  if (type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON) return key_texts[collation];
  if (type == DRAY_TYPE_BYTES) return (struct dray_str)LITERAL("varbinary({n})");
  return (struct dray_str){NULL, 0};
}

// By way of utf8mb4, since a column of others may be of another character set. To utf8mb4_bin blanks at the end are
// nothing.
struct dray_str my_dialect_exact_text(int collation) {
  static const struct dray_str forms[MY_COLLATION_COUNT] = {
      [MY_COLLATION_MARIADB] = LITERAL("CONVERT({c} USING utf8mb4) COLLATE utf8mb4_nopad_bin"),
      [MY_COLLATION_MYSQL] = LITERAL("CONVERT({c} USING utf8mb4) COLLATE utf8mb4_0900_bin"),
      [MY_COLLATION_PLAIN] = LITERAL("CAST(CONVERT({c} USING utf8mb4) AS BINARY)"),
  };
  return forms[collation];
}

// The server brings the column beside it to this collation. (A CONVERT of a text in an UPDATE over a hash join fails at
// times in MariaDB 10.11, with "Invalid utf8mb4 character string" for a text that is valid.)
struct dray_str my_dialect_beside_text(int collation) {
  static const struct dray_str forms[MY_COLLATION_COUNT] = {
      [MY_COLLATION_MARIADB] = LITERAL("{c} COLLATE utf8mb4_nopad_bin"),
      [MY_COLLATION_MYSQL] = LITERAL("{c} COLLATE utf8mb4_0900_bin"),
  };
  return forms[collation];
}

// What is read as text may be of another character set, or of a type that is no text: the texts are compared, byte by
// byte, since a character set that was only said anew has other texts of the same bytes. A float's text tells 0 and -0
// apart, its value what a FLOAT's text of six digits does not.
#define TEXTS_DIFFER                                                                                                   \
  LITERAL("NOT (CAST(CONVERT({a} USING utf8mb4) AS BINARY) <=> CAST(CONVERT({b} USING utf8mb4) AS BINARY))")
#define FLOATS_DIFFER LITERAL("(NOT ({a} <=> {b}) OR NOT (CAST({a} AS CHAR) <=> CAST({b} AS CHAR)))")
struct dray_str my_dialect_differs(int32_t type) {
  if (type == DRAY_TYPE_STRING || type == DRAY_TYPE_JSON) return (struct dray_str)TEXTS_DIFFER;
  if (type == DRAY_TYPE_FLOAT64) return (struct dray_str)FLOATS_DIFFER;
  return (struct dray_str)LITERAL("NOT ({a} <=> {b})");
}

// ---- a result's column ----

static int has_attribute(const MYSQL_FIELD *field, enum mariadb_field_attr_t which, const char *wanted) {
  MARIADB_CONST_STRING text = {NULL, 0};
  if (mariadb_field_attr(&text, field, which) != 0 || text.str == NULL || text.length == 0) return 0;
  return wanted == NULL || (text.length == strlen(wanted) && memcmp(text.str, wanted, text.length) == 0);
}

static uint32_t given(const MYSQL_FIELD *field) {
  uint32_t given = 0;
  if (field->length == 1 && (field->flags & UNSIGNED_FLAG) == 0) given |= MY_NEED_ONE;
  if (field->type == MYSQL_TYPE_BIT && field->length == 1) given |= MY_NEED_ONE;
  if (field->flags & UNSIGNED_FLAG) given |= MY_NEED_UNSIGNED;
  if (field->charsetnr == CHARSET_BINARY) given |= MY_NEED_BINARY;
  if (field->flags & ENUM_FLAG) given |= MY_NEED_ENUM;
  if (field->flags & SET_FLAG) given |= MY_NEED_SET;
  if (field->decimals < DECIMALS_NOT_FIXED) given |= MY_NEED_SCALE;
  if (has_attribute(field, MARIADB_FIELD_ATTR_FORMAT_NAME, "json")) given |= MY_NEED_JSON;
  if (has_attribute(field, MARIADB_FIELD_ATTR_DATA_TYPE_NAME, NULL)) given |= MY_NEED_NAMED;
  return given;
}

// Results say the width of a number's text: digits, a sign where there can be one, a point where there is a fraction.
static struct dray_type decimal_of(const MYSQL_FIELD *field) {
  const int32_t scale = (int32_t)field->decimals;
  const int32_t sign = (field->flags & UNSIGNED_FLAG) ? 0 : 1;
  int32_t precision = (int32_t)field->length - sign - (scale > 0 ? 1 : 0);
  if (precision < scale) precision = scale;
  if (precision < 1) precision = 1;
  return (struct dray_type){DRAY_TYPE_DECIMAL, precision, scale};
}

static void decide_decimal(const MYSQL_FIELD *field, struct my_column *out) {
  const struct dray_type type = decimal_of(field);
  if (type.precision <= DRAY_DECIMAL_PRECISION_MAX) {
    out->type = type;
    if (out->written.id != 0) out->written = type;
    return;
  }
  out->written = (struct dray_type){0, 0, 0};
  if (type.scale == 0) {
    out->type = (struct dray_type){DRAY_TYPE_DECIMAL, DRAY_DECIMAL_PRECISION_MAX, 0};
    return;
  }
  out->type = (struct dray_type){DRAY_TYPE_STRING, 0, 0};
  out->wire = MY_WIRE_TEXT;
}

// Results say the bytes that a text has at most in the session's character set, four for each character. How many bytes
// a tinytext takes of its own character set they do not say (texts.c).
static uint64_t length_max_of(const MYSQL_FIELD *field, const struct my_type *row) {
  if (row->writes == DRAY_TYPE_BYTES) return field->length;
  return row->writes == DRAY_TYPE_STRING && field->type == MYSQL_TYPE_VAR_STRING ? field->length / UTF8MB4_BYTES : 0;
}

static void decide_range(const MYSQL_FIELD *field, struct my_column *out) {
  static const struct {
    int protocol;
    const char *least, *greatest, *greatest_unsigned;
  } ranges[] = {
      {MYSQL_TYPE_TINY, "-128", "127", "255"},
      {MYSQL_TYPE_SHORT, "-32768", "32767", "65535"},
      {MYSQL_TYPE_INT24, "-8388608", "8388607", "16777215"},
      {MYSQL_TYPE_LONG, "-2147483648", "2147483647", "4294967295"},
      {MYSQL_TYPE_LONGLONG, NULL, NULL, "18446744073709551615"},
      {MYSQL_TYPE_NEWDECIMAL, NULL, NULL, NULL},
      {MYSQL_TYPE_DOUBLE, NULL, NULL, NULL},
  };
  const int is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0] && out->row->writes != DRAY_TYPE_BOOL; i++) {
    if (ranges[i].protocol != (int)field->type) continue;
    out->least = is_unsigned ? "0" : ranges[i].least;
    out->greatest = is_unsigned ? ranges[i].greatest_unsigned : ranges[i].greatest;
  }
}

void my_column_decide(const MYSQL_FIELD *field, struct my_column *out) {
  const struct dray_type wide = {DRAY_TYPE_DECIMAL, 20, 0};
  const uint32_t has = given(field);
  const struct my_type *row = my_types;
  while ((row->protocol != -1 && row->protocol != (int)field->type) || (row->need & ~has) != 0) row++;
  out->row = row;
  out->wire = row->wire;
  out->type = (struct dray_type){row->reads, 0, 0};
  out->written = (struct dray_type){row->writes, 0, 0};
  out->length_max = length_max_of(field, row);
  decide_range(field, out);
  out->decimals = field->decimals < 6 ? (int)field->decimals : 6;
  out->fills_null = (field->flags & AUTO_INCREMENT_FLAG) != 0 ||
                    (field->type == MYSQL_TYPE_TIMESTAMP && (field->flags & NOT_NULL_FLAG) != 0);
  if (row->wire == MY_WIRE_TIMESTAMP && out->decimals < 6) out->written = (struct dray_type){0, 0, 0};
  if (row->wire == MY_WIRE_DECIMAL) decide_decimal(field, out);
  if (row->wire == MY_WIRE_UINT) out->type = out->written = wide;
  if (row->wire == MY_WIRE_BIT && row->reads == DRAY_TYPE_INT64 && field->length > 63) out->type = wide;
}
