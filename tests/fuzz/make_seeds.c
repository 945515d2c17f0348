// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Makes the seeds of the targets that read the diff engine's files, with the engine itself: they are of the format as
// it is now. make_seeds FOLDER writes FOLDER/mirror/* and FOLDER/change_set/*.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "forge.h"
#include "forge_world.h"

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      (void)fprintf(stderr, "make_seeds: %s: %s\n", #condition, error.text);                                           \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

static struct forge_world world;
static struct dray_error error;

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max); // libFuzzer's; nothing is mutated here
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) {
  (void)data;
  return size < max ? size : max;
}

static struct dr_mirror *open_mirror(int create) {
  struct dr_mirror *mirror = NULL;
  MUST(forge_world_mirror(&world, 0, create, &mirror, &error) == DRAY_OK);
  return mirror;
}

static void run(struct dr_mirror *mirror, uint64_t first, uint64_t count) {
  MUST(forge_world_pass(&world, mirror, DR_DIFF_FULL, first, count, &error) == DRAY_OK);
  MUST(forge_world_ack(&world, mirror, &error) == DRAY_OK);
}

static void put_seed(const char *folder, const char *target, int number, struct forge_input *input, size_t files) {
  char path[512];
  static uint8_t bytes[1u << 20];
  const struct forge_bytes seed = {bytes, forge_pack(input, files, bytes, sizeof bytes)};
  (void)snprintf(path, sizeof path, "%s/%s/%02d", folder, target, number);
  forge_write(path, &seed);
  forge_free(input);
}

static struct forge_bytes read_numbered(const char *name) {
  char path[128];
  (void)snprintf(path, sizeof path, "%s/%s", world.mirror, name);
  return forge_read(path);
}

// The forger knows the format: what it makes of a true mirror under another number verifies, a true set stays as it is.
static void check_forger(struct forge_input *mirror, struct forge_input *set) {
  char path[128];
  struct dr_mirror_info info;
  static const char *const names[] = {"base.1", "journal.1", "head"};
  const uint64_t digest = forge_blocks(&mirror->files[0], "DRAYBASE");
  forge_journal(&mirror->files[1], digest, 1);
  forge_head(&mirror->files[2], &mirror->files[0], digest, 1);
  for (size_t i = 0; i < 3; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", world.mirror, names[i]);
    forge_write(path, &mirror->files[i]);
  }
  MUST(dr_mirror_verify(world.mirror, &info, &error) == DRAY_OK);
  MUST(info.generation == 2 && info.rows > 0);
  (void)forge_blocks(&set->files[0], "DRAYCHGS");
  forge_write(world.set, &set->files[0]);
  MUST(forge_world_read(&world, world.set, &error) == DRAY_OK);
}

// A mirror with rows in its base, further ones in the journal, and a prepare.
static void make_mirror(const char *folder, int number, int keep, int shape, int prepared) {
  world.keep = keep;
  forge_world_shape(&world, shape, 0);
  struct dr_mirror *mirror = open_mirror(1);
  run(mirror, 0, 5);
  MUST(dr_mirror_commit(mirror, 1, &error) == DRAY_OK);
  dr_mirror_close(mirror);
  forge_world_shape(&world, shape, 1); // rows of an older schema: reason to merge
  mirror = open_mirror(0);
  MUST(dr_mirror_compact(mirror, &error) == DRAY_OK);
  run(mirror, 3, 4);
  MUST(dr_mirror_commit(mirror, 2, &error) == DRAY_OK);
  if (prepared) {
    run(mirror, 1, 5);
    MUST(dr_mirror_prepare(mirror, 3, &error) == DRAY_OK);
  }
  dr_mirror_close(mirror);
  struct forge_input input = {.flags = (uint8_t)(128 | (shape ? 64 : 0) | (prepared ? 32 : 0))};
  input.files[0] = read_numbered("base.2");
  input.files[1] = read_numbered("journal.2");
  input.files[2] = read_numbered("head");
  struct forge_input set = {.flags = shape ? 2 : 0};
  set.files[0] = forge_read(world.set);
  check_forger(&input, &set);
  put_seed(folder, "mirror", number, &input, 3);
  put_seed(folder, "change_set", number, &set, 1);
  MUST(dr_mirror_reset(world.mirror, &error) == DRAY_OK);
}

int main(int argc, char **argv) {
  char path[512];
  int number = 0;
  if (argc != 2) return 2;
  dray_error_init(&error);
  (void)mkdir(argv[1], 0700);
  (void)snprintf(path, sizeof path, "%s/mirror", argv[1]);
  (void)mkdir(path, 0700);
  (void)snprintf(path, sizeof path, "%s/change_set", argv[1]);
  (void)mkdir(path, 0700);
  forge_world_open(&world);
  for (int keep = DR_KEEP_ROW; keep <= DR_KEEP_KEY; keep++) {
    for (int shape = 0; shape < 2; shape++) {
      for (int prepared = 0; prepared < 2; prepared++) make_mirror(argv[1], number++, keep, shape, prepared);
    }
  }
  dr_schema_unref(world.schema);
  return 0;
}
