// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The cancel flag. One per process: a run has a process of its own.
#include "base/cancel.h"

#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"

#define SLICE_MS 50

static _Atomic int requested;

void dr_cancel_request(void) {
  atomic_store_explicit(&requested, 1, memory_order_relaxed);
}

int dr_cancelled(void) {
  return atomic_load_explicit(&requested, memory_order_relaxed);
}

int32_t dr_cancel_check(struct dray_error *error) {
  if (!dr_cancelled()) return DRAY_OK;
  return dray_fail(error, DRAY_E_CANCELLED, "the run was asked to end");
}

int32_t dr_cancel_sleep(int64_t duration_ms, struct dray_error *error) {
  const int64_t end = dr_monotonic_ms() + duration_ms;
  for (;;) {
    DRAY_TRY(dr_cancel_check(error));
    const int64_t left = end - dr_monotonic_ms();
    if (left <= 0) return DRAY_OK;
    const int64_t slice = left < SLICE_MS ? left : SLICE_MS;
    const struct timespec pause = {0, slice * 1000000};
    (void)nanosleep(&pause, NULL); // a signal only shortens the slice
  }
}
