// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A child that crashes, hangs, leaves or is cancelled costs itself only, and the message names the call.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/board.h"
#include "base/cancel.h"
#include "sync/supervise.h"

static void pause_ms(long ms) {
  const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  (void)nanosleep(&pause, NULL);
}

static int leaves_with_three(void *ctx) {
  (void)ctx;
  return 3;
}

static int dies(void *ctx) {
  (void)ctx;
  dr_board_call("source.next of plugin bad (connection shop)");
  (void)raise(SIGABRT);
  return 0;
}

static int is_killed(void *ctx) {
  (void)ctx;
  dr_board_call("source.next of plugin good (connection shop)");
  (void)raise(SIGKILL);
  return 0;
}

static int exits(void *ctx) {
  (void)ctx;
  dr_board_call("destination.write of plugin bad (connection mail)");
  _exit(0);
}

static int hangs(void *ctx) {
  (void)ctx;
  dr_board_call("source.next of plugin slow (connection shop)");
  for (;;) pause_ms(1000);
  return 0;
}

static int is_slow_outside_of_plugins(void *ctx) {
  (void)ctx;
  pause_ms(700);
  return 0;
}

static int waits_for_cancel(void *ctx) {
  (void)ctx;
  (void)kill(getppid(), SIGTERM);
  while (!dr_cancelled()) pause_ms(10);
  return 130;
}

static struct dr_supervise_result supervise(int (*work)(void *), int64_t stall_ms) {
  const struct dr_supervise_options options = {.stall_timeout_ms = stall_ms};
  struct dr_supervise_result result;
  struct dray_error error;
  assert_int_equal(dr_supervise(work, NULL, &options, &result, &error), DRAY_OK);
  return result;
}

static void test_exit_code_of_the_child_is_passed_on(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(leaves_with_three, 0);
  assert_int_equal(result.exit_code, 3);
  assert_int_equal(result.error.code, DRAY_OK);
}

static void test_crash_names_the_call(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(dies, 0);
  assert_int_equal(result.error.code, DRAY_E_PLUGIN_CRASHED);
  assert_string_equal(result.error.text, "source.next of plugin bad (connection shop) crashed: Aborted");
  assert_int_equal(result.exit_code, 1);
}

static void test_kill_from_outside_is_no_fault_of_the_plugin(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(is_killed, 0);
  assert_int_equal(result.error.code, DRAY_E_KILLED);
  assert_string_equal(result.error.text,
                      "the run was killed from outside (SIGKILL) in source.next of plugin good (connection shop)");
  assert_int_equal(result.exit_code, 1);
}

static void test_plugin_that_ends_the_process_is_a_crash_too(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(exits, 0);
  assert_int_equal(result.error.code, DRAY_E_PLUGIN_CRASHED);
  assert_non_null(strstr(result.error.text, "destination.write of plugin bad (connection mail)"));
}

static void test_hang_in_a_plugin_is_stopped(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(hangs, 300);
  assert_int_equal(result.error.code, DRAY_E_PLUGIN_HUNG);
  assert_non_null(strstr(result.error.text, "source.next of plugin slow (connection shop)"));
}

static void test_slow_work_of_the_host_is_no_hang(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(is_slow_outside_of_plugins, 200);
  assert_int_equal(result.error.code, DRAY_OK);
  assert_int_equal(result.exit_code, 0);
}

static void test_signal_becomes_a_cancel_and_exit_143(void **state) {
  (void)state;
  const struct dr_supervise_result result = supervise(waits_for_cancel, 0);
  assert_int_equal(result.exit_code, 143);
  assert_int_equal(result.error.code, DRAY_OK);
}

// Ends after the grace would have been over.
static int ends_late(void *ctx) {
  (void)ctx;
  (void)kill(getppid(), SIGTERM);
  while (!dr_cancelled()) pause_ms(10);
  pause_ms(1500);
  return 130;
}

static int holds_and_ends_late(void *ctx) {
  dr_board_hold(60000);
  return ends_late(ctx);
}

static int stays_behind_its_hold(void *ctx) {
  dr_board_hold(200);
  (void)kill(getppid(), SIGTERM);
  for (;;) pause_ms(1000);
  return ctx == NULL;
}

static struct dr_supervise_result supervise_briefly(int (*work)(void *)) {
  const struct dr_supervise_options options = {.grace_ms = 300};
  struct dr_supervise_result result;
  struct dray_error error;
  assert_int_equal(dr_supervise(work, NULL, &options, &result, &error), DRAY_OK);
  assert_int_equal(result.exit_code, 143);
  return result;
}

static void test_what_is_still_awaited_is_no_reason_to_kill(void **state) {
  (void)state;
  assert_int_equal(supervise_briefly(ends_late).error.code, DRAY_E_CANCELLED); // killed
  assert_int_equal(supervise_briefly(holds_and_ends_late).error.code, DRAY_OK);
  assert_int_equal(supervise_briefly(stays_behind_its_hold).error.code, DRAY_E_CANCELLED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exit_code_of_the_child_is_passed_on),
      cmocka_unit_test(test_crash_names_the_call),
      cmocka_unit_test(test_kill_from_outside_is_no_fault_of_the_plugin),
      cmocka_unit_test(test_plugin_that_ends_the_process_is_a_crash_too),
      cmocka_unit_test(test_hang_in_a_plugin_is_stopped),
      cmocka_unit_test(test_slow_work_of_the_host_is_no_hang),
      cmocka_unit_test(test_signal_becomes_a_cancel_and_exit_143),
      cmocka_unit_test(test_what_is_still_awaited_is_no_reason_to_kill),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
