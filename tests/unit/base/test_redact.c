// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A secret is masked in every spelling it may take on its way out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
//
#include <cmocka.h>

#include "base/redact.h"
#include "dray/sdk/error.h"
#include "torture.h"

static const char *masked(const char *text) {
  static char copy[512];
  memset(copy, 0, sizeof(copy));
  memcpy(copy, text, strlen(text));
  copy[dr_redact(copy, strlen(copy))] = '\0';
  return copy;
}

static int clear(void **state) {
  (void)state;
  dr_redact_clear();
  return 0;
}

static void test_secret_is_masked_plain_encoded_and_escaped(void **state) {
  (void)state;
  dr_redact_add(dray_str_of("s3cr/t pass"));
  assert_string_equal(masked("token=s3cr/t pass!"), "token=***!");
  assert_string_equal(masked("?k=s3cr%2Ft%20pass&x"), "?k=***&x");
  assert_string_equal(masked("{\"k\":\"s3cr\\/t pass\"}"), "{\"k\":\"***\"}");
  assert_null(
      strstr(masked("Basic czNjci90IHBhc3M="), "czNjci90IHBh")); // base64, all but a tail that depends on what follows
}

static void test_every_occurrence_and_the_longest_secret_first(void **state) {
  (void)state;
  dr_redact_add(dray_str_of("abcd"));
  dr_redact_add(dray_str_of("abcdefgh"));
  assert_string_equal(masked("abcdefgh abcd abcdefgh"), "*** *** ***");
}

static void test_short_values_are_not_secrets(void **state) {
  (void)state;
  dr_redact_add(dray_str_of("abc"));
  assert_string_equal(masked("abc"), "abc");
}

static void test_error_is_masked_in_all_its_texts(void **state) {
  (void)state;
  dr_redact_add(dray_str_of("canary-secret"));
  struct dray_error error;
  (void)dray_fail_field(&error, DRAY_E_AUTH_REJECTED, "canary-secret", "the token canary-secret was refused");
  dr_redact_error(&error);
  assert_string_equal(error.text, "the token *** was refused");
  assert_string_equal(error.field, "***");
}

// A run of days renews its tokens hundreds of times.
static void test_many_tokens_leave_texts_readable(void **state) {
  (void)state;
  char token[64];
  for (int i = 0; i < 600; i++) {
    const int n = snprintf(token, sizeof(token), "token/%d", i);
    dr_redact_add(dray_str_make(token, (uint64_t)n));
  }
  assert_string_equal(masked("token/0 and token/599 are known"), "*** and *** are known");
}

static void test_secret_that_cannot_be_remembered_masks_everything(void **state) {
  (void)state;
  torture_arm(1);
  dr_redact_add(dray_str_of("canary-secret"));
  assert_int_equal(torture_arm(0), 1);
  assert_string_equal(masked("the token is canary-secret"), "***");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_secret_is_masked_plain_encoded_and_escaped, clear),
      cmocka_unit_test_teardown(test_every_occurrence_and_the_longest_secret_first, clear),
      cmocka_unit_test_teardown(test_short_values_are_not_secrets, clear),
      cmocka_unit_test_teardown(test_error_is_masked_in_all_its_texts, clear),
      cmocka_unit_test_teardown(test_many_tokens_leave_texts_readable, clear),
      cmocka_unit_test_teardown(test_secret_that_cannot_be_remembered_masks_everything, clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
