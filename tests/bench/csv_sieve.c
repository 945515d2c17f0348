// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two CSV files of customers, 12 columns and about 132 bytes a row, through the sieve:
//   bench_csv_sieve FOLDER [rows [order [threads [memory_mb [rounds [chunk_kb]]]]]]
// `order`: same, unmerged (the same files without the merge), or shuffled (NEW in another order).
// 1 % of the rows are inserted, 5 % updated, 1 % deleted. The files
// are made in FOLDER from a fixed seed when they are not there, and stay there. Prints one line of JSON a round: wall
// and CPU seconds of the sieve alone, the peak of this process, and what was found.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "compare/sieve.h"

#define PATH_BYTES 1024
#define FOLDER_BYTES_MAX 900

struct plan {
  uint64_t rows;  // of OLD
  uint64_t slots; // of both together: the inserted ones are behind
  int shuffled;
};

static uint64_t mix(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

// A permutation of [0, count): four rounds of Feistel, walked until the result is inside.
static uint64_t permute(uint64_t at, uint64_t count) {
  unsigned half = 1;
  while (UINT64_C(1) << 2 * half < count) half++;
  const uint64_t mask = (UINT64_C(1) << half) - 1;
  do {
    uint64_t left = at >> half, right = at & mask;
    for (uint64_t round = 0; round < 4; round++) {
      const uint64_t next = left ^ (mix(right + round * 77) & mask);
      left = right;
      right = next;
    }
    at = left << half | right;
  } while (at >= count);
  return at;
}

static void write_row(FILE *file, uint64_t id, uint64_t version) {
  static const char *const countries[] = {"Germany", "France",  "Italy",  "Spain",
                                          "Poland",  "Austria", "Sweden", "Ireland"};
  static const char *const cities[] = {"Berlin", "Paris", "Rome", "Madrid", "Warsaw", "Vienna", "Stockholm", "Dublin"};
  static const char *const states[] = {"active", "paused", "closed", "trial"};
  const uint64_t a = mix(id), b = mix(a), c = mix(b ^ version);
  (void)fprintf(file,
                "%llu,user%llu@example.com,First%llu,Lastname%llu,%s,%s,%llu Long Street,%05llu,%llu.%02llu,%s,"
                "20%02llu-%02llu-%02llu,2024-%02llu-%02llu %02llu:%02llu:%02llu\n",
                (unsigned long long)id, (unsigned long long)(a % 100000000), (unsigned long long)(a % 5000),
                (unsigned long long)(b % 90000), countries[a >> 60 & 7], cities[a >> 60 & 7],
                (unsigned long long)(b % 900 + 1), (unsigned long long)(b % 99999), (unsigned long long)(c % 100000),
                (unsigned long long)(c >> 40) % 100, states[c >> 60 & 3], (unsigned long long)(a % 24),
                (unsigned long long)(a % 12 + 1), (unsigned long long)(b % 28 + 1), (unsigned long long)(c % 12 + 1),
                (unsigned long long)(c >> 20) % 28 + 1, (unsigned long long)(c >> 30) % 24,
                (unsigned long long)(c >> 35) % 60, (unsigned long long)(b >> 35) % 60);
}

static int make_file(const char *path, const struct plan *plan, int is_new) {
  struct stat info;
  if (stat(path, &info) == 0) return 0;
  FILE *file = fopen(path, "w");
  if (file == NULL) return 1;
  (void)fputs("id,email,first,last,country,city,street,zip,balance,state,born,updated\n", file);
  for (uint64_t i = 0; i < plan->slots; i++) {
    const uint64_t id = is_new && plan->shuffled ? permute(i, plan->slots) : i;
    const uint64_t fate = mix(id ^ 4711) % 100;
    if (!is_new && id >= plan->rows) continue;
    if (is_new && id < plan->rows && fate == 0) continue; // deleted
    write_row(file, id + 1000, is_new && fate >= 1 && fate <= 5 ? 1 : 0);
  }
  return fclose(file) != 0;
}

static double seconds(clockid_t clock) {
  struct timespec now;
  (void)clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run(const struct dr_sieve_options *options, const char *order) {
  struct dray_error error;
  struct dr_sieve *sieve = NULL;
  struct rusage usage;
  dray_error_init(&error);
  const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  if (dr_sieve_run(options, &sieve, &error) != DRAY_OK) {
    (void)fprintf(stderr, "%s\n", error.text);
    return 1;
  }
  const double wall_s = seconds(CLOCK_MONOTONIC) - wall, cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  const struct dr_sieve_result *result = dr_sieve_result(sieve);
  (void)getrusage(RUSAGE_SELF, &usage);
  (void)printf("{\"bench\":\"csv_sieve\",\"order\":\"%s\",\"rows\":%llu,\"threads\":%u,\"wall_s\":%.3f,\"cpu_s\":%.3f,"
               "\"peak_mb\":%ld,\"sievable\":%d,\"spilled\":%d,\"merged\":%d,\"unchanged\":%llu,\"rest_old\":%llu,"
               "\"rest_new\":%llu}\n",
               order, (unsigned long long)result->sides[0].rows, options->threads, wall_s, cpu_s,
               usage.ru_maxrss / 1024, result->sievable, result->spilled, result->merged,
               (unsigned long long)result->unchanged, (unsigned long long)result->sides[0].rest_rows,
               (unsigned long long)result->sides[1].rest_rows);
  if (!result->sievable) (void)fprintf(stderr, "%s\n", result->reason);
  dr_sieve_free(sieve);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2 || strlen(argv[1]) > FOLDER_BYTES_MAX) {
    (void)fprintf(stderr,
                  "usage: %s FOLDER [rows [same|unmerged|shuffled [threads [memory_mb [rounds [chunk_kb]]]]]]\n",
                  argv[0]);
    return 2;
  }
  struct plan plan = {.rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000};
  const char *order = argc > 3 ? argv[3] : "same";
  plan.slots = plan.rows + plan.rows / 100;
  plan.shuffled = strcmp(order, "shuffled") == 0;
  const int unmerged = strcmp(order, "unmerged") == 0;
  char old_path[PATH_BYTES], new_path[PATH_BYTES];
  (void)snprintf(old_path, sizeof(old_path), "%s/old-%llu.csv", argv[1], (unsigned long long)plan.rows);
  (void)snprintf(new_path, sizeof(new_path), "%s/new-%s-%llu.csv", argv[1], unmerged ? "same" : order,
                 (unsigned long long)plan.rows);
  if (make_file(old_path, &plan, 0) || make_file(new_path, &plan, 1)) {
    perror("cannot write the files");
    return 1;
  }
  const struct dr_sieve_key key = {"id", {DRAY_TYPE_INT64, 0, 0}};
  const struct dr_sieve_options options = {.paths = {old_path, new_path},
                                           .temp_folder = argv[1],
                                           .header = 1,
                                           .keys = &key,
                                           .key_count = 1,
                                           .rest_memory_bytes = UINT64_C(192) << 20,
                                           .no_merge = unmerged,
                                           .threads = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 2,
                                           .chunk_bytes = argc > 7 ? (uint32_t)strtoul(argv[7], NULL, 10) << 10 : 0,
                                           .memory_bytes = argc > 5 ? strtoull(argv[5], NULL, 10) << 20 : 0};
  const unsigned long rounds = argc > 6 ? strtoul(argv[6], NULL, 10) : 3;
  for (unsigned long i = 0; i < rounds; i++) {
    if (run(&options, order) != 0) return 1;
  }
  return 0;
}
