// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole runs to a destination: modes, mapping, receipts, errors, and what the report says of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
//
#include <cmocka.h>

#include "scene.h"
#include "store/store.h"

#define THREE "[[1,\"a\"],[2,\"b\"],[3,\"c\"]]"
#define OFF "    guard: off\n"

static void test_upsert_sends_what_changed_and_keeps_what_is_gone(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: upsert\n" OFF);
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.exit_code, 0);
  assert_int_equal(scene.report.sent, 3);
  assert_int_equal(scene.report.applied, 3);
  scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[4,\"d\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 2);
  assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"B\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT 4 insert"), 1);
  assert_int_equal(scene_count(&scene, "GOT 1 "), 1);
  assert_int_equal(scene_count(&scene, "GOT 3 delete"), 0);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.sent, 0);
  assert_int_equal(scene_count(&scene, "GOT"), 5);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_upsert_sends_what_changed_and_keeps_what_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
