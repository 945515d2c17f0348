// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading: what is refused before any code runs, what is refused by the handshake, and what an older or newer plugin
// gets. The libraries are built from tests/unit/plugin/broken.
#include "plugin/scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/board.h"
#include "plugin/trust.h"
#include "torture.h"

#ifndef BROKEN_PLUGINS
#error "tests/abi/CMakeLists.txt says where the broken plugins are"
#endif

static struct dr_manifest manifest_of(const char *name) {
  struct dr_manifest manifest;
  struct dray_error error;
  dray_error_init(&error);
  scene_ok(dr_manifest_read(scene_path(BROKEN_PLUGINS, name), &manifest, &error));
  return manifest;
}

static int32_t load(const char *name, struct dr_plugin **out, struct dray_error *error) {
  const struct dr_manifest manifest = manifest_of(name);
  dray_error_init(error);
  *out = NULL;
  return dr_plugin_load(&manifest, out, error);
}

// A copy of a built plugin that a test may damage.
static struct dr_manifest copy_of(const char *name, const char *folder) {
  struct dr_manifest manifest = manifest_of(name);
  char *own = scene_path(folder, name);
  scene_folder(own);
  scene_copy(scene_path(manifest.folder, "manifest.json"), scene_path(own, "manifest.json"));
  scene_copy(manifest.library, scene_path(own, strrchr(manifest.library, '/') + 1));
  struct dray_error error;
  scene_ok(dr_manifest_read(own, &manifest, &error));
  return manifest;
}

static void test_load_gives_a_plugin_that_can_be_used(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dr_plugin *again = NULL;
  struct dray_error error;
  scene_ok(load("good", &plugin, &error));
  assert_string_equal(plugin->manifest.version, "1.2.3");
  assert_ptr_equal(plugin->table.source, &plugin->source);
  assert_null(plugin->table.destination);
  assert_non_null(plugin->source.interrupt); // optional: filled
  plugin->source.interrupt(NULL);
  scene_ok(load("good", &again, &error));
  assert_ptr_equal(plugin, again); // a library is loaded once

  struct dray_str spec;
  scene_ok(dr_plugin_spec(plugin, DR_ROLE_SOURCE, &spec, &error));
  assert_non_null(memmem(spec.data, spec.len, "properties", 10));
  scene_failed(dr_plugin_spec(plugin, DR_ROLE_WAREHOUSE, &spec, &error), &error, DRAY_E_PLUGIN_ROLE,
               "cannot be used as a warehouse; it is a source", NULL);
}

static void test_load_refuses_before_code_runs(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_failed(load("extra_export", &plugin, &error), &error, DRAY_E_PLUGIN_EXPORTS, "2 symbols",
               "json_parse_everything", "leaked_data", "version-script", NULL);
  scene_failed(load("no_entry", &plugin, &error), &error, DRAY_E_PLUGIN_EXPORTS, "does not export",
               "dray_plugin_entry_v1", NULL);
  scene_failed(load("entry_v2", &plugin, &error), &error, DRAY_E_PLUGIN_ABI, "built for plugin ABI 2",
               "this dray has ABI 1", "install", NULL);
  scene_failed(load("unresolved", &plugin, &error), &error, DRAY_E_PLUGIN_LOAD, "vendor_client_connect", NULL);
  assert_null(plugin);
}

static void test_load_compares_abi_versions_of_the_manifest(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  struct dr_manifest manifest = manifest_of("good");
  manifest.abi_major = 3;
  manifest.abi_minor = 4;
  (void)snprintf(manifest.library, sizeof(manifest.library), "%s/./broken_good.so", manifest.folder); // not yet loaded
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_ABI, "ABI 3.4", "ABI 1.2",
               "good 1.2.3", NULL);
  manifest.abi_major = 1;
  manifest.abi_minor = 9;
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_ABI, "needs plugin ABI 1.9",
               "newer dray", NULL);
}

static void test_load_refuses_a_changed_library(void **state) {
  struct dr_manifest manifest = copy_of("good", *state);
  FILE *file = fopen(manifest.library, "ab");
  assert_non_null(file);
  assert_int_equal(fputc('x', file), 'x');
  assert_int_equal(fclose(file), 0);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_DIGEST, manifest.library,
               manifest.sha256, "install", NULL);
}

static void test_load_refuses_what_others_may_write(void **state) {
  struct dr_manifest manifest = copy_of("good", *state);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  assert_int_equal(chmod(manifest.library, 0757), 0);
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_UNTRUSTED, manifest.library,
               "everybody", "chmod go-w", NULL);
  assert_int_equal(chmod(manifest.library, 0755), 0);
  assert_int_equal(chmod(manifest.folder, 0775), 0);
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_UNTRUSTED, manifest.folder, "group",
               NULL);
  assert_int_equal(chmod(manifest.folder, 0755), 0);
  assert_int_equal(chmod(scene_path(manifest.folder, "manifest.json"), 0666), 0);
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_UNTRUSTED, "manifest.json", NULL);
  assert_int_equal(chmod(scene_path(manifest.folder, "manifest.json"), 0644), 0);
  scene_ok(dr_plugin_load(&manifest, &plugin, &error)); // as soon as it is put right
}

static void test_load_accepts_a_sticky_folder_of_root_only(void **state) {
  if (geteuid() != 0) skip(); // needs a folder that root owns
  struct dr_manifest manifest = copy_of("good", *state);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  assert_int_equal(chmod(manifest.folder, 01777), 0);
  scene_ok(dr_plugin_load(&manifest, &plugin, &error));
}

static void test_load_refuses_files_of_another_user(void **state) {
  if (geteuid() != 0) skip(); // only root can give files away
  struct dr_manifest manifest = copy_of("good", *state);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  assert_int_equal(chown(manifest.library, 12345, 12345), 0);
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_UNTRUSTED, manifest.library,
               "user 12345", NULL);
}

static void test_load_follows_links_to_where_they_lead(void **state) {
  const char *folder = *state;
  struct dr_manifest manifest = copy_of("good", folder);
  scene_folder(scene_path(folder, "open"));
  char *real = scene_path(folder, "open/real.so");
  assert_int_equal(rename(manifest.library, real), 0);
  assert_int_equal(symlink(real, manifest.library), 0);
  assert_int_equal(chmod(scene_path(folder, "open"), 0777), 0);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_UNTRUSTED, "/open", NULL);
}

static void test_load_refuses_a_library_that_is_gone(void **state) {
  struct dr_manifest manifest = copy_of("good", *state);
  assert_int_equal(unlink(manifest.library), 0);
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_MISSING, manifest.library, NULL);
}

static void test_handshake_refusals_name_the_rule(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_failed(load("missing_slot", &plugin, &error), &error, DRAY_E_PLUGIN_CONTRACT, "missing_slot.so",
               "lacks the slot discover", NULL);
  scene_failed(load("too_old", &plugin, &error), &error, DRAY_E_PLUGIN_CONTRACT, "lacks the slot open", "ABI 1.2",
               NULL);
  scene_failed(load("flags", &plugin, &error), &error, DRAY_E_PLUGIN_CONTRACT, "unknown flags 0x40", NULL);
  scene_failed(load("no_size", &plugin, &error), &error, DRAY_E_PLUGIN_CONTRACT, "struct_size is 0", NULL);
  scene_failed(load("other_name", &plugin, &error), &error, DRAY_E_PLUGIN_MANIFEST, "says its name is \"shopify\"",
               "its manifest says \"other_name\"", NULL);
  scene_failed(load("other_role", &plugin, &error), &error, DRAY_E_PLUGIN_MANIFEST, "lacks the role source", NULL);
  scene_failed(load("refuses", &plugin, &error), &error, DRAY_E_PLUGIN_ABI, "refuses.so refused to start",
               "too old for me", NULL);
  scene_failed(load("odd_code", &plugin, &error), &error, DRAY_E_PLUGIN_CONTRACT, "returned -1", NULL);
  assert_null(plugin);
}

static void test_handshake_fills_what_an_older_plugin_does_not_know(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_ok(load("older", &plugin, &error));
  plugin->source.interrupt(NULL); // the poison behind the plugin's struct was not taken
}

static void test_handshake_leaves_what_a_newer_plugin_has_more(void **state) {
  (void)state;
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  scene_ok(load("newer", &plugin, &error));
  assert_int_equal(plugin->source.struct_size, sizeof(plugin->source));
  assert_int_equal(plugin->table.abi_minor, DRAY_ABI_MINOR + 1);
}

static void test_crash_in_a_constructor_is_on_the_board(void **state) {
  (void)state;
  const struct dr_manifest manifest = manifest_of("crash");
  struct dr_board *board = dr_board_new();
  assert_non_null(board);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct dr_plugin *plugin = NULL;
    dr_board_set(board);
    const int32_t rc = dr_plugin_load(&manifest, &plugin, NULL);
    _exit(rc == DRAY_OK ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  struct dr_board_view view;
  dr_board_read(board, &view);
  assert_string_equal(view.call, "loading plugin crash (constructor)");
  dr_board_free(board);
}

// ---- libraries that are none ----

static void rewrite(struct dr_manifest *manifest, const char *bytes, size_t len) {
  FILE *file = fopen(manifest->library, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

// Gives the manifest the digest that the library has now, by asking the loader.
static void fit_digest(struct dr_manifest *manifest) {
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  assert_int_equal(dr_plugin_load(manifest, &plugin, &error), DRAY_E_PLUGIN_DIGEST);
  const char *said = strstr(error.text, "has the SHA-256 ");
  assert_non_null(said);
  memcpy(manifest->sha256, said + 16, 64);
}

static void test_load_refuses_files_that_are_no_library(void **state) {
  struct dr_manifest manifest = copy_of("good", *state);
  static const char *const texts[] = {"", "#!/bin/sh\n",
                                      "\x7f"
                                      "ELF"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    rewrite(&manifest, texts[i], strlen(texts[i]));
    fit_digest(&manifest);
    struct dr_plugin *plugin = NULL;
    struct dray_error error;
    scene_failed(dr_plugin_load(&manifest, &plugin, &error), &error, DRAY_E_PLUGIN_LOAD, manifest.library, NULL);
  }
}

// Bytes of the ELF header and of the section table are damaged in turn, and the file is cut at many lengths: the reader
// of symbols must refuse or accept, and never read out of bounds (the sanitizers watch). Nothing of it is run.
static void test_damaged_libraries_never_break_the_reader(void **state) {
  struct dr_manifest manifest = copy_of("good", *state);
  FILE *file = fopen(manifest.library, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  const size_t len = (size_t)ftell(file);
  rewind(file);
  char *bytes = malloc(len);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
  uint64_t sections = 0;
  memcpy(&sections, bytes + 40, sizeof(sections)); // e_shoff
  struct dray_error error;
  size_t refused = 0;
  for (size_t at = 0; at < 64; at++) {
    const char kept = bytes[at];
    bytes[at] = (char)~kept;
    rewrite(&manifest, bytes, len);
    refused += dr_trust_exports(&manifest, &error) != DRAY_OK;
    bytes[at] = kept;
  }
  for (size_t at = (size_t)sections; at < len; at += 7) {
    const char kept = bytes[at];
    bytes[at] = (char)0xFF;
    rewrite(&manifest, bytes, len);
    refused += dr_trust_exports(&manifest, &error) != DRAY_OK;
    bytes[at] = kept;
  }
  for (size_t cut = 1; cut < len; cut += len / 61) {
    rewrite(&manifest, bytes, cut);
    scene_failed(dr_trust_exports(&manifest, &error), &error, DRAY_E_PLUGIN_LOAD, manifest.library, NULL);
  }
  assert_true(refused > 20);
  free(bytes);
}

// ---- failing allocations ----

static int32_t load_once(void *ctx) {
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  const int32_t rc = dr_plugin_load(ctx, &plugin, &error);
  // OpenSSL allocates too, and does not always say why it failed; but it never hands out a wrong digest.
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_INTERNAL);
  return rc;
}

static void test_load_survives_every_failing_allocation(void **state) {
  struct dr_manifest manifest = copy_of("newer", *state);
  assert_true(torture_every(load_once, &manifest) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_load_gives_a_plugin_that_can_be_used),
      cmocka_unit_test(test_load_refuses_before_code_runs),
      cmocka_unit_test(test_load_compares_abi_versions_of_the_manifest),
      cmocka_unit_test_setup_teardown(test_load_refuses_a_changed_library, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_refuses_what_others_may_write, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_accepts_a_sticky_folder_of_root_only, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_refuses_files_of_another_user, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_follows_links_to_where_they_lead, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_refuses_a_library_that_is_gone, scene_setup, scene_teardown),
      cmocka_unit_test(test_handshake_refusals_name_the_rule),
      cmocka_unit_test(test_handshake_fills_what_an_older_plugin_does_not_know),
      cmocka_unit_test(test_handshake_leaves_what_a_newer_plugin_has_more),
      cmocka_unit_test(test_crash_in_a_constructor_is_on_the_board),
      cmocka_unit_test_setup_teardown(test_load_refuses_files_that_are_no_library, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_damaged_libraries_never_break_the_reader, scene_setup, scene_teardown),
      cmocka_unit_test_setup_teardown(test_load_survives_every_failing_allocation, scene_setup, scene_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
