// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the user sees for every kind of mistake: each folder below golden/ is a project with mistakes, and
// expected.txt is
// exactly what dray prints about it. schema.json, when there is one, is the settings schema of every connection. The
// text
// "hunter2" in a project is a secret that must never be shown, whole or in part, not even when the file is cut
// anywhere.
// DRAY_GOLDEN_UPDATE=1 rewrites the expectations.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "scratch.h"

#define CANARY "hunter2"

static const char *golden_folder(void) {
  static char folder[4096];
  const char *slash = strrchr(__FILE__, '/');
  (void)snprintf(folder, sizeof(folder), "%.*s/golden", (int)(slash - __FILE__), __FILE__);
  return folder;
}

static char *read_text(const char *folder, const char *name, size_t *out_len) {
  struct dray_buffer text;
  char path[8192];
  (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (!dr_file_exists(path)) return NULL;
  dray_buffer_init(&text, 16u << 20);
  assert_int_equal(dr_file_read(path, 4u << 20, &text, NULL), DRAY_OK);
  char *copy = dray_str_dup(dray_buffer_view(&text));
  if (out_len != NULL) *out_len = text.len;
  dray_buffer_free(&text);
  return copy;
}

// Everything that is said about a project, as text or as JSON.
static char *what_is_said(const char *folder, const char *schema, int json) {
  struct dr_project *project = NULL;
  struct dray_error error;
  dray_error_init(&error);
  const int32_t rc = dr_project_load(folder, &project, &error);
  if (rc != DRAY_OK) {
    char *text = malloc(DRAY_ERROR_TEXT_MAX + 64);
    assert_non_null(text);
    (void)snprintf(text, DRAY_ERROR_TEXT_MAX + 64, "error[%s]\n", dray_error_info(rc)->name);
    return text;
  }
  for (size_t i = 0; schema != NULL && i < project->connection_count; i++) {
    const struct dr_connection *connection = &project->connections[i];
    assert_int_equal(
        dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of(schema), &error),
        DRAY_OK);
  }
  char *text = scratch_problems(project, json);
  dr_project_free(project);
  return text;
}

static void check_case(const char *name) {
  char folder[8192], path[8300];
  (void)snprintf(folder, sizeof(folder), "%s/%s", golden_folder(), name);
  (void)snprintf(path, sizeof(path), "%s/expected.txt", folder);
  char *schema = read_text(folder, "schema.json", NULL);
  char *said = what_is_said(folder, schema, 0);
  if (getenv("DRAY_GOLDEN_UPDATE") != NULL) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    (void)fputs(said, file);
    assert_int_equal(fclose(file), 0);
  }
  char *expected = read_text(folder, "expected.txt", NULL);
  assert_non_null(expected);
  if (strcmp(said, expected) != 0) fail_msg("%s: dray said\n%s--- but was expected to say\n%s", name, said, expected);
  char *json = what_is_said(folder, schema, 1);
  assert_null(strstr(said, CANARY));
  assert_null(strstr(json, CANARY));
  free(json);
  free(expected);
  free(said);
  free(schema);
}

static void for_each_case(void (*check)(const char *name)) {
  size_t cases = 0;
  DIR *dir = opendir(golden_folder());
  assert_non_null(dir);
  for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    check(entry->d_name);
    cases++;
  }
  (void)closedir(dir);
  assert_true(cases >= 20);
}

static void test_mistakes_are_shown_exactly(void **state) {
  (void)state;
  for_each_case(check_case);
}

// dray.yaml cut after every byte: whatever is left of it, there is an orderly answer that shows no secret.
static void check_truncations(const char *name) {
  char folder[8192];
  size_t len = 0;
  (void)snprintf(folder, sizeof(folder), "%s/%s", golden_folder(), name);
  char *yaml = read_text(folder, "dray.yaml", &len);
  char *schema = read_text(folder, "schema.json", NULL);
  if (yaml == NULL || len > 20000) len = 0;
  char *scratch = scratch_new();
  for (size_t cut = 0; cut < len; cut++) {
    scratch_write(scratch, "dray.yaml", yaml, cut);
    char *said = what_is_said(scratch, schema, 0), *json = what_is_said(scratch, schema, 1);
    if (strstr(said, "hunte") != NULL || strstr(json, "hunte") != NULL)
      fail_msg("%s cut after %zu bytes shows the secret:\n%s", name, cut, said);
    free(said);
    free(json);
  }
  scratch_free(scratch);
  free(schema);
  free(yaml);
}

static void test_files_cut_anywhere_show_no_secret(void **state) {
  (void)state;
  for_each_case(check_truncations);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mistakes_are_shown_exactly),
      cmocka_unit_test(test_files_cut_anywhere_show_no_secret),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
