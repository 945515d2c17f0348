// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Parsing command lines by the real table.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/project.h"
#include "harness.h"

struct line_case {
  const char *line;
  int32_t code;
  const char *data;    // all of stdout; NULL: not looked at
  const char *message; // part of stderr; NULL: stderr must be empty
};

static void check_lines(const struct line_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct ran ran = run_line(&dr_root, cases[i].line);
    if (ran.code != cases[i].code) fail_msg("%s: exit %d\n%s%s", cases[i].line, ran.code, ran.data, ran.messages);
    if (cases[i].data != NULL) assert_string_equal(ran.data, cases[i].data);
    if (cases[i].message == NULL) {
      assert_string_equal(ran.messages, "");
    } else if (strstr(ran.messages, cases[i].message) == NULL) {
      fail_msg("%s: \"%s\" is not in\n%s", cases[i].line, cases[i].message, ran.messages);
    }
    ran_free(&ran);
  }
}
#define CHECK_LINES(cases) check_lines((cases), sizeof(cases) / sizeof((cases)[0]))

static void test_words_reach_the_command_they_are_for(void **state) {
  (void)state;
  static const struct line_case cases[] = {
      {"dray sync a b", 0, "dray sync [a] [b]\n", NULL},
      {"dray sync --all --full-refresh", 0, "dray sync all= full-refresh=\n", NULL},
      {"dray --all sync", 4, "", "`dray` has no option --all"},
      {"dray sync a --dry-run", 0, "dray sync [a] dry-run=\n", NULL},
      {"dray -C x sync", 0, "dray sync project=x\n", NULL},
      {"dray sync -Cx a", 0, "dray sync [a] project=x\n", NULL},
      {"dray sync --project=x=y", 0, "dray sync project=x=y\n", NULL},
      {"dray -vvq check", 0, "dray check verbose= verbose= quiet=\n", NULL},
      {"dray plan --samples 3 --samples=4", 0, "dray plan samples=3 samples=4\n", NULL},
      {"dray sync -- --all -x", 0, "dray sync [--all] [-x]\n", NULL},
      {"dray sync -", 0, "dray sync [-]\n", NULL},
      {"dray rows a", 0, "dray rows [a]\n", NULL},
      {"dray rows retry a", 0, "dray rows retry [a]\n", NULL},
      {"dray rows -- retry", 0, "dray rows [retry]\n", NULL}, // a sync of that name
      {"dray rows resolve a --applied", 0, "dray rows resolve [a] applied=\n", NULL},
      {"dray state baseline a --yes", 0, "dray state baseline [a] yes=\n", NULL},
      {"dray plugin test ./x.so --config c.yaml --only spec", 0, "dray plugin test [./x.so] config=c.yaml only=spec\n",
       NULL},
      {"dray plugin new my_plugin --dir=d", 0, "dray plugin new [my plugin] dir=d\n", NULL},
      {"dray status", 0, "dray status\n", NULL},
      {"dray diff a.csv b.csv -k id,day -f csv --types=p=decimal(1,0) --no-sieve", 0,
       "dray diff [a.csv] [b.csv] key=id,day format=csv types=p=decimal(1,0) no-sieve=\n", NULL},
      {"dray diff a.csv", 4, "", "OLD NEW"},
      {"dray discover shop --json", 0, "dray discover [shop] json=\n", NULL},
  };
  CHECK_LINES(cases);
}

static void test_mistakes_name_the_nearest(void **state) {
  (void)state;
  static const struct line_case cases[] = {
      {"dray", 4, "", "`dray` needs a command"},
      {"dray snyc", 4, "", "did you mean \"sync\"?"},
      {"dray frobnicate", 4, "", "`dray` has no command \"frobnicate\""},
      {"dray sync --full-refersh", 4, "", "did you mean \"--full-refresh\"?"},
      {"dray sync --full-refersh", 4, "", "fix: `dray sync --help` shows what it takes"},
      {"dray sync --jsno", 4, "", "did you mean \"--json\"?"}, // global ones are near as well
      {"dray sync -x", 4, "", "`dray sync` has no option -x"},
      {"dray state", 4, "", "`dray state` needs a command"},
      {"dray state rest a", 4, "", "did you mean \"reset\"?"},
      {"dray state show", 4, "", "`dray state show` needs SYNC"},
      {"dray state show a b", 4, "", "no further \"b\""},
      {"dray check shop", 4, "", "`dray check` takes no argument: \"shop\""},
      {"dray plan --samples", 4, "", "--samples needs a value: --samples N"},
      {"dray -C", 4, "", "-C needs a value: -C DIR"},
      {"dray sync --all=yes", 4, "", "--all takes no value"},
      {"dray rows --limit 5 retry a", 4, "", "`dray rows retry` has no option --limit"},
      {"dray help sync now", 4, "", "`dray sync` has no command \"now\""},
      {"dray explain no_such_thing_at_all", 4, "", "there is no error"},
      {"dray completion tcsh", 4, "", "bash, zsh or fish"},
  };
  CHECK_LINES(cases);
}

static void test_a_mistake_with_json_is_one_object_on_stdout(void **state) {
  (void)state;
  struct ran ran = run_line(&dr_root, "dray --bad --json");
  assert_int_equal(ran.code, 4);
  assert_string_equal(ran.messages, "");
  assert_string_equal(ran.data, "{\"v\":1,\"type\":\"error\",\"code\":100,\"name\":\"usage\",\"class\":\"config\","
                                "\"text\":\"`dray` has no option "
                                "--bad\",\"fix\":\"`dray --help` shows what it takes\",\"exit_code\":4}\n");
  ran_free(&ran);
}

static void test_help_and_version_win_over_missing_arguments(void **state) {
  (void)state;
  struct ran ran = run_line(&dr_root, "dray state show --help");
  assert_int_equal(ran.code, 0);
  assert_non_null(strstr(ran.data, "Usage: dray state show SYNC\n"));
  assert_string_equal(ran.messages, "");
  ran_free(&ran);
  ran = run_line(&dr_root, "dray sync --version");
  assert_int_equal(ran.code, 0);
  assert_string_equal(ran.data, "dray 1.2.3 (plugin ABI 1.2)\n");
  ran_free(&ran);
  ran = run_line(&dr_root, "dray --version --json");
  assert_string_equal(ran.data,
                      "{\"v\":1,\"type\":\"version\",\"version\":\"1.2.3\",\"abi_major\":1,\"abi_minor\":2}\n");
  ran_free(&ran);
}

static void test_too_many_options_are_refused_not_overrun(void **state) {
  (void)state;
  char line[1024] = "dray sync";
  for (int i = 0; i <= DR_GIVEN_MAX; i++) strncat(line, " -q", sizeof(line) - strlen(line) - 1);
  struct ran ran = run_line(&dr_root, line);
  assert_int_equal(ran.code, 4);
  assert_non_null(strstr(ran.messages, "more than 64 options"));
  ran_free(&ran);
}

// ---- what commands ask of their call: a table of the test's own ----

static int32_t number(struct dr_command_call *call) {
  uint64_t value = 77;
  if (dr_option_number(call, "n", 1, 100, &value) != 0) return DR_EXIT_USAGE;
  dr_print(call->output, "%llu\n", (unsigned long long)value);
  return 0;
}

static int32_t choose(struct dr_command_call *call) {
  struct dr_project *project = NULL;
  size_t *chosen = NULL, count = 0;
  int32_t code = dr_command_project(call, &project);
  if (code != 0) return code;
  code = dr_command_syncs(call, project, 1, &chosen, &count);
  for (size_t i = 0; code == 0 && i < count; i++) dr_print(call->output, "%s\n", project->syncs[chosen[i]].name);
  free(chosen);
  dr_project_free(project);
  return code;
}

static const struct dr_option own_globals[] = {{"project", 'C', "DIR", "", 0}, {"json", 0, NULL, "", 0}};
static const struct dr_option own_options[] = {{"n", 0, "N", "", 0}};
static const struct dr_command own_commands[] = {
    {.name = "number", .summary = "", .options = own_options, .option_count = 1, .run = number},
    {.name = "choose", .summary = "", .positional_max = 9, .run = choose},
};
static const struct dr_command own_root = {.name = "dray",
                                           .summary = "",
                                           .options = own_globals,
                                           .option_count = 2,
                                           .commands = own_commands,
                                           .command_count = 2};

static void test_numbers_are_checked(void **state) {
  (void)state;
  static const char *const bad[] = {"dray number --n 0", "dray number --n 101", "dray number --n -1",
                                    "dray number --n x", "dray number --n=",    "dray number --n 99999999999999999999"};
  struct ran ran = run_line(&own_root, "dray number");
  assert_string_equal(ran.data, "77\n");
  ran_free(&ran);
  ran = run_line(&own_root, "dray number --n 100");
  assert_string_equal(ran.data, "100\n");
  ran_free(&ran);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    ran = run_line(&own_root, bad[i]);
    assert_int_equal(ran.code, 4);
    assert_non_null(strstr(ran.messages, "--n is a number from 1 to 100"));
    ran_free(&ran);
  }
}

static void write_yaml(const char *folder, const char *text) {
  char path[4096];
  (void)snprintf(path, sizeof(path), "%s/dray.yaml", folder);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  (void)fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static struct ran choose_in(const char *folder, const char *names) {
  char line[4096];
  (void)snprintf(line, sizeof(line), "dray -C %s choose %s", folder, names);
  return run_line(&own_root, line);
}

static void test_syncs_are_chosen_by_name_and_stream(void **state) {
  (void)state;
  char *folder = folder_new();
  write_yaml(folder, "version: 1\nconnections: {a: {plugin: p}}\nsyncs:\n"
                     "  shop: {from: {connection: a, streams: [x, y]}, to: {connection: a}}\n"
                     "  shopping: {from: {connection: a, stream: z}, to: {connection: a}}\n");
  struct ran ran = choose_in(folder, "");
  assert_string_equal(ran.data, "shop.x\nshop.y\nshopping\n");
  ran_free(&ran);
  ran = choose_in(folder, "shop");
  assert_string_equal(ran.data, "shop.x\nshop.y\n"); // not shopping
  ran_free(&ran);
  ran = choose_in(folder, "shopping shop.y shopping");
  assert_string_equal(ran.data, "shop.y\nshopping\n"); // in the config's order, each once
  ran_free(&ran);
  ran = choose_in(folder, "shop shoping");
  assert_int_equal(ran.code, 4);
  assert_string_equal(ran.data, "");
  assert_non_null(strstr(ran.messages, "the project has no sync \"shoping\""));
  assert_non_null(strstr(ran.messages, "did you mean \"shopping\"?"));
  ran_free(&ran);
  folder_free(folder);
}

static void test_a_project_with_problems_prints_them_and_exits_with_4(void **state) {
  (void)state;
  char line[4096];
  char *folder = folder_new();
  write_yaml(folder, "version: 1\nsnycs: {}\n");
  struct ran ran = choose_in(folder, "");
  assert_int_equal(ran.code, 4);
  assert_string_equal(ran.data, "");
  assert_non_null(strstr(ran.messages, "dray.yaml:2:1: error[config_unknown_key]"));
  ran_free(&ran);
  (void)snprintf(line, sizeof(line), "dray -C %s choose --json", folder);
  ran = run_line(&own_root, line);
  assert_int_equal(ran.code, 4);
  assert_string_equal(ran.messages, "");
  assert_non_null(strstr(ran.data, "\"type\":\"problem\""));
  ran_free(&ran);
  ran = choose_in("/nonexistent", "");
  assert_int_equal(ran.code, 4);
  assert_non_null(strstr(ran.messages, "error[config_no_project]"));
  ran_free(&ran);
  folder_free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words_reach_the_command_they_are_for),
      cmocka_unit_test(test_mistakes_name_the_nearest),
      cmocka_unit_test(test_a_mistake_with_json_is_one_object_on_stdout),
      cmocka_unit_test(test_help_and_version_win_over_missing_arguments),
      cmocka_unit_test(test_too_many_options_are_refused_not_overrun),
      cmocka_unit_test(test_numbers_are_checked),
      cmocka_unit_test(test_syncs_are_chosen_by_name_and_stream),
      cmocka_unit_test(test_a_project_with_problems_prints_them_and_exits_with_4),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
