// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char *scratch_new(void) {
  char *folder = dray_str_dup(dray_str_of("/tmp/dray-config-XXXXXX"));
  assert_non_null(folder);
  assert_non_null(mkdtemp(folder));
  return folder;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info;
  (void)kind;
  (void)walk;
  return remove(path);
}

void scratch_free(char *folder) {
  assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
  free(folder);
}

void scratch_write(const char *folder, const char *path, const char *text, size_t len) {
  char full[4096];
  const int n = snprintf(full, sizeof(full), "%s/%s", folder, path);
  assert_true(n > 0 && (size_t)n < sizeof(full));
  for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(full, 0755);
    *slash = '/';
  }
  FILE *file = fopen(full, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

struct dr_project *scratch_load(char *folder, const char *yaml) {
  struct dr_project *project = NULL;
  struct dray_error error;
  dray_error_init(&error);
  scratch_write(folder, "dray.yaml", yaml, strlen(yaml));
  const int32_t rc = dr_project_load(folder, &project, &error);
  if (rc != DRAY_OK) fail_msg("the project was not loaded: %s", error.text);
  return project;
}

char *scratch_problems(const struct dr_project *project, int json) {
  struct dray_buffer out;
  struct dray_error error;
  dray_error_init(&error);
  dray_buffer_init(&out, 64u << 20);
  assert_int_equal(dr_problems_print(project, json, 0, &out, &error), DRAY_OK);
  char *text = dray_str_dup(dray_buffer_view(&out));
  assert_non_null(text);
  dray_buffer_free(&out);
  return text;
}
