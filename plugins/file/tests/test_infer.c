// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which type a column gets from which values.
#include "bench.h"
#include "infer.h"

// The type of a column with these values, separated by bars.
static const char *type_of(const char *values) {
  static char spelt[32];
  struct file_guess guess = {0};
  for (;;) {
    const size_t len = strcspn(values, "|");
    file_guess_text(&guess, dray_str_make(values, len));
    if (values[len] == '\0') break;
    values += len + 1;
  }
  return dray_type_format(file_guess_type(&guess), spelt, sizeof(spelt));
}

static const char *json_type_of(const char *array) {
  static char spelt[32];
  struct file_guess guess = {0};
  struct dray_json *root = NULL;
  assert_int_equal(dray_json_parse(dray_str_of(array), 1u << 20, &root, NULL), DRAY_OK);
  for (const struct dray_json *item = root->child; item != NULL; item = item->next) file_guess_json(&guess, item);
  dray_json_free(root);
  return dray_type_format(file_guess_type(&guess), spelt, sizeof(spelt));
}

static void test_numbers_keep_what_they_are(void **state) {
  (void)state;
  assert_string_equal(type_of("0|7|-12|9223372036854775807"), "int64");
  assert_string_equal(type_of("2.55|3|-1.5"), "decimal(38,4)");
  assert_string_equal(type_of("0.00001"), "decimal(38,7)");
  assert_string_equal(type_of("1e5|2.5"), "float64");
  assert_string_equal(type_of("12345678901234567890123456789012345.25"), "decimal(38,3)");
}

static void test_identifiers_stay_texts(void **state) {
  (void)state;
  assert_string_equal(type_of("00123|00124"), "string");
  assert_string_equal(type_of("85123A|71053"), "string");
  assert_string_equal(type_of("71053|C536379"), "string");
  assert_string_equal(type_of("+4712345"), "string");
  assert_string_equal(type_of(" 12"), "string");
  assert_string_equal(type_of("9223372036854775808"), "string");  // past int64: an identifier
  assert_string_equal(type_of("1.2345678901234567e3"), "string"); // more digits than a double keeps
  assert_string_equal(type_of(".5"), "string");
  assert_string_equal(type_of("1,5"), "string");
  assert_string_equal(type_of("NaN|1.5"), "string");
}

static void test_booleans_are_words_only(void **state) {
  (void)state;
  assert_string_equal(type_of("true|False|TRUE"), "bool");
  assert_string_equal(type_of("0|1"), "int64");
  assert_string_equal(type_of("yes|no"), "string");
  assert_string_equal(type_of("true|1"), "string");
}

static void test_times_must_exist(void **state) {
  (void)state;
  assert_string_equal(type_of("2024-02-29|2023-01-01"), "date");
  assert_string_equal(type_of("2023-02-29"), "string");
  assert_string_equal(type_of("2010-12-01 08:26:00|2011-01-01T00:00:00Z"), "timestamp");
  assert_string_equal(type_of("2010-12-01|2010-12-01 08:26:00"), "timestamp");
  assert_string_equal(type_of("01/02/2024"), "string");
  assert_string_equal(type_of("20240101"), "int64");
}

static void test_the_order_of_values_does_not_matter(void **state) {
  (void)state;
  assert_string_equal(type_of("1|2.5|x"), "string");
  assert_string_equal(type_of("x|2.5|1"), "string");
  assert_string_equal(type_of("1|2.5"), "decimal(38,4)");
  assert_string_equal(type_of("2.5|1"), "decimal(38,4)");
  assert_string_equal(type_of("1e3|1"), "float64");
  assert_string_equal(type_of("1|1e3"), "float64");
}

static void test_no_value_means_string(void **state) {
  (void)state;
  const struct file_guess guess = {0};
  assert_int_equal(file_guess_type(&guess).id, DRAY_TYPE_STRING);
}

static void test_json_values_bring_their_kind(void **state) {
  (void)state;
  assert_string_equal(json_type_of("[1, 2, null]"), "int64");
  assert_string_equal(json_type_of("[1.25, 2]"), "decimal(38,4)");
  assert_string_equal(json_type_of("[\"12\", \"13\"]"), "string"); // in quotes it was meant as a text
  assert_string_equal(json_type_of("[\"2024-01-01T10:00:00Z\"]"), "timestamp");
  assert_string_equal(json_type_of("[true, false]"), "bool");
  assert_string_equal(json_type_of("[{\"a\": 1}, [2]]"), "json");
  assert_string_equal(json_type_of("[{\"a\": 1}, 2]"), "string");
  assert_string_equal(json_type_of("[null]"), "string");
  assert_string_equal(json_type_of("[12345678901234567890]"), "string");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers_keep_what_they_are),
      cmocka_unit_test(test_identifiers_stay_texts),
      cmocka_unit_test(test_booleans_are_words_only),
      cmocka_unit_test(test_times_must_exist),
      cmocka_unit_test(test_the_order_of_values_does_not_matter),
      cmocka_unit_test(test_no_value_means_string),
      cmocka_unit_test(test_json_values_bring_their_kind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
