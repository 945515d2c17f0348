// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Payloads: what is kept of a row, and what of the row comes back.
#include <stdlib.h>
#include <string.h>

#include "torture.h"

#include "diff/payload.h"
#include "world.h"

static struct world world;
static struct dr_slots slots;
static struct dr_payload payload;
static struct dray_buffer row, kept, back;

static int begin(void **state) {
  (void)state;
  dray_buffer_init(&row, 1u << 20);
  dray_buffer_init(&kept, 1u << 20);
  dray_buffer_init(&back, 1u << 20);
  return 0;
}

static int end(void **state) {
  (void)state;
  dr_payload_free(&payload);
  dr_slots_free(&slots);
  dray_buffer_free(&row);
  dray_buffer_free(&kept);
  dray_buffer_free(&back);
  world_remove(&world);
  return 0;
}

// A payload of `text`, a row under `columns`; its hash's high half in *out_high.
static void keep(int what, const char *columns, const char *key, const char *text, uint64_t *out_high) {
  world_make(&world, columns, key);
  const char *const rows[] = {text};
  struct dr_batch *batch = world_batch(&world, rows, 1);
  struct dr_hash128 hash;
  struct dr_encoder keys;
  uint8_t nulls[1];
  uint64_t null_count;
  uint32_t key_columns[8];
  assert_ok(&world, dr_slots_init(&slots, world.schema, 7, &world.error));
  assert_ok(&world, dr_payload_init(&payload, what, &slots, world.key, world.key_count, 7, &world.error));
  for (size_t i = 0; i < world.key_count; i++) {
    key_columns[i] = (uint32_t)dr_schema_find(world.schema, dray_str_of(world.key[i]));
  }
  assert_ok(&world, dr_encoder_init(&keys, world.schema, key_columns, world.key_count, 7, &world.error));
  assert_ok(&world, dr_key_hashes(&keys, batch, &hash, nulls, &null_count, &world.error));
  assert_ok(&world, dr_encode_row(&slots.encoder, batch, 0, &row, &world.error));
  assert_ok(&world, dr_payload_put(&payload, dray_buffer_view(&row), &kept, &world.error));
  *out_high = hash.high;
  dr_encoder_free(&keys);
  dr_batch_free(batch);
}

// What of the row comes back, as text: "?" where nothing does.
static const char *given_back(uint64_t high) {
  static char text[512];
  struct dray_str slices[16];
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  const size_t count = dr_slots_count(&slots);
  struct dray_buffer out;
  int absent[16] = {0};
  assert_ok(&world, dr_payload_row(&payload, high, dray_buffer_view(&kept), &back, &world.error));
  assert_ok(&world, dr_decode_slices(dray_buffer_view(&back), count, slices, &world.error));
  assert_ok(&world, dray_builder_new(&world.schema->arrow, 1, 1u << 20, &builder, &world.error));
  for (size_t i = 0; i < count; i++) {
    const uint32_t column = slots.encoder.columns[i];
    absent[column] = dr_slice_state(slices[i]) == DR_SLOT_ABSENT;
    if (absent[column]) {
      assert_ok(&world, dray_builder_null(builder, column, &world.error));
    } else {
      assert_ok(&world, dr_decode_value(slices[i], builder, column, &world.error));
    }
  }
  assert_ok(&world, dray_builder_end_row(builder, NULL, &world.error));
  assert_ok(&world, dray_builder_finish(builder, &array, &world.error));
  assert_ok(&world, dr_batch_wrap(world.schema, &array, &batch, &world.error));
  dray_builder_free(builder);
  dray_buffer_init(&out, sizeof text - 1);
  for (size_t i = 0; i < count; i++) {
    const struct dray_column_view *column = &batch->view.columns[i];
    if (i > 0) assert_int_equal(dray_buffer_append_char(&out, ',', NULL), DRAY_OK);
    if (absent[i]) {
      assert_int_equal(dray_buffer_append_char(&out, '?', NULL), DRAY_OK);
    } else if (dray_column_is_null(column, 0)) {
      assert_int_equal(dray_buffer_append_str(&out, "\\N", NULL), DRAY_OK);
    } else {
      assert_int_equal(dray_column_text(column, 0, &out, NULL), DRAY_OK);
    }
  }
  (void)snprintf(text, sizeof text, "%s", out.data);
  dray_buffer_free(&out);
  dr_batch_free(batch);
  return text;
}

static const char *const columns = "id int64; name string; day date; place string; qty int64";

static void test_whole_rows_come_back_whole(void **state) {
  (void)state;
  uint64_t high;
  keep(DR_KEEP_ROW, columns, "id", "7,ann,2024-02-29,\\N,5", &high);
  assert_int_equal(kept.len, row.len);
  assert_string_equal(given_back(high), "7,ann,2024-02-29,\\N,5");
}

static void test_nothing_is_kept_of_a_row_whose_hash_is_its_key(void **state) {
  (void)state;
  uint64_t high;
  keep(DR_KEEP_KEY, columns, "id", "-7,ann,2024-02-29,\\N,5", &high);
  assert_true(dr_payload_is_nothing(&payload));
  assert_int_equal(kept.len, 0);
  assert_string_equal(given_back(high), "-7,?,?,?,?");
}

static void test_every_type_of_mixed_key_comes_back(void **state) {
  (void)state;
  static const char *const types[][2] = {{"int64", "-9223372036854775808"},
                                         {"int64", "9223372036854775807"},
                                         {"date", "0001-01-01"},
                                         {"timestamp", "1969-12-31T23:59:59.999999Z"},
                                         {"bool", "true"},
                                         {"bool", "false"}};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    char defs[64], text[64];
    uint64_t high;
    (void)snprintf(defs, sizeof defs, "a string; k %s; z string", types[i][0]);
    (void)snprintf(text, sizeof text, "x,%s,y", types[i][1]);
    keep(i % 2 == 0 ? DR_KEEP_KEY : DR_KEEP_COLUMNS, defs, "k", text, &high);
    (void)snprintf(text, sizeof text, "?,%s,?", types[i][1]);
    assert_string_equal(given_back(high), text);
    (void)end(state);
    (void)begin(state);
  }
  uint64_t high;
  keep(DR_KEEP_KEY, columns, "id", "1,a,2024-01-01,b,2", &high); // for end()
}

static void test_keys_of_several_columns_come_back(void **state) {
  (void)state;
  uint64_t high;
  keep(DR_KEEP_KEY, columns, "qty,name", "7,ann,2024-02-29,\\N,5", &high); // in any order
  assert_int_equal(kept.len, 5 + 9);
  assert_string_equal(given_back(high), "?,ann,?,?,5");
}

static void test_columns_are_kept_as_hashes_beside_the_key(void **state) {
  (void)state;
  uint64_t high;
  uint32_t hashes[5];
  struct dray_str slices[5], key;
  keep(DR_KEEP_COLUMNS, columns, "name", "7,ann,2024-02-29,\\N,5", &high);
  assert_int_equal(kept.len, 5 * 4 + 5);
  assert_ok(&world, dr_payload_columns(&payload, dray_buffer_view(&kept), hashes, &key, &world.error));
  assert_ok(&world, dr_decode_slices(dray_buffer_view(&row), 5, slices, &world.error));
  for (size_t i = 0; i < 5; i++) {
    assert_int_equal(hashes[i], dr_payload_column_hash(slices[i], 7));
    assert_int_not_equal(hashes[i], 0);
    assert_int_not_equal(hashes[i], dr_payload_column_hash(slices[i], 8)); // the secret is in it
  }
  assert_true(dray_str_equal(key, slices[2])); // day, id, name
  assert_string_equal(given_back(high), "?,ann,?,?,?");
}

static void test_absent_value_has_no_hash(void **state) {
  (void)state;
  uint64_t high;
  uint32_t hashes[5];
  struct dray_str key;
  keep(DR_KEEP_COLUMNS, columns, "id", "7,ann,2024-02-29,\\N,5", &high);
  const struct dray_str absent = dr_slice_of_absent;
  assert_int_equal(dr_payload_column_hash(absent, 7), 0);
  dray_buffer_clear(&kept);
  static const char partial[] = "\x00\x12\x07\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"; // day, id, name, place, qty
  assert_ok(&world, dr_payload_put(&payload, dray_str_make(partial, 13), &kept, &world.error));
  assert_ok(&world, dr_payload_columns(&payload, dray_buffer_view(&kept), hashes, &key, &world.error));
  assert_true(hashes[0] == 0 && hashes[1] != 0 && hashes[2] != 0 && hashes[3] == 0 && hashes[4] == 0);
  assert_string_equal(given_back(high), "7,?,?,?,?");
}

static void test_bytes_that_are_no_payload_are_refused(void **state) {
  (void)state;
  uint64_t high;
  uint32_t hashes[5];
  struct dray_str key;
  struct {
    int keep;
    const char *key;
  } const kinds[] = {{DR_KEEP_KEY, "id"}, {DR_KEEP_KEY, "name"}, {DR_KEEP_COLUMNS, "id"}, {DR_KEEP_COLUMNS, "name"}};
  for (size_t i = 0; i < 4; i++) {
    keep(kinds[i].keep, columns, kinds[i].key, "7,ann,2024-02-29,\\N,5", &high);
    assert_int_equal(dray_buffer_append_char(&kept, 'x', NULL), DRAY_OK);
    assert_int_equal(dr_payload_row(&payload, high, dray_buffer_view(&kept), &back, &world.error),
                     DRAY_E_MIRROR_CORRUPT);
    if (kept.len > 2) { // and cut
      const struct dray_str cut = dray_str_make(kept.data, kept.len - 2);
      assert_int_equal(dr_payload_row(&payload, high, cut, &back, &world.error), DRAY_E_MIRROR_CORRUPT);
    }
    const int32_t rc = dr_payload_columns(&payload, dray_str_make(kept.data, 7), hashes, &key, &world.error);
    assert_int_equal(rc, DRAY_E_MIRROR_CORRUPT);
    (void)end(state);
    (void)begin(state);
  }
  keep(DR_KEEP_KEY, "k date; v string", "k", "2024-01-01,x", &high);
  assert_int_equal(dr_payload_row(&payload, high ^ 1, dray_str_make(NULL, 0), &back, &world.error),
                   DRAY_E_MIRROR_CORRUPT); // a hash that no date has
}

static void test_key_that_is_not_in_the_schema_is_refused(void **state) {
  (void)state;
  uint64_t high;
  const char *const key[] = {"id", "nobody"};
  struct dr_payload other;
  keep(DR_KEEP_KEY, columns, "id", "7,ann,2024-02-29,\\N,5", &high);
  assert_int_equal(dr_payload_init(&other, DR_KEEP_KEY, &slots, key, 2, 7, &world.error), DRAY_E_SCHEMA_KEY);
}

static int32_t all_of_it(void *ctx) {
  const int what = *(int *)ctx;
  struct dr_payload fresh;
  struct dray_buffer out, again;
  dray_buffer_init(&out, 1u << 20);
  dray_buffer_init(&again, 1u << 20);
  int32_t rc = dr_payload_init(&fresh, what, &slots, world.key, world.key_count, 7, &world.error);
  if (rc != DRAY_OK) return rc;
  rc = dr_payload_put(&fresh, dray_buffer_view(&row), &out, &world.error);
  if (rc == DRAY_OK) {
    uint64_t high = dr_mix_key(7, 7);
    rc = dr_payload_row(&fresh, high, dray_buffer_view(&out), &again, &world.error);
  }
  dr_payload_free(&fresh);
  dray_buffer_free(&out);
  dray_buffer_free(&again);
  return rc;
}

static void test_failing_allocations_are_reported(void **state) {
  (void)state;
  uint64_t high;
  keep(DR_KEEP_ROW, columns, "id", "7,ann,2024-02-29,\\N,5", &high);
  for (int what = DR_KEEP_ROW; what <= DR_KEEP_KEY; what++) assert_true(torture_every(all_of_it, &what) >= 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_whole_rows_come_back_whole),
      TEST(test_nothing_is_kept_of_a_row_whose_hash_is_its_key),
      TEST(test_every_type_of_mixed_key_comes_back),
      TEST(test_keys_of_several_columns_come_back),
      TEST(test_columns_are_kept_as_hashes_beside_the_key),
      TEST(test_absent_value_has_no_hash),
      TEST(test_bytes_that_are_no_payload_are_refused),
      TEST(test_key_that_is_not_in_the_schema_is_refused),
      TEST(test_failing_allocations_are_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
