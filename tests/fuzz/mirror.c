// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Any base, journal and head: verified, opened, gone over, acknowledged into, merged. Whatever they hold, there is a
// result or a named error. The input holds the three files; its first byte chooses which sums are made right, and how.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "forge.h"
#include "forge_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

enum {
  RAW_BASE = 1, // sums as they come
  RAW_JOURNAL = 2,
  RAW_HEAD = 4, // its text as it comes, with a right sum
  KEEP_MARK = 8,
  PART = 16,   // the input of the pass is not all there is
  COMMIT = 32, // what is prepared
  TEXT_KEY = 64,
  WIDE = 128
};

static struct forge_world world;

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  return forge_mutate(data, size, max, seed, 3);
}

static int32_t settle(struct dr_mirror *mirror, int commit, struct dray_error *error) {
  struct dr_mirror_info info;
  dr_mirror_info(mirror, &info);
  if (info.prepared_generation == 0) return DRAY_OK;
  return commit ? dr_mirror_commit(mirror, info.prepared_generation, error) : dr_mirror_rollback(mirror, error);
}

static void use(uint8_t flags) {
  struct dr_mirror *mirror = NULL;
  struct dr_mirror_info info;
  struct dray_error error;
  dray_error_init(&error);
  (void)forge_named(dr_mirror_verify(world.mirror, &info, &error), &error);
  if (forge_named(forge_world_mirror(&world, 1, 0, &mirror, &error), &error) != DRAY_OK) return;
  int32_t rc = forge_named(settle(mirror, (flags & COMMIT) != 0, &error), &error);
  dr_mirror_info(mirror, &info);
  if (rc == DRAY_OK)
    rc = forge_named(forge_world_pass(&world, mirror, flags & PART ? 0 : DR_DIFF_FULL, 2, 6, &error), &error);
  if (rc == DRAY_OK) rc = forge_named(forge_world_read(&world, world.set, &error), &error);
  if (rc == DRAY_OK) rc = forge_named(forge_world_ack(&world, mirror, &error), &error);
  if (rc == DRAY_OK) rc = forge_named(dr_mirror_commit(mirror, info.generation + 1, &error), &error);
  if (rc == DRAY_OK) rc = forge_named(dr_mirror_compact(mirror, &error), &error);
  dr_mirror_close(mirror);
  if (rc != DRAY_OK) return;
  // What was written now is the engine's own.
  mirror = NULL;
  if (forge_named(forge_world_mirror(&world, 0, 0, &mirror, &error), &error) == DRAY_OK) {
    (void)forge_named(forge_world_pass(&world, mirror, DR_DIFF_FULL, 0, 9, &error), &error);
  }
  dr_mirror_close(mirror);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct forge_input input;
  char path[128];
  if (world.root[0] == '\0') forge_world_open(&world);
  forge_unpack(data, size, 3, &input);
  const uint8_t flags = input.flags;
  forge_world_shape(&world, (flags & TEXT_KEY) != 0, (flags & WIDE) != 0);
  struct forge_bytes *base = &input.files[0], *journal = &input.files[1], *head = &input.files[2];
  const uint64_t digest = flags & RAW_BASE ? 0 : forge_blocks(base, "DRAYBASE");
  if ((flags & RAW_JOURNAL) == 0) forge_journal(journal, digest, (flags & KEEP_MARK) == 0);
  forge_head(head, base, digest, (flags & RAW_HEAD) == 0);
  (void)mkdir(world.mirror, 0700);
  static const char *const names[] = {"base.1", "journal.1", "head"};
  for (size_t i = 0; i < 3; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", world.mirror, names[i]);
    forge_write(path, &input.files[i]);
  }
  use(flags);
  MUST(dr_mirror_reset(world.mirror, NULL) == DRAY_OK && !dr_mirror_exists(world.mirror));
  forge_free(&input);
  return 0;
}
