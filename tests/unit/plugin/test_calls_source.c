// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls to sources and streams: what a plugin may hand back, and what becomes of the rest. The plugin is a table in
// this program; each test scripts what its slots do.
#include "plugin/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/redact.h"
#include "dray/sdk/column.h"
#include "plugin/call.h"
#include "plugin/calls.h"
#include "plugin/handshake.h"

// What the scripted slots do next.
static struct {
  int32_t rc;
  int32_t error_class; // 0: the table's
  const char *json;
  const char *text;
  char on_board[128];
  int made_null;
  int leave_out;         // slot of the stream: 1 schema, 2 next, 3 close, 4 state, 5 progress
  const char *format;    // of the schema, NULL: "+s"
  int64_t length;        // of batches; 0: as built
  int columns;           // of batches: 1, or 0: as built
  int64_t column_length; // of the first column; 0: as built
  struct dray_str state;
  int batches;
  int closed;
  int calls;
} script;

static int32_t finish(struct dray_error *error) {
  struct dr_board_view view;
  dr_board_read(dr_board(), &view);
  (void)snprintf(script.on_board, sizeof(script.on_board), "%s", view.call);
  script.calls++;
  if (script.rc == DRAY_OK || script.text == NULL) return script.rc;
  (void)dray_fail(error, script.rc, "%s", script.text);
  if (script.error_class != 0) error->error_class = script.error_class;
  return script.rc;
}

static int32_t give_json(struct dray_str *out, struct dray_error *error) {
  if (script.json != NULL) *out = dray_str_of(script.json);
  return finish(error);
}

static int self;

static int32_t spec(struct dray_str *out_json, struct dray_error *error) {
  return give_json(out_json, error);
}
static int32_t create(const struct dray_host *host, struct dray_str config_json, struct dray_source **out,
                      struct dray_error *error) {
  (void)host, (void)config_json;
  if (!script.made_null) *out = (struct dray_source *)(void *)&self;
  return finish(error);
}
static void destroy(struct dray_source *source) {
  assert_ptr_equal(source, &self);
  script.closed++;
}
static int32_t check(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(source, &self);
  return give_json(out_json, error);
}
static int32_t discover(struct dray_source *source, struct dray_str *out_json, struct dray_error *error) {
  assert_ptr_equal(source, &self);
  return give_json(out_json, error);
}

static void make_schema(struct ArrowSchema *out) {
  static const struct dray_column_def columns[] = {{"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                   {"name", {DRAY_TYPE_STRING, 0, 0}, 1}};
  struct dray_error error;
  scene_ok(dray_schema_make(columns, 2, out, &error));
}

static int32_t stream_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  (void)stream;
  if (script.rc == DRAY_OK) make_schema(out);
  if (script.format != NULL) out->format = script.format;
  return finish(error);
}

static void build_batch(struct ArrowArray *out) {
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_error error;
  int32_t full = 0;
  make_schema(&schema);
  scene_ok(dray_builder_new(&schema, 10, 1000, &builder, &error));
  for (int64_t row = 0; row < 3; row++) {
    scene_ok(dray_builder_int64(builder, 0, row, &error));
    scene_ok(dray_builder_end_row(builder, &full, &error));
  }
  scene_ok(dray_builder_finish(builder, out, &error));
  dray_builder_free(builder);
  dray_schema_release(&schema);
}

static int32_t stream_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  (void)stream;
  if (script.rc != DRAY_OK || script.batches-- <= 0) return finish(error);
  build_batch(out);
  if (script.length != 0) out->length = script.length == -1 ? 0 : script.length;
  if (script.columns == 1) { // the second column is let go, so that nothing leaks
    out->children[1]->release(out->children[1]);
    out->n_children = 1;
  }
  if (script.column_length != 0) out->children[0]->length = script.column_length;
  return finish(error);
}

static int32_t stream_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  (void)stream;
  *out = script.state;
  return finish(error);
}
static void stream_progress(struct dray_stream *stream, struct dray_progress *out) {
  (void)stream;
  out->rows = 42;
}
static void stream_close(struct dray_stream *stream) {
  (void)stream;
  script.closed++;
}

static int32_t open_stream(struct dray_source *source, const struct dray_read_request *request, struct dray_stream *out,
                           struct dray_error *error) {
  assert_ptr_equal(source, &self);
  assert_int_equal(request->mode, DRAY_READ_FULL);
  assert_int_equal(out->struct_size, sizeof(*out));
  assert_null(out->next);
  if (script.leave_out != 1) out->schema = stream_schema;
  if (script.leave_out != 2) out->next = stream_next;
  if (script.leave_out != 3) out->close = stream_close;
  if (script.leave_out != 4) out->state = stream_state;
  if (script.leave_out != 5) out->progress = stream_progress;
  return finish(error);
}

static int32_t drop(struct dray_source *source, const struct dray_read_request *request, struct dray_str *out_json,
                    struct dray_error *error) {
  assert_ptr_equal(source, &self);
  assert_true(dray_str_is(request->reader, "sync.1"));
  *out_json = dray_str_of(script.json);
  return finish(error);
}

static int32_t wait_for_news(struct dray_source *source, const struct dray_read_request *request, uint64_t timeout_ms,
                             uint32_t *out_news, struct dray_error *error) {
  (void)source, (void)request;
  *out_news = (uint32_t)timeout_ms; // what the test says
  return finish(error);
}

static const struct dray_source_vtable vtable = {.struct_size = sizeof(vtable),
                                                 .spec = spec,
                                                 .create = create,
                                                 .destroy = destroy,
                                                 .check = check,
                                                 .discover = discover,
                                                 .open = open_stream};
static struct dr_plugin plugin;
static struct dr_host *host;

static int setup(void **state) {
  struct dray_error error;
  memset(&plugin, 0, sizeof(plugin));
  (void)snprintf(plugin.manifest.name, sizeof(plugin.manifest.name), "scripted");
  (void)snprintf(plugin.manifest.version, sizeof(plugin.manifest.version), "1.0.0");
  plugin.manifest.has_source = 1;
  const struct dray_plugin given = {.struct_size = sizeof(given),
                                    .name = dray_str_of("scripted"),
                                    .version = dray_str_of("1.0.0"),
                                    .source = &vtable};
  scene_ok(dr_handshake(&plugin, &given, &error));
  const struct dr_host_options options = {.connection = "shop"};
  scene_ok(dr_host_new(&options, &host, &error));
  memset(&script, 0, sizeof(script));
  struct dr_source_instance *source = calloc(1, sizeof(*source));
  scene_ok(dr_source_create(&plugin, host, "shop", dray_str_of("{}"), source, &error));
  *state = source;
  return 0;
}

static int teardown(void **state) {
  dr_source_destroy(*state);
  free(*state);
  dr_host_free(host);
  dr_redact_clear();
  return 0;
}

static struct dray_stream open_one(struct dr_source_instance *source) {
  const struct dray_read_request request = {.struct_size = sizeof(request), .mode = DRAY_READ_FULL};
  struct dray_stream stream;
  struct dray_error error;
  scene_ok(dr_source_open(source, &request, &stream, &error));
  return stream;
}

// ---- instances ----

static void test_create_and_destroy_are_on_the_board(void **state) {
  struct dr_source_instance *source = *state;
  assert_string_equal(source->label, "plugin scripted (connection shop)");
  assert_string_equal(script.on_board, "source.create of plugin scripted (connection shop)");
  struct dr_board_view view;
  dr_board_read(dr_board(), &view);
  assert_string_equal(view.call, ""); // left again
  assert_int_equal(view.call_since_ms, 0);
  dr_source_destroy(source);
  dr_source_destroy(source); // the second has no effect
  assert_int_equal(script.closed, 1);
}

// A reader's thread is inside its source while the main thread calls something else and comes back.
static void test_a_call_on_another_thread_stays_on_the_board(void **state) {
  struct dr_source_instance *source = *state;
  struct dr_call reading;
  struct dr_board_view view;
  struct dray_error error;
  struct dray_str json;
  dr_call_enter(&reading, "plugin other (connection o)", "stream.next", NULL);
  script.json = "[]";
  scene_ok(dr_source_check(source, &json, &error));
  assert_string_equal(script.on_board, "stream.next of plugin other (connection o); source.check of plugin scripted "
                                       "(connection shop)");
  dr_board_read(dr_board(), &view);
  assert_string_equal(view.call, "stream.next of plugin other (connection o)");
  assert_true(view.call_since_ms > 0); // a hang there is still noticed
  dr_call_leave(&reading);
  dr_board_read(dr_board(), &view);
  assert_string_equal(view.call, "");
  assert_int_equal(view.call_since_ms, 0);
}

static void test_create_without_an_instance_breaks_the_contract(void **state) {
  (void)state;
  struct dr_source_instance made;
  struct dray_error error;
  script.made_null = 1;
  scene_failed(dr_source_create(&plugin, host, "shop", dray_str_of("{}"), &made, &error), &error,
               DRAY_E_PLUGIN_CONTRACT, "plugin scripted (connection shop)", "source.create", NULL);
  struct dr_destination_instance destination;
  scene_failed(dr_destination_create(&plugin, host, "shop", dray_str_of("{}"), &destination, &error), &error,
               DRAY_E_PLUGIN_ROLE, "scripted cannot be used as a destination; it is a source", NULL);
}

// ---- errors ----

static void test_error_is_passed_on_masked(void **state) {
  struct dray_error error;
  struct dray_str json;
  dr_redact_add(dray_str_of("canary-77"));
  script.rc = DRAY_E_AUTH_REJECTED;
  script.text = "401 for token canary-77\x1b[31m";
  scene_failed(dr_source_check(*state, &json, &error), &error, DRAY_E_AUTH_REJECTED, "401 for token ***", NULL);
  assert_null(strstr(error.text, "canary"));
  assert_null(strchr(error.text, '\x1b'));
}

static void test_error_without_words_gets_the_tables(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.rc = DRAY_E_NET_TIMEOUT;
  scene_failed(dr_source_check(*state, &json, &error), &error, DRAY_E_NET_TIMEOUT, "source.check",
               "did not answer in time", NULL);
}

static void test_error_class_of_the_plugin_is_kept(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.rc = DRAY_E_HTTP_STATUS;
  script.text = "422";
  script.error_class = DRAY_CLASS_DATA;
  assert_int_equal(dr_source_check(*state, &json, &error), DRAY_E_HTTP_STATUS);
  assert_int_equal(error.error_class, DRAY_CLASS_DATA);
  script.error_class = 77;
  assert_int_equal(dr_source_check(*state, &json, &error), DRAY_E_HTTP_STATUS);
  assert_int_equal(error.error_class, DRAY_CLASS_CONFIG); // no class: the table's
}

static void test_error_codes_nobody_knows(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.rc = -3;
  scene_failed(dr_source_check(*state, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "returned -3", NULL);
  script.rc = 12345;
  scene_failed(dr_source_check(*state, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "returned 12345", NULL);
  script.text = "too many cooks"; // of a newer minor: the class drives
  script.error_class = DRAY_CLASS_THROTTLED;
  assert_int_equal(dr_source_check(*state, &json, &error), 12345);
  assert_int_equal(error.error_class, DRAY_CLASS_THROTTLED);
  assert_int_equal(dr_source_check(*state, &json, NULL), 12345); // nobody wants the words
}

static void test_cancelled_run_calls_no_plugin(void **state) {
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct dray_error error;
    struct dray_str json;
    struct dray_stream stream = open_one(*state);
    script.calls = 0;
    dr_cancel_request();
    const int32_t rc = dr_source_check(*state, &json, &error);
    const int quiet = script.calls == 0;
    const int32_t state_rc = dr_stream_state(&stream, "x", &json, &error); // what is durable can still be said
    dr_stream_close(&stream, "x");
    _exit(rc == DRAY_E_CANCELLED && quiet && state_rc == DRAY_OK && script.closed == 1 ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// ---- JSON ----

static void test_check_results_have_their_shape(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.json =
      "[{\"name\":\"reach\",\"ok\":true},{\"name\":\"read\",\"ok\":false,\"text\":\"t\",\"fix\":\"f\",\"code\":200}]";
  scene_ok(dr_source_check(*state, &json, &error));
  assert_true(dray_str_is(json, script.json));
  static const char *const wrong[] = {NULL,
                                      "",
                                      "{}",
                                      "[1]",
                                      "[{\"name\":\"x\"}]",
                                      "[{\"name\":\"x\",\"ok\":1}]",
                                      "[{\"ok\":true}]",
                                      "[{\"name\":\"x\",\"ok\":true,\"fix\":5}]",
                                      "[{\"name\":\"x\",\"ok\":false,\"code\":\"200\"}]",
                                      "[{\"name\":\"x\",\"ok\":false,\"code\":12}]",
                                      "[{\"name\":\"x\",\"ok\":false,\"code\":4294967496}]",
                                      "[{\"name\":\"x\","};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    script.json = wrong[i];
    scene_failed(dr_source_check(*state, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.check", NULL);
  }
}

static void test_catalogue_has_its_shape(void **state) {
  struct dray_error error;
  struct dray_str json;
  script.json =
      "{\"streams\":[{\"name\":\"a\",\"columns\":[{\"name\":\"id\",\"type\":\"int64\",\"nullable\":false},"
      "{\"name\":\"d\",\"type\":\"decimal(10,2)\"}],\"primary_key\":[\"id\"],\"cursor\":null,\"modes\":[\"full\"]},"
      "{\"name\":\"b\",\"columns\":[],\"cursor\":\"u\"}]}";
  scene_ok(dr_source_discover(*state, &json, &error));
  static const struct {
    const char *json, *said;
  } wrong[] = {
      {"[]", "streams"},
      {"{\"streams\":{}}", "streams"},
      {"{\"streams\":[{\"columns\":[]}]}", "has no name"},
      {"{\"streams\":[{\"name\":\"a\"}]}", "stream a has no columns"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"varchar\"}]}]}", "\"varchar\""},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"date\",\"nullable\":1}]}]}", "nullable"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[{\"type\":\"date\"}]}]}", "no name"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[{\"name\":\"x\",\"type\":\"date\"},{\"name\":\"x\",\"type\":"
       "\"date\"}]}]}",
       "two columns x"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[],\"modes\":[\"fast\"]}]}", "\"fast\""},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[],\"primary_key\":\"id\"}]}", "primary_key"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[],\"cursor\":5}]}", "cursor"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[],\"changes\":\"yes\"}]}", "changes"},
      {"{\"streams\":[{\"name\":\"a\",\"columns\":[]},{\"name\":\"b\",\"columns\":[]},{\"name\":\"a\",\"columns\":[]}]"
       "}",
       "lists a twice"},
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    script.json = wrong[i].json;
    scene_failed(dr_source_discover(*state, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.discover",
                 wrong[i].said, NULL);
  }
}

// ---- drop and wait ----

static void test_what_was_removed_has_its_shape(void **state) {
  const struct dray_read_request request = {.struct_size = sizeof(request), .reader = dray_str_of("sync.1")};
  struct dr_source_instance *source = *state;
  struct dray_error error;
  struct dray_str json;
  scene_ok(dr_source_drop(source, &request, &json, &error)); // without the slot nothing is ever left
  assert_true(dray_str_is(json, "[]"));
  plugin.source.drop = drop;
  script.json = "[{\"kind\":\"replication slot\",\"name\":\"a\"}]";
  scene_ok(dr_source_drop(source, &request, &json, &error));
  assert_true(dray_str_is(json, script.json));
  static const char *const wrong[] = {"{}", "[1]", "[{\"kind\":\"slot\"}]", "[{\"kind\":\"\",\"name\":\"a\"}]", "["};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    script.json = wrong[i];
    scene_failed(dr_source_drop(source, &request, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.drop", NULL);
  }
}

static void test_a_source_that_cannot_wait_always_has_news(void **state) {
  const struct dray_read_request request = {.struct_size = sizeof(request)};
  struct dr_source_instance *source = *state;
  struct dray_error error;
  uint32_t news = 7;
  scene_ok(dr_source_wait(source, &request, 60000, &news, &error));
  assert_int_equal(news, 1);
  plugin.source.wait = wait_for_news;
  scene_ok(dr_source_wait(source, &request, 0, &news, &error));
  assert_int_equal(news, 0);
  scene_failed(dr_source_wait(source, &request, 2, &news, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.wait", NULL);
}

static void test_spec_must_be_an_object(void **state) {
  (void)state;
  struct dray_error error;
  struct dray_str json;
  script.json = "{\"type\":\"object\"}";
  scene_ok(dr_plugin_spec(&plugin, DR_ROLE_SOURCE, &json, &error));
  script.json = "[]";
  scene_failed(dr_plugin_spec(&plugin, DR_ROLE_SOURCE, &json, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.spec",
               NULL);
}

// ---- streams ----

static void test_open_refuses_a_stream_with_missing_slots(void **state) {
  static const char *const names[] = {"", "schema", "next", "close", "state"};
  const struct dray_read_request request = {.struct_size = sizeof(request), .mode = DRAY_READ_FULL};
  for (int slot = 1; slot <= 4; slot++) {
    struct dray_stream stream;
    struct dray_error error;
    script.leave_out = slot;
    script.closed = 0;
    scene_failed(dr_source_open(*state, &request, &stream, &error), &error, DRAY_E_PLUGIN_CONTRACT, "source.open",
                 names[slot], NULL);
    assert_int_equal(script.closed, slot != 3); // what it holds is freed where it can be
    dr_stream_close(&stream, "x");              // and no second time
    assert_int_equal(script.closed, slot != 3);
  }
}

static void test_open_fills_the_optional_slot(void **state) {
  script.leave_out = 5;
  struct dray_stream stream = open_one(*state);
  struct dray_progress progress;
  dr_stream_progress(&stream, &progress);
  assert_int_equal(progress.rows, 0);
  dr_stream_close(&stream, "x");
  script.leave_out = 0;
  stream = open_one(*state);
  dr_stream_progress(&stream, &progress);
  assert_int_equal(progress.rows, 42);
  dr_stream_close(&stream, "x");
}

static void test_open_that_fails_leaves_nothing(void **state) {
  const struct dray_read_request request = {.struct_size = sizeof(request), .mode = DRAY_READ_FULL};
  struct dray_stream stream;
  struct dray_error error;
  script.rc = DRAY_E_SCHEMA_STREAM;
  script.text = "no such stream";
  scene_failed(dr_source_open(*state, &request, &stream, &error), &error, DRAY_E_SCHEMA_STREAM, "no such stream", NULL);
  dr_stream_close(&stream, "x");
  assert_int_equal(script.closed, 0);
}

static void test_stream_is_read_to_its_end(void **state) {
  struct dray_stream stream = open_one(*state);
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_error error;
  int64_t rows = -1;
  scene_ok(dr_stream_schema(&stream, "label", &schema, &error));
  script.batches = 1;
  scene_ok(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error));
  assert_int_equal(rows, 3);
  assert_string_equal(script.on_board, "stream.next of label");
  dray_array_release(&batch);
  scene_ok(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error));
  assert_int_equal(rows, 0);
  assert_null(batch.release);
  dray_schema_release(&schema);
  dr_stream_close(&stream, "label");
  assert_int_equal(script.closed, 1);
}

static void test_schema_must_be_a_struct(void **state) {
  struct dray_stream stream = open_one(*state);
  struct ArrowSchema schema;
  struct dray_error error;
  script.format = "l";
  scene_failed(dr_stream_schema(&stream, "label", &schema, &error), &error, DRAY_E_PLUGIN_CONTRACT, "label",
               "stream.schema", "\"l\"", NULL);
  dr_stream_close(&stream, "label");
}

static void test_batches_must_match_their_schema(void **state) {
  struct dray_stream stream = open_one(*state);
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_error error;
  int64_t rows = 0;
  scene_ok(dr_stream_schema(&stream, "label", &schema, &error));
  script.batches = 100;
  script.length = -1;
  scene_failed(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "length 0", NULL);
  script.length = 4;
  scene_failed(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "column id has 3 values in a batch of 4 rows", NULL);
  script.length = 0;
  script.columns = 1;
  scene_failed(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "1 columns, its schema 2", NULL);
  script.columns = 0;
  script.column_length = 2;
  scene_failed(dr_stream_next(&stream, "label", &schema, &batch, &rows, &error), &error, DRAY_E_PLUGIN_CONTRACT,
               "2 values in a batch of 3", NULL);
  dray_schema_release(&schema);
  dr_stream_close(&stream, "label");
}

static void test_state_has_a_maximum(void **state) {
  struct dray_stream stream = open_one(*state);
  struct dray_error error;
  struct dray_str position;
  script.state = dray_str_of("row 7");
  scene_ok(dr_stream_state(&stream, "label", &position, &error));
  assert_true(dray_str_is(position, "row 7"));
  script.state.len = (1 << 20) + 1;
  scene_failed(dr_stream_state(&stream, "label", &position, &error), &error, DRAY_E_PLUGIN_CONTRACT, "1048577 bytes",
               NULL);
  script.state = dray_str_make(NULL, 3);
  scene_failed(dr_stream_state(&stream, "label", &position, &error), &error, DRAY_E_PLUGIN_CONTRACT, "stream.state",
               NULL);
  dr_stream_close(&stream, "label");
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(test_create_and_destroy_are_on_the_board),
      TEST(test_a_call_on_another_thread_stays_on_the_board),
      TEST(test_create_without_an_instance_breaks_the_contract),
      TEST(test_error_is_passed_on_masked),
      TEST(test_error_without_words_gets_the_tables),
      TEST(test_error_class_of_the_plugin_is_kept),
      TEST(test_error_codes_nobody_knows),
      TEST(test_cancelled_run_calls_no_plugin),
      TEST(test_check_results_have_their_shape),
      TEST(test_catalogue_has_its_shape),
      TEST(test_what_was_removed_has_its_shape),
      TEST(test_a_source_that_cannot_wait_always_has_news),
      TEST(test_spec_must_be_an_object),
      TEST(test_open_refuses_a_stream_with_missing_slots),
      TEST(test_open_fills_the_optional_slot),
      TEST(test_open_that_fails_leaves_nothing),
      TEST(test_stream_is_read_to_its_end),
      TEST(test_schema_must_be_a_struct),
      TEST(test_batches_must_match_their_schema),
      TEST(test_state_has_a_maximum),
#undef TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
