// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The lease of a sync's folder. The lock decides; the file's text only says who to wait for.
#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

#define TEXT_BYTES_MAX 128
#define READ_TRIES 5
#define READ_PAUSE_NS 10000000

// The holder writes its text right after it took the lock: wait a moment for it.
static int read_holder(int fd, long long *out_pid, char since[32]) {
  for (int i = 0; i < READ_TRIES; i++) {
    char text[TEXT_BYTES_MAX + 1];
    const ssize_t len = pread(fd, text, TEXT_BYTES_MAX, 0);
    if (len > 0) {
      text[len] = '\0';
      if (text[len - 1] == '\n' && sscanf(text, "pid %lld since %31s", out_pid, since) == 2) return 1;
    }
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = READ_PAUSE_NS};
    nanosleep(&pause, NULL);
  }
  return 0;
}

static int32_t fail_locked(int fd, const char *path, struct dray_error *error) {
  long long pid = 0;
  char since[32] = "";
  if (!read_holder(fd, &pid, since))
    return dray_fail(error, DRAY_E_LOCKED, "another process holds %s; it has just begun", path);
  return dray_fail(error, DRAY_E_LOCKED, "process %lld holds %s since %s", pid, path, since);
}

static int32_t write_holder(int fd, const char *path, struct dray_error *error) {
  char text[TEXT_BYTES_MAX];
  const time_t now = time(NULL);
  struct tm utc;
  char since[32];
  if (gmtime_r(&now, &utc) == NULL || strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
    return dray_fail(error, DRAY_E_INTERNAL, "the clock gives no date for %s", path);
  }
  const int len = snprintf(text, sizeof text, "pid %lld since %s\n", (long long)getpid(), since);
  if (ftruncate(fd, 0) != 0) return dr_fail_errno(error, "truncate", path);
  return dr_fd_write(fd, text, (size_t)len, path, error);
}

int32_t dr_lease_take(const char *folder, struct dr_lease *out, struct dray_error *error) {
  DRAY_TRY(dr_folder_make(folder, error));
  char *path = dr_path_join(folder, "lease");
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to lock %s", folder);
  int32_t code = DRAY_OK;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    code = dr_fail_errno(error, "open", path);
  } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    code = errno == EWOULDBLOCK ? fail_locked(fd, path, error) : dr_fail_errno(error, "lock", path);
  } else {
    code = write_holder(fd, path, error);
  }
  if (code == DRAY_OK) {
    out->fd = fd;
  } else if (fd >= 0) {
    close(fd);
  }
  free(path);
  return code;
}

// The file stays: removing it would let two processes lock two files of the same name.
void dr_lease_drop(struct dr_lease *lease) {
  if (lease->fd < 0) return;
  const int emptied = ftruncate(lease->fd, 0); // the text is only a courtesy
  (void)emptied;
  close(lease->fd);
  lease->fd = -1;
}
