// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One place, where the next thing waits for the thread, or the owner for the place.
#include "diff/beside.h"

#include <pthread.h>
#include <stdlib.h>

struct dr_beside {
  dr_beside_work *work;
  void *ctx;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; // of what is below, which the lock guards
  void *thing;            // NULL: nothing to do
  int ending;
  int32_t rc; // of the first thing that failed
  struct dray_error error;
};

static void *run(void *ctx) {
  struct dr_beside *beside = ctx;
  struct dray_error error;
  dray_error_init(&error);
  (void)pthread_mutex_lock(&beside->lock);
  while (beside->thing != NULL || !beside->ending) {
    if (beside->thing == NULL) {
      (void)pthread_cond_wait(&beside->changed, &beside->lock);
      continue;
    }
    void *thing = beside->thing;
    (void)pthread_mutex_unlock(&beside->lock);
    const int32_t rc = beside->work(beside->ctx, thing, &error);
    (void)pthread_mutex_lock(&beside->lock);
    beside->thing = NULL;
    if (rc != DRAY_OK) {
      beside->rc = rc;
      beside->error = error;
    }
    (void)pthread_cond_broadcast(&beside->changed);
  }
  (void)pthread_mutex_unlock(&beside->lock);
  return NULL;
}

static void destroy(struct dr_beside *beside) {
  (void)pthread_cond_destroy(&beside->changed);
  (void)pthread_mutex_destroy(&beside->lock);
  free(beside);
}

int32_t dr_beside_start(dr_beside_work *work, void *ctx, struct dr_beside **out, struct dray_error *error) {
  struct dr_beside *beside = calloc(1, sizeof *beside);
  *out = NULL;
  if (beside == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a thread");
  beside->work = work;
  beside->ctx = ctx;
  beside->rc = DRAY_OK;
  dray_error_init(&beside->error);
  (void)pthread_mutex_init(&beside->lock, NULL);
  (void)pthread_cond_init(&beside->changed, NULL);
  if (pthread_create(&beside->thread, NULL, run, beside) != 0) { // a limit of the system
    destroy(beside);
    return DRAY_OK;
  }
  *out = beside;
  return DRAY_OK;
}

static int32_t copy_error(const struct dr_beside *beside, struct dray_error *error) {
  if (beside->rc != DRAY_OK && error != NULL) *error = beside->error;
  return beside->rc;
}

int32_t dr_beside_give(struct dr_beside *beside, void *thing, struct dray_error *error) {
  (void)pthread_mutex_lock(&beside->lock);
  while (beside->thing != NULL) (void)pthread_cond_wait(&beside->changed, &beside->lock);
  const int32_t rc = copy_error(beside, error);
  if (rc == DRAY_OK) {
    beside->thing = thing;
    (void)pthread_cond_broadcast(&beside->changed);
  }
  (void)pthread_mutex_unlock(&beside->lock);
  return rc;
}

int dr_beside_is_busy(struct dr_beside *beside) {
  (void)pthread_mutex_lock(&beside->lock);
  const int busy = beside->thing != NULL;
  (void)pthread_mutex_unlock(&beside->lock);
  return busy;
}

int32_t dr_beside_end(struct dr_beside *beside, struct dray_error *error) {
  if (beside == NULL) return DRAY_OK;
  (void)pthread_mutex_lock(&beside->lock);
  beside->ending = 1;
  (void)pthread_cond_broadcast(&beside->changed);
  (void)pthread_mutex_unlock(&beside->lock);
  (void)pthread_join(beside->thread, NULL);
  const int32_t rc = copy_error(beside, error);
  destroy(beside);
  return rc;
}
