// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A file as a run of bytes with a running hash, so that a later run can tell whether what was read is still
// there. Positions count unpacked bytes.
#ifndef FILE_BYTES_H
#define FILE_BYTES_H

#include "dray/sdk.h"

#define FILE_CHUNK_BYTES 65536u
#define FILE_HEAD_BYTES 65536u

// How far a file was read, and what was read. The hash goes by words of 8 bytes from the beginning of the file, so it
// does not depend on how the bytes were cut, and goes on from any position.
struct file_mark {
  uint64_t position; // bytes
  uint64_t lines;    // line feeds among them
  uint64_t hash;     // of their whole words
  uint64_t word;     // the bytes behind the last whole word, the first one lowest
  uint64_t head;     // of the whole words of the first FILE_HEAD_BYTES
};

struct file_bytes {
  struct dray_input *input;
  struct file_mark mark; // of what was taken, up to chunk[marked): see file_bytes_mark
  size_t marked;
  size_t start, end; // chunk[start .. end) is read and not yet taken
  int at_end;        // nothing comes after chunk[end)
  char chunk[FILE_CHUNK_BYTES];
};

void file_mark_start(struct file_mark *mark);
void file_mark_add(struct file_mark *mark, const char *data, size_t len);
// Whether two marks of one position are of the same bytes; with `head_only` as far as the first FILE_HEAD_BYTES tell.
int file_mark_same(const struct file_mark *a, const struct file_mark *b, int head_only);
// One number for all bytes of a mark.
uint64_t file_mark_sum(const struct file_mark *mark);
// Marks the first `position` bytes of a file. *out_whole = 0 when it has fewer.
DRAY_NODISCARD int32_t file_mark_scan(const char *path, uint64_t position, const struct dray_services *services,
                                      struct file_mark *out, int *out_whole, struct dray_error *error);
// The byte at a position: *out = -1 at or past the end of the file.
DRAY_NODISCARD int32_t file_peek(const char *path, uint64_t position, int *out, struct dray_error *error);

// Opens a file to be read on from a mark. The caller frees *out with file_bytes_close.
DRAY_NODISCARD int32_t file_bytes_open(const char *path, const struct file_mark *from, struct file_bytes **out,
                                       struct dray_error *error);
void file_bytes_close(struct file_bytes *bytes);
// Reads the next chunk once the last one is taken.
DRAY_NODISCARD int32_t file_bytes_fill(struct file_bytes *bytes, struct dray_error *error);
void file_bytes_take(struct file_bytes *bytes, size_t len);
// The mark of all that was taken, made when it is asked for: hashing record by record costs twice as much.
const struct file_mark *file_bytes_mark(struct file_bytes *bytes);
static inline uint64_t file_bytes_position(const struct file_bytes *bytes) {
  return bytes->mark.position + (bytes->start - bytes->marked);
}

#endif // FILE_BYTES_H
