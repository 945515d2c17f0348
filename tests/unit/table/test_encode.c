// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Properties of encoding and hash: what is equal hashes equally wherever it comes from, what differs does not, and
// what was
// encoded is read back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "arrays.h"
#include "table/encode.h"
#include "torture.h"

static uint64_t hash_row(const struct dr_batch *batch, uint64_t row, uint64_t seed) {
  struct dr_encoder encoder;
  uint64_t *all = calloc((size_t)dr_batch_rows(batch) + 1, sizeof(*all));
  assert_non_null(all);
  assert_int_equal(dr_encoder_init(&encoder, batch->schema, NULL, 0, seed, NULL), DRAY_OK);
  assert_int_equal(dr_row_hashes(&encoder, batch, all, NULL), DRAY_OK);
  const uint64_t hash = all[row];
  dr_encoder_free(&encoder);
  free(all);
  return hash;
}

static int same(uint64_t a, uint64_t b) {
  return a == b;
}

static uint64_t hash_cells(struct dr_schema *schema, const char *const *cells) {
  struct dr_batch *batch = batch_of(schema, cells, 1);
  const uint64_t hash = hash_row(batch, 0, 1);
  dr_batch_free(batch);
  dr_schema_unref(schema);
  return hash;
}

// One foreign column, cast to `type`, and the hash of its first row.
static uint64_t hash_foreign(struct ArrowSchema *column, struct ArrowArray *values, const char *type) {
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dray_column_def def = {"x", {0, 0, 0}, 1};
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  assert_int_equal(dray_type_parse(dray_str_of(type), &def.type, NULL), DRAY_OK);
  column->name = "x";
  arrow_struct_of(column, values, &arrow, &array);
  struct dr_schema *schema = schema_of(&def, 1);
  assert_int_equal(dr_caster_new(&arrow, schema, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  assert_int_equal(dr_caster_run(caster, &array, 0, &batch, &rejects, NULL), DRAY_OK);
  assert_int_equal(rejects.count, 0);
  const uint64_t hash = hash_row(batch, 0, 1);
  dr_batch_free(batch);
  dr_caster_free(caster);
  dr_schema_unref(schema);
  dray_schema_release(&arrow);
  return hash;
}

static uint64_t hash_value(const char *format, const void *value, size_t width, const char *type) {
  struct ArrowSchema column;
  struct ArrowArray array;
  arrow_schema(&column, format, "x", 0);
  arrow_values(&array, 1, value, width);
  return hash_foreign(&column, &array, type);
}

static void test_equal_integers_of_any_width_hash_equally(void **state) {
  (void)state;
  const uint64_t expected = hash_cells(SCHEMA_OF(COLUMN("x", INT64)), (const char *const[]){"42"});
  assert_true(same(expected, hash_value("c", &(int8_t){42}, 1, "int64")));
  assert_true(same(expected, hash_value("S", &(uint16_t){42}, 2, "int64")));
  assert_true(same(expected, hash_value("i", &(int32_t){42}, 4, "int64")));
  assert_true(same(expected, hash_value("l", &(int64_t){42}, 8, "int64")));
  assert_true(same(expected, hash_value("L", &(uint64_t){42}, 8, "int64")));
  assert_true(same(expected, hash_value("g", &(double){42}, 8, "int64")));
  assert_false(same(expected, hash_value("l", &(int64_t){43}, 8, "int64")));
}

static void test_equal_decimals_of_any_scale_hash_equally(void **state) {
  (void)state;
  const uint64_t expected = hash_cells(SCHEMA_OF(DECIMAL("x", 4, 2)), (const char *const[]){"1.50"});
  assert_true(same(expected, hash_cells(SCHEMA_OF(DECIMAL("x", 38, 20)), (const char *const[]){"1.5"})));
  assert_true(same(expected, hash_value("d:9,1,32", &(int32_t){15}, 4, "decimal(2,1)")));
  assert_true(same(expected, hash_value("d:30,6", &(struct dray_decimal){1500000, 0}, 16, "decimal(30,6)")));
  assert_true(same(expected, hash_value("g", &(double){1.5}, 8, "decimal(10,4)")));
  assert_false(same(expected, hash_cells(SCHEMA_OF(DECIMAL("x", 4, 2)), (const char *const[]){"1.51"})));
  assert_false(same(expected, hash_cells(SCHEMA_OF(DECIMAL("x", 4, 1)), (const char *const[]){"15"})));
  const uint64_t hundred = hash_cells(SCHEMA_OF(DECIMAL("x", 3, 0)), (const char *const[]){"100"});
  assert_true(same(hundred, hash_cells(SCHEMA_OF(DECIMAL("x", 20, 9)), (const char *const[]){"1e2"})));
}

static void test_equal_texts_of_any_layout_hash_equally(void **state) {
  (void)state;
  const char *const text = "gr\xc3\xbc\xc3\x9f dich";
  const uint64_t expected = hash_cells(SCHEMA_OF(COLUMN("x", STRING)), &text);
  for (int width = 4; width <= 8; width += 4) {
    struct ArrowSchema column;
    struct ArrowArray array;
    arrow_schema(&column, width == 4 ? "u" : "U", "x", 0);
    arrow_texts(&array, &text, 1, width);
    assert_true(same(expected, hash_foreign(&column, &array, "string")));
    arrow_schema(&column, "s", "x", 0);
    (void)arrow_schema_dictionary(&column, width == 4 ? "u" : "U");
    arrow_values(&array, 1, &(int16_t){1}, 2);
    arrow_texts(arrow_array_dictionary(&array), (const char *const[]){"other", text}, 2, width);
    assert_true(same(expected, hash_foreign(&column, &array, "string")));
  }
}

static void test_equal_instants_hash_equally_in_any_unit_and_zone(void **state) {
  (void)state;
  const char *const text = "2024-02-29T12:00:00Z";
  const uint64_t expected = hash_cells(SCHEMA_OF(COLUMN("x", TIMESTAMP)), &text);
  const int64_t seconds = 1709208000;
  assert_true(same(expected, hash_value("tss:", &seconds, 8, "timestamp")));
  assert_true(same(expected, hash_value("tsm:Asia/Tokyo", &(int64_t){seconds * 1000}, 8, "timestamp")));
  assert_true(same(expected, hash_value("tsu:UTC", &(int64_t){seconds * 1000000}, 8, "timestamp")));
  assert_true(same(expected, hash_value("tsn:-03:00", &(int64_t){seconds * 1000000000}, 8, "timestamp")));
  const char *const zoned = "2024-02-29T21:00:00+09:00";
  assert_true(same(expected, hash_cells(SCHEMA_OF(COLUMN("x", TIMESTAMP)), &zoned)));
}

static void test_equal_floats_hash_equally(void **state) {
  (void)state;
  const uint64_t zero = hash_value("g", &(double){0.0}, 8, "float64");
  const uint64_t nan = hash_value("g", &(uint64_t){UINT64_C(0x7FF8000000000000)}, 8, "float64");
  assert_true(same(zero, hash_value("g", &(double){-0.0}, 8, "float64")));
  assert_true(same(zero, hash_value("f", &(float){-0.0f}, 4, "float64")));
  assert_true(same(nan, hash_value("g", &(uint64_t){UINT64_C(0xFFF0000000000001)}, 8, "float64")));
  assert_true(same(nan, hash_value("e", &(uint16_t){0x7E01}, 2, "float64")));
  assert_false(same(zero, nan));
}

static void test_json_hashes_equally_whatever_its_blanks(void **state) {
  (void)state;
  const char *const a = "{ \"b\" : [1, 2.0],\n \"a\" : null }", *const b = "{\"b\":[1,2.0],\"a\":null}";
  const char *const c = "{\"b\":[1,2],\"a\":null}";
  const uint64_t expected = hash_cells(SCHEMA_OF(COLUMN("x", JSON)), &a);
  assert_true(same(expected, hash_cells(SCHEMA_OF(COLUMN("x", JSON)), &b)));
  assert_false(same(expected, hash_cells(SCHEMA_OF(COLUMN("x", JSON)), &c)));
}

static void test_null_empty_and_absent_all_differ(void **state) {
  (void)state;
  static const char *const cells[][1] = {{NULL}, {""}, {"(absent)"}, {"null"}};
  uint64_t hashes[4];
  for (size_t i = 0; i < 4; i++) hashes[i] = hash_cells(SCHEMA_OF(COLUMN("x", STRING)), cells[i]);
  for (size_t i = 0; i < 4; i++) {
    for (size_t k = 0; k < i; k++) assert_false(same(hashes[i], hashes[k]));
  }
}

static void test_types_do_not_run_into_each_other(void **state) {
  (void)state;
  const char *const text = "1";
  const uint64_t hashes[] = {
      hash_cells(SCHEMA_OF(COLUMN("x", BOOL)), &text),    hash_cells(SCHEMA_OF(COLUMN("x", INT64)), &text),
      hash_cells(SCHEMA_OF(COLUMN("x", FLOAT64)), &text), hash_cells(SCHEMA_OF(DECIMAL("x", 1, 0)), &text),
      hash_cells(SCHEMA_OF(COLUMN("x", STRING)), &text),  hash_cells(SCHEMA_OF(COLUMN("x", JSON)), &text)};
  for (size_t i = 0; i < 6; i++) {
    for (size_t k = 0; k < i; k++) assert_false(same(hashes[i], hashes[k]));
  }
}

static void test_column_order_does_not_matter(void **state) {
  (void)state;
  const uint64_t expected =
      hash_cells(SCHEMA_OF(COLUMN("b", STRING), COLUMN("a", INT64), COLUMN("\xc3\xa9", BOOL), COLUMN("B", DATE)),
                 (const char *const[]){"x", "1", "true", NULL});
  const uint64_t turned =
      hash_cells(SCHEMA_OF(COLUMN("B", DATE), COLUMN("\xc3\xa9", BOOL), COLUMN("a", INT64), COLUMN("b", STRING)),
                 (const char *const[]){NULL, "true", "1", "x"});
  assert_true(same(expected, turned));
}

static void test_values_do_not_slip_between_columns(void **state) {
  (void)state;
  static const char *const rows[][2] = {{"ab", "c"}, {"a", "bc"},   {"", "abc"},
                                        {"abc", ""}, {"abc", NULL}, {NULL, "abc"}};
  uint64_t hashes[6];
  for (size_t i = 0; i < 6; i++) hashes[i] = hash_cells(SCHEMA_OF(COLUMN("a", STRING), COLUMN("b", STRING)), rows[i]);
  for (size_t i = 0; i < 6; i++) {
    for (size_t k = 0; k < i; k++) assert_false(same(hashes[i], hashes[k]));
  }
}

static void test_seeds_give_other_hashes(void **state) {
  (void)state;
  struct dr_schema *schema = SCHEMA_OF(COLUMN("x", INT64));
  struct dr_batch *batch = batch_of(schema, (const char *const[]){"1"}, 1);
  assert_false(same(hash_row(batch, 0, 1), hash_row(batch, 0, 2)));
  assert_true(same(hash_row(batch, 0, 2), hash_row(batch, 0, 2)));
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

static void test_chosen_columns_are_all_that_counts(void **state) {
  (void)state;
  struct dr_schema *schema = SCHEMA_OF(COLUMN("c", INT64), COLUMN("a", INT64), COLUMN("b", STRING));
  struct dr_batch *batch = batch_of(schema, (const char *const[]){"1", "2", "x", "1", "2", "y", "2", "1", "x"}, 3);
  struct dr_encoder encoder;
  uint64_t hashes[3];
  const uint32_t columns[] = {0, 1}; // c and a, which are encoded as a and c
  assert_int_equal(dr_encoder_init(&encoder, schema, columns, 2, 0, NULL), DRAY_OK);
  assert_int_equal(encoder.columns[0], 1);
  assert_int_equal(encoder.columns[1], 0);
  assert_int_equal(dr_row_hashes(&encoder, batch, hashes, NULL), DRAY_OK);
  assert_true(same(hashes[0], hashes[1]));
  assert_false(same(hashes[0], hashes[2]));
  dr_encoder_free(&encoder);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

// ---- random rows ----

#define WIDE 10
static struct dr_schema *wide_schema(void) {
  return SCHEMA_OF(COLUMN("b", BOOL), COLUMN("i", INT64), COLUMN("f", FLOAT64), DECIMAL("d", 38, 6),
                   COLUMN("s", STRING), COLUMN("z", BYTES), COLUMN("t", DATE), COLUMN("u", TIMESTAMP),
                   COLUMN("j", JSON), DECIMAL("e", 18, 0));
}

// A number of random length, so that small and huge ones are as likely.
static int64_t random_number(uint64_t *seed) {
  const uint64_t bits = random_bits(seed);
  return (int64_t)bits >> (random_bits(seed) % 64);
}

static void random_cell(uint64_t *seed, size_t column, char *out, size_t room) {
  char small[DRAY_FORMAT_BYTES_MAX];
  const int64_t number = random_number(seed);
  double real;
  const uint64_t bits = random_bits(seed);
  switch (column) {
  case 0:
    (void)snprintf(out, room, "%s", number & 1 ? "true" : "false");
    break;
  case 2:
    memcpy(&real, &bits, sizeof(real));
    (void)dray_format_float64(real, small);
    (void)snprintf(out, room, "%s", small);
    break;
  case 3:
    (void)dray_format_decimal((struct dray_decimal){bits, number >> 4}, 6, small);
    (void)snprintf(out, room, "%s", small);
    break;
  case 4:
    (void)snprintf(out, room, "%.*s", (int)(bits % 190),
                   "\xc3\xa9t\xc3\xa9 a long text of which a part is taken"
                   "; it is longer than one byte of length can say, so that both forms of a length occur: "
                   "................................................................................");
    break;
  case 5:
    (void)snprintf(out, room, "%.*s", (int)(bits % 5) * 4, "AP8Q/x8AAP8Q/x8A");
    break;
  case 6:
    (void)dray_format_date((int32_t)(bits % 3652059) + DRAY_DATE_MIN, small);
    (void)snprintf(out, room, "%s", small);
    break;
  case 7:
    (void)dray_format_timestamp((int64_t)(bits % UINT64_C(315537897600000000)) + DRAY_TIMESTAMP_MIN, small);
    (void)snprintf(out, room, "%s", small);
    break;
  case 8:
    (void)snprintf(out, room, "{\"n\":%lld}", (long long)number);
    break;
  case 9:
    (void)snprintf(out, room, "%lld", (long long)(number % 1000000000000000000));
    break;
  default:
    (void)snprintf(out, room, "%lld", (long long)number);
  }
}

static struct dr_batch *random_batch(struct dr_schema *schema, size_t rows, uint64_t seed) {
  char(*texts)[256] = calloc(rows * WIDE, sizeof(*texts));
  const char **cells = calloc(rows * WIDE, sizeof(*cells));
  assert_true(texts != NULL && cells != NULL);
  for (size_t i = 0; i < rows * WIDE; i++) {
    const uint64_t dice = random_bits(&seed) % 10;
    random_cell(&seed, i % WIDE, texts[i], sizeof(texts[i]));
    // Cut characters are no text: make them whole by leaving out the last byte.
    while (!dray_text_valid(dray_str_of(texts[i]))) texts[i][strlen(texts[i]) - 1] = '\0';
    cells[i] = dice == 0 ? NULL : dice == 1 ? "(absent)" : texts[i];
  }
  struct dr_batch *batch = batch_of(schema, cells, rows);
  free(texts);
  free(cells);
  return batch;
}

static void test_decoding_gives_back_every_random_row(void **state) {
  (void)state;
  enum { ROWS = 500 };
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = random_batch(schema, ROWS, 11), *back = NULL;
  struct dr_encoder encoder;
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dray_buffer out;
  uint64_t hashes[2][ROWS];
  struct dray_column_def defs[WIDE + 1];
  for (size_t i = 0; i < WIDE; i++)
    defs[i] = (struct dray_column_def){schema->fields[i].name, schema->fields[i].type, 1};
  defs[WIDE] = COLUMN(DRAY_COLUMN_ABSENT, BYTES);
  assert_int_equal(dray_schema_make(defs, WIDE + 1, &arrow, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&arrow, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, 0, NULL), DRAY_OK);
  dray_buffer_init(&out, 100000);
  for (uint64_t row = 0; row < ROWS; row++) {
    struct dray_str slices[WIDE];
    dray_buffer_clear(&out);
    assert_int_equal(dr_encode_row(&encoder, batch, row, &out, NULL), DRAY_OK);
    assert_int_equal(dr_decode_slices(dray_buffer_view(&out), WIDE, slices, NULL), DRAY_OK);
    for (size_t i = 0; i < WIDE; i++) {
      const size_t column = encoder.columns[i];
      const int slot = dr_batch_is_absent(batch, column, row)                   ? DR_SLOT_ABSENT
                       : dray_column_is_null(&batch->view.columns[column], row) ? DR_SLOT_NULL
                                                                                : DR_SLOT_VALUE;
      assert_int_equal(dr_slice_state(slices[i]), slot);
      assert_int_equal(dr_decode_value(slices[i], builder, column, NULL), DRAY_OK);
    }
    assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  }
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dr_batch_wrap(schema, &array, &back, NULL), DRAY_OK);
  assert_int_equal(dr_row_hashes(&encoder, batch, hashes[0], NULL), DRAY_OK);
  assert_int_equal(dr_row_hashes(&encoder, back, hashes[1], NULL), DRAY_OK);
  for (uint64_t row = 0; row < ROWS; row++) {
    for (size_t c = 0; c < WIDE; c++) {
      const char *given = cell(batch, c, row);
      assert_string_equal(cell(back, c, row), strcmp(given, "-0") == 0 ? "0" : given);
    }
    assert_true(same(hashes[0][row], hashes[1][row]));
  }
  dr_batch_free(back);
  dr_batch_free(batch);
  dr_encoder_free(&encoder);
  dray_builder_free(builder);
  dray_schema_release(&arrow);
  dray_buffer_free(&out);
  dr_schema_unref(schema);
}

static void test_batch_borders_do_not_matter(void **state) {
  (void)state;
  enum { ROWS = 300 };
  struct dr_schema *schema = wide_schema();
  struct dr_batch *whole = random_batch(schema, ROWS, 12);
  struct dr_encoder encoder;
  uint64_t expected[ROWS], part[ROWS];
  assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, 9, NULL), DRAY_OK);
  assert_int_equal(dr_row_hashes(&encoder, whole, expected, NULL), DRAY_OK);
  for (uint32_t from = 0, size = 1; from < ROWS; from += size, size += 7) {
    uint32_t rows[ROWS];
    struct dr_batch *slice = NULL;
    size_t count = 0;
    for (uint32_t i = from; i < from + size && i < ROWS; i++) rows[count++] = i;
    assert_int_equal(dr_batch_gather(whole, rows, count, &slice, NULL), DRAY_OK);
    assert_int_equal(dr_row_hashes(&encoder, slice, part, NULL), DRAY_OK);
    for (size_t i = 0; i < count; i++) assert_true(same(part[i], expected[from + i]));
    dr_batch_free(slice);
  }
  dr_encoder_free(&encoder);
  dr_batch_free(whole);
  dr_schema_unref(schema);
}

static void test_long_texts_have_long_lengths(void **state) {
  (void)state;
  static const size_t lengths[] = {0, 1, 127, 128, 16383, 16384, 2097152};
  struct dr_schema *schema = SCHEMA_OF(COLUMN("x", STRING));
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    char *text = calloc(1, lengths[i] + 1);
    struct dr_encoder encoder;
    struct dray_buffer out;
    struct dray_str slice;
    assert_non_null(text);
    memset(text, 'x', lengths[i]);
    struct dr_batch *batch = batch_of(schema, (const char *const[]){text}, 1);
    dray_buffer_init(&out, 3000000);
    assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, 0, NULL), DRAY_OK);
    assert_int_equal(dr_encode_row(&encoder, batch, 0, &out, NULL), DRAY_OK);
    const size_t head = lengths[i] < 128 ? 1 : lengths[i] < 16384 ? 2 : lengths[i] < 2097152 ? 3 : 4;
    assert_int_equal(out.len, 1 + head + lengths[i]);
    assert_int_equal(dr_decode_slices(dray_buffer_view(&out), 1, &slice, NULL), DRAY_OK);
    assert_int_equal(slice.len, out.len);
    dr_encoder_free(&encoder);
    dray_buffer_free(&out);
    dr_batch_free(batch);
    free(text);
  }
  dr_schema_unref(schema);
}

static void test_a_row_that_does_not_fit_its_buffer_leaves_it_as_it_was(void **state) {
  (void)state;
  struct dr_schema *schema = SCHEMA_OF(COLUMN("a", STRING), COLUMN("b", INT64), COLUMN("c", STRING));
  char text[2001];
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  struct dr_batch *batch = batch_of(schema, (const char *const[]){text, "1", text}, 1);
  struct dr_encoder encoder;
  assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, 0, NULL), DRAY_OK);
  int fits = 0;
  for (size_t max = 4; max < 5000; max += 100) { // the first text, the second and both do not fit
    struct dray_buffer out;
    dray_buffer_init(&out, max);
    assert_int_equal(dray_buffer_append(&out, "abc", 3, NULL), DRAY_OK);
    const int32_t code = dr_encode_row(&encoder, batch, 0, &out, NULL);
    if (code == DRAY_OK) {
      assert_int_equal(out.len, 3 + 2 * 2003 + 9);
      fits++;
    } else {
      assert_int_equal(code, DRAY_E_LIMIT);
      assert_int_equal(out.len, 3);
    }
    assert_memory_equal(out.data, "abc", 3);
    assert_int_equal(out.data[out.len], '\0');
    dray_buffer_free(&out);
  }
  assert_in_range(fits, 5, 12); // little more than the row itself is asked for
  dr_encoder_free(&encoder);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

// ---- what comes from a damaged file ----

static void test_damaged_rows_are_corrupt_and_never_read_beyond(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
    size_t columns;
  } cases[] = {{"", 0, 1},
               {"\x12\x01", 2, 1},                         // an int64 of one byte
               {"\x11\x02", 2, 1},                         // a bool that is neither
               {"\x15\x05"                                 //
                "abc",                                     //
                5, 1},                                     // a text longer than what is there
               {"\x15\x80", 2, 1},                         // a length without an end
               {"\x15\x81\x00x", 4, 1},                    // a length longer than needed
               {"\x15\xff\xff\xff\xff\x0f", 6, 1},         // 2^32 - 1
               {"\x15\xff\xff\xff\xff\xff\xff\x01", 8, 1}, // more than 5 bytes of length
               {"\x14\x27\x00", 3, 1},                     // scale 39
               {"\x14\x00\x11", 3, 1},                     // 17 bytes of digits
               {"\x14\x00", 2, 1},
               {"\x02", 1, 1}, // no such tag
               {"\x1a\x00", 2, 1},
               {"\x10\x00", 2, 1},
               {"\x01", 1, 2},     // a column is missing
               {"\x01\x01", 2, 1}, // one is too many
               {"\x01", 1, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_str slices[2];
    char *copy = malloc(cases[i].len + (cases[i].len == 0)); // exactly as long, so that a read beyond is seen
    assert_non_null(copy);
    memcpy(copy, cases[i].bytes, cases[i].len);
    const int32_t code = dr_decode_slices(dray_str_make(copy, cases[i].len), cases[i].columns, slices, NULL);
    if (code != DRAY_E_MIRROR_CORRUPT) fail_msg("case %d gives %d", (int)i, code);
    free(copy);
  }
  struct dray_str none;
  assert_int_equal(dr_decode_slices(dray_str_make(NULL, 0), 0, &none, NULL), DRAY_OK);
}

// Any bytes at all: refused, or split into slices that are again whole.
static void test_random_bytes_are_refused_or_split(void **state) {
  (void)state;
  uint64_t seed = 3;
  for (int round = 0; round < 20000; round++) {
    char bytes[24];
    struct dray_str slices[4], again;
    const size_t len = random_bits(&seed) % sizeof(bytes);
    for (size_t i = 0; i < len; i++) {
      bytes[i] = (char)(random_bits(&seed) % 3 == 0 ? 0x10 + random_bits(&seed) % 11 : random_bits(&seed) % 8);
    }
    if (dr_decode_slices(dray_str_make(bytes, len), 4, slices, NULL) != DRAY_OK) continue;
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; i++) {
      sum += slices[i].len;
      assert_int_equal(dr_decode_slices(slices[i], 1, &again, NULL), DRAY_OK);
    }
    assert_int_equal(sum, len);
  }
}

static void test_values_of_another_type_are_not_decoded(void **state) {
  (void)state;
  struct dr_schema *schema = SCHEMA_OF(COLUMN("s", STRING), DECIMAL("d", 3, 1));
  struct dray_builder *builder = NULL;
  assert_int_equal(dray_builder_new(&schema->arrow, 0, 0, &builder, NULL), DRAY_OK);
  assert_int_equal(dr_decode_value(dray_str_make("\x16\x01x", 3), builder, 0, NULL), DRAY_E_DATA_TYPE); // bytes
  assert_int_equal(dr_decode_value(dray_str_make("\x11\x01", 2), builder, 0, NULL), DRAY_E_DATA_TYPE);
  assert_int_equal(dr_decode_value(dray_str_make("\x14\x00\x01\x01", 4), builder, 0, NULL), DRAY_E_DATA_TYPE);
  assert_int_equal(dr_decode_value(dray_str_make("\x14\x02\x01\x01", 4), builder, 1, NULL), DRAY_E_DATA_PRECISION);
  assert_int_equal(dr_decode_value(dray_str_make("\x15\x01x", 3), builder, 0, NULL), DRAY_OK);
  assert_int_equal(dr_decode_value(dray_str_make("\x14\x00\x01\x01", 4), builder, 1, NULL), DRAY_OK);
  dray_builder_free(builder);
  dr_schema_unref(schema);
}

// ---- memory ----

static int32_t encode_once(void *ctx) {
  const struct dr_batch *batch = ctx;
  struct dr_encoder encoder = {0, 0, NULL};
  uint64_t hashes[20];
  struct dray_buffer out;
  dray_buffer_init(&out, 100000);
  int32_t code = dr_encoder_init(&encoder, batch->schema, NULL, 0, 0, NULL);
  if (code == DRAY_OK) code = dr_row_hashes(&encoder, batch, hashes, NULL);
  for (uint64_t row = 0; row < 20 && code == DRAY_OK; row++) code = dr_encode_row(&encoder, batch, row, &out, NULL);
  dr_encoder_free(&encoder);
  dray_buffer_free(&out);
  return code;
}

static void test_encoding_survives_every_failed_allocation(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = random_batch(schema, 20, 13);
  assert_true(torture_every(encode_once, batch) >= 4);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal_integers_of_any_width_hash_equally),
      cmocka_unit_test(test_equal_decimals_of_any_scale_hash_equally),
      cmocka_unit_test(test_equal_texts_of_any_layout_hash_equally),
      cmocka_unit_test(test_equal_instants_hash_equally_in_any_unit_and_zone),
      cmocka_unit_test(test_equal_floats_hash_equally),
      cmocka_unit_test(test_json_hashes_equally_whatever_its_blanks),
      cmocka_unit_test(test_null_empty_and_absent_all_differ),
      cmocka_unit_test(test_types_do_not_run_into_each_other),
      cmocka_unit_test(test_column_order_does_not_matter),
      cmocka_unit_test(test_values_do_not_slip_between_columns),
      cmocka_unit_test(test_seeds_give_other_hashes),
      cmocka_unit_test(test_chosen_columns_are_all_that_counts),
      cmocka_unit_test(test_decoding_gives_back_every_random_row),
      cmocka_unit_test(test_batch_borders_do_not_matter),
      cmocka_unit_test(test_long_texts_have_long_lengths),
      cmocka_unit_test(test_a_row_that_does_not_fit_its_buffer_leaves_it_as_it_was),
      cmocka_unit_test(test_damaged_rows_are_corrupt_and_never_read_beyond),
      cmocka_unit_test(test_random_bytes_are_refused_or_split),
      cmocka_unit_test(test_values_of_another_type_are_not_decoded),
      cmocka_unit_test(test_encoding_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
