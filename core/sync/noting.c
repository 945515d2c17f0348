// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One thread for one window. It reads the change set through a handle of its own, since a handle holds the block that
// was read last. It does not look whether the run was cancelled: acknowledging is faster than loading, and the merge is
// given up when the window has failed.
#include "sync/noting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct dr_noting {
  struct dr_mirror *mirror;
  struct dr_changeset *set;
  uint64_t count;
  int merges;
  atomic_int stop; // the merge is not wanted any more
  pthread_t thread;
  int started;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int acked; // guarded by the lock; what follows is the thread's before
  int32_t code;
  struct dray_error error;
};

static void destroy(struct dr_noting *noting) {
  (void)pthread_cond_destroy(&noting->changed);
  (void)pthread_mutex_destroy(&noting->lock);
  dr_changeset_close(noting->set);
  free(noting);
}

static void acknowledge(struct dr_noting *noting) {
  if (noting->merges) dr_mirror_gather(noting->mirror);
  noting->code = dr_mirror_ack_all(noting->mirror, noting->set, noting->count, &noting->error);
}

static void *note(void *ctx) {
  struct dr_noting *noting = ctx;
  acknowledge(noting);
  const int merges = noting->code == DRAY_OK && noting->merges;
  (void)pthread_mutex_lock(&noting->lock);
  noting->acked = 1;
  (void)pthread_cond_signal(&noting->changed);
  (void)pthread_mutex_unlock(&noting->lock);
  if (merges) dr_mirror_write_ahead(noting->mirror, &noting->stop);
  return NULL;
}

int32_t dr_noting_start(struct dr_mirror *mirror, const struct dr_pass *pass, uint64_t count, int merges,
                        struct dr_noting **out, struct dray_error *error) {
  struct dr_noting *noting = calloc(1, sizeof *noting);
  if (noting == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write a window");
  noting->mirror = mirror;
  noting->count = count;
  noting->merges = merges;
  dray_error_init(&noting->error);
  (void)pthread_mutex_init(&noting->lock, NULL);
  (void)pthread_cond_init(&noting->changed, NULL);
  const int32_t code = dr_changeset_open(pass->path, &noting->set, error);
  if (code != DRAY_OK) {
    destroy(noting);
    return code;
  }
  // Without a thread, a limit of the system, it is acknowledged when that is waited for, and merged by nobody.
  noting->started = pthread_create(&noting->thread, NULL, note, noting) == 0;
  *out = noting;
  return DRAY_OK;
}

static void wait_until_acked(struct dr_noting *noting) {
  (void)pthread_mutex_lock(&noting->lock);
  while (!noting->acked) (void)pthread_cond_wait(&noting->changed, &noting->lock);
  (void)pthread_mutex_unlock(&noting->lock);
}

int32_t dr_noting_acked(struct dr_noting *noting, int32_t code, struct dray_error *error) {
  if (noting == NULL) return code;
  if (code != DRAY_OK) atomic_store(&noting->stop, 1);
  if (noting->started) {
    wait_until_acked(noting);
  } else if (code == DRAY_OK) {
    acknowledge(noting);
  }
  if (code != DRAY_OK) return code;
  if (noting->code != DRAY_OK && error != NULL) *error = noting->error;
  return noting->code;
}

void dr_noting_end(struct dr_noting *noting, int32_t code) {
  if (noting == NULL) return;
  if (code != DRAY_OK) atomic_store(&noting->stop, 1);
  if (noting->started) (void)pthread_join(noting->thread, NULL);
  destroy(noting);
}
