// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One request on libcurl. Nothing runs in the background: whoever waits for a head or for bytes drives all transfers
// of the client, and a body that nobody takes is paused, so that it waits in the network and not in memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define POLL_SLICE_MS 100   // how soon a cancel is noticed
#define SHOWN_AFTER_MS 1000 // shorter waits are not worth telling
#define KEEP_IDLE_S 60 // many servers close earlier; a kept connection that is closed meanwhile is noticed before use
#define TRICKLE_BYTES_PER_S 10 // less than this over the stall time is no progress

// ---- callbacks: on the thread that drives ----

// A request is about to be written. libcurl by itself writes a request again when a kept connection turns out to be
// closed without an answer; the first may have been received, so that only what may be repeated goes on. It does the
// same, up to five times at once, when HTTP/2 refuses a stream: once is enough, later attempts are ours and wait.
static int on_connected(void *ctx, char *remote_ip, char *local_ip, int remote_port, int local_port) {
  (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
  struct dray_http_response *response = ctx;
  if (response->connected_count > response->resends) {
    response->barred = 1;
    return CURL_PREREQFUNC_ABORT;
  }
  response->connected_count++;
  response->refused = 0;
  response->stream_id = 0;
  return CURL_PREREQFUNC_OK;
}

static size_t stop(struct dray_http_response *response, int32_t code) {
  response->abort_code = code;
  return CURL_WRITEFUNC_ERROR;
}

static void take_status(struct dray_http_response *response, const char *line, size_t len) {
  const char *space = memchr(line, ' ', len);
  response->status = 0;
  if (space == NULL || (size_t)(line + len - space) < 4) return;
  for (int i = 1; i <= 3; i++) response->status = response->status * 10 + (space[i] - '0');
}

static int32_t take_header(struct dray_http_response *response, const char *line, size_t len) {
  const char *colon = memchr(line, ':', len);
  if (colon == NULL || colon == line) return DRAY_OK;
  const char *value = colon + 1;
  const char *end = line + len;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  DRAY_TRY(dray_buffer_append(&response->head, line, (size_t)(colon - line), NULL));
  DRAY_TRY(dray_buffer_append_char(&response->head, '\0', NULL));
  DRAY_TRY(dray_buffer_append(&response->head, value, (size_t)(end - value), NULL));
  return dray_buffer_append_char(&response->head, '\0', NULL);
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx) {
  struct dray_http_response *response = ctx;
  const size_t bytes = size * count;
  size_t len = bytes;
  response->head_bytes += bytes;
  if (response->head_bytes > DR_HTTP_HEADER_BYTES_MAX) return stop(response, DRAY_E_LIMIT);
  if (response->head_done) return bytes; // a trailer
  while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r')) len--;
  if (len == 0) {
    if (response->status >= 200) response->head_done = 1; // what came was not only "100 Continue"
    return bytes;
  }
  if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
    dray_buffer_clear(&response->head);
    take_status(response, data, len);
    return bytes;
  }
  const int32_t code = take_header(response, data, len);
  return code == DRAY_OK ? bytes : stop(response, code);
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx) {
  struct dray_http_response *response = ctx;
  const size_t len = size * count;
  if (response->wire_len + len > DR_HTTP_WIRE_BYTES) {
    response->paused = 1;
    return CURL_WRITEFUNC_PAUSE; // libcurl keeps this piece and gives it again
  }
  if (response->wire_at + response->wire_len + len > DR_HTTP_WIRE_BYTES) {
    memmove(response->wire, response->wire + response->wire_at, response->wire_len);
    response->wire_at = 0;
  }
  if (len > 0) memcpy(response->wire + response->wire_at + response->wire_len, data, len);
  response->wire_len += len;
  response->received_bytes += len;
  dr_board_beat();
  return len;
}

// ---- starting ----

// The first failure sticks; all options are known to the libcurl we build with.
#define SET(option, value)                                                                                             \
  do {                                                                                                                 \
    if (rc == CURLE_OK) rc = curl_easy_setopt(response->easy, option, value);                                          \
  } while (0)

static CURLcode set_body(struct dray_http_response *response, const struct dr_http_plan *plan) {
  CURLcode rc = CURLE_OK;
  const char *method = plan->method->name;
  const int sends_length =
      plan->body.len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
  if (strcmp(method, "HEAD") == 0) {
    SET(CURLOPT_NOBODY, 1L);
  } else if (sends_length) {
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)plan->body.len);
    SET(CURLOPT_POSTFIELDS, plan->body.len > 0 ? plan->body.data : ""); // not copied
  }
  SET(CURLOPT_CUSTOMREQUEST, method);
  return rc;
}

static CURLcode set_trust(struct dray_http_response *response, const struct dr_http_url *url) {
  CURLcode rc = CURLE_OK;
  const char *bundle = getenv("CURL_CA_BUNDLE");
  const char *folder = getenv("SSL_CERT_DIR");
  if (bundle == NULL || *bundle == '\0') bundle = getenv("SSL_CERT_FILE");
  if (bundle != NULL && *bundle != '\0') SET(CURLOPT_CAINFO, bundle);
  if (folder != NULL && *folder != '\0') SET(CURLOPT_CAPATH, folder);
  SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  SET(CURLOPT_SSL_VERIFYPEER, url->loopback ? 0L : 1L);
  SET(CURLOPT_SSL_VERIFYHOST, url->loopback ? 0L : 2L);
  // What is meant for this machine is not shown to a proxy.
  if (url->loopback) SET(CURLOPT_PROXY, "");
  return rc;
}

static int is_safe(const struct dr_http_method *method) {
  return method->redirected; // GET and HEAD: nothing is lost by repeating them
}

static CURLcode set_options(struct dray_http_response *response, const struct dr_http_plan *plan) {
  CURLcode rc = CURLE_OK;
  const int64_t connect_ms = response->http->tuning.connect_timeout_ms;
  SET(CURLOPT_CURLU, plan->url.parts);
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
  SET(CURLOPT_HTTP09_ALLOWED, 0L);
  SET(CURLOPT_FOLLOWLOCATION, 0L);
  SET(CURLOPT_HTTP_CONTENT_DECODING, 0L); // http_body.c
  SET(CURLOPT_HTTPHEADER, plan->foreign ? plan->foreign_headers : plan->headers);
  SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms < plan->timeout_ms ? connect_ms : plan->timeout_ms));
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_TCP_KEEPALIVE, 1L);
  SET(CURLOPT_FRESH_CONNECT, plan->fresh ? 1L : 0L);
  SET(CURLOPT_MAXAGE_CONN, (long)KEEP_IDLE_S);
  SET(CURLOPT_ERRORBUFFER, response->detail);
  SET(CURLOPT_PRIVATE, response);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, response);
  SET(CURLOPT_BUFFERSIZE, (long)DR_HTTP_RECEIVE_BYTES);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, response);
  SET(CURLOPT_PREREQFUNCTION, on_connected);
  SET(CURLOPT_PREREQDATA, response);
  if (!is_safe(plan->method)) {
    SET(CURLOPT_DEBUGFUNCTION, dr_http_refusal_line);
    SET(CURLOPT_DEBUGDATA, response);
    SET(CURLOPT_VERBOSE, 1L);
  }
#if LIBCURL_VERSION_NUM >= 0x075700
  SET(CURLOPT_QUICK_EXIT, 1L); // a cancel does not wait for a resolver thread
#endif
  if (rc == CURLE_OK) rc = set_trust(response, &plan->url);
  if (rc == CURLE_OK) rc = set_body(response, plan);
  return rc;
}

static CURL *take_idle(struct dr_http *http) {
  if (http->idle_count == 0) return curl_easy_init();
  return http->idle[--http->idle_count];
}

int32_t dr_http_transfer_start(struct dr_http *http, const struct dr_http_plan *plan, struct dray_http_response **out,
                               struct dray_error *error) {
  struct dray_http_response *response = calloc(1, sizeof *response);
  if (response == NULL) goto no_memory;
  response->http = http;
  response->method = plan->method->name;
  response->idempotent = plan->idempotent;
  // Who wants the first outcome of a write is not to be told that of the second: 404 for what is deleted already.
  response->resends = plan->idempotent && (is_safe(plan->method) || (plan->flags & DRAY_HTTP_NO_RETRY) == 0);
  response->timeout_ms = plan->timeout_ms;
  response->awaited = (plan->flags & DRAY_HTTP_AWAITED) != 0;
  response->body_bytes_max = plan->response_bytes_max;
  memcpy(response->safe_url, plan->url.safe, sizeof response->safe_url);
  memcpy(response->host, plan->url.host, sizeof response->host);
  dray_error_init(&response->failed);
  dray_buffer_init(&response->head, (size_t)2 * DR_HTTP_HEADER_BYTES_MAX);
  response->wire = malloc(DR_HTTP_WIRE_BYTES);
  response->easy = take_idle(http);
  if (response->wire == NULL || response->easy == NULL || set_options(response, plan) != CURLE_OK) goto no_memory;
  if (curl_multi_add_handle(http->multi, response->easy) != CURLM_OK) goto no_memory;
  *out = response;
  return DRAY_OK;
no_memory:
  if (response != NULL) {
    curl_easy_cleanup(response->easy);
    free(response->wire);
    free(response);
  }
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a request to %s", plan->url.safe);
}

// ---- driving ----

static void collect(struct dr_http *http) {
  int left = 0;
  const CURLMsg *message;
  while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
    char *private = NULL;
    if (message->msg != CURLMSG_DONE) continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
    struct dray_http_response *response = (struct dray_http_response *)(void *)private;
    response->done = 1;
    response->result = message->data.result;
  }
}

static int is_ready(const struct dray_http_response *response, int until) {
  if (response->done) return 1;
  return until == DR_HTTP_UNTIL_HEAD ? response->head_done : response->wire_len > 0;
}

// Ends a transfer for a reason of ours.
static int32_t give_up(struct dray_http_response *response, int32_t code, struct dray_error *error,
                       const char *reason) {
  const int doubt = !response->idempotent && dr_http_transfer_sent(response);
  dray_fail(error, code, "%s %s: %s%s", response->method, response->safe_url, reason,
            doubt ? "; the request may have been received" : "");
  dr_http_mark_doubt(response, error);
  response->done = 1;
  response->result = CURLE_ABORTED_BY_CALLBACK;
  return code;
}

// A body must bring a trickle within each stall window.
static int stalled(struct dray_http_response *response, int64_t spent_ms) {
  const int64_t stall_ms = response->http->tuning.stall_ms;
  if (!response->head_done) return 0; // the whole time-out bounds the wait for the head
  if (response->window_at_ms != 0 && spent_ms - response->window_at_ms < stall_ms) return 0;
  const uint64_t brought = response->received_bytes - response->window_bytes;
  const int first = response->window_at_ms == 0;
  response->window_at_ms = spent_ms > 0 ? spent_ms : 1;
  response->window_bytes = response->received_bytes;
  return !first && brought < (uint64_t)stall_ms * TRICKLE_BYTES_PER_S / 1000;
}

// What spends something that only its answer replaces is awaited, for a while, and whoever watches the run is told.
static int32_t check_cancel(struct dray_http_response *response, int64_t spent_ms, struct dray_error *error) {
  if (!dr_cancelled()) return DRAY_OK;
  const int awaited = response->awaited && dr_http_transfer_sent(response);
  if (awaited && response->await_until_ms == 0) {
    const int64_t left_ms = response->timeout_ms - spent_ms, most_ms = response->http->tuning.await_ms;
    response->await_until_ms = spent_ms + (left_ms < most_ms ? left_ms : most_ms);
    dr_board_hold(response->await_until_ms - spent_ms);
  }
  if (awaited && spent_ms < response->await_until_ms) return DRAY_OK;
  return give_up(response, DRAY_E_CANCELLED, error, "the run was asked to end");
}

static int32_t check_patience(struct dray_http_response *response, int64_t spent_ms, struct dray_error *error) {
  char reason[96];
  DRAY_TRY(check_cancel(response, spent_ms, error));
  if (spent_ms >= response->timeout_ms) {
    const int32_t code = response->connected_count > 0 ? DRAY_E_NET_TIMEOUT : DRAY_E_NET_CONNECT;
    snprintf(reason, sizeof reason, "no complete answer within %lld ms", (long long)response->timeout_ms);
    return give_up(response, code, error, reason);
  }
  if (stalled(response, spent_ms)) {
    snprintf(reason, sizeof reason, "the body stood still for %lld ms", (long long)response->http->tuning.stall_ms);
    return give_up(response, DRAY_E_NET_TIMEOUT, error, reason);
  }
  return DRAY_OK;
}

static void show_wait(const struct dray_http_response *response, int64_t left_ms) {
  char why[128];
  snprintf(why, sizeof why, "an answer from %.100s", response->host);
  dr_board_wait(left_ms, why);
}

int32_t dr_http_transfer_advance(struct dray_http_response *response, int until, struct dray_error *error) {
  CURLM *multi = response->http->multi;
  const int64_t begun_ms = dr_monotonic_ms();
  int64_t spent_ms = response->spent_ms;
  int shown = 0, running = 0;
  int32_t code = DRAY_OK;
  while (code == DRAY_OK) {
    CURLMcode rc = curl_multi_perform(multi, &running);
    collect(response->http);
    if (rc == CURLM_OK && is_ready(response, until)) break;
    spent_ms = response->spent_ms + (dr_monotonic_ms() - begun_ms);
    code = check_patience(response, spent_ms, error);
    if (code != DRAY_OK) break;
    if (!shown && dr_monotonic_ms() - begun_ms >= SHOWN_AFTER_MS) {
      show_wait(response, response->timeout_ms - spent_ms);
      shown = 1;
    }
    if (rc == CURLM_OK) rc = curl_multi_poll(multi, NULL, 0, POLL_SLICE_MS, NULL);
    if (rc != CURLM_OK) code = give_up(response, DRAY_E_INTERNAL, error, curl_multi_strerror(rc));
  }
  response->spent_ms += dr_monotonic_ms() - begun_ms;
  if (shown) dr_board_wait(0, NULL);
  return code;
}

int dr_http_transfer_sent(const struct dray_http_response *response) {
  long head_bytes = 0;
  if (response->connected_count == 0) return 0;
  if (response->connected_count == 1 && response->refused) return 0;
  if (response->connected_count > 1 || response->barred || response->easy == NULL) return 1;
  curl_easy_getinfo(response->easy, CURLINFO_REQUEST_SIZE, &head_bytes);
  return head_bytes > 0;
}

void dr_http_transfer_unpause(struct dray_http_response *response) {
  if (!response->paused || response->done || response->wire_len > DR_HTTP_WIRE_BYTES / 2) return;
  response->paused = 0;
  const CURLcode rc = curl_easy_pause(response->easy, CURLPAUSE_CONT); // may call on_body at once
  if (rc != CURLE_OK && !response->done) {
    response->done = 1;
    response->result = rc;
  }
}

void dr_http_transfer_end(struct dray_http_response *response) {
  struct dr_http *http = response->http;
  int running = 0;
  if (response->easy == NULL) return;
  if (!response->done) { // the last bytes may be here already: then the connection can be kept
    curl_multi_perform(http->multi, &running);
    collect(http);
  }
  // libcurl's reset leaves the mark of a refused stream on a handle, where it would speak for the next request.
  const int clean =
      response->connected_count == 1 && !response->barred && response->head_done && response->result == CURLE_OK;
  curl_multi_remove_handle(http->multi, response->easy);
  curl_easy_reset(response->easy);
  if (clean && http->idle_count < DR_HTTP_IDLE_HANDLES_MAX) {
    http->idle[http->idle_count++] = response->easy;
  } else {
    curl_easy_cleanup(response->easy);
  }
  response->easy = NULL;
}

struct dray_str dr_http_response_header(const struct dray_http_response *response, struct dray_str name) {
  const char *at = response->head.data;
  const char *end = at + response->head.len;
  while (at != NULL && at < end) {
    const size_t name_len = strlen(at);
    const char *value = at + name_len + 1;
    const size_t value_len = strlen(value);
    if (name_len == name.len && strncasecmp(at, name.data, name_len) == 0) return dray_str_make(value, value_len);
    at = value + value_len + 1;
  }
  return dray_str_make(NULL, 0);
}
