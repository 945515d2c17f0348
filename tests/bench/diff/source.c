// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows from a file of (id, hash), and rows made on the way.
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what) {
  (void)fprintf(stderr, "bench_diff: %s\n", what);
  exit(2);
}

static void make_schema(struct bench_source *source, const struct dray_column_def *columns, size_t count) {
  struct dray_error error;
  dray_error_init(&error);
  bench_must(dr_schema_new(columns, count, &source->schema, &error), &error);
}

// ---- id and hash ----

// Both columns of a batch in one piece of memory, as they stand in the file; the engine lets it go.
struct pair {
  struct ArrowArray children[2];
  struct ArrowArray *pointers[2];
  const void *buffers[2][2];
  const void *none[1];
  int64_t words[];
};

static void release_child(struct ArrowArray *array) {
  array->release = NULL;
}

static void release_pair(struct ArrowArray *array) {
  free(array->private_data);
  array->release = NULL;
}

static struct dr_batch *next_words(struct bench_source *source) {
  const size_t bytes = 2 * BENCH_BATCH_ROWS * sizeof(int64_t);
  struct pair *pair = bench_alloc(sizeof *pair + bytes);
  const size_t rows = fread(pair->words, 1, bytes, source->state) / 16;
  if (rows == 0) {
    free(pair);
    return NULL;
  }
  pair->none[0] = NULL;
  for (size_t i = 0; i < 2; i++) {
    pair->buffers[i][0] = NULL;
    pair->buffers[i][1] = pair->words + i * rows;
    pair->children[i] = (struct ArrowArray){
        .length = (int64_t)rows, .n_buffers = 2, .buffers = pair->buffers[i], .release = release_child};
    pair->pointers[i] = &pair->children[i];
  }
  struct ArrowArray array = {.length = (int64_t)rows,
                             .n_buffers = 1,
                             .buffers = pair->none,
                             .n_children = 2,
                             .children = pair->pointers,
                             .release = release_pair,
                             .private_data = pair};
  struct dr_batch *batch = NULL;
  struct dray_error error;
  dray_error_init(&error);
  bench_must(dr_batch_wrap(source->schema, &array, &batch, &error), &error);
  return batch;
}

static void close_words(struct bench_source *source) {
  (void)fclose(source->state);
}

static void open_words(struct bench_source *source, const char *path) {
  static const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                   {"h", {DRAY_TYPE_INT64, 0, 0}, 0}};
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path);
  (void)setvbuf(file, NULL, _IONBF, 0);
  *source = (struct bench_source){.next = next_words, .close = close_words, .state = file};
  make_schema(source, columns, 2);
}

// ---- made on the way ----

struct made {
  struct bench_table table;
  struct bench_filler *filler;
};

static struct dr_batch *next_made(struct bench_source *source) {
  struct made *made = source->state;
  struct bench_row row;
  while (bench_table_next(&made->table, &row))
    if (bench_filler_put(made->filler, &row)) break;
  return bench_filler_take(made->filler);
}

static void close_made(struct bench_source *source) {
  struct made *made = source->state;
  bench_filler_free(made->filler);
  free(made);
}

static void open_made(struct bench_source *source, const char *spec) {
  struct made *made = bench_alloc(sizeof *made);
  char order[16] = "";
  unsigned long long rows = 0, seed = 1;
  *made = (struct made){0};
  if (sscanf(spec, "%llu:%d:%15[a-z]:%llu", &rows, &made->table.version, order, &seed) < 3) fail(spec);
  made->table.rows = rows;
  made->table.seed = seed;
  made->table.random_order = strcmp(order, "random") == 0;
  *source = (struct bench_source){.next = next_made, .close = close_made, .state = made};
  make_schema(source, bench_columns, BENCH_COLUMNS);
  made->filler = bench_filler_new(source->schema);
}

// ---- by name ----

static void open_postgres(struct bench_source *source, const char *table) {
#ifdef BENCH_POSTGRES
  *source = (struct bench_source){0};
  make_schema(source, bench_columns, BENCH_COLUMNS);
  bench_postgres_open(source, table);
#else
  (void)source;
  (void)table;
  fail("built without libpq");
#endif
}

void bench_source_open(struct bench_source *source, const char *spec) {
  static const struct {
    const char *prefix;
    void (*open)(struct bench_source *source, const char *rest);
  } kinds[] = {{"words:", open_words}, {"rows:", open_made}, {"postgres:", open_postgres}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    const size_t len = strlen(kinds[i].prefix);
    if (strncmp(spec, kinds[i].prefix, len) != 0) continue;
    kinds[i].open(source, spec + len);
    return;
  }
  fail("--source words:FILE, rows:ROWS:VERSION:ORDER or postgres:TABLE");
}

void bench_source_close(struct bench_source *source) {
  source->close(source);
  dr_schema_unref(source->schema);
}
