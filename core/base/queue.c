// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue: a ring, a mutex, two conditions.
#include "base/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

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
  (void)pthread_mutex_init(&queue->lock, NULL);
  (void)pthread_cond_init(&queue->not_full, NULL);
  (void)pthread_cond_init(&queue->not_empty, NULL);
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

int dr_queue_push(struct dr_queue *queue, void *item, size_t bytes) {
  (void)pthread_mutex_lock(&queue->lock);
  while (!queue->closed && is_full(queue, bytes)) (void)pthread_cond_wait(&queue->not_full, &queue->lock);
  const int closed = queue->closed;
  if (!closed) {
    queue->slots[(queue->head + queue->count) % queue->capacity] = (struct slot){item, bytes};
    queue->count++;
    queue->bytes += bytes;
    if (queue->bytes > queue->bytes_peak) queue->bytes_peak = queue->bytes;
    (void)pthread_cond_signal(&queue->not_empty);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return closed ? -1 : 0;
}

void *dr_queue_pop(struct dr_queue *queue) {
  void *item = NULL;
  (void)pthread_mutex_lock(&queue->lock);
  while (!queue->closed && queue->count == 0) (void)pthread_cond_wait(&queue->not_empty, &queue->lock);
  if (queue->count > 0) {
    const struct slot slot = queue->slots[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    queue->bytes -= slot.bytes;
    item = slot.item;
    (void)pthread_cond_signal(&queue->not_full);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return item;
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
