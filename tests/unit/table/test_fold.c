// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Case folding: of characters, of texts, of columns. What the C library says of letters is the oracle.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <wctype.h>

#include "arrays.h"
#include "dray/sdk/fold.h"
#include "table/fold.h"
#include "torture.h"

#define CHARACTERS 0x110000u

static void expect_text(const char *text, const char *folded) {
  char out[100];
  const size_t len = strlen(text), written = dray_fold_text(text, len, out);
  assert_true(written <= len + len / 2);
  assert_int_equal(written, strlen(folded));
  assert_memory_equal(out, folded, written);
}

static void test_texts_that_differ_by_case_become_one(void **state) {
  (void)state;
  expect_text("", "");
  expect_text("Anna.O'Neil+Tag@X.ORG", "anna.o'neil+tag@x.org");
  expect_text("@[`{ 0129_AZaz", "@[`{ 0129_azaz"); // the neighbours of letters stay
  expect_text("M\xC3\x9CLLER@\xC3\x84.de", "m\xC3\xBCller@\xC3\xA4.de");
  expect_text("\xCE\xA3\xCF\x83\xCF\x82", "\xCF\x83\xCF\x83\xCF\x83"); // sigma, small and final
  expect_text("\xD0\x96\xD1\x83K", "\xD0\xB6\xD1\x83k");
  expect_text("\xE2\x84\xAA", "k");                    // Kelvin's: three bytes become one
  expect_text("\xC8\xBA", "\xE2\xB1\xA5");             // two become three
  expect_text("\xF0\x90\x90\x80", "\xF0\x90\x90\xA8"); // beyond the first plane
  expect_text("stra\xC3\x9F"
              "e",
              "stra\xC3\x9F"
              "e"); // simple folding makes no two letters of one
  expect_text("\xC3\xA9"
              "e\xCC\x81",
              "\xC3\xA9"
              "e\xCC\x81"); // nor one of two: accents count
}

static void test_blanks_around_a_text_go(void **state) {
  (void)state;
  expect_text(" \t A b\r\n", "a b");
  expect_text(" \v\f ", "");
  expect_text("\xC2\xA0"
              "A",
              "\xC2\xA0"
              "a"); // other blanks than ASCII's are characters
}

static void test_bytes_that_are_no_text_stay(void **state) {
  (void)state;
  expect_text("A\xFF\x80\xC3", "a\xFF\x80\xC3");
  expect_text("\xC1\x81", "\xC1\x81");         // an overlong A
  expect_text("\xE0\x81\x81", "\xE0\x81\x81"); // likewise
  expect_text("\xC3"
              "A",
              "\xC3"
              "a");
  expect_text("\xF5\x80\x80\x80", "\xF5\x80\x80\x80");
}

static void test_every_character_folds_as_its_other_cases_do_and_once(void **state) {
  (void)state;
  const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  size_t with_case = 0;
  assert_true(unicode != (locale_t)0);
  for (uint32_t c = 0; c < CHARACTERS; c++) {
    const uint32_t folded = dray_fold_character(c);
    with_case += folded != c;
    assert_int_equal(dray_fold_character(folded), folded);
    // The dotted capital I and the dotless small one are letters of their own, except in Turkish.
    if (c != 0x130) assert_int_equal(dray_fold_character((uint32_t)towlower_l(c, unicode)), folded);
    if (c != 0x131) assert_int_equal(dray_fold_character((uint32_t)towupper_l(c, unicode)), folded);
  }
  assert_true(with_case > 1400);
  freelocale(unicode);
}

static void random_text(uint64_t *seed, char *out, size_t bytes) {
  static const char *const pieces[] = {
      "A",    "z", "@",  "\xC3\x84",     "\xC8\xBA", "\xE2\x84\xAA", "\xF0\x90\x90\x80",
      "\xFF", "0", "Zq", "\xE1\xBA\x9E", " ",        "\n",           "\xCE\xA3"};
  size_t at = 0;
  for (;;) {
    const char *piece = pieces[random_bits(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
    if (at + strlen(piece) >= bytes || random_bits(seed) % 12 == 0) break;
    memcpy(out + at, piece, strlen(piece));
    at += strlen(piece);
  }
  out[at] = '\0';
}

static void test_folding_twice_is_folding_once(void **state) {
  (void)state;
  uint64_t seed = 7;
  for (int i = 0; i < 20000; i++) {
    char text[40], once[80], twice[140];
    random_text(&seed, text, sizeof(text));
    const size_t first = dray_fold_text(text, strlen(text), once), second = dray_fold_text(once, first, twice);
    assert_true(first <= strlen(text) + strlen(text) / 2);
    assert_int_equal(second, first);
    assert_memory_equal(twice, once, first);
  }
}

// ---- columns ----

static struct dr_schema *narrow(void) {
  return SCHEMA_OF(COLUMN("n", INT64), COLUMN("email", STRING));
}
static struct dr_schema *wide(void) {
  return SCHEMA_OF(COLUMN("n", INT64), COLUMN("email", STRING), COLUMN("key", STRING));
}

static int32_t fold(const char *const *cells, size_t rows, struct dr_batch **out) {
  struct dr_schema *from = narrow(), *to = wide();
  struct dr_batch *batch = batch_of(from, cells, rows);
  batch->first_row = 42;
  const int32_t code = dr_batch_fold(batch, to, (const size_t[]){1}, 1, out, NULL);
  dr_schema_unref(from);
  dr_schema_unref(to);
  return code;
}

static void test_a_batch_gets_the_folded_text_beside_what_was_written(void **state) {
  (void)state;
  static const char *const ascii[] = {"1", "Anna@X.org", "2", NULL, "3", "", "4", "bob@x.ORG", "5", "(absent)"};
  static const char *const blanks[] = {"1", "Anna@X.org ", "2", NULL, "3", " ", "4", "\tbob@x.ORG", "5", "(absent)"};
  static const char *const others[] = {"1", "Anna@X.org", "2", NULL, "3", "\xC3\x84@x", "4", "", "5", "(absent)"};
  static const char *const ascii_keys[] = {"anna@x.org", "(null)", "", "bob@x.org", "(absent)"};
  static const char *const other_keys[] = {"anna@x.org", "(null)", "\xC3\xA4@x", "", "(absent)"};
  const char *const *const all[] = {ascii, blanks, others};
  for (int i = 0; i < 3; i++) {
    struct dr_batch *batch = NULL;
    const char *const *cells = all[i];
    assert_int_equal(fold(cells, 5, &batch), DRAY_OK);
    assert_int_equal(dr_batch_rows(batch), 5);
    assert_int_equal(batch->first_row, 42);
    for (size_t row = 0; row < 5; row++) {
      assert_string_equal(cell(batch, 0, row), cells[2 * row]);
      assert_string_equal(cell(batch, 1, row), cells[2 * row + 1] != NULL ? cells[2 * row + 1] : "(null)");
      assert_string_equal(cell(batch, 2, row), (i == 2 ? other_keys : ascii_keys)[row]);
    }
    dr_batch_free(batch);
  }
  struct dr_batch *none = NULL;
  assert_int_equal(fold(ascii, 0, &none), DRAY_OK);
  assert_int_equal(dr_batch_rows(none), 0);
  assert_int_equal(none->view.column_count, 3);
  dr_batch_free(none);
}

// Columns of every length and place in memory fold as their texts do.
static void test_a_column_folds_as_its_texts(void **state) {
  (void)state;
  uint64_t seed = 11;
  for (size_t round = 0; round < 300; round++) {
    char texts[9][40];
    const char *cells[18];
    struct dr_schema *from = narrow(), *to = wide();
    const size_t rows = round % 9 + 1;
    for (size_t row = 0; row < rows; row++) {
      random_text(&seed, texts[row], round % 2 == 0 ? 12 : sizeof(texts[row]));
      for (char *at = texts[row]; *at != '\0'; at++) { // the border lets no other text through
        if (*at == '\xFF') *at = 'X';
      }
      cells[2 * row] = "1";
      cells[2 * row + 1] = random_bits(&seed) % 5 == 0 ? NULL : texts[row];
    }
    const size_t skipped = rows > 2 ? 1 : 0;
    struct dr_batch *whole = batch_of(from, cells, rows), *sliced = NULL, *batch = NULL;
    struct ArrowArray array = whole->array;
    whole->array.release = NULL;
    dr_batch_free(whole);
    array.length -= (int64_t)skipped; // columns that begin within others, as casts move them
    for (int64_t i = 0; i < array.n_children; i++) {
      array.children[i]->offset += (int64_t)skipped;
      array.children[i]->length -= (int64_t)skipped;
      array.children[i]->null_count = -1;
    }
    assert_int_equal(dr_batch_wrap(from, &array, &sliced, NULL), DRAY_OK);
    assert_int_equal(dr_batch_fold(sliced, to, (const size_t[]){1}, 1, &batch, NULL), DRAY_OK);
    for (size_t row = 0; row + skipped < rows; row++) {
      const char *text = cells[2 * (row + skipped) + 1];
      char folded[100];
      if (text != NULL) folded[dray_fold_text(text, strlen(text), folded)] = '\0';
      assert_string_equal(cell(batch, 1, row), text != NULL ? text : "(null)");
      assert_string_equal(cell(batch, 2, row), text != NULL ? folded : "(null)");
    }
    dr_batch_free(batch);
    dr_schema_unref(from);
    dr_schema_unref(to);
  }
}

static void test_tombstones_and_absent_values_stay_marked(void **state) {
  (void)state;
  static const char *const cells[] = {"1", "A", "(absent)", "(absent)", "3", "C"};
  struct dr_schema *from = narrow(), *to = wide();
  struct dr_batch *batch = batch_of(from, cells, 3), *folded = NULL;
  batch->deleted = calloc(1, 1);
  assert_non_null(batch->deleted);
  batch->deleted[0] = 1u << 2;
  assert_int_equal(dr_batch_fold(batch, to, (const size_t[]){1}, 1, &folded, NULL), DRAY_OK);
  assert_true(dr_batch_is_deleted(folded, 2) && !dr_batch_is_deleted(folded, 1));
  assert_true(dr_batch_is_absent(folded, 0, 1) && dr_batch_is_absent(folded, 1, 1) && dr_batch_is_absent(folded, 2, 1));
  assert_false(dr_batch_is_absent(folded, 2, 0));
  dr_batch_free(folded);
  dr_schema_unref(from);
  dr_schema_unref(to);
}

static void test_folding_survives_every_failed_allocation(void **state) {
  (void)state;
  static const char *const cells[] = {"(absent)", "\xC3\x84", "2", "(absent)", "3", NULL};
  struct dr_schema *from = narrow(), *to = wide();
  uint64_t n = 0;
  int failed = 1;
  while (failed) {
    struct dr_batch *batch = batch_of(from, cells, 3), *folded = NULL;
    (void)torture_arm(++n);
    const int32_t code = dr_batch_fold(batch, to, (const size_t[]){1}, 1, &folded, NULL);
    failed = torture_arm(0);
    assert_int_equal(code, failed ? DRAY_E_OUT_OF_MEMORY : DRAY_OK);
    dr_batch_free(folded);
  }
  assert_true(n > 8);
  dr_schema_unref(from);
  dr_schema_unref(to);
}

static void test_texts_that_differ_by_case_alone_are_the_same(void **state) {
  static const struct {
    const char *a, *b;
    int same;
  } cases[] = {{"", "", 1},
               {"Ada@Acme.example", "ada@acme.EXAMPLE", 1},
               {"J\xc3\x96RG@x", "j\xc3\xb6rg@x", 1},
               {"\xe2\x84\xaa", "k", 1}, // the sign of kelvin: three bytes and one
               {"J\xc3\x96RG@x", "jorg@x", 0},
               {"ada", "adam", 0},
               {"ada ", "ada", 0},
               {"\xc3", "\xc4", 0},
               {"\xc3", "\xc3", 1}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(dray_fold_same(dray_str_of(cases[i].a), dray_str_of(cases[i].b)), cases[i].same);
    assert_int_equal(dray_fold_same(dray_str_of(cases[i].b), dray_str_of(cases[i].a)), cases[i].same);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_texts_that_differ_by_case_alone_are_the_same),
      cmocka_unit_test(test_texts_that_differ_by_case_become_one),
      cmocka_unit_test(test_blanks_around_a_text_go),
      cmocka_unit_test(test_bytes_that_are_no_text_stay),
      cmocka_unit_test(test_every_character_folds_as_its_other_cases_do_and_once),
      cmocka_unit_test(test_folding_twice_is_folding_once),
      cmocka_unit_test(test_a_batch_gets_the_folded_text_beside_what_was_written),
      cmocka_unit_test(test_a_column_folds_as_its_texts),
      cmocka_unit_test(test_tombstones_and_absent_values_stay_marked),
      cmocka_unit_test(test_folding_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
