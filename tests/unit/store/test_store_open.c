// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The state database as a file: made whole, opened again, damaged, written by a newer dray, locked, on a full disk,
// and left by a process that was killed.
#include "scene.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "dray/sdk/error.h"
#include "store/db.h"
#include "torture.h"

static struct dray_error error;

static struct dr_store *open_store(const char *folder) {
  struct dr_store *store = NULL;
  dray_error_init(&error);
  scene_ok(dr_store_open(folder, &store, &error));
  return store;
}

static void put_generation(struct dr_store *store, uint64_t generation) {
  struct dr_sync_state sync = {.generation = generation, .identity = "sqlite:wh.db"};
  scene_ok(dr_store_sync_put(store, "orders", &sync, &error));
}

static uint64_t get_generation(struct dr_store *store) {
  struct dr_sync_state sync;
  scene_ok(dr_store_sync_get(store, "orders", &sync, &error));
  dray_buffer_free(&sync.checkpoint);
  return sync.generation;
}

// A store with something in it, closed.
static void prepare(const char *folder) {
  struct dr_store *store = open_store(folder);
  put_generation(store, 7);
  dr_store_close(store);
}

static void expect_refused(const char *folder, int32_t code) {
  struct dr_store *store = NULL;
  dray_error_init(&error);
  assert_int_equal(dr_store_open(folder, &store, &error), code);
  assert_int_equal(error.code, code);
  assert_null(store);
  assert_non_null(strstr(error.text, scene_path(folder, "state.db")));
}

static void sql(const char *path, const char *text) {
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

// ---- making ----

static void test_new_store_is_private_and_keeps_its_seed(void **state) {
  const char *folder = *state;
  struct dr_store *store = open_store(folder);
  const uint64_t seed = dr_store_seed(store);
  assert_true(seed != 0);
  put_generation(store, 1);
  struct stat info;
  assert_int_equal(stat(scene_path(folder, "state.db"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  assert_int_equal(stat(scene_path(folder, "state.db-journal"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  dr_store_close(store);
  store = open_store(folder);
  assert_int_equal(dr_store_seed(store), seed);
  assert_int_equal(get_generation(store), 1);
  dr_store_close(store);
}

static void test_two_projects_have_different_seeds(void **state) {
  struct dr_store *one = open_store(*state);
  struct dr_store *two = open_store(scene_path(*state, ".other"));
  assert_true(dr_store_seed(one) != dr_store_seed(two));
  dr_store_close(one);
  dr_store_close(two);
  const char *const files[] = {".other/state.db", ".other/state.db-journal", ".other/state.lock"};
  for (size_t i = 0; i < 3; i++) unlink(scene_path(*state, files[i]));
  rmdir(scene_path(*state, ".other"));
}

static void test_folder_readable_by_others_is_tightened(void **state) {
  const char *folder = *state;
  prepare(folder);
  assert_int_equal(chmod(scene_path(folder, "state.db"), 0644), 0);
  dr_store_close(open_store(folder));
  struct stat info;
  assert_int_equal(stat(scene_path(folder, "state.db"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_processes_that_open_first_at_once_agree_on_the_seed(void **state) {
  const char *folder = *state;
  pid_t pids[6];
  for (size_t i = 0; i < 6; i++) pids[i] = scene_start("open", folder, NULL);
  for (size_t i = 0; i < 6; i++) assert_int_equal(scene_wait(pids[i]), 0);
  struct dr_store *store = open_store(folder);
  const uint64_t seed = dr_store_seed(store);
  dr_store_close(store);
  for (size_t i = 0; i < 6; i++) { // each child wrote the seed it saw
    char name[64], text[64] = "";
    snprintf(name, sizeof name, "seed.%d", (int)pids[i]);
    FILE *file = fopen(scene_path(folder, name), "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_int_equal(strtoull(text, NULL, 10), seed);
  }
}

static void test_process_killed_while_making_leaves_no_half_store(void **state) {
  const char *folder = *state;
  const char *const faults[] = {"kill:store.commit:1", "kill:store.commit:2", "kill:store.committed:2",
                                "kill:file.rename:1"};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    assert_int_equal(scene_run("open", folder, faults[i]), 1000 + SIGKILL);
    assert_int_equal(access(scene_path(folder, "state.db"), F_OK), -1);
  }
  prepare(folder);
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  dr_store_close(store);
}

static void test_journal_of_a_removed_store_is_not_played_into_the_new_one(void **state) {
  const char *folder = *state;
  prepare(folder);
  // A hot journal: killed in the middle of a commit that had spilled.
  assert_int_equal(scene_run("big_then_kill", folder, NULL), 1000 + SIGKILL);
  assert_true(scene_size(scene_path(folder, "state.db-journal")) > 512);
  assert_int_equal(unlink(scene_path(folder, "state.db")), 0);
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 0);
  dr_store_close(store);
}

// ---- damage ----

static void test_empty_file_is_damage_not_a_new_project(void **state) {
  prepare(*state);
  scene_write(scene_path(*state, "state.db"), "", 0);
  expect_refused(*state, DRAY_E_STATE_CORRUPT);
  assert_int_equal(scene_size(scene_path(*state, "state.db")), 0); // and nothing was written over it
}

static void test_truncated_file_is_refused(void **state) {
  const char *folder = *state;
  prepare(folder);
  const size_t size = scene_size(scene_path(folder, "state.db"));
  assert_true(size > 8192);
  assert_int_equal(truncate(scene_path(folder, "state.db"), (off_t)(size - 1)), 0);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
  assert_int_equal(truncate(scene_path(folder, "state.db"), (off_t)(size / 2)), 0);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
  assert_int_equal(truncate(scene_path(folder, "state.db"), 50), 0);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
}

static void test_zeros_and_garbage_are_refused(void **state) {
  const char *folder = *state;
  prepare(folder);
  const size_t size = scene_size(scene_path(folder, "state.db"));
  char *bytes = calloc(1, size);
  assert_non_null(bytes);
  scene_write(scene_path(folder, "state.db"), bytes, size);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
  for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * 2654435761u >> 7);
  scene_write(scene_path(folder, "state.db"), bytes, size);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
  free(bytes);
}

static void test_page_overwritten_in_the_middle_is_found_on_open(void **state) {
  const char *folder = *state;
  prepare(folder);
  const int fd = open(scene_path(folder, "state.db"), O_RDWR);
  assert_true(fd >= 0);
  char noise[4096];
  memset(noise, 0xA5, sizeof noise);
  assert_int_equal(pwrite(fd, noise, sizeof noise, 4096), sizeof noise);
  close(fd);
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
}

static int page_of_index(const char *folder) {
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  assert_int_equal(sqlite3_open(scene_path(folder, "state.db"), &db), SQLITE_OK);
  assert_int_equal(
      sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_master WHERE name = 'batches_by_run'", -1, &stmt, NULL),
      SQLITE_OK);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  const int page = sqlite3_column_int(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return page;
}

static void test_large_file_is_verified_once_a_day(void **state) {
  const char *folder = *state;
  struct dr_store *store = open_store(folder);
  static char value[65536];
  for (int i = 0; i < 80; i++) {
    scene_ok(dr_store_plugin_put(store, "shop", dray_str_make((const char *)&i, sizeof i),
                                 dray_str_make(value, sizeof value), &error));
  }
  dr_store_close(store);
  assert_true(scene_size(scene_path(folder, "state.db")) > DR_DB_CHECK_BYTES_MAX);
  dr_store_close(open_store(folder)); // verifies, and remembers
  const int page = page_of_index(folder);
  const int fd = open(scene_path(folder, "state.db"), O_RDWR);
  assert_int_equal(pwrite(fd, "\xA5\xA5\xA5\xA5", 4, (off_t)(page - 1) * 4096), 4);
  close(fd);
  dr_store_close(open_store(folder));
  sql(scene_path(folder, "state.db"), "UPDATE meta SET value = value - 86400 * 1000000 WHERE name = 'checked_us'");
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
}

static void test_database_of_another_program_is_refused(void **state) {
  const char *folder = *state;
  sql(scene_path(folder, "state.db"), "CREATE TABLE customers (id INTEGER); PRAGMA user_version = 1");
  expect_refused(folder, DRAY_E_STATE_CORRUPT);
}

static void test_newer_version_is_refused_and_left_alone(void **state) {
  const char *folder = *state;
  prepare(folder);
  sql(scene_path(folder, "state.db"), "PRAGMA user_version = 99");
  expect_refused(folder, DRAY_E_STATE_VERSION);
  assert_non_null(strstr(error.text, "99"));
  char back[64];
  (void)snprintf(back, sizeof back, "PRAGMA user_version = %d", DR_DB_VERSION);
  sql(scene_path(folder, "state.db"), back);
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  dr_store_close(store);
}

// A batch of which nobody wrote down when it left is as old as its run.
static void test_a_file_of_the_version_before_is_taken_along(void **state) {
  const char *folder = *state;
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  prepare(folder);
  sql(scene_path(folder, "state.db"),
      "ALTER TABLE batches DROP COLUMN sent_us; INSERT INTO runs (id, sync, state, started_us, pid) VALUES (90, "
      "'orders', "
      "1, 1234567, 1); INSERT INTO batches (sync, run, state, first_seq, count, changeset, idempotency_key, handle, "
      "mirror_frame, updated_us) VALUES ('orders', 90, 5, 0, 3, 'c', 'k', '', 0, 9999999); PRAGMA user_version = 1");
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  scene_ok(dr_store_batches_open(store, "orders", &open, &count, &error));
  assert_int_equal(count, 1);
  assert_int_equal(open[0].count, 3);
  assert_int_equal(open[0].sent_us, 1234567);
  free(open);
  dr_store_close(store);
}

static void test_missing_table_is_damage(void **state) {
  const char *folder = *state;
  prepare(folder);
  sql(scene_path(folder, "state.db"), "DROP TABLE syncs");
  struct dr_store *store = open_store(folder);
  struct dr_sync_state sync;
  assert_int_equal(dr_store_sync_get(store, "orders", &sync, &error), DRAY_E_STATE_CORRUPT);
  dr_store_close(store);
}

static void test_store_left_in_wal_mode_is_taken_back(void **state) {
  const char *folder = *state;
  prepare(folder);
  sql(scene_path(folder, "state.db"), "PRAGMA journal_mode = WAL; CREATE TABLE seen_by_an_admin (x)");
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  put_generation(store, 8);
  assert_int_equal(access(scene_path(folder, "state.db-wal"), F_OK), -1);
  dr_store_close(store);
}

// ---- kills, full disks, locks ----

static void test_killed_before_commit_keeps_the_old_and_after_it_the_new(void **state) {
  const char *folder = *state;
  prepare(folder);
  assert_int_equal(scene_run("put8", folder, "kill:store.commit:1"), 1000 + SIGKILL);
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  dr_store_close(store);
  assert_int_equal(scene_run("put8", folder, "kill:store.committed:1"), 1000 + SIGKILL);
  store = open_store(folder);
  assert_int_equal(get_generation(store), 8);
  dr_store_close(store);
}

static void test_killed_in_the_middle_of_writing_pages_is_rolled_back(void **state) {
  const char *folder = *state;
  prepare(folder);
  assert_int_equal(scene_run("big_then_kill", folder, NULL), 1000 + SIGKILL);
  assert_true(scene_size(scene_path(folder, "state.db-journal")) > 512);
  struct dr_store *store = open_store(folder);
  assert_int_equal(get_generation(store), 7);
  uint64_t rejected = 1, parked = 1;
  scene_ok(dr_store_rows_count(store, "orders", &rejected, &parked, &error));
  assert_int_equal(rejected, 0);
  dr_store_close(store);
}

static void test_disk_full_at_commit_undoes_the_change_and_the_next_works(void **state) {
  prepare(*state);
  assert_int_equal(scene_run("put8_put9", *state, "enospc:store.commit:1"), 0);
  struct dr_store *store = open_store(*state);
  assert_int_equal(get_generation(store), 9);
  dr_store_close(store);
}

static void test_file_that_may_not_grow_fails_and_stays_whole(void **state) {
  prepare(*state);
  assert_int_equal(scene_run("may_not_grow", *state, NULL), 0);
  struct dr_store *store = open_store(*state);
  assert_int_equal(get_generation(store), 7);
  dr_store_close(store);
}

static void test_locked_store_is_busy_after_the_wait_and_works_when_free(void **state) {
  const char *folder = *state;
  prepare(folder);
  sqlite3 *other = NULL;
  assert_int_equal(sqlite3_open(scene_path(folder, "state.db"), &other), SQLITE_OK);
  struct dr_store *store = open_store(folder);
  assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  store->busy_max_ms = 200;
  struct dr_sync_state sync = {.generation = 8};
  const int64_t begun = dr_monotonic_ms();
  assert_int_equal(dr_store_sync_put(store, "orders", &sync, &error), DRAY_E_BUSY);
  assert_true(dr_monotonic_ms() - begun >= 200);
  assert_int_equal(get_generation(store), 7); // reading goes on meanwhile
  assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(other);
  put_generation(store, 8);
  assert_int_equal(get_generation(store), 8);
  dr_store_close(store);
}

static void test_wait_for_a_lock_ends_when_it_is_released(void **state) {
  const char *folder = *state;
  prepare(folder);
  const pid_t child = scene_start("hold_lock", folder, NULL);
  while (access(scene_path(folder, "held"), F_OK) != 0) usleep(1000);
  struct dr_store *store = open_store(folder);
  put_generation(store, 8); // would fail at once without the wait
  dr_store_close(store);
  assert_int_equal(scene_wait(child), 0);
}

// ---- allocations ----

static int32_t open_and_use(void *ctx) {
  struct dr_store *store = NULL;
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  dray_error_init(&error);
  int32_t code = dr_store_open(ctx, &store, &error);
  if (code == DRAY_OK) code = dr_store_runs(store, NULL, 100, &runs, &count, &error);
  free(runs);
  struct dr_sync_state sync = {0};
  if (code == DRAY_OK) code = dr_store_sync_get(store, "orders", &sync, &error);
  dray_buffer_free(&sync.checkpoint);
  dr_store_close(store);
  if (code != DRAY_OK) assert_int_equal(code, DRAY_E_OUT_OF_MEMORY);
  return code;
}

static void test_every_failed_allocation_is_reported(void **state) {
  struct dr_store *store = open_store(*state);
  for (int i = 0; i < 20; i++) {
    int64_t id = 0;
    scene_ok(dr_store_run_begin(store, "orders", 1, &id, &error));
  }
  struct dr_sync_state sync = {.generation = 1, .checkpoint = {.data = (char[]){"abc"}, .len = 3}};
  scene_ok(dr_store_sync_put(store, "orders", &sync, &error));
  dr_store_close(store);
  assert_true(torture_every(open_and_use, *state) >= 5);
}

// ---- the other process ----

static int child_open(const char *folder) {
  struct dr_store *store = open_store(folder);
  char name[64], text[32];
  snprintf(name, sizeof name, "seed.%d", (int)getpid());
  const int len = snprintf(text, sizeof text, "%llu", (unsigned long long)dr_store_seed(store));
  scene_write(scene_path(folder, name), text, (size_t)len);
  dr_store_close(store);
  return 0;
}

static int child_put8(const char *folder) {
  struct dr_store *store = open_store(folder);
  put_generation(store, 8);
  dr_store_close(store);
  return 0;
}

static int child_put8_put9(const char *folder) {
  struct dr_store *store = open_store(folder);
  struct dr_sync_state sync = {.generation = 8};
  if (dr_store_sync_put(store, "orders", &sync, &error) != DRAY_E_DISK_FULL) return 1;
  if (get_generation(store) != 7) return 2;
  put_generation(store, 9);
  dr_store_close(store);
  return 0;
}

static int32_t reject_many(struct dr_store *store, int count) {
  for (int i = 0; i < count; i++) {
    struct dr_row_record row = {.code = DRAY_E_DATA_TYPE, .run = 1};
    memcpy(row.key_hash, &i, sizeof i);
    memset(row.text, 'x', sizeof row.text - 1);
    DRAY_TRY(dr_store_row_reject(store, "orders", &row, 5, &error));
  }
  return DRAY_OK;
}

static int child_may_not_grow(const char *folder) {
  struct dr_store *store = open_store(folder);
  const rlim_t size = scene_size(scene_path(folder, "state.db"));
  const struct rlimit limit = {size, size};
  signal(SIGXFSZ, SIG_IGN);
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
  if (dr_store_begin(store, &error) != DRAY_OK) return 2;
  struct dr_sync_state sync = {.generation = 8};
  if (dr_store_sync_put(store, "orders", &sync, &error) != DRAY_OK) return 3;
  int32_t code = reject_many(store, 5000);
  if (code != DRAY_OK && dr_store_sync_put(store, "orders", &sync, &error) == DRAY_OK)
    return 4; // the transaction is spoilt
  code = dr_store_commit(store, &error);
  if (code != DRAY_E_IO && code != DRAY_E_DISK_FULL) return 5;
  if (get_generation(store) != 7) return 6;
  dr_store_close(store);
  return 0;
}

// Dies with changed pages in the file: more than the cache holds, so that SQLite spills them before the commit.
static int child_big_then_kill(const char *folder) {
  struct dr_store *store = open_store(folder);
  scene_ok(dr_store_begin(store, &error));
  put_generation(store, 8);
  if (reject_many(store, 5000) != DRAY_OK) return 1;
  kill(getpid(), SIGKILL);
  return 2;
}

static int child_hold_lock(const char *folder) {
  struct dr_store *store = open_store(folder);
  scene_ok(dr_store_begin(store, &error));
  scene_write(scene_path(folder, "held"), "", 0);
  usleep(300000);
  scene_ok(dr_store_commit(store, &error));
  dr_store_close(store);
  return 0;
}

static const struct {
  const char *role;
  int (*run)(const char *folder);
} roles[] = {
    {"open", child_open},
    {"put8", child_put8},
    {"put8_put9", child_put8_put9},
    {"may_not_grow", child_may_not_grow},
    {"big_then_kill", child_big_then_kill},
    {"hold_lock", child_hold_lock},
};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 3 && i < sizeof roles / sizeof roles[0]; i++) {
    if (strcmp(argv[1], roles[i].role) == 0) return roles[i].run(argv[2]);
  }
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_new_store_is_private_and_keeps_its_seed),
      TEST(test_two_projects_have_different_seeds),
      TEST(test_folder_readable_by_others_is_tightened),
      TEST(test_processes_that_open_first_at_once_agree_on_the_seed),
      TEST(test_process_killed_while_making_leaves_no_half_store),
      TEST(test_journal_of_a_removed_store_is_not_played_into_the_new_one),
      TEST(test_empty_file_is_damage_not_a_new_project),
      TEST(test_truncated_file_is_refused),
      TEST(test_zeros_and_garbage_are_refused),
      TEST(test_page_overwritten_in_the_middle_is_found_on_open),
      TEST(test_large_file_is_verified_once_a_day),
      TEST(test_database_of_another_program_is_refused),
      TEST(test_newer_version_is_refused_and_left_alone),
      TEST(test_a_file_of_the_version_before_is_taken_along),
      TEST(test_missing_table_is_damage),
      TEST(test_store_left_in_wal_mode_is_taken_back),
      TEST(test_killed_before_commit_keeps_the_old_and_after_it_the_new),
      TEST(test_killed_in_the_middle_of_writing_pages_is_rolled_back),
      TEST(test_disk_full_at_commit_undoes_the_change_and_the_next_works),
      TEST(test_file_that_may_not_grow_fails_and_stays_whole),
      TEST(test_locked_store_is_busy_after_the_wait_and_works_when_free),
      TEST(test_wait_for_a_lock_ends_when_it_is_released),
      TEST(test_every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
