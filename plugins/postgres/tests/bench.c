// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What loading and reading cost, against the same done with libpq alone. bench.py runs it in turn with psql.
//   bench CONFIG load ROWS    rows of twelve columns into the empty table `bench`, in one transaction
//   bench CONFIG query        all of `bench` through the plugin's stream
//   bench CONFIG bare         the same bytes by a loop over PQgetCopyData that only counts rows; CONFIG is a conninfo
// Prints rows, seconds of wall clock, and of this process's CPU.
//   bench CONFIG wait STREAM MS   not a measurement: reads the stream to its end, says "ready", waits for news, says
//                                 whether they came and after how many milliseconds, and drops what it left
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "source.h"

#define BATCH_ROWS 5000

static struct dray_error error = {.struct_size = sizeof error};

static void must(int32_t code) {
  if (code == DRAY_OK) return;
  (void)fprintf(stderr, "%d %s\n", code, error.text);
  exit(1);
}

// ---- a host with nothing to offer but a clock ----

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx;
  (void)level;
  (void)message;
}
static uint32_t not_cancelled(void *ctx) {
  (void)ctx;
  return 0;
}
static int64_t monotonic_ms(void *ctx) {
  struct timespec now;
  (void)ctx;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static const struct dray_log_service log_service = {.struct_size = sizeof log_service, .write = log_write};
static const struct dray_cancel_service cancel_service = {.struct_size = sizeof cancel_service,
                                                          .cancelled = not_cancelled};
static const struct dray_clock_service clock_service = {.struct_size = sizeof clock_service,
                                                        .monotonic_ms = monotonic_ms};
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

// ---- rows ----

static const struct dray_column_def defs[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 1},       {"customer", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"quantity", {DRAY_TYPE_INT64, 0, 0}, 1}, {"price", {DRAY_TYPE_DECIMAL, 12, 2}, 1},
    {"total", {DRAY_TYPE_DECIMAL, 14, 4}, 1}, {"rate", {DRAY_TYPE_FLOAT64, 0, 0}, 1},
    {"paid", {DRAY_TYPE_BOOL, 0, 0}, 1},      {"day", {DRAY_TYPE_DATE, 0, 0}, 1},
    {"at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},   {"sku", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"name", {DRAY_TYPE_STRING, 0, 0}, 1},    {"note", {DRAY_TYPE_STRING, 0, 0}, 1},
};
#define COLUMNS (sizeof defs / sizeof defs[0])

static void add_row(struct dray_builder *builder, int64_t i) {
  char text[80];
  int32_t full = 0;
  const int64_t mixed = (int64_t)((uint64_t)i * 0x9E3779B97F4A7C15u >> 20);
  must(dray_builder_int64(builder, 0, i, &error));
  must(dray_builder_int64(builder, 1, mixed % 1000000, &error));
  must(dray_builder_int64(builder, 2, mixed % 50, &error));
  must(dray_builder_decimal(builder, 3, dray_decimal_of_int64(mixed % 1000000), &error));
  must(dray_builder_decimal(builder, 4, dray_decimal_of_int64(mixed % 10000000000), &error));
  must(dray_builder_float64(builder, 5, (double)(mixed % 100000) / 7.0, &error));
  must(dray_builder_bool(builder, 6, (int32_t)(mixed & 1), &error));
  must(dray_builder_date(builder, 7, 18000 + (int32_t)(mixed % 2000), &error));
  must(dray_builder_timestamp(builder, 8, INT64_C(1600000000000000) + mixed, &error));
  int len = snprintf(text, sizeof text, "SKU-%08lld", (long long)(mixed % 100000000));
  must(dray_builder_bytes(builder, 9, dray_str_make(text, (uint64_t)len), &error));
  len = snprintf(text, sizeof text, "a name of some length %lld", (long long)mixed);
  must(dray_builder_bytes(builder, 10, dray_str_make(text, (uint64_t)len), &error));
  if (i % 3 == 0) {
    must(dray_builder_null(builder, 11, &error));
  } else {
    must(dray_builder_bytes(builder, 11, dray_str_of("left at the door of the neighbour, who was in"), &error));
  }
  must(dray_builder_end_row(builder, &full, &error));
}

// ---- measuring ----

static double seconds(clockid_t clock) {
  struct timespec now;
  (void)clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall_start, cpu_start;

static void start(void) {
  wall_start = seconds(CLOCK_MONOTONIC);
  cpu_start = seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static void stop(uint64_t rows) {
  struct rusage usage;
  const double wall = seconds(CLOCK_MONOTONIC) - wall_start, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
  (void)getrusage(RUSAGE_SELF, &usage);
  (void)printf("%llu %.4f %.4f %ld\n", (unsigned long long)rows, wall, cpu, usage.ru_maxrss);
}

static void load(struct dray_warehouse *warehouse, uint64_t rows) {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  must(dray_schema_make(defs, COLUMNS, &schema, &error));
  must(dray_builder_new(&schema, 0, 0, &builder, &error));
  for (int64_t i = 0; i < BATCH_ROWS; i++) add_row(builder, i);
  must(dray_builder_finish(builder, &array, &error));
  start();
  must(pg_warehouse_vtable.begin(warehouse, &error));
  for (uint64_t done = 0; done < rows; done += BATCH_ROWS) {
    must(pg_warehouse_vtable.load(warehouse, dray_str_make(NULL, 0), dray_str_of("bench"), &schema, &array, &error));
  }
  must(pg_warehouse_vtable.commit(warehouse, &error));
  stop(rows);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static void query(struct dray_warehouse *warehouse) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  uint64_t rows = 0;
  start();
  must(pg_warehouse_vtable.query(warehouse, dray_str_of("SELECT * FROM bench"), 1u << 20, 100000, &stream, &error));
  for (;;) {
    struct ArrowArray array = {.release = NULL};
    must(stream.next(&stream, &array, &error));
    if (array.release == NULL) break;
    rows += (uint64_t)array.length;
    dray_array_release(&array);
  }
  stop(rows);
  stream.close(&stream);
}

// The state after everything there is was read. The caller frees it.
static char *read_whole(struct dray_source *source, const struct dray_read_request *request) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct dray_str state = {NULL, 0};
  must(pg_source_vtable.open(source, request, &stream, &error));
  for (int ended = 0; !ended;) {
    struct ArrowArray array = {.release = NULL};
    must(stream.next(&stream, &array, &error));
    ended = array.release == NULL;
    dray_array_release(&array);
  }
  must(stream.state(&stream, &state, &error));
  char *copy = dray_str_dup(state);
  stream.close(&stream);
  return copy;
}

static int wait_for_news(const char *config, const char *stream, uint64_t timeout_ms) {
  struct dray_source *source = NULL;
  struct dray_read_request request = {.struct_size = sizeof request,
                                      .mode = DRAY_READ_INCREMENTAL,
                                      .stream = dray_str_of(stream),
                                      .batch_bytes_max = 1u << 20,
                                      .batch_rows_max = 1000,
                                      .reader = dray_str_of("bench")};
  struct dray_str removed;
  uint32_t news = 0;
  must(pg_source_vtable.create(&host, dray_str_of(config), &source, &error));
  char *state = read_whole(source, &request);
  request.state = dray_str_of(state);
  (void)printf("ready\n");
  (void)fflush(stdout);
  const double begun = seconds(CLOCK_MONOTONIC);
  must(pg_source_vtable.wait(source, &request, timeout_ms, &news, &error));
  (void)printf("%u %.0f\n", news, 1000 * (seconds(CLOCK_MONOTONIC) - begun));
  must(pg_source_vtable.drop(source, &request, &removed, &error));
  pg_source_vtable.destroy(source);
  free(state);
  return 0;
}

static int bare(const char *conninfo) {
  PGconn *conn = PQconnectdb(conninfo);
  char *row = NULL;
  uint64_t rows = 0;
  start();
  PGresult *result = PQexec(conn, "COPY (SELECT * FROM bench) TO STDOUT (FORMAT binary)");
  if (PQresultStatus(result) != PGRES_COPY_OUT) {
    (void)fprintf(stderr, "%s\n", PQerrorMessage(conn));
    return 1;
  }
  PQclear(result);
  while (PQgetCopyData(conn, &row, 0) > 0) {
    rows++;
    PQfreemem(row);
  }
  stop(rows - 1); // the trailer is a message as well
  PQfinish(conn);
  return 0;
}

int main(int count, char **arguments) {
  struct dray_warehouse *warehouse = NULL;
  if (count < 3) return 2;
  if (strcmp(arguments[2], "bare") == 0) return bare(arguments[1]);
  if (strcmp(arguments[2], "wait") == 0 && count == 5) {
    return wait_for_news(arguments[1], arguments[3], strtoull(arguments[4], NULL, 10));
  }
  must(pg_warehouse_vtable.create(&host, dray_str_of(arguments[1]), &warehouse, &error));
  must(pg_warehouse_vtable.open(warehouse, &error));
  if (strcmp(arguments[2], "load") == 0 && count == 4) load(warehouse, strtoull(arguments[3], NULL, 10));
  if (strcmp(arguments[2], "query") == 0) query(warehouse);
  pg_warehouse_vtable.destroy(warehouse);
  return 0;
}
