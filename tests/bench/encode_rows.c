// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to encode and hash rows of twelve typed columns, about 110 bytes each when encoded: nanoseconds of CPU
// a row, one thread, medians of the rounds. The same again with a tenth of all values null. Beside them the time that
// XXH3 alone takes for the same bytes, encoded already: what no encoder can be faster than.
//
//   bench_encode_rows [rounds [case]]      one case alone is for profilers, and its other numbers are 0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "table/encode.h"

#define BATCHES 16
#define BATCH_ROWS 8192
#define ROUNDS_MAX 1001

#define BAR_ROW_NS 35.0
#define BAR_KEY_NS 3.0

static void must(int32_t code, const struct dray_error *error) {
  if (code == DRAY_OK) return;
  (void)fprintf(stderr, "%d: %s\n", code, error->text);
  exit(1);
}

static double cpu_ns(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

// ---- rows ----

static const struct dray_column_def columns[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0},          {"email", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"first_name", {DRAY_TYPE_STRING, 0, 0}, 1}, {"last_name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"city", {DRAY_TYPE_STRING, 0, 0}, 1},       {"country", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"signed_up", {DRAY_TYPE_DATE, 0, 0}, 1},    {"seen_at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    {"orders", {DRAY_TYPE_INT64, 0, 0}, 1},      {"revenue", {DRAY_TYPE_DECIMAL, 12, 2}, 1},
    {"score", {DRAY_TYPE_FLOAT64, 0, 0}, 1},     {"subscribed", {DRAY_TYPE_BOOL, 0, 0}, 1},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 31)) * UINT64_C(0x9E3779B97F4A7C15);
  value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
  return value ^ (value >> 29);
}

static int32_t put_text(struct dray_builder *builder, size_t column, uint64_t seed, const char *tail,
                        struct dray_error *error) {
  char text[64];
  const int len = snprintf(text, sizeof text, "%.*s%llx%s", (int)(3 + seed % 5), "marlenekarolina",
                           (unsigned long long)(seed & 0xffffff), tail);
  return dray_builder_bytes(builder, column, dray_str_make(text, (uint64_t)len), error);
}

static int32_t put_value(struct dray_builder *builder, size_t column, uint64_t id, struct dray_error *error) {
  const uint64_t seed = mix(id);
  switch (column) {
  case 0:
    return dray_builder_int64(builder, 0, (int64_t)id, error);
  case 1:
    return put_text(builder, 1, seed, "@example.com", error);
  case 2:
    return put_text(builder, 2, mix(seed) & 255, "", error);
  case 3:
    return put_text(builder, 3, mix(seed + 1) & 4095, "", error);
  case 4:
    return put_text(builder, 4, mix(seed + 2) & 1023, "ville", error);
  case 5:
    return put_text(builder, 5, mix(seed + 3) & 63, "", error);
  case 6:
    return dray_builder_date(builder, 6, (int32_t)(18000 + seed % 2000), error);
  case 7:
    return dray_builder_timestamp(builder, 7, (int64_t)(1700000000000000 + seed % 10000000000000), error);
  case 8:
    return dray_builder_int64(builder, 8, (int64_t)(seed % 50), error);
  case 9:
    return dray_builder_decimal(builder, 9, dray_decimal_of_int64((int64_t)(mix(seed + 5) % 1000000)), error);
  case 10:
    return dray_builder_float64(builder, 10, (double)(seed % 1000) / 10, error);
  default:
    return dray_builder_bool(builder, 11, (int32_t)(seed >> 20 & 1), error);
  }
}

static struct dr_batch *make_batch(struct dr_schema *schema, uint64_t first, unsigned null_percent,
                                   struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  must(dray_builder_new(&schema->arrow, 0, 0, &builder, error), error);
  for (uint64_t i = 0; i < BATCH_ROWS; i++) {
    const uint64_t id = (first + i) * 2654435761u % 4294967296u;
    for (size_t c = 0; c < COLUMNS; c++) {
      const int is_null = c > 0 && mix(id + c) % 100 < null_percent;
      must(is_null ? dray_builder_null(builder, c, error) : put_value(builder, c, id, error), error);
    }
    must(dray_builder_end_row(builder, NULL, error), error);
  }
  must(dray_builder_finish(builder, &array, error), error);
  must(dr_batch_wrap(schema, &array, &batch, error), error);
  dray_builder_free(builder);
  return batch;
}

// ---- work ----

static struct {
  struct dr_encoder rows, id, email, pair; // all columns, and keys of one or two
  struct dray_buffer encoded;              // one batch
  size_t ends[BATCH_ROWS + 1];
  uint64_t hashes[BATCH_ROWS];
  struct dr_hash128 keys[BATCH_ROWS];
  uint8_t null_keys[BATCH_ROWS / 8];
  struct dray_error error;
  uint64_t sum; // of what came out, so that it is work
} bench;

static void hash_rows(const struct dr_batch *batch) {
  must(dr_row_hashes(&bench.rows, batch, bench.hashes, &bench.error), &bench.error);
  bench.sum += bench.hashes[bench.sum % BATCH_ROWS];
}

static void hash_keys(const struct dr_encoder *keys, const struct dr_batch *batch) {
  uint64_t nulls = 0;
  must(dr_key_hashes(keys, batch, bench.keys, bench.null_keys, &nulls, &bench.error), &bench.error);
  bench.sum += bench.keys[bench.sum % BATCH_ROWS].high + nulls;
}

static void hash_mixed_keys(const struct dr_batch *batch) {
  hash_keys(&bench.id, batch);
}
static void hash_text_keys(const struct dr_batch *batch) {
  hash_keys(&bench.email, batch);
}
static void hash_pair_keys(const struct dr_batch *batch) {
  hash_keys(&bench.pair, batch);
}

static void encode_rows(const struct dr_batch *batch) {
  dray_buffer_clear(&bench.encoded);
  for (uint64_t row = 0; row < BATCH_ROWS; row++) {
    must(dr_encode_row(&bench.rows, batch, row, &bench.encoded, &bench.error), &bench.error);
    bench.ends[row + 1] = bench.encoded.len;
  }
  bench.sum += bench.encoded.len;
}

static void hash_encoded(const struct dr_batch *batch) { // whatever encode_rows left
  (void)batch;
  for (uint64_t row = 0; row < BATCH_ROWS; row++) {
    const size_t at = bench.ends[row];
    bench.sum += dr_row_hash(dray_str_make(bench.encoded.data + at, bench.ends[row + 1] - at), 1);
  }
}

static int compare_ns(const void *a, const void *b) {
  const double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

// The cases take turns, so that a change of the machine's pace meets all of them.
static const struct {
  const char *name;
  void (*run)(const struct dr_batch *batch);
  int with_nulls;
} cases[] = {
    {"row_hash_ns", hash_rows, 0},      {"row_hash_nulls_ns", hash_rows, 1},      {"key_mixed_ns", hash_mixed_keys, 0},
    {"key_text_ns", hash_text_keys, 0}, {"key_text_nulls_ns", hash_text_keys, 1}, {"key_pair_ns", hash_pair_keys, 0},
    {"encode_row_ns", encode_rows, 0},  {"xxh3_alone_ns", hash_encoded, 0}};
#define CASES (sizeof cases / sizeof cases[0])

int main(int argc, char **argv) {
  const size_t asked = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 21;
  const size_t rounds = asked < 1 ? 1 : asked > ROUNDS_MAX ? ROUNDS_MAX : asked;
  static struct dr_batch *batches[2][BATCHES];
  static double spent[CASES][ROUNDS_MAX];
  struct dr_schema *schema = NULL;
  dray_error_init(&bench.error);
  dray_buffer_init(&bench.encoded, SIZE_MAX / 2);
  must(dr_schema_new(columns, COLUMNS, &schema, &bench.error), &bench.error);
  for (size_t i = 0; i < 2 * BATCHES; i++) {
    batches[i % 2][i / 2] = make_batch(schema, i / 2 * BATCH_ROWS, i % 2 * 10, &bench.error);
  }
  must(dr_encoder_init(&bench.rows, schema, NULL, 0, 1, &bench.error), &bench.error);
  must(dr_encoder_init(&bench.id, schema, (const uint32_t[]){0}, 1, 1, &bench.error), &bench.error);
  must(dr_encoder_init(&bench.email, schema, (const uint32_t[]){1}, 1, 1, &bench.error), &bench.error);
  must(dr_encoder_init(&bench.pair, schema, (const uint32_t[]){0, 6}, 2, 1, &bench.error), &bench.error);
  for (size_t round = 0; round < rounds; round++) {
    for (size_t c = 0; c < CASES; c++) {
      if (argc > 2 && strcmp(argv[2], cases[c].name) != 0) continue;
      const double begin = cpu_ns();
      for (size_t i = 0; i < BATCHES; i++) cases[c].run(batches[cases[c].with_nulls][i]);
      spent[c][round] = (cpu_ns() - begin) / (BATCHES * BATCH_ROWS);
    }
  }
  (void)printf("{\"bench\":\"encode_rows\",\"rows\":%d,\"rounds\":%zu,\"encoded_bytes\":%.1f", BATCHES * BATCH_ROWS,
               rounds, (double)bench.encoded.len / BATCH_ROWS);
  for (size_t c = 0; c < CASES; c++) {
    qsort(spent[c], rounds, sizeof spent[c][0], compare_ns);
    (void)printf(",\"%s\":%.2f", cases[c].name, spent[c][rounds / 2]);
  }
  (void)printf(",\"bar_row_ns\":%.0f,\"bar_key_ns\":%.0f,\"held\":%s}\n", BAR_ROW_NS, BAR_KEY_NS,
               spent[0][rounds / 2] <= BAR_ROW_NS && spent[2][rounds / 2] <= BAR_KEY_NS ? "true" : "false");
  return bench.sum == 1; // never
}
