// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Which lists are to be asked after a page of an export.
#include "children.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES_MAX 160

void zendesk_children_begin(struct zendesk_children *children, uint64_t first) {
  for (size_t i = 0; i < children->count; i++) free(children->paths[i]);
  children->count = 0;
  children->first = first;
}

int32_t zendesk_children_add(struct zendesk_children *children, const char *path, struct dray_error *error) {
  if (children->count == children->capacity) {
    const size_t capacity = children->capacity > 0 ? children->capacity * 2 : 128;
    char **paths = realloc(children->paths, capacity * sizeof(char *));
    if (paths == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the lists of a page's records");
    children->paths = paths;
    children->capacity = capacity;
  }
  const size_t bytes = strlen(path) + 1;
  char *copy = malloc(bytes);
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the lists of a page's records");
  memcpy(copy, path, bytes);
  children->paths[children->count++] = copy;
  return DRAY_OK;
}

int32_t zendesk_children_of(struct zendesk_children *children, const struct dray_json *record, const char *name,
                            struct dray_error *error) {
  const struct dray_json *id = dray_json_get(record, "id");
  char path[PATH_BYTES_MAX];
  if (id == NULL || id->kind != DRAY_JSON_NUMBER) return DRAY_OK;
  (void)snprintf(path, sizeof(path), "/api/v2/tickets/%.40s/%s?page%%5Bsize%%5D=%d", id->text.data, name,
                 ZENDESK_LIST_PAGE);
  return zendesk_children_add(children, path, error);
}

const char *zendesk_children_path(const struct zendesk_children *children, uint64_t number) {
  const int is_one = number >= children->first && number - children->first < children->count;
  return is_one ? children->paths[number - children->first] : NULL;
}

int zendesk_children_end(const struct zendesk_children *children, uint64_t number) {
  return number + 1 >= children->first + children->count;
}

void zendesk_children_free(struct zendesk_children *children) {
  zendesk_children_begin(children, 0);
  free(children->paths);
  memset(children, 0, sizeof(*children));
}
