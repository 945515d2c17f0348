// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One request tells all: who answers, as which version, and what it lets the app do.
#include "check.h"

#include <stdio.h>

#define BODY_BYTES_MAX 8192u

static const char document[] = "query{shop{name myshopifyDomain}publicApiVersions{handle supported}"
                               "currentAppInstallation{accessScopes{handle}}}";

static int is_final(int32_t rc) {
  return rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_E_CANCELLED;
}

static int32_t ask(struct shopify_client *client, struct shopify_reply *reply, struct dray_error *error) {
  struct dray_buffer body;
  struct shopify_shape shape = {.cost = 5};
  dray_buffer_init(&body, BODY_BYTES_MAX);
  int32_t rc = shopify_body(&body, dray_str_of(document), dray_str_make(NULL, 0), error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &shape};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, reply, error);
  dray_buffer_free(&body);
  return rc;
}

// A scope to write is one to read as well.
static int has_scope(const struct dray_json *scopes, struct dray_str scope) {
  for (const struct dray_json *one = scopes != NULL ? scopes->child : NULL; one != NULL; one = one->next) {
    const struct dray_str handle = dray_json_string(dray_json_get(one, "handle"), "");
    if (dray_str_equal(handle, scope)) return 1;
    if (scope.len > 5 && memcmp(scope.data, "read_", 5) == 0 && handle.len == scope.len + 1 &&
        memcmp(handle.data, "write_", 6) == 0 && memcmp(handle.data + 6, scope.data + 5, (size_t)scope.len - 5) == 0) {
      return 1;
    }
  }
  return 0;
}

static void write_need(struct dray_json_writer *writer, const struct dray_json *scopes,
                       const struct shopify_need *need) {
  char text[640], fix[512] = "";
  size_t missing = 0;
  for (const char *at = need->scopes; *at != '\0';) {
    const size_t len = strcspn(at, " ");
    if (!has_scope(scopes, dray_str_make(at, len))) {
      const size_t used = strlen(fix);
      (void)snprintf(fix + used, sizeof(fix) - used, "%s%.*s", missing++ > 0 ? ", " : "", (int)len, at);
    }
    at += len + (at[len] == ' ');
  }
  if (missing == 0) {
    (void)snprintf(text, sizeof(text), "%s", need->scopes[0] != '\0' ? need->scopes : "needs no scope");
    if (strstr(need->scopes, "read_orders") != NULL && !has_scope(scopes, dray_str_of("read_all_orders"))) {
      (void)snprintf(text, sizeof(text), "%s; without read_all_orders only the orders of the last 60 days are shown",
                     need->scopes);
    }
    dray_check_of_write(writer, need->of, need->name, DRAY_OK, text, NULL);
    return;
  }
  char grant[640];
  (void)snprintf(text, sizeof(text), "the app lacks the scope %s", fix);
  (void)snprintf(grant, sizeof(grant), "grant the app the scope %s in its configuration and install it again", fix);
  dray_check_of_write(writer, need->of, need->name, DRAY_E_AUTH_FORBIDDEN, text, grant);
}

static void write_version(struct dray_json_writer *writer, const struct shopify_client *client,
                          const struct dray_json *versions) {
  char text[256];
  const char *wanted = client->settings->api_version;
  int supported = 0;
  for (const struct dray_json *one = versions != NULL ? versions->child : NULL; one != NULL; one = one->next) {
    const struct dray_json *is = dray_json_get(one, "supported");
    if (is != NULL && is->boolean && dray_str_is(dray_json_string(dray_json_get(one, "handle"), ""), wanted))
      supported = 1;
  }
  (void)snprintf(text, sizeof(text), "version %s of the Admin API is %ssupported", wanted, supported ? "" : "not ");
  if (supported || strcmp(wanted, "unstable") == 0) {
    dray_check_step_write(writer, "api_version", text, NULL);
  } else {
    dray_check_failure_write(writer, "api_version", DRAY_E_CONFIG_VALUE, text, "set api_version to a version that is");
  }
}

// Nobody has answered.
static int is_silence(int32_t rc) {
  static const int32_t codes[] = {DRAY_E_NET_RESOLVE, DRAY_E_NET_CONNECT, DRAY_E_NET_TLS, DRAY_E_NET_TIMEOUT,
                                  DRAY_E_NET_CLOSED};
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    if (codes[i] == rc) return 1;
  }
  return 0;
}

static void write_other_failure(struct dray_json_writer *writer, int32_t rc, const struct dray_error *why) {
  const int answered = !is_silence(rc) && (why->http_status != 0 || why->vendor_code[0] != '\0' ||
                                           rc == DRAY_E_AUTH_REJECTED || rc == DRAY_E_AUTH_FORBIDDEN ||
                                           rc == DRAY_E_CONFIG_SECRET_MISSING || rc == DRAY_E_CONFIG_MISSING);
  const char *fix = dray_error_info(rc)->fix;
  if (rc == DRAY_E_AUTH_REJECTED) {
    fix = "set access_token to the Admin API access token of an app that is installed in this shop, or client_id and "
          "client_secret of an app of the Dev Dashboard that is";
  }
  if (why->http_status == 404) fix = "correct `shop`: acme for https://acme.myshopify.com";
  if (answered && why->http_status != 404) dray_check_step_write(writer, "reach", "the shop answers", NULL);
  dray_check_failure_write(writer, answered && why->http_status != 404 ? "credentials" : "reach", rc, why->text, fix);
}

static int32_t write_failure(const struct shopify_client *client, struct dray_json_writer *writer, int32_t rc,
                             const struct dray_error *why, struct dray_error *error) {
  int32_t is_written = 0;
  DRAY_TRY(dray_credential_step_write(client->credential, why, writer, &is_written, error));
  if (!is_written) write_other_failure(writer, rc, why);
  return DRAY_OK;
}

int32_t shopify_check(struct shopify_client *client, const struct shopify_need *needs, size_t need_count,
                      struct dray_buffer *out, struct dray_error *error) {
  struct shopify_reply reply = {0};
  struct dray_json_writer writer;
  struct dray_error why;
  char text[512];
  dray_error_init(&why);
  const int32_t rc = ask(client, &reply, &why);
  if (is_final(rc)) {
    if (error != NULL) *error = why;
    return rc;
  }
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_array(&writer);
  if (rc != DRAY_OK) DRAY_TRY(write_failure(client, &writer, rc, &why, error));
  if (rc == DRAY_OK) {
    const struct dray_json *scopes = dray_json_path(reply.data, "currentAppInstallation.accessScopes");
    const struct dray_str name = dray_json_string(dray_json_path(reply.data, "shop.name"), "");
    const struct dray_str domain = dray_json_string(dray_json_path(reply.data, "shop.myshopifyDomain"), "");
    (void)snprintf(text, sizeof(text), "%.*s, %.*s", DRAY_VALUE_ARG(domain), DRAY_VALUE_ARG(name));
    dray_check_step_write(&writer, "reach", text, NULL);
    (void)snprintf(text, sizeof(text), "accepted; the app has %zu scopes", scopes != NULL ? scopes->child_count : 0);
    dray_check_step_write(&writer, "credentials", text, NULL);
    write_version(&writer, client, dray_json_get(reply.data, "publicApiVersions"));
    for (size_t i = 0; i < need_count; i++) write_need(&writer, scopes, &needs[i]);
  }
  dray_json_end_array(&writer);
  shopify_reply_free(&reply);
  return dray_json_writer_finish(&writer);
}
