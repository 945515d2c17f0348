// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The board: what one process writes another reads, whole.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/board.h"

static void test_child_is_seen_by_its_parent(void **state) {
  (void)state;
  struct dr_board *board = dr_board_new();
  assert_non_null(board);
  const pid_t pid = fork();
  if (pid == 0) {
    dr_board_set(board);
    dr_board_phase("reading");
    dr_board_call("source.next of %s", "plugin file (connection shop)");
    dr_board_wait(30000, "429 from api.example.com");
    atomic_fetch_add(&board->rows_read, 42);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  struct dr_board_view view;
  dr_board_read(board, &view);
  assert_string_equal(view.phase, "reading");
  assert_string_equal(view.call, "source.next of plugin file (connection shop)");
  assert_string_equal(view.wait, "429 from api.example.com");
  assert_int_equal(view.rows_read, 42);
  assert_true(view.call_since_ms > 0);
  assert_true(view.wait_until_ms > view.call_since_ms);
  dr_board_free(board);
}

static void test_leaving_a_call_clears_it(void **state) {
  (void)state;
  struct dr_board *board = dr_board_new();
  dr_board_set(board);
  dr_board_call("destination.write");
  dr_board_call(NULL);
  struct dr_board_view view;
  dr_board_read(board, &view);
  assert_string_equal(view.call, "");
  assert_int_equal(view.call_since_ms, 0);
  dr_board_free(board);
  dr_board_phase("after"); // reports to the private board again
}

static void *waits_briefly(void *ctx) {
  (void)ctx;
  dr_board_wait(1000, "brief");
  dr_board_wait(0, NULL);
  return NULL;
}

static void test_end_of_one_wait_leaves_the_others(void **state) {
  (void)state;
  struct dr_board *board = dr_board_new();
  struct dr_board_view view;
  pthread_t other;
  dr_board_set(board);
  dr_board_wait(30000, "long");
  assert_int_equal(pthread_create(&other, NULL, waits_briefly, NULL), 0);
  assert_int_equal(pthread_join(other, NULL), 0);
  dr_board_read(board, &view);
  assert_string_equal(view.wait, "long");
  assert_true(view.wait_until_ms > 0);
  dr_board_wait(10, "shorter"); // the same thread's next wait takes the place of its first
  dr_board_read(board, &view);
  assert_string_equal(view.wait, "shorter");
  dr_board_wait(0, NULL);
  dr_board_read(board, &view);
  assert_int_equal(view.wait_until_ms, 0);
  dr_board_free(board);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_child_is_seen_by_its_parent),
      cmocka_unit_test(test_leaving_a_call_clears_it),
      cmocka_unit_test(test_end_of_one_wait_leaves_the_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
