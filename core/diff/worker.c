// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Working beside the caller, who reads and hashes the next rows meanwhile. The thread owns all of the pass but its
// queue from the start to the end of the worker; nobody changes the mirror. The first error ends its work: what comes
// afterwards is dropped, and the caller is told with his next call.
#include "diff/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/queue.h"
#include "diff/pass.h"

#define BATCHES_MAX 3                // one that is worked on is not among them
#define HASHED_MAX (BATCHES_MAX + 2) // nor one that is being hashed

struct dr_worker {
  struct dr_diff *diff;           // the thread's
  const struct dr_mirror *mirror; // of both
  struct dr_queue *queue;         // of struct dr_hashed, with their batches
  struct dr_queue *spares;        // of those without
  struct dr_hashed hashed[HASHED_MAX];
  pthread_t thread;
  atomic_int dropping; // nothing more is worked on
  atomic_int failed;   // rc and error are written, and stay as they are
  int32_t rc;          // of the first batch that failed
  struct dray_error error;
};

static void give_back(struct dr_worker *worker, struct dr_hashed *hashed) {
  dr_batch_free(hashed->batch);
  hashed->batch = NULL;
  (void)dr_queue_push(worker->spares, hashed, 0); // there is room for all
}

static void *work(void *ctx) {
  struct dr_worker *worker = ctx;
  for (;;) {
    struct dr_hashed *hashed = dr_queue_pop(worker->queue);
    if (hashed == NULL) return NULL;
    if (!atomic_load(&worker->dropping)) {
      const int32_t rc = dr_diff_work(worker->diff, hashed, &worker->error);
      if (rc != DRAY_OK) {
        worker->rc = rc;
        atomic_store(&worker->failed, 1);
        atomic_store(&worker->dropping, 1);
      }
    }
    give_back(worker, hashed);
  }
}

static void keep(void *hashed) {
  (void)hashed; // is part of the worker
}

static void free_worker(struct dr_worker *worker) {
  if (worker->queue != NULL) dr_queue_free(worker->queue, keep);
  if (worker->spares != NULL) dr_queue_free(worker->spares, keep);
  for (size_t i = 0; i < HASHED_MAX; i++) dr_hashed_free(&worker->hashed[i]);
  free(worker);
}

int32_t dr_worker_start(struct dr_diff *diff, uint64_t bytes_max, struct dr_worker **out, struct dray_error *error) {
  struct dr_worker *worker = calloc(1, sizeof *worker);
  *out = NULL;
  if (worker == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  worker->diff = diff;
  worker->mirror = diff->mirror;
  worker->rc = DRAY_OK;
  dray_error_init(&worker->error);
  worker->queue = dr_queue_new(BATCHES_MAX, (size_t)bytes_max);
  worker->spares = dr_queue_new(HASHED_MAX, 0);
  if (worker->queue == NULL || worker->spares == NULL) {
    free_worker(worker);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  }
  for (size_t i = 0; i < HASHED_MAX; i++) (void)dr_queue_push(worker->spares, &worker->hashed[i], 0);
  if (pthread_create(&worker->thread, NULL, work, worker) != 0) { // a limit of the system; one thread does as well
    free_worker(worker);
    return DRAY_OK;
  }
  *out = worker;
  return DRAY_OK;
}

static int32_t copy_error(const struct dr_worker *worker, struct dray_error *error) {
  if (error != NULL) *error = worker->error;
  return worker->rc;
}

int32_t dr_worker_add(struct dr_worker *worker, struct dr_batch *batch, struct dray_error *error) {
  if (atomic_load(&worker->failed)) {
    dr_batch_free(batch);
    return copy_error(worker, error);
  }
  struct dr_hashed *hashed = dr_queue_pop(worker->spares);
  hashed->batch = batch;
  const int32_t rc = dr_hashed_make(hashed, worker->mirror, error);
  if (rc != DRAY_OK) {
    give_back(worker, hashed);
    return rc;
  }
  (void)dr_queue_push(worker->queue, hashed, (size_t)batch->bytes); // nobody has closed it
  return DRAY_OK;
}

int32_t dr_worker_end(struct dr_worker *worker, int drop, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  if (worker == NULL) return rc;
  if (drop) atomic_store(&worker->dropping, 1);
  dr_queue_close(worker->queue);
  (void)pthread_join(worker->thread, NULL);
  if (worker->rc != DRAY_OK) rc = copy_error(worker, error);
  free_worker(worker);
  return rc;
}
