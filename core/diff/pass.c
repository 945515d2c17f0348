// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A pass from its beginning to its end: what it is made of, its change set as a file, its states.
#include "diff/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "diff/beside.h"
#include "diff/worker.h"

// A change set is read once or twice, from its start to its end, and does not live long.
#define CHANGES_LEVEL (-20)
#define CHANGES_BLOCK_BYTES (64u << 10)
// Rows that wait for their records where there is nothing to wait for: of the cache of one core a part.
#define RECORDS_BYTES (256u << 10)

// ---- beginning ----

// The unfinished change set lies beside the finished one, under a name that the next pass of this mirror finds again.
static int32_t name_temporary(struct dr_diff *diff, struct dray_error *error) {
  struct stat info;
  const char *slash = strrchr(diff->path, '/');
  const size_t folder = slash != NULL ? (size_t)(slash - diff->path) + 1 : 0;
  if (stat(diff->mirror->folder, &info) != 0) return dr_fail_errno(error, "look at", diff->mirror->folder);
  diff->temporary = malloc(folder + 64);
  if (diff->temporary == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  memcpy(diff->temporary, diff->path, folder);
  (void)snprintf(diff->temporary + folder, 64, ".pass-%" PRIx64 "-%" PRIx64 ".tmp", (uint64_t)info.st_dev,
                 (uint64_t)info.st_ino);
  return DRAY_OK;
}

static int32_t open_temporary(struct dr_diff *diff, struct dray_error *error) {
  DRAY_TRY(name_temporary(diff, error));
  diff->fd = open(diff->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (diff->fd < 0) return dr_fail_errno(error, "create", diff->temporary);
  diff->created = 1;
  dr_out_init(&diff->out, diff->fd, diff->temporary);
  diff->out.packer.level = diff->mirror->scratch ? DR_LEVEL_NONE : CHANGES_LEVEL;
  diff->out.to_be_synced = !diff->passing;
  diff->records.block_bytes = CHANGES_BLOCK_BYTES;
  return dr_out_header(&diff->out, DR_MAGIC_CHANGES, &diff->mirror->info, error);
}

static int32_t make_scratch(struct dr_diff *diff, struct dray_error *error) {
  const size_t fields = diff->mirror->slots.schema->field_count;
  diff->stride = dr_changed_stride(fields);
  diff->changed = calloc(diff->stride + 1, 1);
  diff->absent = calloc(diff->stride + 1, 1);
  diff->slices = calloc(fields + 1, sizeof *diff->slices);
  diff->old_slices = calloc(fields + 1, sizeof *diff->old_slices);
  diff->columns = calloc(fields + 1, sizeof *diff->columns);
  diff->counts.column_updates = calloc(fields + 1, sizeof *diff->counts.column_updates);
  diff->wait.marks = calloc((size_t)(diff->wait.mark_mask + 1) / 8, 1);
  if (diff->changed == NULL || diff->absent == NULL || diff->slices == NULL || diff->old_slices == NULL ||
      diff->columns == NULL || diff->counts.column_updates == NULL || diff->wait.marks == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a pass over %zu columns", fields);
  }
  return DRAY_OK;
}

static int32_t set_options(struct dr_diff *diff, const struct dr_diff_options *options, struct dray_error *error) {
  diff->full = (options->flags & DR_DIFF_FULL) != 0;
  diff->resync = (options->flags & DR_DIFF_RESYNC) != 0;
  diff->known = (options->flags & DR_DIFF_KNOWN) != 0;
  diff->unsaid = options->unsaid;
  diff->passing = (options->flags & DR_DIFF_PASSING) != 0 || diff->mirror->scratch;
  diff->duplicates = options->duplicates == 0 ? DR_DUPLICATES_REJECT : options->duplicates;
  diff->order_column = -1;
  if (options->order_column != NULL) {
    diff->order_column = dr_schema_find(diff->mirror->slots.schema, dray_str_of(options->order_column));
    if (diff->order_column < 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, options->order_column,
                             "the column %s that duplicates are ordered by is not in the rows", options->order_column);
    }
  }
  diff->path = dray_str_dup(dray_str_of(options->changeset_path));
  return diff->path != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
}

static uint64_t overlay_bytes(const struct dr_mirror *mirror) {
  return mirror->item_count * sizeof *mirror->items;
}

// The most that a filter may take beside the overlay.
static uint64_t filter_max(const struct dr_mirror *mirror) {
  const uint64_t most = mirror->memory_bytes / 8 * 7, overlay = overlay_bytes(mirror);
  return overlay < most ? most - overlay : 0;
}

// Whether there would be a filter if the overlay were merged into the base.
static int overlay_is_in_the_way(const struct dr_mirror *mirror) {
  const uint64_t bytes = dr_filter_bytes(dr_base_rows(mirror->base) + mirror->settled);
  return bytes > filter_max(mirror) && bytes <= mirror->memory_bytes / 8 * 7 && mirror->settled > 0;
}

static int32_t ready_mirror(struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_mirror_ready(mirror, error));
  return overlay_is_in_the_way(mirror) ? dr_mirror_rewrite(mirror, error) : DRAY_OK;
}

static int32_t make_filter(struct dr_diff *diff, struct dray_error *error) {
  const struct dr_mirror *mirror = diff->mirror;
  if (diff->resync) return DRAY_OK; // every row is written down
  // Of a row that is written down nowhere the mirror must know where it stands among copies.
  if (diff->order_column >= 0 && dr_mirror_keep(mirror) != DR_KEEP_ROW) return DRAY_OK;
  DRAY_TRY(dr_filter_make(&diff->filter, diff->mirror, filter_max(mirror), error));
  if (!dr_is_filtered(diff)) return DRAY_OK;
  diff->items_seen = calloc(mirror->settled / 8 + 1, 1);
  diff->items_plain = calloc(mirror->settled / 8 + 1, 1);
  if (diff->items_seen != NULL && diff->items_plain != NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for marks of %zu changes", mirror->settled);
}

// What overlay and filter leave. Sightings take a quarter of the budget, exceptions a sixteenth, rows that wait for
// their look-up half of the rest; those that wait for their records, those that are written and the
// mirror's rows beside them a sixth of it each. Where little is left all but what waits for a look-up take less.
static void share_memory(struct dr_diff *diff) {
  const struct dr_mirror *mirror = diff->mirror;
  const uint64_t used = diff->filter.bytes + overlay_bytes(mirror), least = mirror->memory_bytes / 64;
  const uint64_t left = used + least < mirror->memory_bytes ? mirror->memory_bytes - used : least;
  const int tight = left < dr_share(mirror, 2), keys_alone = dr_mirror_keep(mirror) == DR_KEEP_KEY;
  const uint64_t sighted = tight ? left / 8 : dr_share(mirror, 4), excepted = tight ? left / 16 : dr_share(mirror, 16);
  const uint64_t rest = tight ? left / 8 * 3 : left - sighted - excepted;
  const size_t words = diff->order_column >= 0 ? SIGHT_WORDS : SIGHT_WORDS - 1;
  dr_sorter_init(&diff->sightings, words, SIGHT_REF, 0, sighted, mirror->folder);
  dr_sorter_init(&diff->exceptions, EXCEPT_WORDS, EXCEPT_WHAT, 0, excepted, mirror->folder);
  diff->waiting_max = keys_alone || dr_base_rows(mirror->base) + mirror->settled == 0 ? rest / 32 : rest / 6;
  if (keys_alone && diff->waiting_max > RECORDS_BYTES) diff->waiting_max = RECORDS_BYTES;
  dr_wait_init(diff, keys_alone ? rest - 2 * diff->waiting_max : rest / 2);
}

// Reading old rows, which takes long where many rows changed, holds nobody up. Two windows are all that the budget has
// room for.
static int32_t write_window(void *diff, void *window, struct dray_error *error) {
  return dr_rest_write(diff, window, error);
}

int32_t dr_diff_begin(struct dr_mirror *mirror, const struct dr_diff_options *options, struct dr_diff **out,
                      struct dray_error *error) {
  DRAY_TRY(ready_mirror(mirror, error));
  struct dr_diff *diff = calloc(1, sizeof *diff);
  if (diff == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin a pass");
  diff->mirror = mirror;
  diff->fd = -1;
  mirror->busy = 1;
  dr_rows_out_init(&diff->records, &diff->out);
  dray_buffer_init(&diff->old, SIZE_MAX / 4);
  for (size_t i = 0; i < 2; i++) dray_buffer_init(&diff->windows[i].rows, DR_ROW_BYTES_MAX);
  diff->filling = diff->windows;
  dray_buffer_init(&diff->encoded, DR_ROW_BYTES_MAX);
  dray_buffer_init(&diff->merged, DR_ROW_BYTES_MAX);
  dray_buffer_init(&diff->before, DR_ROW_BYTES_MAX);
  int32_t rc = set_options(diff, options, error);
  if (rc == DRAY_OK) rc = make_filter(diff, error);
  share_memory(diff);
  if (rc == DRAY_OK) rc = make_scratch(diff, error);
  if (rc == DRAY_OK) rc = open_temporary(diff, error);
  if (rc == DRAY_OK && mirror->threads != 1) rc = dr_beside_start(write_window, diff, &diff->writer, error);
  if (rc == DRAY_OK && mirror->threads != 1) rc = dr_worker_start(diff, dr_share(mirror, 16), &diff->worker, error);
  if (rc != DRAY_OK) {
    dr_diff_free(diff);
    return rc;
  }
  *out = diff;
  return DRAY_OK;
}

void dr_diff_free(struct dr_diff *diff) {
  if (diff == NULL) return;
  (void)dr_worker_end(diff->worker, 1, NULL);
  (void)dr_beside_end(diff->writer, NULL);
  if (!diff->finished) diff->mirror->busy = 0;
  if (diff->fd >= 0) (void)close(diff->fd);
  if (diff->created) (void)unlink(diff->temporary);
  dr_rows_out_free(&diff->records);
  dr_out_free(&diff->out);
  dr_sorter_free(&diff->sightings);
  dr_sorter_free(&diff->exceptions);
  dray_buffer_free(&diff->old);
  for (size_t i = 0; i < 2; i++) {
    free(diff->windows[i].items);
    dray_buffer_free(&diff->windows[i].rows);
  }
  dray_buffer_free(&diff->encoded);
  dray_buffer_free(&diff->merged);
  dray_buffer_free(&diff->before);
  free(diff->counts.column_updates);
  dr_filter_free(&diff->filter);
  dr_wait_free(&diff->wait);
  free(diff->unseen[0].items);
  free(diff->unseen[1].items);
  free(diff->items_seen);
  free(diff->items_plain);
  dr_hashed_free(&diff->hashed);
  free(diff->skip);
  free(diff->taken);
  free(diff->rest);
  free(diff->changed);
  free(diff->absent);
  free(diff->slices);
  free(diff->old_slices);
  free(diff->columns);
  free(diff->path);
  free(diff->temporary);
  free(diff);
}

void dr_diff_not_full(struct dr_diff *diff) {
  diff->full = 0;
}

// ---- rows ----

static int32_t check_open(const struct dr_diff *diff, struct dray_error *error) {
  return diff->finished ? dray_fail(error, DRAY_E_INTERNAL, "a pass that ended or failed goes no further") : DRAY_OK;
}

// After a failure the pass is over: its file cannot be trusted to be whole. The mirror may be used, merged and closed
// from here on, so that nobody reads old rows any more.
static int32_t end_pass(struct dr_diff *diff, int32_t rc) {
  (void)dr_worker_end(diff->worker, 1, NULL);
  diff->worker = NULL;
  (void)dr_beside_end(diff->writer, NULL);
  diff->writer = NULL;
  dr_filter_free(&diff->filter);
  diff->finished = 1;
  diff->mirror->busy = 0;
  return rc;
}

static int32_t add(struct dr_diff *diff, struct dr_batch *batch, struct dray_error *error) {
  if (diff->worker != NULL) return dr_worker_add(diff->worker, batch, error);
  diff->hashed.batch = batch;
  int32_t rc = dr_hashed_make(&diff->hashed, diff->mirror, error);
  if (rc == DRAY_OK) rc = dr_diff_work(diff, &diff->hashed, error);
  dr_batch_free(batch);
  return rc;
}

int32_t dr_diff_add(struct dr_diff *diff, struct dr_batch *batch, struct dray_error *error) {
  int32_t rc = check_open(diff, error);
  if (rc == DRAY_OK && dr_batch_rows(batch) > 0) {
    rc = add(diff, batch, error);
    return rc == DRAY_OK ? rc : end_pass(diff, rc);
  }
  dr_batch_free(batch);
  return rc;
}

// ---- ending ----

static int32_t fault(const char *name, const struct dr_diff *diff, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, "write", diff->path);
}

// An empty set is not synced: there is nothing in it that could be lost.
static int32_t publish(struct dr_diff *diff, uint64_t changes, struct dray_error *error) {
  char *folder = dray_str_dup(dray_str_of(diff->path));
  if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to end a pass");
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder] = '\0';
  int32_t rc = fault("changeset.finish", diff, error);
  const int durable = changes > 0 && !diff->passing;
  if (rc == DRAY_OK && durable) rc = dr_fd_sync(diff->fd, diff->temporary, error);
  const int fd = diff->fd;
  diff->fd = -1;
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", diff->temporary);
  if (rc == DRAY_OK) rc = dr_rename(diff->temporary, diff->path, error);
  if (rc == DRAY_OK) diff->created = 0;
  if (rc == DRAY_OK && durable) rc = dr_folder_sync(slash != NULL ? folder : ".", error);
  if (rc == DRAY_OK) rc = fault("changeset.done", diff, error);
  free(folder);
  return rc;
}

// What the worker's thread freed libc keeps for that thread, of which there is none any more.
static void give_back_memory(void) {
#ifdef __GLIBC__
  (void)malloc_trim(0);
#endif
}

int32_t dr_diff_finish(struct dr_diff *diff, struct dr_diff_counts *out, struct dray_error *error) {
  struct dr_footer footer = {0};
  DRAY_TRY(check_open(diff, error));
  int32_t rc = dr_worker_end(diff->worker, 0, error);
  diff->worker = NULL;
  if (diff->wait.spills) give_back_memory(); // where there is little
  if (rc == DRAY_OK) rc = dr_wait_flush(diff, 1, error);
  if (rc == DRAY_OK) rc = dr_diff_prove(diff, error); // beside the last records
  const int32_t written = dr_beside_end(diff->writer, rc == DRAY_OK ? error : NULL);
  diff->writer = NULL;
  if (rc == DRAY_OK) rc = written;
  diff->counts.unchanged += diff->rest_unchanged;
  dr_wait_free(&diff->wait); // what is merged next takes as much
  if (rc == DRAY_OK) rc = dr_diff_settle(diff, &footer, error);
  if (rc == DRAY_OK) {
    footer.records = diff->records.count;
    footer.places_count = diff->records.places.len / 16;
    rc = dr_out_table(&diff->out, DR_BLOCK_PLACES, &diff->records.places, 16, &footer.places_offset, error);
  }
  if (rc == DRAY_OK) rc = dr_out_footer(&diff->out, &footer, error);
  if (rc == DRAY_OK) rc = publish(diff, footer.changes, error);
  if (rc == DRAY_OK) {
    diff->counts.spilled_bytes += diff->sightings.spilled_bytes + diff->exceptions.spilled_bytes;
    *out = diff->counts;
  }
  return end_pass(diff, rc);
}
