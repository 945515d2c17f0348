// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of a PostgreSQL table by binary COPY (PostgreSQL 15 manual, "COPY", "Binary Format"). Values go from the server's
// bytes into Arrow columns without a text in between.
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source.h"

#define HEAD_BYTES 19 // signature, flags, length of the extension, which PostgreSQL leaves empty
#define GATHER_NS 1000000
#define EPOCH_DAYS 10957 // PostgreSQL counts from 2000-01-01
#define EPOCH_US (EPOCH_DAYS * INT64_C(86400000000))

struct postgres {
  PGconn *connection;
  struct bench_filler *filler;
  int head_read, ended;
};

static void fail(const char *what, PGconn *connection) {
  (void)fprintf(stderr, "postgres: %s: %s\n", what, PQerrorMessage(connection));
  exit(1);
}

static uint16_t load16(const char *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return be16toh(value);
}
static uint32_t load32(const char *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return be32toh(value);
}
static uint64_t load64(const char *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return be64toh(value);
}

// NUMERIC: digits of base 10,000, the first worth 10,000^weight. In hundredths.
static int64_t load_cents(const char *at) {
  const int count = load16(at), weight = (int16_t)load16(at + 2);
  int64_t value = 0;
  for (int i = 0; i < count && weight - i >= -1; i++) {
    const int64_t digit = load16(at + 8 + 2 * i);
    value = weight - i >= 0 ? value * 10000 + digit : value * 100 + digit / 100;
  }
  for (int power = weight - count + 1; power > 0; power--) value *= 10000;
  if (weight - count + 1 >= 0) value *= 100;
  return load16(at + 4) == 0x4000 ? -value : value;
}

static struct dray_str load_text(const char *at, int32_t len) {
  return dray_str_make(len > 0 ? at : "", len > 0 ? (uint64_t)len : 0);
}

// The table's columns, in its order. `len` is -1 for NULL; the generator makes NULL scores only.
static void load_column(struct bench_row *row, int column, const char *at, int32_t len) {
  switch (column) {
  case BENCH_ID:
    row->id = (int64_t)load64(at);
    break;
  case BENCH_SIGNED_UP:
    row->signed_up = (int32_t)load32(at) + EPOCH_DAYS;
    break;
  case BENCH_SEEN_AT:
    row->seen_at = (int64_t)load64(at) + EPOCH_US;
    break;
  case BENCH_ORDERS:
    row->orders = (int32_t)load32(at);
    break;
  case BENCH_REVENUE:
    row->revenue = load_cents(at);
    break;
  case BENCH_SUBSCRIBED:
    row->subscribed = at[0] != 0;
    break;
  case BENCH_SCORE:
    row->score_is_null = len < 0;
    if (len < 0) break;
    const uint64_t bits = load64(at);
    memcpy(&row->score, &bits, sizeof bits);
    break;
  default:
    row->text[column - BENCH_EMAIL] = load_text(at, len);
  }
}

static int load_row(struct bench_row *row, const char *at) { // 0: the trailer
  if (load16(at) != BENCH_COLUMNS) return 0;
  at += 2;
  for (int column = 0; column < BENCH_COLUMNS; column++) {
    const int32_t len = (int32_t)load32(at);
    at += 4;
    load_column(row, column, at, len);
    at += len > 0 ? len : 0;
  }
  return 1;
}

// The server sends pieces of 8 KiB. Who waits for each is woken 150,000 times in a table of 10 M rows; a moment's sleep
// lets them gather, and the server has nobody to wake. (plugins/postgres/link.c does the same.)
static void gather(PGconn *connection) {
  const struct timespec moment = {0, GATHER_NS};
  struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
  if (poll(&socket, 1, 0) == 0) {
    (void)nanosleep(&moment, NULL);
    (void)poll(&socket, 1, -1);
  }
  if (!PQconsumeInput(connection)) fail("COPY", connection);
}

static int next_message(PGconn *connection, char **out) {
  int len = 0;
  while ((len = PQgetCopyData(connection, out, 1)) == 0) gather(connection);
  return len;
}

static struct dr_batch *next_rows(struct bench_source *source) {
  struct postgres *postgres = source->state;
  char *data = NULL;
  int len = 0;
  while (!postgres->ended && (len = next_message(postgres->connection, &data)) > 0) {
    struct bench_row row;
    // The head comes in one message with the first row.
    const int is_row = load_row(&row, data + (postgres->head_read ? 0 : HEAD_BYTES));
    postgres->head_read = 1;
    const int full = is_row && bench_filler_put(postgres->filler, &row);
    PQfreemem(data);
    if (full) break;
  }
  if (len == -2) fail("COPY", postgres->connection);
  if (len == -1) postgres->ended = 1;
  return bench_filler_take(postgres->filler);
}

static void close_rows(struct bench_source *source) {
  struct postgres *postgres = source->state;
  bench_filler_free(postgres->filler);
  PQfinish(postgres->connection);
  free(postgres);
}

void bench_postgres_open(struct bench_source *source, const char *table) {
  struct postgres *postgres = bench_alloc(sizeof *postgres);
  char sql[256];
  *postgres = (struct postgres){.connection = PQconnectdb("")};
  if (PQstatus(postgres->connection) != CONNECTION_OK) fail("connect", postgres->connection);
  postgres->filler = bench_filler_new(source->schema);
  (void)snprintf(sql, sizeof sql, "COPY %s TO STDOUT (FORMAT binary)", table);
  PGresult *result = PQexec(postgres->connection, sql);
  if (PQresultStatus(result) != PGRES_COPY_OUT) fail(sql, postgres->connection);
  PQclear(result);
  source->next = next_rows;
  source->close = close_rows;
  source->state = postgres;
}
