// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows, the clock and the host of the warehouse plugins' own benches.
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define BATCH_ROWS 5000

struct dray_error measure_error = {.struct_size = sizeof measure_error};

void measure_must(int32_t code) {
  if (code == DRAY_OK) return;
  (void)fprintf(stderr, "%d %s\n", code, measure_error.text);
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
const struct dray_host measure_host = {
    .struct_size = sizeof measure_host, .abi_minor = DRAY_ABI_MINOR, .service = find_service};

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
  measure_must(dray_builder_int64(builder, 0, i, &measure_error));
  measure_must(dray_builder_int64(builder, 1, mixed % 1000000, &measure_error));
  measure_must(dray_builder_int64(builder, 2, mixed % 50, &measure_error));
  measure_must(dray_builder_decimal(builder, 3, dray_decimal_of_int64(mixed % 1000000), &measure_error));
  measure_must(dray_builder_decimal(builder, 4, dray_decimal_of_int64(mixed % 10000000000), &measure_error));
  measure_must(dray_builder_float64(builder, 5, (double)(mixed % 100000) / 7.0, &measure_error));
  measure_must(dray_builder_bool(builder, 6, (int32_t)(mixed & 1), &measure_error));
  measure_must(dray_builder_date(builder, 7, 18000 + (int32_t)(mixed % 2000), &measure_error));
  measure_must(dray_builder_timestamp(builder, 8, INT64_C(1600000000000000) + mixed, &measure_error));
  int len = snprintf(text, sizeof text, "SKU-%08lld", (long long)(mixed % 100000000));
  measure_must(dray_builder_bytes(builder, 9, dray_str_make(text, (uint64_t)len), &measure_error));
  len = snprintf(text, sizeof text, "a name of some length %lld", (long long)mixed);
  measure_must(dray_builder_bytes(builder, 10, dray_str_make(text, (uint64_t)len), &measure_error));
  if (i % 3 == 0) {
    measure_must(dray_builder_null(builder, 11, &measure_error));
  } else {
    measure_must(
        dray_builder_bytes(builder, 11, dray_str_of("left at the door of the neighbour, who was in"), &measure_error));
  }
  measure_must(dray_builder_end_row(builder, &full, &measure_error));
}

// ---- measuring ----

double measure_seconds(clockid_t clock) {
  struct timespec now;
  (void)clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall_start, cpu_start;

void measure_start(void) {
  wall_start = measure_seconds(CLOCK_MONOTONIC);
  cpu_start = measure_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

void measure_stop(uint64_t rows) {
  struct rusage usage;
  const double wall = measure_seconds(CLOCK_MONOTONIC) - wall_start,
               cpu = measure_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
  (void)getrusage(RUSAGE_SELF, &usage);
  (void)printf("%llu %.4f %.4f %ld\n", (unsigned long long)rows, wall, cpu, usage.ru_maxrss);
}

static void load(const struct dray_warehouse_vtable *vtable, struct dray_warehouse *warehouse, uint64_t rows) {
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  measure_must(dray_schema_make(defs, COLUMNS, &schema, &measure_error));
  measure_must(dray_builder_new(&schema, 0, 0, &builder, &measure_error));
  for (int64_t i = 0; i < BATCH_ROWS; i++) add_row(builder, i);
  measure_must(dray_builder_finish(builder, &array, &measure_error));
  measure_start();
  measure_must(vtable->begin(warehouse, &measure_error));
  for (uint64_t done = 0; done < rows; done += BATCH_ROWS) {
    measure_must(
        vtable->load(warehouse, dray_str_make(NULL, 0), dray_str_of("bench"), &schema, &array, &measure_error));
  }
  measure_must(vtable->commit(warehouse, &measure_error));
  measure_stop(rows);
  dray_array_release(&array);
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static void query(const struct dray_warehouse_vtable *vtable, struct dray_warehouse *warehouse) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  uint64_t rows = 0;
  measure_start();
  measure_must(vtable->query(warehouse, dray_str_of("SELECT * FROM bench"), 1u << 20, 100000, &stream, &measure_error));
  for (;;) {
    struct ArrowArray array = {.release = NULL};
    measure_must(stream.next(&stream, &array, &measure_error));
    if (array.release == NULL) break;
    rows += (uint64_t)array.length;
    dray_array_release(&array);
  }
  measure_stop(rows);
  stream.close(&stream);
}

int measure_run(const struct dray_warehouse_vtable *vtable, int count, char **arguments) {
  struct dray_warehouse *warehouse = NULL;
  const int loads = count == 4 && strcmp(arguments[2], "load") == 0;
  const int queries = count == 3 && strcmp(arguments[2], "query") == 0;
  if (!loads && !queries) return 2;
  measure_must(vtable->create(&measure_host, dray_str_of(arguments[1]), &warehouse, &measure_error));
  measure_must(vtable->open(warehouse, &measure_error));
  if (loads) load(vtable, warehouse, strtoull(arguments[3], NULL, 10));
  if (queries) query(vtable, warehouse);
  vtable->destroy(warehouse);
  return 0;
}
