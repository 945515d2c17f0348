// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Halves of surrogate pairs become the replacement character; everything else stays as it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mend.h"

static void expect(const char *text, const char *wanted, size_t count) {
  char json[128];
  const size_t len = strlen(text);
  assert_true(len < sizeof(json));
  memcpy(json, text, len + 1);
  assert_int_equal(shopify_mend(json, len), count);
  assert_string_equal(json, wanted);
}

static void test_halves_are_replaced(void **state) {
  (void)state;
  expect("\\ud83d", "\\ufffd", 1);
  expect("a\\uDE00b", "a\\ufffdb", 1);
  expect("\\ud83d\\ud83d\\ude00", "\\ufffd\\ud83d\\ude00", 1);
  expect("\\ude00\\ud83d", "\\ufffd\\ufffd", 2);
  expect("\\ud83dx\\ude00", "\\ufffdx\\ufffd", 2);
}

static void test_all_else_stays(void **state) {
  (void)state;
  static const char *const texts[] = {"",
                                      "plain",
                                      "\\ud83d\\ude00",
                                      "\\uD83D\\uDE00",
                                      "\\\\ud83d", // a backslash, and then letters
                                      "\\/\\n\\\"",
                                      "\\u00e9\\ufffd\\u0000",
                                      "\\ud83", // cut
                                      "\\u",
                                      "\\",
                                      "\\uzzzz"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) expect(texts[i], texts[i], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_halves_are_replaced),
      cmocka_unit_test(test_all_else_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
