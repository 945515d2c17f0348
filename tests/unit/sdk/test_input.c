// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Input files: plain and gzip give the same bytes; damage and cuts are errors, never an early end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "dray/sdk/input.h"
#include "torture.h"

enum { TEXT_BYTES = 300000, PACKED_MAX = 400000 };

static char folder[] = "/tmp/dray-input-XXXXXX";
static char path[64];
static unsigned char text[TEXT_BYTES];
static unsigned char packed[PACKED_MAX];

static int make_folder(void **state) {
  (void)state;
  if (mkdtemp(folder) == NULL) return -1;
  (void)snprintf(path, sizeof(path), "%s/file", folder);
  uint32_t x = 1;
  for (size_t i = 0; i < sizeof(text); i++) { // packs, but not to nothing
    x = x * 1664525 + 1013904223;
    text[i] = (unsigned char)("0123456789abcdef\n"[(x >> 24) % 17]);
  }
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  (void)unlink(path);
  return rmdir(folder);
}

static void write_file(const void *data, size_t len) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

// Appends a gzip member with `len` bytes of `data` at packed[at]; returns its end.
static size_t pack(size_t at, const unsigned char *data, size_t len) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  unsigned char *in = malloc(len + 1);
  assert_non_null(in);
  memcpy(in, data, len);
  z.next_in = in;
  z.avail_in = (uInt)len;
  z.next_out = packed + at;
  z.avail_out = (uInt)(sizeof(packed) - at);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  const size_t end = sizeof(packed) - z.avail_out;
  assert_int_equal(deflateEnd(&z), Z_OK);
  free(in);
  return end;
}

// Reads from where `input` stands to its end in pieces of `piece`, comparing with text[from..]. Returns the code;
// *out_total the bytes.
static int32_t drain(struct dray_input *input, size_t from, size_t piece, size_t *out_total, struct dray_error *error) {
  unsigned char buffer[70000];
  size_t total = 0;
  for (;;) {
    size_t n = 0;
    const int32_t rc = dray_input_read(input, buffer, piece, &n, error);
    *out_total = total;
    if (rc != DRAY_OK || n == 0) return rc;
    assert_true(n <= piece);
    assert_true(from + total + n <= sizeof(text));
    assert_memory_equal(buffer, text + from + total, n);
    total += n;
  }
}

static int32_t read_file(size_t piece, size_t *out_total) {
  struct dray_input *input = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  int32_t rc = dray_input_open(path, &input, &error);
  if (rc != DRAY_OK) return rc;
  rc = drain(input, 0, piece, out_total, &error);
  if (rc != DRAY_OK) { // it sticks: nobody takes a later call for the end
    size_t n = 77;
    assert_int_equal(dray_input_read(input, &n, 1, &n, &error), rc);
  }
  dray_input_close(input);
  return rc;
}

static void test_input_reads_plain_files_of_every_small_size(void **state) {
  (void)state;
  for (size_t size = 0; size < 5; size++) {
    write_file(text, size);
    size_t total = 99;
    assert_int_equal(read_file(3, &total), DRAY_OK);
    assert_int_equal(total, size);
  }
}

static void test_input_reads_plain_and_gzip_alike(void **state) {
  (void)state;
  const size_t pieces[] = {1, 997, 65536, 70000};
  for (size_t i = 0; i < 4; i++) {
    size_t total = 0;
    write_file(text, sizeof(text));
    assert_int_equal(read_file(pieces[i], &total), DRAY_OK);
    assert_int_equal(total, sizeof(text));
    write_file(packed, pack(0, text, sizeof(text)));
    assert_int_equal(read_file(pieces[i], &total), DRAY_OK);
    assert_int_equal(total, sizeof(text));
  }
}

static void test_input_reads_all_members_of_a_gzip(void **state) {
  (void)state;
  size_t end = pack(0, text, 100);
  end = pack(end, text + 100, 0); // an empty member in the middle
  end = pack(end, text + 100, 200000);
  end = pack(end, text + 200100, sizeof(text) - 200100);
  memset(packed + end, 0, 1000); // padding of a block device or a tape
  const size_t paddings[] = {0, 1, 1000};
  for (size_t i = 0; i < 3; i++) {
    write_file(packed, end + paddings[i]);
    size_t total = 0;
    assert_int_equal(read_file(4096, &total), DRAY_OK);
    assert_int_equal(total, sizeof(text));
  }
}

static void test_input_reports_every_cut_of_a_gzip(void **state) {
  (void)state;
  const size_t first = pack(0, text, 50);
  const size_t end = pack(first, text + 50, 70);
  for (size_t cut = 2; cut < end; cut++) {
    if (cut == first) continue; // a whole member: nothing tells that there was another
    write_file(packed, cut);
    size_t total = 0;
    assert_int_equal(read_file(64, &total), DRAY_E_DATA_ENCODING);
  }
}

static void test_input_reports_damage_in_a_gzip(void **state) {
  (void)state;
  const size_t end = pack(0, text, 2000);
  const size_t places[] = {2, 10, end / 2, end - 6, end - 2}; // method, data, data, checksum, length
  for (size_t i = 0; i < 5; i++) {
    packed[places[i]] ^= 0x55;
    write_file(packed, end);
    struct dray_input *input = NULL;
    unsigned char buffer[4096];
    size_t n = 1;
    int32_t rc = dray_input_open(path, &input, NULL);
    assert_int_equal(rc, DRAY_OK);
    while (rc == DRAY_OK && n > 0) rc = dray_input_read(input, buffer, sizeof(buffer), &n, NULL);
    assert_int_equal(rc, DRAY_E_DATA_ENCODING);
    dray_input_close(input);
    packed[places[i]] ^= 0x55;
  }
}

static void test_input_reports_what_is_no_gzip_behind_a_member(void **state) {
  (void)state;
  const size_t end = pack(0, text, 2000);
  const char *const tails[] = {"garbage", "\x1Fx", "\x1F", "\0\0x"};
  const size_t lens[] = {7, 2, 1, 3};
  for (size_t i = 0; i < 4; i++) {
    memcpy(packed + end, tails[i], lens[i]);
    write_file(packed, end + lens[i]);
    size_t total = 0;
    assert_int_equal(read_file(4096, &total), DRAY_E_DATA_ENCODING);
    assert_int_equal(total, 2000);
  }
}

static void test_input_skips_in_plain_and_gzip(void **state) {
  (void)state;
  for (int gzip = 0; gzip < 2; gzip++) {
    if (gzip) {
      write_file(packed, pack(pack(0, text, 150000), text + 150000, sizeof(text) - 150000));
    } else {
      write_file(text, sizeof(text));
    }
    struct dray_input *input = NULL;
    unsigned char head[10];
    size_t n = 0;
    assert_int_equal(dray_input_open(path, &input, NULL), DRAY_OK);
    assert_int_equal(dray_input_skip(input, 0, NULL), DRAY_OK);
    assert_int_equal(dray_input_read(input, head, sizeof(head), &n, NULL), DRAY_OK);
    assert_int_equal(dray_input_skip(input, 200000, NULL), DRAY_OK);
    size_t total = 0;
    assert_int_equal(drain(input, n + 200000, 5000, &total, NULL), DRAY_OK);
    assert_int_equal(total, sizeof(text) - n - 200000);
    assert_int_equal(dray_input_skip(input, 0, NULL), DRAY_OK);
    struct dray_error error = {.struct_size = sizeof(error)};
    assert_int_equal(dray_input_skip(input, 1, &error), DRAY_E_STATE_CHECKPOINT);
    assert_int_equal(error.error_class, DRAY_CLASS_STATE);
    dray_input_close(input);
  }
}

static void test_input_tells_how_much_of_the_file_it_has_consumed(void **state) {
  (void)state;
  const size_t end = pack(0, text, sizeof(text));
  write_file(packed, end);
  struct dray_input *input = NULL;
  assert_int_equal(dray_input_open(path, &input, NULL), DRAY_OK);
  assert_int_equal(dray_input_raw_position(input), 0);
  assert_int_equal(dray_input_skip(input, sizeof(text) / 2, NULL), DRAY_OK);
  assert_in_range(dray_input_raw_position(input), end / 4, end * 3 / 4);
  size_t total = 0;
  assert_int_equal(drain(input, sizeof(text) / 2, 5000, &total, NULL), DRAY_OK);
  assert_int_equal(dray_input_raw_position(input), end);
  dray_input_close(input);
}

static void test_input_names_a_file_that_cannot_be_opened(void **state) {
  (void)state;
  struct dray_input *input = NULL;
  struct dray_error error = {.struct_size = sizeof(error)};
  assert_int_equal(dray_input_open("/nowhere/at/all.csv", &input, &error), DRAY_E_CONFIG_FILE);
  assert_non_null(strstr(error.text, "/nowhere/at/all.csv"));
  assert_int_equal(dray_input_open(folder, &input, &error), DRAY_E_CONFIG_FILE);
  assert_non_null(strstr(error.text, "folder"));
  assert_null(input);
}

static void test_input_reads_a_pipe_that_gives_single_bytes(void **state) {
  (void)state;
  char fifo[80];
  (void)snprintf(fifo, sizeof(fifo), "%s/pipe", folder);
  const size_t end = pack(0, text, 40);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    FILE *out = fopen(fifo, "wb");
    for (size_t i = 0; out != NULL && i < end; i++) {
      (void)fputc(packed[i], out);
      (void)fflush(out);
      if (i < 3) (void)usleep(20000);
    }
    _exit(0);
  }
  struct dray_input *input = NULL;
  assert_int_equal(dray_input_open(fifo, &input, NULL), DRAY_OK);
  assert_int_equal(dray_input_skip(input, 10, NULL), DRAY_OK);
  size_t total = 0;
  assert_int_equal(drain(input, 10, 7, &total, NULL), DRAY_OK);
  assert_int_equal(total, 30);
  dray_input_close(input);
  (void)unlink(fifo);
}

static int32_t attempt(void *ctx) {
  size_t *total = ctx;
  return read_file(4096, total);
}

static void test_input_survives_every_failing_allocation(void **state) {
  (void)state;
  write_file(packed, pack(pack(0, text, 150000), text + 150000, 1000));
  size_t total = 0;
  assert_true(torture_every(attempt, &total) >= 3); // the input, zlib's state and window
  assert_int_equal(total, 151000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_input_reads_plain_files_of_every_small_size),
      cmocka_unit_test(test_input_reads_plain_and_gzip_alike),
      cmocka_unit_test(test_input_reads_all_members_of_a_gzip),
      cmocka_unit_test(test_input_reports_every_cut_of_a_gzip),
      cmocka_unit_test(test_input_reports_damage_in_a_gzip),
      cmocka_unit_test(test_input_reports_what_is_no_gzip_behind_a_member),
      cmocka_unit_test(test_input_skips_in_plain_and_gzip),
      cmocka_unit_test(test_input_tells_how_much_of_the_file_it_has_consumed),
      cmocka_unit_test(test_input_names_a_file_that_cannot_be_opened),
      cmocka_unit_test(test_input_reads_a_pipe_that_gives_single_bytes),
      cmocka_unit_test(test_input_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
