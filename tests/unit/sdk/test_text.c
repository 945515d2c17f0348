// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Strings and errors: UTF-8 is checked as RFC 3629 has it, buffers keep their maximum, errors are cut at characters.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"
#include "torture.h"

static void test_utf8_takes_what_is_well_formed_and_nothing_else(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    int valid;
  } cases[] = {
      {"", 1},
      {"plain ascii, long enough for words", 1},
      {"gr\xC3\xBC\xC3\x9F dich", 1},
      {"\xE2\x82\xAC", 1},
      {"\xF0\x9F\x98\x80", 1},
      {"\xEF\xBF\xBD", 1},
      {"\xC0\x80", 0},         // overlong NUL
      {"\xC1\xBF", 0},         // overlong
      {"\xE0\x9F\xBF", 0},     // overlong
      {"\xED\xA0\x80", 0},     // surrogate
      {"\xF0\x8F\xBF\xBF", 0}, // overlong
      {"\xF4\x90\x80\x80", 0}, // beyond U+10FFFF
      {"\xF5\x80\x80\x80", 0},
      {"\x80", 0},         // lone continuation
      {"eight by\xC3", 0}, // cut at the end
      {"\xE2\x82", 0},
      {"ascii then \xFF", 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(dray_utf8_valid(cases[i].bytes, strlen(cases[i].bytes)), cases[i].valid);
  }
}

static void test_buffer_stops_at_its_maximum_unchanged(void **state) {
  (void)state;
  struct dray_buffer buffer;
  struct dray_error error;
  dray_buffer_init(&buffer, 10);
  assert_int_equal(dray_buffer_append_str(&buffer, "0123456789", &error), DRAY_OK);
  assert_int_equal(dray_buffer_append_char(&buffer, 'x', &error), DRAY_E_LIMIT);
  assert_string_equal(buffer.data, "0123456789");
  dray_buffer_clear(&buffer);
  assert_int_equal(dray_buffer_printf(&buffer, &error, "%d-%s", 42, "abc"), DRAY_OK);
  assert_string_equal(buffer.data, "42-abc");
  assert_int_equal(dray_buffer_printf(&buffer, &error, "%s", "too long"), DRAY_E_LIMIT);
  assert_string_equal(buffer.data, "42-abc");
  dray_buffer_free(&buffer);
}

static int32_t grow(void *ctx) {
  (void)ctx;
  struct dray_buffer buffer;
  dray_buffer_init(&buffer, 1 << 20);
  int32_t rc = DRAY_OK;
  for (int i = 0; i < 1000 && rc == DRAY_OK; i++) rc = dray_buffer_append_str(&buffer, "0123456789", NULL);
  dray_buffer_free(&buffer);
  return rc;
}

static void test_buffer_reports_every_failed_allocation(void **state) {
  (void)state;
  assert_true(torture_every(grow, NULL) > 3);
}

static void test_long_error_is_cut_between_characters(void **state) {
  (void)state;
  struct dray_error error;
  char text[3000];
  for (size_t i = 0; i + 1 < sizeof(text); i += 2) memcpy(text + i, "\xC3\xBC", 2);
  text[sizeof(text) - 2] = '\0';
  assert_int_equal(dray_fail(&error, DRAY_E_IO, "%s", text), DRAY_E_IO);
  assert_true(strlen(error.text) < DRAY_ERROR_TEXT_MAX);
  assert_true(dray_utf8_valid(error.text, strlen(error.text)));
  (void)dray_error_prefix(&error, "x%s", "\xE2\x82\xAC");
  assert_true(dray_utf8_valid(error.text, strlen(error.text)));
  assert_int_equal(error.code, DRAY_E_IO);
}

static void test_every_error_explains_itself(void **state) {
  (void)state;
  size_t count = 0;
  const struct dray_error_info *table = dray_error_table(&count);
  assert_true(count > 50);
  for (size_t i = 0; i < count; i++) {
    assert_ptr_equal(dray_error_info(table[i].code), &table[i]); // numbers are unique
    assert_ptr_equal(dray_error_info_by_name(dray_str_of(table[i].name)), &table[i]);
    assert_true(strlen(table[i].what) > 10 && strlen(table[i].fix) > 10);
    assert_true(table[i].error_class >= DRAY_CLASS_CONFIG && table[i].error_class <= DRAY_CLASS_BUG);
    assert_true(table[i].exit_code > 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_utf8_takes_what_is_well_formed_and_nothing_else),
      cmocka_unit_test(test_buffer_stops_at_its_maximum_unchanged),
      cmocka_unit_test(test_buffer_reports_every_failed_allocation),
      cmocka_unit_test(test_long_error_is_cut_between_characters),
      cmocka_unit_test(test_every_error_explains_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
