// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The diff engine at work: opens a mirror, does the steps that it is told one after the other, prints what each took as
// one line of JSON. One process a measurement, so that its peak memory is its own.
//
//   bench_diff STEPS --mirror FOLDER --set FILE --source SPEC [--keep row|columns|key] [--key COLUMN] [--threads N]
//              [--memory MIB] [--batch ROWS] [--group MS] [--limit CHANGES]
//
// STEPS, with commas between: pass (all rows of the source against the mirror), first (until the first batch is
// settled; nothing follows), ack (the whole set, and commit), groups (acknowledge in batches of --batch changes, commit
// when --group ms have passed since the last), compact.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diff/diff.h"
#include "source.h"

static struct {
  const char *mirror, *set, *source, *key;
  int keep;
  unsigned threads;
  uint64_t memory_bytes, batch_rows, limit;
  double group_s;
} settings = {
    .key = "id", .threads = 0, .memory_bytes = 256u << 20, .batch_rows = 1000, .limit = UINT64_MAX, .group_s = 0.05};

static struct {
  struct bench_source source;
  struct dr_mirror *mirror;
  struct dr_diff *diff;
  struct dray_error error;
  uint64_t generation;
  double engine_s, engine_cpu_s; // inside the pass's calls, in the caller's thread
} bench;

static double clock_s(clockid_t clock) {
  struct timespec now;
  (void)clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall_s(void) {
  return clock_s(CLOCK_MONOTONIC);
}

// Starts or ends a stretch inside the engine.
static void count_engine(double sign) {
  bench.engine_s += sign * wall_s();
  bench.engine_cpu_s += sign * clock_s(CLOCK_THREAD_CPUTIME_ID);
}

// The process's own peak: ru_maxrss would begin with that of whoever started it.
static double peak_mb(void) {
  char line[128];
  unsigned long long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmHWM: %llu", &kib) == 1) break;
  if (file != NULL) (void)fclose(file);
  return (double)kib / 1024;
}

static void must(int32_t code) {
  bench_must(code, &bench.error);
}

// ---- what is measured: callgrind counts from entry to exit of these, by their name ----

#define MEASURED __attribute__((noinline)) static void

MEASURED measured_open(void) {
  const char *const key[] = {settings.key};
  const struct dr_mirror_options options = {.folder = settings.mirror,
                                            .schema = bench.source.schema,
                                            .key = key,
                                            .key_count = 1,
                                            .seed = 1,
                                            .memory_bytes = settings.memory_bytes,
                                            .create = 1,
                                            .keep = settings.keep,
                                            .threads = settings.threads};
  must(dr_mirror_open(&options, &bench.mirror, &bench.error));
}

MEASURED measured_begin(void) {
  const struct dr_diff_options options = {
      .flags = DR_DIFF_FULL, .duplicates = DR_DUPLICATES_REJECT, .changeset_path = settings.set};
  must(dr_diff_begin(bench.mirror, &options, &bench.diff, &bench.error));
}

MEASURED measured_add(struct dr_batch *batch) {
  must(dr_diff_add(bench.diff, batch, &bench.error));
}

MEASURED measured_finish(struct dr_diff_counts *counts) {
  must(dr_diff_finish(bench.diff, counts, &bench.error));
}

MEASURED measured_ack_all(struct dr_changeset *set, uint64_t count) {
  must(dr_mirror_ack_all(bench.mirror, set, count, &bench.error));
}

MEASURED measured_commit(void) {
  must(dr_mirror_commit(bench.mirror, bench.generation, &bench.error));
}

MEASURED measured_compact(void) {
  must(dr_mirror_compact(bench.mirror, &bench.error));
}

// ---- steps ----

static void step_pass(void) {
  struct dr_diff_counts counts;
  count_engine(-1);
  measured_begin();
  count_engine(1);
  for (struct dr_batch *batch; (batch = bench.source.next(&bench.source)) != NULL;) {
    count_engine(-1);
    measured_add(batch);
    count_engine(1);
  }
  const double begin = wall_s();
  count_engine(-1);
  measured_finish(&counts);
  count_engine(1);
  (void)printf(
      "\"engine_s\": %.6f, \"engine_cpu_s\": %.6f, \"finish_s\": %.6f, \"rows\": %llu, \"inserts\": %llu, "
      "\"updates\": %llu, \"deletes\": %llu, \"unchanged\": %llu, \"deferred\": %llu, \"spilled_bytes\": %llu, ",
      bench.engine_s, bench.engine_cpu_s, wall_s() - begin, (unsigned long long)counts.rows,
      (unsigned long long)counts.inserts, (unsigned long long)counts.updates, (unsigned long long)counts.deletes,
      (unsigned long long)counts.unchanged, (unsigned long long)counts.deferred,
      (unsigned long long)counts.spilled_bytes);
  dr_diff_free(bench.diff);
}

static void step_first(void) {
  measured_begin();
  struct dr_batch *batch = bench.source.next(&bench.source);
  if (batch != NULL) measured_add(batch);
  dr_diff_free(bench.diff);
}

static struct dr_changeset *open_set(void) {
  struct dr_changeset *set = NULL;
  struct dr_mirror_info info;
  must(dr_changeset_open(settings.set, &set, &bench.error));
  dr_mirror_info(bench.mirror, &info);
  // A run without changes commits nothing.
  bench.generation = info.generation + (dr_changeset_count(set) > 0);
  return set;
}

static void step_ack(void) {
  struct dr_changeset *set = open_set();
  measured_ack_all(set, dr_changeset_count(set));
  measured_commit();
  dr_changeset_close(set);
}

static void step_groups(void) {
  struct dr_changeset *set = open_set();
  uint8_t *all = bench_alloc(settings.batch_rows);
  uint64_t seq = 0, commits = 0;
  double last = wall_s();
  memset(all, 1, settings.batch_rows);
  while (seq < settings.limit) {
    struct dr_changes *changes = NULL;
    must(dr_changeset_next(set, seq, settings.batch_rows, 1u << 20, 0, &changes, &bench.error));
    if (changes == NULL) break;
    must(dr_mirror_ack(bench.mirror, changes, all, &bench.error));
    seq += changes->count;
    dr_changes_free(changes);
    if (wall_s() - last < settings.group_s) continue;
    measured_commit();
    bench.generation++;
    commits++;
    last = wall_s();
  }
  measured_commit();
  (void)printf("\"changes\": %llu, \"commits\": %llu, ", (unsigned long long)seq, (unsigned long long)commits + 1);
  dr_changeset_close(set);
  free(all);
}

static const struct {
  const char *name;
  void (*run)(void);
} steps[] = {
    {"pass", step_pass},     {"first", step_first},         {"ack", step_ack},
    {"groups", step_groups}, {"compact", measured_compact},
};

static void run_step(const char *name, size_t len) {
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    if (strlen(steps[i].name) != len || memcmp(steps[i].name, name, len) != 0) continue;
    const double begin = wall_s();
    steps[i].run();
    (void)printf("\"%s_s\": %.6f, ", steps[i].name, wall_s() - begin);
    return;
  }
  (void)fprintf(stderr, "bench_diff: no step %.*s\n", (int)len, name);
  exit(2);
}

// ---- the command line ----

static int keep_of(const char *name) {
  if (strcmp(name, "columns") == 0) return DR_KEEP_COLUMNS;
  return strcmp(name, "key") == 0 ? DR_KEEP_KEY : DR_KEEP_ROW;
}

static void read_options(int argc, char **argv) {
  static const struct option options[] = {
      {"mirror", 1, NULL, 'm'}, {"set", 1, NULL, 's'},     {"source", 1, NULL, 'r'}, {"keep", 1, NULL, 'k'},
      {"key", 1, NULL, 'c'},    {"threads", 1, NULL, 't'}, {"memory", 1, NULL, 'b'}, {"batch", 1, NULL, 'n'},
      {"group", 1, NULL, 'g'},  {"limit", 1, NULL, 'l'},   {NULL, 0, NULL, 0},
  };
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    switch (option) {
    case 'm':
      settings.mirror = optarg;
      break;
    case 's':
      settings.set = optarg;
      break;
    case 'r':
      settings.source = optarg;
      break;
    case 'k':
      settings.keep = keep_of(optarg);
      break;
    case 'c':
      settings.key = optarg;
      break;
    case 't':
      settings.threads = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 'b':
      settings.memory_bytes = strtoull(optarg, NULL, 10) << 20;
      break;
    case 'n':
      settings.batch_rows = strtoull(optarg, NULL, 10);
      break;
    case 'g':
      settings.group_s = strtod(optarg, NULL) / 1e3;
      break;
    case 'l':
      settings.limit = strtoull(optarg, NULL, 10);
      break;
    default:
      exit(2);
    }
  }
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  if (optind + 1 != argc || settings.mirror == NULL || settings.set == NULL || settings.source == NULL) {
    (void)fprintf(stderr, "bench_diff STEPS --mirror FOLDER --set FILE --source SPEC\n");
    return 2;
  }
  dray_error_init(&bench.error);
  const double begin = wall_s();
  bench_source_open(&bench.source, settings.source);
  const double opening = wall_s();
  measured_open();
  (void)printf("{\"open_s\": %.6f, ", wall_s() - opening);
  for (const char *at = argv[optind]; *at != '\0'; at += *at == ',') {
    const size_t len = strcspn(at, ",");
    run_step(at, len);
    at += len;
  }
  const double end = wall_s();
  struct dr_mirror_info info;
  dr_mirror_info(bench.mirror, &info);
  (void)printf("\"mirror_rows\": %llu, \"base_bytes\": %llu, \"journal_bytes\": %llu, \"peak_mb\": %.1f, \"cpu_s\": "
               "%.6f, \"total_s\": %.6f}\n",
               (unsigned long long)info.rows, (unsigned long long)info.base_bytes,
               (unsigned long long)info.journal_bytes, peak_mb(), clock_s(CLOCK_PROCESS_CPUTIME_ID), end - begin);
  dr_mirror_close(bench.mirror);
  bench_source_close(&bench.source);
  return 0;
}
