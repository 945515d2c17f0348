// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The least that reading a table costs: binary COPY out of PostgreSQL into a loop that only counts. The connection by
// libpq's environment.
//
//   bench_copy_count TABLE
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  char sql[256], *data = NULL;
  unsigned long long rows = 0, bytes = 0;
  if (argc != 2) return 2;
  const double begin = seconds();
  PGconn *connection = PQconnectdb("");
  (void)snprintf(sql, sizeof sql, "COPY %s TO STDOUT (FORMAT binary)", argv[1]);
  PGresult *result = PQstatus(connection) == CONNECTION_OK ? PQexec(connection, sql) : NULL;
  int len = PQresultStatus(result) == PGRES_COPY_OUT ? 0 : -2;
  PQclear(result);
  while (len >= 0 && (len = PQgetCopyData(connection, &data, 0)) > 0) {
    rows++;
    bytes += (unsigned)len;
    PQfreemem(data);
  }
  if (len == -2) (void)fprintf(stderr, "bench_copy_count: %s\n", PQerrorMessage(connection));
  PQfinish(connection);
  // One message more than rows: the trailer.
  (void)printf("{\"rows\": %llu, \"bytes\": %llu, \"total_s\": %.6f}\n", rows - 1, bytes, seconds() - begin);
  return len == -2;
}
