// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Delivery through the ledger. One batch: build, `sending`, write, receipts, mirror, ledger. Everything that can go
// wrong on the way ends in one of: applied, refused, to be tried again, pending, in doubt.
#include "sync/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#define ATTEMPTS_MAX 5
#define THROTTLE_TOTAL_MS_MAX (30 * 60 * 1000)
#define TEXTS_BYTES_MAX (16u << 20)
#define POLL_FIRST_MS 500
#define POLL_MOST_MS 30000

// One batch between `sending` and its settlement.
struct parcel {
  struct dr_changes *changes;
  struct dr_outgoing outgoing;
  struct dr_batch_record batch;
  struct dray_receipt *receipts; // per row of outgoing, in its order
  struct dray_receipts answer;
  uint32_t attempt, failures; // calls of write; those that failed for a passing reason
  int64_t throttled_ms;
  struct dr_arena texts; // of receipts that outlive their call
  int doubtful;          // an earlier call may have arrived: a failure of this one proves nothing
};

static void parcel_free(struct parcel *parcel) {
  dr_outgoing_free(&parcel->outgoing);
  dr_changes_free(parcel->changes);
  free(parcel->receipts);
  free(parcel->answer.items);
  dr_arena_free(&parcel->texts);
  memset(parcel, 0, sizeof(*parcel));
}

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
  const int32_t rc = dr_destination_begin(delivery->destination, &announced, error);
  delivery->begun = rc == DRAY_OK;
  free(keys);
  return rc;
}

int32_t dr_delivery_open(struct dr_context *run, struct dr_destination_instance *destination,
                         const struct dray_caps *caps, struct dr_changeset *set, const char *path,
                         const struct dr_delivery_plan *plan, struct dr_delivery *out, struct dray_error *error) {
  struct dr_delivery delivery;
  memset(&delivery, 0, sizeof(delivery));
  delivery.run = run;
  delivery.destination = destination;
  delivery.caps = *caps;
  delivery.pending_before = run->report->pending;
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
  dr_waiting_free(&delivery->waiting);
  memset(delivery, 0, sizeof(*delivery));
}

// ---- receipts ----

static struct dray_receipt *receipt_of(struct parcel *parcel, int64_t row) {
  size_t low = 0, high = parcel->outgoing.count; // rows ascend
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (parcel->outgoing.rows[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return &parcel->receipts[low]; // the call's wrapper has checked that every row is one of ours
}

// What was known of a row stays: only what was unknown is learnt.
static void take_receipts(struct parcel *parcel) {
  for (uint64_t i = 0; i < parcel->answer.count; i++) {
    struct dray_receipt *receipt = receipt_of(parcel, parcel->answer.items[i].row);
    if (receipt->status == DRAY_RECEIPT_UNKNOWN) {
      *receipt = parcel->answer.items[i];
    }
  }
}

// Before another call takes the texts away.
static void keep_texts(struct parcel *parcel) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    struct dray_str *text = &parcel->receipts[i].text;
    const char *copy = text->len > 0 ? dr_arena_str(&parcel->texts, *text) : NULL;
    *text = dray_str_make(copy, copy != NULL ? text->len : 0); // without memory the reason is lost, the row is not
  }
}

static void all_unknown(struct parcel *parcel) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    parcel->receipts[i] = (struct dray_receipt){.row = parcel->outgoing.rows[i], .status = DRAY_RECEIPT_UNKNOWN};
  }
}

static size_t count_status(const struct parcel *parcel, int32_t status) {
  size_t count = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) count += parcel->receipts[i].status == status;
  return count;
}

// ---- settling: the mirror first, since its frame decides after a crash; then receipts and ledger together ----

static int32_t mirror_applied(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  uint8_t *acked = malloc(parcel->changes->count);
  if (acked == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  memcpy(acked, parcel->outgoing.silent, parcel->changes->count);
  size_t applied = 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const int32_t status = parcel->receipts[i].status;
    if (status != DRAY_RECEIPT_APPLIED && status != DRAY_RECEIPT_UNCHANGED) continue;
    acked[parcel->outgoing.change[i]] = 1;
    applied++;
  }
  int32_t rc = DRAY_OK;
  if (applied + parcel->outgoing.silent_count > 0) {
    struct dr_mirror_info info;
    dr_mirror_info(run->mirror, &info);
    rc = dr_mirror_ack(run->mirror, parcel->changes, acked, error);
    if (rc == DRAY_OK) rc = dr_mirror_commit(run->mirror, info.generation + 1, error);
  }
  free(acked);
  if (rc != DRAY_OK) return rc;
  run->report->applied += applied;
  atomic_fetch_add_explicit(&dr_board()->applied, applied, memory_order_relaxed);
  dr_board_beat();
  return DRAY_OK;
}

static int32_t record_rows(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    const size_t change = parcel->outgoing.change[i];
    int parked = 0;
    switch (receipt->status) {
    case DRAY_RECEIPT_REJECTED:
      DRAY_TRY(dr_rows_refused(run, parcel->changes, change, receipt->code, receipt->text, &parked, error));
      delivery->has_records = 1;
      run->report->refused++;
      run->report->rejected_rows++;
      atomic_fetch_add_explicit(&dr_board()->rejected, 1, memory_order_relaxed);
      break;
    case DRAY_RECEIPT_APPLIED:
    case DRAY_RECEIPT_UNCHANGED:
      if (delivery->has_records) {
        uint8_t key_hash[16];
        memcpy(key_hash, &parcel->changes->key_hash[change], sizeof(key_hash));
        DRAY_TRY(dr_store_row_clear(run->store, run->sync->name, key_hash, error));
      }
      break;
    default:
      break;
    }
  }
  return DRAY_OK;
}

static int32_t note_doubt(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  const int asks_again = delivery->caps.doubt != DRAY_DOUBT_NONE;
  if (asks_again) {
    parcel->batch.state = DR_BATCH_IN_DOUBT;
    DRAY_TRY(dr_store_batch_update(run->store, &parcel->batch, error));
  }
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    if (parcel->receipts[i].status != DRAY_RECEIPT_UNKNOWN) continue;
    const size_t change = parcel->outgoing.change[i];
    const struct dray_str why =
        dray_str_of("nobody knows yet whether the receiver got this row; the next run asks again");
    DRAY_TRY(asks_again ? dr_rows_put_off(run, parcel->changes, change, DRAY_E_STATE_IN_DOUBT, why, error)
                        : dr_rows_doubtful(run, parcel->changes, change, error));
    delivery->has_records = 1;
  }
  return DRAY_OK;
}

// The mirror's frame makes a batch pass for settled after a crash: what is not known of it must be on disk before.
static int32_t secure_doubt(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  if (count_status(parcel, DRAY_RECEIPT_UNKNOWN) == 0) return DRAY_OK;
  DRAY_TRY(dr_store_begin(run->store, error));
  const int32_t rc = note_doubt(delivery, parcel, error);
  if (rc != DRAY_OK) {
    dr_store_rollback(run->store);
    return rc;
  }
  DRAY_TRY(dr_store_commit(run->store, error));
  (void)dr_fault_point("delivery.doubt_noted");
  return DRAY_OK;
}

static int32_t settle(struct dr_delivery *delivery, struct parcel *parcel, int state, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  (void)dr_fault_point("delivery.answered");
  DRAY_TRY(secure_doubt(delivery, parcel, error));
  DRAY_TRY(mirror_applied(delivery, parcel, error));
  (void)dr_fault_point("delivery.mirrored");
  DRAY_TRY(dr_store_begin(run->store, error));
  int32_t rc = record_rows(delivery, parcel, error);
  parcel->batch.state = state;
  if (rc == DRAY_OK && parcel->batch.id != 0) rc = dr_store_batch_update(run->store, &parcel->batch, error);
  if (rc != DRAY_OK) {
    dr_store_rollback(run->store);
    return rc;
  }
  DRAY_TRY(dr_store_commit(run->store, error));
  (void)dr_fault_point("delivery.settled");
  return DRAY_OK;
}

// Nothing was applied: the rows stay different and come again. Of a batch that an earlier call may have brought there,
// this call's failure says nothing: it stays in doubt.
static int32_t release(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  parcel->batch.state = parcel->doubtful ? DR_BATCH_IN_DOUBT : DR_BATCH_ACKED;
  if (parcel->doubtful) delivery->run->report->in_doubt += parcel->outgoing.count;
  return dr_store_batch_update(delivery->run->store, &parcel->batch, error);
}

// ---- sending ----

static int32_t wait_for(int64_t duration_ms, const char *why, struct dray_error *error) {
  dr_board_wait(duration_ms, why);
  const int32_t rc = dr_cancel_sleep(duration_ms, error);
  dr_board_wait(0, NULL);
  return rc;
}

static int32_t open_ledger(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  parcel->batch.run = run->record.id;
  parcel->batch.first_seq = parcel->changes->first_seq;
  parcel->batch.count = parcel->changes->count;
  parcel->batch.mirror_frame = info.generation + 1;
  (void)snprintf(parcel->batch.changeset, sizeof(parcel->batch.changeset), "%s", delivery->changeset);
  char text[700];
  const int n = snprintf(text, sizeof(text), "%s %s %llu %llu", run->sync->name, delivery->changeset,
                         (unsigned long long)parcel->batch.first_seq, (unsigned long long)parcel->batch.count);
  const struct dr_hash128 hash = dr_hash_bytes(dray_str_make(text, n > 0 ? (uint64_t)n : 0), dr_store_seed(run->store));
  (void)snprintf(parcel->batch.idempotency_key, sizeof(parcel->batch.idempotency_key), "dray-%016llx%016llx",
                 (unsigned long long)hash.high, (unsigned long long)hash.low);
  DRAY_TRY(dr_store_batch_sending(run->store, run->sync->name, &parcel->batch, error));
  (void)dr_fault_point("delivery.sending");
  return DRAY_OK;
}

static int32_t write_once(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  const struct dray_batch_info info = {
      .struct_size = sizeof(info),
      .attempt = ++parcel->attempt,
      .batch = (uint64_t)parcel->batch.id,
      .idempotency_key = dray_str_of(parcel->batch.idempotency_key),
  };
  parcel->answer.count = 0;
  parcel->answer.handle = dray_str_make(NULL, 0);
  const int32_t rc =
      dr_destination_write(delivery->destination, &delivery->caps, &parcel->outgoing.array, parcel->outgoing.bytes,
                           parcel->outgoing.rows, parcel->outgoing.count, &info, &parcel->answer, error);
  (void)dr_fault_point("delivery.written");
  if (rc == DRAY_OK) take_receipts(parcel);
  return rc;
}

// What a failed write means for the rest.
enum { NEXT_AGAIN = 1, NEXT_HALVE, NEXT_STOP, NEXT_DOUBT };

static int32_t after_failure(struct parcel *parcel, const struct dray_error *failure, int *out_next,
                             struct dray_error *error) {
  *out_next = NEXT_STOP;
  if (strcmp(failure->vendor_code, "in_doubt") == 0 || failure->error_class == DRAY_CLASS_BUG) {
    *out_next = NEXT_DOUBT;
    return DRAY_OK;
  }
  if (failure->error_class == DRAY_CLASS_DATA) {
    *out_next = NEXT_HALVE;
    return DRAY_OK;
  }
  if (failure->error_class == DRAY_CLASS_TRANSIENT && ++parcel->failures < ATTEMPTS_MAX) {
    int64_t pause = dr_backoff_ms(parcel->failures);
    if (pause < failure->retry_after_ms) pause = failure->retry_after_ms;
    *out_next = NEXT_AGAIN;
    return wait_for(pause, failure->text, error);
  }
  if (failure->error_class == DRAY_CLASS_THROTTLED) {
    const int64_t asked = failure->retry_after_ms > 0 ? failure->retry_after_ms : dr_backoff_ms(parcel->attempt);
    parcel->throttled_ms += asked;
    if (parcel->throttled_ms > THROTTLE_TOTAL_MS_MAX) return DRAY_OK;
    *out_next = NEXT_AGAIN;
    return wait_for(asked, failure->text, error);
  }
  return DRAY_OK;
}

// Rows whose fate is unknown: ask, or send the whole batch once more under its key. Leaves UNKNOWN what stays so.
static int32_t clear_doubt(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  const uint32_t doubt = delivery->caps.doubt;
  if (doubt == DRAY_DOUBT_NONE) return DRAY_OK;
  keep_texts(parcel);
  for (uint32_t tries = 1; count_status(parcel, DRAY_RECEIPT_UNKNOWN) > 0 && tries < ATTEMPTS_MAX; tries++) {
    struct dray_error failure;
    dray_error_init(&failure);
    // A job that was answered meanwhile must not be sent again beside itself.
    if (count_status(parcel, DRAY_RECEIPT_PENDING) > 0) return DRAY_OK;
    DRAY_TRY(wait_for(dr_backoff_ms(tries), "a batch is in doubt", error));
    int32_t rc;
    if (doubt == DRAY_DOUBT_READ_BACK) {
      parcel->answer.count = 0;
      rc = dr_destination_read_back(delivery->destination, &parcel->outgoing.array, parcel->outgoing.rows,
                                    parcel->outgoing.count, &parcel->answer, &failure);
      if (rc == DRAY_OK) take_receipts(parcel);
    } else {
      rc = write_once(delivery, parcel, &failure);
    }
    if (rc == DRAY_E_CANCELLED) {
      if (error != NULL) *error = failure;
      return rc;
    }
    if (rc != DRAY_OK) dr_log(DRAY_LOG_INFO, delivery->run->sync->name, "resolving a batch in doubt: %s", failure.text);
  }
  return DRAY_OK;
}

static int32_t deliver(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round,
                       struct dray_error *error);

// Rows that the destination puts off again and again are left to the next run, and recorded.
static int32_t put_off(struct dr_delivery *delivery, struct parcel *parcel, size_t count, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  DRAY_TRY(dr_store_begin(run->store, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status != DRAY_RECEIPT_RETRY) continue;
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

// Sends again what was not taken for a passing reason: each run of such rows as a batch of its own.
static int32_t retry_rows(struct dr_delivery *delivery, struct parcel *parcel, uint32_t round,
                          struct dray_error *error) {
  const size_t count = count_status(parcel, DRAY_RECEIPT_RETRY);
  if (count == 0) return DRAY_OK;
  if (round >= ATTEMPTS_MAX) {
    dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "%zu rows were put off %u times; the next run sends them again",
           count, round);
    return put_off(delivery, parcel, count, error);
  }
  int64_t pause = dr_backoff_ms(round);
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    if (receipt->status == DRAY_RECEIPT_RETRY && receipt->retry_after_ms > pause) pause = receipt->retry_after_ms;
  }
  DRAY_TRY(wait_for(pause, "the destination put rows off", error));
  for (size_t i = 0; i < parcel->outgoing.count;) {
    if (parcel->receipts[i].status != DRAY_RECEIPT_RETRY) {
      i++;
      continue;
    }
    size_t end = i + 1;
    while (end < parcel->outgoing.count && parcel->receipts[end].status == DRAY_RECEIPT_RETRY &&
           parcel->outgoing.change[end] == parcel->outgoing.change[end - 1] + 1) {
      end++;
    }
    DRAY_TRY(deliver(delivery, (uint64_t)parcel->outgoing.rows[i], end - i, round + 1, error));
    i = end;
  }
  return DRAY_OK;
}

static int32_t keep_handle(struct parcel *parcel, struct dray_error *error) {
  const struct dray_str handle = parcel->answer.handle;
  if (handle.len == 0 || handle.len > DRAY_HANDLE_BYTES_MAX || memchr(handle.data, '\0', (size_t)handle.len) != NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a job handle of %llu bytes", (unsigned long long)handle.len);
  }
  memcpy(parcel->batch.handle, handle.data, (size_t)handle.len);
  parcel->batch.handle[handle.len] = '\0';
  return DRAY_OK;
}

static int32_t leave_in_doubt(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  delivery->run->report->in_doubt += parcel->outgoing.count;
  const int known = delivery->caps.doubt == DRAY_DOUBT_NONE; // parked row by row: the batch itself is done with
  return settle(delivery, parcel, known ? DR_BATCH_ACKED : DR_BATCH_IN_DOUBT, error);
}

// All of the batch is in a job: it stays open under the job's handle.
static int32_t settle_pending(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  DRAY_TRY(keep_handle(parcel, error));
  parcel->batch.state = DR_BATCH_PENDING;
  (void)dr_fault_point("delivery.answered");
  DRAY_TRY(dr_store_batch_update(delivery->run->store, &parcel->batch, error));
  delivery->run->report->pending += parcel->outgoing.count;
  return DRAY_OK;
}

// Rows [from, end) of the parcel as a batch of their own that is open in `state`, under the key they were sent with.
static int32_t put_part(struct dr_delivery *delivery, struct parcel *parcel, size_t from, size_t end, int state,
                        struct dray_error *error) {
  struct dr_batch_record part = parcel->batch;
  part.id = 0;
  part.first_seq = (uint64_t)parcel->outgoing.rows[from];
  part.count = end - from;
  if (state != DR_BATCH_PENDING) part.handle[0] = '\0';
  DRAY_TRY(dr_store_batch_sending(delivery->run->store, delivery->run->sync->name, &part, error));
  part.state = state;
  return dr_store_batch_update(delivery->run->store, &part, error);
}

static int32_t put_parts(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  const int can_tell = delivery->caps.doubt != DRAY_DOUBT_NONE; // else the rows are parked one by one
  for (size_t i = 0; i < parcel->outgoing.count;) {
    const int32_t status = parcel->receipts[i].status;
    size_t end = i + 1;
    while (end < parcel->outgoing.count && parcel->receipts[end].status == status &&
           parcel->outgoing.change[end] == parcel->outgoing.change[end - 1] + 1) {
      end++;
    }
    if (status == DRAY_RECEIPT_PENDING) {
      DRAY_TRY(put_part(delivery, parcel, i, end, DR_BATCH_PENDING, error));
    } else if (status == DRAY_RECEIPT_UNKNOWN && can_tell) {
      DRAY_TRY(put_part(delivery, parcel, i, end, DR_BATCH_IN_DOUBT, error));
    }
    i = end;
  }
  return DRAY_OK;
}

// Some rows are in a job, others are not: only the former may be asked for. Those that stay open become batches of
// their own before the rest is settled.
static int32_t split(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  DRAY_TRY(keep_handle(parcel, error));
  DRAY_TRY(dr_store_begin(delivery->run->store, error));
  const int32_t rc = put_parts(delivery, parcel, error);
  if (rc != DRAY_OK) {
    dr_store_rollback(delivery->run->store);
    return rc;
  }
  DRAY_TRY(dr_store_commit(delivery->run->store, error));
  parcel->batch.handle[0] = '\0';
  (void)dr_fault_point("delivery.split");
  return DRAY_OK;
}

static int32_t settle_known(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  struct dr_run_report *report = delivery->run->report;
  const size_t pending = count_status(parcel, DRAY_RECEIPT_PENDING);
  const size_t unknown = count_status(parcel, DRAY_RECEIPT_UNKNOWN);
  if (pending == parcel->outgoing.count) return settle_pending(delivery, parcel, error);
  if (pending > 0) DRAY_TRY(split(delivery, parcel, error));
  const int open = pending == 0 && unknown > 0 && delivery->caps.doubt != DRAY_DOUBT_NONE;
  DRAY_TRY(settle(delivery, parcel, open ? DR_BATCH_IN_DOUBT : DR_BATCH_ACKED, error));
  report->pending += pending;
  report->in_doubt += unknown;
  return DRAY_OK;
}

static int32_t settle_answer(struct dr_delivery *delivery, struct parcel *parcel, uint32_t round,
                             struct dray_error *error) {
  int32_t cleared = DRAY_OK;
  // Sending again would bring rows that are in a job there a second time.
  if (count_status(parcel, DRAY_RECEIPT_PENDING) == 0) cleared = clear_doubt(delivery, parcel, error);
  // Interrupted: what is known is settled all the same.
  const int32_t rc = settle_known(delivery, parcel, cleared == DRAY_OK ? error : NULL);
  if (cleared != DRAY_OK) return cleared;
  DRAY_TRY(rc);
  return retry_rows(delivery, parcel, round, error);
}

static int32_t refuse_single(struct dr_delivery *delivery, struct parcel *parcel, const struct dray_error *failure,
                             struct dray_error *error) {
  parcel->receipts[0] = (struct dray_receipt){.row = parcel->outgoing.rows[0],
                                              .status = DRAY_RECEIPT_REJECTED,
                                              .code = failure->code,
                                              .text = dray_str_of(failure->text)};
  return settle(delivery, parcel, DR_BATCH_ACKED, error);
}

static int32_t halve(struct dr_delivery *delivery, struct parcel *parcel, uint32_t round, struct dray_error *error) {
  // By rows that are sent, so that each half has some.
  const uint64_t first = parcel->changes->first_seq;
  const uint64_t middle = (uint64_t)parcel->outgoing.rows[parcel->outgoing.count / 2];
  const uint64_t end = first + parcel->changes->count;
  delivery->counted++; // as one batch already
  int32_t rc = deliver(delivery, first, middle - first, round, error);
  if (rc == DRAY_OK) rc = deliver(delivery, middle, end - middle, round, error);
  delivery->counted--;
  return rc;
}

// Sends a parcel until it is settled one way or another.
static int32_t send_parcel(struct dr_delivery *delivery, struct parcel *parcel, uint32_t round,
                           struct dray_error *error) {
  for (;;) {
    struct dray_error failure;
    dray_error_init(&failure);
    const int32_t rc = write_once(delivery, parcel, &failure);
    if (rc == DRAY_OK) return settle_answer(delivery, parcel, round, error);
    int next = NEXT_STOP;
    const int32_t waited = after_failure(parcel, &failure, &next, error);
    if (waited != DRAY_OK) {
      const int32_t released = release(delivery, parcel, NULL); // cancelled while waiting
      if (released != DRAY_OK) {
        dr_log(DRAY_LOG_WARN, delivery->run->sync->name, "batch %lld stays in doubt: the ledger could not be written",
               (long long)parcel->batch.id);
      }
      return waited;
    }
    switch (next) {
    case NEXT_AGAIN:
      continue;
    case NEXT_DOUBT:
      all_unknown(parcel);
      if (failure.error_class != DRAY_CLASS_BUG) return settle_answer(delivery, parcel, round, error);
      DRAY_TRY(leave_in_doubt(delivery, parcel, error)); // not asked again: it has shown that it cannot be believed
      break;
    case NEXT_HALVE:
      if (parcel->outgoing.count == 1) return refuse_single(delivery, parcel, &failure, error);
      parcel->doubtful = 0; // refused as a whole: no call brought it there
      DRAY_TRY(release(delivery, parcel, error));
      return halve(delivery, parcel, round, error);
    default:
      DRAY_TRY(release(delivery, parcel, error));
      break;
    }
    if (error != NULL) *error = failure;
    return rc;
  }
}

static int32_t make_parcel(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint64_t bytes_max,
                           struct parcel *out, struct dray_error *error) {
  struct parcel parcel;
  memset(&parcel, 0, sizeof(parcel));
  dr_arena_init(&parcel.texts, TEXTS_BYTES_MAX);
  int32_t rc = dr_changeset_next(delivery->set, first, count, bytes_max, 0, &parcel.changes, error);
  if (rc == DRAY_OK && parcel.changes == NULL) {
    rc = dray_fail(error, DRAY_E_INTERNAL, "the change set ends before change %llu", (unsigned long long)first);
  }
  if (rc == DRAY_OK) rc = dr_outgoing_build(delivery, parcel.changes, &parcel.outgoing, error);
  if (rc == DRAY_OK) {
    const size_t rows = parcel.outgoing.count + 1;
    parcel.receipts = calloc(rows, sizeof(*parcel.receipts));
    parcel.answer.struct_size = sizeof(parcel.answer);
    parcel.answer.items = calloc(rows, sizeof(*parcel.answer.items));
    parcel.answer.capacity = rows;
    if (parcel.receipts == NULL || parcel.answer.items == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
    }
  }
  if (rc != DRAY_OK) {
    parcel_free(&parcel);
    return rc;
  }
  all_unknown(&parcel);
  *out = parcel;
  return DRAY_OK;
}

static int32_t deliver_parcel(struct dr_delivery *delivery, struct parcel *parcel, uint32_t round,
                              struct dray_error *error) {
  struct dr_run_report *report = delivery->run->report;
  if (parcel->outgoing.count == 0) {
    return parcel->outgoing.silent_count > 0 ? mirror_applied(delivery, parcel, error) : DRAY_OK;
  }
  if (parcel->outgoing.bytes > delivery->caps.batch_bytes_max) {
    if (parcel->outgoing.count > 1) return halve(delivery, parcel, round, error);
    struct dray_error failure;
    (void)dray_fail(&failure, DRAY_E_DATA_TOO_LARGE, "the row takes about %llu bytes, the destination %llu at most",
                    (unsigned long long)parcel->outgoing.bytes, (unsigned long long)delivery->caps.batch_bytes_max);
    return refuse_single(delivery, parcel, &failure, error);
  }
  DRAY_TRY(open_ledger(delivery, parcel, error));
  if (round == 1 && delivery->counted == 0) report->sent += parcel->outgoing.count;
  return send_parcel(delivery, parcel, round, error);
}

static int32_t deliver(struct dr_delivery *delivery, uint64_t first, uint64_t count, uint32_t round,
                       struct dray_error *error) {
  const uint64_t end = first + count;
  while (first < end) {
    DRAY_TRY(dr_cancel_check(error));
    uint64_t rows = end - first;
    if (rows > delivery->caps.batch_rows_max) rows = delivery->caps.batch_rows_max;
    struct parcel parcel;
    DRAY_TRY(make_parcel(delivery, first, rows, delivery->caps.batch_bytes_max, &parcel, error));
    first = parcel.changes->first_seq + parcel.changes->count;
    if (round == 1 && delivery->counted == 0) {
      delivery->run->report->ignored += parcel.outgoing.ignored;
      delivery->run->report->parked += parcel.outgoing.parked;
    }
    const int32_t rc = deliver_parcel(delivery, &parcel, round, error);
    parcel_free(&parcel);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int32_t dr_delivery_range(struct dr_delivery *delivery, uint64_t first, uint64_t count, struct dray_error *error) {
  return deliver(delivery, first, count, 1, error);
}

// ---- what an earlier run left open ----

// All of the batch, whatever the destination's limits are by now.
static int32_t parcel_of(struct dr_delivery *delivery, const struct dr_batch_record *batch, struct parcel *out,
                         struct dray_error *error) {
  DRAY_TRY(make_parcel(delivery, batch->first_seq, batch->count, UINT64_MAX, out, error));
  if (out->changes->count != batch->count) {
    const int32_t rc = dray_fail(error, DRAY_E_INTERNAL, "batch %lld has %llu changes, its change set %zu",
                                 (long long)batch->id, (unsigned long long)batch->count, out->changes->count);
    parcel_free(out);
    return rc;
  }
  out->batch = *batch;
  out->doubtful = 1;
  return DRAY_OK;
}

static int32_t poll_parcel(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  parcel->answer.count = 0;
  DRAY_TRY(dr_destination_poll(delivery->destination, dray_str_of(parcel->batch.handle), parcel->outgoing.rows,
                               parcel->outgoing.count, &parcel->answer, error));
  take_receipts(parcel);
  return DRAY_OK;
}

// An operator has said what became of the rows in doubt: those that the receiver holds are acknowledged, the others
// come again
// through the next pass, in another batch. What was known of the batch is in the mirror already.
static int32_t settle_resolved(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  for (size_t i = 0; i < parcel->outgoing.count; i++) parcel->receipts[i].status = 0;
  parcel->doubtful = 0;
  return settle(delivery, parcel, DR_BATCH_ACKED, error);
}

static int32_t resolve_parcel(struct dr_delivery *delivery, struct parcel *parcel, struct dray_error *error) {
  const struct dray_caps *caps = &delivery->caps;
  if (parcel->outgoing.resolved > 0) return settle_resolved(delivery, parcel, error);
  if (parcel->outgoing.count == 0) {
    parcel->doubtful = 0;
    return settle(delivery, parcel, DR_BATCH_ACKED, error); // parked or resolved meanwhile
  }
  if (caps->doubt == DRAY_DOUBT_NONE || caps->doubt == DRAY_DOUBT_READ_BACK) {
    return settle_answer(delivery, parcel, 1, error);
  }
  const int fits = parcel->outgoing.count <= caps->batch_rows_max && parcel->outgoing.bytes <= caps->batch_bytes_max;
  if (fits || caps->doubt == DRAY_DOUBT_IDEMPOTENCY_KEY) return send_parcel(delivery, parcel, 1, error);
  // The destination takes less at once than it did.
  DRAY_TRY(deliver(delivery, parcel->batch.first_seq, parcel->batch.count, 1, error));
  parcel->doubtful = 0;
  return release(delivery, parcel, error);
}

int32_t dr_delivery_resolve(struct dr_delivery *delivery, struct dr_batch_record *batch, struct dray_error *error) {
  if (batch->state != DR_BATCH_IN_DOUBT) return DRAY_OK; // pending ones are polled
  struct parcel parcel;
  DRAY_TRY(parcel_of(delivery, batch, &parcel, error));
  delivery->counted++; // as sent by the run that did
  const int32_t rc = resolve_parcel(delivery, &parcel, error);
  delivery->counted--;
  batch->state = parcel.batch.state;
  if (rc == DRAY_OK && batch->state == DR_BATCH_ACKED) delivery->run->report->recovered++;
  parcel_free(&parcel);
  return rc;
}

// One round over the pending batches of this set. *out_left: rows still pending.
static int32_t poll_round(struct dr_delivery *delivery, uint64_t *out_left, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  uint64_t left = 0;
  DRAY_TRY(dr_store_batches_open(delivery->run->store, delivery->run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (open[i].state != DR_BATCH_PENDING || strcmp(open[i].changeset, delivery->changeset) != 0) continue;
    struct parcel parcel;
    rc = parcel_of(delivery, &open[i], &parcel, error);
    if (rc != DRAY_OK) break;
    rc = poll_parcel(delivery, &parcel, error);
    const size_t pending = count_status(&parcel, DRAY_RECEIPT_PENDING);
    left += pending;
    const int ended = rc == DRAY_OK && pending == 0;
    if (ended) rc = settle_answer(delivery, &parcel, 1, error);
    if (ended) left += count_status(&parcel, DRAY_RECEIPT_PENDING); // sent again, into another job
    if (ended && rc == DRAY_OK && parcel.batch.state == DR_BATCH_ACKED && open[i].run != delivery->run->record.id) {
      delivery->run->report->recovered++;
    }
    parcel_free(&parcel);
  }
  free(open);
  *out_left = left;
  return rc;
}

int32_t dr_delivery_poll(struct dr_delivery *delivery, int64_t wait_ms, struct dray_error *error) {
  const int64_t end = dr_monotonic_ms() + wait_ms;
  int64_t pause = POLL_FIRST_MS;
  uint32_t failures = 0;
  for (;;) {
    uint64_t left = 0;
    struct dray_error failure;
    dray_error_init(&failure);
    const int32_t rc = poll_round(delivery, &left, &failure);
    const int passing = failure.error_class == DRAY_CLASS_TRANSIENT || failure.error_class == DRAY_CLASS_THROTTLED;
    if (rc != DRAY_OK && (!passing || ++failures >= ATTEMPTS_MAX)) {
      if (error != NULL) *error = failure;
      return rc; // the jobs stay in the ledger
    }
    if (rc == DRAY_OK) {
      failures = 0;
      delivery->run->report->pending = delivery->pending_before + left;
      if (left == 0 || dr_monotonic_ms() + pause > end) return DRAY_OK;
    }
    if (pause < failure.retry_after_ms) pause = failure.retry_after_ms;
    DRAY_TRY(wait_for(pause, "the destination works on a job", error));
    pause = pause * 2 < POLL_MOST_MS ? pause * 2 : POLL_MOST_MS;
  }
}
