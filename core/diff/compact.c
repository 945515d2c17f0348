// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Replacing base and journal by a new base. Until the head is replaced the old files are the mirror; afterwards the new
// ones are. So a base may be written before what it holds is committed: it is a file that no head names, and is taken,
// or written over, when the commit has come.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "diff/merge.h"

#define AHEAD_PART 16u // of the budget: for sorting beside a load, which has buffers of its own

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

// ---- making the new files the mirror ----

// Makes the journal of the base that `head` means and replaces the head. *out_replaced: whether that was tried. The
// generation of a base is the one at which it was begun, that of its journal is the mirror's.
static int32_t publish(struct dr_mirror *mirror, const struct dr_head *head, int *out_replaced,
                       struct dray_error *error) {
  struct dr_file_info info = mirror->info; // borrows its parts
  info.number = head->number;
  info.generation = mirror->generation;
  info.twin = head->base_digest;
  DRAY_TRY(dr_journal_create(mirror->folder, &info, error));
  DRAY_TRY(dr_folder_sync(mirror->folder, error));
  DRAY_TRY(fault("mirror.compact.base", mirror->folder, error));
  *out_replaced = 1;
  DRAY_TRY(dr_head_replace(mirror->folder, head, error));
  return fault("mirror.compact.head", mirror->folder, error);
}

// Writes base `number` of the present base and the journal before `end`. A failure leaves nothing but waste.
static int32_t write_base(struct dr_mirror *mirror, uint64_t number, uint64_t end, struct dr_head *out,
                          struct dray_error *error) {
  struct dr_merge *merge = NULL;
  DRAY_TRY(dr_merge_new(mirror, dr_share(mirror, 2), &merge, error));
  int32_t rc = mirror->journal != NULL ? dr_merge_journal(merge, end, error) : DRAY_OK;
  if (rc == DRAY_OK) rc = dr_merge_write(merge, number, NULL, out, error);
  dr_merge_free(merge);
  return rc;
}

int32_t dr_mirror_create(struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_head head;
  int replaced = 0;
  DRAY_TRY(write_base(mirror, 1, 0, &head, error));
  return publish(mirror, &head, &replaced, error);
}

static int32_t make_base(struct dr_mirror *mirror, uint64_t end, struct dr_head *out, struct dray_error *error) {
  const int32_t rc = write_base(mirror, mirror->head.number + 1, end, out, error);
  if (rc != DRAY_OK) dr_mirror_sweep(mirror->folder, mirror->head.number);
  return rc;
}

int32_t dr_mirror_rewrite(struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_head head = mirror->ahead.head;
  const uint64_t old = mirror->head.number;
  int replaced = 0;
  int32_t rc = DRAY_OK;
  if (!dr_mirror_is_ahead(mirror)) {
    dr_ahead_drop(mirror); // its file has the same name
    rc = make_base(mirror, mirror->committed_end, &head, error);
  }
  mirror->ahead = (struct dr_ahead){0};
  DRAY_TRY(rc);
  rc = publish(mirror, &head, &replaced, error);
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

// ---- ahead of the commit ----

static struct dr_merge *begin(struct dr_mirror *mirror, uint64_t end, struct dray_error *error) {
  struct dr_merge *merge = NULL;
  int32_t rc = dr_merge_new(mirror, dr_share(mirror, AHEAD_PART), &merge, error);
  if (rc == DRAY_OK) rc = dr_merge_journal(merge, end, error);
  if (rc == DRAY_OK) return merge;
  dr_merge_free(merge);
  return NULL;
}

void dr_ahead_begin(struct dr_mirror *mirror, uint64_t end) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  mirror->ahead.merge = begin(mirror, end, &ignored);
  mirror->ahead.wanted = mirror->ahead.merge != NULL;
}

void dr_ahead_add(struct dr_mirror *mirror, const struct dr_change *change, uint64_t place, size_t schema) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  if (mirror->ahead.merge == NULL) return;
  if (dr_merge_add(mirror->ahead.merge, change, place, schema, &ignored) != DRAY_OK) dr_ahead_drop(mirror);
}

void dr_ahead_drop(struct dr_mirror *mirror) {
  dr_merge_free(mirror->ahead.merge);
  mirror->ahead = (struct dr_ahead){0};
}

void dr_mirror_gather(struct dr_mirror *mirror) {
  dr_ahead_drop(mirror);
  mirror->ahead.wanted = 1;
}

void dr_mirror_write_ahead(struct dr_mirror *mirror, const atomic_int *stop) {
  struct dray_error ignored;
  struct dr_ahead ahead = {0};
  dray_error_init(&ignored);
  struct dr_merge *merge = mirror->ahead.merge;
  if (merge != NULL) {
    ahead.made = dr_merge_write(merge, mirror->head.number + 1, stop, &ahead.head, &ignored) == DRAY_OK;
    if (!ahead.made) dr_mirror_sweep(mirror->folder, mirror->head.number);
  }
  dr_merge_free(merge);
  mirror->ahead = ahead;
}
