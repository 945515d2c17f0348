// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the processes of a project meet at a gate: one small file a key. Its first bytes are what is known, read and
// written under a lock; the bytes from PLACES_AT on are places, each a lock on one byte that the kernel takes back when
// its process ends, however that ends.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "plugin/gate.h"

#define PLACES_AT 4096
#define FILE_NAME_BYTES 40
#define LAYOUT 2           // of struct dr_gate_state: another one is as another boot
#define LOCK_SLICE_MS 2    // how soon a free lock, or a cancel, is noticed: it is held for a read and a write
#define AFTER_CANCEL_MS 50 // that one who is asked to end still waits: several that end together are through by then
#define SHOWN_AFTER_MS 500 // who holds it for longer was stopped, or its disk was
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

struct dr_gate_file {
  int fd;
  uint64_t boot;
  pid_t pid;                        // who opened it: after a fork the places would be shared
  uint8_t mine[DR_GATE_PLACES_MAX]; // 1: this process has the place
  char *path;
};

static uint64_t boot_of_machine(void) {
  char id[64];
  const int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : -1;
  if (fd >= 0) (void)close(fd);
  return n > 0 ? XXH3_64bits_withSeed(id, (size_t)n, LAYOUT) | 1 : LAYOUT;
}

static int open_file(const char *path) {
  return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

int32_t dr_gate_file_open(const char *folder, struct dray_str key, struct dr_gate_file **out,
                          struct dray_error *error) {
  char name[FILE_NAME_BYTES];
  const XXH128_hash_t hash = XXH3_128bits(key.data, key.len);
  (void)snprintf(name, sizeof(name), "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
  DRAY_TRY(dr_folder_make(folder, error));
  struct dr_gate_file *file = calloc(1, sizeof(*file));
  if (file != NULL) file->path = dr_path_join(folder, name);
  if (file == NULL || file->path == NULL) {
    free(file);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a rate key");
  }
  file->fd = open_file(file->path);
  file->pid = getpid();
  file->boot = boot_of_machine();
  if (file->fd < 0) {
    const int32_t code = dr_fail_errno(error, "open", file->path);
    dr_gate_file_close(file);
    return code;
  }
  *out = file;
  return DRAY_OK;
}

void dr_gate_file_close(struct dr_gate_file *file) {
  if (file == NULL) return;
  if (file->fd >= 0) (void)close(file->fd);
  free(file->path);
  free(file);
}

// A child of a fork opens the file anew: an open file description is one holder of locks, whoever has it.
static int32_t own(struct dr_gate_file *file, struct dray_error *error) {
  if (file->pid == getpid()) return DRAY_OK;
  const int fd = open_file(file->path);
  if (fd < 0) return dr_fail_errno(error, "open", file->path);
  (void)close(file->fd);
  file->fd = fd;
  file->pid = getpid();
  memset(file->mine, 0, sizeof(file->mine));
  return DRAY_OK;
}

// Whether somebody of this boot can have written it. What is damaged must not stop the account for good.
static int is_sound(const struct dr_gate_file *file, const struct dr_gate_state *state) {
  const int64_t now = dr_monotonic_ms();
  return state->boot == file->boot && isfinite(state->points) && isfinite(state->under_way) && state->under_way >= 0 &&
         isfinite(state->under_way_before) && state->under_way_before >= 0 && state->filled_ms >= 0 &&
         state->filled_ms <= now && state->turned_ms >= 0 && state->turned_ms <= now && state->held_until_ms >= 0 &&
         state->held_until_ms <= now + DR_GATE_HOLD_MS_MAX;
}

// Nobody has it for long. So it is taken, cancelled or not, where it becomes free soon: what was reserved is given back
// at the end of a run.
static int32_t wait_for_lock(const struct dr_gate_file *file, struct dray_error *error) {
  const int64_t begun_ms = dr_monotonic_ms();
  int64_t shown_ms = begun_ms + SHOWN_AFTER_MS - 1000, give_up_ms = INT64_MAX;
  int32_t code = DRAY_OK;
  int shown = 0;
  for (;;) {
    const int locked = dr_fd_lock(file->fd, 0);
    if (locked != 0) {
      code = locked > 0 ? DRAY_OK : dr_fail_errno(error, "lock", file->path);
      break;
    }
    const int64_t now = dr_monotonic_ms();
    if (now >= give_up_ms) break;
    code = dr_cancel_sleep(LOCK_SLICE_MS, error);
    if (code != DRAY_OK) {
      if (give_up_ms == INT64_MAX) give_up_ms = now + AFTER_CANCEL_MS;
      (void)usleep(LOCK_SLICE_MS * 1000);
    }
    if (now - shown_ms < 1000) continue;
    dr_board_wait(2000, "another process that looks at the same rate limit");
    shown_ms = now;
    shown = 1;
  }
  if (shown) dr_board_wait(0, NULL);
  return code;
}

int32_t dr_gate_file_begin(struct dr_gate_file *file, struct dr_gate_state *out, struct dray_error *error) {
  DRAY_TRY(own(file, error));
  DRAY_TRY(wait_for_lock(file, error));
  struct dr_gate_state state = {0};
  const ssize_t n = pread(file->fd, &state, sizeof(state), 0);
  if (n < 0) {
    const int32_t code = dr_fail_errno(error, "read", file->path);
    dr_fd_unlock(file->fd, 0);
    return code;
  }
  if ((size_t)n < sizeof(state) || !is_sound(file, &state)) state = (struct dr_gate_state){.boot = file->boot};
  *out = state;
  return DRAY_OK;
}

int32_t dr_gate_file_end(struct dr_gate_file *file, const struct dr_gate_state *state, struct dray_error *error) {
  const ssize_t n = pwrite(file->fd, state, sizeof(*state), 0);
  const int32_t code = n == (ssize_t)sizeof(*state) ? DRAY_OK : dr_fail_errno(error, "write", file->path);
  dr_fd_unlock(file->fd, 0);
  return code;
}

int32_t dr_gate_file_place(struct dr_gate_file *file, uint32_t places_max, int *out_place, struct dray_error *error) {
  DRAY_TRY(own(file, error));
  const int count = places_max < DR_GATE_PLACES_MAX ? (int)places_max : DR_GATE_PLACES_MAX;
  int place = -1;
  for (int i = 0; i < count && place < 0; i++) {
    if (file->mine[i]) continue;
    const int locked = dr_fd_lock(file->fd, PLACES_AT + (uint64_t)i);
    if (locked < 0) return dr_fail_errno(error, "lock", file->path);
    if (locked == 1) place = i;
  }
  if (place >= 0) file->mine[place] = 1;
  *out_place = place;
  return DRAY_OK;
}

void dr_gate_file_leave(struct dr_gate_file *file, int place) {
  if (file->pid != getpid()) return; // it was the parent's
  dr_fd_unlock(file->fd, PLACES_AT + (uint64_t)place);
  file->mine[place] = 0;
}
