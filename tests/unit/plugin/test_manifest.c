// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Manifests: what is read, and that every refusal names the file and the member.
#include "plugin/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"

#define SHA "\"sha256\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\""
#define ABI "\"abi\":{\"major\":1,\"minor\":0}"
#define REST "\"library\":\"x.so\"," SHA ",\"roles\":[\"source\"]"

static int32_t read_text(const char *folder, const char *text, struct dr_manifest *out, struct dray_error *error) {
  scene_write(scene_path(folder, "manifest.json"), text);
  dray_error_init(error);
  return dr_manifest_read(folder, out, error);
}

static void test_manifest_gives_every_member(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest;
  struct dray_error error;
  scene_ok(read_text(folder,
                     "{\"$schema\":\"x\",\"x-team\":[1],\"name\":\"web-hook2\",\"version\":\"10.0.3-rc.1+b7\","
                     "\"summary\":\"s\\u00fcm\","
                     "\"license\":\"MIT\",\"homepage\":\"https://example.com/\",\"library\":\"web.so\"," SHA
                     ",\"abi\":{\"major\":1,\"minor\":0},\"roles\":[\"warehouse\",\"source\"]}",
                     &manifest, &error));
  assert_string_equal(manifest.name, "web-hook2");
  assert_string_equal(manifest.version, "10.0.3-rc.1+b7");
  assert_string_equal(manifest.summary, "s\xc3\xbcm");
  assert_string_equal(manifest.license, "MIT");
  assert_string_equal(manifest.homepage, "https://example.com/");
  assert_string_equal(manifest.library, scene_path(folder, "web.so"));
  assert_string_equal(manifest.folder, folder);
  assert_int_equal(manifest.abi_major, 1);
  assert_int_equal(manifest.abi_minor, 0);
  assert_true(manifest.has_warehouse && manifest.has_source && !manifest.has_destination);
  assert_int_equal(strlen(manifest.sha256), 64);
}

static void test_manifest_is_found_from_folder_library_and_itself(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest;
  struct dray_error error;
  scene_ok(read_text(folder, "{\"name\":\"a\",\"version\":\"1.0.0\"," ABI "," REST "}", &manifest, &error));
  scene_write(scene_path(folder, "x.so"), "not read");
  scene_write(scene_path(folder, "y.so"), "not read");
  scene_ok(dr_manifest_read(scene_path(folder, ""), &manifest, &error)); // with a slash at the end
  assert_string_equal(manifest.folder, folder);
  scene_ok(dr_manifest_read(scene_path(folder, "x.so"), &manifest, &error));
  scene_ok(dr_manifest_read(scene_path(folder, "manifest.json"), &manifest, &error));
  assert_string_equal(manifest.library, scene_path(folder, "x.so"));
  scene_failed(dr_manifest_read(scene_path(folder, "y.so"), &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST,
               "describes the library x.so, not y.so", NULL);
  scene_failed(dr_manifest_read(scene_path(folder, "z.so"), &manifest, &error), &error, DRAY_E_PLUGIN_MISSING, "z.so",
               NULL);
}

static void test_manifest_missing_is_said(void **state) {
  struct dr_manifest manifest;
  struct dray_error error;
  scene_failed(dr_manifest_read(*state, &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST,
               "there is no manifest.json in", *state, NULL);
}

static void test_manifest_refusal_names_file_and_member(void **state) {
  const char *folder = *state;
  static const struct {
    const char *text, *field, *said;
  } cases[] = {
      {"{\"version\":\"1.0.0\"," ABI "," REST "}", "name", "is missing"},
      {"{\"name\":5,\"version\":\"1.0.0\"," ABI "," REST "}", "name", "must be a string"},
      {"{\"name\":\"Shopify\",\"version\":\"1.0.0\"," ABI "," REST "}", "name", "a letter a-z"},
      {"{\"name\":\"../x\",\"version\":\"1.0.0\"," ABI "," REST "}", "name", "a letter a-z"},
      {"{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"version\":\"1.0.0\"," ABI
       "," REST "}",
       "name", "at most 63 bytes"},
      {"{\"name\":\"a\",\"version\":\"1.0\"," ABI "," REST "}", "version", "1.2.3"},
      {"{\"name\":\"a\",\"version\":\"01.0.0\"," ABI "," REST "}", "version", "1.2.3"},
      {"{\"name\":\"a\",\"version\":\"1.0.0-\"," ABI "," REST "}", "version", "1.2.3"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," REST "}", "abi", "is missing"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"abi\":1," REST "}", "abi", "an object"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"abi\":{\"major\":1}," REST "}", "abi.minor", "is missing"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"abi\":{\"major\":-1,\"minor\":0}," REST "}", "abi.major",
       "whole number"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"/etc/x.so\"," SHA ",\"roles\":[\"source\"]}",
       "library", "a file beside the manifest"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"..\"," SHA ",\"roles\":[\"source\"]}", "library",
       "a file beside the manifest"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"x.so\",\"sha256\":\"AA\",\"roles\":[\"source\"]}",
       "sha256", "64 lower-case"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"x.so\"," SHA "}", "roles", "is missing"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"x.so\"," SHA ",\"roles\":[]}", "roles", "a list"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"x.so\"," SHA ",\"roles\":[\"sink\"]}", "roles",
       "a list"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\"," ABI ",\"library\":\"x.so\"," SHA ",\"roles\":[\"source\",\"source\"]}",
       "roles", "twice"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"licence\":\"MIT\"," ABI "," REST "}", "licence",
       "did you mean \"license\"?"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"summary\":\"a\\u001b[2J\"," ABI "," REST "}", "summary",
       "control characters"},
      {"{\"name\":\"a\",\"version\":\"1.0.0\",\"homepage\":\"javascript:1\"," ABI "," REST "}", "homepage", "http"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dr_manifest manifest;
    struct dray_error error;
    scene_failed(read_text(folder, cases[i].text, &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST,
                 scene_path(folder, "manifest.json"), cases[i].field, cases[i].said, NULL);
    assert_string_equal(error.field, cases[i].field);
  }
}

static void test_manifest_of_a_newer_minor_may_have_members_nobody_knows_yet(void **state) {
  struct dr_manifest manifest;
  struct dray_error error;
  scene_ok(read_text(
      *state, "{\"name\":\"a\",\"version\":\"1.0.0\",\"platforms\":[],\"abi\":{\"major\":1,\"minor\":7}," REST "}",
      &manifest, &error));
  assert_int_equal(manifest.abi_minor, 7); // the loader refuses it, with both versions
}

static void test_manifest_damaged_is_refused(void **state) {
  const char *folder = *state;
  static const char *const texts[] = {
      "", "{", "[]", "{\"name\":\"a\",\"name\":\"b\"}", "\xff\xfe{}", "{\"name\":\"a\"} x"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    struct dr_manifest manifest;
    struct dray_error error;
    scene_failed(read_text(folder, texts[i], &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST, "manifest.json", NULL);
  }
}

static void test_manifest_larger_than_the_cap_is_refused(void **state) {
  const char *folder = *state;
  const size_t len = 70000;
  char *text = malloc(len + 1);
  assert_non_null(text);
  memset(text, ' ', len);
  memcpy(text, "{\"name\":\"a\"", 11);
  text[len - 1] = '}';
  text[len] = '\0';
  struct dr_manifest manifest;
  struct dray_error error;
  scene_failed(read_text(folder, text, &manifest, &error), &error, DRAY_E_PLUGIN_MANIFEST, "65536", NULL);
  free(text);
}

static int32_t read_once(void *ctx) {
  struct dr_manifest manifest;
  struct dray_error error;
  const int32_t rc = dr_manifest_read(ctx, &manifest, &error);
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  return rc;
}

static void test_manifest_survives_every_failing_allocation(void **state) {
  scene_write(scene_path(*state, "manifest.json"), "{\"name\":\"a\",\"version\":\"1.0.0\"," ABI "," REST "}");
  assert_true(torture_every(read_once, *state) > 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_manifest_gives_every_member, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_is_found_from_folder_library_and_itself, scene_setup,
                                      scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_missing_is_said, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_refusal_names_file_and_member, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_of_a_newer_minor_may_have_members_nobody_knows_yet, scene_setup,
                                      scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_damaged_is_refused, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_larger_than_the_cap_is_refused, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_manifest_survives_every_failing_allocation, scene_setup, scene_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
