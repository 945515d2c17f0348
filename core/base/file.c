// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Durable files.
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"

#define PATH_BYTES_MAX 4096
#define READ_STEP_BYTES 65536

int32_t dr_fail_errno(struct dray_error *error, const char *doing, const char *path) {
  const int number = errno;
  char reason[128];
  const char *text = strerror_r(number, reason, sizeof(reason)); // the GNU one: returns the text
  const int32_t code = number == ENOSPC || number == EDQUOT ? DRAY_E_DISK_FULL : DRAY_E_IO;
  return dray_fail(error, code, "cannot %s %s: %s", doing, path, text);
}

static int32_t step(const char *name, const char *doing, const char *path, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, doing, path);
}

int32_t dr_file_read(const char *path, uint64_t bytes_max, struct dray_buffer *out, struct dray_error *error) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return dr_fail_errno(error, "open", path);
  int32_t rc = DRAY_OK;
  uint64_t total = 0;
  for (;;) {
    char *to = NULL;
    rc = dray_buffer_reserve(out, READ_STEP_BYTES, &to, error);
    if (rc != DRAY_OK) break;
    const ssize_t n = read(fd, to, READ_STEP_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      rc = dr_fail_errno(error, "read", path);
      break;
    }
    if (n == 0) break;
    out->len += (size_t)n;
    out->data[out->len] = '\0';
    total += (uint64_t)n;
    if (total > bytes_max) {
      rc = dray_fail(error, DRAY_E_LIMIT, "%s is larger than %llu bytes", path, (unsigned long long)bytes_max);
      break;
    }
  }
  (void)close(fd);
  return rc;
}

int32_t dr_fd_write(int fd, const void *data, size_t len, const char *path, struct dray_error *error) {
  DRAY_TRY(step("file.write", "write", path, error));
  const char *from = data;
  while (len > 0) {
    const ssize_t n = write(fd, from, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return dr_fail_errno(error, "write", path);
    from += n;
    len -= (size_t)n;
  }
  return DRAY_OK;
}

int32_t dr_fd_pread(int fd, void *data, size_t len, uint64_t offset, const char *path, struct dray_error *error) {
  DRAY_TRY(step("file.read", "read", path, error));
  char *to = data;
  while (len > 0) {
    const ssize_t n = pread(fd, to, len, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return dr_fail_errno(error, "read", path);
    if (n == 0)
      return dray_fail(error, DRAY_E_IO, "%s ends before byte %llu", path, (unsigned long long)(offset + len));
    to += n;
    offset += (uint64_t)n;
    len -= (size_t)n;
  }
  return DRAY_OK;
}

int32_t dr_fd_sync(int fd, const char *path, struct dray_error *error) {
  DRAY_TRY(step("file.sync", "sync", path, error));
  while (fsync(fd) != 0) {
    if (errno != EINTR) return dr_fail_errno(error, "sync", path);
  }
  return DRAY_OK;
}

int32_t dr_folder_sync(const char *path, struct dray_error *error) {
  const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return dr_fail_errno(error, "open folder", path);
  const int32_t rc = dr_fd_sync(fd, path, error);
  (void)close(fd);
  return rc;
}

int32_t dr_rename(const char *from, const char *to, struct dray_error *error) {
  DRAY_TRY(step("file.rename", "rename", from, error));
  if (rename(from, to) != 0) return dr_fail_errno(error, "rename", from);
  return DRAY_OK;
}

static int32_t folder_of(const char *path, char *out, size_t out_bytes, struct dray_error *error) {
  const char *slash = strrchr(path, '/');
  const int n = slash == NULL   ? snprintf(out, out_bytes, ".")
                : slash == path ? snprintf(out, out_bytes, "/")
                                : snprintf(out, out_bytes, "%.*s", (int)(slash - path), path);
  if (n < 0 || (size_t)n >= out_bytes) return dray_fail(error, DRAY_E_LIMIT, "the path %s is too long", path);
  return DRAY_OK;
}

int32_t dr_file_replace(const char *path, struct dray_str content, struct dray_error *error) {
  char folder[PATH_BYTES_MAX];
  char temporary[PATH_BYTES_MAX];
  DRAY_TRY(folder_of(path, folder, sizeof(folder), error));
  const int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
  if (n < 0 || (size_t)n >= sizeof(temporary)) return dray_fail(error, DRAY_E_LIMIT, "the path %s is too long", path);
  const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return dr_fail_errno(error, "create", temporary);
  int32_t rc = dr_fd_write(fd, content.data, (size_t)content.len, temporary, error);
  if (rc == DRAY_OK) rc = dr_fd_sync(fd, temporary, error);
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", temporary);
  if (rc == DRAY_OK) rc = dr_rename(temporary, path, error);
  if (rc != DRAY_OK) {
    (void)unlink(temporary);
    return rc;
  }
  return dr_folder_sync(folder, error);
}

int32_t dr_folder_make(const char *path, struct dray_error *error) {
  char partial[PATH_BYTES_MAX];
  char parent[PATH_BYTES_MAX];
  const size_t len = strlen(path);
  if (len == 0 || len >= sizeof(partial)) return dray_fail(error, DRAY_E_LIMIT, "the path \"%s\" cannot be used", path);
  for (size_t i = 1; i <= len; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(partial, path, i);
    partial[i] = '\0';
    if (mkdir(partial, 0700) == 0) { // else the folder may be gone after a power cut, with all that was synced in it
      DRAY_TRY(folder_of(partial, parent, sizeof(parent), error));
      DRAY_TRY(dr_folder_sync(parent, error));
    } else if (errno != EEXIST) {
      return dr_fail_errno(error, "make folder", partial);
    }
  }
  struct stat info;
  if (stat(path, &info) != 0) return dr_fail_errno(error, "make folder", path);
  if (!S_ISDIR(info.st_mode)) return dray_fail(error, DRAY_E_IO, "%s is not a folder", path);
  return DRAY_OK;
}

int dr_fd_lock(int fd, uint64_t at) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
  int rc = fcntl(fd, F_OFD_SETLK, &lock);
  while (rc != 0 && errno == EINTR) rc = fcntl(fd, F_OFD_SETLK, &lock);
  if (rc == 0) return 1;
  return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

void dr_fd_unlock(int fd, uint64_t at) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
  (void)fcntl(fd, F_OFD_SETLK, &lock);
}

int dr_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

char *dr_path_join(const char *folder, const char *name) {
  const size_t folder_len = strlen(folder);
  const size_t name_len = strlen(name);
  char *path = malloc(folder_len + name_len + 2);
  if (path == NULL) return NULL;
  memcpy(path, folder, folder_len);
  path[folder_len] = '/';
  memcpy(path + folder_len + 1, name, name_len + 1);
  return path;
}
