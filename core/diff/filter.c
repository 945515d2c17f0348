// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The filter: making it, asking it, proving it. A batch is asked in runs of rows, stage by stage, so that the cache
// misses of a run overlap.
#include "diff/filter.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/clock.h"

#define RUN 32 // rows that are asked together
#define PAD 16 // bytes behind the prints, so that a compare may read past the last
#define HUGE_PAGE (UINT64_C(2) << 20)
#define BUCKET_ROWS_MIN 8u // on average; one cache line of prints or a little more
#define BUCKET_ROWS_MAX 32u

// ---- what is told of a row ----

// Of one key, two rows always differ in this; of rows of different keys a sum does with all but 2^-64.
static uint64_t term_of(uint64_t high, uint64_t low, uint64_t row_hash) {
  return row_hash + (high + low * UINT64_C(0x9FB21C651E98DF25)) * UINT64_C(0x9E3779B97F4A7C15);
}

static uint64_t mix(const struct dr_filter *filter, uint64_t high, uint64_t row_hash) {
  const unsigned __int128 product = (unsigned __int128)(high ^ filter->salt[0]) * (row_hash ^ filter->salt[1]);
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline uint32_t print_of(const struct dr_filter *filter, uint64_t high, uint64_t row_hash,
                                unsigned print_bytes) {
  const uint32_t print = (uint32_t)(mix(filter, high, row_hash) >> (64 - 8 * print_bytes));
  return print + (print == 0);
}

static inline void put_print(void *prints, uint64_t at, uint32_t print, unsigned print_bytes) {
  if (print_bytes == 4) ((uint32_t *)prints)[at] = print;
  if (print_bytes == 2) ((uint16_t *)prints)[at] = (uint16_t)print;
  if (print_bytes == 1) ((uint8_t *)prints)[at] = (uint8_t)print;
}

static inline uint32_t get_print(const void *prints, uint64_t at, unsigned print_bytes) {
  if (print_bytes == 4) return ((const uint32_t *)prints)[at];
  return print_bytes == 2 ? ((const uint16_t *)prints)[at] : ((const uint8_t *)prints)[at];
}

// The first place in [at, end) that holds `print`.
static inline uint32_t find_print(const void *prints, uint32_t at, uint32_t end, uint32_t print, unsigned print_bytes) {
#ifdef __SSE2__
  const __m128i wanted = print_bytes == 4   ? _mm_set1_epi32((int)print)
                         : print_bytes == 2 ? _mm_set1_epi16((short)print)
                                            : _mm_set1_epi8((char)print);
  for (; at < end; at += 16 / print_bytes) {
    const __m128i held =
        _mm_loadu_si128((const __m128i *)(const void *)((const uint8_t *)prints + (size_t)at * print_bytes));
    const __m128i same = print_bytes == 4   ? _mm_cmpeq_epi32(held, wanted)
                         : print_bytes == 2 ? _mm_cmpeq_epi16(held, wanted)
                                            : _mm_cmpeq_epi8(held, wanted);
    const unsigned found = (unsigned)_mm_movemask_epi8(same);
    if (found == 0) continue;
    const uint32_t place = at + (uint32_t)__builtin_ctz(found) / print_bytes;
    return place < end ? place : DR_FILTER_NONE;
  }
#else
  for (; at < end; at++) {
    if (get_print(prints, at, print_bytes) == print) return at;
  }
#endif
  return DR_FILTER_NONE;
}

// ---- making it ----

static uint64_t group_count(uint64_t rows) {
  return rows / DR_FILTER_GROUP_ROWS + 1;
}

static uint64_t bytes_of(uint64_t rows, unsigned print_bytes, unsigned bits) {
  return rows * print_bytes + PAD + ((UINT64_C(1) << bits) + 1) * sizeof(uint32_t) +
         group_count(rows) * sizeof(struct dr_filter_group);
}

// Bits of the hash that choose a bucket of no more than `bucket_rows` rows on average.
static unsigned directory_bits(uint64_t rows, uint64_t bucket_rows) {
  unsigned bits = 1;
  while ((UINT64_C(1) << bits) * bucket_rows < rows) bits++;
  return bits;
}

uint64_t dr_filter_bytes(uint64_t rows) {
  return rows < DR_FILTER_NONE ? bytes_of(rows, 2, directory_bits(rows, BUCKET_ROWS_MAX)) : UINT64_MAX;
}

// Tests ask for the width of prints; then all that matters is that a filter is there.
static int wanted_bytes(void) {
  const char *test = getenv("DRAY_TEST"), *text = getenv("DRAY_FILTER_BYTES");
  if (test == NULL || strcmp(test, "1") != 0 || text == NULL) return -1;
  return text[0] >= '0' && text[0] <= '4' ? text[0] - '0' : -1;
}

// The widest prints and the finest directory that fit.
static void choose_shape(struct dr_filter *filter, uint64_t memory_max, unsigned *out_bits) {
  const int wanted = wanted_bytes();
  filter->print_bytes = 0;
  if (filter->rows >= DR_FILTER_NONE || wanted == 0) return;
  for (unsigned print_bytes = 4; print_bytes >= 1; print_bytes /= 2) {
    if (wanted > 0 ? print_bytes != (unsigned)wanted : print_bytes == 1) continue;
    const unsigned bucket_max = print_bytes == 4 ? BUCKET_ROWS_MIN : BUCKET_ROWS_MAX;
    for (unsigned rows = BUCKET_ROWS_MIN; rows <= bucket_max; rows *= 2) {
      // One byte lies so often that with large buckets a pass of many new rows would never say anything.
      *out_bits = print_bytes == 1 ? directory_bits(filter->rows * 8, 1) : directory_bits(filter->rows, rows);
      filter->bytes = bytes_of(filter->rows, print_bytes, *out_bits);
      if (wanted < 0 && filter->bytes > memory_max) continue;
      filter->print_bytes = print_bytes;
      return;
    }
  }
}

// In huge pages where the system has them, for it is read here and there.
static void *get_memory(size_t bytes) {
  char *memory = malloc(bytes);
  if (memory == NULL) return NULL;
  const uintptr_t from = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  const uintptr_t to = ((uintptr_t)memory + bytes) / HUGE_PAGE * HUGE_PAGE;
  if (from < to) (void)madvise(memory + (from - (uintptr_t)memory), (size_t)(to - from), MADV_HUGEPAGE);
  return memory;
}

static void *get_zeroed(size_t bytes) {
  void *memory = get_memory(bytes);
  if (memory != NULL) memset(memory, 0, bytes);
  return memory;
}

static int32_t get_parts(struct dr_filter *filter, unsigned bits, struct dray_error *error) {
  filter->directory = get_zeroed((size_t)((UINT64_C(1) << bits) + 1) * sizeof *filter->directory);
  filter->prints = get_zeroed((size_t)filter->rows * filter->print_bytes + PAD);
  filter->groups = get_zeroed((size_t)group_count(filter->rows) * sizeof *filter->groups);
  if (filter->directory != NULL && filter->prints != NULL && filter->groups != NULL) return DRAY_OK;
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a filter of %llu rows",
                   (unsigned long long)filter->rows);
}

struct sweep { // over the base
  const struct dr_mirror *mirror;
  uint64_t number; // of the next row
  size_t item;     // of the overlay, not before it
  uint64_t bucket; // directory entries up to this one are filled
};

// Whether the overlay holds the key.
static int is_overlaid(struct sweep *sweep, const struct dr_entry *entry) {
  const struct dr_item *items = sweep->mirror->items;
  while (sweep->item < sweep->mirror->settled) {
    const struct dr_item *item = &items[sweep->item];
    if (item->high > entry->high || (item->high == entry->high && item->low >= entry->low)) break;
    sweep->item++;
  }
  return sweep->item < sweep->mirror->settled && items[sweep->item].high == entry->high &&
         items[sweep->item].low == entry->low;
}

static void add_entries(struct dr_filter *filter, struct sweep *sweep, const struct dr_entry *entries, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct dr_entry *entry = &entries[i];
    const uint64_t bucket = entry->high >> filter->shift, number = sweep->number++;
    while (sweep->bucket < bucket) filter->directory[++sweep->bucket] = (uint32_t)number;
    if (is_overlaid(sweep, entry)) continue;
    put_print(filter->prints, number, print_of(filter, entry->high, entry->row_hash, filter->print_bytes),
              filter->print_bytes);
  }
}

static int32_t fill(struct dr_filter *filter, struct dr_mirror *mirror, struct dray_error *error) {
  struct sweep sweep = {.mirror = mirror};
  const size_t entry_bytes = mirror->base->entry_bytes;
  while (sweep.number < filter->rows) {
    const struct dr_entry *entries = NULL;
    size_t count = 0;
    DRAY_TRY(dr_base_entries(mirror->base, sweep.number, &entries, &count, error));
    if (filter->entries != NULL) {
      const uint8_t *raw = NULL;
      DRAY_TRY(dr_base_entries_raw(mirror->base, sweep.number, &raw, &count, error)); // the same, already at hand
      memcpy(filter->entries + sweep.number * entry_bytes, raw, count * entry_bytes);
    }
    add_entries(filter, &sweep, entries, count); // they rise: the base looks at that
  }
  const uint64_t buckets = UINT64_C(1) << (64 - filter->shift);
  while (sweep.bucket < buckets) filter->directory[++sweep.bucket] = (uint32_t)filter->rows;
  dr_base_end_sweep(mirror->base);
  return DRAY_OK;
}

// The entries stay in memory where they fit. Rows that wait to be compared with the mirror's need room more than they:
// then no more than half of it is taken. Without them look-ups read the file.
static void hold_entries(struct dr_filter *filter, const struct dr_mirror *mirror, uint64_t memory_max) {
  const uint64_t bytes = filter->rows * mirror->base->entry_bytes;
  const uint64_t most = dr_mirror_keep(mirror) == DR_KEEP_KEY ? memory_max : memory_max / 2;
  if (filter->rows == 0 || filter->bytes > most || bytes > most - filter->bytes) return;
  filter->entries = get_memory((size_t)bytes);
  if (filter->entries != NULL) filter->bytes += bytes;
}

static void lend_entries(struct dr_filter *filter, struct dr_base *base) {
  if (filter->entries == NULL) return;
  filter->base = base;
  base->lent = filter->entries;
  base->directory = filter->directory;
  base->shift = filter->shift;
}

int32_t dr_filter_make(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t memory_max,
                       struct dray_error *error) {
  unsigned bits = 0;
  memset(filter, 0, sizeof *filter);
  filter->rows = dr_base_rows(mirror->base);
  if (filter->rows > 0 && !mirror->base_map.identical) return DRAY_OK;
  choose_shape(filter, memory_max, &bits);
  if (filter->print_bytes == 0) return DRAY_OK;
  filter->shift = 64 - bits;
  if (getrandom(filter->salt, sizeof filter->salt, 0) != (ssize_t)sizeof filter->salt) {
    filter->salt[0] = (uint64_t)dr_now_us() * UINT64_C(0x9E3779B97F4A7C15);
    filter->salt[1] = ~filter->salt[0];
  }
  int32_t rc = get_parts(filter, bits, error);
  if (rc == DRAY_OK) hold_entries(filter, mirror, memory_max);
  if (rc == DRAY_OK) rc = fill(filter, mirror, error);
  if (rc == DRAY_OK) lend_entries(filter, mirror->base);
  if (rc != DRAY_OK) dr_filter_free(filter);
  return rc;
}

void dr_filter_free(struct dr_filter *filter) {
  if (filter->base != NULL) filter->base->lent = NULL;
  free(filter->entries);
  free(filter->directory);
  free(filter->prints);
  free(filter->groups);
  memset(filter, 0, sizeof *filter);
}

// ---- rows that come ----

static void mark(struct dr_filter *filter, uint32_t number, uint64_t term) {
  struct dr_filter_group *group = &filter->groups[number / DR_FILTER_GROUP_ROWS];
  group->plain[number % DR_FILTER_GROUP_ROWS / 64] |= UINT64_C(1) << (number % 64);
  group->sum += term;
}

static inline __attribute__((always_inline)) size_t take(struct dr_filter *filter, const struct dr_hash128 *keys,
                                                         const uint64_t *row_hashes, size_t count, const uint8_t *skip,
                                                         uint32_t *out_taken, uint32_t *out_rest,
                                                         unsigned print_bytes) {
  size_t rest = 0;
  for (size_t at = 0; at < count; at += RUN) {
    const size_t run = count - at < RUN ? count - at : RUN;
    uint32_t begin[RUN], end[RUN];
    for (size_t i = 0; i < run; i++) __builtin_prefetch(&filter->directory[keys[at + i].high >> filter->shift]);
    for (size_t i = 0; i < run; i++) {
      const uint64_t bucket = keys[at + i].high >> filter->shift;
      begin[i] = filter->directory[bucket];
      end[i] = filter->directory[bucket + 1];
      const char *prints = (const char *)filter->prints + (size_t)begin[i] * print_bytes;
      __builtin_prefetch(prints);
      __builtin_prefetch(prints + 63);
    }
    for (size_t i = 0; i < run; i++) {
      const size_t row = at + i;
      uint32_t number = DR_FILTER_NONE;
      if (skip == NULL || (skip[row >> 3] >> (row & 7) & 1) == 0) {
        const uint32_t print = print_of(filter, keys[row].high, row_hashes[row], print_bytes);
        number = find_print(filter->prints, begin[i], end[i], print, print_bytes);
      }
      out_taken[row] = number;
      if (number == DR_FILTER_NONE) {
        out_rest[rest++] = (uint32_t)row;
      } else {
        put_print(filter->prints, number, 0, print_bytes);
        __builtin_prefetch(&filter->groups[number / DR_FILTER_GROUP_ROWS], 1);
      }
    }
    for (size_t i = 0; i < run; i++) {
      if (out_taken[at + i] == DR_FILTER_NONE) continue;
      mark(filter, out_taken[at + i], term_of(keys[at + i].high, keys[at + i].low, row_hashes[at + i]));
    }
  }
  return rest;
}

size_t dr_filter_take(struct dr_filter *filter, const struct dr_hash128 *keys, const uint64_t *row_hashes, size_t count,
                      const uint8_t *skip, uint32_t *out_taken, uint32_t *out_rest) {
  size_t rest = 0;
  if (filter->print_bytes == 4) rest = take(filter, keys, row_hashes, count, skip, out_taken, out_rest, 4);
  if (filter->print_bytes == 2) rest = take(filter, keys, row_hashes, count, skip, out_taken, out_rest, 2);
  if (filter->print_bytes == 1) rest = take(filter, keys, row_hashes, count, skip, out_taken, out_rest, 1);
  filter->taken += count - rest;
  return rest;
}

void dr_filter_untake(struct dr_filter *filter, uint32_t number, const struct dr_hash128 *key, uint64_t row_hash) {
  struct dr_filter_group *group = &filter->groups[number / DR_FILTER_GROUP_ROWS];
  group->plain[number % DR_FILTER_GROUP_ROWS / 64] &= ~(UINT64_C(1) << (number % 64));
  group->sum -= term_of(key->high, key->low, row_hash);
  filter->taken--;
}

void dr_filter_see(struct dr_filter *filter, uint64_t number) {
  put_print(filter->prints, number, 0, filter->print_bytes);
}

uint64_t dr_filter_next_unseen(const struct dr_filter *filter, uint64_t number) {
  const unsigned step = 8 / filter->print_bytes;
  while (number < filter->rows) {
    if (number % step == 0 && number + step <= filter->rows) {
      const char *at = (const char *)filter->prints + (size_t)number * filter->print_bytes;
      if (dr_get_u64(at) == 0) {
        number += step;
        continue;
      }
    }
    if (get_print(filter->prints, number, filter->print_bytes) != 0) return number;
    number++;
  }
  return filter->rows;
}

// ---- proving it ----

static void take_off(struct dr_filter *filter, const struct dr_entry *entries, size_t count, uint64_t number) {
  for (size_t i = 0; i < count; i++, number++) {
    struct dr_filter_group *group = &filter->groups[number / DR_FILTER_GROUP_ROWS];
    const uint64_t plain = group->plain[number % DR_FILTER_GROUP_ROWS / 64] >> (number % 64) & 1;
    group->sum -= term_of(entries[i].high, entries[i].low, entries[i].row_hash) & (0 - plain);
  }
}

int32_t dr_filter_prove(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t *out_unsure,
                        struct dray_error *error) {
  *out_unsure = 0;
  for (uint64_t number = 0; filter->taken > 0 && number < filter->rows;) {
    const struct dr_entry *entries = NULL;
    size_t count = 0;
    DRAY_TRY(dr_base_entries(mirror->base, number, &entries, &count, error));
    take_off(filter, entries, count, number);
    number += count;
  }
  dr_base_end_sweep(mirror->base);
  for (uint64_t i = 0; i < group_count(filter->rows); i++) {
    const struct dr_filter_group *group = &filter->groups[i];
    if (group->sum == 0) continue;
    filter->unsure_groups++;
    for (size_t w = 0; w < DR_FILTER_WORDS; w++) *out_unsure += (uint64_t)__builtin_popcountll(group->plain[w]);
  }
  return DRAY_OK;
}

int dr_filter_is_sure(const struct dr_filter *filter, uint64_t high) {
  if (filter->unsure_groups == 0) return 1;
  const uint64_t bucket = high >> filter->shift;
  const uint64_t begin = filter->directory[bucket], end = filter->directory[bucket + 1];
  for (uint64_t i = begin / DR_FILTER_GROUP_ROWS; begin < end && i <= (end - 1) / DR_FILTER_GROUP_ROWS; i++) {
    if (filter->groups[i].sum != 0) return 0;
  }
  return 1;
}
