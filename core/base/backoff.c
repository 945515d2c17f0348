// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Backoff times.
#include "base/backoff.h"

#include <sys/random.h>

#include "base/clock.h"

#define BASE_MS 1000
#define MOST_MS 60000
#define DOUBLINGS_MAX 16

static int64_t base_ms(void) {
  const int64_t given = dr_test_ms("DRAY_BACKOFF_MS", BASE_MS);
  return given > 0 ? given : BASE_MS;
}

int64_t dr_backoff_ms(uint32_t attempt) {
  const uint32_t doublings = attempt > 0 ? attempt - 1 : 0;
  int64_t most = base_ms() << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
  if (most > MOST_MS) most = MOST_MS;
  uint32_t random = 0;
  if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) random = attempt * 2654435761u;
  return most / 2 + (int64_t)(random % (uint32_t)(most / 2 + 1));
}
