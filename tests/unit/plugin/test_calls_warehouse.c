// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to warehouses, most of them through the guarded vtable that core/warehouse is given.
#include "plugin/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/board.h"
#include "base/redact.h"
#include "dray/sdk/column.h"
#include "plugin/calls.h"
#include "plugin/handshake.h"

static struct {
  int32_t rc;
  struct dray_dialect dialect;
  int found;
  int64_t rows;
  int rolled_back, committed, destroyed, interrupted;
  char on_board[128];
} script;

static int self;

static int32_t finish(struct dray_error *error) {
  struct dr_board_view view;
  dr_board_read(dr_board(), &view);
  (void)snprintf(script.on_board, sizeof(script.on_board), "%s", view.call);
  return script.rc == DRAY_OK ? DRAY_OK : dray_fail(error, script.rc, "engine says: canary-w");
}

static int32_t spec(struct dray_str *out_json, struct dray_error *error) {
  *out_json = dray_str_of("{}");
  return finish(error);
}
static int32_t create(const struct dray_host *host, struct dray_str config_json, struct dray_warehouse **out,
                      struct dray_error *error) {
  (void)host, (void)config_json;
  *out = (struct dray_warehouse *)(void *)&self;
  return finish(error);
}
static void destroy(struct dray_warehouse *warehouse) {
  assert_ptr_equal(warehouse, &self);
  script.destroyed++;
}
static int32_t check(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(warehouse, &self);
  *out_json = dray_str_of("[]");
  return finish(error);
}
static int32_t open_it(struct dray_warehouse *warehouse, struct dray_error *error) {
  assert_ptr_equal(warehouse, &self);
  return finish(error);
}
static int32_t dialect(struct dray_warehouse *warehouse, struct dray_dialect *out, struct dray_error *error) {
  assert_ptr_equal(warehouse, &self);
  *out = script.dialect;
  return finish(error);
}
static int32_t discover(struct dray_warehouse *warehouse, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(warehouse, &self);
  *out_json = dray_str_of("{\"streams\":[{\"name\":\"t\",\"schema\":\"a\",\"columns\":[]},"
                          "{\"name\":\"t\",\"schema\":\"b\",\"columns\":[]}]}"); // one name in two schemas
  return finish(error);
}
static int32_t describe(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                        struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  (void)warehouse, (void)schema, (void)table;
  static const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0}};
  *out_found = script.found != 0;
  if (script.found == 1) return dray_schema_make(columns, 1, out, error);
  return finish(error); // 2: found, but no schema
}
static int32_t query(struct dray_warehouse *warehouse, struct dray_str sql, uint64_t batch_bytes_max,
                     uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  (void)warehouse, (void)sql, (void)batch_bytes_max, (void)batch_rows_max, (void)out;
  return finish(error);
}
static int32_t execute(struct dray_warehouse *warehouse, struct dray_str sql, const struct ArrowSchema *params_schema,
                       const struct ArrowArray *params, int64_t *out_rows, struct dray_error *error) {
  (void)warehouse, (void)sql, (void)params_schema, (void)params;
  *out_rows = script.rows;
  return finish(error);
}
static int32_t load(struct dray_warehouse *warehouse, struct dray_str schema, struct dray_str table,
                    const struct ArrowSchema *batch_schema, const struct ArrowArray *batch, struct dray_error *error) {
  (void)warehouse, (void)schema, (void)table, (void)batch_schema, (void)batch;
  return finish(error);
}
static int32_t begin(struct dray_warehouse *warehouse, struct dray_error *error) {
  (void)warehouse;
  return finish(error);
}
static int32_t commit(struct dray_warehouse *warehouse, struct dray_error *error) {
  (void)warehouse;
  script.committed++;
  return finish(error);
}
static void rollback(struct dray_warehouse *warehouse) {
  assert_ptr_equal(warehouse, &self);
  script.rolled_back++;
}
static void interrupt(struct dray_warehouse *warehouse) {
  assert_ptr_equal(warehouse, &self);
  script.interrupted++;
}

static const struct dray_warehouse_vtable vtable = {.struct_size = sizeof(vtable),
                                                    .spec = spec,
                                                    .create = create,
                                                    .destroy = destroy,
                                                    .check = check,
                                                    .open = open_it,
                                                    .dialect = dialect,
                                                    .discover = discover,
                                                    .describe = describe,
                                                    .query = query,
                                                    .execute = execute,
                                                    .load = load,
                                                    .begin = begin,
                                                    .commit = commit,
                                                    .rollback = rollback,
                                                    .interrupt = interrupt};
static struct dr_plugin plugin;
static struct dr_host *host;
static struct dr_warehouse_instance warehouse;

static int setup(void **state) {
  (void)state;
  struct dray_error error;
  memset(&plugin, 0, sizeof(plugin));
  memset(&script, 0, sizeof(script));
  (void)snprintf(plugin.manifest.name, sizeof(plugin.manifest.name), "scripted");
  (void)snprintf(plugin.manifest.version, sizeof(plugin.manifest.version), "1.0.0");
  plugin.manifest.has_warehouse = 1;
  const struct dray_plugin given = {.struct_size = sizeof(given),
                                    .name = dray_str_of("scripted"),
                                    .version = dray_str_of("1.0.0"),
                                    .warehouse = &vtable};
  scene_ok(dr_handshake(&plugin, &given, &error));
  const struct dr_host_options options = {.connection = "wh"};
  scene_ok(dr_host_new(&options, &host, &error));
  scene_ok(dr_warehouse_create(&plugin, host, "wh", dray_str_of("{}"), &warehouse, &error));
  return 0;
}

static int teardown(void **state) {
  (void)state;
  dr_warehouse_destroy(&warehouse);
  dr_host_free(host);
  dr_redact_clear();
  return 0;
}

static struct dray_dialect good_dialect(void) {
  struct dray_dialect good = {.struct_size = sizeof(good),
                              .flags = DRAY_DIALECT_TEMP_TABLES,
                              .param_style = DRAY_PARAM_QUESTION,
                              .identifier_bytes_max = 255,
                              .columns_max = 2000,
                              .quote = '"',
                              .name = dray_str_of("scripted")};
  for (int i = 1; i < 10; i++) good.types[i] = dray_str_of("TEXT");
  return good;
}

static void test_dialect_is_believed_only_when_complete(void **state) {
  (void)state;
  const struct dray_warehouse_vtable *guarded = dr_warehouse_guarded();
  struct dray_warehouse *at = dr_warehouse_guarded_self(&warehouse);
  struct dray_dialect out;
  struct dray_error error;
  script.dialect = good_dialect();
  scene_ok(guarded->dialect(at, &out, &error));
  assert_true(dray_str_is(out.name, "scripted"));
#define WRONG(member, value, said)                                                                                     \
  script.dialect = good_dialect();                                                                                     \
  script.dialect.member = (value);                                                                                     \
  scene_failed(guarded->dialect(at, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "warehouse.dialect", said, NULL)
  WRONG(flags, 0x40000000, "0x40000000");
  WRONG(param_style, 3, "param_style 3");
  WRONG(quote, '\'', "quote");
  WRONG(columns_max, 0, "columns_max");
  WRONG(name.len, 0, "name");
  WRONG(types[DRAY_TYPE_DECIMAL].len, 0, "column type for decimal");
#undef WRONG
}

static void test_describe_tells_tables_from_nothing(void **state) {
  (void)state;
  const struct dray_warehouse_vtable *guarded = dr_warehouse_guarded();
  struct dray_warehouse *at = dr_warehouse_guarded_self(&warehouse);
  struct ArrowSchema schema = {.format = "untouched"};
  struct dray_error error;
  uint32_t found = 7;
  scene_ok(guarded->describe(at, dray_str_of(""), dray_str_of("t"), &schema, &found, &error));
  assert_int_equal(found, 0);
  assert_string_equal(schema.format, "untouched");
  script.found = 1;
  scene_ok(guarded->describe(at, dray_str_of(""), dray_str_of("t"), &schema, &found, &error));
  assert_int_equal(found, 1);
  assert_string_equal(schema.children[0]->name, "id");
  dray_schema_release(&schema);
  script.found = 2;
  scene_failed(guarded->describe(at, dray_str_of(""), dray_str_of("t"), &schema, &found, &error), &error,
               DRAY_E_PLUGIN_CONTRACT, "warehouse.describe", "no schema", NULL);
}

static void test_every_guarded_slot_masks_errors_and_keeps_the_board(void **state) {
  (void)state;
  const struct dray_warehouse_vtable *guarded = dr_warehouse_guarded();
  struct dray_warehouse *at = dr_warehouse_guarded_self(&warehouse);
  struct dray_error error;
  struct dray_str json;
  struct dray_stream stream;
  struct dray_dialect out_dialect;
  struct ArrowSchema schema;
  uint32_t found;
  int64_t rows;
  const struct dray_str none = {NULL, 0};
  dr_redact_add(dray_str_of("canary-w"));
  script.rc = DRAY_E_CONFIG_SQL;
#define MASKED(slot, call)                                                                                             \
  script.on_board[0] = '\0';                                                                                           \
  scene_failed(call, &error, DRAY_E_CONFIG_SQL, "engine says: ***", NULL);                                             \
  assert_string_equal(script.on_board, "warehouse." slot " of plugin scripted (connection wh)")
  MASKED("check", guarded->check(at, &json, &error));
  MASKED("open", guarded->open(at, &error));
  MASKED("dialect", guarded->dialect(at, &out_dialect, &error));
  MASKED("discover", guarded->discover(at, &json, &error));
  MASKED("describe", guarded->describe(at, none, none, &schema, &found, &error));
  MASKED("query", guarded->query(at, none, 1, 1, &stream, &error));
  MASKED("execute", guarded->execute(at, none, NULL, NULL, &rows, &error));
  MASKED("load", guarded->load(at, none, none, NULL, NULL, &error));
  MASKED("begin", guarded->begin(at, &error));
  MASKED("commit", guarded->commit(at, &error));
#undef MASKED
}

static void test_guarded_slots_reach_the_plugin(void **state) {
  (void)state;
  const struct dray_warehouse_vtable *guarded = dr_warehouse_guarded();
  struct dray_warehouse *at = dr_warehouse_guarded_self(&warehouse);
  struct dray_error error;
  struct dray_str json;
  struct dray_stream stream;
  int64_t rows = 0;
  const struct dray_str none = {NULL, 0};
  scene_ok(guarded->discover(at, &json, &error));
  script.rows = 12;
  scene_ok(guarded->execute(at, none, NULL, NULL, &rows, &error));
  assert_int_equal(rows, 12);
  script.rows = -7;
  scene_ok(guarded->execute(at, none, NULL, NULL, &rows, &error));
  assert_int_equal(rows, -1);
  scene_ok(guarded->execute(at, none, NULL, NULL, NULL, &error)); // nobody asks
  scene_failed(guarded->query(at, none, 1, 1, &stream, &error), &error, DRAY_E_PLUGIN_CONTRACT, "lacks the slot schema",
               NULL);
  scene_ok(guarded->commit(at, &error));
  guarded->rollback(at);
  guarded->interrupt(at);
  assert_int_equal(script.committed + script.rolled_back + script.interrupted, 3);
  guarded->destroy(at);
  guarded->destroy(NULL);
  assert_int_equal(script.destroyed, 1);
  assert_int_equal(guarded->spec(&json, &error), DRAY_E_INTERNAL);
  struct dray_warehouse *made = NULL;
  assert_int_equal(guarded->create(NULL, none, &made, &error), DRAY_E_INTERNAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_dialect_is_believed_only_when_complete, setup, teardown),
      cmocka_unit_test_setup_teardown(test_describe_tells_tables_from_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_guarded_slot_masks_errors_and_keeps_the_board, setup, teardown),
      cmocka_unit_test_setup_teardown(test_guarded_slots_reach_the_plugin, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
