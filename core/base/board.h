// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run is doing, for those who watch it from another process: counters and short texts in
// shared memory. The child writes, the parent shows progress and notices a hang or names the call that crashed.
#ifndef DR_BASE_BOARD_H
#define DR_BASE_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "dray/sdk/text.h"

struct dr_board {
  _Atomic uint64_t rows_read, rows_total, bytes_read, bytes_total, changes, applied, rejected;
  _Atomic uint64_t beat;         // grows whenever anything moves
  _Atomic uint64_t finished;     // 1: the child has said all it had to say; an exit without it is a crash
  _Atomic int64_t call_since_ms; // monotonic; 0: not inside a plugin
  _Atomic int64_t wait_until_ms; // monotonic; the host itself waits (backoff, throttle) until then; 0: no
  _Atomic int64_t hold_until_ms; // monotonic; asked to end, the child still needs up to then; 0: it does not
  _Atomic uint32_t phase_seq;    // odd while the texts below are being written (seqlock)
  char phase[32];                // "reading", "applying", ...
  char call[128];                // "source.next of plugin file (connection shop)"
  char wait[128];                // "429 from api.example.com, Retry-After 30 s"
  char sync[128];
};

// A board in memory shared with children of this process; NULL when memory is short.
DRAY_NODISCARD struct dr_board *dr_board_new(void);
void dr_board_free(struct dr_board *board);
// The board this process reports to: a private dummy until set. Never NULL.
struct dr_board *dr_board(void);
void dr_board_set(struct dr_board *board);
void dr_board_phase(const char *phase);
void dr_board_call(const char *format, ...) DRAY_PRINTF(1, 2); // entering a plugin; NULL format: left it
// This thread waits; 0, NULL: no longer. Of several that wait the longest is shown.
void dr_board_wait(int64_t duration_ms, const char *why);
// Asked to end, this process still waits for something that would be lost with it, for no longer than this.
void dr_board_hold(int64_t duration_ms);
static inline void dr_board_beat(void) {
  atomic_fetch_add_explicit(&dr_board()->beat, 1, memory_order_relaxed);
}

// A consistent copy for the watcher.
struct dr_board_view {
  uint64_t rows_read, rows_total, bytes_read, bytes_total, changes, applied, rejected, beat;
  int64_t call_since_ms, wait_until_ms, hold_until_ms;
  char phase[32], call[128], wait[128], sync[128];
};
void dr_board_read(const struct dr_board *board, struct dr_board_view *out);

#endif // DR_BASE_BOARD_H
