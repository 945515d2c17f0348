// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a process finds when it opens a mirror may be nowhere but in the kernel's memory: the one before it was killed
// between a write and its sync, or its sync failed, after which the kernel calls pages clean that never reached the
// disk. Whatever is believed from here on, and told to others, is made durable first. After an orderly end there is
// nothing to do but, while the journal is empty, one fsync of the folder.
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "diff/mirror.h"

#define PIECE_BYTES (64u << 10)

// Written once more, the same bytes at the same place, pages are dirty again, and a sync is true.
static int32_t rewrite(struct dr_journal *journal, uint64_t from, struct dray_error *error) {
  char *piece = malloc(PIECE_BYTES);
  if (piece == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open %s", journal->path);
  int32_t rc = lseek(journal->fd, (off_t)from, SEEK_SET) < 0 ? dr_fail_errno(error, "seek in", journal->path) : DRAY_OK;
  for (uint64_t at = from; rc == DRAY_OK && at < journal->end;) {
    const size_t len = journal->end - at < PIECE_BYTES ? (size_t)(journal->end - at) : PIECE_BYTES;
    rc = dr_fd_pread(journal->fd, piece, len, at, journal->path, error);
    if (rc == DRAY_OK) rc = dr_fd_write(journal->fd, piece, len, journal->path, error);
    at += len;
  }
  free(piece);
  return rc == DRAY_OK ? dr_journal_sync(journal, error) : rc;
}

// The names of head, base and journal; nothing can have been appended to a journal before they were durable.
static int32_t secure_names(const struct dr_mirror *mirror, struct dray_error *error) {
  DRAY_TRY(dr_folder_sync(mirror->folder, error));
  if (mirror->head.number != 1) return DRAY_OK;
  char *parent = dr_path_join(mirror->folder, "..");
  if (parent == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open the mirror in %s", mirror->folder);
  const int32_t rc = dr_folder_sync(parent, error);
  free(parent);
  return rc;
}

int32_t dr_mirror_secure(struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_journal *journal = mirror->journal;
  if (journal->end == journal->frames) return secure_names(mirror, error);
  return journal->end > journal->durable ? rewrite(journal, journal->durable, error) : DRAY_OK;
}
