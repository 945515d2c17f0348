// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Secrets behind references: what is read, what is refused, and that no message repeats a value.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/redact.h"
#include "scratch.h"

struct scene {
  char *folder;
  struct dr_project *project;
  struct dray_buffer value;
  struct dray_error error;
};

static void open_scene(struct scene *scene, const char *settings) {
  char yaml[4096];
  scene->folder = scratch_new();
  (void)snprintf(yaml, sizeof(yaml), "version: 1\nconnections:\n  c:\n    plugin: p\n%s\n", settings);
  scene->project = scratch_load(scene->folder, yaml);
  assert_int_equal(scene->project->problems.count, 0);
  dray_buffer_init(&scene->value, 1 << 20);
  dray_error_init(&scene->error);
}

static void close_scene(struct scene *scene) {
  dray_buffer_free(&scene->value);
  dr_project_free(scene->project);
  scratch_free(scene->folder);
}

static int32_t resolve(struct scene *scene, const char *path) {
  dray_buffer_clear(&scene->value);
  return dr_secret_resolve(scene->project->connections[0].settings, dray_str_of(path), scene->project->folder,
                           &scene->value, &scene->error);
}

static void test_secrets_come_from_where_they_are_kept(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, "    a: !secret env:DRAY_TEST_SECRET\n    b: !secret file:keys/b\n    c: !secret exec:printf '%s' "
                 "'from a command'\n"
                 "    d: !literal written out\n    o: {list: [x, !secret env:DRAY_TEST_SECRET], \"k.k\": !secret "
                 "\"exec:cat keys/b\"}");
  scratch_write(s.folder, "keys/b", "from a file\n", 12);
  assert_int_equal(setenv("DRAY_TEST_SECRET", "from the environment", 1), 0);
  assert_int_equal(resolve(&s, "a"), DRAY_OK);
  assert_string_equal(s.value.data, "from the environment");
  assert_int_equal(resolve(&s, "b"), DRAY_OK);
  assert_string_equal(s.value.data, "from a file"); // without its newline
  assert_int_equal(resolve(&s, "c"), DRAY_OK);
  assert_string_equal(s.value.data, "from a command");
  assert_int_equal(resolve(&s, "d"), DRAY_OK);
  assert_string_equal(s.value.data, "written out");
  assert_int_equal(resolve(&s, "o.list[1]"), DRAY_OK);
  assert_string_equal(s.value.data, "from the environment");
  assert_int_equal(resolve(&s, "o[\"k.k\"]"), DRAY_OK); // relative to the project, also for commands
  assert_string_equal(s.value.data, "from a file");
  close_scene(&s);
}

static void test_a_resolved_secret_is_masked_everywhere(void **state) {
  (void)state;
  struct scene s;
  char text[] = "GET /?token=canary-7f3a9 HTTP/1.1";
  dr_redact_clear();
  open_scene(&s, "    a: !literal canary-7f3a9");
  assert_int_equal(dr_redact(text, strlen(text)), strlen(text)); // not yet known
  assert_int_equal(resolve(&s, "a"), DRAY_OK);
  text[dr_redact(text, strlen(text))] = '\0';
  assert_null(strstr(text, "canary"));
  close_scene(&s);
  dr_redact_clear();
}

struct refusal {
  const char *path;
  int32_t code;
  const char *part; // of the message
};

static void test_refusals_name_the_setting_and_the_reason(void **state) {
  (void)state;
  static const struct refusal refusals[] = {
      {"missing", DRAY_E_CONFIG_MISSING, "`missing` is not given"},
      {"", DRAY_E_CONFIG_MISSING, "not given"},
      {"o.nothing", DRAY_E_CONFIG_MISSING, "`o.nothing`"},
      {"list[5]", DRAY_E_CONFIG_MISSING, "`list[5]`"},
      {"list[x]", DRAY_E_CONFIG_MISSING, "`list[x]`"},
      {"list[0", DRAY_E_CONFIG_MISSING, "`list[0`"},
      {"o[\"x", DRAY_E_CONFIG_MISSING, "not given"},
      {"plain", DRAY_E_CONFIG_SECRET_LITERAL, "`plain`"},
      {"o", DRAY_E_CONFIG_SECRET_LITERAL, "`o`"},
      {"unset", DRAY_E_CONFIG_SECRET_MISSING, "DRAY_TEST_UNSET"},
      {"empty", DRAY_E_CONFIG_SECRET_MISSING, "empty"},
      {"nofile", DRAY_E_CONFIG_SECRET_MISSING, "No such file"},
      {"folder", DRAY_E_CONFIG_SECRET_MISSING, "not a regular file"},
      {"emptyfile", DRAY_E_CONFIG_SECRET_MISSING, "empty"},
      {"nocommand", DRAY_E_CONFIG_SECRET_MISSING, "cannot be run"},
      {"fails", DRAY_E_CONFIG_SECRET_MISSING, "exit code 3"},
      {"killed", DRAY_E_CONFIG_SECRET_MISSING, "signal 9"},
      {"quote", DRAY_E_CONFIG_VALUE, "open quote"},
      {"long", DRAY_E_LIMIT, "65536"},
      {"longfile", DRAY_E_LIMIT, "65536"},
  };
  struct scene s;
  open_scene(&s, "    plain: hunter2\n    list: [!secret env:DRAY_TEST_UNSET]\n    o: {a: 1}\n    unset: !secret "
                 "env:DRAY_TEST_UNSET\n"
                 "    empty: !secret env:DRAY_TEST_EMPTY\n    nofile: !secret file:nofile\n    folder: !secret file:.\n"
                 "    emptyfile: !secret file:emptyfile\n    nocommand: !secret exec:/no/such/command\n"
                 "    fails: !secret exec:sh -c 'echo hunter2; echo hunter2 >&2; exit 3'\n    killed: !secret exec:sh "
                 "-c 'kill -9 $$'\n"
                 "    quote: !secret \"exec:echo 'hunter2\"\n    long: !secret exec:head -c 70000 /dev/zero\n"
                 "    longfile: !secret file:longfile");
  char *large = calloc(1, 65537);
  assert_non_null(large);
  memset(large, 'x', 65537);
  scratch_write(s.folder, "longfile", large, 65537);
  scratch_write(s.folder, "emptyfile", "\n", 1);
  free(large);
  assert_int_equal(unsetenv("DRAY_TEST_UNSET"), 0);
  assert_int_equal(setenv("DRAY_TEST_EMPTY", "", 1), 0);
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
    const int32_t rc = resolve(&s, refusals[i].path);
    if (rc != refusals[i].code || strstr(s.error.text, refusals[i].part) == NULL)
      fail_msg("%s: code %d, \"%s\"", refusals[i].path, rc, s.error.text);
    assert_null(strstr(s.error.text, "hunter2"));
    assert_int_equal(s.value.len, 0);
  }
  close_scene(&s);
}

static void test_a_secret_may_be_as_long_as_the_limit(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, "    a: !secret file:a\n    b: !secret exec:cat a");
  char *text = calloc(1, 65538);
  assert_non_null(text);
  memset(text, 'x', 65536);
  memcpy(text + 65536, "\r\n", 2);
  scratch_write(s.folder, "a", text, 65538);
  assert_int_equal(resolve(&s, "a"), DRAY_OK);
  assert_int_equal(s.value.len, 65536);
  assert_int_equal(resolve(&s, "b"), DRAY_OK);
  assert_int_equal(s.value.len, 65536);
  free(text);
  close_scene(&s);
  dr_redact_clear();
}

// No shell: what would be syntax there is an argument here.
static void test_commands_are_split_without_a_shell(void **state) {
  (void)state;
  struct scene s;
  open_scene(
      &s,
      "    a: !secret exec:printf [%s] $HOME '*' \"a  b\" c\\ d ; | e''f \"\"\n    b: !secret exec:printf %s \"it's\"\n"
      "    c: !secret exec:printf '\\'%s x");
  assert_int_equal(resolve(&s, "a"), DRAY_OK);
  assert_string_equal(s.value.data, "[$HOME][*][a  b][c d][;][|][ef][]");
  assert_int_equal(resolve(&s, "b"), DRAY_OK);
  assert_string_equal(s.value.data, "it's");
  close_scene(&s);
}

static void test_a_command_sees_no_terminal_input_and_no_open_files(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, "    a: !secret exec:sh -c 'cat; ls /proc/self/fd | wc -l'");
  const int held = dup(0); // without close-on-exec
  assert_true(held > 2);
  assert_int_equal(resolve(&s, "a"), DRAY_OK);
  assert_string_equal(s.value.data, "4"); // 0, 1, 2, and the folder that ls reads
  (void)close(held);
  close_scene(&s);
}

static void test_a_command_that_hangs_is_ended_with_its_children(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, "    a: !secret exec:sh -c 'sleep 600 & sleep 600'\n    b: !secret exec:sh -c 'exec >&-; sleep 600'");
  const int64_t before = dr_secret_timeout_ms, start = dr_monotonic_ms();
  dr_secret_timeout_ms = 200;
  assert_int_equal(resolve(&s, "a"), DRAY_E_CONFIG_SECRET_MISSING);
  assert_non_null(strstr(s.error.text, "did not end"));
  assert_int_equal(resolve(&s, "b"), DRAY_E_CONFIG_SECRET_MISSING); // closes its output and stays
  assert_non_null(strstr(s.error.text, "did not end"));
  dr_secret_timeout_ms = before;
  assert_true(dr_monotonic_ms() - start < 300000);
  close_scene(&s);
}

static void test_a_file_that_others_can_read_still_works(void **state) {
  (void)state;
  struct scene s;
  char path[4096];
  open_scene(&s, "    a: !secret file:open");
  scratch_write(s.folder, "open", "value", 5);
  (void)snprintf(path, sizeof(path), "%s/open", s.folder);
  assert_int_equal(chmod(path, 0644), 0);
  assert_int_equal(resolve(&s, "a"), DRAY_OK); // with a warning in the log
  assert_string_equal(s.value.data, "value");
  close_scene(&s);
}

// Last: the flag cannot be taken back.
static void test_cancelling_ends_the_wait_for_a_command(void **state) {
  (void)state;
  struct scene s;
  open_scene(&s, "    a: !secret exec:sleep 600");
  const int64_t start = dr_monotonic_ms();
  dr_cancel_request();
  assert_int_equal(resolve(&s, "a"), DRAY_E_CANCELLED);
  assert_true(dr_monotonic_ms() - start < 300000);
  close_scene(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_secrets_come_from_where_they_are_kept),
      cmocka_unit_test(test_a_resolved_secret_is_masked_everywhere),
      cmocka_unit_test(test_refusals_name_the_setting_and_the_reason),
      cmocka_unit_test(test_a_secret_may_be_as_long_as_the_limit),
      cmocka_unit_test(test_commands_are_split_without_a_shell),
      cmocka_unit_test(test_a_command_sees_no_terminal_input_and_no_open_files),
      cmocka_unit_test(test_a_command_that_hangs_is_ended_with_its_children),
      cmocka_unit_test(test_a_file_that_others_can_read_still_works),
      cmocka_unit_test(test_cancelling_ends_the_wait_for_a_command),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
