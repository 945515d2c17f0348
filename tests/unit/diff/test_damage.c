// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Damaged files: bytes that flipped, files that were cut, files that are missing or belong elsewhere. Either the mirror
// is refused with a name for what is wrong, or it is exactly what it was at its last commit. It is never believed and
// wrong.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "diff/mirror.h"
#include "dray/destination.h"
#include "world.h"

#define GENERATIONS 5 // 1: in the base; 2 .. 4: commits in the journal; 5: prepared

// What the mirror keeps, and its key: an integer in `id`, or the same as text.
struct kind {
  int keep;
  int text;
};

static struct world world;
static struct kind made;
static uint64_t states[GENERATIONS + 1]; // what the mirror held as of each generation
static uint64_t prepared;                // as `refused` saw it
static struct dray_buffer base, journal, head;

// ---- files ----

static char *path_of(const char *name) {
  char *path = dr_path_join(world.folder, name);
  assert_non_null(path);
  return path;
}

static void slurp(const char *path, struct dray_buffer *out) {
  dray_buffer_init(out, 64u << 20);
  assert_ok(&world, dr_file_read(path, 32u << 20, out, &world.error));
}

static void spit(const char *name, const struct dray_buffer *content, size_t len) {
  char *path = path_of(name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(content->data, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
  free(path);
}

static void restore(void) {
  world_close(&world);
  spit("base.2", &base, base.len);
  spit("journal.2", &journal, journal.len);
  spit("head", &head, head.len);
}

// ---- a mirror worth damaging ----

static struct dr_batch *rows_of(uint64_t first, uint64_t count, uint64_t version) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  struct dr_batch *batch = NULL;
  assert_ok(&world, dray_builder_new(&world.schema->arrow, UINT64_MAX, UINT64_MAX, &builder, &world.error));
  for (uint64_t i = first; i < first + count; i++) {
    char name[512];
    for (size_t at = 0; at < sizeof name; at += 8) { // text that does not pack well
      (void)snprintf(name + at, sizeof name - at, "%08x", (unsigned)XXH3_64bits_withSeed(&i, sizeof i, version + at));
    }
    if (made.text) {
      char id[32];
      const int len = snprintf(id, sizeof id, "key %llu", (unsigned long long)i);
      assert_ok(&world, dray_builder_bytes(builder, 0, dray_str_make(id, (uint64_t)len), &world.error));
    } else {
      assert_ok(&world, dray_builder_int64(builder, 0, (int64_t)i, &world.error));
    }
    assert_ok(&world, dray_builder_bytes(builder, 1, dray_str_make(name, sizeof name - 1), &world.error));
    assert_ok(&world, dray_builder_end_row(builder, NULL, &world.error));
  }
  assert_ok(&world, dray_builder_finish(builder, &array, &world.error));
  assert_ok(&world, dr_batch_wrap(world.schema, &array, &batch, &world.error));
  dray_builder_free(builder);
  return batch;
}

static void change(uint64_t first, uint64_t count, uint64_t version) {
  const struct dr_diff_options options = {.changeset_path = world.set_path};
  struct dr_diff *diff = NULL;
  struct dr_batch *batch = rows_of(first, count, version);
  assert_ok(&world, dr_diff_begin(world.mirror, &options, &diff, &world.error));
  assert_ok(&world, dr_diff_add(diff, batch, &world.error));
  assert_ok(&world, dr_diff_finish(diff, &world.counts, &world.error));
  dr_diff_free(diff);
  assert_ok(&world, world_ack(&world, NULL));
}

static int32_t read_set(uint64_t *out_digest) {
  struct dr_changeset *set = NULL;
  uint64_t seq = 0, digest = 0;
  int32_t rc = dr_changeset_open(world.set_path, &set, &world.error);
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 100, 1u << 20, 1, &changes, &world.error);
    if (rc != DRAY_OK || changes == NULL) break;
    for (size_t i = 0; i < changes->count; i++) {
      const struct dray_column_view *columns = changes->rows->view.columns;
      const struct dray_str name = dray_column_is_null(&columns[1], i) ? dray_str_make("", 0) // not kept
                                                                       : dray_column_bytes(&columns[1], i);
      uint64_t id;
      if (made.text) {
        const struct dray_str text = dray_column_bytes(&columns[0], i);
        id = XXH3_64bits(text.data, text.len);
      } else {
        id = (uint64_t)dray_column_int64(&columns[0], i);
      }
      digest += XXH3_64bits_withSeed(name.data, name.len, id * 31 + changes->row_hash[i] + changes->op[i]);
    }
    seq += changes->count;
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  *out_digest = digest + seq;
  return rc;
}

// Everything the mirror holds, as one number. Reads every row.
static int32_t digest_of_mirror(uint64_t *out) {
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  const int32_t rc = world_try(&world, &pass, NO_ROWS);
  return rc == DRAY_OK ? read_set(out) : rc;
}

static int build(void **state) {
  made = *state != NULL ? *(struct kind *)*state : (struct kind){DR_KEEP_ROW, 0};
  world_make(&world, made.text ? "id string; name string" : "id int64; name string", "id");
  world.keep = made.keep;
  assert_ok(&world, world_open(&world));
  change(0, 500, 1);
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_rewrite(world.mirror, &world.error));
  assert_int_equal(world_base(&world), 2);
  assert_ok(&world, digest_of_mirror(&states[1]));
  for (uint64_t generation = 2; generation <= 4; generation++) {
    change(generation * 20, 30, generation);
    world_commit(&world, generation);
    assert_ok(&world, digest_of_mirror(&states[generation]));
  }
  change(300, 20, 9);
  assert_ok(&world, dr_mirror_prepare(world.mirror, 5, &world.error));
  world_close(&world);
  char *paths[] = {path_of("base.2"), path_of("journal.2"), path_of("head")};
  slurp(paths[0], &base);
  slurp(paths[1], &journal);
  slurp(paths[2], &head);
  for (size_t i = 0; i < 3; i++) free(paths[i]);
  return 0;
}

static int destroy(void **state) {
  (void)state;
  world_remove(&world);
  dray_buffer_free(&base);
  dray_buffer_free(&journal);
  dray_buffer_free(&head);
  return 0;
}

// ---- what may be believed ----

static int is_refusal(int32_t code) {
  return code == DRAY_E_MIRROR_CORRUPT || code == DRAY_E_STATE_VERSION;
}

// Opens what lies there, and reads it all. 1: refused with a name for it. 0: it is exactly the state of
// *out_generation.
static int refused(uint64_t *out_generation, const char *what, size_t at) {
  struct dr_mirror_info info;
  uint64_t digest = 0;
  world_close(&world);
  int32_t rc = world_open(&world);
  if (rc == DRAY_OK) {
    dr_mirror_info(world.mirror, &info);
    prepared = info.prepared_generation;
    rc = dr_mirror_rollback(world.mirror, &world.error); // of the prepare
    if (rc == DRAY_OK) rc = digest_of_mirror(&digest);
  }
  if (rc != DRAY_OK) {
    if (!is_refusal(rc)) fail_msg("%s at %zu: %d %s", what, at, rc, world.error.text);
    if (strstr(world.error.text, world.folder) == NULL) fail_msg("%s at %zu: %s", what, at, world.error.text);
    return 1;
  }
  if (info.generation < 1 || info.generation > 4 || digest != states[info.generation]) {
    fail_msg("%s at %zu: believed, and wrong (generation %llu)", what, at, (unsigned long long)info.generation);
  }
  *out_generation = info.generation;
  return 0;
}

// ---- the matrix ----

static void test_every_flipped_byte_is_noticed_or_harmless(void **state) {
  struct {
    const char *name;
    struct dray_buffer *content;
    size_t step;
  } files[] = {{"base.2", &base, 1499}, {"journal.2", &journal, 211}, {"head", &head, 3}};
  const size_t step = *state == NULL ? 1 : 5; // of the dense parts
  for (size_t f = 0; f < 3; f++) {
    size_t refusals = 0, trials = 0;
    for (size_t at = 0; at < files[f].content->len; trials++) {
      uint64_t generation = 4;
      restore();
      files[f].content->data[at] ^= (char)(1 << (at % 8));
      spit(files[f].name, files[f].content, files[f].content->len);
      files[f].content->data[at] ^= (char)(1 << (at % 8));
      prepared = 5;
      refusals += (size_t)refused(&generation, files[f].name, at);
      assert_int_equal(generation, 4); // never an older state
      assert_int_equal(prepared, 5);
      // The fronts and ends of files are gone through byte by byte.
      const int dense = at < 180 || files[f].content->len - at < 140;
      at += dense ? step : files[f].content->len < 30000 ? files[f].step / 12 + 1 : files[f].step;
    }
    assert_true(trials > 25);
    if (f != 1) assert_int_equal(refusals, trials); // all but the journal's padding is under a checksum
    assert_true(refusals > trials / 2);
  }
}

static void test_cut_files_are_refused(void **state) {
  (void)state;
  uint64_t generation = 4;
  for (size_t len = 0; len < base.len; len += len < 300 || base.len - len < 200 ? 11 : 2801) {
    restore();
    spit("base.2", &base, len);
    assert_true(refused(&generation, "base.2 cut", len));
  }
  for (size_t len = 0; len < head.len; len++) {
    restore();
    spit("head", &head, len);
    assert_true(refused(&generation, "head cut", len));
  }
  for (size_t len = 0; len < journal.len; len += 97) { // every byte of it was durable, and the mark says so
    restore();
    spit("journal.2", &journal, len);
    assert_true(refused(&generation, "journal.2 cut", len));
  }
  const char *mark = memmem(journal.data, journal.len, "DRAYMARK", 8);
  for (size_t at = (size_t)(mark - journal.data) + 512;
       at < journal.len;) { // between two frames, where nothing is torn
    uint32_t len;
    restore();
    spit("journal.2", &journal, at);
    assert_true(refused(&generation, "journal.2 cut", at));
    memcpy(&len, journal.data + at + 8, 4);
    at += 40 + len;
  }
}

// After a power cut the mark may be old: then an interrupted write is cut, and only what was never promised is lost.
static void test_torn_tail_is_cut_to_a_commit(void **state) {
  (void)state;
  uint64_t last = 1, seen = 0;
  char *mark = memmem(journal.data, journal.len, "DRAYMARK", 8);
  assert_non_null(mark);
  const size_t frames = (size_t)(mark - journal.data) + 512;
  memset(mark, 0, 24);
  for (size_t len = frames; len <= journal.len; len += len + 64 > journal.len ? 1 : 29) {
    uint64_t generation = 0;
    restore();
    spit("journal.2", &journal, len);
    assert_false(refused(&generation, "torn journal.2", len));
    assert_true(generation >= last); // the more is there, the newer
    if (generation != last) seen++;
    last = generation;
  }
  assert_int_equal(last, 4);
  assert_int_equal(seen, 3);
}

static void test_damage_before_something_that_was_synced_is_refused_without_the_mark(void **state) {
  (void)state;
  char *mark = memmem(journal.data, journal.len, "DRAYMARK", 8);
  memset(mark, 0, 24);
  // The frames of generation 2: everything before the second commit, behind which more was written.
  const char *at = mark + 512;
  size_t commits = 0, end = 0;
  while (commits < 2) {
    uint32_t kind, len;
    memcpy(&kind, at + 4, 4);
    memcpy(&len, at + 8, 4);
    at += 40 + len;
    commits += kind == 4;
    if (commits == 1 && end == 0) end = (size_t)(at - journal.data);
  }
  for (size_t i = (size_t)(mark - journal.data) + 512; i < end; i += 53) {
    uint64_t generation = 0;
    restore();
    journal.data[i] ^= 16;
    spit("journal.2", &journal, journal.len);
    journal.data[i] ^= 16;
    assert_true(refused(&generation, "journal.2 before later frames", i));
    assert_non_null(strstr(world.error.text, "journal.2"));
  }
}

static void test_new_frames_follow_a_tail_that_was_cut(void **state) {
  (void)state;
  uint64_t digest = 0, generation = 0;
  char *mark = memmem(journal.data, journal.len, "DRAYMARK", 8);
  memset(mark, 0, 24);
  restore();
  spit("journal.2", &journal, journal.len - 3000); // into the acknowledgement that generation 5 prepares
  assert_false(refused(&generation, "torn journal.2", 0));
  change(0, 10, 77);
  world_commit(&world, 4);
  assert_ok(&world, digest_of_mirror(&digest));
  world_close(&world);
  assert_ok(&world, world_open(&world));
  uint64_t again = 0;
  assert_ok(&world, digest_of_mirror(&again));
  assert_true(again == digest && digest != states[4]);
}

static void test_missing_and_foreign_files_are_refused(void **state) {
  (void)state;
  uint64_t generation = 0;
  static const char *const names[] = {"base.2", "journal.2"};
  for (size_t i = 0; i < 2; i++) {
    restore();
    char *path = path_of(names[i]);
    assert_int_equal(unlink(path), 0);
    free(path);
    assert_true(refused(&generation, names[i], 0));
    assert_non_null(strstr(world.error.text, names[i]));
  }
  // The files of another mirror with the same numbers.
  struct dray_buffer other;
  char *from = NULL;
  struct world elsewhere = world;
  world_close(&world);
  world_make(&elsewhere, "id int64; name string", "id");
  const struct world held = world;
  world = elsewhere;
  assert_ok(&world, world_open(&world));
  change(0, 500, 1);
  world_commit(&world, 1);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  change(0, 1, 5);
  world_commit(&world, 2);
  elsewhere = world;
  world = held;
  for (size_t i = 0; i < 2; i++) {
    restore();
    from = dr_path_join(elsewhere.folder, names[i]);
    slurp(from, &other);
    spit(names[i], &other, other.len);
    assert_true(refused(&generation, names[i], 1)); // though number, rows and secret are the same
    dray_buffer_free(&other);
    free(from);
  }
  world_remove(&elsewhere);
}

static void test_head_of_another_generation_is_refused(void **state) {
  (void)state;
  uint64_t generation = 0;
  struct dray_buffer newer;
  restore();
  assert_ok(&world, world_open(&world));
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  change(0, 400, 50);
  world_commit(&world, 5);
  assert_ok(&world, dr_mirror_compact(world.mirror, &world.error));
  assert_int_equal(world_base(&world), 3);
  world_close(&world);
  char *path = path_of("head");
  slurp(path, &newer);
  spit("head", &head, head.len); // an old head over newer files
  assert_true(refused(&generation, "old head", 0));
  assert_non_null(strstr(world.error.text, "base.2"));
  restore();
  spit("head", &newer, newer.len); // and the other way round
  char *base3 = path_of("base.3");
  (void)unlink(base3);
  assert_true(refused(&generation, "new head", 0));
  free(base3);
  free(path);
  dray_buffer_free(&newer);
}

static void test_verify_finds_damage_that_opening_does_not_read(void **state) {
  (void)state;
  struct dr_mirror_info info;
  restore();
  assert_ok(&world, dr_mirror_verify(world.folder, &info, &world.error));
  assert_int_equal(info.generation, 4);
  assert_int_equal(info.prepared_generation, 5);
  assert_int_equal(info.rows, 500);
  for (size_t at = 300; at < base.len; at += 1501) {
    base.data[at] ^= 1;
    spit("base.2", &base, base.len);
    base.data[at] ^= 1;
    assert_int_equal(dr_mirror_verify(world.folder, &info, &world.error), DRAY_E_MIRROR_CORRUPT);
    assert_non_null(strstr(world.error.text, "base.2"));
    assert_non_null(strstr(world.error.text, "byte"));
  }
}

static void test_damaged_change_set_is_refused(void **state) {
  (void)state;
  uint64_t whole = 0, digest = 0;
  struct dray_buffer set;
  restore();
  assert_ok(&world, world_open(&world));
  assert_ok(&world, dr_mirror_rollback(world.mirror, &world.error));
  const struct world_pass pass = {.flags = DR_DIFF_FULL};
  assert_ok(&world, world_try(&world, &pass, ROWS("1,x", "1,y", "\\N,z", "2,a", "3,b", "2,a")));
  assert_ok(&world, read_set(&whole));
  world_close(&world);
  slurp(world.set_path, &set);
  for (size_t at = 0; at < set.len * 2; at += at < 300 || (at > set.len - 300 && at < set.len + 300) ? 3 : 1811) {
    FILE *file = fopen(world.set_path, "w");
    assert_non_null(file);
    const int cut = at >= set.len;
    if (!cut) set.data[at] ^= 32;
    assert_int_equal(fwrite(set.data, 1, cut ? at - set.len : set.len, file), cut ? at - set.len : set.len);
    assert_int_equal(fclose(file), 0);
    if (!cut) set.data[at] ^= 32;
    const int32_t rc = read_set(&digest);
    if (!is_refusal(rc)) fail_msg("change set with byte %zu damaged: %d", at, rc);
  }
  dray_buffer_free(&set);
}

static void refuse_version(char version) {
  char text[512];
  restore();
  const size_t len = head.len - 21;
  memcpy(text, head.data, len);
  assert_memory_equal(text, "dray mirror 2", 13);
  text[12] = version;
  const int sum =
      snprintf(text + len, sizeof text - len, "sum %016llx\n", (unsigned long long)XXH3_64bits_withSeed(text, len, 0));
  const struct dray_buffer newer = {text, len + (size_t)sum, sizeof text, sizeof text};
  spit("head", &newer, newer.len);
  assert_int_equal(world_open(&world), DRAY_E_STATE_VERSION);
  assert_non_null(strstr(world.error.text, "dray state rebuild")); // a way out
}

static void test_newer_and_older_formats_are_refused_as_such(void **state) {
  (void)state;
  refuse_version('1');
  refuse_version('3');
}

// Other blocks lie in files that keep less.
static struct kind keys_of_integers = {DR_KEEP_KEY, 0}, keys_of_text = {DR_KEEP_KEY, 1};
static struct kind columns_by_integer = {DR_KEEP_COLUMNS, 0}, columns_by_text = {DR_KEEP_COLUMNS, 1};

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)
#define OF_KIND(name, kind)                                                                                            \
  { #name " " #kind, name, build, destroy, &kind }
#define EVERY_KIND(name)                                                                                               \
  TEST(name), OF_KIND(name, keys_of_integers), OF_KIND(name, keys_of_text), OF_KIND(name, columns_by_integer),         \
      OF_KIND(name, columns_by_text)
int main(void) {
  const struct CMUnitTest tests[] = {
      EVERY_KIND(test_every_flipped_byte_is_noticed_or_harmless),
      EVERY_KIND(test_cut_files_are_refused),
      EVERY_KIND(test_torn_tail_is_cut_to_a_commit),
      TEST(test_damage_before_something_that_was_synced_is_refused_without_the_mark),
      TEST(test_new_frames_follow_a_tail_that_was_cut),
      TEST(test_missing_and_foreign_files_are_refused),
      TEST(test_head_of_another_generation_is_refused),
      TEST(test_verify_finds_damage_that_opening_does_not_read),
      TEST(test_damaged_change_set_is_refused),
      TEST(test_newer_and_older_formats_are_refused_as_such),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
