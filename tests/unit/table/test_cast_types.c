// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From one canonical type to another: what is exact goes through, what is not is refused with its reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "arrays.h"

struct conversion {
  const char *from, *text, *to, *expected; // "!data_type": refused with that code
};

static struct dray_type type_of(const char *text) {
  struct dray_type type;
  assert_int_equal(dray_type_parse(dray_str_of(text), &type, NULL), DRAY_OK);
  return type;
}

static void convert(const struct conversion *c, char *got, size_t got_bytes) {
  const struct dray_column_def from = {"x", type_of(c->from), 1}, to = {"x", type_of(c->to), 1};
  struct dr_schema *source = schema_of(&from, 1), *target = schema_of(&to, 1);
  struct dr_batch *given = batch_of(source, &c->text, 1), *batch = NULL;
  struct dr_caster *caster = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  assert_int_equal(dr_caster_new(&source->arrow, target, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  given->array.n_children = 1; // without _dray_absent
  dray_array_release(given->array.children[1]);
  assert_int_equal(dr_caster_run(caster, &given->array, 0, &batch, &rejects, NULL), DRAY_OK);
  assert_int_equal(dr_batch_rows(batch) + rejects.count, 1);
  if (rejects.count == 1) {
    (void)snprintf(got, got_bytes, "!%s", dray_error_info(rejects.items[0].code)->name);
    // The reason shows the value, so that whoever reads it can find it; JSON errors show a place instead.
    if (strlen(c->text) < 40 && rejects.items[0].code != DRAY_E_DATA_JSON &&
        rejects.items[0].code != DRAY_E_DATA_UTF8 && strstr(rejects.items[0].text, c->text) == NULL) {
      fail_msg("%s %s to %s: the reason does not show the value: %s", c->from, c->text, c->to, rejects.items[0].text);
    }
  } else {
    (void)snprintf(got, got_bytes, "%s", cell(batch, 0, 0));
  }
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  dr_batch_free(given);
  dr_caster_free(caster);
  dr_schema_unref(source);
  dr_schema_unref(target);
}

static void expect(const struct conversion *conversions, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char got[1100];
    const struct conversion *c = &conversions[i];
    convert(c, got, sizeof(got));
    if (strcmp(got, c->expected) != 0) {
      fail_msg("%s '%s' to %s: '%s' instead of '%s'", c->from, c->text, c->to, got, c->expected);
    }
  }
}
#define EXPECT(conversions) expect(conversions, sizeof(conversions) / sizeof((conversions)[0]))

static void test_strings_are_parsed(void **state) {
  (void)state;
  static const struct conversion c[] = {{"string", "Yes", "bool", "true"},
                                        {"string", "maybe", "bool", "!data_type"},
                                        {"string", "-42", "int64", "-42"},
                                        {"string", "42.0", "int64", "!data_type"},
                                        {"string", "9223372036854775808", "int64", "!data_overflow"},
                                        {"string", "2.5e3", "float64", "2500"},
                                        {"string", "1e400", "float64", "!data_overflow"},
                                        {"string", "12.3", "decimal(4,2)", "12.30"},
                                        {"string", "12.345", "decimal(4,2)", "!data_precision"},
                                        {"string", "123", "decimal(4,2)", "!data_overflow"},
                                        {"string", "2024-02-29", "date", "2024-02-29"},
                                        {"string", "2023-02-29", "date", "!data_date"},
                                        {"string", "2024-02-29T01:00+01:00", "timestamp", "2024-02-29T00:00:00Z"},
                                        {"string", "yesterday", "timestamp", "!data_date"},
                                        {"string", "Zm9v", "bytes", "Zm9v"},
                                        {"string", "not base64!", "bytes", "!data_type"},
                                        {"string", " [ 1 ] ", "json", "[1]"},
                                        {"string", "hello", "json", "!data_json"},
                                        {"string", "", "int64", "!data_type"}};
  EXPECT(c);
}

static void test_every_type_becomes_a_string(void **state) {
  (void)state;
  static const struct conversion c[] = {{"bool", "true", "string", "true"},
                                        {"int64", "-42", "string", "-42"},
                                        {"float64", "0.1", "string", "0.1"},
                                        {"float64", "NaN", "string", "NaN"},
                                        {"decimal(6,3)", "1.5", "string", "1.500"},
                                        {"bytes", "Zm9v", "string", "Zm9v"},
                                        {"date", "2024-02-29", "string", "2024-02-29"},
                                        {"timestamp", "2024-02-29T01:02:03.5Z", "string", "2024-02-29T01:02:03.500Z"},
                                        {"json", "{\"a\": 1}", "string", "{\"a\":1}"}};
  EXPECT(c);
}

static void test_every_type_becomes_json(void **state) {
  (void)state;
  static const struct conversion c[] = {{"bool", "false", "json", "false"},
                                        {"int64", "-42", "json", "-42"},
                                        {"float64", "0.1", "json", "0.1"},
                                        {"float64", "1e+20", "json", "1e+20"},
                                        {"float64", "NaN", "json", "!data_json"},
                                        {"float64", "-Infinity", "json", "!data_json"},
                                        {"decimal(6,3)", "1.5", "json", "1.500"},
                                        {"bytes", "Zm9v", "json", "\"Zm9v\""},
                                        {"date", "2024-02-29", "json", "\"2024-02-29\""},
                                        {"timestamp", "2024-02-29T01:02:03Z", "json", "\"2024-02-29T01:02:03Z\""}};
  EXPECT(c);
}

static void test_numbers_become_other_numbers_only_exactly(void **state) {
  (void)state;
  static const struct conversion c[] = {{"int64", "1", "bool", "true"},
                                        {"int64", "0", "bool", "false"},
                                        {"int64", "2", "bool", "!data_type"},
                                        {"bool", "true", "int64", "1"},
                                        {"int64", "9007199254740992", "float64", "9007199254740992"},
                                        {"int64", "9007199254740993", "float64", "!data_precision"},
                                        {"int64", "9007199254740994", "float64", "9007199254740994"},
                                        {"int64", "-9223372036854775808", "float64", "-9.223372036854776e+18"},
                                        {"int64", "9223372036854775807", "float64", "!data_precision"},
                                        {"int64", "12", "decimal(4,2)", "12.00"},
                                        {"int64", "100", "decimal(4,2)", "!data_overflow"},
                                        {"decimal(4,2)", "12.00", "int64", "12"},
                                        {"decimal(4,2)", "12.01", "int64", "!data_precision"},
                                        {"decimal(38,0)", "9223372036854775807", "int64", "9223372036854775807"},
                                        {"decimal(38,0)", "-9223372036854775808", "int64", "-9223372036854775808"},
                                        {"decimal(38,0)", "9223372036854775808", "int64", "!data_overflow"},
                                        {"decimal(38,0)", "-9223372036854775809", "int64", "!data_overflow"},
                                        {"decimal(4,2)", "12.5", "decimal(10,4)", "12.5000"},
                                        {"decimal(10,4)", "12.5", "decimal(4,2)", "12.50"},
                                        {"decimal(10,4)", "12.5001", "decimal(4,2)", "!data_precision"},
                                        {"decimal(10,2)", "100.00", "decimal(4,2)", "!data_overflow"},
                                        {"decimal(4,2)", "12.30", "float64", "12.3"},
                                        {"decimal(38,0)", "90071992547409931", "float64", "!data_precision"},
                                        {"decimal(4,2)", "0.00", "float64", "0"},
                                        {"float64", "12", "int64", "12"},
                                        {"float64", "12.5", "int64", "!data_precision"},
                                        {"float64", "1e+19", "int64", "!data_overflow"},
                                        {"float64", "-9.223372036854776e+18", "int64", "-9223372036854775808"},
                                        {"float64", "9.223372036854776e+18", "int64", "!data_overflow"},
                                        {"float64", "NaN", "int64", "!data_overflow"},
                                        {"float64", "0.1", "decimal(3,1)", "0.1"},
                                        {"float64", "0.1", "decimal(3,0)", "!data_precision"},
                                        {"float64", "0.30000000000000004", "decimal(3,1)", "!data_precision"},
                                        {"float64", "1000", "decimal(3,0)", "!data_overflow"},
                                        {"float64", "NaN", "decimal(3,1)", "!data_type"}};
  EXPECT(c);
}

static void test_dates_and_timestamps(void **state) {
  (void)state;
  static const struct conversion c[] = {{"date", "2024-02-29", "timestamp", "2024-02-29T00:00:00Z"},
                                        {"date", "0001-01-01", "timestamp", "0001-01-01T00:00:00Z"},
                                        {"timestamp", "2024-02-29T00:00:00Z", "date", "2024-02-29"},
                                        {"timestamp", "1969-12-31T00:00:00Z", "date", "1969-12-31"},
                                        {"timestamp", "2024-02-29T00:00:00.000001Z", "date", "!data_precision"}};
  EXPECT(c);
}

static void test_json_scalars_are_read_as_their_text(void **state) {
  (void)state;
  static const struct conversion c[] = {
      {"json", "12", "int64", "12"},         {"json", "1.50", "decimal(4,2)", "1.50"},
      {"json", "true", "bool", "true"},      {"json", "\"12\"", "int64", "!data_type"},
      {"json", "{}", "int64", "!data_type"}, {"json", "null", "int64", "!data_type"}};
  EXPECT(c);
}

static void test_types_that_have_nothing_in_common(void **state) {
  (void)state;
  static const struct conversion c[] = {
      {"bool", "true", "float64", "!data_type"},      {"bool", "true", "decimal(4,2)", "!data_type"},
      {"bool", "true", "date", "!data_type"},         {"float64", "1", "bool", "!data_type"},
      {"decimal(4,2)", "1.00", "bool", "!data_type"}, {"int64", "1", "date", "!data_type"},
      {"int64", "1", "timestamp", "!data_type"},      {"int64", "1", "bytes", "!data_type"},
      {"bytes", "Zm9v", "int64", "!data_type"},       {"bytes", "Zm9v", "timestamp", "!data_type"},
      {"date", "2024-02-29", "int64", "!data_type"},  {"timestamp", "2024-02-29T00:00:00Z", "float64", "!data_type"},
      {"json", "[1]", "bytes", "!data_type"}};
  EXPECT(c);
}

// Through text and back: every value that a string column can hold comes back as it went.
static void test_text_round_trip_of_every_type(void **state) {
  (void)state;
  static const char *const values[][2] = {{"bool", "true"},
                                          {"int64", "-9223372036854775808"},
                                          {"float64", "-1.7976931348623157e+308"},
                                          {"float64", "Infinity"},
                                          {"decimal(38,38)", "-0.12345678901234567890123456789012345678"},
                                          {"bytes", "AP8Q"},
                                          {"date", "9999-12-31"},
                                          {"timestamp", "0001-01-01T00:00:00.000001Z"},
                                          {"json", "{\"a\":[1.50,null]}"}};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    char text[1100], back[1100];
    convert(&(struct conversion){values[i][0], values[i][1], "string", ""}, text, sizeof(text));
    convert(&(struct conversion){"string", text, values[i][0], ""}, back, sizeof(back));
    assert_string_equal(back, values[i][1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_strings_are_parsed),
      cmocka_unit_test(test_every_type_becomes_a_string),
      cmocka_unit_test(test_every_type_becomes_json),
      cmocka_unit_test(test_numbers_become_other_numbers_only_exactly),
      cmocka_unit_test(test_dates_and_timestamps),
      cmocka_unit_test(test_json_scalars_are_read_as_their_text),
      cmocka_unit_test(test_types_that_have_nothing_in_common),
      cmocka_unit_test(test_text_round_trip_of_every_type),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
