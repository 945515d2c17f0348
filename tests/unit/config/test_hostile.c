// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A good project with each allocation failing in turn, and with its bytes changed at random: always an orderly
// answer,
// under ASan and UBSan.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "torture.h"

static const char *const schema = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"shop\"],"
                                  "\"properties\":{\"shop\":{\"type\":\"string\"},"
                                  "\"token\":{\"type\":\"string\",\"writeOnly\":true},\"o\":{\"type\":\"object\","
                                  "\"properties\":{\"n\":{\"type\":\"integer\","
                                  "\"default\":1}}},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}";

static const char *const yaml =
    "version: 1 # a comment\n"
    "memory: 64MiB\n"
    "plugins: [lib, \"/opt/x\"]\n"
    "connections:\n"
    "  shop: {plugin: p, shop: acme, token: !secret env:PATH, o: {n: 2}, l: [a, 'b''c', \"d\\te\"]}\n"
    "  wh:\n"
    "    plugin: p\n"
    "    shop: |\n"
    "      zwölf\n"
    "      Boxkämpfer\n"
    "    token: !literal hunter2\n"
    "models:\n"
    "  m: {warehouse: wh, sql: select 1, key: [a, b]}\n"
    "syncs:\n"
    "  s:\n"
    "    from: {connection: shop, streams: [x, y], read: full}\n"
    "    to: {connection: wh, schema: z}\n"
    "    types:\n"
    "      a: decimal(10,2)\n"
    "    guard: {deletes: 10%, changes: 50, min: 3}\n"
    "    schedule: \"*/5 * * * *\"\n"
    "  t:\n"
    "    from: {model: m}\n"
    "    to: {connection: shop, object: o, list: l}\n"
    "    map: {a: b, c: [d, e], f: {value: g}}\n"
    "    drift: {type: freeze}\n";

// Everything that is done with a project. The folder is in ctx.
static int32_t whole_way(void *ctx) {
  struct dr_project *project = NULL;
  struct dray_error error;
  struct dray_buffer out;
  dray_error_init(&error);
  dray_buffer_init(&out, 4u << 20);
  int32_t rc = dr_project_load(ctx, &project, &error);
  for (size_t i = 0; rc == DRAY_OK && i < project->connection_count; i++) {
    const struct dr_connection *connection = &project->connections[i];
    rc = dr_project_check_settings(project, connection->settings, connection->mark, dray_str_of(schema), &error);
    if (rc == DRAY_OK && project->problems.count == 0)
      rc = dr_project_settings_json(connection->settings, dray_str_of(schema), &out, &error);
    if (rc == DRAY_OK && connection->settings != NULL) rc = dr_node_to_json(connection->settings, &out, &error);
    dray_buffer_clear(&out);
  }
  if (rc == DRAY_OK) rc = dr_problems_print(project, 0, 1, &out, &error);
  if (rc == DRAY_OK) rc = dr_problems_print(project, 1, 0, &out, &error);
  if (rc != DRAY_OK) assert_int_equal(error.code, rc); // an error is never without its report
  dray_buffer_free(&out);
  dr_project_free(project);
  return rc;
}

static void test_every_failing_allocation_is_reported(void **state) {
  (void)state;
  char *folder = scratch_new();
  // What is read through the fault: a good project, one with problems, and companions.
  scratch_write(folder, "dray.yaml", yaml, strlen(yaml));
  scratch_write(folder, "connections/more.yaml", "n: {plugin: p, shop: x, token: !literal y}\n", 43);
  scratch_write(folder, "models/d.sql", "-- dray: {warehouse: wh, key: k}\nselect 1", 41);
  assert_true(torture_every(whole_way, folder) > 20);
  char *bad = malloc(strlen(yaml) + 64);
  assert_non_null(bad);
  (void)snprintf(bad, strlen(yaml) + 64, "%sx: 1\ny: [\n  - 5: {}]\n", yaml);
  scratch_write(folder, "dray.yaml", bad, strlen(bad));
  assert_true(torture_every(whole_way, folder) > 5);
  (void)snprintf(bad, strlen(yaml) + 64, "%s  u: {form: 1, mode: x}\nsinks: 2\n", yaml);
  scratch_write(folder, "dray.yaml", bad, strlen(bad));
  assert_true(torture_every(whole_way, folder) > 20);
  free(bad);
  scratch_free(folder);
}

// Resolving secrets: an allocation that fails is reported, or the value is whole. (What redaction cannot remember
// for want of
// memory it does not report.)
static void test_secrets_survive_failing_allocations(void **state) {
  (void)state;
  char *folder = scratch_new();
  scratch_write(folder, "key", "0123456789", 10);
  struct dr_project *project =
      scratch_load(folder, "version: 1\nconnections: {c: {plugin: p, a: !secret file:key, b: !secret exec:cat key}}\n");
  static const char *const paths[] = {"a", "b"};
  for (size_t i = 0; i < 2; i++) {
    for (uint64_t n = 1;; n++) {
      struct dray_buffer out;
      struct dray_error error;
      dray_error_init(&error);
      dray_buffer_init(&out, 4096);
      torture_arm(n);
      const int32_t rc =
          dr_secret_resolve(project->connections[0].settings, dray_str_of(paths[i]), project->folder, &out, &error);
      const int failed = torture_arm(0);
      assert_true(rc == DRAY_OK ? out.len == 10 : rc == DRAY_E_OUT_OF_MEMORY && error.code == rc);
      dray_buffer_free(&out);
      if (!failed) break;
    }
  }
  dr_project_free(project);
  scratch_free(folder);
}

static uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

// Pieces that mean something to YAML or to the config are likelier to get far than random bytes.
static const char *const pieces[] = {"\t",
                                     "\n",
                                     "  ",
                                     ": ",
                                     "- ",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     ",",
                                     "\"",
                                     "'",
                                     "#",
                                     "&a ",
                                     "*a",
                                     "!secret ",
                                     "!literal ",
                                     "!!str ",
                                     "|\n",
                                     ">-\n",
                                     "---\n",
                                     "...\n",
                                     "%",
                                     "@",
                                     "~",
                                     "<<: ",
                                     "? ",
                                     "\xC3",
                                     "\xE2\x80\xA8",
                                     "\xF0\x9F\x91\x8D",
                                     "\r",
                                     "\x01",
                                     "0x",
                                     "99999999999999999999",
                                     "env:",
                                     "key",
                                     "plugin",
                                     "%YAML 1.2\n"};

static size_t mutate(char *text, size_t len, size_t room, uint64_t *seed) {
  const size_t at = (size_t)(next_random(seed) % (len + 1));
  const char *piece = pieces[next_random(seed) % (sizeof(pieces) / sizeof(pieces[0]))];
  const size_t size = strlen(piece);
  switch (next_random(seed) % 4) {
  case 0: // insert
    if (len + size > room) return len;
    memmove(text + at + size, text + at, len - at);
    memcpy(text + at, piece, size);
    return len + size;
  case 1: { // remove
    const size_t gone = (size_t)(next_random(seed) % 12);
    if (at + gone > len) return len;
    memmove(text + at, text + at + gone, len - at - gone);
    return len - gone;
  }
  case 2: // overwrite
    if (at + size > len) return len;
    memcpy(text + at, piece, size);
    return len;
  default: // one byte
    if (at < len) text[at] = (char)next_random(seed);
    return len;
  }
}

static void test_changed_bytes_never_crash(void **state) {
  (void)state;
  uint64_t seed = 0x9E3779B97F4A7C15u;
  const size_t room = strlen(yaml) + 1024;
  char *text = malloc(room);
  assert_non_null(text);
  char *folder = scratch_new();
  size_t with_problems = 0;
  const char *rounds = getenv("DRAY_MUTATIONS");
  const long count = rounds != NULL ? strtol(rounds, NULL, 10) : 4000;
  for (long i = 0; i < count; i++) {
    size_t len = strlen(yaml);
    memcpy(text, yaml, len);
    for (uint64_t n = next_random(&seed) % 6 + 1; n > 0; n--) len = mutate(text, len, room, &seed);
    scratch_write(folder, "dray.yaml", text, len);
    struct dr_project *project = NULL;
    struct dray_error error;
    dray_error_init(&error);
    assert_int_equal(dr_project_load(folder, &project, &error), DRAY_OK);
    for (size_t c = 0; c < project->connection_count; c++)
      assert_int_equal(dr_project_check_settings(project, project->connections[c].settings,
                                                 project->connections[c].mark, dray_str_of(schema), &error),
                       DRAY_OK);
    with_problems += project->problems.count > 0;
    char *said = scratch_problems(project, 0), *json = scratch_problems(project, 1);
    assert_true(dray_utf8_valid(said, strlen(said)));
    assert_true(dray_utf8_valid(json, strlen(json)));
    free(said);
    free(json);
    dr_project_free(project);
  }
  assert_true((long)with_problems > count / 2); // the mutations do reach something
  scratch_free(folder);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_failing_allocation_is_reported),
      cmocka_unit_test(test_secrets_survive_failing_allocations),
      cmocka_unit_test(test_changed_bytes_never_crash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
