// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Delivery through the ledger. One batch: build, `sending`, write, receipts, mirror, ledger. Everything that can go
// wrong on the way ends in one of: applied, refused, to be tried again, pending, in doubt.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/board.h"
#include "base/cancel.h"
#include "base/fault.h"
#include "base/log.h"
#include "sync/parcel.h"

// ---- open and close ----

static int32_t begin(struct dr_delivery *delivery, const struct dr_delivery_plan *plan, struct dray_error *error) {
  struct dray_str *keys = calloc(plan->match_key_count + 1, sizeof(*keys));
  if (keys == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a plan");
  for (size_t i = 0; i < plan->match_key_count; i++) keys[i] = dray_str_of(plan->match_keys[i]);
  (void)snprintf(delivery->run_name, sizeof(delivery->run_name), "%lld", (long long)delivery->run->record.id);
  const struct dray_write_plan announced = {
      .struct_size = sizeof(announced),
      .operations = dr_outgoing_operations(delivery->run->sync->mode),
      .object = dray_str_of(plan->object),
      .schema = &delivery->schema,
      .match_keys = keys,
      .match_key_count = plan->match_key_count,
      .options_json = plan->options_json,
      .sync = dray_str_of(delivery->run->sync->name),
      .run = dray_str_of(delivery->run_name),
      .insert_count = plan->inserts,
      .update_count = plan->updates,
      .delete_count = plan->deletes,
  };
  dr_lane_leave(delivery);
  const int32_t rc = dr_destination_begin(delivery->destination, &announced, error);
  dr_lane_enter(delivery);
  delivery->begun = rc == DRAY_OK;
  free(keys);
  return rc;
}

int32_t dr_delivery_open(struct dr_context *run, struct dr_destination_instance *destination,
                         const struct dray_caps *caps, struct dr_changeset *set, const char *path,
                         const struct dr_delivery_plan *plan, pthread_mutex_t *lock, struct dr_delivery *out,
                         struct dray_error *error) {
  struct dr_delivery delivery;
  memset(&delivery, 0, sizeof(delivery));
  delivery.lock = lock;
  delivery.run = run;
  delivery.destination = destination;
  delivery.caps = *caps;
  delivery.pending_before = run->report->pending;
  delivery.limit_passes = run->limit_passes;
  delivery.limit_ms = dr_limit_waited(run);
  delivery.set = set;
  const char *slash = strrchr(path, '/');
  (void)snprintf(delivery.changeset, sizeof(delivery.changeset), "%s", slash != NULL ? slash + 1 : path);
  uint64_t rejected = 0, parked = 0;
  int32_t rc = dr_store_rows_count(run->store, run->sync->name, &rejected, &parked, error);
  delivery.has_records = rejected + parked > 0;
  if (rc == DRAY_OK) rc = dr_outgoing_schema(&delivery, error);
  if (rc == DRAY_OK) rc = dray_builder_new(&delivery.schema, UINT64_MAX, UINT64_MAX, &delivery.builder, error);
  *out = delivery; // begin hands out the address of its schema
  if (rc == DRAY_OK) rc = begin(out, plan, error);
  if (rc != DRAY_OK) dr_delivery_close(out);
  return rc;
}

int32_t dr_delivery_end(struct dr_delivery *delivery, struct dray_error *error) {
  delivery->begun = 0;
  return dr_destination_end(delivery->destination, error);
}

void dr_delivery_close(struct dr_delivery *delivery) {
  if (delivery->begun) dr_destination_abort(delivery->destination);
  dray_builder_free(delivery->builder);
  dray_schema_release(&delivery->schema);
  free(delivery->columns);
  free(delivery->is_key);
  free(delivery->stand_ins);
  dr_waiting_free(&delivery->waiting);
  if (delivery->held_count > 0) (void)dr_limit_leave(delivery);
  free(delivery->held);
  memset(delivery, 0, sizeof(*delivery));
}

// ---- sending ----

void dr_lane_leave(struct dr_delivery *delivery) {
  if (delivery->lock != NULL) (void)pthread_mutex_unlock(delivery->lock);
}

void dr_lane_enter(struct dr_delivery *delivery) {
  if (delivery->lock != NULL) (void)pthread_mutex_lock(delivery->lock);
}

int32_t dr_send_wait(struct dr_delivery *delivery, int64_t duration_ms, const char *why, struct dray_error *error) {
  dr_lane_leave(delivery);
  dr_board_wait(duration_ms, why);
  const int32_t rc = dr_cancel_sleep(duration_ms, error);
  dr_board_wait(0, NULL);
  dr_lane_enter(delivery);
  return rc;
}

static int32_t open_ledger(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  parcel->batch.run = run->record.id;
  parcel->batch.first_seq = parcel->changes->first_seq;
  parcel->batch.count = parcel->changes->count;
  // Of several lanes nobody knows whose acknowledgement comes next: see dr_settle_mirror.
  parcel->batch.mirror_frame = delivery->lock == NULL ? info.generation + 1 : 0;
  (void)snprintf(parcel->batch.changeset, sizeof(parcel->batch.changeset), "%s", delivery->changeset);
  char text[700];
  const int n = snprintf(text, sizeof(text), "%s %s %llu %llu", run->sync->name, delivery->changeset,
                         (unsigned long long)parcel->batch.first_seq, (unsigned long long)parcel->batch.count);
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_make(text, n > 0 ? (uint64_t)n : 0), dr_store_seed(run->store));
  (void)snprintf(parcel->batch.idempotency_key, sizeof(parcel->batch.idempotency_key), "dray-%016llx%016llx",
                 (unsigned long long)hash.high, (unsigned long long)hash.low);
  DRAY_TRY(dr_settle_sending(delivery, parcel, error));
  (void)dr_fault_point("delivery.sending");
  return DRAY_OK;
}

static int32_t write_once(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  const struct dray_batch_info info = {
      .struct_size = sizeof(info),
      .attempt = ++parcel->attempt,
      .batch = (uint64_t)parcel->batch.id,
      .idempotency_key = dray_str_of(parcel->batch.idempotency_key),
  };
  parcel->answer.count = 0;
  parcel->answer.handle = dray_str_make(NULL, 0);
  dr_lane_leave(delivery);
  const int32_t rc =
      dr_destination_write(delivery->destination, &delivery->caps, &parcel->outgoing.array, parcel->outgoing.bytes,
                           parcel->outgoing.rows, parcel->outgoing.count, &info, &parcel->answer, error);
  dr_lane_enter(delivery);
  (void)dr_fault_point("delivery.written");
  if (rc == DRAY_OK && parcel->doubtful) {
    dr_parcel_take_again(parcel, delivery->caps.doubt == DRAY_DOUBT_RESEND);
  }
  if (rc == DRAY_OK && !parcel->doubtful) dr_parcel_take(parcel);
  return rc;
}

// What a failed write means for the rest.
enum { NEXT_AGAIN = 1, NEXT_HALVE, NEXT_STOP, NEXT_DOUBT };

// Whether a call that failed may have applied rows all the same. One that breaks its contract is not to be believed.
static int leaves_doubt(const struct dray_error *failure) {
  return strcmp(failure->vendor_code, "in_doubt") == 0 || failure->error_class == DRAY_CLASS_BUG;
}

static int32_t after_failure(struct dr_delivery *delivery, struct dr_parcel *parcel, const struct dray_error *failure,
                             int *out_next, struct dray_error *error) {
  *out_next = NEXT_STOP;
  if (leaves_doubt(failure)) {
    *out_next = NEXT_DOUBT;
    return DRAY_OK;
  }
  if (failure->error_class == DRAY_CLASS_DATA) {
    *out_next = NEXT_HALVE;
    return DRAY_OK;
  }
  if (failure->error_class == DRAY_CLASS_TRANSIENT && ++parcel->failures < DR_SEND_ATTEMPTS_MAX) {
    int64_t pause = dr_backoff_ms(parcel->failures);
    if (pause < failure->retry_after_ms) pause = failure->retry_after_ms;
    *out_next = NEXT_AGAIN;
    return dr_send_wait(delivery, pause, failure->text, error);
  }
  if (failure->error_class == DRAY_CLASS_THROTTLED) {
    *out_next = NEXT_AGAIN;
    return dr_limit_wait(delivery, failure->retry_after_ms, failure->text, error);
  }
  return DRAY_OK;
}

// The longest time that rows in doubt were asked to wait, by a call that put them off.
static int64_t asked_to_wait_ms(const struct dr_parcel *parcel) {
  int64_t longest_ms = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status == DRAY_RECEIPT_UNKNOWN && receipt->retry_after_ms > longest_ms) {
      longest_ms = receipt->retry_after_ms;
    }
  }
  return longest_ms;
}

// Rows whose fate is unknown: ask, or send the whole batch once more under its key. Leaves UNKNOWN what stays so.
static int32_t clear_doubt(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  const uint32_t doubt = dr_parcel_doubt(delivery, parcel);
  if (doubt == DRAY_DOUBT_NONE) return DRAY_OK;
  parcel->doubtful |= dr_parcel_count(parcel, DRAY_RECEIPT_UNKNOWN) > 0;
  int64_t asked_ms = asked_to_wait_ms(parcel);
  for (uint32_t tries = 1; dr_parcel_count(parcel, DRAY_RECEIPT_UNKNOWN) > 0 && tries < DR_SEND_ATTEMPTS_MAX; tries++) {
    struct dray_error failure;
    dray_error_init(&failure);
    // A job that was answered meanwhile must not be sent again beside itself.
    if (dr_parcel_count(parcel, DRAY_RECEIPT_PENDING) > 0) return DRAY_OK;
    const int64_t pause = dr_backoff_ms(tries);
    DRAY_TRY(dr_send_wait(delivery, pause > asked_ms ? pause : asked_ms, "a batch is in doubt", error));
    if (!dr_parcel_key_holds(delivery, parcel)) return DRAY_OK;
    dr_parcel_keep_texts(parcel);
    int32_t rc;
    if (doubt == DRAY_DOUBT_READ_BACK) {
      parcel->answer.count = 0;
      dr_lane_leave(delivery);
      rc = dr_destination_read_back(delivery->destination, &parcel->outgoing.array, parcel->outgoing.rows,
                                    parcel->outgoing.count, &parcel->answer, &failure);
      dr_lane_enter(delivery);
      if (rc == DRAY_OK) dr_parcel_take(parcel);
    } else {
      rc = write_once(delivery, parcel, &failure);
      if (rc != DRAY_OK && leaves_doubt(&failure)) dr_parcel_join_doubt(parcel); // all were sent
    }
    if (rc == DRAY_E_CANCELLED) {
      if (error != NULL) *error = failure;
      return rc;
    }
    asked_ms = rc != DRAY_OK ? failure.retry_after_ms : asked_to_wait_ms(parcel);
    if (rc != DRAY_OK) dr_log(DRAY_LOG_INFO, delivery->run->sync->name, "resolving a batch in doubt: %s", failure.text);
  }
  return DRAY_OK;
}

// Rows that the destination puts off again and again are left to the next run, and recorded.
static int32_t put_off(struct dr_delivery *delivery, struct dr_parcel *parcel, size_t count, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  DRAY_TRY(dr_store_begin(run->store, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status != DRAY_RECEIPT_RETRY || dr_limit_is(receipt)) continue;
    rc = dr_rows_put_off(run, parcel->changes, parcel->outgoing.change[i], receipt->code, receipt->text, error);
  }
  if (rc != DRAY_OK) {
    dr_store_rollback(run->store);
    return rc;
  }
  delivery->has_records = 1;
  run->report->refused += count;
  run->report->rejected_rows += count;
  return dr_store_commit(run->store, error);
}

// The end of the run of rows from i on that were put off for the same kind of reason: they stand together in the set.
static size_t end_of_run(const struct dr_parcel *parcel, size_t i) {
  const int limited = dr_limit_is(&parcel->receipts[i]);
  size_t end = i + 1;
  while (end < parcel->outgoing.count && parcel->receipts[end].status == DRAY_RECEIPT_RETRY &&
         dr_limit_is(&parcel->receipts[end]) == limited &&
         parcel->outgoing.change[end] == parcel->outgoing.change[end - 1] + 1) {
    end++;
  }
  return end;
}

// Each run of rows that were put off for another reason than a limit as a batch of its own. Where a limit stops the
// first of them, the others are put by.
static int32_t send_runs(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                         struct dray_error *error) {
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < parcel->outgoing.count;) {
    const int again = parcel->receipts[i].status == DRAY_RECEIPT_RETRY && !dr_limit_is(&parcel->receipts[i]);
    const size_t end = again ? end_of_run(parcel, i) : i + 1;
    if (again && rc == DRAY_OK) {
      rc = dr_send_range(delivery, (uint64_t)parcel->outgoing.rows[i], end - i, round, error);
    } else if (again) {
      DRAY_TRY(dr_limit_hold(delivery, (uint64_t)parcel->outgoing.rows[i], end - i, round, 0, error));
    }
    if (rc != DRAY_OK && rc != DRAY_E_THROTTLED) return rc;
    i = end;
  }
  return rc;
}

// Sends again what was not taken for a passing reason: each run of such rows as a batch of its own. Those that a limit
// kept back are only put by, however often that is.
static int32_t retry_rows(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                          struct dray_error *error) {
  const size_t limited = dr_limit_count(parcel);
  const size_t count = dr_parcel_count(parcel, DRAY_RECEIPT_RETRY) - limited;
  int64_t pause = dr_backoff_ms(round);
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status != DRAY_RECEIPT_RETRY) continue;
    if (dr_limit_is(receipt)) {
      const size_t end = end_of_run(parcel, i);
      DRAY_TRY(dr_limit_hold_rows(delivery, parcel, i, end, round, error));
      i = end - 1;
    } else if (receipt->retry_after_ms > pause) {
      pause = receipt->retry_after_ms;
    }
  }
  if (count == 0) return DRAY_OK;
  if (round >= DR_SEND_ATTEMPTS_MAX) {
    dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "%zu rows were put off %u times; the next run sends them again",
           count, round);
    return put_off(delivery, parcel, count, error);
  }
  DRAY_TRY(dr_send_wait(delivery, pause, "the destination put rows off", error));
  return send_runs(delivery, parcel, round + 1, error);
}

int32_t dr_send_answer(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                       struct dray_error *error) {
  int32_t cleared = DRAY_OK;
  // Sending again would bring rows that are in a job there a second time.
  if (dr_parcel_count(parcel, DRAY_RECEIPT_PENDING) == 0) cleared = clear_doubt(delivery, parcel, error);
  dr_limit_look(delivery, parcel);
  const size_t unknown = dr_parcel_count(parcel, DRAY_RECEIPT_UNKNOWN);
  const int whole = dr_parcel_doubt(delivery, parcel) == DRAY_DOUBT_IDEMPOTENCY_KEY;
  if (whole && unknown > 0 && dr_parcel_count(parcel, DRAY_RECEIPT_PENDING) == 0) dr_parcel_join_doubt(parcel);
  // Interrupted: what is known is settled all the same.
  const int32_t rc = dr_settle_known(delivery, parcel, cleared == DRAY_OK ? error : NULL);
  if (cleared != DRAY_OK) return cleared;
  DRAY_TRY(rc);
  dr_jobs_give(delivery, parcel); // what is sent again asks for itself
  return retry_rows(delivery, parcel, round, error);
}

static int32_t refuse_single(struct dr_delivery *delivery, struct dr_parcel *parcel, const struct dray_error *failure,
                             struct dray_error *error) {
  parcel->receipts[0] = (struct dray_receipt){.row = parcel->outgoing.rows[0],
                                              .status = DRAY_RECEIPT_REJECTED,
                                              .code = failure->code,
                                              .text = dray_str_of(failure->text)};
  return dr_settle(delivery, parcel, DR_BATCH_ACKED, error);
}

// What follows the rows that a limit has stopped is put by as well. Returns `rc`, of those.
static int32_t put_rest_by(struct dr_delivery *delivery, int32_t rc, uint64_t first, uint64_t end, uint32_t round,
                           struct dray_error *error) {
  if (rc != DRAY_E_THROTTLED) return rc;
  const int32_t held = dr_limit_hold(delivery, first, end - first, round, 0, NULL);
  return held == DRAY_OK ? rc : dray_fail(error, held, "no memory for rows that were kept back");
}

static int32_t halve(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round, struct dray_error *error) {
  // By rows that are sent, so that each half has some.
  const uint64_t first = parcel->changes->first_seq;
  const uint64_t middle = (uint64_t)parcel->outgoing.rows[parcel->outgoing.count / 2];
  const uint64_t end = first + parcel->changes->count;
  dr_jobs_give(delivery, parcel);
  delivery->counted++; // as one batch already
  int32_t rc = dr_send_range(delivery, first, middle - first, round, error);
  rc = rc == DRAY_OK ? dr_send_range(delivery, middle, end - middle, round, error)
                     : put_rest_by(delivery, rc, middle, end, round, error);
  delivery->counted--;
  return rc;
}

int32_t dr_send_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                       struct dray_error *error) {
  for (;;) {
    struct dray_error failure;
    dray_error_init(&failure);
    if (parcel->doubtful && !dr_parcel_key_holds(delivery, parcel)) {
      return dr_send_answer(delivery, parcel, round, error);
    }
    const int32_t rc = write_once(delivery, parcel, &failure);
    if (rc == DRAY_OK) return dr_send_answer(delivery, parcel, round, error);
    int next = NEXT_STOP;
    const int32_t waited = after_failure(delivery, parcel, &failure, &next, error);
    if (waited != DRAY_OK) {
      const int32_t released = dr_settle_release(delivery, parcel, NULL); // cancelled while waiting
      if (released != DRAY_OK) {
        dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "batch %lld stays in doubt: the ledger could not be written",
               (long long)parcel->batch.id);
      }
      if (waited != DRAY_E_THROTTLED || parcel->doubtful) return waited;
      const int32_t held = dr_limit_hold_rows(delivery, parcel, 0, parcel->outgoing.count, round, NULL);
      return held == DRAY_OK ? waited : dray_fail(error, held, "no memory for rows that were kept back");
    }
    switch (next) {
    case NEXT_AGAIN:
      continue;
    case NEXT_DOUBT:
      dr_parcel_forget(parcel, failure.text);
      if (failure.error_class != DRAY_CLASS_BUG) return dr_send_answer(delivery, parcel, round, error);
      DRAY_TRY(dr_settle_in_doubt(delivery, parcel, error)); // not asked again: it has shown that it cannot be believed
      break;
    case NEXT_HALVE:
      if (parcel->outgoing.count == 1) return refuse_single(delivery, parcel, &failure, error);
      parcel->doubtful = 0; // refused as a whole: no call brought it there
      DRAY_TRY(dr_settle_release(delivery, parcel, error));
      return halve(delivery, parcel, round, error);
    default:
      DRAY_TRY(dr_settle_release(delivery, parcel, error));
      break;
    }
    if (error != NULL) *error = failure;
    return rc;
  }
}

static int32_t deliver_parcel(struct dr_delivery *delivery, struct dr_parcel *parcel, uint32_t round,
                              struct dray_error *error) {
  struct dr_run_report *report = delivery->run->report;
  if (parcel->outgoing.count == 0) {
    return parcel->outgoing.silent_count > 0 ? dr_settle_mirror(delivery, parcel, error) : DRAY_OK;
  }
  if (parcel->outgoing.bytes > delivery->caps.batch_bytes_max) {
    if (parcel->outgoing.count > 1) return halve(delivery, parcel, round, error);
    struct dray_error failure;
    (void)dray_fail(&failure, DRAY_E_DATA_TOO_LARGE, "the row takes about %llu bytes, the destination %llu at most",
                    (unsigned long long)parcel->outgoing.bytes, (unsigned long long)delivery->caps.batch_bytes_max);
    return refuse_single(delivery, parcel, &failure, error);
  }
  dr_jobs_take(delivery, parcel);
  int32_t rc = open_ledger(delivery, parcel, error);
  if (rc == DRAY_OK) {
    if (round == 1 && delivery->counted == 0) report->sent += parcel->outgoing.count;
    rc = dr_send_parcel(delivery, parcel, round, error);
  }
  dr_jobs_give(delivery, parcel);
  return rc;
}

// A batch is resolved later by the changes it spans, when those that wait now may wait no more: it ends before the
// first of them. Where they come first *out_waiting says how many, and there is no parcel.
static int32_t make_next(struct dr_delivery *delivery, uint64_t first, uint64_t rows, struct dr_parcel *out,
                         uint64_t *out_waiting, struct dray_error *error) {
  const uint64_t bytes_max = delivery->caps.batch_bytes_max;
  struct dr_parcel parcel;
  DRAY_TRY(dr_parcel_make(delivery, first, rows, bytes_max, &parcel, error));
  const size_t wait_first = parcel.outgoing.wait_first, wait_end = parcel.outgoing.wait_end;
  if (wait_end == 0) {
    *out = parcel;
    return DRAY_OK;
  }
  dr_parcel_free(&parcel);
  if (wait_first > 0) return dr_parcel_make(delivery, first, wait_first, bytes_max, out, error);
  *out_waiting = wait_end;
  return DRAY_OK;
}

int32_t dr_send_next(struct dr_delivery *delivery, uint64_t *first, uint64_t end, uint32_t round,
                     struct dray_error *error) {
  DRAY_TRY(dr_cancel_check(error));
  uint64_t rows = end - *first;
  if (rows > delivery->caps.batch_rows_max) rows = delivery->caps.batch_rows_max;
  struct dr_parcel parcel;
  uint64_t waiting = 0;
  DRAY_TRY(make_next(delivery, *first, rows, &parcel, &waiting, error));
  *first += waiting > 0 ? waiting : parcel.changes->count;
  if (waiting > 0) return DRAY_OK;
  if (round == 1 && delivery->counted == 0) {
    delivery->run->report->ignored += parcel.outgoing.ignored;
    delivery->run->report->parked += parcel.outgoing.parked;
  }
  parcel.may_join = (delivery->caps.flags & DRAY_CAPS_ASYNC) == 0; // else jobs may be waited for before the next batch
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = deliver_parcel(delivery, &parcel, round, &why);
  dr_parcel_free(&parcel);
  return dr_limit_after(delivery, rc, &why, error);
}

int32_t dr_send_range(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round,
                      struct dray_error *error) {
  const uint64_t end = first + count;
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && first < end) {
    int room = 0;
    DRAY_TRY(dr_jobs_room(delivery, &room, error));
    if (!room) return dr_limit_hold(delivery, first, end - first, round, 1, error);
    rc = dr_send_next(delivery, &first, end, round, error);
  }
  return put_rest_by(delivery, rc, first, end, round, error);
}
