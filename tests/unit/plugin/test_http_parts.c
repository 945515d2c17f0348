// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The HTTP service's decisions without a server: addresses, what people see of them, Retry-After, backoff, excerpts.
#include "http_scene.h"

#include <stdio.h>
#include <string.h>

#include "dray/sdk/error.h"

static struct dray_error error;

static int32_t parse(const char *text, struct dr_http_url *url) {
  dray_error_init(&error);
  return dr_http_url_parse(dray_str_of(text), url, &error);
}

// ---- addresses ----

static void test_what_people_see_of_an_address_has_no_values(void **state) {
  (void)state;
  static const struct {
    const char *url, *safe;
  } cases[] = {
      {"https://Api.Example.COM/v1/items?api_key=abc&page=2", "https://api.example.com/v1/items?api_key=...&page=..."},
      {"https://example.com", "https://example.com/"},
      {"https://example.com:8443/a#fragment", "https://example.com:8443/a"},
      {"https://example.com/?token", "https://example.com/?..."},
      {"https://example.com/?a=b=c&&d=", "https://example.com/?a=...&&d=..."},
      {"http://127.0.0.1:80/", "http://127.0.0.1/"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dr_http_url url;
    assert_int_equal(parse(cases[i].url, &url), DRAY_OK);
    assert_string_equal(url.safe, cases[i].safe);
    dr_http_url_free(&url);
  }
}

static void test_only_this_machine_is_loopback(void **state) {
  (void)state;
  static const struct {
    const char *url;
    int loopback;
  } cases[] = {
      {"https://127.0.0.1/", 1},        {"https://127.255.255.254/", 1}, {"https://localhost/", 1},
      {"https://LOCALHOST/", 1},        {"https://[::1]/", 1},           {"https://127.1/", 1}, // as libcurl reads it
      {"https://128.0.0.1/", 0},        {"https://[::2]/", 0},           {"https://localhost.example.com/", 0},
      {"https://127.0.0.1.nip.io/", 0}, {"https://0.0.0.0/", 0},         {"https://[::ffff:10.0.0.1]/", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dr_http_url url;
    assert_int_equal(parse(cases[i].url, &url), DRAY_OK);
    if (url.loopback != cases[i].loopback) print_error("%s\n", cases[i].url);
    assert_int_equal(url.loopback, cases[i].loopback);
    dr_http_url_free(&url);
  }
}

static void test_long_and_strange_addresses_are_refused_without_being_shown(void **state) {
  (void)state;
  static char text[DR_HTTP_URL_BYTES_MAX + 2];
  struct dr_http_url url;
  memset(text, 'a', sizeof text - 1);
  memcpy(text, "https://example.com/", 20);
  assert_int_equal(parse(text, &url), DRAY_E_LIMIT);
  text[DR_HTTP_URL_BYTES_MAX] = '\0';
  assert_int_equal(parse(text, &url), DRAY_OK);
  assert_true(strlen(url.safe) < sizeof url.safe);
  dr_http_url_free(&url);
  static const char *const strange[] = {"https://user:hunter2@example.com/", "https://exa mple.com/hunter2",
                                        "https://example.com/hunter2\r\nX: y", "https://example.com:99999/hunter2",
                                        "//example.com/hunter2"};
  for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
    assert_int_equal(parse(strange[i], &url), DRAY_E_HTTP_HOST);
    assert_has_not(error.text, "hunter2@");
    assert_true(i == 0 || strstr(error.text, "hunter2") == NULL);
  }
}

static void follow(const char *from_text, const char *location, int32_t wanted, const char *safe, int same) {
  struct dr_http_url from, next;
  assert_int_equal(parse(from_text, &from), DRAY_OK);
  const int32_t code = dr_http_url_follow(&from, dray_str_of(location), &next, &error);
  if (code != wanted) print_error("%s -> %s: %d %s\n", from_text, location, code, error.text);
  assert_int_equal(code, wanted);
  if (code == DRAY_OK) {
    assert_string_equal(next.safe, safe);
    assert_int_equal(dr_http_url_same_origin(&from, &next), same);
    dr_http_url_free(&next);
  }
  dr_http_url_free(&from);
}

static void test_redirects_lead_only_where_they_may(void **state) {
  (void)state;
  const char *const from = "https://a.example/x/y?z=1";
  follow(from, "/other", DRAY_OK, "https://a.example/other", 1);
  follow(from, "other?k=v", DRAY_OK, "https://a.example/x/other?k=...", 1);
  follow(from, "https://a.example:443/", DRAY_OK, "https://a.example/", 1);
  follow(from, "https://A.EXAMPLE/", DRAY_OK, "https://a.example/", 1);
  follow(from, "//b.example/", DRAY_OK, "https://b.example/", 0);
  follow(from, "https://a.example:8443/", DRAY_OK, "https://a.example:8443/", 0);
  follow(from, "http://a.example/", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "https://127.0.0.1/", DRAY_E_HTTP_REDIRECT, NULL, 0); // the network does not reach back in
  follow(from, "http://localhost/", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "https://u:p@a.example/", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "ftp://a.example/", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "file:///etc/passwd", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "javascript:alert(1)", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow(from, "", DRAY_E_HTTP_REDIRECT, NULL, 0);
  follow("http://127.0.0.1:1/", "http://127.0.0.1:2/", DRAY_OK, "http://127.0.0.1:2/", 0);
  follow("https://127.0.0.1:1/", "http://127.0.0.1:1/", DRAY_OK, "http://127.0.0.1:1/", 0);
}

// ---- waits ----

static int64_t after(const char *value, const char *date) {
  return dr_http_retry_after_ms(dray_str_of(value), dray_str_of(date), 784111777); // Sun, 06 Nov 1994 08:49:37 GMT
}

static void test_retry_after_is_read_in_all_its_forms(void **state) {
  (void)state;
  assert_int_equal(after("0", ""), 0);
  assert_int_equal(after("120", ""), 120000);
  assert_int_equal(after("1.5", ""), 1500);
  assert_int_equal(after("2.0", ""), 2000);
  assert_int_equal(after("Sun, 06 Nov 1994 08:49:47 GMT", ""), 10000);
  assert_int_equal(after("Sunday, 06-Nov-94 08:49:47 GMT", ""), 10000); // RFC 850
  assert_int_equal(after("Sun Nov  6 08:49:47 1994", ""), 10000);       // asctime
  assert_int_equal(after("Sun, 06 Nov 1994 08:49:27 GMT", ""), 0);      // past
  assert_int_equal(after("Sun, 06 Nov 1994 09:00:10 GMT", "Sun, 06 Nov 1994 09:00:00 GMT"), 10000);
  assert_int_equal(after("Sun, 06 Nov 1994 08:49:47 GMT", "nonsense"), 10000);
  assert_true(after("99999999999999999999999", "") >= INT64_C(1000000000000));
  static const char *const none[] = {"", "-1", "soon", "1e", "12 s", "nan", "inf", "0x10 "};
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
    if (after(none[i], "") != -1) print_error("%s\n", none[i]);
    assert_int_equal(after(none[i], ""), -1);
  }
}

static void test_backoff_doubles_with_jitter_up_to_its_maximum(void **state) {
  (void)state;
  const struct dr_http_tuning tuning = {.backoff_base_ms = 100, .backoff_max_ms = 1000};
  static const int64_t tops[] = {100, 200, 400, 800, 1000, 1000};
  for (int32_t attempt = 1; attempt <= 6; attempt++) {
    int64_t low = INT64_MAX, high = 0;
    for (int i = 0; i < 200; i++) {
      const int64_t wait = dr_http_backoff_ms(&tuning, attempt);
      if (wait < low) low = wait;
      if (wait > high) high = wait;
    }
    const int64_t top = tops[attempt - 1];
    assert_true(low >= top / 2 && high <= top);
    assert_true(high - low > top / 8); // 200 draws over half the range
  }
  assert_true(dr_http_backoff_ms(&tuning, INT32_MAX) <= 1000);
}

static void test_which_statuses_are_worth_another_attempt(void **state) {
  (void)state;
  static const struct {
    int32_t status;
    int idempotent, has_after, wanted;
  } cases[] = {{429, 0, 0, 1}, {429, 1, 1, 1}, {503, 0, 1, 1}, {503, 0, 0, 0}, {503, 1, 0, 1},
               {500, 0, 1, 0}, {500, 1, 0, 1}, {408, 0, 0, 0}, {408, 1, 0, 1}, {404, 1, 1, 0},
               {401, 1, 0, 0}, {200, 1, 1, 0}, {301, 1, 1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(dr_http_status_retryable(cases[i].status, cases[i].idempotent, cases[i].has_after),
                     cases[i].wanted);
  }
}

// ---- excerpts ----

static void clean(const char *from, size_t len_max, const char *wanted) {
  char text[64];
  const size_t len = strlen(from);
  memcpy(text, from, len + 1);
  assert_int_equal(dr_http_clean_excerpt(text, len, len_max), strlen(wanted));
  assert_string_equal(text, wanted);
}

static void test_excerpts_are_cut_between_characters(void **state) {
  (void)state;
  clean("", 10, "");
  clean(" \r\n\t a  b\x7f ", 20, "a b");
  clean("\x1b[31mred", 20, "[31mred");
  clean("abc\xC3\xA9", 4, "abc");
  clean("ab\xE2\x82\xAC", 4, "ab");
  clean("\xF0\x9F\x98\x80", 3, "");
  clean("latin \xE9t\xE9", 20, "latin ?t"); // the last might be half a character
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_people_see_of_an_address_has_no_values),
      cmocka_unit_test(test_only_this_machine_is_loopback),
      cmocka_unit_test(test_long_and_strange_addresses_are_refused_without_being_shown),
      cmocka_unit_test(test_redirects_lead_only_where_they_may),
      cmocka_unit_test(test_retry_after_is_read_in_all_its_forms),
      cmocka_unit_test(test_backoff_doubles_with_jitter_up_to_its_maximum),
      cmocka_unit_test(test_which_statuses_are_worth_another_attempt),
      cmocka_unit_test(test_excerpts_are_cut_between_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
