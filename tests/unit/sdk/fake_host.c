// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#define PULL_BYTES 7 // a body comes in pieces of at most that many

struct dray_http_response {
  struct fake_host *fake;
  const struct fake_exchange *exchange;
  size_t read_bytes;
};
struct dray_http_pending {
  struct fake_host *fake;
  size_t number;
};

static struct dray_http_response responses[FAKE_EXCHANGES_MAX];
static struct dray_http_pending pendings[FAKE_EXCHANGES_MAX];

static void note(struct fake_host *fake, const char *what, size_t number) {
  const size_t at = strlen(fake->events);
  (void)snprintf(fake->events + at, sizeof(fake->events) - at, "%s %zu\n", what, number);
}

// ---- http ----

// Writes the request down; its number is the exchange's.
static size_t take_request(struct fake_host *fake, const struct dray_http_request *request) {
  const size_t number = fake->request_count++;
  if (number >= fake->exchange_count || number >= FAKE_EXCHANGES_MAX) {
    fail_msg("an unexpected request %zu: %.*s %.*s", number, DRAY_STR_ARG(request->method), DRAY_STR_ARG(request->url));
  }
  struct fake_request *noted = &fake->requests[number];
  size_t at = 0;
  noted->flags = request->flags;
  (void)snprintf(noted->line, sizeof(noted->line), "%.*s %.*s", DRAY_STR_ARG(request->method),
                 DRAY_STR_ARG(request->url));
  for (uint64_t i = 0; i < request->header_count; i++) {
    at += (size_t)snprintf(noted->headers + at, sizeof(noted->headers) - at, "%.*s: %.*s\n",
                           DRAY_STR_ARG(request->headers[i].name), DRAY_STR_ARG(request->headers[i].value));
  }
  (void)snprintf(noted->body, sizeof(noted->body), "%.*s", DRAY_STR_ARG(request->body));
  return number;
}

static int32_t answer(struct fake_host *fake, size_t number, struct dray_http_response **out,
                      struct dray_error *error) {
  const struct fake_exchange *exchange = &fake->exchanges[number];
  if (fake->cancelled) return dray_fail(error, DRAY_E_CANCELLED, "the run was asked to end");
  if (exchange->fail_code != 0) {
    (void)dray_fail(error, exchange->fail_code, "the fake network failed");
    if (exchange->in_doubt && error != NULL) {
      (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
    }
    return exchange->fail_code;
  }
  responses[number] = (struct dray_http_response){.fake = fake, .exchange = exchange};
  fake->open_answers++;
  *out = &responses[number];
  return DRAY_OK;
}

static int32_t http_open(void *ctx, const struct dray_http_request *request, struct dray_http_response **out,
                         struct dray_error *error) {
  struct fake_host *fake = ctx;
  const size_t number = take_request(fake, request);
  note(fake, "open", number);
  return answer(fake, number, out, error);
}

static int32_t http_status(const struct dray_http_response *response) {
  return response->exchange->status != 0 ? response->exchange->status : 200;
}

static struct dray_str http_header(const struct dray_http_response *response, struct dray_str name) {
  const char *line = response->exchange->headers;
  while (line != NULL && *line != '\0') {
    const size_t len = strcspn(line, "\n");
    if (len > name.len + 1 && line[name.len] == ':' && strncasecmp(line, name.data, name.len) == 0) {
      return dray_str_make(line + name.len + 2, len - name.len - 2);
    }
    line += len + (line[len] == '\n');
  }
  return dray_str_of(NULL);
}

static int32_t http_read(struct dray_http_response *response, void *buffer, uint64_t capacity, uint64_t *out_bytes,
                         struct dray_error *error) {
  const char *body = response->exchange->body != NULL ? response->exchange->body : "";
  size_t left = strlen(body) - response->read_bytes;
  if (left == 0 && response->exchange->cut_code != 0) {
    return dray_fail(error, response->exchange->cut_code, "the fake body ended");
  }
  if (left > PULL_BYTES) left = PULL_BYTES;
  assert_true(capacity >= left);
  memcpy(buffer, body + response->read_bytes, left);
  response->read_bytes += left;
  *out_bytes = left;
  return DRAY_OK;
}

static void http_close(struct dray_http_response *response) {
  if (response == NULL) return;
  assert_non_null(response->fake);
  response->fake->open_answers--;
  response->fake = NULL;
}

static int32_t http_start(void *ctx, const struct dray_http_request *request, struct dray_http_pending **out,
                          struct dray_error *error) {
  struct fake_host *fake = ctx;
  (void)error;
  const size_t number = take_request(fake, request);
  note(fake, "start", number);
  pendings[number] = (struct dray_http_pending){fake, number};
  fake->open_pending++;
  *out = &pendings[number];
  return DRAY_OK;
}

static int32_t http_finish(struct dray_http_pending *pending, struct dray_http_response **out,
                           struct dray_error *error) {
  struct fake_host *fake = pending->fake;
  fake->open_pending--;
  note(fake, "finish", pending->number);
  return answer(fake, pending->number, out, error);
}

static void http_drop(struct dray_http_pending *pending) {
  if (pending == NULL) return;
  pending->fake->open_pending--;
  note(pending->fake, "drop", pending->number);
}

// ---- the others ----

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx, (void)level, (void)message;
}

static uint32_t is_cancelled(void *ctx) {
  return (uint32_t)((struct fake_host *)ctx)->cancelled;
}

static int64_t now_us(void *ctx) {
  return ((struct fake_host *)ctx)->now_us;
}

static int64_t monotonic_ms(void *ctx) {
  return now_us(ctx) / 1000;
}

static int32_t sleep_ms(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error) {
  (void)why, (void)error;
  ((struct fake_host *)ctx)->now_us += duration_ms * 1000;
  return DRAY_OK;
}

static int32_t secret_get(void *ctx, struct dray_str setting, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                          struct dray_error *error) {
  const struct fake_host *fake = ctx;
  for (size_t i = 0; fake->secrets[i] != NULL; i += 2) {
    if (!dray_str_is(setting, fake->secrets[i])) continue;
    *out_bytes = strlen(fake->secrets[i + 1]);
    assert_true(*out_bytes <= capacity);
    memcpy(buffer, fake->secrets[i + 1], *out_bytes);
    return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_CONFIG_MISSING, "there is no %.*s", DRAY_STR_ARG(setting));
}

static void secret_mask(void *ctx, struct dray_str secret) {
  struct fake_host *fake = ctx;
  const size_t at = strlen(fake->masked);
  (void)snprintf(fake->masked + at, sizeof(fake->masked) - at, "%.*s\n", DRAY_STR_ARG(secret));
}

// ---- state: the connection's own, and that of all ----

static int32_t get_from(const struct fake_state *state, char *buffer, uint64_t capacity, uint64_t *out_bytes) {
  assert_true(capacity >= state->bytes);
  memcpy(buffer, state->text, state->bytes);
  *out_bytes = state->bytes;
  return DRAY_OK;
}

static int32_t put_to(struct fake_host *fake, struct fake_state *state, struct dray_str value, const char *what,
                      struct dray_error *error) {
  assert_true(fake->is_locked);
  if (fake->put_fail_code != 0 && fake->put_count >= fake->put_fail_from)
    return dray_fail(error, fake->put_fail_code, "the fake store failed");
  assert_true(value.len < sizeof(state->text));
  if (value.len > 0) memcpy(state->text, value.data, value.len);
  state->bytes = value.len;
  state->text[value.len] = '\0';
  note(fake, what, (size_t)fake->put_count++);
  return DRAY_OK;
}

static int32_t own_get(void *ctx, struct dray_str key, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                       struct dray_error *error) {
  (void)error;
  assert_true(dray_str_is(key, "oauth") || dray_str_is(key, "token"));
  return get_from(&((const struct fake_host *)ctx)->own, buffer, capacity, out_bytes);
}

static int32_t own_put(void *ctx, struct dray_str key, struct dray_str value, struct dray_error *error) {
  struct fake_host *fake = ctx;
  assert_true(dray_str_is(key, "oauth") || dray_str_is(key, "token"));
  return put_to(fake, &fake->own, value, fake->without_shared_state ? "put" : "own", error);
}

static struct fake_state *shared_of(struct fake_host *fake, struct dray_str key) {
  for (size_t i = 0; i < FAKE_SHARED_MAX; i++) {
    struct fake_state *state = &fake->shared[i];
    if (state->key[0] == '\0') (void)snprintf(state->key, sizeof(state->key), "%.*s", DRAY_STR_ARG(key));
    if (dray_str_is(key, state->key)) return state;
  }
  fail_msg("no place for %.*s", DRAY_STR_ARG(key));
  return NULL;
}

static int32_t shared_get(void *ctx, struct dray_str key, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                          struct dray_error *error) {
  (void)error;
  return get_from(shared_of(ctx, key), buffer, capacity, out_bytes);
}

static int32_t shared_put(void *ctx, struct dray_str key, struct dray_str value, struct dray_error *error) {
  return put_to(ctx, shared_of(ctx, key), value, "put", error);
}

static int32_t state_lock(void *ctx, struct dray_str key, int64_t timeout_ms, struct dray_error *error) {
  struct fake_host *fake = ctx;
  (void)key, (void)error;
  assert_true(timeout_ms > 0);
  assert_false(fake->is_locked);
  fake->is_locked = 1;
  fake->lock_count++;
  return DRAY_OK;
}

static void state_unlock(void *ctx, struct dray_str key) {
  (void)key;
  assert_true(((struct fake_host *)ctx)->is_locked);
  ((struct fake_host *)ctx)->is_locked = 0;
}

// Another byte each time, the same ones in each test.
static void random_fill(void *ctx, void *buffer, uint64_t buffer_bytes) {
  memset(buffer, 0x55 + ((struct fake_host *)ctx)->random_count++, buffer_bytes);
}

static const void *service(void *ctx, uint32_t id) {
  static struct dray_log_service log = {.struct_size = sizeof(log), .level = DRAY_LOG_ERROR, .write = log_write};
  static struct dray_cancel_service cancel = {.struct_size = sizeof(cancel), .cancelled = is_cancelled};
  static struct dray_clock_service clock = {
      .struct_size = sizeof(clock), .now_us = now_us, .monotonic_ms = monotonic_ms, .sleep_ms = sleep_ms};
  static struct dray_http_service http = {.struct_size = sizeof(http),
                                          .open = http_open,
                                          .status = http_status,
                                          .header = http_header,
                                          .read = http_read,
                                          .close = http_close,
                                          .start = http_start,
                                          .finish = http_finish,
                                          .drop = http_drop};
  static struct dray_secrets_service secrets = {.get = secret_get, .mask = secret_mask};
  static struct dray_state_service state = {
      .struct_size = sizeof(state), .get = own_get, .put = own_put, .lock = state_lock, .unlock = state_unlock};
  static struct dray_state_service shared = {
      .struct_size = sizeof(shared), .get = shared_get, .put = shared_put, .lock = state_lock, .unlock = state_unlock};
  static const struct dray_metrics_service metrics = {.struct_size = sizeof(metrics)};
  static struct dray_random_service random_bytes = {.struct_size = sizeof(random_bytes), .fill = random_fill};
  const struct fake_host *fake = ctx;
  cancel.ctx = clock.ctx = http.ctx = secrets.ctx = state.ctx = shared.ctx = random_bytes.ctx = ctx;
  secrets.struct_size = fake->without_mask ? offsetof(struct dray_secrets_service, mask) : sizeof(secrets);
  const void *const services[] = {NULL,
                                  &log,
                                  &cancel,
                                  &clock,
                                  &http,
                                  &secrets,
                                  &state,
                                  &metrics,
                                  &random_bytes,
                                  NULL,
                                  fake->without_shared_state ? NULL : &shared};
  return id < sizeof(services) / sizeof(services[0]) ? services[id] : NULL;
}

void fake_host_again(struct fake_host *fake, const struct fake_exchange *exchanges, size_t exchange_count) {
  fake->exchanges = exchanges;
  fake->exchange_count = exchange_count;
  fake->request_count = 0;
  fake->put_count = fake->lock_count = 0;
  fake->events[0] = fake->masked[0] = '\0';
  assert_int_equal(dray_services_init(&fake->services, &fake->host, NULL), DRAY_OK);
}

void fake_host_init(struct fake_host *fake, const struct fake_exchange *exchanges, size_t exchange_count) {
  memset(fake, 0, sizeof(*fake));
  fake->host = (struct dray_host){
      .struct_size = sizeof(fake->host), .abi_minor = DRAY_ABI_MINOR, .ctx = fake, .service = service};
  fake->now_us = INT64_C(1700000000000000);
  fake_host_again(fake, exchanges, exchange_count);
}

void fake_host_expect_idle(const struct fake_host *fake) {
  assert_int_equal(fake->open_answers, 0);
  assert_int_equal(fake->open_pending, 0);
  assert_int_equal(fake->is_locked, 0);
}
