// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The shared part of the tests of core/plugin.
#include "plugin/scene.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int scene_setup(void **state) {
  char path[] = "/tmp/dray-plugin-XXXXXX";
  if (mkdtemp(path) == NULL) return -1;
  *state = dray_str_dup(dray_str_of(path));
  return *state != NULL ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info, (void)kind, (void)walk;
  return remove(path);
}

int scene_teardown(void **state) {
  (void)nftw(*state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  free(*state);
  return 0;
}

char *scene_path(const char *folder, const char *name) {
  static char paths[4][4096];
  static unsigned next;
  char *path = paths[next++ % 4];
  (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
  return path;
}

void scene_write(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, 0644), 0); // whatever the umask
}

void scene_folder(const char *path) {
  assert_int_equal(mkdir(path, 0755), 0);
  assert_int_equal(chmod(path, 0755), 0);
}

void scene_copy(const char *from, const char *to) {
  const int in = open(from, O_RDONLY);
  const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  assert_true(in >= 0 && out >= 0);
  struct stat info;
  assert_int_equal(fstat(in, &info), 0);
  char block[65536];
  for (;;) {
    const ssize_t n = read(in, block, sizeof(block));
    assert_true(n >= 0);
    if (n == 0) break;
    assert_int_equal(write(out, block, (size_t)n), n);
  }
  assert_int_equal(fchmod(out, info.st_mode & 0755), 0);
  (void)close(in);
  (void)close(out);
}

void scene_ok_at(int32_t code, const struct dray_error *error, const char *expression, const char *file, int line) {
  if (code == DRAY_OK) return;
  print_error("%s gave %d (%s): %s\n", expression, code, dray_error_info(code)->name, error->text);
  _fail(file, line);
}

void scene_failed(int32_t code, const struct dray_error *error, int32_t expected, ...) {
  if (code != expected) {
    fail_msg("%s (%s) instead of %s", dray_error_info(code)->name, code != 0 ? error->text : "",
             dray_error_info(expected)->name);
  }
  assert_int_equal(error->code, expected);
  assert_int_equal(error->error_class, dray_error_info(expected)->error_class);
  va_list words;
  va_start(words, expected);
  for (const char *word = va_arg(words, const char *); word != NULL; word = va_arg(words, const char *)) {
    if (strstr(error->text, word) == NULL) fail_msg("\"%s\" does not say \"%s\"", error->text, word);
  }
  va_end(words);
}
