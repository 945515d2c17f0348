// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Up to a hundred rows as one background job. Where an account has no bulk import (403), where jobs may not be seen, or
// when a job is refused as a whole, the rows go one by one.
#include <stdio.h>

#include "work.h"

#define BULK_LEAST 2 // one row alone is answered at once by a call of its own

static const struct {
  int kind, action;
  const char *method, *path;
  int flags; // of the bodies
} ways[] = {
    {ZENDESK_USERS, ZENDESK_UPSERT, "POST", "/api/v2/users/create_or_update_many",
     ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW},
    {ZENDESK_USERS, ZENDESK_CREATE, "POST", "/api/v2/users/create_many", ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW},
    {ZENDESK_USERS, ZENDESK_UPDATE, "PUT", "/api/v2/users/update_many", 0},
    {ZENDESK_ORGANIZATIONS, ZENDESK_CREATE, "POST", "/api/v2/organizations/create_many",
     ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW},
    {ZENDESK_ORGANIZATIONS, ZENDESK_UPDATE, "PUT", "/api/v2/organizations/update_many", 0},
    {ZENDESK_MEMBERSHIPS, ZENDESK_CREATE, "POST", "/api/v2/organization_memberships/create_many",
     ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW},
    {ZENDESK_TICKETS, ZENDESK_CREATE, "POST", "/api/v2/tickets/create_many",
     ZENDESK_BODY_WITH_MATCH | ZENDESK_BODY_NEW},
    {ZENDESK_TICKETS, ZENDESK_UPDATE, "PUT", "/api/v2/tickets/update_many", 0},
};

static int goes(const struct zendesk_item *item, int action) {
  return !item->settled && !item->by_itself && item->action == action;
}

static int32_t write_body(struct zendesk_work *work, size_t way, struct zendesk_job *job, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&work->body);
  dray_json_writer_init(&writer, &work->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, work->form->object->plural);
  dray_json_begin_array(&writer);
  memset(job, 0, sizeof(*job));
  for (size_t k = 0; k < work->count; k++) {
    const struct zendesk_item *item = &work->items[k];
    if (!goes(item, ways[way].action)) continue;
    const int is_update = ways[way].action == ZENDESK_UPDATE;
    const struct dray_str id = is_update ? dray_str_of(item->id) : dray_str_make(NULL, 0);
    const int flags = ways[way].flags | (item->whole ? ZENDESK_BODY_WHOLE : 0);
    zendesk_form_write(work->form, &work->changes, item->i, id, flags, &writer);
    if (is_update) memcpy(job->ids[job->count], item->id, sizeof(item->id));
    job->rows[job->count++] = item->row;
  }
  dray_json_end_array(&writer);
  dray_json_end_object(&writer);
  const int32_t rc = dray_json_writer_finish(&writer);
  if (rc != DRAY_E_LIMIT) return rc;
  return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "a job of %zu rows is larger than %u bytes", job->count,
                   ZENDESK_BODY_BYTES_MAX);
}

// The rows of the group are in the job, or of them nothing is known.
static void settle_group(struct zendesk_work *work, int action, const char *doubt) {
  for (size_t k = 0; k < work->count; k++) {
    struct zendesk_item *item = &work->items[k];
    if (!goes(item, action)) continue;
    item->settled = 1;
    if (doubt == NULL) {
      dray_receipt_put(work->receipts, item->row, DRAY_RECEIPT_PENDING, 0, 0, NULL);
    } else {
      dray_receipt_put(work->receipts, item->row, DRAY_RECEIPT_UNKNOWN, DRAY_E_STATE_IN_DOUBT, 0, "%s", doubt);
    }
  }
}

static int take_job(struct zendesk_work *work, struct zendesk_job *job) {
  struct dray_json *tree = NULL;
  struct dray_error why;
  dray_error_init(&why);
  if (dray_api_json(&work->client->answer, 1u << 20, &tree, &why) != DRAY_OK) return 0;
  const struct dray_str id = dray_json_string(dray_json_get(dray_json_get(tree, "job_status"), "id"), "");
  // It goes into a handle as it is.
  int good = id.len > 0 && id.len < sizeof(job->id);
  for (uint64_t i = 0; good && i < id.len; i++) good = id.data[i] > ' ' && strchr("\"\\", id.data[i]) == NULL;
  if (good) memcpy(job->id, id.data, (size_t)id.len);
  dray_json_free(tree);
  return good;
}

static int32_t send_group(struct zendesk_work *work, size_t way, struct dray_error *error) {
  struct zendesk_job *job = &work->jobs.items[work->jobs.count];
  struct zendesk_outcome outcome;
  DRAY_TRY(write_body(work, way, job, error));
  DRAY_TRY(zendesk_jobs_note(work, error));
  const struct zendesk_call call = {.method = ways[way].method,
                                    .path = dray_str_of(ways[way].path),
                                    .body = dray_buffer_view(&work->body),
                                    .does_once = zendesk_does_once(work, ways[way].action)};
  DRAY_TRY(zendesk_try(work, &call, &outcome, error));
  switch (outcome.kind) {
  case ZENDESK_DONE:
    if (take_job(work, job)) {
      work->jobs.count++;
      zendesk_open_begun(work->open, job->id);
      settle_group(work, ways[way].action, NULL);
    } else {
      settle_group(work, ways[way].action, "the answer names no job");
    }
    return DRAY_OK;
  case ZENDESK_FORBIDDEN:
    work->bulk_off = 1;
    dray_log_printf(&work->client->services, DRAY_LOG_INFO, "zendesk: jobs are not allowed (%s): rows go one by one",
                    outcome.text);
    return DRAY_OK;
  case ZENDESK_DOUBT:
    settle_group(work, ways[way].action, outcome.text);
    return DRAY_OK;
  case ZENDESK_CONFLICT:
  case ZENDESK_ALL:
    return zendesk_give_up(work, &outcome.why, error);
  default: // refused as a whole: each row gets its own answer
    return DRAY_OK;
  }
}

int32_t zendesk_write_bulk(struct zendesk_work *work, struct dray_error *error) {
  if (strcmp(work->client->settings.use_bulk, "never") == 0) return DRAY_OK;
  for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]) && !work->bulk_off; way++) {
    size_t count = 0;
    if (ways[way].kind != work->form->object->kind || work->jobs.count == ZENDESK_JOBS_MAX) continue;
    // A job has no idempotency key: what cannot be looked up afterwards is not made by one.
    const int is_blind = ways[way].kind == ZENDESK_TICKETS && work->form->match == ZENDESK_MATCH_NONE;
    for (size_t k = 0; k < work->count; k++) count += (size_t)goes(&work->items[k], ways[way].action);
    if (count < BULK_LEAST || is_blind) continue;
    struct dray_error why;
    dray_error_init(&why);
    int may_be_seen = 0;
    int32_t rc = zendesk_jobs_may_be_seen(work, &may_be_seen, &why);
    work->bulk_off |= rc == DRAY_OK && !may_be_seen;
    if (work->bulk_off) return DRAY_OK;
    if (rc == DRAY_OK) rc = send_group(work, way, &why);
    if (rc == DRAY_E_DATA_TOO_LARGE) continue; // row by row it may fit
    if (rc != DRAY_OK) return zendesk_give_up(work, &why, error);
  }
  return DRAY_OK;
}
