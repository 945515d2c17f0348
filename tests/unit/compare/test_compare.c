// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A whole comparison within one process: what it finds, that it ends when asked to, and that memory may fail anywhere
// in it. What users see is tested with the program, in tests/e2e.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "compare/compare.h"
#include "compare/scratch.h"
#include "torture.h"

static const char *const key[] = {"id"};
static const struct dray_column_def types[] = {{"v", {DRAY_TYPE_DECIMAL, 10, 2}, 1}};
static char folder[64], old_path[96], new_path[96];

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

static int set_up(void **state) {
  (void)state;
  // Hundreds of comparisons, each with files that are synced: in memory where there is such a place.
  (void)snprintf(folder, sizeof(folder), "%s/dray-compare-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  if (mkdtemp(folder) == NULL) return -1;
  (void)snprintf(old_path, sizeof(old_path), "%s/old.csv", folder);
  (void)snprintf(new_path, sizeof(new_path), "%s/new.csv", folder);
  write_file(old_path, "id,v,w,gone\n1,1.50,a,x\n2,2,b,x\n3,3,c,x\n4,4,d,x\n4,4,e,x\n,5,f,x\n7,bad,g,x\n");
  write_file(new_path, "id,v,w\n1,1.5,a\n2,2,B\n4,4,d\n6,6,f\n7,8,g\nbroken\n");
  return setenv("TMPDIR", folder, 1);
}

static int tear_down(void **state) {
  (void)state;
  (void)unlink(old_path);
  (void)unlink(new_path);
  return rmdir(folder); // nothing else is left in it
}

static int32_t compare_files(int no_sieve, const char *temporary, struct dr_compare **out, struct dray_error *error) {
  static struct dr_compare_options options; // outlives the comparison
  options = (struct dr_compare_options){.places = {old_path, new_path},
                                        .key = key,
                                        .key_count = 1,
                                        .types = types,
                                        .type_count = 1,
                                        .duplicates = DR_DUPLICATES_REJECT,
                                        .memory_bytes = 1u << 24,
                                        .threads = 1,
                                        .folder = temporary,
                                        .no_sieve = no_sieve};
  return dr_compare_run(&options, out, error);
}

static void assert_found(struct dr_compare *compare) {
  assert_int_equal(compare->counts.inserts, 1);
  assert_int_equal(compare->counts.updates, 1);
  assert_int_equal(compare->counts.deletes, 1);
  assert_int_equal(compare->counts.unchanged, 1);
  assert_int_equal(compare->sides[DR_COMPARE_OLD].null_keys, 1);
  assert_int_equal(compare->sides[DR_COMPARE_OLD].duplicate_rows, 2);
  assert_int_equal(compare->sides[DR_COMPARE_OLD].unreadable, 1);
  assert_int_equal(compare->sides[DR_COMPARE_NEW].opposite, 1);
  assert_int_equal(compare->sides[DR_COMPARE_NEW].broken, 1);
  assert_int_equal(compare->sides[DR_COMPARE_OLD].only.count, 1);
  assert_string_equal(compare->sides[DR_COMPARE_OLD].only.items[0], "gone");
  assert_false(dr_compare_is_equal(compare));
  assert_true(dr_compare_is_partial(compare));
}

static void test_a_comparison_finds_what_is_there(void **state) {
  (void)state;
  for (int no_sieve = 0; no_sieve < 2; no_sieve++) {
    struct dr_scratch_folder temporary = {NULL, -1};
    struct dr_compare *compare = NULL;
    assert_int_equal(dr_scratch_folder_make(&temporary, NULL), DRAY_OK);
    assert_int_equal(compare_files(no_sieve, temporary.path, &compare, NULL), DRAY_OK);
    assert_found(compare);
    dr_compare_close(compare);
    dr_scratch_folder_remove(&temporary);
  }
}

static int32_t attempt(void *ctx) {
  const int *no_sieve = ctx;
  struct dr_scratch_folder temporary = {NULL, -1};
  struct dr_compare *compare = NULL;
  struct dray_error error;
  dray_error_init(&error);
  int32_t rc = dr_scratch_folder_make(&temporary, &error);
  if (rc == DRAY_OK) rc = compare_files(*no_sieve, temporary.path, &compare, &error);
  if (rc == DRAY_OK) assert_found(compare);
  if (rc != DRAY_OK) assert_int_equal(error.code, rc);
  dr_compare_close(compare);
  dr_scratch_folder_remove(&temporary);
  return rc;
}

static void test_memory_may_fail_anywhere(void **state) {
  (void)state;
  for (int no_sieve = 0; no_sieve < 2; no_sieve++) assert_true(torture_every(attempt, &no_sieve) > 50);
}

// ---- the temporary folder ----

static void test_a_folder_without_an_owner_is_swept_and_one_with_is_not(void **state) {
  struct dr_scratch_folder first = {NULL, -1}, second = {NULL, -1};
  char stale[128], lock[160], foreign[128];
  (void)state;
  (void)snprintf(stale, sizeof(stale), "%s/dray-diff-stale0", folder);
  (void)snprintf(lock, sizeof(lock), "%s/lock", stale);
  (void)snprintf(foreign, sizeof(foreign), "%s/dray-diff-mine00", folder);
  assert_int_equal(mkdir(stale, 0700), 0);
  write_file(lock, "");
  assert_int_equal(mkdir(foreign, 0755), 0); // not as we make them
  assert_int_equal(dr_scratch_folder_make(&first, NULL), DRAY_OK);
  assert_int_equal(access(stale, F_OK), -1);
  assert_int_equal(access(foreign, F_OK), 0);
  assert_int_equal(dr_scratch_folder_make(&second, NULL), DRAY_OK);
  assert_int_equal(access(first.path, F_OK), 0);
  assert_string_not_equal(first.path, second.path);
  dr_scratch_folder_remove(&first);
  dr_scratch_folder_remove(&second);
  dr_scratch_folder_remove(&second); // again, without effect
  assert_int_equal(rmdir(foreign), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_comparison_finds_what_is_there),
      cmocka_unit_test(test_memory_may_fail_anywhere),
      cmocka_unit_test(test_a_folder_without_an_owner_is_swept_and_one_with_is_not),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
