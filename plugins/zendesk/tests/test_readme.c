// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of the README are those of the code. ZENDESK_WRITE_README=1 writes them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "objects.h"
#include "streams.h"

#define README_BYTES_MAX (1u << 20)

static void read_file(const char *path, struct dray_buffer *out) {
  char chunk[4096];
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  for (size_t n = fread(chunk, 1, sizeof(chunk), file); n > 0; n = fread(chunk, 1, sizeof(chunk), file)) {
    assert_int_equal(DRAY_OK, dray_buffer_append(out, chunk, n, NULL));
  }
  (void)fclose(file);
}

static void make_table(const char *name, struct dray_buffer *out) {
  if (strcmp(name, "settings") == 0) {
    assert_int_equal(DRAY_OK, zendesk_settings_markdown(out, NULL));
  } else if (strcmp(name, "streams") == 0) {
    struct dray_stream_def defs[64];
    for (size_t i = 0; i < zendesk_stream_count; i++) defs[i] = zendesk_streams[i].def;
    assert_int_equal(DRAY_OK, dray_stream_defs_markdown(defs, zendesk_stream_count, out, NULL));
  } else {
    struct dray_object_def defs[16];
    for (size_t i = 0; i < zendesk_object_count; i++) defs[i] = zendesk_objects[i].def;
    assert_int_equal(DRAY_OK, dray_object_defs_markdown(defs, zendesk_object_count, out, NULL));
  }
}

// The README with the table between its marker and the next heading.
static void put_table(const char *name, struct dray_buffer *readme) {
  struct dray_buffer table, next;
  char marker[80];
  dray_buffer_init(&table, README_BYTES_MAX);
  dray_buffer_init(&next, README_BYTES_MAX);
  make_table(name, &table);
  (void)snprintf(marker, sizeof(marker), "<!-- %s: generated from %s.c -->\n", name, name);
  char *at = strstr(readme->data, marker);
  assert_non_null(at);
  at += strlen(marker);
  const char *rest = at;
  while (*rest == '\n' || *rest == '|') rest += strcspn(rest, "\n") + 1;
  assert_int_equal(DRAY_OK, dray_buffer_append(&next, readme->data, (size_t)(at - readme->data), NULL));
  assert_int_equal(DRAY_OK, dray_buffer_append_char(&next, '\n', NULL));
  assert_int_equal(DRAY_OK, dray_buffer_append(&next, table.data, table.len, NULL));
  assert_int_equal(DRAY_OK, dray_buffer_append_char(&next, '\n', NULL));
  assert_int_equal(DRAY_OK, dray_buffer_append_str(&next, rest, NULL));
  dray_buffer_free(readme);
  *readme = next;
  dray_buffer_free(&table);
}

static void test_tables_are_those_of_the_code(void **state) {
  static const char *const names[] = {"settings", "streams", "objects"};
  struct dray_buffer is, wanted;
  (void)state;
  dray_buffer_init(&is, README_BYTES_MAX);
  dray_buffer_init(&wanted, README_BYTES_MAX);
  read_file(ZENDESK_README, &is);
  read_file(ZENDESK_README, &wanted);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) put_table(names[i], &wanted);
  if (getenv("ZENDESK_WRITE_README") != NULL) {
    FILE *file = fopen(ZENDESK_README, "wb");
    assert_non_null(file);
    assert_int_equal(wanted.len, fwrite(wanted.data, 1, wanted.len, file));
    (void)fclose(file);
  } else {
    assert_string_equal(wanted.data, is.data);
  }
  dray_buffer_free(&is);
  dray_buffer_free(&wanted);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables_are_those_of_the_code)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
