// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Waiting: cancellable, bounded, growing.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
//
#include <cmocka.h>

#include "base/backoff.h"
#include "base/cancel.h"
#include "base/clock.h"

static void test_backoff_grows_and_stays_within_its_bounds(void **state) {
  (void)state;
  int64_t most = 1000;
  for (uint32_t attempt = 1; attempt < 40; attempt++) {
    for (int i = 0; i < 50; i++) {
      const int64_t pause = dr_backoff_ms(attempt);
      assert_true(pause >= most / 2);
      assert_true(pause <= most);
    }
    most = most * 2 > 60000 ? 60000 : most * 2;
  }
}

static void *cancel_soon(void *ctx) {
  (void)ctx;
  const struct timespec pause = {0, 50 * 1000000};
  (void)nanosleep(&pause, NULL);
  dr_cancel_request();
  return NULL;
}

static void test_sleep_ends_early_when_cancelled(void **state) {
  (void)state;
  struct dray_error error;
  assert_int_equal(dr_cancel_sleep(1, &error), DRAY_OK);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
  const int64_t start = dr_monotonic_ms();
  assert_int_equal(dr_cancel_sleep(600000, &error), DRAY_E_CANCELLED);
  assert_true(dr_monotonic_ms() - start < 60000); // generous: the machine may be busy
  assert_int_equal(error.error_class, DRAY_CLASS_CANCELLED);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_backoff_grows_and_stays_within_its_bounds),
      cmocka_unit_test(test_sleep_ends_early_when_cancelled), // last: the flag stays up
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
