// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading what is new: what was read may be read again, and nothing may be skipped.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "bytes.h"

// What an incremental run gives, without the line of the columns. Keeps the state for the next one.
struct session {
  struct bench *bench;
  const char *path, *more, *stream;
  char *state;
  char *rows;
};

static const char *run(struct session *session) {
  struct dray_source *source = bench_source(session->bench, session->path, session->more);
  char *state = NULL;
  free(session->rows);
  session->rows = bench_rows(source, session->stream, DRAY_READ_INCREMENTAL, session->state, 1000, &state);
  free(session->state);
  session->state = state;
  assert_true(state[0] != '\0');
  file_source_vtable.destroy(source);
  return strchr(session->rows, '\n') + 1;
}

static void end(struct session *session) {
  free(session->rows);
  free(session->state);
}

static void touch(const struct bench *bench, const char *name, int64_t seconds) {
  const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
  assert_int_equal(utimensat(AT_FDCWD, bench_path(bench, name), times, 0), 0);
}

static void test_the_second_run_reads_nothing(void **state) {
  struct session session = {*state, "a.csv", "", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id\n1\n2\n");
  assert_string_equal(run(&session), "1\n2\n");
  assert_string_equal(run(&session), "");
  // Not even looked into: the content could be anything as long as size and time are the same.
  struct stat info;
  assert_int_equal(stat(bench_path(session.bench, "a.csv"), &info), 0);
  bench_write(session.bench, "a.csv", "id\n8\n9\n");
  const struct timespec times[2] = {info.st_mtim, info.st_mtim};
  assert_int_equal(utimensat(AT_FDCWD, bench_path(session.bench, "a.csv"), times, 0), 0);
  assert_string_equal(run(&session), "");
  end(&session);
}

static void test_appended_records_alone_are_read(void **state) {
  struct session session = {*state, "a.csv", "", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id\n1\n2\n");
  assert_string_equal(run(&session), "1\n2\n");
  bench_append(session.bench, "a.csv", "3\n");
  assert_string_equal(run(&session), "3\n");
  bench_append(session.bench, "a.csv", "\"4\n\"\nx\n");
  assert_string_equal(run(&session), "4\n\nx\n"); // and the column is a string now
  assert_string_equal(run(&session), "");
  end(&session);
}

static void test_lines_are_counted_on(void **state) {
  struct session session = {*state, "a.csv", "\"types\": {\"id\": \"int64\"}, \"line_column\": \"line\"",
                            "a",    NULL,    NULL};
  bench_write(session.bench, "a.csv", "id\n1\n2\n");
  assert_string_equal(run(&session), "1 2\n2 3\n");
  bench_append(session.bench, "a.csv", "3\nx\n");
  assert_string_equal(run(&session), "3 4\n! data_type: a.csv line 5: column id: 'x' is not an integer\n");
  end(&session);
}

static void test_new_files_of_a_pattern_are_read(void **state) {
  struct session session = {*state, "o-*.csv", "", "o", NULL, NULL};
  bench_write(session.bench, "o-2.csv", "id\n2\n");
  assert_string_equal(run(&session), "2\n");
  bench_write(session.bench, "o-1.csv", "id\n1\n");
  bench_write(session.bench, "o-3.csv", "id\n3\n");
  assert_string_equal(run(&session), "1\n3\n");
  assert_int_equal(unlink(bench_path(session.bench, "o-1.csv")), 0);
  bench_append(session.bench, "o-3.csv", "4\n");
  assert_string_equal(run(&session), "4\n");
  assert_string_equal(run(&session), "");
  end(&session);
}

static void test_a_rewritten_file_is_read_again(void **state) {
  struct session session = {*state, "a.csv", "", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id\n1\n2\n3\n");
  assert_string_equal(run(&session), "1\n2\n3\n");
  bench_write(session.bench, "a.csv", "id\n1\n2\n"); // shrunk
  assert_string_equal(run(&session), "1\n2\n");
  bench_write(session.bench, "a.csv", "id\n1\n5\n6\n"); // grown, but not only
  assert_string_equal(run(&session), "1\n5\n6\n");
  bench_write(session.bench, "a.csv", "id\n1\n7\n6\n"); // one byte in the middle
  touch(session.bench, "a.csv", 1000000);
  assert_string_equal(run(&session), "1\n7\n6\n");
  assert_non_null(strstr(session.bench->log, "is read from its beginning"));
  end(&session);
}

static void test_a_touched_file_is_not_read_again(void **state) {
  struct session session = {*state, "a.csv", "", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id\n1\n");
  assert_string_equal(run(&session), "1\n");
  touch(session.bench, "a.csv", 1000000);
  assert_string_equal(run(&session), "");
  end(&session);
}

static void write_long(struct bench *bench, char middle, const char *tail) {
  FILE *file = fopen(bench_path(bench, "a.csv"), "w");
  assert_non_null(file);
  assert_true(fputs("id\n", file) >= 0);
  for (int i = 0; i < 20000; i++) assert_true(fprintf(file, "%c%06d\n", i == 15000 ? middle : 'a', i) > 0);
  assert_true(fputs(tail, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

static void test_verify_says_how_much_must_be_the_same(void **state) {
  struct session whole = {*state, "a.csv", "", "a", NULL, NULL};
  struct session start = {*state, "a.csv", "\"verify\": \"start\"", "a", NULL, NULL};
  write_long(whole.bench, 'a', "");
  assert_int_equal(strlen(run(&whole)), 20000 * 8);
  assert_int_equal(strlen(run(&start)), 20000 * 8);
  write_long(whole.bench, 'X', "new\n"); // a change 120 KiB into the file
  assert_int_equal(strlen(run(&whole)), 20000 * 8 + 4);
  assert_string_equal(run(&start), "new\n"); // that is what the user has asked for
  end(&whole);
  end(&start);
}

static void test_a_last_line_without_its_end_is_read_again_when_it_grows(void **state) {
  struct session session = {*state, "a.csv", "\"infer\": false", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id,name\n1,a\n2,b");
  assert_string_equal(run(&session), "1 a\n2 b\n");
  assert_string_equal(run(&session), "");
  bench_append(session.bench, "a.csv", "ob\n3,c");
  assert_string_equal(run(&session), "2 bob\n3 c\n"); // "2,b" was not whole
  bench_append(session.bench, "a.csv", "\n");
  assert_string_equal(run(&session), ""); // only its line end came
  bench_append(session.bench, "a.csv", "4,d\n");
  assert_string_equal(run(&session), "4 d\n");
  end(&session);
}

static void test_gzip_is_resumed_by_its_unpacked_bytes(void **state) {
  struct session session = {*state, "a.csv.gz", "", "a", NULL, NULL};
  bench_gzip(session.bench, "a.csv.gz", "id\n1\n2\n");
  assert_string_equal(run(&session), "1\n2\n");
  bench_gzip(session.bench, "a.csv.gz", "3\n");
  assert_string_equal(run(&session), "3\n");
  assert_string_equal(run(&session), "");
  end(&session);
}

static void test_json_lines_are_resumed(void **state) {
  struct session session = {*state, "a.jsonl", "\"types\": {\"id\": \"int64\"}", "a", NULL, NULL};
  bench_write(session.bench, "a.jsonl", "{\"id\": 1}\n{\"id\": 2}");
  assert_string_equal(run(&session), "1\n2\n");
  assert_string_equal(run(&session), "");
  bench_append(session.bench, "a.jsonl", "\n{\"id\": 3}\n{\"id\": \"x\"}\n");
  const char *rows = run(&session);
  static const char told[] = "3\n! data_type: column 'id': a.jsonl line 4";
  assert_int_equal(strncmp(rows, told, sizeof(told) - 1), 0);
  assert_string_equal(run(&session), "");
  end(&session);
}

static void test_a_mark_does_not_depend_on_how_the_bytes_were_cut(void **state) {
  static char bytes[3 * FILE_HEAD_BYTES / 2 + 3];
  struct file_mark whole;
  (void)state;
  for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = (char)(i * 31 + i / 251);
  file_mark_start(&whole);
  file_mark_add(&whole, bytes, sizeof(bytes));
  static const size_t steps[] = {1, 3, 7, 8, 13, 4096, FILE_HEAD_BYTES - 1, FILE_HEAD_BYTES};
  for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
    struct file_mark cut;
    file_mark_start(&cut);
    for (size_t at = 0; at < sizeof(bytes); at += steps[k]) {
      file_mark_add(&cut, bytes + at, sizeof(bytes) - at < steps[k] ? sizeof(bytes) - at : steps[k]);
    }
    assert_memory_equal(&cut, &whole, sizeof(cut));
  }
  for (size_t at = 0; at < sizeof(bytes); at += sizeof(bytes) / 17) { // and any byte matters
    struct file_mark other;
    bytes[at] = (char)(bytes[at] ^ 4);
    file_mark_start(&other);
    file_mark_add(&other, bytes, sizeof(bytes));
    bytes[at] = (char)(bytes[at] ^ 4);
    assert_false(file_mark_same(&other, &whole, 0));
    assert_int_equal(file_mark_same(&other, &whole, 1), at >= FILE_HEAD_BYTES);
  }
}

static void add_lines(char *text, size_t text_bytes, const char *rows) {
  const char *body = strchr(rows, '\n') + 1;
  (void)snprintf(text + strlen(text), text_bytes - strlen(text), "%s", body);
}

// Reads batch by batch, ending the stream after each and resuming from its state: the same rows as without a break.
static void killed_at_every_batch(struct bench *bench, const char *path, const char *more, const char *stream,
                                  uint32_t mode) {
  struct dray_source *source = bench_source(bench, path, more);
  char *whole = bench_rows(source, stream, mode, "", 3, NULL);
  char pieces[8192] = "";
  char *state = NULL;
  for (int i = 0; i < 100; i++) {
    char *after = NULL;
    char *rows = bench_some_rows(source, stream, mode, state, 3, 1, &after);
    const int more_rows = strchr(rows, '\n')[1] != '\0';
    add_lines(pieces, sizeof(pieces), rows);
    free(rows);
    free(state);
    state = after;
    assert_true(state[0] != '\0');
    if (!more_rows) break;
  }
  assert_string_equal(pieces, strchr(whole, '\n') + 1);
  free(whole);
  free(state);
  file_source_vtable.destroy(source);
}

static void test_a_read_that_is_killed_at_every_batch_gives_the_same_rows(void **state) {
  struct bench *bench = *state;
  bench_write(bench, "o-1.csv", "id,name\r\n1,\"a\r\nb\"\r\n2,b\r\nx\r\n4,d\r\n5,e\r\n");
  bench_write(bench, "o-2.csv", "id,name\n6,f\n7,g\n8,h\n9,i\n10,j\n11,k\n12,l");
  bench_gzip(bench, "o-3.csv", "name,id\nm,13\nn,14\nzz,y\no,15\n");
  bench_write(bench, "l.jsonl",
              "{\"id\": 1}\n\n{\"id\": 2}\n{\"id\":\n{\"id\": 4}\n{\"id\": 5, \"n\": \"x\"}\n{\"id\": 6}\n{\"id\": "
              "7}\n{\"id\": 8}");
  const char *types = "\"types\": {\"id\": \"int64\"}";
  killed_at_every_batch(bench, "o-*.csv", types, "o", DRAY_READ_FULL);
  killed_at_every_batch(bench, "o-*.csv", types, "o", DRAY_READ_INCREMENTAL);
  killed_at_every_batch(bench, "l.jsonl", types, "l", DRAY_READ_FULL);
}

static void test_a_full_read_without_a_state_gives_everything_again(void **state) {
  struct session session = {*state, "a.csv", "", "a", NULL, NULL};
  bench_write(session.bench, "a.csv", "id\n1\n");
  assert_string_equal(run(&session), "1\n");
  struct dray_source *source = bench_source(session.bench, "a.csv", "");
  char *rows = bench_rows(source, "a", DRAY_READ_FULL, "", 10, NULL);
  assert_string_equal(rows, "id:int64\n1\n");
  free(rows);
  file_source_vtable.destroy(source);
  end(&session);
}

static void test_a_state_of_something_else_is_refused(void **state) {
  struct bench *bench = *state;
  struct dray_error error;
  bench_write(bench, "a.csv", "id\n1\n");
  struct dray_source *source = bench_source(bench, "a.csv", "");
  static const char *const states[] = {
      "x",
      "{}",
      "[]",
      "{\"version\":2,\"stream\":\"a\",\"files\":[]}",
      "{\"version\":1,\"stream\":\"b\",\"files\":[]}",
      "{\"version\":1,\"stream\":\"a\",\"files\":[{\"path\":\"x\"}]}",
  };
  for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
    assert_int_equal(bench_open_fails(source, "a", states[i], &error), DRAY_E_STATE_CHECKPOINT);
  }
  file_source_vtable.destroy(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_the_second_run_reads_nothing),
      TEST(test_appended_records_alone_are_read),
      TEST(test_lines_are_counted_on),
      TEST(test_new_files_of_a_pattern_are_read),
      TEST(test_a_rewritten_file_is_read_again),
      TEST(test_a_touched_file_is_not_read_again),
      TEST(test_verify_says_how_much_must_be_the_same),
      TEST(test_a_last_line_without_its_end_is_read_again_when_it_grows),
      TEST(test_gzip_is_resumed_by_its_unpacked_bytes),
      TEST(test_json_lines_are_resumed),
      TEST(test_a_read_that_is_killed_at_every_batch_gives_the_same_rows),
      TEST(test_a_mark_does_not_depend_on_how_the_bytes_were_cut),
      TEST(test_a_full_read_without_a_state_gives_everything_again),
      TEST(test_a_state_of_something_else_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
