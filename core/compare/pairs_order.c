// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Deletes come in the order of the engine's mirror, so that the outcome is the same whichever of both compared.
#include <stdlib.h>

#include "compare/lane.h"
#include "compare/pairs.h"
#include "compare/state.h"
#include "table/encode.h"

#define PIECE_RECORDS 4096

struct hashed {
  struct dr_hash128 hash;
  uint32_t record;
};

struct ordering {
  struct pairs *pairs;
  struct dr_schema *schema; // of the key alone
  struct dr_encoder encoder;
  struct hashed *items; // owned
};

static int by_hash(const void *a, const void *b) {
  const struct hashed *left = a, *right = b;
  if (left->hash.high != right->hash.high) return left->hash.high < right->hash.high ? -1 : 1;
  return left->hash.low < right->hash.low ? -1 : left->hash.low > right->hash.low;
}

static int32_t append_keys(const struct ordering *ordering, size_t from, size_t to, struct dray_builder *builder,
                           struct dray_error *error) {
  const struct pairs *pairs = ordering->pairs;
  struct record_row row = {0};
  int32_t rc = record_row_init(&row, &pairs->plan, error);
  for (size_t i = from; i < to && rc == DRAY_OK; i++) {
    record_split(&pairs->plan, pairs_bytes(&pairs->sides[0], pairs->deletes[i]), &row);
    for (size_t k = 0; k < pairs->key_count && rc == DRAY_OK; k++) {
      struct dray_str text;
      int reads = 0;
      rc = record_text(&pairs->plan, &row, pairs->key[k], &text, &reads, error);
      if (rc == DRAY_OK) rc = dray_builder_bytes(builder, k, text, error);
    }
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, error);
  }
  record_row_free(&row);
  return rc;
}

static int32_t hash_batch(const struct ordering *ordering, struct dray_builder *builder, size_t from, size_t count,
                          struct dray_error *error) {
  struct ArrowArray array = {.release = NULL};
  struct dr_batch *batch = NULL;
  struct dr_hash128 *hashes = malloc((count + 1) * sizeof(*hashes));
  uint8_t *nulls = malloc(count / 8 + 1);
  uint64_t null_count = 0;
  int32_t rc = hashes != NULL && nulls != NULL
                   ? DRAY_OK
                   : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the hashes of keys");
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  if (rc == DRAY_OK) rc = dr_batch_wrap(ordering->schema, &array, &batch, error);
  if (rc == DRAY_OK) rc = dr_key_hashes(&ordering->encoder, batch, hashes, nulls, &null_count, error);
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    ordering->items[from + i] = (struct hashed){hashes[i], ordering->pairs->deletes[from + i]};
  }
  dr_batch_free(batch);
  dray_array_release(&array);
  free(hashes);
  free(nulls);
  return rc;
}

static int32_t hash_piece(void *context, uint64_t piece, uint32_t slot, uint32_t thread, struct dray_error *error) {
  const struct ordering *ordering = context;
  const size_t from = (size_t)piece * PIECE_RECORDS, left = ordering->pairs->delete_count - from;
  const size_t count = left < PIECE_RECORDS ? left : PIECE_RECORDS;
  struct dray_builder *builder = NULL;
  (void)slot, (void)thread;
  int32_t rc = dray_builder_new(&ordering->schema->arrow, 0, 0, &builder, error);
  if (rc == DRAY_OK) rc = append_keys(ordering, from, from + count, builder, error);
  if (rc == DRAY_OK) rc = hash_batch(ordering, builder, from, count, error);
  dray_builder_free(builder);
  return rc;
}

static int32_t key_schema(const struct dr_compare *compare, const struct pairs *pairs, struct dr_schema **out,
                          struct dray_error *error) {
  struct dray_column_def *defs = calloc(pairs->key_count + 1, sizeof(*defs));
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the key's columns");
  for (size_t i = 0; i < pairs->key_count; i++) {
    defs[i] = (struct dray_column_def){compare->schema->fields[pairs->key[i]].name, {DRAY_TYPE_STRING, 0, 0}, 1};
  }
  const int32_t rc = dr_schema_new(defs, pairs->key_count, out, error);
  free(defs);
  return rc;
}

int32_t pairs_order_deletes(struct dr_compare *compare, struct pairs *pairs, struct dray_error *error) {
  struct ordering ordering = {.pairs = pairs};
  const size_t count = pairs->delete_count;
  if (count < 2) return DRAY_OK;
  ordering.items = malloc(count * sizeof(*ordering.items));
  int32_t rc =
      ordering.items != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu deletes", count);
  if (rc == DRAY_OK) rc = key_schema(compare, pairs, &ordering.schema, error);
  if (rc == DRAY_OK) rc = dr_encoder_init(&ordering.encoder, ordering.schema, NULL, 0, DR_COMPARE_SEED, error);
  const struct lane lane = {.threads = pairs->threads,
                            .pieces = (count + PIECE_RECORDS - 1) / PIECE_RECORDS,
                            .context = &ordering,
                            .prepare = hash_piece};
  if (rc == DRAY_OK) rc = lane_run(&lane, error);
  if (rc == DRAY_OK) {
    qsort(ordering.items, count, sizeof(*ordering.items), by_hash);
    for (size_t i = 0; i < count; i++) pairs->deletes[i] = ordering.items[i].record;
  }
  dr_encoder_free(&ordering.encoder);
  dr_schema_unref(ordering.schema);
  free(ordering.items);
  return rc;
}
