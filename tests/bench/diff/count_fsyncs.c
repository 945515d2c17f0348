// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// For LD_PRELOAD: counts the calls that wait for the disk, and says the number at exit in the file that
// BENCH_FSYNCS names.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

static _Atomic long count;

// dlsym gives an object pointer; ISO C knows no cast from it, POSIX promises that this works.
union symbol {
  void *object;
  int (*of_fd)(int fd);
  int (*of_range)(int fd, off64_t offset, off64_t bytes, unsigned flags);
  int (*of_memory)(void *address, size_t bytes, int flags);
};

static union symbol find(const char *name) {
  atomic_fetch_add(&count, 1);
  return (union symbol){.object = dlsym(RTLD_NEXT, name)};
}

VISIBLE int fsync(int fd) {
  return find("fsync").of_fd(fd);
}
VISIBLE int fdatasync(int fd) {
  return find("fdatasync").of_fd(fd);
}
VISIBLE int syncfs(int fd) {
  return find("syncfs").of_fd(fd);
}
VISIBLE int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
  return find("sync_file_range").of_range(fd, offset, bytes, flags);
}
VISIBLE int msync(void *address, size_t bytes, int flags) {
  return find("msync").of_memory(address, bytes, flags);
}

__attribute__((destructor)) static void say(void) {
  const char *path = getenv("BENCH_FSYNCS");
  FILE *file = path != NULL ? fopen(path, "w") : NULL;
  if (file == NULL) return;
  (void)fprintf(file, "%ld\n", atomic_load(&count));
  (void)fclose(file);
}
