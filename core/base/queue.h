// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue of pointers between two stages on two threads: a slow reader of the queue slows its
// writer, so memory stays flat.
#ifndef DR_BASE_QUEUE_H
#define DR_BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "dray/abi.h"

struct dr_queue;
// At most items_max items and, when bytes_max > 0, about bytes_max bytes (one item may always enter an empty queue).
// NULL: out of memory.
DRAY_NODISCARD struct dr_queue *dr_queue_new(size_t items_max, size_t bytes_max);
void dr_queue_free(struct dr_queue *queue, void (*free_item)(void *));
// Blocks while full. 0: pushed; -1: the queue is closed and the item stays the caller's.
int dr_queue_push(struct dr_queue *queue, void *item, size_t bytes);
// Blocks while empty. NULL: closed and drained.
void *dr_queue_pop(struct dr_queue *queue);
// As push and pop, but wait no longer than `wait_ms`. 1: that was not enough, nothing was done (push: the item stays
// the caller's; pop: *out is NULL). pop: 0 with *out = NULL: closed and drained.
int dr_queue_push_within(struct dr_queue *queue, void *item, size_t bytes, int64_t wait_ms);
int dr_queue_pop_within(struct dr_queue *queue, int64_t wait_ms, void **out);
// What pop would give without waiting, left where it is; for the side that pops. *out_closed: nothing comes behind what
// is there.
void *dr_queue_peek(struct dr_queue *queue, int *out_closed, size_t *out_count);
void dr_queue_close(struct dr_queue *queue); // either side; wakes both
size_t dr_queue_peak_bytes(struct dr_queue *queue);

#endif // DR_BASE_QUEUE_H
