// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What leaves the process: data and messages apart, masked, aligned; and output that cannot be written.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/redact.h"
#include "harness.h"

struct streams {
  struct dr_output output;
  FILE *data, *messages;
  char *data_text, *messages_text;
  size_t data_len, messages_len;
};

static void open_streams(struct streams *s) {
  memset(s, 0, sizeof(*s));
  s->data = open_memstream(&s->data_text, &s->data_len);
  s->messages = open_memstream(&s->messages_text, &s->messages_len);
  assert_true(s->data != NULL && s->messages != NULL);
  dr_output_init(&s->output, s->data, s->messages);
}

static void flush_streams(struct streams *s) {
  assert_int_equal(fflush(s->data), 0);
  assert_int_equal(fflush(s->messages), 0);
}

static void close_streams(struct streams *s) {
  (void)fclose(s->data);
  (void)fclose(s->messages);
  free(s->data_text);
  free(s->messages_text);
}

static void test_errors_for_people(void **state) {
  (void)state;
  struct streams s;
  struct dray_error error;
  open_streams(&s);
  dray_error_init(&error);
  (void)dray_fail(&error, DRAY_E_AUTH_REJECTED, "shop: the token was refused");
  assert_int_equal(dr_print_error(&s.output, &error), 5);
  flush_streams(&s);
  assert_string_equal(s.messages_text, "error[auth_rejected]: shop: the token was refused\n"
                                       "  fix: check the secret named in the message, then run `dray check`\n");
  assert_int_equal(s.data_len, 0);
  close_streams(&s);
}

static void test_errors_for_programs(void **state) {
  (void)state;
  struct streams s;
  struct dray_error error;
  open_streams(&s);
  s.output.json = 1;
  dray_error_init(&error);
  (void)dray_fail_field(&error, DRAY_E_THROTTLED, "rate", "wait \"%d\"", 5);
  error.http_status = 429;
  error.retry_after_ms = 5000;
  (void)snprintf(error.vendor_code, sizeof(error.vendor_code), "SLOW");
  assert_int_equal(dr_print_error(&s.output, &error), 1);
  flush_streams(&s);
  assert_string_equal(
      s.data_text,
      "{\"v\":1,\"type\":\"error\",\"code\":350,\"name\":\"throttled\",\"class\":\"throttled\",\"text\":\"wait "
      "\\\"5\\\"\",\"field\":\"rate\",\"http_status\":429,\"vendor_code\":\"SLOW\",\"retry_after_ms\":5000,"
      "\"fix\":\"run again later; nothing was lost\",\"exit_code\":1}\n");
  assert_int_equal(s.messages_len, 0);
  close_streams(&s);
}

static void test_secrets_leave_in_no_way(void **state) {
  (void)state;
  struct streams s;
  struct dray_error error;
  struct dr_record record;
  static const struct dr_table_column columns[] = {{"A", 0}};
  static const char canary[] = "canary-4711-secret";
  open_streams(&s);
  dr_redact_clear();
  dr_redact_add(dray_str_of(canary));
  dray_error_init(&error);
  (void)dray_fail(&error, DRAY_E_IO, "opened %s", canary);
  dr_print(&s.output, "value %s\n", canary);
  dr_print_str(&s.output, dray_str_of(canary));
  dr_note(&s.output, "note %s\n", canary);
  (void)dr_print_error(&s.output, &error);
  struct dr_table *table = dr_table_new(&s.output, columns, 1);
  dr_table_cell(table, "%s", canary);
  dr_table_print(table);
  s.output.json = 1;
  (void)dr_print_error(&s.output, &error);
  dr_note(&s.output, "note %s\n", canary);
  dr_record_begin(&record, &s.output, "x");
  dr_record_text(&record, "y", canary);
  dr_record_end(&record);
  flush_streams(&s);
  assert_true(s.data_len > 100 && s.messages_len > 60);
  assert_null(strstr(s.data_text, "canary"));
  assert_null(strstr(s.messages_text, "canary"));
  dr_redact_clear();
  close_streams(&s);
}

static void test_tables_are_aligned(void **state) {
  (void)state;
  struct streams s;
  static const struct dr_table_column columns[] = {{"NAME", 0}, {"ROWS", 1}, {"NOTE", 0}};
  open_streams(&s);
  struct dr_table *table = dr_table_new(&s.output, columns, 3);
  dr_table_cell(table, "größe");
  dr_table_cell(table, "%d", 5);
  dr_table_cell(table, "a\nb");
  dr_table_cell(table, "x");
  dr_table_cell(table, "%d", 123456);
  dr_table_cell(table, "%s", "");
  dr_table_print(table);
  flush_streams(&s);
  assert_string_equal(s.data_text, "NAME     ROWS  NOTE\n"
                                   "größe       5  a b\n"
                                   "x      123456\n");
  dr_table_print(dr_table_new(&s.output, columns, 3)); // without rows: nothing, not even titles
  flush_streams(&s);
  assert_int_equal(strlen(s.data_text), strlen("NAME     ROWS  NOTE\ngröße       5  a b\nx      123456\n"));
  close_streams(&s);
}

static void test_records_hold_every_kind(void **state) {
  (void)state;
  struct streams s;
  struct dr_record r;
  open_streams(&s);
  dr_record_begin(&r, &s.output, "run");
  dr_record_text(&r, "t", "a\"b\n");
  dr_record_text(&r, "n", NULL);
  dr_record_int(&r, "i", INT64_MIN);
  dr_record_count(&r, "c", UINT64_MAX);
  dr_record_bool(&r, "b", 2);
  dr_record_raw(&r, "r", dray_str_of("[1,2]"));
  dr_record_end(&r);
  flush_streams(&s);
  assert_string_equal(s.data_text,
                      "{\"v\":1,\"type\":\"run\",\"t\":\"a\\\"b\\n\",\"n\":null,\"i\":-9223372036854775808,"
                      "\"c\":18446744073709551615,\"b\":true,\"r\":[1,2]}\n");
  close_streams(&s);
}

static void test_quiet_drops_notes_only(void **state) {
  (void)state;
  struct streams s;
  open_streams(&s);
  s.output.quiet = 1;
  dr_note(&s.output, "note\n");
  dr_print(&s.output, "data\n");
  flush_streams(&s);
  assert_int_equal(s.messages_len, 0);
  assert_string_equal(s.data_text, "data\n");
  close_streams(&s);
}

static void test_output_that_cannot_be_written_is_a_failure(void **state) {
  (void)state;
  struct dr_output output;
  char *text = NULL;
  size_t len = 0;
  FILE *full = fopen("/dev/full", "w"), *messages = open_memstream(&text, &len);
  assert_true(full != NULL && messages != NULL);
  dr_output_init(&output, full, messages);
  dr_print(&output, "lost\n");
  assert_int_equal(dr_output_finish(&output, 0), 1);
  assert_non_null(strstr(text, "No space left"));
  (void)fclose(full);
  (void)fclose(messages);
  free(text);
}

static void test_a_reader_that_goes_away_is_no_failure(void **state) {
  (void)state;
  struct dr_output output;
  int ends[2];
  char *text = NULL;
  size_t len = 0;
  assert_int_equal(pipe(ends), 0);
  (void)close(ends[0]);
  FILE *closed = fdopen(ends[1], "w"), *messages = open_memstream(&text, &len);
  assert_true(closed != NULL && messages != NULL);
  dr_output_init(&output, closed, messages);
  dr_print(&output, "lost\n");
  assert_int_equal(dr_output_finish(&output, 3), 3); // the command's own answer stands
  assert_int_equal(len, 0);
  (void)fclose(closed);
  (void)fclose(messages);
  free(text);
}

static void test_no_colour_without_a_terminal(void **state) {
  (void)state;
  struct streams s;
  open_streams(&s);
  assert_string_equal(dr_style(&s.output, DR_STYLE_RED), "");
  assert_int_equal(s.output.terminal, 0);
  s.output.colour_data = 1;
  assert_string_equal(dr_style(&s.output, DR_STYLE_RED), "\033[31m");
  s.output.json = 1;
  assert_string_equal(dr_style(&s.output, DR_STYLE_RED), "");
  close_streams(&s);
}

int main(void) {
  (void)signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errors_for_people),
      cmocka_unit_test(test_errors_for_programs),
      cmocka_unit_test(test_secrets_leave_in_no_way),
      cmocka_unit_test(test_tables_are_aligned),
      cmocka_unit_test(test_records_hold_every_kind),
      cmocka_unit_test(test_quiet_drops_notes_only),
      cmocka_unit_test(test_output_that_cannot_be_written_is_a_failure),
      cmocka_unit_test(test_a_reader_that_goes_away_is_no_failure),
      cmocka_unit_test(test_no_colour_without_a_terminal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
