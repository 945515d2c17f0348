// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Asking for a token: RFC 6749 §4.4 (client credentials) and §6 (refresh). Neither a token nor a body that may hold one
// gets into a message.
#include <stdio.h>
#include <stdlib.h>

#include "credential_inside.h"
#include "dray/sdk/api.h"

#define BODY_BYTES_MAX 65536u
#define MARGIN_S 60

// ---- the request ----

struct form {
  struct dray_buffer body;
  struct dray_json_writer writer;
  int32_t json;
  int32_t failed;
  struct dray_error *error;
};

static void begin_form(struct form *form, int32_t json, struct dray_error *error) {
  *form = (struct form){.json = json, .error = error};
  dray_buffer_init(&form->body, BODY_BYTES_MAX);
  dray_json_writer_init(&form->writer, &form->body, error);
  if (json) dray_json_begin_object(&form->writer);
}

static void put(struct form *form, const char *name, const char *value) {
  if (value == NULL || form->failed != DRAY_OK) return;
  if (form->json) {
    dray_json_key(&form->writer, name);
    dray_json_write_text(&form->writer, value);
    form->failed = form->writer.failed;
    return;
  }
  // A form is a query without its '?' (every escape of the one is good in the other).
  form->failed = dray_api_query(&form->body, 0, name, dray_str_of(value), form->error);
}

static struct dray_str end_form(struct form *form) {
  if (form->json) {
    dray_json_end_object(&form->writer);
    form->failed = dray_json_writer_finish(&form->writer);
    return dray_buffer_view(&form->body);
  }
  return dray_str_make(form->body.data + 1, form->body.len - 1); // behind the first '&'
}

static int32_t fill_form(const struct dray_credential *credential, const char *refresh, struct form *form,
                         struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const int is_refresh = terms->grant == DRAY_GRANT_REFRESH_TOKEN;
  char *configured = NULL, *secret = NULL;
  int32_t rc = DRAY_OK;
  if (is_refresh && refresh == NULL) {
    rc = dray_secret_get(credential->services, terms->refresh_setting, &configured, error);
    refresh = configured;
  }
  if (rc == DRAY_OK && terms->secret_setting != NULL) {
    rc = dray_secret_get(credential->services, terms->secret_setting, &secret, error);
  }
  if (rc == DRAY_OK) {
    put(form, "grant_type", is_refresh ? "refresh_token" : "client_credentials");
    if (is_refresh) put(form, "refresh_token", refresh);
    put(form, "client_id", terms->client_id);
    put(form, "client_secret", secret);
    put(form, "scope", terms->scope);
    rc = form->failed;
  }
  dray_secret_free(configured);
  dray_secret_free(secret);
  return rc;
}

// ---- the answer ----

// A text for people that the other side wrote: never long, and on one line.
static void quote(const struct dray_json *root, const char *name, char *out, size_t out_bytes) {
  (void)dray_text_excerpt(dray_json_string(dray_json_get(root, name), ""), out, out_bytes);
}

static int32_t fail_refused(const struct dray_credential *credential, const struct dray_json *root, int32_t status,
                            struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  char name[80], description[200];
  quote(root, "error", name, sizeof(name));
  quote(root, "error_description", description, sizeof(description));
  const int is_refresh = terms->grant == DRAY_GRANT_REFRESH_TOKEN;
  const int is_client = strcmp(name, "invalid_client") == 0 || strcmp(name, "unauthorized_client") == 0 || !is_refresh;
  const char *field = is_client ? terms->secret_setting : terms->refresh_setting;
  return dray_fail_field(
      error, DRAY_E_AUTH_REJECTED, field != NULL ? field : "", "%s answered %d to the request for a token (%s%s%s): %s",
      terms->token_url, status, name[0] != '\0' ? name : "no reason", description[0] != '\0' ? ": " : "", description,
      is_client ? "check the client's id and its secret, and that the client may use this grant"
                : "the refresh token is no longer good; authorise the app again and set the new one");
}

static int32_t fail_status(const struct dray_credential *credential, const struct dray_json *root,
                           const struct dray_api_answer *answer, struct dray_error *error) {
  const int32_t status = answer->status;
  if (status == 400 || status == 401 || status == 403) return fail_refused(credential, root, status, error);
  const int32_t rc = dray_api_fail(answer, "the request for a token", "", error);
  if (error != NULL) error->vendor_code[0] = '\0'; // no row is in doubt for it
  return rc;
}

static int32_t no_token(const struct dray_api_answer *answer, struct dray_error *error) {
  return dray_fail(error, DRAY_E_HTTP_CONTENT,
                   "the request for a token was answered %d, but with no access_token: is it the right address?",
                   answer->status);
}

static int64_t lifetime_s(const struct dray_credential *credential, const struct dray_json *root) {
  const struct dray_json *value = dray_json_get(root, "expires_in");
  int64_t seconds = 0;
  const int given = value != NULL && (value->kind == DRAY_JSON_NUMBER || value->kind == DRAY_JSON_STRING) &&
                    dray_parse_int64(value->text, &seconds, NULL) == DRAY_OK && seconds > 0 && seconds < 1000000000;
  return given ? seconds : credential->terms.lifetime_s;
}

static int32_t take_tokens(const struct dray_credential *credential, const struct dray_json *root,
                           const struct dray_api_answer *answer, struct dray_credential_pair *out,
                           struct dray_error *error) {
  const struct dray_clock_service *clock = credential->services->clock;
  const struct dray_str access = dray_json_string(dray_json_get(root, "access_token"), "");
  const struct dray_str refresh = dray_json_string(dray_json_get(root, "refresh_token"), "");
  if (access.len == 0 || access.len > DRAY_CREDENTIAL_TOKEN_MAX || refresh.len > DRAY_CREDENTIAL_TOKEN_MAX ||
      strlen(access.data) != access.len) {
    return no_token(answer, error);
  }
  struct dray_credential_pair pair = {.access = dray_str_dup(access)};
  if (refresh.len > 0) pair.refresh = dray_str_dup(refresh);
  if (pair.access == NULL || (refresh.len > 0 && pair.refresh == NULL)) {
    dray_credential_pair_free(&pair);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a token");
  }
  const int64_t lifetime = lifetime_s(credential, root);
  int64_t margin = credential->terms.margin_s > 0 ? credential->terms.margin_s : MARGIN_S;
  if (margin > lifetime / 2) margin = lifetime / 2; // else it were due at once, each time
  if (lifetime > 0) pair.renew_us = clock->now_us(clock->ctx) + (lifetime - margin) * 1000000;
  dray_credential_mask(credential->services, pair.access);
  dray_credential_mask(credential->services, pair.refresh);
  *out = pair;
  return DRAY_OK;
}

static int32_t read_answer(const struct dray_credential *credential, const struct dray_api_answer *answer,
                           struct dray_credential_pair *out, struct dray_error *error) {
  struct dray_json *root = NULL;
  int32_t rc = dray_json_parse(dray_buffer_view(&answer->body), BODY_BYTES_MAX, &root, NULL);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "no memory for a token");
  if (answer->status < 200 || answer->status > 299) {
    rc = fail_status(credential, root, answer, error);
  } else {
    rc = take_tokens(credential, root, answer, out, error);
  }
  dray_json_free(root);
  return rc;
}

// ---- the exchange ----

static int32_t send(const struct dray_credential *credential, struct dray_str body, struct dray_api_answer *answer,
                    struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  static const struct dray_http_header form_header = {{"Content-Type", 12}, {"application/x-www-form-urlencoded", 33}};
  const struct dray_api api = {.services = credential->services,
                               .base_url = terms->token_url,
                               // Whoever holds the places of that host may be waiting for this token.
                               .concurrency_max = UINT32_MAX,
                               .response_bytes_max = BODY_BYTES_MAX};
  const struct dray_api_request request = {
      // A refresh token is good once: whether a second request would be answered is not known.
      .flags = terms->grant == DRAY_GRANT_CLIENT_CREDENTIALS ? (uint32_t)DRAY_HTTP_IDEMPOTENT : 0,
      .method = "POST",
      .path = dray_str_of(terms->token_url),
      .body = body,
      .headers = terms->json_body ? NULL : &form_header,
      .header_count = terms->json_body ? 0 : 1};
  return dray_api_call(&api, &request, answer, error);
}

int32_t dray_credential_ask(struct dray_credential *credential, const char *refresh, struct dray_credential_pair *out,
                            struct dray_error *error) {
  struct form form;
  struct dray_api_answer answer = {.status = 0};
  begin_form(&form, credential->terms.json_body, error);
  int32_t rc = fill_form(credential, refresh, &form, error);
  const struct dray_str body = rc == DRAY_OK ? end_form(&form) : dray_str_make(NULL, 0);
  if (rc == DRAY_OK) rc = form.failed;
  if (rc == DRAY_OK) rc = send(credential, body, &answer, error);
  if (rc == DRAY_OK) rc = read_answer(credential, &answer, out, error);
  if (form.body.data != NULL) explicit_bzero(form.body.data, form.body.capacity);
  if (answer.body.data != NULL) explicit_bzero(answer.body.data, answer.body.capacity);
  dray_buffer_free(&form.body);
  dray_api_answer_free(&answer);
  return rc;
}
