// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A token, kept until it ends or is refused. The order of what is done is what makes a rotating refresh token safe:
// under the lock that all who have the credential share, the new pair is durable before anybody uses it. What is stored
// is in credential_store.c, asking for tokens in credential_grant.c.
#include "credential_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_WAIT_MS 180000 // longer than a renewal takes, unless the other side puts it off

// ---- texts that are wiped ----

void dray_credential_wipe(char **text) {
  dray_secret_free(*text);
  *text = NULL;
}

static void replace(char **to, char **from) {
  dray_credential_wipe(to);
  *to = *from;
  *from = NULL;
}

void dray_credential_wipe_buffer(struct dray_buffer *buffer) {
  if (buffer->data != NULL) explicit_bzero(buffer->data, buffer->capacity);
  dray_buffer_free(buffer);
}

void dray_credential_pair_free(struct dray_credential_pair *pair) {
  dray_credential_wipe(&pair->access);
  dray_credential_wipe(&pair->refresh);
  pair->renew_us = 0;
}

void dray_credential_mask(const struct dray_services *services, const char *secret) {
  const struct dray_secrets_service *secrets = services->secrets;
  const size_t needed = offsetof(struct dray_secrets_service, mask) + sizeof(secrets->mask);
  if (secret == NULL || secrets->struct_size < needed || secrets->mask == NULL) return;
  secrets->mask(secrets->ctx, dray_str_of(secret));
}

void dray_credential_random(const struct dray_services *services, size_t bytes, char *out) {
  uint8_t noise[16];
  assert(bytes <= sizeof(noise));
  services->random->fill(services->random->ctx, noise, bytes);
  for (size_t i = 0; i < bytes; i++) (void)snprintf(out + 2 * i, 3, "%02x", noise[i]);
}

// ---- life ----

int32_t dray_credential_new(const struct dray_services *services, const struct dray_credential_terms *terms,
                            struct dray_credential **out, struct dray_error *error) {
  struct dray_credential *credential = calloc(1, sizeof(*credential));
  if (credential == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a credential");
  credential->services = services;
  credential->terms = *terms;
  *out = credential;
  return DRAY_OK;
}

void dray_credential_free(struct dray_credential *credential) {
  if (credential == NULL) return;
  dray_credential_pair_free(&credential->pair);
  dray_credential_pair_free(&credential->unsaved);
  free(credential);
}

uint64_t dray_credential_generation(const struct dray_credential *credential) {
  return credential->generation;
}

const char *dray_credential_setting(const struct dray_credential *credential) {
  const struct dray_credential_terms *terms = &credential->terms;
  switch (terms->grant) {
  case DRAY_GRANT_STATIC:
    return terms->token_setting;
  case DRAY_GRANT_REFRESH_TOKEN:
    return terms->refresh_setting;
  case DRAY_GRANT_AUTHORIZATION_CODE:
    return terms->code_setting;
  default:
    return terms->secret_setting;
  }
}

static int is_due(const struct dray_credential *credential, int64_t renew_us) {
  const struct dray_clock_service *clock = credential->services->clock;
  return renew_us != 0 && clock->now_us(clock->ctx) >= renew_us;
}

int dray_credential_is_usable(const struct dray_credential *credential, const struct dray_credential_pair *stored) {
  if (stored->access == NULL || is_due(credential, stored->renew_us)) return 0;
  return !credential->refused || strcmp(stored->access, credential->pair.access) != 0;
}

// Takes over the pair's tokens for use.
static void use(struct dray_credential *credential, struct dray_credential_pair *pair) {
  const int same = credential->pair.access != NULL && strcmp(credential->pair.access, pair->access) == 0;
  replace(&credential->pair.access, &pair->access);
  replace(&credential->pair.refresh, &pair->refresh);
  credential->pair.renew_us = pair->renew_us;
  credential->refused = 0;
  if (!same) credential->generation++;
}

// ---- static ----

static int32_t append_base64(struct dray_buffer *out, const char *user, const char *secret, struct dray_error *error) {
  struct dray_buffer plain;
  dray_buffer_init(&plain, DRAY_CREDENTIAL_TOKEN_MAX);
  int32_t rc = dray_buffer_append_str(&plain, user, error);
  if (rc == DRAY_OK) rc = dray_buffer_append_char(&plain, ':', error);
  if (rc == DRAY_OK) rc = dray_buffer_append_str(&plain, secret, error);
  if (rc == DRAY_OK) rc = dray_base64_encode(dray_buffer_view(&plain), out, error);
  dray_credential_wipe_buffer(&plain);
  return rc;
}

static int32_t read_static(struct dray_credential *credential, struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  struct dray_credential_pair pair = {.access = NULL};
  DRAY_TRY(dray_secret_get(credential->services, terms->token_setting, &pair.access, error));
  if (terms->basic_user != NULL) {
    struct dray_buffer both;
    dray_buffer_init(&both, DRAY_CREDENTIAL_TOKEN_MAX * 2);
    const int32_t rc = append_base64(&both, terms->basic_user, pair.access, error);
    dray_credential_wipe(&pair.access);
    if (rc != DRAY_OK) {
      dray_credential_wipe_buffer(&both);
      return rc;
    }
    pair.access = both.data;
    dray_credential_mask(credential->services, pair.access);
  }
  use(credential, &pair);
  return DRAY_OK;
}

// ---- renewing ----

// A code that has brought a token, or may have, is not sent again (RFC 6749 §4.1.2).
static int32_t check_unused(const struct dray_credential *credential, const struct dray_credential_stored *stored,
                            struct dray_error *error) {
  if (credential->terms.grant != DRAY_GRANT_AUTHORIZATION_CODE || stored->pair.refresh != NULL) return DRAY_OK;
  if (stored->is_sent) {
    return dray_credential_fail_used(credential, "it was sent, and what was answered is not known", error);
  }
  if (stored->pair.access == NULL) return DRAY_OK;
  return dray_credential_fail_used(credential, "the token that it brought has ended", error);
}

// What is stored is used where it can be, and noted to be; *out_usable = 0: another one is to be asked for.
static int32_t try_stored(struct dray_credential *credential, const struct dray_credential_place *place,
                          struct dray_credential_stored *stored, int *out_usable, struct dray_error *error) {
  *out_usable = dray_credential_is_usable(credential, &stored->pair);
  if (!*out_usable) return check_unused(credential, stored, error);
  if (place->is_shared && !dray_credential_is_noted(credential)) {
    DRAY_TRY(dray_credential_store(credential, place, &stored->pair, error));
  }
  use(credential, &stored->pair);
  return DRAY_OK;
}

// With the lock held. A pair that was got and could not be stored is kept, unused, and stored by the next attempt: the
// one before it is worth nothing any more.
static int32_t renew_locked(struct dray_credential *credential, const struct dray_credential_place *place,
                            struct dray_error *error) {
  if (credential->unsaved.access == NULL) {
    struct dray_credential_stored stored = {.is_sent = 0};
    int is_usable = 0;
    DRAY_TRY(dray_credential_load(credential, place, &stored, error));
    int32_t rc = try_stored(credential, place, &stored, &is_usable, error);
    if (rc == DRAY_OK && !is_usable) {
      rc = dray_credential_ask(credential, place, stored.pair.refresh, &credential->unsaved, error);
    }
    if (rc == DRAY_OK && !is_usable && credential->unsaved.refresh == NULL) {
      replace(&credential->unsaved.refresh, &stored.pair.refresh); // it stays good (RFC 6749 §6)
    }
    dray_credential_pair_free(&stored.pair);
    if (rc != DRAY_OK || is_usable) return rc;
  }
  DRAY_TRY(dray_credential_store(credential, place, &credential->unsaved, error));
  use(credential, &credential->unsaved);
  return DRAY_OK;
}

static int32_t renew(struct dray_credential *credential, struct dray_error *error) {
  struct dray_credential_place place;
  DRAY_TRY(dray_credential_find_place(credential, &place, error));
  const struct dray_str key = dray_str_of(place.key);
  DRAY_TRY(place.store->lock(place.store->ctx, key, LOCK_WAIT_MS, error));
  const int32_t rc = renew_locked(credential, &place, error);
  place.store->unlock(place.store->ctx, key);
  if (rc == DRAY_OK) {
    dray_credential_leave_former(credential, &place);
    dray_credential_sweep(credential, &place);
  }
  return rc;
}

int32_t dray_credential_token(struct dray_credential *credential, struct dray_str *out, struct dray_error *error) {
  const struct dray_credential_pair *pair = &credential->pair;
  if (credential->terms.grant == DRAY_GRANT_STATIC) {
    if (pair->access == NULL) DRAY_TRY(read_static(credential, error));
  } else if (pair->access == NULL || credential->refused || is_due(credential, pair->renew_us)) {
    DRAY_TRY(renew(credential, error));
  }
  *out = dray_str_of(pair->access);
  return DRAY_OK;
}

int32_t dray_credential_refused(struct dray_credential *credential, int32_t *out_again, struct dray_error *error) {
  (void)error; // what can fail is done when the next token is wanted
  const struct dray_credential_terms *terms = &credential->terms;
  const int is_last = terms->grant == DRAY_GRANT_AUTHORIZATION_CODE && credential->pair.refresh == NULL;
  const int renewable = terms->grant != DRAY_GRANT_STATIC && credential->pair.access != NULL && !is_last;
  credential->refused = renewable;
  *out_again = renewable;
  return DRAY_OK;
}
