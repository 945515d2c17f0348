// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a good project becomes: every key of design.md §7, the defaults, the companions.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "diff/diff.h"
#include "scratch.h"

static const char *const whole =
    "version: 1\n"
    "memory: 64MiB\n"
    "stall_timeout: 1m30s\n"
    "plugins: [lib/plugins, /opt/dray]\n"
    "connections:\n"
    "  shop: {plugin: shopify, shop: acme, access_token: !secret env:SHOPIFY_TOKEN}\n"
    "  wh: {plugin: sqlite, path: warehouse.db}\n"
    "  mail: {plugin: mailchimp, api_key: !secret file:/run/secrets/mailchimp}\n"
    "models:\n"
    "  vip: {warehouse: wh, sql: queries/vip.sql, key: [customer_id, region]}\n"
    "  inline: {warehouse: wh, sql: \"select * from t;\", key: id}\n"
    "syncs:\n"
    "  shop_to_warehouse:\n"
    "    from: {connection: shop, streams: [customers, orders], cursor: updated_at, read: full, columns: [id, name]}\n"
    "    to: {connection: wh, schema: shop}\n"
    "    schedule: every 5m\n"
    "  vip_to_mailchimp:\n"
    "    from: {model: vip}\n"
    "    to: {connection: mail, object: members, list: newsletter, tags: [a, b]}\n"
    "    mode: mirror\n"
    "    delete: soft\n"
    "    key: customer_id\n"
    "    map: {email: email_address, first_name: [merge_fields.FNAME, merge_fields.NICK], rfm: , source: {value: "
    "dray}, "
    "n: {value: 1.50}}\n"
    "    types:\n"
    "      rfm: decimal(10,2)\n"
    "      born: date\n"
    "    drift: {column: freeze, type: discard_row}\n"
    "    duplicates: last\n"
    "    keep: columns\n"
    "    guard: {deletes: 10%, changes: 50%, min: 100, empty: allow}\n"
    "    attempts: 7\n"
    "    commit_rows: 500\n"
    "    schedule: 0 6 * * mon-fri\n";

static void test_every_key_reaches_its_struct(void **state) {
  (void)state;
  char *folder = scratch_new();
  scratch_write(folder, "queries/vip.sql", "select 1 ;\n\n", 12);
  struct dr_project *p = scratch_load(folder, whole);
  char *problems = scratch_problems(p, 0);
  assert_string_equal(problems, "");
  assert_int_equal(p->memory_bytes, 64u << 20);
  assert_int_equal(p->stall_timeout_ms, 90000);
  assert_int_equal(p->plugin_path_count, 2);
  assert_int_equal(p->plugin_paths[0][0], '/');
  assert_non_null(strstr(p->plugin_paths[0], "/lib/plugins"));
  assert_string_equal(p->plugin_paths[1], "/opt/dray");
  assert_int_equal(p->connection_count, 3);
  assert_string_equal(p->connections[0].name, "shop");
  assert_string_equal(p->connections[0].plugin, "shopify");
  assert_int_equal(p->connections[0].settings->child_count, 2);
  assert_null(dr_node_get(p->connections[0].settings, "plugin"));
  assert_int_equal(p->connections[0].mark.line, 6);
  assert_int_equal(p->connections[0].plugin_mark.column, 18);
  assert_int_equal(p->model_count, 2);
  assert_string_equal(p->models[0].sql, "select 1");
  assert_string_equal(p->models[0].sql_file, "queries/vip.sql");
  assert_int_equal(p->models[0].warehouse, 1);
  assert_int_equal(p->models[0].key_count, 2);
  assert_string_equal(p->models[0].key[1], "region");
  assert_string_equal(p->models[1].sql, "select * from t");
  assert_null(p->models[1].sql_file);
  free(problems);
  dr_project_free(p);
  scratch_free(folder);
}

static void test_streams_become_a_sync_each(void **state) {
  (void)state;
  char *folder = scratch_new();
  scratch_write(folder, "queries/vip.sql", "select 1", 8);
  struct dr_project *p = scratch_load(folder, whole);
  assert_int_equal(p->sync_count, 3);
  const struct dr_sync *customers = &p->syncs[0], *orders = &p->syncs[1];
  assert_string_equal(customers->name, "shop_to_warehouse.customers");
  assert_string_equal(orders->name, "shop_to_warehouse.orders");
  assert_string_equal(orders->stream, "orders");
  assert_int_equal(orders->stream_mark.line, 14);
  assert_true(orders->stream_mark.column > customers->stream_mark.column);
  assert_int_equal(orders->model, -1);
  assert_int_equal(orders->from_connection, 0);
  assert_string_equal(orders->cursor, "updated_at");
  assert_int_equal(orders->full, 1);
  assert_int_equal(orders->column_count, 2);
  assert_int_equal(orders->to_connection, 1);
  assert_string_equal(orders->schema, "shop");
  assert_null(orders->table);
  assert_string_equal(orders->schedule, "every 5m");
  dr_project_free(p);
  scratch_free(folder);
}

static void test_a_sync_without_a_word_has_the_defaults(void **state) {
  (void)state;
  char *folder = scratch_new();
  struct dr_project *p =
      scratch_load(folder, "version: 1\nconnections: {a: {plugin: file}}\n"
                           "syncs: {s: {from: {connection: a, streams: [one]}, to: {connection: a}}}\n");
  assert_int_equal(p->problems.count, 0);
  assert_int_equal(p->sync_count, 1);
  assert_int_equal(p->memory_bytes, 256u << 20);
  assert_int_equal(p->stall_timeout_ms, 300000);
  const struct dr_sync *s = &p->syncs[0];
  assert_string_equal(s->name, "s"); // one stream: no suffix
  assert_string_equal(s->stream, "one");
  assert_int_equal(s->mode, DR_MODE_UPSERT);
  assert_int_equal(s->full, 0);
  assert_int_equal(s->soft_delete, 0);
  assert_int_equal(s->key_count, 0);
  assert_int_equal(s->map_count, 0);
  assert_null(s->to_options);
  assert_int_equal(s->drift_table, DR_DRIFT_EVOLVE);
  assert_int_equal(s->drift_column, DR_DRIFT_EVOLVE);
  assert_int_equal(s->drift_type, DR_DRIFT_EVOLVE);
  assert_int_equal(s->duplicates, DR_DUPLICATES_REJECT);
  assert_int_equal(s->keep, DR_KEEP_ROW);
  assert_int_equal(s->attempts_max, 5);
  assert_int_equal(s->commit_rows, 1000000);
  assert_int_equal(s->commit_rows_given, 0);
  assert_null(s->schedule);
  assert_int_equal(s->guard.on, 1);
  assert_true(s->guard.deletes_share > 0.199 && s->guard.deletes_share < 0.201);
  assert_int_equal(s->guard.deletes_count, 50);
  assert_true(s->guard.changes_share >= 1);
  assert_int_equal(s->guard.empty, 1);
  dr_project_free(p);
  scratch_free(folder);
}

static void test_a_map_says_what_a_null_means(void **state) {
  (void)state;
  static const struct {
    const char *from, *to;
    int keeps_nulls;
  } wanted[] = {{"id", "id", 0}, {"a", "b", 1}, {"c", "d", 0}, {"c", "e", 0},         {"f", "f", 1},      {"g", "h", 0},
                {"i", "i", 1},   {"k", "l", 1}, {"k", "m", 1}, {"nulls", "nulls", 0}, {NULL, "source", 0}};
  char *folder = scratch_new();
  struct dr_project *p = scratch_load(
      folder, "version: 1\nconnections:\n  x: {plugin: probe}\nsyncs:\n  s:\n    from: {connection: x, stream: r}\n"
              "    to: {connection: x, object: o}\n    map:\n      id:\n      a: {to: b, nulls: keep}\n"
              "      c: {to: [d, e], nulls: send}\n      f: {nulls: keep}\n      g: {to: h}\n"
              "      i: {to: , nulls: keep}\n      k: {to: [l, m], nulls: keep}\n      nulls: nulls\n"
              "      source: {value: x}\n");
  assert_int_equal(p->problems.count, 0);
  const struct dr_sync *s = &p->syncs[0];
  assert_int_equal(s->map_count, sizeof(wanted) / sizeof(wanted[0]));
  for (size_t i = 0; i < s->map_count; i++) {
    if (wanted[i].from == NULL) assert_null(s->map[i].from);
    if (wanted[i].from != NULL) assert_string_equal(s->map[i].from, wanted[i].from);
    assert_string_equal(s->map[i].to, wanted[i].to);
    assert_int_equal(s->map[i].keeps_nulls, wanted[i].keeps_nulls);
  }
  dr_project_free(p);
  scratch_free(folder);
}

static void test_an_activation_carries_all_it_says(void **state) {
  (void)state;
  char *folder = scratch_new();
  scratch_write(folder, "queries/vip.sql", "select 1", 8);
  struct dr_project *p = scratch_load(folder, whole);
  const struct dr_sync *s = &p->syncs[2];
  assert_string_equal(s->name, "vip_to_mailchimp");
  assert_int_equal(s->model, 0);
  assert_int_equal(s->from_connection, -1);
  assert_string_equal(s->object, "members");
  assert_int_equal(s->to_options->child_count, 2);
  assert_true(dray_str_is(dr_node_get(s->to_options, "list")->text, "newsletter"));
  assert_null(dr_node_get(s->to_options, "object"));
  assert_int_equal(s->mode, DR_MODE_MIRROR);
  assert_int_equal(s->soft_delete, 1);
  assert_int_equal(s->key_count, 1);
  assert_int_equal(s->map_count, 6);
  assert_string_equal(s->map[1].from, "first_name");
  assert_string_equal(s->map[2].to, "merge_fields.NICK");
  assert_string_equal(s->map[3].to, "rfm"); // under its own name
  assert_null(s->map[4].from);
  assert_string_equal(s->map[4].value, "dray");
  assert_string_equal(s->map[5].value, "1.50"); // as written
  assert_int_equal(s->type_count, 2);
  assert_string_equal(s->types[0].name, "rfm");
  assert_int_equal(s->types[0].type.id, DRAY_TYPE_DECIMAL);
  assert_int_equal(s->types[0].type.precision, 10);
  assert_int_equal(s->drift_table, DR_DRIFT_EVOLVE);
  assert_int_equal(s->drift_column, DR_DRIFT_FREEZE);
  assert_int_equal(s->drift_type, DR_DRIFT_DISCARD_ROW);
  assert_int_equal(s->duplicates, DR_DUPLICATES_LAST);
  assert_int_equal(s->keep, DR_KEEP_COLUMNS);
  assert_true(s->guard.deletes_share > 0.0999 && s->guard.deletes_share < 0.1001);
  assert_int_equal(s->guard.deletes_count, 100);
  assert_true(s->guard.changes_share > 0.4999 && s->guard.changes_share < 0.5001);
  assert_int_equal(s->guard.changes_count, 100);
  assert_int_equal(s->guard.empty, 0);
  assert_int_equal(s->attempts_max, 7);
  assert_int_equal(s->commit_rows, 500);
  assert_int_equal(s->commit_rows_given, 1);
  dr_project_free(p);
  scratch_free(folder);
}

struct guard_case {
  const char *text;
  int on;
  double deletes_share, changes_share;
  uint64_t deletes_count, changes_count;
};

static void test_guard_notations(void **state) {
  (void)state;
  static const struct guard_case cases[] = {
      {"on", 1, 0.2, 1, 50, UINT64_MAX},
      {"true", 1, 0.2, 1, 50, UINT64_MAX},
      {"off", 0, 0.2, 1, 50, UINT64_MAX},
      {"false", 0, 0.2, 1, 50, UINT64_MAX},
      {"{deletes: 100}", 1, 0, 1, 100, UINT64_MAX},
      {"{deletes: off, changes: 12.5%}", 1, 1, 0.125, UINT64_MAX, 50},
      {"{deletes: 0%, min: 0}", 1, 0, 1, 0, UINT64_MAX},
      {"{min: 1000}", 1, 0.2, 1, 1000, UINT64_MAX},
      {"{deletes: 7, changes: 100%, min: 9}", 1, 0, 1, 7, UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char yaml[512];
    char *folder = scratch_new();
    (void)snprintf(yaml, sizeof(yaml),
                   "version: 1\nconnections: {a: {plugin: file}}\nsyncs: {s: {from: {connection: a, stream: x}, "
                   "to: {connection: a}, guard: %s}}\n",
                   cases[i].text);
    struct dr_project *p = scratch_load(folder, yaml);
    assert_int_equal(p->problems.count, 0);
    const struct dr_guard *guard = &p->syncs[0].guard;
    assert_int_equal(guard->on, cases[i].on);
    assert_true(guard->deletes_share > cases[i].deletes_share - 1e-9 &&
                guard->deletes_share < cases[i].deletes_share + 1e-9);
    assert_true(guard->changes_share > cases[i].changes_share - 1e-9 &&
                guard->changes_share < cases[i].changes_share + 1e-9);
    assert_int_equal(guard->deletes_count, cases[i].deletes_count);
    assert_int_equal(guard->changes_count, cases[i].changes_count);
    dr_project_free(p);
    scratch_free(folder);
  }
}

static void test_companion_files_are_part_of_the_project(void **state) {
  (void)state;
  char *folder = scratch_new();
  static const char sql[] = "-- SPDX: none\n-- dray: {warehouse: wh, key: [id, day]}\nselect 1;\n";
  static const char several[] = "s2: {from: {model: found}, to: {connection: wh, table: t}}\n"
                                "s1: {from: {connection: files, stream: x}, to: {connection: wh}}\n";
  scratch_write(folder, "connections/wh.yaml", "plugin: sqlite\npath: w.db\n", 26);
  scratch_write(folder, "connections/more.yaml", "files: {plugin: file}\n", 22);
  scratch_write(folder, "connections/notes.txt", "not a config", 12);
  scratch_write(folder, "connections/.hidden.yaml", "]", 1);
  scratch_write(folder, "syncs/b.yaml", several, strlen(several));
  scratch_write(folder, "syncs/a.yaml", "from: {model: found}\nto: {connection: wh}\n", 42);
  scratch_write(folder, "syncs/empty.yaml", "# later\n", 8);
  scratch_write(folder, "models/found.sql", sql, strlen(sql));
  scratch_write(folder, "models/draft.sql", "select 2", 8);
  struct dr_project *p = scratch_load(folder, "version: 1\n");
  char *problems = scratch_problems(p, 0);
  assert_string_equal(problems, "");
  assert_int_equal(p->connection_count, 2);
  assert_string_equal(p->connections[0].name, "files"); // more.yaml sorts before wh.yaml
  assert_string_equal(p->connections[1].name, "wh");
  assert_string_equal(p->files[p->connections[1].mark.file].path, "connections/wh.yaml");
  assert_int_equal(p->model_count, 1);
  assert_string_equal(p->models[0].name, "found");
  assert_int_equal(p->models[0].key_count, 2);
  assert_non_null(strstr(p->models[0].sql, "select 1"));
  assert_null(strchr(p->models[0].sql, ';'));
  assert_int_equal(p->sync_count, 3);
  assert_string_equal(p->syncs[0].name, "a");
  assert_string_equal(p->syncs[1].name, "s2");
  assert_string_equal(p->syncs[2].name, "s1");
  free(problems);
  dr_project_free(p);
  scratch_free(folder);
}

static void test_a_model_of_the_config_is_not_discovered_again(void **state) {
  (void)state;
  char *folder = scratch_new();
  static const char sql[] = "-- dray: {warehouse: elsewhere, key: id}\nselect 1\n";
  scratch_write(folder, "models/m.sql", sql, strlen(sql));
  struct dr_project *p = scratch_load(folder, "version: 1\nconnections: {wh: {plugin: sqlite}}\n"
                                              "models: {m: {warehouse: wh, key: other}}\n");
  assert_int_equal(p->problems.count, 0);
  assert_int_equal(p->model_count, 1);
  assert_string_equal(p->models[0].key[0], "other");
  assert_string_equal(p->models[0].sql_file, "models/m.sql");
  dr_project_free(p);
  scratch_free(folder);
}

static void test_the_nearest_project_upwards_is_found(void **state) {
  (void)state;
  char before[4096], below[4096];
  struct dr_project *p = NULL;
  struct dray_error error;
  dray_error_init(&error);
  assert_non_null(getcwd(before, sizeof(before)));
  char *folder = scratch_new();
  scratch_write(folder, "dray.yaml", "version: 1\n", 11);
  scratch_write(folder, "a/b/c.txt", "", 0);
  (void)snprintf(below, sizeof(below), "%s/a/b", folder);
  assert_int_equal(chdir(below), 0);
  assert_int_equal(dr_project_load(NULL, &p, &error), DRAY_OK);
  assert_int_equal(chdir(before), 0);
  assert_string_equal(p->folder, folder);
  dr_project_free(p);
  // A named folder is taken at its word.
  assert_int_equal(dr_project_load(below, &p, &error), DRAY_E_CONFIG_NO_PROJECT);
  assert_non_null(strstr(error.text, below));
  assert_int_equal(dr_project_load("/nonexistent/anywhere", &p, &error), DRAY_E_CONFIG_NO_PROJECT);
  scratch_free(folder);
}

static void test_files_beyond_their_limit_are_refused(void **state) {
  (void)state;
  struct dr_project *p = NULL;
  struct dray_error error;
  dray_error_init(&error);
  char *folder = scratch_new();
  const size_t len = DR_CONFIG_FILE_BYTES_MAX + 1;
  char *text = malloc(len);
  assert_non_null(text);
  memset(text, '#', len);
  scratch_write(folder, "dray.yaml", text, len);
  assert_int_equal(dr_project_load(folder, &p, &error), DRAY_E_CONFIG_LIMIT);
  assert_int_equal(error.code, DRAY_E_CONFIG_LIMIT);
  scratch_write(folder, "dray.yaml", text, len - 1); // exactly 1 MiB of comment
  assert_int_equal(dr_project_load(folder, &p, &error), DRAY_OK);
  dr_project_free(p);
  free(text);
  scratch_free(folder);
}

static void test_a_file_that_cannot_be_read_is_a_config_error(void **state) {
  (void)state;
  struct dr_project *p = NULL;
  struct dray_error error;
  char path[4096];
  dray_error_init(&error);
  char *folder = scratch_new();
  scratch_write(folder, "dray.yaml", "version: 1\n", 11);
  (void)snprintf(path, sizeof(path), "%s/syncs", folder);
  assert_int_equal(mkdir(path, 0755), 0);
  (void)snprintf(path, sizeof(path), "%s/syncs/folder.yaml", folder);
  assert_int_equal(mkdir(path, 0755), 0); // reading a folder fails, also for root
  assert_int_equal(dr_project_load(folder, &p, &error), DRAY_E_CONFIG_FILE);
  assert_int_equal(error.code, DRAY_E_CONFIG_FILE);
  assert_int_equal(error.error_class, DRAY_CLASS_CONFIG);
  assert_non_null(strstr(error.text, "folder.yaml"));
  scratch_free(folder);
}

static void test_problems_as_json_carry_place_and_fix(void **state) {
  (void)state;
  char *folder = scratch_new();
  struct dr_project *p = scratch_load(folder, "version: 1\nsnycs: {}\n");
  char *json = scratch_problems(p, 1);
  assert_string_equal(
      json,
      "{\"v\":1,\"type\":\"problem\",\"code\":103,\"name\":\"config_unknown_key\",\"file\":\"dray.yaml\",\"line\":2,"
      "\"column\":1,\"width\":5,\"text\":\"unknown key \\\"snycs\\\" in dray.yaml\",\"nearest\":\"syncs\","
      "\"fix\":\"use the nearest valid name shown, or remove the key\"}\n");
  free(json);
  dr_project_free(p);
  scratch_free(folder);
}

static void test_others_can_add_problems(void **state) {
  (void)state;
  char *folder = scratch_new();
  struct dr_project *p = scratch_load(folder, "version: 1\nconnections:\n  a: {plugin: fil}\n");
  assert_int_equal(p->problems.count, 0);
  assert_int_equal(dr_project_problem(p, p->connections[0].plugin_mark, 3, DRAY_E_CONFIG_REFERENCE, "file", NULL,
                                      "no plugin \"%s\"", "fil"),
                   DRAY_OK);
  char *text = scratch_problems(p, 0);
  assert_string_equal(text, "dray.yaml:3:15: error[config_reference]: no plugin \"fil\"\n"
                            "   3 |   a: {plugin: fil}\n"
                            "     |               ^^^\n"
                            "  did you mean \"file\"?\n"
                            "1 error in the config\n");
  free(text);
  dr_project_free(p);
  scratch_free(folder);
}

// Whoever looks for the plugin of such a connection stops, as with any problem, but there is nothing more to say.
static void test_a_connection_without_a_plugin_is_one_problem(void **state) {
  (void)state;
  static const char *const connections[] = {"{path: x}", "{plugin: 5}", "{plugin: \"\"}", "nothing", "{plugn: file}"};
  for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++) {
    char yaml[256];
    char *folder = scratch_new();
    (void)snprintf(yaml, sizeof(yaml), "version: 1\nconnections:\n  a: %s\n", connections[i]);
    struct dr_project *p = scratch_load(folder, yaml);
    assert_int_equal(p->connection_count, 1);
    assert_string_equal(p->connections[0].plugin, "");
    assert_int_equal(p->problems.count, 1);
    assert_int_equal(dr_project_problem(p, p->connections[0].plugin_mark, 0, DRAY_E_PLUGIN_MISSING, NULL, NULL,
                                        "there is no plugin %s", p->connections[0].plugin),
                     DRAY_OK);
    assert_int_equal(p->problems.count, 2); // so that the caller sees that there is one
    char *said = scratch_problems(p, 0), *json = scratch_problems(p, 1);
    assert_null(strstr(said, "there is no plugin"));
    assert_non_null(strstr(said, "dray.yaml:3:"));
    assert_non_null(strstr(said, "\n1 error in the config\n"));
    assert_null(strstr(json, "there is no plugin"));
    free(json);
    free(said);
    dr_project_free(p);
    scratch_free(folder);
  }
}

static void test_a_plugin_that_is_named_and_missing_is_said_at_its_name(void **state) {
  (void)state;
  char *folder = scratch_new();
  struct dr_project *p = scratch_load(folder, "version: 1\nconnections:\n  a: {plugin: flie}\n");
  assert_int_equal(dr_project_problem(p, p->connections[0].plugin_mark, 4, DRAY_E_PLUGIN_MISSING, "file", NULL,
                                      "there is no plugin flie"),
                   DRAY_OK);
  char *said = scratch_problems(p, 0);
  assert_non_null(strstr(said, "dray.yaml:3:15: error[plugin_missing]: there is no plugin flie"));
  free(said);
  dr_project_free(p);
  scratch_free(folder);
}

// Every mode is allowed on one side at least, and is what the struct then holds.
static void test_modes_of_tables_and_of_objects(void **state) {
  (void)state;
  static const struct {
    const char *mode;
    int value, table, object;
  } cases[] = {{"append", DR_MODE_APPEND, 1, 1},   {"upsert", DR_MODE_UPSERT, 1, 1},   {"mirror", DR_MODE_MIRROR, 1, 1},
               {"replace", DR_MODE_REPLACE, 1, 0}, {"history", DR_MODE_HISTORY, 1, 0}, {"create", DR_MODE_CREATE, 0, 1},
               {"update", DR_MODE_UPDATE, 0, 1},   {"remove", DR_MODE_REMOVE, 0, 1}};
  for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
    char yaml[256];
    char *folder = scratch_new();
    const int object = (int)(i % 2), good = object ? cases[i / 2].object : cases[i / 2].table;
    (void)snprintf(yaml, sizeof(yaml),
                   "version: 1\nconnections: {a: {plugin: file}}\nsyncs: {s: {mode: %s, from: {connection: a, "
                   "stream: x}, to: {connection: a%s}}}\n",
                   cases[i / 2].mode, object ? ", object: o" : "");
    struct dr_project *p = scratch_load(folder, yaml);
    assert_int_equal(p->problems.count, good ? 0 : 1);
    if (good) assert_int_equal(p->syncs[0].mode, cases[i / 2].value);
    if (!good) assert_int_equal(p->problems.items[0].code, DRAY_E_CONFIG_VALUE);
    dr_project_free(p);
    scratch_free(folder);
  }
}

static void test_nearest_names(void **state) {
  (void)state;
  static const char *const names[] = {"connection", "model", "stream", "streams", "read"};
  assert_string_equal(dr_nearest("conection", names, 5), "connection");
  assert_string_equal(dr_nearest("Stream", names, 5), "stream");
  assert_string_equal(dr_nearest("raed", names, 5), "read");
  assert_null(dr_nearest("xyzzy", names, 5));
  assert_null(dr_nearest("anything", names, 0));
}

struct size_case {
  const char *text;
  int good;
  uint64_t value;
};

static void test_sizes_and_durations(void **state) {
  (void)state;
  static const struct size_case sizes[] = {{"0", 1, 0},
                                           {"4096", 1, 4096},
                                           {"1B", 1, 1},
                                           {"64KiB", 1, 65536},
                                           {"256MiB", 1, 268435456},
                                           {"1 GiB", 1, 1 << 30},
                                           {"10MB", 1, 10000000},
                                           {"2kB", 1, 2000},
                                           {"16777216TiB", 0, 0},
                                           {"", 0, 0},
                                           {"MiB", 0, 0},
                                           {"1.5GiB", 0, 0},
                                           {"-1", 0, 0},
                                           {"1 MiB ", 0, 0},
                                           {"1mib", 0, 0},
                                           {"99999999999999999999", 0, 0}};
  static const struct size_case durations[] = {
      {"1ms", 1, 1},       {"30s", 1, 30000}, {"5m", 1, 300000}, {"1h30m", 1, 5400000},     {"1d", 1, 86400000},
      {"1m1ms", 1, 60001}, {"5", 0, 0},       {"", 0, 0},        {"30m1h", 0, 0},           {"5 m", 0, 0},
      {"1.5h", 0, 0},      {"m", 0, 0},       {"1m1m", 0, 0},    {"999999999999999d", 0, 0}};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    uint64_t bytes = 0;
    assert_int_equal(dr_parse_size(dray_str_of(sizes[i].text), &bytes), sizes[i].good);
    assert_int_equal(bytes, sizes[i].value);
  }
  for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
    int64_t ms = 0;
    assert_int_equal(dr_parse_duration(dray_str_of(durations[i].text), &ms), durations[i].good);
    assert_int_equal(ms, durations[i].value);
  }
}

static void test_schedules_that_are_good(void **state) {
  (void)state;
  static const char *const good[] = {
      "every 5m",        "every 1h30m",          "every 1d",       "* * * * *",     "*/15 0-6,22 1 1 *",
      "0 6 * * mon-fri", "5,10-20/2 * 31 dec 7", "0  0 * JAN sun", "0 0 1-31/7 * *"};
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) assert_null(dr_schedule_fault(dray_str_of(good[i])));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_key_reaches_its_struct),
      cmocka_unit_test(test_streams_become_a_sync_each),
      cmocka_unit_test(test_a_sync_without_a_word_has_the_defaults),
      cmocka_unit_test(test_a_map_says_what_a_null_means),
      cmocka_unit_test(test_an_activation_carries_all_it_says),
      cmocka_unit_test(test_guard_notations),
      cmocka_unit_test(test_companion_files_are_part_of_the_project),
      cmocka_unit_test(test_a_model_of_the_config_is_not_discovered_again),
      cmocka_unit_test(test_the_nearest_project_upwards_is_found),
      cmocka_unit_test(test_files_beyond_their_limit_are_refused),
      cmocka_unit_test(test_a_file_that_cannot_be_read_is_a_config_error),
      cmocka_unit_test(test_problems_as_json_carry_place_and_fix),
      cmocka_unit_test(test_others_can_add_problems),
      cmocka_unit_test(test_a_connection_without_a_plugin_is_one_problem),
      cmocka_unit_test(test_a_plugin_that_is_named_and_missing_is_said_at_its_name),
      cmocka_unit_test(test_modes_of_tables_and_of_objects),
      cmocka_unit_test(test_nearest_names),
      cmocka_unit_test(test_sizes_and_durations),
      cmocka_unit_test(test_schedules_that_are_good),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
