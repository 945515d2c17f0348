// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One account's API as one instance sees it: address, credentials, budgets, and what the vendor says in errors.
#ifndef ZENDESK_CLIENT_H
#define ZENDESK_CLIENT_H

#include "settings.h"

#define ZENDESK_WORDS_BYTES_MAX 900
#define ZENDESK_ANSWER_BYTES_MAX (64u << 20)
#define ZENDESK_LIST_PAGE 100 // page[size] of lists, and ids of a show_many: as many as Zendesk takes

struct zendesk_client {
  struct dray_services services;
  struct zendesk_settings settings;
  struct dray_api api;
  struct dray_credential *credential;
  char *basic_user; // legacy: "EMAIL/token"
  char *token_url, *authorize_url;
  char account[160];             // names the budgets: "zendesk:acme.zendesk.com"
  double limit;                  // requests a minute, as far as known
  struct dray_api_answer answer; // of the last zendesk_send and zendesk_get
};

// Binds the settings; sends nothing, reads no secret. @errors CONFIG_*, OUT_OF_MEMORY, PLUGIN_ABI.
DRAY_NODISCARD int32_t zendesk_client_init(struct zendesk_client *client, const struct dray_host *host,
                                           struct dray_str config_json, struct dray_error *error);
void zendesk_client_free(struct zendesk_client *client);
// Makes the credentials usable; called by everything below, and before a stream is opened over client->api.
DRAY_NODISCARD int32_t zendesk_client_ready(struct zendesk_client *client, struct dray_error *error);

// ---- budgets ----

// Waits until the account has room for a request, and for one to an incremental export, where it is one.
DRAY_NODISCARD int32_t zendesk_pace(struct zendesk_client *client, int is_export, struct dray_error *error);
// What an answer's headers say of the budget.
void zendesk_told(struct zendesk_client *client, const struct dray_api_answer *answer);
// 429 came although the host has repeated: nobody asks before the time that the answer names (60 s without).
DRAY_NODISCARD int32_t zendesk_hold(struct zendesk_client *client, const struct dray_api_answer *answer, int is_export,
                                    struct dray_error *error);
// Milliseconds of Retry-After, 60,000 where it is not said.
int64_t zendesk_retry_after_ms(const struct dray_api_answer *answer);

// ---- calls ----

struct zendesk_call {
  const char *method;
  struct dray_str path;
  struct dray_str body;
  uint32_t flags;          // DRAY_HTTP_*
  const char *idempotency; // value of Idempotency-Key; NULL: none
  int does_once;           // as in dray_api_request
};
// Sends, whatever the status; the answer is client->answer. @errors those of dray_api_call.
DRAY_NODISCARD int32_t zendesk_send(struct zendesk_client *client, const struct zendesk_call *call,
                                    struct dray_error *error);
// GET of a path as a tree; the caller frees it. A status of 400 and more fails as zendesk_fail.
DRAY_NODISCARD int32_t zendesk_get(struct zendesk_client *client, const char *path, struct dray_json **out,
                                   struct dray_error *error);

// What the vendor says is wrong, out of its several shapes: "RecordInvalid: Record validation errors; email: Email:
// x is not properly formatted". `out` has ZENDESK_WORDS_BYTES_MAX + 1 bytes; empty where the answer says nothing.
void zendesk_words(const struct dray_api_answer *answer, char *out);
// The same of an element of a job's results, or of any object with `error`, `description`, `details`.
void zendesk_words_of(const struct dray_json *object, char *out);
// dray_api_fail with the vendor's words; 409 is BUSY, and what a 403 lacks is said.
int32_t zendesk_fail(const struct dray_api_answer *answer, const char *doing, struct dray_error *error);
// A 403 that is about the token's scopes, and not about the plan or the record.
int zendesk_lacks_scope(const struct dray_api_answer *answer);

// ---- lists ----

// Where the next page of a list is, from an answer's tree: by meta and links, or by next_page where a list has no
// cursor. Appends its path and query to `out`; nothing appended: this was the last one.
DRAY_NODISCARD int32_t zendesk_next_page(const struct zendesk_client *client, const struct dray_json *page,
                                         const char *path, int64_t page_size, struct dray_buffer *out,
                                         struct dray_error *error);
// Every record of a small list, in order. `each` returns an error code to end it.
struct zendesk_visitor {
  void *ctx;
  int32_t (*each)(void *ctx, const struct dray_json *record, struct dray_error *error);
};
DRAY_NODISCARD int32_t zendesk_list(struct zendesk_client *client, const char *path, const char *records,
                                    const struct zendesk_visitor *visitor, struct dray_error *error);

#endif // ZENDESK_CLIENT_H
