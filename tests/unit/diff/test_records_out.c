// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Records in blocks: the same bytes whether who adds them packs the blocks or a thread does, and whoever of the two had
// time for which.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff/format.h"
#include "world.h"

#define LARGEST (3u << 20) // a record that is larger than all that waits otherwise

static struct dray_error error;
static char *noise; // LARGEST bytes

static int make_noise(void **state) {
  (void)state;
  uint64_t chance = 88172645463325252u;
  noise = malloc(LARGEST);
  assert_non_null(noise);
  for (size_t i = 0; i < LARGEST; i++) {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    noise[i] = (char)chance;
  }
  dray_error_init(&error);
  return 0;
}

static int free_noise(void **state) {
  (void)state;
  free(noise);
  return 0;
}

// Record `i`: mostly short text that packs well, some noise that does not, once a while a large one.
static struct dray_str record(size_t i) {
  static char text[200];
  if (i % 5000 == 4999) return dray_str_make(noise, LARGEST);
  if (i % 7 == 3) return dray_str_make(noise + i, 3000);
  (void)snprintf(text, sizeof text, "order %zu of somebody who lives in a street and is called by a name", i);
  return dray_str_of(text);
}

static int32_t write_records(struct dr_rows_out *rows, size_t count) {
  const struct dr_block block = {
      .kind = DR_BLOCK_ROWS, .count = 3, .raw_bytes = 40, .stored = dray_str_make(noise + 99, 40)};
  for (size_t i = 0; i < count; i++) {
    const struct dray_str bytes = record(i);
    DRAY_TRY(dr_rows_out_add(rows, &bytes, 1, &error));
    if (i % 1000 == 500) DRAY_TRY(dr_rows_out_copy(rows, &block, &error));
  }
  return dr_rows_out_close(rows, &error);
}

// All that is written to `path`, and in *out_places where the blocks begin.
static int32_t write_file(const char *path, size_t count, int beside, struct dray_buffer *out_places) {
  struct dr_out out;
  struct dr_rows_out rows;
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  dr_out_init(&out, fd, path);
  dr_rows_out_init(&rows, &out);
  int32_t rc = beside ? dr_rows_out_beside(&rows, &error) : DRAY_OK;
  if (rc == DRAY_OK) rc = write_records(&rows, count);
  if (rc == DRAY_OK) rc = dr_out_flush(&out, &error);
  if (rc == DRAY_OK) assert_true(rows.count == count + 3 * ((count + 499) / 1000));
  if (rc == DRAY_OK) rc = dray_buffer_append(out_places, rows.places.data, rows.places.len, &error);
  dr_rows_out_free(&rows);
  dr_out_free(&out);
  (void)close(fd);
  return rc;
}

static void read_file(const char *path, struct dray_buffer *out) {
  struct stat info;
  char *to = NULL;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0 && fstat(fd, &info) == 0);
  assert_int_equal(dray_buffer_reserve(out, (size_t)info.st_size, &to, &error), DRAY_OK);
  assert_int_equal(read(fd, to, (size_t)info.st_size), info.st_size);
  out->len = (size_t)info.st_size;
  (void)close(fd);
}

static void assert_same_bytes(const struct dray_buffer *a, const struct dray_buffer *b) {
  assert_true(a->len > 0 || b->len == 0);
  assert_int_equal(a->len, b->len);
  if (a->len > 0) assert_memory_equal(a->data, b->data, a->len);
}

static void test_a_thread_writes_the_same_blocks(void **state) {
  (void)state;
  static const size_t counts[] = {0, 1, 100, 6000};
  char path[2][64] = {"/tmp/dray-records-XXXXXX", "/tmp/dray-records-XXXXXX"};
  for (size_t i = 0; i < 2; i++) (void)close(mkstemp(path[i]));
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    struct dray_buffer bytes[2], places[2];
    for (int beside = 0; beside < 2; beside++) {
      dray_buffer_init(&bytes[beside], 256u << 20);
      dray_buffer_init(&places[beside], 1u << 20);
      assert_int_equal(write_file(path[beside], counts[i], beside, &places[beside]), DRAY_OK);
      read_file(path[beside], &bytes[beside]);
    }
    assert_same_bytes(&bytes[0], &bytes[1]);
    assert_same_bytes(&places[0], &places[1]);
    for (size_t k = 0; k < 2; k++) {
      dray_buffer_free(&bytes[k]);
      dray_buffer_free(&places[k]);
    }
  }
  for (size_t i = 0; i < 2; i++) (void)unlink(path[i]);
}

static void test_a_write_that_fails_is_told(void **state) {
  (void)state;
  for (int beside = 0; beside < 2; beside++) {
    struct dray_buffer places;
    dray_buffer_init(&places, 1u << 20);
    dray_error_init(&error);
    assert_int_equal(write_file("/dev/full", 6000, beside, &places), DRAY_E_DISK_FULL);
    assert_non_null(strstr(error.text, "/dev/full"));
    dray_buffer_free(&places);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_thread_writes_the_same_blocks),
      cmocka_unit_test(test_a_write_that_fails_is_told),
  };
  return cmocka_run_group_tests(tests, make_noise, free_noise);
}
