// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls of a vendor's JSON API: a request gets its address, headers and token, a 401 gets a new token and one more try,
// an answer's body comes whole. What answers say is in api_answer.c.
#include "dray/sdk/api.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "credential_inside.h"
#include "dray/sdk/value.h"

#define RESPONSE_BYTES_MAX (UINT64_C(64) << 20) // as the HTTP service's own
#define URL_BYTES_MAX (1u << 16)
#define TOKEN_BYTES_MAX (1u << 17)
#define PULL_BYTES 65536
#define BODY_ATTEMPTS 3 // of a request that may be repeated, when the body of its answer is cut
#define BODY_PAUSE_MS 500

// A request as it goes to the HTTP service; what it points to is here, in the api and in the request.
struct ready {
  struct dray_http_header headers[DRAY_API_HEADERS_MAX];
  size_t header_count;
  struct dray_buffer url, token;
  uint64_t generation; // of the token
};

static void forget(struct ready *ready) {
  if (ready->token.data != NULL) explicit_bzero(ready->token.data, ready->token.capacity);
  dray_buffer_free(&ready->token);
  dray_buffer_free(&ready->url);
}

// ---- making a request ----

static int same_name(struct dray_str a, struct dray_str b) {
  return a.len == b.len && strncasecmp(a.data, b.data, (size_t)a.len) == 0;
}

// Adds a header, instead of one of that name.
static int32_t put_header(struct ready *ready, struct dray_str name, struct dray_str value, struct dray_error *error) {
  size_t at = 0;
  while (at < ready->header_count && !same_name(ready->headers[at].name, name)) at++;
  if (at == DRAY_API_HEADERS_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a request has more than %d headers", DRAY_API_HEADERS_MAX);
  }
  ready->headers[at] = (struct dray_http_header){name, value};
  if (at == ready->header_count) ready->header_count++;
  return DRAY_OK;
}

static int32_t put_token(const struct dray_api *api, struct ready *ready, struct dray_error *error) {
  struct dray_str token;
  if (api->credential == NULL) return DRAY_OK;
  DRAY_TRY(dray_credential_token(api->credential, &token, error));
  ready->generation = dray_credential_generation(api->credential);
  DRAY_TRY(dray_buffer_reserve(&ready->token, strlen(api->token_prefix) + (size_t)token.len, NULL, error));
  DRAY_TRY(dray_buffer_append_str(&ready->token, api->token_prefix, error));
  DRAY_TRY(dray_buffer_append(&ready->token, token.data, (size_t)token.len, error));
  return put_header(ready, dray_str_of(api->token_header), dray_buffer_view(&ready->token), error);
}

static int32_t put_headers(const struct dray_api *api, const struct dray_api_request *request, struct ready *ready,
                           struct dray_error *error) {
  const struct dray_str json = dray_str_of("application/json");
  DRAY_TRY(put_header(ready, dray_str_of("Accept"), json, error));
  if (request->body.len > 0) DRAY_TRY(put_header(ready, dray_str_of("Content-Type"), json, error));
  for (uint64_t i = 0; i < api->header_count; i++) {
    DRAY_TRY(put_header(ready, api->headers[i].name, api->headers[i].value, error));
  }
  for (uint64_t i = 0; i < request->header_count; i++) {
    DRAY_TRY(put_header(ready, request->headers[i].name, request->headers[i].value, error));
  }
  return put_token(api, ready, error);
}

// Bytes of "https://host:port".
static size_t origin_bytes(struct dray_str url) {
  size_t slashes = 0, at = 0;
  for (; at < url.len; at++) {
    slashes += url.data[at] == '/';
    if (slashes == 3 || (slashes == 2 && (url.data[at] == '?' || url.data[at] == '#'))) break;
  }
  return at;
}

static int is_absolute(struct dray_str path) {
  return (path.len >= 8 && strncasecmp(path.data, "https://", 8) == 0) ||
         (path.len >= 7 && strncasecmp(path.data, "http://", 7) == 0);
}

static int32_t put_url(const struct dray_api *api, struct dray_str path, struct ready *ready,
                       struct dray_error *error) {
  const struct dray_str base = dray_str_of(api->base_url);
  if (is_absolute(path)) {
    const size_t origin = origin_bytes(base);
    if (origin_bytes(path) != origin || strncasecmp(path.data, base.data, origin) != 0) {
      return dray_fail(error, DRAY_E_HTTP_HOST, "the answer of %s names the address %.*s, which is not asked",
                       api->base_url, (int)(origin_bytes(path) < 200 ? origin_bytes(path) : 200), path.data);
    }
  } else {
    if (path.len == 0 || (path.data[0] != '/' && path.data[0] != '?')) {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the path '%.*s' of a request begins neither with '/' nor '?'",
                       DRAY_VALUE_ARG(path));
    }
    DRAY_TRY(dray_buffer_append(&ready->url, base.data, (size_t)base.len, error));
  }
  return dray_buffer_append(&ready->url, path.data, (size_t)path.len, error);
}

static int32_t make_ready(const struct dray_api *api, const struct dray_api_request *request, struct ready *ready,
                          struct dray_http_request *out, struct dray_error *error) {
  *ready = (struct ready){.header_count = 0};
  dray_buffer_init(&ready->url, URL_BYTES_MAX);
  dray_buffer_init(&ready->token, TOKEN_BYTES_MAX);
  int32_t rc = put_url(api, request->path, ready, error);
  if (rc == DRAY_OK) rc = put_headers(api, request, ready, error);
  if (rc != DRAY_OK) {
    forget(ready);
    return rc;
  }
  *out = (struct dray_http_request){.struct_size = sizeof(*out),
                                    .flags = request->flags | DRAY_HTTP_ANY_STATUS,
                                    .method = dray_str_of(request->method),
                                    .url = dray_buffer_view(&ready->url),
                                    .headers = ready->headers,
                                    .header_count = ready->header_count,
                                    .body = request->body,
                                    .rate_key = api->rate_key,
                                    .rate_per_second = api->rate_per_second,
                                    .rate_burst = api->rate_burst,
                                    .concurrency_max = api->concurrency_max,
                                    .timeout_ms = api->timeout_ms,
                                    .response_bytes_max = api->response_bytes_max,
                                    .attempts_max = api->attempts_max};
  return DRAY_OK;
}

// ---- doubt ----

static int only_reads(const struct dray_api_request *request) {
  return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

static void mark_doubt(struct dray_error *error) {
  static const char mark[] = "in_doubt"; // as the HTTP service has it
  if (error != NULL) memcpy(error->vendor_code, mark, sizeof(mark));
}

// What the service may repeat, with the flag or by its method.
static int is_idempotent(const struct dray_api_request *request) {
  return only_reads(request) || strcmp(request->method, "PUT") == 0 || strcmp(request->method, "DELETE") == 0 ||
         (request->flags & DRAY_HTTP_IDEMPOTENT) != 0;
}

// The service marks what it may not repeat. What it may repeat is as little known to have arrived or not.
static void judge_failure(const struct dray_api_request *request, int32_t code, struct dray_error *error) {
  if (only_reads(request) || !is_idempotent(request)) return;
  const int repeated = (request->flags & DRAY_HTTP_NO_RETRY) == 0; // an earlier one may have arrived
  if (code == DRAY_E_NET_CLOSED || code == DRAY_E_NET_TIMEOUT || code == DRAY_E_CANCELLED ||
      (repeated && (code == DRAY_E_NET_CONNECT || code == DRAY_E_NET_RESOLVE || code == DRAY_E_NET_TLS))) {
    mark_doubt(error);
  }
}

int dray_api_in_doubt(const struct dray_error *error) {
  return strcmp(error->vendor_code, "in_doubt") == 0;
}

// ---- sending ----

static int32_t open_answer(const struct dray_api *api, const struct dray_api_request *request,
                           struct dray_http_response **out, uint64_t *out_generation, struct dray_error *error) {
  struct ready ready;
  struct dray_http_request asked;
  DRAY_TRY(make_ready(api, request, &ready, &asked, error));
  const struct dray_http_service *http = api->services->http;
  const int32_t rc = http->open(http->ctx, &asked, out, error);
  if (rc != DRAY_OK) judge_failure(request, rc, error);
  *out_generation = ready.generation;
  forget(&ready);
  return rc;
}

// After a 401 of the token of that generation: whether the request can be sent again with another one.
static int32_t ask_for_another(const struct dray_api *api, uint64_t generation, int32_t *out_again,
                               struct dray_error *error) {
  *out_again = 0;
  if (api->credential == NULL) return DRAY_OK;
  if (dray_credential_generation(api->credential) == generation) {
    return dray_credential_refused(api->credential, out_again, error);
  }
  *out_again = 1; // renewed since, for another request
  return DRAY_OK;
}

static int32_t read_body(const struct dray_api_request *request, struct dray_api_answer *answer,
                         struct dray_error *error) {
  const struct dray_http_service *http = answer->services->http;
  for (;;) {
    char *to = NULL;
    uint64_t bytes = 0;
    int32_t rc = dray_buffer_reserve(&answer->body, PULL_BYTES, &to, error);
    if (rc == DRAY_OK) rc = http->read(answer->response, to, PULL_BYTES, &bytes, error);
    if (rc == DRAY_OK && bytes == 0) return DRAY_OK;
    if (rc == DRAY_OK) {
      answer->body.len += (size_t)bytes;
      answer->body.data[answer->body.len] = '\0';
      continue;
    }
    if (answer->status >= 400 && rc != DRAY_E_CANCELLED) return DRAY_OK; // the status says what there is to know
    if (!only_reads(request)) mark_doubt(error); // it was received, and what became of it is not known
    return rc;
  }
}

// From an answer's head, taken over, to the whole answer. Without a body that was begun answer->response stays NULL.
static int32_t receive(const struct dray_api *api, const struct dray_api_request *request, uint64_t generation,
                       struct dray_http_response *response, struct dray_api_answer *answer, struct dray_error *error) {
  const struct dray_http_service *http = api->services->http;
  if (http->status(response) == 401) {
    int32_t again = 0;
    const int32_t rc = ask_for_another(api, generation, &again, error);
    if (rc != DRAY_OK || again) http->close(response);
    if (rc != DRAY_OK) return rc;
    if (again) DRAY_TRY(open_answer(api, request, &response, &generation, error));
  }
  const uint64_t bytes_max = api->response_bytes_max != 0 ? api->response_bytes_max : RESPONSE_BYTES_MAX;
  answer->services = api->services;
  answer->response = response;
  answer->status = http->status(response);
  answer->writes = !only_reads(request);
  answer->does_once = request->does_once || is_idempotent(request);
  answer->secret = api->credential != NULL ? dray_credential_setting(api->credential) : NULL;
  answer->body.max = bytes_max < SIZE_MAX / 2 ? (size_t)bytes_max + PULL_BYTES : SIZE_MAX / 2;
  return read_body(request, answer, error);
}

// An answer that was given before makes room for the next.
static void begin_answer(struct dray_api_answer *answer) {
  if (answer->response != NULL) answer->services->http->close(answer->response);
  answer->response = NULL;
  answer->status = 0;
  dray_buffer_clear(&answer->body);
}

// As receive; a body that is cut is asked for again where that may be. The service repeats up to the head alone, and
// bodies that wait for their turn behind a slow reader are cut most of all.
static int32_t complete(const struct dray_api *api, const struct dray_api_request *request, uint64_t generation,
                        struct dray_http_response *response, struct dray_api_answer *answer, struct dray_error *error) {
  const struct dray_clock_service *clock = api->services->clock;
  const int may_repeat = is_idempotent(request) && (request->flags & DRAY_HTTP_NO_RETRY) == 0;
  int32_t rc = receive(api, request, generation, response, answer, error);
  for (int attempt = 1; may_repeat && attempt < BODY_ATTEMPTS; attempt++) {
    const int is_cut = answer->response != NULL && (rc == DRAY_E_NET_CLOSED || rc == DRAY_E_NET_TIMEOUT);
    if (!is_cut) break;
    begin_answer(answer);
    rc = clock->sleep_ms(clock->ctx, (int64_t)BODY_PAUSE_MS * attempt, dray_str_of("an answer was cut off"), error);
    if (rc == DRAY_OK) rc = open_answer(api, request, &response, &generation, error);
    if (rc == DRAY_OK) rc = receive(api, request, generation, response, answer, error);
    if (rc != DRAY_OK && !only_reads(request)) mark_doubt(error); // the one before has arrived
  }
  return rc;
}

int32_t dray_api_call(const struct dray_api *api, const struct dray_api_request *request,
                      struct dray_api_answer *answer, struct dray_error *error) {
  struct dray_http_response *response = NULL;
  uint64_t generation = 0;
  begin_answer(answer);
  DRAY_TRY(open_answer(api, request, &response, &generation, error));
  return complete(api, request, generation, response, answer, error);
}

// ---- in two steps ----

struct dray_api_pending {
  const struct dray_api *api;
  struct dray_api_request request; // a copy, for the case that it has to be sent again
  struct dray_http_pending *http;
  uint64_t generation;
};

// Copies text behind *at and goes on.
static struct dray_str keep(char **at, struct dray_str text) {
  char *to = *at;
  if (text.len > 0) memcpy(to, text.data, (size_t)text.len);
  to[text.len] = '\0';
  *at += text.len + 1;
  return dray_str_make(to, text.len);
}

// One block: the request, its headers, its texts.
static struct dray_api_pending *copy_request(const struct dray_api *api, const struct dray_api_request *request) {
  const struct dray_str method = dray_str_of(request->method);
  size_t bytes = (size_t)(method.len + request->path.len + request->body.len) + 3;
  for (uint64_t i = 0; i < request->header_count; i++) {
    bytes += (size_t)(request->headers[i].name.len + request->headers[i].value.len) + 2;
  }
  const size_t header_bytes = (size_t)request->header_count * sizeof(struct dray_http_header);
  struct dray_api_pending *pending = calloc(1, sizeof(*pending) + header_bytes + bytes);
  if (pending == NULL) return NULL;
  struct dray_http_header *headers = (struct dray_http_header *)(void *)(pending + 1);
  char *at = (char *)headers + header_bytes;
  pending->api = api;
  pending->request = *request;
  pending->request.method = keep(&at, method).data;
  pending->request.path = keep(&at, request->path);
  pending->request.body = keep(&at, request->body);
  pending->request.headers = headers;
  for (uint64_t i = 0; i < request->header_count; i++) {
    headers[i].name = keep(&at, request->headers[i].name);
    headers[i].value = keep(&at, request->headers[i].value);
  }
  return pending;
}

int32_t dray_api_start(const struct dray_api *api, const struct dray_api_request *request,
                       struct dray_api_pending **out, struct dray_error *error) {
  const struct dray_http_service *http = api->services->http;
  struct ready ready;
  struct dray_http_request asked;
  struct dray_api_pending *pending = copy_request(api, request);
  if (pending == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a request");
  int32_t rc = make_ready(api, &pending->request, &ready, &asked, error);
  if (rc == DRAY_OK) {
    rc = http->start(http->ctx, &asked, &pending->http, error);
    pending->generation = ready.generation;
    forget(&ready);
  }
  if (rc != DRAY_OK) {
    free(pending);
    return rc;
  }
  *out = pending;
  return DRAY_OK;
}

int32_t dray_api_finish(struct dray_api_pending *pending, struct dray_api_answer *answer, struct dray_error *error) {
  const struct dray_api *api = pending->api;
  struct dray_http_response *response = NULL;
  begin_answer(answer);
  int32_t rc = api->services->http->finish(pending->http, &response, error);
  if (rc != DRAY_OK) {
    judge_failure(&pending->request, rc, error);
  } else {
    rc = complete(api, &pending->request, pending->generation, response, answer, error);
  }
  free(pending);
  return rc;
}

void dray_api_drop(struct dray_api_pending *pending) {
  if (pending == NULL) return;
  pending->api->services->http->drop(pending->http);
  free(pending);
}

void dray_api_answer_free(struct dray_api_answer *answer) {
  begin_answer(answer);
  dray_buffer_free(&answer->body);
  *answer = (struct dray_api_answer){.status = 0};
}
