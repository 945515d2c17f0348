// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls of an HTTP API: what is sent, what comes back, what is in doubt, and one more try after a 401.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/api.h"
#include "dray/sdk/json.h"
#include "fake_host.h"
#include "torture.h"

#define BASE "https://acme.test/v3"

struct scene {
  struct fake_host fake;
  struct dray_credential *credential;
  struct dray_api api;
  struct dray_api_answer answer;
  struct dray_error error;
};

static void begin(struct scene *scene, const struct fake_exchange *exchanges, size_t count,
                  const struct dray_credential_terms *terms) {
  memset(scene, 0, sizeof(*scene));
  fake_host_init(&scene->fake, exchanges, count);
  scene->fake.secrets[0] = "key";
  scene->fake.secrets[1] = "s3cret";
  dray_error_init(&scene->error);
  if (terms != NULL) {
    assert_int_equal(dray_credential_new(&scene->fake.services, terms, &scene->credential, NULL), DRAY_OK);
  }
  scene->api = (struct dray_api){.services = &scene->fake.services,
                                 .base_url = BASE,
                                 .credential = scene->credential,
                                 .token_header = "Authorization",
                                 .token_prefix = "Bearer "};
}

static void end(struct scene *scene) {
  dray_api_answer_free(&scene->answer);
  dray_credential_free(scene->credential);
  fake_host_expect_idle(&scene->fake);
}

static int32_t call(struct scene *scene, const char *method, const char *path, const char *body, uint32_t flags) {
  const struct dray_api_request request = {
      .flags = flags, .method = method, .path = dray_str_of(path), .body = dray_str_of(body)};
  dray_error_init(&scene->error);
  return dray_api_call(&scene->api, &request, &scene->answer, &scene->error);
}

static const struct dray_credential_terms static_terms = {
    .grant = DRAY_GRANT_STATIC, .name = "oauth", .token_setting = "key"};
static const struct dray_credential_terms client_terms = {.grant = DRAY_GRANT_CLIENT_CREDENTIALS,
                                                          .name = "oauth",
                                                          .token_url = "https://acme.test/oauth",
                                                          .client_id = "me",
                                                          .secret_setting = "key"};

// ---- what is sent ----

static void test_a_request_has_address_headers_and_token(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"a\":1}", .headers = "X-Left: 7\n"}, {.status = 404}};
  static const struct dray_http_header more[] = {{{"X-Version", 9}, {"2", 1}}, {{"accept", 6}, {"text/plain", 10}}};
  struct scene scene;
  begin(&scene, exchanges, 2, &static_terms);
  scene.api.headers = more;
  scene.api.header_count = 2;
  assert_int_equal(call(&scene, "POST", "/lists?a=1", "{}", DRAY_HTTP_NO_RETRY), DRAY_OK);
  assert_string_equal(scene.fake.requests[0].line, "POST " BASE "/lists?a=1");
  assert_string_equal(scene.fake.requests[0].headers, "accept: text/plain\nContent-Type: application/json\n"
                                                      "X-Version: 2\nAuthorization: Bearer s3cret\n");
  assert_string_equal(scene.fake.requests[0].body, "{}");
  assert_int_equal(scene.fake.requests[0].flags, DRAY_HTTP_NO_RETRY | DRAY_HTTP_ANY_STATUS);
  assert_int_equal(scene.answer.status, 200);
  assert_string_equal(scene.answer.body.data, "{\"a\":1}");
  assert_true(dray_str_is(dray_api_header(&scene.answer, "x-left"), "7"));
  assert_int_equal(call(&scene, "GET", "https://ACME.test/v3/other", NULL, 0), DRAY_OK);
  assert_string_equal(scene.fake.requests[1].line, "GET https://ACME.test/v3/other");
  assert_null(strstr(scene.fake.requests[1].headers, "Content-Type"));
  assert_int_equal(scene.answer.status, 404);
  assert_int_equal(scene.answer.body.len, 0);
  end(&scene);
}

static void test_an_address_elsewhere_is_never_asked(void **state) {
  (void)state;
  static const char *const paths[] = {"https://evil.test/x", "http://acme.test/v3", "https://acme.test:444/v3",
                                      "https://acme.test.evil/", "https://acme.test@evil/"};
  struct scene scene;
  begin(&scene, NULL, 0, &static_terms);
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    assert_int_equal(call(&scene, "GET", paths[i], NULL, 0), DRAY_E_HTTP_HOST);
  }
  assert_int_equal(call(&scene, "GET", "lists", NULL, 0), DRAY_E_PLUGIN_CONTRACT);
  end(&scene);
}

// ---- 401 ----

static void test_a_refused_token_is_renewed_and_the_request_sent_once_more(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"access_token\":\"one!\",\"expires_in\":3600}"},
                                                   {.status = 401, .body = "no"},
                                                   {.body = "{\"access_token\":\"two!\",\"expires_in\":3600}"},
                                                   {.body = "{}"}};
  struct scene scene;
  begin(&scene, exchanges, 4, &client_terms);
  assert_int_equal(call(&scene, "PUT", "/x", "{\"b\":2}", 0), DRAY_OK);
  assert_int_equal(scene.answer.status, 200);
  assert_string_equal(scene.fake.requests[1].body, "{\"b\":2}");
  assert_non_null(strstr(scene.fake.requests[1].headers, "Bearer one!"));
  assert_string_equal(scene.fake.requests[3].line, "PUT " BASE "/x");
  assert_string_equal(scene.fake.requests[3].body, "{\"b\":2}");
  assert_non_null(strstr(scene.fake.requests[3].headers, "Bearer two!"));
  end(&scene);
}

static void test_a_second_refusal_is_the_answer(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"access_token\":\"one!\"}"},
                                                   {.status = 401},
                                                   {.body = "{\"access_token\":\"two!\"}"},
                                                   {.status = 401, .body = "still no"}};
  struct scene scene;
  begin(&scene, exchanges, 4, &client_terms);
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(scene.answer.status, 401);
  assert_int_equal(dray_api_fail(&scene.answer, "acme lists", NULL, &scene.error), DRAY_E_AUTH_REJECTED);
  assert_string_equal(scene.error.text, "acme lists: answered 401: still no (check `key`)");
  assert_string_equal(scene.error.field, "key");
  end(&scene);

  static const struct fake_exchange once[] = {{.status = 401}};
  begin(&scene, once, 1, &static_terms); // nothing to renew
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(scene.answer.status, 401);
  assert_int_equal(dray_api_fail(&scene.answer, "acme lists", "", &scene.error), DRAY_E_AUTH_REJECTED);
  assert_string_equal(scene.error.text, "acme lists: answered 401 (check `key`)");
  end(&scene);
}

// Requests that went out with the old token do not make a token each.
static void test_requests_under_way_share_one_renewal(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      {.body = "{\"access_token\":\"one!\"}"}, {.status = 401},   {.status = 401},
      {.body = "{\"access_token\":\"two!\"}"}, {.body = "\"a\""}, {.body = "\"b\""}};
  struct scene scene;
  struct dray_api_pending *first = NULL, *second = NULL;
  begin(&scene, exchanges, 6, &client_terms);
  char path[] = "/a";
  struct dray_api_request request = {.method = "GET", .path = dray_str_of(path)};
  assert_int_equal(dray_api_start(&scene.api, &request, &first, NULL), DRAY_OK);
  path[1] = 'b'; // requests are copied
  assert_int_equal(dray_api_start(&scene.api, &request, &second, NULL), DRAY_OK);
  path[1] = 'c';
  assert_int_equal(dray_api_finish(first, &scene.answer, NULL), DRAY_OK);
  assert_string_equal(scene.answer.body.data, "\"a\"");
  assert_int_equal(dray_api_finish(second, &scene.answer, NULL), DRAY_OK);
  assert_string_equal(scene.answer.body.data, "\"b\"");
  assert_string_equal(scene.fake.requests[4].line, "GET " BASE "/a");
  assert_string_equal(scene.fake.requests[5].line, "GET " BASE "/b");
  assert_non_null(strstr(scene.fake.requests[5].headers, "Bearer two!"));
  end(&scene);
}

static void test_a_request_under_way_can_be_given_up(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "x"}};
  struct scene scene;
  struct dray_api_pending *pending = NULL;
  const struct dray_api_request request = {.method = "GET", .path = dray_str_of("/a")};
  begin(&scene, exchanges, 1, NULL);
  assert_int_equal(dray_api_start(&scene.api, &request, &pending, NULL), DRAY_OK);
  dray_api_drop(pending);
  dray_api_drop(NULL);
  assert_string_equal(scene.fake.events, "start 0\ndrop 0\n");
  end(&scene);
}

// ---- doubt ----

static void test_what_may_have_arrived_is_in_doubt(void **state) {
  (void)state;
  static const struct {
    struct fake_exchange exchange;
    const char *method;
    uint32_t flags;
    int doubt;
  } cases[] = {
      {{.fail_code = DRAY_E_NET_CLOSED}, "GET", 0, 0},
      {{.fail_code = DRAY_E_NET_CLOSED, .in_doubt = 1}, "POST", 0, 1},
      {{.fail_code = DRAY_E_NET_CONNECT}, "POST", 0, 0},
      {{.fail_code = DRAY_E_NET_TIMEOUT}, "PUT", DRAY_HTTP_NO_RETRY, 1},
      {{.fail_code = DRAY_E_NET_CONNECT}, "PUT", DRAY_HTTP_NO_RETRY, 0},
      {{.fail_code = DRAY_E_NET_CONNECT}, "PUT", 0, 1}, // an earlier attempt may have arrived
      {{.fail_code = DRAY_E_NET_CLOSED}, "POST", DRAY_HTTP_IDEMPOTENT, 1},
      {{.fail_code = DRAY_E_OUT_OF_MEMORY}, "PUT", 0, 0},
      {{.body = "{", .cut_code = DRAY_E_NET_CLOSED}, "POST", 0, 1},
      {{.body = "{", .cut_code = DRAY_E_LIMIT}, "DELETE", 0, 1},
      {{.body = "{", .cut_code = DRAY_E_LIMIT}, "GET", 0, 0},
      {{.body = "{", .cut_code = DRAY_E_NET_CLOSED}, "GET", DRAY_HTTP_NO_RETRY, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    begin(&scene, &cases[i].exchange, 1, NULL);
    const int32_t expected = cases[i].exchange.fail_code + cases[i].exchange.cut_code;
    assert_int_equal(call(&scene, cases[i].method, "/x", "{}", cases[i].flags), expected);
    if (dray_api_in_doubt(&scene.error) != cases[i].doubt) fail_msg("case %zu", i);
    end(&scene);
  }
}

// The service repeats up to the head. Where the whole may be repeated, a body that was cut is asked for again.
static void test_a_body_that_is_cut_is_asked_for_again(void **state) {
  (void)state;
  static const struct fake_exchange cut = {.body = "{\"a\":", .cut_code = DRAY_E_NET_CLOSED};
  static const struct fake_exchange stood = {.body = "{", .cut_code = DRAY_E_NET_TIMEOUT};
  const struct fake_exchange healed[] = {cut, stood, {.body = "{\"a\":1}"}}, broken[] = {cut, cut, cut, cut};
  static const struct {
    const char *method;
    uint32_t flags;
    int doubt;
  } cases[] = {{"GET", 0, 0}, {"PUT", 0, 1}, {"POST", DRAY_HTTP_IDEMPOTENT, 1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    begin(&scene, healed, 3, NULL);
    assert_int_equal(call(&scene, cases[i].method, "/x", "{}", cases[i].flags), DRAY_OK);
    assert_string_equal(scene.answer.body.data, "{\"a\":1}");
    end(&scene);
    begin(&scene, broken, 4, NULL);
    assert_int_equal(call(&scene, cases[i].method, "/x", "{}", cases[i].flags), DRAY_E_NET_CLOSED);
    assert_int_equal(scene.fake.request_count, 3);
    assert_int_equal(dray_api_in_doubt(&scene.error), cases[i].doubt);
    end(&scene);
  }
}

static void test_the_status_counts_where_the_body_of_a_refusal_is_cut(void **state) {
  (void)state;
  static const struct fake_exchange exchange = {.status = 429, .body = "slow", .cut_code = DRAY_E_NET_CLOSED};
  struct scene scene;
  begin(&scene, &exchange, 1, NULL);
  assert_int_equal(call(&scene, "POST", "/x", "{}", 0), DRAY_OK);
  assert_int_equal(scene.answer.status, 429);
  assert_string_equal(scene.answer.body.data, "slow");
  end(&scene);
}

// ---- what an answer says ----

static void test_a_status_has_its_error(void **state) {
  (void)state;
  static const struct {
    int32_t status, code, error_class;
    int doubt;
  } cases[] = {{400, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG, 0},    {401, DRAY_E_AUTH_REJECTED, DRAY_CLASS_AUTH, 0},
               {402, DRAY_E_AUTH_FORBIDDEN, DRAY_CLASS_AUTH, 0},   {403, DRAY_E_AUTH_FORBIDDEN, DRAY_CLASS_AUTH, 0},
               {404, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG, 0},    {408, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT, 0},
               {423, DRAY_E_AUTH_FORBIDDEN, DRAY_CLASS_AUTH, 0},   {429, DRAY_E_THROTTLED, DRAY_CLASS_THROTTLED, 0},
               {500, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT, 1}, {502, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT, 1},
               {503, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct fake_exchange exchange = {.status = cases[i].status, .headers = "Retry-After: 1.5\n"};
    struct scene scene;
    begin(&scene, &exchange, 1, NULL);
    assert_int_equal(call(&scene, "POST", "/x", "{}", 0), DRAY_OK);
    assert_int_equal(dray_api_fail(&scene.answer, "acme", "its words", &scene.error), cases[i].code);
    assert_int_equal(scene.error.error_class, cases[i].error_class);
    assert_int_equal(scene.error.http_status, cases[i].status);
    assert_int_equal(scene.error.retry_after_ms, 1500);
    assert_int_equal(dray_api_in_doubt(&scene.error), cases[i].doubt);
    assert_non_null(strstr(scene.error.text, "its words"));
    end(&scene);
  }
}

// Without a time to come again a 503 may be a proxy's, behind which the work was done.
static void test_a_503_that_says_no_time_leaves_doubt(void **state) {
  (void)state;
  static const struct {
    const char *method, *headers;
    uint32_t flags;
    int does_once, doubt;
  } cases[] = {{"POST", "Retry-After: 0\n", 0, 0, 0},      {"POST", NULL, 0, 0, 1},
               {"PATCH", "Retry-After: soon\n", 0, 0, 1},  {"POST", NULL, 0, 1, 0},
               {"POST", NULL, DRAY_HTTP_IDEMPOTENT, 0, 0}, {"PUT", NULL, 0, 0, 0},
               {"DELETE", NULL, DRAY_HTTP_NO_RETRY, 0, 0}, {"GET", NULL, 0, 0, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct fake_exchange exchange = {.status = 503, .headers = cases[i].headers};
    struct scene scene;
    begin(&scene, &exchange, 1, NULL);
    const struct dray_api_request request = {
        .flags = cases[i].flags, .method = cases[i].method, .path = dray_str_of("/x"), .does_once = cases[i].does_once};
    assert_int_equal(dray_api_call(&scene.api, &request, &scene.answer, &scene.error), DRAY_OK);
    assert_int_equal(dray_api_fail(&scene.answer, "acme", NULL, &scene.error), DRAY_E_HTTP_SERVER);
    if (dray_api_in_doubt(&scene.error) != cases[i].doubt) fail_msg("case %zu", i);
    end(&scene);
  }
}

static void test_retry_after_is_read_in_all_its_forms(void **state) {
  (void)state;
  static const struct {
    const char *value, *date;
    int64_t ms;
  } cases[] = {{"120", NULL, 120000},
               {"0", NULL, 0},
               {"2.0001", NULL, 2001},
               {"99999999999999999999", NULL, INT64_C(1000000000000)},
               {"", NULL, -1},
               {"soon", NULL, -1},
               {"-5", NULL, -1},
               {"Tue, 14 Nov 2023 22:13:30 GMT", NULL, 10000},
               {"Tue, 14 Nov 2023 22:13:30 GMT", "Tue, 14 Nov 2023 22:13:00 GMT", 30000},
               {"Tue, 14 Nov 2023 22:13:10 GMT", NULL, 0},
               {"Tue, 14 Nox 2023 22:13:30 GMT", NULL, -1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const int64_t ms =
        dray_retry_after_ms(dray_str_of(cases[i].value), dray_str_of(cases[i].date), INT64_C(1700000000000000));
    if (ms != cases[i].ms) fail_msg("%s: %lld", cases[i].value, (long long)ms);
  }
}

static void test_an_answer_that_is_no_json_is_said_to_be_none(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      {.body = "<html>\n <title>Log in</title>"}, {.body = ""}, {.body = "{\"a\": [1]}"}, {.body = "{\"a\":"}};
  struct scene scene;
  struct dray_json *root = NULL;
  begin(&scene, exchanges, 4, NULL);
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(dray_api_json(&scene.answer, 1000, &root, &scene.error), DRAY_E_HTTP_CONTENT);
  assert_non_null(strstr(scene.error.text, "<html> <title>Log in</title>"));
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(dray_api_json(&scene.answer, 1000, &root, &scene.error), DRAY_E_HTTP_CONTENT);
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(dray_api_json(&scene.answer, 5, &root, &scene.error), DRAY_E_LIMIT);
  assert_int_equal(dray_api_json(&scene.answer, 1000, &root, &scene.error), DRAY_OK);
  assert_non_null(dray_json_path(root, "a[0]"));
  dray_json_free(root);
  assert_int_equal(call(&scene, "GET", "/x", NULL, 0), DRAY_OK);
  assert_int_equal(dray_api_json(&scene.answer, 1000, &root, &scene.error), DRAY_E_HTTP_CONTENT);
  end(&scene);
}

// ---- texts ----

static void test_addresses_are_escaped(void **state) {
  (void)state;
  struct dray_buffer path;
  dray_buffer_init(&path, 80);
  assert_int_equal(dray_buffer_append_str(&path, "/lists/", NULL), DRAY_OK);
  assert_int_equal(dray_api_segment(&path, dray_str_of("a/b?\xC3\xA9"), NULL), DRAY_OK);
  assert_int_equal(dray_api_query(&path, 1, "page[size]", dray_str_of("100"), NULL), DRAY_OK);
  assert_int_equal(dray_api_query(&path, 0, "q", dray_str_of("x=1&y +~"), NULL), DRAY_OK);
  assert_string_equal(path.data, "/lists/a%2Fb%3F%C3%A9?page%5Bsize%5D=100&q=x%3D1%26y%20%2B~");
  const size_t before = path.len;
  assert_int_equal(dray_api_query(&path, 0, "q", dray_str_of("++++++++++++"), NULL), DRAY_E_LIMIT);
  assert_int_equal(path.len, before);
  dray_buffer_free(&path);
}

static void test_an_excerpt_is_one_line_of_text(void **state) {
  (void)state;
  static const struct {
    const char *text, *expected;
  } cases[] = {{" a\r\n\tb  c\x01 ", "a b c"},
               {"", ""},
               {"  ", ""},
               {"0123456789", "0123456"},
               {"012345\xC3\xA9", "012345"},
               {"\xFFx", "?x"},
               {"\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", "\xE2\x82\xAC\xE2\x82\xAC"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char out[8];
    assert_int_equal(dray_text_excerpt(dray_str_of(cases[i].text), out, sizeof(out)), strlen(cases[i].expected));
    assert_string_equal(out, cases[i].expected);
  }
}

// ---- torture ----

static int32_t do_everything(void *ctx) {
  static const struct fake_exchange exchanges[] = {{.body = "{\"access_token\":\"one!\"}"},
                                                   {.status = 401},
                                                   {.body = "{\"access_token\":\"two!\"}"},
                                                   {.body = "{\"a\":1}"},
                                                   {.body = "{\"a\":1}"}};
  struct scene *scene = ctx;
  struct dray_credential *credential = NULL;
  struct dray_json *root = NULL;
  fake_host_init(&scene->fake, exchanges, 5);
  scene->fake.secrets[0] = "key";
  scene->fake.secrets[1] = "s3cret";
  int32_t rc = dray_credential_new(&scene->fake.services, &client_terms, &credential, NULL);
  const struct dray_api api = {.services = &scene->fake.services,
                               .base_url = BASE,
                               .credential = credential,
                               .token_header = "Authorization",
                               .token_prefix = "Bearer "};
  const struct dray_http_header header = {{"a", 1}, {"b", 1}};
  const struct dray_api_request request = {
      .method = "POST", .path = dray_str_of("/a"), .body = dray_str_of("{}"), .headers = &header, .header_count = 1};
  struct dray_api_answer answer = {.status = 0};
  struct dray_api_pending *pending = NULL;
  if (rc == DRAY_OK) rc = dray_api_call(&api, &request, &answer, NULL);
  if (rc == DRAY_OK) rc = dray_api_start(&api, &request, &pending, NULL);
  if (rc == DRAY_OK) rc = dray_api_finish(pending, &answer, NULL);
  if (rc == DRAY_OK) rc = dray_api_json(&answer, 100, &root, NULL);
  dray_json_free(root);
  dray_api_answer_free(&answer);
  dray_credential_free(credential);
  fake_host_expect_idle(&scene->fake);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  static struct scene scene;
  assert_true(torture_every(do_everything, &scene) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_request_has_address_headers_and_token),
      cmocka_unit_test(test_an_address_elsewhere_is_never_asked),
      cmocka_unit_test(test_a_refused_token_is_renewed_and_the_request_sent_once_more),
      cmocka_unit_test(test_a_second_refusal_is_the_answer),
      cmocka_unit_test(test_requests_under_way_share_one_renewal),
      cmocka_unit_test(test_a_request_under_way_can_be_given_up),
      cmocka_unit_test(test_what_may_have_arrived_is_in_doubt),
      cmocka_unit_test(test_a_body_that_is_cut_is_asked_for_again),
      cmocka_unit_test(test_the_status_counts_where_the_body_of_a_refusal_is_cut),
      cmocka_unit_test(test_a_status_has_its_error),
      cmocka_unit_test(test_a_503_that_says_no_time_leaves_doubt),
      cmocka_unit_test(test_retry_after_is_read_in_all_its_forms),
      cmocka_unit_test(test_an_answer_that_is_no_json_is_said_to_be_none),
      cmocka_unit_test(test_addresses_are_escaped),
      cmocka_unit_test(test_an_excerpt_is_one_line_of_text),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
