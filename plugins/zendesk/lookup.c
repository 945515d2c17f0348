// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which record a row means. A hundred users or organizations are found by one call; addresses, and external ids of
// tickets, take a call each.
#include <stdio.h>
#include <stdlib.h>

#include "work.h"

#define PATH_BYTES_MAX 65536u
#define MANY_BYTES_MAX 3000u // of keys in one query; the whole address stays below what proxies take

static int32_t keep_tree(struct zendesk_work *work, struct dray_json *tree, struct dray_error *error) {
  if (work->tree_count == work->tree_capacity) {
    const size_t capacity = work->tree_capacity > 0 ? work->tree_capacity * 2 : 16;
    struct dray_json **trees = realloc(work->trees, capacity * sizeof(struct dray_json *));
    if (trees == NULL) {
      dray_json_free(tree);
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for what was looked up");
    }
    work->trees = trees;
    work->tree_capacity = capacity;
  }
  work->trees[work->tree_count++] = tree;
  return DRAY_OK;
}

void zendesk_lookup_free(struct zendesk_work *work) {
  for (size_t i = 0; i < work->tree_count; i++) dray_json_free(work->trees[i]);
  free(work->trees);
  work->trees = NULL;
  work->tree_count = work->tree_capacity = 0;
}

static int is_gone(const struct dray_json *record) {
  const struct dray_json *active = dray_json_get(record, "active");
  const struct dray_json *deleted = dray_json_get(record, "deleted_at");
  const int is_user = active != NULL && active->kind == DRAY_JSON_BOOL && !active->boolean;
  return is_user || (deleted != NULL && deleted->kind == DRAY_JSON_STRING) ||
         dray_str_is(dray_json_string(dray_json_get(record, "status"), ""), "deleted");
}

static const char *member_of(const struct zendesk_work *work) {
  static const char *const members[] = {[ZENDESK_MATCH_ID] = "id",
                                        [ZENDESK_MATCH_EXTERNAL_ID] = "external_id",
                                        [ZENDESK_MATCH_EMAIL] = "email",
                                        [ZENDESK_MATCH_NONE] = ""};
  return members[work->form->match];
}

static void note(struct zendesk_work *work, struct zendesk_item *item, const struct dray_json *record) {
  const struct dray_json *id = dray_json_get(record, "id");
  const struct dray_json *value = dray_json_get(record, member_of(work));
  if (id == NULL || value == NULL || is_gone(record)) return;
  if (!zendesk_same(value->text, dray_buffer_view(&item->key)) || id->text.len >= sizeof(item->id)) return;
  item->copies++;
  if (item->record != NULL) return; // the first is the oldest
  item->record = record;
  memcpy(item->id, id->text.data, (size_t)id->text.len);
  item->id[id->text.len] = '\0';
}

// Asks, and gives the answer's records to items [first, end).
static int32_t ask(struct zendesk_work *work, const char *path, size_t first, size_t end, struct dray_error *error) {
  struct dray_json *tree = NULL;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = zendesk_get(work->client, path, &tree, &why);
  if (rc != DRAY_OK && why.http_status == 404) return DRAY_OK; // none of them
  if (rc != DRAY_OK) {
    if (error != NULL) *error = why;
    return rc;
  }
  DRAY_TRY(keep_tree(work, tree, error));
  const struct dray_json *records = dray_json_get(tree, work->form->object->plural);
  if (records == NULL || records->kind != DRAY_JSON_ARRAY) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "GET %.*s: the answer has no list \"%s\"", (int)strcspn(path, "?"),
                     path, work->form->object->plural);
  }
  for (const struct dray_json *record = records->child; record != NULL; record = record->next) {
    for (size_t k = first; k < end; k++) {
      if (!work->items[k].settled) note(work, &work->items[k], record);
    }
  }
  return DRAY_OK;
}

static int32_t ask_one(struct zendesk_work *work, size_t k, struct dray_error *error) {
  const char *plural = work->form->object->plural;
  const struct dray_str key = dray_buffer_view(&work->items[k].key);
  struct dray_buffer path;
  dray_buffer_init(&path, PATH_BYTES_MAX);
  int32_t rc;
  if (work->form->match == ZENDESK_MATCH_EMAIL) {
    struct dray_buffer query;
    dray_buffer_init(&query, PATH_BYTES_MAX);
    rc = dray_buffer_printf(&query, error, "email:%s", key.data);
    if (rc == DRAY_OK) rc = dray_buffer_printf(&path, error, "/api/v2/%s/search", plural);
    if (rc == DRAY_OK) rc = dray_api_query(&path, 1, "query", dray_buffer_view(&query), error);
    dray_buffer_free(&query);
  } else {
    const int is_ticket = work->form->object->kind == ZENDESK_TICKETS;
    rc = dray_buffer_printf(&path, error, "/api/v2/%s%s", plural, is_ticket ? "" : "/search");
    if (rc == DRAY_OK) rc = dray_api_query(&path, 1, "external_id", key, error);
  }
  if (rc == DRAY_OK) rc = ask(work, path.data, k, k + 1, error);
  dray_buffer_free(&path);
  return rc;
}

// Whether many keys of this kind go into one call.
static int goes_together(const struct zendesk_work *work, size_t k) {
  if (work->form->match == ZENDESK_MATCH_ID) return 1;
  return work->form->match == ZENDESK_MATCH_EXTERNAL_ID && work->form->object->kind != ZENDESK_TICKETS &&
         memchr(work->items[k].key.data, ',', work->items[k].key.len) == NULL;
}

static int32_t ask_many(struct zendesk_work *work, struct dray_buffer *keys, size_t first, size_t end,
                        struct dray_error *error) {
  struct dray_buffer path;
  dray_buffer_init(&path, PATH_BYTES_MAX);
  const char *name = work->form->match == ZENDESK_MATCH_ID ? "ids" : "external_ids";
  int32_t rc = dray_buffer_printf(&path, error, "/api/v2/%s/show_many", work->form->object->plural);
  if (rc == DRAY_OK) rc = dray_api_query(&path, 1, name, dray_buffer_view(keys), error);
  if (rc == DRAY_OK) rc = ask(work, path.data, first, end, error);
  dray_buffer_free(&path);
  dray_buffer_clear(keys);
  return rc;
}

int32_t zendesk_lookup(struct zendesk_work *work, struct dray_error *error) {
  struct dray_buffer keys;
  size_t first = 0;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&keys, PATH_BYTES_MAX);
  for (size_t k = 0; rc == DRAY_OK && k < work->count; k++) {
    struct zendesk_item *item = &work->items[k];
    if (item->settled || item->key.len == 0) continue;
    if (!goes_together(work, k)) {
      rc = ask_one(work, k, error);
      continue;
    }
    if (keys.len > 0 && keys.len + item->key.len > MANY_BYTES_MAX) rc = ask_many(work, &keys, first, k, error);
    if (keys.len == 0) first = k;
    if (rc == DRAY_OK && keys.len > 0) rc = dray_buffer_append_char(&keys, ',', error);
    if (rc == DRAY_OK) rc = dray_buffer_append(&keys, item->key.data, item->key.len, error);
  }
  if (rc == DRAY_OK && keys.len > 0) rc = ask_many(work, &keys, first, work->count, error);
  dray_buffer_free(&keys);
  return rc;
}
