// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the parts of a credential share: credential.c keeps tokens, credential_store.c stores them, credential_grant.c
// asks for them, credential_authorize.c says where access is granted. Inside the library only.
#ifndef DRAY_LIB_CREDENTIAL_INSIDE_H
#define DRAY_LIB_CREDENTIAL_INSIDE_H

#include "dray/sdk/credential.h"
#include "dray/sdk/json.h"

#define DRAY_CREDENTIAL_TOKEN_MAX 16384u
#define DRAY_CREDENTIAL_FINGERPRINT 33 // bytes, with the NUL
#define DRAY_CREDENTIAL_ID_BYTES 17    // with the NUL
#define DRAY_CREDENTIAL_USERS_MAX 64
#define DRAY_CREDENTIAL_LEFT_MAX 8 // of more, those that were left first stay for ever

// Tokens that belong together. Owned, and wiped when they are let go.
struct dray_credential_pair {
  char *access;
  char *refresh;    // NULL: the configured one
  int64_t renew_us; // when it is to be renewed; 0: when it is refused
};

// The connections that were last seen with a pair, by random ids of theirs.
struct dray_credential_users {
  char ids[DRAY_CREDENTIAL_USERS_MAX][DRAY_CREDENTIAL_ID_BYTES];
  size_t count;
  int unknown; // more than are told (of a pair from before they were noted, or too many): it is never removed
};

// What is stored at a place.
struct dray_credential_stored {
  struct dray_credential_pair pair;
  struct dray_credential_users users;
  char print[DRAY_CREDENTIAL_FINGERPRINT]; // of the settings that the pair was got with
  int is_sent;                             // no pair, but its code was sent
  int64_t left_us;                         // when the last of the users left; 0: there are some
};

// Where a pair is stored.
struct dray_credential_place {
  const struct dray_state_service *store;
  int is_shared; // by all connections of the project that have the credential
  char key[DRAY_STATE_KEY_BYTES_MAX];
  char print[DRAY_CREDENTIAL_FINGERPRINT]; // of all that tokens are got with
};

// A place that the connection left as the last one, and when it is to be looked at again.
struct dray_credential_left {
  char at[DRAY_STATE_KEY_BYTES_MAX];
  int64_t due_us;
};

// What the connection stores for itself, under the terms' name: who it is, at which place it last had a token, and
// where it had them before.
struct dray_credential_own {
  char id[DRAY_CREDENTIAL_ID_BYTES];
  char at[DRAY_STATE_KEY_BYTES_MAX];
  struct dray_credential_left left[DRAY_CREDENTIAL_LEFT_MAX];
  size_t left_count;
};

struct dray_credential {
  const struct dray_services *services;
  struct dray_credential_terms terms;
  struct dray_credential_pair pair;      // in use; access NULL: none yet
  struct dray_credential_pair unsaved;   // got, and not stored yet: nobody may use it
  struct dray_credential_users users;    // of the place, when it was last read
  struct dray_credential_own own;        // as it was last read or written; at "": nothing that counts
  int knows_former;                      // `former` holds
  char former[DRAY_STATE_KEY_BYTES_MAX]; // own.at when this process first read it, or last wrote it
  int refused;                           // the other side refused pair.access
  uint64_t generation;
};

void dray_credential_pair_free(struct dray_credential_pair *pair);
void dray_credential_wipe(char **text); // back to NULL
void dray_credential_wipe_buffer(struct dray_buffer *buffer);
void dray_credential_mask(const struct dray_services *services, const char *secret); // NULL: nothing

// The setting that is to be looked at when a token is refused; NULL: the terms name none.
const char *dray_credential_setting(const struct dray_credential *credential);
// Whether a stored pair is good to be used now.
int dray_credential_is_usable(const struct dray_credential *credential, const struct dray_credential_pair *stored);
// `bytes` random ones as `out`, 2 * bytes + 1 long.
void dray_credential_random(const struct dray_services *services, size_t bytes, char *out);

// ---- credential_store.c: all but the first and the last with the place's lock held ----

DRAY_NODISCARD int32_t dray_credential_find_place(const struct dray_credential *credential,
                                                  struct dray_credential_place *out, struct dray_error *error);
// *out stays empty where nothing is stored, or not for these settings. When a refresh token is about to be spent, it
// has just been possible to write.
DRAY_NODISCARD int32_t dray_credential_load(struct dray_credential *credential,
                                            const struct dray_credential_place *place,
                                            struct dray_credential_stored *out, struct dray_error *error);
// The pair, and that this connection has it.
DRAY_NODISCARD int32_t dray_credential_store(struct dray_credential *credential,
                                             const struct dray_credential_place *place,
                                             const struct dray_credential_pair *pair, struct dray_error *error);
// Whether the connection is one of those that are noted with the pair.
int dray_credential_is_noted(const struct dray_credential *credential);
// That the code is about to be sent; and that it was not, or is none.
DRAY_NODISCARD int32_t dray_credential_mark_sent(struct dray_credential *credential,
                                                 const struct dray_credential_place *place, struct dray_error *error);
void dray_credential_unmark(const struct dray_credential_place *place);
// The connection has a token from this place: another one where it had one before is left, unless another process has
// taken the connection elsewhere since. What cannot be done now is done when it next gets a token.
void dray_credential_leave_former(struct dray_credential *credential, const struct dray_credential_place *place);
// Empties the places that this connection left as the last one, once nobody has come back for long.
void dray_credential_sweep(struct dray_credential *credential, const struct dray_credential_place *place);

// ---- credential_grant.c ----

// Asks for a token. `refresh`: the stored one, NULL: the configured one, or the code, is used. *out is empty before and
// filled on success only. @errors as dray_credential_token.
DRAY_NODISCARD int32_t dray_credential_ask(struct dray_credential *credential,
                                           const struct dray_credential_place *place, const char *refresh,
                                           struct dray_credential_pair *out, struct dray_error *error);
// The code is used, and no token is there for it: `why` is how that came.
int32_t dray_credential_fail_used(const struct dray_credential *credential, const char *why, struct dray_error *error);

// ---- credential_authorize.c ----

// The code_verifier of the settings. @owner dray_secret_free. @errors CONFIG_VALUE where RFC 7636 §4.1 has no such one.
DRAY_NODISCARD int32_t dray_credential_verifier(const struct dray_credential *credential, char **out,
                                                struct dray_error *error);

#endif // DRAY_LIB_CREDENTIAL_INSIDE_H
