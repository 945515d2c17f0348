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

#include "base/fault.h"
#include "compare/compare.h"
#include "compare/scratch.h"
#include "compare/state.h"
#include "torture.h"

static const char *const key[] = {"id"};
static const struct dray_column_def types[] = {{"v", {DRAY_TYPE_DECIMAL, 10, 2}, 1}};
static char folder[64], old_path[96], new_path[96];
static struct dray_buffer told;

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
  dray_buffer_init(&told, 1u << 20);
  return setenv("TMPDIR", folder, 1) != 0 || setenv("DRAY_TEST", "1", 1) != 0;
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

// ---- in memory, and by the engine ----

// Without the broken record, which is for the engine; in the order of the keys, and not.
static const struct {
  const char *old_text, *new_text;
} clean_files[] = {{"id,v,w,n\n1,1.50,a,x\n2,2,b,x\n3,3,c,x\n4,4,d,x\n4,4,e,x\n,5,f,x\n7,bad,g,x\n8,8,h,\n5,5,i,x\n11,"
                    "no,z,\n12,1,z,\n",
                    "id,v,w,n\n1,1.5,a,x\n2,2,B,x\n4,4,d,x\n6,6,f,x\n7,8,g,x\n8,8,h,x\n8,8,k,x\n9,no,j,\n"},
                   {"id,v,w,n\n1,1.50,a,x\n2,2,b,x\n3,3,c,x\n\"5\",5,\"i\"\"i\",x\n6,6.0,\"f\nf\",\n7,7,g,x\n",
                    "id,v,w,n\n1,1.5,a,x\n2,2,B,x\n5,5,ii,x\n6,6.00,\"f\nf\",\"\"\n7,7,g,x\n8,1,a,b\n9,2,,\n"}};
enum { WAY_MEMORY, WAY_SIEVE_AND_ENGINE, WAY_ENGINE, WAYS };

static int32_t tell_one(void *context, const struct dr_compare_change *change, struct dray_buffer *out,
                        struct dray_buffer *scratch, struct dray_error *error) {
  const struct dr_compare *compare = context;
  (void)scratch;
  DRAY_TRY(dray_buffer_printf(out, error, "%d", change->op));
  for (size_t f = 0; f < compare->schema->field_count; f++) {
    const struct dray_str *rows[2] = {change->before, change->after};
    const int changed = change->op == DRAY_OP_UPDATE && ((change->changed[f >> 3] >> (f & 7)) & 1);
    DRAY_TRY(dray_buffer_append_str(out, changed ? " *" : " ", error));
    for (int i = 0; i < 2; i++) {
      DRAY_TRY(dray_buffer_append_str(out, rows[i] == NULL || rows[i][f].data == NULL ? "/-" : "/", error));
      if (rows[i] != NULL) DRAY_TRY(dray_buffer_append(out, rows[i][f].data, (size_t)rows[i][f].len, error));
    }
  }
  return dray_buffer_append_str(out, "\n", error);
}

static int out_of_memory;
static int take_text(void *context, struct dray_buffer *text) {
  (void)context;
  out_of_memory |= dray_buffer_append(&told, text->data, text->len, NULL) != DRAY_OK;
  return 1;
}

// Compares, tells everything into `told`, and says what else is known.
static int32_t compare_and_tell(int way, struct dray_error *error) {
  struct dr_scratch_folder temporary = {NULL, -1};
  struct dr_compare *compare = NULL;
  dray_buffer_clear(&told);
  out_of_memory = 0;
  static int times; // the step was passed while it was to fail
  char fault[64];
  (void)snprintf(fault, sizeof(fault), "eio:compare.pairs:%d", way == WAY_SIEVE_AND_ENGINE ? ++times : 0);
  assert_int_equal(setenv("DRAY_FAULT", way == WAY_SIEVE_AND_ENGINE ? fault : "", 1), 0);
  dr_fault_reload();
  int32_t rc = dr_scratch_folder_make(&temporary, error);
  if (rc == DRAY_OK) rc = compare_files(way == WAY_ENGINE, temporary.path, &compare, error);
  const struct dr_compare_teller teller = {tell_one, take_text, compare, DR_COMPARE_ALL_OPS, UINT64_MAX};
  if (rc == DRAY_OK) {
    assert_int_equal(compare->inside->pairs != NULL, way == WAY_MEMORY);
    rc = dr_compare_tell(compare, &teller, error);
  }
  if (rc == DRAY_OK && out_of_memory) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for what was told");
  for (int side = 0; side < 2 && rc == DRAY_OK; side++) {
    const struct dr_compare_side *from = &compare->sides[side];
    rc = dray_buffer_printf(&told, error, "%d: %d rows %d bad %d null %d/%d twice %d opposite %d same\n", side,
                            (int)from->rows, (int)from->unreadable, (int)from->null_keys, (int)from->duplicate_keys,
                            (int)from->duplicate_rows, (int)from->opposite, (int)compare->counts.unchanged);
  }
  for (size_t f = 0; rc == DRAY_OK && f < compare->schema->field_count; f++) {
    rc = dray_buffer_printf(&told, error, "%d ", (int)compare->counts.column_updates[f]);
  }
  dr_compare_close(compare);
  dr_scratch_folder_remove(&temporary);
  return rc;
}

static void test_every_way_tells_the_same(void **state) {
  static const char *const wanted[] = {"2 /2/2 /2.00/2.00 */b/B /x/x\n", "2 /5/5 /5.00/5.00 */i\"i/ii /x/x\n"};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    char *first = NULL;
    write_file(old_path, clean_files[i].old_text);
    write_file(new_path, clean_files[i].new_text);
    for (int way = 0; way < WAYS; way++) {
      assert_int_equal(compare_and_tell(way, NULL), DRAY_OK);
      if (first == NULL) first = dray_str_dup(dray_buffer_view(&told));
      assert_string_equal(told.data, first);
    }
    assert_non_null(strstr(first, wanted[i]));
    free(first);
  }
  dray_buffer_free(&told);
}

static int32_t attempt_in_memory(void *ctx) {
  struct dray_error error;
  (void)ctx;
  dray_error_init(&error);
  const int32_t rc = compare_and_tell(WAY_MEMORY, &error);
  if (rc != DRAY_OK) assert_int_equal(error.code, rc);
  dray_buffer_free(&told);
  return rc;
}

static void test_memory_may_fail_anywhere_without_the_engine(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    write_file(old_path, clean_files[i].old_text);
    write_file(new_path, clean_files[i].new_text);
    assert_true(torture_every(attempt_in_memory, NULL) > 50);
  }
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
      cmocka_unit_test(test_every_way_tells_the_same),
      cmocka_unit_test(test_memory_may_fail_anywhere_without_the_engine),
      cmocka_unit_test(test_a_folder_without_an_owner_is_swept_and_one_with_is_not),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
