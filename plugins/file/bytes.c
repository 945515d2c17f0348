// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads files by chunks and keeps the mark. Knows nothing of records.
#include "bytes.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#define HASH_START 0xcbf29ce484222325u
#define HASH_PRIME 0x9e3779b97f4a7c15u

void file_mark_start(struct file_mark *mark) {
  const struct file_mark start = {0, 0, HASH_START, 0, HASH_START};
  *mark = start;
}

// Against accidents, not against forgers: whoever can write the file can write anything anyway.
static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * HASH_PRIME;
  return hash ^ hash >> 29;
}

static void hash_bytes(struct file_mark *mark, const char *data, size_t len) {
  for (; len > 0 && (mark->position & 7) != 0; data++, len--) {
    mark->word |= (uint64_t)(unsigned char)*data << (8 * (mark->position & 7));
    if ((++mark->position & 7) != 0) continue;
    mark->hash = mix(mark->hash, mark->word);
    mark->word = 0;
  }
  uint64_t hash = mark->hash;
  const size_t words = len / 8;
  for (size_t i = 0; i < words; i++) {
    uint64_t word;
    memcpy(&word, data + 8 * i, sizeof(word));
    hash = mix(hash, le64toh(word));
  }
  mark->hash = hash;
  mark->position += 8 * words;
  for (size_t i = 8 * words; i < len; i++) {
    mark->word |= (uint64_t)(unsigned char)data[i] << (8 * (mark->position & 7));
    mark->position++;
  }
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
    hash_bytes(mark, data, in_head);
    mark->head = mark->hash;
    data += in_head;
    len -= in_head;
  }
  hash_bytes(mark, data, len);
}

int file_mark_same(const struct file_mark *a, const struct file_mark *b, int head_only) {
  if (head_only && a->position >= FILE_HEAD_BYTES && b->position >= FILE_HEAD_BYTES) return a->head == b->head;
  return a->position == b->position && a->hash == b->hash && a->word == b->word;
}

uint64_t file_mark_sum(const struct file_mark *mark) {
  return mix(mix(mark->hash, mark->word), mark->position);
}

int32_t file_mark_scan(const char *path, uint64_t position, const struct dray_services *services, struct file_mark *out,
                       int *out_whole, struct dray_error *error) {
  struct file_mark start;
  struct file_bytes *bytes = NULL;
  file_mark_start(&start);
  DRAY_TRY(file_bytes_open(path, &start, &bytes, error));
  int32_t rc = DRAY_OK;
  while (file_bytes_position(bytes) < position && !bytes->at_end) {
    const uint64_t left = position - file_bytes_position(bytes);
    if (bytes->start == bytes->end) {
      rc = file_bytes_fill(bytes, error);
      if (rc == DRAY_OK) rc = dray_cancel_check(services, error);
      if (rc != DRAY_OK) goto done;
    }
    const size_t there = bytes->end - bytes->start;
    file_bytes_take(bytes, there < left ? there : (size_t)left);
  }
  *out = *file_bytes_mark(bytes);
  *out_whole = out->position == position;
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
  (void)file_bytes_mark(bytes);
  DRAY_TRY(dray_input_read(bytes->input, bytes->chunk, sizeof(bytes->chunk), &count, error));
  bytes->start = bytes->marked = 0;
  bytes->end = count;
  bytes->at_end = count == 0;
  return DRAY_OK;
}

void file_bytes_take(struct file_bytes *bytes, size_t len) {
  assert(len <= bytes->end - bytes->start);
  bytes->start += len;
}

const struct file_mark *file_bytes_mark(struct file_bytes *bytes) {
  file_mark_add(&bytes->mark, bytes->chunk + bytes->marked, bytes->start - bytes->marked);
  bytes->marked = bytes->start;
  return &bytes->mark;
}
