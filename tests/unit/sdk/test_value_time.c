// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Dates and timestamps: the whole calendar there and back, and everything that does not exist refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "dray/sdk/value.h"

static void test_date_every_day_of_ten_thousand_years_round_trips(void **state) {
  (void)state;
  char before[DRAY_FORMAT_BYTES_MAX] = "";
  for (int32_t days = DRAY_DATE_MIN; days <= DRAY_DATE_MAX; days++) {
    char text[DRAY_FORMAT_BYTES_MAX];
    int32_t back = 0;
    (void)dray_format_date(days, text);
    if (dray_parse_date(dray_str_of(text), &back, NULL) != DRAY_OK || back != days || strcmp(before, text) >= 0) {
      fail_msg("day %d is written as %s, which reads as %d (before it: %s)", days, text, back, before);
    }
    memcpy(before, text, sizeof before);
  }
  assert_string_equal(before, "9999-12-31");
}

static void test_date_known_days(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t days;
  } cases[] = {{"1970-01-01", 0},
               {"1969-12-31", -1},
               {"2000-02-29", 11016},
               {"2024-12-31", 20088},
               {"1900-03-01", -25508},
               {"0001-01-01", DRAY_DATE_MIN},
               {"9999-12-31", DRAY_DATE_MAX}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int32_t days = 1;
    assert_int_equal(dray_parse_date(dray_str_of(cases[i].text), &days, NULL), DRAY_OK);
    assert_int_equal(days, cases[i].days);
  }
}

static void test_date_that_does_not_exist_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",           "2023-02-29",          "1900-02-29", "2023-04-31",  "2023-13-01",  "2023-00-10", "2023-01-00",
      "0000-01-01", "10000-01-01",         "2023-1-1",   "2023-01-01 ", " 2023-01-01", "23-01-01",   "2023/01/01",
      "20230101",   "2023-01-01T00:00:00", "2023-01-0a", "-001-01-01"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    int32_t days = 42;
    assert_int_equal(dray_parse_date(dray_str_of(bad[i]), &days, NULL), DRAY_E_DATA_DATE);
    assert_int_equal(days, 42);
  }
}

static void test_timestamp_reads_iso_and_rfc_3339(void **state) {
  (void)state;
  static const struct {
    const char *text, *expected;
  } cases[] = {{"2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"},
               {"2024-05-06 07:08:09", "2024-05-06T07:08:09Z"},
               {"2024-05-06t07:08z", "2024-05-06T07:08:00Z"},
               {"2024-05-06", "2024-05-06T00:00:00Z"},
               {"2024-05-06T00:30:00+02:00", "2024-05-05T22:30:00Z"},
               {"2024-05-06T00:30:00+0200", "2024-05-05T22:30:00Z"},
               {"2024-05-06T00:30:00+02", "2024-05-05T22:30:00Z"},
               {"2023-12-31T23:59:59.999999-00:01", "2024-01-01T00:00:59.999999Z"},
               {"2024-05-06T07:08:09.5Z", "2024-05-06T07:08:09.500Z"},
               {"2024-05-06T07:08:09.000001Z", "2024-05-06T07:08:09.000001Z"},
               {"2024-05-06T07:08:09.123456000Z", "2024-05-06T07:08:09.123456Z"},
               {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
               {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
               {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t us = 0;
    char text[DRAY_FORMAT_BYTES_MAX];
    assert_int_equal(dray_parse_timestamp(dray_str_of(cases[i].text), &us, NULL), DRAY_OK);
    assert_int_equal(dray_format_timestamp(us, text), strlen(cases[i].expected));
    assert_string_equal(text, cases[i].expected);
  }
}

static void test_timestamp_refuses(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t code;
  } cases[] = {{"2024-05-06T07:08:09.1234567Z", DRAY_E_DATA_PRECISION},
               {"2024-05-06T07:08:09.000000001Z", DRAY_E_DATA_PRECISION},
               {"2024-05-06T07:08:09.1234567890Z", DRAY_E_DATA_DATE},
               {"2016-12-31T23:59:60Z", DRAY_E_DATA_DATE},
               {"2024-05-06T24:00:00Z", DRAY_E_DATA_DATE},
               {"2024-05-06T07:60:00Z", DRAY_E_DATA_DATE},
               {"2023-02-29T00:00:00Z", DRAY_E_DATA_DATE},
               {"2024-05-06T07", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09.", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08.5", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09 Z", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09+24:00", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09+02:", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09+02:000", DRAY_E_DATA_DATE},
               {"2024-05-06T07:08:09Europe/Berlin", DRAY_E_DATA_DATE},
               {"2024-05-06T", DRAY_E_DATA_DATE},
               {"0001-01-01T00:00:00+00:01", DRAY_E_DATA_DATE},
               {"9999-12-31T23:59:59-00:01", DRAY_E_DATA_DATE},
               {"1714979289", DRAY_E_DATA_DATE},
               {"", DRAY_E_DATA_DATE}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t us = 42;
    assert_int_equal(dray_parse_timestamp(dray_str_of(cases[i].text), &us, NULL), cases[i].code);
    assert_true(us == 42);
  }
}

static void test_timestamp_agrees_with_the_c_library(void **state) {
  (void)state;
  for (int64_t seconds = -62135596800; seconds < 253402300799; seconds += 86400 * 37 + 3661) {
    const time_t when = (time_t)seconds;
    struct tm parts;
    char expected[32], text[DRAY_FORMAT_BYTES_MAX];
    assert_non_null(gmtime_r(&when, &parts));
    (void)snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", (parts.tm_year + 1900) % 10000,
                   (parts.tm_mon + 1) % 100, parts.tm_mday % 100, parts.tm_hour % 100, parts.tm_min % 100,
                   parts.tm_sec % 100);
    (void)dray_format_timestamp(seconds * 1000000, text);
    assert_string_equal(text, expected);
  }
}

static void test_timestamp_format_of_any_bits_stays_in_its_room(void **state) {
  (void)state;
  char text[DRAY_FORMAT_BYTES_MAX];
  assert_true(dray_format_timestamp(INT64_MAX, text) < DRAY_FORMAT_BYTES_MAX);
  assert_string_equal(text, "+294247-01-10T04:00:54.775807Z");
  assert_true(dray_format_timestamp(INT64_MIN, text) < DRAY_FORMAT_BYTES_MAX);
  assert_string_equal(text, "-290308-12-21T19:59:05.224192Z");
  assert_true(dray_format_date(INT32_MIN, text) < DRAY_FORMAT_BYTES_MAX);
  assert_true(dray_format_date(INT32_MAX, text) < DRAY_FORMAT_BYTES_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_date_every_day_of_ten_thousand_years_round_trips),
      cmocka_unit_test(test_date_known_days),
      cmocka_unit_test(test_date_that_does_not_exist_is_refused),
      cmocka_unit_test(test_timestamp_reads_iso_and_rfc_3339),
      cmocka_unit_test(test_timestamp_refuses),
      cmocka_unit_test(test_timestamp_agrees_with_the_c_library),
      cmocka_unit_test(test_timestamp_format_of_any_bits_stays_in_its_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
