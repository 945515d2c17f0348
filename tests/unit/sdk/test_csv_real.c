// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The CSV reader on the invoice lines of a real shop: every field is what Python's csv module reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "dray/sdk/csv.h"
#include "dray/sdk/input.h"

#define XZ "/usr/bin/xz"

static int find_data(char *out, size_t out_bytes) {
  const char *shared = getenv("DRAY_SHARED");
  if (shared != NULL) {
    (void)snprintf(out, out_bytes, "%s/data/online-retail/online_retail.csv.xz", shared);
  } else {
    const char *slash = strrchr(__FILE__, '/');
    (void)snprintf(out, out_bytes, "%.*s/../../../../shared/data/online-retail/online_retail.csv.xz",
                   (int)(slash - __FILE__), __FILE__);
  }
  return access(out, R_OK) == 0 && access(XZ, X_OK) == 0;
}

// Starts unpacking; returns the end of a pipe to read from.
static int unpack(const char *path, pid_t *out_pid) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  *out_pid = fork();
  assert_true(*out_pid >= 0);
  if (*out_pid == 0) {
    (void)dup2(ends[1], STDOUT_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    execl(XZ, XZ, "-dc", path, (char *)NULL);
    _exit(127);
  }
  (void)close(ends[1]);
  return ends[0];
}

// As the script that made the expected sum: fields joined by 0x1F, a newline behind.
static uLong add_record(uLong sum, const struct dray_csv_record *record) {
  for (size_t i = 0; i < record->field_count; i++) {
    if (i > 0) sum = crc32(sum, (const Bytef *)"\x1F", 1);
    sum = crc32(sum, (const Bytef *)record->fields[i].text.data, (uInt)record->fields[i].text.len);
  }
  return crc32(sum, (const Bytef *)"\n", 1);
}

static void test_reader_reads_a_real_shop_as_python_does(void **state) {
  (void)state;
  char path[1024];
  if (!find_data(path, sizeof(path))) {
    const char *ci = getenv("CI");
    assert_false(ci != NULL && strcmp(ci, "true") == 0);
    print_message("skipped: the data or " XZ " is not here\n");
    skip();
  }
  pid_t pid = -1;
  const int file = unpack(path, &pid);
  char pipe_path[32];
  (void)snprintf(pipe_path, sizeof(pipe_path), "/dev/fd/%d", file);
  struct dray_input *input = NULL;
  struct dray_csv_reader *reader = NULL;
  assert_int_equal(dray_input_open(pipe_path, &input, NULL), DRAY_OK);
  (void)close(file);
  assert_int_equal(dray_csv_reader_new(NULL, &reader, NULL), DRAY_OK);
  static char chunk[65536];
  uint64_t records = 0;
  uint64_t fields = 0;
  uLong sum = 0;
  for (size_t n = 1; n > 0;) {
    assert_int_equal(dray_input_read(input, chunk, sizeof(chunk), &n, NULL), DRAY_OK);
    int32_t had = 1;
    for (size_t at = 0; at < n || had;) {
      struct dray_csv_record record;
      size_t used = 0;
      assert_int_equal(dray_csv_reader_feed(reader, chunk + at, n - at, n == 0, &used, &record, &had, NULL), DRAY_OK);
      at += used;
      if (!had) continue;
      assert_int_equal(record.code, 0);
      records++;
      fields += record.field_count;
      sum = add_record(sum, &record);
    }
  }
  assert_int_equal(records, 541910); // with the header
  assert_int_equal(fields, 541910 * 8);
  assert_int_equal(sum, 0x0788caac);
  dray_csv_reader_free(reader);
  dray_input_close(input);
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reader_reads_a_real_shop_as_python_does)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
