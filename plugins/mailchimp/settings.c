// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of settings and options, and the checks that need no network.
#include "settings.h"

#include <stddef.h>

#define DOCUMENT_BYTES_MAX (1u << 20)

#define MEMBER(name) offsetof(struct mc_settings, name)
static const struct dray_setting table[] = {
    {.name = "api_key",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_api_key),
     .description = "an API key (Account > Extras > API keys); it has the rights of its user"},
    {.name = "access_token",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_access_token),
     .description = "an OAuth 2 access token, instead of an API key; it does not expire"},
    {.name = "authorization_code",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_code),
     .description = "the code of an OAuth 2 authorisation, good once; the token that it brings is kept"},
    {.name = "client_id",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(client_id),
     .description = "with an authorization_code: the OAuth app's client ID"},
    {.name = "client_secret",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_client_secret),
     .description = "its client secret"},
    {.name = "redirect_uri",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(redirect_uri),
     .description = "its redirect URI, where the code arrives"},
    {.name = "dc",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .offset = MEMBER(dc),
     .description = "the data centre, us21 say; without: what stands behind the last dash of the API key, or what "
                    "the token's metadata say"},
    {.name = "base_url",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .offset = MEMBER(base_url),
     .description = "instead of the vendor's address, for a proxy or a test: https, or http to this machine"},
    {.name = "list_ids",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(list_ids_json),
     .default_json = "[]",
     .schema_json = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
     .description = "source: the ids of the audiences to read; empty: all"},
    {.name = "start_date",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(start_date),
     .description = "source: incremental reads begin here, 2026-01-31 say; without: everything. An earlier one reads "
                    "again from there"},
    {.name = "page_size",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(page_size),
     .default_json = "1000",
     .minimum = 10,
     .maximum = 1000,
     .description = "source: records a page"},
    {.name = "max_connections",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(max_connections),
     .default_json = "4",
     .minimum = 1,
     .maximum = MC_CONNECTIONS_MAX,
     .description = "requests at once, of all processes of the project together; the vendor allows a user ten, over "
                    "all its apps"},
    {.name = "overlap_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(overlap_seconds),
     .default_json = "60",
     .minimum = 1,
     .maximum = 86400,
     .description = "source: how far before the last change an incremental read begins"},
    {.name = "report_lookback_days",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(report_lookback_days),
     .default_json = "30",
     .minimum = 0,
     .maximum = 3650,
     .description = "source: campaigns and reports that young are read again, since their counts change"},
    {.name = "email_activity_days",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(email_activity_days),
     .default_json = "90",
     .minimum = 1,
     .maximum = 3650,
     .description = "source: email_activity and unsubscribes are of campaigns that were sent in so many days"},
    {.name = "include_archived",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(include_archived),
     .default_json = "true",
     .description = "source: archived members too, with status archived; false: none, and who is archived later "
                    "becomes a tombstone"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static const char *const statuses[] = {"subscribed", "pending", "transactional", "unsubscribed", NULL};
static const char *const delete_modes[] = {"archive", "unsubscribe", "permanent", "none", NULL};

#define OPTION(name) offsetof(struct mc_options, name)
static const struct dray_setting option_table[] = {
    {.name = "list_id",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = OPTION(list_id),
     .description = "the audience's id"},
    {.name = "new_status",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(new_status),
     .default_json = "\"subscribed\"",
     .choices = statuses,
     .description = "members: of those that are new, where the row has no status"},
    {.name = "update_existing",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(update_existing),
     .default_json = "true",
     .description = "members: whether an insert may change a member that is there already; false: such a row is "
                    "reported as unchanged"},
    {.name = "never_resubscribe",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(never_resubscribe),
     .default_json = "true",
     .description = "members: the status of a member that is there is never set to subscribed or pending; only new "
                    "ones get it"},
    {.name = "skip_merge_validation",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(skip_merge_validation),
     .default_json = "false",
     .description = "members: take members without a value in a required merge field"},
    {.name = "create_merge_fields",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(create_merge_fields),
     .default_json = "false",
     .description = "members: make merge fields that are mapped and that the audience lacks"},
    {.name = "sync_tags",
     .kind = DRAY_SETTING_BOOL,
     .offset = OPTION(sync_tags),
     .default_json = "false",
     .description = "members: the column tags is the whole of a member's tags; false: they are added"},
    {.name = "delete_mode",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(delete_mode),
     .default_json = "\"archive\"",
     .choices = delete_modes,
     .description = "members: what a removal does; permanent cannot be undone, and the address can never come back"},
    {.name = "segment_id",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .offset = OPTION(segment_id),
     .description = "segment_members: the static segment's id"},
};
#define OPTION_COUNT (sizeof(option_table) / sizeof(option_table[0]))

int32_t mc_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, TABLE_COUNT, out_json, error);
}

int32_t mc_options_spec(struct dray_buffer *out, struct dray_error *error) {
  return dray_config_spec(option_table, OPTION_COUNT, out, error);
}

// ---- checks ----

static int is_name(const char *text) { // of a host's part, an audience, a segment
  if (text[0] == '\0' || strlen(text) > 64) return 0;
  for (; *text != '\0'; text++) {
    if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9'))) return 0;
  }
  return 1;
}

static int32_t check_address(const char *url, struct dray_error *error) {
  const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : "";
  const size_t len = strlen(host);
  if (len > 0 && len < 1024 && strpbrk(host, "?#@ \t\r\n") == NULL && host[len - 1] != '/') return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "base_url",
                         "base_url is https://HOST or http://HOST of this machine, without a slash at its end");
}

static int32_t check_start(struct mc_settings *settings, struct dray_error *error) {
  if (settings->start_date == NULL) return DRAY_OK;
  if (dray_parse_timestamp(dray_str_of(settings->start_date), &settings->start_us, NULL) == DRAY_OK) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "start_date",
                         "start_date is \"%.80s\", which is neither a date nor a time", settings->start_date);
}

static int32_t check_lists(struct mc_settings *settings, struct dray_error *error) {
  DRAY_TRY(dray_json_parse(dray_str_of(settings->list_ids_json), DOCUMENT_BYTES_MAX, &settings->list_ids, error));
  int good = settings->list_ids->kind == DRAY_JSON_ARRAY;
  for (const struct dray_json *id = settings->list_ids->child; good && id != NULL; id = id->next) {
    good = id->kind == DRAY_JSON_STRING && is_name(id->text.data);
  }
  return good ? DRAY_OK
              : dray_fail_field(error, DRAY_E_CONFIG_VALUE, "list_ids", "list_ids is a list of audiences' ids");
}

static int32_t require(int is_given, const char *field, struct dray_error *error) {
  if (is_given) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_MISSING, field,
                         "%s is missing: a code needs client_id, client_secret and "
                         "redirect_uri of its app",
                         field);
}

// Without a code it is the app that somebody is about to grant access to.
static int32_t check_credentials(struct mc_settings *settings, struct dray_error *error) {
  const int is_static = settings->has_api_key || settings->has_access_token;
  const int kinds = settings->has_api_key + settings->has_access_token + settings->has_code;
  const int is_code =
      settings->has_code || (!is_static && settings->client_id != NULL && settings->redirect_uri != NULL);
  if (kinds > 1 || (kinds == 0 && !is_code)) {
    return dray_fail_field(error, kinds > 1 ? DRAY_E_CONFIG_VALUE : DRAY_E_CONFIG_MISSING,
                           settings->has_api_key || kinds == 0 ? "api_key" : "authorization_code",
                           "set one of api_key, access_token, and authorization_code with its app");
  }
  settings->grant = is_code ? DRAY_GRANT_AUTHORIZATION_CODE : DRAY_GRANT_STATIC;
  if (!is_code) return DRAY_OK;
  DRAY_TRY(require(settings->client_id != NULL, "client_id", error));
  DRAY_TRY(require(settings->has_client_secret || !settings->has_code, "client_secret", error));
  return require(settings->redirect_uri != NULL, "redirect_uri", error);
}

static int32_t check_settings(struct mc_settings *settings, struct dray_error *error) {
  DRAY_TRY(check_credentials(settings, error));
  if (settings->dc != NULL && !is_name(settings->dc)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "dc", "dc is a data centre's name, us21 say");
  }
  if (settings->base_url != NULL) DRAY_TRY(check_address(settings->base_url, error));
  DRAY_TRY(check_start(settings, error));
  return check_lists(settings, error);
}

int32_t mc_settings_bind(struct dray_str json, struct mc_settings *out, struct dray_error *error) {
  struct mc_settings made = {0};
  DRAY_TRY(dray_config_bind(table, TABLE_COUNT, json, &made, error));
  const int32_t rc = check_settings(&made, error);
  if (rc != DRAY_OK) {
    mc_settings_free(&made);
    return rc;
  }
  *out = made;
  return DRAY_OK;
}

void mc_settings_free(struct mc_settings *settings) {
  dray_json_free(settings->list_ids);
  settings->list_ids = NULL;
  dray_config_release(table, TABLE_COUNT, settings);
}

int32_t mc_options_bind(struct dray_str json, struct mc_options *out, struct dray_error *error) {
  struct mc_options made = {0};
  DRAY_TRY(dray_config_bind(option_table, OPTION_COUNT, json, &made, error));
  while (strcmp(delete_modes[made.deletion], made.delete_mode) != 0) made.deletion++;
  int32_t rc = DRAY_OK;
  if (!is_name(made.list_id)) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, "list_id", "list_id is an audience's id: letters and digits");
  } else if (made.segment_id != NULL && !is_name(made.segment_id)) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, "segment_id", "segment_id is a segment's id: digits");
  }
  if (rc != DRAY_OK) {
    mc_options_free(&made);
    return rc;
  }
  *out = made;
  return DRAY_OK;
}

void mc_options_free(struct mc_options *options) {
  dray_config_release(option_table, OPTION_COUNT, options);
}
