// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What leaves for a batch, and what becomes of its rows for every kind of answer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "exchange.h"
#include "fake.h"
#include "torture.h"

#define RECEIPTS_MAX 8

struct bench {
  struct fake fake;
  struct rows rows;
  struct dray_destination *destination;
  struct dray_error error;
  struct dray_receipt items[RECEIPTS_MAX];
  struct dray_receipts receipts;
};

static int setup(void **state) {
  struct bench *bench = calloc(1, sizeof(*bench));
  assert_non_null(bench);
  fake_init(&bench->fake);
  rows_open(&bench->rows);
  dray_error_init(&bench->error);
  *state = bench;
  return 0;
}

static int teardown(void **state) {
  struct bench *bench = *state;
  assert_int_equal(bench->fake.open_answers, 0);
  webhook_destination_vtable.destroy(bench->destination);
  rows_close(&bench->rows);
  fake_free(&bench->fake);
  free(bench);
  return 0;
}

static int32_t create(struct bench *bench, const char *more) {
  char settings[4096];
  (void)snprintf(settings, sizeof(settings), "{\"url\": \"https://example.test/hook?t=1\"%s%s}",
                 more[0] != '\0' ? ", " : "", more);
  webhook_destination_vtable.destroy(bench->destination);
  bench->destination = NULL;
  return webhook_destination_vtable.create(&bench->fake.host, dray_str_of(settings), &bench->destination,
                                           &bench->error);
}

static int32_t begin(struct bench *bench, const char *options) {
  const struct dray_write_plan plan = rows_plan(&bench->rows, options);
  return webhook_destination_vtable.begin(bench->destination, &plan, &bench->error);
}

static void start(struct bench *bench, const char *more, const char *options) {
  if (create(bench, more) != DRAY_OK || begin(bench, options) != DRAY_OK) fail_msg("%s", bench->error.text);
}

static int32_t send(struct bench *bench) {
  struct ArrowArray batch = rows_finish(&bench->rows);
  const struct dray_batch_info info = {
      .struct_size = sizeof(info), .attempt = 1, .batch = 5, .idempotency_key = dray_str_of("key-1")};
  bench->receipts =
      (struct dray_receipts){.struct_size = sizeof(bench->receipts), .items = bench->items, .capacity = RECEIPTS_MAX};
  dray_error_init(&bench->error);
  const int32_t rc =
      webhook_destination_vtable.write(bench->destination, &batch, &info, &bench->receipts, &bench->error);
  if (rc == DRAY_OK) {
    assert_int_equal(bench->receipts.count, batch.length);
    for (int64_t i = 0; i < batch.length; i++)
      assert_int_equal(bench->items[i].row, bench->rows.next_row - batch.length + i);
  }
  batch.release(&batch);
  return rc;
}

static void add_three(struct bench *bench) {
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, "Ann", 1250, "");
  rows_add(&bench->rows, DRAY_OP_UPDATE, 2, NULL, 5, "na");
  rows_add(&bench->rows, DRAY_OP_DELETE, 3, "-", -1, "");
}

// ---- what leaves ----

static void test_the_default_body_holds_what_a_receiver_needs(void **state) {
  struct bench *bench = *state;
  start(bench, "", "{}");
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  assert_string_equal(bench->fake.asked, "{\"object\":\"customers\",\"sync\":\"vip\",\"batch_id\":\"key-1\",\"rows\":["
                                         "{\"op\":\"insert\",\"key\":{\"id\":1},\"data\":{\"id\":1,\"name\":\"Ann\","
                                         "\"amount\":12.50,\"tags\":[1,\"x\"]},\"changed\":[]},"
                                         "{\"op\":\"update\",\"key\":{\"id\":2},\"data\":{\"id\":2,\"name\":null,"
                                         "\"amount\":0.05},\"changed\":[\"name\",\"amount\"]},"
                                         "{\"op\":\"delete\",\"key\":{\"id\":3},\"data\":{},\"changed\":[]}]}");
  assert_string_equal(bench->fake.method, "POST");
  assert_string_equal(bench->fake.url, "https://example.test/hook?t=1");
  assert_string_equal(bench->fake.headers,
                      "Content-Type: application/json\nAccept: application/json\nIdempotency-Key: key-1\n");
  assert_int_equal(bench->fake.flags, DRAY_HTTP_ANY_STATUS);
}

static void test_the_same_rows_give_the_same_bytes(void **state) {
  struct bench *bench = *state;
  start(bench, "", "{}");
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  char *first = dray_str_dup(dray_str_of(bench->fake.asked));
  bench->fake.now_us += 3600000000; // a receiver compares bodies under one key
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  assert_string_equal(bench->fake.asked, first);
  free(first);
}

static void test_updates_may_bring_the_changed_fields_only(void **state) {
  struct bench *bench = *state;
  start(bench, "\"updates\": \"changed\", \"deletes\": \"row\"", "{}");
  rows_add(&bench->rows, DRAY_OP_UPDATE, 2, "Bo", 5, "n");
  rows_add(&bench->rows, DRAY_OP_DELETE, 3, "Cy", 7, "");
  assert_int_equal(send(bench), DRAY_OK);
  assert_non_null(strstr(bench->fake.asked,
                         "{\"op\":\"update\",\"key\":{\"id\":2},\"data\":{\"name\":\"Bo\"},\"changed\":[\"name\"]}"));
  assert_non_null(strstr(bench->fake.asked,
                         "{\"op\":\"delete\",\"key\":{\"id\":3},\"data\":{\"id\":3,\"name\":\"Cy\",\"amount\":0.07}"));
  struct dray_caps caps = {.struct_size = sizeof(caps)};
  assert_int_equal(
      webhook_destination_vtable.caps(bench->destination, dray_str_of("x"), dray_str_of("{}"), &caps, &bench->error),
      DRAY_OK);
  assert_int_equal(caps.flags, DRAY_CAPS_DYNAMIC_FIELDS | DRAY_CAPS_CHANGED_COLUMNS | DRAY_CAPS_DELETE_NEEDS_ROW);
}

static void test_templates_keep_types_and_leave_absent_members_out(void **state) {
  struct bench *bench = *state;
  start(bench, "",
        "{\"row\": {\"n\": \"{{id}}\", \"label\": \"{{ name }} <{{id}}> #{{_index}} {{_op}}\", \"sum\": "
        "\"{{amount}}\", \"list\": [\"{{amount}}\", 1e2, true],"
        " \"tags\": \"{{tags}}\", \"name\": \"{{name}}\"},"
        " \"body\": {\"data\": \"{{rows}}\", \"n\": \"{{count}}\", \"title\": \"{{object}} of {{sync}}, run {{run}}\", "
        "\"at\": \"{{sent_at}}\"}}");
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, "A \"x\"", 1250, "");
  rows_add(&bench->rows, DRAY_OP_UPDATE, 2, "-", -1, "");
  assert_int_equal(send(bench), DRAY_OK);
  assert_string_equal(
      bench->fake.asked,
      "{\"data\":[{\"n\":1,\"label\":\"A \\\"x\\\" <1> #0 insert\",\"sum\":12.50,\"list\":[12.50,1e2,true],"
      "\"tags\":[1,\"x\"],\"name\":\"A \\\"x\\\"\"},"
      "{\"n\":2,\"label\":\" <2> #1 update\",\"list\":[null,1e2,true]}],"
      "\"n\":2,\"title\":\"customers of vip, run 7\",\"at\":\"2023-11-14T22:13:20Z\"}");
}

static void test_a_body_of_one_row_makes_batches_of_one(void **state) {
  struct bench *bench = *state;
  struct dray_caps caps = {.struct_size = sizeof(caps)};
  const char *options =
      "{\"body\": \"{{row}}\", \"row\": {\"id\": \"{{id}}\"}, \"path\": \"/v2/c?x=1\", \"method\": \"PUT\"}";
  start(bench, "", options);
  assert_int_equal(
      webhook_destination_vtable.caps(bench->destination, dray_str_of("x"), dray_str_of(options), &caps, &bench->error),
      DRAY_OK);
  assert_int_equal(caps.batch_rows_max, 1);
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, "A", 1, "");
  assert_int_equal(send(bench), DRAY_OK);
  assert_string_equal(bench->fake.asked, "{\"id\":1}");
  assert_string_equal(bench->fake.url, "https://example.test/v2/c?x=1");
  assert_string_equal(bench->fake.method, "PUT");
}

static void test_secrets_and_the_signature_are_in_the_headers(void **state) {
  struct bench *bench = *state;
  start(bench,
        "\"bearer_token\": {\"$secret\": \"bearer_token\"}, \"auth_header\": {\"$secret\": \"auth_header\"}, "
        "\"auth_header_name\": \"X-Api-Key\","
        " \"hmac_secret\": {\"$secret\": \"hmac_secret\"}, \"headers\": {\"X-Tenant\": \"acme\", \"content-type\": "
        "\"application/vnd.x+json\"}",
        "{}");
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  char signature[WEBHOOK_SIGNATURE_BYTES], expected[1024];
  assert_int_equal(webhook_sign("SECRET-hmac_secret", "1700000000",
                                dray_str_make(bench->fake.asked, bench->fake.asked_bytes), signature, NULL),
                   DRAY_OK);
  (void)snprintf(
      expected, sizeof(expected),
      "Accept: application/json\nX-Tenant: acme\ncontent-type: application/vnd.x+json\nAuthorization: Bearer "
      "SECRET-bearer_token\n"
      "X-Api-Key: SECRET-auth_header\nIdempotency-Key: key-1\nX-Dray-Timestamp: 1700000000\nX-Dray-Signature: %s\n",
      signature);
  assert_string_equal(bench->fake.headers, expected);
  assert_int_equal(bench->fake.flags, DRAY_HTTP_ANY_STATUS | DRAY_HTTP_NO_RETRY); // each attempt is signed anew
}

// RFC 4231, test case 2, with the point that stands between time and body.
static void test_the_signature_is_hmac_sha256(void **state) {
  (void)state;
  char signature[WEBHOOK_SIGNATURE_BYTES];
  assert_int_equal(webhook_sign("Jefe", "what do ya want for nothing?", dray_str_of(""), signature, NULL), DRAY_OK);
  // python3 -c "import hmac; print(hmac.new(b'Jefe', b'what do ya want for nothing?.', 'sha256').hexdigest())"
  assert_string_equal(signature, "sha256=38c6c848e5a2f57451f5095df6370d5c9b83175b99df46422b34960c28def6ae");
}

static void test_a_body_past_its_limit_is_the_rows_fault(void **state) {
  struct bench *bench = *state;
  start(bench, "\"batch_bytes\": 1024", "{}");
  char name[700];
  memset(name, 'x', sizeof(name) - 1);
  name[sizeof(name) - 1] = '\0';
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, name, 1, "");
  rows_add(&bench->rows, DRAY_OP_INSERT, 2, name, 1, "");
  assert_int_equal(send(bench), DRAY_E_DATA_TOO_LARGE);
  assert_int_equal(bench->error.error_class, DRAY_CLASS_DATA); // the host halves the batch
  assert_int_equal(bench->fake.requests, 0);
  rows_add(&bench->rows, DRAY_OP_INSERT, 1, name, 1, "");
  assert_int_equal(send(bench), DRAY_OK);
}

// ---- what comes back ----

static void expect_all(const struct bench *bench, int32_t status) {
  for (uint64_t i = 0; i < bench->receipts.count; i++) assert_int_equal(bench->items[i].status, status);
  assert_true(bench->receipts.count > 0);
}

static void test_success_without_results_means_all_applied(void **state) {
  struct bench *bench = *state;
  static const struct {
    int32_t status;
    const char *type, *body;
  } answers[] = {{200, "application/json", "{}"}, {201, "text/plain", "thanks"}, {202, "", ""}, {204, "", ""}};
  start(bench, "", "{}");
  for (size_t i = 0; i < 4; i++) {
    bench->fake.status = answers[i].status;
    bench->fake.content_type = answers[i].type;
    bench->fake.body = answers[i].body;
    add_three(bench);
    assert_int_equal(send(bench), DRAY_OK);
    expect_all(bench, DRAY_RECEIPT_APPLIED);
  }
}

static void test_refusals_have_a_code_a_class_and_the_receivers_words(void **state) {
  struct bench *bench = *state;
  static const struct {
    int32_t status, code, error_class;
  } cases[] = {
      {400, DRAY_E_DATA_REJECTED, DRAY_CLASS_DATA},    {413, DRAY_E_DATA_TOO_LARGE, DRAY_CLASS_DATA},
      {422, DRAY_E_DATA_REJECTED, DRAY_CLASS_DATA},    {401, DRAY_E_AUTH_REJECTED, DRAY_CLASS_AUTH},
      {403, DRAY_E_AUTH_FORBIDDEN, DRAY_CLASS_AUTH},   {404, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},
      {410, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},    {302, DRAY_E_HTTP_REDIRECT, DRAY_CLASS_CONFIG},
      {408, DRAY_E_HTTP_SERVER, DRAY_CLASS_TRANSIENT}, {409, DRAY_E_BUSY, DRAY_CLASS_TRANSIENT},
      {429, DRAY_E_THROTTLED, DRAY_CLASS_THROTTLED},   {505, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},
      {501, DRAY_E_HTTP_STATUS, DRAY_CLASS_CONFIG},
  };
  start(bench, "", "{}");
  bench->fake.body = "{\"error\": {\"code\": \"E17\", \"message\": \"no \\u00e4pples\"}}";
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bench->fake.status = cases[i].status;
    add_three(bench);
    assert_int_equal(send(bench), cases[i].code);
    assert_int_equal(bench->error.error_class, cases[i].error_class);
    assert_int_equal(bench->error.http_status, cases[i].status);
    assert_string_equal(bench->error.vendor_code, "E17");
    assert_non_null(strstr(bench->error.text, "no \xC3\xA4pples"));
  }
}

static void test_a_conflict_without_a_key_is_about_the_rows(void **state) {
  struct bench *bench = *state;
  start(bench, "\"idempotency_header\": \"\"", "{}");
  bench->fake.status = 409;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_E_DATA_REJECTED);
  assert_null(strstr(bench->fake.headers, "key-1"));
}

static void test_retry_after_is_read_as_seconds_and_as_a_date(void **state) {
  struct bench *bench = *state;
  static const struct {
    const char *value, *date;
    int64_t ms;
  } cases[] = {
      {"3", NULL, 3000},
      {"Tue, 14 Nov 2023 22:13:50 GMT", NULL, 30000},                           // our clock says 22:13:20
      {"Tue, 14 Nov 2023 22:13:50 GMT", "Tue, 14 Nov 2023 22:13:45 GMT", 5000}, // theirs says otherwise
      {"Tue, 14 Nov 2023 22:00:00 GMT", NULL, 0},
      {"soon", NULL, 0},
      {"-1", NULL, 0},
  };
  start(bench, "", "{}");
  bench->fake.status = 429;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bench->fake.retry_after = cases[i].value;
    bench->fake.date = cases[i].date;
    add_three(bench);
    assert_int_equal(send(bench), DRAY_E_THROTTLED);
    assert_int_equal(bench->error.retry_after_ms, cases[i].ms);
  }
  bench->fake.status = 503;
  bench->fake.retry_after = "4";
  add_three(bench);
  assert_int_equal(send(bench), DRAY_E_THROTTLED);
  assert_int_equal(bench->error.retry_after_ms, 4000);
}

static void test_what_nobody_can_know_is_unknown(void **state) {
  struct bench *bench = *state;
  start(bench, "", "{}");
  static const int32_t failures[] = {500, 502, 503, 504};
  for (size_t i = 0; i < 4; i++) {
    bench->fake.status = failures[i];
    add_three(bench);
    assert_int_equal(send(bench), DRAY_OK);
    expect_all(bench, DRAY_RECEIPT_UNKNOWN);
    assert_int_equal(bench->items[0].code, DRAY_E_HTTP_SERVER);
  }
  bench->fake.status = 200;
  bench->fake.content_type = "text/html; charset=utf-8";
  bench->fake.body = "<p>Please sign in";
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  assert_int_equal(bench->items[0].code, DRAY_E_HTTP_CONTENT);
  bench->fake.fail_code = DRAY_E_NET_CLOSED;
  bench->fake.in_doubt = 1;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  assert_int_equal(bench->items[0].code, DRAY_E_NET_CLOSED);
  assert_true(bench->items[0].text.len > 0);
}

static void test_what_was_surely_not_sent_is_an_error(void **state) {
  struct bench *bench = *state;
  start(bench, "", "{}");
  bench->fake.fail_code = DRAY_E_NET_CONNECT;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_E_NET_CONNECT);
  assert_int_equal(bench->error.error_class, DRAY_CLASS_TRANSIENT);
  bench->fake.cancelled = 1;
  const int before = bench->fake.requests;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_E_CANCELLED);
  assert_int_equal(bench->fake.requests, before);
}

static void test_a_put_that_may_have_arrived_is_in_doubt_too(void **state) {
  struct bench *bench = *state;
  start(bench, "\"method\": \"PUT\"", "{}");
  bench->fake.fail_code = DRAY_E_NET_CLOSED; // the service marks no doubt on what HTTP calls idempotent
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  assert_true((bench->fake.flags & DRAY_HTTP_NO_RETRY) != 0);
}

static void test_a_cut_answer_matters_only_where_it_is_read(void **state) {
  struct bench *bench = *state;
  bench->fake.cut = 1;
  start(bench, "", "{}");
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_APPLIED);
  start(bench, "\"results\": {\"path\": \"results\"}", "{}");
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
  bench->fake.cut = 0;
  bench->fake.too_large = 1;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  expect_all(bench, DRAY_RECEIPT_UNKNOWN);
}

// The statuses of three rows as letters: applied, same, rejected, later, unknown.
static const char *outcome(struct bench *bench, const char *results, const char *answer) {
  static char letters[RECEIPTS_MAX + 1];
  char more[1024];
  (void)snprintf(more, sizeof(more), "\"results\": %s", results);
  start(bench, more, "{}");
  bench->fake.body = answer;
  add_three(bench);
  assert_int_equal(send(bench), DRAY_OK);
  memset(letters, 0, sizeof(letters));
  for (uint64_t i = 0; i < bench->receipts.count; i++) letters[i] = " asrlpu"[bench->items[i].status];
  return letters;
}

static void test_results_by_order(void **state) {
  struct bench *bench = *state;
  const char *results = "{\"path\": \"out.list\", \"status\": \"status\", \"error\": \"why.text\"}";
  assert_string_equal(outcome(bench, results,
                              "{\"out\": {\"list\": [{\"status\": \"ok\"}, {\"status\": 304}, {\"status\": \"bad\", "
                              "\"why\": {\"text\": \"no such town\"}}]}}"),
                      "asr");
  assert_true(dray_str_is(bench->items[2].text, "no such town"));
  assert_int_equal(bench->items[2].code, DRAY_E_DATA_REJECTED);
  assert_string_equal(
      outcome(bench, results, "{\"out\": {\"list\": [{\"status\": \"ok\"}, {\"status\": \"retry\"}, {}]}}"), "alu");
  assert_string_equal(outcome(bench, results,
                              "{\"out\": {\"list\": [{\"status\": \"busy\"}, {\"status\": 429}, {\"status\": "
                              "\"throttled\"}]}}"),
                      "lll");
  assert_int_equal(bench->items[0].code, DRAY_E_BUSY);
  assert_int_equal(bench->items[1].code, DRAY_E_THROTTLED); // a limit is no row's fault
  assert_int_equal(bench->items[2].code, DRAY_E_THROTTLED);
  assert_string_equal(outcome(bench, results, "{\"out\": {\"list\": [{\"status\": \"ok\"}]}}"), "uuu"); // which one?
  assert_string_equal(outcome(bench, results, "{\"out\": []}"), "uuu");
  assert_string_equal(outcome(bench, results, "{\"out\": {\"list\": [{\"status\""), "uuu");
  assert_string_equal(outcome(bench, results, "[]"), "uuu");
}

static void test_results_by_error_alone(void **state) {
  struct bench *bench = *state;
  assert_string_equal(
      outcome(bench, "{\"path\": \"\"}", "[{\"error\": null}, {\"error\": {\"message\": \"bad mail\"}}, {}]"), "ara");
  assert_true(dray_str_is(bench->items[1].text, "bad mail"));
}

static void test_results_by_index(void **state) {
  struct bench *bench = *state;
  assert_string_equal(
      outcome(
          bench, "{\"path\": \"r\", \"index\": \"i\", \"status\": \"s\"}",
          "{\"r\": [{\"i\": 2, \"s\": \"no\"}, {\"i\": 0, \"s\": true}, {\"i\": 7, \"s\": \"ok\"}, {\"i\": \"x\"}]}"),
      "aur");
  assert_string_equal(outcome(bench, "{\"path\": \"r\", \"index\": \"i\", \"first\": 1, \"status\": \"s\"}",
                              "{\"r\": [{\"i\": 1, \"s\": \"ok\"}, {\"i\": 0, \"s\": \"ok\"}]}"),
                      "auu");
}

static void test_results_that_list_failures_only(void **state) {
  struct bench *bench = *state;
  const char *results =
      "{\"path\": \"errors\", \"listed\": \"failed\", \"key\": \"id\", \"column\": \"id\", \"error\": \"message\"}";
  assert_string_equal(outcome(bench, results, "{\"errors\": [{\"id\": 2, \"message\": \"m\"}]}"), "ara");
  assert_string_equal(outcome(bench, results, "{\"errors\": []}"), "aaa");
  assert_string_equal(outcome(bench, results, "{\"ok\": true}"), "uuu");
}

// ---- settings ----

static void test_wrong_settings_name_the_field(void **state) {
  struct bench *bench = *state;
  static const struct {
    const char *more, *field;
    int32_t code;
  } cases[] = {
      {"\"headers\": {\"Authorization\": \"x\"}", "headers", DRAY_E_CONFIG_SECRET_LITERAL},
      {"\"headers\": {\"Host\": \"x\"}", "headers", DRAY_E_CONFIG_VALUE},
      {"\"headers\": {\"X-A\": \"a\\r\\nX-B: b\"}", "headers", DRAY_E_CONFIG_TYPE},
      {"\"headers\": {\"X A\": \"a\"}", "headers", DRAY_E_CONFIG_VALUE},
      {"\"method\": \"DELETE\"", "method", DRAY_E_CONFIG_VALUE},
      {"\"batch_rows\": 0", "batch_rows", DRAY_E_CONFIG_VALUE},
      {"\"batch_rows\": 1001", "batch_rows", DRAY_E_CONFIG_VALUE},
      {"\"body\": {\"a\": 1}", "body", DRAY_E_CONFIG_VALUE},
      {"\"body\": {\"a\": \"{{rows}}\", \"b\": \"{{rows}}\"}", "body", DRAY_E_CONFIG_VALUE},
      {"\"body\": \"x {{rows}}\"", "body", DRAY_E_CONFIG_VALUE},
      {"\"body\": {\"a\": \"{{rows}}\", \"b\": \"{{snyc}}\"}", "body", DRAY_E_CONFIG_VALUE},
      {"\"results\": {}", "path", DRAY_E_CONFIG_MISSING},
      {"\"results\": {\"path\": \"r\", \"key\": \"k\"}", "results", DRAY_E_CONFIG_VALUE},
      {"\"results\": {\"path\": \"r\", \"listed\": \"failed\"}", "results", DRAY_E_CONFIG_VALUE},
      {"\"bearer_token\": \"in the open\"", "bearer_token", DRAY_E_CONFIG_SECRET_LITERAL},
      {"\"bearer_token\": {\"$secret\": \"a\"}, \"auth_header\": {\"$secret\": \"b\"}", "auth_header",
       DRAY_E_CONFIG_VALUE},
      {"\"doubt\": \"key\", \"idempotency_header\": \"\"", "doubt", DRAY_E_CONFIG_VALUE},
      {"\"urll\": \"x\"", "urll", DRAY_E_CONFIG_UNKNOWN_KEY},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    dray_error_init(&bench->error);
    const int32_t rc = create(bench, cases[i].more);
    if (rc != cases[i].code || strcmp(bench->error.field, cases[i].field) != 0) {
      fail_msg("case %zu: %d, field %s: %s", i, rc, bench->error.field, bench->error.text);
    }
  }
  static const char *const urls[] = {"ftp://x/",     "https://",     "https:///x", "https://u:p@x/",
                                     "https://x/#f", "https://x/ y", "x"};
  for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
    char settings[256];
    (void)snprintf(settings, sizeof(settings), "{\"url\": \"%s\"}", urls[i]);
    const int32_t rc =
        webhook_destination_vtable.create(&bench->fake.host, dray_str_of(settings), &bench->destination, &bench->error);
    assert_int_equal(rc, DRAY_E_CONFIG_VALUE);
    assert_string_equal(bench->error.field, "url");
    assert_null(strstr(bench->error.text, "u:p"));
  }
}

static void test_wrong_options_are_found_before_anything_is_sent(void **state) {
  struct bench *bench = *state;
  static const struct {
    const char *options;
    int32_t code;
  } cases[] = {
      {"{\"row\": {\"a\": \"{{nmae}}\"}}", DRAY_E_SCHEMA_FIELD},
      {"{\"path\": \"//evil.test/x\"}", DRAY_E_CONFIG_VALUE},
      {"{\"path\": \"x\"}", DRAY_E_CONFIG_VALUE},
      {"{\"bodyy\": 1}", DRAY_E_CONFIG_UNKNOWN_KEY},
      {"{\"body\": 1}", DRAY_E_CONFIG_VALUE},
  };
  assert_int_equal(create(bench, ""), DRAY_OK);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(begin(bench, cases[i].options), cases[i].code);
    assert_int_equal(bench->error.error_class, DRAY_CLASS_CONFIG);
  }
  assert_int_equal(begin(bench, cases[0].options), DRAY_E_SCHEMA_FIELD);
  assert_non_null(strstr(bench->error.text, "did you mean \"name\"?"));
  assert_int_equal(bench->fake.requests, 0);
}

static void test_caps_say_how_doubt_is_resolved(void **state) {
  struct bench *bench = *state;
  static const struct {
    const char *more;
    uint32_t doubt, flags, life;
  } cases[] = {
      {"", DRAY_DOUBT_IDEMPOTENCY_KEY, DRAY_CAPS_DYNAMIC_FIELDS, 0},
      {"\"idempotency_seconds\": 86400", DRAY_DOUBT_IDEMPOTENCY_KEY, DRAY_CAPS_DYNAMIC_FIELDS, 86400},
      {"\"idempotency_header\": \"\"", DRAY_DOUBT_NONE, DRAY_CAPS_DYNAMIC_FIELDS, 0},
      {"\"doubt\": \"resend\"", DRAY_DOUBT_RESEND, DRAY_CAPS_DYNAMIC_FIELDS, 0},
      {"\"doubt\": \"none\", \"results\": {\"path\": \"r\"}", DRAY_DOUBT_NONE,
       DRAY_CAPS_DYNAMIC_FIELDS | DRAY_CAPS_PARTIAL, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_caps caps = {.struct_size = sizeof(caps)};
    assert_int_equal(create(bench, cases[i].more), DRAY_OK);
    assert_int_equal(webhook_destination_vtable.caps(bench->destination, dray_str_of("any"), dray_str_of("{}"), &caps,
                                                     &bench->error),
                     DRAY_OK);
    assert_int_equal(caps.doubt, cases[i].doubt);
    assert_int_equal(caps.flags, cases[i].flags);
    assert_int_equal(caps.key_life_s, cases[i].life);
    assert_int_equal(caps.operations, DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE);
    assert_int_equal(caps.batch_rows_max, 100);
  }
}

static void test_check_asks_without_effect_and_without_credentials(void **state) {
  struct bench *bench = *state;
  struct dray_str steps;
  assert_int_equal(create(bench, "\"bearer_token\": {\"$secret\": \"bearer_token\"}"), DRAY_OK);
  bench->fake.status = 405;
  assert_int_equal(webhook_destination_vtable.check(bench->destination, &steps, &bench->error), DRAY_OK);
  char *text = dray_str_dup(steps);
  assert_non_null(strstr(text, "{\"name\":\"reach\",\"ok\":true,\"text\":\"HEAD was answered with 405"));
  assert_non_null(strstr(text, "{\"name\":\"secrets\",\"ok\":true"));
  assert_null(strstr(text, "SECRET"));
  free(text);
  assert_string_equal(bench->fake.method, "HEAD");
  assert_string_equal(bench->fake.headers, "");
  bench->fake.fail_code = DRAY_E_NET_CONNECT;
  assert_int_equal(webhook_destination_vtable.check(bench->destination, &steps, &bench->error), DRAY_OK);
  text = dray_str_dup(steps);
  assert_non_null(strstr(text, "{\"name\":\"reach\",\"ok\":false,\"text\":\"the fake network failed\",\"fix\":"));
  free(text);
}

static void test_discover_is_json_and_stable(void **state) {
  struct bench *bench = *state;
  struct dray_str text;
  struct dray_json *root = NULL;
  assert_int_equal(create(bench, ""), DRAY_OK);
  assert_int_equal(webhook_destination_vtable.discover(bench->destination, &text, &bench->error), DRAY_OK);
  assert_int_equal(dray_json_parse(text, 1u << 20, &root, &bench->error), DRAY_OK);
  assert_true(dray_str_is(dray_json_string(dray_json_path(root, "objects[0].name"), ""), "rows"));
  assert_non_null(dray_json_path(root, "options.properties.row"));
  dray_json_free(root);
  assert_int_equal(webhook_destination_vtable.spec(&text, &bench->error), DRAY_OK);
  assert_int_equal(dray_json_parse(text, 1u << 20, &root, &bench->error), DRAY_OK);
  assert_non_null(dray_json_path(root, "properties.hmac_secret.writeOnly"));
  assert_null(dray_json_path(root, "properties.url.writeOnly"));
  dray_json_free(root);
}

static struct ArrowArray shared_batch;

static int32_t do_everything(void *ctx) {
  struct bench *bench = ctx;
  struct dray_destination *destination = NULL;
  struct dray_str text;
  struct dray_caps caps = {.struct_size = sizeof(caps)};
  const struct dray_write_plan plan =
      rows_plan(&bench->rows, "{\"row\": {\"a\": \"{{name}} x\", \"k\": \"{{_key}}\"}}");
  const struct dray_batch_info info = {.struct_size = sizeof(info), .idempotency_key = dray_str_of("k")};
  bench->receipts =
      (struct dray_receipts){.struct_size = sizeof(bench->receipts), .items = bench->items, .capacity = RECEIPTS_MAX};
  bench->fake.body =
      "{\"results\": [{\"status\": \"ok\"}, {\"status\": \"ok\"}, {\"status\": \"no\", \"error\": \"x\"}]}";
  int32_t rc = webhook_destination_vtable.create(
      &bench->fake.host,
      dray_str_of("{\"url\": \"https://x.test/\", \"hmac_secret\": {\"$secret\": \"a\"}, \"bearer_token\": "
                  "{\"$secret\": \"a\"},"
                  " \"results\": {\"path\": \"results\", \"status\": \"status\"}, \"headers\": {\"A\": \"b\"}}"),
      &destination, &bench->error);
  if (rc == DRAY_OK) rc = webhook_destination_vtable.discover(destination, &text, &bench->error);
  if (rc == DRAY_OK) rc = webhook_destination_vtable.check(destination, &text, &bench->error);
  if (rc == DRAY_OK)
    rc = webhook_destination_vtable.caps(destination, dray_str_of("o"), plan.options_json, &caps, &bench->error);
  if (rc == DRAY_OK) rc = webhook_destination_vtable.begin(destination, &plan, &bench->error);
  if (rc == DRAY_OK)
    rc = webhook_destination_vtable.write(destination, &shared_batch, &info, &bench->receipts, &bench->error);
  // What was sent is sent: without memory to read the answer its rows are unknown, and that is no success either.
  if (rc == DRAY_OK && bench->items[0].status == DRAY_RECEIPT_UNKNOWN) rc = DRAY_E_OUT_OF_MEMORY;
  if (rc == DRAY_OK) rc = webhook_destination_vtable.end(destination, &bench->error);
  webhook_destination_vtable.destroy(destination);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  struct bench *bench = *state;
  struct dray_str spec;
  assert_int_equal(webhook_destination_vtable.spec(&spec, NULL), DRAY_OK);
  add_three(bench);
  shared_batch = rows_finish(&bench->rows);
  assert_true(torture_every(do_everything, bench) > 100);
  shared_batch.release(&shared_batch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_the_default_body_holds_what_a_receiver_needs),
      TEST(test_the_same_rows_give_the_same_bytes),
      TEST(test_updates_may_bring_the_changed_fields_only),
      TEST(test_templates_keep_types_and_leave_absent_members_out),
      TEST(test_a_body_of_one_row_makes_batches_of_one),
      TEST(test_secrets_and_the_signature_are_in_the_headers),
      TEST(test_the_signature_is_hmac_sha256),
      TEST(test_a_body_past_its_limit_is_the_rows_fault),
      TEST(test_success_without_results_means_all_applied),
      TEST(test_refusals_have_a_code_a_class_and_the_receivers_words),
      TEST(test_a_conflict_without_a_key_is_about_the_rows),
      TEST(test_retry_after_is_read_as_seconds_and_as_a_date),
      TEST(test_what_nobody_can_know_is_unknown),
      TEST(test_what_was_surely_not_sent_is_an_error),
      TEST(test_a_put_that_may_have_arrived_is_in_doubt_too),
      TEST(test_a_cut_answer_matters_only_where_it_is_read),
      TEST(test_results_by_order),
      TEST(test_results_by_error_alone),
      TEST(test_results_by_index),
      TEST(test_results_that_list_failures_only),
      TEST(test_wrong_settings_name_the_field),
      TEST(test_wrong_options_are_found_before_anything_is_sent),
      TEST(test_caps_say_how_doubt_is_resolved),
      TEST(test_check_asks_without_effect_and_without_credentials),
      TEST(test_discover_is_json_and_stable),
      TEST(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
