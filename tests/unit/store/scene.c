// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int scene_setup(void **state) {
  char *folder = strdup("/tmp/dray-store-XXXXXX");
  *state = folder;
  return folder != NULL && mkdtemp(folder) != NULL ? 0 : -1;
}

int scene_teardown(void **state) {
  char *folder = *state;
  DIR *dir = opendir(folder);
  struct dirent *entry;
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] != '.') unlink(scene_path(folder, entry->d_name));
  }
  if (dir != NULL) closedir(dir);
  rmdir(folder);
  free(folder);
  return 0;
}

char *scene_path(const char *folder, const char *name) {
  static char paths[2][1024];
  static int turn;
  turn = !turn;
  snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
  return paths[turn];
}

void scene_write(const char *path, const void *data, size_t len) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, len), len);
  close(fd);
}

size_t scene_size(const char *path) {
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  return (size_t)info.st_size;
}

pid_t scene_start(const char *role, const char *folder, const char *fault) {
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid > 0) return pid;
  setenv("DRAY_TEST", "1", 1);
  if (fault != NULL) setenv("DRAY_FAULT", fault, 1);
  execl("/proc/self/exe", "child", role, folder, (char *)NULL);
  _exit(99);
}

int scene_wait(pid_t pid) {
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

int scene_run(const char *role, const char *folder, const char *fault) {
  return scene_wait(scene_start(role, folder, fault));
}

void scene_ok_at(int32_t code, const struct dray_error *error, const char *expression, const char *file, int line) {
  if (code == 0) return;
  print_error("%s: code %d: %s\n", expression, code, error->text);
  _fail(file, line);
}
