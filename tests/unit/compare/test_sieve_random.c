// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Random files against the oracle: all dialects, odd quoting, every cut of chunks, any memory, any threads.
// DRAY_SIEVE_CASES and DRAY_SIEVE_SEED choose other cases.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
//
#include <cmocka.h>

#include "compare/oracle.h"

#define CASES 400
#define COLUMNS_MAX 5
#define KEYS_MAX 3

static char folder[] = "/tmp/dray-sieve-XXXXXX";
static uint64_t state;

static uint32_t below(uint32_t n) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 33) % n);
}
static int one_in(uint32_t n) {
  return below(n) == 0;
}
#define PICK(list) ((list)[below(sizeof(list) / sizeof((list)[0]))])

// How one case's files look.
struct look {
  char delimiter, quote;
  uint32_t columns, rows, keys;
  uint32_t key_at[KEYS_MAX];
  struct dr_sieve_key keys_of[KEYS_MAX];
  uint32_t wild;       // one value in so many is odd; 0: none
  uint32_t line_ends;  // 0 LF, 1 CRLF, 2 CR, 3 any
  uint32_t key_values; // how many
  int quoted;          // most values are
  uint32_t ordered;    // 1: keys are numbers that grow; 2: texts; 0: in no order
};
static uint32_t ordered_key; // of the record at hand

static void put(struct dray_buffer *out, const char *text) {
  assert_int_equal(dray_buffer_append(out, text, strlen(text), NULL), DRAY_OK);
}
static void put_char(struct dray_buffer *out, char c) {
  assert_int_equal(dray_buffer_append_char(out, c, NULL), DRAY_OK);
}

static void put_line_end(struct dray_buffer *out, const struct look *look) {
  static const char *const ends[] = {"\n", "\r\n", "\r"};
  put(out, ends[look->line_ends < 3 ? look->line_ends : below(3)]);
}

// The pattern with the number, of at least so many digits, in the place of '#'.
static void fill(char *out, size_t size, const char *pattern, uint32_t n, int digits) {
  const int before = (int)strcspn(pattern, "#");
  if (pattern[before] == '\0') {
    (void)snprintf(out, size, "%s", pattern);
  } else {
    (void)snprintf(out, size, "%.*s%0*u%s", before, pattern, digits, n, pattern + before + 1);
  }
}

static void put_key_text(char *out, size_t size, struct dray_type type, const struct look *look) {
  static const char *const reals[] = {"0", "-0", "0.0", "1e2", "100", "NaN", "1.5", "1.50", "2"};
  static const char *const bools[] = {"t", "true", "no", "0", "1", "F"};
  static const char *const odd_numbers[] = {"+#", "0#", "-#", "# ", " #", "#.0", "x#", "#000000000000000000",
                                            "-0", "",   "00"};
  static const char *const decimals[] = {"#.0", "#", "#.00", "0#", "+#.5", "#.5", "#.50"};
  static const char *const moments[] = {"2024-01-#", "2024-01-#T00:00:00Z", "2024-01-# 00:00:00",
                                        "2024-01-#T12:00:00Z"};
  static const char *const texts[] = {"k#", "#", "k# ", "\xC3\xA9#", "", "K#"};
  static const char *const jsons[] = {"{\"a\":#}", "{ \"a\": # }", "[#]"};
  const uint32_t n = look->ordered ? ordered_key : below(look->key_values);
  const char *format = "#";
  if (look->ordered == 2) {
    fill(out, size, "k#", n, 6);
    return;
  }
  switch (type.id) {
  case DRAY_TYPE_INT64:
    if (look->wild && one_in(look->wild)) format = PICK(odd_numbers);
    break;
  case DRAY_TYPE_DECIMAL:
    format = PICK(decimals);
    break;
  case DRAY_TYPE_FLOAT64:
    format = PICK(reals);
    break;
  case DRAY_TYPE_BOOL:
    format = PICK(bools);
    break;
  case DRAY_TYPE_DATE:
    fill(out, size, moments[0], n % 31 + 1, 2);
    return;
  case DRAY_TYPE_TIMESTAMP:
    fill(out, size, PICK(moments), n % 31 + 1, 2);
    return;
  case DRAY_TYPE_JSON:
    format = PICK(jsons);
    break;
  case DRAY_TYPE_BYTES:
    (void)snprintf(out, size, "%04u", n); // four base64 characters
    return;
  default:
    if (look->wild && one_in(look->wild)) format = PICK(texts);
    break;
  }
  fill(out, size, format, n, 1);
}

static void put_value_text(char *out, size_t size, const struct look *look) {
  static const char *const plain[] = {"", "a", "abc", "12", "some text that is longer", "x y"};
  static const char *const odd[] = {
      "\xC3\xA9t\xC3\xA9", "\xFF", "\xEF\xBB\xBF", "\xC3", "NULL", "a\"b", "'", "\"\"\"", "\r", "line\nline", "\r\n\n"};
  (void)snprintf(out, size, "%s", look->wild && one_in(look->wild) ? PICK(odd) : PICK(plain));
}

// Puts a value as a field: as it is, or quoted, or, seldom, in a way that is neither.
static void put_field(struct dray_buffer *out, const char *text, const struct look *look) {
  int must_quote = strpbrk(text, "\r\n") != NULL || strchr(text, look->delimiter) != NULL || text[0] == look->quote;
  if (look->wild && one_in(look->wild * 8)) must_quote = !must_quote;
  if (!must_quote && !(look->quoted ? !one_in(4) : one_in(12))) {
    put(out, text);
    return;
  }
  put_char(out, look->quote);
  for (; *text != '\0'; text++) {
    put_char(out, *text);
    if (*text == look->quote && !(look->wild && one_in(look->wild * 4))) put_char(out, look->quote);
  }
  if (one_in(20)) put_char(out, look->delimiter);
  if (one_in(20)) put(out, look->line_ends == 1 ? "\r\n" : "\n");
  if (!(look->wild && one_in(look->wild * 16))) put_char(out, look->quote);
  if (look->wild && one_in(look->wild * 4)) put(out, "tail");
}

// A key in order is spelt plainly, nearly always: else its order would not be seen.
static void put_key(struct dray_buffer *out, const char *text, const struct look *look) {
  if (!look->ordered || one_in(300)) {
    put_field(out, text, look);
    return;
  }
  const int quoted = one_in(look->quoted ? 2 : 8) || strchr(text, look->delimiter) != NULL;
  if (quoted) put_char(out, look->quote);
  put(out, text);
  if (quoted) put_char(out, look->quote);
}

static void put_record(struct dray_buffer *out, const struct look *look) {
  char text[64];
  uint32_t columns = look->columns;
  if (look->wild && one_in(look->wild * 4)) columns += below(2) ? 1 : 0u - (columns > 1);
  for (uint32_t i = 0; i < columns; i++) {
    uint32_t key = 0;
    if (i > 0) put_char(out, look->delimiter);
    while (key < look->keys && look->key_at[key] != i) key++;
    if (key < look->keys) {
      put_key_text(text, sizeof(text), look->keys_of[key].type, look);
      put_key(out, text, look);
    } else {
      put_value_text(text, sizeof(text), look);
      put_field(out, text, look);
    }
  }
  if (look->wild && one_in(look->wild * 16)) put_char(out, '\0');
}

static void choose_look(struct look *look, int large) {
  static const char delimiters[] = {',', ',', ';', '\t', '|', '1', '-', ' '};
  static const char quotes[] = {'"', '"', '"', '\''};
  static const struct dray_type types[] = {
      {DRAY_TYPE_INT64, 0, 0},   {DRAY_TYPE_INT64, 0, 0},    {DRAY_TYPE_INT64, 0, 0}, {DRAY_TYPE_STRING, 0, 0},
      {DRAY_TYPE_STRING, 0, 0},  {DRAY_TYPE_DECIMAL, 20, 2}, {DRAY_TYPE_DATE, 0, 0},  {DRAY_TYPE_TIMESTAMP, 0, 0},
      {DRAY_TYPE_FLOAT64, 0, 0}, {DRAY_TYPE_BOOL, 0, 0},     {DRAY_TYPE_JSON, 0, 0},  {DRAY_TYPE_BYTES, 0, 0}};
  static const char *const names[] = {"c0", "c1", "c2", "c3", "c4"};
  memset(look, 0, sizeof(*look));
  look->delimiter = PICK(delimiters);
  look->quote = PICK(quotes);
  look->columns = 1 + below(COLUMNS_MAX);
  look->rows = large ? 9000 + below(9000) : one_in(4) ? below(400) : below(60);
  look->wild = one_in(3) ? 0 : 1 + below(30);
  look->line_ends = one_in(2) ? 0 : below(4);
  look->key_values = 1 + (one_in(4) ? below(10) : below(3 * look->rows + 5));
  look->quoted = one_in(4);
  look->keys = 1 + (one_in(3) ? below(look->columns < KEYS_MAX ? look->columns : KEYS_MAX) : 0);
  for (uint32_t i = 0; i < look->keys; i++) {
    uint32_t k = 0;
    look->key_at[i] = below(look->columns);
    while (k < i && look->key_at[k] != look->key_at[i]) k++;
    if (k < i) {
      i--;
      continue;
    }
    look->keys_of[i] = (struct dr_sieve_key){names[look->key_at[i]], PICK(types)};
  }
  look->ordered = one_in(3) ? 1 + below(2) : 0;
  if (look->ordered) {
    look->keys = 1;
    look->keys_of[0].type.id = look->ordered == 2 || one_in(2) ? DRAY_TYPE_STRING : DRAY_TYPE_INT64;
  }
}

// NEW has most of OLD's records, in another order now and then, some twice, and some of its own.
static void make_files(const struct look *look, int header, struct dray_buffer files[2]) {
  struct dray_buffer *records = calloc(look->rows + 1, sizeof(*records));
  assert_non_null(records);
  for (int side = 0; side < 2; side++) {
    if (one_in(6)) put(&files[side], "\xEF\xBB\xBF");
    if (header) {
      for (uint32_t i = 0; i < look->columns; i++) {
        const char name[] = {'c', (char)('0' + i), '\0'};
        if (i > 0) put_char(&files[side], look->delimiter);
        if (look->delimiter != '1' && !one_in(8)) {
          put(&files[side], name);
        } else {
          put_char(&files[side], look->quote);
          put(&files[side], name);
          put_char(&files[side], look->quote);
        }
      }
      put_line_end(&files[side], look);
    }
    const int other_order = side == 1 && one_in(look->ordered ? 20 : 3);
    const uint32_t end = look->ordered && one_in(2) ? below(look->rows + 1) : look->rows; // the rest is the other one's
    for (uint32_t i = 0; i < look->rows; i++) {
      struct dray_buffer *record = &records[other_order ? look->rows - 1 - i : i];
      ordered_key = i * 3 + below(3);
      if (side == 0 || one_in(12)) {
        dray_buffer_clear(record);
        record->max = 1 << 16;
        put_record(record, look);
      }
      if (i >= end || (side == 1 && one_in(20))) continue;
      const uint32_t copies = one_in(look->ordered ? 3000 : 30) ? 2 + below(3) : 1;
      for (uint32_t k = 0; k < copies; k++) {
        assert_int_equal(dray_buffer_append(&files[side], record->data, record->len, NULL), DRAY_OK);
        put_line_end(&files[side], look);
        if (look->wild && one_in(20)) put_line_end(&files[side], look);
      }
    }
    if (one_in(3)) { // no line end at the end
      while (files[side].len > 0 &&
             (files[side].data[files[side].len - 1] == '\n' || files[side].data[files[side].len - 1] == '\r')) {
        files[side].len--;
      }
    }
  }
  for (uint32_t i = 0; i < look->rows; i++) dray_buffer_free(&records[i]);
  free(records);
}

static void write_file(const char *path, const struct dray_buffer *content) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  if (content->len > 0) assert_int_equal(fwrite(content->data, 1, content->len, file), content->len);
  assert_int_equal(fclose(file), 0);
}

static void assert_rest(const struct dr_sieve_side *side, const struct oracle_side *wanted) {
  FILE *file = fopen(side->rest_path, "rb");
  assert_non_null(file);
  char *data = malloc(wanted->rest.len + 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, wanted->rest.len + 1, file), wanted->rest.len);
  assert_int_equal(memcmp(data, wanted->rest.data != NULL ? wanted->rest.data : "", wanted->rest.len), 0);
  assert_int_equal(side->rest_bytes, wanted->rest.len);
  assert_int_equal(side->rows, wanted->count);
  free(data);
  (void)fclose(file);
}

// Reads the rest file as its user would and asks where each record comes from.
static void assert_origins(struct dr_sieve *sieve, int at, const struct dr_sieve_options *options,
                           const struct oracle_side *wanted) {
  struct dray_csv_options csv = options->csv;
  struct dray_csv_reader *reader = NULL;
  struct dray_csv_record record;
  struct dr_sieve_origin origin;
  int header = options->header;
  size_t next = 0;
  csv.record_bytes_max = 1 << 30;
  assert_int_equal(dray_csv_reader_new(&csv, &reader, NULL), DRAY_OK);
  for (size_t from = 0;;) {
    size_t used = 0;
    int32_t got = 0;
    assert_int_equal(
        dray_csv_reader_feed(reader, wanted->rest.data + from, wanted->rest.len - from, 1, &used, &record, &got, NULL),
        DRAY_OK);
    from += used;
    if (!got) break;
    if (header) {
      header = 0;
      continue;
    }
    while (wanted->records[next].settled) next++;
    if (next < 40 || one_in(50)) {
      assert_int_equal(dr_sieve_origin(sieve, at, record.line, &origin, NULL), DRAY_OK);
      assert_int_equal(origin.byte_offset, wanted->records[next].offset);
      assert_int_equal(origin.line, wanted->records[next].line);
    }
    next++;
  }
  dray_csv_reader_free(reader);
}

static void run_case(uint64_t seed, uint64_t counts[5]) {
  static const char *const nulls[] = {"", "NULL", "0", "7"};
  static const char *const names[] = {"c0", "c1", "c2", "c3", "c4"};
  struct look look;
  struct dray_buffer files[2];
  char paths[2][64];
  struct dray_error error;
  struct dr_sieve *sieve = NULL;
  struct oracle oracle;
  state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  const int large = one_in(100);
  choose_look(&look, large);
  struct dr_sieve_options options = {.temp_folder = folder,
                                     .csv = {.delimiter = look.delimiter, .quote = look.quote},
                                     .header = one_in(2),
                                     .keys = look.keys_of,
                                     .key_count = look.keys,
                                     .no_merge = one_in(6),
                                     .rest_memory_bytes = one_in(2) ? below(5000) : 0,
                                     .memory_bytes = one_in(3)    ? 1
                                                     : one_in(20) ? 0
                                                                  : 1 << 20,
                                     .threads = 1 + below(4),
                                     .chunk_bytes = large       ? 1000 + below(9000)
                                                    : one_in(3) ? 0
                                                                : 1 + below(one_in(2) ? 300 : 20)};
  if (!options.header) {
    options.columns = names;
    options.column_count = look.columns;
  }
  if (one_in(3)) {
    options.null_values = nulls;
    options.null_count = below(5);
  }
  if (one_in(10)) options.csv.field_bytes_max = 2 + below(100); // the names of the header have 2
  if (one_in(10)) options.csv.record_bytes_max = 30 + below(200);
  for (int i = 0; i < 2; i++) {
    dray_buffer_init(&files[i], SIZE_MAX / 2);
    (void)snprintf(paths[i], sizeof(paths[i]), "%s/%s.csv", folder, i == 0 ? "old" : "new");
    options.paths[i] = paths[i];
  }
  make_files(&look, options.header, files);
  write_file(paths[0], &files[0]);
  write_file(paths[1], &files[1]);
  const struct dray_str views[2] = {dray_buffer_view(&files[0]), dray_buffer_view(&files[1])};
  oracle_make(&options, look.columns, look.key_at, views, &oracle);
  dray_error_init(&error);
  if (dr_sieve_run(&options, &sieve, &error) != DRAY_OK)
    fail_msg("case %llu: %s", (unsigned long long)seed, error.text);
  const struct dr_sieve_result *result = dr_sieve_result(sieve);
  if (result->sievable && one_in(2)) assert_int_equal(dr_sieve_rest_to_memory(sieve, UINT64_MAX / 2, NULL), DRAY_OK);
  if (result->sievable) assert_int_equal(dr_sieve_rest_to_files(sieve, NULL), DRAY_OK);
  if (result->sievable != oracle.sievable || (oracle.sievable && result->unchanged != oracle.unchanged)) {
    fail_msg("case %llu: sievable %d %d (%s), unchanged %llu %llu", (unsigned long long)seed, result->sievable,
             oracle.sievable, result->reason, (unsigned long long)result->unchanged,
             (unsigned long long)oracle.unchanged);
  }
  for (int i = 0; i < 2 && result->sievable; i++) {
    assert_rest(&result->sides[i], &oracle.sides[i]);
    assert_origins(sieve, i, &options, &oracle.sides[i]);
  }
  counts[0] += (uint64_t)result->sievable;
  counts[1] += result->unchanged;
  counts[2] += result->sides[0].rest_rows + result->sides[1].rest_rows;
  counts[3] += (uint64_t)result->spilled;
  counts[4] += (uint64_t)result->merged;
  dr_sieve_free(sieve);
  oracle_free(&oracle);
  dray_buffer_free(&files[0]);
  dray_buffer_free(&files[1]);
  (void)unlink(paths[0]);
  (void)unlink(paths[1]);
}

static void test_every_case_leaves_what_the_oracle_leaves(void **unused) {
  (void)unused;
  const char *cases = getenv("DRAY_SIEVE_CASES"), *seed = getenv("DRAY_SIEVE_SEED");
  const uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : 1;
  const uint64_t count = cases != NULL ? strtoull(cases, NULL, 10) : CASES;
  uint64_t counts[5] = {0};
  for (uint64_t i = first; i < first + count; i++) {
    if (getenv("DRAY_SIEVE_SHOW") != NULL) (void)fprintf(stderr, "case %llu\n", (unsigned long long)i);
    run_case(i, counts);
  }
  (void)printf("%llu cases: %llu sievable, %llu spilled, %llu merged, %llu records settled, %llu in the rest\n",
               (unsigned long long)count, (unsigned long long)counts[0], (unsigned long long)counts[3],
               (unsigned long long)counts[4], (unsigned long long)counts[1], (unsigned long long)counts[2]);
  if (count < CASES) return;
  assert_true(counts[0] > count / 2 && counts[1] > 10 * count && counts[2] > 10 * count && counts[3] > 0 &&
              counts[4] > count / 20); // they say something
}

static int setup(void **unused) {
  (void)unused;
  return mkdtemp(folder) != NULL ? 0 : -1;
}

// Nothing may be left behind.
static int teardown(void **unused) {
  (void)unused;
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_case_leaves_what_the_oracle_leaves)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
