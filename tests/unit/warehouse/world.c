// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dray_error world_error = {.struct_size = sizeof world_error};
const char ABSENT[] = "absent";

// ---- a host for the plugin ----

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx;
  (void)level;
  (void)message;
}
static uint32_t not_cancelled(void *ctx) {
  (void)ctx;
  return 0;
}
static int64_t no_time(void *ctx) {
  (void)ctx;
  return 0;
}
static int32_t nap(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error) {
  (void)ctx;
  (void)why;
  (void)error;
  usleep((useconds_t)duration_ms * 1000);
  return DRAY_OK;
}
static const struct dray_log_service log_service = {.struct_size = sizeof log_service, .write = log_write};
static const struct dray_cancel_service cancel_service = {.struct_size = sizeof cancel_service,
                                                          .cancelled = not_cancelled};
static const struct dray_clock_service clock_service = {
    .struct_size = sizeof clock_service, .now_us = no_time, .monotonic_ms = no_time, .sleep_ms = nap};
static const struct dray_http_service http_service = {.struct_size = sizeof http_service};
static const struct dray_secrets_service secrets_service = {.struct_size = sizeof secrets_service};
static const struct dray_state_service state_service = {.struct_size = sizeof state_service};
static const struct dray_metrics_service metrics_service = {.struct_size = sizeof metrics_service};
static const struct dray_random_service random_service = {.struct_size = sizeof random_service};

static const void *find_service(void *ctx, uint32_t id) {
  static const void *const services[] = {
      [DRAY_SERVICE_LOG] = &log_service,         [DRAY_SERVICE_CANCEL] = &cancel_service,
      [DRAY_SERVICE_CLOCK] = &clock_service,     [DRAY_SERVICE_HTTP] = &http_service,
      [DRAY_SERVICE_SECRETS] = &secrets_service, [DRAY_SERVICE_STATE] = &state_service,
      [DRAY_SERVICE_METRICS] = &metrics_service, [DRAY_SERVICE_RANDOM] = &random_service,
  };
  (void)ctx;
  return id < sizeof services / sizeof services[0] ? services[id] : NULL;
}
static const struct dray_host host = {.struct_size = sizeof host, .abi_minor = DRAY_ABI_MINOR, .service = find_service};

const struct dray_warehouse_vtable *world_vtable(void) {
  static struct dray_plugin plugin;
  if (plugin.warehouse != NULL) return plugin.warehouse;
  void *library = dlopen(DRAY_TEST_SQLITE_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail_msg("%s", dlerror());
  dray_plugin_entry_fn *entry = NULL;
  void *symbol = dlsym(library, DRAY_PLUGIN_ENTRY_SYMBOL);
  memcpy(&entry, &symbol, sizeof entry);
  plugin.struct_size = sizeof plugin;
  assert_ok(entry(&host, &plugin, &world_error));
  return plugin.warehouse;
}

// ---- files ----

static char folder[256];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info;
  (void)kind;
  (void)walk;
  return remove(path);
}

static void remove_folder(void) {
  if (folder[0] != '\0') (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  folder[0] = '\0';
}

int world_fresh(void **state) {
  static int registered;
  const char *base = getenv("TMPDIR");
  (void)state;
  if (!registered) registered = atexit(remove_folder) == 0;
  remove_folder();
  (void)snprintf(folder, sizeof folder, "%s/dray-warehouse-XXXXXX", base != NULL ? base : "/tmp");
  if (mkdtemp(folder) == NULL) fail_msg("mkdtemp: %s", strerror(errno));
  return 0;
}

const char *world_path(const char *name) {
  static char path[600];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

// SQLite spells the one statement that names a table behind ON without its schema: as an engine with schemas, it needs
// this much help.
static int32_t execute_without_schema(struct dray_warehouse *self, struct dray_str sql,
                                      const struct ArrowSchema *schema, const struct ArrowArray *params,
                                      int64_t *out_rows, struct dray_error *error) {
  static const char before[] = " ON \"main\".", after[] = " ON ";
  char text[4096];
  const char *found = memmem(sql.data, sql.len, before, strlen(before));
  if (found == NULL || sql.len >= sizeof text) {
    return world_vtable()->execute(self, sql, schema, params, out_rows, error);
  }
  const int head = (int)(found - sql.data), tail = (int)sql.len - head - (int)strlen(before);
  const int len = snprintf(text, sizeof text, "%.*s%s%.*s", head, sql.data, after, tail, found + strlen(before));
  return world_vtable()->execute(self, dray_str_make(text, (uint64_t)len), schema, params, out_rows, error);
}

// SQLite has no tables in a schema that is not there, but an error.
static int32_t describe_nowhere(struct dray_warehouse *self, struct dray_str schema, struct dray_str table,
                                struct ArrowSchema *out, uint32_t *out_found, struct dray_error *error) {
  if (schema.len == 0 || dray_str_is(schema, "main")) {
    return world_vtable()->describe(self, schema, table, out, out_found, error);
  }
  *out_found = 0;
  return DRAY_OK;
}

// SQLite has its own name for the list of schemas.
static int32_t query_schemas(struct dray_warehouse *self, struct dray_str sql, uint64_t batch_bytes_max,
                             uint64_t batch_rows_max, struct dray_stream *out, struct dray_error *error) {
  static const char asked[] = "information_schema.schemata";
  static const char said[] = "SELECT CAST(name AS TEXT) AS schema_name FROM pragma_database_list";
  const struct dray_str text = memmem(sql.data, sql.len, asked, strlen(asked)) != NULL ? dray_str_of(said) : sql;
  return world_vtable()->query(self, text, batch_bytes_max, batch_rows_max, out, error);
}

void world_open(struct world *world, const char *name, int variant) {
  char config[800];
  memset(world, 0, sizeof *world);
  (void)snprintf(world->path, sizeof world->path, "%s", name[0] == '/' ? name : world_path(name));
  (void)snprintf(config, sizeof config, "{\"path\":\"%s\",\"busy_timeout_ms\":0}", world->path);
  world->warehouse.vtable = world_vtable();
  world->warehouse.label = "plugin sqlite (connection test)";
  assert_ok(world_vtable()->create(&host, dray_str_of(config), &world->warehouse.self, &world_error));
  assert_ok(world_vtable()->open(world->warehouse.self, &world_error));
  assert_ok(dr_warehouse_bind(&world->warehouse, &world_error));
  struct dray_dialect *dialect = &world->warehouse.dialect;
  if (variant & WORLD_NO_UPDATE_FROM) dialect->flags &= ~(uint32_t)DRAY_DIALECT_UPDATE_FROM;
  if (variant & WORLD_NO_NULL_SAFE_IS) dialect->flags &= ~(uint32_t)DRAY_DIALECT_NULL_SAFE_IS;
  if (variant & WORLD_NO_TEMP_TABLES) dialect->flags &= ~(uint32_t)DRAY_DIALECT_TEMP_TABLES;
  if (variant & WORLD_NO_TRANSACTIONAL_DDL) dialect->flags &= ~(uint32_t)DRAY_DIALECT_TRANSACTIONAL_DDL;
  if (variant & WORLD_SCHEMAS) {
    dialect->flags |= DRAY_DIALECT_SCHEMAS;
    world->vtable = *world_vtable();
    world->vtable.execute = execute_without_schema;
    world->vtable.query = query_schemas;
    world->vtable.describe = describe_nowhere;
    world->warehouse.vtable = &world->vtable;
  }
  if (variant & WORLD_NO_RETYPE) {
    world->vtable = *world->warehouse.vtable;
    world->vtable.retype = NULL;
    world->warehouse.vtable = &world->vtable;
  }
  if (variant & WORLD_DOLLAR) dialect->param_style = DRAY_PARAM_DOLLAR;
  if (variant & WORLD_EXACT_TEXT) {
    dialect->flags |= DRAY_DIALECT_JSON_IS_TEXT;
    dialect->flags &= ~(uint32_t)DRAY_DIALECT_LOOSE_MARKED; // any text may be loose
    dialect->exact_text = dray_str_of("CAST({c} AS BLOB)");
    dialect->key_types[DRAY_TYPE_STRING] = dray_str_of("VARCHAR({n}) COLLATE BINARY");
    dialect->key_chars_max = 766;
  }
  world_execute(world, "PRAGMA synchronous = OFF"); // processes are killed here, machines are not
}

void world_close(struct world *world) {
  world_vtable()->destroy(world->warehouse.self);
  world->warehouse.self = NULL;
}

void world_execute(struct world *world, const char *sql) {
  int64_t rows = 0;
  const int32_t code =
      world_vtable()->execute(world->warehouse.self, dray_str_of(sql), NULL, NULL, &rows, &world_error);
  if (code != DRAY_OK) fail_msg("%s: %s", sql, world_error.text);
}

static void append(struct dray_buffer *out, const char *text) {
  assert_ok(dray_buffer_append_str(out, text, &world_error));
}

static void append_rows(struct dray_buffer *out, const struct dray_view *view) {
  for (uint64_t row = 0; row < view->row_count; row++) {
    for (size_t i = 0; i < view->column_count; i++) {
      if (strcmp(view->columns[i].name, DRAY_COLUMN_ERROR) == 0) {
        if (!dray_column_is_null(&view->columns[i], row)) fail_msg("a row does not read as its columns' types");
        continue;
      }
      if (i > 0) append(out, "|");
      if (dray_column_is_null(&view->columns[i], row)) {
        append(out, "~");
      } else {
        assert_ok(dray_column_text(&view->columns[i], row, out, &world_error));
      }
    }
    append(out, "\n");
  }
}

const char *world_query(struct world *world, const char *sql) {
  static struct dray_buffer texts[4];
  static int next;
  struct dray_buffer *out = &texts[next++ % 4];
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct ArrowSchema schema;
  dray_buffer_free(out);
  dray_buffer_init(out, 64u << 20);
  append(out, "");
  const int32_t code =
      world_vtable()->query(world->warehouse.self, dray_str_of(sql), 1 << 20, 1000, &stream, &world_error);
  if (code != DRAY_OK) fail_msg("%s: %s", sql, world_error.text);
  assert_ok(stream.schema(&stream, &schema, &world_error));
  for (;;) {
    struct ArrowArray array;
    struct dray_view view;
    assert_ok(stream.next(&stream, &array, &world_error));
    if (array.release == NULL) break;
    assert_ok(dray_view_init(&view, &schema, &array, &world_error));
    append_rows(out, &view);
    dray_view_free(&view);
    array.release(&array);
  }
  schema.release(&schema);
  stream.close(&stream);
  return out->data != NULL ? out->data : "";
}

// ---- rows ----

struct dr_schema *world_schema(const struct dray_column_def *defs, size_t count) {
  struct dr_schema *schema = NULL;
  assert_ok(dr_schema_new(defs, count, &schema, &world_error));
  return schema;
}

struct dr_batch *world_batch(struct dr_schema *schema, const char *const *cells, size_t row_count) {
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dr_batch *batch = NULL;
  const size_t columns = schema->field_count;
  int32_t full = 0;
  assert_ok(dr_schema_to_arrow(schema, 0, &arrow, &world_error));
  assert_ok(dray_builder_new(&arrow, 0, 0, &builder, &world_error));
  for (size_t i = 0; i < row_count * columns; i++) {
    if (cells[i] == NULL || cells[i] == ABSENT) {
      assert_ok(dray_builder_null(builder, i % columns, &world_error));
    } else {
      assert_ok(dray_builder_text(builder, i % columns, dray_str_of(cells[i]), &world_error));
    }
    if (i % columns == columns - 1) assert_ok(dray_builder_end_row(builder, &full, &world_error));
  }
  assert_ok(dray_builder_finish(builder, &array, &world_error));
  dray_builder_free(builder);
  arrow.release(&arrow);
  assert_ok(dr_batch_wrap(schema, &array, &batch, &world_error));
  for (size_t i = 0; i < row_count * columns; i++) {
    if (cells[i] == ABSENT) assert_ok(dr_batch_set_absent(batch, i % columns, i / columns, &world_error));
  }
  return batch;
}

struct dr_changes *world_changes(struct dr_batch *rows, const uint8_t *ops) {
  struct dr_changes *changes = calloc(1, sizeof *changes);
  assert_non_null(changes);
  changes->count = (size_t)dr_batch_rows(rows);
  changes->rows = rows;
  changes->op = malloc(changes->count + 1);
  assert_non_null(changes->op);
  memcpy(changes->op, ops, changes->count);
  return changes;
}

static void free_changes(struct dr_changes *changes) {
  if (changes == NULL) return;
  dr_batch_free(changes->rows);
  free(changes->op);
  free(changes);
}

// ---- whole writes ----

struct dr_table_options world_options(struct dr_schema *schema, const char *table, int mode, const char *const *key,
                                      size_t key_count) {
  return (struct dr_table_options){.name = {NULL, table},
                                   .schema = schema,
                                   .key = key,
                                   .key_count = key_count,
                                   .mode = mode,
                                   .drift = {1, 1, 1},
                                   .sync = "test"};
}

static int32_t write_all(struct world *world, const struct dr_table_options *options, uint64_t generation,
                         const struct dr_changes *changes, const struct dr_batch *rows, uint64_t *out_written) {
  struct dr_table_plan plan = {.ddl = NULL};
  struct dr_table_writer *writer = NULL;
  uint64_t written = 0;
  DRAY_TRY(dr_table_plan(&world->warehouse, options, &plan, &world_error));
  int32_t code = dr_table_writer_begin(&world->warehouse, options, &plan, generation, &writer, &world_error);
  if (code == DRAY_OK && changes != NULL) code = dr_table_writer_changes(writer, changes, &world_error);
  if (code == DRAY_OK && rows != NULL) code = dr_table_writer_rows(writer, rows, &world_error);
  if (code == DRAY_OK) {
    code = dr_table_writer_merge(writer, generation + 1, dray_str_of("checkpoint"), &written, &world_error);
  }
  if (code == DRAY_OK) code = dr_table_writer_commit(writer, &world_error);
  dr_table_writer_free(writer);
  dr_table_plan_free(&plan);
  if (code == DRAY_OK && out_written != NULL) *out_written = written;
  return code;
}

int32_t world_write(struct world *world, const struct dr_table_options *options, uint64_t generation,
                    struct dr_changes *changes, uint64_t *out_written) {
  const int32_t code = write_all(world, options, generation, changes, NULL, out_written);
  free_changes(changes);
  return code;
}

int32_t world_write_rows(struct world *world, const struct dr_table_options *options, uint64_t generation,
                         struct dr_batch *rows, uint64_t *out_written) {
  const int32_t code = write_all(world, options, generation, NULL, rows, out_written);
  dr_batch_free(rows);
  return code;
}
