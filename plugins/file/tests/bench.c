// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The test bench.
#include "bench.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#define TEXT_MAX (64u << 20)

// ---- the host ----

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  struct bench *bench = ctx;
  (void)level;
  const size_t at = strlen(bench->log);
  (void)snprintf(bench->log + at, sizeof(bench->log) - at, "%.*s\n", DRAY_STR_ARG(message));
}

static uint32_t is_cancelled(void *ctx) {
  return (uint32_t)((struct bench *)ctx)->cancelled;
}

static const void *service(void *ctx, uint32_t id) {
  static struct dray_log_service log;
  static struct dray_cancel_service cancel;
  // The plugin must not touch the others: they have no functions.
  static const struct dray_clock_service clock = {.struct_size = sizeof(clock)};
  static const struct dray_http_service http = {.struct_size = sizeof(http)};
  static const struct dray_secrets_service secrets = {.struct_size = sizeof(secrets)};
  static const struct dray_state_service kept = {.struct_size = sizeof(kept)};
  static const struct dray_metrics_service metrics = {.struct_size = sizeof(metrics)};
  static const struct dray_random_service random_bytes = {.struct_size = sizeof(random_bytes)};
  log.struct_size = sizeof(log);
  log.level = DRAY_LOG_DEBUG;
  log.ctx = ctx;
  log.write = log_write;
  cancel.struct_size = sizeof(cancel);
  cancel.ctx = ctx;
  cancel.cancelled = is_cancelled;
  const void *const services[] = {NULL, &log, &cancel, &clock, &http, &secrets, &kept, &metrics, &random_bytes};
  return id < sizeof(services) / sizeof(services[0]) ? services[id] : NULL;
}

int bench_setup(void **state) {
  struct bench *bench = calloc(1, sizeof(*bench));
  assert_non_null(bench);
  (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/dray-file-XXXXXX");
  assert_non_null(mkdtemp(bench->folder));
  bench->host.struct_size = sizeof(bench->host);
  bench->host.ctx = bench;
  bench->host.service = service;
  *state = bench;
  return 0;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *ftw) {
  (void)info;
  (void)flag;
  (void)ftw;
  return remove(path);
}

int bench_teardown(void **state) {
  struct bench *bench = *state;
  (void)nftw(bench->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  free(bench);
  return 0;
}

// ---- files ----

const char *bench_path(const struct bench *bench, const char *name) {
  static char paths[8][512];
  static unsigned turn;
  char *path = paths[turn++ % 8];
  (void)snprintf(path, sizeof(paths[0]), "%s/%s", bench->folder, name);
  return path;
}

static void put(const char *path, const char *mode, const void *data, size_t len) {
  FILE *file = fopen(path, mode);
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

void bench_write(const struct bench *bench, const char *name, const char *text) {
  put(bench_path(bench, name), "wb", text, strlen(text));
}

void bench_write_bytes(const struct bench *bench, const char *name, const void *data, size_t len) {
  put(bench_path(bench, name), "wb", data, len);
}

void bench_append(const struct bench *bench, const char *name, const char *text) {
  put(bench_path(bench, name), "ab", text, strlen(text));
}

void bench_gzip(const struct bench *bench, const char *name, const char *text) {
  gzFile file = gzopen(bench_path(bench, name), "ab");
  assert_non_null(file);
  assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), strlen(text));
  assert_int_equal(gzclose(file), Z_OK);
}

void bench_unpack_xz(const struct bench *bench, const char *from, const char *name) {
  const char *to = bench_path(bench, name);
  int status = 0;
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0) execlp("xz", "xz", "-dc", from, (char *)NULL);
    _exit(127);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

char *bench_read(const struct bench *bench, const char *name) {
  FILE *file = fopen(bench_path(bench, name), "rb");
  assert_non_null(file);
  char *text = calloc(1, 1u << 20);
  assert_non_null(text);
  const size_t len = fread(text, 1, (1u << 20) - 1, file);
  assert_int_equal(ferror(file), 0);
  text[len] = '\0';
  assert_int_equal(fclose(file), 0);
  return text;
}

struct dray_str bench_settings(const struct bench *bench, const char *path, const char *more) {
  static char text[8192];
  (void)snprintf(text, sizeof(text), "{\"path\": \"%s/%s\"%s%s}", bench->folder, path, more[0] != '\0' ? ", " : "",
                 more);
  return dray_str_of(text);
}

struct dray_source *bench_source(struct bench *bench, const char *path, const char *more) {
  struct dray_source *source = NULL;
  struct dray_error error;
  dray_error_init(&error);
  if (file_source_vtable.create(&bench->host, bench_settings(bench, path, more), &source, &error) != DRAY_OK) {
    fail_msg("create: %s", error.text);
  }
  return source;
}

// ---- rows as text ----

static void must(int32_t rc, const struct dray_error *error) {
  if (rc != DRAY_OK) fail_msg("%s: %s", dray_error_info(rc)->name, error->text);
}

static void print_cell(struct dray_buffer *out, const struct dray_view *view, size_t column, uint64_t row) {
  struct dray_error error;
  dray_error_init(&error);
  if (dray_view_absent(view, column, row)) {
    must(dray_buffer_append_str(out, "-", &error), &error);
  } else if (dray_column_is_null(&view->columns[column], row)) {
    must(dray_buffer_append_str(out, "~", &error), &error);
  } else {
    must(dray_column_text(&view->columns[column], row, out, &error), &error);
  }
}

static void print_batch(struct dray_buffer *out, const struct ArrowSchema *schema, const struct ArrowArray *array) {
  struct dray_view view;
  struct dray_error error;
  dray_error_init(&error);
  must(dray_view_init(&view, schema, array, &error), &error);
  assert_true(view.row_count > 0);
  const ptrdiff_t reason = dray_view_find(&view, dray_str_of(DRAY_COLUMN_ERROR));
  for (uint64_t row = 0; row < view.row_count; row++) {
    if (reason >= 0 && !dray_column_is_null(&view.columns[reason], row)) {
      must(dray_buffer_append_str(out, "! ", &error), &error);
      print_cell(out, &view, (size_t)reason, row);
    } else {
      for (size_t i = 0; i < view.column_count; i++) {
        if (dray_column_reserved(view.columns[i].name)) continue;
        if (i > 0) must(dray_buffer_append_str(out, " ", &error), &error);
        print_cell(out, &view, i, row);
      }
    }
    must(dray_buffer_append_str(out, "\n", &error), &error);
  }
  dray_view_free(&view);
}

static void print_schema(struct dray_buffer *out, const struct ArrowSchema *schema) {
  struct dray_error error;
  dray_error_init(&error);
  for (int64_t i = 0; i < schema->n_children; i++) {
    struct dray_type type;
    char spelt[32];
    if (dray_column_reserved(schema->children[i]->name)) continue;
    must(dray_schema_type(schema->children[i], &type, &error), &error);
    must(dray_buffer_printf(out, &error, "%s%s:%s", i > 0 ? " " : "", schema->children[i]->name,
                            dray_type_format(type, spelt, sizeof(spelt))),
         &error);
  }
  must(dray_buffer_append_str(out, "\n", &error), &error);
}

static struct dray_read_request request_of(const char *stream, uint32_t mode, const char *state, uint64_t rows_max) {
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = mode,
                                            .stream = dray_str_of(stream),
                                            .state = dray_str_of(state),
                                            .batch_bytes_max = 1u << 20,
                                            .batch_rows_max = rows_max};
  return request;
}

char *bench_some_rows(struct dray_source *source, const char *stream, uint32_t mode, const char *state,
                      uint64_t rows_max, size_t batches, char **out_state) {
  struct dray_stream open = {.struct_size = sizeof(open)};
  struct dray_error error;
  struct ArrowSchema schema = {0};
  struct dray_buffer out;
  dray_error_init(&error);
  dray_buffer_init(&out, TEXT_MAX);
  const struct dray_read_request request = request_of(stream, mode, state, rows_max);
  must(file_source_vtable.open(source, &request, &open, &error), &error);
  must(open.schema(&open, &schema, &error), &error);
  print_schema(&out, &schema);
  for (size_t count = 0; batches == 0 || count < batches; count++) {
    struct ArrowArray array = {0};
    must(open.next(&open, &array, &error), &error);
    if (array.release == NULL) break;
    print_batch(&out, &schema, &array);
    array.release(&array);
  }
  struct dray_str after = {NULL, 0};
  must(open.state(&open, &after, &error), &error);
  if (out_state != NULL) {
    *out_state = dray_str_dup(after);
    assert_non_null(*out_state);
  }
  struct dray_progress progress = {.struct_size = sizeof(progress)};
  open.progress(&open, &progress);
  assert_true(progress.bytes <= progress.bytes_total);
  open.close(&open);
  dray_schema_release(&schema);
  return out.data;
}

char *bench_rows(struct dray_source *source, const char *stream, uint32_t mode, const char *state, uint64_t rows_max,
                 char **out_state) {
  return bench_some_rows(source, stream, mode, state, rows_max, 0, out_state);
}

int32_t bench_open_fails(struct dray_source *source, const char *stream, const char *state, struct dray_error *error) {
  struct dray_stream open = {.struct_size = sizeof(open)};
  const struct dray_read_request request = request_of(stream, DRAY_READ_FULL, state, 1000);
  dray_error_init(error);
  const int32_t rc = file_source_vtable.open(source, &request, &open, error);
  assert_int_not_equal(rc, DRAY_OK);
  assert_int_equal(rc, error->code);
  assert_true(error->text[0] != '\0');
  return rc;
}
