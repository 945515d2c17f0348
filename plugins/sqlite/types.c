// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Declared types and canonical types. SQLite keeps the declaration as text and derives an affinity from it, which
// decides what is stored; this file knows both, and the declarations that dray itself writes.
#include <stdlib.h>

#include "connection.h"

// What dray declares. The affinity of each must keep the stored form exactly: everything that is kept as text has TEXT
// in its name (a plain DECIMAL, DATE or JSON would have NUMERIC affinity, which turns '12.30' into 12.3 and '5' into
// 5).
#define LITERAL(text)                                                                                                  \
  { text, sizeof(text) - 1 }
const struct dray_str sqlite_dialect_types[10] = {
    [DRAY_TYPE_BOOL] = LITERAL("BOOLEAN"),   [DRAY_TYPE_INT64] = LITERAL("INTEGER"),
    [DRAY_TYPE_FLOAT64] = LITERAL("REAL"),   [DRAY_TYPE_DECIMAL] = LITERAL("DECIMAL_TEXT({p},{s})"),
    [DRAY_TYPE_STRING] = LITERAL("TEXT"),    [DRAY_TYPE_BYTES] = LITERAL("BLOB"),
    [DRAY_TYPE_DATE] = LITERAL("DATE_TEXT"), [DRAY_TYPE_TIMESTAMP] = LITERAL("TIMESTAMP_TEXT"),
    [DRAY_TYPE_JSON] = LITERAL("JSON_TEXT"),
};

// A double keeps any decimal of so many digits.
#define DOUBLE_DIGITS 15

// Names that say more than their affinity. `prefix`: longer names that begin so count as well (TIMESTAMPTZ, DOUBLE
// PRECISION).
static const struct {
  const char *name;
  int32_t type;
  int prefix;
} known_names[] = {
    {"BOOLEAN", DRAY_TYPE_BOOL, 0},    {"BOOL", DRAY_TYPE_BOOL, 0},          {"DATE", DRAY_TYPE_DATE, 0},
    {"DATE_TEXT", DRAY_TYPE_DATE, 0},  {"DATETIME", DRAY_TYPE_TIMESTAMP, 1}, {"TIMESTAMP", DRAY_TYPE_TIMESTAMP, 1},
    {"JSON", DRAY_TYPE_JSON, 0},       {"JSON_TEXT", DRAY_TYPE_JSON, 0},     {"DECIMAL_TEXT", DRAY_TYPE_DECIMAL, 0},
    {"DECIMAL", DRAY_TYPE_DECIMAL, 0}, {"NUMERIC", DRAY_TYPE_DECIMAL, 0},    {"NUMBER", DRAY_TYPE_DECIMAL, 0},
    {"DOUBLE", DRAY_TYPE_FLOAT64, 1},  {"FLOAT", DRAY_TYPE_FLOAT64, 1},      {"REAL", DRAY_TYPE_FLOAT64, 0},
};

// SQLite's own rules, in their order (https://www.sqlite.org/datatype3.html, 3.1).
static const struct {
  const char *part;
  int32_t type;
} affinities[] = {
    {"INT", DRAY_TYPE_INT64},  {"CHAR", DRAY_TYPE_STRING},  {"CLOB", DRAY_TYPE_STRING},  {"TEXT", DRAY_TYPE_STRING},
    {"BLOB", DRAY_TYPE_BYTES}, {"REAL", DRAY_TYPE_FLOAT64}, {"FLOA", DRAY_TYPE_FLOAT64}, {"DOUB", DRAY_TYPE_FLOAT64},
};

static int32_t type_of_affinity(const char *declared) {
  for (size_t i = 0; i < sizeof affinities / sizeof affinities[0]; i++) {
    const size_t len = strlen(affinities[i].part);
    for (const char *at = declared; *at != '\0'; at++) {
      if (sqlite3_strnicmp(at, affinities[i].part, (int)len) == 0) return affinities[i].type;
    }
  }
  return 0;
}

static int32_t type_of_name(const char *declared, size_t name_len) {
  for (size_t i = 0; i < sizeof known_names / sizeof known_names[0]; i++) {
    const size_t len = strlen(known_names[i].name);
    const int fits = known_names[i].prefix ? name_len >= len : name_len == len;
    if (fits && sqlite3_strnicmp(declared, known_names[i].name, (int)len) == 0) return known_names[i].type;
  }
  return 0;
}

// "(10,2)" behind a name: 0 when it is not of that form or beyond what a decimal holds.
static int read_precision(const char *text, struct dray_type *type) {
  char *end = NULL;
  if (*text != '(') return 0;
  const long precision = strtol(text + 1, &end, 10);
  long scale = 0;
  if (*end == ',') scale = strtol(end + 1, &end, 10);
  while (*end == ' ') end++;
  if (*end != ')' || precision < 1 || precision > DRAY_DECIMAL_PRECISION_MAX || scale < 0 || scale > precision)
    return 0;
  type->precision = (int32_t)precision;
  type->scale = (int32_t)scale;
  return 1;
}

// A declared decimal without its digits, or with more than a decimal can hold: SQLite keeps a number, so a number it
// is.
static struct dray_type decimal_type(const char *declared, size_t name_len, int for_writing) {
  struct dray_type type = {DRAY_TYPE_DECIMAL, 0, 0};
  const struct dray_type number = {DRAY_TYPE_FLOAT64, 0, 0};
  const char *digits = declared + name_len;
  while (*digits == ' ') digits++;
  if (!read_precision(digits, &type)) return number;
  const int kept_as_text = type_of_affinity(declared) == DRAY_TYPE_STRING;
  return for_writing && !kept_as_text && type.precision > DOUBLE_DIGITS ? number : type;
}

struct dray_type sqlite_type_of(const char *declared, int for_writing) {
  struct dray_type type = {0, 0, 0};
  size_t name_len = 0;
  if (declared == NULL) return type;
  while (*declared == ' ') declared++;
  if (*declared == '\0') return type;
  while (declared[name_len] != '\0' && declared[name_len] != '(') name_len++;
  while (name_len > 0 && declared[name_len - 1] == ' ') name_len--;
  type.id = type_of_name(declared, name_len);
  if (type.id == DRAY_TYPE_DECIMAL) return decimal_type(declared, name_len, for_writing);
  if (type.id == 0) type.id = type_of_affinity(declared);
  if (type.id == 0) type.id = for_writing ? DRAY_TYPE_FLOAT64 : DRAY_TYPE_STRING;
  return type;
}
