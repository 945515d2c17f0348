// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The life of a bulk operation, up to its file. download.c reads that.
#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOT_WAIT_FIRST_MS 2000
#define SLOT_WAIT_MAX_MS 60000
#define BODY_BYTES_MAX (1u << 20)

static const char status_document[] = "query($id:ID!){bulkOperation(id:$id){id status errorCode createdAt objectCount "
                                      "fileSize url partialDataUrl}}";
// Without groupObjects: children do not need to stand behind their parent, and grouping makes the operation slower.
static const char submit_document[] = "mutation($query:String!){bulkOperationRunQuery(query:$query,groupObjects:false){"
                                      "bulkOperation{id status}userErrors{field message code}}}";

// Sends a document with one variable.
static int32_t ask_with(struct shopify_client *client, const char *document, const char *name, struct dray_str value,
                        uint32_t flags, struct shopify_reply *out, struct dray_error *error) {
  struct dray_buffer variables, body;
  struct dray_json_writer writer;
  struct shopify_shape shape = {.cost = 10};
  dray_buffer_init(&variables, BODY_BYTES_MAX);
  dray_buffer_init(&body, BODY_BYTES_MAX);
  dray_json_writer_init(&writer, &variables, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, name);
  dray_json_write_str(&writer, value);
  dray_json_end_object(&writer);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = shopify_body(&body, dray_str_of(document), dray_buffer_view(&variables), error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = flags, .shape = &shape};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, out, error);
  dray_buffer_free(&variables);
  dray_buffer_free(&body);
  return rc;
}

// ---- status ----

void shopify_bulk_status_free(struct shopify_bulk_status *status) {
  free(status->url);
  memset(status, 0, sizeof(*status));
}

static int32_t state_of(struct dray_str text) {
  static const struct {
    const char *text;
    int32_t state;
  } known[] = {{"CREATED", SHOPIFY_BULK_RUNNING},   {"RUNNING", SHOPIFY_BULK_RUNNING},
               {"CANCELING", SHOPIFY_BULK_RUNNING}, {"COMPLETED", SHOPIFY_BULK_COMPLETED},
               {"FAILED", SHOPIFY_BULK_FAILED},     {"CANCELED", SHOPIFY_BULK_FAILED},
               {"EXPIRED", SHOPIFY_BULK_EXPIRED}};
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (dray_str_is(text, known[i].text)) return known[i].state;
  }
  return SHOPIFY_BULK_FAILED;
}

// Unsigned 64-bit numbers arrive as strings.
static int64_t count_of(const struct dray_json *value, int64_t otherwise) {
  int64_t count = 0;
  if (value == NULL || (value->kind != DRAY_JSON_STRING && value->kind != DRAY_JSON_NUMBER)) return otherwise;
  return dray_parse_int64(value->text, &count, NULL) == DRAY_OK && count >= 0 ? count : otherwise;
}

static int32_t read_status(const struct dray_json *operation, struct shopify_bulk_status *out,
                           struct dray_error *error) {
  struct shopify_bulk_status status = {.created_us = SHOPIFY_TIME_NONE, .file_bytes = -1};
  if (operation == NULL || operation->kind != DRAY_JSON_OBJECT) {
    *out = status;
    return DRAY_OK;
  }
  const struct dray_json *url = dray_json_get(operation, "url");
  status.state = state_of(dray_json_string(dray_json_get(operation, "status"), ""));
  const struct dray_str created = dray_json_string(dray_json_get(operation, "createdAt"), "");
  if (dray_parse_timestamp(created, &status.created_us, NULL) != DRAY_OK) status.created_us = SHOPIFY_TIME_NONE;
  status.object_count = (uint64_t)count_of(dray_json_get(operation, "objectCount"), 0);
  status.file_bytes = count_of(dray_json_get(operation, "fileSize"), -1);
  (void)snprintf(status.error_code, sizeof(status.error_code), "%.*s",
                 DRAY_STR_ARG(dray_json_string(dray_json_get(operation, "errorCode"), "")));
  if (status.state == SHOPIFY_BULK_FAILED) { // what was done before it failed
    url = dray_json_get(operation, "partialDataUrl");
    status.file_bytes = -1;
  }
  if (url != NULL && url->kind == DRAY_JSON_STRING) {
    status.url = dray_str_dup(url->text);
    if (status.url == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a URL");
  }
  // A file that is gone has no URL any more; one of no rows never had one.
  if (status.state == SHOPIFY_BULK_COMPLETED && status.url == NULL && status.object_count > 0) {
    status.state = SHOPIFY_BULK_EXPIRED;
  }
  *out = status;
  return DRAY_OK;
}

int32_t shopify_bulk_ask(struct shopify_client *client, const char *id, struct shopify_bulk_status *out,
                         struct dray_error *error) {
  struct shopify_reply reply = {0};
  struct dray_error why;
  dray_error_init(&why);
  int32_t rc = ask_with(client, status_document, "id", dray_str_of(id), DRAY_HTTP_IDEMPOTENT, &reply, &why);
  if (rc == DRAY_E_HTTP_STATUS &&
      (strstr(why.vendor_code, "NOT_FOUND") != NULL || strstr(why.vendor_code, "INVALID") != NULL)) {
    rc = read_status(NULL, out, error); // an id that means nothing to the shop
    return rc;
  }
  if (rc == DRAY_OK) rc = read_status(dray_json_get(reply.data, "bulkOperation"), out, &why);
  shopify_reply_free(&reply);
  if (rc != DRAY_OK && error != NULL) *error = why;
  return rc;
}

int32_t shopify_bulk_wait(struct shopify_client *client, const char *id, struct shopify_bulk_status *out,
                          struct dray_error *error) {
  const struct dray_clock_service *clock = client->services->clock;
  for (int64_t wait_ms = SHOPIFY_BULK_WAIT_FIRST_MS;; wait_ms += wait_ms / 2) {
    DRAY_TRY(shopify_bulk_ask(client, id, out, error));
    if (out->state != SHOPIFY_BULK_RUNNING) return DRAY_OK;
    shopify_bulk_status_free(out);
    if (wait_ms > SHOPIFY_BULK_WAIT_MAX_MS) wait_ms = SHOPIFY_BULK_WAIT_MAX_MS;
    DRAY_TRY(clock->sleep_ms(clock->ctx, wait_ms, dray_str_of("a bulk operation of Shopify"), error));
  }
}

// ---- submitting ----

static int is_busy(const struct dray_json *user_error) {
  const struct dray_str code = dray_json_string(dray_json_get(user_error, "code"), "");
  return dray_str_is(code, "OPERATION_IN_PROGRESS") || dray_str_is(code, "LIMIT_REACHED");
}

// One attempt. *out_started = 0: busy.
static int32_t submit_once(struct shopify_client *client, struct dray_str query, char id[SHOPIFY_BULK_ID_BYTES],
                           int *out_started, struct dray_buffer *why, struct dray_error *error) {
  struct shopify_reply reply = {0};
  int32_t rc = ask_with(client, submit_document, "query", query, 0, &reply, error);
  if (rc != DRAY_OK) return rc;
  const struct dray_json *payload = dray_json_get(reply.data, "bulkOperationRunQuery");
  const struct dray_json *errors = dray_json_get(payload, "userErrors");
  const struct dray_json *first = errors != NULL ? errors->child : NULL;
  const struct dray_str made = dray_json_string(dray_json_path(payload, "bulkOperation.id"), "");
  const struct dray_str message = dray_json_string(dray_json_get(first, "message"), "no reason given");
  *out_started = 0;
  if (first != NULL && is_busy(first)) {
    dray_buffer_clear(why);
    rc = dray_buffer_append(why, message.data, (size_t)message.len, error);
  } else if (first != NULL || made.len == 0 || made.len >= SHOPIFY_BULK_ID_BYTES) {
    rc = dray_fail(error, DRAY_E_HTTP_STATUS, "Shopify does not take a bulk operation: %.*s", DRAY_STR_ARG(message));
  } else {
    memcpy(id, made.data, (size_t)made.len);
    id[made.len] = '\0';
    *out_started = 1;
  }
  shopify_reply_free(&reply);
  return rc;
}

// What leaves open whether an operation was begun. One that was ends by itself, and nobody looks at its file.
static int is_open(int32_t rc) {
  return rc == DRAY_E_HTTP_SERVER || rc == DRAY_E_HTTP_CONTENT || rc == DRAY_E_NET_CLOSED || rc == DRAY_E_NET_TIMEOUT ||
         rc == DRAY_E_NET_CONNECT;
}

int32_t shopify_bulk_submit(struct shopify_client *client, struct dray_str query, int always,
                            char id[SHOPIFY_BULK_ID_BYTES], int *out_started, struct dray_buffer *why,
                            struct dray_error *error) {
  const struct dray_clock_service *clock = client->services->clock;
  int64_t failures = 0;
  for (int64_t wait_ms = SLOT_WAIT_FIRST_MS;; wait_ms *= 2) {
    struct dray_error failed;
    dray_error_init(&failed);
    *out_started = 0;
    const int32_t rc = submit_once(client, query, id, out_started, why, &failed);
    if (rc != DRAY_OK && (!is_open(rc) || (always && failures++ >= client->settings->max_retries))) {
      if (error != NULL) *error = failed;
      return rc;
    }
    if (rc != DRAY_OK) {
      dray_buffer_clear(why);
      DRAY_TRY(dray_buffer_append_str(why, failed.text, error));
    }
    if (*out_started || !always) return DRAY_OK;
    if (wait_ms > SLOT_WAIT_MAX_MS) wait_ms = SLOT_WAIT_MAX_MS;
    DRAY_TRY(clock->sleep_ms(clock->ctx, wait_ms, dray_str_of("a free bulk operation of Shopify"), error));
  }
}
