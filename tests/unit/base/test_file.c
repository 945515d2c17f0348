// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Durable files: a replace is whole or has not happened, and every failed step is reported.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"

static char folder[] = "/tmp/dray-file-XXXXXX";
static char path[128];

static int setup(void **state) {
  (void)state;
  if (mkdtemp(folder) == NULL) return -1;
  (void)snprintf(path, sizeof(path), "%s/target", folder);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  (void)unlink(path);
  return rmdir(folder);
}

static void assert_content(const char *wanted) {
  struct dray_buffer read;
  struct dray_error error;
  dray_buffer_init(&read, 1 << 20);
  assert_int_equal(dr_file_read(path, 1 << 20, &read, &error), DRAY_OK);
  assert_string_equal(read.data, wanted);
  dray_buffer_free(&read);
}

static void test_replace_gives_the_new_content_to_its_owner_alone(void **state) {
  (void)state;
  struct dray_error error;
  assert_int_equal(dr_file_replace(path, dray_str_of("one"), &error), DRAY_OK);
  assert_int_equal(dr_file_replace(path, dray_str_of("two"), &error), DRAY_OK);
  assert_content("two");
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
}

// In a child with a fault armed, since faults are read once a process. Returns the child's exit status.
static int replace_under(const char *fault) {
  (void)fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)setenv("DRAY_TEST", "1", 1);
    (void)setenv("DRAY_FAULT", fault, 1);
    dr_fault_reload();
    struct dray_error error;
    const int32_t rc = dr_file_replace(path, dray_str_of("new"), &error);
    _exit(rc == DRAY_OK ? 0 : rc == DRAY_E_DISK_FULL ? 10 : rc == DRAY_E_IO ? 11 : 12);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_replace_that_fails_or_dies_leaves_the_old_file_whole(void **state) {
  (void)state;
  static const struct {
    const char *fault;
    int outcome;
  } cases[] = {
      {"enospc:file.write:1", 10}, {"eio:file.write:1", 11},  {"eio:file.sync:1", 11},     {"eio:file.rename:1", 11},
      {"kill:file.write:1", 137},  {"kill:file.sync:1", 137}, {"kill:file.rename:1", 137},
  };
  struct dray_error error;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(dr_file_replace(path, dray_str_of("old"), &error), DRAY_OK);
    assert_int_equal(replace_under(cases[i].fault), cases[i].outcome);
    assert_content("old");
  }
  char left[160];
  (void)snprintf(left, sizeof(left), "%s.new", path);
  (void)unlink(left); // what a killed process leaves
}

static void test_read_refuses_more_than_its_limit(void **state) {
  (void)state;
  struct dray_error error;
  struct dray_buffer read;
  dray_buffer_init(&read, 1 << 20);
  assert_int_equal(dr_file_replace(path, dray_str_of("0123456789"), &error), DRAY_OK);
  assert_int_equal(dr_file_read(path, 9, &read, &error), DRAY_E_LIMIT);
  assert_non_null(strstr(error.text, path));
  dray_buffer_free(&read);
}

static void test_missing_file_is_named_with_its_reason(void **state) {
  (void)state;
  struct dray_error error;
  struct dray_buffer read;
  dray_buffer_init(&read, 1 << 20);
  assert_int_equal(dr_file_read("/nowhere/at/all", 10, &read, &error), DRAY_E_IO);
  assert_string_equal(error.text, "cannot open /nowhere/at/all: No such file or directory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_replace_gives_the_new_content_to_its_owner_alone),
      cmocka_unit_test(test_replace_that_fails_or_dies_leaves_the_old_file_whole),
      cmocka_unit_test(test_read_refuses_more_than_its_limit),
      cmocka_unit_test(test_missing_file_is_named_with_its_reason),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
