// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The README's tables are the code's. With README_WRITE=1 they are written instead of judged.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "objects.h"
#include "settings.h"
#include "streams.h"

#define TEXT_BYTES_MAX (1u << 20)

static void read_file(struct dray_buffer *out) {
  char chunk[4096];
  FILE *file = fopen(README, "r");
  assert_non_null(file);
  for (size_t n = 0; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;) {
    assert_int_equal(dray_buffer_append(out, chunk, n, NULL), DRAY_OK);
  }
  assert_int_equal(fclose(file), 0);
}

static void write_file(const struct dray_buffer *text) {
  FILE *file = fopen(README, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
  assert_int_equal(fclose(file), 0);
}

// The section between <!-- name --> and <!-- end --> is the table.
static void judge(const char *name, const char *table) {
  struct dray_buffer text, made;
  char mark[64];
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  dray_buffer_init(&made, TEXT_BYTES_MAX);
  read_file(&text);
  (void)snprintf(mark, sizeof(mark), "<!-- %s -->\n", name);
  const char *begin = strstr(text.data, mark);
  assert_non_null(begin);
  begin += strlen(mark);
  const char *end = strstr(begin, "<!-- end -->");
  assert_non_null(end);
  assert_int_equal(dray_buffer_append(&made, text.data, (size_t)(begin - text.data), NULL), DRAY_OK);
  assert_int_equal(dray_buffer_append_str(&made, table, NULL), DRAY_OK);
  assert_int_equal(dray_buffer_append_str(&made, end, NULL), DRAY_OK);
  if (getenv("README_WRITE") != NULL) {
    write_file(&made);
  } else {
    assert_string_equal(text.data, made.data);
  }
  dray_buffer_free(&text);
  dray_buffer_free(&made);
}

// The settings of a JSON Schema as a table.
static void settings_table(struct dray_str schema, struct dray_buffer *out) {
  struct dray_json *root = NULL;
  assert_int_equal(dray_json_parse(schema, TEXT_BYTES_MAX, &root, NULL), DRAY_OK);
  assert_int_equal(dray_buffer_append_str(out, "| name | default | what |\n|---|---|---|\n", NULL), DRAY_OK);
  for (const struct dray_json *one = dray_json_get(root, "properties")->child; one != NULL; one = one->next) {
    struct dray_buffer fallback;
    struct dray_json_writer writer;
    dray_buffer_init(&fallback, 1000);
    if (dray_json_get(one, "default") != NULL) {
      dray_json_writer_init(&writer, &fallback, NULL);
      dray_json_write_value(&writer, dray_json_get(one, "default"));
    }
    assert_int_equal(dray_buffer_printf(out, NULL, "| `%s` | %s%s%s | %s |\n", one->name.data,
                                        fallback.len > 0 ? "`" : "", fallback.len > 0 ? fallback.data : "",
                                        fallback.len > 0 ? "`" : "",
                                        dray_json_string(dray_json_get(one, "description"), "").data),
                     DRAY_OK);
    dray_buffer_free(&fallback);
  }
  dray_json_free(root);
}

static void test_the_readme_has_the_settings(void **state) {
  (void)state;
  struct dray_str spec;
  struct dray_buffer table, options;
  dray_buffer_init(&table, TEXT_BYTES_MAX);
  dray_buffer_init(&options, TEXT_BYTES_MAX);
  assert_int_equal(mc_settings_spec(&spec, NULL), DRAY_OK);
  settings_table(spec, &table);
  judge("settings", table.data);
  dray_buffer_clear(&table);
  assert_int_equal(mc_options_spec(&options, NULL), DRAY_OK);
  settings_table(dray_buffer_view(&options), &table);
  judge("options", table.data);
  dray_buffer_free(&table);
  dray_buffer_free(&options);
}

static void test_the_readme_has_streams_and_objects(void **state) {
  (void)state;
  struct dray_buffer table;
  dray_buffer_init(&table, TEXT_BYTES_MAX);
  struct dray_stream_def streams[32];
  struct dray_object_def objects[8];
  assert_true(mc_stream_count <= 32 && mc_object_count <= 8);
  for (size_t i = 0; i < mc_stream_count; i++) streams[i] = mc_streams[i].def;
  for (size_t i = 0; i < mc_object_count; i++) objects[i] = mc_objects[i].def;
  assert_int_equal(dray_stream_defs_markdown(streams, mc_stream_count, &table, NULL), DRAY_OK);
  judge("streams", table.data);
  dray_buffer_clear(&table);
  assert_int_equal(dray_object_defs_markdown(objects, mc_object_count, &table, NULL), DRAY_OK);
  for (size_t i = 0; i < mc_object_count; i++) {
    assert_int_equal(dray_buffer_printf(&table, NULL, "\n| field of `%s` | type | null | what |\n|---|---|---|---|\n",
                                        objects[i].name),
                     DRAY_OK);
    for (size_t j = 0; j < objects[i].field_count; j++) {
      const struct dray_field *field = &objects[i].fields[j];
      char type[32];
      assert_int_equal(dray_buffer_printf(&table, NULL, "| `%s` | %s | %s | %s |\n", field->name,
                                          dray_type_format(field->type, type, sizeof(type)), dray_field_null(field),
                                          field->description != NULL ? field->description : ""),
                       DRAY_OK);
    }
  }
  judge("objects", table.data);
  dray_buffer_free(&table);
}

// Every stream's key, cursor and constant are among its columns.
static void test_the_streams_are_whole(void **state) {
  (void)state;
  for (size_t i = 0; i < mc_stream_count; i++) {
    const struct mc_stream *stream = &mc_streams[i];
    struct dray_selection selection;
    const char *at = stream->def.primary_key;
    assert_int_equal(dray_selection_make(&stream->def, NULL, NULL, 0, 0, 0, &selection, NULL), DRAY_OK);
    while (*at != '\0') { // each word of the key
      char name[64];
      const size_t len = strcspn(at, " ");
      (void)snprintf(name, sizeof(name), "%.*s", (int)len, at);
      assert_true(dray_selection_find(&selection, name) >= 0);
      at += len + (at[len] == ' ');
    }
    if (stream->def.cursor != NULL) assert_true(dray_selection_find(&selection, stream->def.cursor) >= 0);
    if (stream->constant != NULL) assert_true(dray_selection_find(&selection, stream->constant) >= 0);
    assert_int_equal(stream->def.cursor != NULL, (stream->def.modes & DRAY_STREAM_INCREMENTAL) != 0);
    assert_ptr_equal(mc_stream_find(dray_str_of(stream->def.name)), stream);
    dray_selection_free(&selection);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_readme_has_the_settings),
      cmocka_unit_test(test_the_readme_has_streams_and_objects),
      cmocka_unit_test(test_the_streams_are_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
