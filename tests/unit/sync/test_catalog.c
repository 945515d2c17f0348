// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading what a plugin says of its streams and objects.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
//
#include <cmocka.h>

#include "dray/sdk/error.h"
#include "sync/catalog.h"

#define STREAMS                                                                                                        \
  "{\"streams\":[{\"name\":\"customers\",\"columns\":[],\"primary_key\":[\"id\",\"region\"],\"cursor\":\"updated_"     \
  "at\","                                                                                                              \
  "\"modes\":[\"full\",\"incremental\"]},{\"name\":\"orders\",\"columns\":[],\"primary_key\":[],\"cursor\":null,"      \
  "\"modes\":[\"full\"]}]}"
#define OBJECTS                                                                                                        \
  "{\"objects\":[{\"name\":\"members\",\"fields\":[{\"name\":\"email\",\"type\":\"string\",\"required\":true,\"match_" \
  "key\":true,\"compare\":\"caseless\"},"                                                                              \
  "{\"name\":\"score\",\"type\":\"decimal(5,2)\",\"writable\":false}]},{\"name\":\"any\"}]}"

static void test_stream_has_its_key_cursor_and_modes(void **state) {
  (void)state;
  struct dr_arena arena;
  struct dr_stream_facts facts;
  struct dray_error error;
  dr_arena_init(&arena, 1 << 20);
  assert_int_equal(dr_catalog_stream(dray_str_of(STREAMS), "customers", &arena, &facts, &error), DRAY_OK);
  assert_int_equal(facts.key_count, 2);
  assert_string_equal(facts.key[1], "region");
  assert_string_equal(facts.cursor, "updated_at");
  assert_int_equal(facts.incremental, 1);
  assert_int_equal(dr_catalog_stream(dray_str_of(STREAMS), "orders", &arena, &facts, &error), DRAY_OK);
  assert_int_equal(facts.key_count, 0);
  assert_null(facts.cursor);
  assert_int_equal(facts.incremental, 0);
  dr_arena_free(&arena);
}

static void test_unknown_stream_names_the_nearest(void **state) {
  (void)state;
  struct dr_arena arena;
  struct dr_stream_facts facts;
  struct dray_error error;
  dr_arena_init(&arena, 1 << 20);
  assert_int_equal(dr_catalog_stream(dray_str_of(STREAMS), "custmers", &arena, &facts, &error), DRAY_E_SCHEMA_STREAM);
  assert_non_null(strstr(error.text, "did you mean \"customers\"?"));
  dr_arena_free(&arena);
}

static void test_object_has_its_fields(void **state) {
  (void)state;
  struct dr_arena arena;
  struct dr_object_facts facts;
  struct dray_error error;
  dr_arena_init(&arena, 1 << 20);
  assert_int_equal(dr_catalog_object(dray_str_of(OBJECTS), "members", &arena, &facts, &error), DRAY_OK);
  assert_int_equal(facts.field_count, 2);
  assert_true(facts.fields[0].required && facts.fields[0].match_key && facts.fields[0].writable);
  assert_true(facts.fields[0].caseless && !facts.fields[1].caseless);
  assert_int_equal(facts.fields[1].type.scale, 2);
  assert_false(facts.fields[1].writable);
  assert_int_equal(dr_catalog_object(dray_str_of(OBJECTS), "any", &arena, &facts, &error), DRAY_OK);
  assert_true(facts.found);
  assert_int_equal(facts.field_count, 0);
  assert_int_equal(dr_catalog_object(dray_str_of(OBJECTS), "other", &arena, &facts, &error), DRAY_OK);
  assert_false(facts.found);
  dr_arena_free(&arena);
}

static void test_document_that_is_no_catalogue_is_the_plugins_fault(void **state) {
  (void)state;
  struct dr_arena arena;
  struct dr_stream_facts facts;
  struct dray_error error;
  dr_arena_init(&arena, 1 << 20);
  assert_int_equal(dr_catalog_stream(dray_str_of("{\"streams\":["), "x", &arena, &facts, &error),
                   DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(dr_catalog_stream(dray_str_of("[]"), "x", &arena, &facts, &error), DRAY_E_SCHEMA_STREAM);
  dr_arena_free(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stream_has_its_key_cursor_and_modes),
      cmocka_unit_test(test_unknown_stream_names_the_nearest),
      cmocka_unit_test(test_object_has_its_fields),
      cmocka_unit_test(test_document_that_is_no_catalogue_is_the_plugins_fault),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
