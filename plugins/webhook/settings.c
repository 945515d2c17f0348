// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of settings and options, and the checks that need no network.
#include "settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DOCUMENT_BYTES_MAX (1u << 20)

static const char *const methods[] = {"POST", "PUT", "PATCH", NULL};
static const char *const doubts[] = {"auto", "key", "resend", "none", NULL};
static const char *const update_kinds[] = {"full", "changed", NULL};
static const char *const delete_kinds[] = {"key", "row", NULL};
static const char *const listings[] = {"all", "failed", NULL};

#define RESULTS_SCHEMA                                                                                                 \
  "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"index\":{\"type\":\"string\"},"               \
  "\"first\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1},\"key\":{\"type\":\"string\"},"                        \
  "\"column\":{\"type\":\"string\"},\"status\":{\"type\":\"string\"},"                                                 \
  "\"applied\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"                                                  \
  "\"unchanged\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"                                                \
  "\"retry\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"error\":{\"type\":\"string\"},"                    \
  "\"listed\":{\"type\":\"string\",\"enum\":[\"all\",\"failed\"]}},\"required\":[\"path\"],"                           \
  "\"additionalProperties\":false}"

#define MEMBER(name) offsetof(struct webhook_settings, name)
static const struct dray_setting table[] = {
    {.name = "url",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = MEMBER(url),
     .description = "where batches are sent; https, or http to this machine"},
    {.name = "method",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(shape.method),
     .default_json = "\"POST\"",
     .choices = methods,
     .description = "the HTTP method"},
    {.name = "headers",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(headers_json),
     .default_json = "{}",
     .schema_json = "{\"type\":\"object\"}",
     .description = "more headers, none of them secret: {X-Tenant: acme}"},
    {.name = "bearer_token",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_bearer_token),
     .description = "sent as Authorization: Bearer ..."},
    {.name = "auth_header",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_auth_header),
     .description = "the whole value of a header that authorises, such as an API key"},
    {.name = "auth_header_name",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(auth_header_name),
     .default_json = "\"Authorization\"",
     .description = "the name of that header"},
    {.name = "hmac_secret",
     .kind = DRAY_SETTING_SECRET,
     .offset = MEMBER(has_hmac_secret),
     .description = "signs each request: sha256=HEX of HMAC-SHA256 over TIMESTAMP.BODY"},
    {.name = "hmac_header",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(hmac_header),
     .default_json = "\"X-Dray-Signature\"",
     .description = "the header of the signature"},
    {.name = "hmac_timestamp_header",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(hmac_timestamp_header),
     .default_json = "\"X-Dray-Timestamp\"",
     .description = "the header of the signed time, in seconds since 1970"},
    {.name = "idempotency_header",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(idempotency_header),
     .default_json = "\"Idempotency-Key\"",
     .description = "the header of a batch's key; empty: none is sent"},
    {.name = "idempotency_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(idempotency_seconds),
     .default_json = "0",
     .minimum = 0,
     .maximum = 1000000000,
     .description =
         "for how long the receiver remembers a key: an older batch in doubt is not sent again under it, you "
         "are asked; 0: for ever"},
    {.name = "doubt",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(doubt),
     .default_json = "\"auto\"",
     .choices = doubts,
     .description =
         "a batch that may have arrived: send again under its key, resend, or none: park it and ask; auto: key, or "
         "none without an idempotency_header"},
    {.name = "updates",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(shape.updates),
     .default_json = "\"full\"",
     .choices = update_kinds,
     .description = "whether an update's data is the full row or the changed fields"},
    {.name = "deletes",
     .kind = DRAY_SETTING_STRING,
     .offset = MEMBER(shape.deletes),
     .default_json = "\"key\"",
     .choices = delete_kinds,
     .description = "whether a delete brings its key only or the row as it was last sent"},
    {.name = "body",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(shape.body_json),
     .default_json =
         "{\"object\":\"{{object}}\",\"sync\":\"{{sync}}\",\"batch_id\":\"{{batch_id}}\",\"rows\":\"{{rows}}\"}",
     .description = "template of the body: {{rows}} or {{row}}, {{object}}, {{sync}}, {{run}}, {{batch_id}}, "
                    "{{count}}, {{sent_at}}"},
    {.name = "row",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(shape.row_json),
     .default_json = "{\"op\":\"{{_op}}\",\"key\":\"{{_key}}\",\"data\":\"{{_data}}\",\"changed\":\"{{_changed}}\"}",
     .description = "template of a row: {{column}}, {{_op}}, {{_key}}, {{_data}}, {{_changed}}, {{_index}}"},
    {.name = "results",
     .kind = DRAY_SETTING_JSON,
     .offset = MEMBER(shape.results_json),
     .schema_json = RESULTS_SCHEMA,
     .description = "where the answer tells the outcome of each row; without: 2xx means all are applied"},
    {.name = "batch_rows",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(shape.batch_rows),
     .default_json = "100",
     .minimum = 1,
     .maximum = 1000,
     .description = "rows in a request"},
    {.name = "batch_bytes",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(batch_bytes),
     .default_json = "1048576",
     .minimum = 1024,
     .maximum = 67108864,
     .description = "bytes of a request's body"},
    {.name = "timeout_seconds",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(timeout_seconds),
     .default_json = "60",
     .minimum = 1,
     .maximum = 3600,
     .description = "for one request and its answer"},
    {.name = "max_answer_bytes",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(max_answer_bytes),
     .default_json = "4194304",
     .minimum = 1024,
     .maximum = 67108864,
     .description = "a longer answer is not read"},
    {.name = "rate_per_second",
     .kind = DRAY_SETTING_FLOAT,
     .offset = MEMBER(rate_per_second),
     .default_json = "0",
     .minimum = 0,
     .maximum = 10000,
     .description = "requests in a second; 0: as fast as they are answered"},
    {.name = "parallel",
     .kind = DRAY_SETTING_INT,
     .offset = MEMBER(parallel),
     .default_json = "1",
     .minimum = 1,
     .maximum = 16,
     .description = "requests at once; with more than one they arrive in no order"},
    {.name = "gzip",
     .kind = DRAY_SETTING_BOOL,
     .offset = MEMBER(gzip),
     .default_json = "false",
     .description = "compress the body"},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

#define OPTION(name) offsetof(struct webhook_shape, name)
static const struct dray_setting option_table[] = {
    {.name = "path",
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .offset = OPTION(path),
     .description = "path and query instead of those of the connection's url, such as /v2/customers"},
    {.name = "method",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(method),
     .choices = methods,
     .description = "instead of the connection's"},
    {.name = "body",
     .kind = DRAY_SETTING_JSON,
     .offset = OPTION(body_json),
     .description = "instead of the connection's"},
    {.name = "row",
     .kind = DRAY_SETTING_JSON,
     .offset = OPTION(row_json),
     .description = "instead of the connection's"},
    {.name = "results",
     .kind = DRAY_SETTING_JSON,
     .offset = OPTION(results_json),
     .schema_json = RESULTS_SCHEMA,
     .description = "instead of the connection's"},
    {.name = "updates",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(updates),
     .choices = update_kinds,
     .description = "instead of the connection's"},
    {.name = "deletes",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(deletes),
     .choices = delete_kinds,
     .description = "instead of the connection's"},
    {.name = "batch_rows",
     .kind = DRAY_SETTING_INT,
     .offset = OPTION(batch_rows),
     .minimum = 1,
     .maximum = 1000,
     .description = "instead of the connection's"},
};
#define OPTION_COUNT (sizeof(option_table) / sizeof(option_table[0]))

#define RESULT(name) offsetof(struct webhook_results, name)
static const struct dray_setting result_table[] = {
    {.name = "path", .kind = DRAY_SETTING_STRING, .required = 1, .offset = RESULT(path), .description = "of the list"},
    {.name = "index",
     .kind = DRAY_SETTING_STRING,
     .offset = RESULT(index),
     .description = "of a row's place in the batch"},
    {.name = "first",
     .kind = DRAY_SETTING_INT,
     .offset = RESULT(first),
     .default_json = "0",
     .minimum = 0,
     .maximum = 1,
     .description = "the number of the first row"},
    {.name = "key",
     .kind = DRAY_SETTING_STRING,
     .offset = RESULT(key),
     .description = "of a value that equals `column`"},
    {.name = "column",
     .kind = DRAY_SETTING_STRING,
     .offset = RESULT(column),
     .description = "the column that `key` repeats"},
    {.name = "status", .kind = DRAY_SETTING_STRING, .offset = RESULT(status), .description = "of the outcome"},
    {.name = "applied",
     .kind = DRAY_SETTING_JSON,
     .offset = RESULT(applied_json),
     .default_json = "[\"applied\",\"ok\",\"success\",\"created\",\"updated\",\"deleted\",\"accepted\",\"true\","
                     "\"200\",\"201\",\"202\",\"204\"]",
     .description = "words for applied"},
    {.name = "unchanged",
     .kind = DRAY_SETTING_JSON,
     .offset = RESULT(unchanged_json),
     .default_json = "[\"unchanged\",\"noop\",\"not_modified\",\"304\"]",
     .description = "words for unchanged"},
    {.name = "retry",
     .kind = DRAY_SETTING_JSON,
     .offset = RESULT(retry_json),
     .default_json = "[\"retry\",\"throttled\",\"busy\",\"429\",\"503\"]",
     .description = "words for a passing reason"},
    {.name = "error",
     .kind = DRAY_SETTING_STRING,
     .offset = RESULT(error),
     .default_json = "\"error\"",
     .description = "of the reason"},
    {.name = "listed",
     .kind = DRAY_SETTING_STRING,
     .offset = RESULT(listed),
     .default_json = "\"all\"",
     .choices = listings,
     .description = "failed: rows that are not listed are applied"},
};
#define RESULT_COUNT (sizeof(result_table) / sizeof(result_table[0]))

int32_t webhook_settings_spec(struct dray_str *out_json, struct dray_error *error) {
  static struct dray_kept_spec kept = DRAY_KEPT_SPEC;
  return dray_config_kept_spec(&kept, table, TABLE_COUNT, out_json, error);
}

int32_t webhook_options_spec(struct dray_buffer *out, struct dray_error *error) {
  return dray_config_spec(option_table, OPTION_COUNT, out, error);
}

// ---- checks ----

// RFC 9110 §5.6.2
static int is_token(const char *text) {
  if (text[0] == '\0') return 0;
  for (; *text != '\0'; text++) {
    const char c = *text;
    const int alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!alnum && strchr("!#$%&'*+-.^_`|~", c) == NULL) return 0;
  }
  return 1;
}

static int32_t check_header_name(const char *setting, const char *name, struct dray_error *error) {
  // The host's own, or decided by the body.
  static const char *const refused[] = {
      "Host", "Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding", "Expect",
      "TE",   "Trailer",        "Upgrade",           "Keep-Alive"};
  if (!is_token(name)) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting, "%s: '%.100s' is not the name of a header", setting,
                           name);
  }
  for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
    if (strcasecmp(name, refused[i]) != 0) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting, "%s: the header %s cannot be set", setting, name);
  }
  return DRAY_OK;
}

static int has_control(struct dray_str text) {
  for (uint64_t i = 0; i < text.len; i++) {
    if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7F) return 1;
  }
  return 0;
}

static int32_t check_headers(struct webhook_settings *settings, struct dray_error *error) {
  DRAY_TRY(dray_json_parse(dray_str_of(settings->headers_json), DOCUMENT_BYTES_MAX, &settings->headers, error));
  if (settings->headers->kind != DRAY_JSON_OBJECT || settings->headers->child_count > WEBHOOK_HEADERS_MAX) {
    return dray_fail_field(error, DRAY_E_CONFIG_TYPE, "headers", "headers must map at most %d names to texts",
                           WEBHOOK_HEADERS_MAX);
  }
  for (const struct dray_json *header = settings->headers->child; header != NULL; header = header->next) {
    DRAY_TRY(check_header_name("headers", header->name.data, error));
    if (strcasecmp(header->name.data, "Authorization") == 0) {
      return dray_fail_field(error, DRAY_E_CONFIG_SECRET_LITERAL, "headers",
                             "headers: Authorization is a secret; use bearer_token or auth_header");
    }
    if (header->kind != DRAY_JSON_STRING || has_control(header->text)) {
      return dray_fail_field(error, DRAY_E_CONFIG_TYPE, "headers",
                             "headers: the value of %s must be a text of one line", header->name.data);
    }
  }
  return DRAY_OK;
}

static int32_t check_url(const char *url, struct dray_error *error) {
  const char *rest = strncmp(url, "https://", 8) == 0 ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
  const char *wrong = NULL;
  if (rest == NULL) {
    wrong = "it must begin with https:// (or http:// to this machine)";
  } else if (strlen(url) > WEBHOOK_URL_BYTES_MAX || has_control(dray_str_of(url)) || strchr(url, ' ') != NULL) {
    wrong = "it is too long, or holds blanks";
  } else if (strcspn(rest, "/?#") == 0) {
    wrong = "it names no host";
  } else if (memchr(rest, '@', strcspn(rest, "/?#")) != NULL) {
    wrong = "a user name or password does not belong into it; use auth_header";
  } else if (strchr(url, '#') != NULL) {
    wrong = "a fragment (#...) is never sent";
  }
  // The URL itself is not shown: many hold a token.
  if (wrong == NULL) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "url", "the url cannot be used: %s", wrong);
}

static int32_t check(struct webhook_settings *settings, struct dray_error *error) {
  DRAY_TRY(check_url(settings->url, error));
  DRAY_TRY(check_headers(settings, error));
  DRAY_TRY(check_header_name("auth_header_name", settings->auth_header_name, error));
  DRAY_TRY(check_header_name("hmac_header", settings->hmac_header, error));
  DRAY_TRY(check_header_name("hmac_timestamp_header", settings->hmac_timestamp_header, error));
  if (settings->idempotency_header[0] != '\0') {
    DRAY_TRY(check_header_name("idempotency_header", settings->idempotency_header, error));
  } else if (strcmp(settings->doubt, "key") == 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "doubt", "doubt: key needs an idempotency_header");
  }
  if (settings->has_bearer_token && settings->has_auth_header &&
      strcasecmp(settings->auth_header_name, "Authorization") == 0) {
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "auth_header",
        "bearer_token and auth_header would both be the header Authorization; give one, or set auth_header_name");
  }
  return DRAY_OK;
}

int32_t webhook_settings_bind(struct dray_str json, struct webhook_settings *out, struct dray_error *error) {
  struct webhook_settings settings = {0};
  DRAY_TRY(dray_config_bind(table, TABLE_COUNT, json, &settings, error));
  const int32_t rc = check(&settings, error);
  if (rc != DRAY_OK) {
    webhook_settings_free(&settings);
    return rc;
  }
  *out = settings;
  return DRAY_OK;
}

void webhook_settings_free(struct webhook_settings *settings) {
  dray_json_free(settings->headers);
  dray_config_release(table, TABLE_COUNT, settings);
  memset(settings, 0, sizeof(*settings));
}

// ---- options ----

static int32_t inherit(char **mine, const char *theirs, struct dray_error *error) {
  if (*mine != NULL || theirs == NULL) return DRAY_OK;
  *mine = dray_str_dup(dray_str_of(theirs));
  return *mine != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the options");
}

static int32_t check_path(const char *path, struct dray_error *error) {
  if (path == NULL) return DRAY_OK;
  if (path[0] == '/' && path[1] != '/' && !has_control(dray_str_of(path)) && strpbrk(path, " #\\") == NULL &&
      strlen(path) <= WEBHOOK_URL_BYTES_MAX / 2) {
    return DRAY_OK;
  }
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path",
                         "path must begin with one slash and hold no blank, \\ or #");
}

static int32_t complete(struct webhook_shape *shape, const struct webhook_settings *settings,
                        struct dray_error *error) {
  const struct webhook_shape *base = &settings->shape;
  DRAY_TRY(check_path(shape->path, error));
  DRAY_TRY(inherit(&shape->method, base->method, error));
  DRAY_TRY(inherit(&shape->body_json, base->body_json, error));
  DRAY_TRY(inherit(&shape->row_json, base->row_json, error));
  DRAY_TRY(inherit(&shape->results_json, base->results_json, error));
  DRAY_TRY(inherit(&shape->updates, base->updates, error));
  DRAY_TRY(inherit(&shape->deletes, base->deletes, error));
  if (shape->batch_rows == 0) shape->batch_rows = base->batch_rows;
  return DRAY_OK;
}

int32_t webhook_options_bind(const struct webhook_settings *settings, struct dray_str json, struct webhook_shape *out,
                             struct dray_error *error) {
  struct webhook_shape shape = {0};
  DRAY_TRY(dray_config_bind(option_table, OPTION_COUNT, json, &shape, error));
  const int32_t rc = complete(&shape, settings, error);
  if (rc != DRAY_OK) {
    webhook_shape_free(&shape);
    return rc;
  }
  *out = shape;
  return DRAY_OK;
}

void webhook_shape_free(struct webhook_shape *shape) {
  dray_config_release(option_table, OPTION_COUNT, shape);
}

int32_t webhook_results_bind(const char *json, struct webhook_results *out, struct dray_error *error) {
  struct webhook_results results = {0};
  DRAY_TRY(dray_config_bind(result_table, RESULT_COUNT, dray_str_of(json), &results, error));
  if ((results.key != NULL) != (results.column != NULL) || (results.key != NULL && results.index != NULL)) {
    webhook_results_free(&results);
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "results",
                           "results: give `index`, or `key` together with `column`, or none of them (by order)");
  }
  if (strcmp(results.listed, "failed") == 0 && results.index == NULL && results.key == NULL) {
    webhook_results_free(&results);
    return dray_fail_field(
        error, DRAY_E_CONFIG_VALUE, "results",
        "results: with listed: failed it takes `index`, or `key` and `column`, to know which rows failed");
  }
  *out = results;
  return DRAY_OK;
}

void webhook_results_free(struct webhook_results *results) {
  dray_config_release(result_table, RESULT_COUNT, results);
}

uint32_t webhook_settings_doubt(const struct webhook_settings *settings) {
  if (strcmp(settings->doubt, "resend") == 0) return DRAY_DOUBT_RESEND;
  if (strcmp(settings->doubt, "none") == 0) return DRAY_DOUBT_NONE;
  return settings->idempotency_header[0] != '\0' ? DRAY_DOUBT_IDEMPOTENCY_KEY : DRAY_DOUBT_NONE;
}
