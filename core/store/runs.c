// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The history of runs. Written by core/sync at every change of state, read by `dray status`.
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dray/sdk/error.h"
#include "store/db.h"

// A sync every five minutes fills this in a month; older runs go, unless a batch still refers to them.
#define RUNS_KEPT_PER_SYNC 10000

static const char *const state_names[] = {
    [DR_RUN_PLANNED] = "planned",       [DR_RUN_READING] = "reading", [DR_RUN_APPLYING] = "applying",
    [DR_RUN_COMMITTING] = "committing", [DR_RUN_DONE] = "done",       [DR_RUN_FAILED] = "failed",
    [DR_RUN_CRASHED] = "crashed",
};

const char *dr_run_state_name(int state) {
  return state >= DR_RUN_PLANNED && state <= DR_RUN_CRASHED ? state_names[state] : "unknown";
}

static int32_t trim_runs(struct dr_store *store, const char *sync, struct dray_error *error) {
  struct dr_db_call call;
  DRAY_TRY(dr_db_call(store, DR_DB_RUNS_TRIM, &call, error));
  dr_db_text(&call, sync);
  dr_db_int(&call, RUNS_KEPT_PER_SYNC);
  return dr_db_done(&call, error);
}

int32_t dr_store_run_begin(struct dr_store *store, const char *sync, int32_t pid, int64_t *out_id,
                           struct dray_error *error) {
  DRAY_TRY(dr_db_write_begin(store, error));
  struct dr_db_call call;
  int64_t id = 0;
  int32_t code = dr_db_call(store, DR_DB_RUN_INSERT, &call, error);
  if (code == DRAY_OK) {
    dr_db_text(&call, sync);
    dr_db_int(&call, DR_RUN_PLANNED);
    dr_db_int(&call, dr_now_us());
    dr_db_int(&call, pid);
    code = dr_db_done(&call, error);
  }
  if (code == DRAY_OK) {
    id = sqlite3_last_insert_rowid(store->db);
    code = trim_runs(store, sync, error);
  }
  code = dr_db_write_end(store, code, error);
  if (code == DRAY_OK) *out_id = id;
  return code;
}

static int32_t update_run(struct dr_store *store, const struct dr_run_record *run, struct dray_error *error) {
  struct dr_db_call call;
  DRAY_TRY(dr_db_call(store, DR_DB_RUN_UPDATE, &call, error));
  dr_db_int(&call, run->state);
  dr_db_int(&call, run->exit_code);
  dr_db_int(&call, run->ended_us);
  const uint64_t counts[] = {run->rows_read, run->inserts, run->updates,  run->deletes,
                             run->unchanged, run->applied, run->rejected, run->in_doubt};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) dr_db_u64(&call, counts[i]);
  dr_db_int(&call, run->code);
  dr_db_masked(&call, run->text);
  dr_db_int(&call, run->id);
  DRAY_TRY(dr_db_done(&call, error));
  if (sqlite3_changes(store->db) == 1) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, "%s holds no run %lld", store->path, (long long)run->id);
}

int32_t dr_store_run_update(struct dr_store *store, const struct dr_run_record *run, struct dray_error *error) {
  assert(run->state >= DR_RUN_PLANNED && run->state <= DR_RUN_CRASHED);
  DRAY_TRY(dr_db_write_begin(store, error));
  return dr_db_write_end(store, update_run(store, run, error), error);
}

static void read_run(struct dr_db_call *call, struct dr_run_record *run) {
  *run = (struct dr_run_record){.id = dr_db_get_int(call)};
  dr_db_get_text(call, run->sync, sizeof run->sync);
  run->state = (int)dr_db_get_int(call);
  run->exit_code = (int32_t)dr_db_get_int(call);
  run->started_us = dr_db_get_int(call);
  run->ended_us = dr_db_get_int(call);
  run->pid = (int32_t)dr_db_get_int(call);
  uint64_t *const counts[] = {&run->rows_read, &run->inserts, &run->updates,  &run->deletes,
                              &run->unchanged, &run->applied, &run->rejected, &run->in_doubt};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) *counts[i] = dr_db_get_u64(call);
  run->code = (int32_t)dr_db_get_int(call);
  dr_db_get_text(call, run->text, sizeof run->text);
}

int32_t dr_store_runs(struct dr_store *store, const char *sync, size_t count_max, struct dr_run_record **out,
                      size_t *out_count, struct dray_error *error) {
  struct dr_db_call call;
  void *items = NULL;
  size_t count = 0, capacity = 0;
  int row = 0;
  DRAY_TRY(dr_db_call(store, sync != NULL ? DR_DB_RUNS_OF_SYNC : DR_DB_RUNS_OF_ALL, &call, error));
  if (sync != NULL) dr_db_text(&call, sync);
  dr_db_int(&call, count_max > INT64_MAX ? INT64_MAX : (int64_t)count_max);
  int32_t code = dr_db_step(&call, &row, error);
  while (code == DRAY_OK && row) {
    code = dr_db_grow(&items, sizeof(struct dr_run_record), count, &capacity, error);
    if (code != DRAY_OK) {
      dr_db_reset(&call);
      break;
    }
    read_run(&call, (struct dr_run_record *)items + count);
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
