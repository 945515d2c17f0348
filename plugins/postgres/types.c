// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of types. README.md shows it; a test compares the two. The oids are fixed for all versions
// (src/include/catalog/pg_type.dat).
#include "types.h"

// Read as they are lie first; the others are cast by the server, because their binary forms are the server's own
// affair, while their texts are documented and stable under the settings of our transactions.
const struct pg_type pg_types[] = {
    {16, "boolean", DRAY_TYPE_BOOL, DRAY_TYPE_BOOL, PG_WIRE_BOOL, 0, ""},
    {21, "smallint", DRAY_TYPE_INT64, DRAY_TYPE_INT64, PG_WIRE_INT2, 0, "a number that does not fit rejects its row"},
    {23, "integer", DRAY_TYPE_INT64, DRAY_TYPE_INT64, PG_WIRE_INT4, 0, "a number that does not fit rejects its row"},
    {20, "bigint", DRAY_TYPE_INT64, DRAY_TYPE_INT64, PG_WIRE_INT8, 0, ""},
    {26, "oid", DRAY_TYPE_INT64, 0, PG_WIRE_OID, 0, ""},
    {700, "real", DRAY_TYPE_FLOAT64, 0, PG_WIRE_FLOAT4, 0, "not written: it would round"},
    {701, "double precision", DRAY_TYPE_FLOAT64, DRAY_TYPE_FLOAT64, PG_WIRE_FLOAT8, 0,
     "NaN and Infinity as well; -0 is the same value as 0, and may be written as 0"},
    {1700, "numeric(p,s)", DRAY_TYPE_DECIMAL, DRAY_TYPE_DECIMAL, PG_WIRE_NUMERIC, 0,
     "p up to 38; NaN and Infinity reject their row. Without (p,s), or with more digits: read as string, all digits "
     "kept; written as decimal(38,9). With s below 0: not written, it would round; beyond p: a number that does not "
     "fit "
     "rejects its row"},
    {25, "text", DRAY_TYPE_STRING, DRAY_TYPE_STRING, PG_WIRE_TEXT, 0, ""},
    {1043, "varchar(n)", DRAY_TYPE_STRING, DRAY_TYPE_STRING, PG_WIRE_TEXT, 0, "a longer text rejects its row"},
    {1042, "char(n)", DRAY_TYPE_STRING, 0, PG_WIRE_TEXT, 0, "with its blanks; not written: it would add blanks"},
    {19, "name", DRAY_TYPE_STRING, 0, PG_WIRE_TEXT, 0, ""},
    {17, "bytea", DRAY_TYPE_BYTES, DRAY_TYPE_BYTES, PG_WIRE_BYTES, 0, ""},
    {1082, "date", DRAY_TYPE_DATE, DRAY_TYPE_DATE, PG_WIRE_DATE, 0,
     "infinity and years outside 1 to 9999 reject their row"},
    {1114, "timestamp", DRAY_TYPE_TIMESTAMP, DRAY_TYPE_TIMESTAMP, PG_WIRE_TIMESTAMP, 0,
     "taken as UTC; as date. A timestamp(n) that would have to be rounded rejects its row"},
    {1184, "timestamptz", DRAY_TYPE_TIMESTAMP, DRAY_TYPE_TIMESTAMP, PG_WIRE_TIMESTAMP, 0, "as timestamp, as date"},
    {114, "json", DRAY_TYPE_JSON, DRAY_TYPE_JSON, PG_WIRE_JSON, 0, "byte by byte as it was, but for blanks"},
    {3802, "jsonb", DRAY_TYPE_JSON, DRAY_TYPE_JSON, PG_WIRE_JSONB, 0,
     "the server orders members, drops double ones and writes 1e2 as 100; a text with \\u0000, or a number beyond what "
     "numeric holds, rejects its row"},
    {2950, "uuid", DRAY_TYPE_STRING, 0, PG_WIRE_UUID, 0, "lower case, with hyphens"},
    {1186, "interval", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "ISO 8601: P1Y2M3DT4H5M6.5S"},
    {1083, "time", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "12:34:56.789"},
    {1266, "timetz", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "12:34:56.789+02"},
    {790, "money", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "as the server's lc_monetary spells it"},
    {869, "inet", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {650, "cidr", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {829, "macaddr", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {1560, "bit(n)", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {1562, "varbit", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {142, "xml", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, ""},
    {0, "an enum", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "its label"},
    {0, "an array", DRAY_TYPE_JSON, 0, 0, PG_CAST_JSON, "by to_json"},
    {0, "a composite type", DRAY_TYPE_JSON, 0, 0, PG_CAST_JSON, "by to_json"},
    {0, "a range, any other type", DRAY_TYPE_STRING, 0, 0, PG_CAST_TEXT, "as the server writes it"},
};
const size_t pg_type_count = sizeof pg_types / sizeof pg_types[0];

#define LITERAL(text)                                                                                                  \
  { text, sizeof(text) - 1 }
const struct dray_str pg_dialect_types[10] = {
    [DRAY_TYPE_BOOL] = LITERAL("boolean"),
    [DRAY_TYPE_INT64] = LITERAL("bigint"),
    [DRAY_TYPE_FLOAT64] = LITERAL("double precision"),
    [DRAY_TYPE_DECIMAL] = LITERAL("numeric({p},{s})"),
    [DRAY_TYPE_STRING] = LITERAL("text"),
    [DRAY_TYPE_BYTES] = LITERAL("bytea"),
    [DRAY_TYPE_DATE] = LITERAL("date"),
    [DRAY_TYPE_TIMESTAMP] = LITERAL("timestamp with time zone"),
    [DRAY_TYPE_JSON] = LITERAL("json"),
};

// What is read as text or JSON may be of a type that calls different values equal (citext, collations that are not
// deterministic, interval, numeric's 1.0 and 1.00, -0.0) or knows no equality (json): *<> compares what is stored.
#define VALUES_DIFFER LITERAL("{a} IS DISTINCT FROM {b}")
#define IMAGES_DIFFER LITERAL("CAST(ROW({a}) AS record) OPERATOR(pg_catalog.*<>) CAST(ROW({b}) AS record)")
const struct dray_str pg_dialect_differs[10] = {
    [DRAY_TYPE_BOOL] = VALUES_DIFFER,    [DRAY_TYPE_INT64] = VALUES_DIFFER,  [DRAY_TYPE_FLOAT64] = IMAGES_DIFFER,
    [DRAY_TYPE_DECIMAL] = VALUES_DIFFER, [DRAY_TYPE_STRING] = IMAGES_DIFFER, [DRAY_TYPE_BYTES] = VALUES_DIFFER,
    [DRAY_TYPE_DATE] = VALUES_DIFFER,    [DRAY_TYPE_JSON] = IMAGES_DIFFER,   [DRAY_TYPE_TIMESTAMP] = VALUES_DIFFER,
};
const Oid pg_oids[10] = {
    [DRAY_TYPE_BOOL] = 16,      [DRAY_TYPE_INT64] = 20,       [DRAY_TYPE_FLOAT64] = 701,
    [DRAY_TYPE_DECIMAL] = 1700, [DRAY_TYPE_STRING] = 25,      [DRAY_TYPE_BYTES] = 17,
    [DRAY_TYPE_DATE] = 1082,    [DRAY_TYPE_TIMESTAMP] = 1184, [DRAY_TYPE_JSON] = 114,
};

const struct pg_type *pg_type_find(Oid oid) {
  for (size_t i = 0; i < pg_type_count && oid != 0; i++) {
    if (pg_types[i].oid == oid) return &pg_types[i];
  }
  return NULL;
}

// ((p << 16) | (s & 0x7ff)) + 4, the scale in 11 bits with a sign (numeric.c). A negative scale is zeros before the
// point; a scale beyond the precision is zeros behind it.
int32_t pg_decimal_scale(int32_t modifier) {
  const int32_t scale = (modifier - 4) & 0x7ff;
  return (scale & 0x400) != 0 ? scale - 0x800 : scale;
}

struct dray_type pg_decimal_of(int32_t modifier) {
  const struct dray_type none = {0, 0, 0};
  if (modifier < 4) return none;
  int32_t precision = ((modifier - 4) >> 16) & 0xffff;
  int32_t scale = pg_decimal_scale(modifier);
  if (scale < 0) {
    precision -= scale;
    scale = 0;
  }
  if (scale > precision) precision = scale;
  if (precision < 1 || precision > DRAY_DECIMAL_PRECISION_MAX) return none;
  return (struct dray_type){DRAY_TYPE_DECIMAL, precision, scale};
}

static void cast(struct pg_column *column, int32_t type, int how) {
  column->type = (struct dray_type){type, 0, 0};
  column->cast = how;
  column->wire = how == PG_CAST_JSON ? PG_WIRE_JSON : PG_WIRE_TEXT;
}

void pg_column_decide(struct pg_column *column, char category, char kind) {
  const struct pg_type *row = pg_type_find(column->oid);
  if (row == NULL) {
    const int nested = category == 'A' || kind == 'c' || column->oid == 2249; // 2249: record
    cast(column, nested ? DRAY_TYPE_JSON : DRAY_TYPE_STRING, nested ? PG_CAST_JSON : PG_CAST_TEXT);
    return;
  }
  if (row->cast != PG_CAST_NONE) {
    cast(column, row->reads, row->cast);
    return;
  }
  column->type = (struct dray_type){row->reads, 0, 0};
  column->wire = row->wire;
  column->cast = PG_CAST_NONE;
  if (row->wire != PG_WIRE_NUMERIC) return;
  column->type = pg_decimal_of(column->modifier);
  if (column->type.id == 0) cast(column, DRAY_TYPE_STRING, PG_CAST_TEXT);
}
