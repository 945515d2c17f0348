// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Strings: UTF-8 validation and the growable buffer with a maximum.
#include "dray/sdk/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/error.h"

#define GROW_MIN 64

char *dray_str_dup(struct dray_str text) {
  char *copy = malloc(text.len + 1);
  if (copy == NULL) return NULL;
  if (text.len > 0) memcpy(copy, text.data, text.len);
  copy[text.len] = '\0';
  return copy;
}

// Length of the well-formed sequence at `p` (Unicode 15, table 3-7), 0 when there is none.
static size_t sequence_length(const unsigned char *p, size_t left) {
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0; // continuation byte, or an overlong form
  const size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (need == 0 || left < need) return 0;
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < need; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  return need;
}

int dray_utf8_valid(const char *data, uint64_t len) {
  const unsigned char *p = (const unsigned char *)data;
  uint64_t i = 0;
  while (i < len) {
    uint64_t word;
    while (i + 8 <= len) { // eight ASCII bytes at a time: nearly all text is that
      memcpy(&word, p + i, 8);
      if ((word & UINT64_C(0x8080808080808080)) != 0) break;
      i += 8;
    }
    if (i >= len) break;
    const size_t n = sequence_length(p + i, (size_t)(len - i));
    if (n == 0) return 0;
    i += n;
  }
  return 1;
}

void dray_buffer_init(struct dray_buffer *buffer, size_t max) {
  *buffer = (struct dray_buffer){NULL, 0, 0, max};
}

void dray_buffer_free(struct dray_buffer *buffer) {
  free(buffer->data);
  dray_buffer_init(buffer, buffer->max);
}

void dray_buffer_clear(struct dray_buffer *buffer) {
  buffer->len = 0;
  if (buffer->data != NULL) buffer->data[0] = '\0';
}

int32_t dray_buffer_reserve(struct dray_buffer *buffer, size_t extra, char **out, struct dray_error *error) {
  if (extra > buffer->max || buffer->len > buffer->max - extra) {
    return dray_fail(error, DRAY_E_LIMIT, "more than %zu bytes where at most that many are allowed", buffer->max);
  }
  const size_t need = buffer->len + extra + 1;
  if (need > buffer->capacity) {
    size_t capacity = buffer->capacity < GROW_MIN ? GROW_MIN : buffer->capacity;
    while (capacity < need) capacity += capacity / 2 + 1;
    if (capacity > buffer->max + 1) capacity = buffer->max + 1;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a buffer of %zu bytes", capacity);
    buffer->data = data;
    buffer->capacity = capacity;
  }
  buffer->data[buffer->len] = '\0';
  if (out != NULL) *out = buffer->data + buffer->len;
  return DRAY_OK;
}

int32_t dray_buffer_append(struct dray_buffer *buffer, const void *data, size_t len, struct dray_error *error) {
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(buffer, len, &to, error));
  if (len > 0) memcpy(to, data, len);
  buffer->len += len;
  buffer->data[buffer->len] = '\0';
  return DRAY_OK;
}

int32_t dray_buffer_append_str(struct dray_buffer *buffer, const char *text, struct dray_error *error) {
  return dray_buffer_append(buffer, text, strlen(text), error);
}

int32_t dray_buffer_append_char(struct dray_buffer *buffer, char c, struct dray_error *error) {
  return dray_buffer_append(buffer, &c, 1, error);
}

int32_t dray_buffer_vprintf(struct dray_buffer *buffer, struct dray_error *error, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int need = vsnprintf(NULL, 0, format, args);
  int32_t rc = DRAY_OK;
  if (need < 0) {
    rc = dray_fail(error, DRAY_E_INTERNAL, "a message could not be formatted");
  } else {
    char *to = NULL;
    rc = dray_buffer_reserve(buffer, (size_t)need, &to, error);
    if (rc == DRAY_OK) {
      (void)vsnprintf(to, (size_t)need + 1, format, again);
      buffer->len += (size_t)need;
    }
  }
  va_end(again);
  return rc;
}

int32_t dray_buffer_printf(struct dray_buffer *buffer, struct dray_error *error, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int32_t rc = dray_buffer_vprintf(buffer, error, format, args);
  va_end(args);
  return rc;
}

size_t dray_text_excerpt(struct dray_str text, char *out, size_t out_bytes) {
  size_t at = 0;
  for (uint64_t i = 0; i < text.len && at + 1 < out_bytes; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    const int blank = c <= 0x20 || c == 0x7F;
    if (blank && (at == 0 || out[at - 1] == ' ')) continue;
    out[at++] = blank ? ' ' : (char)c;
  }
  while (at > 0 && out[at - 1] == ' ') at--;
  size_t whole = at; // without a character that the cut has split
  while (whole > 0 && at - whole < 3 && !dray_utf8_valid(out, whole) && ((unsigned char)out[whole - 1] & 0x80) != 0) {
    whole--;
  }
  if (dray_utf8_valid(out, whole)) at = whole;
  for (size_t i = 0; !dray_utf8_valid(out, at) && i < at; i++) {
    if ((unsigned char)out[i] >= 0x80) out[i] = '?';
  }
  if (out_bytes > 0) out[at] = '\0';
  return at;
}
