// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values that a table's columns do not take: what is known of them from the dialect and from the table, and which
// values they are.
#include "world.h"

#define TYPE(id)                                                                                                       \
  { DRAY_TYPE_##id, 0, 0 }

static const struct dray_column_def defs[] = {
    {"k", TYPE(STRING), 0}, {"n", TYPE(INT64), 0}, {"f", TYPE(FLOAT64), 1}, {"t", TYPE(STRING), 1}};
static const char *const keys[] = {"k", "n"};

// A table that says of its column "t" that it takes five characters.
static int32_t describe_short(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                              struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  DRAY_TRY(world_vtable()->describe(self, schema, table, out, out_found, error));
  for (int64_t i = 0; *out_found != 0 && i < out->n_children; i++) {
    if (strcmp(out->children[i]->name, "t") == 0)
      DRAY_TRY(dray_schema_mark_number(out->children[i], DRAY_MARK_LENGTH_MAX, 5, error));
  }
  return DRAY_OK;
}

static void open_limited(struct world *world) {
  world_open(world, "w.db", WORLD_EXACT_TEXT);
  world->warehouse.dialect.flags |= DRAY_DIALECT_FINITE_FLOATS;
  world->vtable = *world->warehouse.vtable;
  world->vtable.describe = describe_short;
  world->warehouse.vtable = &world->vtable;
}

static void plan(struct world *world, struct dr_schema *schema, int mode, size_t key_count, struct dr_table_plan *out) {
  struct dr_table_options options = world_options(schema, "t", mode, keys, key_count);
  options.drift = (struct dr_drift_policy){1, 1, 1};
  assert_ok(dr_table_plan(&world->warehouse, &options, out, &world_error));
}

static void expect(const struct dr_table_plan *plan, size_t at, size_t field, uint64_t length_max, int in_key) {
  assert_true(at < plan->limit_count);
  assert_int_equal(plan->limits[at].field, field);
  assert_int_equal(plan->limits[at].takes.length_max, length_max);
  assert_int_equal(plan->limits[at].in_key, in_key);
  assert_int_equal(plan->limits[at].finite, length_max == 0);
}

static void test_a_new_table_is_limited_by_the_dialect_alone(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan made;
  struct dr_schema *schema = world_schema(defs, 4);
  open_limited(&world);
  for (size_t key_count = 1; key_count <= 2; key_count++) { // the characters are those of all columns together
    plan(&world, schema, DR_WRITE_UPSERT, key_count, &made);
    assert_int_equal(made.limit_count, 2);
    expect(&made, 0, 0, 766 / key_count, 1);
    expect(&made, 1, 2, 0, 0);
    dr_table_plan_free(&made);
  }
  plan(&world, schema, DR_WRITE_APPEND, 1, &made); // no index
  assert_int_equal(made.limit_count, 1);
  dr_table_plan_free(&made);
  world_close(&world);
  world_open(&world, "plain.db", WORLD_PLAIN);
  plan(&world, schema, DR_WRITE_UPSERT, 1, &made);
  assert_int_equal(made.limit_count, 0);
  dr_table_plan_free(&made);
  world_close(&world);
  dr_schema_unref(schema);
}

static void test_a_table_that_is_there_limits_as_it_says(void **state) {
  (void)state;
  struct world world;
  struct dr_table_plan made;
  struct dr_schema *schema = world_schema(defs, 4);
  open_limited(&world);
  world_execute(&world, "CREATE TABLE t (k TEXT NOT NULL, n INTEGER, t VARCHAR(5))"); // f is to be added
  plan(&world, schema, DR_WRITE_UPSERT, 1, &made);
  assert_int_equal(made.limit_count, 3);
  expect(&made, 0, 0, 766, 1);
  expect(&made, 1, 2, 0, 0);
  expect(&made, 2, 3, 5, 0);
  dr_table_plan_free(&made);
  // A column that becomes a text is not limited any more.
  world_execute(&world, "DROP TABLE t");
  world_execute(&world, "CREATE TABLE t (k TEXT NOT NULL, n INTEGER, f REAL, t INTEGER)");
  plan(&world, schema, DR_WRITE_UPSERT, 1, &made);
  assert_int_equal(made.limit_count, 2);
  dr_table_plan_free(&made);
  world_close(&world);
  dr_schema_unref(schema);
}

static const struct {
  struct dray_type type;
  const char *fits, *does_not; // in five characters, or five bytes
} lengths[] = {
    // bytes in base64
    {TYPE(STRING), "", "sixsix"},
    {TYPE(STRING), "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa4xx", "\xc3\xa4xxxxx"},
    {TYPE(STRING), "five5", "blank "},
    {TYPE(JSON), "[123]", "[1234]"},
    {TYPE(BYTES), "Zml2ZTU=", "w6R4eHh4"},
    {TYPE(INT64), "-1234", "123456"},
    {{DRAY_TYPE_DECIMAL, 5, 2}, "1.50", "123.50"},
};

static void test_lengths_are_those_of_what_is_stored(void **state) {
  (void)state;
  const struct dr_value_limit limit = {.takes = {.length_max = 5}};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    const struct dray_column_def def = {"v", lengths[i].type, 1};
    struct dr_schema *schema = world_schema(&def, 1);
    const char *const cells[] = {lengths[i].fits, lengths[i].does_not};
    struct dr_batch *batch = world_batch(schema, cells, 2);
    for (uint64_t row = 0; row < 2; row++) {
      char text[256] = "";
      int32_t code = -1;
      assert_ok(dr_value_misfits(&limit, &batch->view.columns[0], row, &code, text, sizeof text, &world_error));
      if (code != (row == 0 ? DRAY_OK : DRAY_E_DATA_TOO_LARGE)) fail_msg("%s: %d %s", cells[row], code, text);
      if (row == 1) assert_non_null(strstr(text, "6 "));
    }
    dr_batch_free(batch);
    dr_schema_unref(schema);
  }
}

static void test_floats_that_are_no_numbers(void **state) {
  (void)state;
  const struct dr_value_limit limit = {.finite = 1};
  const struct dray_column_def def = {"v", TYPE(FLOAT64), 1};
  struct dr_schema *schema = world_schema(&def, 1);
  static const char *const cells[] = {"1.7976931348623157e308", "-0.0", "NaN", "Infinity", "-Infinity"};
  struct dr_batch *batch = world_batch(schema, cells, 5);
  for (uint64_t row = 0; row < 5; row++) {
    char text[256] = "";
    int32_t code = -1;
    assert_ok(dr_value_misfits(&limit, &batch->view.columns[0], row, &code, text, sizeof text, &world_error));
    assert_int_equal(code, row < 2 ? DRAY_OK : DRAY_E_DATA_TYPE);
    assert_true(row < 2 || strstr(text, cells[row]) != NULL);
  }
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_new_table_is_limited_by_the_dialect_alone, world_fresh),
      cmocka_unit_test_setup(test_a_table_that_is_there_limits_as_it_says, world_fresh),
      cmocka_unit_test(test_lengths_are_those_of_what_is_stored),
      cmocka_unit_test(test_floats_that_are_no_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
