// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Ingest, window by window: a full read is one window, an incremental one is cut at the source's safe places.
#include "sync/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "sync/loading.h"
#include "sync/noting.h"

#define PAGE_ROWS 16384
#define PAGE_BYTES (4u << 20)
#define STATE_BYTES_MAX (1u << 20)

static int write_mode(int mode) {
  switch (mode) {
  case DR_MODE_APPEND:
    return DR_WRITE_APPEND;
  case DR_MODE_REPLACE:
    return DR_WRITE_REPLACE;
  case DR_MODE_HISTORY:
    return DR_WRITE_HISTORY;
  default:
    return DR_WRITE_UPSERT;
  }
}

int32_t dr_ingest_plan(struct dr_ingest *ingest, struct dray_error *error) {
  dr_table_plan_free(&ingest->plan);
  memset(&ingest->plan, 0, sizeof(ingest->plan));
  return dr_table_plan(ingest->warehouse, &ingest->table, &ingest->plan, error);
}

int dr_ingest_is_keyed(const struct dr_ingest *ingest) {
  return ingest->table.mode == DR_WRITE_UPSERT || ingest->table.mode == DR_WRITE_HISTORY;
}

// Versions of a history begin when the column says that the sync names; it has to be a time, and to be written.
static int32_t choose_time(const struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const struct dr_schema *schema = ingest->table.schema;
  const char *name = run->sync->valid_from;
  size_t i = 0;
  if (name == NULL) return DRAY_OK;
  while (i < schema->field_count && strcmp(run->mapping.source_columns[i], name) != 0) i++;
  if (i == schema->field_count || ingest->plan.drop_column[i]) {
    return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, name,
                           "`valid_from` names the column '%s', which is not among the columns that are written", name);
  }
  const int type = schema->fields[i].type.id;
  if (type != DRAY_TYPE_TIMESTAMP && type != DRAY_TYPE_DATE) {
    char text[32];
    return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, name,
                           "`valid_from` names the column '%s', which is %s: it must be a timestamp or a date", name,
                           dray_type_format(schema->fields[i].type, text, sizeof(text)));
  }
  ingest->table.valid_from = schema->fields[i].name;
  return DRAY_OK;
}

// What drift keeps out of the table. Under discard_value the mapping goes without it, and so does the mirror: when the
// column is accepted one day, every row with a value in it is sent. Under discard_row the rows that have one stay out.
static int32_t heed_drift(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const struct dr_schema *schema = run->mapping.schema;
  const char **names = dr_arena_alloc(&run->arena, (schema->field_count + 1) * sizeof(*names));
  uint8_t *refused = dr_arena_alloc(&run->arena, schema->field_count + 1);
  if (names == NULL || refused == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a plan");
  size_t count = 0;
  for (size_t i = 0; i < schema->field_count; i++) {
    refused[i] = ingest->plan.drop_column[i];
    if (!refused[i]) continue;
    names[count] = dr_arena_str(&run->arena, dray_str_of(schema->fields[i].name));
    if (names[count++] == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a plan");
  }
  if (count == 0) return DRAY_OK;
  if (ingest->plan.discard_rows) {
    run->refused_columns = refused;
    return DRAY_OK;
  }
  DRAY_TRY(dr_context_leave_out(run, names, count, error));
  ingest->table.schema = run->mapping.schema;
  ingest->table.key = run->mapping.key;
  return dr_ingest_plan(ingest, error);
}

// What the table does not take, for as long as the mapping stays: plans are made anew between windows.
static int32_t heed_limits(struct dr_context *run, const struct dr_ingest *ingest, struct dray_error *error) {
  const size_t count = ingest->plan.limit_count;
  if (count == 0) return DRAY_OK;
  struct dr_value_limit *limits = dr_arena_alloc(&run->arena, count * sizeof(*limits));
  if (limits == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a plan");
  memcpy(limits, ingest->plan.limits, count * sizeof(*limits));
  run->limits = limits;
  run->limit_count = count;
  return DRAY_OK;
}

static int32_t choose_key(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  ingest->table.key = run->mapping.key;
  ingest->table.key_count = run->mapping.key_count;
  if (!dr_ingest_is_keyed(ingest) || run->mapping.key_count > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_KEY,
                   "%s has no primary key: declare `key:` in the sync, or choose `mode: append` or `replace`",
                   run->sync->stream != NULL ? run->sync->stream : "the model");
}

struct dr_table_options dr_ingest_table(const struct dr_project *project, const struct dr_sync *sync) {
  return (struct dr_table_options){
      .name = {sync->schema, dr_context_table(project, sync)},
      .mode = write_mode(sync->mode),
      .soft_delete = sync->soft_delete,
      .drift = {sync->drift_table, sync->drift_column, sync->drift_type},
      .sync = sync->name,
  };
}

int32_t dr_ingest_place(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const struct dr_sync *sync = run->sync;
  memset(ingest, 0, sizeof(*ingest));
  dray_buffer_init(&ingest->state.checkpoint, STATE_BYTES_MAX);
  DRAY_TRY(dr_session_warehouse(run->session, sync->to_connection, &ingest->warehouse, &ingest->instance, error));
  ingest->table = dr_ingest_table(dr_session_project(run->session), sync);
  return DRAY_OK;
}

static int32_t tell_own_ddl(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  struct dray_buffer text;
  if (!dr_planning(run)) return DRAY_OK;
  dray_buffer_init(&text, STATE_BYTES_MAX);
  int32_t rc = dr_table_state_ddl(ingest->warehouse, &ingest->table, &text, error);
  if (rc == DRAY_OK && text.len > 0) {
    run->report->own_ddl = dray_str_dup(dray_buffer_view(&text));
    if (run->report->own_ddl == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
  }
  dray_buffer_free(&text);
  return rc;
}

int32_t dr_ingest_tell_staging(struct dr_context *run, const struct dr_ingest *ingest, int if_changed,
                               struct dray_error *error) {
  if (run->report->staging.count > 0) return DRAY_OK; // of an earlier window
  run->report->staging_if_changed = if_changed;
  return dr_table_staging(ingest->warehouse, &ingest->table, &ingest->plan, &run->report->staging, error);
}

static int32_t tell_ddl(struct dr_context *run, const struct dr_ingest *ingest, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  for (size_t i = 0; i < report->ddl_count; i++) free(report->ddl[i]);
  free(report->ddl);
  report->ddl_count = 0;
  report->ddl = calloc(ingest->plan.ddl_count + 1, sizeof(*report->ddl));
  if (report->ddl == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
  for (size_t i = 0; i < ingest->plan.ddl_count; i++) {
    report->ddl[i] = dray_str_dup(dray_str_of(ingest->plan.ddl[i]));
    if (report->ddl[i] == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
    report->ddl_count++;
  }
  return DRAY_OK;
}

int32_t dr_ingest_read(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const struct dr_sync *sync = run->sync;
  // What is gone shows only where everything is read.
  const int full = sync->mode == DR_MODE_MIRROR || sync->mode == DR_MODE_REPLACE;
  const int follow = dr_ingest_is_keyed(ingest) && sync->valid_from == NULL; // tombstones go through the mirror
  dr_reader_close(run->reader);
  run->reader = NULL;
  if (run->mapping.schema != NULL) dr_mapping_free(&run->mapping);
  run->refused_columns = NULL;
  run->limit_count = 0;
  DRAY_TRY(dr_context_read(run, dray_buffer_view(&ingest->state.checkpoint), full, follow, NULL, error));
  ingest->table.schema = run->mapping.schema;
  DRAY_TRY(choose_key(run, ingest, error));
  DRAY_TRY(dr_ingest_plan(ingest, error));
  DRAY_TRY(heed_drift(run, ingest, error));
  DRAY_TRY(heed_limits(run, ingest, error));
  DRAY_TRY(choose_time(run, ingest, error));
  ingest->first = !ingest->plan.table_exists || ingest->empty;
  return tell_ddl(run, ingest, error);
}

int32_t dr_ingest_open(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  run->report->ingest = 1;
  DRAY_TRY(dr_ingest_place(run, ingest, error));
  DRAY_TRY(dr_ingest_alone(run->session, run->sync, ingest->warehouse, error));
  DRAY_TRY(dr_table_state_read(ingest->warehouse, &ingest->table, &ingest->state, error));
  DRAY_TRY(dr_ingest_believe(run, ingest, error));
  DRAY_TRY(dr_ingest_read(run, ingest, error));
  return tell_own_ddl(run, ingest, error);
}

void dr_ingest_close(struct dr_ingest *ingest) {
  dr_table_plan_free(&ingest->plan);
  dray_buffer_free(&ingest->state.checkpoint);
}

// ---- committing a window ----

int dr_ingest_same_checkpoint(const struct dr_ingest *ingest, struct dray_str checkpoint) {
  return dray_str_equal(dray_buffer_view(&ingest->state.checkpoint), checkpoint);
}

int32_t dr_ingest_remember(struct dr_context *run, struct dr_ingest *ingest, uint64_t generation,
                           struct dray_str checkpoint, struct dray_error *error) {
  if (!dr_ingest_same_checkpoint(ingest, checkpoint)) {
    dray_buffer_clear(&ingest->state.checkpoint);
    DRAY_TRY(dray_buffer_append(&ingest->state.checkpoint, checkpoint.data, (size_t)checkpoint.len, error));
  }
  ingest->state.generation = generation;
  run->state.generation = generation;
  run->report->generation = generation;
  dray_buffer_clear(&run->state.checkpoint);
  DRAY_TRY(dray_buffer_append(&run->state.checkpoint, checkpoint.data, (size_t)checkpoint.len, error));
  return dr_store_sync_put(run->store, run->sync->name, &run->state, error);
}

// Where new rows lack something, what is given to the writer is acknowledged here, and those are not.
static int32_t note_whole(struct dr_context *run, struct dr_changes *changes, struct dray_error *error) {
  uint8_t acked[PAGE_ROWS];
  (void)dr_rows_skip_lacking(run, changes);
  for (size_t i = 0; i < changes->count; i++) acked[i] = changes->op[i] != DR_OP_REJECT;
  return dr_mirror_ack(run->mirror, changes, acked, error);
}

// Gives the writer the first `count` changes of the set, page by page.
static int32_t load_changes(struct dr_context *run, struct dr_table_writer *writer, const struct dr_pass *pass,
                            uint64_t count, struct dray_error *error) {
  for (uint64_t seq = 0; seq < count;) {
    struct dr_changes *changes = NULL;
    DRAY_TRY(dr_cancel_check(error));
    const uint64_t rows = count - seq < PAGE_ROWS ? count - seq : PAGE_ROWS;
    DRAY_TRY(dr_changeset_next(pass->set, seq, rows, PAGE_BYTES, 0, &changes, error));
    if (changes == NULL) return DRAY_OK;
    seq = changes->first_seq + changes->count;
    int32_t rc = DRAY_OK;
    if (changes->op[0] != DR_OP_REJECT) {
      if (pass->lacking > 0) rc = note_whole(run, changes, error);
      if (rc == DRAY_OK) rc = dr_table_writer_changes(writer, changes, error);
      atomic_fetch_add_explicit(&dr_board()->applied, changes->count, memory_order_relaxed);
      dr_board_beat();
    }
    dr_changes_free(changes);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

// What was loaded while it was read, if that is what the pass found; else the changes are loaded now.
static int32_t load_window(struct dr_context *run, struct dr_ingest *ingest, const struct dr_pass *pass, uint64_t count,
                           struct dr_table_writer **writer, struct dray_error *error) {
  const int baseline = (run->options->flags & DR_RUN_BASELINE) != 0;
  *writer = dr_loading_end(run->loading, pass->plain ? pass->inserts : DR_LOADING_NONE);
  run->loading = NULL;
  if (*writer != NULL) return DRAY_OK;
  DRAY_TRY(
      dr_table_writer_begin(ingest->warehouse, &ingest->table, &ingest->plan, ingest->state.generation, writer, error));
  return baseline ? DRAY_OK : load_changes(run, *writer, pass, count, error);
}

// Into the table, all but its commit.
static int32_t write_changes(struct dr_context *run, struct dr_ingest *ingest, const struct dr_pass *pass,
                             uint64_t count, struct dray_str checkpoint, struct dr_table_writer **writer,
                             uint64_t *out_written, struct dray_error *error) {
  DRAY_TRY(load_window(run, ingest, pass, count, writer, error));
  return dr_table_writer_merge(*writer, ingest->state.generation + 1, checkpoint, out_written, error);
}

// One transaction: data, state row; around it the mirror's prepare and commit. What fails between the two leaves the
// mirror's proposal: the next run settles it by the warehouse's generation.
static int32_t commit_both(struct dr_context *run, struct dr_ingest *ingest, struct dr_table_writer *writer,
                           uint64_t written, struct dray_error *error) {
  const uint64_t next = ingest->state.generation + 1;
  (void)dr_fault_point("sync.merged");
  DRAY_TRY(dr_mirror_prepare(run->mirror, next, error));
  DRAY_TRY(dr_context_state(run, DR_RUN_COMMITTING, "committing", error));
  DRAY_TRY(dr_table_writer_commit(writer, error));
  (void)dr_fault_point("sync.warehouse_committed");
  run->report->applied += written;
  DRAY_TRY(dr_mirror_commit(run->mirror, next, error));
  (void)dr_fault_point("sync.mirror_committed");
  return DRAY_OK;
}

// Beside the load its changes are acknowledged in the mirror; beside what is left of it, the commits above all, the
// mirror is merged.
static int32_t commit_window(struct dr_context *run, struct dr_ingest *ingest, struct dr_pass *pass,
                             struct dray_str checkpoint, struct dray_error *error) {
  const uint64_t count = dr_changeset_count(pass->set) - pass->withheld; // deletes are the last of a set
  // A window that more rows will follow is not merged: what they acknowledge would make it void.
  const int last = pass->ended || dr_reader_drained(run->reader);
  struct dr_table_writer *writer = NULL;
  struct dr_noting *noting = NULL;
  uint64_t written = 0;
  DRAY_TRY(dr_context_state(run, DR_RUN_APPLYING, "applying", error));
  if (count > 0 && pass->lacking == 0) DRAY_TRY(dr_noting_start(run->mirror, pass, count, last, &noting, error));
  int32_t rc = write_changes(run, ingest, pass, count, checkpoint, &writer, &written, error);
  rc = dr_noting_acked(noting, rc, error);
  if (rc == DRAY_OK) {
    run->report->sent += pass->inserts + pass->updates + pass->deletes - pass->withheld;
    run->promised |= !dr_ingest_same_checkpoint(ingest, checkpoint);
    rc = commit_both(run, ingest, writer, written, error);
  }
  dr_table_writer_free(writer);
  dr_noting_end(noting, rc);
  if (rc != DRAY_OK) return rc;
  return dr_ingest_remember(run, ingest, ingest->state.generation + 1, checkpoint, error);
}

static struct dray_str checkpoint_of(const struct dr_ingest *ingest, const struct dr_pass *pass) {
  return pass->state != NULL ? dray_str_make(pass->state, pass->state_bytes)
                             : dray_buffer_view(&ingest->state.checkpoint);
}

// Into a new table rows go straight, and its key is made of them all at once; whatever comes after the first commit is
// staged and merged, which costs twice as much. So a first load is cut by time alone, unless the config says otherwise.
static uint64_t window_rows(const struct dr_context *run, const struct dr_ingest *ingest) {
  const int into_new = ingest->state.generation == 0 && !ingest->plan.table_exists;
  return into_new && !run->sync->commit_rows_given ? UINT64_MAX : run->sync->commit_rows;
}

// What has to be written is: changes, a table that is new, a checkpoint that moved.
static int32_t write_window(struct dr_context *run, struct dr_ingest *ingest, struct dr_pass *pass,
                            struct dray_error *error) {
  const struct dray_str checkpoint = checkpoint_of(ingest, pass);
  const uint64_t changes = pass->inserts + pass->updates + pass->deletes - pass->withheld;
  const int first = ingest->state.generation == 0 || ingest->plan.ddl_count > 0;
  DRAY_TRY(dr_guard_and_samples(run, pass, error));
  if (changes == 0 && !first && dr_ingest_same_checkpoint(ingest, checkpoint)) return DRAY_OK;
  if (dr_planning(run)) return dr_ingest_tell_staging(run, ingest, 0, error);
  DRAY_TRY(commit_window(run, ingest, pass, checkpoint, error));
  return ingest->plan.ddl_count > 0 ? dr_ingest_plan(ingest, error) : DRAY_OK; // the DDL has run
}

// Whether all is read before anything is compared: what is gone shows only then. Of the first read of a log of changes
// nothing can be gone, and a long one that breaks off goes on from its last safe place.
static int reads_whole(const struct dr_context *run, const struct dr_ingest *ingest) {
  return dr_reader_whole(run->reader) && !(ingest->first && dr_reader_incremental(run->reader));
}

static int32_t read_window(struct dr_context *run, struct dr_ingest *ingest, struct dr_pass *pass,
                           struct dray_error *error) {
  const int whole = reads_whole(run, ingest);
  const int removes = run->sync->mode == DR_MODE_MIRROR || run->sync->mode == DR_MODE_HISTORY;
  uint32_t flags = DR_DIFF_PASSING | (removes && whole ? DR_DIFF_FULL : 0);
  if ((run->options->flags & DR_RUN_FULL) != 0) flags |= DR_DIFF_RESYNC;
  DRAY_TRY(dr_context_state(run, DR_RUN_READING, "reading", error));
  dr_rows_window(run, dray_buffer_view(&ingest->state.checkpoint));
  DRAY_TRY(dr_loading_new(run, ingest, &run->loading, error));
  const struct dr_pass_bounds bounds = {window_rows(run, ingest), run->sync->commit_after_ms};
  return dr_pass_run(run, flags, whole || dr_planning(run) ? NULL : &bounds, pass, error);
}

static int32_t one_window(struct dr_context *run, struct dr_ingest *ingest, int *out_ended, struct dray_error *error) {
  struct dr_pass pass = {0};
  const int64_t start = dr_monotonic_ms();
  run->absent_seen = 0;
  int32_t rc = read_window(run, ingest, &pass, error);
  if (rc == DRAY_OK) rc = dr_rows_lacking(run, &pass, error);
  const int64_t read = dr_monotonic_ms();
  if (rc == DRAY_OK) {
    run->report->read_ms += read - start;
    rc = write_window(run, ingest, &pass, error);
    run->report->apply_ms += dr_monotonic_ms() - read;
  }
  (void)dr_loading_end(run->loading, DR_LOADING_NONE); // where it came to no commit
  run->loading = NULL;
  *out_ended = pass.ended;
  if (rc == DRAY_OK && pass.broken.code != DRAY_OK) {
    rc = pass.broken.code;
    if (error != NULL) *error = pass.broken;
  }
  dr_pass_close(&pass, 1);
  return rc;
}

// ---- the run ----

static int32_t ingest_keyed(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  DRAY_TRY(dr_ingest_trust(run, ingest, error));
  if (!dr_planning(run)) DRAY_TRY(dr_pass_sweep(run, error));
  int ended = 0;
  while (!ended) DRAY_TRY(one_window(run, ingest, &ended, error));
  if (dr_planning(run)) return DRAY_OK;
  return dr_mirror_compact(run->mirror, error);
}

// A checkpoint and a mirror belong to one table. The same names in another database are another table: what it holds is
// read from it, like that of a mirror that is lost. Its generation alone does not tell the two apart, since each counts
// from one. A plan does it as well: the mirror is of no use to either.
int32_t dr_ingest_check_place(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  char names[DR_IDENTITY_BYTES];
  const struct dr_connection *to = &dr_session_project(run->session)->connections[run->sync->to_connection];
  struct dr_identity_part settings;
  (void)snprintf(names, sizeof(names), "%s/%s/%s.%s", to->plugin, to->name,
                 ingest->table.name.schema != NULL ? ingest->table.name.schema : "", ingest->table.name.table);
  DRAY_TRY(dr_identity_connection(run, DR_ROLE_WAREHOUSE, &settings, error));
  DRAY_TRY(dr_identity_decide(run, names, &settings, 1, &ingest->identity, error));
  if (ingest->identity.moved) {
    dr_log(DRAY_LOG_WARN, run->sync->name,
           "the mirror was made where there was %s, and now there is %s: it is given up", ingest->identity.was,
           ingest->identity.is);
    DRAY_TRY(dr_mirror_reset(run->mirror_folder, error));
  }
  return dr_identity_keep(run, &ingest->identity, error);
}

// Rows that say since when they are as they are come one by one and in any order; the mirror, which knows one row a
// key, would keep all but one of those that come together. Only what a full read no longer shows is found by it.
static int goes_through_the_mirror(const struct dr_context *run, const struct dr_ingest *ingest) {
  return dr_ingest_is_keyed(ingest) && (ingest->table.valid_from == NULL || !dr_reader_incremental(run->reader));
}

int32_t dr_ingest(struct dr_context *run, struct dray_error *error) {
  struct dr_ingest ingest;
  int32_t rc = dr_ingest_open(run, &ingest, error);
  if (rc == DRAY_OK) rc = dr_ingest_check_place(run, &ingest, error);
  if (rc == DRAY_OK) rc = dr_ingest_is_known(run, &ingest, error);
  if (rc == DRAY_OK) {
    rc = goes_through_the_mirror(run, &ingest) ? ingest_keyed(run, &ingest, error)
                                               : dr_ingest_direct(run, &ingest, error);
  }
  if (rc != DRAY_OK && !run->promised) dr_reader_abandon(run->session, run->sync, run->reader);
  run->report->generation = ingest.state.generation;
  dr_ingest_close(&ingest);
  dr_ingest_leave_no_trace(run);
  return rc;
}
