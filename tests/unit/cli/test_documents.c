// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the table becomes: help, man page, completion, explanations.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

// Calls `check` for every command that is shown, with its full name.
static void for_each_command(const struct dr_command *command, const char *name,
                             void (*check)(const struct dr_command *command, const char *name)) {
  check(command, name);
  for (size_t i = 0; i < command->command_count; i++) {
    char below[96];
    if (command->commands[i].hidden) continue;
    (void)snprintf(below, sizeof(below), "%s %s", name, command->commands[i].name);
    for_each_command(&command->commands[i], below, check);
  }
}

static void check_help(const struct dr_command *command, const char *name) {
  char line[128], two[128];
  (void)snprintf(line, sizeof(line), "%s --help", name);
  (void)snprintf(two, sizeof(two), "dray help%s", name + strlen("dray"));
  struct ran ran = run_line(&dr_root, line), other = run_line(&dr_root, two);
  assert_int_equal(ran.code, 0);
  assert_string_equal(ran.data, other.data); // both ways say the same
  for (size_t i = 0; i < command->option_count; i++) {
    (void)snprintf(line, sizeof(line), "--%s", command->options[i].name);
    assert_non_null(strstr(ran.data, line));
  }
  for (size_t i = 0; i < command->command_count; i++) {
    (void)snprintf(line, sizeof(line), "\n  %s ", command->commands[i].name);
    assert_true((strstr(ran.data, line) != NULL) == !command->commands[i].hidden);
  }
  for (const char *at = ran.data; *at != '\0';) { // fits a terminal
    const size_t len = strcspn(at, "\n");
    if (len > 80) fail_msg("a line of the help of %s has %zu columns: %.*s", name, len, (int)len, at);
    at += len + (at[len] != '\0');
  }
  ran_free(&ran);
  ran_free(&other);
}

static void test_every_command_has_help(void **state) {
  (void)state;
  for_each_command(&dr_root, "dray", check_help);
}

// A table that says what cannot be (an option twice, arguments that no one can give) would mislead everywhere.
static void check_row(const struct dr_command *command, const char *name) {
  assert_non_null(command->summary);
  assert_true(command->run != NULL || command->command_count > 0);
  assert_true(command->positional_min <= command->positional_max);
  assert_true((command->arguments != NULL) == (command->positional_max > 0));
  assert_true(strlen(name) < sizeof(((struct dr_command_call *)NULL)->name));
  for (size_t i = 0; i < command->option_count; i++) {
    for (size_t k = 0; k < i; k++) assert_string_not_equal(command->options[i].name, command->options[k].name);
    for (size_t k = 0; command != &dr_root && k < dr_root.option_count; k++)
      assert_string_not_equal(command->options[i].name, dr_root.options[k].name);
  }
}

static void test_the_table_is_sound(void **state) {
  (void)state;
  static const char *const wanted[] = {"init", "check", "diff",   "discover", "plan",       "sync", "status",
                                       "rows", "state", "plugin", "explain",  "completion", "help"};
  for_each_command(&dr_root, "dray", check_row);
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) assert_non_null(dr_command_find(&dr_root, wanted[i]));
}

static const char *manual;

static void check_in_manual(const struct dr_command *command, const char *name) {
  char line[160];
  if (command->run != NULL) {
    (void)snprintf(line, sizeof(line), ".SS \\fB%s\\fR", name);
    if (strstr(manual, line) == NULL) fail_msg("%s is not in the man page", name);
  }
  for (size_t i = 0; i < command->option_count; i++) {
    size_t len = (size_t)snprintf(line, sizeof(line), "\\fB\\-\\-");
    for (const char *p = command->options[i].name; *p != '\0'; p++)
      len += (size_t)snprintf(line + len, sizeof(line) - len, *p == '-' ? "\\%c" : "%c", *p);
    if (strstr(manual, line) == NULL) fail_msg("--%s is not in the man page", command->options[i].name);
  }
}

static void test_the_man_page_holds_every_command_and_option(void **state) {
  (void)state;
  struct ran ran = run_line(&dr_root, "dray help --man");
  assert_int_equal(ran.code, 0);
  assert_int_equal(strncmp(ran.data, ".TH DRAY 1 ", 11), 0);
  assert_non_null(strstr(ran.data, "1.2.3"));
  manual = ran.data;
  for_each_command(&dr_root, "dray", check_in_manual);
  for (const char *at = ran.data; (at = strstr(at, "\n'")) != NULL; at++)
    assert_int_equal(at[2], '\\'); // no stray requests
  ran_free(&ran);
}

static const char *script;

static void check_in_script(const struct dr_command *command, const char *name) {
  assert_non_null(strstr(script, name));
  for (size_t i = 0; i < command->option_count; i++) assert_non_null(strstr(script, command->options[i].name));
}

static void test_every_shell_gets_every_command_and_option(void **state) {
  (void)state;
  static const char *const lines[] = {"dray completion bash", "dray completion zsh", "dray completion fish"};
  for (size_t i = 0; i < 3; i++) {
    struct ran ran = run_line(&dr_root, lines[i]);
    assert_int_equal(ran.code, 0);
    script = ran.data;
    for_each_command(&dr_root, "dray", check_in_script);
    ran_free(&ran);
  }
}

struct completed {
  const char *words; // the last one is being typed
  const char *reply;
};

static char *output_of_bash(const char *command) {
  int ends[2], status = 0;
  assert_int_equal(pipe(ends), 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    (void)dup2(ends[1], 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)execl("/bin/bash", "bash", "--norc", "-c", command, (char *)NULL);
    _exit(127);
  }
  (void)close(ends[1]);
  struct dray_buffer out;
  dray_buffer_init(&out, 65536);
  for (;;) {
    char *to = NULL;
    assert_int_equal(dray_buffer_reserve(&out, 1024, &to, NULL), DRAY_OK);
    const ssize_t n = read(ends[0], to, 1024);
    assert_true(n >= 0);
    if (n == 0) break;
    out.len += (size_t)n;
  }
  (void)close(ends[0]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  char *text = dray_str_dup(dray_buffer_view(&out));
  dray_buffer_free(&out);
  return text;
}

// The bash script does its work in a real bash; `dray` in it is a stand-in that knows two syncs.
static void test_bash_completes(void **state) {
  (void)state;
  static const struct completed cases[] = {
      {"dray s", "sync status state"},
      {"dray state ''", "show verify reset baseline rebuild"},
      {"dray sync ''", "alpha beta"},
      {"dray sync be", "beta"},
      {"dray sync --al", "--all --allow-guard"},
      {"dray -C somewhere plan --s", "--samples"},
      {"dray rows r", "retry resolve"},
      {"dray diff --du", "--duplicates"},
      {"dray rows retry ''", "alpha beta"},
      {"dray completion ''", "bash zsh fish"},
      {"dray check --connection ''", "alpha beta"},
      {"dray help pl", "plan plugin"},
  };
  if (access("/bin/bash", X_OK) != 0) {
    assert_null(getenv("CI"));
    print_message("skipped: there is no bash\n");
    return;
  }
  char *folder = folder_new();
  char path[4096], command[8192];
  struct ran ran = run_line(&dr_root, "dray completion bash");
  (void)snprintf(path, sizeof(path), "%s/test.bash", folder);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  (void)fprintf(
      file,
      "dray() { echo alpha beta; }\n%s\nCOMP_WORDS=(\"$@\")\nCOMP_CWORD=$(($# - 1))\n_dray\necho \"${COMPREPLY[*]}\"\n",
      ran.data);
  assert_int_equal(fclose(file), 0);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    (void)snprintf(command, sizeof(command), "source %s %s", path, cases[i].words);
    char *reply = output_of_bash(command);
    reply[strcspn(reply, "\n")] = '\0';
    assert_string_equal(reply, cases[i].reply);
    free(reply);
  }
  ran_free(&ran);
  folder_free(folder);
}

static void test_explanations_by_name_number_and_message(void **state) {
  (void)state;
  static const char *const lines[] = {"dray explain 104", "dray explain CONFIG-TYPE",
                                      "dray explain error[config-type]"};
  for (size_t i = 0; i < 3; i++) {
    struct ran ran = run_line(&dr_root, lines[i]);
    assert_int_equal(ran.code, 0);
    assert_int_equal(strncmp(ran.data, "config_type (104)\n", 18), 0);
    assert_non_null(strstr(ran.data, "exit code       4\n"));
    ran_free(&ran);
  }
}

static void test_all_errors_are_listed(void **state) {
  (void)state;
  size_t count = 0, lines = 0;
  const struct dray_error_info *infos = dray_error_table(&count);
  struct ran ran = run_line(&dr_root, "dray explain"), json = run_line(&dr_root, "dray explain --json");
  for (const char *at = ran.data; (at = strchr(at, '\n')) != NULL; at++) lines++;
  assert_int_equal(lines, count + 1);
  for (size_t i = 0; i < count; i++) assert_non_null(strstr(ran.data, infos[i].name));
  lines = 0;
  for (const char *at = json.data; (at = strchr(at, '\n')) != NULL; at++) lines++;
  assert_int_equal(lines, count);
  ran_free(&ran);
  ran_free(&json);
}

static void test_names_for_completion_come_from_the_project(void **state) {
  (void)state;
  char line[4096];
  char *folder = folder_new();
  (void)snprintf(line, sizeof(line), "dray init %s", folder);
  struct ran ran = run_line(&dr_root, line);
  assert_int_equal(ran.code, 0);
  ran_free(&ran);
  (void)snprintf(line, sizeof(line), "dray completion names connections -C %s", folder);
  ran = run_line(&dr_root, line);
  assert_string_equal(ran.data, "files\nwarehouse\n");
  ran_free(&ran);
  ran = run_line(&dr_root, "dray completion names syncs -C /nonexistent");
  assert_int_equal(ran.code, 0); // a person is typing: silence
  assert_string_equal(ran.data, "");
  assert_string_equal(ran.messages, "");
  ran_free(&ran);
  folder_free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_command_has_help),
      cmocka_unit_test(test_the_table_is_sound),
      cmocka_unit_test(test_the_man_page_holds_every_command_and_option),
      cmocka_unit_test(test_every_shell_gets_every_command_and_option),
      cmocka_unit_test(test_bash_completes),
      cmocka_unit_test(test_explanations_by_name_number_and_message),
      cmocka_unit_test(test_all_errors_are_listed),
      cmocka_unit_test(test_names_for_completion_come_from_the_project),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
