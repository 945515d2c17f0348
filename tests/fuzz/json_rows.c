// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes through the JSON rows reader: cuts of the input and sizes of the batches never show, JSON columns hold
// JSON, and a line is read as the tree reads it. The first byte chooses the mode, the second the cut.
#include <stdlib.h>

#include "dray/sdk/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

#define COLUMNS 8

static const struct dray_column_def columns[COLUMNS] = {{"record", {DRAY_TYPE_JSON, 0, 0}, 1},
                                                        {"a", {DRAY_TYPE_INT64, 0, 0}, 1},
                                                        {"b.c", {DRAY_TYPE_STRING, 0, 0}, 1},
                                                        {"b", {DRAY_TYPE_JSON, 0, 0}, 1},
                                                        {"d[1]", {DRAY_TYPE_DECIMAL, 9, 3}, 1},
                                                        {"e", {DRAY_TYPE_TIMESTAMP, 0, 0}, 1},
                                                        {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1},
                                                        {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1}};
static const struct dray_json_field fields[] = {{"", 0}, {"a", 1}, {"b.c", 2}, {"b", 3}, {"d[1]", 4}, {"e", 5}};

static const struct dray_json_rows_options modes[] = {
    {.lines = 1, .record_bytes_max = 300, .depth_max = 6},
    {.record_bytes_max = 300, .depth_max = 6},
    {.records_path = "[*]", .record_bytes_max = 300, .depth_max = 6},
    {.records_path = "a[*]", .depth_max = 6},
    {.records_path = "b.a[1]"},
};

// Shows every value of a batch; JSON must be compact JSON.
static void show_batch(struct dray_builder *builder, const struct ArrowSchema *schema, struct dray_buffer *out) {
  struct ArrowArray array;
  struct dray_view view;
  MUST(dray_builder_finish(builder, &array, NULL) == DRAY_OK);
  if (array.release == NULL) return;
  MUST(dray_view_init(&view, schema, &array, NULL) == DRAY_OK);
  for (uint64_t row = 0; row < view.row_count; row++) {
    for (size_t i = 0; i < view.column_count; i++) {
      const struct dray_column_view *column = &view.columns[i];
      const size_t before = out->len;
      if (dray_column_is_null(column, row)) {
        MUST(dray_buffer_append_char(out, '~', NULL) == DRAY_OK);
        continue;
      }
      MUST(dray_column_text(column, row, out, NULL) == DRAY_OK);
      if (column->type.id != DRAY_TYPE_JSON) continue;
      struct dray_buffer compact;
      dray_buffer_init(&compact, 1 << 20);
      const struct dray_str shown = dray_str_make(out->data + before, out->len - before);
      MUST(dray_json_compact(shown, &compact, NULL) == DRAY_OK);
      MUST(dray_str_equal(shown, dray_buffer_view(&compact)));
      dray_buffer_free(&compact);
    }
    MUST(dray_buffer_append_char(out, '\n', NULL) == DRAY_OK);
  }
  dray_view_free(&view);
  dray_array_release(&array);
}

// Returns the code of the reading; it and the rows must not depend on `piece` and `rows_max`.
static int32_t read_all(const struct dray_json_rows_options *options, const char *data, size_t len, size_t piece,
                        uint64_t rows_max, struct dray_buffer *out) {
  struct ArrowSchema schema;
  struct dray_builder *builder = NULL;
  struct dray_json_rows *rows = NULL;
  struct dray_error error;
  MUST(dray_schema_make(columns, COLUMNS, &schema, NULL) == DRAY_OK);
  MUST(dray_builder_new(&schema, rows_max, 0, &builder, NULL) == DRAY_OK);
  MUST(dray_json_rows_new(fields, sizeof(fields) / sizeof(fields[0]), options, builder, &rows, NULL) == DRAY_OK);
  int32_t rc = DRAY_OK;
  int32_t full = 1;
  for (size_t at = 0; rc == DRAY_OK && (at < len || full);) {
    const size_t n = len - at < piece ? len - at : piece;
    size_t used = 0;
    rc = dray_json_rows_feed(rows, data + at, n, at + n == len, &used, &full, &error);
    if (rc != DRAY_OK) break;
    MUST(used <= n && (used == n || full));
    at += used;
    if (full) show_batch(builder, &schema, out);
  }
  show_batch(builder, &schema, out);
  if (rc != DRAY_OK) MUST(error.error_class != DRAY_CLASS_BUG && dray_utf8_valid(error.text, strlen(error.text)));
  dray_json_rows_free(rows);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return rc;
}

static int is_end(int32_t rc) {
  return rc == DRAY_E_DATA_JSON || rc == DRAY_E_DATA_TOO_LARGE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  const struct dray_json_rows_options *options = &modes[data[0] % (sizeof(modes) / sizeof(modes[0]))];
  const size_t piece = 1 + data[1] % 16;
  const char *text = (const char *)data + 2;
  struct dray_buffer whole;
  struct dray_buffer cut;
  dray_buffer_init(&whole, 1 << 24);
  dray_buffer_init(&cut, 1 << 24);
  const int32_t rc_whole = read_all(options, text, size - 2, size, 0, &whole);
  const int32_t rc_cut = read_all(options, text, size - 2, piece, 1 + data[1] / 16 % 3, &cut);
  // What is neither JSON nor small enough ends as either, depending on where it is cut; that it ends must not depend
  // on it.
  MUST(is_end(rc_whole) ? is_end(rc_cut) : rc_whole == rc_cut);
  MUST(dray_str_equal(dray_buffer_view(&whole), dray_buffer_view(&cut)));
  MUST(!options->lines || rc_whole == DRAY_OK);
  dray_buffer_free(&whole);
  dray_buffer_free(&cut);
  return 0;
}
