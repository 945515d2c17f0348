// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The batch ledger: a batch is here, durably, before its first byte leaves, and stays open until its receipts and the
// mirror are. Written by core/sync; what is open after a crash is what may have been sent.
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dray/sdk/error.h"
#include "store/db.h"

static const char *const state_names[] = {
    [DR_BATCH_PLANNED] = "planned", [DR_BATCH_SENDING] = "sending",   [DR_BATCH_ACKED] = "acked",
    [DR_BATCH_PENDING] = "pending", [DR_BATCH_IN_DOUBT] = "in_doubt",
};

static_assert(DR_BATCH_ACKED == 3, "statements.def and the index batches_open name this number");

const char *dr_batch_state_name(int state) {
  return state >= DR_BATCH_PLANNED && state <= DR_BATCH_IN_DOUBT ? state_names[state] : "unknown";
}

static int32_t insert_batch(struct dr_store *store, const char *sync, const struct dr_batch_record *batch,
                            int64_t sent_us, struct dray_error *error) {
  struct dr_db_call call;
  DRAY_TRY(dr_db_call(store, DR_DB_BATCH_INSERT, &call, error));
  dr_db_text(&call, sync);
  dr_db_int(&call, batch->run);
  dr_db_int(&call, DR_BATCH_SENDING);
  dr_db_u64(&call, batch->first_seq);
  dr_db_u64(&call, batch->count);
  dr_db_text(&call, batch->changeset);
  dr_db_text(&call, batch->idempotency_key);
  dr_db_text(&call, batch->handle);
  dr_db_u64(&call, batch->mirror_frame);
  dr_db_int(&call, dr_now_us());
  dr_db_int(&call, sent_us);
  return dr_db_done(&call, error);
}

int32_t dr_store_batch_sending(struct dr_store *store, const char *sync, struct dr_batch_record *batch,
                               struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  int64_t id = 0;
  const int64_t sent_us = batch->sent_us != 0 ? batch->sent_us : dr_now_us();
  int32_t code = insert_batch(store, sync, batch, sent_us, error);
  if (code == DRAY_OK) id = sqlite3_last_insert_rowid(store->db);
  code = dr_db_write_end(store, code, error);
  if (code == DRAY_OK) {
    batch->id = id;
    batch->sent_us = sent_us;
    batch->state = DR_BATCH_SENDING;
  }
  return code;
}

static int32_t update_batch(struct dr_store *store, const struct dr_batch_record *batch, struct dray_error *error) {
  struct dr_db_call call;
  DRAY_TRY(dr_db_call(store, DR_DB_BATCH_UPDATE, &call, error));
  dr_db_int(&call, batch->state);
  dr_db_text(&call, batch->handle);
  dr_db_u64(&call, batch->mirror_frame);
  dr_db_int(&call, dr_now_us());
  dr_db_int(&call, batch->id);
  DRAY_TRY(dr_db_done(&call, error));
  if (sqlite3_changes(store->db) == 1) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, "%s holds no batch %lld", store->path, (long long)batch->id);
}

int32_t dr_store_batch_update(struct dr_store *store, const struct dr_batch_record *batch, struct dray_error *error) {
  assert(batch->state >= DR_BATCH_PLANNED && batch->state <= DR_BATCH_IN_DOUBT);
  DRAY_TRY(dr_db_write_begin(store, error));
  return dr_db_write_end(store, update_batch(store, batch, error), error);
}

static void read_batch(struct dr_db_call *call, struct dr_batch_record *batch) {
  *batch = (struct dr_batch_record){.id = dr_db_get_int(call)};
  batch->run = dr_db_get_int(call);
  batch->state = (int)dr_db_get_int(call);
  batch->first_seq = dr_db_get_u64(call);
  batch->count = dr_db_get_u64(call);
  dr_db_get_text(call, batch->changeset, sizeof batch->changeset);
  dr_db_get_text(call, batch->idempotency_key, sizeof batch->idempotency_key);
  dr_db_get_text(call, batch->handle, sizeof batch->handle);
  batch->mirror_frame = dr_db_get_u64(call);
  batch->sent_us = dr_db_get_int(call);
}

int32_t dr_store_batches_open(struct dr_store *store, const char *sync, struct dr_batch_record **out, size_t *out_count,
                              struct dray_error *error) {
  struct dr_db_call call;
  void *items = NULL;
  size_t count = 0, capacity = 0;
  int row = 0;
  DRAY_TRY(dr_db_call(store, DR_DB_BATCHES_OPEN, &call, error));
  dr_db_text(&call, sync);
  int32_t code = dr_db_step(&call, &row, error);
  while (code == DRAY_OK && row) {
    code = dr_db_grow(&items, sizeof(struct dr_batch_record), count, &capacity, error);
    if (code != DRAY_OK) {
      dr_db_reset(&call);
      break;
    }
    read_batch(&call, (struct dr_batch_record *)items + count);
    count++;
    code = dr_db_step(&call, &row, error);
  }
  if (code != DRAY_OK) {
    free(items);
    return code;
  }
  *out = items;
  *out_count = count;
  return DRAY_OK;
}

int32_t dr_store_batches_trim(struct dr_store *store, const char *sync, size_t keep_runs, struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int32_t code = dr_db_call(store, DR_DB_BATCHES_TRIM, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, sync);
    dr_db_int(&call, keep_runs > INT64_MAX ? INT64_MAX : (int64_t)keep_runs);
    code = dr_db_done(&call, error);
  }
  return dr_db_write_end(store, code, error);
}
