// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The plugin as it is installed, in the host's own hands, against a receiver that was written apart from it: loaded
// by its
// manifest, called through the wrappers that check every receipt, over real sockets.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "batch.h"
#include "dray/sdk/services.h"
#include "plugin/calls.h"

#define BUSY_TRIES 500
#define RECEIPTS_MAX 8

static struct dr_plugin *plugin; // loaded once: libraries are never unloaded

struct bench {
  char folder[64];
  pid_t receiver;
  int port;
  struct dr_host *host;
  struct dr_destination_instance instance;
  struct dray_caps caps;
  struct rows rows;
  struct dray_error error;
  struct dray_receipt items[RECEIPTS_MAX];
  struct dray_receipts receipts;
};

static void must(const struct bench *bench, int32_t rc) {
  if (rc != DRAY_OK) fail_msg("%s: %s", dray_error_info(rc)->name, bench->error.text);
}

static int load(void **state) {
  struct dr_manifest manifest;
  struct dray_error error;
  dray_error_init(&error);
  (void)state;
  if (dr_manifest_read(DRAY_TEST_PLUGIN, &manifest, &error) != DRAY_OK ||
      dr_plugin_load(&manifest, &plugin, &error) != DRAY_OK) {
    fail_msg("%s", error.text);
  }
  return 0;
}

static int setup(void **state) {
  struct bench *bench = calloc(1, sizeof(*bench));
  assert_non_null(bench);
  (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/dray-webhook-XXXXXX");
  assert_non_null(mkdtemp(bench->folder));
  dray_error_init(&bench->error);
  rows_open(&bench->rows);
  *state = bench;
  return 0;
}

static int teardown(void **state) {
  struct bench *bench = *state;
  char path[128];
  if (bench->receiver > 0) {
    (void)kill(bench->receiver, SIGKILL);
    (void)waitpid(bench->receiver, NULL, 0);
  }
  dr_destination_destroy(&bench->instance);
  dr_host_free(bench->host);
  rows_close(&bench->rows);
  (void)snprintf(path, sizeof(path), "%s/ledger", bench->folder);
  (void)unlink(path);
  (void)rmdir(bench->folder);
  free(bench);
  return 0;
}

static int32_t secret(void *ctx, struct dray_str setting, struct dray_buffer *out, struct dray_error *error) {
  (void)ctx;
  (void)setting;
  return dray_buffer_append_str(out, "s3cret", error);
}

// Starts a receiver with these faults that demands bearer token, signature and key, and begins a run with it.
static void start(struct bench *bench, const char *faults, const char *more) {
  int out[2];
  char ledger[128], settings[1024], line[64] = "";
  (void)snprintf(ledger, sizeof(ledger), "%s/ledger", bench->folder);
  assert_int_equal(pipe(out), 0);
  bench->receiver = fork();
  assert_true(bench->receiver >= 0);
  if (bench->receiver == 0) {
    (void)dup2(out[1], STDOUT_FILENO);
    (void)close(out[0]);
    execl(DRAY_TEST_PYTHON, "python3", DRAY_TEST_RECEIVER, "--ledger", ledger, "--faults", faults, "--require-hmac",
          "s3cret", "--require-bearer", "s3cret", "--require-key", (char *)NULL);
    _exit(127);
  }
  (void)close(out[1]);
  FILE *told = fdopen(out[0], "r");
  assert_non_null(told);
  assert_non_null(fgets(line, sizeof(line), told));
  (void)fclose(told);
  assert_int_equal(sscanf(line, "{\"port\": %d}", &bench->port), 1);
  const struct dr_host_options options = {.connection = "mail", .secret = secret};
  must(bench, dr_host_new(&options, &bench->host, &bench->error));
  (void)snprintf(settings, sizeof(settings),
                 "{\"url\": \"http://127.0.0.1:%d/hook\", \"bearer_token\": {\"$secret\": \"bearer_token\"},"
                 " \"hmac_secret\": {\"$secret\": \"hmac_secret\"}%s%s}",
                 bench->port, more[0] != '\0' ? ", " : "", more);
  must(bench,
       dr_destination_create(plugin, bench->host, "mail", dray_str_of(settings), &bench->instance, &bench->error));
  const struct dray_write_plan plan = rows_plan(&bench->rows, "{}");
  must(bench, dr_destination_caps(&bench->instance, plan.object, plan.options_json, &bench->caps, &bench->error));
  must(bench, dr_destination_begin(&bench->instance, &plan, &bench->error));
}

#define RESULTS                                                                                                        \
  "\"results\": {\"path\": \"results\", \"index\": \"index\", \"status\": \"status\", \"error\": \"error.message\"}"

// Sends three rows under a key.
static int32_t send(struct bench *bench, const char *key) {
  const int64_t first = bench->rows.next_row;
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, "Ann", 1250, "");
  rows_add(&bench->rows, DRAY_OP_INSERT, 2, "Bo", 5, "");
  rows_add(&bench->rows, DRAY_OP_INSERT, 3, NULL, -1, "");
  struct ArrowArray batch = rows_finish(&bench->rows);
  const int64_t rows[] = {first, first + 1, first + 2};
  const struct dray_batch_info info = {
      .struct_size = sizeof(info), .attempt = 1, .batch = 1, .idempotency_key = dray_str_of(key)};
  bench->receipts =
      (struct dray_receipts){.struct_size = sizeof(bench->receipts), .items = bench->items, .capacity = RECEIPTS_MAX};
  dray_error_init(&bench->error);
  const int32_t rc = dr_destination_write(&bench->instance, &bench->caps, &batch, 100, rows, 3, &info, &bench->receipts,
                                          &bench->error);
  batch.release(&batch);
  return rc;
}

static void expect_all(const struct bench *bench, int32_t status) {
  assert_int_equal(bench->receipts.count, 3);
  for (uint64_t i = 0; i < 3; i++) assert_int_equal(bench->items[i].status, status);
}

// What the receiver holds, as it says itself.
static void expect_state(struct bench *bench, const char *expected) {
  struct dray_services services;
  struct dray_buffer body;
  char url[128];
  (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/_sim/state", bench->port);
  const struct dray_http_request request = {
      .struct_size = sizeof(request), .method = dray_str_of("GET"), .url = dray_str_of(url)};
  dray_buffer_init(&body, 65536);
  must(bench, dray_services_init(&services, dr_host_abi(bench->host), &bench->error));
  must(bench, dray_http_fetch(&services, &request, &body, NULL, &bench->error));
  assert_string_equal(body.data, expected);
  dray_buffer_free(&body);
}

// How often rows were applied, by the ledger.
static int applied_batches(const struct bench *bench) {
  char path[128], line[8192];
  int count = 0;
  (void)snprintf(path, sizeof(path), "%s/ledger", bench->folder);
  FILE *ledger = fopen(path, "r");
  assert_non_null(ledger);
  while (fgets(line, sizeof(line), ledger) != NULL) count += strstr(line, "\"outcome\": \"applied") != NULL;
  (void)fclose(ledger);
  return count;
}

#define ALL_THREE                                                                                                      \
  "{\"customers\":[{\"id\":1,\"name\":\"Ann\",\"amount\":12.5,\"tags\":[1,\"x\"]},"                                    \
  "{\"id\":2,\"name\":\"Bo\",\"amount\":0.05,\"tags\":[1,\"x\"]},{\"id\":3,\"name\":null,\"tags\":[1,\"x\"]}]}"

static void test_rows_arrive_signed_and_are_receipted(void **state) {
  struct bench *bench = *state;
  start(bench, "[]", RESULTS);
  must(bench, send(bench, "k1"));
  expect_all(bench, DRAY_RECEIPT_APPLIED);
  must(bench, send(bench, "k2"));
  expect_all(bench, DRAY_RECEIPT_UNCHANGED);
  expect_state(bench, ALL_THREE);
}

static void test_a_wrong_signature_is_an_auth_error(void **state) {
  struct bench *bench = *state;
  start(bench, "[]", "\"hmac_header\": \"X-Other\"");
  assert_int_equal(send(bench, "k1"), DRAY_E_AUTH_REJECTED);
  assert_non_null(strstr(bench->error.text, "the signature does not match"));
  expect_state(bench, "{}");
}

static void test_a_receiver_that_asks_to_wait_is_told_of(void **state) {
  struct bench *bench = *state;
  start(bench, "[{\"kind\": \"throttle\", \"retry_after\": 2}]", RESULTS);
  assert_int_equal(send(bench, "k1"), DRAY_E_THROTTLED);
  assert_int_equal(bench->error.retry_after_ms, 2000);
  // The host's own pace keeps the two seconds; a test need not.
  dr_destination_destroy(&bench->instance);
  dr_host_free(bench->host);
  bench->host = NULL;
}

static void test_a_server_error_leaves_doubt_that_the_key_resolves(void **state) {
  struct bench *bench = *state;
  start(bench,
        "[{\"kind\": \"status\", \"status\": 500}, {\"kind\": \"status\", \"status\": 502, \"applied\": true, "
        "\"nth\": 2}, {\"kind\": \"html\", \"nth\": 3}]",
        RESULTS);
  for (int i = 0; i < 3; i++) {
    must(bench, send(bench, "k1"));
    expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  }
  must(bench, send(bench, "k1"));
  expect_all(bench, DRAY_RECEIPT_APPLIED);
  assert_int_equal(applied_batches(bench), 1);
  expect_state(bench, ALL_THREE);
}

static void closed_after_the_body(struct bench *bench, const char *faults) {
  start(bench, faults, RESULTS);
  must(bench, send(bench, "k1"));
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  int32_t rc = send(bench, "k1");
  for (int i = 0; rc == DRAY_E_BUSY && i < BUSY_TRIES;
       i++) { // the receiver is still at the first one; the host would come again
    (void)usleep(20000);
    rc = send(bench, "k1");
  }
  must(bench, rc);
  expect_all(bench, DRAY_RECEIPT_APPLIED);
  assert_int_equal(applied_batches(bench), 1);
  expect_state(bench, ALL_THREE);
}

static void test_a_connection_closed_before_the_rows_were_applied(void **state) {
  closed_after_the_body(*state, "[{\"kind\": \"reset\"}]");
}

static void test_a_connection_closed_after_the_rows_were_applied(void **state) {
  closed_after_the_body(*state, "[{\"kind\": \"reset\", \"applied\": true}]");
}

static void test_an_answer_that_is_cut_leaves_doubt(void **state) {
  closed_after_the_body(*state, "[{\"kind\": \"cut\", \"applied\": true}]");
}

static void test_one_row_is_refused_among_others(void **state) {
  struct bench *bench = *state;
  start(bench,
        "[{\"kind\": \"reject_rows\", \"where\": {\"field\": \"name\", \"equals\": \"Bo\"}, \"message\": \"no Bo "
        "here\"}]",
        RESULTS);
  must(bench, send(bench, "k1"));
  assert_int_equal(bench->items[0].status, DRAY_RECEIPT_APPLIED);
  assert_int_equal(bench->items[1].status, DRAY_RECEIPT_REJECTED);
  assert_true(dray_str_is(bench->items[1].text, "no Bo here"));
  assert_int_equal(bench->items[2].status, DRAY_RECEIPT_APPLIED);
}

static void test_a_batch_is_refused_because_of_one_row(void **state) {
  struct bench *bench = *state;
  start(bench, "[{\"kind\": \"refuse_batch\", \"where\": {\"key\": {\"id\": 2}}}]", RESULTS);
  assert_int_equal(send(bench, "k1"), DRAY_E_DATA_REJECTED);
  assert_int_equal(bench->error.error_class, DRAY_CLASS_DATA);
  assert_int_equal(bench->error.http_status, 400);
  expect_state(bench, "{}");
}

static void test_check_finds_the_receiver(void **state) {
  struct bench *bench = *state;
  struct dray_str steps;
  start(bench, "[]", "");
  must(bench, dr_destination_check(&bench->instance, &steps, &bench->error));
  assert_non_null(memmem(steps.data, steps.len, "answered with 405", 17));
  must(bench, dr_destination_discover(&bench->instance, &steps, &bench->error));
}

static void test_nobody_there_is_no_doubt(void **state) {
  struct bench *bench = *state;
  start(bench, "[]", "");
  (void)kill(bench->receiver, SIGKILL);
  (void)waitpid(bench->receiver, NULL, 0);
  bench->receiver = 0;
  assert_int_equal(send(bench, "k1"), DRAY_E_NET_CONNECT);
  assert_int_equal(bench->error.error_class, DRAY_CLASS_TRANSIENT);
}

// The last one: the wish to end cannot be taken back.
static void test_a_slow_receiver_does_not_hold_up_the_end(void **state) {
  struct bench *bench = *state;
  start(bench, "[{\"kind\": \"slow\", \"seconds\": 8}]", RESULTS);
  const pid_t waker = getpid();
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)usleep(300000);
    (void)kill(waker, SIGUSR1);
    _exit(0);
  }
  const int64_t began_ms = dr_monotonic_ms();
  must(bench, send(bench, "k1"));
  assert_true(dr_monotonic_ms() - began_ms < 1300);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN); // the body had left
  assert_int_equal(waitpid(child, NULL, 0), child);
}

static void wake(int signal_number) {
  (void)signal_number;
  dr_cancel_request();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  (void)signal(SIGUSR1, wake);
  const struct CMUnitTest tests[] = {
      TEST(test_rows_arrive_signed_and_are_receipted),
      TEST(test_a_wrong_signature_is_an_auth_error),
      TEST(test_a_receiver_that_asks_to_wait_is_told_of),
      TEST(test_a_server_error_leaves_doubt_that_the_key_resolves),
      TEST(test_a_connection_closed_before_the_rows_were_applied),
      TEST(test_a_connection_closed_after_the_rows_were_applied),
      TEST(test_an_answer_that_is_cut_leaves_doubt),
      TEST(test_one_row_is_refused_among_others),
      TEST(test_a_batch_is_refused_because_of_one_row),
      TEST(test_check_finds_the_receiver),
      TEST(test_nobody_there_is_no_doubt),
      TEST(test_a_slow_receiver_does_not_hold_up_the_end),
  };
  return cmocka_run_group_tests(tests, load, NULL);
}
