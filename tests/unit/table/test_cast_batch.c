// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole batches through the border: which rows and columns come out, what is moved and what is copied, what a plugin
// must
// not do, and that memory running short loses nothing but the batch.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "arrays.h"
#include "torture.h"

// A batch from text cells, as a plugin's builder would make it: an Arrow schema and array.
struct given {
  struct ArrowSchema schema;
  struct ArrowArray array;
};

static void give(struct given *given, const struct dray_column_def *columns, size_t count, const char *const *cells,
                 size_t rows) {
  struct dray_builder *builder = NULL;
  assert_int_equal(dray_schema_make(columns, count, &given->schema, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&given->schema, 0, 0, &builder, NULL), DRAY_OK);
  for (size_t i = 0; i < rows * count; i++) {
    if (cells[i] == NULL) {
      assert_int_equal(dray_builder_null(builder, i % count, NULL), DRAY_OK);
    } else if (strcmp(cells[i], "(absent)") != 0) {
      assert_int_equal(dray_builder_text(builder, i % count, dray_str_of(cells[i]), NULL), DRAY_OK);
    }
    if (i % count == count - 1) assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  }
  assert_int_equal(dray_builder_finish(builder, &given->array, NULL), DRAY_OK);
  dray_builder_free(builder);
}
#define GIVE(given, columns, rows, ...)                                                                                \
  give(given, columns, sizeof(columns) / sizeof((columns)[0]), (const char *const[]){__VA_ARGS__}, rows)

struct outcome {
  struct dr_batch *batch;
  struct dr_rejects rejects;
};

static void cast(struct given *given, struct dr_schema *target, const char *const *source_columns, int policy,
                 struct outcome *out) {
  struct dr_caster *caster = NULL;
  *out = (struct outcome){.batch = NULL};
  assert_int_equal(dr_caster_new(&given->schema, target, source_columns, policy, &caster, NULL), DRAY_OK);
  assert_int_equal(dr_caster_run(caster, &given->array, 1000, &out->batch, &out->rejects, NULL), DRAY_OK);
  assert_null(given->array.release); // consumed
  assert_int_equal(out->batch->first_row, 1000);
  dr_caster_free(caster);
  dray_schema_release(&given->schema);
  dr_schema_unref(target);
}

static void let_go(struct outcome *outcome) {
  dr_batch_free(outcome->batch);
  dr_rejects_free(&outcome->rejects);
}

static void expect_cells(const struct dr_batch *batch, const char *const *cells, size_t rows) {
  assert_int_equal(dr_batch_rows(batch), rows);
  for (size_t i = 0; i < rows * batch->schema->field_count; i++) {
    const size_t column = i % batch->schema->field_count, row = i / batch->schema->field_count;
    assert_string_equal(cell(batch, column, row), cells[i]);
  }
}
#define EXPECT_CELLS(batch, rows, ...) expect_cells(batch, (const char *const[]){__VA_ARGS__}, rows)

static void test_rejected_rows_are_left_out_and_the_rest_stays_together(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("id", STRING), COLUMN("day", STRING), COLUMN("note", STRING)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 5, "1", "2024-01-01", "first", "x", "2024-13-01", "both are bad", "3", NULL, NULL, "4",
       "2024-02-30", "bad day", "5", "2024-01-05", "last");
  cast(&given, SCHEMA_OF(COLUMN("id", INT64), COLUMN("day", DATE), COLUMN("note", STRING)), NULL, DR_CAST_REJECT_ROW,
       &out);
  EXPECT_CELLS(out.batch, 3, "1", "2024-01-01", "first", "3", "(null)", "(null)", "5", "2024-01-05", "last");
  assert_int_equal(out.rejects.count, 2); // one reason a row
  assert_int_equal(out.rejects.items[0].row, 1001);
  assert_int_equal(out.rejects.items[0].code, DRAY_E_DATA_TYPE);
  assert_string_equal(out.rejects.items[0].column, "id");
  assert_string_equal(out.rejects.items[0].text, "'x' is not an integer");
  assert_int_equal(out.rejects.items[1].row, 1003);
  assert_int_equal(out.rejects.items[1].code, DRAY_E_DATA_DATE);
  assert_string_equal(out.rejects.items[1].column, "day");
  assert_non_null(strstr(out.rejects.items[1].text, "2024-02-30"));
  let_go(&out);
}

static void test_rejects_come_in_the_order_of_their_rows(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("a", STRING), COLUMN("b", STRING)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 4, "1", "x", "y", "2", "3", "z", "w", "4");
  cast(&given, SCHEMA_OF(COLUMN("a", INT64), COLUMN("b", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  assert_int_equal(dr_batch_rows(out.batch), 0);
  assert_int_equal(out.rejects.count, 4);
  for (uint64_t i = 0; i < 4; i++) assert_int_equal(out.rejects.items[i].row, 1000 + i);
  assert_string_equal(out.rejects.items[0].column, "b");
  assert_string_equal(out.rejects.items[1].column, "a");
  let_go(&out);
}

static void test_policy_null_value_keeps_the_row(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("id", STRING), COLUMN("name", STRING)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 3, "1", "a", "x", "b", "3", "c");
  cast(&given, SCHEMA_OF(COLUMN("id", INT64), COLUMN("name", STRING)), NULL, DR_CAST_NULL_VALUE, &out);
  assert_int_equal(out.rejects.count, 0);
  EXPECT_CELLS(out.batch, 3, "1", "a", "(null)", "b", "3", "c");
  let_go(&out);
}

// A canonical column with a bad value cannot be moved then.
static void test_policy_null_value_on_canonical_columns(void **state) {
  (void)state;
  struct given given;
  struct outcome out;
  arrow_schema(&given.schema, "+s", "", 2);
  arrow_schema(given.schema.children[0], "u", "text", 0);
  arrow_schema(given.schema.children[1], "tsu:UTC", "when", 0);
  arrow_array(&given.array, 2, 1, 2);
  arrow_texts(given.array.children[0], (const char *const[]){"bad \xff", "good"}, 2, 4);
  arrow_values(given.array.children[1], 2, (const int64_t[]){0, INT64_MAX}, 8);
  cast(&given, SCHEMA_OF(COLUMN("text", STRING), COLUMN("when", TIMESTAMP)), NULL, DR_CAST_NULL_VALUE, &out);
  EXPECT_CELLS(out.batch, 2, "(null)", "1970-01-01T00:00:00Z", "good", "(null)");
  let_go(&out);
}

static void test_columns_are_found_by_name_in_any_order(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("b", STRING), COLUMN("unused", JSON), COLUMN("a", INT64)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 2, "x", "[]", "1", "y", NULL, "2");
  cast(&given, SCHEMA_OF(COLUMN("a", INT64), COLUMN("renamed", STRING), COLUMN("again", STRING)),
       (const char *const[]){NULL, "b", "b"}, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 2, "1", "x", "x", "2", "y", "y");
  let_go(&out);
}

static void test_a_column_that_is_not_there_is_absent_everywhere(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("a", INT64)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 2, "1", NULL);
  cast(&given, SCHEMA_OF(COLUMN("a", INT64), COLUMN("b", STRING)), NULL, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 2, "1", "(absent)", "(null)", "(absent)");
  let_go(&out);
}

static void test_absent_null_and_value_stay_three_things(void **state) {
  (void)state;
  // The reserved columns stand between the others: their bits are not counted.
  const struct dray_column_def columns[] = {COLUMN(DRAY_COLUMN_ERROR, STRING), COLUMN("a", STRING),
                                            COLUMN(DRAY_COLUMN_ABSENT, BYTES), COLUMN("b", INT64), COLUMN("c", DATE)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 4, NULL, "1", "(absent)", "(absent)", NULL, NULL, "(absent)", "(absent)", "5", "2024-01-01",
       NULL, "x", "(absent)", "6", "(absent)", NULL, NULL, "(absent)", "(absent)", "(absent)");
  cast(&given, SCHEMA_OF(COLUMN("c", DATE), COLUMN("a", INT64), COLUMN("b", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  assert_int_equal(out.rejects.count, 1); // marks of the rows behind it move up
  EXPECT_CELLS(out.batch, 3, "(null)", "1", "(absent)", "2024-01-01", "(absent)", "5", "(absent)", "(null)",
               "(absent)");
  let_go(&out);
}

static void test_nothing_absent_costs_nothing(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("a", INT64), COLUMN(DRAY_COLUMN_ABSENT, BYTES)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 2, "1", "(absent)", NULL, "(absent)");
  cast(&given, SCHEMA_OF(COLUMN("a", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  assert_null(out.batch->absent);
  EXPECT_CELLS(out.batch, 2, "1", "(null)");
  let_go(&out);
}

// A plugin says absent and leaves a value in its place: nobody must see that value.
static void test_absent_wins_over_a_value_left_in_the_column(void **state) {
  (void)state;
  struct given given;
  struct outcome out;
  arrow_schema(&given.schema, "+s", "", 3);
  arrow_schema(given.schema.children[0], "l", "moved", 0);
  arrow_schema(given.schema.children[1], "i", "widened", 0);
  arrow_schema(given.schema.children[2], "z", DRAY_COLUMN_ABSENT, 0);
  arrow_array(&given.array, 2, 1, 3);
  arrow_values(given.array.children[0], 2, (const int64_t[]){7, 8}, 8);
  arrow_values(given.array.children[1], 2, (const int32_t[]){7, 8}, 4);
  arrow_texts(given.array.children[2], (const char *const[]){"\x03", NULL}, 2, 4);
  cast(&given, SCHEMA_OF(COLUMN("moved", INT64), COLUMN("widened", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 2, "(absent)", "(absent)", "8", "8");
  let_go(&out);
}

static void test_tombstones_are_marked(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("id", STRING), COLUMN(DRAY_COLUMN_DELETED, BOOL)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 4, "1", "false", "bad", "false", "3", "true", "4", NULL);
  cast(&given, SCHEMA_OF(COLUMN("id", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 3, "1", "3", "4");
  assert_false(dr_batch_is_deleted(out.batch, 0));
  assert_true(dr_batch_is_deleted(out.batch, 1));
  assert_false(dr_batch_is_deleted(out.batch, 2));
  let_go(&out);
}

static void test_rows_with_an_error_are_rejected_for_the_plugins_reason(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("id", INT64), COLUMN(DRAY_COLUMN_ERROR, STRING)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 5, "1", NULL, NULL, "data_shape: line 7 has 3 fields", NULL, "no name in front", NULL,
       "config_type: not about data", "5", NULL);
  cast(&given, SCHEMA_OF(COLUMN("id", INT64)), NULL, DR_CAST_NULL_VALUE, &out); // whatever the policy
  EXPECT_CELLS(out.batch, 2, "1", "5");
  assert_int_equal(out.rejects.count, 3);
  assert_int_equal(out.rejects.items[0].code, DRAY_E_DATA_SHAPE);
  assert_string_equal(out.rejects.items[0].text, "line 7 has 3 fields");
  assert_string_equal(out.rejects.items[0].column, "");
  assert_int_equal(out.rejects.items[1].code, DRAY_E_DATA_TYPE);
  assert_string_equal(out.rejects.items[1].text, "no name in front");
  assert_int_equal(out.rejects.items[2].code, DRAY_E_DATA_TYPE);
  assert_string_equal(out.rejects.items[2].text, "config_type: not about data");
  let_go(&out);
}

// Whoever looks for the row knows it by its key, and not by its number in a stream.
static void test_rejected_rows_are_told_by_their_key_where_it_can_be_read(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("id", INT64), COLUMN("day", STRING), COLUMN("n", STRING),
                                            COLUMN(DRAY_COLUMN_ERROR, STRING)};
  static const char *const key[] = {"id", "day"};
  struct given given;
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  GIVE(&given, columns, 5, "1", "2024-05-01", "1", NULL, "2", "2024-05-02", NULL,
       "data_overflow: column 'n': 99999999999999999999 does not fit int64", "3", "2024-05-03", "x", NULL, "4", NULL,
       "1", "data_type: column 'n", NULL, "2024-05-05", "1", "column 'n': of no kind");
  struct dr_schema *target = SCHEMA_OF(COLUMN("id", INT64), COLUMN("day", DATE), COLUMN("n", INT64));
  assert_int_equal(dr_caster_new(&given.schema, target, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  dr_caster_key(caster, key, 2);
  assert_int_equal(dr_caster_run(caster, &given.array, 100, &batch, &rejects, NULL), DRAY_OK);
  static const struct dr_reject wanted[] = {
      {101, DRAY_E_DATA_OVERFLOW, "n", "99999999999999999999 does not fit int64", "id=2 day=2024-05-02", {0, 0}},
      {102, DRAY_E_DATA_TYPE, "n", "'x' is not an integer", "id=3 day=2024-05-03", {0, 0}},
      {103, DRAY_E_DATA_TYPE, "", "column 'n", "", {0, 0}},
      {104, DRAY_E_DATA_TYPE, "", "column 'n': of no kind", "", {0, 0}}};
  assert_int_equal(rejects.count, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(rejects.items[i].row, wanted[i].row);
    assert_int_equal(rejects.items[i].code, wanted[i].code);
    assert_string_equal(rejects.items[i].column, wanted[i].column);
    assert_string_equal(rejects.items[i].text, wanted[i].text);
    assert_string_equal(rejects.items[i].key, wanted[i].key);
    const struct dr_hash128 hash = dr_hash_bytes(dray_str_of(wanted[i].key), 1);
    assert_int_equal(rejects.items[i].key_hash.low, wanted[i].key[0] != '\0' ? hash.low : 0);
  }
  assert_int_equal(dr_batch_rows(batch), 1);
  dr_batch_free(batch);
  dr_rejects_free(&rejects);
  dr_caster_free(caster);
  dr_schema_unref(target);
  dray_schema_release(&given.schema);
}

static void test_reasons_are_cut_at_a_character(void **state) {
  (void)state;
  char text[400];
  struct dr_rejects rejects = {NULL, 0, 0};
  memset(text, 'x', sizeof(text));
  memcpy(text + 253, "\xf0\x9f\x98\x80", 4);
  text[399] = '\0';
  assert_int_equal(dr_rejects_add(&rejects, 1, DRAY_E_DATA_TYPE, text, text, NULL), DRAY_OK);
  assert_int_equal(strlen(rejects.items[0].text), 253);
  assert_int_equal(strlen(rejects.items[0].column), 127);
  dr_rejects_free(&rejects);
}

static void test_canonical_columns_are_moved_without_a_copy(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("b", BOOL),   COLUMN("i", INT64),    COLUMN("f", FLOAT64),
                                            DECIMAL("d", 10, 2), COLUMN("s", STRING),   COLUMN("z", BYTES),
                                            COLUMN("t", DATE),   COLUMN("u", TIMESTAMP)};
  struct given given;
  struct outcome out;
  const void *values[8];
  GIVE(&given, columns, 2, "true", "1", "0.5", "1.50", "gr\xc3\xbc\xc3\x9f", "Zm9v", "2024-01-01",
       "2024-01-01T00:00:00Z", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  for (size_t i = 0; i < 8; i++) values[i] = given.array.children[i]->buffers[1];
  cast(&given,
       SCHEMA_OF(COLUMN("b", BOOL), COLUMN("i", INT64), COLUMN("f", FLOAT64), DECIMAL("d", 12, 2), COLUMN("s", STRING),
                 COLUMN("z", BYTES), COLUMN("t", DATE), COLUMN("u", TIMESTAMP)),
       NULL, DR_CAST_REJECT_ROW, &out);
  for (size_t i = 0; i < 8; i++) assert_ptr_equal(out.batch->array.children[i]->buffers[1], values[i]);
  EXPECT_CELLS(out.batch, 2, "true", "1", "0.5", "1.50", "gr\xc3\xbc\xc3\x9f", "Zm9v", "2024-01-01",
               "2024-01-01T00:00:00Z", "(null)", "(null)", "(null)", "(null)", "(null)", "(null)", "(null)", "(null)");
  let_go(&out);
}

// Offset of the batch and offsets of its columns add up, moved or not.
static void test_sliced_batches_show_their_slice(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("i", INT64), COLUMN("s", STRING), COLUMN("n", STRING)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 5, "0", "zero", "0", "1", NULL, "10", NULL, "two", "20", "3", "three", NULL, "4", "four", "40");
  given.array.offset = 1;
  given.array.length = 3;
  given.array.children[0]->offset = 1; // its rows begin one later still
  given.array.children[0]->length = 4;
  given.array.children[0]->null_count = -1;
  cast(&given, SCHEMA_OF(COLUMN("i", INT64), COLUMN("s", STRING), COLUMN("n", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 3, "(null)", "(null)", "10", "3", "two", "20", "4", "three", "(null)");
  let_go(&out);
}

// The nulls of the rows outside do not count any more.
static void test_slice_of_a_column_with_more_nulls_than_rows(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("i", INT64)};
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 4, NULL, NULL, "7", NULL);
  given.array.offset = 2;
  given.array.length = 1;
  cast(&given, SCHEMA_OF(COLUMN("i", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  EXPECT_CELLS(out.batch, 1, "7");
  assert_true(out.batch->array.children[0]->null_count <= 0);
  let_go(&out);
}

static void test_empty_and_ended_streams_give_batches_without_rows(void **state) {
  (void)state;
  const struct dray_column_def columns[] = {COLUMN("s", STRING), COLUMN("i", INT64)};
  struct dr_schema *target = SCHEMA_OF(COLUMN("s", STRING), COLUMN("i", INT64));
  struct given given;
  struct outcome out;
  GIVE(&given, columns, 1, "x", "1");
  given.array.length = 0;
  cast(&given, dr_schema_ref(target), NULL, DR_CAST_REJECT_ROW, &out);
  assert_int_equal(dr_batch_rows(out.batch), 0);
  assert_int_equal(out.batch->view.column_count, 2);
  let_go(&out);
  GIVE(&given, columns, 1, "x", "1");
  dray_array_release(&given.array);
  cast(&given, target, NULL, DR_CAST_REJECT_ROW, &out);
  assert_int_equal(dr_batch_rows(out.batch), 0);
  let_go(&out);
}

// ---- what a plugin must not do ----

static void expect_refused(struct given *given, struct dr_schema *target, int32_t code_new, int32_t code_run) {
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(dr_caster_new(&given->schema, target, NULL, DR_CAST_REJECT_ROW, &caster, &error), code_new);
  if (code_new == DRAY_OK) {
    assert_int_equal(dr_caster_run(caster, &given->array, 0, &batch, &rejects, &error), code_run);
    assert_null(given->array.release);
    assert_null(batch);
    assert_int_equal(rejects.count, 0);
  }
  assert_int_equal(error.code, code_new != DRAY_OK ? code_new : code_run);
  assert_true(error.text[0] != '\0');
  dray_array_release(&given->array);
  dray_schema_release(&given->schema);
  dr_caster_free(caster);
  dr_rejects_free(&rejects);
  dr_schema_unref(target);
}

static void test_schemas_that_cannot_be_meant_are_refused(void **state) {
  (void)state;
  const struct dray_column_def twice[] = {COLUMN("a", INT64), COLUMN("a", INT64)};
  const struct dray_column_def bad_error[] = {COLUMN("a", INT64), COLUMN(DRAY_COLUMN_ERROR, INT64)};
  const struct dray_column_def bad_absent[] = {COLUMN("a", INT64), COLUMN(DRAY_COLUMN_ABSENT, BYTES)};
  struct given given;
  GIVE(&given, twice, 1, "1", "2");
  expect_refused(&given, SCHEMA_OF(COLUMN("a", INT64)), DRAY_E_SCHEMA_NAME, 0);
  GIVE(&given, twice, 1, "1", "2"); // a name nobody asks for may be there twice
  given.schema.children[0]->name = "b";
  given.schema.children[1]->name = "b";
  struct outcome out;
  cast(&given, SCHEMA_OF(COLUMN("a", INT64)), NULL, DR_CAST_REJECT_ROW, &out);
  let_go(&out);
  GIVE(&given, bad_error, 1, "1", "2");
  expect_refused(&given, SCHEMA_OF(COLUMN("a", INT64)), DRAY_E_PLUGIN_CONTRACT, 0);
  GIVE(&given, bad_absent, 1, "1", "(absent)");
  given.schema.children[1]->format = "u";
  expect_refused(&given, SCHEMA_OF(COLUMN("a", INT64)), DRAY_E_PLUGIN_CONTRACT, 0);
  GIVE(&given, twice, 1, "1", "2");
  given.schema.format = "l";
  expect_refused(&given, SCHEMA_OF(COLUMN("a", INT64)), DRAY_E_PLUGIN_CONTRACT, 0);
}

// A batch of two rows laid out on the stack, in which anything can be bent: an int64, a text, a dictionary of texts,
// a list of
// int32, a view.
enum { NUMBER, TEXT, DICTIONARY, LIST, VIEW, HAND_COLUMNS };

struct hand {
  struct ArrowSchema schema;
  struct ArrowArray batch, columns[HAND_COLUMNS], dictionary, item;
  struct ArrowArray *children[HAND_COLUMNS], *items[1];
  int64_t numbers[2], sizes[1];
  int32_t offsets[3], dictionary_offsets[3], list_offsets[3], list_items[3], views[8];
  int8_t indices[2];
  const void *batch_buffers[1], *number_buffers[2], *text_buffers[3], *index_buffers[2], *dictionary_buffers[3],
      *list_buffers[2], *item_buffers[2], *view_buffers[4];
};

static void release_nothing(struct ArrowArray *array) {
  array->release = NULL;
}

static struct ArrowArray plain(int64_t length, int64_t buffer_count, const void **buffers) {
  return (struct ArrowArray){
      .length = length, .n_buffers = buffer_count, .buffers = buffers, .release = release_nothing};
}

static void lay_out_arrays(struct hand *h) {
  memcpy(h->numbers, (const int64_t[]){1, 2}, sizeof(h->numbers));
  memcpy(h->offsets, (const int32_t[]){0, 3, 6}, sizeof(h->offsets));
  memcpy(h->dictionary_offsets, (const int32_t[]){0, 3, 7}, sizeof(h->dictionary_offsets));
  memcpy(h->list_offsets, (const int32_t[]){0, 2, 3}, sizeof(h->list_offsets));
  memcpy(h->list_items, (const int32_t[]){7, 8, 9}, sizeof(h->list_items));
  memcpy(h->views, (const int32_t[]){0, 0, 0, 0, 13, 0, 0, 2}, sizeof(h->views));
  memcpy(h->indices, (const int8_t[]){1, 0}, sizeof(h->indices));
  h->sizes[0] = 15;
  h->batch_buffers[0] = NULL;
  memcpy(h->number_buffers, (const void *[]){NULL, h->numbers}, sizeof(h->number_buffers));
  memcpy(h->text_buffers, (const void *[]){NULL, h->offsets, "onetwo"}, sizeof(h->text_buffers));
  memcpy(h->index_buffers, (const void *[]){NULL, h->indices}, sizeof(h->index_buffers));
  memcpy(h->dictionary_buffers, (const void *[]){NULL, h->dictionary_offsets, "redblue"},
         sizeof(h->dictionary_buffers));
  memcpy(h->list_buffers, (const void *[]){NULL, h->list_offsets}, sizeof(h->list_buffers));
  memcpy(h->item_buffers, (const void *[]){NULL, h->list_items}, sizeof(h->item_buffers));
  memcpy(h->view_buffers, (const void *[]){NULL, h->views, "..thirteen more", h->sizes}, sizeof(h->view_buffers));
  h->columns[NUMBER] = plain(2, 2, h->number_buffers);
  h->columns[TEXT] = plain(2, 3, h->text_buffers);
  h->columns[DICTIONARY] = plain(2, 2, h->index_buffers);
  h->dictionary = plain(2, 3, h->dictionary_buffers);
  h->columns[DICTIONARY].dictionary = &h->dictionary;
  h->columns[LIST] = plain(2, 2, h->list_buffers);
  h->item = plain(3, 2, h->item_buffers);
  h->items[0] = &h->item;
  h->columns[LIST].children = h->items;
  h->columns[LIST].n_children = 1;
  h->columns[VIEW] = plain(2, 4, h->view_buffers);
  h->batch = plain(2, 1, h->batch_buffers);
  for (size_t i = 0; i < HAND_COLUMNS; i++) h->children[i] = &h->columns[i];
  h->batch.children = h->children;
  h->batch.n_children = HAND_COLUMNS;
}

static void lay_out(struct hand *h) {
  static const char *const formats[] = {"l", "u", "c", "+l", "vu"};
  static const char *const names[] = {"number", "text", "dictionary", "list", "view"};
  arrow_schema(&h->schema, "+s", "", HAND_COLUMNS);
  for (size_t i = 0; i < HAND_COLUMNS; i++) arrow_schema(h->schema.children[i], formats[i], names[i], i == LIST);
  arrow_schema(h->schema.children[LIST]->children[0], "i", "item", 0);
  (void)arrow_schema_dictionary(h->schema.children[DICTIONARY], "u");
  lay_out_arrays(h);
}

static struct dr_schema *hand_target(void) {
  return SCHEMA_OF(COLUMN("number", INT64), COLUMN("text", STRING), COLUMN("dictionary", STRING), COLUMN("list", JSON),
                   COLUMN("view", STRING));
}

struct damage {
  const char *what;
  void (*do_it)(struct hand *h);
};
static void column_missing(struct hand *h) {
  h->batch.n_children--;
}
static void no_columns(struct hand *h) {
  h->batch.children = NULL;
}
static void null_column(struct hand *h) {
  h->children[TEXT] = NULL;
}
static void released_column(struct hand *h) {
  h->columns[NUMBER].release = NULL;
}
static void batch_too_long(struct hand *h) {
  h->batch.length = 3;
}
static void batch_offset_beyond(struct hand *h) {
  h->batch.offset = 1;
}
static void batch_offset_negative(struct hand *h) {
  h->batch.offset = -1;
}
static void batch_length_negative(struct hand *h) {
  h->batch.length = -2;
}
static void batch_row_null(struct hand *h) {
  h->batch_buffers[0] = "\x01";
  h->batch.null_count = -1;
}
static void column_too_short(struct hand *h) {
  h->columns[NUMBER].length = 1;
}
static void column_offset_huge(struct hand *h) {
  h->columns[NUMBER].offset = INT64_MAX - 1;
}
static void column_offset_negative(struct hand *h) {
  h->columns[TEXT].offset = -1;
}
static void buffer_count_wrong(struct hand *h) {
  h->columns[NUMBER].n_buffers = 1;
}
static void no_buffers(struct hand *h) {
  h->columns[NUMBER].buffers = NULL;
}
static void values_missing(struct hand *h) {
  h->number_buffers[1] = NULL;
}
static void nulls_without_bitmap(struct hand *h) {
  h->columns[NUMBER].null_count = 1;
}
static void too_many_nulls(struct hand *h) {
  h->columns[NUMBER].null_count = 3;
}
static void offsets_fall(struct hand *h) {
  h->offsets[1] = 7;
}
static void offset_negative(struct hand *h) {
  h->offsets[0] = -1;
}
static void bytes_missing(struct hand *h) {
  h->text_buffers[2] = NULL;
}
static void dictionary_missing(struct hand *h) {
  h->columns[DICTIONARY].dictionary = NULL;
}
static void dictionary_released(struct hand *h) {
  h->dictionary.release = NULL;
}
static void index_beyond(struct hand *h) {
  h->indices[0] = 2;
}
static void index_negative(struct hand *h) {
  h->indices[1] = -1;
}
static void list_beyond_its_items(struct hand *h) {
  h->list_offsets[2] = 4;
}
static void list_falls(struct hand *h) {
  h->list_offsets[1] = 4;
}
static void list_without_items(struct hand *h) {
  h->columns[LIST].n_children = 0;
}
static void items_missing(struct hand *h) {
  h->item_buffers[1] = NULL;
}
static void view_beyond_its_buffer(struct hand *h) {
  h->views[7] = 3;
}
static void view_into_no_buffer(struct hand *h) {
  h->views[6] = 1;
}
static void view_length_negative(struct hand *h) {
  h->views[4] = -1;
}
static void view_offset_negative(struct hand *h) {
  h->views[7] = -1;
}

static const struct damage damages[] = {
    {"column missing", column_missing},
    {"no columns", no_columns},
    {"NULL column", null_column},
    {"released column", released_column},
    {"batch longer than its columns", batch_too_long},
    {"batch offset beyond its columns", batch_offset_beyond},
    {"negative batch offset", batch_offset_negative},
    {"negative batch length", batch_length_negative},
    {"a row that is null", batch_row_null},
    {"column too short", column_too_short},
    {"offset that overflows", column_offset_huge},
    {"negative offset", column_offset_negative},
    {"wrong buffer count", buffer_count_wrong},
    {"no buffers", no_buffers},
    {"no values", values_missing},
    {"nulls without a bitmap", nulls_without_bitmap},
    {"more nulls than rows", too_many_nulls},
    {"text offsets fall", offsets_fall},
    {"negative text offset", offset_negative},
    {"text bytes missing", bytes_missing},
    {"dictionary missing", dictionary_missing},
    {"dictionary released", dictionary_released},
    {"index beyond the dictionary", index_beyond},
    {"negative index", index_negative},
    {"list beyond its items", list_beyond_its_items},
    {"list offsets fall", list_falls},
    {"list without items", list_without_items},
    {"items missing", items_missing},
    {"view beyond its buffer", view_beyond_its_buffer},
    {"view into no buffer", view_into_no_buffer},
    {"negative view length", view_length_negative},
    {"negative view offset", view_offset_negative},
};

static void test_malformed_arrays_are_refused(void **state) {
  (void)state;
  struct hand hand;
  struct dr_caster *caster = NULL;
  struct dr_schema *target = hand_target();
  lay_out(&hand);
  assert_int_equal(dr_caster_new(&hand.schema, target, NULL, DR_CAST_REJECT_ROW, &caster, NULL), DRAY_OK);
  for (size_t i = 0; i <= sizeof(damages) / sizeof(damages[0]); i++) {
    struct dr_batch *batch = NULL;
    struct dr_rejects rejects = {NULL, 0, 0};
    struct dray_error error;
    dray_error_init(&error);
    lay_out_arrays(&hand);
    const int whole = i == sizeof(damages) / sizeof(damages[0]); // at last, none: the caster still works
    if (!whole) damages[i].do_it(&hand);
    const int32_t code = dr_caster_run(caster, &hand.batch, 0, &batch, &rejects, &error);
    if (code != (whole ? DRAY_OK : DRAY_E_PLUGIN_CONTRACT)) {
      fail_msg("%s: %d, %s", whole ? "nothing" : damages[i].what, code, error.text);
    }
    assert_null(hand.batch.release);
    assert_int_equal(rejects.count, 0);
    if (whole) {
      EXPECT_CELLS(batch, 2, "1", "one", "blue", "[7,8]", "", "2", "two", "red", "[9]", "thirteen more");
    } else {
      assert_null(batch);
      assert_true(error.text[0] != '\0');
    }
    dr_batch_free(batch);
  }
  dr_caster_free(caster);
  dr_schema_unref(target);
  dray_schema_release(&hand.schema);
}

// ---- memory ----

struct torture {
  struct hand hand;
  struct dr_schema *target;
  int policy;
};

// Plans and casts a batch of every kind, with a row that is rejected where the policy says so.
static int32_t cast_once(void *ctx) {
  struct torture *torture = ctx;
  struct dr_caster *caster = NULL;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  lay_out_arrays(&torture->hand);
  int32_t code = dr_caster_new(&torture->hand.schema, torture->target, NULL, torture->policy, &caster, NULL);
  if (code == DRAY_OK) code = dr_caster_run(caster, &torture->hand.batch, 0, &batch, &rejects, NULL);
  if (code == DRAY_OK) {
    const int rejecting = torture->policy == DR_CAST_REJECT_ROW;
    assert_int_equal(dr_batch_rows(batch), rejecting ? 1 : 2);
    assert_int_equal(rejects.count, rejecting ? 1 : 0);
  } else {
    assert_int_equal(code, DRAY_E_OUT_OF_MEMORY);
    assert_int_equal(rejects.count, 0);
  }
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  dr_caster_free(caster);
  return code;
}

static void test_cast_survives_every_failed_allocation(void **state) {
  (void)state;
  struct torture torture;
  lay_out(&torture.hand);
  // 2 is no bool, the dictionary is decoded, the list goes through JSON, and "missing" is absent.
  torture.target = SCHEMA_OF(COLUMN("number", BOOL), COLUMN("text", STRING), COLUMN("dictionary", STRING),
                             COLUMN("list", JSON), COLUMN("view", STRING), COLUMN("missing", DATE));
  for (torture.policy = DR_CAST_REJECT_ROW; torture.policy <= DR_CAST_NULL_VALUE; torture.policy++) {
    assert_true(torture_every(cast_once, &torture) > 30);
  }
  dr_schema_unref(torture.target);
  dray_schema_release(&torture.hand.schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rejected_rows_are_left_out_and_the_rest_stays_together),
      cmocka_unit_test(test_rejects_come_in_the_order_of_their_rows),
      cmocka_unit_test(test_policy_null_value_keeps_the_row),
      cmocka_unit_test(test_policy_null_value_on_canonical_columns),
      cmocka_unit_test(test_columns_are_found_by_name_in_any_order),
      cmocka_unit_test(test_a_column_that_is_not_there_is_absent_everywhere),
      cmocka_unit_test(test_absent_null_and_value_stay_three_things),
      cmocka_unit_test(test_nothing_absent_costs_nothing),
      cmocka_unit_test(test_absent_wins_over_a_value_left_in_the_column),
      cmocka_unit_test(test_tombstones_are_marked),
      cmocka_unit_test(test_rows_with_an_error_are_rejected_for_the_plugins_reason),
      cmocka_unit_test(test_rejected_rows_are_told_by_their_key_where_it_can_be_read),
      cmocka_unit_test(test_reasons_are_cut_at_a_character),
      cmocka_unit_test(test_canonical_columns_are_moved_without_a_copy),
      cmocka_unit_test(test_sliced_batches_show_their_slice),
      cmocka_unit_test(test_slice_of_a_column_with_more_nulls_than_rows),
      cmocka_unit_test(test_empty_and_ended_streams_give_batches_without_rows),
      cmocka_unit_test(test_schemas_that_cannot_be_meant_are_refused),
      cmocka_unit_test(test_malformed_arrays_are_refused),
      cmocka_unit_test(test_cast_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
