// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A token of an HTTP API, from a static secret or by OAuth 2, renewed once for all instances and processes that use it.
#ifndef DRAY_SDK_CREDENTIAL_H
#define DRAY_SDK_CREDENTIAL_H

#include "dray/sdk/services.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  DRAY_GRANT_STATIC = 1,             // the secret is the token: it never changes and cannot be renewed
  DRAY_GRANT_CLIENT_CREDENTIALS = 2, // RFC 6749 §4.4: asked for again whenever it ends
  DRAY_GRANT_REFRESH_TOKEN = 3 // RFC 6749 §6: each renewal may bring another refresh token, which is stored first
};

// How tokens are had. All strings are borrowed for the life of the credential; static text, or the settings'.
struct dray_credential_terms {
  int32_t grant;               // DRAY_GRANT_*
  int32_t json_body;           // the token request's body: 1 JSON, 0 a form
  const char *name;            // state key of what is stored, e.g. "oauth", with a host that stores by connection
  const char *token_setting;   // STATIC: the secret setting that is the token
  const char *basic_user;      // STATIC: what is given is base64 of this, ':' and the secret, to send behind "Basic "
                               // (RFC 7617); NULL: the secret as it is
  const char *token_url;       // others
  const char *client_id;       // NULL: not sent
  const char *secret_setting;  // of the client's secret; NULL: none
  const char *refresh_setting; // REFRESH_TOKEN: of the first refresh token. When it is changed, what is stored is void
  const char *scope;           // NULL: not sent
  int64_t lifetime_s;          // where the answer has no expires_in; 0: until refused
  int64_t margin_s;            // renewed when less than this is left; 0: 60
};

struct dray_credential; // opaque; one thread at a time

// Reads no secret and sends nothing. Several credentials of one connection need names of their own. @owner free with
// dray_credential_free, which wipes it. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_credential_new(const struct dray_services *services,
                                           const struct dray_credential_terms *terms, struct dray_credential **out,
                                           struct dray_error *error);
void dray_credential_free(struct dray_credential *credential); // NULL is allowed
// The token to send now, valid until the next call on the credential; renewed first when it is about to end. All
// connections and processes of a project that have one credential (grant, token_url, client_id, and the configured
// refresh token, else the client's secret and the scope) share one pair: whoever holds the lock renews it and stores
// the new pair before anybody uses it, the others take what is stored. It is found by a hash of those, so that another
// setting finds another pair; one that the connection stored for itself under `name`, as was done before, is taken
// over. A refresh token is spent only when the store could just be written. Tokens are masked from when they are known.
// @errors CONFIG_MISSING, CONFIG_SECRET_MISSING; AUTH_REJECTED with what to do when the other side refuses the grant
// (invalid_grant, invalid_client); NET_*, HTTP_*, THROTTLED, BUSY, LIMIT, CANCELLED, those of the state service.
DRAY_NODISCARD int32_t dray_credential_token(struct dray_credential *credential, struct dray_str *out,
                                             struct dray_error *error);
// The other side refused (401) the token that was given last: the next dray_credential_token renews it, unless another
// process has done so already. *out_again = 1 when trying again makes sense, 0 for a STATIC one.
DRAY_NODISCARD int32_t dray_credential_refused(struct dray_credential *credential, int32_t *out_again,
                                               struct dray_error *error);
// Grows by one with every token that is not the one before: requests under way are told apart by it.
uint64_t dray_credential_generation(const struct dray_credential *credential);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CREDENTIAL_H
