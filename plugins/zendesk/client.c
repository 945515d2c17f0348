// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Credentials, budgets and calls. What an answer means for rows is not known here.
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_UNKNOWN 200.0 // requests a minute of the smallest plan
#define LIST_PAGES_MAX 1000
#define RETRY_AFTER_DEFAULT_MS 60000
#define CONCURRENCY_MAX 10
#define CODE_LIFETIME_S 120

int32_t zendesk_client_init(struct zendesk_client *client, const struct dray_host *host, struct dray_str config_json,
                            struct dray_error *error) {
  memset(client, 0, sizeof(*client));
  DRAY_TRY(dray_services_init(&client->services, host, error));
  DRAY_TRY(zendesk_settings_bind(config_json, &client->settings, error));
  const char *host_name = strstr(client->settings.base_url, "://") + 3;
  (void)snprintf(client->account, sizeof(client->account), "zendesk:%.*s", (int)strcspn(host_name, "/"), host_name);
  client->limit =
      client->settings.requests_per_minute > 0 ? (double)client->settings.requests_per_minute : LIMIT_UNKNOWN;
  client->api = (struct dray_api){
      .services = &client->services,
      .base_url = client->settings.base_url,
      .rate_key = dray_str_of(client->account),
      .concurrency_max = CONCURRENCY_MAX,
      .response_bytes_max = ZENDESK_ANSWER_BYTES_MAX,
  };
  return DRAY_OK;
}

void zendesk_client_free(struct zendesk_client *client) {
  dray_api_answer_free(&client->answer);
  dray_credential_free(client->credential);
  free(client->basic_user);
  free(client->token_url);
  free(client->authorize_url);
  zendesk_settings_free(&client->settings);
  memset(client, 0, sizeof(*client));
}

// ---- credentials ----

// Legacy: Basic of "EMAIL/token:TOKEN".
static int32_t name_user(struct zendesk_client *client, struct dray_error *error) {
  const size_t bytes = strlen(client->settings.email) + sizeof("/token");
  free(client->basic_user);
  client->basic_user = malloc(bytes);
  if (client->basic_user == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a credential");
  (void)snprintf(client->basic_user, bytes, "%s/token", client->settings.email);
  return DRAY_OK;
}

static int32_t join(const char *base, const char *path, char **out, struct dray_error *error) {
  const size_t bytes = strlen(base) + strlen(path) + 1;
  char *url = malloc(bytes);
  if (url == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a credential");
  (void)snprintf(url, bytes, "%s%s", base, path);
  free(*out);
  *out = url;
  return DRAY_OK;
}

// Access is granted by somebody with a browser, who asks Zendesk itself, wherever the program asks.
static int32_t name_urls(struct zendesk_client *client, struct dray_error *error) {
  const struct zendesk_settings *settings = &client->settings;
  char own[128];
  const int has_own = settings->subdomain != NULL && settings->subdomain[0] != '\0';
  if (has_own) (void)snprintf(own, sizeof(own), "https://%s.zendesk.com", settings->subdomain);
  DRAY_TRY(join(settings->base_url, "/oauth/tokens", &client->token_url, error));
  return join(has_own ? own : settings->base_url, "/oauth/authorizations/new", &client->authorize_url, error);
}

int32_t zendesk_client_ready(struct zendesk_client *client, struct dray_error *error) {
  static const struct {
    int32_t grant;
    const char *token_setting, *refresh_setting, *prefix;
    int is_legacy, has_scope;
  } ways[] = {
      [ZENDESK_AUTH_CLIENT] = {DRAY_GRANT_CLIENT_CREDENTIALS, NULL, NULL, "Bearer ", 0, 1},
      [ZENDESK_AUTH_CODE] = {DRAY_GRANT_AUTHORIZATION_CODE, NULL, NULL, "Bearer ", 0, 1},
      [ZENDESK_AUTH_REFRESH] = {DRAY_GRANT_REFRESH_TOKEN, NULL, "refresh_token", "Bearer ", 0, 0},
      [ZENDESK_AUTH_ACCESS] = {DRAY_GRANT_STATIC, "access_token", NULL, "Bearer ", 0, 0},
      [ZENDESK_AUTH_API_TOKEN] = {DRAY_GRANT_STATIC, "api_token", NULL, "Basic ", 1, 0},
  };
  const struct zendesk_settings *settings = &client->settings;
  if (client->credential != NULL) return DRAY_OK;
  DRAY_TRY(name_urls(client, error));
  if (ways[settings->auth].is_legacy) DRAY_TRY(name_user(client, error));
  const struct dray_credential_terms terms = {
      .grant = ways[settings->auth].grant,
      .json_body = 1,
      .name = "oauth",
      .token_setting = ways[settings->auth].token_setting,
      .basic_user = ways[settings->auth].is_legacy ? client->basic_user : NULL,
      .token_url = client->token_url,
      .client_id = settings->client_id,
      .secret_setting = settings->has_client_secret ? "client_secret" : NULL,
      .refresh_setting = ways[settings->auth].refresh_setting,
      .scope = ways[settings->auth].has_scope ? settings->scope : NULL,
      .code_setting = "authorization_code",
      .redirect_uri = settings->redirect_uri,
      .verifier_setting = settings->has_code_verifier ? "code_verifier" : NULL,
      .authorize_url = client->authorize_url,
      .authorize_scope = settings->scope,
      .code_lifetime_s = CODE_LIFETIME_S,
  };
  DRAY_TRY(dray_credential_new(&client->services, &terms, &client->credential, error));
  client->api.credential = client->credential;
  client->api.token_header = "Authorization";
  client->api.token_prefix = ways[settings->auth].prefix;
  if (ways[settings->auth].is_legacy) {
    dray_log_printf(&client->services, DRAY_LOG_WARN,
                    "zendesk: api_token is legacy: new ones cannot be made since 2026-10-27, one that is not used for "
                    "30 days is switched off, and all end on 2027-04-30; make an OAuth client and set client_id and "
                    "client_secret");
  }
  return DRAY_OK;
}

// ---- budgets ----

static struct dray_pace_terms terms_of(const struct zendesk_client *client, const char *key, double per_minute) {
  (void)client;
  return (struct dray_pace_terms){.struct_size = sizeof(struct dray_pace_terms),
                                  .key = dray_str_of(key),
                                  .capacity = per_minute,
                                  .per_second = per_minute / 60.0};
}

static void export_key(const struct zendesk_client *client, char *out, size_t bytes) {
  (void)snprintf(out, bytes, "%s exports", client->account);
}

int32_t zendesk_pace(struct zendesk_client *client, int is_export, struct dray_error *error) {
  const struct dray_pace_service *pace = client->services.pace;
  const struct dray_pace_terms all = terms_of(client, client->account, client->limit);
  if (is_export) {
    char key[200];
    export_key(client, key, sizeof(key));
    const struct dray_pace_terms exports = terms_of(client, key, (double)client->settings.exports_per_minute);
    DRAY_TRY(pace->take(pace->ctx, &exports, 1, error));
  }
  return pace->take(pace->ctx, &all, 1, error);
}

static int read_count(const struct dray_api_answer *answer, const char *name, double *out) {
  int64_t value = 0;
  struct dray_error why;
  dray_error_init(&why);
  const struct dray_str text = dray_api_header(answer, name);
  if (text.len == 0 || dray_parse_int64(text, &value, &why) != DRAY_OK || value < 0) return 0;
  *out = (double)value;
  return 1;
}

void zendesk_told(struct zendesk_client *client, const struct dray_api_answer *answer) {
  const struct dray_pace_service *pace = client->services.pace;
  double limit = 0, remaining = 0;
  struct dray_error why;
  dray_error_init(&why);
  if (client->settings.requests_per_minute > 0) return; // the operator's own bound holds, below the vendor's
  if (!read_count(answer, "X-Rate-Limit", &limit) || limit < 1) return;
  if (!read_count(answer, "X-Rate-Limit-Remaining", &remaining)) return;
  client->limit = limit;
  const struct dray_pace_terms all = terms_of(client, client->account, limit);
  if (pace->tell(pace->ctx, &all, remaining < limit ? remaining : limit, 1, &why) != DRAY_OK) {
    dray_log_printf(&client->services, DRAY_LOG_DEBUG, "zendesk: the budget could not be noted: %s", why.text);
  }
}

int64_t zendesk_retry_after_ms(const struct dray_api_answer *answer) {
  const int64_t said = dray_api_retry_after_ms(answer);
  return said >= 0 ? said : RETRY_AFTER_DEFAULT_MS;
}

int32_t zendesk_hold(struct zendesk_client *client, const struct dray_api_answer *answer, int is_export,
                     struct dray_error *error) {
  const struct dray_pace_service *pace = client->services.pace;
  char key[200];
  export_key(client, key, sizeof(key));
  return pace->hold(pace->ctx, dray_str_of(is_export ? key : client->account), zendesk_retry_after_ms(answer), error);
}

// ---- calls ----

int32_t zendesk_send(struct zendesk_client *client, const struct zendesk_call *call, struct dray_error *error) {
  DRAY_TRY(zendesk_client_ready(client, error));
  DRAY_TRY(zendesk_pace(client, 0, error));
  const struct dray_http_header key = {dray_str_of("Idempotency-Key"), dray_str_of(call->idempotency)};
  const struct dray_api_request request = {
      .flags = call->flags,
      .method = call->method,
      .path = call->path,
      .body = call->body,
      .headers = call->idempotency != NULL ? &key : NULL,
      .header_count = call->idempotency != NULL ? 1 : 0,
      .does_once = call->does_once,
  };
  DRAY_TRY(dray_api_call(&client->api, &request, &client->answer, error));
  zendesk_told(client, &client->answer);
  return DRAY_OK;
}

int32_t zendesk_get(struct zendesk_client *client, const char *path, struct dray_json **out, struct dray_error *error) {
  const struct zendesk_call call = {.method = "GET", .path = dray_str_of(path)};
  char doing[200];
  DRAY_TRY(zendesk_send(client, &call, error));
  (void)snprintf(doing, sizeof(doing), "GET %.*s", (int)strcspn(path, "?"), path);
  if (client->answer.status >= 400) return zendesk_fail(&client->answer, doing, error);
  const int32_t rc = dray_api_json(&client->answer, ZENDESK_ANSWER_BYTES_MAX, out, error);
  return rc == DRAY_OK || error == NULL ? rc : dray_error_prefix(error, "%s", doing);
}

// ---- lists ----

// Only path and query of what the vendor links to are used: behind a proxy the links name another host.
static struct dray_str path_of(const struct zendesk_client *client, struct dray_str url) {
  const char *scheme = url.len > 8 ? strstr(url.data, "://") : NULL;
  if (scheme == NULL) return dray_str_make(NULL, 0);
  const char *at = strchr(scheme + 3, '/');
  if (at == NULL) return dray_str_make(NULL, 0);
  const char *base = strstr(client->settings.base_url, "://") + 3; // a path of the base's own comes once
  const char *base_path = strchr(base, '/');
  const size_t base_len = base_path != NULL ? strlen(base_path) : 0;
  if (base_len > 0 && strncmp(at, base_path, base_len) == 0 && at[base_len] == '/') at += base_len;
  return dray_str_make(at, url.len - (uint64_t)(at - url.data));
}

int32_t zendesk_next_page(const struct zendesk_client *client, const struct dray_json *page, const char *path,
                          int64_t page_size, struct dray_buffer *out, struct dray_error *error) {
  const struct dray_json *meta = dray_json_get(page, "meta");
  const struct dray_json *more = dray_json_get(meta, "has_more");
  const struct dray_str cursor = dray_json_string(dray_json_get(meta, "after_cursor"), "");
  if (more != NULL) {
    if (!more->boolean || cursor.len == 0) return DRAY_OK;
    char size[24];
    (void)snprintf(size, sizeof(size), "%lld", (long long)page_size);
    DRAY_TRY(dray_buffer_append_str(out, path, error));
    DRAY_TRY(dray_api_query(out, strchr(path, '?') == NULL, "page[size]", dray_str_of(size), error));
    return dray_api_query(out, 0, "page[after]", cursor, error);
  }
  const struct dray_str next = path_of(client, dray_json_string(dray_json_get(page, "next_page"), ""));
  return next.len > 0 ? dray_buffer_append(out, next.data, next.len, error) : DRAY_OK;
}

static int32_t visit_page(const struct dray_json *page, const char *path, const char *records,
                          const struct zendesk_visitor *visitor, struct dray_error *error) {
  const struct dray_json *list = dray_json_get(page, records);
  if (list == NULL || list->kind != DRAY_JSON_ARRAY) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "GET %s: the answer has no list \"%s\"", path, records);
  }
  for (const struct dray_json *record = list->child; record != NULL; record = record->next) {
    DRAY_TRY(visitor->each(visitor->ctx, record, error));
  }
  return DRAY_OK;
}

int32_t zendesk_list(struct zendesk_client *client, const char *path, const char *records,
                     const struct zendesk_visitor *visitor, struct dray_error *error) {
  struct dray_buffer at, next;
  dray_buffer_init(&at, 16384);
  dray_buffer_init(&next, 16384);
  int32_t rc = dray_buffer_append_str(&at, path, error);
  if (rc == DRAY_OK) rc = dray_api_query(&at, strchr(path, '?') == NULL, "page[size]", dray_str_of("100"), error);
  for (int pages = 0; rc == DRAY_OK && at.len > 0; pages++) {
    struct dray_json *page = NULL;
    if (pages == LIST_PAGES_MAX) rc = dray_fail(error, DRAY_E_LIMIT, "GET %s: more than %d pages", path, pages);
    if (rc == DRAY_OK) rc = zendesk_get(client, at.data, &page, error);
    if (rc == DRAY_OK) rc = visit_page(page, path, records, visitor, error);
    dray_buffer_clear(&next);
    if (rc == DRAY_OK) rc = zendesk_next_page(client, page, path, ZENDESK_LIST_PAGE, &next, error);
    dray_json_free(page);
    dray_buffer_clear(&at);
    if (rc == DRAY_OK && next.len > 0) rc = dray_buffer_append(&at, next.data, next.len, error);
  }
  dray_buffer_free(&at);
  dray_buffer_free(&next);
  return rc;
}
