// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a stream begins: what a state remembers of it, and what becomes of the state when the setting is another.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../torture.h"
#include "dray/sdk/start.h"

#define DAY_US (INT64_C(86400) * 1000000)

static int lines; // that were logged

static void note(void *ctx, uint32_t level, struct dray_str text) {
  (void)ctx;
  assert_int_equal(level, DRAY_LOG_WARN);
  assert_non_null(strstr(text.data, "orders"));
  lines++;
}

static const struct dray_log_service log_service = {
    .struct_size = sizeof(log_service), .level = DRAY_LOG_DEBUG, .write = note};
static const struct dray_services services = {.log = &log_service};

// The state that a read ends with which begins at `start_us`, NONE or days.
static const char *remembered(int64_t start_us) {
  static char text[256];
  struct dray_buffer state;
  dray_buffer_init(&state, sizeof text - 1);
  assert_int_equal(dray_buffer_append_str(&state, "{\"v\":1}", NULL), DRAY_OK);
  assert_int_equal(dray_start_remember(start_us, &state, NULL), DRAY_OK);
  memcpy(text, state.data, state.len + 1);
  dray_buffer_free(&state);
  return text;
}

// The start that is gone on from; *out_again: from there, and with no state.
static int64_t resume(const char *text, int64_t start_us, int *out_again) {
  struct dray_str state = dray_str_of(text);
  lines = 0;
  assert_int_equal(dray_start_resume(&services, "orders", &start_us, &state, NULL), DRAY_OK);
  *out_again = state.len == 0;
  assert_int_equal(lines, *out_again);
  return start_us;
}

static void test_a_state_remembers_its_start(void **state) {
  (void)state;
  assert_string_equal(remembered(DAY_US), "{\"v\":1,\"start_date\":\"1970-01-02T00:00:00Z\"}");
  assert_string_equal(remembered(DRAY_START_NONE), "{\"v\":1,\"start_date\":null}");
}

static void test_an_earlier_start_reads_again_and_a_later_one_does_not(void **state) {
  static const int64_t starts[] = {DRAY_START_NONE, -DAY_US, 0, DAY_US, 20000 * DAY_US + 1};
  const size_t count = sizeof starts / sizeof starts[0];
  int again = 0;
  (void)state;
  for (size_t before = 0; before < count; before++) {
    for (size_t now = 0; now < count; now++) {
      assert_int_equal(resume(remembered(starts[before]), starts[now], &again), starts[now < before ? now : before]);
      assert_int_equal(again, now < before);
    }
  }
}

static void test_what_remembers_none_is_left_to_the_plugin(void **state) {
  static const char *const others[] = {"{\"v\":1}", "{\"start_date\":7}", "{\"start_date\":\"soon\"}", "[1]", "{", "x"};
  int again = 0;
  (void)state;
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    assert_int_equal(resume(others[i], DAY_US, &again), DAY_US);
    assert_int_equal(again, 0);
  }
  struct dray_str empty = {NULL, 0};
  int64_t start_us = DAY_US;
  assert_int_equal(dray_start_resume(&services, "orders", &start_us, &empty, NULL), DRAY_OK);
  assert_int_equal(start_us, DAY_US);
}

static void test_a_state_that_has_no_room_stays_as_it_is(void **state) {
  struct dray_buffer small;
  (void)state;
  dray_buffer_init(&small, 20);
  assert_int_equal(dray_buffer_append_str(&small, "{\"v\":1}", NULL), DRAY_OK);
  assert_int_equal(dray_start_remember(DAY_US, &small, NULL), DRAY_E_LIMIT);
  assert_int_equal(small.len, 7);
  assert_memory_equal(small.data, "{\"v\":1}", 7);
  dray_buffer_free(&small);
}

static int32_t attempt(void *ctx) {
  struct dray_str state = dray_str_of("{\"v\":1,\"start_date\":\"1970-01-02T00:00:00Z\"}");
  int64_t start_us = 0;
  (void)ctx;
  return dray_start_resume(&services, "orders", &start_us, &state, NULL);
}

static void test_without_memory_a_state_is_not_read_as_another(void **state) {
  (void)state;
  assert_true(torture_every(attempt, NULL) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_state_remembers_its_start),
      cmocka_unit_test(test_an_earlier_start_reads_again_and_a_later_one_does_not),
      cmocka_unit_test(test_what_remembers_none_is_left_to_the_plugin),
      cmocka_unit_test(test_a_state_that_has_no_room_stays_as_it_is),
      cmocka_unit_test(test_without_memory_a_state_is_not_read_as_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
