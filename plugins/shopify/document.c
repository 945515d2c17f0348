// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Paths to a selection set, and the documents around it.
#include "document.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX_BYTES_MAX 512
#define COST_OF_PAGE 900.0 // one query may cost 1,000 points

// ---- the selection set ----

// A path's next member after `prefix` ("totalPriceSet."), which it begins with; len 0: it does not.
static struct dray_str member_after(const char *path, const char *prefix) {
  const size_t len = strlen(prefix);
  if (strncmp(path, prefix, len) != 0) return dray_str_make(NULL, 0);
  return dray_str_make(path + len, strcspn(path + len, "."));
}

static int was_before(const char *const *paths, size_t i, const char *prefix, struct dray_str member) {
  for (size_t j = 0; j < i; j++) {
    if (dray_str_equal(member_after(paths[j], prefix), member)) return 1;
  }
  return 0;
}

// Writes the members that follow `prefix` in the paths, each once, with what is below it.
static int32_t write_members(const char *const *paths, size_t count, const char *prefix, struct dray_buffer *out,
                             struct dray_error *error) {
  for (size_t i = 0; i < count; i++) {
    const struct dray_str member = member_after(paths[i], prefix);
    char below[PREFIX_BYTES_MAX];
    if (member.len == 0 || was_before(paths, i, prefix, member)) continue;
    if (out->len > 0 && out->data[out->len - 1] != '{') DRAY_TRY(dray_buffer_append_char(out, ' ', error));
    DRAY_TRY(dray_buffer_append(out, member.data, (size_t)member.len, error));
    if (member.data[member.len] != '.') {
      const char *rest = shopify_composite(member);
      if (rest != NULL) DRAY_TRY(dray_buffer_append_str(out, rest, error));
      continue;
    }
    (void)snprintf(below, sizeof(below), "%s%.*s.", prefix, DRAY_STR_ARG(member));
    DRAY_TRY(dray_buffer_append_char(out, '{', error));
    DRAY_TRY(write_members(paths, count, below, out, error));
    DRAY_TRY(dray_buffer_append_char(out, '}', error));
  }
  return DRAY_OK;
}

static int32_t write_graphql_string(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  struct dray_json_writer writer; // the escapes of JSON are those of GraphQL
  dray_json_writer_init(&writer, out, error);
  dray_json_write_str(&writer, text);
  return dray_json_writer_finish(&writer);
}

static int32_t write_metafield(const struct shopify_definitions *definitions, size_t i, struct dray_buffer *out,
                               struct dray_error *error) {
  const struct dray_field *column = &definitions->columns.items[i];
  const char *value = strrchr(column->path, '.') + 1;
  if (out->len > 0) DRAY_TRY(dray_buffer_append_char(out, ' ', error));
  DRAY_TRY(dray_buffer_printf(out, error, "%s:metafield(namespace:", column->name));
  DRAY_TRY(write_graphql_string(out, dray_str_of(definitions->items[i].space), error));
  DRAY_TRY(dray_buffer_append_str(out, ",key:", error));
  DRAY_TRY(write_graphql_string(out, dray_str_of(definitions->items[i].key), error));
  return dray_buffer_printf(out, error, "){%s}", value);
}

static int32_t fill(const struct shopify_stream *stream, const struct shopify_definitions *definitions,
                    const size_t *columns, size_t column_count, const char **paths, struct dray_buffer *out,
                    struct dray_error *error) {
  size_t count = 0;
  // The record's own id and time come first: paging goes by them, and a bulk operation insists on the id.
  paths[count++] = "id";
  if (stream->kind == SHOPIFY_NODES && stream->time != NULL) paths[count++] = stream->time;
  for (size_t i = 0; i < column_count; i++) {
    if (columns[i] >= stream->def.field_count) continue;
    const struct dray_field *field = &stream->def.fields[columns[i]];
    const char *path = field->path != NULL ? field->path : field->name;
    if (path[0] != '_' && path[0] != '-') paths[count++] = path;
  }
  DRAY_TRY(write_members(paths, count, "", out, error));
  for (size_t i = 0; i < column_count; i++) {
    if (columns[i] < stream->def.field_count) continue;
    DRAY_TRY(write_metafield(definitions, columns[i] - stream->def.field_count, out, error));
  }
  return DRAY_OK;
}

int32_t shopify_selection_make(const struct shopify_stream *stream, const struct shopify_definitions *definitions,
                               const size_t *columns, size_t column_count, struct shopify_selection *out,
                               struct dray_error *error) {
  struct shopify_selection made = {.objects = 1};
  const char **paths = calloc(column_count + 2, sizeof(*paths));
  if (paths == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a query");
  dray_buffer_init(&made.text, SHOPIFY_QUERY_BYTES_MAX);
  const int32_t rc = fill(stream, definitions, columns, column_count, paths, &made.text, error);
  free(paths);
  if (rc != DRAY_OK) {
    dray_buffer_free(&made.text);
    if (rc != DRAY_E_LIMIT) return rc;
    return dray_fail(error, rc, "the query of %s is longer than the %u bytes that Shopify takes: name fewer columns",
                     stream->def.name, SHOPIFY_QUERY_BYTES_MAX);
  }
  for (size_t i = 0; i < made.text.len; i++) made.objects += made.text.data[i] == '{';
  *out = made;
  return DRAY_OK;
}

// ---- documents ----

#define PAGE_INFO "pageInfo{hasNextPage endCursor}"

// What is asked of a node of the root.
static int32_t write_node(const struct shopify_stream *stream, const struct shopify_selection *selection, int bulk,
                          struct dray_buffer *out, struct dray_error *error) {
  const char *time = stream->time != NULL ? stream->time : "";
  const char *text = selection->text.data;
  if (stream->kind == SHOPIFY_LIST) return dray_buffer_printf(out, error, "id %s %s{%s}", time, stream->below, text);
  if (stream->kind == SHOPIFY_CONNECTION && bulk) {
    return dray_buffer_printf(out, error, "id %s{edges{node{%s}}}", stream->below, text);
  }
  if (stream->kind == SHOPIFY_CONNECTION || stream->kind == SHOPIFY_NESTED) {
    const int nested = stream->kind == SHOPIFY_NESTED;
    DRAY_TRY(dray_buffer_printf(out, error, "id %s ", time));
    if (nested) DRAY_TRY(dray_buffer_printf(out, error, "%s{id ", stream->list));
    return dray_buffer_printf(out, error, "%s(first:%d){nodes{%s} " PAGE_INFO "}%s", stream->below, SHOPIFY_BELOW_FIRST,
                              text, nested ? "}" : "");
  }
  if (stream->fragment != NULL) return dray_buffer_printf(out, error, "... on %s{%s}", stream->fragment, text);
  return dray_buffer_append_str(out, text, error);
}

int32_t shopify_document_page(const struct shopify_stream *stream, const struct shopify_selection *selection,
                              int by_time, struct dray_buffer *out, struct dray_error *error) {
  if (stream->kind == SHOPIFY_SINGLE) {
    return dray_buffer_printf(out, error, "query{%s{%s}}", stream->root, selection->text.data);
  }
  const int filtered = stream->bound != NULL || stream->filter != NULL;
  const char *sort = by_time ? stream->sort : stream->id_sort;
  DRAY_TRY(dray_buffer_printf(out, error, "query($first:Int!,$after:String%s){%s(first:$first,after:$after%s",
                              filtered ? ",$query:String" : "", stream->root, filtered ? ",query:$query" : ""));
  if (sort != NULL) DRAY_TRY(dray_buffer_printf(out, error, ",sortKey:%s", sort));
  if (stream->args != NULL) DRAY_TRY(dray_buffer_printf(out, error, ",%s", stream->args));
  DRAY_TRY(dray_buffer_append_str(out, "){nodes{", error));
  DRAY_TRY(write_node(stream, selection, 0, out, error));
  return dray_buffer_append_str(out, "} " PAGE_INFO "}}", error);
}

int32_t shopify_document_below(const struct shopify_stream *stream, const struct shopify_selection *selection,
                               struct dray_buffer *out, struct dray_error *error) {
  return dray_buffer_printf(out, error,
                            "query($id:ID!,$first:Int!,$after:String){node(id:$id){... on %s{%s(first:$first,"
                            "after:$after){nodes{%s} " PAGE_INFO "}}}}",
                            stream->kind == SHOPIFY_NESTED ? stream->element : stream->type, stream->below,
                            selection->text.data);
}

int32_t shopify_document_bulk(const struct shopify_stream *stream, const struct shopify_selection *selection,
                              struct dray_str filter, struct dray_buffer *out, struct dray_error *error) {
  DRAY_TRY(dray_buffer_printf(out, error, "{%s", stream->root));
  if (filter.len > 0 || stream->args != NULL) {
    DRAY_TRY(dray_buffer_append_char(out, '(', error));
    if (filter.len > 0) {
      DRAY_TRY(dray_buffer_append_str(out, "query:", error));
      DRAY_TRY(write_graphql_string(out, filter, error));
    }
    if (stream->args != NULL) DRAY_TRY(dray_buffer_printf(out, error, "%s%s", filter.len > 0 ? "," : "", stream->args));
    DRAY_TRY(dray_buffer_append_char(out, ')', error));
  }
  DRAY_TRY(dray_buffer_append_str(out, "{edges{node{", error));
  DRAY_TRY(write_node(stream, selection, 1, out, error));
  return dray_buffer_append_str(out, "}}}}", error);
}

int32_t shopify_filter(const struct shopify_stream *stream, int64_t from_us, struct dray_buffer *out,
                       struct dray_error *error) {
  char time[DRAY_FORMAT_BYTES_MAX];
  if (stream->filter != NULL) DRAY_TRY(dray_buffer_append_str(out, stream->filter, error));
  if (from_us == SHOPIFY_TIME_NONE || stream->bound == NULL) return DRAY_OK;
  (void)dray_format_timestamp(from_us, time);
  return dray_buffer_printf(out, error, "%s%s:>='%s'", stream->filter != NULL ? " AND " : "", stream->bound, time);
}

int64_t shopify_page_size(const struct shopify_stream *stream, const struct shopify_selection *selection,
                          int64_t size_max) {
  double each = selection->objects;
  if (stream->kind == SHOPIFY_CONNECTION) each = 1 + 2 + SHOPIFY_BELOW_FIRST * selection->objects;
  if (stream->kind == SHOPIFY_NESTED) each = 1 + 1 + 2 + SHOPIFY_BELOW_FIRST * selection->objects;
  if (stream->kind == SHOPIFY_LIST) each = 1 + selection->objects;
  const double size = COST_OF_PAGE / each;
  if (size < 1) return 1;
  return size < (double)size_max ? (int64_t)size : size_max;
}
