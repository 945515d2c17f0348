// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Temporary files and memory.
#include "compare/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

static int32_t step(const char *name, const char *doing, const char *path, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, doing, path);
}

int32_t temp_open_named(const char *folder, const char *name, int *out_fd, char **out_path, struct dray_error *error) {
  char last[64];
  (void)snprintf(last, sizeof(last), "dray-%s-XXXXXX", name);
  DRAY_TRY(step("compare.create", "create a file in", folder, error));
  char *path = dr_path_join(folder, last);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of a temporary file");
  const int fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) {
    const int32_t rc = dr_fail_errno(error, "create", path);
    free(path);
    return rc;
  }
  *out_fd = fd;
  *out_path = path;
  return DRAY_OK;
}

int32_t temp_open(const char *folder, int *out_fd, struct dray_error *error) {
  char *path = NULL;
  int fd = -1;
  DRAY_TRY(temp_open_named(folder, "spill", &fd, &path, error));
  (void)unlink(path);
  free(path);
  *out_fd = fd;
  return DRAY_OK;
}

int32_t temp_write(int fd, const void *data, size_t len, uint64_t offset, const char *folder,
                   struct dray_error *error) {
  DRAY_TRY(step("compare.write", "write to a temporary file in", folder, error));
  const char *from = data;
  while (len > 0) {
    const ssize_t n = pwrite(fd, from, len, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return dr_fail_errno(error, "write to a temporary file in", folder);
    from += n;
    offset += (uint64_t)n;
    len -= (size_t)n;
  }
  return DRAY_OK;
}

void *temp_reserve(size_t bytes, int huge) {
  if (dr_fault_point("compare.reserve") != 0) return NULL;
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  if (huge) (void)madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void temp_release(void *memory, size_t bytes) {
  if (memory != NULL) (void)munmap(memory, bytes);
}
