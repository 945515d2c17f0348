// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How fast JSON becomes columns, next to bare yajl on the same bytes: JSON Lines of a shop's customers and orders,
// made in memory, fed in pieces of 64 KiB to yajl with callbacks that do nothing and to dray_json_rows with twelve
// columns, in turn. The median of the rounds counts. Usage: bench_json_rows [megabytes [rounds]]
// Of a file's own lines (its first 200 MB) and columns, as tools/bench vendors does:
// bench_json_rows --file PATH ROUNDS MEMBER.MEMBER:TYPE ..., where TYPE is s, i, f, b, t (a time) or j (JSON).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yajl/yajl_parse.h>

#include "dray/sdk/json.h"

#define PIECE_BYTES (64 * 1024)
#define BATCH_BYTES (1024 * 1024)
#define ROUNDS_MAX 99
#define BAR 0.5
#define FILE_BYTES_MAX (200u * 1000u * 1000u)
#define COLUMNS_MAX 200

static void give_up(const char *what, const struct dray_error *error) {
  fprintf(stderr, "bench_json_rows: %s: %s\n", what, error->text);
  exit(1);
}

// CPU time: both run on one thread and neither waits, and what else the machine does is not their doing.
static double now_s(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// ---- the data ----

static uint32_t random_below(uint32_t n) {
  static uint64_t state = 42;
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 33) % n);
}

static const char *const first_names[] = {"Ada",  "Bj\xC3\xB6rn", "Chlo\xC3\xA9", "David",
                                          "Elif", "Farah",        "Giulia",       "Hiro"};
static const char *const last_names[] = {"M\xC3\xBCller", "Smith", "Garcia",  "Okafor",
                                         "Tanaka",        "Novak", "O'Brien", "Larsen"};
static const char *const products[] = {"WHITE HANGING HEART T-LIGHT HOLDER",
                                       "REGENCY CAKESTAND 3 TIER",
                                       "JUMBO BAG RED RETROSPOT",
                                       "PARTY BUNTING",
                                       "LUNCH BAG RED RETROSPOT",
                                       "ASSORTED COLOUR BIRD ORNAMENT"};
static const char *const notes[] = {"null", "\"\"", "\"Please leave with the neighbour\"",
                                    "\"Gift wrap:\\n\\\"With love\\\", from all of us\"",
                                    "\"ring twice \\u2013 thanks\""};
#define PICK(list) ((list)[random_below(sizeof(list) / sizeof((list)[0]))])

static int32_t append_lines(struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, ",\"line_items\":[", error));
  const uint32_t count = 1 + random_below(3);
  for (uint32_t i = 0; i < count; i++) {
    DRAY_TRY(dray_buffer_printf(
        out, error,
        "%s{\"id\":%" PRIu64 ",\"sku\":\"%05u%c\",\"title\":\"%s\",\"quantity\":%u,\"price\":\"%u.%02u\","
        "\"taxable\":true,\"properties\":[]}",
        i > 0 ? "," : "", UINT64_C(466157049) * 1000 + random_below(1000000), random_below(90000),
        (char)('A' + random_below(26)), PICK(products), 1 + random_below(24), random_below(90), random_below(100)));
  }
  return dray_buffer_append_str(out, "]}\n", error);
}

static int32_t append_order(struct dray_buffer *out, uint64_t number, struct dray_error *error) {
  const char *first = PICK(first_names);
  const char *last = PICK(last_names);
  const uint32_t customer = random_below(50000);
  DRAY_TRY(dray_buffer_printf(
      out, error,
      "{\"id\":%" PRIu64 ",\"admin_graphql_api_id\":\"gid://shopify/Order/%" PRIu64 "\",\"name\":\"#%" PRIu64
      "\",\"created_at\":\"2024-%02u-%02uT%02u:%02u:%02u+01:00\",\"test\":%s,\"currency\":\"GBP\",\"total_price\":\"%u."
      "%02u\","
      "\"total_tax\":\"%u.%02u\",\"total_weight\":%u,\"score\":%u.%u,\"note\":%s,\"tags\":[\"vip\",\"wholesale\"],"
      "\"customer\":{\"id\":%u,\"email\":\"customer%u@example.com\",\"first_name\":\"%s\",\"last_name\":\"%s\","
      "\"orders_count\":%u,"
      "\"default_address\":{\"address1\":\"%u High Street\",\"city\":\"London\",\"zip\":\"N%u "
      "4AB\",\"country_code\":\"GB\"}}",
      UINT64_C(450789469) * 10000 + number, number, number, 1 + random_below(12), 1 + random_below(28),
      random_below(24), random_below(60), random_below(60), random_below(10) == 0 ? "true" : "false",
      random_below(1000), random_below(100), random_below(100), random_below(100), random_below(9000), random_below(10),
      random_below(1000), PICK(notes), customer, customer, first, last, random_below(60), 1 + random_below(300),
      1 + random_below(20)));
  return append_lines(out, error);
}

// ---- bare yajl ----

static int nothing(void *ctx) {
  return ctx == NULL;
}
static int nothing_bool(void *ctx, int value) {
  return ctx == NULL || value;
}
static int nothing_text(void *ctx, const char *text, size_t len) {
  return ctx == NULL || (text != NULL && len > 0);
}
static int nothing_bytes(void *ctx, const unsigned char *text, size_t len) {
  return ctx == NULL || (text != NULL && len > 0);
}

static double parse_bare(const char *data, size_t len) {
  const yajl_callbacks callbacks = {.yajl_null = nothing,
                                    .yajl_boolean = nothing_bool,
                                    .yajl_number = nothing_text,
                                    .yajl_string = nothing_bytes,
                                    .yajl_start_map = nothing,
                                    .yajl_map_key = nothing_bytes,
                                    .yajl_end_map = nothing,
                                    .yajl_start_array = nothing,
                                    .yajl_end_array = nothing};
  const double begin = now_s();
  yajl_handle handle = yajl_alloc(&callbacks, NULL, NULL);
  (void)yajl_config(handle, yajl_allow_multiple_values, 1);
  (void)yajl_config(handle, yajl_dont_validate_strings, 1); // as we run it: the faster way
  yajl_status status = yajl_status_ok;
  for (size_t at = 0; at < len && status == yajl_status_ok; at += PIECE_BYTES) {
    const size_t n = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
    status = yajl_parse(handle, (const unsigned char *)data + at, n);
  }
  if (status == yajl_status_ok) status = yajl_complete_parse(handle);
  yajl_free(handle);
  if (status != yajl_status_ok) {
    fprintf(stderr, "bench_json_rows: yajl refused the data\n");
    exit(1);
  }
  return now_s() - begin;
}

// ---- into columns ----

struct column {
  const char *path;
  struct dray_type type;
};

static const struct column of_orders[] = {
    {"id", {DRAY_TYPE_INT64, 0, 0}},
    {"name", {DRAY_TYPE_STRING, 0, 0}},
    {"created_at", {DRAY_TYPE_TIMESTAMP, 0, 0}},
    {"test", {DRAY_TYPE_BOOL, 0, 0}},
    {"total_price", {DRAY_TYPE_DECIMAL, 12, 2}},
    {"score", {DRAY_TYPE_FLOAT64, 0, 0}},
    {"note", {DRAY_TYPE_STRING, 0, 0}},
    {"customer.id", {DRAY_TYPE_INT64, 0, 0}},
    {"customer.email", {DRAY_TYPE_STRING, 0, 0}},
    {"customer.default_address.city", {DRAY_TYPE_STRING, 0, 0}},
    {"line_items[0].sku", {DRAY_TYPE_STRING, 0, 0}},
    {"line_items", {DRAY_TYPE_JSON, 0, 0}},
};

static uint64_t release_batch(struct dray_builder *builder) {
  struct ArrowArray array;
  struct dray_error error;
  if (dray_builder_finish(builder, &array, &error) != DRAY_OK) give_up("finish", &error);
  const uint64_t rows = array.release != NULL ? (uint64_t)array.length : 0;
  dray_array_release(&array);
  return rows;
}

static uint64_t feed_all(struct dray_json_rows *rows, struct dray_builder *builder, const char *data, size_t len) {
  uint64_t told = 0;
  struct dray_error error;
  for (size_t at = 0; at < len;) {
    const size_t n = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
    size_t used = 0;
    int32_t full = 0;
    if (dray_json_rows_feed(rows, data + at, n, at + n == len, &used, &full, &error) != DRAY_OK)
      give_up("feed", &error);
    at += used;
    if (full) told += release_batch(builder);
  }
  return told + release_batch(builder);
}

static double parse_rows(const char *data, size_t len, uint64_t expected, const struct column *wanted, size_t count) {
  struct dray_column_def columns[COLUMNS_MAX];
  struct dray_json_field fields[COLUMNS_MAX];
  const struct dray_json_rows_options options = {.lines = 1};
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_json_rows *rows = NULL;
  struct dray_error error;
  for (size_t i = 0; i < count; i++) {
    columns[i] = (struct dray_column_def){wanted[i].path, wanted[i].type, 1};
    fields[i] = (struct dray_json_field){wanted[i].path, i};
  }
  const double begin = now_s();
  if (dray_schema_make(columns, count, &schema, &error) != DRAY_OK) give_up("schema", &error);
  if (dray_builder_new(&schema, 0, BATCH_BYTES, &builder, &error) != DRAY_OK) give_up("builder", &error);
  if (dray_json_rows_new(fields, count, &options, builder, &rows, &error) != DRAY_OK) give_up("reader", &error);
  const uint64_t told = feed_all(rows, builder, data, len);
  const double seconds = now_s() - begin;
  if (told != expected) {
    fprintf(stderr, "bench_json_rows: %" PRIu64 " rows instead of %" PRIu64 "\n", told, expected);
    exit(1);
  }
  dray_json_rows_free(rows);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return seconds;
}

// ---- the measurement ----

static int compare_seconds(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *seconds, size_t count) {
  qsort(seconds, count, sizeof(*seconds), compare_seconds);
  return seconds[count / 2];
}

static size_t argument(int argc, char **argv, int i, size_t otherwise, size_t max) {
  const unsigned long value = argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
  return value >= 1 && value <= max ? value : otherwise;
}

static void measure(const struct dray_buffer *data, uint64_t rows, size_t rounds, const struct column *columns,
                    size_t column_count) {
  double bare[ROUNDS_MAX];
  double ours[ROUNDS_MAX];
  for (size_t i = 0; i < rounds; i++) {
    bare[i] = parse_bare(data->data, data->len);
    ours[i] = parse_rows(data->data, data->len, rows, columns, column_count);
  }
  const double mb = (double)data->len / 1e6;
  const double ours_mb_s = mb / median(ours, rounds);
  const double peer_mb_s = mb / median(bare, rounds);
  const double ratio = ours_mb_s / peer_mb_s;
  printf("{\"bench\":\"json_rows\",\"mb\":%.1f,\"ours_mb_s\":%.1f,\"peer\":\"yajl\",\"peer_mb_s\":%.1f,\"ratio\":%.3f,"
         "\"bar\":%.1f,\"held\":%s}\n",
         mb, ours_mb_s, peer_mb_s, ratio, BAR, ratio >= BAR ? "true" : "false");
}

// ---- of a file ----

static struct column column_of(char *argument) {
  static const struct {
    char letter;
    struct dray_type type;
  } types[] = {{'s', {DRAY_TYPE_STRING, 0, 0}}, {'i', {DRAY_TYPE_INT64, 0, 0}},     {'f', {DRAY_TYPE_FLOAT64, 0, 0}},
               {'b', {DRAY_TYPE_BOOL, 0, 0}},   {'t', {DRAY_TYPE_TIMESTAMP, 0, 0}}, {'j', {DRAY_TYPE_JSON, 0, 0}}};
  char *colon = strrchr(argument, ':');
  for (size_t i = 0; colon != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
    if (types[i].letter != colon[1]) continue;
    *colon = '\0';
    return (struct column){argument, types[i].type};
  }
  fprintf(stderr, "bench_json_rows: '%s' is not MEMBER:TYPE\n", argument);
  exit(1);
}

// The first whole lines of the file; gives how many they are.
static uint64_t read_lines(const char *path, struct dray_buffer *out) {
  FILE *file = fopen(path, "rb");
  char piece[PIECE_BYTES];
  struct dray_error error;
  size_t n = 0;
  while (file != NULL && out->len + sizeof(piece) < FILE_BYTES_MAX && (n = fread(piece, 1, sizeof(piece), file)) > 0) {
    if (dray_buffer_append(out, piece, n, &error) != DRAY_OK) give_up("file", &error);
  }
  if (file != NULL) (void)fclose(file);
  while (out->len > 0 && out->data[out->len - 1] != '\n') out->len--;
  uint64_t lines = 0;
  for (size_t i = 0; i < out->len; i++) lines += out->data[i] == '\n';
  if (lines == 0) {
    fprintf(stderr, "bench_json_rows: no lines in %s\n", path);
    exit(1);
  }
  return lines;
}

int main(int argc, char **argv) {
  struct dray_buffer data;
  if (argc > 4 && argc <= 4 + COLUMNS_MAX && strcmp(argv[1], "--file") == 0) {
    struct column columns[COLUMNS_MAX];
    for (int i = 4; i < argc; i++) columns[i - 4] = column_of(argv[i]);
    dray_buffer_init(&data, FILE_BYTES_MAX);
    const uint64_t rows = read_lines(argv[2], &data);
    measure(&data, rows, argument(argc, argv, 3, 3, ROUNDS_MAX), columns, (size_t)argc - 4);
    dray_buffer_free(&data);
    return 0;
  }
  const size_t megabytes = argument(argc, argv, 1, 100, 1000);
  struct dray_error error;
  dray_buffer_init(&data, (megabytes + 1) << 20);
  uint64_t rows = 0;
  while (data.len < megabytes * 1000000) {
    if (append_order(&data, ++rows, &error) != DRAY_OK) give_up("data", &error);
  }
  measure(&data, rows, argument(argc, argv, 2, 5, ROUNDS_MAX), of_orders, sizeof(of_orders) / sizeof(of_orders[0]));
  dray_buffer_free(&data);
  return 0;
}
