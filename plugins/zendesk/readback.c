// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Asking Zendesk for rows in doubt. What is not there yet may be in a job that nobody has a handle of: as long as one
// works that may hold it, absence proves nothing.
#include "readback.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (1u << 20)
#define ROUNDS 6
#define PAUSE_FIRST_MS 250 // 7.75 s in all; the host asks again after that

// ---- jobs at work ----

#define AT_WORK_MAX 64

// Jobs that were at work when the rows were looked at first: only they can hold them. Those that others begin
// meanwhile do not, or on a busy account nothing would ever be known.
struct at_work {
  const struct zendesk_open *known; // of this instance, with other rows
  char ids[AT_WORK_MAX][ZENDESK_JOB_ID_BYTES_MAX];
  size_t count;
  int more;     // than are in the list: then every job may be one of them
  int complete; // the first look is over
  int any;      // of them is at work
};

static int32_t note_job(void *ctx, const struct dray_json *record, struct dray_error *error) {
  struct at_work *jobs = ctx;
  const struct dray_str id = dray_json_string(dray_json_get(record, "id"), "");
  (void)error;
  if (!zendesk_job_works(record) || zendesk_open_has(jobs->known, id.data)) return DRAY_OK;
  if (!jobs->complete && id.len < ZENDESK_JOB_ID_BYTES_MAX && jobs->count < AT_WORK_MAX) {
    memcpy(jobs->ids[jobs->count++], id.data, (size_t)id.len + 1);
  } else if (!jobs->complete) {
    jobs->more = 1;
  }
  int was_there = jobs->more;
  for (size_t i = 0; i < jobs->count; i++) was_there |= dray_str_is(id, jobs->ids[i]);
  jobs->any |= was_there;
  return DRAY_OK;
}

// jobs->any: whether one that may hold the rows still works. *out_hidden: nobody may see them, and this connection has
// sent some lately.
static int32_t look_for_jobs(struct zendesk_work *work, struct at_work *jobs, int *out_hidden,
                             struct dray_error *error) {
  const struct zendesk_visitor visitor = {jobs, note_job}; // whatever use_bulk says: it may have said otherwise before
  struct dray_error why;
  dray_error_init(&why);
  jobs->any = *out_hidden = 0;
  const int32_t rc = zendesk_list(work->client, "/api/v2/job_statuses", "job_statuses", &visitor, &why);
  if (rc == DRAY_OK) {
    jobs->complete = 1;
    return DRAY_OK;
  }
  if (why.http_status == 403 || why.http_status == 404) return zendesk_jobs_lately(work, out_hidden, error);
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

// Puts the receipt of a row that Zendesk holds as it was sent, or that is gone as it should be; *out_absent = 1 where
// it is not so.
static int32_t settle_held(struct zendesk_work *work, struct zendesk_item *item, int *out_absent,
                           struct dray_error *error) {
  int holds = item->record != NULL, comment = 0;
  if (item->action == ZENDESK_DELETE) {
    holds = item->record == NULL;
  } else if (holds && work->operations != DRAY_OP_INSERT) {
    // Where rows are only made, being there is all: what others have changed since is theirs.
    DRAY_TRY(zendesk_form_holds(work->form, &work->changes, item->i, item->record, &holds, &comment, error));
    // A comment and the fields beside it are one request. Where the comment is there, what differs was changed by a
    // trigger or an agent since; sending it all again would say the comment twice, and mail it twice.
    if (comment) DRAY_TRY(has_comment(work, item, &holds, error));
  }
  if (holds) zendesk_settle(work, item, DRAY_RECEIPT_APPLIED, 0, NULL);
  *out_absent |= !holds;
  return DRAY_OK;
}

static int32_t look(struct zendesk_work *work, int *out_absent, struct dray_error *error) {
  *out_absent = 0;
  for (size_t k = 0; k < work->count; k++) { // as it is now, not as it was in the round before
    struct zendesk_item *item = &work->items[k];
    if (item->settled) continue;
    item->record = NULL;
    item->copies = 0;
  }
  DRAY_TRY(zendesk_lookup(work, error));
  for (size_t k = 0; k < work->count; k++) {
    if (!work->items[k].settled) DRAY_TRY(settle_held(work, &work->items[k], out_absent, error));
  }
  return DRAY_OK;
}

static void settle_absent(struct zendesk_work *work, int working, int hidden) {
  for (size_t k = 0; k < work->count; k++) {
    struct zendesk_item *item = &work->items[k];
    if (item->settled) continue;
    if (working) {
      zendesk_settle(work, item, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT,
                     "not there yet, and a job of the account is still at work");
    } else if (hidden) {
      zendesk_settle(work, item, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT,
                     "not there yet, and whether a job is still at work may not be seen: grant the OAuth client the "
                     "scope read, and its user the role of an agent or admin; an hour after the last job it is known "
                     "without");
    } else {
      zendesk_settle(work, item, DRAY_RECEIPT_RETRY, DRAY_E_NET_CLOSED, "Zendesk does not hold it: it is sent again");
    }
  }
}

int32_t zendesk_read_back(struct zendesk_work *work, struct dray_error *error) {
  const struct dray_clock_service *clock = work->client->services.clock;
  struct at_work jobs = {.known = work->open};
  int hidden = 0, absent = 0;
  int64_t pause = PAUSE_FIRST_MS;
  for (int round = 0; round < ROUNDS; round++) {
    // Jobs first: one that ends in between has done its work before the records are looked at.
    DRAY_TRY(look_for_jobs(work, &jobs, &hidden, error));
    DRAY_TRY(look(work, &absent, error));
    if (!absent || (!jobs.any && !hidden) || round + 1 == ROUNDS) break;
    DRAY_TRY(clock->sleep_ms(clock->ctx, pause, dray_str_of("a job of the account may still bring rows"), error));
    pause *= 2;
  }
  settle_absent(work, jobs.any, hidden);
  return DRAY_OK;
}
