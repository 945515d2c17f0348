// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Entries beyond memory: more keys in one partition than are loaded at once, and more copies of a key.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "compare/entries.h"

#define ROWS 40000
#define COPIES 9000

static uint64_t spread(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

// All in one partition: the first 9 bits are the same. The last COPIES rows have one key.
static uint64_t key_of(uint32_t number) {
  return spread(number < ROWS - COPIES ? number + 1 : 1u << 30) >> 9;
}

static void fill_side(struct entries *entries, int side) {
  struct entries_writer *writer = NULL;
  assert_int_equal(entries_writer_new(entries, side, &writer, NULL), DRAY_OK);
  for (uint32_t i = 0; i < ROWS; i++) {
    const uint32_t number = side == 0 ? i : ROWS - 1 - i;
    // NEW has another row for every fifth key.
    assert_int_equal(entries_add(writer, key_of(number), number + (side == 1 && number % 5 == 0 ? 1 : 0), number, NULL),
                     DRAY_OK);
  }
  assert_int_equal(entries_writer_finish(writer, NULL), DRAY_OK);
}

static void settle_with(uint32_t shares) {
  const uint64_t rows_max[2] = {ROWS, ROWS};
  struct entries *entries = NULL;
  int spilled = 0;
  uint64_t all = 0;
  assert_int_equal(entries_new(1, rows_max, 0, "/tmp", &entries, NULL), DRAY_OK);
  fill_side(entries, 0);
  assert_int_equal(entries_end_old(entries, &spilled, NULL), DRAY_OK);
  assert_int_equal(spilled, 1);
  fill_side(entries, 1);
  assert_int_equal(entries_end_new(entries, NULL), DRAY_OK);
  for (uint32_t i = 0; i < entries_partition_count(entries); i++) {
    uint64_t settled = 0;
    assert_int_equal(entries_settle(entries, i, i % shares, shares, &settled, NULL), DRAY_OK);
    all += settled;
  }
  uint64_t wanted = 0;
  for (uint32_t i = 0; i < ROWS; i++) {
    const int rest = i >= ROWS - COPIES || i % 5 == 0;
    assert_int_equal(entries_is_rest(entries, 0, i), rest);
    assert_int_equal(entries_is_rest(entries, 1, i), rest);
    wanted += !rest;
  }
  assert_int_equal(all, wanted);
  entries_free(entries);
}

static void test_a_partition_that_does_not_fit_is_settled_range_by_range(void **unused) {
  (void)unused;
  settle_with(1);
  settle_with(3);
  settle_with(ENTRY_SHARES_MAX);
}

static void test_ranges_of_marks_are_found(void **unused) {
  (void)unused;
  const uint64_t rows_max[2] = {1000, 1000};
  struct entries *entries = NULL;
  assert_int_equal(entries_new(1, rows_max, 0, "/tmp", &entries, NULL), DRAY_OK);
  entries_mark_rest(entries, 1, 200);
  for (uint32_t from = 0; from < 400; from += 7) {
    for (uint32_t to = from; to < 400; to += 3) {
      assert_int_equal(entries_next_rest(entries, 1, from, to), from <= 200 && 200 < to ? 200 : to);
      assert_int_equal(entries_next_rest(entries, 0, from, to), to);
    }
  }
  entries_free(entries);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_partition_that_does_not_fit_is_settled_range_by_range),
                                     cmocka_unit_test(test_ranges_of_marks_are_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
