// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a person has to do for a code: the address to open (RFC 6749 §4.1.1, RFC 7636 §4.3), and what comes back.
#include <stdio.h>

#include "credential_inside.h"
#include "dray/sdk/api.h"
#include "dray/sdk/catalog.h"
#include "dray/sdk/value.h"
#include "sha256.h"

#define STATE_BYTES 8
#define CHALLENGE_BYTES_MAX 64u
#define TEXT_BYTES_MAX 16384u

// ---- PKCE ----

int32_t dray_credential_verifier(const struct dray_credential *credential, char **out, struct dray_error *error) {
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  const char *setting = credential->terms.verifier_setting;
  char *verifier = NULL;
  DRAY_TRY(dray_secret_get(credential->services, setting, &verifier, error));
  const size_t len = strlen(verifier);
  if (len >= 43 && len <= 128 && strspn(verifier, allowed) == len) {
    *out = verifier;
    return DRAY_OK;
  }
  dray_secret_free(verifier);
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting,
                         "%s has %zu characters: it is 43 to 128 letters, digits and -._~, made anew for each code "
                         "(openssl rand -hex 32)",
                         setting, len);
}

// §4.2, S256: base64url of the hash, without padding.
static int32_t append_challenge(const struct dray_credential *credential, struct dray_buffer *out,
                                struct dray_error *error) {
  uint8_t hash[DRAY_SHA256_BYTES];
  struct dray_buffer text;
  char *verifier = NULL;
  DRAY_TRY(dray_credential_verifier(credential, &verifier, error));
  dray_sha256(verifier, strlen(verifier), hash);
  dray_secret_free(verifier);
  dray_buffer_init(&text, CHALLENGE_BYTES_MAX);
  int32_t rc = dray_base64_encode(dray_str_make((const char *)hash, sizeof(hash)), &text, error);
  for (size_t i = 0; rc == DRAY_OK && i < text.len; i++) {
    if (text.data[i] == '+') text.data[i] = '-';
    if (text.data[i] == '/') text.data[i] = '_';
  }
  while (rc == DRAY_OK && text.len > 0 && text.data[text.len - 1] == '=') text.len--;
  if (rc == DRAY_OK) rc = dray_api_query(out, 0, "code_challenge", dray_buffer_view(&text), error);
  if (rc == DRAY_OK) rc = dray_api_query(out, 0, "code_challenge_method", dray_str_of("S256"), error);
  dray_buffer_free(&text);
  return rc;
}

// ---- the address ----

static int32_t append_address(const struct dray_credential *credential, const char *state, struct dray_buffer *out,
                              struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const char *const parts[][2] = {{"client_id", terms->client_id},
                                  {"redirect_uri", terms->redirect_uri},
                                  {"scope", terms->authorize_scope},
                                  {"state", state}};
  DRAY_TRY(dray_buffer_append_str(out, terms->authorize_url, error));
  DRAY_TRY(dray_api_query(out, 1, "response_type", dray_str_of("code"), error));
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    if (parts[i][1] != NULL) DRAY_TRY(dray_api_query(out, 0, parts[i][0], dray_str_of(parts[i][1]), error));
  }
  return terms->verifier_setting != NULL ? append_challenge(credential, out, error) : DRAY_OK;
}

int32_t dray_credential_authorize(const struct dray_credential *credential, struct dray_buffer *out,
                                  struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  char state[2 * STATE_BYTES + 1], within[64] = "at once";
  dray_credential_random(credential->services, STATE_BYTES, state);
  if (terms->code_lifetime_s > 0) {
    (void)snprintf(within, sizeof(within), "within %lld seconds", (long long)terms->code_lifetime_s);
  }
  DRAY_TRY(dray_buffer_append_str(out, "open ", error));
  DRAY_TRY(append_address(credential, state, out, error));
  return dray_buffer_printf(
      out, error,
      " in a browser and grant access; the browser then goes to %s (no page need be there) with "
      "code=... and state=... in its address: see that state is %s, else the code is no answer to "
      "you; set what stands behind code= as %s, and run dray again %s",
      terms->redirect_uri != NULL ? terms->redirect_uri : "the app's redirect URI", state, terms->code_setting, within);
}

int dray_credential_wants_code(const struct dray_credential *credential, const struct dray_error *why) {
  const struct dray_credential_terms *terms = &credential->terms;
  if (terms->grant != DRAY_GRANT_AUTHORIZATION_CODE) return 0;
  const int is_secret = terms->secret_setting != NULL && strcmp(why->field, terms->secret_setting) == 0;
  const int is_code = strcmp(why->field, terms->code_setting) == 0;
  if (why->code == DRAY_E_CONFIG_MISSING || why->code == DRAY_E_CONFIG_SECRET_MISSING) return is_code;
  return why->code == DRAY_E_AUTH_REJECTED && !is_secret;
}

int32_t dray_credential_step_write(const struct dray_credential *credential, const struct dray_error *why,
                                   struct dray_json_writer *writer, int32_t *out_written, struct dray_error *error) {
  static const char step[] = "credentials";
  struct dray_buffer fix;
  struct dray_error wrong;
  *out_written = 0;
  if (!dray_credential_wants_code(credential, why)) return DRAY_OK;
  dray_error_init(&wrong);
  dray_buffer_init(&fix, TEXT_BYTES_MAX);
  const int32_t rc = dray_credential_authorize(credential, &fix, &wrong);
  if (rc == DRAY_OK) {
    dray_check_failure_write(writer, step, why->code, why->text, fix.data);
  } else if (rc != DRAY_E_OUT_OF_MEMORY) { // a setting that is to be mended before
    dray_check_failure_write(writer, step, rc, wrong.text, dray_error_info(rc)->fix);
  }
  dray_buffer_free(&fix);
  *out_written = 1;
  return rc == DRAY_E_OUT_OF_MEMORY ? dray_fail(error, rc, "no memory for an address") : DRAY_OK;
}
