// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The messages of pgoutput as a server sends them, every prefix of them, and bytes that no server sends; places in the
// log.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "source.h"
#include "torture.h"

static struct dray_error error = {.struct_size = sizeof error};

static struct pg_relation_column columns[PG_COLUMNS_MAX];
static struct pg_value old_row[PG_COLUMNS_MAX], new_row[PG_COLUMNS_MAX];

#define BYTES(text) dray_str_make(text, sizeof(text) - 1)

static struct pg_message empty(void) {
  return (struct pg_message){.columns = columns, .old_row = old_row, .new_row = new_row};
}

static struct pg_message read_message(struct dray_str data) {
  struct pg_message message = empty();
  if (pg_message_read(data, &message, &error) != DRAY_OK) fail_msg("%s", error.text);
  return message;
}

static const char begin[] = "B\0\0\0\0\1\2\3\4\0\0\0\0\0\0\0\0\0\0\2\1";
static const char commit[] = "C\0\0\0\0\0\1\2\3\4\0\0\0\0\1\2\3\x44\0\0\0\0\0\0\0\0";
static const char relation[] = "R\0\0\x40\1public\0t\0"
                               "d\0\2\1id\0\0\0\0\x17\xff\xff\xff\xff\0name\0\0\0\0\x19\xff\xff\xff\xff";
static const char insert[] = "I\0\0\x40\1N\0\3b\0\0\0\4\0\0\0\7nt\0\0\0\2ab";
static const char update[] = "U\0\0\x40\1K\0\2b\0\0\0\4\0\0\0\1nN\0\2b\0\0\0\4\0\0\0\2u";
static const char delete_whole[] = "D\0\0\x40\1O\0\1b\0\0\0\4\0\0\0\1";
static const char truncate[] = "T\0\0\0\2\0\0\0\x40\1\0\0\x40\2";

static void test_messages_are_taken_apart(void **state) {
  (void)state;
  struct pg_message message = read_message(BYTES(begin));
  assert_int_equal(message.kind, PG_MESSAGE_BEGIN);
  message = read_message(BYTES(commit));
  assert_true(message.kind == PG_MESSAGE_COMMIT && message.end_lsn == 0x01020344);
  message = read_message(BYTES(relation));
  assert_int_equal(message.kind, PG_MESSAGE_RELATION);
  assert_true(message.relation == 0x4001 && message.identity == 'd' && message.column_count == 2);
  assert_true(dray_str_is(columns[0].name, "id") && columns[0].key && columns[0].type == 23);
  assert_true(dray_str_is(columns[1].name, "name") && !columns[1].key && columns[1].type == 25);
  message = read_message(BYTES(insert));
  assert_true(message.kind == PG_MESSAGE_INSERT && message.new_count == 3 && message.old_kind == 0);
  assert_true(new_row[0].len == 4 && new_row[0].binary && pg_get32(new_row[0].data) == 7);
  assert_int_equal(new_row[1].len, PG_TUPLE_NULL);
  assert_true(new_row[2].len == 2 && !new_row[2].binary && memcmp(new_row[2].data, "ab", 2) == 0);
  message = read_message(BYTES(update));
  assert_true(message.kind == PG_MESSAGE_UPDATE && message.old_kind == 'K' && message.old_count == 2);
  assert_true(pg_get32(old_row[0].data) == 1 && old_row[1].len == PG_TUPLE_NULL);
  assert_true(message.new_count == 2 && new_row[1].len == PG_TUPLE_UNCHANGED);
  message = read_message(BYTES(delete_whole));
  assert_true(message.kind == PG_MESSAGE_DELETE && message.old_kind == 'O' && message.old_count == 1);
  message = read_message(BYTES(truncate));
  assert_true(message.kind == PG_MESSAGE_TRUNCATE && pg_message_truncates(&message, 0x4002));
  assert_false(pg_message_truncates(&message, 0x4003));
  assert_int_equal(read_message(BYTES("M\0\0")).kind, PG_MESSAGE_OTHER); // of an application
}

// A message that is cut anywhere is an error, and nothing beyond it is read (the sanitizer sees that).
static void test_cut_messages_are_refused(void **state) {
  (void)state;
  const struct dray_str all[] = {BYTES(commit), BYTES(relation),     BYTES(insert),
                                 BYTES(update), BYTES(delete_whole), BYTES(truncate)};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    for (uint64_t len = 0; len + (i == 0 ? 8 : 0) < all[i].len; len++) { // of a commit the time is not looked at
      char *part = malloc(len > 0 ? len : 1);
      struct pg_message message = empty();
      memcpy(part, all[i].data, len);
      if (pg_message_read(dray_str_make(part, len), &message, &error) == DRAY_OK)
        fail_msg("%zu cut to %d", i, (int)len);
      free(part);
    }
  }
}

static void test_no_bytes_break_the_reader(void **state) {
  (void)state;
  uint64_t seed = 7;
  for (int round = 0; round < 200000; round++) {
    const struct dray_str all[] = {BYTES(relation), BYTES(insert), BYTES(update), BYTES(truncate)};
    const struct dray_str from = all[round % 4];
    char *bytes = malloc(from.len);
    struct pg_message message = empty();
    memcpy(bytes, from.data, from.len);
    for (int k = 0; k < 3; k++) {
      seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
      bytes[1 + (seed >> 33) % (from.len - 1)] = (char)(seed >> 20);
    }
    const int32_t code = pg_message_read(dray_str_make(bytes, from.len), &message, NULL);
    assert_true(code == DRAY_OK || code == DRAY_E_INTERNAL);
    free(bytes);
  }
}

static void test_places_in_the_log_are_read_as_they_are_written(void **state) {
  (void)state;
  static const uint64_t places[] = {0, 1, 0xFFFFFFFF, UINT64_C(0x1600000028), UINT64_MAX};
  char text[PG_LSN_BYTES];
  uint64_t back = 0;
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    assert_true(pg_lsn_parse(pg_lsn_format(places[i], text), &back) && back == places[i]);
  }
  assert_string_equal(pg_lsn_format(UINT64_C(0x1600000028), text), "16/28");
  static const char *const bad[] = {"", "/", "1/", "/1", "1/2 ", "1/2/3", "g/1", "123456789/1", "-1/2", " 1/2"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(pg_lsn_parse(bad[i], &back));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages_are_taken_apart),
      cmocka_unit_test(test_cut_messages_are_refused),
      cmocka_unit_test(test_no_bytes_break_the_reader),
      cmocka_unit_test(test_places_in_the_log_are_read_as_they_are_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
