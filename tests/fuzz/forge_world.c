// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A few rows of every type, by number.
#include "forge_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "forge.h"

static char made[64];

static void remove_root(void) {
  char path[96];
  static const char *const names[] = {"mirror/head", "mirror/base.1", "mirror/journal.1", "changes", "mirror", ""};
  (void)snprintf(path, sizeof path, "%s/mirror", made);
  (void)dr_mirror_reset(path, NULL);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", made, names[i]);
    if (unlink(path) != 0) (void)rmdir(path);
  }
}

void forge_world_open(struct forge_world *world) {
  const struct dr_log_options quiet = {.level = DRAY_LOG_ERROR};
  dr_log_setup(&quiet);
  memset(world, 0, sizeof *world);
  (void)snprintf(world->root, sizeof world->root, "%s/dray-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  if (mkdtemp(world->root) == NULL) abort();
  (void)snprintf(world->mirror, sizeof world->mirror, "%s/mirror", world->root);
  (void)snprintf(world->set, sizeof world->set, "%s/changes", world->root);
  memcpy(made, world->root, sizeof made);
  (void)atexit(remove_root);
}

static const struct dray_column_def defs[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0}, {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"day", {DRAY_TYPE_DATE, 0, 0}, 1}, {"price", {DRAY_TYPE_DECIMAL, 9, 2}, 1},
    {"ok", {DRAY_TYPE_BOOL, 0, 0}, 1},  {"more", {DRAY_TYPE_FLOAT64, 0, 0}, 1},
};

void forge_world_shape(struct forge_world *world, int shape, int wide) {
  dr_schema_unref(world->schema);
  world->schema = NULL;
  if (dr_schema_new(defs, wide ? 6 : 5, &world->schema, NULL) != DRAY_OK) abort();
  world->key[0] = shape == 0 ? "id" : "name";
  world->key[1] = "day";
  world->key_count = shape == 0 ? 1 : 2;
}

int32_t forge_world_mirror(const struct forge_world *world, uint64_t memory_bytes, int create, struct dr_mirror **out,
                           struct dray_error *error) {
  const struct dr_mirror_options options = {.folder = world->mirror,
                                            .schema = world->schema,
                                            .key = world->key,
                                            .key_count = world->key_count,
                                            .seed = FORGE_SEED,
                                            .memory_bytes = memory_bytes,
                                            .create = create,
                                            .keep = world->keep,
                                            .threads = 1};
  return dr_mirror_open(&options, out, error);
}

static int32_t put_row(const struct forge_world *world, struct dray_builder *builder, uint64_t row,
                       struct dray_error *error) {
  char name[24];
  const int len = snprintf(name, sizeof name, "n%llx", (unsigned long long)(row * UINT64_C(0x9E3779B97F4A7C15)));
  const struct dray_decimal price = {.low = row * 25, .high = 0};
  DRAY_TRY(dray_builder_int64(builder, 0, (int64_t)row, error));
  DRAY_TRY(dray_builder_bytes(builder, 1, dray_str_make(name, (uint64_t)len), error));
  DRAY_TRY(dray_builder_date(builder, 2, (int32_t)row, error));
  DRAY_TRY(row % 3 == 0 ? dray_builder_null(builder, 3, error) : dray_builder_decimal(builder, 3, price, error));
  DRAY_TRY(dray_builder_bool(builder, 4, (int32_t)(row % 2), error));
  if (world->schema->field_count > 5) DRAY_TRY(dray_builder_float64(builder, 5, 0.5, error));
  return dray_builder_end_row(builder, NULL, error);
}

int32_t forge_world_pass(const struct forge_world *world, struct dr_mirror *mirror, uint32_t flags, uint64_t first,
                         uint64_t count, struct dray_error *error) {
  const struct dr_diff_options options = {.flags = flags, .changeset_path = world->set};
  struct dr_diff *diff = NULL;
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  struct dr_diff_counts counts;
  DRAY_TRY(dray_builder_new(&world->schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error));
  int32_t rc = DRAY_OK;
  for (uint64_t row = first; rc == DRAY_OK && row < first + count; row++) rc = put_row(world, builder, row, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  dray_builder_free(builder);
  if (rc == DRAY_OK) rc = dr_batch_wrap(world->schema, &array, &batch, error);
  if (rc != DRAY_OK) return rc;
  rc = dr_diff_begin(mirror, &options, &diff, error);
  if (rc != DRAY_OK) {
    dr_batch_free(batch);
    return rc;
  }
  rc = dr_diff_add(diff, batch, error);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, &counts, error);
  dr_diff_free(diff);
  return rc;
}

int32_t forge_named(int32_t rc, const struct dray_error *error) {
  if (rc == DRAY_OK) return rc;
  if (getenv("DRAY_FUZZ_SHOW") != NULL) (void)fprintf(stderr, "%d %s\n", rc, error->text);
  if (error->error_class == DRAY_CLASS_BUG || error->text[0] == '\0') abort();
  return rc;
}

int32_t forge_world_read(const struct forge_world *world, const char *path, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  uint64_t seq = 0;
  (void)world;
  DRAY_TRY(dr_changeset_open(path, &set, error));
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && seq < 100000) {
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 7, 1u << 20, 1, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    if (changes->count == 0 || changes->first_seq != seq || dr_batch_rows(changes->rows) != changes->count) abort();
    seq += changes->count;
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  return rc;
}

int32_t forge_world_ack(const struct forge_world *world, struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  DRAY_TRY(dr_changeset_open(world->set, &set, error));
  const int32_t rc = dr_mirror_ack_all(mirror, set, dr_changeset_count(set), error);
  dr_changeset_close(set);
  return rc;
}
