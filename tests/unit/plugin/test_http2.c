// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2: what breaks only there, frame by frame, and what of it is repeated, in doubt, or neither, as the server
// behind has received it.
#include "http_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dray/sdk/error.h"

static struct http_server server, front;
static struct dr_http *http;

static int setup(void **state) {
  (void)state;
  http = http_client();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  dr_http_free(http);
  return 0;
}

static long count(const char *path) {
  return http_seen_number(&server, "/_count", path);
}

// ---- what breaks ----

enum { FRESH, KEPT }; // the connection that it happens on

struct breach {
  const char *kind; // of tests/http2_front.py
  int connection;
  int times; // the first so many requests; 0: all
  const char *method;
  uint32_t flags;
  int32_t code;
  int doubt;
  long received; // of the server behind, which has then done it
};

static void run_breach(const struct breach *breach) {
  static int number; // each has a path of its own
  char seen[64], path[128];
  if (breach->connection == KEPT) assert_code(http_get(http, &front, "/echo/before"), DRAY_OK);
  snprintf(seen, sizeof seen, "/echo/%.24s/%d", breach->kind, number++);
  const int all = breach->times == 0;
  snprintf(path, sizeof path, "%s?h2=%.24s&h2n=%d", seen, breach->kind, all ? 1000 : breach->times);
  const struct http_reply reply = http_send(http, &front, breach->method, path, "charge the card", breach->flags);
  const long received = count(seen);
  const int doubt = strcmp(reply.error.vendor_code, "in_doubt") == 0;
  if (reply.code != breach->code || doubt != breach->doubt || received != breach->received) {
    print_error("%s on a %s connection, %s, flags %u: code %d, doubt %d, received %ld times: %s\n", breach->kind,
                breach->connection == KEPT ? "kept" : "fresh", breach->method, breach->flags, reply.code, doubt,
                received, reply.error.text);
  }
  assert_int_equal(reply.code, breach->code);
  assert_int_equal(doubt, breach->doubt);
  assert_int_equal(received, breach->received);
}

static void run_breaches(const struct breach *breaches, size_t breach_count) {
  for (size_t i = 0; i < breach_count; i++) {
    run_breach(&breaches[i]);
    teardown(NULL);
    setup(NULL);
  }
}
#define RUN(breaches) run_breaches(breaches, sizeof(breaches) / sizeof((breaches)[0]))

// GOAWAY that names an earlier stream as the last: nothing was done, and whatever it is, it is sent again.
static void test_what_goaway_says_was_not_begun_is_sent_again(void **state) {
  (void)state;
  static const struct breach breaches[] = {
      {"goaway_below", FRESH, 1, "POST", 0, DRAY_OK, 0, 1},
      {"goaway_below", KEPT, 1, "POST", 0, DRAY_OK, 0, 1},
      {"goaway_below", KEPT, 3, "POST", 0, DRAY_OK, 0, 1},
      {"goaway_below", KEPT, 0, "POST", 0, DRAY_E_NET_CONNECT, 0, 0},
      {"goaway_below", KEPT, 0, "POST", DRAY_HTTP_NO_RETRY, DRAY_E_NET_CONNECT, 0, 0},
      {"goaway_below", KEPT, 0, "PUT", DRAY_HTTP_NO_RETRY, DRAY_E_NET_CONNECT, 0, 0},
      {"goaway_below", KEPT, 1, "GET", 0, DRAY_OK, 0, 1},
  };
  RUN(breaches);
}

// REFUSED_STREAM says the same. Before libcurl 8 it cannot be told on a kept connection from one that broke after the
// request was received, and what cannot be told is in doubt.
static void test_refused_stream_is_sent_again_where_it_can_be_told(void **state) {
  (void)state;
  static const struct breach breaches[] = {
      {"refused", FRESH, 1, "POST", 0, DRAY_OK, 0, 1},
      {"refused", FRESH, 3, "POST", 0, DRAY_OK, 0, 1},
      {"refused", FRESH, 0, "POST", 0, DRAY_E_NET_CONNECT, 0, 0},
      {"refused", FRESH, 0, "PATCH", DRAY_HTTP_NO_RETRY, DRAY_E_NET_CONNECT, 0, 0},
      {"refused", KEPT, 1, "POST", 0, DRAY_E_NET_CLOSED, 1, 0},
      {"refused", KEPT, 1, "POST", DRAY_HTTP_IDEMPOTENT, DRAY_OK, 0, 1},
      {"refused", KEPT, 1, "GET", 0, DRAY_OK, 0, 1},
      {"refused", KEPT, 1, "DELETE", 0, DRAY_OK, 0, 1},
  };
  RUN(breaches);
}

// The mark of a refused stream stays on a libcurl handle; it must not speak for a later request that was received.
static void test_request_after_a_refused_one_is_judged_by_itself(void **state) {
  (void)state;
  assert_code(http_get(http, &front, "/echo/before"), DRAY_OK);
  assert_code(http_send(http, &front, "PUT", "/echo/marks?h2=refused&h2n=1", "x", 0), DRAY_OK);
  struct dr_http_tuning *tuning = dr_http_tuning(http);
  tuning->backoff_base_ms = 1;
  for (int i = 0; i < 3; i++) {
    char seen[32], path[64];
    // Whatever connection was kept is used up, so that the one after goes over a fresh one.
    assert_int_not_equal(http_get(http, &front, "/echo/used-up?h2=lost").code, DRAY_OK);
    snprintf(seen, sizeof seen, "/echo/after-%d", i);
    snprintf(path, sizeof path, "%s?h2=reset", seen);
    const struct http_reply reply = http_send(http, &front, "POST", path, "charge the card", 0);
    assert_code(reply, DRAY_E_NET_CLOSED);
    assert_string_equal(reply.error.vendor_code, "in_doubt");
    assert_int_equal(count(seen), 1);
  }
}

// All that a server may have done: a POST is sent once and in doubt, what may be repeated is.
static void test_what_may_have_been_done_is_in_doubt_and_sent_once(void **state) {
  (void)state;
  static const char *const kinds[] = {"internal", "lost", "reset", "goaway_error", "cut", "cut_stream", "cut_goaway"};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    const struct breach breaches[] = {
        {kinds[i], FRESH, 0, "POST", 0, DRAY_E_NET_CLOSED, 1, 1},
        {kinds[i], KEPT, 0, "POST", 0, DRAY_E_NET_CLOSED, 1, 1},
        {kinds[i], KEPT, 1, "PATCH", DRAY_HTTP_NO_RETRY, DRAY_E_NET_CLOSED, 1, 1},
        // Who asks for the first outcome gets it, by whatever method: libcurl sends nothing again by itself.
        {kinds[i], KEPT, 1, "DELETE", DRAY_HTTP_NO_RETRY, DRAY_E_NET_CLOSED, 0, 1},
    };
    RUN(breaches);
  }
  for (size_t i = 0; i < 4; i++) { // without an answer
    const struct breach breaches[] = {
        {kinds[i], FRESH, 1, "POST", DRAY_HTTP_IDEMPOTENT, DRAY_OK, 0, 2},
        {kinds[i], KEPT, 1, "PUT", 0, DRAY_OK, 0, 2},
    };
    RUN(breaches);
  }
}

// HTTP_1_1_REQUIRED makes libcurl send the request again; it does not say that nothing was done.
static void test_post_that_is_sent_back_to_http_1_1_is_in_doubt(void **state) {
  (void)state;
  static const struct breach breaches[] = {
      {"http_1_1", FRESH, 0, "POST", 0, DRAY_E_NET_CLOSED, 1, 0},
      {"http_1_1", KEPT, 0, "POST", 0, DRAY_E_NET_CLOSED, 1, 0},
  };
  RUN(breaches);
}

static void test_goaway_beside_a_whole_answer_is_no_error(void **state) {
  (void)state;
  static const char *const methods[] = {"GET", "POST", "DELETE"};
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    const struct breach breaches[] = {
        {"goaway", FRESH, 0, methods[i], 0, DRAY_OK, 0, 1},
        {"goaway", KEPT, 0, methods[i], 0, DRAY_OK, 0, 1},
        {"goaway_after", FRESH, 0, methods[i], 0, DRAY_OK, 0, 1},
        {"goaway_after", KEPT, 0, methods[i], 0, DRAY_OK, 0, 1},
    };
    RUN(breaches);
  }
  for (int i = 0; i < 10; i++) { // each ends its connection, and none of the next is sent into it
    const char *path = i % 2 == 0 ? "/echo/row?h2=goaway" : "/echo/row?h2=goaway_after";
    assert_code(http_send(http, &front, "POST", path, "x", 0), DRAY_OK);
  }
  assert_int_equal(count("/echo/row"), 10);
}

// ---- bodies ----

struct taking {
  const char *path;
  int32_t code;
};

// By a plugin that stops now and then.
static void test_large_bodies_arrive_whole_or_are_known_to_be_cut(void **state) {
  (void)state;
  static const struct taking takings[] = {
      {"/big/whole?mb=8", DRAY_OK},
      {"/big/goaway?mb=8&h2=goaway", DRAY_OK},
      {"/big/goaway-after?mb=8&h2=goaway_after", DRAY_OK},
      {"/big/cut?mb=8&h2=cut", DRAY_E_NET_CLOSED},
      {"/big/cut-stream?mb=8&h2=cut_stream", DRAY_E_NET_CLOSED},
      {"/big/cut-goaway?mb=8&h2=cut_goaway", DRAY_E_NET_CLOSED},
      {"/gzip/cut?kb=4000&h2=cut", DRAY_E_NET_CLOSED},
      {"/gzip/whole?kb=4000&h2=goaway", DRAY_OK},
      {"/chunked?h2=goaway", DRAY_OK},
  };
  static char piece[1 << 18], pattern[sizeof piece + 256];
  const struct dray_http_service *service = dr_http_service(http);
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (char)(unsigned char)i;
  for (size_t i = 0; i < sizeof takings / sizeof takings[0]; i++) {
    const struct dray_http_request request = http_request(&front, "GET", takings[i].path);
    struct dray_http_response *response = NULL;
    struct dray_error error;
    uint64_t total = 0, bytes = 1;
    dray_error_init(&error);
    int32_t code = service->open(service->ctx, &request, &response, &error);
    assert_int_equal(code, DRAY_OK);
    for (int n = 0; code == DRAY_OK && bytes > 0; n++) {
      if (n % 8 == 1) usleep(20000);
      code = service->read(response, piece, sizeof piece, &bytes, &error);
      if (code == DRAY_OK && takings[i].path[1] == 'b') assert_memory_equal(piece, pattern + total % 256, bytes);
      if (code == DRAY_OK) total += bytes;
    }
    service->close(response);
    if (code != takings[i].code) print_error("%s: %d after %llu\n", takings[i].path, code, (unsigned long long)total);
    assert_int_equal(code, takings[i].code);
    if (code != DRAY_OK) continue;
    assert_int_equal(total, takings[i].path[1] == 'b' ? 8u << 20 : takings[i].path[1] == 'g' ? 4000u << 10 : 13u);
  }
}

// One that is not read, and another that is: both are on their way at once, so they do not share a connection.
static void test_body_that_waits_holds_up_no_other(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  const struct dray_http_request request = http_request(&front, "GET", "/big/waits?mb=40"); // past HTTP/2's window
  struct dray_http_response *response = NULL;
  struct dray_error error;
  static char piece[1 << 18];
  uint64_t total = 0, bytes = 1;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  for (int i = 0; i < 3; i++) assert_code(http_get(http, &front, "/big/meanwhile?mb=2"), DRAY_OK);
  while (bytes > 0) {
    assert_int_equal(service->read(response, piece, sizeof piece, &bytes, &error), DRAY_OK);
    total += bytes;
  }
  assert_int_equal(total, 40u << 20);
  service->close(response);
}

static void test_headers_are_found_whatever_their_case(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&front, "POST", "/echo/headers");
  const struct dray_http_header headers[] = {{dray_str_of("X-Vendor-Key"), dray_str_of("a b")}};
  static char body[100000];
  struct http_reply reply;
  memset(body, 'z', sizeof body);
  request.headers = headers;
  request.header_count = 1;
  request.body = dray_str_make(body, sizeof body);
  request.flags = DRAY_HTTP_GZIP_BODY;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_OK);
  assert_has(reply.body, "x-vendor-key: a b\n");
  assert_has(reply.body, "content-encoding: gzip\n");
  assert_true(strtol(strstr(reply.body, "content-length: ") + 16, NULL, 10) < 1000);
  struct dray_http_response *response = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  assert_true(dray_str_is(service->header(response, dray_str_of("X-TWICE")), "one"));
  assert_true(service->header(response, dray_str_of("Date")).len > 0);
  service->close(response);
  const struct http_reply throttled = http_get(http, &front, "/seq/throttled?s=429,200&ra=0.05"); // Retry-After
  assert_code(throttled, DRAY_OK);
  assert_int_equal(count("/seq/throttled"), 2);
}

static int group_setup(void **state) {
  (void)state;
  http_server_start(&server, NULL);
  http_front_start(&front, &server);
  return 0;
}

static int group_teardown(void **state) {
  (void)state;
  http_server_stop(&front);
  http_server_stop(&server);
  return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_what_goaway_says_was_not_begun_is_sent_again),
      TEST(test_refused_stream_is_sent_again_where_it_can_be_told),
      TEST(test_request_after_a_refused_one_is_judged_by_itself),
      TEST(test_what_may_have_been_done_is_in_doubt_and_sent_once),
      TEST(test_post_that_is_sent_back_to_http_1_1_is_in_doubt),
      TEST(test_goaway_beside_a_whole_answer_is_no_error),
      TEST(test_large_bodies_arrive_whole_or_are_known_to_be_cut),
      TEST(test_body_that_waits_holds_up_no_other),
      TEST(test_headers_are_found_whatever_their_case),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
