// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The CSV writer: what it puts in quotes, and that the reader gives back what was written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/csv.h"
#include "torture.h"

static void expect_field(const struct dray_csv_options *options, const char *text, int32_t quote_empty,
                         const char *expected) {
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  assert_int_equal(dray_buffer_append_str(&out, "x", NULL), DRAY_OK);
  assert_int_equal(dray_csv_write_field(&out, options, dray_str_of(text), quote_empty, NULL), DRAY_OK);
  assert_string_equal(out.data + 1, expected);
  assert_int_equal(out.len, strlen(expected) + 1);
  dray_buffer_free(&out);
}

static void test_writer_quotes_only_what_must_be(void **state) {
  (void)state;
  expect_field(NULL, "plain text", 0, "plain text");
  expect_field(NULL, "", 0, "");
  expect_field(NULL, "", 1, "\"\"");
  expect_field(NULL, "a,b", 0, "\"a,b\"");
  expect_field(NULL, "a\nb", 0, "\"a\nb\"");
  expect_field(NULL, "a\rb", 0, "\"a\rb\"");
  expect_field(NULL, "5\" disk", 0, "\"5\"\" disk\"");
  expect_field(NULL, "\"", 0, "\"\"\"\"");
  expect_field(NULL, " a", 0, "\" a\"");
  expect_field(NULL, "a\t", 0, "\"a\t\"");
  expect_field(NULL, "\xEF\xBB\xBFid", 0, "\"\xEF\xBB\xBFid\"");
  const struct dray_csv_options semicolon = {.delimiter = ';', .quote = '\''};
  expect_field(&semicolon, "a,\"b", 0, "a,\"b");
  expect_field(&semicolon, "a;'b", 0, "'a;''b'");
}

static void test_writer_leaves_the_buffer_alone_when_it_is_full(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 6);
  struct dray_error error = {.struct_size = sizeof(error)};
  assert_int_equal(dray_csv_write_field(&out, NULL, dray_str_of("abc"), 0, &error), DRAY_OK);
  assert_int_equal(dray_csv_write_field(&out, NULL, dray_str_of("d\"e"), 0, &error), DRAY_E_LIMIT);
  assert_string_equal(out.data, "abc");
  assert_int_equal(out.len, 3);
  dray_buffer_free(&out);
}

static uint64_t random_state = 20240229;

static uint32_t random_below(uint32_t n) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((random_state >> 33) % n);
}

enum { RECORDS = 400, FIELDS_MAX = 6, FIELD_MAX = 12 };

static size_t make_field(char *out) {
  static const char nasty[] = {',', '"', '\n', '\r', ' ', '\t', '\0', 'a', 'b', '\'', ';', '\xEF', '\xBB', '\xBF'};
  const size_t len = random_below(FIELD_MAX);
  for (size_t i = 0; i < len; i++) out[i] = nasty[random_below(sizeof(nasty))];
  return len;
}

static void test_reader_gives_back_every_field_that_was_written(void **state) {
  (void)state;
  static char fields[RECORDS][FIELDS_MAX][FIELD_MAX];
  static size_t lens[RECORDS][FIELDS_MAX];
  static size_t counts[RECORDS];
  struct dray_buffer out;
  dray_buffer_init(&out, 1 << 20);
  for (size_t r = 0; r < RECORDS; r++) {
    counts[r] = 1 + random_below(FIELDS_MAX);
    for (size_t f = 0; f < counts[r]; f++) {
      lens[r][f] = make_field(fields[r][f]);
      if (f > 0) assert_int_equal(dray_buffer_append_char(&out, ',', NULL), DRAY_OK);
      assert_int_equal(dray_csv_write_field(&out, NULL, dray_str_make(fields[r][f], lens[r][f]), 1, NULL), DRAY_OK);
    }
    assert_int_equal(dray_buffer_append_str(&out, r % 2 == 0 ? "\n" : "\r\n", NULL), DRAY_OK);
  }
  struct dray_csv_reader *reader = NULL;
  assert_int_equal(dray_csv_reader_new(NULL, &reader, NULL), DRAY_OK);
  size_t at = 0;
  for (size_t r = 0; r < RECORDS; r++) {
    struct dray_csv_record record;
    int32_t had = 0;
    while (!had) { // pieces of every size
      size_t used = 0;
      const size_t piece = 1 + random_below(40);
      const size_t n = out.len - at < piece ? out.len - at : piece;
      assert_int_equal(dray_csv_reader_feed(reader, out.data + at, n, at + n == out.len, &used, &record, &had, NULL),
                       DRAY_OK);
      at += used;
    }
    assert_int_equal(record.code, 0);
    assert_int_equal(record.field_count, counts[r]);
    for (size_t f = 0; f < counts[r]; f++) {
      assert_int_equal(record.fields[f].text.len, lens[r][f]);
      assert_memory_equal(record.fields[f].text.data, fields[r][f], lens[r][f]);
    }
  }
  assert_true(out.len - at <= 1); // the LF of the last CRLF
  dray_csv_reader_free(reader);
  dray_buffer_free(&out);
}

static int32_t attempt_write(void *ctx) {
  (void)ctx;
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_error error = {.struct_size = sizeof(error)};
  int32_t rc = dray_csv_write_field(&out, NULL, dray_str_of("plain"), 0, &error);
  for (int i = 0; rc == DRAY_OK && i < 20; i++)
    rc = dray_csv_write_field(&out, NULL, dray_str_of("say \"no\""), 0, &error);
  dray_buffer_free(&out);
  return rc;
}

static void test_writer_survives_every_failing_allocation(void **state) {
  (void)state;
  assert_true(torture_every(attempt_write, NULL) > 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_writer_quotes_only_what_must_be),
      cmocka_unit_test(test_writer_leaves_the_buffer_alone_when_it_is_full),
      cmocka_unit_test(test_reader_gives_back_every_field_that_was_written),
      cmocka_unit_test(test_writer_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
