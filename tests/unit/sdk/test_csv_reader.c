// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The CSV reader: what comes out of files as they exist, at every cut of the input, and within its limits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/csv.h"
#include "torture.h"

// Feeds `len` bytes in pieces of `piece` and writes every record as "line@offset:field|'quoted field'\n" or "line@offset!code\n".
static int32_t read_all(const struct dray_csv_options *options, const char *data, size_t len, size_t piece,
                        struct dray_buffer *out, struct dray_error *error) {
  struct dray_csv_reader *reader = NULL;
  DRAY_TRY(dray_csv_reader_new(options, &reader, error));
  int32_t rc = DRAY_OK;
  size_t at = 0;
  int32_t had = 1;
  while (rc == DRAY_OK && (at < len || had)) {
    const size_t n = len - at < piece ? len - at : piece;
    struct dray_csv_record record;
    size_t used = 0;
    rc = dray_csv_reader_feed(reader, data + at, n, at + n == len, &used, &record, &had, error);
    if (rc != DRAY_OK) break;
    assert_true(used <= n);
    assert_true(used == n || had);
    at += used;
    if (!had) continue;
    rc = dray_buffer_printf(out, error, "%llu@%llu", (unsigned long long)record.line,
                            (unsigned long long)record.byte_offset);
    if (rc == DRAY_OK && record.code != 0) {
      assert_int_equal(record.field_count, 0);
      rc = dray_buffer_printf(out, error, "!%d", record.code);
    }
    for (size_t i = 0; rc == DRAY_OK && i < record.field_count; i++) {
      const struct dray_csv_field *field = &record.fields[i];
      rc = dray_buffer_append_str(out, i == 0 ? ":" : "|", error);
      if (rc == DRAY_OK && field->quoted) rc = dray_buffer_append_char(out, '\'', error);
      if (rc == DRAY_OK) rc = dray_buffer_append(out, field->text.data, field->text.len, error);
      if (rc == DRAY_OK && field->quoted) rc = dray_buffer_append_char(out, '\'', error);
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_char(out, '\n', error);
  }
  dray_csv_reader_free(reader);
  return rc;
}

// The same at every piece size: a cut in the input never shows.
static void expect_bytes(const struct dray_csv_options *options, const char *data, size_t len, const char *expected,
                         size_t expected_len) {
  for (size_t piece = 1; piece <= len + 1; piece++) {
    struct dray_error error = {.struct_size = sizeof(error)};
    struct dray_buffer out;
    dray_buffer_init(&out, 1 << 20);
    assert_int_equal(read_all(options, data, len, piece, &out, &error), DRAY_OK);
    assert_int_equal(out.len, expected_len);
    if (expected_len > 0) assert_memory_equal(out.data, expected, expected_len);
    dray_buffer_free(&out);
  }
}

static void expect(const char *data, const char *expected) {
  expect_bytes(NULL, data, strlen(data), expected, strlen(expected));
}

static void test_reader_splits_records_at_every_kind_of_line_end(void **state) {
  (void)state;
  expect("a,b\nc,d\n", "1@0:a|b\n2@4:c|d\n");
  expect("a,b\r\nc,d\r\n", "1@0:a|b\n2@5:c|d\n");
  expect("a,b\rc,d\r", "1@0:a|b\n2@4:c|d\n");
  expect("a,b\r\r\nc,d", "1@0:a|b\n3@6:c|d\n"); // text mode applied twice
  expect("a\n\n\r\nb", "1@0:a\n4@5:b\n");
}

static void test_reader_delivers_the_last_record_without_a_newline(void **state) {
  (void)state;
  expect("a,b", "1@0:a|b\n");
  expect("a,", "1@0:a|\n");
  expect("\"a\"", "1@0:'a'\n");
  expect("", "");
  expect("\n", "");
  expect("x\r", "1@0:x\n");
}

static void test_reader_tells_the_empty_string_from_nothing(void **state) {
  (void)state;
  expect(",\"\",\n", "1@0:|''|\n");
  expect("\"\"\n", "1@0:''\n");
  expect("a,,b\n", "1@0:a||b\n");
}

static void test_reader_keeps_newlines_in_quotes_and_counts_their_lines(void **state) {
  (void)state;
  expect("\"a\nb\",c\nd\n", "1@0:'a\nb'|c\n3@8:d\n");
  expect("\"a\r\nb\r\r\n\"\nd\n", "1@0:'a\r\nb\r\r\n'\n5@10:d\n");
}

static void test_reader_takes_quotes_in_the_middle_literally(void **state) {
  (void)state;
  expect("a\"b\"c,5\" disk\n", "1@0:a\"b\"c|5\" disk\n");
  expect(" \"a\",b\n", "1@0: \"a\"|b\n");
}

static void test_reader_undoubles_quotes(void **state) {
  (void)state;
  expect("\"a\"\"b\",\"\"\"\",\"\"\"x\"\"\"\n", "1@0:'a\"b'|'\"'|'\"x\"'\n");
}

static void test_reader_appends_text_after_a_closing_quote(void **state) {
  (void)state;
  expect("\"ab\"cd,e\n", "1@0:'abcd'|e\n");
  expect("\"ab\" \"c\",e\n", "1@0:'ab \"c\"'|e\n");
}

static void test_reader_drops_a_bom_at_the_start_only(void **state) {
  (void)state;
  expect("\xEF\xBB\xBF\"id\",a\nx,\xEF\xBB\xBFy\n", "1@3:'id'|a\n2@10:x|\xEF\xBB\xBFy\n");
  expect("\xEF\xBB\xBF", "");
  expect("\xEF\xBB", "1@0:\xEF\xBB\n");
  expect("\xEF\xBB,z\n", "1@0:\xEF\xBB|z\n");
  expect("\xEF\n", "1@0:\xEF\n");
}

static void test_reader_passes_nul_and_invalid_utf8_through(void **state) {
  (void)state;
  const char data[] = "a\0b,\"\0\"\n\xFF\xFE,\xC3\n";
  const char expected[] = "1@0:a\0b|'\0'\n2@8:\xFF\xFE|\xC3\n";
  expect_bytes(NULL, data, sizeof(data) - 1, expected, sizeof(expected) - 1);
}

static void test_reader_honours_other_delimiters_and_quotes(void **state) {
  (void)state;
  const struct dray_csv_options tabs = {.delimiter = '\t', .quote = '\''};
  const char data[] = "a,\"b\"\t'c\td'\n";
  const char expected[] = "1@0:a,\"b\"|'c\td'\n";
  expect_bytes(&tabs, data, sizeof(data) - 1, expected, sizeof(expected) - 1);
  // The same bytes in the high half, where a signed char is negative.
  const struct dray_csv_options high = {.delimiter = '\xA7'};
  expect_bytes(&high, "long enough\xA7to be scanned by words\n", 35, "1@0:long enough|to be scanned by words\n", 39);
}

static void test_reader_refuses_options_that_cannot_work(void **state) {
  (void)state;
  struct dray_csv_reader *reader = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  const struct dray_csv_options bad[] = {{.delimiter = '"'}, {.delimiter = '\n'}, {.quote = '\r'}, {.quote = ','}};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_int_equal(dray_csv_reader_new(&bad[i], &reader, &error), DRAY_E_CONFIG_VALUE);
    assert_null(reader);
  }
}

static void test_reader_reports_an_unclosed_quote(void **state) {
  (void)state;
  expect("a\n\"b,c\nd,e\n", "1@0:a\n2@2!400\n");
  expect("\"", "1@0!400\n");
}

static void test_reader_gives_up_on_a_large_field_and_goes_on_behind_it(void **state) {
  (void)state;
  const struct dray_csv_options small = {.field_bytes_max = 4};
  const char data[] = "abcd,x\nabcde,x\n\"a\"\"bc\",y\n\"ab\ncd\",z\nok\n";
  const char expected[] = "1@0:abcd|x\n2@7!406\n3@15:'a\"bc'|y\n4@25!406\n6@35:ok\n";
  expect_bytes(&small, data, sizeof(data) - 1, expected, sizeof(expected) - 1);
}

static void test_reader_limits_records_and_field_counts(void **state) {
  (void)state;
  const struct dray_csv_options small = {.record_bytes_max = 6, .fields_max = 3};
  const char data[] = "a,b,cd\na,b,cde\n,,\n,,,\n\"a\",\"b\"\nok\n";
  const char expected[] = "1@0:a|b|cd\n2@7!406\n3@15:||\n4@18!406\n5@22!406\n6@30:ok\n";
  expect_bytes(&small, data, sizeof(data) - 1, expected, sizeof(expected) - 1);
}

static void test_reader_survives_a_ten_megabyte_field_in_little_memory(void **state) {
  (void)state;
  enum { SIZE = 10 << 20 };
  char *data = malloc(SIZE + 16);
  assert_non_null(data);
  memcpy(data, "id,", 3);
  memset(data + 3, 'x', SIZE);
  memcpy(data + 3 + SIZE, "\nnext,1\n", 8);
  struct dray_buffer out;
  dray_buffer_init(&out, 1000);
  struct dray_error error = {.struct_size = sizeof(error)};
  assert_int_equal(read_all(NULL, data, SIZE + 11, 65536, &out, &error), DRAY_OK);
  assert_string_equal(out.data, "1@0!406\n2@10485764:next|1\n");
  dray_buffer_free(&out);
  free(data);
}

static void test_reader_finds_delimiters_at_every_place_of_a_word(void **state) {
  (void)state;
  // 0x2B and 0x2D differ from ',' in the low bits: the neighbours that a sloppy word scan takes for it.
  for (size_t lead = 0; lead < 20; lead++) {
    char data[64];
    char expected[64];
    memset(data, lead % 2 == 0 ? '+' : '-', lead);
    memcpy(data + lead, ",-+,\x80\xAC\n", 8);
    const int n = snprintf(expected, sizeof(expected), "1@0:%.*s|-+|\x80\xAC\n", (int)lead, data);
    expect_bytes(NULL, data, lead + 7, expected, (size_t)n);
  }
}

// ---- the short way against the long one ----

static uint32_t drawn;

static uint32_t draw(uint32_t below) {
  drawn = drawn * 1664525u + 1013904223u;
  return (drawn >> 8) % below;
}

// Hundreds of records, most of them without quotes; in some files none has any.
static void append_random_file(struct dray_buffer *out) {
  static const char plain[] = "abcdefgh+-.\x80\xAC\xFF\0 ";
  static const char *const odd[] = {"\"q\"", "\"a,b\"", "\"a\nb\"", "\"\"", "x\"y", "\"d\"\"e\"f", "\"\r\n\"", "\""};
  static const char *const ends[] = {"\n", "\n", "\n", "\r\n", "\r", "\n\n"};
  const uint32_t oddness = draw(4) == 0 ? 8 : draw(2) == 0 ? 200 : 0, columns = 1 + draw(9);
  const uint32_t end = draw(6), same_end = draw(2);
  for (uint32_t record = 0; record < 300; record++) {
    const uint32_t fields = draw(20) == 0 ? 1 + draw(12) : columns, longest = draw(30) == 0 ? 60 : 12;
    for (uint32_t field = 0; field < fields; field++) {
      if (field > 0) assert_int_equal(dray_buffer_append_char(out, ',', NULL), DRAY_OK);
      if (oddness > 0 && draw(oddness) == 0) {
        assert_int_equal(dray_buffer_append_str(out, odd[draw(record < 290 ? 7 : 8)], NULL), DRAY_OK);
        continue;
      }
      for (uint32_t len = draw(longest); len > 0; len--) {
        assert_int_equal(dray_buffer_append_char(out, plain[draw(sizeof plain - 1)], NULL), DRAY_OK);
      }
    }
    assert_int_equal(dray_buffer_append_str(out, ends[same_end ? end : draw(6)], NULL), DRAY_OK);
  }
  if (draw(2) == 0) out->len--; // perhaps the last record has no line end
}

// Fed byte by byte no record is whole, so that all of them go the long way.
static void test_reader_says_the_same_of_records_that_come_whole(void **state) {
  (void)state;
  static const struct dray_csv_options limits[] = {
      {0}, {.field_bytes_max = 9}, {.record_bytes_max = 40}, {.fields_max = 5}, {.fields_max = 16}};
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_buffer data, wanted, got;
  dray_buffer_init(&data, 1 << 20);
  dray_buffer_init(&wanted, 1 << 21);
  dray_buffer_init(&got, 1 << 21);
  for (uint32_t seed = 1; seed <= 120; seed++) {
    drawn = seed * 7919;
    const struct dray_csv_options *options = &limits[seed % (sizeof limits / sizeof limits[0])];
    dray_buffer_clear(&data);
    dray_buffer_clear(&wanted);
    append_random_file(&data);
    assert_int_equal(read_all(options, data.data, data.len, 1, &wanted, &error), DRAY_OK);
    const size_t pieces[] = {data.len, 7 + draw(60), 64 + draw(2000)};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
      dray_buffer_clear(&got);
      assert_int_equal(read_all(options, data.data, data.len, pieces[i], &got, &error), DRAY_OK);
      if (got.len != wanted.len || memcmp(got.data, wanted.data, got.len) != 0) {
        fail_msg("seed %u, pieces of %zu bytes: another reading", seed, pieces[i]);
      }
    }
  }
  dray_buffer_free(&data);
  dray_buffer_free(&wanted);
  dray_buffer_free(&got);
}

static int32_t attempt_read(void *ctx) {
  struct dray_buffer *out = ctx;
  struct dray_error error = {.struct_size = sizeof(error)};
  struct dray_buffer data;
  dray_buffer_init(&data, 1 << 20);
  int32_t rc = DRAY_OK;
  for (int i = 0; rc == DRAY_OK && i < 100; i++)
    rc = dray_buffer_append_str(&data, "\"field, quoted\",plain text,", &error);
  dray_buffer_clear(out);
  if (rc == DRAY_OK) rc = read_all(NULL, data.data, data.len, 100, out, &error);
  dray_buffer_free(&data);
  return rc;
}

static void test_reader_survives_every_failing_allocation(void **state) {
  (void)state;
  struct dray_buffer out;
  dray_buffer_init(&out, 1 << 20);
  assert_true(torture_every(attempt_read, &out) > 5);
  assert_int_equal(out.data[0], '1');
  dray_buffer_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reader_splits_records_at_every_kind_of_line_end),
      cmocka_unit_test(test_reader_delivers_the_last_record_without_a_newline),
      cmocka_unit_test(test_reader_tells_the_empty_string_from_nothing),
      cmocka_unit_test(test_reader_keeps_newlines_in_quotes_and_counts_their_lines),
      cmocka_unit_test(test_reader_takes_quotes_in_the_middle_literally),
      cmocka_unit_test(test_reader_undoubles_quotes),
      cmocka_unit_test(test_reader_appends_text_after_a_closing_quote),
      cmocka_unit_test(test_reader_drops_a_bom_at_the_start_only),
      cmocka_unit_test(test_reader_passes_nul_and_invalid_utf8_through),
      cmocka_unit_test(test_reader_honours_other_delimiters_and_quotes),
      cmocka_unit_test(test_reader_refuses_options_that_cannot_work),
      cmocka_unit_test(test_reader_reports_an_unclosed_quote),
      cmocka_unit_test(test_reader_gives_up_on_a_large_field_and_goes_on_behind_it),
      cmocka_unit_test(test_reader_limits_records_and_field_counts),
      cmocka_unit_test(test_reader_survives_a_ten_megabyte_field_in_little_memory),
      cmocka_unit_test(test_reader_finds_delimiters_at_every_place_of_a_word),
      cmocka_unit_test(test_reader_says_the_same_of_records_that_come_whole),
      cmocka_unit_test(test_reader_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
