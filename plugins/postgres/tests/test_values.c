// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What can be known without a server: numerics both ways, rows as COPY takes them, where a statement ends, the
// settings, and that the README's table of types is the code's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "torture.h"
#include "warehouse.h"

static struct dray_error error = {.struct_size = sizeof error};

#define assert_ok(expression)                                                                                          \
  do {                                                                                                                 \
    const int32_t code_ = (expression);                                                                                \
    if (code_ != DRAY_OK) fail_msg("%s: %d %s", #expression, code_, error.text);                                       \
  } while (0)

// ---- numerics ----

static void test_decimals_come_back_as_they_went(void **state) {
  (void)state;
  static const char *const texts[] = {"0",
                                      "1",
                                      "-1",
                                      "9999",
                                      "10000",
                                      "-10000",
                                      "100000000",
                                      "12345678901234567",
                                      "99999999999999999999999999999999999999",
                                      "-18446744073709551616"};
  for (int32_t scale = 0; scale <= 38; scale++) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      struct dray_decimal value, back;
      char wire[PG_NUMERIC_BYTES_MAX];
      assert_ok(dray_parse_decimal(dray_str_of(texts[i]), 38, 0, &value, &error)); // the unscaled digits
      const size_t len = pg_numeric_write(value, scale, wire);
      assert_true(len <= sizeof wire);
      assert_ok(pg_numeric_read(wire, (int32_t)len, (struct dray_type){DRAY_TYPE_DECIMAL, 38, scale}, &back, &error));
      assert_true(back.low == value.low && back.high == value.high);
    }
  }
}

static void test_numerics_are_as_the_manual_has_them(void **state) {
  (void)state;
  char wire[PG_NUMERIC_BYTES_MAX];
  static const char expected[] = "\0\3\0\1\x40\0\0\2\0\1\x09\x29\x11\x94";       // groups 1 2345 4500
  const size_t len = pg_numeric_write(dray_decimal_of_int64(-1234545), 2, wire); // -12345.45
  assert_int_equal(len, sizeof expected - 1);
  assert_memory_equal(wire, expected, len);
  assert_int_equal(pg_numeric_write(dray_decimal_of_int64(0), 9, wire), 8); // zero has no groups
}

static void test_numbers_that_do_not_fit_are_refused(void **state) {
  (void)state;
  struct dray_decimal value;
  const struct dray_type narrow = {DRAY_TYPE_DECIMAL, 4, 2};
  char wire[PG_NUMERIC_BYTES_MAX];
  size_t len = pg_numeric_write(dray_decimal_of_int64(12345), 2, wire);
  assert_int_equal(pg_numeric_read(wire, (int32_t)len, narrow, &value, &error), DRAY_E_DATA_OVERFLOW);
  len = pg_numeric_write(dray_decimal_of_int64(12345), 3, wire);
  assert_int_equal(pg_numeric_read(wire, (int32_t)len, narrow, &value, &error), DRAY_E_DATA_PRECISION);
  static const char nan[] = "\0\0\0\0\xC0\0\0\0", infinity[] = "\0\0\0\0\xD0\0\0\0";
  assert_int_equal(pg_numeric_read(nan, 8, narrow, &value, &error), DRAY_E_DATA_TYPE);
  assert_int_equal(pg_numeric_read(infinity, 8, narrow, &value, &error), DRAY_E_DATA_TYPE);
  static const char huge[] = "\0\1\x7f\xff\0\0\0\0\0\1"; // 10000^32767
  assert_int_equal(pg_numeric_read(huge, 10, narrow, &value, &error), DRAY_E_DATA_OVERFLOW);
  static const char tiny[] = "\0\1\x80\0\0\0\0\0\0\1"; // 10000^-32768
  assert_int_equal(pg_numeric_read(tiny, 10, narrow, &value, &error), DRAY_E_DATA_PRECISION);
  for (int32_t cut = 0; cut < 10; cut++) { // any length but the right one
    assert_int_equal(pg_numeric_read(huge, cut, narrow, &value, &error), DRAY_E_DATA_TYPE);
  }
}

static void test_modifiers_give_precision_and_scale(void **state) {
  (void)state;
  static const struct {
    int32_t modifier, precision, scale;
  } cases[] = {
      {((10 << 16) | 2) + 4, 10, 2},
      {((38 << 16) | 9) + 4, 38, 9},
      {((5 << 16) | (0x800 - 2)) + 4, 7, 0},
      {((2 << 16) | 5) + 4, 5, 5},
      {-1, 0, 0},
      {((39 << 16) | 0) + 4, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct dray_type type = pg_decimal_of(cases[i].modifier);
    assert_int_equal(type.precision, cases[i].precision);
    assert_int_equal(type.scale, cases[i].scale);
  }
}

// ---- rows ----

static void make_batch(struct ArrowSchema *schema, struct ArrowArray *array, struct dray_builder **builder) {
  static const struct dray_column_def defs[] = {
      {"b", {DRAY_TYPE_BOOL, 0, 0}, 1},   {"i", {DRAY_TYPE_INT64, 0, 0}, 1}, {"d", {DRAY_TYPE_DECIMAL, 9, 2}, 1},
      {"s", {DRAY_TYPE_STRING, 0, 0}, 1}, {"j", {DRAY_TYPE_JSON, 0, 0}, 1},  {"t", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
  };
  int32_t full = 0;
  assert_ok(dray_schema_make(defs, 6, schema, &error));
  assert_ok(dray_builder_new(schema, 0, 0, builder, &error));
  assert_ok(dray_builder_bool(*builder, 0, 1, &error));
  assert_ok(dray_builder_int64(*builder, 1, -2, &error));
  assert_ok(dray_builder_decimal(*builder, 2, dray_decimal_of_int64(150), &error));
  assert_ok(dray_builder_bytes(*builder, 3, dray_str_of("ab"), &error));
  assert_ok(dray_builder_bytes(*builder, 4, dray_str_of("{}"), &error));
  assert_ok(dray_builder_timestamp(*builder, 5, 946684800000001, &error)); // 2000-01-01 00:00:00.000001
  assert_ok(dray_builder_end_row(*builder, &full, &error));
  for (size_t i = 0; i < 6; i++) assert_ok(dray_builder_null(*builder, i, &error));
  assert_ok(dray_builder_end_row(*builder, &full, &error));
  assert_ok(dray_builder_finish(*builder, array, &error));
}

static void test_rows_lie_as_copy_takes_them(void **state) {
  (void)state;
  static const char first[] = "\0\6\0\0\0\1\1\0\0\0\4\xff\xff\xff\xfe\0\0\0\x0c\0\2\0\0\0\0\0\2\0\1\x13\x88\0\0\0\2ab"
                              "\0\0\0\3\1{}\0\0\0\x08\0\0\0\0\0\0\0\1";
  static const int wires[] = {PG_WIRE_BOOL, PG_WIRE_INT4,  PG_WIRE_NUMERIC,
                              PG_WIRE_TEXT, PG_WIRE_JSONB, PG_WIRE_TIMESTAMP};
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct pg_encoder encoder;
  struct dray_view view;
  make_batch(&schema, &array, &builder);
  assert_ok(dray_view_init(&view, &schema, &array, &error));
  pg_encoder_init(&encoder);
  for (int again = 0; again < 2; again++) {
    uint64_t row = 0;
    assert_ok(pg_encode(&encoder, &view, wires, &row, &error));
    assert_int_equal(row, 2);
    assert_int_equal(encoder.out.len, sizeof first - 1 + 2 + 6 * 4);
    assert_memory_equal(encoder.out.data, first, sizeof first - 1);
    assert_memory_equal(encoder.out.data + sizeof first - 1, "\0\6\xff\xff\xff\xff\xff\xff\xff\xff", 10);
  }
  pg_encoder_free(&encoder);
  for (int n = 1;; n++) { // each allocation fails once
    pg_encoder_init(&encoder);
    (void)torture_arm((uint64_t)n);
    uint64_t row = 0;
    const int32_t code = pg_encode(&encoder, &view, wires, &row, &error);
    const int failed = torture_arm(0);
    pg_encoder_free(&encoder);
    if (!failed) break;
    assert_int_equal(code, DRAY_E_OUT_OF_MEMORY);
  }
  dray_view_free(&view);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

// ---- batches of any size ----

#define PIECE_BYTES 65536 // as encode.c has it: what a piece is at most, unless it is one row
#define CELL_COLUMNS 11

static const struct {
  struct dray_column_def def;
  int wire;
} cells[CELL_COLUMNS] = {
    {{"bool", {DRAY_TYPE_BOOL, 0, 0}, 1}, PG_WIRE_BOOL},
    {{"int2", {DRAY_TYPE_INT64, 0, 0}, 1}, PG_WIRE_INT2},
    {{"int4", {DRAY_TYPE_INT64, 0, 0}, 1}, PG_WIRE_INT4},
    {{"int8", {DRAY_TYPE_INT64, 0, 0}, 1}, PG_WIRE_INT8},
    {{"float8", {DRAY_TYPE_FLOAT64, 0, 0}, 1}, PG_WIRE_FLOAT8},
    {{"numeric", {DRAY_TYPE_DECIMAL, 38, 5}, 1}, PG_WIRE_NUMERIC},
    {{"text", {DRAY_TYPE_STRING, 0, 0}, 1}, PG_WIRE_TEXT},
    {{"bytes", {DRAY_TYPE_BYTES, 0, 0}, 1}, PG_WIRE_BYTES},
    {{"date", {DRAY_TYPE_DATE, 0, 0}, 1}, PG_WIRE_DATE},
    {{"time", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1}, PG_WIRE_TIMESTAMP},
    {{"jsonb", {DRAY_TYPE_JSON, 0, 0}, 1}, PG_WIRE_JSONB},
};

// Numbers that look like chance, the same each time.
static uint64_t chance(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

// A text of `len` bytes, some of them not ASCII.
static struct dray_str make_text(char *out, size_t len, uint64_t *state) {
  for (size_t i = 0; i < len; i++) out[i] = (char)('a' + chance(state) % 26);
  if (len >= 2 && chance(state) % 4 == 0) memcpy(out + len - 2, "\xC3\xA9", 2);
  return dray_str_make(out, len);
}

// Gives `row` a value or null in each column; texts are up to `text_max` long.
static void add_cells(struct dray_builder *builder, size_t text_max, char *room, uint64_t *state) {
  static const uint64_t highs[] = {0, 0, 1, UINT64_C(123456789012345678)};
  for (size_t i = 0; i < CELL_COLUMNS; i++) {
    const int64_t number = (int64_t)(chance(state) << 31 | chance(state)) - (INT64_C(1) << 61);
    const size_t len = chance(state) % (text_max + 1);
    if (chance(state) % 7 == 0) {
      assert_ok(dray_builder_null(builder, i, &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_BOOL) {
      assert_ok(dray_builder_bool(builder, i, number & 1, &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_INT64) {
      const int bits = cells[i].wire == PG_WIRE_INT2 ? 16 : cells[i].wire == PG_WIRE_INT4 ? 32 : 64;
      assert_ok(dray_builder_int64(builder, i, number >> (64 - bits), &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_FLOAT64) {
      assert_ok(dray_builder_float64(builder, i, (double)number / 7, &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_DECIMAL) {
      const struct dray_decimal decimal = {(uint64_t)number >> chance(state) % 64, (int64_t)highs[chance(state) % 4]};
      assert_ok(dray_builder_decimal(builder, i, decimal, &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_DATE) {
      assert_ok(dray_builder_date(builder, i, (int32_t)(number % 100000), &error));
    } else if (cells[i].def.type.id == DRAY_TYPE_TIMESTAMP) {
      assert_ok(dray_builder_timestamp(builder, i, number % (INT64_C(1) << 50), &error));
    } else {
      assert_ok(dray_builder_bytes(builder, i, make_text(room, len, state), &error));
    }
  }
  assert_ok(dray_builder_end_row(builder, NULL, &error));
}

// Decodes what was encoded; every row must be whole.
static void decode_rows(struct dray_str rows, uint64_t count, struct dray_builder *builder) {
  struct pg_column columns[CELL_COLUMNS] = {{.name = NULL}};
  struct dray_error why = {.struct_size = sizeof why};
  const char *at = rows.data, *end = rows.data + rows.len;
  for (size_t i = 0; i < CELL_COLUMNS; i++) {
    columns[i].type = cells[i].def.type;
    columns[i].wire = cells[i].wire;
  }
  for (uint64_t row = 0; row < count; row++) {
    const char *from = at + 2;
    assert_true(end - at >= 2);
    assert_int_equal(pg_get16(at), CELL_COLUMNS);
    at = from;
    for (size_t i = 0; i < CELL_COLUMNS; i++) {
      const int32_t len = (int32_t)pg_get32(at);
      at += 4 + (len > 0 ? len : 0);
      assert_true(at <= end);
    }
    const struct dray_str fields = dray_str_make(from, (uint64_t)(at - from));
    assert_ok(pg_decode_row(columns, CELL_COLUMNS, fields, builder, &why, &error));
    assert_ok(dray_builder_end_row(builder, NULL, &error));
  }
  assert_true(at == end);
}

static void assert_same_cells(const struct dray_view *a, const struct dray_view *b, uint64_t from) {
  struct dray_buffer left, right;
  dray_buffer_init(&left, 1u << 20);
  dray_buffer_init(&right, 1u << 20);
  for (size_t i = 0; i < CELL_COLUMNS; i++) {
    for (uint64_t row = 0; row < b->row_count; row++) {
      assert_int_equal(dray_column_is_null(&a->columns[i], from + row), dray_column_is_null(&b->columns[i], row));
      if (dray_column_is_null(&b->columns[i], row)) continue;
      dray_buffer_clear(&left);
      dray_buffer_clear(&right);
      assert_ok(dray_column_text(&a->columns[i], from + row, &left, &error));
      assert_ok(dray_column_text(&b->columns[i], row, &right, &error));
      assert_string_equal(left.data, right.data);
    }
  }
  dray_buffer_free(&left);
  dray_buffer_free(&right);
}

// Encodes the rows from `from` on, decodes them again, and compares.
static void check_round(const struct ArrowSchema *schema, struct ArrowArray *array, uint64_t from) {
  int wires[CELL_COLUMNS];
  struct dray_view whole, view;
  struct pg_encoder encoder;
  struct dray_buffer rows;
  struct dray_builder *builder = NULL;
  struct ArrowArray back;
  for (size_t i = 0; i < CELL_COLUMNS; i++) wires[i] = cells[i].wire;
  assert_ok(dray_view_init(&whole, schema, array, &error));
  array->offset += (int64_t)from;
  array->length -= (int64_t)from;
  assert_ok(dray_view_init(&view, schema, array, &error));
  pg_encoder_init(&encoder);
  dray_buffer_init(&rows, 1u << 30);
  uint64_t done = 0;
  while (done < view.row_count) {
    const uint64_t before = done;
    assert_ok(pg_encode(&encoder, &view, wires, &done, &error));
    assert_true(done > before);
    assert_true(done == before + 1 || encoder.out.len <= PIECE_BYTES);
    assert_ok(dray_buffer_append(&rows, encoder.out.data, encoder.out.len, &error));
  }
  assert_ok(pg_encode(&encoder, &view, wires, &done, &error));
  assert_int_equal(encoder.out.len, 0); // nothing is left
  assert_ok(dray_builder_new(schema, 0, 0, &builder, &error));
  decode_rows(dray_buffer_view(&rows), view.row_count, builder);
  assert_int_equal(dray_builder_rows(builder), view.row_count);
  assert_ok(dray_builder_finish(builder, &back, &error));
  if (back.release != NULL) {
    struct dray_view again;
    assert_ok(dray_view_init(&again, schema, &back, &error));
    assert_same_cells(&whole, &again, from);
    dray_view_free(&again);
    dray_array_release(&back);
  }
  dray_builder_free(builder);
  dray_buffer_free(&rows);
  pg_encoder_free(&encoder);
  dray_view_free(&view);
  dray_view_free(&whole);
}

static void test_batches_of_any_size_come_back(void **state) {
  (void)state;
  static const struct {
    uint64_t rows, from;
    size_t text_max;
  } cases[] = {{1, 0, 20},    {2, 1, 20},    {511, 0, 20},  {512, 0, 20},   {513, 0, 20},   {1024, 0, 4}, {1025, 3, 0},
               {1500, 9, 70}, {300, 5, 200}, {40, 7, 9000}, {5, 1, 300000}, {513, 512, 20}, {600, 0, 1},  {64, 64, 20}};
  static char room[300001];
  uint64_t seed = 1;
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
    struct dray_column_def defs[CELL_COLUMNS];
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct dray_builder *builder = NULL;
    for (size_t i = 0; i < CELL_COLUMNS; i++) defs[i] = cells[i].def;
    assert_ok(dray_schema_make(defs, CELL_COLUMNS, &schema, &error));
    assert_ok(dray_builder_new(&schema, 0, 0, &builder, &error));
    for (uint64_t row = 0; row < cases[k].rows; row++) add_cells(builder, cases[k].text_max, room, &seed);
    assert_ok(dray_builder_finish(builder, &array, &error));
    check_round(&schema, &array, cases[k].from);
    dray_array_release(&array);
    dray_builder_free(builder);
    dray_schema_release(&schema);
  }
}

// In the middle of a batch, behind whole pieces: the error names the column, and nothing of the row's piece is given.
static void test_a_value_that_does_not_fit_ends_the_batch(void **state) {
  (void)state;
  static const struct dray_column_def def = {"i", {DRAY_TYPE_INT64, 0, 0}, 1};
  static const int wires[] = {PG_WIRE_INT2};
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dray_view view;
  struct pg_encoder encoder;
  uint64_t row = 0, pieces = 0;
  int32_t code = DRAY_OK;
  assert_ok(dray_schema_make(&def, 1, &schema, &error));
  assert_ok(dray_builder_new(&schema, 0, 0, &builder, &error));
  for (int64_t i = 0; i < 2000; i++) {
    assert_ok(dray_builder_int64(builder, 0, i == 1500 ? 32768 : i, &error));
    assert_ok(dray_builder_end_row(builder, NULL, &error));
  }
  assert_ok(dray_builder_finish(builder, &array, &error));
  assert_ok(dray_view_init(&view, &schema, &array, &error));
  pg_encoder_init(&encoder);
  for (; code == DRAY_OK && row < view.row_count; pieces++) code = pg_encode(&encoder, &view, wires, &row, &error);
  assert_int_equal(code, DRAY_E_DATA_OVERFLOW);
  assert_string_equal(error.field, "i");
  assert_true(row <= 1500 && pieces > 1);
  assert_int_equal(encoder.out.len, 0);
  pg_encoder_free(&encoder);
  dray_view_free(&view);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

// Any cut of a row is told, and never read beyond.
static void test_a_row_that_is_cut_is_refused(void **state) {
  (void)state;
  static const struct dray_column_def defs[] = {{"i", {DRAY_TYPE_INT64, 0, 0}, 1}, {"s", {DRAY_TYPE_STRING, 0, 0}, 1}};
  static const struct pg_column columns[] = {{.type = {DRAY_TYPE_INT64, 0, 0}, .wire = PG_WIRE_INT4},
                                             {.type = {DRAY_TYPE_STRING, 0, 0}, .wire = PG_WIRE_TEXT}};
  static const char row[] = "\0\0\0\4\0\0\0\7\0\0\0\3abc";
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_error why = {.struct_size = sizeof why};
  assert_ok(dray_schema_make(defs, 2, &schema, &error));
  assert_ok(dray_builder_new(&schema, 0, 0, &builder, &error));
  for (size_t len = 0; len < sizeof row; len++) {
    char *cut = malloc(len + 1); // exactly: what lies behind it is not to be read
    assert_non_null(cut);
    char *end = cut + 1;
    memcpy(end, row, len);
    const int32_t code = pg_decode_row(columns, 2, dray_str_make(end, len), builder, &why, &error);
    assert_int_equal(code, len < sizeof row - 1 ? DRAY_E_INTERNAL : DRAY_OK);
    dray_builder_abandon_row(builder);
    free(cut);
  }
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

// ---- statements ----

static void test_a_statement_ends_where_it_ends(void **state) {
  (void)state;
  static const struct {
    const char *sql, *text, *verb;
  } cases[] = {
      {"SELECT 1", "SELECT 1", "select"},
      {" -- a\n/* b /* c */ ; */ (Select 1) ;; -- d", "(Select 1)", "select"},
      {"SELECT ';--', E'\\';', \"a;b\", $q$;/*$q$ ; ", "SELECT ';--', E'\\';', \"a;b\", $q$;/*$q$", "select"},
      {"WITH x AS (SELECT 1) TABLE x;\n", "WITH x AS (SELECT 1) TABLE x", "with"},
      {"SELECT a$1$ FROM t -- e", "SELECT a$1$ FROM t", "select"},
      {"SELECT 'it''s' -- ';\n", "SELECT 'it''s'", "select"},
      {"SELECT 'open", "SELECT 'open", "select"},
      {"SELECT $1 /* open", "SELECT $1", "select"},
      {"SHOW x;", "SHOW x", "show"},
      {"", "", ""},
      {" ; -- nothing", "", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_statement statement;
    pg_scan(dray_str_of(cases[i].sql), &statement);
    if (!dray_str_is(statement.text, cases[i].text)) {
      fail_msg("%s: %.*s", cases[i].sql, DRAY_STR_ARG(statement.text));
    }
    assert_string_equal(statement.verb, cases[i].verb);
    assert_int_equal(pg_statement_selects(&statement),
                     strcmp(cases[i].verb, "select") == 0 || strcmp(cases[i].verb, "with") == 0);
  }
}

// ---- settings ----

static void test_tls_is_verified_unless_the_server_is_this_machine(void **state) {
  (void)state;
  static const struct {
    const char *host, *mode;
  } cases[] = {{"db.example.com", "verify-full"},
               {"localhost", "prefer"},
               {"127.0.0.1", "prefer"},
               {"/run/postgresql", "prefer"},
               {"::1", "prefer"},
               {"127.0.0.1,db", "verify-full"},
               {"localhost.evil", "verify-full"},
               {"127.evil.com", "verify-full"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_settings settings;
    char json[200];
    (void)snprintf(json, sizeof json, "{\"host\":\"%s\",\"database\":\"d\",\"user\":\"u\"}", cases[i].host);
    assert_ok(pg_settings_bind(dray_str_of(json), &settings, &error));
    assert_string_equal(pg_settings_sslmode(&settings), cases[i].mode);
    pg_settings_release(&settings);
  }
}

static void test_settings_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{\"host\":\"\",\"database\":\"d\",\"user\":\"u\"}", "host"},
      {"{\"host\":\"h\",\"database\":\"postgres://x\",\"user\":\"u\"}", "database"},
      {"{\"host\":\"h\",\"database\":\"host=evil\",\"user\":\"u\"}", "database"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslcert\":\"c\"}", "sslcert"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"sslmode\":\"allow\"}", "sslmode"},
      {"{\"host\":\"h\",\"database\":\"d\",\"user\":\"u\",\"port\":0}", "port"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pg_settings settings;
    assert_int_not_equal(pg_settings_bind(dray_str_of(cases[i][0]), &settings, &error), DRAY_OK);
    assert_string_equal(error.field, cases[i][1]);
  }
}

// ---- the README ----

static void put_row(struct dray_buffer *out, const struct pg_type *type) {
  const char *writes = type->writes == 0 ? "" : dray_type_name(type->writes);
  assert_ok(dray_buffer_printf(out, &error, "| %s | %s | %s | %s |\n", type->name, dray_type_name(type->reads), writes,
                               type->note));
}

static void test_the_table_of_types_is_the_codes(void **state) {
  (void)state;
  static char readme[1 << 16];
  struct dray_buffer expected;
  FILE *file = fopen(DRAY_SOURCE_DIR "/plugins/postgres/README.md", "r");
  assert_non_null(file);
  readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
  (void)fclose(file);
  dray_buffer_init(&expected, sizeof readme);
  for (size_t i = 0; i < pg_type_count; i++) put_row(&expected, &pg_types[i]);
  if (strstr(readme, expected.data) == NULL) fail_msg("the table of types in README.md is not:\n%s", expected.data);
  dray_buffer_clear(&expected);
  for (int type = DRAY_TYPE_BOOL; type <= DRAY_TYPE_JSON; type++) {
    assert_ok(dray_buffer_printf(&expected, &error, "| %s | %.*s |\n", dray_type_name(type),
                                 DRAY_STR_ARG(pg_dialect_types[type])));
  }
  if (strstr(readme, expected.data) == NULL)
    fail_msg("the table of made types in README.md is not:\n%s", expected.data);
  dray_buffer_free(&expected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_decimals_come_back_as_they_went),
      cmocka_unit_test(test_numerics_are_as_the_manual_has_them),
      cmocka_unit_test(test_numbers_that_do_not_fit_are_refused),
      cmocka_unit_test(test_modifiers_give_precision_and_scale),
      cmocka_unit_test(test_rows_lie_as_copy_takes_them),
      cmocka_unit_test(test_batches_of_any_size_come_back),
      cmocka_unit_test(test_a_value_that_does_not_fit_ends_the_batch),
      cmocka_unit_test(test_a_row_that_is_cut_is_refused),
      cmocka_unit_test(test_a_statement_ends_where_it_ends),
      cmocka_unit_test(test_tls_is_verified_unless_the_server_is_this_machine),
      cmocka_unit_test(test_settings_that_make_no_sense_are_refused),
      cmocka_unit_test(test_the_table_of_types_is_the_codes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
