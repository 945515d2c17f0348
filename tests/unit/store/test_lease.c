// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One run of a sync at a time, between real processes.
#include "scene.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dray/sdk/error.h"
#include "store/lease.h"
#include "torture.h"

#define CONTENDERS 8

static struct dray_error error;

static int setup(void **state) {
  dray_error_init(&error);
  return scene_setup(state);
}

// Starts a process that holds the lease until it is killed.
static pid_t start_holder(const char *folder) {
  unlink(scene_path(folder, "held"));
  const pid_t pid = scene_start("hold", folder, NULL);
  while (access(scene_path(folder, "held"), F_OK) != 0) usleep(1000);
  return pid;
}

static void expect_locked_by(const char *folder, pid_t pid) {
  struct dr_lease lease = {.fd = -1};
  char who[64];
  assert_int_equal(dr_lease_take(folder, &lease, &error), DRAY_E_LOCKED);
  assert_int_equal(lease.fd, -1);
  snprintf(who, sizeof who, "process %d holds", (int)pid);
  assert_non_null(strstr(error.text, who));
  assert_non_null(strstr(error.text, "since 20")); // a date
}

static void test_second_process_is_refused_and_told_who_holds_it(void **state) {
  const pid_t holder = start_holder(*state);
  expect_locked_by(*state, holder);
  kill(holder, SIGKILL);
  scene_wait(holder);
}

static void test_killed_holder_frees_the_lease_at_once(void **state) {
  const pid_t holder = start_holder(*state);
  kill(holder, SIGKILL);
  assert_int_equal(scene_wait(holder), 1000 + SIGKILL);
  struct dr_lease lease = {.fd = -1};
  scene_ok(dr_lease_take(*state, &lease, &error));
  dr_lease_drop(&lease);
}

static void test_next_holder_is_named_not_the_dead_one(void **state) {
  const pid_t first = start_holder(*state);
  kill(first, SIGKILL);
  scene_wait(first);
  const pid_t second = start_holder(*state);
  assert_true(second != first);
  expect_locked_by(*state, second);
  kill(second, SIGKILL);
  scene_wait(second);
}

static void test_of_many_that_contend_exactly_one_holds_it(void **state) {
  pid_t pids[CONTENDERS];
  int held = 0;
  for (size_t i = 0; i < CONTENDERS; i++) pids[i] = scene_start("try", *state, NULL);
  for (size_t i = 0; i < CONTENDERS; i++) {
    const int code = scene_wait(pids[i]);
    assert_true(code == 0 || code == 1);
    if (code == 0) held++;
  }
  assert_int_equal(held, 1);
}

static void test_dropped_lease_can_be_taken_again_and_dropping_twice_is_harmless(void **state) {
  struct dr_lease lease = {.fd = -1};
  scene_ok(dr_lease_take(*state, &lease, &error));
  struct dr_lease second = {.fd = -1};
  assert_int_equal(dr_lease_take(*state, &second, &error), DRAY_E_LOCKED); // even within one process
  dr_lease_drop(&lease);
  dr_lease_drop(&lease);
  scene_ok(dr_lease_take(*state, &second, &error));
  dr_lease_drop(&second);
}

static void test_folder_that_cannot_be_made_is_an_io_error(void **state) {
  scene_write(scene_path(*state, "file"), "", 0);
  struct dr_lease lease = {.fd = -1};
  assert_int_equal(dr_lease_take(scene_path(*state, "file"), &lease, &error), DRAY_E_IO);
}

static int32_t take(void *ctx) {
  struct dr_lease lease = {.fd = -1};
  const int32_t code = dr_lease_take(ctx, &lease, &error);
  dr_lease_drop(&lease);
  return code;
}

static void test_every_failed_allocation_is_reported(void **state) {
  assert_true(torture_every(take, *state) >= 1);
}

static int child_hold(const char *folder) {
  struct dr_lease lease = {.fd = -1};
  if (dr_lease_take(folder, &lease, &error) != DRAY_OK) return 1;
  scene_write(scene_path(folder, "held"), "", 0);
  for (;;) pause();
}

// Whether there came to be so many files whose names begin so, within two minutes.
static int await_files(const char *folder, const char *start, int wanted) {
  for (int n = 0; n < 12000; n++) {
    int found = 0;
    DIR *all = opendir(folder);
    for (struct dirent *one = all != NULL ? readdir(all) : NULL; one != NULL; one = readdir(all)) {
      found += strncmp(one->d_name, start, strlen(start)) == 0;
    }
    if (all != NULL) closedir(all);
    if (found >= wanted) return 1;
    usleep(10000);
  }
  return 0;
}

// Holds it until every other one had its turn.
static int child_try(const char *folder) {
  struct dr_lease lease = {.fd = -1};
  char name[32];
  const int32_t code = dr_lease_take(folder, &lease, &error);
  snprintf(name, sizeof name, "tried.%d", (int)getpid());
  scene_write(scene_path(folder, name), "", 0);
  if (code == DRAY_E_LOCKED) return 1;
  if (code != DRAY_OK) return 2;
  return await_files(folder, "tried.", CONTENDERS) ? 0 : 3;
}

int main(int argc, char **argv) {
  dray_error_init(&error);
  if (argc == 3 && strcmp(argv[1], "hold") == 0) return child_hold(argv[2]);
  if (argc == 3 && strcmp(argv[1], "try") == 0) return child_try(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scene_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_second_process_is_refused_and_told_who_holds_it),
      TEST(test_killed_holder_frees_the_lease_at_once),
      TEST(test_next_holder_is_named_not_the_dead_one),
      TEST(test_of_many_that_contend_exactly_one_holds_it),
      TEST(test_dropped_lease_can_be_taken_again_and_dropping_twice_is_harmless),
      TEST(test_folder_that_cannot_be_made_is_an_io_error),
      TEST(test_every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
