// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a user gets from files: names, types, values, and a reason for every record that cannot be read.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "torture.h"

static void expect_rows(struct bench *bench, const char *path, const char *more, const char *stream,
                        const char *expected) {
  struct dray_source *source = bench_source(bench, path, more);
  char *rows = bench_rows(source, stream, DRAY_READ_FULL, "", 1000, NULL);
  assert_string_equal(rows, expected);
  free(rows);
  file_source_vtable.destroy(source);
}

static void test_csv_is_read_with_inferred_types(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "orders.csv",
              "id,code,amount,paid,on,at,note\n"
              "1,00123,2.55,true,2024-02-29,2010-12-01 08:26:00,\"two\nlines, and a \"\"quote\"\"\"\n"
              "2,85123A,-3,false,2024-03-01,2011-01-01T10:00:00+02:00,\n");
  expect_rows(bench, "orders.csv", "", "orders",
              "id:int64 code:string amount:decimal(38,4) paid:bool on:date at:timestamp note:string\n"
              "1 00123 2.5500 true 2024-02-29 2010-12-01T08:26:00Z two\nlines, and a \"quote\"\n"
              "2 85123A -3.0000 false 2024-03-01 2011-01-01T08:00:00Z ~\n");
}

static void test_null_and_the_empty_text_are_two_things(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "x,y\n,\"\"\n\"\",\nNULL,b\n");
  expect_rows(bench, "a.csv", "", "a", "x:string y:string\n~ \n ~\nNULL b\n");
  expect_rows(bench, "a.csv", "\"null_values\": [\"NULL\"]", "a", "x:string y:string\n \n \n~ b\n");
}

static void test_declared_types_win(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "id,amount,doc\n1,2.5,\"{\"\"b\"\": [1, 2]}\"\n");
  expect_rows(bench, "a.csv", "\"types\": {\"id\": \"string\", \"amount\": \"decimal(5,2)\", \"doc\": \"json\"}", "a",
              "id:string amount:decimal(5,2) doc:json\n1 2.50 {\"b\":[1,2]}\n");
  expect_rows(bench, "a.csv", "\"infer\": false, \"types\": {\"id\": \"int64\"}", "a",
              "id:int64 amount:string doc:string\n1 2.5 {\"b\": [1, 2]}\n");
}

static void test_a_bad_record_is_a_row_with_its_reason(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv",
              "id,day,amount\n1,2024-01-01,1.5\n2,2024-01-02\n3,2024-02-30,1\n4,2024-01-04,x,y\n"
              "99999999999999999999,2024-01-05,1\n12A,2024-01-06,1\n7,2024-01-07,1.123456\n8,2024-01-08,2\n");
  expect_rows(
      bench, "a.csv", "\"types\": {\"id\": \"int64\", \"day\": \"date\", \"amount\": \"decimal(10,2)\"}", "a",
      "id:int64 day:date amount:decimal(10,2)\n"
      "1 2024-01-01 1.50\n"
      "! data_shape: a.csv line 3: 2 fields, header has 3\n"
      "! data_date: a.csv line 4: column day: '2024-02-30' is not a date: expected YYYY-MM-DD\n"
      "! data_shape: a.csv line 5: 4 fields, header has 3\n"
      "! data_overflow: a.csv line 6: column id: 99999999999999999999 does not fit int64\n"
      "! data_type: a.csv line 7: column id: '12A' is not an integer\n"
      "! data_precision: a.csv line 8: column amount: 1.123456 has more digits after the point than decimal(10,2)\n"
      "8 2024-01-08 2.00\n");
}

static void test_a_number_column_that_turns_into_text_loses_no_row(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "id\n1\n2\n3\n12A\n5\n");
  expect_rows(bench, "a.csv", "\"sample_records\": 3", "a",
              "id:int64\n1\n2\n3\n! data_type: a.csv line 5: column id: '12A' is not an integer\n5\n");
}

static void test_bytes_that_are_not_text_are_told(void **state) {
  struct bench *bench = *state;
  static const char bytes[] = "id,name\n1,ok\n2,b\xE4r\n3,nu\0l\n4,ok\n";
  bench_write_bytes(bench, "a.csv", bytes, sizeof(bytes) - 1);
  struct dray_source *source = bench_source(bench, "a.csv", "");
  char *rows = bench_rows(source, "a", DRAY_READ_FULL, "", 1000, NULL);
  assert_non_null(strstr(rows, "1 ok\n! data_utf8: a.csv line 3: column name: "));
  assert_non_null(strstr(rows, "! data_utf8: a.csv line 4: column name: "));
  assert_non_null(strstr(rows, "\n4 ok\n"));
  assert_true(dray_utf8_valid(rows, strlen(rows)));
  free(rows);
  file_source_vtable.destroy(source);
}

static void test_a_huge_field_spoils_its_record_only(void **state) {
  struct bench *bench = *state;
  const size_t len = 10u << 20;
  char *text = malloc(len + 64);
  assert_non_null(text);
  int at = snprintf(text, 64, "id,name\n1,a\n2,");
  memset(text + at, 'x', len);
  (void)snprintf(text + (size_t)at + len, 40, "\n3,c\n");
  bench_write(bench, "a.csv", text);
  free(text);
  expect_rows(bench, "a.csv", "", "a",
              "id:int64 name:string\n1 a\n! data_too_large: a.csv line 3: the record or a field of it is larger than "
              "max_field_bytes (1048576) allows\n3 c\n");
}

static void test_a_quote_that_is_never_closed_is_told(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "id,name\n1,a\n2,\"b\n3,c\n");
  expect_rows(bench, "a.csv", "", "a",
              "id:int64 name:string\n1 a\n! data_shape: a.csv line 3: a quote is opened and never closed\n");
}

static void test_on_error_fail_ends_the_stream(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "id,name\n1,a\n2\n");
  struct dray_source *source = bench_source(bench, "a.csv", "\"on_error\": \"fail\"");
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  struct dray_error error;
  struct ArrowArray array = {0};
  struct dray_str after;
  dray_error_init(&error);
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("a"),
                                            .batch_rows_max = 10,
                                            .batch_bytes_max = 1u << 20};
  assert_int_equal(file_source_vtable.open(source, &request, &stream, &error), DRAY_OK);
  assert_int_equal(stream.next(&stream, &array, &error), DRAY_E_DATA_SHAPE);
  assert_string_equal(error.text, "a.csv line 3: 1 field, header has 2");
  assert_int_equal(stream.state(&stream, &after, &error), DRAY_OK);
  assert_int_equal(after.len, 0); // row 1 was read and never returned: no place to resume from
  stream.close(&stream);
  file_source_vtable.destroy(source);
}

static void test_header_problems_are_config_errors(void **state) {
  struct bench *bench = *state;
  struct dray_error error;
  static const struct {
    const char *text, *more, *says;
    int32_t code;
  } cases[] = {
      {"id,id\n1,2\n", "", "two columns are named id", DRAY_E_SCHEMA_NAME},
      {"id,\n1,2\n", "", "column 2 of the header has no name", DRAY_E_SCHEMA_NAME},
      {"id,_dray_error\n1,2\n", "", "_dray_error is dray's own", DRAY_E_SCHEMA_NAME},
      {"id,na\xE4me\n1,2\n", "", "the name of column 2", DRAY_E_SCHEMA_NAME},
      {"id,name\n1,2\n", "\"types\": {\"nmae\": \"string\"}", "did you mean \"name\"?", DRAY_E_SCHEMA_COLUMN},
      {"id,name\n1,2\n", "\"columns\": [\"a\"]", "columns names 1 columns, but", DRAY_E_CONFIG_VALUE},
      {"id,name\n1,2\n", "\"line_column\": \"name\"", "have a column of that name", DRAY_E_CONFIG_VALUE},
      {"", "", "its columns are not known", DRAY_E_CONFIG_FILE},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bench_write(bench, "a.csv", cases[i].text);
    struct dray_source *source = bench_source(bench, "a.csv", cases[i].more);
    assert_int_equal(bench_open_fails(source, "a", "", &error), cases[i].code);
    assert_int_equal(error.error_class, DRAY_CLASS_CONFIG);
    if (strstr(error.text, cases[i].says) == NULL) fail_msg("case %zu: %s", i, error.text);
    file_source_vtable.destroy(source);
  }
}

static void test_files_without_a_header_get_names(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "1,x\n2,y\n");
  expect_rows(bench, "a.csv", "\"header\": false", "a", "column_1:int64 column_2:string\n1 x\n2 y\n");
  expect_rows(bench, "a.csv", "\"header\": false, \"columns\": [\"id\", \"name\"]", "a",
              "id:int64 name:string\n1 x\n2 y\n");
  expect_rows(bench, "a.csv", "\"columns\": [\"id\", \"name\"]", "a", "id:int64 name:string\n2 y\n");
}

static void test_a_headerless_file_may_begin_with_a_bad_record(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "1\n2,y\n");
  expect_rows(bench, "a.csv", "\"header\": false, \"columns\": [\"id\", \"name\"]", "a",
              "id:int64 name:string\n! data_shape: a.csv line 1: 1 field, expected 2\n2 y\n");
}

static void test_other_spellings_of_csv(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.tsv", "id\tname\n1\ta,b\n");
  expect_rows(bench, "a.tsv", "", "a", "id:int64 name:string\n1 a,b\n");
  bench_write(bench, "b.csv", "\xEF\xBB\xBFid;name\r\n1;'a;b'\r\n\r\n2;c\r\n");
  expect_rows(bench, "b.csv", "\"delimiter\": \";\", \"quote\": \"'\"", "b", "id:int64 name:string\n1 a;b\n2 c\n");
}

static void test_gzip_is_recognised_by_its_bytes(void **state) {
  struct bench *bench = *state;
  bench_gzip(bench, "a.csv.gz", "id,name\n1,a\n");
  bench_gzip(bench, "a.csv.gz", "2,b\n");
  expect_rows(bench, "a.csv.gz", "", "a", "id:int64 name:string\n1 a\n2 b\n");
}

static void test_damaged_gzip_is_an_error_not_an_end(void **state) {
  struct bench *bench = *state;
  struct dray_error error;
  bench_gzip(bench, "a.csv.gz", "id,name\n1,a\n");
  char *packed = bench_read(bench, "a.csv.gz");
  bench_write_bytes(bench, "a.csv.gz", packed, 20);
  free(packed);
  struct dray_source *source = bench_source(bench, "a.csv.gz", "");
  assert_int_equal(bench_open_fails(source, "a", "", &error), DRAY_E_DATA_ENCODING);
  file_source_vtable.destroy(source);
}

static void test_a_pattern_is_one_stream_of_all_its_files(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "orders-2.csv", "name,id,city\nb,2,Oslo\n");
  bench_write(bench, "orders-1.csv", "id,name\n1,a\n");
  bench_write(bench, "orders-3.csv", "");
  bench_write(bench, "orders-4.csv", "id,name\n4,d\n");
  expect_rows(bench, "orders-*.csv", "", "orders", "id:int64 name:string city:string\n1 a -\n2 b Oslo\n4 d -\n");
  expect_rows(bench, "orders-*.csv", "\"stream\": \"o\"", "o",
              "id:int64 name:string city:string\n1 a -\n2 b Oslo\n4 d -\n");
}

static void test_a_column_that_only_a_late_file_has_is_typed_from_it(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "o-1.csv", "id\n1\n2\n3\n");
  bench_write(bench, "o-2.csv", "id,amount\n4,1.5\n");
  expect_rows(bench, "o-*.csv", "\"sample_records\": 2", "o",
              "id:int64 amount:decimal(38,4)\n1 -\n2 -\n3 -\n4 1.5000\n");
}

static void test_a_folder_is_a_stream_per_file(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "b.jsonl", "{\"id\": 1}\n");
  bench_write(bench, "a.csv", "id\n1\n");
  bench_write(bench, "notes.md", "nothing to see");
  bench_write(bench, ".hidden.csv", "id\n1\n");
  struct dray_source *source = bench_source(bench, "", "");
  struct dray_error error;
  struct dray_str catalogue, again;
  dray_error_init(&error);
  assert_int_equal(file_source_vtable.discover(source, &catalogue, &error), DRAY_OK);
  char *first = dray_str_dup(catalogue);
  assert_non_null(strstr(
      first, "{\"streams\":[{\"name\":\"a\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\",\"nullable\":true}],"
             "\"primary_key\":[],\"cursor\":null,\"modes\":[\"full\",\"incremental\"],\"description\":\"CSV, "));
  assert_non_null(strstr(first, "{\"name\":\"b\","));
  assert_null(strstr(first, "notes"));
  assert_null(strstr(first, "hidden"));
  assert_int_equal(file_source_vtable.discover(source, &again, &error), DRAY_OK);
  assert_true(dray_str_is(again, first));
  free(first);
  assert_int_equal(bench_open_fails(source, "aa", "", &error), DRAY_E_SCHEMA_STREAM);
  assert_non_null(strstr(error.text, "did you mean \"a\"?"));
  file_source_vtable.destroy(source);
}

static void test_no_file_is_an_error_and_not_an_empty_stream(void **state) {
  struct bench *bench = *state;
  struct dray_error error;
  static const char *const paths[] = {"x.csv", "x-*.csv", "nowhere/*.csv"};
  for (size_t i = 0; i < 3; i++) {
    struct dray_source *source = bench_source(bench, paths[i], "");
    assert_int_equal(bench_open_fails(source, "x", "", &error), DRAY_E_CONFIG_FILE);
    assert_string_equal(error.field, "path");
    file_source_vtable.destroy(source);
  }
}

static void test_json_lines_are_read_with_inferred_types(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.jsonl",
              "{\"id\": 1, \"name\": \"Ann\", \"at\": \"2024-01-01T10:00:00Z\", \"tags\": [1, \"x\"]}\n"
              "\n"
              "{\"id\": 2, \"a.b\": 1.5, \"name\": null, \"ok\": true}\n"
              "{\"id\": \"x\"}\n"
              "{broken\n"
              "{\"id\": 5, \"tags\": {\"a\": 1}}");
  struct dray_source *source = bench_source(bench, "a.jsonl", "\"types\": {\"id\": \"int64\"}");
  char *rows = bench_rows(source, "a", DRAY_READ_FULL, "", 1000, NULL);
  assert_non_null(strstr(rows, "id:int64 name:string at:timestamp tags:json a.b:decimal(38,4) ok:bool\n"
                               "1 Ann 2024-01-01T10:00:00Z [1,\"x\"] - -\n"
                               "2 ~ - - 1.5000 true\n"
                               "! data_type: column 'id': a.jsonl line 4"));
  assert_non_null(strstr(rows, "\n! data_json: a.jsonl line 5"));
  assert_non_null(strstr(rows, "\n5 - - {\"a\":1} - -\n"));
  free(rows);
  file_source_vtable.destroy(source);
}

static void test_a_declared_member_may_come_after_the_sample(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.jsonl", "{\"id\": 1}\n{\"id\": 2, \"late\": 2.5}\n");
  expect_rows(bench, "a.jsonl", "\"sample_records\": 1, \"types\": {\"late\": \"float64\"}", "a",
              "id:int64 late:float64\n1 -\n2 2.5\n");
}

static void test_columns_can_be_chosen(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "a.csv", "id,name,n\n1,a,x\n2,b,3\n");
  struct dray_source *source = bench_source(bench, "a.csv", "\"types\": {\"n\": \"int64\"}");
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  struct dray_error error;
  struct ArrowSchema schema;
  struct ArrowArray array = {0};
  const struct dray_str columns[] = {dray_str_of("name")};
  struct dray_read_request request = {.struct_size = sizeof(request),
                                      .mode = DRAY_READ_FULL,
                                      .stream = dray_str_of("a"),
                                      .columns = columns,
                                      .column_count = 1,
                                      .batch_rows_max = 10,
                                      .batch_bytes_max = 1u << 20};
  dray_error_init(&error);
  assert_int_equal(file_source_vtable.open(source, &request, &stream, &error), DRAY_OK);
  assert_int_equal(stream.schema(&stream, &schema, &error), DRAY_OK);
  assert_string_equal(schema.children[0]->name, "name");
  assert_int_equal(schema.n_children, 2); // and _dray_error
  assert_int_equal(stream.next(&stream, &array, &error), DRAY_OK);
  assert_int_equal(array.length, 2);
  assert_int_equal(array.children[1]->null_count, 2); // n is not wanted, so that it is bad harms nobody
  array.release(&array);
  schema.release(&schema);
  stream.close(&stream);
  const struct dray_str unknown[] = {dray_str_of("nam")};
  request.columns = unknown;
  assert_int_equal(file_source_vtable.open(source, &request, &stream, &error), DRAY_E_SCHEMA_COLUMN);
  assert_non_null(strstr(error.text, "did you mean \"name\"?"));
  file_source_vtable.destroy(source);
}

static void test_added_columns_tell_where_a_row_is_from(void **state) {
  struct bench *bench = *state;
  char expected[512];
  bench_write(bench, "o-1.csv", "id\n1\n\"2\n\"\n3\n");
  bench_write(bench, "o-2.csv", "id\n4\n");
  struct dray_source *source =
      bench_source(bench, "o-*.csv", "\"file_column\": \"file\", \"line_column\": \"line\", \"infer\": false");
  char *rows = bench_rows(source, "o", DRAY_READ_FULL, "", 2, NULL);
  (void)snprintf(expected, sizeof(expected),
                 "id:string file:string line:int64\n1 %s/o-1.csv 2\n2\n %s/o-1.csv 3\n3 %s/o-1.csv 5\n4 %s/o-2.csv 2\n",
                 bench->folder, bench->folder, bench->folder, bench->folder);
  assert_string_equal(rows, expected);
  free(rows);
  file_source_vtable.destroy(source);
}

static void test_wrong_settings_name_the_field(void **state) {
  struct bench *bench = *state;
  static const struct {
    const char *more, *field;
    int32_t code;
  } cases[] = {
      {"\"delimiter\": \"ab\"", "delimiter", DRAY_E_CONFIG_VALUE},
      {"\"delimiter\": \"\\\"\"", "delimiter", DRAY_E_CONFIG_VALUE},
      {"\"format\": \"xml\"", "format", DRAY_E_CONFIG_VALUE},
      {"\"types\": {\"a\": \"integer\"}", "types", DRAY_E_CONFIG_VALUE},
      {"\"types\": {\"a\": 1}", "types", DRAY_E_CONFIG_TYPE},
      {"\"columns\": [1]", "columns", DRAY_E_CONFIG_TYPE},
      {"\"header\": \"yes\"", "header", DRAY_E_CONFIG_TYPE},
      {"\"file_column\": \"_dray_row\"", "file_column", DRAY_E_CONFIG_VALUE},
      {"\"encodng\": \"x\"", "encodng", DRAY_E_CONFIG_UNKNOWN_KEY},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_source *source = NULL;
    struct dray_error error;
    dray_error_init(&error);
    const int32_t rc =
        file_source_vtable.create(&bench->host, bench_settings(bench, "a.csv", cases[i].more), &source, &error);
    if (rc != cases[i].code) fail_msg("case %zu: %d %s", i, rc, error.text);
    assert_string_equal(error.field, cases[i].field);
    assert_null(source);
  }
}

static void test_check_says_what_is_read_and_what_is_wrong(void **state) {
  struct bench *bench = *state;
  struct dray_error error;
  struct dray_str steps;
  dray_error_init(&error);
  bench_write(bench, "a.csv", "id,name\n1,a\n");
  struct dray_source *source = bench_source(bench, "a.csv", "");
  assert_int_equal(file_source_vtable.check(source, &steps, &error), DRAY_OK);
  assert_true(dray_str_is(
      steps, "[{\"name\":\"path\",\"ok\":true,\"text\":\"1 file in 1 stream\"},{\"name\":\"read\",\"ok\":true,"
             "\"text\":\"stream a: 2 columns: id int64, name string\"}]"));
  file_source_vtable.destroy(source);
  source = bench_source(bench, "b.csv", "");
  assert_int_equal(file_source_vtable.check(source, &steps, &error), DRAY_OK);
  char *text = dray_str_dup(steps);
  assert_non_null(strstr(text, "\"ok\":false"));
  assert_non_null(strstr(text, "\"fix\":"));
  free(text);
  file_source_vtable.destroy(source);
}

static void test_cancel_ends_a_read(void **state) {
  struct bench *bench = *state;
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  struct dray_error error;
  struct ArrowArray array = {0};
  bench_write(bench, "a.csv", "id\n1\n");
  struct dray_source *source = bench_source(bench, "a.csv", "");
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("a"),
                                            .batch_rows_max = 10,
                                            .batch_bytes_max = 1u << 20};
  dray_error_init(&error);
  assert_int_equal(file_source_vtable.open(source, &request, &stream, &error), DRAY_OK);
  bench->cancelled = 1;
  assert_int_equal(stream.next(&stream, &array, &error), DRAY_E_CANCELLED);
  stream.close(&stream);
  file_source_vtable.destroy(source);
}

struct everything {
  struct bench *bench;
  const char *path, *more, *stream;
};

static int32_t read_everything(void *ctx) {
  const struct everything *what = ctx;
  struct bench *bench = what->bench;
  struct dray_source *source = NULL;
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  struct dray_error error;
  struct dray_str text;
  struct ArrowSchema schema = {0};
  struct ArrowArray array = {0};
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_INCREMENTAL,
                                            .stream = dray_str_of(what->stream),
                                            .batch_rows_max = 2,
                                            .batch_bytes_max = 1u << 20};
  dray_error_init(&error);
  int32_t rc = file_source_vtable.create(&bench->host, bench_settings(bench, what->path, what->more), &source, &error);
  if (rc == DRAY_OK) rc = file_source_vtable.discover(source, &text, &error);
  if (rc == DRAY_OK) rc = file_source_vtable.check(source, &text, &error);
  if (rc == DRAY_OK) rc = file_source_vtable.open(source, &request, &stream, &error);
  if (rc == DRAY_OK) {
    rc = stream.schema(&stream, &schema, &error);
    do {
      if (rc == DRAY_OK) rc = stream.next(&stream, &array, &error);
      if (array.release == NULL) break;
      array.release(&array);
    } while (rc == DRAY_OK);
    if (rc == DRAY_OK) rc = stream.state(&stream, &text, &error);
    dray_schema_release(&schema);
    stream.close(&stream);
  }
  file_source_vtable.destroy(source);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  struct bench *bench = *state;
  struct dray_str spec;
  bench_write(bench, "o-1.csv", "id,name\n1,a\n2,b\nx,c\n");
  bench_write(bench, "o-2.csv", "id,city\n3,d\n");
  assert_int_equal(file_source_vtable.spec(&spec, NULL), DRAY_OK);
  struct everything csv = {bench, "o-*.csv", "\"types\": {\"id\": \"int64\"}, \"line_column\": \"line\"", "o"};
  assert_true(torture_every(read_everything, &csv) > 50);
  bench_write(bench, "l.jsonl", "{\"id\": 1, \"t\": [1]}\n{bad\n{\"id\": 3}\n{\"id\": \"x\"}");
  struct everything lines = {bench, "l.jsonl", "\"types\": {\"id\": \"int64\"}", "l"};
  assert_true(torture_every(read_everything, &lines) > 50);
}

// The real thing, where it is there: 541,909 lines.
static void test_online_retail_is_read_whole(void **state) {
  struct bench *bench = *state;
  const char *shared = getenv("DRAY_SHARED");
  char path[1024];
  const char *name = "data/online-retail/online_retail.csv.xz";
  if (shared != NULL) {
    (void)snprintf(path, sizeof(path), "%s/%s", shared, name);
  } else { // beside the project
    const int folder = (int)(strrchr(__FILE__, '/') - __FILE__);
    (void)snprintf(path, sizeof(path), "%.*s/../../../../shared/%s", folder, __FILE__, name);
  }
  if (access(path, R_OK) != 0) {
    if (getenv("CI") != NULL && strcmp(getenv("CI"), "true") == 0) fail_msg("%s is not there", path);
    print_message("skipped: %s is not there\n", path);
    skip();
  }
  bench_unpack_xz(bench, path, "retail.csv");
  struct dray_source *source = bench_source(bench, "retail.csv", "");
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  struct dray_error error;
  struct ArrowSchema schema = {0};
  uint64_t rows = 0, unreadable = 0;
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("retail"),
                                            .batch_rows_max = 16384,
                                            .batch_bytes_max = 1u << 20};
  dray_error_init(&error);
  assert_int_equal(file_source_vtable.open(source, &request, &stream, &error), DRAY_OK);
  assert_int_equal(stream.schema(&stream, &schema, &error), DRAY_OK);
  static const char *const formats[] = {"u", "u", "u", "l", "tsu:UTC", "d:38,4", "l", "u"};
  for (size_t i = 0; i < 8; i++) assert_string_equal(schema.children[i]->format, formats[i]);
  for (;;) {
    struct ArrowArray array = {0};
    assert_int_equal(stream.next(&stream, &array, &error), DRAY_OK);
    if (array.release == NULL) break;
    rows += (uint64_t)array.length;
    unreadable += (uint64_t)(array.length - array.children[8]->null_count);
    array.release(&array);
  }
  assert_int_equal(rows, 541909);
  assert_int_equal(unreadable, 0);
  schema.release(&schema);
  stream.close(&stream);
  file_source_vtable.destroy(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_csv_is_read_with_inferred_types),
      TEST(test_null_and_the_empty_text_are_two_things),
      TEST(test_declared_types_win),
      TEST(test_a_bad_record_is_a_row_with_its_reason),
      TEST(test_a_number_column_that_turns_into_text_loses_no_row),
      TEST(test_bytes_that_are_not_text_are_told),
      TEST(test_a_huge_field_spoils_its_record_only),
      TEST(test_a_quote_that_is_never_closed_is_told),
      TEST(test_on_error_fail_ends_the_stream),
      TEST(test_header_problems_are_config_errors),
      TEST(test_files_without_a_header_get_names),
      TEST(test_a_headerless_file_may_begin_with_a_bad_record),
      TEST(test_other_spellings_of_csv),
      TEST(test_gzip_is_recognised_by_its_bytes),
      TEST(test_damaged_gzip_is_an_error_not_an_end),
      TEST(test_a_pattern_is_one_stream_of_all_its_files),
      TEST(test_a_column_that_only_a_late_file_has_is_typed_from_it),
      TEST(test_a_folder_is_a_stream_per_file),
      TEST(test_no_file_is_an_error_and_not_an_empty_stream),
      TEST(test_json_lines_are_read_with_inferred_types),
      TEST(test_a_declared_member_may_come_after_the_sample),
      TEST(test_columns_can_be_chosen),
      TEST(test_added_columns_tell_where_a_row_is_from),
      TEST(test_wrong_settings_name_the_field),
      TEST(test_check_says_what_is_read_and_what_is_wrong),
      TEST(test_cancel_ends_a_read),
      TEST(test_every_failing_allocation_is_survived),
      TEST(test_online_retail_is_read_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
