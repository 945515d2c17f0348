// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One look at each byte, no memory: containers that are open are a stack of their closing brackets. Anything that is
// not certain is answered with no; the parser then finds out.
#include "json_compact_scan.h"

#include <string.h>

#include "dray/sdk/json.h"

struct scan {
  const char *at, *end;
  int32_t depth;
  char closing[DRAY_JSON_DEPTH_MAX];
};

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

// Not 0 where one of eight bytes is a quote, a backslash or below 0x20. Bytes from 0x80 on pass.
static uint64_t special_bytes(uint64_t word) {
  const uint64_t quote = word ^ EACH_BYTE(0x22), backslash = word ^ EACH_BYTE(0x5C);
  const uint64_t none = ((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash);
  return (none | ((word - EACH_BYTE(0x20)) & ~word)) & EACH_BYTE(0x80);
}

// Behind the quote that opens a string: to behind the one that closes it.
static int scan_string(struct scan *scan) {
  const char *at = scan->at;
  for (;;) {
    uint64_t word;
    while (scan->end - at >= 8) {
      memcpy(&word, at, 8);
      if (special_bytes(word) != 0) break;
      at += 8;
    }
    while (at < scan->end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) at++;
    if (at == scan->end || (unsigned char)*at < 0x20) return 0;
    if (*at++ == '"') break;
    if (at == scan->end || strchr("\"\\bfnrt", *at) == NULL || *at == '\0') return 0;
    at++;
  }
  scan->at = at;
  return 1;
}

static int digits(struct scan *scan) {
  const char *begin = scan->at;
  while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') scan->at++;
  return scan->at > begin;
}

static int take(struct scan *scan, char c) {
  if (scan->at == scan->end || *scan->at != c) return 0;
  scan->at++;
  return 1;
}

static int scan_number(struct scan *scan) {
  (void)take(scan, '-');
  if (!take(scan, '0') && !digits(scan)) return 0;
  if (take(scan, '.') && !digits(scan)) return 0;
  if (!take(scan, 'e') && !take(scan, 'E')) return 1;
  if (!take(scan, '+')) (void)take(scan, '-');
  return digits(scan);
}

static int scan_literal(struct scan *scan, const char *word, size_t len) {
  if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0) return 0;
  scan->at += len;
  return 1;
}

static int scan_leaf(struct scan *scan) {
  switch (*scan->at) {
  case '"':
    scan->at++;
    return scan_string(scan);
  case 't':
    return scan_literal(scan, "true", 4);
  case 'f':
    return scan_literal(scan, "false", 5);
  case 'n':
    return scan_literal(scan, "null", 4);
  default:
    return scan_number(scan);
  }
}

static int scan_key(struct scan *scan) {
  return take(scan, '"') && scan_string(scan) && take(scan, ':');
}

// Takes brackets that open up to the next value, and the key before it. *out_empty: the innermost has none.
static int open_all(struct scan *scan, int *out_empty) {
  *out_empty = 0;
  while (scan->at < scan->end && (*scan->at == '{' || *scan->at == '[')) {
    const char closing = *scan->at == '{' ? '}' : ']';
    if (scan->depth == DRAY_JSON_DEPTH_MAX) return 0;
    scan->closing[scan->depth++] = closing;
    scan->at++;
    *out_empty = scan->at < scan->end && *scan->at == closing;
    if (*out_empty) return 1;
    if (closing == '}' && !scan_key(scan)) return 0;
  }
  return scan->at < scan->end;
}

int dray_json_is_compact(struct dray_str text) {
  struct scan scan; // the stack is not cleared
  scan.at = text.data;
  scan.end = text.data + text.len;
  scan.depth = 0;
  if (text.len == 0 || !dray_utf8_valid(text.data, text.len)) return 0;
  for (;;) {
    int empty = 0;
    if (!open_all(&scan, &empty) || (!empty && !scan_leaf(&scan))) return 0;
    while (scan.depth > 0 && take(&scan, scan.closing[scan.depth - 1])) scan.depth--;
    if (scan.depth == 0) return scan.at == scan.end;
    if (!take(&scan, ',') || (scan.closing[scan.depth - 1] == '}' && !scan_key(&scan))) return 0;
  }
}
