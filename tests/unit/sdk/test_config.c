// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A table of settings: what the host is told about it, and what comes out of binding.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dray/sdk/config.h"
#include "dray/sdk/json.h"
#include "torture.h"

struct settings {
  char *path;
  char *format;
  int64_t rows;
  double rate;
  int32_t header;
  int32_t token;
  char *columns;
};

static const char *const formats[] = {"csv", "jsonl", NULL};

static const struct dray_setting table[] = {
    {"path", DRAY_SETTING_STRING | DRAY_SETTING_PLACE, 1, offsetof(struct settings, path), "where the files are", NULL,
     NULL, 0, 0, NULL},
    {"format", DRAY_SETTING_STRING, 0, offsetof(struct settings, format), "of the files", "\"csv\"", formats, 0, 0,
     NULL},
    {"rows", DRAY_SETTING_INT, 0, offsetof(struct settings, rows), "at most", "100", NULL, 1, 1000, NULL},
    {"rate", DRAY_SETTING_FLOAT, 0, offsetof(struct settings, rate), NULL, NULL, NULL, -0.5, 0.5, NULL},
    {"header", DRAY_SETTING_BOOL, 0, offsetof(struct settings, header), NULL, "true", NULL, 0, 0, NULL},
    {"token", DRAY_SETTING_SECRET, 0, offsetof(struct settings, token), "of the API", NULL, NULL, 0, 0, NULL},
    {"columns", DRAY_SETTING_JSON, 0, offsetof(struct settings, columns), "types by name", NULL, NULL, 0, 0,
     "{\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}, \"description\": \"overruled\"}"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static int32_t bind(const char *json, struct settings *out, struct dray_error *error) {
  memset(out, 0, sizeof(*out));
  dray_error_init(error);
  return dray_config_bind(table, TABLE_COUNT, dray_str_of(json), out, error);
}

static void expect_refused(const char *json, int32_t code, const char *field, const char *said) {
  static const struct settings nothing;
  struct settings settings;
  struct dray_error error;
  assert_int_equal(bind(json, &settings, &error), code);
  assert_string_equal(error.field, field);
  if (strstr(error.text, said) == NULL) fail_msg("\"%s\" does not say \"%s\"", error.text, said);
  assert_memory_equal(&settings, &nothing, sizeof(settings)); // nothing half bound
}

// ---- binding ----

static void test_config_bind_fills_every_kind(void **state) {
  (void)state;
  struct settings settings;
  struct dray_error error;
  assert_int_equal(
      bind("{\"path\": \"a/*.csv\", \"format\": \"jsonl\", \"rows\": 7, \"rate\": -0.25, \"header\": false,"
           " \"token\": {\"$secret\": \"token\"}, \"columns\": {\"id\": \"int64\", \"n\": 1.10} }",
           &settings, &error),
      DRAY_OK);
  assert_string_equal(settings.path, "a/*.csv");
  assert_string_equal(settings.format, "jsonl");
  assert_int_equal(settings.rows, 7);
  assert_true(settings.rate > -0.26 && settings.rate < -0.24);
  assert_int_equal(settings.header, 0);
  assert_int_equal(settings.token, 1);
  assert_string_equal(settings.columns, "{\"id\":\"int64\",\"n\":1.10}"); // digits as they were written
  dray_config_release(table, TABLE_COUNT, &settings);
  assert_null(settings.path);
  assert_null(settings.columns);
}

static void test_config_bind_fills_defaults(void **state) {
  (void)state;
  struct settings settings;
  struct dray_error error;
  assert_int_equal(bind("{\"path\": \"\"}", &settings, &error), DRAY_OK);
  assert_string_equal(settings.path, "");
  assert_string_equal(settings.format, "csv");
  assert_int_equal(settings.rows, 100);
  assert_int_equal(settings.header, 1);
  assert_int_equal(settings.token, 0);
  assert_null(settings.columns);
  dray_config_release(table, TABLE_COUNT, &settings);
}

static void test_config_bind_keeps_whole_numbers_exact(void **state) {
  (void)state;
  static const struct dray_setting wide = {"n", DRAY_SETTING_INT, 1, 0, NULL, NULL, NULL, 0, 0, NULL};
  struct dray_error error;
  int64_t n = 0;
  assert_int_equal(dray_config_bind(&wide, 1, dray_str_of("{\"n\": 9007199254740993}"), &n, &error), DRAY_OK);
  assert_true(n == INT64_C(9007199254740993));
  n = 0;
  assert_int_equal(dray_config_bind(&wide, 1, dray_str_of("{\"n\": 9223372036854775808}"), &n, &error),
                   DRAY_E_CONFIG_TYPE);
  assert_true(n == 0);
}

static void test_config_bind_refuses_with_field(void **state) {
  (void)state;
  expect_refused("{}", DRAY_E_CONFIG_MISSING, "path", "where the files are");
  expect_refused("{\"path\": 1}", DRAY_E_CONFIG_TYPE, "path", "a string, not a number");
  expect_refused("{\"path\": null}", DRAY_E_CONFIG_TYPE, "path", "not null");
  expect_refused("{\"path\": \"a\\u0000b\"}", DRAY_E_CONFIG_VALUE, "path", "NUL");
  expect_refused("{\"path\": \"x\", \"rows\": \"7\"}", DRAY_E_CONFIG_TYPE, "rows", "a whole number, not a string");
  expect_refused("{\"path\": \"x\", \"rows\": 7.5}", DRAY_E_CONFIG_TYPE, "rows", "7.5");
  expect_refused("{\"path\": \"x\", \"rows\": 0}", DRAY_E_CONFIG_VALUE, "rows", "from 1 to 1000");
  expect_refused("{\"path\": \"x\", \"rows\": 1001}", DRAY_E_CONFIG_VALUE, "rows", "1001");
  expect_refused("{\"path\": \"x\", \"rate\": 0.75}", DRAY_E_CONFIG_VALUE, "rate", "from -0.5 to 0.5");
  expect_refused("{\"path\": \"x\", \"rate\": 1e999}", DRAY_E_CONFIG_TYPE, "rate", "1e999");
  expect_refused("{\"path\": \"x\", \"header\": 1}", DRAY_E_CONFIG_TYPE, "header", "true or false");
  expect_refused("{\"path\": \"x\", \"format\": \"json\"}", DRAY_E_CONFIG_VALUE, "format", "did you mean \"jsonl\"?");
  expect_refused("{\"path\": \"x\", \"format\": \"parquet\"}", DRAY_E_CONFIG_VALUE, "format", "allowed: csv, jsonl");
  expect_refused("[1]", DRAY_E_CONFIG_TYPE, "", "must be an object, not a list");
  expect_refused("{\"path\": ", DRAY_E_CONFIG_VALUE, "", "not valid JSON");
}

static void test_config_bind_unknown_name_suggests_the_nearest(void **state) {
  (void)state;
  expect_refused("{\"path\": \"x\", \"formta\": \"csv\"}", DRAY_E_CONFIG_UNKNOWN_KEY, "formta",
                 "did you mean \"format\"?");
  expect_refused("{\"path\": \"x\", \"zebra\": 1}", DRAY_E_CONFIG_UNKNOWN_KEY, "zebra", "zebra is not a setting here");
}

static void test_config_bind_never_shows_a_written_out_secret(void **state) {
  (void)state;
  struct settings settings;
  struct dray_error error;
  static const char *const literals[] = {"{\"path\": \"x\", \"token\": \"hunter2-canary\"}",
                                         "{\"path\": \"x\", \"token\": {\"value\": \"hunter2-canary\"}}",
                                         "{\"path\": \"x\", \"token\": [\"hunter2-canary\"]}"};
  for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
    assert_int_equal(bind(literals[i], &settings, &error), DRAY_E_CONFIG_SECRET_LITERAL);
    assert_string_equal(error.field, "token");
    assert_null(strstr(error.text, "hunter2"));
  }
}

// ---- spec ----

static struct dray_json *spec_of(const struct dray_setting *settings, size_t count) {
  struct dray_buffer out;
  struct dray_error error;
  struct dray_json *root = NULL;
  dray_buffer_init(&out, 1 << 20);
  dray_error_init(&error);
  assert_int_equal(dray_config_spec(settings, count, &out, &error), DRAY_OK);
  assert_int_equal(dray_json_parse(dray_buffer_view(&out), 1 << 20, &root, &error), DRAY_OK);
  dray_buffer_free(&out);
  return root;
}

static void expect_at(const struct dray_json *root, const char *path, int32_t kind, const char *text) {
  const struct dray_json *value = dray_json_path(root, path);
  if (value == NULL) fail_msg("%s is missing", path);
  assert_int_equal(value->kind, kind);
  if (kind == DRAY_JSON_BOOL) {
    assert_int_equal(value->boolean, text[0] == 't');
  } else {
    assert_string_equal(value->text.data, text);
  }
}

static void test_config_spec_says_what_binding_takes(void **state) {
  (void)state;
  struct dray_json *root = spec_of(table, TABLE_COUNT);
  expect_at(root, "type", DRAY_JSON_STRING, "object");
  expect_at(root, "additionalProperties", DRAY_JSON_BOOL, "false");
  expect_at(root, "required[0]", DRAY_JSON_STRING, "path");
  assert_int_equal(dray_json_get(root, "required")->child_count, 1);
  assert_int_equal(dray_json_get(root, "properties")->child_count, TABLE_COUNT);
  expect_at(root, "properties.path.type", DRAY_JSON_STRING, "string");
  expect_at(root, "properties.path.description", DRAY_JSON_STRING, "where the files are");
  expect_at(root, "properties.path.place", DRAY_JSON_BOOL, "true");
  assert_null(dray_json_path(root, "properties.format.place"));
  expect_at(root, "properties.format.enum[1]", DRAY_JSON_STRING, "jsonl");
  expect_at(root, "properties.format.default", DRAY_JSON_STRING, "csv");
  expect_at(root, "properties.rows.type", DRAY_JSON_STRING, "integer");
  expect_at(root, "properties.rows.minimum", DRAY_JSON_NUMBER, "1");
  expect_at(root, "properties.rows.maximum", DRAY_JSON_NUMBER, "1000");
  expect_at(root, "properties.rate.minimum", DRAY_JSON_NUMBER, "-0.5");
  expect_at(root, "properties.header.type", DRAY_JSON_STRING, "boolean");
  expect_at(root, "properties.header.default", DRAY_JSON_BOOL, "true");
  expect_at(root, "properties.token.writeOnly", DRAY_JSON_BOOL, "true");
  expect_at(root, "properties.columns.additionalProperties.type", DRAY_JSON_STRING, "string");
  expect_at(root, "properties.columns.description", DRAY_JSON_STRING, "types by name"); // the table's own, once
  assert_null(dray_json_path(root, "properties.path.minimum"));
  assert_null(dray_json_path(root, "properties.columns.writeOnly"));
  dray_json_free(root);
}

static void test_config_kept_spec_is_the_spec_and_written_once(void **state) {
  (void)state;
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC, broken = DRAY_KEPT_SPEC;
  const struct dray_setting bad = {.name = "n", .kind = DRAY_SETTING_INT, .default_json = "\"no\""};
  struct dray_buffer whole;
  struct dray_str first = {NULL, 0}, second = {NULL, 0};
  dray_buffer_init(&whole, 1u << 20);
  assert_int_equal(dray_config_spec(table, TABLE_COUNT, &whole, NULL), DRAY_OK);
  assert_int_equal(dray_config_kept_spec(&kept, table, TABLE_COUNT, &first, NULL), DRAY_OK);
  assert_int_equal(dray_config_kept_spec(&kept, table, TABLE_COUNT, &second, NULL), DRAY_OK);
  assert_true(dray_str_equal(first, dray_buffer_view(&whole)));
  assert_ptr_equal(first.data, second.data);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(dray_config_kept_spec(&broken, &bad, 1, &second, NULL), DRAY_E_PLUGIN_CONTRACT);
  }
  assert_ptr_equal(first.data, second.data); // as it was
  dray_buffer_free(&whole);
}

static void test_config_spec_of_no_settings_is_an_empty_object(void **state) {
  (void)state;
  struct dray_json *root = spec_of(table, 0);
  assert_int_equal(dray_json_get(root, "properties")->child_count, 0);
  assert_int_equal(dray_json_get(root, "required")->child_count, 0);
  dray_json_free(root);
}

static void test_config_spec_refuses_a_default_that_binding_would_refuse(void **state) {
  (void)state;
  static const struct dray_setting wrong[] = {
      {"rows", DRAY_SETTING_INT, 0, 0, NULL, "\"many\"", NULL, 0, 0, NULL},
      {"rows", DRAY_SETTING_INT, 0, 0, NULL, "5000", NULL, 1, 1000, NULL},
      {"format", DRAY_SETTING_STRING, 0, 0, NULL, "\"xml\"", formats, 0, 0, NULL},
      {"header", DRAY_SETTING_BOOL, 0, 0, NULL, "yes", NULL, 0, 0, NULL},
      {"columns", DRAY_SETTING_JSON, 0, 0, NULL, NULL, NULL, 0, 0, "[1]"},
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    struct dray_buffer out;
    struct dray_error error;
    dray_buffer_init(&out, 1 << 20);
    dray_error_init(&error);
    assert_int_equal(dray_config_spec(&wrong[i], 1, &out, &error), DRAY_E_PLUGIN_CONTRACT);
    assert_string_equal(error.field, wrong[i].name);
    assert_int_equal(out.len, 0);
    dray_buffer_free(&out);
  }
}

// ---- failing allocations ----

static int32_t bind_once(void *ctx) {
  (void)ctx;
  struct settings settings;
  struct dray_error error;
  const int32_t rc = bind("{\"path\": \"p\", \"columns\": {\"a\": [1, {\"b\": null}]}}", &settings, &error);
  if (rc == DRAY_OK) dray_config_release(table, TABLE_COUNT, &settings);
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  return rc;
}

static int32_t spec_once(void *ctx) {
  (void)ctx;
  struct dray_buffer out;
  struct dray_error error;
  dray_buffer_init(&out, 1 << 20);
  const int32_t rc = dray_config_spec(table, TABLE_COUNT, &out, &error);
  dray_buffer_free(&out);
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  return rc;
}

static void test_config_survives_every_failing_allocation(void **state) {
  (void)state;
  assert_true(torture_every(bind_once, NULL) > 4);
  assert_true(torture_every(spec_once, NULL) > 4);
}

// ---- nearest ----

static const char *nearest_of(const char *wanted, const char *const *names) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(wanted));
  for (; *names != NULL; names++) dray_nearest_offer(&nearest, *names);
  return nearest.best;
}

static void test_nearest_finds_typos_and_nothing_else(void **state) {
  (void)state;
  static const char *const names[] = {"sqlite", "postgres", "webhook", "file", "s3", NULL};
  assert_string_equal(nearest_of("sqlit", names), "sqlite");
  assert_string_equal(nearest_of("SQLite", names), "sqlite");
  assert_string_equal(nearest_of("postgers", names), "postgres"); // neighbours swapped
  assert_string_equal(nearest_of("postgresql", names), "postgres");
  assert_string_equal(nearest_of("fiel", names), "file");
  assert_null(nearest_of("kafka", names));
  assert_null(nearest_of("", names));
  char huge[200];
  memset(huge, 'x', sizeof(huge) - 1);
  huge[sizeof(huge) - 1] = '\0';
  assert_null(nearest_of(huge, names));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_config_bind_fills_every_kind),
      cmocka_unit_test(test_config_bind_fills_defaults),
      cmocka_unit_test(test_config_bind_keeps_whole_numbers_exact),
      cmocka_unit_test(test_config_bind_refuses_with_field),
      cmocka_unit_test(test_config_bind_unknown_name_suggests_the_nearest),
      cmocka_unit_test(test_config_bind_never_shows_a_written_out_secret),
      cmocka_unit_test(test_config_spec_says_what_binding_takes),
      cmocka_unit_test(test_config_kept_spec_is_the_spec_and_written_once),
      cmocka_unit_test(test_config_spec_of_no_settings_is_an_empty_object),
      cmocka_unit_test(test_config_spec_refuses_a_default_that_binding_would_refuse),
      cmocka_unit_test(test_config_survives_every_failing_allocation),
      cmocka_unit_test(test_nearest_finds_typos_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
