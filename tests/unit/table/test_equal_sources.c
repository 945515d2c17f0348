// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The property on which everything else rests: equal rows have equal encodings and hashes, whatever types, layouts,
// batches and column orders they come in, and rows that differ have others. Random tables are written down as Arrow
// arrays of random layouts, taken through the border, and compared with an encoder of the page ENCODING.md that is
// written here once more, from the values themselves.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "foreign.h"
#include "table/encode.h"

#define CASES 2500
#define COLUMNS_MAX 6

struct table {
  size_t rows, column_count;
  struct logical_column columns[COLUMNS_MAX]; // in the order of their names
  size_t key_count;
  size_t key[COLUMNS_MAX]; // in the same order
  uint64_t seed;           // of hashes
};

// ---- the page, in a few lines ----

struct bytes {
  size_t len;
  uint8_t data[COLUMNS_MAX * 200];
};

static void put_little(struct bytes *out, __int128 value, size_t count) {
  for (size_t i = 0; i < count; i++) out->data[out->len++] = (uint8_t)(value >> (8 * i));
}

static void put_length(struct bytes *out, size_t len) {
  while (len >= 128) {
    put_little(out, (__int128)(len % 128 + 128), 1);
    len /= 128;
  }
  put_little(out, (__int128)len, 1);
}

static void put_digits(struct bytes *out, __int128 digits, int32_t scale) {
  size_t count = 0;
  while (scale > 0 && digits % 10 == 0) {
    digits /= 10;
    scale--;
  }
  if (digits != 0) { // from -2^(8n-1) to 2^(8n-1) - 1 in n bytes
    for (count = 1; count < 16; count++) {
      const __int128 end = (__int128)1 << (8 * count - 1);
      if (digits >= -end && digits < end) break;
    }
  }
  put_little(out, scale, 1);
  put_little(out, (__int128)count, 1);
  put_little(out, digits, count);
}

static void put_text(struct bytes *out, const char *text, size_t len) {
  put_length(out, len);
  memcpy(out->data + out->len, text, len);
  out->len += len;
}

static void put_json(struct bytes *out, const struct logical *value) {
  char text[100] = "[";
  for (int64_t i = 0; i < value->integer; i++) {
    (void)snprintf(text + strlen(text), 10, i > 0 ? ",%d" : "%d", value->items[i]);
  }
  text[strlen(text)] = ']'; // the rest is zeros
  put_text(out, text, strlen(text));
}

static void expected_value(struct bytes *out, struct dray_type type, const struct logical *value) {
  uint64_t bits;
  if (value->state != DR_SLOT_VALUE) {
    put_little(out, value->state == DR_SLOT_NULL, 1);
    return;
  }
  put_little(out, 0x10 + type.id, 1);
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    put_little(out, value->integer, 1);
    return;
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    put_little(out, value->integer, 8);
    return;
  case DRAY_TYPE_FLOAT64:
    memcpy(&bits, &value->real, 8);
    put_little(out, isnan(value->real) ? (__int128)0x7FF8 << 48 : value->real == 0 ? 0 : (__int128)bits, 8);
    return;
  case DRAY_TYPE_DECIMAL:
    put_digits(out, value->digits, type.scale);
    return;
  case DRAY_TYPE_DATE:
    put_little(out, value->integer, 4);
    return;
  case DRAY_TYPE_JSON:
    put_json(out, value);
    return;
  default:
    put_text(out, value->text, value->len);
  }
}

static void expected_row(struct bytes *out, const struct table *table, size_t row) {
  out->len = 0;
  for (size_t c = 0; c < table->column_count; c++) {
    expected_value(out, table->columns[c].type, &table->columns[c].values[row]);
  }
}

// Returns whether it is a key: no column is missing.
static int expected_key(struct bytes *out, const struct table *table, size_t row) {
  int whole = 1;
  out->len = 0;
  for (size_t i = 0; i < table->key_count; i++) {
    const struct logical_column *column = &table->columns[table->key[i]];
    expected_value(out, column->type, &column->values[row]);
    whole = whole && column->values[row].state == DR_SLOT_VALUE;
  }
  return whole;
}

static int expected_mixed(const struct table *table) {
  const int32_t id = table->columns[table->key[0]].type.id;
  return table->key_count == 1 &&
         (id == DRAY_TYPE_BOOL || id == DRAY_TYPE_INT64 || id == DRAY_TYPE_DATE || id == DRAY_TYPE_TIMESTAMP);
}

// ---- random tables ----

static uint64_t pick(uint64_t *seed, uint64_t below) {
  return random_bits(seed) % below;
}

static void random_table(struct table *table, uint64_t *seed) {
  static const size_t sizes[] = {1, 5, 40, 63, 64, 65, 100};
  static const char *const names[COLUMNS_MAX] = {"A", "B_1", "a", "aa", "b", "\xc3\xa9"}; // in byte order
  table->rows = sizes[pick(seed, 7)];
  table->column_count = 1 + pick(seed, COLUMNS_MAX);
  table->key_count = 0;
  table->seed = pick(seed, 3) == 0 ? 0 : random_bits(seed);
  for (size_t c = 0; c < table->column_count; c++) {
    struct logical_column *column = &table->columns[c];
    (void)snprintf(column->name, sizeof(column->name), "%s", names[c + (COLUMNS_MAX - table->column_count)]);
    logical_column_random(column, table->rows, seed);
    if (pick(seed, 2) == 0) table->key[table->key_count++] = c;
  }
  if (table->key_count == 0 || pick(seed, 3) == 0) {
    table->key[0] = pick(seed, table->column_count);
    table->key_count = 1;
  }
}

static void shuffle(size_t *order, size_t count, uint64_t *seed) {
  for (size_t i = 0; i < count; i++) order[i] = i;
  for (size_t i = count; i > 1; i--) {
    const size_t other = pick(seed, i), kept = order[i - 1];
    order[i - 1] = order[other];
    order[other] = kept;
  }
}

// ---- through the border ----

// One way in which a table is written down.
struct writing {
  const struct table *table;
  struct layout layouts[COLUMNS_MAX];
  size_t order[COLUMNS_MAX]; // of the source's columns
  size_t source_count;       // without those that the source does not have
  struct dr_schema *target;
  size_t target_of[COLUMNS_MAX]; // column by its number in the table
  struct ArrowSchema arrow;
  struct dr_caster *caster;
};

static int is_absent_whole(const struct table *table, size_t c) {
  for (size_t row = 0; row < table->rows; row++) {
    if (table->columns[c].values[row].state != DR_SLOT_ABSENT) return 0;
  }
  return 1;
}

// Fields in any order, decimals of any precision and scale that hold the values.
static struct dr_schema *random_target(struct writing *writing, uint64_t *seed) {
  struct dray_column_def defs[COLUMNS_MAX];
  size_t order[COLUMNS_MAX];
  shuffle(order, writing->table->column_count, seed);
  for (size_t i = 0; i < writing->table->column_count; i++) {
    const struct logical_column *column = &writing->table->columns[order[i]];
    struct dray_type type = column->type;
    if (type.id == DRAY_TYPE_DECIMAL) {
      const int32_t spare = DRAY_DECIMAL_PRECISION_MAX - type.precision;
      const int32_t scale = (int32_t)pick(seed, (uint64_t)spare + 1);
      type.scale += scale;
      type.precision += scale + (int32_t)pick(seed, (uint64_t)(spare - scale) + 1);
    }
    defs[i] = (struct dray_column_def){column->name, type, 1};
    writing->target_of[order[i]] = i;
  }
  return schema_of(defs, writing->table->column_count);
}

static void begin_writing(struct writing *writing, const struct table *table, uint64_t *seed) {
  size_t order[COLUMNS_MAX];
  memset(writing, 0, sizeof(*writing));
  writing->table = table;
  writing->target = random_target(writing, seed);
  shuffle(order, table->column_count, seed);
  for (size_t i = 0; i < table->column_count; i++) {
    const size_t c = order[i];
    if (is_absent_whole(table, c) && pick(seed, 2) == 0) continue; // the source does not know it
    writing->order[writing->source_count++] = c;
    layout_choose(&writing->layouts[c], &table->columns[c], table->rows, seed);
  }
  arrow_schema(&writing->arrow, "+s", "", (int64_t)writing->source_count + 1);
  for (size_t i = 0; i < writing->source_count; i++) {
    const size_t c = writing->order[i];
    layout_schema(&writing->layouts[c], &table->columns[c], writing->arrow.children[i]);
  }
  arrow_schema(writing->arrow.children[writing->source_count], "z", DRAY_COLUMN_ABSENT, 0);
  assert_int_equal(dr_caster_new(&writing->arrow, writing->target, NULL, DR_CAST_REJECT_ROW, &writing->caster, NULL),
                   DRAY_OK);
}

static void end_writing(struct writing *writing) {
  dr_caster_free(writing->caster);
  dr_schema_unref(writing->target);
  dray_schema_release(&writing->arrow);
}

// The bits of absent values, a byte a row.
static void absent_array(const struct writing *writing, size_t first, size_t count, size_t offset,
                         struct ArrowArray *out) {
  struct logical_column bits = {.type = {DRAY_TYPE_BYTES, 0, 0}};
  const struct layout layout = {.kind = 3, .width = 4, .binary = 1, .format = "z"};
  uint64_t seed = 1;
  for (size_t row = 0; row < writing->table->rows; row++) {
    struct logical *mask = &bits.values[row];
    mask->state = DR_SLOT_VALUE;
    mask->len = 1;
    for (size_t i = 0; i < writing->source_count; i++) {
      const struct logical_column *column = &writing->table->columns[writing->order[i]];
      if (column->values[row].state == DR_SLOT_ABSENT) mask->text[0] = (char)(mask->text[0] | 1 << i);
    }
  }
  layout_array(&layout, &bits, first, count, offset, &seed, out);
}

// Rows as a batch, from arrays that begin somewhere in their buffers.
static struct dr_batch *read_batch(struct writing *writing, size_t first, size_t count, uint64_t *seed) {
  struct ArrowArray array;
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  struct dray_error error;
  const size_t skip = pick(seed, 2) * pick(seed, 20); // of the struct; columns have offsets of their own besides
  arrow_array(&array, (int64_t)count, 1, (int64_t)writing->source_count + 1);
  array.offset = (int64_t)skip;
  for (size_t i = 0; i <= writing->source_count; i++) {
    const size_t offset = skip + pick(seed, 2) * pick(seed, 12);
    struct ArrowArray *child = array.children[i];
    if (i == writing->source_count) {
      absent_array(writing, first, count, offset, child);
    } else {
      const size_t c = writing->order[i];
      layout_array(&writing->layouts[c], &writing->table->columns[c], first, count, offset, seed, child);
    }
    child->offset -= (int64_t)skip;
    child->length += (int64_t)skip;
    if (child->n_buffers == 0) child->null_count = child->length; // of type null
  }
  dray_error_init(&error);
  if (dr_caster_run(writing->caster, &array, first, &batch, &rejects, &error) != DRAY_OK) fail_msg("%s", error.text);
  if (rejects.count > 0) fail_msg("%s: %s", rejects.items[0].column, rejects.items[0].text);
  assert_int_equal(dr_batch_rows(batch), count);
  return batch;
}

struct hashes {
  uint64_t row[LOGICAL_ROWS_MAX];
  struct dr_hash128 key[LOGICAL_ROWS_MAX];
  uint8_t is_null_key[LOGICAL_ROWS_MAX];
};

static void expect_bytes(const char *what, struct dray_str got, const struct bytes *expected) {
  if (got.len == expected->len && memcmp(got.data, expected->data, got.len) == 0) return;
  (void)fprintf(stderr, "%s:\n  got     ", what);
  for (size_t i = 0; i < got.len; i++) (void)fprintf(stderr, " %02x", (uint8_t)got.data[i]);
  (void)fprintf(stderr, "\n  expected");
  for (size_t i = 0; i < expected->len; i++) (void)fprintf(stderr, " %02x", expected->data[i]);
  (void)fprintf(stderr, "\n");
  fail();
}

static struct dray_str view_of(const struct bytes *bytes) {
  return dray_str_make((const char *)bytes->data, bytes->len);
}

// Encodes and hashes a batch of rows from `first` on, and compares all with what the page says.
static void expect_batch(const struct table *table, const struct dr_encoder *rows, const struct dr_encoder *keys,
                         const struct dr_batch *batch, size_t first, struct hashes *out) {
  const size_t count = (size_t)dr_batch_rows(batch);
  uint8_t null_keys[LOGICAL_ROWS_MAX / 8 + 1];
  uint64_t nulls = 0, expected_nulls = 0;
  struct dray_buffer encoded;
  struct bytes expected;
  const int mixed = expected_mixed(table);
  assert_int_equal(dr_key_is_mixed(keys, batch->schema) != 0, mixed);
  assert_int_equal(dr_row_hashes(rows, batch, out->row + first, NULL), DRAY_OK);
  assert_int_equal(dr_key_hashes(keys, batch, out->key + first, null_keys, &nulls, NULL), DRAY_OK);
  dray_buffer_init(&encoded, 10000);
  for (size_t i = 0; i < count; i++) {
    dray_buffer_clear(&encoded);
    assert_int_equal(dr_encode_row(rows, batch, i, &encoded, NULL), DRAY_OK);
    expected_row(&expected, table, first + i);
    expect_bytes("row", dray_buffer_view(&encoded), &expected);
    assert_int_equal(out->row[first + i], dr_row_hash(view_of(&expected), table->seed));
    const int is_key = expected_key(&expected, table, first + i);
    out->is_null_key[first + i] = !is_key;
    expected_nulls += !is_key;
    assert_int_equal(null_keys[i / 8] >> (i % 8) & 1, !is_key);
    if (!is_key) continue;
    const struct dr_hash128 hash = dr_key_hash(view_of(&expected), mixed, table->seed);
    assert_true(hash.low == out->key[first + i].low && hash.high == out->key[first + i].high);
    if (!mixed) continue;
    dray_buffer_clear(&encoded);
    const struct dray_type type = batch->schema->fields[keys->columns[0]].type;
    assert_int_equal(dr_encode_mixed_key(hash.high, table->seed, type, &encoded, NULL), DRAY_OK);
    expect_bytes("key", dray_buffer_view(&encoded), &expected);
  }
  assert_int_equal(nulls, expected_nulls);
  dray_buffer_free(&encoded);
}

// Writes the table down in a random way, reads it, and compares.
static void expect_table(const struct table *table, uint64_t *seed, struct hashes *out) {
  struct writing writing;
  struct dr_encoder rows, keys;
  uint32_t key[COLUMNS_MAX];
  begin_writing(&writing, table, seed);
  for (size_t i = 0; i < table->key_count; i++) key[i] = (uint32_t)writing.target_of[table->key[i]];
  assert_int_equal(dr_encoder_init(&rows, writing.target, NULL, 0, table->seed, NULL), DRAY_OK);
  assert_int_equal(dr_encoder_init(&keys, writing.target, key, table->key_count, table->seed, NULL), DRAY_OK);
  for (size_t first = 0; first < table->rows;) {
    const size_t left = table->rows - first, count = pick(seed, 2) == 0 ? left : 1 + pick(seed, left);
    struct dr_batch *batch = read_batch(&writing, first, count, seed);
    expect_batch(table, &rows, &keys, batch, first, out);
    dr_batch_free(batch);
    first += count;
  }
  dr_encoder_free(&rows);
  dr_encoder_free(&keys);
  end_writing(&writing);
}

// ---- the property ----

// Another value, or a null in its place, or none at all.
static void change_value(const struct logical_column *column, struct logical *value, uint64_t *seed) {
  const struct logical before = *value;
  do {
    logical_random(column, value, seed);
    const uint64_t dice = pick(seed, 8);
    if (dice < 2) value->state = dice == 0 ? DR_SLOT_NULL : DR_SLOT_ABSENT;
  } while (logical_equal(&column->type, &before, value));
}

static int rows_equal(const struct table *table, size_t a, size_t b) {
  for (size_t c = 0; c < table->column_count; c++) {
    const struct logical_column *column = &table->columns[c];
    if (!logical_equal(&column->type, &column->values[a], &column->values[b])) return 0;
  }
  return 1;
}

static int keys_equal(const struct table *table, size_t a, size_t b) {
  for (size_t i = 0; i < table->key_count; i++) {
    const struct logical_column *column = &table->columns[table->key[i]];
    if (!logical_equal(&column->type, &column->values[a], &column->values[b])) return 0;
  }
  return 1;
}

static void expect_same(const struct table *table, const struct hashes *a, const struct hashes *b) {
  assert_memory_equal(a->row, b->row, table->rows * sizeof(a->row[0]));
  assert_memory_equal(a->is_null_key, b->is_null_key, table->rows);
  for (size_t i = 0; i < table->rows; i++) {
    if (!a->is_null_key[i]) assert_memory_equal(&a->key[i], &b->key[i], sizeof(a->key[i]));
  }
}

// Rows of one table have the same hash when, and only when, they are equal.
static void expect_hashes_tell_rows_apart(const struct table *table, const struct hashes *hashes) {
  for (size_t a = 0; a < table->rows; a++) {
    for (size_t b = 0; b < a; b++) {
      assert_int_equal(hashes->row[a] == hashes->row[b], rows_equal(table, a, b));
      if (hashes->is_null_key[a] || hashes->is_null_key[b]) continue;
      assert_int_equal(memcmp(&hashes->key[a], &hashes->key[b], sizeof(hashes->key[a])) == 0, keys_equal(table, a, b));
    }
  }
}

static int is_key_column(const struct table *table, size_t c) {
  for (size_t i = 0; i < table->key_count; i++) {
    if (table->key[i] == c) return 1;
  }
  return 0;
}

// One value changes: its row has another hash, its key where it is part of it, and nothing else has.
static void expect_change_shows(struct table *table, const struct hashes *before, uint64_t *seed) {
  static struct hashes after;
  const size_t c = pick(seed, table->column_count), row = pick(seed, table->rows);
  change_value(&table->columns[c], &table->columns[c].values[row], seed);
  expect_table(table, seed, &after);
  for (size_t i = 0; i < table->rows; i++) {
    assert_int_equal(after.row[i] == before->row[i], i != row);
    if (after.is_null_key[i] || before->is_null_key[i]) continue;
    assert_int_equal(memcmp(&after.key[i], &before->key[i], sizeof(after.key[i])) == 0,
                     i != row || !is_key_column(table, c));
  }
}

static void test_equal_rows_hash_equally_and_others_do_not(void **state) {
  (void)state;
  static struct table table;
  static struct hashes first, second;
  for (uint64_t number = 0; number < CASES; number++) {
    uint64_t seed = number * 1000003;
    random_table(&table, &seed);
    expect_table(&table, &seed, &first);
    expect_table(&table, &seed, &second);
    expect_same(&table, &first, &second);
    expect_hashes_tell_rows_apart(&table, &first);
    expect_change_shows(&table, &first, &seed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_rows_hash_equally_and_others_do_not)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
