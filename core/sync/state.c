// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// State commands. Each takes the sync's lease, so that none works beside a run.
#include "sync/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cancel.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "sync/ingest.h"
#include "sync/prefilter.h"

#define ARENA_BYTES_MAX (64u << 20)

// A context that reads and compares but records no run.
struct bench {
  struct dr_context run;
  struct dr_run_options options;
  struct dr_run_report report;
};

static int32_t bench_open(struct bench *bench, struct dr_session *session, const struct dr_sync *sync,
                          struct dray_error *error) {
  memset(bench, 0, sizeof(*bench));
  bench->options.flags = DR_RUN_PLAN | DR_RUN_FULL; // no checkpoint is needed, and one that is of no use does no harm
  bench->run.session = session;
  bench->run.store = dr_session_store(session);
  bench->run.sync = sync;
  bench->run.options = &bench->options;
  bench->run.report = &bench->report;
  bench->run.lease.fd = -1;
  dr_arena_init(&bench->run.arena, ARENA_BYTES_MAX);
  DRAY_TRY(dr_session_sync_folder(session, sync->name, &bench->run.folder, error));
  bench->run.mirror_folder = dr_path_join(bench->run.folder, "mirror");
  if (bench->run.mirror_folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  DRAY_TRY(dr_lease_take(bench->run.folder, &bench->run.lease, error));
  return dr_store_sync_get(bench->run.store, sync->name, &bench->run.state, error);
}

static void bench_close(struct bench *bench) {
  dr_reader_close(bench->run.reader);
  dr_mirror_close(bench->run.mirror);
  if (bench->run.mapping.schema != NULL) dr_mapping_free(&bench->run.mapping);
  dray_buffer_free(&bench->run.state.checkpoint);
  dr_arena_free(&bench->run.arena);
  dr_lease_drop(&bench->run.lease);
  free(bench->run.mirror_folder);
  free(bench->run.folder);
  dr_run_report_free(&bench->report);
}

static void show_checkpoint(struct dr_state_view *view, const struct dray_buffer *checkpoint) {
  view->checkpoint_bytes = checkpoint->len;
  if (checkpoint->len == 0 || !dray_utf8_valid(checkpoint->data, checkpoint->len)) return;
  (void)snprintf(view->checkpoint, sizeof(view->checkpoint), "%.*s", DRAY_STR_ARG(dray_buffer_view(checkpoint)));
}

static int32_t show_store(struct dr_store *store, const char *sync, struct dr_state_view *view,
                          struct dray_error *error) {
  struct dr_sync_state state;
  memset(&state, 0, sizeof(state));
  DRAY_TRY(dr_store_sync_get(store, sync, &state, error));
  view->generation = state.generation;
  memcpy(view->identity, state.identity, sizeof(view->identity));
  show_checkpoint(view, &state.checkpoint);
  dray_buffer_free(&state.checkpoint);
  DRAY_TRY(dr_store_rows_count(store, sync, &view->rejected, &view->parked, error));
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  DRAY_TRY(dr_store_batches_open(store, sync, &open, &count, error));
  view->open_batches = count;
  free(open);
  return DRAY_OK;
}

int32_t dr_state_show(struct dr_session *session, const struct dr_sync *sync, struct dr_state_view *out,
                      struct dray_error *error) {
  struct dr_state_view view;
  memset(&view, 0, sizeof(view));
  view.ingest = sync->object == NULL;
  char *folder = NULL;
  DRAY_TRY(show_store(dr_session_store(session), sync->name, &view, error));
  DRAY_TRY(dr_session_sync_folder(session, sync->name, &folder, error));
  char *mirror = dr_path_join(folder, "mirror");
  const uint64_t seed = dr_store_seed(dr_session_store(session));
  if (!dr_prefilter_exists(folder, seed, sync->name, view.snapshot, sizeof(view.snapshot))) view.snapshot[0] = '\0';
  free(folder);
  if (mirror == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  view.mirror_exists = dr_mirror_exists(mirror);
  if (view.mirror_exists) {
    struct dray_error why;
    dray_error_init(&why);
    view.mirror_code = dr_mirror_verify(mirror, &view.mirror, &why);
    if (view.mirror_code != DRAY_OK) memcpy(view.mirror_text, why.text, sizeof(view.mirror_text));
  }
  free(mirror);
  *out = view;
  return DRAY_OK;
}

static int32_t compare_both(struct bench *bench, struct dr_ingest *ingest, struct dr_state_comparison *out,
                            struct dray_error *error) {
  struct dr_ingest_difference found;
  const struct dr_sync *sharer = NULL;
  dr_reader_finish(bench->run.reader);
  DRAY_TRY(
      dr_ingest_sharer(dr_session_project(bench->run.session), ingest->warehouse, bench->run.sync, 0, &sharer, error));
  DRAY_TRY(dr_context_mirror(&bench->run, 0, error));
  DRAY_TRY(dr_ingest_verify(&bench->run, ingest, &found, error));
  out->sharer = sharer != NULL ? sharer->name : NULL;
  out->compared = 1;
  out->table_only = out->sharer == NULL ? found.table_only : 0;
  out->others = out->sharer != NULL ? found.table_only : 0;
  out->mirror_only = found.mirror_only;
  out->different = found.different;
  out->unknown = found.unknown;
  return DRAY_OK;
}

// Versions by a time of their own go past the mirror where they are read by a cursor (ingest.c). This reading is a full
// one and says nothing of it.
static int is_mirrored(const struct bench *bench, const struct dr_ingest *ingest) {
  const struct dr_sync *sync = bench->run.sync;
  const int by_cursor = !sync->full && (sync->cursor != NULL || dr_reader_facts(bench->run.reader)->incremental);
  return dr_ingest_is_keyed(ingest) && (sync->valid_from == NULL || !by_cursor);
}

static int32_t verify_table(struct bench *bench, struct dr_state_comparison *out, struct dray_error *error) {
  struct dr_mirror_info info;
  struct dr_ingest ingest;
  int32_t rc = dr_ingest_open(&bench->run, &ingest, error);
  out->mirrored = rc == DRAY_OK && is_mirrored(bench, &ingest);
  if (out->mirrored && bench->run.sync->valid_from != NULL) {
    rc = dr_mirror_verify(bench->run.mirror_folder, &info, error);
  }
  if (out->mirrored && rc == DRAY_OK) rc = compare_both(bench, &ingest, out, error);
  dr_ingest_close(&ingest);
  return rc;
}

void dr_state_comparison_free(struct dr_state_comparison *comparison) {
  dr_samples_free(comparison->samples, comparison->sample_count);
  memset(comparison, 0, sizeof(*comparison));
}

int32_t dr_state_verify(struct dr_session *session, const struct dr_sync *sync, size_t samples_max,
                        struct dr_state_comparison *out, struct dray_error *error) {
  struct bench bench;
  struct dr_mirror_info info;
  struct dr_state_comparison comparison = {.mirrored = 1};
  int32_t rc = bench_open(&bench, session, sync, error);
  bench.options.samples_max = samples_max;
  const int direct = sync->mode == DR_MODE_APPEND || sync->mode == DR_MODE_REPLACE;
  const int mirrored = sync->object != NULL || (!direct && sync->valid_from == NULL); // else the reader says
  if (rc == DRAY_OK && mirrored) rc = dr_mirror_verify(bench.run.mirror_folder, &info, error);
  if (rc == DRAY_OK && sync->object == NULL) rc = verify_table(&bench, &comparison, error);
  if (rc == DRAY_OK) { // moved
    comparison.samples = bench.report.samples;
    comparison.sample_count = bench.report.sample_count;
    bench.report.samples = NULL;
    bench.report.sample_count = 0;
  }
  bench_close(&bench);
  if (rc == DRAY_OK) *out = comparison;
  return rc;
}

// The warehouse's own checkpoint goes back to the beginning, as a generation of its own: a run that was in the middle
// is fenced off. `out` gets the one that it was, if a log was followed from there.
static int32_t reset_table(struct bench *bench, struct dray_buffer *out, struct dray_error *error) {
  struct dr_ingest ingest;
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  int32_t rc = dr_ingest_open(&bench->run, &ingest, error);
  if (rc == DRAY_OK) dr_reader_finish(bench->run.reader);
  if (rc == DRAY_OK && ingest.state.generation > 0) {
    ingest.table.mode = DR_WRITE_UPSERT; // writes the state row alone, whatever the sync's mode
    rc = dr_table_writer_begin(ingest.warehouse, &ingest.table, &ingest.plan, ingest.state.generation, &writer, error);
    if (rc == DRAY_OK) {
      rc = dr_table_writer_merge(writer, ingest.state.generation + 1, dray_str_make(NULL, 0), &written, error);
    }
    if (rc == DRAY_OK) rc = dr_table_writer_commit(writer, error);
    dr_table_writer_free(writer);
  }
  if (rc == DRAY_OK && dr_reader_changes(bench->run.reader)) {
    rc = dray_buffer_append(out, ingest.state.checkpoint.data, ingest.state.checkpoint.len, error);
  }
  dr_ingest_close(&ingest);
  return rc;
}

// What is kept at the source for a checkpoint that is gone by now.
static void leave_source(const struct bench *bench, struct dray_str checkpoint) {
  const struct dr_sync *sync = bench->run.sync;
  struct dray_str json = {NULL, 0};
  struct dray_error why;
  dray_error_init(&why);
  if (checkpoint.len == 0 || dr_reader_drop(bench->run.session, sync, checkpoint, &json, &why) == DRAY_OK) return;
  dr_log(DRAY_LOG_WARN, sync->name, "what reading made at the source may be left there: %s", why.text);
}

// A sync that has none by now may have had one: its file says so.
static int32_t reset_snapshot(struct bench *bench, struct dray_error *error) {
  struct dr_context *run = &bench->run;
  char name[64];
  const int exists = dr_prefilter_exists(run->folder, dr_store_seed(run->store), run->sync->name, name, sizeof(name));
  if (run->sync->model < 0 || (!exists && run->sync->diff != DR_DIFF_WAREHOUSE)) return DRAY_OK;
  DRAY_TRY(dr_prefilter_forget(run, error));
  if (run->sync->diff == DR_DIFF_WAREHOUSE) return dr_prefilter_drop(run, error);
  struct dray_error why; // nobody needs it, and the right to remove it may be gone as well
  dray_error_init(&why);
  if (dr_prefilter_drop(run, &why) != DRAY_OK) {
    dr_log(DRAY_LOG_WARN, run->sync->name, "the table %s is left in the model's warehouse: %s", name, why.text);
  }
  return DRAY_OK;
}

int32_t dr_state_reset(struct dr_session *session, const struct dr_sync *sync, struct dray_error *error) {
  struct bench bench;
  struct dray_buffer checkpoint;
  dray_buffer_init(&checkpoint, DR_CHECKPOINT_BYTES_MAX);
  int32_t rc = bench_open(&bench, session, sync, error);
  if (rc == DRAY_OK && sync->object == NULL) rc = reset_table(&bench, &checkpoint, error);
  if (rc == DRAY_OK) rc = reset_snapshot(&bench, error);
  if (rc == DRAY_OK) rc = dr_mirror_reset(bench.run.mirror_folder, error);
  if (rc == DRAY_OK) rc = dr_store_sync_forget(bench.run.store, sync->name, error);
  if (rc == DRAY_OK) leave_source(&bench, dray_buffer_view(&checkpoint));
  bench_close(&bench);
  dray_buffer_free(&checkpoint);
  return rc;
}

// ---- drop ----

// The checkpoint as the warehouse has it, and none afterwards.
static int32_t take_from_warehouse(struct bench *bench, struct dray_buffer *out, struct dray_error *error) {
  struct dr_table_state state = {.generation = 0};
  struct dr_ingest ingest;
  DRAY_TRY(dr_ingest_place(&bench->run, &ingest, error));
  DRAY_TRY(dr_table_state_read(ingest.warehouse, &ingest.table, &state, error));
  if (state.checkpoint.len > 0) dray_buffer_clear(out);
  const int32_t rc = dray_buffer_append(out, state.checkpoint.data, state.checkpoint.len, error);
  dray_buffer_free(&state.checkpoint);
  return rc == DRAY_OK ? dr_table_state_unread(ingest.warehouse, &ingest.table, error) : rc;
}

// The one that the store knows, and none afterwards: the warehouse's, as of the last run here.
static int32_t take_from_store(struct bench *bench, struct dray_buffer *out, struct dray_error *error) {
  struct dr_sync_state *kept = &bench->run.state;
  if (kept->checkpoint.len == 0) return DRAY_OK;
  DRAY_TRY(dray_buffer_append(out, kept->checkpoint.data, kept->checkpoint.len, error));
  dray_buffer_clear(&kept->checkpoint);
  return dr_store_sync_put(bench->run.store, bench->run.sync->name, kept, error);
}

// `why` of a warehouse that is away does not keep what costs at the source: the error is told when that is gone.
static int32_t drop_all(struct bench *bench, struct dray_buffer *state, struct dray_buffer *out_json,
                        struct dray_error *error) {
  const struct dr_sync *sync = bench->run.sync;
  struct dray_str json = {NULL, 0};
  struct dray_error why;
  dray_error_init(&why);
  DRAY_TRY(take_from_store(bench, state, error));
  const int32_t left = sync->object == NULL ? take_from_warehouse(bench, state, &why) : DRAY_OK;
  DRAY_TRY(dr_cancel_check(error));
  (void)dr_fault_point("sync.unread");
  int32_t rc = dr_reader_drop(bench->run.session, sync, dray_buffer_view(state), &json, error);
  if (rc != DRAY_OK && left != DRAY_OK) {
    dr_log(DRAY_LOG_WARN, sync->name, "the checkpoint stays in the warehouse as well: %s", why.text);
  }
  if (rc == DRAY_OK) rc = dray_buffer_append(out_json, json.data, (size_t)json.len, error);
  if (rc != DRAY_OK || left == DRAY_OK) return rc;
  if (error != NULL) *error = why;
  return dray_error_prefix(error,
                           "what was known of at the source is removed, but the checkpoint is left in the warehouse "
                           "(repeat `dray sync %s --drop` when that can be reached)",
                           sync->name);
}

int32_t dr_state_drop(struct dr_session *session, const struct dr_sync *sync, struct dray_buffer *out_json,
                      struct dray_error *error) {
  struct bench bench;
  struct dray_buffer state;
  if (sync->model >= 0) return dray_buffer_append_str(out_json, "[]", error); // queries leave nothing
  dray_buffer_init(&state, DR_CHECKPOINT_BYTES_MAX);
  int32_t rc = bench_open(&bench, session, sync, error);
  if (rc == DRAY_OK) rc = drop_all(&bench, &state, out_json, error);
  bench_close(&bench);
  dray_buffer_free(&state);
  return rc;
}

int32_t dr_state_rebuild(struct dr_session *session, const struct dr_sync *sync, uint64_t *out_rows,
                         struct dray_error *error) {
  if (sync->object != NULL) {
    return dray_fail(
        error, DRAY_E_CONFIG_VALUE,
        "a destination cannot be read back: use `dray state baseline` when it is known to hold the model's "
        "rows, or `dray state reset` to send everything");
  }
  struct bench bench;
  struct dr_ingest ingest;
  memset(&ingest, 0, sizeof(ingest));
  int32_t rc = bench_open(&bench, session, sync, error);
  if (rc == DRAY_OK) rc = dr_ingest_open(&bench.run, &ingest, error);
  if (rc == DRAY_OK) dr_reader_finish(bench.run.reader);
  if (rc == DRAY_OK) rc = dr_ingest_check_place(&bench.run, &ingest, error);
  if (rc == DRAY_OK) rc = dr_ingest_rebuild(&bench.run, &ingest, error);
  if (rc == DRAY_OK) {
    struct dr_mirror_info info;
    dr_mirror_info(bench.run.mirror, &info);
    *out_rows = info.rows;
  }
  dr_ingest_close(&ingest);
  bench_close(&bench);
  return rc;
}
