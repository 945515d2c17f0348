// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "compare/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define PREFIX "dray-diff-"
#define LOCK_NAME "lock"
#define OPEN_FOLDERS_MAX 8
#define TRIES_MAX 8

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info;
  (void)kind;
  (void)walk;
  (void)remove(path); // what cannot be removed stays
  return 0;
}

static void remove_tree(const char *path) {
  (void)nftw(path, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

// Removes one folder when it is ours and nobody holds its lock. One without a lock file is just being made.
static void sweep_one(int base, const char *base_path, const char *name) {
  struct stat info;
  if (fstatat(base, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) return;
  const int folder = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const int lock = folder >= 0 ? openat(folder, LOCK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) {
    char *path = dr_path_join(base_path, name);
    if (path != NULL) remove_tree(path);
    free(path);
  }
  if (lock >= 0) (void)close(lock);
  if (folder >= 0) (void)close(folder);
}

static void sweep(const char *base_path) {
  DIR *base = opendir(base_path);
  for (const struct dirent *entry = base != NULL ? readdir(base) : NULL; entry != NULL; entry = readdir(base)) {
    if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0) sweep_one(dirfd(base), base_path, entry->d_name);
  }
  if (base != NULL) (void)closedir(base);
}

// *out_lock = -1 when another process swept the folder away between its making and its locking.
static int32_t lock_folder(const char *path, int *out_lock, struct dray_error *error) {
  char *name = dr_path_join(path, LOCK_NAME);
  struct stat info;
  if (name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  const int lock = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  int32_t rc = DRAY_OK;
  if (lock < 0 && errno != ENOENT) rc = dr_fail_errno(error, "make", name);
  free(name);
  const int mine = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && fstat(lock, &info) == 0 && info.st_nlink > 0;
  if (!mine && lock >= 0) (void)close(lock);
  *out_lock = mine ? lock : -1;
  return rc;
}

int32_t dr_scratch_folder_make(struct dr_scratch_folder *out, struct dray_error *error) {
  const char *base = getenv("TMPDIR");
  if (base == NULL || base[0] == '\0') base = "/tmp";
  sweep(base);
  for (int i = 0; i < TRIES_MAX; i++) {
    char *path = dr_path_join(base, PREFIX "XXXXXX");
    int lock = -1;
    if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
    int32_t rc = mkdtemp(path) != NULL ? DRAY_OK : dr_fail_errno(error, "make a temporary folder in", base);
    if (rc == DRAY_OK) rc = lock_folder(path, &lock, error);
    if (rc == DRAY_OK && lock >= 0) {
      *out = (struct dr_scratch_folder){path, lock};
      return DRAY_OK;
    }
    if (rc != DRAY_OK) (void)rmdir(path); // empty, or not there
    free(path);
    if (rc != DRAY_OK) return rc;
  }
  return dray_fail(error, DRAY_E_IO, "no temporary folder could be kept in %s", base);
}

void dr_scratch_folder_remove(struct dr_scratch_folder *folder) {
  if (folder->path == NULL) return;
  remove_tree(folder->path);
  (void)close(folder->lock);
  free(folder->path);
  *folder = (struct dr_scratch_folder){NULL, -1};
}
