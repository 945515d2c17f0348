// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The scanner. Sixty-four bytes become one word for each kind of byte that matters, and the rest is arithmetic on those
// words. That holds for quotes that open at the start of a field and close at its end; where they do not, the record
// is read byte by byte, by the same rules as dray_csv_reader.
#include "compare/scan.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int is_line_end(char c) {
  return c == '\n' || c == '\r';
}

// ---- byte by byte ----

enum { AT_START, IN_PLAIN, IN_QUOTES, BEHIND_QUOTE };

// Reads one record from scan->next. Returns 0 when it does not end in the buffer.
static int read_record(const struct scan_dialect *dialect, const struct scan_buffer *buffer, struct scan *scan) {
  const char *data = buffer->data;
  uint32_t fields = 1, flags = 0, at = scan->next;
  int state = AT_START;
  for (; at < buffer->len; at++) {
    const char c = data[at];
    if ((signed char)c <= 0) flags |= SCAN_BYTES;
    if (c == dialect->quote) {
      flags |= SCAN_QUOTES;
      if (state == IN_QUOTES) {
        state = BEHIND_QUOTE;
      } else if (state != IN_PLAIN) {
        state = IN_QUOTES;
      }
      continue;
    }
    if (state == IN_QUOTES) continue;
    if (is_line_end(c)) break;
    state = IN_PLAIN;
    if (c == dialect->delimiter) {
      fields++;
      state = AT_START;
    }
  }
  if (at == buffer->len && !buffer->at_end) return 0;
  if (fields != dialect->column_count || state == IN_QUOTES) flags |= SCAN_FIELDS;
  if (flags & SCAN_QUOTES) scan->plain = 0;
  scan->records[scan->count++] = (struct scan_record){scan->next, at, flags};
  scan->next = at < buffer->len ? at + 1 : at;
  if (at < buffer->len && data[at] == '\r') scan->plain = 0;
  return 1;
}

// Reads at most `count_max` records. Returns 1 when `stop` is reached, 0 at one that does not end, else -1.
static int read_records(const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                        size_t count_max, struct scan *scan) {
  for (size_t count = 0; count < count_max; count++) {
    while (scan->next < stop && scan->next < buffer->len && is_line_end(buffer->data[scan->next])) {
      scan->next++;
      scan->plain = 0;
    }
    if (scan->next >= stop) return 1;
    if (scan->next == buffer->len) return buffer->at_end;
    if (!read_record(dialect, buffer, scan)) return 0;
  }
  return -1;
}

uint64_t scan_count_lines(const char *data, size_t len, char before) {
  uint64_t count = 0;
  for (size_t i = 0; i < len; i++) {
    count += (uint64_t)(data[i] == '\n') + (uint64_t)(data[i] == '\r');
    count -= (uint64_t)(data[i] == '\n') & (uint64_t)((i > 0 ? data[i - 1] : before) == '\r');
  }
  return count;
}

uint32_t scan_line_end(const char *data, uint32_t from, uint32_t len) {
  while (from < len && !is_line_end(data[from])) from++;
  return from;
}

// ---- sixty-four at a time ----

#if defined(__x86_64__)

#define RECORDS_BY_BYTE 8 // after a quote in an unusual place
#define SCAN_JOIN(a, b) a##b
#define SCAN_PASTE(a, b) SCAN_JOIN(a, b)

// One bit a byte, the first byte lowest.
struct masks {
  uint64_t delimiter, line_end, quote, odd;
  int cr; // there is a CR
};

// What a scan carries from one block to the next.
struct carry {
  uint64_t inside;      // all ones inside quotes
  uint64_t may_open;    // 1 when a quote may open a field at the next byte
  uint64_t must_close;  // 1 when the last byte closed a quote
  uint64_t odd, quoted; // of the current record so far
  uint32_t delimiters;  // since the beginning of the scan
  uint32_t delimiters_before_record;
};

// Bit i of the result: the parity of the bits 0..i.
static inline uint64_t parities(uint64_t bits) {
  bits ^= bits << 1;
  bits ^= bits << 2;
  bits ^= bits << 4;
  bits ^= bits << 8;
  bits ^= bits << 16;
  return bits ^ bits << 32;
}

// Takes delimiters and line ends inside quotes out. Returns the bits from which on quotes are not where they should be;
// all before them is right.
static inline uint64_t resolve_quotes(struct masks *masks, uint64_t valid, struct carry *carry) {
  const uint64_t quote = masks->quote;
  const uint64_t inside = parities(quote) ^ carry->inside;
  const uint64_t closing = quote & ~inside;
  const uint64_t ends = masks->delimiter | masks->line_end | quote;
  uint64_t wrong = (quote & inside) & ~(ends << 1 | carry->may_open);
  wrong |= (closing << 1 | carry->must_close) & ~ends;
  wrong &= valid;
  masks->delimiter &= ~inside;
  masks->line_end &= ~inside;
  carry->inside = (uint64_t)((int64_t)inside >> 63);
  carry->must_close = closing >> 63;
  return wrong & (~wrong + 1) ? ~((wrong & (~wrong + 1)) - 1) : 0;
}

#define SCAN_NAME scan_sse2
#define SCAN_TARGET
#define SCAN_MASKS masks_sse2
#define SCAN_FEEDS feeds_sse2
static inline struct masks masks_sse2(const char *data, char delimiter, char quote) {
  const __m128i d = _mm_set1_epi8(delimiter), q = _mm_set1_epi8(quote), lf = _mm_set1_epi8('\n');
  const __m128i cr = _mm_set1_epi8('\r'), one = _mm_set1_epi8(1);
  struct masks masks = {0};
  uint32_t crs = 0;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    __m128i bytes;
    memcpy(&bytes, data + 16 * i, sizeof(bytes));
    const __m128i is_cr = _mm_cmpeq_epi8(bytes, cr);
    crs |= (uint32_t)_mm_movemask_epi8(is_cr);
    masks.delimiter |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, d)) << 16 * i;
    masks.quote |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, q)) << 16 * i;
    masks.odd |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(bytes, one)) << 16 * i;
    const __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, lf), is_cr);
    masks.line_end |= (uint64_t)(uint32_t)_mm_movemask_epi8(ends) << 16 * i;
  }
  masks.cr = crs != 0;
  return masks;
}
static inline uint64_t feeds_sse2(const char *data) {
  const __m128i lf = _mm_set1_epi8('\n');
  uint64_t feeds = 0;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    __m128i bytes;
    memcpy(&bytes, data + 16 * i, sizeof(bytes));
    feeds |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, lf)) << 16 * i;
  }
  return feeds;
}
#include "compare/scan_blocks.h"

#define SCAN_NAME scan_avx2
#define SCAN_TARGET __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define SCAN_MASKS masks_avx2
#define SCAN_FEEDS feeds_avx2
SCAN_TARGET static inline struct masks masks_avx2(const char *data, char delimiter, char quote) {
  const __m256i d = _mm256_set1_epi8(delimiter), q = _mm256_set1_epi8(quote), lf = _mm256_set1_epi8('\n');
  const __m256i cr = _mm256_set1_epi8('\r'), one = _mm256_set1_epi8(1);
  struct masks masks = {0};
  __m256i crs = _mm256_setzero_si256();
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) {
    __m256i bytes;
    memcpy(&bytes, data + 32 * i, sizeof(bytes));
    const __m256i is_cr = _mm256_cmpeq_epi8(bytes, cr);
    crs = _mm256_or_si256(crs, is_cr);
    masks.delimiter |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, d)) << 32 * i;
    masks.quote |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, q)) << 32 * i;
    masks.odd |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(one, bytes)) << 32 * i;
    const __m256i ends = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, lf), is_cr);
    masks.line_end |= (uint64_t)(uint32_t)_mm256_movemask_epi8(ends) << 32 * i;
  }
  masks.cr = !_mm256_testz_si256(crs, crs);
  return masks;
}
SCAN_TARGET static inline uint64_t feeds_avx2(const char *data) {
  const __m256i lf = _mm256_set1_epi8('\n');
  uint64_t feeds = 0;
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) {
    __m256i bytes;
    memcpy(&bytes, data + 32 * i, sizeof(bytes));
    feeds |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, lf)) << 32 * i;
  }
  return feeds;
}
#include "compare/scan_blocks.h"

#define SCAN_NAME scan_avx512
#define SCAN_TARGET __attribute__((target("avx512f,avx512bw,avx2,bmi,bmi2,popcnt")))
#define SCAN_MASKS masks_avx512
#define SCAN_FEEDS feeds_avx512
SCAN_TARGET static inline struct masks masks_avx512(const char *data, char delimiter, char quote) {
  const __m512i bytes = _mm512_loadu_si512(data);
  const uint64_t cr = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\r'));
  return (struct masks){.delimiter = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(delimiter)),
                        .line_end = cr | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n')),
                        .quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(quote)),
                        .odd = _mm512_cmple_epi8_mask(bytes, _mm512_setzero_si512()),
                        .cr = cr != 0};
}
SCAN_TARGET static inline uint64_t feeds_avx512(const char *data) {
  return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(data), _mm512_set1_epi8('\n'));
}
#include "compare/scan_blocks.h"

int scan_widest(void) {
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (avx2 && __builtin_cpu_supports("avx512bw")) return SCAN_AVX512;
  return avx2 ? SCAN_AVX2 : SCAN_SSE2;
}

static int scan_blocks(int set, const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                       struct scan *scan) {
  if (set == SCAN_AVX512) return scan_avx512(dialect, buffer, stop, scan);
  return set == SCAN_AVX2 ? scan_avx2(dialect, buffer, stop, scan) : scan_sse2(dialect, buffer, stop, scan);
}

static uint32_t skip_blocks(int set, const char *data, uint32_t from, uint32_t len, uint32_t count) {
  if (set == SCAN_AVX512) return scan_avx512_skip(data, from, len, count);
  return set == SCAN_AVX2 ? scan_avx2_skip(data, from, len, count) : scan_sse2_skip(data, from, len, count);
}

#else

int scan_widest(void) {
  return SCAN_PLAINLY;
}

#define RECORDS_BY_BYTE 0

static int scan_blocks(int set, const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                       struct scan *scan) {
  (void)set, (void)dialect, (void)buffer, (void)stop, (void)scan;
  return -1;
}

static uint32_t skip_blocks(int set, const char *data, uint32_t from, uint32_t len, uint32_t count) {
  return scan_skip_lines_by(SCAN_PLAINLY, data, from, len, count);
}

#endif

uint32_t scan_skip_lines_by(int set, const char *data, uint32_t from, uint32_t len, uint32_t count) {
  if (count == 0) return from;
  if (set != SCAN_PLAINLY) return skip_blocks(set, data, from, len, count);
  for (; from < len && count > 0; from++) count -= data[from] == '\n';
  return from;
}

uint32_t scan_skip_lines(const char *data, uint32_t from, uint32_t len, uint32_t count) {
  return scan_skip_lines_by(scan_widest(), data, from, len, count);
}

int scan_records_by(int set, const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                    struct scan *scan) {
  if (set == SCAN_PLAINLY) return read_records(dialect, buffer, stop, SIZE_MAX, scan);
  for (;;) {
    if (scan->next >= stop) return 1;
    int done = scan_blocks(set, dialect, buffer, stop, scan);
    if (done < 0) done = read_records(dialect, buffer, stop, RECORDS_BY_BYTE, scan);
    if (done >= 0) return done;
  }
}

int scan_records(const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                 struct scan *scan) {
  return scan_records_by(scan_widest(), dialect, buffer, stop, scan);
}
