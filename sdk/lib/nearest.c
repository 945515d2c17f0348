// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The nearest name to a mistyped one. Used by config binding and by the host's search for plugins.
#include "dray/sdk/config.h"

#include <stdio.h>

#define NAME_BYTES_MAX 64

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static size_t least(size_t a, size_t b, size_t c) {
  const size_t ab = a < b ? a : b;
  return ab < c ? ab : c;
}

// Optimal string alignment distance: Levenshtein's, and a swap of neighbours costs one. Three rows suffice.
static size_t distance(struct dray_str a, struct dray_str b) {
  size_t rows[3][NAME_BYTES_MAX + 1];
  for (size_t j = 0; j <= b.len; j++) rows[0][j] = j;
  for (size_t i = 1; i <= a.len; i++) {
    size_t *row = rows[i % 3];
    const size_t *above = rows[(i - 1) % 3];
    const size_t *twice_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.len; j++) {
      const char x = lower(a.data[i - 1]);
      const char y = lower(b.data[j - 1]);
      row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
      const int swapped = i > 1 && j > 1 && x == lower(b.data[j - 2]) && y == lower(a.data[i - 2]);
      if (swapped && twice_above[j - 2] + 1 < row[j]) row[j] = twice_above[j - 2] + 1;
    }
  }
  return rows[a.len % 3][b.len];
}

void dray_nearest_init(struct dray_nearest *nearest, struct dray_str wanted) {
  *nearest = (struct dray_nearest){.wanted = wanted};
}

void dray_nearest_offer(struct dray_nearest *nearest, const char *name) {
  const struct dray_str offered = dray_str_of(name);
  if (nearest->wanted.len > NAME_BYTES_MAX || offered.len > NAME_BYTES_MAX) return;
  const size_t found = distance(nearest->wanted, offered);
  // A third of the letters may be wrong, and always one; beyond that a suggestion misleads.
  const size_t longer = offered.len > nearest->wanted.len ? (size_t)offered.len : (size_t)nearest->wanted.len;
  const size_t allowed = longer < 6 ? 1 : longer / 3;
  if (found > allowed || (nearest->best != NULL && found >= nearest->distance)) return;
  nearest->best = name;
  nearest->distance = found;
}

const char *dray_nearest_hint(struct dray_nearest *nearest) {
  nearest->hint[0] = '\0';
  if (nearest->best != NULL)
    (void)snprintf(nearest->hint, sizeof(nearest->hint), "; did you mean \"%s\"?", nearest->best);
  return nearest->hint;
}
