// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What is open: batches in doubt that earlier runs left are resolved, pending ones asked for.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sync/parcel.h"

#define POLL_FIRST_MS 500
#define POLL_MOST_MS 30000

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

// What is left of a batch in doubt: a row that a younger batch has, since this one was split or rows of it were sent
// again before the run died, is settled by that one.
static int32_t rest_of(struct dr_delivery *delivery, const struct dr_batch_record *batch, struct dr_parcel *out,
                       struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0, kept = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  for (size_t i = 0; i < count; i++) {
    if (open[i].id > batch->id && strcmp(open[i].changeset, batch->changeset) == 0) open[kept++] = open[i];
  }
  delivery->others = open;
  delivery->other_count = kept;
  const int32_t rc = parcel_of(delivery, batch, out, error);
  delivery->others = NULL;
  delivery->other_count = 0;
  free(open);
  return rc;
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

// Waits for room among the jobs, as far as those of this set are in the way: others are asked for with theirs.
static int32_t make_room(struct dr_delivery *delivery, int64_t wait_ms, int *out_room, struct dray_error *error) {
  size_t own = 0, earlier = 0;
  DRAY_TRY(dr_jobs_room(delivery, out_room, error));
  if (*out_room) return DRAY_OK;
  DRAY_TRY(dr_jobs_count(delivery, &own, &earlier, error));
  const size_t taken = dr_jobs_max(delivery);
  if (earlier >= taken) return DRAY_OK;
  DRAY_TRY(dr_delivery_poll(delivery, taken - earlier - 1, wait_ms, NULL, error));
  return dr_jobs_room(delivery, out_room, error);
}

static int32_t resolve_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, int64_t wait_ms,
                              struct dray_error *error) {
  const struct dray_caps *caps = &delivery->caps;
  if (parcel->outgoing.resolved > 0) return settle_resolved(delivery, parcel, error);
  if (parcel->outgoing.count == 0) {
    parcel->doubtful = 0;
    return dr_settle(delivery, parcel, DR_BATCH_ACKED, error); // parked or resolved meanwhile
  }
  if (!dr_parcel_key_holds(delivery, parcel)) {
    DRAY_TRY(dr_parcel_leave_held(delivery, parcel, error));
    return dr_send_answer(delivery, parcel, 1, error);
  }
  if (caps->doubt == DRAY_DOUBT_NONE || caps->doubt == DRAY_DOUBT_READ_BACK) {
    return dr_send_answer(delivery, parcel, 1, error);
  }
  int room = 0;
  DRAY_TRY(make_room(delivery, wait_ms, &room, error));
  if (!room) return dr_settle_release(delivery, parcel, error); // stays in doubt
  const int fits = parcel->outgoing.count <= caps->batch_rows_max && parcel->outgoing.bytes <= caps->batch_bytes_max;
  if (fits || caps->doubt == DRAY_DOUBT_IDEMPOTENCY_KEY) {
    dr_jobs_take(delivery, parcel);
    const int32_t rc = dr_send_parcel(delivery, parcel, 1, error);
    dr_jobs_give(delivery, parcel);
    return rc;
  }
  // The destination takes less at once than it did.
  const size_t held = delivery->held_count;
  DRAY_TRY(dr_send_range(delivery, parcel->batch.first_seq, parcel->batch.count, 1, error));
  parcel->doubtful = delivery->held_count > held; // rows that are put by may not come to be sent in this run
  return dr_settle_release(delivery, parcel, error);
}

int32_t dr_delivery_resolve(struct dr_delivery *delivery, struct dr_batch_record *batch, int64_t wait_ms,
                            struct dray_error *error) {
  if (batch->state != DR_BATCH_IN_DOUBT) return DRAY_OK; // pending ones are polled
  struct dr_parcel parcel;
  DRAY_TRY(rest_of(delivery, batch, &parcel, error));
  struct dray_error why;
  dray_error_init(&why);
  delivery->counted++; // as sent by the run that did
  int32_t rc = resolve_parcel(delivery, &parcel, wait_ms, &why);
  delivery->counted--;
  batch->state = parcel.batch.state;
  if (rc == DRAY_E_THROTTLED && batch->state == DR_BATCH_IN_DOUBT) { // stays so; other rows may be taken
    dr_limit_refused(delivery->run, &why);
    dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "batch %lld stays in doubt: %s", (long long)batch->id, why.text);
    rc = DRAY_OK;
  }
  if (rc == DRAY_OK && batch->state == DR_BATCH_ACKED) delivery->run->report->recovered++;
  if (rc != DRAY_OK && error != NULL) *error = why;
  dr_parcel_free(&parcel);
  return rc;
}

// ---- jobs ----

// *out_failed: of what came after an answer, settling it or sending rows again. It is not cured by asking again.
static int32_t poll_batch(struct dr_delivery *delivery, const struct dr_batch_record *batch, int32_t *out_failed,
                          struct dray_error *error) {
  struct dr_parcel parcel;
  DRAY_TRY(parcel_of(delivery, batch, &parcel, error));
  const int is_empty = parcel.outgoing.count == 0; // parked or resolved meanwhile: no row is asked for
  int32_t rc = is_empty ? DRAY_OK : poll_parcel(delivery, &parcel, error);
  const int ended = rc == DRAY_OK && dr_parcel_count(&parcel, DRAY_RECEIPT_PENDING) == 0;
  if (ended) {
    rc = is_empty ? dr_settle(delivery, &parcel, DR_BATCH_ACKED, error) : dr_send_answer(delivery, &parcel, 1, error);
    *out_failed = rc;
  }
  if (ended && rc == DRAY_OK && parcel.batch.state == DR_BATCH_ACKED && batch->run != delivery->run->record.id) {
    delivery->run->report->recovered++;
  }
  dr_parcel_free(&parcel);
  return rc;
}

// One round over the pending batches of this set.
static int32_t poll_round(struct dr_delivery *delivery, int32_t *out_failed, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (dr_jobs_is_own(delivery, &open[i])) rc = poll_batch(delivery, &open[i], out_failed, error);
  }
  free(open);
  return rc;
}

int32_t dr_delivery_poll(struct dr_delivery *delivery, size_t most, int64_t wait_ms, size_t *out_left,
                         struct dray_error *error) {
  const int64_t end = dr_monotonic_ms() + wait_ms;
  int64_t pause = POLL_FIRST_MS;
  uint32_t failures = 0;
  for (;;) {
    int32_t failed = DRAY_OK;
    struct dray_error failure;
    dray_error_init(&failure);
    const int32_t rc = poll_round(delivery, &failed, &failure);
    const int passing = failure.error_class == DRAY_CLASS_TRANSIENT || failure.error_class == DRAY_CLASS_THROTTLED;
    if (rc != DRAY_OK && (failed != DRAY_OK || !passing || ++failures >= DR_SEND_ATTEMPTS_MAX)) {
      if (error != NULL) *error = failure;
      return rc; // the jobs stay in the ledger
    }
    if (rc == DRAY_OK) {
      const size_t held = delivery->held_count;
      size_t own = 0, earlier = 0;
      failures = 0;
      DRAY_TRY(dr_limit_send(delivery, error)); // perhaps into other jobs
      DRAY_TRY(dr_jobs_count(delivery, &own, &earlier, error));
      if (delivery->held_count < held) pause = POLL_FIRST_MS;
      if (own <= most || dr_monotonic_ms() + pause > end) {
        if (out_left != NULL) *out_left = own;
        return DRAY_OK;
      }
    }
    if (pause < failure.retry_after_ms) pause = failure.retry_after_ms;
    DRAY_TRY(dr_send_wait(delivery, pause, "the destination works on a job", error));
    pause = pause * 2 < POLL_MOST_MS ? pause * 2 : POLL_MOST_MS;
  }
}

int32_t dr_delivery_tell(struct dr_delivery *delivery, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  uint64_t rows = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    struct dr_parcel parcel;
    if (!dr_jobs_is_own(delivery, &open[i])) continue;
    rc = parcel_of(delivery, &open[i], &parcel, error);
    if (rc != DRAY_OK) break;
    rows += parcel.outgoing.count;
    dr_parcel_free(&parcel);
  }
  free(open);
  if (rc == DRAY_OK) delivery->run->report->pending = delivery->pending_before + rows;
  return rc;
}
