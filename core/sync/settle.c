// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What became of a parcel, written down: the mirror first, since its frame decides after a crash; then receipts and
// ledger together.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/fault.h"
#include "sync/parcel.h"

// With lanes it is known only now, under the lock, which of the mirror's frames is this batch's. On disk before the
// frame is: a batch without it was not acknowledged.
static int32_t claim_frame(struct dr_delivery *delivery, struct dr_parcel *parcel, uint64_t generation,
                           struct dray_error *error) {
  if (delivery->lock == NULL || parcel->batch.id == 0) return DRAY_OK;
  if (delivery->run->claim_stands) return dray_fail(error, DRAY_E_IO, "the ledger could not be written before");
  parcel->batch.mirror_frame = generation;
  DRAY_TRY(dr_store_batch_update(delivery->run->store, &parcel->batch, error));
  (void)dr_fault_point("delivery.claimed");
  return DRAY_OK;
}

// Nothing was acknowledged, and the frame becomes another lane's: with the claim, this batch would pass for settled.
static void unclaim_frame(struct dr_delivery *delivery, struct dr_parcel *parcel) {
  if (delivery->lock == NULL || parcel->batch.id == 0) return;
  parcel->batch.mirror_frame = 0;
  if (dr_store_batch_update(delivery->run->store, &parcel->batch, NULL) != DRAY_OK) delivery->run->claim_stands = 1;
}

// What the mirror learns of a parcel, one byte a change each.
struct verdict {
  uint8_t *acked, *distrusted;
  size_t applied, partly;
};

static void judge(const struct dr_parcel *parcel, struct verdict *verdict) {
  memcpy(verdict->acked, parcel->outgoing.silent, parcel->changes->count);
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const int32_t status = parcel->receipts[i].status;
    const int taken = status == DRAY_RECEIPT_APPLIED || status == DRAY_RECEIPT_UNCHANGED;
    const int partly = dr_parcel_is_partly(parcel, i);
    if (taken) verdict->acked[parcel->outgoing.change[i]] = 1;
    if (partly) verdict->distrusted[parcel->outgoing.change[i]] = 1;
    verdict->applied += (size_t)taken;
    verdict->partly += (size_t)partly;
  }
}

int32_t dr_settle_mirror(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  const size_t count = parcel->changes->count;
  struct verdict verdict = {.acked = calloc(2, count)};
  if (verdict.acked == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for receipts");
  verdict.distrusted = verdict.acked + count;
  judge(parcel, &verdict);
  int32_t rc = DRAY_OK;
  if (verdict.applied + verdict.partly + parcel->outgoing.silent_count > 0) {
    struct dr_mirror_info info;
    dr_mirror_info(run->mirror, &info);
    rc = claim_frame(delivery, parcel, info.generation + 1, error);
    if (rc == DRAY_OK) {
      if (verdict.partly > 0) rc = dr_mirror_distrust(run->mirror, parcel->changes, verdict.distrusted, error);
      if (rc == DRAY_OK) rc = dr_mirror_ack(run->mirror, parcel->changes, verdict.acked, error);
      if (rc != DRAY_OK) unclaim_frame(delivery, parcel);
    }
    if (rc == DRAY_OK) rc = dr_mirror_commit(run->mirror, info.generation + 1, error);
  }
  free(verdict.acked);
  if (rc != DRAY_OK) return rc;
  run->report->applied += verdict.applied;
  atomic_fetch_add_explicit(&dr_board()->applied, verdict.applied, memory_order_relaxed);
  dr_board_beat();
  return DRAY_OK;
}

// A new row of which something is there can only be made, where rows are not changed, and would pass for one that was
// there before: it waits for somebody to look.
static int is_past_help(const struct dr_delivery *delivery, const struct dr_parcel *parcel, size_t i) {
  const uint32_t operations = dr_outgoing_operations(delivery->run->sync->mode);
  return dr_parcel_is_partly(parcel, i) && operations == DRAY_OP_INSERT;
}

static int32_t record_rows(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const struct dray_receipt *receipt = &parcel->receipts[i];
    const size_t change = parcel->outgoing.change[i];
    int parked = 0;
    switch (receipt->status) {
    case DRAY_RECEIPT_REJECTED:
      DRAY_TRY(dr_rows_refused(run, parcel->changes, change, receipt->code, receipt->text,
                               is_past_help(delivery, parcel, i) ? 1 : run->sync->attempts_max, &parked, error));
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

// What will become of a row in doubt, by how the destination resolves it; and why it is in doubt, where that is known.
static struct dray_str words_of_doubt(uint32_t doubt, int forgotten, struct dray_str why, char *out, size_t out_bytes) {
  static const char *const words[] = {
      [DRAY_DOUBT_RESEND] =
          "whether the receiver got this row is not known yet: the next run sends it again, which does no harm",
      [DRAY_DOUBT_IDEMPOTENCY_KEY] = "whether the receiver got this row is not known yet: the next run sends it again "
                                     "under the same key, so that it counts once",
      [DRAY_DOUBT_READ_BACK] =
          "whether the receiver got this row is not known yet: the next run looks there, and sends "
          "it only if it is missing",
      [DRAY_DOUBT_NONE] = "whether the receiver got this row cannot be found out: it is not sent again before you say "
                          "what became of it, with `dray rows resolve`",
  };
  static const char old[] =
      "whether the receiver got this row is not known, and it was sent so long ago that the receiver may have "
      "forgotten "
      "the key under which sending it again would count once: look there, then say what became of it, with `dray rows "
      "resolve`";
  const int n = snprintf(out, out_bytes, "%s%s%.*s%s", forgotten ? old : words[doubt], why.len > 0 ? " (" : "",
                         DRAY_STR_ARG(why), why.len > 0 ? ")" : "");
  return dray_str_make(out, n < 0 ? 0 : (size_t)n < out_bytes ? (size_t)n : out_bytes - 1);
}

static int32_t note_doubt(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  const uint32_t doubt = dr_parcel_doubt(delivery, parcel);
  char text[DRAY_ERROR_TEXT_MAX];
  if (doubt != DRAY_DOUBT_NONE) {
    parcel->batch.state = DR_BATCH_IN_DOUBT;
    DRAY_TRY(dr_store_batch_update(run->store, &parcel->batch, error));
  }
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    if (parcel->receipts[i].status != DRAY_RECEIPT_UNKNOWN) continue;
    const size_t change = parcel->outgoing.change[i];
    const struct dray_str words =
        words_of_doubt(doubt, parcel->forgotten, parcel->receipts[i].text, text, sizeof(text));
    if (doubt != DRAY_DOUBT_NONE) {
      DRAY_TRY(dr_rows_put_off(run, parcel->changes, change, DRAY_E_STATE_IN_DOUBT, words, error));
    } else {
      DRAY_TRY(dr_rows_doubtful(run, parcel->changes, change, words, error));
      run->report->doubt_waits++;
    }
    delivery->has_records = 1;
  }
  return DRAY_OK;
}

// The mirror's frame makes a batch pass for settled after a crash: what is not known of it must be on disk before.
static int32_t secure_doubt(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  if (dr_parcel_count(parcel, DRAY_RECEIPT_UNKNOWN) == 0) return DRAY_OK;
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

// In a transaction of the store.
static int32_t write_receipts(struct dr_delivery *delivery, struct dr_parcel *parcel, int state,
                              struct dray_error *error) {
  DRAY_TRY(record_rows(delivery, parcel, error));
  parcel->batch.state = state;
  return parcel->batch.id != 0 ? dr_store_batch_update(delivery->run->store, &parcel->batch, error) : DRAY_OK;
}

static int32_t end_transaction(struct dr_delivery *delivery, int32_t rc, struct dray_error *error) {
  if (rc == DRAY_OK) return dr_store_commit(delivery->run->store, error);
  dr_store_rollback(delivery->run->store);
  return rc;
}

int32_t dr_settle(struct dr_delivery *delivery, struct dr_parcel *parcel, int state, struct dray_error *error) {
  (void)dr_fault_point("delivery.answered");
  DRAY_TRY(secure_doubt(delivery, parcel, error));
  DRAY_TRY(dr_settle_mirror(delivery, parcel, error));
  (void)dr_fault_point("delivery.mirrored");
  DRAY_TRY(dr_store_begin(delivery->run->store, error));
  DRAY_TRY(end_transaction(delivery, write_receipts(delivery, parcel, state, error), error));
  (void)dr_fault_point("delivery.settled");
  return DRAY_OK;
}

// ---- together with the next batch ----

// Whether nothing is left to do for the parcel but to write down its receipts.
static int may_join(const struct dr_delivery *delivery, const struct dr_parcel *parcel) {
  if (!delivery->goes_on || !parcel->may_join || delivery->answered != NULL) return 0;
  for (size_t i = 0; i < parcel->outgoing.count; i++) {
    const int32_t status = parcel->receipts[i].status;
    if (status != DRAY_RECEIPT_APPLIED && status != DRAY_RECEIPT_UNCHANGED && status != DRAY_RECEIPT_REJECTED) return 0;
  }
  return 1;
}

// As dr_settle, up to the receipts: these go with `sending` of the lane's next batch, which is made at once. A commit
// costs several syncs, and every lane waits for it. Takes the parcel over.
static int32_t settle_joined(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_parcel *answered = malloc(sizeof(*answered));
  if (answered == NULL) return dr_settle(delivery, parcel, DR_BATCH_ACKED, error);
  (void)dr_fault_point("delivery.answered");
  const int32_t rc = dr_settle_mirror(delivery, parcel, error);
  if (rc != DRAY_OK) {
    free(answered);
    return rc;
  }
  (void)dr_fault_point("delivery.mirrored");
  *answered = *parcel;
  memset(parcel, 0, sizeof(*parcel));
  delivery->answered = answered;
  return DRAY_OK;
}

static void free_answered(struct dr_delivery *delivery) {
  dr_parcel_free(delivery->answered);
  free(delivery->answered);
  delivery->answered = NULL;
}

int32_t dr_settle_sending(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_context *run = delivery->run;
  if (delivery->answered == NULL) {
    return dr_store_batch_sending(run->store, run->sync->name, &parcel->batch, error);
  }
  int32_t rc = dr_store_begin(run->store, error);
  if (rc == DRAY_OK) {
    rc = write_receipts(delivery, delivery->answered, DR_BATCH_ACKED, error);
    if (rc == DRAY_OK) rc = dr_store_batch_sending(run->store, run->sync->name, &parcel->batch, error);
    rc = end_transaction(delivery, rc, error);
  }
  free_answered(delivery);
  if (rc == DRAY_OK) (void)dr_fault_point("delivery.settled");
  return rc;
}

int32_t dr_settle_last(struct dr_delivery *delivery, struct dray_error *error) {
  if (delivery->answered == NULL) return DRAY_OK;
  int32_t rc = dr_store_begin(delivery->run->store, error);
  if (rc == DRAY_OK) {
    rc = end_transaction(delivery, write_receipts(delivery, delivery->answered, DR_BATCH_ACKED, error), error);
  }
  free_answered(delivery);
  if (rc == DRAY_OK) (void)dr_fault_point("delivery.settled");
  return rc;
}

int32_t dr_settle_release(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  parcel->batch.state = parcel->doubtful ? DR_BATCH_IN_DOUBT : DR_BATCH_ACKED;
  if (parcel->doubtful) delivery->run->report->in_doubt += parcel->outgoing.count;
  return dr_store_batch_update(delivery->run->store, &parcel->batch, error);
}

// ---- parcels of which not all is known ----

static int32_t keep_handle(struct dr_parcel *parcel, struct dray_error *error) {
  const struct dray_str handle = parcel->answer.handle;
  if (handle.len == 0 || handle.len > DRAY_HANDLE_BYTES_MAX || memchr(handle.data, '\0', (size_t)handle.len) != NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a job handle of %llu bytes", (unsigned long long)handle.len);
  }
  memcpy(parcel->batch.handle, handle.data, (size_t)handle.len);
  parcel->batch.handle[handle.len] = '\0';
  return DRAY_OK;
}

int32_t dr_settle_in_doubt(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  delivery->run->report->in_doubt += parcel->outgoing.count;
  const int known =
      dr_parcel_doubt(delivery, parcel) == DRAY_DOUBT_NONE; // parked row by row: the batch itself is done with
  return dr_settle(delivery, parcel, known ? DR_BATCH_ACKED : DR_BATCH_IN_DOUBT, error);
}

// All of the batch is in a job: it stays open under the job's handle.
static int32_t settle_pending(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  DRAY_TRY(keep_handle(parcel, error));
  parcel->batch.state = DR_BATCH_PENDING;
  (void)dr_fault_point("delivery.answered");
  DRAY_TRY(dr_store_batch_update(delivery->run->store, &parcel->batch, error));
  delivery->run->report->pending += parcel->outgoing.count;
  return DRAY_OK;
}

// Rows [from, end) of the parcel as a batch of their own that is open in `state`, under the key they were sent with.
static int32_t put_part(struct dr_delivery *delivery, struct dr_parcel *parcel, size_t from, size_t end, int state,
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

static int32_t put_parts(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  const int can_tell = dr_parcel_doubt(delivery, parcel) != DRAY_DOUBT_NONE; // else the rows are parked one by one
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

// Some rows are in a job or in doubt, others are not: only the former may be asked for. Those that stay open become
// batches of their own before the rest is settled.
static int32_t split(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  if (dr_parcel_count(parcel, DRAY_RECEIPT_PENDING) > 0) DRAY_TRY(keep_handle(parcel, error));
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

int32_t dr_settle_known(struct dr_delivery *delivery, struct dr_parcel *parcel, struct dray_error *error) {
  struct dr_run_report *report = delivery->run->report;
  const size_t pending = dr_parcel_count(parcel, DRAY_RECEIPT_PENDING);
  const size_t unknown = dr_parcel_count(parcel, DRAY_RECEIPT_UNKNOWN);
  if (pending == parcel->outgoing.count) return settle_pending(delivery, parcel, error);
  if (may_join(delivery, parcel)) return settle_joined(delivery, parcel, error);
  const uint32_t doubt = dr_parcel_doubt(delivery, parcel);
  const int parts = pending > 0 || (doubt == DRAY_DOUBT_READ_BACK && unknown > 0 && unknown < parcel->outgoing.count);
  if (parts) DRAY_TRY(split(delivery, parcel, error));
  const int open = !parts && unknown > 0 && doubt != DRAY_DOUBT_NONE;
  DRAY_TRY(dr_settle(delivery, parcel, open ? DR_BATCH_IN_DOUBT : DR_BATCH_ACKED, error));
  report->pending += pending;
  report->in_doubt += unknown;
  return DRAY_OK;
}
