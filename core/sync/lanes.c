// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Lanes: one destination, several instances of it, each on a thread of its own. All that a run has (store, mirror,
// change set, report) is under one lock, which a lane gives up while it is in a call of the plugin or waits; so only
// what is slow runs side by side, and every step of a batch is written down as if it were alone.
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sync/parcel.h"

#define LOOK_AGAIN_MS 200 // while another lane asks for jobs

struct lanes {
  pthread_mutex_t lock; // guards all below, and the run
  uint64_t next, end;   // changes that no lane has taken yet
  int64_t job_wait_ms;
  struct dr_delivery *first; // the run's
  const char *path;
  const struct dr_delivery_plan *plan;
  int polling; // one lane asks for jobs, for all
  int full;    // there are as many jobs as the destination takes, and none ended: nothing more is sent
  int32_t rc;  // of the first lane that failed; the others finish their batch
  struct dray_error failure;
};

struct lane {
  struct lanes *lanes;
  size_t number; // 0: the run's own delivery; others open one for themselves
  struct dr_delivery *delivery;
  struct dr_delivery own;
  int opened;
  pthread_t thread;
};

// Waits until the destination takes another job. *out_room = 0: another lane is asking, look again; or none ended in
// time, and `full` is set. Those of earlier runs were waited for when this one began.
static int32_t make_room(struct lane *lane, int *out_room, struct dray_error *error) {
  struct lanes *lanes = lane->lanes;
  size_t jobs = 0, earlier = 0;
  *out_room = 1;
  if ((lane->delivery->caps.flags & DRAY_CAPS_ASYNC) == 0) return DRAY_OK;
  DRAY_TRY(dr_jobs_count(lane->delivery, &jobs, &earlier, error));
  const size_t taken = dr_jobs_max(lane->delivery);
  const size_t most = taken > earlier ? taken - earlier : 0;
  if (most == 0) {
    *out_room = 0;
    lanes->full = 1;
    return DRAY_OK;
  }
  if (jobs + lane->delivery->run->jobs_begun < most) return DRAY_OK;
  *out_room = 0;
  if (lanes->polling || jobs < most)
    return dr_send_wait(lane->delivery, LOOK_AGAIN_MS, "the destination works on jobs", error);
  lanes->polling = 1;
  const int32_t rc = dr_delivery_poll(lane->delivery, most - 1, lanes->job_wait_ms, &jobs, error);
  lanes->polling = 0;
  lanes->full = rc == DRAY_OK && jobs >= most;
  return rc;
}

static void stop(struct lanes *lanes, int32_t rc, const struct dray_error *failure) {
  if (rc == DRAY_OK || lanes->rc != DRAY_OK) return;
  lanes->rc = rc;
  lanes->failure = *failure;
}

// With the lock, which is given up while the destination begins: lanes begin side by side.
static int32_t open_lane(struct lane *lane, struct dray_error *error) {
  const struct lanes *lanes = lane->lanes;
  const struct dr_delivery *first = lanes->first;
  struct dr_context *run = first->run;
  struct dr_destination_instance *destination = NULL;
  DRAY_TRY(dr_session_destination_beside(run->session, run->sync->to_connection, lane->number, &destination, error));
  DRAY_TRY(dr_delivery_open(run, destination, &first->caps, first->set, lanes->path, lanes->plan, first->lock,
                            &lane->own, error));
  lane->own.waiting = first->waiting; // lent
  lane->own.goes_on = 1;
  lane->delivery = &lane->own;
  lane->opened = 1;
  return DRAY_OK;
}

// What was answered is written down, whatever made the lanes stop.
static void settle_last(struct lane *lane) {
  struct dray_error failure;
  dray_error_init(&failure);
  stop(lane->lanes, dr_settle_last(lane->delivery, &failure), &failure);
}

// What was put by until there is room for a job goes before what has not been sent yet. A lane ends with nothing put
// by, unless the destination takes no more jobs.
static int has_work(const struct lane *lane) {
  const struct lanes *lanes = lane->lanes;
  return lanes->rc == DRAY_OK && !lanes->full && (lanes->next < lanes->end || lane->delivery->held_count > 0);
}

static int32_t send_one(struct lane *lane, struct dray_error *error) {
  struct lanes *lanes = lane->lanes;
  if (lane->delivery->held_count > 0) return dr_limit_send(lane->delivery, error);
  return dr_send_next(lane->delivery, &lanes->next, lanes->end, 1, error);
}

static void *work(void *ctx) {
  struct lane *lane = ctx;
  struct lanes *lanes = lane->lanes;
  (void)pthread_mutex_lock(&lanes->lock);
  if (lane->number > 0 && lanes->rc == DRAY_OK) {
    struct dray_error failure;
    dray_error_init(&failure);
    stop(lanes, open_lane(lane, &failure), &failure);
  }
  while (has_work(lane)) {
    struct dray_error failure;
    int room = 0;
    dray_error_init(&failure);
    int32_t rc = make_room(lane, &room, &failure);
    if (rc == DRAY_OK && room) rc = send_one(lane, &failure);
    stop(lanes, rc, &failure);
  }
  if (lane->delivery != NULL) settle_last(lane);
  (void)pthread_mutex_unlock(&lanes->lock);
  return NULL;
}

// Fewer lanes than could be are slower and nothing else.
static size_t start(struct lanes *lanes, struct lane *lane, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lane[i] = (struct lane){.lanes = lanes, .number = i + 1};
    if (pthread_create(&lane[i].thread, NULL, work, &lane[i]) != 0) {
      dr_log(DRAY_LOG_WARN, lanes->first->run->sync->name, "no thread for a further lane; %zu work", i + 1);
      return i;
    }
  }
  return count;
}

// As many as the destination takes and as there are batches for.
static size_t lane_count(const struct dr_delivery *delivery, uint64_t count) {
  const uint64_t batches = count / delivery->caps.batch_rows_max + (count % delivery->caps.batch_rows_max != 0);
  uint64_t lanes = delivery->caps.parallel_max < DR_LANES_MAX ? delivery->caps.parallel_max : DR_LANES_MAX;
  if (lanes > batches) lanes = batches;
  return lanes > 1 ? (size_t)lanes : 1;
}

// What is in a job of an earlier run is in the set as well, and has been sent.
static uint64_t unsent(const struct lanes *lanes, const struct dr_delivery *delivery) {
  const uint64_t left = lanes->end - lanes->next;
  const uint64_t in_jobs = lanes->next == 0 ? delivery->waiting.count : 0;
  return left > in_jobs ? left - in_jobs : 0;
}

int32_t dr_lanes_send(struct dr_delivery *delivery, const char *path, const struct dr_delivery_plan *plan,
                      uint64_t count, int64_t job_wait_ms, struct dray_error *error) {
  const size_t beside = lane_count(delivery, count) - 1;
  struct lane lane[DR_LANES_MAX];
  struct lanes lanes = {.lock = PTHREAD_MUTEX_INITIALIZER,
                        .end = count,
                        .job_wait_ms = job_wait_ms,
                        .first = delivery,
                        .path = path,
                        .plan = plan};
  if (beside > 0) delivery->lock = &lanes.lock;
  delivery->goes_on = 1;
  const size_t started = start(&lanes, lane, beside);
  (void)work(&(struct lane){.lanes = &lanes, .delivery = delivery});
  for (size_t i = 0; i < started; i++) (void)pthread_join(lane[i].thread, NULL);
  delivery->lock = NULL;
  delivery->goes_on = 0;
  int32_t rc = lanes.rc;
  if (lanes.full || rc == DRAY_E_THROTTLED) delivery->run->report->unsent += unsent(&lanes, delivery);
  if (rc != DRAY_OK && error != NULL) *error = lanes.failure;
  for (size_t i = 0; i < started; i++) {
    if (!lane[i].opened) continue;
    lane[i].own.lock = NULL;
    if (rc == DRAY_OK) dr_limit_take_over(delivery, &lane[i].own); // the jobs are waited for yet
    if (rc == DRAY_OK) rc = dr_delivery_end(&lane[i].own, error);
    memset(&lane[i].own.waiting, 0, sizeof(lane[i].own.waiting));
    dr_delivery_close(&lane[i].own);
  }
  (void)pthread_mutex_destroy(&lanes.lock);
  return rc;
}
