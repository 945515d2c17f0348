// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Failing allocation n, for every n: nothing leaks, every failure is reported, and the mirror is afterwards what it was
// or what it was to become.
#include <stdlib.h>

#include "torture.h"

#include "world.h"

static struct world world;
static struct dr_batch *first, *second;

// The diff takes a batch; these are given again and again.
static int32_t copy_of(const struct dr_batch *batch, struct dr_batch **out) {
  uint32_t rows[16];
  for (uint32_t i = 0; i < 16; i++) rows[i] = i;
  return dr_batch_gather(batch, rows, (size_t)dr_batch_rows(batch), out, &world.error);
}

static int32_t pass(uint32_t flags, const struct dr_batch *batch) {
  const struct dr_diff_options options = {
      .flags = flags, .duplicates = DR_DUPLICATES_LAST, .order_column = "name", .changeset_path = world.set_path};
  struct dr_diff *diff = NULL;
  struct dr_diff_counts counts;
  struct dr_batch *copy = NULL;
  DRAY_TRY(dr_diff_begin(world.mirror, &options, &diff, &world.error));
  int32_t rc = copy_of(batch, &copy);
  if (rc == DRAY_OK) rc = dr_diff_add(diff, copy, &world.error);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, &counts, &world.error);
  dr_diff_free(diff);
  return rc;
}

static int32_t acknowledge(void) {
  struct dr_changeset *set = NULL;
  DRAY_TRY(dr_changeset_open(world.set_path, &set, &world.error));
  uint64_t seq = 0;
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && seq < dr_changeset_count(set)) {
    static const uint8_t all[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 20, 1u << 20, 1, &changes, &world.error);
    if (rc != DRAY_OK) break;
    seq += changes->count;
    if (changes->op[0] != DR_OP_REJECT) rc = dr_mirror_ack(world.mirror, changes, all, &world.error);
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  return rc;
}

static int32_t acknowledge_all(void) {
  struct dr_changeset *set = NULL;
  DRAY_TRY(dr_changeset_open(world.set_path, &set, &world.error));
  const int32_t rc = dr_mirror_ack_all(world.mirror, set, UINT64_MAX, &world.error);
  dr_changeset_close(set);
  return rc;
}

static int32_t whole_life(void) {
  struct dr_mirror_info info;
  DRAY_TRY(world_open(&world));
  DRAY_TRY(pass(DR_DIFF_FULL, first));
  DRAY_TRY(acknowledge());
  DRAY_TRY(dr_mirror_prepare(world.mirror, 1, &world.error));
  DRAY_TRY(dr_mirror_commit(world.mirror, 1, &world.error));
  DRAY_TRY(pass(DR_DIFF_FULL, second));
  dr_mirror_gather(world.mirror);
  DRAY_TRY(acknowledge_all());
  dr_mirror_write_ahead(world.mirror, NULL); // a failure is no more than a merge that is not done
  DRAY_TRY(dr_mirror_commit(world.mirror, 2, &world.error));
  world_close(&world);
  DRAY_TRY(world_open(&world));
  DRAY_TRY(pass(DR_DIFF_RESYNC, second));
  DRAY_TRY(dr_mirror_compact(world.mirror, &world.error));
  return dr_mirror_verify(world.folder, &info, &world.error);
}

static int32_t attempt(void *ctx) {
  (void)ctx;
  const int32_t rc = whole_life();
  world_close(&world);
  const int had = torture_arm(0); // what follows is not under test
  const int32_t reset = dr_mirror_reset(world.folder, &world.error);
  assert_int_equal(reset, DRAY_OK);
  if (had) { // the harness asks as well: let it find a failure
    torture_arm(1);
    void *volatile nothing = malloc(1);
    free(nothing);
  }
  if (rc != DRAY_OK && rc != DRAY_E_OUT_OF_MEMORY) fail_msg("%d %s", rc, world.error.text);
  return rc;
}

static int make_rows(void **state) {
  (void)state;
  static const char *const some[] = {"1,a,1", "2,b,2", "3,c,3", "4,d,4", "5,longer than a few bytes,5", "\\N,x,1"};
  static const char *const others[] = {"1,a,1",    "2,bb,2", "2,bc,2", "6,f,6",
                                       "!3,c,\\N", "4,?,5",  "7,g,7",  "7,longer than a few bytes,7"};
  world_make(&world, "id int64; name string; qty int64", "id");
  first = world_batch(&world, some, 6);
  second = world_batch(&world, others, 8);
  return 0;
}

static int free_rows(void **state) {
  (void)state;
  dr_batch_free(first);
  dr_batch_free(second);
  world_remove(&world);
  return 0;
}

static void test_every_failing_allocation_is_reported_and_leaks_nothing(void **state) {
  (void)state;
  for (world.keep = DR_KEEP_ROW; world.keep <= DR_KEEP_KEY; world.keep++) {
    assert_true(torture_every(attempt, NULL) > 100);
  }
}

// The same with rows held under another schema: everything is mapped, and the merge rewrites it.
static int32_t changed_schema(void *ctx) {
  (void)ctx;
  int32_t rc = world_open(&world);
  if (rc == DRAY_OK) rc = pass(DR_DIFF_FULL, second);
  if (rc == DRAY_OK) rc = dr_mirror_compact(world.mirror, &world.error);
  world_close(&world);
  if (rc != DRAY_OK && rc != DRAY_E_OUT_OF_MEMORY) fail_msg("%d %s", rc, world.error.text);
  return rc;
}

static void test_failing_allocations_while_schemas_are_mapped(void **state) {
  (void)state;
  assert_ok(&world, world_open(&world));
  world_load(&world, 1, ROWS("1,a,1", "2,b,2", "3,c,3"));
  world_close(&world);
  dr_batch_free(second);
  world_set_columns(&world, "extra bool; qty decimal(5,1); id int64; name string");
  static const char *const rows[] = {"true,1,1,a", "\\N,\\N,2,b", "false,3.5,4,d"};
  second = world_batch(&world, rows, 3);
  assert_true(torture_every(changed_schema, NULL) > 50);
  assert_ok(&world, world_open(&world));
  assert_string_equal(world_held(&world), "?,?,1,a\n?,?,2,b\n?,?,3,c\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_failing_allocation_is_reported_and_leaks_nothing, make_rows,
                                      free_rows),
      cmocka_unit_test_setup_teardown(test_failing_allocations_while_schemas_are_mapped, make_rows, free_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
