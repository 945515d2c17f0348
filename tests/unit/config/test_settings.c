// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings against a plugin's schema, and as the JSON that its create receives. What users see of mistakes is in
// golden/.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scratch.h"

static const char *const schema =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"url\"],\"properties\":{"
    "\"url\":{\"type\":\"string\"},\"token\":{\"type\":\"string\",\"writeOnly\":true},"
    "\"retries\":{\"type\":\"integer\",\"minimum\":1,\"default\":5},"
    "\"mode\":{\"enum\":[\"fast\",\"slow\",3,true,null],\"default\":\"fast\"},"
    "\"headers\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\",\"maxLength\":3}},"
    "\"batch\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"rows\":{\"type\":\"integer\","
    "\"default\":100},"
    "\"bytes\":{\"type\":[\"integer\",\"null\"]}}},"
    "\"parts\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"n\":{\"default\":1.50}}}}}}";

static struct dr_project *load(char *folder, const char *settings) {
  char yaml[4096];
  (void)snprintf(yaml, sizeof(yaml), "version: 1\nconnections:\n  c: {plugin: p, %s}\n", settings);
  return scratch_load(folder, yaml);
}

static size_t problems_of(const char *settings) {
  struct dray_error error;
  dray_error_init(&error);
  char *folder = scratch_new();
  struct dr_project *project = load(folder, settings);
  const struct dr_connection *connection = &project->connections[0];
  assert_int_equal(project->problems.count, 0);
  assert_int_equal(
      dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of(schema), &error), DRAY_OK);
  const size_t count = project->problems.count;
  dr_project_free(project);
  scratch_free(folder);
  return count;
}

struct count_case {
  const char *settings;
  size_t problems;
};

static void test_schema_words(void **state) {
  (void)state;
  static const struct count_case cases[] = {
      {"url: x", 0},
      {"retries: 3", 1},            // url is missing
      {"url: x, retries: 0", 1},    // below the minimum
      {"url: x, retries: 1.0", 1},  // not an integer
      {"url: x, retries: 0x10", 0}, // YAML's own spelling of one
      {"url: x, mode: slow", 0},    // enum of several types
      {"url: x, mode: 3", 0},
      {"url: x, mode: true", 0},
      {"url: x, mode: null", 0},
      {"url: x, mode: \"3\"", 1},
      {"url: x, headers: {a: abc, b: ü€é}", 0}, // maxLength counts characters
      {"url: x, headers: {a: abcd}", 1},
      {"url: x, headers: {a: 1}", 1},
      {"url: x, batch: {rows: 1, bytes: null}", 0}, // a list of types
      {"url: x, batch: {rows: 1, bytes: many}", 1},
      {"url: x, batch: {row: 1}", 1},
      {"url: x, parts: [{n: 1, m: 2}, {}]", 0}, // additionalProperties not said: allowed
      {"url: x, parts: [1, 2]", 2},
      {"url: x, token: !secret env:T", 0},
      {"url: x, token: !literal t", 0},
      {"url: x, token: t", 1},
      {"url: x, token: 5", 1},
      {"url: x, token: [t]", 1},
      {"url: !secret env:U", 1},
      {"url: !literal u", 1},
      {"url: x, what: 1, other: 2", 2},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const size_t found = problems_of(cases[i].settings);
    if (found != cases[i].problems) fail_msg("{%s} has %zu problems", cases[i].settings, found);
  }
}

struct json_case {
  const char *settings, *json;
};

static void test_defaults_are_filled_in(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      {"url: x", "{\"url\":\"x\",\"retries\":5,\"mode\":\"fast\"}"},
      {"mode: null, url: x, retries: 1", "{\"mode\":null,\"url\":\"x\",\"retries\":1}"},
      {"url: x, batch: {bytes: 7}",
       "{\"url\":\"x\",\"batch\":{\"bytes\":7,\"rows\":100},\"retries\":5,\"mode\":\"fast\"}"},
      {"url: x, parts: [{}, {n: 2}], retries: 2",
       "{\"url\":\"x\",\"parts\":[{\"n\":1.50},{\"n\":2}],\"retries\":2,\"mode\":\"fast\"}"},
      {"url: x, token: !secret env:T, retries: 2, mode: slow",
       "{\"url\":\"x\",\"token\":{\"$secret\":\"token\"},\"retries\":2,\"mode\":\"slow\"}"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_buffer out;
    struct dray_error error;
    dray_error_init(&error);
    dray_buffer_init(&out, 65536);
    char *folder = scratch_new();
    struct dr_project *project = load(folder, cases[i].settings);
    assert_int_equal(dr_project_settings_json(project->connections[0].settings, dray_str_of(schema), &out, &error),
                     DRAY_OK);
    assert_string_equal(out.data, cases[i].json);
    dray_buffer_free(&out);
    dr_project_free(project);
    scratch_free(folder);
  }
}

static void test_no_options_are_an_object_of_defaults(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 65536);
  assert_int_equal(dr_project_settings_json(NULL, dray_str_of(schema), &out, NULL), DRAY_OK);
  assert_string_equal(out.data, "{\"retries\":5,\"mode\":\"fast\"}");
  dray_buffer_free(&out);
}

static void test_a_literal_secret_never_becomes_json(void **state) {
  (void)state;
  struct dray_buffer out;
  struct dray_error error;
  dray_error_init(&error);
  dray_buffer_init(&out, 65536);
  char *folder = scratch_new();
  struct dr_project *project = load(folder, "url: x, token: hunter2");
  assert_int_equal(dr_project_settings_json(project->connections[0].settings, dray_str_of(schema), &out, &error),
                   DRAY_E_CONFIG_SECRET_LITERAL);
  assert_null(strstr(error.text, "hunter2"));
  dray_buffer_free(&out);
  dr_project_free(project);
  scratch_free(folder);
}

static void test_missing_options_are_reported_at_the_sync(void **state) {
  (void)state;
  struct dray_error error;
  dray_error_init(&error);
  char *folder = scratch_new();
  struct dr_project *project =
      scratch_load(folder, "version: 1\nconnections: {c: {plugin: p}}\n"
                           "syncs: {s: {from: {connection: c, stream: x}, to: {connection: c, "
                           "object: o, urll: y, retries: 0}}, t: {from: {connection: c, stream: x}, "
                           "to: {connection: c}}}\n");
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(dr_project_check_settings(project, project->syncs[i].to_options, project->syncs[i].mark,
                                               dray_str_of(schema), &error),
                     DRAY_OK);
  assert_int_equal(project->problems.count, 3);
  assert_int_equal(project->problems.items[0].code, DRAY_E_CONFIG_UNKNOWN_KEY);
  assert_non_null(strstr(project->problems.items[0].what, "`to` of sync \"s\""));
  assert_string_equal(project->problems.items[0].nearest, "url");
  assert_int_equal(project->problems.items[1].code, DRAY_E_CONFIG_VALUE);
  assert_int_equal(project->problems.items[2].code, DRAY_E_CONFIG_MISSING);
  dr_project_free(project);
  scratch_free(folder);
}

static void test_a_broken_schema_is_the_plugins_fault(void **state) {
  (void)state;
  struct dray_error error;
  struct dray_buffer out;
  dray_error_init(&error);
  dray_buffer_init(&out, 65536);
  char *folder = scratch_new();
  struct dr_project *project = load(folder, "url: x");
  const struct dr_connection *connection = &project->connections[0];
  assert_int_equal(
      dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of("{\"type\":"), &error),
      DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dr_project_settings_json(connection->settings, dray_str_of("]"), &out, &error),
                   DRAY_E_PLUGIN_CONTRACT);
  // Valid JSON that is no schema allows everything and crashes nothing.
  static const char *const odd[] = {
      "[]",
      "1",
      "null",
      "{}",
      "{\"properties\":[1]}",
      "{\"properties\":{\"url\":5},\"required\":{\"a\":1}}",
      "{\"properties\":{\"url\":{\"type\":{},\"enum\":{},\"minLength\":\"x\",\"items\":[]}}}"};
  for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
    dray_buffer_clear(&out);
    assert_int_equal(
        dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of(odd[i]), &error),
        DRAY_OK);
    assert_int_equal(dr_project_settings_json(connection->settings, dray_str_of(odd[i]), &out, &error), DRAY_OK);
    assert_string_equal(out.data, "{\"url\":\"x\"}");
  }
  assert_int_equal(project->problems.count, 0);
  dray_buffer_free(&out);
  dr_project_free(project);
  scratch_free(folder);
}

// Values of settings are masked until a schema says that they are no secrets.
static void test_a_schema_clears_what_may_be_shown(void **state) {
  (void)state;
  struct dray_error error;
  dray_error_init(&error);
  char *folder = scratch_new();
  struct dr_project *project = load(folder, "url: https-a, odd: hunter2");
  const struct dr_connection *connection = &project->connections[0];
  assert_int_equal(dr_project_problem(project, connection->mark, 1, DRAY_E_CONFIG_VALUE, NULL, NULL, "look"), DRAY_OK);
  char *before = scratch_problems(project, 0);
  assert_non_null(strstr(before, "c: {plugin: p, url: ********, odd: ********}"));
  assert_int_equal(
      dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of(schema), &error), DRAY_OK);
  char *after = scratch_problems(project, 0);
  assert_non_null(strstr(after, "c: {plugin: p, url: https-a, odd: ********}"));
  free(before);
  free(after);
  dr_project_free(project);
  scratch_free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schema_words),
      cmocka_unit_test(test_defaults_are_filled_in),
      cmocka_unit_test(test_no_options_are_an_object_of_defaults),
      cmocka_unit_test(test_a_literal_secret_never_becomes_json),
      cmocka_unit_test(test_missing_options_are_reported_at_the_sync),
      cmocka_unit_test(test_a_broken_schema_is_the_plugins_fault),
      cmocka_unit_test(test_a_schema_clears_what_may_be_shown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
