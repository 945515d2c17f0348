// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Temporary files and memory.
#include "compare/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

#define HUGE_BYTES (UINT64_C(4) << 20)

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

// ---- stores ----

static int32_t open_file(const struct temp_store *store, int *out_fd, char **out_path, struct dray_error *error) {
  if (store->name != NULL) return temp_open_named(store->folder, store->name, out_fd, out_path, error);
  return temp_open(store->folder, out_fd, error);
}

static char *reserve(uint64_t bytes) {
  return bytes < SIZE_MAX - TEMP_SLACK_BYTES ? temp_reserve((size_t)bytes + TEMP_SLACK_BYTES, bytes > HUGE_BYTES)
                                             : NULL;
}

static void drop_file(struct temp_store *store) {
  if (store->path != NULL) (void)unlink(store->path);
  free(store->path);
  if (store->fd >= 0) (void)close(store->fd);
  store->path = NULL;
  store->fd = -1;
}

static void drop_memory(struct temp_store *store) {
  temp_release(store->memory, (size_t)store->limit + TEMP_SLACK_BYTES);
  store->memory = NULL;
  store->limit = 0;
}

int32_t temp_store_open(struct temp_store *store, const char *folder, const char *name, uint64_t limit,
                        struct dray_error *error) {
  struct temp_store made = {.folder = folder, .name = name, .fd = -1};
  if (limit > 0) made.memory = reserve(limit);
  if (made.memory != NULL) made.limit = limit;
  if (made.memory == NULL) DRAY_TRY(open_file(&made, &made.fd, &made.path, error));
  *store = made;
  (void)pthread_rwlock_init(&store->lock, NULL);
  return DRAY_OK;
}

void temp_store_close(struct temp_store *store) {
  if (store->fd < 0 && store->memory == NULL) return;
  drop_file(store);
  drop_memory(store);
  (void)pthread_rwlock_destroy(&store->lock);
}

int32_t temp_store_to_file(struct temp_store *store, uint64_t bytes, struct dray_error *error) {
  if (store->memory == NULL) return DRAY_OK;
  DRAY_TRY(open_file(store, &store->fd, &store->path, error));
  const int32_t rc = temp_write(store->fd, store->memory, (size_t)bytes, 0, store->folder, error);
  if (rc == DRAY_OK) {
    drop_memory(store);
  } else {
    drop_file(store);
  }
  return rc;
}

int32_t temp_store_to_memory(struct temp_store *store, uint64_t bytes, uint64_t limit, struct dray_error *error) {
  if (store->memory != NULL || bytes > limit) return DRAY_OK;
  char *memory = reserve(bytes);
  if (memory == NULL) return DRAY_OK;
  const int32_t rc = dr_fd_pread(store->fd, memory, (size_t)bytes, 0, store->folder, error);
  store->memory = memory;
  store->limit = bytes;
  if (rc == DRAY_OK) {
    drop_file(store);
  } else {
    drop_memory(store);
  }
  return rc;
}

int32_t temp_store_write(struct temp_store *store, const void *data, size_t len, uint64_t offset,
                         struct dray_error *error) {
  int32_t rc = DRAY_OK;
  (void)pthread_rwlock_rdlock(&store->lock);
  const int full = store->memory != NULL && (offset > store->limit || len > store->limit - offset);
  const int in_file = store->memory == NULL;
  if (!full && !in_file) memcpy(store->memory + offset, data, len);
  (void)pthread_rwlock_unlock(&store->lock);
  if (!full && !in_file) return DRAY_OK;
  if (full) {
    // All of the memory goes, also what is not written yet: that will be in its time.
    (void)pthread_rwlock_wrlock(&store->lock);
    rc = temp_store_to_file(store, store->limit, error);
    (void)pthread_rwlock_unlock(&store->lock);
  }
  return rc == DRAY_OK ? temp_write(store->fd, data, len, offset, store->folder, error) : rc;
}

int32_t temp_store_read(const struct temp_store *store, void *out, size_t len, uint64_t offset,
                        struct dray_error *error) {
  if (store->memory == NULL) return dr_fd_pread(store->fd, out, len, offset, store->folder, error);
  memcpy(out, store->memory + offset, len);
  return DRAY_OK;
}
