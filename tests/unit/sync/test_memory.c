// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs without memory: whichever allocation fails, the next run brings every row there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "scene.h"
#include "torture.h"

#define STEP 23 // of several thousand allocations every 23rd: each run syncs files
#define MORE                                                                                                           \
  ", \"caps\": {\"doubt\": 3, \"rows_max\": 2}, \"receipts\": {\"2\": [\"rejected\", \"applied\"], \"3\": "            \
  "[\"retry\", \"applied\"], \"4\": [\"pending\"], \"1\": [\"lost\", \"applied\"]}"

static void test_failing_allocation_loses_no_row(void **state) {
  (void)state;
  int had = 1;
  for (uint64_t n = 1; had; n += STEP) {
    struct scene scene;
    scene_activate(&scene, "    mode: mirror\n    guard: off\n    map: {id: id, name: title, shop: {value: x}}\n");
    scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"]]", MORE);
    scene.arm = n;
    const int32_t rc = scene_run(&scene, 0);
    had = scene.starved;
    if (!had) assert_int_equal(rc, DRAY_OK);
    scene.arm = 0;
    for (int run = 0; run < 2; run++) assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.mirror_rows, 4);
    assert_int_equal(scene.report.exit_code, 0);
    assert_int_equal(scene_count(&scene, "GOT 2"), 1);
    assert_int_equal(scene_count(&scene, "GOT 3"), 1);
    assert_int_equal(scene_count(&scene, "GOT 1"), 1);
    scene_end(&scene);
  }
}

// The query of a plan's model is refused; what is to be said of that takes memory, and the refusal is told without.
static void test_failing_allocation_keeps_the_first_error(void **state) {
  (void)state;
  int32_t last = DRAY_OK;
  int had = 1;
  for (uint64_t n = 1; had; n++) {
    struct scene scene;
    scene_activate(&scene, "");
    scene_rows(&scene, "[]", "");
    scene_write(&scene, "dray.yaml",
                "version: 1\nconnections:\n  src: {plugin: probe, path: p}\n  wh: {plugin: sqlite, path: wh.db}\n"
                "models:\n  big: {warehouse: wh, sql: \"SELECT id FROM later\", key: id}\nsyncs:\n"
                "  s: {from: {model: big}, to: {connection: wh, table: copy}}\n"
                "  t: {from: {connection: src, streams: [rows]}, to: {connection: wh, table: later}}\n");
    scene.arm = n;
    const int32_t rc = scene_run(&scene, DR_RUN_PLAN);
    had = scene.starved;
    if (!had) {
      assert_int_equal(rc, DRAY_OK);
      assert_non_null(strstr(scene.report.unknown, "later (by sync t)"));
    } else if (last == DRAY_E_CONFIG_SQL) {
      assert_int_equal(rc, DRAY_E_CONFIG_SQL); // refused before the memory failed: then so from here on
    } else if (rc == DRAY_E_CONFIG_SQL) {
      assert_non_null(strstr(scene.report.error.text, "later"));
    }
    if (had) last = rc;
    scene_end(&scene);
  }
  assert_int_equal(last, DRAY_E_CONFIG_SQL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failing_allocation_loses_no_row),
      cmocka_unit_test(test_failing_allocation_keeps_the_first_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
