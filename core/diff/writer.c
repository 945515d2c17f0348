// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing beside the thread that takes batches, so that reading old rows, which takes long where many rows changed,
// holds nobody up. One window at a time: two are all that the budget has room for.
#include "diff/writer.h"

#include <pthread.h>
#include <stdlib.h>

struct dr_writer {
  struct dr_diff *diff;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;   // of what is below, which the lock guards
  struct dr_window *window; // NULL: nothing to do
  int ending;
  int32_t rc; // of the first window that failed
  struct dray_error error;
};

static void *work(void *ctx) {
  struct dr_writer *writer = ctx;
  struct dray_error error;
  dray_error_init(&error);
  (void)pthread_mutex_lock(&writer->lock);
  while (writer->window != NULL || !writer->ending) {
    if (writer->window == NULL) {
      (void)pthread_cond_wait(&writer->changed, &writer->lock);
      continue;
    }
    struct dr_window *window = writer->window;
    (void)pthread_mutex_unlock(&writer->lock);
    const int32_t rc = dr_rest_write(writer->diff, window, &error);
    (void)pthread_mutex_lock(&writer->lock);
    writer->window = NULL;
    if (rc != DRAY_OK) {
      writer->rc = rc;
      writer->error = error;
    }
    (void)pthread_cond_broadcast(&writer->changed);
  }
  (void)pthread_mutex_unlock(&writer->lock);
  return NULL;
}

static void destroy(struct dr_writer *writer) {
  (void)pthread_cond_destroy(&writer->changed);
  (void)pthread_mutex_destroy(&writer->lock);
  free(writer);
}

int32_t dr_writer_start(struct dr_diff *diff, struct dr_writer **out, struct dray_error *error) {
  struct dr_writer *writer = calloc(1, sizeof *writer);
  *out = NULL;
  if (writer == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  writer->diff = diff;
  writer->rc = DRAY_OK;
  dray_error_init(&writer->error);
  (void)pthread_mutex_init(&writer->lock, NULL);
  (void)pthread_cond_init(&writer->changed, NULL);
  if (pthread_create(&writer->thread, NULL, work, writer) != 0) { // a limit of the system; one thread less does as well
    destroy(writer);
    return DRAY_OK;
  }
  *out = writer;
  return DRAY_OK;
}

static int32_t copy_error(const struct dr_writer *writer, struct dray_error *error) {
  if (writer->rc != DRAY_OK && error != NULL) *error = writer->error;
  return writer->rc;
}

int32_t dr_writer_give(struct dr_writer *writer, struct dr_window *window, struct dray_error *error) {
  (void)pthread_mutex_lock(&writer->lock);
  while (writer->window != NULL) (void)pthread_cond_wait(&writer->changed, &writer->lock);
  const int32_t rc = copy_error(writer, error);
  if (rc == DRAY_OK) {
    writer->window = window;
    (void)pthread_cond_broadcast(&writer->changed);
  }
  (void)pthread_mutex_unlock(&writer->lock);
  return rc;
}

int32_t dr_writer_end(struct dr_writer *writer, struct dray_error *error) {
  if (writer == NULL) return DRAY_OK;
  (void)pthread_mutex_lock(&writer->lock);
  writer->ending = 1;
  (void)pthread_cond_broadcast(&writer->changed);
  (void)pthread_mutex_unlock(&writer->lock);
  (void)pthread_join(writer->thread, NULL);
  const int32_t rc = copy_error(writer, error);
  destroy(writer);
  return rc;
}
