// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The file of a bulk operation. Its address is signed by itself: no credentials go there.
#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "mend.h"

#define CHUNK_BYTES (256u << 10)
#define RESUMES_MAX 5
#define TIMEOUT_MS INT64_C(3600000) // a broken connection is resumed, and one that stands still is noticed by the host

int32_t shopify_download_open(struct shopify_download *download, struct shopify_client *client, const char *id,
                              struct shopify_bulk_status *status, uint64_t offset, struct dray_error *error) {
  memset(download, 0, sizeof(*download));
  if (status->url == NULL) return dray_fail(error, DRAY_E_INTERNAL, "a file without an address");
  download->client = client;
  (void)snprintf(download->id, sizeof(download->id), "%s", id);
  download->url = status->url;
  status->url = NULL;
  download->file_bytes = status->file_bytes;
  if (status->file_bytes >= 0 && offset > (uint64_t)status->file_bytes) offset = 0;
  download->received = download->given = offset;
  dray_buffer_init(&download->text, SHOPIFY_BULK_LINE_BYTES_MAX);
  return DRAY_OK;
}

static void hang_up(struct shopify_download *download) {
  if (download->response != NULL) download->client->services->http->close(download->response);
  download->response = NULL;
}

void shopify_download_close(struct shopify_download *download) {
  if (download->client != NULL) hang_up(download);
  free(download->url);
  dray_buffer_free(&download->text);
  memset(download, 0, sizeof(*download));
}

// ---- connecting ----

static int32_t request_file(struct shopify_download *download, struct dray_error *error) {
  const struct dray_http_service *http = download->client->services->http;
  struct dray_http_header headers[2] = {{dray_str_of("Accept-Encoding"), dray_str_of("identity")}};
  uint64_t header_count = 1;
  char range[64];
  if (download->received > 0) {
    (void)snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)download->received);
    headers[header_count++] = (struct dray_http_header){dray_str_of("Range"), dray_str_of(range)};
  }
  const struct dray_http_request request = {.struct_size = sizeof(request),
                                            .flags = DRAY_HTTP_ANY_STATUS | DRAY_HTTP_IDEMPOTENT,
                                            .method = dray_str_of("GET"),
                                            .url = dray_str_of(download->url),
                                            .headers = headers,
                                            .header_count = header_count,
                                            .timeout_ms = TIMEOUT_MS,
                                            .response_bytes_max = UINT64_MAX};
  return http->open(http->ctx, &request, &download->response, error);
}

// The address has ended, as it does after a while: the operation tells another one.
static int32_t renew(struct shopify_download *download, int32_t status, struct dray_error *error) {
  struct shopify_bulk_status fresh = {0};
  if (download->asked_again) {
    download->resumes = RESUMES_MAX; // it would be refused again
    download->refused = 1;
    return dray_fail(error, DRAY_E_HTTP_SERVER, "the file of the bulk operation %s is refused with status %d",
                     download->id, status);
  }
  download->asked_again = 1;
  DRAY_TRY(shopify_bulk_ask(download->client, download->id, &fresh, error));
  if (fresh.state != SHOPIFY_BULK_COMPLETED || fresh.url == NULL) {
    shopify_bulk_status_free(&fresh);
    download->resumes = RESUMES_MAX;
    download->refused = 1;
    return dray_fail(error, DRAY_E_HTTP_SERVER, "the file of the bulk operation %s is gone; the next read asks anew",
                     download->id);
  }
  free(download->url);
  download->url = fresh.url;
  return DRAY_OK;
}

// There is nothing behind what was received: that was all of it, or it was of another file. Lines come again then.
static int32_t no_such_place(struct shopify_download *download, struct dray_error *error) {
  const struct dray_http_service *http = download->client->services->http;
  const struct dray_str whole = http->header(download->response, dray_str_of("Content-Range"));
  const char *slash = whole.len > 0 ? memchr(whole.data, '/', (size_t)whole.len) : NULL; // bytes */1234
  int64_t bytes = download->file_bytes;
  if (slash != NULL) {
    const struct dray_str digits = dray_str_make(slash + 1, (uint64_t)(whole.data + whole.len - slash - 1));
    if (dray_parse_int64(digits, &bytes, NULL) != DRAY_OK) bytes = -1;
  }
  hang_up(download);
  if (bytes >= 0 && download->received == (uint64_t)bytes &&
      (download->file_bytes < 0 || download->file_bytes == bytes)) {
    download->file_bytes = bytes;
    return DRAY_OK;
  }
  if (download->begun_anew) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "the file of the bulk operation %s ends before its byte %llu of %lld",
                     download->id, (unsigned long long)download->received, (long long)download->file_bytes);
  }
  download->begun_anew = 1;
  download->received = download->given = 0;
  dray_buffer_clear(&download->text);
  return DRAY_OK;
}

// *out_connected = 0: the address was renewed, try again.
static int32_t connect_once(struct shopify_download *download, int *out_connected, struct dray_error *error) {
  DRAY_TRY(request_file(download, error));
  const int32_t status = download->client->services->http->status(download->response);
  *out_connected = 1;
  download->to_skip = 0;
  if (status == 206) return DRAY_OK;
  if (status == 200) { // from the beginning, whatever was asked for
    download->to_skip = download->received;
    return DRAY_OK;
  }
  *out_connected = 0;
  if (status == 416) return no_such_place(download, error);
  hang_up(download);
  if (status == 400 || status == 401 || status == 403 || status == 404 || status == 410) {
    return renew(download, status, error);
  }
  return dray_fail(error, DRAY_E_HTTP_SERVER, "the file of the bulk operation %s is answered with status %d",
                   download->id, status);
}

// ---- receiving ----

static int passes(int32_t rc) {
  return rc == DRAY_E_NET_CLOSED || rc == DRAY_E_NET_TIMEOUT || rc == DRAY_E_NET_CONNECT || rc == DRAY_E_HTTP_SERVER;
}

// Appends some bytes of the file to the text. *out_bytes = 0: the answer has ended.
static int32_t receive(struct shopify_download *download, uint64_t *out_bytes, struct dray_error *error) {
  const struct dray_http_service *http = download->client->services->http;
  char *room = NULL;
  for (;;) {
    uint64_t bytes = 0;
    DRAY_TRY(dray_buffer_reserve(&download->text, CHUNK_BYTES, &room, error));
    DRAY_TRY(http->read(download->response, room, CHUNK_BYTES, &bytes, error));
    const uint64_t skipped = bytes < download->to_skip ? bytes : download->to_skip;
    download->to_skip -= skipped;
    *out_bytes = bytes - skipped;
    if (bytes > 0 && *out_bytes == 0) continue;
    if (skipped > 0) memmove(room, room + skipped, (size_t)*out_bytes);
    download->text.len += (size_t)*out_bytes;
    download->received += *out_bytes;
    return DRAY_OK;
  }
}

static int is_short(const struct shopify_download *download) {
  return download->file_bytes >= 0 && download->received < (uint64_t)download->file_bytes;
}

static int is_all(const struct shopify_download *download) {
  return download->file_bytes >= 0 && download->received == (uint64_t)download->file_bytes;
}

// More of the file, over a new connection where the last one broke. *out_bytes = 0: that was all of it.
static int32_t receive_more(struct shopify_download *download, uint64_t *out_bytes, struct dray_error *error) {
  struct dray_error why;
  for (;;) {
    int connected = download->response != NULL;
    dray_error_init(&why);
    *out_bytes = 0;
    if (!connected && is_all(download)) return DRAY_OK; // the connection broke behind the last byte, or the run did
    int32_t rc = connected ? DRAY_OK : connect_once(download, &connected, &why);
    if (rc == DRAY_OK && !connected) continue;
    if (rc == DRAY_OK) rc = receive(download, out_bytes, &why);
    if (rc == DRAY_OK && *out_bytes > 0) {
      download->resumes = download->asked_again = 0;
      return DRAY_OK;
    }
    hang_up(download);
    if (rc == DRAY_OK && !is_short(download)) return DRAY_OK;
    if (rc == DRAY_OK) {
      rc = dray_fail(&why, DRAY_E_NET_CLOSED, "the file of the bulk operation %s ended after %llu of %lld bytes",
                     download->id, (unsigned long long)download->received, (long long)download->file_bytes);
    }
    if (!passes(rc) || download->resumes++ >= RESUMES_MAX) {
      if (error != NULL) *error = why;
      return rc;
    }
    const struct dray_clock_service *clock = download->client->services->clock;
    DRAY_TRY(clock->sleep_ms(clock->ctx, INT64_C(100) << download->resumes, dray_str_of("a file of Shopify"), error));
  }
}

static const char *last_newline(const struct shopify_download *download) {
  return download->text.len > 0 ? memrchr(download->text.data, '\n', download->text.len) : NULL;
}

static int32_t end_of_file(struct shopify_download *download, struct dray_error *error) {
  if (download->file_bytes >= 0 && download->received != (uint64_t)download->file_bytes) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "the file of the bulk operation %s has %llu bytes instead of %lld",
                     download->id, (unsigned long long)download->received, (long long)download->file_bytes);
  }
  download->ended = 1;
  if (download->text.len == 0) return DRAY_OK;
  return dray_buffer_append_char(&download->text, '\n', error); // the last line may have no end
}

int32_t shopify_download_next(struct shopify_download *download, struct dray_str *out, int *out_end,
                              struct dray_error *error) {
  struct dray_buffer *text = &download->text;
  if (download->text_given > 0) {
    memmove(text->data, text->data + download->text_given, text->len - download->text_given);
    text->len -= download->text_given;
    download->text_given = 0;
  }
  const char *newline = NULL;
  while (!download->ended && newline == NULL) {
    uint64_t bytes = 0;
    DRAY_TRY(receive_more(download, &bytes, error));
    if (bytes == 0) DRAY_TRY(end_of_file(download, error));
    newline = last_newline(download);
  }
  *out_end = newline == NULL;
  if (newline == NULL) return DRAY_OK;
  download->text_given = (size_t)(newline - text->data) + 1;
  download->given = download->ended ? download->received : download->received - (text->len - download->text_given);
  (void)shopify_mend(text->data, download->text_given);
  *out = dray_str_make(text->data, download->text_given);
  return DRAY_OK;
}
