// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue: a ring, a mutex, two conditions.
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct slot {
  void *item;
  size_t bytes;
};

struct dr_queue {
  pthread_mutex_t lock;
  pthread_cond_t not_full, not_empty;
  struct slot *slots;
  size_t capacity, head, count;
  size_t bytes, bytes_max, bytes_peak;
  int closed;
};

struct dr_queue *dr_queue_new(size_t items_max, size_t bytes_max) {
  assert(items_max > 0);
  struct dr_queue *queue = calloc(1, sizeof(*queue));
  if (queue == NULL) return NULL;
  queue->slots = calloc(items_max, sizeof(*queue->slots));
  if (queue->slots == NULL) {
    free(queue);
    return NULL;
  }
  queue->capacity = items_max;
  queue->bytes_max = bytes_max;
  pthread_condattr_t steady; // a clock that nobody sets
  (void)pthread_condattr_init(&steady);
  (void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
  (void)pthread_mutex_init(&queue->lock, NULL);
  (void)pthread_cond_init(&queue->not_full, &steady);
  (void)pthread_cond_init(&queue->not_empty, &steady);
  (void)pthread_condattr_destroy(&steady);
  return queue;
}

void dr_queue_free(struct dr_queue *queue, void (*free_item)(void *)) {
  if (queue == NULL) return;
  for (size_t i = 0; i < queue->count; i++) free_item(queue->slots[(queue->head + i) % queue->capacity].item);
  (void)pthread_cond_destroy(&queue->not_empty);
  (void)pthread_cond_destroy(&queue->not_full);
  (void)pthread_mutex_destroy(&queue->lock);
  free(queue->slots);
  free(queue);
}

static int is_full(const struct dr_queue *queue, size_t bytes) {
  if (queue->count == queue->capacity) return 1;
  return queue->bytes_max > 0 && queue->count > 0 && queue->bytes + bytes > queue->bytes_max;
}

static struct timespec moment_after(int64_t wait_ms) {
  struct timespec moment;
  (void)clock_gettime(CLOCK_MONOTONIC, &moment);
  moment.tv_sec += (time_t)(wait_ms / 1000);
  moment.tv_nsec += (long)(wait_ms % 1000) * 1000000;
  moment.tv_sec += moment.tv_nsec / 1000000000;
  moment.tv_nsec %= 1000000000;
  return moment;
}

// Waits for a signal, until `moment` if there is one. 1: the moment has come.
static int wait_for(pthread_cond_t *signal, pthread_mutex_t *lock, const struct timespec *moment) {
  if (moment != NULL) return pthread_cond_timedwait(signal, lock, moment) == ETIMEDOUT;
  (void)pthread_cond_wait(signal, lock);
  return 0;
}

static int push(struct dr_queue *queue, void *item, size_t bytes, const struct timespec *moment) {
  int late = 0;
  (void)pthread_mutex_lock(&queue->lock);
  while (!late && !queue->closed && is_full(queue, bytes)) late = wait_for(&queue->not_full, &queue->lock, moment);
  const int refused = queue->closed ? -1 : is_full(queue, bytes);
  if (refused == 0) {
    queue->slots[(queue->head + queue->count) % queue->capacity] = (struct slot){item, bytes};
    queue->count++;
    queue->bytes += bytes;
    if (queue->bytes > queue->bytes_peak) queue->bytes_peak = queue->bytes;
    (void)pthread_cond_signal(&queue->not_empty);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return refused;
}

static int pop(struct dr_queue *queue, const struct timespec *moment, void **out) {
  int late = 0;
  *out = NULL;
  (void)pthread_mutex_lock(&queue->lock);
  while (!late && !queue->closed && queue->count == 0) late = wait_for(&queue->not_empty, &queue->lock, moment);
  const int nothing = queue->count == 0 && !queue->closed;
  if (queue->count > 0) {
    const struct slot slot = queue->slots[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    queue->bytes -= slot.bytes;
    *out = slot.item;
    (void)pthread_cond_signal(&queue->not_full);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return nothing;
}

int dr_queue_push(struct dr_queue *queue, void *item, size_t bytes) {
  return push(queue, item, bytes, NULL);
}

void *dr_queue_pop(struct dr_queue *queue) {
  void *item;
  (void)pop(queue, NULL, &item);
  return item;
}

int dr_queue_push_within(struct dr_queue *queue, void *item, size_t bytes, int64_t wait_ms) {
  const struct timespec moment = moment_after(wait_ms);
  return push(queue, item, bytes, &moment);
}

int dr_queue_pop_within(struct dr_queue *queue, int64_t wait_ms, void **out) {
  const struct timespec moment = moment_after(wait_ms);
  return pop(queue, &moment, out);
}

void *dr_queue_peek(struct dr_queue *queue, int *out_closed, size_t *out_count) {
  (void)pthread_mutex_lock(&queue->lock);
  void *item = queue->count > 0 ? queue->slots[queue->head].item : NULL;
  *out_closed = queue->closed;
  *out_count = queue->count;
  (void)pthread_mutex_unlock(&queue->lock);
  return item;
}

void dr_queue_close(struct dr_queue *queue) {
  (void)pthread_mutex_lock(&queue->lock);
  queue->closed = 1;
  (void)pthread_cond_broadcast(&queue->not_full);
  (void)pthread_cond_broadcast(&queue->not_empty);
  (void)pthread_mutex_unlock(&queue->lock);
}

size_t dr_queue_peak_bytes(struct dr_queue *queue) {
  (void)pthread_mutex_lock(&queue->lock);
  const size_t peak = queue->bytes_peak;
  (void)pthread_mutex_unlock(&queue->lock);
  return peak;
}
