// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The fields of a record's bytes, as dray_csv_reader reads them. Behind a record SCAN_SLACK_BYTES must be readable.
// Inside core/compare only.
#ifndef DR_COMPARE_FIELDS_H
#define DR_COMPARE_FIELDS_H

#include "compare/scan.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

// ---- the plainest spelling of a whole number ----

static inline int field_is_digit(char c) {
  return (unsigned char)(c - '0') <= 9;
}

// How many of eight bytes are digits, from the first on, and their value.
static inline unsigned field_take_digits(const char *from, uint64_t *out) {
  uint64_t word;
  memcpy(&word, from, sizeof(word));
  const uint64_t digits = word ^ UINT64_C(0x3030303030303030); // a digit is now 0 to 9
  const uint64_t other = (digits | (digits + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
  const unsigned count = other == 0 ? 8 : (unsigned)__builtin_ctzll(other) / 8;
  if (count == 0) return 0;
  uint64_t value = digits << (64 - 8 * count); // zeros in front
  value = (value * 10 + (value >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
  value = (value * 100 + (value >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
  *out = (value * 10000 + (value >> 32)) & UINT64_C(0xFFFFFFFF);
  return count;
}

static const uint64_t field_tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// A number as it is usually written, of at most 16 digits, up to the delimiter or the end of the record. 0: it is not
// one, which says nothing.
static inline int field_plain_number(const char *from, const char *end, char delimiter, uint64_t *out) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const int negative = *from == '-' && from < end;
  uint64_t value = 0, more = 0;
  from += negative;
  const unsigned count = field_take_digits(from, &value);
  if (count == 0 || (*from == '0' && (count > 1 || negative))) return 0;
  const char *behind = from + count;
  if (count == 8) {
    const unsigned rest = field_take_digits(behind, &more);
    if (rest > 0) value = value * field_tens[rest] + more;
    behind += rest;
    if (rest == 8 && field_is_digit(*behind)) return 0;
  }
  if (behind > end || (behind < end && *behind != delimiter)) return 0;
  *out = negative ? 0 - value : value;
  return 1;
#else
  (void)from, (void)end, (void)delimiter, (void)out;
  return 0;
#endif
}

// ---- fields ----

// The `at`-th field of a record without quotes.
static inline struct dray_str field_plain(const char *from, const char *end, char delimiter, uint32_t at) {
#if defined(__x86_64__)
  const __m128i wanted = _mm_set1_epi8(delimiter);
  while (at > 0) {
    __m128i bytes;
    memcpy(&bytes, from, sizeof(bytes)); // the slack behind a buffer is larger
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));
    for (; found != 0 && at > 1; at--) found &= found - 1;
    if (found == 0) {
      from += sizeof(bytes);
      continue;
    }
    from += __builtin_ctz(found) + 1;
    at = 0;
  }
#else
  for (; at > 0; at--) from = (const char *)memchr(from, delimiter, (size_t)(end - from)) + 1;
#endif
  const char *to = memchr(from, delimiter, (size_t)(end - from));
  return dray_str_make(from, (uint64_t)((to != NULL ? to : end) - from));
}

// Reads a field by the rules of dray_csv_reader and returns what is behind its delimiter; NULL when it was the last.
static inline const char *field_end(char delimiter, char quote, const char *from, const char *end, int *out_quoted) {
  int quoted = 0;
  if (from < end && *from == quote) {
    quoted = 1;
    for (from++; from < end; from++) {
      if (*from != quote) continue;
      if (from + 1 == end || from[1] != quote) break;
      from++;
    }
    if (from < end) from++;
  }
  while (from < end && *from != delimiter) from++;
  *out_quoted = quoted;
  return from < end ? from + 1 : NULL;
}

// The text of a field that stands in [from, end), into an empty buffer. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t field_unescape(char quote, const char *from, const char *end, struct dray_buffer *out,
                                      struct dray_error *error);
// Whether an unquoted text means null.
int field_is_null(const char *const *null_values, size_t null_count, struct dray_str text);

#endif // DR_COMPARE_FIELDS_H
