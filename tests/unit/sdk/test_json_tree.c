// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The JSON tree and dray_json_compact: what they keep, what they refuse and where they say it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/json.h"
#include "torture.h"

static struct dray_json *parse(const char *text) {
  struct dray_json *root = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  const int32_t rc = dray_json_parse(dray_str_of(text), 1 << 20, &root, &error);
  if (rc != DRAY_OK) fail_msg("%s: %s", text, error.text);
  return root;
}

static void expect_refusal(const char *text, size_t len, int32_t code, const char *words) {
  struct dray_json *root = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  assert_int_equal(dray_json_parse(dray_str_make(text, len), 1 << 20, &root, &error), code);
  assert_null(root);
  if (strstr(error.text, words) == NULL) fail_msg("'%s' does not say '%s'", error.text, words);
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  if (dray_json_compact(dray_str_make(text, len), &out, NULL) == DRAY_OK) { // it alone keeps duplicates
    assert_non_null(strstr(words, "twice"));
  } else {
    assert_int_equal(out.len, 0);
  }
  dray_buffer_free(&out);
}

static void refuse(const char *text, int32_t code, const char *words) {
  expect_refusal(text, strlen(text), code, words);
}

static void test_tree_holds_every_kind_of_value(void **state) {
  (void)state;
  struct dray_json *root = parse(
      "{\"n\": null, \"t\": true, \"f\": false, \"i\": -12, \"s\": \"x\", \"a\": [1, [], {}], \"o\": {\"k\": 1}}");
  assert_int_equal(root->kind, DRAY_JSON_OBJECT);
  assert_int_equal(root->child_count, 7);
  assert_int_equal(dray_json_get(root, "n")->kind, DRAY_JSON_NULL);
  assert_int_equal(dray_json_get(root, "t")->boolean, 1);
  assert_int_equal(dray_json_get(root, "f")->boolean, 0);
  assert_int_equal(dray_json_get(root, "f")->kind, DRAY_JSON_BOOL);
  assert_string_equal(dray_json_get(root, "i")->text.data, "-12");
  assert_string_equal(dray_json_get(root, "s")->text.data, "x");
  const struct dray_json *array = dray_json_get(root, "a");
  assert_int_equal(array->child_count, 3);
  assert_int_equal(array->child->next->kind, DRAY_JSON_ARRAY);
  assert_int_equal(array->child->next->next->kind, DRAY_JSON_OBJECT);
  assert_null(array->child->next->next->next);
  assert_string_equal(dray_json_path(root, "o.k")->name.data, "k");
  assert_null(dray_json_get(root, "missing"));
  assert_null(dray_json_get(array, "n"));
  assert_null(dray_json_get(NULL, "n"));
  dray_json_free(root);
  dray_json_free(NULL);
}

static void test_tree_takes_a_single_value_and_a_bom(void **state) {
  (void)state;
  const char *const texts[] = {"1", " \"x\" ", "null", "\xEF\xBB\xBF{}", "[]\n"};
  const int32_t kinds[] = {DRAY_JSON_NUMBER, DRAY_JSON_STRING, DRAY_JSON_NULL, DRAY_JSON_OBJECT, DRAY_JSON_ARRAY};
  for (size_t i = 0; i < 5; i++) {
    struct dray_json *root = parse(texts[i]);
    assert_int_equal(root->kind, kinds[i]);
    dray_json_free(root);
  }
}

static void test_tree_keeps_every_digit_of_numbers(void **state) {
  (void)state;
  struct dray_json *root = parse("[12345678901234567890123, 1.10, -0.0, 1E+400]");
  assert_string_equal(dray_json_path(root, "[0]")->text.data, "12345678901234567890123");
  assert_string_equal(dray_json_path(root, "[1]")->text.data, "1.10");
  assert_string_equal(dray_json_path(root, "[2]")->text.data, "-0.0");
  assert_string_equal(dray_json_path(root, "[3]")->text.data, "1E+400");
  dray_json_free(root);
}

static void test_tree_decodes_escapes(void **state) {
  (void)state;
  struct dray_json *root =
      parse("[\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00z\", \"a\\u0000b\", \"\\\\ud83d\"]");
  assert_string_equal(dray_json_path(root, "[0]")->text.data, "a\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");
  assert_int_equal(dray_json_path(root, "[1]")->text.len, 3);
  assert_memory_equal(dray_json_path(root, "[1]")->text.data, "a\0b", 4);
  assert_string_equal(dray_json_path(root, "[2]")->text.data, "\\ud83d"); // an escaped backslash, then letters
  dray_json_free(root);
}

static void test_tree_says_where_the_syntax_breaks(void **state) {
  (void)state;
  refuse("{\"a\": 1,\n \"b\": x}", DRAY_E_DATA_JSON, "line 2, column ");
  refuse("", DRAY_E_DATA_JSON, "no value");
  refuse("  ", DRAY_E_DATA_JSON, "line 1, column 3");
  refuse("{\"a\": 1", DRAY_E_DATA_JSON, "line 1, column 8");
  refuse("{\"a\": 1} x", DRAY_E_DATA_JSON, "line 1");
  refuse("{\"a\": 1}{}", DRAY_E_DATA_JSON, "trailing garbage");
  refuse("[1,]", DRAY_E_DATA_JSON, "line 1");
  refuse("[01]", DRAY_E_DATA_JSON, "line 1");
  refuse("[1.]", DRAY_E_DATA_JSON, "line 1");
  refuse("[-]", DRAY_E_DATA_JSON, "line 1");
  refuse("{1:2}", DRAY_E_DATA_JSON, "key");
  refuse("[NaN]", DRAY_E_DATA_JSON, "line 1");
  refuse("['x']", DRAY_E_DATA_JSON, "line 1");
  refuse("[\"tab\t\"]", DRAY_E_DATA_JSON, "line 1");
  refuse("[\"\\x\"]", DRAY_E_DATA_JSON, "line 1");
  refuse("[\"\\u12g4\"]", DRAY_E_DATA_JSON, "line 1");
  refuse("// comment\n1", DRAY_E_DATA_JSON, "line 1");
  expect_refusal("[\"\0\"]", 5, DRAY_E_DATA_JSON, "line 1");
  expect_refusal("1\0", 2, DRAY_E_DATA_JSON, "line 1");
}

static void test_tree_refuses_what_is_not_utf8(void **state) {
  (void)state;
  refuse("{\n\"\xC3\xA9\": \"\xFF\"}", DRAY_E_DATA_UTF8, "line 2, column 7");
  refuse("\"\xC0\x80\"", DRAY_E_DATA_UTF8, "column 2");     // overlong NUL
  refuse("\"\xED\xA0\x80\"", DRAY_E_DATA_UTF8, "column 2"); // a surrogate as bytes
  refuse("\"abc\xE2\x82", DRAY_E_DATA_UTF8, "column 5");    // cut in a character
}

static void test_tree_refuses_surrogates_that_stand_alone(void **state) {
  (void)state;
  refuse("\"\\ud83d\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("\"\\ud83dx\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("\"\\ud83d\\n\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("\"\\ud83d\\u0041\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("\"\\ud83d\\ud83d\\ude00\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("\"\\uDE00\"", DRAY_E_DATA_JSON, "surrogate");
  refuse("{\"\\ud83d\\ude00\\ude00\": 1}", DRAY_E_DATA_JSON, "surrogate");
}

static void test_tree_refuses_duplicate_members(void **state) {
  (void)state;
  refuse("{\"a\": 1, \"b\": {\"c\": 1, \"\\u0063\": 2}}", DRAY_E_DATA_JSON, "'c' stands twice");
  char text[4000] = "{";
  size_t len = 1;
  for (int i = 0; i < 100; i++) len += (size_t)snprintf(text + len, sizeof(text) - len, "\"k%d\": %d, ", i, i);
  (void)snprintf(text + len, sizeof(text) - len, "\"k57\": 0}");
  refuse(text, DRAY_E_DATA_JSON, "'k57' stands twice");
  (void)snprintf(text + len, sizeof(text) - len, "\"k\": 0, \"\": 1}");
  struct dray_json *root = parse(text);
  assert_int_equal(root->child_count, 102);
  assert_string_equal(dray_json_get(root, "k57")->text.data, "57");
  dray_json_free(root);
}

static void test_tree_limits_size_and_depth(void **state) {
  (void)state;
  struct dray_json *root = NULL;
  assert_int_equal(dray_json_parse(dray_str_of("[1,2]"), 4, &root, NULL), DRAY_E_LIMIT);
  char text[2 * (DRAY_JSON_DEPTH_MAX + 1) + 1] = {0};
  memset(text, '[', DRAY_JSON_DEPTH_MAX);
  memset(text + DRAY_JSON_DEPTH_MAX, ']', DRAY_JSON_DEPTH_MAX);
  root = parse(text);
  dray_json_free(root);
  memset(text, '[', DRAY_JSON_DEPTH_MAX + 1);
  memset(text + DRAY_JSON_DEPTH_MAX + 1, ']', DRAY_JSON_DEPTH_MAX + 1);
  refuse(text, DRAY_E_LIMIT, "64 levels");
}

static void test_paths_find_members_and_elements(void **state) {
  (void)state;
  struct dray_json *root =
      parse("{\"a\": {\"b\": [{\"c\": 1}, {\"c\": 2}]}, \"x.y\": {\"[\": 3}, \"q\\\"\": 4, \"\": 5}");
  assert_ptr_equal(dray_json_path(root, ""), root);
  assert_string_equal(dray_json_path(root, "a.b[1].c")->text.data, "2");
  assert_string_equal(dray_json_path(root, "[\"x.y\"][\"[\"]")->text.data, "3");
  assert_string_equal(dray_json_path(root, "[\"q\\\"\"]")->text.data, "4");
  assert_string_equal(dray_json_path(root, "[\"\"]")->text.data, "5");
  const char *const missing[] = {"b", "a.c", "a[0]", "a.b[2]", "a.b.c", "a.b[0].c.d"};
  for (size_t i = 0; i < 6; i++) assert_null(dray_json_path(root, missing[i]));
  const char *const malformed[] = {".",   "a.",     ".a", "a..b",  "a[",   "a[x]",
                                   "a[1", "a[\"b]", "a]", "a[0]b", "a[*]", "a[]"};
  for (size_t i = 0; i < 12; i++) assert_null(dray_json_path(root, malformed[i]));
  dray_json_free(root);
}

static void test_string_falls_back_when_there_is_none(void **state) {
  (void)state;
  struct dray_json *root = parse("{\"a\": \"x\", \"b\": 1}");
  assert_true(dray_str_is(dray_json_string(dray_json_get(root, "a"), "no"), "x"));
  assert_true(dray_str_is(dray_json_string(dray_json_get(root, "b"), "no"), "no"));
  assert_true(dray_str_is(dray_json_string(dray_json_get(root, "c"), NULL), ""));
  dray_json_free(root);
}

static void test_compact_keeps_order_digits_and_meaning(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  const char *text =
      " { \"b\" : [ 1.50 , true,null , { } , [ ] ],\n\t\"a\\u0041\\/\" : \"\\u00e9\\u0001\\\"\\n\", \"b\": -0e1 } ";
  assert_int_equal(dray_buffer_append_str(&out, ">", NULL), DRAY_OK);
  assert_int_equal(dray_json_compact(dray_str_of(text), &out, NULL), DRAY_OK);
  assert_string_equal(out.data, ">{\"b\":[1.50,true,null,{},[]],\"aA/\":\"\xC3\xA9\\u0001\\\"\\n\",\"b\":-0e1}");
  // Compact text is its own compact text.
  struct dray_buffer again;
  dray_buffer_init(&again, 1000);
  assert_int_equal(dray_json_compact(dray_str_make(out.data + 1, out.len - 1), &again, NULL), DRAY_OK);
  assert_string_equal(again.data, out.data + 1);
  dray_buffer_free(&again);
  dray_buffer_free(&out);
}

static void test_compact_leaves_the_buffer_alone_when_it_fails(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 10);
  assert_int_equal(dray_buffer_append_str(&out, "abc", NULL), DRAY_OK);
  assert_int_equal(dray_json_compact(dray_str_of("[1,2,3,4,5,6,7]"), &out, NULL), DRAY_E_LIMIT);
  assert_string_equal(out.data, "abc");
  assert_int_equal(dray_json_compact(dray_str_of("[1,2"), &out, NULL), DRAY_E_DATA_JSON);
  assert_string_equal(out.data, "abc");
  dray_buffer_free(&out);
}

// A blank behind a document sends it another way: what is compact already is not parsed. Both ways must agree, on
// documents and on what chance makes of them.
static void assert_both_ways_agree(const char *text, size_t len) {
  char blank[600];
  struct dray_buffer straight, parsed;
  dray_buffer_init(&straight, 4000);
  dray_buffer_init(&parsed, 4000);
  memcpy(blank, text, len);
  blank[len] = ' ';
  const int32_t one = dray_json_compact(dray_str_make(text, len), &straight, NULL);
  const int32_t other = dray_json_compact(dray_str_make(blank, len + 1), &parsed, NULL);
  if (one != other || straight.len != parsed.len ||
      (straight.len > 0 && memcmp(straight.data, parsed.data, straight.len) != 0)) {
    fail_msg("'%.*s': %d and %d, '%s' and '%s'", (int)len, text, one, other, straight.len > 0 ? straight.data : "",
             parsed.len > 0 ? parsed.data : "");
  }
  dray_buffer_free(&straight);
  dray_buffer_free(&parsed);
}

static void test_compact_text_is_taken_as_it_is_only_when_it_is_compact(void **state) {
  (void)state;
  static const char *const seeds[] = {
      "{\"id\":\"gid://shop/Order/"
      "1\",\"lines\":[{\"n\":1,\"price\":-0.50},{\"n\":2,\"price\":1e+9}],\"note\":null,\"paid\":true}",
      "[\"a \\\"b\\\" \\\\ c\\n\",\"\xC3\xA9\xF0\x9F\x98\x80 and more than eight bytes\",[],{},[[[{\"\":[]}]]],false]",
      "\"alone\"",
      "-12.75E-3",
      "[1,[2,[3,[4,{\"a\":{\"b\":{\"c\":[0,-0,10]}}}]]]]",
  };
  static const char bytes[] = "{}[]\",:\\ 0123456789-+.eEtrufalsn/b\t\n\x01\x7F\x80\xC3\xA9\xFF";
  uint64_t chance = 20261122;
  char deep[300];
  for (size_t depth = DRAY_JSON_DEPTH_MAX - 1; depth <= DRAY_JSON_DEPTH_MAX + 1; depth++) {
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    assert_both_ways_agree(deep, 2 * depth);
  }
  assert_both_ways_agree("", 0);
  for (size_t seed = 0; seed < sizeof seeds / sizeof seeds[0]; seed++) {
    assert_both_ways_agree(seeds[seed], strlen(seeds[seed]));
    for (int round = 0; round < 20000; round++) {
      char text[512];
      size_t len = strlen(seeds[seed]);
      memcpy(text, seeds[seed], len);
      for (int change = 0; change <= round % 3; change++) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        const size_t at = (size_t)(chance >> 8) % len;
        const char byte = bytes[(chance >> 40) % (sizeof bytes - 1)];
        const size_t how = chance % 3;
        if (how == 0) text[at] = byte;
        if (how == 1 && len > 1) memmove(text + at, text + at + 1, --len - at);
        if (how == 2) {
          memmove(text + at + 1, text + at, len++ - at);
          text[at] = byte;
        }
      }
      assert_both_ways_agree(text, len);
    }
  }
}

static const char *torture_text(void) {
  static char text[20000];
  size_t len = (size_t)snprintf(text, sizeof(text), "{\"deep\": [[[[[[[[[[\"\\u00e9\"]]]]]]]]]]");
  for (int i = 0; i < 300; i++) {
    len += (size_t)snprintf(text + len, sizeof(text) - len, ", \"key %d\": \"some \\\"text\\\" %d\"", i, i);
  }
  (void)snprintf(text + len, sizeof(text) - len, "}");
  return text;
}

static int32_t attempt_parse(void *ctx) {
  struct dray_json *root = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  const int32_t rc = dray_json_parse(dray_str_of(ctx), 1 << 20, &root, &error);
  if (rc == DRAY_OK) assert_int_equal(root->child_count, 301);
  if (rc != DRAY_OK) assert_int_equal(rc, DRAY_E_OUT_OF_MEMORY);
  dray_json_free(root);
  return rc;
}

static int32_t attempt_refusal(void *ctx) { // the message needs memory as well
  struct dray_json *root = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  const int32_t rc = dray_json_parse(dray_str_of(ctx), 1 << 20, &root, &error);
  return rc == DRAY_E_DATA_JSON ? DRAY_OK : rc;
}

static int32_t attempt_compact(void *ctx) {
  struct dray_buffer out;
  dray_buffer_init(&out, 1 << 20);
  struct dray_error error = {.struct_size = sizeof(error)};
  const int32_t rc = dray_json_compact(dray_str_of(ctx), &out, &error);
  if (rc != DRAY_OK) assert_int_equal(rc, DRAY_E_OUT_OF_MEMORY);
  dray_buffer_free(&out);
  return rc;
}

static void test_tree_survives_every_failing_allocation(void **state) {
  (void)state;
  char text[20000];
  (void)snprintf(text, sizeof(text), "%s", torture_text());
  assert_true(torture_every(attempt_parse, text) > 8);
  assert_true(torture_every(attempt_compact, text) > 8);
  char bad[] = "{\"a\": [\"\\u00e9\", tru]}";
  assert_true(torture_every(attempt_refusal, bad) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tree_holds_every_kind_of_value),
      cmocka_unit_test(test_tree_takes_a_single_value_and_a_bom),
      cmocka_unit_test(test_tree_keeps_every_digit_of_numbers),
      cmocka_unit_test(test_tree_decodes_escapes),
      cmocka_unit_test(test_tree_says_where_the_syntax_breaks),
      cmocka_unit_test(test_tree_refuses_what_is_not_utf8),
      cmocka_unit_test(test_tree_refuses_surrogates_that_stand_alone),
      cmocka_unit_test(test_tree_refuses_duplicate_members),
      cmocka_unit_test(test_tree_limits_size_and_depth),
      cmocka_unit_test(test_paths_find_members_and_elements),
      cmocka_unit_test(test_string_falls_back_when_there_is_none),
      cmocka_unit_test(test_compact_keeps_order_digits_and_meaning),
      cmocka_unit_test(test_compact_leaves_the_buffer_alone_when_it_fails),
      cmocka_unit_test(test_compact_text_is_taken_as_it_is_only_when_it_is_compact),
      cmocka_unit_test(test_tree_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
