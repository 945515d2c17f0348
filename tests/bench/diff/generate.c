// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes one version of the benchmarks' table to a file.
//
//   bench_generate FORMAT ROWS VERSION ORDER FILE [SEED]
//
// FORMAT: csv (with a header line) · pairs (id,hash as CSV, for databases) · words (the same as little-endian 64-bit
// integers: the ids of 8,192 rows, then their hashes) · count (writes nothing). ORDER: key or random. Prints one
// line of JSON: rows and bytes written, and what a diff of version 1 and version 2 must find.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "customers.h"

#define OUT_BYTES (4u << 20)

static struct {
  FILE *file;
  uint64_t rows, bytes;
  uint64_t words[2 * BENCH_BATCH_ROWS]; // ids, then hashes
  size_t held;
} out;

static void fail(const char *what) {
  (void)fprintf(stderr, "bench_generate: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_bytes(const void *data, size_t bytes) {
  if (fwrite(data, 1, bytes, out.file) != bytes) fail("write");
  out.bytes += bytes;
}

static void put_csv(const struct bench_row *row) {
  char line[BENCH_CSV_BYTES_MAX];
  write_bytes(line, bench_row_csv(row, line));
}

static void put_pair(const struct bench_row *row) {
  char line[64];
  // As signed numbers: that is what databases have.
  const int len = snprintf(line, sizeof line, "%lld,%lld\n", (long long)row->id, (long long)row->hash);
  write_bytes(line, (size_t)len);
}

static void flush_words(void) {
  write_bytes(out.words, out.held * 8);
  write_bytes(out.words + BENCH_BATCH_ROWS, out.held * 8);
  out.held = 0;
}

static void put_words(const struct bench_row *row) {
  out.words[out.held] = (uint64_t)row->id;
  out.words[BENCH_BATCH_ROWS + out.held] = row->hash;
  if (++out.held == BENCH_BATCH_ROWS) flush_words();
}

static const struct format {
  const char *name, *header;
  void (*put)(const struct bench_row *row);
} formats[] = {
    {"csv", BENCH_CSV_HEADER, put_csv},
    {"pairs", "id,h\n", put_pair},
    {"words", "", put_words},
    {"count", "", NULL},
};

static const struct format *find_format(const char *name) {
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
    if (strcmp(formats[i].name, name) == 0) return &formats[i];
  return NULL;
}

static void write_table(const struct format *format, struct bench_table table, const char *path) {
  out.file = fopen(path, "wb");
  if (out.file == NULL) fail(path);
  char *buffer = bench_alloc(OUT_BYTES);
  (void)setvbuf(out.file, buffer, _IOFBF, OUT_BYTES);
  write_bytes(format->header, strlen(format->header));
  for (struct bench_row row; bench_table_next(&table, &row); out.rows++) format->put(&row);
  if (out.held > 0) flush_words();
  if (fclose(out.file) != 0) fail(path);
  free(buffer);
}

int main(int argc, char **argv) {
  const struct format *format = argc >= 6 ? find_format(argv[1]) : NULL;
  if (format == NULL) {
    (void)fprintf(stderr, "bench_generate csv|pairs|words|count ROWS VERSION key|random FILE [SEED]\n");
    return 2;
  }
  const struct bench_table table = {.rows = strtoull(argv[2], NULL, 10),
                                    .version = argv[3][0] == '2' ? 2 : 1,
                                    .random_order = strcmp(argv[4], "random") == 0,
                                    .seed = argc > 6 ? strtoull(argv[6], NULL, 10) : 1};
  struct bench_counts counts;
  bench_table_count(&table, &counts);
  if (format->put != NULL) write_table(format, table, argv[5]);
  (void)printf("{\"rows\": %llu, \"bytes\": %llu, \"inserts\": %llu, \"updates\": %llu, \"deletes\": %llu, "
               "\"unchanged\": %llu}\n",
               (unsigned long long)counts.rows, (unsigned long long)out.bytes, (unsigned long long)counts.inserts,
               (unsigned long long)counts.updates, (unsigned long long)counts.deletes,
               (unsigned long long)counts.unchanged);
  return format->put == NULL || out.rows == counts.rows ? 0 : 1;
}
