// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Every mutation here but one sets something to a value and can be repeated: requests are flagged so, and whoever is in
// doubt about one sends it again. The making of a customer is not: whoever is in doubt looks for the customer first.
#include "sender.h"

#include <stdio.h>
#include <stdlib.h>

#define COST_OF_MUTATION 10.0
#define GROUP_MAX (SHOPIFY_ALIASES_MAX > SHOPIFY_LIST_MAX ? SHOPIFY_ALIASES_MAX : SHOPIFY_LIST_MAX)

void shopify_sender_init(struct shopify_sender *sender, struct shopify_client *client, struct dray_buffer *texts) {
  memset(sender, 0, sizeof(*sender));
  sender->client = client;
  sender->texts = texts;
  sender->cost_each = COST_OF_MUTATION;
  dray_buffer_init(&sender->body, SHOPIFY_BODY_BYTES_MAX);
  dray_error_init(&sender->why);
}

void shopify_sender_free(struct shopify_sender *sender) {
  dray_buffer_free(&sender->body);
}

// ---- outcomes ----

static int32_t settle_all(struct shopify_sender *sender, struct shopify_task *const *group, size_t count,
                          int32_t status, int32_t code, const char *text) {
  for (size_t i = 0; i < count; i++) {
    DRAY_TRY(shopify_settle(group[i], status, code, dray_str_of(text), sender->texts, &sender->why));
  }
  return DRAY_OK;
}

static int32_t judge_aliased(struct shopify_sender *sender, struct shopify_task *const *group, size_t count,
                             const struct shopify_reply *reply) {
  char alias[24];
  for (size_t i = 0; i < count; i++) {
    (void)snprintf(alias, sizeof(alias), "r%zu", i);
    DRAY_TRY(
        shopify_judge(group[i], dray_json_get(reply->data, alias), reply->errors, alias, sender->texts, &sender->why));
  }
  return DRAY_OK;
}

// The place in the list that a userError is about; `count` and more: none.
static size_t place_of(const struct dray_json *user_error, size_t count) {
  const struct dray_json *index = dray_json_get(user_error, "elementIndex");
  const struct dray_json *step = dray_json_get(user_error, "field");
  int64_t place = -1;
  if (index != NULL && index->kind == DRAY_JSON_NUMBER && dray_parse_int64(index->text, &place, NULL) != DRAY_OK)
    place = -1;
  for (step = step != NULL ? step->child : NULL; step != NULL && place < 0; step = step->next) {
    if (dray_parse_int64(step->text, &place, NULL) != DRAY_OK) place = -1;
  }
  return place >= 0 && (uint64_t)place < count ? (size_t)place : count;
}

// The list is atomic: those that are named are refused, nothing was done for the others. *out_named: how many.
static int32_t judge_list(struct shopify_sender *sender, struct shopify_task *const *group, size_t count,
                          const struct dray_json *user_errors, size_t *out_named) {
  *out_named = 0;
  for (const struct dray_json *one = user_errors->child; one != NULL; one = one->next) {
    const size_t place = count == 1 ? 0 : place_of(one, count);
    const struct dray_str message = dray_json_string(dray_json_get(one, "message"), "no reason given");
    const struct dray_str code = dray_json_string(dray_json_get(one, "code"), "");
    char text[512];
    if (place >= count || group[place]->status != 0) continue;
    ++*out_named;
    DRAY_TRY(shopify_settle_stale(group[place], code, sender->texts, &sender->why));
    if (group[place]->status != 0) continue;
    (void)snprintf(text, sizeof(text), "%.*s%s%.*s%s", DRAY_STR_ARG(message), code.len > 0 ? " (" : "",
                   DRAY_STR_ARG(code), code.len > 0 ? ")" : "");
    DRAY_TRY(shopify_settle(group[place], DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, dray_str_of(text), sender->texts,
                            &sender->why));
  }
  return DRAY_OK;
}

// ---- one request ----

static int32_t ask(struct shopify_sender *sender, struct shopify_task *const *group, size_t count, const char *values,
                   struct shopify_reply *reply) {
  const int list = shopify_operations[group[0]->operation].list;
  struct shopify_shape shape = {.cost = list ? COST_OF_MUTATION : sender->cost_each * (double)count};
  dray_buffer_clear(&sender->body);
  if (list)
    DRAY_TRY(shopify_write_list(group, count, values, &sender->body, &sender->why));
  else
    DRAY_TRY(shopify_write_aliased(group, count, values, &sender->body, &sender->why));
  struct shopify_request request = {
      .body = dray_buffer_view(&sender->body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &shape};
  for (size_t i = 0; i < count; i++) {
    if (shopify_operations[group[i]->operation].once) request.flags = 0;
  }
  DRAY_TRY(shopify_ask(sender->client, &request, reply, &sender->why));
  if (!list) sender->cost_each = shape.cost / (double)count;
  return DRAY_OK;
}

// Shopify's word on the request itself, such as a value of the wrong type in one of its variables.
static int is_refused(const struct shopify_sender *sender, int32_t rc) {
  return rc == DRAY_E_HTTP_STATUS && sender->why.http_status == 0;
}

static int32_t send_group(struct shopify_sender *sender, struct shopify_task **group, size_t count, const char *values);

static int32_t send_halves(struct shopify_sender *sender, struct shopify_task **group, size_t count,
                           const char *values) {
  DRAY_TRY(send_group(sender, group, count / 2, values));
  return send_group(sender, group + count / 2, count - count / 2, values);
}

// What is left of a list after some of it were refused.
static int32_t send_rest(struct shopify_sender *sender, struct shopify_task **group, size_t count, const char *values) {
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    if (group[i]->status == 0) group[left++] = group[i];
  }
  return left > 0 ? send_group(sender, group, left, values) : DRAY_OK;
}

static int32_t take_list(struct shopify_sender *sender, struct shopify_task **group, size_t count, const char *values,
                         const struct shopify_reply *reply) {
  const struct dray_json *payload = dray_json_get(reply->data, shopify_operations[group[0]->operation].field);
  const struct dray_json *user_errors = dray_json_get(payload, "userErrors");
  size_t named = 0;
  if (payload == NULL || payload->kind != DRAY_JSON_OBJECT) {
    return settle_all(sender, group, count, DRAY_RECEIPT_UNKNOWN, DRAY_E_HTTP_SERVER, "no outcome was given");
  }
  if (user_errors == NULL || user_errors->child_count == 0) {
    return settle_all(sender, group, count, DRAY_RECEIPT_APPLIED, 0, "");
  }
  DRAY_TRY(judge_list(sender, group, count, user_errors, &named));
  return named > 0 ? send_rest(sender, group, count, values) : send_halves(sender, group, count, values);
}

static int32_t send_group(struct shopify_sender *sender, struct shopify_task **group, size_t count,
                          const char *values) {
  struct shopify_reply reply = {0};
  dray_error_init(&sender->why);
  int32_t rc = ask(sender, group, count, values, &reply);
  if (rc == DRAY_OK) {
    rc = shopify_operations[group[0]->operation].list ? take_list(sender, group, count, values, &reply)
                                                      : judge_aliased(sender, group, count, &reply);
    shopify_reply_free(&reply);
    return rc;
  }
  if (dray_api_in_doubt(&sender->why)) {
    return settle_all(sender, group, count, DRAY_RECEIPT_UNKNOWN, rc == DRAY_E_CANCELLED ? DRAY_E_NET_CLOSED : rc,
                      sender->why.text);
  }
  if (!is_refused(sender, rc)) return rc;
  if (count > 1) return send_halves(sender, group, count, values);
  return settle_all(sender, group, 1, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, sender->why.text);
}

int32_t shopify_send_tasks(struct shopify_sender *sender, struct shopify_task *tasks, size_t count,
                           const char *values) {
  struct shopify_task *group[GROUP_MAX];
  size_t at = 0;
  while (at < count) {
    size_t held = 0;
    for (; at < count && held < GROUP_MAX; at++) {
      if (tasks[at].status != 0) continue;
      const struct shopify_operation *operation = &shopify_operations[tasks[at].operation];
      // A list is of one operation; whatever else stands together in a request.
      if (held > 0 && operation->list && tasks[at].operation != group[0]->operation) break;
      group[held++] = &tasks[at];
    }
    if (held > 0) DRAY_TRY(send_group(sender, group, held, values));
  }
  return DRAY_OK;
}
