// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Sorting records of 64-bit words in memory, in place: an American flag sort by the bytes of the key, insertion sort
// for what is small. Hashes are even, so two rounds reach the small pieces; no input makes it quadratic.
#include "diff/sorter.h"

#define SMALL 24

static int less(const uint64_t *a, const uint64_t *b, size_t key_words) {
  for (size_t i = 0; i < key_words; i++) {
    if (a[i] != b[i]) return a[i] < b[i];
  }
  return 0;
}

static void insertion(uint64_t *records, size_t count, size_t width, size_t key_words) {
  uint64_t held[DR_SORTER_WORDS_MAX + 1];
  for (size_t i = 1; i < count; i++) {
    uint64_t *at = records + i * width;
    if (!less(at, at - width, key_words)) continue;
    memcpy(held, at, width * sizeof *held);
    do {
      memcpy(at, at - width, width * sizeof *at);
      at -= width;
    } while (at > records && less(held, at - width, key_words));
    memcpy(at, held, width * sizeof *held);
  }
}

static size_t byte_of(const uint64_t *record, size_t level) {
  return (size_t)(record[level / 8] >> (56 - 8 * (level % 8))) & 255;
}

static void swap(uint64_t *a, uint64_t *b, size_t width) {
  for (size_t i = 0; i < width; i++) {
    const uint64_t held = a[i];
    a[i] = b[i];
    b[i] = held;
  }
}

// Moves every record to the bucket of its byte; begins[i] .. begins[i + 1] is bucket i.
static void distribute(uint64_t *records, size_t width, size_t level, const size_t *begins) {
  size_t next[256];
  memcpy(next, begins, sizeof next);
  for (size_t bucket = 0; bucket < 256; bucket++) {
    while (next[bucket] < begins[bucket + 1]) {
      uint64_t *record = records + next[bucket] * width;
      const size_t home = byte_of(record, level);
      if (home != bucket) swap(record, records + next[home] * width, width);
      next[home]++;
    }
  }
}

static void flag_sort(uint64_t *records, size_t count, size_t width, size_t key_words, size_t level) {
  while (count > SMALL && level < key_words * 8) {
    size_t begins[257] = {0};
    for (size_t i = 0; i < count; i++) begins[byte_of(records + i * width, level) + 1]++;
    size_t largest = 0;
    for (size_t i = 1; i <= 256; i++) {
      if (begins[i] > largest) largest = begins[i];
      begins[i] += begins[i - 1];
    }
    level++;
    if (largest == count) continue; // all alike in this byte
    distribute(records, width, level - 1, begins);
    for (size_t i = 0; i < 256; i++) {
      const size_t begin = begins[i], len = begins[i + 1] - begin;
      if (len > 1) flag_sort(records + begin * width, len, width, key_words, level);
    }
    return;
  }
  if (count > 1 && level < key_words * 8) insertion(records, count, width, key_words);
}

void dr_sort_words(uint64_t *records, size_t count, size_t width, size_t key_words) {
  size_t i = 1;
  while (i < count && !less(records + i * width, records + (i - 1) * width, key_words)) i++;
  if (i < count) flag_sort(records, count, width, key_words, 0);
}
