// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls of a vendor's JSON API: one base address, one credential, one budget; what is the same for every REST or
// GraphQL plugin. What an answer means is the plugin's.
#ifndef DRAY_SDK_API_H
#define DRAY_SDK_API_H

#include "dray/sdk/credential.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_API_HEADERS_MAX 16

// One vendor's API as one instance sees it. Caller-owned, borrowed by every call; zero what is not needed.
struct dray_api {
  const struct dray_services *services;
  const char *base_url;                   // "https://acme.zendesk.com", without a slash at its end
  struct dray_credential *credential;     // NULL: none
  const char *token_header;               // "Authorization"
  const char *token_prefix;               // "Bearer "
  const struct dray_http_header *headers; // sent with every request, besides Accept, and Content-Type of a body, both
                                          // application/json
  uint64_t header_count;
  struct dray_str rate_key; // these as in dray_http_request
  double rate_per_second;
  uint32_t rate_burst;
  uint32_t concurrency_max;
  int64_t timeout_ms;
  uint64_t response_bytes_max;
  int32_t attempts_max; // likewise
};

struct dray_api_request {
  uint32_t flags;                         // DRAY_HTTP_*; ANY_STATUS is always set
  const char *method;                     // "GET"
  struct dray_str path;                   // behind base_url, from its '/': "/api/v2/users?page%5Bsize%5D=100"; or a
                                          // whole URL of the same origin, as answers name the next page
  struct dray_str body;                   // len 0: none
  const struct dray_http_header *headers; // more of them, or others instead of those that are always sent
  uint64_t header_count;
  int32_t does_once; // coming twice it does what it does once, so nothing is lost by sending it again: an upsert. Not
                     // needed where method or flags say so
};

// An answer, its body whole in memory. Zero before its first use; keeps its memory from one call to the next.
struct dray_api_answer {
  int32_t status;
  int32_t writes;    // the method was neither GET nor HEAD
  int32_t does_once; // by its method, with DRAY_HTTP_IDEMPOTENT, or as the request says
  struct dray_buffer body;
  struct dray_http_response *response; // for its headers
  const struct dray_services *services;
  const char *secret; // the setting of the credential it was asked with, borrowed from its terms; NULL: there is none
};
void dray_api_answer_free(struct dray_api_answer *answer);                               // back to zero
struct dray_str dray_api_header(const struct dray_api_answer *answer, const char *name); // len 0: absent

// Sends a request and waits for its answer, whatever its status. Repeats as the HTTP service does, and up to twice more
// when the body is cut, where the request is idempotent and not DRAY_HTTP_NO_RETRY; a 401 is answered by renewing the
// credential and sending the same request once more. Without a body for a status of 400 and more (cut, or too large)
// the status counts, with what there is of the body. @errors those of dray_http_service.open, without the ones that
// stand for a status; those of the credential; HTTP_HOST for a URL of another origin; LIMIT for too large a body,
// NET_CLOSED for one that is cut.
// Whoever writes rows with it sets DRAY_HTTP_NO_RETRY, since the host repeats batches: then one outcome is told from
// the other. An error after which a request other than GET and HEAD may have arrived is in doubt (dray_api_in_doubt),
// be it idempotent or not.
DRAY_NODISCARD int32_t dray_api_call(const struct dray_api *api, const struct dray_api_request *request,
                                     struct dray_api_answer *answer, struct dray_error *error);

struct dray_api_pending; // opaque: a request under way
// As dray_api_call in two steps, to have several under way (host.h, `start`). @owner *out is ended by finish or drop.
DRAY_NODISCARD int32_t dray_api_start(const struct dray_api *api, const struct dray_api_request *request,
                                      struct dray_api_pending **out, struct dray_error *error);
DRAY_NODISCARD int32_t dray_api_finish(struct dray_api_pending *pending, struct dray_api_answer *answer,
                                       struct dray_error *error);
void dray_api_drop(struct dray_api_pending *pending); // NULL is allowed

// Whether an error of a call leaves open if the request arrived.
int dray_api_in_doubt(const struct dray_error *error);
// The error for a status of 400 and more: AUTH_REJECTED (401), AUTH_FORBIDDEN (402, 403, 423), THROTTLED (429),
// HTTP_SERVER (408, 5xx), HTTP_STATUS; with http_status and retry_after_ms, and `what` in the text: the vendor's own
// words, or NULL for the start of the body. 401 names the credential's setting, in the text and as the field. A server
// error is in doubt where the request writes, but for 501 and 505, and 503 with Retry-After, which promise that nothing
// was done. Where the request does once what it does twice any 503 is taken for that. Returns its code.
int32_t dray_api_fail(const struct dray_api_answer *answer, const char *doing, const char *what,
                      struct dray_error *error);
// Milliseconds to wait from Retry-After (seconds, also with a fraction, or an HTTP date), -1 when it says nothing.
int64_t dray_api_retry_after_ms(const struct dray_api_answer *answer);
// The same of the header's value and the Date header's, which is the other side's clock (empty: now_us is used).
int64_t dray_retry_after_ms(struct dray_str value, struct dray_str date, int64_t now_us);
// The tree of a JSON answer. @errors HTTP_CONTENT for a body that is none (an HTML page with 200, say), LIMIT,
// OUT_OF_MEMORY. @owner dray_json_free.
struct dray_json; // json.h
DRAY_NODISCARD int32_t dray_api_json(const struct dray_api_answer *answer, uint64_t bytes_max, struct dray_json **out,
                                     struct dray_error *error);
// Appends `name=value` to a path's query with what a query may not hold as %XX; `first`: 1 for '?', 0 for '&'.
DRAY_NODISCARD int32_t dray_api_query(struct dray_buffer *path, int first, const char *name, struct dray_str value,
                                      struct dray_error *error);
// Appends one path segment, escaped; the '/' before it is the caller's.
DRAY_NODISCARD int32_t dray_api_segment(struct dray_buffer *path, struct dray_str segment, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_API_H
