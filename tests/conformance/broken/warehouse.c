// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Breaks the plugin sqlite, whose sources it is linked with, from below: calls into SQLite go through the functions
// here (the linker's --wrap), each build with one fault. What is left alone goes to SQLite.
#include <math.h>
#include <sqlite3.h>
#include <string.h>

int __real_sqlite3_bind_double(sqlite3_stmt *statement, int parameter, double value);
int __wrap_sqlite3_bind_double(sqlite3_stmt *statement, int parameter, double value);
int __real_sqlite3_bind_text64(sqlite3_stmt *statement, int parameter, const char *text, sqlite3_uint64 bytes,
                               void (*destroy)(void *), unsigned char encoding);
int __wrap_sqlite3_bind_text64(sqlite3_stmt *statement, int parameter, const char *text, sqlite3_uint64 bytes,
                               void (*destroy)(void *), unsigned char encoding);
void __real_sqlite3_progress_handler(sqlite3 *db, int steps, int (*look)(void *), void *ctx);
void __wrap_sqlite3_progress_handler(sqlite3 *db, int steps, int (*look)(void *), void *ctx);
void __real_sqlite3_interrupt(sqlite3 *db);
void __wrap_sqlite3_interrupt(sqlite3 *db);

#define IS(fault) (strcmp(WAREHOUSE_FAULT, fault) == 0)

// "float": a driver that keeps single precision.
int __wrap_sqlite3_bind_double(sqlite3_stmt *statement, int parameter, double value) {
  const double kept = IS("float") && fabs(value) < 1e30 ? (double)(float)value : value;
  return __real_sqlite3_bind_double(statement, parameter, kept);
}

// "trim": a driver that cuts blanks off.
int __wrap_sqlite3_bind_text64(sqlite3_stmt *statement, int parameter, const char *text, sqlite3_uint64 bytes,
                               void (*destroy)(void *), unsigned char encoding) {
  while (IS("trim") && bytes > 0 && text[bytes - 1] == ' ') bytes--;
  return __real_sqlite3_bind_text64(statement, parameter, text, bytes, destroy, encoding);
}

// "cancel": nothing ends a query but its end.
void __wrap_sqlite3_progress_handler(sqlite3 *db, int steps, int (*look)(void *), void *ctx) {
  if (!IS("cancel")) __real_sqlite3_progress_handler(db, steps, look, ctx);
}

void __wrap_sqlite3_interrupt(sqlite3 *db) {
  if (!IS("cancel")) __real_sqlite3_interrupt(db);
}
