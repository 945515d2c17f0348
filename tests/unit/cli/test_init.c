// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray init`: a project that loads, and nothing overwritten.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "config/project.h"
#include "harness.h"
#include "torture.h"

static struct ran init_in(const char *folder, const char *more) {
  char line[4096];
  const int n = snprintf(line, sizeof(line), "dray init %s%s", folder, more);
  assert_in_range(n, 1, sizeof(line) - 1);
  return run_line(&dr_root, line);
}

static void join(char *out, size_t out_bytes, const char *folder, const char *name) {
  const int n = snprintf(out, out_bytes, "%s/%s", folder, name);
  assert_in_range(n, 1, out_bytes - 1);
}

static int exists(const char *folder, const char *name) {
  char path[4096];
  join(path, sizeof(path), folder, name);
  return dr_file_exists(path);
}

static void write_file(const char *folder, const char *name, const char *text) {
  char path[4096];
  join(path, sizeof(path), folder, name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  (void)fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static char *read_back(const char *folder, const char *name) {
  struct dray_buffer text;
  char path[4096];
  join(path, sizeof(path), folder, name);
  dray_buffer_init(&text, 1 << 20);
  assert_int_equal(dr_file_read(path, 1 << 19, &text, NULL), DRAY_OK);
  char *copy = dray_str_dup(dray_buffer_view(&text));
  dray_buffer_free(&text);
  return copy;
}

static void test_the_new_project_loads_without_problems(void **state) {
  (void)state;
  char below[4096];
  struct dr_project *project = NULL;
  struct dray_error error;
  char *folder = folder_new();
  dray_error_init(&error);
  join(below, sizeof(below), folder, "new/project");
  struct ran ran = init_in(below, "");
  assert_int_equal(ran.code, 0);
  assert_non_null(strstr(ran.data, "/dray.yaml\n"));
  assert_non_null(strstr(ran.messages, "dray sync --all")); // what comes next
  ran_free(&ran);
  assert_int_equal(dr_project_load(below, &project, &error), DRAY_OK);
  assert_int_equal(project->problems.count, 0);
  assert_int_equal(project->sync_count, 1);
  assert_string_equal(project->syncs[0].name, "customers");
  assert_string_equal(project->syncs[0].stream, "customers");
  assert_int_equal(project->syncs[0].mode, DR_MODE_MIRROR);
  const struct dr_node *path = dr_node_get(project->connections[0].settings, "path");
  assert_true(exists(below, path->text.data)); // the example's data is there
  char *ignored = read_back(below, ".gitignore");
  assert_non_null(strstr(ignored, "\n.dray/\n"));
  free(ignored);
  dr_project_free(project);
  folder_free(folder);
}

// Appends the commented lines that begin at `mark`, without their "# ".
static void uncomment(struct dray_buffer *out, const char *yaml, const char *mark) {
  const char *line = strstr(yaml, mark);
  assert_non_null(line);
  while (strncmp(line, "# ", 2) == 0) {
    const size_t len = strcspn(line, "\n") + 1;
    assert_int_equal(dray_buffer_append(out, line + 2, len - 2, NULL), DRAY_OK);
    line += len;
  }
}

static void test_the_commented_example_works_when_uncommented(void **state) {
  (void)state;
  struct dr_project *project = NULL;
  struct dray_error error;
  struct dray_buffer out;
  char *folder = folder_new();
  dray_error_init(&error);
  dray_buffer_init(&out, 1 << 16);
  struct ran ran = init_in(folder, "");
  ran_free(&ran);
  char *yaml = read_back(folder, "dray.yaml");
  assert_int_equal(dray_buffer_append_str(&out, "version: 1\nconnections:\n  warehouse: {plugin: sqlite}\n", NULL),
                   DRAY_OK);
  uncomment(&out, yaml, "#   hook: ");
  uncomment(&out, yaml, "# models:\n");
  assert_int_equal(dray_buffer_append_str(&out, "syncs:\n", NULL), DRAY_OK);
  uncomment(&out, yaml, "#   by_country_to_hook:");
  write_file(folder, "dray.yaml", out.data);
  assert_int_equal(dr_project_load(folder, &project, &error), DRAY_OK);
  if (project->problems.count > 0) fail_msg("%s in\n%s", project->problems.items[0].what, out.data);
  assert_int_equal(project->model_count, 1);
  assert_int_equal(project->sync_count, 1);
  assert_string_equal(project->syncs[0].object, "rows");
  dray_buffer_free(&out);
  dr_project_free(project);
  free(yaml);
  folder_free(folder);
}

static void test_nothing_is_overwritten(void **state) {
  (void)state;
  char *folder = folder_new();
  write_file(folder, "dray.yaml", "mine");
  struct ran ran = init_in(folder, "");
  assert_int_equal(ran.code, 4);
  assert_non_null(strstr(ran.messages, "dray.yaml is there already; nothing was written"));
  ran_free(&ran);
  char *yaml = read_back(folder, "dray.yaml");
  assert_string_equal(yaml, "mine");
  assert_false(exists(folder, "data"));
  assert_false(exists(folder, ".gitignore"));
  free(yaml);
  folder_free(folder);
}

static void test_an_existing_gitignore_stays(void **state) {
  (void)state;
  char *folder = folder_new();
  write_file(folder, ".gitignore", "*.o\n");
  struct ran ran = init_in(folder, " --json");
  assert_int_equal(ran.code, 0);
  assert_null(strstr(ran.data, "gitignore"));
  assert_non_null(strstr(ran.data, "{\"v\":1,\"type\":\"created\""));
  assert_non_null(strstr(ran.messages, ".dray/"));
  ran_free(&ran);
  char *kept = read_back(folder, ".gitignore");
  assert_string_equal(kept, "*.o\n");
  free(kept);
  folder_free(folder);
}

static void test_a_half_written_project_is_taken_back(void **state) {
  (void)state;
  char *folder = folder_new();
  write_file(folder, "data", "a file where the folder goes");
  struct ran ran = init_in(folder, "");
  assert_int_equal(ran.code, 1);
  assert_false(exists(folder, "dray.yaml")); // it was written first
  ran_free(&ran);
  folder_free(folder);
}

static int32_t init_once(void *ctx) {
  char line[4096];
  char *folder = ctx;
  (void)snprintf(line, sizeof(line), "%s/p", folder);
  FILE *sink = fopen("/dev/null", "w");
  struct dr_output output;
  const char *const words[] = {"dray", "init", line, NULL};
  dr_output_init(&output, sink, sink);
  const int32_t code = dr_command_main(&dr_root, "0", 3, words, &output);
  (void)fclose(sink);
  static const char *const made[] = {"dray.yaml", "data/customers.csv", "models/by_country.sql", ".gitignore"};
  for (size_t i = 0; i < 4; i++) {
    char path[8192];
    (void)snprintf(path, sizeof(path), "%s/%s", line, made[i]);
    const int there = access(path, F_OK) == 0;
    if (there) (void)unlink(path);
    if (code == 0) assert_true(there);
  }
  return code;
}

static void test_failing_allocations_are_reported(void **state) {
  (void)state;
  char *folder = folder_new();
  assert_true(torture_every(init_once, folder) > 5);
  folder_free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_new_project_loads_without_problems),
      cmocka_unit_test(test_the_commented_example_works_when_uncommented),
      cmocka_unit_test(test_nothing_is_overwritten),
      cmocka_unit_test(test_an_existing_gitignore_stays),
      cmocka_unit_test(test_a_half_written_project_is_taken_back),
      cmocka_unit_test(test_failing_allocations_are_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
