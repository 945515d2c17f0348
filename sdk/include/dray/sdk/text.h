// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Strings: views, and a growable buffer that is born with a maximum.
#ifndef DRAY_SDK_TEXT_H
#define DRAY_SDK_TEXT_H

#include <stdarg.h>
#include <string.h>

#include "dray/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// A view of a NUL-terminated string (NULL gives the empty view).
static inline struct dray_str dray_str_of(const char *text) {
  struct dray_str view = {text, text != NULL ? strlen(text) : 0};
  return view;
}
static inline struct dray_str dray_str_make(const char *data, uint64_t len) {
  struct dray_str view = {data, len};
  return view;
}
static inline int dray_str_equal(struct dray_str a, struct dray_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline int dray_str_is(struct dray_str a, const char *text) {
  return dray_str_equal(a, dray_str_of(text));
}
// For printf: "%.*s", DRAY_STR_ARG(view).
#define DRAY_STR_ARG(view) ((int)((view).len > 4096 ? 4096 : (view).len)), ((view).data != NULL ? (view).data : "")

// A heap copy with a NUL; NULL when memory is short. The caller frees it with free().
DRAY_NODISCARD char *dray_str_dup(struct dray_str text);

// 1 when the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms).
int dray_utf8_valid(const char *data, uint64_t len);

// Writes the beginning of any bytes as one line of valid UTF-8, for messages: blanks and control characters in a row
// become one blank. Returns its length.
size_t dray_text_excerpt(struct dray_str text, char *out, size_t out_bytes);

// Bytes on the heap that never grow past `max`. Zero-initialise with dray_buffer_init; it does not allocate.
struct dray_buffer {
  char *data; // owned; NUL-terminated whenever len > 0 or anything was appended
  size_t len;
  size_t capacity;
  size_t max; // bytes, without the NUL
};

// Life of a buffer. They never fail.
void dray_buffer_init(struct dray_buffer *buffer, size_t max);
void dray_buffer_free(struct dray_buffer *buffer);  // back to empty, max kept
void dray_buffer_clear(struct dray_buffer *buffer); // len = 0, memory kept
// Appending copies. @errors LIMIT past max, OUT_OF_MEMORY; the buffer is then unchanged.
DRAY_NODISCARD int32_t dray_buffer_append(struct dray_buffer *buffer, const void *data, size_t len,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dray_buffer_append_str(struct dray_buffer *buffer, const char *text, struct dray_error *error);
DRAY_NODISCARD int32_t dray_buffer_append_char(struct dray_buffer *buffer, char c, struct dray_error *error);
DRAY_NODISCARD int32_t dray_buffer_printf(struct dray_buffer *buffer, struct dray_error *error, const char *format, ...)
    DRAY_PRINTF(3, 4);
DRAY_NODISCARD int32_t dray_buffer_vprintf(struct dray_buffer *buffer, struct dray_error *error, const char *format,
                                           va_list args);
// Makes room for `extra` more bytes and returns where they go in *out; the caller adds what it wrote to len.
DRAY_NODISCARD int32_t dray_buffer_reserve(struct dray_buffer *buffer, size_t extra, char **out,
                                           struct dray_error *error);
static inline struct dray_str dray_buffer_view(const struct dray_buffer *buffer) {
  return dray_str_make(buffer->data, buffer->len);
}

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_TEXT_H
