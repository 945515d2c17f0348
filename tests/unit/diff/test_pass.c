// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pass says about rows: changes, duplicates, null keys, tombstones, absent values, resync.
#include <stdlib.h>
#include <string.h>

#include "world.h"

static const struct world_pass full = {.flags = DR_DIFF_FULL};

static struct world world;

static int open_world(void **state) {
  (void)state;
  world_make(&world, "id int64; name string; qty int64", "id");
  assert_ok(&world, world_open(&world));
  return 0;
}

static int close_world(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

static void test_first_pass_inserts_every_row(void **state) {
  (void)state;
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,\\N")), "+ 1,ann,5\n+ 2,bob,\\N\n");
  assert_int_equal(world.counts.rows, 2);
  assert_int_equal(world.counts.inserts, 2);
  assert_int_equal(world.counts.updates + world.counts.deletes + world.counts.unchanged, 0);
}

static void test_only_what_differs_is_a_change(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6", "3,cyd,7"));
  assert_string_equal(world_run(&world, &full, ROWS("3,cyd,8", "4,dan,1", "1,ann,5")),
                      "~ 3,cyd,8 [qty]\n+ 4,dan,1\n- 2,bob,6\n");
  assert_int_equal(world.counts.unchanged, 1);
  assert_int_equal(world.counts.updates, 1);
  assert_int_equal(world.counts.inserts, 1);
  assert_int_equal(world.counts.deletes, 1);
  assert_int_equal(world.column_updates[0], 0);
  assert_int_equal(world.column_updates[2], 1);
}

static void test_update_shows_the_row_before(void **state) {
  (void)state;
  const struct world_pass pass = {.with_before = 1};
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  assert_string_equal(world_run(&world, &pass, ROWS("1,\\N,6", "2,bob,6", "3,cyd,1")),
                      "~ 1,\\N,6 <- 1,ann,5 [name,qty]\n+ 3,cyd,1\n");
}

static void test_unseen_keys_stay_without_full(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  assert_string_equal(world_run(&world, NULL, ROWS("2,bob,7")), "~ 2,bob,7 [qty]\n");
  const struct world_pass taken_back = {.flags = DR_DIFF_FULL, .not_full = 1};
  assert_string_equal(world_run(&world, &taken_back, ROWS("2,bob,7")), "~ 2,bob,7 [qty]\n");
}

static void test_null_and_empty_text_differ(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,,5", "2,\\N,5"));
  assert_string_equal(world_run(&world, &full, ROWS("1,\\N,5", "2,,5")), "~ 1,\\N,5 [name]\n~ 2,,5 [name]\n");
}

static void test_row_that_was_not_acknowledged_comes_again(void **state) {
  (void)state;
  (void)world_run(&world, &full, ROWS("1,ann,5", "2,bob,6", "3,cyd,7"));
  assert_ok(&world, world_ack(&world, (const int[]){0, 2, -1}));
  world_commit(&world, 1);
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,6", "3,cyd,7")), "+ 2,bob,6\n");
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,9")), "+ 2,bob,9\n- 3,cyd,7\n");
}

static void test_unacknowledged_delete_comes_again_and_key_can_come_back(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5")), "- 2,bob,6\n");
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5")), "- 2,bob,6\n");
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5")), "");
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,6")), "+ 2,bob,6\n");
}

// ---- keys ----

static void test_null_keys_are_withheld_with_a_reason(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  assert_string_equal(world_run(&world, &full, ROWS("\\N,bob,1", "2,cyd,2", "?,dan,3", "!\\N,\\N,\\N", "1,ann,5")),
                      "x \\N,bob,1 data_key_null\n+ 2,cyd,2\nx ?,dan,3 data_key_null\nx \\N,\\N,\\N data_key_null\n");
  assert_int_equal(world.counts.null_keys, 3);
  assert_int_equal(world.counts.rows, 5);
}

static void test_all_copies_of_a_key_are_withheld(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  // 1: a changed and an equal copy; 2: two equal ones; 3: two new ones.
  // The first of a key that equals the mirror's row stands before the second: no place is kept for it.
  const char *expected = "x 1,ann,9 data_key_duplicate\nx 3,c,1 data_key_duplicate\nx 1,ann,5 data_key_duplicate\n"
                         "x 2,bob,6 data_key_duplicate\nx 2,bob,6 data_key_duplicate\nx 3,d,1 data_key_duplicate\n"
                         "+ 4,e,1\n";
  const char *const *rows = ROWS("1,ann,9", "2,bob,6", "3,c,1", "1,ann,5", "2,bob,6", "3,d,1", "4,e,1");
  assert_string_equal(world_run(&world, &full, rows), expected);
  assert_int_equal(world.counts.duplicate_keys, 3);
  assert_int_equal(world.counts.duplicate_rows, 6);
  assert_int_equal(world.counts.inserts, 1);
  assert_int_equal(world.counts.updates, 0);
  assert_int_equal(world.counts.unchanged, 0);
  assert_int_equal(world.counts.deletes, 0); // the keys were seen
  assert_int_equal(world.column_updates[2], 0);
  for (size_t batch_rows = 1; batch_rows < 7; batch_rows++) {
    const struct world_pass pass = {.flags = DR_DIFF_FULL, .batch_rows = batch_rows};
    assert_string_equal(world_run(&world, &pass, rows), expected);
  }
}

static void test_first_and_last_of_several_rows_by_place(void **state) {
  (void)state;
  const struct world_pass first = {.flags = DR_DIFF_FULL, .duplicates = DR_DUPLICATES_FIRST};
  const struct world_pass last = {.flags = DR_DIFF_FULL, .duplicates = DR_DUPLICATES_LAST};
  world_load(&world, 1, ROWS("1,ann,5"));
  assert_string_equal(world_run(&world, &first, ROWS("1,ann,6", "2,b,1", "1,ann,7", "2,b,2")),
                      "~ 1,ann,6 [qty]\n+ 2,b,1\n");
  assert_int_equal(world.counts.duplicate_keys, 2);
  assert_int_equal(world.counts.duplicate_rows, 2);
  assert_string_equal(world_run(&world, &last, ROWS("1,ann,6", "2,b,1", "1,ann,7", "2,b,2")),
                      "~ 1,ann,7 [qty]\n+ 2,b,2\n");
  assert_string_equal(world_run(&world, &last, ROWS("1,ann,6", "1,ann,5")), ""); // back to what is held
  assert_int_equal(world.counts.unchanged, 1);
  assert_int_equal(world.counts.updates, 0);
  assert_string_equal(world_run(&world, &first, ROWS("1,ann,5", "1,ann,6")), "");
}

static void test_first_and_last_by_a_column(void **state) {
  (void)state;
  const struct world_pass first = {.duplicates = DR_DUPLICATES_FIRST, .order_column = "qty"};
  const struct world_pass last = {.duplicates = DR_DUPLICATES_LAST, .order_column = "qty"};
  const char *const *rows = ROWS("1,a,5", "1,b,-9", "1,c,9", "1,d,9", "1,e,\\N", "1,f,?");
  assert_string_equal(world_run(&world, &last, rows), "+ 1,d,9\n");   // the later of two equal ones
  assert_string_equal(world_run(&world, &first, rows), "+ 1,b,-9\n"); // one without a value is never chosen
  assert_string_equal(world_run(&world, &last, ROWS("1,e,\\N", "1,f,?")), "+ 1,f,?\n");
}

static void test_order_of_long_texts_looks_at_all_of_them(void **state) {
  (void)state;
  const struct world_pass last = {.duplicates = DR_DUPLICATES_LAST, .order_column = "name"};
  const struct world_pass first = {.duplicates = DR_DUPLICATES_FIRST, .order_column = "name"};
  world_load(&world, 1, ROWS("1,2024-01-02T10:00,1"));
  const char *const *rows = ROWS("1,2024-01-02T11:00,2", "1,2024-01-02T10:00,1", "1,2024-01-02T09:00,3");
  assert_string_equal(world_run(&world, &last, rows), "~ 1,2024-01-02T11:00,2 [name,qty]\n");
  assert_string_equal(world_run(&world, &first, rows), "~ 1,2024-01-02T09:00,3 [name,qty]\n");
  assert_string_equal(world_run(&world, &last, ROWS("1,2024-01-02T09:00,3", "1,2024-01-02T10:00,1")), "");
}

// ---- tombstones ----

static void test_tombstone_deletes_what_the_mirror_has(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  assert_string_equal(world_run(&world, NULL, ROWS("!1,\\N,\\N", "!7,?,?", "3,c,1")), "+ 3,c,1\n- 1,ann,5\n");
  assert_int_equal(world.counts.deletes, 1);
  assert_int_equal(world.counts.unchanged, 1); // 7 is not there already
}

static void test_tombstone_and_row_of_one_key_are_settled_by_the_last(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  const char *const *rows = ROWS("!1,\\N,\\N", "1,ann,6", "2,bob,7", "!2,?,?", "!2,?,?");
  for (int policy = DR_DUPLICATES_REJECT; policy <= DR_DUPLICATES_LAST; policy++) {
    const struct world_pass pass = {.flags = DR_DIFF_FULL, .duplicates = policy};
    assert_string_equal(world_run(&world, &pass, rows), "~ 1,ann,6 [qty]\n- 2,bob,6\n");
    assert_int_equal(world.counts.duplicate_keys, 2);
    assert_int_equal(world.counts.duplicate_rows, 3);
  }
  // A tombstone with a place in the column's order is settled by it, whatever its place in the input.
  const struct world_pass ordered = {.duplicates = DR_DUPLICATES_LAST, .order_column = "qty"};
  assert_string_equal(world_run(&world, &ordered, ROWS("!1,?,20", "1,ann,10")), "- 1,ann,5\n");
  assert_string_equal(world_run(&world, &ordered, ROWS("1,ann,30", "!1,?,20")), "~ 1,ann,30 [qty]\n");
  assert_string_equal(world_run(&world, &ordered, ROWS("1,ann,30", "!1,?,?")), "- 1,ann,5\n");
}

static void test_tombstone_among_long_texts_is_settled_by_all_of_them(void **state) {
  (void)state;
  const struct world_pass last = {.duplicates = DR_DUPLICATES_LAST, .order_column = "name"};
  world_load(&world, 1, ROWS("1,2024-01-02T10:00,1", "2,2024-01-01T00:00,1"));
  assert_string_equal(world_run(&world, &last, ROWS("!1,2024-01-02T11:00,\\N", "1,2024-01-02T10:30,2", "3,x,1")),
                      "+ 3,x,1\n- 1,2024-01-02T10:00,1\n");
  assert_string_equal(world_run(&world, &last, ROWS("1,2024-01-02T11:30,2", "!1,2024-01-02T11:00,\\N", "3,x,1")),
                      "~ 1,2024-01-02T11:30,2 [name,qty]\n+ 3,x,1\n");
  assert_string_equal(world_run(&world, &last, ROWS("!7,2024-01-02T11:00,\\N", "3,x,1", "!2,2024-01-02T11:00,\\N")),
                      "+ 3,x,1\n- 2,2024-01-01T00:00,1\n");
  assert_int_equal(world.counts.unchanged, 1);
  assert_int_equal(world.counts.deletes, 1);
}

// ---- absent values ----

static void test_absent_values_are_no_change(void **state) {
  (void)state;
  const struct world_pass pass = {.with_before = 1};
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  assert_string_equal(world_run(&world, &pass, ROWS("1,?,5", "2,?,7")), "~ 2,?,7 <- 2,bob,6 [qty]\n");
  assert_int_equal(world.counts.unchanged, 1);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_string_equal(world_held(&world), "1,ann,5\n2,bob,7\n"); // bob stayed
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5", "2,bob,7")), "");
}

static void test_absent_value_of_an_insert_stays_absent_until_it_is_said(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,?,5"));
  assert_string_equal(world_run(&world, &full, ROWS("1,?,5")), "");
  assert_string_equal(world_run(&world, &full, ROWS("1,\\N,5")), "~ 1,\\N,5 [name]\n");
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,?")), "~ 1,ann,? [name]\n");
}

// ---- resync ----

static void test_resync_sends_every_row_and_the_deletes(void **state) {
  (void)state;
  const struct world_pass pass = {.flags = DR_DIFF_FULL | DR_DIFF_RESYNC, .with_before = 1};
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6", "3,cyd,7"));
  assert_string_equal(world_run(&world, &pass, ROWS("1,ann,5", "2,?,6", "4,dan,1")),
                      "~ 1,ann,5 <- 1,ann,5 [id,name,qty]\n~ 2,?,6 <- 2,bob,6 [id,qty]\n+ 4,dan,1\n- 3,cyd,7\n");
  assert_int_equal(world.counts.updates, 2);
  assert_int_equal(world.counts.unchanged, 0);
}

// ---- schemas ----

static void test_new_column_makes_every_row_a_change_once(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  world_close(&world);
  world_set_columns(&world, "mail string; id int64; name string; qty int64");
  assert_ok(&world, world_open(&world));
  const struct world_pass pass = {.flags = DR_DIFF_FULL, .with_before = 1};
  assert_string_equal(world_run(&world, &pass, ROWS("a@x,1,ann,5", "\\N,2,bob,7")),
                      "~ a@x,1,ann,5 <- ?,1,ann,5 [mail]\n~ \\N,2,bob,7 <- ?,2,bob,6 [mail,qty]\n");
  assert_ok(&world, world_ack(&world, (const int[]){0, -1}));
  world_commit(&world, 2);
  assert_string_equal(world_run(&world, &full, ROWS("a@x,1,ann,5", "\\N,2,bob,7")), "~ \\N,2,bob,7 [mail,qty]\n");
  assert_string_equal(world_held(&world), "?,2,bob,6\na@x,1,ann,5\n");
  world_reopen(&world);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_string_equal(world_held(&world), "?,2,bob,6\na@x,1,ann,5\n");
  assert_string_equal(world_run(&world, &full, ROWS("a@x,1,ann,5", "\\N,2,bob,7")), "~ \\N,2,bob,7 [mail,qty]\n");
}

static void test_dropped_column_is_no_change_and_rewritten_once(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6"));
  world_close(&world);
  world_set_columns(&world, "name string; id int64");
  assert_ok(&world, world_open(&world));
  assert_string_equal(world_run(&world, &full, ROWS("ann,1", "rob,2")), "~ rob,2 [name]\n");
  const uint64_t base = world_base(&world);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(world_base(&world), base + 1);
  assert_string_equal(world_run(&world, &full, ROWS("ann,1", "rob,2")), "~ rob,2 [name]\n");
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(world_base(&world), base + 1);
}

static void test_renamed_column_is_another_column_though_its_values_are_the_same(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  world_set_columns(&world, "id int64; nick string; qty int64");
  assert_ok(&world, world_open(&world));
  assert_string_equal(world_run(&world, &full, ROWS("1,ann,5")), "~ 1,ann,5 [nick]\n");
}

static void test_changed_type_counts_as_changed_where_the_value_differs(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5", "2,\\N,6"));
  world_close(&world);
  world_set_columns(&world, "id int64; name json; qty decimal(10,2)");
  assert_ok(&world, world_open(&world));
  const struct world_pass pass = {.flags = DR_DIFF_FULL, .with_before = 1};
  // Values of another type are not said of the row before: what the new column cannot hold is absent.
  assert_string_equal(world_run(&world, &pass, ROWS("1,7,5", "2,\\N,?")), "~ 1,7,5.00 <- 1,?,? [name,qty]\n");
}

static void test_rows_of_another_key_are_refused(void **state) {
  (void)state;
  world_load(&world, 1, ROWS("1,ann,5"));
  world_close(&world);
  world.key[0] = "name";
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_SCHEMA);
  world.key[0] = "id";
  world_set_columns(&world, "id string; name string; qty int64");
  assert_int_equal(world_open(&world), DRAY_E_MIRROR_SCHEMA);
  assert_non_null(strstr(world.error.text, "id"));
  world_set_columns(&world, "name string; qty int64");
  assert_int_equal(world_open(&world), DRAY_E_SCHEMA_KEY);
  world_set_columns(&world, "id int64; name string; qty int64");
  assert_ok(&world, world_open(&world));
  assert_string_equal(world_held(&world), "1,ann,5\n");
}

// ---- the rest ----

static void test_batches_never_mix_rejects_deletes_and_changes(void **state) {
  (void)state;
  struct dr_changeset *set = NULL;
  struct dr_changes *changes = NULL;
  world_load(&world, 1, ROWS("1,a,1", "2,b,2"));
  (void)world_run(&world, &full, ROWS("5,a,1", "1,a,2", "\\N,c,3", "6,d,4", "7,e,5"));
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  static const size_t sizes[] = {2, 1, 2, 1};
  uint64_t seq = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    assert_ok(&world, dr_changeset_next(set, seq, 100, 1u << 20, 0, &changes, &world.error));
    assert_non_null(changes);
    assert_int_equal(changes->count, sizes[i]);
    seq += changes->count;
    dr_changes_free(changes);
  }
  assert_ok(&world, dr_changeset_next(set, seq, 100, 1u << 20, 0, &changes, &world.error));
  assert_null(changes);
  assert_ok(&world, dr_changeset_next(set, 4, 1, 1u << 20, 0, &changes, &world.error)); // from the middle, one row
  assert_int_equal(changes->count, 1);
  assert_int_equal(changes->first_seq, 4);
  assert_int_equal(dray_column_int64(&changes->rows->view.columns[0], 0), 7);
  dr_changes_free(changes);
  assert_ok(&world, dr_changeset_next(set, 3, 100, 1, 0, &changes, &world.error)); // a byte is too little for a row
  assert_int_equal(changes->count, 1);
  dr_changes_free(changes);
  dr_changeset_close(set);
}

static void test_misuse_is_refused(void **state) {
  (void)state;
  struct dr_diff *diff = NULL, *second = NULL;
  struct world_pass pass = {.order_column = "nope", .duplicates = DR_DUPLICATES_LAST};
  assert_int_equal(world_try(&world, &pass, ROWS("1,a,1")), DRAY_E_SCHEMA_COLUMN);
  const struct dr_diff_options options = {.changeset_path = world.set_path};
  assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
  assert_int_equal(dr_diff_begin(world.mirror, &options, &second, &world.error), DRAY_E_INTERNAL);
  assert_int_equal(dr_mirror_commit(world.mirror, 5, &world.error), DRAY_E_INTERNAL);
  dr_diff_free(diff);
  (void)world_run(&world, &full, ROWS("1,a,1", "\\N,b,2"));
  assert_ok(&world, world_ack(&world, NULL));
  assert_int_equal(dr_diff_begin(world.mirror, &options, &diff, &world.error), DRAY_E_INTERNAL); // not committed
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  struct dr_changeset *set = NULL;
  struct dr_changes *changes = NULL;
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  assert_ok(&world, dr_changeset_next(set, 1, 1, 1, 0, &changes, &world.error));
  assert_int_equal(dr_mirror_ack(world.mirror, changes, (const uint8_t[]){1}, &world.error),
                   DRAY_E_INTERNAL); // a reject
  dr_changes_free(changes);
  dr_changeset_close(set);
  assert_string_equal(world_held(&world), "");
}

static void test_composite_key_of_many_types(void **state) {
  (void)state;
  world_remove(&world);
  world_make(&world, "t timestamp; b bytes; v float64; d decimal(12,3); s string", "s,d,t,b");
  assert_ok(&world, world_open(&world));
  world_load(&world, 1, ROWS("2024-01-01T00:00:00Z,x,1.5,1.5,é", "2024-01-01T00:00:00Z,x,1.5,1.501,é"));
  assert_string_equal(
      world_run(&world, &full, ROWS("2024-01-01T00:00:00Z,x,2.5,1.500,é", "2024-01-01T00:00:00Z,x,-0,-1.5,é")),
      "~ 2024-01-01T00:00:00Z,x,2.5,1.500,é [v]\n+ 2024-01-01T00:00:00Z,x,0,-1.500,é\n"
      "- 2024-01-01T00:00:00Z,x,1.5,1.501,é\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_first_pass_inserts_every_row),
      TEST(test_only_what_differs_is_a_change),
      TEST(test_update_shows_the_row_before),
      TEST(test_unseen_keys_stay_without_full),
      TEST(test_null_and_empty_text_differ),
      TEST(test_row_that_was_not_acknowledged_comes_again),
      TEST(test_unacknowledged_delete_comes_again_and_key_can_come_back),
      TEST(test_null_keys_are_withheld_with_a_reason),
      TEST(test_all_copies_of_a_key_are_withheld),
      TEST(test_first_and_last_of_several_rows_by_place),
      TEST(test_first_and_last_by_a_column),
      TEST(test_order_of_long_texts_looks_at_all_of_them),
      TEST(test_tombstone_deletes_what_the_mirror_has),
      TEST(test_tombstone_and_row_of_one_key_are_settled_by_the_last),
      TEST(test_tombstone_among_long_texts_is_settled_by_all_of_them),
      TEST(test_absent_values_are_no_change),
      TEST(test_absent_value_of_an_insert_stays_absent_until_it_is_said),
      TEST(test_resync_sends_every_row_and_the_deletes),
      TEST(test_new_column_makes_every_row_a_change_once),
      TEST(test_dropped_column_is_no_change_and_rewritten_once),
      TEST(test_renamed_column_is_another_column_though_its_values_are_the_same),
      TEST(test_changed_type_counts_as_changed_where_the_value_differs),
      TEST(test_rows_of_another_key_are_refused),
      TEST(test_batches_never_mix_rejects_deletes_and_changes),
      TEST(test_misuse_is_refused),
      TEST(test_composite_key_of_many_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
