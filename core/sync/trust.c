// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Is the mirror the table's? Generations say so; when they do not agree, the table is right and the mirror
// is made anew from it.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/board.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "sync/ingest.h"

#define SQL_BYTES_MAX (1u << 20)

#define RUNS_LOOKED_AT 1000

// ---- the checkpoint ----

static int32_t drop_checkpoint(struct dr_ingest *ingest, struct dray_error *error) {
  DRAY_TRY(dr_table_state_unread(ingest->warehouse, &ingest->table, error));
  dray_buffer_clear(&ingest->state.checkpoint);
  return DRAY_OK;
}

// In the warehouse first: where the table is made before its rows are committed, a kill must not leave it with the
// checkpoint of the one that was there before.
static int32_t forget_checkpoint(struct dr_context *run, struct dr_ingest *ingest, const char *why,
                                 struct dray_error *error) {
  dr_log(DRAY_LOG_WARN, run->sync->name, "%s: its checkpoint counts for nothing, all is read from the beginning", why);
  if (!dr_planning(run)) return drop_checkpoint(ingest, error);
  dray_buffer_clear(&ingest->state.checkpoint);
  return DRAY_OK;
}

// A source may have had no rows all the time. *out_ever: whether an earlier run wrote; `unknown`: none is on record.
static int32_t has_written(const struct dr_context *run, int unknown, int *out_ever, struct dray_error *error) {
  struct dr_run_record *runs = NULL;
  size_t count = 0, ended = 0;
  int wrote = 0;
  DRAY_TRY(dr_store_runs(run->store, run->sync->name, RUNS_LOOKED_AT, &runs, &count, error));
  for (size_t i = 0; i < count; i++) {
    ended += runs[i].ended_us != 0;
    wrote |= runs[i].applied > 0;
  }
  free(runs);
  *out_ever = ended > 0 ? wrote : unknown;
  return DRAY_OK;
}

static int32_t look_at_table(struct dr_ingest *ingest, int *out_found, struct dray_error *error) {
  struct ArrowSchema schema = {.release = NULL};
  uint32_t found = 0;
  int has_rows = 0;
  DRAY_TRY(dr_table_describe(ingest->warehouse, &ingest->table.name, &schema, &found, error));
  dray_schema_release(&schema);
  if (found != 0) DRAY_TRY(dr_table_has_rows(ingest->warehouse, &ingest->table.name, &has_rows, error));
  ingest->empty = found != 0 && !has_rows;
  *out_found = found != 0;
  return DRAY_OK;
}

int32_t dr_ingest_believe(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const int append = ingest->table.mode == DR_WRITE_APPEND;
  int found = 0, ever = 0;
  if (ingest->table.mode == DR_WRITE_REPLACE) return DRAY_OK; // reads all in any case
  if (ingest->state.generation == 0 && run->state.generation == 0) return DRAY_OK;
  DRAY_TRY(look_at_table(ingest, &found, error));
  if (ingest->state.checkpoint.len == 0) return DRAY_OK;
  if (!found) return forget_checkpoint(run, ingest, "the table is not there any more", error);
  // Of the others the mirror says whether there were rows.
  if (!ingest->empty || (!append && run->sync->valid_from == NULL)) return DRAY_OK;
  DRAY_TRY(has_written(run, !append, &ever, error));
  if (!ever) return DRAY_OK;
  if (!append) return forget_checkpoint(run, ingest, "the table is empty, though rows were written to it", error);
  dr_log(DRAY_LOG_WARN, run->sync->name,
         "the table is empty, though rows were appended to it: only what is new comes now; `dray state reset %s` has "
         "the next run read everything again",
         run->sync->name);
  return DRAY_OK;
}

int32_t dr_ingest_is_known(const struct dr_context *run, const struct dr_ingest *ingest, struct dray_error *error) {
  const uint64_t here = run->state.generation, there = ingest->state.generation;
  const int full = (run->options->flags & (DR_RUN_FULL | DR_RUN_BASELINE)) != 0;
  if (ingest->identity.moved || here <= there || ingest->table.mode == DR_WRITE_REPLACE || full) return DRAY_OK;
  if (there > 0) {
    dr_log(DRAY_LOG_WARN, run->sync->name,
           "the warehouse is of generation %llu and this project knew %llu: this run goes on from what the warehouse "
           "says",
           (unsigned long long)there, (unsigned long long)here);
    return DRAY_OK;
  }
  const int again = ingest->table.mode == DR_WRITE_APPEND && ingest->plan.table_exists && !ingest->empty;
  const int asked = !run->sync->guard.on || (run->options->flags & DR_RUN_ALLOW_GUARD) != 0;
  if (again && !asked) {
    return dray_fail(error, DRAY_E_GUARD,
                     "the warehouse has no state of this sync any more, and the table %s has rows: everything would be "
                     "read from the beginning and appended once more; nothing was changed",
                     ingest->table.name.table);
  }
  dr_log(DRAY_LOG_WARN, run->sync->name,
         "the warehouse has no state of this sync any more (this project knew generation %llu): all is read from the "
         "beginning",
         (unsigned long long)here);
  return DRAY_OK;
}

// ---- the mirror ----

// The fields of the mapped schema that the table has already. Where it is compared, not those of which rows are refused
// for now: what the table has there is of another type than what is read.
static int32_t live_schema(struct dr_context *run, struct dr_ingest *ingest, uint32_t flags, struct dr_schema **out,
                           int *out_found, struct dray_error *error) {
  const uint8_t *refused = (flags & DR_DIFF_KNOWN) != 0 ? run->refused_columns : NULL;
  const struct dr_schema *wanted = run->mapping.schema;
  uint8_t *has = calloc(wanted->field_count + 1, sizeof(*has));
  struct dray_column_def *fields = calloc(wanted->field_count + 1, sizeof(*fields));
  int32_t rc = has == NULL || fields == NULL
                   ? dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema")
                   : dr_table_fields(ingest->warehouse, &ingest->table, has, out_found, error);
  size_t count = 0;
  for (size_t i = 0; rc == DRAY_OK && i < wanted->field_count; i++) {
    if (!has[i] || (refused != NULL && refused[i])) continue;
    fields[count++] = (struct dray_column_def){wanted->fields[i].name, wanted->fields[i].type, 1};
  }
  if (rc == DRAY_OK && *out_found && count == 0) {
    rc = dray_fail(error, DRAY_E_SCHEMA_DRIFT, "the table %s shares no column with the rows to be written",
                   ingest->table.name.table);
  }
  if (rc == DRAY_OK && *out_found) rc = dr_schema_new(fields, count, out, error);
  free(fields);
  free(has);
  return rc;
}

// Streams the table's rows, as mapped rows, into a diff.
static int32_t feed_table(struct dr_context *run, struct dr_ingest *ingest, struct dr_schema *live,
                          struct dr_diff *diff, struct dray_error *error) {
  struct dr_table_options options = ingest->table;
  options.schema = live;
  struct dray_buffer sql;
  dray_buffer_init(&sql, SQL_BYTES_MAX);
  struct dray_stream stream;
  int open = 0;
  struct ArrowSchema schema;
  memset(&schema, 0, sizeof(schema));
  struct dr_caster *caster = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  const char *label = ingest->instance->label;
  int found = 0;
  int32_t rc = dr_table_select(ingest->warehouse, &options, &sql, &found, error);
  if (rc == DRAY_OK && !found) rc = dray_fail(error, DRAY_E_BUSY, "table %s was just removed", options.name.table);
  if (rc == DRAY_OK) {
    rc = dr_warehouse_query(ingest->instance, dray_buffer_view(&sql), DR_BATCH_BYTES_DEFAULT, DR_BATCH_ROWS_DEFAULT,
                            &stream, error);
    open = rc == DRAY_OK;
  }
  if (rc == DRAY_OK) rc = dr_stream_schema(&stream, label, &schema, error);
  if (rc == DRAY_OK) rc = dr_caster_new(&schema, run->mapping.schema, NULL, DR_CAST_REJECT_ROW, &caster, error);
  uint64_t row = 0;
  while (rc == DRAY_OK) {
    struct ArrowArray array;
    int64_t rows = 0;
    rc = dr_stream_next(&stream, label, &schema, &array, &rows, error);
    if (rc != DRAY_OK || rows == 0) break;
    struct dr_batch *batch = NULL;
    rc = dr_caster_run(caster, &array, row, &batch, &rejects, error);
    row += (uint64_t)rows;
    if (rc == DRAY_OK && dr_batch_rows(batch) > 0) {
      rc = dr_diff_add(diff, batch, error);
      batch = NULL; // the diff's
    }
    dr_batch_free(batch);
  }
  if (rc == DRAY_OK && rejects.count > 0) {
    // Such a row stays out of the mirror: the next pass sends it again, and the table holds it right.
    dr_log(DRAY_LOG_WARN, "rebuild", "%zu rows of the table do not read as their column's type and will be sent again",
           rejects.count);
  }
  dr_caster_free(caster);
  dr_rejects_free(&rejects);
  dray_schema_release(&schema);
  if (open) dr_stream_close(&stream, label);
  dray_buffer_free(&sql);
  return rc;
}

static int32_t ack_all(struct dr_context *run, const char *path, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  DRAY_TRY(dr_changeset_open(path, &set, error));
  const int32_t rc = dr_mirror_ack_all(run->mirror, set, dr_changeset_count(set), error);
  dr_changeset_close(set);
  return rc;
}

// Compares the table with the mirror as it is; the change set is left at *out_path.
static int32_t compare_table(struct dr_context *run, struct dr_ingest *ingest, uint32_t flags, char **out_path,
                             struct dr_diff_counts *counts, struct dray_error *error) {
  struct dr_schema *live = NULL;
  struct dr_diff *diff = NULL;
  int found = 0;
  char *path = dr_path_join(run->folder, "rebuild.changes");
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  const struct dr_diff_options options = {
      .flags = flags, .duplicates = DR_DUPLICATES_REJECT, .changeset_path = path, .unsaid = run->mapping.keeps_nulls};
  int32_t rc = live_schema(run, ingest, flags, &live, &found, error);
  if (rc == DRAY_OK) rc = dr_diff_begin(run->mirror, &options, &diff, error);
  if (rc == DRAY_OK && found) rc = feed_table(run, ingest, live, diff, error);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, counts, error);
  counts->column_updates = NULL; // belongs to the diff, which ends here
  dr_diff_free(diff);
  dr_schema_unref(live);
  if (rc == DRAY_OK) {
    *out_path = path;
  } else {
    (void)unlink(path);
    free(path);
  }
  return rc;
}

// As a run's last resort: what stays there is not believed either.
static void remove_mirror(struct dr_context *run) {
  struct dray_error why;
  dray_error_init(&why);
  dr_mirror_close(run->mirror);
  run->mirror = NULL;
  if (dr_mirror_reset(run->mirror_folder, &why) == DRAY_OK) return;
  dr_log(DRAY_LOG_WARN, run->sync->name, "what was made of a mirror is left behind: %s", why.text);
}

static int32_t rebuild(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  DRAY_TRY(dr_context_mirror(run, 1, error));
  char *path = NULL;
  struct dr_diff_counts counts;
  if (dr_fault_point("sync.rebuilding") != 0) return dr_fail_errno(error, "making a mirror at", "sync.rebuilding");
  int32_t rc = compare_table(run, ingest, 0, &path, &counts, error);
  if (rc == DRAY_OK) rc = ack_all(run, path, error);
  if (rc == DRAY_OK) rc = dr_mirror_commit(run->mirror, ingest->state.generation, error);
  if (path != NULL) (void)unlink(path);
  free(path);
  return rc;
}

// While it is made the mirror is of generation 0, and of one such dr_ingest_trust believes nothing: a kill leaves what
// the next run makes anew.
int32_t dr_ingest_rebuild(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  dr_board_phase("rebuilding");
  dr_mirror_close(run->mirror);
  run->mirror = NULL;
  // By `dray state rebuild`: from now on nothing tells any more that there were rows.
  if (ingest->empty && ingest->state.checkpoint.len > 0) DRAY_TRY(drop_checkpoint(ingest, error));
  DRAY_TRY(dr_mirror_reset(run->mirror_folder, error));
  const int32_t rc = rebuild(run, ingest, error);
  if (rc == DRAY_OK) {
    run->report->rebuilt = 1;
    return DRAY_OK;
  }
  remove_mirror(run);
  return rc;
}

// Some of the differences, into the report.
static int32_t take_samples(struct dr_context *run, const char *path, const struct dr_diff_counts *counts,
                            struct dray_error *error) {
  struct dr_pass pass = {.inserts = counts->inserts, .updates = counts->updates, .deletes = counts->deletes};
  DRAY_TRY(dr_changeset_open(path, &pass.set, error));
  const int32_t rc = dr_samples_take(run, &pass, error);
  dr_pass_close(&pass, 0);
  return rc;
}

int32_t dr_ingest_verify(struct dr_context *run, struct dr_ingest *ingest, struct dr_ingest_difference *out,
                         struct dray_error *error) {
  char *path = NULL;
  struct dr_diff_counts counts;
  int32_t rc = compare_table(run, ingest, DR_DIFF_FULL | DR_DIFF_KNOWN, &path, &counts, error);
  if (rc == DRAY_OK && run->options->samples_max > 0) rc = take_samples(run, path, &counts, error);
  if (path != NULL) (void)unlink(path);
  free(path);
  if (rc != DRAY_OK) return rc;
  *out = (struct dr_ingest_difference){
      .table_only = counts.inserts,
      .mirror_only = counts.deletes,
      .different = counts.updates + counts.deferred, // among rows that were deferred at least one differs
      .unknown = counts.unknown,
  };
  return DRAY_OK;
}

// A plan leaves no trace: what it has to make anew it makes beside the sync's own.
static int32_t step_aside(struct dr_context *run, struct dray_error *error) {
  if (!dr_planning(run) || run->aside) return DRAY_OK;
  char *folder = dr_path_join(run->folder, "mirror.plan");
  if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  free(run->mirror_folder);
  run->mirror_folder = folder;
  run->aside = 1;
  return DRAY_OK;
}

void dr_ingest_leave_no_trace(struct dr_context *run) {
  struct dr_mirror_info info;
  if (!run->aside) return;
  if (run->mirror != NULL) {
    dr_mirror_info(run->mirror, &info);
    run->report->mirror_rows = info.rows;
  }
  remove_mirror(run);
}

// A mirror without rows, made of a table without any, says nothing of what was read before the checkpoint: what comes
// since would be all that the table ever has. (Where the table is not there dr_ingest_believe has dropped it.)
static int32_t begin_anew(struct dr_context *run, struct dr_ingest *ingest, const char *why, struct dray_error *error) {
  if (!ingest->empty || ingest->state.checkpoint.len == 0) return DRAY_OK;
  dr_reader_finish(run->reader);
  dr_mirror_close(run->mirror); // is of the mapping that goes
  run->mirror = NULL;
  DRAY_TRY(forget_checkpoint(run, ingest, why, error));
  return dr_ingest_read(run, ingest, error);
}

static int32_t rebuild_because(struct dr_context *run, struct dr_ingest *ingest, const char *why,
                               struct dray_error *error) {
  DRAY_TRY(begin_anew(run, ingest, why, error));
  dr_log(DRAY_LOG_WARN, run->sync->name, "%s: the mirror is rebuilt from the table (generation %llu)", why,
         (unsigned long long)ingest->state.generation);
  DRAY_TRY(step_aside(run, error));
  return dr_ingest_rebuild(run, ingest, error);
}

// What is in doubt between the two is settled by the warehouse's generation.
static int32_t settle_prepared(struct dr_context *run, uint64_t table, struct dr_mirror_info *info,
                               struct dray_error *error) {
  dr_mirror_info(run->mirror, info);
  if (info->prepared_generation == 0) return DRAY_OK;
  DRAY_TRY(info->prepared_generation == table ? dr_mirror_commit(run->mirror, table, error)
                                              : dr_mirror_rollback(run->mirror, error));
  dr_mirror_info(run->mirror, info);
  return DRAY_OK;
}

int32_t dr_ingest_trust(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const uint64_t table = ingest->state.generation;
  const int exists = ingest->plan.table_exists;
  struct dr_mirror_info info;
  run->adopted = table == 0 && exists; // somebody else's: what it holds is not ours to delete unasked
  if (!dr_mirror_exists(run->mirror_folder)) {
    if (table == 0 && !exists) return dr_context_mirror(run, 1, error); // the first run
    return rebuild_because(run, ingest, "the table exists and there is no mirror", error);
  }
  // No generation says that such a table is still as a run before this saw it.
  if (table == 0 && exists) return rebuild_because(run, ingest, "no run has written to the table so far", error);
  DRAY_TRY(dr_context_mirror(run, 0, error));
  DRAY_TRY(settle_prepared(run, table, &info, error));
  if (info.rows > 0 && !exists) return rebuild_because(run, ingest, "the table is not there", error);
  if (info.rows > 0 && ingest->empty) {
    return rebuild_because(run, ingest, "the table is empty, and its mirror is not", error);
  }
  if (info.generation == table) return DRAY_OK;
  return rebuild_because(run, ingest, "the warehouse and the mirror are of different generations", error);
}
