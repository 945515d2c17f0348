// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The queue holds no more than it may, loses nothing, keeps the order, and ends cleanly from both sides.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
//
#include <cmocka.h>

#include "base/queue.h"

#define ITEMS 20000
#define ITEM_BYTES 100
#define QUEUE_BYTES 1000

static void *push_all(void *ctx) {
  for (uintptr_t i = 1; i <= ITEMS; i++) {
    if (dr_queue_push(ctx, (void *)i, ITEM_BYTES) != 0) break;
  }
  dr_queue_close(ctx);
  return NULL;
}

static void ignore(void *item) {
  (void)item;
}

static void test_items_arrive_in_order_within_the_bound(void **state) {
  (void)state;
  struct dr_queue *queue = dr_queue_new(64, QUEUE_BYTES);
  pthread_t writer;
  assert_int_equal(pthread_create(&writer, NULL, push_all, queue), 0);
  uintptr_t expected = 1;
  for (void *item = dr_queue_pop(queue); item != NULL; item = dr_queue_pop(queue)) {
    assert_int_equal((uintptr_t)item, expected);
    expected++;
  }
  assert_int_equal(expected, ITEMS + 1);
  assert_int_equal(pthread_join(writer, NULL), 0);
  assert_true(dr_queue_peak_bytes(queue) <= QUEUE_BYTES);
  dr_queue_free(queue, ignore);
}

static void test_closed_queue_refuses_and_frees_what_it_holds(void **state) {
  (void)state;
  struct dr_queue *queue = dr_queue_new(2, 0);
  assert_int_equal(dr_queue_push(queue, malloc(8), 8), 0);
  dr_queue_close(queue);
  void *item = malloc(8);
  assert_int_equal(dr_queue_push(queue, item, 8), -1);
  free(item);
  dr_queue_free(queue, free);
}

static void test_item_larger_than_the_bound_may_enter_an_empty_queue(void **state) {
  (void)state;
  struct dr_queue *queue = dr_queue_new(4, 10);
  assert_int_equal(dr_queue_push(queue, malloc(1), 1000), 0);
  free(dr_queue_pop(queue));
  dr_queue_free(queue, free);
}

static void test_peek_shows_what_comes_next_and_whether_anything_follows(void **state) {
  (void)state;
  struct dr_queue *queue = dr_queue_new(4, 0);
  int first = 0, second = 0, closed = 1;
  size_t count = 9;
  assert_null(dr_queue_peek(queue, &closed, &count));
  assert_int_equal(closed, 0);
  assert_int_equal(count, 0);
  assert_int_equal(dr_queue_push(queue, &first, 1), 0);
  assert_int_equal(dr_queue_push(queue, &second, 1), 0);
  dr_queue_close(queue);
  assert_ptr_equal(dr_queue_peek(queue, &closed, &count), &first);
  assert_int_equal(closed, 1);
  assert_int_equal(count, 2);
  assert_ptr_equal(dr_queue_pop(queue), &first); // it was left there
  assert_ptr_equal(dr_queue_pop(queue), &second);
  dr_queue_free(queue, ignore);
}

static void test_waiting_ends_in_time_and_nothing_is_lost(void **state) {
  (void)state;
  struct dr_queue *queue = dr_queue_new(1, 0);
  int first = 0, second = 0;
  void *item = &second;
  assert_int_equal(dr_queue_pop_within(queue, 1, &item), 1);
  assert_null(item);
  assert_int_equal(dr_queue_push_within(queue, &first, 1, 1), 0);
  assert_int_equal(dr_queue_push_within(queue, &second, 1, 1), 1);
  assert_int_equal(dr_queue_pop_within(queue, 60000, &item), 0);
  assert_ptr_equal(item, &first);
  assert_int_equal(dr_queue_push_within(queue, &second, 1, 60000), 0);
  dr_queue_close(queue);
  assert_int_equal(dr_queue_push_within(queue, &first, 1, 60000), -1);
  assert_int_equal(dr_queue_pop_within(queue, 60000, &item), 0);
  assert_ptr_equal(item, &second);
  assert_int_equal(dr_queue_pop_within(queue, 60000, &item), 0); // closed and drained
  assert_null(item);
  dr_queue_free(queue, ignore);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_items_arrive_in_order_within_the_bound),
      cmocka_unit_test(test_closed_queue_refuses_and_frees_what_it_holds),
      cmocka_unit_test(test_item_larger_than_the_bound_may_enter_an_empty_queue),
      cmocka_unit_test(test_peek_shows_what_comes_next_and_whether_anything_follows),
      cmocka_unit_test(test_waiting_ends_in_time_and_nothing_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
