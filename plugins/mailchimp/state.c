// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The state of an incremental read: {"v":1,"stream":"list_members","at":{"LIST":1763812345000000}}, a cursor in
// microseconds for each thing that the stream is read by. One for all would lose rows: they are not read side by side.
#include <stdio.h>

#include "reader.h"

#define STATE_VERSION 1
#define STATE_BYTES_MAX (1u << 20)

static void name_of(const struct mc_parent *parent, int32_t half, char out[100]) {
  static const char *const halves[] = {
      [MC_HALF_SHOWN] = "", [MC_HALF_ARCHIVED] = "/archived", [MC_HALF_GONE] = "/gone"};
  (void)snprintf(out, 100, "%s%s%s%s", parent->first, parent->second[0] != '\0' ? "/" : "", parent->second,
                 halves[half]);
}

static int32_t refuse(struct dray_str state, const struct mc_stream *stream, struct dray_error *error) {
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "\"%.*s\" is not a state of the stream %s", DRAY_VALUE_ARG(state),
                   stream->def.name);
}

static int number(const struct dray_json *value, int64_t *out) {
  return value != NULL && value->kind == DRAY_JSON_NUMBER && dray_parse_int64(value->text, out, NULL) == DRAY_OK;
}

int32_t mc_state_read(struct dray_str state, const struct mc_stream *stream, struct mc_parents *parents,
                      struct dray_error *error) {
  struct dray_json *root = NULL;
  int64_t version = 0;
  if (state.len == 0) return DRAY_OK;
  int32_t rc = dray_json_parse(state, STATE_BYTES_MAX, &root, NULL);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "no memory for a state");
  const struct dray_json *at = dray_json_get(root, "at");
  if (rc != DRAY_OK || !number(dray_json_get(root, "v"), &version) || version != STATE_VERSION ||
      !dray_str_is(dray_json_string(dray_json_get(root, "stream"), ""), stream->def.name) || at == NULL ||
      at->kind != DRAY_JSON_OBJECT) {
    rc = refuse(state, stream, error);
  }
  for (size_t i = 0; rc == DRAY_OK && i < parents->count; i++) {
    struct mc_parent *parent = &parents->items[i];
    for (int32_t half = MC_HALF_SHOWN; half <= MC_HALF_GONE; half++) {
      char name[100];
      name_of(parent, half, name);
      const struct dray_json *cursor = dray_json_get(at, name);
      parent->known |= cursor != NULL;
      if (cursor == NULL || half != parent->half) continue;
      if (!number(cursor, &parent->cursor_us)) rc = refuse(state, stream, error);
    }
  }
  dray_json_free(root);
  return rc;
}

int32_t mc_state_write(const struct mc_stream *stream, const struct mc_parents *parents, struct dray_buffer *out,
                       struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, STATE_VERSION);
  dray_json_key(&writer, "stream");
  dray_json_write_text(&writer, stream->def.name);
  dray_json_key(&writer, "at");
  dray_json_begin_object(&writer);
  for (size_t i = 0; i < parents->count; i++) {
    char name[100];
    if (parents->items[i].cursor_us == INT64_MIN) continue;
    name_of(&parents->items[i], parents->items[i].half, name);
    dray_json_key(&writer, name);
    dray_json_write_int(&writer, parents->items[i].cursor_us);
  }
  dray_json_end_object(&writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}
