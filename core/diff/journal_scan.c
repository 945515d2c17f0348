// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading a journal back, and telling an interrupted write from damage. Frames behind the last sync may be missing in
// part, in any order, after a power cut: they were promised to nobody and are cut. What stands before the end of
// something that was synced was promised: damage there is never passed over.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "diff/journal_inside.h"

#define WINDOW_BYTES (64u << 10)

// *out_good = 0 when there is no whole, true frame at `offset`.
static int32_t read_frame(struct dr_journal *journal, uint64_t offset, uint64_t file_bytes, struct dr_frame *out,
                          int *out_good, struct dray_error *error) {
  uint8_t head[DR_FRAME_HEADER_BYTES];
  *out_good = 0;
  if (offset > file_bytes || file_bytes - offset < sizeof head) return DRAY_OK;
  DRAY_TRY(dr_fd_pread(journal->fd, head, sizeof head, offset, journal->path, error));
  const uint32_t len = dr_get_u32(head + 8);
  const uint64_t seed = dr_journal_seed(&journal->info, offset);
  if (memcmp(head, DR_MAGIC_FRAME, 4) != 0 || dr_get_u64(head + 32) != dr_sum(head, 32, seed)) return DRAY_OK;
  if (len > DR_FRAME_BYTES_MAX || len > file_bytes - offset - sizeof head) return DRAY_OK;
  dray_buffer_clear(&journal->body);
  DRAY_TRY(dray_buffer_reserve(&journal->body, len, NULL, error));
  DRAY_TRY(dr_fd_pread(journal->fd, journal->body.data, len, offset + sizeof head, journal->path, error));
  if (dr_get_u64(head + 24) != dr_sum(journal->body.data, len, seed)) return DRAY_OK;
  *out = (struct dr_frame){.kind = dr_get_u32(head + 4),
                           .number = dr_get_u64(head + 16),
                           .offset = offset,
                           .end = offset + sizeof head + len,
                           .body_offset = offset + sizeof head,
                           .body = dray_str_make(journal->body.data, len)};
  *out_good = 1;
  return DRAY_OK;
}

// The offset of the next place from `offset` on where a frame could begin; file_bytes when there is none.
static int32_t find_magic(struct dr_journal *journal, uint64_t offset, uint64_t file_bytes, uint64_t *out,
                          struct dray_error *error) {
  char *window = malloc(WINDOW_BYTES);
  if (window == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to search %s", journal->path);
  int32_t rc = DRAY_OK;
  *out = file_bytes;
  while (offset < file_bytes && file_bytes - offset >= 4) {
    const size_t len = file_bytes - offset < WINDOW_BYTES ? (size_t)(file_bytes - offset) : WINDOW_BYTES;
    if ((rc = dr_fd_pread(journal->fd, window, len, offset, journal->path, error)) != DRAY_OK) break;
    const char *found = memmem(window, len, DR_MAGIC_FRAME, 4);
    if (found != NULL) {
      *out = offset + (uint64_t)(found - window);
      break;
    }
    offset += len - 3;
    if (len < WINDOW_BYTES) break;
  }
  free(window);
  return rc;
}

// 1 when something was written behind a commit or prepare that stands behind `torn`: that is only done after its sync,
// which covered the damaged place.
static int32_t was_durable(struct dr_journal *journal, uint64_t torn, uint64_t file_bytes, int *out,
                           struct dray_error *error) {
  uint64_t at = torn + 1;
  int settled = 0;
  *out = 0;
  while (at < file_bytes) {
    struct dr_frame frame;
    int good = 0;
    DRAY_TRY(find_magic(journal, at, file_bytes, &at, error));
    DRAY_TRY(read_frame(journal, at, file_bytes, &frame, &good, error));
    if (good && settled) {
      *out = 1;
      return DRAY_OK;
    }
    if (good) settled = frame.kind == DR_FRAME_COMMIT || frame.kind == DR_FRAME_PREPARE;
    at = good ? frame.end : at + 1;
  }
  return DRAY_OK;
}

static int32_t read_mark(struct dr_journal *journal, uint64_t *out_durable, struct dray_error *error) {
  uint8_t bytes[24];
  *out_durable = journal->frames;
  DRAY_TRY(dr_fd_pread(journal->fd, bytes, sizeof bytes, journal->mark, journal->path, error));
  const uint64_t seed = dr_journal_seed(&journal->info, journal->mark);
  if (memcmp(bytes, DR_MAGIC_MARK, 8) == 0 && dr_get_u64(bytes + 16) == dr_sum(bytes, 16, seed)) {
    *out_durable = dr_get_u64(bytes + 8);
  } else {
    dr_log(DRAY_LOG_WARN, "mirror", "the mark in %s at byte %llu does not verify; its frames speak for themselves",
           journal->path, (unsigned long long)journal->mark);
  }
  return DRAY_OK;
}

static int32_t judge_tail(struct dr_journal *journal, const struct dr_journal_tail *tail, struct dray_error *error) {
  uint64_t durable = 0;
  int damaged = 0;
  DRAY_TRY(read_mark(journal, &durable, error));
  journal->durable = durable;
  if (tail->file_bytes < durable) {
    return dr_corrupt(error, journal->path, tail->file_bytes, "it ends here, and %llu bytes were durable once",
                      (unsigned long long)durable);
  }
  if (tail->torn == 0) return DRAY_OK;
  if (tail->torn < durable) {
    return dr_corrupt(error, journal->path, tail->torn, "a frame is damaged that was durable once");
  }
  DRAY_TRY(was_durable(journal, tail->torn, tail->file_bytes, &damaged, error));
  return damaged ? dr_corrupt(error, journal->path, tail->torn, "a frame is damaged, and later ones are whole")
                 : DRAY_OK;
}

int32_t dr_journal_scan(struct dr_journal *journal, uint64_t until, dr_frame_visitor *visit, void *ctx,
                        struct dr_journal_tail *out, struct dray_error *error) {
  struct stat info;
  if (fstat(journal->fd, &info) != 0) return dr_fail_errno(error, "look at", journal->path);
  struct dr_journal_tail tail = {.settled = journal->frames, .file_bytes = (uint64_t)info.st_size};
  uint64_t at = journal->frames;
  for (uint64_t number = 0; at < tail.file_bytes && at < until; number++) {
    struct dr_frame frame;
    int good = 0;
    DRAY_TRY(read_frame(journal, at, tail.file_bytes, &frame, &good, error));
    if (!good) {
      tail.torn = at;
      break;
    }
    if (frame.number != number || frame.kind == 0 || frame.kind >= DR_FRAME_KINDS) {
      return dr_corrupt(error, journal->path, at, "frame %llu of kind %u where frame %llu belongs",
                        (unsigned long long)frame.number, frame.kind, (unsigned long long)number);
    }
    DRAY_TRY(visit(ctx, &frame, error));
    at = frame.end;
    if (frame.kind == DR_FRAME_COMMIT || frame.kind == DR_FRAME_PREPARE) {
      tail.settled = at;
      tail.next = number + 1;
    }
  }
  DRAY_TRY(judge_tail(journal, &tail, error));
  *out = tail;
  return DRAY_OK;
}
