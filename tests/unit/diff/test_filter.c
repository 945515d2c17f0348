// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The filter: what it takes and what it leaves, prints that lie, what a pass says then, and that nothing depends on its
// width or on threads.
#include <stdlib.h>
#include <string.h>

#include "diff/filter.h"
#include "diff/filter_print.h"
#include "world.h"

#define MANY 2000

static struct world world;
static struct dr_filter filter;
static char texts[MANY + 1][32];
static const char *rows[MANY + 1];

static void set_width(const char *bytes) {
  assert_int_equal(setenv("DRAY_TEST", "1", 1), 0);
  assert_int_equal(bytes != NULL ? setenv("DRAY_FILTER_BYTES", bytes, 1) : unsetenv("DRAY_FILTER_BYTES"), 0);
}

// Rows 0 .. count - 1 with this name; NULL behind them.
static void make_rows(size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(texts[i], sizeof texts[i], "%zu,%s", i * 3, name);
    rows[i] = texts[i];
  }
  rows[count] = NULL;
}

static int open_world(void **state) {
  (void)state;
  set_width(NULL);
  world_make(&world, "id int64; name string", "id");
  world.threads = 1;
  assert_ok(&world, world_open(&world));
  make_rows(MANY, "ann");
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  struct dr_changeset *set = NULL;
  assert_ok(&world, world_try(&world, &pass, rows));
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  assert_ok(&world, dr_mirror_ack_all(world.mirror, set, MANY, &world.error));
  dr_changeset_close(set);
  world_commit(&world, 1);
  return 0;
}

static int close_world(void **state) {
  (void)state;
  dr_filter_free(&filter);
  set_width(NULL);
  world_remove(&world);
  return 0;
}

// Puts the rows into the base.
static void merge(void) {
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
  assert_ok(&world, dr_mirror_settle(world.mirror, &world.error));
}

struct hashes {
  struct dr_hash128 keys[MANY];
  uint64_t rows[MANY];
  size_t count;
};

static struct hashes *hash_rows(void) {
  struct hashes *hashes = calloc(1, sizeof *hashes);
  uint8_t nulls[MANY / 8 + 1];
  uint64_t null_count = 0;
  assert_non_null(hashes);
  while (rows[hashes->count] != NULL) hashes->count++;
  struct dr_batch *batch = world_batch(&world, rows, hashes->count);
  assert_ok(&world, dr_key_hashes(&world.mirror->keys, batch, hashes->keys, nulls, &null_count, &world.error));
  assert_ok(&world, dr_row_hashes(&world.mirror->slots.encoder, batch, hashes->rows, &world.error));
  dr_batch_free(batch);
  return hashes;
}

static size_t take(const struct hashes *hashes, const uint8_t *skip, uint32_t *taken) {
  static uint32_t rest[MANY];
  const size_t count = dr_filter_take(&filter, hashes->keys, hashes->rows, hashes->count, skip, taken, rest);
  for (size_t i = 0; i < count; i++) {
    assert_true(rest[i] < hashes->count && taken[rest[i]] == DR_FILTER_NONE);
    assert_true(i == 0 || rest[i - 1] < rest[i]);
  }
  return count;
}

static size_t count_twins(void) {
  size_t twins = 0;
  for (uint64_t i = 0; i < filter.rows; i++) {
    twins += dr_print_get(filter.prints, i, filter.print_bytes) == DR_PRINT_TWIN;
  }
  return twins;
}

// Rows that are those of the base: all that have a print of their own are taken. Returns the first of them from row 7
// on.
static size_t take_all(const struct hashes *hashes, uint32_t *taken) {
  assert_int_equal(take(hashes, NULL, taken), count_twins());
  size_t first = 7;
  while (taken[first] == DR_FILTER_NONE) first++;
  return first;
}

// Takes all rows of the base off the sums, and judges.
static void prove(uint64_t *unsure) {
  struct dr_sweep sweep;
  uint64_t line = 0;
  dr_sweep_init(&sweep, world.mirror->base);
  for (uint64_t number = 0; number < filter.rows;) {
    const uint8_t *entries;
    size_t count;
    assert_ok(&world, dr_sweep_next(&sweep, number, &entries, &count, &world.error));
    dr_filter_take_off(&filter, &line, entries, world.mirror->base->entry_bytes, count, number);
    number += count;
  }
  dr_sweep_free(&sweep);
  filter.proven = 1;
  assert_ok(&world, dr_filter_judge(&filter, world.mirror, unsure, &world.error));
}

// As if a row with these hashes had been taken for that of key `i`, which none came for then.
static void lie(const struct hashes *hashes, const uint32_t *taken, size_t i, uint64_t high, uint64_t row_hash) {
  struct dr_filter_line *line = &filter.lines[dr_filter_line_of(&filter, hashes->keys[i].high)];
  assert_true(dr_filter_is_plain(&filter, taken[i]));
  line->high += high - hashes->keys[i].high;
  line->row += row_hash - hashes->rows[i];
  line->check += dr_print_mix(&filter, high, row_hash) - dr_print_mix(&filter, hashes->keys[i].high, hashes->rows[i]);
}

// A row hash with which a row of this key has the print of key `i`.
static uint64_t find_liar(const struct hashes *hashes, size_t i, uint64_t high) {
  const uint32_t print = dr_print_of(dr_print_mix(&filter, hashes->keys[i].high, hashes->rows[i]), filter.print_bytes);
  for (uint64_t row_hash = 1;; row_hash++) {
    if (dr_print_of(dr_print_mix(&filter, high, row_hash), filter.print_bytes) == print) return row_hash;
  }
}

static void test_equal_rows_are_taken_once_and_proven(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  uint64_t unsure = 1;
  merge();
  static const char *const widths[] = {"4", NULL};
  for (size_t w = 0; w < 2; w++) {
    set_width(widths[w]);
    assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
    assert_int_equal(filter.print_bytes, 4);
    assert_int_equal(dr_filter_next_unseen(&filter, 0, filter.rows), 0);
    make_rows(MANY, "ann");
    struct hashes *hashes = hash_rows();
    uint8_t skip[MANY / 8 + 1] = {0};
    skip[1] = 4; // row 10
    assert_int_equal(take(hashes, skip, taken), 1);
    const uint64_t left = dr_filter_next_unseen(&filter, 0, filter.rows);
    assert_true(left < MANY);
    assert_int_equal(dr_filter_next_unseen(&filter, left + 1, filter.rows), MANY);
    assert_int_equal(take(hashes, NULL, taken), MANY - 1); // all but that one came before
    assert_int_equal(taken[10], left);
    assert_int_equal(dr_filter_next_unseen(&filter, 0, filter.rows), MANY);
    prove(&unsure);
    assert_int_equal(unsure, 0);
    for (size_t i = 0; i < MANY; i++) assert_true(dr_filter_is_sure(&filter, hashes->keys[i].high));
    free(hashes);
    dr_filter_free(&filter);
  }
}

static void test_changed_rows_are_left_to_the_look_up(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  merge();
  assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
  make_rows(MANY, "bob");
  struct hashes *hashes = hash_rows();
  assert_int_equal(take(hashes, NULL, taken), MANY);
  assert_int_equal(filter.taken, 0);
  free(hashes);
}

// Nothing else is in doubt then.
static void test_row_taken_for_another_is_found_by_the_proof(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  static const char *const widths[] = {"1", "2"};
  merge();
  for (size_t w = 0; w < 2; w++) {
    uint64_t unsure = 0;
    set_width(widths[w]);
    assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
    struct hashes *hashes = hash_rows();
    const size_t row = take_all(hashes, taken);
    const uint64_t high = hashes->keys[row].high ^ 1; // of the same bucket
    lie(hashes, taken, row, high, find_liar(hashes, row, high));
    prove(&unsure);
    assert_int_equal(filter.unsure_lines, 0);
    assert_int_equal(unsure, 1);
    assert_false(dr_filter_is_sure(&filter, high));
    for (size_t i = 0; i < MANY; i++) assert_int_equal(dr_filter_is_sure(&filter, hashes->keys[i].high), i != row);
    free(hashes);
    dr_filter_free(&filter);
  }
}

// Were they taken in each other's places, all sums would be right, and another row would tell which copy of such a key
// came first. They came, or did not, as any other.
static void test_rows_with_the_same_print_are_not_taken_for_one_another(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  size_t twins = 0;
  merge();
  struct dr_base *base = world.mirror->base;
  set_width("1");
  struct hashes *hashes = hash_rows();
  for (size_t i = 0; i < 100; i++) {
    assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
    twins += count_twins();
    (void)take_all(hashes, taken);
    for (size_t k = 0; k < MANY; k++) {
      uint64_t number = 0, row_hash = 0;
      const uint64_t high = hashes->keys[k].high, low = hashes->keys[k].low;
      assert_ok(&world, dr_base_find(base, high, low, &number, &row_hash, &world.error));
      if (taken[k] != DR_FILTER_NONE) {
        assert_int_equal(taken[k], number);
        continue;
      }
      assert_int_equal(dr_filter_next_unseen(&filter, number, filter.rows), number);
      dr_filter_see(&filter, number);
    }
    assert_int_equal(dr_filter_next_unseen(&filter, 0, filter.rows), MANY);
    uint64_t unsure = 1;
    prove(&unsure);
    assert_int_equal(unsure, 0);
    dr_filter_free(&filter);
  }
  assert_true(twins > 0);
  free(hashes);
}

static void test_rows_of_one_line_that_were_taken_for_others_make_it_unsure(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  uint64_t unsure = 0;
  merge();
  set_width("2");
  assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
  struct hashes *hashes = hash_rows();
  const size_t one = take_all(hashes, taken);
  const uint64_t line = dr_filter_line_of(&filter, hashes->keys[one].high);
  uint64_t taken_there = 0;
  for (uint64_t i = filter.lines[line].first; i < dr_filter_line_end(&filter, line); i++) {
    taken_there += (uint64_t)dr_filter_is_plain(&filter, i);
  }
  size_t two = one + 1;
  while (taken[two] == DR_FILTER_NONE || dr_filter_line_of(&filter, hashes->keys[two].high) != line) two++;
  lie(hashes, taken, one, hashes->keys[one].high ^ 1, find_liar(hashes, one, hashes->keys[one].high ^ 1));
  lie(hashes, taken, two, hashes->keys[two].high ^ 1, find_liar(hashes, two, hashes->keys[two].high ^ 1));
  prove(&unsure);
  assert_int_equal(filter.unsure_lines, 1);
  assert_int_equal(unsure, taken_there);
  for (size_t i = 0; i < MANY; i++) {
    const int here = dr_filter_line_of(&filter, hashes->keys[i].high) == line;
    assert_int_equal(dr_filter_is_sure(&filter, hashes->keys[i].high), !here);
  }
  free(hashes);
}

static void test_shape_follows_the_memory(void **state) {
  (void)state;
  merge();
  static const struct {
    uint64_t memory;
    unsigned print_bytes;
  } cases[] = {{1u << 20, 4}, {6000, 2}, {4350, 2}, {3000, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_ok(&world, dr_filter_make(&filter, world.mirror, cases[i].memory, &world.error));
    assert_int_equal(filter.print_bytes, cases[i].print_bytes);
    assert_true(filter.bytes <= cases[i].memory || filter.print_bytes == 0);
    dr_filter_free(&filter);
  }
  assert_true(dr_filter_bytes(100000000) <= (UINT64_C(256) << 20) / 8 * 7);
  assert_int_equal(dr_filter_bytes(UINT64_C(1) << 32), UINT64_MAX);
}

static void test_rows_under_the_overlay_match_nothing(void **state) {
  (void)state;
  static uint32_t taken[MANY];
  merge();
  make_rows(500, "bob");
  const struct world_pass pass = {0};
  assert_ok(&world, world_try(&world, &pass, rows));
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_ok(&world, dr_mirror_settle(world.mirror, &world.error));
  assert_ok(&world, dr_filter_make(&filter, world.mirror, 1u << 20, &world.error));
  make_rows(MANY, "ann");
  struct hashes *hashes = hash_rows();
  assert_int_equal(take(hashes, NULL, taken), 500);
  assert_int_equal(dr_filter_next_unseen(&filter, 0, filter.rows), MANY); // the overlay speaks for them
  free(hashes);
}

// ---- passes ----

// Passes over the same rows with prints that lie, until one says nothing: what they said of inserts is counted.
static void test_what_is_deferred_comes_again(void **state) {
  (void)state;
  uint64_t deferred = 0, updates = 0;
  const struct world_pass pass = {.flags = DR_DIFF_FULL, .batch_rows = 300};
  merge();
  set_width("1");
  for (int round = 0; round < 30; round++) { // each changes every row: one in 2,000 lies, or a few
    make_rows(MANY, round % 2 == 0 ? "bob" : "cyd");
    for (int again = 0;; again++) {
      assert_true(again < 20);
      assert_ok(&world, world_try(&world, &pass, rows));
      const struct dr_diff_counts *counts = &world.counts;
      assert_int_equal(counts->rows, MANY);
      assert_int_equal(counts->updates + counts->unchanged + counts->deferred, MANY);
      assert_int_equal(counts->deletes + counts->inserts, 0);
      assert_ok(&world, world_ack(&world, NULL));
      world_commit(&world, (uint64_t)(2 + round * 20 + again));
      merge();
      deferred += counts->deferred;
      updates += counts->updates;
      if (counts->deferred == 0) break;
    }
  }
  assert_int_equal(updates, 30 * MANY); // each once
  assert_true(deferred > 0);
}

// After a failure the mirror is free to be merged and closed, though the pass is still there to be freed.
static void test_pass_that_failed_lets_go_of_the_mirror(void **state) {
  (void)state;
  for (unsigned threads = 1; threads <= 2; threads++) {
    struct world other;
    struct dr_diff *diff = NULL;
    const struct dr_diff_options options = {.flags = DR_DIFF_FULL, .changeset_path = world.set_path};
    world_close(&world);
    world.threads = threads;
    assert_ok(&world, world_open(&world));
    merge();
    assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
    world_make(&other, "id int64", "id");
    int32_t rc = dr_diff_add(diff, world_batch(&other, ROWS("1"), 1), &world.error);
    if (rc == DRAY_OK) rc = dr_diff_finish(diff, &world.counts, &world.error); // the worker's error comes later
    assert_int_equal(rc, DRAY_E_INTERNAL);
    merge();
    assert_int_equal(dr_base_rows(world.mirror->base), MANY);
    world_close(&world);
    dr_diff_free(diff);
    world_remove(&other);
    assert_ok(&world, world_open(&world));
  }
}

// A world of some changes, copies and deletes, with all that the engine may do in one way or another.
static const char *say(const char *width, unsigned threads, uint64_t memory, size_t batch_rows) {
  static char report[sizeof world.report];
  const struct world_pass pass = {.flags = DR_DIFF_FULL, .with_before = 1, .batch_rows = batch_rows};
  world_close(&world);
  world.threads = threads;
  world.memory_bytes = memory;
  assert_ok(&world, world_open(&world));
  set_width(width);
  make_rows(MANY - 5, "ann");
  for (size_t i = 0; i < MANY - 5; i += 97) (void)snprintf(texts[i], sizeof texts[i], "%zu,bob", i * 3);
  for (size_t i = 50; i < MANY - 5; i += 150) memcpy(texts[i], texts[i - 1 - i % 7], sizeof texts[i]);
  (void)snprintf(texts[60], sizeof texts[60], "30,changed");
  (void)snprintf(texts[5], sizeof texts[5], "3000,before its equal");
  (void)snprintf(texts[6], sizeof texts[6], "1,new");
  (void)snprintf(texts[7], sizeof texts[7], "!1500,\\N");
  (void)snprintf(report, sizeof report, "%s", world_run(&world, &pass, rows));
  return report;
}

static void test_width_threads_memory_and_batches_change_nothing(void **state) {
  (void)state;
  char *expected = strdup(say("0", 1, 0, 0));
  const struct dr_diff_counts counts = world.counts;
  assert_non_null(expected);
  assert_true(counts.duplicate_keys > 10 && counts.updates > 10 && counts.deletes > 10);
  for (int merged = 0; merged < 2; merged++) {
    for (unsigned threads = 1; threads <= 2; threads++) {
      for (size_t batch_rows = 7; batch_rows <= 7 * 19 * 19; batch_rows *= 19) {
        assert_string_equal(say("4", threads, 0, batch_rows), expected);
        assert_string_equal(say("0", threads, 1, batch_rows), expected);
        assert_string_equal(say(NULL, threads, 1, batch_rows), expected);
        struct dr_diff_counts now = world.counts;
        now.spilled_bytes = counts.spilled_bytes;
        assert_memory_equal(&now, &counts, sizeof now);
      }
    }
    merge();
  }
  free(expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_equal_rows_are_taken_once_and_proven),
      TEST(test_changed_rows_are_left_to_the_look_up),
      TEST(test_row_taken_for_another_is_found_by_the_proof),
      TEST(test_rows_with_the_same_print_are_not_taken_for_one_another),
      TEST(test_rows_of_one_line_that_were_taken_for_others_make_it_unsure),
      TEST(test_shape_follows_the_memory),
      TEST(test_rows_under_the_overlay_match_nothing),
      TEST(test_what_is_deferred_comes_again),
      TEST(test_pass_that_failed_lets_go_of_the_mirror),
      TEST(test_width_threads_memory_and_batches_change_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
