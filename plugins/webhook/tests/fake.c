// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The fake host. Its allocations are the tests', so the failing ones never hit it: it has none but the copy of a body.
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static struct fake *current; // answers find their host here; one at a time is enough for a test
static size_t read_bytes;

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx;
  (void)level;
  (void)message;
}

static uint32_t is_cancelled(void *ctx) {
  return (uint32_t)((struct fake *)ctx)->cancelled;
}

static int64_t now_us(void *ctx) {
  return ((struct fake *)ctx)->now_us;
}

static int32_t http_open(void *ctx, const struct dray_http_request *request, struct dray_http_response **out,
                         struct dray_error *error) {
  struct fake *fake = ctx;
  size_t at = 0;
  fake->requests++;
  fake->flags = request->flags;
  (void)snprintf(fake->method, sizeof(fake->method), "%.*s", DRAY_STR_ARG(request->method));
  (void)snprintf(fake->url, sizeof(fake->url), "%.*s", DRAY_STR_ARG(request->url));
  for (uint64_t i = 0; i < request->header_count; i++) {
    at += (size_t)snprintf(fake->headers + at, sizeof(fake->headers) - at, "%.*s: %.*s\n",
                           DRAY_STR_ARG(request->headers[i].name), DRAY_STR_ARG(request->headers[i].value));
  }
  free(fake->asked);
  fake->asked = dray_str_dup(request->body.len > 0 ? request->body : dray_str_of(""));
  fake->asked_bytes = request->body.len;
  if (fake->asked == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory");
  if (fake->fail_code != 0) {
    (void)dray_fail(error, fake->fail_code, "the fake network failed");
    if (fake->in_doubt) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
    return fake->fail_code;
  }
  read_bytes = 0;
  fake->open_answers++;
  *out = (struct dray_http_response *)(void *)fake;
  return DRAY_OK;
}

static int32_t http_status(const struct dray_http_response *response) {
  (void)response;
  return current->status;
}

static struct dray_str http_header(const struct dray_http_response *response, struct dray_str name) {
  (void)response;
  if (dray_str_is(name, "Content-Type")) return dray_str_of(current->content_type);
  if (dray_str_is(name, "Retry-After")) return dray_str_of(current->retry_after);
  if (dray_str_is(name, "Date")) return dray_str_of(current->date);
  return dray_str_of(NULL);
}

// In pieces of at most 7 bytes.
static int32_t http_read(struct dray_http_response *response, void *buffer, uint64_t capacity, uint64_t *out_bytes,
                         struct dray_error *error) {
  (void)response;
  size_t left = strlen(current->body) - read_bytes;
  if (left == 0 && current->cut) return dray_fail(error, DRAY_E_NET_CLOSED, "the body was cut");
  if (left == 0 && current->too_large) return dray_fail(error, DRAY_E_LIMIT, "the body is too large");
  if (left > 7) left = 7;
  if (left > capacity) left = (size_t)capacity;
  memcpy(buffer, current->body + read_bytes, left);
  read_bytes += left;
  *out_bytes = left;
  return DRAY_OK;
}

static void http_close(struct dray_http_response *response) {
  if (response != NULL) current->open_answers--;
}

// The secret of a setting is its name, with a mark.
static int32_t secret_get(void *ctx, struct dray_str setting, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                          struct dray_error *error) {
  (void)ctx;
  const int n = snprintf(buffer, capacity, "SECRET-%.*s", DRAY_STR_ARG(setting));
  if (n < 0 || (uint64_t)n >= capacity) return dray_fail(error, DRAY_E_LIMIT, "too small");
  *out_bytes = (uint64_t)n;
  return DRAY_OK;
}

static const void *service(void *ctx, uint32_t id) {
  static struct dray_log_service log = {.struct_size = sizeof(log), .level = DRAY_LOG_ERROR, .write = log_write};
  static struct dray_cancel_service cancel = {.struct_size = sizeof(cancel), .cancelled = is_cancelled};
  static struct dray_clock_service clock = {.struct_size = sizeof(clock), .now_us = now_us};
  static struct dray_http_service http = {.struct_size = sizeof(http),
                                          .open = http_open,
                                          .status = http_status,
                                          .header = http_header,
                                          .read = http_read,
                                          .close = http_close};
  static const struct dray_secrets_service secrets = {.struct_size = sizeof(secrets), .get = secret_get};
  // The plugin must not touch these: they have no functions.
  static const struct dray_state_service kept = {.struct_size = sizeof(kept)};
  static const struct dray_metrics_service metrics = {.struct_size = sizeof(metrics)};
  static const struct dray_random_service random_bytes = {.struct_size = sizeof(random_bytes)};
  cancel.ctx = clock.ctx = http.ctx = ctx;
  const void *const services[] = {NULL, &log, &cancel, &clock, &http, &secrets, &kept, &metrics, &random_bytes};
  return id < sizeof(services) / sizeof(services[0]) ? services[id] : NULL;
}

void fake_init(struct fake *fake) {
  memset(fake, 0, sizeof(*fake));
  fake->host.struct_size = sizeof(fake->host);
  fake->host.ctx = fake;
  fake->host.service = service;
  fake->now_us = 1700000000000000;
  fake->status = 200;
  fake->content_type = "application/json";
  fake->body = "{}";
  current = fake;
}

void fake_free(struct fake *fake) {
  free(fake->asked);
  fake->asked = NULL;
}
