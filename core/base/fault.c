// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Fault injection: parses DRAY_FAULT once, then counts passes of the named step.
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 8
#define NAME_BYTES_MAX 64
#define SEEN_MAX 256

enum { ACTION_KILL = 1, ACTION_STOP, ACTION_ERRNO };

struct fault {
  int action;
  int error_number; // for ACTION_ERRNO
  char name[NAME_BYTES_MAX];
  int64_t pass; // from 1; every pass when 0
  _Atomic int64_t counted;
};

static const struct {
  const char *word;
  int action;
  int error_number;
} actions[] = {
    {"kill", ACTION_KILL, 0},
    {"stop", ACTION_STOP, 0},
    {"enospc", ACTION_ERRNO, ENOSPC},
    {"eio", ACTION_ERRNO, EIO},
};

static pthread_mutex_t read_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault faults[FAULTS_MAX];
static size_t fault_count;
static const char *trace_path;
static char seen[SEEN_MAX][NAME_BYTES_MAX];
static size_t seen_count;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int armed = -1; // -1: not read yet

// "action:name:pass"; a piece that does not parse is ignored, since only tests write it.
static void add_fault(const char *piece, size_t len) {
  const char *colon = memchr(piece, ':', len);
  if (colon == NULL || fault_count == FAULTS_MAX) return;
  const char *name = colon + 1;
  const size_t left = len - (size_t)(name - piece);
  const char *end = memchr(name, ':', left);
  const size_t name_len = end != NULL ? (size_t)(end - name) : left;
  if (name_len == 0 || name_len >= NAME_BYTES_MAX) return;
  for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
    const size_t word_len = strlen(actions[i].word);
    if (word_len != (size_t)(colon - piece) || memcmp(piece, actions[i].word, word_len) != 0) continue;
    struct fault *fault = &faults[fault_count++];
    fault->action = actions[i].action;
    fault->error_number = actions[i].error_number;
    memcpy(fault->name, name, name_len);
    fault->name[name_len] = '\0';
    fault->pass = end != NULL ? strtoll(end + 1, NULL, 10) : 1;
  }
}

static void read_environment(void) {
  const char *test = getenv("DRAY_TEST");
  if (test == NULL || strcmp(test, "1") != 0) {
    atomic_store(&armed, 0);
    return;
  }
  const char *text = getenv("DRAY_FAULT");
  while (text != NULL && *text != '\0') {
    const size_t len = strcspn(text, ",");
    add_fault(text, len);
    text += len;
    if (*text == ',') text++;
  }
  trace_path = getenv("DRAY_FAULT_TRACE");
  atomic_store(&armed, fault_count > 0 || trace_path != NULL);
}

// Appends the name once a process. Best effort: it only serves tests.
static void trace(const char *name) {
  (void)pthread_mutex_lock(&seen_lock);
  size_t i = 0;
  while (i < seen_count && strcmp(seen[i], name) != 0) i++;
  if (i == seen_count && seen_count < SEEN_MAX && strlen(name) < NAME_BYTES_MAX) {
    memcpy(seen[seen_count++], name, strlen(name) + 1);
    const int fd = open(trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
      char line[NAME_BYTES_MAX + 1];
      const size_t len = strlen(name);
      memcpy(line, name, len);
      line[len] = '\n';
      const ssize_t written = write(fd, line, len + 1);
      (void)written;
      (void)close(fd);
    }
  }
  (void)pthread_mutex_unlock(&seen_lock);
}

void dr_fault_reload(void) {
  (void)pthread_mutex_lock(&read_lock);
  fault_count = 0;
  read_environment();
  (void)pthread_mutex_unlock(&read_lock);
}

int dr_fault_point(const char *name) {
  int state = atomic_load_explicit(&armed, memory_order_relaxed);
  if (state == 0) return 0;
  if (state < 0) {
    (void)pthread_mutex_lock(&read_lock);
    if (atomic_load(&armed) < 0) read_environment();
    (void)pthread_mutex_unlock(&read_lock);
    state = atomic_load(&armed);
    if (state == 0) return 0;
  }
  if (trace_path != NULL) trace(name);
  for (size_t i = 0; i < fault_count; i++) {
    struct fault *fault = &faults[i];
    if (strcmp(fault->name, name) != 0) continue;
    const int64_t pass = atomic_fetch_add(&fault->counted, 1) + 1;
    if (fault->pass != 0 && pass != fault->pass) continue;
    if (fault->action == ACTION_KILL) (void)kill(getpid(), SIGKILL);
    if (fault->action == ACTION_STOP) (void)raise(SIGSTOP);
    if (fault->action == ACTION_ERRNO) return fault->error_number;
  }
  return 0;
}
