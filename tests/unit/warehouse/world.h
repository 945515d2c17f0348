// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A warehouse to write to: the built sqlite plugin on a file of its own, and short ways to tables of text. All SQL that
// core/warehouse generates is run by the engine here; nothing compares SQL as text.
#ifndef DRAY_TEST_WAREHOUSE_WORLD_H
#define DRAY_TEST_WAREHOUSE_WORLD_H

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dray/plugin.h"
#include "warehouse/warehouse.h"

extern struct dray_error world_error;

#define assert_ok(expression)                                                                                          \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK) fail_msg("%s: %d %s", #expression, code_, world_error.text);                                 \
  } while (0)

// The engine seen as a poorer or a differently spelt one: facts that SQLite happens to fulfil in both forms.
enum {
  WORLD_PLAIN = 0,
  WORLD_NO_UPDATE_FROM = 1,
  WORLD_NO_NULL_SAFE_IS = 2,
  WORLD_NO_TEMP_TABLES = 4,
  WORLD_NO_TRANSACTIONAL_DDL = 8,
  WORLD_SCHEMAS = 16, // the schema is then "main"
  WORLD_DOLLAR = 32,
  WORLD_EXACT_TEXT = 64, // texts are compared as bytes, keys have types of their own
  WORLD_EVERY = 127,
  WORLD_NO_RETYPE = 128 // columns get other types by the dialect alone
};

struct world {
  struct dr_warehouse warehouse;
  struct dray_warehouse_vtable vtable; // of a variant that needs its own
  char path[600];
};

int world_fresh(void **state); // a setup function: an empty folder
const char *world_path(const char *name);
// Opens (makes) FOLDER/name, or a name that begins with a slash. `variant`: WORLD_*.
void world_open(struct world *world, const char *name, int variant);
void world_close(struct world *world);
void world_execute(struct world *world, const char *sql);
// Rows as text: columns with '|', rows with '\n', null is "~". In static memory, four at a time.
const char *world_query(struct world *world, const char *sql);
// As many copies of the plugin's table for wrapping it: the slots are the real ones.
const struct dray_warehouse_vtable *world_vtable(void);

// ---- rows ----

// Cells as text, NULL for null, ABSENT for absent; `cells` holds row after row.
extern const char ABSENT[];
struct dr_schema *world_schema(const struct dray_column_def *defs, size_t count);
struct dr_batch *world_batch(struct dr_schema *schema, const char *const *cells, size_t row_count);
// Changes of these operations on the rows. The batch is freed with them.
struct dr_changes *world_changes(struct dr_batch *rows, const uint8_t *ops);

// ---- whole writes ----

struct dr_table_options world_options(struct dr_schema *schema, const char *table, int mode, const char *const *key,
                                      size_t key_count);
// Plan, begin, the changes or rows, merge, commit. Generations: expects `generation` and leaves generation + 1.
int32_t world_write(struct world *world, const struct dr_table_options *options, uint64_t generation,
                    struct dr_changes *changes, uint64_t *out_written);
int32_t world_write_rows(struct world *world, const struct dr_table_options *options, uint64_t generation,
                         struct dr_batch *rows, uint64_t *out_written);

#endif // DRAY_TEST_WAREHOUSE_WORLD_H
