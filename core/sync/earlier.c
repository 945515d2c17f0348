// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What earlier runs left open: batches in doubt are resolved, pending ones asked for.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sync/parcel.h"

#define POLL_FIRST_MS 500
#define POLL_MOST_MS 30000
#define JOBS_MAX_DEFAULT 16 // that a destination is given at once when it says nothing

// All of the batch, whatever the destination's limits are by now.
static int32_t parcel_of(struct dr_delivery *delivery, const struct dr_batch_record *batch, struct dr_parcel *out,
                         struct dray_error *error) {
  DRAY_TRY(dr_parcel_make(delivery, batch->first_seq, batch->count, UINT64_MAX, out, error));
  if (out->changes->count != batch->count) {
    const int32_t rc = dray_fail(error, DRAY_E_INTERNAL, "batch %lld has %llu changes, its change set %zu",
                                 (long long)batch->id, (unsigned long long)batch->count, out->changes->count);
    dr_parcel_free(out);
    return rc;
  }
  out->batch = *batch;
  out->doubtful = 1;
  return DRAY_OK;
}

static int32_t poll_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  parcel->answer.count = 0;
  dr_lane_leave(delivery);
  const int32_t rc = dr_destination_poll(delivery->destination, dray_str_of(parcel->batch.handle),
                                         parcel->outgoing.rows, parcel->outgoing.count, &parcel->answer, error);
  dr_lane_enter(delivery);
  DRAY_TRY(rc);
  dr_parcel_take(parcel);
  return DRAY_OK;
}

// An operator has said what became of the rows in doubt: those that the receiver holds are acknowledged, the others
// come again through the next pass, in another batch. What was known of the batch is in the mirror already.
static int32_t settle_resolved(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) parcel->receipts[i].status = 0;
  parcel->doubtful = 0;
  return dr_settle(delivery, parcel, DR_BATCH_ACKED, error);
}

static int32_t resolve_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  const struct dray_caps *caps = &delivery->caps;
  if (parcel->outgoing.resolved > 0) return settle_resolved(delivery, parcel, error);
  if (parcel->outgoing.count == 0) {
    parcel->doubtful = 0;
    return dr_settle(delivery, parcel, DR_BATCH_ACKED, error); // parked or resolved meanwhile
  }
  if (caps->doubt == DRAY_DOUBT_NONE || caps->doubt == DRAY_DOUBT_READ_BACK) {
    return dr_send_answer(delivery, parcel, 1, error);
  }
  const int fits = parcel->outgoing.count <= caps->batch_rows_max && parcel->outgoing.bytes <= caps->batch_bytes_max;
  if (fits || caps->doubt == DRAY_DOUBT_IDEMPOTENCY_KEY) return dr_send_parcel(delivery, parcel, 1, error);
  // The destination takes less at once than it did.
  DRAY_TRY(dr_send_range(delivery, parcel->batch.first_seq, parcel->batch.count, 1, error));
  parcel->doubtful = 0;
  return dr_settle_release(delivery, parcel, error);
}

int32_t dr_delivery_resolve(struct dr_delivery *delivery, struct dr_batch_record *batch, struct dray_error *error) {
  if (batch->state != DR_BATCH_IN_DOUBT) return DRAY_OK; // pending ones are polled
  struct dr_parcel parcel;
  DRAY_TRY(parcel_of(delivery, batch, &parcel, error));
  delivery->counted++; // as sent by the run that did
  const int32_t rc = resolve_parcel(delivery, &parcel, error);
  delivery->counted--;
  batch->state = parcel.batch.state;
  if (rc == DRAY_OK && batch->state == DR_BATCH_ACKED) delivery->run->report->recovered++;
  dr_parcel_free(&parcel);
  return rc;
}

// ---- jobs ----

size_t dr_delivery_jobs_max(const struct dr_delivery *delivery) {
  return delivery->caps.jobs_max > 0 ? delivery->caps.jobs_max : JOBS_MAX_DEFAULT;
}

static int is_job(const struct dr_delivery *delivery, const struct dr_batch_record *batch) {
  return batch->state == DR_BATCH_PENDING && strcmp(batch->changeset, delivery->changeset) == 0;
}

int32_t dr_delivery_jobs(struct dr_delivery *delivery, size_t *out_own, size_t *out_earlier, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0, own = 0, all = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  for (size_t i = 0; i < count; i++) {
    own += is_job(delivery, &open[i]) ? 1 : 0;
    all += open[i].state == DR_BATCH_PENDING ? 1 : 0;
  }
  free(open);
  *out_own = own;
  *out_earlier = all - own;
  return DRAY_OK;
}

struct left {
  uint64_t rows;
  size_t batches;
  int32_t failed; // of what came after an answer: settling it, sending rows again. It is not cured by asking again
};

// *left grows by what is still in a job.
static int32_t poll_batch(struct dr_delivery *delivery, const struct dr_batch_record *batch, struct left *left,
                          struct dray_error *error) {
  struct dr_parcel parcel;
  DRAY_TRY(parcel_of(delivery, batch, &parcel, error));
  int32_t rc = poll_parcel(delivery, &parcel, error);
  size_t pending = dr_parcel_count(&parcel, DRAY_RECEIPT_PENDING);
  const int ended = rc == DRAY_OK && pending == 0;
  if (ended) left->failed = rc = dr_send_answer(delivery, &parcel, 1, error);
  if (ended) pending = dr_parcel_count(&parcel, DRAY_RECEIPT_PENDING); // sent again, into another job
  left->rows += pending;
  left->batches += pending > 0;
  if (ended && rc == DRAY_OK && parcel.batch.state == DR_BATCH_ACKED && batch->run != delivery->run->record.id) {
    delivery->run->report->recovered++;
  }
  dr_parcel_free(&parcel);
  return rc;
}

// One round over the pending batches of this set.
static int32_t poll_round(struct dr_delivery *delivery, struct left *out, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  struct left left = {0, 0, DRAY_OK};
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (is_job(delivery, &open[i])) rc = poll_batch(delivery, &open[i], &left, error);
  }
  free(open);
  *out = left;
  return rc;
}

int32_t dr_delivery_poll(struct dr_delivery *delivery, size_t most, int64_t wait_ms, size_t *out_left,
                         struct dray_error *error) {
  const int64_t end = dr_monotonic_ms() + wait_ms;
  int64_t pause = POLL_FIRST_MS;
  uint32_t failures = 0;
  for (;;) {
    struct left left = {0, 0, DRAY_OK};
    struct dray_error failure;
    dray_error_init(&failure);
    const int32_t rc = poll_round(delivery, &left, &failure);
    const int passing = failure.error_class == DRAY_CLASS_TRANSIENT || failure.error_class == DRAY_CLASS_THROTTLED;
    if (rc != DRAY_OK && (left.failed != DRAY_OK || !passing || ++failures >= DR_SEND_ATTEMPTS_MAX)) {
      if (error != NULL) *error = failure;
      return rc; // the jobs stay in the ledger
    }
    if (rc == DRAY_OK && delivery->held_count > 0) {
      DRAY_TRY(dr_limit_send(delivery, error)); // perhaps into other jobs
      if (delivery->held_count == 0 || dr_monotonic_ms() <= end) continue;
    }
    if (rc == DRAY_OK) {
      failures = 0;
      delivery->run->report->pending = delivery->pending_before + left.rows;
      if (out_left != NULL) *out_left = left.batches;
      if (left.batches <= most || dr_monotonic_ms() + pause > end) return DRAY_OK;
    }
    if (pause < failure.retry_after_ms) pause = failure.retry_after_ms;
    DRAY_TRY(dr_send_wait(delivery, pause, "the destination works on a job", error));
    pause = pause * 2 < POLL_MOST_MS ? pause * 2 : POLL_MOST_MS;
  }
}
