// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows reader: what lands in which column. Every case runs at several cuts of the input and sizes of the batches.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json_rows_harness.h"
#include "torture.h"

static const struct harness plain = {.columns = "id:int64 name:string"};
static const struct harness lines = {.columns = "id:int64 name:string !", .options = {.lines = 1}};

static void test_rows_reads_one_record_per_value(void **state) {
  (void)state;
  const char *expected = "1|a\n2|b\n3|~\n";
  harness_expect(&plain, "{\"id\": 1, \"name\": \"a\"}\n{\"name\":\"b\",\"id\":2}{\"id\":3}", expected);
  harness_expect(&plain, " \n", "");
  harness_expect(&plain, "", "");
  harness_expect(&plain, "\xEF\xBB\xBF{\"id\": 1}", "1|~\n");
  const char *expected_lines = "1|a|~\n2|b|~\n3|~|~\n";
  harness_expect(&lines, "{\"id\": 1, \"name\": \"a\"}\r\n\n{\"name\":\"b\",\"id\":2}\n  \n{\"id\":3}", expected_lines);
  harness_expect(&lines, "\xEF\xBB\xBF{\"id\": 1}\n", "1|~|~\n");
  harness_expect(&lines, "", "");
  harness_expect(&lines, "\n\n", "");
}

static void test_rows_reads_records_inside_a_document(void **state) {
  (void)state;
  const char *data = "{\"next\": {\"items\": [{\"id\": 9}]}, \"items\": [{\"id\": 1}, {\"id\": 2, \"name\": \"b\"}], "
                     "\"more\": [1, {}]}";
  struct harness harness = plain;
  harness.options.records_path = "items[*]";
  harness_expect(&harness, data, "1|~\n2|b\n");
  harness_expect(&harness, "{\"items\": []} {\"items\": [{\"id\": 5}]}", "5|~\n");
  harness_expect(&harness, "{\"items\": {\"id\": 5}}", "");
  harness.options.records_path = "items[1]";
  harness_expect(&harness, data, "2|b\n");
  harness.options.records_path = "next.items[*]";
  harness_expect(&harness, data, "9|~\n");
  harness.options.records_path = "next.items[0]";
  harness_expect(&harness, data, "9|~\n");
  harness.options.records_path = "[*]";
  harness_expect(&harness, "[{\"id\": 1},\n{\"id\": 2}]", "1|~\n2|~\n");
  harness_expect(&harness, data, "");
  harness.options.records_path = "[*].rows[*]";
  harness_expect(&harness, "[{\"rows\": [{\"id\": 1}, {\"id\": 2}]}, {\"rows\": []}, 7, {\"rows\": [{\"id\": 3}]}]",
                 "1|~\n2|~\n3|~\n");
  harness.options.records_path = "data";
  harness_expect(&harness, "{\"ok\": true, \"data\": {\"id\": 4}}", "4|~\n");
}

static void test_rows_follows_paths(void **state) {
  (void)state;
  const struct harness harness = {.columns = "a.b:int64 a.c[1].d:string [\"x.y\"]:string a.c[0]:string ?"};
  harness_expect(&harness, "{\"a\": {\"c\": [\"first\", {\"d\": \"deep\"}], \"b\": 7}, \"x.y\": \"dot\"}",
                 "7|deep|dot|first\n");
  harness_expect(&harness, "{\"a\": {\"c\": []}}", "-|-|-|-\n");
  harness_expect(&harness, "{\"b\": 1, \"a\": [{\"b\": 2}]}", "-|-|-|-\n");
  harness_expect(&harness, "{\"a\": \"text\", \"x\": {\"y\": 1}}", "-|-|-|-\n");
}

static void test_rows_tells_absent_from_null(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64 customer.email:string customer.phone:string ?"};
  harness_expect(&harness, "{\"id\": null, \"customer\": {\"email\": null}}", "~|~|-\n");
  harness_expect(&harness, "{\"id\": 1, \"customer\": null}", "1|~|~\n");
  harness_expect(&harness, "{}", "-|-|-\n");
}

static void test_rows_converts_exactly(void **state) {
  (void)state;
  const struct harness harness = {
      .columns = "b:bool i:int64 f:float64 d:decimal(20,2) s:string y:bytes t:date z:timestamp j:json"};
  harness_expect(
      &harness,
      "{\"b\": true, \"i\": -9223372036854775808, \"f\": 0.1, \"d\": 123456789012345678.90, \"s\": "
      "\"\\u00e9\\n\\ud83d\\ude00\", \"y\": \"AP8h\", \"t\": \"2024-02-29\", \"z\": \"2024-02-29T12:00:00+02:00\", "
      "\"j\": {\"a\" : [ 1.0 ] }}",
      "true|-9223372036854775808|0.1|123456789012345678.90|\xC3\xA9\n\xF0\x9F\x98\x80|AP8h|2024-02-29|2024-02-29T10:00:"
      "00Z|{\"a\":[1.0]}\n");
  // Strings that hold a value of the column's type, and scalars in text columns.
  harness_expect(
      &harness,
      "{\"b\": 0, \"i\": \"42\", \"f\": \"1e3\", \"d\": \"0.5\", \"s\": 12345678901234567890123, \"j\": \"te\\\"xt\"}",
      "false|42|1000|0.50|12345678901234567890123|~|~|~|\"te\\\"xt\"\n");
  harness_expect(&harness, "{\"s\": false, \"j\": 1.50}{\"s\": {\"k\": []}, \"j\": true}",
                 "~|~|~|~|false|~|~|~|1.50\n"
                 "~|~|~|~|{\"k\":[]}|~|~|~|true\n");
}

static void test_rows_keeps_json_compact_with_order_digits_and_duplicates(void **state) {
  (void)state;
  const struct harness harness = {.columns = "j:json k:string"};
  harness_expect(
      &harness,
      "{\"j\": { \"b\" : 1.10 , \"a\" : [ true , null, {} , [ ] , 12345678901234567890 ], \"b\": \"\\u0000\\/\\u00e9\" "
      "}, "
      "\"k\": [ \"\\t\", -0e5 ]}",
      "{\"b\":1.10,\"a\":[true,null,{},[],12345678901234567890],\"b\":\"\\u0000/\xC3\xA9\"}|[\"\\t\",-0e5]\n");
}

static void test_rows_takes_a_container_and_what_is_in_it(void **state) {
  (void)state;
  const struct harness harness = {.columns = ":json a:json a.b:json a.b.c:int64 a.d[0]:string"};
  harness_expect(&harness, "{\"x\": [0], \"a\": {\"z\": {\"y\": 1}, \"b\": {\"c\": 5}, \"d\": [\"e\", {}]}, \"w\": {}}",
                 "{\"x\":[0],\"a\":{\"z\":{\"y\":1},\"b\":{\"c\":5},\"d\":[\"e\",{}]},\"w\":{}}|"
                 "{\"z\":{\"y\":1},\"b\":{\"c\":5},\"d\":[\"e\",{}]}|{\"c\":5}|5|e\n");
}

static void test_rows_takes_scalars_as_records_when_asked_for(void **state) {
  (void)state;
  const struct harness harness = {.columns = ":string", .options = {.records_path = "tags[*]"}};
  harness_expect(&harness, "{\"tags\": [\"a\", 12, true, null, {\"k\": 1}]}", "a\n12\ntrue\n~\n{\"k\":1}\n");
  const struct harness top = {.columns = ":json"};
  harness_expect(&top, "1 \"x\" [2] 34", "1\n\"x\"\n[2]\n34\n");
}

static void test_rows_reads_rows_that_are_arrays(void **state) {
  (void)state;
  const struct harness harness = {.columns = "[0]:int64 [2]:string", .options = {.records_path = "rows[*]"}};
  harness_expect(&harness, "{\"rows\": [[1, \"skip\", \"a\"], [2], [3, [], \"c\", 9]]}", "1|a\n2|~\n3|c\n");
}

static void test_rows_ignores_what_nobody_asked_for(void **state) {
  (void)state;
  harness_expect(
      &plain,
      "{\"x\": {\"id\": 5, \"y\": [{\"id\": 6}]}, \"id\": 1, \"lone\": \"\\ud83d\", \"bad\": \"\xFF\", \"x\": 1, "
      "\"i\": 2, \"idx\": 3, \"\": 4, \"name\": \"n\"}",
      "1|n\n");
}

static void test_rows_reports_bad_values_in_their_own_row(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64 total.amount:decimal(5,2) day:date !",
                                  .options = {.lines = 1, .name = "orders.jsonl"}};
  harness_expect(
      &harness,
      "{\"id\": 1, \"total\": {\"amount\": 1.234}}\n"
      "{\"id\": 2}\n"
      "{\"id\": \"x\", \"day\": \"2023-02-29\"}\n"
      "{\"id\": 99999999999999999999}\n"
      "{\"id\": true}\n"
      "{\"id\": {\"v\": 1}, \"day\": \"2023-02-28\"}\n",
      "1|~|~|data_precision: column 'total.amount': orders.jsonl line 1: total.amount: 1.234 has more digits after "
      "the point than decimal(5,2)\n"
      "2|~|~|~\n"
      "~|~|~|data_type: column 'id': orders.jsonl line 3: id: 'x' is not an integer\n"
      "~|~|~|data_overflow: column 'id': orders.jsonl line 4: id: 99999999999999999999 does not fit int64\n"
      "~|~|~|data_type: column 'id': orders.jsonl line 5: id: true is no int64\n"
      "~|~|2023-02-28|data_type: column 'id': orders.jsonl line 6: id: an object is no int64\n");
}

static void test_rows_reports_bad_values_inside_documents(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 sub.x:bytes !", .options = {.records_path = "items[*]"}};
  harness_expect(
      &harness,
      "{\"items\": [\n{\"id\": 1},\n{\"sub\": {\"x\": 5, \"y\": {}}, \"id\": 7},\n{\"id\": [1]}, {\"id\": 2}]}",
      "1|~|~\n7|~|data_type: column 'sub.x': line 3: sub.x: 5 is no string, which bytes are written as\n"
      "~|~|data_type: column 'id': line 4: id: an array is no int64\n2|~|~\n");
  harness.columns = "id:int64";
  harness_expect_failure(&harness, "{\"items\": [{\"id\": 1},\n{\"id\": \"x\"}, {\"id\": 2}]}", "1\n", DRAY_E_DATA_TYPE,
                         "line 2: id: 'x' is not an integer");
}

static void test_rows_keeps_every_value_that_fits_in_a_row_with_one_that_does_not(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64 name:string ! ?", .options = {.lines = 1, .lines_before = 100}};
  harness_expect(&harness, "{\"name\": \"a\"}\n{\"name\": \"a\", \"id\": 1.5}\n",
                 "-|a|~\n~|a|data_type: column 'id': line 102: id: '1.5' is not an integer\n");
}

// The first value that does not fit is told; a record that is bad as a whole has no values, whatever came before.
static void test_rows_tells_which_record_a_value_spoils_wherever_its_key_stands(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 day:date a:int64 a.b:int64 j:json !", .options = {.lines = 1}};
  harness_expect(
      &harness,
      "{\"day\": \"1 May\", \"id\": 1, \"j\": [1]}\n"
      "{\"id\": 2, \"j\": {\"x\": [1, {}]}, \"day\": \"2 May\", \"a\": \"x\"}\n"
      "{\"a\": {\"b\": 5}, \"id\": 3, \"j\": {\"x\": 1}}\n"
      "{\"day\": \"3 May\", \"id\": 4, \"id\": 4}\n"
      "{\"day\": \"4 May\", \"id\": 5\n"
      "{\"id\": 6}\n",
      "1|~|~|~|[1]|data_date: column 'day': line 1: day: '1 May' is not a date: expected YYYY-MM-DD\n"
      "2|~|~|~|{\"x\":[1,{}]}|data_date: column 'day': line 2: day: '2 May' is not a date: expected YYYY-MM-DD\n"
      "3|~|~|5|{\"x\":1}|data_type: column 'a': line 3: a: an object is no int64\n"
      "~|~|~|~|~|data_json: line 4: id: the member stands twice in one object\n"
      "~|~|~|~|~|data_json: line 5: the line ends inside an object or array\n"
      "6|~|~|~|~|~\n");
}

static void test_rows_refuses_duplicate_members_it_reads(void **state) {
  (void)state;
  harness_expect(&lines, "{\"id\": 1, \"id\": 2}\n{\"id\": 3, \"x\": 1, \"x\": 2}\n",
                 "~|~|data_json: line 1: id: the member stands twice in one object\n3|~|~\n");
  const struct harness nested = {.columns = "a.b:int64 a.c:int64 !", .options = {.lines = 1}};
  harness_expect(&nested,
                 "{\"a\": {\"b\": 1}, \"a\": {\"c\": 2}}\n{\"a\": null, \"a\": {\"c\": 2}}\n{\"a\": {\"b\": 1}}\n",
                 "~|~|data_json: line 1: a: the member stands twice in one object\n"
                 "~|~|data_json: line 2: a: the member stands twice in one object\n1|~|~\n");
}

static void test_rows_refuses_text_that_is_no_text(void **state) {
  (void)state;
  const struct harness harness = {.columns = "s:string j:json !", .options = {.lines = 1}};
  harness_expect(
      &harness,
      "{\"s\": \"a\\u0000b\"}\n{\"s\": \"\xFF\"}\n{\"s\": \"\xED\xA0\x80\"}\n{\"s\": \"x\\ud83d\"}\n{\"s\": "
      "\"\\ude00\"}\n"
      "{\"j\": {\"k\": \"\\ud83dx\"}}\n{\"j\": {\"\\ud83d\": 1}}\n{\"j\": \"\xC0\x80\"}\n{\"j\": [\"\xFE\"]}\n"
      "{\"s\": \"\\ud83d\\ude00\", \"j\": \"\\u0000\"}\n",
      "~|~|data_utf8: column 's': line 1: s: 'a' is not valid UTF-8 from its byte 2 on, or holds a NUL\n"
      "~|~|data_utf8: column 's': line 2: s: '' is not valid UTF-8 from its byte 1 on, or holds a NUL\n"
      "~|~|data_utf8: column 's': line 3: s: '' is not valid UTF-8 from its byte 1 on, or holds a NUL\n"
      "~|~|data_utf8: line 4: s: a \\u escape is one half of a surrogate pair without the other\n"
      "~|~|data_utf8: line 5: s: a \\u escape is one half of a surrogate pair without the other\n"
      "~|~|data_utf8: line 6: the record: a \\u escape is one half of a surrogate pair without the other\n"
      "~|~|data_utf8: line 7: the record: a \\u escape is one half of a surrogate pair without the other\n"
      "~|~|data_utf8: column 'j': line 8: j: '' is not valid UTF-8\n"
      "~|~|data_utf8: line 9: the record: '' is not valid UTF-8\n"
      "\xF0\x9F\x98\x80|\"\\u0000\"|~\n");
  struct harness document = {.columns = "s:string !", .options = {.records_path = "[*]"}};
  harness_expect(&document, "[{\"s\": \"\\ud83d\\n\"},\n{\"s\": \"ok\", \"\\udc00\": \"\\udc00\"}, {\"s\": \"\xFF\"}]",
                 "~|data_utf8: line 1: s: a \\u escape is one half of a surrogate pair without the other\n"
                 "ok|~\n"
                 "~|data_utf8: column 's': line 2: s: '' is not valid UTF-8 from its byte 1 on, or holds a NUL\n");
}

static void test_rows_refuses_records_that_no_path_leads_into(void **state) {
  (void)state;
  harness_expect(&lines, "[{\"id\": 1}]\n5\nnull\n{\"id\": 2}\n",
                 "~|~|data_shape: line 1: the record is an array; are the records its elements?\n"
                 "~|~|data_shape: line 2: the record is not of the kind that the columns are read from\n"
                 "~|~|data_shape: line 3: the record is not of the kind that the columns are read from\n"
                 "2|~|~\n");
  const struct harness arrays = {.columns = "[0]:int64 !", .options = {.records_path = "[*]"}};
  harness_expect(&arrays, "[[1], {\"id\": [1]}, [2]]",
                 "1|~\n~|data_shape: line 1: the record is not of the kind that the columns are read from\n2|~\n");
}

static void test_rows_a_bad_line_spoils_only_itself(void **state) {
  (void)state;
  harness_expect(&lines,
                 "{\"id\": 1}\n{\"id\": 2\n{\"id\": 3}}\n{\"id\": 4} {\"id\": 5}\nnonsense\n{\"id\": "
                 "\"\t\"}\n\"abc\n]\n{\"id\": 6}",
                 "1|~|~\n"
                 "~|~|data_json: line 2: the line ends inside an object or array\n"
                 "~|~|data_json: line 3: near byte 10: unallowed token at this point in JSON text\n"
                 "~|~|data_json: line 4: the line holds more than one value\n"
                 "~|~|data_json: line 5: near byte 1: invalid string in json text\n"
                 "~|~|data_json: line 6: near byte 8: invalid character inside string\n"
                 "~|~|data_json: line 7: near byte 4: invalid character inside string\n"
                 "~|~|data_json: line 8: near byte 1: unallowed token at this point in JSON text\n"
                 "6|~|~\n");
}

static void test_rows_a_bad_line_without_an_error_column_fails(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64", .options = {.lines = 1, .name = "a.jsonl"}};
  harness_expect_failure(&harness, "{\"id\": 1}\n{\"id\": }\n{\"id\": 3}\n", "1\n", DRAY_E_DATA_JSON,
                         "a.jsonl line 2: near byte 8: ");
}

static void test_rows_a_syntax_error_ends_a_document(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 !", .options = {.records_path = "items[*]", .name = "page 3"}};
  harness_expect_failure(&harness, "{\"items\": [{\"id\": 1},\n  {\"id\": 2},\n {id: 3}]}", "1|~\n2|~\n",
                         DRAY_E_DATA_JSON, "page 3 line 3: near byte 3: ");
  harness_expect_failure(&harness, "{\"items\": [{\"id\": 1}", "1|~\n", DRAY_E_DATA_JSON, "premature EOF");
  harness_expect_failure(&harness, "{\"items\": [{\"id\": 1}]", "1|~\n", DRAY_E_DATA_JSON, "premature EOF");
  harness_expect_failure(&harness, "<html>", "", DRAY_E_DATA_JSON, "line 1: near byte ");
  harness_expect_failure(&harness, "\xEF\xBB{}", "", DRAY_E_DATA_JSON, "not JSON");
  harness_expect_failure(&harness, "\xEF\xBB", "", DRAY_E_DATA_JSON, "BOM");
  harness_expect_failure(&plain, "{\"id\": 1} {\"id\": ", "1|~\n", DRAY_E_DATA_JSON, "premature EOF");
  harness_expect_failure(&plain, "{\"id\": 1} \"{", "1|~\n", DRAY_E_DATA_JSON, "line 1: ");
  harness_expect_failure(&plain, "{\"id\": 1} tru", "1|~\n", DRAY_E_DATA_JSON, "line 1: ");
}

static void test_rows_a_record_that_only_the_end_completes_hides_no_error(void **state) {
  (void)state;
  const struct harness harness = {.columns = ":string", .options = {.records_path = "[*]"}};
  harness_expect_failure(&harness, "[1, 93", "1\n93\n", DRAY_E_DATA_JSON, "premature EOF");
  const struct harness top = {.columns = ":string"};
  harness_expect(&top, "1 93", "1\n93\n");
}

static void test_rows_limits_depth(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 !", .options = {.lines = 1, .depth_max = 3}};
  harness_expect(&harness, "{\"x\": [[]], \"id\": 1}\n{\"id\": 2, \"x\": [[[]]]}\n{\"id\": 3}\n",
                 "1|~\n~|limit: line 2: JSON is nested deeper than 3 levels\n3|~\n");
  harness.options.lines = 0;
  harness_expect_failure(&harness, "{\"x\": [[]], \"id\": 1}\n{\"id\": 2, \"x\": [[[]]]}\n{\"id\": 3}\n", "1|~\n",
                         DRAY_E_LIMIT, "line 2: JSON is nested deeper than 3 levels");
}

static void test_rows_limits_the_size_of_a_line(void **state) {
  (void)state;
  const struct harness harness = {.columns = "id:int64 !", .options = {.lines = 1, .record_bytes_max = 16}};
  harness_expect(&harness, "{\"id\":      12}\n{\"id\":       12}\n{\"id\": 3}\n{\"id\": 5, \"x\": \"no end of it",
                 "12|~\n" // 15 bytes
                 "12|~\n" // 16 bytes
                 "3|~\n"
                 "~|data_too_large: line 4: the line has more than 16 bytes\n");
  harness_expect(&harness, "                 \n{\"id\": 3}",
                 "~|data_too_large: line 1: the line has more than 16 bytes\n3|~\n");
}

static void test_rows_limits_the_size_of_a_record_in_a_document(void **state) {
  (void)state;
  struct harness harness = {.columns = "id:int64 !", .options = {.records_path = "[*]", .record_bytes_max = 16}};
  harness_expect(&harness, "[{\"id\": 1}, {\"id\":      12}, 7]",
                 "1|~\n12|~\n~|data_shape: line 1: the record is not of the kind that the columns are read from\n");
  harness_expect_failure(&harness, "[{\"id\": 1},\n{\"id\": 2, \"x\": [1,2,3,4]}]", "1|~\n", DRAY_E_DATA_TOO_LARGE,
                         "line 2: ");
  harness_expect_failure(&harness, "[{\"id\": 1}, {\"id\": 2, \"x\": \"no end of it", "1|~\n", DRAY_E_DATA_TOO_LARGE,
                         "line 1: ");
  harness_expect_failure(&harness, "{\"token\": \"longer than a record may be\"}", "", DRAY_E_DATA_TOO_LARGE,
                         "line 1: ");
  // Too large and not JSON either: which of the two is told does not depend on the cuts.
  harness_expect_failure(&harness, "[{\"id\":           1, nonsense}]", "", DRAY_E_DATA_TOO_LARGE, "line 1: ");
}

static void test_rows_counts_and_marks_where_to_resume(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 1},
                                            {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1}};
  const struct dray_json_field field = {"id", 0};
  const struct dray_json_rows_options options = {.lines = 1};
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_json_rows *rows = NULL;
  const char data[] = "{\"id\": 1}\n\nx\n{\"id\": 2}\n{\"id\"";
  uint64_t bytes = 9;
  uint64_t told = 9;
  size_t used = 0;
  int32_t full = 0;
  assert_int_equal(dray_schema_make(columns, 2, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 3, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dray_json_rows_new(&field, 1, &options, builder, &rows, NULL), DRAY_OK);
  dray_json_rows_mark(rows, &bytes, &told);
  assert_true(bytes == 0 && told == 0);
  assert_int_equal(dray_json_rows_feed(rows, data, sizeof(data) - 1, 0, &used, &full, NULL), DRAY_OK);
  assert_int_equal(full, 1);
  assert_int_equal(used, 23);
  dray_json_rows_mark(rows, &bytes, &told);
  assert_true(bytes == 23 && told == 4);
  assert_true(dray_json_rows_count(rows) == 3 && dray_json_rows_bad(rows) == 1);
  // A full batch that nobody finishes takes nothing more.
  assert_int_equal(dray_json_rows_feed(rows, data + 23, 5, 0, &used, &full, NULL), DRAY_OK);
  assert_true(used == 0 && full == 1);
  struct ArrowArray array;
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  dray_array_release(&array);
  assert_int_equal(dray_json_rows_feed(rows, data + 23, 5, 0, &used, &full, NULL), DRAY_OK);
  assert_true(used == 5 && full == 0);
  dray_json_rows_mark(rows, &bytes, &told); // the cut line is not told yet
  assert_true(bytes == 23 && told == 4);
  assert_int_equal(dray_json_rows_feed(rows, ":7}", 3, 0, &used, &full, NULL), DRAY_OK);
  assert_int_equal(dray_json_rows_feed(rows, NULL, 0, 1, &used, &full, NULL), DRAY_OK);
  dray_json_rows_mark(rows, &bytes, &told);
  assert_true(bytes == 31 && told == 4);
  dray_json_rows_free(rows);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static void expect_refused(const char *columns, const struct dray_json_rows_options *options, const char *words) {
  const struct harness harness = {.columns = columns, .options = *options};
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  assert_int_equal(harness_read(&harness, "", 0, &out, NULL, &error), DRAY_E_CONFIG_VALUE);
  if (strstr(error.text, words) == NULL) fail_msg("'%s' does not say '%s'", error.text, words);
  dray_buffer_free(&out);
}

static void test_rows_refuses_what_cannot_be_meant(void **state) {
  (void)state;
  const struct dray_json_rows_options none = {0};
  expect_refused("a..b:int64", &none, "'a..b'");
  expect_refused("a[x]:int64", &none, "'a[x]'");
  expect_refused("a[*].b:int64", &none, "[*]");
  const struct dray_json_rows_options bad_path = {.records_path = "items["};
  expect_refused("a:int64", &bad_path, "'items['");
  const struct dray_json_rows_options both = {.records_path = "items[*]", .lines = 1};
  expect_refused("a:int64", &both, "items[*]");
  const struct dray_json_rows_options deep = {.depth_max = 5000};
  expect_refused("a:int64", &deep, "depth_max");
  const struct dray_json_rows_options flat = {.depth_max = 1, .records_path = "a[*]"};
  expect_refused("a:int64", &flat, "depth");

  const struct dray_column_def column = {"id", {DRAY_TYPE_INT64, 0, 0}, 1};
  const struct dray_json_field outside = {"id", 1};
  const struct dray_json_field twice[] = {{"id", 0}, {"key", 0}};
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_json_rows *rows = NULL;
  assert_int_equal(dray_schema_make(&column, 1, &schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&schema, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dray_json_rows_new(&outside, 1, NULL, builder, &rows, NULL), DRAY_E_CONFIG_VALUE);
  assert_int_equal(dray_json_rows_new(twice, 2, NULL, builder, &rows, NULL), DRAY_E_CONFIG_VALUE);
  assert_null(rows);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static void test_rows_finds_each_of_many_members(void **state) {
  (void)state;
  // Names that share length, first, middle and last letter: they fall on the same slot.
  const struct harness harness = {.columns = "axbxc:int64 axbyc:int64 aybxc:int64 a0bzc:int64 :json"};
  harness_expect(&harness, "{\"a0bzc\": 4, \"azbzc\": 9, \"aybxc\": 3, \"axbyc\": 2, \"axbxc\": 1, \"axbx\": 8}",
                 "1|2|3|4|{\"a0bzc\":4,\"azbzc\":9,\"aybxc\":3,\"axbyc\":2,\"axbxc\":1,\"axbx\":8}\n");
}

// ---- failing allocations ----

struct attempt {
  struct harness harness;
  const char *data;
  size_t rows;
};

static int32_t attempt_read(void *ctx) {
  const struct attempt *attempt = ctx;
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_buffer out;
  dray_buffer_init(&out, 1 << 20);
  const int32_t rc = harness_read(&attempt->harness, attempt->data, strlen(attempt->data), &out, NULL, &error);
  size_t rows = 0;
  for (size_t i = 0; i < out.len; i++) rows += out.data[i] == '\n';
  if (rc == DRAY_OK) assert_int_equal(rows, attempt->rows);
  if (rc != DRAY_OK) assert_int_equal(rc, DRAY_E_OUT_OF_MEMORY);
  dray_buffer_free(&out);
  return rc;
}

static void test_rows_survives_every_failing_allocation(void **state) {
  (void)state;
  struct attempt attempts[] = {
      {{.columns = "id:int64 name:string sub:json !",
        .options = {.lines = 1, .name = "x"},
        .rows_max = 2,
        .piece_bytes = 9},
       "{\"id\": 1, \"name\": \"\\u00e9 text\", \"sub\": [{\"a\": [\"b\"]}]}\n{\"id\": 2}\nbad\n{\"id\": "
       "\"x\"}\n{\"id\": 3}\n",
       5},
      {{.columns = "id:int64 sub:json !", .options = {.records_path = "items[*]"}, .rows_max = 1, .piece_bytes = 5},
       "{\"items\": [{\"id\": 1, \"sub\": {\"k\": \"v\\n\"}}, {\"id\": \"x\"}, {\"sub\": \"text\"}]}",
       3},
  };
  for (size_t i = 0; i < 2; i++) assert_true(torture_every(attempt_read, &attempts[i]) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_reads_one_record_per_value),
      cmocka_unit_test(test_rows_reads_records_inside_a_document),
      cmocka_unit_test(test_rows_follows_paths),
      cmocka_unit_test(test_rows_tells_absent_from_null),
      cmocka_unit_test(test_rows_converts_exactly),
      cmocka_unit_test(test_rows_keeps_json_compact_with_order_digits_and_duplicates),
      cmocka_unit_test(test_rows_takes_a_container_and_what_is_in_it),
      cmocka_unit_test(test_rows_takes_scalars_as_records_when_asked_for),
      cmocka_unit_test(test_rows_reads_rows_that_are_arrays),
      cmocka_unit_test(test_rows_ignores_what_nobody_asked_for),
      cmocka_unit_test(test_rows_reports_bad_values_in_their_own_row),
      cmocka_unit_test(test_rows_reports_bad_values_inside_documents),
      cmocka_unit_test(test_rows_tells_which_record_a_value_spoils_wherever_its_key_stands),
      cmocka_unit_test(test_rows_keeps_every_value_that_fits_in_a_row_with_one_that_does_not),
      cmocka_unit_test(test_rows_refuses_duplicate_members_it_reads),
      cmocka_unit_test(test_rows_refuses_text_that_is_no_text),
      cmocka_unit_test(test_rows_refuses_records_that_no_path_leads_into),
      cmocka_unit_test(test_rows_a_bad_line_spoils_only_itself),
      cmocka_unit_test(test_rows_a_bad_line_without_an_error_column_fails),
      cmocka_unit_test(test_rows_a_syntax_error_ends_a_document),
      cmocka_unit_test(test_rows_a_record_that_only_the_end_completes_hides_no_error),
      cmocka_unit_test(test_rows_limits_depth),
      cmocka_unit_test(test_rows_limits_the_size_of_a_line),
      cmocka_unit_test(test_rows_limits_the_size_of_a_record_in_a_document),
      cmocka_unit_test(test_rows_counts_and_marks_where_to_resume),
      cmocka_unit_test(test_rows_refuses_what_cannot_be_meant),
      cmocka_unit_test(test_rows_finds_each_of_many_members),
      cmocka_unit_test(test_rows_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
