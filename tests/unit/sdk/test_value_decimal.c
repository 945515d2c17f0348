// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Decimals: exact or refused, at every scale up to 38 digits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dray/sdk/value.h"

#define NINES_38 "99999999999999999999999999999999999999"

static void expect_text(const char *text, int32_t precision, int32_t scale, const char *expected) {
  struct dray_decimal value;
  char out[DRAY_FORMAT_BYTES_MAX];
  assert_int_equal(dray_parse_decimal(dray_str_of(text), precision, scale, &value, NULL), DRAY_OK);
  assert_true(dray_decimal_fits(value, precision));
  assert_int_equal(dray_format_decimal(value, scale, out), strlen(expected));
  assert_string_equal(out, expected);
}

static void test_decimal_parse_keeps_every_digit(void **state) {
  (void)state;
  expect_text("12.3", 4, 2, "12.30");
  expect_text("-0.05", 4, 2, "-0.05");
  expect_text("0", 4, 2, "0.00");
  expect_text("-0", 4, 2, "0.00");
  expect_text("+7", 1, 0, "7");
  expect_text("00000000000000000000000000000000000000000000000000012.5", 3, 1, "12.5");
  expect_text("12.5000000000000000000000000000000000000000000000000000", 3, 1, "12.5");
  expect_text(NINES_38, 38, 0, NINES_38);
  expect_text("-" NINES_38, 38, 0, "-" NINES_38);
  expect_text("0." NINES_38, 38, 38, "0." NINES_38);
  expect_text("0.00000000000000000000000000000000000001", 38, 38, "0.00000000000000000000000000000000000001");
}

static void test_decimal_parse_exponents_are_exact(void **state) {
  (void)state;
  expect_text("1e3", 4, 0, "1000");
  expect_text("1.25E2", 3, 0, "125");
  expect_text("125e-2", 3, 2, "1.25");
  expect_text("1e37", 38, 0, "10000000000000000000000000000000000000");
  expect_text("0e999999999999999999999", 4, 2, "0.00");
  expect_text("100000e-5", 2, 1, "1.0");
  expect_text("0.000000000000000000000000000000000000000000005e45", 1, 0, "5");
}

static void test_decimal_parse_refuses(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t precision, scale, code;
  } cases[] = {{"123", 4, 2, DRAY_E_DATA_OVERFLOW},
               {"100", 4, 2, DRAY_E_DATA_OVERFLOW},
               {"99.999", 4, 2, DRAY_E_DATA_PRECISION},
               {"0.001", 4, 2, DRAY_E_DATA_PRECISION},
               {"1234.5678", 4, 2, DRAY_E_DATA_OVERFLOW},
               {"1e38", 38, 0, DRAY_E_DATA_OVERFLOW},
               {"1e999999999999", 38, 0, DRAY_E_DATA_OVERFLOW},
               {"1e-999999999999", 38, 38, DRAY_E_DATA_PRECISION},
               {"1" NINES_38, 38, 0, DRAY_E_DATA_OVERFLOW},
               {"1", 38, 38, DRAY_E_DATA_OVERFLOW},
               {"", 4, 2, DRAY_E_DATA_TYPE},
               {".5", 4, 2, DRAY_E_DATA_TYPE},
               {"5.", 4, 2, DRAY_E_DATA_TYPE},
               {"1,5", 4, 2, DRAY_E_DATA_TYPE},
               {"NaN", 4, 2, DRAY_E_DATA_TYPE},
               {"12 ", 4, 2, DRAY_E_DATA_TYPE},
               {"--1", 4, 2, DRAY_E_DATA_TYPE}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dray_decimal value = {42, 42};
    assert_int_equal(dray_parse_decimal(dray_str_of(cases[i].text), cases[i].precision, cases[i].scale, &value, NULL),
                     cases[i].code);
    assert_true(value.low == 42 && value.high == 42);
  }
}

static void test_decimal_has_the_layout_of_arrow(void **state) {
  (void)state;
  struct dray_decimal value;
  assert_int_equal(dray_parse_decimal(dray_str_of("-12.30"), 4, 2, &value, NULL), DRAY_OK);
  assert_true(value.low == (uint64_t)-1230 && value.high == -1);
  assert_int_equal(dray_parse_decimal(dray_str_of("18446744073709551616"), 38, 0, &value, NULL), DRAY_OK);
  assert_true(value.low == 0 && value.high == 1);
}

static void test_decimal_of_int64_keeps_the_extremes(void **state) {
  (void)state;
  char out[DRAY_FORMAT_BYTES_MAX];
  (void)dray_format_decimal(dray_decimal_of_int64(INT64_MIN), 0, out);
  assert_string_equal(out, "-9223372036854775808");
  (void)dray_format_decimal(dray_decimal_of_int64(INT64_MAX), 0, out);
  assert_string_equal(out, "9223372036854775807");
}

static void test_decimal_format_of_any_bits_stays_in_its_room(void **state) {
  (void)state;
  const struct dray_decimal extremes[] = {{0, INT64_MIN}, {UINT64_MAX, INT64_MAX}, {UINT64_MAX, -1}};
  for (size_t i = 0; i < 3; i++) {
    for (int32_t scale = 0; scale <= 38; scale++) {
      char out[DRAY_FORMAT_BYTES_MAX];
      assert_true(dray_format_decimal(extremes[i], scale, out) < DRAY_FORMAT_BYTES_MAX);
    }
  }
}

static void test_decimal_rescale_is_exact_or_refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t from_scale, precision, scale, code;
    const char *expected;
  } cases[] = {
      {"12.30", 2, 3, 1, DRAY_OK, "12.3"},
      {"12.30", 2, 10, 4, DRAY_OK, "12.3000"},
      {"-12.30", 2, 3, 1, DRAY_OK, "-12.3"},
      {"12.34", 2, 10, 1, DRAY_E_DATA_PRECISION, NULL},
      {"12.34", 2, 3, 2, DRAY_E_DATA_OVERFLOW, NULL},
      {"100.00", 2, 2, 0, DRAY_E_DATA_OVERFLOW, NULL},
      {"0.00", 2, 38, 38, DRAY_OK, "0.00000000000000000000000000000000000000"},
      {"1.00", 2, 38, 38, DRAY_E_DATA_OVERFLOW, NULL},
      {"999999999999999999999999999999999999.99", 2, 38, 2, DRAY_OK, "999999999999999999999999999999999999.99"},
      {"999999999999999999999999999999999999.99", 2, 38, 3, DRAY_E_DATA_OVERFLOW, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dray_decimal value, out = {7, 7};
    char text[DRAY_FORMAT_BYTES_MAX];
    assert_int_equal(dray_parse_decimal(dray_str_of(cases[i].text), 38, cases[i].from_scale, &value, NULL), DRAY_OK);
    assert_int_equal(dray_decimal_rescale(value, cases[i].from_scale, cases[i].precision, cases[i].scale, &out, NULL),
                     cases[i].code);
    if (cases[i].expected == NULL) {
      assert_true(out.low == 7 && out.high == 7);
      continue;
    }
    (void)dray_format_decimal(out, cases[i].scale, text);
    assert_string_equal(text, cases[i].expected);
  }
}

// Every power of ten and its neighbours, at the borders of every precision.
static void test_decimal_precision_borders(void **state) {
  (void)state;
  for (int32_t precision = 1; precision <= 38; precision++) {
    char largest[64], smallest_over[64];
    struct dray_decimal value;
    memset(largest, '9', (size_t)precision);
    largest[precision] = '\0';
    smallest_over[0] = '1';
    memset(smallest_over + 1, '0', (size_t)precision);
    smallest_over[precision + 1] = '\0';
    expect_text(largest, precision, 0, largest);
    assert_int_equal(dray_parse_decimal(dray_str_of(smallest_over), precision, 0, &value, NULL), DRAY_E_DATA_OVERFLOW);
    if (precision == 38) continue;
    assert_int_equal(dray_parse_decimal(dray_str_of(smallest_over), precision + 1, 0, &value, NULL), DRAY_OK);
    assert_false(dray_decimal_fits(value, precision));
    assert_true(dray_decimal_fits(value, precision + 1));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_decimal_parse_keeps_every_digit),
      cmocka_unit_test(test_decimal_parse_exponents_are_exact),
      cmocka_unit_test(test_decimal_parse_refuses),
      cmocka_unit_test(test_decimal_has_the_layout_of_arrow),
      cmocka_unit_test(test_decimal_of_int64_keeps_the_extremes),
      cmocka_unit_test(test_decimal_format_of_any_bits_stays_in_its_room),
      cmocka_unit_test(test_decimal_rescale_is_exact_or_refused),
      cmocka_unit_test(test_decimal_precision_borders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
