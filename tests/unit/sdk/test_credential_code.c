// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Codes of an authorisation: sent once, by one, and what a person is told to do for another one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/credential.h"
#include "dray/sdk/json.h"
#include "fake_host.h"
#include "torture.h"

#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define AGAIN "authorise the app again and set the new code (dray check says the address to open)"

static const char *const expiring[] = {"expiring", "1", NULL};
static const struct dray_credential_terms code_terms = {.grant = DRAY_GRANT_AUTHORIZATION_CODE,
                                                        .json_body = 1,
                                                        .name = "oauth",
                                                        .token_url = "https://acme.test/oauth/tokens",
                                                        .client_id = "the app",
                                                        .secret_setting = "client_secret",
                                                        .scope = "read write",
                                                        .code_setting = "authorization_code",
                                                        .redirect_uri = "https://me.test/cb?a=b",
                                                        .code_fields = expiring,
                                                        .authorize_url = "https://acme.test/oauth/new",
                                                        .authorize_scope = "read write",
                                                        .code_lifetime_s = 120};

static struct fake_host fake;

// NULL: none is set.
static void set_code(const char *code) {
  const char *const secrets[] = {"client_secret", "c-secret", "verifier", VERIFIER, "authorization_code", code};
  memset(fake.secrets, 0, sizeof(fake.secrets));
  memcpy(fake.secrets, secrets, sizeof(secrets) - (code == NULL ? 2 * sizeof(secrets[0]) : 0));
}

static void begin(const struct fake_exchange *exchanges, size_t count) {
  fake_host_init(&fake, exchanges, count);
  set_code("code-1");
}

// The token of a new credential, as a new process would get it.
static int32_t get_token(const struct dray_credential_terms *terms, char *out, size_t out_bytes,
                         struct dray_error *error) {
  struct dray_credential *credential = NULL;
  struct dray_str token;
  DRAY_TRY(dray_credential_new(&fake.services, terms, &credential, error));
  const int32_t rc = dray_credential_token(credential, &token, error);
  if (rc == DRAY_OK) (void)snprintf(out, out_bytes, "%.*s", DRAY_STR_ARG(token));
  dray_credential_free(credential);
  return rc;
}

static void expect_token(const struct dray_credential_terms *terms, const char *expected) {
  char token[100];
  struct dray_error error;
  dray_error_init(&error);
  if (get_token(terms, token, sizeof(token), &error) != DRAY_OK) fail_msg("%s", error.text);
  assert_string_equal(token, expected);
  fake_host_expect_idle(&fake);
}

static void expect_failure(const struct dray_credential_terms *terms, int32_t code, const char *field,
                           const char *words) {
  char token[100];
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(get_token(terms, token, sizeof(token), &error), code);
  assert_string_equal(error.field, field);
  assert_string_equal(error.vendor_code, ""); // no row was sent that could be in doubt
  if (strstr(error.text, words) == NULL) fail_msg("'%s' lacks '%s'", error.text, words);
  assert_null(strstr(error.text, "code-1"));
  assert_null(strstr(error.text, "c-secret"));
  fake_host_expect_idle(&fake);
}

static size_t count_stored(const char *text) {
  size_t count = 0;
  for (size_t i = 0; i < FAKE_SHARED_MAX; i++) {
    count += fake.shared[i].bytes > 0 && strstr(fake.shared[i].text, text) != NULL;
  }
  return count;
}

#define PAIR(access, refresh)                                                                                          \
  { .body = "{\"access_token\":\"" access "\",\"refresh_token\":\"" refresh "\",\"expires_in\":7200}" }
#define EXCHANGE                                                                                                       \
  "{\"grant_type\":\"authorization_code\",\"code\":\"code-1\",\"redirect_uri\":\"https://me.test/cb?a=b\","            \
  "\"expiring\":\"1\",\"client_id\":\"the app\",\"client_secret\":\"c-secret\",\"scope\":\"read write\"}"

static void test_a_code_is_exchanged_once_and_its_pair_renewed(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  begin(first, 1);
  expect_token(&code_terms, "access-1");
  assert_string_equal(fake.requests[0].body, EXCHANGE);
  assert_int_equal(fake.requests[0].flags & DRAY_HTTP_IDEMPOTENT, 0);
  assert_string_equal(fake.events, "own 0\nput 1\nopen 0\nput 2\n"); // that it is sent is stored before
  assert_int_equal(count_stored("code-1"), 0);
  fake_host_again(&fake, NULL, 0);
  expect_token(&code_terms, "access-1"); // the same code in the settings of the next process
  fake.now_us += INT64_C(7200) * 1000000;
  fake_host_again(&fake, second, 1);
  expect_token(&code_terms, "access-2");
  assert_string_equal(fake.requests[0].body, "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"refresh-1\","
                                             "\"client_id\":\"the app\",\"client_secret\":\"c-secret\"}");
}

static void test_connections_with_one_code_exchange_it_once(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  struct dray_credential_terms terms = code_terms;
  begin(first, 1);
  expect_token(&code_terms, "access-1");
  memset(&fake.own, 0, sizeof(fake.own));
  fake_host_again(&fake, NULL, 0);
  terms.scope = terms.authorize_scope = "read"; // the code stays what it was granted for
  terms.redirect_uri = "https://me.test/other";
  expect_token(&terms, "access-1");
}

static void test_a_new_code_is_exchanged_and_the_pair_before_is_left(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {{.status = 400, .body = "{\"error\":\"invalid_grant\"}"},
                                                PAIR("access-2", "refresh-2")};
  begin(first, 1);
  expect_token(&code_terms, "access-1");
  set_code("code-2");
  fake_host_again(&fake, second, 2);
  expect_failure(&code_terms, DRAY_E_AUTH_REJECTED, "authorization_code", AGAIN);
  assert_int_equal(count_stored("refresh-1"), 1);
  expect_token(&code_terms, "access-2");
  assert_non_null(strstr(fake.requests[1].body, "\"code\":\"code-2\""));
  assert_int_equal(count_stored("refresh-1"), 1);
  assert_int_equal(count_stored("\"left_us\""), 1);
  assert_int_equal(count_stored("refresh-2"), 1);
}

static void test_a_code_takes_the_place_of_a_refresh_token(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
  struct dray_credential_terms terms = code_terms;
  terms.grant = DRAY_GRANT_REFRESH_TOKEN;
  terms.refresh_setting = "verifier"; // any secret
  begin(first, 1);
  expect_token(&terms, "access-1");
  fake_host_again(&fake, second, 1);
  expect_token(&code_terms, "access-2");
  assert_int_equal(count_stored("\"left_us\""), 1);
}

// ---- used ----

// RFC 6749 §4.1.2: a code is not sent twice, whatever became of it.
static void test_a_code_whose_answer_is_lost_counts_as_used(void **state) {
  (void)state;
  static const struct {
    struct fake_exchange exchange;
    const char *words;
  } cases[] = {
      {{.fail_code = DRAY_E_NET_CLOSED, .in_doubt = 1}, "counts as used (the fake network failed): " AGAIN},
      {{.fail_code = DRAY_E_NET_TIMEOUT, .in_doubt = 1}, "counts as used"},
      {{.body = "{\"access_tok", .cut_code = DRAY_E_NET_CLOSED}, "counts as used"},
      {{.body = "<html>log in</html>"}, "no access_token"},
      {{.status = 502, .body = "secret?"}, "answered 502"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    begin(&cases[i].exchange, 1);
    expect_failure(&code_terms, DRAY_E_AUTH_REJECTED, "authorization_code", cases[i].words);
    fake_host_again(&fake, NULL, 0);
    expect_failure(&code_terms, DRAY_E_AUTH_REJECTED, "authorization_code", "it was sent, and what was answered");
    set_code("code-2");
    static const struct fake_exchange second[] = {PAIR("access-2", "refresh-2")};
    fake_host_again(&fake, second, 1);
    expect_token(&code_terms, "access-2");
    assert_int_equal(count_stored("\"sent\""), 1); // as long as a pair that was left
  }
}

// A process that dies between the request and the store leaves the mark alone.
static void test_a_code_of_a_dead_process_counts_as_used(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  char token[10];
  begin(first, 1);
  fake.put_fail_code = DRAY_E_DISK_FULL; // as good as dead: nothing is stored, and the credential is gone
  fake.put_fail_from = 2;
  assert_int_equal(get_token(&code_terms, token, sizeof(token), NULL), DRAY_E_DISK_FULL);
  fake.put_fail_code = DRAY_OK;
  fake_host_again(&fake, NULL, 0);
  expect_failure(&code_terms, DRAY_E_AUTH_REJECTED, "authorization_code", "counts as used");
}

static void test_a_pair_that_could_not_be_stored_is_not_lost_while_there_is_a_process(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  struct dray_credential *credential = NULL;
  struct dray_str token;
  begin(first, 1);
  assert_int_equal(dray_credential_new(&fake.services, &code_terms, &credential, NULL), DRAY_OK);
  fake.put_fail_code = DRAY_E_DISK_FULL;
  fake.put_fail_from = 2;
  assert_int_equal(dray_credential_token(credential, &token, NULL), DRAY_E_DISK_FULL);
  fake.put_fail_code = DRAY_OK;
  assert_int_equal(dray_credential_token(credential, &token, NULL), DRAY_OK);
  assert_true(dray_str_is(token, "access-1"));
  dray_credential_free(credential);
  assert_int_equal(count_stored("refresh-1"), 1);
}

// What cannot have used it leaves it as good as it was.
static void test_a_code_that_was_not_used_is_sent_again(void **state) {
  (void)state;
  static const struct {
    struct fake_exchange exchange;
    int32_t code;
    const char *field, *words;
  } cases[] = {
      {{.fail_code = DRAY_E_NET_CONNECT}, DRAY_E_NET_CONNECT, "", "the fake network"},
      {{.status = 401, .body = "{\"error\":\"invalid_client\"}"},
       DRAY_E_AUTH_REJECTED,
       "client_secret",
       "(invalid_client): check the client's id"},
      {{.status = 400, .body = "{\"error\":\"invalid_grant\",\"error_description\":\"it has expired\"}"},
       DRAY_E_AUTH_REJECTED,
       "authorization_code",
       "(invalid_grant: it has expired): the code, or what it brought, is no longer good; " AGAIN},
      {{.status = 429, .headers = "Retry-After: 3\n"}, DRAY_E_THROTTLED, "", "answered 429"},
      {{.status = 503}, DRAY_E_HTTP_SERVER, "", "answered 503"},
      {{.status = 302}, DRAY_E_HTTP_STATUS, "", "answered 302"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct fake_exchange exchanges[] = {cases[i].exchange, PAIR("access-1", "refresh-1")};
    begin(exchanges, 2);
    expect_failure(&code_terms, cases[i].code, cases[i].field, cases[i].words);
    expect_token(&code_terms, "access-1");
    assert_string_equal(fake.requests[1].body, EXCHANGE);
  }
}

static void test_a_code_is_not_sent_while_nothing_can_be_stored(void **state) {
  (void)state;
  for (int from = 0; from < 2; from++) {
    char token[10];
    begin(NULL, 0);
    fake.put_fail_code = DRAY_E_DISK_FULL;
    fake.put_fail_from = from;
    assert_int_equal(get_token(&code_terms, token, sizeof(token), NULL), DRAY_E_DISK_FULL);
  }
}

// ---- without a refresh token ----

static void test_a_token_without_an_end_is_used_until_it_is_refused(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {{.body = "{\"access_token\":\"a\",\"expires_in\":0,\"scope\":null}"}};
  struct dray_credential *credential = NULL;
  struct dray_str token;
  int32_t again = 1;
  begin(first, 1);
  expect_token(&code_terms, "a");
  fake.now_us += INT64_C(86400) * 1000000 * 1000;
  fake_host_again(&fake, NULL, 0);
  assert_int_equal(dray_credential_new(&fake.services, &code_terms, &credential, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(credential, &token, NULL), DRAY_OK);
  assert_int_equal(dray_credential_refused(credential, &again, NULL), DRAY_OK);
  assert_int_equal(again, 0); // nothing can be done but to grant access again
  dray_credential_free(credential);
}

static void test_a_token_that_ends_without_a_refresh_token_needs_another_code(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {{.body = "{\"access_token\":\"a\",\"expires_in\":600}"}};
  begin(first, 1);
  expect_token(&code_terms, "a");
  fake.now_us += INT64_C(600) * 1000000;
  fake_host_again(&fake, NULL, 0);
  expect_failure(&code_terms, DRAY_E_AUTH_REJECTED, "authorization_code", "the token that it brought has ended");
}

// ---- what a person is told ----

static void expect_told(const struct dray_credential_terms *terms, const char *expected) {
  struct dray_credential *credential = NULL;
  struct dray_buffer text;
  struct dray_error error;
  dray_error_init(&error);
  dray_buffer_init(&text, 4096);
  assert_int_equal(dray_credential_new(&fake.services, terms, &credential, NULL), DRAY_OK);
  if (dray_credential_authorize(credential, &text, &error) != DRAY_OK) fail_msg("%s", error.text);
  if (strncmp(text.data, expected, strlen(expected)) != 0) fail_msg("'%s' is not '%s'", text.data, expected);
  dray_credential_free(credential);
  dray_buffer_free(&text);
}

static void test_the_address_to_open_has_all_that_belongs_into_it(void **state) {
  (void)state;
  struct dray_credential_terms terms = code_terms;
  begin(NULL, 0);
  expect_told(
      &terms,
      "open https://acme.test/oauth/new?response_type=code&client_id=the%20app&redirect_uri="
      "https%3A%2F%2Fme.test%2Fcb%3Fa%3Db&scope=read%20write&state=5555555555555555 in a browser and grant "
      "access; the browser then goes to https://me.test/cb?a=b (no page need be there) with code=... and "
      "state=... in its address: see that state is 5555555555555555, else the code is no answer to you; set what "
      "stands behind code= as authorization_code, and run dray again within 120 seconds");
  terms.verifier_setting = "verifier";
  terms.authorize_scope = NULL;
  expect_told(&terms, "open https://acme.test/oauth/new?response_type=code&client_id=the%20app&redirect_uri="
                      "https%3A%2F%2Fme.test%2Fcb%3Fa%3Db&state=5656565656565656&code_challenge=" CHALLENGE
                      "&code_challenge_method=S256 in a browser");
}

// As another implementation has them; the lengths are those where a block of the hash ends.
static void test_challenges_of_verifiers_of_all_lengths(void **state) {
  (void)state;
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static const struct {
    size_t len;
    const char *challenge;
  } cases[] = {
      {43, "01ZMlLDptILCmAeK1WZ14Du9xRCvfr-aPWvX7e4Hk4U"},  {55, "pcTWXhaRh8KLOjGd6LyO-9TbjLhVAHrci6ybLHo4VVM"},
      {56, "2g2JyD03TRilOct6SGS8PkctqaitlAJ1jxDoRVpTk2A"},  {63, "BKiaZ59hUMXyInSut9kzuhIIiCgxsP3v6CpnFjkEOyY"},
      {64, "rlMFeRw86_58zII_XM6NgUOAs1GD1xk1I0dDIIgXf4Q"},  {119, "32jCHsGVaZn4Oc0dLaYMZXLuV-7L4EPHv0vingyEgNI"},
      {120, "H-HqUGCnC7XlGnH2BmgCnMleJdcdPE98tg5wmTd3trE"}, {128, "r0W3j0eBFgmnCIsVTryzFvOwmcULCA0U_RpELvG4BMo"},
  };
  struct dray_credential_terms terms = code_terms;
  terms.verifier_setting = "verifier";
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_credential *credential = NULL;
    struct dray_buffer text;
    char verifier[129], expected[100];
    begin(NULL, 0);
    for (size_t at = 0; at < cases[i].len; at++) verifier[at] = letters[at % (sizeof(letters) - 1)];
    verifier[cases[i].len] = '\0';
    fake.secrets[3] = verifier;
    dray_buffer_init(&text, 4096);
    assert_int_equal(dray_credential_new(&fake.services, &terms, &credential, NULL), DRAY_OK);
    assert_int_equal(dray_credential_authorize(credential, &text, NULL), DRAY_OK);
    (void)snprintf(expected, sizeof(expected), "&code_challenge=%s&", cases[i].challenge);
    if (strstr(text.data, expected) == NULL) fail_msg("%zu: '%s' lacks '%s'", cases[i].len, text.data, expected);
    dray_credential_free(credential);
    dray_buffer_free(&text);
  }
}

static void test_without_a_code_it_is_said_that_access_is_to_be_granted(void **state) {
  (void)state;
  struct dray_credential *credential = NULL;
  struct dray_str token;
  struct dray_error error;
  begin(NULL, 0);
  set_code(NULL);
  expect_failure(&code_terms, DRAY_E_CONFIG_MISSING, "authorization_code", "there is no authorization_code yet");
  dray_error_init(&error);
  assert_int_equal(dray_credential_new(&fake.services, &code_terms, &credential, NULL), DRAY_OK);
  assert_int_equal(dray_credential_token(credential, &token, &error), DRAY_E_CONFIG_MISSING);
  assert_true(dray_credential_wants_code(credential, &error));
  (void)dray_fail_field(&error, DRAY_E_CONFIG_SECRET_MISSING, "authorization_code", "its variable is not set");
  assert_true(dray_credential_wants_code(credential, &error));
  (void)dray_fail_field(&error, DRAY_E_CONFIG_SECRET_MISSING, "client_secret", "its variable is not set");
  assert_false(dray_credential_wants_code(credential, &error));
  (void)dray_fail_field(&error, DRAY_E_AUTH_REJECTED, "client_secret", "it is wrong");
  assert_false(dray_credential_wants_code(credential, &error));
  (void)dray_fail(&error, DRAY_E_NET_CONNECT, "nobody is there");
  assert_false(dray_credential_wants_code(credential, &error));
  dray_credential_free(credential);
}

static void test_a_verifier_goes_with_the_code_and_is_looked_at_before(void **state) {
  (void)state;
  static const struct fake_exchange first[] = {PAIR("access-1", "refresh-1")};
  struct dray_credential_terms terms = code_terms;
  terms.verifier_setting = "verifier";
  terms.secret_setting = NULL; // a public client
  begin(first, 1);
  fake.secrets[3] = "too-short";
  expect_failure(&terms, DRAY_E_CONFIG_VALUE, "verifier", "43 to 128");
  fake.secrets[3] = "a blank is in here, which is not allowed in one";
  expect_failure(&terms, DRAY_E_CONFIG_VALUE, "verifier", "43 to 128");
  fake.secrets[3] = VERIFIER;
  expect_token(&terms, "access-1");
  assert_non_null(strstr(fake.requests[0].body, "\"code_verifier\":\"" VERIFIER "\""));
  assert_null(strstr(fake.requests[0].body, "client_secret"));
}

static void expect_step(const struct dray_credential_terms *terms, const struct dray_error *why, const char *expected) {
  struct dray_credential *credential = NULL;
  struct dray_json_writer writer;
  struct dray_buffer text;
  int32_t is_written = 7;
  dray_buffer_init(&text, 8192);
  dray_json_writer_init(&writer, &text, NULL);
  assert_int_equal(dray_credential_new(&fake.services, terms, &credential, NULL), DRAY_OK);
  assert_int_equal(dray_credential_step_write(credential, why, &writer, &is_written, NULL), DRAY_OK);
  dray_credential_free(credential);
  assert_int_equal(is_written, expected != NULL);
  if (expected != NULL && (text.data == NULL || strstr(text.data, expected) == NULL)) fail_msg("no '%s'", expected);
  dray_buffer_free(&text);
}

static void test_a_check_says_the_address_or_what_is_in_its_way(void **state) {
  (void)state;
  struct dray_credential_terms terms = code_terms;
  struct dray_error why;
  begin(NULL, 0);
  dray_error_init(&why);
  expect_step(&terms, &why, NULL);
  (void)dray_fail_field(&why, DRAY_E_AUTH_REJECTED, "authorization_code", "it is used");
  expect_step(&terms, &why, "\"text\":\"it is used\",\"fix\":\"open https://acme.test/oauth/new?response_type=code&");
  terms.verifier_setting = "verifier";
  fake.secrets[3] = "short";
  expect_step(&terms, &why, "\"text\":\"verifier has 5 characters");
  terms.grant = DRAY_GRANT_STATIC;
  expect_step(&terms, &why, NULL);
}

// ---- torture ----

static int32_t exchange_renew_replace(void *ctx) {
  static const struct fake_exchange exchanges[] = {PAIR("access-1", "refresh-1"), PAIR("access-2", "refresh-2"),
                                                   PAIR("access-3", "refresh-3"), PAIR("access-4", "refresh-4")};
  struct dray_credential_terms terms = code_terms;
  char token[100];
  (void)ctx;
  terms.verifier_setting = "verifier";
  begin(exchanges, 4);
  int32_t rc = get_token(&terms, token, sizeof(token), NULL);
  fake.now_us += INT64_C(7200) * 1000000;
  if (rc == DRAY_OK) rc = get_token(&terms, token, sizeof(token), NULL);
  set_code("code-2");
  // Of what is left behind, and emptied later, nothing is told: it is done with the next token.
  if (rc == DRAY_OK) rc = get_token(&terms, token, sizeof(token), NULL);
  const int is_left = strstr(fake.own.text, "\"left\"") != NULL;
  fake.now_us += INT64_C(90) * 86400 * 1000000;
  if (rc == DRAY_OK) rc = get_token(&terms, token, sizeof(token), NULL);
  fake_host_expect_idle(&fake);
  const int is_done = is_left && strstr(fake.own.text, "\"left\"") == NULL && count_stored("refresh-2") == 0;
  return rc == DRAY_OK && !is_done ? DRAY_E_OUT_OF_MEMORY : rc;
}

static int32_t tell(void *ctx) {
  struct dray_credential_terms terms = code_terms;
  struct dray_credential *credential = NULL;
  struct dray_buffer text;
  (void)ctx;
  terms.verifier_setting = "verifier";
  begin(NULL, 0);
  dray_buffer_init(&text, 4096);
  int32_t rc = dray_credential_new(&fake.services, &terms, &credential, NULL);
  if (rc == DRAY_OK) rc = dray_credential_authorize(credential, &text, NULL);
  dray_credential_free(credential);
  dray_buffer_free(&text);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(exchange_renew_replace, NULL) > 60);
  assert_true(torture_every(tell, NULL) > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_code_is_exchanged_once_and_its_pair_renewed),
      cmocka_unit_test(test_connections_with_one_code_exchange_it_once),
      cmocka_unit_test(test_a_new_code_is_exchanged_and_the_pair_before_is_left),
      cmocka_unit_test(test_a_code_takes_the_place_of_a_refresh_token),
      cmocka_unit_test(test_a_code_whose_answer_is_lost_counts_as_used),
      cmocka_unit_test(test_a_code_of_a_dead_process_counts_as_used),
      cmocka_unit_test(test_a_pair_that_could_not_be_stored_is_not_lost_while_there_is_a_process),
      cmocka_unit_test(test_a_code_that_was_not_used_is_sent_again),
      cmocka_unit_test(test_a_code_is_not_sent_while_nothing_can_be_stored),
      cmocka_unit_test(test_a_token_without_an_end_is_used_until_it_is_refused),
      cmocka_unit_test(test_a_token_that_ends_without_a_refresh_token_needs_another_code),
      cmocka_unit_test(test_the_address_to_open_has_all_that_belongs_into_it),
      cmocka_unit_test(test_challenges_of_verifiers_of_all_lengths),
      cmocka_unit_test(test_without_a_code_it_is_said_that_access_is_to_be_granted),
      cmocka_unit_test(test_a_verifier_goes_with_the_code_and_is_looked_at_before),
      cmocka_unit_test(test_a_check_says_the_address_or_what_is_in_its_way),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
