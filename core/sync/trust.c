// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Is the mirror the table's? Generations say so; when they do not agree, the table is right and the mirror
// is made anew from it.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/board.h"
#include "base/file.h"
#include "base/log.h"
#include "sync/ingest.h"

#define SQL_BYTES_MAX (1u << 20)

// The fields of the mapped schema that the table has already.
static int32_t live_schema(struct dr_context *run, struct dr_ingest *ingest, struct dr_schema **out, int *out_found,
                           struct dray_error *error) {
  const struct dr_schema *wanted = run->mapping.schema;
  struct ArrowSchema table;
  memset(&table, 0, sizeof(table));
  uint32_t found = 0;
  // Without schemas the host's name for the table carries the prefix; describe takes the name as core/warehouse
  // writes it.
  DRAY_TRY(dr_table_describe(ingest->warehouse, &ingest->table.name, &table, &found, error));
  *out_found = found != 0;
  if (!found) return DRAY_OK;
  struct dray_column_def *fields = calloc(wanted->field_count + 1, sizeof(*fields));
  int32_t rc = fields == NULL ? dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema") : DRAY_OK;
  size_t count = 0;
  for (size_t i = 0; rc == DRAY_OK && i < wanted->field_count; i++) {
    for (int64_t c = 0; c < table.n_children; c++) {
      if (strcmp(table.children[c]->name, wanted->fields[i].name) != 0) continue;
      fields[count++] = (struct dray_column_def){wanted->fields[i].name, wanted->fields[i].type, 1};
      break;
    }
  }
  if (rc == DRAY_OK && count == 0) {
    rc = dray_fail(error, DRAY_E_SCHEMA_DRIFT, "the table %s shares no column with the rows to be written",
                   ingest->table.name.table);
  }
  if (rc == DRAY_OK) rc = dr_schema_new(fields, count, out, error);
  free(fields);
  dray_schema_release(&table);
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
  int32_t rc = dr_sql_select(&ingest->warehouse->dialect, &options, &sql, error);
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
  const struct dr_diff_options options = {.flags = flags, .duplicates = DR_DUPLICATES_REJECT, .changeset_path = path};
  int32_t rc = live_schema(run, ingest, &live, &found, error);
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

int32_t dr_ingest_rebuild(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  dr_board_phase("rebuilding");
  dr_mirror_close(run->mirror);
  run->mirror = NULL;
  DRAY_TRY(dr_mirror_reset(run->mirror_folder, error));
  DRAY_TRY(dr_context_mirror(run, 1, error));
  char *path = NULL;
  struct dr_diff_counts counts;
  int32_t rc = compare_table(run, ingest, 0, &path, &counts, error);
  if (rc == DRAY_OK) rc = ack_all(run, path, error);
  if (rc == DRAY_OK) rc = dr_mirror_commit(run->mirror, ingest->state.generation, error);
  if (rc == DRAY_OK) run->report->rebuilt = 1;
  if (path != NULL) (void)unlink(path);
  free(path);
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

int32_t dr_ingest_verify(struct dr_context *run, struct dr_ingest *ingest, uint64_t *out_table_only,
                         uint64_t *out_mirror_only, uint64_t *out_differ, struct dray_error *error) {
  char *path = NULL;
  struct dr_diff_counts counts;
  int32_t rc = compare_table(run, ingest, DR_DIFF_FULL, &path, &counts, error);
  if (rc == DRAY_OK && run->options->samples_max > 0) rc = take_samples(run, path, &counts, error);
  if (path != NULL) (void)unlink(path);
  free(path);
  if (rc != DRAY_OK) return rc;
  *out_table_only = counts.inserts;
  *out_mirror_only = counts.deletes;
  *out_differ = counts.updates + counts.deferred; // among rows that were deferred at least one differs
  return DRAY_OK;
}

static int32_t rebuild_because(struct dr_context *run, struct dr_ingest *ingest, const char *why,
                               struct dray_error *error) {
  dr_log(DRAY_LOG_WARN, run->sync->name, "%s: the mirror is rebuilt from the table (generation %llu)", why,
         (unsigned long long)ingest->state.generation);
  return dr_ingest_rebuild(run, ingest, error);
}

int32_t dr_ingest_trust(struct dr_context *run, struct dr_ingest *ingest, struct dray_error *error) {
  const uint64_t table = ingest->state.generation;
  run->adopted =
      table == 0 && ingest->plan.table_exists; // somebody else's: what it holds is not ours to delete unasked
  if (!dr_mirror_exists(run->mirror_folder)) {
    if (table == 0 && !ingest->plan.table_exists) return dr_context_mirror(run, 1, error); // the first run
    return rebuild_because(run, ingest, "the table exists and there is no mirror", error);
  }
  DRAY_TRY(dr_context_mirror(run, 0, error));
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  if (info.prepared_generation != 0) {
    if (info.prepared_generation == table) return dr_mirror_commit(run->mirror, table, error);
    DRAY_TRY(dr_mirror_rollback(run->mirror, error));
  }
  const int gone = info.rows > 0 && !ingest->plan.table_exists;
  if (gone) return rebuild_because(run, ingest, "the table is not there", error);
  if (info.generation == table) return DRAY_OK;
  return rebuild_because(run, ingest, "the warehouse and the mirror are of different generations", error);
}
