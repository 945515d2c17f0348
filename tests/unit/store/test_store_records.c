// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the store remembers: runs, the batch ledger, rejected rows, checkpoints, plugin state, and changes made as one.
#include "scene.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"
#include "dray/host.h"
#include "dray/sdk/error.h"
#include "store/db.h"

#define SECRET "s3cr3t-canary-value"

static struct dray_error error;
static const char *folder;
static struct dr_store *store;

static int setup(void **state) {
  if (scene_setup(state) != 0) return -1;
  folder = *state;
  dray_error_init(&error);
  return dr_store_open(folder, &store, &error);
}

static int teardown(void **state) {
  dr_store_close(store);
  dr_redact_clear();
  return scene_teardown(state);
}

static void reopen(void) {
  dr_store_close(store);
  store = NULL;
  scene_ok(dr_store_open(folder, &store, &error));
}

static int64_t begin_run(const char *sync) {
  int64_t id = 0;
  scene_ok(dr_store_run_begin(store, sync, 4711, &id, &error));
  return id;
}

// ---- runs ----

static void test_run_is_remembered_with_all_its_numbers(void **state) {
  (void)state;
  const int64_t id = begin_run("orders");
  const struct dr_run_record wanted = {.id = id,
                                       .state = DR_RUN_FAILED,
                                       .exit_code = 3,
                                       .ended_us = 99,
                                       .rows_read = UINT64_MAX,
                                       .inserts = 2,
                                       .updates = 3,
                                       .deletes = 4,
                                       .unchanged = 5,
                                       .applied = 6,
                                       .rejected = 7,
                                       .in_doubt = 8,
                                       .code = DRAY_E_NET_CLOSED,
                                       .text = "the connection broke"};
  scene_ok(dr_store_run_update(store, &wanted, &error));
  reopen();
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  scene_ok(dr_store_runs(store, "orders", 10, &runs, &count, &error));
  assert_int_equal(count, 1);
  const struct dr_run_record *run = &runs[0];
  assert_int_equal(run->id, id);
  assert_string_equal(run->sync, "orders");
  assert_int_equal(run->state, DR_RUN_FAILED);
  assert_int_equal(run->exit_code, 3);
  assert_int_equal(run->pid, 4711);
  assert_true(run->started_us > INT64_C(1700000000000000));
  assert_int_equal(run->ended_us, 99);
  assert_true(run->rows_read == UINT64_MAX);
  assert_int_equal(run->inserts, 2);
  assert_int_equal(run->updates, 3);
  assert_int_equal(run->deletes, 4);
  assert_int_equal(run->unchanged, 5);
  assert_int_equal(run->applied, 6);
  assert_int_equal(run->rejected, 7);
  assert_int_equal(run->in_doubt, 8);
  assert_int_equal(run->code, DRAY_E_NET_CLOSED);
  assert_string_equal(run->text, "the connection broke");
  free(runs);
}

static void test_runs_come_newest_first_of_one_sync_or_all(void **state) {
  (void)state;
  const int64_t first = begin_run("orders");
  const int64_t other = begin_run("customers");
  const int64_t last = begin_run("orders");
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  scene_ok(dr_store_runs(store, "orders", 10, &runs, &count, &error));
  assert_int_equal(count, 2);
  assert_int_equal(runs[0].id, last);
  assert_int_equal(runs[1].id, first);
  free(runs);
  scene_ok(dr_store_runs(store, NULL, 2, &runs, &count, &error));
  assert_int_equal(count, 2);
  assert_int_equal(runs[0].id, last);
  assert_int_equal(runs[1].id, other);
  free(runs);
  scene_ok(dr_store_runs(store, "nobody", 10, &runs, &count, &error));
  assert_int_equal(count, 0);
  free(runs);
}

static void test_update_of_an_unknown_run_is_an_error(void **state) {
  (void)state;
  const struct dr_run_record run = {.id = 12345, .state = DR_RUN_DONE};
  assert_int_equal(dr_store_run_update(store, &run, &error), DRAY_E_INTERNAL);
}

static void test_state_names_are_those_of_the_design(void **state) {
  (void)state;
  assert_string_equal(dr_run_state_name(DR_RUN_APPLYING), "applying");
  assert_string_equal(dr_run_state_name(0), "unknown");
  assert_string_equal(dr_run_state_name(99), "unknown");
  assert_string_equal(dr_batch_state_name(DR_BATCH_IN_DOUBT), "in_doubt");
  assert_string_equal(dr_batch_state_name(-1), "unknown");
}

// ---- ledger ----

static struct dr_batch_record send_batch(const char *sync, int64_t run, uint64_t first_seq) {
  struct dr_batch_record batch = {
      .run = run, .first_seq = first_seq, .count = 100, .changeset = "orders/changes.1", .idempotency_key = "k-1"};
  scene_ok(dr_store_batch_sending(store, sync, &batch, &error));
  assert_int_equal(batch.state, DR_BATCH_SENDING);
  assert_true(batch.id > 0);
  return batch;
}

static size_t open_batches(const char *sync, struct dr_batch_record **out) {
  size_t count = 0;
  scene_ok(dr_store_batches_open(store, sync, out, &count, &error));
  return count;
}

static void test_ledger_after_reopen_holds_what_was_not_acknowledged(void **state) {
  (void)state;
  const int64_t run = begin_run("orders");
  struct dr_batch_record acked = send_batch("orders", run, 0);
  struct dr_batch_record pending = send_batch("orders", run, 100);
  const struct dr_batch_record sending = send_batch("orders", run, 200);
  send_batch("customers", begin_run("customers"), 0);
  acked.state = DR_BATCH_ACKED;
  acked.mirror_frame = 42;
  scene_ok(dr_store_batch_update(store, &acked, &error));
  pending.state = DR_BATCH_PENDING;
  memset(pending.handle, 'h', sizeof pending.handle - 1);
  scene_ok(dr_store_batch_update(store, &pending, &error));
  reopen();
  struct dr_batch_record *open = NULL;
  assert_int_equal(open_batches("orders", &open), 2);
  assert_int_equal(open[0].id, pending.id); // oldest first
  assert_int_equal(open[0].state, DR_BATCH_PENDING);
  assert_string_equal(open[0].handle, pending.handle);
  assert_int_equal(open[1].id, sending.id);
  assert_int_equal(open[1].run, run);
  assert_int_equal(open[1].first_seq, 200);
  assert_int_equal(open[1].count, 100);
  assert_string_equal(open[1].changeset, "orders/changes.1");
  assert_string_equal(open[1].idempotency_key, "k-1");
  free(open);
}

static void test_batch_of_an_unknown_run_is_refused(void **state) {
  (void)state;
  struct dr_batch_record batch = {.run = 999};
  assert_int_equal(dr_store_batch_sending(store, "orders", &batch, &error), DRAY_E_INTERNAL);
  assert_int_equal(batch.id, 0);
  batch = (struct dr_batch_record){.id = 999, .state = DR_BATCH_ACKED};
  assert_int_equal(dr_store_batch_update(store, &batch, &error), DRAY_E_INTERNAL);
}

static int64_t count_batches(const char *sync) {
  struct dr_store *other = NULL;
  sqlite3_stmt *stmt = NULL;
  scene_ok(dr_store_open(folder, &other, &error));
  assert_int_equal(sqlite3_prepare_v2(other->db, "SELECT count(*) FROM batches WHERE sync = ?", -1, &stmt, NULL),
                   SQLITE_OK);
  sqlite3_bind_text(stmt, 1, sync, -1, SQLITE_TRANSIENT);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  const int64_t count = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  dr_store_close(other);
  return count;
}

static void test_trim_keeps_new_runs_and_everything_open(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 5; i++) {
    struct dr_batch_record batch = send_batch("orders", begin_run("orders"), i);
    if (i == 0) continue; // the oldest stays in doubt
    batch.state = DR_BATCH_ACKED;
    scene_ok(dr_store_batch_update(store, &batch, &error));
  }
  struct dr_batch_record other = send_batch("customers", begin_run("customers"), 0);
  other.state = DR_BATCH_ACKED;
  scene_ok(dr_store_batch_update(store, &other, &error));
  scene_ok(dr_store_batches_trim(store, "orders", 2, &error));
  assert_int_equal(count_batches("orders"), 3); // the open one and those of the two newest runs
  assert_int_equal(count_batches("customers"), 1);
  struct dr_batch_record *open = NULL;
  assert_int_equal(open_batches("orders", &open), 1);
  assert_int_equal(open[0].first_seq, 0);
  free(open);
}

// ---- rejected rows ----

static struct dr_row_record rejected_row(uint8_t key, uint64_t row_hash, int64_t run) {
  struct dr_row_record row = {.row_hash = row_hash, .op = 2, .code = DRAY_E_DATA_TYPE, .run = run};
  row.key_hash[0] = key;
  snprintf(row.key, sizeof row.key, "{\"id\":%d}", key);
  snprintf(row.column, sizeof row.column, "age");
  snprintf(row.text, sizeof row.text, "\"x\" is not an int64");
  return row;
}

static struct dr_row_record reject(uint8_t key, uint64_t row_hash, int64_t run, uint32_t attempts_max) {
  struct dr_row_record row = rejected_row(key, row_hash, run);
  scene_ok(dr_store_row_reject(store, "orders", &row, attempts_max, &error));
  return row;
}

static void test_row_refused_again_counts_up_and_is_parked_at_the_limit(void **state) {
  (void)state;
  for (uint32_t attempt = 1; attempt <= 3; attempt++) {
    const struct dr_row_record row = reject(1, 0xFFFFFFFFFFFFFFFFu, attempt, 3);
    assert_int_equal(row.attempts, attempt);
    assert_int_equal(row.parked, attempt == 3);
    reopen(); // the count is the store's, not the process's
  }
  struct dr_row_record found;
  int there = 0;
  const uint8_t key_hash[16] = {1};
  scene_ok(dr_store_row_find(store, "orders", key_hash, &found, &there, &error));
  assert_int_equal(there, 1);
  assert_int_equal(found.attempts, 3);
  assert_int_equal(found.parked, 1);
  assert_true(found.row_hash == UINT64_MAX);
  assert_int_equal(found.op, 2);
  assert_int_equal(found.code, DRAY_E_DATA_TYPE);
  assert_int_equal(found.run, 3);
  assert_string_equal(found.key, "{\"id\":1}");
  assert_string_equal(found.column, "age");
  assert_string_equal(found.text, "\"x\" is not an int64");
}

static void test_row_with_new_content_starts_anew_and_is_unparked(void **state) {
  (void)state;
  reject(1, 100, 1, 2);
  assert_int_equal(reject(1, 100, 2, 2).parked, 1);
  const struct dr_row_record row = reject(1, 101, 3, 2);
  assert_int_equal(row.attempts, 1);
  assert_int_equal(row.parked, 0);
}

static void test_limit_of_one_parks_at_once_and_of_zero_never(void **state) {
  (void)state;
  assert_int_equal(reject(1, 100, 1, 1).parked, 1);
  for (int i = 0; i < 20; i++) assert_int_equal(reject(2, 100, 1, 0).parked, 0);
}

static void test_unparked_rows_get_all_their_attempts_again(void **state) {
  (void)state;
  reject(1, 100, 1, 1);
  reject(2, 100, 1, 1);
  reject(3, 100, 1, 0);
  uint64_t unparked = 0, rejected = 0, parked = 0;
  scene_ok(dr_store_rows_count(store, "orders", &rejected, &parked, &error));
  assert_int_equal(rejected, 3);
  assert_int_equal(parked, 2);
  scene_ok(dr_store_rows_unpark(store, "orders", &unparked, &error));
  assert_int_equal(unparked, 2);
  const struct dr_row_record row = reject(1, 100, 2, 2);
  assert_int_equal(row.attempts, 1);
  assert_int_equal(row.parked, 0);
}

static void test_rows_gone_from_the_input_are_cleared(void **state) {
  (void)state;
  reject(1, 100, 1, 5);
  reject(2, 100, 1, 5);
  reject(2, 100, 2, 5);
  scene_ok(dr_store_rows_clear_before(store, "orders", 2, &error));
  struct dr_row_record *rows = NULL;
  size_t count = 0;
  scene_ok(dr_store_rows(store, "orders", 0, 10, &rows, &count, &error));
  assert_int_equal(count, 1);
  assert_int_equal(rows[0].key_hash[0], 2);
  assert_int_equal(rows[0].attempts, 2);
  free(rows);
  const uint8_t key_hash[16] = {2};
  scene_ok(dr_store_row_clear(store, "orders", key_hash, &error));
  struct dr_row_record found;
  int there = 1;
  scene_ok(dr_store_row_find(store, "orders", key_hash, &found, &there, &error));
  assert_int_equal(there, 0);
}

static void test_touched_row_is_not_forgotten_and_not_counted_again(void **state) {
  (void)state;
  reject(1, 100, 1, 1);
  const uint8_t key_hash[16] = {1};
  scene_ok(dr_store_row_touch(store, "orders", key_hash, 2, &error));
  scene_ok(dr_store_rows_clear_before(store, "orders", 2, &error));
  struct dr_row_record found;
  int there = 0;
  scene_ok(dr_store_row_find(store, "orders", key_hash, &found, &there, &error));
  assert_int_equal(there, 1);
  assert_int_equal(found.attempts, 1);
  assert_int_equal(found.parked, 1);
  assert_int_equal(found.run, 2);
}

static void reject_in_doubt(uint8_t key) {
  struct dr_row_record row = rejected_row(key, 100, 1);
  row.code = DRAY_E_STATE_IN_DOUBT;
  scene_ok(dr_store_row_reject(store, "orders", &row, 1, &error));
}

static void test_rows_in_doubt_wait_for_an_operator_and_no_retry_frees_them(void **state) {
  (void)state;
  uint64_t count = 0, rejected = 0, parked = 0;
  const uint8_t doubted[16] = {1}, refused[16] = {2};
  struct dr_row_record found;
  int there = 0;
  reject_in_doubt(1);
  reject(2, 100, 1, 1);
  scene_ok(dr_store_rows_unpark(store, "orders", &count, &error));
  assert_int_equal(count, 1); // the refused one only
  scene_ok(dr_store_rows_resolve(store, "orders", 1, &count, &error));
  assert_int_equal(count, 1);
  scene_ok(dr_store_row_find(store, "orders", doubted, &found, &there, &error));
  assert_int_equal(there, 1);
  assert_int_equal(found.parked, DR_ROW_APPLIED); // the next run acknowledges it
  scene_ok(dr_store_rows_count(store, "orders", &rejected, &parked, &error));
  assert_int_equal(rejected, 2);
  assert_int_equal(parked, 0);
  scene_ok(dr_store_row_clear(store, "orders", doubted, &error));
  reject_in_doubt(1);
  scene_ok(dr_store_rows_resolve(store, "orders", 0, &count, &error));
  assert_int_equal(count, 1);
  scene_ok(dr_store_row_find(store, "orders", doubted, &found, &there, &error));
  assert_int_equal(there, 1);
  assert_int_equal(found.parked, DR_ROW_RESEND); // the next run sends it, in another batch
  scene_ok(dr_store_row_find(store, "orders", refused, &found, &there, &error));
  assert_int_equal(there, 1);
}

struct keys {
  uint32_t seen; // bit n: the key n
  size_t count;
};

static void take_key(void *ctx, const uint8_t key_hash[16], struct dray_str key) {
  struct keys *keys = ctx;
  const struct dr_row_record row = rejected_row(key_hash[0], 0, 0);
  assert_true(dray_str_is(key, row.key));
  keys->seen |= 1u << key_hash[0];
  keys->count++;
}

static void test_keys_of_rows_are_given_but_for_those_without_one(void **state) {
  (void)state;
  struct keys keys = {0, 0};
  for (uint8_t key = 1; key <= 5; key++) (void)reject(key, 100, 1, 0);
  struct dr_row_record row = rejected_row(6, 100, 1);
  row.code = DRAY_E_DATA_KEY_NULL;
  scene_ok(dr_store_row_reject(store, "orders", &row, 0, &error));
  scene_ok(dr_store_row_keys(store, "orders", 100, take_key, &keys, &error));
  assert_int_equal(keys.count, 5);
  assert_int_equal(keys.seen, 0x3e);
  keys = (struct keys){0, 0};
  scene_ok(dr_store_row_keys(store, "orders", 3, take_key, &keys, &error));
  assert_int_equal(keys.count, 3);
  keys.count = 0;
  scene_ok(dr_store_row_keys(store, "others", 100, take_key, &keys, &error));
  assert_int_equal(keys.count, 0);
}

static void test_pages_cover_all_rows_once_ordered_by_code_and_key(void **state) {
  (void)state;
  scene_ok(dr_store_begin(store, &error));
  for (uint8_t i = 0; i < 25; i++) {
    struct dr_row_record row = rejected_row(i, 1, 1);
    row.code = i % 2 == 0 ? DRAY_E_DATA_TYPE : DRAY_E_DATA_SHAPE;
    snprintf(row.key, sizeof row.key, "same"); // equal keys, as of rows without one, still page
    scene_ok(dr_store_row_reject(store, "orders", &row, 5, &error));
  }
  scene_ok(dr_store_commit(store, &error));
  int seen[25] = {0};
  int32_t last_code = 0;
  for (size_t offset = 0; offset < 30; offset += 10) {
    struct dr_row_record *rows = NULL;
    size_t count = 0;
    scene_ok(dr_store_rows(store, "orders", offset, 10, &rows, &count, &error));
    assert_int_equal(count, offset < 20 ? 10 : 5);
    for (size_t i = 0; i < count; i++) {
      assert_true(rows[i].code >= last_code);
      last_code = rows[i].code;
      seen[rows[i].key_hash[0]]++;
    }
    free(rows);
  }
  for (size_t i = 0; i < 25; i++) assert_int_equal(seen[i], 1);
}

// ---- what a sync has reached, and plugins' state ----

static void test_checkpoint_comes_back_byte_by_byte(void **state) {
  (void)state;
  char bytes[256];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)i;
  struct dr_sync_state sync = {.generation = UINT64_MAX - 1, .identity = "file:/data/*.csv"};
  sync.checkpoint.data = bytes;
  sync.checkpoint.len = sizeof bytes;
  scene_ok(dr_store_sync_put(store, "orders", &sync, &error));
  reopen();
  struct dr_sync_state found;
  scene_ok(dr_store_sync_get(store, "orders", &found, &error));
  assert_true(found.generation == UINT64_MAX - 1);
  assert_string_equal(found.identity, "file:/data/*.csv");
  assert_int_equal(found.checkpoint.len, sizeof bytes);
  assert_memory_equal(found.checkpoint.data, bytes, sizeof bytes);
  dray_buffer_free(&found.checkpoint);
  scene_ok(dr_store_sync_get(store, "unknown", &found, &error));
  assert_int_equal(found.generation, 0);
  assert_int_equal(found.checkpoint.len, 0);
  dray_buffer_free(&found.checkpoint);
}

static void test_checkpoint_past_the_limit_is_refused(void **state) {
  (void)state;
  struct dr_sync_state sync = {.generation = 1};
  sync.checkpoint.len = DR_CHECKPOINT_BYTES_MAX + 1;
  assert_int_equal(dr_store_sync_put(store, "orders", &sync, &error), DRAY_E_LIMIT);
}

static void test_forget_removes_one_sync_and_no_other(void **state) {
  (void)state;
  const struct dr_sync_state sync = {.generation = 3};
  scene_ok(dr_store_sync_put(store, "orders", &sync, &error));
  scene_ok(dr_store_sync_put(store, "customers", &sync, &error));
  send_batch("orders", begin_run("orders"), 0);
  send_batch("customers", begin_run("customers"), 0);
  reject(1, 1, 1, 5);
  scene_ok(dr_store_sync_forget(store, "orders", &error));
  struct dr_sync_state found;
  scene_ok(dr_store_sync_get(store, "orders", &found, &error));
  assert_int_equal(found.generation, 0);
  dray_buffer_free(&found.checkpoint);
  struct dr_batch_record *open = NULL;
  assert_int_equal(open_batches("orders", &open), 0);
  free(open);
  uint64_t rejected = 1, parked = 1;
  scene_ok(dr_store_rows_count(store, "orders", &rejected, &parked, &error));
  assert_int_equal(rejected, 0);
  scene_ok(dr_store_sync_get(store, "customers", &found, &error));
  assert_int_equal(found.generation, 3);
  dray_buffer_free(&found.checkpoint);
  assert_int_equal(open_batches("customers", &open), 1);
  free(open);
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  scene_ok(dr_store_runs(store, "orders", 10, &runs, &count, &error)); // history stays
  assert_int_equal(count, 1);
  free(runs);
}

static void test_plugin_state_is_private_to_its_connection(void **state) {
  (void)state;
  struct dray_buffer value;
  dray_buffer_init(&value, DRAY_STATE_VALUE_BYTES_MAX);
  const struct dray_str key = dray_str_make("a\0b", 3);
  scene_ok(dr_store_plugin_put(store, "shop", key, dray_str_make("x\0y", 3), &error));
  scene_ok(dr_store_plugin_put(store, "mail", key, dray_str_of("other"), &error));
  reopen();
  scene_ok(dr_store_plugin_get(store, "shop", key, &value, &error));
  assert_int_equal(value.len, 3);
  assert_memory_equal(value.data, "x\0y", 3);
  scene_ok(dr_store_plugin_get(store, "shop", dray_str_of("a"), &value, &error));
  assert_int_equal(value.len, 0);
  scene_ok(dr_store_plugin_put(store, "shop", key, dray_str_make(NULL, 0), &error)); // removes
  scene_ok(dr_store_plugin_get(store, "shop", key, &value, &error));
  assert_int_equal(value.len, 0);
  scene_ok(dr_store_plugin_get(store, "mail", key, &value, &error));
  assert_int_equal(value.len, 5);
  dray_buffer_free(&value);
}

static void test_plugin_state_has_limits(void **state) {
  (void)state;
  char *big = calloc(1, DRAY_STATE_VALUE_BYTES_MAX + 1);
  assert_non_null(big);
  const struct dray_str key = dray_str_of("k");
  scene_ok(dr_store_plugin_put(store, "shop", key, dray_str_make(big, DRAY_STATE_VALUE_BYTES_MAX), &error));
  assert_int_equal(dr_store_plugin_put(store, "shop", key, dray_str_make(big, DRAY_STATE_VALUE_BYTES_MAX + 1), &error),
                   DRAY_E_LIMIT);
  assert_int_equal(dr_store_plugin_put(store, "shop", dray_str_make(big, DRAY_STATE_KEY_BYTES_MAX + 1), key, &error),
                   DRAY_E_LIMIT);
  struct dray_buffer small;
  dray_buffer_init(&small, 10);
  assert_int_equal(dr_store_plugin_get(store, "shop", key, &small, &error), DRAY_E_LIMIT);
  scene_ok(
      dr_store_plugin_put(store, "shop", dray_str_of("after"), key, &error)); // the failed look-up left no lock behind
  dray_buffer_free(&small);
  free(big);
}

// ---- secrets ----

static int file_holds(const char *path, const char *text) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  const size_t size = scene_size(path), len = strlen(text);
  char *bytes = malloc(size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, size, file), size);
  fclose(file);
  const int found = memmem(bytes, size, text, len) != NULL;
  free(bytes);
  return found;
}

static void test_secret_in_messages_never_reaches_the_file(void **state) {
  (void)state;
  dr_redact_add(dray_str_of(SECRET));
  struct dr_run_record run = {
      .id = begin_run("orders"), .state = DR_RUN_FAILED, .text = "the key " SECRET " was refused"};
  scene_ok(dr_store_run_update(store, &run, &error));
  struct dr_row_record row = rejected_row(1, 1, run.id);
  snprintf(row.key, sizeof row.key, "{\"token\":\"" SECRET "\"}");
  snprintf(row.text, sizeof row.text, "no: " SECRET);
  snprintf(row.column, sizeof row.column, SECRET);
  scene_ok(dr_store_row_reject(store, "orders", &row, 5, &error));
  dr_store_close(store);
  store = NULL;
  assert_false(file_holds(scene_path(folder, "state.db"), SECRET));
  assert_true(file_holds(scene_path(folder, "state.db"), "was refused")); // the rest of the sentence is there
}

// ---- as one ----

static void test_changes_between_begin_and_commit_are_kept_together(void **state) {
  (void)state;
  scene_ok(dr_store_begin(store, &error));
  const int64_t run = begin_run("orders");
  send_batch("orders", run, 0);
  reject(1, 1, run, 5);
  dr_store_rollback(store);
  dr_store_rollback(store); // harmless
  struct dr_run_record *runs = NULL;
  size_t count = 1;
  scene_ok(dr_store_runs(store, NULL, 10, &runs, &count, &error));
  assert_int_equal(count, 0);
  free(runs);
  scene_ok(dr_store_begin(store, &error));
  send_batch("orders", begin_run("orders"), 0);
  scene_ok(dr_store_commit(store, &error));
  reopen();
  struct dr_batch_record *open = NULL;
  assert_int_equal(open_batches("orders", &open), 1);
  free(open);
}

static void test_failure_inside_a_transaction_spoils_all_of_it(void **state) {
  (void)state;
  scene_ok(dr_store_begin(store, &error));
  begin_run("orders");
  const struct dr_run_record unknown = {.id = 999, .state = DR_RUN_DONE};
  assert_int_equal(dr_store_run_update(store, &unknown, &error), DRAY_E_INTERNAL);
  const struct dr_sync_state sync = {.generation = 3};
  assert_int_equal(dr_store_sync_put(store, "orders", &sync, &error), DRAY_E_INTERNAL);
  assert_int_equal(dr_store_commit(store, &error), DRAY_E_INTERNAL);
  struct dr_run_record *runs = NULL;
  size_t count = 1;
  scene_ok(dr_store_runs(store, NULL, 10, &runs, &count, &error));
  assert_int_equal(count, 0);
  free(runs);
  scene_ok(dr_store_sync_put(store, "orders", &sync, &error)); // and the store is usable
}

static void test_history_is_bounded_but_keeps_what_is_open(void **state) {
  (void)state;
  scene_ok(dr_store_begin(store, &error));
  const int64_t oldest = begin_run("orders");
  send_batch("orders", oldest, 0);
  begin_run("customers");
  for (int i = 0; i < 10004; i++) begin_run("orders");
  scene_ok(dr_store_commit(store, &error));
  struct dr_run_record *runs = NULL;
  size_t count = 0;
  scene_ok(dr_store_runs(store, "orders", SIZE_MAX, &runs, &count, &error));
  assert_int_equal(count, 10001);
  assert_int_equal(runs[10000].id, oldest);
  free(runs);
  scene_ok(dr_store_runs(store, "customers", 10, &runs, &count, &error));
  assert_int_equal(count, 1);
  free(runs);
}

static void test_run_numbers_are_never_given_twice(void **state) {
  (void)state;
  const int64_t first = begin_run("orders");
  assert_int_equal(sqlite3_exec(store->db, "DELETE FROM runs", NULL, NULL, NULL), SQLITE_OK);
  reopen();
  assert_true(begin_run("orders") > first);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_run_is_remembered_with_all_its_numbers),
      TEST(test_runs_come_newest_first_of_one_sync_or_all),
      TEST(test_update_of_an_unknown_run_is_an_error),
      TEST(test_state_names_are_those_of_the_design),
      TEST(test_ledger_after_reopen_holds_what_was_not_acknowledged),
      TEST(test_batch_of_an_unknown_run_is_refused),
      TEST(test_trim_keeps_new_runs_and_everything_open),
      TEST(test_row_refused_again_counts_up_and_is_parked_at_the_limit),
      TEST(test_row_with_new_content_starts_anew_and_is_unparked),
      TEST(test_limit_of_one_parks_at_once_and_of_zero_never),
      TEST(test_unparked_rows_get_all_their_attempts_again),
      TEST(test_rows_gone_from_the_input_are_cleared),
      TEST(test_touched_row_is_not_forgotten_and_not_counted_again),
      TEST(test_rows_in_doubt_wait_for_an_operator_and_no_retry_frees_them),
      TEST(test_keys_of_rows_are_given_but_for_those_without_one),
      TEST(test_pages_cover_all_rows_once_ordered_by_code_and_key),
      TEST(test_checkpoint_comes_back_byte_by_byte),
      TEST(test_checkpoint_past_the_limit_is_refused),
      TEST(test_forget_removes_one_sync_and_no_other),
      TEST(test_plugin_state_is_private_to_its_connection),
      TEST(test_plugin_state_has_limits),
      TEST(test_secret_in_messages_never_reaches_the_file),
      TEST(test_changes_between_begin_and_commit_are_kept_together),
      TEST(test_failure_inside_a_transaction_spoils_all_of_it),
      TEST(test_history_is_bounded_but_keeps_what_is_open),
      TEST(test_run_numbers_are_never_given_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
