// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The board: a page of shared memory with relaxed counters and seqlocked texts. Written by one process,
// read by its parent; a torn read of the texts is tried again.
#include "base/board.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

static struct dr_board private_board;
static struct dr_board *current = &private_board;
static pthread_mutex_t writer = PTHREAD_MUTEX_INITIALIZER; // threads of the writing process
static uint32_t waiters;                                   // those that wait; guarded by `writer`
static _Thread_local int waits;

struct dr_board *dr_board_new(void) {
  void *page = mmap(NULL, sizeof(struct dr_board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? NULL : page; // zeroed by the kernel
}

void dr_board_free(struct dr_board *board) {
  if (board == current) current = &private_board;
  if (board != NULL) (void)munmap(board, sizeof(*board));
}

struct dr_board *dr_board(void) {
  return current;
}

void dr_board_set(struct dr_board *board) {
  current = board != NULL ? board : &private_board;
}

static struct dr_board *write_begin(void) {
  (void)pthread_mutex_lock(&writer);
  struct dr_board *board = current;
  atomic_fetch_add_explicit(&board->phase_seq, 1, memory_order_acq_rel);
  return board;
}

static void write_end(struct dr_board *board) {
  atomic_fetch_add_explicit(&board->phase_seq, 1, memory_order_release);
  atomic_fetch_add_explicit(&board->beat, 1, memory_order_relaxed);
  (void)pthread_mutex_unlock(&writer);
}

void dr_board_phase(const char *phase) {
  struct dr_board *board = write_begin();
  (void)snprintf(board->phase, sizeof(board->phase), "%s", phase);
  write_end(board);
}

void dr_board_call(const char *format, ...) {
  struct dr_board *board = write_begin();
  if (format == NULL) {
    board->call[0] = '\0';
    atomic_store_explicit(&board->call_since_ms, 0, memory_order_relaxed);
  } else {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(board->call, sizeof(board->call), format, args);
    va_end(args);
    atomic_store_explicit(&board->call_since_ms, dr_monotonic_ms(), memory_order_relaxed);
  }
  write_end(board);
}

void dr_board_wait(int64_t duration_ms, const char *why) {
  struct dr_board *board = write_begin();
  if (why != NULL) {
    waiters += !waits;
  } else if (waits) {
    waiters--;
  }
  waits = why != NULL;
  const int64_t until = why != NULL ? dr_monotonic_ms() + duration_ms : 0;
  const int64_t shown = atomic_load_explicit(&board->wait_until_ms, memory_order_relaxed);
  // The longest wait is shown, and what one thread no longer waits for another may.
  if (waiters == 0 || until > shown || (why != NULL && waiters == 1)) {
    (void)snprintf(board->wait, sizeof(board->wait), "%s", why != NULL ? why : "");
    atomic_store_explicit(&board->wait_until_ms, until, memory_order_relaxed);
  }
  write_end(board);
}

void dr_board_hold(int64_t duration_ms) {
  _Atomic int64_t *hold = &dr_board()->hold_until_ms;
  const int64_t until = dr_monotonic_ms() + duration_ms;
  int64_t held = atomic_load(hold);
  while (until > held && !atomic_compare_exchange_weak(hold, &held, until)) {
  } // another thread's may be longer
}

static uint64_t load(const _Atomic uint64_t *counter) {
  return atomic_load_explicit(counter, memory_order_relaxed);
}

void dr_board_read(const struct dr_board *board, struct dr_board_view *out) {
  struct dr_board_view view;
  for (int attempt = 0; attempt < 100; attempt++) { // a writer killed inside leaves the sequence odd for ever
    const uint32_t before = atomic_load_explicit(&board->phase_seq, memory_order_acquire);
    memcpy(view.phase, board->phase, sizeof(view.phase));
    memcpy(view.call, board->call, sizeof(view.call));
    memcpy(view.wait, board->wait, sizeof(view.wait));
    memcpy(view.sync, board->sync, sizeof(view.sync));
    atomic_thread_fence(memory_order_acquire);
    if ((before & 1) == 0 && before == atomic_load_explicit(&board->phase_seq, memory_order_relaxed)) break;
  }
  view.phase[sizeof(view.phase) - 1] = view.call[sizeof(view.call) - 1] = '\0';
  view.wait[sizeof(view.wait) - 1] = view.sync[sizeof(view.sync) - 1] = '\0';
  view.rows_read = load(&board->rows_read);
  view.rows_total = load(&board->rows_total);
  view.bytes_read = load(&board->bytes_read);
  view.bytes_total = load(&board->bytes_total);
  view.changes = load(&board->changes);
  view.applied = load(&board->applied);
  view.rejected = load(&board->rejected);
  view.beat = load(&board->beat);
  view.call_since_ms = atomic_load_explicit(&board->call_since_ms, memory_order_relaxed);
  view.wait_until_ms = atomic_load_explicit(&board->wait_until_ms, memory_order_relaxed);
  view.hold_until_ms = atomic_load_explicit(&board->hold_until_ms, memory_order_relaxed);
  *out = view;
}
