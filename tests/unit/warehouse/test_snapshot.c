// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The snapshot of a model: what it finds changed, what stays open until it is settled, and who may write to it. Run by
// SQLite, also as engines without temporary tables and with DDL outside of transactions.
#include "warehouse/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"
#include "warehouse/snapshot_inside.h"
#include "world.h"

static const struct dray_column_def columns[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 1}, {"part", {DRAY_TYPE_STRING, 0, 0}, 1}, {"word", {DRAY_TYPE_STRING, 0, 0}, 1}};
static const char *const key[] = {"id", "part"};

static struct dr_snapshot_options options(void) {
  return (struct dr_snapshot_options){.id = 0xabc,
                                      .model = "SELECT id, part, word FROM m -- all",
                                      .columns = columns,
                                      .column_count = 3,
                                      .key = key,
                                      .key_count = 2};
}

static struct dr_snapshot *open_it(struct world *world) {
  const struct dr_snapshot_options wanted = options();
  struct dr_snapshot *snapshot = NULL;
  assert_ok(dr_snapshot_open(&world->warehouse, &wanted, &snapshot, &world_error));
  return snapshot;
}

static void make_model(struct world *world) {
  world_execute(world, "CREATE TABLE m (id INTEGER, part TEXT COLLATE NOCASE, word TEXT COLLATE NOCASE)");
  world_execute(world, "INSERT INTO m VALUES (1, 'a', 'one'), (1, 'A', 'ONE'), (2, 'a', NULL), (3, 'a', 'three')");
}

// What would be read, in an order.
static const char *read_it(struct world *world, const struct dr_snapshot *snapshot, int what, uint64_t open) {
  struct dray_buffer sql, whole;
  dray_buffer_init(&sql, 1u << 20);
  dray_buffer_init(&whole, 1u << 20);
  assert_ok(dr_snapshot_select(snapshot, what, 1, open, &sql, &world_error));
  assert_ok(dray_buffer_printf(&whole, &world_error,
                               "SELECT id, part, word, _dray_kind FROM (%.*s) ORDER BY id, CAST(part AS BLOB), "
                               "CAST(word AS BLOB), _dray_kind",
                               DRAY_STR_ARG(dray_buffer_view(&sql))));
  const char *rows = world_query(world, whole.data);
  dray_buffer_free(&sql);
  dray_buffer_free(&whole);
  return rows;
}

// Settles what was read: rows whose number is in `settled` (bits from 1).
static int32_t settle(struct dr_snapshot *snapshot, struct dr_snapshot_state *state, int remade, uint8_t settled,
                      uint64_t last, uint64_t token) {
  struct dr_snapshot_state after = {.token = token, .identity = "1d", .bytes = 10};
  const struct dr_snapshot_settling settling = {remade, &settled, last, state, &after};
  const int32_t code = dr_snapshot_settle(snapshot, &settling, &world_error);
  if (code == DRAY_OK) *state = after;
  return code;
}

// Made, and believed of all four rows.
static struct dr_snapshot_state make_snapshot(struct dr_snapshot *snapshot) {
  struct dr_snapshot_state state = {.token = 7};
  assert_ok(dr_snapshot_remake(snapshot, 7, &world_error));
  assert_ok(settle(snapshot, &state, 1, 0x1e, 4, 8));
  return state;
}

static void find_changes(int variant) {
  struct world world;
  world_open(&world, "found.db", variant);
  make_model(&world);
  struct dr_snapshot *snapshot = open_it(&world);
  struct dr_snapshot_state state = make_snapshot(snapshot), seen;
  uint64_t open = 9, rows = 9, hidden = 9;
  int whole = 0;
  assert_ok(dr_snapshot_look(snapshot, &seen, &world_error));
  assert_int_equal(seen.token, 8);
  assert_string_equal(seen.identity, "1d");
  assert_int_equal(seen.rows, 4);
  assert_ok(dr_snapshot_check(snapshot, &seen, &whole, &open, &world_error));
  assert_true(whole && open == 0);
  assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_WOULD_BE, 0), "");
  assert_ok(dr_snapshot_advance(snapshot, &state, 0, 9, &rows, &world_error));
  assert_int_equal(rows, 0);
  assert_ok(dr_snapshot_look(snapshot, &seen, &world_error));
  assert_int_equal(seen.token, 8); // nothing was written
  // A change of case is a change, of a key another key; a copy; a row without a key.
  world_execute(&world, "UPDATE m SET word = 'One' WHERE id = 1 AND word = 'one' COLLATE BINARY");
  world_execute(&world, "UPDATE m SET part = 'b' WHERE part = 'A' COLLATE BINARY");
  world_execute(&world, "INSERT INTO m SELECT * FROM m WHERE id = 3");
  world_execute(&world, "INSERT INTO m VALUES (NULL, 'a', 'x')");
  const char *wanted = "~|a|x|1\n1|A|~|4\n1|a|One|1\n1|b|ONE|1\n3|a|three|1\n3|a|three|1\n";
  assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_WOULD_BE, 0), wanted);
  assert_ok(dr_snapshot_advance(snapshot, &state, 0, 9, &rows, &world_error));
  assert_int_equal(rows, 6);
  assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_CHANGES, 0), wanted);
  assert_ok(dr_snapshot_hidden(snapshot, &state, &hidden, &world_error));
  assert_int_equal(hidden, 1); // 2|a
  dr_snapshot_close(snapshot);
  world_close(&world);
}

static const int variants[] = {WORLD_PLAIN, WORLD_NO_TEMP_TABLES, WORLD_NO_TRANSACTIONAL_DDL, WORLD_DOLLAR,
                               WORLD_NO_TEMP_TABLES | WORLD_NO_TRANSACTIONAL_DDL};
#define VARIANTS (sizeof variants / sizeof variants[0])

static void test_what_changed_is_found_exactly(void **state) {
  for (size_t i = 0; i < VARIANTS; i++) {
    world_fresh(state);
    find_changes(variants[i]);
  }
}

static void test_what_is_not_settled_comes_again(void **unused) {
  for (size_t i = 0; i < VARIANTS; i++) {
    struct world world;
    world_fresh(unused);
    world_open(&world, "again.db", variants[i]);
    make_model(&world);
    struct dr_snapshot *snapshot = open_it(&world);
    struct dr_snapshot_state state = make_snapshot(snapshot);
    uint64_t rows = 0, open = 0;
    int whole = 0;
    world_execute(&world, "INSERT INTO m VALUES (4, 'a', 'four')");
    assert_ok(dr_snapshot_advance(snapshot, &state, 0, 9, &rows, &world_error));
    state.token = 9;
    assert_ok(settle(snapshot, &state, 0, 0, 1, 10)); // not known to have come there
    world_execute(&world, "DELETE FROM m WHERE id IN (3, 4)");
    world_execute(&world, "UPDATE m SET word = 'two' WHERE id = 2");
    assert_ok(dr_snapshot_check(snapshot, &state, &whole, &open, &world_error));
    assert_true(whole && open == 1);
    const char *wanted = "2|a|two|1\n3|a|~|4\n4|a|~|4\n"; // 4 may be there all the same
    assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_WOULD_BE, open), wanted);
    assert_ok(dr_snapshot_advance(snapshot, &state, open, 11, &rows, &world_error));
    state.token = 11;
    assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_CHANGES, 0), wanted);
    assert_ok(settle(snapshot, &state, 0, 0x0e, 3, 12));
    assert_int_equal(state.rows, 3);
    assert_ok(dr_snapshot_check(snapshot, &state, &whole, &open, &world_error));
    assert_true(whole && open == 0);
    assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_WOULD_BE, 0), "");
    assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_ALL, 0), "1|A|ONE|1\n1|a|one|1\n2|a|two|1\n");
    dr_snapshot_close(snapshot);
    world_close(&world);
  }
}

// A row beyond those that were read (the reader gave up a row it could not read) is not settled either.
static void test_rows_that_were_not_seen_are_not_settled(void **unused) {
  struct world world;
  (void)unused;
  world_open(&world, "unseen.db", WORLD_PLAIN);
  make_model(&world);
  struct dr_snapshot *snapshot = open_it(&world);
  struct dr_snapshot_state state = {.token = 7};
  assert_ok(dr_snapshot_remake(snapshot, 7, &world_error));
  assert_ok(settle(snapshot, &state, 1, 0x0a, 3, 8)); // 1 and 3 of four
  assert_int_equal(state.rows, 2);
  assert_string_equal(world_query(&world, "SELECT COUNT(*) FROM dray__changes_0000000000000abc"), "2\n");
  dr_snapshot_close(snapshot);
  world_close(&world);
}

static void test_somebody_else_who_writes_is_noticed(void **unused) {
  struct world world;
  (void)unused;
  world_open(&world, "fence.db", WORLD_PLAIN);
  make_model(&world);
  struct dr_snapshot *snapshot = open_it(&world);
  struct dr_snapshot_state state = make_snapshot(snapshot), theirs = state;
  uint64_t rows = 0;
  world_execute(&world, "DELETE FROM m WHERE id = 2");
  assert_ok(dr_snapshot_advance(snapshot, &theirs, 0, 9, &rows, &world_error));
  assert_int_equal(dr_snapshot_advance(snapshot, &state, 0, 10, &rows, &world_error), DRAY_E_STATE_GENERATION);
  assert_int_equal(settle(snapshot, &state, 0, 0, 1, 10), DRAY_E_STATE_GENERATION);
  assert_ok(dr_snapshot_look(snapshot, &theirs, &world_error));
  assert_int_equal(theirs.token, 9);
  assert_string_equal(read_it(&world, snapshot, DR_SNAPSHOT_READ_CHANGES, 0), "2|a|~|4\n");
  dr_snapshot_close(snapshot);
  world_close(&world);
}

static void test_drop_leaves_nothing(void **unused) {
  struct world world;
  (void)unused;
  world_open(&world, "drop.db", WORLD_PLAIN);
  make_model(&world);
  struct dr_snapshot *snapshot = open_it(&world);
  assert_ok(dr_snapshot_drop(snapshot, &world_error)); // nothing there yet
  assert_ok(dr_snapshot_try(snapshot, &world_error));
  assert_string_equal(world_query(&world, "SELECT name FROM sqlite_master ORDER BY 1"), "m\n");
  (void)make_snapshot(snapshot);
  assert_ok(dr_snapshot_drop(snapshot, &world_error));
  assert_string_equal(world_query(&world, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"),
                      "_dray_state\nm\n");
  assert_string_equal(world_query(&world, "SELECT COUNT(*) FROM _dray_state"), "0\n");
  dr_snapshot_close(snapshot);
  world_close(&world);
}

static void test_an_engine_that_cannot_compare_is_refused(void **unused) {
  struct world world;
  struct dr_snapshot_options wanted = options();
  struct dr_snapshot *snapshot = NULL;
  (void)unused;
  world_open(&world, "poor.db", WORLD_PLAIN);
  world.warehouse.dialect.differs[DRAY_TYPE_STRING] = dray_str_make(NULL, 0);
  assert_int_equal(dr_snapshot_open(&world.warehouse, &wanted, &snapshot, &world_error), DRAY_E_CONFIG_VALUE);
  assert_string_equal(world_error.field, "diff");
  world_close(&world);
}

static void test_where_a_statement_ends(void **unused) {
  static const struct {
    const char *sql, *statement;
  } cases[] = {
      {"SELECT 1", "SELECT 1"},
      {"SELECT 1;", "SELECT 1"},
      {"SELECT 1; ; -- a ; b\n /* c */ ", "SELECT 1"},
      {"SELECT ';' -- ;", "SELECT ';' -- ;"},
      {"SELECT \"a;\", `b;`, $x$ ; $x$, $$;$$;", "SELECT \"a;\", `b;`, $x$ ; $x$, $$;$$"},
      {"SELECT 1; SELECT 2", "SELECT 1; SELECT 2"},
      {"SELECT 'it''s;' /* ; */;--", "SELECT 'it''s;' /* ; */"},
      {"SELECT 'open;", "SELECT 'open;"},
      {"SELECT $1; /* open", "SELECT $1"},
      {"", ""},
  };
  (void)unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct dray_str found = dr_statement_of(cases[i].sql);
    char text[100];
    (void)snprintf(text, sizeof text, "%.*s", DRAY_STR_ARG(found));
    assert_string_equal(text, cases[i].statement);
  }
}

// ---- failing allocations ----

static int32_t live_once(void *ctx) {
  struct world *world = ctx;
  const struct dr_snapshot_options wanted = options();
  struct dr_snapshot_state state = {.token = 7}, after = {.token = 8, .identity = "1d"};
  const uint8_t settled = 0x1c;
  const struct dr_snapshot_settling settling = {1, &settled, 4, &state, &after};
  struct dr_snapshot *snapshot = NULL;
  struct dray_buffer sql;
  uint64_t rows = 0;
  dray_buffer_init(&sql, 1u << 20);
  int32_t code = dr_snapshot_open(&world->warehouse, &wanted, &snapshot, &world_error);
  if (code == DRAY_OK) code = dr_snapshot_remake(snapshot, 7, &world_error);
  if (code == DRAY_OK) code = dr_snapshot_settle(snapshot, &settling, &world_error);
  if (code == DRAY_OK) code = dr_snapshot_select(snapshot, DR_SNAPSHOT_READ_WOULD_BE, 1, 1, &sql, &world_error);
  if (code == DRAY_OK) code = dr_snapshot_advance(snapshot, &after, 1, 9, &rows, &world_error);
  if (code == DRAY_OK) code = dr_snapshot_drop(snapshot, &world_error);
  dray_buffer_free(&sql);
  dr_snapshot_close(snapshot);
  return code;
}

static void test_every_failing_allocation_is_told(void **unused) {
  struct world world;
  (void)unused;
  world_open(&world, "torture.db", WORLD_PLAIN);
  make_model(&world);
  assert_true(torture_every(live_once, &world) > 20);
  world_close(&world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_what_changed_is_found_exactly, world_fresh),
      cmocka_unit_test_setup(test_what_is_not_settled_comes_again, world_fresh),
      cmocka_unit_test_setup(test_rows_that_were_not_seen_are_not_settled, world_fresh),
      cmocka_unit_test_setup(test_somebody_else_who_writes_is_noticed, world_fresh),
      cmocka_unit_test_setup(test_drop_leaves_nothing, world_fresh),
      cmocka_unit_test_setup(test_an_engine_that_cannot_compare_is_refused, world_fresh),
      cmocka_unit_test(test_where_a_statement_ends),
      cmocka_unit_test_setup(test_every_failing_allocation_is_told, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
