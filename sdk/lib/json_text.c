// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON as text: quoting, compact documents from events, and the search for surrogates that stand alone.
#include "json_text.h"

// ---- quoting ----

// 'u': \u00XX, other letters: that escape, 1: a byte of a longer UTF-8 sequence, 0: as it is.
static const char classes[256] = {'u',         'u',           'u',
                                  'u',         'u',           'u',
                                  'u',         'u',           'b',
                                  't',         'n',           'u',
                                  'f',         'r',           'u',
                                  'u', // 0x00
                                  'u',         'u',           'u',
                                  'u',         'u',           'u',
                                  'u',         'u',           'u',
                                  'u',         'u',           'u',
                                  'u',         'u',           'u',
                                  'u', // 0x10
                                  ['"'] = '"', ['\\'] = '\\', [0x80 ... 0xFF] = 1};

static size_t plain_run(const char *data, uint64_t len) {
  size_t i = 0;
  while (i < len && classes[(unsigned char)data[i]] == 0) i++;
  return i;
}

static int32_t append_escape(struct dray_buffer *out, char c, struct dray_error *error) {
  static const char hex[] = "0123456789abcdef";
  const char kind = classes[(unsigned char)c];
  const char text[6] = {'\\', kind, '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
  return dray_buffer_append(out, text, kind == 'u' ? 6 : 2, error);
}

// Appends one sequence of two to four bytes, or U+FFFD for a byte that begins none. Returns the bytes taken in
// *out_len.
static int32_t append_high(struct dray_buffer *out, const char *data, uint64_t left, size_t *out_len,
                           struct dray_error *error) {
  const unsigned char lead = (unsigned char)data[0];
  const size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const int valid = len <= left && dray_utf8_valid(data, len);
  *out_len = valid ? len : 1;
  return valid ? dray_buffer_append(out, data, len, error) : dray_buffer_append(out, "\xEF\xBF\xBD", 3, error);
}

// The rest of a text whose first `run` bytes are plain and appended.
static int32_t append_rest(struct dray_buffer *out, struct dray_str text, size_t run, struct dray_error *error) {
  for (uint64_t i = run; i < text.len;) {
    size_t taken = 1;
    if (classes[(unsigned char)text.data[i]] == 1) {
      DRAY_TRY(append_high(out, text.data + i, text.len - i, &taken, error));
    } else {
      DRAY_TRY(append_escape(out, text.data[i], error));
    }
    i += taken;
    const size_t plain = plain_run(text.data + i, text.len - i);
    if (plain > 0) DRAY_TRY(dray_buffer_append(out, text.data + i, plain, error));
    i += plain;
  }
  return DRAY_OK;
}

// `before` and `behind` are a separator each, or NUL. Nearly every text is plain: it takes one step.
static int32_t append_string(struct dray_buffer *out, char before, struct dray_str text, char behind,
                             struct dray_error *error) {
  const size_t run = plain_run(text.data, text.len);
  const size_t separators = (size_t)(before != '\0') + (size_t)(behind != '\0');
  char *begin = NULL;
  DRAY_TRY(dray_buffer_reserve(out, run + separators + 2, &begin, error));
  char *to = begin;
  if (before != '\0') *to++ = before;
  *to++ = '"';
  if (run > 0) memcpy(to, text.data, run);
  to += run;
  if (run < text.len) {
    out->len += (size_t)(to - begin);
    DRAY_TRY(append_rest(out, text, run, error));
    DRAY_TRY(dray_buffer_reserve(out, 2, &begin, error));
    to = begin;
  }
  *to++ = '"';
  if (behind != '\0') *to++ = behind;
  *to = '\0';
  out->len += (size_t)(to - begin);
  return DRAY_OK;
}

int32_t dray_json_append_quoted(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  return append_string(out, '\0', text, '\0', error);
}

// ---- compact text from events ----

// Appends a token, with the comma that it needs before it.
static int32_t emit(struct dray_json_emitter *emitter, const char *token, size_t len, int comma_behind,
                    struct dray_error *error) {
  const size_t comma = emitter->comma ? 1 : 0;
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(emitter->out, len + comma, &to, error));
  to[0] = ',';
  memcpy(to + comma, token, len);
  to[comma + len] = '\0';
  emitter->out->len += comma + len;
  emitter->comma = comma_behind;
  return DRAY_OK;
}

int32_t dray_json_emit_open(struct dray_json_emitter *emitter, char bracket, struct dray_error *error) {
  return emit(emitter, &bracket, 1, 0, error);
}

int32_t dray_json_emit_close(struct dray_json_emitter *emitter, char bracket, struct dray_error *error) {
  emitter->comma = 0;
  return emit(emitter, &bracket, 1, 1, error);
}

int32_t dray_json_emit_key(struct dray_json_emitter *emitter, struct dray_str name, struct dray_error *error) {
  DRAY_TRY(append_string(emitter->out, emitter->comma ? ',' : '\0', name, ':', error));
  emitter->comma = 0;
  return DRAY_OK;
}

int32_t dray_json_emit_string(struct dray_json_emitter *emitter, struct dray_str text, struct dray_error *error) {
  DRAY_TRY(append_string(emitter->out, emitter->comma ? ',' : '\0', text, '\0', error));
  emitter->comma = 1;
  return DRAY_OK;
}

int32_t dray_json_emit_literal(struct dray_json_emitter *emitter, struct dray_str text, struct dray_error *error) {
  return emit(emitter, text.data, text.len, 1, error);
}

// ---- escaped surrogates that stand alone ----

enum { SCAN_TEXT, SCAN_BACKSLASH, SCAN_HEX1, SCAN_HEX2, SCAN_HEX3, SCAN_HEX4 };

static unsigned hex_value(char c) {
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  const char lower = (char)(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10) : 0; // not hex: a syntax error further on
}

// Takes the last digit of an escape. Returns 1 when a half stands alone: a high one that is not followed by a low
// one, or a low one that does not follow a high one.
static int end_unit(struct dray_json_surrogates *scan) {
  const int is_high = (scan->unit & 0xFC00) == 0xD800;
  const int is_low = (scan->unit & 0xFC00) == 0xDC00;
  const int lone = scan->high ? !is_low : is_low;
  scan->high = (uint8_t)is_high;
  scan->state = SCAN_TEXT;
  return lone;
}

// One byte; 1 when it makes a lone half certain.
static int scan_byte(struct dray_json_surrogates *scan, char c) {
  const int lone = scan->high;
  switch (scan->state) {
  case SCAN_TEXT:
    scan->state = c == '\\' ? SCAN_BACKSLASH : SCAN_TEXT;
    if (c == '\\') return 0; // perhaps the other half
    scan->high = 0;
    return lone;
  case SCAN_BACKSLASH:
    scan->state = c == 'u' ? SCAN_HEX1 : SCAN_TEXT;
    scan->unit = 0;
    if (c == 'u') return 0;
    scan->high = 0;
    return lone;
  default:
    scan->unit = (uint16_t)((unsigned)scan->unit << 4 | hex_value(c));
    if (scan->state == SCAN_HEX4) return end_unit(scan);
    scan->state++;
    return 0;
  }
}

size_t dray_json_surrogates_scan(struct dray_json_surrogates *scan, const char *data, size_t len) {
  size_t i = 0;
  while (i < len) {
    if (scan->state == SCAN_TEXT && !scan->high) {
      const char *backslash = memchr(data + i, '\\', len - i);
      if (backslash == NULL) return len;
      i = (size_t)(backslash - data);
    }
    if (scan_byte(scan, data[i])) return i;
    i++;
  }
  return len;
}
