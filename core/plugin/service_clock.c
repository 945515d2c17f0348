// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The clock service. A sleep shows its reason on the board, so that a watcher tells waiting from hanging, and ends
// with a cancel.
#include <stdio.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "plugin/services.h"

#define SLEEP_MS_MAX (INT64_C(24) * 3600 * 1000)
#define WHY_BYTES_MAX 128

static int64_t now_us(void *ctx) {
  (void)ctx;
  return dr_now_us();
}

static int64_t monotonic_ms(void *ctx) {
  (void)ctx;
  return dr_monotonic_ms();
}

static int32_t sleep_ms(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error) {
  const struct dr_host *host = ctx;
  if (duration_ms > SLEEP_MS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "connection %s asked to sleep %lld ms; at most a day is allowed",
                     host->connection, (long long)duration_ms);
  }
  if (duration_ms <= 0) return dr_cancel_check(error);
  char reason[WHY_BYTES_MAX];
  (void)snprintf(reason, sizeof(reason), "%.*s", DRAY_STR_ARG(why));
  dr_board_wait(duration_ms, reason);
  const int32_t rc = dr_cancel_sleep(duration_ms, error);
  dr_board_wait(0, NULL);
  return rc;
}

void dr_service_clock_init(struct dr_host *host) {
  host->clock = (struct dray_clock_service){sizeof(host->clock), 0, host, now_us, monotonic_ms, sleep_ms};
}
