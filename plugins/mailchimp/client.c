// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The account's address and token, and what its refusals mean. The vendor says nothing of its limit but by refusing:
// ten requests at once for each user, then 429, and after many of those answers without a document, 403 among them.
#include "client.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define API_PATH "/3.0"
#define LOGIN_ADDRESS "https://login.mailchimp.com"
#define METADATA_PATH "/oauth2/metadata"
#define TOKEN_PATH "/oauth2/token"
#define AUTHORIZE_PATH "/oauth2/authorize"
#define TIMEOUT_MS 150000 // theirs is 120 s
#define RESPONSE_BYTES_MAX (UINT64_C(64) << 20)
#define DOCUMENT_BYTES_MAX (16u << 20)
#define BACKOFF_MS 250
#define BACKOFF_MS_MAX 30000

static char *join(const char *address, const char *path) {
  struct dray_buffer text;
  dray_buffer_init(&text, 4096);
  if (dray_buffer_printf(&text, NULL, "%s%s", address, path) != DRAY_OK) dray_buffer_free(&text);
  return text.data;
}

static const char *login_address(const struct mc_settings *settings) {
  return settings->base_url != NULL ? settings->base_url : LOGIN_ADDRESS;
}

static const char *secret_setting(const struct mc_settings *settings) {
  if (settings->grant == DRAY_GRANT_AUTHORIZATION_CODE) return "authorization_code";
  return settings->has_api_key ? "api_key" : "access_token";
}

int32_t mc_client_init(struct mc_client *client, const struct dray_services *services,
                       const struct mc_settings *settings, struct dray_error *error) {
  const int is_code = settings->grant == DRAY_GRANT_AUTHORIZATION_CODE;
  *client = (struct mc_client){.services = services, .settings = settings};
  if (is_code) {
    client->token_url = join(login_address(settings), TOKEN_PATH);
    if (client->token_url == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an address");
  }
  // Access is granted by somebody with a browser, who asks Mailchimp itself, wherever the program asks.
  const struct dray_credential_terms terms = {.grant = settings->grant,
                                              .name = "token",
                                              .token_setting = is_code ? NULL : secret_setting(settings),
                                              .basic_user = settings->has_api_key ? "dray" : NULL,
                                              .token_url = client->token_url,
                                              .client_id = settings->client_id,
                                              .secret_setting = is_code ? "client_secret" : NULL,
                                              .code_setting = "authorization_code",
                                              .redirect_uri = settings->redirect_uri,
                                              .authorize_url = LOGIN_ADDRESS AUTHORIZE_PATH};
  return dray_credential_new(services, &terms, &client->credential, error);
}

void mc_client_free(struct mc_client *client) {
  dray_credential_free(client->credential);
  free(client->address);
  free(client->token_url);
  client->credential = NULL;
  client->address = client->token_url = NULL;
}

// ---- the address ----

static int is_data_centre(const char *text) {
  const size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");
  return len > 0 && len <= 16 && text[len] == '\0';
}

// The data centre behind the last dash of a key.
static int32_t centre_of_key(const char *key, char *out, size_t out_bytes, struct dray_error *error) {
  const char *dash = strrchr(key, '-');
  if (dash == NULL || !is_data_centre(dash + 1)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "api_key",
                           "the API key does not end with a dash and its data centre (-us21); set `dc`");
  }
  (void)snprintf(out, out_bytes, "%s", dash + 1);
  return DRAY_OK;
}

// A token's metadata are 200 for any token; one that is known has an api_endpoint.
static int32_t centre_of_token(struct mc_client *client, const char *token, char *out, size_t out_bytes,
                               struct dray_error *error) {
  struct dray_buffer value;
  struct dray_api_answer answer = {.status = 0};
  struct dray_json *root = NULL;
  dray_buffer_init(&value, 65536);
  int32_t rc = dray_buffer_printf(&value, error, "OAuth %s", token);
  const struct dray_http_header header = {dray_str_of("Authorization"), dray_buffer_view(&value)};
  const struct dray_api api = {.services = client->services,
                               .base_url = login_address(client->settings),
                               .headers = &header,
                               .header_count = 1,
                               .timeout_ms = TIMEOUT_MS};
  const struct dray_api_request request = {.method = "GET", .path = dray_str_of(METADATA_PATH)};
  if (rc == DRAY_OK) rc = dray_api_call(&api, &request, &answer, error);
  if (rc == DRAY_OK && answer.status >= 400) rc = mc_fail(&answer, "the token's metadata", error);
  if (rc == DRAY_OK) rc = dray_api_json(&answer, DOCUMENT_BYTES_MAX, &root, error);
  if (rc == DRAY_OK) {
    const struct dray_str centre = dray_json_string(dray_json_get(root, "dc"), "");
    const struct dray_str endpoint = dray_json_string(dray_json_get(root, "api_endpoint"), "");
    if (endpoint.len == 0 || !is_data_centre(centre.data)) {
      rc = dray_fail_field(error, DRAY_E_AUTH_REJECTED, secret_setting(client->settings),
                           "the access token is not known to Mailchimp: connect the app again");
    } else {
      (void)snprintf(out, out_bytes, "%s", centre.data);
    }
  }
  if (value.data != NULL) explicit_bzero(value.data, value.capacity);
  dray_buffer_free(&value);
  dray_json_free(root);
  dray_api_answer_free(&answer);
  return rc;
}

// Names what requests share a limit: a user. Two keys of one user are two names, which is why `max_connections` stays
// well below the vendor's ten.
static int32_t name_account(struct mc_client *client, const char *secret, struct dray_error *error) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  if (EVP_Digest(secret, strlen(secret), digest, &bytes, EVP_sha256(), NULL) != 1 || bytes < 8) {
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a digest");
  }
  (void)snprintf(client->rate_key, sizeof(client->rate_key), "mailchimp:%02x%02x%02x%02x", digest[0], digest[1],
                 digest[2], digest[3]);
  return DRAY_OK;
}

static int32_t find_address(struct mc_client *client, const char *secret, struct dray_error *error) {
  const struct mc_settings *settings = client->settings;
  char centre[32] = "";
  char vendor[64];
  if (settings->dc != NULL) {
    (void)snprintf(centre, sizeof(centre), "%.31s", settings->dc);
  } else if (!settings->has_api_key) {
    DRAY_TRY(centre_of_token(client, secret, centre, sizeof(centre), error));
  } else if (settings->base_url == NULL) {
    DRAY_TRY(centre_of_key(secret, centre, sizeof(centre), error));
  }
  (void)snprintf(vendor, sizeof(vendor), "https://%s.api.mailchimp.com", centre);
  client->address = join(settings->base_url != NULL ? settings->base_url : vendor, API_PATH);
  return client->address != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for an address");
}

// What says which account it is: the key as it is set, or the token, which is exchanged for the code first.
static int32_t get_secret(struct mc_client *client, char **out, struct dray_error *error) {
  struct dray_str token;
  if (client->settings->grant == DRAY_GRANT_STATIC) {
    return dray_secret_get(client->services, secret_setting(client->settings), out, error);
  }
  DRAY_TRY(dray_credential_token(client->credential, &token, error));
  *out = dray_str_dup(token);
  return *out != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a token");
}

int32_t mc_client_ready(struct mc_client *client, struct dray_error *error) {
  char *secret = NULL;
  if (client->address != NULL) return DRAY_OK;
  DRAY_TRY(get_secret(client, &secret, error));
  int32_t rc = name_account(client, secret, error);
  if (rc == DRAY_OK) rc = find_address(client, secret, error);
  dray_secret_free(secret);
  if (rc != DRAY_OK) return rc;
  client->api = (struct dray_api){.services = client->services,
                                  .base_url = client->address,
                                  .credential = client->credential,
                                  .token_header = "Authorization",
                                  .token_prefix = client->settings->has_api_key ? "Basic " : "Bearer ",
                                  .rate_key = dray_str_of(client->rate_key),
                                  .concurrency_max = (uint32_t)client->settings->max_connections,
                                  .timeout_ms = TIMEOUT_MS,
                                  .response_bytes_max = RESPONSE_BYTES_MAX};
  return DRAY_OK;
}

// ---- refusals ----

static int is_document(const struct dray_api_answer *answer) {
  size_t at = 0;
  while (at < answer->body.len && strchr(" \t\r\n", answer->body.data[at]) != NULL) at++;
  return at < answer->body.len && answer->body.data[at] == '{';
}

int mc_is_throttled(const struct dray_api_answer *answer) {
  return answer->status == 429 || (answer->status == 403 && !is_document(answer));
}

int32_t mc_wait_to_retry(const struct mc_client *client, int32_t tried, struct dray_error *error) {
  const struct dray_clock_service *clock = client->services->clock;
  const struct dray_random_service *noise = client->services->random;
  uint16_t jitter = 0;
  if (tried >= MC_TRIES_MAX) {
    return dray_fail(error, DRAY_E_THROTTLED,
                     "Mailchimp has refused a request %d times for too many at once; other apps of this user take "
                     "part in its ten connections, and `max_connections` is %lld",
                     tried, (long long)client->settings->max_connections);
  }
  int64_t wait_ms = BACKOFF_MS << tried;
  if (wait_ms > BACKOFF_MS_MAX) wait_ms = BACKOFF_MS_MAX;
  noise->fill(noise->ctx, &jitter, sizeof(jitter));
  wait_ms = wait_ms / 2 + wait_ms * jitter / 131072;
  return clock->sleep_ms(clock->ctx, wait_ms, dray_str_of("Mailchimp: too many requests at once"), error);
}

static void add_words(char *out, size_t *at, const char *glue, struct dray_str text) {
  if (text.len == 0 || *at + 1 >= MC_WORDS_BYTES) return;
  char one[MC_WORDS_BYTES];
  (void)dray_text_excerpt(text, one, sizeof(one));
  const int n = snprintf(out + *at, MC_WORDS_BYTES - *at, "%s%s", *at > 0 ? glue : "", one);
  *at += n > 0 ? (size_t)n : 0;
  if (*at >= MC_WORDS_BYTES) *at = MC_WORDS_BYTES - 1;
}

void mc_words(const struct dray_api_answer *answer, char out[MC_WORDS_BYTES]) {
  struct dray_json *root = NULL;
  size_t at = 0;
  out[0] = '\0';
  if (dray_json_parse(dray_buffer_view(&answer->body), DOCUMENT_BYTES_MAX, &root, NULL) != DRAY_OK) return;
  add_words(out, &at, ": ", dray_json_string(dray_json_get(root, "title"), ""));
  add_words(out, &at, ": ", dray_json_string(dray_json_get(root, "detail"), ""));
  const struct dray_json *errors = dray_json_get(root, "errors");
  for (const struct dray_json *one = errors != NULL ? errors->child : NULL; one != NULL; one = one->next) {
    add_words(out, &at, "; ", dray_json_string(dray_json_get(one, "field"), ""));
    add_words(out, &at, ": ", dray_json_string(dray_json_get(one, "message"), ""));
  }
  while (at > 0 && !dray_utf8_valid(out, at)) out[--at] = '\0'; // a character that the end has split
  dray_json_free(root);
}

int32_t mc_fail(const struct dray_api_answer *answer, const char *doing, struct dray_error *error) {
  char words[MC_WORDS_BYTES];
  if (mc_is_throttled(answer)) {
    const int64_t told_ms = dray_api_retry_after_ms(answer);
    (void)dray_fail(error, DRAY_E_THROTTLED, "%s: too many requests at once (answered %d)", doing, answer->status);
    if (error != NULL) {
      error->http_status = answer->status;
      error->retry_after_ms = told_ms > 0 ? told_ms : BACKOFF_MS * 4;
    }
    return DRAY_E_THROTTLED;
  }
  mc_words(answer, words);
  return dray_api_fail(answer, doing, words[0] != '\0' ? words : NULL, error);
}

int32_t mc_get_start(struct mc_client *client, const char *path, struct dray_api_pending **out,
                     struct dray_error *error) {
  const struct dray_api_request request = {.method = "GET", .path = dray_str_of(path)};
  return dray_api_start(&client->api, &request, out, error);
}

int32_t mc_get(struct mc_client *client, const char *path, struct dray_json **out, int32_t *out_status,
               struct dray_error *error) {
  return mc_get_finish(client, path, NULL, out, out_status, error);
}

int32_t mc_get_finish(struct mc_client *client, const char *path, struct dray_api_pending *pending,
                      struct dray_json **out, int32_t *out_status, struct dray_error *error) {
  struct dray_api_answer answer = {.status = 0};
  const struct dray_api_request request = {.method = "GET", .path = dray_str_of(path)};
  int32_t rc = DRAY_OK;
  for (int32_t tried = 0;; tried++) {
    rc = pending != NULL ? dray_api_finish(pending, &answer, error)
                         : dray_api_call(&client->api, &request, &answer, error);
    pending = NULL;
    if (rc != DRAY_OK || !mc_is_throttled(&answer)) break;
    rc = mc_wait_to_retry(client, tried, error);
    if (rc != DRAY_OK) break;
  }
  if (out_status != NULL) *out_status = answer.status;
  if (rc == DRAY_OK && answer.status >= 400) rc = mc_fail(&answer, path, error);
  if (rc == DRAY_OK) rc = dray_api_json(&answer, RESPONSE_BYTES_MAX, out, error);
  if (rc == DRAY_OK) {
    // As a date from 1970 on: what is left to wait from then.
    const int64_t ms = dray_retry_after_ms(dray_api_header(&answer, "Date"), dray_str_make(NULL, 0), 0);
    client->their_now_us = ms > 0 ? ms * 1000 : 0;
  }
  dray_api_answer_free(&answer);
  return rc;
}

void mc_time(int64_t us, char *out) {
  const int64_t second = us / 1000000;
  const size_t len = dray_format_timestamp(second * 1000000, out);
  (void)snprintf(out + len - 1, 7, "+00:00"); // instead of Z
}
