// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads files by chunks and keeps the mark. Knows nothing of records.
#include "bytes.h"

#include <assert.h>
#include <stdlib.h>

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

void file_mark_start(struct file_mark *mark) {
  const struct file_mark start = {0, 0, FNV_START, FNV_START};
  *mark = start;
}

static uint64_t hash_on(uint64_t hash, const char *data, size_t len) {
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)data[i]) * FNV_PRIME;
  return hash;
}

static uint64_t count_lines(const char *data, size_t len) {
  uint64_t lines = 0;
  const char *end = data + len;
  while (data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
    lines++;
    data++;
  }
  return lines;
}

void file_mark_add(struct file_mark *mark, const char *data, size_t len) {
  if (len == 0) return;
  mark->lines += count_lines(data, len);
  if (mark->position < FILE_HEAD_BYTES) {
    const uint64_t room = FILE_HEAD_BYTES - mark->position;
    const size_t in_head = len < room ? len : (size_t)room;
    mark->head = hash_on(mark->head, data, in_head);
  }
  mark->hash = hash_on(mark->hash, data, len);
  mark->position += len;
}

int32_t file_mark_scan(const char *path, uint64_t position, const struct dray_services *services, struct file_mark *out,
                       int *out_whole, struct dray_error *error) {
  struct file_mark start;
  struct file_bytes *bytes = NULL;
  file_mark_start(&start);
  DRAY_TRY(file_bytes_open(path, &start, &bytes, error));
  int32_t rc = DRAY_OK;
  while (bytes->mark.position < position && !bytes->at_end) {
    const uint64_t left = position - bytes->mark.position;
    if (bytes->start == bytes->end) {
      rc = file_bytes_fill(bytes, error);
      if (rc == DRAY_OK) rc = dray_cancel_check(services, error);
      if (rc != DRAY_OK) goto done;
    }
    const size_t there = bytes->end - bytes->start;
    file_bytes_take(bytes, there < left ? there : (size_t)left);
  }
  *out = bytes->mark;
  *out_whole = bytes->mark.position == position;
done:
  file_bytes_close(bytes);
  return rc;
}

int32_t file_peek(const char *path, uint64_t position, int *out, struct dray_error *error) {
  struct dray_input *input = NULL;
  DRAY_TRY(dray_input_open(path, &input, error));
  char byte = 0;
  size_t count = 0;
  int32_t rc = dray_input_skip(input, position, error);
  if (rc == DRAY_OK) rc = dray_input_read(input, &byte, 1, &count, error);
  dray_input_close(input);
  if (rc == DRAY_E_STATE_CHECKPOINT) { // shorter than that
    *out = -1;
    return DRAY_OK;
  }
  if (rc == DRAY_OK) *out = count == 1 ? (unsigned char)byte : -1;
  return rc;
}

int32_t file_bytes_open(const char *path, const struct file_mark *from, struct file_bytes **out,
                        struct dray_error *error) {
  struct file_bytes *bytes = calloc(1, sizeof(*bytes));
  if (bytes == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", path);
  int32_t rc = dray_input_open(path, &bytes->input, error);
  if (rc == DRAY_OK && from->position > 0) rc = dray_input_skip(bytes->input, from->position, error);
  if (rc != DRAY_OK) {
    file_bytes_close(bytes);
    return rc;
  }
  bytes->mark = *from;
  *out = bytes;
  return DRAY_OK;
}

void file_bytes_close(struct file_bytes *bytes) {
  if (bytes == NULL) return;
  dray_input_close(bytes->input);
  free(bytes);
}

int32_t file_bytes_fill(struct file_bytes *bytes, struct dray_error *error) {
  assert(bytes->start == bytes->end);
  size_t count = 0;
  DRAY_TRY(dray_input_read(bytes->input, bytes->chunk, sizeof(bytes->chunk), &count, error));
  bytes->start = 0;
  bytes->end = count;
  bytes->at_end = count == 0;
  return DRAY_OK;
}

void file_bytes_take(struct file_bytes *bytes, size_t len) {
  assert(len <= bytes->end - bytes->start);
  file_mark_add(&bytes->mark, bytes->chunk + bytes->start, len);
  bytes->start += len;
}
