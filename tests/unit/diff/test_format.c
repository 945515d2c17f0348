// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A second reader of the files, written from core/diff/README.md and with none of the engine's code: what the page says
// is what is on the disk. A change of the format that is no new version fails here.
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/file.h"
#include "diff/mirror.h"
#include "world.h"

#define ROWS_COUNT 300

static struct world world;
static int mixed; // the key is an integer

struct file {
  uint8_t *data;
  size_t len;
};

static struct file load(const char *name) {
  struct dray_buffer content;
  char *path = name[0] == '/' ? dray_str_dup(dray_str_of(name)) : dr_path_join(world.folder, name);
  assert_non_null(path);
  dray_buffer_init(&content, 64u << 20);
  assert_ok(&world, dr_file_read(path, 32u << 20, &content, &world.error));
  free(path);
  return (struct file){(uint8_t *)content.data, content.len};
}

static uint64_t u64(const uint8_t *at) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
  return value;
}
static uint32_t u32(const uint8_t *at) {
  return (uint32_t)(u64(at) & UINT32_MAX);
}
static uint64_t sum(const void *data, size_t len, uint64_t seed) {
  return XXH3_64bits_withSeed(data, len, seed);
}

// Checks the header; returns where it ends. *out_twin, *out_sum: parts of it.
static size_t read_header(const struct file *file, const char *magic, uint64_t number, uint64_t *out_twin,
                          uint64_t *out_sum) {
  const uint32_t len = u32(file->data + 12);
  const uint8_t *body = file->data + 16;
  assert_memory_equal(file->data, magic, 8);
  assert_int_equal(u32(file->data + 8), 2);
  *out_sum = u64(body + len);
  assert_true(*out_sum == sum(body, len, sum(file->data, 16, 0)));
  assert_int_equal(u64(body), number);
  const uint64_t seed = world.seed;
  assert_true(u64(body + 16) == (sum(&seed, 8, 0x5EED1D) & UINT32_MAX));
  *out_twin = u64(body + 24);
  assert_int_equal(u32(body + 32), 2); // encoding
  assert_int_equal(u32(body + 36), (uint32_t)world.keep);
  assert_int_equal(u32(body + 40), mixed);
  assert_int_equal(u32(body + 44), 1); // one key column
  const uint32_t name = u32(body + 48);
  assert_int_equal(name, strlen(world.key[0]));
  assert_memory_equal(body + 52, world.key[0], name);
  const uint32_t json = u32(body + 52 + name);
  assert_int_equal(56 + name + json, len);
  assert_non_null(memmem(body + 56 + name, json, "\"name\":\"qty\"", 12));
  return 16 + len + 8;
}

struct block {
  uint32_t kind, count;
  uint64_t first, sum;
  uint8_t *raw; // owned
  uint32_t raw_bytes;
  size_t end;
};

static struct block read_block(const struct file *file, size_t at) {
  const uint8_t *head = file->data + at;
  const uint32_t stored = u32(head + 8);
  struct block block = {.kind = u32(head),
                        .count = u32(head + 24),
                        .first = u64(head + 16),
                        .sum = u64(head + 32 + stored),
                        .raw_bytes = u32(head + 12),
                        .end = at + 32 + stored + 8};
  assert_true(block.sum == sum(head, 32 + stored, at));
  block.raw = malloc(block.raw_bytes + 1);
  assert_non_null(block.raw);
  if (u32(head + 4) == 1) {
    assert_int_equal(ZSTD_decompress(block.raw, block.raw_bytes, head + 32, stored), block.raw_bytes);
  } else {
    assert_int_equal(stored, block.raw_bytes);
    memcpy(block.raw, head + 32, stored);
  }
  return block;
}

// Record `slot` of a block of rows.
static struct dray_str record(const struct block *block, uint32_t slot) {
  const uint8_t *at = block->raw;
  uint64_t begin = 0, length = 0, mine = 0;
  for (uint32_t i = 0; i < block->count; i++) {
    unsigned shift = 0;
    length = 0;
    do length |= (uint64_t)(*at & 127) << shift, shift += 7;
    while (*at++ >= 128);
    if (i < slot) begin += length;
    if (i == slot) mine = length;
  }
  assert_true(begin + mine <= block->raw_bytes - (size_t)(at - block->raw));
  return dray_str_make((const char *)at + begin, mine);
}

// ---- rows as the page says they are encoded ----

#define NAME_BYTES 1200
#define ROW_BYTES (9 + 3 + NAME_BYTES + 9)

static size_t encode_integer(uint64_t value, uint8_t *out) {
  out[0] = 0x12;
  memcpy(out + 1, &value, 8);
  return 9;
}

// The name of row `number`: its square, with zeros before it.
static size_t encode_name(size_t number, uint8_t *out) {
  char text[NAME_BYTES + 1];
  assert_int_equal(snprintf(text, sizeof text, "%01200zu", number * number), NAME_BYTES);
  memcpy(out, "\x15\xb0\x09", 3);
  memcpy(out + 3, text, NAME_BYTES);
  return 3 + NAME_BYTES;
}

static uint32_t column_hash(const uint8_t *value, size_t len) {
  const uint32_t hash = (uint32_t)sum(value, len, world.seed);
  return hash == 0 ? 1 : hash;
}

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 27)) * UINT64_C(0x3c79ac492ba7b653);
  x = (x ^ (x >> 33)) * UINT64_C(0x1c69b3f74ac4ae35);
  return x ^ (x >> 27);
}

struct expected {
  uint64_t high, low, row_hash;
  uint8_t payload[ROW_BYTES];
  size_t payload_bytes;
};

static void expect_row(size_t number, uint64_t qty, struct expected *out) {
  uint8_t row[ROW_BYTES];
  const size_t id = encode_integer(number, row), name = encode_name(number, row + id);
  const size_t end = encode_integer(qty, row + id + name), key = mixed ? 0 : name;
  out->row_hash = sum(row, id + name + end, world.seed);
  if (mixed) {
    out->high = mix((uint64_t)number ^ mix(world.seed + UINT64_C(0x9e3779b97f4a7c15)));
    out->low = 0;
  } else {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(row + id, name, world.seed);
    out->high = hash.high64;
    out->low = hash.low64;
  }
  if (world.keep == DR_KEEP_ROW) {
    memcpy(out->payload, row, sizeof row);
    out->payload_bytes = sizeof row;
    return;
  }
  const uint32_t hashes[] = {column_hash(row, id), column_hash(row + id, name), column_hash(row + id + name, end)};
  const size_t columns = world.keep == DR_KEEP_COLUMNS ? sizeof hashes : 0;
  memcpy(out->payload, hashes, columns);
  memcpy(out->payload + columns, row + id, key);
  out->payload_bytes = columns + key;
}

static int by_key(const void *a, const void *b) {
  const struct expected *left = a, *right = b;
  return left->high < right->high ? -1 : left->high > right->high;
}

// Where the qty of an encoded row (id, name, qty) stands: each an int64 or text behind its tag.
static int64_t qty_of(struct dray_str row) {
  int64_t value;
  memcpy(&value, row.data + row.len - 8, 8);
  return value;
}

struct footer {
  uint64_t values[16];
};
static struct footer read_footer(const struct file *file) {
  struct footer footer;
  const size_t at = file->len - 128;
  assert_memory_equal(file->data + at, "DRAYFOOT", 8);
  for (size_t i = 0; i < 16; i++) footer.values[i] = u64(file->data + at + 8 * i);
  assert_int_equal(footer.values[12], file->len);
  assert_int_equal(footer.values[13], 2);
  assert_true(footer.values[15] == sum(file->data + at, 120, at));
  return footer;
}

// Walks all blocks: payloads, then entries, in one order; then the directories.
static uint64_t walk_base(const struct file *file, size_t at, uint64_t header_sum, const struct footer *footer) {
  struct expected *rows = calloc(ROWS_COUNT, sizeof *rows);
  uint64_t pair[2] = {0, header_sum}, records = 0, entries = 0, keys = 0, places = 0, row_blocks = 0;
  const size_t width = mixed ? 16 : 24, key_width = mixed ? 8 : 16;
  assert_non_null(rows);
  for (size_t i = 0; i < ROWS_COUNT; i++) expect_row(i, i, &rows[i]);
  qsort(rows, ROWS_COUNT, sizeof *rows, by_key);
  for (;;) {
    pair[0] = sum(pair, 16, 0);
    if (at == file->len - 128) break;
    struct block block = read_block(file, at);
    if (block.kind == 1) {
      assert_int_equal(block.first, records);
      for (uint32_t slot = 0; slot < block.count; slot++, records++) {
        const struct dray_str payload = record(&block, slot);
        assert_int_equal(payload.len, rows[records].payload_bytes);
        assert_memory_equal(payload.data, rows[records].payload, payload.len);
      }
      row_blocks++;
    } else if (block.kind == 2) {
      assert_int_equal(at, footer->values[5] + entries / 256 * (40 + 256 * width));
      assert_int_equal(block.first, entries);
      assert_int_equal(block.raw_bytes, block.count * width);
      for (uint32_t i = 0; i < block.count; i++, entries++) {
        assert_true(u64(block.raw + width * i) == rows[entries].high);
        if (!mixed) assert_true(u64(block.raw + width * i + 8) == rows[entries].low);
        assert_true(u64(block.raw + width * i + width - 8) == rows[entries].row_hash);
      }
    } else if (block.kind == 3) {
      assert_int_equal(at, footer->values[7]);
      for (uint32_t i = 0; i < block.count; i++, keys++) {
        assert_true(u64(block.raw + key_width * i) == rows[keys * 256].high);
        if (!mixed) assert_true(u64(block.raw + key_width * i + 8) == rows[keys * 256].low);
      }
    } else {
      assert_int_equal(block.kind, 4);
      assert_int_equal(at, footer->values[3]);
      places += block.count;
    }
    pair[1] = block.sum;
    at = block.end;
    free(block.raw);
  }
  const int has_rows = world.keep != DR_KEEP_KEY || !mixed;
  assert_int_equal(records, has_rows ? ROWS_COUNT : 0);
  assert_int_equal(places, row_blocks);
  assert_int_equal(footer->values[4], places);
  assert_int_equal(entries, ROWS_COUNT);
  assert_int_equal(keys, 2);
  free(rows);
  return pair[0];
}

static void test_base_and_head_are_as_the_page_says(void **state) {
  (void)state;
  char text[512], summed[64];
  uint64_t twin = 0, header_sum = 0;
  struct file file = load("base.2");
  const size_t at = read_header(&file, "DRAYBASE", 2, &twin, &header_sum);
  const struct footer footer = read_footer(&file);
  assert_int_equal(footer.values[1], ROWS_COUNT);
  assert_int_equal(footer.values[6], 2); // blocks of entries
  assert_true(footer.values[11] == walk_base(&file, at, header_sum, &footer));
  struct file head = load("head");
  const int len = snprintf(text, sizeof text,
                           "dray mirror 2\nnumber 2\ngeneration 1\nbase_bytes %zu\nbase_digest %016llx\n"
                           "seed_id %016llx\nschema %016llx\n",
                           file.len, (unsigned long long)footer.values[11],
                           (unsigned long long)(sum(&world.seed, 8, 0x5EED1D) & UINT32_MAX),
                           (unsigned long long)dr_schema_fingerprint(world.schema));
  (void)snprintf(summed, sizeof summed, "sum %016llx\n", (unsigned long long)sum(text, (size_t)len, 0));
  assert_int_equal(head.len, (size_t)len + strlen(summed));
  assert_memory_equal(head.data, text, (size_t)len);
  assert_memory_equal(head.data + len, summed, strlen(summed));
  free(head.data);
  free(file.data);
}

static void test_journal_is_as_the_page_says(void **state) {
  (void)state;
  static const uint32_t kinds[] = {1, 2, 4, 2, 3}; // schema, ack, commit, ack, prepare
  uint64_t twin = 0, header_sum = 0;
  struct file base = load("base.2"), file = load("journal.2");
  const struct footer footer = read_footer(&base);
  const size_t mark = (read_header(&file, "DRAYJRNL", 2, &twin, &header_sum) + 511) / 512 * 512;
  assert_true(twin == footer.values[11]);
  assert_memory_equal(file.data + mark, "DRAYMARK", 8);
  assert_int_equal(u64(file.data + mark + 8), file.len);
  assert_true(u64(file.data + mark + 16) == sum(file.data + mark, 16, twin + mark));
  size_t at = mark + 512;
  for (size_t i = 0; i < 5; i++) {
    const uint8_t *frame = file.data + at;
    const uint32_t len = u32(frame + 8);
    assert_memory_equal(frame, "DRFR", 4);
    assert_int_equal(u32(frame + 4), kinds[i]);
    assert_int_equal(u64(frame + 16), i);
    assert_true(u64(frame + 24) == sum(frame + 40, len, twin + at));
    assert_true(u64(frame + 32) == sum(frame, 32, twin + at));
    if (i == 0) assert_int_equal(u32(frame + 40), 1);
    if (i == 2) assert_int_equal(u64(frame + 40), 2);
    if (i == 4) assert_int_equal(u64(frame + 40), 3);
    if (i == 1) { // row 5 was changed
      struct expected row;
      expect_row(5, 1000, &row);
      const uint8_t *change = frame + 48;
      assert_int_equal(u32(frame + 40), 1); // schema
      assert_int_equal(u32(frame + 44), 1); // one change
      assert_int_equal(len, 8 + 32 + row.payload_bytes);
      assert_int_equal(u32(change), 2u << 29 | row.payload_bytes); // an update
      assert_int_equal(u32(change + 4), (uint32_t)sum(row.payload, row.payload_bytes, row.row_hash));
      assert_true(u64(change + 8) == row.high && u64(change + 16) == row.low && u64(change + 24) == row.row_hash);
      assert_memory_equal(change + 32, row.payload, row.payload_bytes);
    }
    at += 40 + len;
  }
  assert_int_equal(at, file.len);
  free(file.data);
  free(base.data);
}

static void test_change_set_is_as_the_page_says(void **state) {
  (void)state;
  uint64_t twin = 0, header_sum = 0;
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  // Records: ~5, x7, x7 (made rejects at the end, so that there is an index); behind them the delete is written.
  (void)world_run(&world, NULL, ROWS("5,?,77", "1000,a,1", "1000,b,2", "!6,\\N,\\N"));
  struct file file = load(world.set_path);
  const size_t at = read_header(&file, "DRAYCHGS", 0, &twin, &header_sum);
  const struct footer footer = read_footer(&file);
  assert_int_equal(footer.values[1], 4);
  assert_int_equal(footer.values[2], 4);
  struct block rows = read_block(&file, at), index = read_block(&file, footer.values[9]);
  assert_int_equal(rows.count, 3);
  const struct dray_str update = record(&rows, 0);
  const uint8_t *bytes = (const uint8_t *)update.data;
  assert_int_equal(bytes[0], 2);
  assert_int_equal(bytes[1], 3); // before and absent
  assert_int_equal(u64(bytes + 8), 0);
  assert_int_equal(bytes[48], 4); // changed: qty
  assert_int_equal(bytes[49], 2); // absent: name
  const uint32_t row = u32(bytes + 40), before = u32(bytes + 44);
  assert_int_equal(50 + row + before, update.len);
  assert_int_equal(qty_of(dray_str_make(update.data + 50, row)), 77);
  assert_int_equal(qty_of(dray_str_make(update.data + 50 + row, before)), 1000);
  assert_int_equal(index.kind, 5);
  assert_int_equal(index.count, 4);
  static const uint64_t order[] = {0, 1 | UINT64_C(1) << 63, 2 | UINT64_C(1) << 63, 3};
  for (size_t i = 0; i < 4; i++) assert_true(u64(index.raw + 8 * i) == order[i]);
  free(rows.raw);
  free(index.raw);
  free(file.data);
}

struct kind {
  int keep;
  const char *key;
};

static char *text_of_row(size_t number, size_t qty) {
  char text[NAME_BYTES + 64];
  const int len = snprintf(text, sizeof text, "%zu,%01200zu,%zu", number, number * number, qty);
  return dray_str_dup(dray_str_make(text, (uint64_t)len));
}

static void change_row(size_t number) {
  char *text = text_of_row(number, 1000);
  (void)world_run(&world, NULL, ROWS(text));
  assert_ok(&world, world_ack(&world, NULL));
  free(text);
}

static int build(void **state) {
  const struct kind *kind = *state;
  const char *rows[ROWS_COUNT + 1] = {NULL};
  world_make(&world, "id int64; name string; qty int64", kind->key);
  world.keep = kind->keep;
  mixed = strcmp(kind->key, "id") == 0;
  assert_ok(&world, world_open(&world));
  for (size_t i = 0; i < ROWS_COUNT; i++) rows[i] = text_of_row(i, i);
  const struct world_pass full = {.flags = DR_DIFF_FULL};
  assert_ok(&world, world_try(&world, &full, rows));
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
  change_row(5);
  world_commit(&world, 2);
  change_row(7);
  assert_ok(&world, dr_mirror_prepare(world.mirror, 3, &world.error));
  for (size_t i = 0; i < ROWS_COUNT; i++) free((void *)(uintptr_t)rows[i]);
  return 0;
}

static int destroy(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

static struct kind whole_rows = {DR_KEEP_ROW, "id"}, rows_by_text = {DR_KEEP_ROW, "name"};
static struct kind columns_by_integer = {DR_KEEP_COLUMNS, "id"}, columns_by_text = {DR_KEEP_COLUMNS, "name"};
static struct kind keys_of_integers = {DR_KEEP_KEY, "id"}, keys_of_text = {DR_KEEP_KEY, "name"};

#define TEST(name, kind)                                                                                               \
  { #name " " #kind, name, build, destroy, &kind }
#define BOTH(kind) TEST(test_base_and_head_are_as_the_page_says, kind), TEST(test_journal_is_as_the_page_says, kind)
int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH(whole_rows),
      BOTH(rows_by_text),
      BOTH(columns_by_integer),
      BOTH(columns_by_text),
      BOTH(keys_of_integers),
      BOTH(keys_of_text),
      TEST(test_change_set_is_as_the_page_says, whole_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
