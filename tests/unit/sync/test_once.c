// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that are only created, at a destination where dice decide what happens to each call, row, job and answer
// (probe/dice.c), through runs that are killed at any step: no row is created twice, none is lost, and every row is in
// one count. DRAY_DICE=FIRST:COUNT[:KIND] throws with other seeds than the suite, or plays one kind alone (its place in
// the table, from 0); a failure names seed and kind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "dray/destination.h"
#include "scene.h"
#include "store/store.h"

#define ROWS 12
#define RUNS_WITH_DICE 3
#define RUNS_MAX 8
#define SEEDS 4
#define KEY_LIFE 800

static const struct kind {
  const char *name;
  int doubt;
  const char *keys; // JSON
  int parallel, jobs;
  int may_repeat; // creating them again does no harm
  int key_life;   // seconds that a key is remembered, while time passes between the runs; 0: for ever
} kinds[] = {
    {"resend", DRAY_DOUBT_RESEND, "null", 1, 0, 1, 0},
    {"resend, jobs, lanes", DRAY_DOUBT_RESEND, "null", 3, 1, 1, 0},
    {"keys of rows", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"row\"", 1, 0, 0, 0},
    {"keys of rows, lanes", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"row\"", 3, 0, 0, 0},
    {"keys of batches", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"batch\"", 1, 0, 0, 0},
    {"keys of batches, lanes", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"batch\"", 3, 0, 0, 0},
    {"keys of rows, forgotten", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"row\"", 1, 0, 0, KEY_LIFE},
    {"keys of rows, forgotten, lanes", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"row\"", 3, 0, 0, KEY_LIFE},
    {"keys of batches, forgotten", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"batch\"", 1, 0, 0, KEY_LIFE},
    {"keys of batches, forgotten, lanes", DRAY_DOUBT_IDEMPOTENCY_KEY, "\"batch\"", 3, 0, 0, KEY_LIFE},
    {"read back", DRAY_DOUBT_READ_BACK, "null", 1, 0, 0, 0},
    {"read back, lanes", DRAY_DOUBT_READ_BACK, "null", 3, 0, 0, 0},
    {"read back, jobs", DRAY_DOUBT_READ_BACK, "null", 1, 1, 0, 0},
    {"read back, jobs, lanes", DRAY_DOUBT_READ_BACK, "null", 3, 1, 0, 0},
    {"no way out", DRAY_DOUBT_NONE, "null", 1, 0, 0, 0},
    {"no way out, jobs, lanes", DRAY_DOUBT_NONE, "null", 3, 1, 0, 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *const steps[] = {
    "delivery.sending",  "delivery.written", "delivery.doubt_noted", "delivery.answered", "delivery.claimed",
    "delivery.mirrored", "delivery.settled", "delivery.split",       "sync.judged",       "sync.activated",
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

struct game {
  struct scene scene;
  const struct kind *kind;
  unsigned seed;
  int run;
  long long passed_s;
};

static void script(struct game *game, unsigned seed) {
  const struct kind *kind = game->kind;
  char rows[ROWS * 16] = "[", more[256];
  size_t len = 1;
  for (int id = 1; id <= ROWS; id++) {
    len += (size_t)snprintf(rows + len, sizeof(rows) - len, "%s[%d,\"a\"]", id > 1 ? "," : "", id);
  }
  (void)snprintf(rows + len, sizeof(rows) - len, "]");
  (void)snprintf(more, sizeof(more),
                 ", \"caps\": {\"doubt\": %d, \"rows_max\": 5, \"parallel\": %d, \"jobs\": 2, \"flags\": %d, "
                 "\"key_life\": %d}, "
                 "\"dice\": {\"seed\": %u, \"keys\": %s, \"jobs\": %d}",
                 kind->doubt, kind->parallel, DRAY_CAPS_PARTIAL | (kind->jobs ? DRAY_CAPS_ASYNC : 0), kind->key_life,
                 seed, kind->keys, kind->jobs);
  scene_rows(&game->scene, rows, more);
}

#define FAIL(game, ...)                                                                                                \
  do {                                                                                                                 \
    print_error("%s, seed %u, run %d: ", (game)->kind->name, (game)->seed, (game)->run);                               \
    fail_msg(__VA_ARGS__);                                                                                             \
  } while (0)

// Line by line what the destination was told, for whoever looks into a failure.
static void show_ledger(const struct scene *scene) {
  char path[128], line[1024];
  (void)snprintf(path, sizeof(path), "%s/p/ledger", scene->folder);
  FILE *file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) print_error("  %s", line);
  if (file != NULL) (void)fclose(file);
}

static void none_came_twice(struct game *game) {
  if (scene_count(&game->scene, "UNLIKE ") > 0) {
    show_ledger(&game->scene);
    FAIL(game, "a key was used for other rows");
  }
  for (int id = 1; id <= ROWS && !game->kind->may_repeat; id++) {
    char line[32];
    (void)snprintf(line, sizeof(line), "GOT %d ", id);
    if (scene_count(&game->scene, line) <= 1) continue;
    show_ledger(&game->scene);
    FAIL(game, "row %d was created %zu times", id, scene_count(&game->scene, line));
  }
}

// Of a first run: nothing of an earlier one is counted with it.
static void each_is_in_one_count(struct game *game) {
  const struct dr_run_report *report = &game->scene.report;
  const uint64_t counted =
      report->applied + report->refused + report->in_doubt + report->pending + report->kept_back + report->unsent;
  if (counted == ROWS) return;
  show_ledger(&game->scene);
  FAIL(game, "%llu applied, %llu refused, %llu in doubt, %llu pending, %llu kept back, %llu unsent: not %d (%s)",
       (unsigned long long)report->applied, (unsigned long long)report->refused, (unsigned long long)report->in_doubt,
       (unsigned long long)report->pending, (unsigned long long)report->kept_back, (unsigned long long)report->unsent,
       ROWS, report->error.text);
}

static void look_at_store(struct game *game, size_t *out_open, uint64_t *out_parked) {
  struct dr_store *store = scene_store(&game->scene);
  struct dr_batch_record *open = NULL;
  struct dray_error error;
  uint64_t rejected = 0;
  assert_int_equal(dr_store_batches_open(store, "s", &open, out_open, &error), DRAY_OK);
  free(open);
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, out_parked, &error), DRAY_OK);
  dr_store_close(store);
}

// Nothing goes wrong any more: after some runs all is settled.
static void none_is_lost(struct game *game) {
  size_t open = 1;
  uint64_t parked = 0;
  script(game, 0);
  for (int i = 0; i < RUNS_MAX && open > 0; i++, game->run++) {
    if (scene_run(&game->scene, 0) != DRAY_OK) FAIL(game, "%s", game->scene.report.error.text);
    none_came_twice(game);
    look_at_store(game, &open, &parked);
  }
  if (open > 0) FAIL(game, "%zu batches stay open", open);
  const uint64_t in_mirror = game->scene.report.mirror_rows;
  if (game->kind->doubt != DRAY_DOUBT_NONE && game->kind->key_life == 0 && parked > 0)
    FAIL(game, "%llu rows are parked", (unsigned long long)parked);
  if (in_mirror + parked != ROWS) {
    show_ledger(&game->scene);
    FAIL(game, "%llu rows in the mirror, %llu parked", (unsigned long long)in_mirror, (unsigned long long)parked);
  }
  size_t created = 0;
  for (int id = 1; id <= ROWS; id++) {
    char line[32];
    (void)snprintf(line, sizeof(line), "GOT %d ", id);
    created += scene_count(&game->scene, line) > 0;
  }
  if (created < in_mirror)
    FAIL(game, "the mirror has %llu rows, %zu were created", (unsigned long long)in_mirror, created);
}

// Most of a key's life, or more than all of it.
static void pass_time(struct game *game, unsigned thrown) {
  static const int eighths[] = {6, 9, 9};
  char text[32];
  if (game->kind->key_life == 0) return;
  game->passed_s += game->kind->key_life / 8 * eighths[thrown % 3];
  (void)snprintf(text, sizeof(text), "%lld000", game->passed_s);
  (void)setenv("DRAY_CLOCK_AHEAD_MS", text, 1);
}

static void play(const struct kind *kind, unsigned seed) {
  struct game game = {.kind = kind, .seed = seed, .run = 1};
  scene_activate(&game.scene, "    mode: create\n    attempts: 1000\n");
  script(&game, seed);
  const int dies_first = seed % 2 == 0;
  for (; game.run <= RUNS_WITH_DICE; game.run++) {
    const unsigned thrown = seed * 2654435761u + (unsigned)game.run * 40503u;
    char fault[64];
    (void)snprintf(fault, sizeof(fault), "kill:%s:%u", steps[(thrown >> 8) % STEPS], (thrown >> 16) % 3 + 1);
    if (game.run % 2 == dies_first) {
      (void)scene_run_killed(&game.scene, fault);
    } else {
      (void)scene_run(&game.scene, 0); // may be given up for a limit
      if (game.run == 1) each_is_in_one_count(&game);
    }
    none_came_twice(&game);
    pass_time(&game, thrown >> 20);
  }
  none_is_lost(&game);
  (void)unsetenv("DRAY_CLOCK_AHEAD_MS");
  scene_end(&game.scene);
}

static void test_dice_create_each_row_once(void **state) {
  (void)state;
  unsigned first = 1, count = SEEDS, only = KINDS;
  const char *given = getenv("DRAY_DICE");
  if (given != NULL && sscanf(given, "%u:%u:%u", &first, &count, &only) < 2) fail_msg("DRAY_DICE=%s", given);
  (void)setenv("DRAY_LIMIT_MS", "20", 1);
  (void)setenv("DRAY_POLL_MS", "1", 1);
  for (unsigned seed = first; seed < first + count; seed++) {
    for (size_t i = 0; i < KINDS; i++) {
      if (only == KINDS || only == i) play(&kinds[i], seed);
    }
  }
  (void)unsetenv("DRAY_POLL_MS");
  (void)unsetenv("DRAY_LIMIT_MS");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dice_create_each_row_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
