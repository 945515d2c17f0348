// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The life of a mirror: what survives, what is forgotten, when files are rewritten and when they are left alone.
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/mirror.h"
#include "world.h"

static const struct world_pass full = {.flags = DR_DIFF_FULL};

static struct world world;

static int open_world(void **state) {
  (void)state;
  world_make(&world, "id int64; name string; qty int64", "id");
  assert_ok(&world, world_open(&world));
  return 0;
}

static int close_world(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

static struct dr_mirror_info info_of(void) {
  struct dr_mirror_info info;
  dr_mirror_info(world.mirror, &info);
  return info;
}

// The files of a folder with their sizes and times, as text.
static const char *listing(const char *folder) {
  static char text[4096];
  struct dirent **names = NULL;
  size_t len = 0;
  const int count = scandir(folder, &names, NULL, alphasort);
  assert_true(count >= 0);
  text[0] = '\0';
  for (int i = 0; i < count; i++) {
    struct stat info;
    char *path = dr_path_join(folder, names[i]->d_name);
    assert_non_null(path);
    if (names[i]->d_name[0] != '.' && stat(path, &info) == 0) {
      len += (size_t)snprintf(text + len, sizeof text - len, "%s %lld %lld.%09ld\n", names[i]->d_name,
                              (long long)info.st_size, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    }
    free(path);
    free(names[i]);
  }
  free(names);
  return text;
}

// ---- being there or not ----

static void test_missing_mirror_is_not_an_empty_one(void **state) {
  (void)state;
  world_close(&world);
  assert_ok(&world, dr_mirror_reset(world.folder, &world.error));
  assert_false(dr_mirror_exists(world.folder));
  world.create = 0;
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_MISSING);
  assert_false(dr_file_exists(world.folder)); // looking for it made nothing
  struct dr_mirror_info info;
  assert_int_equal(dr_mirror_verify(world.folder, &info, &world.error), DRAY_E_MIRROR_MISSING);
  world.create = 1;
  assert_ok(&world, world_open(&world));
  assert_true(dr_mirror_exists(world.folder));
  assert_string_equal(world_held(&world), "");
}

static void test_files_are_for_their_owner_only(void **state) {
  (void)state;
  struct stat info;
  world_load(&world, 1, ROWS("1,ann,5"));
  static const char *const names[] = {"base.1", "journal.1", "head"};
  for (size_t i = 0; i < 3; i++) {
    char *path = dr_path_join(world.folder, names[i]);
    assert_non_null(path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    free(path);
  }
  assert_int_equal(stat(world.set_path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_lost_head_is_not_an_empty_mirror(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  char *head = dr_path_join(world.folder, "head");
  assert_non_null(head);
  assert_int_equal(unlink(head), 0);
  free(head);
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_CORRUPT); // even with create: rows are there
  assert_ok(&world, dr_mirror_reset(world.folder, &world.error));
  assert_ok(&world, world_open(&world));
  assert_string_equal(world_held(&world), "");
}

static void test_interrupted_reset_is_completed_by_the_next_open(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  char *head = dr_path_join(world.folder, "head"), *removed = dr_path_join(world.folder, "head.removed");
  assert_int_equal(rename(head, removed), 0);
  world.create = 0;
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_MISSING);
  world.create = 1;
  assert_ok(&world, world_open(&world));
  assert_false(dr_file_exists(removed));
  assert_string_equal(world_held(&world), "");
  free(head);
  free(removed);
}

// ---- what survives ----

static void test_committed_rows_survive_reopening(void **state) {
  (void)state;
  world_load(&world, 7, ROWS("1,ann,5", "2,bob,6"));
  world_reopen(&world);
  assert_int_equal(info_of().generation, 7);
  assert_int_equal(info_of().rows, 2);
  assert_int_equal(info_of().prepared_generation, 0);
  assert_string_equal(world_held(&world), "1,ann,5\n2,bob,6\n");
}

static void test_acknowledged_rows_are_forgotten_without_a_commit(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  (void)world_run(&world, &full, ROWS("1,ann,9", "2,bob,6"));
  assert_ok(&world, world_ack(&world, NULL));
  world_reopen(&world);
  assert_int_equal(info_of().generation, 1);
  assert_string_equal(world_held(&world), "1,ann,5\n");
  (void)world_run(&world, &full, ROWS("1,ann,9", "2,bob,6"));
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  assert_string_equal(world_held(&world), "1,ann,5\n");
  assert_int_equal(info_of().rows, 1);
}

static void test_prepared_rows_wait_for_commit_or_rollback_across_processes(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  (void)world_run(&world, &full, ROWS("1,ann,9", "2,bob,6"));
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, dr_mirror_prepare(world.mirror, 2, &world.error));
  world_reopen(&world);
  assert_int_equal(info_of().generation, 1);
  assert_int_equal(info_of().prepared_generation, 2);
  assert_int_equal(info_of().rows, 1);
  assert_int_equal(world_ack(&world, NULL), DRAY_E_INTERNAL); // which of both would a commit mean?
  assert_int_equal(dr_mirror_commit(world.mirror, 3, &world.error), DRAY_E_INTERNAL);
  assert_int_equal(world_try(&world, &full, ROWS("1,ann,9")), DRAY_E_INTERNAL);
  world_commit(&world, 2);
  assert_int_equal(info_of().generation, 2);
  assert_int_equal(info_of().prepared_generation, 0);
  assert_string_equal(world_held(&world), "1,ann,9\n2,bob,6\n");

  (void)world_run(&world, &full, NO_ROWS);
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, dr_mirror_prepare(world.mirror, 3, &world.error));
  world_reopen(&world);
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  assert_int_equal(info_of().prepared_generation, 0);
  assert_string_equal(world_held(&world), "1,ann,9\n2,bob,6\n");
  world_reopen(&world); // the rollback holds
  assert_int_equal(info_of().prepared_generation, 0);
  assert_int_equal(info_of().generation, 2);
  assert_string_equal(world_held(&world), "1,ann,9\n2,bob,6\n");
  world_load(&world, 3, ROWS("1,ann,9"));
  world_reopen(&world);
  assert_string_equal(world_held(&world), "1,ann,9\n");
}

static void test_what_is_acknowledged_after_a_prepare_goes_with_its_commit(void **state) {
  (void)state;
  (void)world_run(&world, &full, ROWS("1,ann,5", "2,bob,6"));
  assert_ok(&world, world_ack(&world, (const int[]){0, -1}));
  assert_ok(&world, dr_mirror_prepare(world.mirror, 1, &world.error));
  assert_ok(&world, world_ack(&world, (const int[]){1, -1}));
  world_reopen(&world); // not covered by the prepare
  world_commit(&world, 1);
  assert_string_equal(world_held(&world), "1,ann,5\n");
  (void)world_run(&world, &full, ROWS("1,ann,6", "2,bob,6"));
  assert_ok(&world, world_ack(&world, (const int[]){0, -1}));
  assert_ok(&world, dr_mirror_prepare(world.mirror, 2, &world.error));
  assert_ok(&world, world_ack(&world, (const int[]){1, -1}));
  world_commit(&world, 2);
  world_reopen(&world);
  assert_string_equal(world_held(&world), "1,ann,6\n2,bob,6\n");
}

static void test_change_set_is_acknowledged_after_a_crash_without_a_new_pass(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "3,cyd,7"));
  (void)world_run(&world, &full, ROWS("1,?,9", "2,bob,6"));
  world_reopen(&world);
  assert_string_equal(world_read(&world, 1), "~ 1,?,9 <- 1,ann,5 [qty]\n+ 2,bob,6\n- 3,cyd,7\n");
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_string_equal(world_held(&world), "1,ann,9\n2,bob,6\n");
}

static void test_acknowledging_twice_changes_nothing(void **state) {
  (void)state;
  (void)world_run(&world, &full, ROWS("1,ann,5", "2,bob,6"));
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  assert_string_equal(world_held(&world), "1,ann,5\n2,bob,6\n");
  assert_int_equal(info_of().rows, 2);
}

static void test_windows_one_after_another_see_each_other(void **state) {
  (void)state;
  static const char *const lines[] = {"1,a,0", "2,b,0", "3,c,0", "1,a,1", "2,b,0", "4,d,0"};
  static const char *const said[] = {"+ 1,a,0\n", "+ 2,b,0\n", "+ 3,c,0\n", "~ 1,a,1 [qty]\n", "", "+ 4,d,0\n"};
  for (size_t i = 0; i < 6; i++) {
    assert_string_equal(world_run(&world, NULL, ROWS(lines[i])), said[i]);
    assert_ok(&world, world_ack(&world, NULL));
    world_commit(&world, i + 1);
  }
  assert_int_equal(info_of().rows, 4);
  assert_string_equal(world_held(&world), "1,a,1\n2,b,0\n3,c,0\n4,d,0\n");
}

static void test_change_set_of_another_key_or_project_is_refused(void **state) {
  (void)state;
  (void)world_run(&world, &full, ROWS("1,ann,5"));
  world_close(&world);
  assert_ok(&world, dr_mirror_reset(world.folder, &world.error));
  world.key[0] = "name";
  assert_ok(&world, world_open(&world));
  assert_int_equal(world_ack(&world, NULL), DRAY_E_MIRROR_SCHEMA);
  world_close(&world);
  assert_ok(&world, dr_mirror_reset(world.folder, &world.error));
  world.key[0] = "id";
  world.seed = 43;
  assert_ok(&world, world_open(&world));
  assert_int_equal(world_ack(&world, NULL), DRAY_E_MIRROR_SCHEMA);
  assert_string_equal(world_held(&world), "");
}

static void test_mirror_of_another_project_is_refused(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  world.seed = 43;
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_CORRUPT);
  world.seed = 42;
  assert_ok(&world, world_open(&world));
}

// ---- files are left alone ----

static void test_run_with_nothing_changed_touches_no_file_of_the_mirror(void **state) {
  (void)state;
  char before[4096];
  world_load(&world, 5, ROWS("1,ann,5", "2,bob,6"));
  world_reopen(&world);
  (void)snprintf(before, sizeof before, "%s", listing(world.folder));
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,6")), "");
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 5);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  world_reopen(&world);
  assert_string_equal(listing(world.folder), before);
}

static void test_verify_changes_nothing(void **state) {
  (void)state;
  char before[4096];
  struct dr_mirror_info info;
  world_load(&world, 5, ROWS("1,ann,5", "2,bob,6"));
  (void)world_run(&world, &full, ROWS("1,ann,5"));
  assert_ok(&world, world_ack(&world, NULL)); // a tail that an open would cut
  world_close(&world);
  (void)snprintf(before, sizeof before, "%s", listing(world.folder));
  assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
  assert_int_equal(info.rows, 2);
  assert_int_equal(info.generation, 5);
  assert_string_equal(listing(world.folder), before);
}

static void test_leftovers_of_killed_processes_are_swept(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  static const char *const names[] = {"base.2", "journal.2", "base.77", "tmp.abcdef", "head.new", "keep.me"};
  for (size_t i = 0; i < 6; i++) {
    char *path = dr_path_join(world.folder, names[i]);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("rubbish", file);
    (void)fclose(file);
    free(path);
  }
  assert_ok(&world, world_open(&world));
  for (size_t i = 0; i < 6; i++) {
    char *path = dr_path_join(world.folder, names[i]);
    assert_int_equal(dr_file_exists(path), i == 5);
    free(path);
  }
  assert_string_equal(world_held(&world), "1,ann,5\n");
}

static size_t files_in(const char *folder) {
  size_t count = 0;
  for (const char *line = listing(folder); *line != '\0'; line++) count += *line == '\n';
  DIR *entries = opendir(folder);
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    count += strncmp(entry->d_name, ".pass-", 6) == 0;
  }
  (void)closedir(entries);
  return count;
}

static void test_abandoned_pass_leaves_nothing_behind(void **state) {
  (void)state;
  const struct dr_diff_options options = {.changeset_path = world.set_path};
  struct dr_diff *diff = NULL;
  const char *const rows[] = {"1,ann,5"};
  struct dr_batch *batch = world_batch(&world, rows, 1);
  assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
  assert_ok(&world, dr_diff_add(diff, batch, &world.error));
  assert_int_equal(files_in(world.root), 2); // the mirror's folder and the unfinished set
  dr_diff_free(diff);
  assert_int_equal(files_in(world.root), 1);
  assert_int_equal(files_in(world.folder), 3);
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5")), "+ 1,ann,5\n"); // and the mirror can go on
}

// ---- many rows ----

static struct dr_batch *many(uint64_t first, uint64_t count, int64_t qty) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  assert_ok(&world, dray_builder_new(&world.schema->arrow, UINT64_MAX, UINT64_MAX, &builder, &world.error));
  for (uint64_t i = first; i < first + count; i++) {
    char name[32];
    const int len = snprintf(name, sizeof name, "name of %llu", (unsigned long long)i);
    assert_ok(&world, dray_builder_int64(builder, 0, (int64_t)i, &world.error));
    assert_ok(&world, dray_builder_bytes(builder, 1, dray_str_make(name, (uint64_t)len), &world.error));
    assert_ok(&world, dray_builder_int64(builder, 2, qty + (int64_t)(i % 100 == 0), &world.error));
    assert_ok(&world, dray_builder_end_row(builder, NULL, &world.error));
  }
  assert_ok(&world, dray_builder_finish(builder, &array, &world.error));
  assert_ok(&world, dr_batch_wrap(world.schema, &array, &batch, &world.error));
  dray_builder_free(builder);
  return batch;
}

static void pass_of_many(uint64_t rows, int64_t qty, uint32_t flags) {
  const struct dr_diff_options options = {.flags = flags, .changeset_path = world.set_path};
  struct dr_diff *diff = NULL;
  assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
  for (uint64_t at = 0; at < rows; at += 3000) {
    struct dr_batch *batch = many(at, rows - at < 3000 ? rows - at : 3000, qty);
    assert_ok(&world, dr_diff_add(diff, batch, &world.error));
  }
  assert_ok(&world, dr_diff_finish(diff, &world.counts, &world.error));
  dr_diff_free(diff);
}

static void test_more_rows_than_memory_holds(void **state) {
  (void)state;
  enum { COUNT = 70000 }; // 1.7 MB of entries, 2.2 MB of sightings
  world_close(&world);
  world.memory_bytes = 1u << 20;
  assert_ok(&world, world_open(&world));
  pass_of_many(COUNT, 1, DR_DIFF_FULL);
  assert_int_equal(world.counts.inserts, COUNT);
  assert_true(world.counts.spilled_bytes > 0);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  assert_int_equal(info_of().rows, COUNT);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error)); // the journal is far too long to be kept
  assert_int_equal(world_base(&world), 2);
  assert_int_equal(info_of().rows, COUNT);
  assert_true(info_of().base_bytes < (uint64_t)COUNT * 70);
  pass_of_many(COUNT, 1, DR_DIFF_FULL);
  assert_int_equal(world.counts.unchanged, COUNT);
  pass_of_many(COUNT - 7, 2, DR_DIFF_FULL); // every row changes, and some go
  assert_int_equal(world.counts.updates, COUNT - 7);
  assert_int_equal(world.counts.deletes, 7);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  world_reopen(&world);
  pass_of_many(COUNT - 7, 2, DR_DIFF_FULL); // merges first, since the overlay does not hold the journal
  assert_int_equal(world_base(&world), 3);
  assert_int_equal(world.counts.unchanged, COUNT - 7);
  assert_int_equal(info_of().rows, COUNT - 7);
  struct dr_mirror_info info;
  assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
  assert_int_equal(info.rows, COUNT - 7);
}

static void test_merge_waits_until_the_journal_has_grown(void **state) {
  (void)state;
  pass_of_many(3000, 1, 0);
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error)); // not while something is open
  assert_int_equal(world_base(&world), 1);
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error)); // 200 kB are not worth it
  assert_int_equal(world_base(&world), 1);
  pass_of_many(9000, 2, 0);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(world_base(&world), 2);
  assert_int_equal(files_in(world.folder), 3);
  assert_int_equal(info_of().generation, 2);
  assert_int_equal(info_of().rows, 9000);
  pass_of_many(9000, 2, DR_DIFF_FULL);
  assert_int_equal(world.counts.unchanged, 9000);
  world_reopen(&world);
  assert_int_equal(info_of().generation, 2);
  assert_int_equal(info_of().rows, 9000);
}

// Enough for a thread that appends what another one makes, and for several frames.
static void test_whole_set_is_acknowledged(void **state) {
  (void)state;
  enum { COUNT = 40000 };
  for (unsigned threads = 1; threads <= 2; threads++) {
    struct dr_changeset *set = NULL;
    world_close(&world);
    assert_ok(&world, dr_mirror_reset(world.folder, &world.error));
    world.threads = threads;
    assert_ok(&world, world_open(&world));
    pass_of_many(COUNT, 1, DR_DIFF_FULL);
    assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
    assert_ok(&world, dr_mirror_ack_all(world.mirror, set, COUNT - 7, &world.error));
    dr_changeset_close(set);
    world_commit(&world, 1);
    assert_int_equal(info_of().rows, COUNT - 7);
    pass_of_many(COUNT, 1, DR_DIFF_FULL);
    assert_int_equal(world.counts.unchanged, COUNT - 7);
    assert_int_equal(world.counts.inserts, 7);
  }
}

// ---- merging ahead of the commit ----

static struct stat stat_of(const char *name) {
  struct stat info;
  char *path = dr_path_join(world.folder, name);
  assert_non_null(path);
  if (stat(path, &info) != 0) memset(&info, 0, sizeof info);
  free(path);
  return info;
}

static void gather_pass_of(int64_t qty) {
  pass_of_many(9000, qty, 0);
  dr_mirror_gather(world.mirror);
  assert_ok(&world, world_ack(&world, NULL));
}

// Acknowledges a pass over 9000 rows and merges it ahead.
static void merge_ahead_of(int64_t qty) {
  gather_pass_of(qty);
  dr_mirror_write_ahead(world.mirror, NULL);
}

static void assert_holds(int64_t qty, uint64_t base, uint64_t generation) {
  struct dr_mirror_info info;
  assert_int_equal(world_base(&world), base);
  assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
  assert_int_equal(info.generation, generation);
  assert_int_equal(info.rows, 9000);
  pass_of_many(9000, qty, DR_DIFF_FULL);
  assert_int_equal(world.counts.unchanged, 9000);
  world_reopen(&world);
  assert_int_equal(files_in(world.folder), 3);
  pass_of_many(9000, qty, DR_DIFF_FULL);
  assert_int_equal(world.counts.unchanged, 9000);
}

static void test_base_that_was_merged_ahead_is_taken_after_its_commit(void **state) {
  (void)state;
  merge_ahead_of(1);
  const struct stat made = stat_of("base.2");
  assert_true(made.st_size > 0);
  assert_ok(&world, dr_mirror_prepare(world.mirror, 1, &world.error));
  world_commit(&world, 1);
  world_commit(&world, 4); // one more, which changes no row: the checkpoint of a window without any
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  const struct stat taken = stat_of("base.2");
  assert_int_equal(taken.st_mtim.tv_sec, made.st_mtim.tv_sec);
  assert_int_equal(taken.st_mtim.tv_nsec, made.st_mtim.tv_nsec); // nobody wrote it again
  assert_holds(1, 2, 4);
}

static void test_base_that_was_merged_ahead_lacks_what_is_acknowledged_later(void **state) {
  (void)state;
  merge_ahead_of(1);
  assert_ok(&world, world_ack(&world, NULL)); // the same once more, but who knows
  world_commit(&world, 1);
  merge_ahead_of(2);
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  pass_of_many(9000, 3, 0);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_holds(3, 2, 2);
}

static void test_process_that_ends_after_merging_ahead_leaves_the_mirror_as_it_was(void **state) {
  (void)state;
  merge_ahead_of(1);
  assert_ok(&world, dr_mirror_prepare(world.mirror, 1, &world.error));
  world_reopen(&world);
  assert_int_equal(stat_of("base.2").st_size, 0);
  assert_int_equal(info_of().prepared_generation, 1);
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_holds(1, 2, 1);
}

static void *write_ahead(void *mirror) {
  dr_mirror_write_ahead(mirror, NULL);
  return NULL;
}

static void test_merge_ahead_goes_on_beside_prepare_and_commit(void **state) {
  (void)state;
  for (int64_t generation = 1; generation <= 3; generation++) {
    struct dr_mirror_info info;
    pthread_t thread;
    gather_pass_of(generation);
    assert_int_equal(pthread_create(&thread, NULL, write_ahead, world.mirror), 0);
    assert_ok(&world, dr_mirror_prepare(world.mirror, (uint64_t)generation, &world.error));
    dr_mirror_info(world.mirror, &info);
    assert_int_equal(info.prepared_generation, generation);
    world_commit(&world, (uint64_t)generation);
    assert_int_equal(pthread_join(thread, NULL), 0);
    const struct stat made = stat_of(generation == 1 ? "base.2" : generation == 2 ? "base.3" : "base.4");
    assert_true(made.st_size > 0);
    assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
    const struct stat taken = stat_of(generation == 1 ? "base.2" : generation == 2 ? "base.3" : "base.4");
    assert_int_equal(taken.st_mtim.tv_sec, made.st_mtim.tv_sec);
    assert_int_equal(taken.st_mtim.tv_nsec, made.st_mtim.tv_nsec); // nobody wrote it again
  }
  assert_holds(3, 4, 3);
}

// What the journal held before the gathering began is part of the base.
static void test_merge_ahead_holds_what_was_committed_before(void **state) {
  (void)state;
  pass_of_many(100, 1, 0);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  gather_pass_of(1); // the other rows
  dr_mirror_write_ahead(world.mirror, NULL);
  world_commit(&world, 2);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_holds(1, 2, 2);
}

static void test_merge_ahead_that_is_given_up_leaves_nothing(void **state) {
  (void)state;
  const atomic_int stop = 1;
  gather_pass_of(1);
  dr_mirror_write_ahead(world.mirror, &stop);
  assert_int_equal(stat_of("base.2").st_size, 0);
  assert_int_equal(files_in(world.folder), 3);
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_holds(1, 2, 1);
}

// Blocks that no change falls into are copied as they are stored, and others are packed anew: the rows stay what they
// are, and the blocks do not crumble.
static void test_merges_of_few_changes_keep_rows_and_size(void **state) {
  (void)state;
  enum { COUNT = 30000, ROUNDS = 12 };
  pass_of_many(COUNT, 1, DR_DIFF_FULL);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
  const uint64_t fresh = info_of().base_bytes;
  for (uint64_t round = 0; round < ROUNDS; round++) {
    const struct dr_diff_options options = {.changeset_path = world.set_path};
    struct dr_diff *diff = NULL;
    assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
    for (uint64_t i = 0; i < 40; i++) { // updates, deletes and inserts here and there
      struct dr_batch *batch = many((round * 997 + i * 751) % COUNT + (i % 4 == 0 ? COUNT : 0), 1, 7);
      if (i % 4 == 1) batch->deleted = calloc(1, 1);
      if (i % 4 == 1) batch->deleted[0] = 1;
      assert_ok(&world, dr_diff_add(diff, batch, &world.error));
    }
    assert_ok(&world, dr_diff_finish(diff, &world.counts, &world.error));
    dr_diff_free(diff);
    assert_ok(&world, world_ack(&world, NULL));
    world_commit(&world, round + 2);
    struct dr_mirror_info info = info_of();
    assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
    assert_int_equal(world_base(&world), round + 3);
    assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
  }
  const uint64_t rows = info_of().rows;
  assert_true(rows >= COUNT - ROUNDS * 10 && rows <= COUNT + ROUNDS * 10);
  assert_true(info_of().base_bytes < fresh + fresh / 20);
  // Every row is read and decoded: all are deleted in a pass over nothing.
  struct dr_changeset *set = NULL;
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  uint64_t seq = 0, changed = 0;
  assert_ok(&world, world_try(&world, &pass, NO_ROWS));
  assert_int_equal(world.counts.deletes, rows);
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  for (;;) {
    struct dr_changes *changes = NULL;
    assert_ok(&world, dr_changeset_next(set, seq, 5000, 1u << 20, 0, &changes, &world.error));
    if (changes == NULL) break;
    for (size_t i = 0; i < changes->count; i++) {
      char name[32];
      const int64_t id = dray_column_int64(&changes->rows->view.columns[0], i);
      const int64_t qty = dray_column_int64(&changes->rows->view.columns[2], i) - (id % 100 == 0);
      const int len = snprintf(name, sizeof name, "name of %lld", (long long)id);
      assert_true(
          dray_str_equal(dray_column_bytes(&changes->rows->view.columns[1], i), dray_str_make(name, (uint64_t)len)));
      assert_true(qty == 1 || qty == 7);
      changed += qty == 7;
    }
    seq += changes->count;
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  assert_int_equal(seq, rows);
  assert_true(changed > ROUNDS * 20);
}

static void test_row_larger_than_a_block_is_kept_whole(void **state) {
  (void)state;
  const size_t len = 900000;
  char *text = malloc(len + 16);
  assert_non_null(text);
  world_close(&world);
  world.memory_bytes = 1; // the least there is
  assert_ok(&world, world_open(&world));
  for (int round = 0; round < 3; round++) {
    struct dr_batch *batch = NULL;
    const struct dr_diff_options options = {.flags = DR_DIFF_FULL, .changeset_path = world.set_path};
    struct dr_diff *diff = NULL;
    for (size_t i = 0; i < len; i++) text[i] = (char)('a' + i * (i + (size_t)round) % 26);
    memcpy(text, "1,", 2);
    memcpy(text + len, ",5", 3);
    const char *const rows[] = {text, "2,small,1"};
    batch = world_batch(&world, rows, 2);
    assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
    assert_ok(&world, dr_diff_add(diff, batch, &world.error));
    assert_ok(&world, dr_diff_finish(diff, &world.counts, &world.error));
    assert_int_equal(world.counts.inserts + world.counts.updates, round == 0 ? 2 : 1);
    dr_diff_free(diff);
    struct dr_changeset *set = NULL;
    struct dr_changes *changes = NULL;
    assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
    assert_ok(&world, dr_changeset_next(set, 0, 10, 1000, 1, &changes, &world.error));
    const struct dray_str name = dray_column_bytes(&changes->rows->view.columns[1], 0);
    assert_int_equal(changes->count, 1); // larger than the bytes asked for, and alone
    assert_true(dray_str_equal(name, dray_str_make(text + 2, len - 2)));
    dr_changes_free(changes);
    dr_changeset_close(set);
    assert_ok(&world, world_ack(&world, NULL));
    world_commit(&world, (uint64_t)round + 1);
    assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
    assert_int_equal(world_base(&world), (uint64_t)round + 2);
  }
  free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_missing_mirror_is_not_an_empty_one),
      TEST(test_files_are_for_their_owner_only),
      TEST(test_lost_head_is_not_an_empty_mirror),
      TEST(test_interrupted_reset_is_completed_by_the_next_open),
      TEST(test_committed_rows_survive_reopening),
      TEST(test_acknowledged_rows_are_forgotten_without_a_commit),
      TEST(test_prepared_rows_wait_for_commit_or_rollback_across_processes),
      TEST(test_what_is_acknowledged_after_a_prepare_goes_with_its_commit),
      TEST(test_change_set_is_acknowledged_after_a_crash_without_a_new_pass),
      TEST(test_acknowledging_twice_changes_nothing),
      TEST(test_windows_one_after_another_see_each_other),
      TEST(test_change_set_of_another_key_or_project_is_refused),
      TEST(test_mirror_of_another_project_is_refused),
      TEST(test_run_with_nothing_changed_touches_no_file_of_the_mirror),
      TEST(test_verify_changes_nothing),
      TEST(test_leftovers_of_killed_processes_are_swept),
      TEST(test_abandoned_pass_leaves_nothing_behind),
      TEST(test_more_rows_than_memory_holds),
      TEST(test_merge_waits_until_the_journal_has_grown),
      TEST(test_base_that_was_merged_ahead_is_taken_after_its_commit),
      TEST(test_base_that_was_merged_ahead_lacks_what_is_acknowledged_later),
      TEST(test_process_that_ends_after_merging_ahead_leaves_the_mirror_as_it_was),
      TEST(test_whole_set_is_acknowledged),
      TEST(test_merge_ahead_goes_on_beside_prepare_and_commit),
      TEST(test_merge_ahead_holds_what_was_committed_before),
      TEST(test_merge_ahead_that_is_given_up_leaves_nothing),
      TEST(test_merges_of_few_changes_keep_rows_and_size),
      TEST(test_row_larger_than_a_block_is_kept_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
