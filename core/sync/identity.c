// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The identity is text: names, a blank, and the place as a JSON object of the settings that make it, null where one is
// not given. It is kept in the store and shown by `dray state`, so long values and paths of addresses, which may be
// what lets one in, stand there as a hash.
#include "sync/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "table/encode.h"

#define SCHEMA_BYTES_MAX (1u << 20)
#define PLACE_BYTES_MAX (1u << 20)
#define VALUE_BYTES_MAX 100
#define CUT_BYTES 255 // where earlier versions cut names that are longer

// ---- values ----

// How much of a value is shown: of an address what stands before its path, of all else what stands before a query.
static size_t shown_bytes(struct dray_str value) {
  const char *scheme = memmem(value.data, (size_t)value.len, "://", 3);
  size_t n = scheme != NULL ? (size_t)(scheme - value.data) + 3 : 0;
  while (n < value.len && memchr(scheme != NULL ? "/?#" : "??#", value.data[n], 3) == NULL) n++;
  if (scheme != NULL && memchr(value.data, '@', n) != NULL) return 0; // who calls, and maybe more
  return n <= VALUE_BYTES_MAX ? n : VALUE_BYTES_MAX / 2;
}

static int32_t put_text(struct dray_json_writer *writer, struct dray_str value, struct dray_error *error) {
  const size_t shown = shown_bytes(value);
  struct dray_buffer text;
  const uint64_t hash = dr_row_hash(value, 0);
  if (shown == value.len || (shown + 1 == value.len && value.data[shown] == '/')) {
    dray_json_write_str(writer, dray_str_make(value.data, shown));
    return DRAY_OK;
  }
  dray_buffer_init(&text, 2 * VALUE_BYTES_MAX);
  size_t whole = shown; // not in the middle of a character
  while (whole > 0 && !dray_utf8_valid(value.data, whole)) whole--;
  int32_t rc = dray_buffer_append(&text, value.data, whole, error);
  if (rc == DRAY_OK) rc = dray_buffer_printf(&text, error, "#%016" PRIx64, hash);
  if (rc == DRAY_OK) dray_json_write_str(writer, dray_buffer_view(&text));
  dray_buffer_free(&text);
  return rc;
}

static int32_t put_value(struct dray_json_writer *writer, const struct dray_json *value, struct dray_error *error) {
  struct dray_json_writer inner;
  struct dray_buffer text;
  if (value == NULL || value->kind == DRAY_JSON_NULL) {
    dray_json_write_null(writer);
    return DRAY_OK;
  }
  if (value->kind == DRAY_JSON_STRING) return put_text(writer, value->text, error);
  dray_buffer_init(&text, PLACE_BYTES_MAX);
  dray_json_writer_init(&inner, &text, error);
  dray_json_write_value(&inner, value);
  int32_t rc = dray_json_writer_finish(&inner);
  if (rc == DRAY_OK) rc = put_text(writer, dray_buffer_view(&text), error);
  dray_buffer_free(&text);
  return rc;
}

// ---- the place ----

static int is_place(const struct dray_json *property) {
  const struct dray_json *place = dray_json_get(property, "place");
  const struct dray_json *secret = dray_json_get(property, "writeOnly");
  return place != NULL && place->kind == DRAY_JSON_BOOL && place->boolean && (secret == NULL || !secret->boolean);
}

static int32_t put_part(struct dray_json_writer *writer, const struct dr_identity_part *part, size_t *count,
                        struct dray_error *error) {
  struct dray_json *schema = NULL, *values = NULL;
  struct dray_buffer text;
  if (part->schema.len == 0) return DRAY_OK;
  dray_buffer_init(&text, PLACE_BYTES_MAX);
  int32_t rc = dr_project_settings_json(part->settings, part->schema, &text, error);
  if (rc == DRAY_OK) rc = dray_json_parse(part->schema, SCHEMA_BYTES_MAX, &schema, error);
  if (rc == DRAY_OK) rc = dray_json_parse(dray_buffer_view(&text), PLACE_BYTES_MAX, &values, error);
  const struct dray_json *properties = rc == DRAY_OK ? dray_json_get(schema, "properties") : NULL;
  const struct dray_json *property = properties != NULL ? properties->child : NULL;
  for (; rc == DRAY_OK && property != NULL; property = property->next) {
    if (!is_place(property)) continue;
    dray_json_key_str(writer, property->name);
    rc = put_value(writer, dray_json_get(values, property->name.data), error);
    ++*count;
  }
  dray_json_free(schema);
  dray_json_free(values);
  dray_buffer_free(&text);
  return rc;
}

static int32_t write_place(const struct dr_identity_part *parts, size_t part_count, struct dray_buffer *out,
                           struct dray_error *error) {
  struct dray_json_writer writer;
  size_t count = 0;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  for (size_t i = 0; i < part_count; i++) DRAY_TRY(put_part(&writer, &parts[i], &count, error));
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  if (count == 0) dray_buffer_clear(out);
  return DRAY_OK;
}

// ---- comparing ----

static int equal_values(const struct dray_json *a, const struct dray_json *b) {
  if (a->kind != b->kind) return 0;
  return a->kind != DRAY_JSON_STRING || dray_str_equal(a->text, b->text);
}

static void show(char *out, size_t out_bytes, const struct dray_json *member) {
  const int given = member->kind == DRAY_JSON_STRING;
  (void)snprintf(out, out_bytes, given ? "`%.*s` \"%.*s\"" : "no `%.*s`%.*s", DRAY_STR_ARG(member->name),
                 given ? (int)member->text.len : 0, given ? member->text.data : "");
}

// Only what both know is compared: a plugin may come to mark more settings, or fewer.
static int32_t compare(const char *kept, struct dray_str place, struct dr_identity *identity,
                       struct dray_error *error) {
  struct dray_json *before = NULL, *now = NULL;
  if (kept[0] == '\0' || place.len == 0) return DRAY_OK;
  int32_t rc = dray_json_parse(dray_str_of(kept), PLACE_BYTES_MAX, &before, error);
  if (rc == DRAY_OK) rc = dray_json_parse(place, PLACE_BYTES_MAX, &now, error);
  for (const struct dray_json *is = now != NULL ? now->child : NULL; is != NULL && !identity->moved; is = is->next) {
    const struct dray_json *was = dray_json_get(before, is->name.data);
    if (was == NULL || equal_values(was, is)) continue;
    identity->moved = 1;
    show(identity->was, sizeof(identity->was), was);
    show(identity->is, sizeof(identity->is), is);
  }
  dray_json_free(before);
  dray_json_free(now);
  return rc;
}

int32_t dr_identity_decide(const struct dr_context *run, const char *names, const struct dr_identity_part *parts,
                           size_t part_count, struct dr_identity *out, struct dray_error *error) {
  const char *kept = run->state.identity;
  const size_t len = strlen(names);
  struct dr_identity identity = {.moved = 0};
  struct dray_buffer place;
  const int cut = strlen(kept) == CUT_BYTES && strncmp(kept, names, CUT_BYTES) == 0; // the place was not kept then
  const int same = cut || (strncmp(kept, names, len) == 0 && (kept[len] == '\0' || strncmp(kept + len, " {", 2) == 0));
  if (kept[0] != '\0' && !same) {
    return dray_fail(error, DRAY_E_STATE_IDENTITY, "the mirror of this sync was made for %s, the config now says %s",
                     kept, names);
  }
  dray_buffer_init(&place, PLACE_BYTES_MAX);
  int32_t rc = write_place(parts, part_count, &place, error);
  if (rc == DRAY_OK && kept[0] != '\0' && !cut && kept[len] != '\0') {
    rc = compare(kept + len + 1, dray_buffer_view(&place), &identity, error);
  }
  if (rc == DRAY_OK) {
    const int n = snprintf(identity.text, sizeof(identity.text), "%s%s%.*s", names, place.len > 0 ? " " : "",
                           DRAY_STR_ARG(dray_buffer_view(&place)));
    if (n < 0 || (size_t)n >= sizeof(identity.text)) {
      rc = dray_fail(error, DRAY_E_LIMIT, "the settings that say where %s is take more than %zu bytes", names,
                     sizeof(identity.text));
    }
  }
  dray_buffer_free(&place);
  if (rc == DRAY_OK) *out = identity;
  return rc;
}

int32_t dr_identity_keep(struct dr_context *run, const struct dr_identity *identity, struct dray_error *error) {
  const int known = run->state.identity[0] != '\0', same = strcmp(run->state.identity, identity->text) == 0;
  memcpy(run->state.identity, identity->text, sizeof(run->state.identity));
  return known && !same && (identity->moved || !dr_planning(run))
             ? dr_store_sync_put(run->store, run->sync->name, &run->state, error)
             : DRAY_OK;
}

int32_t dr_identity_connection(struct dr_context *run, int role, struct dr_identity_part *out,
                               struct dray_error *error) {
  const struct dr_connection *to = &dr_session_project(run->session)->connections[run->sync->to_connection];
  const struct dr_plugin *plugin = NULL;
  DRAY_TRY(dr_session_plugin(run->session, run->sync->to_connection, &plugin, error));
  out->settings = to->settings;
  return dr_plugin_spec(plugin, role, &out->schema, error);
}
