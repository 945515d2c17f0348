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
  size_t sending; // lanes that are, each perhaps into a job
  int polling;    // one lane asks for jobs, for all
  int full;       // there are as many jobs as the destination takes, and none ended: nothing more is sent
  int32_t rc;     // of the first lane that failed; the others finish their batch
  struct dray_error failure;
};

struct lane {
  struct lanes *lanes;
  struct dr_delivery *delivery;
  pthread_t thread;
};

// Waits until the destination takes another job. *out_room = 0: another lane is asking, look again; or none ended in
// time, and `full` is set.
static int32_t make_room(struct lane *lane, int *out_room, struct dray_error *error) {
  struct lanes *lanes = lane->lanes;
  size_t jobs = 0;
  *out_room = 1;
  if ((lane->delivery->caps.flags & DRAY_CAPS_ASYNC) == 0) return DRAY_OK;
  const size_t most = dr_delivery_jobs_max(lane->delivery);
  DRAY_TRY(dr_delivery_jobs(lane->delivery, &jobs, error));
  if (jobs + lanes->sending < most) return DRAY_OK;
  *out_room = 0;
  if (lanes->polling || jobs < most)
    return dr_send_wait(lane->delivery, LOOK_AGAIN_MS, "the destination works on jobs", error);
  lanes->polling = 1;
  const int32_t rc = dr_delivery_poll(lane->delivery, most - 1, lanes->job_wait_ms, &jobs, error);
  lanes->polling = 0;
  lanes->full = rc == DRAY_OK && jobs >= most;
  return rc;
}

static void *work(void *ctx) {
  struct lane *lane = ctx;
  struct lanes *lanes = lane->lanes;
  (void)pthread_mutex_lock(&lanes->lock);
  while (lanes->rc == DRAY_OK && !lanes->full && lanes->next < lanes->end) {
    struct dray_error failure;
    int room = 0;
    dray_error_init(&failure);
    int32_t rc = make_room(lane, &room, &failure);
    if (rc == DRAY_OK && room) {
      lanes->sending++;
      rc = dr_send_next(lane->delivery, &lanes->next, lanes->end, 1, &failure);
      lanes->sending--;
    }
    if (rc == DRAY_OK || lanes->rc != DRAY_OK) continue;
    lanes->rc = rc;
    lanes->failure = failure;
  }
  (void)pthread_mutex_unlock(&lanes->lock);
  return NULL;
}

// Fewer lanes than could be are slower and nothing else.
static size_t start(struct lanes *lanes, struct lane *lane, size_t count, const char *sync) {
  for (size_t i = 0; i < count; i++) {
    lane[i].lanes = lanes;
    if (pthread_create(&lane[i].thread, NULL, work, &lane[i]) != 0) {
      dr_log(DRAY_LOG_WARN, sync, "no thread for a further lane; %zu work", i + 1);
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

static int32_t open_beside(struct dr_delivery *delivery, size_t number, const char *path,
                           const struct dr_delivery_plan *plan, struct dr_delivery *out, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  struct dr_destination_instance *destination = NULL;
  DRAY_TRY(dr_session_destination_beside(run->session, run->sync->to_connection, number, &destination, error));
  DRAY_TRY(dr_delivery_open(run, destination, &delivery->caps, delivery->set, path, plan, out, error));
  out->waiting = delivery->waiting; // lent
  return DRAY_OK;
}

int32_t dr_lanes_send(struct dr_delivery *delivery, const char *path, const struct dr_delivery_plan *plan,
                      uint64_t count, int64_t job_wait_ms, struct dray_error *error) {
  const size_t beside = lane_count(delivery, count) - 1;
  struct dr_delivery others[DR_LANES_MAX - 1];
  struct lane lane[DR_LANES_MAX];
  struct lanes lanes = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = count, .job_wait_ms = job_wait_ms};
  size_t opened = 0;
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && opened < beside) {
    rc = open_beside(delivery, opened + 1, path, plan, &others[opened], error);
    opened += rc == DRAY_OK;
  }
  if (rc == DRAY_OK) {
    if (beside > 0) delivery->lock = &lanes.lock;
    for (size_t i = 0; i < opened; i++) {
      others[i].lock = &lanes.lock;
      lane[i].delivery = &others[i];
    }
    const size_t started = start(&lanes, lane, opened, delivery->run->sync->name);
    (void)work(&(struct lane){.lanes = &lanes, .delivery = delivery});
    for (size_t i = 0; i < started; i++) (void)pthread_join(lane[i].thread, NULL);
    delivery->lock = NULL;
    rc = lanes.rc;
    if (lanes.full) delivery->run->report->unsent += lanes.end - lanes.next;
    if (rc != DRAY_OK && error != NULL) *error = lanes.failure;
  }
  for (size_t i = 0; i < opened; i++) {
    if (rc == DRAY_OK) rc = dr_delivery_end(&others[i], error);
    memset(&others[i].waiting, 0, sizeof(others[i].waiting));
    dr_delivery_close(&others[i]);
  }
  (void)pthread_mutex_destroy(&lanes.lock);
  return rc;
}
