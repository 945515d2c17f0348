// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Schemas: made, compared, written down and read again, to Arrow and back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "arrays.h"
#include "torture.h"

static const struct dray_column_def all_types[] = {
    {"b", {DRAY_TYPE_BOOL, 0, 0}, 0},
    {"i", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1},
    {"d", {DRAY_TYPE_DECIMAL, 38, 9}, 1},
    {"s", {DRAY_TYPE_STRING, 0, 0}, 0},
    {"z", {DRAY_TYPE_BYTES, 0, 0}, 1},
    {"t", {DRAY_TYPE_DATE, 0, 0}, 1},
    {"u", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    {"j \"\xc3\xa9\"", {DRAY_TYPE_JSON, 0, 0}, 1},
};
#define ALL_TYPES (sizeof(all_types) / sizeof(all_types[0]))

static void test_schema_knows_its_fields(void **state) {
  (void)state;
  struct dr_schema *schema = schema_of(all_types, ALL_TYPES);
  assert_int_equal(schema->field_count, ALL_TYPES);
  assert_int_equal(dr_schema_find(schema, dray_str_of("d")), 3);
  assert_int_equal(dr_schema_find(schema, dray_str_of("D")), -1);
  assert_int_equal(dr_schema_find(schema, dray_str_make("i ", 1)), 1);
  assert_int_equal(schema->fields[0].nullable, 0);
  assert_string_equal(schema->arrow.children[3]->format, "d:38,9");
  struct dr_schema *again = dr_schema_ref(schema);
  dr_schema_unref(schema);
  assert_string_equal(again->fields[8].name, "j \"\xc3\xa9\""); // still there
  dr_schema_unref(again);
}

static void test_schema_refuses_names_that_cannot_be_told_apart(void **state) {
  (void)state;
  const struct dray_column_def twice[] = {COLUMN("a", INT64), COLUMN("b", INT64), COLUMN("a", STRING)};
  const struct dray_column_def empty[] = {COLUMN("", INT64)};
  const struct dray_column_def reserved[] = {COLUMN(DRAY_COLUMN_OP, INT64)};
  struct dr_schema *schema = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dr_schema_new(twice, 3, &schema, &error), DRAY_E_SCHEMA_NAME);
  assert_string_equal(error.field, "a");
  assert_int_equal(dr_schema_new(empty, 1, &schema, NULL), DRAY_E_SCHEMA_NAME);
  assert_int_equal(dr_schema_new(reserved, 1, &schema, NULL), DRAY_E_SCHEMA_NAME);
  assert_null(schema);
  assert_int_equal(dr_schema_new(twice, 2, &schema, NULL), DRAY_OK);
  dr_schema_unref(schema);
}

static void test_schema_equality_sees_every_member(void **state) {
  (void)state;
  struct dr_schema *schema = schema_of(all_types, ALL_TYPES);
  for (size_t i = 0; i <= ALL_TYPES; i++) {
    for (int change = 0; change < 4; change++) {
      struct dray_column_def defs[ALL_TYPES];
      memcpy(defs, all_types, sizeof(defs));
      const int same = i == ALL_TYPES;
      if (!same && change == 0) defs[i].name = "other";
      if (!same && change == 1) defs[i].nullable = !defs[i].nullable;
      if (!same && change == 2) defs[i].type = (struct dray_type){DRAY_TYPE_DECIMAL, 38, 8};
      if (!same && change == 3) defs[i].type = (struct dray_type){DRAY_TYPE_DECIMAL, 37, 9};
      struct dr_schema *other = schema_of(defs, ALL_TYPES), *fewer = schema_of(defs, ALL_TYPES - 1);
      assert_int_equal(dr_schema_equal(schema, other), same);
      assert_false(dr_schema_equal(schema, fewer));
      dr_schema_unref(other);
      dr_schema_unref(fewer);
    }
  }
  dr_schema_unref(schema);
}

static void test_schema_json_round_trips(void **state) {
  (void)state;
  struct dr_schema *schema = schema_of(all_types, ALL_TYPES), *back = NULL;
  struct dray_buffer out;
  dray_buffer_init(&out, 4096);
  assert_int_equal(dr_schema_to_json(schema, &out, NULL), DRAY_OK);
  assert_int_equal(strncmp(out.data, "[{\"name\":\"b\",\"type\":\"bool\",\"nullable\":false},", 44), 0);
  assert_int_equal(dr_schema_from_json(dray_buffer_view(&out), &back, NULL), DRAY_OK);
  assert_true(dr_schema_equal(schema, back));
  dr_schema_unref(back);
  dr_schema_unref(schema);
  dray_buffer_free(&out);
}

static void test_schema_json_that_is_no_schema_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *json;
    int32_t code;
  } cases[] = {{"", DRAY_E_DATA_JSON},
               {"{}", DRAY_E_DATA_JSON},
               {"[1]", DRAY_E_DATA_JSON},
               {"[{}]", DRAY_E_DATA_JSON},
               {"[{\"name\":\"a\"}]", DRAY_E_DATA_JSON},
               {"[{\"name\":1,\"type\":\"bool\"}]", DRAY_E_DATA_JSON},
               {"[{\"name\":\"a\",\"type\":\"bool\",\"nullable\":1}]", DRAY_E_DATA_JSON},
               {"[{\"name\":\"a\",\"type\":\"integer\"}]", DRAY_E_SCHEMA_TYPE},
               {"[{\"name\":\"\",\"type\":\"bool\"}]", DRAY_E_SCHEMA_NAME},
               {"[{\"name\":\"a\",\"type\":\"bool\"},{\"name\":\"a\",\"type\":\"bool\"}]", DRAY_E_SCHEMA_NAME},
               {"[{\"name\":\"a\",\"type\":\"bool\"}", DRAY_E_DATA_JSON}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dr_schema *schema = NULL;
    const int32_t code = dr_schema_from_json(dray_str_of(cases[i].json), &schema, NULL);
    if (code != cases[i].code) fail_msg("%s: %d instead of %d", cases[i].json, code, cases[i].code);
    assert_null(schema);
  }
}

static void test_schema_to_arrow_and_back(void **state) {
  (void)state;
  struct dr_schema *schema = schema_of(all_types, ALL_TYPES), *back = NULL;
  struct ArrowSchema arrow;
  assert_int_equal(dr_schema_to_arrow(schema, 0, &arrow, NULL), DRAY_OK);
  assert_int_equal(arrow.n_children, ALL_TYPES);
  assert_int_equal(dr_schema_from_arrow(&arrow, &back, NULL), DRAY_OK);
  assert_true(dr_schema_equal(schema, back));
  dr_schema_unref(back);
  dray_schema_release(&arrow);
  // With what a destination gets: the reserved columns are not part of the schema on the way back.
  assert_int_equal(dr_schema_to_arrow(schema, 1, &arrow, NULL), DRAY_OK);
  assert_int_equal(arrow.n_children, ALL_TYPES + 4);
  assert_string_equal(arrow.children[ALL_TYPES]->name, DRAY_COLUMN_ABSENT);
  assert_string_equal(arrow.children[ALL_TYPES + 1]->name, DRAY_COLUMN_ROW);
  assert_string_equal(arrow.children[ALL_TYPES + 2]->name, DRAY_COLUMN_OP);
  assert_string_equal(arrow.children[ALL_TYPES + 3]->name, DRAY_COLUMN_CHANGED);
  assert_int_equal(dr_schema_from_arrow(&arrow, &back, NULL), DRAY_OK);
  assert_true(dr_schema_equal(schema, back));
  dr_schema_unref(back);
  dr_schema_unref(schema);
  dray_schema_release(&arrow);
}

static void test_schema_from_arrow_refuses_what_is_no_table(void **state) {
  (void)state;
  struct ArrowSchema arrow;
  struct dr_schema *schema = NULL;
  arrow_schema(&arrow, "l", "", 0);
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_E_PLUGIN_CONTRACT);
  dray_schema_release(&arrow);
  arrow_schema(&arrow, "+s", "", 2);
  arrow_schema(arrow.children[0], "l", "a", 0);
  arrow_schema(arrow.children[1], "u", "a", 0);
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_E_SCHEMA_NAME);
  arrow.children[1]->name = "";
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_E_SCHEMA_NAME);
  arrow.children[1]->name = NULL;
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_E_SCHEMA_NAME);
  arrow.children[1]->name = "b \xff";
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_E_SCHEMA_NAME);
  arrow.children[1]->name = "b";
  assert_int_equal(dr_schema_from_arrow(&arrow, &schema, NULL), DRAY_OK);
  dr_schema_unref(schema);
  dray_schema_release(&arrow);
}

static void test_schema_fingerprint_is_of_names_and_types_in_any_order(void **state) {
  (void)state;
  struct dr_schema *schema = schema_of(all_types, ALL_TYPES);
  const uint64_t fingerprint = dr_schema_fingerprint(schema);
  struct dray_column_def defs[ALL_TYPES];
  for (size_t turn = 0; turn < ALL_TYPES; turn++) { // every rotation, and one change in each
    for (size_t i = 0; i < ALL_TYPES; i++) defs[i] = all_types[(i + turn) % ALL_TYPES];
    struct dr_schema *turned = schema_of(defs, ALL_TYPES);
    assert_true(dr_schema_fingerprint(turned) == fingerprint);
    dr_schema_unref(turned);
    defs[turn].type = (struct dray_type){DRAY_TYPE_DECIMAL, 12, 3};
    struct dr_schema *changed = schema_of(defs, ALL_TYPES);
    assert_false(dr_schema_fingerprint(changed) == fingerprint);
    dr_schema_unref(changed);
  }
  // Names and types cannot run into each other.
  struct dr_schema *one = SCHEMA_OF(COLUMN("ab", INT64), COLUMN("c", INT64));
  struct dr_schema *two = SCHEMA_OF(COLUMN("a", INT64), COLUMN("bc", INT64));
  assert_false(dr_schema_fingerprint(one) == dr_schema_fingerprint(two));
  dr_schema_unref(one);
  dr_schema_unref(two);
  dr_schema_unref(schema);
}

static int32_t every_way_once(void *ctx) {
  struct dr_schema *schema = NULL, *from_json = NULL, *from_arrow = NULL;
  struct ArrowSchema arrow = {.release = NULL};
  struct dray_buffer out;
  (void)ctx;
  dray_buffer_init(&out, 4096);
  int32_t code = dr_schema_new(all_types, ALL_TYPES, &schema, NULL);
  if (code == DRAY_OK) code = dr_schema_to_json(schema, &out, NULL);
  if (code == DRAY_OK) code = dr_schema_from_json(dray_buffer_view(&out), &from_json, NULL);
  if (code == DRAY_OK) code = dr_schema_to_arrow(schema, 1, &arrow, NULL);
  if (code == DRAY_OK) code = dr_schema_from_arrow(&arrow, &from_arrow, NULL);
  dray_schema_release(&arrow);
  dr_schema_unref(schema);
  dr_schema_unref(from_json);
  dr_schema_unref(from_arrow);
  dray_buffer_free(&out);
  return code;
}

static void test_schema_survives_every_failed_allocation(void **state) {
  (void)state;
  assert_true(torture_every(every_way_once, NULL) > 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schema_knows_its_fields),
      cmocka_unit_test(test_schema_refuses_names_that_cannot_be_told_apart),
      cmocka_unit_test(test_schema_equality_sees_every_member),
      cmocka_unit_test(test_schema_json_round_trips),
      cmocka_unit_test(test_schema_json_that_is_no_schema_is_refused),
      cmocka_unit_test(test_schema_to_arrow_and_back),
      cmocka_unit_test(test_schema_from_arrow_refuses_what_is_no_table),
      cmocka_unit_test(test_schema_fingerprint_is_of_names_and_types_in_any_order),
      cmocka_unit_test(test_schema_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
