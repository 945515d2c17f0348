// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests and answers: what arrives at the server, what the plugin gets, what is refused before anything is sent,
// limits.
#include "http_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/redact.h"
#include "dray/sdk/error.h"
#include "torture.h"

#define SECRET "s3cr3t-canary-value"

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
  dr_redact_clear();
  return 0;
}

// ---- what arrives ----

static void test_request_arrives_as_the_plugin_described_it(void **state) {
  (void)state;
  const struct dray_http_header headers[] = {{dray_str_of("X-Vendor"), dray_str_of("a b")},
                                             {dray_str_of("Content-Type"), dray_str_of("application/json")},
                                             {dray_str_of("X-Blank"), dray_str_of("")}};
  struct dray_http_request request = http_request(&server, "PATCH", "/echo/patch?x=1");
  struct http_reply reply;
  request.headers = headers;
  request.header_count = 3;
  request.body = dray_str_make("{\"a\":\"\0\"}", 9);
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.status, 200);
  assert_has(reply.body, "PATCH\n");
  assert_has(reply.body, "X-Vendor: a b\n");
  assert_has(reply.body, "Content-Type: application/json\n");
  assert_has(reply.body, "X-Blank: \n");
  assert_has(reply.body, "Content-Length: 9\n");
  assert_has(reply.body, "Accept-Encoding: gzip\n");
  assert_has(reply.body, "User-Agent: dray\n");
  assert_has_not(reply.body, "Expect:");
  assert_memory_equal(reply.body + reply.body_bytes - 9, "{\"a\":\"\0\"}", 9);
}

static void test_every_method_is_sent_with_and_without_a_body(void **state) {
  (void)state;
  static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
  for (size_t i = 0; i < 5; i++) {
    char path[64], start[16];
    snprintf(path, sizeof path, "/echo/method-%s", methods[i]);
    snprintf(start, sizeof start, "%s\n", methods[i]);
    struct http_reply reply = http_send(http, &server, methods[i], path, NULL, 0);
    assert_code(reply, DRAY_OK);
    assert_int_equal(strncmp(reply.body, start, strlen(start)), 0);
    assert_has_not(reply.body, "Content-Type"); // libcurl's own would say form data
    reply = http_send(http, &server, methods[i], path, "body", 0);
    assert_code(reply, DRAY_OK);
    assert_int_equal(strncmp(reply.body, start, strlen(start)), 0);
    assert_string_equal(reply.body + reply.body_bytes - 4, "body");
  }
  const struct http_reply reply = http_send(http, &server, "HEAD", "/gzip/head", NULL, 0);
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.status, 200);
  assert_int_equal(reply.body_bytes, 0);
}

static void test_gzip_body_arrives_compressed_and_whole(void **state) {
  (void)state;
  char *body = malloc(100001);
  assert_non_null(body);
  for (size_t i = 0; i < 100000; i++) body[i] = (char)('a' + i % 7);
  body[100000] = '\0';
  const struct http_reply reply = http_send(http, &server, "POST", "/echo/packed", body, DRAY_HTTP_GZIP_BODY);
  assert_code(reply, DRAY_OK);
  assert_has(reply.body, "Content-Encoding: gzip\n");
  assert_string_equal(http_seen_text(&server, "/_header&name=content-encoding", "/echo/packed"), "gzip");
  const char *packed = strstr(reply.body, "\n\n") + 2;
  z_stream inflater = {0};
  assert_int_equal(inflateInit2(&inflater, 31), Z_OK);
  char *plain = malloc(200000);
  assert_non_null(plain);
  inflater.next_in = (unsigned char *)(uintptr_t)packed;
  inflater.avail_in = (unsigned)(reply.body + reply.body_bytes - packed);
  inflater.next_out = (unsigned char *)plain;
  inflater.avail_out = 200000;
  assert_int_equal(inflate(&inflater, Z_FINISH), Z_STREAM_END);
  assert_int_equal(inflater.total_out, 100000);
  assert_memory_equal(plain, body, 100000);
  inflateEnd(&inflater);
  free(plain);
  free(body);
}

static void test_connection_is_kept_between_requests(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) {
    const struct http_reply reply = http_send(http, &server, "POST", "/echo/kept", "x", 0);
    assert_code(reply, DRAY_OK);
  }
  assert_int_equal(http_seen_number(&server, "/_connections", "/echo/kept"), 1);
}

static void test_connection_survives_an_error_status(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) assert_code(http_get(http, &server, "/seq/kept-404?s=404&body=gone"), DRAY_E_HTTP_STATUS);
  assert_int_equal(http_seen_number(&server, "/_connections", "/seq/kept-404"), 1);
}

// ---- what the plugin gets ----

static void test_headers_are_found_by_any_case_first_first(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  const struct dray_http_request request = http_request(&server, "GET", "/echo/headers");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  assert_true(dray_str_is(service->header(response, dray_str_of("X-TWICE")), "one"));
  assert_int_equal(service->header(response, dray_str_of("X-Empty")).len, 0);
  assert_int_equal(service->header(response, dray_str_of("X-Twic")).len, 0);
  service->close(response); // without having read the body
  service->close(NULL);
}

static void test_headers_of_an_interim_answer_are_not_the_answers(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  const struct dray_http_request request = http_request(&server, "GET", "/hints");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  char body[32] = "";
  uint64_t bytes = 0;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  assert_int_equal(service->status(response), 200);
  assert_int_equal(service->header(response, dray_str_of("X-Hint")).len, 0);
  assert_int_equal(service->read(response, body, sizeof body, &bytes, &error), DRAY_OK);
  assert_int_equal(strncmp(body, "after hints", 11), 0);
  service->close(response);
}

static void test_bodies_of_every_framing_come_whole(void **state) {
  (void)state;
  assert_string_equal(http_get(http, &server, "/chunked").body, "one two three");
  assert_string_equal(http_get(http, &server, "/until-close").body, "to the end");
  assert_string_equal(http_get(http, &server, "/gzip-members").body, "first second");
  struct http_reply reply = http_get(http, &server, "/gzip?kb=300");
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.body_bytes, 300 * 1024);
  assert_int_equal(strncmp(reply.body, "0123456789abcdef0123", 20), 0);
  reply = http_get(http, &server, "/empty");
  assert_int_equal(reply.status, 204);
  assert_int_equal(reply.body_bytes, 0);
  reply = http_get(http, &server, "/not-modified");
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.status, 304);
}

static void test_gzip_body_comes_whole_through_a_buffer_of_one_byte(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  const struct dray_http_request request = http_request(&server, "GET", "/gzip?kb=2");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  uint64_t total = 0, bytes = 1;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  while (bytes > 0) {
    char c = 0;
    assert_int_equal(service->read(response, &c, 1, &bytes, &error), DRAY_OK);
    if (bytes > 0) assert_int_equal(c, "0123456789abcdef"[total % 16]);
    total += bytes;
  }
  assert_int_equal(total, 2048);
  assert_int_equal(service->read(response, &total, 1, &bytes, &error), DRAY_OK); // the end stays the end
  assert_int_equal(bytes, 0);
  service->close(response);
}

static void test_html_with_200_is_handed_over_with_its_type(void **state) {
  (void)state;
  const struct http_reply reply = http_get(http, &server, "/html");
  assert_code(reply, DRAY_OK);
  assert_string_equal(reply.content_type, "text/html; charset=utf-8");
  assert_has(reply.body, "please log in");
}

// ASan keeps what was freed for a while, which would be counted as use.
DRAY_EXPORT const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "quarantine_size_mb=1";
}

static long peak_kb(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

static void test_big_body_streams_through_flat_memory(void **state) {
  (void)state;
  http_get(http, &server, "/big/warm?mb=1");
  const long before_kb = peak_kb();
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", "/big?mb=200");
  request.response_bytes_max = UINT64_MAX;
  request.timeout_ms = 600000;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.body_bytes, 200u << 20);
  assert_true(peak_kb() - before_kb < 8 * 1024);
}

static void test_body_nobody_reads_waits_at_the_server(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_request request = http_request(&server, "GET", "/big/held?mb=100");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  char piece[1000];
  uint64_t bytes = 0;
  dray_error_init(&error);
  request.response_bytes_max = UINT64_MAX;
  request.timeout_ms = 600000;
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  const long before_kb = peak_kb();
  // Meanwhile the same client does other work, which drives the held transfer too.
  for (int i = 0; i < 20; i++) assert_code(http_get(http, &server, "/echo/meanwhile"), DRAY_OK);
  assert_true(response->wire_len <= DR_HTTP_WIRE_BYTES);
  assert_true(peak_kb() - before_kb < 8 * 1024);
  for (int i = 0; i < 3000; i++) {
    assert_int_equal(service->read(response, piece, sizeof piece, &bytes, &error), DRAY_OK);
    for (uint64_t b = 0; b < bytes; b++)
      assert_true((unsigned char)piece[b] == (unsigned char)(response->body_bytes - bytes + b));
  }
  service->close(response);
}

static void test_small_compressed_body_cannot_fill_memory(void **state) {
  (void)state;
  const long before_kb = peak_kb();
  const struct http_reply reply = http_get(http, &server, "/gzip/bomb?kb=200000"); // 200 MB from 200 KB
  assert_code(reply, DRAY_E_LIMIT);
  assert_has(reply.error.text, "67108864");
  assert_int_equal(reply.body_bytes, 64u << 20);
  assert_true(peak_kb() - before_kb < 8 * 1024);
}

// ---- limits ----

static void test_answer_of_exactly_the_limit_passes_and_one_byte_more_does_not(void **state) {
  (void)state;
  struct http_reply reply;
  static const char *const paths[] = {"/truncated/exact?sent=1024&full=1024", "/gzip/exact?kb=1"};
  for (size_t i = 0; i < 2; i++) {
    struct dray_http_request request = http_request(&server, "GET", paths[i]);
    request.response_bytes_max = 1024;
    http_exchange(http, &request, &reply);
    assert_code(reply, DRAY_OK);
    assert_int_equal(reply.body_bytes, 1024);
    request.response_bytes_max = 1023;
    http_exchange(http, &request, &reply);
    assert_code(reply, DRAY_E_LIMIT);
    assert_int_equal(reply.body_bytes, 1023);
  }
}

static void test_headers_beyond_the_limit_are_refused(void **state) {
  (void)state;
  assert_code(http_get(http, &server, "/headers/fine?kb=150"), DRAY_OK);
  assert_code(http_get(http, &server, "/headers/long?one=90"), DRAY_OK);
  assert_code(http_get(http, &server, "/headers/longer?one=150"), DRAY_E_LIMIT);
  const struct http_reply reply = http_get(http, &server, "/headers?kb=300");
  assert_code(reply, DRAY_E_LIMIT);
  assert_has(reply.error.text, "262144");
}

// ---- refused before anything is sent ----

static struct http_reply try_request(const char *method, const char *url) {
  struct http_reply reply;
  const struct dray_http_request request = {
      .struct_size = sizeof request, .method = dray_str_of(method), .url = dray_str_of(url)};
  http_exchange(http, &request, &reply);
  return reply;
}

static void test_other_schemes_hosts_and_methods_are_refused(void **state) {
  (void)state;
  static const char *const urls[] = {"http://example.com/",
                                     "http://127.0.0.1.example.com/",
                                     "http://10.0.0.1/",
                                     "ftp://127.0.0.1/",
                                     "file:///etc/passwd",
                                     "http://128.0.0.1/",
                                     "http://[::2]/",
                                     "",
                                     "example.com",
                                     "https://",
                                     "http://0.0.0.0/",
                                     "https://user:pw@example.com/",
                                     "http://localhost.evil.example/",
                                     "gopher://localhost/"};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    const struct http_reply reply = try_request("GET", urls[i]);
    if (reply.code != DRAY_E_HTTP_HOST) print_error("%s: %d\n", urls[i], reply.code);
    assert_code(reply, DRAY_E_HTTP_HOST);
  }
  static const char *const methods[] = {"", "get", "TRACE", "CONNECT", "OPTIONS", "GET /x"};
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    assert_code(http_send(http, &server, methods[i], "/echo/no-method", NULL, 0), DRAY_E_HTTP_HOST);
  }
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/no-method"), 0);
}

static void test_unknown_flags_and_impossible_numbers_are_refused(void **state) {
  (void)state;
  struct http_reply reply = http_send(http, &server, "GET", "/echo/flags", NULL, 32);
  assert_code(reply, DRAY_E_PLUGIN_CONTRACT);
  assert_has(reply.error.text, "0x20");
  struct dray_http_request request = http_request(&server, "GET", "/echo/flags");
  request.timeout_ms = -1;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_E_PLUGIN_CONTRACT);
  request = http_request(&server, "GET", "/echo/flags");
  request.struct_size = 8;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_E_PLUGIN_CONTRACT);
  assert_code(http_send(http, &server, "HEAD", "/echo/flags", "body", 0), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/flags"), 0);
}

static void test_request_of_an_older_plugin_gets_the_defaults(void **state) {
  (void)state;
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", "/echo/older");
  request.struct_size = offsetof(struct dray_http_request, headers);
  request.headers = (const struct dray_http_header *)(uintptr_t)0xdead; // beyond its size: never looked at
  request.header_count = 99;
  request.timeout_ms = -5;
  http_exchange(http, &request, &reply);
  assert_code(reply, DRAY_OK);
}

static struct http_reply try_header(const char *name, const char *value) {
  struct http_reply reply;
  const struct dray_http_header header = {dray_str_of(name), dray_str_of(value)};
  struct dray_http_request request = http_request(&server, "GET", "/echo/injected");
  request.headers = &header;
  request.header_count = 1;
  http_exchange(http, &request, &reply);
  return reply;
}

static void test_headers_cannot_smuggle(void **state) {
  (void)state;
  const struct http_reply reply =
      try_header("Authorization", "Bearer " SECRET "\n"); // a secret file that ends in a line break
  assert_code(reply, DRAY_E_CONFIG_VALUE);
  assert_string_equal(reply.error.field, "Authorization");
  assert_has_not(reply.error.text, SECRET);
  assert_code(try_header("X-A", "b\r\nX-Evil: 1"), DRAY_E_CONFIG_VALUE);
  assert_code(try_header("X-A: b\r\nX-Evil", "1"), DRAY_E_PLUGIN_CONTRACT);
  assert_code(try_header("", "1"), DRAY_E_PLUGIN_CONTRACT);
  assert_code(try_header("Content-Length", "5"), DRAY_E_PLUGIN_CONTRACT);
  assert_code(try_header("host", "example.com"), DRAY_E_PLUGIN_CONTRACT);
  assert_code(try_header("Transfer-Encoding", "chunked"), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(http_seen_number(&server, "/_count", "/echo/injected"), 0);
}

// ---- errors ----

static void append(char *text, size_t capacity, const char *more) {
  const size_t len = strlen(text);
  assert_true(len + strlen(more) < capacity);
  snprintf(text + len, capacity - len, "%s", more);
}

static void test_statuses_become_errors_of_their_class(void **state) {
  (void)state;
  static const struct {
    int status;
    int32_t code, error_class;
  } cases[] = {{400, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},    {401, DRAY_E_AUTH_REJECTED, DRAY_CLASS_AUTH},
               {403, DRAY_E_AUTH_FORBIDDEN, DRAY_CLASS_AUTH},   {404, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},
               {408, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT}, {422, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},
               {429, DRAY_E_THROTTLED, DRAY_CLASS_THROTTLED},   {500, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT},
               {503, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT}, {599, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char path[128];
    snprintf(path, sizeof path, "/seq/status-%d?s=%d&body=the+reason", cases[i].status, cases[i].status);
    const struct http_reply reply = http_send(http, &server, "GET", path, NULL, DRAY_HTTP_NO_RETRY);
    assert_code(reply, cases[i].code);
    assert_int_equal(reply.error.error_class, cases[i].error_class);
    assert_int_equal(reply.error.http_status, cases[i].status);
    assert_has(reply.error.text, "the reason");
    const struct http_reply any =
        http_send(http, &server, "GET", path, NULL, DRAY_HTTP_NO_RETRY | DRAY_HTTP_ANY_STATUS);
    assert_code(any, DRAY_OK);
    assert_int_equal(any.status, cases[i].status);
    assert_string_equal(any.body, "the reason");
  }
}

static void test_excerpt_of_an_error_is_one_clean_short_line(void **state) {
  (void)state;
  char path[1200] = "/seq/excerpt?s=422&body=%1B%5B31mred%0A%0D%09line%20%20two%C3%A9";
  for (int i = 0; i < 100; i++) append(path, sizeof path, "%C3%A9x");
  const struct http_reply reply = http_get(http, &server, path);
  assert_code(reply, DRAY_E_HTTP_STATUS);
  assert_has(reply.error.text, "answered 422: [31mred line two\xC3\xA9");
  assert_true(strlen(reply.error.text) < 400);
  assert_true(dray_utf8_valid(reply.error.text, strlen(reply.error.text)));
  for (const char *c = reply.error.text; *c != '\0'; c++) assert_true((unsigned char)*c >= 0x20);
}

static void test_secrets_are_in_no_error(void **state) {
  (void)state;
  dr_redact_add(dray_str_of(SECRET));
  struct http_reply reply = http_get(http, &server, "/seq/leak?s=422&api_key=hunter2&body=you+sent+" SECRET);
  assert_code(reply, DRAY_E_HTTP_STATUS);
  assert_has(reply.error.text, "you sent");
  assert_has(reply.error.text, "api_key=...");
  assert_has_not(reply.error.text, SECRET);
  assert_has_not(reply.error.text, "hunter2");
  reply = try_request("GET", "http://127.0.0.1:1/hook/" SECRET);
  assert_code(reply, DRAY_E_NET_CONNECT);
  assert_has_not(reply.error.text, SECRET);
  // A secret that the cut after 200 bytes would halve.
  char path[600] = "/seq/leak-cut?s=422&body=";
  for (int i = 0; i < 190; i++) append(path, sizeof path, "x");
  append(path, sizeof path, SECRET);
  reply = http_get(http, &server, path);
  assert_has_not(reply.error.text, "s3cr3t");
}

static void test_damaged_bodies_are_errors_not_short_data(void **state) {
  (void)state;
  static const struct {
    const char *path;
    int32_t code;
  } cases[] = {{"/truncated", DRAY_E_NET_CLOSED},
               {"/gzip-truncated", DRAY_E_NET_CLOSED},
               {"/gzip-damaged", DRAY_E_HTTP_CONTENT},
               {"/brotli", DRAY_E_HTTP_CONTENT},
               {"/no-http", DRAY_E_HTTP_CONTENT}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct http_reply reply = http_get(http, &server, cases[i].path);
    if (reply.code != cases[i].code) print_error("%s\n", cases[i].path);
    assert_code(reply, cases[i].code);
    assert_has(reply.error.text, cases[i].path);
  }
}

static void test_error_of_a_read_is_said_again(void **state) {
  (void)state;
  const struct dray_http_service *service = dr_http_service(http);
  const struct dray_http_request request = http_request(&server, "GET", "/truncated?sent=10");
  struct dray_http_response *response = NULL;
  struct dray_error error;
  char piece[64];
  uint64_t bytes = 0, total = 0;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &response, &error), DRAY_OK);
  int32_t code = DRAY_OK;
  while (code == DRAY_OK) {
    code = service->read(response, piece, sizeof piece, &bytes, &error);
    if (code == DRAY_OK) total += bytes;
  }
  assert_int_equal(code, DRAY_E_NET_CLOSED);
  assert_int_equal(total, 10);
  dray_error_init(&error);
  assert_int_equal(service->read(response, piece, sizeof piece, &bytes, &error), DRAY_E_NET_CLOSED);
  assert_int_equal(error.code, DRAY_E_NET_CLOSED);
  assert_int_equal(service->read(response, piece, 0, &bytes, NULL), DRAY_E_NET_CLOSED); // without an error struct
  service->close(response);
}

static void test_early_answer_to_a_large_upload_is_read(void **state) {
  (void)state;
  const size_t size = 8u << 20;
  char *body = malloc(size);
  assert_non_null(body);
  memset(body, 'b', size);
  struct dray_http_request request = http_request(&server, "POST", "/early");
  struct http_reply reply;
  request.body = dray_str_make(body, size);
  http_exchange(http, &request, &reply);
  free(body);
  // The server refuses and closes while the body is on its way: either its answer is seen, or the broken connection
  // is in doubt.
  if (reply.code == DRAY_E_HTTP_STATUS) {
    assert_int_equal(reply.error.http_status, 413);
  } else {
    assert_code(reply, DRAY_E_NET_CLOSED);
    assert_string_equal(reply.error.vendor_code, "in_doubt");
  }
}

static void test_answers_left_open_are_closed_with_the_client(void **state) {
  (void)state;
  struct dr_http *careless = http_client();
  const struct dray_http_service *service = dr_http_service(careless);
  const struct dray_http_request request = http_request(&server, "GET", "/big/left?mb=1");
  struct dray_http_response *one = NULL, *two = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(service->open(service->ctx, &request, &one, &error), DRAY_OK);
  assert_int_equal(service->open(service->ctx, &request, &two, &error), DRAY_OK);
  dr_http_free(careless); // ASan tells
}

// ---- allocations ----

static int32_t whole_exchange(void *ctx) {
  (void)ctx;
  struct dr_http *client = dr_http_new("torture", NULL);
  if (client == NULL) return DRAY_E_OUT_OF_MEMORY;
  const struct dray_http_header header = {dray_str_of("X-A"), dray_str_of("b")};
  struct dray_http_request request = http_request(&server, "POST", "/gzip?kb=100");
  struct http_reply reply;
  request.headers = &header;
  request.header_count = 1;
  request.body = dray_str_of("some body");
  request.flags = DRAY_HTTP_GZIP_BODY;
  request.rate_key = dray_str_of("torture");
  http_exchange(client, &request, &reply);
  dr_http_free(client);
  if (reply.code != DRAY_OK) assert_int_equal(reply.code, DRAY_E_OUT_OF_MEMORY);
  if (reply.code == DRAY_OK) assert_int_equal(reply.body_bytes, 100 * 1024);
  return reply.code;
}

static void test_every_failed_allocation_is_reported(void **state) {
  (void)state;
  assert_true(torture_every(whole_exchange, NULL) >= 10);
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
      TEST(test_request_arrives_as_the_plugin_described_it),
      TEST(test_every_method_is_sent_with_and_without_a_body),
      TEST(test_gzip_body_arrives_compressed_and_whole),
      TEST(test_connection_is_kept_between_requests),
      TEST(test_connection_survives_an_error_status),
      TEST(test_headers_are_found_by_any_case_first_first),
      TEST(test_headers_of_an_interim_answer_are_not_the_answers),
      TEST(test_bodies_of_every_framing_come_whole),
      TEST(test_gzip_body_comes_whole_through_a_buffer_of_one_byte),
      TEST(test_html_with_200_is_handed_over_with_its_type),
      TEST(test_big_body_streams_through_flat_memory),
      TEST(test_body_nobody_reads_waits_at_the_server),
      TEST(test_small_compressed_body_cannot_fill_memory),
      TEST(test_answer_of_exactly_the_limit_passes_and_one_byte_more_does_not),
      TEST(test_headers_beyond_the_limit_are_refused),
      TEST(test_other_schemes_hosts_and_methods_are_refused),
      TEST(test_unknown_flags_and_impossible_numbers_are_refused),
      TEST(test_request_of_an_older_plugin_gets_the_defaults),
      TEST(test_headers_cannot_smuggle),
      TEST(test_statuses_become_errors_of_their_class),
      TEST(test_excerpt_of_an_error_is_one_clean_short_line),
      TEST(test_secrets_are_in_no_error),
      TEST(test_damaged_bodies_are_errors_not_short_data),
      TEST(test_error_of_a_read_is_said_again),
      TEST(test_early_answer_to_a_large_upload_is_read),
      TEST(test_answers_left_open_are_closed_with_the_client),
      TEST(test_every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
