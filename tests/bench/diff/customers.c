// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows of the benchmarks' table, computed from their number: nothing is kept, any size streams.
#include "customers.h"

#include <string.h>

const struct dray_column_def bench_columns[BENCH_COLUMNS] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}, 0},          {"email", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"first_name", {DRAY_TYPE_STRING, 0, 0}, 1}, {"last_name", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"city", {DRAY_TYPE_STRING, 0, 0}, 1},       {"country", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"signed_up", {DRAY_TYPE_DATE, 0, 0}, 1},    {"seen_at", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
    {"orders", {DRAY_TYPE_INT64, 0, 0}, 1},      {"revenue", {DRAY_TYPE_DECIMAL, 12, 2}, 1},
    {"score", {DRAY_TYPE_FLOAT64, 0, 0}, 1},     {"subscribed", {DRAY_TYPE_BOOL, 0, 0}, 1},
};

static const char *const first_names[] = {
    "Marlene", "Johannes",  "Sofia",   "Mohammed", "Ines",    "Alexander", "Yuki",   "Priya",
    "Matteo",  "Charlotte", "Nikolai", "Fatima",   "Giulia",  "Sebastian", "Hannah", "Oluwaseun",
    "Camille", "Santiago",  "Astrid",  "Wei",      "Gabriel", "Katarzyna", "Liam",   "Zeynep",
};
static const char *const last_names[] = {
    "Schneider", "Fernandez", "Kowalski",  "Takahashi", "Okonkwo",  "Johansson", "Rossi",  "Papadopoulos",
    "Murphy",    "Nguyen",    "Petrov",    "da Silva",  "Andersen", "Lefebvre",  "Yilmaz", "van den Berg",
    "Hernandez", "Williams",  "Chaudhary", "Novak",     "Karlsson", "Moreau",    "Kim",    "Baumgartner",
};
static const char *const cities[] = {
    "Rotterdam", "Buenos Aires", "Gdansk", "Yokohama", "Lagos",  "Gothenburg",       "Bologna", "Thessaloniki",
    "Cork",      "Haiphong",     "Kazan",  "Recife",   "Aarhus", "Clermont-Ferrand", "Izmir",   "Utrecht",
};
static const char *const countries[] = {"NL", "AR", "PL", "JP", "NG", "SE", "IT", "GR",
                                        "IE", "VN", "RU", "BR", "DK", "FR", "TR", "DE"};
#define PICK(list, number) (list)[(number) % (sizeof(list) / sizeof(list)[0])]

// Which of its columns a change of a row touches, by shares of 16.
static const uint16_t change_masks[16] = {
    [0 ... 9] = 1u << BENCH_ORDERS | 1u << BENCH_REVENUE | 1u << BENCH_SEEN_AT,
    [10 ... 12] = 1u << BENCH_SCORE,
    [13] = 1u << BENCH_CITY | 1u << BENCH_COUNTRY,
    [14] = 1u << BENCH_EMAIL,
    [15] = 1u << BENCH_SUBSCRIBED,
};

static uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 31)) * UINT64_C(0x9E3779B97F4A7C15);
  value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
  return value ^ (value >> 29);
}

// ---- which rows, in which order ----

// A permutation of [0, size): four Feistel rounds over the next power of four, walked until the result is inside.
static uint64_t permute(uint64_t place, uint64_t size, uint64_t seed) {
  unsigned half = 1;
  while (half < 32 && UINT64_C(1) << (2 * half) < size) half++;
  const uint64_t mask = (UINT64_C(1) << half) - 1;
  do {
    uint64_t left = place >> half, right = place & mask;
    for (uint64_t round = 0; round < 4; round++) {
      const uint64_t next = left ^ (mix(right + (round + 1) * seed) & mask);
      left = right;
      right = next;
    }
    place = left << half | right;
  } while (place >= size);
  return place;
}

enum { FATE_SAME, FATE_UPDATE, FATE_DELETE };

// What becomes of a row of version 1.
static int fate(const struct bench_table *table, uint64_t id) {
  const uint64_t dice = mix(id * 2 + table->seed) % 1000;
  if (dice < 10) return FATE_DELETE;
  return dice < 65 ? FATE_UPDATE : FATE_SAME;
}

static uint64_t insert_count(const struct bench_table *table) {
  return table->rows / 100;
}

void bench_table_count(const struct bench_table *table, struct bench_counts *out) {
  struct bench_counts counts = {.inserts = insert_count(table)};
  for (uint64_t id = 1; id <= table->rows; id++) {
    const int what = fate(table, id);
    counts.updates += what == FATE_UPDATE;
    counts.deletes += what == FATE_DELETE;
  }
  counts.unchanged = table->rows - counts.updates - counts.deletes;
  counts.rows = table->version == 1 ? table->rows : table->rows - counts.deletes + counts.inserts;
  *out = counts;
}

// ---- what is in them ----

static struct dray_str of(const char *text) {
  return dray_str_make(text, strlen(text));
}

static void write_email(struct bench_row *row, uint64_t dice) {
  static const char *const hosts[] = {"@example.com", "@example.org", "@mail.example.net", "@shop.example"};
  char *at = row->email;
  const struct dray_str parts[] = {row->text[BENCH_FIRST_NAME - BENCH_EMAIL], row->text[BENCH_LAST_NAME - BENCH_EMAIL]};
  for (size_t i = 0; i < 2; i++) {
    for (uint64_t j = 0; j < parts[i].len; j++) *at++ = parts[i].data[j] == ' ' ? '-' : (char)(parts[i].data[j] | 32);
    *at++ = '.';
  }
  char digits[20];
  size_t count = 0;
  for (uint64_t id = (uint64_t)row->id; id > 0; id /= 36)
    digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[id % 36];
  while (count > 0) *at++ = digits[--count];
  const struct dray_str host = of(PICK(hosts, dice));
  memcpy(at, host.data, host.len);
  row->text[0] = dray_str_make(row->email, (uint64_t)(at - row->email) + host.len);
}

static void make_row(const struct bench_table *table, uint64_t id, struct bench_row *row) {
  const uint64_t seed = mix(id + table->seed * 7919), other = mix(seed);
  const int changed = table->version == 2 && id <= table->rows && fate(table, id) == FATE_UPDATE;
  const unsigned mask = changed ? change_masks[other >> 60] : 0;
  const uint64_t city = (other >> 8 & 0xff) + (mask >> BENCH_CITY & 1);
  row->id = (int64_t)id;
  row->text[BENCH_FIRST_NAME - BENCH_EMAIL] = of(PICK(first_names, seed & 0xffff));
  row->text[BENCH_LAST_NAME - BENCH_EMAIL] = of(PICK(last_names, seed >> 16 & 0xffff));
  row->text[BENCH_CITY - BENCH_EMAIL] = of(PICK(cities, city));
  row->text[BENCH_COUNTRY - BENCH_EMAIL] = of(PICK(countries, city));
  row->signed_up = (int32_t)(16000 + (seed >> 32) % 3600);
  row->seen_at =
      INT64_C(1700000000000000) + (int64_t)(other % 31536000000000u) + (mask >> BENCH_SEEN_AT & 1) * 86400000123;
  row->orders = (int64_t)(seed >> 40 & 63) + (mask >> BENCH_ORDERS & 1);
  row->revenue = (int64_t)((other >> 20) % 1000000) + (mask >> BENCH_REVENUE & 1) * 1999;
  row->score = (double)((seed >> 20) % 1000 + (mask >> BENCH_SCORE & 1)) / 10;
  row->score_is_null = (mask >> BENCH_SCORE & 1) == 0 && (seed >> 52) % 20 == 0;
  row->subscribed = (int)((other >> 17 & 1) ^ (mask >> BENCH_SUBSCRIBED & 1));
  row->hash = mix(seed + (uint64_t)changed);
  write_email(row, (other >> 4 & 3) + (mask >> BENCH_EMAIL & 1));
}

int bench_table_next(struct bench_table *table, struct bench_row *out) {
  const uint64_t places = table->rows + (table->version == 2 ? insert_count(table) : 0);
  while (table->at < places) {
    uint64_t place = table->at++;
    if (table->random_order) place = permute(place, places, mix(table->seed + (uint64_t)table->version));
    const uint64_t id = place + 1;
    if (table->version == 2 && id <= table->rows && fate(table, id) == FATE_DELETE) continue;
    make_row(table, id, out);
    return 1;
  }
  return 0;
}

// ---- as CSV ----

static char *put_number(char *at, uint64_t value, size_t width) { // at least `width` digits
  char digits[20];
  size_t count = 0;
  while (value > 0 || count < width) {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  }
  while (count > 0) *at++ = digits[--count];
  return at;
}

static char *put_text(char *at, struct dray_str text) {
  memcpy(at, text.data, text.len);
  at[text.len] = ',';
  return at + text.len + 1;
}

// Days since 1970 as YYYY-MM-DD; the civil calendar by eras of 400 years.
static char *put_date(char *at, int64_t days) {
  const int64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
  const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t month = (5 * of_year + 2) / 153;
  at = put_number(at, (uint64_t)(year + era * 400 + (month >= 10)), 4);
  *at++ = '-';
  at = put_number(at, (uint64_t)(month < 10 ? month + 3 : month - 9), 2);
  *at++ = '-';
  return put_number(at, (uint64_t)(of_year - (153 * month + 2) / 5 + 1), 2);
}

static char *put_timestamp(char *at, int64_t us) {
  const int64_t seconds = us / 1000000, of_day = seconds % 86400;
  at = put_date(at, seconds / 86400);
  *at++ = 'T';
  at = put_number(at, (uint64_t)(of_day / 3600), 2);
  *at++ = ':';
  at = put_number(at, (uint64_t)(of_day / 60 % 60), 2);
  *at++ = ':';
  at = put_number(at, (uint64_t)(of_day % 60), 2);
  *at++ = '.';
  at = put_number(at, (uint64_t)(us % 1000000), 6);
  *at++ = 'Z';
  return at;
}

size_t bench_row_csv(const struct bench_row *row, char *out) {
  char *at = put_number(out, (uint64_t)row->id, 1);
  *at++ = ',';
  for (size_t i = 0; i < BENCH_TEXTS; i++) at = put_text(at, row->text[i]);
  at = put_date(at, row->signed_up);
  *at++ = ',';
  at = put_timestamp(at, row->seen_at);
  *at++ = ',';
  at = put_number(at, (uint64_t)row->orders, 1);
  *at++ = ',';
  at = put_number(at, (uint64_t)row->revenue / 100, 1);
  *at++ = '.';
  at = put_number(at, (uint64_t)row->revenue % 100, 2);
  *at++ = ',';
  if (!row->score_is_null) {
    const uint64_t tenths = (uint64_t)(row->score * 10 + 0.5);
    at = put_number(at, tenths / 10, 1);
    *at++ = '.';
    at = put_number(at, tenths % 10, 1);
  }
  *at++ = ',';
  at = put_text(at, of(row->subscribed ? "true" : "false"));
  at[-1] = '\n';
  return (size_t)(at - out);
}
