// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Ingest without the mirror: rows go straight through, into append, replace, and histories by time that are read
// incrementally. The transaction is open while rows are read.
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "sync/ingest.h"
#include "sync/spool.h"

struct direct {
  struct dr_table_writer *writer; // NULL between windows
  struct dr_spool *spool;         // where rows wait until all are read; NULL: they do not
  struct dr_table_tally *tally;   // counts rows that may be those of the table; NULL: whatever is read is written
  uint64_t rows;                  // written in this window
  int64_t begun_ms;               // when it was begun
  int safe;                       // nothing was read behind `state`
  char *state;
  size_t state_bytes;
};

static int32_t direct_commit(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                             struct dray_error *error) {
  const uint64_t next = ingest->state.generation + 1;
  const struct dray_str checkpoint = direct->state != NULL ? dray_str_make(direct->state, direct->state_bytes)
                                                           : dray_buffer_view(&ingest->state.checkpoint);
  uint64_t written = 0;
  if (dr_ingest_same_checkpoint(ingest, checkpoint)) dr_table_writer_may_idle(direct->writer);
  // A row that was rejected is not one that is gone.
  if (run->sync->mode == DR_MODE_REPLACE && (run->options->flags & DR_RUN_ALLOW_GUARD) == 0)
    dr_table_writer_rejected(direct->writer, run->report->rejected_rows);
  int32_t rc = dr_context_state(run, DR_RUN_COMMITTING, "committing", error);
  if (rc == DRAY_OK) rc = dr_table_writer_merge(direct->writer, next, checkpoint, &written, error);
  const int idle = rc == DRAY_OK && dr_table_writer_idle(direct->writer);
  if (rc == DRAY_OK) run->report->deletes_withheld += dr_table_writer_kept(direct->writer);
  if (rc == DRAY_OK) (void)dr_fault_point("sync.merged");
  if (rc == DRAY_OK) rc = dr_table_writer_commit(direct->writer, error);
  dr_table_writer_free(direct->writer);
  direct->writer = NULL;
  if (rc != DRAY_OK) return rc;
  (void)dr_fault_point("sync.warehouse_committed");
  run->report->applied += written;
  direct->rows = 0;
  direct->begun_ms = dr_monotonic_ms();
  if (!idle) DRAY_TRY(dr_ingest_remember(run, ingest, next, checkpoint, error));
  dr_rows_window(run, dray_buffer_view(&ingest->state.checkpoint));
  return ingest->plan.ddl_count > 0 ? dr_ingest_plan(ingest, error) : DRAY_OK;
}

static int32_t direct_begin(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                            struct dray_error *error) {
  if (direct->writer != NULL) return DRAY_OK;
  DRAY_TRY(dr_context_state(run, DR_RUN_APPLYING, "loading", error));
  return dr_table_writer_begin(ingest->warehouse, &ingest->table, &ingest->plan, ingest->state.generation,
                               &direct->writer, error);
}

static int32_t direct_write(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                            const struct dr_batch *batch, struct dray_error *error) {
  const uint64_t rows = dr_batch_rows(batch);
  DRAY_TRY(direct_begin(run, ingest, direct, error));
  const int32_t rc = dr_table_writer_rows(direct->writer, batch, error);
  direct->rows += rows;
  atomic_fetch_add_explicit(&dr_board()->applied, rows, memory_order_relaxed);
  return rc;
}

static int32_t direct_item(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                           struct dr_read_item *item, struct dray_error *error) {
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  int32_t rc = DRAY_OK;
  if (item->rows > 0) rc = dr_mapping_run(&run->mapping, &item->array, item->first_row, &batch, &rejects, error);
  if (rc == DRAY_OK) rc = dr_rows_refuse(run, dr_ingest_is_keyed(ingest), &batch, &rejects, error);
  if (rc == DRAY_OK && rejects.count > 0) rc = dr_rows_unreadable(run, &rejects, error);
  run->report->unreadable_rows += rejects.count;
  run->report->rejected_rows += rejects.count;
  run->report->rows_read += item->rows;
  const uint64_t rows = rc == DRAY_OK && batch != NULL ? dr_batch_rows(batch) : 0;
  run->report->inserts += rows;
  if (rows > 0 && direct->tally != NULL) rc = dr_table_tally_rows(direct->tally, batch, error);
  if (rc == DRAY_OK && rows > 0 && !dr_planning(run)) {
    rc = direct->spool != NULL ? dr_spool_add(direct->spool, batch, error)
                               : direct_write(run, ingest, direct, batch, error);
  }
  direct->safe = item->state != NULL;
  if (item->state != NULL) {
    free(direct->state);
    direct->state = item->state;
    direct->state_bytes = item->state_bytes;
    item->state = NULL;
  }
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  return rc;
}

// Replace would empty the table when nothing is read, or nothing that can be written.
static int32_t direct_guard(const struct dr_context *run, const struct dr_ingest *ingest, const struct direct *direct,
                            struct dray_error *error) {
  const struct dr_guard *guard = &run->sync->guard;
  const uint64_t read = run->report->rows_read;
  if (run->sync->mode != DR_MODE_REPLACE || direct->rows > 0 || ingest->state.generation == 0) return DRAY_OK;
  if (!guard->on || (run->options->flags & DR_RUN_ALLOW_GUARD) != 0) return DRAY_OK;
  if (read == 0 && !guard->empty) return DRAY_OK;
  if (read > 0) {
    return dray_fail(error, DRAY_E_GUARD,
                     "none of the %llu rows that were read can be written: replacing would empty the table; nothing "
                     "was changed",
                     (unsigned long long)read);
  }
  return dray_fail(error, DRAY_E_GUARD, "nothing was read: replacing would empty the table; nothing was changed");
}

static int direct_is_over(const struct dr_context *run, const struct direct *direct) {
  if (direct->writer == NULL) return 0;
  return direct->rows >= run->sync->commit_rows || dr_monotonic_ms() - direct->begun_ms >= run->sync->commit_after_ms;
}

// The reading broke off. Every row that is written stays written, so that only a window that ends at a safe place may
// be committed.
static int32_t direct_broken(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct, int32_t why,
                             struct dray_error *error) {
  struct dray_error told;
  dray_error_init(&told);
  if (why == DRAY_E_CANCELLED || !direct->safe || direct->writer == NULL || dr_planning(run)) return why;
  if (error != NULL) told = *error;
  DRAY_TRY(direct_commit(run, ingest, direct, error));
  if (error != NULL) *error = told;
  return why;
}

// A model in the warehouse it is written to: one connection cannot do both at once, a table may be read by the model
// that it is written from, and the read must not hold what the write waits for. So all is read first.
static int reads_where_it_writes(const struct dr_context *run) {
  const struct dr_sync *sync = run->sync;
  return sync->model >= 0 && dr_session_project(run->session)->models[sync->model].warehouse == sync->to_connection;
}

// A table that is to hold what is read may hold it already, which is known when all is read.
static int may_hold_all(const struct dr_context *run, const struct dr_ingest *ingest) {
  return run->sync->mode == DR_MODE_REPLACE && ingest->state.generation > 0 && ingest->plan.table_exists &&
         ingest->plan.ddl_count == 0;
}

static int32_t direct_spool(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                            struct dray_error *error) {
  const int may_hold = may_hold_all(run, ingest);
  if (dr_planning(run) || !(may_hold || reads_where_it_writes(run))) return DRAY_OK;
  if (may_hold) {
    DRAY_TRY(dr_table_tally_new(ingest->warehouse, &ingest->table, dr_store_seed(run->store), &direct->tally, error));
  }
  return dr_spool_new(run->folder, run->mapping.schema, &direct->spool, error);
}

static int has_moved(const struct dr_ingest *ingest, const struct direct *direct) {
  return direct->state != NULL && !dr_ingest_same_checkpoint(ingest, dray_str_make(direct->state, direct->state_bytes));
}

// A checkpoint, a table that is emptied or changed.
static int writes_without_rows(const struct dr_context *run, const struct dr_ingest *ingest,
                               const struct direct *direct) {
  return has_moved(ingest, direct) || run->sync->mode == DR_MODE_REPLACE || ingest->plan.ddl_count > 0;
}

// Nothing is compared for a plan of this kind: what is the same in the table is left alone by the run.
static int32_t direct_plan(struct dr_context *run, const struct dr_ingest *ingest, const struct direct *direct,
                           struct dray_error *error) {
  if (run->report->inserts == 0 && !writes_without_rows(run, ingest, direct)) return DRAY_OK;
  dr_reader_finish(run->reader);
  return dr_ingest_tell_staging(run, ingest, may_hold_all(run, ingest) && !has_moved(ingest, direct), error);
}

// The table holds what was read, and so does the state row: nothing is to be written. What speaks against it in any way
// goes to the writer, which finds the same or says what is wrong.
static int32_t direct_same(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct, int *out_same,
                           struct dray_error *error) {
  *out_same = 0;
  if (direct->tally == NULL || has_moved(ingest, direct) || run->report->inserts == 0) return DRAY_OK;
  dr_reader_finish(run->reader);
  DRAY_TRY(dr_context_state(run, DR_RUN_APPLYING, "comparing", error));
  return dr_table_tally_same(direct->tally, ingest->state.generation, out_same, error);
}

static int32_t direct_unspool(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                              struct dray_error *error) {
  struct dr_batch *batch = NULL;
  if (direct->spool == NULL) return DRAY_OK;
  dr_reader_finish(run->reader);
  for (;;) {
    DRAY_TRY(dr_cancel_check(error));
    DRAY_TRY(dr_spool_next(direct->spool, &batch, error));
    if (batch == NULL) return DRAY_OK;
    const int32_t rc = direct_write(run, ingest, direct, batch, error);
    dr_batch_free(batch);
    if (rc != DRAY_OK) return rc;
  }
}

static int32_t direct_rows(struct dr_context *run, struct dr_ingest *ingest, struct direct *direct,
                           struct dray_error *error) {
  const int windows = run->sync->mode != DR_MODE_REPLACE && dr_reader_incremental(run->reader);
  DRAY_TRY(dr_context_state(run, DR_RUN_READING, "reading", error));
  dr_rows_window(run, dray_buffer_view(&ingest->state.checkpoint));
  DRAY_TRY(direct_spool(run, ingest, direct, error));
  for (;;) {
    struct dr_read_item *item = NULL;
    int32_t rc = dr_reader_next(run->reader, &item, error);
    if (rc != DRAY_OK) return windows ? direct_broken(run, ingest, direct, rc, error) : rc;
    if (item == NULL) break;
    rc = direct_item(run, ingest, direct, item, error);
    dr_read_item_free(item);
    if (rc != DRAY_OK) return rc;
    if (windows && direct->safe && direct_is_over(run, direct)) DRAY_TRY(direct_commit(run, ingest, direct, error));
  }
  if (dr_planning(run)) return direct_plan(run, ingest, direct, error);
  int same = 0;
  DRAY_TRY(direct_same(run, ingest, direct, &same, error));
  if (same) return DRAY_OK;
  DRAY_TRY(direct_unspool(run, ingest, direct, error));
  DRAY_TRY(direct_guard(run, ingest, direct, error));
  if (writes_without_rows(run, ingest, direct)) DRAY_TRY(direct_begin(run, ingest, direct, error));
  return direct->writer != NULL ? direct_commit(run, ingest, direct, error) : DRAY_OK;
}

int32_t dr_ingest_direct(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const int64_t start = dr_monotonic_ms();
  struct direct direct = {.begun_ms = start};
  const int32_t rc = direct_rows(run, ingest, &direct, error);
  dr_table_writer_free(direct.writer);
  dr_spool_free(direct.spool);
  dr_table_tally_free(direct.tally);
  free(direct.state);
  run->report->apply_ms = dr_monotonic_ms() - start;
  return rc;
}
