// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The encoding is what ENCODING.md says: its tables are read and every vector is checked, both ways.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "arrays.h"
#include "table/encode.h"

#define FIELDS_MAX 4
#define COLUMNS_MAX 16

// The fields of a table's line in which every field stands in backticks; how many, 0 for any other line.
static int split_line(char *line, char **fields) {
  int count = 0;
  if (strncmp(line, "| `", 3) != 0) return 0;
  for (char *at = line + 3;;) {
    char *end = strchr(at, '`');
    if (end == NULL || count == FIELDS_MAX) return 0;
    fields[count++] = at;
    *end = '\0';
    if (strcmp(end + 1, " |") == 0) return count;
    if (strncmp(end + 1, " | `", 4) != 0) return 0;
    at = end + 5;
  }
}

static char *read_page(void) {
  char path[1024];
  const char *slash = strstr(__FILE__, "tests/unit/table/");
  assert_non_null(slash);
  (void)snprintf(path, sizeof(path), "%.*score/table/ENCODING.md", (int)(slash - __FILE__), __FILE__);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_msg("%s cannot be read", path);
  char *page = calloc(1, 65536);
  assert_non_null(page);
  assert_true(fread(page, 1, 65535, file) > 0);
  assert_int_equal(fclose(file), 0);
  return page;
}

static void to_hex(struct dray_str bytes, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (uint64_t i = 0; i < bytes.len; i++) {
    if (i > 0) *out++ = ' ';
    *out++ = digits[(uint8_t)bytes.data[i] >> 4];
    *out++ = digits[(uint8_t)bytes.data[i] & 15];
  }
  *out = '\0';
}

// "name type value; name type value" as a batch of one row.
static struct dr_batch *read_row(char *text) {
  struct dray_column_def defs[COLUMNS_MAX];
  const char *cells[COLUMNS_MAX];
  size_t count = 0;
  for (char *at = text; at != NULL; count++) {
    char *next = strstr(at, "; ");
    if (next != NULL) *next = '\0';
    char *type = strchr(at, ' '), *value = strchr(type + 1, ' ');
    *type = *value = '\0';
    assert_true(count < COLUMNS_MAX);
    defs[count] = (struct dray_column_def){at, {0, 0, 0}, 1};
    assert_int_equal(dray_type_parse(dray_str_of(type + 1), &defs[count].type, NULL), DRAY_OK);
    cells[count] = strcmp(value + 1, "(null)") == 0 ? NULL : value + 1;
    at = next != NULL ? next + 2 : NULL;
  }
  struct dr_schema *schema = schema_of(defs, count);
  struct dr_batch *batch = batch_of(schema, cells, 1);
  dr_schema_unref(schema);
  return batch;
}

// Encodes the row into `out`, which must then be what `hex` says.
static void encode(const struct dr_encoder *encoder, const struct dr_batch *batch, const char *what, const char *hex,
                   struct dray_buffer *out) {
  char got[4096];
  dray_buffer_init(out, 1000);
  assert_int_equal(dr_encode_row(encoder, batch, 0, out, NULL), DRAY_OK);
  to_hex(dray_buffer_view(out), got);
  if (strcmp(got, hex) != 0) fail_msg("%s: encoded as %s instead of %s", what, got, hex);
}

static void expect_text(const char *what, const char *got, const char *expected) {
  if (strcmp(got, expected) != 0) fail_msg("%s: hash %s instead of %s", what, got, expected);
}

static void expect_row(const struct dr_batch *batch, const char *what, const char *hex, uint64_t seed,
                       const char *expected) {
  char text[20];
  struct dr_encoder encoder;
  struct dray_buffer out;
  uint64_t hash;
  assert_int_equal(dr_encoder_init(&encoder, batch->schema, NULL, 0, seed, NULL), DRAY_OK);
  encode(&encoder, batch, what, hex, &out);
  assert_int_equal(dr_row_hashes(&encoder, batch, &hash, NULL), DRAY_OK);
  assert_int_equal(dr_row_hash(dray_buffer_view(&out), seed), hash);
  (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
  if (expected != NULL) expect_text(what, text, expected);
  dr_encoder_free(&encoder);
  dray_buffer_free(&out);
}

static void expect_key(const struct dr_batch *batch, const char *what, const char *hex, uint64_t seed,
                       const char *expected) {
  char text[40];
  struct dr_encoder keys;
  struct dray_buffer out, back;
  struct dr_hash128 hash;
  uint8_t null_keys;
  uint64_t nulls;
  assert_int_equal(dr_encoder_init(&keys, batch->schema, NULL, 0, seed, NULL), DRAY_OK);
  encode(&keys, batch, what, hex, &out);
  assert_int_equal(dr_key_hashes(&keys, batch, &hash, &null_keys, &nulls, NULL), DRAY_OK);
  assert_true(nulls == 0 && null_keys == 0);
  (void)snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)hash.high, (unsigned long long)hash.low);
  expect_text(what, text, expected);
  const int mixed = dr_key_is_mixed(&keys, batch->schema);
  const struct dr_hash128 same = dr_key_hash(dray_buffer_view(&out), mixed, seed);
  assert_true(same.low == hash.low && same.high == hash.high);
  if (mixed) {
    dray_buffer_init(&back, 100);
    assert_int_equal(dr_encode_mixed_key(hash.high, seed, batch->schema->fields[0].type, &back, NULL), DRAY_OK);
    assert_int_equal(back.len, out.len);
    assert_memory_equal(back.data, out.data, out.len);
    dray_buffer_free(&back);
  }
  dr_encoder_free(&keys);
  dray_buffer_free(&out);
}

static void expect_mixed(const char *value, uint64_t seed, const char *expected) {
  char text[20];
  const uint64_t number = (uint64_t)strtoll(value, NULL, 10);
  (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)dr_mix_key(number, seed));
  expect_text(value, text, expected);
  assert_int_equal(dr_unmix_key(strtoull(expected, NULL, 16), seed), number);
}

static void expect_decoding(const struct dr_batch *batch, const char *hex) {
  char bytes[1024];
  size_t count = 0;
  struct dray_str slice;
  struct dray_builder *builder = NULL;
  struct ArrowArray array;
  struct dr_batch *back = NULL;
  for (const char *at = hex; *at != '\0'; at += at[2] == ' ' ? 3 : 2) {
    bytes[count++] = (char)strtoul((const char[]){at[0], at[1], '\0'}, NULL, 16);
  }
  assert_int_equal(dr_decode_slices(dray_str_make(bytes, count), 1, &slice, NULL), DRAY_OK);
  assert_int_equal(slice.len, count);
  assert_int_equal(dray_builder_new(&batch->schema->arrow, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dr_decode_value(slice, builder, 0, NULL), DRAY_OK);
  assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dr_batch_wrap(batch->schema, &array, &back, NULL), DRAY_OK);
  const char *given = cell(batch, 0, 0), *got = cell(back, 0, 0);
  if (strcmp(given, "(absent)") == 0) given = "(null)"; // this schema cannot say absent
  if (strcmp(given, "-0") == 0) given = "0";            // the encoding holds one zero
  assert_string_equal(got, given);
  dr_batch_free(back);
  dray_builder_free(builder);
}

// Tables are known by the first cell of their heads.
enum { TABLE_OTHER, TABLE_VALUES, TABLE_ROWS, TABLE_KEYS, TABLE_MIXED, TABLE_COUNT };
static const struct {
  const char *head;
  int fields, lines; // a page that lost its tables must not pass
} tables[TABLE_COUNT] = {[TABLE_OTHER] = {"| ", 0, 0},
                         [TABLE_VALUES] = {"| type |", 3, 38},
                         [TABLE_ROWS] = {"| row |", 4, 21},
                         [TABLE_KEYS] = {"| key |", 4, 26},
                         [TABLE_MIXED] = {"| value |", 3, 30}};

static void expect_line(int table, char **fields) {
  char row[1024];
  if (table == TABLE_MIXED) {
    expect_mixed(fields[0], strtoull(fields[1], NULL, 10), fields[2]);
    return;
  }
  (void)snprintf(row, sizeof(row), table == TABLE_VALUES ? "x %s %s" : "%s", fields[0], fields[1]);
  struct dr_batch *batch = read_row(row);
  if (table == TABLE_VALUES) {
    expect_row(batch, fields[1], fields[2], 0, NULL);
    expect_decoding(batch, fields[2]);
  } else {
    (table == TABLE_ROWS ? expect_row : expect_key)(batch, fields[0], fields[1], strtoull(fields[2], NULL, 10),
                                                    fields[3]);
  }
  dr_batch_free(batch);
}

static void test_encoding_vectors_of_the_page(void **state) {
  (void)state;
  char *page = read_page(), *rest = page, *line;
  int table = TABLE_OTHER, lines[TABLE_COUNT] = {0};
  while ((line = strsep(&rest, "\n")) != NULL) {
    char *fields[FIELDS_MAX];
    for (int i = TABLE_VALUES; i < TABLE_COUNT; i++) {
      if (strncmp(line, tables[i].head, strlen(tables[i].head)) == 0) table = i;
    }
    if (line[0] == '\0') table = TABLE_OTHER;
    const int count = split_line(line, fields);
    if (count == 0 || count != tables[table].fields) continue;
    expect_line(table, fields);
    lines[table]++;
  }
  free(page);
  for (int i = TABLE_VALUES; i < TABLE_COUNT; i++) assert_int_equal(lines[i], tables[i].lines);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_encoding_vectors_of_the_page)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
