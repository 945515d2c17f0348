// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The scanners of all instruction sets that this machine has, against dray_csv_reader on random bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "compare/scan.h"
#include "dray/sdk/csv.h"

#define BYTES_MAX 700
#define CASES 6000

static uint64_t state = 99;

static uint32_t below(uint32_t n) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 33) % n);
}

struct bytes {
  char data[BYTES_MAX + SCAN_SLACK_BYTES];
  uint32_t len;
};

// From well-behaved to nonsense.
static void make_bytes(struct bytes *bytes) {
  static const char *const alphabets[] = {"abcdefgh,,,\n", "abcdefghijklm,,\"\n",
                                          "a,\"\n",        "a,\"\r\n",
                                          "ab,\n\xC3\xA9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\"\n"};
  static const char *const pieces[] = {"a,",  "\"x\",",     "\"a,b\",", "\"\"\"q\"\"\",", "\n",
                                       "b\n", "\"1\n2\"\n", "\r\n",     "long text here,"};
  const char *alphabet = alphabets[below(6)];
  const size_t letters = strlen(alphabet);
  const int tame = below(2) == 0;
  memset(bytes->data, '\n', sizeof(bytes->data)); // behind the end anything may be
  bytes->len = below(BYTES_MAX);
  for (uint32_t i = 0; i < bytes->len;) {
    const char *piece = pieces[below(9)];
    const size_t len = strlen(piece);
    if (tame && i + len <= bytes->len) {
      memcpy(bytes->data + i, piece, len);
      i += (uint32_t)len;
    } else {
      bytes->data[i++] = alphabet[below((uint32_t)letters)];
    }
  }
  if (below(20) == 0 && bytes->len > 0) bytes->data[below(bytes->len)] = '\0';
}

// What dray_csv_reader makes of them.
static size_t read_all(const struct bytes *bytes, struct scan_record *records, uint32_t columns) {
  struct dray_csv_reader *reader = NULL;
  struct dray_csv_record record;
  size_t count = 0;
  assert_int_equal(dray_csv_reader_new(NULL, &reader, NULL), DRAY_OK);
  for (size_t at = 0;; count++) {
    size_t used = 0;
    int32_t got = 0;
    assert_int_equal(dray_csv_reader_feed(reader, bytes->data + at, bytes->len - at, 1, &used, &record, &got, NULL),
                     DRAY_OK);
    at += used;
    if (!got) break;
    size_t end = at;
    if (record.code == 0 && end > record.byte_offset && bytes->data[end - 1] == '\n') end--;
    if (record.code == 0 && end > record.byte_offset && bytes->data[end - 1] == '\r') end--;
    const int wrong = record.code != 0 || record.field_count != columns;
    records[count] = (struct scan_record){(uint32_t)record.byte_offset, (uint32_t)end, wrong ? SCAN_FIELDS : 0};
    for (size_t i = records[count].start; i < end; i++) {
      if (bytes->data[i] == '"') records[count].flags |= SCAN_QUOTES;
      if ((signed char)bytes->data[i] <= 0) records[count].flags |= SCAN_BYTES;
    }
  }
  dray_csv_reader_free(reader);
  return count;
}

// The same bytes in two scans, cut at a record, and fed by and by.
static size_t scan_all(int set, const struct bytes *bytes, struct scan_record *records, uint32_t columns) {
  const struct scan_dialect dialect = {',', '"', columns};
  struct scan scan = {.records = records, .plain = 1};
  const uint32_t stop = below(bytes->len + 1);
  uint32_t len = below(bytes->len + 1);
  for (;;) {
    struct scan_buffer buffer = {bytes->data, len, len == bytes->len};
    if (scan_records_by(set, &dialect, &buffer, stop, &scan)) break;
    assert_true(len < bytes->len);
    len += 1 + below(bytes->len - len);
  }
  assert_true(scan.next >= stop);
  const struct scan_buffer rest = {bytes->data, bytes->len, 1};
  assert_int_equal(scan_records_by(set, &dialect, &rest, bytes->len, &scan), 1);
  assert_int_equal(scan.next, bytes->len);
  if (scan.plain) {
    const uint64_t lines = scan_count_lines(bytes->data, bytes->len, '\0');
    const int open = bytes->len > 0 && bytes->data[bytes->len - 1] != '\n';
    assert_int_equal(lines + (uint64_t)open, scan.count);
  }
  return scan.count;
}

static void test_every_scanner_reads_what_the_reader_reads(void **unused) {
  (void)unused;
  static struct bytes bytes;
  static struct scan_record wanted[BYTES_MAX], found[BYTES_MAX];
  for (int i = 0; i < CASES; i++) {
    const uint32_t columns = 1 + below(4);
    make_bytes(&bytes);
    const size_t count = read_all(&bytes, wanted, columns);
    for (int set = SCAN_PLAINLY; set <= scan_widest(); set++) {
      assert_int_equal(scan_all(set, &bytes, found, columns), count);
      for (size_t k = 0; k < count; k++) {
        assert_int_equal(found[k].start, wanted[k].start);
        assert_int_equal(found[k].end, wanted[k].end);
        assert_int_equal(found[k].flags, wanted[k].flags);
      }
    }
  }
}

static void test_lines_are_counted_as_the_reader_counts(void **unused) {
  (void)unused;
  assert_int_equal(scan_count_lines("a\nb\r\nc\rd", 8, '\0'), 3);
  assert_int_equal(scan_count_lines("\n\n", 2, '\r'), 1);
  assert_int_equal(scan_count_lines("\r\r\n\n", 4, '\n'), 3);
}

static void test_lines_are_skipped_by_every_scanner(void **unused) {
  (void)unused;
  static struct bytes bytes;
  for (int i = 0; i < 500; i++) {
    make_bytes(&bytes);
    const uint32_t from = below(bytes.len + 1), count = below(30);
    const uint32_t wanted = scan_skip_lines_by(SCAN_PLAINLY, bytes.data, from, bytes.len, count);
    assert_true(wanted == bytes.len || count == 0 || bytes.data[wanted - 1] == '\n');
    for (int set = SCAN_PLAINLY; set <= scan_widest(); set++) {
      assert_int_equal(scan_skip_lines_by(set, bytes.data, from, bytes.len, count), wanted);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_scanner_reads_what_the_reader_reads),
                                     cmocka_unit_test(test_lines_are_counted_as_the_reader_counts),
                                     cmocka_unit_test(test_lines_are_skipped_by_every_scanner)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
