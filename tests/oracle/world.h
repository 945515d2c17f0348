// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine as a life meets it: one mirror in a folder, opened under the schema of a step. Whatever must not happen
// ends the process with a line on what it was.
#ifndef DRAY_ORACLE_WORLD_H
#define DRAY_ORACLE_WORLD_H

#include "life.h"

#define PATH_BYTES_MAX 256

struct world {
  const struct life *life;
  char root[PATH_BYTES_MAX / 2];
  char folder[PATH_BYTES_MAX], set_path[PATH_BYTES_MAX];
  struct dr_mirror *mirror;
  struct dr_schema *schema; // of the step under which the mirror is open
  size_t step;
  uint64_t generation; // of the last commit
  uint64_t rows_due;   // of the mirror, when a pass begins; UINT64_MAX: not known
  struct dray_error error;
};

// What goes wrong is told to `world_failed`, which does not return.
_Noreturn void world_failed(struct world *world, const char *file, int line, const char *what);
#define world_check(world, condition)                                                                                  \
  do {                                                                                                                 \
    if (!(condition)) world_failed(world, __FILE__, __LINE__, #condition);                                             \
  } while (0)
#define world_ok(world, call) world_check(world, (call) == DRAY_OK)

void world_begin(struct world *world, const struct life *life, const char *root); // the folder is emptied
void world_end(struct world *world);
void world_clear(const char *root); // removes what lies in the folder
void world_open(struct world *world, size_t step);
void world_close(struct world *world);
static inline void world_reopen(struct world *world) {
  const size_t step = world->step;
  world_close(world);
  world_open(world, step);
}

// Merges journal and base though both are small: rows have to be in the base to be met there.
void world_merge(struct world *world);
// Begins a pass over the rows of the step and leaves it.
void world_abandon(struct world *world, size_t step);
// One pass over the rows of the step, into world->set_path. counts->column_updates: written to `updates`.
void world_pass(struct world *world, size_t step, struct dr_diff_counts *counts, uint64_t *updates);

#endif // DRAY_ORACLE_WORLD_H
