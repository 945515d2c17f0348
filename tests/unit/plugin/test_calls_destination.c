// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to destinations: caps that are sane, batches within them, and exactly one receipt a row. The plugin is a table
// in this program; each test scripts what its slots do.
#include "plugin/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/redact.h"
#include "plugin/calls.h"
#include "plugin/handshake.h"
#include "torture.h"

#define ROWS_MAX 8

static struct {
  int32_t rc;
  struct dray_caps caps;
  const char *json;
  struct dray_receipt receipts[ROWS_MAX + 2];
  uint64_t count;
  const char *handle;
  int replace_items;
  int calls;
  int aborted;
} script;

static int self;

static int32_t finish(struct dray_error *error) {
  script.calls++;
  return script.rc == DRAY_OK ? DRAY_OK : dray_fail(error, script.rc, "scripted");
}

static int32_t spec(struct dray_str *out_json, struct dray_error *error) {
  *out_json = dray_str_of("{}");
  return finish(error);
}
static int32_t create(const struct dray_host *host, struct dray_str config_json, struct dray_destination **out,
                      struct dray_error *error) {
  (void)host, (void)config_json;
  *out = (struct dray_destination *)(void *)&self;
  return finish(error);
}
static void destroy(struct dray_destination *destination) {
  assert_ptr_equal(destination, &self);
}
static int32_t check(struct dray_destination *destination, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(destination, &self);
  *out_json = dray_str_of("[]");
  return finish(error);
}
static int32_t discover(struct dray_destination *destination, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(destination, &self);
  *out_json = dray_str_of(script.json);
  return finish(error);
}
static int32_t caps_of(struct dray_destination *destination, struct dray_str object, struct dray_str options_json,
                       struct dray_caps *out, struct dray_error *error) {
  (void)destination, (void)object, (void)options_json;
  assert_int_equal(out->struct_size, sizeof(*out));
  *out = script.caps;
  return finish(error);
}
static int32_t begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                     struct dray_error *error) {
  (void)destination, (void)plan;
  return finish(error);
}
static int32_t give_receipts(struct dray_receipts *out, struct dray_error *error) {
  static struct dray_receipt own[ROWS_MAX];
  assert_true(out->count == 0 && out->handle.len == 0);
  for (uint64_t i = 0; i < script.count && i < out->capacity; i++) out->items[i] = script.receipts[i];
  out->count = script.count;
  if (script.handle != NULL) out->handle = dray_str_of(script.handle);
  if (script.replace_items) out->items = own;
  return finish(error);
}
static int32_t write_batch(struct dray_destination *destination, const struct ArrowArray *batch,
                           const struct dray_batch_info *info, struct dray_receipts *out, struct dray_error *error) {
  (void)destination, (void)batch, (void)info;
  return give_receipts(out, error);
}
static int32_t poll_job(struct dray_destination *destination, struct dray_str handle, const int64_t *rows,
                        uint64_t row_count, struct dray_receipts *out, struct dray_error *error) {
  (void)destination, (void)rows, (void)row_count;
  assert_true(dray_str_is(handle, "job-1"));
  return give_receipts(out, error);
}
static int32_t read_back(struct dray_destination *destination, const struct ArrowArray *batch,
                         struct dray_receipts *out, struct dray_error *error) {
  (void)destination, (void)batch;
  return give_receipts(out, error);
}
static int32_t end(struct dray_destination *destination, struct dray_error *error) {
  (void)destination;
  return finish(error);
}
static void abort_writing(struct dray_destination *destination) {
  (void)destination;
  script.aborted++;
}

static struct dray_destination_vtable vtable;
static struct dr_plugin plugin;
static struct dr_host *host;

static const struct dray_caps good_caps = {.struct_size = sizeof(good_caps),
                                           .flags = DRAY_CAPS_PARTIAL,
                                           .operations = DRAY_OP_INSERT | DRAY_OP_DELETE,
                                           .doubt = DRAY_DOUBT_RESEND,
                                           .batch_rows_max = 5,
                                           .batch_bytes_max = 1000,
                                           .parallel_max = 1};

static int setup_with(void **state, int with_optional) {
  struct dray_error error;
  memset(&plugin, 0, sizeof(plugin));
  memset(&script, 0, sizeof(script));
  (void)snprintf(plugin.manifest.name, sizeof(plugin.manifest.name), "scripted");
  (void)snprintf(plugin.manifest.version, sizeof(plugin.manifest.version), "1.0.0");
  plugin.manifest.has_destination = 1;
  vtable = (struct dray_destination_vtable){.struct_size = sizeof(vtable),
                                            .spec = spec,
                                            .create = create,
                                            .destroy = destroy,
                                            .check = check,
                                            .discover = discover,
                                            .caps = caps_of,
                                            .begin = begin,
                                            .write = write_batch,
                                            .poll = with_optional ? poll_job : NULL,
                                            .read_back = with_optional ? read_back : NULL,
                                            .end = end,
                                            .abort = abort_writing};
  const struct dray_plugin given = {.struct_size = sizeof(given),
                                    .name = dray_str_of("scripted"),
                                    .version = dray_str_of("1.0.0"),
                                    .destination = &vtable};
  scene_ok(dr_handshake(&plugin, &given, &error));
  const struct dr_host_options options = {.connection = "mail"};
  scene_ok(dr_host_new(&options, &host, &error));
  struct dr_destination_instance *destination = calloc(1, sizeof(*destination));
  scene_ok(dr_destination_create(&plugin, host, "mail", dray_str_of("{}"), destination, &error));
  script.caps = good_caps;
  *state = destination;
  return 0;
}

static int setup(void **state) {
  return setup_with(state, 1);
}

static int setup_without_optional(void **state) {
  return setup_with(state, 0);
}

static int teardown(void **state) {
  dr_destination_destroy(*state);
  free(*state);
  dr_host_free(host);
  dr_redact_clear();
  return 0;
}

// ---- caps ----

static void test_caps_are_believed_only_when_sane(void **state) {
  struct dray_error error;
  struct dray_caps caps;
  scene_ok(dr_destination_caps(*state, dray_str_of("o"), dray_str_of("{}"), &caps, &error));
  assert_int_equal(caps.batch_rows_max, 5);
#define WRONG(member, value, said)                                                                                     \
  script.caps = good_caps;                                                                                             \
  script.caps.member = (value);                                                                                        \
  scene_failed(dr_destination_caps(*state, dray_str_of("o"), dray_str_of("{}"), &caps, &error), &error,                \
               DRAY_E_PLUGIN_CONTRACT, "destination.caps", said, NULL)
  WRONG(flags, 0x100, "0x100");
  WRONG(operations, 0, "0x0");
  WRONG(operations, 8, "0x8");
  WRONG(doubt, 0, "0");
  WRONG(doubt, 5, "5");
  WRONG(batch_rows_max, 0, "0 rows");
  WRONG(batch_bytes_max, 0, "0 bytes");
  WRONG(parallel_max, 0, "0 batches");
#undef WRONG
}

static void test_caps_must_not_promise_slots_that_are_not_there(void **state) {
  struct dray_error error;
  struct dray_caps caps;
  script.caps.flags |= DRAY_CAPS_ASYNC;
  scene_failed(dr_destination_caps(*state, dray_str_of("o"), dray_str_of("{}"), &caps, &error), &error,
               DRAY_E_PLUGIN_CONTRACT, "no slot poll", NULL);
  script.caps = good_caps;
  script.caps.doubt = DRAY_DOUBT_READ_BACK;
  scene_failed(dr_destination_caps(*state, dray_str_of("o"), dray_str_of("{}"), &caps, &error), &error,
               DRAY_E_PLUGIN_CONTRACT, "no slot read_back", NULL);
  const int64_t rows[] = {1};
  struct dray_receipt items[1];
  struct dray_receipts out = {.items = items, .capacity = 1};
  scene_failed(dr_destination_poll(*state, dray_str_of("job-1"), rows, 1, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "no slot poll", NULL);
}

static void test_objects_have_their_shape(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.json =
      "{\"objects\":[{\"name\":\"members\",\"fields\":[{\"name\":\"email\",\"type\":\"string\",\"match_key\":true,"
      "\"compare\":\"caseless\"},{\"name\":\"whatever\",\"compare\":\"exact\",\"null\":\"kept\"},{\"name\":\"x\","
      "\"compare\":"
      "\"caseless\"}],"
      "\"operations\":[\"insert\",\"delete\"]},{\"name\":\"events\"}],\"options\":{}}";
  scene_ok(dr_destination_discover(*state, &json, &error));
  static const char *const wrong[] = {
      "{\"streams\":[]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":{}}]}",
      "{\"objects\":[{\"name\":\"a\",\"operations\":[\"upsert\"]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"date\",\"required\":\"yes\"}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":null}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"string\",\"compare\":\"nocase\"}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"string\",\"compare\":true}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"int64\",\"compare\":\"caseless\"}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"null\":\"gone\"}]}]}",
      "{\"objects\":[{\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"null\":false}]}]}",
      "{\"objects\":[{\"name\":\"a\"},{\"name\":\"a\"}]}"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    script.json = wrong[i];
    scene_failed(dr_destination_discover(*state, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "destination.discover",
                 NULL);
  }
}

// ---- batches ----

// Writes the rows with the scripted receipts into `out`.
static int32_t write_rows(void **state, const int64_t *rows, uint64_t row_count, uint64_t bytes,
                          struct dray_receipts *out, struct dray_error *error) {
  static struct dray_receipt items[ROWS_MAX];
  *out = (struct dray_receipts){.struct_size = sizeof(*out), .items = items, .capacity = ROWS_MAX};
  const struct ArrowArray batch = {.length = (int64_t)row_count};
  const struct dray_batch_info info = {.struct_size = sizeof(info), .attempt = 1};
  return dr_destination_write(*state, &script.caps, &batch, bytes, rows, row_count, &info, out, error);
}

static void receipts(const struct dray_receipt *items, uint64_t count) {
  memcpy(script.receipts, items, count * sizeof(*items));
  script.count = count;
}

static void test_batch_beyond_caps_never_reaches_the_plugin(void **state) {
  static const int64_t rows[] = {1, 2, 3, 4, 5, 6};
  struct dray_receipts out;
  struct dray_error error;
  script.calls = 0;
  scene_failed(write_rows(state, rows, 6, 10, &out, &error), &error, DRAY_E_LIMIT, "6 rows", "5 rows", "mail", NULL);
  scene_failed(write_rows(state, rows, 1, 1001, &out, &error), &error, DRAY_E_LIMIT, "1001 bytes", NULL);
  assert_int_equal(script.calls, 0);
}

static void test_receipts_come_back_complete(void **state) {
  static const int64_t rows[] = {70, 3, 12}; // in any order
  struct dray_receipts out;
  struct dray_error error;
  receipts((const struct dray_receipt[]){{.row = 12, .status = DRAY_RECEIPT_REJECTED, .text = dray_str_of("bad mail")},
                                         {.row = 70, .status = DRAY_RECEIPT_APPLIED, .code = 999},
                                         {.row = 3, .status = DRAY_RECEIPT_RETRY, .retry_after_ms = -5}},
           3);
  scene_ok(write_rows(state, rows, 3, 10, &out, &error));
  assert_int_equal(out.count, 3);
  assert_int_equal(out.items[0].code, DRAY_E_DATA_REJECTED);
  assert_true(dray_str_is(out.items[0].text, "bad mail"));
  assert_int_equal(out.items[1].code, DRAY_OK);
  assert_int_equal(out.items[2].code, DRAY_E_BUSY);
  assert_int_equal(out.items[2].retry_after_ms, 0);
}

static void test_receipt_codes_of_the_plugin_are_kept(void **state) {
  static const int64_t rows[] = {1, 2, 3};
  struct dray_receipts out;
  struct dray_error error;
  receipts((const struct dray_receipt[]){{.row = 1, .status = DRAY_RECEIPT_REJECTED, .code = DRAY_E_DATA_TOO_LARGE},
                                         {.row = 2, .status = DRAY_RECEIPT_REJECTED, .code = 31337},
                                         {.row = 3, .status = DRAY_RECEIPT_UNKNOWN}},
           3);
  scene_ok(write_rows(state, rows, 3, 10, &out, &error));
  assert_int_equal(out.items[0].code, DRAY_E_DATA_TOO_LARGE);
  assert_int_equal(out.items[1].code, DRAY_E_DATA_REJECTED);
  assert_int_equal(out.items[2].code, DRAY_E_NET_CLOSED);
}

static void test_receipt_texts_are_masked_copies(void **state) {
  static const int64_t rows[] = {1, 2};
  static char text[] = "token canary-9 \xff\n is wrong";
  static char endless[5000];
  struct dray_receipts out;
  struct dray_error error;
  memset(endless, 'e', sizeof(endless));
  dr_redact_add(dray_str_of("canary-9"));
  receipts(
      (const struct dray_receipt[]){
          {.row = 1, .status = DRAY_RECEIPT_REJECTED, .text = dray_str_of(text)},
          {.row = 2, .status = DRAY_RECEIPT_REJECTED, .text = dray_str_make(endless, sizeof(endless))}},
      2);
  scene_ok(write_rows(state, rows, 2, 10, &out, &error));
  assert_true(dray_str_is(out.items[0].text, "token *** ?  is wrong"));
  assert_int_equal(out.items[1].text.len, 1024);
  assert_true(dray_utf8_valid(out.items[0].text.data, out.items[0].text.len));
  memset(text, 'X', sizeof(text) - 1); // the plugin's memory is not looked at again
  assert_true(dray_str_is(out.items[0].text, "token *** ?  is wrong"));
}

static void test_receipts_that_break_the_contract(void **state) {
  static const int64_t rows[] = {1, 2};
  struct dray_receipts out;
  struct dray_error error;
#define BROKEN(said, ...)                                                                                              \
  do {                                                                                                                 \
    const struct dray_receipt items[] = {__VA_ARGS__};                                                                 \
    receipts(items, sizeof(items) / sizeof(items[0]));                                                                 \
    scene_failed(write_rows(state, rows, 2, 10, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "destination.write",    \
                 said, NULL);                                                                                          \
  } while (0)
  BROKEN("1 receipts came back for 2 rows", {.row = 1, .status = DRAY_RECEIPT_APPLIED});
  BROKEN("3 receipts", {.row = 1, .status = 1}, {.row = 2, .status = 1}, {.row = 2, .status = 1});
  BROKEN("row 2 has two receipts", {.row = 2, .status = 1}, {.row = 2, .status = 1});
  BROKEN("row 3, which is not in the batch", {.row = 3, .status = 1}, {.row = 2, .status = 1});
  BROKEN("status 0", {.row = 1, .status = 0}, {.row = 2, .status = 1});
  BROKEN("status 7", {.row = 1, .status = 7}, {.row = 2, .status = 1});
  BROKEN("PENDING", {.row = 1, .status = DRAY_RECEIPT_PENDING}, {.row = 2, .status = 1}); // not asynchronous
  BROKEN("points nowhere", {.row = 1, .status = 3, .text = {NULL, 5}}, {.row = 2, .status = 1});
#undef BROKEN
  const struct dray_receipt good[] = {{.row = 1, .status = 1}, {.row = 2, .status = 1}};
  receipts(good, 2);
  script.replace_items = 1;
  scene_failed(write_rows(state, rows, 2, 10, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "replaced the array",
               NULL);
}

static void test_pending_needs_async_and_a_handle(void **state) {
  static const int64_t rows[] = {1, 2};
  static const struct dray_receipt pending[] = {{.row = 1, .status = DRAY_RECEIPT_PENDING},
                                                {.row = 2, .status = DRAY_RECEIPT_APPLIED}};
  struct dray_receipts out;
  struct dray_error error;
  script.caps.flags |= DRAY_CAPS_ASYNC;
  receipts(pending, 2);
  scene_failed(write_rows(state, rows, 2, 10, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "no job handle", NULL);
  script.handle = "job-1";
  scene_ok(write_rows(state, rows, 2, 10, &out, &error));
  assert_true(dray_str_is(out.handle, "job-1"));
  static char endless[DRAY_HANDLE_BYTES_MAX + 2];
  memset(endless, 'h', sizeof(endless) - 1);
  script.handle = endless;
  scene_failed(write_rows(state, rows, 2, 10, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "job handle has", NULL);
  script.handle = "job\xff";
  scene_failed(write_rows(state, rows, 2, 10, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT, "UTF-8", NULL);
  script.handle = NULL; // while a job is polled, it goes on under its handle
  struct dray_receipt items[2];
  out = (struct dray_receipts){.items = items, .capacity = 2};
  scene_ok(dr_destination_poll(*state, dray_str_of("job-1"), rows, 2, &out, &error));
}

static void test_read_back_answers_only_its_question(void **state) {
  static const int64_t rows[] = {1, 2};
  const struct ArrowArray batch = {.length = 2};
  struct dray_receipt items[2];
  struct dray_receipts out = {.items = items, .capacity = 2};
  struct dray_error error;
  receipts((const struct dray_receipt[]){{.row = 1, .status = DRAY_RECEIPT_APPLIED},
                                         {.row = 2, .status = DRAY_RECEIPT_RETRY}},
           2);
  scene_ok(dr_destination_read_back(*state, &batch, rows, 2, &out, &error));
  script.receipts[1].status = DRAY_RECEIPT_REJECTED;
  scene_failed(dr_destination_read_back(*state, &batch, rows, 2, &out, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "REJECTED", NULL);
}

static void test_write_error_is_passed_on(void **state) {
  static const int64_t rows[] = {1};
  struct dray_receipts out;
  struct dray_error error;
  script.rc = DRAY_E_THROTTLED;
  scene_failed(write_rows(state, rows, 1, 10, &out, &error), &error, DRAY_E_THROTTLED, "scripted", NULL);
  assert_int_equal(out.count, 0);
}

static void test_begin_end_and_abort_reach_the_plugin(void **state) {
  const struct dray_write_plan plan = {.struct_size = sizeof(plan)};
  struct dray_error error;
  script.calls = 0;
  scene_ok(dr_destination_begin(*state, &plan, &error));
  scene_ok(dr_destination_end(*state, &error));
  dr_destination_abort(*state);
  assert_int_equal(script.calls, 2);
  assert_int_equal(script.aborted, 1);
  script.rc = DRAY_E_NET_CLOSED;
  scene_failed(dr_destination_end(*state, &error), &error, DRAY_E_NET_CLOSED, "scripted", NULL);
}

// ---- failing allocations ----

static int32_t write_once(void *ctx) {
  static const int64_t rows[] = {9, 4};
  struct dray_receipts out;
  struct dray_error error;
  script.calls = 0;
  const int32_t rc = write_rows(ctx, rows, 2, 10, &out, &error);
  assert_true(rc == DRAY_OK || (rc == DRAY_E_OUT_OF_MEMORY && script.calls == 0)); // before, or not at all
  if (rc == DRAY_OK) assert_int_equal(out.items[1].code, DRAY_E_DATA_REJECTED);
  return rc;
}

static void test_no_allocation_stands_between_the_write_and_its_receipts(void **state) {
  for (uint64_t n = 1; n <= 6; n++) {
    struct dr_destination_instance *destination = *state;
    dray_buffer_free(&destination->texts);
    receipts((const struct dray_receipt[]){{.row = 4, .status = DRAY_RECEIPT_APPLIED},
                                           {.row = 9, .status = DRAY_RECEIPT_REJECTED, .text = dray_str_of("why")}},
             2);
    torture_arm(n);
    (void)write_once(state);
    torture_arm(0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(test_caps_are_believed_only_when_sane),
      cmocka_unit_test_setup_teardown(test_caps_must_not_promise_slots_that_are_not_there, setup_without_optional,
                                      teardown),
      TEST(test_objects_have_their_shape),
      TEST(test_batch_beyond_caps_never_reaches_the_plugin),
      TEST(test_receipts_come_back_complete),
      TEST(test_receipt_codes_of_the_plugin_are_kept),
      TEST(test_receipt_texts_are_masked_copies),
      TEST(test_receipts_that_break_the_contract),
      TEST(test_pending_needs_async_and_a_handle),
      TEST(test_read_back_answers_only_its_question),
      TEST(test_write_error_is_passed_on),
      TEST(test_begin_end_and_abort_reach_the_plugin),
      TEST(test_no_allocation_stands_between_the_write_and_its_receipts),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
