// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What an outcome means: libcurl's results and HTTP's statuses as dray errors, whether another attempt is worth it
// and after how long. Decides; never waits.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

// How libcurl's results read. `retry`: the same request may do better next time, as far as the result goes.
static const struct {
  CURLcode result;
  int32_t code;
  int retry;
} results[] = {
    {CURLE_COULDNT_RESOLVE_HOST, DRAY_E_NET_RESOLVE, 1},
    {CURLE_COULDNT_RESOLVE_PROXY, DRAY_E_NET_RESOLVE, 1},
    {CURLE_COULDNT_CONNECT, DRAY_E_NET_CONNECT, 1},
    {CURLE_PROXY, DRAY_E_NET_CONNECT, 1},
    {CURLE_INTERFACE_FAILED, DRAY_E_NET_CONNECT, 1},
    {CURLE_SSL_CONNECT_ERROR, DRAY_E_NET_TLS, 1}, // also a connection that broke in the handshake
    {CURLE_PEER_FAILED_VERIFICATION, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_CACERT_BADFILE, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_ISSUER_ERROR, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_CERTPROBLEM, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_CIPHER, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_ENGINE_INITFAILED, DRAY_E_NET_TLS, 0},
    {CURLE_SSL_INVALIDCERTSTATUS, DRAY_E_NET_TLS, 0},
    {CURLE_OPERATION_TIMEDOUT, DRAY_E_NET_TIMEOUT, 1},
    {CURLE_GOT_NOTHING, DRAY_E_NET_CLOSED, 1},
    {CURLE_RECV_ERROR, DRAY_E_NET_CLOSED, 1},
    {CURLE_SEND_ERROR, DRAY_E_NET_CLOSED, 1},
    {CURLE_SEND_FAIL_REWIND, DRAY_E_NET_CLOSED, 1},
    {CURLE_PARTIAL_FILE, DRAY_E_NET_CLOSED, 1},
    {CURLE_HTTP2, DRAY_E_NET_CLOSED, 1},
    {CURLE_HTTP2_STREAM, DRAY_E_NET_CLOSED, 1},
    {CURLE_ABORTED_BY_CALLBACK, DRAY_E_NET_CLOSED, 1}, // only http_transfer.c's refusal to send twice
    {CURLE_WEIRD_SERVER_REPLY, DRAY_E_HTTP_CONTENT, 0},
    {CURLE_UNSUPPORTED_PROTOCOL, DRAY_E_HTTP_CONTENT, 0}, // HTTP/0.9: the peer speaks something else
    {CURLE_BAD_CONTENT_ENCODING, DRAY_E_HTTP_CONTENT, 0},
#if LIBCURL_VERSION_NUM >= 0x080600
    {CURLE_TOO_LARGE, DRAY_E_LIMIT, 0},
#endif
    {CURLE_OUT_OF_MEMORY, DRAY_E_OUT_OF_MEMORY, 0},
    {CURLE_URL_MALFORMAT, DRAY_E_HTTP_HOST, 0},
};

void dr_http_mark_doubt(const struct dray_http_response *response, struct dray_error *error) {
  if (error == NULL || response->idempotent || !dr_http_transfer_sent(response)) return;
  memcpy(error->vendor_code, DR_HTTP_IN_DOUBT, sizeof DR_HTTP_IN_DOUBT);
}

// A time-out before the request was begun is a failed connection: nothing of it can have arrived.
static int32_t time_out_code(const struct dray_http_response *response) {
  curl_off_t resolved_us = 0;
  if (response->connected_count > 0) return DRAY_E_NET_TIMEOUT;
  curl_easy_getinfo(response->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us);
  return resolved_us > 0 ? DRAY_E_NET_CONNECT : DRAY_E_NET_RESOLVE;
}

int32_t dr_http_fail_transfer(const struct dray_http_response *response, int *out_retry, struct dray_error *error) {
  int32_t code = response->abort_code;
  int retry = 0;
  const int refused = response->refused && !dr_http_transfer_sent(response);
  if (code == DRAY_OK && refused) {
    code = DRAY_E_NET_CONNECT; // all that there was is a connection
    retry = 1;
  } else if (code == DRAY_OK) {
    code = dr_http_transfer_sent(response) ? DRAY_E_NET_CLOSED : DRAY_E_NET_CONNECT;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
      if (results[i].result != response->result) continue;
      code = results[i].code;
      retry = results[i].retry;
    }
    if (response->result == CURLE_OPERATION_TIMEDOUT) code = time_out_code(response);
    // What libcurl before 8.6 says of a header line beyond 100 KiB.
    if (code == DRAY_E_OUT_OF_MEMORY && response->connected_count > 0 && !response->head_done) code = DRAY_E_LIMIT;
  }
  *out_retry = retry;
  const char *detail = response->detail[0] != '\0' ? response->detail : curl_easy_strerror(response->result);
  if (code == DRAY_E_LIMIT) detail = "the headers of the answer pass the limit of 262144 bytes, or one of them 100 KiB";
  if (response->abort_code == DRAY_E_OUT_OF_MEMORY) detail = "no memory for the answer";
  if (response->result == CURLE_ABORTED_BY_CALLBACK) detail = "the connection was closed before an answer came";
  if (refused) detail = "the other side has refused the request and done nothing of it";
  const int doubt = !response->idempotent && dr_http_transfer_sent(response);
  dray_fail(error, code, "%s %s: %s%s", response->method, response->safe_url, detail,
            doubt ? "; the request may have been received" : "");
  dr_http_mark_doubt(response, error);
  return code;
}

// Digits, with a fraction as some vendors send it, rounded up.
static int64_t parse_seconds(const char *text) {
  char *end = NULL;
  if (text[0] < '0' || text[0] > '9') return -1;
  const double seconds = strtod(text, &end);
  if (*end != '\0' || !(seconds >= 0)) return -1;
  return seconds < 1e9 ? (int64_t)(seconds * 1000.0 + 0.999) : INT64_C(1000000000000);
}

int64_t dr_http_retry_after_ms(struct dray_str value, struct dray_str date, int64_t now_s) {
  char text[64], now_text[64];
  if (value.len == 0 || value.len >= sizeof text) return -1;
  memcpy(text, value.data, value.len);
  text[value.len] = '\0';
  const int64_t ms = parse_seconds(text);
  if (ms >= 0) return ms;
  const time_t at = curl_getdate(text, NULL);
  if (at == -1) return -1;
  if (date.len > 0 && date.len < sizeof now_text) {
    memcpy(now_text, date.data, date.len);
    now_text[date.len] = '\0';
    const time_t theirs = curl_getdate(now_text, NULL);
    if (theirs != -1) now_s = theirs;
  }
  return at > now_s ? (at - now_s) * 1000 : 0;
}

int dr_http_status_retryable(int32_t status, int idempotent, int has_retry_after) {
  if (status == 429 || (status == 503 && has_retry_after)) return 1; // refused, hence not done
  return idempotent && (status == 408 || status >= 500);
}

int64_t dr_http_jitter_ms(int64_t duration_ms) {
  uint32_t noise = 0;
  if (getrandom(&noise, sizeof noise, GRND_NONBLOCK) != (ssize_t)sizeof noise) noise = UINT32_MAX / 2;
  return duration_ms > 0 ? (int64_t)((double)duration_ms * ((double)noise / UINT32_MAX)) : 0;
}

int64_t dr_http_backoff_ms(const struct dr_http_tuning *tuning, int32_t attempt) {
  int64_t wait = tuning->backoff_base_ms;
  for (int32_t i = 1; i < attempt && wait < tuning->backoff_max_ms; i++) wait *= 2;
  if (wait > tuning->backoff_max_ms) wait = tuning->backoff_max_ms;
  return wait / 2 + dr_http_jitter_ms(wait - wait / 2);
}

int32_t dr_http_status_code(int32_t status) {
  if (status == 401) return DRAY_E_AUTH_REJECTED;
  if (status == 403) return DRAY_E_AUTH_FORBIDDEN;
  if (status == 429) return DRAY_E_THROTTLED;
  if (status == 408 || status >= 500) return DRAY_E_HTTP_SERVER;
  return DRAY_E_HTTP_STATUS;
}

// Bytes of a UTF-8 sequence that the text's end cuts off.
static size_t incomplete_tail(const char *text, size_t len) {
  for (size_t back = 1; back <= 3 && back <= len; back++) {
    const unsigned char c = (unsigned char)text[len - back];
    if ((c & 0xC0) == 0x80) continue;
    const size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return need > back ? back : 0;
  }
  return 0;
}

size_t dr_http_clean_excerpt(char *text, size_t len, size_t len_max) {
  size_t at = 0;
  for (size_t i = 0; i < len && at < len_max; i++) {
    const unsigned char c = (unsigned char)text[i];
    const int space = c <= 0x20 || c == 0x7f;
    if (space && (at == 0 || text[at - 1] == ' ')) continue;
    text[at++] = space ? ' ' : (char)c;
  }
  while (at > 0 && text[at - 1] == ' ') at--;
  at -= incomplete_tail(text, at);
  if (!dray_utf8_valid(text, at)) {
    for (size_t i = 0; i < at; i++) {
      if ((unsigned char)text[i] >= 0x80) text[i] = '?';
    }
  }
  text[at] = '\0';
  return at;
}
