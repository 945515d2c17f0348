// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Merging base and journal into a new base, in one sequential pass over both. The journal is sorted on the way, on disk
// when it is long. Until the head is replaced the old files are the mirror; afterwards the new ones are.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "diff/mirror.h"
#include "diff/sorter.h"
#include "dray/destination.h"

// Words of a sorted change. The place is complemented so that the latest change of a key comes first.
enum { WORD_HIGH, WORD_LOW, WORD_PLACE, WORD_ROW_HASH, WORD_META, WORD_COUNT };

struct rewrite {
  struct dr_mirror *mirror;
  struct dr_sorter changes;
  const uint64_t *words; // the current change, NULL at the end
  struct dray_str row;   // its row
  struct dr_base_out out;
  struct dray_str *slices;
  struct dray_buffer mapped;
};

void dr_mirror_sweep(const char *folder, uint64_t keep) {
  DIR *entries = opendir(folder);
  if (entries == NULL) return;
  for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    uint64_t number = 0;
    int used = 0;
    const char *name = entry->d_name;
    const int numbered = (sscanf(name, "base.%" SCNu64 "%n", &number, &used) == 1 ||
                          sscanf(name, "journal.%" SCNu64 "%n", &number, &used) == 1) &&
                         name[used] == '\0';
    const int stray = strncmp(name, "tmp.", 4) == 0 || strcmp(name, DR_HEAD_NAME ".new") == 0;
    if (stray || (numbered && number != keep)) (void)unlinkat(dirfd(entries), name, 0);
  }
  (void)closedir(entries);
}

static int32_t fault(const char *name, const char *path, struct dray_error *error) {
  const int number = dr_fault_point(name);
  if (number == 0) return DRAY_OK;
  errno = number;
  return dr_fail_errno(error, "write", path);
}

// ---- merging ----

static int32_t collect(void *ctx, const struct dr_frame *frame, struct dray_error *error) {
  struct rewrite *rewrite = ctx;
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_change_reader reader;
  struct dr_change change;
  size_t schema = 0;
  if (frame->kind != DR_FRAME_ACK) return DRAY_OK;
  if (!dr_change_reader_init(&reader, frame->body)) reader.left = 0;
  while (schema < mirror->schema_count && mirror->schemas[schema].id != reader.schema) schema++;
  if (schema == mirror->schema_count) {
    return dr_corrupt(error, mirror->journal->path, frame->offset, "changes of a schema that is not there");
  }
  while (reader.left > 0) {
    if (!dr_change_next(&reader, &change)) {
      return dr_corrupt(error, mirror->journal->path, frame->offset, "the changes do not fill their frame");
    }
    const uint64_t words[WORD_COUNT] = {change.high, change.low, ~(frame->body_offset + change.offset), change.row_hash,
                                        (uint64_t)schema << 8 | (uint64_t)change.op};
    DRAY_TRY(dr_sorter_add(&rewrite->changes, words, change.row, error));
  }
  return DRAY_OK;
}

static int32_t put_row(struct rewrite *rewrite, struct dr_entry entry, struct dray_str row, struct dr_rows_map *map,
                       struct dray_error *error) {
  if (!map->identical) {
    dray_buffer_clear(&rewrite->mapped);
    DRAY_TRY(dr_rows_remap(map, row, rewrite->slices, &rewrite->mapped, error));
    row = dray_buffer_view(&rewrite->mapped);
    entry.row_hash = dr_hash_bytes(row, rewrite->mirror->seed).low;
  }
  return dr_base_out_add(&rewrite->out, &entry, row, error);
}

// Writes the current change, then goes on to the next key.
static int32_t put_change(struct rewrite *rewrite, struct dray_error *error) {
  const struct dr_entry entry = {rewrite->words[WORD_HIGH], rewrite->words[WORD_LOW], rewrite->words[WORD_ROW_HASH]};
  const uint64_t meta = rewrite->words[WORD_META];
  if ((meta & 255) != DRAY_OP_DELETE) {
    DRAY_TRY(put_row(rewrite, entry, rewrite->row, &rewrite->mirror->schemas[meta >> 8].map, error));
  }
  do {
    DRAY_TRY(dr_sorter_next(&rewrite->changes, &rewrite->words, &rewrite->row, error));
  } while (rewrite->words != NULL && rewrite->words[WORD_HIGH] == entry.high && rewrite->words[WORD_LOW] == entry.low);
  return DRAY_OK;
}

static int32_t merge(struct rewrite *rewrite, struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  DRAY_TRY(dr_sorter_next(&rewrite->changes, &rewrite->words, &rewrite->row, error));
  for (uint64_t number = 0; number < dr_base_rows(mirror->base); number++) {
    struct dr_entry entry;
    struct dray_str row;
    DRAY_TRY(dr_base_entry(mirror->base, number, &entry, error));
    int overlaid = 0;
    while (rewrite->words != NULL && !overlaid) {
      const uint64_t high = rewrite->words[WORD_HIGH], low = rewrite->words[WORD_LOW];
      if (high > entry.high || (high == entry.high && low > entry.low)) break;
      overlaid = high == entry.high && low == entry.low;
      DRAY_TRY(put_change(rewrite, error));
    }
    if (overlaid) continue;
    DRAY_TRY(dr_base_row(mirror->base, number, &row, error));
    DRAY_TRY(put_row(rewrite, entry, row, &mirror->base_map, error));
  }
  while (rewrite->words != NULL) DRAY_TRY(put_change(rewrite, error));
  return DRAY_OK;
}

// ---- making the new files the mirror ----

// Ends the base, makes its journal and replaces the head. *out_replaced: whether that was tried.
static int32_t publish(struct dr_mirror *mirror, struct dr_base_out *out, struct dr_file_info *info, int *out_replaced,
                       struct dray_error *error) {
  struct dr_footer footer;
  struct dr_head head = {.number = info->number, .generation = info->generation, .seed_id = info->seed_id};
  DRAY_TRY(dr_base_out_end(out, &footer, &head.base_bytes, error));
  head.base_digest = info->twin = footer.digest;
  head.schema = dr_schema_fingerprint(info->schema);
  DRAY_TRY(dr_journal_create(mirror->folder, info, error));
  DRAY_TRY(dr_folder_sync(mirror->folder, error));
  DRAY_TRY(fault("mirror.compact.base", mirror->folder, error));
  *out_replaced = 1;
  DRAY_TRY(dr_head_replace(mirror->folder, &head, error));
  return fault("mirror.compact.head", mirror->folder, error);
}

static int32_t write_files(struct rewrite *rewrite, uint64_t number, int *out_replaced, struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_file_info info = mirror->info; // borrows its parts
  info.number = number;
  info.generation = mirror->generation;
  // No two bases have the same digest, though they hold the same rows: a journal never fits another mirror's base.
  if (getrandom(&info.twin, sizeof info.twin, 0) != (ssize_t)sizeof info.twin) info.twin = (uint64_t)dr_now_us();
  int32_t rc = dr_base_out_begin(&rewrite->out, mirror->folder, &info, error);
  if (rc == DRAY_OK && mirror->base != NULL) rc = merge(rewrite, error);
  if (rc == DRAY_OK) rc = publish(mirror, &rewrite->out, &info, out_replaced, error);
  dr_base_out_free(&rewrite->out);
  return rc;
}

int32_t dr_mirror_create(struct dr_mirror *mirror, struct dray_error *error) {
  struct rewrite rewrite = {.mirror = mirror};
  int replaced = 0;
  const int32_t rc = write_files(&rewrite, 1, &replaced, error);
  return rc;
}

static int32_t sort_journal(struct rewrite *rewrite, struct dray_error *error) {
  struct dr_mirror *mirror = rewrite->mirror;
  struct dr_journal_tail tail;
  DRAY_TRY(dr_journal_scan(mirror->journal, mirror->committed_end, collect, rewrite, &tail, error));
  if (tail.torn != 0)
    return dr_corrupt(error, mirror->journal->path, tail.torn, "a frame that was read before is damaged");
  return dr_sorter_sort(&rewrite->changes, error);
}

int32_t dr_mirror_rewrite(struct dr_mirror *mirror, struct dray_error *error) {
  struct rewrite rewrite = {.mirror = mirror};
  const uint64_t old = mirror->head.number;
  int replaced = 0;
  dray_buffer_init(&rewrite.mapped, DR_ROW_BYTES_MAX);
  dr_sorter_init(&rewrite.changes, WORD_COUNT, 3, 1, dr_share(mirror, 4), mirror->folder);
  rewrite.slices = calloc(dr_slots_count(&mirror->slots) + 1, sizeof *rewrite.slices);
  int32_t rc = DRAY_OK;
  if (rewrite.slices == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to merge the mirror");
  if (rc == DRAY_OK) rc = sort_journal(&rewrite, error);
  if (rc == DRAY_OK) rc = write_files(&rewrite, old + 1, &replaced, error);
  free(rewrite.slices);
  dray_buffer_free(&rewrite.mapped);
  dr_sorter_free(&rewrite.changes);
  if (rc != DRAY_OK && !replaced) { // nothing but waste was made
    dr_mirror_sweep(mirror->folder, old);
    return rc;
  }
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error); // either head may be the one that survives
  dr_mirror_unload(mirror);
  rc = dr_mirror_load(mirror, error);
  if (rc != DRAY_OK) return dr_mirror_break(mirror, rc, error);
  dr_mirror_sweep(mirror->folder, mirror->head.number);
  return DRAY_OK;
}
