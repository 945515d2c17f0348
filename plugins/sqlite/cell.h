// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One stored value, and its way into a typed column.
#ifndef SQLITE_CELL_H
#define SQLITE_CELL_H

#include <sqlite3.h>

#include "dray/sdk.h"

#define CELL_NO_MEMORY 0

// As SQLite stores it. Borrowed from the statement or from a kept value.
struct cell {
  int storage; // SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB, SQLITE_NULL, or CELL_NO_MEMORY
  int64_t integer;
  double real;
  struct dray_str bytes; // of TEXT and BLOB
};

struct cell cell_of_column(sqlite3_stmt *statement, int column);
struct cell cell_of_value(sqlite3_value *value);
const char *cell_storage_name(int storage);

// Appends the value to a builder column of the type, exactly, or not at all. @errors DATA_* when the value is not one
// of the type, with SQLite's name for what it is; OUT_OF_MEMORY.
DRAY_NODISCARD int32_t cell_append(const struct cell *cell, struct dray_type type, struct dray_builder *builder,
                                   size_t column, struct dray_error *error);

// The type that holds all values of these storage classes (bits 1 << SQLITE_*); none at all: a string.
struct dray_type cell_type_of(unsigned storages);

// Gives a connection's SQL the function dray_text(value): an INTEGER or REAL as text that reads back as the same
// number, as cell_append spells it; any other value as it is. Returns SQLite's code.
int cell_add_functions(sqlite3 *db);

#endif // SQLITE_CELL_H
