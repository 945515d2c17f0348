// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// oracle_lives: a receiver that takes, refuses and loses answers, and runs that are killed. When that ends, it holds
// what the source holds. README.md says how it is run.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "receiver.h"
#include "runner.h"
#include "sender.h"

#define ENTITIES_MAX 250
#define CALM_RUNS_MAX 300

static struct receiver receiver;

// ---- a life, fitted ----

// The last step is the truth: every row, whole and once.
static void fit(struct life *life, uint64_t seed, uint64_t number, const struct cuts *cuts) {
  life_make(life, seed, number, cuts);
  if (life->keep == DR_KEEP_KEY) { // what is absent cannot be told from what changed there
    struct cuts more = *cuts;
    more.parts |= CUT_ABSENT;
    life_make(life, seed, number, &more);
  }
  if (life->entity_count > ENTITIES_MAX) life->entity_count = ENTITIES_MAX;
  struct step *last = &life->steps[life->step_count - 1];
  last->off = last->not_full = 0;
  last->absent_rate = last->null_key_rate = last->copy_rate = last->tombstone_rate = last->partial_rate = 0;
  last->flags = DR_DIFF_FULL;
  last->duplicates = DR_DUPLICATES_LAST;
  last->order_field = -1;
}

// ---- one run ----

// How a run is disturbed.
struct trouble {
  struct run_plan run;
  char fault[64];
  uint32_t kill_at; // question at which the run is killed; 0: never
  int unheard;      // before it was heard, not before it was answered
};

static void make_trouble(struct trouble *trouble, struct dice *dice) {
  static const char *const steps[] = {
      "mirror.ack",          "mirror.commit",       "mirror.commit.sync",  "mirror.commit.done", "mirror.prepare",
      "mirror.prepare.sync", "mirror.compact.base", "mirror.compact.head", "mirror.mark",        "changeset.finish",
      "changeset.done",      "file.sync",           "mirror.rollback"};
  if (dice_one_in(dice, 3)) trouble->run.commit_every = 1 + dice_below(dice, 4);
  trouble->run.prepares = dice_one_in(dice, 2);
  trouble->run.leaves = dice_one_in(dice, 6);
  trouble->run.rolls_back = dice_one_in(dice, 10);
  trouble->run.compacts = dice_one_in(dice, 3);
  if (dice_one_in(dice, 3)) {
    trouble->kill_at = 1 + dice_below(dice, dice_one_in(dice, 3) ? 40 : 8);
    trouble->unheard = dice_one_in(dice, 2);
  } else if (dice_one_in(dice, 3)) {
    (void)snprintf(trouble->fault, sizeof trouble->fault, "kill:%s:%u", steps[dice_below(dice, 13)],
                   1 + dice_below(dice, 4));
    trouble->run.fault = trouble->fault;
  }
  receiver.refuse_rate = dice_one_in(dice, 2) ? 2 + dice_below(dice, 12) : 0;
  receiver.doubt_rate = dice_one_in(dice, 2) ? 2 + dice_below(dice, 12) : 0;
  receiver.store_rate = 5;
}

static _Noreturn void fail(const struct life *life, const char *what) {
  printf("FAILED: %s\n", what);
  life_describe(life);
  (void)fflush(stdout);
  _exit(1);
}

static void kill_run(pid_t pid) {
  (void)kill(pid, SIGKILL);
  runner_count(STAT_KILLS, 1);
}

// Answers until the run ends.
static void serve(const struct life *life, const struct trouble *trouble, struct wire *wire, pid_t pid) {
  struct message question;
  for (uint32_t count = 1; wire_receive(wire, &question); count++) {
    if (count == trouble->kill_at && trouble->unheard) {
      kill_run(pid);
      return;
    }
    // The one that is killed before it is answered must not see the answer.
    if (count == trouble->kill_at) {
      kill_run(pid);
      int status;
      (void)waitpid(pid, &status, 0);
    }
    const char *wrong = receiver_answer(&receiver, &question, wire);
    if (wrong != NULL) {
      (void)kill(pid, SIGKILL);
      fail(life, wrong);
    }
    if (count == trouble->kill_at) return;
  }
}

// Returns whether the run came to its end.
static int run(struct world *world, const struct trouble *trouble) {
  int ends[2], status = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) abort();
  (void)fflush(stdout);
  receiver.step = trouble->run.step;
  receiver.finished = 0;
  const pid_t pid = fork();
  if (pid < 0) abort();
  struct wire wire = {.fd = ends[pid == 0 ? 0 : 1]};
  (void)close(ends[pid == 0 ? 1 : 0]);
  if (pid == 0) {
    (void)alarm(120);
    sender_run(world, &trouble->run, &wire);
    _exit(0);
  }
  serve(world->life, trouble, &wire, pid);
  wire_free(&wire);
  const int waited = waitpid(pid, &status, 0) == pid;
  const int killed = !waited || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  if (killed && waited && trouble->run.fault != NULL) runner_count(STAT_KILLS, 1);
  if (killed ? trouble->kill_at == 0 && trouble->run.fault == NULL : status != 0) {
    printf("a run ended with status 0x%x\n", (unsigned)status);
    fail(world->life, "a run did not end as it should");
  }
  runner_count(STAT_PASSES, 1);
  runner_count(STAT_CHANGES, receiver.finished ? receiver.said : 0);
  return receiver.finished && !killed;
}

// ---- a life ----

static void live(struct world *world, struct life *life) {
  for (size_t step = 0; step < life->step_count; step++) {
    if (life->steps[step].off) continue;
    life_read(life, step);
    for (int try = 0; try < 3; try++) { // a run that was killed is tried again, or the source goes on
      struct dice dice = dice_at(dice_mix(life->seed) + life->number, 2000, step, (uint64_t)try, 0);
      struct trouble trouble = {.run = {.step = step}};
      receiver.dice = dice_at(dice_mix(life->seed) + life->number, 2001, step, (uint64_t)try, 0);
      receiver.whole_rows = dice_one_in(&dice, 2);
      make_trouble(&trouble, &dice);
      if ((life->cuts.parts & CUT_ENDS) != 0) trouble = (struct trouble){.run = {.step = step}};
      if (run(world, &trouble) || dice_one_in(&dice, 2)) break;
    }
  }
}

// No trouble any more: the first run brings what is missing, the next has nothing to say.
static void calm(struct world *world, struct life *life) {
  const size_t last = life->step_count - 1;
  const struct trouble none = {.run = {.step = last}};
  receiver.refuse_rate = receiver.doubt_rate = receiver.store_rate = 0;
  life_read(life, last);
  int said = 1;
  for (int runs = 0; said; runs++) {
    if (runs == CALM_RUNS_MAX) fail(life, "there is no end of changes");
    if (!run(world, &none)) fail(life, "a quiet run did not come to its end");
    said = receiver.said > 0 || receiver.deferred > 0;
  }
  if (receiver_open_count(&receiver) > 0) fail(life, "something is open at the end");
  if (!receiver_equals_source(&receiver, last)) fail(life, "the receiver does not hold what the source holds");
}

void runner_case(uint64_t seed, uint64_t number, const struct cuts *cuts, const char *root, int verbose) {
  struct life life;
  struct world world;
  (void)verbose;
  fit(&life, seed, number, cuts);
  if (receiver.db == NULL) receiver_open(&receiver);
  receiver_begin(&receiver, &life);
  world_begin(&world, &life, root);
  live(&world, &life);
  calm(&world, &life);
  world_end(&world);
  life_free(&life);
}

uint32_t runner_entities(uint64_t seed, uint64_t number, uint32_t parts) {
  const struct cuts none = {.parts = parts};
  struct life life;
  fit(&life, seed, number, &none);
  return life.entity_count;
}

void runner_end(void) {
  if (receiver.db != NULL) receiver_close(&receiver);
}

int main(int argc, char **argv) {
  return runner_main(argc, argv);
}
