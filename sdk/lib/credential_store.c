// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What of a credential is stored, and where. At a place that all connections find who have it: the pair, whose it is,
// or that its code was sent. In the connection's own state: at which place it last had a token, and which ones it
// left, so that a pair that nobody is set to any more does not stay for ever.
#include "credential_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL // the hash alone, so that no plugin needs the library
#include <xxhash.h>

#define FORMER_WAIT_MS 5000
// Somebody may be set to a pair who has not run yet: so long it is kept when all that are known have left it. None of
// the refresh tokens known to us lives longer unused.
#define KEPT_US (INT64_C(90) * 86400 * 1000000)
#define PAIR_VERSION 1
#define OWN_VERSION 2 // under the same key: version 1 was a pair of the connection itself
#define SHARED_PREFIX "credential-"

// ---- places ----

// A code belongs to what it was granted for: what else is set does not make it another one.
static int has_scope(const struct dray_credential_terms *terms) {
  return terms->grant != DRAY_GRANT_AUTHORIZATION_CODE;
}

static const char *named_by(const struct dray_credential_terms *terms) {
  if (terms->grant == DRAY_GRANT_AUTHORIZATION_CODE) return terms->code_setting;
  return terms->grant == DRAY_GRANT_REFRESH_TOKEN ? terms->refresh_setting : terms->secret_setting;
}

static int32_t get_secret(const struct dray_credential *credential, const char *setting, char **out,
                          struct dray_error *error) {
  const int is_code = credential->terms.grant == DRAY_GRANT_AUTHORIZATION_CODE;
  const int32_t rc = dray_secret_get(credential->services, setting, out, error);
  if (rc != DRAY_E_CONFIG_MISSING || !is_code) return rc;
  return dray_fail_field(error, rc, setting,
                         "there is no %s yet: grant the app access and set the code (dray check says the address to "
                         "open)",
                         setting);
}

// Of what tokens were got with: another setting makes another fingerprint. 128 bits of a hash tell nothing of a secret
// that is longer than they are.
static int32_t fingerprint(const struct dray_credential *credential, const char *scope,
                           char out[DRAY_CREDENTIAL_FINGERPRINT], struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const char *setting = named_by(terms);
  const char *const parts[] = {terms->token_url, terms->client_id, scope};
  char *secret = NULL;
  XXH3_state_t state;
  if (setting != NULL) DRAY_TRY(get_secret(credential, setting, &secret, error));
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
int32_t dray_credential_find_place(const struct dray_credential *credential, struct dray_credential_place *out,
                                   struct dray_error *error) {
  const struct dray_credential_terms *terms = &credential->terms;
  const struct dray_services *services = credential->services;
  const char *scope = has_scope(terms) ? terms->scope : NULL;
  char named[DRAY_CREDENTIAL_FINGERPRINT];
  DRAY_TRY(fingerprint(credential, scope, out->print, error));
  out->is_shared = services->shared_state != NULL;
  out->store = out->is_shared ? services->shared_state : services->state;
  if (!out->is_shared) {
    (void)snprintf(out->key, sizeof(out->key), "%s", terms->name);
    return DRAY_OK;
  }
  // Whatever scope is asked for with it, a refresh token is one; without one, a token for each scope is another.
  DRAY_TRY(fingerprint(credential, terms->grant == DRAY_GRANT_REFRESH_TOKEN ? NULL : scope, named, error));
  (void)snprintf(out->key, sizeof(out->key), SHARED_PREFIX "%s", named);
  return DRAY_OK;
}

// ---- who has a pair ----

static size_t find_user(const struct dray_credential_users *users, const char *id) {
  size_t at = 0;
  while (at < users->count && strcmp(users->ids[at], id) != 0) at++;
  return at;
}

static void add_user(struct dray_credential_users *users, const char *id) {
  if (users->unknown || find_user(users, id) < users->count) return;
  if (users->count == DRAY_CREDENTIAL_USERS_MAX) {
    users->unknown = 1;
    return;
  }
  (void)snprintf(users->ids[users->count++], DRAY_CREDENTIAL_ID_BYTES, "%s", id);
}

static void remove_user(struct dray_credential_users *users, const char *id) {
  const size_t at = find_user(users, id);
  if (at == users->count) return;
  users->count--;
  memmove(users->ids[at], users->ids[users->count], DRAY_CREDENTIAL_ID_BYTES);
}

int dray_credential_is_noted(const struct dray_credential *credential) {
  const struct dray_credential_users *users = &credential->users;
  return users->unknown || find_user(users, credential->own.id) < users->count;
}

static void read_users(const struct dray_json *list, struct dray_credential_users *out) {
  out->unknown = list == NULL || list->kind != DRAY_JSON_ARRAY;
  for (const struct dray_json *id = out->unknown ? NULL : list->child; id != NULL; id = id->next) {
    if (id->kind == DRAY_JSON_STRING && id->text.len < DRAY_CREDENTIAL_ID_BYTES) add_user(out, id->text.data);
  }
}

// ---- reading ----

static int32_t copy_text(const struct dray_json *value, char **out) {
  if (value == NULL || value->kind != DRAY_JSON_STRING) return DRAY_OK;
  *out = dray_str_dup(value->text);
  return *out != NULL ? DRAY_OK : DRAY_E_OUT_OF_MEMORY;
}

static int is_version(const struct dray_json *root, int64_t expected) {
  const struct dray_json *number = dray_json_get(root, "v");
  int64_t version = 0;
  return number != NULL && number->kind == DRAY_JSON_NUMBER &&
         dray_parse_int64(number->text, &version, NULL) == DRAY_OK && version == expected;
}

static int64_t read_time(const struct dray_json *value, int64_t unreadable) {
  int64_t time_us = 0;
  if (value == NULL || value->kind != DRAY_JSON_NUMBER) return 0;
  return dray_parse_int64(value->text, &time_us, NULL) == DRAY_OK ? time_us : unreadable;
}

static void copy_name(const struct dray_json *value, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, "%.*s", DRAY_STR_ARG(dray_json_string(value, "")));
}

// `print`: of the settings now, NULL: of whatever settings it is. Tokens of another scope are not for them, but its
// refresh token is the one there is, where what is stored is the credential's own (`same_refresh`).
static int32_t take_pair(const struct dray_json *root, const char *print, int same_refresh,
                         struct dray_credential_stored *out) {
  const struct dray_json *sent = dray_json_get(root, "sent");
  const int same = print == NULL || strcmp(out->print, print) == 0;
  int32_t rc = DRAY_OK;
  if (same) rc = copy_text(dray_json_get(root, "access"), &out->pair.access);
  if ((same || same_refresh) && rc == DRAY_OK) {
    rc = copy_text(dray_json_get(root, "refresh"), &out->pair.refresh);
    out->pair.renew_us = read_time(dray_json_get(root, "renew_us"), 1);
  }
  out->is_sent = same && sent != NULL && sent->boolean;
  return rc;
}

static int32_t parse_stored(struct dray_str text, const char *print, int same_refresh,
                            struct dray_credential_stored *out) {
  struct dray_json *root = NULL;
  int32_t rc = dray_json_parse(text, text.len, &root, NULL);
  if (rc == DRAY_OK && is_version(root, PAIR_VERSION)) {
    copy_name(dray_json_get(root, "for"), out->print, sizeof(out->print));
    read_users(dray_json_get(root, "users"), &out->users);
    out->left_us = read_time(dray_json_get(root, "left_us"), 0);
    rc = take_pair(root, print, same_refresh, out);
  }
  dray_json_free(root);
  return rc == DRAY_E_OUT_OF_MEMORY ? rc : DRAY_OK; // what cannot be read is as nothing
}

static int32_t get_text(const struct dray_state_service *store, const char *key, char *text, struct dray_str *out,
                        struct dray_error *error) {
  uint64_t bytes = 0;
  DRAY_TRY(store->get(store->ctx, dray_str_of(key), text, DRAY_STATE_VALUE_BYTES_MAX, &bytes, error));
  *out = dray_str_make(text, bytes);
  return DRAY_OK;
}

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a stored token");
}

static void wipe_text(char *text) {
  if (text == NULL) return;
  explicit_bzero(text, DRAY_STATE_VALUE_BYTES_MAX);
  free(text);
}

// ---- writing ----

static void write_users(struct dray_json_writer *writer, const struct dray_credential_users *users) {
  if (users->unknown) return;
  dray_json_key(writer, "users");
  dray_json_begin_array(writer);
  for (size_t i = 0; i < users->count; i++) dray_json_write_text(writer, users->ids[i]);
  dray_json_end_array(writer);
}

// access NULL: the mark of a code that was sent.
static void write_pair(struct dray_json_writer *writer, const struct dray_credential_pair *pair) {
  if (pair->access == NULL && pair->refresh == NULL) {
    dray_json_key(writer, "sent");
    dray_json_write_bool(writer, 1);
    return;
  }
  if (pair->access != NULL) {
    dray_json_key(writer, "access");
    dray_json_write_text(writer, pair->access);
  }
  if (pair->refresh != NULL) {
    dray_json_key(writer, "refresh");
    dray_json_write_text(writer, pair->refresh);
  }
  dray_json_key(writer, "renew_us");
  dray_json_write_int(writer, pair->renew_us);
}

static int32_t put_stored(const struct dray_state_service *store, const char *key, const char *print,
                          const struct dray_credential_pair *pair, const struct dray_credential_users *users,
                          int64_t left_us, struct dray_error *error) {
  struct dray_buffer text;
  struct dray_json_writer writer;
  dray_buffer_init(&text, DRAY_STATE_VALUE_BYTES_MAX);
  dray_json_writer_init(&writer, &text, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, PAIR_VERSION);
  dray_json_key(&writer, "for");
  dray_json_write_text(&writer, print);
  write_users(&writer, users);
  if (left_us != 0) {
    dray_json_key(&writer, "left_us");
    dray_json_write_int(&writer, left_us);
  }
  write_pair(&writer, pair);
  dray_json_end_object(&writer);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = store->put(store->ctx, dray_str_of(key), dray_buffer_view(&text), error);
  dray_credential_wipe_buffer(&text);
  return rc;
}

static void write_left(struct dray_json_writer *writer, const struct dray_credential_own *own) {
  dray_json_key(writer, "left");
  dray_json_begin_array(writer);
  for (size_t i = 0; i < own->left_count; i++) {
    dray_json_begin_object(writer);
    dray_json_key(writer, "at");
    dray_json_write_text(writer, own->left[i].at);
    dray_json_key(writer, "due_us");
    dray_json_write_int(writer, own->left[i].due_us);
    dray_json_end_object(writer);
  }
  dray_json_end_array(writer);
}

static int32_t put_own(struct dray_credential *credential, const struct dray_credential_own *own,
                       struct dray_error *error) {
  const struct dray_state_service *store = credential->services->state;
  struct dray_buffer text;
  struct dray_json_writer writer;
  dray_buffer_init(&text, DRAY_STATE_VALUE_BYTES_MAX);
  dray_json_writer_init(&writer, &text, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, OWN_VERSION);
  dray_json_key(&writer, "id");
  dray_json_write_text(&writer, own->id);
  dray_json_key(&writer, "at");
  dray_json_write_text(&writer, own->at);
  if (own->left_count > 0) write_left(&writer, own);
  dray_json_end_object(&writer);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) {
    rc = store->put(store->ctx, dray_str_of(credential->terms.name), dray_buffer_view(&text), error);
  }
  dray_buffer_free(&text);
  if (rc == DRAY_OK) credential->own = *own;
  return rc;
}

// The connection is at that place now.
static int32_t put_at(struct dray_credential *credential, const struct dray_credential_own *own, const char *at,
                      struct dray_error *error) {
  struct dray_credential_own next = *own;
  (void)snprintf(next.at, sizeof(next.at), "%s", at);
  DRAY_TRY(put_own(credential, &next, error));
  memcpy(credential->former, next.at, sizeof(credential->former));
  credential->knows_former = 1;
  return DRAY_OK;
}

int32_t dray_credential_store(struct dray_credential *credential, const struct dray_credential_place *place,
                              const struct dray_credential_pair *pair, struct dray_error *error) {
  // Where the connection's own state is the place, there is nobody else to know of.
  if (place->is_shared) add_user(&credential->users, credential->own.id);
  return put_stored(place->store, place->key, place->print, pair, &credential->users, 0, error);
}

int32_t dray_credential_mark_sent(struct dray_credential *credential, const struct dray_credential_place *place,
                                  struct dray_error *error) {
  const struct dray_credential_pair none = {.access = NULL};
  return dray_credential_store(credential, place, &none, error);
}

void dray_credential_unmark(const struct dray_credential_place *place) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  const int32_t rc = place->store->put(place->store->ctx, dray_str_of(place->key), dray_str_make(NULL, 0), &ignored);
  (void)rc; // then it counts as used, which is the safe side
}

// ---- the connection's own ----

// Pairs were once the connection's own: one that is there, and for these settings, moves to where all find it, before
// anything is done with it.
static int32_t take_over(struct dray_credential *credential, const struct dray_credential_place *place,
                         struct dray_str text, struct dray_credential_stored *out, struct dray_error *error) {
  struct dray_credential_stored old = {.is_sent = 0};
  if (parse_stored(text, place->print, 0, &old) != DRAY_OK) {
    dray_credential_pair_free(&old.pair);
    return no_memory(error);
  }
  if (old.pair.access == NULL) return DRAY_OK;
  memset(&credential->users, 0, sizeof(credential->users)); // it was nobody else's
  int32_t rc = dray_credential_store(credential, place, &old.pair, error);
  if (rc == DRAY_OK) rc = put_at(credential, &credential->own, place->key, error);
  if (rc == DRAY_OK) {
    out->pair = old.pair;
  } else {
    dray_credential_pair_free(&old.pair);
  }
  return rc;
}

static void read_left(const struct dray_json *list, struct dray_credential_own *own) {
  const int is_list = list != NULL && list->kind == DRAY_JSON_ARRAY;
  for (const struct dray_json *one = is_list ? list->child : NULL; one != NULL; one = one->next) {
    if (own->left_count == DRAY_CREDENTIAL_LEFT_MAX) return;
    struct dray_credential_left *left = &own->left[own->left_count++];
    copy_name(dray_json_get(one, "at"), left->at, sizeof(left->at));
    left->due_us = read_time(dray_json_get(one, "due_us"), 0);
    if (left->at[0] == '\0') own->left_count--;
  }
}

static int32_t read_own(struct dray_credential *credential, struct dray_str text, struct dray_error *error) {
  struct dray_credential_own *own = &credential->own;
  struct dray_json *root = NULL;
  own->at[0] = '\0';
  own->left_count = 0;
  const int32_t rc = text.len > 0 ? dray_json_parse(text, text.len, &root, NULL) : DRAY_OK;
  if (rc == DRAY_E_OUT_OF_MEMORY) return no_memory(error);
  if (is_version(root, OWN_VERSION)) {
    copy_name(dray_json_get(root, "id"), own->id, sizeof(own->id));
    copy_name(dray_json_get(root, "at"), own->at, sizeof(own->at));
    read_left(dray_json_get(root, "left"), own);
  }
  dray_json_free(root);
  if (own->id[0] == '\0') dray_credential_random(credential->services, (DRAY_CREDENTIAL_ID_BYTES - 1) / 2, own->id);
  return DRAY_OK;
}

// Who the connection is, and what it holds for these settings from before pairs were shared. `text` is room for it.
static int32_t load_own(struct dray_credential *credential, const struct dray_credential_place *place, char *text,
                        struct dray_credential_stored *out, struct dray_error *error) {
  struct dray_str stored;
  DRAY_TRY(get_text(credential->services->state, credential->terms.name, text, &stored, error));
  DRAY_TRY(read_own(credential, stored, error));
  if (!credential->knows_former) memcpy(credential->former, credential->own.at, sizeof(credential->former));
  credential->knows_former = 1;
  if (stored.len == 0) return put_at(credential, &credential->own, place->key, error); // before it is noted as somebody
  const int nothing = out->pair.access == NULL && out->pair.refresh == NULL && !out->is_sent;
  if (nothing && credential->own.at[0] == '\0') return take_over(credential, place, stored, out, error);
  return DRAY_OK;
}

// A refresh token that is good once is not spent while the answer could not be kept: what is stored is put again as it
// is, of whatever settings. (A code has its mark.)
static int32_t try_store(const struct dray_credential_place *place, struct dray_str text, struct dray_error *error) {
  return place->store->put(place->store->ctx, dray_str_of(place->key), text.len > 0 ? text : dray_str_of("{}"), error);
}

static int32_t load_into(struct dray_credential *credential, const struct dray_credential_place *place, char *text,
                         char *own_text, struct dray_credential_stored *out, struct dray_error *error) {
  struct dray_str stored;
  DRAY_TRY(get_text(place->store, place->key, text, &stored, error));
  if (stored.len > 0 && parse_stored(stored, place->print, place->is_shared, out) != DRAY_OK) return no_memory(error);
  credential->users = out->users;
  const int was_there = out->pair.access != NULL || out->pair.refresh != NULL;
  if (place->is_shared) DRAY_TRY(load_own(credential, place, own_text, out, error));
  const int was_put = !was_there && out->pair.access != NULL; // just now, by taking it over
  const int is_first_code = credential->terms.grant == DRAY_GRANT_AUTHORIZATION_CODE && out->pair.refresh == NULL;
  const int spends = (credential->terms.grant == DRAY_GRANT_REFRESH_TOKEN ||
                      credential->terms.grant == DRAY_GRANT_AUTHORIZATION_CODE) &&
                     !is_first_code && !dray_credential_is_usable(credential, &out->pair);
  return spends && !was_put ? try_store(place, stored, error) : DRAY_OK;
}

int32_t dray_credential_load(struct dray_credential *credential, const struct dray_credential_place *place,
                             struct dray_credential_stored *out, struct dray_error *error) {
  struct dray_credential_stored made = {.is_sent = 0};
  char *text = calloc(1, DRAY_STATE_VALUE_BYTES_MAX);
  char *own_text = calloc(1, DRAY_STATE_VALUE_BYTES_MAX);
  int32_t rc =
      text != NULL && own_text != NULL ? load_into(credential, place, text, own_text, &made, error) : no_memory(error);
  wipe_text(text);
  wipe_text(own_text);
  dray_credential_mask(credential->services, made.pair.access);
  dray_credential_mask(credential->services, made.pair.refresh);
  if (rc != DRAY_OK) {
    dray_credential_pair_free(&made.pair);
    return rc;
  }
  *out = made;
  return DRAY_OK;
}

// ---- leaving ----

static int64_t now_us(const struct dray_credential *credential) {
  const struct dray_clock_service *clock = credential->services->clock;
  return clock->now_us(clock->ctx);
}

static int holds_something(const struct dray_credential_stored *stored) {
  return stored->pair.access != NULL || stored->pair.refresh != NULL || stored->is_sent;
}

// Removes this connection from those that have what is stored at `key`, whose lock is held; whoever is the last says
// when. What is left for long and was not come back to is emptied. *out_due_us: when this connection is to look again;
// 0: never. `text` is room for it.
static int32_t leave(const struct dray_credential *credential, const struct dray_state_service *store, const char *key,
                     char *text, int64_t *out_due_us, struct dray_error *error) {
  struct dray_credential_stored former = {.is_sent = 0};
  struct dray_str stored;
  const int64_t now = now_us(credential);
  int64_t due_us = 0;
  DRAY_TRY(get_text(store, key, text, &stored, error));
  int32_t rc = stored.len > 0 ? parse_stored(stored, NULL, 1, &former) : DRAY_OK;
  const int is_known = rc == DRAY_OK && holds_something(&former) && !former.users.unknown;
  const int was_user = find_user(&former.users, credential->own.id) < former.users.count;
  const int is_over = former.users.count == 0 && former.left_us != 0 && now - former.left_us >= KEPT_US;
  if (is_known && is_over) {
    rc = store->put(store->ctx, dray_str_of(key), dray_str_make(NULL, 0), error);
  } else if (is_known) {
    remove_user(&former.users, credential->own.id);
    const int is_last = former.users.count == 0;
    const int64_t left_us = is_last && former.left_us == 0 ? now : former.left_us;
    if (was_user || left_us != former.left_us) {
      rc = put_stored(store, key, former.print, &former.pair, &former.users, left_us, error);
    }
    if (is_last) due_us = left_us + KEPT_US;
  }
  dray_credential_pair_free(&former.pair);
  if (rc == DRAY_OK) *out_due_us = due_us;
  return rc;
}

static void forget_left(struct dray_credential_own *own, size_t at) {
  own->left_count--;
  memmove(&own->left[at], &own->left[at + 1], (own->left_count - at) * sizeof(own->left[0]));
}

static void add_left(struct dray_credential_own *own, const char *key, int64_t due_us) {
  for (size_t i = own->left_count; i > 0; i--) {
    if (strcmp(own->left[i - 1].at, key) == 0) forget_left(own, i - 1);
  }
  if (own->left_count == DRAY_CREDENTIAL_LEFT_MAX) forget_left(own, 0);
  struct dray_credential_left *left = &own->left[own->left_count++];
  (void)snprintf(left->at, sizeof(left->at), "%s", key);
  left->due_us = due_us;
}

// The connection's own record as it is now: another process of it may have been somewhere else since.
static int32_t read_again(struct dray_credential *credential, char *text, struct dray_error *error) {
  struct dray_str stored;
  DRAY_TRY(get_text(credential->services->state, credential->terms.name, text, &stored, error));
  return read_own(credential, stored, error);
}

// With the former place's lock held.
static int32_t move_on(struct dray_credential *credential, const struct dray_credential_place *place, char *text,
                       struct dray_error *error) {
  int64_t due_us = 0;
  DRAY_TRY(read_again(credential, text, error));
  if (strcmp(credential->own.at, credential->former) != 0) return DRAY_OK;
  struct dray_credential_own next = credential->own;
  // Without a former one it is a pair of the connection itself, of other settings, that the connection's note replaces.
  if (next.at[0] != '\0') DRAY_TRY(leave(credential, place->store, next.at, text, &due_us, error));
  if (due_us != 0) add_left(&next, next.at, due_us);
  return put_at(credential, &next, place->key, error);
}

// With the lock of that place held, which the connection has left.
static int32_t look_again(struct dray_credential *credential, const struct dray_credential_place *place,
                          const char *key, char *text, struct dray_error *error) {
  size_t at = 0;
  DRAY_TRY(read_again(credential, text, error));
  struct dray_credential_own next = credential->own;
  while (at < next.left_count && strcmp(next.left[at].at, key) != 0) at++;
  if (at == next.left_count) return DRAY_OK;
  struct dray_credential_left *left = &next.left[at];
  const int is_back = strcmp(key, place->key) == 0 || strcmp(key, next.at) == 0;
  left->due_us = 0;
  if (!is_back) DRAY_TRY(leave(credential, place->store, key, text, &left->due_us, error));
  if (left->due_us == 0) forget_left(&next, at);
  return put_own(credential, &next, error);
}

static int lock_former(const struct dray_credential_place *place, const char *key) {
  struct dray_error ignored;
  dray_error_init(&ignored);
  return place->store->lock(place->store->ctx, dray_str_of(key), FORMER_WAIT_MS, &ignored) == DRAY_OK;
}

void dray_credential_leave_former(struct dray_credential *credential, const struct dray_credential_place *place) {
  struct dray_error ignored;
  char key[DRAY_STATE_KEY_BYTES_MAX];
  dray_error_init(&ignored);
  if (!place->is_shared || strcmp(credential->former, place->key) == 0) return;
  (void)snprintf(key, sizeof(key), "%s", credential->former[0] != '\0' ? credential->former : place->key);
  char *text = calloc(1, DRAY_STATE_VALUE_BYTES_MAX);
  if (text != NULL && lock_former(place, key)) {
    const int32_t rc = move_on(credential, place, text, &ignored);
    (void)rc; // what failed is done with the next token
    place->store->unlock(place->store->ctx, dray_str_of(key));
  }
  wipe_text(text);
}

void dray_credential_sweep(struct dray_credential *credential, const struct dray_credential_place *place) {
  struct dray_error ignored;
  char key[DRAY_STATE_KEY_BYTES_MAX];
  const int64_t now = now_us(credential);
  dray_error_init(&ignored);
  for (size_t i = place->is_shared ? credential->own.left_count : 0; i > 0; i--) {
    if (i > credential->own.left_count || credential->own.left[i - 1].due_us > now) continue;
    memcpy(key, credential->own.left[i - 1].at, sizeof(key));
    char *text = calloc(1, DRAY_STATE_VALUE_BYTES_MAX);
    if (text != NULL && lock_former(place, key)) {
      const int32_t rc = look_again(credential, place, key, text, &ignored);
      (void)rc; // it stays due
      place->store->unlock(place->store->ctx, dray_str_of(key));
    }
    wipe_text(text);
  }
}
