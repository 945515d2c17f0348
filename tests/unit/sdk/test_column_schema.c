// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arrow schemas: made, copied, moved apart, recognised.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dray/sdk/column.h"
#include "torture.h"

static const struct dray_column_def all_types[] = {
    {"b", {DRAY_TYPE_BOOL, 0, 0}, 0},     {"i", {DRAY_TYPE_INT64, 0, 0}, 1},     {"f", {DRAY_TYPE_FLOAT64, 0, 0}, 1},
    {"d", {DRAY_TYPE_DECIMAL, 10, 2}, 1}, {"s", {DRAY_TYPE_STRING, 0, 0}, 1},    {"z", {DRAY_TYPE_BYTES, 0, 0}, 1},
    {"t", {DRAY_TYPE_DATE, 0, 0}, 1},     {"u", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1}, {"j", {DRAY_TYPE_JSON, 0, 0}, 1},
};
#define ALL_TYPES (sizeof all_types / sizeof all_types[0])

static void expect_all_types(const struct ArrowSchema *schema) {
  static const char *const formats[] = {"b", "l", "g", "d:10,2", "u", "z", "tdD", "tsu:UTC", "u"};
  assert_string_equal(schema->format, "+s");
  assert_int_equal(schema->n_children, ALL_TYPES);
  for (size_t i = 0; i < ALL_TYPES; i++) {
    struct dray_type type;
    assert_string_equal(schema->children[i]->name, all_types[i].name);
    assert_string_equal(schema->children[i]->format, formats[i]);
    assert_int_equal(schema->children[i]->flags, all_types[i].nullable ? ARROW_FLAG_NULLABLE : 0);
    assert_int_equal(dray_schema_type(schema->children[i], &type, NULL), DRAY_OK);
    assert_memory_equal(&type, &all_types[i].type, sizeof type);
  }
  assert_true(dray_str_is(dray_schema_extension(schema->children[8]), "arrow.json"));
  assert_int_equal(dray_schema_extension(schema->children[4]).len, 0);
}

static void test_schema_of_every_type_is_recognised_again(void **state) {
  (void)state;
  struct ArrowSchema schema, copy;
  assert_int_equal(dray_schema_make(all_types, ALL_TYPES, &schema, NULL), DRAY_OK);
  expect_all_types(&schema);
  assert_int_equal(dray_schema_copy(&schema, &copy, NULL), DRAY_OK);
  dray_schema_release(&schema);
  assert_null(schema.release);
  expect_all_types(&copy);
  dray_schema_release(&copy);
}

// Arrow lets a consumer take a child out of its parent and release both at different times.
static void test_schema_column_marked_as_key_keeps_all_else(void **state) {
  (void)state;
  struct ArrowSchema schema;
  assert_int_equal(dray_schema_make(all_types, ALL_TYPES, &schema, NULL), DRAY_OK);
  for (size_t i = 0; i < ALL_TYPES; i++) {
    struct ArrowSchema *column = schema.children[i];
    struct dray_type type;
    assert_int_equal(dray_schema_mark_key(column, NULL), DRAY_OK);
    int32_t pairs;
    memcpy(&pairs, column->metadata, sizeof pairs);
    assert_int_equal(pairs, all_types[i].type.id == DRAY_TYPE_JSON ? 2 : 1);
    assert_string_equal(column->name, all_types[i].name);
    assert_int_equal(column->flags, all_types[i].nullable ? ARROW_FLAG_NULLABLE : 0);
    assert_int_equal(dray_schema_type(column, &type, NULL), DRAY_OK);
    assert_memory_equal(&type, &all_types[i].type, sizeof type);
    const char pair[] = "\x10\0\0\0dray:primary_key\x04\0\0\0true"; // the first, before a json column's own
    assert_memory_equal(column->metadata + sizeof pairs, pair, sizeof pair - 1);
  }
  dray_schema_release(&schema);
}

static void test_schema_column_says_how_long_its_values_may_be_and_how_they_compare(void **state) {
  (void)state;
  struct ArrowSchema schema, copy;
  assert_int_equal(dray_schema_make(all_types, ALL_TYPES, &schema, NULL), DRAY_OK);
  for (size_t i = 0; i < ALL_TYPES; i++) {
    assert_int_equal(dray_schema_marked_number(schema.children[i], DRAY_MARK_LENGTH_MAX), 0);
    assert_int_equal(dray_schema_mark_key(schema.children[i], NULL), DRAY_OK);
    assert_int_equal(dray_schema_marked_number(schema.children[i], DRAY_MARK_LENGTH_MAX), 0);
    assert_int_equal(dray_schema_mark_number(schema.children[i], DRAY_MARK_LENGTH_MAX, i == 0 ? UINT32_MAX : i, NULL),
                     DRAY_OK);
    assert_false(dray_schema_is_loose(schema.children[i]));
    if (i % 2 == 0) assert_int_equal(dray_schema_mark_loose(schema.children[i], NULL), DRAY_OK);
  }
  assert_int_equal(dray_schema_copy(&schema, &copy, NULL), DRAY_OK);
  dray_schema_release(&schema);
  expect_all_types(&copy);
  for (size_t i = 0; i < ALL_TYPES; i++) {
    assert_int_equal(dray_schema_marked_number(copy.children[i], DRAY_MARK_LENGTH_MAX), i == 0 ? UINT32_MAX : i);
    assert_int_equal(dray_schema_is_loose(copy.children[i]), i % 2 == 0);
  }
  dray_schema_release(&copy);
}

// What another's metadata says is not a number, or none that there is room for.
static void test_schema_length_that_is_no_number_is_none(void **state) {
  (void)state;
  static const char *const values[] = {"5x  ", "-500", " 500", "1e99"};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char metadata[4 + 4 + 15 + 4 + 4];
    const int32_t count = 1, key_bytes = 15, value_bytes = 4;
    memcpy(metadata, &count, 4);
    memcpy(metadata + 4, &key_bytes, 4);
    memcpy(metadata + 8, "dray:length_max", 15);
    memcpy(metadata + 23, &value_bytes, 4);
    memcpy(metadata + 27, values[i], 4);
    const struct ArrowSchema column = {.format = "u", .name = "v", .metadata = metadata};
    assert_int_equal(dray_schema_marked_number(&column, DRAY_MARK_LENGTH_MAX), 0);
  }
}

static void test_schema_child_moved_out_outlives_its_parent(void **state) {
  (void)state;
  struct ArrowSchema schema, child;
  assert_int_equal(dray_schema_make(all_types, ALL_TYPES, &schema, NULL), DRAY_OK);
  child = *schema.children[8];
  schema.children[8]->release = NULL;
  dray_schema_release(&schema);
  assert_string_equal(child.name, "j");
  assert_true(dray_str_is(dray_schema_extension(&child), "arrow.json"));
  dray_schema_release(&child);
}

static void test_schema_refuses_names_and_types_that_cannot_be(void **state) {
  (void)state;
  char long_name[258];
  memset(long_name, 'n', sizeof long_name);
  long_name[257] = '\0';
  const struct dray_column_def bad[] = {
      {"", {DRAY_TYPE_BOOL, 0, 0}, 1},
      {NULL, {DRAY_TYPE_BOOL, 0, 0}, 1},
      {long_name, {DRAY_TYPE_BOOL, 0, 0}, 1},
      {"\xff", {DRAY_TYPE_BOOL, 0, 0}, 1},
      {"x", {0, 0, 0}, 1},
      {"x", {10, 0, 0}, 1},
      {"x", {DRAY_TYPE_DECIMAL, 0, 0}, 1},
      {"x", {DRAY_TYPE_DECIMAL, 39, 0}, 1},
      {"x", {DRAY_TYPE_DECIMAL, 5, 6}, 1},
      {"x", {DRAY_TYPE_DECIMAL, 5, -1}, 1},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct ArrowSchema schema = {.release = NULL};
    assert_int_equal(dray_schema_make(&bad[i], 1, &schema, NULL), i < 4 ? DRAY_E_SCHEMA_NAME : DRAY_E_SCHEMA_TYPE);
    assert_null(schema.release);
  }
  struct ArrowSchema schema;
  assert_int_equal(dray_schema_make(all_types, DRAY_COLUMNS_MAX + 1, &schema, NULL), DRAY_E_LIMIT);
}

static void test_schema_type_takes_canonical_formats_only(void **state) {
  (void)state;
  static const char *const foreign[] = {"i",          "U",      "Z",     "tss:UTC", "tsu:", "tsu:Europe/Berlin",
                                        "d:10,2,256", "d:39,2", "d:5,6", "d:0,0",   "d:10", "d:10,-2",
                                        "tdm",        "+s",     "",      "n",       "vu"};
  for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
    struct ArrowSchema column = {.format = foreign[i], .name = "x"};
    struct dray_type type;
    assert_int_equal(dray_schema_type(&column, &type, NULL), DRAY_E_SCHEMA_TYPE);
  }
  struct ArrowSchema values = {.format = "u"}, keys = {.format = "l", .dictionary = &values};
  struct dray_type type;
  assert_int_equal(dray_schema_type(&keys, &type, NULL), DRAY_E_SCHEMA_TYPE);
}

static void test_schema_copy_keeps_nesting_dictionary_and_metadata(void **state) {
  (void)state;
  struct ArrowSchema made, copy;
  struct ArrowSchema list = {.format = "+l", .name = "list", .n_children = 1};
  struct ArrowSchema dictionary, parent = {.format = "+s", .n_children = 1};
  assert_int_equal(dray_schema_make(all_types, ALL_TYPES, &made, NULL), DRAY_OK);
  assert_int_equal(dray_schema_copy(made.children[8], &dictionary, NULL), DRAY_OK);
  // The copy only reads, so that structs on the stack will do; release marks them as living.
  struct ArrowSchema *children[] = {made.children[1]}, *lists[] = {&list};
  list.children = children;
  list.dictionary = &dictionary;
  list.release = made.release;
  parent.children = lists;
  parent.release = made.release;
  assert_int_equal(dray_schema_copy(&parent, &copy, NULL), DRAY_OK);
  dray_schema_release(&made);
  dray_schema_release(&dictionary);
  assert_string_equal(copy.children[0]->children[0]->format, "l");
  assert_true(dray_str_is(dray_schema_extension(copy.children[0]->dictionary), "arrow.json"));
  dray_schema_release(&copy);
}

static void test_schema_copy_refuses_the_impossible(void **state) {
  (void)state;
  struct ArrowSchema copy, released = {.format = "l"};
  struct ArrowSchema *children[] = {&released};
  const struct ArrowSchema parent = {.format = "+s", .n_children = 1, .children = children};
  assert_int_equal(dray_schema_copy(&parent, &copy, NULL), DRAY_E_PLUGIN_CONTRACT);
  struct ArrowSchema nodes[80];
  struct ArrowSchema *pointers[80];
  struct ArrowSchema made;
  assert_int_equal(dray_schema_make(all_types, 1, &made, NULL), DRAY_OK);
  for (size_t i = 0; i < 80; i++) {
    pointers[i] = &nodes[i];
    nodes[i] = (struct ArrowSchema){.format = "+l", .release = made.release, .n_children = i < 79};
    if (i < 79) nodes[i].children = &pointers[i + 1];
  }
  assert_int_equal(dray_schema_copy(&nodes[0], &copy, NULL), DRAY_E_LIMIT);
  const int32_t pairs[] = {1000000};
  nodes[79].metadata = (const char *)pairs;
  assert_int_equal(dray_schema_copy(&nodes[79], &copy, NULL), DRAY_E_LIMIT);
  dray_schema_release(&made);
}

static int32_t make_and_copy(void *ctx) {
  struct ArrowSchema schema, copy;
  (void)ctx;
  DRAY_TRY(dray_schema_make(all_types, ALL_TYPES, &schema, NULL));
  const int32_t code = dray_schema_copy(&schema, &copy, NULL);
  if (code == DRAY_OK) dray_schema_release(&copy);
  dray_schema_release(&schema);
  return code;
}

static void test_schema_survives_every_failed_allocation(void **state) {
  (void)state;
  assert_true(torture_every(make_and_copy, NULL) >= 2 * (2 + ALL_TYPES));
}

static void test_reserved_names(void **state) {
  (void)state;
  assert_true(dray_column_reserved("_dray_absent"));
  assert_true(dray_column_reserved("_dray_row"));
  assert_true(dray_column_reserved("_dray_deleted"));
  assert_false(dray_column_reserved("_dray_synced_at"));
  assert_false(dray_column_reserved("id"));
  assert_false(dray_column_reserved(NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schema_of_every_type_is_recognised_again),
      cmocka_unit_test(test_schema_column_marked_as_key_keeps_all_else),
      cmocka_unit_test(test_schema_column_says_how_long_its_values_may_be_and_how_they_compare),
      cmocka_unit_test(test_schema_length_that_is_no_number_is_none),
      cmocka_unit_test(test_schema_child_moved_out_outlives_its_parent),
      cmocka_unit_test(test_schema_refuses_names_and_types_that_cannot_be),
      cmocka_unit_test(test_schema_type_takes_canonical_formats_only),
      cmocka_unit_test(test_schema_copy_keeps_nesting_dictionary_and_metadata),
      cmocka_unit_test(test_schema_copy_refuses_the_impossible),
      cmocka_unit_test(test_schema_survives_every_failed_allocation),
      cmocka_unit_test(test_reserved_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
