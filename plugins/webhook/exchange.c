// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Describes the request to the host's HTTP service and pulls the answer. Retries nothing.
//
// The requests are not flagged DRAY_HTTP_IDEMPOTENT even where the receiver honours the key: the service would then
// repeat them by itself and could not tell any more whether one of the attempts may have arrived. Left to the host,
// each attempt is signed anew, and a batch in doubt is resolved under its key, in this run or the next.
#include "exchange.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define HEADERS_MAX (WEBHOOK_HEADERS_MAX + 8)
#define REFUSAL_BYTES_MAX 65536u // of an answer that is no success: enough for its reason

// ---- secrets ----

int32_t webhook_secrets_read(const struct dray_services *services, const struct webhook_settings *settings,
                             struct webhook_secrets *out, struct dray_error *error) {
  struct webhook_secrets secrets = {NULL, NULL, NULL};
  int32_t rc = DRAY_OK;
  if (settings->has_bearer_token) {
    char *token = NULL;
    rc = dray_secret_get(services, "bearer_token", &token, error);
    if (rc == DRAY_OK) {
      const size_t bytes = strlen(token) + sizeof("Bearer ");
      secrets.bearer = malloc(bytes);
      if (secrets.bearer != NULL) (void)snprintf(secrets.bearer, bytes, "Bearer %s", token);
      if (secrets.bearer == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a secret");
      dray_secret_free(token);
    }
  }
  if (rc == DRAY_OK && settings->has_auth_header) rc = dray_secret_get(services, "auth_header", &secrets.auth, error);
  if (rc == DRAY_OK && settings->has_hmac_secret) rc = dray_secret_get(services, "hmac_secret", &secrets.hmac, error);
  if (rc != DRAY_OK) {
    webhook_secrets_free(&secrets);
    return rc;
  }
  *out = secrets;
  return DRAY_OK;
}

void webhook_secrets_free(struct webhook_secrets *secrets) {
  dray_secret_free(secrets->bearer);
  dray_secret_free(secrets->auth);
  dray_secret_free(secrets->hmac);
  memset(secrets, 0, sizeof(*secrets));
}

// ---- the signature ----

int32_t webhook_sign(const char *secret, const char *stamp, struct dray_str body, char out[WEBHOOK_SIGNATURE_BYTES],
                     struct dray_error *error) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_bytes = 0;
  const size_t stamp_bytes = strlen(stamp);
  unsigned char *message = malloc(stamp_bytes + 1 + body.len);
  if (message == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to sign a request");
  // The time is signed with the body: who replays a request later cannot give it a new time.
  memcpy(message, stamp, stamp_bytes);
  message[stamp_bytes] = '.';
  memcpy(message + stamp_bytes + 1, body.data, body.len);
  const unsigned char *made =
      HMAC(EVP_sha256(), secret, (int)strlen(secret), message, stamp_bytes + 1 + body.len, digest, &digest_bytes);
  free(message);
  if (made == NULL || digest_bytes != 32) return dray_fail(error, DRAY_E_INTERNAL, "a request could not be signed");
  int at = snprintf(out, WEBHOOK_SIGNATURE_BYTES, "sha256=");
  for (unsigned i = 0; i < digest_bytes; i++) {
    at += snprintf(out + at, WEBHOOK_SIGNATURE_BYTES - (size_t)at, "%02x", digest[i]);
  }
  return DRAY_OK;
}

// ---- headers ----

struct header_list {
  struct dray_http_header items[HEADERS_MAX];
  size_t count;
  char stamp[32];
  char signature[WEBHOOK_SIGNATURE_BYTES];
};

static void add(struct header_list *list, const char *name, struct dray_str value) {
  const struct dray_http_header header = {dray_str_of(name), value};
  list->items[list->count++] = header;
}

static int is_given(const struct webhook_settings *settings, const char *name) {
  for (const struct dray_json *header = settings->headers->child; header != NULL; header = header->next) {
    if (strcasecmp(header->name.data, name) == 0) return 1;
  }
  return 0;
}

static int32_t make_headers(const struct dray_services *services, const struct webhook_settings *settings,
                            const struct webhook_secrets *secrets, const struct webhook_request *request,
                            struct header_list *list, struct dray_error *error) {
  list->count = 0;
  if (!is_given(settings, "Content-Type")) add(list, "Content-Type", dray_str_of("application/json"));
  if (!is_given(settings, "Accept")) add(list, "Accept", dray_str_of("application/json"));
  for (const struct dray_json *header = settings->headers->child; header != NULL; header = header->next) {
    add(list, header->name.data, header->text);
  }
  if (secrets->bearer != NULL) add(list, "Authorization", dray_str_of(secrets->bearer));
  if (secrets->auth != NULL) add(list, settings->auth_header_name, dray_str_of(secrets->auth));
  if (request->key.len > 0) add(list, settings->idempotency_header, request->key);
  if (secrets->hmac == NULL) return DRAY_OK;
  const int64_t now_us = services->clock->now_us(services->clock->ctx);
  (void)snprintf(list->stamp, sizeof(list->stamp), "%lld", (long long)(now_us / 1000000));
  DRAY_TRY(webhook_sign(secrets->hmac, list->stamp, request->body, list->signature, error));
  add(list, settings->hmac_timestamp_header, dray_str_of(list->stamp));
  add(list, settings->hmac_header, dray_str_of(list->signature));
  return DRAY_OK;
}

// ---- the answer ----

static int contains_ignoring_case(struct dray_str text, const char *part) {
  const size_t len = strlen(part);
  for (uint64_t i = 0; i + len <= text.len; i++) {
    if (strncasecmp(text.data + i, part, len) == 0) return 1;
  }
  return 0;
}

// Reads the body as far as it is of use. What goes wrong here is part of the answer: the status has come.
static void read_body(const struct dray_http_service *http, struct dray_http_response *response,
                      struct webhook_answer *answer) {
  const int success = answer->status >= 200 && answer->status <= 299;
  for (;;) {
    char chunk[16384];
    uint64_t count = 0;
    struct dray_error why;
    dray_error_init(&why);
    const int32_t rc = http->read(response, chunk, sizeof(chunk), &count, &why);
    if (rc == DRAY_OK && count == 0) return;
    if (rc == DRAY_E_LIMIT) answer->too_large = 1;
    if (rc != DRAY_OK) answer->cut = 1;
    if (rc != DRAY_OK) return;
    if (dray_buffer_append(&answer->body, chunk, (size_t)count, NULL) != DRAY_OK) {
      answer->too_large = 1;
      return;
    }
    if (!success && answer->body.len >= REFUSAL_BYTES_MAX) {
      answer->cut = 1;
      return;
    }
  }
}

int32_t webhook_exchange(const struct dray_services *services, const struct webhook_settings *settings,
                         const struct webhook_secrets *secrets, const struct webhook_request *request,
                         struct webhook_answer *answer, struct dray_error *error) {
  const struct dray_http_service *http = services->http;
  struct dray_http_response *response = NULL;
  struct header_list headers;
  DRAY_TRY(make_headers(services, settings, secrets, request, &headers, error));
  const int is_put = strcmp(request->method, "PUT") == 0;
  // A signature is of one moment, and a PUT that the service repeats does not tell whether it may have arrived: first
  // outcomes, please.
  const uint32_t once = secrets->hmac != NULL || is_put ? DRAY_HTTP_NO_RETRY : 0;
  const struct dray_http_request asked = {
      .struct_size = sizeof(asked),
      .flags = DRAY_HTTP_ANY_STATUS | once | (settings->gzip ? (uint32_t)DRAY_HTTP_GZIP_BODY : 0),
      .method = dray_str_of(request->method),
      .url = dray_str_of(request->url),
      .headers = headers.items,
      .header_count = headers.count,
      .body = request->body,
      .rate_per_second = settings->rate_per_second,
      .timeout_ms = settings->timeout_seconds * 1000,
      .response_bytes_max = (uint64_t)settings->max_answer_bytes,
  };
  const int32_t rc = http->open(http->ctx, &asked, &response, error);
  if (rc != DRAY_OK) {
    // To the service a PUT is idempotent and never in doubt; but a batch that may have arrived is not one that did not.
    if (is_put && error != NULL && (rc == DRAY_E_NET_CLOSED || rc == DRAY_E_NET_TIMEOUT || rc == DRAY_E_CANCELLED)) {
      (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
    }
    return rc;
  }
  dray_buffer_clear(&answer->body);
  answer->status = http->status(response);
  answer->cut = answer->too_large = 0;
  answer->is_html = contains_ignoring_case(http->header(response, dray_str_of("Content-Type")), "text/html");
  answer->retry_after_ms =
      dray_retry_after_ms(http->header(response, dray_str_of("Retry-After")),
                          http->header(response, dray_str_of("Date")), services->clock->now_us(services->clock->ctx));
  read_body(http, response, answer);
  http->close(response);
  return DRAY_OK;
}
