// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The external sort: the same order whatever the memory, with and without bytes behind the records.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff/sorter.h"
#include "torture.h"
#include "world.h"

static char folder[64];
static struct dray_error error;

static int make_folder(void **state) {
  (void)state;
  (void)snprintf(folder, sizeof folder, "/tmp/dray-sort-XXXXXX");
  assert_non_null(mkdtemp(folder));
  dray_error_init(&error);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  return rmdir(folder); // fails when anything was left behind
}

static uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 31)) * UINT64_C(0x9E3779B97F4A7C15);
  return value ^ (value >> 29);
}

// Sorts `count` records (key, number) whose keys repeat every `keys`, and checks order and completeness.
static void sort_and_check(size_t count, uint64_t keys, uint64_t memory_bytes, int with_bytes, uint64_t spilled_min) {
  struct dr_sorter sorter;
  char text[64];
  uint8_t *seen = calloc(count + 1, 1);
  assert_non_null(seen);
  dr_sorter_init(&sorter, 2, 2, with_bytes, memory_bytes, folder);
  for (size_t i = 0; i < count; i++) {
    const uint64_t words[] = {mix(i % keys), i};
    const int len = snprintf(text, sizeof text, "row %zu%.*s", i, (int)(i % 30), "..............................");
    assert_int_equal(dr_sorter_add(&sorter, words, dray_str_make(text, (uint64_t)len), &error), DRAY_OK);
  }
  assert_int_equal(dr_sorter_sort(&sorter, &error), DRAY_OK);
  uint64_t last[2] = {0, 0};
  for (size_t i = 0; i < count; i++) {
    const uint64_t *words = NULL;
    struct dray_str bytes = {NULL, 0};
    assert_int_equal(dr_sorter_next(&sorter, &words, &bytes, &error), DRAY_OK);
    assert_non_null(words);
    assert_true(i == 0 || last[0] < words[0] || (last[0] == words[0] && last[1] < words[1]));
    assert_true(words[1] < count && !seen[words[1]]);
    seen[words[1]] = 1;
    const int len = snprintf(text, sizeof text, "row %zu%.*s", (size_t)words[1], (int)(words[1] % 30),
                             "..............................");
    if (with_bytes) assert_true(dray_str_equal(bytes, dray_str_make(text, (uint64_t)len)));
    memcpy(last, words, sizeof last);
  }
  const uint64_t *words = NULL;
  assert_int_equal(dr_sorter_next(&sorter, &words, NULL, &error), DRAY_OK);
  assert_null(words);
  assert_true(sorter.spilled_bytes >= spilled_min);
  assert_true(spilled_min > 0 || sorter.spilled_bytes == 0);
  dr_sorter_free(&sorter);
  free(seen);
}

static void test_sorting_in_memory_and_on_disk_gives_the_same_order(void **state) {
  (void)state;
  for (int with_bytes = 0; with_bytes <= 1; with_bytes++) {
    sort_and_check(0, 1, 1 << 20, with_bytes, 0);
    sort_and_check(1, 1, 1 << 20, with_bytes, 0);
    sort_and_check(5000, 5000, 1 << 20, with_bytes, 0);
    sort_and_check(5000, 3, 1 << 20, with_bytes, 0);
    sort_and_check(5000, 1, 4096, with_bytes, 5000 * 16);
    sort_and_check(20000, 20000, 16384, with_bytes, 20000 * 16 * 2); // more runs than one merge takes: several rounds
  }
}

static void test_record_larger_than_all_memory_is_sorted(void **state) {
  (void)state;
  struct dr_sorter sorter;
  const size_t len = 300000;
  char *large = malloc(len);
  assert_non_null(large);
  memset(large, 'x', len);
  dr_sorter_init(&sorter, 1, 1, 1, 4096, folder);
  for (uint64_t i = 0; i < 8; i++) {
    const uint64_t word = 8 - i;
    assert_int_equal(dr_sorter_add(&sorter, &word, dray_str_make(large, len - i), &error), DRAY_OK);
  }
  assert_int_equal(dr_sorter_sort(&sorter, &error), DRAY_OK);
  for (uint64_t i = 1; i <= 8; i++) {
    const uint64_t *words = NULL;
    struct dray_str bytes;
    assert_int_equal(dr_sorter_next(&sorter, &words, &bytes, &error), DRAY_OK);
    assert_int_equal(words[0], i);
    assert_true(bytes.len == len - (8 - i) && bytes.data[bytes.len - 1] == 'x');
  }
  dr_sorter_free(&sorter);
  free(large);
}

static void test_patterns_in_memory_are_sorted(void **state) {
  (void)state;
  enum { COUNT = 3000 };
  static uint64_t records[COUNT * 3];
  for (int pattern = 0; pattern < 5; pattern++) {
    for (uint64_t i = 0; i < COUNT; i++) {
      const uint64_t keys[] = {i, COUNT - i, 7, mix(i) & 255, i << 56 | (i & 3)};
      records[i * 3] = keys[pattern];
      records[i * 3 + 1] = mix(i) & 15;
      records[i * 3 + 2] = keys[pattern] ^ records[i * 3 + 1]; // travels with its record
    }
    dr_sort_words(records, COUNT, 3, 2);
    for (size_t i = 0; i < COUNT; i++) {
      const uint64_t *record = records + i * 3;
      assert_true(record[2] == (record[0] ^ record[1]));
      if (i == 0) continue;
      assert_true(record[-3] < record[0] || (record[-3] == record[0] && record[-2] <= record[1]));
    }
  }
}

static int32_t sort_on_disk(void *ctx) {
  struct dr_sorter sorter;
  const uint64_t *words = NULL;
  (void)ctx;
  dr_sorter_init(&sorter, 2, 2, 1, 4096, folder);
  int32_t rc = DRAY_OK;
  for (uint64_t i = 0; rc == DRAY_OK && i < 2000; i++) {
    const uint64_t record[] = {mix(i), i};
    rc = dr_sorter_add(&sorter, record, dray_str_of("some bytes"), &error);
  }
  if (rc == DRAY_OK) rc = dr_sorter_sort(&sorter, &error);
  for (uint64_t i = 0; rc == DRAY_OK && i < 2000; i++) rc = dr_sorter_next(&sorter, &words, NULL, &error);
  dr_sorter_free(&sorter);
  return rc;
}

static void test_failing_allocations_of_a_sort_on_disk_are_reported(void **state) {
  (void)state;
  assert_true(torture_every(sort_on_disk, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_sorting_in_memory_and_on_disk_gives_the_same_order, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(test_record_larger_than_all_memory_is_sorted, make_folder, remove_folder),
      cmocka_unit_test(test_patterns_in_memory_are_sorted),
      cmocka_unit_test_setup_teardown(test_failing_allocations_of_a_sort_on_disk_are_reported, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
