// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// SQLite lets every row hold another storage class in the same column. A value goes into the column's type when it is
// that value exactly; anything else is refused with a reason, and the caller rejects the row (stream.c). The digits of
// numbers are the same in SQL (retype.c).
#include "cell.h"

#include <math.h>

#define REAL_INTEGER_MAX 9007199254740992.0 // 2^53: up to here every integer is a double of its own
#define INT64_LIMIT 9223372036854775808.0   // 2^63
#define DAY_US INT64_C(86400000000)

// Text without an address means that SQLite had no memory for it; an empty text has one.
static struct cell checked(struct cell cell) {
  if (cell.storage == SQLITE_TEXT && cell.bytes.data == NULL) cell.storage = CELL_NO_MEMORY;
  return cell;
}

struct cell cell_of_column(sqlite3_stmt *statement, int column) {
  struct cell cell = {.storage = sqlite3_column_type(statement, column)};
  switch (cell.storage) {
  case SQLITE_INTEGER:
    cell.integer = sqlite3_column_int64(statement, column);
    break;
  case SQLITE_FLOAT:
    cell.real = sqlite3_column_double(statement, column);
    break;
  case SQLITE_TEXT:
    cell.bytes.data = (const char *)sqlite3_column_text(statement, column);
    cell.bytes.len = (uint64_t)sqlite3_column_bytes(statement, column);
    break;
  case SQLITE_BLOB:
    cell.bytes.data = sqlite3_column_blob(statement, column);
    cell.bytes.len = (uint64_t)sqlite3_column_bytes(statement, column);
    break;
  default:
    break;
  }
  return checked(cell);
}

struct cell cell_of_value(sqlite3_value *value) {
  struct cell cell = {.storage = sqlite3_value_type(value)};
  switch (cell.storage) {
  case SQLITE_INTEGER:
    cell.integer = sqlite3_value_int64(value);
    break;
  case SQLITE_FLOAT:
    cell.real = sqlite3_value_double(value);
    break;
  case SQLITE_TEXT:
    cell.bytes.data = (const char *)sqlite3_value_text(value);
    cell.bytes.len = (uint64_t)sqlite3_value_bytes(value);
    break;
  case SQLITE_BLOB:
    cell.bytes.data = sqlite3_value_blob(value);
    cell.bytes.len = (uint64_t)sqlite3_value_bytes(value);
    break;
  default:
    break;
  }
  return checked(cell);
}

const char *cell_storage_name(int storage) {
  static const char *const names[] = {
      [SQLITE_INTEGER] = "INTEGER", [SQLITE_FLOAT] = "REAL", [SQLITE_TEXT] = "TEXT",
      [SQLITE_BLOB] = "BLOB",       [SQLITE_NULL] = "NULL",
  };
  return storage >= SQLITE_INTEGER && storage <= SQLITE_NULL ? names[storage] : "value";
}

struct dray_type cell_type_of(unsigned storages) {
  struct dray_type type = {DRAY_TYPE_STRING, 0, 0};
  const unsigned seen = storages & ~(1u << SQLITE_NULL);
  if (seen == 1u << SQLITE_INTEGER) type.id = DRAY_TYPE_INT64;
  if (seen == 1u << SQLITE_FLOAT || seen == (1u << SQLITE_FLOAT | 1u << SQLITE_INTEGER)) type.id = DRAY_TYPE_FLOAT64;
  if (seen == 1u << SQLITE_BLOB) type.id = DRAY_TYPE_BYTES;
  return type;
}

// The value as text: numbers in digits that read back as the same number. `scratch` has DRAY_FORMAT_BYTES_MAX bytes.
static struct dray_str text_of(const struct cell *cell, char *scratch) {
  if (cell->storage == SQLITE_INTEGER) return dray_str_make(scratch, dray_format_int64(cell->integer, scratch));
  if (cell->storage == SQLITE_FLOAT) return dray_str_make(scratch, dray_format_float64(cell->real, scratch));
  return cell->bytes;
}

// dray_text(value): a number as text, anything else as it is.
static void write_text(sqlite3_context *context, int count, sqlite3_value **values) {
  char scratch[DRAY_FORMAT_BYTES_MAX];
  (void)count;
  const int storage = sqlite3_value_type(values[0]);
  if (storage != SQLITE_INTEGER && storage != SQLITE_FLOAT) {
    sqlite3_result_value(context, values[0]);
    return;
  }
  const struct cell cell = cell_of_value(values[0]);
  const struct dray_str text = text_of(&cell, scratch);
  sqlite3_result_text(context, text.data, (int)text.len, SQLITE_TRANSIENT);
}

int cell_add_functions(sqlite3 *db) {
  return sqlite3_create_function_v2(db, "dray_text", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                    write_text, NULL, NULL, NULL);
}

static int32_t refuse(const struct cell *cell, struct dray_type type, struct dray_error *error) {
  char name[24], scratch[DRAY_FORMAT_BYTES_MAX];
  const struct dray_str text = text_of(cell, scratch);
  (void)dray_type_format(type, name, sizeof name);
  if (cell->storage == SQLITE_BLOB) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "a BLOB of %llu bytes is not a value of type %s",
                     (unsigned long long)cell->bytes.len, name);
  }
  return dray_fail(error, DRAY_E_DATA_TYPE, "%s '%.*s' is not a value of type %s", cell_storage_name(cell->storage),
                   DRAY_VALUE_ARG(text), name);
}

static int32_t append_bool(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  int32_t value = 0;
  if (cell->storage == SQLITE_INTEGER && (cell->integer == 0 || cell->integer == 1)) {
    return dray_builder_bool(builder, column, (int32_t)cell->integer, error);
  }
  if (cell->storage != SQLITE_TEXT || dray_parse_bool(cell->bytes, &value, NULL) != DRAY_OK) {
    return refuse(cell, type, error);
  }
  return dray_builder_bool(builder, column, value, error);
}

static int32_t append_int64(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                            struct dray_error *error) {
  if (cell->storage == SQLITE_INTEGER) return dray_builder_int64(builder, column, cell->integer, error);
  if (cell->storage == SQLITE_FLOAT && cell->real == floor(cell->real) && fabs(cell->real) <= REAL_INTEGER_MAX) {
    return dray_builder_int64(builder, column, (int64_t)cell->real, error);
  }
  return refuse(cell, type, error);
}

// A double has no NaN in SQLite (it would be stored as NULL), so load.c stores it as the text.
static int32_t append_float64(const struct cell *cell, struct dray_type type, struct dray_builder *builder,
                              size_t column, struct dray_error *error) {
  if (cell->storage == SQLITE_FLOAT) return dray_builder_float64(builder, column, cell->real, error);
  if (cell->storage == SQLITE_TEXT && dray_str_is(cell->bytes, "NaN")) {
    return dray_builder_float64(builder, column, (double)NAN, error);
  }
  if (cell->storage != SQLITE_INTEGER) return refuse(cell, type, error);
  const double value = (double)cell->integer;
  if (value >= INT64_LIMIT || (int64_t)value != cell->integer) return refuse(cell, type, error);
  return dray_builder_float64(builder, column, value, error);
}

// Numbers in a decimal column of somebody else's table are doubles that were made from decimals: the shortest digits
// that read back as the same double are the decimal again.
static int32_t append_decimal(const struct cell *cell, struct dray_type type, struct dray_builder *builder,
                              size_t column, struct dray_error *error) {
  char scratch[DRAY_FORMAT_BYTES_MAX];
  struct dray_decimal value;
  if (cell->storage == SQLITE_BLOB) return refuse(cell, type, error);
  DRAY_TRY(dray_parse_decimal(text_of(cell, scratch), type.precision, type.scale, &value, error));
  return dray_builder_decimal(builder, column, value, error);
}

static int32_t append_string(const struct cell *cell, struct dray_type type, struct dray_builder *builder,
                             size_t column, struct dray_error *error) {
  char scratch[DRAY_FORMAT_BYTES_MAX];
  if (cell->storage == SQLITE_BLOB) return refuse(cell, type, error);
  return dray_builder_bytes(builder, column, text_of(cell, scratch), error);
}

static int32_t append_bytes(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                            struct dray_error *error) {
  if (cell->storage != SQLITE_BLOB && cell->storage != SQLITE_TEXT) return refuse(cell, type, error);
  return dray_builder_bytes(builder, column, cell->bytes, error);
}

// A number in a date column may be a Unix time or a Julian day: nothing in the file says which, so it is refused.
static int32_t append_date(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  int32_t days = 0;
  int64_t us = 0;
  if (cell->storage != SQLITE_TEXT) return refuse(cell, type, error);
  if (dray_parse_date(cell->bytes, &days, NULL) == DRAY_OK) return dray_builder_date(builder, column, days, error);
  if (dray_parse_timestamp(cell->bytes, &us, NULL) != DRAY_OK || us % DAY_US != 0) return refuse(cell, type, error);
  return dray_builder_date(builder, column, (int32_t)(us / DAY_US), error);
}

static int32_t append_timestamp(const struct cell *cell, struct dray_type type, struct dray_builder *builder,
                                size_t column, struct dray_error *error) {
  int64_t us = 0;
  if (cell->storage != SQLITE_TEXT) return refuse(cell, type, error);
  DRAY_TRY(dray_parse_timestamp(cell->bytes, &us, error));
  return dray_builder_timestamp(builder, column, us, error);
}

static int32_t append_json(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  char scratch[DRAY_FORMAT_BYTES_MAX];
  if (cell->storage == SQLITE_BLOB || (cell->storage == SQLITE_FLOAT && !isfinite(cell->real))) {
    return refuse(cell, type, error);
  }
  return dray_builder_text(builder, column, text_of(cell, scratch), error);
}

int32_t cell_append(const struct cell *cell, struct dray_type type, struct dray_builder *builder, size_t column,
                    struct dray_error *error) {
  static int32_t (*const appenders[])(const struct cell *, struct dray_type, struct dray_builder *, size_t,
                                      struct dray_error *) = {
      [DRAY_TYPE_BOOL] = append_bool,       [DRAY_TYPE_INT64] = append_int64,
      [DRAY_TYPE_FLOAT64] = append_float64, [DRAY_TYPE_DECIMAL] = append_decimal,
      [DRAY_TYPE_STRING] = append_string,   [DRAY_TYPE_BYTES] = append_bytes,
      [DRAY_TYPE_DATE] = append_date,       [DRAY_TYPE_TIMESTAMP] = append_timestamp,
      [DRAY_TYPE_JSON] = append_json,
  };
  if (cell->storage == CELL_NO_MEMORY) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a value");
  if (cell->storage == SQLITE_NULL) return dray_builder_null(builder, column, error);
  return appenders[type.id](cell, type, builder, column, error);
}
