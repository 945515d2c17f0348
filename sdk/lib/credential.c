// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A token, kept until it ends or is refused. What is stored, and in which order, is what makes a rotating refresh token
// safe: under the lock that all who have the credential share, the new pair is durable before anybody uses it.
// Asking for tokens is in credential_grant.c.
#include "credential_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL // the hash alone, so that no plugin needs the library
#include <xxhash.h>

#define LOCK_WAIT_MS 180000 // longer than a renewal takes, unless the other side puts it off
#define STORED_VERSION 1
#define SHARED_PREFIX "credential-"

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

static void wipe_buffer(struct dray_buffer *buffer) {
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
  if (terms->grant == DRAY_GRANT_STATIC) return terms->token_setting;
  return terms->grant == DRAY_GRANT_REFRESH_TOKEN ? terms->refresh_setting : terms->secret_setting;
}

static int is_due(const struct dray_credential *credential, int64_t renew_us) {
  const struct dray_clock_service *clock = credential->services->clock;
  return renew_us != 0 && clock->now_us(clock->ctx) >= renew_us;
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
  wipe_buffer(&plain);
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
      wipe_buffer(&both);
      return rc;
    }
    pair.access = both.data;
    dray_credential_mask(credential->services, pair.access);
  }
  use(credential, &pair);
  return DRAY_OK;
}

// ---- what is stored ----

// Of what tokens were got with: another setting makes another fingerprint. 128 bits of a hash tell nothing of a secret
// that is longer than they are.
static int32_t fingerprint(struct dray_credential *credential, const char *scope, char out[DRAY_CREDENTIAL_FINGERPRINT],
                           struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const char *setting = terms->grant == DRAY_GRANT_REFRESH_TOKEN ? terms->refresh_setting : terms->secret_setting;
  const char *const parts[] = {terms->token_url, terms->client_id, scope};
  char *secret = NULL;
  XXH3_state_t state;
  if (setting != NULL) DRAY_TRY(dray_secret_get(credential->services, setting, &secret, error));
  (void)XXH3_128bits_reset(&state);
  (void)XXH3_128bits_update(&state, &terms->grant, sizeof(terms->grant));
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    if (parts[i] != NULL) (void)XXH3_128bits_update(&state, parts[i], strlen(parts[i]));
    (void)XXH3_128bits_update(&state, "", 1);
  }
  if (secret != NULL) (void)XXH3_128bits_update(&state, secret, strlen(secret));
  dray_secret_free(secret);
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  (void)snprintf(out, DRAY_CREDENTIAL_FINGERPRINT, "%016llx%016llx", (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
  explicit_bzero(&state, sizeof(state));
  return DRAY_OK;
}

// By what the credential itself is, so that all connections that have it meet there: a refresh token that is good once
// has one successor. With a host that has nothing for all of them, it is the connection's own.
static int32_t find_place(struct dray_credential *credential, struct dray_credential_place *out,
                          struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const struct dray_services *services = credential->services;
  char named[DRAY_CREDENTIAL_FINGERPRINT];
  DRAY_TRY(fingerprint(credential, terms->scope, out->print, error));
  out->is_shared = services->shared_state != NULL;
  out->store = out->is_shared ? services->shared_state : services->state;
  if (!out->is_shared) {
    (void)snprintf(out->key, sizeof(out->key), "%s", terms->name);
    return DRAY_OK;
  }
  // Whatever scope is asked for with it, a refresh token is one; without one, a token for each scope is another.
  DRAY_TRY(fingerprint(credential, terms->grant == DRAY_GRANT_REFRESH_TOKEN ? NULL : terms->scope, named, error));
  (void)snprintf(out->key, sizeof(out->key), SHARED_PREFIX "%s", named);
  return DRAY_OK;
}

static int32_t copy_text(const struct dray_json *value, char **out) {
  if (value == NULL || value->kind != DRAY_JSON_STRING) return DRAY_OK;
  *out = dray_str_dup(value->text);
  return *out != NULL ? DRAY_OK : DRAY_E_OUT_OF_MEMORY;
}

// `print`: of the settings now. Tokens of another scope are not for them, but its refresh token is the one there is,
// where what is stored is the credential's own (`same_refresh`).
static int32_t parse_stored(struct dray_str text, const char *print, int same_refresh,
                            struct dray_credential_pair *out) {
  struct dray_json *root = NULL;
  int64_t version = 0;
  int32_t rc = dray_json_parse(text, text.len, &root, NULL);
  if (rc == DRAY_OK) {
    const struct dray_json *number = dray_json_get(root, "v");
    const struct dray_json *ends = dray_json_get(root, "renew_us");
    const int known = number != NULL && number->kind == DRAY_JSON_NUMBER &&
                      dray_parse_int64(number->text, &version, NULL) == DRAY_OK && version == STORED_VERSION;
    const int same = dray_str_is(dray_json_string(dray_json_get(root, "for"), ""), print);
    if (known && same) rc = copy_text(dray_json_get(root, "access"), &out->access);
    if (known && (same || same_refresh) && rc == DRAY_OK) {
      rc = copy_text(dray_json_get(root, "refresh"), &out->refresh);
      const int has_end = ends != NULL && ends->kind == DRAY_JSON_NUMBER;
      if (has_end && dray_parse_int64(ends->text, &out->renew_us, NULL) != DRAY_OK) out->renew_us = 1;
    }
  }
  dray_json_free(root);
  return rc == DRAY_E_OUT_OF_MEMORY ? rc : DRAY_OK; // what cannot be read is as nothing
}

static int is_usable(const struct dray_credential *credential, const struct dray_credential_pair *stored) {
  if (stored->access == NULL || is_due(credential, stored->renew_us)) return 0;
  return !credential->refused || strcmp(stored->access, credential->pair.access) != 0;
}

// `text` has room for DRAY_STATE_VALUE_BYTES_MAX; what is there is also parsed into *out, which is empty before.
static int32_t read_from(const struct dray_state_service *store, struct dray_str key, const char *print,
                         int same_refresh, char *text, uint64_t *out_bytes, struct dray_credential_pair *out,
                         struct dray_error *error) {
  *out_bytes = 0;
  DRAY_TRY(store->get(store->ctx, key, text, DRAY_STATE_VALUE_BYTES_MAX, out_bytes, error));
  if (*out_bytes == 0 || parse_stored(dray_str_make(text, *out_bytes), print, same_refresh, out) == DRAY_OK) {
    return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stored token");
}

// Pairs were once the connection's own: one that is there, and for these settings, moves to where all find it, before
// anything is done with it.
static int32_t take_over(const struct dray_credential *credential, const struct dray_credential_place *place,
                         char *text, struct dray_credential_pair *out, struct dray_error *error) {
  const struct dray_state_service *own = credential->services->state;
  const struct dray_str name = dray_str_of(credential->terms.name);
  struct dray_error ignored;
  uint64_t bytes = 0;
  DRAY_TRY(read_from(own, name, place->print, 0, text, &bytes, out, error));
  if (out->access == NULL) return DRAY_OK;
  DRAY_TRY(place->store->put(place->store->ctx, dray_str_of(place->key), dray_str_make(text, bytes), error));
  dray_error_init(&ignored);
  const int32_t removed = own->put(own->ctx, name, dray_str_make(NULL, 0), &ignored);
  (void)removed; // what stays is not looked at again
  return DRAY_OK;
}

// *out stays empty where nothing is stored, or not for these settings.
static int32_t read_stored(struct dray_credential *credential, const struct dray_credential_place *place,
                           struct dray_credential_pair *out, struct dray_error *error) {
  const struct dray_str key = dray_str_of(place->key);
  uint64_t bytes = 0;
  char *text = calloc(2, DRAY_STATE_VALUE_BYTES_MAX);
  if (text == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stored token");
  int32_t rc = read_from(place->store, key, place->print, place->is_shared, text, &bytes, out, error);
  if (rc == DRAY_OK && place->is_shared && out->access == NULL && out->refresh == NULL) {
    rc = take_over(credential, place, text + DRAY_STATE_VALUE_BYTES_MAX, out, error);
    if (out->access != NULL) bytes = 0; // it was just put
  }
  // A refresh token that is good once is not spent while the answer could not be kept: what is stored is put again as
  // it is, of whatever settings.
  const int spends = credential->terms.grant == DRAY_GRANT_REFRESH_TOKEN && !is_usable(credential, out);
  if (rc == DRAY_OK && spends && (bytes > 0 || out->access == NULL)) {
    rc = place->store->put(place->store->ctx, key, bytes > 0 ? dray_str_make(text, bytes) : dray_str_of("{}"), error);
  }
  explicit_bzero(text, 2 * (size_t)DRAY_STATE_VALUE_BYTES_MAX);
  free(text);
  dray_credential_mask(credential->services, out->access);
  dray_credential_mask(credential->services, out->refresh);
  if (rc != DRAY_OK) dray_credential_pair_free(out);
  return rc;
}

static int32_t write_stored(const struct dray_credential_place *place, const struct dray_credential_pair *pair,
                            struct dray_error *error) {
  struct dray_buffer text;
  struct dray_json_writer writer;
  dray_buffer_init(&text, DRAY_STATE_VALUE_BYTES_MAX);
  dray_json_writer_init(&writer, &text, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, STORED_VERSION);
  dray_json_key(&writer, "for");
  dray_json_write_text(&writer, place->print);
  dray_json_key(&writer, "access");
  dray_json_write_text(&writer, pair->access);
  if (pair->refresh != NULL) {
    dray_json_key(&writer, "refresh");
    dray_json_write_text(&writer, pair->refresh);
  }
  dray_json_key(&writer, "renew_us");
  dray_json_write_int(&writer, pair->renew_us);
  dray_json_end_object(&writer);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) {
    rc = place->store->put(place->store->ctx, dray_str_of(place->key), dray_buffer_view(&text), error);
  }
  wipe_buffer(&text);
  return rc;
}

// ---- renewing ----

// With the lock held. A pair that was got and could not be stored is kept, unused, and stored by the next attempt: the
// one before it is worth nothing any more.
static int32_t renew_locked(struct dray_credential *credential, const struct dray_credential_place *place,
                            struct dray_error *error) {
  struct dray_credential_pair stored = {.access = NULL};
  if (credential->unsaved.access == NULL) {
    DRAY_TRY(read_stored(credential, place, &stored, error));
    if (is_usable(credential, &stored)) {
      use(credential, &stored);
      return DRAY_OK;
    }
    const int32_t rc = dray_credential_ask(credential, stored.refresh, &credential->unsaved, error);
    if (rc == DRAY_OK && credential->unsaved.refresh == NULL) {
      replace(&credential->unsaved.refresh, &stored.refresh); // it stays good (RFC 6749 §6)
    }
    dray_credential_pair_free(&stored);
    if (rc != DRAY_OK) return rc;
  }
  DRAY_TRY(write_stored(place, &credential->unsaved, error));
  use(credential, &credential->unsaved);
  return DRAY_OK;
}

static int32_t renew(struct dray_credential *credential, struct dray_error *error) {
  struct dray_credential_place place;
  DRAY_TRY(find_place(credential, &place, error));
  const struct dray_str key = dray_str_of(place.key);
  DRAY_TRY(place.store->lock(place.store->ctx, key, LOCK_WAIT_MS, error));
  const int32_t rc = renew_locked(credential, &place, error);
  place.store->unlock(place.store->ctx, key);
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
  const int renewable = credential->terms.grant != DRAY_GRANT_STATIC && credential->pair.access != NULL;
  credential->refused = renewable;
  *out_again = renewable;
  return DRAY_OK;
}
