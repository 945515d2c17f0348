// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows that wait: they are in a batch of an earlier run of which nobody knows yet what became of it (a job still at
// work, an answer lost). Sent again beside it they could arrive twice, or the older value last.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sync/delivery.h"

#define FIRST_CAPACITY 1024
#define PAGE_ROWS 16384
#define PAGE_BYTES (4u << 20)

static int compare(const void *a, const void *b) {
  const struct dr_hash128 *x = a;
  const struct dr_hash128 *y = b;
  if (x->high != y->high) return x->high < y->high ? -1 : 1;
  return x->low < y->low ? -1 : x->low > y->low;
}

static int32_t add(struct dr_waiting *waiting, const struct dr_changes *changes, struct dray_error *error) {
  if (waiting->count + changes->count > waiting->capacity) {
    size_t capacity = waiting->capacity > 0 ? waiting->capacity * 2 : FIRST_CAPACITY;
    if (capacity < waiting->count + changes->count) capacity = waiting->count + changes->count;
    struct dr_hash128 *keys = realloc(waiting->keys, capacity * sizeof(*keys));
    if (keys == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for rows that wait");
    waiting->keys = keys;
    waiting->capacity = capacity;
  }
  memcpy(waiting->keys + waiting->count, changes->key_hash, changes->count * sizeof(*waiting->keys));
  waiting->count += changes->count;
  return DRAY_OK;
}

static int32_t add_batch(struct dr_context *run, const struct dr_batch_record *batch, struct dr_waiting *waiting,
                         struct dray_error *error) {
  char *path = dr_path_join(run->folder, batch->changeset);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  struct dr_changeset *set = NULL;
  int32_t rc = dr_changeset_open(path, &set, error);
  const uint64_t end = batch->first_seq + batch->count;
  for (uint64_t seq = batch->first_seq; rc == DRAY_OK && seq < end;) {
    const uint64_t rows = end - seq < PAGE_ROWS ? end - seq : PAGE_ROWS;
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, rows, PAGE_BYTES, 0, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    seq = changes->first_seq + changes->count;
    rc = add(waiting, changes, error);
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  free(path);
  return rc;
}

int32_t dr_waiting_load(struct dr_context *run, struct dr_waiting *out, struct dray_error *error) {
  struct dr_waiting waiting = {NULL, 0, 0};
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  DRAY_TRY(dr_store_batches_open(run->store, run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) rc = add_batch(run, &open[i], &waiting, error);
  free(open);
  if (rc != DRAY_OK) {
    dr_waiting_free(&waiting);
    return rc;
  }
  if (waiting.count > 0) qsort(waiting.keys, waiting.count, sizeof(*waiting.keys), compare);
  *out = waiting;
  return DRAY_OK;
}

int dr_waiting_has(const struct dr_waiting *waiting, struct dr_hash128 key) {
  return waiting->count > 0 && bsearch(&key, waiting->keys, waiting->count, sizeof(*waiting->keys), compare) != NULL;
}

void dr_waiting_free(struct dr_waiting *waiting) {
  free(waiting->keys);
  memset(waiting, 0, sizeof(*waiting));
}
