// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What is repeated and what never is, as the server sees it; waits, time-outs and cancellation.
#include "http_scene.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "dray/sdk/error.h"

static struct http_server server;
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

#define FAR_MS 60000 // nothing that works takes so long, on any machine

static long count(const char *path) {
  return http_seen_number(&server, "/_count", path);
}

// For a request that nobody waited for to the end: it may still be on its way into the server.
static long count_at_least(const char *path, long least) {
  for (int i = 0; i < 6000 && count(path) < least; i++) usleep(10000);
  return count(path);
}

// ---- statuses ----

static void test_server_errors_are_outlived_by_idempotent_requests(void **state) {
  (void)state;
  struct http_reply reply = http_get(http, &server, "/seq/get?s=500,502,503,200");
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/get"), 4);
  reply = http_send(http, &server, "PUT", "/seq/put?s=500,408,200", "the whole body", 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/put"), 3);
  assert_string_equal(http_seen_text(&server, "/_body&n=2", "/seq/put"), "the whole body");
  reply = http_send(http, &server, "DELETE", "/seq/delete?s=504,200", NULL, 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/delete"), 2);
}

static void test_server_error_after_a_post_is_in_doubt_and_not_repeated(void **state) {
  (void)state;
  const struct http_reply reply = http_send(http, &server, "POST", "/seq/post-500?s=500,200", "x", 0);
  assert_code(reply, DRAY_E_HTTP_SERVER);
  assert_int_equal(reply.error.http_status, 500);
  assert_string_equal(reply.error.vendor_code, "in_doubt");
  assert_int_equal(count("/seq/post-500"), 1);
}

static void test_post_flagged_idempotent_is_repeated(void **state) {
  (void)state;
  const struct http_reply reply =
      http_send(http, &server, "POST", "/seq/post-flag?s=500,200", "x", DRAY_HTTP_IDEMPOTENT);
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/post-flag"), 2);
}

static void test_refused_post_is_repeated_since_nothing_was_done(void **state) {
  (void)state;
  struct http_reply reply = http_send(http, &server, "POST", "/seq/post-429?s=429,429,200", "x", 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/post-429"), 3);
  reply = http_send(http, &server, "POST", "/seq/post-503-after?s=503,200&ra=0", "x", 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/seq/post-503-after"), 2);
  reply = http_send(http, &server, "POST", "/seq/post-503?s=503,200", "x", 0); // says no time: a proxy, perhaps
  assert_code(reply, DRAY_E_HTTP_SERVER);
  assert_string_equal(reply.error.vendor_code, "in_doubt");
  assert_int_equal(count("/seq/post-503"), 1);
}

static void test_attempts_are_bounded(void **state) {
  (void)state;
  assert_code(http_get(http, &server, "/seq/five?s=500"), DRAY_E_HTTP_SERVER);
  assert_int_equal(count("/seq/five"), 5);
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", "/seq/two?s=500");
  request.attempts_max = 2;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_E_HTTP_SERVER);
  assert_int_equal(count("/seq/two"), 2);
  assert_code(http_send(http, &server, "GET", "/seq/once?s=500", NULL, DRAY_HTTP_NO_RETRY), DRAY_E_HTTP_SERVER);
  assert_int_equal(count("/seq/once"), 1);
}

static void test_client_errors_are_not_repeated(void **state) {
  (void)state;
  assert_code(http_get(http, &server, "/seq/404?s=404,200"), DRAY_E_HTTP_STATUS);
  assert_code(http_get(http, &server, "/seq/401?s=401,200"), DRAY_E_AUTH_REJECTED);
  assert_int_equal(count("/seq/404"), 1);
  assert_int_equal(count("/seq/401"), 1);
}

static void test_any_status_is_handed_over_after_the_attempts(void **state) {
  (void)state;
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", "/seq/any?s=500,500,500&body=sorry");
  request.flags = DRAY_HTTP_ANY_STATUS;
  request.attempts_max = 3;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.status, 500);
  assert_string_equal(reply.body, "sorry");
  assert_int_equal(count("/seq/any"), 3);
}

// ---- Retry-After ----

static void test_retry_after_in_seconds_is_waited_for(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  assert_code(http_send(http, &server, "POST", "/seq/after?s=429,200&ra=1", "x", 0), DRAY_OK);
  assert_true(dr_monotonic_ms() - begun >= 1000);
  assert_true(dr_monotonic_ms() - begun < FAR_MS);
}

static void test_retry_after_as_a_date_is_waited_for_whatever_the_servers_clock(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  assert_code(http_get(http, &server, "/seq/date?s=503,200&ra=date%2B2&shift=-86400"), DRAY_OK);
  assert_true(dr_monotonic_ms() - begun >= 900); // dates have no fractions
  assert_true(dr_monotonic_ms() - begun < FAR_MS);
  assert_int_equal(count("/seq/date"), 2);
}

static void test_wait_longer_than_five_minutes_is_left_to_the_caller(void **state) {
  (void)state;
  struct http_reply reply = http_get(http, &server, "/seq/long?s=429,200&ra=301");
  assert_code(reply, DRAY_E_THROTTLED);
  assert_int_equal(reply.error.error_class, DRAY_CLASS_THROTTLED);
  assert_int_equal(reply.error.retry_after_ms, 301000);
  assert_int_equal(reply.error.http_status, 429);
  assert_int_equal(count("/seq/long"), 1);
  reply = http_send(http, &server, "POST", "/seq/long-503?s=503,200&ra=3600", "x", 0);
  assert_code(reply, DRAY_E_THROTTLED);
  assert_int_equal(reply.error.error_class, DRAY_CLASS_THROTTLED);
  assert_int_equal(reply.error.retry_after_ms, 3600000);
  reply = http_get(http, &server, "/seq/long-date?s=429,200&ra=date%2B90000");
  assert_code(reply, DRAY_E_THROTTLED);
  assert_true(reply.error.retry_after_ms > 80000000);
}

static void test_throttled_to_the_end_says_so(void **state) {
  (void)state;
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "POST", "/seq/throttled?s=429&ra=0.01");
  request.attempts_max = 2;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_E_THROTTLED);
  assert_int_equal(reply.error.retry_after_ms, 10);
  assert_int_equal(count("/seq/throttled"), 2);
}

static _Atomic int watch_ends;

static void *watch_board(void *arg) {
  struct dr_board_view *view = arg;
  while (view->wait_until_ms == 0 && !watch_ends) {
    usleep(1000);
    dr_board_read(dr_board(), view);
  }
  return NULL;
}

static void test_user_sees_why_a_run_waits(void **state) {
  (void)state;
  pthread_t watcher;
  struct dr_board_view during = {.wait_until_ms = 0}, after;
  assert_int_equal(pthread_create(&watcher, NULL, watch_board, &during), 0);
  assert_code(http_get(http, &server, "/seq/shown?s=429,200&ra=3"), DRAY_OK);
  watch_ends = 1;
  pthread_join(watcher, NULL);
  assert_string_equal(during.wait, "429 from 127.0.0.1");
  assert_true(during.wait_until_ms > 0);
  dr_board_read(dr_board(), &after);
  assert_int_equal(after.wait_until_ms, 0);
}

// ---- connections that break ----

static void test_connection_closed_without_an_answer_is_retried_when_it_may_be(void **state) {
  (void)state;
  assert_code(http_get(http, &server, "/close-then-ok/get?fails=2"), DRAY_OK);
  assert_int_equal(count("/close-then-ok/get"), 3);
  assert_code(http_send(http, &server, "POST", "/close-then-ok/flag?fails=1", "x", DRAY_HTTP_IDEMPOTENT), DRAY_OK);
  assert_int_equal(count("/close-then-ok/flag"), 2);
}

static void test_post_received_without_an_answer_is_in_doubt_and_sent_once(void **state) {
  (void)state;
  static const char *const paths[] = {"/close-after/post", "/close-before/post"};
  for (size_t i = 0; i < 2; i++) {
    const struct http_reply reply = http_send(http, &server, "POST", paths[i], "charge the card", 0);
    assert_code(reply, DRAY_E_NET_CLOSED);
    assert_string_equal(reply.error.vendor_code, "in_doubt");
    assert_int_equal(reply.error.error_class, DRAY_CLASS_TRANSIENT);
    assert_int_equal(count(paths[i]), 1);
  }
}

// A second outcome may be another than the first: what is deleted already is not found.
static void test_who_asks_for_the_first_outcome_gets_it(void **state) {
  (void)state;
  assert_code(http_send(http, &server, "DELETE", "/stale/once", NULL, DRAY_HTTP_NO_RETRY), DRAY_OK);
  assert_code(http_send(http, &server, "DELETE", "/stale/once", NULL, DRAY_HTTP_NO_RETRY), DRAY_E_NET_CLOSED);
  assert_int_equal(count("/stale/once"), 2); // one each
}

// libcurl by itself sends a request again when a kept connection closes without an answer.
static void test_post_on_a_kept_connection_that_closes_is_sent_once(void **state) {
  (void)state;
  static const char *const bodies[] = {"charge the card", NULL};
  for (size_t i = 0; i < 2; i++) {
    char path[32];
    snprintf(path, sizeof path, "/stale/post-%zu", i);
    assert_code(http_send(http, &server, "POST", path, bodies[i], 0), DRAY_OK);
    const struct http_reply reply = http_send(http, &server, "POST", path, bodies[i], 0);
    assert_code(reply, DRAY_E_NET_CLOSED);
    assert_string_equal(reply.error.vendor_code, "in_doubt");
    assert_int_equal(count(path), 2); // one each
    assert_int_equal(http_seen_number(&server, "/_connections", path), 1);
  }
}

static void test_get_on_a_kept_connection_that_closes_is_repeated(void **state) {
  (void)state;
  assert_code(http_get(http, &server, "/stale/get"), DRAY_OK);
  assert_code(http_get(http, &server, "/stale/get"), DRAY_OK);
  assert_int_equal(count("/stale/get"), 3);
}

static void test_answer_to_a_post_that_breaks_off_is_in_doubt(void **state) {
  (void)state;
  struct http_reply reply = http_send(http, &server, "POST", "/truncated/post", "x", 0);
  assert_code(reply, DRAY_E_NET_CLOSED);
  assert_int_equal(reply.status, 200);
  assert_string_equal(reply.error.vendor_code, "in_doubt");
  reply = http_get(http, &server, "/truncated/get");
  assert_code(reply, DRAY_E_NET_CLOSED);
  assert_string_equal(reply.error.vendor_code, "");
}

// A port that nobody listens on and that nobody else is given while `fd` is open, for it is bound. With SO_REUSEADDR on
// both sides a server of ours may listen on it all the same.
static int hold_port(int *fd) {
  const int yes = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof address;
  *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
  assert_int_equal(bind(*fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(getsockname(*fd, (struct sockaddr *)&address, &len), 0);
  return ntohs(address.sin_port);
}

static void test_post_to_a_server_that_comes_up_late_arrives_once(void **state) {
  (void)state;
  struct http_server late;
  char port[16];
  int held = -1;
  snprintf(port, sizeof port, "%d", hold_port(&held));
  const char *const args[] = {"--port", port, "--after", "300", NULL};
  http_server_start(&late, args);
  dr_http_tuning(http)->backoff_base_ms = 200;
  const struct http_reply reply = http_send(http, &late, "POST", "/echo/late", "x", 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(http_seen_number(&late, "/_count", "/echo/late"), 1);
  http_server_stop(&late);
  close(held);
}

static void test_nobody_there_is_a_failed_connection_without_doubt(void **state) {
  (void)state;
  int held = -1;
  const struct http_server nobody = {.port = hold_port(&held)};
  const struct http_reply reply = http_send(http, &nobody, "POST", "/", "x", 0);
  assert_code(reply, DRAY_E_NET_CONNECT);
  assert_string_equal(reply.error.vendor_code, "");
  close(held);
}

static void test_unknown_host_is_named(void **state) {
  (void)state;
  struct http_reply reply;
  const struct dray_http_request request = {.struct_size = sizeof request,
                                            .method = dray_str_of("POST"),
                                            .url = dray_str_of("https://no-such-host.invalid/path?token=abc"),
                                            .attempts_max = 1};
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_E_NET_RESOLVE);
  assert_has(reply.error.text, "https://no-such-host.invalid/path?token=...");
  assert_string_equal(reply.error.vendor_code, "");
}

// ---- time-outs ----

static struct http_reply send_timed(const char *method, const char *path, int64_t timeout_ms, int32_t attempts_max) {
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, method, path);
  request.timeout_ms = timeout_ms;
  request.attempts_max = attempts_max;
  http_exchange(http, &request, &reply);
  return reply;
}

static void test_slow_answer_times_out_and_a_post_is_then_in_doubt(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  struct http_reply reply = send_timed("POST", "/slow/post?ms=300000", 1000, 5);
  assert_code(reply, DRAY_E_NET_TIMEOUT);
  assert_string_equal(reply.error.vendor_code, "in_doubt");
  assert_true(dr_monotonic_ms() - begun < FAR_MS);
  assert_int_equal(count_at_least("/slow/post", 1), 1);
  reply = send_timed("GET", "/slow/get?ms=300000", 1000, 2);
  assert_code(reply, DRAY_E_NET_TIMEOUT);
  assert_string_equal(reply.error.vendor_code, "");
  assert_int_equal(count_at_least("/slow/get", 2), 2);
}

static void test_whole_time_out_covers_the_body(void **state) {
  (void)state;
  const int64_t begun = dr_monotonic_ms();
  const struct http_reply reply = send_timed("GET", "/drip", 2000, 1);
  assert_code(reply, DRAY_E_NET_TIMEOUT);
  assert_true(reply.body_bytes > 0);
  assert_true(dr_monotonic_ms() - begun < FAR_MS);
}

static void test_body_that_stands_still_is_given_up_before_the_time_out(void **state) {
  (void)state;
  dr_http_tuning(http)->stall_ms = 1500;
  const int64_t begun = dr_monotonic_ms();
  const struct http_reply reply = send_timed("GET", "/stall", 10 * FAR_MS, 1);
  assert_code(reply, DRAY_E_NET_TIMEOUT);
  assert_int_equal(reply.body_bytes, 10);
  assert_true(dr_monotonic_ms() - begun < FAR_MS);
}

static void test_time_the_plugin_takes_is_not_the_servers(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", "/big/paused?mb=20");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  static char piece[1 << 20];
  uint64_t total = 0, bytes = 1;
  dray_error_init(&error);
  dr_http_tuning(http)->stall_ms = 2000;
  request.timeout_ms = 7000;
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  for (int i = 0; bytes > 0; i++) {
    if (i < 3) usleep(2500000); // a slow warehouse: 7.5 s in all
    assert_int_equal(service->read(response, piece, sizeof piece, &bytes, &error), DRAY_OK);
    total += bytes;
  }
  assert_int_equal(total, 20u << 20);
  service->close(response);
}

// ---- cancelling: in a child, since the flag stays up ----

struct cancel_case {
  const char *method, *path;
  const char *vendor_code;
};

// When the request was received, and a little later.
static void *cancel_soon(void *arg) {
  const struct cancel_case *cancel = arg;
  char path[64];
  snprintf(path, sizeof path, "%.*s", (int)strcspn(cancel->path, "?"), cancel->path);
  (void)count_at_least(path, 1);
  usleep(300000);
  dr_cancel_request();
  return NULL;
}

// 0: cancelled, with the right mark, and not when the wait was over by itself.
static int run_cancelled(struct cancel_case *cancel) {
  pthread_t canceller;
  struct http_reply reply;
  struct dr_http *client = http_client();
  const struct dray_http_request request = http_request(&server, cancel->method, cancel->path);
  const int64_t begun = dr_monotonic_ms();
  if (pthread_create(&canceller, NULL, cancel_soon, cancel) != 0) return 1;
  http_exchange(client, &request, &reply);
  const int64_t took = dr_monotonic_ms() - begun;
  dr_http_free(client);
  pthread_join(canceller, NULL);
  if (reply.code != DRAY_E_CANCELLED) return 2;
  if (took < 300 || took > FAR_MS) return 3;
  return strcmp(reply.error.vendor_code, cancel->vendor_code) == 0 ? 0 : 4;
}

static void test_cancel_ends_every_wait(void **state) {
  (void)state;
  static struct cancel_case cases[] = {
      {"GET", "/slow/cancel?ms=300000", ""},               // for an answer
      {"POST", "/slow/cancel-post?ms=300000", "in_doubt"}, // which may have been received
      {"GET", "/stall/cancel", ""},                        // for a body
      {"POST", "/seq/cancel?s=429&ra=240", ""},            // for the time an answer named: nothing was done
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int status = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(run_cancelled(&cases[i]));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) print_error("case %zu: %d\n", i, status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
}

// 0: the answer came although the run was asked to end. `await_ms` 0: as it is for real.
static int run_awaited(struct cancel_case *cancel, int64_t await_ms, int32_t expected) {
  pthread_t canceller;
  struct http_reply reply;
  struct dr_http *client = http_client();
  struct dray_http_request request = http_request(&server, cancel->method, cancel->path);
  request.flags |= DRAY_HTTP_AWAITED;
  if (await_ms != 0) dr_http_tuning(client)->await_ms = await_ms;
  if (pthread_create(&canceller, NULL, cancel_soon, cancel) != 0) return 1;
  http_exchange(client, &request, &reply);
  dr_http_free(client);
  pthread_join(canceller, NULL);
  if (!dr_cancelled() || dr_board()->hold_until_ms == 0) return 2;
  if (reply.code != expected) return 3;
  return strcmp(reply.error.vendor_code, cancel->vendor_code) == 0 ? 0 : 4;
}

static void test_what_is_awaited_outlasts_a_cancel(void **state) {
  (void)state;
  static struct {
    struct cancel_case request;
    int64_t await_ms;
    int32_t expected;
  } cases[] = {
      {{"POST", "/slow/awaited?ms=1500", ""}, 0, DRAY_OK},
      {{"POST", "/slow/awaited-long?ms=300000", "in_doubt"}, 400, DRAY_E_CANCELLED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int status = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(run_awaited(&cases[i].request, cases[i].await_ms, cases[i].expected));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0) print_error("case %zu: %d\n", i, status);
    assert_int_equal(status, 0);
  }
}

static void test_cancelled_run_sends_nothing_more(void **state) {
  (void)state;
  int status = 0;
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    dr_cancel_request();
    const struct http_reply reply = http_get(http_client(), &server, "/echo/cancelled");
    _exit(reply.code == DRAY_E_CANCELLED ? 0 : 1);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(count("/echo/cancelled"), 0);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_server_errors_are_outlived_by_idempotent_requests),
      TEST(test_server_error_after_a_post_is_in_doubt_and_not_repeated),
      TEST(test_post_flagged_idempotent_is_repeated),
      TEST(test_refused_post_is_repeated_since_nothing_was_done),
      TEST(test_attempts_are_bounded),
      TEST(test_client_errors_are_not_repeated),
      TEST(test_any_status_is_handed_over_after_the_attempts),
      TEST(test_retry_after_in_seconds_is_waited_for),
      TEST(test_retry_after_as_a_date_is_waited_for_whatever_the_servers_clock),
      TEST(test_wait_longer_than_five_minutes_is_left_to_the_caller),
      TEST(test_throttled_to_the_end_says_so),
      TEST(test_user_sees_why_a_run_waits),
      TEST(test_connection_closed_without_an_answer_is_retried_when_it_may_be),
      TEST(test_post_received_without_an_answer_is_in_doubt_and_sent_once),
      TEST(test_post_on_a_kept_connection_that_closes_is_sent_once),
      TEST(test_get_on_a_kept_connection_that_closes_is_repeated),
      TEST(test_who_asks_for_the_first_outcome_gets_it),
      TEST(test_answer_to_a_post_that_breaks_off_is_in_doubt),
      TEST(test_post_to_a_server_that_comes_up_late_arrives_once),
      TEST(test_nobody_there_is_a_failed_connection_without_doubt),
      TEST(test_unknown_host_is_named),
      TEST(test_slow_answer_times_out_and_a_post_is_then_in_doubt),
      TEST(test_whole_time_out_covers_the_body),
      TEST(test_body_that_stands_still_is_given_up_before_the_time_out),
      TEST(test_time_the_plugin_takes_is_not_the_servers),
      TEST(test_cancel_ends_every_wait),
      TEST(test_what_is_awaited_outlasts_a_cancel),
      TEST(test_cancelled_run_sends_nothing_more),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
