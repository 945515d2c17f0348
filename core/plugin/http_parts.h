// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The pieces of the HTTP service, private to core/plugin/http*.c and their tests:
//   http.c          the service: an exchange as attempts, redirects and waits
//   http_request.c  a plugin's request, checked and copied
//   http_url.c      addresses: what may be asked, what is the same place, what people may see of it
//   http_retry.c    what an outcome means, and how long to wait
//   http_ahead.c    requests that were begun and that nobody waits for yet
//   http_transfer.c one request on libcurl, driven by whoever waits for it
//   http_refusal.c  what HTTP/2 says that it did not do
//   http_body.c     the body's bytes: a bounded buffer and gzip
#ifndef DR_PLUGIN_HTTP_PARTS_H
#define DR_PLUGIN_HTTP_PARTS_H

#include <curl/curl.h>
#include <zlib.h>

#include "plugin/gate.h"
#include "plugin/http.h"

#define DR_HTTP_URL_BYTES_MAX 65536
#define DR_HTTP_HEADER_BYTES_MAX (256 * 1024)       // of a request, and of an answer
#define DR_HTTP_REQUEST_BODY_BYTES_MAX (256u << 20) // before compression
#define DR_HTTP_RESPONSE_BYTES_DEFAULT (64u << 20)  // after decompression
#define DR_HTTP_TIMEOUT_DEFAULT_MS 60000
#define DR_HTTP_ATTEMPTS_DEFAULT 5
#define DR_HTTP_CONCURRENCY_DEFAULT 4
#define DR_HTTP_REDIRECTS_MAX 5
#define DR_HTTP_RECEIVE_BYTES (128 * 1024) // of the network at once
#define DR_HTTP_WIRE_BYTES (256 * 1024) // of a body, read ahead of the plugin; at least what libcurl receives at once
#define DR_HTTP_IDLE_HANDLES_MAX 8
#define DR_HTTP_IN_DOUBT "in_doubt"

// Times that tests shorten. Set before the first request.
struct dr_http_tuning {
  int64_t backoff_base_ms; // first wait; doubles
  int64_t backoff_max_ms;
  int64_t retry_after_max_ms; // a longer Retry-After is not waited for
  int64_t connect_timeout_ms;
  int64_t stall_ms; // a body that brings less than a trickle for this long is given up
  int64_t await_ms; // after a cancel, of a request that is awaited
};
struct dr_http_tuning *dr_http_tuning(struct dr_http *http);

// ---- addresses ----

struct dr_http_url {
  CURLU *parts;   // owned
  char host[256]; // lower case
  char port[8];
  int https;
  int loopback;
  char safe[512]; // for people: without the values of the query, cut when long
};
// Parses and checks: https, or http to loopback; no user or password. @errors HTTP_HOST, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_http_url_parse(struct dray_str text, struct dr_http_url *out, struct dray_error *error);
// Where a redirect leads. @errors HTTP_REDIRECT for what may not be followed, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_http_url_follow(const struct dr_http_url *from, struct dray_str location,
                                          struct dr_http_url *out, struct dray_error *error);
int dr_http_url_same_origin(const struct dr_http_url *a, const struct dr_http_url *b); // scheme, host and port
void dr_http_url_free(struct dr_http_url *url);

// ---- requests ----

struct dr_http_method {
  const char *name;
  int idempotent; // RFC 9110 §9.2.2
  int redirected; // redirects are followed
};
struct dr_http_plan {
  const struct dr_http_method *method;
  uint32_t flags;
  int idempotent;
  int gzip_body;
  struct dray_str body;               // in `body_copy`
  char *body_copy;                    // owned
  struct curl_slist *headers;         // owned: all
  struct curl_slist *foreign_headers; // owned: those that may go to another origin
  char *rate_key;                     // owned; NULL: the host's name
  double rate_per_second;
  uint32_t rate_burst, concurrency_max;
  int64_t timeout_ms;
  uint64_t response_bytes_max;
  int32_t attempts_max;
  struct dr_http_url url; // changes with redirects
  int foreign;            // 1: a redirect has left the first origin
  int fresh;              // 1: an attempt has broken; no kept connection is trusted with the next
};
// @errors PLUGIN_CONTRACT, HTTP_HOST, CONFIG_VALUE (a header's value cannot be sent), LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_http_plan_init(struct dr_http_plan *plan, const struct dray_http_request *request,
                                         struct dray_error *error);
void dr_http_plan_free(struct dr_http_plan *plan);

// ---- one request under way, and its answer ----

struct dray_http_response {
  struct dr_http *http;
  struct dray_http_response *next; // of the open ones
  struct dr_gate *gate;            // one user; NULL: none
  int place;                       // at the gate; -1: none
  const char *method;
  int idempotent;
  struct dr_http_plan plan; // owned once the answer is handed over: libcurl may still be sending it
  char safe_url[512];
  char host[256];

  CURL *easy;
  char detail[CURL_ERROR_SIZE];
  int resends;             // libcurl may send it once more by itself
  int connected_count;     // how often it was about to be written to a connection, and was let
  int barred;              // it was about to be once more, and was not let
  int refused;             // the other side has said that it did nothing of it (http_refusal.c), the last time
  unsigned long stream_id; // HTTP/2; 0: not known
  int done;                // libcurl is through with it: `result` holds
  CURLcode result;
  int32_t abort_code;           // DRAY_E_*: why a callback stopped it; 0: none did
  int64_t timeout_ms, spent_ms; // spent: inside the service only, not while the plugin does something else
  int awaited;                  // a cancel does not end it once it may have been received,
  int64_t await_until_ms;       // but then spent_ms may grow up to this; 0: no cancel was noticed

  int32_t status;
  int head_done;
  size_t head_bytes;
  struct dray_buffer head; // name NUL value NUL ...

  char *wire;               // DR_HTTP_WIRE_BYTES of the body as it came
  size_t wire_at, wire_len; // what is still to be read of it
  int paused;
  uint64_t received_bytes;
  int64_t window_at_ms; // spent_ms and received_bytes when the stall window began
  uint64_t window_bytes;

  int gzip;
  int gzip_begun;   // `inflater` is initialised
  int gzip_ended;   // at the end of a member
  int gzip_pending; // the plugin's buffer was full: more may be inside zlib
  z_stream inflater;
  uint64_t body_bytes, body_bytes_max; // decompressed
  int body_done;
  struct dray_error failed; // code 0: not failed; said again by every later read
};

enum { DR_HTTP_UNTIL_HEAD = 1, DR_HTTP_UNTIL_BODY = 2 };

// Starts a request. The plan must live until the response is freed, or be moved into it.
DRAY_NODISCARD int32_t dr_http_transfer_start(struct dr_http *http, const struct dr_http_plan *plan,
                                              struct dray_http_response **out, struct dray_error *error);
// Drives all of the client's transfers until this one has its head, or bytes of its body or its end. @errors NET_*,
// HTTP_CONTENT, LIMIT, CANCELLED.
DRAY_NODISCARD int32_t dr_http_transfer_advance(struct dray_http_response *response, int until,
                                                struct dray_error *error);
// Whether bytes of the request may have reached the other side.
int dr_http_transfer_sent(const struct dray_http_response *response);
// For libcurl's verbose lines; ctx: the response.
int dr_http_refusal_line(CURL *easy, curl_infotype type, char *line, size_t len, void *ctx);
void dr_http_transfer_unpause(struct dray_http_response *response);
// Hands the libcurl handle back; the connection is kept when it can be.
void dr_http_transfer_end(struct dray_http_response *response);
struct dray_str dr_http_response_header(const struct dray_http_response *response, struct dray_str name);

// The pool of one client: its libcurl multi handle, idle handles, open answers.
struct dr_http {
  struct dray_http_service service;
  char *label;
  CURLM *multi;
  CURL *idle[DR_HTTP_IDLE_HANDLES_MAX];
  size_t idle_count;
  struct dray_http_response *open;
  struct dray_http_pending *ahead; // in the order in which they were asked for
  char *folder;                    // where processes meet at gates; NULL: nowhere
  struct dr_http_tuning tuning;
};

// ---- exchanges (http.c) ----

// Begins a request at its gate and on libcurl: waits for its turn, or (`wait` 0) leaves *out NULL when it would have
// to.
DRAY_NODISCARD int32_t dr_http_begin(struct dr_http *http, const struct dr_http_plan *plan, int wait,
                                     struct dray_http_response **out, struct dray_error *error);
// Attempts, redirects and waits until there is an answer to hand over. `begun`: the first attempt, taken over; NULL:
// none was begun. The plan is moved into the answer.
DRAY_NODISCARD int32_t dr_http_exchange(struct dr_http *http, struct dr_http_plan *plan,
                                        struct dray_http_response *begun, struct dray_http_response **out,
                                        struct dray_error *error);
void dr_http_response_free(struct dray_http_response *response); // not among the open ones; NULL is allowed
// Hands an error over to the plugin, whose struct may be of another size, with secrets masked. Returns its code.
int32_t dr_http_report(struct dray_error *to, struct dray_error *from);

// ---- requests ahead (http_ahead.c) ----

int32_t dr_http_start(void *ctx, const struct dray_http_request *request, struct dray_http_pending **out,
                      struct dray_error *error);
int32_t dr_http_finish(struct dray_http_pending *pending, struct dray_http_response **out, struct dray_error *error);
void dr_http_drop(struct dray_http_pending *pending);
int dr_http_ahead_begun(const struct dr_http *http); // 1: one of them holds a place

// ---- bodies ----

// Moves what is there to `buffer`, decompressed. *out_bytes = 0: more must come first, or (response->body_done) it
// was the end.
DRAY_NODISCARD int32_t dr_http_body_take(struct dray_http_response *response, char *buffer, size_t capacity,
                                         size_t *out_bytes, struct dray_error *error);
// The answer's Content-Encoding. @errors HTTP_CONTENT for one that was not asked for.
DRAY_NODISCARD int32_t dr_http_body_begin(struct dray_http_response *response, struct dray_error *error);
void dr_http_body_end(struct dray_http_response *response);
DRAY_NODISCARD int32_t dr_http_gzip(struct dray_str plain, char **out, size_t *out_len, struct dray_error *error);

// ---- outcomes ----

// The error of a transfer that libcurl ended: fills code, text and in_doubt; *out_retry: the same request may do
// better next time.
int32_t dr_http_fail_transfer(const struct dray_http_response *response, int *out_retry, struct dray_error *error);
// Marks that the request may have been received.
void dr_http_mark_doubt(const struct dray_http_response *response, struct dray_error *error);
// Retry-After in ms, -1 when there is none or it does not parse. `date` is the answer's Date, which makes up for
// clocks that differ.
int64_t dr_http_retry_after_ms(struct dray_str value, struct dray_str date, int64_t now_s);
// Whether this status is worth another attempt.
int dr_http_status_retryable(int32_t status, int idempotent, int has_retry_after);
int64_t dr_http_backoff_ms(const struct dr_http_tuning *tuning, int32_t attempt); // attempt from 1; jittered
int64_t dr_http_jitter_ms(int64_t duration_ms);                                   // 0 .. duration_ms, at random
int32_t dr_http_status_code(int32_t status);                                      // DRAY_E_* of a status from 400
// Makes the start of a body fit for a message: one line, no control characters, valid UTF-8. Returns the length;
// `text` gets a NUL.
size_t dr_http_clean_excerpt(char *text, size_t len, size_t len_max);

#endif // DR_PLUGIN_HTTP_PARTS_H
