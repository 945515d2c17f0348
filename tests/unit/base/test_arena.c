// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arenas: aligned, zeroed, bounded, whole after a failed allocation.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
//
#include <cmocka.h>

#include "base/arena.h"
#include "dray/sdk/error.h"
#include "torture.h"

static void test_memory_is_zeroed_and_aligned(void **state) {
  (void)state;
  struct dr_arena arena;
  dr_arena_init(&arena, 1 << 20);
  for (size_t size = 1; size < 40000; size = size * 3 + 1) {
    unsigned char *memory = dr_arena_alloc(&arena, size);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 16, 0);
    for (size_t i = 0; i < size; i++) assert_int_equal(memory[i], 0);
    memset(memory, 0xFF, size);
  }
  dr_arena_free(&arena);
}

static void test_maximum_is_kept(void **state) {
  (void)state;
  struct dr_arena arena;
  dr_arena_init(&arena, 50000);
  assert_null(dr_arena_alloc(&arena, 50001));
  assert_non_null(dr_arena_alloc(&arena, 40000));
  assert_null(dr_arena_alloc(&arena, 20000));
  dr_arena_free(&arena);
  assert_non_null(dr_arena_alloc(&arena, 40000)); // free gives the budget back
  dr_arena_free(&arena);
}

static void test_clear_keeps_one_block_and_starts_over(void **state) {
  (void)state;
  struct dr_arena arena;
  dr_arena_init(&arena, 1 << 20);
  for (int i = 0; i < 100; i++) {
    assert_non_null(dr_arena_alloc(&arena, 1000));
  }
  dr_arena_clear(&arena);
  assert_true(arena.used_bytes < 100000);
  assert_string_equal(dr_arena_str(&arena, dray_str_of("again")), "again");
  dr_arena_free(&arena);
}

static int32_t fill(void *ctx) {
  (void)ctx;
  struct dr_arena arena;
  dr_arena_init(&arena, 1 << 20);
  int32_t rc = DRAY_OK;
  for (int i = 0; i < 5 && rc == DRAY_OK; i++)
    rc = dr_arena_alloc(&arena, 20000) == NULL ? DRAY_E_OUT_OF_MEMORY : DRAY_OK;
  dr_arena_free(&arena);
  return rc;
}

static void test_failed_allocations_are_reported(void **state) {
  (void)state;
  assert_int_equal(torture_every(fill, NULL), 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory_is_zeroed_and_aligned),
      cmocka_unit_test(test_maximum_is_kept),
      cmocka_unit_test(test_clear_keeps_one_block_and_starts_over),
      cmocka_unit_test(test_failed_allocations_are_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
