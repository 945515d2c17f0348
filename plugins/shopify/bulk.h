// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Bulk operations: a query that Shopify runs by itself and answers with a file of JSON Lines.
#ifndef SHOPIFY_BULK_H
#define SHOPIFY_BULK_H

#include "client.h"

#define SHOPIFY_BULK_ID_BYTES 128
#define SHOPIFY_BULK_WAIT_FIRST_MS 200
#define SHOPIFY_BULK_WAIT_MAX_MS 30000
#define SHOPIFY_BULK_LINE_BYTES_MAX (UINT64_C(32) << 20)

enum {
  SHOPIFY_BULK_NONE = 0,    // there is no such operation
  SHOPIFY_BULK_RUNNING = 1, // or created, or being cancelled
  SHOPIFY_BULK_COMPLETED = 2,
  SHOPIFY_BULK_FAILED = 3, // or cancelled
  SHOPIFY_BULK_EXPIRED = 4 // its file is gone
};

// What Shopify says of an operation.
struct shopify_bulk_status {
  int32_t state;      // SHOPIFY_BULK_*
  int64_t created_us; // by the shop's clock
  uint64_t object_count;
  int64_t file_bytes; // -1: not said
  char *url;          // owned; NULL: no file; of a FAILED one its partial file
  char error_code[64];
};
void shopify_bulk_status_free(struct shopify_bulk_status *status);

// Asks once. @errors those of shopify_ask.
DRAY_NODISCARD int32_t shopify_bulk_ask(struct shopify_client *client, const char *id, struct shopify_bulk_status *out,
                                        struct dray_error *error);
// Asks with growing waits until it does not run any more. @errors likewise, CANCELLED.
DRAY_NODISCARD int32_t shopify_bulk_wait(struct shopify_client *client, const char *id, struct shopify_bulk_status *out,
                                         struct dray_error *error);
// Starts a query. *out_started = 0 when all slots are taken, with the reason in `why` (no failure). `always`: waits for
// a slot. @errors those of shopify_ask; HTTP_STATUS with Shopify's words when it does not take the query.
DRAY_NODISCARD int32_t shopify_bulk_submit(struct shopify_client *client, struct dray_str query, int always,
                                           char id[SHOPIFY_BULK_ID_BYTES], int *out_started, struct dray_buffer *why,
                                           struct dray_error *error);

// ---- the file ----

// A file as it is downloaded: whole lines come out, a connection that breaks is resumed where it broke.
struct shopify_download {
  struct shopify_client *client;
  char id[SHOPIFY_BULK_ID_BYTES]; // of the operation, for a fresh URL
  char *url;                      // owned
  int64_t file_bytes;             // -1: not known
  uint64_t received;              // bytes of the file so far, those before `offset` included
  uint64_t given;                 // up to the end of the last line that was given out
  int resumes;                    // since the last byte that came
  int asked_again;                // for a URL since the last byte that came
  int refused;                    // so was a fresh URL, or there is none
  int begun_anew;                 // there was no such place in the file
  int ended;
  struct dray_http_response *response;
  uint64_t to_skip; // of an answer that does not begin where it was asked to
  struct dray_buffer text;
  size_t text_given; // bytes of `text` that were given out
};

// Takes over status->url. `offset`: bytes that are known already; beyond the file's end, it is begun anew. @errors
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_download_open(struct shopify_download *download, struct shopify_client *client,
                                             const char *id, struct shopify_bulk_status *status, uint64_t offset,
                                             struct dray_error *error);
void shopify_download_close(struct shopify_download *download); // also of a zeroed one
// Whole lines, valid until the next call; `given` is then behind them. *out_end = 1: none are left, and the file had as
// many bytes as was said. @errors NET_*, HTTP_*, HTTP_CONTENT for a file of another size, LIMIT for too long a line.
DRAY_NODISCARD int32_t shopify_download_next(struct shopify_download *download, struct dray_str *out, int *out_end,
                                             struct dray_error *error);

#endif // SHOPIFY_BULK_H
