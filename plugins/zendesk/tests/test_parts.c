// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The parts that need no network: settings, checkpoints, what errors say, handles and results of jobs, rows, bodies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "page_size.h"
#include "read.h"
#include "seen.h"
#include "torture.h"
#include "work.h"

#define BYTES_MAX (1u << 20)

// ---- settings ----

static int32_t bind(const char *json, struct zendesk_settings *out) {
  struct dray_error error;
  dray_error_init(&error);
  return zendesk_settings_bind(dray_str_of(json), out, &error);
}

static void test_settings_choose_the_credentials(void **state) {
  static const struct {
    const char *json;
    int auth;
  } good[] = {
      {"{\"subdomain\":\"acme\",\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"client_secret\"}}",
       ZENDESK_AUTH_CLIENT},
      {"{\"subdomain\":\"acme\",\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"client_secret\"},"
       "\"refresh_token\":{\"$secret\":\"refresh_token\"}}",
       ZENDESK_AUTH_REFRESH},
      {"{\"subdomain\":\"acme\",\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"client_secret\"},"
       "\"redirect_uri\":\"https://me/\",\"authorization_code\":{\"$secret\":\"authorization_code\"}}",
       ZENDESK_AUTH_CODE},
      {"{\"subdomain\":\"acme\",\"client_id\":\"c\",\"code_verifier\":{\"$secret\":\"code_verifier\"},"
       "\"redirect_uri\":\"https://me/\"}",
       ZENDESK_AUTH_CODE}, // a public client, before access is granted
      {"{\"subdomain\":\"acme\",\"client_id\":\"c\",\"redirect_uri\":\"https://me/\","
       "\"refresh_token\":{\"$secret\":\"refresh_token\"}}",
       ZENDESK_AUTH_REFRESH},
      {"{\"subdomain\":\"acme\",\"access_token\":{\"$secret\":\"access_token\"}}", ZENDESK_AUTH_ACCESS},
      {"{\"subdomain\":\"acme\",\"email\":\"a@b.c\",\"api_token\":{\"$secret\":\"api_token\"}}",
       ZENDESK_AUTH_API_TOKEN},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    struct zendesk_settings settings;
    assert_int_equal(DRAY_OK, bind(good[i].json, &settings));
    assert_int_equal(good[i].auth, settings.auth);
    assert_string_equal("https://acme.zendesk.com", settings.base_url);
    zendesk_settings_free(&settings);
  }
}

static void test_settings_refuse_what_cannot_work(void **state) {
  static const char *const bad[] = {
      "{}",
      "{\"subdomain\":\"acme\"}",
      "{\"subdomain\":\"acme\",\"client_secret\":{\"$secret\":\"client_secret\"}}",
      "{\"subdomain\":\"acme\",\"api_token\":{\"$secret\":\"api_token\"}}",
      "{\"subdomain\":\"acme.zendesk.com\",\"access_token\":{\"$secret\":\"access_token\"}}",
      "{\"subdomain\":\"evil.example/#\",\"access_token\":{\"$secret\":\"access_token\"}}",
      "{\"base_url\":\"ftp://x\",\"access_token\":{\"$secret\":\"access_token\"}}",
      "{\"base_url\":\"https://user@x\",\"access_token\":{\"$secret\":\"access_token\"}}",
      "{\"subdomain\":\"acme\",\"start_date\":\"yesterday\",\"access_token\":{\"$secret\":\"access_token\"}}",
  };
  (void)state;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct zendesk_settings settings;
    assert_int_not_equal(DRAY_OK, bind(bad[i], &settings));
  }
}

static void test_a_code_needs_its_client_and_excludes_other_credentials(void **state) {
#define SECRET(name) ",\"" name "\":{\"$secret\":\"" name "\"}"
#define CODE "{\"subdomain\":\"acme\"" SECRET("authorization_code")
#define CLIENT ",\"client_id\":\"c\"" SECRET("client_secret")
#define REDIRECT ",\"redirect_uri\":\"https://me/\""
  static const struct {
    const char *json, *field;
    int32_t code;
  } bad[] = {
      {CODE CLIENT "}", "redirect_uri", DRAY_E_CONFIG_MISSING},
      {CODE REDIRECT SECRET("client_secret") "}", "client_id", DRAY_E_CONFIG_MISSING},
      {CODE REDIRECT ",\"client_id\":\"c\"}", "client_secret", DRAY_E_CONFIG_MISSING},
      {CODE CLIENT REDIRECT SECRET("refresh_token") "}", "authorization_code", DRAY_E_CONFIG_VALUE},
      {CODE CLIENT REDIRECT SECRET("access_token") "}", "authorization_code", DRAY_E_CONFIG_VALUE},
      {CODE CLIENT REDIRECT ",\"email\":\"a@b.c\"" SECRET("api_token") "}", "authorization_code", DRAY_E_CONFIG_VALUE},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct zendesk_settings settings;
    struct dray_error error;
    dray_error_init(&error);
    assert_int_equal(zendesk_settings_bind(dray_str_of(bad[i].json), &settings, &error), bad[i].code);
    assert_string_equal(error.field, bad[i].field);
  }
}

static int32_t bind_once(void *ctx) {
  struct zendesk_settings settings;
  const int32_t rc = bind(ctx, &settings);
  if (rc == DRAY_OK) zendesk_settings_free(&settings);
  return rc;
}

static void test_settings_survive_a_lack_of_memory(void **state) {
  char json[] = "{\"subdomain\":\"acme\",\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"client_secret\"}}";
  (void)state;
  assert_true(torture_every(bind_once, json) > 5);
}

// ---- checkpoints ----

static void test_a_position_reads_back_what_it_wrote(void **state) {
  struct zendesk_position position, other;
  struct dray_buffer text;
  (void)state;
  zendesk_position_init(&position);
  zendesk_position_init(&other);
  dray_buffer_init(&text, BYTES_MAX);
  assert_int_equal(DRAY_OK, dray_buffer_append_str(&position.cursor, "MTU3\"|fHw0", NULL));
  position.start = 1700000000;
  position.seen = 1700000123;
  position.custom = 1;
  assert_int_equal(DRAY_OK, zendesk_position_write(&position, "users", &text, NULL));
  assert_int_equal(DRAY_OK, zendesk_position_read(&other, "users", dray_buffer_view(&text), NULL));
  assert_string_equal("MTU3\"|fHw0", other.cursor.data);
  assert_int_equal(1700000000, other.start);
  assert_int_equal(1700000123, other.seen);
  assert_int_equal(1, other.custom);
  assert_int_equal(DRAY_OK,
                   zendesk_position_read(&other, "users",
                                         dray_str_of("{\"v\":1,\"stream\":\"users\",\"start\":1,\"seen\":1}"), NULL));
  assert_int_equal(-1, other.custom); // of a version that did not note it
  assert_int_equal(DRAY_E_STATE_CHECKPOINT,
                   zendesk_position_read(&other, "tickets", dray_buffer_view(&text), NULL)); // another stream's
  static const char *const foreign[] = {"",
                                        "{}",
                                        "[1]",
                                        "not json",
                                        "{\"v\":2,\"stream\":\"users\",\"start\":1,\"seen\":1}",
                                        "{\"v\":1,\"stream\":\"users\",\"start\":-5,\"seen\":1}",
                                        "{\"v\":1,\"stream\":\"users\",\"cursor\":7,\"start\":1,\"seen\":1}"};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
    assert_int_equal(DRAY_E_STATE_CHECKPOINT, zendesk_position_read(&other, "users", dray_str_of(foreign[i]), NULL));
  }
  dray_buffer_free(&text);
  zendesk_position_free(&position);
  zendesk_position_free(&other);
}

// ---- words ----

static void expect_words(const char *json, const char *wanted) {
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  struct dray_json *root = NULL;
  assert_int_equal(DRAY_OK, dray_json_parse(dray_str_of(json), BYTES_MAX, &root, NULL));
  zendesk_words_of(root, words);
  assert_string_equal(wanted, words);
  dray_json_free(root);
}

static void test_errors_of_every_shape_say_what_is_wrong(void **state) {
  (void)state;
  expect_words("{\"error\":\"RecordInvalid\",\"description\":\"Record validation errors\",\"details\":{\"email\":[{"
               "\"description\":\"Email: x is not properly formatted\",\"error\":\"InvalidValue\"}],\"name\":[{"
               "\"description\":\"Name: is too short\"}]}}",
               "RecordInvalid: Record validation errors; email: Email: x is not properly formatted; name: Name: is too "
               "short");
  expect_words("{\"error\":{\"title\":\"Forbidden\",\"message\":\"You do not have access\"}}",
               "Forbidden: You do not have access");
  expect_words("{\"error\":\"Couldn't authenticate you\"}", "Couldn't authenticate you");
  expect_words("{\"errors\":[{\"title\":\"A\",\"detail\":\"B\"},{\"title\":\"C\"}]}", "A: B; C");
  expect_words("{\"index\":3,\"error\":\"UserNotFound\",\"details\":\"No such user\",\"success\":false}",
               "UserNotFound: No such user");
  expect_words("{}", "");
  expect_words("[]", "");
}

static void test_long_words_are_cut_at_a_character(void **state) {
  struct dray_buffer json;
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  struct dray_json *root = NULL;
  (void)state;
  dray_buffer_init(&json, BYTES_MAX);
  assert_int_equal(DRAY_OK, dray_buffer_append_str(&json, "{\"error\":\"x", NULL));
  for (int i = 0; i < 2000; i++) assert_int_equal(DRAY_OK, dray_buffer_append_str(&json, "ü", NULL));
  assert_int_equal(DRAY_OK, dray_buffer_append_str(&json, "\"}", NULL));
  assert_int_equal(DRAY_OK, dray_json_parse(dray_buffer_view(&json), BYTES_MAX, &root, NULL));
  zendesk_words_of(root, words);
  assert_true(strlen(words) > 800);
  assert_true(dray_utf8_valid(words, strlen(words)));
  dray_json_free(root);
  dray_buffer_free(&json);
}

// ---- jobs ----

static void make_jobs(struct zendesk_jobs *jobs) {
  memset(jobs, 0, sizeof(*jobs));
  jobs->count = 2;
  (void)strncpy(jobs->items[0].id, "8b726e606741012ffc2d782bcb7848fe", sizeof(jobs->items[0].id) - 1);
  for (int64_t row = 5; row <= 20; row++) jobs->items[0].rows[jobs->items[0].count++] = row;
  jobs->items[0].rows[jobs->items[0].count++] = 22;
  (void)strncpy(jobs->items[1].id, "b", sizeof(jobs->items[1].id) - 1);
  for (int64_t row = 30; row <= 31; row++) {
    memcpy(jobs->items[1].ids[jobs->items[1].count], row == 30 ? "1900000000104" : "7", row == 30 ? 14 : 2);
    jobs->items[1].rows[jobs->items[1].count++] = row;
  }
}

static void test_a_handle_reads_back_what_it_wrote(void **state) {
  struct zendesk_jobs jobs, other;
  struct dray_buffer text;
  (void)state;
  make_jobs(&jobs);
  dray_buffer_init(&text, BYTES_MAX);
  assert_int_equal(DRAY_OK, zendesk_jobs_write(&jobs, &text, NULL));
  assert_string_equal("{\"v\":1,\"jobs\":[{\"id\":\"8b726e606741012ffc2d782bcb7848fe\",\"rows\":\"5-20 22\"},"
                      "{\"id\":\"b\",\"rows\":\"30-31\",\"ids\":\"1900000000104 7\"}]}",
                      text.data);
  assert_int_equal(DRAY_OK, zendesk_jobs_read(dray_buffer_view(&text), &other, NULL));
  assert_memory_equal(&jobs, &other, offsetof(struct zendesk_jobs, items) + 2 * sizeof(struct zendesk_job));
  static const char *const foreign[] = {"",
                                        "{}",
                                        "{\"v\":1,\"jobs\":[]}",
                                        "{\"v\":2,\"jobs\":[{\"id\":\"a\",\"rows\":\"1\"}]}",
                                        "{\"v\":1,\"jobs\":[{\"id\":\"a\",\"rows\":\"x\"}]}",
                                        "{\"v\":1,\"jobs\":[{\"id\":\"a\",\"rows\":\"1-999999999999\"}]}",
                                        "{\"v\":1,\"jobs\":[{\"id\":\"a\",\"rows\":\"1\",\"ids\":\"1 2\"}]}"};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
    assert_int_equal(DRAY_E_PLUGIN_CONTRACT, zendesk_jobs_read(dray_str_of(foreign[i]), &other, NULL));
  }
  dray_buffer_free(&text);
}

static void test_the_longest_handle_fits(void **state) {
  struct zendesk_jobs jobs = {.count = 1};
  struct dray_buffer text;
  (void)state;
  dray_buffer_init(&text, 4u * DRAY_HANDLE_BYTES_MAX);
  (void)strncpy(jobs.items[0].id, "8b726e606741012ffc2d782bcb7848fe", sizeof(jobs.items[0].id) - 1);
  for (int64_t row = 0; row < ZENDESK_ROWS_MAX; row++) { // no two beside each other
    jobs.items[0].rows[row] = 900000000000000000 + row * 2;
    memcpy(jobs.items[0].ids[row], "1900000000000104999", 20);
  }
  jobs.items[0].count = ZENDESK_ROWS_MAX;
  assert_int_equal(DRAY_OK, zendesk_jobs_write(&jobs, &text, NULL));
  assert_true(text.len <= DRAY_HANDLE_BYTES_MAX);
  struct zendesk_jobs other;
  assert_int_equal(DRAY_OK, zendesk_jobs_read(dray_buffer_view(&text), &other, NULL));
  assert_int_equal(ZENDESK_ROWS_MAX, other.items[0].count);
  dray_buffer_free(&text);
}

// The statuses of rows 30 and 31, after a job's answer.
static void judge_as(const char *json, int is_set, int32_t first, int32_t second) {
  struct zendesk_jobs jobs;
  const int64_t rows[] = {30, 31};
  struct dray_receipt items[4];
  struct dray_receipts out = {.struct_size = sizeof(out), .items = items, .capacity = 4};
  struct dray_receipt_writer writer;
  struct dray_json *root = NULL;
  struct zendesk_verdict verdict = {.is_set = is_set, .receipts = &writer};
  make_jobs(&jobs);
  dray_receipts_init(&writer, BYTES_MAX);
  dray_receipts_begin(&writer, &out);
  if (json != NULL) assert_int_equal(DRAY_OK, dray_json_parse(dray_str_of(json), BYTES_MAX, &root, NULL));
  zendesk_job_judge(&jobs.items[1], root, rows, 2, &verdict);
  assert_int_equal(DRAY_OK, dray_receipts_end(&writer, NULL));
  assert_int_equal(2, out.count);
  assert_int_equal(first, items[0].status);
  assert_int_equal(second, items[1].status);
  assert_int_equal((first == DRAY_RECEIPT_PENDING) + (second == DRAY_RECEIPT_PENDING), verdict.pending);
  dray_json_free(root);
  dray_receipts_free(&writer);
}

static void judge(const char *json, int32_t first, int32_t second) {
  judge_as(json, 0, first, second);
}

static void test_results_of_jobs_belong_to_rows(void **state) {
  (void)state;
  static const char there[] =
      "{\"status\":\"completed\",\"results\":[{\"index\":0,\"error\":\"x\",\"details\":\"User has "
      "already been taken\"},{\"index\":1,\"error\":\"InvalidUser\"}]}";
  judge_as(there, 1, DRAY_RECEIPT_UNCHANGED, DRAY_RECEIPT_REJECTED);
  judge_as(there, 0, DRAY_RECEIPT_REJECTED, DRAY_RECEIPT_REJECTED);
  judge(NULL, DRAY_RECEIPT_UNKNOWN, DRAY_RECEIPT_UNKNOWN);
  judge("{\"status\":\"queued\",\"results\":null}", DRAY_RECEIPT_PENDING, DRAY_RECEIPT_PENDING);
  judge("{\"status\":\"working\"}", DRAY_RECEIPT_PENDING, DRAY_RECEIPT_PENDING);
  judge("{\"status\":\"failed\",\"message\":\"x\",\"results\":null}", DRAY_RECEIPT_UNKNOWN, DRAY_RECEIPT_UNKNOWN);
  // By index, in any order.
  judge(
      "{\"status\":\"completed\",\"results\":[{\"index\":1,\"error\":\"E\",\"details\":\"D\"},{\"index\":0,\"id\":9}]}",
      DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_REJECTED);
  // By the record's id.
  judge("{\"status\":\"completed\",\"results\":[{\"id\":7,\"success\":false,\"error\":\"E\"},"
        "{\"id\":1900000000104,\"success\":true,\"status\":\"Updated\"}]}",
        DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_REJECTED);
  // By place, where nothing else is said.
  judge("{\"status\":\"completed\",\"results\":[{\"success\":true},{\"error\":\"TicketConflict\"}]}",
        DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_RETRY);
  // Only one of them, when the job was killed.
  judge("{\"status\":\"killed\",\"results\":[{\"index\":0,\"id\":3}]}", DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_UNKNOWN);
  judge("{\"status\":\"completed\",\"results\":{\"success\":true}}", DRAY_RECEIPT_APPLIED, DRAY_RECEIPT_APPLIED);
  judge("{\"status\":\"completed\",\"results\":{\"success\":false}}", DRAY_RECEIPT_UNKNOWN, DRAY_RECEIPT_UNKNOWN);
}

// ---- bodies ----

static const struct dray_column_def columns[] = {
    {"external_id", {DRAY_TYPE_STRING, 0, 0}, 1},      {"subject", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"comment", {DRAY_TYPE_STRING, 0, 0}, 1},          {"requester_email", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"priority", {DRAY_TYPE_STRING, 0, 0}, 1},         {"tags", {DRAY_TYPE_STRING, 0, 0}, 1},
    {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},     {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
    {DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

// The body of one change of a ticket; `changed`: its bitmap.
static void expect_body(const char *const *values, int64_t op, char changed, int flags, const char *wanted) {
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_builder *builder = NULL;
  struct dray_changes changes;
  struct zendesk_form form;
  struct zendesk_options options;
  const struct zendesk_object *object = NULL;
  struct dray_buffer body;
  struct dray_json_writer writer;
  assert_int_equal(DRAY_OK, dray_schema_make(columns, COLUMN_COUNT, &schema, NULL));
  assert_int_equal(DRAY_OK, dray_builder_new(&schema, 0, 0, &builder, NULL));
  for (size_t c = 0; c < 6; c++) {
    const int32_t rc = values[c] == NULL ? dray_builder_null(builder, c, NULL)
                                         : dray_builder_bytes(builder, c, dray_str_of(values[c]), NULL);
    assert_int_equal(DRAY_OK, rc);
  }
  assert_int_equal(DRAY_OK, dray_builder_int64(builder, 6, 1, NULL));
  assert_int_equal(DRAY_OK, dray_builder_int64(builder, 7, op, NULL));
  assert_int_equal(DRAY_OK, dray_builder_bytes(builder, 8, dray_str_make(&changed, 1), NULL));
  assert_int_equal(DRAY_OK, dray_builder_end_row(builder, NULL, NULL));
  assert_int_equal(DRAY_OK, dray_builder_finish(builder, &batch, NULL));
  assert_int_equal(DRAY_OK, dray_changes_open(&changes, &schema, &batch, 1, NULL));
  assert_int_equal(DRAY_OK, zendesk_object_find(dray_str_of("tickets"), &object, NULL));
  assert_int_equal(DRAY_OK, zendesk_options_bind(dray_str_of("{}"), &options, NULL));
  const struct dray_str match = dray_str_of("external_id");
  const struct dray_write_plan plan = {
      .struct_size = sizeof(plan), .schema = &schema, .match_keys = &match, .match_key_count = 1};
  assert_int_equal(DRAY_OK, zendesk_form_make(object, NULL, &options, &plan, &form, NULL));
  assert_int_equal(ZENDESK_MATCH_EXTERNAL_ID, form.match);
  dray_buffer_init(&body, BYTES_MAX);
  dray_json_writer_init(&writer, &body, NULL);
  zendesk_form_write(&form, &changes, 0, dray_str_make(NULL, 0), flags, &writer);
  assert_int_equal(DRAY_OK, dray_json_writer_finish(&writer));
  assert_string_equal(wanted, body.data);
  dray_buffer_free(&body);
  zendesk_form_free(&form);
  zendesk_options_free(&options);
  dray_changes_free(&changes);
  dray_builder_free(builder);
  dray_array_release(&batch);
  dray_schema_release(&schema);
}

static void test_bodies_say_what_the_change_says(void **state) {
  static const char *const whole[] = {"k-1", "Broken", "It \"broke\"", "a@b.c", NULL, "[\"a b\",\"c\"]"};
  static const char *const comma[] = {"k-1", "Broken", NULL, "a@b.c", "low", "a, b  c"};
  (void)state;
  expect_body(whole, DRAY_OP_INSERT, 0x3f, ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW,
              "{\"external_id\":\"k-1\",\"subject\":\"Broken\",\"priority\":null,\"tags\":[\"a b\",\"c\"],"
              "\"comment\":{\"body\":\"It \\\"broke\\\"\",\"public\":true},\"requester\":{\"email\":\"a@b.c\"}}");
  // Of an update its changed columns; the requester only of what is new.
  expect_body(comma, DRAY_OP_UPDATE, 0x28, 0, "{\"tags\":[\"a\",\"b\",\"c\"]}");
  expect_body(whole, DRAY_OP_UPDATE, 0x02, 0, "{\"subject\":\"Broken\"}");
  expect_body(whole, DRAY_OP_UPDATE, 0x04, 0, "{\"comment\":{\"body\":\"It \\\"broke\\\"\",\"public\":true}}");
}

// ---- records ----

static void test_ids_are_seen_once(void **state) {
  struct zendesk_seen seen = {NULL, 0, 0};
  int is_new = 0;
  (void)state;
  for (int round = 0; round < 2; round++) {
    for (int64_t id = 1; id <= 5000; id++) {
      char text[DRAY_FORMAT_BYTES_MAX];
      (void)dray_format_int64(id * 7, text);
      const uint64_t mark = zendesk_seen_mark(dray_str_of(text), dray_str_make(NULL, 0));
      assert_int_equal(DRAY_OK, zendesk_seen_add(&seen, mark, &is_new, NULL));
      assert_int_equal(round == 0, is_new);
    }
  }
  assert_int_equal(5000, seen.count);
  zendesk_seen_clear(&seen);
  assert_int_equal(DRAY_OK, zendesk_seen_add(&seen, 7, &is_new, NULL));
  assert_int_equal(1, is_new);
  zendesk_seen_free(&seen);
}

static void test_records_say_that_they_are_gone(void **state) {
  static const struct {
    const char *stream, *record;
    int gone;
  } cases[] = {
      {"tickets", "{\"status\":\"deleted\"}", 1},
      {"tickets", "{\"status\":\"open\"}", 0},
      {"users", "{\"active\":false}", 1},
      {"users", "{\"active\":true}", 0},
      {"users", "{\"active\":null}", 0},
      {"organizations", "{\"deleted_at\":null}", 0},
      {"organizations", "{\"deleted_at\":\"2026-01-01T00:00:00Z\"}", 1},
      {"groups", "{\"deleted\":true}", 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct dray_json *root = NULL;
    assert_int_equal(DRAY_OK, dray_json_parse(dray_str_of(cases[i].record), BYTES_MAX, &root, NULL));
    const struct zendesk_stream *stream = zendesk_stream_find(dray_str_of(cases[i].stream));
    assert_int_equal(cases[i].gone, zendesk_record_deleted(stream, root));
    dray_json_free(root);
  }
}

// ---- how large pages are ----

static void test_pages_shrink_and_grow_within_what_is_wished(void **state) {
  (void)state;
  struct zendesk_page_size size;
  zendesk_page_size_init(&size, 5);
  assert_true(zendesk_page_size_halve(&size) && size.now == 2);
  zendesk_page_size_passed(&size, 26, 100); // a page of twice as many might be too large
  assert_int_equal(size.now, 2);
  assert_true(zendesk_page_size_halve(&size) && size.now == 1);
  assert_false(zendesk_page_size_halve(&size));
  for (int i = 0; i < 4; i++) zendesk_page_size_passed(&size, 25, 100);
  assert_int_equal(size.now, 5);
}

// As many as fit are found, and what does not go on is told.
static void test_a_page_that_is_not_enough_grows_as_far_as_answers_fit(void **state) {
  (void)state;
  struct zendesk_page_size size;
  zendesk_page_size_init(&size, 20);
  assert_true(zendesk_page_size_grow(&size, 20, 1000)); // nothing is known of large records
  assert_int_equal(size.now, 1000);
  assert_false(zendesk_page_size_grow(&size, 1000, 1000));
  for (int64_t fit = 10; fit < 20; fit++) { // 20 are too large
    zendesk_page_size_init(&size, 20);
    assert_true(zendesk_page_size_halve(&size));
    int64_t asked = size.now;
    while (zendesk_page_size_grow(&size, asked, 1000)) {
      assert_true(size.now > asked && size.now < 20);
      while (size.now > fit && zendesk_page_size_halve(&size)) assert_true(size.now > asked);
      if (size.now > fit) break;
      asked = size.now;
    }
    assert_int_equal(asked, fit);
  }
  zendesk_page_size_init(&size, 200); // small records behind large ones
  for (int i = 0; i < 4; i++) assert_true(zendesk_page_size_halve(&size));
  zendesk_page_size_moved(&size);
  assert_true(zendesk_page_size_grow(&size, 12, 1000) && size.now == 24);
  assert_true(zendesk_page_size_grow(&size, 24, 1000) && size.now == 48);
}

static void test_a_path_gets_the_smaller_size(void **state) {
  (void)state;
  static const char *const paths[][2] = {{"/a?page%5Bsize%5D=100&x=1", "/a?page%5Bsize%5D=50&x=1"},
                                         {"/a?x=1&page%5Bsize%5D=100", "/a?x=1&page%5Bsize%5D=50"},
                                         {"/a?page%5Bsize%5D=20&x=1", "/a?page%5Bsize%5D=20&x=1"},
                                         {"/a?x=1", "/a?x=1"},
                                         {"/a?page%5Bsize%5D=", "/a?page%5Bsize%5D="}};
  struct zendesk_page_size size;
  struct dray_buffer out;
  zendesk_page_size_init(&size, 100);
  assert_true(zendesk_page_size_halve(&size));
  dray_buffer_init(&out, 200);
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    dray_buffer_clear(&out);
    assert_int_equal(zendesk_page_size_put(&size, dray_str_of(paths[i][0]), &out, NULL), DRAY_OK);
    assert_string_equal(out.data, paths[i][1]);
  }
  dray_buffer_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pages_shrink_and_grow_within_what_is_wished),
      cmocka_unit_test(test_a_page_that_is_not_enough_grows_as_far_as_answers_fit),
      cmocka_unit_test(test_a_path_gets_the_smaller_size),
      cmocka_unit_test(test_settings_choose_the_credentials),
      cmocka_unit_test(test_settings_refuse_what_cannot_work),
      cmocka_unit_test(test_a_code_needs_its_client_and_excludes_other_credentials),
      cmocka_unit_test(test_settings_survive_a_lack_of_memory),
      cmocka_unit_test(test_a_position_reads_back_what_it_wrote),
      cmocka_unit_test(test_errors_of_every_shape_say_what_is_wrong),
      cmocka_unit_test(test_long_words_are_cut_at_a_character),
      cmocka_unit_test(test_a_handle_reads_back_what_it_wrote),
      cmocka_unit_test(test_the_longest_handle_fits),
      cmocka_unit_test(test_results_of_jobs_belong_to_rows),
      cmocka_unit_test(test_bodies_say_what_the_change_says),
      cmocka_unit_test(test_ids_are_seen_once),
      cmocka_unit_test(test_records_say_that_they_are_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
