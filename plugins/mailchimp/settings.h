// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a connection is set to, and what a sync's `to:` says besides.
#ifndef MAILCHIMP_SETTINGS_H
#define MAILCHIMP_SETTINGS_H

#include "dray/sdk.h"

#define MC_CONNECTIONS_MAX 10 // that the vendor allows

struct mc_settings {
  int32_t has_api_key, has_access_token, has_code; // one of them; the code may still be missing
  int32_t has_client_secret;
  char *client_id, *redirect_uri; // of the app whose code it is; NULL: none
  char *dc;                       // NULL: of the key or the token
  char *base_url;                 // NULL: the vendor's own
  char *list_ids_json;
  char *start_date; // NULL: everything
  int64_t page_size;
  int64_t max_connections;
  int64_t overlap_seconds;
  int64_t report_lookback_days;
  int64_t email_activity_days;
  int32_t include_archived;

  struct dray_json *list_ids; // parsed; an empty array: all audiences
  int64_t start_us;           // of start_date; 0: none
  int32_t grant;              // DRAY_GRANT_*
};

DRAY_NODISCARD int32_t mc_settings_spec(struct dray_str *out_json, struct dray_error *error); // static memory
DRAY_NODISCARD int32_t mc_settings_bind(struct dray_str json, struct mc_settings *out, struct dray_error *error);
void mc_settings_free(struct mc_settings *settings);

// What to do with members that are to be removed.
enum { MC_DELETE_ARCHIVE, MC_DELETE_UNSUBSCRIBE, MC_DELETE_PERMANENT, MC_DELETE_NONE };

struct mc_options {
  char *list_id;
  char *new_status;
  char *delete_mode;
  char *segment_id; // NULL: none
  int32_t update_existing;
  int32_t never_resubscribe;
  int32_t skip_merge_validation;
  int32_t create_merge_fields;
  int32_t sync_tags;

  int32_t deletion; // MC_DELETE_*
};

DRAY_NODISCARD int32_t mc_options_spec(struct dray_buffer *out, struct dray_error *error);
DRAY_NODISCARD int32_t mc_options_bind(struct dray_str json, struct mc_options *out, struct dray_error *error);
void mc_options_free(struct mc_options *options);

#endif // MAILCHIMP_SETTINGS_H
