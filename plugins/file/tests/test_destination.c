// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What is in the files after writes, resends, kills and other people's hands.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "torture.h"

enum { COLUMN_ID, COLUMN_NAME, COLUMN_AMOUNT, COLUMN_ABSENT, COLUMN_ROW, COLUMN_OP, COLUMN_COUNT };

static const struct dray_column_def columns[COLUMN_COUNT] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"amount", {DRAY_TYPE_DECIMAL, 12, 2}, 1},
    {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1},
    {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},
    {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
};

struct writer {
  struct bench *bench;
  struct dray_destination *destination;
  struct ArrowSchema schema;
  struct dray_builder *builder;
  struct dray_error error;
  int64_t rows;
};

static void must(struct writer *writer, int32_t rc) {
  if (rc != DRAY_OK) fail_msg("%s: %s", dray_error_info(rc)->name, writer->error.text);
}

static int32_t begin_writer(struct writer *writer, const char *sync, const char *object) {
  static const struct dray_str keys[] = {{"id", 2}};
  const struct dray_write_plan plan = {.struct_size = sizeof(plan),
                                       .operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE,
                                       .object = dray_str_of(object),
                                       .schema = &writer->schema,
                                       .match_keys = keys,
                                       .match_key_count = 1,
                                       .options_json = dray_str_of("{}"),
                                       .sync = dray_str_of(sync),
                                       .run = dray_str_of("1")};
  return file_destination_vtable.begin(writer->destination, &plan, &writer->error);
}

static struct writer make_writer(struct bench *bench, const char *path, const char *more) {
  struct writer writer = {.bench = bench};
  dray_error_init(&writer.error);
  must(&writer, file_destination_vtable.create(&bench->host, bench_settings(bench, path, more), &writer.destination,
                                               &writer.error));
  must(&writer, dray_schema_make(columns, COLUMN_COUNT, &writer.schema, &writer.error));
  must(&writer, dray_builder_new(&writer.schema, 0, 0, &writer.builder, &writer.error));
  return writer;
}

static struct writer open_writer(struct bench *bench, const char *object) {
  struct writer writer = make_writer(bench, "out", "");
  must(&writer, begin_writer(&writer, "s", object));
  return writer;
}

static void close_writer(struct writer *writer) {
  must(writer, file_destination_vtable.end(writer->destination, &writer->error));
  file_destination_vtable.destroy(writer->destination);
  dray_builder_free(writer->builder);
  dray_schema_release(&writer->schema);
}

// name NULL: null; "-": absent. amount in cents; -1: absent.
static void add(struct writer *writer, int op, int64_t id, const char *name, int64_t amount) {
  int32_t full = 0;
  must(writer, dray_builder_int64(writer->builder, COLUMN_ID, id, &writer->error));
  if (name == NULL) must(writer, dray_builder_null(writer->builder, COLUMN_NAME, &writer->error));
  if (name != NULL && strcmp(name, "-") != 0) {
    must(writer, dray_builder_bytes(writer->builder, COLUMN_NAME, dray_str_of(name), &writer->error));
  }
  if (amount >= 0) {
    must(writer, dray_builder_decimal(writer->builder, COLUMN_AMOUNT, dray_decimal_of_int64(amount), &writer->error));
  }
  must(writer, dray_builder_int64(writer->builder, COLUMN_ROW, writer->rows++, &writer->error));
  must(writer, dray_builder_int64(writer->builder, COLUMN_OP, op, &writer->error));
  must(writer, dray_builder_end_row(writer->builder, &full, &writer->error));
}

// Sends what was added under a key. On success every row has an APPLIED receipt.
static int32_t try_send(struct writer *writer, const char *key) {
  struct ArrowArray batch = {0};
  struct dray_receipt items[64];
  struct dray_receipts receipts = {.struct_size = sizeof(receipts), .items = items, .capacity = 64};
  const struct dray_batch_info info = {
      .struct_size = sizeof(info), .attempt = 1, .batch = 1, .idempotency_key = dray_str_of(key)};
  must(writer, dray_builder_finish(writer->builder, &batch, &writer->error));
  const int32_t rc = file_destination_vtable.write(writer->destination, &batch, &info, &receipts, &writer->error);
  if (rc == DRAY_OK) {
    assert_int_equal(receipts.count, batch.length);
    for (int64_t i = 0; i < batch.length; i++) {
      assert_int_equal(items[i].status, DRAY_RECEIPT_APPLIED);
      assert_int_equal(items[i].row, writer->rows - batch.length + i);
    }
  }
  batch.release(&batch);
  return rc;
}

static void send(struct writer *writer, const char *key) {
  must(writer, try_send(writer, key));
}

static void expect_file(struct bench *bench, const char *name, const char *expected) {
  char *text = bench_read(bench, name);
  assert_string_equal(text, expected);
  free(text);
}

static void test_changes_are_appended_with_their_operation(void **state) {
  struct writer writer = open_writer(*state, "customers");
  add(&writer, DRAY_OP_INSERT, 1, "Ann, of \"Oslo\"", 1250);
  add(&writer, DRAY_OP_INSERT, 2, NULL, 0);
  add(&writer, DRAY_OP_INSERT, 3, "", 100);
  send(&writer, "k1");
  add(&writer, DRAY_OP_UPDATE, 2, "Bo", 5);
  add(&writer, DRAY_OP_DELETE, 1, "-", -1);
  send(&writer, "k2");
  close_writer(&writer);
  expect_file(*state, "out/customers.csv",
              "_op,id,name,amount\ninsert,1,\"Ann, of \"\"Oslo\"\"\",12.50\ninsert,2,,0.00\ninsert,3,\"\",1.00\n"
              "update,2,Bo,0.05\ndelete,1,,\n");
}

static void test_json_lines_tell_null_from_absent(void **state) {
  struct writer writer = open_writer(*state, "customers.jsonl");
  add(&writer, DRAY_OP_INSERT, 1, NULL, 1250);
  add(&writer, DRAY_OP_DELETE, 1, "-", -1);
  send(&writer, "k1");
  close_writer(&writer);
  expect_file(*state, "out/customers.jsonl",
              "{\"_op\":\"insert\",\"id\":1,\"name\":null,\"amount\":12.50}\n{\"_op\":\"delete\",\"id\":1}\n");
}

static void test_what_is_written_reads_back(void **state) {
  struct bench *bench = *state;
  struct writer writer = open_writer(bench, "customers.csv");
  add(&writer, DRAY_OP_INSERT, 1, "two\nlines", 1250);
  add(&writer, DRAY_OP_INSERT, 2, "", -1);
  send(&writer, "k1");
  close_writer(&writer);
  struct dray_source *source = bench_source(bench, "out/customers.csv", "");
  char *rows = bench_rows(source, "customers", DRAY_READ_FULL, "", 10, NULL);
  assert_string_equal(
      rows, "_op:string id:int64 name:string amount:decimal(38,4)\ninsert 1 two\nlines 12.5000\ninsert 2  ~\n");
  free(rows);
  file_source_vtable.destroy(source);
}

static void test_a_batch_that_is_sent_again_is_written_once(void **state) {
  struct writer writer = open_writer(*state, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  close_writer(&writer);
  writer = open_writer(*state, "c"); // another process, a day later
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  add(&writer, DRAY_OP_INSERT, 2, "b", 2);
  send(&writer, "k2");
  close_writer(&writer);
  writer = make_writer(*state, "out", "");
  must(&writer, begin_writer(&writer, "another sync", "c")); // its keys are its own
  add(&writer, DRAY_OP_INSERT, 3, "c", 3);
  send(&writer, "k1");
  close_writer(&writer);
  expect_file(*state, "out/c.csv", "_op,id,name,amount\ninsert,1,a,0.01\ninsert,2,b,0.02\ninsert,3,c,0.03\n");
}

static void test_a_torn_write_is_cut_off(void **state) {
  struct bench *bench = *state;
  struct writer writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  char *journal_before = bench_read(bench, "out/.c.csv.dray");
  add(&writer, DRAY_OP_INSERT, 2, "b", 2);
  send(&writer, "k2");
  close_writer(&writer);
  // As if the second batch had been killed in the middle: its acknowledgement never came, its bytes are half there.
  char *journal_after = bench_read(bench, "out/.c.csv.dray");
  char *intent_end = strchr(journal_after + strlen(journal_before), '\n') + 1;
  bench_write_bytes(bench, "out/.c.csv.dray", journal_after, (size_t)(intent_end - journal_after));
  bench_append(bench, "out/.c.csv.dray", "{\"acked\":5"); // and the journal is torn as well
  assert_int_equal(truncate(bench_path(bench, "out/c.csv"), 41), 0);
  free(journal_before);
  free(journal_after);
  writer = open_writer(bench, "c");
  expect_file(bench, "out/c.csv", "_op,id,name,amount\ninsert,1,a,0.01\n");
  add(&writer, DRAY_OP_INSERT, 2, "b", 2);
  send(&writer, "k2");
  close_writer(&writer);
  expect_file(bench, "out/c.csv", "_op,id,name,amount\ninsert,1,a,0.01\ninsert,2,b,0.02\n");
}

// Writes batches until it is killed; tells the number of each batch that was acknowledged.
static void write_until_killed(struct bench *bench, int64_t from, int tell) {
  struct writer writer = open_writer(bench, "c");
  for (int64_t i = from;; i++) {
    char key[32];
    (void)snprintf(key, sizeof(key), "k%lld", (long long)i);
    for (int row = 0; row < 20; row++) add(&writer, DRAY_OP_INSERT, i * 20 + row, "some name that is not short", i);
    send(&writer, key);
    if (write(tell, &i, sizeof(i)) != (ssize_t)sizeof(i)) _exit(1);
  }
}

static void test_kills_at_any_time_lose_nothing_and_repeat_nothing(void **state) {
  struct bench *bench = *state;
  int64_t next = 0;
  for (int round = 0; round < 30; round++) {
    int tell[2];
    assert_int_equal(pipe(tell), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      (void)close(tell[0]);
      write_until_killed(bench, next, tell[1]);
      _exit(0);
    }
    (void)close(tell[1]);
    int64_t acked = next - 1, told = 0;
    for (int i = 0; i < 3 && read(tell[0], &told, sizeof(told)) == (ssize_t)sizeof(told); i++) acked = told;
    (void)usleep((useconds_t)(round * 137 % 2000)); // somewhere within the next batches
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (read(tell[0], &told, sizeof(told)) == (ssize_t)sizeof(told)) acked = told;
    (void)close(tell[0]);
    next = acked + 1; // the batch in doubt is sent again under its key
  }
  struct writer writer = open_writer(bench, "c");
  close_writer(&writer);
  FILE *file = fopen(bench_path(bench, "out/c.csv"), "r");
  assert_non_null(file);
  char line[256];
  int64_t expected = 0;
  assert_non_null(fgets(line, sizeof(line), file)); // the header
  while (fgets(line, sizeof(line), file) != NULL) {
    char wanted[256];
    (void)snprintf(wanted, sizeof(wanted), "insert,%lld,some name that is not short,%lld.%02lld\n", (long long)expected,
                   (long long)(expected / 20 / 100), (long long)(expected / 20 % 100));
    assert_string_equal(line, wanted);
    expected++;
  }
  (void)fclose(file);
  assert_true(next >= 90);
  assert_int_equal(expected % 20, 0);
  assert_true(expected >= next * 20 && expected <= (next + 1) * 20); // the last one may have been acknowledged untold
}

static void test_files_that_others_changed_are_refused(void **state) {
  struct bench *bench = *state;
  struct writer writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  close_writer(&writer);
  bench_append(bench, "out/c.csv", "insert,9,by hand,1\n");
  writer = make_writer(bench, "out", "");
  assert_int_equal(begin_writer(&writer, "s", "c"), DRAY_E_STATE_CORRUPT);
  assert_non_null(strstr(writer.error.text, "something else changed it"));
  expect_file(bench, "out/c.csv", "_op,id,name,amount\ninsert,1,a,0.01\ninsert,9,by hand,1\n"); // untouched
  assert_int_equal(truncate(bench_path(bench, "out/c.csv"), 30), 0);
  assert_int_equal(begin_writer(&writer, "s", "c"), DRAY_E_STATE_CORRUPT);
  close_writer(&writer);
}

static void test_a_file_that_was_taken_away_begins_anew(void **state) {
  struct bench *bench = *state;
  struct writer writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  close_writer(&writer);
  assert_int_equal(unlink(bench_path(bench, "out/c.csv")), 0);
  writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 2, "b", 2);
  send(&writer, "k2");
  close_writer(&writer);
  expect_file(bench, "out/c.csv", "_op,id,name,amount\ninsert,2,b,0.02\n");
}

static void test_foreign_files_are_not_written_to(void **state) {
  struct bench *bench = *state;
  assert_int_equal(mkdir(bench_path(bench, "out"), 0755), 0);
  bench_write(bench, "out/c.csv", "id,name\n1,a\n");
  struct writer writer = make_writer(bench, "out", "");
  assert_int_equal(begin_writer(&writer, "s", "c"), DRAY_E_SCHEMA_OBJECT);
  bench_write(bench, "out/d.csv", "_op,id,amount,name\ninsert,1,2,a\n"); // ours, without its journal, in another order
  must(&writer, begin_writer(&writer, "s", "d"));
  add(&writer, DRAY_OP_INSERT, 2, "b", 5);
  send(&writer, "k");
  expect_file(bench, "out/d.csv", "_op,id,amount,name\ninsert,1,2,a\ninsert,2,0.05,b\n");
  bench_write(bench, "out/e.csv", "_op,id\ninsert,1\n");
  assert_int_equal(begin_writer(&writer, "s", "e"), DRAY_E_SCHEMA_FIELD);
  assert_string_equal(writer.error.field, "name");
  close_writer(&writer);
}

static void test_object_names_cannot_leave_the_folder(void **state) {
  struct writer writer = make_writer(*state, "out", "");
  static const char *const names[] = {"../x.csv", "a/b", "", ".hidden", "x.csv.gz", "a\nb", "a\\b"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    struct dray_caps caps = {.struct_size = sizeof(caps)};
    assert_int_equal(file_destination_vtable.caps(writer.destination, dray_str_of(names[i]), dray_str_of("{}"), &caps,
                                                  &writer.error),
                     DRAY_E_SCHEMA_OBJECT);
  }
  struct dray_caps caps = {.struct_size = sizeof(caps)};
  must(&writer,
       file_destination_vtable.caps(writer.destination, dray_str_of("x"), dray_str_of("{}"), &caps, &writer.error));
  assert_int_equal(caps.doubt, DRAY_DOUBT_IDEMPOTENCY_KEY);
  assert_int_equal(caps.operations, DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE);
  assert_int_equal(file_destination_vtable.caps(writer.destination, dray_str_of("x"), dray_str_of("{\"a\":1}"), &caps,
                                                &writer.error),
                   DRAY_E_CONFIG_UNKNOWN_KEY);
  close_writer(&writer);
}

static void test_two_runs_cannot_write_one_file(void **state) {
  struct writer first = open_writer(*state, "c");
  struct writer second = make_writer(*state, "out", "");
  assert_int_equal(begin_writer(&second, "s", "c"), DRAY_E_BUSY);
  must(&second, begin_writer(&second, "s", "d"));
  close_writer(&first);
  must(&second, begin_writer(&second, "s", "c"));
  close_writer(&second);
}

static void test_a_full_disk_leaves_whole_batches(void **state) {
  struct bench *bench = *state;
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    // A limit on file sizes stands for the full disk: writes stop in the middle of a batch.
    const struct rlimit limit = {600, 600};
    (void)signal(SIGXFSZ, SIG_IGN);
    struct writer writer = open_writer(bench, "c");
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    int32_t rc = DRAY_OK;
    for (int64_t i = 0; i < 40 && rc == DRAY_OK; i++) {
      char key[32];
      (void)snprintf(key, sizeof(key), "k%lld", (long long)i);
      for (int row = 0; row < 10; row++) add(&writer, DRAY_OP_INSERT, i * 10 + row, "a name", 1);
      rc = try_send(&writer, key);
    }
    _exit(rc == DRAY_E_IO || rc == DRAY_E_DISK_FULL ? 0 : 3);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  struct writer writer = open_writer(bench, "c");
  close_writer(&writer);
  char *text = bench_read(bench, "out/c.csv");
  size_t lines = 0;
  for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) lines++;
  assert_true(lines > 10 && lines % 10 == 1); // the header and whole batches
  free(text);
}

static void test_a_damaged_journal_is_not_guessed_at(void **state) {
  struct bench *bench = *state;
  struct writer writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  close_writer(&writer);
  char *journal = bench_read(bench, "out/.c.csv.dray");
  journal[3] ^= 1;
  bench_write(bench, "out/.c.csv.dray", journal);
  free(journal);
  writer = make_writer(bench, "out", "");
  assert_int_equal(begin_writer(&writer, "s", "c"), DRAY_E_STATE_CORRUPT);
  assert_non_null(strstr(writer.error.text, "line 1 of"));
  close_writer(&writer);
}

static void test_discover_lists_the_logs_that_are_there(void **state) {
  struct bench *bench = *state;
  struct dray_str text;
  struct writer writer = open_writer(bench, "c");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  bench_write(bench, "out/foreign.csv", "id\n1\n");
  must(&writer, file_destination_vtable.discover(writer.destination, &text, &writer.error));
  char *catalogue = dray_str_dup(text);
  assert_non_null(strstr(catalogue, "\"name\":\"c.csv\""));
  assert_null(strstr(catalogue, "foreign"));
  free(catalogue);
  close_writer(&writer);
}

// A header has names, no types: a type here would be what the host casts to, from the second run on.
static void test_discover_of_a_csv_file_claims_no_types(void **state) {
  struct bench *bench = *state;
  struct dray_str text;
  struct dray_json *root = NULL;
  struct writer writer = open_writer(bench, "c.csv");
  add(&writer, DRAY_OP_INSERT, 1, "a", 1);
  send(&writer, "k1");
  close_writer(&writer);
  writer = make_writer(bench, "out", ""); // as the second run finds it
  must(&writer, file_destination_vtable.discover(writer.destination, &text, &writer.error));
  must(&writer, dray_json_parse(text, 1u << 20, &root, &writer.error));
  const struct dray_json *objects = dray_json_get(root, "objects");
  assert_int_equal(objects->child_count, 1);
  assert_true(dray_str_is(dray_json_string(dray_json_get(objects->child, "name"), ""), "c.csv"));
  assert_null(dray_json_get(objects->child, "fields")); // it takes any
  assert_int_equal(dray_json_get(objects->child, "operations")->child_count, 3);
  dray_json_free(root);
  close_writer(&writer);
}

static int32_t write_everything(void *ctx) {
  struct bench *bench = ctx;
  struct dray_destination *destination = NULL;
  struct dray_error error;
  struct ArrowSchema schema = {0};
  struct dray_builder *builder = NULL;
  struct ArrowArray batch = {0};
  struct dray_receipt items[4];
  struct dray_receipts receipts = {.struct_size = sizeof(receipts), .items = items, .capacity = 4};
  const struct dray_batch_info info = {.struct_size = sizeof(info), .idempotency_key = dray_str_of("k")};
  struct dray_str text;
  int32_t full = 0;
  dray_error_init(&error);
  (void)unlink(
      bench_path(bench, "out/t.csv")); // each attempt finds the same: else the journal grows, and what is allocated
  (void)unlink(bench_path(bench, "out/.t.csv.dray"));
  int32_t rc = file_destination_vtable.create(&bench->host, bench_settings(bench, "out", ""), &destination, &error);
  if (rc == DRAY_OK) rc = dray_schema_make(columns, COLUMN_COUNT, &schema, &error);
  if (rc == DRAY_OK) rc = dray_builder_new(&schema, 0, 0, &builder, &error);
  if (rc == DRAY_OK) rc = dray_builder_int64(builder, COLUMN_ID, 1, &error);
  if (rc == DRAY_OK) rc = dray_builder_int64(builder, COLUMN_ROW, 1, &error);
  if (rc == DRAY_OK) rc = dray_builder_int64(builder, COLUMN_OP, DRAY_OP_INSERT, &error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &full, &error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &batch, &error);
  const struct dray_write_plan plan = {.struct_size = sizeof(plan),
                                       .object = dray_str_of("t.csv"),
                                       .schema = &schema,
                                       .options_json = dray_str_of("{}"),
                                       .sync = dray_str_of("s"),
                                       .run = dray_str_of("1")};
  if (rc == DRAY_OK) rc = file_destination_vtable.discover(destination, &text, &error);
  if (rc == DRAY_OK) rc = file_destination_vtable.check(destination, &text, &error);
  if (rc == DRAY_OK) rc = file_destination_vtable.begin(destination, &plan, &error);
  if (rc == DRAY_OK) rc = file_destination_vtable.write(destination, &batch, &info, &receipts, &error);
  file_destination_vtable.destroy(destination);
  dray_array_release(&batch);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  struct bench *bench = *state;
  struct dray_str spec;
  assert_int_equal(file_destination_vtable.spec(&spec, NULL), DRAY_OK);
  assert_true(torture_every(write_everything, bench) > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_changes_are_appended_with_their_operation),
      TEST(test_json_lines_tell_null_from_absent),
      TEST(test_what_is_written_reads_back),
      TEST(test_a_batch_that_is_sent_again_is_written_once),
      TEST(test_a_torn_write_is_cut_off),
      TEST(test_kills_at_any_time_lose_nothing_and_repeat_nothing),
      TEST(test_files_that_others_changed_are_refused),
      TEST(test_a_file_that_was_taken_away_begins_anew),
      TEST(test_foreign_files_are_not_written_to),
      TEST(test_object_names_cannot_leave_the_folder),
      TEST(test_two_runs_cannot_write_one_file),
      TEST(test_a_full_disk_leaves_whole_batches),
      TEST(test_a_damaged_journal_is_not_guessed_at),
      TEST(test_discover_lists_the_logs_that_are_there),
      TEST(test_discover_of_a_csv_file_claims_no_types),
      TEST(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
