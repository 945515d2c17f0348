// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Every Arrow type that a plugin may hand over, cast to the canonical type that holds it: the values that come out,
// and the
// rows that are refused because they could not come out exactly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "arrays.h"

#define COUNT(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))

// Casts one column to `type` (NULL: to what schema_from_arrow says) and compares row by row. "!data_date" means that
// the row
// was rejected with that code.
static void expect_as(struct ArrowSchema *column, struct ArrowArray *values, const char *type,
                      const char *const *expected) {
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dr_schema *natural = NULL, *target = NULL;
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  column->name = "x";
  arrow_struct_of(column, values, &arrow, &array);
  const int64_t rows = array.length;
  assert_int_equal(dr_schema_from_arrow(&arrow, &natural, NULL), DRAY_OK);
  struct dray_column_def def = {"x", natural->fields[0].type, 1};
  if (type != NULL) assert_int_equal(dray_type_parse(dray_str_of(type), &def.type, NULL), DRAY_OK);
  target = schema_of(&def, 1);
  assert_int_equal(dr_caster_new(&arrow, target, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  assert_int_equal(dr_caster_run(caster, &array, 100, &batch, &rejects, NULL), DRAY_OK);
  assert_null(array.release);
  uint64_t kept = 0;
  size_t rejected = 0;
  for (int64_t row = 0; row < rows; row++) {
    char got[1100];
    if (rejected < rejects.count && rejects.items[rejected].row == 100 + (uint64_t)row) {
      const struct dr_reject *reject = &rejects.items[rejected++];
      assert_string_equal(reject->column, "x");
      assert_true(reject->text[0] != '\0');
      (void)snprintf(got, sizeof(got), "!%s", dray_error_info(reject->code)->name);
    } else {
      (void)snprintf(got, sizeof(got), "%s", cell(batch, 0, kept++));
    }
    if (strcmp(got, expected[row]) != 0) {
      fail_msg("row %d of a column '%s' as %s: '%s' instead of '%s'", (int)row, arrow.children[0]->format,
               type != NULL ? type : "itself", got, expected[row]);
    }
  }
  assert_int_equal(kept, dr_batch_rows(batch));
  assert_int_equal(rejected, rejects.count);
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  dr_caster_free(caster);
  dr_schema_unref(natural);
  dr_schema_unref(target);
  dray_schema_release(&arrow);
}

static void expect_values(const char *format, const void *values, int64_t count, size_t width,
                          const char *const *expected) {
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, format, "x", 0);
  arrow_values(&array, count, values, width);
  expect_as(&column, &array, NULL, expected);
}
#define VALUES(format, type, values, ...)                                                                              \
  expect_values((format), (const type[])values, COUNT(((const type[])values)), sizeof(type),                           \
                (const char *const[]){__VA_ARGS__})
#define LIST(...)                                                                                                      \
  { __VA_ARGS__ }

static void test_cast_integers_of_every_width(void **state) {
  (void)state;
  VALUES("c", int8_t, LIST(INT8_MIN, -1, 0, INT8_MAX), "-128", "-1", "0", "127");
  VALUES("C", uint8_t, LIST(0, UINT8_MAX), "0", "255");
  VALUES("s", int16_t, LIST(INT16_MIN, INT16_MAX), "-32768", "32767");
  VALUES("S", uint16_t, LIST(0, UINT16_MAX), "0", "65535");
  VALUES("i", int32_t, LIST(INT32_MIN, -7, INT32_MAX), "-2147483648", "-7", "2147483647");
  VALUES("I", uint32_t, LIST(0, UINT32_MAX), "0", "4294967295");
  VALUES("l", int64_t, LIST(INT64_MIN, INT64_MAX), "-9223372036854775808", "9223372036854775807");
  VALUES("L", uint64_t, LIST(0, INT64_MAX, UINT64_MAX), "0", "9223372036854775807", "18446744073709551615");
}

static void test_cast_floats_of_every_width(void **state) {
  (void)state;
  VALUES("e", uint16_t, LIST(0x3C00, 0xC000, 0x7BFF, 0x0001, 0x0400, 0x8000, 0x7C00, 0xFC00, 0x7E00), "1", "-2",
         "65504", "5.9604644775390625e-08", "6.103515625e-05", "-0", "Infinity", "-Infinity", "NaN");
  VALUES("f", float, LIST(0.1f, -1.5f, 3.4028235e38f), "0.10000000149011612", "-1.5", "3.4028234663852886e+38");
  VALUES("g", double, LIST(0.1, NAN, -INFINITY), "0.1", "NaN", "-Infinity");
}

static void test_cast_decimals_of_every_width(void **state) {
  (void)state;
  VALUES("d:9,2,32", int32_t, LIST(1230, -5), "12.30", "-0.05");
  VALUES("d:18,3,64", int64_t, LIST(1230, -999999999999999999), "1.230", "-999999999999999.999");
  VALUES("d:10,2", struct dray_decimal, LIST({1230, 0}, {(uint64_t)-5, -1}), "12.30", "-0.05");
  VALUES("d:10,2,128", struct dray_decimal, LIST({1230, 0}), "12.30");
  const uint64_t wide[][4] = {{1230, 0, 0, 0},
                              {(uint64_t)-1230, UINT64_MAX, UINT64_MAX, UINT64_MAX},
                              {0, 0, 1, 0},                            // 2^128
                              {0, UINT64_C(0x8000000000000000), 0, 0}, // 2^127
                              {0, UINT64_C(0x8000000000000000), UINT64_MAX, UINT64_MAX}};
  expect_values("d:76,2,256", wide, 5, 32,
                (const char *const[]){"12.30", "-12.30", "!data_overflow", "!data_overflow", "!data_overflow"});
  VALUES("d:5,-3", struct dray_decimal, LIST({12, 0}, {(uint64_t)-1, -1}), "12000", "-1000");
}

static void test_cast_decimal_beyond_its_precision_is_refused(void **state) {
  (void)state;
  VALUES("d:3,2", struct dray_decimal, LIST({999, 0}, {1000, 0}, {(uint64_t)-1000, -1}, {1, 0}), "9.99",
         "!data_overflow", "!data_overflow", "0.01");
}

static void test_cast_bools_and_nulls(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "b", "x", 0);
  arrow_array(&array, 3, 2, 0);
  arrow_buffer(&array, 1, "\x05", 1);
  arrow_validity(&array, "110");
  expect_as(&column, &array, NULL, (const char *const[]){"true", "false", "(null)"});
  arrow_schema(&column, "n", "x", 0);
  arrow_array(&array, 2, 0, 0);
  array.null_count = 2;
  expect_as(&column, &array, NULL, (const char *const[]){"(null)", "(null)"});
}

static void expect_texts(const char *format, int width, const char *const *texts, int64_t count, const char *extension,
                         const char *const *expected) {
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, format, "x", 0);
  if (extension != NULL) arrow_extension(&column, extension);
  arrow_texts(&array, texts, count, width);
  expect_as(&column, &array, NULL, expected);
}

static void test_cast_text_is_checked_as_utf8(void **state) {
  (void)state;
  static const char *const texts[] = {"plain",        "",    NULL, "gr\xc3\xbc\xc3\x9f dich", "broken \xc3",
                                      "\xed\xa0\x80", "fine"};
  static const char *const expected[] = {"plain",      "",           "(null)", "gr\xc3\xbc\xc3\x9f dich",
                                         "!data_utf8", "!data_utf8", "fine"};
  expect_texts("u", 4, texts, COUNT(texts), NULL, expected);
  expect_texts("U", 8, texts, COUNT(texts), NULL, expected);
}

static void test_cast_text_with_a_nul_is_refused(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "u", "x", 0);
  arrow_array(&array, 2, 3, 0);
  arrow_buffer(&array, 1, (const int32_t[]){0, 3, 6}, 12);
  arrow_buffer(&array, 2, "a\0bxyz", 6);
  expect_as(&column, &array, NULL, (const char *const[]){"!data_utf8", "xyz"});
}

// Every single text is valid, but two of them would only be valid together, and the null's bytes are no text at all.
static void test_cast_text_is_checked_value_by_value(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "u", "x", 0);
  arrow_array(&array, 4, 3, 0);
  arrow_buffer(&array, 1, (const int32_t[]){0, 1, 2, 4, 6}, 20);
  arrow_buffer(&array, 2, "\xc3\xbc\xff\xfe\xc3\xbc", 6);
  arrow_validity(&array, "1101");
  expect_as(&column, &array, NULL, (const char *const[]){"!data_utf8", "!data_utf8", "(null)", "\xc3\xbc"});
}

static void test_cast_binary(void **state) {
  (void)state;
  static const char *const bytes[] = {"foobar", "", NULL, "\xff"};
  static const char *const expected[] = {"Zm9vYmFy", "", "(null)", "/w=="};
  expect_texts("z", 4, bytes, 4, NULL, expected);
  expect_texts("Z", 8, bytes, 4, NULL, expected);
}

static void test_cast_fixed_binary_and_uuid(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "w:3", "x", 0);
  arrow_values(&array, 2, "foobar", 3);
  expect_as(&column, &array, NULL, (const char *const[]){"Zm9v", "YmFy"});
  arrow_schema(&column, "w:16", "x", 0);
  arrow_extension(&column, "arrow.uuid");
  arrow_values(&array, 1, "\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x00", 16);
  expect_as(&column, &array, NULL, (const char *const[]){"550e8400-e29b-41d4-a716-446655440000"});
}

static void test_cast_text_views(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  struct {
    int32_t length;
    char prefix[4];
    int32_t buffer, offset;
  } views[3] = {{5, "shor", 0, 0}, {20, "long", 1, 3}, {0, "", 0, 0}};
  memcpy(&views[0].buffer, "t\0\0\0", 4);
  arrow_schema(&column, "vu", "x", 0);
  arrow_array(&array, 3, 5, 0);
  arrow_buffer(&array, 1, views, sizeof(views));
  arrow_buffer(&array, 2, "unused", 6);
  arrow_buffer(&array, 3, "...longer than twelve...", 24);
  arrow_buffer(&array, 4, (const int64_t[]){6, 24}, 16);
  expect_as(&column, &array, NULL, (const char *const[]){"short", "longer than twelve..", ""});
}

static void test_cast_dates(void **state) {
  (void)state;
  VALUES("tdD", int32_t, LIST(0, -719162, 2932896, -719163, 2932897), "1970-01-01", "0001-01-01", "9999-12-31",
         "!data_date", "!data_date");
  VALUES("tdm", int64_t, LIST(86400000, -86400000, 1, INT64_MAX - INT64_MAX % 86400000), "1970-01-02", "1969-12-31",
         "!data_precision", "!data_date");
}

static void test_cast_times_of_day(void **state) {
  (void)state;
  VALUES("tts", int32_t, LIST(0, 86399, 86400, -1), "00:00:00", "23:59:59", "!data_date", "!data_date");
  VALUES("ttm", int32_t, LIST(3600000, 45296007), "01:00:00", "12:34:56.007");
  VALUES("ttu", int64_t, LIST(45296000007, 45296500000), "12:34:56.000007", "12:34:56.500");
  VALUES("ttn", int64_t, LIST(45296000000001, 45296000001000), "12:34:56.000000001", "12:34:56.000001");
}

static void test_cast_timestamps_of_every_unit_and_zone(void **state) {
  (void)state;
  VALUES("tss:", int64_t, LIST(0, -1, INT64_MAX), "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "!data_date");
  VALUES("tsm:UTC", int64_t, LIST(1), "1970-01-01T00:00:00.001Z");
  VALUES("tsu:", int64_t, LIST(1, DRAY_TIMESTAMP_MAX, DRAY_TIMESTAMP_MAX + 1), "1970-01-01T00:00:00.000001Z",
         "9999-12-31T23:59:59.999999Z", "!data_date");
  // With a zone the value is the instant in UTC already; the zone is how to show it.
  VALUES("tsu:Europe/Berlin", int64_t, LIST(0), "1970-01-01T00:00:00Z");
  VALUES("tsn:+02:00", int64_t, LIST(1000, -1000, 999, 1500), "1970-01-01T00:00:00.000001Z",
         "1969-12-31T23:59:59.999999Z", "!data_precision", "!data_precision");
}

static void test_cast_durations_become_microseconds(void **state) {
  (void)state;
  VALUES("tDs", int64_t, LIST(2, -2, INT64_MAX), "2000000", "-2000000", "!data_overflow");
  VALUES("tDm", int64_t, LIST(2), "2000");
  VALUES("tDu", int64_t, LIST(INT64_MIN), "-9223372036854775808");
  VALUES("tDn", int64_t, LIST(3000, 3001), "3", "!data_precision");
}

static void test_cast_dictionaries_are_decoded(void **state) {
  (void)state;
  static const char *const texts[] = {"red", NULL, "blue", "bad \xff"};
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "c", "x", 0);
  (void)arrow_schema_dictionary(&column, "U");
  arrow_values(&array, 6, (const int8_t[]){2, 0, 1, 0, 99, 3}, 1);
  arrow_validity(&array, "111101");
  arrow_texts(arrow_array_dictionary(&array), texts, 4, 8);
  expect_as(&column, &array, NULL, (const char *const[]){"blue", "red", "(null)", "red", "(null)", "!data_utf8"});
}

static void test_cast_dictionary_of_numbers(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "L", "x", 0);
  (void)arrow_schema_dictionary(&column, "s");
  arrow_values(&array, 3, (const uint64_t[]){1, 1, 0}, 8);
  arrow_values(arrow_array_dictionary(&array), 2, (const int16_t[]){-3, 400}, 2);
  expect_as(&column, &array, NULL, (const char *const[]){"400", "400", "-3"});
}

static void test_cast_json_is_made_compact(void **state) {
  (void)state;
  static const char *const texts[] = {"{ \"b\" : 1.50 , \"a\":[ 1 , 2 ] }", "null", NULL, "{bad",
                                      "12345678901234567890"};
  static const char *const expected[] = {"{\"b\":1.50,\"a\":[1,2]}", "null", "(null)", "!data_json",
                                         "12345678901234567890"};
  expect_texts("u", 4, texts, 5, "arrow.json", expected);
  expect_texts("U", 8, texts, 5, "arrow.json", expected);
}

static void test_cast_unknown_extension_is_its_storage(void **state) {
  (void)state;
  static const char *const texts[] = {"POINT(1 2)"};
  expect_texts("u", 4, texts, 1, "geoarrow.wkt", texts);
}

// [[1,null],null,[]] as a list of int32, and the same in a fixed list and a large list.
static void test_cast_lists_become_json(void **state) {
  (void)state;
  for (int large = 0; large < 2; large++) {
    struct ArrowSchema column;
    struct ArrowArray array;
    arrow_schema(&column, large ? "+L" : "+l", "x", 1);
    arrow_schema(column.children[0], "i", "item", 0);
    arrow_array(&array, 3, 2, 1);
    if (large) {
      arrow_buffer(&array, 1, (const int64_t[]){1, 3, 3, 3}, 32);
    } else {
      arrow_buffer(&array, 1, (const int32_t[]){1, 3, 3, 3}, 16);
    }
    arrow_validity(&array, "101");
    arrow_values(array.children[0], 3, (const int32_t[]){99, 1, 2}, 4);
    arrow_validity(array.children[0], "110");
    expect_as(&column, &array, NULL, (const char *const[]){"[1,null]", "(null)", "[]"});
  }
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "+w:2", "x", 1);
  arrow_schema(column.children[0], "i", "item", 0);
  arrow_array(&array, 2, 1, 1);
  array.offset = 1;
  arrow_values(array.children[0], 6, (const int32_t[]){1, 2, 3, 4, 5, 6}, 4);
  expect_as(&column, &array, NULL, (const char *const[]){"[3,4]", "[5,6]"});
}

static void test_cast_structs_become_json(void **state) {
  (void)state;
  static const char *const texts[] = {"skipped", "a \"quoted\" one", NULL, "last"};
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "+s", "x", 4);
  arrow_schema(column.children[0], "u", "text", 0);
  arrow_schema(column.children[1], "tsu:", "when", 0);
  arrow_schema(column.children[2], "d:5,2", "price", 0);
  arrow_schema(column.children[3], "b", "ok", 0);
  arrow_array(&array, 3, 1, 4);
  array.offset = 1; // applies to the members too
  arrow_texts(array.children[0], texts, 4, 4);
  arrow_values(array.children[1], 4, (const int64_t[]){9, 0, 1, 2}, 8);
  arrow_values(array.children[2], 4, (const struct dray_decimal[]){{1, 0}, {150, 0}, {2, 0}, {3, 0}}, 16);
  arrow_array(array.children[3], 4, 2, 0);
  arrow_buffer(array.children[3], 1, "\x02", 1);
  arrow_validity(&array, "1110");
  expect_as(&column, &array, NULL,
            (const char *const[]){
                "{\"text\":\"a \\\"quoted\\\" one\",\"when\":\"1970-01-01T00:00:00Z\",\"price\":1.50,\"ok\":true}",
                "{\"text\":null,\"when\":\"1970-01-01T00:00:00.000001Z\",\"price\":0.02,\"ok\":false}", "(null)"});
}

static void test_cast_maps_become_objects(void **state) {
  (void)state;
  static const char *const keys[] = {"a", "b", "c"};
  for (int numbers = 0; numbers < 2; numbers++) {
    struct ArrowSchema column;
    struct ArrowArray array;
    arrow_schema(&column, "+m", "x", 1);
    arrow_schema(column.children[0], "+s", "entries", 2);
    arrow_schema(column.children[0]->children[0], numbers ? "i" : "u", "key", 0);
    arrow_schema(column.children[0]->children[1], "g", "value", 0);
    arrow_array(&array, 2, 2, 1);
    arrow_buffer(&array, 1, (const int32_t[]){0, 2, 3}, 12);
    arrow_array(array.children[0], 3, 1, 2);
    if (numbers) {
      arrow_values(array.children[0]->children[0], 3, (const int32_t[]){1, 2, 3}, 4);
    } else {
      arrow_texts(array.children[0]->children[0], keys, 3, 4);
    }
    arrow_values(array.children[0]->children[1], 3, (const double[]){0.5, 1, 2}, 8);
    expect_as(&column, &array, NULL,
              numbers ? (const char *const[]){"{\"1\":0.5,\"2\":1}", "{\"3\":2}"}
                      : (const char *const[]){"{\"a\":0.5,\"b\":1}", "{\"c\":2}"});
  }
}

static void test_cast_nested_value_that_json_has_no_form_for_is_refused(void **state) {
  (void)state;
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "+l", "x", 1);
  arrow_schema(column.children[0], "g", "item", 0);
  arrow_array(&array, 3, 2, 1);
  arrow_buffer(&array, 1, (const int32_t[]){0, 1, 2, 3}, 16);
  arrow_values(array.children[0], 3, (const double[]){1.5, NAN, 2}, 8);
  expect_as(&column, &array, NULL, (const char *const[]){"[1.5]", "!data_json", "[2]"});
}

static void test_cast_nested_text_and_bytes(void **state) {
  (void)state;
  static const char *const texts[] = {"{ \"a\": 1 }", "[true]"};
  static const char *const bytes[] = {"foo", "\xff"};
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, "+s", "x", 2);
  arrow_schema(column.children[0], "u", "json", 0);
  arrow_extension(column.children[0], "arrow.json");
  arrow_schema(column.children[1], "z", "bytes", 0);
  arrow_array(&array, 2, 1, 2);
  arrow_texts(array.children[0], texts, 2, 4);
  arrow_texts(array.children[1], bytes, 2, 4);
  expect_as(&column, &array, NULL,
            (const char *const[]){"{\"json\":{\"a\":1},\"bytes\":\"Zm9v\"}", "{\"json\":[true],\"bytes\":\"/w==\"}"});
}

static void test_schema_has_no_canonical_form_for_some_types(void **state) {
  (void)state;
  static const char *const formats[] = {
      "tiM",       "tiD", "tin",  "+ud:0", "+us:0", "+r", "+vl", "d:80,2,256", "d:40,39,256", "d:10",
      "d:10,2,99", "w:",  "w:-1", "w:x",   "x",     "",   "+w:", "tsx:",       "+m",          "+l"};
  for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
    struct ArrowSchema arrow;
    struct dr_schema *schema = NULL;
    struct dray_error error;
    dray_error_init(&error);
    arrow_schema(&arrow, "+s", "", 1);
    arrow_schema(arrow.children[0], formats[i], "price", 0);
    const int32_t code = dr_schema_from_arrow(&arrow, &schema, &error);
    if (code != DRAY_E_SCHEMA_TYPE) fail_msg("'%s' gives %d", formats[i], code);
    assert_non_null(strstr(error.text, "price"));
    assert_string_equal(error.field, "price");
    dray_schema_release(&arrow);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cast_integers_of_every_width),
      cmocka_unit_test(test_cast_floats_of_every_width),
      cmocka_unit_test(test_cast_decimals_of_every_width),
      cmocka_unit_test(test_cast_decimal_beyond_its_precision_is_refused),
      cmocka_unit_test(test_cast_bools_and_nulls),
      cmocka_unit_test(test_cast_text_is_checked_as_utf8),
      cmocka_unit_test(test_cast_text_with_a_nul_is_refused),
      cmocka_unit_test(test_cast_text_is_checked_value_by_value),
      cmocka_unit_test(test_cast_binary),
      cmocka_unit_test(test_cast_fixed_binary_and_uuid),
      cmocka_unit_test(test_cast_text_views),
      cmocka_unit_test(test_cast_dates),
      cmocka_unit_test(test_cast_times_of_day),
      cmocka_unit_test(test_cast_timestamps_of_every_unit_and_zone),
      cmocka_unit_test(test_cast_durations_become_microseconds),
      cmocka_unit_test(test_cast_dictionaries_are_decoded),
      cmocka_unit_test(test_cast_dictionary_of_numbers),
      cmocka_unit_test(test_cast_json_is_made_compact),
      cmocka_unit_test(test_cast_unknown_extension_is_its_storage),
      cmocka_unit_test(test_cast_lists_become_json),
      cmocka_unit_test(test_cast_structs_become_json),
      cmocka_unit_test(test_cast_maps_become_objects),
      cmocka_unit_test(test_cast_nested_value_that_json_has_no_form_for_is_refused),
      cmocka_unit_test(test_cast_nested_text_and_bytes),
      cmocka_unit_test(test_schema_has_no_canonical_form_for_some_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
