// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "runner.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "world.h"

#define JOBS_MAX 8
#define CASE_SECONDS_MAX 300

struct options {
  uint64_t seed, first, count, failures_max;
  int jobs, shrink, verbose, one;
  uint32_t parts; // CUT_*
};

#ifdef __SANITIZE_ADDRESS__
// Less is kept of what was freed, and shorter stacks: SQLite frees more than all the rest.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "malloc_context_size=10:quarantine_size_mb=16";
}
#endif

// What the processes share.
struct board {
  _Atomic uint64_t next;         // case
  _Atomic uint64_t at[JOBS_MAX]; // case of each job
  _Atomic uint64_t stats[STAT_COUNT];
};
static struct board *board;
static char root[PATH_BYTES_MAX / 4];

void runner_count(int stat, uint64_t more) {
  board->stats[stat] += more;
}

static void folder_of(int job, char *out, size_t bytes) {
  (void)snprintf(out, bytes, "%s/%d", root, job);
}

// ---- many ----

static void work(const struct options *options, int job) {
  char folder[PATH_BYTES_MAX / 2];
  const struct cuts cuts = {.parts = options->parts};
  folder_of(job, folder, sizeof folder);
  for (;;) {
    const uint64_t number = board->next++;
    if (number >= options->first + options->count) break;
    board->at[job] = number;
    (void)alarm(CASE_SECONDS_MAX);
    runner_case(options->seed, number, &cuts, folder, options->verbose);
  }
  runner_end();
}

static pid_t start(const struct options *options, int job) {
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    work(options, job);
    exit(0); // leaks are looked for
  }
  return pid;
}

static uint64_t run_all(const struct options *options) {
  pid_t pids[JOBS_MAX];
  uint64_t failures = 0;
  int running = 0;
  for (int job = 0; job < options->jobs; job++) {
    pids[job] = start(options, job);
    running++;
  }
  while (running > 0) {
    int status = 0, job = 0;
    const pid_t pid = wait(&status);
    if (pid < 0) break;
    while (job < options->jobs && pids[job] != pid) job++;
    if (job == options->jobs) continue;
    running--;
    if (status == 0) continue;
    failures++;
    printf("case %" PRIu64 " of seed %" PRIu64 " failed (%s %d)\n", board->at[job], options->seed,
           WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (failures >= options->failures_max) board->next = UINT64_MAX / 2;
    pids[job] = start(options, job);
    running++;
  }
  return failures;
}

// ---- one, made small ----

static int fails(const struct options *options, uint64_t number, const struct cuts *cuts, int quiet) {
  char folder[PATH_BYTES_MAX / 2];
  int status = 0;
  folder_of(0, folder, sizeof folder);
  (void)fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    if (quiet) {
      const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
      if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(2);
    }
    (void)alarm(CASE_SECONDS_MAX);
    runner_case(options->seed, number, cuts, folder, !quiet);
    runner_end();
    _exit(0);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && status != 0;
}

static int try_bits(const struct options *options, uint64_t number, struct cuts *cuts, uint32_t *bits, int count) {
  int progress = 0;
  for (int i = 0; i < count; i++) {
    const uint32_t before = *bits;
    if ((before >> i & 1) != 0) continue;
    *bits |= 1u << i;
    if (fails(options, number, cuts, 1)) {
      progress = 1;
    } else {
      *bits = before;
    }
  }
  return progress;
}

// Leaves out halves, quarters ... of the rows.
static int try_rows(const struct options *options, uint64_t number, struct cuts *cuts, uint8_t *off, uint32_t count) {
  int progress = 0;
  for (uint32_t size = count; size > 0; size /= 2) {
    for (uint32_t at = 0; at < count; at += size) {
      const uint32_t end = at + size < count ? at + size : count;
      uint8_t *held = malloc(count + 1);
      if (held == NULL) abort();
      memcpy(held, off, count);
      memset(off + at, 1, end - at);
      const int news = memcmp(held, off, count) != 0;
      if (news && fails(options, number, cuts, 1)) {
        progress = 1;
      } else {
        memcpy(off, held, count);
      }
      free(held);
    }
  }
  return progress;
}

static void shrink(const struct options *options, uint64_t number) {
  const uint32_t entities = runner_entities(options->seed, number, options->parts);
  uint8_t *off = calloc(entities + 1, 1);
  struct cuts cuts = {.parts = options->parts, .entities = off};
  if (off == NULL) abort();
  if (!fails(options, number, &cuts, 1)) {
    printf("case %" PRIu64 " does not fail\n", number);
    free(off);
    return;
  }
  for (int round = 0, progress = 1; round < 4 && progress; round++) {
    progress = try_bits(options, number, &cuts, &cuts.steps, STEPS_MAX);
    progress |= try_rows(options, number, &cuts, off, entities);
    progress |= try_bits(options, number, &cuts, &cuts.parts, CUT_COUNT);
    progress |= try_bits(options, number, &cuts, &cuts.columns, COLUMNS_MAX);
  }
  printf("made small (parts 0x%x, steps 0x%x and columns 0x%x left out):\n", cuts.parts, cuts.steps, cuts.columns);
  if (!fails(options, number, &cuts, 0)) printf("it does not fail every time\n");
  free(off);
}

// ---- the command line ----

static const char usage[] = "[--cases N] [--first N] [--seed N] [--jobs N] [--lie 1|2|4] [--failures N] [--keep-row]\n"
                            "  --case N     one case alone, told in full\n"
                            "  --shrink     and made as small as it gets while it fails\n"
                            "  --lie BYTES  prints of so many bytes in the filter (DRAY_FILTER_BYTES)\n"
                            "  --keep-row   mirrors keep whole rows only\n";

static int parse(struct options *options, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--shrink") == 0) options->shrink = 1;
    if (strcmp(name, "--keep-row") == 0) options->parts |= CUT_KEEP;
    if (strcmp(name, "--shrink") == 0 || strcmp(name, "--keep-row") == 0) continue;
    if (i + 1 == argc) return 0;
    const uint64_t value = strtoull(argv[++i], NULL, 10);
    if (strcmp(name, "--cases") == 0) {
      options->count = value;
    } else if (strcmp(name, "--first") == 0) {
      options->first = value;
    } else if (strcmp(name, "--seed") == 0) {
      options->seed = value;
    } else if (strcmp(name, "--failures") == 0) {
      options->failures_max = value;
    } else if (strcmp(name, "--jobs") == 0 && value >= 1 && value <= JOBS_MAX) {
      options->jobs = (int)value;
    } else if (strcmp(name, "--case") == 0) {
      options->first = value;
      options->one = 1;
    } else if (strcmp(name, "--lie") == 0) {
      if (value == 1) options->parts |= CUT_FEW;
      if (setenv("DRAY_TEST", "1", 1) != 0 || setenv("DRAY_FILTER_BYTES", argv[i], 1) != 0) return 0;
    } else {
      return 0;
    }
  }
  return 1;
}

static void make_folders(void) {
  char folder[PATH_BYTES_MAX / 2];
  // In memory where that can be had: what is written matters here, not how long a disk takes.
  (void)snprintf(root, sizeof root, "%s/dray-oracle-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  if (mkdtemp(root) == NULL) abort();
  for (int job = 0; job < JOBS_MAX; job++) {
    folder_of(job, folder, sizeof folder);
    if (mkdir(folder, 0700) != 0) abort();
  }
}

static void remove_folders(void) {
  char folder[PATH_BYTES_MAX / 2];
  for (int job = 0; job < JOBS_MAX; job++) {
    folder_of(job, folder, sizeof folder);
    world_clear(folder);
    (void)rmdir(folder);
  }
  (void)rmdir(root);
}

static void print_sums(const struct options *options, uint64_t failures, double seconds) {
  static const char *const names[] = {"passes", "rows", "changes", "deferred", "kills", "doubts", "refused"};
  printf("seed %" PRIu64 ", cases %" PRIu64 " to %" PRIu64 ": %" PRIu64 " failed", options->seed, options->first,
         options->first + options->count - 1, failures);
  for (int i = 0; i < STAT_COUNT; i++) {
    if (board->stats[i] > 0) printf(", %" PRIu64 " %s", board->stats[i], names[i]);
  }
  printf(", %.1f s\n", seconds);
}

static double now(void) {
  struct timespec time;
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int runner_main(int argc, char **argv) {
  struct options options = {.seed = 1, .count = 300, .failures_max = 5, .jobs = 1};
  const double begin = now();
  uint64_t failures = 0;
  if (!parse(&options, argc, argv)) {
    fprintf(stderr, "usage: %s %s", argv[0], usage);
    return 2;
  }
  heap_install();
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED) abort();
  make_folders();
  if (options.one && options.shrink) {
    shrink(&options, options.first);
    failures = 1;
  } else if (options.one) {
    const struct cuts cuts = {.parts = options.parts};
    failures = (uint64_t)fails(&options, options.first, &cuts, 0);
    printf("case %" PRIu64 " %s\n", options.first, failures > 0 ? "failed" : "is right");
  } else {
    board->next = options.first;
    failures = run_all(&options);
    print_sums(&options, failures, now() - begin);
  }
  remove_folders();
  return failures > 0;
}
