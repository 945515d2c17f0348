// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The view: sliced and nested offsets are followed, and arrays that would be read out of bounds are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dray/sdk/column.h"
#include "torture.h"

static const struct dray_column_def columns[] = {{"number", {DRAY_TYPE_INT64, 0, 0}, 1},
                                                 {"text", {DRAY_TYPE_STRING, 0, 0}, 1}};

// A batch of four rows laid out by hand: numbers 10, null, 30, 40, texts "a", "bb", null, "dddd".
struct hand {
  struct ArrowSchema schema;
  struct ArrowArray batch, number, text;
  struct ArrowArray *children[2];
  int64_t numbers[4];
  int32_t offsets[5];
  uint8_t number_validity, text_validity;
  const void *batch_buffers[1], *number_buffers[2], *text_buffers[3];
};

static void release_nothing(struct ArrowArray *array) {
  array->release = NULL;
}

static void lay_out(struct hand *hand) {
  assert_int_equal(dray_schema_make(columns, 2, &hand->schema, NULL), DRAY_OK);
  hand->numbers[0] = 10;
  hand->numbers[1] = 20;
  hand->numbers[2] = 30;
  hand->numbers[3] = 40;
  memcpy(hand->offsets, (const int32_t[]){0, 1, 3, 3, 7}, sizeof hand->offsets);
  hand->number_validity = 0x0D;
  hand->text_validity = 0x0B;
  hand->batch_buffers[0] = NULL;
  hand->number_buffers[0] = &hand->number_validity;
  hand->number_buffers[1] = hand->numbers;
  hand->text_buffers[0] = &hand->text_validity;
  hand->text_buffers[1] = hand->offsets;
  hand->text_buffers[2] = "abbdddd";
  hand->number = (struct ArrowArray){
      .length = 4, .null_count = 1, .n_buffers = 2, .buffers = hand->number_buffers, .release = release_nothing};
  hand->text = (struct ArrowArray){
      .length = 4, .null_count = -1, .n_buffers = 3, .buffers = hand->text_buffers, .release = release_nothing};
  hand->children[0] = &hand->number;
  hand->children[1] = &hand->text;
  hand->batch = (struct ArrowArray){.length = 4,
                                    .n_buffers = 1,
                                    .buffers = hand->batch_buffers,
                                    .n_children = 2,
                                    .children = hand->children,
                                    .release = release_nothing};
}

static void expect(struct hand *hand, uint64_t rows, const int64_t *numbers, const char *const *texts) {
  struct dray_view view;
  assert_int_equal(dray_view_init(&view, &hand->schema, &hand->batch, NULL), DRAY_OK);
  dray_schema_release(&hand->schema); // names are the view's own
  assert_int_equal(view.row_count, rows);
  assert_int_equal(dray_view_find(&view, dray_str_of("text")), 1);
  assert_int_equal(dray_view_find(&view, dray_str_of("other")), -1);
  for (uint64_t row = 0; row < rows; row++) {
    assert_int_equal(dray_column_is_null(&view.columns[0], row), numbers[row] == 0);
    if (numbers[row] != 0) assert_true(dray_column_int64(&view.columns[0], row) == numbers[row]);
    assert_int_equal(dray_column_is_null(&view.columns[1], row), texts[row] == NULL);
    if (texts[row] != NULL) assert_true(dray_str_is(dray_column_bytes(&view.columns[1], row), texts[row]));
  }
  dray_view_free(&view);
}

static void test_view_reads_a_batch(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  expect(&hand, 4, (const int64_t[]){10, 0, 30, 40}, (const char *const[]){"a", "bb", NULL, "dddd"});
}

static void test_view_adds_the_offsets_of_batch_and_column(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  hand.batch.offset = 1;
  hand.batch.length = 2;
  hand.text.offset = 1; // column and batch offset add up; the other column has its own
  hand.text.length = 3;
  expect(&hand, 2, (const int64_t[]){0, 30}, (const char *const[]){NULL, "dddd"});
}

static void test_view_null_count_zero_means_no_nulls_whatever_the_bitmap(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  hand.number.null_count = 0;
  expect(&hand, 4, (const int64_t[]){10, 20, 30, 40}, (const char *const[]){"a", "bb", NULL, "dddd"});
}

static void test_view_of_no_rows_needs_no_buffers(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  hand.batch.length = hand.number.length = hand.text.length = 0;
  hand.number.null_count = hand.text.null_count = 0;
  hand.number_buffers[0] = hand.number_buffers[1] = NULL;
  hand.text_buffers[0] = hand.text_buffers[1] = hand.text_buffers[2] = NULL;
  expect(&hand, 0, NULL, NULL);
}

static void test_view_all_empty_strings_need_no_bytes(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  memset(hand.offsets, 0, sizeof hand.offsets);
  hand.text_buffers[2] = NULL;
  expect(&hand, 4, (const int64_t[]){10, 0, 30, 40}, (const char *const[]){"", "", NULL, ""});
}

struct damage {
  const char *what;
  void (*do_it)(struct hand *hand);
  int32_t code;
};
static void release_number(struct hand *hand) {
  hand->number.release = NULL;
}
static void too_few_rows(struct hand *hand) {
  hand->number.length = 3;
}
static void negative_length(struct hand *hand) {
  hand->batch.length = -1;
}
static void negative_offset(struct hand *hand) {
  hand->text.offset = -1;
}
static void offset_beyond(struct hand *hand) {
  hand->batch.offset = 1;
}
static void huge_offset(struct hand *hand) {
  hand->number.offset = INT64_MAX;
}
static void no_numbers(struct hand *hand) {
  hand->number_buffers[1] = NULL;
}
static void buffer_count(struct hand *hand) {
  hand->text.n_buffers = 2;
}
static void no_buffers(struct hand *hand) {
  hand->text.buffers = NULL;
}
static void child_missing(struct hand *hand) {
  hand->batch.n_children = 1;
}
static void null_child(struct hand *hand) {
  hand->children[1] = NULL;
}
static void no_children(struct hand *hand) {
  hand->batch.children = NULL;
}
static void nulls_without_bitmap(struct hand *hand) {
  hand->number_buffers[0] = NULL;
}
static void null_count_too_large(struct hand *hand) {
  hand->number.null_count = 5;
}
static void null_count_negative(struct hand *hand) {
  hand->number.null_count = -2;
}
static void offsets_fall(struct hand *hand) {
  hand->offsets[2] = 0;
}
static void offsets_negative(struct hand *hand) {
  hand->offsets[0] = -1;
}
static void bytes_missing(struct hand *hand) {
  hand->text_buffers[2] = NULL;
}
static void misaligned(struct hand *hand) {
  hand->number_buffers[1] = (const char *)hand->numbers + 1;
}
static void offsets_misaligned(struct hand *hand) {
  hand->text_buffers[1] = (const char *)hand->offsets + 2;
}
static void null_row(struct hand *hand) {
  static const uint8_t validity = 0x0E;
  hand->batch_buffers[0] = &validity;
  hand->batch.null_count = -1;
}
static void not_a_struct(struct hand *hand) {
  hand->schema.format = "l";
}
static void foreign_column(struct hand *hand) {
  hand->schema.children[0]->format = "i";
}
static void schema_released(struct hand *hand) {
  dray_schema_release(&hand->schema);
}

static const struct damage damages[] = {
    {"released column", release_number, DRAY_E_PLUGIN_CONTRACT},
    {"column shorter than its batch", too_few_rows, DRAY_E_PLUGIN_CONTRACT},
    {"negative length", negative_length, DRAY_E_PLUGIN_CONTRACT},
    {"negative offset", negative_offset, DRAY_E_PLUGIN_CONTRACT},
    {"offset beyond the column", offset_beyond, DRAY_E_PLUGIN_CONTRACT},
    {"offset that overflows", huge_offset, DRAY_E_PLUGIN_CONTRACT},
    {"no values", no_numbers, DRAY_E_PLUGIN_CONTRACT},
    {"wrong buffer count", buffer_count, DRAY_E_PLUGIN_CONTRACT},
    {"no buffers", no_buffers, DRAY_E_PLUGIN_CONTRACT},
    {"column missing", child_missing, DRAY_E_PLUGIN_CONTRACT},
    {"NULL column", null_child, DRAY_E_PLUGIN_CONTRACT},
    {"NULL columns", no_children, DRAY_E_PLUGIN_CONTRACT},
    {"nulls without a bitmap", nulls_without_bitmap, DRAY_E_PLUGIN_CONTRACT},
    {"more nulls than rows", null_count_too_large, DRAY_E_PLUGIN_CONTRACT},
    {"null count -2", null_count_negative, DRAY_E_PLUGIN_CONTRACT},
    {"offsets fall", offsets_fall, DRAY_E_PLUGIN_CONTRACT},
    {"negative text offset", offsets_negative, DRAY_E_PLUGIN_CONTRACT},
    {"bytes missing", bytes_missing, DRAY_E_PLUGIN_CONTRACT},
    {"misaligned values", misaligned, DRAY_E_PLUGIN_CONTRACT},
    {"misaligned offsets", offsets_misaligned, DRAY_E_PLUGIN_CONTRACT},
    {"a row that is null", null_row, DRAY_E_PLUGIN_CONTRACT},
    {"not a struct", not_a_struct, DRAY_E_SCHEMA_TYPE},
    {"foreign column", foreign_column, DRAY_E_SCHEMA_TYPE},
    {"released schema", schema_released, DRAY_E_PLUGIN_CONTRACT},
};

static void test_view_refuses_malformed_arrays(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
    struct hand hand;
    struct dray_view view = {0, 99, NULL, -1};
    struct dray_error error;
    dray_error_init(&error);
    lay_out(&hand);
    damages[i].do_it(&hand);
    const int32_t code = dray_view_init(&view, &hand.schema, &hand.batch, &error);
    if (code != damages[i].code) fail_msg("%s: %d instead of %d", damages[i].what, code, damages[i].code);
    assert_int_equal(view.column_count, 99); // written only on success
    assert_true(error.text[0] != '\0');
    dray_schema_release(&hand.schema);
  }
}

static void test_offsets_are_compared_wherever_they_stand(void **state) {
  (void)state;
  char bytes[70 * sizeof(int32_t) + 1];
  for (uint64_t count = 0; count < 70; count++) {
    for (uint64_t fall = 0; fall <= count; fall++) { // 0: nowhere
      for (size_t shift = 0; shift < 2; shift++) {
        int32_t last = INT32_MIN;
        for (uint64_t i = 0; i <= count; i++) {
          const int32_t offset = fall > 0 && i == fall ? last - 1 : last + (int32_t)(i % 3);
          memcpy(bytes + shift + i * sizeof offset, &offset, sizeof offset);
          last = i + 1 == fall ? 0 : offset;
          if (i + 1 == fall) memcpy(bytes + shift + i * sizeof last, &last, sizeof last);
        }
        assert_int_equal(dray_offsets_rise(bytes + shift, count), fall == 0);
      }
    }
  }
}

static int32_t view_once(void *ctx) {
  struct hand *hand = ctx;
  struct dray_view view;
  DRAY_TRY(dray_view_init(&view, &hand->schema, &hand->batch, NULL));
  dray_view_free(&view);
  return DRAY_OK;
}

static void test_view_survives_every_failed_allocation(void **state) {
  (void)state;
  struct hand hand;
  lay_out(&hand);
  assert_int_equal(torture_every(view_once, &hand), 1);
  dray_schema_release(&hand.schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_view_reads_a_batch),
      cmocka_unit_test(test_view_adds_the_offsets_of_batch_and_column),
      cmocka_unit_test(test_view_null_count_zero_means_no_nulls_whatever_the_bitmap),
      cmocka_unit_test(test_view_of_no_rows_needs_no_buffers),
      cmocka_unit_test(test_view_all_empty_strings_need_no_bytes),
      cmocka_unit_test(test_view_refuses_malformed_arrays),
      cmocka_unit_test(test_offsets_are_compared_wherever_they_stand),
      cmocka_unit_test(test_view_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
