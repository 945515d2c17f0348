// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading pieces of an input, and the records in them.
#include "compare/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define TAIL_BYTES_MAX 4096

int32_t window_init(struct window *window, const struct sieve_input *input, size_t capacity, struct dray_error *error) {
  *window = (struct window){.input = input, .capacity = capacity};
  window->data = calloc(capacity + SCAN_SLACK_BYTES, 1);
  return window->data != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read CSV");
}

void window_free(struct window *window) {
  free(window->data);
  window->data = NULL;
}

uint32_t window_tail_bytes(const struct dr_sieve *sieve) {
  return sieve->chunk_bytes < TAIL_BYTES_MAX ? sieve->chunk_bytes : TAIL_BYTES_MAX;
}

static int32_t make_room(struct window *window, size_t len, struct dray_error *error) {
  if (len <= window->capacity) return DRAY_OK;
  size_t capacity = window->capacity;
  while (capacity < len) capacity *= 2;
  char *data = realloc(window->data, capacity + SCAN_SLACK_BYTES);
  if (data == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a record of up to %zu bytes", capacity);
  }
  memset(data + window->capacity, 0, capacity + SCAN_SLACK_BYTES - window->capacity);
  window->data = data;
  window->capacity = capacity;
  return DRAY_OK;
}

int32_t window_read_to(struct window *window, uint64_t to, struct dray_error *error) {
  const struct sieve_input *input = window->input;
  if (to > input->size) to = input->size;
  const uint64_t from = window->base + window->len;
  if (to <= from) return DRAY_OK;
  DRAY_TRY(make_room(window, (size_t)(to - window->base), error));
  DRAY_TRY(dr_fd_pread(input->fd, window->data + window->len, (size_t)(to - from), from, input->path, error));
  window->len = (uint32_t)(to - window->base);
  return DRAY_OK;
}

void window_drop(struct window *window, uint32_t from) {
  assert(from <= window->len);
  memmove(window->data, window->data + from, window->len - from);
  window->base += from;
  window->len -= from;
}

static int has_too_long(const struct window *window, const struct scan *scan, uint64_t record_bytes_max) {
  if (window->len <= record_bytes_max) return 0;
  for (size_t i = 0; i < scan->count; i++) {
    if (scan->records[i].end - scan->records[i].start > record_bytes_max) return 1;
  }
  return 0;
}

int32_t window_scan(struct window *window, const struct dr_sieve *sieve, uint64_t from, uint64_t end, struct scan *scan,
                    int *out_too_long, struct dray_error *error) {
  uint64_t step = window_tail_bytes(sieve);
  scan->count = 0;
  scan->next = (uint32_t)(from - window->base);
  scan->plain = 1;
  *out_too_long = 0;
  for (;;) {
    const struct scan_buffer buffer = {window->data, window->len, window_at_end(window)};
    if (scan_records(&sieve->dialect, &buffer, (uint32_t)(end - window->base), scan)) break;
    if (window->len - scan->next > sieve->record_bytes_max) {
      *out_too_long = 1;
      return DRAY_OK;
    }
    DRAY_TRY(window_read_to(window, window->base + window->len + step, error));
    step *= 2;
  }
  *out_too_long = has_too_long(window, scan, sieve->record_bytes_max);
  return DRAY_OK;
}
