// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// States, written and read.
#include "position.h"

#include <stdio.h>

#define STATE_BYTES_MAX 16384u
#define STATE_VERSION "1"

void shopify_position_init(struct shopify_position *position) {
  memset(position, 0, sizeof(*position));
  position->from_us = position->seen_us = position->hold_us = position->bulk_at_us = SHOPIFY_TIME_NONE;
}

// ---- reading ----

static int read_time(const struct dray_json *root, const char *path, int64_t *out) {
  const struct dray_json *value = dray_json_path(root, path);
  if (value == NULL) return 1;
  return value->kind == DRAY_JSON_STRING && dray_parse_timestamp(value->text, out, NULL) == DRAY_OK;
}

static int read_text(const struct dray_json *root, const char *path, char *out, size_t out_bytes) {
  const struct dray_json *value = dray_json_path(root, path);
  if (value == NULL) return 1;
  if (value->kind != DRAY_JSON_STRING || value->text.len >= out_bytes) return 0;
  memcpy(out, value->text.data, (size_t)value->text.len);
  out[value->text.len] = '\0';
  return 1;
}

static int read_state(const struct dray_json *root, const char *stream, struct shopify_position *out) {
  const struct dray_json *version = dray_json_get(root, "v");
  const struct dray_json *bytes = dray_json_path(root, "bulk.bytes");
  const struct dray_json *open = dray_json_get(root, "open");
  int64_t count = 0;
  if (version == NULL || version->kind != DRAY_JSON_NUMBER || !dray_str_is(version->text, STATE_VERSION)) return 0;
  if (!dray_str_is(dray_json_string(dray_json_get(root, "stream"), ""), stream)) return 0;
  out->open = open != NULL && open->kind == DRAY_JSON_BOOL && open->boolean;
  if (bytes != NULL && (dray_parse_int64(bytes->text, &count, NULL) != DRAY_OK || count < 0)) return 0;
  out->bulk_bytes = (uint64_t)count;
  return read_time(root, "from", &out->from_us) && read_time(root, "seen", &out->seen_us) &&
         read_time(root, "hold", &out->hold_us) && read_time(root, "bulk.at", &out->bulk_at_us) &&
         read_text(root, "after", out->after, sizeof(out->after)) &&
         read_text(root, "bulk.id", out->bulk_id, sizeof(out->bulk_id)) &&
         read_text(root, "bulk.shape", out->bulk_shape, sizeof(out->bulk_shape));
}

int32_t shopify_position_read(struct dray_str state, const char *stream, int64_t start_us, int64_t lookback_us,
                              struct shopify_position *out, struct dray_error *error) {
  struct shopify_position position;
  shopify_position_init(&position);
  if (state.len > 0) {
    struct dray_json *root = NULL;
    const int32_t rc = dray_json_parse(state, STATE_BYTES_MAX, &root, error);
    if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
    const int known = rc == DRAY_OK && read_state(root, stream, &position);
    dray_json_free(root);
    if (!known) {
      return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the checkpoint '%.*s' is none of the Shopify stream %s",
                       DRAY_VALUE_ARG(state), stream);
    }
  }
  if (!position.open) {
    position.open = 1;
    if (position.seen_us != SHOPIFY_TIME_NONE) position.from_us = position.seen_us - lookback_us;
    if (position.from_us < start_us) position.from_us = start_us; // NONE is the least of all times
  }
  *out = position;
  return DRAY_OK;
}

// ---- writing ----

static void write_time(struct dray_json_writer *writer, const char *name, int64_t us) {
  char text[DRAY_FORMAT_BYTES_MAX];
  if (us == SHOPIFY_TIME_NONE) return;
  const size_t len = dray_format_timestamp(us, text);
  dray_json_key(writer, name);
  dray_json_write_str(writer, dray_str_make(text, len));
}

static void write_text(struct dray_json_writer *writer, const char *name, const char *text) {
  if (text[0] == '\0') return;
  dray_json_key(writer, name);
  dray_json_write_text(writer, text);
}

int32_t shopify_position_write(const struct shopify_position *position, const char *stream, struct dray_buffer *out,
                               struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "v");
  dray_json_write_raw(&writer, dray_str_of(STATE_VERSION));
  write_text(&writer, "stream", stream);
  if (position->open) {
    dray_json_key(&writer, "open");
    dray_json_write_bool(&writer, 1);
    write_time(&writer, "from", position->from_us);
    write_text(&writer, "after", position->after);
    write_time(&writer, "hold", position->hold_us);
  }
  write_time(&writer, "seen", position->seen_us);
  if (position->open && position->bulk_id[0] != '\0') {
    dray_json_key(&writer, "bulk");
    dray_json_begin_object(&writer);
    write_text(&writer, "id", position->bulk_id);
    write_time(&writer, "at", position->bulk_at_us);
    dray_json_key(&writer, "bytes");
    dray_json_write_int(&writer, (int64_t)position->bulk_bytes);
    write_text(&writer, "shape", position->bulk_shape);
    dray_json_end_object(&writer);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// ---- moving ----

void shopify_position_note(struct shopify_position *position, int64_t time_us, int left) {
  if (time_us == SHOPIFY_TIME_NONE) return;
  if (left && (position->hold_us == SHOPIFY_TIME_NONE || time_us < position->hold_us)) position->hold_us = time_us;
  if (!left && time_us > position->seen_us) position->seen_us = time_us;
}

void shopify_position_end(struct shopify_position *position) {
  struct shopify_position ended;
  shopify_position_init(&ended);
  ended.seen_us = position->seen_us;
  if (position->hold_us != SHOPIFY_TIME_NONE && position->hold_us < ended.seen_us) ended.seen_us = position->hold_us;
  *position = ended;
}
