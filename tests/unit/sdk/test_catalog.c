// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams and objects as tables: what discover says, what a read of some columns gets, and the README's table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/catalog.h"
#include "torture.h"

#define DOCUMENT_BYTES_MAX 8192

static const struct dray_field fields[] = {
    {"list_id", "-", {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_NOT_NULL, NULL},
    {"id", NULL, {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_NOT_NULL | DRAY_FIELD_MATCH_KEY, "the vendor's"},
    {"country", "location.country", {DRAY_TYPE_STRING, 0, 0}, 0, NULL},
    {"total", NULL, {DRAY_TYPE_DECIMAL, 10, 2}, DRAY_FIELD_READ_ONLY, NULL},
    {"changed_at", NULL, {DRAY_TYPE_TIMESTAMP, 0, 0}, DRAY_FIELD_REQUIRED, NULL},
};
static const struct dray_stream_def members = {.name = "members",
                                               .description = "everybody | all",
                                               .fields = fields,
                                               .field_count = 5,
                                               .primary_key = "list_id id",
                                               .cursor = "changed_at",
                                               .modes = DRAY_STREAM_FULL | DRAY_STREAM_INCREMENTAL};

static int32_t add_more(struct dray_field_list *list, struct dray_error *error) {
  DRAY_TRY(dray_field_list_add(list, dray_str_of("city"), dray_str_of("merge_fields.CITY"),
                               (struct dray_type){DRAY_TYPE_STRING, 0, 0}, 0, dray_str_of("City"), error));
  DRAY_TRY(dray_field_list_add(list, dray_str_of("a.b"), dray_str_of(NULL), (struct dray_type){DRAY_TYPE_INT64, 0, 0},
                               DRAY_FIELD_READ_ONLY, dray_str_of(NULL), error));
  dray_field_list_end(list);
  return DRAY_OK;
}

static void expect_written(struct dray_buffer *document, struct dray_json_writer *writer, const char *expected) {
  assert_int_equal(dray_json_writer_finish(writer), DRAY_OK);
  assert_string_equal(document->data, expected);
  dray_buffer_free(document);
}

static void test_a_stream_is_written_as_discover_has_it(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  struct dray_field_list more;
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_json_writer_init(&writer, &document, NULL);
  dray_field_list_init(&more, 1000);
  assert_int_equal(add_more(&more, NULL), DRAY_OK);
  dray_stream_def_write(&members, &more, &writer);
  expect_written(&document, &writer,
                 "{\"name\":\"members\",\"columns\":[{\"name\":\"list_id\",\"type\":\"string\",\"nullable\":false},"
                 "{\"name\":\"id\",\"type\":\"string\",\"nullable\":false,\"description\":\"the vendor's\"},"
                 "{\"name\":\"country\",\"type\":\"string\",\"nullable\":true},"
                 "{\"name\":\"total\",\"type\":\"decimal(10,2)\",\"nullable\":true},"
                 "{\"name\":\"changed_at\",\"type\":\"timestamp\",\"nullable\":true},"
                 "{\"name\":\"city\",\"type\":\"string\",\"nullable\":true,\"description\":\"City\"},"
                 "{\"name\":\"a.b\",\"type\":\"int64\",\"nullable\":true}],"
                 "\"primary_key\":[\"list_id\",\"id\"],\"cursor\":\"changed_at\",\"modes\":[\"full\",\"incremental\"],"
                 "\"changes\":false,\"description\":\"everybody | all\"}");
  dray_field_list_free(&more);

  const struct dray_stream_def bare = {.name = "log", .modes = DRAY_STREAM_INCREMENTAL | DRAY_STREAM_CHANGES};
  dray_json_writer_init(&writer, &document, NULL);
  dray_stream_def_write(&bare, NULL, &writer);
  expect_written(&document, &writer,
                 "{\"name\":\"log\",\"columns\":[],\"primary_key\":[],\"cursor\":null,\"modes\":[\"incremental\"],"
                 "\"changes\":true}");
}

static void test_an_object_is_written_as_discover_has_it(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  const struct dray_object_def object = {.name = "members",
                                         .fields = fields + 3,
                                         .field_count = 2,
                                         .operations = DRAY_OP_INSERT | DRAY_OP_DELETE,
                                         .description = "x"};
  const struct dray_object_def any = {.name = "any", .operations = DRAY_OP_UPDATE};
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_json_writer_init(&writer, &document, NULL);
  dray_object_def_write(&object, NULL, &writer);
  expect_written(&document, &writer,
                 "{\"name\":\"members\",\"fields\":[{\"name\":\"total\",\"type\":\"decimal(10,2)\",\"required\":false,"
                 "\"writable\":false,\"match_key\":false},{\"name\":\"changed_at\",\"type\":\"timestamp\","
                 "\"required\":true,\"writable\":true,\"match_key\":false}],\"operations\":[\"insert\",\"delete\"],"
                 "\"description\":\"x\"}");
  dray_json_writer_init(&writer, &document, NULL);
  dray_object_def_write(&any, NULL, &writer);
  expect_written(&document, &writer, "{\"name\":\"any\",\"operations\":[\"update\"]}");
}

static int32_t some_options(struct dray_buffer *out, struct dray_error *error) {
  return dray_buffer_append_str(out, "{\"type\":\"object\"}", error);
}
static int32_t no_options_to_be_had(struct dray_buffer *out, struct dray_error *error) {
  (void)out;
  return dray_fail(error, DRAY_E_LIMIT, "too many options");
}

static void test_a_catalogue_is_made_anew_each_time(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  struct dray_str said = {NULL, 0};
  struct dray_error error;
  const struct dray_stream_def bare = {.name = "log"};
  dray_error_init(&error);
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_catalog_begin(&writer, &document, "objects", &error);
  assert_int_equal(dray_catalog_end(&writer, some_options, &said, &error), DRAY_OK);
  assert_true(dray_str_is(said, "{\"objects\":[],\"options\":{\"type\":\"object\"}}"));
  dray_catalog_begin(&writer, &document, "streams", &error);
  dray_stream_def_write(&bare, NULL, &writer);
  assert_int_equal(dray_catalog_end(&writer, NULL, &said, &error), DRAY_OK);
  assert_true(dray_str_is(said, "{\"streams\":[{\"name\":\"log\",\"columns\":[],\"primary_key\":[],\"cursor\":null,"
                                "\"modes\":[],\"changes\":false}]}"));
  dray_catalog_begin(&writer, &document, "objects", &error);
  const struct dray_str before = said;
  assert_int_equal(dray_catalog_end(&writer, no_options_to_be_had, &said, &error), DRAY_E_LIMIT);
  assert_string_equal(error.text, "too many options");
  assert_ptr_equal(said.data, before.data); // written only on success
  dray_buffer_free(&document);
}

static void test_a_field_that_is_compared_without_regard_to_case_says_so(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  static const struct dray_field people[] = {
      {"id", NULL, {DRAY_TYPE_INT64, 0, 0}, DRAY_FIELD_MATCH_KEY, NULL},
      {"email", NULL, {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_CASELESS, NULL},
      {"city", NULL, {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_CASELESS, NULL}};
  const struct dray_object_def object = {
      .name = "people", .fields = people, .field_count = 3, .operations = DRAY_OP_INSERT};
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_json_writer_init(&writer, &document, NULL);
  dray_object_def_write(&object, NULL, &writer);
  expect_written(&document, &writer,
                 "{\"name\":\"people\",\"fields\":[{\"name\":\"id\",\"type\":\"int64\",\"required\":false,"
                 "\"writable\":true,\"match_key\":true},{\"name\":\"email\",\"type\":\"string\","
                 "\"required\":false,\"writable\":true,\"match_key\":true,\"compare\":\"caseless\"},"
                 "{\"name\":\"city\",\"type\":\"string\",\"required\":false,\"writable\":true,"
                 "\"match_key\":false,\"compare\":\"caseless\"}],\"operations\":[\"insert\"]}");
  assert_int_equal(dray_object_defs_markdown(&object, 1, &document, NULL), DRAY_OK);
  assert_string_equal(document.data, "| object | operations | match keys | a null | what |\n|---|---|---|---|---|\n"
                                     "| `people` | insert | `id`, `email` (any case) | empties |  |\n");
  dray_buffer_free(&document);
}

static void test_a_field_says_what_a_null_does_to_it(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  static const struct dray_field people[] = {
      {"id", NULL, {DRAY_TYPE_INT64, 0, 0}, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, NULL},
      {"city", NULL, {DRAY_TYPE_STRING, 0, 0}, 0, NULL},
      {"role", NULL, {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_NULL_KEPT, NULL},
      {"name", NULL, {DRAY_TYPE_STRING, 0, 0}, DRAY_FIELD_NULL_REFUSED, NULL}};
  const struct dray_object_def objects[] = {
      {.name = "people", .fields = people, .field_count = 4, .operations = DRAY_OP_INSERT},
      {.name = "keys", .fields = people, .field_count = 1, .operations = DRAY_OP_INSERT}};
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_json_writer_init(&writer, &document, NULL);
  dray_object_def_write(&objects[0], NULL, &writer);
  expect_written(&document, &writer,
                 "{\"name\":\"people\",\"fields\":[{\"name\":\"id\",\"type\":\"int64\",\"required\":true,"
                 "\"writable\":true,\"match_key\":true,\"null\":\"refused\"},{\"name\":\"city\",\"type\":\"string\","
                 "\"required\":false,\"writable\":true,\"match_key\":false},{\"name\":\"role\",\"type\":\"string\","
                 "\"required\":false,\"writable\":true,\"match_key\":false,\"null\":\"kept\"},{\"name\":\"name\","
                 "\"type\":\"string\",\"required\":false,\"writable\":true,\"match_key\":false,\"null\":\"refused\"}],"
                 "\"operations\":[\"insert\"]}");
  assert_int_equal(dray_object_defs_markdown(objects, 2, &document, NULL), DRAY_OK);
  assert_string_equal(document.data, "| object | operations | match keys | a null | what |\n|---|---|---|---|---|\n"
                                     "| `people` | insert | `id` | empties; kept: `role`; refused: `id`, `name` |  |\n"
                                     "| `keys` | insert | `id` | refused: `id` |  |\n");
  dray_buffer_free(&document);
}

static void test_a_step_of_a_check_has_a_fix_when_it_failed(void **state) {
  (void)state;
  struct dray_buffer document;
  struct dray_json_writer writer;
  dray_buffer_init(&document, DOCUMENT_BYTES_MAX);
  dray_json_writer_init(&writer, &document, NULL);
  dray_json_begin_array(&writer);
  dray_check_step_write(&writer, "reach", "answered", NULL);
  dray_check_step_write(&writer, "role", "no", "grant it");
  dray_check_failure_write(&writer, "scope", DRAY_E_AUTH_FORBIDDEN, "lacks it", "grant that");
  dray_json_end_array(&writer);
  expect_written(&document, &writer,
                 "[{\"name\":\"reach\",\"ok\":true,\"text\":\"answered\"},"
                 "{\"name\":\"role\",\"ok\":false,\"text\":\"no\",\"fix\":\"grant it\"},"
                 "{\"name\":\"scope\",\"ok\":false,\"text\":\"lacks it\",\"fix\":\"grant that\",\"code\":201}]");
}

static void test_a_selection_has_what_was_asked_for_in_the_order_of_the_definition(void **state) {
  (void)state;
  struct dray_selection selection;
  struct dray_field_list more;
  const struct dray_str wanted[] = {dray_str_of("a.b"), dray_str_of("country"), dray_str_of("list_id"),
                                    dray_str_of("country")};
  dray_field_list_init(&more, 1000);
  assert_int_equal(add_more(&more, NULL), DRAY_OK);
  assert_int_equal(dray_selection_make(&members, &more, wanted, 4, 1, 1, &selection, NULL), DRAY_OK);
  static const char *const names[] = {"list_id",          "country",         "a.b",
                                      DRAY_COLUMN_ABSENT, DRAY_COLUMN_ERROR, DRAY_COLUMN_DELETED};
  assert_int_equal(selection.schema.n_children, 6);
  for (size_t i = 0; i < 6; i++) assert_string_equal(selection.schema.children[i]->name, names[i]);
  assert_int_equal(selection.column_count, 3);
  assert_int_equal(selection.columns[0], 0);
  assert_int_equal(selection.columns[1], 2);
  assert_int_equal(selection.columns[2], 6);
  assert_int_equal(selection.field_count, 2); // list_id is the plugin's
  assert_string_equal(selection.fields[0].path, "location.country");
  assert_int_equal(selection.fields[0].column, 1);
  assert_string_equal(selection.fields[1].path, "[\"a.b\"]");
  assert_int_equal(selection.fields[1].column, 2);
  assert_int_equal(selection.absent_column, 3);
  assert_int_equal(selection.error_column, 4);
  assert_int_equal(selection.deleted_column, 5);
  assert_int_equal(dray_selection_find(&selection, "country"), 1);
  assert_int_equal(dray_selection_find(&selection, "total"), -1);
  assert_int_equal(dray_selection_find(&selection, DRAY_COLUMN_ERROR), -1);
  dray_selection_free(&selection);
  dray_selection_free(&selection);

  assert_int_equal(dray_selection_make(&members, NULL, NULL, 0, 0, 0, &selection, NULL), DRAY_OK);
  assert_int_equal(selection.schema.n_children, 6);
  assert_int_equal(selection.error_column, 5);
  assert_int_equal(selection.absent_column, -1);
  assert_int_equal(selection.deleted_column, -1);
  assert_int_equal(selection.schema.children[0]->flags & ARROW_FLAG_NULLABLE, 0);
  dray_selection_free(&selection);
  dray_field_list_free(&more);
}

static void test_an_unknown_column_is_answered_with_the_nearest(void **state) {
  (void)state;
  struct dray_selection selection;
  struct dray_error error;
  const struct dray_str wanted = dray_str_of("contry");
  dray_error_init(&error);
  assert_int_equal(dray_selection_make(&members, NULL, &wanted, 1, 0, 0, &selection, &error), DRAY_E_SCHEMA_COLUMN);
  assert_string_equal(error.text, "the stream members has no column contry; did you mean \"country\"?");
}

static void test_a_list_of_fields_refuses_what_it_cannot_hold(void **state) {
  (void)state;
  const struct dray_type type = {DRAY_TYPE_STRING, 0, 0};
  const struct dray_str none = {NULL, 0};
  struct dray_field_list list;
  dray_field_list_init(&list, 20);
  assert_int_equal(dray_field_list_add(&list, dray_str_of("abc"), none, type, 0, none, NULL), DRAY_OK);
  assert_int_equal(dray_field_list_add(&list, none, none, type, 0, none, NULL), DRAY_E_SCHEMA_NAME);
  assert_int_equal(dray_field_list_add(&list, dray_str_make("a\0b", 3), none, type, 0, none, NULL), DRAY_E_SCHEMA_NAME);
  assert_int_equal(dray_field_list_add(&list, dray_str_of("abcdefgh"), none, type, 0, none, NULL), DRAY_E_LIMIT);
  assert_int_equal(dray_field_list_add(&list, dray_str_of("d"), dray_str_of("x.y"), type, 0, dray_str_of("z"), NULL),
                   DRAY_OK);
  dray_field_list_end(&list);
  assert_int_equal(list.count, 2);
  assert_string_equal(list.items[0].name, "abc");
  assert_string_equal(list.items[0].path, "abc");
  assert_null(list.items[0].description);
  assert_string_equal(list.items[1].path, "x.y");
  assert_string_equal(list.items[1].description, "z");
  dray_field_list_free(&list);
}

// "-" as a path says that the plugin fills the column; a member of that name is read as any other.
static void test_a_member_called_dash_is_read(void **state) {
  (void)state;
  const struct dray_stream_def def = {.name = "any"};
  struct dray_field_list list;
  struct dray_selection selection;
  dray_field_list_init(&list, 100);
  assert_int_equal(dray_field_list_add(&list, dray_str_of("-"), dray_str_make(NULL, 0),
                                       (struct dray_type){DRAY_TYPE_STRING, 0, 0}, 0, dray_str_make(NULL, 0), NULL),
                   DRAY_OK);
  dray_field_list_end(&list);
  assert_int_equal(dray_selection_make(&def, &list, NULL, 0, 0, 0, &selection, NULL), DRAY_OK);
  assert_int_equal(selection.field_count, 1);
  dray_selection_free(&selection);
  dray_field_list_free(&list);
}

static void test_definitions_make_a_table(void **state) {
  (void)state;
  struct dray_buffer out;
  const struct dray_stream_def streams[] = {members, {.name = "log", .modes = DRAY_STREAM_FULL}};
  const struct dray_object_def objects[] = {
      {.name = "members", .fields = fields, .field_count = 5, .operations = 7, .description = "x"},
      {.name = "tags", .operations = DRAY_OP_INSERT}};
  dray_buffer_init(&out, DOCUMENT_BYTES_MAX);
  assert_int_equal(dray_stream_defs_markdown(streams, 2, &out, NULL), DRAY_OK);
  assert_string_equal(out.data,
                      "| stream | primary key | cursor | modes | what |\n|---|---|---|---|---|\n"
                      "| `members` | `list_id`, `id` | `changed_at` | full, incremental | everybody \\| all |\n"
                      "| `log` | - | - | full |  |\n");
  dray_buffer_clear(&out);
  assert_int_equal(dray_object_defs_markdown(objects, 2, &out, NULL), DRAY_OK);
  assert_string_equal(out.data, "| object | operations | match keys | a null | what |\n|---|---|---|---|---|\n"
                                "| `members` | insert, update, delete | `id` | empties | x |\n"
                                "| `tags` | insert | - | - |  |\n");
  dray_buffer_free(&out);
}

static int32_t do_everything(void *ctx) {
  (void)ctx;
  struct dray_selection selection = {.absent_column = -1};
  struct dray_field_list more;
  struct dray_buffer out;
  struct dray_json_writer writer;
  dray_field_list_init(&more, 1000);
  dray_buffer_init(&out, DOCUMENT_BYTES_MAX);
  int32_t rc = add_more(&more, NULL);
  if (rc == DRAY_OK) rc = dray_selection_make(&members, &more, NULL, 0, 1, 1, &selection, NULL);
  if (rc == DRAY_OK) {
    dray_json_writer_init(&writer, &out, NULL);
    dray_stream_def_write(&members, &more, &writer);
    rc = dray_json_writer_finish(&writer);
  }
  if (rc == DRAY_OK) rc = dray_stream_defs_markdown(&members, 1, &out, NULL);
  dray_selection_free(&selection);
  dray_field_list_free(&more);
  dray_buffer_free(&out);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(do_everything, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_stream_is_written_as_discover_has_it),
      cmocka_unit_test(test_an_object_is_written_as_discover_has_it),
      cmocka_unit_test(test_a_catalogue_is_made_anew_each_time),
      cmocka_unit_test(test_a_field_that_is_compared_without_regard_to_case_says_so),
      cmocka_unit_test(test_a_field_says_what_a_null_does_to_it),
      cmocka_unit_test(test_a_step_of_a_check_has_a_fix_when_it_failed),
      cmocka_unit_test(test_a_selection_has_what_was_asked_for_in_the_order_of_the_definition),
      cmocka_unit_test(test_an_unknown_column_is_answered_with_the_nearest),
      cmocka_unit_test(test_a_list_of_fields_refuses_what_it_cannot_hold),
      cmocka_unit_test(test_a_member_called_dash_is_read),
      cmocka_unit_test(test_definitions_make_a_table),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
