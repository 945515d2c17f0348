// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// GraphQL over HTTP as Shopify speaks it: one endpoint, almost everything with status 200, errors in three places, and
// a bucket of cost points that all requests of an app and a shop share. Who asks gets an answer that can be used, or an
// error; waiting for points, and for what passes by itself, happens here.
#ifndef SHOPIFY_CLIENT_H
#define SHOPIFY_CLIENT_H

#include "settings.h"

#define SHOPIFY_QUERY_BYTES_MAX 65535u // of a query's text, by the API
#define SHOPIFY_ANSWER_BYTES_MAX (UINT64_C(64) << 20)
#define SHOPIFY_BODY_BYTES_MAX (16u << 20)

// What requests of one form cost: the API says it with every answer, and it is taken before the next one is sent.
struct shopify_shape {
  double cost; // requestedQueryCost of the last answer, before that an estimate; 0: one point
};

struct shopify_client {
  const struct dray_services *services;
  const struct shopify_settings *settings;
  struct dray_credential *credential;
  struct dray_api api;
  struct dray_api_answer answer;
  struct dray_http_header headers[1];
  char rate_key[DRAY_PACE_KEY_BYTES_MAX];
  char path[64];
  char token_url[2048], authorize_url[256];
  double capacity, per_second; // of the bucket, as last said
  int version_told;
};

// An answer that can be used: `data` is an object with at least one value. `errors` (NULL: none) are about parts of it.
struct shopify_reply {
  struct dray_json *root; // owned
  const struct dray_json *data, *errors;
  int64_t date_us; // of the answer by the shop's own clock; SHOPIFY_TIME_NONE: not said
};
void shopify_reply_free(struct shopify_reply *reply);

struct shopify_request {
  struct dray_str body;        // {"query", "variables"}: borrowed until the request was received
  uint32_t flags;              // DRAY_HTTP_IDEMPOTENT: it may be repeated
  struct shopify_shape *shape; // borrowed likewise
  double taken;                // written: points taken for it
};

// Opens no connection. `services` and `settings` are borrowed until close. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_client_open(struct shopify_client *client, const struct dray_services *services,
                                           const struct shopify_settings *settings, struct dray_error *error);
void shopify_client_close(struct shopify_client *client);

// Appends {"query": document, "variables": variables}; `variables` is a JSON object or empty.
DRAY_NODISCARD int32_t shopify_body(struct dray_buffer *out, struct dray_str document, struct dray_str variables,
                                    struct dray_error *error);

// Sends and waits. @errors those of dray_api_call; AUTH_REJECTED, AUTH_FORBIDDEN, THROTTLED, HTTP_SERVER, HTTP_CONTENT,
// HTTP_STATUS with `vendor_code` the code of the first GraphQL error.
DRAY_NODISCARD int32_t shopify_ask(struct shopify_client *client, struct shopify_request *request,
                                   struct shopify_reply *out, struct dray_error *error);
// The same in two steps, for a request that travels while its predecessor's rows are written.
DRAY_NODISCARD int32_t shopify_send(struct shopify_client *client, struct shopify_request *request,
                                    struct dray_api_pending **out, struct dray_error *error);
DRAY_NODISCARD int32_t shopify_receive(struct shopify_client *client, struct shopify_request *request,
                                       struct dray_api_pending *pending, struct shopify_reply *out,
                                       struct dray_error *error);

// The code ("ACCESS_DENIED") of one of an answer's errors; empty: none.
struct dray_str shopify_error_code(const struct dray_json *graphql_error);

#endif // SHOPIFY_CLIENT_H
