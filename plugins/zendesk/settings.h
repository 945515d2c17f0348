// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a connection is set to, and what a sync's `to:` lays over it.
#ifndef ZENDESK_SETTINGS_H
#define ZENDESK_SETTINGS_H

#include "dray/sdk.h"

enum {
  ZENDESK_AUTH_CLIENT = 1, // OAuth client_credentials
  ZENDESK_AUTH_CODE,       // OAuth authorization_code; the code may still be missing
  ZENDESK_AUTH_REFRESH,    // OAuth refresh_token
  ZENDESK_AUTH_ACCESS,     // an OAuth access token that was given out of band
  ZENDESK_AUTH_API_TOKEN   // legacy: e-mail and API token, until 2027-04-30
};

struct zendesk_settings {
  char *subdomain;
  char *base_url; // after binding always set, without a slash at its end
  char *client_id;
  int32_t has_client_secret;
  int32_t has_code;
  char *redirect_uri; // NULL: none
  int32_t has_code_verifier;
  int32_t has_refresh_token;
  int32_t has_access_token;
  char *email;
  int32_t has_api_token;
  char *scope;
  char *start_date;
  int64_t page_size;
  int32_t include_deleted;
  int32_t flatten_custom_fields;
  int64_t overlap_seconds;
  int64_t requests_per_minute;
  int64_t exports_per_minute;
  char *use_bulk;
  int64_t batch_size;

  int32_t auth;     // ZENDESK_AUTH_*
  int64_t start_us; // start_date
};

DRAY_NODISCARD int32_t zendesk_settings_spec(struct dray_str *out_json, struct dray_error *error); // static memory
// Binds and checks the settings of a connection. @errors CONFIG_*, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_settings_bind(struct dray_str json, struct zendesk_settings *out,
                                             struct dray_error *error);
// Whether client_credentials are asked for with that scope.
int zendesk_asks_scope(const struct zendesk_settings *settings, struct dray_str scope);
void zendesk_settings_free(struct zendesk_settings *settings);
// The settings as a Markdown table, for the README.
DRAY_NODISCARD int32_t zendesk_settings_markdown(struct dray_buffer *out, struct dray_error *error);

// What a sync says beside its object.
struct zendesk_options {
  char *match_by; // auto, id, external_id, email; tickets also none
  char *tags;     // add, remove, set
  int32_t skip_verify_email;
  int32_t make_email_primary;
  int32_t comments_public;
};
DRAY_NODISCARD int32_t zendesk_options_spec(struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t zendesk_options_bind(struct dray_str json, struct zendesk_options *out,
                                            struct dray_error *error);
void zendesk_options_free(struct zendesk_options *options);

#endif // ZENDESK_SETTINGS_H
