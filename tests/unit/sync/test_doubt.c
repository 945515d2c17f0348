// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Batches of which nobody knows at first what became of them: lost answers, jobs, kills at every step. Nothing is lost;
// where the destination cannot tell, nothing is sent twice.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/board.h"
#include "base/cancel.h"
#include "dray/destination.h"
#include "scene.h"
#include "store/store.h"

#define FOUR "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]"
#define MIRROR "    mode: mirror\n    guard: off\n"

static const char *caps(int doubt, const char *more) {
  static char text[512];
  (void)snprintf(text, sizeof(text), ", \"caps\": {\"doubt\": %d, \"rows_max\": 2}%s", doubt, more);
  return text;
}

// What the destination holds of a key, by what it got last.
static size_t got(const struct scene *scene, int id) {
  char begin[32];
  (void)snprintf(begin, sizeof(begin), "GOT %d ", id);
  return scene_count(scene, begin);
}

static uint64_t open_batches(struct scene *scene) {
  struct dr_store *store = scene_store(scene);
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  struct dray_error error;
  assert_int_equal(dr_store_batches_open(store, "s", &open, &count, &error), DRAY_OK);
  free(open);
  dr_store_close(store);
  return count;
}

static uint64_t resolve(struct scene *scene, int applied) {
  struct dr_store *store = scene_store(scene);
  struct dray_error error;
  uint64_t count = 0;
  assert_int_equal(dr_store_rows_resolve(store, "s", applied, &count, &error), DRAY_OK);
  dr_store_close(store);
  return count;
}

static const char *const steps[] = {
    "delivery.sending",  "delivery.written", "delivery.doubt_noted", "delivery.answered",
    "delivery.mirrored", "delivery.settled", "delivery.split",       "sync.activated",
};

// Kills a run at its `pass`-th passing of each step, again in the recovery, and lets the next one end.
static void kill_everywhere(int doubt, const char *more, void (*verify)(struct scene *scene, const char *where)) {
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    for (int pass = 1; pass <= 2; pass++) {
      struct scene scene;
      char fault[64];
      scene_activate(&scene, MIRROR);
      scene_rows(&scene, FOUR, caps(doubt, more));
      (void)snprintf(fault, sizeof(fault), "kill:%s:%d", steps[i], pass);
      const int killed = scene_run_killed(&scene, fault);
      const int always = strcmp(steps[i], "delivery.doubt_noted") != 0 && strcmp(steps[i], "delivery.split") != 0;
      if (pass == 1 && always && !killed) fail_msg("%s is no step", steps[i]);
      (void)scene_run_killed(&scene, "kill:sync.judged:1");
      (void)snprintf(fault, sizeof(fault), "kill:%s:1", steps[i]);
      (void)scene_run_killed(&scene, fault);
      if (scene_run(&scene, 0) != DRAY_OK) fail_msg("%s: %s", steps[i], scene.report.error.text);
      verify(&scene, steps[i]);
      scene_end(&scene);
    }
  }
}

static void every_row_arrived(struct scene *scene, const char *where) {
  for (int id = 1; id <= 4; id++) {
    if (got(scene, id) == 0) fail_msg("killed at %s: row %d is lost", where, id);
  }
  assert_int_equal(scene->report.mirror_rows, 4);
  assert_int_equal(open_batches(scene), 0);
  assert_int_equal(scene_run(scene, 0), DRAY_OK);
  assert_int_equal(scene->report.sent, 0);
}

static void every_row_arrived_once(struct scene *scene, const char *where) {
  for (int id = 1; id <= 4; id++) {
    if (got(scene, id) != 1) fail_msg("killed at %s: row %d came %zu times", where, id, got(scene, id));
  }
  every_row_arrived(scene, where);
}

static void none_came_twice(struct scene *scene, const char *where) {
  struct dr_store *store = scene_store(scene);
  struct dray_error error;
  uint64_t rejected = 0, parked = 0;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  for (int id = 1; id <= 4; id++) {
    if (got(scene, id) > 1) fail_msg("killed at %s: row %d came %zu times", where, id, got(scene, id));
  }
  // Each is taken, or shown to the operator.
  if (scene->report.mirror_rows + parked != 4) {
    fail_msg("killed at %s: %llu in the mirror, %llu parked", where, (unsigned long long)scene->report.mirror_rows,
             (unsigned long long)parked);
  }
  assert_int_equal(open_batches(scene), 0);
}

static void test_killed_anywhere_with_resend_nothing_is_lost(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_RESEND, "", every_row_arrived);
}

static void test_killed_anywhere_with_keys_each_row_comes_once(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_IDEMPOTENCY_KEY, "", every_row_arrived_once);
}

static void test_killed_anywhere_with_read_back_each_row_comes_once(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_READ_BACK, "", every_row_arrived_once);
}

static void test_killed_anywhere_without_a_way_to_tell_no_row_comes_twice(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_NONE, "", none_came_twice);
}

static void test_killed_anywhere_with_rows_in_doubt_no_row_comes_twice(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"unknown\"], \"3\": [\"unknown\"]}", none_came_twice);
}

// What is said of a row in doubt: what happens next, and why.
static void test_row_in_doubt_says_what_happens_next(void **state) {
  (void)state;
  static const struct {
    int doubt;
    const char *next;
    uint64_t waits;
  } cases[] = {{DRAY_DOUBT_RESEND, "the next run sends it again, which does no harm", 0},
               {DRAY_DOUBT_IDEMPOTENCY_KEY, "the next run sends it again under the same key", 0},
               {DRAY_DOUBT_READ_BACK, "the next run looks there, and sends it only if it is missing", 0},
               {DRAY_DOUBT_NONE, "`dray rows resolve`", 4}};
  static const char failing[] =
      ", \"calls\": [\"doubt_server\", \"doubt_server\", \"doubt_server\", \"doubt_server\", "
      "\"doubt_server\", \"doubt_server\", \"doubt_server\", \"doubt_server\", \"doubt_server\", "
      "\"doubt_server\"], \"read_back\": \"unknown\"";
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    struct dr_row_record *rows = NULL;
    struct dray_error error;
    size_t count = 0;
    scene_activate(&scene, MIRROR);
    scene_rows(&scene, FOUR, caps(cases[i].doubt, failing));
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.in_doubt, 4);
    assert_int_equal(scene.report.doubt_waits, cases[i].waits);
    struct dr_store *store = scene_store(&scene);
    assert_int_equal(dr_store_rows(store, "s", 0, 10, &rows, &count, &error), DRAY_OK);
    dr_store_close(store);
    assert_int_equal(count, 4);
    for (size_t row = 0; row < count; row++) {
      assert_int_equal(rows[row].code, DRAY_E_STATE_IN_DOUBT);
      if (strstr(rows[row].text, cases[i].next) == NULL) fail_msg("%s", rows[row].text);
      if (strstr(rows[row].text, "(the probe says doubt_server)") == NULL) fail_msg("%s", rows[row].text);
    }
    free(rows);
    scene_end(&scene);
  }
}

static void test_unknown_rows_are_resent_read_back_or_parked(void **state) {
  (void)state;
  static const struct {
    int doubt;
    const char *answer;
    size_t times; // that row 2 arrives
    uint64_t in_mirror;
  } cases[] = {{DRAY_DOUBT_RESEND, "unknown", 2, 4},
               {DRAY_DOUBT_RESEND, "lost", 1, 4},
               {DRAY_DOUBT_IDEMPOTENCY_KEY, "unknown", 1, 4},
               {DRAY_DOUBT_READ_BACK, "unknown", 1, 4},
               {DRAY_DOUBT_READ_BACK, "lost", 1, 4},
               {DRAY_DOUBT_NONE, "unknown", 1, 3},
               {DRAY_DOUBT_NONE, "lost", 0, 3}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char more[128];
    scene_activate(&scene, MIRROR);
    (void)snprintf(more, sizeof(more), ", \"receipts\": {\"2\": [\"%s\", \"applied\"]}", cases[i].answer);
    scene_rows(&scene, FOUR, caps(cases[i].doubt, more));
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(got(&scene, 2), cases[i].times);
    assert_int_equal(scene.report.mirror_rows, cases[i].in_mirror);
    assert_int_equal(scene.report.in_doubt, 4 - cases[i].in_mirror);
    assert_int_equal(scene.report.applied, cases[i].in_mirror);
    assert_int_equal(scene.report.sent, 4);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK); // parked: not sent again
    assert_int_equal(got(&scene, 2), cases[i].times);
    scene_end(&scene);
  }
}

static void test_operator_says_that_rows_in_doubt_arrived(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"unknown\", \"applied\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(resolve(&scene, 1), 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(got(&scene, 2), 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  assert_int_equal(scene.report.exit_code, 0);
  scene_end(&scene);
}

static void test_operator_says_that_rows_in_doubt_did_not_arrive(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"lost\", \"applied\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(resolve(&scene, 0), 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(got(&scene, 2), 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  scene_end(&scene);
}

static void test_row_that_arrived_and_changed_since_is_updated(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"unknown\", \"applied\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(resolve(&scene, 1), 1);
  scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[3,\"c\"],[4,\"d\"]]", caps(DRAY_DOUBT_NONE, ""));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 2 insert"), 1);
  assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"B\"}"), 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  scene_end(&scene);
}

// The source forgets the change, the operator must not.
static void test_row_in_doubt_stays_on_record_when_it_goes_back(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, "[[2,\"old\"]]", caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"applied\", \"unknown\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[2,\"new\"]]", caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"applied\", \"unknown\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.in_doubt, 1);
  scene_rows(&scene, "[[2,\"old\"]]", caps(DRAY_DOUBT_NONE, ""));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(resolve(&scene, 1), 1);
  scene_end(&scene);
}

static void *interrupt_the_wait(void *ctx) {
  (void)ctx;
  const struct timespec pause = {0, 10000000};
  struct dr_board_view view = {0};
  for (int i = 0; i < 6000 && view.wait_until_ms == 0; i++) {
    (void)nanosleep(&pause, NULL);
    dr_board_read(dr_board(), &view);
  }
  dr_cancel_request();
  return NULL;
}

static void test_interrupted_while_in_doubt_the_batch_is_noted_so(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_RESEND, ", \"receipts\": {\"2\": [\"lost\", \"applied\"]}"));
  (void)fflush(NULL);
  const pid_t child = fork(); // what is cancelled stays so
  if (child == 0) {
    pthread_t thread;
    (void)setenv("DRAY_BACKOFF_MS", "20000", 1);
    if (pthread_create(&thread, NULL, interrupt_the_wait, NULL) != 0) _exit(1);
    const int32_t rc = scene_run(&scene, 0);
    (void)pthread_join(thread, NULL);
    _exit(rc == DRAY_E_CANCELLED && scene.report.applied == 1 && scene.report.in_doubt == 1 ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(open_batches(&scene), 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.recovered, 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  assert_int_equal(got(&scene, 2), 1);
  scene_end(&scene);
}

// The row goes back to what it was: the mirror says that nothing changed, the destination may hold the lost value.
static void test_failed_resend_leaves_the_batch_in_doubt(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, "[[1,\"old\"]]", caps(DRAY_DOUBT_RESEND, ""));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[1,\"new\"]]", caps(DRAY_DOUBT_RESEND, ""));
  assert_true(scene_run_killed(&scene, "kill:delivery.written:1"));
  scene_forget(&scene);
  scene_rows(&scene, "[[1,\"old\"]]", caps(DRAY_DOUBT_RESEND, ", \"calls\": [\"auth\"]"));
  assert_int_equal(scene_run(&scene, 0), DRAY_E_AUTH_REJECTED);
  assert_int_equal(open_batches(&scene), 1);
  assert_int_equal(scene.report.in_doubt, 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  // First the value in doubt, then the one it has now.
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"new\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"old\"}"), 1);
  assert_int_equal(scene.report.recovered, 1);
  scene_end(&scene);
}

static void test_jobs_are_polled_in_the_run(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"pending\"], \"3\": [\"pending\"]}"));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "POLL job-1"), 2); // two batches
  assert_int_equal(scene.report.applied, 4);
  assert_int_equal(scene.report.pending, 0);
  assert_int_equal(scene.report.mirror_rows, 4);
  assert_int_equal(open_batches(&scene), 0);
  scene_end(&scene);
}

static void test_job_that_outlives_its_run_is_settled_by_the_next(void **state) {
  (void)state;
  struct scene scene;
  const char *script = ", \"receipts\": {\"2\": [\"pending\"]}, \"poll\": \"pending\"";
  (void)setenv("DRAY_POLL_MS", "1", 1);
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, script));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 3);
  assert_int_equal(scene.report.pending, 1);
  assert_int_equal(open_batches(&scene), 1);
  // While the job works its rows are not sent again, changed or not.
  scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[3,\"c\"],[4,\"d\"],[5,\"e\"]]", caps(DRAY_DOUBT_NONE, script));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(got(&scene, 1), 1);
  assert_int_equal(got(&scene, 2), 1);
  assert_int_equal(got(&scene, 5), 1);
  assert_int_equal(scene.report.pending, 1);
  scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[3,\"c\"],[4,\"d\"],[5,\"e\"]]", caps(DRAY_DOUBT_NONE, ""));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.recovered, 1);
  assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"B\"}"), 1);
  assert_int_equal(got(&scene, 1), 1);
  assert_int_equal(scene.report.mirror_rows, 5);
  assert_int_equal(open_batches(&scene), 0);
  scene_end(&scene);
  (void)unsetenv("DRAY_POLL_MS");
}

// The destination takes one job at a time, and is still at work on that of the run before.
static void test_jobs_of_earlier_runs_count_among_those_that_are_taken(void **state) {
  (void)state;
  static const char script[] = ", \"caps\": {\"doubt\": 4, \"rows_max\": 2, \"jobs\": 1}, "
                               "\"receipts\": {\"1\": [\"pending\"]}, \"poll\": \"pending\"";
  struct scene scene;
  (void)setenv("DRAY_POLL_MS", "1", 1);
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", script);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(open_batches(&scene), 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.unsent, 0);
  assert_int_equal(scene.report.exit_code, 0);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]", script);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(got(&scene, 3), 0);
  assert_int_equal(scene.report.unsent, 1);
  assert_int_equal(scene.report.pending, 1);
  (void)unsetenv("DRAY_POLL_MS");
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]", ", \"caps\": {\"doubt\": 4, \"rows_max\": 2, \"jobs\": 1}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  for (int id = 1; id <= 3; id++) assert_int_equal(got(&scene, id), 1);
  assert_int_equal(scene.report.unsent, 0);
  assert_int_equal(scene.report.mirror_rows, 3);
  scene_end(&scene);
}

// Row 7 was refused as often as it may be. A run that stops before it has nothing to say of it.
static void test_parked_row_stays_parked_when_a_run_does_not_come_to_it(void **state) {
  (void)state;
  static const char before[] = "[[1,\"a\"],[3,\"c\"],[5,\"e\"],[7,\"g\"]]",
                    after[] = "[[1,\"A\"],[3,\"C\"],[5,\"E\"],[7,\"g\"]]";
  static const char script[] = ", \"caps\": {\"doubt\": 4, \"rows_max\": 1, \"jobs\": 1}, \"receipts\": {%s}%s";
  char text[512];
  struct scene scene;
  scene_activate(&scene, MIRROR "    attempts: 1\n");
  (void)snprintf(text, sizeof(text), script, "\"7\": [\"rejected\"]", "");
  scene_rows(&scene, before, text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "TRY 7"), 1);
  (void)setenv("DRAY_POLL_MS", "1", 1);
  (void)snprintf(text, sizeof(text), script, "\"1\": [\"pending\"]", ", \"poll\": \"pending\"");
  scene_rows(&scene, after, text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.unsent, 3);
  assert_int_equal(scene.report.exit_code, 3);
  (void)unsetenv("DRAY_POLL_MS");
  (void)snprintf(text, sizeof(text), script, "", "");
  scene_rows(&scene, after, text);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.parked, 1);
  assert_int_equal(scene_count(&scene, "TRY 7"), 1);
  scene_end(&scene);
}

// Four batches of two rows, each a job; one job at a time is taken, whatever the lanes.
static void test_no_more_jobs_than_the_destination_takes(void **state) {
  (void)state;
  static const char eight[] = "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"g\"],[8,\"h\"]]";
  static const char script[] = ", \"caps\": {\"doubt\": 4, \"rows_max\": 2, \"jobs\": 1, \"parallel\": %d}, "
                               "\"receipts\": {\"1\": [\"pending\"], "
                               "\"3\": [\"pending\"], \"5\": [\"pending\"], \"7\": [\"pending\"]}%s";
  for (int parallel = 1; parallel <= 3; parallel += 2) {
    char text[512];
    struct scene scene;
    scene_activate(&scene, MIRROR);
    (void)snprintf(text, sizeof(text), script, parallel, ", \"poll\": \"pending\"");
    (void)setenv("DRAY_POLL_MS", "1", 1);
    scene_rows(&scene, eight, text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(open_batches(&scene), 1);
    assert_int_equal(scene.report.unsent, 6);
    assert_int_equal(got(&scene, 3), 0);
    (void)unsetenv("DRAY_POLL_MS");
    (void)snprintf(text, sizeof(text), script, parallel, ""); // the jobs end when they are asked for
    scene_rows(&scene, eight, text);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.unsent, 0);
    for (int id = 1; id <= 8; id++) assert_int_equal(got(&scene, id), 1);
    assert_int_equal(scene.report.mirror_rows, 8);
    assert_int_equal(open_batches(&scene), 0);
    scene_end(&scene);
  }
}

// The probe's jobs take all rows they are asked for: asked for one that was put off or refused, it would be lost.
static void test_only_rows_in_a_job_are_asked_for(void **state) {
  (void)state;
  static const char *const answers[] = {"retry", "rejected", "lost"};
  for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
    struct scene scene;
    char more[128];
    (void)snprintf(more, sizeof(more), ", \"receipts\": {\"1\": [\"pending\"], \"2\": [\"%s\", \"applied\"]}",
                   answers[i]);
    scene_activate(&scene, MIRROR);
    scene_rows(&scene, FOUR, caps(DRAY_DOUBT_READ_BACK, more));
    for (int run = 0; run < 2; run++) assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(got(&scene, 1), 1);
    assert_int_equal(got(&scene, 2), 1);
    assert_int_equal(scene.report.mirror_rows, 4);
    assert_int_equal(open_batches(&scene), 0);
    scene_end(&scene);
  }
}

static void test_killed_anywhere_with_half_a_batch_in_a_job(void **state) {
  (void)state;
  kill_everywhere(DRAY_DOUBT_READ_BACK, ", \"receipts\": {\"1\": [\"pending\"], \"3\": [\"pending\"]}",
                  every_row_arrived_once);
}

static void test_job_that_nobody_knows_any_more_is_in_doubt(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, ", \"receipts\": {\"2\": [\"pending\"]}, \"poll\": \"unknown\""));
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.in_doubt, 1);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(open_batches(&scene), 0);
  scene_end(&scene);
}

// Any error may say that the batch may have arrived.
static void test_error_in_doubt_is_never_taken_for_a_failure(void **state) {
  (void)state;
  static const char *const errors[] = {"doubt_server", "doubt_limit", "doubt_cancelled", "doubt_data"};
  for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
    struct scene scene;
    char more[64];
    (void)snprintf(more, sizeof(more), ", \"calls\": [\"%s\"]", errors[i]);
    scene_activate(&scene, MIRROR);
    scene_rows(&scene, FOUR, caps(DRAY_DOUBT_NONE, more));
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.in_doubt, 2);
    assert_int_equal(scene.report.mirror_rows, 2);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(got(&scene, 1), 1);
    scene_end(&scene);

    scene_activate(&scene, MIRROR);
    scene_rows(&scene, FOUR, caps(DRAY_DOUBT_IDEMPOTENCY_KEY, more));
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(got(&scene, 1), 1);
    assert_int_equal(scene.report.mirror_rows, 4);
    scene_end(&scene);
  }
}

static void test_broken_contract_leaves_the_batch_in_doubt(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_READ_BACK, ", \"calls\": [\"contract\"]"));
  assert_int_equal(scene_run(&scene, 0), DRAY_E_PLUGIN_CONTRACT);
  assert_int_equal(scene.report.in_doubt, 2);
  assert_int_equal(scene.report.mirror_rows, 0);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(got(&scene, 1), 1);
  assert_int_equal(scene.report.recovered, 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  scene_end(&scene);
}

// The destination takes less at once than when the batch was sent.
static void test_batch_in_doubt_is_resolved_under_smaller_limits(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR);
  scene_rows(&scene, FOUR, ", \"caps\": {\"doubt\": 1, \"rows_max\": 4}");
  assert_true(scene_run_killed(&scene, "kill:delivery.written:1"));
  scene_rows(&scene, FOUR, ", \"caps\": {\"doubt\": 1, \"rows_max\": 1}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.mirror_rows, 4);
  assert_int_equal(scene.report.sent, 0);
  assert_int_equal(scene.report.applied, 4);
  assert_int_equal(open_batches(&scene), 0);
  scene_end(&scene);
}

static void test_batch_in_doubt_survives_an_edited_mapping(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, MIRROR "    map: {id: id, name: title}\n");
  scene_rows(&scene, FOUR, caps(DRAY_DOUBT_READ_BACK, ""));
  assert_true(scene_run_killed(&scene, "kill:delivery.written:1"));
  scene_config(&scene, "    to: {connection: dst, object: things}\n" MIRROR "    map: {id: id, name: label}\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 insert {\"id\":1,\"title\":\"a\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"label\":\"a\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT 4 insert {\"id\":4,\"label\":\"d\"}"), 1);
  assert_int_equal(scene.report.mirror_rows, 4);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.sent, 0);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed_anywhere_with_resend_nothing_is_lost),
      cmocka_unit_test(test_killed_anywhere_with_keys_each_row_comes_once),
      cmocka_unit_test(test_killed_anywhere_with_read_back_each_row_comes_once),
      cmocka_unit_test(test_killed_anywhere_without_a_way_to_tell_no_row_comes_twice),
      cmocka_unit_test(test_killed_anywhere_with_rows_in_doubt_no_row_comes_twice),
      cmocka_unit_test(test_row_in_doubt_says_what_happens_next),
      cmocka_unit_test(test_unknown_rows_are_resent_read_back_or_parked),
      cmocka_unit_test(test_operator_says_that_rows_in_doubt_arrived),
      cmocka_unit_test(test_operator_says_that_rows_in_doubt_did_not_arrive),
      cmocka_unit_test(test_row_that_arrived_and_changed_since_is_updated),
      cmocka_unit_test(test_row_in_doubt_stays_on_record_when_it_goes_back),
      cmocka_unit_test(test_interrupted_while_in_doubt_the_batch_is_noted_so),
      cmocka_unit_test(test_failed_resend_leaves_the_batch_in_doubt),
      cmocka_unit_test(test_jobs_are_polled_in_the_run),
      cmocka_unit_test(test_job_that_outlives_its_run_is_settled_by_the_next),
      cmocka_unit_test(test_no_more_jobs_than_the_destination_takes),
      cmocka_unit_test(test_jobs_of_earlier_runs_count_among_those_that_are_taken),
      cmocka_unit_test(test_parked_row_stays_parked_when_a_run_does_not_come_to_it),
      cmocka_unit_test(test_only_rows_in_a_job_are_asked_for),
      cmocka_unit_test(test_killed_anywhere_with_half_a_batch_in_a_job),
      cmocka_unit_test(test_job_that_nobody_knows_any_more_is_in_doubt),
      cmocka_unit_test(test_error_in_doubt_is_never_taken_for_a_failure),
      cmocka_unit_test(test_broken_contract_leaves_the_batch_in_doubt),
      cmocka_unit_test(test_batch_in_doubt_is_resolved_under_smaller_limits),
      cmocka_unit_test(test_batch_in_doubt_survives_an_edited_mapping),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
