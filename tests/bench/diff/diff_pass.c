// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How long the diff engine takes and how much memory: rows of 12 columns, about 132 bytes each as CSV, into an empty
// mirror, then again with one row in a hundred changed. Every phase runs in a process of its own, so that its peak
// memory is its own.
//
//   bench_diff_pass [rows [memory_mib [folder]]]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/diff.h"
#include "dray/destination.h"

#define BATCH_ROWS 8192

static struct {
  uint64_t rows, memory_bytes;
  char folder[512], mirror[600], set[600];
} settings;

struct moment {
  double wall, cpu; // seconds
};

static struct moment moment_now(void) {
  struct timespec wall, cpu;
  (void)clock_gettime(CLOCK_MONOTONIC, &wall);
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return (struct moment){(double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
                         (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9};
}

static void add_since(struct moment *sum, struct moment begin) {
  const struct moment now = moment_now();
  sum->wall += now.wall - begin.wall;
  sum->cpu += now.cpu - begin.cpu;
}

static void must(int32_t code, const struct dray_error *error) {
  if (code == DRAY_OK) return;
  (void)fprintf(stderr, "%d: %s\n", code, error->text);
  exit(1);
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

// Row `number` of the table; rows come in an order of their own, as from a table without a clustered key.
static int32_t put_row(struct dray_builder *builder, uint64_t number, int round, struct dray_error *error) {
  const uint64_t id = number * 2654435761u % 4294967296u, seed = mix(id);
  const int changed = round == 2 && seed % 100 == 0;
  const struct dray_decimal revenue = dray_decimal_of_int64((int64_t)(mix(seed + 5) % 1000000));
  DRAY_TRY(dray_builder_int64(builder, 0, (int64_t)id, error));
  DRAY_TRY(put_text(builder, 1, seed, "@example.com", error));
  DRAY_TRY(put_text(builder, 2, mix(seed) & 255, "", error));
  DRAY_TRY(put_text(builder, 3, mix(seed + 1) & 4095, "", error));
  DRAY_TRY(put_text(builder, 4, mix(seed + 2) & 1023, "ville", error));
  DRAY_TRY(put_text(builder, 5, mix(seed + 3) & 63, "", error));
  DRAY_TRY(dray_builder_date(builder, 6, (int32_t)(18000 + seed % 2000), error));
  DRAY_TRY(dray_builder_timestamp(builder, 7, (int64_t)(1700000000000000 + seed % 10000000000000), error));
  DRAY_TRY(dray_builder_int64(builder, 8, (int64_t)(seed % 50) + changed, error));
  DRAY_TRY(dray_builder_decimal(builder, 9, revenue, error));
  DRAY_TRY(dray_builder_float64(builder, 10, (double)(seed % 1000) / 10, error));
  DRAY_TRY(dray_builder_bool(builder, 11, (int32_t)(seed >> 20 & 1), error));
  return dray_builder_end_row(builder, NULL, error);
}

static struct dr_batch *make_batch(struct dr_schema *schema, uint64_t first, uint64_t count, int round,
                                   struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  must(dray_builder_new(&schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error), error);
  for (uint64_t i = 0; i < count; i++) must(put_row(builder, first + i, round, error), error);
  must(dray_builder_finish(builder, &array, error), error);
  must(dr_batch_wrap(schema, &array, &batch, error), error);
  dray_builder_free(builder);
  return batch;
}

// ---- phases ----

struct bench {
  struct dr_schema *schema;
  struct dr_mirror *mirror;
  struct dray_error error;
  struct moment spent, opened; // inside the engine
  char note[256];
};

static void open_bench(struct bench *bench) {
  static const char *const key[] = {"id"};
  const struct dr_mirror_options options = {.folder = settings.mirror,
                                            .schema = bench->schema,
                                            .key = key,
                                            .key_count = 1,
                                            .seed = 1,
                                            .memory_bytes = settings.memory_bytes,
                                            .create = 1};
  const struct moment begin = moment_now();
  must(dr_mirror_open(&options, &bench->mirror, &bench->error), &bench->error);
  add_since(&bench->opened, begin);
}

static void pass(struct bench *bench, int round) {
  const struct dr_diff_options options = {.flags = DR_DIFF_FULL, .changeset_path = settings.set};
  struct dr_diff *diff = NULL;
  struct dr_diff_counts counts;
  struct moment begin = moment_now();
  must(dr_diff_begin(bench->mirror, &options, &diff, &bench->error), &bench->error);
  add_since(&bench->spent, begin);
  for (uint64_t at = 0; at < settings.rows; at += BATCH_ROWS) {
    const uint64_t left = settings.rows - at;
    struct dr_batch *batch = make_batch(bench->schema, at, left < BATCH_ROWS ? left : BATCH_ROWS, round, &bench->error);
    begin = moment_now();
    must(dr_diff_add(diff, batch, &bench->error), &bench->error);
    add_since(&bench->spent, begin);
  }
  begin = moment_now();
  must(dr_diff_finish(diff, &counts, &bench->error), &bench->error);
  add_since(&bench->spent, begin);
  (void)snprintf(
      bench->note, sizeof bench->note, "%llu inserts, %llu updates, %llu deletes, %llu unchanged, %.1f MB spilled",
      (unsigned long long)counts.inserts, (unsigned long long)counts.updates, (unsigned long long)counts.deletes,
      (unsigned long long)counts.unchanged, (double)counts.spilled_bytes / 1e6);
  dr_diff_free(diff);
}

static void first_pass(struct bench *bench) {
  pass(bench, 1);
}
static void second_pass(struct bench *bench) {
  pass(bench, 2);
}
static void same_pass(struct bench *bench) {
  pass(bench, 1);
}

static void acknowledge(struct bench *bench) {
  struct dr_changeset *set = NULL;
  static uint8_t all[BATCH_ROWS];
  const struct moment begin = moment_now();
  uint64_t seq = 0;
  memset(all, 1, sizeof all);
  must(dr_changeset_open(settings.set, &set, &bench->error), &bench->error);
  for (;;) {
    struct dr_changes *changes = NULL;
    must(dr_changeset_next(set, seq, 1000, 1u << 20, 0, &changes, &bench->error), &bench->error);
    if (changes == NULL) break;
    must(dr_mirror_ack(bench->mirror, changes, all, &bench->error), &bench->error);
    seq += changes->count;
    dr_changes_free(changes);
  }
  must(dr_mirror_commit(bench->mirror, 1, &bench->error), &bench->error);
  add_since(&bench->spent, begin);
  dr_changeset_close(set);
  (void)snprintf(bench->note, sizeof bench->note, "%llu changes in batches of 1,000", (unsigned long long)seq);
}

static void compact(struct bench *bench) {
  struct dr_mirror_info info;
  const struct moment begin = moment_now();
  must(dr_mirror_compact(bench->mirror, &bench->error), &bench->error);
  add_since(&bench->spent, begin);
  dr_mirror_info(bench->mirror, &info);
  (void)snprintf(bench->note, sizeof bench->note, "base of %.1f MB, %.1f bytes a row", (double)info.base_bytes / 1e6,
                 (double)info.base_bytes / (double)info.rows);
}

static void run_phase(const char *name, void (*phase)(struct bench *)) {
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    struct bench bench = {0};
    struct rusage usage;
    dray_error_init(&bench.error);
    must(dr_schema_new(columns, COLUMNS, &bench.schema, &bench.error), &bench.error);
    open_bench(&bench);
    phase(&bench);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("%-21s %6.2f s (cpu %5.2f)  open %5.2f s  peak %6.1f MB  %s\n", name, bench.spent.wall,
                 bench.spent.cpu, bench.opened.wall, (double)usage.ru_maxrss / 1024, bench.note);
    dr_mirror_close(bench.mirror);
    dr_schema_unref(bench.schema);
    exit(0);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) exit(1);
}

int main(int argc, char **argv) {
  settings.rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  settings.memory_bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 256) << 20;
  (void)snprintf(settings.folder, sizeof settings.folder, "%s/dray-bench-diff-XXXXXX", argc > 3 ? argv[3] : "/tmp");
  if (mkdtemp(settings.folder) == NULL) return 1;
  (void)snprintf(settings.mirror, sizeof settings.mirror, "%s/mirror", settings.folder);
  (void)snprintf(settings.set, sizeof settings.set, "%s/changes", settings.folder);
  (void)printf("%llu rows x %zu columns, memory budget %llu MiB\n", (unsigned long long)settings.rows, COLUMNS,
               (unsigned long long)(settings.memory_bytes >> 20));
  run_phase("first pass", first_pass);
  run_phase("acknowledge, commit", acknowledge);
  run_phase("merge", compact);
  run_phase("second pass, 1 %", second_pass);
  run_phase("acknowledge, commit", acknowledge);
  run_phase("third pass, 1 % back", same_pass);
  (void)unlink(settings.set);
  struct dray_error error;
  dray_error_init(&error);
  must(dr_mirror_reset(settings.mirror, &error), &error);
  return rmdir(settings.folder) == 0 ? 0 : 1;
}
