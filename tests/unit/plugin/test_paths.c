// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where plugins are found: the order of folders, names that are near, and plugins whose manifest is bad.
#include "plugin/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"

static void add_plugin(const char *folder, const char *name, const char *version) {
  char text[512];
  (void)snprintf(text, sizeof(text),
                 "{\"name\":\"%s\",\"version\":\"%s\",\"abi\":{\"major\":1,\"minor\":0},\"library\":\"x.so\",\"roles\":"
                 "[\"source\"],"
                 "\"sha256\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}",
                 name, version);
  char *own = scene_path(folder, name);
  scene_folder(own);
  scene_write(scene_path(own, "manifest.json"), text);
}

static struct dr_plugin_paths paths_of(const char *given) {
  struct dr_plugin_paths paths;
  struct dray_error error;
  scene_ok(dr_plugin_paths_init(&paths, &given, 1, &error));
  return paths;
}

static void test_paths_given_come_before_the_environment(void **state) {
  const char *folder = *state;
  struct dray_error error;
  scene_folder(scene_path(folder, "one"));
  scene_folder(scene_path(folder, "two"));
  add_plugin(scene_path(folder, "one"), "file", "1.0.0");
  add_plugin(scene_path(folder, "two"), "file", "2.0.0");
  add_plugin(scene_path(folder, "two"), "sqlite", "3.0.0");
  char both[8192];
  (void)snprintf(both, sizeof(both), ":%s:%s/two:", scene_path(folder, "nowhere"), folder);
  assert_int_equal(setenv("DRAY_PLUGIN_PATH", both, 1), 0);

  struct dr_plugin_paths paths = paths_of(scene_path(folder, "one"));
  struct dr_manifest manifest;
  scene_ok(dr_plugin_find(&paths, "file", &manifest, &error));
  assert_string_equal(manifest.version, "1.0.0");
  scene_ok(dr_plugin_find(&paths, "sqlite", &manifest, &error));
  assert_string_equal(manifest.version, "3.0.0");

  struct dr_manifest *all = NULL;
  size_t count = 0;
  scene_ok(dr_plugin_list(&paths, &all, &count, &error));
  size_t files = 0;
  for (size_t i = 0; i < count; i++) files += strcmp(all[i].name, "file") == 0;
  assert_int_equal(files, 1); // the one that would be used
  assert_string_equal(all[0].version, "1.0.0");
  free(all);
  dr_plugin_paths_free(&paths);
  assert_int_equal(unsetenv("DRAY_PLUGIN_PATH"), 0);
}

static void test_find_missing_names_the_nearest_and_where_it_looked(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest;
  struct dray_error error;
  add_plugin(folder, "postgres", "1.0.0");
  struct dr_plugin_paths paths = paths_of(folder);
  scene_failed(dr_plugin_find(&paths, "postgers", &manifest, &error), &error, DRAY_E_PLUGIN_MISSING,
               "there is no plugin postgers; did you mean \"postgres\"?", folder, NULL);
  scene_failed(dr_plugin_find(&paths, "kafka", &manifest, &error), &error, DRAY_E_PLUGIN_MISSING,
               "kafka (looked in:", folder, NULL);
  scene_failed(dr_plugin_find(&paths, "..", &manifest, &error), &error, DRAY_E_PLUGIN_MISSING, "..", NULL);
  scene_failed(dr_plugin_find(&paths, "", &manifest, &error), &error, DRAY_E_PLUGIN_MISSING, "looked in", NULL);
  dr_plugin_paths_free(&paths);
}

static void test_find_takes_a_plugin_folder_or_a_path_itself(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest;
  struct dray_error error;
  add_plugin(folder, "shop", "1.0.0");
  struct dr_plugin_paths paths = paths_of(scene_path(folder, "shop")); // the plugin's own folder is on the path
  scene_ok(dr_plugin_find(&paths, "shop", &manifest, &error));
  dr_plugin_paths_free(&paths);
  paths = paths_of("/nowhere");
  scene_ok(dr_plugin_find(&paths, scene_path(folder, "shop"), &manifest, &error));
  assert_string_equal(manifest.name, "shop");
  dr_plugin_paths_free(&paths);
}

static void test_find_refuses_a_plugin_in_another_ones_folder(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest;
  struct dray_error error;
  add_plugin(folder, "shop", "1.0.0");
  assert_int_equal(rename(scene_path(folder, "shop"), scene_path(folder, "file")), 0);
  struct dr_plugin_paths paths = paths_of(folder);
  scene_failed(dr_plugin_find(&paths, "file", &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST, "\"name\" is shop",
               "file", NULL);
  dr_plugin_paths_free(&paths);
}

static void test_list_shows_a_bad_manifest_in_its_place(void **state) {
  const char *folder = *state;
  struct dray_error error;
  add_plugin(folder, "alpha", "1.0.0");
  add_plugin(folder, "omega", "1.0.0");
  scene_folder(scene_path(folder, "broken"));
  scene_write(scene_path(folder, "broken/manifest.json"), "{\"name\": }");
  scene_folder(scene_path(folder, "no-plugin"));
  scene_write(scene_path(folder, "a-file"), "x");
  struct dr_plugin_paths paths = paths_of(folder);
  struct dr_manifest *all = NULL;
  size_t count = 0;
  scene_ok(dr_plugin_list(&paths, &all, &count, &error));
  assert_true(count >= 3);
  assert_string_equal(all[0].name, "alpha");
  assert_string_equal(all[1].name, "broken");
  assert_string_equal(all[1].version, "");
  assert_non_null(strstr(all[1].summary, "manifest.json"));
  assert_string_equal(all[2].name, "omega");
  struct dr_manifest manifest;
  scene_failed(dr_plugin_find(&paths, "broken", &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST, "manifest.json",
               NULL);
  free(all);
  dr_plugin_paths_free(&paths);
}

static int32_t list_once(void *ctx) {
  const char *const given[] = {ctx};
  struct dr_plugin_paths paths;
  struct dr_manifest *all = NULL;
  size_t count = 0;
  struct dray_error error;
  int32_t rc = dr_plugin_paths_init(&paths, given, 1, &error);
  if (rc == DRAY_OK) {
    rc = dr_plugin_list(&paths, &all, &count, &error);
    struct dr_manifest found;
    if (rc == DRAY_OK) rc = dr_plugin_find(&paths, "beta", &found, &error);
    dr_plugin_paths_free(&paths);
    free(all);
  }
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  return rc;
}

static void test_list_and_find_survive_every_failing_allocation(void **state) {
  add_plugin(*state, "alpha", "1.0.0");
  add_plugin(*state, "beta", "1.0.0");
  assert_true(torture_every(list_once, *state) > 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_paths_given_come_before_the_environment, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_find_missing_names_the_nearest_and_where_it_looked, scene_setup,
                                      scene_teardown),
      cmocka_unit_test_setup_teardown(test_find_takes_a_plugin_folder_or_a_path_itself, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_find_refuses_a_plugin_in_another_ones_folder, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_list_shows_a_bad_manifest_in_its_place, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_list_and_find_survive_every_failing_allocation, scene_setup, scene_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
