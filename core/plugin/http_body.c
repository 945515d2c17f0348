// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The bytes of bodies. An answer is decompressed here and not by libcurl, straight into the plugin's buffer: libcurl
// would have to keep what a paused reader has not taken, and a small compressed piece can be a very large plain one.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define GZIP_WINDOW_BITS (15 + 16) // zlib's sign for gzip
#define GZIP_LEVEL 6
#define GZIP_MEMORY_LEVEL 8

static int is_encoding(struct dray_str value, const char *name) {
  return strlen(name) == value.len && strncasecmp(name, value.data, value.len) == 0;
}

int32_t dr_http_body_begin(struct dray_http_response *response, struct dray_error *error) {
  const struct dray_str encoding = dr_http_response_header(response, dray_str_of("Content-Encoding"));
  if (encoding.len == 0 || is_encoding(encoding, "identity")) return DRAY_OK;
  if (!is_encoding(encoding, "gzip") && !is_encoding(encoding, "x-gzip")) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "%s %s answered in the encoding %.*s, which was not asked for",
                     response->method, response->safe_url, DRAY_STR_ARG(encoding));
  }
  if (inflateInit2(&response->inflater, GZIP_WINDOW_BITS) != Z_OK) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to decompress the answer of %s", response->safe_url);
  }
  response->gzip = 1;
  response->gzip_begun = 1;
  return DRAY_OK;
}

void dr_http_body_end(struct dray_http_response *response) {
  if (response->gzip_begun) inflateEnd(&response->inflater);
  response->gzip_begun = 0;
}

static void consume(struct dray_http_response *response, size_t len) {
  response->wire_at += len;
  response->wire_len -= len;
  if (response->wire_len == 0) response->wire_at = 0;
}

static size_t take_plain(struct dray_http_response *response, char *buffer, size_t capacity) {
  const size_t len = response->wire_len < capacity ? response->wire_len : capacity;
  if (len > 0) memcpy(buffer, response->wire + response->wire_at, len);
  consume(response, len);
  return len;
}

// Between members of one gzip stream (RFC 1952 §2.2): another one begins with its magic byte, all else is padding and
// ignored.
static int next_member(struct dray_http_response *response) {
  if (response->wire_len == 0) return 0;
  if ((unsigned char)response->wire[response->wire_at] != 0x1f) {
    consume(response, response->wire_len);
    return 0;
  }
  response->gzip_ended = 0;
  return inflateReset(&response->inflater) == Z_OK;
}

static int32_t take_gzip(struct dray_http_response *response, char *buffer, size_t capacity, size_t *out_bytes,
                         struct dray_error *error) {
  size_t produced = 0;
  z_stream *inflater = &response->inflater;
  while (produced == 0 && (response->wire_len > 0 || response->gzip_pending)) {
    if (response->gzip_ended && !next_member(response)) break;
    inflater->next_in = (unsigned char *)response->wire + response->wire_at;
    inflater->avail_in = (unsigned)response->wire_len;
    inflater->next_out = (unsigned char *)buffer;
    inflater->avail_out = capacity > UINT_MAX ? UINT_MAX : (unsigned)capacity;
    const unsigned room = inflater->avail_out;
    const int rc = inflate(inflater, Z_NO_FLUSH);
    produced = room - inflater->avail_out;
    consume(response, response->wire_len - inflater->avail_in);
    response->gzip_pending = inflater->avail_out == 0 && rc == Z_OK;
    if (rc == Z_STREAM_END) {
      response->gzip_ended = 1;
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      return dray_fail(error, DRAY_E_HTTP_CONTENT, "the gzip body of %s %s is damaged: %s", response->method,
                       response->safe_url, inflater->msg != NULL ? inflater->msg : "no reason given");
    }
    if (rc == Z_BUF_ERROR) break;
  }
  *out_bytes = produced;
  return DRAY_OK;
}

// No bytes at all are a whole body: that of a HEAD or a 204.
static int gzip_whole(const struct dray_http_response *response) {
  return response->gzip_ended || response->inflater.total_in == 0;
}

static int32_t end_of_body(struct dray_http_response *response, struct dray_error *error) {
  int retry = 0;
  if (response->result != CURLE_OK) return dr_http_fail_transfer(response, &retry, error);
  if (response->gzip && !gzip_whole(response)) {
    const int32_t code =
        dray_fail(error, DRAY_E_NET_CLOSED, "the gzip body of %s %s ended early", response->method, response->safe_url);
    dr_http_mark_doubt(response, error);
    return code;
  }
  response->body_done = 1;
  return DRAY_OK;
}

int32_t dr_http_body_take(struct dray_http_response *response, char *buffer, size_t capacity, size_t *out_bytes,
                          struct dray_error *error) {
  char probe;
  const uint64_t left = response->body_bytes_max - response->body_bytes;
  if (left == 0) { // one byte more is too many
    buffer = &probe;
    capacity = 1;
  } else if (left < capacity) {
    capacity = (size_t)left;
  }
  size_t produced = 0;
  if (response->gzip) {
    DRAY_TRY(take_gzip(response, buffer, capacity, &produced, error));
  } else {
    produced = take_plain(response, buffer, capacity);
  }
  if (produced > 0 && left == 0) {
    return dray_fail(error, DRAY_E_LIMIT, "the answer of %s %s is larger than the limit of %llu bytes",
                     response->method, response->safe_url, (unsigned long long)response->body_bytes_max);
  }
  dr_http_transfer_unpause(response);
  if (produced == 0 && response->done && response->wire_len == 0) DRAY_TRY(end_of_body(response, error));
  response->body_bytes += produced;
  *out_bytes = produced;
  return DRAY_OK;
}

int32_t dr_http_gzip(struct dray_str plain, char **out, size_t *out_len, struct dray_error *error) {
  z_stream deflater = {0};
  if (deflateInit2(&deflater, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compress a request's body");
  }
  const size_t bound = deflateBound(&deflater, (unsigned long)plain.len);
  char *packed = malloc(bound);
  int32_t code = DRAY_OK;
  if (packed == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to compress a request's body of %llu bytes",
                     (unsigned long long)plain.len);
  } else {
    unsigned char *from = NULL;
    memcpy(&from, &plain.data, sizeof from); // zlib's member lacks a const
    deflater.next_in = from;
    deflater.avail_in = (unsigned)plain.len; // at most DR_HTTP_REQUEST_BODY_BYTES_MAX
    deflater.next_out = (unsigned char *)packed;
    deflater.avail_out = (unsigned)bound;
    if (deflate(&deflater, Z_FINISH) != Z_STREAM_END)
      code = dray_fail(error, DRAY_E_INTERNAL, "zlib gave no whole stream");
  }
  *out_len = deflater.total_out;
  deflateEnd(&deflater);
  if (code == DRAY_OK) {
    *out = packed;
  } else {
    free(packed);
  }
  return code;
}
