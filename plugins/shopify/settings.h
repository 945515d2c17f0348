// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a connection to a shop is set to.
#ifndef SHOPIFY_SETTINGS_H
#define SHOPIFY_SETTINGS_H

#include "dray/sdk.h"

#define SHOPIFY_PAGE_SIZE_MAX 250
#define SHOPIFY_TIME_NONE INT64_MIN

enum { SHOPIFY_BULK_AUTO = 1, SHOPIFY_BULK_ALWAYS = 2, SHOPIFY_BULK_NEVER = 3 };

struct shopify_settings {
  char *shop;                                                               // as written
  int32_t has_access_token, has_client_secret, has_refresh_token, has_code; // the code may still be missing
  char *client_id;                                                          // NULL: none
  char *redirect_uri;                                                       // NULL: none
  char *scope;
  char *api_version;
  char *start_date; // NULL: none
  int64_t window_days;
  int64_t lookback_hours;
  char *use_bulk;
  int64_t page_size;
  int32_t include_metafields;
  int64_t request_timeout;
  int64_t max_retries;
  char *base_url; // NULL: the shop's own address

  // Derived.
  char *origin;     // "https://acme.myshopify.com", or base_url
  char *host;       // "acme.myshopify.com": the shop's name wherever it is asked
  int32_t bulk;     // SHOPIFY_BULK_*
  int64_t start_us; // SHOPIFY_TIME_NONE: none
  int32_t grant;    // DRAY_GRANT_*
};

DRAY_NODISCARD int32_t shopify_settings_spec(struct dray_str *out_json, struct dray_error *error); // static memory
// Binds and checks. @errors CONFIG_* with the field, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_settings_bind(struct dray_str json, struct shopify_settings *out,
                                             struct dray_error *error);
void shopify_settings_free(struct shopify_settings *settings);

// The handle or host of a shop as its full host name: "acme", "acme.myshopify.com" and
// "https://acme.myshopify.com/admin" are all one. NULL on any other text, and when memory is short (errno ENOMEM).
char *shopify_shop_host(const char *shop);

#endif // SHOPIFY_SETTINGS_H
