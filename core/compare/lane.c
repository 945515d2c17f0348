// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Each thread takes the next piece, prepares it, and keeps it until its turn comes; meanwhile it prepares the next one.
// The thread whose turn it is never waits, so there is always one that goes on.
#include "compare/lane.h"

#include <pthread.h>
#include <string.h>

#include "base/cancel.h"

enum { SLOT_EMPTY, SLOT_PREPARED, SLOT_WORKED };

struct slot {
  uint64_t piece;
  int state;
};

struct run {
  const struct lane *lane;
  pthread_mutex_t lock; // guards what follows
  pthread_cond_t turned;
  uint64_t next;            // piece to be taken
  uint64_t ordered, placed; // whose turn it is
  uint64_t done;
  int32_t rc; // of the first failure
  struct dray_error *error;
};

struct worker {
  struct run *run;
  uint32_t thread;
  uint32_t oldest; // slots are used in turn, so they are ordered by piece from here on
  uint32_t count;  // in use
  struct slot slots[LANE_SLOTS];
};

enum { DO_END, DO_WAIT, DO_PREPARE, DO_ORDER, DO_PLACE };

// What this thread can do now, and in which of its slots. The caller holds the lock.
static int choose(struct worker *worker, uint32_t *out_slot) {
  struct run *run = worker->run;
  if (run->rc != DRAY_OK) return DO_END;
  for (uint32_t i = 0; i < worker->count; i++) {
    *out_slot = (worker->oldest + i) % LANE_SLOTS;
    const struct slot *slot = &worker->slots[*out_slot];
    if (slot->state == SLOT_PREPARED && slot->piece == run->ordered) return DO_ORDER;
    if (slot->state == SLOT_WORKED && slot->piece == run->placed) return DO_PLACE;
  }
  if (worker->count < LANE_SLOTS && run->next < run->lane->pieces) {
    *out_slot = (worker->oldest + worker->count) % LANE_SLOTS;
    worker->slots[*out_slot].piece = run->next++;
    worker->count++;
    return DO_PREPARE;
  }
  return worker->count > 0 ? DO_WAIT : DO_END;
}

static void pass_turn(struct run *run, uint64_t *turn) {
  (void)pthread_mutex_lock(&run->lock);
  (*turn)++;
  (void)pthread_cond_broadcast(&run->turned);
  (void)pthread_mutex_unlock(&run->lock);
}

static int32_t do_prepare(struct worker *worker, uint32_t at, struct dray_error *error) {
  const struct lane *lane = worker->run->lane;
  struct slot *slot = &worker->slots[at];
  const uint32_t number = worker->thread * LANE_SLOTS + at;
  DRAY_TRY(dr_cancel_check(error));
  DRAY_TRY(lane->prepare(lane->context, slot->piece, number, worker->thread, error));
  slot->state = SLOT_PREPARED;
  return DRAY_OK;
}

static int32_t do_order(struct worker *worker, uint32_t at, struct dray_error *error) {
  const struct lane *lane = worker->run->lane;
  struct slot *slot = &worker->slots[at];
  const uint32_t number = worker->thread * LANE_SLOTS + at;
  if (lane->in_order != NULL) DRAY_TRY(lane->in_order(lane->context, slot->piece, number, worker->thread, error));
  pass_turn(worker->run, &worker->run->ordered);
  if (lane->work != NULL) DRAY_TRY(lane->work(lane->context, slot->piece, number, worker->thread, error));
  slot->state = SLOT_WORKED;
  return DRAY_OK;
}

static int32_t do_place(struct worker *worker, uint32_t at, struct dray_error *error) {
  const struct lane *lane = worker->run->lane;
  struct slot *slot = &worker->slots[at];
  const uint32_t number = worker->thread * LANE_SLOTS + at;
  if (lane->place_in_order != NULL) {
    DRAY_TRY(lane->place_in_order(lane->context, slot->piece, number, worker->thread, error));
  }
  pass_turn(worker->run, &worker->run->placed);
  if (lane->write != NULL) DRAY_TRY(lane->write(lane->context, slot->piece, number, worker->thread, error));
  slot->state = SLOT_EMPTY;
  worker->oldest = (worker->oldest + 1) % LANE_SLOTS;
  worker->count--;
  return DRAY_OK;
}

static void *work(void *argument) {
  static int32_t (*const actions[])(struct worker *, uint32_t, struct dray_error *) = {
      [DO_PREPARE] = do_prepare, [DO_ORDER] = do_order, [DO_PLACE] = do_place};
  struct worker *worker = argument;
  struct run *run = worker->run;
  struct dray_error error;
  dray_error_init(&error);
  (void)pthread_mutex_lock(&run->lock);
  for (;;) {
    uint32_t slot = 0;
    const int action = choose(worker, &slot);
    if (action == DO_END) break;
    if (action == DO_WAIT) {
      (void)pthread_cond_wait(&run->turned, &run->lock);
      continue;
    }
    (void)pthread_mutex_unlock(&run->lock);
    const int32_t rc = actions[action](worker, slot, &error);
    (void)pthread_mutex_lock(&run->lock);
    if (rc != DRAY_OK && run->rc == DRAY_OK) {
      run->rc = rc;
      if (run->error != NULL) *run->error = error;
      (void)pthread_cond_broadcast(&run->turned);
    }
    if (action == DO_PREPARE) run->done++;
    if (worker->thread == 0 && run->lane->told != NULL && rc == DRAY_OK && action == DO_PREPARE) {
      const uint64_t done = run->done;
      (void)pthread_mutex_unlock(&run->lock);
      run->lane->told(run->lane->context, done);
      (void)pthread_mutex_lock(&run->lock);
    }
  }
  (void)pthread_mutex_unlock(&run->lock);
  return NULL;
}

int32_t lane_run(const struct lane *lane, struct dray_error *error) {
  struct run run = {.lane = lane, .error = error};
  struct worker workers[LANE_THREADS_MAX];
  pthread_t threads[LANE_THREADS_MAX];
  uint32_t started = 1;
  (void)pthread_mutex_init(&run.lock, NULL);
  (void)pthread_cond_init(&run.turned, NULL);
  for (uint32_t i = 0; i < lane->threads && i < LANE_THREADS_MAX; i++) {
    workers[i] = (struct worker){.run = &run, .thread = i};
  }
  while (started < lane->threads && started < lane->pieces && started < LANE_THREADS_MAX &&
         pthread_create(&threads[started], NULL, work, &workers[started]) == 0) {
    started++;
  }
  (void)work(&workers[0]);
  for (uint32_t i = 1; i < started; i++) (void)pthread_join(threads[i], NULL);
  (void)pthread_cond_destroy(&run.turned);
  (void)pthread_mutex_destroy(&run.lock);
  return run.rc;
}
