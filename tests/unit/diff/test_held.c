// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a mirror still knows of a row, from journal and base, before and after a merge, under its own schema and under
// another: by what it keeps.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff/mirror.h"
#include "torture.h"
#include "world.h"

static struct world world;

static void make(int keep, const char *key) {
  world_make(&world, "id int64; name string; qty int64", key);
  world.keep = keep;
  assert_ok(&world, world_open(&world));
  world_load(&world, 1, ROWS("1,ann,5", "2,bob,6", "3,cyd,7"));
}

static int clean(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

static struct dr_found find(const char *row) {
  struct dr_found found;
  struct dr_hash128 hash;
  uint8_t nulls;
  uint64_t count;
  const char *const rows[] = {row};
  struct dr_batch *batch = world_batch(&world, rows, 1);
  assert_ok(&world, dr_key_hashes(&world.mirror->keys, batch, &hash, &nulls, &count, &world.error));
  assert_ok(&world, dr_mirror_settle(world.mirror, &world.error));
  assert_ok(&world, dr_mirror_find(world.mirror, hash.high, hash.low, &found, &world.error));
  dr_batch_free(batch);
  return found;
}

static uint64_t row_hash(const char *row) {
  uint64_t hash;
  const char *const rows[] = {row};
  struct dr_batch *batch = world_batch(&world, rows, 1);
  assert_ok(&world, dr_row_hashes(&world.mirror->slots.encoder, batch, &hash, &world.error));
  dr_batch_free(batch);
  return hash;
}

// The encoded row that `text` is, under the current schema; `?` is absent.
static struct dray_buffer encoded(const char *text) {
  struct dray_buffer out;
  const char *const rows[] = {text};
  struct dr_batch *batch = world_batch(&world, rows, 1);
  dray_buffer_init(&out, 1u << 20);
  assert_ok(&world, dr_encode_row(&world.mirror->slots.encoder, batch, 0, &out, &world.error));
  dr_batch_free(batch);
  return out;
}

// Asserts that the mirror holds of the row with the key of `row` what `text` says.
static void assert_held(const char *row, const char *text) {
  const struct dr_found found = find(row);
  struct dray_buffer wanted = encoded(text), mapped;
  struct dray_str held, slices[16];
  struct dr_rows_map *map;
  assert_true(found.found);
  dray_buffer_init(&mapped, 1u << 20);
  assert_ok(&world, dr_mirror_row(world.mirror, &found, &held, &map, &world.error));
  assert_ok(&world, dr_rows_remap(map, held, slices, &mapped, &world.error));
  assert_int_equal(mapped.len, wanted.len);
  assert_memory_equal(mapped.data, wanted.data, wanted.len);
  dray_buffer_free(&mapped);
  dray_buffer_free(&wanted);
}

// Asserts which columns, in the order of their names, are held as those of `row`: '=' as there, '0' not known, 'x'
// another value.
static void assert_columns(const char *row, const char *marks) {
  const struct dr_found found = find(row);
  struct dray_buffer wanted = encoded(row);
  struct dray_str slices[16];
  uint32_t columns[16];
  const size_t count = dr_slots_count(&world.mirror->slots);
  assert_true(found.found);
  assert_ok(&world, dr_mirror_columns(world.mirror, &found, columns, &world.error));
  assert_ok(&world, dr_decode_slices(dray_buffer_view(&wanted), count, slices, &world.error));
  assert_int_equal(strlen(marks), count);
  for (size_t i = 0; i < count; i++) {
    const char mark = columns[i] == 0 ? '0' : columns[i] == dr_payload_column_hash(slices[i], world.seed) ? '=' : 'x';
    if (mark != marks[i]) fail_msg("column %zu of %s is %c, not %c", i, row, mark, marks[i]);
  }
  dray_buffer_free(&wanted);
}

static void merge(void) {
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
}

static void use_columns(const char *columns) {
  world_close(&world);
  world_set_columns(&world, columns);
  assert_ok(&world, world_open(&world));
}

// ---- what is kept ----

static void test_rows_are_held_whole(void **state) {
  (void)state;
  make(DR_KEEP_ROW, "id");
  for (int merged = 0; merged < 2; merged++) {
    assert_held("2,?,?", "2,bob,6");
    assert_true(find("2,?,?").row_hash == row_hash("2,bob,6"));
    assert_int_equal(find("2,?,?").in_journal, !merged);
    merge();
  }
}

static void test_only_the_key_is_held(void **state) {
  (void)state;
  static const char *const keys[] = {"id", "name", "id,qty"};
  static const char *const held[] = {"2,?,?", "?,bob,?", "2,?,6"};
  for (size_t i = 0; i < 3; i++) {
    make(DR_KEEP_KEY, keys[i]);
    for (int merged = 0; merged < 2; merged++) {
      assert_held("2,bob,6", held[i]);
      assert_true(find("2,bob,6").row_hash == row_hash("2,bob,6"));
      merge();
    }
    world_reopen(&world);
    assert_held("2,bob,6", held[i]);
    struct dr_mirror_info info;
    assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
    assert_int_equal(info.keep, DR_KEEP_KEY);
    assert_int_equal(info.rows, 3);
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id"); // for clean()
}

static void test_columns_are_held_as_hashes(void **state) {
  (void)state;
  static const char *const keys[] = {"id", "name"};
  static const char *const held[] = {"2,?,?", "?,bob,?"};
  for (size_t i = 0; i < 2; i++) {
    make(DR_KEEP_COLUMNS, keys[i]);
    for (int merged = 0; merged < 2; merged++) {
      assert_columns("2,bob,6", "===");
      assert_columns("2,bob,9", "==x");
      assert_held("2,bob,6", held[i]);
      merge();
    }
    (void)clean(state);
  }
  make(DR_KEEP_COLUMNS, "id");
}

static void test_a_mirror_keeps_what_it_was_made_to_keep(void **state) {
  (void)state;
  struct dr_mirror_info info;
  make(DR_KEEP_COLUMNS, "id");
  world.keep = DR_KEEP_ROW;
  world_reopen(&world);
  dr_mirror_info(world.mirror, &info);
  assert_int_equal(info.keep, DR_KEEP_COLUMNS);
  merge();
  world_reopen(&world);
  dr_mirror_info(world.mirror, &info);
  assert_int_equal(info.keep, DR_KEEP_COLUMNS);
  assert_columns("2,bob,6", "===");
  world_close(&world);
  world.keep = 3;
  assert_int_equal(world_open(&world), DRAY_E_INTERNAL);
  world.keep = DR_KEEP_COLUMNS;
}

// ---- another schema ----

static void test_rows_are_hashed_anew_under_another_schema(void **state) {
  (void)state;
  make(DR_KEEP_ROW, "id");
  merge();
  use_columns("qty int64; more string; id int64");
  assert_held("?,?,2", "6,?,2");
  merge();
  assert_held("?,?,2", "6,?,2");
  assert_true(find("?,?,2").row_hash == row_hash("6,?,2"));
}

static void test_column_hashes_move_with_their_columns(void **state) {
  (void)state;
  make(DR_KEEP_COLUMNS, "id");
  merge();
  world_load(&world, 2, ROWS("1,ann,5", "2,bob,6", "3,cyd,8")); // one of them in the journal
  use_columns("qty int64; more string; id int64; z int64");     // by name: id, more, qty, z
  for (int merged = 0; merged < 2; merged++) {
    assert_columns("6,x,2,1", "=0=0");
    assert_columns("8,x,3,1", "=0=0");
    assert_columns("7,x,3,1", "=0x0");
    assert_held("?,?,3,?", "?,?,3,?");
    merge();
  }
}

// A row whose columns took each other's place has the same bytes, and is another row all the same.
static void test_row_hashes_that_cannot_move_match_no_row(void **state) {
  (void)state;
  static const int keeps[] = {DR_KEEP_COLUMNS, DR_KEEP_KEY};
  for (size_t i = 0; i < 2; i++) {
    make(keeps[i], "id");
    merge();
    const uint64_t before = row_hash("2,bob,6");
    use_columns("id int64; name string; quantity int64");
    assert_true(row_hash("2,bob,6") == before);
    merge();
    assert_true(find("2,?,?").found);
    assert_true(find("2,?,?").row_hash != before);
    use_columns("id int64; name string; qty int64"); // and does not come back
    merge();
    assert_true(find("2,?,?").row_hash != before);
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id");
}

// Table and mirror beside each other: a column that came after the row is null there, and the mirror knows nothing of
// it. Where it keeps the key alone it knows nothing of such a row at all.
static void test_a_null_that_the_mirror_does_not_know_is_no_change(void **state) {
  (void)state;
  static const int keeps[] = {DR_KEEP_ROW, DR_KEEP_COLUMNS, DR_KEEP_KEY};
  const struct world_pass plain = {.flags = DR_DIFF_FULL}, known = {.flags = DR_DIFF_FULL | DR_DIFF_KNOWN};
  for (size_t i = 0; i < 3; i++) {
    const int key = keeps[i] == DR_KEEP_KEY;
    make(keeps[i], "id");
    merge();
    use_columns("id int64; name string; qty int64; more string");
    for (int merged = 0; merged < 2; merged++) {
      (void)world_run(&world, &plain, ROWS("1,ann,5,\\N", "2,bob,6,\\N", "3,cyd,7,\\N"));
      assert_int_equal(world.counts.updates, 3);
      assert_string_equal(world_run(&world, &known, ROWS("1,ann,5,\\N", "2,bob,6,\\N", "3,cyd,7,\\N")), "");
      assert_int_equal(world.counts.unchanged, 3);
      assert_int_equal(world.counts.unknown, key ? 3 : 0);
      assert_string_equal(world_run(&world, &known, ROWS("1,ann,5,x", "2,bob,\\N,\\N", "3,cyd,7,\\N", "4,d,1,\\N")),
                          key ? "+ 4,d,1,\\N\n" : "~ 1,ann,5,x [more]\n~ 2,bob,\\N,\\N [qty]\n+ 4,d,1,\\N\n");
      merge();
    }
    world_load(&world, 3, ROWS(key ? "1,ann,5,\\N" : "1,ann,5,?", "2,bob,6,\\N", "3,cyd,7,x")); // under the new schema
    assert_string_equal(world_run(&world, &known, ROWS("1,ann,5,\\N", "2,bob,6,y", "3,cyd,7,\\N")),
                        key ? "~ 2,bob,6,y [id,name,qty,more]\n~ 3,cyd,7,\\N [id,name,qty,more]\n"
                            : "~ 2,bob,6,y [more]\n~ 3,cyd,7,\\N [more]\n");
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id");
}

// In a column where nulls say nothing, the other side may have kept a value that the mirror never knew.
static void test_a_value_that_was_never_said_is_no_change_where_that_may_be(void **state) {
  static const int keeps[] = {DR_KEEP_ROW, DR_KEEP_COLUMNS, DR_KEEP_KEY};
  static const uint8_t qty[] = {0, 0, 1};
  const struct world_pass bare = {.flags = DR_DIFF_FULL | DR_DIFF_KNOWN};
  const struct world_pass unsaid = {.flags = DR_DIFF_FULL | DR_DIFF_KNOWN, .unsaid = qty};
  for (size_t i = 0; i < 3; i++) {
    make(keeps[i], "id");
    world_load(&world, 2, ROWS("8,ann,?", "9,bob,6"));
    const int key = keeps[i] == DR_KEEP_KEY;
    if (!key) assert_string_equal(world_run(&world, &bare, ROWS("8,ann,5", "9,bob,6")), "~ 8,ann,5 [qty]\n");
    assert_string_equal(world_run(&world, &unsaid, ROWS("8,ann,5", "9,bob,6")), "");
    assert_string_equal(world_run(&world, &unsaid, ROWS("8,eve,5", "9,bob,7")),
                        key ? "" : "~ 8,eve,5 [name]\n~ 9,bob,7 [qty]\n");
    assert_int_equal(world.counts.unknown, key ? 2 : 0); // which part of such a row was said is not held
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id");
}

// ---- counting ----

static uint64_t rows_now(void) {
  struct dr_mirror_info info;
  dr_mirror_info(world.mirror, &info);
  return info.rows;
}

// Hashes of rows tell whether a row that was refused, or is in doubt, is still the same.
static void test_updates_of_some_columns_are_told_apart_by_their_hashes(void **state) {
  (void)state;
  static const char *const versions[] = {"1,eve,?", "1,fay,?"};
  uint64_t hashes[2] = {0, 0};
  make(DR_KEEP_COLUMNS, "id");
  for (size_t i = 0; i < 2; i++) {
    struct dr_changeset *set = NULL;
    struct dr_changes *changes = NULL;
    assert_string_equal(world_run(&world, NULL, ROWS(versions[i])),
                        i == 0 ? "~ 1,eve,? [name]\n" : "~ 1,fay,? [name]\n");
    assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
    assert_ok(&world, dr_changeset_next(set, 0, 1, 1, 0, &changes, &world.error));
    hashes[i] = changes->row_hash[0];
    dr_changes_free(changes);
    dr_changeset_close(set);
  }
  assert_int_not_equal(hashes[0], hashes[1]);
  assert_int_not_equal(hashes[0], DR_ROW_HASH_UNKNOWN);
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  assert_int_equal(find("1,fay,?").row_hash, DR_ROW_HASH_UNKNOWN); // what of the row is held is not all of it
  assert_string_equal(world_run(&world, NULL, ROWS("1,fay,?", "1,fay,?")),
                      "x 1,?,? data_key_duplicate\nx 1,?,? data_key_duplicate\n");
  assert_string_equal(world_run(&world, NULL, ROWS("1,fay,5")), "");
  assert_string_equal(world_run(&world, NULL, ROWS("1,fay,6")), "~ 1,fay,6 [qty]\n");
}

static void test_rows_are_counted_exactly_at_the_end_of_a_run(void **state) {
  (void)state;
  make(DR_KEEP_KEY, "id");
  (void)world_run(&world, NULL, ROWS("4,dan,1", "!1,\\N,\\N"));
  for (uint64_t i = 2; i < 5; i++) { // the same set again and again, as after a crash
    assert_ok(&world, world_ack(&world, NULL));
    world_commit(&world, i);
  }
  const uint64_t base = world_base(&world);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(world_base(&world), base); // nothing was merged for that
  assert_int_equal(rows_now(), 3);
  merge();
  assert_int_equal(rows_now(), 3);
  assert_ok(&world, world_ack(&world, NULL)); // though the base has it
  world_commit(&world, 6);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(rows_now(), 3);
}

// ---- acknowledging a whole set ----

static void acknowledge_all(uint64_t count, uint64_t generation) {
  struct dr_changeset *set = NULL;
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  assert_ok(&world, dr_mirror_ack_all(world.mirror, set, count, &world.error));
  dr_changeset_close(set);
  world_commit(&world, generation);
}

static void test_whole_set_is_acknowledged_without_its_rejects(void **state) {
  (void)state;
  static const int keeps[] = {DR_KEEP_ROW, DR_KEEP_COLUMNS, DR_KEEP_KEY};
  for (size_t i = 0; i < 3; i++) {
    make(keeps[i], "id");
    const struct world_pass pass = {.flags = DR_DIFF_FULL};
    (void)world_run(&world, &pass, ROWS("9,x,1", "9,y,1", "1,ann,5", "2,bob,7", "\\N,z,1", "4,dan,1"));
    acknowledge_all(UINT64_MAX, 2);
    for (int merged = 0; merged < 2; merged++) {
      assert_true(find("1,?,?").row_hash == row_hash("1,ann,5"));
      assert_true(find("2,?,?").row_hash == row_hash("2,bob,7"));
      assert_true(find("4,?,?").row_hash == row_hash("4,dan,1"));
      assert_false(find("3,?,?").found);
      assert_false(find("9,?,?").found);
      if (keeps[i] == DR_KEEP_ROW) assert_held("2,?,?", "2,bob,7");
      if (keeps[i] == DR_KEEP_COLUMNS) assert_columns("2,bob,7", "===");
      merge();
    }
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id");
}

static void test_part_of_a_set_is_acknowledged(void **state) {
  (void)state;
  make(DR_KEEP_KEY, "id");
  (void)world_run(&world, NULL, ROWS("4,dan,1", "5,eve,1", "6,fay,1"));
  acknowledge_all(2, 2);
  assert_true(find("5,?,?").found);
  assert_false(find("6,?,?").found);
}

static void test_set_of_rejects_leaves_the_journal_alone(void **state) {
  (void)state;
  struct dr_mirror_info before, after;
  make(DR_KEEP_KEY, "id");
  merge(); // a journal that knows no schema
  dr_mirror_info(world.mirror, &before);
  (void)world_run(&world, NULL, ROWS("9,x,1", "9,y,1"));
  acknowledge_all(UINT64_MAX, before.generation);
  dr_mirror_info(world.mirror, &after);
  assert_int_equal(after.journal_bytes, before.journal_bytes);
}

// ---- damage between two readings ----

static void test_change_that_is_not_what_it_was_is_refused(void **state) {
  (void)state;
  static const int keeps[] = {DR_KEEP_ROW, DR_KEEP_COLUMNS, DR_KEEP_KEY};
  for (size_t i = 0; i < 3; i++) {
    make(keeps[i], "name");
    const struct dr_found found = find("2,bob,6");
    const struct dr_item *item = &world.mirror->items[found.number];
    for (uint64_t at = item->place - DR_CHANGE_BYTES; at < item->place + item->bytes; at++) {
      struct dray_str held;
      struct dr_rows_map *map;
      uint8_t byte;
      const int fd = world.mirror->journal->fd;
      assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
      byte ^= 4;
      assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
      const int32_t rc = dr_mirror_row(world.mirror, &found, &held, &map, &world.error);
      byte ^= 4;
      assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
      // The operation was remembered when it was verified, and is not asked again.
      const int in_operation = at == item->place - DR_CHANGE_BYTES + 3;
      if (!in_operation) assert_int_equal(rc, DRAY_E_MIRROR_CORRUPT);
    }
    (void)clean(state);
  }
  make(DR_KEEP_KEY, "id");
}

// ---- failing allocations ----

static int32_t life(void *ctx) {
  struct dr_found found = {.found = 1};
  struct dray_str held;
  struct dr_rows_map *map;
  uint32_t columns[16];
  (void)ctx;
  int32_t rc = world_open(&world);
  if (rc == DRAY_OK) rc = dr_mirror_row(world.mirror, &found, &held, &map, &world.error);
  if (rc == DRAY_OK) rc = dr_mirror_columns(world.mirror, &found, columns, &world.error);
  found.in_journal = 1; // unless an attempt got so far that it merged
  if (rc == DRAY_OK && world.mirror->item_count > 0)
    rc = dr_mirror_row(world.mirror, &found, &held, &map, &world.error);
  if (rc == DRAY_OK) rc = dr_mirror_rewrite(world.mirror, &world.error);
  world_close(&world);
  return rc;
}

static void test_failing_allocations_where_columns_are_kept(void **state) {
  (void)state;
  make(DR_KEEP_COLUMNS, "name");
  merge();
  world_load(&world, 2, ROWS("1,ann,5", "2,bob,6", "3,cyd,8", "4,dan,1"));
  world_close(&world);
  world_set_columns(&world, "qty int64; more string; id int64; name string");
  assert_true(torture_every(life, NULL) > 40);
  assert_ok(&world, world_open(&world));
  assert_columns("8,x,3,cyd", "=0==");
}

// Each change of the last set: 'y' where the mirror holds it, else 'n'; and the places of the rows in the input.
static void ask(char *out_holds, char *out_places) {
  struct dr_changeset *set = NULL;
  size_t count = 0;
  assert_ok(&world, dr_changeset_open(world.set_path, &set, &world.error));
  for (uint64_t seq = 0;;) {
    struct dr_changes *changes = NULL;
    uint8_t holds[16];
    assert_ok(&world, dr_changeset_next(set, seq, 16, 1 << 20, 0, &changes, &world.error));
    if (changes == NULL) break;
    assert_ok(&world, dr_mirror_holds(world.mirror, changes, holds, &world.error));
    for (size_t i = 0; i < changes->count; i++) {
      out_holds[count] = holds[i] ? 'y' : 'n';
      out_places[count++] = changes->place[i] == UINT64_MAX ? '-' : (char)('0' + changes->place[i]);
    }
    seq = changes->first_seq + changes->count;
    dr_changes_free(changes);
  }
  out_holds[count] = out_places[count] = '\0';
  dr_changeset_close(set);
}

static void test_a_mirror_says_which_changes_it_holds(void **state) {
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  const int first_two[] = {0, 1, -1};
  char holds[17], places[17];
  (void)state;
  for (int keep = DR_KEEP_ROW; keep <= DR_KEEP_KEY; keep++) {
    make(keep, "id");
    // Unchanged, changed, new, twice, without a key; 3 is gone.
    assert_ok(&world, world_try(&world, &pass, ROWS("1,ann,5", "2,bob,7", "4,dee,1", "5,e,1", "5,e,1", "\\N,f,1")));
    ask(holds, places);
    assert_string_equal(holds, "nnnnnn");
    assert_string_equal(places, "12345-");
    assert_ok(&world, world_ack(&world, first_two));
    world_commit(&world, 2);
    ask(holds, places);
    assert_string_equal(holds, "yynnnn");
    assert_ok(&world, world_ack(&world, NULL));
    world_commit(&world, 3);
    assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
    world_reopen(&world);
    ask(holds, places);
    assert_string_equal(holds, "yynnny"); // a row that was withheld is never held
    if (keep < DR_KEEP_KEY) world_remove(&world);
  }
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_rows_are_held_whole),
      TEST(test_a_mirror_says_which_changes_it_holds),
      TEST(test_only_the_key_is_held),
      TEST(test_columns_are_held_as_hashes),
      TEST(test_a_mirror_keeps_what_it_was_made_to_keep),
      TEST(test_rows_are_hashed_anew_under_another_schema),
      TEST(test_column_hashes_move_with_their_columns),
      TEST(test_row_hashes_that_cannot_move_match_no_row),
      TEST(test_a_null_that_the_mirror_does_not_know_is_no_change),
      TEST(test_a_value_that_was_never_said_is_no_change_where_that_may_be),
      TEST(test_updates_of_some_columns_are_told_apart_by_their_hashes),
      TEST(test_rows_are_counted_exactly_at_the_end_of_a_run),
      TEST(test_whole_set_is_acknowledged_without_its_rejects),
      TEST(test_part_of_a_set_is_acknowledged),
      TEST(test_set_of_rejects_leaves_the_journal_alone),
      TEST(test_change_that_is_not_what_it_was_is_refused),
      TEST(test_failing_allocations_where_columns_are_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
