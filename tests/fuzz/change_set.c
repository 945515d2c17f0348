// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Any change set: read from its beginning, from the middle, and acknowledged into a mirror. Whatever it holds, there is
// a result or a named error. The input holds the file; its first byte chooses whether sums are made right.
#include <stdio.h>
#include <stdlib.h>

#include "forge.h"
#include "forge_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

enum { RAW = 1, TEXT_KEY = 2, MIDDLE = 4 };

static struct forge_world world;

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  return forge_mutate(data, size, max, seed, 1);
}

static int32_t read_middle(struct dray_error *error) {
  struct dr_changeset *set = NULL;
  struct dr_changes *changes = NULL;
  DRAY_TRY(dr_changeset_open(world.set, &set, error));
  const int32_t rc = dr_changeset_next(set, dr_changeset_count(set) / 2, 3, 100, 0, &changes, error);
  dr_changes_free(changes);
  dr_changeset_close(set);
  return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct forge_input input;
  struct dr_mirror *mirror = NULL;
  struct dr_mirror_info info;
  struct dray_error error;
  dray_error_init(&error);
  if (world.root[0] == '\0') forge_world_open(&world);
  forge_unpack(data, size, 1, &input);
  if ((input.flags & RAW) == 0) (void)forge_blocks(&input.files[0], "DRAYCHGS");
  forge_write(world.set, &input.files[0]);
  forge_world_shape(&world, (input.flags & TEXT_KEY) != 0, 0);
  if (input.flags & MIDDLE) (void)forge_named(read_middle(&error), &error);
  int32_t rc = forge_named(forge_world_read(&world, world.set, &error), &error);
  if (rc == DRAY_OK) {
    world.keep = DR_KEEP_ROW;
    MUST(forge_world_mirror(&world, 0, 1, &mirror, &error) == DRAY_OK);
    rc = forge_named(forge_world_ack(&world, mirror, &error), &error);
    if (rc == DRAY_OK) MUST(dr_mirror_commit(mirror, 1, &error) == DRAY_OK);
    dr_mirror_close(mirror);
    // What was taken can be opened again.
    if (rc == DRAY_OK) MUST(dr_mirror_verify(world.mirror, &info, &error) == DRAY_OK);
    MUST(dr_mirror_reset(world.mirror, NULL) == DRAY_OK);
  }
  forge_free(&input);
  return 0;
}
