// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What loading and reading cost, against the same done with libmariadb alone. bench.py runs it in turn with the client.
//   bench CONFIG load ROWS    rows of twelve columns into the empty table `bench`, in one transaction
//   bench CONFIG query        all of `bench` through the plugin's stream
//   bench SOCKET bare         the same rows by a loop over mysql_fetch_row, unbuffered, that only counts them
// Prints what measure_stop does.
#include <stdio.h>
#include <string.h>

#include "measure.h"
#include "warehouse.h"

static int bare(const char *socket) {
  MYSQL *conn = mysql_init(NULL);
  uint64_t rows = 0;
  measure_start();
  if (conn == NULL || mysql_real_connect(conn, NULL, "root", NULL, "work", 0, socket, 0) == NULL ||
      mysql_query(conn, "SELECT * FROM bench") != 0) {
    (void)fprintf(stderr, "%s\n", conn != NULL ? mysql_error(conn) : "no memory");
    return 1;
  }
  MYSQL_RES *result = mysql_use_result(conn);
  while (mysql_fetch_row(result) != NULL) rows++;
  measure_stop(rows);
  mysql_free_result(result);
  mysql_close(conn);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[2], "bare") == 0) return bare(arguments[1]);
  return measure_run(&my_warehouse_vtable, count, arguments);
}
