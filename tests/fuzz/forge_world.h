// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows that the mirrors of the fuzz targets are about, and passes over them: what seeds are made of, and what is
// done with a mutated mirror.
#ifndef TESTS_FUZZ_FORGE_WORLD_H
#define TESTS_FUZZ_FORGE_WORLD_H

#include "diff/diff.h"

struct forge_world {
  char root[64], mirror[80], set[80];
  struct dr_schema *schema;
  const char *key[2];
  size_t key_count;
  int keep;
};

void forge_world_open(struct forge_world *world); // a new folder, gone when the process ends
// 0: one integer is the key; 1: a text and a date. wide: with one more column.
void forge_world_shape(struct forge_world *world, int shape, int wide);
int32_t forge_world_mirror(const struct forge_world *world, uint64_t memory_bytes, int create, struct dr_mirror **out,
                           struct dray_error *error);
int32_t forge_world_pass(const struct forge_world *world, struct dr_mirror *mirror, uint32_t flags, uint64_t first,
                         uint64_t count, struct dray_error *error);
// Returns `rc`. An error that comes from what lies in files must be no bug of ours, and be said in words;
// DRAY_FUZZ_SHOW prints it.
int32_t forge_named(int32_t rc, const struct dray_error *error);
// Reads the whole set.
int32_t forge_world_read(const struct forge_world *world, const char *path, struct dray_error *error);
// Acknowledges it whole.
int32_t forge_world_ack(const struct forge_world *world, struct dr_mirror *mirror, struct dray_error *error);

#endif // TESTS_FUZZ_FORGE_WORLD_H
