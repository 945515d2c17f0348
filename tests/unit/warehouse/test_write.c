// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One write as a whole: the fence, the transaction, what a kill leaves, names and values that try to break out, and
// what 100,000 rows cost.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dray/destination.h"
#include "torture.h"
#include "world.h"

#define ROWS(...) ((const char *const[]){__VA_ARGS__})
#define INSERT DRAY_OP_INSERT
#define UPDATE DRAY_OP_UPDATE
#define DELETE DRAY_OP_DELETE
#define OPS(...) ((const uint8_t[]){__VA_ARGS__})

static const struct dray_column_def pair[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0}, {"v", {DRAY_TYPE_STRING, 0, 0}, 1}};
static const char *const id_key[] = {"id"};

static uint64_t generation_of(struct world *world, const struct dr_table_options *options, char *checkpoint,
                              size_t room) {
  struct dr_table_state state;
  assert_ok(dr_table_state_read(&world->warehouse, options, &state, &world_error));
  (void)snprintf(checkpoint, room, "%.*s", (int)state.checkpoint.len,
                 state.checkpoint.len > 0 ? state.checkpoint.data : "");
  dray_buffer_free(&state.checkpoint);
  return state.generation;
}

// ---- the state row and the fence ----

static void test_state_is_committed_with_the_data(void **state) {
  (void)state;
  struct world world;
  char checkpoint[64];
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(pair, 2);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  static const char *const names[] = {"plain", "it's \"a\" sync; --", "größe", ""};
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_int_equal(generation_of(&world, &options, checkpoint, sizeof checkpoint), 0); // no state table yet
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    options.sync = names[i];
    assert_int_equal(generation_of(&world, &options, checkpoint, sizeof checkpoint), 0);
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 0, &writer, &world_error));
    assert_ok(dr_table_writer_merge(writer, UINT64_MAX - i, dray_str_make("a\0b", 3), &written, &world_error));
    assert_ok(dr_table_writer_commit(writer, &world_error));
    dr_table_writer_free(writer);
    dr_table_plan_free(&plan);
    struct dr_table_state got;
    assert_ok(dr_table_state_read(&world.warehouse, &options, &got, &world_error));
    assert_true(got.generation == UINT64_MAX - i);
    assert_true(dray_str_equal(dray_buffer_view(&got.checkpoint), dray_str_make("a\0b", 3))); // opaque bytes
    dray_buffer_free(&got.checkpoint);
  }
  assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM _dray_state"), "4\n");
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_the_fence_stops_a_second_writer_before_it_writes(void **state) {
  (void)state;
  for (int variant = 0; variant <= WORLD_NO_TRANSACTIONAL_DDL; variant += WORLD_NO_TRANSACTIONAL_DDL) {
    struct world world;
    char checkpoint[64];
    struct dr_schema *schema = world_schema(pair, 2);
    const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
    world_fresh(NULL);
    world_open(&world, "w.db", variant);
    assert_int_equal(
        world_write(&world, &options, 5, world_changes(world_batch(schema, ROWS("1", "a"), 1), OPS(INSERT)), NULL),
        DRAY_E_STATE_GENERATION);
    assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM sqlite_schema"), "0\n"); // not even a table
    assert_ok(
        world_write(&world, &options, 0, world_changes(world_batch(schema, ROWS("1", "a"), 1), OPS(INSERT)), NULL));
    assert_ok(
        world_write(&world, &options, 1, world_changes(world_batch(schema, ROWS("1", "b"), 1), OPS(UPDATE)), NULL));
    // A restored mirror, or another machine, still at 1.
    assert_int_equal(
        world_write(&world, &options, 1, world_changes(world_batch(schema, ROWS("1", "old"), 1), OPS(UPDATE)), NULL),
        DRAY_E_STATE_GENERATION);
    assert_non_null(strstr(world_error.text, "generation 2"));
    assert_string_equal(world_query(&world, "SELECT v FROM t"), "b\n");
    assert_int_equal(generation_of(&world, &options, checkpoint, sizeof checkpoint), 2);
    assert_string_equal(checkpoint, "checkpoint");
    world_close(&world);
    dr_schema_unref(schema);
  }
}

static void test_two_writers_at_once_the_second_waits_or_is_busy(void **state) {
  (void)state;
  struct world one, two;
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(pair, 2);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&one, "w.db", WORLD_PLAIN);
  world_open(&two, "w.db", WORLD_PLAIN);
  assert_ok(dr_table_plan(&one.warehouse, &options, &plan, &world_error));
  assert_ok(dr_table_writer_begin(&one.warehouse, &options, &plan, 0, &writer, &world_error));
  assert_int_equal(
      world_write(&two, &options, 0, world_changes(world_batch(schema, ROWS("2", "two"), 1), OPS(INSERT)), NULL),
      DRAY_E_BUSY);
  assert_ok(dr_table_writer_merge(writer, 1, dray_str_of(""), &written, &world_error));
  assert_ok(dr_table_writer_commit(writer, &world_error));
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
  assert_int_equal(
      world_write(&two, &options, 0, world_changes(world_batch(schema, ROWS("2", "two"), 1), OPS(INSERT)), NULL),
      DRAY_E_STATE_GENERATION);
  world_close(&one);
  world_close(&two);
  dr_schema_unref(schema);
}

static void test_an_old_plan_is_renewed_inside_the_transaction(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(pair, 2);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  // Planned when there was no table; used for two windows, the second of which finds it.
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  for (uint64_t generation = 0; generation < 2; generation++) {
    struct dr_batch *rows = world_batch(schema, generation == 0 ? ROWS("1", "a") : ROWS("2", "b"), 1);
    struct dr_changes changes = {.count = 1, .rows = rows, .op = (uint8_t[]){INSERT}};
    assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, generation, &writer, &world_error));
    assert_ok(dr_table_writer_changes(writer, &changes, &world_error));
    assert_ok(dr_table_writer_merge(writer, generation + 1, dray_str_of(""), &written, &world_error));
    assert_ok(dr_table_writer_commit(writer, &world_error));
    dr_table_writer_free(writer);
    dr_batch_free(rows);
  }
  assert_string_equal(world_query(&world, "SELECT id, v FROM t ORDER BY id"), "1|a\n2|b\n");
  // A column taken away after planning may come back by `evolve`, but must not be left out in silence.
  world_execute(&world, "ALTER TABLE t DROP COLUMN v");
  options.drift = (struct dr_drift_policy){1, 4, 4};
  assert_int_equal(dr_table_writer_begin(&world.warehouse, &options, &plan, 2, &writer, &world_error), DRAY_E_BUSY);
  assert_string_equal(world_error.field, "v");
  options.drift = (struct dr_drift_policy){1, 1, 1};
  assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 2, &writer, &world_error));
  dr_table_writer_free(writer); // rolls back
  assert_string_equal(world_query(&world, "SELECT group_concat(name) AS n FROM pragma_table_info('t')"),
                      "id,_dray_synced_at\n");
  dr_table_plan_free(&plan);
  world_close(&world);
  dr_schema_unref(schema);
}

// Rows of a first load: those marked as deleted and those without a key are no inserts. The key is made before the
// merge.
static void test_inserts_go_straight_and_leave_out_what_is_none(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t rows = 0, written = 0;
  struct dr_schema *schema = world_schema(pair, 2);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 0, &writer, &world_error));
  assert_true(dr_table_writer_direct(writer));
  struct dr_batch *batch =
      world_batch(schema, ROWS("1", "a", NULL, "b", "3", "c", "4", NULL, "5", "e", "6", "f", NULL, "g"), 7);
  batch->deleted = calloc(1, 1);
  assert_non_null(batch->deleted);
  batch->deleted[0] = 1u << 2 | 1u << 5;
  assert_ok(dr_table_writer_inserts(writer, batch, &rows, &world_error));
  assert_int_equal(rows, 3);
  dr_batch_free(batch);
  batch = world_batch(schema, ROWS("7", "h", "8", "i"), 2);
  assert_ok(dr_table_writer_inserts(writer, batch, &rows, &world_error));
  assert_int_equal(rows, 2);
  dr_batch_free(batch);
  assert_ok(dr_table_writer_loaded(writer, &world_error));
  assert_ok(dr_table_writer_loaded(writer, &world_error)); // done already
  assert_ok(dr_table_writer_merge(writer, 1, dray_str_of(""), &written, &world_error));
  assert_int_equal(written, 5);
  assert_ok(dr_table_writer_commit(writer, &world_error));
  dr_table_writer_free(writer);
  assert_string_equal(world_query(&world, "SELECT id, v FROM t ORDER BY id"), "1|a\n4|~\n5|e\n7|h\n8|i\n");
  assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 1, &writer, &world_error));
  assert_false(dr_table_writer_direct(writer)); // it has rows
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- what is left when it does not end ----

static void test_a_writer_that_is_freed_leaves_no_trace(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(pair, 2);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, id_key, 1);
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0,
                        world_changes(world_batch(schema, ROWS("1", "a", "2", "b"), 2), OPS(INSERT, INSERT)), NULL));
  static const char everything[] = "SELECT *, (SELECT group_concat(sql) FROM sqlite_schema) AS s FROM t";
  char *before = dray_str_dup(dray_str_of(world_query(&world, everything)));
  struct dr_batch *rows = world_batch(schema, ROWS("1", "x", "3", "c"), 2);
  struct dr_changes changes = {.count = 2, .rows = rows, .op = (uint8_t[]){UPDATE, INSERT}};
  for (int reached = 0; reached < 3; reached++) {
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 1, &writer, &world_error));
    if (reached > 0) assert_ok(dr_table_writer_changes(writer, &changes, &world_error));
    if (reached > 1) assert_ok(dr_table_writer_merge(writer, 2, dray_str_of(""), &written, &world_error));
    dr_table_writer_free(writer);
    dr_table_plan_free(&plan);
    assert_string_equal(world_query(&world, everything), before);
  }
  options.name.table = "new"; // a table that was made is gone as well
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  assert_ok(dr_table_writer_begin(&world.warehouse, &options, &plan, 0, &writer, &world_error));
  assert_ok(dr_table_writer_changes(writer, &changes, &world_error));
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
  assert_string_equal(world_query(&world, everything), before);
  free(before);
  dr_batch_free(rows);
  world_close(&world);
  dr_schema_unref(schema);
}

// What the killed program does: writes generation 2 of the file `path`.
static int write_generation_2(const char *path, int mode) {
  struct world world;
  struct dr_schema *schema = world_schema(pair, 2);
  const struct dr_table_options options = world_options(schema, "t", mode, id_key, 1);
  const char *const *rows = ROWS("1", "A", "2", NULL, "3", "c");
  world_open(&world, path, WORLD_PLAIN);
  return mode == DR_WRITE_REPLACE
             ? world_write_rows(&world, &options, 1, world_batch(schema, rows, 3), NULL)
             : world_write(&world, &options, 1,
                           world_changes(world_batch(schema, rows, 3), OPS(UPDATE, DELETE, INSERT)), NULL);
}

// Faults are read once a process, so the program runs itself anew.
static void kill_at(const char *name, const char *step, int mode) {
  char fault[64], path[600], digit[16];
  (void)snprintf(fault, sizeof fault, "kill:%s:1", step);
  (void)snprintf(path, sizeof path, "%s", world_path(name));
  (void)snprintf(digit, sizeof digit, "%d", mode);
  fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)setenv("DRAY_TEST", "1", 1);
    (void)setenv("DRAY_FAULT", fault, 1);
    (void)execl("/proc/self/exe", "unit_warehouse_write", "write", path, digit, (char *)NULL);
    _exit(99);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_a_kill_at_any_step_leaves_the_table_before_or_after(void **state) {
  (void)state;
  static const struct {
    const char *step;
    int committed;
  } steps[] = {{"warehouse.begin", 0}, {"warehouse.loaded", 0}, {"warehouse.merged", 0}, {"warehouse.committed", 1}};
  static const int modes[] = {DR_WRITE_UPSERT, DR_WRITE_REPLACE, DR_WRITE_HISTORY};
  for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
      struct world world;
      char name[64], checkpoint[64];
      struct dr_schema *schema = world_schema(pair, 2);
      const struct dr_table_options options = world_options(schema, "t", modes[m], id_key, 1);
      const char *const *rows = ROWS("1", "a", "2", "b");
      (void)snprintf(name, sizeof name, "w-%zu-%zu.db", m, i);
      world_open(&world, name, WORLD_PLAIN);
      if (modes[m] == DR_WRITE_REPLACE) {
        assert_ok(world_write_rows(&world, &options, 0, world_batch(schema, rows, 2), NULL));
      } else {
        assert_ok(
            world_write(&world, &options, 0, world_changes(world_batch(schema, rows, 2), OPS(INSERT, INSERT)), NULL));
      }
      world_close(&world);
      kill_at(name, steps[i].step, modes[m]);
      world_open(&world, name, WORLD_PLAIN);
      const char *sql = modes[m] == DR_WRITE_HISTORY ? "SELECT id, v FROM t WHERE _dray_current ORDER BY id"
                                                     : "SELECT id, v FROM t ORDER BY id";
      const char *after = modes[m] == DR_WRITE_REPLACE ? "1|A\n2|~\n3|c\n" : "1|A\n3|c\n";
      assert_string_equal(world_query(&world, sql), steps[i].committed ? after : "1|a\n2|b\n");
      assert_int_equal(generation_of(&world, &options, checkpoint, sizeof checkpoint), steps[i].committed ? 2 : 1);
      assert_string_equal(world_query(&world, "PRAGMA integrity_check"), "ok\n");
      world_close(&world);
      dr_schema_unref(schema);
    }
  }
}

// ---- names and values ----

static void test_hostile_names_and_values_stay_names_and_values(void **state) {
  (void)state;
  static const char *const evil[] = {
      "\"", "'; DROP TABLE victim; --", "select", "a b\tc\n", "[x]", "`y`", "ÄÖÜ 🦊", "%s%n{p}", "$1", "?", "x.y",
      "*"};
  enum { EVIL = sizeof evil / sizeof evil[0] };
  struct dray_column_def defs[EVIL + 1];
  const char *cells[2 * (EVIL + 1)], *key[2];
  for (int mode = DR_WRITE_APPEND; mode <= DR_WRITE_HISTORY; mode++) {
    struct world world;
    world_fresh(NULL);
    world_open(&world, "w.db", WORLD_PLAIN);
    world_execute(&world, "CREATE TABLE victim (a TEXT)");
    for (size_t i = 0; i < EVIL; i++) {
      defs[i] = (struct dray_column_def){evil[i], {DRAY_TYPE_STRING, 0, 0}, 1};
      cells[i] = evil[(i + 1) % EVIL];
      cells[EVIL + i] = evil[(i + 2) % EVIL];
    }
    key[0] = evil[0];
    key[1] = evil[1];
    struct dr_schema *schema = world_schema(defs, EVIL);
    for (size_t t = 0; t < EVIL; t++) {
      struct dr_table_options options = world_options(schema, evil[t], mode, key, 2);
      char sync[128];
      (void)snprintf(sync, sizeof sync, "%s-%zu", evil[t], t);
      options.sync = sync;
      for (uint64_t generation = 0; generation < 2; generation++) { // into the new table, then through staging
        const int32_t code = mode == DR_WRITE_APPEND || mode == DR_WRITE_REPLACE
                                 ? world_write_rows(&world, &options, generation, world_batch(schema, cells, 2), NULL)
                                 : world_write(&world, &options, generation,
                                               world_changes(world_batch(schema, cells, 2), OPS(INSERT, UPDATE)), NULL);
        if (code != DRAY_OK) fail_msg("table %s mode %d: %s", evil[t], mode, world_error.text);
      }
      struct dray_buffer select;
      dray_buffer_init(&select, 1 << 16);
      assert_ok(dr_sql_select(&world.warehouse.dialect, &options, &select, &world_error));
      const char *rows = world_query(&world, select.data);
      for (size_t i = 0; i < 2 * EVIL; i++) {
        assert_int_equal(strncmp(rows, cells[i], strlen(cells[i])), 0);
        rows += strlen(cells[i]) + 1;
      }
      dray_buffer_free(&select);
    }
    assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM victim"), "0\n");
    world_close(&world);
    dr_schema_unref(schema);
  }
}

static const struct dray_column_def all_types[] = {
    {"k", {DRAY_TYPE_DECIMAL, 38, 0}, 0}, {"at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 0},
    {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},     {"i", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1},  {"d", {DRAY_TYPE_DECIMAL, 38, 38}, 1},
    {"s", {DRAY_TYPE_STRING, 0, 0}, 1},   {"x", {DRAY_TYPE_BYTES, 0, 0}, 1},
    {"day", {DRAY_TYPE_DATE, 0, 0}, 1},   {"ts", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    {"j", {DRAY_TYPE_JSON, 0, 0}, 1},
};

static const char *const edge_cells[] = {
    "99999999999999999999999999999999999999",
    "0001-01-01T00:00:00Z",
    "true",
    "-9223372036854775808",
    "NaN",
    "0.99999999999999999999999999999999999999",
    "",
    "",
    "0001-01-01",
    "9999-12-31T23:59:59.999999Z",
    "{\"a\":1.50}",
    "-99999999999999999999999999999999999999",
    "9999-12-31T23:59:59.999999Z",
    "false",
    "9223372036854775807",
    "4.9406564584124654e-324",
    "-0.00000000000000000000000000000000000001",
    "12",
    "AA==",
    "9999-12-31",
    "1969-12-31T23:59:59.999Z",
    "\"\"",
    "0",
    "1970-01-01T00:00:00.000001Z",
    NULL,
    NULL,
    "-Infinity",
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
};
static const char edge_rows[] =
    "-99999999999999999999999999999999999999|9999-12-31T23:59:59.999999Z|false|9223372036854775807|5e-324|"
    "-0.00000000000000000000000000000000000001|12|AA==|9999-12-31|1969-12-31T23:59:59.999Z|\"\"\n"
    "0|1970-01-01T00:00:00.000001Z|~|~|-Infinity|~|~|~|~|~|~\n"
    "99999999999999999999999999999999999999|0001-01-01T00:00:00Z|true|-9223372036854775808|NaN|"
    "0.99999999999999999999999999999999999999|||0001-01-01|9999-12-31T23:59:59.999999Z|{\"a\":1.50}\n";

static void test_edge_values_survive_staging_and_loading(void **state) {
  (void)state;
  static const char *const key[] = {"k", "at"};
  struct world world;
  uint64_t written = 0;
  struct dr_schema *schema = world_schema(all_types, sizeof all_types / sizeof all_types[0]);
  const struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 2);
  static const char sql[] = "SELECT k, at, b, i, f, d, s, x, day, ts, j FROM t ORDER BY k";
  world_open(&world, "w.db", WORLD_PLAIN);
  assert_ok(world_write(&world, &options, 0,
                        world_changes(world_batch(schema, edge_cells, 3), OPS(INSERT, INSERT, INSERT)), NULL));
  assert_string_equal(world_query(&world, sql), edge_rows);
  // Through staging the same values are the same: nothing differs, nothing is written.
  assert_ok(world_write(&world, &options, 1,
                        world_changes(world_batch(schema, edge_cells, 3), OPS(INSERT, UPDATE, UPDATE)), &written));
  assert_int_equal(written, 0);
  world_execute(&world, "DELETE FROM t WHERE b");
  world_execute(&world,
                "UPDATE t SET b = 1, i = 0, f = 1, d = '0.00', s = NULL, x = x'05', day = NULL, ts = NULL, j = NULL");
  assert_ok(world_write(&world, &options, 2,
                        world_changes(world_batch(schema, edge_cells, 3), OPS(INSERT, UPDATE, UPDATE)), &written));
  assert_int_equal(written, 3);
  assert_string_equal(world_query(&world, sql), edge_rows);
  assert_ok(world_write(&world, &options, 3,
                        world_changes(world_batch(schema, edge_cells, 3), OPS(DELETE, DELETE, DELETE)), &written));
  assert_int_equal(written, 3); // each key is found
  world_close(&world);
  dr_schema_unref(schema);
}

// ---- size ----

static struct dr_batch *numbered(struct dr_schema *schema, uint64_t first, uint64_t count, int width,
                                 const char *suffix) {
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dr_batch *batch = NULL;
  char text[1024];
  int32_t full = 0;
  assert_ok(dr_schema_to_arrow(schema, 0, &arrow, &world_error));
  assert_ok(dray_builder_new(&arrow, 0, 0, &builder, &world_error));
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t key = (first + i) * 7919 % 1000003; // not in order
    assert_ok(dray_builder_int64(builder, 0, (int64_t)key, &world_error));
    const int len =
        snprintf(text, sizeof text, "value number %0*llu of many %s", width, (unsigned long long)key, suffix);
    assert_ok(dray_builder_bytes(builder, 1, dray_str_make(text, (uint64_t)len), &world_error));
    assert_ok(dray_builder_end_row(builder, &full, &world_error));
  }
  assert_ok(dray_builder_finish(builder, &array, &world_error));
  dray_builder_free(builder);
  arrow.release(&arrow);
  assert_ok(dr_batch_wrap(schema, &array, &batch, &world_error));
  return batch;
}

static void write_many(struct world *world, const struct dr_table_options *options, uint64_t generation, int width,
                       const char *suffix) {
  enum { PAGE = 5000, PAGES = 20 };
  struct dr_table_plan plan;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  uint8_t ops[PAGE];
  memset(ops, INSERT, sizeof ops);
  assert_ok(dr_table_plan(&world->warehouse, options, &plan, &world_error));
  assert_ok(dr_table_writer_begin(&world->warehouse, options, &plan, generation, &writer, &world_error));
  for (uint64_t page = 0; page < PAGES; page++) {
    struct dr_batch *rows = numbered(options->schema, page * PAGE, PAGE, width, suffix);
    const struct dr_changes changes = {.count = PAGE, .rows = rows, .op = ops};
    assert_ok(dr_table_writer_changes(writer, &changes, &world_error));
    dr_batch_free(rows);
  }
  assert_ok(dr_table_writer_merge(writer, generation + 1, dray_str_of(""), &written, &world_error));
  assert_ok(dr_table_writer_commit(writer, &world_error));
  assert_int_equal(written, PAGE * PAGES);
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
}

// The most memory that the engine held since the last call. Our own process is measured by its resident set elsewhere:
// under a sanitizer that says nothing.
static int64_t engine_memory(void) {
  static int64_t (*highwater)(int reset);
  if (highwater == NULL) {
    void *library = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    void *symbol = dlsym(library, "sqlite3_memory_highwater");
    memcpy(&highwater, &symbol, sizeof highwater);
    assert_non_null(symbol);
  }
  return highwater(1);
}

// The statements of the merge must look keys up, not scan: with 100,000 rows on both sides a scan would not end.
static void test_many_rows_merge_by_index_in_flat_memory(void **state) {
  (void)state;
  struct world world;
  const struct dray_column_def text_key[] = {{"n", {DRAY_TYPE_INT64, 0, 0}, 1}, {"v", {DRAY_TYPE_STRING, 0, 0}, 0}};
  static const char *const keys[] = {"id", "v"};
  for (int i = 0; i < 2; i++) {
    struct dr_schema *schema = world_schema(i == 0 ? pair : text_key, 2);
    struct dr_table_options options = world_options(schema, keys[i], DR_WRITE_UPSERT, &keys[i], 1);
    const int width = i == 0 ? 800 : 8; // 80 MB in the table, and as much again through the staging
    options.sync = keys[i];
    (void)engine_memory();
    world_open(&world, "w.db", WORLD_PLAIN);
    write_many(&world, &options, 0, width, "");
    write_many(&world, &options, 1, width, "changed");
    dr_schema_unref(schema);
    const int64_t memory = engine_memory(); // its page caches, not the rows
    if (memory >= 56 << 20) fail_msg("%lld bytes", (long long)memory);
    if (i == 1) {
      assert_string_equal(world_query(&world, "SELECT count(*) AS n, sum(v LIKE '%changed') AS c FROM id"),
                          "100000|100000\n");
      assert_string_equal(world_query(&world, "SELECT count(*) AS n FROM v"), "200000\n"); // the key itself was another
    }
    world_close(&world);
  }
}

// ---- memory that cannot be had ----

struct attempt {
  struct world world;
  struct dr_schema *schema;
  struct dr_table_options options;
  struct dr_batch *rows;
};

static int32_t write_once(void *ctx) {
  struct attempt *attempt = ctx;
  struct dr_warehouse *warehouse = &attempt->world.warehouse;
  struct dr_table_plan plan = {.ddl = NULL};
  struct dr_table_writer *writer = NULL;
  struct dr_table_state state;
  uint64_t written = 0;
  uint8_t ops[] = {INSERT, UPDATE, DELETE};
  const struct dr_changes changes = {.count = 3, .rows = attempt->rows, .op = ops};
  DRAY_TRY(dr_table_state_read(warehouse, &attempt->options, &state, &world_error));
  dray_buffer_free(&state.checkpoint);
  DRAY_TRY(dr_table_plan(warehouse, &attempt->options, &plan, &world_error));
  int32_t code = dr_table_writer_begin(warehouse, &attempt->options, &plan, 1, &writer, &world_error);
  if (code == DRAY_OK) code = dr_table_writer_changes(writer, &changes, &world_error);
  if (code == DRAY_OK) code = dr_table_writer_merge(writer, 2, dray_str_of("x"), &written, &world_error);
  dr_table_writer_free(writer); // never committed: every attempt finds the same table
  dr_table_plan_free(&plan);
  return code;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  struct attempt attempt;
  const struct dray_column_def wider[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                          {"v", {DRAY_TYPE_STRING, 0, 0}, 1},
                                          {"w", {DRAY_TYPE_INT64, 0, 0}, 1},
                                          {"x", {DRAY_TYPE_INT64, 0, 0}, 1}};
  attempt.schema = world_schema(wider, 4);
  attempt.options = world_options(attempt.schema, "t", DR_WRITE_UPSERT, id_key, 1);
  attempt.rows =
      world_batch(attempt.schema, ROWS("1", "a", ABSENT, "4", "2", ABSENT, "7", NULL, "3", NULL, NULL, NULL), 3);
  world_open(&attempt.world, "w.db", WORLD_PLAIN);
  world_execute(&attempt.world, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT)"); // w is wider, x is new
  world_execute(&attempt.world, "INSERT INTO t VALUES (1, 'old', '5'), (3, 'c', NULL)");
  world_execute(&attempt.world, "CREATE TABLE _dray_state (sync TEXT PRIMARY KEY, generation INTEGER, checkpoint BLOB, "
                                "updated_at TIMESTAMP_TEXT)");
  world_execute(&attempt.world, "INSERT INTO _dray_state VALUES ('test:t', 1, x'01', '2024-01-01 00:00:00'), "
                                "('test:new', 1, x'01', '2024-01-01 00:00:00')");
  for (int mode = DR_WRITE_UPSERT; mode <= DR_WRITE_HISTORY; mode += DR_WRITE_HISTORY - DR_WRITE_UPSERT) {
    attempt.options.mode = mode;
    attempt.options.name.table = mode == DR_WRITE_HISTORY ? "new" : "t"; // a new table as well
    assert_true(torture_every(write_once, &attempt) > 50);
  }
  assert_string_equal(world_query(&attempt.world, "SELECT * FROM t"), "1|old|5\n3|c|~\n");
  dr_batch_free(attempt.rows);
  world_close(&attempt.world);
  dr_schema_unref(attempt.schema);
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "write") == 0) return write_generation_2(argv[2], argv[3][0] - '0');
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_state_is_committed_with_the_data, world_fresh),
      cmocka_unit_test_setup(test_the_fence_stops_a_second_writer_before_it_writes, world_fresh),
      cmocka_unit_test_setup(test_two_writers_at_once_the_second_waits_or_is_busy, world_fresh),
      cmocka_unit_test_setup(test_an_old_plan_is_renewed_inside_the_transaction, world_fresh),
      cmocka_unit_test_setup(test_inserts_go_straight_and_leave_out_what_is_none, world_fresh),
      cmocka_unit_test_setup(test_a_writer_that_is_freed_leaves_no_trace, world_fresh),
      cmocka_unit_test_setup(test_a_kill_at_any_step_leaves_the_table_before_or_after, world_fresh),
      cmocka_unit_test_setup(test_hostile_names_and_values_stay_names_and_values, world_fresh),
      cmocka_unit_test_setup(test_edge_values_survive_staging_and_loading, world_fresh),
      cmocka_unit_test_setup(test_many_rows_merge_by_index_in_flat_memory, world_fresh),
      cmocka_unit_test_setup(test_every_allocation_may_fail, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
