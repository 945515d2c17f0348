// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a connection is set to, and what a sync's `to:` lays over it.
#ifndef WEBHOOK_SETTINGS_H
#define WEBHOOK_SETTINGS_H

#include "dray/sdk.h"

#define WEBHOOK_HEADERS_MAX 64
#define WEBHOOK_URL_BYTES_MAX 8192u

// How the receipts of the rows are read from an answer.
struct webhook_results {
  char *path;    // of the list in the answer
  char *index;   // of a row's place in the batch, within an element; NULL: the n-th result is the n-th row's
  int64_t first; // the number of the first row: 0 or 1
  char *key;     // of a value within an element that equals the row's `column`
  char *column;
  char *status;                                     // of the outcome within an element
  char *applied_json, *unchanged_json, *retry_json; // words for each; all others mean rejected
  char *error;                                      // of the reason within an element
  char *listed;                                     // "all" or "failed"
};

// Settings that a sync may set for itself. Empty strings and zeros: not set.
struct webhook_shape {
  char *method;
  char *path; // instead of the URL's own
  char *body_json;
  char *row_json;
  char *results_json;
  char *updates;
  char *deletes;
  int64_t batch_rows;
};

struct webhook_settings {
  char *url;
  char *headers_json;
  int32_t has_bearer_token;
  int32_t has_auth_header;
  char *auth_header_name;
  int32_t has_hmac_secret;
  char *hmac_header;
  char *hmac_timestamp_header;
  char *idempotency_header;
  int64_t idempotency_seconds;
  char *doubt;
  int64_t batch_bytes;
  int64_t timeout_seconds;
  int64_t max_answer_bytes;
  double rate_per_second;
  int64_t parallel;
  int32_t gzip;
  struct webhook_shape shape;

  struct dray_json *headers; // the parsed headers_json; members are texts
};

DRAY_NODISCARD int32_t webhook_settings_spec(struct dray_str *out_json, struct dray_error *error); // static memory
// Binds and checks the settings of a connection. @errors CONFIG_*, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t webhook_settings_bind(struct dray_str json, struct webhook_settings *out,
                                             struct dray_error *error);
void webhook_settings_free(struct webhook_settings *settings);

// The JSON Schema of a sync's options (appended), and their binding; what the options leave out is taken from the
// connection.
DRAY_NODISCARD int32_t webhook_options_spec(struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t webhook_options_bind(const struct webhook_settings *settings, struct dray_str json,
                                            struct webhook_shape *out, struct dray_error *error);
void webhook_shape_free(struct webhook_shape *shape);

// @errors CONFIG_*, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t webhook_results_bind(const char *json, struct webhook_results *out, struct dray_error *error);
void webhook_results_free(struct webhook_results *results);

// DRAY_DOUBT_* of the setting `doubt`.
uint32_t webhook_settings_doubt(const struct webhook_settings *settings);

#endif // WEBHOOK_SETTINGS_H
