// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The filter: making it and asking it. A batch is asked in runs of rows, stage by stage, so that the cache misses of a
// run overlap.
#include "diff/filter.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/clock.h"
#include "diff/filter_print.h"
#include "diff/two.h"

#define RUN 32 // rows that are asked together
#define PAD 16 // bytes behind the prints, so that a compare may read past the last
#define LINE_BYTES 64u
#define HUGE_PAGE (UINT64_C(2) << 20)
#define BUCKET_ROWS 4u        // on average; a quarter of a cache line of prints
#define BUCKET_ROWS_TIGHT 16u // where memory is short
#define HALVES_ROWS_MIN 1024u // of which each thread makes a half
static_assert(sizeof(struct dr_filter_line) == LINE_BYTES, "a line is a cache line");

// ---- places of prints ----

// How many rows stand before bucket `bucket` in the line.
static inline uint32_t rows_before(const struct dr_filter_line *line, uint32_t bucket) {
#ifdef __SSE2__
  static const uint8_t masks[96] = {[0 ... 47] = 0xFF}; // the mask of `bucket` bytes begins at 48 - bucket
  __m128i sum = _mm_setzero_si128();
  for (size_t i = 0; i < 48; i += 16) {
    const __m128i counts = _mm_loadu_si128((const __m128i *)(const void *)((const uint8_t *)line + i));
    const __m128i mask = _mm_loadu_si128((const __m128i *)(const void *)(masks + 48 - bucket + i));
    sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_and_si128(counts, mask), _mm_setzero_si128()));
  }
  return (uint32_t)_mm_cvtsi128_si32(sum) + (uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(sum, 8));
#else
  uint32_t sum = 0;
  for (uint32_t i = 0; i < bucket; i++) sum += line->counts[i];
  return sum;
#endif
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
    if (dr_print_get(prints, at, print_bytes) == print) return at;
  }
#endif
  return DR_FILTER_NONE;
}

// ---- making it ----

static uint64_t bytes_of(uint64_t rows, unsigned print_bytes, uint64_t lines) {
  return rows * print_bytes + PAD + (lines + 1) * LINE_BYTES;
}

static uint64_t lines_of(uint64_t rows, uint64_t bucket_rows) {
  return rows / (DR_FILTER_BUCKETS * bucket_rows) + 1;
}

uint64_t dr_filter_bytes(uint64_t rows) {
  return rows < DR_FILTER_NONE ? bytes_of(rows, 2, lines_of(rows, BUCKET_ROWS_TIGHT)) : UINT64_MAX;
}

// Tests ask for the width of prints; then all that matters is that a filter is there.
static int wanted_bytes(void) {
  const char *test = getenv("DRAY_TEST"), *text = getenv("DRAY_FILTER_BYTES");
  if (test == NULL || strcmp(test, "1") != 0 || text == NULL) return -1;
  return text[0] >= '0' && text[0] <= '4' ? text[0] - '0' : -1;
}

// The widest prints and the smallest buckets that fit.
static void choose_shape(struct dr_filter *filter, uint64_t memory_max) {
  static const struct {
    unsigned print_bytes;
    uint64_t bucket_rows;
  } shapes[] = {{4, BUCKET_ROWS}, {4, BUCKET_ROWS * 2}, {2, BUCKET_ROWS * 2}, {2, BUCKET_ROWS_TIGHT}, {1, 1}};
  const int wanted = wanted_bytes();
  filter->print_bytes = 0;
  if (filter->rows >= DR_FILTER_NONE || wanted == 0) return;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    const unsigned print_bytes = shapes[i].print_bytes;
    if (wanted > 0 ? print_bytes != (unsigned)wanted : print_bytes == 1) continue;
    // One byte lies so often that with large buckets a pass of many new rows would never say anything.
    filter->line_count = lines_of(filter->rows * (print_bytes == 1 ? 8 : 1), shapes[i].bucket_rows);
    filter->bytes = bytes_of(filter->rows, print_bytes, filter->line_count);
    if (wanted < 0 && filter->bytes > memory_max) continue;
    filter->print_bytes = print_bytes;
    return;
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

static int32_t get_parts(struct dr_filter *filter, struct dray_error *error) {
  const size_t prints = (size_t)filter->rows * filter->print_bytes;
  const size_t lines = ((size_t)filter->line_count + 1) * LINE_BYTES;
  filter->prints = get_memory(prints + PAD);
  filter->memory = get_memory(lines);
  if (filter->prints == NULL || filter->memory == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a filter of %llu rows",
                     (unsigned long long)filter->rows);
  }
  memset((char *)filter->prints + prints, 0, PAD);
  memset(filter->memory, 0, lines);
  const size_t over = (size_t)((uintptr_t)filter->memory % LINE_BYTES);
  filter->lines = (struct dr_filter_line *)(void *)((char *)filter->memory + (over > 0 ? LINE_BYTES - over : 0));
  return DRAY_OK;
}

struct fill { // some lines
  struct dr_filter *filter;
  const struct dr_mirror *mirror;
  uint64_t begin, end; // lines
  size_t item;         // of the overlay, not before the next row
  int overfull;        // more rows in a bucket than it can count
  uint32_t shown[256]; // prints of the bucket at hand, of which the low bits are in shown_bits
  uint64_t shown_bits;
  struct dr_sweep sweep;
  int32_t rc;
  struct dray_error error;
};

// Whether the overlay holds the key.
static int is_overlaid(struct fill *fill, const struct dr_entry *entry) {
  const struct dr_item *items = fill->mirror->items;
  while (fill->item < fill->mirror->settled) {
    const struct dr_item *item = &items[fill->item];
    if (item->high > entry->high || (item->high == entry->high && item->low >= entry->low)) break;
    fill->item++;
  }
  return fill->item < fill->mirror->settled && items[fill->item].high == entry->high &&
         items[fill->item].low == entry->low;
}

// Row `number` is row `at` of its bucket, and has this print. Rows with the same print are twins, all of them.
static inline void put_print(struct fill *fill, uint64_t number, size_t at, uint32_t print, unsigned print_bytes) {
  const uint64_t bit = UINT64_C(1) << (print & 63), before = at > 0 ? fill->shown_bits : 0;
  uint32_t held = print;
  fill->shown_bits = before | bit;
  fill->shown[at] = print;
  for (size_t i = 0; (before & bit) != 0 && i < at; i++) {
    if (print < DR_PRINT_LEAST || fill->shown[i] != print) continue;
    held = DR_PRINT_TWIN;
    dr_print_put(fill->filter->prints, number - at + i, held, print_bytes);
  }
  dr_print_put(fill->filter->prints, number, held, print_bytes);
}

// Returns 0 when the lines of this part are behind it.
static inline __attribute__((always_inline)) int add_entries(struct fill *fill, const uint8_t *entries, size_t count,
                                                             uint64_t number, size_t entry_bytes) {
  struct dr_filter *filter = fill->filter;
  const unsigned print_bytes = filter->print_bytes;
  for (size_t i = 0; i < count; i++, number++) {
    const struct dr_entry entry = dr_entry_at(entries + i * entry_bytes, entry_bytes);
    uint32_t bucket;
    const uint64_t line = dr_print_place(filter, entry.high, &bucket);
    if (line < fill->begin) continue;
    if (line >= fill->end) return 0;
    const size_t at = filter->lines[line].counts[bucket]++;
    fill->overfull |= at == UINT8_MAX;
    const int hidden = fill->mirror->settled > 0 && is_overlaid(fill, &entry);
    const uint64_t mixed = dr_print_mix(filter, entry.high, entry.row_hash);
    put_print(fill, number, at, hidden ? DR_PRINT_SEEN : dr_print_of(mixed, print_bytes), print_bytes);
  }
  return 1;
}

static int32_t fill_lines(struct fill *fill) {
  const struct dr_base *base = fill->mirror->base;
  const unsigned __int128 least = ((unsigned __int128)fill->begin << 64) / fill->filter->line_count;
  uint64_t number = dr_base_block_of(base, (uint64_t)least) * DR_ENTRIES_PER_BLOCK;
  while (number < fill->filter->rows) {
    const uint8_t *entries = NULL;
    size_t count = 0;
    DRAY_TRY(dr_sweep_next(&fill->sweep, number, &entries, &count, &fill->error));
    const int more = base->entry_bytes == 16 ? add_entries(fill, entries, count, number, 16)
                                             : add_entries(fill, entries, count, number, 24);
    if (!more) return DRAY_OK;
    number += count;
  }
  return DRAY_OK;
}

static void fill_half(void *ctx) {
  struct fill *fill = ctx;
  fill->rc = fill_lines(fill);
  dr_sweep_free(&fill->sweep);
}

static void number_lines(struct dr_filter *filter) {
  uint64_t first = 0;
  for (uint64_t i = 0; i < filter->line_count; i++) {
    struct dr_filter_line *line = &filter->lines[i];
    line->first = (uint32_t)first;
    for (size_t k = 0; k < DR_FILTER_BUCKETS; k++) first += line->counts[k];
  }
}

static int32_t fill(struct dr_filter *filter, struct dr_mirror *mirror, struct dray_error *error) {
  const uint64_t middle = filter->rows < HALVES_ROWS_MIN ? filter->line_count : filter->line_count / 2;
  struct fill halves[2];
  for (size_t i = 0; i < 2; i++) {
    halves[i] = (struct fill){.filter = filter,
                              .mirror = mirror,
                              .begin = i == 0 ? 0 : middle,
                              .end = i == 0 ? middle : filter->line_count,
                              .rc = DRAY_OK};
    dray_error_init(&halves[i].error);
    dr_sweep_init(&halves[i].sweep, mirror->base);
  }
  dr_in_two(mirror->threads, fill_half, &halves[0], middle < filter->line_count ? &halves[1] : NULL);
  for (size_t i = 0; i < 2; i++) {
    if (halves[i].rc == DRAY_OK) continue;
    *error = halves[i].error;
    return halves[i].rc;
  }
  number_lines(filter);
  if (halves[0].overfull || halves[1].overfull) dr_filter_free(filter); // not with hashes that are even
  return DRAY_OK;
}

int32_t dr_filter_make(struct dr_filter *filter, struct dr_mirror *mirror, uint64_t memory_max,
                       struct dray_error *error) {
  memset(filter, 0, sizeof *filter);
  filter->rows = dr_base_rows(mirror->base);
  if (filter->rows > 0 && !mirror->base_map.identical) return DRAY_OK;
  choose_shape(filter, memory_max);
  if (filter->print_bytes == 0) return DRAY_OK;
  if (getrandom(filter->salt, sizeof filter->salt, 0) != (ssize_t)sizeof filter->salt) {
    filter->salt[0] = (uint64_t)dr_now_us() * UINT64_C(0x9E3779B97F4A7C15);
    filter->salt[1] = ~filter->salt[0];
  }
  int32_t rc = get_parts(filter, error);
  if (rc == DRAY_OK) rc = fill(filter, mirror, error);
  if (rc != DRAY_OK) dr_filter_free(filter);
  return rc;
}

void dr_filter_free(struct dr_filter *filter) {
  free(filter->memory);
  free(filter->prints);
  free(filter->mistaken);
  memset(filter, 0, sizeof *filter);
}

// ---- rows that come ----

static inline __attribute__((always_inline)) size_t take(struct dr_filter *filter, const struct dr_hash128 *keys,
                                                         const uint64_t *row_hashes, size_t count, const uint8_t *skip,
                                                         uint32_t *out_taken, uint32_t *out_rest,
                                                         unsigned print_bytes) {
  size_t rest = 0;
  for (size_t at = 0; at < count; at += RUN) {
    const size_t run = count - at < RUN ? count - at : RUN;
    struct dr_filter_line *lines[RUN];
    uint32_t bucket[RUN], begin[RUN], end[RUN];
    uint64_t mixed[RUN];
    for (size_t i = 0; i < run; i++) {
      lines[i] = &filter->lines[dr_print_place(filter, keys[at + i].high, &bucket[i])];
      __builtin_prefetch(lines[i], 1);
      mixed[i] = dr_print_mix(filter, keys[at + i].high, row_hashes[at + i]);
    }
    for (size_t i = 0; i < run; i++) {
      begin[i] = lines[i]->first + rows_before(lines[i], bucket[i]);
      end[i] = begin[i] + lines[i]->counts[bucket[i]];
      const char *prints = (const char *)filter->prints + (size_t)begin[i] * print_bytes;
      __builtin_prefetch(prints, 1);
      __builtin_prefetch(prints + (size_t)(end[i] - begin[i]) * print_bytes, 1);
    }
    for (size_t i = 0; i < run; i++) {
      const size_t row = at + i;
      uint32_t number = DR_FILTER_NONE;
      if (skip == NULL || (skip[row >> 3] >> (row & 7) & 1) == 0) {
        number = find_print(filter->prints, begin[i], end[i], dr_print_of(mixed[i], print_bytes), print_bytes);
      }
      out_taken[row] = number;
      if (number == DR_FILTER_NONE) {
        out_rest[rest++] = (uint32_t)row;
        continue;
      }
      dr_print_put(filter->prints, number, DR_PRINT_PLAIN, print_bytes);
      lines[i]->check += mixed[i];
      lines[i]->high += keys[row].high;
      lines[i]->row += row_hashes[row];
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

int dr_filter_is_plain(const struct dr_filter *filter, uint64_t number) {
  return dr_print_is_plain(filter, number);
}

void dr_filter_untake(struct dr_filter *filter, uint64_t number, uint64_t high, uint64_t row_hash) {
  struct dr_filter_line *line = &filter->lines[dr_filter_line_of(filter, high)];
  dr_print_put(filter->prints, number, DR_PRINT_SEEN, filter->print_bytes);
  filter->taken--;
  if (filter->proven) return;
  line->check -= dr_print_mix(filter, high, row_hash);
  line->high -= high;
  line->row -= row_hash;
}

void dr_filter_see(struct dr_filter *filter, uint64_t number) {
  if (!dr_print_is_plain(filter, number)) dr_print_put(filter->prints, number, DR_PRINT_SEEN, filter->print_bytes);
}

uint64_t dr_filter_next_unseen(const struct dr_filter *filter, uint64_t number, uint64_t end) {
  const unsigned step = 8 / filter->print_bytes;
  const uint64_t states = filter->print_bytes == 4   ? UINT64_C(0x0000000100000001)
                          : filter->print_bytes == 2 ? UINT64_C(0x0001000100010001)
                                                     : UINT64_C(0x0101010101010101);
  while (number < end) {
    if (number % step == 0 && number + step <= end) {
      const char *at = (const char *)filter->prints + (size_t)number * filter->print_bytes;
      if ((dr_get_u64(at) & ~states) == 0) {
        number += step;
        continue;
      }
    }
    if (!dr_print_is_gone(filter, number)) return number;
    number++;
  }
  return end;
}
