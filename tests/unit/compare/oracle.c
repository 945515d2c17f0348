// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "compare/oracle.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dray/sdk/json.h"

static void must(int32_t rc) {
  if (rc == DRAY_OK) return;
  (void)fprintf(stderr, "the oracle failed with %d\n", (int)rc);
  abort();
}

static int is_null(const struct dr_sieve_options *options, const struct dray_csv_field *field) {
  if (field->quoted) return 0;
  if (options->null_values == NULL) return field->text.len == 0;
  for (size_t i = 0; i < options->null_count; i++) {
    if (dray_str_is(field->text, options->null_values[i])) return 1;
  }
  return 0;
}

// Appends the value in its one spelling. 0: it is not of the type.
static int spell(struct dray_str text, struct dray_type type, struct dray_buffer *out) {
  char small[DRAY_FORMAT_BYTES_MAX];
  int64_t number = 0;
  int32_t day = 0;
  double real = 0;
  struct dray_decimal decimal;
  struct dray_buffer bytes;
  int ok = 0;
  switch (type.id) {
  case DRAY_TYPE_INT64:
    if (dray_parse_int64(text, &number, NULL) != DRAY_OK) return 0;
    must(dray_buffer_printf(out, NULL, "%lld", (long long)number));
    return 1;
  case DRAY_TYPE_BOOL:
    if (dray_parse_bool(text, &day, NULL) != DRAY_OK) return 0;
    must(dray_buffer_printf(out, NULL, "%d", (int)day));
    return 1;
  case DRAY_TYPE_FLOAT64:
    if (dray_parse_float64(text, &real, NULL) != DRAY_OK) return 0;
    (void)dray_format_float64(real == 0 ? 0.0 : real, small);
    must(dray_buffer_append_str(out, small, NULL));
    return 1;
  case DRAY_TYPE_DECIMAL:
    if (dray_parse_decimal(text, type.precision, type.scale, &decimal, NULL) != DRAY_OK) return 0;
    (void)dray_format_decimal(decimal, type.scale, small);
    must(dray_buffer_append_str(out, small, NULL));
    return 1;
  case DRAY_TYPE_DATE:
    if (dray_parse_date(text, &day, NULL) != DRAY_OK) return 0;
    must(dray_buffer_printf(out, NULL, "%d", (int)day));
    return 1;
  case DRAY_TYPE_TIMESTAMP:
    if (dray_parse_timestamp(text, &number, NULL) != DRAY_OK) return 0;
    must(dray_buffer_printf(out, NULL, "%lld", (long long)number));
    return 1;
  case DRAY_TYPE_STRING:
    must(dray_buffer_printf(out, NULL, "%llu:", (unsigned long long)text.len));
    must(dray_buffer_append(out, text.data, (size_t)text.len, NULL));
    return 1;
  default:
    break;
  }
  dray_buffer_init(&bytes, 1 << 20);
  const int32_t rc =
      type.id == DRAY_TYPE_BYTES ? dray_base64_decode(text, &bytes, NULL) : dray_json_compact(text, &bytes, NULL);
  if (rc == DRAY_OK) {
    ok = 1;
    for (size_t i = 0; i < bytes.len; i++) must(dray_buffer_printf(out, NULL, "%02x", (unsigned char)bytes.data[i]));
  }
  dray_buffer_free(&bytes);
  return ok;
}

static char *key_of(const struct dr_sieve_options *options, const uint32_t *key_at,
                    const struct dray_csv_record *record) {
  struct dray_buffer key;
  dray_buffer_init(&key, 1 << 20);
  for (size_t i = 0; i < options->key_count; i++) {
    const struct dray_csv_field *field = &record->fields[key_at[i]];
    if (is_null(options, field) || !spell(field->text, options->keys[i].type, &key)) {
      dray_buffer_free(&key);
      return NULL;
    }
    must(dray_buffer_append_char(&key, '|', NULL));
  }
  return key.data;
}

static void take_record(const struct dr_sieve_options *options, uint32_t columns, const uint32_t *key_at,
                        const struct dray_csv_record *record, uint64_t behind, struct oracle_side *side) {
  const uint64_t field_max = options->csv.field_bytes_max != 0 ? options->csv.field_bytes_max : 1 << 20;
  if ((side->count & (side->count + 1)) == 0) { // full at 0, 1, 3, 7, ...
    side->records = realloc(side->records, (2 * side->count + 1) * sizeof(*side->records));
    if (side->records == NULL) abort();
  }
  struct oracle_record *out = &side->records[side->count++];
  *out = (struct oracle_record){.offset = record->byte_offset, .line = record->line};
  uint64_t end = behind;
  if (record->code != DRAY_E_DATA_SHAPE) {
    if (end > out->offset && side->data[end - 1] == '\n') end--;
    if (end > out->offset && side->data[end - 1] == '\r') end--;
  }
  out->len = (size_t)(end - out->offset);
  int usable = record->code == 0 && record->field_count == columns && out->len <= field_max;
  for (size_t i = 0; usable && i < record->field_count; i++) usable = dray_text_valid(record->fields[i].text);
  // What is text only once the quotes are gone is left to the exact comparison as well.
  usable = usable && dray_text_valid(dray_str_make(side->data + out->offset, out->len));
  if (usable) out->key = key_of(options, key_at, record);
  out->usable = out->key != NULL;
}

static void read_side(const struct dr_sieve_options *options, uint32_t columns, const uint32_t *key_at,
                      struct oracle_side *side, int *sievable) {
  const uint64_t record_max = options->csv.record_bytes_max != 0 ? options->csv.record_bytes_max : 16 << 20;
  struct dray_csv_options csv = options->csv;
  struct dray_csv_reader *reader = NULL;
  struct dray_csv_record record;
  int header = options->header;
  csv.record_bytes_max = 1 << 30; // what is longer is seen here
  must(dray_csv_reader_new(&csv, &reader, NULL));
  dray_buffer_init(&side->rest, SIZE_MAX / 2);
  if (!header) must(dray_buffer_append(&side->rest, "\xEF\xBB\xBF", 3, NULL));
  for (uint64_t at = 0;;) {
    size_t used = 0;
    int32_t got = 0;
    must(dray_csv_reader_feed(reader, side->data + at, side->len - at, 1, &used, &record, &got, NULL));
    at += used;
    if (!got) break;
    take_record(options, columns, key_at, &record, at, side);
    const struct oracle_record *last = &side->records[side->count - 1];
    if (last->len > record_max) *sievable = 0;
    if (!header) continue;
    const char *raw = side->data + last->offset;
    if (last->len >= 3 && memcmp(raw, "\xEF\xBB\xBF", 3) == 0) must(dray_buffer_append(&side->rest, raw, 3, NULL));
    must(dray_buffer_append(&side->rest, raw, last->len, NULL));
    must(dray_buffer_append_char(&side->rest, '\n', NULL));
    free(last->key);
    header = 0;
    side->count--;
  }
  dray_csv_reader_free(reader);
}

static int compare_records(const void *a, const void *b) {
  const struct oracle_record *left = *(struct oracle_record *const *)a, *right = *(struct oracle_record *const *)b;
  return strcmp(left->key, right->key);
}

static struct oracle_record **sort_side(const struct oracle_side *side, size_t *out_count) {
  struct oracle_record **sorted = malloc((side->count + 1) * sizeof(struct oracle_record *));
  size_t count = 0;
  if (sorted == NULL) abort();
  for (size_t i = 0; i < side->count; i++) {
    if (side->records[i].usable) sorted[count++] = &side->records[i];
  }
  qsort(sorted, count, sizeof(struct oracle_record *), compare_records);
  *out_count = count;
  return sorted;
}

static size_t run_of(struct oracle_record **sorted, size_t from, size_t count) {
  size_t to = from + 1;
  while (to < count && strcmp(sorted[from]->key, sorted[to]->key) == 0) to++;
  return to - from;
}

static void settle(struct oracle *oracle) {
  size_t counts[2], at[2] = {0, 0};
  struct oracle_record **sorted[2] = {sort_side(&oracle->sides[0], &counts[0]),
                                      sort_side(&oracle->sides[1], &counts[1])};
  while (at[0] < counts[0] && at[1] < counts[1]) {
    struct oracle_record *a = sorted[0][at[0]], *b = sorted[1][at[1]];
    const int order = strcmp(a->key, b->key);
    const size_t runs[2] = {run_of(sorted[0], at[0], counts[0]), run_of(sorted[1], at[1], counts[1])};
    if (order == 0 && runs[0] == 1 && runs[1] == 1 && a->len == b->len &&
        memcmp(oracle->sides[0].data + a->offset, oracle->sides[1].data + b->offset, a->len) == 0) {
      a->settled = b->settled = 1;
      oracle->unchanged++;
    }
    if (order <= 0) at[0] += runs[0];
    if (order >= 0) at[1] += runs[1];
  }
  free(sorted[0]);
  free(sorted[1]);
}

void oracle_make(const struct dr_sieve_options *options, uint32_t columns, const uint32_t *key_at,
                 const struct dray_str files[2], struct oracle *out) {
  memset(out, 0, sizeof(*out));
  out->sievable = 1;
  for (int i = 0; i < 2; i++) {
    out->sides[i].data = files[i].data;
    out->sides[i].len = (size_t)files[i].len;
    read_side(options, columns, key_at, &out->sides[i], &out->sievable);
  }
  settle(out);
  for (int i = 0; i < 2; i++) {
    struct oracle_side *side = &out->sides[i];
    for (size_t k = 0; k < side->count; k++) {
      if (side->records[k].settled) continue;
      must(dray_buffer_append(&side->rest, side->data + side->records[k].offset, side->records[k].len, NULL));
      must(dray_buffer_append_char(&side->rest, '\n', NULL));
    }
  }
}

void oracle_free(struct oracle *oracle) {
  for (int i = 0; i < 2; i++) {
    for (size_t k = 0; k < oracle->sides[i].count; k++) free(oracle->sides[i].records[k].key);
    free(oracle->sides[i].records);
    dray_buffer_free(&oracle->sides[i].rest);
  }
}
