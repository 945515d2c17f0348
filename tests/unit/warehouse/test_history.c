// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Histories whose rows say since when they are as they are: whatever order they come in, the table is the one that the
// same rows make when they come sorted by time. Compared with a model that keeps one cell a moment.
#include <stdio.h>
#include <stdlib.h>

#include "dray/destination.h"
#include "world.h"

#define KEYS 3
#define MOMENTS 12 // the model's clock: seconds since the epoch
#define NOW MOMENTS

static const struct dray_column_def versioned[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0},
    {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"since", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
};
static const char *const id_key[] = {"id"};

#define SECONDS(column) "CAST(strftime('%s', " column ") AS INTEGER)"
static const char history_sql[] =
    "SELECT id, name, " SECONDS("_dray_valid_from") " AS f, CASE WHEN _dray_valid_to IS NULL THEN -1 ELSE " SECONDS(
        "_dray_valid_to") " END AS t, CAST(_dray_current AS INTEGER) AS c FROM t "
                          "WHERE _dray_valid_to IS NULL OR _dray_valid_to > _dray_valid_from ORDER BY id, "
                          "_dray_valid_from";

enum { NOTHING, VERSION, GONE };
struct moment {
  int kind; // NOTHING, VERSION, GONE
  char name[8];
};
struct event {
  int id, at, gone;
  char name[8];
};

static uint32_t random_state;

static uint32_t pick(uint32_t below) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

static struct dr_table_options history_options(struct dr_schema *schema) {
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_HISTORY, id_key, 1);
  options.valid_from = "since";
  return options;
}

static struct dr_batch *batch_of(struct dr_schema *schema, const struct event *events, size_t count) {
  char(*text)[3][40] = calloc(count, sizeof *text);
  const char **cells = calloc(count * 3, sizeof *cells);
  assert_non_null(text);
  assert_non_null(cells);
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(text[i][0], sizeof text[i][0], "%d", events[i].id);
    (void)snprintf(text[i][1], sizeof text[i][1], "%s", events[i].name);
    (void)snprintf(text[i][2], sizeof text[i][2], "1970-01-01T00:00:%02dZ", events[i].at);
    cells[i * 3] = text[i][0];
    cells[i * 3 + 1] = events[i].gone ? NULL : text[i][1];
    cells[i * 3 + 2] = events[i].at < 0 ? NULL : text[i][2];
  }
  struct dr_batch *batch = world_batch(schema, cells, count);
  batch->deleted = calloc(count / 8 + 1, 1);
  assert_non_null(batch->deleted);
  for (size_t i = 0; i < count; i++) {
    if (events[i].gone) batch->deleted[i >> 3] |= (uint8_t)(1u << (i & 7));
  }
  free(cells);
  free(text);
  return batch;
}

// ---- the model ----

static const char *model_text(struct moment model[KEYS][MOMENTS]) {
  static char out[KEYS * MOMENTS * 64];
  size_t n = 0;
  out[0] = '\0';
  for (int id = 0; id < KEYS; id++) {
    for (int at = 0; at < MOMENTS; at++) {
      if (model[id][at].kind != VERSION) continue;
      int until = at + 1;
      while (until < MOMENTS && model[id][until].kind == NOTHING) until++;
      const int current = until == MOMENTS;
      n += (size_t)snprintf(out + n, sizeof out - n, "%d|%s|%d|%d|%d\n", id, model[id][at].name, at,
                            current ? -1 : until, current);
    }
  }
  return out;
}

static void random_histories(int variant, uint32_t seed) {
  struct world world;
  struct moment model[KEYS][MOMENTS] = {{{NOTHING, ""}}};
  struct dr_schema *schema = world_schema(versioned, 3);
  const struct dr_table_options options = history_options(schema);
  uint64_t generation = 0;
  random_state = seed;
  world_fresh(NULL);
  world_open(&world, "w.db", variant);
  for (int write = 0; write < 12; write++) {
    struct event events[8];
    const size_t count = 1 + pick(8);
    for (size_t i = 0; i < count; i++) {
      struct event *event = &events[i];
      *event = (struct event){.id = (int)pick(KEYS), .at = (int)pick(MOMENTS), .gone = pick(4) == 0};
      (void)snprintf(event->name, sizeof event->name, "n%u", pick(3));
      struct moment *moment = &model[event->id][event->at];
      moment->kind = event->gone ? GONE : VERSION;
      memcpy(moment->name, event->name, sizeof moment->name);
    }
    assert_ok(world_write_rows(&world, &options, generation++, batch_of(schema, events, count), NULL));
    assert_string_equal(world_query(&world, history_sql), model_text(model));
    uint64_t written = 9;
    // Each row again, the last of each moment: nothing is new.
    struct event again[KEYS * MOMENTS];
    size_t again_count = 0;
    for (int id = 0; id < KEYS; id++) {
      for (int at = MOMENTS - 1; at >= 0; at--) {
        if (model[id][at].kind == NOTHING) continue;
        again[again_count] = (struct event){.id = id, .at = at, .gone = model[id][at].kind == GONE};
        memcpy(again[again_count++].name, model[id][at].name, sizeof again[0].name);
      }
    }
    assert_ok(world_write_rows(&world, &options, generation++, batch_of(schema, again, again_count), &written));
    assert_int_equal(written, 0);
  }
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_any_order_of_arrival_makes_the_same_history(void **state) {
  (void)state;
  static const int variants[] = {WORLD_PLAIN, WORLD_NO_UPDATE_FROM, WORLD_NO_TEMP_TABLES, WORLD_EVERY};
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    for (uint32_t seed = 0; seed < 6; seed++) random_histories(variants[i], 100 * (uint32_t)i + seed);
  }
}

// ---- by example ----

struct scene {
  struct world world;
  struct dr_schema *schema;
  struct dr_table_options options;
  uint64_t generation;
};

static void begin(struct scene *scene) {
  memset(scene, 0, sizeof *scene);
  scene->schema = world_schema(versioned, 3);
  scene->options = history_options(scene->schema);
  world_open(&scene->world, "w.db", WORLD_PLAIN);
}

static void end(struct scene *scene) {
  world_close(&scene->world);
  dr_schema_unref(scene->schema);
}

static uint64_t come(struct scene *scene, const struct event *events, size_t count) {
  uint64_t written = 0;
  assert_ok(world_write_rows(&scene->world, &scene->options, scene->generation++,
                             batch_of(scene->schema, events, count), &written));
  return written;
}
#define COME(scene, ...)                                                                                               \
  come(scene, (const struct event[]){__VA_ARGS__}, sizeof((const struct event[]){__VA_ARGS__}) / sizeof(struct event))

static void test_a_late_row_takes_its_place_and_the_current_version_stays(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "b"}, {1, 8, 0, "d"});
  assert_int_equal(COME(&scene, {1, 5, 0, "c"}), 2); // the new version, and the end of the one before it
  COME(&scene, {1, 1, 0, "a"});
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|1|2|0\n1|b|2|5|0\n1|c|5|8|0\n1|d|8|-1|1\n");
  end(&scene);
}

static void test_a_version_told_anew_is_corrected(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "wrong"}, {1, 4, 0, "b"});
  assert_int_equal(COME(&scene, {1, 2, 0, "right"}), 1);
  assert_int_equal(COME(&scene, {1, 4, 0, "x"}, {1, 4, 0, "b"}), 0); // the last of a batch holds
  assert_string_equal(world_query(&scene.world, history_sql), "1|right|2|4|0\n1|b|4|-1|1\n");
  end(&scene);
}

static void test_a_key_that_is_gone_leaves_a_gap_until_it_returns(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "a"});
  COME(&scene, {1, 4, 1, ""});
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|4|0\n");
  COME(&scene, {1, 7, 0, "back"});
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|4|0\n1|back|7|-1|1\n");
  COME(&scene, {1, 3, 0, "b"}); // ends where it was gone, not where it returned
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|3|0\n1|b|3|4|0\n1|back|7|-1|1\n");
  end(&scene);
}

// That a key was gone when nothing was known of it has no values: a table that wants some says which, and stays whole.
static void test_a_table_that_takes_no_null_says_which_column_has_no_value(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  world_execute(&scene.world, "CREATE TABLE t (id INTEGER, name TEXT NOT NULL, since TIMESTAMP_TEXT, _dray_synced_at "
                              "TIMESTAMP_TEXT, _dray_valid_from TIMESTAMP_TEXT, _dray_valid_to TIMESTAMP_TEXT, "
                              "_dray_current BOOLEAN)");
  COME(&scene, {1, 2, 0, "a"});
  COME(&scene, {1, 4, 1, ""}); // ends a version, which takes no row of its own
  struct dr_batch *rows = batch_of(scene.schema, &(const struct event){2, 4, 1, ""}, 1);
  assert_int_not_equal(world_write_rows(&scene.world, &scene.options, scene.generation, rows, NULL), DRAY_OK);
  assert_non_null(strstr(world_error.text, "version without values, and the column 'name' takes no null"));
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|4|0\n");
  assert_string_equal(world_query(&scene.world, "SELECT count(*) AS n FROM t"), "1\n");
  end(&scene);
}

static void test_what_is_gone_now_ends_its_current_version(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "a"}, {2, 3, 0, "b"});
  // A full read misses key 1; what the change set shows of it is the row as it was.
  struct dr_batch *rows = batch_of(scene.schema, &(const struct event){1, 2, 0, "a"}, 1);
  assert_ok(world_write(&scene.world, &scene.options, scene.generation++,
                        world_changes(rows, (const uint8_t[]){DRAY_OP_DELETE}), NULL));
  assert_string_equal(world_query(&scene.world, "SELECT id FROM t WHERE _dray_current"), "2\n");
  assert_string_equal(world_query(&scene.world, "SELECT _dray_valid_to > '2020' AS y FROM t WHERE id = 1"), "1\n");
  // A tombstone without a time of a key that is gone says nothing new, however often.
  assert_int_equal(COME(&scene, {1, -1, 1, ""}, {7, -1, 1, ""}), 0);
  assert_string_equal(world_query(&scene.world, "SELECT count(*) AS n FROM t"), "2\n");
  end(&scene);
}

// A source whose tombstones have keys alone shows in one window that a key went and came back.
static void test_a_key_that_returns_in_the_same_write_is_there(void **state) {
  (void)state;
  for (int variant = WORLD_PLAIN; variant <= WORLD_NO_UPDATE_FROM; variant += WORLD_NO_UPDATE_FROM) {
    struct scene scene;
    world_fresh(NULL);
    begin(&scene);
    world_close(&scene.world);
    world_open(&scene.world, "w.db", variant);
    COME(&scene, {1, 2, 0, "a"}, {2, 2, 0, "c"});
    COME(&scene, {1, -1, 1, ""}, {1, 5, 0, "b"}, {2, 6, 0, "d"}, {2, -1, 1, ""});
    assert_string_equal(world_query(&scene.world, "SELECT id, name FROM t WHERE _dray_current"), "1|b\n");
    assert_string_equal(world_query(&scene.world, "SELECT name FROM t WHERE id = 2 AND _dray_valid_to > '2020'"),
                        "d\n");
    COME(&scene, {1, -1, 1, ""});
    COME(&scene, {1, -1, 1, ""}, {1, -1, 0, "e"}); // both of now
    assert_string_equal(world_query(&scene.world, "SELECT id, name FROM t WHERE _dray_current"), "1|e\n");
    end(&scene);
  }
}

// Gone by one full read, there again in the next, as of the moment it was always of.
static void test_a_key_that_is_shown_again_is_current_again(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "a"}, {2, 3, 0, "b"});
  struct dr_batch *rows = batch_of(scene.schema, &(const struct event){1, 2, 0, "a"}, 1);
  assert_ok(world_write(&scene.world, &scene.options, scene.generation++,
                        world_changes(rows, (const uint8_t[]){DRAY_OP_DELETE}), NULL));
  rows = batch_of(scene.schema, &(const struct event){1, 2, 0, "a"}, 1);
  assert_ok(world_write(&scene.world, &scene.options, scene.generation++,
                        world_changes(rows, (const uint8_t[]){DRAY_OP_INSERT}), NULL));
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|-1|1\n2|b|3|-1|1\n");
  // A moment of its own after it was gone begins a version, and the gap stays.
  rows = batch_of(scene.schema, &(const struct event){2, 3, 0, "b"}, 1);
  assert_ok(world_write(&scene.world, &scene.options, scene.generation++,
                        world_changes(rows, (const uint8_t[]){DRAY_OP_DELETE}), NULL));
  const char *const later[] = {"2", "b", "2200-01-01T00:00:00Z"};
  assert_ok(world_write(&scene.world, &scene.options, scene.generation++,
                        world_changes(world_batch(scene.schema, later, 1), (const uint8_t[]){DRAY_OP_INSERT}), NULL));
  assert_string_equal(world_query(&scene.world, "SELECT _dray_valid_from > '2100' AS y, _dray_valid_to > '2020' AS e, "
                                                "CAST(_dray_current AS INTEGER) AS c FROM t WHERE id = 2 "
                                                "ORDER BY _dray_valid_from"),
                      "0|1|0\n1|~|1\n");
  end(&scene);
}

static void test_a_row_without_a_time_is_as_it_is_now(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "a"});
  COME(&scene, {1, -1, 0, "b"});
  assert_string_equal(
      world_query(&scene.world, "SELECT name, _dray_valid_from > '2020' AS y FROM t WHERE _dray_current"), "b|1\n");
  end(&scene);
}

static void test_absent_values_are_those_of_the_version_before(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  COME(&scene, {1, 2, 0, "a"}, {1, 6, 0, "b"});
  const char *const cells[] = {"1", ABSENT, "1970-01-01T00:00:04Z"};
  assert_ok(
      world_write_rows(&scene.world, &scene.options, scene.generation++, world_batch(scene.schema, cells, 1), NULL));
  assert_string_equal(world_query(&scene.world, history_sql), "1|a|2|4|0\n1|a|4|6|0\n1|b|6|-1|1\n");
  end(&scene);
}

// SQLite takes the words for columns where there are such.
static void test_columns_that_are_called_true_and_false(void **state) {
  (void)state;
  const struct dray_column_def odd[] = {
      {"true", {DRAY_TYPE_STRING, 0, 0}, 0}, {"false", {DRAY_TYPE_STRING, 0, 0}, 1}, {"at", {DRAY_TYPE_DATE, 0, 0}, 1}};
  static const char *const key[] = {"true"};
  const char *const first[] = {"k", "x", "2024-01-01"}, *const second[] = {"k", "y", "2024-01-02"};
  for (int timed = 0; timed <= 1; timed++) {
    struct world world;
    struct dr_schema *schema = world_schema(odd, 3);
    struct dr_table_options options = world_options(schema, "t", DR_WRITE_HISTORY, key, 1);
    const uint8_t ops[] = {DRAY_OP_UPDATE};
    world_fresh(NULL);
    world_open(&world, "w.db", WORLD_PLAIN);
    if (timed) options.valid_from = "at";
    assert_ok(world_write(&world, &options, 0, world_changes(world_batch(schema, first, 1), ops), NULL));
    assert_ok(world_write(&world, &options, 1, world_changes(world_batch(schema, second, 1), ops), NULL));
    assert_string_equal(
        world_query(&world, "SELECT \"false\", CAST(_dray_current AS INTEGER) AS c FROM t ORDER BY _dray_valid_from"),
        "x|0\ny|1\n");
    world_close(&world);
    dr_schema_unref(schema);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_late_row_takes_its_place_and_the_current_version_stays, world_fresh),
      cmocka_unit_test_setup(test_a_version_told_anew_is_corrected, world_fresh),
      cmocka_unit_test_setup(test_a_key_that_is_gone_leaves_a_gap_until_it_returns, world_fresh),
      cmocka_unit_test_setup(test_a_table_that_takes_no_null_says_which_column_has_no_value, world_fresh),
      cmocka_unit_test_setup(test_what_is_gone_now_ends_its_current_version, world_fresh),
      cmocka_unit_test_setup(test_a_key_that_returns_in_the_same_write_is_there, world_fresh),
      cmocka_unit_test_setup(test_a_key_that_is_shown_again_is_current_again, world_fresh),
      cmocka_unit_test_setup(test_a_row_without_a_time_is_as_it_is_now, world_fresh),
      cmocka_unit_test_setup(test_absent_values_are_those_of_the_version_before, world_fresh),
      cmocka_unit_test_setup(test_columns_that_are_called_true_and_false, world_fresh),
      cmocka_unit_test_setup(test_any_order_of_arrival_makes_the_same_history, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
