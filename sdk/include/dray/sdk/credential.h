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
  DRAY_GRANT_REFRESH_TOKEN = 3,     // RFC 6749 §6: each renewal may bring another refresh token, which is stored first
  DRAY_GRANT_AUTHORIZATION_CODE = 4 // RFC 6749 §4.1.3: a code is exchanged once, then as REFRESH_TOKEN goes on
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
  // AUTHORIZATION_CODE. `scope` goes with the exchange alone.
  const char *code_setting;       // of the code; it may be unset, until somebody has granted access
  const char *redirect_uri;       // as it was in the address where access was granted; NULL: not sent
  const char *verifier_setting;   // of PKCE's code_verifier (RFC 7636); NULL: none
  const char *const *code_fields; // more that goes with the exchange: name, value, ..., NULL. NULL: nothing
  const char *authorize_url;      // where access is granted, without a query
  const char *authorize_scope;    // what is asked for there; NULL: not said
  int64_t code_lifetime_s;        // how long a code is good; 0: not known
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
// code or refresh token, else the client's secret and the scope) share one pair: whoever holds the lock renews it and
// stores the new pair before anybody uses it, the others take what is stored. It is found by a hash of those, so that
// another setting finds another pair; one that the connection stored for itself under `name`, as was done before, is
// taken over. When another setting has brought a token, the pair of the one before it is removed 90 days after the
// last connection that was seen with it has left it, so that one which has not run yet finds it. A refresh token is
// spent only when the store could just be written. A code is sent once, and that it is sent is stored before: what came
// of it when no answer was received or kept is not known, and it counts as used. A run that is asked to end while a
// code or a refresh token is being spent stores the answer first. Tokens are masked from when they are known.
// @errors CONFIG_MISSING, CONFIG_SECRET_MISSING, CONFIG_VALUE (a code_verifier that is none); AUTH_REJECTED with what
// to do when the other side refuses the grant (invalid_grant, invalid_client), and for a code whose answer was lost;
// NET_*, HTTP_*, THROTTLED, BUSY, LIMIT, CANCELLED, those of the state service.
DRAY_NODISCARD int32_t dray_credential_token(struct dray_credential *credential, struct dray_str *out,
                                             struct dray_error *error);
// The other side refused (401) the token that was given last: the next dray_credential_token renews it, unless another
// process has done so already. *out_again = 1 when trying again makes sense, 0 for a STATIC one, and for one of a code
// that came without a refresh token.
DRAY_NODISCARD int32_t dray_credential_refused(struct dray_credential *credential, int32_t *out_again,
                                               struct dray_error *error);
// Grows by one with every token that is not the one before: requests under way are told apart by it.
uint64_t dray_credential_generation(const struct dray_credential *credential);

// Whether a failure (`why`: of any call with this credential) is one that only somebody who grants access (again) can
// mend.
int dray_credential_wants_code(const struct dray_credential *credential, const struct dray_error *why);
// A check's step "credentials" for such a failure, with dray_credential_authorize's sentence as `fix`; *out_written = 0
// and nothing written for any other. @errors OUT_OF_MEMORY.
struct dray_json_writer; // json.h
DRAY_NODISCARD int32_t dray_credential_step_write(const struct dray_credential *credential,
                                                  const struct dray_error *why, struct dray_json_writer *writer,
                                                  int32_t *out_written, struct dray_error *error);
// AUTHORIZATION_CODE: appends the address to open, with all that belongs into it (RFC 6749 §4.1.1; with a verifier its
// challenge, S256) and a new random `state`, and what to do with what comes back, as one line.
// @errors CONFIG_VALUE for a code_verifier that is none, CONFIG_SECRET_MISSING, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_credential_authorize(const struct dray_credential *credential, struct dray_buffer *out,
                                                 struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CREDENTIAL_H
