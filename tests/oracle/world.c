// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff/mirror.h"

void world_failed(struct world *world, const char *file, int line, const char *what) {
  const char *name = strrchr(file, '/');
  printf("FAILED at step %zu, %s:%d: %s\n", world->step, name != NULL ? name + 1 : file, line, what);
  if (world->error.text[0] != '\0') printf("  last error: %s\n", world->error.text);
  life_describe(world->life);
  (void)fflush(stdout);
  _exit(1);
}

static void empty(const char *folder) {
  DIR *entries = opendir(folder);
  if (entries == NULL) return;
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    (void)unlinkat(dirfd(entries), entry->d_name, 0);
  }
  (void)closedir(entries);
}

void world_clear(const char *root) {
  char folder[PATH_BYTES_MAX];
  (void)snprintf(folder, sizeof folder, "%s/mirror", root);
  empty(folder);
  (void)rmdir(folder);
  empty(root);
}

void world_begin(struct world *world, const struct life *life, const char *root) {
  memset(world, 0, sizeof *world);
  world->life = life;
  world->rows_due = UINT64_MAX;
  dray_error_init(&world->error);
  (void)snprintf(world->root, sizeof world->root, "%s", root);
  (void)snprintf(world->folder, sizeof world->folder, "%s/mirror", root);
  (void)snprintf(world->set_path, sizeof world->set_path, "%s/changes", root);
  world_clear(root);
}

void world_end(struct world *world) {
  world_close(world);
  world_clear(world->root);
}

void world_open(struct world *world, size_t step) {
  const struct life *life = world->life;
  const struct step *plan = &life->steps[step];
  const char *key[KEY_COLUMNS_MAX];
  for (size_t k = 0; k < life->key_count; k++) { // the order in which they are named says nothing
    key[k] = life->columns[step % 2 == 0 ? k : life->key_count - 1 - k].name;
  }
  world->step = step;
  world->schema = life_schema(life, step, &world->error);
  world_check(world, world->schema != NULL);
  const struct dr_mirror_options options = {.folder = world->folder,
                                            .schema = world->schema,
                                            .key = key,
                                            .key_count = life->key_count,
                                            .seed = life->seed * 31 + 7,
                                            .memory_bytes = plan->memory_bytes,
                                            .create = 1,
                                            .keep = life->keep,
                                            .threads = plan->threads};
  world_ok(world, dr_mirror_open(&options, &world->mirror, &world->error));
}

void world_close(struct world *world) {
  dr_mirror_close(world->mirror);
  dr_schema_unref(world->schema);
  world->mirror = NULL;
  world->schema = NULL;
}

void world_merge(struct world *world) {
  struct dr_mirror *mirror = world->mirror;
  if (mirror->journal->end != mirror->committed_end) return; // something is open
  world_ok(world, dr_mirror_rewrite(mirror, &world->error));
}

// A batch without rows changes nothing.
static void add_nothing(struct world *world, struct dr_diff *diff) {
  struct ArrowArray none = {0};
  struct dr_batch *batch = NULL;
  world_ok(world, dr_batch_wrap(world->schema, &none, &batch, &world->error));
  world_ok(world, dr_diff_add(diff, batch, &world->error));
}

static struct dr_diff *begin(struct world *world, size_t step) {
  const struct life *life = world->life;
  const struct step *plan = &life->steps[step];
  const struct dr_diff_options options = {
      .flags = plan->flags,
      .duplicates = plan->duplicates,
      .order_column = plan->order_field < 0 ? NULL : life->columns[plan->fields[plan->order_field].column].name,
      .changeset_path = world->set_path};
  struct dr_diff *diff = NULL;
  world_ok(world, dr_diff_begin(world->mirror, &options, &diff, &world->error));
  return diff;
}

// Adds rows [at, ...), one batch; returns where the next begins.
static size_t add(struct world *world, size_t step, struct dr_diff *diff, size_t at) {
  const struct life *life = world->life;
  const size_t left = life->input_count - at, most = life->steps[step].batch_rows, count = left < most ? left : most;
  struct dr_batch *batch = life_batch(life, step, world->schema, at, count, &world->error);
  world_check(world, batch != NULL);
  world_ok(world, dr_diff_add(diff, batch, &world->error));
  return at + count;
}

void world_abandon(struct world *world, size_t step) {
  struct dr_diff *diff = begin(world, step);
  for (size_t at = 0; at < world->life->input_count / 2;) at = add(world, step, diff, at);
  dr_diff_free(diff);
}

void world_pass(struct world *world, size_t step, struct dr_diff_counts *counts, uint64_t *updates) {
  const struct life *life = world->life;
  const struct step *plan = &life->steps[step];
  struct dr_diff *diff = begin(world, step);
  struct dr_mirror_info info;
  dr_mirror_info(world->mirror, &info);
  world_check(world, world->rows_due == UINT64_MAX || info.rows == world->rows_due);
  if (plan->batch_rows % 2 != 0) add_nothing(world, diff);
  for (size_t at = 0; at < life->input_count;) {
    at = add(world, step, diff, at);
    if (plan->not_full && at > life->input_count / 2) dr_diff_not_full(diff);
  }
  if (plan->not_full) dr_diff_not_full(diff);
  world_ok(world, dr_diff_finish(diff, counts, &world->error));
  memcpy(updates, counts->column_updates, plan->field_count * sizeof *updates);
  counts->column_updates = NULL;
  dr_diff_free(diff);
}
