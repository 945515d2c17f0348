// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One such note would make a whole page unreadable, and with it all pages behind it, in every run.
#include "mend.h"

#include <string.h>

#define ESCAPE_BYTES 6u

// The code unit of an escape \uXXXX at `at`; -1: there is none.
static int unit_at(const char *at, const char *end) {
  int unit = 0;
  if ((size_t)(end - at) < ESCAPE_BYTES || at[0] != '\\' || at[1] != 'u') return -1;
  for (size_t i = 2; i < ESCAPE_BYTES; i++) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *digit = at[i] != '\0' ? strchr(digits, at[i]) : NULL;
    if (digit == NULL) return -1;
    unit = unit * 16 + (int)((digit - digits) % 16);
  }
  return unit;
}

static int is_high(int unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}

static int is_low(int unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

size_t shopify_mend(char *json, size_t len) {
  const char *end = json + len;
  size_t mended = 0;
  for (char *at = json; at < end && (at = memchr(at, '\\', (size_t)(end - at))) != NULL;) {
    const int unit = unit_at(at, end);
    if (unit < 0) {
      at += (size_t)(end - at) < 2 ? 1 : 2;
      continue;
    }
    const int pair = is_high(unit) && is_low(unit_at(at + ESCAPE_BYTES, end));
    if (!pair && (is_high(unit) || is_low(unit))) {
      memcpy(at + 2, "fffd", 4);
      mended++;
    }
    at += pair ? 2 * ESCAPE_BYTES : ESCAPE_BYTES;
  }
  return mended;
}
