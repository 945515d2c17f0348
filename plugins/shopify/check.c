// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One request tells all: who answers, as which version, and what it lets the app do.
#include "check.h"

#include <stdarg.h>
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

// Appends to a text of limited length.
static void add(char *text, size_t bytes, const char *format, ...) {
  const size_t used = strlen(text);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text + used, bytes - used, format, args);
  va_end(args);
}

// "read_inventory|read_products" as words.
static void add_scopes(char *text, size_t bytes, const char *any, size_t len) {
  for (size_t at = 0; at < len;) {
    const char *bar = memchr(any + at, '|', len - at);
    const size_t end = bar != NULL ? (size_t)(bar - any) : len;
    add(text, bytes, "%s%.*s", at > 0 ? " or " : "", (int)(end - at), any + at);
    at = end + 1;
  }
}

// What is lost, though the whole can be had.
static void add_losses(char *text, size_t bytes, const struct dray_buffer *scopes, const struct shopify_need *need) {
  for (size_t i = 0; need->also != NULL && i < SHOPIFY_ALSO_MAX && need->also[i].scopes != NULL; i++) {
    const char *any = need->also[i].scopes;
    if (shopify_scopes_have(scopes, dray_str_of(any))) continue;
    add(text, bytes, "; without ");
    add_scopes(text, bytes, any, strlen(any));
    add(text, bytes, " %s", need->also[i].what);
  }
  if (strstr(need->scopes, "read_orders") != NULL && !shopify_scopes_have(scopes, dray_str_of("read_all_orders"))) {
    add(text, bytes, "; without read_all_orders only the orders of the last 60 days are shown");
  }
}

static void write_need(struct dray_json_writer *writer, const struct dray_buffer *scopes,
                       const struct shopify_need *need) {
  char text[640] = "", lacking[512] = "", fix[640];
  for (const char *at = need->scopes; *at != '\0';) {
    const size_t len = strcspn(at, " ");
    const int held = shopify_scopes_have(scopes, dray_str_make(at, len));
    if (text[0] != '\0') add(text, sizeof(text), ", ");
    add_scopes(text, sizeof(text), at, len);
    if (!held && lacking[0] != '\0') add(lacking, sizeof(lacking), ", ");
    if (!held) add_scopes(lacking, sizeof(lacking), at, len);
    at += len + (at[len] == ' ');
  }
  if (lacking[0] == '\0') {
    if (need->scopes[0] == '\0') add(text, sizeof(text), "needs no scope");
    add_losses(text, sizeof(text), scopes, need);
    dray_check_of_write(writer, need->of, need->name, DRAY_OK, text, NULL);
    return;
  }
  (void)snprintf(text, sizeof(text), "the app lacks the scope %s", lacking);
  (void)snprintf(fix, sizeof(fix), "grant the app the scope %s in its configuration and install it again", lacking);
  dray_check_of_write(writer, need->of, need->name, DRAY_E_AUTH_FORBIDDEN, text, fix);
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
  int32_t taken = DRAY_OK;
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
    struct dray_buffer held;
    dray_buffer_init(&held, SHOPIFY_SCOPES_BYTES_MAX);
    taken = shopify_scopes_take(scopes, &held, error);
    for (size_t i = 0; taken == DRAY_OK && i < need_count; i++) write_need(&writer, &held, &needs[i]);
    dray_buffer_free(&held);
  }
  dray_json_end_array(&writer);
  shopify_reply_free(&reply);
  return taken == DRAY_OK ? dray_json_writer_finish(&writer) : taken;
}
