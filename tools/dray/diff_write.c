// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The changes of a comparison for programs: NDJSON and CSV. Pages are made whole in memory and written at once.
#include <stdlib.h>
#include <string.h>

#include "diff_out.h"
#include "dray/sdk/csv.h"
#include "dray/sdk/json.h"
#include "report.h"

#define PAGE_BYTES (256u << 10)
#define TEXT_BYTES_MAX (1u << 30)
#define KEY_BYTES_MAX 4096 // a name has at most 255 bytes

struct writing {
  struct dr_compare *compare;
  struct dray_buffer out, scratch;
  char **keys; // owned: ,"name": for every column, as JSON has it; NULL for CSV
  struct dray_error *error;
};

// ---- values ----

// Whether a canonical text is to stand in JSON as it is: a number, a truth value, a document.
static int32_t is_bare(struct writing *w, const struct dr_reading *reading, struct dray_str text, int *out) {
  const int declared = reading->kind == DR_READING_DECLARED;
  const int kind = declared ? dr_reading_of_type(reading->type) : reading->kind;
  struct dray_str canonical;
  *out = 0;
  switch (kind) {
  case DR_READING_INTEGER:
  case DR_READING_NUMBER:
    *out = dr_reading_is_number(text);
    return DRAY_OK;
  case DR_READING_BOOL:
    *out = dray_str_is(text, "true") || dray_str_is(text, "false");
    return DRAY_OK;
  case DR_READING_JSON:
    return dr_reading_text(reading, text, &w->scratch, &canonical, out, w->error);
  default:
    return DRAY_OK;
  }
}

// Nearly every text needs no escaping. What the border lets in is UTF-8.
static int is_plain(struct dray_str text) {
  int odd = 0;
  for (uint64_t i = 0; i < text.len; i++) {
    const unsigned char c = (unsigned char)text.data[i];
    odd |= c < 0x20 || c == '"' || c == '\\' || c == 0x7F;
  }
  return !odd;
}

static int32_t write_quoted(struct dray_buffer *out, struct dray_str text, struct dray_error *error) {
  char *to = NULL;
  if (!is_plain(text)) {
    struct dray_json_writer json;
    dray_json_writer_init(&json, out, error);
    dray_json_write_str(&json, text);
    return dray_json_writer_finish(&json);
  }
  DRAY_TRY(dray_buffer_reserve(out, (size_t)text.len + 2, &to, error));
  to[0] = '"';
  if (text.len > 0) memcpy(to + 1, text.data, (size_t)text.len);
  to[text.len + 1] = '"';
  out->len += (size_t)text.len + 2;
  return DRAY_OK;
}

static int32_t write_value(struct writing *w, const struct dr_batch *rows, size_t column, uint64_t row) {
  const struct dray_column_view *view = &rows->view.columns[column];
  if (dray_column_is_null(view, row)) return dray_buffer_append(&w->out, "null", 4, w->error);
  const struct dray_str text = dray_column_bytes(view, row);
  int bare = 0;
  DRAY_TRY(is_bare(w, &w->compare->readings[column], text, &bare));
  return bare ? dray_buffer_append(&w->out, text.data, (size_t)text.len, w->error)
              : write_quoted(&w->out, text, w->error);
}

// ---- NDJSON ----

static int32_t make_keys(struct writing *w) {
  const struct dr_schema *schema = w->compare->schema;
  struct dray_buffer key;
  int32_t rc = DRAY_OK;
  dray_buffer_init(&key, KEY_BYTES_MAX);
  w->keys = calloc(schema != NULL ? schema->field_count + 1 : 1, sizeof(*w->keys));
  if (w->keys == NULL) rc = dray_fail(w->error, DRAY_E_OUT_OF_MEMORY, "no memory for the names of columns");
  for (size_t c = 0; rc == DRAY_OK && schema != NULL && c < schema->field_count; c++) {
    dray_buffer_clear(&key);
    rc = dray_buffer_append_char(&key, ',', w->error);
    if (rc == DRAY_OK) rc = write_quoted(&key, dray_str_of(schema->fields[c].name), w->error);
    if (rc == DRAY_OK) rc = dray_buffer_append_char(&key, ':', w->error);
    if (rc == DRAY_OK && (w->keys[c] = dray_str_dup(dray_buffer_view(&key))) == NULL) {
      rc = dray_fail(w->error, DRAY_E_OUT_OF_MEMORY, "no memory for the names of columns");
    }
  }
  dray_buffer_free(&key);
  return rc;
}

static void free_keys(struct writing *w) {
  for (size_t c = 0; w->keys != NULL && w->compare->schema != NULL && c < w->compare->schema->field_count; c++) {
    free(w->keys[c]);
  }
  free(w->keys);
}

// ,"before":{...}
static int32_t write_row(struct writing *w, const char *name, const struct dr_batch *rows, uint64_t row,
                         int keys_only) {
  const struct dr_schema *schema = w->compare->schema;
  int first = 1;
  DRAY_TRY(dray_buffer_append_str(&w->out, name, w->error));
  if (rows == NULL) return dray_buffer_append(&w->out, "null", 4, w->error);
  DRAY_TRY(dray_buffer_append_char(&w->out, '{', w->error));
  for (size_t c = 0; c < schema->field_count; c++) {
    if (keys_only && !w->compare->is_key[c]) continue;
    DRAY_TRY(dray_buffer_append_str(&w->out, w->keys[c] + first, w->error)); // the first one without its comma
    DRAY_TRY(write_value(w, rows, c, row));
    first = 0;
  }
  return dray_buffer_append_char(&w->out, '}', w->error);
}

static int32_t write_changed(struct writing *w, const struct dr_changes *changes, size_t i) {
  const uint8_t *changed = changes->changed + i * changes->changed_stride;
  int first = 1;
  DRAY_TRY(dray_buffer_append_str(&w->out, ",\"changed\":[", w->error));
  for (size_t c = 0; changes->op[i] == DRAY_OP_UPDATE && c < w->compare->schema->field_count; c++) {
    if (((changed[c >> 3] >> (c & 7)) & 1) == 0) continue;
    const char *name = w->keys[c] + first;
    DRAY_TRY(dray_buffer_append(&w->out, name, strlen(name) - 1, w->error));
    first = 0;
  }
  return dray_buffer_append_char(&w->out, ']', w->error);
}

static int32_t write_object(struct writing *w, const struct dr_changes *changes, size_t i) {
  const int op = changes->op[i];
  const struct dr_batch *before = op == DRAY_OP_UPDATE ? changes->before : op == DRAY_OP_DELETE ? changes->rows : NULL;
  DRAY_TRY(dray_buffer_append_str(&w->out, "{\"op\":\"", w->error));
  DRAY_TRY(dray_buffer_append_str(&w->out, dr_report_op(op), w->error));
  DRAY_TRY(write_row(w, "\",\"key\":", changes->rows, i, 1));
  DRAY_TRY(write_changed(w, changes, i));
  DRAY_TRY(write_row(w, ",\"before\":", before, i, 0));
  DRAY_TRY(write_row(w, ",\"after\":", op == DRAY_OP_DELETE ? NULL : changes->rows, i, 0));
  return dray_buffer_append_str(&w->out, "}\n", w->error);
}

// ---- CSV ----

static int32_t write_field(struct writing *w, const struct dr_batch *rows, size_t column, uint64_t row) {
  DRAY_TRY(dray_buffer_append_char(&w->out, ',', w->error));
  if (rows == NULL || dray_column_is_null(&rows->view.columns[column], row)) return DRAY_OK;
  return dray_csv_write_field(&w->out, NULL, dray_column_bytes(&rows->view.columns[column], row), 1, w->error);
}

// op and key: what every line of a change begins with.
static int32_t write_start(struct writing *w, const struct dr_changes *changes, size_t i) {
  DRAY_TRY(dray_buffer_append_str(&w->out, dr_report_op(changes->op[i]), w->error));
  for (size_t c = 0; c < w->compare->schema->field_count; c++) {
    if (w->compare->is_key[c]) DRAY_TRY(write_field(w, changes->rows, c, i));
  }
  return dray_buffer_append_char(&w->out, ',', w->error);
}

static int32_t write_lines(struct writing *w, const struct dr_changes *changes, size_t i) {
  const struct dr_schema *schema = w->compare->schema;
  const int op = changes->op[i];
  const uint8_t *changed = changes->changed + i * changes->changed_stride;
  const struct dr_batch *before = op == DRAY_OP_UPDATE ? changes->before : op == DRAY_OP_DELETE ? changes->rows : NULL;
  const struct dr_batch *after = op == DRAY_OP_DELETE ? NULL : changes->rows;
  int lines = 0;
  for (size_t c = 0; c < schema->field_count; c++) {
    if (w->compare->is_key[c] || (op == DRAY_OP_UPDATE && ((changed[c >> 3] >> (c & 7)) & 1) == 0)) continue;
    DRAY_TRY(write_start(w, changes, i));
    DRAY_TRY(dray_csv_write_field(&w->out, NULL, dray_str_of(schema->fields[c].name), 1, w->error));
    DRAY_TRY(write_field(w, before, c, i));
    DRAY_TRY(write_field(w, after, c, i));
    DRAY_TRY(dray_buffer_append_char(&w->out, '\n', w->error));
    lines++;
  }
  if (lines > 0) return DRAY_OK;
  DRAY_TRY(write_start(w, changes, i)); // a row of nothing but its key
  return dray_buffer_append_str(&w->out, ",,\n", w->error);
}

static int32_t write_header(struct writing *w) {
  const struct dr_schema *schema = w->compare->schema;
  DRAY_TRY(dray_buffer_append_str(&w->out, "op", w->error));
  for (size_t c = 0; schema != NULL && c < schema->field_count; c++) {
    if (!w->compare->is_key[c]) continue;
    DRAY_TRY(dray_buffer_append_char(&w->out, ',', w->error));
    DRAY_TRY(dray_csv_write_field(&w->out, NULL, dray_str_of(schema->fields[c].name), 1, w->error));
  }
  return dray_buffer_append_str(&w->out, ",column,before,after\n", w->error);
}

// ---- pages ----

static void flush(struct writing *w, struct dr_output *output) {
  dr_print_str(output, dray_buffer_view(&w->out));
  dray_buffer_clear(&w->out);
}

static int32_t write_page(struct writing *w, struct dr_output *output, const struct dr_changes *changes,
                          int32_t (*write)(struct writing *w, const struct dr_changes *changes, size_t i)) {
  for (size_t i = 0; i < changes->count && output->failed == 0; i++) {
    int32_t code = 0;
    DRAY_TRY(dr_compare_verdict(w->compare, changes, i, &code, w->error));
    if (code != 0) continue;
    DRAY_TRY(write(w, changes, i));
    if (w->out.len >= PAGE_BYTES) flush(w, output);
  }
  return DRAY_OK;
}

static int32_t write_all(struct dr_output *output, struct dr_compare *compare, int header,
                         int32_t (*write)(struct writing *w, const struct dr_changes *changes, size_t i),
                         struct dray_error *error) {
  struct writing w = {.compare = compare, .error = error};
  int32_t rc = DRAY_OK;
  dray_buffer_init(&w.out, TEXT_BYTES_MAX);
  dray_buffer_init(&w.scratch, TEXT_BYTES_MAX);
  rc = header ? write_header(&w) : make_keys(&w);
  dr_compare_rewind(compare);
  while (rc == DRAY_OK && output->failed == 0) {
    struct dr_changes *changes = NULL;
    rc = dr_compare_next(compare, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    rc = write_page(&w, output, changes, write);
    dr_changes_free(changes);
  }
  if (rc == DRAY_OK) flush(&w, output);
  dray_buffer_free(&w.out);
  dray_buffer_free(&w.scratch);
  free_keys(&w);
  return rc;
}

int32_t dr_diff_ndjson(struct dr_output *output, struct dr_compare *compare, struct dray_error *error) {
  return write_all(output, compare, 0, write_object, error);
}

int32_t dr_diff_csv(struct dr_output *output, struct dr_compare *compare, struct dray_error *error) {
  return write_all(output, compare, 1, write_lines, error);
}
