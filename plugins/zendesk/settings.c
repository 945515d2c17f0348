// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of settings and options, and the checks that need no network.
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>

#define URL_BYTES_MAX 2048u

static const char *const bulk_choices[] = {"auto", "never", NULL};
static const char *const match_choices[] = {"auto", "id", "external_id", "email", "none", NULL};
static const char *const tag_choices[] = {"add", "remove", "set", NULL};

#define MEMBER(name) offsetof(struct zendesk_settings, name)
#define TEXT(setting, member, fallback, about)                                                                         \
  {                                                                                                                    \
    .name = (setting), .kind = DRAY_SETTING_STRING, .offset = MEMBER(member), .default_json = (fallback),              \
    .description = (about)                                                                                             \
  }
#define PLACE(setting, member, about)                                                                                  \
  {                                                                                                                    \
    .name = (setting), .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE, .offset = MEMBER(member),                     \
    .description = (about)                                                                                             \
  }
#define SECRET(setting, member, about)                                                                                 \
  { .name = (setting), .kind = DRAY_SETTING_SECRET, .offset = MEMBER(member), .description = (about) }
#define NUMBER(setting, member, fallback, least, most, about)                                                          \
  {                                                                                                                    \
    .name = (setting), .kind = DRAY_SETTING_INT, .offset = MEMBER(member), .default_json = (fallback),                 \
    .minimum = (least), .maximum = (most), .description = (about)                                                      \
  }
#define SWITCH(setting, member, fallback, about)                                                                       \
  {                                                                                                                    \
    .name = (setting), .kind = DRAY_SETTING_BOOL, .offset = MEMBER(member), .default_json = (fallback),                \
    .description = (about)                                                                                             \
  }

static const struct dray_setting table[] = {
    PLACE("subdomain", subdomain, "acme of https://acme.zendesk.com; a host-mapped domain is not for the API"),
    PLACE("base_url", base_url,
          "another address instead of the subdomain's, of a proxy: https, or http to this "
          "machine"),
    TEXT("client_id", client_id, NULL, "OAuth: the client's unique identifier"),
    SECRET("client_secret", has_client_secret,
           "OAuth: the secret of a confidential client; alone with client_id: "
           "client_credentials"),
    SECRET("authorization_code", has_code,
           "OAuth: the code of an authorisation, good once and for 120 s; what it brings is kept and renewed"),
    TEXT("redirect_uri", redirect_uri, NULL, "OAuth: one of the client's redirect URLs, where the code arrives"),
    SECRET("code_verifier", has_code_verifier,
           "OAuth: PKCE's secret of an authorisation, 43 to 128 characters; a public client needs it, any may have it"),
    SECRET("refresh_token", has_refresh_token, "OAuth: the first refresh token; every renewal stores the next one"),
    SECRET("access_token", has_access_token, "OAuth: an access token that is used until it ends"),
    TEXT("email", email, NULL, "legacy: whose api_token it is"),
    SECRET("api_token", has_api_token, "legacy: an API token; Zendesk switches all of them off on 2027-04-30"),
    TEXT("scope", scope, "\"read write\"", "OAuth: what client_credentials and authorisations ask for"),
    TEXT("start_date", start_date, "\"2007-01-01T00:00:00Z\"",
         "exports begin here when nothing was read before; an earlier one reads them again from there"),
    NUMBER("page_size", page_size, "1000", 1, 1000, "records a page of the exports; lists have 100 at most"),
    SWITCH("include_deleted", include_deleted, "true", "deleted tickets, users and organizations become tombstones"),
    SWITCH("flatten_custom_fields", flatten_custom_fields, "true", "custom fields become typed columns: custom_KEY"),
    NUMBER("overlap_seconds", overlap_seconds, "60", 0, 86400, "exports by time begin so much earlier than they ended"),
    NUMBER("requests_per_minute", requests_per_minute, "0", 0, 100000,
           "at most so many, for all syncs of the account; 0: what Zendesk says the plan has"),
    NUMBER("exports_per_minute", exports_per_minute, "10", 1, 100000,
           "requests to incremental exports; 30 with the High Volume add-on"),
    {.name = "use_bulk",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(use_bulk),
     .default_json = "\"auto\"",
     .choices = bulk_choices,
     .description = "auto: jobs of up to batch_size rows, single calls where Zendesk does not allow them; or never"},
    NUMBER("batch_size", batch_size, "100", 1, 100, "rows of a job"),
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

#define OPTION(name) offsetof(struct zendesk_options, name)
static const struct dray_setting option_table[] = {
    {.name = "match_by",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(match_by),
     .default_json = "\"auto\"",
     .choices = match_choices,
     .description = "what finds the record: id, external_id, email (users), none (tickets that are only created); "
                    "auto: what the key of the sync is mapped to"},
    {.name = "tags",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(tags),
     .default_json = "\"add\"",
     .choices = tag_choices,
     .description = "ticket_tags and user_tags: add the row's tags, remove them, or set them as the only ones"},
    {.name = "skip_verify_email",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(skip_verify_email),
     .default_json = "true",
     .description = "users: new ones get no e-mail that asks them to verify their address"},
    {.name = "make_email_primary",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(make_email_primary),
     .default_json = "true",
     .description = "users: a changed e-mail address, which Zendesk only adds, becomes the primary one"},
    {.name = "comments_public",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(comments_public),
     .default_json = "true",
     .description = "tickets: comments are public where the row has no comment_public"},
};
#define OPTION_COUNT (sizeof(option_table) / sizeof(option_table[0]))

int32_t zendesk_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, TABLE_COUNT, out_json, error);
}

// ---- checks ----

static int is_given(const char *text) {
  return text != NULL && text[0] != '\0';
}

// A subdomain is one DNS label: nothing else may get into the host that credentials are sent to.
static int is_label(const char *text) {
  const size_t len = strlen(text);
  if (len == 0 || len > 63 || text[0] == '-' || text[len - 1] == '-') return 0;
  for (size_t i = 0; i < len; i++) {
    const char c = text[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')) return 0;
  }
  return 1;
}

static int32_t make_base_url(struct zendesk_settings *settings, struct dray_error *error) {
  if (!is_given(settings->subdomain)) {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "subdomain",
                           "subdomain is missing: acme, for https://acme.zendesk.com");
  }
  if (!is_label(settings->subdomain)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "subdomain",
                           "subdomain is the first part of the address alone: acme for https://acme.zendesk.com, not "
                           "'%.80s'",
                           settings->subdomain);
  }
  char url[128];
  (void)snprintf(url, sizeof(url), "https://%s.zendesk.com", settings->subdomain);
  free(settings->base_url);
  settings->base_url = dray_str_dup(dray_str_of(url));
  return settings->base_url != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an address");
}

static int32_t check_base_url(struct zendesk_settings *settings, struct dray_error *error) {
  char *url = settings->base_url;
  if (!is_given(url)) return make_base_url(settings, error);
  const char *rest = strncmp(url, "https://", 8) == 0 ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
  const char *wrong = NULL;
  if (rest == NULL) {
    wrong = "it must begin with https:// (or http:// to this machine)";
  } else if (strlen(url) > URL_BYTES_MAX || strpbrk(url, " \t\r\n?#@\\") != NULL) {
    wrong = "it may hold a host, a port and a path only";
  } else if (strcspn(rest, "/") == 0) {
    wrong = "it names no host";
  }
  if (wrong != NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "base_url", "the base_url cannot be used: %s", wrong);
  }
  for (size_t len = strlen(url); len > 0 && url[len - 1] == '/'; len--) url[len - 1] = '\0';
  return DRAY_OK;
}

static int32_t require(const char *text, const char *field, const char *what, struct dray_error *error) {
  if (is_given(text)) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_MISSING, field, "%s is missing: %s", field, what);
}

static int32_t check_code(const struct zendesk_settings *settings, struct dray_error *error) {
  if (settings->has_code && (settings->has_refresh_token || settings->has_access_token || settings->has_api_token)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "authorization_code",
                           "authorization_code and refresh_token, access_token or api_token exclude each other");
  }
  DRAY_TRY(require(settings->redirect_uri, "redirect_uri", "one of the client's redirect URLs", error));
  if (!settings->has_code || settings->has_client_secret || settings->has_code_verifier) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "client_secret",
                         "client_secret is missing beside client_id and redirect_uri, or code_verifier for a public "
                         "client");
}

static int32_t choose_auth(struct zendesk_settings *settings, struct dray_error *error) {
  const int has_other = settings->has_refresh_token || settings->has_access_token || settings->has_api_token;
  if (settings->has_code || (is_given(settings->redirect_uri) && !has_other)) {
    settings->auth = ZENDESK_AUTH_CODE;
    DRAY_TRY(check_code(settings, error));
  } else if (settings->has_refresh_token) {
    settings->auth = ZENDESK_AUTH_REFRESH;
  } else if (settings->has_client_secret) {
    settings->auth = ZENDESK_AUTH_CLIENT;
  } else if (settings->has_access_token) {
    settings->auth = ZENDESK_AUTH_ACCESS;
  } else if (settings->has_api_token) {
    settings->auth = ZENDESK_AUTH_API_TOKEN;
  } else {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "client_secret",
                           "no credentials: give client_id and client_secret of an OAuth client, with redirect_uri if "
                           "somebody is to grant it access, client_id and refresh_token, an access_token, or (legacy) "
                           "email and api_token");
  }
  if (settings->auth == ZENDESK_AUTH_API_TOKEN)
    return require(settings->email, "email", "whose api_token it is", error);
  if (settings->auth == ZENDESK_AUTH_ACCESS) return DRAY_OK;
  return require(settings->client_id, "client_id", "the OAuth client's", error);
}

static int32_t check(struct zendesk_settings *settings, struct dray_error *error) {
  DRAY_TRY(check_base_url(settings, error));
  DRAY_TRY(choose_auth(settings, error));
  struct dray_error why;
  dray_error_init(&why);
  if (dray_parse_timestamp(dray_str_of(settings->start_date), &settings->start_us, &why) != DRAY_OK ||
      settings->start_us < 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "start_date",
                           "start_date is a date like 2024-01-01 or a time like 2024-01-01T00:00:00Z since 1970, not "
                           "'%.60s'",
                           settings->start_date);
  }
  return DRAY_OK;
}

int32_t zendesk_settings_bind(struct dray_str json, struct zendesk_settings *out, struct dray_error *error) {
  struct zendesk_settings settings = {0};
  DRAY_TRY(dray_config_bind(table, TABLE_COUNT, json, &settings, error));
  const int32_t rc = check(&settings, error);
  if (rc != DRAY_OK) {
    zendesk_settings_free(&settings);
    return rc;
  }
  *out = settings;
  return DRAY_OK;
}

int zendesk_asks_scope(const struct zendesk_settings *settings, struct dray_str scope) {
  const char *at = settings->scope;
  while (*at != '\0') {
    const size_t len = strcspn(at, " ,");
    if (dray_str_equal(dray_str_make(at, len), scope)) return 1;
    at += len + (at[len] != '\0');
  }
  return 0;
}

void zendesk_settings_free(struct zendesk_settings *settings) {
  dray_config_release(table, TABLE_COUNT, settings);
  memset(settings, 0, sizeof(*settings));
}

static int32_t write_markdown(const struct dray_setting *settings, size_t count, struct dray_buffer *out,
                              struct dray_error *error) {
  for (size_t i = 0; i < count; i++) {
    const char *fallback = settings[i].kind == DRAY_SETTING_SECRET ? "secret" : settings[i].default_json;
    DRAY_TRY(dray_buffer_printf(out, error, "| `%s` | %s%s%s | %s |\n", settings[i].name, fallback != NULL ? "`" : "",
                                fallback != NULL ? fallback : "", fallback != NULL ? "`" : "",
                                settings[i].description));
  }
  return DRAY_OK;
}

int32_t zendesk_settings_markdown(struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "| setting | default | |\n|---|---|---|\n", error));
  DRAY_TRY(write_markdown(table, TABLE_COUNT, out, error));
  DRAY_TRY(dray_buffer_append_str(out, "\n| option of `to:` | default | |\n|---|---|---|\n", error));
  return write_markdown(option_table, OPTION_COUNT, out, error);
}

// ---- options ----

int32_t zendesk_options_spec(struct dray_buffer *out, struct dray_error *error) {
  return dray_config_spec(option_table, OPTION_COUNT, out, error);
}

int32_t zendesk_options_bind(struct dray_str json, struct zendesk_options *out, struct dray_error *error) {
  struct zendesk_options options = {0};
  DRAY_TRY(dray_config_bind(option_table, OPTION_COUNT, json, &options, error));
  *out = options;
  return DRAY_OK;
}

void zendesk_options_free(struct zendesk_options *options) {
  dray_config_release(option_table, OPTION_COUNT, options);
  memset(options, 0, sizeof(*options));
}
