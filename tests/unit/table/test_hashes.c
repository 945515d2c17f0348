// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Row and key hashes of whole batches are those of the encoded rows, whatever the batch looks like; mixed keys are a
// bijection that disperses.
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

// ---- batches ----

#define WIDE 10
static struct dr_schema *wide_schema(void) {
  return SCHEMA_OF(COLUMN("b", BOOL), COLUMN("i", INT64), COLUMN("f", FLOAT64), DECIMAL("d", 38, 6),
                   COLUMN("s", STRING), COLUMN("z", BYTES), COLUMN("t", DATE), COLUMN("u", TIMESTAMP),
                   COLUMN("j", JSON), DECIMAL("e", 18, 2));
}

// How often values are null or absent, in tenths. Whole stretches of a column without one have loops of their own.
struct shape {
  unsigned nulls, absents;
};

static void random_cell(uint64_t *seed, size_t column, char *out, size_t room) {
  const uint64_t bits = random_bits(seed);
  const int64_t number = (int64_t)bits >> (random_bits(seed) % 64);
  char small[DRAY_FORMAT_BYTES_MAX];
  switch (column) {
  case 0:
    (void)snprintf(out, room, "%s", bits & 1 ? "true" : "false");
    return;
  case 2:
    (void)snprintf(out, room, "%.3f", (double)(number % 100000) / 8);
    return;
  case 3:
    (void)dray_format_decimal((struct dray_decimal){bits, number >> 4}, 6, small);
    break;
  case 4: // short ones mostly, some that need two bytes of length
    (void)snprintf(out, room, "%0*d", bits % 8 == 0 ? (int)(bits >> 8 & 255) + 1 : (int)(bits >> 8 & 31) + 1, 7);
    return;
  case 5:
    (void)snprintf(out, room, "%.*s", (int)(bits % 5) * 4, "AP8Q/x8AAP8Q/x8A");
    return;
  case 6:
    (void)dray_format_date((int32_t)(bits % 3652059) + DRAY_DATE_MIN, small);
    break;
  case 7:
    (void)dray_format_timestamp((int64_t)(bits % UINT64_C(315537897600000000)) + DRAY_TIMESTAMP_MIN, small);
    break;
  case 8:
    (void)snprintf(out, room, "{\"n\":%lld}", (long long)number);
    return;
  case 9:
    (void)snprintf(out, room, "%lld.%d0", (long long)(number % 1000000000000000), (int)(bits >> 60) % 10);
    return;
  default:
    (void)snprintf(out, room, "%lld", (long long)number);
    return;
  }
  (void)snprintf(out, room, "%s", small);
}

static struct dr_batch *random_batch(struct dr_schema *schema, size_t rows, struct shape shape, uint64_t seed) {
  char(*texts)[280] = calloc(rows * WIDE + 1, sizeof(*texts));
  const char **cells = calloc(rows * WIDE + 1, sizeof(*cells));
  assert_true(texts != NULL && cells != NULL);
  for (size_t i = 0; i < rows * WIDE; i++) {
    const uint64_t dice = random_bits(&seed) % 10;
    random_cell(&seed, i % WIDE, texts[i], sizeof(texts[i]));
    cells[i] = dice < shape.nulls ? NULL : dice < shape.nulls + shape.absents ? "(absent)" : texts[i];
  }
  struct dr_batch *batch = batch_of(schema, cells, rows);
  free(texts);
  free(cells);
  return batch;
}

static void release_nothing(struct ArrowArray *array) {
  array->release = NULL;
}

// Rows `from` to `from + count` of a batch as a batch over the same memory, which must outlive it.
static struct dr_batch *slice_of(const struct dr_batch *batch, uint64_t from, uint64_t count) {
  struct ArrowArray array = batch->array;
  struct dr_batch *slice = NULL;
  array.offset += (int64_t)from;
  array.length = (int64_t)count;
  array.null_count = -1;
  array.n_children = (int64_t)batch->schema->field_count;
  array.release = release_nothing;
  assert_int_equal(dr_batch_wrap(batch->schema, &array, &slice, NULL), DRAY_OK);
  for (size_t c = 0; c < batch->schema->field_count; c++) {
    for (uint64_t i = 0; i < count; i++) {
      if (dr_batch_is_absent(batch, c, from + i)) assert_int_equal(dr_batch_set_absent(slice, c, i, NULL), DRAY_OK);
    }
  }
  return slice;
}

// ---- batches against single rows ----

static int key_has_null(const struct dr_encoder *keys, const struct dr_batch *batch, uint64_t row) {
  for (size_t c = 0; c < keys->column_count; c++) {
    if (dray_column_is_null(&batch->view.columns[keys->columns[c]], row)) return 1;
  }
  return 0;
}

// Hashes of the batch as rows and as keys are those of the rows encoded one by one.
static void expect_hashes(const struct dr_encoder *encoder, const struct dr_batch *batch) {
  const size_t rows = (size_t)dr_batch_rows(batch);
  uint64_t *hashes = malloc((rows + 1) * sizeof(*hashes)), nulls = 99, expected_nulls = 0;
  struct dr_hash128 *keys = malloc((rows + 1) * sizeof(*keys));
  uint8_t *null_keys = malloc((rows + 7) / 8 + 1); // filled with rubbish: it is written whole
  struct dray_buffer out;
  assert_true(hashes != NULL && keys != NULL && null_keys != NULL);
  memset(null_keys, 0xA5, (rows + 7) / 8 + 1);
  dray_buffer_init(&out, 100000);
  assert_int_equal(dr_row_hashes(encoder, batch, hashes, NULL), DRAY_OK);
  assert_int_equal(dr_key_hashes(encoder, batch, keys, null_keys, &nulls, NULL), DRAY_OK);
  const int mixed = dr_key_is_mixed(encoder, batch->schema);
  for (uint64_t row = 0; row < rows; row++) {
    const int is_null = key_has_null(encoder, batch, row);
    dray_buffer_clear(&out);
    assert_int_equal(dr_encode_row(encoder, batch, row, &out, NULL), DRAY_OK);
    assert_int_equal(hashes[row], dr_row_hash(dray_buffer_view(&out), encoder->seed));
    assert_int_equal(null_keys[row / 8] >> (row % 8) & 1, is_null);
    expected_nulls += (uint64_t)is_null;
    if (is_null) continue;
    const struct dr_hash128 key = dr_key_hash(dray_buffer_view(&out), mixed, encoder->seed);
    assert_int_equal(keys[row].low, key.low);
    assert_int_equal(keys[row].high, key.high);
  }
  for (uint64_t row = rows; row < (rows + 7) / 8 * 8; row++) assert_int_equal(null_keys[row / 8] >> (row % 8) & 1, 0);
  assert_int_equal(null_keys[(rows + 7) / 8], 0xA5); // and nothing beyond it
  assert_int_equal(nulls, expected_nulls);
  dray_buffer_free(&out);
  free(null_keys);
  free(keys);
  free(hashes);
}

static void expect_hashes_of(const struct dr_batch *batch, const uint32_t *columns, size_t count) {
  struct dr_encoder encoder;
  assert_int_equal(dr_encoder_init(&encoder, batch->schema, columns, count, 77, NULL), DRAY_OK);
  expect_hashes(&encoder, batch);
  dr_encoder_free(&encoder);
}

static void test_hashes_of_a_batch_are_those_of_its_rows(void **state) {
  (void)state;
  static const struct shape shapes[] = {{0, 0}, {1, 0}, {0, 1}, {2, 2}, {9, 0}, {10, 0}, {0, 10}, {5, 5}};
  static const size_t sizes[] = {0, 1, 7, 8, 63, 64, 65, 200, 257};
  static const uint32_t pairs[][2] = {{1, 4}, {6, 7}, {0, 9}};
  struct dr_schema *schema = wide_schema();
  for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
      struct dr_batch *batch = random_batch(schema, sizes[k], shapes[i], i * 100 + k);
      expect_hashes_of(batch, NULL, 0);
      for (uint32_t c = 0; c < WIDE; c++) expect_hashes_of(batch, &c, 1);
      for (size_t p = 0; p < 3; p++) expect_hashes_of(batch, pairs[p], 2);
      dr_batch_free(batch);
    }
  }
  dr_schema_unref(schema);
}

static void test_slices_hash_as_the_rows_they_are_of(void **state) {
  (void)state;
  enum { ROWS = 210 };
  struct dr_schema *schema = wide_schema();
  for (unsigned nulls = 0; nulls < 4; nulls++) {
    struct dr_batch *whole = random_batch(schema, ROWS, (struct shape){nulls, nulls}, nulls + 50);
    struct dr_encoder encoder;
    uint64_t expected[ROWS], got[ROWS];
    assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, 9, NULL), DRAY_OK);
    assert_int_equal(dr_row_hashes(&encoder, whole, expected, NULL), DRAY_OK);
    for (uint64_t from = 0; from < ROWS; from += 1 + from / 3) {
      struct dr_batch *slice = slice_of(whole, from, (ROWS - from) * 3 / 4);
      expect_hashes(&encoder, slice);
      for (uint32_t c = 0; c < WIDE; c++) expect_hashes_of(slice, &c, 1);
      assert_int_equal(dr_row_hashes(&encoder, slice, got, NULL), DRAY_OK);
      assert_memory_equal(got, expected + from, dr_batch_rows(slice) * sizeof(*got));
      dr_batch_free(slice);
    }
    dr_encoder_free(&encoder);
    dr_batch_free(whole);
  }
  dr_schema_unref(schema);
}

// Rows of all sizes around what hashes keep in memory at a time: none, some and most of them do not fit.
static void test_rows_longer_than_any_scratch_hash_as_others_do(void **state) {
  (void)state;
  static const size_t lengths[] = {3, 100, 1000, 65000, 70000, 5, 0, 300000, 7, 65536, 65430, 2000000, 12};
  enum { ROWS = sizeof(lengths) / sizeof(lengths[0]) };
  struct dr_schema *schema = SCHEMA_OF(COLUMN("a", INT64), COLUMN("x", STRING), COLUMN("y", BYTES), COLUMN("z", BOOL));
  const char *cells[ROWS * 4];
  char *texts[ROWS];
  for (size_t i = 0; i < ROWS; i++) {
    texts[i] = calloc(1, lengths[i] + 1);
    assert_non_null(texts[i]);
    for (size_t k = 0; k < lengths[i]; k++) texts[i][k] = (char)('a' + (k * 7 + i) % 26);
    cells[4 * i] = i % 5 == 4 ? NULL : "12345";
    cells[4 * i + 1] = texts[i];
    cells[4 * i + 2] = i % 4 == 3 ? "(absent)" : "AP8=";
    cells[4 * i + 3] = "true";
  }
  struct dr_batch *batch = batch_of(schema, cells, ROWS);
  for (uint32_t seed = 0; seed < 2; seed++) {
    struct dr_encoder encoder;
    assert_int_equal(dr_encoder_init(&encoder, schema, NULL, 0, seed, NULL), DRAY_OK);
    uint64_t hashes[ROWS], nulls;
    struct dr_hash128 keys[ROWS];
    uint8_t null_keys[2];
    struct dray_buffer out;
    dray_buffer_init(&out, 3000000);
    assert_int_equal(dr_row_hashes(&encoder, batch, hashes, NULL), DRAY_OK);
    assert_int_equal(dr_key_hashes(&encoder, batch, keys, null_keys, &nulls, NULL), DRAY_OK);
    for (uint64_t row = 0; row < ROWS; row++) {
      dray_buffer_clear(&out);
      assert_int_equal(dr_encode_row(&encoder, batch, row, &out, NULL), DRAY_OK);
      assert_int_equal(hashes[row], dr_row_hash(dray_buffer_view(&out), seed));
      const struct dr_hash128 key = dr_key_hash(dray_buffer_view(&out), 0, seed);
      assert_true(key.low == keys[row].low && key.high == keys[row].high);
    }
    dray_buffer_free(&out);
    dr_encoder_free(&encoder);
  }
  dr_batch_free(batch);
  for (size_t i = 0; i < ROWS; i++) free(texts[i]);
  dr_schema_unref(schema);
}

// ---- mixed keys ----

static void test_one_column_of_whole_numbers_is_mixed_and_nothing_else(void **state) {
  (void)state;
  static const int mixed[WIDE] = {1, 1, 0, 0, 0, 0, 1, 1, 0, 0};
  struct dr_schema *schema = wide_schema();
  struct dr_encoder keys;
  for (uint32_t c = 0; c < WIDE; c++) {
    assert_int_equal(dr_encoder_init(&keys, schema, &c, 1, 0, NULL), DRAY_OK);
    assert_int_equal(dr_key_is_mixed(&keys, schema) != 0, mixed[c]);
    dr_encoder_free(&keys);
  }
  assert_int_equal(dr_encoder_init(&keys, schema, (const uint32_t[]){1, 6}, 2, 0, NULL), DRAY_OK);
  assert_false(dr_key_is_mixed(&keys, schema));
  dr_encoder_free(&keys);
  dr_schema_unref(schema);
}

static void test_mixing_is_undone_exactly(void **state) {
  (void)state;
  static const uint64_t edges[] = {0, 1, 2, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, UINT32_MAX, 1ULL << 32};
  uint64_t seed = 5;
  for (int i = 0; i < 100000; i++) {
    const uint64_t value = i < 8 ? edges[i] : random_bits(&seed) >> (i % 64), secret = i % 3 ? random_bits(&seed) : 0;
    assert_int_equal(dr_unmix_key(dr_mix_key(value, secret), secret), value);
    assert_int_equal(dr_mix_key(dr_unmix_key(value, secret), secret), value);
  }
}

static void test_a_mixed_key_encodes_as_the_row_it_came_from(void **state) {
  (void)state;
  static const uint32_t columns[] = {0, 1, 6, 7};
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = random_batch(schema, 200, (struct shape){0, 0}, 3);
  for (size_t c = 0; c < 4; c++) {
    struct dr_encoder keys;
    struct dr_hash128 hashes[200];
    uint8_t null_keys[25];
    uint64_t nulls;
    struct dray_buffer expected, got;
    dray_buffer_init(&expected, 100);
    dray_buffer_init(&got, 100);
    assert_int_equal(dr_encoder_init(&keys, schema, columns + c, 1, 42, NULL), DRAY_OK);
    assert_int_equal(dr_key_hashes(&keys, batch, hashes, null_keys, &nulls, NULL), DRAY_OK);
    for (uint64_t row = 0; row < 200; row++) {
      dray_buffer_clear(&expected);
      dray_buffer_clear(&got);
      assert_int_equal(dr_encode_row(&keys, batch, row, &expected, NULL), DRAY_OK);
      const struct dray_type type = schema->fields[columns[c]].type;
      assert_int_equal(hashes[row].low, 0);
      assert_int_equal(dr_encode_mixed_key(hashes[row].high, 42, type, &got, NULL), DRAY_OK);
      assert_int_equal(got.len, expected.len);
      assert_memory_equal(got.data, expected.data, got.len);
    }
    dray_buffer_free(&got);
    dray_buffer_free(&expected);
    dr_encoder_free(&keys);
  }
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

static void test_a_mixed_key_that_no_value_has_is_corrupt(void **state) {
  (void)state;
  static const struct {
    int32_t type;
    int64_t value;
    int32_t code;
  } cases[] = {{DRAY_TYPE_BOOL, 1, DRAY_OK},
               {DRAY_TYPE_BOOL, 2, DRAY_E_MIRROR_CORRUPT},
               {DRAY_TYPE_BOOL, -1, DRAY_E_MIRROR_CORRUPT},
               {DRAY_TYPE_DATE, INT32_MIN, DRAY_OK},
               {DRAY_TYPE_DATE, (int64_t)INT32_MIN - 1, DRAY_E_MIRROR_CORRUPT},
               {DRAY_TYPE_DATE, (int64_t)INT32_MAX + 1, DRAY_E_MIRROR_CORRUPT},
               {DRAY_TYPE_INT64, INT64_MIN, DRAY_OK},
               {DRAY_TYPE_TIMESTAMP, INT64_MAX, DRAY_OK}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_buffer out;
    dray_buffer_init(&out, 100);
    const uint64_t high = dr_mix_key((uint64_t)cases[i].value, 8);
    const struct dray_type type = {cases[i].type, 0, 0};
    assert_int_equal(dr_encode_mixed_key(high, 8, type, &out, NULL), cases[i].code);
    assert_true((out.len > 0) == (cases[i].code == DRAY_OK));
    dray_buffer_free(&out);
  }
}

// Entries are found by the top bits of their hash, so keys as they occur must spread over them: with 4096 buckets and
// 16 keys in each on average, chi-squared has mean 4095 and deviation 90.5, and six deviations are no accident.
static double chi_squared_of_top_bits(uint64_t first, uint64_t step, uint64_t seed) {
  enum { BITS = 12, BUCKETS = 1 << BITS, KEYS = BUCKETS * 16 };
  static uint32_t counts[BUCKETS];
  double sum = 0;
  memset(counts, 0, sizeof(counts));
  for (uint64_t i = 0; i < KEYS; i++) counts[dr_mix_key(first + i * step, seed) >> (64 - BITS)]++;
  for (size_t i = 0; i < BUCKETS; i++) sum += ((double)counts[i] - 16) * ((double)counts[i] - 16) / 16;
  return (sum - (BUCKETS - 1)) / 90.5;
}

static void test_top_bits_of_mixed_keys_are_spread_evenly(void **state) {
  (void)state;
  static const uint64_t firsts[] = {0, 1, (uint64_t)-32768, (uint64_t)-65536, INT64_MAX, 1700000000000000, 1ULL << 62};
  static const uint64_t seeds[] = {0, 1, 2, 0x5DEECE66D, UINT64_MAX};
  for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++) {
    for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
      for (unsigned shift = 0; shift <= 48; shift++) { // strides of all powers of two that do not overlap
        const double deviations = chi_squared_of_top_bits(firsts[f], 1ULL << shift, seeds[s]);
        if (deviations > 6 || deviations < -6) {
          fail_msg("keys from %lld in steps of 2^%u with seed %llu: %.1f deviations", (long long)firsts[f], shift,
                   (unsigned long long)seeds[s], deviations);
        }
      }
      static const uint64_t steps[] = {3, 10, 100, 1000, 86400, 1000000, 3600000000, 86400000000, (uint64_t)-1};
      for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
        const double deviations = chi_squared_of_top_bits(firsts[f], steps[k], seeds[s]);
        if (deviations > 6 || deviations < -6) {
          fail_msg("keys from %lld in steps of %llu with seed %llu: %.1f deviations", (long long)firsts[f],
                   (unsigned long long)steps[k], (unsigned long long)seeds[s], deviations);
        }
      }
    }
  }
}

// Every bit of a key moves every bit of its hash about every second time.
static void test_every_bit_of_a_key_moves_every_bit_of_its_hash(void **state) {
  (void)state;
  enum { ROUNDS = 4096 };
  static uint32_t moved[64][64];
  uint64_t seed = 17;
  for (int i = 0; i < ROUNDS; i++) {
    const uint64_t value = i % 2 ? random_bits(&seed) : (uint64_t)i, hash = dr_mix_key(value, 3);
    for (unsigned bit = 0; bit < 64; bit++) {
      const uint64_t other = hash ^ dr_mix_key(value ^ 1ULL << bit, 3);
      for (unsigned to = 0; to < 64; to++) moved[bit][to] += (uint32_t)(other >> to & 1);
    }
  }
  for (unsigned bit = 0; bit < 64; bit++) {
    for (unsigned to = 0; to < 64; to++) assert_in_range(moved[bit][to], ROUNDS * 2 / 5, ROUNDS * 3 / 5);
  }
}

static void test_seeds_order_keys_in_other_ways(void **state) {
  (void)state;
  unsigned same_order = 0;
  for (uint64_t i = 0; i < 1000; i++) {
    const int first = dr_mix_key(i, 1) < dr_mix_key(i + 1, 1), second = dr_mix_key(i, 2) < dr_mix_key(i + 1, 2);
    same_order += first == second;
  }
  assert_in_range(same_order, 420, 580);
}

// ---- memory ----

static int32_t hash_once(void *ctx) {
  const struct dr_batch *batch = ctx;
  struct dr_encoder encoder = {0, 0, NULL}, keys = {0, 0, NULL};
  struct dr_hash128 key_hashes[20];
  uint64_t row_hashes[20], nulls;
  uint8_t null_keys[3];
  struct dray_buffer out;
  dray_buffer_init(&out, 100);
  int32_t code = dr_encoder_init(&encoder, batch->schema, NULL, 0, 0, NULL);
  if (code == DRAY_OK) code = dr_encoder_init(&keys, batch->schema, (const uint32_t[]){4, 1}, 2, 0, NULL);
  if (code == DRAY_OK) code = dr_row_hashes(&encoder, batch, row_hashes, NULL);
  if (code == DRAY_OK) code = dr_key_hashes(&keys, batch, key_hashes, null_keys, &nulls, NULL);
  if (code == DRAY_OK) code = dr_encode_mixed_key(0, 0, (struct dray_type){DRAY_TYPE_INT64, 0, 0}, &out, NULL);
  dr_encoder_free(&encoder);
  dr_encoder_free(&keys);
  dray_buffer_free(&out);
  return code;
}

static void test_hashing_survives_every_failed_allocation(void **state) {
  (void)state;
  struct dr_schema *schema = wide_schema();
  struct dr_batch *batch = random_batch(schema, 20, (struct shape){1, 1}, 13);
  assert_true(torture_every(hash_once, batch) >= 7);
  dr_batch_free(batch);
  dr_schema_unref(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hashes_of_a_batch_are_those_of_its_rows),
      cmocka_unit_test(test_slices_hash_as_the_rows_they_are_of),
      cmocka_unit_test(test_rows_longer_than_any_scratch_hash_as_others_do),
      cmocka_unit_test(test_one_column_of_whole_numbers_is_mixed_and_nothing_else),
      cmocka_unit_test(test_mixing_is_undone_exactly),
      cmocka_unit_test(test_a_mixed_key_encodes_as_the_row_it_came_from),
      cmocka_unit_test(test_a_mixed_key_that_no_value_has_is_corrupt),
      cmocka_unit_test(test_top_bits_of_mixed_keys_are_spread_evenly),
      cmocka_unit_test(test_every_bit_of_a_key_moves_every_bit_of_its_hash),
      cmocka_unit_test(test_seeds_order_keys_in_other_ways),
      cmocka_unit_test(test_hashing_survives_every_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
