// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A small world for tests of the diff engine: a folder with a mirror, rows written as text, changes read back as text.
//
// A row is its values with commas between them: "\N" is null, "?" absent, a leading "!" makes it a tombstone. A change
// is one line: "+ row" insert, "~ row [changed,columns]" update, "- row" delete, "x row reason" a row withheld.
#ifndef DRAY_TEST_DIFF_WORLD_H
#define DRAY_TEST_DIFF_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "diff/diff.h"

struct world {
  char root[64];
  char folder[96]; // of the mirror
  char set_path[96];
  struct dr_schema *schema;
  char key_text[64];
  const char *key[8];
  size_t key_count;
  uint64_t seed, memory_bytes;
  int keep; // DR_KEEP_*
  int create;
  unsigned threads;
  struct dr_mirror *mirror;
  struct dr_diff_counts counts; // of the last pass; column_updates is not kept
  uint64_t column_updates[16];
  char report[65536];
  struct dray_error error;
};

// `columns`: "id int64, name string"; `key`: "id" or "a,b". Makes the folder, not the mirror.
void world_make(struct world *world, const char *columns, const char *key);
void world_set_columns(struct world *world, const char *columns); // the mirror must be closed
void world_remove(struct world *world);
int32_t world_open(struct world *world);
void world_close(struct world *world);
void world_reopen(struct world *world); // asserts success

#define WORLD_REJECT 0 // duplicates: the default
struct world_pass {
  uint32_t flags; // DR_DIFF_*
  int duplicates;
  const char *order_column;
  size_t batch_rows; // 0: all in one
  int with_before;   // updates are written "~ row <- old row [columns]"
  int not_full;      // dr_diff_not_full before the end
  const uint8_t *unsaid;
};
struct dr_batch *world_batch(struct world *world, const char *const *rows, size_t row_count);
// One pass over `rows` (NULL at the end). Returns the changes as text; counts in world->counts. Leaves the change set.
const char *world_run(struct world *world, const struct world_pass *pass, const char *const *rows);
#define ROWS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ROWS ((const char *const[]){NULL})
int32_t world_try(struct world *world, const struct world_pass *pass, const char *const *rows);
const char *world_read(struct world *world, int with_before); // the change set as text
// Acknowledges the changes whose number is in `seqs` (-1 at the end), or all for NULL; rejects are left out.
int32_t world_ack(struct world *world, const int *seqs);
void world_commit(struct world *world, uint64_t generation);
// A full pass over rows, all acknowledged and committed as `generation`.
void world_load(struct world *world, uint64_t generation, const char *const *rows);
// What the mirror holds, as sorted lines: every row is deleted in a pass over nothing, which is then forgotten.
const char *world_held(struct world *world);
// Number in the name of the base that is there, 0: none.
uint64_t world_base(struct world *world);

#define assert_ok(world, expression)                                                                                   \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK) fail_msg("%s: %d %s", #expression, code_, (world)->error.text);                              \
  } while (0)

#endif // DRAY_TEST_DIFF_WORLD_H
