// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Pages as a stream: the order of requests, rows and states, what a page may answer, and what is left when it fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dray/sdk/pages.h"
#include "fake_host.h"
#include "torture.h"

static struct fake_host fake;

static const struct dray_field fields[] = {{"id", NULL, {DRAY_TYPE_INT64, 0, 0}, DRAY_FIELD_NOT_NULL, NULL},
                                           {"name", NULL, {DRAY_TYPE_STRING, 0, 0}, 0, NULL}};
static const struct dray_stream_def things = {.name = "things", .fields = fields, .field_count = 2};

// How the pages of a test follow each other. By offset: `page_count` pages that can all be asked for at once; else each
// page names the next ("next" in its answer).
struct book {
  struct dray_api api;
  uint64_t page_count; // 0: by what the page before it says
  struct dray_buffer next;
  struct dray_json_capture captures[1];
  uint64_t done; // pages whose rows were read
  uint64_t asked_again, halved, halved_max;
  int took; // take: rows of this page given
  int stateless;
};
static struct book book;
static int books_freed;

static void free_book(void *self) {
  dray_buffer_free(&((struct book *)self)->next);
  books_freed++;
}

static int32_t ask(void *self, uint64_t number, struct dray_page_request *request, int32_t *out,
                   struct dray_error *error) {
  const struct book *of = self;
  *out = DRAY_PAGE_ASK;
  if (of->page_count != 0) {
    if (number == of->page_count) *out = DRAY_PAGE_END;
    return dray_buffer_printf(&request->path, error, "/things?page=%llu", (unsigned long long)number);
  }
  if (number > of->done) {
    *out = DRAY_PAGE_WAIT;
  } else if (number > 0 && of->captures[0].found != DRAY_JSON_STRING) {
    *out = DRAY_PAGE_END;
  }
  DRAY_TRY(dray_buffer_printf(&request->path, error, "/things?after=%s", number > 0 ? of->next.data : ""));
  return of->halved > 0 ? dray_buffer_printf(&request->path, error, "&halved=%llu", (unsigned long long)of->halved)
                        : DRAY_OK;
}

static int32_t too_large(void *self, uint64_t number, int32_t *out, struct dray_error *error) {
  struct book *of = self;
  (void)number;
  assert_int_equal(*out, DRAY_PAGE_AGAIN);
  if (of->halved == of->halved_max) return error != NULL ? error->code : DRAY_E_LIMIT;
  of->halved++;
  return DRAY_OK;
}

static int32_t answered(void *self, uint64_t number, const struct dray_api_answer *answer, int32_t *out,
                        struct dray_error *error) {
  struct book *of = self;
  (void)number;
  if (answer->status == 404) *out = DRAY_PAGE_SKIP;
  if (answer->status == 409) {
    of->asked_again++;
    *out = DRAY_PAGE_AGAIN;
  }
  return answer->status >= 500 ? dray_api_fail(answer, "things", NULL, error) : DRAY_OK;
}

static int32_t done(void *self, uint64_t number, uint64_t record_count, struct dray_buffer *state,
                    struct dray_error *error) {
  struct book *of = self;
  of->done = number + 1;
  if (of->stateless) return DRAY_OK;
  return dray_buffer_printf(state, error, "behind %llu with %llu", (unsigned long long)number,
                            (unsigned long long)record_count);
}

// Two rows a page, by hand.
static int32_t take(void *self, uint64_t number, const struct dray_api_answer *answer, struct dray_builder *builder,
                    int32_t *out_more, struct dray_error *error) {
  struct book *of = self;
  int32_t full = 0;
  (void)answer;
  while (of->took < 2 && !full) {
    DRAY_TRY(dray_builder_int64(builder, 0, (int64_t)number * 10 + of->took, error));
    DRAY_TRY(dray_builder_end_row(builder, &full, error));
    of->took++;
  }
  *out_more = of->took < 2;
  if (!*out_more) of->took = 0;
  return DRAY_OK;
}

static int32_t open_book(uint64_t page_count, uint32_t ahead, uint64_t rows_max, int by_hand, struct dray_stream *out,
                         struct dray_error *error) {
  memset(&book, 0, sizeof(book));
  books_freed = 0;
  book.api = (struct dray_api){.services = &fake.services, .base_url = "https://acme.test"};
  book.page_count = page_count;
  dray_buffer_init(&book.next, 100);
  book.captures[0] = (struct dray_json_capture){.path = "next", .out = &book.next};
  struct dray_pages_terms terms = {.api = &book.api,
                                   .batch_rows_max = rows_max,
                                   .ahead = ahead,
                                   .records_path = "items[*]",
                                   .captures = book.captures,
                                   .capture_count = 1,
                                   .name = "acme things",
                                   .self = &book,
                                   .free_self = free_book,
                                   .ask = ask,
                                   .answered = answered,
                                   .too_large = too_large,
                                   .take = by_hand ? take : NULL,
                                   .done = done};
  const int32_t rc = dray_selection_make(&things, NULL, NULL, 0, 0, 0, &terms.selection, error);
  if (rc != DRAY_OK) {
    free_book(&book);
    return rc;
  }
  return dray_pages_open(&terms, out, error);
}

// Reads to the end, or an error: "1 2 [state]\n" a batch.
static int32_t read_all(struct dray_stream *stream, struct dray_buffer *out, struct dray_error *error) {
  for (;;) {
    struct ArrowArray batch;
    struct dray_str state;
    DRAY_TRY(stream->next(stream, &batch, error));
    if (batch.release == NULL) return DRAY_OK;
    const int64_t *ids = batch.children[0]->buffers[1];
    int32_t rc = DRAY_OK;
    for (int64_t i = 0; rc == DRAY_OK && i < batch.length; i++) {
      rc = dray_buffer_printf(out, error, "%lld ", (long long)ids[i]);
    }
    batch.release(&batch);
    if (rc == DRAY_OK) rc = stream->state(stream, &state, error);
    if (rc == DRAY_OK) rc = dray_buffer_printf(out, error, "[%.*s]\n", DRAY_STR_ARG(state));
    if (rc != DRAY_OK) return rc;
  }
}

static void expect(struct dray_stream *stream, const char *expected) {
  struct dray_buffer out;
  struct dray_error error;
  dray_buffer_init(&out, 4096);
  dray_error_init(&error);
  if (read_all(stream, &out, &error) != DRAY_OK) fail_msg("%s", error.text);
  assert_string_equal(out.len > 0 ? out.data : "", expected);
  dray_buffer_free(&out);
}

static void finish(struct dray_stream *stream) {
  stream->close(stream);
  assert_int_equal(books_freed, 1);
  fake_host_expect_idle(&fake);
}

static void test_pages_that_name_the_next_are_asked_for_one_by_one(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1},{\"id\":2}],\"next\":\"b\"}"},
                                                   {.body = "{\"next\":\"c\",\"items\":[{\"id\":3}]}"},
                                                   {.body = "{\"items\":[],\"next\":null}"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 3);
  assert_int_equal(open_book(0, 4, 0, 0, &stream, NULL), DRAY_OK);
  struct ArrowArray batch;
  assert_int_equal(stream.next(&stream, &batch, NULL), DRAY_OK);
  assert_int_equal(batch.length, 2);
  batch.release(&batch);
  assert_string_equal(fake.events, "start 0\nfinish 0\nstart 1\n"); // the next travels while these are written
  expect(&stream, "3 [behind 1 with 1]\n");
  struct dray_str after;
  assert_int_equal(stream.state(&stream, &after, NULL), DRAY_OK);
  assert_true(dray_str_is(after, "behind 2 with 0"));
  struct dray_progress progress = {.struct_size = sizeof(progress)};
  stream.progress(&stream, &progress);
  assert_int_equal(progress.rows, 3);
  assert_string_equal(fake.requests[1].line, "GET https://acme.test/things?after=b");
  assert_string_equal(fake.requests[2].line, "GET https://acme.test/things?after=c");
  finish(&stream);
}

static void test_a_page_that_is_too_large_is_asked_for_again(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1}],\"next\":\"b\"}"},
                                                   {.body = "{\"items\":[{\"id\":2},{\"id\":3}],\"next\":null}"},
                                                   {.body = "{\"items\":[{\"id\":2}],\"next\":\"c\"}"},
                                                   {.body = "{\"items\":[{\"id\":3}],\"next\":null}"}};
  for (uint64_t halved_max = 0; halved_max < 2; halved_max++) {
    struct dray_stream stream = {.private_data = NULL};
    fake_host_init(&fake, exchanges, halved_max == 0 ? 2 : 4);
    assert_int_equal(open_book(0, 4, 0, 0, &stream, NULL), DRAY_OK);
    book.api.response_bytes_max = strlen(exchanges[0].body) + 1;
    book.halved_max = halved_max;
    if (halved_max > 0) {
      expect(&stream, "1 [behind 0 with 1]\n2 [behind 1 with 1]\n3 [behind 2 with 1]\n");
      assert_string_equal(fake.requests[2].line, "GET https://acme.test/things?after=b&halved=1");
      assert_string_equal(fake.requests[3].line, "GET https://acme.test/things?after=c&halved=1");
    } else {
      struct dray_buffer out;
      struct dray_error error;
      dray_error_init(&error);
      dray_buffer_init(&out, 4096);
      assert_int_equal(read_all(&stream, &out, &error), DRAY_E_LIMIT);
      assert_string_equal(out.data, "1 [behind 0 with 1]\n");
      dray_buffer_free(&out);
    }
    finish(&stream);
  }
}

static void test_pages_that_are_known_go_ahead_and_come_in_order(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1}]}"},
                                                   {.body = "{\"items\":[{\"id\":2}]}"},
                                                   {.body = "{\"items\":[]}"},
                                                   {.body = "{\"items\":[{\"id\":4}]}"},
                                                   {.body = "{\"items\":[{\"id\":5}]}"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 5);
  assert_int_equal(open_book(5, 3, 0, 0, &stream, NULL), DRAY_OK);
  expect(&stream, "1 [behind 0 with 1]\n2 [behind 1 with 1]\n4 [behind 3 with 1]\n5 [behind 4 with 1]\n");
  assert_string_equal(fake.events, "start 0\nstart 1\nstart 2\nfinish 0\nstart 3\nfinish 1\nstart 4\nfinish 2\n"
                                   "finish 3\nfinish 4\n");
  finish(&stream);
}

static void test_a_page_larger_than_a_batch_has_a_state_at_its_end_only(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1},{\"id\":2},{\"id\":3}]}"},
                                                   {.body = "{\"items\":[{\"id\":4},{\"id\":5}]}"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 2);
  assert_int_equal(open_book(2, 1, 2, 0, &stream, NULL), DRAY_OK);
  expect(&stream, "1 2 []\n3 [behind 0 with 3]\n4 5 [behind 1 with 2]\n");
  finish(&stream);
  fake_host_init(&fake, exchanges, 2);
  assert_int_equal(open_book(2, 1, 0, 0, &stream, NULL), DRAY_OK);
  book.stateless = 1;
  expect(&stream, "1 2 3 []\n4 5 []\n");
  finish(&stream);
}

static void test_a_plugin_can_take_the_rows_itself(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "a"}, {.body = "b"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 2);
  assert_int_equal(open_book(2, 2, 0, 1, &stream, NULL), DRAY_OK);
  expect(&stream, "0 1 [behind 0 with 2]\n10 11 [behind 1 with 2]\n");
  finish(&stream);
  fake_host_init(&fake, exchanges, 2);
  assert_int_equal(open_book(2, 2, 1, 1, &stream, NULL), DRAY_OK);
  expect(&stream, "0 []\n1 [behind 0 with 2]\n10 []\n11 [behind 1 with 2]\n");
  finish(&stream);
}

static void test_a_page_can_be_skipped_or_asked_for_again(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1}]}"},
                                                   {.status = 404},
                                                   {.status = 409},
                                                   {.body = "{\"items\":[{\"id\":4}]}"},
                                                   {.body = "{\"items\":[{\"id\":3}]}"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 5);
  assert_int_equal(open_book(4, 4, 0, 0, &stream, NULL), DRAY_OK);
  expect(&stream, "1 [behind 0 with 1]\n3 [behind 2 with 1]\n4 [behind 3 with 1]\n");
  assert_string_equal(fake.requests[4].line, "GET https://acme.test/things?page=2");
  assert_int_equal(book.asked_again, 1);
  finish(&stream);
}

// ---- failures ----

static void expect_failure(const struct fake_exchange *second, int32_t code, const char *words) {
  const struct fake_exchange exchanges[] = {
      {.body = "{\"items\":[{\"id\":1}]}"}, *second, {.body = "{\"items\":[]}"}, *second, *second};
  struct dray_stream stream = {.private_data = NULL};
  struct dray_buffer out;
  struct dray_error error;
  struct dray_str after;
  dray_buffer_init(&out, 4096);
  dray_error_init(&error);
  fake_host_init(&fake, exchanges, 5);
  assert_int_equal(open_book(3, 2, 1, 0, &stream, NULL), DRAY_OK);
  assert_int_equal(read_all(&stream, &out, &error), code);
  if (strstr(error.text, words) == NULL) fail_msg("'%s' lacks '%s'", error.text, words);
  assert_string_equal(out.data, "1 [behind 0 with 1]\n"); // of the page that failed nothing
  assert_int_equal(stream.state(&stream, &after, NULL), DRAY_OK);
  assert_true(dray_str_is(after, "behind 0 with 1"));
  finish(&stream); // what is under way is given up
  dray_buffer_free(&out);
}

static void test_of_a_page_that_fails_nothing_is_given_out(void **state) {
  (void)state;
  static const struct fake_exchange html = {.body = "<html>\n<b>Log in</b>"};
  static const struct fake_exchange cut = {.body = "{\"items\":[{\"id\":2},{\"id\":3},{\"id\""};
  static const struct fake_exchange other = {.body = "{\"errors\":[{\"message\":\"no\"}]}"};
  static const struct fake_exchange empty = {.body = NULL};
  static const struct fake_exchange null = {.body = "{\"items\":null}"};
  static const struct fake_exchange server = {.status = 502, .body = "bad gateway"};
  static const struct fake_exchange closed = {.fail_code = DRAY_E_NET_CLOSED};
  static const struct fake_exchange broken = {.body = "{\"items\":[{\"id\":2}]}", .cut_code = DRAY_E_NET_CLOSED};
  expect_failure(&html, DRAY_E_HTTP_CONTENT, "<html> <b>Log in</b>");
  expect_failure(&cut, DRAY_E_HTTP_CONTENT, "acme things");
  expect_failure(&other, DRAY_E_HTTP_CONTENT, "there is no items[*] in it");
  expect_failure(&empty, DRAY_E_HTTP_CONTENT, "items[*]");
  expect_failure(&null, DRAY_E_HTTP_CONTENT, "items[*]");
  expect_failure(&server, DRAY_E_HTTP_SERVER, "502");
  expect_failure(&closed, DRAY_E_NET_CLOSED, "network");
  expect_failure(&broken, DRAY_E_NET_CLOSED, "ended");
}

static void test_a_page_that_is_cut_is_asked_for_again_behind_those_ahead(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1}]}"},
                                                   {.body = "{\"items\":[{\"id\"", .cut_code = DRAY_E_NET_CLOSED},
                                                   {.body = "{\"items\":[{\"id\":3}]}"},
                                                   {.body = "{\"items\":[{\"id\":2}]}"}};
  struct dray_stream stream = {.private_data = NULL};
  fake_host_init(&fake, exchanges, 4);
  assert_int_equal(open_book(3, 2, 1, 0, &stream, NULL), DRAY_OK);
  expect(&stream, "1 [behind 0 with 1]\n2 [behind 1 with 1]\n3 [behind 2 with 1]\n");
  finish(&stream);
}

static void test_a_record_that_is_bad_spoils_its_row_alone(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":\"x\"},{\"id\":2}]}"}};
  struct dray_stream stream = {.private_data = NULL};
  struct ArrowArray batch;
  struct ArrowSchema schema;
  struct dray_view view;
  fake_host_init(&fake, exchanges, 1);
  assert_int_equal(open_book(1, 1, 0, 0, &stream, NULL), DRAY_OK);
  assert_int_equal(stream.schema(&stream, &schema, NULL), DRAY_OK);
  assert_int_equal(stream.next(&stream, &batch, NULL), DRAY_OK);
  assert_int_equal(dray_view_init(&view, &schema, &batch, NULL), DRAY_OK);
  assert_int_equal(view.row_count, 2);
  assert_true(dray_str_is(dray_column_bytes(&view.columns[2], 0),
                          "data_type: column 'id': acme things line 1: id: 'x' is not an integer"));
  assert_true(dray_column_is_null(&view.columns[2], 1));
  dray_view_free(&view);
  batch.release(&batch);
  schema.release(&schema);
  finish(&stream);
}

static void test_a_run_that_ends_is_noticed_between_pages(void **state) {
  (void)state;
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[]}"}, {.body = "{\"items\":[]}"}};
  struct dray_stream stream = {.private_data = NULL};
  struct ArrowArray batch;
  fake_host_init(&fake, exchanges, 2);
  assert_int_equal(open_book(2, 1, 0, 0, &stream, NULL), DRAY_OK);
  fake.cancelled = 1;
  assert_int_equal(stream.next(&stream, &batch, NULL), DRAY_E_CANCELLED);
  finish(&stream);
}

static void test_terms_that_cannot_be_meant_are_refused(void **state) {
  (void)state;
  struct dray_stream stream = {.private_data = NULL};
  struct dray_error error;
  fake_host_init(&fake, NULL, 0);
  dray_error_init(&error);
  books_freed = 0;
  struct dray_pages_terms terms = {.records_path = "items[", .name = "x", .self = &book, .free_self = free_book};
  assert_int_equal(dray_selection_make(&things, NULL, NULL, 0, 0, 0, &terms.selection, NULL), DRAY_OK);
  assert_int_equal(dray_pages_open(&terms, &stream, &error), DRAY_E_CONFIG_VALUE);
  assert_int_equal(books_freed, 1);
  assert_null(terms.self);
}

// ---- torture ----

static int32_t read_pages(void *ctx) {
  static const struct fake_exchange exchanges[] = {{.body = "{\"items\":[{\"id\":1},{\"id\":2}],\"next\":\"b\"}"},
                                                   {.body = "{\"next\":null,\"items\":[{\"id\":3},{\"id\":\"x\"}]}"}};
  (void)ctx;
  struct dray_stream stream = {.private_data = NULL};
  struct dray_buffer out;
  dray_buffer_init(&out, 4096);
  fake_host_init(&fake, exchanges, 2);
  int32_t rc = open_book(2, 2, 1, 0, &stream, NULL);
  if (rc == DRAY_OK) rc = read_all(&stream, &out, NULL);
  if (stream.close != NULL) stream.close(&stream);
  assert_int_equal(books_freed, 1);
  fake_host_expect_idle(&fake);
  dray_buffer_free(&out);
  return rc;
}

static void test_every_failing_allocation_is_survived(void **state) {
  (void)state;
  assert_true(torture_every(read_pages, NULL) > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pages_that_name_the_next_are_asked_for_one_by_one),
      cmocka_unit_test(test_a_page_that_is_too_large_is_asked_for_again),
      cmocka_unit_test(test_pages_that_are_known_go_ahead_and_come_in_order),
      cmocka_unit_test(test_a_page_larger_than_a_batch_has_a_state_at_its_end_only),
      cmocka_unit_test(test_a_plugin_can_take_the_rows_itself),
      cmocka_unit_test(test_a_page_can_be_skipped_or_asked_for_again),
      cmocka_unit_test(test_of_a_page_that_fails_nothing_is_given_out),
      cmocka_unit_test(test_a_page_that_is_cut_is_asked_for_again_behind_those_ahead),
      cmocka_unit_test(test_a_record_that_is_bad_spoils_its_row_alone),
      cmocka_unit_test(test_a_run_that_ends_is_noticed_between_pages),
      cmocka_unit_test(test_terms_that_cannot_be_meant_are_refused),
      cmocka_unit_test(test_every_failing_allocation_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
