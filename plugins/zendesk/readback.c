// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Asking Zendesk for rows in doubt. What is not there yet may be in a job that nobody has a handle of: as long as any
// job of the account works, absence proves nothing.
#include "readback.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (1u << 20)

// ---- jobs at work ----

static int32_t note_job(void *ctx, const struct dray_json *record, struct dray_error *error) {
  int *working = ctx;
  const struct dray_str status = dray_json_string(dray_json_get(record, "status"), "");
  (void)error;
  if (dray_str_is(status, "queued") || dray_str_is(status, "working")) *working = 1;
  return DRAY_OK;
}

static int32_t any_job_works(struct zendesk_work *work, int *out, struct dray_error *error) {
  const struct zendesk_visitor visitor = {out, note_job};
  *out = 0;
  if (strcmp(work->client->settings.use_bulk, "never") == 0) return DRAY_OK;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = zendesk_list(work->client, "/api/v2/job_statuses", "job_statuses", &visitor, &why);
  if (rc == DRAY_OK || why.http_status == 403 || why.http_status == 404) return DRAY_OK;
  if (error != NULL) *error = why;
  return rc;
}

// ---- comments ----

struct comment_search {
  struct dray_str text;
  int found;
};

static int32_t note_comment(void *ctx, const struct dray_json *record, struct dray_error *error) {
  static const char *const bodies[] = {"body", "plain_body", "html_body"};
  struct comment_search *search = ctx;
  (void)error;
  for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
    const struct dray_str held = dray_json_string(dray_json_get(record, bodies[i]), "");
    if (dray_str_equal(held, search->text)) search->found = 1;
  }
  return DRAY_OK;
}

static int32_t has_comment(struct zendesk_work *work, const struct zendesk_item *item, int *out,
                           struct dray_error *error) {
  struct dray_buffer text;
  char path[160];
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  int32_t rc = zendesk_form_text(&work->changes, zendesk_form_find(work->form, "body"), item->i, &text, error);
  if (rc == DRAY_OK && text.len == 0) {
    rc = zendesk_form_text(&work->changes, zendesk_form_find(work->form, "html_body"), item->i, &text, error);
  }
  struct comment_search search = {dray_buffer_view(&text), 0};
  const struct zendesk_visitor visitor = {&search, note_comment};
  (void)snprintf(path, sizeof(path), "/api/v2/tickets/%s/comments", item->id);
  if (rc == DRAY_OK) rc = zendesk_list(work->client, path, "comments", &visitor, error);
  dray_buffer_free(&text);
  *out = search.found;
  return rc;
}

// ---- rows ----

static void settle_absent(struct zendesk_work *work, struct zendesk_item *item, int working) {
  if (working) {
    zendesk_settle(work, item, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT,
                   "not there yet, and a job of the account is still at work");
  } else {
    zendesk_settle(work, item, DRAY_RECEIPT_RETRY, DRAY_E_NET_CLOSED, "Zendesk does not hold it: it is sent again");
  }
}

static int32_t settle_item(struct zendesk_work *work, struct zendesk_item *item, int working,
                           struct dray_error *error) {
  int holds = 0, comment = 0, found = 0;
  const int gone = item->record == NULL;
  if (item->action == ZENDESK_DELETE) {
    if (gone) zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
    if (!gone) settle_absent(work, item, working);
    return DRAY_OK;
  }
  if (gone) {
    settle_absent(work, item, working);
    return DRAY_OK;
  }
  // Where rows are only made, being there is all: what others have changed since is theirs.
  if (work->operations == DRAY_OP_INSERT) {
    zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
    return DRAY_OK;
  }
  DRAY_TRY(zendesk_form_holds(work->form, &work->changes, item->i, item->record, &holds, &comment, error));
  if (holds && comment && work->form->object->kind == ZENDESK_TICKETS) {
    DRAY_TRY(has_comment(work, item, &found, error));
    holds = found;
  }
  if (holds) zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
  if (!holds) settle_absent(work, item, working);
  return DRAY_OK;
}

int32_t zendesk_read_back(struct zendesk_work *work, struct dray_error *error) {
  int working = 0;
  // Jobs first: one that ends in between has done its work before the records are looked at.
  DRAY_TRY(any_job_works(work, &working, error));
  DRAY_TRY(zendesk_lookup(work, error));
  for (size_t k = 0; k < work->count; k++) {
    if (!work->items[k].settled) DRAY_TRY(settle_item(work, &work->items[k], working, error));
  }
  return DRAY_OK;
}
