// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Types, integers, floats, booleans, base64: what is read, what is refused, and that text comes back as it went.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/value.h"
#include "torture.h"

static struct dray_str str(const char *text) {
  return dray_str_of(text);
}

static void test_type_spelling_round_trips(void **state) {
  (void)state;
  static const char *const good[] = {"bool",           "int64",         "float64", "decimal(1,0)",
                                     "decimal(38,38)", "decimal(10,2)", "string",  "bytes",
                                     "date",           "timestamp",     "json"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    struct dray_type type;
    char text[24];
    assert_int_equal(dray_type_parse(str(good[i]), &type, NULL), DRAY_OK);
    assert_string_equal(dray_type_format(type, text, sizeof text), good[i]);
  }
  struct dray_type type;
  assert_int_equal(dray_type_parse(str("decimal"), &type, NULL), DRAY_OK);
  assert_int_equal(type.precision, 38);
  assert_int_equal(type.scale, 9);
}

static void test_type_misspelt_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "Int64",
                                    "int",
                                    "decimal()",
                                    "decimal(10)",
                                    "decimal(10, 2)",
                                    "decimal(0,0)",
                                    "decimal(39,0)",
                                    "decimal(5,6)",
                                    "decimal(05,2)",
                                    "decimal(5,-1)",
                                    "decimal(100,2)",
                                    "decimal(5,2",
                                    "decimal(5,2) ",
                                    "string "};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct dray_type type = {77, 0, 0};
    struct dray_error error;
    dray_error_init(&error);
    assert_int_equal(dray_type_parse(str(bad[i]), &type, &error), DRAY_E_SCHEMA_TYPE);
    assert_int_equal(type.id, 77); // written only on success
    assert_non_null(strstr(error.text, "decimal(P,S)"));
  }
}

static void test_int64_reads_its_whole_range(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t value;
  } cases[] = {{"0", 0},
               {"-0", 0},
               {"+7", 7},
               {"007", 7},
               {"9223372036854775807", INT64_MAX},
               {"-9223372036854775808", INT64_MIN},
               {"0000000000000000000000012", 12}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t value = -1;
    assert_int_equal(dray_parse_int64(str(cases[i].text), &value, NULL), DRAY_OK);
    assert_true(value == cases[i].value);
  }
}

static void test_int64_refuses_what_it_would_have_to_change(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t code;
  } cases[] = {{"9223372036854775808", DRAY_E_DATA_OVERFLOW},
               {"-9223372036854775809", DRAY_E_DATA_OVERFLOW},
               {"99999999999999999999999999", DRAY_E_DATA_OVERFLOW},
               {"99999999999999999999999999x", DRAY_E_DATA_TYPE},
               {"1.0", DRAY_E_DATA_TYPE},
               {"1e3", DRAY_E_DATA_TYPE},
               {"", DRAY_E_DATA_TYPE},
               {"-", DRAY_E_DATA_TYPE},
               {"+-1", DRAY_E_DATA_TYPE},
               {" 1", DRAY_E_DATA_TYPE},
               {"1 ", DRAY_E_DATA_TYPE},
               {"0x10", DRAY_E_DATA_TYPE},
               {"1,000", DRAY_E_DATA_TYPE},
               {"\xd9\xa1", DRAY_E_DATA_TYPE}}; // an Arabic-Indic digit
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t value = 42;
    assert_int_equal(dray_parse_int64(str(cases[i].text), &value, NULL), cases[i].code);
    assert_true(value == 42);
  }
}

static void test_int64_format_round_trips(void **state) {
  (void)state;
  static const int64_t values[] = {0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN, 1234567890123456789};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char text[DRAY_FORMAT_BYTES_MAX], expected[32];
    int64_t back = 0;
    const size_t len = dray_format_int64(values[i], text);
    (void)snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    assert_int_equal(dray_parse_int64(str(text), &back, NULL), DRAY_OK);
    assert_true(back == values[i]);
  }
}

static void test_float64_reads_as_strtod_does(void **state) {
  (void)state;
  static const char *const texts[] = {"0",
                                      "-0",
                                      "1.5",
                                      "0.1",
                                      "1e22",
                                      "1e23",
                                      "9007199254740993",
                                      "1e-7",
                                      "123.456",
                                      "2.2250738585072011e-308",
                                      "5e-324",
                                      "1.7976931348623157e308",
                                      "00012.5",
                                      "+3.25",
                                      "1E5",
                                      "6.02e+23",
                                      "8.41e21",
                                      "0.000001",
                                      "3.14159265358979323846264338327950288"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    double value = 0;
    assert_int_equal(dray_parse_float64(str(texts[i]), &value, NULL), DRAY_OK);
    const double expected = strtod(texts[i], NULL);
    assert_memory_equal(&value, &expected, sizeof value);
  }
}

static void test_float64_refuses(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t code;
  } cases[] = {{"1e309", DRAY_E_DATA_OVERFLOW},   {"-1e99999999999999999999", DRAY_E_DATA_OVERFLOW},
               {"1e-400", DRAY_E_DATA_PRECISION}, {".5", DRAY_E_DATA_TYPE},
               {"5.", DRAY_E_DATA_TYPE},          {"1e", DRAY_E_DATA_TYPE},
               {"1e+", DRAY_E_DATA_TYPE},         {"0x1p3", DRAY_E_DATA_TYPE},
               {"nan", DRAY_E_DATA_TYPE},         {"inf", DRAY_E_DATA_TYPE},
               {"1,5", DRAY_E_DATA_TYPE},         {"", DRAY_E_DATA_TYPE},
               {" 1", DRAY_E_DATA_TYPE}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    double value = 42;
    assert_int_equal(dray_parse_float64(str(cases[i].text), &value, NULL), cases[i].code);
    assert_true(value == 42);
  }
}

static void test_float64_zero_with_a_huge_exponent_is_zero(void **state) {
  (void)state;
  double value = 1;
  assert_int_equal(dray_parse_float64(str("0e-999999999"), &value, NULL), DRAY_OK);
  assert_true(value == 0);
  assert_int_equal(dray_parse_float64(str("-0.000e999999999"), &value, NULL), DRAY_OK);
  assert_true(value == 0 && signbit(value));
}

static void test_float64_names_round_trip(void **state) {
  (void)state;
  static const char *const names[] = {"NaN", "Infinity", "-Infinity"};
  for (size_t i = 0; i < 3; i++) {
    char text[DRAY_FORMAT_BYTES_MAX];
    double value = 0;
    assert_int_equal(dray_parse_float64(str(names[i]), &value, NULL), DRAY_OK);
    assert_int_equal(dray_format_float64(value, text), strlen(names[i]));
    assert_string_equal(text, names[i]);
  }
}

static void test_float64_format_is_short(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } cases[] = {{0.1, "0.1"},
               {3.0, "3"},
               {-0.0, "-0"},
               {1e15, "1e+15"},
               {123456.75, "123456.75"},
               {5e-324, "5e-324"},
               {1.0 / 3, "0.3333333333333333"},
               {-2.5e-8, "-2.5e-08"},
               {1e300, "1e+300"},
               {999999999999999.0, "999999999999999"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[DRAY_FORMAT_BYTES_MAX];
    assert_int_equal(dray_format_float64(cases[i].value, text), strlen(cases[i].text));
    assert_string_equal(text, cases[i].text);
  }
}

static uint64_t random_bits(uint64_t *seed) { // splitmix64
  uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static void test_float64_any_value_reads_back_bit_for_bit(void **state) {
  (void)state;
  uint64_t seed = 1;
  for (int i = 0; i < 20000; i++) {
    const uint64_t bits = random_bits(&seed);
    double value, back = 0;
    char text[DRAY_FORMAT_BYTES_MAX];
    memcpy(&value, &bits, sizeof value);
    if (isnan(value)) continue;
    (void)dray_format_float64(value, text);
    assert_int_equal(dray_parse_float64(str(text), &back, NULL), DRAY_OK);
    assert_memory_equal(&value, &back, sizeof value);
  }
}

// The fast way of short numbers must agree with the C library to the last bit.
static void test_float64_short_numbers_are_nearest(void **state) {
  (void)state;
  uint64_t seed = 2;
  for (int i = 0; i < 20000; i++) {
    char text[64];
    double value = 0;
    (void)snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(random_bits(&seed) % 100000000),
                   (unsigned long long)(random_bits(&seed) % 10000000), (int)(random_bits(&seed) % 60) - 30);
    assert_int_equal(dray_parse_float64(str(text), &value, NULL), DRAY_OK);
    const double expected = strtod(text, NULL);
    assert_memory_equal(&value, &expected, sizeof value);
  }
}

static void test_float64_ignores_the_locale(void **state) {
  (void)state;
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
  const char *set = NULL;
  for (size_t i = 0; i < 4 && set == NULL; i++) set = setlocale(LC_NUMERIC, names[i]);
  if (set == NULL) {
    print_message("skipped: no locale with a decimal comma is installed\n");
    skip();
  }
  char text[DRAY_FORMAT_BYTES_MAX];
  double value = 0;
  (void)dray_format_float64(0.30000000000000004, text);
  const int32_t code = dray_parse_float64(str("0.30000000000000004"), &value, NULL);
  (void)setlocale(LC_NUMERIC, "C");
  assert_string_equal(text, "0.30000000000000004");
  assert_int_equal(code, DRAY_OK);
  assert_true(value == 0.30000000000000004);
}

static int32_t parse_long_number(void *ctx) {
  char text[400];
  double value = 0;
  (void)ctx;
  memset(text, '0', sizeof text);
  text[0] = '1';
  text[1] = '.';
  text[390] = '7';
  return dray_parse_float64(dray_str_make(text, sizeof text), &value, NULL);
}

static void test_float64_of_any_length_survives_short_memory(void **state) {
  (void)state;
  assert_int_equal(torture_every(parse_long_number, NULL), 1);
}

static void test_bool_words(void **state) {
  (void)state;
  static const char *const yes[] = {"true", "TRUE", "True", "t", "T", "yes", "YES", "1"};
  static const char *const no[] = {"false", "FALSE", "f", "F", "no", "No", "0"};
  static const char *const bad[] = {"", "2", "y", "truee", "falsey", "on", " true", "null"};
  int32_t value = -1;
  for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
    assert_int_equal(dray_parse_bool(str(yes[i]), &value, NULL), DRAY_OK);
    assert_int_equal(value, 1);
  }
  for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
    assert_int_equal(dray_parse_bool(str(no[i]), &value, NULL), DRAY_OK);
    assert_int_equal(value, 0);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(dray_parse_bool(str(bad[i]), &value, NULL), DRAY_E_DATA_TYPE);
  }
}

static void test_messages_show_values_as_valid_utf8(void **state) {
  (void)state;
  char text[200];
  memset(text, 'a', sizeof text);
  assert_int_equal(dray_value_shown(dray_str_make(text, sizeof text)), 80);
  memcpy(text + 78, "\xf0\x9f\x98\x80", 4); // cut inside a character
  assert_int_equal(dray_value_shown(dray_str_make(text, sizeof text)), 78);
  text[10] = '\xff';
  assert_int_equal(dray_value_shown(dray_str_make(text, sizeof text)), 10);
  assert_int_equal(dray_value_shown(str("short")), 5);
  assert_int_equal(dray_value_shown(dray_str_make(NULL, 0)), 0);
}

static void test_text_valid_finds_nul_and_bad_bytes_anywhere(void **state) {
  (void)state;
  char text[40];
  for (size_t at = 0; at < sizeof text; at++) {
    memset(text, 'x', sizeof text);
    assert_true(dray_text_valid(dray_str_make(text, sizeof text)));
    text[at] = '\0';
    assert_false(dray_text_valid(dray_str_make(text, sizeof text)));
    text[at] = '\x80';
    assert_false(dray_text_valid(dray_str_make(text, sizeof text)));
    text[at] = '\x01';
    assert_true(dray_text_valid(dray_str_make(text, sizeof text)));
  }
  assert_true(dray_text_valid(str("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80")));
  assert_false(dray_text_valid(dray_str_make("\xc3\xbc\0", 3)));
  assert_true(dray_text_valid(dray_str_make(NULL, 0)));
}

static void test_base64_vectors_of_rfc_4648(void **state) {
  (void)state;
  static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
  static const char *const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t i = 0; i < 7; i++) {
    struct dray_buffer out, back;
    dray_buffer_init(&out, 100);
    dray_buffer_init(&back, 100);
    assert_int_equal(dray_base64_encode(str(plain[i]), &out, NULL), DRAY_OK);
    assert_true(dray_str_is(dray_buffer_view(&out), coded[i]));
    assert_int_equal(dray_base64_decode(str(coded[i]), &back, NULL), DRAY_OK);
    assert_true(dray_str_is(dray_buffer_view(&back), plain[i]));
    dray_buffer_free(&out);
    dray_buffer_free(&back);
  }
}

static void test_base64_refuses_what_would_not_come_back(void **state) {
  (void)state;
  static const char *const bad[] = {
      "Z", "Zg", "Zg=", "Zh==", "Zm9=", "=g==", "Zg==Zg==", "Zm 9", "Zm9v\n", "Z===", "===="};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct dray_buffer out;
    dray_buffer_init(&out, 100);
    assert_int_equal(dray_base64_decode(str(bad[i]), &out, NULL), DRAY_E_DATA_TYPE);
    assert_int_equal(out.len, 0);
    dray_buffer_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_type_spelling_round_trips),
      cmocka_unit_test(test_type_misspelt_is_refused),
      cmocka_unit_test(test_int64_reads_its_whole_range),
      cmocka_unit_test(test_int64_refuses_what_it_would_have_to_change),
      cmocka_unit_test(test_int64_format_round_trips),
      cmocka_unit_test(test_float64_reads_as_strtod_does),
      cmocka_unit_test(test_float64_refuses),
      cmocka_unit_test(test_float64_zero_with_a_huge_exponent_is_zero),
      cmocka_unit_test(test_float64_names_round_trip),
      cmocka_unit_test(test_float64_format_is_short),
      cmocka_unit_test(test_float64_any_value_reads_back_bit_for_bit),
      cmocka_unit_test(test_float64_short_numbers_are_nearest),
      cmocka_unit_test(test_float64_ignores_the_locale),
      cmocka_unit_test(test_float64_of_any_length_survives_short_memory),
      cmocka_unit_test(test_bool_words),
      cmocka_unit_test(test_messages_show_values_as_valid_utf8),
      cmocka_unit_test(test_text_valid_finds_nul_and_bad_bytes_anywhere),
      cmocka_unit_test(test_base64_vectors_of_rfc_4648),
      cmocka_unit_test(test_base64_refuses_what_would_not_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
