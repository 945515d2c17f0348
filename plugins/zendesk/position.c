// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: {"v":1,"stream":"tickets","cursor":"...","start":1700000000,"seen":1700000000,"custom":1}.
#include "read.h"

#define VERSION 1
#define CURSOR_BYTES_MAX 8192u
#define STATE_BYTES_MAX 65536u

void zendesk_position_init(struct zendesk_position *position) {
  memset(position, 0, sizeof(*position));
  dray_buffer_init(&position->cursor, CURSOR_BYTES_MAX);
  position->seen = position->custom = -1;
}

void zendesk_position_free(struct zendesk_position *position) {
  dray_buffer_free(&position->cursor);
}

int32_t zendesk_position_write(const struct zendesk_position *position, const char *stream, struct dray_buffer *out,
                               struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_int(&writer, VERSION);
  dray_json_key(&writer, "stream");
  dray_json_write_text(&writer, stream);
  if (position->cursor.len > 0) {
    dray_json_key(&writer, "cursor");
    dray_json_write_str(&writer, dray_buffer_view(&position->cursor));
  }
  dray_json_key(&writer, "start");
  dray_json_write_int(&writer, position->start);
  dray_json_key(&writer, "seen");
  dray_json_write_int(&writer, position->seen);
  if (position->custom >= 0) {
    dray_json_key(&writer, "custom");
    dray_json_write_int(&writer, position->custom);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

static int read_int(const struct dray_json *root, const char *name, int64_t *out) {
  const struct dray_json *value = dray_json_get(root, name);
  struct dray_error why;
  dray_error_init(&why);
  return value != NULL && value->kind == DRAY_JSON_NUMBER && dray_parse_int64(value->text, out, &why) == DRAY_OK;
}

int32_t zendesk_position_read(struct zendesk_position *position, const char *stream, struct dray_str state,
                              struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  int32_t rc = dray_json_parse(state, STATE_BYTES_MAX, &root, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  int64_t version = 0, start = 0, seen = -1, custom = -1;
  const struct dray_json *cursor = dray_json_get(root, "cursor");
  const int good = rc == DRAY_OK && read_int(root, "v", &version) && version == VERSION &&
                   dray_str_is(dray_json_string(dray_json_get(root, "stream"), ""), stream) &&
                   read_int(root, "start", &start) && read_int(root, "seen", &seen) && start >= 0 &&
                   (cursor == NULL || (cursor->kind == DRAY_JSON_STRING && cursor->text.len <= CURSOR_BYTES_MAX));
  if (!good) {
    dray_json_free(root);
    return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the checkpoint is none of the stream %s of this plugin: %.*s",
                     stream, DRAY_VALUE_ARG(state));
  }
  if (!read_int(root, "custom", &custom)) custom = -1; // of a version that did not note it
  dray_buffer_clear(&position->cursor);
  rc = cursor != NULL ? dray_buffer_append(&position->cursor, cursor->text.data, cursor->text.len, error) : DRAY_OK;
  position->start = start;
  position->seen = seen;
  position->custom = custom < 0 ? -1 : custom != 0;
  dray_json_free(root);
  return rc;
}
