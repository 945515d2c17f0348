// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The messages of the server's plugin pgoutput, protocol version 1, taken apart. Knows no tables and no connection;
// every length is checked before it is believed.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "source.h"

struct reading {
  const char *at, *end;
  int broken; // something was asked for that is not there
};

static uint64_t take(struct reading *reading, size_t bytes) {
  if ((size_t)(reading->end - reading->at) < bytes) {
    reading->broken = 1;
    return 0;
  }
  const char *at = reading->at;
  reading->at += bytes;
  return bytes == 1   ? (uint64_t)(unsigned char)at[0]
         : bytes == 2 ? pg_get16(at)
         : bytes == 4 ? pg_get32(at)
                      : pg_get64(at);
}

static struct dray_str take_name(struct reading *reading) {
  const char *nul = memchr(reading->at, '\0', (size_t)(reading->end - reading->at));
  if (nul == NULL) {
    reading->broken = 1;
    return dray_str_make(NULL, 0);
  }
  const struct dray_str name = dray_str_make(reading->at, (uint64_t)(nul - reading->at));
  reading->at = nul + 1;
  return name;
}

// ---- parts ----

static size_t take_tuple(struct reading *reading, struct pg_value *values) {
  const size_t count = (size_t)take(reading, 2);
  if (count > PG_COLUMNS_MAX) reading->broken = 1;
  for (size_t i = 0; i < count && !reading->broken; i++) {
    const char kind = (char)take(reading, 1);
    struct pg_value *value = &values[i];
    *value = (struct pg_value){.len = kind == 'u' ? PG_TUPLE_UNCHANGED : PG_TUPLE_NULL, .binary = kind == 'b'};
    if (kind == 'n' || kind == 'u') continue;
    const uint64_t len = take(reading, 4);
    if ((kind != 't' && kind != 'b') || len > INT32_MAX || len > (uint64_t)(reading->end - reading->at)) {
      reading->broken = 1;
      break;
    }
    value->data = reading->at;
    value->len = (int32_t)len;
    reading->at += len;
  }
  return count;
}

static void take_relation(struct reading *reading, struct pg_message *out) {
  out->relation = (Oid)take(reading, 4);
  (void)take_name(reading); // schema
  (void)take_name(reading); // table
  out->identity = (char)take(reading, 1);
  out->column_count = (size_t)take(reading, 2);
  if (out->column_count > PG_COLUMNS_MAX) reading->broken = 1;
  for (size_t i = 0; i < out->column_count && !reading->broken; i++) {
    struct pg_relation_column *column = &out->columns[i];
    column->key = (int)(take(reading, 1) & 1);
    column->name = take_name(reading);
    column->type = (Oid)take(reading, 4);
    (void)take(reading, 4); // modifier
  }
}

static void take_rows(struct reading *reading, struct pg_message *out) {
  out->relation = (Oid)take(reading, 4);
  char part = (char)take(reading, 1);
  if (part == 'K' || part == 'O') {
    out->old_kind = part;
    out->old_count = take_tuple(reading, out->old_row);
    if (out->kind == PG_MESSAGE_DELETE) return;
    part = (char)take(reading, 1);
  }
  if (part != 'N' || out->kind == PG_MESSAGE_DELETE) reading->broken = 1;
  out->new_count = take_tuple(reading, out->new_row);
}

static void take_commit(struct reading *reading, struct pg_message *out) {
  (void)take(reading, 1); // flags
  (void)take(reading, 8); // of the commit
  out->end_lsn = take(reading, 8);
}

static void take_truncate(struct reading *reading, struct pg_message *out) {
  const uint64_t count = take(reading, 4);
  (void)take(reading, 1); // options
  if (count > (uint64_t)(reading->end - reading->at) / 4) {
    reading->broken = 1;
    return;
  }
  out->truncated = dray_str_make(reading->at, count * 4);
}

int32_t pg_message_read(struct dray_str data, struct pg_message *out, struct dray_error *error) {
  static const struct {
    char letter;
    int kind;
    void (*take)(struct reading *, struct pg_message *);
  } kinds[] = {
      {'B', PG_MESSAGE_BEGIN, NULL},
      {'C', PG_MESSAGE_COMMIT, take_commit},
      {'R', PG_MESSAGE_RELATION, take_relation},
      {'I', PG_MESSAGE_INSERT, take_rows},
      {'U', PG_MESSAGE_UPDATE, take_rows},
      {'D', PG_MESSAGE_DELETE, take_rows},
      {'T', PG_MESSAGE_TRUNCATE, take_truncate},
  };
  struct reading reading = {.at = data.data, .end = data.data + data.len};
  const char letter = (char)take(&reading, 1);
  out->kind = PG_MESSAGE_OTHER; // origins, types, messages of applications
  out->old_kind = 0;
  out->old_count = out->new_count = out->column_count = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (kinds[i].letter != letter) continue;
    out->kind = kinds[i].kind;
    if (kinds[i].take != NULL) kinds[i].take(&reading, out);
  }
  if (!reading.broken) return DRAY_OK;
  return dray_fail(error, DRAY_E_INTERNAL, "the server sent a message of %llu bytes that pgoutput does not have",
                   (unsigned long long)data.len);
}

int pg_message_truncates(const struct pg_message *message, Oid relation) {
  for (uint64_t at = 0; at < message->truncated.len; at += 4) {
    if (pg_get32(message->truncated.data + at) == relation) return 1;
  }
  return 0;
}

// ---- places in the log ----

const char *pg_lsn_format(uint64_t lsn, char out[PG_LSN_BYTES]) {
  (void)snprintf(out, PG_LSN_BYTES, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
  return out;
}

int pg_lsn_parse(const char *text, uint64_t *out) {
  static const char digits[] = "0123456789abcdefABCDEF";
  const size_t high = strspn(text, digits);
  if (high == 0 || high > 8 || text[high] != '/') return 0;
  const size_t low = strspn(text + high + 1, digits);
  if (low == 0 || low > 8 || text[high + 1 + low] != '\0') return 0;
  *out = (uint64_t)strtoull(text, NULL, 16) << 32 | (uint64_t)strtoull(text + high + 1, NULL, 16);
  return 1;
}
