// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The HTTP service as plugins see it: one exchange is attempts, redirects and waits until there is an answer to hand
// over or an error to report. Every error leaves through report(), which masks secrets.
#include "plugin/http.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/redact.h"
#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define EXCERPT_BYTES_MAX 200
#define EXCERPT_READ_BYTES 1024
#define EXCERPT_PATIENCE_MS 2000 // an error's body is worth this much waiting
#define DRAIN_BYTES_MAX 65536    // reading this much is cheaper than a new connection
#define DRAIN_PATIENCE_MS 500
#define CONNECTIONS_KEPT 16L

static const struct dr_http_tuning default_tuning = {.backoff_base_ms = 500,
                                                     .backoff_max_ms = 30000,
                                                     .retry_after_max_ms = 300000,
                                                     .connect_timeout_ms = 10000,
                                                     .stall_ms = 60000,
                                                     .await_ms = 30000};

// ---- answers ----

static void leave_gate(struct dray_http_response *response) {
  if (response->gate != NULL) dr_gate_leave(response->gate, response->place);
  response->place = -1;
}

void dr_http_response_free(struct dray_http_response *response) {
  if (response == NULL) return;
  dr_http_transfer_end(response);
  dr_http_body_end(response);
  leave_gate(response);
  if (response->gate != NULL) dr_gate_put(response->gate);
  dray_buffer_free(&response->head);
  free(response->wire);
  dr_http_plan_free(&response->plan);
  free(response);
}

// At least one byte, the end (0), or an error.
static int32_t pull(struct dray_http_response *response, char *buffer, size_t capacity, size_t *out_bytes,
                    struct dray_error *error) {
  size_t bytes = 0;
  for (;;) {
    if (response->body_done) break;
    DRAY_TRY(dr_http_body_take(response, buffer, capacity, &bytes, error));
    if (bytes > 0 || response->body_done) break;
    DRAY_TRY(dr_http_transfer_advance(response, DR_HTTP_UNTIL_BODY, error));
  }
  if (response->body_done) leave_gate(response);
  *out_bytes = bytes;
  return DRAY_OK;
}

// Reads up to `capacity` bytes of what nobody will be handed, with little patience. Returns how many there were.
static size_t pull_rest(struct dray_http_response *response, char *buffer, size_t capacity, int64_t patience_ms) {
  struct dray_error ignored;
  size_t total = 0, bytes = 1;
  dray_error_init(&ignored);
  const int64_t until_ms = response->spent_ms + patience_ms;
  if (response->timeout_ms > until_ms) response->timeout_ms = until_ms;
  while (bytes > 0 && total < capacity) {
    if (pull(response, buffer + total, capacity - total, &bytes, &ignored) != DRAY_OK) break;
    total += bytes;
  }
  return total;
}

// Lets go of an answer that will not be handed over, keeping the connection if its rest is short.
static void discard(struct dray_http_response *response) {
  char rest[4096];
  size_t total = 0, bytes = 1;
  while (bytes > 0 && total < DRAIN_BYTES_MAX && !response->body_done && !response->done) {
    bytes = pull_rest(response, rest, sizeof rest, DRAIN_PATIENCE_MS);
    total += bytes;
  }
  dr_http_response_free(response);
}

static int64_t retry_after_ms(const struct dray_http_response *response) {
  return dr_http_retry_after_ms(dr_http_response_header(response, dray_str_of("Retry-After")),
                                dr_http_response_header(response, dray_str_of("Date")), (int64_t)time(NULL));
}

// A status that becomes an error; the answer is read for its first words and let go.
static int32_t fail_status(struct dray_http_response *response, struct dray_error *error) {
  char excerpt[EXCERPT_READ_BYTES + 1];
  const int32_t status = response->status;
  const int32_t code = dr_http_status_code(status);
  const int64_t wait_ms = retry_after_ms(response);
  size_t len = pull_rest(response, excerpt, EXCERPT_READ_BYTES, EXCERPT_PATIENCE_MS);
  len = dr_redact(excerpt, len); // before the cut: half a secret would not be found
  len = dr_http_clean_excerpt(excerpt, len, EXCERPT_BYTES_MAX);
  dray_fail(error, code, "%s %s answered %d%s%s", response->method, response->safe_url, status, len > 0 ? ": " : "",
            excerpt);
  error->http_status = status;
  error->retry_after_ms = wait_ms > 0 ? wait_ms : 0;
  // A server that failed may have failed after it had done the work; one that says when to come again has not begun.
  const int not_begun = status == 501 || status == 505 || (status == 503 && wait_ms >= 0);
  if (status >= 500 && !not_begun) dr_http_mark_doubt(response, error);
  discard(response);
  return code;
}

// ---- one attempt ----

// The keys that a plugin names are those of an account, which other processes use as well.
static struct dr_gate_terms gate_terms(const struct dr_http *http, const struct dr_http_plan *plan) {
  return (struct dr_gate_terms){.key = dray_str_of(plan->rate_key != NULL ? plan->rate_key : plan->url.host),
                                .folder = plan->rate_key != NULL ? http->folder : NULL,
                                .per_second = plan->rate_per_second,
                                .capacity = plan->rate_burst,
                                .places_max = plan->concurrency_max};
}

// An instance that already holds a place somewhere is not made to wait for another one: it might wait for itself.
static int is_nested(const struct dr_http *http) {
  for (const struct dray_http_response *open = http->open; open != NULL; open = open->next) {
    if (open->place >= 0) return 1;
  }
  return dr_http_ahead_begun(http);
}

int32_t dr_http_begin(struct dr_http *http, const struct dr_http_plan *plan, int wait, struct dray_http_response **out,
                      struct dray_error *error) {
  const struct dr_gate_terms terms = gate_terms(http, plan);
  struct dr_gate *gate = NULL;
  struct dray_http_response *response = NULL;
  int place = -1;
  DRAY_TRY(dr_gate_get(&terms, &gate, error));
  int32_t code = DRAY_OK;
  int in = 1;
  if (wait) {
    code = dr_gate_enter(gate, &terms, 1, is_nested(http), &place, error);
  } else {
    in = dr_gate_try(gate, &terms, 1, &place);
  }
  if (code == DRAY_OK && in) {
    code = dr_http_transfer_start(http, plan, &response, error);
    if (code != DRAY_OK) dr_gate_leave(gate, place);
  }
  if (response == NULL) {
    dr_gate_put(gate);
    *out = NULL;
    return code;
  }
  response->gate = gate;
  response->place = place;
  *out = response;
  return DRAY_OK;
}

// Up to the head of an answer. `response`: as it was begun, taken over; NULL: it is begun here. *out_retry on failure:
// another attempt is allowed and may help.
static int32_t attempt(struct dr_http *http, const struct dr_http_plan *plan, struct dray_http_response *response,
                       struct dray_http_response **out, int *out_retry, struct dray_error *error) {
  int retry = 0;
  *out_retry = 0;
  if (response == NULL) DRAY_TRY(dr_http_begin(http, plan, 1, &response, error));
  int32_t code = dr_http_transfer_advance(response, DR_HTTP_UNTIL_HEAD, error);
  if (code != DRAY_OK) {
    retry = code == DRAY_E_NET_TIMEOUT || code == DRAY_E_NET_CONNECT;
  } else if (!response->head_done) {
    code = dr_http_fail_transfer(response, &retry, error);
  } else {
    code = dr_http_body_begin(response, error);
    if (code != DRAY_OK) dr_http_mark_doubt(response, error);
  }
  if (code == DRAY_OK) {
    *out = response;
    return DRAY_OK;
  }
  *out_retry = retry && (plan->idempotent || !dr_http_transfer_sent(response));
  dr_http_response_free(response);
  return code;
}

// ---- redirects ----

static int is_redirect(const struct dray_http_response *response) {
  const int32_t status = response->status;
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Points the plan at where the answer says. The answer stays the caller's.
static int32_t follow(struct dr_http_plan *plan, const struct dray_http_response *response, int redirect_count,
                      struct dray_error *error) {
  struct dr_http_url next;
  if (redirect_count >= DR_HTTP_REDIRECTS_MAX) {
    return dray_fail(error, DRAY_E_HTTP_REDIRECT, "more than %d redirects, the last from %s", DR_HTTP_REDIRECTS_MAX,
                     plan->url.safe);
  }
  DRAY_TRY(dr_http_url_follow(&plan->url, dr_http_response_header(response, dray_str_of("Location")), &next, error));
  if (!dr_http_url_same_origin(&plan->url, &next)) plan->foreign = 1; // and stays so, whatever follows
  if (plan->foreign && plan->body.len > 0) {
    const int32_t code =
        dray_fail(error, DRAY_E_HTTP_REDIRECT, "%s redirects a request with a body to %s", plan->url.safe, next.safe);
    dr_http_url_free(&next);
    return code;
  }
  dr_http_url_free(&plan->url);
  plan->url = next;
  return DRAY_OK;
}

static int32_t refuse_redirect(struct dray_http_response *response, struct dray_error *error) {
  const int32_t status = response->status;
  dray_fail(error, DRAY_E_HTTP_REDIRECT, "%s %s answered %d: redirects are followed for GET and HEAD only",
            response->method, response->safe_url, status);
  error->http_status = status;
  if (status == 303) dr_http_mark_doubt(response, error); // "see other": what was asked is done
  discard(response);
  return DRAY_E_HTTP_REDIRECT;
}

// ---- the exchange ----

static int32_t wait_to_retry(struct dr_http *http, int64_t wait_ms, int32_t attempts, const struct dr_http_plan *plan,
                             const char *reason, struct dray_error *error) {
  dr_log(DRAY_LOG_INFO, http->label, "%s %s: %s; attempt %d of %d in %lld ms", plan->method->name, plan->url.safe,
         reason, attempts + 1, plan->attempts_max, (long long)wait_ms);
  dr_board_wait(wait_ms, reason);
  const int32_t code = dr_cancel_sleep(wait_ms, error);
  dr_board_wait(0, NULL);
  return code;
}

// Whether this answer should be asked for again, and when.
static int wants_retry(struct dr_http *http, const struct dr_http_plan *plan, const struct dray_http_response *response,
                       int32_t attempts, int64_t *out_wait_ms) {
  const int64_t after_ms = retry_after_ms(response);
  const int told = (response->status == 429 || response->status == 503) && after_ms >= 0;
  if (told && after_ms <= http->tuning.retry_after_max_ms)
    dr_gate_hold(response->gate, after_ms); // for all who use the key
  if (response->status < 400 || (plan->flags & DRAY_HTTP_NO_RETRY) != 0 || attempts >= plan->attempts_max) return 0;
  if (!dr_http_status_retryable(response->status, plan->idempotent, after_ms >= 0)) return 0;
  if (after_ms > http->tuning.retry_after_max_ms) return 0;
  // Never earlier than asked, and not all at the same moment.
  *out_wait_ms = after_ms >= 0 ? after_ms + dr_http_jitter_ms(http->tuning.backoff_base_ms / 2)
                               : dr_http_backoff_ms(&http->tuning, attempts);
  return 1;
}

static void log_answer(const struct dr_http *http, const struct dray_http_response *response) {
  if (dr_log_level() < DRAY_LOG_DEBUG) return;
  dr_log(DRAY_LOG_DEBUG, http->label, "%s %s -> %d after %lld ms", response->method, response->safe_url,
         response->status, (long long)response->spent_ms);
}

// What to do with a complete head: hand it over (*out is set), go on (*out stays NULL), or an error. Consumes
// `response`.
static int32_t judge(struct dr_http *http, struct dr_http_plan *plan, struct dray_http_response *response,
                     int32_t *attempts, int *redirect_count, struct dray_http_response **out,
                     struct dray_error *error) {
  int64_t wait_ms = 0;
  log_answer(http, response);
  if (is_redirect(response) && plan->method->redirected) {
    const int32_t code = follow(plan, response, (*redirect_count)++, error);
    if (code != DRAY_OK) error->http_status = response->status;
    discard(response);
    *attempts = 0;
    return code;
  }
  if (wants_retry(http, plan, response, *attempts, &wait_ms)) {
    char reason[320];
    snprintf(reason, sizeof reason, "%d from %s", response->status, response->host);
    discard(response);
    return wait_to_retry(http, wait_ms, *attempts, plan, reason, error);
  }
  if ((plan->flags & DRAY_HTTP_ANY_STATUS) == 0) {
    if (is_redirect(response)) return refuse_redirect(response, error);
    if (response->status >= 400) {
      const int32_t status = response->status;
      const int32_t code = fail_status(response, error);
      // Told to wait for longer than a run may: whatever the status, this is throttling.
      if (status != 503 || error->retry_after_ms <= http->tuning.retry_after_max_ms) return code;
      error->code = DRAY_E_THROTTLED;
      error->error_class = DRAY_CLASS_THROTTLED;
      return DRAY_E_THROTTLED;
    }
  }
  *out = response;
  return DRAY_OK;
}

static int32_t answer_of(struct dr_http *http, struct dr_http_plan *plan, struct dray_http_response *begun,
                         struct dray_http_response **out, struct dray_error *error) {
  struct dray_http_response *response = NULL, *answer = NULL;
  int32_t attempts = 0;
  int redirect_count = 0;
  while (answer == NULL) {
    int retry = 0;
    const int32_t code = attempt(http, plan, begun, &response, &retry, error);
    begun = NULL;
    attempts++;
    if (code == DRAY_OK) {
      DRAY_TRY(judge(http, plan, response, &attempts, &redirect_count, &answer, error));
      if (answer == NULL) DRAY_TRY(dr_cancel_check(error));
      continue;
    }
    if (!retry || attempts >= plan->attempts_max || (plan->flags & DRAY_HTTP_NO_RETRY) != 0) return code;
    plan->fresh = 1;
    dr_redact_error(error); // before the cut: half a secret would not be found
    char reason[DRAY_ERROR_TEXT_MAX];
    memcpy(reason, error->text, sizeof reason);
    DRAY_TRY(wait_to_retry(http, dr_http_backoff_ms(&http->tuning, attempts), attempts, plan, reason, error));
    DRAY_TRY(dr_cancel_check(error));
  }
  *out = answer;
  return DRAY_OK;
}

int32_t dr_http_exchange(struct dr_http *http, struct dr_http_plan *plan, struct dray_http_response *begun,
                         struct dray_http_response **out, struct dray_error *error) {
  struct dray_http_response *response = NULL;
  if (begun == NULL) DRAY_TRY(dr_cancel_check(error));
  DRAY_TRY(answer_of(http, plan, begun, &response, error));
  response->plan = *plan; // a server may answer before it has read all
  *plan = (struct dr_http_plan){0};
  response->next = http->open;
  http->open = response;
  *out = response;
  return DRAY_OK;
}

int32_t dr_http_report(struct dray_error *to, struct dray_error *from) {
  dr_redact_error(from);
  if (to == NULL) return from->code;
  const uint32_t size = to->struct_size;
  memcpy(to, from, size < sizeof *from ? size : sizeof *from);
  to->struct_size = size;
  return from->code;
}

// ---- the service's slots ----

static int32_t http_open(void *ctx, const struct dray_http_request *request, struct dray_http_response **out,
                         struct dray_error *error) {
  struct dr_http *http = ctx;
  struct dr_http_plan plan;
  struct dray_error local;
  dray_error_init(&local);
  int32_t code = dr_http_plan_init(&plan, request, &local);
  if (code == DRAY_OK) code = dr_http_exchange(http, &plan, NULL, out, &local);
  dr_http_plan_free(&plan);
  return code == DRAY_OK ? DRAY_OK : dr_http_report(error, &local);
}

static int32_t http_status(const struct dray_http_response *response) {
  return response->status;
}

static struct dray_str http_header(const struct dray_http_response *response, struct dray_str name) {
  return dr_http_response_header(response, name);
}

static int32_t http_read(struct dray_http_response *response, void *buffer, uint64_t capacity, uint64_t *out_bytes,
                         struct dray_error *error) {
  struct dray_error local;
  size_t bytes = 0;
  dray_error_init(&local);
  if (response->failed.code != DRAY_OK) {
    local = response->failed;
    return dr_http_report(error, &local);
  }
  int32_t code = DRAY_OK;
  if (capacity == 0) {
    code = dray_fail(&local, DRAY_E_PLUGIN_CONTRACT, "a body was to be read into a buffer of no size");
    return dr_http_report(error, &local);
  }
  code = pull(response, buffer, capacity, &bytes, &local);
  if (code != DRAY_OK) {
    leave_gate(response);
    code = dr_http_report(error, &local);
    response->failed = local;
    return code;
  }
  *out_bytes = bytes;
  return DRAY_OK;
}

static void http_close(struct dray_http_response *response) {
  if (response == NULL) return;
  struct dray_http_response **at = &response->http->open;
  while (*at != NULL && *at != response) at = &(*at)->next;
  if (*at == response) *at = response->next;
  dr_http_response_free(response);
}

// ---- the client ----

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static int curl_usable;

static void init_curl(void) {
  curl_usable = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

// Tests of the whole program shorten the waits.
static void read_environment(struct dr_http_tuning *tuning) {
  const char *test = getenv("DRAY_TEST");
  const char *base = getenv("DRAY_HTTP_BACKOFF_MS");
  if (test == NULL || strcmp(test, "1") != 0 || base == NULL) return;
  const long long ms = strtoll(base, NULL, 10);
  if (ms >= 0 && ms <= tuning->backoff_max_ms) tuning->backoff_base_ms = ms;
}

struct dr_http *dr_http_new(const char *label, const char *folder) {
  pthread_once(&curl_once, init_curl);
  if (!curl_usable) return NULL;
  struct dr_http *http = calloc(1, sizeof *http);
  if (http == NULL) return NULL;
  http->label = dray_str_dup(dray_str_of(label));
  http->folder = folder != NULL ? dray_str_dup(dray_str_of(folder)) : NULL;
  http->multi = curl_multi_init();
  if (http->label == NULL || http->multi == NULL || (folder != NULL && http->folder == NULL)) {
    dr_http_free(http);
    return NULL;
  }
  curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
  // One answer a connection, HTTP/2 or not: a body that the plugin has paused must not hold up another.
  curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
  http->tuning = default_tuning;
  read_environment(&http->tuning);
  http->service = (struct dray_http_service){.struct_size = sizeof http->service,
                                             .ctx = http,
                                             .open = http_open,
                                             .status = http_status,
                                             .header = http_header,
                                             .read = http_read,
                                             .close = http_close,
                                             .start = dr_http_start,
                                             .finish = dr_http_finish,
                                             .drop = dr_http_drop};
  return http;
}

const struct dray_http_service *dr_http_service(struct dr_http *http) {
  return &http->service;
}

struct dr_http_tuning *dr_http_tuning(struct dr_http *http) {
  return &http->tuning;
}

void dr_http_free(struct dr_http *http) {
  if (http == NULL) return;
  if (http->open != NULL) dr_log(DRAY_LOG_WARN, http->label, "the plugin left HTTP answers open; they are closed now");
  while (http->ahead != NULL) dr_http_drop(http->ahead);
  while (http->open != NULL) http_close(http->open);
  while (http->idle_count > 0) curl_easy_cleanup(http->idle[--http->idle_count]);
  curl_multi_cleanup(http->multi);
  free(http->label);
  free(http->folder);
  free(http);
}
