// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests ahead: several under way in one instance, as the server sees them.
#include "http_scene.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "dray/sdk/error.h"

#define AHEAD_MAX 8

static struct http_server server;

static struct dray_http_pending *start(struct dr_http *http, const char *path, const char *key, uint32_t most) {
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", path);
  struct dray_http_pending *pending = NULL;
  struct dray_error error;
  dray_error_init(&error);
  request.rate_key = dray_str_of(key);
  request.concurrency_max = most;
  assert_int_equal(service->start(service->ctx, &request, &pending, &error), DRAY_OK);
  return pending;
}

static int32_t finish(struct dr_http *http, struct dray_http_pending *pending, char *body, size_t capacity) {
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_response *response = NULL;
  struct dray_error error;
  uint64_t bytes = 1, total = 0;
  dray_error_init(&error);
  const int32_t code = service->finish(pending, &response, &error);
  if (code != DRAY_OK) return code;
  while (bytes > 0 && total + 1 < capacity) {
    assert_int_equal(service->read(response, body + total, capacity - 1 - total, &bytes, &error), DRAY_OK);
    total += bytes;
  }
  body[total] = '\0';
  service->close(response);
  return DRAY_OK;
}

static void run_ahead(const char *path, const char *key, uint32_t most, int count) {
  struct dr_http *http = http_client();
  struct dray_http_pending *pending[AHEAD_MAX];
  char body[256];
  for (int i = 0; i < count; i++) pending[i] = start(http, path, key, most);
  for (int i = 0; i < count; i++) assert_int_equal(finish(http, pending[i], body, sizeof(body)), DRAY_OK);
  dr_http_free(http);
}

static void test_requests_ahead_are_under_way_together(void **state) {
  (void)state;
  run_ahead("/gather/together?n=4", "together", 4, 4);
  assert_int_equal(http_seen_number(&server, "/_count", "/gather/together"), 4);
  assert_int_equal(http_seen_number(&server, "/_most", "/gather/together"), 4);
}

static void test_requests_ahead_stay_within_their_places(void **state) {
  (void)state;
  run_ahead("/gather/places?n=2&ms=60", "places", 2, 7);
  assert_int_equal(http_seen_number(&server, "/_count", "/gather/places"), 7);
  assert_int_equal(http_seen_number(&server, "/_most", "/gather/places"), 2);
}

static void test_one_that_fails_for_now_is_repeated_by_whoever_finishes_it(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  char body[256];
  struct dray_http_pending *first = start(http, "/seq/ahead?s=503,200&ra=0", "again", 4);
  struct dray_http_pending *second = start(http, "/echo/ahead", "again", 4);
  assert_int_equal(finish(http, first, body, sizeof(body)), DRAY_OK);
  assert_int_equal(finish(http, second, body, sizeof(body)), DRAY_OK);
  assert_int_equal(http_seen_number(&server, "/_count", "/seq/ahead"), 2);
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/ahead"), 1);
  dr_http_free(http);
}

static void test_error_status_is_told_by_finish(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  char body[256];
  struct dray_http_pending *pending = start(http, "/seq/wrong?s=404", "wrong", 4);
  assert_int_equal(finish(http, pending, body, sizeof(body)), DRAY_E_HTTP_STATUS);
  dr_http_free(http);
}

static void test_answers_may_be_finished_in_another_order(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  char body[256];
  struct dray_http_pending *first = start(http, "/slow/order?ms=80", "order", 1);
  struct dray_http_pending *second = start(http, "/echo/order", "order", 1);
  assert_int_equal(finish(http, second, body, sizeof(body)), DRAY_OK); // does not wait for the place of its own first
  assert_int_equal(finish(http, first, body, sizeof(body)), DRAY_OK);
  dr_http_free(http);
}

static void test_dropped_one_gives_its_place_back(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  char body[256];
  dr_http_service(http)->drop(start(http, "/slow/dropped?ms=2000", "dropped", 1));
  dr_http_service(http)->drop(NULL);
  struct dray_http_pending *pending = start(http, "/echo/dropped", "dropped", 1);
  assert_int_equal(finish(http, pending, body, sizeof(body)), DRAY_OK);
  dr_http_free(http);
}

static void test_what_was_never_finished_is_freed_with_the_client(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  (void)start(http, "/slow/left?ms=2000", "left", 1);
  (void)start(http, "/slow/left?ms=2000", "left", 1); // not sent: no place
  dr_http_free(http);
  run_ahead("/echo/left", "left", 1, 1); // the place is free
}

static void test_request_that_cannot_be_is_refused_at_once(void **state) {
  (void)state;
  struct dr_http *http = http_client();
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", "/echo/refused");
  struct dray_http_pending *pending = NULL;
  struct dray_error error;
  dray_error_init(&error);
  request.url = dray_str_of("http://example.com/");
  assert_int_equal(service->start(service->ctx, &request, &pending, &error), DRAY_E_HTTP_HOST);
  assert_null(pending);
  dr_http_free(http);
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
      cmocka_unit_test(test_requests_ahead_are_under_way_together),
      cmocka_unit_test(test_requests_ahead_stay_within_their_places),
      cmocka_unit_test(test_one_that_fails_for_now_is_repeated_by_whoever_finishes_it),
      cmocka_unit_test(test_error_status_is_told_by_finish),
      cmocka_unit_test(test_answers_may_be_finished_in_another_order),
      cmocka_unit_test(test_dropped_one_gives_its_place_back),
      cmocka_unit_test(test_what_was_never_finished_is_freed_with_the_client),
      cmocka_unit_test(test_request_that_cannot_be_is_refused_at_once),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
