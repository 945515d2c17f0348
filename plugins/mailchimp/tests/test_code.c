// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A code against a fake host, at the vendor's own addresses: exchanged, its data centre found, used; and every failing
// allocation on that way.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "check.h"
#include "client.h"
#include "fake_host.h"
#include "torture.h"

#define SECRET(name) "\"" name "\":{\"$secret\":\"" name "\"}"
#define APP "\"client_id\":\"c 1\",\"redirect_uri\":\"https://me.test/cb\"," SECRET("client_secret")
#define TOKEN                                                                                                          \
  { .body = "{\"access_token\":\"t-1\",\"expires_in\":0,\"scope\":null}" }
#define METADATA                                                                                                       \
  { .body = "{\"dc\":\"us7\",\"api_endpoint\":\"https://us7.api.mailchimp.com\"}" }

static struct fake_host fake;

static void set_secrets(void) {
  static const char *const secrets[] = {"client_secret", "s-1", "authorization_code", "code-1"};
  memset(fake.secrets, 0, sizeof(fake.secrets));
  memcpy(fake.secrets, secrets, sizeof(secrets));
}

// One instance's life: its account is asked once. The rows of the check (NULL: none is made) go to `checked`.
static int32_t live(const char *json, struct dray_buffer *checked, struct dray_error *error) {
  struct mc_settings settings;
  struct mc_client client = {.address = NULL};
  struct dray_json *root = NULL;
  DRAY_TRY(mc_settings_bind(dray_str_of(json), &settings, error));
  int32_t rc = mc_client_init(&client, &fake.services, &settings, error);
  if (rc == DRAY_OK && checked != NULL) {
    rc = mc_check(&client, 0, checked, error);
  } else {
    if (rc == DRAY_OK) rc = mc_client_ready(&client, error);
    if (rc == DRAY_OK) rc = mc_get(&client, "/ping", &root, NULL, error);
  }
  dray_json_free(root);
  mc_client_free(&client);
  mc_settings_free(&settings);
  fake_host_expect_idle(&fake);
  return rc;
}

static void test_a_code_becomes_a_token_and_finds_its_data_centre(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {TOKEN, METADATA, {.body = "{}"}};
  static const struct fake_exchange second[] = {METADATA, {.body = "{}"}};
  struct dray_error error;
  dray_error_init(&error);
  fake_host_init(&fake, first, 3);
  set_secrets();
  if (live("{" APP "," SECRET("authorization_code") "}", NULL, &error) != DRAY_OK) fail_msg("%s", error.text);
  assert_string_equal(fake.requests[0].line, "POST https://login.mailchimp.com/oauth2/token");
  assert_string_equal(fake.requests[0].body, "grant_type=authorization_code&code=code-1&redirect_uri=https%3A%2F%2F"
                                             "me.test%2Fcb&client_id=c%201&client_secret=s-1");
  assert_string_equal(fake.requests[1].line, "GET https://login.mailchimp.com/oauth2/metadata");
  assert_non_null(strstr(fake.requests[1].headers, "Authorization: OAuth t-1\n"));
  assert_string_equal(fake.requests[2].line, "GET https://us7.api.mailchimp.com/3.0/ping");
  assert_non_null(strstr(fake.requests[2].headers, "Authorization: Bearer t-1\n"));
  fake_host_again(&fake, second, 2);
  assert_int_equal(live("{" APP "," SECRET("authorization_code") "}", NULL, &error), DRAY_OK);
}

static void expect_told(const char *settings, const struct fake_exchange *exchanges, size_t count, const char *words) {
  struct dray_buffer checked;
  dray_buffer_init(&checked, 65536);
  fake_host_init(&fake, exchanges, count);
  set_secrets();
  if (exchanges == NULL) fake.secrets[2] = NULL;
  assert_int_equal(live(settings, &checked, NULL), DRAY_OK);
  if (strstr(checked.data, words) == NULL) fail_msg("'%s' lacks '%s'", checked.data, words);
  dray_buffer_free(&checked);
}

static void test_a_check_says_where_access_is_granted(void **state) {
  (void)state;
  static const char address[] =
      "\"fix\":\"open https://login.mailchimp.com/oauth2/authorize?response_type=code&client_id="
      "c%201&redirect_uri=https%3A%2F%2Fme.test%2Fcb&state=5555555555555555 in a browser";
  static const struct fake_exchange unknown[] = {TOKEN, {.body = "{\"error\":\"invalid_token\"}"}};
  static const struct fake_exchange revoked[] = {TOKEN, METADATA, {.status = 401}, {.status = 401}};
  expect_told("{" APP "}", NULL, 0, address);
  // After the connection has got its name by random bytes.
  expect_told("{" APP "," SECRET("authorization_code") "}", unknown, 2, "\"fix\":\"open https://login.mailchimp.com/");
  expect_told("{" APP "," SECRET("authorization_code") "}", revoked, 4, "\"fix\":\"open https://login.mailchimp.com/");
}

static int32_t live_once(void *ctx) {
  static const struct fake_exchange exchanges[] = {TOKEN, METADATA, {.body = "{}"}};
  (void)ctx;
  fake_host_init(&fake, exchanges, 3);
  set_secrets();
  return live("{" APP "," SECRET("authorization_code") "}", NULL, NULL);
}

static int32_t check_once(void *ctx) {
  struct dray_buffer checked;
  (void)ctx;
  dray_buffer_init(&checked, 65536);
  fake_host_init(&fake, NULL, 0);
  set_secrets();
  fake.secrets[2] = NULL;
  const int32_t rc = live("{" APP "}", &checked, NULL);
  dray_buffer_free(&checked);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(live_once, NULL) > 30);
  assert_true(torture_every(check_once, NULL) > 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_code_becomes_a_token_and_finds_its_data_centre),
      cmocka_unit_test(test_a_check_says_where_access_is_granted),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
