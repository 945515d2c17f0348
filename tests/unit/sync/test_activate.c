// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole runs to a destination: modes, mapping, receipts, errors, and what the report says of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//
#include <cmocka.h>

#include "diff/diff.h"
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

// What two runs send in each mode: an insert, then an update, a delete and another insert.
static void test_each_mode_sends_its_changes(void **state) {
  (void)state;
  static const struct {
    const char *mode;
    size_t inserts, updates, deletes; // that arrive
    uint64_t ignored;                 // in the second run
  } cases[] = {{"upsert", 4, 1, 0, 0}, {"mirror", 4, 1, 1, 0}, {"create", 4, 0, 0, 1},
               {"append", 4, 0, 0, 1}, {"update", 0, 5, 0, 0}, {"remove", 0, 0, 4, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char sync[128];
    (void)snprintf(sync, sizeof(sync), "    mode: %s\n" OFF, cases[i].mode);
    scene_activate(&scene, sync);
    scene_rows(&scene, THREE, "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[4,\"d\"]]", "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    size_t inserts = 0, updates = 0, deletes = 0;
    for (int id = 1; id <= 4; id++) {
      char begin[32];
      (void)snprintf(begin, sizeof(begin), "GOT %d insert", id);
      inserts += scene_count(&scene, begin);
      (void)snprintf(begin, sizeof(begin), "GOT %d update", id);
      updates += scene_count(&scene, begin);
      (void)snprintf(begin, sizeof(begin), "GOT %d delete", id);
      deletes += scene_count(&scene, begin);
    }
    if (inserts != cases[i].inserts || updates != cases[i].updates || deletes != cases[i].deletes) {
      fail_msg("%s: %zu inserts, %zu updates, %zu deletes", cases[i].mode, inserts, updates, deletes);
    }
    assert_int_equal(scene.report.ignored, cases[i].ignored);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    scene_end(&scene);
  }
}

static void test_removed_row_that_comes_back_is_removed_again(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: remove\n" OFF);
  scene_rows(&scene, "[[1,\"a\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 delete"), 2);
  assert_int_equal(scene_count(&scene, "GOT 2 delete"), 1);
  scene_end(&scene);
}

// ---- mapping ----

#define FIELDS                                                                                                         \
  "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"title\",\"type\":\"string\",\"required\":true,"          \
  "\"match_key\":true},{\"name\":\"score\",\"type\":\"decimal(5,2)\"},{\"name\":\"source\",\"type\":\"string\"},"      \
  "{\"name\":\"made\",\"type\":\"string\",\"writable\":false}]}]}"

// Rows of an object that only takes new ones need not be found again.
static void test_unmapped_key_is_hidden_where_fields_are_fixed(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: create\n" OFF "    map: {name: title}\n");
  scene_write(&scene, "p/objects.json", FIELDS);
  scene_rows(&scene, "[[1,\"a\"]]", ", \"caps\": {\"operations\": 1}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT a insert {\"title\":\"a\"}"), 1);
  scene_rows(&scene, "[[1,\"b\"],[2,\"b\"]]", ", \"caps\": {\"operations\": 1}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT b insert {\"title\":\"b\"}"), 1); // still told apart by its id
  assert_int_equal(scene_count(&scene, "GOT"), 2);
  scene_end(&scene);
}

// What rows are found by is what they are known by: other keys are refused before anything is sent.
static void test_the_key_is_what_rows_are_found_by(void **state) {
  (void)state;
#define FIELD(name, more) "{\"name\":\"" name "\",\"type\":\"string\",\"match_key\":true" more "}"
#define OBJECT(fields) "{\"objects\":[{\"name\":\"things\",\"fields\":[" fields ",{\"name\":\"note\"}]}]}"
#define TOGETHER OBJECT(FIELD("a", ",\"required\":true") "," FIELD("b", ",\"required\":true"))
#define EITHER OBJECT(FIELD("a", "") "," FIELD("b", ""))
  static const struct {
    const char *objects, *sync, *says; // NULL: it is sent
  } cases[] = {
      {EITHER, "    key: id\n    map: {id: note, name: a}\n", "finds rows by a, and the key of this sync has note"},
      {EITHER, "    key: id\n    map: {id: note, name: a}\n", "Set `key: name` in the sync"},
      {EITHER, "    key: id\n    map: {name: a}\n", "Set `key: name` in the sync"},
      {EITHER, "    key: id\n    map: {id: b, name: a}\n", NULL},
      {OBJECT(FIELD("a", "") "," FIELD("id", "")), "    key: id\n    map: {name: a}\n", "Set `key: name` in the sync"},
      {EITHER, "    key: name\n    map: {id: b, name: a}\n", NULL},
      {EITHER, "    key: name\n    map: {id: b, name: [note, a]}\n", NULL},
      {EITHER, "    key: [id, name]\n    map: {id: b, name: a}\n", "Set `key: name` or `key: id` in the sync"},
      {EITHER, "    key: id\n    map: {id: note, a: {value: x}}\n",
       NULL}, // as before: nothing of a row is mapped to it
      {TOGETHER, "    key: [id, name]\n    map: {id: b, name: a}\n", NULL},
      {TOGETHER, "    key: name\n    map: {name: a, b: {value: x}}\n", NULL},
      {TOGETHER, "    key: id\n    map: {id: note, name: [a, b]}\n", "finds rows by a and b"},
      {TOGETHER, "    key: id\n    map: {id: note, name: a, b: {value: x}}\n", "Set `key: name` in the sync"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char sync[200];
    (void)snprintf(sync, sizeof(sync), "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF "%s",
                   cases[i].sync);
    scene_activate(&scene, "");
    scene_config(&scene, sync);
    scene_write(&scene, "p/objects.json", cases[i].objects);
    scene_rows(&scene, "[[1,\"n\"]]", "");
    const int32_t rc = scene_run(&scene, 0);
    if (rc != (cases[i].says != NULL ? DRAY_E_SCHEMA_KEY : DRAY_OK)) fail_msg("%zu: %s", i, scene.report.error.text);
    if (cases[i].says != NULL && strstr(scene.report.error.text, cases[i].says) == NULL) {
      fail_msg("%zu: %s", i, scene.report.error.text);
    }
    assert_int_equal(scene.report.applied, cases[i].says == NULL);
    scene_end(&scene);
  }
#undef FIELD
#undef OBJECT
#undef TOGETHER
#undef EITHER
}

static void test_unmapped_key_is_sent_where_fields_are_free(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF "    map: {name: title}\n");
  scene_rows(&scene, "[[1,\"a\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT a insert {\"title\":\"a\",\"id\":1}"), 1);
  scene_end(&scene);
}

static void test_listed_fields_and_others_where_the_caps_say_so(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n    key: name\n" OFF "    map: {name: title, id: number}\n");
  scene_write(&scene, "p/objects.json", FIELDS);
  scene_rows(&scene, "[[1,\"a\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_SCHEMA_FIELD);
  scene_rows(&scene, "[[1,\"a\"]]", ", \"caps\": {\"flags\": 17}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT a insert {\"title\":\"a\",\"number\":1}"), 1);
  scene_end(&scene);
}

static void test_constants_and_types_of_the_destination(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n    key: name\n" OFF
                         "    map: {name: title, points: score, source: {value: shop}}\n");
  scene_write(&scene, "p/objects.json", FIELDS);
  scene_script(&scene, "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"points\",\"string\"]]",
               "[[1,\"a\",\"1.5\"],[2,\"b\",\"many\"],[3,\"c\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT a insert {\"title\":\"a\",\"score\":1.50,\"source\":\"shop\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT c insert {\"title\":\"c\",\"score\":null,\"source\":\"shop\"}"), 1);
  assert_int_equal(scene_count(&scene, "GOT b"), 0);
  assert_int_equal(scene.report.unreadable_rows, 1);
  assert_int_equal(scene.report.exit_code, 3);
  scene_end(&scene);
}

static void test_mapping_is_checked_before_anything_is_sent(void **state) {
  (void)state;
  static const struct {
    const char *map;
    int32_t code;
    const char *says;
  } cases[] = {{"{id: score}", DRAY_E_SCHEMA_FIELD, "required field \"title\""},
               {"{name: titel}", DRAY_E_SCHEMA_FIELD, "did you mean \"title\"?"},
               {"{nam: title}", DRAY_E_SCHEMA_COLUMN, "did you mean \"name\"?"},
               {"{name: title, id: made}", DRAY_E_SCHEMA_FIELD, "cannot be written"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char sync[160];
    (void)snprintf(sync, sizeof(sync), "    mode: mirror\n" OFF "    map: %s\n", cases[i].map);
    scene_activate(&scene, sync);
    scene_write(&scene, "p/objects.json", FIELDS);
    scene_rows(&scene, THREE, "");
    assert_int_equal(scene_run(&scene, 0), cases[i].code);
    if (strstr(scene.report.error.text, cases[i].says) == NULL) fail_msg("%s", scene.report.error.text);
    assert_int_equal(scene_count(&scene, ""), 0);
    scene_end(&scene);
  }
}

// What the mirror holds of a row changes what it costs, not what arrives.
static void test_changes_arrive_whatever_the_mirror_keeps(void **state) {
  (void)state;
  static const char *const keeps[] = {"row", "columns", "key"};
  for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
    struct scene scene;
    char sync[160];
    (void)snprintf(sync, sizeof(sync), "    mode: mirror\n" OFF "    keep: %s\n", keeps[i]);
    scene_activate(&scene, sync);
    scene_rows(&scene, THREE, "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[4,\"d\"]]", "");
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 3);
    assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"B\"}"), 1);
    assert_int_equal(scene_count(&scene, "GOT 4 insert {\"id\":4,\"name\":\"d\"}"), 1);
    assert_int_equal(scene_count(&scene, "GOT 3 delete"), 1);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.sent, 0);
    scene_end(&scene);
  }
}

static void test_a_baseline_keeps_what_the_config_says_now(void **state) {
  (void)state;
  struct scene scene;
  char path[128];
  struct dr_mirror_info info;
  struct dray_error error;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  (void)snprintf(path, sizeof(path), "%s/.dray/syncs/s/mirror", scene.folder);
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF "    keep: key\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(dr_mirror_verify(path, &info, &error), DRAY_OK);
  assert_int_equal(info.keep, DR_KEEP_ROW); // what it was made for
  assert_int_equal(scene_run(&scene, DR_RUN_BASELINE), DRAY_OK);
  assert_int_equal(dr_mirror_verify(path, &info, &error), DRAY_OK);
  assert_int_equal(info.keep, DR_KEEP_KEY);
  assert_int_equal(info.rows, 3);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.sent, 0);
  scene_end(&scene);
}

static void test_what_deletes_are_found_by_must_be_kept(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF "    map: {id: number, title: {value: a}}\n    keep: key\n");
  scene_write(&scene, "p/objects.json",
              "{\"objects\":[{\"name\":\"things\",\"fields\":[{\"name\":\"title\",\"match_key\":true,"
              "\"required\":true},{\"name\":\"number\",\"match_key\":true,\"required\":true}]}]}");
  scene_rows(&scene, "[[1,\"a\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_CONFIG_VALUE);
  if (strstr(scene.report.error.text, "\"title\"") == NULL) fail_msg("%s", scene.report.error.text);
  assert_int_equal(scene_count(&scene, ""), 0);
  scene_end(&scene);
}

static void test_an_update_shows_what_it_replaces_where_that_is_needed(void **state) {
  (void)state;
  struct scene scene;
  char caps[64];
  (void)snprintf(caps, sizeof(caps), ", \"caps\": {\"flags\": %u}", DRAY_CAPS_PARTIAL | DRAY_CAPS_UPDATE_NEEDS_BEFORE);
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, caps);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[1,\"a\"],[2,\"B\"],[4,\"d\"]]", caps);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"B\",\"_dray_before\":{\"name\":\"b\"}}"), 1);
  scene_rows(&scene, "[[1,\"a\"],[2,null],[4,\"d\"]]", caps);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[[1,\"a\"],[2,\"C\"],[4,\"d\"]]", caps);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 2 update {\"id\":2,\"name\":\"C\",\"_dray_before\":{\"name\":null}}"), 1);
  // Of an insert and of a delete there is nothing to tell, nor to a destination that did not ask.
  assert_int_equal(scene_count(&scene, "GOT 4 insert {\"id\":4,\"name\":\"d\"}"), 1);
  scene_rows(&scene, "[[1,\"A\"],[2,\"C\"],[4,\"d\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"A\"}"), 1);
  scene_end(&scene);
}

static void test_what_is_replaced_must_be_kept(void **state) {
  (void)state;
  static const uint32_t flags[] = {DRAY_CAPS_UPDATE_NEEDS_BEFORE, DRAY_CAPS_DELETE_NEEDS_ROW};
  static const char *const keeps[] = {"columns", "key"};
  for (size_t i = 0; i < 4; i++) {
    struct scene scene;
    char sync[100], caps[64];
    (void)snprintf(sync, sizeof(sync), "    mode: mirror\n" OFF "    keep: %s\n", keeps[i % 2]);
    (void)snprintf(caps, sizeof(caps), ", \"caps\": {\"flags\": %u}", DRAY_CAPS_PARTIAL | flags[i / 2]);
    scene_activate(&scene, sync);
    scene_rows(&scene, THREE, caps);
    assert_int_equal(scene_run(&scene, 0), DRAY_E_CONFIG_VALUE);
    if (strstr(scene.report.error.text, "keep the row") == NULL) fail_msg("%s", scene.report.error.text);
    assert_int_equal(scene_count(&scene, ""), 0);
    scene_end(&scene);
  }
}

static void test_edited_mapping_resends_rows_whose_result_differs(void **state) {
  (void)state;
  struct scene scene;
  const char *columns = "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"extra\",\"string\"]]";
  scene_activate(&scene, "    mode: mirror\n" OFF "    map: {id: id, name: name}\n");
  scene_script(&scene, columns, "[[1,\"a\",\"x\"],[2,\"b\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF
                       "    map: {id: id, name: name, extra: more}\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 update {\"id\":1,\"name\":\"a\",\"more\":\"x\"}"), 1);
  assert_int_equal(scene.report.unchanged + scene.report.updates, 2);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.sent, 0);
  scene_forget(&scene);
  scene_config(&scene,
               "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF "    map: {id: id, extra: more}\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK); // less than what the other side holds
  scene_script(&scene, columns, "[[1,\"z\",\"x\"],[2,\"b\",null]]", "");
  scene_forget(&scene);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.sent, 0); // nobody maps `name` any more
  scene_end(&scene);
}

// ---- receipts ----

static void test_rejected_row_comes_again_until_it_is_parked(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF "    attempts: 2\n");
  scene_rows(&scene, THREE, ", \"receipts\": {\"2\": [\"rejected\", \"rejected\", \"applied\"]}");
  for (int run = 1; run <= 2; run++) {
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.refused, 1);
    assert_int_equal(scene.report.exit_code, 3);
    assert_int_equal(scene_count(&scene, "TRY 2"), (size_t)run);
  }
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "TRY 2"), 2); // parked
  assert_int_equal(scene.report.parked, 1);
  struct dr_store *store = scene_store(&scene);
  struct dr_row_record *rows = NULL;
  size_t count = 0;
  struct dray_error error;
  uint64_t freed = 0;
  assert_int_equal(dr_store_rows(store, "s", 0, 10, &rows, &count, &error), DRAY_OK);
  assert_int_equal(count, 1);
  assert_string_equal(rows[0].key, "id=2");
  assert_string_equal(rows[0].text, "the probe does not like it");
  assert_int_equal(rows[0].attempts, 2);
  free(rows);
  assert_int_equal(dr_store_rows_unpark(store, "s", &freed, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(freed, 1);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 2"), 1);
  assert_int_equal(scene.report.exit_code, 0);
  store = scene_store(&scene);
  uint64_t rejected = 9, parked = 9;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(rejected + parked, 0);
  scene_end(&scene);
}

// Rows 10 on, all of this name, and row 2 where it is said.
static void write_many(struct scene *scene, char name, int with_second) {
  enum { ROWS = 2500 };
  static char text[ROWS * 128 + 512];
  size_t len =
      (size_t)snprintf(text, sizeof(text), "{\"columns\":[[\"id\",\"int64\"],[\"name\",\"string\"]],\"rows\":[");
  for (int i = 0; i < ROWS; i++) {
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s[%d,\"%c%090d\"]", i > 0 ? "," : "", 10 + i, name, i);
  }
  (void)snprintf(text + len, sizeof(text) - len, "%s],\"receipts\":{\"2\":[\"rejected\"]}}",
                 with_second ? ",[2,\"b\"]" : "");
  scene_write(scene, "p/script.json", text);
}

// What a pass could not decide was not met, and is not gone: nothing is forgotten, and the run says so.
static void test_records_outlive_a_run_that_deferred_rows(void **state) {
  (void)state;
  struct scene scene;
  uint64_t deferred = 0;
  scene_activate(&scene, "    mode: upsert\n" OFF "    attempts: 1000\n");
  for (char name = 'a'; name < 'z' && deferred == 0; name = (char)(name + 2)) {
    write_many(&scene, name, 1);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(setenv("DRAY_TEST", "1", 1), 0);
    assert_int_equal(setenv("DRAY_FILTER_BYTES", "1", 1), 0); // prints that lie
    write_many(&scene, (char)(name + 1), 0);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(unsetenv("DRAY_FILTER_BYTES"), 0);
    deferred = scene.report.deferred;
  }
  assert_true(deferred > 0);
  struct dr_store *store = scene_store(&scene);
  uint64_t rejected = 9, parked = 9;
  struct dray_error error;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(rejected, 1);
  assert_int_equal(scene.report.exit_code, 3);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK); // decides, and meets all there is
  assert_int_equal(scene.report.deferred, 0);
  store = scene_store(&scene);
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(rejected, 0);
  scene_end(&scene);
}

static void test_rows_put_off_are_retried_in_the_run(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE,
             ", \"receipts\": {\"2\": [\"retry\", \"retry\", \"applied\"], \"3\": [\"retry\", \"applied\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 3);
  assert_int_equal(scene.report.sent, 3);
  assert_int_equal(scene_count(&scene, "GOT 1"), 1);
  assert_int_equal(scene_count(&scene, "GOT 2"), 1);
  assert_int_equal(scene.report.exit_code, 0);
  scene_end(&scene);
}

static void test_rows_put_off_for_ever_are_recorded(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, ", \"receipts\": {\"2\": [\"retry\"]}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.refused, 1);
  assert_int_equal(scene.report.applied, 2);
  assert_int_equal(scene.report.exit_code, 3);
  struct dr_store *store = scene_store(&scene);
  struct dray_error error;
  uint64_t rejected = 0, parked = 0;
  assert_int_equal(dr_store_rows_count(store, "s", &rejected, &parked, &error), DRAY_OK);
  dr_store_close(store);
  assert_int_equal(rejected, 1);
  assert_int_equal(parked, 0);
  scene_end(&scene);
}

// ---- errors ----

static void test_passing_errors_are_tried_again(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE,
             ", \"calls\": [\"throttled\", \"throttled\", \"throttled\", \"throttled\", \"transient\", \"transient\"]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "CALL"), 7);
  assert_int_equal(scene.report.applied, 3);
  assert_int_equal(scene.report.sent, 3);
  assert_true(scene.report.apply_ms >= 120); // four times the 30 ms asked for
  scene_end(&scene);
}

static void test_failing_run_loses_nothing(void **state) {
  (void)state;
  static const struct {
    const char *calls;
    int32_t code;
    size_t call_count;
  } cases[] = {{"[\"transient\",\"transient\",\"transient\",\"transient\",\"transient\"]", DRAY_E_NET_CONNECT, 5},
               {"[\"auth\"]", DRAY_E_AUTH_REJECTED, 1},
               {"[\"cancelled\"]", DRAY_E_CANCELLED, 1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct scene scene;
    char more[160];
    (void)snprintf(more, sizeof(more), ", \"caps\": {\"doubt\": 4}, \"calls\": %s", cases[i].calls);
    scene_activate(&scene, "    mode: mirror\n" OFF);
    scene_rows(&scene, THREE, more);
    assert_int_equal(scene_run(&scene, 0), cases[i].code);
    assert_int_equal(scene_count(&scene, "CALL"), cases[i].call_count);
    assert_int_equal(scene_count(&scene, "ABORT"), 1);
    assert_int_equal(scene.report.in_doubt, 0);
    assert_int_equal(scene_run(&scene, 0), DRAY_OK);
    assert_int_equal(scene.report.applied, 3);
    assert_int_equal(scene_count(&scene, "GOT"), 3);
    scene_end(&scene);
  }
}

static void test_refused_batch_is_halved_to_the_row(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"],[3,\"c\"],[4,\"d\"],[5,\"e\"],[6,\"f\"],[7,\"g\"]]", ", \"refuse\": [5]");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 6);
  assert_int_equal(scene.report.sent, 7); // each counted once
  assert_int_equal(scene.report.refused, 1);
  assert_int_equal(scene.report.rejected_rows, 1);
  assert_int_equal(scene_count(&scene, "GOT 5"), 0);
  assert_int_equal(scene_count(&scene, "GOT"), 6);
  scene_end(&scene);
}

static void test_row_beyond_the_limit_is_refused_alone(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, "[[1,\"a\"],[2,\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"],[3,\"c\"]]",
             ", \"caps\": {\"bytes_max\": 60}");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 2);
  assert_int_equal(scene.report.sent, 2);
  assert_int_equal(scene.report.refused, 1);
  scene_end(&scene);
}

// ---- identity, mirror, baseline, full, guard ----

static void remove_mirror(const struct scene *scene) {
  char path[200];
  struct dray_error error;
  (void)snprintf(path, sizeof(path), "%s/.dray/syncs/s/mirror", scene->folder);
  assert_int_equal(dr_mirror_reset(path, &error), DRAY_OK);
}

static void test_state_that_does_not_fit_is_refused(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_config(&scene, "    to: {connection: dst, object: others}\n    mode: mirror\n" OFF);
  assert_int_equal(scene_run(&scene, 0), DRAY_E_STATE_IDENTITY);
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: remove\n" OFF);
  assert_int_equal(scene_run(&scene, 0), DRAY_E_STATE_IDENTITY);
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF "    key: name\n");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_MIRROR_SCHEMA);
  scene_config(&scene, "    to: {connection: dst, object: things}\n    mode: mirror\n" OFF);
  remove_mirror(&scene);
  assert_int_equal(scene_run(&scene, 0), DRAY_E_MIRROR_MISSING);
  assert_int_equal(scene_count(&scene, "GOT"), 3);
  assert_int_equal(scene_run(&scene, DR_RUN_BASELINE), DRAY_OK); // the other side is known to hold them
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT"), 3);
  scene_end(&scene);
}

static void test_baseline_sends_nothing_and_full_sends_everything(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, DR_RUN_BASELINE), DRAY_OK);
  assert_int_equal(scene.report.mirror_rows, 3);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "CALL"), 0);
  scene_rows(&scene, "[[1,\"a\"],[2,\"b\"]]", "");
  assert_int_equal(scene_run(&scene, DR_RUN_FULL), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 update"), 1);
  assert_int_equal(scene_count(&scene, "GOT 2 update"), 1);
  assert_int_equal(scene_count(&scene, "GOT 3 delete"), 1);
  scene_end(&scene);
}

static void test_plan_leaves_no_trace(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, DR_RUN_PLAN), DRAY_OK);
  assert_int_equal(scene.report.inserts, 3);
  assert_int_equal(scene.report.sample_count, 3);
  assert_int_equal(scene_count(&scene, ""), 0);
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene.report.applied, 3);
  scene_end(&scene);
}

static void test_guard_stops_an_empty_read_full_or_not(void **state) {
  (void)state;
  struct scene scene;
  scene_activate(&scene, "    mode: mirror\n");
  scene_rows(&scene, THREE, "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_rows(&scene, "[]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_E_GUARD);
  assert_int_equal(scene.report.exit_code, 7);
  assert_int_equal(scene_run(&scene, DR_RUN_FULL), DRAY_E_GUARD);
  assert_int_equal(scene_count(&scene, "GOT"), 3);
  assert_int_equal(scene_run(&scene, DR_RUN_ALLOW_GUARD), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 2 delete"), 1);
  assert_int_equal(scene.report.mirror_rows, 0);
  scene_end(&scene);
}

static void test_unreadable_row_withholds_deletes_alone(void **state) {
  (void)state;
  struct scene scene;
  const char *columns = "[[\"id\",\"int64\"],[\"name\",\"string\"],[\"_dray_error\",\"string\"]]";
  scene_activate(&scene, "    mode: mirror\n" OFF);
  scene_script(&scene, columns, "[[1,\"a\",null],[2,\"b\",null]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  scene_script(&scene, columns, "[[1,\"A\",null],[2,\"b\",\"broken\"]]", "");
  assert_int_equal(scene_run(&scene, 0), DRAY_OK);
  assert_int_equal(scene_count(&scene, "GOT 1 update"), 1);
  assert_int_equal(scene_count(&scene, "GOT 2 delete"), 0);
  assert_int_equal(scene.report.deletes_withheld, 1);
  assert_int_equal(scene.report.exit_code, 3);
  scene_end(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_upsert_sends_what_changed_and_keeps_what_is_gone),
      cmocka_unit_test(test_each_mode_sends_its_changes),
      cmocka_unit_test(test_removed_row_that_comes_back_is_removed_again),
      cmocka_unit_test(test_unmapped_key_is_hidden_where_fields_are_fixed),
      cmocka_unit_test(test_the_key_is_what_rows_are_found_by),
      cmocka_unit_test(test_unmapped_key_is_sent_where_fields_are_free),
      cmocka_unit_test(test_listed_fields_and_others_where_the_caps_say_so),
      cmocka_unit_test(test_constants_and_types_of_the_destination),
      cmocka_unit_test(test_mapping_is_checked_before_anything_is_sent),
      cmocka_unit_test(test_changes_arrive_whatever_the_mirror_keeps),
      cmocka_unit_test(test_a_baseline_keeps_what_the_config_says_now),
      cmocka_unit_test(test_what_deletes_are_found_by_must_be_kept),
      cmocka_unit_test(test_an_update_shows_what_it_replaces_where_that_is_needed),
      cmocka_unit_test(test_what_is_replaced_must_be_kept),
      cmocka_unit_test(test_edited_mapping_resends_rows_whose_result_differs),
      cmocka_unit_test(test_rejected_row_comes_again_until_it_is_parked),
      cmocka_unit_test(test_records_outlive_a_run_that_deferred_rows),
      cmocka_unit_test(test_rows_put_off_are_retried_in_the_run),
      cmocka_unit_test(test_rows_put_off_for_ever_are_recorded),
      cmocka_unit_test(test_passing_errors_are_tried_again),
      cmocka_unit_test(test_failing_run_loses_nothing),
      cmocka_unit_test(test_refused_batch_is_halved_to_the_row),
      cmocka_unit_test(test_row_beyond_the_limit_is_refused_alone),
      cmocka_unit_test(test_state_that_does_not_fit_is_refused),
      cmocka_unit_test(test_baseline_sends_nothing_and_full_sends_everything),
      cmocka_unit_test(test_plan_leaves_no_trace),
      cmocka_unit_test(test_guard_stops_an_empty_read_full_or_not),
      cmocka_unit_test(test_unreadable_row_withholds_deletes_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
