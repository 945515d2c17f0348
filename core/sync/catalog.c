// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading catalogues.
#include "sync/catalog.h"

#include <string.h>

#include "dray/sdk/config.h"

#define CATALOG_BYTES_MAX (64u << 20)

static const struct dray_json *find_named(const struct dray_json *list, const char *name) {
  for (const struct dray_json *item = list != NULL ? list->child : NULL; item != NULL; item = item->next) {
    const struct dray_json *its = dray_json_get(item, "name");
    if (its != NULL && its->kind == DRAY_JSON_STRING && dray_str_is(its->text, name)) return item;
  }
  return NULL;
}

static int32_t fail_unknown_stream(const struct dray_json *list, const char *name, struct dray_error *error) {
  struct dray_nearest nearest;
  size_t count = 0;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (const struct dray_json *item = list != NULL ? list->child : NULL; item != NULL; item = item->next) {
    const struct dray_json *its = dray_json_get(item, "name");
    if (its == NULL || its->kind != DRAY_JSON_STRING) continue;
    dray_nearest_offer(&nearest, its->text.data);
    count++;
  }
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream \"%s\" among %zu%s", name, count,
                   dray_nearest_hint(&nearest));
}

static int32_t copy_names(const struct dray_json *list, struct dr_arena *arena, const char ***out, size_t *out_count,
                          struct dray_error *error) {
  const size_t count = list != NULL && list->kind == DRAY_JSON_ARRAY ? list->child_count : 0;
  const char **names = dr_arena_alloc(arena, (count + 1) * sizeof(*names));
  if (names == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
  size_t n = 0;
  for (const struct dray_json *item = count > 0 ? list->child : NULL; item != NULL; item = item->next) {
    if (item->kind != DRAY_JSON_STRING) continue;
    names[n] = dr_arena_str(arena, item->text);
    if (names[n++] == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
  }
  *out = names;
  *out_count = n;
  return DRAY_OK;
}

static int has_mode(const struct dray_json *stream, const char *mode) {
  const struct dray_json *modes = dray_json_get(stream, "modes");
  for (const struct dray_json *item = modes != NULL ? modes->child : NULL; item != NULL; item = item->next) {
    if (item->kind == DRAY_JSON_STRING && dray_str_is(item->text, mode)) return 1;
  }
  return 0;
}

static int32_t parse_catalog(struct dray_str json, struct dray_json **out, struct dray_error *error) {
  const int32_t rc = dray_json_parse(json, CATALOG_BYTES_MAX, out, error);
  if (rc == DRAY_E_OUT_OF_MEMORY || rc == DRAY_OK) return rc;
  (void)dray_error_prefix(error, "the plugin's catalogue is not valid JSON");
  if (error != NULL) error->code = DRAY_E_PLUGIN_CONTRACT;
  return DRAY_E_PLUGIN_CONTRACT;
}

static int is_true(const struct dray_json *object, const char *name, int otherwise) {
  const struct dray_json *value = dray_json_get(object, name);
  return value != NULL && value->kind == DRAY_JSON_BOOL ? value->boolean : otherwise;
}

int32_t dr_catalog_stream(struct dray_str json, const char *stream, struct dr_arena *arena, struct dr_stream_facts *out,
                          struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(parse_catalog(json, &root, error));
  struct dr_stream_facts facts = {NULL, 0, NULL, 0, 0};
  const struct dray_json *streams = dray_json_get(root, "streams");
  const struct dray_json *found = find_named(streams, stream);
  int32_t rc = DRAY_OK;
  if (found == NULL) {
    rc = fail_unknown_stream(streams, stream, error);
    goto done;
  }
  rc = copy_names(dray_json_get(found, "primary_key"), arena, &facts.key, &facts.key_count, error);
  if (rc != DRAY_OK) goto done;
  const struct dray_json *cursor = dray_json_get(found, "cursor");
  if (cursor != NULL && cursor->kind == DRAY_JSON_STRING) {
    facts.cursor = dr_arena_str(arena, cursor->text);
    if (facts.cursor == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
      goto done;
    }
  }
  facts.incremental = has_mode(found, "incremental");
  facts.changes = facts.incremental && is_true(found, "changes", 0);
  *out = facts;
done:
  dray_json_free(root);
  return rc;
}

static int32_t copy_field(const struct dray_json *field, struct dr_arena *arena, struct dr_field_facts *out,
                          struct dray_error *error) {
  const struct dray_json *name = dray_json_get(field, "name");
  if (name == NULL || name->kind != DRAY_JSON_STRING) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the plugin's catalogue has a field without a name");
  }
  out->name = dr_arena_str(arena, name->text);
  if (out->name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
  const struct dray_json *type = dray_json_get(field, "type");
  if (type != NULL && type->kind == DRAY_JSON_STRING) DRAY_TRY(dray_type_parse(type->text, &out->type, error));
  out->required = is_true(field, "required", 0);
  out->writable = is_true(field, "writable", 1);
  out->match_key = is_true(field, "match_key", 0);
  out->caseless = dray_str_is(dray_json_string(dray_json_get(field, "compare"), ""), "caseless");
  return DRAY_OK;
}

// The catalogue's schema of a sync's options.
static int32_t copy_options(const struct dray_json *root, struct dr_arena *arena, const char **out,
                            struct dray_error *error) {
  const struct dray_json *options = dray_json_get(root, "options");
  struct dray_json_writer writer;
  struct dray_buffer text;
  if (options == NULL || options->kind != DRAY_JSON_OBJECT) return DRAY_OK;
  dray_buffer_init(&text, CATALOG_BYTES_MAX);
  dray_json_writer_init(&writer, &text, error);
  dray_json_write_value(&writer, options);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) {
    *out = dr_arena_str(arena, dray_buffer_view(&text));
    if (*out == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
  }
  dray_buffer_free(&text);
  return rc;
}

int32_t dr_catalog_object(struct dray_str json, const char *object, struct dr_arena *arena, struct dr_object_facts *out,
                          struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(parse_catalog(json, &root, error));
  struct dr_object_facts facts = {.found = 0};
  int32_t rc = copy_options(root, arena, &facts.options, error);
  if (rc != DRAY_OK) goto done;
  const struct dray_json *found = find_named(dray_json_get(root, "objects"), object);
  const struct dray_json *fields = found != NULL ? dray_json_get(found, "fields") : NULL;
  facts.found = found != NULL;
  if (fields != NULL && fields->kind == DRAY_JSON_ARRAY && fields->child_count > 0) {
    facts.fields = dr_arena_alloc(arena, fields->child_count * sizeof(*facts.fields));
    if (facts.fields == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a catalogue");
      goto done;
    }
    for (const struct dray_json *field = fields->child; field != NULL; field = field->next) {
      rc = copy_field(field, arena, &facts.fields[facts.field_count++], error);
      if (rc != DRAY_OK) goto done;
    }
  }
  *out = facts;
done:
  dray_json_free(root);
  return rc;
}
