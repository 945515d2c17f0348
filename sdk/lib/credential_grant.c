// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Asking for a token: RFC 6749 §4.1.3 (a code), §4.4 (client credentials) and §6 (refresh). Neither a token nor a body
// that may hold one gets into a message.
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

// What the grant itself is made of: a stored token first, then what is configured.
static int32_t put_grant(const struct dray_credential *credential, const char *refresh, struct form *form,
                         struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  char *configured = NULL;
  if (terms->grant == DRAY_GRANT_CLIENT_CREDENTIALS) {
    put(form, "grant_type", "client_credentials");
    return form->failed;
  }
  if (refresh != NULL) {
    put(form, "grant_type", "refresh_token");
    put(form, "refresh_token", refresh);
    return form->failed;
  }
  const int is_code = terms->grant == DRAY_GRANT_AUTHORIZATION_CODE;
  DRAY_TRY(dray_secret_get(credential->services, is_code ? terms->code_setting : terms->refresh_setting, &configured,
                           error));
  put(form, "grant_type", is_code ? "authorization_code" : "refresh_token");
  put(form, is_code ? "code" : "refresh_token", configured);
  dray_secret_free(configured);
  return form->failed;
}

// What goes with a code alone.
static int32_t put_exchange(const struct dray_credential *credential, struct form *form, struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  char *verifier = NULL;
  put(form, "redirect_uri", terms->redirect_uri);
  for (const char *const *field = terms->code_fields; field != NULL && *field != NULL; field += 2) {
    put(form, field[0], field[1]);
  }
  if (terms->verifier_setting != NULL) DRAY_TRY(dray_credential_verifier(credential, &verifier, error));
  put(form, "code_verifier", verifier);
  dray_secret_free(verifier);
  return form->failed;
}

static int32_t fill_form(const struct dray_credential *credential, const char *refresh, struct form *form,
                         struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const int is_code = terms->grant == DRAY_GRANT_AUTHORIZATION_CODE;
  char *secret = NULL;
  DRAY_TRY(put_grant(credential, refresh, form, error));
  if (is_code && refresh == NULL) DRAY_TRY(put_exchange(credential, form, error));
  if (terms->secret_setting != NULL) {
    DRAY_TRY(dray_secret_get(credential->services, terms->secret_setting, &secret, error));
  }
  put(form, "client_id", terms->client_id);
  put(form, "client_secret", secret);
  if (!is_code || refresh == NULL) put(form, "scope", terms->scope);
  dray_secret_free(secret);
  return form->failed;
}

// ---- the answer ----

// A text for people that the other side wrote: never long, and on one line.
static void quote(const struct dray_json *root, const char *name, char *out, size_t out_bytes) {
  (void)dray_text_excerpt(dray_json_string(dray_json_get(root, name), ""), out, out_bytes);
}

#define AUTHORIZE_AGAIN "authorise the app again and set the new code (dray check says the address to open)"

static const char *advice(const struct dray_credential *credential, int is_client, const char *name) {
  const int is_code = credential->terms.grant == DRAY_GRANT_AUTHORIZATION_CODE;
  if (is_client) return "check the client's id and its secret, and that the client may use this grant";
  if (!is_code) return "the refresh token is no longer good; authorise the app again and set the new one";
  return strcmp(name, "invalid_scope") == 0 ? "correct what is asked for, and " AUTHORIZE_AGAIN
                                            : "the code, or what it brought, is no longer good; " AUTHORIZE_AGAIN;
}

// RFC 6749 §5.2, and Shopify's own word for an app that is not known by these.
static int is_of_client(const char *name) {
  static const char *const names[] = {"invalid_client", "unauthorized_client", "application_cannot_be_found"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (strcmp(name, names[i]) == 0) return 1;
  }
  return 0;
}

static int32_t fail_refused(const struct dray_credential *credential, const struct dray_json *root, int32_t status,
                            struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  char name[80], description[200];
  quote(root, "error", name, sizeof(name));
  quote(root, "error_description", description, sizeof(description));
  const int is_client = is_of_client(name) || terms->grant == DRAY_GRANT_CLIENT_CREDENTIALS;
  const char *field = is_client ? terms->secret_setting : dray_credential_setting(credential);
  if (is_client && field == NULL && terms->client_id != NULL) field = "client_id";
  return dray_fail_field(error, DRAY_E_AUTH_REJECTED, field != NULL ? field : "",
                         "%s answered %d to the request for a token (%s%s%s): %s", terms->token_url, status,
                         name[0] != '\0' ? name : "no reason", description[0] != '\0' ? ": " : "", description,
                         advice(credential, is_client, name));
}

int32_t dray_credential_fail_used(const struct dray_credential *credential, const char *why, struct dray_error *error) {
  const char *field = credential->terms.code_setting;
  return dray_fail_field(error, DRAY_E_AUTH_REJECTED, field,
                         "the %s is good once and counts as used (%s): " AUTHORIZE_AGAIN, field, why);
}

// Whatever became of the request for a token, what needs the token was not sent.
static void no_row_in_doubt(struct dray_error *error) {
  if (error != NULL) error->vendor_code[0] = '\0';
}

static int32_t fail_status(const struct dray_credential *credential, const struct dray_json *root,
                           const struct dray_api_answer *answer, struct dray_error *error) {
  const int32_t status = answer->status;
  if (status == 400 || status == 401 || status == 403) return fail_refused(credential, root, status, error);
  const int32_t rc = dray_api_fail(answer, "the request for a token", "", error);
  no_row_in_doubt(error);
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

// The flag, where the host knows it.
static uint32_t awaited(const struct dray_http_service *http) {
  return http->struct_size > offsetof(struct dray_http_service, start) ? (uint32_t)DRAY_HTTP_AWAITED : 0;
}

static int32_t send(const struct dray_credential *credential, struct dray_str body, struct dray_api_answer *answer,
                    struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const int spends = terms->grant != DRAY_GRANT_CLIENT_CREDENTIALS;
  static const struct dray_http_header form_header = {{"Content-Type", 12}, {"application/x-www-form-urlencoded", 33}};
  const struct dray_api api = {.services = credential->services,
                               .base_url = terms->token_url,
                               // Whoever holds the places of that host may be waiting for this token.
                               .concurrency_max = UINT32_MAX,
                               .response_bytes_max = BODY_BYTES_MAX};
  const struct dray_api_request request = {
      // A refresh token is good once: whether a second request would be answered is not known, and what answers the
      // first is stored whoever asks the run to end meanwhile.
      .flags = spends ? awaited(credential->services->http) : (uint32_t)DRAY_HTTP_IDEMPOTENT,
      .method = "POST",
      .path = dray_str_of(terms->token_url),
      .body = body,
      .headers = terms->json_body ? NULL : &form_header,
      .header_count = terms->json_body ? 0 : 1};
  return dray_api_call(&api, &request, answer, error);
}

// Whether a code that was sent may have become a token nobody has. Refusals, and what is not begun, leave it as it was.
static int may_be_used(const struct dray_api_answer *answer, const struct dray_error *why) {
  if (answer->status == 0) return dray_api_in_doubt(why);
  if (answer->status >= 300 && answer->status < 500) return 0;
  return answer->status != 501 && answer->status != 503 && answer->status != 505;
}

// A code's way: that it is sent is known before, and stays known where nobody can say what became of it.
static int32_t exchange(struct dray_credential *credential, const struct dray_credential_place *place,
                        struct dray_str body, struct dray_api_answer *answer, struct dray_credential_pair *out,
                        struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  DRAY_TRY(dray_credential_mark_sent(credential, place, error));
  int32_t rc = send(credential, body, answer, &why);
  if (rc == DRAY_OK) rc = read_answer(credential, answer, out, &why);
  if (rc == DRAY_OK) return DRAY_OK;
  const int is_used = may_be_used(answer, &why);
  if (!is_used) dray_credential_unmark(place);
  if (is_used && rc != DRAY_E_CANCELLED && rc != DRAY_E_OUT_OF_MEMORY) {
    return dray_credential_fail_used(credential, why.text, error);
  }
  if (error != NULL) *error = why;
  no_row_in_doubt(error);
  return rc;
}

static int32_t ask(struct dray_credential *credential, struct dray_str body, struct dray_api_answer *answer,
                   struct dray_credential_pair *out, struct dray_error *error) {
  const int32_t rc = send(credential, body, answer, error);
  if (rc == DRAY_OK) return read_answer(credential, answer, out, error);
  no_row_in_doubt(error);
  return rc;
}

int32_t dray_credential_ask(struct dray_credential *credential, const struct dray_credential_place *place,
                            const char *refresh, struct dray_credential_pair *out, struct dray_error *error) {
  const int is_exchange = credential->terms.grant == DRAY_GRANT_AUTHORIZATION_CODE && refresh == NULL;
  struct form form;
  struct dray_api_answer answer = {.status = 0};
  begin_form(&form, credential->terms.json_body, error);
  int32_t rc = fill_form(credential, refresh, &form, error);
  const struct dray_str body = rc == DRAY_OK ? end_form(&form) : dray_str_make(NULL, 0);
  if (rc == DRAY_OK) rc = form.failed;
  if (rc == DRAY_OK && is_exchange) {
    rc = exchange(credential, place, body, &answer, out, error);
  } else if (rc == DRAY_OK) {
    rc = ask(credential, body, &answer, out, error);
  }
  dray_credential_wipe_buffer(&form.body);
  if (answer.body.data != NULL) explicit_bzero(answer.body.data, answer.body.capacity);
  dray_api_answer_free(&answer);
  return rc;
}
