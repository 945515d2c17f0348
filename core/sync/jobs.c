// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How many jobs the destination is given at once. Whoever sends a batch asks for room before, and what finds none is
// put by; a batch takes its place before the call that may make a job of it and gives it back when the ledger says what
// became of it. In between the lock may be left: no two lanes see the same room.
#include <stdlib.h>
#include <string.h>

#include "sync/parcel.h"

#define JOBS_MAX_DEFAULT 16 // that a destination is given at once when it says nothing

size_t dr_jobs_max(const struct dr_delivery *delivery) {
  return delivery->caps.jobs_max > 0 ? delivery->caps.jobs_max : JOBS_MAX_DEFAULT;
}

int dr_jobs_is_own(const struct dr_delivery *delivery, const struct dr_batch_record *batch) {
  return batch->state == DR_BATCH_PENDING && strcmp(batch->changeset, delivery->changeset) == 0;
}

int32_t dr_jobs_count(struct dr_delivery *delivery, size_t *out_own, size_t *out_earlier, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0, own = 0, all = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  for (size_t i = 0; i < count; i++) {
    own += dr_jobs_is_own(delivery, &open[i]) ? 1 : 0;
    all += open[i].state == DR_BATCH_PENDING ? 1 : 0;
  }
  free(open);
  *out_own = own;
  *out_earlier = all - own;
  return DRAY_OK;
}

int32_t dr_jobs_room(struct dr_delivery *delivery, int *out_room, struct dray_error *error) {
  size_t own = 0, earlier = 0;
  *out_room = 1;
  if ((delivery->caps.flags & DRAY_CAPS_ASYNC) == 0) return DRAY_OK;
  DRAY_TRY(dr_jobs_count(delivery, &own, &earlier, error));
  *out_room = own + earlier + delivery->run->jobs_begun < dr_jobs_max(delivery);
  return DRAY_OK;
}

void dr_jobs_take(struct dr_delivery *delivery, struct dr_parcel *parcel) {
  if ((delivery->caps.flags & DRAY_CAPS_ASYNC) == 0 || parcel->has_place) return;
  parcel->has_place = 1;
  delivery->run->jobs_begun++;
}

void dr_jobs_give(struct dr_delivery *delivery, struct dr_parcel *parcel) {
  if (!parcel->has_place) return;
  parcel->has_place = 0;
  delivery->run->jobs_begun--;
}
