// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes through the JSON tree: what it takes, the compact form takes, and both come back unchanged through the
// writer.
#include <stdlib.h>

#include "dray/sdk/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

static void write_value(struct dray_json_writer *writer, const struct dray_json *value) {
  size_t count = 0;
  switch (value->kind) {
  case DRAY_JSON_NULL:
    dray_json_write_null(writer);
    break;
  case DRAY_JSON_BOOL:
    dray_json_write_bool(writer, value->boolean);
    break;
  case DRAY_JSON_NUMBER:
    dray_json_write_raw(writer, value->text);
    break;
  case DRAY_JSON_STRING:
    dray_json_write_str(writer, value->text);
    break;
  default:
    if (value->kind == DRAY_JSON_OBJECT) {
      dray_json_begin_object(writer);
    } else {
      dray_json_begin_array(writer);
    }
    for (const struct dray_json *child = value->child; child != NULL; child = child->next, count++) {
      if (value->kind == DRAY_JSON_OBJECT) dray_json_key_str(writer, child->name);
      write_value(writer, child);
    }
    MUST(count == value->child_count);
    if (value->kind == DRAY_JSON_OBJECT) {
      dray_json_end_object(writer);
    } else {
      dray_json_end_array(writer);
    }
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const struct dray_str text = dray_str_make((const char *)data, size);
  struct dray_json *root = NULL;
  struct dray_error error;
  struct dray_buffer compact;
  struct dray_buffer written;
  dray_buffer_init(&compact, 1 << 24);
  dray_buffer_init(&written, 1 << 24);
  const int32_t parsed = dray_json_parse(text, 1 << 20, &root, &error);
  const int32_t compacted = dray_json_compact(text, &compact, &error);
  if (parsed == DRAY_OK) {
    struct dray_json_writer writer;
    dray_json_writer_init(&writer, &written, &error);
    write_value(&writer, root);
    MUST(compacted == DRAY_OK && dray_json_writer_finish(&writer) == DRAY_OK);
    MUST(dray_str_equal(dray_buffer_view(&compact), dray_buffer_view(&written)));
    (void)dray_json_path(root, "a.b[1][\"c\"]");
  } else {
    MUST(parsed != DRAY_E_INTERNAL && dray_utf8_valid(error.text, strlen(error.text)));
  }
  if (compacted == DRAY_OK) {
    dray_buffer_clear(&written);
    MUST(dray_json_compact(dray_buffer_view(&compact), &written, &error) == DRAY_OK);
    MUST(dray_str_equal(dray_buffer_view(&compact), dray_buffer_view(&written)));
  }
  dray_json_free(root);
  dray_buffer_free(&compact);
  dray_buffer_free(&written);
  return 0;
}
