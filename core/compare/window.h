// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A piece of an input in memory, which grows at its end. Inside core/compare only.
#ifndef DR_COMPARE_WINDOW_H
#define DR_COMPARE_WINDOW_H

#include "compare/inside.h"

struct window {
  const struct sieve_input *input; // borrowed
  char *data;                      // owned; SCAN_SLACK_BYTES more than capacity
  size_t capacity;
  uint64_t base; // of data, in the input
  uint32_t len;
};

DRAY_NODISCARD int32_t window_init(struct window *window, const struct sieve_input *input, size_t capacity,
                                   struct dray_error *error);
void window_free(struct window *window);
static inline int window_at_end(const struct window *window) {
  return window->base + window->len == window->input->size;
}
// Empties it; what is read next begins at the input's byte `base`.
static inline void window_begin(struct window *window, uint64_t base) {
  window->base = base;
  window->len = 0;
}
// Reads up to the input's byte `to`, behind what is there. @errors IO, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t window_read_to(struct window *window, uint64_t to, struct dray_error *error);
// Forgets what is before the window's byte `from`.
void window_drop(struct window *window, uint32_t from);
// Takes the records that begin in [from, end) of the input into an empty scan, reading on where the last one needs it.
// *out_too_long: one is longer than may be; the scan is of no use then.
DRAY_NODISCARD int32_t window_scan(struct window *window, const struct dr_sieve *sieve, uint64_t from, uint64_t end,
                                   struct scan *scan, int *out_too_long, struct dray_error *error);
// How much is read behind a chunk at first: its last record ends there, most likely.
uint32_t window_tail_bytes(const struct dr_sieve *sieve);

#endif // DR_COMPARE_WINDOW_H
