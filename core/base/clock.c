// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The two clocks of the host, and times that tests set.
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t dr_now_us(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + dr_test_ms("DRAY_CLOCK_AHEAD_MS", 0) * 1000;
}

int64_t dr_monotonic_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t dr_test_ms(const char *name, int64_t usual_ms) {
  const char *test = getenv("DRAY_TEST");
  const char *text = test != NULL && strcmp(test, "1") == 0 ? getenv(name) : NULL;
  return text != NULL ? strtoll(text, NULL, 10) : usual_ms;
}
