// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an instance knows of open jobs, what a run is told once, which lists come after a page of tickets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "children.h"
#include "torture.h"
#include "work.h"

#define BYTES_MAX (1u << 20)

// ---- open jobs ----

static void test_open_jobs_are_known_once_until_they_end(void **state) {
  struct zendesk_open open = {.count = 0};
  (void)state;
  zendesk_open_note(&open, "a");
  zendesk_open_note(&open, "b");
  zendesk_open_note(&open, "a");
  assert_int_equal(2, open.count);
  zendesk_open_forget(&open, "a");
  zendesk_open_forget(&open, "c");
  assert_false(zendesk_open_has(&open, "a"));
  assert_true(zendesk_open_has(&open, "b"));
  zendesk_open_free(&open);
}

static void test_of_too_many_open_jobs_the_oldest_goes(void **state) {
  struct zendesk_open open = {.count = 0};
  char id[24];
  (void)state;
  for (int i = 0; i <= ZENDESK_OPEN_MAX; i++) {
    (void)snprintf(id, sizeof(id), "job-%d", i);
    zendesk_open_note(&open, id);
  }
  assert_int_equal(ZENDESK_OPEN_MAX, open.count);
  assert_false(zendesk_open_has(&open, "job-0"));
  assert_true(zendesk_open_has(&open, "job-1"));
  assert_true(zendesk_open_has(&open, id));
  zendesk_open_free(&open);
}

// What lanes of a run tell each other shows in what they ask for, which tests/e2e/test_zendesk_jobs.py counts.
static void test_jobs_of_a_run_are_no_other_runs(void **state) {
  struct zendesk_open first = {.told = {.run = "acme 1"}}, second = {.told = {.run = "acme 2"}};
  (void)state;
  zendesk_open_begun(&first, "a");
  zendesk_open_begun(&second, "b");
  assert_true(zendesk_open_has(&first, "a") && !zendesk_open_has(&first, "b"));
  assert_true(zendesk_open_has(&second, "b") && !zendesk_open_has(&second, "a"));
  zendesk_open_forget(&second, "b");
  assert_int_equal(0, second.count);
  assert_int_equal(1, first.count);
  zendesk_open_free(&first);
  zendesk_open_free(&second);
}

// ---- rows that are sent whole ----

static int32_t note_wholes(void *ctx) {
  struct zendesk_wholes wholes = {.count = 0};
  (void)ctx;
  int32_t rc = DRAY_OK;
  for (int64_t row = 0; row < 50; row++) {
    if (!zendesk_wholes_add(&wholes, row)) rc = DRAY_E_OUT_OF_MEMORY;
    assert_int_equal(rc == DRAY_OK, zendesk_wholes_has(&wholes, row));
    if (rc != DRAY_OK) break;
  }
  free(wholes.rows);
  return rc;
}

static void test_rows_that_lack_a_name_are_put_off_once(void **state) {
  static const char json[] = "{\"status\":\"completed\",\"results\":[{\"index\":0,\"success\":false,\"error\":"
                             "\"RecordInvalid\",\"details\":\"Name: cannot be blank\"}]}";
  const struct zendesk_job job = {.id = "j", .count = 1, .rows = {7}};
  const int64_t rows[] = {7};
  struct zendesk_wholes wholes = {.count = 0};
  struct dray_receipt items[1];
  struct dray_receipts out = {.struct_size = sizeof(out), .items = items, .capacity = 1};
  struct dray_receipt_writer writer;
  struct dray_json *root = NULL;
  const int32_t wanted[] = {DRAY_RECEIPT_RETRY, DRAY_RECEIPT_REJECTED};
  (void)state;
  assert_int_equal(DRAY_OK, dray_json_parse(dray_str_of(json), BYTES_MAX, &root, NULL));
  dray_receipts_init(&writer, BYTES_MAX);
  for (size_t turn = 0; turn < 2; turn++) {
    struct zendesk_verdict verdict = {.wholes = &wholes, .receipts = &writer};
    dray_receipts_begin(&writer, &out);
    zendesk_job_judge(&job, root, rows, 1, &verdict);
    assert_int_equal(DRAY_OK, dray_receipts_end(&writer, NULL));
    assert_int_equal(wanted[turn], items[0].status);
  }
  dray_json_free(root);
  dray_receipts_free(&writer);
  free(wholes.rows);
  assert_true(torture_every(note_wholes, NULL) >= 2);
}

// ---- told once a run ----

static int recall(const struct zendesk_told *told, const char *what, const char *wanted) {
  struct dray_buffer text;
  int found = 0;
  dray_buffer_init(&text, BYTES_MAX);
  assert_int_equal(DRAY_OK, zendesk_told_recall(told, what, &text, &found, NULL));
  if (found && wanted[0] != '\0') assert_string_equal(wanted, text.data);
  dray_buffer_free(&text);
  return found;
}

static void test_a_run_is_told_once_and_no_other_hears_it(void **state) {
  static struct zendesk_client client;
  struct zendesk_told first, second, nameless;
  (void)state;
  (void)snprintf(client.account, sizeof(client.account), "zendesk:acme.example");
  zendesk_told_name(&first, &client, dray_str_of("1"), dray_str_of("out"));
  zendesk_told_name(&second, &client, dray_str_of("2"), dray_str_of("out"));
  zendesk_told_name(&nameless, &client, dray_str_of(""), dray_str_of("out"));
  assert_false(recall(&first, "fields", ""));
  assert_int_equal(DRAY_OK, zendesk_told_keep(&first, "fields", dray_str_of("[1]"), NULL));
  assert_int_equal(DRAY_OK, zendesk_told_keep(&first, "jobs", dray_str_of(""), NULL));
  assert_int_equal(DRAY_OK, zendesk_told_keep(&nameless, "fields", dray_str_of("[9]"), NULL));
  assert_true(recall(&first, "fields", "[1]"));
  assert_true(recall(&first, "jobs", ""));
  assert_false(recall(&second, "fields", ""));
  assert_false(recall(&nameless, "fields", ""));
  assert_int_equal(DRAY_OK, zendesk_told_keep(&second, "fields", dray_str_of("[2]"), NULL));
  assert_true(recall(&second, "fields", "[2]"));
  assert_false(recall(&first, "fields", ""));
}

static int32_t keep_once(void *ctx) {
  return zendesk_told_keep(ctx, "torture", dray_str_of("some text"), NULL);
}

static void test_what_could_not_be_kept_was_not_told(void **state) {
  struct zendesk_told told = {.run = "torture"};
  (void)state;
  assert_true(torture_every(keep_once, &told) >= 1);
  assert_true(recall(&told, "torture", "some text"));
  assert_int_equal(0, torture_arm(1));
  assert_int_equal(DRAY_E_OUT_OF_MEMORY, keep_once(&told));
  (void)torture_arm(0);
  assert_false(recall(&told, "torture", ""));
}

// ---- lists of tickets ----

static int32_t make_children(void *ctx) {
  struct zendesk_children children = {.count = 0};
  const struct dray_json *list = ctx;
  int32_t rc = DRAY_OK;
  zendesk_children_begin(&children, 5);
  for (const struct dray_json *ticket = list->child; rc == DRAY_OK && ticket != NULL; ticket = ticket->next) {
    rc = zendesk_children_of(&children, ticket, "audits", NULL);
  }
  if (rc == DRAY_OK) {
    assert_int_equal(2, children.count); // one of the three has no id
    assert_null(zendesk_children_path(&children, 4));
    assert_string_equal("/api/v2/tickets/71/audits?page%5Bsize%5D=100", zendesk_children_path(&children, 5));
    assert_string_equal("/api/v2/tickets/72/audits?page%5Bsize%5D=100", zendesk_children_path(&children, 6));
    assert_false(zendesk_children_end(&children, 5));
    assert_true(zendesk_children_end(&children, 6));
    rc = zendesk_children_add(&children, "/more", NULL); // the list of 71 goes on, behind the others
  }
  if (rc == DRAY_OK) {
    assert_false(zendesk_children_end(&children, 6));
    assert_string_equal("/more", zendesk_children_path(&children, 7));
    assert_null(zendesk_children_path(&children, 8));
    zendesk_children_begin(&children, 9);
    assert_true(zendesk_children_end(&children, 8)); // a page of the export without tickets
  }
  zendesk_children_free(&children);
  return rc;
}

static void test_lists_come_after_their_page(void **state) {
  struct dray_json *root = NULL;
  (void)state;
  assert_int_equal(
      DRAY_OK, dray_json_parse(dray_str_of("[{\"id\":71},{\"subject\":\"x\"},{\"id\":72}]"), BYTES_MAX, &root, NULL));
  assert_true(torture_every(make_children, root) >= 4);
  dray_json_free(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_open_jobs_are_known_once_until_they_end),
      cmocka_unit_test(test_of_too_many_open_jobs_the_oldest_goes),
      cmocka_unit_test(test_jobs_of_a_run_are_no_other_runs),
      cmocka_unit_test(test_rows_that_lack_a_name_are_put_off_once),
      cmocka_unit_test(test_a_run_is_told_once_and_no_other_hears_it),
      cmocka_unit_test(test_what_could_not_be_kept_was_not_told),
      cmocka_unit_test(test_lists_come_after_their_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
