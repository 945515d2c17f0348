// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Both roles against a fake host: what is asked for, how answers become rows, states and receipts, and every failing
// allocation.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_host.h"
#include "plugin.h"
#include "reader.h"
#include "torture.h"

#define SETTINGS "{\"api_key\":{\"$secret\":\"api_key\"},\"page_size\":10,\"include_archived\":false}"
#define LISTS                                                                                                          \
  { .body = "{\"lists\":[{\"id\":\"l1\"}],\"total_items\":1}", .headers = "Date: Tue, 14 Nov 2023 22:13:20 GMT\n" }
#define BATCH_MAX 8

static struct fake_host fake;
static struct dray_error error;

static void begin(const struct fake_exchange *exchanges, size_t count) {
  fake_host_init(&fake, exchanges, count);
  fake.secrets[0] = "api_key";
  fake.secrets[1] = "0123456789abcdef-us7";
  dray_error_init(&error);
}

static void ok(int32_t rc) {
  if (rc != DRAY_OK) fail_msg("%d: %s", rc, error.text);
}

static void expect_line(size_t number, const char *line) {
  if (strcmp(fake.requests[number].line, line) != 0) fail_msg("%zu: %s", number, fake.requests[number].line);
}

// ---- settings ----

#define CODE "\"authorization_code\":{\"$secret\":\"c\"}"
#define APP "\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"b\"},\"redirect_uri\":\"https://me/\""

static void test_an_app_goes_before_its_code(void **state) {
  (void)state;
  static const char *const good[] = {"{" APP "," CODE "}", "{" APP "}"};
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    struct mc_settings settings;
    dray_error_init(&error);
    ok(mc_settings_bind(dray_str_of(good[i]), &settings, &error));
    assert_int_equal(settings.grant, DRAY_GRANT_AUTHORIZATION_CODE);
    mc_settings_free(&settings);
  }
}

static void test_wrong_settings_name_the_field(void **state) {
  (void)state;
  static const struct {
    const char *settings, *field;
    int32_t code;
  } cases[] = {
      {"{}", "api_key", DRAY_E_CONFIG_MISSING},
      {"{\"api_key\":{\"$secret\":\"a\"},\"access_token\":{\"$secret\":\"b\"}}", "api_key", DRAY_E_CONFIG_VALUE},
      {"{" APP ",\"api_key\":{\"$secret\":\"a\"}," CODE "}", "api_key", DRAY_E_CONFIG_VALUE},
      {"{" APP ",\"access_token\":{\"$secret\":\"a\"}," CODE "}", "authorization_code", DRAY_E_CONFIG_VALUE},
      {"{\"redirect_uri\":\"https://me/\"," CODE "}", "client_id", DRAY_E_CONFIG_MISSING},
      {"{\"client_id\":\"c\",\"redirect_uri\":\"https://me/\"," CODE "}", "client_secret", DRAY_E_CONFIG_MISSING},
      {"{\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"b\"}," CODE "}", "redirect_uri", DRAY_E_CONFIG_MISSING},
      {"{\"client_id\":\"c\",\"client_secret\":{\"$secret\":\"b\"}}", "api_key", DRAY_E_CONFIG_MISSING},
      {"{\"api_key\":{\"$secret\":\"a\"},\"dc\":\"us7.evil\"}", "dc", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"base_url\":\"ftp://x\"}", "base_url", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"base_url\":\"https://x/\"}", "base_url", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"list_ids\":[7]}", "list_ids", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"list_ids\":[\"../x\"]}", "list_ids", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"start_date\":\"soon\"}", "start_date", DRAY_E_CONFIG_VALUE},
      {"{\"api_key\":{\"$secret\":\"a\"},\"max_connections\":11}", "max_connections", DRAY_E_CONFIG_VALUE},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct mc_settings settings;
    dray_error_init(&error);
    const int32_t rc = mc_settings_bind(dray_str_of(cases[i].settings), &settings, &error);
    if (rc != cases[i].code || strcmp(error.field, cases[i].field) != 0) fail_msg("case %zu: %d %s", i, rc, error.text);
  }
}

// ---- source ----

static struct dray_source *make_source(const char *settings) {
  struct dray_source *source = NULL;
  ok(mailchimp_source_vtable.create(&fake.host, dray_str_of(settings), &source, &error));
  return source;
}

static int32_t open_stream(struct dray_source *source, const char *name, uint32_t mode, const char *at,
                           const char *column, struct dray_stream *out) {
  const struct dray_str columns[] = {dray_str_of(column)};
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = mode,
                                            .stream = dray_str_of(name),
                                            .columns = columns,
                                            .column_count = column != NULL,
                                            .state = dray_str_of(at),
                                            .batch_rows_max = 1000,
                                            .batch_bytes_max = 1u << 20};
  *out = (struct dray_stream){.struct_size = sizeof(*out)};
  return mailchimp_source_vtable.open(source, &request, out, &error);
}

// All values of the only column; a bar between batches.
static int32_t read_texts(struct dray_stream *stream, char *out, size_t out_bytes, struct dray_error *why) {
  struct ArrowSchema schema;
  out[0] = '\0';
  DRAY_TRY(stream->schema(stream, &schema, why));
  int32_t rc = DRAY_OK;
  for (;;) {
    struct ArrowArray batch;
    struct dray_view view;
    rc = stream->next(stream, &batch, why);
    if (rc != DRAY_OK || batch.release == NULL) break;
    rc = dray_view_init(&view, &schema, &batch, why);
    for (uint64_t row = 0; rc == DRAY_OK && row < view.row_count; row++) {
      const size_t at = strlen(out);
      const struct dray_str text =
          dray_column_is_null(&view.columns[0], row) ? dray_str_of("~") : dray_column_bytes(&view.columns[0], row);
      (void)snprintf(out + at, out_bytes - at, "%.*s ", DRAY_STR_ARG(text));
    }
    if (rc == DRAY_OK) dray_view_free(&view);
    batch.release(&batch);
    if (rc != DRAY_OK) break;
  }
  schema.release(&schema);
  return rc;
}

static void test_pages_share_records_and_show_each_once(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      LISTS,
      {.body =
           "{\"members\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"},{\"id\":\"d\"},{\"id\":\"e\"},{\"id\":\"f\"},"
           "{\"id\":\"g\"},{\"id\":\"h\"},{\"id\":\"i\"},{\"id\":\"j\"}],\"total_items\":15}"},
      // Two have gone meanwhile: k moved in front of the page.
      {.body = "{\"members\":[{\"id\":\"l\"},{\"id\":\"m\"}],\"total_items\":13}"},
      {.body = "{\"members\":[{\"id\":\"c\"},{\"id\":\"j\"},{\"id\":\"k\"},{\"id\":\"l\"},{\"id\":\"m\"}],\"total_"
               "items\":13}"}};
  struct dray_stream stream;
  char texts[200];
  begin(exchanges, 4);
  struct dray_source *source = make_source(SETTINGS);
  ok(open_stream(source, "list_members", DRAY_READ_FULL, "", "id", &stream));
  ok(read_texts(&stream, texts, sizeof(texts), &error));
  assert_string_equal(texts, "a b c d e f g h i j l m k ");
  expect_line(0, "GET https://us7.api.mailchimp.com/3.0/lists?fields=lists.id,total_items&count=1000&offset=0");
  expect_line(1,
              "GET https://us7.api.mailchimp.com/3.0/lists/l1/members?count=10&offset=0&exclude_fields=members._links,"
              "_links&sort_field=last_changed&sort_dir=ASC");
  assert_non_null(strstr(fake.requests[2].line, "offset=9&"));
  assert_non_null(strstr(fake.requests[3].line, "offset=0&"));
  assert_non_null(strstr(fake.requests[1].headers, "Authorization: Basic "));
  stream.close(&stream);
  mailchimp_source_vtable.destroy(source);
  fake_host_expect_idle(&fake);
}

static void test_an_incremental_read_goes_on_and_ends_where_it_began(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      LISTS,
      {.body = "{\"members\":[{\"id\":\"a\",\"last_changed\":\"2023-11-14T10:00:00+00:00\"},"
               "{\"id\":\"b\",\"last_changed\":\"2023-11-14T11:00:00+00:00\"}],\"total_items\":2}"},
      {.body = "{\"members\":[{\"id\":\"c\",\"last_changed\":\"2023-11-14T10:30:00+00:00\"}],\"total_items\":1}"}};
  struct dray_stream stream;
  struct dray_str at;
  char texts[200];
  begin(exchanges, 3);
  struct dray_source *source = make_source(SETTINGS);
  ok(open_stream(source, "list_members", DRAY_READ_INCREMENTAL,
                 "{\"v\":1,\"stream\":\"list_members\",\"at\":{\"l1\":1699956000000000,\"l1/gone\":1699956000000000}}",
                 "id", &stream));
  ok(read_texts(&stream, texts, sizeof(texts), &error));
  assert_string_equal(texts, "a b c "); // the archive comes as tombstones
  assert_non_null(strstr(fake.requests[1].line, "&since_last_changed=2023-11-14T09%3A59%3A00%2B00%3A00"
                                                "&before_last_changed=2023-11-14T22%3A13%3A21%2B00%3A00"));
  assert_non_null(
      strstr(fake.requests[2].line, "&status=archived&since_last_changed=2023-11-14T09%3A59%3A00%2B00%3A00"));
  ok(stream.state(&stream, &at, &error));
  assert_true(dray_str_is(at, "{\"v\":1,\"stream\":\"list_members\",\"at\":{\"l1\":1700000000000000,\"l1/gone\":"
                              "1700000000000000},\"start_date\":null}"));
  stream.close(&stream);
  mailchimp_source_vtable.destroy(source);
  fake_host_expect_idle(&fake);
}

static void test_states_of_others_are_refused(void **state) {
  (void)state;
  static const char *const states[] = {"x", "{}", "{\"v\":2,\"stream\":\"list_members\",\"at\":{}}",
                                       "{\"v\":1,\"stream\":\"segments\",\"at\":{}}",
                                       "{\"v\":1,\"stream\":\"list_members\",\"at\":{\"l1\":\"x\"}}"};
  for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
    static const struct fake_exchange exchanges[] = {LISTS};
    struct dray_stream stream;
    begin(exchanges, 1);
    struct dray_source *source = make_source(SETTINGS);
    assert_int_equal(open_stream(source, "list_members", DRAY_READ_INCREMENTAL, states[i], "id", &stream),
                     DRAY_E_STATE_CHECKPOINT);
    mailchimp_source_vtable.destroy(source);
    fake_host_expect_idle(&fake);
  }
}

static void test_activities_become_rows_with_a_place_among_their_like(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      {.body = "{\"reports\":[{\"id\":\"c1\"}],\"total_items\":1}"},
      {.body = "{\"emails\":[{\"email_id\":\"e1\"},{\"email_id\":\"e2\",\"campaign_id\":\"c1\",\"activity\":["
               "{\"action\":\"click\",\"timestamp\":\"2023-11-14T10:00:00+00:00\",\"url\":\"https://x\"},"
               "{\"action\":\"click\",\"timestamp\":\"2023-11-14T10:00:00+00:00\",\"url\":\"https://y\"},"
               "{\"action\":\"open\",\"timestamp\":\"2023-11-14T10:00:00+00:00\"}]},"
               "{\"email_id\":\"e3\",\"activity\":[]}],\"total_items\":3}"}};
  struct dray_stream stream;
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_view view;
  begin(exchanges, 2);
  struct dray_source *source = make_source(SETTINGS);
  ok(open_stream(source, "email_activity", DRAY_READ_FULL, "", NULL, &stream));
  ok(stream.schema(&stream, &schema, &error));
  ok(stream.next(&stream, &batch, &error));
  ok(dray_view_init(&view, &schema, &batch, &error));
  assert_int_equal(view.row_count, 3);
  const ptrdiff_t place = dray_view_find(&view, dray_str_of("occurrence"));
  const ptrdiff_t url = dray_view_find(&view, dray_str_of("url"));
  static const int64_t places[] = {0, 1, 0};
  for (uint64_t i = 0; i < 3; i++) assert_int_equal(dray_column_int64(&view.columns[place], i), places[i]);
  assert_true(dray_str_is(dray_column_bytes(&view.columns[url], 1), "https://y"));
  assert_true(dray_column_is_null(&view.columns[url], 2));
  dray_view_free(&view);
  batch.release(&batch);
  schema.release(&schema);
  stream.close(&stream);
  mailchimp_source_vtable.destroy(source);
  fake_host_expect_idle(&fake);
}

// ---- destination ----

static const struct dray_column_def columns[] = {
    {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},     {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
    {"email_address", {DRAY_TYPE_STRING, 0, 0}, 0},    {"status", {DRAY_TYPE_STRING, 0, 0}, 1},
    {"merge_fname", {DRAY_TYPE_STRING, 0, 0}, 1},      {"merge_score", {DRAY_TYPE_INT64, 0, 0}, 1},
    {"merge_born", {DRAY_TYPE_DATE, 0, 0}, 1},         {"vip", {DRAY_TYPE_BOOL, 0, 0}, 1},
    {DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

struct row {
  int64_t op;
  const char *email, *status, *name;
  int64_t score; // -1: null
  const char *changed;
};

static int32_t make_batch(const struct row *rows, size_t count, struct ArrowSchema *schema, struct ArrowArray *batch) {
  struct dray_builder *builder = NULL;
  int32_t rc = dray_schema_make(columns, COLUMN_COUNT, schema, NULL);
  if (rc == DRAY_OK) rc = dray_builder_new(schema, 0, 0, &builder, NULL);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    rc = dray_builder_int64(builder, 0, 100 + (int64_t)i, NULL);
    if (rc == DRAY_OK) rc = dray_builder_int64(builder, 1, rows[i].op, NULL);
    if (rc == DRAY_OK) rc = dray_builder_text(builder, 2, dray_str_of(rows[i].email), NULL);
    if (rc == DRAY_OK && rows[i].status != NULL) rc = dray_builder_text(builder, 3, dray_str_of(rows[i].status), NULL);
    if (rc == DRAY_OK && rows[i].name != NULL) rc = dray_builder_text(builder, 4, dray_str_of(rows[i].name), NULL);
    if (rc == DRAY_OK && rows[i].score >= 0) rc = dray_builder_int64(builder, 5, rows[i].score, NULL);
    if (rc == DRAY_OK && rows[i].score >= 0) rc = dray_builder_text(builder, 6, dray_str_of("1990-02-28"), NULL);
    if (rc == DRAY_OK && rows[i].changed != NULL)
      rc = dray_builder_bytes(builder, 8, dray_str_of(rows[i].changed), NULL);
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, NULL, NULL);
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, batch, NULL);
  dray_builder_free(builder);
  return rc;
}

static struct dray_receipt items[BATCH_MAX];
static struct dray_receipts receipts;
static int asks_caps; // and for the catalogue, before it begins

// A whole life; DRAY_OK when the batch has its receipts.
static int32_t write_rows(const struct row *rows, size_t count, const char *options, struct dray_error *why) {
  struct dray_destination *destination = NULL;
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray batch = {.release = NULL};
  const struct dray_str key = dray_str_of("email_address");
  const struct dray_batch_info info = {.struct_size = sizeof(info), .attempt = 1};
  receipts = (struct dray_receipts){.struct_size = sizeof(receipts), .items = items, .capacity = BATCH_MAX};
  int32_t rc = make_batch(rows, count, &schema, &batch);
  const struct dray_write_plan plan = {.struct_size = sizeof(plan),
                                       .operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE,
                                       .object = dray_str_of("members"),
                                       .schema = &schema,
                                       .match_keys = &key,
                                       .match_key_count = 1,
                                       .options_json = dray_str_of(options)};
  if (rc == DRAY_OK) rc = mailchimp_destination_vtable.create(&fake.host, dray_str_of(SETTINGS), &destination, why);
  struct dray_caps caps = {.struct_size = sizeof(caps)};
  struct dray_str catalog;
  if (rc == DRAY_OK && asks_caps) {
    rc = mailchimp_destination_vtable.caps(destination, plan.object, plan.options_json, &caps, why);
    if (rc == DRAY_OK) rc = mailchimp_destination_vtable.discover(destination, &catalog, why);
  }
  if (rc == DRAY_OK) rc = mailchimp_destination_vtable.begin(destination, &plan, why);
  if (rc == DRAY_OK) rc = mailchimp_destination_vtable.write(destination, &batch, &info, &receipts, why);
  for (uint64_t i = 0; i < receipts.count && rc == DRAY_OK; i++) items[i].text = dray_str_make(NULL, items[i].text.len);
  if (rc == DRAY_OK) rc = mailchimp_destination_vtable.end(destination, why);
  mailchimp_destination_vtable.destroy(destination);
  dray_array_release(&batch);
  dray_schema_release(&schema);
  return rc;
}

#define FIELDS                                                                                                         \
  {                                                                                                                    \
    .body = "{\"merge_fields\":[{\"tag\":\"FNAME\",\"type\":\"text\"},{\"tag\":\"SCORE\",\"type\":\"number\"},"        \
            "{\"tag\":\"BORN\",\"type\":\"birthday\"}]}"                                                               \
  }
#define OPTIONS "{\"list_id\":\"l1\"}"

static int32_t status_of(int64_t row) {
  for (uint64_t i = 0; i < receipts.count; i++) {
    if (items[i].row == row) return items[i].status;
  }
  return 0;
}

static void test_updates_touch_no_consent_and_new_ones_leave_alone_who_is_there(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      FIELDS,
      {.body = "{\"total_created\":0,\"total_updated\":1,\"error_count\":1,\"errors\":[{\"email_address\":\"B@x.test\","
               "\"error\":\"looks fake\",\"error_code\":\"ERROR_GENERIC\",\"field\":\"\",\"field_message\":\"\"}]}"},
      {.body = "{\"total_created\":1,\"total_updated\":0,\"error_count\":1,\"errors\":[{\"email_address\":\"d@x.test\","
               "\"error\":\"is already there\",\"error_code\":\"ERROR_CONTACT_EXISTS\"}]}"},
      {.body = "{\"total_created\":0,\"total_updated\":1,\"error_count\":0,\"errors\":[]}"}};
  static const struct row rows[] = {
      {DRAY_OP_UPDATE, " A@x.test ", "subscribed", NULL, 7, NULL},   // the whole row; a name that is null
      {DRAY_OP_UPDATE, "b@x.test", "unsubscribed", "B", -1, "\x06"}, // status and name have changed
      {DRAY_OP_INSERT, "c@x.test", NULL, "C", -1, NULL},
      {DRAY_OP_INSERT, "d@x.test", "pending", "D", -1, NULL},
      {DRAY_OP_INSERT, "C@x.test", NULL, "C", -1, NULL}, // the same address once more
  };
  begin(exchanges, 4);
  ok(write_rows(rows, 5, OPTIONS, &error));
  expect_line(1, "POST https://us7.api.mailchimp.com/3.0/lists/l1");
  assert_string_equal(fake.requests[1].body,
                      "{\"members\":[{\"email_address\":\"A@x.test\",\"vip\":false,\"merge_fields\":{\"FNAME\":\"\","
                      "\"SCORE\":7,\"BORN\":\"02/28\"}},{\"email_address\":\"b@x.test\",\"status\":\"unsubscribed\","
                      "\"merge_fields\":{\"FNAME\":\"B\"}}],\"update_existing\":true}");
  assert_string_equal(fake.requests[2].body,
                      "{\"members\":[{\"email_address\":\"c@x.test\",\"status\":\"subscribed\",\"vip\":false,"
                      "\"merge_fields\":{\"FNAME\":\"C\"}},{\"email_address\":\"d@x.test\",\"status\":\"pending\","
                      "\"vip\":false,\"merge_fields\":{\"FNAME\":\"D\"}}],\"update_existing\":false}");
  assert_non_null(strstr(fake.requests[3].body, "{\"email_address\":\"d@x.test\",\"vip\":false"));
  assert_non_null(strstr(fake.requests[3].body, "\"update_existing\":true"));
  assert_int_equal(fake.requests[1].flags & DRAY_HTTP_NO_RETRY, DRAY_HTTP_NO_RETRY);
  assert_int_equal(receipts.count, 5);
  assert_int_equal(status_of(100), DRAY_RECEIPT_APPLIED);
  assert_int_equal(status_of(101), DRAY_RECEIPT_REJECTED);
  assert_int_equal(status_of(102), DRAY_RECEIPT_APPLIED);
  assert_int_equal(status_of(103), DRAY_RECEIPT_APPLIED);
  assert_int_equal(status_of(104), DRAY_RECEIPT_REJECTED);
}

static void test_what_may_have_arrived_is_unknown_and_what_did_not_is_an_error(void **state) {
  (void)state;
  static const struct {
    struct fake_exchange exchange;
    int32_t code, status; // status: of the receipts where code is OK
  } cases[] = {
      {{.fail_code = DRAY_E_NET_CONNECT}, DRAY_E_NET_CONNECT, 0},
      {{.fail_code = DRAY_E_NET_TIMEOUT, .in_doubt = 1}, DRAY_OK, DRAY_RECEIPT_UNKNOWN},
      {{.status = 429}, DRAY_E_THROTTLED, 0},
      {{.status = 403}, DRAY_E_THROTTLED, 0}, // no document: one too many
      {{.status = 403, .body = "{\"title\":\"Forbidden\"}"}, DRAY_E_AUTH_FORBIDDEN, 0},
      {{.status = 401, .body = "{\"title\":\"API Key Invalid\"}"}, DRAY_E_AUTH_REJECTED, 0},
      {{.status = 400, .body = "{\"title\":\"Invalid Resource\"}"}, DRAY_E_DATA_REJECTED, 0},
      {{.status = 500, .body = "{}"}, DRAY_OK, DRAY_RECEIPT_UNKNOWN},
      {{.status = 503}, DRAY_E_HTTP_SERVER, 0},
      {{.body = "<html>"}, DRAY_OK, DRAY_RECEIPT_UNKNOWN},
      {{.body = "{\"errors\":[],\"total_updated\":0}"}, DRAY_OK, DRAY_RECEIPT_UNKNOWN},
      {{.body = "{", .cut_code = DRAY_E_NET_CLOSED}, DRAY_OK, DRAY_RECEIPT_UNKNOWN},
  };
  static const struct row rows[] = {{DRAY_OP_UPDATE, "a@x.test", NULL, "A", -1, NULL}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct fake_exchange exchanges[] = {FIELDS, cases[i].exchange};
    begin(exchanges, 2);
    const int32_t rc = write_rows(rows, 1, OPTIONS, &error);
    if (rc != cases[i].code) fail_msg("case %zu: %d %s", i, rc, error.text);
    if (rc == DRAY_OK) assert_int_equal(status_of(100), cases[i].status);
    fake_host_expect_idle(&fake);
  }
}

static int32_t run_of_one_audience(void *ctx) {
  static const struct fake_exchange exchanges[] = {
      FIELDS, {.body = "{\"total_created\":0,\"total_updated\":1,\"error_count\":0,\"errors\":[]}"}};
  static const struct row rows[] = {{DRAY_OP_UPDATE, "a@x.test", NULL, "A", 3, NULL}};
  (void)ctx;
  begin(exchanges, 2);
  asks_caps = 1; // as a run does
  const int32_t rc = write_rows(rows, 1, OPTIONS, &error);
  asks_caps = 0;
  fake_host_expect_idle(&fake);
  return rc == DRAY_OK && items[0].status != DRAY_RECEIPT_APPLIED ? DRAY_E_OUT_OF_MEMORY : rc;
}

static void test_what_the_catalogue_was_made_of_is_not_asked_for_again(void **state) {
  (void)state;
  ok(run_of_one_audience(NULL));
  expect_line(0, "GET https://us7.api.mailchimp.com/3.0/lists/l1/merge-fields?count=1000&fields=merge_fields.tag,"
                 "merge_fields.name,merge_fields.type");
  expect_line(1, "POST https://us7.api.mailchimp.com/3.0/lists/l1");
  assert_true(torture_every(run_of_one_audience, NULL) > 20);
}

static void test_an_audience_that_is_not_there_is_a_matter_of_the_config(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.status = 404, .body = "{\"title\":\"Resource Not Found\"}"}};
  static const struct row rows[] = {{DRAY_OP_UPDATE, "a@x.test", NULL, "A", 3, NULL}};
  begin(exchanges, 1);
  assert_int_equal(write_rows(rows, 1, OPTIONS, &error), DRAY_E_CONFIG_VALUE);
  assert_string_equal(error.field, "list_id");
}

static void test_merge_fields_of_audiences_are_asked_for_side_by_side(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {FIELDS, FIELDS, FIELDS,
                                                   FIELDS, FIELDS, {.status = 404, .body = "{}"}};
  struct dray_destination *destination = NULL;
  struct dray_str catalog;
  begin(exchanges, 6);
  ok(mailchimp_destination_vtable.create(&fake.host,
                                         dray_str_of("{\"api_key\":{\"$secret\":\"api_key\"},\"max_connections\":3,"
                                                     "\"list_ids\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]}"),
                                         &destination, &error));
  assert_int_equal(mailchimp_destination_vtable.discover(destination, &catalog, &error), DRAY_E_CONFIG_VALUE);
  assert_non_null(strstr(error.text, "audience f"));
  assert_non_null(strstr(fake.events, "start 0\nstart 1\nstart 2\nfinish 0\nstart 3\n"));
  mailchimp_destination_vtable.destroy(destination);
  fake_host_expect_idle(&fake);
}

#define THERE(email) "{\"email_address\":\"" email "\",\"error\":\"there\",\"error_code\":\"ERROR_CONTACT_EXISTS\"}"
#define ARCHIVED(email) "{\"email_address\":\"" email "\",\"status\":\"archived\"}"

static void test_who_unsubscribed_before_the_archive_comes_back_unsubscribed(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {
      FIELDS,
      {.body = "{\"total_created\":0,\"total_updated\":0,\"error_count\":2,\"errors\":[" THERE("a@x.test") "," THERE(
           "b@x.test") "]}"},
      {.body =
           "{\"total_created\":0,\"total_updated\":2,\"error_count\":0,\"errors\":[],\"updated_members\":[" ARCHIVED(
               "a@x.test") "," ARCHIVED("b@x.test") "]}"},
      {.body = "{\"unsubscribe_reason\":\"N/A (Unsubscribed by admin)\"}"},
      {.body = "{}"},
      {.body = "{\"total_created\":0,\"total_updated\":2,\"error_count\":0,\"errors\":[]}"}};
  static const struct row rows[] = {{DRAY_OP_INSERT, "a@x.test", "subscribed", "A", -1, NULL},
                                    {DRAY_OP_INSERT, "b@x.test", NULL, "B", -1, NULL}};
  struct fake_exchange failing[6];
  begin(exchanges, 6);
  ok(write_rows(rows, 2, OPTIONS, &error));
  expect_line(3, "GET https://us7.api.mailchimp.com/3.0/lists/l1/members/e51a784d0404e5c98b3cae020c811cbb?fields="
                 "unsubscribe_reason");
  assert_non_null(strstr(fake.requests[5].body, "{\"email_address\":\"a@x.test\",\"status\":\"unsubscribed\""));
  assert_non_null(strstr(fake.requests[5].body, "{\"email_address\":\"b@x.test\",\"status\":\"subscribed\""));
  assert_int_equal(status_of(100), DRAY_RECEIPT_APPLIED);
  assert_int_equal(status_of(101), DRAY_RECEIPT_APPLIED);
  fake_host_expect_idle(&fake);
  memcpy(failing, exchanges, sizeof(failing)); // what nobody could tell is not guessed
  failing[4] = (struct fake_exchange){.status = 500, .body = "{}"};
  begin(failing, 5);
  assert_int_equal(write_rows(rows, 2, OPTIONS, &error), DRAY_E_HTTP_SERVER);
  fake_host_expect_idle(&fake);
}

static void test_removals_go_side_by_side(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {FIELDS,
                                                   {.status = 204},
                                                   {.status = 204},
                                                   {.status = 404, .body = "{}"},
                                                   {.status = 405, .body = "{}"},
                                                   {.status = 429},
                                                   {.body = "{\"status\":\"archived\"}"}};
  static const struct row rows[] = {{DRAY_OP_DELETE, "Ada@X.test", NULL, NULL, -1, NULL},
                                    {DRAY_OP_DELETE, "Eve@x.test", NULL, NULL, -1, NULL},
                                    {DRAY_OP_DELETE, "b@x.test", NULL, NULL, -1, NULL},
                                    {DRAY_OP_DELETE, "c@x.test", NULL, NULL, -1, NULL},
                                    {DRAY_OP_DELETE, "d@x.test", NULL, NULL, -1, NULL}};
  begin(exchanges, 7);
  ok(write_rows(rows, 5, OPTIONS, &error));
  expect_line(1, "DELETE https://us7.api.mailchimp.com/3.0/lists/l1/members/cd2413d38c0217ac7e33dae267c0b4bd");
  assert_non_null(strstr(fake.events, "start 1\nstart 2\nstart 3\nstart 4\nfinish 1\n"));
  assert_int_equal(status_of(100), DRAY_RECEIPT_APPLIED); // capitals make no difference
  assert_int_equal(status_of(101), DRAY_RECEIPT_APPLIED);
  assert_int_equal(status_of(102), DRAY_RECEIPT_UNCHANGED);
  assert_int_equal(status_of(103), DRAY_RECEIPT_UNCHANGED);
  assert_int_equal(status_of(104), DRAY_RECEIPT_RETRY); // and none is marked failed for it
  fake_host_expect_idle(&fake);
}

// ---- torture ----

static int32_t live(void *ctx) {
  static const struct fake_exchange exchanges[] = {
      LISTS,
      FIELDS,
      LISTS,
      {.body = "{\"members\":[{\"id\":\"a\",\"last_changed\":\"2023-11-14T10:00:00+00:00\"}],\"total_items\":1}"},
      FIELDS,
      {.body = "{\"total_created\":0,\"total_updated\":1,\"error_count\":0,\"errors\":[]}"},
      {.status = 204}};
  static const struct row rows[] = {{DRAY_OP_UPDATE, "a@x.test", NULL, "A", 3, NULL},
                                    {DRAY_OP_DELETE, "b@x.test", NULL, NULL, -1, NULL}};
  (void)ctx;
  struct dray_source *source = NULL;
  struct dray_stream stream = {.close = NULL};
  char texts[200];
  begin(exchanges, 7);
  int32_t rc = mailchimp_source_vtable.create(&fake.host, dray_str_of(SETTINGS), &source, &error);
  struct dray_str catalog;
  if (rc == DRAY_OK) rc = mailchimp_source_vtable.discover(source, &catalog, &error);
  if (rc == DRAY_OK) rc = open_stream(source, "list_members", DRAY_READ_INCREMENTAL, "", "id", &stream);
  if (rc == DRAY_OK) rc = read_texts(&stream, texts, sizeof(texts), &error);
  if (stream.close != NULL) stream.close(&stream);
  mailchimp_source_vtable.destroy(source);
  if (rc == DRAY_OK) rc = write_rows(rows, 2, OPTIONS, &error);
  // What was sent is sent: without memory to read the answer its rows are unknown, or to be sent again.
  for (uint64_t i = 0; rc == DRAY_OK && i < receipts.count; i++) {
    if (items[i].status != DRAY_RECEIPT_APPLIED) rc = DRAY_E_OUT_OF_MEMORY;
  }
  fake_host_expect_idle(&fake);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  struct dray_str spec;
  ok(mailchimp_source_vtable.spec(&spec, &error));
  assert_true(torture_every(live, NULL) > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_app_goes_before_its_code),
      cmocka_unit_test(test_wrong_settings_name_the_field),
      cmocka_unit_test(test_pages_share_records_and_show_each_once),
      cmocka_unit_test(test_an_incremental_read_goes_on_and_ends_where_it_began),
      cmocka_unit_test(test_states_of_others_are_refused),
      cmocka_unit_test(test_activities_become_rows_with_a_place_among_their_like),
      cmocka_unit_test(test_updates_touch_no_consent_and_new_ones_leave_alone_who_is_there),
      cmocka_unit_test(test_what_may_have_arrived_is_unknown_and_what_did_not_is_an_error),
      cmocka_unit_test(test_what_the_catalogue_was_made_of_is_not_asked_for_again),
      cmocka_unit_test(test_an_audience_that_is_not_there_is_a_matter_of_the_config),
      cmocka_unit_test(test_merge_fields_of_audiences_are_asked_for_side_by_side),
      cmocka_unit_test(test_who_unsubscribed_before_the_archive_comes_back_unsubscribed),
      cmocka_unit_test(test_removals_go_side_by_side),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
