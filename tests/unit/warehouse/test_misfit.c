// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What describe says of a column, and which values it does not take therefore.
#include <stdio.h>

#include "world.h"

#define TYPE(id)                                                                                                       \
  { DRAY_TYPE_##id, 0, 0 }
#define DEEP "[[[[[[[[]]]]]]]]"

struct mark {
  const char *key, *value;
};

static const struct {
  const char *declared; // of the table's column, as SQLite is told
  struct mark marks[2];
  struct dray_type type; // of the field
  int32_t code;
  const char *fits[3], *does_not[4];
  const char *said; // of the first that does not
} cases[] = {
    {"INTEGER",
     {{DRAY_MARK_VALUE_MIN, "-5"}, {DRAY_MARK_VALUE_MAX, "7"}},
     TYPE(INT64),
     DRAY_E_DATA_OVERFLOW,
     {"-5", "0", "7"},
     {"8", "-6", "9223372036854775807", "-9223372036854775808"},
     "7"},
    {"DECIMAL_TEXT(20,0)",
     {{DRAY_MARK_VALUE_MIN, "0"}, {DRAY_MARK_VALUE_MAX, "18446744073709551615"}},
     {DRAY_TYPE_DECIMAL, 20, 0},
     DRAY_E_DATA_OVERFLOW,
     {"0", "18446744073709551615"},
     {"18446744073709551616", "-1", "99999999999999999999"},
     "18446744073709551615"},
    {"DECIMAL_TEXT(20,0)", // whatever the scale of the field
     {{DRAY_MARK_VALUE_MIN, "0"}},
     TYPE(INT64),
     DRAY_E_DATA_OVERFLOW,
     {"0", "9223372036854775807"},
     {"-1"},
     "0"},
    {"DECIMAL_TEXT(10,4)",
     {{DRAY_MARK_VALUE_MAX, "1.5"}},
     {DRAY_TYPE_DECIMAL, 4, 1},
     DRAY_E_DATA_OVERFLOW,
     {"1.5", "-99.9"},
     {"1.6"},
     "1.5000"},
    {"REAL",
     {{DRAY_MARK_VALUE_MIN, "0"}},
     TYPE(FLOAT64),
     DRAY_E_DATA_OVERFLOW,
     {"0", "-0.0", "1e308"},
     {"-5e-324"},
     "0"},
    {"DATE_TEXT",
     {{DRAY_MARK_VALUE_MIN, "1970-01-02"}},
     TYPE(DATE),
     DRAY_E_DATA_DATE,
     {"1970-01-02", "9999-12-31"},
     {"1970-01-01", "0001-01-01"},
     "earlier than 1970-01-02"},
    {"TIMESTAMP_TEXT",
     {{DRAY_MARK_VALUE_MAX, "2038-01-19T03:14:07.999999Z"}},
     TYPE(TIMESTAMP),
     DRAY_E_DATA_DATE,
     {"2038-01-19T03:14:07.999999Z", "0001-01-01T00:00:00Z"},
     {"2038-01-19T03:14:08Z"},
     "later than 2038-01-19T03:14:07.999999Z"},
    {"TIMESTAMP_TEXT",
     {{DRAY_MARK_DIGITS, "3"}},
     TYPE(TIMESTAMP),
     DRAY_E_DATA_PRECISION,
     {"2024-02-29T12:00:00.123Z", "1969-12-31T23:59:59.999Z"},
     {"2024-02-29T12:00:00.1234Z", "1969-12-31T23:59:59.999999Z"},
     "3 digits"},
    {"TEXT",
     {{DRAY_MARK_UTF8_MAX, "4"}},
     TYPE(STRING),
     DRAY_E_DATA_TOO_LARGE,
     {"", "four", "\xc3\xa4\xc3\xa4"},
     {"\xc3\xa4\xc3\xa4x", "fives"},
     "5 bytes"},
    {"TEXT",
     {{DRAY_MARK_CHARACTERS, DRAY_CHARACTERS_ASCII}},
     TYPE(STRING),
     DRAY_E_DATA_REJECTED,
     {"plain", "", "\x7f"},
     {"\xc3\xa4", "aaaaaaaa\xe2\x82\xac"},
     "U+00E4"},
    {"TEXT",
     {{DRAY_MARK_CHARACTERS, DRAY_CHARACTERS_WINDOWS_1252}},
     TYPE(STRING),
     DRAY_E_DATA_REJECTED,
     {"na\xc3\xafve", "\xe2\x82\xac\xe2\x80\xa6\xc5\x93", "\xc2\x81\xc3\xbf"},
     {"x\xc5\x81", "\xc2\x80", "\xc4\x80", "\xf0\x9f\x98\x80"},
     "U+0141"},
    {"TEXT",
     {{DRAY_MARK_CHARACTERS, DRAY_CHARACTERS_BMP}},
     TYPE(JSON),
     DRAY_E_DATA_REJECTED,
     {"\"\xef\xbf\xbf\"", "[1]"},
     {"\"x\xf0\x90\x80\x80\""},
     "U+10000"},
    {"TEXT", {{DRAY_MARK_CHARACTERS, DRAY_CHARACTERS_ASCII}}, TYPE(INT64), DRAY_E_DATA_REJECTED, {"-1"}, {NULL}, NULL},
    {"JSON_TEXT",
     {{DRAY_MARK_JSON, DRAY_JSON_POSTGRES_BINARY}},
     TYPE(JSON),
     DRAY_E_DATA_REJECTED,
     {"\"\\\\u0000\"", "{\"a\":\"\\\"\",\"b\":[\"u0000\",0.1e-16382]}", "[1e131071,0e131072,-0.001e131074]"},
     {"\"a\\u0000\"", "{\"\\u0000\":1}", "[\"\\\\\\u0000\"]", "[1,1e131072]"},
     "\\u0000"},
    {"JSON_TEXT",
     {{DRAY_MARK_JSON, DRAY_JSON_POSTGRES_BINARY}},
     TYPE(JSON),
     DRAY_E_DATA_REJECTED,
     {"1e-16383", DEEP},
     {"1e-16384", "0.1e-16383", "[10e131071]", "0e99999999999"},
     "more digits"},
    // What describe says that is not understood is not said.
    {"INTEGER",
     {{DRAY_MARK_VALUE_MIN, "five"}, {DRAY_MARK_VALUE_MAX, "1.5"}},
     TYPE(INT64),
     0,
     {"-9223372036854775808", "9223372036854775807"},
     {NULL},
     NULL},
    {"TEXT",
     {{DRAY_MARK_CHARACTERS, "klingon"}, {DRAY_MARK_DIGITS, "7"}},
     TYPE(STRING),
     0,
     {"\xf0\x9f\x98\x80"},
     {NULL},
     NULL},
};
#define CASES (sizeof cases / sizeof cases[0])

static size_t current;

static int32_t describe_marked(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                               struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  DRAY_TRY(world_vtable()->describe(self, schema, table, out, out_found, error));
  for (size_t i = 0; *out_found != 0 && i < 2; i++) {
    const struct mark *mark = &cases[current].marks[i];
    if (mark->key != NULL) DRAY_TRY(dray_schema_mark(out->children[1], mark->key, mark->value, error));
  }
  return DRAY_OK;
}

static void expect_cells(const struct dr_table_plan *plan, struct dr_schema *schema, const char *const *cells,
                         size_t count, int32_t expected, const char *said) {
  for (size_t i = 0; i < count && cells[i] != NULL; i++) {
    const char *const row[] = {"1", cells[i]};
    struct dr_batch *batch = world_batch(schema, row, 1);
    char text[256] = "";
    int32_t code = DRAY_OK;
    if (plan->limit_count > 0) {
      const struct dray_column_view *column = &batch->view.columns[1];
      assert_ok(dr_value_misfits(&plan->limits[0], column, 0, &code, text, sizeof text, &world_error));
      if (expected != DRAY_OK) assert_true(dr_limit_may_misfit(&plan->limits[0], column, 1));
    }
    if (code != expected) fail_msg("case %zu, '%s': %d %s", current, cells[i], code, text);
    if (i == 0 && said != NULL && strstr(text, said) == NULL) fail_msg("case %zu: %s", current, text);
    dr_batch_free(batch);
  }
}

static void test_each_mark_refuses_what_is_beyond_it_and_nothing_else(void **state) {
  (void)state;
  struct world world;
  static const char *const key[] = {"id"};
  world_open(&world, "w.db", WORLD_PLAIN);
  world.vtable = *world.warehouse.vtable;
  world.vtable.describe = describe_marked;
  world.warehouse.vtable = &world.vtable;
  for (current = 0; current < CASES; current++) {
    const struct dray_column_def defs[] = {{"id", TYPE(INT64), 0}, {"v", cases[current].type, 1}};
    char sql[128];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t (id INTEGER PRIMARY KEY, v %s)", cases[current].declared);
    world_execute(&world, sql);
    struct dr_schema *schema = world_schema(defs, 2);
    struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 1);
    struct dr_table_plan plan;
    options.drift = (struct dr_drift_policy){1, 1, 1};
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_int_equal(plan.ddl_count, 1); // _dray_synced_at: the column takes the type as it is
    expect_cells(&plan, schema, cases[current].fits, 3, DRAY_OK, NULL);
    expect_cells(&plan, schema, cases[current].does_not, 4, cases[current].code, cases[current].said);
    dr_table_plan_free(&plan);
    dr_schema_unref(schema);
    world_execute(&world, "DROP TABLE t");
  }
  world_close(&world);
}

static void test_only_what_can_fail_is_looked_at(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  static const char *const key[] = {"id"};
  static const struct dray_column_def defs[] = {
      {"id", TYPE(INT64), 0}, {"v", TYPE(INT64), 1}, {"w", TYPE(STRING), 1}, {"x", TYPE(INT64), 1}};
  struct dr_schema *schema = world_schema(defs, 4);
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 1);
  options.drift = (struct dr_drift_policy){1, 1, 1};
  world_open(&world, "w.db", WORLD_PLAIN);
  world_execute(&world, "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v INTEGER NOT NULL, w TEXT)");
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  assert_int_equal(plan.limit_count, 1); // neither the key, which is told as such, nor the column to be added
  assert_int_equal(plan.limits[0].field, 1);
  assert_true(plan.limits[0].required);
  static const char *const whole[] = {"1", "1", NULL, NULL}, *const lacks[] = {"1", NULL, "x", "1"};
  struct dr_batch *batch = world_batch(schema, whole, 1);
  struct dray_column_view column = batch->view.columns[1];
  column.validity = NULL;
  assert_false(dr_limit_may_misfit(&plan.limits[0], &column, 1));
  dr_batch_free(batch);
  batch = world_batch(schema, lacks, 1);
  assert_true(dr_limit_may_misfit(&plan.limits[0], &batch->view.columns[1], 1));
  dr_batch_free(batch);
  dr_table_plan_free(&plan);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_json_is_as_deep_as_its_deepest_place(void **state) {
  (void)state;
  const struct dr_value_limit limit = {.stored = TYPE(JSON), .json_depth_max = 3};
  const struct dray_column_def def = {"v", TYPE(JSON), 1};
  struct dr_schema *schema = world_schema(&def, 1);
  static const char *const cells[] = {"[[[]],[[1]]]", "\"[[[[[[\"",    "{\"[[[[\":[\"\\\"[[[[\"]}", "1",
                                      "[[],[[[]]]]",  "{\"a\":[[{}]]}"};
  struct dr_batch *batch = world_batch(schema, cells, 6);
  for (uint64_t row = 0; row < 6; row++) {
    char text[256] = "";
    int32_t code = -1;
    assert_ok(dr_value_misfits(&limit, &batch->view.columns[0], row, &code, text, sizeof text, &world_error));
    if (code != (row < 4 ? DRAY_OK : DRAY_E_DATA_TOO_LARGE)) fail_msg("%s: %d %s", cells[row], code, text);
  }
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

// Batches whose texts are together no longer than one may be are not looked at.
static void test_what_an_engine_works_with_is_looked_at_where_a_batch_is_larger(void **state) {
  (void)state;
  const struct dr_value_limit limit = {.stored = TYPE(STRING), .bytes_max = 10};
  const struct dray_column_def def = {"v", TYPE(STRING), 1};
  struct dr_schema *schema = world_schema(&def, 1);
  static const char *const cells[] = {"01234", "56789", "0123456789", "0123456789a", NULL};
  struct dr_batch *batch = world_batch(schema, cells, 5);
  const struct dray_column_view *column = &batch->view.columns[0];
  assert_false(dr_limit_may_misfit(&limit, column, 2));
  assert_true(dr_limit_may_misfit(&limit, column, 3));
  for (uint64_t row = 0; row < 4; row++) {
    char text[256] = "";
    int32_t code = -1;
    assert_ok(dr_value_misfits(&limit, column, row, &code, text, sizeof text, &world_error));
    assert_int_equal(code, row < 3 ? DRAY_OK : DRAY_E_DATA_TOO_LARGE);
  }
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

// Of a key of several columns what one does not use is the others'.
static void test_a_key_s_columns_share_the_bytes_of_their_index(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan plan;
  static const char *const key[] = {"a", "n", "b"};
  static const struct dray_column_def defs[] = {{"a", TYPE(STRING), 0}, {"n", TYPE(INT64), 0}, {"b", TYPE(BYTES), 0}};
  struct dr_schema *schema = world_schema(defs, 3);
  world_open(&world, "w.db", WORLD_PLAIN);
  world.warehouse.dialect.key_bytes_max = 1000;
  for (int mode = DR_WRITE_APPEND; mode <= DR_WRITE_HISTORY; mode++) {
    const int keyed = mode == DR_WRITE_UPSERT || mode == DR_WRITE_HISTORY;
    struct dr_table_options options = world_options(schema, "t", mode, key, 3);
    options.drift = (struct dr_drift_policy){1, 1, 1};
    assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
    assert_int_equal(plan.limit_count, keyed ? 2 : 0);
    for (size_t i = 0; i < plan.limit_count; i++) {
      assert_int_equal(plan.limits[i].field, 2 * i);
      assert_int_equal(plan.limits[i].key_bytes_max, mode == DR_WRITE_HISTORY ? 936 : 968);
    }
    dr_table_plan_free(&plan);
  }
  struct dr_table_options options = world_options(schema, "t", DR_WRITE_UPSERT, key, 3);
  options.drift = (struct dr_drift_policy){1, 1, 1};
  world_execute(&world, "CREATE TABLE t (a TEXT NOT NULL, n INTEGER NOT NULL, b BLOB NOT NULL)"); // no index is known
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  assert_int_equal(plan.limit_count, 0);
  dr_table_plan_free(&plan);
  world_execute(&world, "CREATE UNIQUE INDEX i ON t (a, n, b)");
  assert_ok(dr_table_plan(&world.warehouse, &options, &plan, &world_error));
  assert_int_equal(plan.limit_count, 2);
  dr_table_plan_free(&plan);
  world_close(&world);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_each_mark_refuses_what_is_beyond_it_and_nothing_else, world_fresh),
      cmocka_unit_test_setup(test_only_what_can_fail_is_looked_at, world_fresh),
      cmocka_unit_test(test_what_an_engine_works_with_is_looked_at_where_a_batch_is_larger),
      cmocka_unit_test(test_json_is_as_deep_as_its_deepest_place),
      cmocka_unit_test_setup(test_a_key_s_columns_share_the_bytes_of_their_index, world_fresh),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
