// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What answers of an HTTP API say before their vendor's meaning: headers, refusals, how long to wait, JSON or not; and
// the texts of addresses.
#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/api.h"
#include "dray/sdk/json.h"

#define EXCERPT_BYTES 300
#define WAIT_MS_MAX INT64_C(1000000000000)

struct dray_str dray_api_header(const struct dray_api_answer *answer, const char *name) {
  if (answer->response == NULL) return dray_str_make(NULL, 0);
  return answer->services->http->header(answer->response, dray_str_of(name));
}

// ---- Retry-After ----

static int two_digits(const char *text) {
  return text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9';
}

// IMF-fixdate (RFC 9110 §5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". The obsolete forms are not read.
static int parse_http_date(struct dray_str text, int64_t *out_us) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char iso[64], month[4] = "";
  if (text.len != 29 || memcmp(text.data + 25, " GMT", 4) != 0 || !two_digits(text.data + 5)) return 0;
  memcpy(month, text.data + 8, 3);
  const char *found = strstr(months, month);
  if (found == NULL || (found - months) % 3 != 0) return 0;
  (void)snprintf(iso, sizeof(iso), "%.4s-%02d-%.2sT%.8sZ", text.data + 12, (int)((found - months) / 3) + 1,
                 text.data + 5, text.data + 17);
  return dray_parse_timestamp(dray_str_of(iso), out_us, NULL) == DRAY_OK;
}

int64_t dray_retry_after_ms(struct dray_str value, struct dray_str date, int64_t now_us) {
  int64_t at_us = 0, theirs_us = 0;
  double seconds = 0;
  if (value.len == 0) return -1;
  if (value.data[0] >= '0' && value.data[0] <= '9' && dray_parse_float64(value, &seconds, NULL) == DRAY_OK) {
    return seconds < 1e9 ? (int64_t)(seconds * 1000.0 + 0.999) : WAIT_MS_MAX;
  }
  if (!parse_http_date(value, &at_us)) return -1;
  if (parse_http_date(date, &theirs_us)) now_us = theirs_us;
  return at_us > now_us ? (at_us - now_us) / 1000 : 0;
}

int64_t dray_api_retry_after_ms(const struct dray_api_answer *answer) {
  const struct dray_clock_service *clock = answer->services->clock;
  return dray_retry_after_ms(dray_api_header(answer, "Retry-After"), dray_api_header(answer, "Date"),
                             clock->now_us(clock->ctx));
}

// ---- refusals ----

static int32_t code_of(int32_t status) {
  static const struct {
    int32_t status, code;
  } codes[] = {{401, DRAY_E_AUTH_REJECTED}, {402, DRAY_E_AUTH_FORBIDDEN}, {403, DRAY_E_AUTH_FORBIDDEN},
               {408, DRAY_E_HTTP_SERVER},   {423, DRAY_E_AUTH_FORBIDDEN}, {425, DRAY_E_HTTP_SERVER},
               {429, DRAY_E_THROTTLED}};
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    if (codes[i].status == status) return codes[i].code;
  }
  return status >= 500 ? DRAY_E_HTTP_SERVER : DRAY_E_HTTP_STATUS;
}

// A server that failed may have done the work before. 501 and 505 say that it did not, and so does 503 where it says
// when to come again (RFC 9110 §15.6.4); a proxy's 503 may stand for an answer that was lost.
static int may_be_done(const struct dray_api_answer *answer, int64_t wait_ms) {
  if (!answer->writes || answer->status < 500 || answer->status == 501 || answer->status == 505) return 0;
  return answer->status != 503 || (wait_ms < 0 && !answer->does_once);
}

int32_t dray_api_fail(const struct dray_api_answer *answer, const char *doing, const char *what,
                      struct dray_error *error) {
  char excerpt[EXCERPT_BYTES];
  const int32_t status = answer->status;
  const int32_t code = code_of(status);
  if (what == NULL) {
    (void)dray_text_excerpt(dray_buffer_view(&answer->body), excerpt, sizeof(excerpt));
    what = excerpt;
  }
  const char *secret = status == 401 && answer->secret != NULL ? answer->secret : "";
  (void)dray_fail_field(error, code, secret, "%s: answered %d%s%s%s%s%s", doing, status, what[0] != '\0' ? ": " : "",
                        what, secret[0] != '\0' ? " (check `" : "", secret, secret[0] != '\0' ? "`)" : "");
  if (error == NULL) return code;
  const int64_t wait_ms = dray_api_retry_after_ms(answer);
  error->http_status = status;
  error->retry_after_ms = wait_ms > 0 ? wait_ms : 0;
  if (may_be_done(answer, wait_ms)) {
    (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "in_doubt");
  }
  return code;
}

// ---- JSON ----

int32_t dray_api_json(const struct dray_api_answer *answer, uint64_t bytes_max, struct dray_json **out,
                      struct dray_error *error) {
  char excerpt[EXCERPT_BYTES];
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_json_parse(dray_buffer_view(&answer->body), bytes_max, out, &why);
  if (rc == DRAY_OK) return DRAY_OK;
  if (rc != DRAY_E_DATA_JSON && rc != DRAY_E_DATA_UTF8) return dray_fail(error, rc, "%s", why.text);
  (void)dray_text_excerpt(dray_buffer_view(&answer->body), excerpt, sizeof(excerpt));
  return dray_fail(error, DRAY_E_HTTP_CONTENT, "the answer %d is not JSON (%s): %s", answer->status, why.text,
                   excerpt[0] != '\0' ? excerpt : "it is empty");
}

// ---- addresses ----

static int32_t append_escaped(struct dray_buffer *path, struct dray_str text, struct dray_error *error) {
  static const char digits[] = "0123456789ABCDEF";
  for (uint64_t i = 0; i < text.len; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    const int plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      (c != '\0' && strchr("-._~", c) != NULL); // RFC 3986 §2.3
    const char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
    DRAY_TRY(plain ? dray_buffer_append(path, text.data + i, 1, error) : dray_buffer_append(path, escaped, 3, error));
  }
  return DRAY_OK;
}

static int32_t undo(struct dray_buffer *path, size_t before, int32_t rc) {
  if (rc == DRAY_OK || path->data == NULL) return rc;
  path->len = before;
  path->data[before] = '\0';
  return rc;
}

int32_t dray_api_query(struct dray_buffer *path, int first, const char *name, struct dray_str value,
                       struct dray_error *error) {
  const size_t before = path->len;
  int32_t rc = dray_buffer_append_char(path, first ? '?' : '&', error);
  if (rc == DRAY_OK) rc = append_escaped(path, dray_str_of(name), error);
  if (rc == DRAY_OK) rc = dray_buffer_append_char(path, '=', error);
  if (rc == DRAY_OK) rc = append_escaped(path, value, error);
  return undo(path, before, rc);
}

int32_t dray_api_segment(struct dray_buffer *path, struct dray_str segment, struct dray_error *error) {
  const size_t before = path->len;
  return undo(path, before, append_escaped(path, segment, error));
}
