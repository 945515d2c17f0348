// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Definitions of metafields, page by page, and the columns they become.
#include "metafields.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES_MAX 200
#define TEXT_BYTES_MAX (1u << 20)

static const char document[] = "query($owner:MetafieldOwnerType!,$after:String){metafieldDefinitions(ownerType:$owner,"
                               "first:250,after:$after){nodes{namespace key name type{name}} "
                               "pageInfo{hasNextPage endCursor}}}";

struct dray_type shopify_metafield_type(struct dray_str name, int *out_json) {
  static const struct {
    const char *name;
    struct dray_type type;
  } known[] = {
      {"boolean", {DRAY_TYPE_BOOL, 0, 0}},
      {"number_integer", {DRAY_TYPE_INT64, 0, 0}},
      {"number_decimal", {DRAY_TYPE_DECIMAL, 38, 9}},
      {"date", {DRAY_TYPE_DATE, 0, 0}},
      {"date_time", {DRAY_TYPE_TIMESTAMP, 0, 0}},
      {"json", {DRAY_TYPE_JSON, 0, 0}},
      {"rich_text_field", {DRAY_TYPE_JSON, 0, 0}},
      {"money", {DRAY_TYPE_JSON, 0, 0}},
      {"rating", {DRAY_TYPE_JSON, 0, 0}},
      {"dimension", {DRAY_TYPE_JSON, 0, 0}},
      {"weight", {DRAY_TYPE_JSON, 0, 0}},
      {"volume", {DRAY_TYPE_JSON, 0, 0}},
      {"link", {DRAY_TYPE_JSON, 0, 0}},
  };
  struct dray_type type = {DRAY_TYPE_STRING, 0, 0};
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (dray_str_is(name, known[i].name)) type = known[i].type;
  }
  if (name.len > 5 && memcmp(name.data, "list.", 5) == 0) type = (struct dray_type){DRAY_TYPE_JSON, 0, 0};
  *out_json = type.id == DRAY_TYPE_JSON;
  return type;
}

void shopify_definitions_free(struct shopify_definitions *definitions) {
  for (size_t i = 0; i < definitions->count; i++) {
    free(definitions->items[i].space);
    free(definitions->items[i].key);
  }
  free(definitions->items);
  dray_field_list_free(&definitions->columns);
  memset(definitions, 0, sizeof(*definitions));
}

// ---- names ----

static size_t append_plain(char *out, size_t at, struct dray_str text) {
  for (uint64_t i = 0; i < text.len && at < NAME_BYTES_MAX; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    out[at++] = isascii(c) && isalnum(c) ? (char)tolower(c) : '_';
  }
  return at;
}

// The beginning keeps the names apart from declared columns. `names` holds those that are taken, with a blank around.
static int32_t make_name(struct dray_str space, struct dray_str key, struct dray_buffer *names, char *out,
                         size_t out_bytes, struct dray_error *error) {
  char base[NAME_BYTES_MAX + 1];
  char marked[NAME_BYTES_MAX + 32];
  size_t len = append_plain(base, 0, dray_str_of("metafield_"));
  len = append_plain(base, len, space);
  if (len < NAME_BYTES_MAX) base[len++] = '_';
  len = append_plain(base, len, key);
  base[len] = '\0';
  (void)snprintf(out, out_bytes, "%s", base);
  for (unsigned n = 2;; n++) {
    (void)snprintf(marked, sizeof(marked), " %s ", out);
    if (names->len == 0 || strstr(names->data, marked) == NULL) break;
    (void)snprintf(out, out_bytes, "%s_%u", base, n);
  }
  return dray_buffer_append_str(names, marked, error);
}

// ---- loading ----

static int32_t add_definition(const struct dray_json *node, struct shopify_definitions *out, struct dray_buffer *names,
                              struct dray_error *error) {
  const struct dray_str space = dray_json_string(dray_json_get(node, "namespace"), "");
  const struct dray_str key = dray_json_string(dray_json_get(node, "key"), "");
  const struct dray_str type_name = dray_json_string(dray_json_path(node, "type.name"), "");
  char name[NAME_BYTES_MAX + 16], path[NAME_BYTES_MAX + 32], description[512];
  int json = 0;
  if (space.len == 0 || key.len == 0) return DRAY_OK;
  if (out->count == SHOPIFY_DEFINITIONS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT,
                     "there are more than %d definitions of metafields; set include_metafields: "
                     "false and read the streams metafields_...",
                     SHOPIFY_DEFINITIONS_MAX);
  }
  DRAY_TRY(make_name(space, key, names, name, sizeof(name), error));
  const struct dray_type type = shopify_metafield_type(type_name, &json);
  (void)snprintf(path, sizeof(path), "%s.%s", name, json ? "jsonValue" : "value");
  (void)snprintf(description, sizeof(description), "metafield %.*s.%.*s (%.*s)", DRAY_VALUE_ARG(space),
                 DRAY_VALUE_ARG(key), DRAY_VALUE_ARG(type_name));
  struct shopify_definition item = {dray_str_dup(space), dray_str_dup(key)};
  int32_t rc = item.space != NULL && item.key != NULL
                   ? dray_field_list_add(&out->columns, dray_str_of(name), dray_str_of(path), type, 0,
                                         dray_str_of(description), error)
                   : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a definition");
  if (rc != DRAY_OK) {
    free(item.space);
    free(item.key);
    return rc;
  }
  out->items[out->count++] = item;
  return DRAY_OK;
}

static int32_t write_variables(const char *owner, struct dray_str after, struct dray_buffer *out,
                               struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "owner");
  dray_json_write_text(&writer, owner);
  if (after.len > 0) {
    dray_json_key(&writer, "after");
    dray_json_write_str(&writer, after);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// One page; *after is replaced by where the next one begins, empty at the end.
static int32_t load_page(struct shopify_client *client, const char *owner, struct dray_buffer *after,
                         struct shopify_definitions *out, struct dray_buffer *names, struct dray_error *error) {
  struct shopify_shape mine = {0};
  struct dray_buffer variables, body;
  struct shopify_reply reply = {0};
  dray_buffer_init(&variables, TEXT_BYTES_MAX);
  dray_buffer_init(&body, TEXT_BYTES_MAX);
  int32_t rc = write_variables(owner, dray_buffer_view(after), &variables, error);
  if (rc == DRAY_OK) rc = shopify_body(&body, dray_str_of(document), dray_buffer_view(&variables), error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &mine};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, &reply, error);
  const struct dray_json *nodes = rc == DRAY_OK ? dray_json_path(reply.data, "metafieldDefinitions.nodes") : NULL;
  for (const struct dray_json *node = nodes != NULL ? nodes->child : NULL; node != NULL && rc == DRAY_OK;
       node = node->next) {
    rc = add_definition(node, out, names, error);
  }
  dray_buffer_clear(after);
  if (rc == DRAY_OK) {
    const struct dray_json *info = dray_json_path(reply.data, "metafieldDefinitions.pageInfo");
    const struct dray_json *more = dray_json_get(info, "hasNextPage");
    const struct dray_str cursor = dray_json_string(dray_json_get(info, "endCursor"), "");
    if (more != NULL && more->boolean) rc = dray_buffer_append(after, cursor.data, (size_t)cursor.len, error);
  }
  shopify_reply_free(&reply);
  dray_buffer_free(&variables);
  dray_buffer_free(&body);
  return rc;
}

int32_t shopify_definitions_load(struct shopify_client *client, const char *owner, struct shopify_definitions *out,
                                 struct dray_error *error) {
  struct shopify_definitions made = {0};
  struct dray_buffer after, names;
  struct dray_error why;
  dray_error_init(&why);
  dray_buffer_init(&after, TEXT_BYTES_MAX);
  dray_buffer_init(&names, TEXT_BYTES_MAX);
  dray_field_list_init(&made.columns, TEXT_BYTES_MAX);
  made.items = calloc(SHOPIFY_DEFINITIONS_MAX, sizeof(*made.items));
  int32_t rc = made.items != NULL ? DRAY_OK : dray_fail(&why, DRAY_E_OUT_OF_MEMORY, "no memory for definitions");
  do {
    if (rc == DRAY_OK) rc = load_page(client, owner, &after, &made, &names, &why);
  } while (rc == DRAY_OK && after.len > 0);
  dray_buffer_free(&after);
  dray_buffer_free(&names);
  // Only what a scope denies: a shop that is locked for now has the same columns as before.
  if (rc == DRAY_E_AUTH_FORBIDDEN && strcmp(why.vendor_code, "ACCESS_DENIED") == 0) {
    dray_log_printf(client->services, DRAY_LOG_WARN, "definitions of metafields of %s cannot be seen: %s", owner,
                    why.text);
    shopify_definitions_free(&made);
    dray_field_list_init(&made.columns, TEXT_BYTES_MAX);
    rc = DRAY_OK;
  }
  if (rc != DRAY_OK) {
    shopify_definitions_free(&made);
    if (error != NULL) *error = why;
    return rc;
  }
  dray_field_list_end(&made.columns);
  *out = made;
  return DRAY_OK;
}
