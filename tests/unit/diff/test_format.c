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
#include "world.h"

#define ROWS_COUNT 300

static struct world world;

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
  assert_int_equal(u32(file->data + 8), 1);
  *out_sum = u64(body + len);
  assert_true(*out_sum == sum(body, len, sum(file->data, 16, 0)));
  assert_int_equal(u64(body), number);
  const uint64_t seed = world.seed;
  assert_true(u64(body + 16) == (sum(&seed, 8, 0x5EED1D) & UINT32_MAX));
  *out_twin = u64(body + 24);
  assert_int_equal(u32(body + 32), 2); // encoding
  assert_int_equal(u32(body + 36), 1); // one key column
  assert_int_equal(u32(body + 40), 2);
  assert_memory_equal(body + 44, "id", 2);
  const uint32_t json = u32(body + 46);
  assert_int_equal(50 + json, len);
  assert_non_null(memmem(body + 50, json, "\"name\":\"qty\"", 12));
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
  const uint8_t *bytes = block->raw + 4 * block->count;
  const uint32_t begin = slot == 0 ? 0 : u32(block->raw + 4 * (slot - 1)), end = u32(block->raw + 4 * slot);
  return dray_str_make((const char *)bytes + begin, end - begin);
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
  assert_int_equal(footer.values[13], 1);
  assert_true(footer.values[15] == sum(file->data + at, 120, at));
  return footer;
}

// Walks all blocks. Rows must be in the order of their entries, and each entry's row hash that of its row.
static uint64_t walk_base(const struct file *file, size_t at, uint64_t header_sum, const struct footer *footer) {
  uint64_t *hashes = calloc(ROWS_COUNT, sizeof *hashes), pair[2] = {0, header_sum}, last[2] = {0, 0};
  uint64_t records = 0, entries = 0, blocks = 0;
  assert_non_null(hashes);
  for (;;) {
    pair[0] = sum(pair, 16, 0);
    if (at == file->len - 128) break;
    if (blocks == 0) assert_int_equal(u32(file->data + at), 1);
    struct block block = read_block(file, at);
    if (block.kind == 1) {
      assert_int_equal(block.first, records);
      for (uint32_t slot = 0; slot < block.count; slot++) {
        const struct dray_str row = record(&block, slot);
        hashes[records++] = XXH3_128bits_withSeed(row.data, row.len, world.seed).low64;
      }
    }
    if (block.kind == 2) {
      assert_int_equal(at, footer->values[5] + entries / 128 * 3112);
      for (uint32_t i = 0; i < block.count; i++, entries++) {
        const uint64_t high = u64(block.raw + 24 * i), low = u64(block.raw + 24 * i + 8);
        assert_true(entries == 0 || last[0] < high || (last[0] == high && last[1] < low));
        last[0] = high;
        last[1] = low;
        assert_true(u64(block.raw + 24 * i + 16) == hashes[entries]);
      }
    }
    if (block.kind == 3) assert_int_equal(at, footer->values[7]);
    if (block.kind == 4) assert_int_equal(at, footer->values[3]);
    pair[1] = block.sum;
    at = block.end;
    blocks++;
    free(block.raw);
  }
  assert_int_equal(records, ROWS_COUNT);
  assert_int_equal(entries, ROWS_COUNT);
  assert_true(blocks > 6);
  free(hashes);
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
  assert_int_equal(footer.values[6], (ROWS_COUNT + 127) / 128);
  assert_true(footer.values[11] == walk_base(&file, at, header_sum, &footer));
  struct file head = load("head");
  const int len = snprintf(text, sizeof text,
                           "dray mirror 1\nnumber 2\ngeneration 1\nbase_bytes %zu\nbase_digest %016llx\n"
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
  assert_true(u64(file.data + mark + 16) == sum(file.data + mark, 16, mark));
  size_t at = mark + 512;
  for (size_t i = 0; i < 5; i++) {
    const uint8_t *frame = file.data + at;
    const uint32_t len = u32(frame + 8);
    assert_memory_equal(frame, "DRFR", 4);
    assert_int_equal(u32(frame + 4), kinds[i]);
    assert_int_equal(u64(frame + 16), i);
    assert_true(u64(frame + 24) == sum(frame + 40, len, at));
    assert_true(u64(frame + 32) == sum(frame, 32, at));
    if (i == 0) assert_int_equal(u32(frame + 40), 1);
    if (i == 2) assert_int_equal(u64(frame + 40), 2);
    if (i == 4) assert_int_equal(u64(frame + 40), 3);
    if (i == 1) { // row 5 was changed
      const uint32_t row = u32(frame + 52);
      assert_int_equal(u32(frame + 40), 1); // schema
      assert_int_equal(u32(frame + 44), 1); // one change
      assert_int_equal(u32(frame + 48), 2); // an update
      assert_int_equal(len, 8 + 32 + row);
      const struct dray_str bytes = dray_str_make((const char *)frame + 80, row);
      assert_true(u64(frame + 72) == XXH3_128bits_withSeed(bytes.data, bytes.len, world.seed).low64);
      assert_int_equal(qty_of(bytes), 1000);
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

static int build(void **state) {
  (void)state;
  const char *rows[ROWS_COUNT + 1] = {NULL};
  world_make(&world, "id int64; name string; qty int64", "id");
  assert_ok(&world, world_open(&world));
  for (size_t i = 0; i < ROWS_COUNT; i++) {
    char text[1400];
    const int len = snprintf(text, sizeof text, "%zu,%01200zu,%zu", i, i * i, i);
    rows[i] = dray_str_dup(dray_str_make(text, (uint64_t)len));
  }
  const struct world_pass full = {.flags = DR_DIFF_FULL};
  assert_ok(&world, world_try(&world, &full, rows));
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  (void)world_run(&world, NULL, ROWS("5,?,1000"));
  assert_ok(&world, world_ack(&world, NULL));
  world_commit(&world, 2);
  (void)world_run(&world, NULL, ROWS("7,?,1000"));
  assert_ok(&world, world_ack(&world, NULL));
  assert_ok(&world, dr_mirror_prepare(world.mirror, 3, &world.error));
  for (size_t i = 0; i < ROWS_COUNT; i++) free((void *)(uintptr_t)rows[i]);
  return 0;
}

static int destroy(void **state) {
  (void)state;
  world_remove(&world);
  return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_base_and_head_are_as_the_page_says),
      TEST(test_journal_is_as_the_page_says),
      TEST(test_change_set_is_as_the_page_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
