// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests, their cost, and what an answer means before anybody looks into its data.
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mend.h"

#define CAPACITY_UNTIL_TOLD 2000.0
#define PER_SECOND_UNTIL_TOLD 100.0
#define THROTTLED_WAITS_MAX 60 // each as long as the shop asked for: then somebody else eats all of the budget
#define SECURITY_BLOCK_MS 60000

// ---- life ----

static int32_t make_credential(struct shopify_client *client, struct dray_error *error) {
  const struct shopify_settings *settings = client->settings;
  if (snprintf(client->token_url, sizeof(client->token_url), "%s/admin/oauth/access_token", settings->origin) >=
      (int)sizeof(client->token_url)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "base_url", "base_url is longer than 2,000 bytes");
  }
  // The merchant grants access with a browser, that asks the shop itself, wherever the program asks.
  (void)snprintf(client->authorize_url, sizeof(client->authorize_url), "https://%s/admin/oauth/authorize",
                 settings->host);
  static const char *const expiring[] = {"expiring", "1", NULL}; // else an offline token that never ends
  const struct dray_credential_terms terms = {
      .grant = settings->grant,
      .json_body = 1,
      .name = "oauth",
      .token_setting = "access_token",
      .token_url = client->token_url,
      .client_id = settings->client_id,
      .secret_setting = "client_secret",
      .refresh_setting = "refresh_token",
      .margin_s = 300,
      .code_setting = "authorization_code",
      .redirect_uri = settings->redirect_uri,
      .code_fields = expiring,
      .authorize_url = client->authorize_url,
      .authorize_scope = settings->scope,
  };
  return dray_credential_new(client->services, &terms, &client->credential, error);
}

int32_t shopify_client_open(struct shopify_client *client, const struct dray_services *services,
                            const struct shopify_settings *settings, struct dray_error *error) {
  memset(client, 0, sizeof(*client));
  client->services = services;
  client->settings = settings;
  client->capacity = CAPACITY_UNTIL_TOLD;
  client->per_second = PER_SECOND_UNTIL_TOLD;
  (void)snprintf(client->rate_key, sizeof(client->rate_key), "shopify:%s", settings->host);
  (void)snprintf(client->path, sizeof(client->path), "/admin/api/%s/graphql.json", settings->api_version);
  DRAY_TRY(make_credential(client, error));
  client->api = (struct dray_api){
      .services = services,
      .base_url = settings->origin,
      .credential = client->credential,
      .token_header = "X-Shopify-Access-Token",
      .token_prefix = "",
      .rate_key = dray_str_of(client->rate_key),
      .timeout_ms = settings->request_timeout * 1000,
      .response_bytes_max = SHOPIFY_ANSWER_BYTES_MAX,
      .attempts_max = (int32_t)settings->max_retries + 1,
  };
  return DRAY_OK;
}

void shopify_client_close(struct shopify_client *client) {
  dray_api_answer_free(&client->answer);
  dray_credential_free(client->credential);
  memset(client, 0, sizeof(*client));
}

void shopify_reply_free(struct shopify_reply *reply) {
  dray_json_free(reply->root);
  memset(reply, 0, sizeof(*reply));
}

int32_t shopify_body(struct dray_buffer *out, struct dray_str document, struct dray_str variables,
                     struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "query");
  dray_json_write_str(&writer, document);
  if (variables.len > 0) {
    dray_json_key(&writer, "variables");
    dray_json_write_raw(&writer, variables);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// ---- cost ----

static struct dray_pace_terms terms_of(const struct shopify_client *client) {
  return (struct dray_pace_terms){.struct_size = sizeof(struct dray_pace_terms),
                                  .key = dray_str_of(client->rate_key),
                                  .capacity = client->capacity,
                                  .per_second = client->per_second};
}

static int32_t take(struct shopify_client *client, struct shopify_request *request, struct dray_error *error) {
  const struct dray_pace_service *pace = client->services->pace;
  const struct dray_pace_terms terms = terms_of(client);
  request->taken = request->shape->cost > 0 ? request->shape->cost : 1;
  return pace->take(pace->ctx, &terms, request->taken, error);
}

static double number_at(const struct dray_json *root, const char *path, double otherwise) {
  const struct dray_json *value = dray_json_path(root, path);
  double number = 0;
  if (value == NULL || value->kind != DRAY_JSON_NUMBER) return otherwise;
  return dray_parse_float64(value->text, &number, NULL) == DRAY_OK ? number : otherwise;
}

// What the answer says of the bucket goes to everybody who shares it.
static int32_t settle(struct shopify_client *client, struct shopify_request *request, const struct dray_json *root,
                      struct dray_error *error) {
  const struct dray_pace_service *pace = client->services->pace;
  const double requested = number_at(root, "extensions.cost.requestedQueryCost", 0);
  const double available = number_at(root, "extensions.cost.throttleStatus.currentlyAvailable", -1);
  if (requested > 0) request->shape->cost = requested;
  if (available < 0) return DRAY_OK;
  const double capacity = number_at(root, "extensions.cost.throttleStatus.maximumAvailable", 0);
  const double per_second = number_at(root, "extensions.cost.throttleStatus.restoreRate", 0);
  if (capacity > 0) client->capacity = capacity;
  if (per_second > 0) client->per_second = per_second;
  const struct dray_pace_terms terms = terms_of(client);
  return pace->tell(pace->ctx, &terms, available, request->taken, error);
}

// How long until the bucket holds what the request needs.
static int64_t throttled_ms(const struct shopify_client *client, const struct shopify_request *request,
                            const struct dray_json *root) {
  const double available = number_at(root, "extensions.cost.throttleStatus.currentlyAvailable", 0);
  const double needed = request->shape->cost < client->capacity ? request->shape->cost : client->capacity;
  const double seconds = needed > available ? (needed - available) / client->per_second : 0.1;
  return (int64_t)(seconds * 1000) + 20;
}

// ---- judging ----

struct dray_str shopify_error_code(const struct dray_json *graphql_error) {
  return dray_json_string(dray_json_path(graphql_error, "extensions.code"), "");
}

static void set_code(struct dray_error *error, struct dray_str code) {
  if (error == NULL) return;
  (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "%.*s", DRAY_STR_ARG(code));
}

static int32_t code_for(struct dray_str code) {
  static const struct {
    const char *code;
    int32_t error;
  } known[] = {{"ACCESS_DENIED", DRAY_E_AUTH_FORBIDDEN},
               {"THROTTLED", DRAY_E_THROTTLED},
               {"INTERNAL_SERVER_ERROR", DRAY_E_HTTP_SERVER},
               {"TIMEOUT", DRAY_E_HTTP_SERVER}};
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (dray_str_is(code, known[i].code)) return known[i].error;
  }
  return DRAY_E_HTTP_STATUS;
}

// The first of the errors, with its code and how many there are.
static int32_t fail_with(const struct dray_json *errors, struct dray_error *error) {
  const struct dray_json *first = errors->kind == DRAY_JSON_ARRAY ? errors->child : errors;
  const struct dray_str code = shopify_error_code(first);
  const struct dray_str message = first != NULL && first->kind == DRAY_JSON_STRING
                                      ? first->text
                                      : dray_json_string(dray_json_get(first, "message"), "no reason given");
  const int32_t rc = dray_fail(error, code_for(code), "Shopify answered: %.*s%s%.*s%s", DRAY_STR_ARG(message),
                               code.len > 0 ? " (" : "", DRAY_STR_ARG(code), code.len > 0 ? ")" : "");
  set_code(error, code);
  return rc;
}

static int has_value(const struct dray_json *data) {
  if (data == NULL || data->kind != DRAY_JSON_OBJECT) return 0;
  for (const struct dray_json *member = data->child; member != NULL; member = member->next) {
    if (member->kind != DRAY_JSON_NULL) return 1;
  }
  return 0;
}

static int is_throttled(const struct dray_json *errors) {
  const struct dray_json *first = errors != NULL ? errors->child : NULL;
  return first != NULL && dray_str_is(shopify_error_code(first), "THROTTLED");
}

// What a status means here, behind Shopify's own words.
static void add_meaning(const struct shopify_client *client, char *what, size_t bytes) {
  static const struct {
    int32_t status;
    const char *meaning;
  } known[] = {
      {401, "the access_token, or that of the client_id, is not one of an app that is installed in the shop"},
      {402, "the shop is frozen until its owner has paid for it"},
      {404, "there is no such shop, or no such api_version: correct `shop`, acme for https://acme.myshopify.com"},
      {423, "Shopify has locked the shop; its owner has to ask Shopify's support"},
  };
  const size_t used = strlen(what);
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (known[i].status != client->answer.status) continue;
    (void)snprintf(what + used, bytes - used, "%s%s (%s)", used > 0 ? "; " : "", known[i].meaning,
                   client->settings->host);
  }
}

// Statuses other than 200: the body is {"errors": "text"}, or a page of HTML.
static int32_t fail_status(const struct shopify_client *client, struct dray_error *error) {
  const struct dray_api_answer *answer = &client->answer;
  struct dray_json *root = NULL;
  char what[512] = "";
  if (dray_json_parse(dray_buffer_view(&answer->body), SHOPIFY_ANSWER_BYTES_MAX, &root, NULL) == DRAY_OK) {
    (void)snprintf(what, sizeof(what), "%.*s", DRAY_STR_ARG(dray_json_string(dray_json_get(root, "errors"), "")));
  }
  dray_json_free(root);
  if (answer->status == 430) {
    const int32_t rc = dray_fail(error, DRAY_E_THROTTLED, "Shopify blocks this machine for now (430) %s", what);
    if (error != NULL) {
      error->retry_after_ms = SECURITY_BLOCK_MS;
      error->http_status = 430;
    }
    return rc;
  }
  add_meaning(client, what, sizeof(what));
  const int32_t rc = dray_api_fail(answer, "asking Shopify", what[0] != '\0' ? what : NULL, error);
  const struct dray_str id = dray_api_header(answer, "X-Request-Id");
  if (id.len > 0) (void)dray_error_prefix(error, "request %.*s", DRAY_STR_ARG(id));
  return rc;
}

// An expired version falls forward to the oldest one that is alive, silently but for this header.
static void look_at_version(struct shopify_client *client) {
  const struct dray_str used = dray_api_header(&client->answer, "X-Shopify-API-Version");
  if (client->version_told || used.len == 0 || dray_str_is(used, client->settings->api_version)) return;
  client->version_told = 1;
  dray_log_printf(client->services, DRAY_LOG_WARN,
                  "Shopify answers as version %.*s of its API and not as %s: set api_version to one that is supported",
                  DRAY_STR_ARG(used), client->settings->api_version);
}

// RFC 9110 §5.6.7, as every server writes it: Sun, 06 Nov 1994 08:49:37 GMT
static int64_t date_of(const struct dray_api_answer *answer) {
  const struct dray_str date = dray_api_header(answer, "Date");
  char text[64];
  struct tm parts = {0};
  (void)snprintf(text, sizeof(text), "%.*s", DRAY_STR_ARG(date));
  if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts) == NULL) return SHOPIFY_TIME_NONE;
  return (int64_t)timegm(&parts) * 1000000;
}

enum { USABLE = 1, WAIT_AND_ASK_AGAIN = 2 };

// *out_verdict only with DRAY_OK. `wait_ms` is for WAIT_AND_ASK_AGAIN.
static int32_t judge(struct shopify_client *client, struct shopify_request *request, struct shopify_reply *out,
                     int *out_verdict, int64_t *wait_ms, struct dray_error *error) {
  struct shopify_reply reply = {.date_us = date_of(&client->answer)};
  if (client->answer.status != 200) return fail_status(client, error);
  look_at_version(client);
  if (client->answer.body.len > 0) (void)shopify_mend(client->answer.body.data, client->answer.body.len);
  DRAY_TRY(dray_api_json(&client->answer, SHOPIFY_ANSWER_BYTES_MAX, &reply.root, error));
  reply.data = dray_json_get(reply.root, "data");
  reply.errors = dray_json_get(reply.root, "errors");
  if (reply.errors != NULL && reply.errors->child_count == 0 && reply.errors->kind == DRAY_JSON_ARRAY)
    reply.errors = NULL;
  int32_t rc = settle(client, request, reply.root, error);
  if (rc == DRAY_OK && is_throttled(reply.errors)) {
    *wait_ms = throttled_ms(client, request, reply.root);
    *out_verdict = WAIT_AND_ASK_AGAIN;
    shopify_reply_free(&reply);
    return DRAY_OK;
  }
  if (rc == DRAY_OK && !has_value(reply.data)) {
    if (reply.errors != NULL) rc = fail_with(reply.errors, error);
    if (reply.errors == NULL && reply.data == NULL) {
      rc = dray_fail(error, DRAY_E_HTTP_CONTENT, "Shopify answered JSON that is no answer to a GraphQL request");
    }
  }
  if (rc != DRAY_OK) {
    shopify_reply_free(&reply);
    return rc;
  }
  *out_verdict = USABLE;
  *out = reply;
  return DRAY_OK;
}

// What may have passed when it is asked for again: a page of HTML, an internal error. Statuses of 5xx were repeated by
// the host.
static int may_pass(const struct shopify_client *client, const struct shopify_request *request, int32_t rc) {
  if ((request->flags & DRAY_HTTP_IDEMPOTENT) == 0) return 0;
  return rc == DRAY_E_HTTP_CONTENT || (rc == DRAY_E_HTTP_SERVER && client->answer.status == 200);
}

static int32_t hold(const struct shopify_client *client, int64_t wait_ms, struct dray_error *error) {
  const struct dray_pace_service *pace = client->services->pace;
  return pace->hold(pace->ctx, dray_str_of(client->rate_key), wait_ms, error);
}

static struct dray_api_request describe(const struct shopify_client *client, const struct shopify_request *request) {
  return (struct dray_api_request){.flags =
                                       request->flags | (client->settings->max_retries == 0 ? DRAY_HTTP_NO_RETRY : 0),
                                   .method = "POST",
                                   .path = dray_str_of(client->path),
                                   .body = request->body};
}

// From an answer (or its failure `rc`) on: until one can be used.
static int32_t until_usable(struct shopify_client *client, struct shopify_request *request, int32_t rc,
                            struct shopify_reply *out, struct dray_error *error) {
  int64_t repeats = 0;
  for (int waits = 0;;) {
    int64_t wait_ms = 0;
    int verdict = 0;
    if (rc != DRAY_OK) return rc;
    rc = judge(client, request, out, &verdict, &wait_ms, error);
    if (rc == DRAY_OK && verdict == USABLE) return DRAY_OK;
    if (rc == DRAY_OK && waits++ >= THROTTLED_WAITS_MAX) {
      rc = dray_fail(error, DRAY_E_THROTTLED, "Shopify has throttled the same request %d times", THROTTLED_WAITS_MAX);
      if (error != NULL) error->retry_after_ms = wait_ms;
      return rc;
    }
    if (rc == DRAY_OK)
      rc = hold(client, wait_ms, error);
    else if (may_pass(client, request, rc) && repeats < client->settings->max_retries) {
      const struct dray_clock_service *clock = client->services->clock;
      rc = clock->sleep_ms(clock->ctx, INT64_C(200) << (repeats < 8 ? repeats : 8),
                           dray_str_of("Shopify to answer as it should"), error);
      repeats++;
    }
    if (rc == DRAY_OK) rc = take(client, request, error);
    const struct dray_api_request again = describe(client, request);
    if (rc == DRAY_OK) rc = dray_api_call(&client->api, &again, &client->answer, error);
  }
}

int32_t shopify_ask(struct shopify_client *client, struct shopify_request *request, struct shopify_reply *out,
                    struct dray_error *error) {
  DRAY_TRY(take(client, request, error));
  const struct dray_api_request described = describe(client, request);
  const int32_t rc = dray_api_call(&client->api, &described, &client->answer, error);
  return until_usable(client, request, rc, out, error);
}

int32_t shopify_send(struct shopify_client *client, struct shopify_request *request, struct dray_api_pending **out,
                     struct dray_error *error) {
  DRAY_TRY(take(client, request, error));
  const struct dray_api_request described = describe(client, request);
  return dray_api_start(&client->api, &described, out, error);
}

int32_t shopify_receive(struct shopify_client *client, struct shopify_request *request,
                        struct dray_api_pending *pending, struct shopify_reply *out, struct dray_error *error) {
  const int32_t rc = dray_api_finish(pending, &client->answer, error);
  return until_usable(client, request, rc, out, error);
}
