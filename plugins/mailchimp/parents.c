// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Lists of ids, asked for page by page before a stream begins. They are few: an account has tens of audiences, and
// thousands of segments at most.
#include "parents.h"

#include <stdio.h>
#include <stdlib.h>

#define IDS_PAGE 1000
#define RECORDS_PATH_BYTES 340 // of a collection
#define PAGE_PATH_BYTES 400    // with the page's count and offset
#define PARENTS_MAX 1000000u
#define DAY_US (INT64_C(86400) * 1000000)

static int32_t add(struct mc_parents *parents, const char *first, const char *second, int32_t half,
                   struct dray_error *error) {
  if (parents->count == parents->capacity) {
    const size_t capacity = parents->capacity == 0 ? 64 : parents->capacity * 2;
    struct mc_parent *items = capacity <= PARENTS_MAX ? realloc(parents->items, capacity * sizeof(*items)) : NULL;
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu ids", capacity);
    parents->items = items;
    parents->capacity = capacity;
  }
  struct mc_parent *made = &parents->items[parents->count++];
  *made = (struct mc_parent){.half = half, .cursor_us = INT64_MIN, .seen_us = INT64_MIN};
  (void)snprintf(made->first, sizeof(made->first), "%s", first);
  (void)snprintf(made->second, sizeof(made->second), "%s", second);
  return DRAY_OK;
}

void mc_parents_free(struct mc_parents *parents) {
  free(parents->items);
  *parents = (struct mc_parents){.items = NULL};
}

// ---- pages of ids ----

// What is done with a record: `record` is an element of the page's array.
typedef int32_t take_record(void *ctx, const struct dray_json *record, struct dray_error *error);

static void page_path(const char *path, uint64_t offset, char out[PAGE_PATH_BYTES]) {
  (void)snprintf(out, PAGE_PATH_BYTES, "%s%ccount=%d&offset=%llu", path, strchr(path, '?') != NULL ? '&' : '?',
                 IDS_PAGE, (unsigned long long)offset);
}

// Calls `take` with every record of a collection. `path` has everything but count and offset; `first`: its first page
// where that is under way, taken over, or NULL. *out_gone (NULL allowed) = 1 when there is no such collection any more.
static int32_t each_record(struct mc_client *client, const char *path, struct dray_api_pending *first,
                           const char *records, take_record *take, void *ctx, int *out_gone, struct dray_error *error) {
  for (uint64_t offset = 0;; offset += IDS_PAGE) {
    struct dray_json *root = NULL;
    char asked[PAGE_PATH_BYTES];
    int32_t status = 0;
    page_path(path, offset, asked);
    int32_t rc = mc_get_finish(client, asked, first, &root, &status, error);
    first = NULL;
    if (rc != DRAY_OK) {
      if (status != 404 || out_gone == NULL) return rc;
      *out_gone = 1;
      return DRAY_OK;
    }
    const struct dray_json *list = dray_json_get(root, records);
    if (list == NULL || list->kind != DRAY_JSON_ARRAY) {
      rc = dray_fail(error, DRAY_E_HTTP_CONTENT, "%s: the answer has no %s", path, records);
    }
    for (const struct dray_json *one = list != NULL ? list->child : NULL; rc == DRAY_OK && one != NULL;
         one = one->next) {
      rc = take(ctx, one, error);
    }
    const int whole = rc == DRAY_OK && list->child_count == IDS_PAGE;
    dray_json_free(root);
    if (rc != DRAY_OK || !whole) return rc;
  }
}

// A scalar's text as an id.
static const char *id_of(const struct dray_json *record) {
  const struct dray_json *id = dray_json_get(record, "id");
  const int good = id != NULL && (id->kind == DRAY_JSON_STRING || id->kind == DRAY_JSON_NUMBER) && id->text.len > 0 &&
                   id->text.len < sizeof(((struct mc_parent *)NULL)->first);
  return good ? id->text.data : NULL;
}

struct taking {
  struct mc_parents *into;
  const char *under; // the audience's id; NULL: the record is the first id
  const struct dray_json *only;
  int32_t archive; // MC_HALF_*; 0: none
};

static int is_among(const struct dray_json *ids, const char *id) {
  if (ids == NULL || ids->child_count == 0) return 1;
  for (const struct dray_json *one = ids->child; one != NULL; one = one->next) {
    if (dray_str_is(one->text, id)) return 1;
  }
  return 0;
}

static int32_t take_id(void *ctx, const struct dray_json *record, struct dray_error *error) {
  const struct taking *taking = ctx;
  const char *id = id_of(record);
  if (id == NULL) return dray_fail(error, DRAY_E_HTTP_CONTENT, "a record of the answer has no id");
  if (!is_among(taking->only, id)) return DRAY_OK;
  if (taking->under != NULL) return add(taking->into, taking->under, id, 0, error);
  DRAY_TRY(add(taking->into, id, "", 0, error));
  return taking->archive != 0 ? add(taking->into, id, "", taking->archive, error) : DRAY_OK;
}

static int32_t fail_no_list(const char *id, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "list_ids", "the account has no audience %s", id);
}

static int32_t check_all_there(const struct mc_client *client, const struct mc_parents *lists,
                               struct dray_error *error) {
  for (const struct dray_json *id = client->settings->list_ids->child; id != NULL; id = id->next) {
    size_t at = 0;
    while (at < lists->count && !dray_str_is(id->text, lists->items[at].first)) at++;
    if (at < lists->count) continue;
    return fail_no_list(id->text.data, error);
  }
  return DRAY_OK;
}

static int32_t load_lists(struct mc_client *client, int32_t archive, struct mc_parents *out, struct dray_error *error) {
  struct taking taking = {.into = out, .only = client->settings->list_ids, .archive = archive};
  DRAY_TRY(each_record(client, "/lists?fields=lists.id,total_items", NULL, "lists", take_id, &taking, NULL, error));
  return check_all_there(client, out, error);
}

// What lies below each audience.
static int32_t load_below(struct mc_client *client, const char *collection, const char *records, struct mc_parents *out,
                          struct dray_error *error) {
  struct mc_parents lists = {.items = NULL};
  int32_t rc = load_lists(client, 0, &lists, error);
  for (size_t i = 0; rc == DRAY_OK && i < lists.count; i++) {
    struct taking taking = {.into = out, .under = lists.items[i].first};
    char path[200];
    int gone = 0;
    (void)snprintf(path, sizeof(path), "/lists/%s/%s?fields=%s.id,total_items", lists.items[i].first, collection,
                   records);
    rc = each_record(client, path, NULL, records, take_id, &taking, &gone, error);
  }
  mc_parents_free(&lists);
  return rc;
}

static int32_t load_campaigns(struct mc_client *client, struct mc_parents *out, struct dray_error *error) {
  const struct dray_clock_service *clock = client->services->clock;
  struct taking taking = {.into = out};
  char path[300], since[DRAY_FORMAT_BYTES_MAX];
  struct dray_buffer escaped;
  mc_time(clock->now_us(clock->ctx) - client->settings->email_activity_days * DAY_US, since);
  dray_buffer_init(&escaped, 200);
  int32_t rc = dray_api_segment(&escaped, dray_str_of(since), error);
  if (rc == DRAY_OK) {
    (void)snprintf(path, sizeof(path), "/reports?fields=reports.id,total_items&since_send_time=%s", escaped.data);
    rc = each_record(client, path, NULL, "reports", take_id, &taking, NULL, error);
  }
  dray_buffer_free(&escaped);
  return rc;
}

int32_t mc_parents_load(struct mc_client *client, const struct mc_stream *stream, int32_t archive,
                        struct mc_parents *out, struct dray_error *error) {
  *out = (struct mc_parents){.items = NULL};
  switch (stream->of) {
  case MC_OF_LIST:
    return load_lists(client, 0, out, error);
  case MC_OF_LIST_AND_ARCHIVE:
    return load_lists(client, archive, out, error);
  case MC_OF_CATEGORY:
    return load_below(client, "interest-categories", "categories", out, error);
  case MC_OF_SEGMENT:
    return load_below(client, "segments", "segments", out, error);
  case MC_OF_CAMPAIGN:
    return load_campaigns(client, out, error);
  default:
    return add(out, "", "", 0, error);
  }
}

// ---- merge fields ----

struct dray_type mc_merge_type(struct dray_str type) {
  if (dray_str_is(type, "number")) return (struct dray_type){DRAY_TYPE_DECIMAL, 38, 9};
  if (dray_str_is(type, "date")) return (struct dray_type){DRAY_TYPE_DATE, 0, 0};
  if (dray_str_is(type, "address")) return (struct dray_type){DRAY_TYPE_JSON, 0, 0};
  return (struct dray_type){DRAY_TYPE_STRING, 0, 0};
}

int mc_merge_column(struct dray_str tag, char out[64]) {
  if (tag.len == 0 || tag.len > 50) return 0;
  (void)snprintf(out, 64, "merge_%.*s", (int)tag.len, tag.data);
  for (char *c = out; *c != '\0'; c++) {
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
  }
  return 1;
}

// Adds a field, or makes the one that has its name one for both.
static int32_t take_field(void *ctx, const struct dray_json *record, struct dray_error *error) {
  struct dray_field_list *list = ctx;
  const struct dray_str tag = dray_json_string(dray_json_get(record, "tag"), "");
  const struct dray_type type = mc_merge_type(dray_json_string(dray_json_get(record, "type"), ""));
  char name[64];
  if (!mc_merge_column(tag, name)) return DRAY_OK;
  dray_field_list_end(list);
  for (size_t i = 0; i < list->count; i++) {
    if (strcmp(list->items[i].name, name) != 0) continue;
    if (list->items[i].type.id != type.id) list->items[i].type = (struct dray_type){DRAY_TYPE_STRING, 0, 0};
    return DRAY_OK;
  }
  struct dray_buffer path;
  dray_buffer_init(&path, 200);
  int32_t rc = dray_buffer_append_str(&path, "merge_fields", error);
  if (rc == DRAY_OK) rc = dray_json_path_member(&path, tag, error);
  if (rc == DRAY_OK) {
    rc = dray_field_list_add(list, dray_str_of(name), dray_buffer_view(&path), type, 0,
                             dray_json_string(dray_json_get(record, "name"), ""), error);
  }
  dray_buffer_free(&path);
  return rc;
}

int32_t mc_merge_fields_take(const struct dray_json *root, struct dray_field_list *out, struct dray_error *error) {
  const struct dray_json *fields = dray_json_get(root, "merge_fields");
  for (const struct dray_json *one = fields != NULL ? fields->child : NULL; one != NULL; one = one->next) {
    DRAY_TRY(take_field(out, one, error));
  }
  dray_field_list_end(out);
  return DRAY_OK;
}

static void fields_path(const struct mc_parent *list, char out[RECORDS_PATH_BYTES]) {
  (void)snprintf(out, RECORDS_PATH_BYTES,
                 "/lists/%s/merge-fields?fields=merge_fields.tag,merge_fields.name,merge_fields.type,total_items",
                 list->first);
}

// The audiences of list_ids need not be looked for: those that are not there have no merge fields either.
static int32_t load_chosen(struct mc_client *client, struct mc_parents *out, struct dray_error *error) {
  const struct dray_json *chosen = client->settings->list_ids;
  if (chosen->child_count == 0) return load_lists(client, 0, out, error);
  for (const struct dray_json *id = chosen->child; id != NULL; id = id->next) {
    DRAY_TRY(add(out, id->text.data, "", 0, error));
  }
  return DRAY_OK;
}

static int32_t load_fields_of(struct mc_client *client, const struct mc_parent *list, struct dray_api_pending *first,
                              struct dray_field_list *out, struct dray_error *error) {
  char path[RECORDS_PATH_BYTES];
  int gone = 0;
  fields_path(list, path);
  DRAY_TRY(each_record(client, path, first, "merge_fields", take_field, out, &gone, error));
  return gone && client->settings->list_ids->child_count > 0 ? fail_no_list(list->first, error) : DRAY_OK;
}

int32_t mc_merge_fields_load(struct mc_client *client, struct dray_field_list *out, struct dray_error *error) {
  struct dray_api_pending *ahead[MC_CONNECTIONS_MAX] = {NULL};
  const size_t ahead_max = (size_t)client->settings->max_connections;
  struct mc_parents lists = {.items = NULL};
  size_t started = 0;
  int32_t rc = load_chosen(client, &lists, error);
  for (size_t i = 0; rc == DRAY_OK && i < lists.count; i++) {
    for (; rc == DRAY_OK && started < lists.count && started < i + ahead_max; started++) {
      char path[RECORDS_PATH_BYTES], asked[PAGE_PATH_BYTES];
      fields_path(&lists.items[started], path);
      page_path(path, 0, asked);
      rc = mc_get_start(client, asked, &ahead[started % ahead_max], error);
    }
    struct dray_api_pending *first = ahead[i % ahead_max];
    ahead[i % ahead_max] = NULL;
    if (rc == DRAY_OK) {
      rc = load_fields_of(client, &lists.items[i], first, out, error);
    } else {
      dray_api_drop(first);
    }
  }
  for (size_t i = 0; i < ahead_max; i++) dray_api_drop(ahead[i]);
  dray_field_list_end(out);
  mc_parents_free(&lists);
  return rc;
}
