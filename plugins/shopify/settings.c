// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The table of settings, and the checks that need no network.
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define HANDLE_BYTES_MAX 100u
#define DOMAIN ".myshopify.com"

static const char *const bulk_choices[] = {"auto", "always", "never", NULL};

#define MEMBER(name) offsetof(struct shopify_settings, name)
static const struct dray_setting table[] = {
    {.name = "shop",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(shop),
     .description = "the shop's handle or host: acme, or acme.myshopify.com"},
    {.name = "access_token",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_access_token),
     .description = "the Admin API token of a custom app (shpat_...); it never ends"},
    {.name = "client_id",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(client_id),
     .description = "instead of access_token: the id of an app of the Dev Dashboard; needs client_secret"},
    {.name = "client_secret",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_client_secret),
     .description = "its secret"},
    {.name = "refresh_token",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_refresh_token),
     .description = "of an OAuth app with tokens that end: each renewal brings another one, which dray keeps"},
    {.name = "authorization_code",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_code),
     .description = "of an OAuth app: the code of an authorisation, good once; the tokens that it brings are kept and "
                    "renewed"},
    {.name = "redirect_uri",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(redirect_uri),
     .description = "of an OAuth app: one of its redirect URLs, where the code arrives"},
    {.name = "scope",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(scope),
     .default_json = "\"read_customers,read_orders,read_products,read_inventory,read_locations,read_draft_orders\"",
     .description = "of an OAuth app: what an authorisation asks for; write_customers, write_orders, ... as well for "
                    "what is written"},
    {.name = "api_version",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(api_version),
     .default_json = "\"2026-10\"",
     .description = "the version of the Admin API"},
    {.name = "start_date",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(start_date),
     .description =
         "nothing that was last updated before is read: 2026-01-01, or a time; an earlier one reads again from there"},
    {.name = "window_days",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(window_days),
     .default_json = "30",
     .minimum = 1,
     .maximum = 3650,
     .description = "use_bulk auto: a first load, and what goes back further than this, is read in bulk"},
    {.name = "lookback_hours",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(lookback_hours),
     .default_json = "1",
     .minimum = 0,
     .maximum = 720,
     .description = "each read begins so long before what is known, for records that appeared late"},
    {.name = "use_bulk",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(use_bulk),
     .default_json = "\"auto\"",
     .choices = bulk_choices,
     .description = "bulk operations: auto, always (waits for a free one) or never"},
    {.name = "page_size",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(page_size),
     .default_json = "250",
     .minimum = 1,
     .maximum = SHOPIFY_PAGE_SIZE_MAX,
     .description = "records in a page at most; fewer where their cost asks for it"},
    {.name = "include_metafields",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(include_metafields),
     .default_json = "true",
     .description = "metafields that have a definition are columns of their owner's stream"},
    {.name = "request_timeout",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(request_timeout),
     .default_json = "60",
     .minimum = 1,
     .maximum = 3600,
     .description = "seconds for one request and its answer"},
    {.name = "max_retries",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(max_retries),
     .default_json = "5",
     .minimum = 0,
     .maximum = 100,
     .description = "how often a request that failed for a passing reason is repeated"},
    {.name = "base_url",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .offset = MEMBER(base_url),
     .description =
         "asked instead of https://SHOP.myshopify.com, for a proxy or a test; https, or http to this machine"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

int32_t shopify_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, TABLE_COUNT, out_json, error);
}

// ---- the shop ----

static int is_handle(const char *text, size_t len) {
  if (len == 0 || len > HANDLE_BYTES_MAX || text[0] == '-') return 0;
  for (size_t i = 0; i < len; i++) {
    const unsigned char c = (unsigned char)text[i];
    if (!isalnum(c) && c != '-') return 0;
  }
  return 1;
}

char *shopify_shop_host(const char *shop) {
  const size_t domain_len = strlen(DOMAIN);
  errno = 0;
  if (strncasecmp(shop, "https://", 8) == 0) shop += 8;
  size_t len = strcspn(shop, "/");
  if (shop[len] == '/' && shop[len + 1] != '\0' && strcmp(shop + len, "/admin") != 0) return NULL;
  if (len > domain_len && strncasecmp(shop + len - domain_len, DOMAIN, domain_len) == 0) len -= domain_len;
  if (!is_handle(shop, len)) return NULL;
  char *host = malloc(len + domain_len + 1);
  if (host == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  for (size_t i = 0; i < len; i++) host[i] = (char)tolower((unsigned char)shop[i]);
  memcpy(host + len, DOMAIN, domain_len + 1);
  return host;
}

static int32_t bind_address(struct shopify_settings *settings, struct dray_error *error) {
  settings->host = shopify_shop_host(settings->shop);
  if (settings->host == NULL && errno == ENOMEM) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory");
  if (settings->host == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "shop",
                           "shop: '%.100s' is not the name of a shop; write acme or acme.myshopify.com",
                           settings->shop);
  }
  const char *base = settings->base_url;
  const size_t bytes = (base != NULL ? strlen(base) : strlen(settings->host) + 8) + 1;
  settings->origin = malloc(bytes);
  if (settings->origin == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an address");
  if (base == NULL) {
    (void)snprintf(settings->origin, bytes, "https://%s", settings->host);
    return DRAY_OK;
  }
  if (strncmp(base, "https://", 8) != 0 && strncmp(base, "http://", 7) != 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "base_url", "base_url: '%.200s' does not begin with https://",
                           base);
  }
  memcpy(settings->origin, base, bytes);
  for (size_t len = bytes - 1; len > 0 && settings->origin[len - 1] == '/'; len--) settings->origin[len - 1] = '\0';
  return DRAY_OK;
}

// ---- the rest ----

static int32_t bind_app(struct shopify_settings *settings, struct dray_error *error) {
  if (settings->has_code && settings->has_refresh_token) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "authorization_code",
                           "authorization_code and refresh_token exclude each other");
  }
  if (settings->client_id == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "client_id",
                           "client_id is missing beside client_secret, authorization_code, redirect_uri or "
                           "refresh_token");
  }
  const int is_asking = settings->redirect_uri != NULL && !settings->has_code && !settings->has_refresh_token;
  if (!settings->has_client_secret && !is_asking) {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "client_secret", "client_secret is missing beside client_id");
  }
  if (settings->has_code && settings->redirect_uri == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "redirect_uri",
                           "redirect_uri is missing beside authorization_code: the one that it arrived at");
  }
  settings->grant = settings->has_refresh_token      ? DRAY_GRANT_REFRESH_TOKEN
                    : settings->redirect_uri != NULL ? DRAY_GRANT_AUTHORIZATION_CODE
                                                     : DRAY_GRANT_CLIENT_CREDENTIALS;
  return DRAY_OK;
}

static int32_t bind_grant(struct shopify_settings *settings, struct dray_error *error) {
  const int with_app = settings->client_id != NULL || settings->has_client_secret || settings->has_refresh_token ||
                       settings->has_code || settings->redirect_uri != NULL;
  if (settings->has_access_token && with_app) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "access_token",
                           "access_token and client_id, client_secret, authorization_code, redirect_uri or "
                           "refresh_token exclude each other");
  }
  if (with_app) return bind_app(settings, error);
  settings->grant = DRAY_GRANT_STATIC;
  if (settings->has_access_token) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "access_token",
                         "access_token is missing, or client_id and client_secret instead of it");
}

// YYYY-MM, or "unstable".
static int is_version(const char *text) {
  if (strcmp(text, "unstable") == 0) return 1;
  if (strlen(text) != 7 || text[4] != '-') return 0;
  for (size_t i = 0; i < 7; i++) {
    if (i != 4 && !isdigit((unsigned char)text[i])) return 0;
  }
  return 1;
}

static int32_t bind_rest(struct shopify_settings *settings, struct dray_error *error) {
  if (!is_version(settings->api_version)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "api_version",
                           "api_version: '%.40s' is not a version such as 2026-10", settings->api_version);
  }
  settings->start_us = SHOPIFY_TIME_NONE;
  if (settings->start_date != NULL) {
    struct dray_error why;
    dray_error_init(&why);
    if (dray_parse_timestamp(dray_str_of(settings->start_date), &settings->start_us, &why) != DRAY_OK) {
      return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "start_date", "start_date: %s", why.text);
    }
    settings->start_us -= settings->start_us % 1000000; // the API keeps whole seconds
  }
  for (int32_t i = 0; bulk_choices[i] != NULL; i++) {
    if (strcmp(settings->use_bulk, bulk_choices[i]) == 0) settings->bulk = i + 1;
  }
  return DRAY_OK;
}

int32_t shopify_settings_bind(struct dray_str json, struct shopify_settings *out, struct dray_error *error) {
  struct shopify_settings settings = {0};
  DRAY_TRY(dray_config_bind(table, TABLE_COUNT, json, &settings, error));
  int32_t rc = bind_address(&settings, error);
  if (rc == DRAY_OK) rc = bind_grant(&settings, error);
  if (rc == DRAY_OK) rc = bind_rest(&settings, error);
  if (rc != DRAY_OK) {
    shopify_settings_free(&settings);
    return rc;
  }
  *out = settings;
  return DRAY_OK;
}

void shopify_settings_free(struct shopify_settings *settings) {
  free(settings->origin);
  free(settings->host);
  dray_config_release(table, TABLE_COUNT, settings);
  memset(settings, 0, sizeof(*settings));
}
