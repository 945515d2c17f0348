// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The destination role: a batch becomes a body, the answer becomes receipts.
#include <stdio.h>
#include <stdlib.h>

#include "exchange.h"
#include "form.h"
#include "plugin.h"

#define DOCUMENT_BYTES_MAX (1u << 20)
#define OBJECT_BYTES_MAX 200
#define REACH_TIMEOUT_MS 15000

struct dray_destination {
  struct dray_services services;
  struct webhook_settings settings;
  struct dray_buffer document; // what check or discover handed out last

  // From begin to end.
  int begun;
  const struct ArrowSchema *schema; // of the plan, borrowed
  struct webhook_shape shape;
  struct webhook_form form;
  struct webhook_results results;
  int has_results;
  struct webhook_secrets secrets;
  char *url;
  char *object, *sync, *run;

  // Of the last write: the texts of its receipts point in here.
  struct dray_buffer body;
  struct webhook_answer answer;
  struct dray_json *answer_json;
  char doubt_text[DRAY_ERROR_TEXT_MAX];
};

static int32_t destination_create(const struct dray_host *host, struct dray_str config_json,
                                  struct dray_destination **out, struct dray_error *error) {
  struct dray_destination *destination = calloc(1, sizeof(*destination));
  if (destination == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a destination");
  int single = 0;
  int32_t rc = dray_services_init(&destination->services, host, error);
  if (rc == DRAY_OK) rc = webhook_settings_bind(config_json, &destination->settings, error);
  if (rc == DRAY_OK) rc = webhook_form_check(&destination->settings.shape, &single, error);
  if (rc == DRAY_OK && destination->settings.shape.results_json != NULL) {
    struct webhook_results results;
    rc = webhook_results_bind(destination->settings.shape.results_json, &results, error);
    if (rc == DRAY_OK) webhook_results_free(&results);
  }
  if (rc != DRAY_OK) {
    webhook_settings_free(&destination->settings);
    free(destination);
    return rc;
  }
  dray_buffer_init(&destination->document, DOCUMENT_BYTES_MAX);
  dray_buffer_init(&destination->body, (size_t)destination->settings.batch_bytes);
  dray_buffer_init(&destination->answer.body, (size_t)destination->settings.max_answer_bytes);
  *out = destination;
  return DRAY_OK;
}

static void destination_abort(struct dray_destination *destination) {
  webhook_form_free(&destination->form);
  webhook_shape_free(&destination->shape);
  if (destination->has_results) webhook_results_free(&destination->results);
  webhook_secrets_free(&destination->secrets);
  free(destination->url);
  free(destination->object);
  free(destination->sync);
  free(destination->run);
  dray_json_free(destination->answer_json);
  destination->answer_json = NULL;
  destination->url = destination->object = destination->sync = destination->run = NULL;
  destination->has_results = 0;
  destination->schema = NULL;
  destination->begun = 0;
}

static void destination_destroy(struct dray_destination *destination) {
  if (destination == NULL) return;
  destination_abort(destination);
  webhook_settings_free(&destination->settings);
  dray_buffer_free(&destination->document);
  dray_buffer_free(&destination->body);
  dray_buffer_free(&destination->answer.body);
  free(destination);
}

// ---- check ----

static int is_final(int32_t rc) {
  return rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_CANCELLED;
}

static int32_t check_secrets(struct dray_destination *destination, struct dray_json_writer *writer,
                             struct dray_error *error) {
  struct webhook_secrets secrets = {NULL, NULL, NULL};
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = webhook_secrets_read(&destination->services, &destination->settings, &secrets, &why);
  webhook_secrets_free(&secrets);
  if (is_final(rc)) return dray_fail(error, rc, "%s", why.text);
  const int any = destination->settings.has_auth_header || destination->settings.has_bearer_token ||
                  destination->settings.has_hmac_secret;
  if (rc == DRAY_OK)
    dray_check_step_write(writer, "secrets",
                          any ? "all can be read" : "none are set: requests are neither authorised nor signed", NULL);
  if (rc != DRAY_OK) dray_check_failure_write(writer, "secrets", rc, why.text, dray_error_info(rc)->fix);
  return DRAY_OK;
}

// HEAD has no effect anywhere; any answer shows that somebody is there. It carries no credentials.
static int32_t check_reach(struct dray_destination *destination, struct dray_json_writer *writer,
                           struct dray_error *error) {
  const struct dray_http_service *http = destination->services.http;
  struct dray_http_response *response = NULL;
  struct dray_error why;
  char text[256];
  dray_error_init(&why);
  const struct dray_http_request request = {.struct_size = sizeof(request),
                                            .flags = DRAY_HTTP_ANY_STATUS | DRAY_HTTP_NO_RETRY,
                                            .method = dray_str_of("HEAD"),
                                            .url = dray_str_of(destination->settings.url),
                                            .timeout_ms = REACH_TIMEOUT_MS};
  const int32_t rc = http->open(http->ctx, &request, &response, &why);
  if (is_final(rc)) return dray_fail(error, rc, "%s", why.text);
  if (rc != DRAY_OK) {
    dray_check_failure_write(writer, "reach", rc, why.text, dray_error_info(rc)->fix);
    return DRAY_OK;
  }
  const int32_t status = http->status(response);
  http->close(response);
  (void)snprintf(
      text, sizeof(text),
      "HEAD was answered with %d; any answer shows that the receiver is there, only a sync shows what it takes",
      status);
  dray_check_step_write(writer, "reach", text, NULL);
  return DRAY_OK;
}

static int32_t destination_check(struct dray_destination *destination, struct dray_str *out_json,
                                 struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&destination->document);
  dray_json_writer_init(&writer, &destination->document, error);
  dray_json_begin_array(&writer);
  dray_check_step_write(&writer, "settings", "the url, the headers and the templates can be used",
                        NULL); // else there were no instance
  DRAY_TRY(check_secrets(destination, &writer, error));
  DRAY_TRY(check_reach(destination, &writer, error));
  dray_json_end_array(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

// ---- discover and caps ----

static int32_t destination_discover(struct dray_destination *destination, struct dray_str *out_json,
                                    struct dray_error *error) {
  static const char objects[] =
      "{\"objects\":[{\"name\":\"rows\",\"operations\":[\"insert\",\"update\",\"delete\"],\"description\":"
      "\"rows of any shape; the object's name is free and stands in the body as {{object}}\"}],\"options\":";
  dray_buffer_clear(&destination->document);
  DRAY_TRY(dray_buffer_append_str(&destination->document, objects, error));
  DRAY_TRY(webhook_options_spec(&destination->document, error));
  DRAY_TRY(dray_buffer_append_char(&destination->document, '}', error));
  *out_json = dray_buffer_view(&destination->document);
  return DRAY_OK;
}

static int32_t check_object(struct dray_str object, struct dray_error *error) {
  if (object.len > 0 && object.len <= OBJECT_BYTES_MAX && dray_utf8_valid(object.data, object.len)) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "the name of an object must have 1 to %d bytes of UTF-8",
                   OBJECT_BYTES_MAX);
}

static int32_t destination_caps(struct dray_destination *destination, struct dray_str object,
                                struct dray_str options_json, struct dray_caps *out, struct dray_error *error) {
  struct webhook_shape shape = {0};
  int single = 0;
  DRAY_TRY(check_object(object, error));
  DRAY_TRY(webhook_options_bind(&destination->settings, options_json, &shape, error));
  int32_t rc = webhook_form_check(&shape, &single, error);
  if (rc == DRAY_OK && shape.results_json != NULL) {
    struct webhook_results results;
    rc = webhook_results_bind(shape.results_json, &results, error);
    if (rc == DRAY_OK) webhook_results_free(&results);
  }
  if (rc == DRAY_OK) {
    out->flags = DRAY_CAPS_DYNAMIC_FIELDS;
    if (shape.results_json != NULL) out->flags |= DRAY_CAPS_PARTIAL;
    if (strcmp(shape.updates, "changed") == 0) out->flags |= DRAY_CAPS_CHANGED_COLUMNS;
    if (strcmp(shape.deletes, "row") == 0) out->flags |= DRAY_CAPS_DELETE_NEEDS_ROW;
    out->operations = DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE;
    out->doubt = webhook_settings_doubt(&destination->settings);
    out->key_life_s = (uint32_t)destination->settings.idempotency_seconds;
    out->batch_rows_max = single ? 1 : (uint64_t)shape.batch_rows;
    out->batch_bytes_max = (uint64_t)destination->settings.batch_bytes;
    out->parallel_max = (uint32_t)destination->settings.parallel;
  }
  webhook_shape_free(&shape);
  return rc;
}

// ---- begin ----

// The URL, with the path of the options instead of its own.
static char *make_url(const char *url, const char *path) {
  if (path == NULL) return dray_str_dup(dray_str_of(url));
  const char *authority = strstr(url, "://") + 3;
  const size_t base = (size_t)(authority - url) + strcspn(authority, "/?");
  char *made = malloc(base + strlen(path) + 1);
  if (made == NULL) return NULL;
  memcpy(made, url, base);
  memcpy(made + base, path, strlen(path) + 1);
  return made;
}

static int32_t begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                     struct dray_error *error) {
  DRAY_TRY(check_object(plan->object, error));
  DRAY_TRY(webhook_options_bind(&destination->settings, plan->options_json, &destination->shape, error));
  DRAY_TRY(webhook_form_make(&destination->shape, plan, &destination->form, error));
  if (destination->shape.results_json != NULL) {
    DRAY_TRY(webhook_results_bind(destination->shape.results_json, &destination->results, error));
    destination->has_results = 1;
  }
  DRAY_TRY(webhook_secrets_read(&destination->services, &destination->settings, &destination->secrets, error));
  destination->url = make_url(destination->settings.url, destination->shape.path);
  destination->object = dray_str_dup(plan->object);
  destination->sync = dray_str_dup(plan->sync);
  destination->run = dray_str_dup(plan->run);
  if (destination->url == NULL || destination->object == NULL || destination->sync == NULL ||
      destination->run == NULL) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to begin");
  }
  destination->schema = plan->schema;
  destination->begun = 1;
  return DRAY_OK;
}

static int32_t destination_begin(struct dray_destination *destination, const struct dray_write_plan *plan,
                                 struct dray_error *error) {
  destination_abort(destination);
  const int32_t rc = begin(destination, plan, error);
  if (rc != DRAY_OK) destination_abort(destination);
  return rc;
}

// ---- write ----

static int32_t render(struct dray_destination *destination, const struct dray_view *view,
                      const struct dray_batch_info *info, struct dray_error *error) {
  const struct webhook_batch batch = {.object = dray_str_of(destination->object),
                                      .sync = dray_str_of(destination->sync),
                                      .run = dray_str_of(destination->run),
                                      .batch_id = info->idempotency_key,
                                      .now_us = destination->services.clock->now_us(destination->services.clock->ctx)};
  dray_buffer_clear(&destination->body);
  return webhook_form_render(&destination->form, view, &batch, &destination->body, error);
}

static int32_t send(struct dray_destination *destination, const struct dray_changes *changes,
                    const struct dray_batch_info *info, struct dray_receipts *out, struct dray_error *error) {
  const int with_key = destination->settings.idempotency_header[0] != '\0' && info->idempotency_key.len > 0;
  const struct webhook_request request = {
      .url = destination->url,
      .method = destination->shape.method,
      .body = dray_buffer_view(&destination->body),
      .key = with_key ? info->idempotency_key : dray_str_make(NULL, 0),
  };
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = webhook_exchange(&destination->services, &destination->settings, &destination->secrets, &request,
                                      &destination->answer, &why);
  if (rc != DRAY_OK && strcmp(why.vendor_code, "in_doubt") == 0) {
    memcpy(destination->doubt_text, why.text, sizeof(destination->doubt_text));
    dray_receipts_all(changes, DRAY_RECEIPT_UNKNOWN, rc == DRAY_E_CANCELLED ? DRAY_E_NET_CLOSED : rc,
                      dray_str_of(destination->doubt_text), out);
    return DRAY_OK;
  }
  if (rc != DRAY_OK) {
    if (error != NULL) *error = why;
    return rc;
  }
  const struct webhook_judge judge = {.results = destination->has_results ? &destination->results : NULL,
                                      .sent_key = with_key};
  return webhook_answer_judge(&judge, &destination->answer, changes, out, &destination->answer_json, error);
}

static int32_t destination_write(struct dray_destination *destination, const struct ArrowArray *batch,
                                 const struct dray_batch_info *info, struct dray_receipts *out,
                                 struct dray_error *error) {
  struct dray_changes changes;
  if (!destination->begun) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "write without begin");
  DRAY_TRY(dray_cancel_check(&destination->services, error));
  dray_json_free(destination->answer_json);
  destination->answer_json = NULL;
  DRAY_TRY(dray_changes_open(&changes, destination->schema, batch, out->capacity, error));
  int32_t rc = render(destination, &changes.view, info, error);
  if (rc == DRAY_OK) rc = send(destination, &changes, info, out, error);
  dray_changes_free(&changes);
  return rc;
}

static int32_t destination_end(struct dray_destination *destination, struct dray_error *error) {
  (void)error;
  destination_abort(destination);
  return DRAY_OK;
}

const struct dray_destination_vtable webhook_destination_vtable = {
    .struct_size = sizeof(struct dray_destination_vtable),
    .spec = webhook_settings_spec,
    .create = destination_create,
    .destroy = destination_destroy,
    .check = destination_check,
    .discover = destination_discover,
    .caps = destination_caps,
    .begin = destination_begin,
    .write = destination_write,
    .end = destination_end,
    .abort = destination_abort,
};
