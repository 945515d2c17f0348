// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The writer. Misuse by the program is an assertion; what data can cause (a full buffer, nesting) fails and sticks.
#include <assert.h>
#include <math.h>

#include "dray/sdk/json.h"
#include "json_text.h"

enum { HAS_ELEMENTS = 1, IS_OBJECT = 2 }; // bits of has_elements[depth]

static void note(struct dray_json_writer *writer, int32_t code) {
  if (writer->failed == DRAY_OK) writer->failed = code;
}

static void put(struct dray_json_writer *writer, const char *text, size_t len) {
  if (writer->failed == DRAY_OK) note(writer, dray_buffer_append(writer->out, text, len, writer->error));
}

void dray_json_writer_init(struct dray_json_writer *writer, struct dray_buffer *out, struct dray_error *error) {
  *writer = (struct dray_json_writer){.out = out, .error = error};
}

// Before a value: a comma where it is not the first, and in an object a key must have come.
static void before_value(struct dray_json_writer *writer) {
  if (writer->failed != DRAY_OK) return;
  if (writer->depth > 0) {
    uint8_t *state = &writer->has_elements[writer->depth - 1];
    assert(writer->after_key == ((*state & IS_OBJECT) != 0));
    if ((*state & (HAS_ELEMENTS | IS_OBJECT)) == HAS_ELEMENTS) put(writer, ",", 1);
    *state |= HAS_ELEMENTS;
  }
  writer->after_key = 0;
}

static void begin(struct dray_json_writer *writer, uint8_t state, const char *bracket) {
  before_value(writer);
  if (writer->failed != DRAY_OK) return;
  if (writer->depth == DRAY_JSON_DEPTH_MAX) {
    note(writer, dray_fail(writer->error, DRAY_E_LIMIT, "JSON is nested deeper than %d levels", DRAY_JSON_DEPTH_MAX));
    return;
  }
  writer->has_elements[writer->depth++] = state;
  put(writer, bracket, 1);
}

static void end(struct dray_json_writer *writer, uint8_t state, const char *bracket) {
  if (writer->failed != DRAY_OK) return;
  assert(writer->depth > 0 && !writer->after_key);
  assert((writer->has_elements[writer->depth - 1] & IS_OBJECT) == state);
  (void)state;
  writer->depth--;
  put(writer, bracket, 1);
}

void dray_json_begin_object(struct dray_json_writer *writer) {
  begin(writer, IS_OBJECT, "{");
}
void dray_json_end_object(struct dray_json_writer *writer) {
  end(writer, IS_OBJECT, "}");
}
void dray_json_begin_array(struct dray_json_writer *writer) {
  begin(writer, 0, "[");
}
void dray_json_end_array(struct dray_json_writer *writer) {
  end(writer, 0, "]");
}

void dray_json_key(struct dray_json_writer *writer, const char *name) {
  dray_json_key_str(writer, dray_str_of(name));
}

void dray_json_key_str(struct dray_json_writer *writer, struct dray_str name) {
  if (writer->failed != DRAY_OK) return;
  assert(writer->depth > 0 && (writer->has_elements[writer->depth - 1] & IS_OBJECT) != 0 && !writer->after_key);
  uint8_t *state = &writer->has_elements[writer->depth - 1];
  if ((*state & HAS_ELEMENTS) != 0) put(writer, ",", 1);
  *state |= HAS_ELEMENTS;
  if (writer->failed == DRAY_OK) note(writer, dray_json_append_quoted(writer->out, name, writer->error));
  put(writer, ":", 1);
  writer->after_key = 1;
}

void dray_json_write_raw(struct dray_json_writer *writer, struct dray_str json) {
  before_value(writer);
  put(writer, json.data, json.len);
}

void dray_json_write_null(struct dray_json_writer *writer) {
  dray_json_write_raw(writer, dray_str_make("null", 4));
}

void dray_json_write_bool(struct dray_json_writer *writer, int32_t value) {
  dray_json_write_raw(writer, dray_str_of(value ? "true" : "false"));
}

void dray_json_write_int(struct dray_json_writer *writer, int64_t value) {
  char text[DRAY_FORMAT_BYTES_MAX];
  const size_t len = dray_format_int64(value, text);
  dray_json_write_raw(writer, dray_str_make(text, len));
}

void dray_json_write_float(struct dray_json_writer *writer, double value) {
  char text[DRAY_FORMAT_BYTES_MAX];
  if (!isfinite(value)) {
    dray_json_write_null(writer);
    return;
  }
  const size_t len = dray_format_float64(value, text);
  dray_json_write_raw(writer, dray_str_make(text, len));
}

void dray_json_write_str(struct dray_json_writer *writer, struct dray_str value) {
  before_value(writer);
  if (writer->failed == DRAY_OK) note(writer, dray_json_append_quoted(writer->out, value, writer->error));
}

void dray_json_write_text(struct dray_json_writer *writer, const char *value) {
  dray_json_write_str(writer, dray_str_of(value));
}

// JSON of a column as it is, but on one line: in valid JSON a line end is a blank between tokens, and one of them would
// break JSON Lines in two.
static void write_json(struct dray_json_writer *writer, struct dray_str json) {
  before_value(writer);
  while (json.len > 0) {
    uint64_t run = 0;
    while (run < json.len && json.data[run] != '\n' && json.data[run] != '\r') run++;
    put(writer, json.data, run);
    if (run == json.len) break;
    put(writer, " ", 1);
    json = dray_str_make(json.data + run + 1, json.len - run - 1);
  }
}

static void write_quoted(struct dray_json_writer *writer, const struct dray_column_view *column, uint64_t row) {
  before_value(writer);
  put(writer, "\"", 1);
  if (writer->failed == DRAY_OK) note(writer, dray_column_text(column, row, writer->out, writer->error));
  put(writer, "\"", 1);
}

static void write_decimal(struct dray_json_writer *writer, const struct dray_column_view *column, uint64_t row) {
  char text[DRAY_FORMAT_BYTES_MAX];
  const size_t len = dray_format_decimal(dray_column_decimal(column, row), column->type.scale, text);
  dray_json_write_raw(writer, dray_str_make(text, len));
}

void dray_json_write_column(struct dray_json_writer *writer, const struct dray_column_view *column, uint64_t row) {
  if (dray_column_is_null(column, row)) {
    dray_json_write_null(writer);
    return;
  }
  switch (column->type.id) {
  case DRAY_TYPE_BOOL:
    dray_json_write_bool(writer, dray_column_bool(column, row));
    break;
  case DRAY_TYPE_INT64:
    dray_json_write_int(writer, dray_column_int64(column, row));
    break;
  case DRAY_TYPE_FLOAT64:
    dray_json_write_float(writer, dray_column_float64(column, row));
    break;
  case DRAY_TYPE_DECIMAL:
    write_decimal(writer, column, row);
    break;
  case DRAY_TYPE_STRING:
    dray_json_write_str(writer, dray_column_bytes(column, row));
    break;
  case DRAY_TYPE_JSON:
    write_json(writer, dray_column_bytes(column, row));
    break;
  default: // bytes as base64, dates and timestamps: text without anything to escape
    write_quoted(writer, column, row);
    break;
  }
}

void dray_json_write_value(struct dray_json_writer *writer, const struct dray_json *value) {
  switch (value->kind) {
  case DRAY_JSON_NULL:
    dray_json_write_null(writer);
    return;
  case DRAY_JSON_BOOL:
    dray_json_write_bool(writer, value->boolean);
    return;
  case DRAY_JSON_NUMBER:
    dray_json_write_raw(writer, value->text);
    return;
  case DRAY_JSON_STRING:
    dray_json_write_str(writer, value->text);
    return;
  case DRAY_JSON_ARRAY:
    dray_json_begin_array(writer);
    for (const struct dray_json *item = value->child; item != NULL; item = item->next)
      dray_json_write_value(writer, item);
    dray_json_end_array(writer);
    return;
  default:
    dray_json_begin_object(writer);
    for (const struct dray_json *member = value->child; member != NULL; member = member->next) {
      dray_json_key_str(writer, member->name);
      dray_json_write_value(writer, member);
    }
    dray_json_end_object(writer);
  }
}

int32_t dray_json_writer_finish(struct dray_json_writer *writer) {
  assert(writer->failed != DRAY_OK || (writer->depth == 0 && !writer->after_key));
  return writer->failed;
}
