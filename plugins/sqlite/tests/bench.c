// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct dray_error bench_error = {.struct_size = sizeof bench_error};
int bench_cancel_after_sleeps;

// ---- a host ----

static int cancelled;

void bench_cancel(int on) {
  cancelled = on;
  bench_cancel_after_sleeps = 0;
}

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx;
  (void)level;
  (void)message;
}
static uint32_t is_cancelled(void *ctx) {
  (void)ctx;
  return (uint32_t)cancelled;
}
static int64_t now_us(void *ctx) {
  (void)ctx;
  return INT64_C(1714557600000000);
}
static int64_t monotonic_ms(void *ctx) {
  (void)ctx;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static int32_t sleep_ms(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error) {
  (void)ctx;
  (void)why;
  const struct timespec nap = {.tv_sec = duration_ms / 1000, .tv_nsec = duration_ms % 1000 * 1000000};
  nanosleep(&nap, NULL);
  if (bench_cancel_after_sleeps > 0 && --bench_cancel_after_sleeps == 0) cancelled = 1;
  return cancelled ? dray_fail(error, DRAY_E_CANCELLED, "cancelled") : DRAY_OK;
}

static const struct dray_log_service log_service = {
    .struct_size = sizeof log_service, .level = DRAY_LOG_DEBUG, .write = log_write};
static const struct dray_cancel_service cancel_service = {.struct_size = sizeof cancel_service,
                                                          .cancelled = is_cancelled};
static const struct dray_clock_service clock_service = {
    .struct_size = sizeof clock_service, .now_us = now_us, .monotonic_ms = monotonic_ms, .sleep_ms = sleep_ms};
// Never called: a plugin for database files has no use for them.
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

const struct dray_host *bench_host(void) {
  static const struct dray_host host = {
      .struct_size = sizeof host, .abi_minor = DRAY_ABI_MINOR, .service = find_service};
  return &host;
}

// ---- folders and files ----

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

void bench_fresh(void) {
  static int registered;
  const char *base = getenv("TMPDIR");
  if (!registered) registered = atexit(remove_folder) == 0;
  remove_folder();
  (void)snprintf(folder, sizeof folder, "%s/dray-sqlite-XXXXXX", base != NULL ? base : "/tmp");
  if (mkdtemp(folder) == NULL) fail_msg("mkdtemp: %s", strerror(errno));
  bench_cancel(0);
}

const char *bench_folder(void) {
  return folder;
}

const char *bench_path(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ % 4];
  (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

void bench_sql(const char *path, const char *sql) {
  sqlite3 *db = NULL;
  char *message = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
  sqlite3_close(db);
}

const char *bench_value(const char *path, const char *sql) {
  static char value[1024];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  const char *text = "no row";
  if (sqlite3_step(statement) == SQLITE_ROW) text = (const char *)sqlite3_column_text(statement, 0);
  (void)snprintf(value, sizeof value, "%s", text != NULL ? text : "NULL");
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return value;
}

const char *bench_shared(const char *name) {
  static char path[1024];
  const char *shared = getenv("DRAY_SHARED");
  (void)snprintf(path, sizeof path, "%s/%s", shared != NULL ? shared : DRAY_SOURCE_DIR "/../shared", name);
  if (access(path, R_OK) == 0) return path;
  const char *ci = getenv("CI");
  if (ci != NULL && strcmp(ci, "true") == 0) fail_msg("%s is not there", path);
  print_message("skipped: %s is not there\n", path);
  return NULL;
}

// ---- plugin instances ----

static struct dray_str config_for(const char *path) {
  static char json[2048];
  struct dray_buffer out;
  struct dray_json_writer writer;
  dray_buffer_init(&out, sizeof json - 1);
  dray_json_writer_init(&writer, &out, NULL);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "path");
  dray_json_write_text(&writer, path);
  dray_json_key(&writer, "busy_timeout_ms");
  dray_json_write_int(&writer, 300);
  dray_json_end_object(&writer);
  if (dray_json_writer_finish(&writer) != DRAY_OK) fail();
  memcpy(json, out.data, out.len);
  const struct dray_str view = dray_str_make(json, out.len);
  dray_buffer_free(&out);
  return view;
}

struct dray_source *bench_source(const char *path) {
  struct dray_source *source = NULL;
  assert_ok(sqlite_source.create(bench_host(), config_for(path), &source, &bench_error));
  return source;
}

struct dray_warehouse *bench_warehouse(const char *path) {
  struct dray_warehouse *warehouse = NULL;
  assert_ok(sqlite_warehouse.create(bench_host(), config_for(path), &warehouse, &bench_error));
  assert_ok(sqlite_warehouse.open(warehouse, &bench_error));
  return warehouse;
}

// ---- rows as text ----

static char rows_text[1 << 18];

static void append(struct dray_buffer *out, struct dray_str text) {
  if (dray_buffer_append(out, text.data, text.len, &bench_error) != DRAY_OK) fail_msg("%s", bench_error.text);
}

static void append_view(struct dray_buffer *out, const struct dray_view *view) {
  const ptrdiff_t error_column = dray_view_find(view, dray_str_of(DRAY_COLUMN_ERROR));
  for (uint64_t row = 0; row < view->row_count; row++) {
    if (error_column >= 0 && !dray_column_is_null(&view->columns[error_column], row)) {
      append(out, dray_str_of("!"));
      append(out, dray_column_bytes(&view->columns[error_column], row));
      append(out, dray_str_of("\n"));
      continue;
    }
    for (size_t i = 0; i < view->column_count; i++) {
      if ((ptrdiff_t)i == error_column) continue;
      if (i > 0) append(out, dray_str_of("|"));
      if (dray_column_is_null(&view->columns[i], row)) {
        append(out, dray_str_of("~"));
      } else {
        assert_ok(dray_column_text(&view->columns[i], row, out, &bench_error));
      }
    }
    append(out, dray_str_of("\n"));
  }
}

const char *bench_rows(struct dray_stream *stream) {
  struct ArrowSchema schema;
  struct dray_buffer out;
  dray_buffer_init(&out, sizeof rows_text - 1);
  assert_ok(stream->schema(stream, &schema, &bench_error));
  for (;;) {
    struct ArrowArray array;
    struct dray_view view;
    assert_ok(stream->next(stream, &array, &bench_error));
    if (array.release == NULL) break;
    assert_ok(dray_view_init(&view, &schema, &array, &bench_error));
    append_view(&out, &view);
    dray_view_free(&view);
    array.release(&array);
  }
  schema.release(&schema);
  if (out.len > 0) memcpy(rows_text, out.data, out.len);
  rows_text[out.len] = '\0';
  dray_buffer_free(&out);
  return rows_text;
}

const char *bench_query(struct dray_warehouse *warehouse, const char *sql) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  assert_ok(sqlite_warehouse.query(warehouse, dray_str_of(sql), 1 << 20, 1000, &stream, &bench_error));
  const char *rows = bench_rows(&stream);
  stream.close(&stream);
  return rows;
}

const char *bench_schema(struct dray_stream *stream) {
  static char text[4096];
  struct ArrowSchema schema;
  size_t used = 0;
  assert_ok(stream->schema(stream, &schema, &bench_error));
  for (int64_t i = 0; i < schema.n_children; i++) {
    struct dray_type type;
    char name[24];
    assert_ok(dray_schema_type(schema.children[i], &type, &bench_error));
    if (strcmp(schema.children[i]->name, DRAY_COLUMN_ERROR) == 0) continue;
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", i > 0 ? ", " : "", schema.children[i]->name,
                             dray_type_format(type, name, sizeof name));
  }
  schema.release(&schema);
  return text;
}
