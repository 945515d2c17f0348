// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How texts are read: which spellings are one value, what is guessed from a sample, and columns that are rewritten.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compare/reading.h"
#include "torture.h"

static const struct dr_reading number = {DR_READING_NUMBER, {0, 0, 0}};
static const struct dr_reading boolean = {DR_READING_BOOL, {0, 0, 0}};
static const struct dr_reading moment = {DR_READING_TIMESTAMP, {0, 0, 0}};

// The canonical text; reads into static memory.
static const char *read_as(const struct dr_reading *reading, const char *text, int *out_reads) {
  static char canonical[512];
  struct dray_buffer scratch;
  struct dray_str out;
  dray_buffer_init(&scratch, 4096);
  assert_int_equal(dr_reading_text(reading, dray_str_of(text), &scratch, &out, out_reads, NULL), DRAY_OK);
  assert_true(out.len < sizeof(canonical));
  memcpy(canonical, out.data, out.len);
  canonical[out.len] = '\0';
  dray_buffer_free(&scratch);
  return canonical;
}

static void assert_reads(const struct dr_reading *reading, const char *text, const char *wanted) {
  int reads = 0;
  assert_string_equal(read_as(reading, text, &reads), wanted);
  assert_true(reads);
  assert_string_equal(read_as(reading, wanted, &reads), wanted); // canonical texts stay as they are
  assert_true(reads);
}

static void assert_stays(const struct dr_reading *reading, const char *text) {
  int reads = 1;
  assert_string_equal(read_as(reading, text, &reads), text);
  assert_false(reads);
}

static void test_one_number_has_one_text(void **state) {
  static const char *const pairs[][2] = {
      {"0", "0"},
      {"-0", "0"},
      {"-0.00", "0"},
      {"0e5", "0"},
      {"1.50", "1.5"},
      {"1.0", "1"},
      {"100", "100"},
      {"1e2", "100"},
      {"15e-1", "1.5"},
      {"-0.0010", "-0.001"},
      {"1E-3", "0.001"},
      {"123.456e1", "1234.56"},
      {"0.1e1", "1"},
      {"12345678901234567890123456789.120", "12345678901234567890123456789.12"},
      {"1e100", "1e100"},
      {"10.0e99", "1e100"},
      {"-1.25e-200", "-1.25e-200"},
      {"1e63", "1000000000000000000000000000000000000000000000000000000000000000"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) assert_reads(&number, pairs[i][0], pairs[i][1]);
}

static void test_what_is_no_number_stays_a_text(void **state) {
  static const char *const texts[] = {"",     "007",       "+5", ".5",  "5.",  "1e",    "1e+",  "1,5",  " 1",
                                      "0x10", "1e9999999", "-",  "NaN", "--1", "1.2.3", "1e5x", "1_000"};
  (void)state;
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) assert_stays(&number, texts[i]);
}

static void test_times_and_words(void **state) {
  (void)state;
  assert_reads(&moment, "2024-02-29 12:00:00", "2024-02-29T12:00:00Z");
  assert_reads(&moment, "2024-02-29T12:00:00", "2024-02-29T12:00:00Z");
  assert_reads(&moment, "2024-02-29", "2024-02-29T00:00:00Z");
  assert_reads(&moment, "2024-02-29T12:00:00.500000Z", "2024-02-29T12:00:00.500Z");
  assert_reads(&moment, "2024-02-12 12:00:00.500Z", "2024-02-12T12:00:00.500Z");
  assert_reads(&moment, "2024-02-12T12:00:00.500000Z", "2024-02-12T12:00:00.500Z");
  assert_reads(&moment, "2024-02-12T12:00:00.000Z", "2024-02-12T12:00:00Z");
  assert_reads(&moment, "2024-02-12T12:00:00.500120Z", "2024-02-12T12:00:00.500120Z");
  assert_reads(&moment, "2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z");
  assert_reads(&moment, "2024-01-31 23:59:59Z", "2024-01-31T23:59:59Z");
  assert_stays(&moment, "2023-02-29 12:00:00");
  assert_stays(&moment, "2024-01-01 24:00:00");
  assert_stays(&moment, "2024-13-01 00:00:00");
  assert_stays(&moment, "0000-01-01 00:00:00");
  assert_stays(&moment, "yesterday");
  assert_reads(&boolean, "TRUE", "true");
  assert_reads(&boolean, "0", "false");
  assert_stays(&boolean, "yes");
  assert_stays(&boolean, "2");
}

static void test_declared_types_read_as_the_sdk_does(void **state) {
  static const struct {
    const char *type, *text, *wanted; // NULL: does not read
  } cases[] = {
      {"int64", "007", "7"},
      {"int64", "1.0", NULL},
      {"decimal(10,2)", "1.5", "1.50"},
      {"decimal(10,2)", "1.505", NULL},
      {"float64", "0.10", "0.1"},
      {"float64", "-0", "0"},
      {"bool", "yes", "true"},
      {"bool", "maybe", NULL},
      {"date", "2024-02-30", NULL},
      {"date", "2024-02-29T00:00:00Z", "2024-02-29"},
      {"date", "2024-02-29T00:00:01Z", NULL},
      {"timestamp", "2024-02-29", "2024-02-29T00:00:00Z"},
      {"json", "{ \"a\": [1, 2] }", "{\"a\":[1,2]}"},
      {"json", "{", NULL},
      {"bytes", "AP8=", "AP8="},
      {"bytes", "AP8", NULL},
      {"string", "007", "007"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dr_reading reading = {DR_READING_DECLARED, {0, 0, 0}};
    assert_int_equal(dray_type_parse(dray_str_of(cases[i].type), &reading.type, NULL), DRAY_OK);
    if (cases[i].wanted != NULL) {
      assert_reads(&reading, cases[i].text, cases[i].wanted);
    } else {
      assert_stays(&reading, cases[i].text);
    }
  }
}

static int guess_of(const char *texts) { // separated by '|'
  struct dr_guess guess = {0};
  for (;;) {
    const size_t len = strcspn(texts, "|");
    dr_guess_text(&guess, dray_str_make(texts, len));
    if (texts[len] == '\0') return dr_guess_kind(&guess);
    texts += len + 1;
  }
}

static void test_a_column_is_what_all_its_texts_are(void **state) {
  (void)state;
  const struct dr_guess none = {0};
  assert_int_equal(dr_guess_kind(&none), DR_READING_UNSEEN);
  assert_int_equal(guess_of("1|-20|0"), DR_READING_INTEGER);
  assert_int_equal(guess_of("1||2"), DR_READING_INTEGER); // an empty text says nothing
  assert_int_equal(guess_of("|"), DR_READING_UNSEEN);
  assert_int_equal(guess_of("1|2.5"), DR_READING_NUMBER);
  assert_int_equal(guess_of("1|007"), DR_READING_TEXT);
  assert_int_equal(guess_of("1234567890123456789"), DR_READING_TEXT);
  assert_int_equal(guess_of("true|FALSE"), DR_READING_BOOL);
  assert_int_equal(guess_of("true|1"), DR_READING_TEXT);
  assert_int_equal(guess_of("2024-01-01"), DR_READING_DATE);
  assert_int_equal(guess_of("2024-01-01|2024-01-01 10:00"), DR_READING_TIMESTAMP);
  assert_int_equal(guess_of("2024-01-01|x"), DR_READING_TEXT);
  assert_int_equal(guess_of("2023-02-29"), DR_READING_TEXT);
}

static void test_two_sides_agree(void **state) {
  static const int cases[][3] = {{DR_READING_INTEGER, DR_READING_NUMBER, DR_READING_NUMBER},
                                 {DR_READING_DATE, DR_READING_TIMESTAMP, DR_READING_TIMESTAMP},
                                 {DR_READING_BOOL, DR_READING_INTEGER, DR_READING_BOOL},
                                 {DR_READING_UNSEEN, DR_READING_NUMBER, DR_READING_NUMBER},
                                 {DR_READING_TEXT, DR_READING_INTEGER, DR_READING_TEXT},
                                 {DR_READING_DATE, DR_READING_NUMBER, DR_READING_TEXT},
                                 {DR_READING_JSON, DR_READING_JSON, DR_READING_JSON}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(dr_reading_merge(cases[i][0], cases[i][1]), cases[i][2]);
    assert_int_equal(dr_reading_merge(cases[i][1], cases[i][0]), cases[i][2]);
  }
}

// ---- columns ----

// Nulls where a text is NULL. Released by the caller.
static int32_t make_column(const char *const *texts, size_t count, struct ArrowArray *out) {
  const struct dray_column_def def = {"v", {DRAY_TYPE_STRING, 0, 0}, 1};
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  int32_t rc = dray_schema_make(&def, 1, &schema, NULL);
  if (rc != DRAY_OK) return rc;
  rc = dray_builder_new(&schema, 0, 0, &builder, NULL);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    int32_t full = 0;
    rc = texts[i] != NULL ? dray_builder_bytes(builder, 0, dray_str_of(texts[i]), NULL)
                          : dray_builder_null(builder, 0, NULL);
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &full, NULL);
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, out, NULL);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return rc;
}

static const char *const mixed[] = {"1", NULL, "2.50", "", "n/a", "-0", NULL, "1e3", "4"};
static const char *const wanted[] = {"1", NULL, "2.5", "", "n/a", "0", NULL, "1000", "4"};
#define MIXED_COUNT (sizeof(mixed) / sizeof(mixed[0]))

static void assert_column(const struct ArrowArray *column, const char *const *texts, size_t count) {
  const uint8_t *valid = column->buffers[0];
  const int32_t *offsets = column->buffers[1];
  for (size_t i = 0; i < count; i++) {
    const size_t at = i + (size_t)column->offset;
    const int is_null = valid != NULL && ((valid[at >> 3] >> (at & 7)) & 1) == 0;
    assert_int_equal(is_null, texts[i] == NULL);
    if (is_null) continue;
    const struct dray_str text =
        dray_str_make((const char *)column->buffers[2] + offsets[at], (uint64_t)(offsets[at + 1] - offsets[at]));
    assert_true(dray_str_is(text, texts[i]));
  }
}

static void test_a_column_is_rewritten_from_where_it_must_be(void **state) {
  struct dray_buffer scratch;
  struct ArrowArray array;
  (void)state;
  dray_buffer_init(&scratch, 4096);
  assert_int_equal(make_column(mixed, MIXED_COUNT, &array), DRAY_OK);
  assert_int_equal(dr_reading_column(&number, array.children[0], MIXED_COUNT, &scratch, NULL), DRAY_OK);
  assert_column(array.children[0], wanted, MIXED_COUNT);
  const void *data = array.children[0]->buffers[2];
  assert_int_equal(dr_reading_column(&number, array.children[0], MIXED_COUNT, &scratch, NULL), DRAY_OK);
  assert_ptr_equal(array.children[0]->buffers[2], data); // canonical: not touched
  dray_array_release(&array);

  assert_int_equal(make_column(mixed, MIXED_COUNT, &array), DRAY_OK);
  array.children[0]->offset = 3; // a slice
  array.children[0]->length = (int64_t)MIXED_COUNT - 3;
  assert_int_equal(dr_reading_column(&number, array.children[0], (int64_t)MIXED_COUNT - 3, &scratch, NULL), DRAY_OK);
  assert_column(array.children[0], wanted + 3, MIXED_COUNT - 3);
  dray_array_release(&array);
  dray_buffer_free(&scratch);
}

static int32_t rewrite(void *ctx) {
  struct dray_buffer scratch;
  struct ArrowArray array = {.release = NULL};
  (void)ctx;
  dray_buffer_init(&scratch, 4096);
  int32_t rc = make_column(mixed, MIXED_COUNT, &array);
  if (rc == DRAY_OK) rc = dr_reading_column(&number, array.children[0], MIXED_COUNT, &scratch, NULL);
  if (rc == DRAY_OK) assert_column(array.children[0], wanted, MIXED_COUNT);
  dray_array_release(&array);
  dray_buffer_free(&scratch);
  return rc;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  assert_true(torture_every(rewrite, NULL) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_number_has_one_text),
      cmocka_unit_test(test_what_is_no_number_stays_a_text),
      cmocka_unit_test(test_times_and_words),
      cmocka_unit_test(test_declared_types_read_as_the_sdk_does),
      cmocka_unit_test(test_a_column_is_what_all_its_texts_are),
      cmocka_unit_test(test_two_sides_agree),
      cmocka_unit_test(test_a_column_is_rewritten_from_where_it_must_be),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
