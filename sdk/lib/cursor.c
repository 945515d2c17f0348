// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The greatest value of a column, as a value, as JSON, and as the place where the next read begins.
#include "dray/sdk/cursor.h"

#include <math.h>
#include <stdlib.h>

#include "dray/sdk/json.h"

#define TEXT_BYTES_MAX (64u << 10) // of a text that is kept
#define STATE_BYTES_MAX (1u << 20)
#define DAY_US INT64_C(86400000000)
#define SECOND_US 1000000

int32_t dray_cursor_kind(struct dray_type type) {
  static const int32_t kinds[] = {
      [DRAY_TYPE_INT64] = DRAY_CURSOR_INTEGER,   [DRAY_TYPE_FLOAT64] = DRAY_CURSOR_REAL,
      [DRAY_TYPE_DECIMAL] = DRAY_CURSOR_DECIMAL, [DRAY_TYPE_STRING] = DRAY_CURSOR_TEXT,
      [DRAY_TYPE_DATE] = DRAY_CURSOR_TIME,       [DRAY_TYPE_TIMESTAMP] = DRAY_CURSOR_TIME,
      [DRAY_TYPE_JSON] = DRAY_CURSOR_NONE,
  };
  const size_t count = sizeof kinds / sizeof kinds[0];
  return type.id > 0 && (size_t)type.id < count ? kinds[type.id] : DRAY_CURSOR_NONE;
}

void dray_cursor_free(struct dray_cursor *cursor) {
  free(cursor->stream);
  free(cursor->column);
  dray_buffer_free(&cursor->text);
  dray_buffer_free(&cursor->state);
  *cursor = (struct dray_cursor){.kind = DRAY_CURSOR_NONE};
}

int32_t dray_cursor_init(struct dray_cursor *cursor, struct dray_str stream, struct dray_str column,
                         struct dray_type type, struct dray_error *error) {
  char spelt[24];
  *cursor = (struct dray_cursor){.kind = dray_cursor_kind(type), .type = type};
  dray_buffer_init(&cursor->text, TEXT_BYTES_MAX);
  dray_buffer_init(&cursor->state, STATE_BYTES_MAX);
  if (cursor->kind == DRAY_CURSOR_NONE) {
    return dray_fail_field(
        error, DRAY_E_SCHEMA_COLUMN, "cursor",
        "column '%.*s' is %s and cannot be a cursor: it takes a number, a text, a date or a timestamp",
        DRAY_STR_ARG(column), dray_type_format(type, spelt, sizeof spelt));
  }
  cursor->stream = dray_str_dup(stream);
  cursor->column = dray_str_dup(column);
  if (cursor->stream != NULL && cursor->column != NULL) return DRAY_OK;
  dray_cursor_free(cursor);
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a cursor");
}

// ---- noting ----

static int decimal_less(struct dray_decimal a, struct dray_decimal b) {
  return a.high != b.high ? a.high < b.high : a.low < b.low;
}

void dray_cursor_note_null(struct dray_cursor *cursor) {
  cursor->null_count++;
}

void dray_cursor_note_integer(struct dray_cursor *cursor, int64_t value) {
  if (cursor->known && cursor->value.integer >= value) return;
  cursor->value.integer = value;
  cursor->known = 1;
}

void dray_cursor_note_real(struct dray_cursor *cursor, double value) {
  if (!isfinite(value) || (cursor->known && cursor->value.real >= value)) return;
  cursor->value.real = value;
  cursor->known = 1;
}

void dray_cursor_note_decimal(struct dray_cursor *cursor, struct dray_decimal value) {
  if (cursor->known && !decimal_less(cursor->value.decimal, value)) return;
  cursor->value.decimal = value;
  cursor->known = 1;
}

int32_t dray_cursor_note_text(struct dray_cursor *cursor, struct dray_str value, struct dray_error *error) {
  if (value.len > TEXT_BYTES_MAX) return DRAY_OK;
  if (cursor->known) {
    const struct dray_str held = dray_buffer_view(&cursor->text);
    const size_t shorter = (size_t)(value.len < held.len ? value.len : held.len);
    const int order = shorter > 0 ? memcmp(value.data, held.data, shorter) : 0;
    if (order < 0 || (order == 0 && value.len <= held.len)) return DRAY_OK;
  }
  char *room = NULL; // before anything is thrown away
  DRAY_TRY(dray_buffer_reserve(&cursor->text, value.len > cursor->text.len ? (size_t)value.len - cursor->text.len : 0,
                               &room, error));
  dray_buffer_clear(&cursor->text);
  DRAY_TRY(dray_buffer_append(&cursor->text, value.data, (size_t)value.len, error));
  cursor->value.text = dray_buffer_view(&cursor->text);
  cursor->known = 1;
  return DRAY_OK;
}

static int32_t note_row(struct dray_cursor *cursor, const struct dray_column_view *column, uint64_t row,
                        struct dray_error *error) {
  switch (column->type.id) {
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_TIMESTAMP:
    dray_cursor_note_integer(cursor, dray_column_int64(column, row));
    return DRAY_OK;
  case DRAY_TYPE_DATE:
    dray_cursor_note_integer(cursor, dray_column_date(column, row) * DAY_US);
    return DRAY_OK;
  case DRAY_TYPE_FLOAT64:
    dray_cursor_note_real(cursor, dray_column_float64(column, row));
    return DRAY_OK;
  case DRAY_TYPE_DECIMAL:
    dray_cursor_note_decimal(cursor, dray_column_decimal(column, row));
    return DRAY_OK;
  default:
    return dray_cursor_note_text(cursor, dray_column_bytes(column, row), error);
  }
}

int32_t dray_cursor_note_column(struct dray_cursor *cursor, const struct dray_column_view *column,
                                const struct dray_column_view *skip, uint64_t row_count, struct dray_error *error) {
  if (column->type.id != cursor->type.id || column->type.scale != cursor->type.scale) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the cursor '%s' was given a column of another type",
                     cursor->column);
  }
  for (uint64_t row = 0; row < row_count; row++) {
    if (skip != NULL && !dray_column_is_null(skip, row)) continue;
    if (dray_column_is_null(column, row)) {
      dray_cursor_note_null(cursor);
    } else {
      DRAY_TRY(note_row(cursor, column, row, error));
    }
  }
  return DRAY_OK;
}

// ---- where to begin ----

static int64_t minus(int64_t value, int64_t less, int64_t least) {
  return value < least + less ? least : value - less;
}

// units * 10^scale, or as much as there can be.
static unsigned __int128 scaled(int64_t units, int32_t scale) {
  const unsigned __int128 most = ~(unsigned __int128)0;
  unsigned __int128 value = (unsigned __int128)units;
  for (int32_t i = 0; i < scale; i++) {
    if (value > most / 10) return most;
    value *= 10;
  }
  return value;
}

static struct dray_decimal decimal_minus(struct dray_decimal value, int64_t units, struct dray_type type) {
  __int128 least = 0;
  for (int32_t i = 0; i < type.precision; i++) least = least * 10 - 9;
  const __int128 whole = (__int128)(((unsigned __int128)(uint64_t)value.high << 64) | value.low);
  const unsigned __int128 less = scaled(units, type.scale);
  const unsigned __int128 room = (unsigned __int128)whole - (unsigned __int128)least; // up to 2 * 10^38
  const __int128 bound = less >= room ? least : (__int128)((unsigned __int128)whole - less);
  return (struct dray_decimal){(uint64_t)(unsigned __int128)bound, (int64_t)(bound >> 64)};
}

int dray_cursor_bound(const struct dray_cursor *cursor, struct dray_cursor_overlap overlap,
                      struct dray_cursor_value *out) {
  if (!cursor->known) return 0;
  const int64_t seconds_max = (DRAY_TIMESTAMP_MAX - DRAY_TIMESTAMP_MIN) / SECOND_US;
  *out = cursor->value;
  switch (cursor->kind) {
  case DRAY_CURSOR_INTEGER:
    out->integer = minus(cursor->value.integer, overlap.units, INT64_MIN);
    break;
  case DRAY_CURSOR_TIME:
    out->integer =
        minus(cursor->value.integer, (overlap.seconds < seconds_max ? overlap.seconds : seconds_max) * SECOND_US,
              DRAY_TIMESTAMP_MIN);
    break;
  case DRAY_CURSOR_REAL:
    out->real = cursor->value.real - (double)overlap.units;
    if (!isfinite(out->real)) out->real = cursor->value.real;
    break;
  case DRAY_CURSOR_DECIMAL:
    out->decimal = decimal_minus(cursor->value.decimal, overlap.units, cursor->type);
    break;
  default:
    break; // texts have no distance
  }
  return 1;
}

// The day that a moment lies in.
static int32_t day_of(int64_t us) {
  return (int32_t)(us / DAY_US - (us % DAY_US < 0));
}

// A number, date or time; nothing for a text.
static size_t format_value(const struct dray_cursor *cursor, const struct dray_cursor_value *value,
                           char out[DRAY_FORMAT_BYTES_MAX]) {
  switch (cursor->kind) {
  case DRAY_CURSOR_INTEGER:
    return dray_format_int64(value->integer, out);
  case DRAY_CURSOR_REAL:
    return dray_format_float64(value->real, out);
  case DRAY_CURSOR_DECIMAL:
    return dray_format_decimal(value->decimal, cursor->type.scale, out);
  case DRAY_CURSOR_TIME:
    return cursor->type.id == DRAY_TYPE_DATE ? dray_format_date(day_of(value->integer), out)
                                             : dray_format_timestamp(value->integer, out);
  default:
    return 0;
  }
}

int32_t dray_cursor_bound_text(const struct dray_cursor *cursor, struct dray_cursor_overlap overlap,
                               struct dray_buffer *out, int *out_known, struct dray_error *error) {
  struct dray_cursor_value bound;
  char text[DRAY_FORMAT_BYTES_MAX];
  *out_known = dray_cursor_bound(cursor, overlap, &bound);
  if (!*out_known) return DRAY_OK;
  if (cursor->kind == DRAY_CURSOR_TEXT) return dray_buffer_append(out, bound.text.data, (size_t)bound.text.len, error);
  return dray_buffer_append(out, text, format_value(cursor, &bound, text), error);
}

// ---- as state ----

int32_t dray_cursor_state(struct dray_cursor *cursor, struct dray_str *out, struct dray_error *error) {
  struct dray_json_writer json;
  char text[DRAY_FORMAT_BYTES_MAX];
  *out = dray_str_make(NULL, 0);
  if (!cursor->known) return DRAY_OK;
  dray_buffer_clear(&cursor->state);
  dray_json_writer_init(&json, &cursor->state, error);
  dray_json_begin_object(&json);
  dray_json_key(&json, "stream");
  dray_json_write_text(&json, cursor->stream);
  dray_json_key(&json, "column");
  dray_json_write_text(&json, cursor->column);
  dray_json_key(&json, "type");
  dray_json_write_text(&json, dray_type_name(cursor->type.id));
  dray_json_key(&json, "cursor");
  if (cursor->kind == DRAY_CURSOR_TEXT) {
    dray_json_write_str(&json, dray_buffer_view(&cursor->text));
  } else if (cursor->kind == DRAY_CURSOR_TIME) {
    dray_json_write_str(&json, dray_str_make(text, format_value(cursor, &cursor->value, text)));
  } else {
    dray_json_write_raw(&json, dray_str_make(text, format_value(cursor, &cursor->value, text)));
  }
  dray_json_end_object(&json);
  DRAY_TRY(dray_json_writer_finish(&json));
  *out = dray_buffer_view(&cursor->state);
  return DRAY_OK;
}

// 1 when the JSON value is one of the cursor's kind; a text is left to the caller.
static int read_value(struct dray_cursor *cursor, const struct dray_json *json) {
  struct dray_cursor_value *value = &cursor->value;
  const int number = json != NULL && json->kind == DRAY_JSON_NUMBER;
  const int string = json != NULL && json->kind == DRAY_JSON_STRING;
  int32_t days = 0;
  switch (cursor->kind) {
  case DRAY_CURSOR_INTEGER:
    return number && dray_parse_int64(json->text, &value->integer, NULL) == DRAY_OK;
  case DRAY_CURSOR_REAL:
    return number && dray_parse_float64(json->text, &value->real, NULL) == DRAY_OK;
  case DRAY_CURSOR_DECIMAL:
    return number &&
           dray_parse_decimal(json->text, cursor->type.precision, cursor->type.scale, &value->decimal, NULL) == DRAY_OK;
  case DRAY_CURSOR_TIME:
    if (cursor->type.id != DRAY_TYPE_DATE) {
      return string && dray_parse_timestamp(json->text, &value->integer, NULL) == DRAY_OK;
    }
    if (!string || dray_parse_date(json->text, &days, NULL) != DRAY_OK) return 0;
    value->integer = days * DAY_US;
    return 1;
  default:
    return string && json->text.len <= TEXT_BYTES_MAX;
  }
}

int32_t dray_cursor_resume(struct dray_cursor *cursor, struct dray_str state, struct dray_error *error) {
  struct dray_json *json = NULL;
  if (state.len == 0) return DRAY_OK;
  int32_t code = dray_json_parse(state, STATE_BYTES_MAX, &json, error);
  if (code == DRAY_E_OUT_OF_MEMORY) return code;
  const struct dray_json *value = json != NULL ? dray_json_get(json, "cursor") : NULL;
  int ours = code == DRAY_OK && json->kind == DRAY_JSON_OBJECT;
  ours = ours && dray_str_is(dray_json_string(dray_json_get(json, "stream"), ""), cursor->stream);
  ours = ours && dray_str_is(dray_json_string(dray_json_get(json, "column"), ""), cursor->column);
  ours = ours && dray_str_is(dray_json_string(dray_json_get(json, "type"), ""), dray_type_name(cursor->type.id));
  ours = ours && read_value(cursor, value);
  if (!ours) {
    code = dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the checkpoint is not one of %s read by the %s column %s: %.*s",
                     cursor->stream, dray_type_name(cursor->type.id), cursor->column, DRAY_VALUE_ARG(state));
  } else if (cursor->kind == DRAY_CURSOR_TEXT) {
    cursor->known = 0;
    code = dray_cursor_note_text(cursor, value->text, error);
  } else {
    cursor->known = 1;
  }
  dray_json_free(json);
  return code;
}
