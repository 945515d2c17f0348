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

#define SELECTION "{nodes{namespace key name type{name}} pageInfo{hasNextPage endCursor}}"
#define COST_EACH 10.0

// What is under way for one kind of owner.
struct loading {
  const char *owner;
  struct shopify_definitions made;
  struct dray_buffer names; // taken ones, with a blank around
  struct dray_buffer after; // where its next page begins; empty: at the beginning
  int ended;
};

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

// {d0:metafieldDefinitions(ownerType:CUSTOMER,first:250) {...} d1:...}: the next page of everyone who has one.
static int32_t write_document(const struct loading *loads, size_t count, struct dray_buffer *out,
                              struct dray_error *error) {
  int32_t rc = dray_buffer_append_char(out, '{', error);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (loads[i].ended) continue;
    rc = dray_buffer_printf(out, error, "d%zu:metafieldDefinitions(ownerType:%s,first:250", i, loads[i].owner);
    if (rc == DRAY_OK && loads[i].after.len > 0) {
      struct dray_json_writer writer;
      rc = dray_buffer_append_str(out, ",after:", error);
      dray_json_writer_init(&writer, out, error);
      if (rc == DRAY_OK) dray_json_write_str(&writer, dray_buffer_view(&loads[i].after));
      if (rc == DRAY_OK) rc = dray_json_writer_finish(&writer);
    }
    if (rc == DRAY_OK) rc = dray_buffer_append_str(out, ")" SELECTION " ", error);
  }
  return rc == DRAY_OK ? dray_buffer_append_char(out, '}', error) : rc;
}

// `errors` may say why there is no connection.
static int32_t refuse_page(const struct loading *load, const struct dray_json *errors, struct dray_error *error) {
  const struct dray_json *first = errors != NULL ? errors->child : NULL;
  const int denied = first != NULL && dray_str_is(shopify_error_code(first), "ACCESS_DENIED");
  const int32_t rc = dray_fail(
      error, denied ? DRAY_E_AUTH_FORBIDDEN : DRAY_E_HTTP_CONTENT,
      "Shopify answered without the definitions of metafields of %s: %.*s", load->owner,
      DRAY_STR_ARG(dray_json_string(first != NULL ? dray_json_get(first, "message") : NULL, "no reason given")));
  if (denied && error != NULL) (void)snprintf(error->vendor_code, sizeof(error->vendor_code), "ACCESS_DENIED");
  return rc;
}

static int32_t take_page(struct loading *load, const struct dray_json *connection, const struct dray_json *errors,
                         struct dray_error *error) {
  const struct dray_json *nodes = dray_json_get(connection, "nodes");
  if (nodes == NULL) return refuse_page(load, errors, error);
  for (const struct dray_json *node = nodes->child; node != NULL; node = node->next) {
    DRAY_TRY(add_definition(node, &load->made, &load->names, error));
  }
  const struct dray_json *more = dray_json_path(connection, "pageInfo.hasNextPage");
  const struct dray_str cursor = dray_json_string(dray_json_path(connection, "pageInfo.endCursor"), "");
  dray_buffer_clear(&load->after);
  load->ended = more == NULL || !more->boolean || cursor.len == 0;
  return load->ended ? DRAY_OK : dray_buffer_append(&load->after, cursor.data, (size_t)cursor.len, error);
}

// One request. *out_ended = 1: nobody has a further page.
static int32_t load_round(struct shopify_client *client, struct loading *loads, size_t count, int *out_ended,
                          struct dray_error *error) {
  struct shopify_shape shape = {.cost = COST_EACH * (double)count};
  struct dray_buffer document, body;
  struct shopify_reply reply = {0};
  char alias[24];
  dray_buffer_init(&document, TEXT_BYTES_MAX);
  dray_buffer_init(&body, TEXT_BYTES_MAX);
  int32_t rc = write_document(loads, count, &document, error);
  if (rc == DRAY_OK) rc = shopify_body(&body, dray_buffer_view(&document), dray_str_make(NULL, 0), error);
  struct shopify_request request = {.body = dray_buffer_view(&body), .flags = DRAY_HTTP_IDEMPOTENT, .shape = &shape};
  if (rc == DRAY_OK) rc = shopify_ask(client, &request, &reply, error);
  *out_ended = 1;
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    if (loads[i].ended) continue;
    (void)snprintf(alias, sizeof(alias), "d%zu", i);
    rc = take_page(&loads[i], dray_json_get(reply.data, alias), reply.errors, error);
    *out_ended &= loads[i].ended;
  }
  shopify_reply_free(&reply);
  dray_buffer_free(&document);
  dray_buffer_free(&body);
  return rc;
}

static int32_t begin_load(struct loading *load, const char *owner, struct dray_error *error) {
  memset(load, 0, sizeof(*load));
  load->owner = owner;
  dray_buffer_init(&load->names, TEXT_BYTES_MAX);
  dray_buffer_init(&load->after, TEXT_BYTES_MAX);
  dray_field_list_init(&load->made.columns, TEXT_BYTES_MAX);
  load->made.items = calloc(SHOPIFY_DEFINITIONS_MAX, sizeof(*load->made.items));
  return load->made.items != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for definitions");
}

static void end_load(struct loading *load) {
  dray_buffer_free(&load->names);
  dray_buffer_free(&load->after);
  shopify_definitions_free(&load->made);
}

static int32_t load_together(struct shopify_client *client, const char *const *owners, size_t count,
                             struct shopify_definitions *const *out, struct dray_error *error) {
  struct loading loads[SHOPIFY_OWNERS_MAX];
  int32_t rc = DRAY_OK;
  memset(loads, 0, sizeof(loads));
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) rc = begin_load(&loads[i], owners[i], error);
  for (int ended = 0; rc == DRAY_OK && !ended;) rc = load_round(client, loads, count, &ended, error);
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    dray_field_list_end(&loads[i].made.columns);
    *out[i] = loads[i].made;
    memset(&loads[i].made, 0, sizeof(loads[i].made));
  }
  for (size_t i = 0; i < count; i++) end_load(&loads[i]);
  return rc;
}

// Only what a scope denies: a shop that is locked for now has the same columns as before.
static int is_denied(int32_t rc, const struct dray_error *why) {
  return rc == DRAY_E_AUTH_FORBIDDEN && strcmp(why->vendor_code, "ACCESS_DENIED") == 0;
}

int32_t shopify_definitions_load(struct shopify_client *client, const char *const *owners, size_t count,
                                 struct shopify_definitions *const *out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  if (count > SHOPIFY_OWNERS_MAX) return dray_fail(error, DRAY_E_INTERNAL, "definitions of %zu kinds of owners", count);
  int32_t rc = count > 0 ? load_together(client, owners, count, out, &why) : DRAY_OK;
  if (is_denied(rc, &why) && count > 1) { // of one of them: each for itself
    rc = DRAY_OK;
    for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
      rc = shopify_definitions_load(client, &owners[i], 1, &out[i], &why);
    }
  } else if (is_denied(rc, &why)) {
    dray_log_printf(client->services, DRAY_LOG_WARN, "definitions of metafields of %s cannot be seen: %s", owners[0],
                    why.text);
    dray_field_list_init(&out[0]->columns, TEXT_BYTES_MAX);
    rc = DRAY_OK;
  }
  if (rc != DRAY_OK && error != NULL) *error = why;
  return rc;
}
