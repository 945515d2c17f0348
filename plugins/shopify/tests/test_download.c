// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A file whose connection breaks: what is asked for again, and when that was all of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bulk.h"

#define FILE_TEXT "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n"
#define FILE_BYTES ((int64_t)sizeof(FILE_TEXT) - 1)

// One answer of the storage host: the file from the place that was asked for, cut after `bytes`.
struct dray_http_response {
  int32_t status;
  const char *content_range;
  uint64_t bytes; // of the answer; then its end, or the connection's
  int32_t then;   // DRAY_OK, or the error of the read behind them
  uint64_t at;    // in the file
  uint64_t given;
};

struct storage {
  struct dray_http_response answers[8];
  size_t answer_count, asked;
  char ranges[8][32];
};

static int32_t storage_open(void *ctx, const struct dray_http_request *request, struct dray_http_response **out,
                            struct dray_error *error) {
  struct storage *storage = ctx;
  (void)error;
  assert_true(storage->asked < storage->answer_count);
  struct dray_http_response *answer = &storage->answers[storage->asked];
  for (uint64_t i = 0; i < request->header_count; i++) {
    const struct dray_http_header *header = &request->headers[i];
    if (!dray_str_is(header->name, "Range")) continue;
    (void)snprintf(storage->ranges[storage->asked], 32, "%.*s", DRAY_STR_ARG(header->value));
    if (answer->status == 206) answer->at = strtoull(header->value.data + strlen("bytes="), NULL, 10);
  }
  storage->asked++;
  *out = answer;
  return DRAY_OK;
}

static int32_t storage_status(const struct dray_http_response *response) {
  return response->status;
}

static struct dray_str storage_header(const struct dray_http_response *response, struct dray_str name) {
  const int is_it = dray_str_is(name, "Content-Range") && response->content_range != NULL;
  return is_it ? dray_str_of(response->content_range) : dray_str_make(NULL, 0);
}

static int32_t storage_read(struct dray_http_response *response, void *buffer, uint64_t capacity, uint64_t *out_bytes,
                            struct dray_error *error) {
  uint64_t count = response->bytes - response->given;
  if (count > capacity) count = capacity;
  if (count == 0 && response->then != DRAY_OK) return dray_fail(error, response->then, "reset");
  memcpy(buffer, FILE_TEXT + response->at + response->given, (size_t)count);
  response->given += count;
  *out_bytes = count;
  return DRAY_OK;
}

static void storage_close(struct dray_http_response *response) {
  (void)response;
}

static int32_t no_wait(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error) {
  (void)ctx, (void)duration_ms, (void)why, (void)error;
  return DRAY_OK;
}

// Reads the file from `offset` on, as the operation says that it has `file_bytes`. `out` gets all lines.
static int32_t read_file(struct storage *storage, uint64_t offset, int64_t file_bytes, struct dray_buffer *out) {
  const struct dray_http_service http = {.ctx = storage,
                                         .open = storage_open,
                                         .status = storage_status,
                                         .header = storage_header,
                                         .read = storage_read,
                                         .close = storage_close};
  const struct dray_clock_service clock = {.sleep_ms = no_wait};
  const struct dray_services services = {.http = &http, .clock = &clock};
  struct shopify_client client = {.services = &services};
  struct shopify_bulk_status status = {.url = strdup("https://storage/file"), .file_bytes = file_bytes};
  struct shopify_download download;
  assert_int_equal(shopify_download_open(&download, &client, "gid", &status, offset, NULL), DRAY_OK);
  dray_buffer_clear(out);
  int32_t rc = DRAY_OK;
  for (int end = 0; rc == DRAY_OK && !end;) {
    struct dray_str lines = {NULL, 0};
    rc = shopify_download_next(&download, &lines, &end, NULL);
    if (rc == DRAY_OK && !end) rc = dray_buffer_append(out, lines.data, (size_t)lines.len, NULL);
  }
  shopify_download_close(&download);
  return rc;
}

#define EXPECT_FILE(storage, offset, file_bytes, text)                                                                 \
  do {                                                                                                                 \
    struct dray_buffer out;                                                                                            \
    dray_buffer_init(&out, 4096);                                                                                      \
    assert_int_equal(read_file(storage, offset, file_bytes, &out), DRAY_OK);                                           \
    assert_string_equal(out.len > 0 ? out.data : "", text);                                                            \
    assert_int_equal((storage)->asked, (storage)->answer_count);                                                       \
    dray_buffer_free(&out);                                                                                            \
  } while (0)

static void test_connection_that_breaks_behind_the_last_byte_is_no_loss(void **state) {
  (void)state;
  struct storage storage = {.answers = {{.status = 200, .bytes = FILE_BYTES, .then = DRAY_E_NET_CLOSED}}, 1};
  EXPECT_FILE(&storage, 0, FILE_BYTES, FILE_TEXT); // nothing more is asked for
}

static void test_nothing_is_asked_for_behind_the_end(void **state) {
  (void)state;
  struct storage storage = {.answer_count = 0};
  EXPECT_FILE(&storage, FILE_BYTES, FILE_BYTES, ""); // a run that was killed there
}

static void test_no_bytes_behind_the_end_of_a_file_of_unknown_size(void **state) {
  (void)state;
  struct storage storage = {.answers = {{.status = 200, .bytes = FILE_BYTES, .then = DRAY_E_NET_CLOSED},
                                        {.status = 416, .content_range = "bytes */27"}},
                            2};
  EXPECT_FILE(&storage, 0, -1, FILE_TEXT);
  assert_string_equal(storage.ranges[1], "bytes=27-");
}

static void test_place_that_the_file_has_not_is_begun_anew(void **state) {
  (void)state;
  struct storage other = {
      .answers = {{.status = 416, .content_range = "bytes */27"}, {.status = 200, .bytes = FILE_BYTES}}, 2};
  EXPECT_FILE(&other, 900, -1, FILE_TEXT);
  assert_string_equal(other.ranges[0], "bytes=900-");
  assert_string_equal(other.ranges[1], "");
  struct storage silent = {.answers = {{.status = 416}, {.status = 200, .bytes = FILE_BYTES}}, 2};
  EXPECT_FILE(&silent, 9, FILE_BYTES, FILE_TEXT); // nothing is said of the size, and it is not all
  struct storage known = {.answers = {{.status = 200, .bytes = FILE_BYTES}}, 1};
  EXPECT_FILE(&known, 900, FILE_BYTES, FILE_TEXT); // known without asking
}

// Lines come again where it is begun anew; a half one never does.
static void test_file_that_is_shorter_than_it_was_said_to_be(void **state) {
  (void)state;
  struct storage storage = {.answers = {{.status = 200, .bytes = 13},
                                        {.status = 416, .content_range = "bytes */13"},
                                        {.status = 200, .bytes = 13},
                                        {.status = 416, .content_range = "bytes */13"}},
                            4};
  struct dray_buffer out;
  dray_buffer_init(&out, 4096);
  assert_int_equal(read_file(&storage, 0, FILE_BYTES, &out), DRAY_E_HTTP_CONTENT);
  assert_string_equal(out.data, "{\"id\":1}\n{\"id\":1}\n");
  assert_int_equal(storage.asked, 4);
  dray_buffer_free(&out);
}

static void test_break_is_resumed_where_it_was(void **state) {
  (void)state;
  struct storage storage = {
      .answers = {{.status = 200, .bytes = 13, .then = DRAY_E_NET_CLOSED}, {.status = 206, .bytes = FILE_BYTES - 13}},
      2};
  EXPECT_FILE(&storage, 0, FILE_BYTES, FILE_TEXT);
  assert_string_equal(storage.ranges[1], "bytes=13-");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_connection_that_breaks_behind_the_last_byte_is_no_loss),
      cmocka_unit_test(test_nothing_is_asked_for_behind_the_end),
      cmocka_unit_test(test_no_bytes_behind_the_end_of_a_file_of_unknown_size),
      cmocka_unit_test(test_place_that_the_file_has_not_is_begun_anew),
      cmocka_unit_test(test_file_that_is_shorter_than_it_was_said_to_be),
      cmocka_unit_test(test_break_is_resumed_where_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
