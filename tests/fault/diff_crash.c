// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The mirror under kills, full disks and I/O errors. A child process (this program with other arguments) carries a
// mirror through generations whose rows are known in advance, beside an "other side" that remembers which one it
// committed. It is stopped at every named step, over and over; each time the mirror must be exactly a generation that
// was committed, no older than what the child was told was durable, and the work must go on from there to its end.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "diff/diff.h"
#include "dray/destination.h"

#define GENERATIONS 8
#define KEYS 120
#define TEXT_BYTES 4000
#define EXIT_ERROR 3
#define EXIT_WRONG 4

struct place {
  char root[64], mirror[80], set[80], other[80], log[80], trace[80];
};

static void place_in(struct place *place, const char *root) {
  (void)snprintf(place->root, sizeof place->root, "%s", root);
  (void)snprintf(place->mirror, sizeof place->mirror, "%s/mirror", root);
  (void)snprintf(place->set, sizeof place->set, "%s/changes", root);
  (void)snprintf(place->other, sizeof place->other, "%s/other", root);
  (void)snprintf(place->log, sizeof place->log, "%s/log", root);
  (void)snprintf(place->trace, sizeof place->trace, "%s/trace", root);
}

// ---- rows that are known in advance ----

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t value = (a + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (b + 1) * UINT64_C(0xD6E8FEB86659FD93);
  value = (value ^ (value >> 32)) * UINT64_C(0xBF58476D1CE4E5B9);
  return value ^ (value >> 29);
}

static int row_exists(uint64_t key, uint64_t generation) {
  return generation > 0 && mix(key, generation / 2) % 10 < 8;
}

static size_t row_text(uint64_t key, uint64_t generation, char *out) {
  const uint64_t version = (generation + key % 3) / 3; // a third of the rows changes with each generation
  for (size_t i = 0; i < TEXT_BYTES; i++) out[i] = (char)('a' + mix(mix(key, version), i) % 26);
  return TEXT_BYTES - (size_t)(mix(key, version) % 100);
}

static struct dr_schema *make_schema(void) {
  static const struct dray_column_def defs[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                {"text", {DRAY_TYPE_STRING, 0, 0}, 1}};
  struct dr_schema *schema = NULL;
  return dr_schema_new(defs, 2, &schema, NULL) == DRAY_OK ? schema : NULL;
}

static int32_t rows_of(struct dr_schema *schema, uint64_t generation, struct dr_batch **out, struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  char text[TEXT_BYTES];
  DRAY_TRY(dray_builder_new(&schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error));
  int32_t rc = DRAY_OK;
  for (uint64_t key = 0; rc == DRAY_OK && key < KEYS; key++) {
    if (!row_exists(key, generation)) continue;
    const size_t len = row_text(key, generation, text);
    rc = dray_builder_int64(builder, 0, (int64_t)key, error);
    if (rc == DRAY_OK) rc = dray_builder_bytes(builder, 1, dray_str_make(text, len), error);
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, error);
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  dray_builder_free(builder);
  if (rc == DRAY_OK) rc = dr_batch_wrap(schema, &array, out, error);
  return rc;
}

// ---- mirror and other side ----

static int32_t open_mirror(const struct place *place, struct dr_schema *schema, struct dr_mirror **out,
                           struct dray_error *error) {
  static const char *const key[] = {"id"};
  const struct dr_mirror_options options = {
      .folder = place->mirror, .schema = schema, .key = key, .key_count = 1, .seed = 7, .memory_bytes = 1, .create = 1};
  return dr_mirror_open(&options, out, error);
}

static uint64_t other_generation(const struct place *place) {
  unsigned long long generation = 0;
  FILE *file = fopen(place->other, "r");
  if (file == NULL) return 0;
  const int fields = fscanf(file, "%llu", &generation);
  (void)fclose(file);
  return fields == 1 ? generation : 0;
}

static int other_commit(const struct place *place, uint64_t generation) {
  char path[96];
  (void)snprintf(path, sizeof path, "%s.new", place->other);
  FILE *file = fopen(path, "w");
  if (file == NULL) return 0;
  (void)fprintf(file, "%llu", (unsigned long long)generation);
  return fclose(file) == 0 && rename(path, place->other) == 0;
}

// A prepare that an earlier process left: the other side knows how it ended.
static int32_t resolve(const struct place *place, struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_mirror_info info;
  dr_mirror_info(mirror, &info);
  if (info.prepared_generation == 0) return DRAY_OK;
  if (info.prepared_generation == other_generation(place)) {
    return dr_mirror_commit(mirror, info.prepared_generation, error);
  }
  return dr_mirror_rollback(mirror, error);
}

static int32_t pass(const struct place *place, struct dr_mirror *mirror, struct dr_batch *batch,
                    struct dr_diff_counts *out, struct dray_error *error) {
  const struct dr_diff_options options = {.flags = DR_DIFF_FULL, .changeset_path = place->set};
  struct dr_diff *diff = NULL;
  int32_t rc = dr_diff_begin(mirror, &options, &diff, error);
  if (rc != DRAY_OK) {
    dr_batch_free(batch);
    return rc;
  }
  rc = dr_diff_add(diff, batch, error);
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, out, error);
  dr_diff_free(diff);
  return rc;
}

static int32_t acknowledge(const struct place *place, struct dr_mirror *mirror, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  uint8_t all[KEYS * 2];
  uint64_t seq = 0;
  memset(all, 1, sizeof all);
  DRAY_TRY(dr_changeset_open(place->set, &set, error));
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 25, 1u << 20, 0, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    rc = dr_mirror_ack(mirror, changes, all, error);
    seq += changes->count;
    dr_changes_free(changes);
  }
  dr_changeset_close(set);
  return rc;
}

// ---- the child ----

static void note(const struct place *place, uint64_t generation) {
  char line[32];
  const int fd = open(place->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int len = snprintf(line, sizeof line, "%llu\n", (unsigned long long)generation);
  if (fd < 0 || write(fd, line, (size_t)len) != len || close(fd) != 0) _exit(EXIT_WRONG);
}

// What is acknowledged becomes generation `generation`: alone, or together with the other side.
static int32_t commit(const struct place *place, struct dr_mirror *mirror, uint64_t generation,
                      struct dray_error *error) {
  if (generation % 2 == 1) {
    DRAY_TRY(dr_mirror_prepare(mirror, generation, error));
    if (!other_commit(place, generation)) _exit(EXIT_WRONG);
  }
  return dr_mirror_commit(mirror, generation, error);
}

// The other side refuses what was acknowledged, once, at times when it was prepared already; then all comes again.
static int32_t think_again(const struct place *place, struct dr_mirror *mirror, uint64_t generation,
                           struct dray_error *error) {
  if (generation % 2 == 1) DRAY_TRY(dr_mirror_prepare(mirror, generation, error));
  DRAY_TRY(dr_mirror_rollback(mirror, error));
  return acknowledge(place, mirror, error);
}

static int32_t next_generation(const struct place *place, struct dr_mirror *mirror, struct dr_schema *schema,
                               uint64_t generation, struct dray_error *error) {
  struct dr_batch *batch = NULL;
  struct dr_diff_counts counts;
  DRAY_TRY(rows_of(schema, generation, &batch, error));
  int32_t rc = pass(place, mirror, batch, &counts, error);
  DRAY_TRY(rc);
  if (generation % 2 == 0) dr_mirror_gather(mirror);
  rc = acknowledge(place, mirror, error);
  if (rc == DRAY_OK && generation % 3 == 0) rc = think_again(place, mirror, generation, error);
  if (rc == DRAY_OK && generation % 2 == 0) dr_mirror_write_ahead(mirror, NULL);
  if (rc == DRAY_OK) rc = commit(place, mirror, generation, error);
  if (rc != DRAY_OK) { // a journal that failed takes nothing more: nobody knows what is on the disk
    struct dray_error again;
    const char *fault = getenv("DRAY_FAULT");
    if (fault != NULL && strstr(fault, "file.read") != NULL) return rc; // of the change set: the journal is well
    dray_error_init(&again);
    if (dr_mirror_commit(mirror, generation, &again) != rc) _exit(EXIT_WRONG);
    if (dr_mirror_prepare(mirror, generation + 1, &again) != rc) _exit(EXIT_WRONG);
    return rc;
  }
  note(place, generation);
  return dr_mirror_compact(mirror, error);
}

static int32_t carry_on(const struct place *place, struct dr_schema *schema, struct dray_error *error) {
  struct dr_mirror *mirror = NULL;
  struct dr_mirror_info info;
  DRAY_TRY(open_mirror(place, schema, &mirror, error));
  int32_t rc = resolve(place, mirror, error);
  dr_mirror_info(mirror, &info);
  for (uint64_t generation = info.generation + 1; rc == DRAY_OK && generation <= GENERATIONS; generation++) {
    rc = next_generation(place, mirror, schema, generation, error);
  }
  dr_mirror_close(mirror);
  return rc;
}

static int child(const char *root) {
  struct place place;
  struct dray_error error;
  dray_error_init(&error);
  place_in(&place, root);
  struct dr_schema *schema = make_schema();
  const int32_t rc = schema != NULL ? carry_on(&place, schema, &error) : DRAY_E_OUT_OF_MEMORY;
  dr_schema_unref(schema);
  if (rc == DRAY_OK) return 0;
  if (rc == DRAY_E_IO || rc == DRAY_E_DISK_FULL) return EXIT_ERROR;
  (void)fprintf(stderr, "the child failed with %d: %s\n", rc, error.text);
  return EXIT_WRONG;
}

// Runs the child to its end. Returns its exit status, or -1 when it was killed as it was asked to be.
static int run_child(const struct place *place, const char *fault, const char *trace) {
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    const int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)setenv("DRAY_TEST", "1", 1);
    if (fault != NULL) (void)setenv("DRAY_FAULT", fault, 1);
    if (trace != NULL) (void)setenv("DRAY_FAULT_TRACE", trace, 1);
    if (quiet >= 0 && fault != NULL) (void)dup2(quiet, 2); // what it logs about cut tails is of no interest
    (void)execl("/proc/self/exe", "diff_crash", "child", place->root, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status)) {
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return -1;
  }
  return WEXITSTATUS(status);
}

// ---- what must be true whenever the child is gone ----

static uint64_t last_note(const struct place *place) {
  unsigned long long generation = 0, last = 0;
  FILE *file = fopen(place->log, "r");
  if (file == NULL) return 0;
  while (fscanf(file, "%llu", &generation) == 1) last = generation;
  (void)fclose(file);
  return last;
}

// The mirror is exactly a generation that was committed. `done`: it must be the last one.
static void check(const struct place *place, const char *after, int done) {
  struct dray_error error;
  struct dr_mirror *mirror = NULL;
  struct dr_mirror_info info;
  struct dr_batch *batch = NULL;
  struct dr_diff_counts counts = {0};
  struct dr_schema *schema = make_schema();
  dray_error_init(&error);
  int32_t rc = open_mirror(place, schema, &mirror, &error);
  if (rc == DRAY_OK) rc = resolve(place, mirror, &error);
  if (rc != DRAY_OK) fail_msg("after %s: %d %s", after, rc, error.text);
  dr_mirror_info(mirror, &info);
  const uint64_t generation = info.generation;
  if (generation < last_note(place) || generation > last_note(place) + 1) {
    fail_msg("after %s: generation %llu, but %llu was durable", after, (unsigned long long)generation,
             (unsigned long long)last_note(place));
  }
  if (done && generation != GENERATIONS) fail_msg("after %s: the work ended at %d", after, (int)generation);
  // A pass over exactly these rows finds nothing to do.
  rc = rows_of(schema, generation, &batch, &error);
  if (rc == DRAY_OK) rc = pass(place, mirror, batch, &counts, &error);
  if (rc != DRAY_OK) fail_msg("after %s: %d %s", after, rc, error.text);
  if (counts.unchanged != counts.rows || counts.deletes != 0 || info.rows != counts.rows) {
    fail_msg("after %s: generation %llu is not what was committed: %llu of %llu rows are equal, %llu too many", after,
             (unsigned long long)generation, (unsigned long long)counts.unchanged, (unsigned long long)counts.rows,
             (unsigned long long)counts.deletes);
  }
  dr_mirror_close(mirror);
  rc = dr_mirror_verify(place->mirror, &info, &error);
  if (rc != DRAY_OK) fail_msg("after %s: %d %s", after, rc, error.text);
  dr_schema_unref(schema);
  note(place, generation); // seen once, it may not be lost any more
}

static void make_place(struct place *place) {
  char root[64];
  (void)snprintf(root, sizeof root, "%s/dray-crash-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  assert_non_null(mkdtemp(root));
  place_in(place, root);
}

static void remove_place(const struct place *place) {
  assert_int_equal(dr_mirror_reset(place->mirror, NULL), DRAY_OK);
  assert_int_not_equal(rmdir(place->mirror), 0); // it is gone: nothing of ours was left in it
  (void)unlink(place->set);
  (void)unlink(place->other);
  (void)unlink(place->log);
  (void)unlink(place->trace);
  char command[96];
  (void)snprintf(command, sizeof command, "%s.new", place->other);
  (void)unlink(command);
  if (rmdir(place->root) != 0) fail_msg("%s is not empty", place->root);
}

// ---- steps ----

struct steps {
  char names[64][64];
  size_t count;
};

static void learn_steps(struct steps *steps) {
  struct place place;
  make_place(&place);
  assert_int_equal(run_child(&place, NULL, place.trace), 0);
  check(&place, "a life without faults", 1);
  FILE *file = fopen(place.trace, "r");
  assert_non_null(file);
  steps->count = 0;
  while (steps->count < 64 && fscanf(file, "%63s", steps->names[steps->count]) == 1) steps->count++;
  (void)fclose(file);
  remove_place(&place);
}

// The passes of a step to stop at: every one of the first few, then fewer and fewer.
static uint64_t next_pass(uint64_t pass_number) {
  const char *dense = getenv("DRAY_DIFF_CRASH_DENSE");
  return pass_number < 6 || dense != NULL ? pass_number + 1 : pass_number + pass_number / 2;
}

// Stops the child at every chosen pass of the step; after each stop it carries on to the end. Returns how often it was
// stopped.
static size_t stop_everywhere(const char *action, const char *step) {
  size_t stops = 0;
  for (uint64_t number = 1;; number = next_pass(number)) {
    struct place place;
    char fault[96];
    make_place(&place);
    (void)snprintf(fault, sizeof fault, "%s:%s:%llu", action, step, (unsigned long long)number);
    const int status = run_child(&place, fault, NULL);
    if (status != 0 && status != -1 && status != EXIT_ERROR) fail_msg("%s: the child ended with %d", fault, status);
    check(&place, fault, status == 0);
    if (status != 0) {
      assert_int_equal(run_child(&place, NULL, NULL), 0);
      check(&place, fault, 1);
      stops++;
    }
    remove_place(&place);
    if (status == 0) return stops;
  }
}

static void test_kill_at_every_step_loses_nothing_that_was_committed(void **state) {
  (void)state;
  static const char *const required[] = {
      "mirror.ack",          "mirror.prepare",     "mirror.prepare.sync", "mirror.commit",
      "mirror.commit.sync",  "mirror.commit.done", "mirror.mark",         "mirror.compact.base",
      "mirror.compact.head", "changeset.finish",   "changeset.done",      "file.write",
      "file.sync",           "file.rename",        "mirror.rollback",     "file.read"};
  struct steps steps;
  size_t stops = 0;
  learn_steps(&steps);
  for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
    size_t at = 0;
    while (at < steps.count && strcmp(steps.names[at], required[i]) != 0) at++;
    if (at == steps.count) fail_msg("no life passes %s", required[i]);
  }
  for (size_t i = 0; i < steps.count; i++) stops += stop_everywhere("kill", steps.names[i]);
  print_message("killed %zu times at %zu steps\n", stops, steps.count);
  assert_true(stops > 100);
}

static void test_full_disk_and_io_errors_lose_nothing_that_was_committed(void **state) {
  (void)state;
  static const char *const faults[][2] = {{"enospc", "file.write"},     {"eio", "file.write"}, {"eio", "file.sync"},
                                          {"eio", "file.rename"},       {"eio", "file.read"},  {"enospc", "mirror.ack"},
                                          {"eio", "mirror.commit.sync"}};
  size_t stops = 0;
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) stops += stop_everywhere(faults[i][0], faults[i][1]);
  print_message("failed %zu times\n", stops);
  assert_true(stops > 60);
}

// ---- power cuts ----

// What was appended to the journal and not synced may be lost in any part and order, and so may the mark.
static void lose_tail(const struct place *place, uint64_t seed) {
  struct dray_buffer content;
  char path[128];
  struct dr_mirror_info info;
  uint64_t number = 1;
  for (; number < 64; number++) {
    (void)snprintf(path, sizeof path, "%s/journal.%llu", place->mirror, (unsigned long long)number);
    if (dr_file_exists(path)) break;
  }
  if (number == 64 || !dr_mirror_exists(place->mirror)) return;
  if (dr_mirror_verify(place->mirror, &info, NULL) != DRAY_OK) return;
  dray_buffer_init(&content, 64u << 20);
  assert_int_equal(dr_file_read(path, 32u << 20, &content, NULL), DRAY_OK);
  char *mark = memmem(content.data, content.len, "DRAYMARK", 8);
  uint64_t durable;
  if (mark == NULL) { // lost by the last cut, and nothing was synced since: what is loose cannot be told
    dray_buffer_free(&content);
    return;
  }
  memcpy(&durable, mark + 8, 8);
  assert_true(durable <= content.len);
  const size_t loose = content.len - (size_t)durable;
  size_t len = content.len;
  if (mix(seed, 1) % 3 == 0) len -= loose > 0 ? mix(seed, 2) % (loose + 1) : 0;     // cut
  for (size_t at = (size_t)durable; mix(seed, 3) % 3 != 0 && at < len; at += 512) { // sectors that never arrived
    if (mix(seed, at) % 3 == 0) memset(content.data + at, 0, len - at < 512 ? len - at : 512);
  }
  if (mix(seed, 4) % 4 == 0) memset(mark, 0, 24); // one that did not arrive leaves the frames to speak
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(content.data, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
  dray_buffer_free(&content);
}

static void test_power_cuts_lose_only_what_was_never_synced(void **state) {
  (void)state;
  static const char *const steps[] = {"mirror.ack", "mirror.commit.sync", "mirror.prepare.sync", "mirror.commit",
                                      "file.write"};
  const char *cases = getenv("DRAY_DIFF_CRASHES");
  const uint64_t count = cases != NULL ? strtoull(cases, NULL, 10) : 40;
  for (uint64_t seed = 0; seed < count; seed++) {
    struct place place;
    char fault[96];
    int status = -1;
    make_place(&place);
    for (uint64_t life = 0; status != 0 && life < 12; life++) { // several cuts in one history
      const uint64_t chance = mix(seed, life + 100);
      (void)snprintf(fault, sizeof fault, "kill:%s:%llu", steps[chance % 5], (unsigned long long)(1 + chance / 5 % 9));
      status = run_child(&place, fault, NULL);
      assert_true(status == 0 || status == -1);
      if (status != 0) lose_tail(&place, chance);
      check(&place, fault, status == 0);
    }
    if (status != 0) assert_int_equal(run_child(&place, NULL, NULL), 0);
    check(&place, "the last power cut", 1);
    remove_place(&place);
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "child") == 0) return child(argv[2]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kill_at_every_step_loses_nothing_that_was_committed),
      cmocka_unit_test(test_full_disk_and_io_errors_lose_nothing_that_was_committed),
      cmocka_unit_test(test_power_cuts_lose_only_what_was_never_synced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
