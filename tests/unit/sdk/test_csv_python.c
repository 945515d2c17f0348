// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The CSV reader against Python's: thousands of generated texts full of quotes and line ends must give the same fields.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dray/sdk/csv.h"

#define PYTHON "/usr/bin/python3"
#define LINE_MAX_BYTES 4096

static FILE *start_python(pid_t *out_pid) {
  char script[1024];
  const char *slash = strrchr(__FILE__, '/');
  assert_non_null(slash);
  const int n = snprintf(script, sizeof(script), "%.*scsv_cases.py", (int)(slash - __FILE__ + 1), __FILE__);
  assert_in_range(n, 1, (int)sizeof(script) - 1);
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    (void)dup2(ends[1], STDOUT_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    execl(PYTHON, PYTHON, script, (char *)NULL);
    _exit(127);
  }
  (void)close(ends[1]);
  *out_pid = pid;
  return fdopen(ends[0], "r");
}

static size_t unhex(const char *text, size_t len, char *out) {
  if (len == 1) return 0; // "-"
  for (size_t i = 0; i + 1 < len; i += 2) {
    unsigned value = 0;
    assert_int_equal(sscanf(text + i, "%2x", &value), 1);
    out[i / 2] = (char)value;
  }
  return len / 2;
}

// Compares one record with a line "r HEX HEX ...".
static void expect_record(const struct dray_csv_record *record, const char *line) {
  assert_int_equal(record->code, 0);
  size_t i = 0;
  for (const char *p = line + 1; *p == ' '; i++) {
    char wanted[LINE_MAX_BYTES];
    const size_t len = strcspn(p + 1, " \n");
    const size_t bytes = unhex(p + 1, len, wanted);
    assert_true(i < record->field_count);
    assert_int_equal(record->fields[i].text.len, bytes);
    assert_memory_equal(record->fields[i].text.data, wanted, bytes);
    p += 1 + len;
  }
  assert_int_equal(record->field_count, i);
}

static void check_case(const char *header, FILE *lines, size_t piece) {
  char text[LINE_MAX_BYTES];
  const size_t hex_len = strcspn(header + 7, "\n");
  const size_t len = unhex(header + 7, hex_len, text);
  const struct dray_csv_options options = {.delimiter = header[5]};
  struct dray_csv_reader *reader = NULL;
  assert_int_equal(dray_csv_reader_new(&options, &reader, NULL), DRAY_OK);
  size_t at = 0;
  char line[LINE_MAX_BYTES];
  for (;;) {
    struct dray_csv_record record;
    int32_t had = 0;
    int32_t done = 0;
    while (!had && !done) {
      size_t used = 0;
      const size_t n = len - at < piece ? len - at : piece;
      assert_int_equal(dray_csv_reader_feed(reader, text + at, n, at + n == len, &used, &record, &had, NULL), DRAY_OK);
      at += used;
      done = !had && at == len;
    }
    assert_non_null(fgets(line, sizeof(line), lines));
    if (line[0] != 'r') break;
    assert_true(had);
    expect_record(&record, line);
  }
  assert_string_equal(line, "end\n");
  assert_int_equal(at, len);
  dray_csv_reader_free(reader);
}

static void test_reader_reads_nasty_files_as_python_does(void **state) {
  (void)state;
  if (access(PYTHON, X_OK) != 0) {
    const char *ci = getenv("CI");
    assert_false(ci != NULL && strcmp(ci, "true") == 0);
    print_message("skipped: there is no " PYTHON "\n");
    skip();
  }
  pid_t pid = -1;
  FILE *lines = start_python(&pid);
  assert_non_null(lines);
  char header[LINE_MAX_BYTES];
  size_t cases = 0;
  while (fgets(header, sizeof(header), lines) != NULL) {
    assert_memory_equal(header, "case ", 5);
    check_case(header, lines, 1 + cases % 9);
    cases++;
  }
  (void)fclose(lines);
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_true(cases > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reader_reads_nasty_files_as_python_does)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
