// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One pass: rows from the reader, mapped, compared with the mirror, changes on disk. Nothing is sent here.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/board.h"
#include "base/clock.h"
#include "base/file.h"
#include "sync/loading.h"
#include "sync/prefilter.h"

static int32_t keep_state(struct dr_pass *pass, struct dr_read_item *item) {
  if (item->state == NULL) return 0;
  free(pass->state);
  pass->state = item->state; // moved
  pass->state_bytes = item->state_bytes;
  item->state = NULL;
  return 1;
}

// Maps one pulled batch and gives it to the diff. Rows that cannot be mapped are recorded, not lost.
static int32_t add_item(struct dr_context *run, struct dr_diff *diff, struct dr_read_item *item, struct dr_pass *pass,
                        struct dray_error *error) {
  struct dr_batch *batch = NULL;
  struct dr_rejects rejects = {NULL, 0, 0};
  uint64_t gone = 0;
  int32_t rc = DRAY_OK;
  if (run->prefilter != NULL) rc = dr_prefilter_see(run->prefilter, run->reader, &item->array, &gone, error);
  if (rc == DRAY_OK) rc = dr_mapping_run(&run->mapping, &item->array, item->first_row, &batch, &rejects, error);
  if (rc == DRAY_OK && run->prefilter != NULL) {
    rc = dr_prefilter_mark(run->prefilter, item->first_row, &rejects, &batch, error);
  }
  if (rc == DRAY_OK) rc = dr_rows_refuse(run, 0, &batch, &rejects, error);
  if (rc == DRAY_OK && rejects.count > 0) rc = dr_rows_unreadable(run, &rejects, error);
  if (rc == DRAY_OK && dr_batch_rows(batch) > 0) {
    if (run->loading != NULL) dr_loading_add(run->loading, batch);
    rc = dr_diff_add(diff, batch, error);
    batch = NULL; // the diff's
  }
  pass->rows += item->rows - gone;
  pass->unreadable += rejects.count;
  dr_rejects_free(&rejects);
  dr_batch_free(batch);
  return rc;
}

// The next batch. A reading that breaks off behind a safe place ends the pass there: what was read since comes again.
static int32_t next_item(struct dr_context *run, const struct dr_pass_bounds *bounds, struct dr_pass *pass,
                         struct dr_read_item **out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dr_reader_next(run->reader, out, &why);
  if (rc == DRAY_OK) return DRAY_OK;
  if (bounds != NULL && pass->state != NULL && why.error_class != DRAY_CLASS_CANCELLED) {
    pass->broken = why;
    *out = NULL;
    return DRAY_OK;
  }
  if (error != NULL) *error = why;
  return rc;
}

static int is_over(const struct dr_pass_bounds *bounds, const struct dr_pass *pass, int64_t begun_ms) {
  if (bounds == NULL) return 0;
  return pass->rows >= bounds->rows_max || dr_monotonic_ms() - begun_ms >= bounds->duration_ms;
}

static int32_t read_rows(struct dr_context *run, struct dr_diff *diff, const struct dr_pass_bounds *bounds,
                         struct dr_pass *pass, struct dray_error *error) {
  const int64_t begun_ms = dr_monotonic_ms();
  for (;;) {
    struct dr_read_item *item = NULL;
    DRAY_TRY(next_item(run, bounds, pass, &item, error));
    if (item == NULL) {
      pass->ended = 1;
      dr_reader_finish(run->reader); // its connection may be the one that is written to next
      return DRAY_OK;
    }
    int32_t rc = DRAY_OK;
    if (item->rows > 0) rc = add_item(run, diff, item, pass, error);
    const int safe = rc == DRAY_OK && keep_state(pass, item);
    dr_read_item_free(item);
    if (rc != DRAY_OK) return rc;
    if (safe && is_over(bounds, pass, begun_ms)) return DRAY_OK;
  }
}

// Rows of a log are versions: the last one counts, whatever the sync says of rows that come twice.
static int duplicates_of(const struct dr_context *run) {
  return dr_reader_changes(run->reader) ? DR_DUPLICATES_LAST : run->sync->duplicates;
}

// How often each column changed. A mirror of keys alone cannot tell: then none is said to have.
static int32_t add_columns(struct dr_context *run, const struct dr_diff_counts *counts, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  const struct dr_schema *schema = run->mapping.schema;
  if (report->columns == NULL) {
    report->columns = calloc(schema->field_count + 1, sizeof(*report->columns));
    if (report->columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
    for (size_t i = 0; i < schema->field_count; i++) {
      report->columns[i].name = dray_str_dup(dray_str_of(schema->fields[i].name));
      if (report->columns[i].name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a report");
      report->columns[i].keeps_nulls = run->mapping.keeps_nulls[i];
      report->column_count = i + 1;
    }
  }
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  if (info.keep == DR_KEEP_KEY) return DRAY_OK;
  for (size_t i = 0; counts->column_updates != NULL && i < report->column_count; i++) {
    if (!dr_mapping_is_key(&run->mapping, report->columns[i].name))
      report->columns[i].count += counts->column_updates[i];
  }
  return DRAY_OK;
}

static int32_t add_counts(struct dr_context *run, const struct dr_diff_counts *counts, uint32_t diff_flags,
                          struct dr_pass *pass, struct dray_error *error) {
  struct dr_run_report *report = run->report;
  pass->inserts = counts->inserts;
  pass->updates = counts->updates;
  pass->deletes = counts->deletes;
  pass->plain = counts->duplicate_keys == 0 && counts->deferred == 0 && counts->updates == 0 && counts->deletes == 0;
  // A row that could not be read is not a row that is gone.
  const int whole = (diff_flags & DR_DIFF_FULL) != 0 || dr_prefilter_is_partial(run->prefilter);
  if (pass->unreadable > 0 && whole) pass->withheld = counts->deletes;
  report->deletes_withheld += pass->withheld;
  uint64_t hidden = 0; // unchanged as well
  if (dr_prefilter_is_partial(run->prefilter)) DRAY_TRY(dr_prefilter_hidden(run->prefilter, &hidden, error));
  pass->rows += hidden;
  pass->unchanged = counts->unchanged + hidden;
  report->rows_read += pass->rows;
  report->inserts += counts->inserts;
  report->updates += counts->updates;
  report->deletes += counts->deletes - pass->withheld;
  report->unchanged += pass->unchanged;
  report->null_keys += counts->null_keys;
  report->duplicate_keys += counts->duplicate_keys;
  report->duplicate_rows += counts->duplicate_rows;
  report->unreadable_rows += pass->unreadable;
  report->rejected_rows += pass->unreadable + counts->null_keys;
  if (duplicates_of(run) == DR_DUPLICATES_REJECT) report->rejected_rows += counts->duplicate_rows;
  report->deferred += counts->deferred;
  if (counts->deferred > 0) run->held_back = 1;
  report->spilled_bytes += counts->spilled_bytes;
  atomic_fetch_add_explicit(&dr_board()->changes, counts->inserts + counts->updates + counts->deletes,
                            memory_order_relaxed);
  return add_columns(run, counts, error);
}

static int32_t changeset_path(struct dr_context *run, char **out, struct dray_error *error) {
  // Numbered by run, since a batch in doubt keeps an earlier run's set alive.
  char name[64];
  (void)snprintf(name, sizeof(name), "run-%lld.changes", (long long)run->record.id);
  *out = dr_path_join(run->folder, name);
  return *out != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
}

// Which of several rows with one key is the last is told by the cursor, where the sync names one and it is mapped.
static const char *order_column(const struct dr_context *run) {
  const struct dr_mapping *mapping = &run->mapping;
  for (size_t i = 0; run->sync->cursor != NULL && i < mapping->schema->field_count; i++) {
    if (strcmp(mapping->source_columns[i], run->sync->cursor) == 0) return mapping->schema->fields[i].name;
  }
  return NULL;
}

int32_t dr_pass_run(struct dr_context *run, uint32_t diff_flags, const struct dr_pass_bounds *bounds,
                    struct dr_pass *out, struct dray_error *error) {
  struct dr_pass pass = {0};
  struct dr_diff *diff = NULL;
  struct dr_diff_counts counts;
  int32_t rc = changeset_path(run, &pass.path, error);
  if (run->pass_count++ == 0) {
    struct dr_mirror_info mirror;
    dr_mirror_info(run->mirror, &mirror);
    run->rows_known = mirror.rows;
  }
  if (rc != DRAY_OK) goto done;
  const struct dr_diff_options options = {
      .flags = diff_flags,
      .duplicates = duplicates_of(run),
      .order_column = dr_reader_changes(run->reader) ? NULL : order_column(run),
      .changeset_path = pass.path,
  };
  rc = dr_diff_begin(run->mirror, &options, &diff, error);
  if (rc == DRAY_OK) rc = read_rows(run, diff, bounds, &pass, error);
  if (run->loading != NULL) dr_loading_close(run->loading);
  if (rc == DRAY_OK) dr_board_phase("comparing");
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, &counts, error);
  if (rc == DRAY_OK) rc = add_counts(run, &counts, diff_flags, &pass, error);
  if (run->held_back) { // an incremental read must meet the deferred rows again
    free(pass.state);
    pass.state = NULL;
  }
  if (rc == DRAY_OK) rc = dr_changeset_open(pass.path, &pass.set, error);
  if (rc == DRAY_OK) rc = dr_rows_withheld(run, pass.set, error);
done:
  dr_diff_free(diff);
  if (rc != DRAY_OK) {
    dr_pass_close(&pass, 1);
    return rc;
  }
  *out = pass;
  return DRAY_OK;
}

void dr_pass_close(struct dr_pass *pass, int remove) {
  dr_changeset_close(pass->set);
  if (remove && pass->path != NULL) (void)unlink(pass->path);
  free(pass->path);
  free(pass->state);
  memset(pass, 0, sizeof(*pass));
}

// ---- change sets that are still needed ----

int32_t dr_pass_sweep(struct dr_context *run, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  DRAY_TRY(dr_store_batches_open(run->store, run->sync->name, &open, &count, error));
  DIR *folder = opendir(run->folder);
  for (struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL; entry = readdir(folder)) {
    const size_t len = strlen(entry->d_name);
    if (strncmp(entry->d_name, "run-", 4) != 0 || len < 8 || strcmp(entry->d_name + len - 8, ".changes") != 0) continue;
    int needed = 0;
    for (size_t i = 0; i < count; i++) needed |= strcmp(open[i].changeset, entry->d_name) == 0;
    if (needed) continue;
    char *path = dr_path_join(run->folder, entry->d_name);
    if (path != NULL) (void)unlink(path);
    free(path);
  }
  if (folder != NULL) (void)closedir(folder);
  free(open);
  return DRAY_OK;
}
