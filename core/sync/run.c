// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The frame of a run: lease, record in the store, the direction, the report.
#include "sync/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/board.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/redact.h"
#include "sync/recorded.h"

#define ARENA_BYTES_MAX (64u << 20)
#define LEDGER_RUNS_KEPT 20
#define RECENT_RUNS 100
#define ABANDONED_RUNS 8

void dr_samples_free(struct dr_sample *samples, size_t count) {
  for (size_t i = 0; i < count; i++) {
    free(samples[i].key);
    free(samples[i].text);
  }
  free(samples);
}

void dr_run_report_free(struct dr_run_report *report) {
  for (size_t i = 0; i < report->ddl_count; i++) free(report->ddl[i]);
  for (size_t i = 0; i < report->column_count; i++) free(report->columns[i].name);
  free(report->unknown);
  free(report->ddl);
  free(report->own_ddl);
  dr_statements_free(&report->staging);
  free(report->columns);
  dr_samples_free(report->samples, report->sample_count);
  memset(report, 0, sizeof(*report));
}

// ---- what the directions share ----

static void copy_counts(struct dr_context *run) {
  const struct dr_run_report *report = run->report;
  struct dr_run_record *record = &run->record;
  record->rows_read = report->rows_read;
  record->inserts = report->inserts;
  record->updates = report->updates;
  record->deletes = report->deletes;
  record->unchanged = report->unchanged;
  record->applied = report->applied;
  record->rejected = report->rejected_rows;
  record->in_doubt = report->in_doubt;
}

int32_t dr_context_state(struct dr_context *run, int state, const char *phase, struct dray_error *error) {
  dr_board_phase(phase);
  if (run->record.id == 0 || dr_planning(run)) return DRAY_OK;
  run->record.state = state;
  copy_counts(run);
  return dr_store_run_update(run->store, &run->record, error);
}

static int32_t decide_mapping(struct dr_context *run, const struct dr_object_facts *object, const char *const *left_out,
                              size_t left_out_count, struct dray_error *error) {
  const struct dr_stream_facts *facts = dr_reader_facts(run->reader);
  const int own = run->sync->key_count > 0;
  const int discard = run->sync->drift_type == DR_DRIFT_DISCARD_VALUE;
  const struct dr_mapping_options mapping = {
      .sync = run->sync,
      .source = dr_reader_schema(run->reader),
      .key = own ? run->sync->key : facts->key,
      .key_count = own ? run->sync->key_count : facts->key_count,
      .object = object,
      .left_out = left_out,
      .left_out_count = left_out_count,
      .discard_values = discard,
  };
  return dr_mapping_init(&run->mapping, &mapping, error);
}

int32_t dr_context_read(struct dr_context *run, struct dray_str checkpoint, int full, int follow,
                        const struct dr_object_facts *object, struct dray_error *error) {
  const struct dr_reader_options options = {
      .sync = run->sync,
      .checkpoint = checkpoint,
      .full = full,
      .follow = follow,
      .anew = (run->options->flags & (DR_RUN_FULL | DR_RUN_BASELINE)) != 0,
      .look = dr_planning(run),
  };
  dr_board_phase("opening");
  DRAY_TRY(dr_reader_open(run->session, &options, &run->reader, error));
  return decide_mapping(run, object, NULL, 0, error);
}

int32_t dr_context_reread(struct dr_context *run, struct dray_str query, struct dray_error *error) {
  const struct dr_reader_options options = {.sync = run->sync, .full = 1, .query = query};
  dr_reader_close(run->reader);
  run->reader = NULL;
  DRAY_TRY(dr_reader_open(run->session, &options, &run->reader, error));
  return dr_mapping_rebind(&run->mapping, dr_reader_schema(run->reader),
                           run->sync->drift_type == DR_DRIFT_DISCARD_VALUE, error);
}

int32_t dr_context_leave_out(struct dr_context *run, const char *const *fields, size_t count,
                             struct dray_error *error) {
  dr_mapping_free(&run->mapping);
  return decide_mapping(run, NULL, fields, count, error);
}

// What mirror and pass may take of the run's memory. The rest is for batches on their way (the reader's and the load's
// queues, the batches in work), what plugins and the engine of the warehouse hold, and the libraries: up to 60 MB were
// seen beside a pass that used all of its own, which it does where the machine is busy.
static uint64_t share_of_diff(uint64_t memory_bytes) {
  return memory_bytes / 8 * 5;
}

int32_t dr_context_mirror(struct dr_context *run, int create, struct dray_error *error) {
  const struct dr_mirror_options options = {
      .folder = run->mirror_folder,
      .schema = run->mapping.schema,
      .key = run->mapping.key,
      .key_count = run->mapping.key_count,
      .seed = dr_store_seed(run->store),
      .memory_bytes = share_of_diff(dr_session_project(run->session)->memory_bytes),
      .create = create,
      .keep = run->sync->keep,
  };
  struct dr_mirror_info info;
  DRAY_TRY(dr_mirror_open(&options, &run->mirror, error));
  dr_mirror_info(run->mirror, &info);
  if (info.keep != run->sync->keep) {
    dr_log(DRAY_LOG_WARN, run->sync->name,
           "`keep` was changed, but a mirror keeps what it was made for: `dray state %s` makes it anew",
           run->sync->object == NULL ? "rebuild" : "baseline");
  }
  return DRAY_OK;
}

// ---- begin and end ----

// Who holds the lease is the only run: an earlier one that never ended was killed together with the one who watched it.
static int32_t end_abandoned(struct dr_context *run, struct dray_error *error) {
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  int32_t rc = dr_store_runs(run->store, run->sync->name, ABANDONED_RUNS, &runs, &count, error);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (runs[i].ended_us != 0) continue;
    runs[i].state = DR_RUN_CRASHED;
    runs[i].ended_us = dr_now_us();
    runs[i].code = DRAY_E_CANCELLED;
    runs[i].exit_code = dray_error_info(DRAY_E_CANCELLED)->exit_code;
    (void)snprintf(runs[i].text, sizeof(runs[i].text), "process %d was killed, or the machine stopped", runs[i].pid);
    rc = dr_store_run_update(run->store, &runs[i], error);
  }
  free(runs);
  return rc;
}

static int32_t begin(struct dr_context *run, struct dray_error *error) {
  DRAY_TRY(dr_session_sync_folder(run->session, run->sync->name, &run->folder, error));
  run->mirror_folder = dr_path_join(run->folder, "mirror");
  if (run->mirror_folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  DRAY_TRY(dr_lease_take(run->folder, &run->lease, error));
  DRAY_TRY(dr_store_sync_get(run->store, run->sync->name, &run->state, error));
  if (dr_planning(run)) return DRAY_OK; // a plan leaves no trace
  DRAY_TRY(end_abandoned(run, error));
  DRAY_TRY(dr_store_run_begin(run->store, run->sync->name, (int32_t)getpid(), &run->record.id, error));
  run->record.state = DR_RUN_PLANNED;
  run->report->run = run->record.id;
  return DRAY_OK;
}

static int32_t exit_code_of(const struct dr_run_report *report) {
  if (report->error.code != DRAY_OK) return dray_error_info(report->error.code)->exit_code;
  const int partial = report->rejected_rows > 0 || report->parked > 0 || report->in_doubt > 0 ||
                      report->deletes_withheld > 0 || report->deferred > 0 || report->unsent > 0 ||
                      report->kept_back > 0;
  return partial ? 3 : 0;
}

static void end(struct dr_context *run, int32_t rc) {
  struct dr_run_report *report = run->report;
  struct dray_error *error = &report->error;
  dr_recorded_end(run, rc == DRAY_OK);
  if (rc == DRAY_OK) dray_error_init(error);
  dr_redact_error(error);
  report->exit_code = exit_code_of(report);
  if (run->mirror != NULL) {
    struct dr_mirror_info info;
    dr_mirror_info(run->mirror, &info);
    report->mirror_rows = info.rows;
  }
  if (run->record.id == 0) return;
  copy_counts(run);
  run->record.state = rc == DRAY_OK ? DR_RUN_DONE : DR_RUN_FAILED;
  run->record.exit_code = report->exit_code;
  run->record.ended_us = dr_now_us();
  run->record.code = error->code;
  memcpy(run->record.text, error->text, sizeof(run->record.text));
  struct dray_error second;
  dray_error_init(&second);
  int32_t told = dr_store_run_update(run->store, &run->record, &second);
  const int seen = run->reader != NULL && dr_reader_whole(run->reader) && !run->held_back;
  const int complete = rc == DRAY_OK && seen && report->unsent == 0 && report->kept_back == 0;
  // A full read has seen every row: older records are of rows that are gone or were taken. A baseline resolves all. Of
  // rows that were deferred nothing was seen, and of changes that were left nothing is known: then all records stay.
  if (told == DRAY_OK && complete && (run->options->flags & DR_RUN_BASELINE) == 0) {
    told = dr_rows_keep_doubtful(run, &second);
  }
  if (told == DRAY_OK && complete) {
    told = dr_store_rows_clear_before(run->store, run->sync->name, run->record.id, &second);
  }
  if (told == DRAY_OK) told = dr_store_batches_trim(run->store, run->sync->name, LEDGER_RUNS_KEPT, &second);
  if (told != DRAY_OK) {
    dr_log(DRAY_LOG_ERROR, run->sync->name, "the run's end could not be recorded: %s", second.text);
    if (error->code == DRAY_OK) {
      *error = second;
      report->exit_code = exit_code_of(report);
    }
  }
}

static void close_all(struct dr_context *run) {
  dr_reader_close(run->reader);
  dr_mirror_close(run->mirror);
  if (run->mapping.schema != NULL) dr_mapping_free(&run->mapping);
  dray_buffer_free(&run->state.checkpoint);
  dr_arena_free(&run->arena);
  dr_lease_drop(&run->lease);
  free(run->mirror_folder);
  free(run->folder);
}

// Whether the query that was refused waits for tables that are still to be made; the report says for which. Where that
// cannot be found out, the refusal is what is told.
static int is_unknown_yet(struct dr_context *run) {
  struct dray_error second;
  dray_error_init(&second);
  if (dr_context_unknown(run, &run->report->error, &run->report->unknown, &second) != DRAY_OK) {
    dr_log(DRAY_LOG_WARN, run->sync->name, "whether the model waits for another sync is not known: %s", second.text);
  }
  return run->report->unknown != NULL;
}

int32_t dr_run(struct dr_session *session, const struct dr_sync *sync, const struct dr_run_options *options,
               struct dr_run_report *report) {
  struct dr_context run;
  memset(&run, 0, sizeof(run));
  memset(report, 0, sizeof(*report));
  dray_error_init(&report->error);
  (void)snprintf(report->sync, sizeof(report->sync), "%s", sync->name);
  run.session = session;
  run.store = dr_session_store(session);
  run.sync = sync;
  run.options = options;
  run.report = report;
  run.lease.fd = -1;
  dr_arena_init(&run.arena, ARENA_BYTES_MAX);
  const int64_t start = dr_monotonic_ms();
  int32_t rc = begin(&run, &report->error);
  if (rc == DRAY_OK) {
    rc = sync->object != NULL ? dr_activate(&run, &report->error) : dr_ingest(&run, &report->error);
  }
  if (rc == DRAY_E_CONFIG_SQL && dr_planning(&run) && sync->model >= 0 && run.reader == NULL && is_unknown_yet(&run)) {
    rc = DRAY_OK;
  }
  report->total_ms = dr_monotonic_ms() - start;
  end(&run, rc);
  close_all(&run);
  return report->error.code;
}

int32_t dr_run_crashed(const char *project_folder, int32_t pid, const struct dray_error *why,
                       struct dray_error *error) {
  struct dr_store *store = NULL;
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  char *folder = dr_path_join(project_folder, ".dray");
  if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  int32_t rc = dr_store_open(folder, &store, error);
  if (rc == DRAY_OK) rc = dr_store_runs(store, NULL, RECENT_RUNS, &runs, &count, error);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (runs[i].pid != pid || runs[i].ended_us != 0) continue;
    runs[i].state = DR_RUN_CRASHED;
    runs[i].ended_us = dr_now_us();
    runs[i].code = why->code;
    runs[i].exit_code = dray_error_info(why->code)->exit_code;
    memcpy(runs[i].text, why->text, sizeof(runs[i].text));
    rc = dr_store_run_update(store, &runs[i], error);
  }
  free(runs);
  dr_store_close(store);
  free(folder);
  return rc;
}
