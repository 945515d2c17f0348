// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values of records into columns, exactly or not at all.
#include "record.h"

#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_BYTES_MAX (64u << 20)
#define SECOND_US INT64_C(1000000)

int32_t zendesk_rows_init(struct zendesk_rows *rows, const struct zendesk_stream *stream,
                          const struct zendesk_fields *fields, const struct dray_selection *selection,
                          struct dray_error *error) {
  memset(rows, 0, sizeof(*rows));
  dray_buffer_init(&rows->scratch, SCRATCH_BYTES_MAX);
  rows->stream = stream;
  rows->cells = calloc(selection->column_count + 1, sizeof(*rows->cells));
  if (rows->cells == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for columns");
  for (size_t i = 0; i < selection->column_count; i++) {
    const size_t at = selection->columns[i];
    const int custom = at >= stream->def.field_count;
    const struct dray_field *field =
        custom ? &fields->list.items[at - stream->def.field_count] : &stream->def.fields[at];
    rows->cells[i] = (struct zendesk_cell){custom ? field->path : field->name, field->type, custom};
  }
  rows->count = selection->column_count;
  rows->deleted_column = selection->deleted_column;
  return DRAY_OK;
}

void zendesk_rows_free(struct zendesk_rows *rows) {
  free(rows->cells);
  dray_buffer_free(&rows->scratch);
  memset(rows, 0, sizeof(*rows));
}

// ---- finding a value ----

// [{"id": 360001, "value": ...}, ...]
static const struct dray_json *ticket_field(const struct dray_json *record, const char *number) {
  const struct dray_json *fields = dray_json_get(record, "custom_fields");
  if (fields == NULL || fields->kind != DRAY_JSON_ARRAY) return NULL;
  for (const struct dray_json *field = fields->child; field != NULL; field = field->next) {
    const struct dray_json *id = dray_json_get(field, "id");
    if (id != NULL && dray_str_is(id->text, number)) return dray_json_get(field, "value");
  }
  return NULL;
}

static const struct dray_json *custom_value(const struct zendesk_stream *stream, const struct dray_json *record,
                                            const char *name) {
  if (stream->fields == ZENDESK_TICKET_FIELDS) return ticket_field(record, name);
  const char *const of = stream->fields == ZENDESK_USER_FIELDS ? "user_fields" : "organization_fields";
  return dray_json_get(dray_json_get(record, of), name);
}

static const struct dray_json *find(const struct zendesk_stream *stream, const struct zendesk_cell *cell,
                                    const struct dray_json *record, const struct dray_json *parent) {
  if (cell->custom) return custom_value(stream, record, cell->name);
  if (strcmp(cell->name, "event_id") == 0) return dray_json_get(parent, "id");
  if (strcmp(cell->name, "event_timestamp") == 0) return dray_json_get(parent, "timestamp");
  const struct dray_json *own = dray_json_get(record, cell->name);
  return own != NULL ? own : dray_json_get(parent, cell->name);
}

// ---- converting it ----

static int32_t append_json(struct zendesk_rows *rows, const struct dray_json *value, struct dray_builder *builder,
                           size_t column, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&rows->scratch);
  dray_json_writer_init(&writer, &rows->scratch, error);
  dray_json_write_value(&writer, value);
  DRAY_TRY(dray_json_writer_finish(&writer));
  return dray_builder_bytes(builder, column, dray_buffer_view(&rows->scratch), error);
}

static int32_t append_bool(const struct dray_json *value, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  if (value->kind == DRAY_JSON_BOOL) return dray_builder_bool(builder, column, value->boolean, error);
  return dray_builder_text(builder, column, value->text, error);
}

// ISO 8601, or Unix seconds.
static int32_t append_timestamp(const struct dray_json *value, struct dray_builder *builder, size_t column,
                                struct dray_error *error) {
  int64_t seconds = 0;
  if (value->kind != DRAY_JSON_NUMBER) return dray_builder_text(builder, column, value->text, error);
  DRAY_TRY(dray_parse_int64(value->text, &seconds, error));
  if (seconds > DRAY_TIMESTAMP_MAX / SECOND_US || seconds < DRAY_TIMESTAMP_MIN / SECOND_US) {
    return dray_fail(error, DRAY_E_DATA_DATE, "%lld is no time", (long long)seconds);
  }
  return dray_builder_timestamp(builder, column, seconds * SECOND_US, error);
}

// Users' and organizations' dates are midnights with a zone (2018-11-04T00:00:00+00:00), tickets' are dates.
static int32_t append_date(const struct dray_json *value, struct dray_builder *builder, size_t column,
                           struct dray_error *error) {
  struct dray_str text = value->text;
  if (text.len > 10 && (text.data[10] == 'T' || text.data[10] == ' ')) {
    if (strncmp(text.data + 11, "00:00:00", 8) != 0) {
      return dray_fail(error, DRAY_E_DATA_DATE, "'%.*s' is a date with a time of day", DRAY_VALUE_ARG(text));
    }
    text.len = 10;
  }
  return dray_builder_text(builder, column, text, error);
}

static int32_t append(struct zendesk_rows *rows, const struct dray_json *value, struct dray_builder *builder,
                      size_t column, struct dray_error *error) {
  const int type = rows->cells[column].type.id;
  if (value == NULL || value->kind == DRAY_JSON_NULL) return dray_builder_null(builder, column, error);
  if (type == DRAY_TYPE_JSON) return append_json(rows, value, builder, column, error);
  const int nested = value->kind == DRAY_JSON_ARRAY || value->kind == DRAY_JSON_OBJECT;
  if (nested && type == DRAY_TYPE_STRING) return append_json(rows, value, builder, column, error);
  if (nested) {
    return dray_fail(error, DRAY_E_DATA_TYPE, "a list or an object where a %s is wanted", dray_type_name(type));
  }
  if (value->kind == DRAY_JSON_BOOL && type != DRAY_TYPE_BOOL) {
    return dray_builder_text(builder, column, dray_str_of(value->boolean ? "true" : "false"), error);
  }
  if (type == DRAY_TYPE_STRING) return dray_builder_bytes(builder, column, value->text, error);
  // An emptied custom field of any other type is "" for some accounts.
  if (value->kind == DRAY_JSON_STRING && value->text.len == 0) return dray_builder_null(builder, column, error);
  switch (type) {
  case DRAY_TYPE_BOOL:
    return append_bool(value, builder, column, error);
  case DRAY_TYPE_TIMESTAMP:
    return append_timestamp(value, builder, column, error);
  case DRAY_TYPE_DATE:
    return append_date(value, builder, column, error);
  default:
    return dray_builder_text(builder, column, value->text, error);
  }
}

// ---- rows ----

int32_t zendesk_rows_add(struct zendesk_rows *rows, const struct dray_json *record, const struct dray_json *parent,
                         struct dray_builder *builder, struct dray_error *error) {
  for (size_t i = 0; i < rows->count; i++) {
    struct dray_error why;
    dray_error_init(&why);
    const struct dray_json *value = find(rows->stream, &rows->cells[i], record, parent);
    const int32_t rc = append(rows, value, builder, i, &why);
    if (rc != DRAY_OK) DRAY_TRY(dray_builder_misfit(builder, i, &why, error));
  }
  int32_t rc = DRAY_OK;
  if (rows->deleted_column >= 0) rc = dray_builder_bool(builder, (size_t)rows->deleted_column, 0, error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &rows->full, error);
  if (rc != DRAY_OK) dray_builder_abandon_row(builder);
  return rc;
}

int32_t zendesk_rows_add_deleted(struct zendesk_rows *rows, const struct dray_json *record,
                                 struct dray_builder *builder, struct dray_error *error) {
  const struct dray_json *id = dray_json_get(record, "id");
  int32_t rc = DRAY_OK;
  if (id == NULL || rows->deleted_column < 0) return DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < rows->count; i++) {
    const int is_key = !rows->cells[i].custom && strcmp(rows->cells[i].name, rows->stream->def.primary_key) == 0;
    rc = is_key ? append(rows, id, builder, i, error) : dray_builder_null(builder, i, error);
  }
  if (rc == DRAY_OK) rc = dray_builder_bool(builder, (size_t)rows->deleted_column, 1, error);
  if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &rows->full, error);
  if (rc != DRAY_OK) dray_builder_abandon_row(builder);
  return rc;
}

// ---- what a record says of itself ----

int zendesk_record_deleted(const struct zendesk_stream *stream, const struct dray_json *record) {
  const struct dray_json *value = stream->deleted != NULL ? dray_json_get(record, stream->deleted) : NULL;
  if (value == NULL) return 0;
  switch (value->kind) {
  case DRAY_JSON_BOOL: // active
    return !value->boolean;
  case DRAY_JSON_STRING: // status, or deleted_at
    return strcmp(stream->deleted, "status") != 0 || dray_str_is(value->text, "deleted");
  default:
    return 0;
  }
}

int64_t zendesk_record_stamp(const struct zendesk_stream *stream, const struct dray_json *record) {
  const struct dray_json *value = stream->stamp != NULL ? dray_json_get(record, stream->stamp) : NULL;
  struct dray_error why;
  int64_t stamp = 0;
  if (value == NULL) return -1;
  dray_error_init(&why);
  if (value->kind == DRAY_JSON_NUMBER) return dray_parse_int64(value->text, &stamp, &why) == DRAY_OK ? stamp : -1;
  if (value->kind != DRAY_JSON_STRING || dray_parse_timestamp(value->text, &stamp, &why) != DRAY_OK) return -1;
  return stamp >= 0 ? stamp / SECOND_US : -1;
}
