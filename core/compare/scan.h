// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Splits bytes into CSV records exactly as dray_csv_reader does, without looking into fields. Inside core/compare only.
#ifndef DR_COMPARE_SCAN_H
#define DR_COMPARE_SCAN_H

#include <stddef.h>
#include <stdint.h>

// Bytes that must be readable behind the end of a scanned buffer; what they hold does not matter.
#define SCAN_SLACK_BYTES 64

enum {
  SCAN_FIELDS = 1, // not as many fields as there are columns, or a quote that is never closed
  SCAN_QUOTES = 2, // has a quote somewhere
  SCAN_BYTES = 4,  // has bytes that are not ASCII, or NUL
  SCAN_UNSURE = 8  // set by others: must not be settled
};

struct scan_record {
  uint32_t start, end; // in the buffer; the line end is not part of it
  uint32_t flags;
};

struct scan_dialect {
  char delimiter, quote;
  uint32_t column_count;
};

struct scan_buffer {
  const char *data; // SCAN_SLACK_BYTES more are readable
  uint32_t len;
  int at_end; // nothing comes behind
};

struct scan {
  struct scan_record *records; // room for one in two bytes of [from, stop) and one more
  size_t count;
  uint32_t next; // where the next record begins that is not in `records`
  int plain;     // lines are records: no CR, no quote, no empty line was seen
};

// Appends the records that begin in [next, stop), where `next` is the beginning of a record (or of line ends before
// one). Returns 1 when all of them are there; `next` is then at or behind `stop`, right behind a line end or at the
// end. Returns 0 when the record that begins at `next` does not end in the buffer: call again with more bytes.
int scan_records(const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                 struct scan *scan);
// The instruction sets that there are scanners for, widest last; the machine decides which of them it has.
enum { SCAN_PLAINLY, SCAN_SSE2, SCAN_AVX2, SCAN_AVX512 };
int scan_widest(void);
// scan_records by a certain one, which must not be above scan_widest: for tests.
int scan_records_by(int set, const struct scan_dialect *dialect, const struct scan_buffer *buffer, uint32_t stop,
                    struct scan *scan);
// Where `count` more lines than at `from` have been ended by LF; `len` when there are not so many.
uint32_t scan_skip_lines(const char *data, uint32_t from, uint32_t len, uint32_t count);
// The same by a certain instruction set.
uint32_t scan_skip_lines_by(int set, const char *data, uint32_t from, uint32_t len, uint32_t count);
// The first line end at or behind `from`, quotes or not; `len` when there is none.
uint32_t scan_line_end(const char *data, uint32_t from, uint32_t len);
// Lines that end in [from, to): LF, CR and CRLF are one each. `before` is the byte in front of it.
uint64_t scan_count_lines(const char *data, size_t len, char before);

#endif // DR_COMPARE_SCAN_H
