// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Scalars by the core schema of YAML 1.2, the tree as JSON, marks, and the limits.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scratch.h"

// The settings of connection "c", written as a flow or block value.
static struct dr_project *load_settings(char *folder, const char *settings) {
  struct dray_buffer yaml;
  dray_buffer_init(&yaml, 8u << 20);
  assert_int_equal(dray_buffer_printf(&yaml, NULL, "version: 1\nconnections:\n  c:\n    plugin: p\n%s\n", settings),
                   DRAY_OK);
  struct dr_project *project = scratch_load(folder, yaml.data);
  dray_buffer_free(&yaml);
  return project;
}

struct scalar_case {
  const char *text;
  int kind;
  double number;
};

static void test_scalars_mean_what_yaml_1_2_says(void **state) {
  (void)state;
  static const struct scalar_case cases[] = {
      {"", DR_NODE_NULL, 0},
      {"~", DR_NODE_NULL, 0},
      {"null", DR_NODE_NULL, 0},
      {"Null", DR_NODE_NULL, 0},
      {"nULL", DR_NODE_STRING, 0},
      {"true", DR_NODE_BOOL, 0},
      {"FALSE", DR_NODE_BOOL, 0},
      {"yes", DR_NODE_STRING, 0},
      {"no", DR_NODE_STRING, 0},
      {"on", DR_NODE_STRING, 0},
      {"Off", DR_NODE_STRING, 0},
      {"y", DR_NODE_STRING, 0},
      {"0", DR_NODE_INT, 0},
      {"-12", DR_NODE_INT, -12},
      {"+12", DR_NODE_INT, 12},
      {"0777", DR_NODE_INT, 777},
      {"0o17", DR_NODE_INT, 15},
      {"0x1F", DR_NODE_INT, 31},
      {"0xg", DR_NODE_STRING, 0},
      {"0o8", DR_NODE_STRING, 0},
      {"1_000", DR_NODE_STRING, 0},
      {"12:30", DR_NODE_STRING, 0},
      {"1.5", DR_NODE_FLOAT, 1.5},
      {".5", DR_NODE_FLOAT, 0.5},
      {"5.", DR_NODE_FLOAT, 5},
      {"-1e3", DR_NODE_FLOAT, -1000},
      {"1e", DR_NODE_STRING, 0},
      {"e3", DR_NODE_STRING, 0},
      {".", DR_NODE_STRING, 0},
      {"-", DR_NODE_STRING, 0},
      {"1.2.3", DR_NODE_STRING, 0},
      {"2024-01-01", DR_NODE_STRING, 0},
      {"0b1", DR_NODE_STRING, 0},
      {"9223372036854775807", DR_NODE_INT, 9223372036854775807.0},
      {"9223372036854775808", DR_NODE_FLOAT, 9223372036854775808.0},
      {"Infinity", DR_NODE_STRING, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dr_node node = {.text = dray_str_of(cases[i].text)};
    dr_scalar_resolve(&node);
    if (node.kind != cases[i].kind) fail_msg("\"%s\" became %s", cases[i].text, dr_node_kind_name(node.kind));
    if (node.kind == DR_NODE_INT || node.kind == DR_NODE_FLOAT)
      assert_true(node.number >= cases[i].number && node.number <= cases[i].number);
  }
  struct dr_node node = {.text = dray_str_of("-.INF")};
  dr_scalar_resolve(&node);
  assert_true(node.kind == DR_NODE_FLOAT && isinf(node.number) && node.number < 0);
  node = (struct dr_node){.text = dray_str_of(".nan")};
  dr_scalar_resolve(&node);
  assert_true(node.kind == DR_NODE_FLOAT && isnan(node.number));
}

struct json_case {
  const char *yaml, *json;
};

static void test_settings_become_json(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      {"    a: 1\n    b: [x, 2, true, null]", "{\"a\":1,\"b\":[\"x\",2,true,null]}"},
      {"    a: \"1\"\n    b: '2'\n    c: !!str 3", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}"},
      {"    n: 0x1F\n    m: +7\n    k: 007", "{\"n\":31,\"m\":7,\"k\":7}"},
      {"    big: 123456789012345678901234567890", "{\"big\":123456789012345678901234567890}"},
      {"    big: +123456789012345678901", "{\"big\":123456789012345678901}"},
      {"    f: .5\n    g: 1.\n    h: .inf", "{\"f\":0.5,\"g\":1,\"h\":null}"},
      {"    t: |\n      two\n      lines\n    u: >\n      one\n      line",
       "{\"t\":\"two\\nlines\\n\",\"u\":\"one line\\n\"}"},
      {"    s: !secret env:A\n    o: {p: !secret exec:x y, q: [1, !literal z]}\n    \"a.b\": {\"c]\": !secret file:f}",
       "{\"s\":{\"$secret\":\"s\"},\"o\":{\"p\":{\"$secret\":\"o.p\"},\"q\":[1,{\"$secret\":\"o.q[1]\"}]},"
       "\"a.b\":{\"c]\":{\"$secret\":\"[\\\"a.b\\\"][\\\"c]\\\"]\"}}}"},
      {"    e: {}\n    l: []\n    \"ü\\\"\": \"\\t\"", "{\"e\":{},\"l\":[],\"ü\\\"\":\"\\t\"}"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_buffer out;
    struct dray_error error;
    dray_error_init(&error);
    dray_buffer_init(&out, 1 << 20);
    char *folder = scratch_new();
    struct dr_project *project = load_settings(folder, cases[i].yaml);
    assert_int_equal(project->problems.count, 0);
    assert_int_equal(dr_node_to_json(project->connections[0].settings, &out, &error), DRAY_OK);
    assert_string_equal(out.data, cases[i].json);
    dray_buffer_free(&out);
    dr_project_free(project);
    scratch_free(folder);
  }
}

static void test_marks_count_characters(void **state) {
  (void)state;
  char *folder = scratch_new();
  struct dr_project *project = load_settings(folder, "    ключ: значение\n    list:\n      - {\"日本\": 東京, x: 1}");
  const struct dr_node *settings = project->connections[0].settings;
  const struct dr_node *first = dr_node_get(settings, "ключ");
  assert_int_equal(first->name_mark.line, 5);
  assert_int_equal(first->name_mark.column, 5);
  assert_int_equal(first->name_width, 4);
  assert_int_equal(first->mark.column, 11);
  assert_int_equal(first->width, 8);
  const struct dr_node *x = dr_node_get(dr_node_get(settings, "list")->child, "x");
  assert_int_equal(x->mark.line, 7);
  assert_int_equal(x->mark.column, 23);
  dr_project_free(project);
  scratch_free(folder);
}

// The codes of a project's problems in a line of text, for limits.
static void expect_only_limit(struct dr_project *project, const char *part) {
  assert_int_equal(project->problems.count, 1);
  assert_int_equal(project->problems.items[0].code, DRAY_E_CONFIG_LIMIT);
  assert_non_null(strstr(project->problems.items[0].what, part));
}

// before, then count times left, a number and right, then after.
static char *repeated(const char *before, const char *left, const char *right, size_t count, const char *after) {
  struct dray_buffer out;
  dray_buffer_init(&out, 4u << 20);
  assert_int_equal(dray_buffer_append_str(&out, before, NULL), DRAY_OK);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(dray_buffer_printf(&out, NULL, "%s%zu%s", left, i, right), DRAY_OK);
  assert_int_equal(dray_buffer_append_str(&out, after, NULL), DRAY_OK);
  char *text = dray_str_dup(dray_buffer_view(&out));
  dray_buffer_free(&out);
  return text;
}

static void test_depth_is_limited(void **state) {
  (void)state;
  char *folder = scratch_new();
  char deepest[256] = "    d: ", *end = deepest + strlen(deepest);
  const int own = 3; // the file, connections, c
  for (int i = 0; i < DR_CONFIG_DEPTH_MAX - own; i++) *end++ = '[';
  for (int i = 0; i < DR_CONFIG_DEPTH_MAX - own; i++) *end++ = ']';
  struct dr_project *project = load_settings(folder, deepest);
  assert_int_equal(project->problems.count, 0);
  dr_project_free(project);
  memmove(end - (DR_CONFIG_DEPTH_MAX - own) + 2, end - (DR_CONFIG_DEPTH_MAX - own),
          (size_t)(DR_CONFIG_DEPTH_MAX - own));
  memcpy(end - (DR_CONFIG_DEPTH_MAX - own), "[]", 2);
  project = load_settings(folder, deepest);
  expect_only_limit(project, "nested more than 32 deep");
  dr_project_free(project);
  scratch_free(folder);
}

static void test_keys_of_a_mapping_are_limited(void **state) {
  (void)state;
  char *folder = scratch_new();
  char *text = repeated("    m: {", "k", ": 1, ", DR_CONFIG_KEYS_MAX, "}");
  struct dr_project *project = load_settings(folder, text);
  assert_int_equal(project->problems.count, 0);
  dr_project_free(project);
  free(text);
  text = repeated("    m: {", "k", ": 1, ", DR_CONFIG_KEYS_MAX + 1, "}");
  project = load_settings(folder, text);
  expect_only_limit(project, "more than 4096 keys");
  dr_project_free(project);
  free(text);
  scratch_free(folder);
}

static void test_values_are_limited(void **state) {
  (void)state;
  char *folder = scratch_new();
  char *text = repeated("    l: [", "", ",", DR_CONFIG_NODES_MAX, "]");
  struct dr_project *project = load_settings(folder, text);
  expect_only_limit(project, "more than 100000 values");
  dr_project_free(project);
  free(text);
  scratch_free(folder);
}

static void test_a_hostile_line_is_answered_quickly(void **state) {
  (void)state;
  char *folder = scratch_new();
  char *text = repeated("version: 1\nconnections: {", "a", ": \"x, b: 'y, ", 40000, "\n"); // nothing but open quotes
  struct dr_project *project = scratch_load(folder, text);
  assert_int_equal(project->problems.count, 1);
  char *said = scratch_problems(project, 0);
  assert_true(strlen(said) < 1000);
  free(said);
  dr_project_free(project);
  free(text);
  scratch_free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars_mean_what_yaml_1_2_says),
      cmocka_unit_test(test_settings_become_json),
      cmocka_unit_test(test_marks_count_characters),
      cmocka_unit_test(test_depth_is_limited),
      cmocka_unit_test(test_keys_of_a_mapping_are_limited),
      cmocka_unit_test(test_values_are_limited),
      cmocka_unit_test(test_a_hostile_line_is_answered_quickly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
