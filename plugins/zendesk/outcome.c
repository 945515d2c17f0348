// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an answer to a request that changes something means. An error is handed to the host only while nothing can have
// been applied; no 429 is ever a row's fault.
#include <stdio.h>

#include "work.h"

void zendesk_settle(struct zendesk_work *work, struct zendesk_item *item, int32_t status, int32_t code,
                    const char *text) {
  item->settled = 1;
  dray_receipt_put(work->receipts, item->row, status, code, 0, text != NULL ? "%s" : NULL, text);
  if (item->partly) dray_receipt_partly(work->receipts);
}

void zendesk_put_off(struct zendesk_work *work, struct zendesk_item *item, const struct dray_error *why) {
  item->settled = 1;
  dray_receipt_put(work->receipts, item->row, DRAY_RECEIPT_RETRY, why->code, why->retry_after_ms, "%s", why->text);
  if (item->partly) dray_receipt_partly(work->receipts);
}

int32_t zendesk_give_up(struct zendesk_work *work, const struct dray_error *why, struct dray_error *error) {
  if (!work->sent) {
    if (error != NULL) *error = *why;
    return why->code;
  }
  for (size_t k = 0; k < work->count; k++) {
    if (!work->items[k].settled) zendesk_put_off(work, &work->items[k], why);
  }
  return DRAY_OK;
}

// A ticket's comment is added each time that it is sent.
int zendesk_does_once(const struct zendesk_work *work, int action) {
  return action != ZENDESK_CREATE && !(action == ZENDESK_UPDATE && work->form->object->kind == ZENDESK_TICKETS);
}

static int is_lost(const struct dray_error *why) {
  return dray_api_in_doubt(why) || why->code == DRAY_E_HTTP_CONTENT;
}

static int is_answer_of_api(const struct dray_api_answer *answer) {
  struct dray_str body = dray_buffer_view(&answer->body);
  while (body.len > 0 && (body.data[0] == ' ' || body.data[0] == '\n' || body.data[0] == '\r')) {
    body.data++;
    body.len--;
  }
  return body.len == 0 || body.data[0] == '{';
}

// Whether a server error leaves open what was done; PUT alone does not say that twice is as good as once.
static int may_be_done(const struct zendesk_call *call, const struct dray_api_answer *answer,
                       const struct dray_error *why) {
  if (dray_api_in_doubt(why)) return 1;
  return answer->status == 503 && !call->does_once && dray_api_retry_after_ms(answer) < 0;
}

static void judge(const struct zendesk_call *call, const struct dray_api_answer *answer, struct zendesk_outcome *out) {
  const int32_t status = answer->status;
  char doing[200];
  (void)snprintf(doing, sizeof(doing), "%s %.*s", call->method, (int)strcspn(call->path.data, "?"), call->path.data);
  zendesk_words(answer, out->text);
  if (status < 400) {
    out->kind = is_answer_of_api(answer) ? ZENDESK_DONE : ZENDESK_DOUBT;
    if (out->kind == ZENDESK_DOUBT) {
      (void)dray_fail(&out->why, DRAY_E_HTTP_CONTENT, "%s: %d with an answer that is not JSON", doing, status);
    }
    return;
  }
  (void)zendesk_fail(answer, doing, &out->why);
  if (out->text[0] == '\0') (void)snprintf(out->text, sizeof(out->text), "%.*s", 800, out->why.text);
  switch (status) {
  case 401:
  case 402:
  case 423:
  case 429:
    out->kind = ZENDESK_ALL;
    if (status == 429) out->why.retry_after_ms = zendesk_retry_after_ms(answer);
    break;
  case 403:
    out->kind = zendesk_lacks_scope(answer) ? ZENDESK_ALL : ZENDESK_FORBIDDEN;
    break;
  case 404:
    // No such address is another thing than no such record: nothing may be concluded about the row.
    out->kind = strncmp(out->text, "InvalidEndpoint", 15) == 0 ? ZENDESK_ALL : ZENDESK_NOT_THERE;
    break;
  case 409:
    out->kind = ZENDESK_CONFLICT;
    break;
  case 408:
    out->kind = ZENDESK_DOUBT;
    break;
  default:
    out->kind = status < 500 ? ZENDESK_REFUSED : may_be_done(call, answer, &out->why) ? ZENDESK_DOUBT : ZENDESK_ALL;
    break;
  }
}

int32_t zendesk_try(struct zendesk_work *work, const struct zendesk_call *call, struct zendesk_outcome *out,
                    struct dray_error *error) {
  memset(out, 0, sizeof(*out));
  dray_error_init(&out->why);
  // The host repeats batches, so that one outcome is told from the other.
  struct zendesk_call once = *call;
  once.flags |= DRAY_HTTP_NO_RETRY;
  const int32_t rc = zendesk_send(work->client, &once, &out->why);
  if (rc == DRAY_E_OUT_OF_MEMORY && !dray_api_in_doubt(&out->why) && !work->sent) {
    if (error != NULL) *error = out->why;
    return rc;
  }
  if (rc != DRAY_OK) {
    out->kind = is_lost(&out->why) ? ZENDESK_DOUBT : ZENDESK_ALL;
    (void)snprintf(out->text, sizeof(out->text), "%.*s", 800, out->why.text);
  } else {
    judge(call, &work->client->answer, out);
  }
  if (out->kind != ZENDESK_ALL) work->sent = 1;
  return DRAY_OK;
}
