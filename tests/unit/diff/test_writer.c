// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Records that are written while the next rows come: in the order of the input whatever the number of windows, and what
// fails there is told to the caller, who is then free of the mirror.
#include <stdlib.h>
#include <string.h>

#include "diff/format.h"
#include "diff/mirror.h"
#include "world.h"

#define MANY 3000
#define BATCH 64

static struct world world;
static char texts[MANY + 1][64];
static const char *rows[MANY + 1];

static void make_rows(const char *name) {
  for (size_t i = 0; i < MANY; i++) {
    const size_t id = i * 7919 % MANY; // another order than that of the ids
    (void)snprintf(texts[i], sizeof texts[i], "%zu,%s %zu", id, id % 3 == 0 ? name : "same", id * id);
    rows[i] = texts[i];
  }
  rows[MANY] = NULL;
}

// 1: the least that there may be: some tens of windows. 0: the default: one.
static void open_with(uint64_t memory_bytes, unsigned threads) {
  world_close(&world);
  world.memory_bytes = memory_bytes;
  world.threads = threads;
  assert_ok(&world, world_open(&world));
}

static int open_world(void **state) {
  (void)state;
  world_make(&world, "id int64; name string", "id");
  world.threads = 1;
  assert_ok(&world, world_open(&world));
  make_rows("old");
  world_load(&world, 1, rows);
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error)); // into the base
  make_rows("new");
  return 0;
}

static int close_world(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

static void test_records_stand_in_the_order_of_the_input(void **state) {
  (void)state;
  const struct world_pass pass = {.flags = DR_DIFF_FULL, .batch_rows = BATCH};
  for (unsigned threads = 1; threads <= 2; threads++) {
    for (uint64_t memory_bytes = 0; memory_bytes <= 1; memory_bytes++) {
      struct dr_changeset *set = NULL;
      struct dr_changes *changes = NULL;
      open_with(memory_bytes, threads);
      assert_ok(&world, world_try(&world, &pass, rows));
      assert_int_equal(world.counts.updates, MANY / 3);
      assert_int_equal(world.counts.unchanged, MANY - MANY / 3);
      assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
      assert_ok(&world, dr_changeset_next(set, 0, MANY, UINT64_MAX, 1, &changes, &world.error));
      assert_int_equal(changes->count, MANY / 3);
      for (size_t i = 0, at = 0; i < MANY; i++) {
        char before[64];
        const size_t id = strtoul(rows[i], NULL, 10);
        if (id % 3 != 0) continue;
        (void)snprintf(before, sizeof before, "old %zu", id * id);
        assert_int_equal(dray_column_int64(&changes->rows->view.columns[0], at), id);
        assert_true(dray_str_is(dray_column_bytes(&changes->before->view.columns[1], at), before));
        at++;
      }
      dr_changes_free(changes);
      dr_changeset_close(set);
    }
  }
}

// Flips a byte of the first block of old rows.
static void damage_rows(void) {
  const uint64_t offset = dr_get_u64(world.mirror->base->rows.places.data + 8) + DR_BLOCK_HEADER_BYTES;
  FILE *file = fopen(world.mirror->base->path, "r+");
  assert_non_null(file);
  assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
  const int byte = fgetc(file);
  assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
  assert_int_equal(fputc(byte ^ 64, file), byte ^ 64);
  assert_int_equal(fclose(file), 0);
}

static void test_what_fails_in_a_window_ends_the_pass(void **state) {
  (void)state;
  damage_rows();
  for (unsigned threads = 1; threads <= 2; threads++) {
    for (uint64_t memory_bytes = 0; memory_bytes <= 1; memory_bytes++) {
      const struct dr_diff_options options = {.flags = DR_DIFF_FULL, .changeset_path = world.set_path};
      struct dr_diff *diff = NULL;
      int32_t rc = DRAY_OK;
      open_with(memory_bytes, threads);
      assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
      for (size_t at = 0; rc == DRAY_OK && at < MANY; at += BATCH) {
        const size_t count = MANY - at < BATCH ? MANY - at : BATCH;
        rc = dr_diff_add(diff, world_batch(&world, rows + at, count), &world.error);
      }
      if (rc == DRAY_OK) rc = dr_diff_finish(diff, &world.counts, &world.error);
      assert_int_equal(rc, DRAY_E_MIRROR_CORRUPT);
      assert_non_null(strstr(world.error.text, "checksum"));
      world_close(&world); // before the pass is freed
      dr_diff_free(diff);
    }
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_records_stand_in_the_order_of_the_input),
      TEST(test_what_fails_in_a_window_ends_the_pass),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
