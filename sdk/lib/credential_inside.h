// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the two halves of a credential share: credential.c keeps tokens, credential_grant.c asks for them. Inside the
// library only.
#ifndef DRAY_LIB_CREDENTIAL_INSIDE_H
#define DRAY_LIB_CREDENTIAL_INSIDE_H

#include "dray/sdk/credential.h"
#include "dray/sdk/json.h"

#define DRAY_CREDENTIAL_TOKEN_MAX 16384u
#define DRAY_CREDENTIAL_FINGERPRINT 33 // bytes, with the NUL

// Tokens that belong together. Owned, and wiped when they are let go.
struct dray_credential_pair {
  char *access;
  char *refresh;    // NULL: the configured one
  int64_t renew_us; // when it is to be renewed; 0: when it is refused
};

// Where a pair is stored.
struct dray_credential_place {
  const struct dray_state_service *store;
  int is_shared; // by all connections of the project that have the credential
  char key[DRAY_STATE_KEY_BYTES_MAX];
  char print[DRAY_CREDENTIAL_FINGERPRINT]; // of all that tokens are got with
};

struct dray_credential {
  const struct dray_services *services;
  struct dray_credential_terms terms;
  struct dray_credential_pair pair;    // in use; access NULL: none yet
  struct dray_credential_pair unsaved; // got, and not stored yet: nobody may use it
  int refused;                         // the other side refused pair.access
  uint64_t generation;
};

void dray_credential_pair_free(struct dray_credential_pair *pair);
void dray_credential_wipe(char **text);                                              // back to NULL
void dray_credential_mask(const struct dray_services *services, const char *secret); // NULL: nothing

// The setting that is to be looked at when a token is refused; NULL: the terms name none.
const char *dray_credential_setting(const struct dray_credential *credential);

// Asks for a token. `refresh`: the stored one, NULL: the configured one is used. *out is empty before and filled on
// success only. @errors as dray_credential_token.
DRAY_NODISCARD int32_t dray_credential_ask(struct dray_credential *credential, const char *refresh,
                                           struct dray_credential_pair *out, struct dray_error *error);

#endif // DRAY_LIB_CREDENTIAL_INSIDE_H
