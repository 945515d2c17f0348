// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The journal as a file: making it, appending frames, making them durable. What a frame means is the mirror's business.
#include "diff/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "diff/journal_inside.h"

static char *journal_path(const char *folder, uint64_t number) {
  char name[32];
  (void)snprintf(name, sizeof name, "journal.%llu", (unsigned long long)number);
  return dr_path_join(folder, name);
}

// The mark has a sector of its own, so that writing it over can tear nothing else.
static uint64_t mark_offset(uint64_t header_bytes) {
  return (header_bytes + DR_MARK_BYTES - 1) / DR_MARK_BYTES * DR_MARK_BYTES;
}

static void render_mark(uint8_t *sector, uint64_t seed, uint64_t durable) {
  memset(sector, 0, DR_MARK_BYTES);
  memcpy(sector, DR_MAGIC_MARK, 8);
  dr_put_u64(sector + 8, durable);
  dr_put_u64(sector + 16, dr_sum(sector, 16, seed));
}

int32_t dr_journal_create(const char *folder, const struct dr_file_info *info, struct dray_error *error) {
  uint8_t sector[DR_MARK_BYTES] = {0};
  char *path = journal_path(folder, info->number);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to make a journal");
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    const int32_t rc = dr_fail_errno(error, "create", path);
    free(path);
    return rc;
  }
  struct dr_out out;
  dr_out_init(&out, fd, path);
  int32_t rc = dr_out_header(&out, DR_MAGIC_JOURNAL, info, error);
  const uint64_t mark = mark_offset(out.offset);
  if (rc == DRAY_OK) rc = dr_out_write(&out, sector, (size_t)(mark - out.offset), error);
  render_mark(sector, dr_journal_seed(info, mark), mark + DR_MARK_BYTES);
  if (rc == DRAY_OK) rc = dr_out_write(&out, sector, sizeof sector, error);
  if (rc == DRAY_OK) rc = dr_out_flush(&out, error);
  if (rc == DRAY_OK) rc = dr_fd_sync(fd, path, error);
  if (close(fd) != 0 && rc == DRAY_OK) rc = dr_fail_errno(error, "close", path);
  dr_out_free(&out);
  free(path);
  return rc;
}

void dr_journal_close(struct dr_journal *journal) {
  if (journal == NULL) return;
  if (journal->fd >= 0) (void)close(journal->fd);
  dr_file_info_free(&journal->info);
  dray_buffer_free(&journal->body);
  free(journal->path);
  free(journal);
}

static int32_t read_head(struct dr_journal *journal, uint64_t number, struct dray_error *error) {
  struct dr_in in;
  DRAY_TRY(dr_in_open(&in, journal->path, error));
  int32_t rc = dr_in_header(&in, DR_MAGIC_JOURNAL, &journal->info, error);
  const uint64_t bytes = in.bytes;
  journal->mark = mark_offset(in.data);
  journal->end = journal->frames = journal->mark + DR_MARK_BYTES;
  dr_in_close(&in);
  if (rc == DRAY_OK && journal->info.number != number) {
    rc = dr_corrupt(error, journal->path, 16, "it is journal %llu", (unsigned long long)journal->info.number);
  }
  if (rc == DRAY_OK && bytes < journal->frames) {
    rc = dr_corrupt(error, journal->path, bytes, "it is cut behind its header");
  }
  return rc;
}

int32_t dr_journal_open(const char *folder, uint64_t number, int read_only, struct dr_journal **out,
                        struct dray_error *error) {
  struct dr_journal *journal = calloc(1, sizeof *journal);
  if (journal == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a journal");
  journal->fd = -1;
  dray_buffer_init(&journal->body, DR_FRAME_BYTES_MAX);
  journal->path = journal_path(folder, number);
  int32_t rc = DRAY_OK;
  if (journal->path == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a journal");
  } else if (!dr_file_exists(journal->path)) {
    rc = dray_fail(error, DRAY_E_MIRROR_CORRUPT, "the mirror's %s is not there", journal->path);
  } else {
    rc = read_head(journal, number, error);
  }
  if (rc == DRAY_OK) {
    journal->fd = open(journal->path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (journal->fd < 0) rc = dr_fail_errno(error, "open", journal->path);
  }
  if (rc != DRAY_OK) {
    dr_journal_close(journal);
    return rc;
  }
  *out = journal;
  return DRAY_OK;
}

int32_t dr_journal_cut(struct dr_journal *journal, uint64_t end, uint64_t next, struct dray_error *error) {
  struct stat info;
  if (fstat(journal->fd, &info) != 0) return dr_fail_errno(error, "look at", journal->path);
  if ((uint64_t)info.st_size > end) {
    if (ftruncate(journal->fd, (off_t)end) != 0) return dr_fail_errno(error, "cut", journal->path);
    // Or old frames could show up again behind, or in the middle of, what is appended now.
    DRAY_TRY(dr_fd_sync(journal->fd, journal->path, error));
  }
  if (lseek(journal->fd, (off_t)end, SEEK_SET) < 0) return dr_fail_errno(error, "seek in", journal->path);
  journal->end = end;
  journal->next = next;
  return DRAY_OK;
}

static void render_head(const struct dr_journal *journal, uint32_t kind, struct dray_str body, char *head) {
  memset(head, 0, DR_FRAME_HEADER_BYTES);
  memcpy(head, DR_MAGIC_FRAME, 4);
  dr_put_u32(head + 4, kind);
  dr_put_u32(head + 8, (uint32_t)body.len);
  dr_put_u64(head + 16, journal->next);
  const uint64_t seed = dr_journal_seed(&journal->info, journal->end);
  dr_put_u64(head + 24, dr_sum(body.data, (size_t)body.len, seed));
  dr_put_u64(head + 32, dr_sum(head, 32, seed));
}

static int32_t check_length(const struct dr_journal *journal, uint64_t len, struct dray_error *error) {
  if (len <= DR_FRAME_BYTES_MAX) return DRAY_OK;
  return dray_fail(error, DRAY_E_LIMIT, "a frame of %llu bytes passes the %u that %s takes", (unsigned long long)len,
                   DR_FRAME_BYTES_MAX, journal->path);
}

static void note_frame(struct dr_journal *journal, uint64_t body_bytes, uint64_t *out_body) {
  if (out_body != NULL) *out_body = journal->end + DR_FRAME_HEADER_BYTES;
  journal->end += DR_FRAME_HEADER_BYTES + body_bytes;
  journal->next++;
}

int32_t dr_journal_append(struct dr_journal *journal, uint32_t kind, struct dray_str body, uint64_t *out_body,
                          struct dray_error *error) {
  char head[DR_FRAME_HEADER_BYTES];
  DRAY_TRY(check_length(journal, body.len, error));
  render_head(journal, kind, body, head);
  DRAY_TRY(dr_fd_write(journal->fd, head, sizeof head, journal->path, error));
  if (body.len > 0) DRAY_TRY(dr_fd_write(journal->fd, body.data, (size_t)body.len, journal->path, error));
  note_frame(journal, body.len, out_body);
  return DRAY_OK;
}

int32_t dr_journal_append_frame(struct dr_journal *journal, uint32_t kind, char *frame, size_t len, uint64_t *out_body,
                                struct dray_error *error) {
  const struct dray_str body = dray_str_make(frame + DR_FRAME_HEADER_BYTES, len - DR_FRAME_HEADER_BYTES);
  DRAY_TRY(check_length(journal, body.len, error));
  render_head(journal, kind, body, frame);
  DRAY_TRY(dr_fd_write(journal->fd, frame, len, journal->path, error));
  note_frame(journal, body.len, out_body);
  return DRAY_OK;
}

int32_t dr_journal_sync(struct dr_journal *journal, struct dray_error *error) {
  uint8_t sector[DR_MARK_BYTES];
  DRAY_TRY(dr_fd_sync(journal->fd, journal->path, error));
  journal->durable = journal->end;
  // Only now, and not synced itself: wherever the mark is seen, what it covers is on the disk.
  render_mark(sector, dr_journal_seed(&journal->info, journal->mark), journal->end);
  if (dr_fault_point("mirror.mark") != 0 ||
      pwrite(journal->fd, sector, sizeof sector, (off_t)journal->mark) != (ssize_t)sizeof sector) {
    dr_log(DRAY_LOG_WARN, "mirror", "cannot note in %s how much of it is durable; nothing is lost by that",
           journal->path);
  }
  return DRAY_OK;
}

int32_t dr_journal_take_back(struct dr_journal *journal, uint64_t end, uint64_t next, struct dray_error *error) {
  uint8_t sector[DR_MARK_BYTES];
  render_mark(sector, dr_journal_seed(&journal->info, journal->mark),
              end); // before the cut: a mark past the end of the file means damage
  if (pwrite(journal->fd, sector, sizeof sector, (off_t)journal->mark) != (ssize_t)sizeof sector) {
    return dr_fail_errno(error, "write", journal->path);
  }
  DRAY_TRY(dr_fd_sync(journal->fd, journal->path, error));
  return dr_journal_cut(journal, end, next, error);
}

// ---- changes in a frame ----

int dr_change_reader_init(struct dr_change_reader *reader, struct dray_str body) {
  if (body.len < DR_ACK_BYTES) return 0;
  *reader = (struct dr_change_reader){body, DR_ACK_BYTES, dr_get_u32(body.data + 4), dr_get_u32(body.data)};
  return 1;
}

// The operation stands in the three highest bits of the payload's length.
#define OP_SHIFT 29
#define LENGTH_MASK ((1u << OP_SHIFT) - 1)

// The frame's sum covers too much to be tested when one payload is read again.
static uint32_t payload_sum(struct dray_str payload, uint64_t row_hash) {
  return (uint32_t)dr_sum(payload.data, (size_t)payload.len, row_hash);
}

int dr_change_next(struct dr_change_reader *reader, struct dr_change *out) {
  if (reader->left == 0 || reader->body.len - reader->at < DR_CHANGE_BYTES) return 0;
  const char *at = reader->body.data + reader->at;
  const uint32_t len = dr_get_u32(at) & LENGTH_MASK, op = dr_get_u32(at) >> OP_SHIFT;
  if (reader->body.len - reader->at - DR_CHANGE_BYTES < len) return 0;
  if ((op != DRAY_OP_INSERT && op != DRAY_OP_UPDATE && op != DRAY_OP_DELETE)) return 0;
  *out = (struct dr_change){.op = (int)op,
                            .high = dr_get_u64(at + 8),
                            .low = dr_get_u64(at + 16),
                            .row_hash = dr_get_u64(at + 24),
                            .offset = reader->at + DR_CHANGE_BYTES,
                            .payload = dray_str_make(at + DR_CHANGE_BYTES, len)};
  reader->at += DR_CHANGE_BYTES + len;
  reader->left--;
  return 1;
}

void dr_change_put(char *to, const struct dr_change *change) {
  dr_put_u32(to, (uint32_t)change->op << OP_SHIFT | (uint32_t)change->payload.len);
  dr_put_u32(to + 4, payload_sum(change->payload, change->row_hash));
  dr_put_u64(to + 8, change->high);
  dr_put_u64(to + 16, change->low);
  dr_put_u64(to + 24, change->row_hash);
}

int dr_change_is_true(const char *bytes, size_t len, uint64_t high, uint64_t low, uint64_t row_hash) {
  const struct dray_str payload = dray_str_make(bytes + DR_CHANGE_BYTES, len - DR_CHANGE_BYTES);
  return (dr_get_u32(bytes) & LENGTH_MASK) == payload.len && dr_get_u64(bytes + 8) == high &&
         dr_get_u64(bytes + 16) == low && dr_get_u64(bytes + 24) == row_hash &&
         dr_get_u32(bytes + 4) == payload_sum(payload, row_hash);
}
