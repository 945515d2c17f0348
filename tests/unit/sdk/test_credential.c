// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Tokens: asked for once, stored before they are used, shared, and never in a message.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/credential.h"
#include "fake_host.h"
#include "torture.h"

static const struct dray_credential_terms refresh_terms = {.grant = DRAY_GRANT_REFRESH_TOKEN,
                                                           .name = "oauth",
                                                           .token_url = "https://acme.test/oauth/tokens",
                                                           .client_id = "the app",
                                                           .secret_setting = "client_secret",
                                                           .refresh_setting = "refresh_token",
                                                           .scope = "read write"};

static void set_secrets(struct fake_host *fake, const char *refresh) {
  const char *const secrets[] = {"client_secret", "c-secret", "refresh_token", refresh, "key", "k&y"};
  memset(fake->secrets, 0, sizeof(fake->secrets));
  memcpy(fake->secrets, secrets, sizeof(secrets));
}

static void begin(struct fake_host *fake, const struct fake_exchange *exchanges, size_t count) {
  fake_host_init(fake, exchanges, count);
  set_secrets(fake, "first-refresh");
}

static void put_own(struct fake_host *fake, const char *text) {
  fake->own.bytes = (size_t)snprintf(fake->own.text, sizeof(fake->own.text), "%s", text);
}

static void set_shared(struct fake_host *fake, const char *text) {
  fake->shared[0].bytes = (size_t)snprintf(fake->shared[0].text, sizeof(fake->shared[0].text), "%s", text);
}

// The token of a new credential, as a new process would get it.
static int32_t get_token(struct fake_host *fake, const struct dray_credential_terms *terms, char *out, size_t out_bytes,
                         struct dray_error *error) {
  struct dray_credential *credential = NULL;
  struct dray_str token;
  DRAY_TRY(dray_credential_new(&fake->services, terms, &credential, error));
  const int32_t rc = dray_credential_token(credential, &token, error);
  if (rc == DRAY_OK) (void)snprintf(out, out_bytes, "%.*s", DRAY_STR_ARG(token));
  dray_credential_free(credential);
  return rc;
}

static void expect_token(struct fake_host *fake, const struct dray_credential_terms *terms, const char *expected) {
  char token[100];
  struct dray_error error;
  dray_error_init(&error);
  if (get_token(fake, terms, token, sizeof(token), &error) != DRAY_OK) fail_msg("%s", error.text);
  assert_string_equal(token, expected);
  fake_host_expect_idle(fake);
}

static struct fake_host fake;

#define PAIR(access, refresh)                                                                                          \
  { .body = "{\"access_token\":\"" access "\",\"refresh_token\":\"" refresh "\",\"expires_in\":7200}" }

static void test_a_secret_is_a_token_as_it_is_or_behind_a_user(void **state) {
  (void)state;
  struct dray_credential_terms terms = {.grant = DRAY_GRANT_STATIC, .name = "oauth", .token_setting = "key"};
  begin(&fake, NULL, 0);
  expect_token(&fake, &terms, "k&y");
  terms.basic_user = "ann@acme.test/token";
  expect_token(&fake, &terms, "YW5uQGFjbWUudGVzdC90b2tlbjprJnk=");
  assert_string_equal(fake.masked, "YW5uQGFjbWUudGVzdC90b2tlbjprJnk=\n");
  assert_int_equal(fake.lock_count, 0);
  char token[10];
  terms.token_setting = "other";
  assert_int_equal(get_token(&fake, &terms, token, sizeof(token), NULL), DRAY_E_CONFIG_MISSING);
}

static void test_the_first_token_is_asked_for_with_the_configured_refresh_token(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
  begin(&fake, exchanges, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  assert_string_equal(fake.requests[0].line, "POST https://acme.test/oauth/tokens");
  assert_string_equal(fake.requests[0].body, "grant_type=refresh_token&refresh_token=first-refresh&client_id=the%20app&"
                                             "client_secret=c-secret&scope=read%20write");
  assert_non_null(strstr(fake.requests[0].headers, "Content-Type: application/x-www-form-urlencoded\n"));
  assert_true(fake.requests[0].flags & DRAY_HTTP_AWAITED);
  assert_string_equal(fake.events, "own 0\nput 1\nopen 0\nput 2\n"); // that it can be stored is known before
  assert_string_equal(fake.masked, "access-1\nrefresh-1\n");
  assert_null(strstr(fake.shared[0].text, "first-refresh"));
  assert_null(strstr(fake.shared[0].text, "c-secret"));
}

static void test_a_body_can_be_json(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"access_token\":\"a\"}"}};
  struct dray_credential_terms terms = refresh_terms;
  terms.json_body = 1;
  terms.grant = DRAY_GRANT_CLIENT_CREDENTIALS;
  terms.scope = NULL;
  begin(&fake, exchanges, 1);
  expect_token(&fake, &terms, "a");
  assert_string_equal(
      fake.requests[0].body,
      "{\"grant_type\":\"client_credentials\",\"client_id\":\"the app\",\"client_secret\":\"c-secret\"}");
  assert_non_null(strstr(fake.requests[0].headers, "Content-Type: application/json\n"));
}

static void test_a_stored_pair_is_used_by_the_next_process_and_renewed_with_its_own_refresh_token(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1"); // without a request
  assert_non_null(strstr(fake.masked, "access-1\n"));
  fake.now_us += INT64_C(7141) * 1000000; // less than a minute is left
  fake_host_again(&fake, second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-1&"));
}

static void test_an_answer_without_a_refresh_token_keeps_the_one_there_is(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {{.body = "{\"access_token\":\"access-2\",\"expires_in\":\"60\"}"},
                                                {.body = "{\"access_token\":\"access-3\",\"expires_in\":60}"}};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  fake.now_us += INT64_C(7200) * 1000000;
  fake_host_again(&fake, second, 2);
  expect_token(&fake, &refresh_terms, "access-2");
  expect_token(&fake, &refresh_terms, "access-2"); // half of so short a life is its margin
  fake.now_us += INT64_C(31) * 1000000;
  expect_token(&fake, &refresh_terms, "access-3");
  assert_non_null(strstr(fake.requests[1].body, "refresh_token=refresh-1&"));
}

static void test_a_changed_setting_voids_what_is_stored(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2"), PAIR("access-3", "refresh-3")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, second, 2);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=another-refresh&"));
  struct dray_credential_terms terms = refresh_terms;
  terms.token_url = "https://other.test/oauth";
  expect_token(&fake, &terms, "access-3");
  assert_non_null(strstr(fake.requests[1].body, "refresh_token=another-refresh&"));
}

static void test_what_cannot_be_read_of_the_store_is_as_nothing(void **state) {
  (void)state;
  static const char *const stored[] = {"nonsense", "{}", "[]", "{\"v\":2}", "{\"v\":1,\"for\":\"x\",\"access\":\"y\"}"};
  for (size_t i = 0; i < sizeof(stored) / sizeof(stored[0]); i++) {
    static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
    begin(&fake, exchanges, 1);
    put_own(&fake, stored[i]);
    expect_token(&fake, &refresh_terms, "access-1");
    set_shared(&fake, stored[i]);
    fake_host_again(&fake, exchanges, 1);
    expect_token(&fake, &refresh_terms, "access-1");
  }
}

// ---- one credential of several connections ----

// Another connection of the project: nothing of its own, but what is shared is there.
static void become_another_connection(const struct fake_exchange *exchanges, size_t count) {
  memset(&fake.own, 0, sizeof(fake.own));
  fake_host_again(&fake, exchanges, count);
}

static void test_connections_with_one_credential_have_one_pair(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  struct dray_credential_terms terms = refresh_terms;
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  assert_null(strstr(fake.own.text, "access-1"));
  assert_null(strstr(fake.own.text, "refresh-1"));
  become_another_connection(NULL, 0);
  terms.name = "token"; // of no importance
  expect_token(&fake, &terms, "access-1");
  fake.now_us += INT64_C(7200) * 1000000;
  become_another_connection(second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-1&"));
  for (size_t i = 0; i < FAKE_SHARED_MAX; i++) {
    assert_null(strstr(fake.shared[i].key, "refresh"));
    assert_null(strstr(fake.shared[i].text, "first-refresh"));
    assert_true(i == 0 || fake.shared[i].bytes == 0);
  }
}

// With another scope it is another token, but there is one refresh token.
static void test_another_scope_goes_on_with_the_refresh_token_there_is(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  static const struct fake_exchange third[] = {PAIR("access-3", "refresh-3")};
  struct dray_credential_terms terms = refresh_terms;
  terms.scope = "read";
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  become_another_connection(second, 1);
  expect_token(&fake, &terms, "access-2");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-1&"));
  become_another_connection(third, 1);
  expect_token(&fake, &refresh_terms, "access-3");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-2&"));
}

static void test_tokens_of_a_client_are_shared_for_one_scope(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {{.body = "{\"access_token\":\"a\",\"expires_in\":7200}"}};
  static const struct fake_exchange second[] = {{.body = "{\"access_token\":\"b\",\"expires_in\":7200}"}};
  struct dray_credential_terms terms = refresh_terms;
  terms.grant = DRAY_GRANT_CLIENT_CREDENTIALS;
  begin(&fake, first, 1);
  expect_token(&fake, &terms, "a");
  become_another_connection(NULL, 0);
  expect_token(&fake, &terms, "a");
  become_another_connection(second, 1);
  terms.scope = "read";
  expect_token(&fake, &terms, "b");
  become_another_connection(NULL, 0);
  expect_token(&fake, &terms, "b");
  terms.scope = refresh_terms.scope;
  expect_token(&fake, &terms, "a");
}

// What was stored when pairs were the connection's own, by a host without any other place.
static void store_own_pair(void) {
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
  begin(&fake, exchanges, 1);
  fake.without_shared_state = 1;
  fake_host_again(&fake, exchanges, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  assert_string_equal(fake.events, "put 0\nopen 0\nput 1\n");
  assert_non_null(strstr(fake.own.text, "refresh-1"));
  fake.without_shared_state = 0;
}

static void test_a_pair_of_the_connection_itself_is_taken_over(void **state) {
  (void)state;
  store_own_pair();
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
  assert_string_equal(fake.events, "put 0\nown 1\n"); // there before it goes here
  assert_null(strstr(fake.own.text, "refresh-1"));
  become_another_connection(NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
}

static void test_a_pair_that_has_ended_is_taken_over_before_its_refresh_token_is_spent(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-2", "refresh-2")};
  char token[10];
  store_own_pair();
  fake.now_us += INT64_C(7200) * 1000000;
  fake_host_again(&fake, exchanges, 1);
  fake.put_fail_code = DRAY_E_DISK_FULL;
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_DISK_FULL);
  assert_int_equal(fake.request_count, 0);
  assert_non_null(strstr(fake.own.text, "refresh-1"));
  fake.put_fail_code = DRAY_OK;
  expect_token(&fake, &refresh_terms, "access-2");
  assert_string_equal(fake.events, "put 0\nown 1\nopen 0\nput 2\n");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-1&"));
}

static void test_a_pair_of_the_connection_itself_for_other_settings_stays_until_these_work(void **state) {
  (void)state;
  static const struct fake_exchange refused[] = {{.status = 400, .body = "{\"error\":\"invalid_grant\"}"}};
  static const struct fake_exchange exchanges[] = {PAIR("access-2", "refresh-2")};
  char token[10];
  store_own_pair();
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, refused, 1);
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_AUTH_REJECTED);
  assert_non_null(strstr(fake.own.text, "refresh-1"));
  fake_host_again(&fake, exchanges, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_null(strstr(fake.own.text, "refresh-1"));
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-2");
}

// Another connection has tried in vain before the one that has the pair is run.
static void test_a_pair_is_taken_over_where_another_connection_found_nothing(void **state) {
  (void)state;
  static const struct fake_exchange refused[] = {{.status = 400, .body = "{\"error\":\"invalid_grant\"}"}};
  char token[10];
  store_own_pair();
  const struct fake_state kept = fake.own;
  become_another_connection(refused, 1);
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_AUTH_REJECTED);
  fake.own = kept;
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
  become_another_connection(NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
}

// ---- what is replaced ----

static size_t count_stored(const char *text) {
  size_t count = 0;
  for (size_t i = 0; i < FAKE_SHARED_MAX; i++) {
    count += fake.shared[i].bytes > 0 && strstr(fake.shared[i].text, text) != NULL;
  }
  return count;
}

// Three months after it was left.
static void wait_until_what_is_left_goes(void) {
  fake.now_us += INT64_C(90) * 86400 * 1000000;
}

static void test_the_pair_of_a_replaced_refresh_token_goes_long_after_the_new_one_has_worked(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange refused[] = {{.status = 400, .body = "{\"error\":\"invalid_grant\"}"}};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  static const struct fake_exchange third[] = {PAIR("access-3", "refresh-3")};
  char token[10];
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, refused, 1);
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_AUTH_REJECTED);
  assert_int_equal(count_stored("refresh-1"), 1);
  fake_host_again(&fake, second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_int_equal(count_stored("refresh-1"), 1);
  assert_int_equal(count_stored("refresh-2"), 1);
  assert_non_null(strstr(fake.own.text, "\"left\""));
  wait_until_what_is_left_goes();
  fake_host_again(&fake, third, 1);
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-1"), 0);
  assert_int_equal(count_stored("refresh-3"), 1);
  assert_null(strstr(fake.own.text, "\"left\""));
}

// Another connection may be set to it, and not have run yet.
static void test_a_pair_that_all_have_left_is_there_for_another_connection(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  static const struct fake_exchange later[] = {PAIR("access-3", "refresh-3"), PAIR("access-4", "refresh-4")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  const struct fake_state one = fake.own;
  set_secrets(&fake, "first-refresh");
  become_another_connection(NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
  const struct fake_state other = fake.own;
  wait_until_what_is_left_goes(); // it is not left any more
  fake.own = one;
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, later, 2);
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-1"), 1);
  assert_null(strstr(fake.own.text, "\"left\""));
  fake.own = other;
  set_secrets(&fake, "first-refresh");
  expect_token(&fake, &refresh_terms, "access-4");
  assert_non_null(strstr(fake.requests[1].body, "refresh_token=refresh-1&"));
}

// A process that began with the setting before goes on with its pair, and leaves the newer one to those who have it.
static void test_a_process_with_the_setting_before_does_not_touch_the_newer_pair(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1"), PAIR("access-2", "refresh-2"),
                                               PAIR("access-3", "refresh-3")};
  struct dray_credential *old = NULL;
  struct dray_str token;
  begin(&fake, first, 3);
  assert_int_equal(dray_credential_new(&fake.services, &refresh_terms, &old, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(old, &token, NULL), DRAY_OK);
  set_secrets(&fake, "another-refresh");
  expect_token(&fake, &refresh_terms, "access-2");
  const struct fake_state one = fake.own;
  fake.now_us += INT64_C(7200) * 1000000;
  set_secrets(&fake, "first-refresh");
  const size_t newer = strstr(fake.shared[0].text, "refresh-2") == NULL;
  const struct fake_state before = fake.shared[newer];
  assert_int_equal(dray_credential_token(old, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-3"));
  assert_string_equal(fake.shared[newer].text, before.text);
  assert_string_equal(fake.own.text, one.text);
  dray_credential_free(old);
  fake_host_expect_idle(&fake);
}

// It was a user of the pair once more: then it has left it once more, and that counts.
static void test_a_process_that_went_on_puts_the_end_of_its_pair_off(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1"), PAIR("access-2", "refresh-2"),
                                                   PAIR("access-3", "refresh-3"), PAIR("access-4", "refresh-4"),
                                                   PAIR("access-5", "refresh-5")};
  struct dray_credential *old = NULL;
  struct dray_str token;
  begin(&fake, exchanges, 5);
  assert_int_equal(dray_credential_new(&fake.services, &refresh_terms, &old, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(old, &token, NULL), DRAY_OK);
  set_secrets(&fake, "another-refresh");
  expect_token(&fake, &refresh_terms, "access-2");
  fake.now_us += INT64_C(7200) * 1000000;
  set_secrets(&fake, "first-refresh");
  assert_int_equal(dray_credential_token(old, &token, NULL), DRAY_OK);
  dray_credential_free(old);
  set_secrets(&fake, "another-refresh");
  wait_until_what_is_left_goes();
  expect_token(&fake, &refresh_terms, "access-4");
  assert_int_equal(count_stored("refresh-3"), 1);
  wait_until_what_is_left_goes();
  expect_token(&fake, &refresh_terms, "access-5");
  assert_int_equal(count_stored("refresh-3"), 0);
}

// What another connection has as well is left when that one has another, too.
static void test_a_replaced_pair_stays_while_another_connection_has_it(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  static const struct fake_exchange third[] = {PAIR("access-3", "refresh-3")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  const struct fake_state one = fake.own;
  become_another_connection(NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
  const struct fake_state other = fake.own;
  assert_string_not_equal(one.text, other.text);
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_int_equal(count_stored("refresh-1"), 1);
  assert_null(strstr(fake.own.text, "\"left\""));
  fake.own = one;
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.own.text, "\"left\""));
  wait_until_what_is_left_goes();
  fake_host_again(&fake, third, 1);
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-1"), 0);
}

// More connections than are noted: nobody knows any more who is left.
static void test_a_pair_of_too_many_connections_stays(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  for (int i = 1; i < 66; i++) {
    become_another_connection(NULL, 0);
    expect_token(&fake, &refresh_terms, "access-1");
  }
  assert_null(strstr(fake.shared[0].text, "users"));
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, second, 1);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_int_equal(count_stored("refresh-1"), 1);
}

// One from before it was noted who has a pair: nobody knows who else has it.
static void test_a_replaced_pair_of_nobody_knows_whom_stays(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2"), PAIR("access-3", "refresh-3")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  char *users = strstr(fake.shared[0].text, "\"users\"");
  assert_non_null(users);
  memcpy(users, "\"tests\"", 7);
  memset(&fake.own, 0, sizeof(fake.own));
  fake.now_us += INT64_C(7200) * 1000000;
  fake_host_again(&fake, second, 2);
  expect_token(&fake, &refresh_terms, "access-2");
  set_secrets(&fake, "another-refresh");
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-2"), 1);
}

static void test_what_cannot_be_left_now_is_left_with_the_next_token(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  static const struct fake_exchange third[] = {PAIR("access-3", "refresh-3")};
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  set_secrets(&fake, "another-refresh");
  fake_host_again(&fake, second, 1);
  fake.put_fail_code = DRAY_E_DISK_FULL;
  fake.put_fail_from = 2;
  expect_token(&fake, &refresh_terms, "access-2");
  assert_int_equal(count_stored("refresh-1"), 1);
  fake.put_fail_code = DRAY_OK;
  assert_null(strstr(fake.own.text, "\"left\""));
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.own.text, "\"left\""));
  wait_until_what_is_left_goes();
  fake_host_again(&fake, third, 1);
  fake.put_fail_code = DRAY_E_DISK_FULL; // when it is to be emptied
  fake.put_fail_from = 2;
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-1"), 1);
  fake.put_fail_code = DRAY_OK;
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-3");
  assert_int_equal(count_stored("refresh-1"), 0);
}

// ---- refused ----

static void test_a_refused_token_is_renewed_once_for_all(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1"), PAIR("access-2", "refresh-2")};
  struct dray_credential *one = NULL, *other = NULL;
  struct dray_str token;
  int32_t again = 0;
  begin(&fake, exchanges, 2);
  assert_int_equal(dray_credential_new(&fake.services, &refresh_terms, &one, NULL), DRAY_OK);
  assert_int_equal(dray_credential_new(&fake.services, &refresh_terms, &other, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(one, &token, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(other, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-1"));
  const uint64_t generation = dray_credential_generation(one);
  assert_int_equal(dray_credential_token(one, &token, NULL), DRAY_OK);
  assert_int_equal(dray_credential_generation(one), generation);
  assert_int_equal(dray_credential_refused(one, &again, NULL), DRAY_OK);
  assert_int_equal(again, 1);
  assert_int_equal(dray_credential_token(one, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-2"));
  assert_true(dray_credential_generation(one) != generation);
  assert_int_equal(dray_credential_refused(other, &again, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(other, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-2")); // the one that is stored
  assert_int_equal(fake.request_count, 2);
  dray_credential_free(one);
  dray_credential_free(other);
  fake_host_expect_idle(&fake);
}

static void test_a_refused_grant_says_what_to_do(void **state) {
  (void)state;
  static const struct {
    struct fake_exchange exchange;
    int32_t grant, code;
    const char *field, *words;
  } cases[] = {
      {{.status = 400, .body = "{\"error\":\"invalid_grant\",\"error_description\":\"it is\\n used up\"}"},
       DRAY_GRANT_REFRESH_TOKEN,
       DRAY_E_AUTH_REJECTED,
       "refresh_token",
       "https://acme.test/oauth/tokens answered 400 to the request for a token (invalid_grant: it is used up): the "
       "refresh token is no longer good; authorise the app again and set the new one"},
      {{.status = 401, .body = "{\"error\":\"invalid_client\"}"},
       DRAY_GRANT_REFRESH_TOKEN,
       DRAY_E_AUTH_REJECTED,
       "client_secret",
       "(invalid_client): check the client's id"},
      {{.status = 401, .body = "<html>"},
       DRAY_GRANT_CLIENT_CREDENTIALS,
       DRAY_E_AUTH_REJECTED,
       "client_secret",
       "(no reason)"},
      {{.status = 429, .headers = "Retry-After: 3\n"}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_THROTTLED, "", "answered 429"},
      {{.status = 502, .body = "secret?"}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_HTTP_SERVER, "", "answered 502"},
      {{.status = 404}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_HTTP_STATUS, "", "answered 404"},
      {{.body = "<html>log in</html>"}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_HTTP_CONTENT, "", "no access_token"},
      {{.body = "{\"access_token\":\"\"}"}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_HTTP_CONTENT, "", "no access_token"},
      {{.fail_code = DRAY_E_NET_CONNECT}, DRAY_GRANT_REFRESH_TOKEN, DRAY_E_NET_CONNECT, "", "the fake network"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_credential_terms terms = refresh_terms;
    struct dray_error error;
    char token[10];
    terms.grant = cases[i].grant;
    begin(&fake, &cases[i].exchange, 1);
    dray_error_init(&error);
    assert_int_equal(get_token(&fake, &terms, token, sizeof(token), &error), cases[i].code);
    assert_string_equal(error.field, cases[i].field);
    if (strstr(error.text, cases[i].words) == NULL) fail_msg("'%s' lacks '%s'", error.text, cases[i].words);
    assert_null(strstr(error.text, "secret?"));
    assert_null(strstr(error.text, "first-refresh"));
    assert_string_equal(fake.shared[0].text, cases[i].grant == DRAY_GRANT_REFRESH_TOKEN ? "{}" : "");
    fake_host_expect_idle(&fake);
  }
}

// A refresh token that is good once and whose successor cannot be kept would be the last.
static void test_a_refresh_token_is_not_spent_while_nothing_can_be_stored(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  char token[10];
  begin(&fake, exchanges, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  fake.now_us += INT64_C(7200) * 1000000;
  fake_host_again(&fake, second, 1);
  fake.put_fail_code = DRAY_E_DISK_FULL;
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_DISK_FULL);
  assert_int_equal(fake.request_count, 0);
  fake.put_fail_code = DRAY_OK;
  expect_token(&fake, &refresh_terms, "access-2");
  assert_non_null(strstr(fake.requests[0].body, "refresh_token=refresh-1&"));
}

// Other settings, perhaps by mistake: what is stored for the ones before is good when they come back.
static void test_settings_that_are_refused_do_not_void_what_is_stored(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {{.status = 400, .body = "{\"error\":\"invalid_grant\"}"}};
  char token[10];
  begin(&fake, first, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  set_secrets(&fake, "a-mistake");
  fake_host_again(&fake, second, 1);
  assert_int_equal(get_token(&fake, &refresh_terms, token, sizeof(token), NULL), DRAY_E_AUTH_REJECTED);
  set_secrets(&fake, "first-refresh");
  fake_host_again(&fake, NULL, 0);
  expect_token(&fake, &refresh_terms, "access-1");
}

// The one before is worth nothing after a rotation: a pair that could not be stored is not lost while there is a
// process, and not used before it is durable.
static void test_a_pair_that_could_not_be_stored_is_stored_before_it_is_used(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
  struct dray_credential *credential = NULL;
  struct dray_str token = {"unset", 5};
  begin(&fake, exchanges, 1);
  assert_int_equal(dray_credential_new(&fake.services, &refresh_terms, &credential, NULL), DRAY_OK);
  fake.put_fail_code = DRAY_E_DISK_FULL;
  fake.put_fail_from = 2; // the disk was full just after it had been tried
  assert_int_equal(dray_credential_token(credential, &token, NULL), DRAY_E_DISK_FULL);
  assert_int_equal(fake.request_count, 1);
  assert_true(dray_str_is(token, "unset"));
  fake.put_fail_code = DRAY_OK;
  assert_int_equal(dray_credential_token(credential, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-1"));
  assert_non_null(strstr(fake.shared[0].text, "refresh-1"));
  assert_int_equal(fake.request_count, 1);
  dray_credential_free(credential);
  fake_host_expect_idle(&fake);
}

static void test_a_host_without_masking_can_be_lived_with(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1")};
  begin(&fake, exchanges, 1);
  fake.without_mask = 1;
  fake_host_again(&fake, exchanges, 1);
  expect_token(&fake, &refresh_terms, "access-1");
  assert_string_equal(fake.masked, "");
}

// ---- torture ----

static int32_t renew_twice(void *ctx) {
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1"), PAIR("access-2", "refresh-2")};
  (void)ctx;
  char token[100];
  begin(&fake, exchanges, 2);
  int32_t rc = get_token(&fake, &refresh_terms, token, sizeof(token), NULL);
  fake.now_us += INT64_C(7200) * 1000000;
  if (rc == DRAY_OK) rc = get_token(&fake, &refresh_terms, token, sizeof(token), NULL);
  fake_host_expect_idle(&fake);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(renew_twice, NULL) > 30);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_secret_is_a_token_as_it_is_or_behind_a_user),
      cmocka_unit_test(test_the_first_token_is_asked_for_with_the_configured_refresh_token),
      cmocka_unit_test(test_a_body_can_be_json),
      cmocka_unit_test(test_a_stored_pair_is_used_by_the_next_process_and_renewed_with_its_own_refresh_token),
      cmocka_unit_test(test_an_answer_without_a_refresh_token_keeps_the_one_there_is),
      cmocka_unit_test(test_a_changed_setting_voids_what_is_stored),
      cmocka_unit_test(test_what_cannot_be_read_of_the_store_is_as_nothing),
      cmocka_unit_test(test_connections_with_one_credential_have_one_pair),
      cmocka_unit_test(test_another_scope_goes_on_with_the_refresh_token_there_is),
      cmocka_unit_test(test_tokens_of_a_client_are_shared_for_one_scope),
      cmocka_unit_test(test_a_pair_of_the_connection_itself_is_taken_over),
      cmocka_unit_test(test_a_pair_that_has_ended_is_taken_over_before_its_refresh_token_is_spent),
      cmocka_unit_test(test_a_pair_of_the_connection_itself_for_other_settings_stays_until_these_work),
      cmocka_unit_test(test_a_pair_is_taken_over_where_another_connection_found_nothing),
      cmocka_unit_test(test_the_pair_of_a_replaced_refresh_token_goes_long_after_the_new_one_has_worked),
      cmocka_unit_test(test_a_pair_that_all_have_left_is_there_for_another_connection),
      cmocka_unit_test(test_a_process_with_the_setting_before_does_not_touch_the_newer_pair),
      cmocka_unit_test(test_a_process_that_went_on_puts_the_end_of_its_pair_off),
      cmocka_unit_test(test_a_replaced_pair_stays_while_another_connection_has_it),
      cmocka_unit_test(test_a_pair_of_too_many_connections_stays),
      cmocka_unit_test(test_a_replaced_pair_of_nobody_knows_whom_stays),
      cmocka_unit_test(test_what_cannot_be_left_now_is_left_with_the_next_token),
      cmocka_unit_test(test_a_refused_token_is_renewed_once_for_all),
      cmocka_unit_test(test_a_refused_grant_says_what_to_do),
      cmocka_unit_test(test_a_refresh_token_is_not_spent_while_nothing_can_be_stored),
      cmocka_unit_test(test_settings_that_are_refused_do_not_void_what_is_stored),
      cmocka_unit_test(test_a_pair_that_could_not_be_stored_is_stored_before_it_is_used),
      cmocka_unit_test(test_a_host_without_masking_can_be_lived_with),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
