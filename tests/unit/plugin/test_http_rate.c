// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rate keys across clients and threads: how many at once, how many a second, and who waits for whom, as the server
// sees it.
#include "http_scene.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "dray/sdk/error.h"

#define THREADS_MAX 8
#define FAR_MS 60000 // nothing that works takes so long, on any machine

static struct http_server server;

// What each of several clients on threads of their own does.
struct work {
  const char *path, *rate_key;
  double rate_per_second;
  uint32_t burst, concurrency_max;
  int request_count;
  int starts_in_a_wait; // only when somebody is told to wait, or all others are done
  int failed;
};

static _Atomic int done; // how many clients are

static void await_a_wait(void) {
  struct dr_board_view view = {.wait_until_ms = 0};
  while (view.wait_until_ms == 0 && done == 0) {
    usleep(1000);
    dr_board_read(dr_board(), &view);
  }
}

static void *run_client(void *arg) {
  struct work *work = arg;
  struct dr_http *http = http_client();
  if (work->starts_in_a_wait) await_a_wait();
  for (int i = 0; i < work->request_count; i++) {
    struct http_reply reply;
    struct dray_http_request request = http_request(&server, "GET", work->path);
    request.rate_key = dray_str_of(work->rate_key);
    request.rate_per_second = work->rate_per_second;
    request.rate_burst = work->burst;
    request.concurrency_max = work->concurrency_max;
    http_exchange(http, &request, &reply);
    if (reply.code != DRAY_OK) work->failed++;
  }
  dr_http_free(http);
  done++;
  return NULL;
}

static void run_clients(struct work *works, size_t count) {
  pthread_t threads[THREADS_MAX];
  done = 0;
  for (size_t i = 0; i < count; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_client, &works[i]), 0);
  for (size_t i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(works[i].failed, 0);
  }
}

static void run_same(struct work work, size_t count) {
  struct work works[THREADS_MAX];
  for (size_t i = 0; i < count; i++) works[i] = work;
  run_clients(works, count);
}

// Arrival of the n-th request in ms after the first.
static long arrival_ms(const char *path, int n) {
  char *at = NULL;
  const char *text = http_seen_text(&server, "/_times", path);
  for (int i = 0; i < n; i++) text = strchr(text, '\n') + 1;
  return strtol(text, &at, 10);
}

static void test_clients_share_the_places_of_a_key(void **state) {
  (void)state;
  run_same((struct work){.path = "/gather/two?n=2&ms=60", .rate_key = "two", .concurrency_max = 2, .request_count = 3},
           8);
  assert_int_equal(http_seen_number(&server, "/_count", "/gather/two"), 24);
  assert_int_equal(http_seen_number(&server, "/_most", "/gather/two"), 2); // never more; one alone gets no answer
}

static void test_four_at_once_when_nothing_is_said(void **state) {
  (void)state;
  run_same((struct work){.path = "/gather/default?n=4&ms=60", .rate_key = "", .request_count = 2}, 8);
  assert_int_equal(http_seen_number(&server, "/_most", "/gather/default"), 4);
}

static void test_keys_do_not_hold_each_other_up(void **state) {
  (void)state;
  struct work works[] = {{.path = "/gather/key?n=2", .rate_key = "left", .concurrency_max = 1, .request_count = 1},
                         {.path = "/gather/key?n=2", .rate_key = "right", .concurrency_max = 1, .request_count = 1}};
  run_clients(works, 2);
  assert_int_equal(http_seen_number(&server, "/_most", "/gather/key"), 2);
}

static void test_bucket_paces_all_clients_together(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  run_same(
      (struct work){.path = "/echo/pace", .rate_key = "pace", .rate_per_second = 20, .burst = 1, .request_count = 5},
      4);
  const int64_t took = dr_monotonic_ms() - begun;
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/pace"), 20);
  assert_true(took >= 19 * 50 - 20); // 20 requests, 50 ms apart
}

static void test_burst_goes_at_once(void **state) {
  (void)state;
  struct work work = {
      .path = "/echo/burst", .rate_key = "burst", .rate_per_second = 0.001, .burst = 4, .request_count = 4};
  run_same(work, 1); // would take the best part of an hour
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/burst"), 4);
}

static void test_after_the_burst_the_rest_goes_at_the_rate(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  run_same(
      (struct work){.path = "/echo/rest", .rate_key = "rest", .rate_per_second = 5, .burst = 4, .request_count = 6}, 1);
  assert_true(dr_monotonic_ms() - begun >= 2 * 200 - 20);
}

static void test_429_for_one_holds_all_who_share_the_key(void **state) {
  (void)state;
  struct work works[] = {
      {.path = "/seq/held?s=429,200&ra=1", .rate_key = "held", .request_count = 1},
      {.path = "/seq/held?s=429,200&ra=1", .rate_key = "held", .request_count = 1, .starts_in_a_wait = 1}};
  run_clients(works, 2);
  assert_int_equal(http_seen_number(&server, "/_count", "/seq/held"), 3);
  assert_true(arrival_ms("/seq/held", 1) >= 990); // also the other client's, which had seen no 429
}

static void test_plugin_that_reads_and_sends_at_once_does_not_wait_for_itself(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", "/big/nested?mb=2");
  struct dray_http_response *outer = NULL;
  struct http_reply inner;
  struct dray_error error;
  dray_error_init(&error);
  request.rate_key = dray_str_of("nested");
  request.concurrency_max = 1;
  assert_int_equal(service->open(service->ctx, &request, &outer, &error), DRAY_OK);
  struct dray_http_request second = http_request(&server, "GET", "/echo/nested");
  second.rate_key = dray_str_of("nested");
  second.concurrency_max = 1;
  http_exchange(http, &second, &inner);
  assert_code(inner, DRAY_OK);
  service->close(outer);
  dr_http_free(http);
}

static void test_place_is_free_when_the_body_was_read_though_not_closed(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", "/echo/free");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  char piece[4096];
  uint64_t bytes = 1;
  dray_error_init(&error);
  request.rate_key = dray_str_of("free");
  request.concurrency_max = 1;
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  while (bytes > 0) assert_int_equal(service->read(response, piece, sizeof piece, &bytes, &error), DRAY_OK);
  run_same((struct work){.path = "/echo/free", .rate_key = "free", .concurrency_max = 1, .request_count = 1}, 1);
  service->close(response);
  dr_http_free(http);
}

static void *cancel_soon(void *arg) {
  (void)arg;
  usleep(300000);
  dr_cancel_request();
  return NULL;
}

// In a child, since the flag stays up. 0: a wait for a token of the far future was cancelled.
static int cancelled_wait(void) {
  struct dr_http *http = http_client();
  pthread_t canceller;
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", "/echo/token");
  request.rate_key = dray_str_of("token");
  request.rate_per_second = 0.001;
  http_exchange(http, &request, &reply); // takes the only token
  const int64_t begun = dr_monotonic_ms();
  if (reply.code != DRAY_OK || pthread_create(&canceller, NULL, cancel_soon, NULL) != 0) return 1;
  http_exchange(http, &request, &reply);
  const int64_t took = dr_monotonic_ms() - begun;
  pthread_join(canceller, NULL);
  dr_http_free(http);
  return reply.code == DRAY_E_CANCELLED && took >= 300 && took < FAR_MS ? 0 : 2;
}

static void test_wait_for_a_token_can_be_cancelled(void **state) {
  (void)state;
  int status = 0;
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(cancelled_wait());
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

static int group_setup(void **state) {
  (void)state;
  http_server_start(&server, NULL);
  return 0;
}

static int group_teardown(void **state) {
  (void)state;
  http_server_stop(&server);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_clients_share_the_places_of_a_key),
      cmocka_unit_test(test_four_at_once_when_nothing_is_said),
      cmocka_unit_test(test_keys_do_not_hold_each_other_up),
      cmocka_unit_test(test_bucket_paces_all_clients_together),
      cmocka_unit_test(test_burst_goes_at_once),
      cmocka_unit_test(test_after_the_burst_the_rest_goes_at_the_rate),
      cmocka_unit_test(test_429_for_one_holds_all_who_share_the_key),
      cmocka_unit_test(test_plugin_that_reads_and_sends_at_once_does_not_wait_for_itself),
      cmocka_unit_test(test_place_is_free_when_the_body_was_read_though_not_closed),
      cmocka_unit_test(test_wait_for_a_token_can_be_cancelled),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
