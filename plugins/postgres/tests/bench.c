// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What loading and reading cost, against the same done with libpq alone. bench.py runs it in turn with psql.
//   bench CONFIG load ROWS    rows of twelve columns into the empty table `bench`, in one transaction
//   bench CONFIG query        all of `bench` through the plugin's stream
//   bench CONFIG bare         the same bytes by a loop over PQgetCopyData that only counts rows; CONFIG is a conninfo
// Prints what measure_stop does.
//   bench CONFIG wait STREAM MS   not a measurement: reads the stream to its end, says "ready", waits for news, says
//                                 whether they came and after how many milliseconds, and drops what it left
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "source.h"
#include "warehouse.h"

// The state after everything there is was read. The caller frees it.
static char *read_whole(struct dray_source *source, const struct dray_read_request *request) {
  struct dray_stream stream = {.struct_size = sizeof stream};
  struct dray_str state = {NULL, 0};
  measure_must(pg_source_vtable.open(source, request, &stream, &measure_error));
  for (int ended = 0; !ended;) {
    struct ArrowArray array = {.release = NULL};
    measure_must(stream.next(&stream, &array, &measure_error));
    ended = array.release == NULL;
    dray_array_release(&array);
  }
  measure_must(stream.state(&stream, &state, &measure_error));
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
  measure_must(pg_source_vtable.create(&measure_host, dray_str_of(config), &source, &measure_error));
  char *state = read_whole(source, &request);
  request.state = dray_str_of(state);
  (void)printf("ready\n");
  (void)fflush(stdout);
  const double begun = measure_seconds(CLOCK_MONOTONIC);
  measure_must(pg_source_vtable.wait(source, &request, timeout_ms, &news, &measure_error));
  (void)printf("%u %.0f\n", news, 1000 * (measure_seconds(CLOCK_MONOTONIC) - begun));
  measure_must(pg_source_vtable.drop(source, &request, &removed, &measure_error));
  pg_source_vtable.destroy(source);
  free(state);
  return 0;
}

static int bare(const char *conninfo) {
  PGconn *conn = PQconnectdb(conninfo);
  char *row = NULL;
  uint64_t rows = 0;
  measure_start();
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
  measure_stop(rows - 1); // the trailer is a message as well
  PQfinish(conn);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[2], "bare") == 0) return bare(arguments[1]);
  if (count == 5 && strcmp(arguments[2], "wait") == 0) {
    return wait_for_news(arguments[1], arguments[3], strtoull(arguments[4], NULL, 10));
  }
  return measure_run(&pg_warehouse_vtable, count, arguments);
}
