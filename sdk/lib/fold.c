// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Folding by a table of runs, searched for characters beyond ASCII alone.
#include "dray/sdk/fold.h"

#include <string.h>

#include "fold_table.h"

// ---- one character ----

uint32_t dray_fold_character(uint32_t character) {
  size_t low = 0, high = sizeof(fold_ranges) / sizeof(fold_ranges[0]);
  if (character < 0x80) return character - 'A' < 26 ? character + 32 : character;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const struct fold_range *range = &fold_ranges[middle];
    if (character < range->first) {
      high = middle;
    } else if (character > range->last) {
      low = middle + 1;
    } else {
      const int is_in = (character - range->first) % range->step == 0;
      return is_in ? (uint32_t)((int32_t)character + range->distance) : character;
    }
  }
  return character;
}

// Bytes of the character at text[0]; 1, and 0 in *out, for a byte that begins none.
static size_t decode(const unsigned char *text, size_t len, uint32_t *out) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; // of as many bytes
  const unsigned char lead = text[0];
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  *out = 0;
  if (bytes == 1 || bytes > len || lead > 0xF4) return 1;
  uint32_t character = lead & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; i++) {
    if ((text[i] & 0xC0) != 0x80) return 1;
    character = character << 6 | (text[i] & 0x3Fu);
  }
  if (character < smallest[bytes]) return 1;
  *out = character;
  return bytes;
}

static size_t encode(uint32_t character, unsigned char *out) {
  const size_t bytes = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
  static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = bytes - 1; i > 0; i--) {
    out[i] = (unsigned char)(0x80 | (character & 0x3F));
    character >>= 6;
  }
  out[0] = (unsigned char)(leads[bytes] | character);
  return bytes;
}

static int is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t dray_fold_text(const char *text, size_t len, char *out) {
  while (len > 0 && is_blank(text[len - 1])) len--;
  for (; len > 0 && is_blank(*text); text++) len--;
  const unsigned char *from = (const unsigned char *)text;
  unsigned char *to = (unsigned char *)out;
  size_t written = 0;
  for (size_t i = 0; i < len;) {
    uint32_t character = 0;
    if (from[i] < 0x80) {
      to[written++] = (unsigned char)dray_fold_character(from[i++]);
      continue;
    }
    const size_t bytes = decode(from + i, len - i, &character);
    const uint32_t folded = dray_fold_character(character);
    if (folded != character) {
      written += encode(folded, to + written);
    } else {
      memcpy(to + written, from + i, bytes);
      written += bytes;
    }
    i += bytes;
  }
  return written;
}

int dray_fold_same(struct dray_str a, struct dray_str b) {
  uint64_t i = 0, j = 0;
  while (i < a.len && j < b.len) {
    uint32_t one = 0, other = 0;
    const unsigned char *first = (const unsigned char *)a.data + i, *second = (const unsigned char *)b.data + j;
    const size_t one_bytes = decode(first, (size_t)(a.len - i), &one);
    const size_t other_bytes = decode(second, (size_t)(b.len - j), &other);
    if (one == 0) one = first[0] < 0x80 ? first[0] : UINT32_MAX - first[0]; // no UTF-8: as it is
    if (other == 0) other = second[0] < 0x80 ? second[0] : UINT32_MAX - second[0];
    if (dray_fold_character(one) != dray_fold_character(other)) return 0;
    i += one_bytes;
    j += other_bytes;
  }
  return i == a.len && j == b.len;
}
