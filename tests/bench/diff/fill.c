// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows into Arrow columns, straight into the buffers: what a fast reader of a database does, so that a benchmark of the
// engine is not one of the SDK's builder.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "customers.h"

#define TEXT_BYTES_FIRST (BENCH_BATCH_ROWS * 16)

// All of a batch's memory hangs on the outermost array; the children's release does nothing.
struct block {
  struct ArrowArray children[BENCH_COLUMNS];
  struct ArrowArray *pointers[BENCH_COLUMNS];
  const void *buffers[BENCH_COLUMNS][3];
  const void *none[1];
  int64_t rows, nulls;
  int64_t id[BENCH_BATCH_ROWS], seen_at[BENCH_BATCH_ROWS], orders[BENCH_BATCH_ROWS];
  struct dray_decimal revenue[BENCH_BATCH_ROWS];
  double score[BENCH_BATCH_ROWS];
  int32_t signed_up[BENCH_BATCH_ROWS];
  int32_t offsets[BENCH_TEXTS][BENCH_BATCH_ROWS + 1];
  uint8_t subscribed[BENCH_BATCH_ROWS / 8], score_valid[BENCH_BATCH_ROWS / 8];
  char *text[BENCH_TEXTS];
  size_t text_capacity[BENCH_TEXTS];
};

struct bench_filler {
  struct dr_schema *schema; // borrowed
  struct block *block;
};

void bench_must(int32_t code, const struct dray_error *error) {
  if (code == DRAY_OK) return;
  (void)fprintf(stderr, "%d: %s\n", code, error->text);
  exit(1);
}

void *bench_alloc(size_t bytes) {
  void *out = malloc(bytes);
  if (out != NULL) return out;
  (void)fprintf(stderr, "out of memory: %zu bytes\n", bytes);
  exit(1);
}

static void block_free(struct block *block) {
  for (size_t i = 0; i < BENCH_TEXTS; i++) free(block->text[i]);
  free(block);
}

static struct block *block_new(void) {
  struct block *block = bench_alloc(sizeof *block);
  block->rows = block->nulls = 0;
  memset(block->subscribed, 0, sizeof block->subscribed);
  memset(block->score_valid, 0, sizeof block->score_valid);
  for (size_t i = 0; i < BENCH_TEXTS; i++) {
    block->text_capacity[i] = TEXT_BYTES_FIRST;
    block->text[i] = bench_alloc(TEXT_BYTES_FIRST);
    block->offsets[i][0] = 0;
  }
  return block;
}

struct bench_filler *bench_filler_new(struct dr_schema *schema) {
  struct bench_filler *filler = bench_alloc(sizeof *filler);
  *filler = (struct bench_filler){.schema = schema, .block = block_new()};
  return filler;
}

void bench_filler_free(struct bench_filler *filler) {
  block_free(filler->block);
  free(filler);
}

static void put_text(struct block *block, size_t i, struct dray_str text) {
  const size_t used = (size_t)block->offsets[i][block->rows], wanted = used + text.len;
  if (wanted > block->text_capacity[i]) {
    block->text_capacity[i] = wanted * 2;
    char *grown = bench_alloc(block->text_capacity[i]);
    memcpy(grown, block->text[i], used);
    free(block->text[i]);
    block->text[i] = grown;
  }
  if (text.len > 0) memcpy(block->text[i] + used, text.data, text.len);
  block->offsets[i][block->rows + 1] = (int32_t)wanted;
}

int bench_filler_put(struct bench_filler *filler, const struct bench_row *row) {
  struct block *block = filler->block;
  const int64_t at = block->rows;
  for (size_t i = 0; i < BENCH_TEXTS; i++) put_text(block, i, row->text[i]);
  block->id[at] = row->id;
  block->signed_up[at] = row->signed_up;
  block->seen_at[at] = row->seen_at;
  block->orders[at] = row->orders;
  block->revenue[at] = dray_decimal_of_int64(row->revenue);
  block->score[at] = row->score_is_null ? 0 : row->score;
  block->nulls += row->score_is_null;
  block->score_valid[at >> 3] |= (uint8_t)((row->score_is_null == 0) << (at & 7));
  block->subscribed[at >> 3] |= (uint8_t)((row->subscribed != 0) << (at & 7));
  return ++block->rows == BENCH_BATCH_ROWS;
}

static void release_child(struct ArrowArray *array) {
  array->release = NULL;
}

static void release_block(struct ArrowArray *array) {
  block_free(array->private_data);
  array->release = NULL;
}

static void set_column(struct block *block, size_t column, const void *validity, const void *values, const void *text) {
  block->buffers[column][0] = validity;
  block->buffers[column][1] = values;
  block->buffers[column][2] = text;
  block->children[column] = (struct ArrowArray){.length = block->rows,
                                                .null_count = validity != NULL ? block->nulls : 0,
                                                .n_buffers = text != NULL ? 3 : 2,
                                                .buffers = block->buffers[column],
                                                .release = release_child};
  block->pointers[column] = &block->children[column];
}

struct dr_batch *bench_filler_take(struct bench_filler *filler) {
  struct block *block = filler->block;
  if (block->rows == 0) return NULL;
  for (size_t i = 0; i < BENCH_TEXTS; i++) set_column(block, BENCH_EMAIL + i, NULL, block->offsets[i], block->text[i]);
  set_column(block, BENCH_ID, NULL, block->id, NULL);
  set_column(block, BENCH_SIGNED_UP, NULL, block->signed_up, NULL);
  set_column(block, BENCH_SEEN_AT, NULL, block->seen_at, NULL);
  set_column(block, BENCH_ORDERS, NULL, block->orders, NULL);
  set_column(block, BENCH_REVENUE, NULL, block->revenue, NULL);
  set_column(block, BENCH_SCORE, block->nulls > 0 ? block->score_valid : NULL, block->score, NULL);
  set_column(block, BENCH_SUBSCRIBED, NULL, block->subscribed, NULL);
  block->none[0] = NULL;
  struct ArrowArray array = {.length = block->rows,
                             .n_buffers = 1,
                             .buffers = block->none,
                             .n_children = BENCH_COLUMNS,
                             .children = block->pointers,
                             .release = release_block,
                             .private_data = block};
  struct dr_batch *batch = NULL;
  struct dray_error error;
  dray_error_init(&error);
  bench_must(dr_batch_wrap(filler->schema, &array, &batch, &error), &error);
  filler->block = block_new();
  return batch;
}
