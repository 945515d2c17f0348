// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One account's API as one instance sees it: address, token, connections, refusals.
#ifndef MAILCHIMP_CLIENT_H
#define MAILCHIMP_CLIENT_H

#include "settings.h"

#define MC_WORDS_BYTES 600
#define MC_TRIES_MAX 9 // of a request that was refused for being one too many

struct mc_client {
  const struct dray_services *services;
  const struct mc_settings *settings;
  struct dray_credential *credential;
  char *address;   // with /3.0
  char *token_url; // NULL: no code
  char rate_key[64];
  struct dray_api api;
  int64_t their_now_us; // the other side's clock when it last answered mc_get; 0: not known
};

// Sends nothing. `services` and `settings` outlive the client. Free with mc_client_free, also after a failure.
DRAY_NODISCARD int32_t mc_client_init(struct mc_client *client, const struct dray_services *services,
                                      const struct mc_settings *settings, struct dray_error *error);
void mc_client_free(struct mc_client *client);
// Finds the account's address, once: from the settings, the key, or the token's metadata. @errors CONFIG_VALUE for a
// key without a data centre, AUTH_REJECTED for a token that the metadata do not know, those of dray_api_call and, for a
// code, of dray_credential_token.
DRAY_NODISCARD int32_t mc_client_ready(struct mc_client *client, struct dray_error *error);

// Whether an answer says that too many are asking: 429, or a 403 that is no document of the vendor's.
int mc_is_throttled(const struct dray_api_answer *answer);
// Waits before the request is made once more; longer with every try, from 0. @errors CANCELLED; THROTTLED after
// MC_TRIES_MAX.
DRAY_NODISCARD int32_t mc_wait_to_retry(const struct mc_client *client, int32_t tried, struct dray_error *error);
// The vendor's words: detail, and what it says of fields. Empty where there are none.
void mc_words(const struct dray_api_answer *answer, char out[MC_WORDS_BYTES]);
// The error for an answer that refuses, with the vendor's words. Returns its code.
int32_t mc_fail(const struct dray_api_answer *answer, const char *doing, struct dray_error *error);

// A GET whose answer is 200, as a tree; repeated while there are too many at once. `path` is behind /3.0. *out_status
// (NULL allowed) gets the status of a refusal. @owner dray_json_free.
DRAY_NODISCARD int32_t mc_get(struct mc_client *client, const char *path, struct dray_json **out, int32_t *out_status,
                              struct dray_error *error);
// The same in two steps, to have several under way: `pending` is of mc_get_start for this path, taken over.
DRAY_NODISCARD int32_t mc_get_start(struct mc_client *client, const char *path, struct dray_api_pending **out,
                                    struct dray_error *error);
DRAY_NODISCARD int32_t mc_get_finish(struct mc_client *client, const char *path, struct dray_api_pending *pending,
                                     struct dray_json **out, int32_t *out_status, struct dray_error *error);

// A time as queries want it: 2026-01-31T10:00:00+00:00, in `out` (DRAY_FORMAT_BYTES_MAX). Fractions are cut.
void mc_time(int64_t us, char *out);

#endif // MAILCHIMP_CLIENT_H
