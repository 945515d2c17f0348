// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the other side has said that it did nothing of a request: then it may be sent again, whatever it asks for.
// HTTP/2 says so in two ways (RFC 9113 §8.7): RST_STREAM with REFUSED_STREAM, and a GOAWAY that names an earlier
// stream as the last one. libcurl has a result for neither. A refused stream it sends again by itself, as it does when
// a kept connection breaks after the request was received; a GOAWAY is CURLE_HTTP2, as much else is. Only its verbose
// lines tell one from the other, so they are read here. What they do not say stays in doubt: so does, before libcurl 8,
// a stream that is refused on a kept connection, and all if these lines should ever read differently.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/http_parts.h"

// What follows `start` in the text, where it begins with it; or NULL.
static const char *after(const char *text, const char *start) {
  const size_t len = strlen(start);
  return strncmp(text, start, len) == 0 ? text + len : NULL;
}

static void read_goaway(struct dray_http_response *response, const char *text) {
  const char *rest = after(text, "recveived GOAWAY, error="); // until libcurl 8
  if (rest == NULL) rest = after(text, "received GOAWAY, error=");
  const char *last = rest != NULL ? strstr(rest, "last_stream=") : NULL;
  if (last == NULL || response->stream_id == 0) return;
  if (strtoul(last + strlen("last_stream="), NULL, 10) < response->stream_id) response->refused = 1;
}

int dr_http_refusal_line(CURL *easy, curl_infotype type, char *line, size_t len, void *ctx) {
  (void)easy;
  struct dray_http_response *response = ctx;
  char text[128];
  if (type != CURLINFO_TEXT || response->head_bytes > 0) return 0; // an answer has begun: it was not refused
  snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : sizeof text - 1), line);
  const char *stream = after(text, "Using Stream ID: ");
  if (stream != NULL) response->stream_id = strtoul(stream, NULL, 10);
  // Of a handle that has never seen a refused stream before (dr_http_transfer_end): libcurl keeps the mark of one.
  if (after(text, "REFUSED_STREAM, retrying") != NULL) response->refused = 1;
  read_goaway(response, text);
  return 0;
}
