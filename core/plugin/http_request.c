// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A plugin's request, checked and copied: nothing of the plugin's memory is read after this. What a plugin may not
// ask for is refused here, before a connection is made.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define KNOWN_FLAGS                                                                                                    \
  ((uint32_t)(DRAY_HTTP_IDEMPOTENT | DRAY_HTTP_GZIP_BODY | DRAY_HTTP_NO_RETRY | DRAY_HTTP_ANY_STATUS |                 \
              DRAY_HTTP_AWAITED))
#define HEADER_COUNT_MAX 256
#define RATE_KEY_BYTES_MAX 256

static const struct dr_http_method methods[] = {
    {"GET", 1, 1}, {"HEAD", 1, 1}, {"POST", 0, 0}, {"PUT", 1, 0}, {"PATCH", 0, 0}, {"DELETE", 1, 0},
};

// Decided by the host and libcurl; a plugin's own would contradict what is on the wire.
static const char *const host_headers[] = {
    "host",    "content-length", "transfer-encoding", "connection",         "upgrade", "te",
    "trailer", "expect",         "keep-alive",        "proxy-authorization"};

// What may follow a redirect to another origin: a list of what is harmless, since a name does not tell what is a
// secret.
static const char *const foreign_headers[] = {"accept",       "accept-language", "accept-encoding", "user-agent",
                                              "range",        "if-none-match",   "if-match",        "if-modified-since",
                                              "cache-control"};

static int is_one_of(const char *const *names, size_t count, struct dray_str name) {
  for (size_t i = 0; i < count; i++) {
    if (strlen(names[i]) == name.len && strncasecmp(names[i], name.data, name.len) == 0) return 1;
  }
  return 0;
}
#define IS_ONE_OF(names, name) is_one_of(names, sizeof(names) / sizeof((names)[0]), name)

// RFC 9110 §5.6.2
static int is_token(struct dray_str text) {
  for (uint64_t i = 0; i < text.len; i++) {
    const char c = text.data[i];
    const int alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) return 0;
  }
  return text.len > 0;
}

static int has_control(struct dray_str text) {
  for (uint64_t i = 0; i < text.len; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return 1;
  }
  return 0;
}

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to make a request");
}

static int32_t append_header(struct curl_slist **list, const char *line, struct dray_error *error) {
  struct curl_slist *grown = curl_slist_append(*list, line);
  if (grown == NULL) return no_memory(error);
  *list = grown;
  return DRAY_OK;
}

static int32_t add_header(struct dr_http_plan *plan, struct dray_str name, struct dray_str value,
                          struct dray_error *error) {
  const size_t capacity = (size_t)(name.len + value.len) + 4;
  char *line = malloc(capacity);
  if (line == NULL) return no_memory(error);
  // libcurl's own sign for a header without a value is a semicolon.
  memcpy(line, name.data, name.len);
  size_t at = (size_t)name.len;
  line[at++] = value.len > 0 ? ':' : ';';
  if (value.len > 0) {
    line[at++] = ' ';
    memcpy(line + at, value.data, value.len);
    at += (size_t)value.len;
  }
  line[at] = '\0';
  int32_t code = append_header(&plan->headers, line, error);
  if (code == DRAY_OK && IS_ONE_OF(foreign_headers, name)) code = append_header(&plan->foreign_headers, line, error);
  explicit_bzero(line, capacity); // it may have been a credential
  free(line);
  return code;
}

static int32_t check_header(const struct dray_http_header *header, struct dray_error *error) {
  if (!is_token(header->name))
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a request's header name is not a token (RFC 9110)");
  if (IS_ONE_OF(host_headers, header->name)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the header %.*s is the host's to set", DRAY_STR_ARG(header->name));
  }
  if (has_control(header->value)) { // e.g. a secret read from a file that ends in a line break
    char name[128];
    snprintf(name, sizeof name, "%.*s", DRAY_STR_ARG(header->name));
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, name,
                           "the value for the header %s holds a line break or control character", name);
  }
  return DRAY_OK;
}

// What the plugin leaves open. A line that ends in a colon takes libcurl's own away.
static int32_t add_defaults(struct dr_http_plan *plan, const struct dray_http_request *request,
                            struct dray_error *error) {
  static const struct {
    struct dray_str name, value;
  } defaults[] = {{{"User-Agent", 10}, {"dray", 4}}, {{"Accept-Encoding", 15}, {"gzip", 4}}};
  for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
    int given = 0;
    for (uint64_t h = 0; h < request->header_count && !given; h++) {
      const struct dray_str name = request->headers[h].name;
      given = name.len == defaults[i].name.len && strncasecmp(name.data, defaults[i].name.data, name.len) == 0;
    }
    if (!given) DRAY_TRY(add_header(plan, defaults[i].name, defaults[i].value, error));
  }
  int typed = 0;
  for (uint64_t h = 0; h < request->header_count; h++) {
    const struct dray_str name = request->headers[h].name;
    if (name.len == 12 && strncasecmp(name.data, "Content-Type", 12) == 0) typed = 1;
    if (plan->gzip_body && name.len == 16 && strncasecmp(name.data, "Content-Encoding", 16) == 0) {
      return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                       "DRAY_HTTP_GZIP_BODY is set and the request has a Content-Encoding of its own");
    }
  }
  if (!typed) DRAY_TRY(append_header(&plan->headers, "Content-Type:", error));
  if (plan->gzip_body) DRAY_TRY(append_header(&plan->headers, "Content-Encoding: gzip", error));
  // Without waiting for "100 Continue": many servers never send it.
  return append_header(&plan->headers, "Expect:", error);
}

static int32_t take_headers(struct dr_http_plan *plan, const struct dray_http_request *request,
                            struct dray_error *error) {
  uint64_t bytes = 0;
  if (request->header_count > HEADER_COUNT_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a request has %llu headers; the limit is %d",
                     (unsigned long long)request->header_count, HEADER_COUNT_MAX);
  }
  for (uint64_t i = 0; i < request->header_count; i++) {
    const struct dray_http_header *header = &request->headers[i];
    bytes += header->name.len + header->value.len + 4;
    if (bytes > DR_HTTP_HEADER_BYTES_MAX) {
      return dray_fail(error, DRAY_E_LIMIT, "the headers of a request pass the limit of %d bytes",
                       DR_HTTP_HEADER_BYTES_MAX);
    }
    DRAY_TRY(check_header(header, error));
    DRAY_TRY(add_header(plan, header->name, header->value, error));
  }
  return add_defaults(plan, request, error);
}

static int32_t take_body(struct dr_http_plan *plan, const struct dray_http_request *request, struct dray_error *error) {
  if (request->body.len == 0) return DRAY_OK;
  if (strcmp(plan->method->name, "HEAD") == 0)
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a HEAD request cannot have a body");
  if (request->body.len > DR_HTTP_REQUEST_BODY_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a request's body has %llu bytes; the limit is %u",
                     (unsigned long long)request->body.len, DR_HTTP_REQUEST_BODY_BYTES_MAX);
  }
  plan->gzip_body = (plan->flags & DRAY_HTTP_GZIP_BODY) != 0;
  if (plan->gzip_body) {
    size_t len = 0;
    DRAY_TRY(dr_http_gzip(request->body, &plan->body_copy, &len, error));
    plan->body = dray_str_make(plan->body_copy, len);
    return DRAY_OK;
  }
  plan->body_copy = malloc(request->body.len);
  if (plan->body_copy == NULL) return no_memory(error);
  memcpy(plan->body_copy, request->body.data, request->body.len);
  plan->body = dray_str_make(plan->body_copy, request->body.len);
  return DRAY_OK;
}

static int32_t take_method(struct dr_http_plan *plan, const struct dray_http_request *request,
                           struct dray_error *error) {
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    if (dray_str_is(request->method, methods[i].name)) plan->method = &methods[i];
  }
  if (plan->method == NULL) {
    return dray_fail(error, DRAY_E_HTTP_HOST, "the method of a request is none of GET, HEAD, POST, PUT, PATCH, DELETE");
  }
  plan->idempotent = plan->method->idempotent || (plan->flags & DRAY_HTTP_IDEMPOTENT) != 0;
  return DRAY_OK;
}

static int32_t take_numbers(struct dr_http_plan *plan, const struct dray_http_request *request,
                            struct dray_error *error) {
  if (request->timeout_ms < 0 || request->attempts_max < 0 || !(request->rate_per_second >= 0) ||
      request->reserved != 0) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT,
                     "a number of a request (timeout, attempts, rate or the reserved one) is out of range");
  }
  if (request->rate_key.len > RATE_KEY_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a rate key has %llu bytes; the limit is %d",
                     (unsigned long long)request->rate_key.len, RATE_KEY_BYTES_MAX);
  }
  plan->rate_per_second = request->rate_per_second;
  plan->rate_burst = request->rate_burst != 0 ? request->rate_burst : 1;
  plan->concurrency_max = request->concurrency_max != 0 ? request->concurrency_max : DR_HTTP_CONCURRENCY_DEFAULT;
  plan->timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : DR_HTTP_TIMEOUT_DEFAULT_MS;
  plan->response_bytes_max =
      request->response_bytes_max != 0 ? request->response_bytes_max : DR_HTTP_RESPONSE_BYTES_DEFAULT;
  plan->attempts_max = request->attempts_max != 0 ? request->attempts_max : DR_HTTP_ATTEMPTS_DEFAULT;
  if (request->rate_key.len == 0) return DRAY_OK;
  plan->rate_key = dray_str_dup(request->rate_key);
  return plan->rate_key != NULL ? DRAY_OK : no_memory(error);
}

int32_t dr_http_plan_init(struct dr_http_plan *plan, const struct dray_http_request *given, struct dray_error *error) {
  *plan = (struct dr_http_plan){0};
  struct dray_http_request request = {0};
  if (given->struct_size < offsetof(struct dray_http_request, headers)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a request's struct_size is %u, too small to hold a URL",
                     given->struct_size);
  }
  memcpy(&request, given, given->struct_size < sizeof request ? given->struct_size : sizeof request);
  if ((request.flags & ~KNOWN_FLAGS) != 0) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a request has flags 0x%x that this host does not know",
                     request.flags & ~KNOWN_FLAGS);
  }
  plan->flags = request.flags;
  int32_t code = take_method(plan, &request, error);
  if (code == DRAY_OK) code = dr_http_url_parse(request.url, &plan->url, error);
  if (code == DRAY_OK) code = take_numbers(plan, &request, error);
  if (code == DRAY_OK) code = take_body(plan, &request, error);
  if (code == DRAY_OK) code = take_headers(plan, &request, error);
  if (code != DRAY_OK) dr_http_plan_free(plan);
  return code;
}

void dr_http_plan_free(struct dr_http_plan *plan) {
  free(plan->body_copy);
  free(plan->rate_key);
  curl_slist_free_all(plan->headers);
  curl_slist_free_all(plan->foreign_headers);
  dr_http_url_free(&plan->url);
  *plan = (struct dr_http_plan){0};
}
