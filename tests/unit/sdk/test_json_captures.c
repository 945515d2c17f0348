// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands beside the records of a page, which records are wanted at all, and pages one after the other. Cases run
// at several cuts of the input and sizes of the batches.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json_rows_harness.h"
#include "torture.h"

#define TEXT_BYTES_MAX 4096

// ---- captures ----

// Reads `data` with one capture; rows go to `rows`.
static int32_t read_with(const char *records_path, const char *path, size_t capture_bytes, const char *data,
                         size_t piece_bytes, uint64_t rows_max, struct dray_buffer *rows, struct dray_buffer *captured,
                         int32_t *out_found, struct dray_error *error) {
  dray_buffer_init(captured, capture_bytes);
  struct dray_json_capture capture = {.path = path, .out = captured};
  const struct harness harness = {
      .columns = "id:int64",
      .options = {.records_path = records_path, .captures = &capture, .capture_count = 1, .name = "page"},
      .rows_max = rows_max,
      .piece_bytes = piece_bytes};
  const int32_t rc = harness_read(&harness, data, strlen(data), rows, NULL, error);
  *out_found = capture.found;
  return rc;
}

static void expect(const char *records_path, const char *path, const char *data, int32_t found, const char *text) {
  static const size_t pieces[] = {0, 1, 3};
  for (size_t i = 0; i < 9; i++) {
    struct dray_buffer rows, captured;
    struct dray_error error;
    int32_t was_found = -1;
    dray_buffer_init(&rows, TEXT_BYTES_MAX);
    dray_error_init(&error);
    const int32_t rc =
        read_with(records_path, path, TEXT_BYTES_MAX, data, pieces[i % 3], i / 3, &rows, &captured, &was_found, &error);
    if (rc != DRAY_OK) fail_msg("%s in %s: %s", path, data, error.text);
    assert_int_equal(was_found, found);
    assert_string_equal(captured.len > 0 ? captured.data : "", text);
    if (strstr(data, "\"id\"") != NULL) assert_string_equal(rows.data, "1\n2\n");
    dray_buffer_free(&rows);
    dray_buffer_free(&captured);
  }
}

#define TWO "[{\"id\":1,\"next\":\"no\"},{\"id\":2}]"

static void test_a_value_beside_the_records_is_given(void **state) {
  (void)state;
  expect("items[*]", "next", "{\"items\":" TWO ",\"next\":\"abc\"}", DRAY_JSON_STRING, "abc");
  expect("items[*]", "next", "{\"next\":\"a\\u00e9\",\"items\":" TWO "}", DRAY_JSON_STRING, "a\xC3\xA9");
  expect("items[*]", "next", "{\"items\":" TWO ",\"next\":null}", DRAY_JSON_NULL, "null");
  expect("items[*]", "next", "{\"items\":" TWO "}", 0, "");
  expect("items[*]", "meta.after", "{\"items\":" TWO ",\"meta\":{\"more\":true,\"after\":12345678901234567890}}",
         DRAY_JSON_NUMBER, "12345678901234567890");
  expect("items[*]", "meta.more", "{\"meta\":{\"x\":{\"more\":false},\"more\":true},\"items\":" TWO "}", DRAY_JSON_BOOL,
         "true");
  expect("items[*]", "meta.more", "{\"meta\":[{\"more\":true}],\"items\":" TWO "}", 0, "");
  expect("items[*]", "more", "{\"meta\":{\"more\":true},\"items\":" TWO "}", 0, "");
  expect("items[*]", "[\"a.b\"]", "{\"a\":{\"b\":1},\"a.b\":2,\"items\":" TWO "}", DRAY_JSON_NUMBER, "2");
}

static void test_a_value_beside_nested_records_is_given(void **state) {
  (void)state;
  expect("data.list.edges[*].node", "data.list.page.end",
         "{\"data\":{\"list\":{\"edges\":[{\"node\":{\"id\":1}},{\"cursor\":\"x\",\"node\":{\"id\":2}}],"
         "\"page\":{\"end\":\"e\"}}}}",
         DRAY_JSON_STRING, "e");
  expect("data.list.edges[*].node", "data.list.page.end",
         "{\"data\":{\"list\":{\"page\":{\"end\":\"e\"},\"edges\":[{\"node\":{\"id\":1}},{\"node\":{\"id\":2}}]}}}",
         DRAY_JSON_STRING, "e");
}

static void test_a_container_beside_the_records_comes_compact(void **state) {
  (void)state;
  expect("items[*]", "cost",
         "{\"items\":" TWO ", \"cost\" : { \"a\" : [ 1.50 , null, \"\\u0041\" ], \"b\":{}, \"next\":1 }}",
         DRAY_JSON_OBJECT, "{\"a\":[1.50,null,\"A\"],\"b\":{},\"next\":1}");
  expect("items[*]", "errors", "{\"errors\":[ {\"message\":\"x\"} ],\"items\":" TWO "}", DRAY_JSON_ARRAY,
         "[{\"message\":\"x\"}]");
  expect("items[*]", "errors", "{\"errors\":[]}", DRAY_JSON_ARRAY, "[]");
}

static void test_every_document_empties_what_was_captured(void **state) {
  (void)state;
  expect("items[*]", "next", "{\"items\":[{\"id\":1}],\"next\":\"abc\"}{\"items\":[{\"id\":2}]}", 0, "");
  expect("items[*]", "next", "{\"items\":[{\"id\":1}],\"next\":\"abc\"} {\"next\":\"d\",\"items\":[{\"id\":2}]}",
         DRAY_JSON_STRING, "d");
  expect("items[*]", "next", "{\"next\":\"d\"} 7", 0, "");
}

static void expect_failure(const char *path, size_t capture_bytes, const char *data, int32_t code, const char *words) {
  for (size_t piece = 0; piece < 3; piece++) {
    struct dray_buffer rows, captured;
    struct dray_error error;
    int32_t found = 0;
    dray_buffer_init(&rows, TEXT_BYTES_MAX);
    dray_error_init(&error);
    assert_int_equal(read_with("items[*]", path, capture_bytes, data, piece, 0, &rows, &captured, &found, &error),
                     code);
    if (strstr(error.text, words) == NULL) fail_msg("'%s' lacks '%s'", error.text, words);
    dray_buffer_free(&rows);
    dray_buffer_free(&captured);
  }
}

static void test_what_cannot_be_captured_fails_the_input(void **state) {
  (void)state;
  expect_failure("next", 100, "{\"next\":1,\"items\":[],\n\"next\":2}", DRAY_E_DATA_JSON,
                 "page line 2: next: the member stands twice");
  expect_failure("m.n", 100, "{\"m\":{\"n\":1},\"m\":{\"n\":1}}", DRAY_E_DATA_JSON, "m.n");
  expect_failure("next", 3, "{\"next\":\"abcd\"}", DRAY_E_LIMIT, "next: ");
  expect_failure("next", 3, "{\"next\":[1,2]}", DRAY_E_LIMIT, "next: ");
  expect_failure("next", 9, "{\"next\":\"\\ud83d\"}", DRAY_E_DATA_UTF8, "surrogate");
  expect_failure("next", 9, "{\"next\":[\"\\ud83d\"]}", DRAY_E_DATA_UTF8, "surrogate");
  expect_failure("next", 9, "{\"next\":\"\xC0\x80\"}", DRAY_E_DATA_UTF8, "UTF-8");
}

static void test_paths_that_cannot_be_meant_are_refused(void **state) {
  static const struct {
    const char *records_path, *path;
    int32_t lines;
  } cases[] = {{"items[*]", "items", 0},    {"items[*]", "", 0},  {"", "next", 0},         {"a.items[*]", "a", 0},
               {"result", "result.x", 0},   {"", "x", 1},         {"items[*]", "a[0]", 0}, {"items[*]", "a[*]", 0},
               {"[\"items\"]", "items", 0}, {"items[*]", "a.", 0}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_buffer rows, captured;
    dray_buffer_init(&rows, TEXT_BYTES_MAX);
    dray_buffer_init(&captured, TEXT_BYTES_MAX);
    struct dray_json_capture capture = {.path = cases[i].path, .out = &captured};
    const struct harness harness = {
        .columns = "id:int64",
        .options = {
            .records_path = cases[i].records_path, .lines = cases[i].lines, .captures = &capture, .capture_count = 1}};
    const int32_t rc = harness_read(&harness, "", 0, &rows, NULL, NULL);
    if (rc != DRAY_E_CONFIG_VALUE) fail_msg("%s beside %s: %d", cases[i].path, cases[i].records_path, rc);
  }
  struct dray_buffer first, second, rows;
  dray_buffer_init(&first, 10);
  dray_buffer_init(&second, 10);
  dray_buffer_init(&rows, 10);
  struct dray_json_capture captures[] = {{.path = "meta.next", .out = &first}, {.path = "meta", .out = &second}};
  const struct harness harness = {.columns = "id:int64",
                                  .options = {.records_path = "items[*]", .captures = captures, .capture_count = 2}};
  assert_int_equal(harness_read(&harness, "", 0, &rows, NULL, NULL), DRAY_E_CONFIG_VALUE);
}

// ---- only_with, only_without ----

static void test_records_are_chosen_by_a_member(void **state) {
  (void)state;
  const char *data =
      "{\"id\":1,\"parent\":\"p\"}\n{\"id\":2}\n{\"id\":3,\"parent\":null}\n{\"parent\":{\"x\":1},\"id\":4}\n"
      "{\"id\":5,\"x\":{\"parent\":1}}\n";
  struct harness harness = {.columns = "id:int64", .options = {.only_with = "parent"}};
  harness_expect(&harness, data, "1\n4\n");
  harness.options.lines = 1;
  harness_expect(&harness, data, "1\n4\n");
  harness.options = (struct dray_json_rows_options){.only_without = "parent"};
  harness_expect(&harness, data, "2\n3\n5\n");
  harness.options.only_with = "x";
  harness_expect(&harness, data, "5\n");
  harness.options.records_path = "items[*]";
  harness_expect(&harness, "{\"x\":1,\"items\":[{\"id\":1},{\"id\":2,\"x\":0},{\"id\":3,\"x\":0,\"parent\":[]}]}",
                 "2\n");
}

static void test_a_bad_record_that_is_not_wanted_is_no_bad_row(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 !", .options = {.lines = 1, .only_with = "a"}};
  harness_expect(&harness, "{\"id\":\"x\"}\n{\"id\":\"x\",\"a\":1}\n{\"id\":3,\"a\":1}\n",
                 "~|data_type: column 'id': line 2: id: 'x' is not an integer\n3|~\n");
  harness.options = (struct dray_json_rows_options){.lines = 1, .only_without = "a"};
  harness_expect(&harness, "{\"a\":1,\"id\":\"x\"}\n{\"id\":\"x\",\"a\":1}\n{\"id\":3}\n", "3|~\n");
}

// What a record that cannot be read to its end does not have is not known: it is told.
static void test_a_record_that_is_cut_is_always_told(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64 !", .options = {.lines = 1, .only_with = "a"}};
  struct dray_buffer out;
  uint64_t bad = 0;
  dray_buffer_init(&out, TEXT_BYTES_MAX);
  const char *data = "{\"id\":1}\n{\"id\":2\nnonsense\n7\n{\"id\":1} {}\n";
  assert_int_equal(harness_read(&harness, data, strlen(data), &out, &bad, NULL), DRAY_OK);
  assert_int_equal(bad, 4);
  dray_buffer_free(&out);
}

// Takes every value of `id` once.
static int is_new(void *ctx, const struct dray_str *values) {
  char *told = ctx; // "1:x " each, in order
  char one[40];
  (void)snprintf(one, sizeof(one), "%.*s:%s ", DRAY_STR_ARG(values[0]), values[1].data != NULL ? values[1].data : "-");
  if (strstr(told, one) != NULL) return 0;
  assert_true(strlen(told) + strlen(one) < 400);
  memcpy(told + strlen(told), one, strlen(one) + 1);
  return 1;
}

static void test_records_are_chosen_by_who_reads_them(void **state) {
  (void)state;
  static const char *const members[] = {"id", "at"};
  for (size_t piece = 0; piece < 3; piece++) {
    char told[400] = "";
    struct dray_buffer out;
    dray_buffer_init(&out, TEXT_BYTES_MAX);
    const struct harness harness = {
        .columns = "id:int64 !",
        .piece_bytes = piece,
        .rows_max = piece,
        .options = {
            .records_path = "items[*]", .members = members, .member_count = 2, .wanted = is_new, .wanted_ctx = told}};
    const char *data =
        "{\"items\":[{\"id\":1,\"at\":\"a\"},{\"at\":\"a\",\"id\":1},{\"id\":2,\"in\":{\"id\":9,\"at\":\"b\"}},"
        "{\"id\":3,\"at\":{\"x\":1}},{\"id\":3,\"at\":null},{\"id\":\"x\",\"at\":\"c\"},{\"id\":\"x\",\"at\":\"c\"}]}";
    uint64_t bad = 0;
    assert_int_equal(harness_read(&harness, data, strlen(data), &out, &bad, NULL), DRAY_OK);
    assert_string_equal(out.data, "1|~\n2|~\n3|~\n~|data_type: column 'id': line 1: id: 'x' is not an integer\n");
    assert_string_equal(told, "1:a 2:- 3:- x:c ");
    assert_int_equal(bad, 1);
    dray_buffer_free(&out);
  }
}

static void test_empty_text_is_null_where_it_is_said_to_be(void **state) {
  (void)state;
  struct harness harness = {.columns = "at:timestamp n:int64 j:json s:string !", .options = {.empty_is_null = 1}};
  harness_expect(&harness, "{\"at\":\"\",\"n\":\"\",\"j\":\"\",\"s\":\"\"}", "~|~|~||~\n");
  harness.options.empty_is_null = 0;
  harness.columns = "s:string j:json";
  harness_expect(&harness, "{\"j\":\"\",\"s\":\"\"}", "|\"\"\n");
}

static void test_a_constant_is_in_every_row_that_can_be_given_out(void **state) {
  (void)state;
  struct dray_buffer parent;
  dray_buffer_init(&parent, 20);
  assert_int_equal(dray_buffer_append_str(&parent, "17", NULL), DRAY_OK);
  const struct dray_json_constant constant = {.column = 2, .text = &parent};
  static const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 1},
                                                   {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1},
                                                   {"of", {DRAY_TYPE_INT64, 0, 0}, 1}};
  static const struct dray_json_field field = {"id", 0};
  const struct dray_json_rows_options options = {.lines = 1, .constants = &constant, .constant_count = 1};
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_builder *builder = NULL;
  struct dray_json_rows *rows = NULL;
  struct dray_view view;
  size_t used = 0;
  int32_t full = 0;
  assert_int_equal(dray_schema_make(columns, 3, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dray_json_rows_new(&field, 1, &options, builder, &rows, NULL), DRAY_OK);
  const char *data = "{\"id\":1}\n{\"id\":\"x\"}\n{}\n";
  assert_int_equal(dray_json_rows_feed(rows, data, strlen(data), 1, &used, &full, NULL), DRAY_OK);
  dray_buffer_clear(&parent);
  dray_json_rows_restart(rows);
  assert_int_equal(dray_json_rows_feed(rows, "{}", 2, 1, &used, &full, NULL), DRAY_OK);
  assert_int_equal(dray_builder_finish(builder, &batch, NULL), DRAY_OK);
  assert_int_equal(dray_view_init(&view, &schema, &batch, NULL), DRAY_OK);
  assert_int_equal(view.row_count, 4);
  assert_int_equal(dray_column_int64(&view.columns[2], 0), 17);
  assert_false(dray_column_is_null(&view.columns[1], 1)); // a bad one, whose parent is known all the same
  assert_int_equal(dray_column_int64(&view.columns[2], 1), 17);
  assert_int_equal(dray_column_int64(&view.columns[2], 2), 17);
  assert_true(dray_column_is_null(&view.columns[2], 3));
  dray_view_free(&view);
  batch.release(&batch);
  dray_json_rows_free(rows);
  dray_builder_free(builder);
  schema.release(&schema);
  dray_buffer_free(&parent);
}

// ---- pages ----

struct page_reader {
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct dray_json_rows *rows;
};

static int32_t make_reader(struct page_reader *reader, const struct dray_json_rows_options *options,
                           struct dray_error *error) {
  static const struct dray_column_def column = {"id", {DRAY_TYPE_INT64, 0, 0}, 1};
  static const struct dray_json_field field = {"id", 0};
  DRAY_TRY(dray_schema_make(&column, 1, &reader->schema, error));
  DRAY_TRY(dray_builder_new(&reader->schema, 0, 0, &reader->builder, error));
  return dray_json_rows_new(&field, 1, options, reader->builder, &reader->rows, error);
}

static void free_reader(struct page_reader *reader) {
  dray_json_rows_free(reader->rows);
  dray_builder_free(reader->builder);
  dray_schema_release(&reader->schema);
}

static int32_t feed_page(struct page_reader *reader, const char *data, int32_t end, struct dray_error *error) {
  size_t used = 0;
  int32_t full = 0;
  return dray_json_rows_feed(reader->rows, data, strlen(data), end, &used, &full, error);
}

static void test_pages_follow_each_other_whatever_became_of_the_last(void **state) {
  (void)state;
  struct dray_buffer next;
  dray_buffer_init(&next, 100);
  struct dray_json_capture capture = {.path = "next", .out = &next};
  const struct dray_json_rows_options options = {.records_path = "items[*]", .captures = &capture, .capture_count = 1};
  struct page_reader reader = {.rows = NULL};
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(make_reader(&reader, &options, &error), DRAY_OK);
  assert_int_equal(feed_page(&reader, "\xEF\xBB\xBF{\"next\":\"b\",\"items\":[{\"id\":1},{\"id\":2}]}", 1, &error),
                   DRAY_OK);
  assert_string_equal(next.data, "b");
  dray_json_rows_restart(reader.rows);
  assert_int_equal(capture.found, 0);
  assert_int_equal(feed_page(&reader, "\xEF\xBB\xBF{\"items\":[{\"id\":3},{\"id\"", 0, &error), DRAY_OK); // left alone
  dray_json_rows_restart(reader.rows);
  assert_int_equal(feed_page(&reader, "{\"next\":{\"x\":[\n<html>", 1, &error), DRAY_E_DATA_JSON);
  assert_non_null(strstr(error.text, "line 2"));
  dray_json_rows_restart(reader.rows);
  assert_int_equal(feed_page(&reader, "{\"items\":[{\"id\":4}],\"next\":\"c\"}", 1, &error), DRAY_OK);
  assert_string_equal(next.data, "c");
  assert_int_equal(dray_builder_rows(reader.builder), 4); // 1, 2, 3, 4
  assert_int_equal(dray_json_rows_count(reader.rows), 5);
  free_reader(&reader);
  dray_buffer_free(&next);
}

// ---- paths ----

static void test_members_of_any_name_make_paths_that_can_be_read(void **state) {
  static const char *const names[] = {"plain", "a.b", "x[0]", "q\"uote\\", "", "\xC3\xA9", "]"};
  (void)state;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    struct dray_buffer path, document;
    struct dray_json_writer writer;
    struct dray_json *root = NULL;
    dray_buffer_init(&path, 100);
    dray_buffer_init(&document, 100);
    assert_int_equal(dray_json_path_member(&path, dray_str_of("in"), NULL), DRAY_OK);
    assert_int_equal(dray_json_path_member(&path, dray_str_of(names[i]), NULL), DRAY_OK);
    dray_json_writer_init(&writer, &document, NULL);
    dray_json_begin_object(&writer);
    dray_json_key(&writer, "in");
    dray_json_begin_object(&writer);
    dray_json_key(&writer, names[i]);
    dray_json_write_int(&writer, 7);
    dray_json_end_object(&writer);
    dray_json_end_object(&writer);
    assert_int_equal(dray_json_writer_finish(&writer), DRAY_OK);
    assert_int_equal(dray_json_parse(dray_buffer_view(&document), 1000, &root, NULL), DRAY_OK);
    const struct dray_json *found = dray_json_path(root, path.data);
    if (found == NULL) fail_msg("%s does not lead to it", path.data);
    dray_json_free(root);
    dray_buffer_free(&path);
    dray_buffer_free(&document);
  }
  struct dray_buffer path;
  dray_buffer_init(&path, 4);
  assert_int_equal(dray_json_path_member(&path, dray_str_of("abc"), NULL), DRAY_OK);
  assert_int_equal(dray_json_path_member(&path, dray_str_of("d"), NULL), DRAY_E_LIMIT);
  assert_string_equal(path.data, "abc");
  dray_buffer_free(&path);
}

// ---- torture ----

static int32_t read_two_pages(void *ctx) {
  (void)ctx;
  struct dray_buffer next, cost;
  dray_buffer_init(&next, 100);
  dray_buffer_init(&cost, 100);
  struct dray_json_capture captures[] = {{.path = "next", .out = &next}, {.path = "cost", .out = &cost}};
  const struct dray_json_rows_options options = {
      .records_path = "items[*]", .only_with = "id", .only_without = "gone", .captures = captures, .capture_count = 2};
  struct page_reader reader = {.rows = NULL};
  int32_t rc = make_reader(&reader, &options, NULL);
  for (int i = 0; rc == DRAY_OK && i < 2; i++) {
    rc = feed_page(&reader, "{\"next\":\"b\",\"cost\":{\"x\":[1]},\"items\":[{\"id\":1},{\"gone\":2}]}", 1, NULL);
    if (rc == DRAY_OK) dray_json_rows_restart(reader.rows);
  }
  free_reader(&reader);
  dray_buffer_free(&next);
  dray_buffer_free(&cost);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(read_two_pages, NULL) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_value_beside_the_records_is_given),
      cmocka_unit_test(test_a_value_beside_nested_records_is_given),
      cmocka_unit_test(test_a_container_beside_the_records_comes_compact),
      cmocka_unit_test(test_every_document_empties_what_was_captured),
      cmocka_unit_test(test_what_cannot_be_captured_fails_the_input),
      cmocka_unit_test(test_paths_that_cannot_be_meant_are_refused),
      cmocka_unit_test(test_records_are_chosen_by_a_member),
      cmocka_unit_test(test_a_bad_record_that_is_not_wanted_is_no_bad_row),
      cmocka_unit_test(test_a_record_that_is_cut_is_always_told),
      cmocka_unit_test(test_records_are_chosen_by_who_reads_them),
      cmocka_unit_test(test_empty_text_is_null_where_it_is_said_to_be),
      cmocka_unit_test(test_a_constant_is_in_every_row_that_can_be_given_out),
      cmocka_unit_test(test_pages_follow_each_other_whatever_became_of_the_last),
      cmocka_unit_test(test_members_of_any_name_make_paths_that_can_be_read),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
