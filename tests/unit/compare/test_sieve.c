// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The sieve case by case: what it settles, what it refuses, and what it does when memory, disk or the input fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "base/fault.h"
#include "compare/sieve.h"
#include "torture.h"

static char folder[] = "/tmp/dray-sieve-XXXXXX";
static char old_path[64], new_path[64];
static const struct dr_sieve_key id_key = {"id", {DRAY_TYPE_INT64, 0, 0}};
static const struct dr_sieve_key name_key = {"name", {DRAY_TYPE_STRING, 0, 0}};

static void write_file(const char *path, const char *data, size_t len) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

static struct dr_sieve_options options_of(const struct dr_sieve_key *key) {
  return (struct dr_sieve_options){
      .paths = {old_path, new_path}, .temp_folder = folder, .header = 1, .keys = key, .key_count = 1};
}

static struct dr_sieve *sieve_of(const struct dr_sieve_options *options, const char *old_text, const char *new_text) {
  struct dr_sieve *sieve = NULL;
  struct dray_error error;
  dray_error_init(&error);
  write_file(old_path, old_text, strlen(old_text));
  write_file(new_path, new_text, strlen(new_text));
  if (dr_sieve_run(options, &sieve, &error) != DRAY_OK) fail_msg("%s", error.text);
  return sieve;
}

static void assert_rest(const struct dr_sieve *sieve, int side, const char *wanted) {
  char data[4096];
  FILE *file = fopen(dr_sieve_result(sieve)->sides[side].rest_path, "rb");
  assert_non_null(file);
  const size_t len = fread(data, 1, sizeof(data) - 1, file);
  data[len] = '\0';
  (void)fclose(file);
  assert_string_equal(data, wanted);
}

static void assert_sieved(const struct dr_sieve_options *options, const char *old_text, const char *new_text,
                          const char *old_rest, const char *new_rest) {
  struct dr_sieve *sieve = sieve_of(options, old_text, new_text);
  if (!dr_sieve_result(sieve)->sievable) fail_msg("%s", dr_sieve_result(sieve)->reason);
  assert_rest(sieve, DR_SIEVE_OLD, old_rest);
  assert_rest(sieve, DR_SIEVE_NEW, new_rest);
  dr_sieve_free(sieve);
}

static void assert_refused(const struct dr_sieve_options *options, const char *old_text, const char *new_text,
                           const char *reason) {
  struct dr_sieve *sieve = sieve_of(options, old_text, new_text);
  const struct dr_sieve_result *result = dr_sieve_result(sieve);
  assert_int_equal(result->sievable, 0);
  if (strstr(result->reason, reason) == NULL) fail_msg("'%s' does not say '%s'", result->reason, reason);
  assert_null(result->sides[0].rest_path);
  assert_null(result->sides[1].rest_path);
  dr_sieve_free(sieve);
}

// ---- what is settled ----

static void test_equal_rows_are_settled_in_any_order_and_the_rest_stays_in_order(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  assert_sieved(&options, "id,name\n1,a\n2,b\n3,c\n4,d\n5,e\n", "id,name\n5,e\n4,D\n9,i\n1,a\n3,c\n",
                "id,name\n2,b\n4,d\n", "id,name\n4,D\n9,i\n");
}

static void test_all_copies_of_a_key_are_left_wherever_they_are(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  assert_sieved(&options, "id,name\n1,a\n1,a\n2,b\n3,c\n", "id,name\n1,a\n2,b\n3,c\n3,x\n2,b\n",
                "id,name\n1,a\n1,a\n2,b\n3,c\n", "id,name\n1,a\n2,b\n3,c\n3,x\n2,b\n");
}

static void test_two_spellings_of_a_number_are_one_key(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  assert_sieved(&options, "id,name\n7,a\n007,b\n8,c\n\"9\",d\n-0,e\n0,f\n", "id,name\n7,a\n+8,z\n8,c\n9,d\n0,f\n-0,e\n",
                "id,name\n7,a\n007,b\n8,c\n\"9\",d\n-0,e\n0,f\n", "id,name\n7,a\n+8,z\n8,c\n9,d\n0,f\n-0,e\n");
  // As text they are two.
  const struct dr_sieve_key text = {"id", {DRAY_TYPE_STRING, 0, 0}};
  const struct dr_sieve_options as_text = options_of(&text);
  assert_sieved(&as_text, "id,name\n7,a\n007,b\n\"9\",d\n", "id,name\n007,b\n7,a\n9,d\n", "id,name\n\"9\",d\n",
                "id,name\n9,d\n");
}

static void test_keys_that_are_none_are_left(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  assert_sieved(&options, "id,name\n,a\nx,b\n1.0,c\n 2,d\n99999999999999999999,e\n\"\",f\n3,g\n",
                "id,name\n,a\nx,b\n1.0,c\n 2,d\n99999999999999999999,e\n\"\",f\n3,g\n",
                "id,name\n,a\nx,b\n1.0,c\n 2,d\n99999999999999999999,e\n\"\",f\n",
                "id,name\n,a\nx,b\n1.0,c\n 2,d\n99999999999999999999,e\n\"\",f\n");
}

static void test_numbers_of_every_length_are_told_apart(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  char text[1024] = "id,name\n";
  for (int digits = 1; digits <= 18; digits++) {
    const size_t at = strlen(text);
    (void)snprintf(text + at, sizeof(text) - at, "%.*s,a\n-%.*s,b\n", digits, "123456789012345678", digits,
                   "123456789012345678");
  }
  struct dr_sieve *sieve = sieve_of(&options, text, text);
  assert_int_equal(dr_sieve_result(sieve)->unchanged, 36);
  dr_sieve_free(sieve);
}

static void test_bad_records_are_left_with_what_is_around_them_settled(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  const char *text = "id,name\n1,a\n2\n3,c,d\n4,\xFF\n5,e\"e\n6,\"f\"g\n7,\"h\nh\"\n8,\"i\n";
  assert_sieved(&options, text, text, "id,name\n2\n3,c,d\n4,\xFF\n8,\"i\n\n", "id,name\n2\n3,c,d\n4,\xFF\n8,\"i\n\n");
}

static void test_line_ends_bom_and_blank_lines_do_not_matter(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  assert_sieved(&options, "\xEF\xBB\xBFid,name\r\n1,a\r\n\r\n2,b\r\n3,c", "id,name\n\n1,a\n2,b\r3,c\n4,d", "id,name\n",
                "id,name\n4,d\n");
}

static void test_without_a_header_columns_have_numbers_or_the_given_names(void **unused) {
  (void)unused;
  static const char *const names[] = {"id", "name"};
  const struct dr_sieve_key second = {"column_2", {DRAY_TYPE_STRING, 0, 0}};
  struct dr_sieve_options options = options_of(&second);
  options.header = 0;
  assert_sieved(&options, "1,a\n2,b\n", "1,a\n3,b\n",
                "\xEF\xBB\xBF"
                "2,b\n",
                "\xEF\xBB\xBF"
                "3,b\n");
  options.keys = &name_key;
  options.columns = names;
  options.column_count = 2;
  assert_sieved(&options, "1,a\n2,b\n", "",
                "\xEF\xBB\xBF"
                "1,a\n2,b\n",
                "\xEF\xBB\xBF");
}

static void test_null_values_are_those_that_are_given(void **unused) {
  (void)unused;
  static const char *const nulls[] = {"5", "none"};
  struct dr_sieve_options options = options_of(&id_key);
  options.null_values = nulls;
  options.null_count = 2;
  assert_sieved(&options, "id,name\n5,a\n\"5\",b\n6,c\n", "id,name\n6,c\n5,a\n\"5\",b\n", "id,name\n5,a\n",
                "id,name\n5,a\n");
}

static void test_an_origin_is_the_line_of_the_input(void **unused) {
  (void)unused;
  const struct dr_sieve_options options = options_of(&id_key);
  struct dr_sieve_origin origin;
  struct dr_sieve *sieve = sieve_of(&options, "id,name\n1,a\n\n2,\"b\nb\"\n3,c\n4,d\n", "id,name\n1,a\n3,c\n");
  assert_rest(sieve, DR_SIEVE_OLD, "id,name\n2,\"b\nb\"\n4,d\n");
  assert_int_equal(dr_sieve_origin(sieve, DR_SIEVE_OLD, 2, &origin, NULL), DRAY_OK);
  assert_int_equal(origin.line, 4);
  assert_int_equal(dr_sieve_origin(sieve, DR_SIEVE_OLD, 3, &origin, NULL), DRAY_OK); // still the same record
  assert_int_equal(origin.line, 4);
  assert_int_equal(dr_sieve_origin(sieve, DR_SIEVE_OLD, 4, &origin, NULL), DRAY_OK);
  assert_int_equal(origin.line, 7);
  assert_int_equal(origin.byte_offset, 25);
  assert_int_equal(dr_sieve_origin(sieve, DR_SIEVE_OLD, 1, &origin, NULL), DRAY_E_LIMIT);
  assert_int_equal(dr_sieve_origin(sieve, DR_SIEVE_NEW, 2, &origin, NULL), DRAY_E_LIMIT);
  dr_sieve_free(sieve);
}

// ---- what is refused ----

static void test_what_cannot_be_sieved_is_refused_with_a_reason(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  assert_refused(&options, "id,name\n1,a\n", "name,id\na,1\n", "column 1 is id in one file and name in the other");
  assert_refused(&options, "id,name\n1,a\n", "id\n1\n", "has 2 columns");
  assert_refused(&options, "id,id\n1,a\n", "id,id\n1,a\n", "two columns have the name id");
  assert_refused(&options, "id,\n1,a\n", "id,\n1,a\n", "no usable name");
  assert_refused(&options, "key,name\n1,a\n", "key,name\n1,a\n", "there is no column id");
  assert_refused(&options, "", "id,name\n", "holds no record");
  assert_refused(&options, "id,\"name\n1,a\n", "id,name\n", "cannot be read");
  assert_refused(&options, "\x1F\x8B\x08", "id,name\n", "gzip");
  options.csv.record_bytes_max = 10;
  assert_refused(&options, "id,name\n1,123456789\n", "id,name\n", "more than 10 bytes");
  assert_refused(&options, "id,name\n1,\"a\n2,b\n3,c\n4,d\n", "id,name\n", "more than 10 bytes");
  options = options_of(&id_key);
  options.csv.delimiter = (char)0xA7;
  assert_refused(&options, "id,name\n", "id,name\n", "not ASCII");
}

static void test_what_is_no_regular_file_is_refused(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  struct dr_sieve *sieve = NULL;
  char pipe_path[64];
  (void)snprintf(pipe_path, sizeof(pipe_path), "%s/pipe", folder);
  assert_int_equal(mkfifo(pipe_path, 0600), 0);
  options.paths[0] = pipe_path;
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_OK);
  assert_int_equal(dr_sieve_result(sieve)->sievable, 0);
  dr_sieve_free(sieve);
  (void)unlink(pipe_path);
}

static void test_options_that_make_no_sense_are_errors(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  struct dr_sieve *sieve = NULL;
  write_file(old_path, "id,name\n", 8);
  write_file(new_path, "id,name\n", 8);
  options.key_count = 0;
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_E_CONFIG_VALUE);
  options = options_of(&id_key);
  options.threads = 65;
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_E_CONFIG_VALUE);
  options = options_of(&id_key);
  options.csv.delimiter = options.csv.quote = '"';
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_E_CONFIG_VALUE);
  options = options_of(&id_key);
  options.paths[1] = "/nowhere/at/all.csv";
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_E_IO);
  options = options_of(&id_key);
  options.temp_folder = "/nowhere/at/all";
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_E_IO);
  assert_null(sieve);
}

// ---- what fails ----

#define MANY_ROWS 20000

// Enough to be spilled under a budget of nothing; NEW lacks every tenth row and has every hundredth twice.
static void write_many(void) {
  for (int side = 0; side < 2; side++) {
    FILE *file = fopen(side == 0 ? old_path : new_path, "wb");
    assert_non_null(file);
    (void)fputs("id,name\n", file);
    for (int i = 0; i < MANY_ROWS; i++) {
      if (side == 1 && i % 10 == 0) continue;
      for (int copies = side == 1 && i % 100 == 1 ? 2 : 1; copies > 0; copies--)
        (void)fprintf(file, "%d,row %d\n", i, i);
    }
    assert_int_equal(fclose(file), 0);
  }
}

static int32_t attempt(void *context) {
  struct dr_sieve *sieve = NULL;
  struct dray_error error;
  dray_error_init(&error);
  const int32_t rc = dr_sieve_run(context, &sieve, &error);
  if (rc == DRAY_OK) dr_sieve_free(sieve);
  if (rc != DRAY_OK) assert_int_not_equal(error.text[0], '\0');
  return rc;
}

static void test_every_failing_allocation_is_reported(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  write_many();
  options.threads = 1;
  options.chunk_bytes = 20000;
  options.memory_bytes = 4 << 20;
  assert_true(torture_every(attempt, &options) > 40);
  write_file(old_path, "id,name\n\"1\",\"a\"\"\"\n2,b\n", 22);
  write_file(new_path, "id,name\n\"1\",\"a\"\"\"\n3,b\n", 22);
  assert_true(torture_every(attempt, &options) > 20);
}

static void test_every_failing_allocation_of_a_spilled_run_is_reported(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  write_many();
  options.threads = 1;
  options.memory_bytes = 1;
  options.chunk_bytes = 40000;
  // All of them would be thousands of runs over 20,000 rows: every seventh.
  for (uint64_t n = 1;; n += 7) {
    (void)torture_arm(n);
    const int32_t rc = attempt(&options);
    const int failed = torture_arm(0);
    assert_int_equal(rc, failed ? DRAY_E_OUT_OF_MEMORY : DRAY_OK);
    if (!failed) break;
  }
}

// In a child with a fault armed, since faults are read once a process. Returns the child's exit status.
static int run_under(const char *fault, const struct dr_sieve_options *options) {
  (void)fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)setenv("DRAY_TEST", "1", 1);
    (void)setenv("DRAY_FAULT", fault, 1);
    dr_fault_reload();
    const int32_t rc = attempt((void *)(uintptr_t)options);
    _exit(rc == DRAY_OK ? 0 : rc == DRAY_E_DISK_FULL ? 1 : rc == DRAY_E_IO ? 2 : rc == DRAY_E_OUT_OF_MEMORY ? 3 : 4);
  }
  int status = -1;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void test_every_failing_step_is_reported_and_leaves_nothing(void **unused) {
  (void)unused;
  static const struct {
    const char *step;
    int status;
    int passes; // at least so many
  } steps[] = {{"enospc:compare.write", 1, 20},
               {"eio:compare.write", 2, 20},
               {"enospc:compare.create", 1, 4},
               {"eio:file.read", 2, 20},
               {"eio:compare.reserve", 3, 3}};
  write_many();
  for (int spilled = 0; spilled < 2; spilled++) {
    struct dr_sieve_options options = options_of(&id_key);
    options.memory_bytes = spilled ? 1 : 0;
    options.chunk_bytes = 30000;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
      int pass = 1, status = -1;
      for (; pass < 400; pass += pass < 40 ? 1 : 37) {
        char fault[64];
        (void)snprintf(fault, sizeof(fault), "%s:%d", steps[i].step, pass);
        status = run_under(fault, &options);
        if (status == 0) break;
        assert_int_equal(status, steps[i].status);
      }
      assert_true(pass > steps[i].passes);
    }
  }
}

static const char *changed_path;
static long changed_to;
static void change_input(void *context, uint64_t done, uint64_t total) {
  (void)context, (void)done, (void)total;
  if (changed_path != NULL) assert_int_equal(truncate(changed_path, changed_to), 0);
  changed_path = NULL;
}

static void test_an_input_that_changes_is_an_error(void **unused) {
  (void)unused;
  const char *const paths[] = {old_path, new_path};
  for (int i = 0; i < 4; i++) {
    struct dr_sieve_options options = options_of(&id_key);
    struct dray_error error;
    struct dr_sieve *sieve = NULL;
    struct stat info;
    write_many();
    assert_int_equal(stat(paths[i % 2], &info), 0);
    changed_path = paths[i % 2];
    changed_to = i < 2 ? 100 : info.st_size + 100;
    options.progress = change_input;
    options.chunk_bytes = 5000;
    dray_error_init(&error);
    assert_int_equal(dr_sieve_run(&options, &sieve, &error), DRAY_E_IO);
    assert_non_null(strstr(error.text, paths[i % 2]));
  }
}

static uint64_t last_done, last_total;
static void take_progress(void *context, uint64_t done, uint64_t total) {
  (void)context;
  assert_true(done >= last_done && done <= total);
  last_done = done;
  last_total = total;
}
static void test_progress_never_goes_back_and_ends_at_the_total(void **unused) {
  (void)unused;
  struct dr_sieve_options options = options_of(&id_key);
  struct dr_sieve *sieve = NULL;
  write_many();
  options.progress = take_progress;
  options.threads = 1;
  options.chunk_bytes = 1000;
  assert_int_equal(dr_sieve_run(&options, &sieve, NULL), DRAY_OK);
  assert_true(last_total > 0);
  assert_int_equal(last_done, last_total);
  dr_sieve_free(sieve);
}

// ---- the frame ----

static int setup(void **unused) {
  (void)unused;
  if (mkdtemp(folder) == NULL) return -1;
  (void)snprintf(old_path, sizeof(old_path), "%s/old.csv", folder);
  (void)snprintf(new_path, sizeof(new_path), "%s/new.csv", folder);
  return 0;
}

// Nothing may be left behind but the inputs, whatever failed.
static int teardown(void **unused) {
  (void)unused;
  (void)unlink(old_path);
  (void)unlink(new_path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal_rows_are_settled_in_any_order_and_the_rest_stays_in_order),
      cmocka_unit_test(test_all_copies_of_a_key_are_left_wherever_they_are),
      cmocka_unit_test(test_two_spellings_of_a_number_are_one_key),
      cmocka_unit_test(test_keys_that_are_none_are_left),
      cmocka_unit_test(test_numbers_of_every_length_are_told_apart),
      cmocka_unit_test(test_bad_records_are_left_with_what_is_around_them_settled),
      cmocka_unit_test(test_line_ends_bom_and_blank_lines_do_not_matter),
      cmocka_unit_test(test_without_a_header_columns_have_numbers_or_the_given_names),
      cmocka_unit_test(test_null_values_are_those_that_are_given),
      cmocka_unit_test(test_an_origin_is_the_line_of_the_input),
      cmocka_unit_test(test_what_cannot_be_sieved_is_refused_with_a_reason),
      cmocka_unit_test(test_what_is_no_regular_file_is_refused),
      cmocka_unit_test(test_options_that_make_no_sense_are_errors),
      cmocka_unit_test(test_every_failing_allocation_is_reported),
      cmocka_unit_test(test_every_failing_allocation_of_a_spilled_run_is_reported),
      cmocka_unit_test(test_every_failing_step_is_reported_and_leaves_nothing),
      cmocka_unit_test(test_an_input_that_changes_is_an_error),
      cmocka_unit_test(test_progress_never_goes_back_and_ends_at_the_total),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
