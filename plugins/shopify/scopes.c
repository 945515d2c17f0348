// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "scopes.h"

#include <stdio.h>

#define SCOPE_BYTES_MAX 100
#define COST 3.0

static const char document[] = "query{currentAppInstallation{accessScopes{handle}}}";

int32_t shopify_scopes_take(const struct dray_json *list, struct dray_buffer *out, struct dray_error *error) {
  for (const struct dray_json *one = list != NULL ? list->child : NULL; one != NULL; one = one->next) {
    const struct dray_str handle = dray_json_string(dray_json_get(one, "handle"), "");
    DRAY_TRY(dray_buffer_printf(out, error, " %.*s ", DRAY_STR_ARG(handle)));
  }
  return DRAY_OK;
}

int32_t shopify_scopes_ask(struct shopify_client *client, struct dray_buffer *out, struct dray_error *error) {
  struct shopify_reply reply = {0};
  struct shopify_shape shape = {.cost = COST};
  struct dray_buffer body;
  dray_buffer_init(&body, SHOPIFY_SCOPES_BYTES_MAX);
  int32_t rc = shopify_body(&body, dray_str_of(document), dray_str_make(NULL, 0), error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &shape};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, &reply, error);
  if (rc == DRAY_OK) {
    rc = shopify_scopes_take(dray_json_path(reply.data, "currentAppInstallation.accessScopes"), out, error);
  }
  shopify_reply_free(&reply);
  dray_buffer_free(&body);
  return rc;
}

static int has(const struct dray_buffer *scopes, const char *scope, size_t len) {
  char marked[SCOPE_BYTES_MAX + 3];
  if (len > SCOPE_BYTES_MAX || scopes->len == 0) return 0;
  (void)snprintf(marked, sizeof(marked), " %.*s ", (int)len, scope);
  if (strstr(scopes->data, marked) != NULL) return 1;
  if (len <= 5 || memcmp(scope, "read_", 5) != 0) return 0;
  (void)snprintf(marked, sizeof(marked), " write_%.*s ", (int)(len - 5), scope + 5);
  return strstr(scopes->data, marked) != NULL;
}

int shopify_scopes_have(const struct dray_buffer *scopes, struct dray_str any) {
  for (size_t at = 0; at < any.len;) {
    const char *bar = memchr(any.data + at, '|', (size_t)any.len - at);
    const size_t end = bar != NULL ? (size_t)(bar - any.data) : (size_t)any.len;
    if (has(scopes, any.data + at, end - at)) return 1;
    at = end + 1;
  }
  return 0;
}

const char *shopify_scope_of_owner(struct dray_str gid) {
  static const struct {
    const char *kind, *scope;
  } known[] = {{"Customer/", "write_customers"},  {"Order/", "write_orders"},
               {"Product/", "write_products"},    {"ProductVariant/", "write_products"},
               {"Collection/", "write_products"}, {"DraftOrder/", "write_draft_orders"}};
  static const char prefix[] = "gid://shopify/";
  const size_t len = sizeof(prefix) - 1;
  if (gid.len < len || memcmp(gid.data, prefix, len) != 0) return NULL;
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    const size_t kind = strlen(known[i].kind);
    if (gid.len >= len + kind && memcmp(gid.data + len, known[i].kind, kind) == 0) return known[i].scope;
  }
  return NULL;
}
